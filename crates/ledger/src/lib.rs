//! The ledger's rules: what an operation needs to be accepted, and what it changes.
//!
//! [`apply`] is the whole of it: a pure function from the state before and one operation to a
//! [`Receipt`] and changed records. There are no clocks and no I/O; a block's height and time
//! come in as [`Moment`]. An operation that breaks a rule changes nothing and gets a receipt
//! that names the rule; it does not invalidate its block (spec/operations.md).
//!
//! - [`dids`]: the update rule of a DID, in one short file
//! - [`registry`]: issuers, enrolments, services and totals
//! - `public`: issuance batches and displays
//! - `abroad`: how far other networks have come, and whether they forked
//! - [`governance`]: who decides, and what
//! - `personhood`: anchors that a person makes on their own account
//! - [`state`]: reading and changing records over any store

/// `?` for a rule inside a function whose outer error is the store's.
macro_rules! rule {
    ($outcome:expr) => {
        match $outcome {
            Ok(value) => value,
            Err(rule) => return Ok(Err(rule)),
        }
    };
}

mod abroad;
pub mod dids;
pub mod governance;
mod personhood;
mod public;
pub mod registry;
pub mod state;

#[cfg(test)]
mod tests;

use realdid_core::codec::{self, Bytes};
use realdid_core::did::NetworkName;
use realdid_core::genesis::Parameters;
use realdid_core::hash::{Domain, Hash32, HashFunction};
use realdid_core::header::Receipt;
use realdid_core::operation::{Body, Decision, SignedOperation};
use realdid_core::rule::Rule;
use realdid_core::state::{IssuerKey, KeyUse};
use realdid_core::suite::PublicKey;
use state::{Read, Records};
use std::sync::Arc;

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
    /// Those of the genesis, or those that run at a height ([`governance::parameters_at`]).
    /// [`apply`] and [`apply_block`] look up by themselves which these are.
    pub parameters: &'a Parameters,
}

impl<'a> Network<'a> {
    /// The same network under the parameters of a height.
    pub fn under(self, parameters: &'a Parameters) -> Self {
        Self { parameters, ..self }
    }

    /// O8: whether the rules that run know this kind of operation.
    fn knows(&self, body: &Body) -> bool {
        body.since() <= self.parameters.rules
    }

    fn hash_function(&self) -> HashFunction {
        self.name.hash_function()
    }
}

/// Applies the operations of one block in order. Answers one receipt for each.
pub fn apply_block<R: Read>(
    network: Network<'_>,
    now: Moment,
    operations: &[Bytes],
    records: &mut Records<R>,
) -> Result<Vec<Receipt>, R::Error> {
    apply_block_knowing(network, now, operations, &|_| None, records)
}

/// An operation that was read from its bytes, with its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub id: Hash32,
    pub signed: SignedOperation,
}

impl Known {
    pub fn of(signed: SignedOperation) -> Self {
        Self {
            id: signed.id(),
            signed,
        }
    }
}

