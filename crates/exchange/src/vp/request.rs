//! What a gate asks, and what a wallet checks before it answers (spec/login.md, rules V1 to V8).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use realdid_core::hash::{Hash32, HashFunction};
use realdid_core::state::{Issuer, Service, Standing};
use realdid_credential::dcql::{CredentialQuery, CredentialSet, DcqlQuery};
use realdid_credential::jose::{self, Alg, Jwk, SigningKey};
use realdid_credential::realpass::{self, Fact};
use realdid_credential::{ClaimPath, mdoc, organisation, pid, sd_jwt};
use serde_json::{Map, Value, json};
use url::Url;

use super::by_did::DidRequest;
use super::certified::{CertifiedRequest, SAN_DNS_PREFIX};
use super::stranger::Stranger;
use super::{
    Ask, CLIENT_ID_PREFIX, CLOCK_SKEW_S, DID_FORMAT, DID_ID, DID_PREFIX, MAX_REQUEST_BYTES,
    MAX_TEXT_BYTES, MDOC_ID, ORGANISATION_ID, PASS_ID, PID_ID, REQUEST_TYP, RequestRefused,
    WALLET_AUDIENCE, WalletLink, add_assurance_claim, add_assurance_fact, certified_client_id,
    client_id, is_http_url,
};
use crate::display::{self, Kind, Terms};
use crate::jwe::{DecryptionKey, Enc, EncryptionKey};
use crate::registration::{self, Purpose, Registration};

// ---- the request, gate side ---------------------------------------------------------------

/// What a gate asks for in one login.
#[derive(Debug, Clone)]
pub struct RequestContent<'a> {
    /// The name of the network on whose ledger the service is registered.
    pub network: &'a str,
    /// The service's registration, the registrar's JWT.
    pub registration: &'a str,
    pub signer: Signer<'a>,
    /// A code of one of the registered purposes.
    pub purpose: &'a str,
    pub ask: &'a Ask,
    /// The algorithms of the credentials and DIDs that it takes.
    pub algs: &'a [Alg],
    pub answer_to: AnswerTo<'a>,
    pub nonce: &'a str,
    /// Not in a request to a browser.
    pub state: &'a str,
    /// Sent by the wallet with a POST, repeated in the request (§5.10).
    pub wallet_nonce: Option<&'a str>,
    /// The key of this login that the answer is encrypted to (`direct_post.jwt`); none where it
    /// comes in the clear, inside TLS.
    pub encrypt_to: Option<&'a DecryptionKey>,
    /// Where the name is to be shown to everybody, and whose (spec/displays.md).
    pub display: Option<&'a Terms>,
    /// Unix seconds.
    pub iat_s: u64,
    /// Unix seconds.
    pub exp_s: u64,
}

