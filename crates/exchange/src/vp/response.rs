//! What a wallet answers, and what a gate checks in it (spec/login.md, rules V9 to V14 and A1 to A6).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realdid_core::did::NetworkName;
use realdid_core::genesis::Parameters;
use realdid_core::governance::{Assurance, CredentialType, Recognised};
use realdid_core::hash::Hash32;
use realdid_core::state::{Issuer, IssuerKey, KeyUse, PassPublicKey, Standing};
use realdid_credential::jose::{self, Alg, Jwk};
use realdid_credential::mdoc::{self, MdocError, Transcript};
use realdid_credential::realpass::{self, Fact, RealPassError};
use realdid_credential::sd_jwt::{self, SdJwtError};
use realdid_credential::status::token::VerifiedList;
use realdid_credential::x509::Certificate;
use realdid_credential::{ClaimPath, PathElement, pid};
use realdid_light::{Freshness, LightClient};
use realdid_pass::{PassError, PassKey, Pseudonym, facts};
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::{
    ASSURANCE, AnswerEntropy, AnswerTo, Ask, BROWSER_PROTOCOL, CLOCK_SKEW_S, CheckedRequest,
    DID_ID, MAX_ENCRYPTED_BYTES, MAX_RESPONSE_BYTES, MAX_TEXT_BYTES, MDOC_ID, ORGANISATION_ID,
    ORIGIN_PREFIX, PASS_ID, PID_ID, RequestRefused, ResponseRefused, VpError,
};
use crate::batch;
use crate::did_proof::{self, ReceivedProof, VerifiedDid};
use crate::display::{self, Terms};
use crate::form;
use crate::jwe::DecryptionKey;
use crate::suites;

// ---- the response, wallet side ------------------------------------------------------------

/// What a wallet shows; each is there if it was asked for, unless the DID alone is the answer.
#[derive(Clone, Copy, Default)]
pub struct Answer<'a> {
    /// A RealPass as text ([`realpass::Envelope`]).
    pub pass: Option<&'a str>,
    pub pid: Option<&'a str>,
    /// The PID as an mdoc, in base64url: instead of the other.
    pub mdoc: Option<&'a str>,
    pub did_proof: Option<&'a str>,
}

/// The form body of an answer (§8.2, §8.3): what is shown, under the ids of the query, encrypted
/// where the request has a key for it. `entropy` is fresh and random.
pub fn response_form(
    request: &CheckedRequest,
    answer: &Answer<'_>,
    entropy: &AnswerEntropy,
) -> Result<String, RequestRefused> {
    let asked = &request.asked;
    let entries = [
        (asked.pass.as_ref().map(|pass| &pass.id), answer.pass),
        (asked.pid.as_ref().map(|pid| &pid.id), answer.pid),
        (asked.mdoc.as_ref().map(|mdoc| &mdoc.id), answer.mdoc),
        (asked.did_id.as_ref(), answer.did_proof),
    ];
    let shown = entries.into_iter().filter_map(|(id, shown)| id.zip(shown));
    let shown: Vec<_> = shown.map(|(id, shown)| (id.as_str(), shown)).collect();
    form_of(request, &shown, entropy)
}

/// The same of presentations by the ids of any query.
pub fn form_of(
    request: &CheckedRequest,
    shown: &[(&str, &str)],
    entropy: &AnswerEntropy,
) -> Result<String, RequestRefused> {
    let entries = shown.iter();
    let vp_token: Map<String, Value> = entries
        .map(|(id, shown)| ((*id).to_owned(), json!([shown])))
        .collect();
    let mut form = form_urlencoded::Serializer::new(String::new());
    let Some(key) = &request.encryption else {
        form.append_pair("vp_token", &Value::Object(vp_token).to_string());
        if let Some(state) = &request.state {
            form.append_pair("state", state);
        }
        return Ok(form.finish());
    };
    let mut answer = json!({ "vp_token": vp_token });
    if let Some(state) = &request.state {
        answer["state"] = state.clone().into();
    }
    let refused = |_| RequestRefused::Encryption;
    let (ephemeral, iv) = entropy.split_first_chunk::<32>().unwrap_or((&[0; 32], &[]));
    let iv = iv.try_into().map_err(|_| RequestRefused::Encryption)?;
    let sealed = key.encrypt(answer.to_string().as_bytes(), ephemeral, iv, None);
    form.append_pair("response", &sealed.map_err(refused)?);
    Ok(form.finish())
}

