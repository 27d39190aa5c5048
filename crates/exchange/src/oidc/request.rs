//! Authorization requests: what a website asks of a login (OpenID Connect Core §3.1.2.1), by the
//! browser's query or pushed beforehand (RFC 9126).

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use url::form_urlencoded;

use super::{
    Accounts, Client, Credentials, LEVELS, MAX_NONCE_BYTES, MAX_QUERY_BYTES, MAX_STATE_BYTES,
    OidcError, decode32, parameters,
};

/// What begins the reference to a pushed request (RFC 9126 §2.2).
pub const REQUEST_URI_PREFIX: &str = "urn:ietf:params:oauth:request_uri:";
/// The most claims that one request names.
const MAX_CLAIMS: usize = 32;

/// An authorization request that a known client may make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationRequest {
    pub client_id: String,
    /// One of the client's registered URIs.
    pub redirect_uri: String,
    /// The client's own, returned unread.
    pub state: Option<String>,
    pub nonce: Option<String>,
    /// The claims to ask the person for: those of the client's own that the `claims` parameter
    /// names, or all of them where there is none.
    pub claims: Vec<String>,
    /// An assurance level that `acr_values` names: the login asks for the level and the ID token's
    /// `acr` says it.
    pub assurance: bool,
    /// By what the client knows somebody again.
    pub accounts: Accounts,
    /// The levels that an essential `acr` demands; empty where any login will do.
    demanded_acr: Vec<String>,
    /// SHA-256 of the client's code verifier.
    pub(super) code_challenge: [u8; 32],
    /// Thumbprint of the key that alone may redeem the code (RFC 9449 §10).
    pub(super) dpop_jkt: Option<String>,
}

/// How an authorization request was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthorizeRefusal {
    /// The client or its redirect URI is not known: it is said to the person who came, and nobody
    /// is sent anywhere. Otherwise the gate would be an open redirector (RFC 6749 §3.1.2.4).
    Shown(OidcError),
    /// The client is told, at its registered URI.
    Redirected { location: String, error: OidcError },
}

impl AuthorizeRefusal {
    pub fn error(&self) -> OidcError {
        match self {
            Self::Shown(error) | Self::Redirected { error, .. } => *error,
        }
    }
}

/// A query that refers to a pushed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedReference {
    pub client_id: String,
    pub request_uri: String,
}

impl PushedReference {
    /// Finds the reference in a query; what else stands there is ignored (RFC 9126 §4).
    pub fn find(query: &str) -> Option<Self> {
        let parameters = parameters(query.get(..MAX_QUERY_BYTES).unwrap_or(query)).ok()?;
        let request_uri = parameters.get("request_uri")?;
        request_uri.starts_with(REQUEST_URI_PREFIX).then(|| Self {
            client_id: parameters.get("client_id").cloned().unwrap_or_default(),
            request_uri: request_uri.clone(),
        })
    }
}

impl AuthorizationRequest {
    /// Reads the query of an authorization request (OpenID Connect Core §3.1.2.1).
    ///
    /// Client and redirect URI are settled first; only then may anything be answered by redirect.
    pub fn parse(query: &str, clients: &[Client], issuer: &str) -> Result<Self, AuthorizeRefusal> {
        let shown = AuthorizeRefusal::Shown;
        if query.len() > MAX_QUERY_BYTES {
            return Err(shown(OidcError::TooLong));
        }
        let parameters = parameters(query).map_err(shown)?;
        let client = parameters
            .get("client_id")
            .and_then(|id| clients.iter().find(|client| client.client_id == *id))
            .ok_or(shown(OidcError::ClientUnknown))?;
        let redirect_uri = registered_redirect(&parameters, client).map_err(shown)?;
        let read = if client.require_pushed {
            Err(OidcError::PushRequired)
        } else {
            Self::read(&parameters, client, redirect_uri)
        };
        read.map_err(|error| {
            let state = parameters.get("state").map(String::as_str);
            AuthorizeRefusal::Redirected {
                location: error_location(redirect_uri, state, issuer, error),
                error,
            }
        })
    }

    /// Reads a pushed request (RFC 9126 §2.1): the client has to prove itself first, and is
    /// answered itself.
    pub fn parse_pushed(
        body: &str,
        authorization: Option<&str>,
        clients: &[Client],
    ) -> Result<Self, OidcError> {
        if body.len() > MAX_QUERY_BYTES {
            return Err(OidcError::TooLong);
        }
        let parameters = parameters(body)?;
        let client = Credentials::read(&parameters, authorization)?.authenticate(clients)?;
        if parameters.contains_key("request_uri") {
            return Err(OidcError::RequestUri);
        }
        let redirect_uri = registered_redirect(&parameters, client)?;
        Self::read(&parameters, client, redirect_uri)
    }

