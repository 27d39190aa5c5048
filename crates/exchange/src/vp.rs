//! Presenting over OpenID4VP 1.0: what a gate asks, what a wallet checks before it answers, and
//! what the gate checks in the answer (spec/login.md, rules V1 to V14).
//!
//! ```text
//! wallet                                          gate
//!        ◀──── openid4vp://?client_id&request_uri   WalletLink
//! GET request_uri ───────────────────────────────▶  RequestContent::sign
//! ClaimedRequest::parse, then records from the ledger,
//! ClaimedRequest::check  (who asks, for what, why: shown to the person)
//! POST response_uri ─────────────────────────────▶  WalletResponse::parse, verify_response
//! ```
//!
//! The client id is `verifier_attestation:<service id>` (§5.9.3): the request object carries the
//! service's registration in its `jwt` header, and is signed by the key that the registration
//! names. The wallet holds the registration against the ledger and the request against the
//! registration, so a service can neither pose as another nor ask for more than was registered.
//!
//! An answer is two entries of one `vp_token`: `pid`, the official credential as SD-JWT VC with
//! only the asked claims disclosed, and `did`, the signature of this service's own DID
//! ([`crate::did_proof`]). Both cover the request's nonce and client id.

use std::collections::BTreeMap;

use realdid_core::hash::Hash32;
use realdid_core::state::{Issuer, KeyStatus, KeyUse, Service, Standing};
use realdid_credential::dcql::DcqlQuery;
use realdid_credential::jose::{self, SigningKey};
use realdid_credential::sd_jwt::{self, SdJwtError};
use realdid_credential::{ClaimPath, PathElement, pid};
use realdid_light::{Freshness, LightClient};
use serde_json::{Map, Value, json};
use url::{Url, form_urlencoded};

use crate::did_proof::{self, DidProofError, VerifiedDid};
use crate::jwe::{DecryptionKey, Enc, EncryptionKey};
use crate::refusal::refusals;
use crate::registration::{self, Registration, RegistrationError};

/// The `typ` of a request object.
pub const REQUEST_TYP: &str = "oauth-authz-req+jwt";
/// The client id prefix of OpenID4VP 1.0 §5.9.3.
pub const CLIENT_ID_PREFIX: &str = "verifier_attestation:";
/// The audience of a request object for a wallet that nobody knows beforehand (§5.8).
pub const WALLET_AUDIENCE: &str = "https://self-issued.me/v2";
/// The media type of a request object.
pub const REQUEST_MEDIA_TYPE: &str = "application/oauth-authz-req+jwt";
/// The query's id of the official credential.
pub const PID_ID: &str = "pid";
/// The query's id of the DID's signature.
pub const DID_ID: &str = "did";
/// Our format of the DID's signature, in a query.
pub const DID_FORMAT: &str = "rdid_proof";

/// The longest request object, in bytes.
pub const MAX_REQUEST_BYTES: usize = 32 * 1024;
/// The longest body of a response, in bytes: a full DID proof, a PID, and their form encoding.
pub const MAX_RESPONSE_BYTES: usize = 160 * 1024;
/// The same where it is encrypted: base64url adds a third.
pub const MAX_ENCRYPTED_BYTES: usize = 224 * 1024;
/// Random bytes for one answer: an ephemeral key and an initialisation vector.
pub type AnswerEntropy = [u8; 44];
/// The longest wallet link, in bytes.
pub const MAX_LINK_BYTES: usize = 2048;
/// The longest URL, nonce or state in a request, in bytes.
const MAX_TEXT_BYTES: usize = 512;
/// How far apart the clocks of wallet and gate may be, in seconds.
pub const CLOCK_SKEW_S: u64 = 10;

