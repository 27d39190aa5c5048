//! The routes of OpenID4VCI 1.0 and its authorization server (spec/issuing.md).
//!
//! | route | what |
//! | --- | --- |
//! | `POST /par` | a request to be authorized, pushed by the wallet |
//! | `GET`, `POST /authorize` | the page on which the person logs in with evidence |
//! | `POST /token`, `/nonce` | tokens and nonces |
//! | `POST /credential`, `/deferred_credential`, `/notification` | credentials, and what comes after |
//! | `GET /.well-known/…` | `openid-credential-issuer`, `oauth-authorization-server`, `jwt-vc-issuer` |
//! | `GET /ca.pem` | the root above the PID key's certificate |

use askama::Template;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use realdid_credential::jose::Jwk;
use realdid_credential::pid;
use realdid_exchange::jwe::EncryptionKey;
use realdid_exchange::suites;
use realdid_exchange::tag::{Evidence, MAX_EVIDENCE_BYTES};
use realdid_exchange::vci::authorization::AuthorizationRequest;
use realdid_exchange::vci::{
    IssuerMetadata, LONG_CONFIGURATION, MDOC_CONFIGURATION, PassRequest, ServerMetadata, VciError,
    X5C_CONFIGURATION,
};
use realdid_serve::{Problem, RateLimit, limit_rate};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use url::Url;
use zeroize::Zeroizing;

use crate::enrolment::EnrolError;
use crate::issuing::{IssueError, Issued, NonceFor};
use crate::keys::DocumentKey;
use crate::oauth::{Caller, PUSHED_LIFE_S};
use crate::service::{Authority, refused};
use crate::text::random;

/// The media type of what is signed or encrypted.
const JWT: HeaderValue = HeaderValue::from_static("application/jwt");
const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

type Service = State<Arc<Authority>>;

/// The routes. Where somebody could guess evidence, one source has a limit.
pub(crate) fn router(authority: Arc<Authority>, rate: RateLimit) -> Router {
    let limited = Router::new()
        .route("/authorize", get(authorize).post(log_in))
        .route("/par", post(par))
        .with_state(authority.clone());
    Router::new()
        .route("/token", post(token))
        .route("/nonce", post(nonce))
        .route("/credential", post(credential))
        .route("/deferred_credential", post(deferred))
        .route("/notification", post(notification))
        .route(
            "/.well-known/openid-credential-issuer",
            get(issuer_metadata),
        )
        .route(
            "/.well-known/oauth-authorization-server",
            get(server_metadata),
        )
        .route("/.well-known/jwt-vc-issuer", get(key_metadata))
        .route("/ca.pem", get(root_certificate))
        .with_state(authority)
        .merge(limit_rate(limited, rate))
}

/// What a client that speaks DPoP is told for its next proof (RFC 9449 §8.2).
pub(crate) fn with_nonce(
    authority: &Authority,
    caller: &Caller,
    mut response: Response,
) -> Response {
    if caller.speaks_dpop()
        && let Ok(nonce) = authority.nonce_for(NonceFor::Dpop)
        && let Ok(nonce) = HeaderValue::from_str(&nonce)
    {
        response.headers_mut().insert(DPOP_NONCE, nonce);
    }
    response
}

/// The answer to what an endpoint refuses. `denied` is its word for "not this holder".
pub(crate) fn refusal(
    part: &'static str,
    error: &IssueError,
    denied: &'static str,
    is_resource: bool,
) -> Response {
    let answer = error.answer(denied);
    let _counted = refused(part, answer.problem().clone());
    let code = answer.error();
    let mut response = answer.into_response();
    // RFC 9449 §7.1: where a token is shown, what is wrong with it is said in this header.
    let of_token = ["invalid_token", "use_dpop_nonce", "invalid_dpop_proof"];
    if is_resource && of_token.contains(&code) {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        let challenge = match code {
            "invalid_token" => "Bearer error=\"invalid_token\"".to_owned(),
            code => format!("DPoP error=\"{code}\", algs=\"ES256 EdDSA\""),
        };
        if let Ok(challenge) = HeaderValue::from_str(&challenge) {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
        }
    }
    response
}

/// Pushed authorization requests (RFC 9126).
#[utoipa::path(post, path = "/par", tag = "OpenID4VCI",
    request_body(content_type = "application/x-www-form-urlencoded", description = "response_type, client_id, redirect_uri, code_challenge with S256, and scope or authorization_details; headers DPoP, OAuth-Client-Attestation and OAuth-Client-Attestation-PoP"),
    responses(
        (status = 201, description = "{request_uri, expires_in}", body = Object),
        (status = 400, description = "invalid_request, invalid_scope, invalid_dpop_proof or use_dpop_nonce"),
        (status = 401, description = "invalid_client"),
        (status = 429, description = "request.rate"),
    ))]