    fn read(
        parameters: &BTreeMap<String, String>,
        client: &Client,
        redirect_uri: &str,
    ) -> Result<Self, OidcError> {
        let parameter = |name: &str| parameters.get(name).map(String::as_str);
        let too_long = |name: &str, limit| parameter(name).is_some_and(|value| value.len() > limit);
        if too_long("state", MAX_STATE_BYTES) || too_long("nonce", MAX_NONCE_BYTES) {
            return Err(OidcError::TooLong);
        }
        if parameters.contains_key("request") {
            return Err(OidcError::RequestObject);
        }
        if parameters.contains_key("request_uri") {
            return Err(OidcError::RequestUri);
        }
        if parameter("response_type") != Some("code") {
            return Err(OidcError::ResponseType);
        }
        if parameter("response_mode").is_some_and(|mode| mode != "query") {
            return Err(OidcError::ResponseMode);
        }
        let scope = parameter("scope").unwrap_or_default();
        if !scope.split(' ').any(|scope| scope == "openid") {
            return Err(OidcError::Scope);
        }
        // `login`, `consent` and `select_account` are what every login here does anyway.
        if parameter("prompt").is_some_and(|prompt| prompt.split(' ').any(|p| p == "none")) {
            return Err(OidcError::Silent);
        }
        // Every login is a fresh one, so no age is too small; `auth_time` tells it (§2).
        if parameter("max_age").is_some_and(|age| age.parse::<u32>().is_err()) {
            return Err(OidcError::MaxAge);
        }
        let challenge = parameter("code_challenge").ok_or(OidcError::PkceMissing)?;
        if parameter("code_challenge_method") != Some("S256") {
            return Err(OidcError::PkceMethod);
        }
        let code_challenge = decode32(challenge).ok_or(OidcError::PkceMissing)?;
        let dpop_jkt = parameter("dpop_jkt").map(str::to_owned);
        if dpop_jkt
            .as_deref()
            .is_some_and(|jkt| decode32(jkt).is_none())
        {
            return Err(OidcError::Dpop);
        }
        let asked = Asked::read(parameter("claims"), client)?;
        let voluntary = parameter("acr_values").unwrap_or_default().split(' ');
        let wanted = voluntary.chain(asked.demanded_acr.iter().map(String::as_str));
        let accounts = client.accounts;
        let is_level = |acr: &str| LEVELS.iter().any(|level| acr == accounts.assured(level));
        let assurance =
            client.may_ask(accounts.assurance_claim()) && wanted.into_iter().any(is_level);
        let known = |acr: &String| acr == accounts.acr() || (assurance && is_level(acr));
        if !asked.demanded_acr.is_empty() && !asked.demanded_acr.iter().any(known) {
            return Err(OidcError::Acr);
        }
        Ok(Self {
            client_id: client.client_id.clone(),
            redirect_uri: redirect_uri.to_owned(),
            state: parameter("state").map(str::to_owned),
            nonce: parameter("nonce").map(str::to_owned),
            claims: asked.claims,
            assurance,
            accounts,
            demanded_acr: asked.demanded_acr,
            code_challenge,
            dpop_jkt,
        })
    }

    /// Every claim that the wallet is asked for.
    pub fn wallet_claims(&self) -> Vec<String> {
        let mut claims = self.claims.clone();
        if self.assurance && !self.asks_assurance() {
            claims.push(self.accounts.assurance_claim().to_owned());
        }
        claims
    }

    /// Whether the assurance is a claim of its own, and not only the `acr`.
    fn asks_assurance(&self) -> bool {
        let name = self.accounts.assurance_claim();
        self.claims.iter().any(|claim| claim == name)
    }

    /// Turns what the wallet showed into the ID token's `acr` and the claims that were asked for.
    ///
    /// An assurance that was asked for as `acr` alone leaves as that and not as a claim.
    pub fn conclude(
        &self,
        mut shown: Map<String, Value>,
    ) -> Result<(String, Map<String, Value>), OidcError> {
        let level = match self.accounts {
            Accounts::Person => shown
                .get("realpass")
                .and_then(|facts| facts.get("assurance")),
            Accounts::Did | Accounts::None => shown.get("assurance"),
        };
        let acr = match level.and_then(Value::as_str).filter(|_| self.assurance) {
            Some(level) => self.accounts.assured(level),
            None => self.accounts.acr().to_owned(),
        };
        if !self.demanded_acr.is_empty() && !self.demanded_acr.contains(&acr) {
            return Err(OidcError::Acr);
        }
        if !self.asks_assurance() {
            match self.accounts {
                Accounts::Did | Accounts::None => _ = shown.remove("assurance"),
                Accounts::Person => {
                    if let Some(Value::Object(facts)) = shown.get_mut("realpass") {
                        facts.remove("assurance");
                        if facts.is_empty() {
                            shown.remove("realpass");
                        }
                    }
                }
            }
        }
        Ok((acr, shown))
    }

