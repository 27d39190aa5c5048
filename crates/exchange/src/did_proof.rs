//! A DID's own signature in a login, with its stapled state (spec/login.md, rules K1 to K9).
//!
//! The `did` entry of a `vp_token`: a compact JWS of type `rdid-proof+jwt` by one of the DID's
//! current keys, over the gate's nonce and name and over the hash of what is shown beside
//! it. In it travels the *staple*, the ledger's answer about this DID that the wallet fetched
//! before, so that the gate needs nothing but checkpoints to judge the DID's present state.
//!
//! ```text
//! header   {"alg": "EdDSA" | "ES256" | "SM2SM3", "typ": "rdid-proof+jwt", "kid": "<did>#key-<n>"}
//! payload  {"aud", "nonce", "iat", "did", "inception"?, "staple", "shown_hash", "batch"?}
//! ```
//! `inception`, `staple` and `batch` are base64url of canonical CBOR, `shown_hash` is the base64url of
//! SHA-256 over the presentations beside it as they stand in the `vp_token`. The hash ties them
//! together: neither can be taken out and shown beside another.
//!
//! The JWS has its own framing: its signing input starts with a header that says
//! `rdid-proof+jwt`, an operation's with `rdid/1/sign/…` and a zero byte. So no proof is an
//! operation and no operation is a proof, though the same key may make both.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realdid_core::answer::StateAnswer;
use realdid_core::codec;
use realdid_core::did::{Did, Inception};
use realdid_core::suite::{PublicKey, SecretKey};
use realdid_credential::jose::{self, ClaimedSignature};
use realdid_light::{
    CheckedHeader, DidStanding, DidUnusable, Freshness, LightClient, LightError, TermError,
};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::batch::InBatch;
use crate::refusal::refusals;
use crate::suites;
use std::sync::OnceLock;

/// The `typ` of a proof.
pub const TYP: &str = "rdid-proof+jwt";
/// The longest proof that is read, in bytes: a full staple and inception in base64, twice over
/// since the JWS encodes its payload again.
pub const MAX_PROOF_BYTES: usize = 62 * 1024;
/// How far a proof's time may lie in the gate's future, in seconds: clocks differ.
const MAX_AHEAD_S: u64 = 10;

refusals! {
    /// Why a DID proof was refused.
    DidProofError
    TooLong Holder "did.proof_too_long" "a DID proof is at most 62 kB" "send a staple of one answer only",
    Malformed Holder "did.proof_malformed" "a DID proof is a compact JWS of type rdid-proof+jwt with the members of spec/login.md" "use a wallet of this version",
    Signature Holder "did.proof_signature" "the proof is signed by the key that its kid names" "sign with a current key of the DID",
    Key Holder "did.proof_key" "kid names one of the DID's current keys in the proved state" "sign with a current key; a key that was rotated away signs nothing",
    Audience Holder "did.proof_audience" "aud is the client_id of the request" "answer the request that was asked",
    Nonce Holder "did.proof_nonce" "nonce is the one of the request" "answer the request that was asked, once",
    Expired Holder "did.proof_expired" "the proof was made within the last minutes" "make a new proof, and set this device's clock",
    Future Holder "did.proof_future" "the proof was not made in the future" "set this device's clock",
    ShownHash Holder "did.proof_shown_hash" "shown_hash is the hash of what is shown beside the proof" "show what the proof was made for",
    Did Holder "did.malformed" "did is a DID of this network in its one spelling" "use a did:rdid DID of this network",
    Inception Holder "did.inception_mismatch" "the inception is the one that the DID is the hash of" "send the DID's own inception",
    Unknown Holder "did.unknown" "the DID is on the ledger, or its inception is shown" "send the inception of an unanchored DID",
    Frozen Holder "did.frozen" "the DID is not frozen" "recover the DID with the recovery words",
    Deactivated Holder "did.deactivated" "the DID is not deactivated" "log in with another DID",
    StapleMalformed Holder "did.staple_malformed" "the staple is a state answer in canonical CBOR" "fetch the DID's state again",
    StapleForged Holder "did.staple_forged" "the staple's certificate and path lead from this network's validators to this DID's record" "fetch the DID's state from an honest node",
    StapleStale Holder "did.staple_stale" "the staple's checkpoint is recent enough" "fetch the DID's state again",
    StapleFuture Holder "did.staple_future" "the staple's checkpoint is not in the future" "compare the clocks of gate and network",
    Signing Caller "did.proof_signing" "the key is one of the DID's and the proof fits its bounds" "pass the DID's current key and one state answer",
}

