//! The ledger's rules: what an operation needs to be accepted, and what it changes.
//!
//! [`apply`] is the whole of it: a pure function from the state before and one operation to a
//! [`Receipt`] and changed records. There are no clocks and no I/O; a block's height and time
//! come in as [`Moment`]. An operation that breaks a rule changes nothing and gets a receipt
//! that names the rule; it does not invalidate its block (spec/operations.md).
//!
//! - [`dids`]: the update rule of a DID, in one short file
//! - [`registry`]: issuers, enrolments, services, totals and governance
//! - [`state`]: reading and changing records over any store

pub mod dids;
pub mod registry;
pub mod state;

#[cfg(test)]
mod tests;

use realdid_core::codec::{self, Bytes};
use realdid_core::did::NetworkName;
use realdid_core::genesis::Parameters;
use realdid_core::hash::{Domain, hash};
use realdid_core::header::Receipt;
use realdid_core::operation::{Body, SignedOperation};
use realdid_core::rule::Rule;
use state::{Read, Records};

/// When an operation is applied: its block's height and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    pub height: u64,
    /// Unix milliseconds.
    pub time_ms: u64,
}

/// What every rule may look at beside the records.
#[derive(Debug, Clone, Copy)]
pub struct Network<'a> {
    pub name: &'a NetworkName,
    pub parameters: &'a Parameters,
}

/// Applies the operations of one block in order. Answers one receipt for each.
pub fn apply_block<R: Read>(
    network: Network<'_>,
    now: Moment,
    operations: &[Bytes],
    records: &mut Records<R>,
) -> Result<Vec<Receipt>, R::Error> {
    operations
        .iter()
        .map(|bytes| {
            let signed = match SignedOperation::decode(&bytes.0) {
                Ok(signed) => signed,
                // A proposer may put anything into a block; what is no operation has no effect.
                Err(_) => {
                    return Ok(Receipt {
                        operation: hash(Domain::Operation, &[&bytes.0]),
                        refused: Some(Rule::Shape),
                    });
                }
            };
            let refused = apply(network, now, &signed, records)?.err();
            Ok(Receipt {
                operation: signed.id(),
                refused,
            })
        })
        .collect()
}

/// Applies one operation: all of it, or nothing and the rule that it broke. The outer error is
/// the store's own.
pub fn apply<R: Read>(
    network: Network<'_>,
    now: Moment,
    signed: &SignedOperation,
    records: &mut Records<R>,
) -> Result<Result<(), Rule>, R::Error> {
    if let Err(rule) = admissible(network, now.height, signed) {
        return Ok(Err(rule));
    }
    let before = records.mark();
    let outcome = change(network, now, signed, records)?;
    if outcome.is_err() {
        records.undo(before);
    }
    Ok(outcome)
}

/// The rules that need no state (O1 to O6): version, network, expiry, signatures, sponsor where
/// one is needed and only there. The mempool runs them before it keeps an operation.
pub fn admissible(network: Network<'_>, height: u64, signed: &SignedOperation) -> Result<(), Rule> {
    let operation = &signed.operation;
    if operation.version != 1 {
        return Err(Rule::Version);
    }
    if operation.network != *network.name {
        return Err(Rule::Network);
    }
    if operation.expires < height {
        return Err(Rule::Expired);
    }
    if operation.expires > height.saturating_add(network.parameters.expiry_window) {
        return Err(Rule::ExpiryTooFar);
    }
    let count = signed.signatures.len();
    let one_expected = !matches!(operation.body, Body::Govern(..));
    let keys: Vec<_> = signed.signatures.iter().map(|by| &by.key).collect();
    let distinct = (1..count).all(|i| !keys[..i].contains(&keys[i]));
    if count == 0 || count > 32 || (one_expected && count != 1) || !distinct {
        return Err(Rule::SignatureCount);
    }
    match (&operation.body, &signed.sponsor) {
        (Body::Anchor(_), None) => return Err(Rule::Sponsor),
        (Body::Anchor(_), Some(_)) | (_, None) => {}
        (_, Some(_)) => return Err(Rule::UnneededSponsor),
    }
    signed.verify_signatures().map_err(|_| Rule::Signature)
}

fn change<R: Read>(
    network: Network<'_>,
    now: Moment,
    signed: &SignedOperation,
    records: &mut Records<R>,
) -> Result<Result<(), Rule>, R::Error> {
    match &signed.operation.body {
        Body::Anchor(_)
        | Body::Rotate(..)
        | Body::Recover(..)
        | Body::Cancel(..)
        | Body::Freeze(..)
        | Body::Deactivate(..) => dids::change(network, now, signed, records),
        Body::Enrol(_)
        | Body::EnrolmentStanding(..)
        | Body::Register(..)
        | Body::ServiceStanding(..)
        | Body::Govern(..) => registry::change(network, now, signed, records),
    }
}

/// The records that a network begins with, as changes to an empty store.
pub fn genesis_changes(genesis: &realdid_core::genesis::Genesis) -> Vec<state::Change> {
    genesis
        .records()
        .into_iter()
        .map(|(key, value)| (key, Some(value)))
        .collect()
}

/// The canonical bytes of a record.
pub(crate) fn bytes_of<T: minicbor::Encode<()>>(record: &T) -> Vec<u8> {
    codec::encode(record)
}