/// The form body of a refusal (§8.5): the person declined, or the wallet cannot answer.
pub fn refusal_form(state: Option<&str>, error: WalletError) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("error", error.name());
    if let Some(state) = state {
        form.append_pair("state", state);
    }
    form.finish()
}

/// What a wallet may say instead of showing anything (§8.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WalletError {
    /// The person declined, or the wallet holds nothing that fits.
    AccessDenied,
    /// The request breaks a rule.
    InvalidRequest,
    /// The client is not who it says.
    InvalidClient,
}

impl WalletError {
    pub fn name(self) -> &'static str {
        match self {
            Self::AccessDenied => "access_denied",
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
        }
    }
}

// ---- the response, gate side --------------------------------------------------------------

/// Presentations by the ids of the query.
type VpToken = BTreeMap<String, Vec<String>>;

/// A wallet's answer, taken apart; nothing is verified.
#[derive(Clone, PartialEq, Eq)]
pub enum WalletResponse {
    Presented(Presented),
    /// The person declined, or the wallet could not answer.
    Declined {
        error: WalletError,
        state: String,
    },
}

/// The entries of a `vp_token`.
#[derive(Clone, PartialEq, Eq)]
pub struct Presented {
    pub state: String,
    pub pass: Option<String>,
    /// The PID in either format: an SD-JWT VC has tildes, and an mdoc in base64url has none. Or what stands
    /// in its place: which type is taken hangs on what was asked.
    pub pid: Option<String>,
    pub did_proof: Option<ReceivedProof>,
}

/// Presentations are personal data: what is printed may end in a log.
impl std::fmt::Debug for WalletResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Presented(_) => f.write_str("Presented"),
            Self::Declined { error, .. } => write!(f, "Declined({error:?})"),
        }
    }
}

impl std::fmt::Debug for Presented {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Presented")
    }
}

impl WalletResponse {
    /// Reads the form body of a direct post (§8.2, §8.3). With a key what is shown must be
    /// encrypted to it; that nothing is shown may be said in the clear.
    pub fn parse(body: &[u8], key: Option<&DecryptionKey>) -> Result<Self, ResponseRefused> {
        let limit = match key {
            Some(_) => MAX_ENCRYPTED_BYTES,
            None => MAX_RESPONSE_BYTES,
        };
        if body.len() > limit {
            return Err(ResponseRefused::TooLong);
        }
        let malformed = ResponseRefused::Malformed;
        let text = std::str::from_utf8(body).map_err(|_| malformed)?;
        let mut parameters = form::parameters(text).ok_or(malformed)?;
        let sealed = parameters.remove("response");
        if let (Some(key), Some(sealed)) = (key, &sealed) {
            return Self::open(key, sealed);
        }
        if key.is_some() && !parameters.contains_key("error") {
            return Err(ResponseRefused::Unencrypted);
        }
        let state = parameters.remove("state").ok_or(ResponseRefused::State)?;
        if let Some(error) = parameters.get("error") {
            let error = match error.as_str() {
                "invalid_client" => WalletError::InvalidClient,
                "access_denied" => WalletError::AccessDenied,
                _ => WalletError::InvalidRequest,
            };
            return Ok(Self::Declined { error, state });
        }
        let vp_token = parameters.remove("vp_token").ok_or(malformed)?;
        let token = serde_json::from_str(&vp_token).map_err(|_| malformed)?;
        Ok(Self::Presented(Presented::of(state, token)?))
    }

    /// Reads what a page has got from its browser (appendix A.4): the protocol, and the answer as an object
    /// with `vp_token`, or with `response`, which is encrypted, where there is a key. It has no state: the
    /// page says in which login it came.
    pub fn parse_from_browser(
        body: &[u8],
        key: Option<&DecryptionKey>,
    ) -> Result<Presented, ResponseRefused> {
        #[derive(serde::Deserialize)]
        struct Got {
            protocol: String,
            data: Data,
        }
        #[derive(serde::Deserialize)]
        struct Data {
            response: Option<String>,
            vp_token: Option<VpToken>,
        }
        if body.len() > MAX_ENCRYPTED_BYTES {
            return Err(ResponseRefused::TooLong);
        }
        let malformed = ResponseRefused::Malformed;
        let got: Got = serde_json::from_slice(body).map_err(|_| malformed)?;
        if got.protocol != BROWSER_PROTOCOL {
            return Err(malformed);
        }
        let token = match (key, got.data.response, got.data.vp_token) {
            (Some(key), Some(sealed), None) => Opened::of(key, &sealed)?.vp_token,
            (Some(_), ..) => return Err(ResponseRefused::Unencrypted),
            (None, None, Some(token)) => token,
            (None, ..) => return Err(malformed),
        };
        Presented::of(String::new(), token)
    }

