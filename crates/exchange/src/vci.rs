//! Issuing over OpenID4VCI 1.0: the pre-authorised code flow with a transaction code, both roles.
//!
//! In the order of the specification: offer (§4), token (§6), nonce (§7), credential (§8),
//! metadata (§12). Offers and metadata are values that both sides read; the checks of the
//! issuer's side are [`CodeState::redeem`] and [`CredentialRequest::check`], the wallet's are
//! [`parse_offer`] and [`IssuerMetadata::parse`]. Who waits, stores and sends is somebody else.
//!
//! One request brings a batch of key proofs and gets one copy of the credential for each: copies
//! are shown once, so that services cannot link them. All copies say the same times, the start of
//! their epoch and its end plus the refresh lead ([`validity`]), so that times link nothing either.
//!
//! Not implemented, because nothing of ours asks for it: authorization code flow, deferred
//! issuance, notifications, encrypted responses. A request that needs one is refused.

use realdid_core::genesis::Parameters;
use realdid_credential::jose::{self, Alg, Jwk, JwsError, SigningKey, VerifyingKey};
use realdid_credential::realpass;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use url::Url;

use crate::refusal::refusals;

mod pass;

pub use pass::{PASS_CONFIGURATION, PassAnswer, PassRequest};

/// The grant type of a pre-authorised code.
pub const PRE_AUTHORIZED: &str = "urn:ietf:params:oauth:grant-type:pre-authorized_code";
/// The grant type of a refresh token.
pub const REFRESH_TOKEN: &str = "refresh_token";
/// The `typ` of a key proof (appendix F.1).
pub const PROOF_TYP: &str = "openid4vci-proof+jwt";
/// The scheme of an offer's URI.
pub const OFFER_SCHEME: &str = "openid-credential-offer";
/// The format of our PID.
pub const SD_JWT_VC: &str = "dc+sd-jwt";
/// The configuration id of our PID.
pub const PID_CONFIGURATION: &str = "pid-sd-jwt";
/// How many copies one request may bring.
pub const BATCH_SIZE: usize = 10;
/// The longest offer, as JSON, in bytes.
pub const MAX_OFFER_BYTES: usize = 8 * 1024;
/// How old a key proof may be, in seconds.
pub const PROOF_AGE_S: u64 = 300;
/// How far a wallet's clock may be ahead, in seconds.
pub const CLOCK_SKEW_S: u64 = 60;
/// How many wrong transaction codes end a pre-authorised code.
pub const MAX_TX_CODE_FAILURES: u32 = 5;

