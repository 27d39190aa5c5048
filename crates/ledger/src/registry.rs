//! Issuers and what they answer for: enrolments, services and sponsored state (spec/operations.md,
//! rules R1 to R7, R13, R15 and R16).
//!
//! Each thing that an issuer puts on the ledger counts against its quota of the epoch and adds
//! to its public totals, so that nobody enrols in secret or without bound (promise P6).

use crate::state::{Read, Records};
use crate::{Moment, Network, abroad, governance, public};
use realdid_core::hash::{Hash32, HashFunction};
use realdid_core::operation::{Body, Enrol, SignedOperation, Sponsorship};
use realdid_core::rule::Rule;
use realdid_core::state::{
    Enrolment, Issuer, IssuerKey, KeyStatus, KeyUse, PersonTag, ReasonCode, Service, Standing,
    Totals, enrolment_key, issuer_key, service_key, totals_key,
};
use realdid_core::suite::PublicKey;
use std::sync::Arc;

pub(crate) type Outcome<T, E> = Result<Result<T, Rule>, E>;

/// Who asks for a change, in which network, and when.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub network: Network<'a>,
    pub now: Moment,
    pub by: &'a PublicKey,
}

impl Asked<'_> {
    /// The network's hash function.
    pub fn hash(&self) -> HashFunction {
        self.network.hash_function()
    }

    pub fn epoch(&self) -> u64 {
        self.network.parameters.epoch_at(self.now.time_ms)
    }
}

pub(crate) fn change<R: Read>(
    network: Network<'_>,
    now: Moment,
    signed: &SignedOperation,
    records: &mut Records<R>,
) -> Outcome<(), R::Error> {
    let Some(by) = signed.signatures.first().map(|by| &by.key) else {
        return Ok(Err(Rule::SignatureCount));
    };
    let asked = Asked { network, now, by };
    match &signed.operation.body {
        Body::Enrol(enrol) => enrolment(asked, enrol, records),
        Body::EnrolmentStanding(issuer, tag, seq, standing, reason) => {
            let moved = Moved::new(issuer, *seq, *standing, *reason);
            enrolment_standing(asked, tag, &moved, records)
        }
        Body::ResetPass(issuer, tag, seq) => reset_pass(asked, issuer, (tag, *seq), records),
        Body::CancelReset(issuer, tag, seq) => cancel_reset(asked, issuer, (tag, *seq), records),
        Body::Register(issuer, id, digest) => register(asked, issuer, id, digest, records),
        Body::ServiceStanding(issuer, id, seq, standing, reason) => {
            let moved = Moved::new(issuer, *seq, *standing, *reason);
            service_standing(asked, id, &moved, records)
        }
        Body::PassTotal(issuer, epoch, total) => pass_total(asked, issuer, *epoch, *total, records),
        Body::Batch(batch) => public::batch(asked, batch, records),
        Body::Display(show) => public::display(asked, show, records),
        Body::WithdrawDisplay(digest, reason) => public::withdraw(asked, digest, *reason, records),
        Body::ForeignCheckpoint(network, checkpoint) => {
            abroad::checkpoint(asked, network, checkpoint, records)
        }
        Body::ForeignHandOver(network, hand_over) => {
            abroad::hand_over(asked, network, hand_over, records)
        }
        Body::StatusList(list) => public::status_list(asked, list, records),
        Body::ForeignFork(network, one, other) => {
            abroad::fork(asked, network, (one, other), records)
        }
        Body::Govern(seq, decision, reason) => {
            governance::govern(asked, *seq, decision, *reason, signed, records)
        }
        _ => Ok(Err(Rule::Shape)),
    }
}

/// A change of standing that an issuer asks for.
struct Moved<'a> {
    issuer: &'a Hash32,
    seq: u64,
    standing: Standing,
    reason: ReasonCode,
}

impl<'a> Moved<'a> {
    fn new(issuer: &'a Hash32, seq: u64, standing: Standing, reason: ReasonCode) -> Self {
        Self {
            issuer,
            seq,
            standing,
            reason,
        }
    }
}