refusals! {
    /// Why a wallet does not answer a request. The service's gate is at fault, or whoever poses
    /// as it; only the last two are the wallet's own.
    RequestRefused
    LinkMalformed Verifier "vp.link_malformed" "a wallet link is openid4vp:// with client_id and an http(s) request_uri, at most 2 kB" "show a link that the gate made",
    TooLong Verifier "vp.request_too_long" "a request object is at most 32 kB" "ask for less",
    Malformed Verifier "vp.request_malformed" "a request object is a signed JWT of type oauth-authz-req+jwt with the members of spec/login.md" "use a gate of this version",
    ClientId Verifier "vp.client_id" "client_id is verifier_attestation: and the service id of the registration, in link and request alike" "use the gate's own registration",
    Audience Verifier "vp.request_audience" "aud is https://self-issued.me/v2" "sign the request for wallets",
    ResponseType Verifier "vp.response_type" "response_type is vp_token and response_mode is direct_post or direct_post.jwt" "ask by direct_post or direct_post.jwt",
    Encryption Verifier "vp.encryption" "direct_post.jwt names a P-256 key for ECDH-ES in client_metadata, and A128GCM or A256GCM" "put such a key into client_metadata.jwks",
    Signature Verifier "vp.request_signature" "the request is signed by the key that the registration names" "sign with the registered key, or register the new one",
    Expired Verifier "vp.request_expired" "the request is recent" "ask again",
    Future Verifier "vp.request_future" "the request was not made in the future" "set the clock of gate or wallet",
    WalletNonce Verifier "vp.wallet_nonce" "the request repeats the wallet's nonce" "sign a new request for each wallet_nonce",
    Query Verifier "vp.query" "the query asks for one PID as dc+sd-jwt, and at most one rdid_proof, by plain claim paths" "ask in the form of spec/login.md",
    Unregistered Verifier "registration.unknown" "the service is registered on the ledger" "register the service",
    Suspended Verifier "registration.suspended" "the service's registration is active" "ask the registrar",
    RegistrarUnknown Verifier "registration.registrar_unknown" "the registrar is admitted on the ledger" "register with an admitted registrar",
    Registration Verifier "registration.malformed" "the registration keeps the form and the bounds of spec/login.md" "get a new registration from the registrar",
    Registrar Verifier "registration.registrar" "the registration is by the active registrar that the ledger names" "register with an admitted registrar",
    RegistrationSignature Verifier "registration.signature" "the registration is signed by a registration key of its registrar that is not compromised" "get a new registration from the registrar",
    RegistrationDigest Verifier "registration.digest" "the registration's digest is the one on the ledger" "use the newest registration of this service",
    RegistrationExpired Verifier "registration.expired" "the registration has begun and has not expired" "renew the registration",
    Domain Verifier "vp.response_uri" "response_uri stands under a registered domain" "register the domain, or answer under a registered one",
    Purpose Verifier "vp.purpose" "the purpose is a registered one" "ask for a registered purpose",
    Claims Verifier "vp.claims" "every claim that is asked for is registered" "ask for fewer claims, or register them",
    Declined Holder "vp.declined" "the person consents" "ask again when the person wants to",
    Signing Caller "vp.request_signing" "the key signs and the request fits its bounds" "pass the gate's key and a bounded request",
}

impl From<RegistrationError> for RequestRefused {
    fn from(error: RegistrationError) -> Self {
        match error {
            RegistrationError::Malformed => Self::Registration,
            RegistrationError::Registrar => Self::Registrar,
            RegistrationError::Signature => Self::RegistrationSignature,
            RegistrationError::Digest => Self::RegistrationDigest,
            RegistrationError::Suspended => Self::Suspended,
            RegistrationError::Expired => Self::RegistrationExpired,
            RegistrationError::Domain => Self::Domain,
            RegistrationError::Purpose => Self::Purpose,
            RegistrationError::Claim => Self::Claims,
        }
    }
}