refusals! {
    /// Why a step of the issuing was refused. [`VciError::error`] is the specification's own code.
    VciError
    TokenRequest Holder "vci.token_request" "a token request carries a grant type and what that grant needs, each once" "send the parameters of OpenID4VCI 1.0 §6.1",
    GrantType Holder "vci.grant_type" "the grant is a pre-authorized code or a refresh token" "use one of the grant types in the metadata",
    TxCodeMissing Holder "vci.tx_code_missing" "a code that was offered with a transaction code is redeemed with it" "ask the user for the transaction code and send it as tx_code",
    TxCodeUnexpected Holder "vci.tx_code_unexpected" "a transaction code is sent only where the offer asks for one" "leave out tx_code",
    Grant Holder "vci.grant" "the code or refresh token is known, unused and not expired, and its transaction code is right" "start again from a new credential offer",
    AccessToken Holder "vci.access_token" "the access token is known and not expired" "get a new one with the refresh token",
    CredentialRequest Holder "vci.credential_request" "a credential request names one credential and carries proofs of one type" "send the members of OpenID4VCI 1.0 §8.2",
    UnknownConfiguration Holder "vci.unknown_configuration" "the credential configuration is one of the metadata" "use an id of credential_configurations_supported",
    UnknownIdentifier Holder "vci.unknown_identifier" "the credential identifier is one that the token response named" "use credential_configuration_id",
    Encryption Holder "vci.encryption" "the response is not encrypted" "leave out credential_response_encryption",
    Batch Holder "vci.batch" "a request brings between one and batch_size proofs" "split the request",
    ProofMissing Holder "vci.proof_missing" "a request proves possession of at least one key" "send proofs.jwt",
    ProofForm Holder "vci.proof_form" "a proof is a JWT of typ openid4vci-proof+jwt with its key as jwk, and no other key" "build the proof as in OpenID4VCI 1.0 appendix F.1",
    ProofAlg Holder "vci.proof_alg" "a holder key is of P-256 and signs with ES256" "make a P-256 key",
    ProofSignature Holder "vci.proof_signature" "the proof is signed by the key that it shows" "sign with the key in the header",
    ProofAudience Holder "vci.proof_audience" "the proof is made for this issuer" "set aud to the credential issuer identifier",
    ProofTime Holder "vci.proof_time" "the proof was made within the last five minutes" "set the clock and make a new proof",
    ProofNonce Holder "vci.proof_nonce" "every proof of a request carries the same fresh nonce of this issuer" "ask the nonce endpoint and make new proofs",
    ProofKeys Holder "vci.proof_keys" "every proof of a batch is of another key" "make one key for each copy",
    PassForm Holder "vci.pass_form" "a request for a RealPass carries one rdid_realpass proof in the form of spec/realpass.md" "make it with a wallet of this version",
    PassProof Holder "vci.pass_proof" "a commitment comes with a proof that its maker knows what is in it" "make a new request from the wallet's secrets",
    PassCommitment Holder "vci.pass_commitment" "a request commits to the secrets of the enrolment" "use the recovery words of the enrolment, or have the secrets reset at the counter",
    PassEpoch Holder "vci.pass_epoch" "a RealPass is issued for the current epoch, and for the next within the refresh lead" "ask for the current epoch, and set this device's clock",
    Denied Holder "vci.denied" "the holder's enrolment is active" "ask the authority about the enrolment",
    Offer Issuer "vci.offer" "an offer is a JSON object, or an openid-credential-offer URI that carries one, of at most 8 kB" "ask the authority for another offer",
    OfferGrant Issuer "vci.offer_grant" "the offer can be taken with a pre-authorized code" "ask for an offer with a pre-authorized code",
    Metadata Issuer "vci.metadata" "the metadata is of the issuer of the offer and names its endpoints under https, or on loopback" "ask the authority to correct its metadata",
    PassMarked Issuer "vci.pass_marked" "a RealPass says the epoch that was asked for and facts of the closed sets, and nothing else" "do not use it, and report the authority: it could be told from others'",
    Response Issuer "vci.response" "the issuer answers as the specification says, one credential for each proof" "ask the authority to correct its answer",
}

impl VciError {
    /// The error code of the specification: OpenID4VCI §6.3 and §8.3.1, RFC 6749 §5.2, RFC 6750
    /// §3.1. The last five are the wallet's own and travel nowhere.
    pub fn error(self) -> &'static str {
        match self {
            Self::TokenRequest
            | Self::TxCodeMissing
            | Self::TxCodeUnexpected
            | Self::Offer
            | Self::OfferGrant
            | Self::Metadata
            | Self::PassMarked
            | Self::Response => "invalid_request",
            Self::GrantType => "unsupported_grant_type",
            Self::Grant => "invalid_grant",
            Self::AccessToken => "invalid_token",
            Self::CredentialRequest | Self::Batch | Self::PassEpoch => "invalid_credential_request",
            Self::UnknownConfiguration => "unknown_credential_configuration",
            Self::UnknownIdentifier => "unknown_credential_identifier",
            Self::Encryption => "invalid_encryption_parameters",
            Self::ProofMissing
            | Self::ProofForm
            | Self::ProofAlg
            | Self::ProofSignature
            | Self::ProofAudience
            | Self::ProofTime
            | Self::PassForm
            | Self::PassProof
            | Self::PassCommitment
            | Self::ProofKeys => "invalid_proof",
            Self::ProofNonce => "invalid_nonce",
            Self::Denied => "credential_request_denied",
        }
    }
}

