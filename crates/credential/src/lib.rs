//! Credentials as formats: making, showing and verifying them, and asking for them.
//!
//! Everything is a pure function over values. The clock, the salts, the issuer's keys, the nonce
//! and the audience come in as arguments; a verified value or a named refusal goes out. Nothing
//! here knows the ledger, so *which* keys an issuer had at which height, and whether a nonce was
//! used before, is the caller's knowledge.
//!
//! Start with [`pid`] (what the official credential says), then [`sd_jwt`] (how it is issued,
//! shown and verified). [`organisation`] is the credential of who acts for one. [`mdoc`] is the other format. [`status`] says which long-lived credentials are revoked or suspended. [`jose`] holds keys and signatures, [`dcql`] the question a verifier asks.
//!
//! Each refusal has a stable dotted code, the rule that failed, whose fault it is and what to do;
//! none carries any part of the credential, so every one of them may be logged.

mod cbor;
mod cose;
mod refusal;

pub mod dcql;
mod es256;
pub mod jose;
mod json;
pub mod mdoc;
mod mechanics;
pub mod organisation;
pub mod path;
pub mod pid;
pub mod realpass;
pub mod sd_jwt;
mod sm2sm3;
pub mod status;
pub mod text;
pub mod x509;

pub use path::{ClaimPath, PathElement};
pub use refusal::Fault;
