//! The OpenID Connect provider that a gate is towards its services (spec/login.md, rules G1 to G9).
//!
//! The code flow of OpenID Connect Core 1.0 §3.1 with PKCE (RFC 7636) and nothing else: no implicit
//! flow, no refresh tokens, no dynamic registration. A service needs any stock OpenID Connect
//! library and learns one opaque `sub` and the claims that its policy asked for.
//!
//! ```text
//! service                     gate
//! GET /authorize  ─────────▶  AuthorizationRequest::parse      (who asks, where to answer)
//!        … the person shows credentials to the gate (see `vp`) …
//! redirect + code ◀─────────  Grants::issue_code, AuthorizationRequest::answer
//! POST /token     ─────────▶  TokenRequest::parse, authenticate, Grants::redeem, id_token
//! GET /userinfo   ─────────▶  Grants::userinfo
//! ```
//!
//! Codes and access tokens live in [`Grants`], in memory and as hashes only; the claims of a login
//! leave with them after minutes. Nothing here has a socket, a clock or randomness of its own.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use realdid_credential::jose::{self, Jwk, SigningKey};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use url::form_urlencoded;

/// How long a code may be redeemed, in seconds (RFC 6749 §4.1.2 allows ten minutes).
pub const CODE_LIFE_S: u64 = 60;
/// How long an access token opens userinfo, in seconds.
pub const ACCESS_LIFE_S: u64 = 300;
/// How long an ID token is valid, in seconds.
pub const ID_TOKEN_LIFE_S: u64 = 300;
/// The `acr` of every login: a verified person's PID and the signature of this service's own DID,
/// both over the gate's nonce, with ledger proofs.
pub const ACR: &str = "https://realdid.org/acr/pid-did";

/// The longest query of an authorization request, in bytes.
pub const MAX_QUERY_BYTES: usize = 4096;
/// The longest body of a token request, in bytes.
pub const MAX_TOKEN_BODY_BYTES: usize = 4096;
/// The longest `state`, in bytes. Some libraries keep a page's whole address in it.
const MAX_STATE_BYTES: usize = 2048;
/// The longest `nonce`, in bytes.
const MAX_NONCE_BYTES: usize = 512;
/// The longest `Authorization` header that is read, in bytes.
const MAX_AUTHORIZATION_BYTES: usize = 1024;
/// The most codes and the most access tokens that are kept at a time.
const MAX_GRANTS: usize = 10_000;

macro_rules! oidc_errors {
    ($($variant:ident $status:literal $error:literal $code:literal $rule:literal $fix:literal),* $(,)?) => {
        /// Why a request of a service, or of a browser that a service sent, was refused.
        ///
        /// The reader is the service's developer: each names the rule and the fix.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum OidcError {
            $(#[doc = $rule] $variant,)*
        }

        impl OidcError {
            /// Every refusal.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The HTTP status where the answer is not a redirect.
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// The registered OAuth or OpenID Connect error code.
            pub fn error(self) -> &'static str {
                match self { $(Self::$variant => $error,)* }
            }

            /// Our stable, dotted code.
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// The rule that failed.
            pub fn rule(self) -> &'static str {
                match self { $(Self::$variant => $rule,)* }
            }

            /// What to do about it.
            pub fn fix(self) -> &'static str {
                match self { $(Self::$variant => $fix,)* }
            }
        }
    };
}

