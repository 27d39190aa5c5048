//! Foreigners who log in at an identity provider that the operator configured (spec/enrolment.md, F13 to
//! F18): this authority is its relying party, by the `openidconnect` library.
//!
//! ```text
//! wallet                        browser                authority                    provider
//! POST …/logins ─────────────────────────────────────▶ state, nonce, PKCE
//!   ◀──────────────────────────────────────────────── its login page
//!   prints the page's address ─▶ logs in ──────────────────────────────────────────▶ who it is
//!                                └──────── code, state ▶ ID token, verified ◀──────── tokens
//!   ◀── ticket, on loopback ────┘
//! POST …/identity: ticket, verifier ─────────────────▶ iss, sub
//! ```
//!
//! The ticket comes back over the loopback interface (RFC 8252 §7.3) of the machine whose browser
//! logged in. Whoever sends somebody else their login page gets nothing: the ticket goes to the other
//! machine. What is under way is sealed as foreigners are, each used once.

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreIdTokenClaims, CoreJwsSigningAlgorithm,
    CoreProviderMetadata, CoreTokenResponse, CoreUserInfoClaims,
};
use openidconnect::{
    AuthorizationCode, ClaimsVerificationError, ClientId, ClientSecret, CsrfToken,
    EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, IssuerUrl, Nonce,
    OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError,
    Scope, TokenResponse,
};
use realdid_credential::pid::{Assurance, Sex};
use realdid_exchange::tag::{MAX_ISSUER_BYTES, MAX_SUBJECT_BYTES};
use realdid_serve::{Problem, RateLimit, limit_rate};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use url::Url;

use crate::config::UpstreamConfig;
use crate::register::foreigners::{Kept, KeptNumber, NO_NAME, Ticket, ticket_name};
use crate::service::{Authority, read_json, refused};
use crate::store::StoreError;
use crate::text::{NoRandomness, random_secret};

/// Where providers send browsers back to, below the authority's URL, each to its own name there: else
/// one of them could pass another's code off as its own (RFC 9700, 4.4).
pub const CALLBACK: &str = "/upstream/callback";
/// How long a login may take, in seconds.
pub const LOGIN_LIFE_S: u64 = 600;
/// How long a ticket may be used, in seconds.
pub const TICKET_LIFE_S: u64 = 300;
/// The most logins that are under way.
const MAX_LOGINS: u64 = 10_000;
/// How long a provider's description of itself is used, in seconds: logins that are begun and never
/// finished must not become as many requests to it.
const METADATA_LIFE_S: u64 = 300;
/// The largest answer of a provider that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// The longest code, state or address that is read, in bytes.
const MAX_TEXT: usize = 2048;
/// Nationality where the provider does not say: a code that ISO 3166-1 leaves to its users.
const NO_NATIONALITY: &str = "XX";
/// What ID tokens are signed with. `none` is not among it, nor is a MAC under the client's secret.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 4] = [
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
];

type RelyingParty = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// A provider cannot be one. For the operator.
#[derive(Debug, thiserror::Error)]
#[error(
    "upstream.config: an identity provider must have an id of its own (a-z, 0-9, hyphens), an issuer by \
     https or on loopback, a client's id, a readable file with its secret, and an assurance of low or \
     substantial ({id}); fault: operator; do: correct [[upstream]]"
)]
pub struct UpstreamConfigError {
    id: String,
}

impl UpstreamConfigError {
    /// Stable, dotted code.
    pub fn code(&self) -> &'static str {
        "upstream.config"
    }
}

/// Why a login was not begun or not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UpstreamRefused {
    Unknown,
    Redirect,
    Busy,
    State,
    Denied,
    Issuer,
    Code,
    Token,
    Claims,
    Ticket,
    Unavailable,
    Internal,
}