// --- §4: the offer ------------------------------------------------------------------------------

/// An offer of credentials (§4.1.1), with the one grant that we make.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialOffer {
    pub credential_issuer: String,
    pub credential_configuration_ids: Vec<String>,
    #[serde(default)]
    pub grants: OfferGrants,
}

/// How the offer can be taken. Other grants are ignored.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferGrants {
    #[serde(
        rename = "urn:ietf:params:oauth:grant-type:pre-authorized_code",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub pre_authorized: Option<PreAuthorizedGrant>,
}

/// The pre-authorised code and what the user must add to it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreAuthorizedGrant {
    #[serde(rename = "pre-authorized_code")]
    pub code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tx_code: Option<TxCode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_server: Option<String>,
}

/// What a transaction code looks like, for the wallet's entry field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TxCode {
    /// `numeric` or `text`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_mode: Option<String>,
    /// In characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// What a user handed to the wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceivedOffer {
    /// The offer itself.
    Value(CredentialOffer),
    /// Where the offer is to be fetched, as JSON; then [`parse_offer`] again.
    Reference(Url),
}

impl CredentialOffer {
    /// An offer of what an enrolment brings: a PID and a RealPass.
    pub fn of_enrolment(issuer: &str, code: String, tx_code_length: u32) -> Self {
        let mut offer = Self::pid(issuer, code, tx_code_length);
        offer
            .credential_configuration_ids
            .push(PASS_CONFIGURATION.to_owned());
        offer
    }

    /// An offer of our PID.
    pub fn pid(issuer: &str, code: String, tx_code_length: u32) -> Self {
        Self {
            credential_issuer: issuer.to_owned(),
            credential_configuration_ids: vec![PID_CONFIGURATION.to_owned()],
            grants: OfferGrants {
                pre_authorized: Some(PreAuthorizedGrant {
                    code,
                    tx_code: Some(TxCode {
                        input_mode: Some("numeric".to_owned()),
                        length: Some(tx_code_length),
                        description: None,
                    }),
                    authorization_server: None,
                }),
            },
        }
    }

    /// The offer as a URI that a QR code or a link carries (§4.1.2).
    pub fn to_uri(&self) -> String {
        let offer = serde_json::to_string(self).unwrap_or_default();
        let query: String = url::form_urlencoded::byte_serialize(offer.as_bytes()).collect();
        format!("{OFFER_SCHEME}://?credential_offer={query}")
    }

    /// The grant that we can use.
    pub fn grant(&self) -> Result<&PreAuthorizedGrant, VciError> {
        self.grants
            .pre_authorized
            .as_ref()
            .filter(|grant| !grant.code.is_empty())
            .ok_or(VciError::OfferGrant)
    }
}

/// Neither the code nor the offer belongs into a log.
impl std::fmt::Debug for CredentialOffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CredentialOffer(by {}, …)", self.credential_issuer)
    }
}

/// Wallet: reads an offer from a URI or from JSON.
pub fn parse_offer(text: &str) -> Result<ReceivedOffer, VciError> {
    let text = text.trim();
    // Percent-encoding may triple the length.
    if text.len() > 3 * MAX_OFFER_BYTES {
        return Err(VciError::Offer);
    }
    if text.starts_with('{') {
        return read_offer(text).map(ReceivedOffer::Value);
    }
    let uri = Url::parse(text).map_err(|_| VciError::Offer)?;
    if uri.scheme() != OFFER_SCHEME && uri.scheme() != "haip-vci" {
        return Err(VciError::Offer);
    }
    let mut found = None;
    for (name, value) in uri.query_pairs() {
        let offer = match name.as_ref() {
            "credential_offer" => ReceivedOffer::Value(read_offer(&value)?),
            "credential_offer_uri" => {
                let url = Url::parse(&value).map_err(|_| VciError::Offer)?;
                if !is_safe(&url) {
                    return Err(VciError::Offer);
                }
                ReceivedOffer::Reference(url)
            }
            _ => continue,
        };
        // §4.1: one of the two, once.
        if found.replace(offer).is_some() {
            return Err(VciError::Offer);
        }
    }
    found.ok_or(VciError::Offer)
}

