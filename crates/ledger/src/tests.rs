//! The rules, held against what they promise.
//!
//! - [`rules`]: each rule has ways to break it, and each kind of operation a way to be accepted
//! - [`precedence`]: every short history of a DID, against the table of spec/did.md
//! - [`hostile`]: arbitrary bytes and mutated operations
//! - [`personhood`]: anchors on a person's own account
//! - [`suites`]: what a network admits, mixed traffic, and a network on SM2 and SM3
//! - [`public`]: governance, batches, displays, recognitions, and the record of decisions
//! - [`terms`]: committees that follow each other
//! - [`privacy`]: where the ledger holds text at all (promise P1)

mod abroad;
mod hostile;
mod personhood;
mod precedence;
mod privacy;
mod public;
mod rules;
mod suites;
mod terms;
