//! The authority: it verifies people against the population register, puts their enrolment on the
//! ledger under their person tag, and issues PIDs and RealPasses. The registrar of services is a
//! module of it.
//!
//! The rules are elsewhere: tags, issuing and registrations in `realdid-exchange`, the credential
//! in `realdid-credential`, what the ledger accepts in `realdid-ledger`. Here is what waits: the
//! store, the register, the node, and the HTTP routes.
//!
//! - [`service`]: the authority's routes and [`run`]
//! - [`enrolment`]: evidence in, an enrolment on the ledger out
//! - `endpoints`: the routes of OpenID4VCI 1.0
//! - [`oauth`]: who may ask for a credential: authorization, tokens and their keys
//! - [`issuing`]: nonces, credentials, and what comes after
//! - [`realpass`], [`cohort`], [`totals`]: RealPasses: issuing them, what they say, how many there were
//! - [`batches`]: what was issued, committed to on the ledger
//! - [`mandates`]: credentials of organisations, for whoever may act for one
//! - [`sponsoring`]: DIDs of enrolled people, within a quota
//! - [`statuses`]: PIDs that live long, and their status lists
//! - [`standing`]: the operator's `suspend` and `restore`, `reset` and `cancel-reset`
//! - [`register`]: the population register and its synthetic residents; organisations; foreigners and their passports
//! - [`upstreams`]: logins of foreigners at identity providers
//! - [`registrar`]: registrations of services
//! - [`network`]: which network this is, for whoever meets it for the first time
//! - [`scratch`]: a PostgreSQL of its own for tests and benches
//! - [`store`], [`ledger`], [`keys`], [`certificates`], [`config`]: what they stand on
//!
//! Personal data stays in the register. The store knows people by an opaque reference and their
//! tag; no log line and no error carries anything that somebody sent (promise P1).

pub mod batches;
pub mod certificates;
pub mod cohort;
pub mod config;
mod endpoints;
pub mod enrolment;
pub mod issuing;
pub mod keys;
pub mod ledger;
pub mod mandates;
pub mod network;
pub mod oauth;
pub mod realpass;
pub mod register;
pub mod registrar;
pub mod scratch;
pub mod service;
pub mod sponsoring;
pub mod standing;
pub mod statuses;
pub mod store;
mod text;
pub mod totals;
pub mod upstreams;

#[cfg(test)]
mod tests;

pub use certificates::certificate;
pub use config::{AuthorityConfig, DEFAULT_COUNTRY, example_config};
pub use keys::{KeySuites, init_authority, init_registrar};
pub use register::organisations::synthetic::ExtractFile;
pub use register::specimens::{SpecimenError, make as make_specimens};
pub use register::synthetic::{Amendment, EvidenceFile};
pub use service::{AuthorityError, run};
pub use standing::{
    Amended, CompromisedKey, NewPassKey, Reset, StandingChange, StandingError, amend, cancel_reset,
    end, foreigners, key_compromised, organisations, pass_key, reset, residents, restore, revoke,
    suspend,
};