fn read_offer(text: &str) -> Result<CredentialOffer, VciError> {
    if text.len() > MAX_OFFER_BYTES {
        return Err(VciError::Offer);
    }
    let offer: CredentialOffer = serde_json::from_str(text).map_err(|_| VciError::Offer)?;
    let issuer = Url::parse(&offer.credential_issuer).map_err(|_| VciError::Offer)?;
    if offer.credential_configuration_ids.is_empty() || !is_safe(&issuer) {
        return Err(VciError::Offer);
    }
    Ok(offer)
}

/// §12.2.1: `https`; plain `http` only where no network lies between, on loopback.
fn is_safe(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.has_host() && (url.scheme() == "https" || (url.scheme() == "http" && loopback))
}

// --- §6: the token ------------------------------------------------------------------------------

/// A token request that has the shape of its grant.
#[derive(Clone, PartialEq, Eq)]
pub enum TokenRequest {
    PreAuthorized {
        code: String,
        tx_code: Option<String>,
    },
    Refresh {
        refresh_token: String,
    },
}

impl TokenRequest {
    /// Wallet: the first request, from an offer.
    pub fn for_offer(offer: &CredentialOffer, tx_code: Option<&str>) -> Result<Self, VciError> {
        let grant = offer.grant()?;
        if grant.tx_code.is_some() != tx_code.is_some() {
            return Err(VciError::TxCodeMissing);
        }
        Ok(Self::PreAuthorized {
            code: grant.code.clone(),
            tx_code: tx_code.map(str::to_owned),
        })
    }

    /// Wallet: the form fields.
    pub fn to_form(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::PreAuthorized { code, tx_code } => {
                let mut form = vec![
                    ("grant_type", PRE_AUTHORIZED.to_owned()),
                    ("pre-authorized_code", code.clone()),
                ];
                form.extend(tx_code.clone().map(|code| ("tx_code", code)));
                form
            }
            Self::Refresh { refresh_token } => vec![
                ("grant_type", REFRESH_TOKEN.to_owned()),
                ("refresh_token", refresh_token.clone()),
            ],
        }
    }

    /// Issuer: reads an `application/x-www-form-urlencoded` body. A field that stands twice is
    /// refused (RFC 6749 §3.2); unknown fields are ignored.
    pub fn parse(body: &[u8]) -> Result<Self, VciError> {
        let mut fields = std::collections::BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(body) {
            if value.len() > 512
                || fields
                    .insert(name.into_owned(), value.into_owned())
                    .is_some()
            {
                return Err(VciError::TokenRequest);
            }
        }
        let mut take = |name: &str| fields.remove(name).filter(|value| !value.is_empty());
        let needed = VciError::TokenRequest;
        match take("grant_type").ok_or(needed)?.as_str() {
            PRE_AUTHORIZED => Ok(Self::PreAuthorized {
                code: take("pre-authorized_code").ok_or(needed)?,
                tx_code: take("tx_code"),
            }),
            REFRESH_TOKEN => Ok(Self::Refresh {
                refresh_token: take("refresh_token").ok_or(needed)?,
            }),
            _ => Err(VciError::GrantType),
        }
    }
}

/// What the issuer remembers of a pre-authorised code. The code itself is kept as
/// [`secret_hash`] only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeState {
    /// [`secret_hash`] of the transaction code; absent where the offer asks for none.
    pub tx_code_hash: Option<[u8; 32]>,
    /// Unix seconds.
    pub expires_s: u64,
    pub used: bool,
    /// Wrong transaction codes so far.
    pub failures: u32,
}