    /// Opens an encrypted answer: a JSON object with the same members.
    fn open(key: &DecryptionKey, sealed: &str) -> Result<Self, ResponseRefused> {
        let answer = Opened::of(key, sealed)?;
        let state = answer.state.ok_or(ResponseRefused::State)?;
        Ok(Self::Presented(Presented::of(state, answer.vp_token)?))
    }
}

/// What was encrypted.
#[derive(serde::Deserialize)]
struct Opened {
    state: Option<String>,
    vp_token: VpToken,
}

impl Opened {
    fn of(key: &DecryptionKey, sealed: &str) -> Result<Self, ResponseRefused> {
        let opened = key.decrypt(sealed);
        let opened = opened.map_err(|_| ResponseRefused::Encryption)?;
        serde_json::from_slice(&opened).map_err(|_| ResponseRefused::Malformed)
    }
}

impl Presented {
    fn of(state: String, mut token: VpToken) -> Result<Self, ResponseRefused> {
        let mut take = |id: &str| match token.remove(id) {
            None => Ok(None),
            Some(mut one) if one.len() == 1 => Ok(one.pop()),
            Some(_) => Err(ResponseRefused::Incomplete),
        };
        let (pid, mdoc) = (take(PID_ID)?, take(MDOC_ID)?);
        let organisation = take(ORGANISATION_ID)?;
        // One of them is asked for, and an mdoc stands under its own id alone.
        let shown = [&pid, &mdoc, &organisation].into_iter().flatten().count();
        if shown > 1 || mdoc.as_deref().is_some_and(|text| !is_mdoc(text)) {
            return Err(ResponseRefused::Incomplete);
        }
        let presented = Self {
            state,
            pass: take(PASS_ID)?,
            pid: pid.or(mdoc).or(organisation),
            did_proof: take(DID_ID)?.map(ReceivedProof::from),
        };
        if !token.is_empty() {
            return Err(ResponseRefused::Incomplete);
        }
        Ok(presented)
    }
}

/// Whether a PID is shown as an mdoc.
fn is_mdoc(presentation: &str) -> bool {
    !presentation.contains('~')
}

/// The bytes of an mdoc's `DeviceResponse`.
fn mdoc_bytes(presentation: &str) -> Result<Vec<u8>, MdocError> {
    if presentation.len() > MAX_RESPONSE_BYTES {
        return Err(MdocError::Oversize);
    }
    let decoded = URL_SAFE_NO_PAD.decode(presentation);
    decoded.map_err(|_| MdocError::Malformed)
}

/// The leaf of an mdoc's certificates: unverified, it says which key to look for on the ledger.
fn claimed_leaf(response: &[u8]) -> Result<(Certificate, Vec<u8>), MdocError> {
    let chain = mdoc::claimed_chain(response)?;
    let der = chain.into_iter().next().ok_or(MdocError::IssuerUnknown)?;
    let leaf = Certificate::parse(&der).map_err(|_| MdocError::IssuerUnknown)?;
    Ok((leaf, der))
}

/// The issuer that a PID presentation claims: which record of the ledger to fetch. In an mdoc it is a
/// name of the certificate.
pub fn claimed_pid_issuer(presentation: &str) -> Result<String, VpError> {
    if is_mdoc(presentation) {
        let (leaf, _) = claimed_leaf(&mdoc_bytes(presentation)?)?;
        let uri = leaf.uris.into_iter().next();
        let uri = uri.filter(|uri| uri.len() <= MAX_TEXT_BYTES);
        return Ok(uri.ok_or(MdocError::IssuerUnknown)?);
    }
    Ok(claimed_sd_jwt_issuer(presentation)?)
}

fn claimed_sd_jwt_issuer(presentation: &str) -> Result<String, SdJwtError> {
    let claimed = sd_jwt::Claimed::read(presentation)?;
    claimed_issuer(&jose::decode_unverified(claimed.jwt)?)
}

fn claimed_issuer(jws: &jose::ClaimedJws<'_>) -> Result<String, SdJwtError> {
    let payload = jws.claims()?;
    payload
        .get("iss")
        .and_then(Value::as_str)
        .filter(|iss| iss.len() <= MAX_TEXT_BYTES)
        .map(str::to_owned)
        .ok_or(SdJwtError::Claims)
}

/// Whom everything is shown to that goes through a browser to a page of this origin (appendix A.4).
pub fn audience_of(origin: &str) -> String {
    format!("{ORIGIN_PREFIX}{origin}")
}

