//! The words of RealDID as data: identifiers, keys, the canonical codec, operations, state
//! records, headers and the checking of proofs.
//!
//! Everything here is a plain value or a pure function. There are no clocks, no randomness
//! without an argument, no waiting and no input or output: time and seeds come in from outside.
//! Bytes from outside become a type that cannot be wrong, or an error, in [`codec`].
//!
//! Start with [`did`] (what an identifier is), [`operation`] (what may be asked of the ledger)
//! and [`state`] (what the ledger remembers). The normative text is in `spec/`.

pub mod answer;
pub mod carried;
pub mod certificate;
pub mod codec;
pub mod did;
pub mod genesis;
pub mod governance;
pub mod hash;
pub mod header;
pub mod operation;
pub mod rule;
pub mod state;
pub mod suite;
pub mod terms;
pub mod trie;

#[cfg(test)]
mod vectors_tests;