/// By what a wallet knows who signed a request (§5.9.3).
#[derive(Debug, Clone, Copy)]
pub enum Signer<'a> {
    /// The registration, which names the key, and the ledger: `verifier_attestation:`.
    Registration(Hash32),
    /// The key's certificate, with those above it but the root, DER, leaf first: `x509_hash:`. For
    /// wallets that do not read the ledger.
    Certificate(&'a [Vec<u8>]),
    /// The same by a DNS name of the leaf, which the answer's address stands under: `x509_san_dns:`.
    Host(&'a str, &'a [Vec<u8>]),
    /// The DID URL of the key's verification method: `decentralized_identifier:`.
    Did(&'a str),
}

/// On which way an answer comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerTo<'a> {
    /// The wallet posts it to this address (§8.2).
    Uri(&'a str),
    /// Through the Digital Credentials API of the browser, to a page of this origin (appendix A).
    Browser(&'a str),
}

impl Signer<'_> {
    /// Who asks, and whom everything is shown to.
    pub fn client_id(&self) -> String {
        match self {
            Self::Registration(service_id) => client_id(service_id),
            Self::Certificate(chain) => {
                certified_client_id(chain.first().map(Vec::as_slice).unwrap_or_default())
            }
            Self::Host(name, _) => format!("{SAN_DNS_PREFIX}{name}"),
            Self::Did(url) => {
                let did = url.split_once('#').map_or(*url, |(did, _)| did);
                format!("{DID_PREFIX}{did}")
            }
        }
    }
}

impl RequestContent<'_> {
    /// The signed request object (§5, RFC 9101).
    pub fn sign(&self, key: &SigningKey) -> Result<String, RequestRefused> {
        let mut header = Map::new();
        header.insert("typ".to_owned(), REQUEST_TYP.into());
        match self.signer {
            Signer::Registration(_) => header.insert("jwt".to_owned(), self.registration.into()),
            Signer::Did(url) => header.insert("kid".to_owned(), url.into()),
            Signer::Certificate(chain) | Signer::Host(_, chain) => {
                let x5c: Vec<String> = chain.iter().map(|der| STANDARD.encode(der)).collect();
                header.insert("x5c".to_owned(), x5c.into())
            }
        };
        let client_id = self.signer.client_id();
        let mut payload = json!({
            "client_id": client_id,
            "aud": WALLET_AUDIENCE,
            "response_type": "vp_token",
            "nonce": self.nonce,
            "iat": self.iat_s,
            "exp": self.exp_s,
            "dcql_query": query_of(self.ask, self.names()),
            "client_metadata": { "vp_formats_supported": self.formats() },
            // Ours: which ledger says who asks.
            "network": self.network,
            // Ours: why it asks. The wallet holds it against the registration and shows it.
            "purpose": self.purpose,
        });
        // RFC 9101 §4: the issuer of a request object is its client. Wallets ignore it (§5), but those that know
        // DIDs take it for the signer's, which has no prefix.
        if !matches!(self.signer, Signer::Did(_)) {
            payload["iss"] = client_id.into();
        }
        let mode = match self.answer_to {
            AnswerTo::Uri(uri) => {
                payload["response_uri"] = uri.into();
                payload["state"] = self.state.into();
                "direct_post"
            }
            AnswerTo::Browser(origin) => {
                // Whoever has the request can ask by it on these pages alone.
                payload["expected_origins"] = json!([origin]);
                "dc_api"
            }
        };
        payload["response_mode"] = mode.into();
        if let Some(key) = self.encrypt_to {
            payload["response_mode"] = format!("{mode}.jwt").into();
            let metadata = &mut payload["client_metadata"];
            metadata["jwks"] = json!({ "keys": [key.public_jwk()] });
            let names = Enc::ALL.map(Enc::name);
            metadata["encrypted_response_enc_values_supported"] = json!(names);
        }
        if !matches!(self.signer, Signer::Registration(_)) {
            // §5.1: what somebody else says about who asks.
            let registration = json!({ "format": "jwt", "data": self.registration });
            payload["verifier_info"] = json!([registration]);
        }
        if let Some(terms) = self.display {
            let id = Names::of(terms.kind).id();
            payload["transaction_data"] = json!([terms.to_transaction_data(id)]);
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

    fn names(&self) -> Names {
        match self.display {
            Some(terms) => Names::of(terms.kind),
            None if self.takes_mdocs() => Names::EitherFormat,
            None => Names::Pid,
        }
    }

    fn takes_mdocs(&self) -> bool {
        self.algs.contains(&Alg::Es256)
    }

    /// Which formats it takes, signed by what.
    fn formats(&self) -> Value {
        let names = |of: &dyn Fn(&Alg) -> bool| {
            let algs = self.algs.iter().copied().filter(of);
            algs.map(Alg::name).collect::<Vec<_>>()
        };
        let any = names(&|_| true);
        let mut formats = json!({
            sd_jwt::FORMAT: {
                "sd-jwt_alg_values": any,
                "kb-jwt_alg_values": names(&|alg| *alg != Alg::EdDsa),
            },
        });
        if self.ask.did {
            formats[DID_FORMAT] = json!({ "alg_values": any });
            formats[realpass::FORMAT] = json!({});
        }
        if self.takes_mdocs() {
            // COSE's number of ES256.
            formats[mdoc::FORMAT] = json!({
                "issuerauth_alg_values": [-7],
                "deviceauth_alg_values": [-7],
            });
        }
        formats
    }
}

/// As a login asks.
#[cfg(test)]
pub(super) fn query(ask: &Ask) -> Value {
    query_of(ask, Names::EitherFormat)
}

/// Which credential of names tells what is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    /// The PID as an SD-JWT VC or as an mdoc.
    EitherFormat,
    Pid,
    Organisation,
}

impl Names {
    /// A badge is an SD-JWT, so a name for everybody is asked for in that format alone.
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Person => Self::Pid,
            Kind::Organisation | Kind::Backed => Self::Organisation,
        }
    }

    fn id(self) -> &'static str {
        match self {
            Self::EitherFormat | Self::Pid => PID_ID,
            Self::Organisation => ORGANISATION_ID,
        }
    }

    fn vct(self) -> &'static str {
        match self {
            Self::EitherFormat | Self::Pid => pid::VCT,
            Self::Organisation => organisation::VCT,
        }
    }
}

