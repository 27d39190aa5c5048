//! A whole network under a seed: real validators (engine, machine, mempool, ledger rules, block
//! log) in the library's deterministic runtime, on simulated links, clocks and disks.
//!
//! The seed says everything: who lies, how good the links are, when the network is divided and
//! heals, when processes end and the power goes, in the midst of a write too, and which committees
//! follow each other ([`plan`]). A client hands in operations all the while. At the first breach of these the run panics:
//!
//! - no two honest validators have different blocks or different states at a height;
//! - what a validator answered for is on its disk whatever happens to it (P10);
//! - an operation that was once final stays final, at that height, for everybody;
//! - when the faults end, every validator catches up and every operation becomes final;
//! - no honest validator takes another honest one for a liar;
//! - the block log alone gives the same state again;
//! - where governance changes the committee, every block's certificate is of its height's term, and no
//!   validator keeps a share of a term that is over.
//!
//! `cargo xtask sim --seeds N` runs many seeds, `--seed S` one of them again.

mod byzantine;
mod disk;
mod plan;
mod terms;
mod tests;
mod validator;
mod witness;
mod world;

#[cfg(test)]
pub use plan::Succession;
pub use plan::{Fault, Life, Plan, Quality};
pub use world::run;
