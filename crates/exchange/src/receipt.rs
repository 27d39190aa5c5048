//! What a know-your-customer login leaves behind: a receipt that somebody who audits the service checks
//! later, by themselves and without any network (spec/receipts.md, rules J1 to J9).
//!
//! ```text
//! gate      Receipt::seal   ──▶ its folder, and its service
//! auditor   Receipt::parse, then verify with the digest of a genesis
//! ```
//!
//! A receipt holds what the gate judged by: its request, the RealPass and the DID's proof that answered
//! it, and the ledger's records with their proofs, checkpoints and hand-overs. Verifying it is judging
//! the login once more, at the time that the gate has sealed. It shows predicates alone: whoever asks for
//! more gets no receipt.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realdid_core::answer::{HandOver, StateAnswer};
use realdid_core::did::NetworkName;
use realdid_core::genesis::Genesis;
use realdid_core::governance::Recognised;
use realdid_core::hash::Hash32;
use realdid_core::state::Standing;
use realdid_credential::jose::{self, SigningKey};
use realdid_credential::realpass::{self, Envelope, RealPassError};
use realdid_light::{Freshness, LightClient, LightError, MAX_AHEAD_MS};
use realdid_pass::Context;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::did_proof::{self, DidProofError};
use crate::refusal::refusals;
use crate::registration::Purpose;
use crate::vp::{
    self, AnswerTo, Ask, CheckedRequest, ClaimedRequest, Expected, PassClaim, Presented,
    RequestEvidence, RequestRefused, ResponseEvidence, VpError, WalletLink,
};

/// The `type` of a receipt.
pub const RECEIPT_TYPE: &str = "rdid-kyc-receipt/1";
/// The `typ` of its seal.
pub const SEAL_TYP: &str = "rdid-kyc-receipt+jwt";
/// The longest receipt, in bytes: two geneses, and hand-overs of some years.
pub const MAX_RECEIPT_BYTES: usize = 1 << 20;
/// The most hand-overs of one network.
pub const MAX_HAND_OVERS: usize = 64;

refusals! {
    /// Why a receipt does not show what it says, apart from what the rules of a login say.
    ReceiptRefused
    Malformed Verifier "receipt.malformed" "a receipt is JSON of type rdid-kyc-receipt/1 with the members of spec/receipts.md and no others, at most 1 MiB" "ask the service for the receipt as its gate wrote it",
    Trust Verifier "receipt.trust" "the receipt's genesis is the one that is trusted" "compare the digests with a source that you trust",
    Service Verifier "receipt.service" "the receipt is of the service that is asked about" "ask this service for its own receipt",
    Checkpoint Verifier "receipt.checkpoint" "each record hangs on a checkpoint that its network's validators have certified, by terms that lead from the genesis" "do not trust this receipt",
    CheckpointTime Verifier "receipt.checkpoint_time" "each checkpoint lies before the login, by no more than the limit" "raise --max-age to the gate's own max_staple_age_s, if that is known to be longer",
    Record Verifier "receipt.record" "each record is the one that its checkpoint's state proves" "do not trust this receipt",
    Purpose Verifier "receipt.purpose" "the purpose of the request is kyc" "ask for a receipt of a login with that purpose",
    Asked Verifier "receipt.asked" "the request asks for facts of a RealPass and nothing else" "ask for a receipt of a login that asked for predicates alone",
    Unrecognised Verifier "receipt.unrecognised" "the service's ledger recognised the person's network, by this very genesis" "do not trust this receipt",
    Suspended Verifier "receipt.recognition_suspended" "the recognition of the person's network was active" "do not trust this receipt",
    Future Verifier "receipt.future" "the login does not lie in the future" "compare the clocks of gate and auditor",
    Seal Verifier "receipt.seal" "evidence and time are sealed by the registered key of the service" "ask the service for the receipt as its gate wrote it",
}

