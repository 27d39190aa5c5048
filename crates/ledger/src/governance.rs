//! Governance: who decides, what can be decided, and the record of it (spec/operations.md, rules
//! R8 to R12, R14, G1 to G7 and G11 to G14).
//!
//! A decision is by a threshold of keys and carries a reason. Each leaves a record that is never
//! changed, so that who decided what can be read, and proved, for good.

use crate::Network;
use crate::registry::{Asked, Outcome, may_move};
use crate::state::{Read, Records};
use realdid_core::genesis::Genesis;
use realdid_core::genesis::Parameters;
use realdid_core::governance::{
    Committee, DecisionRecord, Governance, NOTICE_BLOCKS, NextParameters, NextTerm, RULES_OF_TERMS,
    Recognised, Recognition, RunningParameters, Term,
};
use realdid_core::hash::Hash32;
use realdid_core::operation::{Decision, SignedOperation};
use realdid_core::rule::Rule;
use realdid_core::state::{
    EpochKey, Issuer, IssuerKey, KeyStatus, MAX_ISSUER_KEYS, MAX_PASS_KEYS, ReasonCode, Standing,
    committee_key, decision_key, governance_key, issuer_key, parameters_key, recognition_key,
};
use realdid_core::suite::PublicKey;

/// How many blocks lie at least between a decision about the committee and its first block.
const TERM_NOTICE_BLOCKS: u64 = 2 * NOTICE_BLOCKS;

/// The parameters under which a block at `height` runs; those of `network` where the ledger has
/// none.
pub fn parameters_at<R: Read>(
    network: Network<'_>,
    height: u64,
    records: &Records<R>,
) -> Result<Parameters, R::Error> {
    let running: Option<RunningParameters> =
        records.get(&parameters_key(network.hash_function()))?;
    Ok(match running {
        Some(running) => running.at(height).clone(),
        None => network.parameters.clone(),
    })
}

/// G11, G14: what a block does to the record of the committee before its operations: the first one
/// under the rules of terms writes it, and a term that nobody can prove is put off.
pub fn begin_block<R: Read>(
    genesis: &Genesis,
    height: u64,
    sealed_height: u64,
    records: &mut Records<R>,
) -> Result<(), R::Error> {
    let network = Network {
        name: &genesis.network,
        parameters: &genesis.parameters,
    };
    if parameters_at(network, height, records)?.rules < RULES_OF_TERMS {
        return Ok(());
    }
    let key = committee_key(genesis.hash_function());
    // The record that was carried here from another network is of that one's committee.
    let carried = genesis.predecessor.is_some() && height == 1;
    match records.get::<Committee>(&key)?.filter(|_| !carried) {
        None => records.put(key, &Committee::of(genesis.term())),
        Some(committee) => {
            if let Some(after) = committee.before(height, sealed_height) {
                records.put(key, &after);
            }
        }
    }
    Ok(())
}

/// R8: a decision carries the signatures of at least the threshold of governance keys, and of
/// nobody else. G1: it leaves a record.
pub(crate) fn govern<R: Read>(
    asked: Asked<'_>,
    seq: u64,
    decision: &Decision,
    reason: ReasonCode,
    signed: &SignedOperation,
    records: &mut Records<R>,
) -> Outcome<(), R::Error> {
    let by = asked.hash();
    let Some(governance) = records.get::<Governance>(&governance_key(by))? else {
        return Ok(Err(Rule::Signer));
    };
    let known = |key: &PublicKey| governance.keys.contains(key);
    if !signed.signatures.iter().all(|by| known(&by.key)) {
        return Ok(Err(Rule::Signer));
    }
    if (signed.signatures.len() as u64) < governance.threshold {
        return Ok(Err(Rule::SignatureCount));
    }
    if seq != governance.seq + 1 {
        return Ok(Err(Rule::Sequence));
    }
    let governance = Governance { seq, ..governance };
    let governance = match decision {
        Decision::AdmitIssuer(_)
        | Decision::IssuerStanding(..)
        | Decision::AddIssuerKey(..)
        | Decision::IssuerKeyStatus(..)
        | Decision::AddPassKey(..) => {
            let issuer = rule!(issuer(asked, decision, reason, records)?);
            records.put(issuer_key(by, &issuer.id(by)), &issuer);
            governance
        }
        Decision::Parameters(from, parameters) => {
            rule!(schedule(asked, *from, parameters, &governance, records)?);
            governance
        }
        Decision::Governors(threshold, keys) => {
            rule!(governors(governance, *threshold, keys))
        }
        Decision::Recognise(recognised) => {
            rule!(recognise(asked, recognised, reason, records)?);
            governance
        }
        Decision::RecognitionStanding(network, standing) => {
            rule!(recognition_standing(
                asked,
                network.as_str(),
                *standing,
                reason,
                records
            )?);
            governance
        }
        Decision::Committee(term) => {
            rule!(next_term(asked, term, reason, records)?);
            governance
        }
    };
    records.put(governance_key(by), &governance);
    let record = DecisionRecord {
        height: asked.now.height,
        time_ms: asked.now.time_ms,
        operation: signed.id(),
        decision: decision.clone(),
        reason,
        keys: signed.signatures.iter().map(|by| by.key.clone()).collect(),
    };
    records.put(decision_key(by, seq), &record);
    Ok(Ok(()))
}