/// What the gate asked, against which a response is held.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Whom everything was to be shown to: the request's client id, or [`audience_of`] the page's origin
    /// where it came through a browser.
    pub client_id: &'a str,
    pub nonce: &'a str,
    pub ask: &'a Ask,
    /// Where the answer was to be sent, as the request said.
    pub answer_to: AnswerTo<'a>,
    /// The key that it was to be encrypted to.
    pub encrypt_to: Option<&'a DecryptionKey>,
    /// Unix milliseconds.
    pub now_ms: u64,
    /// How old the signatures of the wallet may be, in seconds.
    pub max_age_s: u64,
    /// Where the PID is shown to everybody instead of to this gate: the terms that were asked for.
    pub display: Option<&'a Terms>,
}

/// What the gate knows from the ledger.
#[derive(Debug, Clone, Copy)]
pub struct ResponseEvidence<'a> {
    /// The record of the PID's issuer, proved and recent; none where it is proved absent or no
    /// PID is shown.
    pub pid_issuer: Option<&'a Issuer>,
    /// The same of the RealPass's issuer.
    pub pass_issuer: Option<&'a Issuer>,
    pub light: &'a LightClient,
    /// How fresh the staple must be.
    pub freshness: &'a Freshness,
    /// Where all this is of another network than the gate's: what the gate's own accepts of it.
    pub recognised: Option<&'a Recognised>,
    /// The list in which the PID's status stands, held against the ledger, where it names one and such a PID
    /// is asked for.
    pub status_list: Option<&'a VerifiedList>,
}

/// Under which key a RealPass is to be verified. Making the key costs milliseconds: a gate keeps it
/// by this.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PassKeyId {
    pub network: NetworkName,
    pub issuer: Hash32,
    pub public: PassPublicKey,
}

impl PassKeyId {
    /// The key, for the terms of spec/realpass.md (B20).
    pub fn key(&self) -> Result<PassKey, PassError> {
        let terms = facts::terms(self.network.as_str(), &self.issuer.0);
        PassKey::new(&self.public.0, &terms, facts::FACTS)
    }
}

/// A RealPass that is as asked, of an active issuer and the current epoch, and whose proof is still to
/// be verified, under `key`, in the context of this service.
#[derive(Debug, Clone)]
pub struct PassClaim {
    pub key: PassKeyId,
    pub shown: realpass::Shown,
    pub binding: Vec<u8>,
}

/// A login that passed every check but two: whether the proof of its RealPass holds, and whether
/// this nonce was answered before, which only the gate's store of transactions knows.
#[derive(Clone)]
pub struct CheckedLogin {
    /// None where it was not asked for.
    pub did: Option<VerifiedDid>,
    /// The claims of a PID that were asked for, and no others.
    claims: Map<String, Value>,
    /// The same of the facts of a RealPass.
    facts: Map<String, Value>,
    pid_exp_s: Option<u64>,
    /// The end of the RealPass's epoch, Unix seconds.
    pass_end_s: Option<u64>,
    /// To be verified, then given to [`conclude`](Self::conclude). None where no RealPass is shown.
    pub pass: Option<PassClaim>,
    /// Nothing but the DID is shown: good only if the gate knows it from this epoch.
    pub did_alone: bool,
}

/// A login that holds.
#[derive(Clone)]
pub struct VerifiedLogin {
    /// None where it was not asked for.
    pub did: Option<VerifiedDid>,
    /// What was asked for, and nothing else; facts of a RealPass under `realpass`.
    pub claims: Map<String, Value>,
    pub pass: Option<VerifiedPass>,
    /// Unix seconds until which what was shown is valid; none where only a DID was.
    pub lapses_s: Option<u64>,
}

/// Who came, by a RealPass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifiedPass {
    pub pseudonym: Pseudonym,
    pub epoch: u64,
    pub issuer: Hash32,
}

/// What is shown is personal: what is printed may end in a log.
impl std::fmt::Debug for CheckedLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CheckedLogin({} claims)", self.claims.len())
    }
}

impl std::fmt::Debug for VerifiedLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VerifiedLogin({} claims)", self.claims.len())
    }
}

