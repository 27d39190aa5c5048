//! The person's RealPasses: what is taken from an authority, and how one is shown
//! (spec/realpass.md, B11 to B15 and B18 to B23; spec/wallet.md, W8 and W12).
//!
//! Whoever is issued something that others are not can be told from them at every service. So what
//! an authority answers is held against all that is known: the one key on the ledger, the closed
//! sets, the PID of the same authority, the person's entry under their tag, and the entropy of the
//! RealPass before. What does not fit is not stored.
//!
//! Everything here is a function over values; [`crate::renew`] asks and stores.

use crate::content::{FactCodes, HeldPass, RealPasses};
use crate::error::CliError;
use crate::schedule::utc;
use crate::secret::{Secret32, SecretBytes};
use realdid_core::codec::Bytes;
use realdid_core::did::NetworkName;
use realdid_core::genesis::Parameters;
use realdid_core::state::{Enrolment, Issuer, Standing, issuer_id};
use realdid_credential::realpass::{self, Envelope, Fact};
use realdid_exchange::vci::{PassAnswer, PassRequest, VciError};
use realdid_pass::facts::{Adult, Assurance, Continuity, EPOCH, FACTS, Facts, Kind, Region, terms};
use realdid_pass::{Context, Credential, Issued, PassError, PassKey, PseudonymSecrets, Seeded};
use serde_json::{Map, Value, json};

/// Why what an authority answered is not taken, or what is held not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PassRefused {
    #[error("the authority is on the ledger, active, and has a RealPass key for the epoch")]
    KeyUnknown,
    #[error(
        "a RealPass says the epoch that was asked for and facts of the closed sets, and nothing else"
    )]
    Marked,
    #[error(
        "the signature is by the one key that the ledger has for everybody, over these facts and this wallet's secrets"
    )]
    Signature,
    #[error("a RealPass says of you what the PID of the same authority says")]
    Facts,
    #[error("a RealPass says that you were reset only where your entry on the ledger does")]
    Continuity,
    #[error(
        "ALARM: a refresh carries the authority's part of your secrets as it was; another one would give you other pseudonyms everywhere"
    )]
    OtherEntropy,
    #[error("the issuer answers as spec/realpass.md says")]
    Answer,
    #[error("what the wallet holds of a RealPass is whole")]
    Held,
}

impl PassRefused {
    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::KeyUnknown => "pass.key_unknown",
            Self::Marked => "pass.marked",
            Self::Signature => "pass.signature",
            Self::Facts => "pass.facts",
            Self::Continuity => "pass.continuity",
            Self::OtherEntropy => "pass.other_entropy",
            Self::Answer => "pass.answer",
            Self::Held => "pass.held",
        }
    }

    /// Who can put it right.
    pub fn fault(self) -> &'static str {
        match self {
            Self::Held => "this device or its user",
            _ => "authority",
        }
    }

    /// What to do about it.
    pub fn fix(self) -> &'static str {
        match self {
            Self::KeyUnknown => "wait until the authority is active and has a key on the ledger",
            Self::Marked | Self::Signature => {
                "nothing was stored; report the authority: what it issued to you could be told from what others have"
            }
            Self::Facts | Self::Continuity => {
                "nothing was stored; ask the authority at its counter which of the two is right"
            }
            Self::OtherEntropy => {
                "nothing was stored, and the RealPass that you have stays as it is; go to the authority's counter and to its supervisor, and keep the recovery words"
            }
            Self::Answer => "ask the authority's operator to correct its answer",
            Self::Held => "restore the wallet from a copy, or refresh: `realdid wallet refresh`",
        }
    }
}

impl From<PassError> for PassRefused {
    fn from(error: PassError) -> Self {
        match error {
            PassError::OtherEntropy => Self::OtherEntropy,
            PassError::Messages => Self::Marked,
            _ => Self::Signature,
        }
    }
}

impl From<VciError> for PassRefused {
    fn from(error: VciError) -> Self {
        match error {
            VciError::PassMarked => Self::Marked,
            _ => Self::Answer,
        }
    }
}