    /// Where the browser goes with a code (§3.1.2.5), with the provider's name against mix-up
    /// attacks (RFC 9207).
    pub fn answer(&self, code: &str, issuer: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("code", code);
        if let Some(state) = &self.state {
            query.append_pair("state", state);
        }
        query.append_pair("iss", issuer);
        with_query(&self.redirect_uri, &query.finish())
    }

    /// Where the browser goes when the login failed (§3.1.2.6).
    pub fn refuse(&self, error: OidcError, issuer: &str) -> String {
        error_location(&self.redirect_uri, self.state.as_deref(), issuer, error)
    }
}

/// What the `claims` parameter asks for.
struct Asked {
    claims: Vec<String>,
    demanded_acr: Vec<String>,
}

impl Asked {
    /// Reads the parameter (OpenID Connect Core §5.5). A claim is named as in the client's entry,
    /// or by its first part: `age_equal_or_over` asks for each of the client's claims below it.
    ///
    /// An essential claim that the client may not have is refused; a voluntary one is left out.
    fn read(text: Option<&str>, client: &Client) -> Result<Self, OidcError> {
        let Some(text) = text else {
            return Ok(Self {
                claims: client.claims.clone(),
                demanded_acr: Vec::new(),
            });
        };
        let request: Map<String, Value> =
            serde_json::from_str(text).map_err(|_| OidcError::Claims)?;
        let mut asked = Self {
            claims: Vec::new(),
            demanded_acr: Vec::new(),
        };
        for place in ["id_token", "userinfo"] {
            let members = match request.get(place) {
                None => continue,
                Some(Value::Object(members)) if members.len() <= MAX_CLAIMS => members,
                Some(_) => return Err(OidcError::Claims),
            };
            for (name, how) in members {
                let essential = how.get("essential") == Some(&Value::Bool(true));
                if name == "acr" {
                    if essential {
                        asked.demanded_acr.extend(values(how));
                    }
                    continue;
                }
                let below = |claim: &&String| {
                    *claim == name || claim.split('.').next() == Some(name.as_str())
                };
                let found: Vec<&String> = client.claims.iter().filter(below).collect();
                let standard = super::STANDARD_CLAIMS.contains(&name.as_str());
                if found.is_empty() && essential && !standard {
                    return Err(OidcError::ClaimUnregistered);
                }
                for claim in found {
                    if !asked.claims.contains(claim) {
                        asked.claims.push(claim.clone());
                    }
                }
            }
        }
        Ok(asked)
    }
}

/// `value` or `values` of a claim's request.
fn values(how: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match how.get("values") {
        Some(Value::Array(values)) => values.iter().take(MAX_CLAIMS).filter_map(text).collect(),
        _ => how.get("value").and_then(text).into_iter().collect(),
    }
}

fn registered_redirect<'a>(
    parameters: &'a BTreeMap<String, String>,
    client: &Client,
) -> Result<&'a str, OidcError> {
    parameters
        .get("redirect_uri")
        .filter(|uri| client.redirect_uris.contains(uri))
        .map(String::as_str)
        .ok_or(OidcError::RedirectUnregistered)
}

fn error_location(
    redirect_uri: &str,
    state: Option<&str>,
    issuer: &str,
    error: OidcError,
) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("error", error.error());
    query.append_pair(
        "error_description",
        &format!("{}: {}; {}", error.code(), error.rule(), error.fix()),
    );
    // A state that is too long is not carried back: the answer must not fail for the same reason.
    if let Some(state) = state.filter(|state| state.len() <= MAX_STATE_BYTES) {
        query.append_pair("state", state);
    }
    query.append_pair("iss", issuer);
    with_query(redirect_uri, &query.finish())
}

/// Appends to a registered URI as it is written: parsing it again could change a character.
pub(super) fn with_query(uri: &str, query: &str) -> String {
    let separator = if uri.contains('?') { '&' } else { '?' };
    format!("{uri}{separator}{query}")
}