oidc_errors! {
    TooLong 400 "invalid_request" "oidc.too_long" "a request keeps the length limits of this provider" "send a shorter state or nonce",
    Repeated 400 "invalid_request" "oidc.repeated_parameter" "no parameter stands twice (RFC 6749 section 3.1)" "send each parameter once",
    ClientUnknown 400 "invalid_client" "oidc.client_unknown" "client_id names a client of this gate" "use the client_id of the gate's configuration",
    RedirectUnregistered 400 "invalid_request" "oidc.redirect_unregistered" "redirect_uri is exactly one of those that are registered for the client" "register this redirect_uri in the gate's configuration, character by character",
    ResponseType 400 "unsupported_response_type" "oidc.response_type" "response_type is code" "use the authorization code flow",
    ResponseMode 400 "invalid_request" "oidc.response_mode" "response_mode is query or absent" "leave out response_mode",
    Scope 400 "invalid_scope" "oidc.scope" "scope holds openid" "ask for scope openid",
    RequestObject 400 "request_not_supported" "oidc.request_object" "parameters stand in the query, not in a request object" "leave out request",
    RequestUri 400 "request_uri_not_supported" "oidc.request_uri" "parameters stand in the query, not behind a request_uri" "leave out request_uri",
    PkceMissing 400 "invalid_request" "oidc.pkce_missing" "code_challenge is the base64url of a SHA-256 (RFC 7636)" "send a code_challenge of 43 characters",
    PkceMethod 400 "invalid_request" "oidc.pkce_method" "code_challenge_method is S256" "use S256",
    Silent 400 "login_required" "oidc.silent_login" "a login always asks the person" "send the person without prompt=none",
    Denied 403 "access_denied" "oidc.denied" "the person consents in the wallet" "let the person try again",
    Expired 400 "access_denied" "oidc.login_expired" "a login is finished within its time" "start the login again",
    ClientAuthentication 401 "invalid_client" "oidc.client_authentication" "the client proves its secret" "check client_id and client_secret against the gate's configuration",
    TwoAuthentications 400 "invalid_request" "oidc.two_authentications" "a client authenticates in one way (RFC 6749 section 2.3)" "send the secret in the header or in the body, not in both",
    GrantType 400 "unsupported_grant_type" "oidc.grant_type" "grant_type is authorization_code" "redeem the code of an authorization response",
    ParameterMissing 400 "invalid_request" "oidc.parameter_missing" "a token request carries code, redirect_uri and code_verifier" "send all three",
    CodeUnknown 400 "invalid_grant" "oidc.code_unknown" "the code is one that this provider issued within the last minute" "start the login again",
    CodeReused 400 "invalid_grant" "oidc.code_reused" "a code is redeemed once; a second time revokes what the first gave" "start the login again, and look for who saw the code",
    CodeClient 400 "invalid_grant" "oidc.code_client" "a code is redeemed by the client it was issued to" "use the client that started the login",
    CodeRedirect 400 "invalid_grant" "oidc.code_redirect" "redirect_uri is the one of the authorization request" "send the same redirect_uri again",
    CodeVerifier 400 "invalid_grant" "oidc.code_verifier" "code_verifier hashes to the code_challenge" "send the verifier of this login",
    Busy 503 "temporarily_unavailable" "oidc.busy" "the provider keeps a bounded number of logins" "try again in a minute",
    TokenUnknown 401 "invalid_token" "oidc.token_unknown" "the access token is one that this provider issued within the last minutes" "take the claims from the ID token, or log in again",
    ClientConfig 500 "server_error" "oidc.client_config" "a client has an id, a secret's hash, and absolute http(s) redirect URIs without a fragment" "correct the gate's configuration",
    Signing 500 "server_error" "oidc.signing" "the signing key can sign" "tell the operator of the gate",
}

impl std::fmt::Display for OidcError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code(), self.rule())
    }
}

impl std::error::Error for OidcError {}

/// A website that signs people in through this gate.
#[derive(Debug, Clone)]
pub struct Client {
    pub client_id: String,
    /// The name that people see on the gate's page.
    pub name: String,
    /// SHA-256 of the secret. A secret is long and random, so a slow hash would add nothing.
    pub secret_sha256: [u8; 32],
    /// Compared character by character.
    pub redirect_uris: Vec<String>,
    /// Paths of the claims that a login of this client asks for, such as `age_equal_or_over.18`.
    pub claims: Vec<String>,
    /// Why it asks: one of the purposes in the gate's registration.
    pub purpose: String,
}