// ---- taking ---------------------------------------------------------------------------------

/// What an answer is held against.
#[derive(Clone, Copy)]
pub struct Expected<'a> {
    pub network: &'a NetworkName,
    pub epoch: u64,
    /// The authority's proved record.
    pub issuer: &'a Issuer,
    /// The person's own proved entry; none where it is not at hand.
    pub enrolment: Option<&'a Enrolment>,
    /// The claims of a PID of the same authority, with the epoch that they are of.
    pub pid: Option<(&'a Map<String, Value>, u64)>,
}

/// The body of a request for `epoch` (B22).
pub fn request(seed: &Secret32, epoch: u64, random: &mut Seeded) -> Result<Value, PassRefused> {
    let secrets = PseudonymSecrets::from_seed(seed.bytes());
    let request = secrets.request(random)?;
    Ok(PassRequest { epoch, request }.to_body())
}

/// Checks an answer, all of it, and gives what is to be stored.
pub fn take(
    body: &[u8],
    passes: &RealPasses,
    expected: &Expected<'_>,
) -> Result<HeldPass, PassRefused> {
    let answer = PassAnswer::parse(body, expected.epoch)?;
    check_pid(&answer.facts, expected)?;
    check_continuity(&answer.facts, expected)?;
    let key = key_on_ledger(expected.issuer, expected.epoch)?;
    let public = pass_key(expected.network, &expected.issuer.url, &key.0)?;
    let secrets = PseudonymSecrets::from_seed(passes.seed.bytes());
    let held = HeldPass {
        issuer: expected.issuer.url.clone(),
        epoch: expected.epoch,
        key,
        facts: codes(&answer.facts),
        issued: SecretBytes::new(answer.issued.to_bytes().as_slice()),
    };
    let messages = answer.facts.messages()?;
    // The RealPass before says which entropy is the person's. There is none on a device that was
    // rebuilt from the words: the authority's record is what it is then.
    let before = passes
        .held
        .iter()
        .rev()
        .find(|before| before.issuer == held.issuer);
    match before {
        Some(before) => {
            let (_, known) = open(before, &passes.seed, expected.network)?;
            known.renew(&public, &secrets, messages, answer.issued)?;
        }
        None => {
            Credential::accept(&public, &secrets, messages, answer.issued)?;
        }
    }
    Ok(held)
}

/// The one key that the ledger has for an epoch, 96 bytes.
fn key_on_ledger(issuer: &Issuer, epoch: u64) -> Result<Bytes, PassRefused> {
    if issuer.standing != Standing::Active {
        return Err(PassRefused::KeyUnknown);
    }
    let key = issuer.pass_key(epoch).ok_or(PassRefused::KeyUnknown)?;
    Ok(Bytes(key.0.to_vec()))
}

/// The key with the terms that everybody under it agrees on (B20).
fn pass_key(network: &NetworkName, issuer: &str, key: &[u8]) -> Result<PassKey, PassRefused> {
    let terms = terms(
        network.as_str(),
        &issuer_id(network.hash_function(), issuer).0,
    );
    let key = key.try_into().map_err(|_| PassRefused::KeyUnknown)?;
    PassKey::new(key, &terms, FACTS).map_err(|_| PassRefused::KeyUnknown)
}

/// Whether the facts are those of the PID. `unstated` contradicts nothing; the region is coarser
/// than the PID's in a way that only the authority knows.
fn check_pid(facts: &Facts, expected: &Expected<'_>) -> Result<(), PassRefused> {
    let Some((claims, pid_epoch)) = expected.pid else {
        return Ok(());
    };
    let of_age = claims
        .get("age_equal_or_over")
        .and_then(|ages| ages.get("18"))
        .and_then(Value::as_bool);
    // Somebody comes of age between two epochs, and never the other way round.
    let adult = match (facts.adult, of_age) {
        (Adult::Unstated, _) | (_, None) => true,
        (Adult::Yes, Some(of_age)) => of_age || pid_epoch < expected.epoch,
        (Adult::No, Some(of_age)) => !of_age || pid_epoch > expected.epoch,
    };
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let assurance = text("assurance").is_none_or(|name| name == facts.assurance.name());
    let nationalities = claims.get("nationalities").and_then(Value::as_array);
    let national = text("issuing_country").zip(nationalities);
    let national = national.map(|(country, of)| of.iter().any(|code| code == country));
    let kind = match facts.kind {
        Kind::Unstated => true,
        Kind::Resident => {
            claims.contains_key("personal_administrative_number") || national != Some(false)
        }
        Kind::Foreigner => national != Some(true),
    };
    if adult && assurance && kind {
        Ok(())
    } else {
        Err(PassRefused::Facts)
    }
}