async fn par(State(authority): Service, headers: HeaderMap, body: Bytes) -> Response {
    let caller = Caller::of(&headers);
    let response = match authority.pushed(&caller, &body).await {
        Ok(pushed) => (StatusCode::CREATED, Json(pushed)).into_response(),
        Err(error) => refusal("par", &error, "access_denied", false),
    };
    with_nonce(&authority, &caller, response)
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    client_id: String,
    #[serde(default)]
    request_uri: String,
}

/// What the page's form sends.
struct Login {
    client_id: String,
    request_uri: String,
    evidence: Zeroizing<String>,
    decline: Option<String>,
}

#[derive(Template)]
#[template(path = "authorize.html")]
struct LoginPage<'a> {
    name: &'a str,
    client: &'a str,
    /// Where the browser goes back to, as people read it.
    target: String,
    credentials: Vec<&'a str>,
    request_uri: &'a str,
    minutes: u64,
    synthetic: bool,
    problem: Option<&'a Problem>,
}

/// A page, whose form may end at the wallet: browsers hold a form's redirect against its policy.
fn login_page(
    authority: &Authority,
    request: &AuthorizationRequest,
    request_uri: &str,
    problem: Option<&Problem>,
) -> Response {
    let target = Url::parse(&request.redirect_uri).ok();
    let target = target.map(|url| match url.host_str() {
        Some(_) => url.origin().ascii_serialization(),
        None => format!("{}:", url.scheme()),
    });
    let target = target.unwrap_or_default();
    let credentials = request.configurations.iter();
    let page = LoginPage {
        name: &authority.name,
        client: &request.client_id,
        credentials: credentials.map(|id| words(id)).collect(),
        request_uri,
        minutes: PUSHED_LIFE_S / 60,
        synthetic: authority.is_synthetic(),
        problem,
        target: target.clone(),
    };
    let Ok(body) = page.render() else {
        return Problem::internal().into_response();
    };
    let policy = format!(
        "default-src 'none'; style-src 'self'; form-action 'self' {target}; base-uri 'none'; \
         frame-ancestors 'none'"
    );
    let status = problem.map_or(StatusCode::OK, Problem::status);
    let mut response = (status, Html(body)).into_response();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        response
            .headers_mut()
            .insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// What a credential is called on the page.
fn words(configuration: &str) -> &'static str {
    match configuration {
        MDOC_CONFIGURATION => "Person identification, as a mobile document",
        X5C_CONFIGURATION => "Person identification, with a certificate",
        LONG_CONFIGURATION => "Person identification that lives long",
        _ => "Person identification",
    }
}

/// The page on which the person logs in (RFC 6749 §3.1): the browser brings the name of a pushed
/// request.
#[utoipa::path(get, path = "/authorize", tag = "OpenID4VCI",
    params(("client_id" = String, Query), ("request_uri" = String, Query)),
    responses(
        (status = 200, description = "a page with a form", content_type = "text/html", body = String),
        (status = 400, description = "vci.pushed_unknown"),
        (status = 429, description = "request.rate"),
    ))]
async fn authorize(State(authority): Service, asked: Query<Asked>) -> Response {
    match authority.asked(&asked.client_id, &asked.request_uri).await {
        Ok(request) => login_page(&authority, &request, &asked.request_uri, None),
        // Nobody is sent anywhere by a request that was not pushed.
        Err(error) => refusal("authorize", &error, "access_denied", false),
    }
}

/// The page's form: the person shows evidence, or declines.
#[utoipa::path(post, path = "/authorize", tag = "OpenID4VCI",
    request_body(content_type = "application/x-www-form-urlencoded", description = "client_id, request_uri, and evidence (the evidence file's content) or decline"),
    responses(
        (status = 303, description = "back to the wallet with code, state and iss, or error"),
        (status = 400, description = "vci.pushed_unknown, or the page again: request.malformed, enrolment.unknown", content((String = "text/html"), (Object = "application/json"))),
        (status = 403, description = "the page again: evidence.refused or enrolment.suspended", content_type = "text/html", body = String),
        (status = 429, description = "request.rate"),
        (status = 503, description = "the page again: register.unavailable", content_type = "text/html", body = String),
    ))]