impl CheckedLogin {
    /// Ends the checks with what verifying [`CheckedLogin::pass`] answered; `None` where there was
    /// nothing to verify. A RealPass whose proof was not verified is no login.
    pub fn conclude(
        self,
        verified: Option<Result<realdid_pass::Shown, PassError>>,
    ) -> Result<VerifiedLogin, VpError> {
        let mut claims = self.claims;
        let pass = match (self.pass, verified) {
            (None, None) => None,
            (Some(claim), Some(Ok(verified))) => {
                if !self.facts.is_empty() {
                    claims.insert(realpass::CLAIM.to_owned(), self.facts.into());
                }
                Some(VerifiedPass {
                    pseudonym: verified.pseudonym,
                    epoch: claim.shown.epoch,
                    issuer: claim.key.issuer,
                })
            }
            _ => return Err(RealPassError::Proof.into()),
        };
        Ok(VerifiedLogin {
            did: self.did,
            claims,
            pass,
            lapses_s: [self.pid_exp_s, self.pass_end_s]
                .into_iter()
                .flatten()
                .min(),
        })
    }
}

/// Checks a wallet's answer (rules V9 to V13 and A1 to A5), all but the proof of its RealPass.
pub fn check_response(
    presented: &Presented,
    expected: &Expected<'_>,
    evidence: &ResponseEvidence<'_>,
) -> Result<CheckedLogin, VpError> {
    let now_s = expected.now_ms / 1000;
    let abroad = evidence.recognised.map(|_| expected.ask.abroad());
    let ask = abroad.as_ref().unwrap_or(expected.ask);
    let Ask { pass, pid, did, .. } = ask;
    let did_alone = presented.pass.is_none() && presented.pid.is_none() && ask.did_alone();
    let unasked = |shown: bool, asked: bool| shown && !asked;
    if unasked(presented.pid.is_some(), pid.is_some())
        || unasked(presented.pass.is_some(), pass.is_some())
        || unasked(presented.did_proof.is_some(), *did)
    {
        return Err(ResponseRefused::OverDisclosed.into());
    }
    let missing =
        (pid.is_some() && presented.pid.is_none()) || (pass.is_some() && presented.pass.is_none());
    if (missing && !did_alone) || (*did && presented.did_proof.is_none()) {
        return Err(ResponseRefused::Incomplete.into());
    }
    let batch = InBatch {
        proof: presented.did_proof.as_ref().map(ReceivedProof::as_str),
        evidence,
    };
    let mut pid = match (pid, &presented.pid) {
        (Some(_), Some(shown)) if expected.display.is_some() => {
            check_display(shown, expected, evidence)?;
            None
        }
        (Some(asked), Some(shown)) if is_mdoc(shown) => {
            Some(check_mdoc(shown, asked, expected, &batch)?)
        }
        (Some(asked), Some(shown)) => Some(check_pid(shown, asked, expected, &batch)?),
        _ => None,
    };
    let shown_pass = match (pass, &presented.pass) {
        (Some(asked), Some(shown)) => Some(check_pass(shown, asked, expected, evidence)?),
        _ => None,
    };
    let by_did = did_proof::Expected {
        audience: expected.client_id,
        nonce: expected.nonce,
        now_s,
        max_age_s: expected.max_age_s,
        shown_hash: did_proof::shown_hash(presented.pass.as_deref(), presented.pid.as_deref()),
    };
    let did = presented
        .did_proof
        .as_ref()
        .map(|proof| proof.verify(&by_did, evidence.light, evidence.freshness))
        .transpose()?;
    let mut facts = shown_pass
        .as_ref()
        .map(|(_, shown)| shown.facts())
        .unwrap_or_default();
    if let Some(recognised) = evidence.recognised {
        let own = expected.ask;
        if let Some((claims, _)) = &mut pid {
            let asked = own.pid.iter().flatten().any(is_assurance);
            accept(recognised, CredentialType::Pid, claims, asked)?;
        }
        if shown_pass.is_some() {
            let asked = own.pass.iter().flatten().any(|f| *f == Fact::Assurance);
            accept(recognised, CredentialType::RealPass, &mut facts, asked)?;
        }
    }
    let parameters = &evidence.light.genesis().parameters;
    let pass_end_s = shown_pass
        .as_ref()
        .map(|(_, shown)| parameters.pass_ends_ms(shown.epoch) / 1000);
    let name = did.as_ref().map(|did| did.did.to_string());
    let pass = shown_pass.map(|(key, shown)| PassClaim {
        key,
        shown,
        binding: realpass::binding(expected.nonce, expected.client_id, name.as_deref()),
    });
    let (claims, pid_exp_s) = pid.unzip();
    Ok(CheckedLogin {
        did,
        claims: claims.unwrap_or_default(),
        facts,
        pid_exp_s,
        pass_end_s,
        pass,
        did_alone,
    })
}

fn is_assurance(path: &ClaimPath) -> bool {
    matches!(path.elements(), [PathElement::Name(name)] if name == ASSURANCE)
}