impl CodeState {
    /// Issuer: whether the code may be exchanged now. On `Err(Grant)` with a wrong transaction
    /// code the caller counts the failure; on `Ok` it marks the code used, both before answering.
    ///
    /// A used, an expired and a wrongly opened code look the same from outside.
    pub fn redeem(&self, tx_code: Option<&str>, now_s: u64) -> Result<(), VciError> {
        if self.used || now_s >= self.expires_s || self.failures >= MAX_TX_CODE_FAILURES {
            return Err(VciError::Grant);
        }
        match (&self.tx_code_hash, tx_code) {
            (None, None) => Ok(()),
            (None, Some(_)) => Err(VciError::TxCodeUnexpected),
            (Some(_), None) => Err(VciError::TxCodeMissing),
            (Some(hash), Some(code)) if bool::from(hash.ct_eq(&secret_hash(code))) => Ok(()),
            (Some(_), Some(_)) => Err(VciError::Grant),
        }
    }
}

/// How codes and tokens are stored: a SHA-256 of the secret, so that a copy of the database opens
/// nothing. Codes and tokens have 256 bits of randomness, so no salt is needed; a transaction code
/// has few, but is worth nothing without its code.
pub fn secret_hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// A successful token response (§6.2).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenResponse {
    pub access_token: String,
    /// `Bearer`.
    pub token_type: String,
    /// Seconds from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u64>,
    /// For the next epochs' copies, and for the sponsoring of DIDs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
}

impl TokenResponse {
    /// Wallet: reads the issuer's answer.
    pub fn parse(body: &[u8]) -> Result<Self, VciError> {
        let response: Self = serde_json::from_slice(body).map_err(|_| VciError::Response)?;
        if response.token_type.eq_ignore_ascii_case("bearer") {
            Ok(response)
        } else {
            Err(VciError::Response)
        }
    }
}

impl std::fmt::Debug for TokenResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenResponse(…)")
    }
}

// --- §7: the nonce ------------------------------------------------------------------------------

/// The answer of the nonce endpoint; never cached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NonceResponse {
    pub c_nonce: String,
}

// --- §8: the credential -------------------------------------------------------------------------

/// A credential request as it travels.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialRequest {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_configuration_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_identifier: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proofs: Option<Proofs>,
    /// Only to refuse it by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_response_encryption: Option<Value>,
}

/// Key proofs, all of one type.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proofs {
    pub jwt: Vec<String>,
}

/// What the issuer holds a request against.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The credential issuer identifier.
    pub issuer: &'a str,
    /// The configurations that may be asked for.
    pub configurations: &'a [&'a str],
    /// The most proofs of one request.
    pub batch_size: usize,
    /// Unix seconds.
    pub now_s: u64,
}

/// A request whose every proof holds, except that the nonce must still be found fresh and used up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedRequest {
    pub configuration: String,
    /// The one nonce of all proofs: the caller redeems it exactly once, and answers
    /// [`VciError::ProofNonce`] where that fails.
    pub nonce: String,
    /// One key for each copy, in the order of the proofs.
    pub keys: Vec<VerifyingKey>,
}