impl From<LightError> for DidProofError {
    fn from(error: LightError) -> Self {
        match error {
            LightError::Stale { .. } | LightError::Behind { .. } => Self::StapleStale,
            LightError::Future => Self::StapleFuture,
            LightError::InceptionMismatch => Self::Inception,
            LightError::Codec(_) | LightError::Terms(TermError::Codec(_)) => Self::StapleMalformed,
            _ => Self::StapleForged,
        }
    }
}

/// What a wallet puts into a proof.
#[derive(Debug)]
pub struct ProofContent<'a> {
    pub did: &'a Did,
    /// Needed while the DID is not anchored; harmless afterwards.
    pub inception: Option<&'a Inception>,
    /// The ledger's answer about this DID.
    pub staple: &'a StateAnswer,
    /// Where the key stands among the DID's current keys, from 0.
    pub key_index: usize,
    /// The request's full client_id.
    pub audience: &'a str,
    pub nonce: &'a str,
    /// Unix seconds.
    pub now_s: u64,
    /// [`shown_hash`] of what is shown beside it.
    pub shown_hash: [u8; 32],
    /// The batch of the PID that is shown beside it, where its key is compromised.
    pub batch: Option<&'a InBatch>,
}

/// SHA-256 over what is shown beside a proof, exactly as it stands in the `vp_token`: the RealPass, the
/// PID, or both with `~~` between.
pub fn shown_hash(pass: Option<&str>, pid: Option<&str>) -> [u8; 32] {
    let shown: Vec<&str> = [pass, pid].into_iter().flatten().collect();
    // A RealPass holds no tilde, so this says which is which.
    Sha256::digest(shown.join("~~").as_bytes()).into()
}

/// Makes a proof. Wallet side.
pub fn build(content: &ProofContent<'_>, key: &SecretKey) -> Result<String, DidProofError> {
    let mut header = Map::new();
    header.insert("typ".to_owned(), TYP.into());
    header.insert(
        "kid".to_owned(),
        key_id(content.did, content.key_index).into(),
    );
    let mut payload = Map::new();
    let mut set = |name: &str, value: Value| payload.insert(name.to_owned(), value);
    set("aud", content.audience.into());
    set("nonce", content.nonce.into());
    set("iat", content.now_s.into());
    set("did", content.did.to_string().into());
    if let Some(inception) = content.inception {
        set(
            "inception",
            URL_SAFE_NO_PAD.encode(codec::encode(inception)).into(),
        );
    }
    set(
        "staple",
        URL_SAFE_NO_PAD.encode(content.staple.encode()).into(),
    );
    set(
        "shown_hash",
        URL_SAFE_NO_PAD.encode(content.shown_hash).into(),
    );
    if let Some(batch) = content.batch {
        set("batch", URL_SAFE_NO_PAD.encode(batch.encode()).into());
    }
    let proof = suites::signing_key(key)
        .and_then(|key| {
            jose::sign_compact(&header, Value::Object(payload).to_string().as_bytes(), &key)
        })
        .map_err(|_| DidProofError::Signing)?;
    if proof.len() > MAX_PROOF_BYTES {
        return Err(DidProofError::Signing);
    }
    Ok(proof)
}

/// What the gate asked for, against which a proof is held.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The gate's full client_id.
    pub audience: &'a str,
    pub nonce: &'a str,
    /// Unix seconds.
    pub now_s: u64,
    /// How old a proof may be, in seconds.
    pub max_age_s: u64,
    /// [`shown_hash`] of the rest of the same response.
    pub shown_hash: [u8; 32],
}

