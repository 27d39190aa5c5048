//! The gate as an OpenID Connect provider: what websites and browsers ask of it over HTTP.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use realdid_exchange::oidc::{
    self, AuthorizationRequest, AuthorizeRefusal, LogoutRequest, OidcError, PUSHED_LIFE_S,
    PushedReference, Spoken, TokenRequest,
};
use serde_json::{Value, json};

use crate::http::{count, header_text, refused_page, see_other, set_cookie, wants_json};
use crate::keys::random;
use crate::logins::Progress;
use crate::now_ms;
use crate::page::{self, SignedOutPage};
use crate::refusal::oauth;
use crate::steps::{Gate, Inner};

pub(crate) fn router() -> Router<Arc<Inner>> {
    Router::new()
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/jwks", get(jwks))
        .route("/par", post(push))
        .route("/authorize", get(authorize).post(authorize_post))
        .route("/token", post(token))
        .route("/userinfo", get(userinfo).post(userinfo))
        .route("/logout", get(logout).post(logout_post))
}

/// The discovery document (OpenID Connect Discovery 1.0).
#[utoipa::path(get, path = "/.well-known/openid-configuration", tag = "openid connect",
    responses((status = 200, description = "provider metadata", body = Object)))]
pub(crate) async fn discovery(State(gate): Gate) -> Json<Value> {
    let mut claims: Vec<String> = gate.clients.iter().flat_map(|c| c.claims.clone()).collect();
    claims.sort();
    Json(oidc::discovery(&gate.issuer, &claims))
}

/// The key that signs ID tokens (RFC 7517).
#[utoipa::path(get, path = "/jwks", tag = "openid connect",
    responses((status = 200, description = "JSON Web Key Set", body = Object)))]
pub(crate) async fn jwks(State(gate): Gate) -> Json<Value> {
    Json(oidc::jwks(&gate.keys.oidc_public()))
}

/// Takes a request before its browser comes (RFC 9126).
#[utoipa::path(post, path = "/par", tag = "openid connect",
    request_body(content = String, content_type = "application/x-www-form-urlencoded",
        description = "the parameters of an authorization request; the client by client_secret_basic or client_secret_post"),
    responses(
        (status = 201, description = "request_uri, expires_in", body = Object),
        (status = 400, description = "invalid_request"),
        (status = 401, description = "invalid_client"),
    ))]
pub(crate) async fn push(State(gate): Gate, headers: HeaderMap, body: Bytes) -> Response {
    let push = || -> Result<String, OidcError> {
        let body = std::str::from_utf8(&body).map_err(|_| OidcError::ParameterMissing)?;
        let authorization = header_text(&headers, header::AUTHORIZATION);
        let request = AuthorizationRequest::parse_pushed(body, authorization, &gate.clients)?;
        let secret = random().map_err(|_| OidcError::Busy)?;
        gate.grants().push(request, &secret, now_ms() / 1000)
    };
    match push() {
        Ok(request_uri) => {
            let body = json!({"request_uri": request_uri, "expires_in": PUSHED_LIFE_S});
            (StatusCode::CREATED, Json(body)).into_response()
        }
        Err(error) => oauth(error).into_response(),
    }
}

/// Starts a login. A browser gets a page; with `Accept: application/json` the answer is
/// `{"request","request_uri","wallet_link","continue_uri","expires_in","checkpoint_age_s"}`. Both set a
/// cookie that binds the login to this browser.
#[utoipa::path(get, path = "/authorize", tag = "openid connect",
    params(
        ("client_id" = String, Query), ("redirect_uri" = String, Query),
        ("response_type" = String, Query, description = "code"),
        ("scope" = String, Query, description = "openid"),
        ("code_challenge" = String, Query), ("code_challenge_method" = String, Query, description = "S256"),
        ("state" = Option<String>, Query), ("nonce" = Option<String>, Query),
        ("claims" = Option<String>, Query, description = "JSON of OpenID Connect Core section 5.5"),
        ("acr_values" = Option<String>, Query), ("max_age" = Option<u32>, Query),
        ("request_uri" = Option<String>, Query, description = "of a pushed request, instead of all but client_id"),
    ),
    responses(
        (status = 200, description = "a page, or JSON", content((String = "text/html"), (Object = "application/json"))),
        (status = 303, description = "to the client, with an error"),
        (status = 400, description = "client or redirect URI unknown", content((String = "text/html"), (Object = "application/json"))),
        (status = 401, description = "client unknown", content((String = "text/html"), (Object = "application/json"))),
        (status = 503, description = "light.stale, registration.unknown, registration.suspended, login.busy",
            content((String = "text/html"), (Object = "application/problem+json"))),
    ))]