/// The query (DCQL, §6): what is asked for. Where the DID
/// alone may be enough, two sets say so, the full answer first; and where an mdoc of the PID may tell
/// the same, two sets say that either format will do.
fn query_of(ask: &Ask, names: Names) -> Value {
    let mut credentials = Vec::new();
    let mut either = None;
    if let Some(facts) = &ask.pass {
        let facts = facts.iter().map(|fact| json!([fact.name()]));
        credentials.push(credential(PASS_ID, realpass::FORMAT, json!({}), facts));
    }
    if let Some(claims) = &ask.pid {
        let long = ask.long_lived && names != Names::Organisation;
        let long = long.then_some(pid::LONG_VCT);
        let types: Vec<&str> = [names.vct()].into_iter().chain(long).collect();
        let meta = json!({ "vct_values": types });
        let paths = claims.iter().map(ClaimPath::to_value);
        credentials.push(credential(names.id(), sd_jwt::FORMAT, meta, paths));
        let elements = claims.iter().map(mdoc::pid::element_of);
        let elements = elements.collect::<Option<Vec<_>>>();
        if let Some(elements) = elements.filter(|_| names == Names::EitherFormat) {
            let meta = json!({ "doctype_value": mdoc::pid::DOC_TYPE });
            let paths = elements
                .iter()
                .map(|element| json!([mdoc::pid::NAME_SPACE, element]));
            credentials.push(credential(MDOC_ID, mdoc::FORMAT, meta, paths));
            let option = |pid| {
                let pass = ask.pass.iter().map(|_| PASS_ID);
                let did = ask.did.then_some(DID_ID);
                pass.chain([pid]).chain(did).collect::<Vec<_>>()
            };
            either = Some(json!([{ "options": [option(PID_ID), option(MDOC_ID)] }]));
        }
    }
    if ask.did {
        credentials.push(json!({ "id": DID_ID, "format": DID_FORMAT, "meta": {} }));
    }
    let mut query = json!({ "credentials": credentials });
    if let Some(either) = either {
        query["credential_sets"] = either;
    }
    if ask.did_alone() {
        query["credential_sets"] = json!([{ "options": [[PASS_ID, DID_ID], [DID_ID]] }]);
    }
    query
}

fn credential(id: &str, format: &str, meta: Value, paths: impl Iterator<Item = Value>) -> Value {
    let mut query = json!({ "id": id, "format": format, "meta": meta });
    let claims: Vec<Value> = paths.map(|path| json!({ "path": path })).collect();
    if !claims.is_empty() {
        query["claims"] = claims.into();
    }
    query
}

// ---- the request, wallet side -------------------------------------------------------------

/// A request that was taken apart, by how its maker names itself.
#[derive(Debug, Clone)]
pub enum Claimed {
    /// By its registration on the ledger.
    Registered(Box<ClaimedRequest>),
    /// By a certificate.
    Certified(Box<CertifiedRequest>),
    /// By a DID.
    ByDid(Box<DidRequest>),
}

impl Claimed {
    /// Takes a request object apart.
    pub fn parse(compact: &str) -> Result<Self, RequestRefused> {
        let (body, claimed) = Body::parse(compact)?;
        if CertifiedRequest::is_named_so(&body.client_id) {
            CertifiedRequest::of(body, &claimed).map(|own| Self::Certified(Box::new(own)))
        } else if DidRequest::is_named_so(&body.client_id) {
            DidRequest::of(body, &claimed).map(|own| Self::ByDid(Box::new(own)))
        } else {
            ClaimedRequest::of(body, &claimed).map(|own| Self::Registered(Box::new(own)))
        }
    }
}

/// What every request says, whoever makes it.
#[derive(Debug, Clone)]
pub(super) struct Body {
    pub(super) compact: String,
    pub(super) client_id: String,
    pub(super) audience: String,
    pub(super) response_uri: Url,
    pub(super) nonce: String,
    pub(super) state: Option<String>,
    pub(super) wallet_nonce: Option<String>,
    pub(super) encryption: Option<EncryptionKey>,
    pub(super) thumbprint: Option<[u8; 32]>,
    pub(super) takes: Takes,
    pub(super) iat_s: Option<u64>,
    pub(super) exp_s: Option<u64>,
}