impl Client {
    /// Checks what an operator wrote.
    pub fn check(&self) -> Result<(), OidcError> {
        let redirect_ok = |uri: &String| {
            !uri.contains('#')
                && uri.len() <= 1024
                && uri.bytes().all(|b| b.is_ascii_graphic())
                && url::Url::parse(uri).is_ok_and(|uri| matches!(uri.scheme(), "http" | "https"))
        };
        let id_ok = (1..=128).contains(&self.client_id.len())
            && self.client_id.bytes().all(|b| b.is_ascii_graphic());
        if id_ok && !self.redirect_uris.is_empty() && self.redirect_uris.iter().all(redirect_ok) {
            Ok(())
        } else {
            Err(OidcError::ClientConfig)
        }
    }
}

/// The hash under which a client's secret is kept.
pub fn secret_hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// The discovery document (OpenID Connect Discovery 1.0 §3). `issuer` has no trailing slash.
pub fn discovery(issuer: &str, claims: &[String]) -> Value {
    let mut supported: Vec<&str> = vec![
        "sub",
        "iss",
        "aud",
        "exp",
        "iat",
        "nonce",
        "auth_time",
        "acr",
    ];
    for claim in claims {
        let top = claim.split('.').next().unwrap_or_default();
        if !supported.contains(&top) {
            supported.push(top);
        }
    }
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
        "jwks_uri": format!("{issuer}/jwks"),
        "scopes_supported": ["openid"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code"],
        "subject_types_supported": ["pairwise"],
        "acr_values_supported": [ACR],
        // Discovery §3 wants RS256 in this list. It is left out: a second algorithm is a second
        // way to be wrong, and every maintained client library knows ES256.
        "id_token_signing_alg_values_supported": ["ES256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "code_challenge_methods_supported": ["S256"],
        "claims_supported": supported,
        "claims_parameter_supported": false,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "authorization_response_iss_parameter_supported": true,
    })
}

/// The key set with the key that signs ID tokens; `kid` is its thumbprint (RFC 7638).
pub fn jwks(key: &SigningKey) -> Value {
    let jwk = Jwk(key.verifying_key());
    let mut value = jwk.to_value();
    if let Some(members) = value.as_object_mut() {
        members.insert("kid".to_owned(), jwk.thumbprint_base64url().into());
        members.insert("use".to_owned(), "sig".into());
        members.insert("alg".to_owned(), key.alg().name().into());
    }
    json!({ "keys": [value] })
}

/// An authorization request that a known client may make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationRequest {
    pub client_id: String,
    /// One of the client's registered URIs.
    pub redirect_uri: String,
    /// The client's own, returned unread.
    pub state: Option<String>,
    pub nonce: Option<String>,
    /// SHA-256 of the client's code verifier.
    code_challenge: [u8; 32],
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
        let parameter = |name: &str| parameters.get(name).map(String::as_str);

        let client = parameter("client_id")
            .and_then(|id| clients.iter().find(|client| client.client_id == id))
            .ok_or(shown(OidcError::ClientUnknown))?;
        let redirect_uri = parameter("redirect_uri")
            .filter(|uri| client.redirect_uris.iter().any(|known| known == uri))
            .ok_or(shown(OidcError::RedirectUnregistered))?
            .to_owned();

        let state = parameter("state").map(str::to_owned);
        let nonce = parameter("nonce").map(str::to_owned);
        let redirected = |error: OidcError| AuthorizeRefusal::Redirected {
            location: error_location(&redirect_uri, state.as_deref(), issuer, error),
            error,
        };
        let checked = || -> Result<[u8; 32], OidcError> {
            let too_long =
                |value: &Option<String>, limit| value.as_ref().is_some_and(|v| v.len() > limit);
            if too_long(&state, MAX_STATE_BYTES) || too_long(&nonce, MAX_NONCE_BYTES) {
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
            if parameter("prompt").is_some_and(|prompt| prompt.split(' ').any(|p| p == "none")) {
                return Err(OidcError::Silent);
            }
            let challenge = parameter("code_challenge").ok_or(OidcError::PkceMissing)?;
            if parameter("code_challenge_method") != Some("S256") {
                return Err(OidcError::PkceMethod);
            }
            decode32(challenge).ok_or(OidcError::PkceMissing)
        };
        let code_challenge = checked().map_err(redirected)?;
        Ok(Self {
            client_id: client.client_id.clone(),
            redirect_uri,
            state,
            nonce,
            code_challenge,
        })
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
fn with_query(uri: &str, query: &str) -> String {
    let separator = if uri.contains('?') { '&' } else { '?' };
    format!("{uri}{separator}{query}")
}

/// What a finished login says to the client.
#[derive(Clone, PartialEq)]
pub struct Login {
    pub request: AuthorizationRequest,
    /// The opaque, stable value by which this service knows the person.
    pub subject: String,
    /// The claims that the client's policy asked for, as they go into the ID token.
    pub claims: Map<String, Value>,
    /// Unix seconds at which the person presented.
    pub auth_time_s: u64,
}

/// Claims are personal data: what is printed may end in a log.
impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Login(at {}, {} claims)",
            self.auth_time_s,
            self.claims.len()
        )
    }
}

