//! The OpenID Connect provider that a gate is towards its services (spec/login.md, rules G1 to G9).
//!
//! The code flow of OpenID Connect Core 1.0 §3.1 with PKCE (RFC 7636), and no other: no implicit
//! flow, no refresh tokens, no dynamic registration. A service needs any stock OpenID Connect
//! library and learns one opaque `sub` and the claims that it asked for within its registration.
//! Pushed requests (RFC 9126), proof of possession (RFC 9449) and signing out are there for whom
//! wants them.
//!
//! ```text
//! service                     gate
//! POST /par       ─────────▶  AuthorizationRequest::parse_pushed, Grants::push      (optional)
//! GET /authorize  ─────────▶  AuthorizationRequest::parse      (who asks, where to answer)
//!        … the person shows credentials to the gate (see `vp`) …
//! redirect + code ◀─────────  Grants::issue_code, AuthorizationRequest::answer
//! POST /token     ─────────▶  TokenRequest::parse, authenticate, Grants::redeem, id_token
//! GET /userinfo   ─────────▶  Grants::userinfo
//! ```
//!
//! Module map: `request` · `grants` · `token` · `dpop` · `logout`.
//!
//! Codes and access tokens live in [`Grants`], in memory and as hashes only; the claims of a login
//! leave with them after minutes. Nothing here has a socket, a clock or randomness of its own.

pub mod dpop;
mod grants;
mod logout;
mod request;
mod token;

pub use dpop::DpopProof;
pub use grants::{Grants, Login, Redeemed, Spoken};
pub use logout::{LOGOUT_TOKEN_LIFE_S, LogoutRequest, logout_token};
pub use request::{AuthorizationRequest, AuthorizeRefusal, PushedReference, REQUEST_URI_PREFIX};
pub use token::{Credentials, TokenRequest, authenticate, id_token, token_response};

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realdid_credential::jose::{Jwk, VerifyingKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::form;

/// How long a code may be redeemed, in seconds (RFC 6749 §4.1.2 allows ten minutes).
pub const CODE_LIFE_S: u64 = 60;
/// How long an access token opens userinfo, in seconds.
pub const ACCESS_LIFE_S: u64 = 300;
/// How long an ID token is valid, in seconds.
pub const ID_TOKEN_LIFE_S: u64 = 300;
/// The `acr` of a login by DID: a verified person's PID and the signature of this service's own
/// DID, both over the gate's nonce, with ledger proofs.
pub const ACR: &str = "https://realdid.org/acr/pid-did";
/// The `acr` of a login by person: a RealPass with the person's pseudonym at this service and the
/// signature of this service's own DID, or that DID alone in the epoch in which both were shown.
pub const ACR_REALPASS: &str = "https://realdid.org/acr/realpass";
/// The `acr` of a login that knows nobody again: a verified person's PID over the gate's nonce.
pub const ACR_PID: &str = "https://realdid.org/acr/pid";
/// How long a pushed request waits for its browser, in seconds.
pub const PUSHED_LIFE_S: u64 = 90;

/// Claims that every ID token has without being asked.
const STANDARD_CLAIMS: [&str; 8] = [
    "sub",
    "iss",
    "aud",
    "exp",
    "iat",
    "nonce",
    "auth_time",
    "acr",
];

/// How thoroughly an authority verified a person (Regulation (EU) No 910/2014 Article 8).
const LEVELS: [&str; 3] = ["low", "substantial", "high"];

/// By what a website knows somebody again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accounts {
    /// One account a person, by the pseudonym of their RealPass, whatever DID they bring.
    #[default]
    Person,
    /// One account a DID, with a copy of the PID: for wallets that know no RealPass. A person can
    /// have several.
    Did,
    /// None: claims of a PID are shown, and each time somebody else comes. Any wallet can answer that
    /// holds a PID, since neither a RealPass nor a DID is asked for.
    None,
}