/// The algorithms of SD-JWT VCs that a verifier takes, by name (appendix B.3.4); where it names none,
/// any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Takes {
    issuer: Option<Vec<String>>,
    holder: Option<Vec<String>>,
}

impl Takes {
    fn read(metadata: Option<&Value>) -> Result<Self, RequestRefused> {
        let formats = metadata.and_then(|metadata| metadata.get("vp_formats_supported"));
        let sd_jwt = formats.and_then(|formats| formats.get(sd_jwt::FORMAT));
        let names = |list: &str| {
            let Some(list) = sd_jwt.and_then(|sd_jwt| sd_jwt.get(list)) else {
                return Ok(None);
            };
            let name = |name: &Value| name.as_str().map(str::to_owned);
            let names = list.as_array().map(|list| list.iter().map(name));
            let names = names.and_then(|names| names.collect::<Option<Vec<_>>>());
            names.map(Some).ok_or(RequestRefused::Malformed)
        };
        Ok(Self {
            issuer: names("sd-jwt_alg_values")?,
            holder: names("kb-jwt_alg_values")?,
        })
    }

    /// Whether it takes one that its issuer and its holder sign so.
    pub fn signed_by(&self, issuer: Alg, holder: Alg) -> bool {
        let has = |names: &Option<Vec<String>>, alg: Alg| {
            let mut names = names.iter();
            names.all(|names| names.iter().any(|name| name == alg.name()))
        };
        has(&self.issuer, issuer) && has(&self.holder, holder)
    }
}

/// Header and payload of a request, not verified.
pub(super) struct Parts {
    pub(super) header: Map<String, Value>,
    pub(super) payload: Map<String, Value>,
}

impl Parts {
    /// A text of the payload, where there is one.
    fn text(&self, name: &str) -> Result<Option<String>, RequestRefused> {
        match self.payload.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.len() <= MAX_TEXT_BYTES => Ok(Some(text.clone())),
            Some(_) => Err(RequestRefused::Malformed),
        }
    }

    fn needed(&self, name: &str) -> Result<String, RequestRefused> {
        self.text(name)?.ok_or(RequestRefused::Malformed)
    }

    /// What it asks for (§6).
    pub(super) fn query(&self) -> Result<&Value, RequestRefused> {
        self.payload.get("dcql_query").ok_or(RequestRefused::Query)
    }
}

impl Body {
    fn parse(compact: &str) -> Result<(Self, Parts), RequestRefused> {
        let malformed = RequestRefused::Malformed;
        let compact = compact.trim_ascii();
        if compact.len() > MAX_REQUEST_BYTES {
            return Err(RequestRefused::TooLong);
        }
        let jws = jose::decode_unverified(compact).map_err(|_| malformed)?;
        jws.expect_typ(REQUEST_TYP).map_err(|_| malformed)?;
        let parts = Parts {
            payload: jws.claims().map_err(|_| malformed)?,
            header: jws.header,
        };
        let time_s = |name: &str| match parts.payload.get(name) {
            None => Ok(None),
            Some(time_s) => time_s.as_u64().map(Some).ok_or(malformed),
        };
        if parts.text("response_type")?.as_deref() != Some("vp_token") {
            return Err(RequestRefused::ResponseType);
        }
        let mut thumbprint = None;
        let encryption = match parts.text("response_mode")?.as_deref() {
            Some("direct_post") => None,
            Some("direct_post.jwt") => {
                let refused = RequestRefused::Encryption;
                let metadata = parts.payload.get("client_metadata").ok_or(refused)?;
                let jwks = metadata.get("jwks").ok_or(refused)?;
                let offered = metadata.get("encrypted_response_enc_values_supported");
                thumbprint = Some(chosen_thumbprint(jwks, offered).ok_or(refused)?);
                Some(EncryptionKey::choose(jwks, offered).map_err(|_| refused)?)
            }
            _ => return Err(RequestRefused::ResponseType),
        };
        let client_id = parts.needed("client_id")?;
        let known = client_id.starts_with(CLIENT_ID_PREFIX)
            || CertifiedRequest::is_named_so(&client_id)
            || DidRequest::is_named_so(&client_id);
        if !known {
            return Err(RequestRefused::ClientIdPrefix);
        }
        let response_uri = parts.needed("response_uri")?;
        if !is_http_url(&response_uri) {
            return Err(RequestRefused::Domain);
        }
        let body = Self {
            compact: compact.to_owned(),
            client_id,
            audience: parts.needed("aud")?,
            response_uri: Url::parse(&response_uri).map_err(|_| RequestRefused::Domain)?,
            nonce: parts.needed("nonce")?,
            state: parts.text("state")?,
            wallet_nonce: parts.text("wallet_nonce")?,
            encryption,
            thumbprint,
            takes: Takes::read(parts.payload.get("client_metadata"))?,
            iat_s: time_s("iat")?,
            exp_s: time_s("exp")?,
        };
        Ok((body, parts))
    }

