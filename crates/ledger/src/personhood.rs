//! Anchors that a person makes on their own account (spec/operations.md, rules V1 to V6).
//!
//! A RealPass presentation in the context of a slot gives one pseudonym for each person and slot:
//! the ledger keeps it, and refuses it the second time. It shows its epoch and nothing else, so
//! all whom the issuer serves look alike, and no slot can be told to be of the same person as
//! another.
//!
//! Proofs of one block are verified together before its operations are applied in their order.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use crate::state::{Read, Records};
use crate::{Moment, Network};
use rand_core::{TryCryptoRng, TryRng};
use realdid_core::hash::Hash32;
use realdid_core::operation::{Personhood, SignedOperation, slot_id};
use realdid_core::rule::Rule;
use realdid_core::state::{
    Issuer, PassPublicKey, SpentSlot, Standing, VerifiedPerson, issuer_key, slot_key,
};
use realdid_core::trie::Key;
use realdid_pass::{Claim, Context, PassKey, Presentation, facts, verify_batch};

/// A proof that holds: what it says, and the slot that it spends if its operation is accepted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Proved {
    person: VerifiedPerson,
    spends: Key,
    period: u64,
}

/// What is known of an operation's personhood proof; nothing where it has none.
pub(crate) type Answer = Option<Result<Proved, Rule>>;

/// A proof that was read and not verified.
struct Open {
    /// The operation's place in the block.
    at: usize,
    presentation: Presentation,
    slot: Vec<u8>,
    binding: Hash32,
    period: u64,
    epoch: u64,
}

/// V2 to V5: verifies the proofs of all operations, in batches under one key each.
pub(crate) fn prove<R: Read>(
    network: Network<'_>,
    now: Moment,
    operations: &[Option<&SignedOperation>],
    records: &Records<R>,
) -> Result<Vec<Answer>, R::Error> {
    let mut answers: Vec<Answer> = vec![None; operations.len()];
    let mut open: BTreeMap<(Hash32, PassPublicKey), Vec<Open>> = BTreeMap::new();
    for (at, signed) in operations.iter().enumerate() {
        let Some((signed, personhood)) =
            signed.and_then(|signed| Some((signed, signed.personhood.as_ref()?)))
        else {
            continue;
        };
        match read(network, now, at, signed, personhood) {
            Err(rule) => answers[at] = Some(Err(rule)),
            Ok(claim) => match key_of(network, &personhood.issuer, claim.epoch, records)? {
                Err(rule) => answers[at] = Some(Err(rule)),
                Ok(key) => open
                    .entry((personhood.issuer, key))
                    .or_default()
                    .push(claim),
            },
        }
    }
    for ((issuer, key), claims) in open {
        let outcomes = verify(network, &issuer, &key, &claims);
        for (claim, outcome) in claims.iter().zip(outcomes) {
            answers[claim.at] = Some(outcome);
        }
    }
    Ok(answers)
}

/// V2 and V3: the slot is one of this period, and the RealPass shows an epoch that stands and
/// nothing else.
fn read(
    network: Network<'_>,
    now: Moment,
    at: usize,
    signed: &SignedOperation,
    personhood: &Personhood,
) -> Result<Open, Rule> {
    let parameters = network.parameters;
    let Personhood { period, slot, .. } = *personhood;
    if period != parameters.personhood_period_at(now.time_ms) || slot >= parameters.personhood_slots
    {
        return Err(Rule::Slot);
    }
    let presentation =
        Presentation::from_bytes(&personhood.presentation.0).map_err(|_| Rule::Personhood)?;
    if presentation.claimed().len() != 1 {
        return Err(Rule::Personhood);
    }
    let epoch = facts::shown_epoch(presentation.claimed()).map_err(|_| Rule::Personhood)?;
    if !parameters.pass_stands(epoch, now.time_ms) {
        return Err(Rule::PassEpoch);
    }
    Ok(Open {
        at,
        presentation,
        slot: slot_id(network.name, period, slot),
        binding: signed.operation.personhood_binding(),
        period,
        epoch,
    })
}

/// V4: the one RealPass key of an active issuer in an epoch.
fn key_of<R: Read>(
    network: Network<'_>,
    id: &Hash32,
    epoch: u64,
    records: &Records<R>,
) -> Result<Result<PassPublicKey, Rule>, R::Error> {
    Ok(match active(network, id, records)? {
        Err(rule) => Err(rule),
        Ok(issuer) => issuer.pass_key(epoch).copied().ok_or(Rule::IssuerKey),
    })
}

fn active<R: Read>(
    network: Network<'_>,
    id: &Hash32,
    records: &Records<R>,
) -> Result<Result<Arc<Issuer>, Rule>, R::Error> {
    Ok(
        match records.issuer(&issuer_key(network.hash_function(), id))? {
            None => Err(Rule::IssuerUnknown),
            Some(issuer) if issuer.standing != Standing::Active => Err(Rule::IssuerSuspended),
            Some(issuer) => Ok(issuer),
        },
    )
}

/// V5: verifies proofs under one key.
fn verify(
    network: Network<'_>,
    issuer: &Hash32,
    key: &PassPublicKey,
    open: &[Open],
) -> Vec<Result<Proved, Rule>> {
    let terms = facts::terms(network.name.as_str(), &issuer.0);
    let Ok(key) = PassKey::new(&key.0, &terms, facts::FACTS) else {
        return open.iter().map(|_| Err(Rule::Personhood)).collect();
    };
    // Few slots are open at a time, and making a context hashes to the curve.
    let contexts: BTreeMap<&[u8], Context> = open
        .iter()
        .map(|claim| (claim.slot.as_slice(), Context::personhood_slot(&claim.slot)))
        .collect();
    let claims: Vec<Claim<'_>> = open
        .iter()
        .map(|claim| Claim {
            presentation: &claim.presentation,
            context: &contexts[claim.slot.as_slice()],
            binding: &claim.binding.0,
        })
        .collect();
    verify_batch(&mut OfTheProofs, &key, &claims)
        .into_iter()
        .zip(open)
        .map(|(shown, claim)| {
            let shown = shown.map_err(|_| Rule::Personhood)?;
            Ok(Proved {
                person: VerifiedPerson {
                    issuer: *issuer,
                    epoch: claim.epoch,
                },
                spends: slot_key(network.hash_function(), &shown.pseudonym.0),
                period: claim.period,
            })
        })
        .collect()
}

/// V6: spends the slot of a proof that holds. The issuer may have been suspended earlier in the same
/// block, and the slot spent.
pub(crate) fn spend<R: Read>(
    network: Network<'_>,
    proved: &Proved,
    records: &mut Records<R>,
) -> Result<Result<VerifiedPerson, Rule>, R::Error> {
    if let Err(rule) = active(network, &proved.person.issuer, records)? {
        return Ok(Err(rule));
    }
    if records.bytes(&proved.spends)?.is_some() {
        return Ok(Err(Rule::SlotSpent));
    }
    let spent = SpentSlot {
        period: proved.period,
    };
    records.put(proved.spends, &spent);
    Ok(Ok(proved.person))
}

/// Gives zeros: the weights of a batch then come from a hash of all its proofs (realpass.md, B5 and
/// B16), which whoever made them could not know before. So every validator draws the same ones.
struct OfTheProofs;

impl TryRng for OfTheProofs {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(0)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(0)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill(0);
        Ok(())
    }
}

impl TryCryptoRng for OfTheProofs {}