/// G2: new parameters keep their bounds and what is fixed, never go back to older rules, and stand
/// from at least [`NOTICE_BLOCKS`] ahead. Suites that governance's own keys are of stay admitted, or
/// nobody could decide any more. Whether this program knows the rules does not matter here: those
/// that do must agree with those that do not (H18).
fn schedule<R: Read>(
    asked: Asked<'_>,
    from: u64,
    parameters: &Parameters,
    governance: &Governance,
    records: &mut Records<R>,
) -> Outcome<(), R::Error> {
    let now = asked.network.parameters;
    let governs = |key: &PublicKey| parameters.admits(key.suite());
    let sound = parameters.are_bounded()
        && parameters.suites_are_listed()
        && parameters.keeps_what_is_fixed(now)
        && parameters.rules >= now.rules
        && governance.keys.iter().all(governs)
        && from >= asked.now.height.saturating_add(NOTICE_BLOCKS);
    if !sound {
        return Ok(Err(Rule::Parameters));
    }
    let running = RunningParameters {
        current: now.clone(),
        next: Some(NextParameters {
            from,
            parameters: parameters.clone(),
        }),
    };
    records.put(parameters_key(asked.hash()), &running);
    Ok(Ok(()))
}

/// G3: those who decide hand on to others, by the threshold of before.
fn governors(before: Governance, threshold: u64, keys: &[PublicKey]) -> Result<Governance, Rule> {
    let after = Governance {
        threshold,
        keys: keys.to_vec(),
        ..before
    };
    if after.is_well_formed() {
        Ok(after)
    } else {
        Err(Rule::Governors)
    }
}

/// G6: another network is recognised by its name. Later decisions change what of it is accepted and
/// the term from which on it is followed, never which network it is: that follows from its genesis.
fn recognise<R: Read>(
    asked: Asked<'_>,
    recognised: &Recognised,
    reason: ReasonCode,
    records: &mut Records<R>,
) -> Outcome<(), R::Error> {
    if !recognised.is_well_formed(asked.network.name) {
        return Ok(Err(Rule::Shape));
    }
    let key = recognition_key(asked.hash(), recognised.network.as_str());
    let recognition = match records.get::<Recognition>(&key)? {
        None => Recognition::of(recognised.clone(), reason),
        Some(known) if known.standing == Standing::Ended => {
            return Ok(Err(Rule::RecognitionStanding));
        }
        Some(known)
            if known.recognised.genesis == recognised.genesis
                && known.recognised.network == recognised.network =>
        {
            known.decided(recognised.clone(), reason)
        }
        Some(_) => return Ok(Err(Rule::RecognitionExists)),
    };
    records.put(key, &recognition);
    Ok(Ok(()))
}

/// G12, G13: the committee that follows the running one.
fn next_term<R: Read>(
    asked: Asked<'_>,
    term: &Term,
    reason: ReasonCode,
    records: &mut Records<R>,
) -> Outcome<(), R::Error> {
    let key = committee_key(asked.hash());
    let height = asked.now.height;
    let Some(committee) = records.get::<Committee>(&key)? else {
        return Ok(Err(Rule::TermNumber));
    };
    let Committee { running, next } = committee.from(height);
    if next.is_some() || running.number.checked_add(1) != Some(term.number) {
        return Ok(Err(Rule::TermNumber));
    }
    if term.first < height.saturating_add(TERM_NOTICE_BLOCKS) {
        return Ok(Err(Rule::TermNotice));
    }
    if !term.is_well_formed() {
        return Ok(Err(Rule::TermShape));
    }
    // Whoever has shares of the old key has them for good.
    let same = term.network_key == running.network_key;
    if same && reason == ReasonCode::KeyCompromise {
        return Ok(Err(Rule::TermKey));
    }
    let next = NextTerm {
        term: term.clone(),
        since: height,
        shown: None,
    };
    records.put(
        key,
        &Committee {
            running,
            next: Some(next),
        },
    );
    Ok(Ok(()))
}