    /// V3 and V7: of the client that the link named, so that nobody swaps it (§5.10); recent as far
    /// as it says when it was made; and with the wallet's nonce, where that sent one.
    pub(super) fn stands(
        &self,
        link: &WalletLink,
        now_s: u64,
        wallet_nonce: Option<&str>,
    ) -> Result<(), RequestRefused> {
        if link.client_id != self.client_id {
            return Err(RequestRefused::ClientId);
        }
        let at_most = now_s.saturating_add(CLOCK_SKEW_S);
        if self.iat_s.is_some_and(|iat_s| iat_s > at_most) {
            return Err(RequestRefused::Future);
        }
        let ended = |exp_s: u64| exp_s.saturating_add(CLOCK_SKEW_S) < now_s;
        if self.exp_s.is_some_and(ended) {
            return Err(RequestRefused::Expired);
        }
        if wallet_nonce.is_some() && self.wallet_nonce.as_deref() != wallet_nonce {
            return Err(RequestRefused::WalletNonce);
        }
        Ok(())
    }
}

/// A request of a registered service that was taken apart. Nothing in it is verified: it says which
/// records of the ledger to fetch, and [`ClaimedRequest::check`] does the rest.
#[derive(Debug, Clone)]
pub struct ClaimedRequest {
    body: Body,
    asked: Asked,
    registration_jwt: String,
    network: String,
    service_id: Hash32,
    registrar_url: String,
    purpose: String,
    display: Option<Terms>,
}

/// What a query asks for, by the ids that the answer must use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    pub pass: Option<AskedPass>,
    pub pid: Option<AskedPid>,
    /// The PID as an mdoc: instead of the other, where both are asked for.
    pub mdoc: Option<AskedMdoc>,
    /// The query's id of the DID's signature; none where only credentials are asked for.
    pub did_id: Option<String>,
    /// Whether the DID's signature alone is an answer too.
    pub did_alone: bool,
}

/// A RealPass that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedPass {
    pub id: String,
    pub facts: Vec<Fact>,
}

/// A PID that is asked for, or an organisation's credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedPid {
    pub id: String,
    /// Accepted types.
    pub vcts: Vec<String>,
    pub claims: Vec<ClaimPath>,
}

/// A PID that is asked for as an mdoc.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedMdoc {
    pub id: String,
    /// By the names under which they are registered.
    pub claims: Vec<ClaimPath>,
}

/// What the wallet knows from the ledger, proved by its light client and recent.
#[derive(Debug, Clone, Copy)]
pub struct RequestEvidence<'a> {
    /// The name of the network whose records these are.
    pub network: &'a str,
    /// The registrar's record.
    pub registrar: Option<&'a Issuer>,
    /// The service's record.
    pub service: Option<&'a Service>,
    /// Unix seconds.
    pub now_s: u64,
    /// What the wallet sent, if it fetched by POST.
    pub wallet_nonce: Option<&'a str>,
}