refusals! {
    /// Why a gate does not accept a wallet's response, apart from what [`SdJwtError`] and
    /// [`DidProofError`] say.
    ResponseRefused
    TooLong Holder "vp.response_too_long" "a response is at most 160 kB" "send one PID and one DID proof",
    Malformed Holder "vp.response_malformed" "a response is a form with vp_token, a JSON object of arrays, and state" "use a wallet of this version",
    State Holder "vp.state" "state is the one of the request" "answer the request that was asked",
    Unencrypted Holder "vp.unencrypted" "what is shown to direct_post.jwt is encrypted" "encrypt the answer to the request's key",
    Encryption Holder "vp.response_encryption" "an encrypted response opens with the request's key" "encrypt to the key of this very request, by ECDH-ES with A128GCM or A256GCM",
    Incomplete Holder "vp.incomplete" "the response holds exactly one pid and one did" "show both",
    IssuerUnknown Issuer "credential.issuer_unknown" "the credential's issuer is admitted on the ledger" "use a credential of an admitted authority",
    IssuerSuspended Issuer "credential.issuer_suspended" "the credential's issuer is active" "wait until the authority is reinstated",
    KeyUnknown Issuer "credential.kid_unknown" "the credential is signed by a PID key of its issuer" "receive the credential anew",
    KeyCompromised Issuer "credential.key_compromised" "the credential's signing key is not known to be in other hands" "receive the credential anew, under the authority's new key",
    ClaimMissing Holder "vp.claim_missing" "every claim that was asked for is shown" "show what the person consented to, or decline",
    OverDisclosed Holder "vp.over_disclosed" "nothing is shown that was not asked for" "disclose the asked claims only",
}

/// A response was refused: which layer's rule failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VpError {
    #[error(transparent)]
    Response(#[from] ResponseRefused),
    #[error(transparent)]
    Pid(#[from] SdJwtError),
    #[error(transparent)]
    Did(#[from] DidProofError),
}

impl VpError {
    /// The stable, dotted code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Response(error) => error.code(),
            Self::Pid(error) => error.code(),
            Self::Did(error) => error.code(),
        }
    }

    /// The rule that failed.
    pub fn rule(self) -> &'static str {
        match self {
            Self::Response(error) => error.rule(),
            Self::Pid(error) => error.rule(),
            Self::Did(error) => error.rule(),
        }
    }

    /// What to do about it.
    pub fn fix(self) -> &'static str {
        match self {
            Self::Response(error) => error.fix(),
            Self::Pid(error) => error.fix(),
            Self::Did(error) => error.fix(),
        }
    }
}

// ---- the link -----------------------------------------------------------------------------

/// What a QR code or a button carries: where the wallet fetches the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalletLink {
    pub client_id: String,
    pub request_uri: String,
    /// The wallet may fetch by POST and send a nonce of its own (§5.10).
    pub post: bool,
}

impl WalletLink {
    /// Reads a link from a QR code, a button or a command line.
    pub fn parse(link: &str) -> Result<Self, RequestRefused> {
        let malformed = RequestRefused::LinkMalformed;
        if link.len() > MAX_LINK_BYTES {
            return Err(malformed);
        }
        let query = link
            .strip_prefix("openid4vp://")
            .and_then(|rest| rest.split_once('?'))
            .map(|(_, query)| query)
            .ok_or(malformed)?;
        let parameters = parameters(query).ok_or(malformed)?;
        let request_uri = parameters.get("request_uri").ok_or(malformed)?;
        if !is_http_url(request_uri) {
            return Err(malformed);
        }
        Ok(Self {
            client_id: parameters.get("client_id").ok_or(malformed)?.clone(),
            request_uri: request_uri.clone(),
            post: parameters
                .get("request_uri_method")
                .is_some_and(|method| method == "post"),
        })
    }
}

impl std::fmt::Display for WalletLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("client_id", &self.client_id);
        query.append_pair("request_uri", &self.request_uri);
        if self.post {
            query.append_pair("request_uri_method", "post");
        }
        write!(f, "openid4vp://?{}", query.finish())
    }
}

/// The client id of a service.
pub fn client_id(service_id: &Hash32) -> String {
    format!("{CLIENT_ID_PREFIX}{service_id}")
}

// ---- the request, gate side ---------------------------------------------------------------

