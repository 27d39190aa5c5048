//! What the gate answers to wallets (OpenID4VP) and to people. Towards websites it is `provider`.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use url::form_urlencoded;

use crate::browser;
use crate::displays::api;
use crate::http::{cookie_value, refused_page, see_other, wallet_nonce, wants_json};
use crate::now_ms;
use crate::page::{self, FrontPage};
use crate::provider;
use crate::receipts;
use crate::refusal::Refusal;
use crate::steps::{Gate, Inner, Via};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "RealDID gate",
        description = "OpenID Connect provider and OpenID4VP verifier of one service"
    ),
    paths(
        provider::discovery,
        provider::jwks,
        provider::push,
        provider::authorize,
        provider::authorize_post,
        provider::token,
        provider::userinfo,
        provider::logout,
        provider::logout_post,
        receipts::receipt_file,
        request_object,
        request_object_post,
        respond,
        request_by,
        request_by_post,
        respond_by,
        browser::browser_request,
        browser::browser_respond,
        did_document,
        proceed,
        front,
        style,
        script
    )
)]
pub(crate) struct GateApi;

/// The gate's routes.
pub(crate) fn router(inner: Arc<Inner>) -> Router {
    Router::new()
        .merge(provider::router())
        .merge(api::router())
        .merge(browser::router())
        .route(
            "/vp/request/{id}",
            get(request_object).post(request_object_post),
        )
        .route("/vp/response/{id}", post(respond))
        .route(
            "/vp/request/{id}/{by}",
            get(request_by).post(request_by_post),
        )
        .route("/vp/response/{id}/{by}", post(respond_by))
        .route("/.well-known/did.json", get(did_document))
        .route("/continue", get(proceed))
        .route("/kyc/receipts/{id}", get(receipts::receipt_file))
        .route("/", get(front))
        .route("/assets/gate.css", get(style))
        .route("/assets/browser.js", get(script))
        .with_state(inner)
}

// ---- OpenID4VP ----------------------------------------------------------------------------

/// The signed request object of a login.
#[utoipa::path(get, path = "/vp/request/{id}", tag = "openid4vp", params(("id" = String, Path)),
    responses((status = 200, description = "signed", content_type = "application/oauth-authz-req+jwt", body = String), (status = 404, description = "login.unknown")))]
async fn request_object(State(gate): Gate, Path(id): Path<String>) -> Response {
    gate.request_for(&id, Via::Ledger, None)
}

/// The same, with the wallet's own nonce in it (OpenID4VP 1.0 §5.10).
#[utoipa::path(post, path = "/vp/request/{id}", tag = "openid4vp", params(("id" = String, Path)),
    request_body(content = String, content_type = "application/x-www-form-urlencoded", description = "wallet_nonce"),
    responses((status = 200, description = "signed", content_type = "application/oauth-authz-req+jwt", body = String), (status = 404, description = "login.unknown")))]
async fn request_object_post(State(gate): Gate, Path(id): Path<String>, body: Bytes) -> Response {
    gate.request_for(&id, Via::Ledger, wallet_nonce(&body).as_deref())
}

/// The request for wallets that do not read the ledger: signed under a certificate (`x509`) or by a DID
/// (`did`), and asking for a PID alone.
#[utoipa::path(get, path = "/vp/request/{id}/{by}", tag = "openid4vp", params(("id" = String, Path), ("by" = String, Path, description = "x509 or did")),
    responses((status = 200, description = "signed", content_type = "application/oauth-authz-req+jwt", body = String), (status = 404, description = "login.unknown")))]
async fn request_by(State(gate): Gate, Path((id, by)): Path<(String, String)>) -> Response {
    match Via::named(&by) {
        Some(via) => gate.request_for(&id, via, None),
        None => Refusal::LOGIN_UNKNOWN.problem().into_response(),
    }
}

/// The same, with the wallet's own nonce in it (OpenID4VP 1.0 §5.10).
#[utoipa::path(post, path = "/vp/request/{id}/{by}", tag = "openid4vp", params(("id" = String, Path), ("by" = String, Path, description = "x509 or did")),
    request_body(content = String, content_type = "application/x-www-form-urlencoded", description = "wallet_nonce"),
    responses((status = 200, description = "signed", content_type = "application/oauth-authz-req+jwt", body = String), (status = 404, description = "login.unknown")))]
async fn request_by_post(
    State(gate): Gate,
    Path((id, by)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    match Via::named(&by) {
        Some(via) => gate.request_for(&id, via, wallet_nonce(&body).as_deref()),
        None => Refusal::LOGIN_UNKNOWN.problem().into_response(),
    }
}

/// The document of the gate's own DID, where that is a `did:web` of this host.
#[utoipa::path(get, path = "/.well-known/did.json", tag = "openid4vp",
    responses((status = 200, description = "a DID document", content_type = "application/did+json", body = Object), (status = 404, description = "access.no_did")))]