impl CredentialRequest {
    /// Wallet: asks for as many copies of `configuration` as there are `keys`.
    pub fn build(
        configuration: &str,
        issuer: &str,
        nonce: &str,
        now_s: u64,
        keys: &[SigningKey],
    ) -> Result<Self, JwsError> {
        let jwt = keys
            .iter()
            .map(|key| build_proof(issuer, nonce, now_s, key))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            credential_configuration_id: Some(configuration.to_owned()),
            credential_identifier: None,
            proofs: Some(Proofs { jwt }),
            credential_response_encryption: None,
        })
    }

    /// Issuer: reads the body of a request.
    pub fn parse(body: &[u8]) -> Result<Self, VciError> {
        serde_json::from_slice(body).map_err(|_| VciError::CredentialRequest)
    }

    /// Issuer: §8.2 and appendix F, in this order: what is asked for, how many, each proof.
    pub fn check(&self, expected: &Expected<'_>) -> Result<CheckedRequest, VciError> {
        if self.credential_response_encryption.is_some() {
            return Err(VciError::Encryption);
        }
        let configuration = match (
            &self.credential_configuration_id,
            &self.credential_identifier,
        ) {
            (Some(id), None) => id,
            // Our token responses name no identifiers, so none can be known (§8.2).
            (None, Some(_)) => return Err(VciError::UnknownIdentifier),
            _ => return Err(VciError::CredentialRequest),
        };
        if !expected.configurations.contains(&configuration.as_str()) {
            return Err(VciError::UnknownConfiguration);
        }
        let proofs = self.proofs.as_ref().map_or(&[][..], |proofs| &proofs.jwt);
        if proofs.is_empty() {
            return Err(VciError::ProofMissing);
        }
        if proofs.len() > expected.batch_size {
            return Err(VciError::Batch);
        }
        let mut keys: Vec<VerifyingKey> = Vec::with_capacity(proofs.len());
        let mut nonce: Option<String> = None;
        for proof in proofs {
            let proof = verify_proof(proof, expected.issuer, expected.now_s)?;
            if nonce.get_or_insert_with(|| proof.nonce.clone()) != &proof.nonce {
                return Err(VciError::ProofNonce);
            }
            if keys.contains(&proof.key) {
                return Err(VciError::ProofKeys);
            }
            keys.push(proof.key);
        }
        Ok(CheckedRequest {
            configuration: configuration.clone(),
            nonce: nonce.ok_or(VciError::ProofNonce)?,
            keys,
        })
    }
}

/// Wallet: proves possession of `key` to `issuer` (appendix F.1). `iss` stays out, because the
/// wallet has no client id here.
pub fn build_proof(
    issuer: &str,
    nonce: &str,
    now_s: u64,
    key: &SigningKey,
) -> Result<String, JwsError> {
    let mut header = Map::new();
    header.insert("typ".to_owned(), PROOF_TYP.into());
    header.insert("jwk".to_owned(), Jwk(key.verifying_key()).to_value());
    let claims = json!({"aud": issuer, "iat": now_s, "nonce": nonce});
    jose::sign_compact(&header, claims.to_string().as_bytes(), key)
}

/// A proof that holds, but for the freshness of its nonce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedProof {
    pub key: VerifyingKey,
    pub nonce: String,
}

/// Issuer: verifies one key proof (appendix F.4).
pub fn verify_proof(proof: &str, issuer: &str, now_s: u64) -> Result<VerifiedProof, VciError> {
    let claimed = jose::decode_unverified(proof).map_err(|error| match error {
        JwsError::AlgRefused => VciError::ProofAlg,
        _ => VciError::ProofForm,
    })?;
    claimed
        .expect_typ(PROOF_TYP)
        .map_err(|_| VciError::ProofForm)?;
    let elsewhere = ["kid", "x5c", "trust_chain"];
    if elsewhere
        .iter()
        .any(|name| claimed.header.contains_key(*name))
    {
        return Err(VciError::ProofForm);
    }
    if claimed.alg != Alg::Es256 {
        return Err(VciError::ProofAlg);
    }
    let jwk = claimed.header.get("jwk").ok_or(VciError::ProofForm)?;
    let Jwk(key) = Jwk::parse(jwk).map_err(|_| VciError::ProofForm)?;
    claimed.verify(&key).map_err(|error| match error {
        JwsError::AlgMismatch => VciError::ProofAlg,
        _ => VciError::ProofSignature,
    })?;
    let claims = claimed.claims().map_err(|_| VciError::ProofForm)?;
    if claims.get("aud").and_then(Value::as_str) != Some(issuer) {
        return Err(VciError::ProofAudience);
    }
    let iat = claims
        .get("iat")
        .and_then(Value::as_u64)
        .ok_or(VciError::ProofTime)?;
    if iat > now_s.saturating_add(CLOCK_SKEW_S) || now_s.saturating_sub(iat) > PROOF_AGE_S {
        return Err(VciError::ProofTime);
    }
    let nonce = claims
        .get("nonce")
        .and_then(Value::as_str)
        .filter(|nonce| (1..=128).contains(&nonce.len()))
        .ok_or(VciError::ProofNonce)?;
    Ok(VerifiedProof {
        key,
        nonce: nonce.to_owned(),
    })
}