/// A request that its maker may make. What is in it may be shown to the person.
#[derive(Debug, Clone)]
pub struct CheckedRequest {
    /// The name of the network on whose ledger the service is registered; empty where it is on none.
    pub network: String,
    /// Of a verifier that is not registered, a hash of its client id.
    pub service_id: Hash32,
    /// The name in the registration, or by the word of whoever vouches for who asks.
    pub service_name: String,
    pub domains: Vec<String>,
    /// The code of a registered purpose; empty where there is no registration.
    pub purpose: String,
    /// What it wants to see, facts of a RealPass as `realpass.…`; each is registered, where the service
    /// is. Of one that is not, all that its query names.
    pub claims: Vec<ClaimPath>,
    /// The full client id: the audience of everything that is shown.
    pub client_id: String,
    pub nonce: String,
    pub response_uri: String,
    pub state: Option<String>,
    pub asked: Asked,
    /// The key that the answer is encrypted to.
    pub encryption: Option<EncryptionKey>,
    /// Its thumbprint (RFC 7638), which an mdoc's device signs.
    pub thumbprint: Option<[u8; 32]>,
    /// By what an SD-JWT VC may be signed that is shown.
    pub takes: Takes,
    /// None of a verifier that is not registered.
    pub registration: Option<Registration>,
    /// Who that is instead.
    pub stranger: Option<Stranger>,
    /// Where the name is shown to everybody, if that is asked.
    pub display: Option<Terms>,
}

impl ClaimedRequest {
    /// Takes a request object of a registered service apart.
    pub fn parse(compact: &str) -> Result<Self, RequestRefused> {
        match Claimed::parse(compact)? {
            Claimed::Registered(request) => Ok(*request),
            Claimed::Certified(_) | Claimed::ByDid(_) => Err(RequestRefused::ClientId),
        }
    }

    fn of(body: Body, parts: &Parts) -> Result<Self, RequestRefused> {
        let malformed = RequestRefused::Malformed;
        let service_id = body.client_id.strip_prefix(CLIENT_ID_PREFIX);
        let service_id = service_id.and_then(|id| id.parse().ok());
        if body.iat_s.is_none() || body.exp_s.is_none() {
            return Err(malformed);
        }
        let registration_jwt = parts.header.get("jwt").and_then(Value::as_str);
        let registration_jwt = registration_jwt.ok_or(malformed)?.to_owned();
        let registrar_url = registration::claimed_registrar(&registration_jwt)
            .map_err(|_| RequestRefused::Registration)?;
        if body.audience != WALLET_AUDIENCE {
            return Err(RequestRefused::Audience);
        }
        let asked = Asked::parse(parts.query()?)?;
        let display = match parts.payload.get("transaction_data") {
            None => None,
            // §8.4: a wallet refuses transaction data that it does not know.
            Some(data) => Some(asked.display(data).ok_or(RequestRefused::Display)?),
        };
        // For whom somebody acts is nobody's business but for a display, not even whether they do.
        if display.is_none() && asked.asks_of_organisation() {
            return Err(RequestRefused::Query);
        }
        Ok(Self {
            service_id: service_id.ok_or(RequestRefused::ClientId)?,
            registration_jwt,
            registrar_url,
            network: parts.needed("network")?,
            purpose: parts.needed("purpose")?,
            display,
            asked,
            body,
        })
    }

    /// The name of the network on whose ledger the service is registered.
    pub fn network(&self) -> &str {
        &self.network
    }

    /// Which service record to fetch.
    pub fn service_id(&self) -> Hash32 {
        self.service_id
    }

    /// The display that it asks for, if any: unverified, as everything here.
    pub fn display(&self) -> Option<&Terms> {
        self.display.as_ref()
    }

    /// Which issuer record to fetch: the registrar's, as the registration claims it.
    /// `by` is the network's hash function.
    pub fn registrar_id(&self, by: HashFunction) -> Hash32 {
        realdid_core::state::issuer_id(by, &self.registrar_url)
    }