/// Whether a RealPass that says its holder was reset does so where the ledger shows a reset: it is a
/// rare fact, and so a mark on whoever was not. That somebody was reset and it says nothing of it is
/// no harm to its holder.
fn check_continuity(facts: &Facts, expected: &Expected<'_>) -> Result<(), PassRefused> {
    let shown = expected.enrolment.map(|entry| entry.reset_ms.is_some());
    if facts.continuity == Continuity::Reset && shown == Some(false) {
        return Err(PassRefused::Continuity);
    }
    Ok(())
}

fn codes(facts: &Facts) -> FactCodes {
    FactCodes([
        facts.adult as u8,
        facts.region as u8,
        facts.kind as u8,
        facts.assurance as u8,
        facts.continuity as u8,
    ])
}

// ---- holding --------------------------------------------------------------------------------

/// What a RealPass says of its holder.
pub fn facts(held: &HeldPass) -> Result<Facts, PassRefused> {
    let FactCodes([adult, region, kind, assurance, continuity]) = held.facts;
    let read = || {
        Ok(Facts {
            epoch: held.epoch,
            adult: Adult::from_message(&[adult])?,
            region: Region::from_message(&[region])?,
            kind: Kind::from_message(&[kind])?,
            assurance: Assurance::from_message(&[assurance])?,
            continuity: Continuity::from_message(&[continuity])?,
        })
    };
    read().map_err(|_: PassError| PassRefused::Held)
}

/// Verifies what is held again, and gives what proofs are made from.
pub fn open(
    held: &HeldPass,
    seed: &Secret32,
    network: &NetworkName,
) -> Result<(PassKey, Credential), PassRefused> {
    let key = pass_key(network, &held.issuer, &held.key.0).map_err(|_| PassRefused::Held)?;
    let secrets = PseudonymSecrets::from_seed(seed.bytes());
    let issued = Issued::from_bytes(held.issued.bytes()).map_err(|_| PassRefused::Held)?;
    let messages = facts(held)?.messages().map_err(|_| PassRefused::Held)?;
    let credential = Credential::accept(&key, &secrets, messages, issued);
    Ok((key, credential.map_err(|_| PassRefused::Held)?))
}

/// The RealPass that stands now: the current epoch's; within the clocks' tolerance at its end, the
/// one before.
pub fn standing<'a>(
    passes: &'a RealPasses,
    parameters: &Parameters,
    now_ms: u64,
) -> Option<&'a HeldPass> {
    let current = passes.of_epoch(parameters.epoch_at(now_ms));
    let stands = |held: &&HeldPass| parameters.pass_stands(held.epoch, now_ms);
    current.or_else(|| passes.held.iter().rev().find(stands))
}

// ---- showing --------------------------------------------------------------------------------

/// To whom, for which request, and beside which DID a RealPass is shown.
#[derive(Debug, Clone, Copy)]
pub struct Occasion<'a> {
    /// The service's registration id: the context of the pseudonym.
    pub service: &'a [u8; 32],
    pub nonce: &'a str,
    pub audience: &'a str,
    pub did: Option<&'a str>,
}