/// V15: what is shown of this kind is of an assurance that is accepted. Its assurance goes no further
/// where it was not asked for.
fn accept(
    recognised: &Recognised,
    kind: CredentialType,
    shown: &mut Map<String, Value>,
    asked: bool,
) -> Result<(), ResponseRefused> {
    let level = shown.get(ASSURANCE).and_then(Value::as_str);
    let level = Assurance::ALL
        .into_iter()
        .find(|known| Some(known.name()) == level);
    if !level.is_some_and(|level| recognised.takes(kind, level)) {
        return Err(ResponseRefused::Unaccepted);
    }
    if !asked {
        shown.remove(ASSURANCE);
    }
    Ok(())
}

/// V10 to V12: the asked claims of a PID, and when it expires.
fn check_pid(
    shown: &str,
    asked: &[ClaimPath],
    expected: &Expected<'_>,
    batch: &InBatch<'_>,
) -> Result<(Map<String, Value>, u64), VpError> {
    let evidence = batch.evidence;
    let issuer_keys = issuer_keys(shown, evidence.pid_issuer, Some(batch))?;
    let long = expected.ask.long_lived.then_some(pid::LONG_VCT);
    let accepted: Vec<&str> = [pid::VCT].into_iter().chain(long).collect();
    let held_against = sd_jwt::Evidence {
        issuer: sd_jwt::IssuerEvidence {
            issuer_keys: &issuer_keys,
            accepted_vcts: &accepted,
            now_s: expected.now_ms / 1000,
            clock_skew_s: CLOCK_SKEW_S,
        },
        nonce: expected.nonce,
        aud: expected.client_id,
        max_kb_age_s: expected.max_age_s,
    };
    let lists: Vec<&VerifiedList> = evidence.status_list.into_iter().collect();
    let pid = match expected.ask.long_lived {
        // Only a PID that lives long has a status, and it has one.
        true => sd_jwt::verify_with_status(shown, &held_against, &lists)?,
        false => sd_jwt::verify(shown, &held_against)?,
    };
    if pid.vct == pid::LONG_VCT && sd_jwt::claimed_status(shown)?.is_none() {
        return Err(SdJwtError::StatusMissing.into());
    }
    let parameters = &evidence.light.genesis().parameters;
    let algs = issuer_keys.iter().map(|known| known.key.alg());
    admitted(parameters, algs.chain([pid.cnf.0.alg()]))?;
    Ok((asked_claims(&pid.claims, asked)?, pid.exp_s))
}

/// V10: nothing of what vouches for a holder is of a suite that their network does not know.
pub(super) fn admitted(
    parameters: &Parameters,
    mut algs: impl Iterator<Item = Alg>,
) -> Result<(), ResponseRefused> {
    algs.all(|alg| suites::signs_documents(parameters, alg))
        .then_some(())
        .ok_or(ResponseRefused::Suite)
}

/// Y4: what is shown to everybody is the display that was asked for. Its claims are no part of a login.
fn check_display(
    shown: &str,
    expected: &Expected<'_>,
    evidence: &ResponseEvidence<'_>,
) -> Result<(), VpError> {
    let asked = expected.display.ok_or(ResponseRefused::Incomplete)?;
    let now_s = expected.now_ms / 1000;
    display::check_shown(shown, asked, evidence.pid_issuer, now_s, expected.max_age_s)?;
    let claimed = sd_jwt::Claimed::read(shown)?;
    let jws = jose::decode_unverified(claimed.jwt).map_err(SdJwtError::Jws)?;
    let claims = jws.claims().map_err(SdJwtError::Jws)?;
    // It was there: the key binding verified under it.
    let holder = claims.get("cnf").and_then(|cnf| cnf.get("jwk"));
    let holder = holder.and_then(|jwk| Jwk::parse(jwk).ok());
    let Jwk(holder) = holder.ok_or(ResponseRefused::Suite)?;
    let parameters = &evidence.light.genesis().parameters;
    admitted(parameters, [jws.alg, holder.alg()].into_iter())?;
    Ok(())
}