impl UpstreamRefused {
    pub fn problem(self) -> Problem {
        let of = |code, rule, fix| Problem::bad_request(code, rule, fix);
        match self {
            Self::Unknown => of(
                "upstream.unknown",
                "the identity provider is one that this authority configured",
                "ask the authority for the names of its providers",
            ),
            Self::Redirect => of(
                "upstream.redirect",
                "a login comes back to http on loopback, with a port, and with a challenge of PKCE",
                "begin the login from a wallet on the machine of the browser",
            ),
            Self::Busy => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "upstream.busy",
                "an authority keeps a bounded number of logins",
                "try again in a minute",
            )
            .retry_after(60),
            Self::State => of(
                "upstream.state",
                "a login comes back once, to where it was begun, within ten minutes",
                "begin again in the wallet",
            ),
            Self::Denied => of(
                "upstream.denied",
                "the identity provider lets the person in",
                "try again, or use another provider",
            ),
            Self::Issuer => of(
                "upstream.issuer",
                "the answer is of the provider at which the login was begun",
                "begin again in the wallet",
            ),
            Self::Code => of(
                "upstream.code",
                "the identity provider takes the code that it gave, once",
                "begin again in the wallet",
            ),
            Self::Token => of(
                "upstream.token",
                "the ID token is signed by the provider, for this authority and this login, and has not expired",
                "begin again; if it stays, tell the authority's operator",
            ),
            Self::Claims => of(
                "upstream.claims",
                "the identity provider says name and full birth date",
                "complete your account there, or use another provider",
            ),
            Self::Ticket => of(
                "upstream.ticket",
                "a ticket is used by the wallet that began the login, once, within five minutes",
                "begin again in the wallet",
            ),
            Self::Unavailable => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "upstream.unavailable",
                "the identity provider must answer",
                "try again later",
            )
            .retry_after(5),
            Self::Internal => Problem::internal(),
        }
    }
}

impl From<StoreError> for UpstreamRefused {
    fn from(_: StoreError) -> Self {
        Self::Internal
    }
}

impl From<NoRandomness> for UpstreamRefused {
    fn from(_: NoRandomness) -> Self {
        Self::Internal
    }
}

/// One provider.
struct Upstream {
    id: String,
    issuer: IssuerUrl,
    client_id: ClientId,
    client_secret: ClientSecret,
    assurance: Assurance,
    scopes: Vec<Scope>,
    /// As it described itself, and when.
    described: Mutex<Option<(CoreProviderMetadata, u64)>>,
}

/// The providers of an authority.
#[derive(Default)]
pub struct Upstreams {
    all: Vec<Upstream>,
    /// The authority's.
    url: String,
    http: reqwest::Client,
}

/// A login that is under way. Nobody else sees it.
#[derive(Serialize, Deserialize)]
struct Begun {
    upstream: String,
    nonce: String,
    verifier: String,
    /// Of the wallet.
    challenge: String,
    redirect_uri: String,
}