    /// Holds the request against the ledger and the registration (rules V3 to V8).
    pub fn check(
        self,
        link: &WalletLink,
        evidence: &RequestEvidence<'_>,
    ) -> Result<CheckedRequest, RequestRefused> {
        if link.client_id != self.body.client_id {
            return Err(RequestRefused::ClientId);
        }
        if self.network != evidence.network {
            return Err(RequestRefused::Network);
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
        jose::verify_compact(&self.body.compact, &registration.cnf.0, REQUEST_TYP)
            .map_err(|_| RequestRefused::Signature)?;
        self.body
            .stands(link, evidence.now_s, evidence.wallet_nonce)?;
        let claims = self.asked.claims();
        registration
            .allows(&self.body.response_uri, &self.purpose, &claims)
            .map_err(RequestRefused::from)?;
        if let Some(terms) = &self.display {
            let lasts_s = terms.expires_s.saturating_sub(evidence.now_s);
            let in_place = terms.service == self.service_id
                && self.purpose == Purpose::RealName.code()
                && (1..=display::MAX_LIFE_S).contains(&lasts_s);
            if !in_place {
                return Err(RequestRefused::Display);
            }
        }
        Ok(CheckedRequest {
            network: self.network,
            service_id: self.service_id,
            service_name: registration.name.clone(),
            domains: registration.domains.clone(),
            purpose: self.purpose,
            registration: Some(registration),
            display: self.display,
            ..self.body.checked(self.asked, claims)
        })
    }
}

impl Body {
    /// The request as its asker may make it; who that is, is to be filled in.
    pub(super) fn checked(self, asked: Asked, claims: Vec<ClaimPath>) -> CheckedRequest {
        CheckedRequest {
            network: String::new(),
            service_id: Hash32([0; 32]),
            service_name: String::new(),
            domains: vec![],
            purpose: String::new(),
            claims,
            client_id: self.client_id,
            nonce: self.nonce,
            response_uri: self.response_uri.into(),
            state: self.state,
            asked,
            encryption: self.encryption,
            thumbprint: self.thumbprint,
            takes: self.takes,
            registration: None,
            stranger: None,
            display: None,
        }
    }
}

impl CheckedRequest {
    /// The same, as it is answered by somebody from another network than the service's: what they show
    /// says its assurance too, and the DID alone is no answer (rule V15).
    pub fn abroad(mut self) -> Self {
        self.asked = self.asked.abroad();
        self.claims = self.asked.claims();
        self
    }
}

impl Asked {
    fn abroad(mut self) -> Self {
        let facts = self.pass.iter_mut().map(|pass| &mut pass.facts);
        facts.for_each(add_assurance_fact);
        let of_pid = self.pid.iter_mut().map(|pid| &mut pid.claims);
        let of_mdoc = self.mdoc.iter_mut().map(|mdoc| &mut mdoc.claims);
        of_pid.chain(of_mdoc).for_each(add_assurance_claim);
        self.did_alone = false;
        self
    }

    /// Every claim by the path under which it is registered.
    pub(super) fn claims(&self) -> Vec<ClaimPath> {
        let facts = self.pass.iter().flat_map(|pass| &pass.facts);
        let of_mdoc = self.mdoc.iter().map(|mdoc| &mdoc.claims);
        let of_pid = self.pid.iter().map(|pid| &pid.claims);
        // Where both formats are asked for, they tell the same.
        let of_pid = of_pid.chain(of_mdoc).next().into_iter().flatten().cloned();
        facts
            .filter_map(|fact| fact.claim())
            .chain(of_pid)
            .collect()
    }

    /// Whether an organisation's credential would answer.
    fn asks_of_organisation(&self) -> bool {
        let mut vcts = self.pid.iter().flat_map(|pid| &pid.vcts);
        vcts.any(|vct| vct == organisation::VCT)
    }

    /// The one display that transaction data asks for: of the credential of this query that has the kind of
    /// name, by the name alone.
    fn display(&self, data: &Value) -> Option<Terms> {
        let [Value::String(data)] = data.as_array()?.as_slice() else {
            return None;
        };
        // A badge is an SD-JWT: there is no other format to choose.
        let alone = self.did_id.is_some() && self.mdoc.is_none();
        let pid = self.pid.as_ref().filter(|_| alone)?;
        let terms = Terms::of_transaction_data(data, &pid.id)?;
        let mut paths = pid.claims.clone();
        paths.sort();
        (paths == terms.kind.paths() && pid.vcts == [terms.kind.vct()]).then_some(terms)
    }

