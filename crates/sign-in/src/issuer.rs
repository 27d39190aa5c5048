//! The relying party's side of OpenID Connect's code flow (OpenID Connect Core §3.1), with PKCE
//! (RFC 7636) and a nonce, by the `openidconnect` library.
//!
//! Discovery is lazy: a service must start, and show its public pages, while its issuer is down.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreErrorResponseType,
    CoreGenderClaim, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm,
    CoreProviderMetadata, CoreRevocableToken, CoreRevocationErrorResponse,
    CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AdditionalClaims, AuthorizationCode, ClaimsVerificationError, Client, ClientId, ClientSecret,
    CsrfToken, EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest,
    HttpResponse, IdTokenFields, IssuerUrl, Nonce, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, RequestTokenError, StandardErrorResponse, StandardTokenResponse, TokenResponse,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::RwLock;

use crate::{SignInConfig, SignInError};

/// Largest answer of an issuer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// Claims of the ID token beyond the standard's required ones.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct MoreClaims {
    #[serde(flatten)]
    claims: Map<String, Value>,
}

impl AdditionalClaims for MoreClaims {}

type Tokens = StandardTokenResponse<
    IdTokenFields<
        MoreClaims,
        EmptyExtraTokenFields,
        CoreGenderClaim,
        CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm,
    >,
    CoreTokenType,
>;

type RelyingParty = Client<
    MoreClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Tokens,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// A login that a visitor started here. Its secrets stay on the server.
#[derive(Clone)]
pub struct Started {
    pub state: String,
    nonce: String,
    pkce_verifier: String,
}

/// Who signed in: the issuer's word, verified.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Visitor {
    pub sub: String,
    /// Those of the claims asked for that the issuer gave.
    #[serde(flatten)]
    pub claims: Map<String, Value>,
}

/// Why a login could not be started or finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IssuerError {
    /// The issuer does not answer, or not as an issuer.
    Down,
    /// The issuer refused the code: used before, expired, or not ours.
    CodeRefused,
    /// The ID token is not valid for this login.
    TokenInvalid,
}

/// The issuer, as this service knows it.
pub struct Issuer {
    url: IssuerUrl,
    client_id: ClientId,
    client_secret: ClientSecret,
    redirect: RedirectUrl,
    claims: Vec<String>,
    http: reqwest::Client,
    metadata: RwLock<Option<CoreProviderMetadata>>,
}

impl Issuer {
    pub fn new(config: &SignInConfig) -> Result<Self, SignInError> {
        let redirect = format!("{}/callback", config.public_url.trim_end_matches('/'));
        // Following a redirect of an issuer would let it reach what only this server can reach.
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(3))
            .timeout(Duration::from_secs(10))
            .build()
            .map_err(|_| {
                SignInError::NoClient("look at the system's TLS certificates".to_owned())
            })?;
        Ok(Self {
            url: IssuerUrl::new(config.issuer.clone())
                .map_err(|_| SignInError::BadUrl { key: "issuer" })?,
            client_id: ClientId::new(config.client_id.clone()),
            client_secret: ClientSecret::new(config.client_secret.clone()),
            redirect: RedirectUrl::new(redirect)
                .map_err(|_| SignInError::BadUrl { key: "public_url" })?,
            claims: config.claims.clone(),
            http,
            metadata: RwLock::new(None),
        })
    }

    /// The address of the issuer's login page for a new login, and what must be remembered of it.
    pub async fn start(&self) -> Result<(url::Url, Started), IssuerError> {
        let metadata = self.metadata().await?;
        let client = self.relying_party(metadata);
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let mut request = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                CsrfToken::new_random,
                Nonce::new_random,
            )
            .set_pkce_challenge(challenge);
        if !self.claims.is_empty() {
            request = request.add_extra_param("claims", claims_request(&self.claims));
        }
        let (url, state, nonce) = request.url();
        let started = Started {
            state: state.into_secret(),
            nonce: nonce.secret().clone(),
            pkce_verifier: verifier.into_secret(),
        };
        Ok((url, started))
    }

    /// Exchanges the code of a login that was started here and verifies the ID token: signature by
    /// the issuer's keys, issuer, audience, expiry, nonce.
    pub async fn finish(&self, started: Started, code: String) -> Result<Visitor, IssuerError> {
        let client = self.relying_party(self.metadata().await?);
        let tokens = client
            .exchange_code(AuthorizationCode::new(code))
            .map_err(|_| IssuerError::Down)?
            .set_pkce_verifier(PkceCodeVerifier::new(started.pkce_verifier))
            .request_async(&self.fetcher())
            .await
            .map_err(|error| match error {
                RequestTokenError::ServerResponse(_) => IssuerError::CodeRefused,
                _ => IssuerError::Down,
            })?;
        let nonce = Nonce::new(started.nonce);
        match self.verify(&client, &tokens, &nonce) {
            Err(ClaimsVerificationError::SignatureVerification(_)) => {
                // The issuer may have rotated its keys since they were fetched.
                let client = self.relying_party(self.discover().await?);
                self.verify(&client, &tokens, &nonce)
            }
            verified => verified,
        }
        .map_err(|_| IssuerError::TokenInvalid)
    }

    /// Whether a visitor could sign in now.
    pub async fn is_known(&self) -> bool {
        self.metadata().await.is_ok()
    }

    fn verify(
        &self,
        client: &RelyingParty,
        tokens: &Tokens,
        nonce: &Nonce,
    ) -> Result<Visitor, ClaimsVerificationError> {
        let missing = || ClaimsVerificationError::Other("no ID token".to_owned());
        let token = tokens.id_token().ok_or_else(missing)?;
        let claims = token.claims(&client.id_token_verifier(), nonce)?;
        let given = &claims.additional_claims().claims;
        let asked = self
            .claims
            .iter()
            .filter_map(|name| Some((name.clone(), given.get(name)?.clone())));
        Ok(Visitor {
            sub: claims.subject().to_string(),
            claims: asked.collect(),
        })
    }

    /// How `openidconnect` reaches the issuer.
    fn fetcher(&self) -> impl Fn(HttpRequest) -> FetchFuture + use<> {
        let http = self.http.clone();
        move |request| Box::pin(fetch(http.clone(), request))
    }

    fn relying_party(&self, metadata: CoreProviderMetadata) -> RelyingParty {
        RelyingParty::from_provider_metadata(
            metadata,
            self.client_id.clone(),
            Some(self.client_secret.clone()),
        )
        .set_redirect_uri(self.redirect.clone())
    }

    async fn metadata(&self) -> Result<CoreProviderMetadata, IssuerError> {
        if let Some(known) = self.metadata.read().await.as_ref() {
            return Ok(known.clone());
        }
        self.discover().await
    }

    async fn discover(&self) -> Result<CoreProviderMetadata, IssuerError> {
        let found = CoreProviderMetadata::discover_async(self.url.clone(), &self.fetcher())
            .await
            .map_err(|error| {
                tracing::warn!(issuer = %self.url.as_str(), "discovery failed");
                tracing::debug!(%error, "discovery failed");
                IssuerError::Down
            })?;
        *self.metadata.write().await = Some(found.clone());
        Ok(found)
    }
}

/// OpenID Connect Core §5.5: each claim by itself, and the login fails without it.
fn claims_request(claims: &[String]) -> String {
    let asked: Map<String, Value> = claims
        .iter()
        .map(|name| (name.clone(), json!({"essential": true})))
        .collect();
    json!({"id_token": asked}).to_string()
}

/// Why a request to the issuer failed; its text never leaves the debug log.
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