/// What a gate asks for in one login.
#[derive(Debug, Clone)]
pub struct RequestContent<'a> {
    pub service_id: Hash32,
    /// The service's registration, the registrar's JWT.
    pub registration: &'a str,
    /// A code of one of the registered purposes.
    pub purpose: &'a str,
    pub claims: &'a [ClaimPath],
    pub response_uri: &'a str,
    pub nonce: &'a str,
    pub state: &'a str,
    /// Sent by the wallet with a POST, repeated in the request (§5.10).
    pub wallet_nonce: Option<&'a str>,
    /// The key of this login that the answer is encrypted to (`direct_post.jwt`); none where it
    /// comes in the clear, inside TLS.
    pub encrypt_to: Option<&'a DecryptionKey>,
    /// Unix seconds.
    pub iat_s: u64,
    /// Unix seconds.
    pub exp_s: u64,
}

impl RequestContent<'_> {
    /// The signed request object (§5, RFC 9101).
    pub fn sign(&self, key: &SigningKey) -> Result<String, RequestRefused> {
        let mut header = Map::new();
        header.insert("typ".to_owned(), REQUEST_TYP.into());
        header.insert("jwt".to_owned(), self.registration.into());
        let client_id = client_id(&self.service_id);
        let mut payload = json!({
            // RFC 9101 §4: the issuer of a request object is its client.
            "iss": client_id,
            "client_id": client_id,
            "aud": WALLET_AUDIENCE,
            "response_type": "vp_token",
            "response_mode": "direct_post",
            "response_uri": self.response_uri,
            "nonce": self.nonce,
            "state": self.state,
            "iat": self.iat_s,
            "exp": self.exp_s,
            "dcql_query": query(self.claims),
            "client_metadata": {
                "vp_formats_supported": {
                    "dc+sd-jwt": {
                        "sd-jwt_alg_values": ["ES256", "EdDSA"],
                        "kb-jwt_alg_values": ["ES256"],
                    },
                    DID_FORMAT: { "alg_values": ["EdDSA", "ES256"] },
                },
            },
            // Ours: why it asks. The wallet holds it against the registration and shows it.
            "purpose": self.purpose,
        });
        if let Some(key) = self.encrypt_to {
            payload["response_mode"] = "direct_post.jwt".into();
            let metadata = &mut payload["client_metadata"];
            metadata["jwks"] = json!({ "keys": [key.public_jwk()] });
            let names = Enc::ALL.map(Enc::name);
            metadata["encrypted_response_enc_values_supported"] = json!(names);
        }
        if let (Some(nonce), Some(members)) = (self.wallet_nonce, payload.as_object_mut()) {
            members.insert("wallet_nonce".to_owned(), nonce.into());
        }
        let signed = jose::sign_compact(&header, payload.to_string().as_bytes(), key)
            .map_err(|_| RequestRefused::Signing)?;
        if signed.len() > MAX_REQUEST_BYTES {
            return Err(RequestRefused::Signing);
        }
        Ok(signed)
    }
}

/// The query (DCQL, §6): one PID with these claims, and the signature of the service's DID.
fn query(claims: &[ClaimPath]) -> Value {
    let mut pid = json!({
        "id": PID_ID,
        "format": sd_jwt::FORMAT,
        "meta": { "vct_values": [pid::VCT] },
    });
    if let (false, Some(members)) = (claims.is_empty(), pid.as_object_mut()) {
        let claims: Vec<Value> = claims
            .iter()
            .map(|path| json!({ "path": path.to_value() }))
            .collect();
        members.insert("claims".to_owned(), claims.into());
    }
    json!({ "credentials": [pid, { "id": DID_ID, "format": DID_FORMAT, "meta": {} }] })
}

// ---- the request, wallet side -------------------------------------------------------------

/// A request that was taken apart. Nothing in it is verified: it says which records of the ledger
/// to fetch, and [`ClaimedRequest::check`] does the rest.
#[derive(Debug, Clone)]
pub struct ClaimedRequest {
    compact: String,
    registration_jwt: String,
    service_id: Hash32,
    registrar_url: String,
    client_id: String,
    response_uri: Url,
    nonce: String,
    state: Option<String>,
    wallet_nonce: Option<String>,
    purpose: String,
    encryption: Option<EncryptionKey>,
    iat_s: u64,
    exp_s: u64,
    asked: Asked,
}