    /// Reads a query. Anything that would let a verifier choose among answers, or ask for every
    /// claim at once, is refused rather than interpreted.
    pub(super) fn parse(query: &Value) -> Result<Self, RequestRefused> {
        let refused = RequestRefused::Query;
        let query = DcqlQuery::parse(query).map_err(|_| refused)?;
        let (mut pass, mut pid, mut mdoc, mut did) = (None, None, None, None);
        for credential in &query.credentials {
            // Expected values would tell more than the disclosure does: whether it was answered.
            let plain = credential.claim_sets.is_empty()
                && credential.trusted_authorities.is_empty()
                && credential.holder_bound
                && !credential.multiple
                && credential
                    .claims
                    .iter()
                    .all(|claim| claim.values.is_empty());
            match credential.format.as_str() {
                realpass::FORMAT if pass.is_none() && plain => {
                    pass = Some(AskedPass::of(credential)?);
                }
                sd_jwt::FORMAT if pid.is_none() && plain => {
                    pid = Some(AskedPid {
                        id: credential.id.clone(),
                        vcts: credential.vct_values.clone(),
                        claims: credential.claims.iter().map(|c| c.path.clone()).collect(),
                    });
                }
                mdoc::FORMAT if mdoc.is_none() && plain => {
                    mdoc = Some(AskedMdoc::of(credential)?);
                }
                DID_FORMAT if did.is_none() && credential.claims.is_empty() => {
                    did = Some(credential.id.clone());
                }
                _ => return Err(refused),
            }
        }
        if pass.is_none() && pid.is_none() && mdoc.is_none() {
            return Err(refused);
        }
        let mut asked = Self {
            pass,
            pid,
            mdoc,
            did_id: did,
            did_alone: false,
        };
        asked.did_alone = match query.credential_sets.as_slice() {
            // Both formats at once would show two copies for one question.
            [] if asked.pid.is_none() || asked.mdoc.is_none() => false,
            [set] if asked.is_either_format(set) => false,
            [set] if asked.is_all_or_did(set) => true,
            _ => return Err(refused),
        };
        Ok(asked)
    }

    /// Whether a set says: RealPass and DID, or the DID alone, where nothing else is asked.
    fn is_all_or_did(&self, set: &CredentialSet) -> bool {
        let (Some(pass), None, None, Some(did)) = (&self.pass, &self.pid, &self.mdoc, &self.did_id)
        else {
            return false;
        };
        let [all, alone] = set.options.as_slice() else {
            return false;
        };
        let both = all.len() == 2 && all.contains(&pass.id) && all.contains(did);
        set.required && pass.facts.is_empty() && both && *alone == [did.clone()]
    }
}

impl Asked {
    /// Whether a set says: everything else, with the PID in one format or in the other, and both
    /// tell the same.
    fn is_either_format(&self, set: &CredentialSet) -> bool {
        let (Some(pid), Some(mdoc)) = (&self.pid, &self.mdoc) else {
            return false;
        };
        let [first, second] = set.options.as_slice() else {
            return false;
        };
        let pass = self.pass.as_ref().map(|pass| &pass.id);
        let others: Vec<&String> = pass.into_iter().chain(&self.did_id).collect();
        let is = |option: &[String], format: &String| {
            option.len() == others.len() + 1
                && option.contains(format)
                && others.iter().all(|id| option.contains(id))
        };
        let elements = |claims: &[ClaimPath]| {
            let names = claims.iter().map(mdoc::pid::element_of);
            names.collect::<Option<std::collections::BTreeSet<_>>>()
        };
        let same = elements(&pid.claims).is_some_and(|names| Some(names) == elements(&mdoc.claims));
        set.required && same && is(first, &pid.id) && is(second, &mdoc.id)
    }
}

impl AskedMdoc {
    fn of(credential: &CredentialQuery) -> Result<Self, RequestRefused> {
        let refused = RequestRefused::Query;
        if credential.doctype.as_deref() != Some(mdoc::pid::DOC_TYPE) {
            return Err(refused);
        }
        let claims = credential.claims.iter();
        let claims: Option<Vec<ClaimPath>> = claims
            .map(|claim| mdoc::pid::claim_of(&claim.path))
            .collect();
        Ok(Self {
            id: credential.id.clone(),
            claims: claims.ok_or(refused)?,
        })
    }
}

/// The thumbprint of the key that [`EncryptionKey::choose`] takes.
fn chosen_thumbprint(jwks: &Value, offered: Option<&Value>) -> Option<[u8; 32]> {
    let keys = jwks.get("keys")?.as_array()?;
    let chosen = keys
        .iter()
        .find(|jwk| EncryptionKey::choose(&json!({ "keys": [jwk] }), offered).is_ok());
    Some(Jwk::parse(chosen?).ok()?.thumbprint())
}

impl AskedPass {
    fn of(credential: &CredentialQuery) -> Result<Self, RequestRefused> {
        let facts = credential.claims.iter();
        let facts: Option<Vec<Fact>> = facts.map(|claim| Fact::of_path(&claim.path)).collect();
        let facts = facts.ok_or(RequestRefused::Query)?;
        let twice = (1..facts.len()).any(|i| facts[..i].contains(&facts[i]));
        if twice {
            return Err(RequestRefused::Query);
        }
        Ok(Self {
            id: credential.id.clone(),
            facts,
        })
    }
}
