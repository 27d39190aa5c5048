//! What a gate asks, and what a wallet checks before it answers (spec/login.md, rules V1 to V8).

use realdid_core::hash::{Hash32, HashFunction};
use realdid_core::state::{Issuer, Service, Standing};
use realdid_credential::dcql::{CredentialQuery, CredentialSet, DcqlQuery};
use realdid_credential::jose::{self, Alg, Jwk, SigningKey};
use realdid_credential::realpass::{self, Fact};
use realdid_credential::{ClaimPath, mdoc, pid, sd_jwt};
use serde_json::{Map, Value, json};
use url::Url;

use super::{
    Ask, CLIENT_ID_PREFIX, CLOCK_SKEW_S, DID_FORMAT, DID_ID, MAX_REQUEST_BYTES, MAX_TEXT_BYTES,
    MDOC_ID, PASS_ID, PID_ID, REQUEST_TYP, RequestRefused, WALLET_AUDIENCE, WalletLink, client_id,
    is_http_url,
};
use crate::display::{self, Terms};
use crate::jwe::{DecryptionKey, Enc, EncryptionKey};
use crate::registration::{self, Purpose, Registration};

// ---- the request, gate side ---------------------------------------------------------------

/// What a gate asks for in one login.
#[derive(Debug, Clone)]
pub struct RequestContent<'a> {
    pub service_id: Hash32,
    /// The service's registration, the registrar's JWT.
    pub registration: &'a str,
    /// A code of one of the registered purposes.
    pub purpose: &'a str,
    pub ask: &'a Ask,
    /// The algorithms of the credentials and DIDs that it takes.
    pub algs: &'a [Alg],
    pub response_uri: &'a str,
    pub nonce: &'a str,
    pub state: &'a str,
    /// Sent by the wallet with a POST, repeated in the request (§5.10).
    pub wallet_nonce: Option<&'a str>,
    /// The key of this login that the answer is encrypted to (`direct_post.jwt`); none where it
    /// comes in the clear, inside TLS.
    pub encrypt_to: Option<&'a DecryptionKey>,
    /// Where the PID's name is to be shown to everybody (spec/displays.md).
    pub display: Option<&'a Terms>,
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
            // A badge is an SD-JWT, so a name for everybody is asked for in that format alone.
            "dcql_query": query_of(self.ask, self.takes_mdocs() && self.display.is_none()),
            "client_metadata": { "vp_formats_supported": self.formats() },
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
        if let Some(terms) = self.display {
            payload["transaction_data"] = json!([terms.to_transaction_data(PID_ID)]);
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
            DID_FORMAT: { "alg_values": any },
            realpass::FORMAT: {},
        });
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
    query_of(ask, true)
}

/// The query (DCQL, §6): what is asked for, and the signature of the service's DID. Where the DID
/// alone may be enough, two sets say so, the full answer first; and where an mdoc of the PID can tell
/// the same, two sets say that either format will do. `either_format` says whether it may be told so.
fn query_of(ask: &Ask, either_format: bool) -> Value {
    let mut credentials = Vec::new();
    let mut either = None;
    if let Some(facts) = &ask.pass {
        let names = facts.iter().map(|fact| json!([fact.name()]));
        credentials.push(credential(PASS_ID, realpass::FORMAT, json!({}), names));
    }
    if let Some(claims) = &ask.pid {
        let meta = json!({ "vct_values": [pid::VCT] });
        let paths = claims.iter().map(ClaimPath::to_value);
        credentials.push(credential(PID_ID, sd_jwt::FORMAT, meta, paths));
        let elements = claims.iter().map(mdoc::pid::element_of);
        let elements = elements.collect::<Option<Vec<_>>>();
        if let Some(elements) = elements.filter(|_| either_format) {
            let meta = json!({ "doctype_value": mdoc::pid::DOC_TYPE });
            let paths = elements
                .iter()
                .map(|element| json!([mdoc::pid::NAME_SPACE, element]));
            credentials.push(credential(MDOC_ID, mdoc::FORMAT, meta, paths));
            let option = |pid| {
                let pass = ask.pass.iter().map(|_| PASS_ID);
                pass.chain([pid, DID_ID]).collect::<Vec<_>>()
            };
            either = Some(json!([{ "options": [option(PID_ID), option(MDOC_ID)] }]));
        }
    }
    credentials.push(json!({ "id": DID_ID, "format": DID_FORMAT, "meta": {} }));
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
    thumbprint: Option<[u8; 32]>,
    iat_s: u64,
    exp_s: u64,
    asked: Asked,
    display: Option<Terms>,
}

/// What a query asks for, by the ids that the answer must use.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// A PID that is asked for.
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
    /// What it wants to see, facts of a RealPass as `realpass.…`; each is registered.
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
    pub registration: Registration,
    /// Where the name is shown to everybody, if that is asked.
    pub display: Option<Terms>,
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
        let mut thumbprint = None;
        let encryption = match text("response_mode")?.as_deref() {
            Some("direct_post") => None,
            Some("direct_post.jwt") => {
                let refused = RequestRefused::Encryption;
                let metadata = payload.get("client_metadata").ok_or(refused)?;
                let jwks = metadata.get("jwks").ok_or(refused)?;
                let offered = metadata.get("encrypted_response_enc_values_supported");
                thumbprint = Some(chosen_thumbprint(jwks, offered).ok_or(refused)?);
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
        let display = match payload.get("transaction_data") {
            None => None,
            // §8.4: a wallet refuses transaction data that it does not know.
            Some(data) => Some(asked.display(data).ok_or(RequestRefused::Display)?),
        };
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
            thumbprint,
            iat_s: time_s("iat")?,
            exp_s: time_s("exp")?,
            asked,
            display,
        })
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
        let claims = self.asked.claims();
        registration
            .allows(&self.response_uri, &self.purpose, &claims)
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
            service_id: self.service_id,
            service_name: registration.name.clone(),
            domains: registration.domains.clone(),
            purpose: self.purpose,
            claims,
            client_id: self.client_id,
            nonce: self.nonce,
            response_uri: self.response_uri.into(),
            state: self.state,
            asked: self.asked,
            encryption: self.encryption,
            thumbprint: self.thumbprint,
            registration,
            display: self.display,
        })
    }
}

impl Asked {
    /// Every claim by the path under which it is registered.
    fn claims(&self) -> Vec<ClaimPath> {
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

    /// The one display that transaction data asks for: of the PID of this query, by its name alone.
    fn display(&self, data: &Value) -> Option<Terms> {
        let [Value::String(data)] = data.as_array()?.as_slice() else {
            return None;
        };
        // A badge is an SD-JWT: there is no other format to choose.
        let alone = self.did_id.is_some() && self.mdoc.is_none();
        let pid = self.pid.as_ref().filter(|_| alone)?;
        let mut paths = pid.claims.clone();
        paths.sort();
        (paths == display::name_paths()).then(|| Terms::of_transaction_data(data, &pid.id))?
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
