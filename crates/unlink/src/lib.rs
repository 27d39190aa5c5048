//! What can be joined of what two services saw and of what others have stored (promise P4): pure
//! functions over bytes. docs/unlinkability.md says how it is used and where it ends.
//!
//! ```text
//! Transcript::parse ─┐
//! Transcript::parse ─┴▶ Check::new ─▶ Check::store for each file ─▶ Check::report
//! ```
//!
//! - [`transcript`]: what a gate writes down when it is told to, one login a line
//! - [`pieces`]: bytes in every form in which they may stand: raw, hex, base64, base58, nested
//! - [`check`]: the values that two sources have in common, without those that everybody has
//! - [`times`]: whether logins follow what was stored more closely than by chance

pub mod check;
pub mod pieces;
mod sqlite;
pub mod times;
pub mod transcript;
mod words;

pub use check::{Check, Join, Report};
pub use times::TimeJoin;
pub use transcript::{Login, Transcript, TranscriptError};

#[cfg(test)]
mod tests;