/// Codes and access tokens that are out, each under the SHA-256 of its text.
///
/// A copy of this memory gives nobody a usable code. Both maps are bounded and swept by time.
#[derive(Debug, Default)]
pub struct Grants {
    codes: BTreeMap<[u8; 32], Code>,
    tokens: BTreeMap<[u8; 32], Token>,
}

#[derive(Debug)]
struct Code {
    state: CodeState,
    issued_s: u64,
}

#[derive(Debug)]
enum CodeState {
    Open(Box<Login>),
    /// Redeemed or burnt; the hash of the access token that it gave.
    Spent(Option<[u8; 32]>),
}

#[derive(Debug)]
struct Token {
    subject: String,
    claims: Map<String, Value>,
    expires_s: u64,
}

/// What a redeemed code gives.
#[derive(Debug)]
pub struct Redeemed {
    pub login: Login,
    pub access_token: String,
}

impl Grants {
    /// Issues a code for a finished login. `secret` is 32 fresh random bytes.
    pub fn issue_code(
        &mut self,
        login: Login,
        secret: &[u8; 32],
        now_s: u64,
    ) -> Result<String, OidcError> {
        if self.codes.len() >= MAX_GRANTS {
            self.sweep(now_s);
        }
        if self.codes.len() >= MAX_GRANTS {
            return Err(OidcError::Busy);
        }
        let code = URL_SAFE_NO_PAD.encode(secret);
        let entry = Code {
            state: CodeState::Open(Box::new(login)),
            issued_s: now_s,
        };
        self.codes.insert(digest(&code), entry);
        Ok(code)
    }