impl Upstreams {
    /// Reads what the operator wrote. Discovery is lazy: an authority must start while a provider is
    /// down.
    pub fn open(config: &[UpstreamConfig], url: &str) -> Result<Self, UpstreamConfigError> {
        let mut all: Vec<Upstream> = Vec::new();
        for one in config {
            let known = all.iter().any(|upstream| upstream.id == one.id);
            let upstream = Upstream::open(one).filter(|_| !known);
            all.push(upstream.ok_or_else(|| UpstreamConfigError { id: one.id.clone() })?);
        }
        let no_client = || UpstreamConfigError {
            id: "no HTTP client".to_owned(),
        };
        // Following a redirect of a provider would let it reach what only this server can reach.
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(3))
            .timeout(Duration::from_secs(10))
            .build()
            .map_err(|_| no_client())?;
        Ok(Self {
            all,
            url: url.to_owned(),
            http,
        })
    }

    fn find(&self, id: &str) -> Result<&Upstream, UpstreamRefused> {
        let found = self.all.iter().find(|upstream| upstream.id == id);
        found.ok_or(UpstreamRefused::Unknown)
    }

    /// How `openidconnect` reaches a provider.
    fn fetcher(&self) -> impl Fn(HttpRequest) -> FetchFuture + use<> {
        let http = self.http.clone();
        move |request| Box::pin(fetch(http.clone(), request))
    }

    /// The provider as it describes itself, its keys included, and whether that was said just now.
    async fn relying_party(
        &self,
        upstream: &Upstream,
        now_s: u64,
    ) -> Result<(RelyingParty, bool), UpstreamRefused> {
        let known = upstream.described_at(now_s);
        let is_new = known.is_none();
        let metadata = match known {
            Some(metadata) => metadata,
            None => {
                let fetcher = self.fetcher();
                // The library refuses metadata of another issuer.
                let asked = CoreProviderMetadata::discover_async(upstream.issuer.clone(), &fetcher);
                let metadata = asked.await.map_err(|_| UpstreamRefused::Unavailable)?;
                upstream.describe(Some((metadata.clone(), now_s)));
                metadata
            }
        };
        let redirect = RedirectUrl::new(format!("{}{CALLBACK}/{}", self.url, upstream.id));
        let redirect = redirect.map_err(|_| UpstreamRefused::Internal)?;
        let client = CoreClient::from_provider_metadata(
            metadata,
            upstream.client_id.clone(),
            Some(upstream.client_secret.clone()),
        );
        Ok((client.set_redirect_uri(redirect), is_new))
    }

    /// Redeems a code and verifies the ID token: signature, issuer, audience, expiry, nonce.
    async fn identify(
        &self,
        upstream: &Upstream,
        begun: &Begun,
        code: &str,
        now_s: u64,
    ) -> Result<Kept, UpstreamRefused> {
        let (mut client, is_new) = self.relying_party(upstream, now_s).await?;
        let tokens = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .map_err(|_| UpstreamRefused::Unavailable)?
            .set_pkce_verifier(PkceCodeVerifier::new(begun.verifier.clone()))
            .request_async(&self.fetcher())
            .await
            .map_err(|error| match error {
                RequestTokenError::ServerResponse(_) => UpstreamRefused::Code,
                // An answer that is no token response: an ID token of a kind that is not read, too.
                RequestTokenError::Parse(..) => UpstreamRefused::Token,
                _ => UpstreamRefused::Unavailable,
            })?;
        let nonce = Nonce::new(begun.nonce.clone());
        let mut claims = verified(&client, &tokens, &nonce);
        if claims.is_err() && !is_new {
            // Its keys may be others by now.
            upstream.describe(None);
            (client, _) = self.relying_party(upstream, now_s).await?;
            claims = verified(&client, &tokens, &nonce);
        }
        let claims = claims.map_err(|_| UpstreamRefused::Token)?;
        let said = match said_of(&claims) {
            Some(said) => said,
            // With the code flow most providers say names in the user info alone.
            None => {
                let subject = Some(claims.subject().clone());
                let fetcher = self.fetcher();
                let asked = client
                    .user_info(tokens.access_token().clone(), subject)
                    .map_err(|_| UpstreamRefused::Claims)?
                    .request_async::<openidconnect::EmptyAdditionalClaims, _, _>(&fetcher);
                let info: CoreUserInfoClaims = asked.await.map_err(|_| UpstreamRefused::Token)?;
                said_by_user_info(&info).ok_or(UpstreamRefused::Claims)?
            }
        };
        let (issuer, subject) = (upstream.issuer.as_str(), claims.subject().as_str());
        if subject.is_empty() || subject.len() > MAX_SUBJECT_BYTES {
            return Err(UpstreamRefused::Token);
        }
        Ok(Kept {
            given_name: said.given_name,
            family_name: said.family_name,
            birthdate: said.birthdate,
            sex: said.sex.code(),
            nationalities: vec![NO_NATIONALITY.to_owned()],
            assurance: upstream.assurance.text().to_owned(),
            number: KeptNumber::Upstream {
                issuer: issuer.to_owned(),
                subject: subject.to_owned(),
            },
        })
    }
}

impl Upstream {
    fn open(config: &UpstreamConfig) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let named = (1..=32).contains(&config.id.len()) && config.id.bytes().all(plain);
        let url = Url::parse(&config.issuer).ok()?;
        let safe = url.scheme() == "https" || url.scheme() == "http" && is_loopback(&url);
        let short = config.issuer.len() <= MAX_ISSUER_BYTES && !config.client_id.is_empty();
        let secret = std::fs::read_to_string(&config.client_secret_file).ok()?;
        let assurance = Assurance::parse(&config.assurance).ok()?;
        let sound = named && safe && short && assurance != Assurance::High;
        sound.then_some(Self {
            id: config.id.clone(),
            issuer: IssuerUrl::new(config.issuer.clone()).ok()?,
            client_id: ClientId::new(config.client_id.clone()),
            client_secret: ClientSecret::new(secret.trim().to_owned()),
            assurance,
            scopes: config.scopes.iter().cloned().map(Scope::new).collect(),
            described: Mutex::default(),
        })
    }

    fn described_at(&self, now_s: u64) -> Option<CoreProviderMetadata> {
        let described = self.described.lock();
        let described = described.unwrap_or_else(PoisonError::into_inner);
        let (metadata, at_s) = described.as_ref()?;
        (now_s.abs_diff(*at_s) < METADATA_LIFE_S).then(|| metadata.clone())
    }

    fn describe(&self, described: Option<(CoreProviderMetadata, u64)>) {
        let mut known = self
            .described
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *known = described;
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(url::Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        _ => false,
    }
}