/// A DID that has proved, now and to this gate, that it is in good standing.
#[derive(Debug, Clone)]
pub struct VerifiedDid {
    pub did: Did,
    pub standing: DidStanding,
    /// The current key that signed.
    pub key: PublicKey,
    /// The checkpoint that the staple hangs on, and its age in milliseconds (promise P9).
    pub at: CheckedHeader,
    pub staple_age_ms: u64,
}

/// A proof as it came. It is taken apart when somebody first asks, and once: whose ledger to look at, which
/// checkpoint it brings and whether it holds are asked one after the other.
#[derive(Clone)]
pub struct ReceivedProof {
    text: String,
    claimed: OnceLock<Result<ClaimedProof, DidProofError>>,
}

impl From<String> for ReceivedProof {
    fn from(text: String) -> Self {
        Self {
            text,
            claimed: OnceLock::new(),
        }
    }
}

/// What came is all that there is to it.
impl PartialEq for ReceivedProof {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for ReceivedProof {}

impl ReceivedProof {
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn claimed(&self) -> Result<&ClaimedProof, DidProofError> {
        let claimed = self.claimed.get_or_init(|| ClaimedProof::parse(&self.text));
        claimed.as_ref().map_err(|error| *error)
    }

    /// The DID that it claims: unverified, it says whose ledger to look at.
    pub fn claimed_did(&self) -> Result<&Did, DidProofError> {
        Ok(&self.claimed()?.did)
    }

    /// Its staple, while its signature is not checked: the checkpoint in it carries its own certificate, so a
    /// gate that hears of it may advance its light client by it.
    pub fn unverified_staple(&self) -> Result<&StateAnswer, DidProofError> {
        Ok(&self.claimed()?.staple)
    }