/// G7: a recognition is suspended, restored or ended as R3 says of standings. What of the other
/// network was followed stays.
fn recognition_standing<R: Read>(
    asked: Asked<'_>,
    network: &str,
    standing: Standing,
    reason: ReasonCode,
    records: &mut Records<R>,
) -> Outcome<(), R::Error> {
    let key = recognition_key(asked.hash(), network);
    let Some(recognition) = records.get::<Recognition>(&key)? else {
        return Ok(Err(Rule::RecognitionUnknown));
    };
    if !may_move(recognition.standing, standing) {
        return Ok(Err(Rule::RecognitionStanding));
    }
    records.put(
        key,
        &Recognition {
            standing,
            reason,
            ..recognition
        },
    );
    Ok(Ok(()))
}

/// R9 to R12 and R14: what a decision makes of an issuer.
fn issuer<R: Read>(
    asked: Asked<'_>,
    decision: &Decision,
    reason: ReasonCode,
    records: &Records<R>,
) -> Outcome<Issuer, R::Error> {
    let by = asked.hash();
    let known = |id: &Hash32| -> Outcome<Issuer, R::Error> {
        let found: Option<Issuer> = records.get(&issuer_key(by, id))?;
        Ok(found.ok_or(Rule::IssuerUnknown))
    };
    match decision {
        Decision::AdmitIssuer(proposed) => {
            let taken = records.bytes(&issuer_key(by, &proposed.id(by)))?.is_some();
            Ok(admitted(proposed, taken, asked.now.height))
        }
        Decision::IssuerStanding(id, standing) => {
            let issuer = rule!(known(id)?);
            if !may_move(issuer.standing, *standing) {
                return Ok(Err(Rule::IssuerStanding));
            }
            Ok(Ok(Issuer {
                standing: *standing,
                reason,
                ..issuer
            }))
        }
        Decision::AddIssuerKey(id, key) => {
            let mut issuer = rule!(known(id)?);
            let taken = issuer.keys.iter().any(|known| known.key == key.key);
            if taken || key.status != KeyStatus::Active || issuer.keys.len() >= MAX_ISSUER_KEYS {
                return Ok(Err(Rule::IssuerKey));
            }
            issuer.keys.push(IssuerKey {
                since: asked.now.height,
                ..key.clone()
            });
            Ok(Ok(issuer))
        }
        Decision::IssuerKeyStatus(id, kid, status) => {
            let mut issuer = rule!(known(id)?);
            let Some(key) = issuer.keys.iter_mut().find(|key| key.id() == *kid) else {
                return Ok(Err(Rule::IssuerKey));
            };
            rule!(may_become(key.status, *status, asked.now.height));
            key.status = *status;
            Ok(Ok(issuer))
        }
        Decision::AddPassKey(id, entry) => {
            let issuer = rule!(known(id)?);
            let now_ms = asked.now.time_ms;
            let begins = asked
                .network
                .parameters
                .pass_unissued(entry.from_epoch, now_ms);
            Ok(with_pass_key(issuer, entry, begins))
        }
        _ => Ok(Err(Rule::Shape)),
    }
}

/// R9: an issuer as it is admitted. P7: the ledger says since when it knows a key, not the one who
/// proposes it.
fn admitted(proposed: &Issuer, taken: bool, height: u64) -> Result<Issuer, Rule> {
    if taken {
        return Err(Rule::IssuerExists);
    }
    if !proposed.is_well_formed() {
        return Err(Rule::Shape);
    }
    let mut issuer = proposed.clone();
    for key in &mut issuer.keys {
        key.since = height;
    }
    Ok(issuer)
}

/// R14: an epoch for which RealPasses may have been issued keeps its key, so that nobody's is
/// another one.
fn with_pass_key(mut issuer: Issuer, entry: &EpochKey, begins: bool) -> Result<Issuer, Rule> {
    let last = issuer.pass_keys.last();
    let later = last.is_none_or(|last| last.from_epoch < entry.from_epoch);
    let point = realdid_pass::bbs::PublicKey::from_bytes(&entry.key.0).is_ok();
    if !(begins && later && point) || issuer.pass_keys.len() >= MAX_PASS_KEYS {
        return Err(Rule::IssuerKey);
    }
    issuer.pass_keys.push(entry.clone());
    Ok(issuer)
}

/// P7: an active key is retired or found compromised, a retired one may still be found
/// compromised, and nothing is undone. No height lies in the future.
fn may_become(from: KeyStatus, to: KeyStatus, height: u64) -> Result<(), Rule> {
    match (from, to) {
        (KeyStatus::Active, KeyStatus::Retired(h))
        | (KeyStatus::Active | KeyStatus::Retired(_), KeyStatus::Compromised(h))
            if h <= height =>
        {
            Ok(())
        }
        _ => Err(Rule::IssuerKey),
    }
}
