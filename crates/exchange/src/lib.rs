//! The protocols between wallet, authority, registrar and gate, without sockets.
//!
//! Each module holds both roles of one exchange as plain values and functions: what arrives is
//! parsed once, what leaves is built from checked values, and time and randomness are arguments.
//! The crates above do the waiting.
//!
//! - [`tag`]: a person's tag by VOPRF (RFC 9497)
//! - [`mandate`]: who may act for an organisation
//! - [`vci`]: issuing over OpenID4VCI 1.0
//! - [`registration`]: a service's registration by a registrar
//! - [`vp`]: presenting over OpenID4VP 1.0
//! - [`batch`]: issuance batches, and the path of a credential in one
//! - [`did_proof`]: a DID's signature with its stapled state
//! - [`display`]: a name shown in public, and the badge that anybody checks
//! - [`receipt`]: what a know-your-customer login leaves behind, for an auditor
//! - [`suites`]: a network's suites in JOSE
//! - [`jwe`]: encrypted answers
//! - [`oidc`]: the OpenID Connect provider that a gate is towards its service

// The tests' world is the gate's too, and calls this crate by its name.
#[cfg(test)]
extern crate self as realdid_exchange;

mod form;
mod refusal;
#[cfg(test)]
mod test_world;

pub mod batch;
pub mod did_proof;
pub mod display;
pub mod jwe;
pub mod mandate;
pub mod oidc;
pub mod receipt;
pub mod registration;
pub mod suites;
pub mod tag;
pub mod vci;
pub mod vp;