/// A credential response: one copy for each proof, in their order (§8.3).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialResponse {
    pub credentials: Vec<IssuedCredential>,
}

/// One copy.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedCredential {
    /// An SD-JWT VC in its compact form.
    pub credential: String,
}

impl CredentialResponse {
    /// Issuer: wraps the copies.
    pub fn new(copies: Vec<String>) -> Self {
        Self {
            credentials: copies
                .into_iter()
                .map(|credential| IssuedCredential { credential })
                .collect(),
        }
    }

    /// Wallet: reads the answer to a request with `copies` proofs.
    pub fn parse(body: &[u8], copies: usize) -> Result<Vec<String>, VciError> {
        let response: Self = serde_json::from_slice(body).map_err(|_| VciError::Response)?;
        if response.credentials.len() != copies {
            return Err(VciError::Response);
        }
        Ok(response
            .credentials
            .into_iter()
            .map(|issued| issued.credential)
            .collect())
    }
}

/// The times of a login credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    pub epoch: u64,
    /// Unix seconds: the start of the epoch, not the moment of issuing.
    pub issued_at_s: u64,
    /// Unix seconds.
    pub expires_s: u64,
}

/// The times that every copy issued at `now_s` carries: they name the epoch and nothing finer.
pub fn validity(parameters: &Parameters, now_s: u64) -> Validity {
    let epoch = parameters.epoch_at(now_s.saturating_mul(1000));
    Validity {
        epoch,
        issued_at_s: epoch * parameters.epoch_s.max(1),
        expires_s: parameters.credential_expiry_s(epoch),
    }
}

// --- §12: metadata ------------------------------------------------------------------------------

/// The credential issuer's metadata (§12.2.4), as far as we use it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerMetadata {
    pub credential_issuer: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_servers: Option<Vec<String>>,
    pub credential_endpoint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce_endpoint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_credential_issuance: Option<BatchIssuance>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display: Option<Value>,
    pub credential_configurations_supported: Map<String, Value>,
}

/// How many copies one request may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchIssuance {
    pub batch_size: usize,
}

impl IssuerMetadata {
    /// The metadata of an authority at `issuer` whose PID is of type `vct`. `name` is shown to
    /// people.
    pub fn of_authority(issuer: &str, vct: &str, name: &str) -> Self {
        let configuration = json!({
            "format": SD_JWT_VC,
            "scope": PID_CONFIGURATION,
            "vct": vct,
            "cryptographic_binding_methods_supported": ["jwk"],
            "credential_signing_alg_values_supported": ["ES256"],
            "proof_types_supported": {
                "jwt": {"proof_signing_alg_values_supported": ["ES256"]}
            },
            "credential_metadata": {
                "display": [{"name": "Person identification", "locale": "en"}]
            },
        });
        let mut configurations = Map::new();
        configurations.insert(PID_CONFIGURATION.to_owned(), configuration);
        configurations.insert(
            PASS_CONFIGURATION.to_owned(),
            json!({
                "format": realpass::FORMAT,
                "scope": PASS_CONFIGURATION,
                "cryptographic_binding_methods_supported": ["rdid_commitment"],
                "credential_signing_alg_values_supported": ["BBS-BLS12-381-SHA-256"],
                "proof_types_supported": {
                    realpass::FORMAT: {
                        "proof_signing_alg_values_supported": ["BBS-BLS12-381-SHA-256"]
                    }
                },
                "credential_metadata": {
                    "display": [{"name": "RealPass", "locale": "en"}]
                },
            }),
        );
        Self {
            credential_issuer: issuer.to_owned(),
            authorization_servers: None,
            credential_endpoint: format!("{issuer}/credential"),
            nonce_endpoint: Some(format!("{issuer}/nonce")),
            batch_credential_issuance: Some(BatchIssuance {
                batch_size: BATCH_SIZE,
            }),
            display: Some(json!([{"name": name, "locale": "en"}])),
            credential_configurations_supported: configurations,
        }
    }

