//! The requests of a login for the Digital Credentials API of the browser that began it (OpenID4VP 1.0,
//! appendix A; spec/login.md, V24).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use realdid_exchange::vp::{self, AnswerTo};
use serde_json::{Value, json};

use crate::http::cookie_value;
use crate::logins::Start;
use crate::now_ms;
use crate::refusal::Refusal;
use crate::steps::{Gate, Inner, Via};

pub(crate) fn router() -> Router<Arc<Inner>> {
    Router::new()
        .route("/vp/request/{id}/browser", get(browser_request))
        .route("/vp/response/{id}/browser", post(browser_respond))
}

/// The requests: of each the wallet may take one.
#[utoipa::path(get, path = "/vp/request/{id}/browser", tag = "openid4vp", params(("id" = String, Path)),
    responses((status = 200, description = "requests: protocol and data of each", body = Object), (status = 403, description = "login.other_browser"), (status = 404, description = "login.unknown")))]
pub(crate) async fn browser_request(
    State(gate): Gate,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let requests = gate.own_browser(&id, &headers).and_then(|()| {
        let now_s = now_ms() / 1000;
        let start = gate.logins.waiting(&id, now_s)?;
        gate.browser_requests(&start, now_s)
    });
    match requests {
        Ok(requests) => Json(json!({ "requests": requests })).into_response(),
        Err(refusal) => refusal.problem().into_response(),
    }
}

/// What the browser's API has given to the page. Accepted: `{"redirect_uri"}`, where the page goes on.
#[utoipa::path(post, path = "/vp/response/{id}/browser", tag = "openid4vp", params(("id" = String, Path)),
    request_body(content = Object, content_type = "application/json", description = "protocol, and data with response, or with vp_token where nothing is encrypted"),
    responses((status = 200, description = "where the browser goes on", body = Object), (status = 400, description = "the rule that failed"), (status = 403, description = "login.other_browser"), (status = 404, description = "login.unknown")))]
pub(crate) async fn browser_respond(
    State(gate): Gate,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match gate.own_browser(&id, &headers) {
        Ok(()) => gate.answer(&id, Via::Browser, &body).await,
        Err(refusal) => refusal.problem().into_response(),
    }
}

impl Inner {
    /// The requests of a login for its browser.
    fn browser_requests(&self, start: &Start, iat_s: u64) -> Result<Vec<Value>, Refusal> {
        let to = AnswerTo::Browser(&self.origin);
        let requests = self.other_ways(start).map(|via| {
            let request = self.sign_request((start, via), to, None, iat_s)?;
            Ok(json!({ "protocol": vp::BROWSER_PROTOCOL, "data": { "request": request } }))
        });
        let requests: Vec<_> = requests.collect::<Result<_, Refusal>>()?;
        match requests.is_empty() {
            true => Err(Refusal::LOGIN_UNKNOWN),
            false => Ok(requests),
        }
    }

    /// Whether this is the browser that began a login.
    fn own_browser(&self, id: &str, headers: &HeaderMap) -> Result<(), Refusal> {
        let cookie = cookie_value(headers, &self.cookie_name(id));
        self.logins.progress(id, cookie, now_ms() / 1000).map(drop)
    }
}