fn verified(
    client: &RelyingParty,
    tokens: &CoreTokenResponse,
    nonce: &Nonce,
) -> Result<CoreIdTokenClaims, ClaimsVerificationError> {
    let missing = || ClaimsVerificationError::Other("no ID token".to_owned());
    let token = tokens.id_token().ok_or_else(missing)?;
    let verifier = client.id_token_verifier().set_allowed_algs(ALGORITHMS);
    token.claims(&verifier, nonce).cloned()
}

/// What a provider says of a person.
struct Said {
    given_name: String,
    family_name: String,
    birthdate: String,
    sex: Sex,
}

macro_rules! said {
    ($claims:expr) => {{
        let claims = $claims;
        let given = claims.given_name().and_then(|name| name.get(None));
        let family = claims.family_name().and_then(|name| name.get(None));
        said(
            given.map(|name| name.as_str()),
            family.map(|name| name.as_str()),
            claims.birthdate().map(|birthdate| birthdate.as_str()),
            claims.gender().map(|gender| gender.as_str()),
        )
    }};
}

fn said_of(claims: &CoreIdTokenClaims) -> Option<Said> {
    said!(claims)
}

fn said_by_user_info(claims: &CoreUserInfoClaims) -> Option<Said> {
    said!(claims)
}

/// A name, where there is one; and a birth date with its year, month and day (OpenID Connect Core §5.1 lets
/// providers leave parts of it out).
fn said(
    given_name: Option<&str>,
    family_name: Option<&str>,
    birthdate: Option<&str>,
    gender: Option<&str>,
) -> Option<Said> {
    if given_name.is_none() && family_name.is_none() {
        return None;
    }
    let name = |name: Option<&str>| {
        let name = name.unwrap_or(NO_NAME).trim();
        let sound = (1..=256).contains(&name.len()) && !name.chars().any(char::is_control);
        sound.then(|| name.to_owned())
    };
    let birthdate = birthdate?;
    let is_full = birthdate.len() == 10
        && !birthdate.starts_with("0000")
        && birthdate.bytes().enumerate().all(|(at, b)| match at {
            4 | 7 => b == b'-',
            _ => b.is_ascii_digit(),
        });
    Some(Said {
        given_name: name(given_name)?,
        family_name: name(family_name)?,
        birthdate: is_full.then(|| birthdate.to_owned())?,
        sex: match gender {
            Some("male") => Sex::Male,
            Some("female") => Sex::Female,
            _ => Sex::NotKnown,
        },
    })
}

/// Why a request to a provider failed; its text goes nowhere.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    #[error("the answer is too large")]
    TooLarge,
    #[error(transparent)]
    Form(#[from] openidconnect::http::Error),
}

type FetchFuture = Pin<Box<dyn Future<Output = Result<HttpResponse, FetchError>> + Send>>;

async fn fetch(http: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, FetchError> {
    let request = reqwest::Request::try_from(request)?;
    let mut answer = http.execute(request).await?;
    let mut response = openidconnect::http::Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        response = response.header(name, value);
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(FetchError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(response.body(body)?)
}

/// The body of `POST /v1/upstreams/{id}/logins`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Begin {
    /// Where the wallet waits.
    pub redirect_uri: String,
    /// Base64url of the SHA-256 of the wallet's verifier.
    pub challenge: String,
}

/// What a provider's browser brings.
#[derive(Deserialize)]
pub(crate) struct Returned {
    #[serde(default)]
    state: String,
    code: Option<String>,
    iss: Option<String>,
}

/// The body of `POST /v1/upstreams/identity`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shown {
    ticket: String,
    verifier: String,
}