async fn log_in(State(authority): Service, body: Bytes) -> Response {
    let form = match body.len() {
        0..=16_384 => Login::read(&body),
        _ => None,
    };
    let Some(login) = form else {
        let error = VciError::AuthorizationRequest.into();
        return refusal("authorize", &error, "access_denied", false);
    };
    let request_uri = login.request_uri.as_str();
    let request = match authority.asked(&login.client_id, request_uri).await {
        Ok(request) => request,
        Err(error) => return refusal("authorize", &error, "access_denied", false),
    };
    let evidence = read_evidence(&login.evidence);
    let answered = match (&login.decline, evidence) {
        (Some(_), _) => authority.decline(&request, request_uri).await,
        (None, Some(evidence)) => authority.log_in(&request, request_uri, &evidence).await,
        (None, None) => {
            let problem = Problem::bad_request(
                "request.malformed",
                "the evidence is the content of an evidence file",
                "paste the whole file",
            );
            let problem = refused("authorize", problem);
            return login_page(&authority, &request, request_uri, Some(&problem));
        }
    };
    match answered {
        Ok(location) => match HeaderValue::from_str(&location) {
            Ok(location) => (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response(),
            Err(_) => Problem::internal().into_response(),
        },
        Err(error) => {
            let problem = match error {
                IssueError::Register(refusal) => EnrolError::Register(refusal).problem(),
                error => error.answer("access_denied").problem().clone(),
            };
            let problem = refused("authorize", problem);
            login_page(&authority, &request, request_uri, Some(&problem))
        }
    }
}

impl Login {
    fn read(body: &[u8]) -> Option<Self> {
        let mut login = Self {
            client_id: String::new(),
            request_uri: String::new(),
            evidence: Zeroizing::new(String::new()),
            decline: None,
        };
        for (name, value) in url::form_urlencoded::parse(body) {
            match name.as_ref() {
                "client_id" => login.client_id = value.into_owned(),
                "request_uri" => login.request_uri = value.into_owned(),
                "evidence" => login.evidence = Zeroizing::new(value.into_owned()),
                "decline" => login.decline = Some(value.into_owned()),
                _ => return None,
            }
        }
        Some(login)
    }
}

fn read_evidence(text: &str) -> Option<Evidence> {
    let text = text.trim();
    if text.len() > MAX_EVIDENCE_BYTES {
        return None;
    }
    serde_json::from_str(text).ok()
}

/// Token endpoint (OpenID4VCI 1.0 §6).
#[utoipa::path(post, path = "/token", tag = "OpenID4VCI",
    request_body(content_type = "application/x-www-form-urlencoded", description = "grant_type with pre-authorized_code and tx_code; or code, redirect_uri and code_verifier; or refresh_token; header DPoP"),
    responses(
        (status = 200, description = "{access_token, token_type, expires_in, refresh_token, authorization_details}", body = Object),
        (status = 400, description = "invalid_request, invalid_grant, unsupported_grant_type, invalid_dpop_proof or use_dpop_nonce"),
        (status = 401, description = "invalid_client"),
    ))]
async fn token(State(authority): Service, headers: HeaderMap, body: Bytes) -> Response {
    let caller = Caller::of(&headers);
    let response = match authority.token(&caller, &body).await {
        Ok(response) => Json(response).into_response(),
        Err(error) => refusal("token", &error, "invalid_grant", false),
    };
    with_nonce(&authority, &caller, response)
}

/// Nonce endpoint (OpenID4VCI 1.0 §7).
#[utoipa::path(post, path = "/nonce", tag = "OpenID4VCI", responses((status = 200, description = "{c_nonce}", body = Object)))]
async fn nonce(State(authority): Service) -> Response {
    match authority.nonce() {
        Ok(nonce) => Json(nonce).into_response(),
        Err(error) => error.answer("server_error").into_response(),
    }
}

/// An answer, encrypted where the request asked for it (OpenID4VCI 1.0 §10).
fn sealed(body: &impl Serialize, key: Option<&EncryptionKey>) -> Result<Response, IssueError> {
    let Some(key) = key else {
        return Ok(Json(body).into_response());
    };
    let plain = serde_json::to_vec(body).map_err(|_| IssueError::Stopped)?;
    let sealed = key
        .encrypt(&plain, &random()?, &random()?, None)
        .map_err(|_| VciError::Encryption)?;
    Ok(([(header::CONTENT_TYPE, JWT)], sealed).into_response())
}

fn issued(issued: &Issued, key: Option<&EncryptionKey>) -> Result<Response, IssueError> {
    match issued {
        Issued::Now(copies) => sealed(copies, key),
        Issued::Later(later) => {
            let mut response = sealed(later, key)?;
            *response.status_mut() = StatusCode::ACCEPTED;
            Ok(response)
        }
    }
}