async fn did_document(State(gate): Gate) -> Response {
    let own = gate.access_did.as_ref();
    match own.and_then(|own| own.document(&gate.issuer)) {
        Some(document) => (
            [(header::CONTENT_TYPE, "application/did+json")],
            document.to_string(),
        )
            .into_response(),
        None => Refusal::NO_DID.problem().into_response(),
    }
}

/// A wallet's answer. Accepted: `{"redirect_uri","confirmation_code"}`; the wallet opens the first
/// in the browser of its own device, or shows the second for the person to type in another.
#[utoipa::path(post, path = "/vp/response/{id}", tag = "openid4vp", params(("id" = String, Path)),
    request_body(content = String, content_type = "application/x-www-form-urlencoded", description = "vp_token and state, or error and state"),
    responses((status = 200, description = "where the browser goes on", body = Object), (status = 400, description = "the rule that failed"), (status = 404, description = "login.unknown")))]
async fn respond(State(gate): Gate, Path(id): Path<String>, body: Bytes) -> Response {
    gate.answer(&id, Via::Ledger, &body).await
}

/// The same to a request that was signed under a certificate or by a DID.
#[utoipa::path(post, path = "/vp/response/{id}/{by}", tag = "openid4vp", params(("id" = String, Path), ("by" = String, Path, description = "x509 or did")),
    request_body(content = String, content_type = "application/x-www-form-urlencoded", description = "vp_token and state, or error and state"),
    responses((status = 200, description = "where the browser goes on", body = Object), (status = 400, description = "the rule that failed"), (status = 404, description = "login.unknown")))]
async fn respond_by(
    State(gate): Gate,
    Path((id, by)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    match Via::named(&by) {
        Some(via) => gate.answer(&id, via, &body).await,
        None => Refusal::LOGIN_UNKNOWN.problem().into_response(),
    }
}

/// The browser comes back: with the response code the login ends at the website.
#[utoipa::path(get, path = "/continue", tag = "openid connect",
    params(("login" = String, Query), ("response_code" = Option<String>, Query)),
    responses(
        (status = 200, description = "still open: the page, or {\"status\"}", content((String = "text/html"), (Object = "application/json"))),
        (status = 303, description = "to the client's redirect_uri, with code and state"),
        (status = 400, description = "login.code_wrong, login.too_many_tries", content((String = "text/html"), (Object = "application/problem+json"))),
        (status = 403, description = "login.other_browser", content((String = "text/html"), (Object = "application/problem+json"))),
        (status = 404, description = "login.unknown", content((String = "text/html"), (Object = "application/problem+json"))),
        (status = 503, description = "light.stale", content((String = "text/html"), (Object = "application/problem+json"))),
    ))]
async fn proceed(State(gate): Gate, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let (mut id, mut code) = (String::new(), None);
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match name.as_ref() {
            "login" => id = value.into_owned(),
            "response_code" => code = Some(value.into_owned()),
            _ => {}
        }
    }
    let as_json = wants_json(&headers);
    let cookie = cookie_value(&headers, &gate.cookie_name(&id));
    let now_s = now_ms() / 1000;
    let finished = match &code {
        Some(code) => gate.logins.finish(&id, cookie, code, now_s).map(Some),
        None => Ok(None),
    };
    match finished.and_then(|finished| finished.map(|f| gate.conclude(f, now_s)).transpose()) {
        Ok(Some(location)) => see_other(&location, Some(&gate.cookie(&id, "", 0))),
        Ok(None) => gate.show_progress(&id, cookie, now_s, as_json, None),
        Err(refusal) if refusal == Refusal::CODE_WRONG && !as_json => {
            gate.show_progress(&id, cookie, now_s, as_json, Some(refusal))
        }
        Err(refusal) if as_json => refusal.problem().into_response(),
        Err(refusal) => refused_page(refusal, None),
    }
}

/// The gate's own address, for whoever opens it without a login.
#[utoipa::path(get, path = "/", tag = "page", responses((status = 200, description = "a page", content_type = "text/html", body = String)))]
async fn front(State(gate): Gate) -> Response {
    let clients = gate.clients.iter().map(|client| client.name.as_str());
    let page = FrontPage {
        clients: clients.collect(),
    };
    page::html(&page, StatusCode::OK, None)
}

/// The pages' style sheet.
#[utoipa::path(get, path = "/assets/gate.css", tag = "page", responses((status = 200, description = "a style sheet", content_type = "text/css", body = String)))]
async fn style() -> Response {
    (
        [
            (header::CONTENT_TYPE, "text/css"),
            (header::CACHE_CONTROL, "max-age=3600"),
        ],
        page::STYLE,
    )
        .into_response()
}

/// The script of a login's page.
#[utoipa::path(get, path = "/assets/browser.js", tag = "page", responses((status = 200, description = "a script", content_type = "text/javascript", body = String)))]
async fn script() -> Response {
    (
        [
            (header::CONTENT_TYPE, "text/javascript"),
            (header::CACHE_CONTROL, "max-age=3600"),
        ],
        page::SCRIPT,
    )
        .into_response()
}