/// R1: an enrolment is made by an active issuer that makes person tags, in the current epoch or
/// the one before. A later one under the same tag moves the entry and is seen by its owner.
fn enrolment<R: Read>(
    asked: Asked<'_>,
    enrol: &Enrol,
    records: &mut Records<R>,
) -> Outcome<(), R::Error> {
    let issuer = rule!(acting_issuer(asked, &enrol.issuer, records)?);
    if issuer.tag_key.is_none() {
        return Ok(Err(Rule::IssuerKey));
    }
    let epoch = asked.epoch();
    if enrol.epoch > epoch || enrol.epoch + 1 < epoch {
        return Ok(Err(Rule::EnrolmentEpoch));
    }
    let key = enrolment_key(asked.hash(), &enrol.tag);
    let known = records.get::<Enrolment>(&key)?;
    let expected = match &known {
        None => 0,
        // Tags of two issuers differ; an entry of another issuer is not this one's to move.
        Some(entry) if entry.issuer != enrol.issuer => return Ok(Err(Rule::Signer)),
        Some(entry) if entry.standing != Standing::Active => {
            return Ok(Err(Rule::EnrolmentStanding));
        }
        Some(entry) => entry.seq + 1,
    };
    if enrol.seq != expected {
        return Ok(Err(Rule::Sequence));
    }
    rule!(spend(asked, &enrol.issuer, records, |totals| {
        totals.enrolments += 1;
        totals.enrolments <= issuer.enrolment_quota
    })?);
    records.put(
        key,
        &Enrolment {
            seq: enrol.seq,
            commitment: enrol.commitment,
            epoch: enrol.epoch,
            standing: Standing::Active,
            reason: ReasonCode::None,
            issuer: enrol.issuer,
            // A reset is remembered through enrolments: it counts for a whole period.
            reset_ms: known.and_then(|entry| entry.reset_ms),
        },
    );
    Ok(Ok(()))
}

/// R3: the issuer of an enrolment suspends, restores or ends it. What is ended stays ended.
fn enrolment_standing<R: Read>(
    asked: Asked<'_>,
    tag: &PersonTag,
    moved: &Moved<'_>,
    records: &mut Records<R>,
) -> Outcome<(), R::Error> {
    let entry = rule!(own_entry(asked, moved.issuer, (tag, moved.seq), records)?);
    if !may_move(entry.standing, moved.standing) {
        return Ok(Err(Rule::EnrolmentStanding));
    }
    records.put(
        enrolment_key(asked.hash(), tag),
        &Enrolment {
            seq: moved.seq,
            standing: moved.standing,
            reason: moved.reason,
            ..entry
        },
    );
    Ok(Ok(()))
}

/// R15: somebody who lost device and words is to get new pseudonym secrets. It moves the tag's
/// entry, where the owner sees it, takes effect after the delay, and happens once in a personhood
/// period (promise P5).
fn reset_pass<R: Read>(
    asked: Asked<'_>,
    issuer: &Hash32,
    at: (&PersonTag, u64),
    records: &mut Records<R>,
) -> Outcome<(), R::Error> {
    let entry = rule!(own_entry(asked, issuer, at, records)?);
    if entry.standing != Standing::Active {
        return Ok(Err(Rule::EnrolmentStanding));
    }
    if entry.reset_recently(asked.network.parameters, asked.now.time_ms)
        || entry.reset_pending(asked.network.parameters, asked.now.time_ms)
    {
        return Ok(Err(Rule::EnrolmentReset));
    }
    let (tag, seq) = at;
    let reset_ms = Some(asked.now.time_ms);
    let moved = Enrolment {
        seq,
        reset_ms,
        ..entry
    };
    records.put(enrolment_key(asked.hash(), tag), &moved);
    Ok(Ok(()))
}

/// R16: a reset that waits for its delay is taken back. That it was announced stays visible in the
/// entry's number; the person can be reset again.
fn cancel_reset<R: Read>(
    asked: Asked<'_>,
    issuer: &Hash32,
    at: (&PersonTag, u64),
    records: &mut Records<R>,
) -> Outcome<(), R::Error> {
    let entry = rule!(own_entry(asked, issuer, at, records)?);
    if !entry.reset_pending(asked.network.parameters, asked.now.time_ms) {
        return Ok(Err(Rule::EnrolmentReset));
    }
    let (tag, seq) = at;
    let moved = Enrolment {
        seq,
        reset_ms: None,
        ..entry
    };
    records.put(enrolment_key(asked.hash(), tag), &moved);
    Ok(Ok(()))
}

/// R4: the entry under a tag, where this issuer acts, made it, and moves it by one.
fn own_entry<R: Read>(
    asked: Asked<'_>,
    issuer: &Hash32,
    (tag, seq): (&PersonTag, u64),
    records: &Records<R>,
) -> Outcome<Enrolment, R::Error> {
    rule!(acting_issuer(asked, issuer, records)?);
    let Some(entry) = records.get::<Enrolment>(&enrolment_key(asked.hash(), tag))? else {
        return Ok(Err(Rule::EnrolmentUnknown));
    };
    if entry.issuer != *issuer {
        return Ok(Err(Rule::Signer));
    }
    if seq != entry.seq + 1 {
        return Ok(Err(Rule::Sequence));
    }
    Ok(Ok(entry))
}

/// R5: a registrar admits a service under an id that nobody has.
fn register<R: Read>(
    asked: Asked<'_>,
    issuer_id: &Hash32,
    id: &Hash32,
    digest: &Hash32,
    records: &mut Records<R>,
) -> Outcome<(), R::Error> {
    let issuer = rule!(acting_issuer(asked, issuer_id, records)?);
    let registers =
        |key: &IssuerKey| key.usage == KeyUse::Registration && key.status == KeyStatus::Active;
    if !issuer.keys.iter().any(registers) {
        return Ok(Err(Rule::IssuerKey));
    }
    let key = service_key(asked.hash(), id);
    if records.bytes(&key)?.is_some() {
        return Ok(Err(Rule::ServiceExists));
    }
    rule!(spend(asked, issuer_id, records, |totals| {
        totals.registrations += 1;
        totals.registrations <= issuer.registration_quota
    })?);
    records.put(
        key,
        &Service {
            seq: 0,
            digest: *digest,
            issuer: *issuer_id,
            standing: Standing::Active,
            reason: ReasonCode::None,
        },
    );
    Ok(Ok(()))
}

