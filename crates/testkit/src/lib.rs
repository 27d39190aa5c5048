//! Fixtures for tests of every crate: never a normal dependency.

pub mod chain;
pub mod ledger;
pub mod passport;
pub mod peer;
pub mod person;
pub mod ports;
pub mod trie;
pub mod turns;