/// The body of a request, opened where it is encrypted (OpenID4VCI 1.0 §10).
fn opened(authority: &Authority, headers: &HeaderMap, body: Bytes) -> Result<Bytes, IssueError> {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()?.split(';').next());
    if !kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/jwt")) {
        return Ok(body);
    }
    let refused = VciError::RequestEncryption;
    let key = authority.keys.request.as_ref().ok_or(refused)?;
    let text = std::str::from_utf8(&body).map_err(|_| refused)?;
    let opened = key.decrypt(text.trim_ascii()).map_err(|_| refused)?;
    Ok(opened.into())
}

/// Credential endpoint (OpenID4VCI 1.0 §8).
#[utoipa::path(post, path = "/credential", tag = "OpenID4VCI",
    request_body(content_type = "application/json", description = "{credential_configuration_id or credential_identifier, proofs: {jwt or attestation: […]}, credential_response_encryption}, or {credential_configuration_id: realpass, epoch, proofs: {rdid_realpass: […]}}; as application/jwt a JWE of that to the key in the metadata; Authorization: Bearer or DPoP with the access token"),
    responses(
        (status = 200, description = "{credentials: [{credential}], notification_id}, one copy for each proof, or one RealPass; a JWE where encryption was asked for", content((Object = "application/json"), (String = "application/jwt"))),
        (status = 202, description = "{transaction_id, interval}: the register is silent, ask later", content((Object = "application/json"), (String = "application/jwt"))),
        (status = 400, description = "an error code of OpenID4VCI 1.0 §8.3.1"),
        (status = 401, description = "invalid_token, invalid_dpop_proof or use_dpop_nonce"),
        (status = 503, description = "issue.busy, issuer.pass_key, register.unavailable or ledger.unavailable"),
    ))]
async fn credential(State(authority): Service, headers: HeaderMap, body: Bytes) -> Response {
    let caller = Caller::of(&headers);
    let answer = match opened(&authority, &headers, body) {
        Ok(body) if PassRequest::is_asked(&body) => authority
            .pass(&caller, &body)
            .await
            .map(|body| Json(body).into_response()),
        Ok(body) => match authority.credential(&caller, &body).await {
            Ok((answer, key)) => issued(&answer, key.as_ref()),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    let response = answer
        .unwrap_or_else(|error| refusal("credential", &error, "credential_request_denied", true));
    with_nonce(&authority, &caller, response)
}

/// Deferred credential endpoint (OpenID4VCI 1.0 §9).
#[utoipa::path(post, path = "/deferred_credential", tag = "OpenID4VCI",
    request_body(content_type = "application/json", description = "{transaction_id, credential_response_encryption}; Authorization as at /credential"),
    responses(
        (status = 200, description = "as at /credential", content((Object = "application/json"), (String = "application/jwt"))),
        (status = 202, description = "{transaction_id, interval}: still not ready", content((Object = "application/json"), (String = "application/jwt"))),
        (status = 400, description = "invalid_transaction_id, invalid_credential_request or credential_request_denied"),
        (status = 401, description = "invalid_token, invalid_dpop_proof or use_dpop_nonce"),
    ))]
async fn deferred(State(authority): Service, headers: HeaderMap, body: Bytes) -> Response {
    let caller = Caller::of(&headers);
    let answer = match opened(&authority, &headers, body) {
        Ok(body) => match authority.deferred(&caller, &body).await {
            Ok((answer, key)) => issued(&answer, key.as_ref()),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    let response = answer
        .unwrap_or_else(|error| refusal("deferred", &error, "credential_request_denied", true));
    with_nonce(&authority, &caller, response)
}

/// Notification endpoint (OpenID4VCI 1.0 §11).
#[utoipa::path(post, path = "/notification", tag = "OpenID4VCI",
    request_body(content_type = "application/json", description = "{notification_id, event}; Authorization as at /credential"),
    responses(
        (status = 204, description = "taken note of"),
        (status = 400, description = "invalid_notification_id or invalid_notification_request"),
        (status = 401, description = "invalid_token, invalid_dpop_proof or use_dpop_nonce"),
    ))]
async fn notification(State(authority): Service, headers: HeaderMap, body: Bytes) -> Response {
    let caller = Caller::of(&headers);
    let response = match authority.notified(&caller, &body).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => refusal("notification", &error, "invalid_token", true),
    };
    with_nonce(&authority, &caller, response)
}