pub(crate) async fn authorize(
    State(gate): Gate,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    start_login(&gate, query.as_deref().unwrap_or_default(), &headers)
}

/// The same by POST, as OpenID Connect Core §3.1.2.1 asks.
#[utoipa::path(post, path = "/authorize", tag = "openid connect",
    request_body(content = String, content_type = "application/x-www-form-urlencoded", description = "the parameters of GET"),
    responses(
        (status = 200, description = "a page, or JSON", content((String = "text/html"), (Object = "application/json"))),
        (status = 303, description = "to the client, with an error"),
        (status = 400, description = "client or redirect URI unknown", content((String = "text/html"), (Object = "application/json"))),
        (status = 401, description = "client unknown", content((String = "text/html"), (Object = "application/json"))),
        (status = 503, description = "light.stale, registration.unknown, registration.suspended, login.busy",
            content((String = "text/html"), (Object = "application/problem+json"))),
    ))]
pub(crate) async fn authorize_post(State(gate): Gate, headers: HeaderMap, body: Bytes) -> Response {
    let text = std::str::from_utf8(&body).unwrap_or_default();
    start_login(&gate, text, &headers)
}

fn start_login(gate: &Inner, query: &str, headers: &HeaderMap) -> Response {
    let as_json = wants_json(headers);
    let parsed = match PushedReference::find(query) {
        Some(pushed) => gate
            .grants()
            .take_pushed(&pushed, now_ms() / 1000)
            .map_err(AuthorizeRefusal::Shown),
        None => AuthorizationRequest::parse(query, &gate.clients, &gate.issuer),
    };
    let request = match parsed {
        Ok(request) => request,
        Err(AuthorizeRefusal::Redirected { location, .. }) => return see_other(&location, None),
        Err(AuthorizeRefusal::Shown(error)) if as_json => return oauth(error).into_response(),
        Err(AuthorizeRefusal::Shown(error)) => return refused_page(error.into(), None),
    };
    match gate.open(request.clone()) {
        Ok(login) => {
            let mut response = if as_json {
                login.json(gate)
            } else {
                login.page(gate, Progress::Waiting, None)
            };
            set_cookie(
                &mut response,
                &gate.cookie(&login.id, &login.cookie, gate.login_s),
            );
            response
        }
        Err(refusal) => {
            count(refusal.code);
            if as_json {
                return refusal.problem().into_response();
            }
            // The person sees which rule failed; the website learns of it when they go back.
            refused_page(
                refusal,
                Some(&request.refuse(OidcError::Busy, &gate.issuer)),
            )
        }
    }
}

/// Redeems a code (OpenID Connect Core §3.1.3).
#[utoipa::path(post, path = "/token", tag = "openid connect",
    request_body(content = String, content_type = "application/x-www-form-urlencoded",
        description = "grant_type=authorization_code, code, redirect_uri, code_verifier; the client by client_secret_basic or client_secret_post"),
    responses(
        (status = 200, description = "access_token, id_token, token_type, expires_in", body = Object),
        (status = 400, description = "invalid_grant, invalid_request, unsupported_grant_type"),
        (status = 401, description = "invalid_client"),
    ))]
pub(crate) async fn token(State(gate): Gate, headers: HeaderMap, body: Bytes) -> Response {
    let redeem = || -> Result<Value, OidcError> {
        let body = std::str::from_utf8(&body).map_err(|_| OidcError::ParameterMissing)?;
        let request = TokenRequest::parse(body, header_text(&headers, header::AUTHORIZATION))?;
        let client = request.authenticate(&gate.clients)?;
        let now_s = now_ms() / 1000;
        let proof = dpop_header(&headers)?
            .map(|proof| {
                let url = format!("{}/token", gate.issuer);
                oidc::dpop::verify(proof, "POST", &url, None, now_s)
            })
            .transpose()?;
        let secret = random().map_err(|_| OidcError::Busy)?;
        let redeemed = gate
            .grants()
            .redeem(&request, client, proof.as_ref(), &secret, now_s)?;
        oidc::token_response(&redeemed, &gate.issuer, &gate.keys.oidc, now_s)
    };
    match redeem() {
        Ok(tokens) => ([(header::PRAGMA, "no-cache")], Json(tokens)).into_response(),
        Err(error) => oauth(error).into_response(),
    }
}