/// The same where `verified` gives, for an operation's bytes, what was read from exactly these and
/// had its signatures verified before, by [`admissible`]: a validator that kept it in its mempool
/// need not do that again. Every other rule is held as ever.
pub fn apply_block_knowing<R: Read>(
    network: Network<'_>,
    now: Moment,
    operations: &[Bytes],
    verified: &dyn Fn(&Bytes) -> Option<Arc<Known>>,
    records: &mut Records<R>,
) -> Result<Vec<Receipt>, R::Error> {
    let parameters = governance::parameters_at(network, now.height, records)?;
    let network = network.under(&parameters);
    // O8: to validators of old it is no operation, so it is none to those of today.
    let ours = |known: &Arc<Known>| network.knows(&known.signed.operation.body);
    let read: Vec<(Option<Arc<Known>>, bool)> = operations
        .iter()
        .map(|bytes| match verified(bytes) {
            Some(known) => (Some(known).filter(ours), true),
            None => {
                let signed = SignedOperation::decode(&bytes.0).ok();
                let known = signed.map(|signed| Arc::new(Known::of(signed)));
                (known.filter(ours), false)
            }
        })
        .collect();
    // Signatures first: nobody makes a validator verify a proof without one.
    let mut allowed: Vec<Result<(), Rule>> = read
        .iter()
        .map(|(known, _)| match known {
            Some(known) => well_formed(network, now.height, &known.signed),
            // A proposer may put anything into a block; what is no operation has no effect.
            None => Err(Rule::Shape),
        })
        .collect();
    let unverified = read.iter().map(|(known, verified)| match known {
        Some(known) if !verified => Some(&known.signed),
        _ => None,
    });
    verify_signatures(unverified, &mut allowed);
    let to_prove: Vec<Option<&SignedOperation>> = read
        .iter()
        .zip(&allowed)
        .map(|((known, _), allowed)| {
            let known = known.as_ref().filter(|_| allowed.is_ok());
            known.map(|known| &known.signed)
        })
        .collect();
    let proofs = personhood::prove(network, now, &to_prove, records)?;
    let mut receipts = Vec::with_capacity(operations.len());
    for (((bytes, (known, _)), allowed), proof) in
        operations.iter().zip(&read).zip(allowed).zip(&proofs)
    {
        receipts.push(match known {
            None => Receipt {
                operation: network
                    .hash_function()
                    .tagged(Domain::Operation, &[&bytes.0]),
                refused: Some(Rule::Shape),
            },
            Some(known) => {
                let outcome = match allowed {
                    Ok(()) => all_or_nothing(network, now, &known.signed, proof, records)?,
                    Err(rule) => Err(rule),
                };
                Receipt {
                    operation: known.id,
                    refused: outcome.err(),
                }
            }
        });
    }
    Ok(receipts)
}

/// Applies one operation: all of it, or nothing and the rule that it broke. The outer error is
/// the store's own.
pub fn apply<R: Read>(
    network: Network<'_>,
    now: Moment,
    signed: &SignedOperation,
    records: &mut Records<R>,
) -> Result<Result<(), Rule>, R::Error> {
    let parameters = governance::parameters_at(network, now.height, records)?;
    let network = network.under(&parameters);
    if let Err(rule) = admissible(network, now.height, signed) {
        return Ok(Err(rule));
    }
    apply_verified(network, now, signed, records)
}

/// The same for an operation whose signatures were verified before, by [`admissible`], on a network
/// under the parameters of this height.
pub fn apply_verified<R: Read>(
    network: Network<'_>,
    now: Moment,
    signed: &SignedOperation,
    records: &mut Records<R>,
) -> Result<Result<(), Rule>, R::Error> {
    if let Err(rule) = well_formed(network, now.height, signed) {
        return Ok(Err(rule));
    }
    let proofs = personhood::prove(network, now, &[Some(signed)], records)?;
    all_or_nothing(network, now, signed, &proofs[0], records)
}

fn all_or_nothing<R: Read>(
    network: Network<'_>,
    now: Moment,
    signed: &SignedOperation,
    proof: &personhood::Answer,
    records: &mut Records<R>,
) -> Result<Result<(), Rule>, R::Error> {
    let before = records.mark();
    let outcome = change(network, now, signed, proof, records)?;
    if outcome.is_err() {
        records.undo(before);
    }
    Ok(outcome)
}

/// The rules that need no state (O1 to O8): version, network, expiry, suites, signatures, sponsor
/// where one is needed and only there. The mempool runs them before it keeps an operation.
pub fn admissible(network: Network<'_>, height: u64, signed: &SignedOperation) -> Result<(), Rule> {
    well_formed(network, height, signed)?;
    signed.verify_signatures().map_err(|_| Rule::Signature)
}