/// Shows the epoch and the asked facts (spec/login.md, A2 and A5), as it stands in a `vp_token`.
pub fn show(
    held: &HeldPass,
    seed: &Secret32,
    network: &NetworkName,
    asked: &[Fact],
    occasion: &Occasion<'_>,
    random: &mut Seeded,
) -> Result<String, PassRefused> {
    let (key, credential) = open(held, seed, network)?;
    let mut disclosed: Vec<usize> = asked.iter().map(|fact| fact.index()).collect();
    disclosed.push(EPOCH);
    disclosed.sort_unstable();
    disclosed.dedup();
    let binding = realpass::binding(occasion.nonce, occasion.audience, occasion.did);
    let context = Context::service(occasion.service);
    let presentation = credential.present(random, &key, &context, &disclosed, &binding);
    let envelope = Envelope {
        issuer: issuer_id(network.hash_function(), &held.issuer).0,
        presentation: presentation.map_err(|_| PassRefused::Held)?,
    };
    Ok(envelope.to_string())
}

/// What a RealPass shows of its holder in the context of a personhood slot: the epoch alone.
pub fn show_for_slot(
    held: &HeldPass,
    seed: &Secret32,
    network: &NetworkName,
    slot: &[u8],
    binding: &[u8],
    random: &mut Seeded,
) -> Result<Vec<u8>, PassRefused> {
    let (key, credential) = open(held, seed, network)?;
    let context = Context::personhood_slot(slot);
    let presentation = credential.present(random, &key, &context, &[EPOCH], binding);
    Ok(presentation.map_err(|_| PassRefused::Held)?.to_bytes())
}

/// What a fact tells, in words for the person; with its value where the RealPass is at hand.
pub fn words(fact: Fact, facts: Option<&Facts>) -> String {
    let Some(facts) = facts else {
        return fact.words().to_owned();
    };
    match fact {
        Fact::Adult => match facts.adult {
            Adult::Yes => "of age".to_owned(),
            Adult::No => "not of age".to_owned(),
            Adult::Unstated => "not stated whether of age".to_owned(),
        },
        Fact::Region => format!(
            "registered in the part of the country called {}",
            facts.region.name()
        ),
        Fact::Kind => format!("{} in the register", facts.kind.name()),
        Fact::Assurance => format!("verified at the level {}", facts.assurance.name()),
        Fact::Continuity => match facts.continuity {
            Continuity::Unbroken => "not reset lately".to_owned(),
            Continuity::Reset => "reset at the counter lately".to_owned(),
            Continuity::Unstated => "not stated whether reset lately".to_owned(),
        },
    }
}

/// The RealPasses as they are shown to their holder: no secret, no signature, no pseudonym.
pub fn to_json(passes: &RealPasses, parameters: &Parameters, now_ms: u64) -> Value {
    let held: Vec<Value> = passes
        .held
        .iter()
        .map(|held| {
            let facts = facts(held).ok();
            let named = facts.map(|facts| {
                json!({
                    "adult": facts.adult.name(),
                    "region": facts.region.name(),
                    "kind": facts.kind.name(),
                    "assurance": facts.assurance.name(),
                    "continuity": facts.continuity.name(),
                })
            });
            json!({
                "epoch": held.epoch,
                "issuer": held.issuer,
                "facts": named,
                "begins": utc(parameters.pass_begins_ms(held.epoch)),
                "ends": utc(parameters.pass_ends_ms(held.epoch)),
                "current": held.epoch == parameters.epoch_at(now_ms),
            })
        })
        .collect();
    let planned = passes
        .plan
        .filter(|plan| passes.of_epoch(plan.what).is_none());
    let last = passes.refusals.last();
    json!({
        "held": held,
        "nextRefresh": planned.map(|plan| json!({ "epoch": plan.what, "at": utc(plan.at_ms) })),
        "refusedRefreshes": passes.refused,
        "lastRefusal": last.map(|last| json!({ "at": utc(last.at_ms), "code": last.code })),
    })
}

impl From<PassRefused> for CliError {
    fn from(refused: PassRefused) -> Self {
        Self::new(
            refused.code(),
            &refused.to_string(),
            refused.fault(),
            refused.fix(),
        )
    }
}

#[cfg(test)]
pub(crate) mod test_desk;
#[cfg(test)]
mod tests;
