//! What was shown to whom and why: a record that only the person can read.
//!
//! An entry is written, durably, before anything leaves the device, and its outcome after. So a
//! crash in between leaves a disclosure that may have happened, never one that is unknown.

use crate::content::Content;
use minicbor::{Decode, Encode};
use realdid_core::hash::Hash32;
use serde_json::{Value, json};

/// How many disclosures are kept; older ones are dropped.
pub const MAX_ENTRIES: usize = 10_000;

/// One disclosure.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Disclosure {
    /// Unix milliseconds.
    #[n(0)]
    pub at_ms: u64,
    #[n(1)]
    pub service: Hash32,
    #[n(2)]
    pub domains: Vec<String>,
    /// The purpose that the service gave, one of its registration.
    #[n(3)]
    pub purpose: String,
    /// Paths of the claims that were shown, never their values.
    #[n(4)]
    pub claims: Vec<String>,
    /// The DID that the service saw.
    #[n(5)]
    pub did: String,
    #[n(6)]
    pub outcome: Outcome,
    /// The epoch of the RealPass that was shown, where one was. Never the pseudonym: the service has
    /// it, and a copied journal must not.
    #[n(7)]
    pub pass_epoch: Option<u64>,
    /// Who asked, where that was not registered on the ledger: its client id, its name and the
    /// authority that vouched for it.
    #[n(8)]
    pub verifier: Option<Verifier>,
}

/// A verifier that was not registered.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Verifier {
    #[n(0)]
    pub client_id: String,
    #[n(1)]
    pub name: String,
    /// Whose word that is: an authority, or the DID that the person chose to trust.
    #[n(2)]
    pub authority: String,
}

impl Verifier {
    /// For `--json`.
    pub fn to_json(&self) -> Value {
        json!({
            "clientId": self.client_id,
            "name": self.name,
            "authority": self.authority,
        })
    }
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Outcome {
    /// Sent, or about to be: the answer is not known.
    #[n(0)]
    Unknown,
    #[n(1)]
    Accepted,
    /// The code of the refusal.
    #[n(2)]
    Refused(#[n(0)] String),
}

impl Outcome {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Accepted => "accepted",
            Self::Refused(_) => "refused",
        }
    }
}

/// Names one entry while its outcome is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket(usize);

/// Writes down a disclosure that is about to happen.
pub fn begin(content: &mut Content, disclosure: Disclosure) -> Ticket {
    let excess = (content.journal.len() + 1).saturating_sub(MAX_ENTRIES);
    content.journal.drain(..excess);
    content.journal.push(disclosure);
    Ticket(content.journal.len() - 1)
}

/// Writes down what became of it.
pub fn finish(content: &mut Content, ticket: Ticket, outcome: Outcome) {
    if let Some(entry) = content.journal.get_mut(ticket.0) {
        entry.outcome = outcome;
    }
}

/// The journal for `--json`, oldest first.
pub fn to_json(content: &Content) -> Value {
    let entries: Vec<Value> = content
        .journal
        .iter()
        .map(|entry| {
            let registered = entry.verifier.is_none();
            let refusal = match &entry.outcome {
                Outcome::Refused(code) => Some(code),
                _ => None,
            };
            json!({
                "atMs": entry.at_ms,
                "service": registered.then(|| entry.service.to_string()),
                "domains": entry.domains,
                "purpose": registered.then_some(&entry.purpose),
                "claims": entry.claims,
                "did": entry.did,
                "outcome": entry.outcome.name(),
                "refusal": refusal,
                "realPassEpoch": entry.pass_epoch,
                "verifier": entry.verifier.as_ref().map(Verifier::to_json),
            })
        })
        .collect();
    json!({ "disclosures": entries })
}

#[cfg(test)]
mod tests;