    /// Redeems a code for the client that has just authenticated. `secret` is 32 fresh random
    /// bytes, for the access token.
    ///
    /// A wrong redirect URI or verifier burns the code: whoever guesses has one try.
    pub fn redeem(
        &mut self,
        request: &TokenRequest,
        client: &Client,
        secret: &[u8; 32],
        now_s: u64,
    ) -> Result<Redeemed, OidcError> {
        if self.tokens.len() >= MAX_GRANTS {
            self.sweep(now_s);
        }
        let entry = self
            .codes
            .get_mut(&digest(&request.code))
            .ok_or(OidcError::CodeUnknown)?;
        let login = match &entry.state {
            CodeState::Open(login) => login,
            CodeState::Spent(token) => {
                // RFC 6749 §4.1.2: somebody else has the code too, so what it gave is taken back.
                if let Some(token) = token {
                    self.tokens.remove(token);
                }
                return Err(OidcError::CodeReused);
            }
        };
        if entry.issued_s + CODE_LIFE_S < now_s {
            return Err(OidcError::CodeUnknown);
        }
        // Another client's attempt must not cost the rightful one its login.
        if login.request.client_id != client.client_id {
            return Err(OidcError::CodeClient);
        }
        let login = match std::mem::replace(&mut entry.state, CodeState::Spent(None)) {
            CodeState::Open(login) => *login,
            CodeState::Spent(_) => return Err(OidcError::CodeReused),
        };
        if login.request.redirect_uri != request.redirect_uri {
            return Err(OidcError::CodeRedirect);
        }
        let challenge: [u8; 32] = Sha256::digest(request.code_verifier.as_bytes()).into();
        if !bool::from(challenge.ct_eq(&login.request.code_challenge)) {
            return Err(OidcError::CodeVerifier);
        }
        if self.tokens.len() >= MAX_GRANTS {
            return Err(OidcError::Busy);
        }
        let access_token = URL_SAFE_NO_PAD.encode(secret);
        let token_hash = digest(&access_token);
        entry.state = CodeState::Spent(Some(token_hash));
        self.tokens.insert(
            token_hash,
            Token {
                subject: login.subject.clone(),
                claims: login.claims.clone(),
                expires_s: now_s + ACCESS_LIFE_S,
            },
        );
        Ok(Redeemed {
            login,
            access_token,
        })
    }

    /// The claims behind an access token (OpenID Connect Core §5.3.2). `authorization` is the
    /// request's `Authorization` header.
    pub fn userinfo(&self, authorization: Option<&str>, now_s: u64) -> Result<Value, OidcError> {
        let token = authorization
            .filter(|header| header.len() <= MAX_AUTHORIZATION_BYTES)
            .and_then(|header| scheme(header, "Bearer"))
            .and_then(|token| self.tokens.get(&digest(token)))
            .filter(|token| token.expires_s > now_s)
            .ok_or(OidcError::TokenUnknown)?;
        let mut claims = token.claims.clone();
        claims.insert("sub".to_owned(), token.subject.clone().into());
        Ok(Value::Object(claims))
    }

    /// Drops what is over; called every few seconds by whoever holds the clock. Spent codes stay as long as the token that they gave, so that a reuse
    /// can still revoke it.
    pub fn sweep(&mut self, now_s: u64) {
        self.codes.retain(|_, code| {
            let life = match code.state {
                CodeState::Open(_) => CODE_LIFE_S,
                CodeState::Spent(_) => ACCESS_LIFE_S,
            };
            code.issued_s + life >= now_s
        });
        self.tokens.retain(|_, token| token.expires_s > now_s);
    }
}

/// A token request, parsed (OpenID Connect Core §3.1.3.1).
#[derive(Clone)]
pub struct TokenRequest {
    code: String,
    redirect_uri: String,
    code_verifier: String,
    client_id: String,
    secret_sha256: [u8; 32],
}

impl std::fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenRequest(by {})", self.client_id)
    }
}

impl TokenRequest {
    /// Reads a form body and the `Authorization` header.
    pub fn parse(body: &str, authorization: Option<&str>) -> Result<Self, OidcError> {
        if body.len() > MAX_TOKEN_BODY_BYTES {
            return Err(OidcError::TooLong);
        }
        let parameters = parameters(body)?;
        let parameter = |name: &str| parameters.get(name).cloned();
        let basic = authorization.map(basic_credentials).transpose()?;
        let (client_id, secret) = match (basic, parameter("client_secret")) {
            (Some(_), Some(_)) => return Err(OidcError::TwoAuthentications),
            (Some(basic), None) => basic,
            (None, Some(secret)) => (
                parameter("client_id").ok_or(OidcError::ClientAuthentication)?,
                secret,
            ),
            (None, None) => return Err(OidcError::ClientAuthentication),
        };
        if parameter("client_id").is_some_and(|id| id != client_id) {
            return Err(OidcError::ClientAuthentication);
        }
        if parameter("grant_type").as_deref() != Some("authorization_code") {
            return Err(OidcError::GrantType);
        }
        let needed = |name: &str| parameter(name).ok_or(OidcError::ParameterMissing);
        Ok(Self {
            code: needed("code")?,
            redirect_uri: needed("redirect_uri")?,
            code_verifier: needed("code_verifier")?,
            client_id,
            secret_sha256: secret_hash(&secret),
        })
    }