    /// Wallet: reads the metadata of the issuer that an offer names. It must name that issuer and
    /// no other (§12.2.3), or somebody could take an issuer's name.
    pub fn parse(body: &[u8], issuer: &str) -> Result<Self, VciError> {
        let metadata: Self = serde_json::from_slice(body).map_err(|_| VciError::Metadata)?;
        let mut endpoints = vec![&metadata.credential_endpoint];
        endpoints.extend(&metadata.nonce_endpoint);
        let safe = |url: &&String| Url::parse(url).is_ok_and(|url| is_safe(&url));
        if metadata.credential_issuer == issuer && endpoints.iter().all(safe) {
            Ok(metadata)
        } else {
            Err(VciError::Metadata)
        }
    }

    /// The most copies of one request; 1 where the issuer says nothing.
    pub fn batch_size(&self) -> usize {
        self.batch_credential_issuance
            .as_ref()
            .map_or(1, |batch| batch.batch_size.clamp(1, 100))
    }

    /// The authorization server: the issuer itself, unless it names another (§12.2.4).
    pub fn authorization_server(&self) -> &str {
        self.authorization_servers
            .as_ref()
            .and_then(|servers| servers.first())
            .unwrap_or(&self.credential_issuer)
    }
}

/// The authorization server's metadata (RFC 8414), as far as we use it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerMetadata {
    pub issuer: String,
    pub token_endpoint: String,
    #[serde(default)]
    pub grant_types_supported: Vec<String>,
    /// Required by RFC 8414; empty, because there is no authorization endpoint.
    #[serde(default)]
    pub response_types_supported: Vec<String>,
    #[serde(default)]
    pub token_endpoint_auth_methods_supported: Vec<String>,
    #[serde(rename = "pre-authorized_grant_anonymous_access_supported", default)]
    pub anonymous_access: bool,
}

impl ServerMetadata {
    /// The metadata of an authority at `issuer`.
    pub fn of_authority(issuer: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            token_endpoint: format!("{issuer}/token"),
            grant_types_supported: vec![PRE_AUTHORIZED.to_owned(), REFRESH_TOKEN.to_owned()],
            response_types_supported: vec![],
            token_endpoint_auth_methods_supported: vec!["none".to_owned()],
            anonymous_access: true,
        }
    }

    /// Wallet: reads the metadata of `issuer` (RFC 8414 §3.3: it must name that issuer).
    pub fn parse(body: &[u8], issuer: &str) -> Result<Self, VciError> {
        let metadata: Self = serde_json::from_slice(body).map_err(|_| VciError::Metadata)?;
        let safe = Url::parse(&metadata.token_endpoint).is_ok_and(|url| is_safe(&url));
        if metadata.issuer == issuer && safe {
            Ok(metadata)
        } else {
            Err(VciError::Metadata)
        }
    }
}

/// Where the metadata of `issuer` stands: the well-known path goes between host and path
/// (§12.2.2, RFC 8414 §3.1). `name` is `openid-credential-issuer` or `oauth-authorization-server`.
pub fn well_known(issuer: &str, name: &str) -> Result<Url, VciError> {
    let mut url = Url::parse(issuer).map_err(|_| VciError::Metadata)?;
    if !is_safe(&url) {
        return Err(VciError::Metadata);
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("/.well-known/{name}{path}"));
    Ok(url)
}

/// A refusal as it travels from an OAuth endpoint, with our three members added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorResponse {
    pub error: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

#[cfg(test)]
mod tests;