/// What a query asks for, by the ids that the answer must use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The query's id of the PID.
    pub pid_id: String,
    /// Accepted types of the PID.
    pub vcts: Vec<String>,
    pub claims: Vec<ClaimPath>,
    /// The query's id of the DID's signature; none where only a credential is asked for.
    pub did_id: Option<String>,
}

/// What the wallet knows from the ledger, proved by its light client and recent.
#[derive(Debug, Clone, Copy)]
pub struct RequestEvidence<'a> {
    /// The registrar's record.
    pub registrar: Option<&'a Issuer>,
    /// The service's record.
    pub service: Option<&'a Service>,
    /// Unix seconds.
    pub now_s: u64,
    /// What the wallet sent, if it fetched by POST.
    pub wallet_nonce: Option<&'a str>,
}

/// A request that a registered service may make. What is in it may be shown to the person.
#[derive(Debug, Clone)]
pub struct CheckedRequest {
    pub service_id: Hash32,
    /// The name in the registration.
    pub service_name: String,
    pub domains: Vec<String>,
    /// The code of a registered purpose.
    pub purpose: String,
    /// What it wants to see; each is registered.
    pub claims: Vec<ClaimPath>,
    /// The full client id: the audience of everything that is shown.
    pub client_id: String,
    pub nonce: String,
    pub response_uri: String,
    pub state: Option<String>,
    pub asked: Asked,
    /// The key that the answer is encrypted to.
    pub encryption: Option<EncryptionKey>,
    pub registration: Registration,
}

impl ClaimedRequest {
    /// Takes a request object apart.
    pub fn parse(compact: &str) -> Result<Self, RequestRefused> {
        let malformed = RequestRefused::Malformed;
        let compact = compact.trim_ascii();
        if compact.len() > MAX_REQUEST_BYTES {
            return Err(RequestRefused::TooLong);
        }
        let jws = jose::decode_unverified(compact).map_err(|_| malformed)?;
        jws.expect_typ(REQUEST_TYP).map_err(|_| malformed)?;
        let payload = jws.claims().map_err(|_| malformed)?;
        let text = |name: &str| match payload.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.len() <= MAX_TEXT_BYTES => Ok(Some(text.clone())),
            Some(_) => Err(malformed),
        };
        let needed = |name: &str| text(name)?.ok_or(malformed);
        let time_s = |name: &str| payload.get(name).and_then(Value::as_u64).ok_or(malformed);