/// [`admissible`] of each, in less time: signatures are verified together.
pub fn admissible_each(
    network: Network<'_>,
    height: u64,
    operations: &[&SignedOperation],
) -> Vec<Result<(), Rule>> {
    let mut allowed: Vec<_> = operations
        .iter()
        .map(|signed| well_formed(network, height, signed))
        .collect();
    verify_signatures(operations.iter().map(|signed| Some(*signed)), &mut allowed);
    allowed
}

/// Refuses those of `operations`, where there is one, whose signatures do not verify; what is refused
/// already is not looked at.
fn verify_signatures<'a>(
    operations: impl Iterator<Item = Option<&'a SignedOperation>>,
    allowed: &mut [Result<(), Rule>],
) {
    let (asked, verdicts): (Vec<_>, Vec<_>) = (operations.zip(allowed))
        .filter_map(|(signed, verdict)| signed.filter(|_| verdict.is_ok()).zip(Some(verdict)))
        .unzip();
    let verified = SignedOperation::verify_signatures_of(&asked);
    for (verdict, verified) in verdicts.into_iter().zip(verified) {
        *verdict = verified.map_err(|_| Rule::Signature);
    }
}

/// [`admissible`] but for the signatures themselves.
fn well_formed(network: Network<'_>, height: u64, signed: &SignedOperation) -> Result<(), Rule> {
    let operation = &signed.operation;
    if operation.version != 1 || !network.knows(&operation.body) {
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
    let paid = usize::from(signed.sponsor.is_some()) + usize::from(signed.personhood.is_some());
    match (&operation.body, paid) {
        (Body::Anchor(_), 0) => return Err(Rule::Sponsor),
        (Body::Anchor(_), 1) | (_, 0) => {}
        _ => return Err(Rule::UnneededSponsor),
    }
    let suites = keys
        .into_iter()
        .chain(signed.sponsor.as_ref().map(|sponsor| &sponsor.by.key));
    let suites = suites.chain(keys_in(&operation.body)).map(PublicKey::suite);
    if !suites
        .into_iter()
        .all(|suite| network.parameters.admits(suite))
    {
        return Err(Rule::Suite);
    }
    Ok(())
}

/// The keys that an operation would give the power to sign others.
fn keys_in(body: &Body) -> Vec<&PublicKey> {
    let operating = |known: &&IssuerKey| known.usage == KeyUse::Operation;
    match body {
        Body::Anchor(inception) => inception.keys.current.iter().collect(),
        Body::Rotate(_, _, keys) | Body::Recover(_, _, keys) => keys.current.iter().collect(),
        Body::Govern(_, Decision::AdmitIssuer(issuer), _) => {
            let keys = issuer.keys.iter().filter(operating);
            keys.map(|known| &known.key).collect()
        }
        Body::Govern(_, Decision::AddIssuerKey(_, key), _) => Some(key)
            .into_iter()
            .filter(operating)
            .map(|known| &known.key)
            .collect(),
        _ => Vec::new(),
    }
}

fn change<R: Read>(
    network: Network<'_>,
    now: Moment,
    signed: &SignedOperation,
    proof: &personhood::Answer,
    records: &mut Records<R>,
) -> Result<Result<(), Rule>, R::Error> {
    match &signed.operation.body {
        Body::Anchor(_)
        | Body::Rotate(..)
        | Body::Recover(..)
        | Body::Cancel(..)
        | Body::Freeze(..)
        | Body::Deactivate(..) => dids::change(network, now, signed, proof, records),
        Body::Enrol(_)
        | Body::EnrolmentStanding(..)
        | Body::Register(..)
        | Body::ServiceStanding(..)
        | Body::PassTotal(..)
        | Body::ResetPass(..)
        | Body::CancelReset(..)
        | Body::Batch(_)
        | Body::Display(_)
        | Body::WithdrawDisplay(..)
        | Body::ForeignCheckpoint(..)
        | Body::ForeignHandOver(..)
        | Body::ForeignFork(..)
        | Body::StatusList(_)
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
