//! How far recognised networks have come, from committee to committee, and whether one of them has
//! forked (spec/operations.md, rules G8 to G10).
//!
//! Anybody may show it, since the other network's validators have signed all of it. Each operation
//! replaces what a recognition keeps by what is newer, or ends in a refusal: so none of them creates
//! state, and none can be played again.

use crate::registry::{Asked, Outcome};
use crate::state::{Read, Records};
use realdid_core::answer::HandOver;
use realdid_core::certificate::{claimed_epoch, verify_finalization};
use realdid_core::did::NetworkName;
use realdid_core::governance::{ForeignCheckpoint, Fork, RULES_OF_FOLLOWING, Recognition};
use realdid_core::header::{Checkpoint, Header};
use realdid_core::rule::Rule;
use realdid_core::state::{ReasonCode, Standing, recognition_key};
use realdid_core::terms::TermError;
use realdid_core::trie::Key;
use std::cmp::Ordering;

/// G8: a newer checkpoint of a recognised network, certified by the committee of its height.
pub(crate) fn checkpoint<R: Read>(
    asked: Asked<'_>,
    network: &NetworkName,
    checkpoint: &Checkpoint,
    records: &mut Records<R>,
) -> Outcome<(), R::Error> {
    let (key, recognition) = rule!(followed(asked, network, records)?);
    let Ok(header) = Header::decode(&checkpoint.header.0) else {
        return Ok(Err(Rule::Shape));
    };
    if header.network != recognition.recognised.network {
        return Ok(Err(Rule::RecognitionCheckpoint));
    }
    // Newer by what is sealed as well: a slot has one checkpoint, and the others say no more.
    let newer = recognition.latest.is_none_or(|kept| {
        header.height > kept.height && header.sealed.height > kept.sealed.height
    });
    if !newer {
        return Ok(Err(Rule::RecognitionBehind));
    }
    let latest = Some(ForeignCheckpoint::of(&header));
    // Last, because it costs the most.
    let recognition = if asked.network.parameters.rules < RULES_OF_FOLLOWING {
        rule!(by_named_key(
            &recognition,
            &header,
            &checkpoint.certificate.0
        ));
        recognition
    } else {
        let terms = recognition.terms();
        let claimed = (header.clone(), header.digest());
        let checked = rule!(
            terms
                .certified(claimed, &checkpoint.certificate.0)
                .map_err(|error| broken(&error))
        );
        match recognition.followed {
            Some(_) => recognition.at_term(&terms, checked.term),
            None => recognition,
        }
    };
    records.put(
        key,
        &Recognition {
            latest,
            ..recognition
        },
    );
    Ok(Ok(()))
}

/// The rules before terms were followed: the key that governance named, for whatever term.
fn by_named_key(
    recognition: &Recognition,
    header: &Header,
    certificate: &[u8],
) -> Result<(), Rule> {
    let recognised = &recognition.recognised;
    let (key, digest) = (&recognised.network_key.0, header.digest().0);
    verify_finalization(key, &recognised.namespace(), certificate, &digest)
        .map(drop)
        .map_err(|_| Rule::RecognitionCheckpoint)
}

/// G9: the newest committee of a recognised network that is known hands it on to the next one.
pub(crate) fn hand_over<R: Read>(
    asked: Asked<'_>,
    network: &NetworkName,
    hand_over: &HandOver,
    records: &mut Records<R>,
) -> Outcome<(), R::Error> {
    let (key, recognition) = rule!(followed(asked, network, records)?);
    let Ok(by) = claimed_epoch(&hand_over.checkpoint.certificate.0) else {
        return Ok(Err(Rule::RecognitionCheckpoint));
    };
    let mut terms = recognition.terms();
    // Before anything is verified: what is known already costs nobody a pairing.
    match by.cmp(&terms.newest()) {
        Ordering::Less => return Ok(Err(Rule::RecognitionBehind)),
        Ordering::Greater => return Ok(Err(Rule::RecognitionHandOver)),
        Ordering::Equal => {}
    }
    if let Err(error) = terms.hand_over(hand_over) {
        return Ok(Err(broken(&error)));
    }
    records.put(key, &recognition.at_term(&terms, by));
    Ok(Ok(()))
}

/// G10: two final headers of a recognised network at one height suspend the recognition, until
/// governance decides otherwise. The evidence stays, and does not suspend it again.
pub(crate) fn fork<R: Read>(
    asked: Asked<'_>,
    network: &NetworkName,
    (one, other): (&Checkpoint, &Checkpoint),
    records: &mut Records<R>,
) -> Outcome<(), R::Error> {
    let (key, recognition) = rule!(followed(asked, network, records)?);
    let terms = recognition.terms();
    let claimed = |checkpoint| terms.claimed(checkpoint).map_err(|error| broken(&error));
    let (first, second) = (rule!(claimed(one)), rule!(claimed(other)));
    let height = first.0.height;
    if second.0.height != height || first.1 == second.1 {
        return Ok(Err(Rule::RecognitionNoFork));
    }
    // After a fork there are two headers at every height: whoever restores has judged them.
    if recognition.fork.is_some_and(|known| height <= known.height) {
        return Ok(Err(Rule::RecognitionBehind));
    }
    let (lesser, greater) = (first.1.min(second.1), first.1.max(second.1));
    for (claimed, checkpoint) in [(first, one), (second, other)] {
        let certified = terms.certified(claimed, &checkpoint.certificate.0);
        rule!(certified.map_err(|error| broken(&error)));
    }
    let fork = Fork {
        height,
        one: lesser,
        other: greater,
        shown: asked.now.height,
    };
    records.put(
        key,
        &Recognition {
            standing: Standing::Suspended,
            reason: ReasonCode::Fork,
            fork: Some(fork),
            ..recognition
        },
    );
    Ok(Ok(()))
}

/// A recognition that is active, with its key. One that is not is followed no further.
fn followed<R: Read>(
    asked: Asked<'_>,
    network: &NetworkName,
    records: &Records<R>,
) -> Outcome<(Key, Recognition), R::Error> {
    let key = recognition_key(asked.hash(), network.as_str());
    let Some(recognition) = records.get::<Recognition>(&key)? else {
        return Ok(Err(Rule::RecognitionUnknown));
    };
    if recognition.standing != Standing::Active {
        return Ok(Err(Rule::RecognitionStanding));
    }
    Ok(Ok((key, recognition)))
}

/// Which of the ledger's rules a claim about another network breaks.
fn broken(error: &TermError) -> Rule {
    match error {
        TermError::Codec(_) => Rule::Shape,
        TermError::WrongNetwork { .. }
        | TermError::Certificate(_)
        | TermError::Unknown { .. }
        | TermError::Outside { .. } => Rule::RecognitionCheckpoint,
        TermError::Proof(_) | TermError::Fork | TermError::HandOver | TermError::Past => {
            Rule::RecognitionHandOver
        }
    }
}