/// A receipt was refused: by a rule of its own, or by one of the login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    #[error(transparent)]
    Receipt(#[from] ReceiptRefused),
    #[error(transparent)]
    Request(#[from] RequestRefused),
    #[error(transparent)]
    Answer(#[from] VpError),
}

impl From<DidProofError> for ReceiptError {
    fn from(error: DidProofError) -> Self {
        Self::Answer(error.into())
    }
}

impl From<RealPassError> for ReceiptError {
    fn from(error: RealPassError) -> Self {
        Self::Answer(error.into())
    }
}

impl From<LightError> for ReceiptError {
    fn from(error: LightError) -> Self {
        let refused = match error {
            LightError::Stale { .. } | LightError::Behind { .. } | LightError::Future => {
                ReceiptRefused::CheckpointTime
            }
            LightError::Proof(_) | LightError::Codec(_) => ReceiptRefused::Record,
            _ => ReceiptRefused::Checkpoint,
        };
        refused.into()
    }
}

impl ReceiptError {
    /// The stable, dotted code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Receipt(error) => error.code(),
            Self::Request(error) => error.code(),
            Self::Answer(error) => error.code(),
        }
    }

    /// The rule that failed.
    pub fn rule(self) -> &'static str {
        match self {
            Self::Receipt(error) => error.rule(),
            Self::Request(error) => error.rule(),
            Self::Answer(error) => error.rule(),
        }
    }

    /// What to do about it.
    pub fn fix(self) -> &'static str {
        match self {
            Self::Receipt(error) => error.fix(),
            Self::Request(error) => error.fix(),
            Self::Answer(error) => error.fix(),
        }
    }
}

// ---- what it holds ------------------------------------------------------------------------

/// A network, and how its committees followed each other: whoever trusts the genesis trusts the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    pub genesis: Genesis,
    pub hand_overs: Vec<HandOver>,
}

/// The person's network, where it is another than the service's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abroad {
    pub ledger: Ledger,
    /// The home ledger's word about it.
    pub recognition: StateAnswer,
}

/// What a login was judged by.
#[derive(Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The request object.
    pub request: String,
    /// The RealPass, as it stood in the answer.
    pub pass: String,
    /// The DID's proof beside it: the RealPass is bound to the DID.
    pub did_proof: String,
    /// The service's network.
    pub home: Ledger,
    /// The home ledger's word about the registrar.
    pub registrar: StateAnswer,
    /// And about the service.
    pub service: StateAnswer,
    /// The word of the person's ledger about the RealPass's issuer.
    pub issuer: StateAnswer,
    pub abroad: Option<Abroad>,
}

/// It tells facts about a person.
impl std::fmt::Debug for Evidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Evidence")
    }
}