/// Credential issuer metadata (OpenID4VCI 1.0 §12.2), signed where that is asked for.
#[utoipa::path(get, path = "/.well-known/openid-credential-issuer", tag = "OpenID4VCI", responses((status = 200, description = "issuer metadata; a JWT for Accept: application/jwt", content((Object = "application/json"), (String = "application/jwt")))))]
async fn issuer_metadata(State(authority): Service, headers: HeaderMap) -> Response {
    let own = &authority.keys;
    let bound_to = suites::holder_algs(&authority.ledger.genesis().parameters);
    let metadata = IssuerMetadata::of_authority(
        &authority.url,
        pid::VCT,
        &authority.name,
        (own.pid.key.alg(), &bound_to),
    );
    let metadata = match &own.outside {
        Some(_) => metadata.with_outside(pid::VCT),
        None => metadata,
    };
    let metadata = match authority.organisations {
        Some(_) => metadata.with_organisations(),
        None => metadata,
    };
    let metadata = match &authority.long_lived {
        Some(_) => metadata.with_long_lived(),
        None => metadata,
    };
    let metadata = match &own.request {
        Some(key) => metadata.opens_requests(key),
        None => metadata,
    };
    let accepted = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok());
    let wants_jwt = accepted.is_some_and(|accepted| {
        let mut types = accepted.split(',').map(|one| one.split(';').next());
        types.any(|one| one.is_some_and(|one| one.trim() == "application/jwt"))
    });
    let Some((key, certificates)) = own.certified().filter(|_| wants_jwt) else {
        return Json(metadata).into_response();
    };
    let signed = metadata.sign(&certificates.x5c, authority.clock.now_s(), &key.key);
    match signed {
        Ok(signed) => ([(header::CONTENT_TYPE, JWT)], signed).into_response(),
        Err(_) => refused("metadata", Problem::internal()).into_response(),
    }
}

/// Authorization server metadata (RFC 8414).
#[utoipa::path(get, path = "/.well-known/oauth-authorization-server", tag = "OpenID4VCI", responses((status = 200, description = "server metadata", body = Object)))]
async fn server_metadata(State(authority): Service) -> Json<ServerMetadata> {
    let mut metadata = ServerMetadata::of_authority(&authority.url);
    if authority.attested_only {
        // So that other wallets know before they ask.
        let methods = &mut metadata.token_endpoint_auth_methods_supported;
        methods.retain(|method| method != "none");
    }
    Json(metadata)
}

/// Keys for verifiers that do not read the ledger (SD-JWT VC, issuer metadata).
#[utoipa::path(get, path = "/.well-known/jwt-vc-issuer", tag = "OpenID4VCI", responses((status = 200, description = "{issuer, jwks}", body = Object)))]
async fn key_metadata(State(authority): Service) -> Json<serde_json::Value> {
    let own = &authority.keys;
    let jwk = |pid: &DocumentKey| {
        let mut key = Jwk(pid.key.verifying_key()).to_value();
        key["kid"] = pid.id.to_string().into();
        key["use"] = "sig".into();
        key["alg"] = pid.key.alg().name().into();
        if let Some((_, certificates)) = own.certified().filter(|(key, _)| key.id == pid.id) {
            key["x5c"] = json!(certificates.x5c);
        }
        key
    };
    let keys: Vec<_> = std::iter::once(&own.pid)
        .chain(&own.outside)
        .map(jwk)
        .collect();
    Json(json!({"issuer": authority.url, "jwks": {"keys": keys}}))
}

/// The root above the PID key's certificate, for verifiers that do not read the ledger.
#[utoipa::path(get, path = "/ca.pem", tag = "OpenID4VCI", responses(
    (status = 200, description = "a certificate as PEM", content_type = "application/pem-certificate-chain", body = String),
    (status = 404, description = "authority.no_certificate: its only key is of SM2")))]
async fn root_certificate(State(authority): Service) -> Response {
    let Some(certificates) = &authority.keys.certificates else {
        let problem = Problem::not_found(
            "authority.no_certificate",
            "this authority's key has a certificate",
            "read its key on the ledger",
        );
        return refused("ca", problem).into_response();
    };
    let kind = HeaderValue::from_static("application/pem-certificate-chain");
    let body = certificates.root_pem.clone();
    ([(header::CONTENT_TYPE, kind)], body).into_response()
}

/// This part of the API's description.
#[derive(utoipa::OpenApi)]
#[openapi(paths(
    par,
    authorize,
    log_in,
    token,
    nonce,
    credential,
    deferred,
    notification,
    issuer_metadata,
    server_metadata,
    key_metadata,
    root_certificate
))]
pub(crate) struct Api;
