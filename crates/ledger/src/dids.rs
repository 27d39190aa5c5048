//! The update rule of a DID, whole (spec/did.md, rules D1 to D12).
//!
//! Three parties hold keys: the device (*current*), the safe place (*next*) and the recovery
//! words (*recovery*). Who wins a race is settled by rank, not by speed:
//!
//! | by | may | even while frozen | even while a recovery is pending |
//! | --- | --- | --- | --- |
//! | next | rotate, deactivate | yes | yes; it ends both |
//! | recovery | freeze, recover | yes | yes; a new recovery replaces the old and waits anew |
//! | current | cancel, deactivate | no | cancel only |
//!
//! So a thief with the phone can be frozen out by the words and cannot stall a recovery; a thief
//! with the words can be overruled by the next key, which is kept off the device.

use crate::state::{Read, Records};
use crate::{Moment, Network, personhood, registry};
use realdid_core::did::{Inception, Keys, commitment};
use realdid_core::operation::{Body, SignedOperation};
use realdid_core::rule::Rule;
use realdid_core::state::{DidRecord, PendingRecovery, did_key};
use realdid_core::suite::PublicKey;

/// The party that a signing key belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Party {
    Current,
    Next,
    Recovery,
}

pub(crate) fn change<R: Read>(
    network: Network<'_>,
    now: Moment,
    signed: &SignedOperation,
    proof: &personhood::Answer,
    records: &mut Records<R>,
) -> Result<Result<(), Rule>, R::Error> {
    let Some(by) = signed.signatures.first().map(|by| &by.key) else {
        return Ok(Err(Rule::SignatureCount));
    };
    let (id, seq) = match &signed.operation.body {
        Body::Anchor(inception) => return anchor(network, now, inception, signed, proof, records),
        Body::Rotate(id, seq, _)
        | Body::Recover(id, seq, _)
        | Body::Cancel(id, seq)
        | Body::Freeze(id, seq)
        | Body::Deactivate(id, seq) => (id, *seq),
        _ => return Ok(Err(Rule::Shape)),
    };
    let key = did_key(network.hash_function(), id);
    let Some(stored) = records.get::<DidRecord>(&key)? else {
        return Ok(Err(Rule::DidUnknown));
    };
    // A recovery whose delay is over has taken effect, whether or not anyone wrote it down.
    let record = stored.at(now.time_ms);
    if seq != record.seq + 1 {
        return Ok(Err(Rule::Sequence));
    }
    let delay_ms = network.parameters.recovery_delay_s.saturating_mul(1000);
    match decide(&record, &signed.operation.body, by, now.time_ms, delay_ms) {
        Ok(changed) => {
            let changed = DidRecord {
                seq,
                updated_ms: now.time_ms,
                ..changed
            };
            records.put(key, &changed);
            Ok(Ok(()))
        }
        Err(rule) => Ok(Err(rule)),
    }
}

/// What a DID becomes by an operation of whoever holds `by`, or the rule against it.
fn decide(
    record: &DidRecord,
    body: &Body,
    by: &PublicKey,
    now_ms: u64,
    delay_ms: u64,
) -> Result<DidRecord, Rule> {
    if record.deactivated {
        return Err(Rule::DidDeactivated);
    }
    let party = party(&record.keys, by).ok_or(Rule::Signer)?;
    let unchanged = record.clone();
    match (body, party) {
        (Body::Rotate(_, _, keys), Party::Next) => Ok(DidRecord {
            keys: fresh(keys, &record.keys, by)?,
            frozen: false,
            pending: None,
            ..unchanged
        }),
        (Body::Recover(_, _, keys), Party::Recovery) => Ok(DidRecord {
            pending: Some(PendingRecovery {
                keys: fresh(keys, &record.keys, by)?,
                effective_ms: now_ms.saturating_add(delay_ms),
            }),
            ..unchanged
        }),
        (Body::Freeze(..), Party::Recovery) if record.frozen => Err(Rule::DidAlreadyFrozen),
        (Body::Freeze(..), Party::Recovery) => Ok(DidRecord {
            frozen: true,
            ..unchanged
        }),
        (Body::Cancel(..) | Body::Deactivate(..), Party::Current) if record.frozen => {
            Err(Rule::DidFrozen)
        }
        (Body::Cancel(..), Party::Current) if record.pending.is_none() => {
            Err(Rule::DidNotRecovering)
        }
        (Body::Cancel(..), Party::Current) => Ok(DidRecord {
            pending: None,
            ..unchanged
        }),
        (Body::Deactivate(..), Party::Current) if record.pending.is_some() => {
            Err(Rule::DidDisputed)
        }
        (Body::Deactivate(..), Party::Current | Party::Next) => Ok(DidRecord {
            deactivated: true,
            frozen: false,
            pending: None,
            ..unchanged
        }),
        _ => Err(Rule::Signer),
    }
}