/// R6: the registrar of a service suspends, restores or ends it.
fn service_standing<R: Read>(
    asked: Asked<'_>,
    id: &Hash32,
    moved: &Moved<'_>,
    records: &mut Records<R>,
) -> Outcome<(), R::Error> {
    rule!(acting_issuer(asked, moved.issuer, records)?);
    let key = service_key(asked.hash(), id);
    let Some(entry) = records.get::<Service>(&key)? else {
        return Ok(Err(Rule::ServiceUnknown));
    };
    if entry.issuer != *moved.issuer {
        return Ok(Err(Rule::Signer));
    }
    if moved.seq != entry.seq + 1 {
        return Ok(Err(Rule::Sequence));
    }
    if !may_move(entry.standing, moved.standing) {
        return Ok(Err(Rule::ServiceStanding));
    }
    records.put(
        key,
        &Service {
            seq: moved.seq,
            standing: moved.standing,
            reason: moved.reason,
            ..entry
        },
    );
    Ok(Ok(()))
}

/// R13: an issuer says how many RealPasses it has issued for an epoch. What was said does not
/// shrink, so that it can be held against what people hold (promise P6).
fn pass_total<R: Read>(
    asked: Asked<'_>,
    id: &Hash32,
    epoch: u64,
    total: u64,
    records: &mut Records<R>,
) -> Outcome<(), R::Error> {
    let issuer = rule!(acting_issuer(asked, id, records)?);
    if issuer.pass_key(epoch).is_none() {
        return Ok(Err(Rule::IssuerKey));
    }
    let key = totals_key(asked.hash(), id, epoch);
    let totals = records.get::<Totals>(&key)?.unwrap_or_default();
    if epoch > asked.epoch() || total <= totals.passes {
        return Ok(Err(Rule::PassTotal));
    }
    let passes = total;
    records.put(key, &Totals { passes, ..totals });
    Ok(Ok(()))
}

/// R2: spends one of a sponsor's quota and answers who it is.
pub(crate) fn spend_sponsorship<R: Read>(
    network: Network<'_>,
    now: Moment,
    sponsorship: &Sponsorship,
    records: &mut Records<R>,
) -> Outcome<Arc<Issuer>, R::Error> {
    let by = &sponsorship.by.key;
    let asked = Asked { network, now, by };
    let issuer = rule!(acting_issuer(asked, &sponsorship.issuer, records)?);
    rule!(spend_record(
        asked,
        (&sponsorship.issuer, &issuer),
        records
    )?);
    Ok(Ok(issuer))
}

/// An active issuer, acting by one of its active operation keys.
pub(crate) fn acting_issuer<R: Read>(
    asked: Asked<'_>,
    id: &Hash32,
    records: &Records<R>,
) -> Outcome<Arc<Issuer>, R::Error> {
    let Some(issuer) = records.issuer(&issuer_key(asked.hash(), id))? else {
        return Ok(Err(Rule::IssuerUnknown));
    };
    if issuer.standing != Standing::Active {
        return Ok(Err(Rule::IssuerSuspended));
    }
    if !issuer.acts_with(KeyUse::Operation, asked.by) {
        return Ok(Err(Rule::Signer));
    }
    Ok(Ok(issuer))
}

/// R2: spends one of the records that an issuer may pay for in this epoch.
pub(crate) fn spend_record<R: Read>(
    asked: Asked<'_>,
    (id, issuer): (&Hash32, &Issuer),
    records: &mut Records<R>,
) -> Outcome<(), R::Error> {
    spend(asked, id, records, |totals| {
        totals.sponsored += 1;
        totals.sponsored <= issuer.sponsor_quota
    })
}

/// Adds to an issuer's totals of this epoch; `add` answers whether the quota still holds.
fn spend<R: Read>(
    asked: Asked<'_>,
    issuer: &Hash32,
    records: &mut Records<R>,
    add: impl FnOnce(&mut Totals) -> bool,
) -> Outcome<(), R::Error> {
    let epoch = asked.epoch();
    let key = totals_key(asked.hash(), issuer, epoch);
    let mut totals = records.get::<Totals>(&key)?.unwrap_or_default();
    if !add(&mut totals) {
        return Ok(Err(Rule::Quota));
    }
    records.put(key, &totals);
    Ok(Ok(()))
}

/// A standing changes, and what is ended stays ended.
pub(crate) fn may_move(from: Standing, to: Standing) -> bool {
    from != to && from != Standing::Ended
}
