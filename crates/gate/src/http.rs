//! What several of the gate's routes read from a request, and how they answer.

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use url::form_urlencoded;

use crate::page::{self, RefusedPage};
use crate::refusal::Refusal;

/// The longest `wallet_nonce`, in bytes.
const MAX_WALLET_NONCE_BYTES: usize = 256;
/// The longest body of a form that is not a presentation, in bytes.
const MAX_FORM_BYTES: usize = 16 * 1024;

pub(crate) fn count(outcome: &'static str) {
    metrics::counter!("logins_total", "outcome" => outcome).increment(1);
}

pub(crate) fn header_text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

pub(crate) fn wants_json(headers: &HeaderMap) -> bool {
    header_text(headers, header::ACCEPT).is_some_and(|accept| {
        let kind = accept.split([',', ';']).next().unwrap_or_default();
        kind.trim() == "application/json"
    })
}

pub(crate) fn cookie_value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value)
}

pub(crate) fn set_cookie(response: &mut Response, cookie: &str) {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

/// 303, so that the browser never repeats a POST at the website.
pub(crate) fn see_other(location: &str, cookie: Option<&str>) -> Response {
    let Ok(value) = HeaderValue::from_str(location) else {
        return Refusal::INTERNAL.problem().into_response();
    };
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, value)]).into_response();
    if let Some(cookie) = cookie {
        set_cookie(&mut response, cookie);
    }
    response
}

pub(crate) fn refused_page(refusal: Refusal, back_uri: Option<&str>) -> Response {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
    page::html(&RefusedPage { refusal, back_uri }, status, None)
}

/// The nonce that a wallet posts for a request (OpenID4VP 1.0 §5.10).
pub(crate) fn wallet_nonce(body: &Bytes) -> Option<String> {
    form_urlencoded::parse(&body[..body.len().min(MAX_FORM_BYTES)])
        .find(|(name, _)| name == "wallet_nonce")
        .map(|(_, nonce)| nonce.into_owned())
        .filter(|nonce| nonce.len() <= MAX_WALLET_NONCE_BYTES)
}
