//! node.
pub mod engine;
pub mod store;