/// A receipt. One that came out of [`Receipt::parse`] is not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    evidence: Evidence,
    /// Unix milliseconds.
    time_ms: u64,
    seal: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReceiptText {
    r#type: String,
    evidence: EvidenceText,
    seal: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EvidenceText {
    request: String,
    pass: String,
    did: String,
    home: LedgerText,
    registrar: String,
    service: String,
    issuer: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    abroad: Option<AbroadText>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LedgerText {
    genesis: String,
    hand_overs: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AbroadText {
    genesis: String,
    hand_overs: Vec<String>,
    recognition: String,
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn answer(coded: &str) -> Option<StateAnswer> {
    StateAnswer::decode(&bytes(coded)?).ok()
}

impl Ledger {
    fn read(genesis: &str, hand_overs: &[String]) -> Option<Self> {
        if hand_overs.len() > MAX_HAND_OVERS {
            return None;
        }
        let read = |coded: &String| HandOver::decode(&bytes(coded)?).ok();
        Some(Self {
            genesis: Genesis::decode(&bytes(genesis)?).ok()?,
            hand_overs: hand_overs.iter().map(read).collect::<Option<_>>()?,
        })
    }

    fn to_text(&self) -> LedgerText {
        let hand_overs = self.hand_overs.iter();
        LedgerText {
            genesis: text(&self.genesis.encode()),
            hand_overs: hand_overs.map(|one| text(&one.encode())).collect(),
        }
    }

    /// A light client that has followed the hand-overs from the genesis on.
    fn client(&self) -> Result<LightClient, LightError> {
        let mut light = LightClient::new(self.genesis.clone());
        for hand_over in &self.hand_overs {
            light.hand_over(hand_over)?;
        }
        Ok(light)
    }
}

impl Evidence {
    fn read(told: EvidenceText) -> Option<Self> {
        let abroad = match told.abroad {
            None => None,
            Some(other) => Some(Abroad {
                ledger: Ledger::read(&other.genesis, &other.hand_overs)?,
                recognition: answer(&other.recognition)?,
            }),
        };
        Some(Self {
            home: Ledger::read(&told.home.genesis, &told.home.hand_overs)?,
            registrar: answer(&told.registrar)?,
            service: answer(&told.service)?,
            issuer: answer(&told.issuer)?,
            abroad,
            request: told.request,
            pass: told.pass,
            did_proof: told.did,
        })
    }

    fn to_text(&self) -> EvidenceText {
        let abroad = self.abroad.as_ref().map(|other| {
            let LedgerText {
                genesis,
                hand_overs,
            } = other.ledger.to_text();
            AbroadText {
                genesis,
                hand_overs,
                recognition: text(&other.recognition.encode()),
            }
        });
        EvidenceText {
            request: self.request.clone(),
            pass: self.pass.clone(),
            did: self.did_proof.clone(),
            home: self.home.to_text(),
            registrar: text(&self.registrar.encode()),
            service: text(&self.service.encode()),
            issuer: text(&self.issuer.encode()),
            abroad,
        }
    }

    /// What the seal covers (rule J3): SHA-256 over the member `evidence` without white space.
    fn digest(&self) -> String {
        let written = serde_json::to_vec(&self.to_text()).unwrap_or_default();
        text(&Sha256::digest(written))
    }
}

impl Receipt {
    /// Gate side: seals what a login at `time_ms` was judged by, with the registered key.
    pub fn seal(
        evidence: Evidence,
        time_ms: u64,
        key: &SigningKey,
    ) -> Result<Self, ReceiptRefused> {
        let header = Map::from_iter([("typ".to_owned(), Value::from(SEAL_TYP))]);
        let payload = json!({ "time_ms": time_ms, "digest": evidence.digest() });
        let seal = jose::sign_compact(&header, payload.to_string().as_bytes(), key)
            .map_err(|_| ReceiptRefused::Seal)?;
        Ok(Self {
            evidence,
            time_ms,
            seal,
        })
    }

    /// The bytes that are kept and handed on.
    pub fn to_bytes(&self) -> Vec<u8> {
        let told = ReceiptText {
            r#type: RECEIPT_TYPE.to_owned(),
            evidence: self.evidence.to_text(),
            seal: self.seal.clone(),
        };
        serde_json::to_vec(&told).unwrap_or_default()
    }

    /// Reads a receipt from hostile bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptRefused> {
        let malformed = ReceiptRefused::Malformed;
        if bytes.len() > MAX_RECEIPT_BYTES {
            return Err(malformed);
        }
        let told: ReceiptText = serde_json::from_slice(bytes).map_err(|_| malformed)?;
        if told.r#type != RECEIPT_TYPE {
            return Err(malformed);
        }
        let sealed = jose::decode_unverified(&told.seal).and_then(|jws| jws.claims());
        let sealed = sealed.map_err(|_| malformed)?;
        Ok(Self {
            evidence: Evidence::read(told.evidence).ok_or(malformed)?,
            time_ms: sealed
                .get("time_ms")
                .and_then(Value::as_u64)
                .ok_or(malformed)?,
            seal: told.seal,
        })
    }

    /// When the gate accepted the login, as its seal says, Unix milliseconds.
    pub fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// Whether the seal is of this key, over this evidence and time.
    fn sealed_by(&self, request: &CheckedRequest) -> bool {
        let Some(registration) = &request.registration else {
            return false;
        };
        let key = &registration.cnf.0;
        let sealed = jose::verify_compact(&self.seal, key, SEAL_TYP).and_then(|jws| jws.claims());
        sealed.is_ok_and(|sealed| {
            sealed.get("digest").and_then(Value::as_str) == Some(&self.evidence.digest())
        })
    }
}

/// Under which name receipts are kept: the SHA-256 of their bytes.
pub fn receipt_id(bytes: &[u8]) -> Hash32 {
    Hash32(Sha256::digest(bytes).into())
}

// ---- what an auditor finds ----------------------------------------------------------------

/// What an auditor trusts, and asks about.
#[derive(Debug, Clone, Copy)]
pub struct Trust {
    /// The digest of the genesis of the service's network.
    pub home: Hash32,
    /// The same of the person's, where it is to be another; without it the recognition names it.
    pub abroad: Option<Hash32>,
    /// The service whose receipt it should be.
    pub service: Option<Hash32>,
    /// How far a checkpoint may lie before the login, and how old the person's signature may be.
    pub max_age_ms: u64,
    /// The auditor's clock, Unix milliseconds.
    pub now_ms: u64,
}

/// A receipt that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub service: Hash32,
    /// The organisation in the service's registration.
    pub organisation: String,
    /// A sandbox registration: nobody has checked who runs the service.
    pub sandbox: bool,
    /// The service's network.
    pub network: NetworkName,
    /// The person's network.
    pub person_network: NetworkName,
    /// The facts that were asked for, by their names.
    pub predicates: Map<String, Value>,
    /// The URL of the authority that vouches for the person.
    pub issuer: String,
    /// The RealPass's epoch.
    pub epoch: u64,
    /// The authority issued the RealPass after this time, and issues none to somebody who is suspended;
    /// Unix milliseconds.
    pub issued_after_ms: u64,
    /// When the gate accepted the login, Unix milliseconds.
    pub time_ms: u64,
}

/// Judges the login once more, as it stood at its time (rules J4 to J9).
pub fn verify(receipt: &Receipt, trust: &Trust) -> Result<Verified, ReceiptError> {
    let evidence = &receipt.evidence;
    let (home, time_ms) = (&evidence.home, receipt.time_ms);
    if home.genesis.digest() != trust.home {
        return Err(ReceiptRefused::Trust.into());
    }
    if time_ms > trust.now_ms.saturating_add(MAX_AHEAD_MS) {
        return Err(ReceiptRefused::Future.into());
    }
    let freshness = Freshness {
        now_ms: time_ms,
        max_age_ms: trust.max_age_ms,
        max_lag_slots: u64::MAX,
    };
    let light = home.client()?;
    let request = asked(evidence, trust, &light, &freshness)?;
    let beyond = beyond(evidence, trust, &light, &freshness)?;
    let (light, recognised) = match &beyond {
        None => (&light, None),
        Some((light, recognised)) => (light, Some(recognised)),
    };
    let shown = answered(evidence, &request, light, recognised, &freshness)?;
    // Last, so that what else is wrong is said by its own name.
    if !receipt.sealed_by(&request) {
        return Err(ReceiptRefused::Seal.into());
    }
    Ok(Verified {
        service: request.service_id,
        organisation: request.service_name.clone(),
        sandbox: request.registration.is_some_and(|own| own.sandbox),
        network: home.genesis.network.clone(),
        person_network: light.genesis().network.clone(),
        predicates: shown.predicates,
        issuer: shown.issuer,
        epoch: shown.epoch,
        issued_after_ms: shown.issued_after_ms,
        time_ms,
    })
}

/// J5: what was asked, by a service that was registered for it.
fn asked(
    evidence: &Evidence,
    trust: &Trust,
    light: &LightClient,
    freshness: &Freshness,
) -> Result<CheckedRequest, ReceiptError> {
    let claimed = ClaimedRequest::parse(&evidence.request)?;
    let service_id = claimed.service_id();
    if trust.service.is_some_and(|wanted| wanted != service_id) {
        return Err(ReceiptRefused::Service.into());
    }
    let registrar_id = claimed.registrar_id(light.hash_function());
    let registrar = light.issuer(&registrar_id, &evidence.registrar, freshness)?;
    let service = light.service(&service_id, &evidence.service, freshness)?;
    let link = WalletLink {
        client_id: vp::client_id(&service_id),
        request_uri: String::new(),
        post: false,
    };
    let request = claimed.check(
        &link,
        &RequestEvidence {
            network: light.genesis().network.as_str(),
            registrar: registrar.value.as_ref(),
            service: service.value.as_ref(),
            now_s: freshness.now_ms / 1000,
            wallet_nonce: None,
        },
    )?;
    if request.purpose != Purpose::Kyc.code() {
        return Err(ReceiptRefused::Purpose.into());
    }
    let asked = &request.asked;
    let facts = asked
        .pass
        .as_ref()
        .is_some_and(|pass| !pass.facts.is_empty());
    if !facts || asked.pid.is_some() || asked.mdoc.is_some() || asked.did_id.is_none() {
        return Err(ReceiptRefused::Asked.into());
    }
    Ok(request)
}

/// J6: the person's network, where it is another: what the service's ledger accepted of it, and a light
/// client of it.
fn beyond(
    evidence: &Evidence,
    trust: &Trust,
    light: &LightClient,
    freshness: &Freshness,
) -> Result<Option<(LightClient, Recognised)>, ReceiptError> {
    let did = did_proof::claimed_did(&evidence.did_proof)?;
    let own = did.network == light.genesis().network;
    let other = match (own, &evidence.abroad) {
        (true, None) => return Ok(None),
        (false, Some(other)) => other,
        _ => return Err(ReceiptRefused::Malformed.into()),
    };
    let name = did.network.as_str();
    let known = light.recognition(name, &other.recognition, freshness)?;
    let known = known.value.ok_or(ReceiptRefused::Unrecognised)?;
    let genesis = other.ledger.genesis.digest();
    if known.recognised.genesis != genesis {
        return Err(ReceiptRefused::Unrecognised.into());
    }
    if trust.abroad.is_some_and(|wanted| wanted != genesis) {
        return Err(ReceiptRefused::Trust.into());
    }
    if known.standing != Standing::Active {
        return Err(ReceiptRefused::Suspended.into());
    }
    Ok(Some((other.ledger.client()?, known.recognised)))
}

/// What the person showed.
struct Shown {
    predicates: Map<String, Value>,
    issuer: String,
    epoch: u64,
    issued_after_ms: u64,
}

/// J7: the answer is one to this request, by the rules of a login at that time.
fn answered(
    evidence: &Evidence,
    request: &CheckedRequest,
    light: &LightClient,
    recognised: Option<&Recognised>,
    freshness: &Freshness,
) -> Result<Shown, ReceiptError> {
    let issuer_id = Hash32(Envelope::parse(&evidence.pass)?.issuer);
    let issuer = light.issuer(&issuer_id, &evidence.issuer, freshness)?.value;
    let ask = Ask {
        pass: request.asked.pass.as_ref().map(|pass| pass.facts.clone()),
        pid: None,
        did: true,
        long_lived: false,
    };
    let presented = Presented {
        state: String::new(),
        pass: Some(evidence.pass.clone()),
        pid: None,
        did_proof: Some(evidence.did_proof.clone().into()),
    };
    let expected = Expected {
        client_id: &request.client_id,
        nonce: &request.nonce,
        ask: &ask,
        answer_to: AnswerTo::Uri(&request.response_uri),
        encrypt_to: None,
        now_ms: freshness.now_ms,
        max_age_s: freshness.max_age_ms / 1000,
        display: None,
    };
    let by = ResponseEvidence {
        pid_issuer: None,
        pass_issuer: issuer.as_ref(),
        light,
        freshness,
        recognised,
        status_list: None,
    };
    let checked = vp::check_response(&presented, &expected, &by)?;
    let proved = checked.pass.as_ref().map(|pass| proof(pass, request));
    let login = checked.conclude(proved)?;
    let parameters = &light.genesis().parameters;
    let epoch = login.pass.ok_or(RealPassError::Proof)?.epoch;
    let predicates = login.claims.get(realpass::CLAIM).and_then(Value::as_object);
    let lead_ms = parameters.refresh_lead_s.saturating_mul(1000);
    Ok(Shown {
        predicates: predicates.cloned().unwrap_or_default(),
        issuer: issuer.map(|issuer| issuer.url).unwrap_or_default(),
        epoch,
        issued_after_ms: parameters.pass_begins_ms(epoch).saturating_sub(lead_ms),
    })
}

/// The proof of a RealPass, in the context of the service that asked.
fn proof(
    pass: &PassClaim,
    request: &CheckedRequest,
) -> Result<realdid_pass::Shown, realdid_pass::PassError> {
    let context = Context::service(&request.service_id.0);
    let claim = pass.shown.claim(&context, &pass.binding);
    claim
        .presentation
        .verify(&pass.key.key()?, claim.context, claim.binding)
}

#[cfg(test)]
mod tests;