impl Authority {
    /// Begins a login: the address of the provider's page.
    pub(crate) async fn begin_upstream(
        &self,
        id: &str,
        begin: &Begin,
    ) -> Result<Url, UpstreamRefused> {
        let upstream = self.upstreams.find(id)?;
        let redirect = Url::parse(&begin.redirect_uri).ok().filter(|url| {
            let plain = url.query().is_none()
                && url.fragment().is_none()
                && url.username().is_empty()
                && url.password().is_none();
            let at = url.scheme() == "http" && is_loopback(url) && url.port().is_some();
            at && plain && begin.redirect_uri.len() <= 256
        });
        let redirect = redirect.ok_or(UpstreamRefused::Redirect)?;
        let b64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if begin.challenge.len() != 43 || !begin.challenge.bytes().all(b64) {
            return Err(UpstreamRefused::Redirect);
        }
        if self.store.logins().await? >= MAX_LOGINS {
            return Err(UpstreamRefused::Busy);
        }
        let now_s = self.clock.now_s();
        let (client, _) = self.upstreams.relying_party(upstream, now_s).await?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let request = client.authorize_url(
            CoreAuthenticationFlow::AuthorizationCode,
            CsrfToken::new_random,
            Nonce::new_random,
        );
        let request = request.add_scopes(upstream.scopes.clone());
        let (url, state, nonce) = request.set_pkce_challenge(challenge).url();
        let begun = Begun {
            upstream: upstream.id.clone(),
            nonce: nonce.secret().clone(),
            verifier: verifier.into_secret(),
            challenge: begin.challenge.clone(),
            redirect_uri: redirect.into(),
        };
        let state = state.secret();
        let sealed = self.foreigners.seal(&begun_name(state), &begun);
        let sealed = sealed.ok_or(UpstreamRefused::Internal)?;
        let expires_s = now_s + LOGIN_LIFE_S;
        self.store.keep_login(state, &sealed, expires_s).await?;
        Ok(url)
    }

    /// Ends a login that came back as one of the provider `id`: where the browser goes on to, at the
    /// wallet.
    pub(crate) async fn end_upstream(
        &self,
        id: &str,
        returned: &Returned,
    ) -> Result<Url, UpstreamRefused> {
        let now_s = self.clock.now_s();
        let state = returned.state.as_str();
        if state.is_empty() || state.len() > MAX_TEXT {
            return Err(UpstreamRefused::State);
        }
        // Used up before anything else: a state or a code that comes twice finds nothing.
        let sealed = self.store.take_login(state, now_s).await?;
        let begun: Option<Begun> =
            sealed.and_then(|sealed| self.foreigners.open(&begun_name(state), &sealed));
        let begun = begun.ok_or(UpstreamRefused::State)?;
        let mut back = Url::parse(&begun.redirect_uri).map_err(|_| UpstreamRefused::Internal)?;
        let (name, value) = match self.ticket(id, &begun, returned, now_s).await {
            Ok(ticket) => ("ticket", ticket),
            Err(refusal) => {
                let problem = refused("upstream", refusal.problem());
                ("error", problem.code().to_owned())
            }
        };
        back.query_pairs_mut().append_pair(name, &value);
        Ok(back)
    }

    async fn ticket(
        &self,
        id: &str,
        begun: &Begun,
        returned: &Returned,
        now_s: u64,
    ) -> Result<String, UpstreamRefused> {
        let upstream = self.upstreams.find(&begun.upstream)?;
        // By where it came back to, and by RFC 9207, where it is said.
        let other = returned
            .iss
            .as_ref()
            .is_some_and(|iss| iss != upstream.issuer.as_str());
        if other || id != begun.upstream {
            return Err(UpstreamRefused::Issuer);
        }
        let code = returned.code.as_deref().ok_or(UpstreamRefused::Denied)?;
        if code.len() > MAX_TEXT {
            return Err(UpstreamRefused::Code);
        }
        let kept = self
            .upstreams
            .identify(upstream, begun, code, now_s)
            .await?;
        let ticket = random_secret()?;
        let content = Ticket {
            challenge: begun.challenge.clone(),
            kept,
        };
        let sealed = self.foreigners.seal(&ticket_name(&ticket), &content);
        let sealed = sealed.ok_or(UpstreamRefused::Internal)?;
        let expires_s = now_s + TICKET_LIFE_S;
        self.store.keep_login(&ticket, &sealed, expires_s).await?;
        metrics::counter!("authority_upstream_logins_total").increment(1);
        Ok(ticket)
    }