    /// Verifies it. Gate side.
    ///
    /// In this order: form, what it answers (audience, nonce, time, what is shown beside it), the ledger's word about the
    /// DID, and the signature last, because only the proved state says under which key it must verify.
    pub fn verify(
        &self,
        expected: &Expected<'_>,
        light: &LightClient,
        freshness: &Freshness,
    ) -> Result<VerifiedDid, DidProofError> {
        let claimed = self.claimed()?;
        claimed.answers(expected)?;
        let state = light.did(
            &claimed.did,
            claimed.inception.as_ref(),
            &claimed.staple,
            freshness,
        )?;
        let keys = state
            .authentication_keys()
            .map_err(|unusable| match unusable {
                DidUnusable::Unknown => DidProofError::Unknown,
                DidUnusable::Frozen => DidProofError::Frozen,
                DidUnusable::Deactivated => DidProofError::Deactivated,
            })?;
        let key = keys
            .get(claimed.key_index)
            .ok_or(DidProofError::Key)?
            .clone();
        suites::verifying_key(&key)
            .and_then(|key| claimed.signature.verify(&self.text, &key))
            .map_err(|_| DidProofError::Signature)?;
        Ok(VerifiedDid {
            did: state.did,
            standing: state.standing,
            key,
            at: state.at,
            staple_age_ms: state.age_ms,
        })
    }
}

/// Verifies a proof by [`ReceivedProof::verify`].
pub fn verify(
    proof: &str,
    expected: &Expected<'_>,
    light: &LightClient,
    freshness: &Freshness,
) -> Result<VerifiedDid, DidProofError> {
    ReceivedProof::from(proof.to_owned()).verify(expected, light, freshness)
}

/// The DID that a proof claims: unverified, it says whose ledger to look at.
pub fn claimed_did(proof: &str) -> Result<Did, DidProofError> {
    Ok(ClaimedProof::parse(proof)?.did)
}

/// The batch that a proof brings for the PID beside it, if any: unverified, the ledger's word in it proves
/// itself.
pub fn claimed_batch(proof: &str) -> Result<Option<InBatch>, DidProofError> {
    if proof.len() > MAX_PROOF_BYTES {
        return Err(DidProofError::TooLong);
    }
    let malformed = |_| DidProofError::Malformed;
    let jws = jose::decode_unverified(proof).map_err(malformed)?;
    let payload = jws.claims().map_err(malformed)?;
    let Some(batch) = payload.get("batch") else {
        return Ok(None);
    };
    let text = batch.as_str().ok_or(DidProofError::Malformed)?;
    let bytes = URL_SAFE_NO_PAD.decode(text);
    let bytes = bytes.map_err(|_| DidProofError::Malformed)?;
    let batch = InBatch::decode(&bytes);
    Ok(Some(batch.map_err(|_| DidProofError::Malformed)?))
}

/// A proof that was taken apart; nothing in it is verified.
#[derive(Clone)]
struct ClaimedProof {
    audience: String,
    nonce: String,
    issued_s: u64,
    did: Did,
    inception: Option<Inception>,
    staple: StateAnswer,
    shown_hash: [u8; 32],
    key_index: usize,
    signature: ClaimedSignature,
}

impl ClaimedProof {
    fn parse(proof: &str) -> Result<Self, DidProofError> {
        if proof.len() > MAX_PROOF_BYTES {
            return Err(DidProofError::TooLong);
        }
        let malformed = || DidProofError::Malformed;
        let jws = jose::decode_unverified(proof).map_err(|_| malformed())?;
        jws.expect_typ(TYP).map_err(|_| malformed())?;
        let payload = jws.claims().map_err(|_| malformed())?;
        let text = |name: &str| payload.get(name).and_then(Value::as_str);
        let bytes = |name: &str| text(name).map(|text| URL_SAFE_NO_PAD.decode(text));

        let did: Did = text("did")
            .ok_or_else(malformed)?
            .parse()
            .map_err(|_| DidProofError::Did)?;
        let inception = match bytes("inception") {
            None => None,
            Some(bytes) => {
                let bytes = bytes.map_err(|_| malformed())?;
                Some(Inception::decode(&bytes).map_err(|_| DidProofError::Inception)?)
            }
        };
        let staple = bytes("staple")
            .ok_or_else(malformed)?
            .map_err(|_| DidProofError::StapleMalformed)?;
        let staple = StateAnswer::decode(&staple).map_err(|_| DidProofError::StapleMalformed)?;
        let shown_hash = bytes("shown_hash")
            .and_then(Result::ok)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(malformed)?;
        // One DID has one spelling, so the key's id begins with the text that the DID was read from.
        let kid = jws.header_str("kid").zip(text("did"));
        let fragment = kid.and_then(|(kid, did)| kid.strip_prefix(did));
        let number = fragment.and_then(|fragment| fragment.strip_prefix("#key-"));
        let is = |i: &usize| number == Some((i + 1).to_string().as_str());
        let key_index = (0..realdid_core::did::MAX_KEYS).find(is);
        let key_index = key_index.ok_or(DidProofError::Key)?;
        Ok(Self {
            audience: text("aud").ok_or_else(malformed)?.to_owned(),
            nonce: text("nonce").ok_or_else(malformed)?.to_owned(),
            issued_s: payload
                .get("iat")
                .and_then(Value::as_u64)
                .ok_or_else(malformed)?,
            did,
            inception,
            staple,
            shown_hash,
            key_index,
            signature: jws.into_signature(),
        })
    }

    fn answers(&self, expected: &Expected<'_>) -> Result<(), DidProofError> {
        if self.audience != expected.audience {
            return Err(DidProofError::Audience);
        }
        if !bool::from(self.nonce.as_bytes().ct_eq(expected.nonce.as_bytes())) {
            return Err(DidProofError::Nonce);
        }
        if self.issued_s > expected.now_s.saturating_add(MAX_AHEAD_S) {
            return Err(DidProofError::Future);
        }
        if expected.now_s.saturating_sub(self.issued_s) > expected.max_age_s {
            return Err(DidProofError::Expired);
        }
        if self.shown_hash != expected.shown_hash {
            return Err(DidProofError::ShownHash);
        }
        Ok(())
    }
}

/// The id of a DID's key: as in its DID document, counted from 1.
pub fn key_id(did: &Did, key_index: usize) -> String {
    format!("{did}#key-{}", key_index + 1)
}