/// The same where the PID is an mdoc (spec/mdoc.md, M3 and M7 to M9). Its leaf counts if the issuer's
/// record has the leaf's key; who signed the certificate is for verifiers that do not read the ledger.
fn check_mdoc(
    shown: &str,
    asked: &[ClaimPath],
    expected: &Expected<'_>,
    batch: &InBatch<'_>,
) -> Result<(Map<String, Value>, u64), VpError> {
    let evidence = batch.evidence;
    let response = mdoc_bytes(shown)?;
    let (leaf, certificate) = claimed_leaf(&response)?;
    let issuer = evidence
        .pid_issuer
        .filter(|issuer| leaf.uris.contains(&issuer.url))
        .ok_or(ResponseRefused::IssuerUnknown)?;
    if issuer.standing != Standing::Active {
        return Err(ResponseRefused::IssuerSuspended.into());
    }
    let known = key_of_leaf(issuer, &leaf).ok_or(ResponseRefused::KeyUnknown)?;
    stands((issuer, known), shown, Some(batch))?;
    let thumbprint = match expected.encrypt_to {
        Some(key) => {
            let jwk = Jwk::parse(&key.public_jwk()).map_err(MdocError::Jws)?;
            Some(jwk.thumbprint())
        }
        None => None,
    };
    let (nonce, thumbprint) = (expected.nonce, thumbprint.as_ref());
    let transcript = match expected.answer_to {
        AnswerTo::Uri(uri) => Transcript::openid4vp(expected.client_id, nonce, thumbprint, uri),
        AnswerTo::Browser(origin) => Transcript::dc_api(origin, nonce, thumbprint),
    };
    let verified = mdoc::verify(
        &response,
        &mdoc::IssuerEvidence {
            issuer_keys: &[mdoc::IssuerKey {
                issuer: issuer.url.clone(),
                certificate,
                key: leaf.key,
            }],
            accepted_doc_types: &[mdoc::pid::DOC_TYPE],
            now_s: expected.now_ms / 1000,
            clock_skew_s: CLOCK_SKEW_S,
        },
        &transcript,
        &[],
    )?;
    let claims = mdoc::pid::claims_of(&verified.claims);
    let elements = verified.claims.values().filter_map(Value::as_object);
    if elements.map(Map::len).sum::<usize>() != claims.len() {
        return Err(ResponseRefused::OverDisclosed.into());
    }
    Ok((asked_claims(&claims, asked)?, verified.until_s))
}

/// A2 to A4: a RealPass shows what was asked, its epoch is the current one, and its issuer is active
/// and has a key for it.
fn check_pass(
    shown: &str,
    asked: &[Fact],
    expected: &Expected<'_>,
    evidence: &ResponseEvidence<'_>,
) -> Result<(PassKeyId, realpass::Shown), VpError> {
    let shown = realpass::Shown::read(shown, asked)?;
    let genesis = evidence.light.genesis();
    if !genesis.parameters.pass_stands(shown.epoch, expected.now_ms) {
        return Err(RealPassError::Epoch.into());
    }
    let id = Hash32(shown.issuer);
    let issuer = evidence
        .pass_issuer
        .filter(|issuer| issuer.has_id(&id))
        .ok_or(ResponseRefused::IssuerUnknown)?;
    if issuer.standing != Standing::Active {
        return Err(ResponseRefused::IssuerSuspended.into());
    }
    let public = *issuer
        .pass_key(shown.epoch)
        .ok_or(ResponseRefused::KeyUnknown)?;
    let key = PassKeyId {
        network: genesis.network.clone(),
        issuer: id,
        public,
    };
    Ok((key, shown))
}

/// The batch that a wallet shows beside a PID, if it does.
pub(crate) struct InBatch<'a> {
    /// The DID proof, which brings it; none where no DID was asked for.
    proof: Option<&'a str>,
    evidence: &'a ResponseEvidence<'a>,
}

/// The keys under which this PID's signature counts, from the issuer's record (promise P7).
///
/// A retired key signs no more, but what it signed stands until it expires. What a compromised key signed
/// stands where `batch` proves that it was there before.
pub(crate) fn issuer_keys(
    presentation: &str,
    issuer: Option<&Issuer>,
    batch: Option<&InBatch<'_>>,
) -> Result<Vec<sd_jwt::IssuerKey>, VpError> {
    let claimed = sd_jwt::Claimed::read(presentation)?;
    let jws = jose::decode_unverified(claimed.jwt).map_err(SdJwtError::Jws)?;
    let claimed_url = claimed_issuer(&jws)?;
    let issuer = issuer
        .filter(|issuer| issuer.url == claimed_url)
        .ok_or(ResponseRefused::IssuerUnknown)?;
    if issuer.standing != Standing::Active {
        return Err(ResponseRefused::IssuerSuspended.into());
    }
    let known = claimed_key(&jws, issuer)?;
    stands((issuer, known), presentation, batch)?;
    let key = suites::issuer_key(&known.key).map_err(|_| ResponseRefused::KeyUnknown)?;
    Ok(vec![sd_jwt::IssuerKey {
        iss: claimed_url,
        kid: known.id().to_string(),
        key,
    }])
}