        if text("response_type")?.as_deref() != Some("vp_token") {
            return Err(RequestRefused::ResponseType);
        }
        let encryption = match text("response_mode")?.as_deref() {
            Some("direct_post") => None,
            Some("direct_post.jwt") => {
                let refused = RequestRefused::Encryption;
                let metadata = payload.get("client_metadata").ok_or(refused)?;
                let jwks = metadata.get("jwks").ok_or(refused)?;
                let offered = metadata.get("encrypted_response_enc_values_supported");
                Some(EncryptionKey::choose(jwks, offered).map_err(|_| refused)?)
            }
            _ => return Err(RequestRefused::ResponseType),
        };
        if needed("aud")? != WALLET_AUDIENCE {
            return Err(RequestRefused::Audience);
        }
        let client_id = needed("client_id")?;
        let service_id = client_id
            .strip_prefix(CLIENT_ID_PREFIX)
            .and_then(|id| id.parse().ok())
            .ok_or(RequestRefused::ClientId)?;
        let response_uri = needed("response_uri")?;
        if !is_http_url(&response_uri) {
            return Err(RequestRefused::Domain);
        }
        let registration_jwt = jws.header_str("jwt").ok_or(malformed)?.to_owned();
        let registrar_url = registration::claimed_registrar(&registration_jwt)
            .map_err(|_| RequestRefused::Registration)?;
        let asked = Asked::parse(payload.get("dcql_query").ok_or(RequestRefused::Query)?)?;
        Ok(Self {
            compact: compact.to_owned(),
            registration_jwt,
            service_id,
            registrar_url,
            client_id,
            response_uri: Url::parse(&response_uri).map_err(|_| RequestRefused::Domain)?,
            nonce: needed("nonce")?,
            state: text("state")?,
            wallet_nonce: text("wallet_nonce")?,
            purpose: needed("purpose")?,
            encryption,
            iat_s: time_s("iat")?,
            exp_s: time_s("exp")?,
            asked,
        })
    }

    /// Which service record to fetch.
    pub fn service_id(&self) -> Hash32 {
        self.service_id
    }

    /// Which issuer record to fetch: the registrar's, as the registration claims it.
    pub fn registrar_id(&self) -> Hash32 {
        realdid_core::state::issuer_id(&self.registrar_url)
    }

    /// Holds the request against the ledger and the registration (rules V3 to V8).
    pub fn check(
        self,
        link: &WalletLink,
        evidence: &RequestEvidence<'_>,
    ) -> Result<CheckedRequest, RequestRefused> {
        // §5.10: the request is of the client that the link named, so that nobody swaps it.
        if link.client_id != self.client_id {
            return Err(RequestRefused::ClientId);
        }
        let service = evidence.service.ok_or(RequestRefused::Unregistered)?;
        if service.standing != Standing::Active {
            return Err(RequestRefused::Suspended);
        }
        let registrar = evidence.registrar.ok_or(RequestRefused::RegistrarUnknown)?;
        let registration =
            registration::verify(&self.registration_jwt, registrar, service, evidence.now_s)
                .map_err(RequestRefused::from)?;
        if registration.service_id != self.service_id {
            return Err(RequestRefused::ClientId);
        }
        jose::verify_compact(&self.compact, &registration.cnf.0, REQUEST_TYP)
            .map_err(|_| RequestRefused::Signature)?;
        if self.iat_s > evidence.now_s.saturating_add(CLOCK_SKEW_S) {
            return Err(RequestRefused::Future);
        }
        if self.exp_s.saturating_add(CLOCK_SKEW_S) < evidence.now_s {
            return Err(RequestRefused::Expired);
        }
        if evidence.wallet_nonce.is_some() && self.wallet_nonce.as_deref() != evidence.wallet_nonce
        {
            return Err(RequestRefused::WalletNonce);
        }
        registration
            .allows(&self.response_uri, &self.purpose, &self.asked.claims)
            .map_err(RequestRefused::from)?;
        Ok(CheckedRequest {
            service_id: self.service_id,
            service_name: registration.name.clone(),
            domains: registration.domains.clone(),
            purpose: self.purpose,
            claims: self.asked.claims.clone(),
            client_id: self.client_id,
            nonce: self.nonce,
            response_uri: self.response_uri.into(),
            state: self.state,
            asked: self.asked,
            encryption: self.encryption,
            registration,
        })
    }
}

impl Asked {
    /// Reads a query. Anything that would let a verifier choose among answers, or ask for every
    /// claim at once, is refused rather than interpreted.
    fn parse(query: &Value) -> Result<Self, RequestRefused> {
        let refused = RequestRefused::Query;
        let query = DcqlQuery::parse(query).map_err(|_| refused)?;
        let (mut pid, mut did) = (None, None);
        for credential in &query.credentials {
            // Expected values would tell more than the disclosure does: whether it was answered.
            let plain = credential.claim_sets.is_empty()
                && credential
                    .claims
                    .iter()
                    .all(|claim| claim.values.is_empty());
            match credential.format.as_str() {
                sd_jwt::FORMAT if pid.is_none() && plain => pid = Some(credential),
                DID_FORMAT if did.is_none() && credential.claims.is_empty() => {
                    did = Some(credential)
                }
                _ => return Err(refused),
            }
        }
        let pid = pid
            .filter(|_| query.credential_sets.is_empty())
            .ok_or(refused)?;
        Ok(Self {
            pid_id: pid.id.clone(),
            vcts: pid.vct_values.clone(),
            claims: pid.claims.iter().map(|claim| claim.path.clone()).collect(),
            did_id: did.map(|did| did.id.clone()),
        })
    }
}

