//! Real names in public, at this gate's platform (spec/displays.md; for platforms docs/displays.md).
//!
//! A platform reports how many followers its accounts have. The [`policy`] says when one must show a
//! name; the [`book`] keeps accounts and writes each decision into the [`log`]; [`flow`] asks the wallet,
//! has the registrar put the digest on the ledger and serves the badge; [`api`] is what websites and
//! visitors call, and [`card`] what visitors see. The rules are in the first three and in `realdid-exchange`, without sockets.

pub(crate) mod api;
pub(crate) mod book;
pub(crate) mod card;
pub(crate) mod flow;
pub(crate) mod log;
pub(crate) mod policy;
#[cfg(test)]
mod policy_tests;

use std::path::Path;

pub use policy::EXAMPLE as EXAMPLE_POLICY;

use crate::GateError;

/// The log of decisions, in the folder of the displays.
pub(crate) const LOG_FILE: &str = "decisions.jsonl";
/// The folder of the displays, in the gate's.
pub(crate) const FOLDER: &str = "displays";

/// The decisions of a gate, its chain verified, each with the state of its appeal. The gate may be
/// running.
pub fn decisions(dir: &Path) -> Result<serde_json::Value, GateError> {
    let path = dir.join(FOLDER).join(LOG_FILE);
    let entries = crate::chain::read(&path).map_err(|error| GateError::of_log(&path, &error))?;
    Ok(book::Book::export(&entries))
}