    /// The client that this request proves to come from.
    pub fn authenticate<'a>(&self, clients: &'a [Client]) -> Result<&'a Client, OidcError> {
        // Client ids are public; the secret's hashes are compared in constant time.
        clients
            .iter()
            .find(|client| client.client_id == self.client_id)
            .filter(|client| bool::from(client.secret_sha256.ct_eq(&self.secret_sha256)))
            .ok_or(OidcError::ClientAuthentication)
    }
}

/// The answer to a token request: JSON of RFC 6749 §5.1 with the ID token.
pub fn token_response(
    redeemed: &Redeemed,
    issuer: &str,
    key: &SigningKey,
    now_s: u64,
) -> Result<Value, OidcError> {
    Ok(json!({
        "access_token": redeemed.access_token,
        "token_type": "Bearer",
        "expires_in": ACCESS_LIFE_S,
        "scope": "openid",
        "id_token": id_token(&redeemed.login, &redeemed.access_token, issuer, key, now_s)?,
    }))
}

/// The ID token (OpenID Connect Core §2), ES256.
pub fn id_token(
    login: &Login,
    access_token: &str,
    issuer: &str,
    key: &SigningKey,
    now_s: u64,
) -> Result<String, OidcError> {
    let mut claims = login.claims.clone();
    // Ours come last: no claim of a credential can take their place.
    let mut set = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    set("iss", issuer.into());
    set("sub", login.subject.clone().into());
    set("aud", login.request.client_id.clone().into());
    set("iat", now_s.into());
    set("exp", (now_s + ID_TOKEN_LIFE_S).into());
    set("auth_time", login.auth_time_s.into());
    set("acr", ACR.into());
    set(
        "at_hash",
        URL_SAFE_NO_PAD
            .encode(&Sha256::digest(access_token)[..16])
            .into(),
    );
    if let Some(nonce) = &login.request.nonce {
        set("nonce", nonce.clone().into());
    }
    let mut header = Map::new();
    header.insert("typ".to_owned(), "JWT".into());
    header.insert(
        "kid".to_owned(),
        Jwk(key.verifying_key()).thumbprint_base64url().into(),
    );
    jose::sign_compact(&header, Value::Object(claims).to_string().as_bytes(), key)
        .map_err(|_| OidcError::Signing)
}

/// Reads form parameters, each at most once.
fn parameters(text: &str) -> Result<BTreeMap<String, String>, OidcError> {
    let mut parameters = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        if parameters
            .insert(name.into_owned(), value.into_owned())
            .is_some()
        {
            return Err(OidcError::Repeated);
        }
    }
    Ok(parameters)
}

/// Client id and secret from `Basic`: both are form-encoded before the base64 (RFC 6749 §2.3.1).
fn basic_credentials(header: &str) -> Result<(String, String), OidcError> {
    let read = || {
        if header.len() > MAX_AUTHORIZATION_BYTES {
            return None;
        }
        let bytes = STANDARD.decode(scheme(header, "Basic")?).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (id, secret) = text.split_once(':')?;
        Some((form_decode(id), form_decode(secret)))
    };
    read().ok_or(OidcError::ClientAuthentication)
}

fn form_decode(text: &str) -> String {
    // A lone value reads as a name without a value; `=` and `&` are encoded in it.
    form_urlencoded::parse(text.as_bytes())
        .next()
        .map(|(name, _)| name.into_owned())
        .unwrap_or_default()
}

/// What stands behind an authentication scheme, whose name knows no case.
fn scheme<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    let (scheme, rest) = header.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case(name)
        .then(|| rest.trim_matches(' '))
}

fn decode32(text: &str) -> Option<[u8; 32]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
#[path = "oidc_tests.rs"]
mod tests;
