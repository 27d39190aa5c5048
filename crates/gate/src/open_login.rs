//! How a login that is under way is shown: as a page with its link and QR code, or as JSON.

use std::sync::Arc;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use realdid_exchange::oidc::OidcError;
use realdid_exchange::registration::Registration;
use serde_json::json;

use crate::http::refused_page;
use crate::logins::{Progress, Start};
use crate::now_ms;
use crate::page::{self, Asked, LoginPage, OtherWay};
use crate::refusal::Refusal;
use crate::steps::{Inner, Via};

/// A login with what its page or its JSON needs.
pub(crate) struct OpenLogin {
    pub(crate) id: String,
    pub(crate) cookie: String,
    pub(crate) start: Arc<Start>,
    pub(crate) registration: Arc<Registration>,
}

impl OpenLogin {
    pub(crate) fn json(&self, gate: &Inner) -> Response {
        let now_s = now_ms() / 1000;
        let signed = gate.signed_request(&self.id, &self.start, Via::Ledger, None, now_s);
        let signed = match signed {
            Ok(signed) => signed,
            Err(refusal) => return refusal.problem().into_response(),
        };
        let mut told = json!({
            "request": signed,
            "request_uri": gate.request_uri(&self.id, Via::Ledger),
            "wallet_link": gate.wallet_link(&self.id),
            "continue_uri": gate.continue_uri(&self.id),
            "expires_in": gate.login_s,
            "checkpoint_age_s": gate.checkpoint_age_s(),
        });
        for (name, via) in [
            ("other_wallet_link", Via::Certificate),
            ("did_wallet_link", Via::Did),
        ] {
            if let Some(link) = gate.other_wallet_link(&self.id, &self.start, via) {
                told[name] = link.into();
            }
        }
        Json(told).into_response()
    }

    pub(crate) fn page(
        &self,
        gate: &Inner,
        progress: Progress,
        problem: Option<Refusal>,
    ) -> Response {
        let wallet_link = gate.wallet_link(&self.id);
        let others: Vec<OtherWay> = gate
            .other_ways(&self.start)
            .filter_map(|via| {
                let link = gate.other_wallet_link(&self.id, &self.start, via)?;
                Some(OtherWay {
                    by: via.words(),
                    qr_svg: page::qr_svg(&link),
                    link,
                })
            })
            .collect();
        let request = &self.start.request;
        let claims = request.wallet_claims();
        let page = LoginPage {
            organisation: &self.registration.name,
            client: &self.start.client.name,
            purpose: &self.start.client.purpose,
            claims: claims.into_iter().map(Asked::from).collect(),
            sandbox: self.registration.sandbox,
            qr_svg: page::qr_svg(&wallet_link),
            wallet_link: &wallet_link,
            browser: !others.is_empty(),
            others,
            login_id: &self.id,
            answered: progress == Progress::Answered,
            problem,
            cancel_uri: &request.refuse(OidcError::Denied, &gate.issuer),
            minutes: gate.login_s.div_ceil(60),
            checkpoint_age_s: gate.checkpoint_age_s(),
        };
        let status = if problem.is_some() {
            StatusCode::BAD_REQUEST
        } else {
            StatusCode::OK
        };
        let redirect_uri = Some(request.redirect_uri.as_str());
        match page.browser {
            true => page::html_with_script(&page, status, redirect_uri),
            false => page::html(&page, status, redirect_uri),
        }
    }
}

impl Inner {
    pub(crate) fn show_progress(
        &self,
        id: &str,
        cookie: Option<&str>,
        now_s: u64,
        as_json: bool,
        problem: Option<Refusal>,
    ) -> Response {
        let shown = self
            .logins
            .progress(id, cookie, now_s)
            .and_then(|(start, progress)| {
                let registration = self.registration(now_ms())?;
                let login = OpenLogin {
                    id: id.to_owned(),
                    cookie: String::new(),
                    start,
                    registration,
                };
                Ok(match (as_json, progress) {
                    (true, Progress::Waiting) => Json(json!({"status": "waiting"})).into_response(),
                    (true, Progress::Answered) => {
                        Json(json!({"status": "answered"})).into_response()
                    }
                    (false, progress) => login.page(self, progress, problem),
                })
            });
        shown.unwrap_or_else(|refusal| {
            if as_json {
                refusal.problem().into_response()
            } else {
                refused_page(refusal, None)
            }
        })
    }
}