impl Accounts {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Person, Self::Did, Self::None];

    /// The word in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Did => "did",
            Self::None => "none",
        }
    }

    /// The `acr` of a login.
    pub fn acr(self) -> &'static str {
        match self {
            Self::Person => ACR_REALPASS,
            Self::Did => ACR,
            Self::None => ACR_PID,
        }
    }

    /// The `acr` of a login that says how thoroughly the authority verified the person.
    pub fn assured(self, level: &str) -> String {
        format!("{}/{level}", self.acr())
    }

    /// The claim that says it.
    pub fn assurance_claim(self) -> &'static str {
        match self {
            // In two parts: it is a claim, and no code of a refusal.
            Self::Person => concat!("realpass", ".assurance"),
            Self::Did | Self::None => "assurance",
        }
    }
}

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
    MaxAge 400 "invalid_request" "oidc.max_age" "max_age is a number of seconds" "send whole seconds",
    Claims 400 "invalid_request" "oidc.claims" "claims is the JSON object of OpenID Connect Core section 5.5" "correct it, or leave it out",
    ClaimUnregistered 400 "invalid_request" "oidc.claim_unregistered" "an essential claim is one of the client's own" "add the claim to the client in the gate's configuration, and to the registration",
    Acr 400 "unmet_authentication_requirements" "oidc.acr" "an essential acr is one that this login reaches" "ask for a level that the person has, or make it voluntary",
    PushRequired 400 "invalid_request" "oidc.push_required" "this client pushes its requests (RFC 9126)" "send the request to the pushed authorization request endpoint first",
    PushedUnknown 400 "invalid_request_uri" "oidc.pushed_unknown" "a pushed request is used once, by its client, within 90 seconds" "push the request again",
    Dpop 400 "invalid_dpop_proof" "oidc.dpop" "a DPoP proof is a fresh ES256 or EdDSA JWT for this very request, by the token's key (RFC 9449)" "sign a new proof with method, address, time, a new jti and, with a token, its hash",
    DpopReplayed 400 "invalid_dpop_proof" "oidc.dpop_replayed" "a DPoP proof is used once" "sign a new proof with a new jti",
    LogoutHint 400 "invalid_request" "oidc.logout_hint" "id_token_hint is an ID token of this provider, for the client that the request names" "send the ID token of the login, or leave it out",
    LogoutRedirect 400 "invalid_request" "oidc.logout_redirect" "post_logout_redirect_uri is registered for the client that id_token_hint or client_id names" "add it to the client in the gate's configuration, character by character",
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
    /// Compared character by character; where browsers may go after signing out.
    pub post_logout_redirect_uris: Vec<String>,
    /// Paths of the claims that this client may ask for, such as `age_equal_or_over.18`, and does
    /// ask for unless the request says which of them.
    pub claims: Vec<String>,
    /// Why it asks: one of the purposes in the gate's registration.
    pub purpose: String,
    /// Requests must be pushed (RFC 9126): a browser cannot change what was asked.
    pub require_pushed: bool,
    /// By what it knows somebody again.
    pub accounts: Accounts,
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
        let mut uris = self
            .redirect_uris
            .iter()
            .chain(&self.post_logout_redirect_uris);
        if id_ok && !self.redirect_uris.is_empty() && uris.all(redirect_ok) {
            Ok(())
        } else {
            Err(OidcError::ClientConfig)
        }
    }

    /// Whether a login of this client may ask for a claim.
    pub fn may_ask(&self, claim: &str) -> bool {
        self.claims.iter().any(|own| own == claim)
    }
}

/// The hash under which a client's secret is kept.
pub fn secret_hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// The discovery document (OpenID Connect Discovery 1.0 §3). `issuer` has no trailing slash.
pub fn discovery(issuer: &str, claims: &[String]) -> Value {
    let mut supported = STANDARD_CLAIMS.to_vec();
    for claim in claims {
        let top = claim.split('.').next().unwrap_or_default();
        if !supported.contains(&top) {
            supported.push(top);
        }
    }
    let acrs = Accounts::ALL.map(|accounts| {
        let assured = LEVELS.map(|level| accounts.assured(level));
        [vec![accounts.acr().to_owned()], assured.to_vec()].concat()
    });
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
        "pushed_authorization_request_endpoint": format!("{issuer}/par"),
        "require_pushed_authorization_requests": false,
        "end_session_endpoint": format!("{issuer}/logout"),
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": false,
        "jwks_uri": format!("{issuer}/jwks"),
        "scopes_supported": ["openid"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code"],
        "subject_types_supported": ["pairwise"],
        "acr_values_supported": acrs.concat(),
        "prompt_values_supported": ["login", "consent", "select_account"],
        "dpop_signing_alg_values_supported": ["ES256", "EdDSA"],
        // Discovery §3 wants RS256 in this list. It is left out: a second algorithm is a second
        // way to be wrong, and every maintained client library knows ES256.
        "id_token_signing_alg_values_supported": ["ES256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "code_challenge_methods_supported": ["S256"],
        "claims_supported": supported,
        "claims_parameter_supported": true,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "authorization_response_iss_parameter_supported": true,
    })
}

/// The key set: the key that signs ID tokens first, then those that lately did. `kid` is a
/// thumbprint (RFC 7638).
pub fn jwks(keys: &[VerifyingKey]) -> Value {
    let keys = keys.iter().map(|key| {
        let jwk = Jwk(key.clone());
        let mut value = jwk.to_value();
        if let Some(members) = value.as_object_mut() {
            members.insert("kid".to_owned(), jwk.thumbprint_base64url().into());
            members.insert("use".to_owned(), "sig".into());
            members.insert("alg".to_owned(), key.alg().name().into());
        }
        value
    });
    json!({ "keys": keys.collect::<Vec<_>>() })
}

/// Reads form parameters, each at most once.
fn parameters(text: &str) -> Result<BTreeMap<String, String>, OidcError> {
    form::parameters(text).ok_or(OidcError::Repeated)
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
