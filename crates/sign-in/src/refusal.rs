//! Why a login was refused: what a visitor reads, and what a program reads.

use axum::Json;
use axum::http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::issuer::IssuerError;

/// Why a visitor was not signed in or out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    NoLogin,
    WrongState,
    IssuerSaidNo,
    NoCode,
    CodeRefused,
    TokenInvalid,
    IssuerDown,
    ForeignOrigin,
    NoRandomness,
}

impl Refusal {
    pub fn status(self) -> StatusCode {
        self.facts().0
    }

    /// Stable and dotted.
    pub fn code(self) -> &'static str {
        self.facts().1
    }

    /// What must hold, in words for a visitor.
    pub fn rule(self) -> &'static str {
        self.facts().2
    }

    /// What the visitor can do.
    pub fn fix(self) -> &'static str {
        self.facts().3
    }

    /// Problem details (RFC 9457) where JSON is wanted, two plain sentences otherwise.
    pub fn respond(self, headers: &HeaderMap) -> Response {
        let (status, code, rule, fix) = self.facts();
        let mut response = if wants_json(headers) {
            let body = json!({
                "title": status.canonical_reason(),
                "status": status.as_u16(),
                "code": code,
                "rule": rule,
                "fix": fix,
            });
            let kind = [(CONTENT_TYPE, "application/problem+json")];
            (status, kind, Json(body).into_response().into_body()).into_response()
        } else {
            (status, format!("{rule} {fix}\n")).into_response()
        };
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }

    fn facts(self) -> (StatusCode, &'static str, &'static str, &'static str) {
        const AGAIN: &str = "Start again from the front page.";
        match self {
            Self::NoLogin => (
                StatusCode::BAD_REQUEST,
                "login.unknown",
                "A sign-in must be finished once, in the browser that started it, within ten minutes.",
                AGAIN,
            ),
            Self::WrongState => (
                StatusCode::BAD_REQUEST,
                "login.state",
                "The answer must belong to the sign-in that this browser started.",
                AGAIN,
            ),
            Self::IssuerSaidNo => (
                StatusCode::FORBIDDEN,
                "login.declined",
                "A sign-in needs your agreement in the wallet.",
                "Start again if you want to sign in.",
            ),
            Self::NoCode => (
                StatusCode::BAD_REQUEST,
                "login.code_missing",
                "The answer of the sign-in service must carry a code.",
                AGAIN,
            ),
            Self::CodeRefused => (
                StatusCode::BAD_REQUEST,
                "login.code",
                "The code of a sign-in must be fresh and unused.",
                AGAIN,
            ),
            Self::TokenInvalid => (
                StatusCode::BAD_GATEWAY,
                "login.token",
                "The sign-in service must prove who you are with a valid token for this site.",
                "Start again; if it stays, tell this site's operator.",
            ),
            Self::IssuerDown => (
                StatusCode::SERVICE_UNAVAILABLE,
                "issuer.unavailable",
                "The sign-in service does not answer at the moment.",
                "Try again in a few seconds. Everything else on this site works.",
            ),
            Self::ForeignOrigin => (
                StatusCode::FORBIDDEN,
                "logout.origin",
                "Only a page of this site may sign you out.",
                "Use the button on the front page.",
            ),
            Self::NoRandomness => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "This site cannot start sign-ins at the moment.",
                "Try again later.",
            ),
        }
    }
}

impl From<IssuerError> for Refusal {
    fn from(error: IssuerError) -> Self {
        match error {
            IssuerError::Down => Self::IssuerDown,
            IssuerError::CodeRefused => Self::CodeRefused,
            IssuerError::TokenInvalid => Self::TokenInvalid,
        }
    }
}

/// Whether the caller is a program.
pub fn wants_json(headers: &HeaderMap) -> bool {
    headers
        .get(ACCEPT)
        .is_some_and(|accept| accept.to_str().is_ok_and(|accept| accept.contains("json")))
}