/// The key of the issuer's record by which a PID says that it is signed, as issued or as shown.
pub fn pid_key<'a>(credential: &str, issuer: &'a Issuer) -> Result<&'a IssuerKey, VpError> {
    let unknown = ResponseRefused::KeyUnknown;
    if is_mdoc(credential) {
        let (leaf, _) = claimed_leaf(&mdoc_bytes(credential)?)?;
        return Ok(key_of_leaf(issuer, &leaf).ok_or(unknown)?);
    }
    let claimed = sd_jwt::Claimed::read(credential)?;
    let jws = jose::decode_unverified(claimed.jwt).map_err(SdJwtError::Jws)?;
    Ok(claimed_key(&jws, issuer)?)
}

/// The same of an SD-JWT that was taken apart.
fn claimed_key<'a>(
    jws: &jose::ClaimedJws<'_>,
    issuer: &'a Issuer,
) -> Result<&'a IssuerKey, ResponseRefused> {
    let kid = jws.header_str("kid").and_then(|kid| kid.parse().ok());
    kid.and_then(|kid| issuer.key(KeyUse::Pid, &kid))
        .ok_or(ResponseRefused::KeyUnknown)
}

fn key_of_leaf<'a>(issuer: &'a Issuer, leaf: &Certificate) -> Option<&'a IssuerKey> {
    issuer.keys.iter().find(|known| {
        known.usage == KeyUse::Pid
            && suites::verifying_key(&known.key).is_ok_and(|key| key == leaf.key)
    })
}

/// P7: what a key that was retired has signed stands; what one that is in other hands has signed does
/// not, unless its batch was on the ledger before (O18).
fn stands(
    (issuer, known): (&Issuer, &IssuerKey),
    presentation: &str,
    batch: Option<&InBatch<'_>>,
) -> Result<(), VpError> {
    if known.stands_behind(None) {
        return Ok(());
    }
    let compromised = ResponseRefused::KeyCompromised;
    let shown = batch.ok_or(compromised)?;
    let in_batch = did_proof::claimed_batch(shown.proof.ok_or(compromised)?)?;
    let in_batch = in_batch.ok_or(compromised)?;
    let ResponseEvidence {
        light, freshness, ..
    } = shown.evidence;
    let by = light.hash_function();
    let item = batch::item(by, presentation).map_err(|_| ResponseRefused::Batch)?;
    let of = (&issuer.id(by), &known.id());
    let height = in_batch.height(light, freshness, of, &item);
    let height = height.map_err(|_| ResponseRefused::Batch)?;
    let stands = known.stands_behind(Some(height));
    Ok(stands.then_some(()).ok_or(compromised)?)
}

/// What was asked for out of what was shown: all of it must be there, and nothing else may be.
fn asked_claims(
    shown: &Map<String, Value>,
    asked: &[ClaimPath],
) -> Result<Map<String, Value>, ResponseRefused> {
    if asked.iter().any(|path| path.select(shown).is_empty()) {
        return Err(ResponseRefused::ClaimMissing);
    }
    let mut leaves = Vec::new();
    for (name, value) in shown {
        collect_leaves(vec![PathElement::Name(name.clone())], value, &mut leaves);
    }
    let covered = |leaf: &Vec<PathElement>| asked.iter().any(|path| covers(path, leaf));
    if leaves.iter().all(covered) {
        Ok(shown.clone())
    } else {
        Err(ResponseRefused::OverDisclosed)
    }
}

fn collect_leaves(place: Vec<PathElement>, value: &Value, leaves: &mut Vec<Vec<PathElement>>) {
    let step = |element: PathElement| {
        let mut inner = place.clone();
        inner.push(element);
        inner
    };
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, value) in members {
                collect_leaves(step(PathElement::Name(name.clone())), value, leaves);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (i, value) in items.iter().enumerate() {
                collect_leaves(step(PathElement::Index(i)), value, leaves);
            }
        }
        _ => leaves.push(place),
    }
}

/// Whether the asked path leads to the leaf or to something that the leaf lies in.
fn covers(asked: &ClaimPath, leaf: &[PathElement]) -> bool {
    let asked = asked.elements();
    asked.len() <= leaf.len()
        && asked.iter().zip(leaf).all(|(a, b)| match (a, b) {
            (PathElement::Every, PathElement::Index(_)) => true,
            (a, b) => a == b,
        })
}