/// D4: an anchor puts the inception on the ledger as it is, at a sponsor's expense or for one of
/// the person's own slots.
fn anchor<R: Read>(
    network: Network<'_>,
    now: Moment,
    inception: &Inception,
    signed: &SignedOperation,
    proof: &personhood::Answer,
    records: &mut Records<R>,
) -> Result<Result<(), Rule>, R::Error> {
    if inception.check().is_err() || inception.network != *network.name {
        return Ok(Err(Rule::Shape));
    }
    let by = |key: &PublicKey| inception.keys.current.contains(key);
    if !signed.signatures.iter().all(|signature| by(&signature.key)) {
        return Ok(Err(Rule::Signer));
    }
    let key = did_key(network.hash_function(), &inception.id());
    if records.bytes(&key)?.is_some() {
        return Ok(Err(Rule::DidExists));
    }
    let (sponsor, verified) = match (&signed.sponsor, proof) {
        (Some(sponsorship), None) => {
            match registry::spend_sponsorship(network, now, sponsorship, records)? {
                Ok(sponsor) => (Some(sponsor), None),
                Err(rule) => return Ok(Err(rule)),
            }
        }
        (None, Some(Ok(proved))) => match personhood::spend(network, proved, records)? {
            Ok(person) => (None, Some(person)),
            Err(rule) => return Ok(Err(rule)),
        },
        (None, Some(Err(rule))) => return Ok(Err(*rule)),
        (None, None) => return Ok(Err(Rule::Sponsor)),
        (Some(_), Some(_)) => return Ok(Err(Rule::UnneededSponsor)),
    };
    // P1: an endpoint is text on a public ledger, so it stands only under a domain that
    // governance has admitted. A person's DID has none.
    let under = |url: &String| {
        sponsor
            .as_ref()
            .and_then(|sponsor| url.strip_prefix(&sponsor.url))
            .is_some_and(|rest| rest.starts_with('/'))
    };
    if !inception.endpoints.iter().all(under) {
        return Ok(Err(Rule::Endpoint));
    }
    let record = DidRecord {
        seq: 0,
        keys: inception.keys.clone(),
        endpoints: inception.endpoints.clone(),
        frozen: false,
        pending: None,
        deactivated: false,
        created_ms: now.time_ms,
        updated_ms: now.time_ms,
        verified,
    };
    records.put(key, &record);
    Ok(Ok(()))
}

/// Whose key this is. The commitments come first: a shown key proves that its holder has it.
fn party(keys: &Keys, by: &PublicKey) -> Option<Party> {
    let shown = commitment(by);
    if shown == keys.next {
        Some(Party::Next)
    } else if shown == keys.recovery {
        Some(Party::Recovery)
    } else if keys.current.contains(by) {
        Some(Party::Current)
    } else {
        None
    }
}

/// D6: new keys are well formed and do not lean on a key that was just shown, or on the old
/// current keys, which may be in other hands. The next key changes with every use; the recovery
/// commitment may stay, since freezing must not cost the words.
fn fresh(new: &Keys, old: &Keys, shown: &PublicKey) -> Result<Keys, Rule> {
    new.check().map_err(|_| Rule::Shape)?;
    let reused = new
        .current
        .iter()
        .any(|key| key == shown || old.current.contains(key))
        || (commitment(shown) == old.next && new.next == old.next);
    if reused {
        Err(Rule::DidReuse)
    } else {
        Ok(new.clone())
    }
}