// ---- the response, wallet side ------------------------------------------------------------

/// The form body of an answer (§8.2, §8.3): what is shown, under the ids of the query, encrypted
/// where the request has a key for it. `entropy` is fresh and random.
pub fn response_form(
    request: &CheckedRequest,
    pid: &str,
    did_proof: Option<&str>,
    entropy: &AnswerEntropy,
) -> Result<String, RequestRefused> {
    let mut vp_token = Map::new();
    vp_token.insert(request.asked.pid_id.clone(), json!([pid]));
    if let (Some(id), Some(proof)) = (&request.asked.did_id, did_proof) {
        vp_token.insert(id.clone(), json!([proof]));
    }
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

/// The two entries of a `vp_token`.
#[derive(Clone, PartialEq, Eq)]
pub struct Presented {
    pub state: String,
    pub pid: String,
    pub did_proof: String,
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
        let mut parameters = parameters(text).ok_or(malformed)?;
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
        Self::presented(state, &token)
    }

    /// Opens an encrypted answer: a JSON object with the same members.
    fn open(key: &DecryptionKey, sealed: &str) -> Result<Self, ResponseRefused> {
        #[derive(serde::Deserialize)]
        struct Answer {
            state: Option<String>,
            vp_token: VpToken,
        }
        let opened = key
            .decrypt(sealed)
            .map_err(|_| ResponseRefused::Encryption)?;
        let answer: Answer =
            serde_json::from_slice(&opened).map_err(|_| ResponseRefused::Malformed)?;
        let state = answer.state.ok_or(ResponseRefused::State)?;
        Self::presented(state, &answer.vp_token)
    }

    fn presented(state: String, token: &VpToken) -> Result<Self, ResponseRefused> {
        let one = |id: &str| match token.get(id).map(Vec::as_slice) {
            Some([only]) => Ok(only.clone()),
            _ => Err(ResponseRefused::Incomplete),
        };
        let presented = Presented {
            state,
            pid: one(PID_ID)?,
            did_proof: one(DID_ID)?,
        };
        if token.len() != 2 {
            return Err(ResponseRefused::Incomplete);
        }
        Ok(Self::Presented(presented))
    }
}

/// The issuer that a PID presentation claims: which record of the ledger to fetch.
pub fn claimed_pid_issuer(presentation: &str) -> Result<String, SdJwtError> {
    let claimed = sd_jwt::Claimed::read(presentation)?;
    let jws = jose::decode_unverified(claimed.jwt)?;
    let payload = jws.claims()?;
    payload
        .get("iss")
        .and_then(Value::as_str)
        .filter(|iss| iss.len() <= MAX_TEXT_BYTES)
        .map(str::to_owned)
        .ok_or(SdJwtError::Claims)
}

/// What the gate asked, against which a response is held.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    pub client_id: &'a str,
    pub nonce: &'a str,
    pub claims: &'a [ClaimPath],
    /// Unix milliseconds.
    pub now_ms: u64,
    /// How old the signatures of the wallet may be, in seconds.
    pub max_age_s: u64,
}

/// What the gate knows from the ledger.
#[derive(Debug, Clone, Copy)]
pub struct ResponseEvidence<'a> {
    /// The record of the PID's issuer, proved and recent; none where it is proved absent.
    pub issuer: Option<&'a Issuer>,
    pub light: &'a LightClient,
    /// How fresh the staple must be.
    pub freshness: &'a Freshness,
}

