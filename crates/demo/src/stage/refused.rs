//! What a visitor is told who cannot have what they asked for.

use askama::Template;
use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use realdid_sign_in::wants_json;
use serde_json::json;

use super::Stage;
use crate::pages::html;
use crate::{DemoConfig, Theme};

/// Why a visitor cannot have what they asked for.
pub(super) struct Refused {
    pub status: StatusCode,
    pub code: String,
    pub rule: String,
    pub fix: String,
}

impl Refused {
    pub fn new(status: StatusCode, code: &str, rule: &str, fix: &str) -> Self {
        Self {
            status,
            code: code.to_owned(),
            rule: rule.to_owned(),
            fix: fix.to_owned(),
        }
    }

    pub fn banned() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "platform.banned",
            "This account was banned here. It is known by what no new phone and no new identifier changes.",
            "There is nothing to try again.",
        )
    }

    pub fn unknown() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "platform.unknown",
            "There is no such profile.",
            "Look at the front page.",
        )
    }

    pub fn not_yours() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "platform.not_yours",
            "A profile is changed by its own person.",
            "Sign in to that account.",
        )
    }

    pub fn gate() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "platform.gate",
            "The gate does not answer.",
            "Try again in a minute.",
        )
    }

    pub(super) fn respond(&self, stage: &Stage, headers: &HeaderMap) -> Response {
        if wants_json(headers) {
            let body = json!({"code": self.code, "rule": self.rule, "fix": self.fix});
            return (self.status, Json(body)).into_response();
        }
        let page = RefusedPage {
            config: &stage.config,
            rule: &self.rule,
            fix: &self.fix,
            code: &self.code,
        };
        html(self.status, &page)
    }
}

#[derive(Template)]
#[template(path = "refusal.html")]
struct RefusedPage<'a> {
    config: &'a DemoConfig,
    rule: &'a str,
    fix: &'a str,
    code: &'a str,
}
