//! How a refusal looks over HTTP: `application/problem+json` (RFC 9457), or the form that OAuth 2.0
//! demands (RFC 6749 §5.2) with the same three members added.
//!
//! Both name the failed rule and the fix, because their reader is a developer who has to do
//! something about it. Neither has room for a value that somebody sent: no personal data, no
//! secrets.

use std::borrow::Cow;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// Where the codes are explained; followed by the code it makes the problem's `type`.
const TYPE_BASE: &str = "https://realdid.org/errors/";

/// A refusal, as every endpoint outside OAuth answers it.
///
/// On the wire: `{"type","title","status","code","rule","fix"}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    rule: Cow<'static, str>,
    fix: Cow<'static, str>,
    retry_after_s: Option<u64>,
}

impl Problem {
    /// `code` is stable and dotted (`credential.expired`); `rule` says what must hold, `fix` what
    /// the caller can do.
    pub fn new(
        status: StatusCode,
        code: &'static str,
        rule: impl Into<Cow<'static, str>>,
        fix: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            code,
            rule: rule.into(),
            fix: fix.into(),
            retry_after_s: None,
        }
    }

    /// 400: the request breaks a rule of its format or protocol.
    pub fn bad_request(
        code: &'static str,
        rule: impl Into<Cow<'static, str>>,
        fix: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, rule, fix)
    }

    /// 404: what was asked for does not exist here.
    pub fn not_found(
        code: &'static str,
        rule: impl Into<Cow<'static, str>>,
        fix: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, rule, fix)
    }

    /// 500 that says nothing about the inside; the cause belongs in the log.
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the service must be able to answer every well-formed request",
            "try again; if it stays, tell the operator the time of this answer",
        )
    }

    /// Adds a `Retry-After` header, in whole seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// What [`Problem::retry_after`] set.
    pub fn retries_after_s(&self) -> Option<u64> {
        self.retry_after_s
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub fn code(&self) -> &'static str {
        self.code
    }

    pub fn rule(&self) -> &str {
        &self.rule
    }

    pub fn fix(&self) -> &str {
        &self.fix
    }

    fn body(&self) -> ProblemBody<'_> {
        ProblemBody {
            kind: format!("{TYPE_BASE}{}", self.code),
            title: title(self.status),
            status: self.status.as_u16(),
            code: self.code,
            rule: &self.rule,
            fix: &self.fix,
        }
    }
}

/// The members of a problem document, in wire order.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    /// Stable, dotted code of the failed rule.
    code: &'a str,
    /// The rule that failed.
    rule: &'a str,
    /// What the caller can do.
    fix: &'a str,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// A refusal by an OAuth endpoint (token, nonce, credential, authorize by JSON).
///
/// On the wire: `{"error","error_description","code","rule","fix"}`; clients that know only RFC 6749
/// read the first two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthError {
    error: &'static str,
    problem: Problem,
}

impl OAuthError {
    /// `error` is a registered OAuth error code such as `invalid_grant`.
    pub fn new(error: &'static str, problem: Problem) -> Self {
        Self { error, problem }
    }

    pub fn error(&self) -> &'static str {
        self.error
    }

    pub fn problem(&self) -> &Problem {
        &self.problem
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = OAuthError)]
pub(crate) struct OAuthBody<'a> {
    error: &'static str,
    error_description: String,
    code: &'a str,
    rule: &'a str,
    fix: &'a str,
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let problem = &self.problem;
        let body = OAuthBody {
            error: self.error,
            error_description: description(problem),
            code: problem.code,
            rule: &problem.rule,
            fix: &problem.fix,
        };
        let mut response = (problem.status, Json(body)).into_response();
        let headers = response.headers_mut();
        // RFC 6749 §5.2: a token endpoint that refuses the client says how to authenticate.
        if problem.status == StatusCode::UNAUTHORIZED {
            let scheme = if self.error == "invalid_client" {
                HeaderValue::from_static("Basic")
            } else {
                HeaderValue::from_static("Bearer")
            };
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        if let Some(seconds) = problem.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// RFC 6749 allows printable ASCII without `"` and `\` in a description; anything else is dropped.
fn description(problem: &Problem) -> String {
    format!("{}; {}", problem.rule, problem.fix)
        .chars()
        .filter(|c| (' '..='~').contains(c) && *c != '"' && *c != '\\')
        .collect()
}

fn title(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Refused")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    async fn json_of(response: Response) -> Value {
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 16)
            .await
            .unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[tokio::test]
    async fn a_problem_names_rule_and_fix() {
        let problem = Problem::bad_request("did.staple_stale", "too old", "refresh").retry_after(7);
        let response = problem.into_response();
        assert_eq!(response.status(), 400);
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
        assert_eq!(response.headers()["retry-after"], "7");
        assert_eq!(
            json_of(response).await,
            json!({
                "type": "https://realdid.org/errors/did.staple_stale",
                "title": "Bad Request",
                "status": 400,
                "code": "did.staple_stale",
                "rule": "too old",
                "fix": "refresh",
            })
        );
    }

    #[tokio::test]
    async fn an_oauth_error_keeps_the_form_of_rfc_6749() {
        let problem = Problem::new(
            StatusCode::UNAUTHORIZED,
            "client.unknown",
            "the \"client\" must be known",
            "register it",
        );
        let response = OAuthError::new("invalid_client", problem).into_response();
        assert_eq!(response.status(), 401);
        assert_eq!(response.headers()["www-authenticate"], "Basic");
        let body = json_of(response).await;
        assert_eq!(body["error"], "invalid_client");
        assert_eq!(
            body["error_description"],
            "the client must be known; register it"
        );
        assert_eq!(body["code"], "client.unknown");
    }
}