/// A login that passed every check but one: whether this nonce was answered before is known only
/// to the gate's store of transactions.
#[derive(Clone)]
pub struct VerifiedLogin {
    pub did: VerifiedDid,
    /// The claims that were asked for, and no others.
    pub claims: Map<String, Value>,
    pub issuer_url: String,
    /// Unix seconds until which the PID copy is valid.
    pub pid_exp_s: u64,
}

/// Claims are personal data: what is printed may end in a log.
impl std::fmt::Debug for VerifiedLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VerifiedLogin({} claims)", self.claims.len())
    }
}

/// Verifies a wallet's answer (rules V9 to V13).
pub fn verify_response(
    presented: &Presented,
    expected: &Expected<'_>,
    evidence: &ResponseEvidence<'_>,
) -> Result<VerifiedLogin, VpError> {
    let now_s = expected.now_ms / 1000;
    let issuer_keys = issuer_keys(&presented.pid, evidence.issuer)?;
    let pid = sd_jwt::verify(
        &presented.pid,
        &sd_jwt::Evidence {
            issuer: sd_jwt::IssuerEvidence {
                issuer_keys: &issuer_keys,
                accepted_vcts: &[pid::VCT],
                now_s,
                clock_skew_s: CLOCK_SKEW_S,
            },
            nonce: expected.nonce,
            aud: expected.client_id,
            max_kb_age_s: expected.max_age_s,
        },
    )?;
    let claims = asked_claims(&pid.claims, expected.claims)?;
    let did = did_proof::verify(
        &presented.did_proof,
        &did_proof::Expected {
            audience: expected.client_id,
            nonce: expected.nonce,
            now_s,
            max_age_s: expected.max_age_s,
            pid_hash: did_proof::pid_hash(&presented.pid),
        },
        evidence.light,
        evidence.freshness,
    )?;
    Ok(VerifiedLogin {
        did,
        claims,
        issuer_url: pid.iss,
        pid_exp_s: pid.exp_s,
    })
}

/// The keys under which this PID's signature counts, from the issuer's record (promise P7).
///
/// A retired key signs no more, but what it signed stands until it expires. A compromised key's
/// signature proves nothing here: a PID copy is in no batch that the ledger could date.
fn issuer_keys(
    presentation: &str,
    issuer: Option<&Issuer>,
) -> Result<Vec<sd_jwt::IssuerKey>, VpError> {
    let claimed_url = claimed_pid_issuer(presentation)?;
    let issuer = issuer
        .filter(|issuer| issuer.url == claimed_url)
        .ok_or(ResponseRefused::IssuerUnknown)?;
    if issuer.standing != Standing::Active {
        return Err(ResponseRefused::IssuerSuspended.into());
    }
    let claimed = sd_jwt::Claimed::read(presentation)?;
    let kid = jose::decode_unverified(claimed.jwt)
        .map_err(SdJwtError::Jws)?
        .header_str("kid")
        .and_then(|kid| kid.parse::<Hash32>().ok())
        .ok_or(ResponseRefused::KeyUnknown)?;
    let known = issuer
        .key(KeyUse::Pid, &kid)
        .ok_or(ResponseRefused::KeyUnknown)?;
    match known.status {
        KeyStatus::Active | KeyStatus::Retired(_) => {}
        KeyStatus::Compromised(_) => return Err(ResponseRefused::KeyCompromised.into()),
    }
    let key = did_proof::verifying_key(&known.key).map_err(|_| ResponseRefused::KeyUnknown)?;
    Ok(vec![sd_jwt::IssuerKey {
        iss: claimed_url,
        kid: kid.to_string(),
        key,
    }])
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

// ---- shared -------------------------------------------------------------------------------

/// Reads form parameters, each at most once.
fn parameters(text: &str) -> Option<BTreeMap<String, String>> {
    let mut parameters = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        if parameters
            .insert(name.into_owned(), value.into_owned())
            .is_some()
        {
            return None;
        }
    }
    Some(parameters)
}

fn is_http_url(text: &str) -> bool {
    text.len() <= MAX_TEXT_BYTES
        && Url::parse(text)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some())
}

#[cfg(test)]
#[path = "vp_tests.rs"]
mod tests;
