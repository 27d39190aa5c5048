//! testkit.

pub mod trie;