    /// Issuer and subject of a login that is over, for the wallet that began it.
    pub(crate) async fn identity(
        &self,
        shown: &Shown,
    ) -> Result<(String, String), UpstreamRefused> {
        let sealed = self.store.login(&shown.ticket, self.clock.now_s()).await?;
        let kept = sealed.and_then(|sealed| {
            self.foreigners
                .open_ticket(&shown.ticket, &sealed, &shown.verifier)
        });
        match kept.map(|kept| kept.number.clone()) {
            Some(KeptNumber::Upstream { issuer, subject }) => Ok((issuer, subject)),
            _ => Err(UpstreamRefused::Ticket),
        }
    }
}

fn begun_name(state: &str) -> String {
    format!("login/{state}")
}

/// The routes, each with a limit for one source.
pub(crate) fn router(authority: Arc<Authority>, rate: RateLimit) -> Router {
    let routes = Router::new()
        .route("/v1/upstreams/{id}/logins", post(begin))
        .route("/v1/upstreams/identity", post(identity))
        .route(&format!("{CALLBACK}/{{id}}"), get(callback))
        .with_state(authority);
    limit_rate(routes, rate)
}

type Service = State<Arc<Authority>>;

/// Begins a foreigner's login at an identity provider.
#[utoipa::path(post, path = "/v1/upstreams/{id}/logins", tag = "enrolment",
    params(("id" = String, Path)),
    request_body(content_type = "application/json", description = "{redirect_uri, challenge}: where the wallet waits on loopback, and base64url of the SHA-256 of its verifier"),
    responses(
        (status = 200, description = "{authorization_url, expires_in}", body = Object),
        (status = 400, description = "upstream.unknown or upstream.redirect"),
        (status = 429, description = "request.rate"),
        (status = 503, description = "upstream.busy or upstream.unavailable"),
    ))]
async fn begin(
    State(authority): Service,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    let begin: Begin = read_json(&body)?;
    match authority.begin_upstream(&id, &begin).await {
        Ok(url) => {
            let body = json!({"authorization_url": url.as_str(), "expires_in": LOGIN_LIFE_S});
            Ok(Json(body).into_response())
        }
        Err(refusal) => Err(refused("upstream", refusal.problem())),
    }
}

/// Where an identity provider sends the browser back to.
#[utoipa::path(get, path = "/upstream/callback/{id}", tag = "enrolment",
    params(("id" = String, Path), ("state" = String, Query), ("code" = Option<String>, Query), ("iss" = Option<String>, Query)),
    responses(
        (status = 303, description = "to the wallet on loopback, with ticket or error"),
        (status = 400, description = "upstream.state"),
        (status = 429, description = "request.rate"),
    ))]
async fn callback(
    State(authority): Service,
    Path(id): Path<String>,
    returned: Query<Returned>,
) -> Result<Response, Problem> {
    let ended = authority.end_upstream(&id, &returned).await;
    let back = ended.map_err(|refusal| refused("upstream", refusal.problem()))?;
    let location = HeaderValue::from_str(back.as_str()).map_err(|_| Problem::internal())?;
    Ok((StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response())
}

/// Who a login was, for the wallet that began it.
#[utoipa::path(post, path = "/v1/upstreams/identity", tag = "enrolment",
    request_body(content_type = "application/json", description = "{ticket, verifier}"),
    responses(
        (status = 200, description = "{issuer, subject}", body = Object),
        (status = 400, description = "upstream.ticket"),
        (status = 429, description = "request.rate"),
    ))]
async fn identity(State(authority): Service, body: Bytes) -> Result<Response, Problem> {
    let shown: Shown = read_json(&body)?;
    match authority.identity(&shown).await {
        Ok((issuer, subject)) => {
            Ok(Json(json!({"issuer": issuer, "subject": subject})).into_response())
        }
        Err(refusal) => Err(refused("upstream", refusal.problem())),
    }
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(begin, callback, identity))]
pub(crate) struct Api;