/// The claims of a login (OpenID Connect Core §5.3), for some minutes after it.
#[utoipa::path(method(get, post), path = "/userinfo", tag = "openid connect",
    responses((status = 200, description = "sub, and the claims that were asked for", body = Object), (status = 401, description = "invalid_token")))]
pub(crate) async fn userinfo(State(gate): Gate, method: Method, headers: HeaderMap) -> Response {
    let ask = || {
        let spoken = Spoken {
            method: method.as_str(),
            url: &format!("{}/userinfo", gate.issuer),
            authorization: header_text(&headers, header::AUTHORIZATION),
            dpop: dpop_header(&headers)?,
        };
        gate.grants().userinfo(spoken, now_ms() / 1000)
    };
    match ask() {
        Ok(claims) => Json(claims).into_response(),
        Err(error) => oauth(error).into_response(),
    }
}

/// The one proof of a request (RFC 9449 §4.3: not more than one).
fn dpop_header(headers: &HeaderMap) -> Result<Option<&str>, OidcError> {
    let mut proofs = headers.get_all("dpop").iter();
    match (proofs.next(), proofs.next()) {
        (None, _) => Ok(None),
        (Some(proof), None) => proof.to_str().map(Some).map_err(|_| OidcError::Dpop),
        (Some(_), Some(_)) => Err(OidcError::Dpop),
    }
}

/// Signs a visitor out (RP-Initiated Logout 1.0): what their login gave ends, and the browser goes
/// where the website registered.
#[utoipa::path(get, path = "/logout", tag = "openid connect",
    params(
        ("id_token_hint" = Option<String>, Query), ("client_id" = Option<String>, Query),
        ("post_logout_redirect_uri" = Option<String>, Query), ("state" = Option<String>, Query),
    ),
    responses(
        (status = 200, description = "a page", content_type = "text/html", body = String),
        (status = 303, description = "to the registered address"),
        (status = 400, description = "oidc.logout_hint, oidc.logout_redirect", content((String = "text/html"), (Object = "application/json"))),
    ))]
pub(crate) async fn logout(
    State(gate): Gate,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    sign_out(&gate, query.as_deref().unwrap_or_default(), &headers)
}

/// The same by POST, which RP-Initiated Logout §2 asks for too.
#[utoipa::path(post, path = "/logout", tag = "openid connect",
    request_body(content = String, content_type = "application/x-www-form-urlencoded", description = "the parameters of GET"),
    responses(
        (status = 200, description = "a page", content_type = "text/html", body = String),
        (status = 303, description = "to the registered address"),
        (status = 400, description = "oidc.logout_hint, oidc.logout_redirect", content((String = "text/html"), (Object = "application/json"))),
    ))]
pub(crate) async fn logout_post(State(gate): Gate, headers: HeaderMap, body: Bytes) -> Response {
    let form = std::str::from_utf8(&body).unwrap_or_default();
    sign_out(&gate, form, &headers)
}

fn sign_out(gate: &Inner, form: &str, headers: &HeaderMap) -> Response {
    let keys = gate.keys.oidc_public();
    let request = match LogoutRequest::parse(form, &gate.clients, &gate.issuer, &keys) {
        Ok(request) => request,
        Err(error) if wants_json(headers) => return oauth(error).into_response(),
        Err(error) => return refused_page(error.into(), None),
    };
    if let Some((client_id, subject)) = &request.session {
        gate.grants().revoke(client_id, subject);
        gate.standings.forget(client_id, subject);
    }
    match request.location {
        Some(location) => see_other(&location, None),
        None => page::html(&SignedOutPage {}, StatusCode::OK, None),
    }
}
