//! What websites, wallets and visitors call about displays (docs/displays.md). Websites authenticate as
//! they do at the token endpoint, by HTTP Basic with client id and secret.

use std::sync::Arc;

use askama::Template;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use realdid_core::state::ReasonCode;
use realdid_exchange::display::{Badge, Handle, Kind};
use realdid_exchange::oidc::{self, Client};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::book::{AppealStep, Book};
use super::card::{Card, ShownCard, date};
use super::flow::{Open, Phase, Standing};
use super::policy::Report;
use crate::http::{count, header_text, refused_page, wallet_nonce, wants_json};
use crate::now_ms;
use crate::page;
use crate::refusal::{Refusal, oauth};
use crate::steps::{Gate, Inner};

/// The longest body of a website's call, in bytes.
const MAX_BODY_BYTES: usize = 16 * 1024;
/// The most entries of the log in one answer.
const MAX_ENTRIES: usize = 1000;

#[derive(utoipa::OpenApi)]
#[openapi(paths(
    report,
    account,
    ask,
    exempt,
    appeal,
    withdraw,
    decisions,
    show,
    request_object,
    request_object_post,
    respond,
    badge_page,
    badge_json,
    embed,
    style
))]
pub(crate) struct DisplayApi;

pub(crate) fn router() -> Router<Arc<Inner>> {
    Router::new()
        .route("/displays/reports", post(report))
        .route("/displays/accounts/{handle}", get(account))
        .route("/displays/requests", post(ask))
        .route("/displays/exemptions", post(exempt))
        .route("/displays/appeals", post(appeal))
        .route("/displays/withdrawals", post(withdraw))
        .route("/displays/decisions", get(decisions))
        .route("/displays/show/{id}", get(show))
        .route(
            "/displays/request/{id}",
            get(request_object).post(request_object_post),
        )
        .route("/displays/response/{id}", post(respond))
        .route("/display/{handle}", get(badge_page))
        .route("/display/{handle}/badge.json", get(badge_json))
        .route("/display/{handle}/embed", get(embed))
        .route("/assets/badge.css", get(style))
}

fn problem(refusal: Refusal) -> Response {
    refusal.problem().into_response()
}

/// The website that calls.
fn client<'a>(gate: &'a Inner, headers: &HeaderMap) -> Result<&'a Client, Response> {
    let authorization = header_text(headers, header::AUTHORIZATION);
    oidc::authenticate(authorization, &gate.clients).map_err(|error| oauth(error).into_response())
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Response> {
    let bounded = body
        .get(..MAX_BODY_BYTES.min(body.len()))
        .unwrap_or_default();
    serde_json::from_slice(bounded).map_err(|_| problem(Refusal::CALL_MALFORMED))
}

fn handle(text: &str) -> Result<Handle, Response> {
    Handle::parse(text).map_err(|error| problem(error.into()))
}

/// How an account stands, with its badge's address where a name is shown.
fn status(gate: &Inner, handle: &Handle) -> Result<Response, Refusal> {
    let mut status = gate.displays()?.book().status(handle, now_ms() / 1000)?;
    if !status["digest"].is_null() {
        status["badge"] = gate.badge_uri(handle).into();
    }
    Ok(Json(status).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReportCall {
    handle: String,
    /// The `sub` of the account's person.
    subject: String,
    /// Unix seconds.
    at: u64,
    followers: u64,
    #[serde(default)]
    topics: Vec<String>,
    #[serde(default)]
    kind: Kind,
}

/// An account's followers, and how it stands now.
#[utoipa::path(post, path = "/displays/reports", tag = "displays",
    request_body(content_type = "application/json", description = "{handle, subject, at, followers, topics?, kind?}"),
    responses(
        (status = 404, description = "account.unknown, display.off"),
        (status = 200, description = "{handle, standing, policy, followers, peak, requirement, costs, shows, shown, shownUntil, badge?, exemptUntil, upheldUntil, appealOpen, decision}", body = Object),
        (status = 400, description = "display.handle_form, report.back_in_time, report.future, report.changed, report.topics"),
        (status = 401, description = "invalid_client"),
        (status = 409, description = "account.subject"),
    ))]
async fn report(State(gate): Gate, headers: HeaderMap, body: Bytes) -> Result<Response, Response> {
    client(&gate, &headers)?;
    let call: ReportCall = read(&body)?;
    let handle = handle(&call.handle)?;
    let report = Report {
        at_s: call.at,
        followers: call.followers,
        topics: call.topics,
    };
    let displays = gate.displays().map_err(problem)?;
    let taken = displays
        .book()
        .report(&handle, &call.subject, call.kind, &report, now_ms() / 1000);
    taken.map_err(|error| problem(error.into()))?;
    status(&gate, &handle).map_err(problem)
}

/// How an account stands.
#[utoipa::path(get, path = "/displays/accounts/{handle}", tag = "displays", params(("handle" = String, Path)),
    responses((status = 200, description = "as of a report", body = Object), (status = 401, description = "invalid_client"), (status = 404, description = "account.unknown")))]
async fn account(
    State(gate): Gate,
    headers: HeaderMap,
    Path(text): Path<String>,
) -> Result<Response, Response> {
    client(&gate, &headers)?;
    let handle = handle(&text)?;
    // A display that its person withdrew is noticed here.
    let _ = gate.badge_at(&handle).await;
    let displays = gate.displays().map_err(problem)?;
    let settled = displays.book().settle(&handle, now_ms() / 1000);
    settled.map_err(|error| problem(error.into()))?;
    status(&gate, &handle).map_err(problem)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskCall {
    handle: String,
    return_uri: String,
}

/// Asks the account's person to show their name: where to send their browser, and the wallet link.
#[utoipa::path(post, path = "/displays/requests", tag = "displays",
    request_body(content_type = "application/json", description = "{handle, return_uri}"),
    responses(
        (status = 401, description = "invalid_client"),
        (status = 201, description = "{page, wallet_link, request_uri, expires_in}", body = Object),
        (status = 400, description = "display.return_uri"),
        (status = 403, description = "display.purpose, display.look_alike"),
        (status = 404, description = "account.unknown"),
    ))]
async fn ask(State(gate): Gate, headers: HeaderMap, body: Bytes) -> Result<Response, Response> {
    let client = client(&gate, &headers)?;
    let call: AskCall = read(&body)?;
    let handle = handle(&call.handle)?;
    let id = gate
        .ask_for_name(&handle, client, call.return_uri)
        .map_err(problem)?;
    let answer = json!({
        "page": gate.display_uri("show", &id),
        "wallet_link": gate.display_link(&id),
        "request_uri": gate.display_uri("request", &id),
        "expires_in": gate.login_s,
    });
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExemptCall {
    handle: String,
    /// For how many days; 0 ends the exemption.
    days: u64,
}

/// Exempts somebody under threat. A name that is shown is taken down first.
#[utoipa::path(post, path = "/displays/exemptions", tag = "displays",
    request_body(content_type = "application/json", description = "{handle, days}"),
    responses((status = 401, description = "invalid_client"), (status = 200, description = "as of a report", body = Object), (status = 404, description = "account.unknown"), (status = 503, description = "display.registrar")))]
async fn exempt(State(gate): Gate, headers: HeaderMap, body: Bytes) -> Result<Response, Response> {
    client(&gate, &headers)?;
    let call: ExemptCall = read(&body)?;
    let handle = handle(&call.handle)?;
    if call.days > 0 {
        match gate
            .withdraw_display(&handle, ReasonCode::HolderRequest)
            .await
        {
            Ok(()) | Err(Refusal::NOT_SHOWN) => {}
            Err(refusal) => return Err(problem(refusal)),
        }
    }
    let displays = gate.displays().map_err(problem)?;
    let done = displays.book().exempt(&handle, call.days, now_ms() / 1000);
    done.map_err(|error| problem(error.into()))?;
    status(&gate, &handle).map_err(problem)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AppealCall {
    handle: String,
    step: AppealStep,
}

/// Opens an appeal against the last decision about an account, upholds or rejects it.
#[utoipa::path(post, path = "/displays/appeals", tag = "displays",
    request_body(content_type = "application/json", description = "{handle, step}: open, uphold or reject"),
    responses((status = 401, description = "invalid_client"), (status = 404, description = "account.unknown, display.off"), (status = 200, description = "as of a report", body = Object), (status = 409, description = "appeal.none")))]
async fn appeal(State(gate): Gate, headers: HeaderMap, body: Bytes) -> Result<Response, Response> {
    client(&gate, &headers)?;
    let call: AppealCall = read(&body)?;
    let handle = handle(&call.handle)?;
    let displays = gate.displays().map_err(problem)?;
    let done = displays.book().appeal(&handle, call.step, now_ms() / 1000);
    done.map_err(|error| problem(error.into()))?;
    status(&gate, &handle).map_err(problem)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WithdrawCall {
    handle: String,
}

/// Takes a display back: every copy of the badge fails from the next checkpoint on.
#[utoipa::path(post, path = "/displays/withdrawals", tag = "displays",
    request_body(content_type = "application/json", description = "{handle}"),
    responses((status = 401, description = "invalid_client"), (status = 200, description = "as of a report", body = Object), (status = 404, description = "account.unknown, display.not_shown"), (status = 503, description = "display.registrar")))]
async fn withdraw(
    State(gate): Gate,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Response> {
    client(&gate, &headers)?;
    let call: WithdrawCall = read(&body)?;
    let handle = handle(&call.handle)?;
    gate.withdraw_display(&handle, ReasonCode::TermsBroken)
        .await
        .map_err(problem)?;
    status(&gate, &handle).map_err(problem)
}

#[derive(Deserialize)]
struct Range {
    #[serde(default)]
    from: u64,
}

/// The log of decisions, hash-chained, each entry with the state of its appeal.
#[utoipa::path(get, path = "/displays/decisions", tag = "displays", params(("from" = Option<u64>, Query, description = "the first sequence number")),
    responses((status = 404, description = "account.unknown, display.off"), (status = 200, description = "{head, entries}: at most 1000 entries", body = Object), (status = 401, description = "invalid_client")))]
async fn decisions(
    State(gate): Gate,
    headers: HeaderMap,
    Query(Range { from }): Query<Range>,
) -> Result<Response, Response> {
    client(&gate, &headers)?;
    let displays = gate.displays().map_err(problem)?;
    let entries = displays.book().entries();
    let entries = entries.map_err(|error| problem(error.into()))?;
    let mut export = Book::export(&entries);
    if let Some(list) = export["entries"].as_array_mut() {
        list.retain(|entry| entry["seq"].as_u64() >= Some(from));
        list.truncate(MAX_ENTRIES);
    }
    Ok(Json(export).into_response())
}

// ---- the wallet ---------------------------------------------------------------------------

/// The signed request object of a display.
#[utoipa::path(get, path = "/displays/request/{id}", tag = "displays", params(("id" = String, Path)),
    responses((status = 200, description = "signed", content_type = "application/oauth-authz-req+jwt", body = String), (status = 404, description = "display.request_unknown")))]
async fn request_object(State(gate): Gate, Path(id): Path<String>) -> Response {
    signed(&gate, &id, None)
}

/// The same, with the wallet's own nonce in it.
#[utoipa::path(post, path = "/displays/request/{id}", tag = "displays", params(("id" = String, Path)),
    request_body(content = String, content_type = "application/x-www-form-urlencoded", description = "wallet_nonce"),
    responses((status = 200, description = "signed", content_type = "application/oauth-authz-req+jwt", body = String), (status = 404, description = "display.request_unknown")))]
async fn request_object_post(State(gate): Gate, Path(id): Path<String>, body: Bytes) -> Response {
    signed(&gate, &id, wallet_nonce(&body).as_deref())
}

fn signed(gate: &Inner, id: &str, nonce: Option<&str>) -> Response {
    match gate.sign_display_request(id, nonce) {
        Ok(jwt) => {
            let kind = realdid_exchange::vp::REQUEST_MEDIA_TYPE;
            ([(header::CONTENT_TYPE, kind)], jwt).into_response()
        }
        Err(refusal) => problem(refusal),
    }
}

/// A wallet's answer: `{"redirect_uri","badge"}` once the display stands on the ledger.
#[utoipa::path(post, path = "/displays/response/{id}", tag = "displays", params(("id" = String, Path)),
    request_body(content = String, content_type = "application/x-www-form-urlencoded", description = "vp_token and state, or error and state"),
    responses((status = 200, description = "{redirect_uri, badge}", body = Object), (status = 400, description = "the rule that failed"), (status = 403, description = "display.other_person"), (status = 404, description = "display.request_unknown, display.off"), (status = 503, description = "display.registrar, light.stale")))]
async fn respond(State(gate): Gate, Path(id): Path<String>, body: Bytes) -> Response {
    match gate.take_display(&id, &body).await {
        Ok(open) => {
            count(if open.phase == Phase::Shown {
                "display"
            } else {
                "declined"
            });
            let badge = (open.phase == Phase::Shown).then(|| gate.badge_uri(&open.handle));
            Json(json!({ "redirect_uri": open.return_uri, "badge": badge })).into_response()
        }
        Err(refusal) => {
            count(refusal.code);
            tracing::info!(code = refusal.code, "a display was refused");
            problem(refusal)
        }
    }
}

// ---- people -------------------------------------------------------------------------------

#[derive(Template)]
#[template(path = "display_ask.html")]
struct AskPage<'a> {
    organisation: &'a str,
    client: &'a str,
    handle: &'a str,
    kind: Kind,
    until: String,
    sandbox: bool,
    wallet_link: &'a str,
    qr_svg: String,
    page: String,
    return_uri: &'a str,
    badge: String,
    waiting: bool,
    shown: bool,
}

/// The page on which an account's person is asked; with `Accept: application/json` `{"status"}`.
#[utoipa::path(get, path = "/displays/show/{id}", tag = "displays", params(("id" = String, Path)),
    responses(
        (status = 200, description = "a page, or {status}", content((String = "text/html"), (Object = "application/json"))),
        (status = 404, description = "display.request_unknown", content((String = "text/html"), (Object = "application/problem+json"))),
        (status = 503, description = "light.stale", content((String = "text/html"), (Object = "application/problem+json"))),
    ))]
async fn show(State(gate): Gate, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let found = gate
        .displays()
        .and_then(|displays| displays.request(&id, now_ms() / 1000))
        .and_then(|open| Ok((open, gate.registration(now_ms())?)));
    let (open, registration) = match found {
        Ok(found) => found,
        Err(refusal) if wants_json(&headers) => return problem(refusal),
        Err(refusal) => return refused_page(refusal, None),
    };
    let Open {
        phase,
        handle,
        client,
        return_uri,
        terms,
        ..
    } = &open;
    if wants_json(&headers) {
        let status = match phase {
            Phase::Waiting | Phase::Taken => "waiting",
            Phase::Shown => "shown",
            Phase::Declined => "declined",
        };
        return Json(json!({ "status": status })).into_response();
    }
    let link = gate.display_link(&id);
    let asked = AskPage {
        organisation: &registration.name,
        client: &client.name,
        handle: handle.as_str(),
        kind: terms.kind,
        until: date(terms.expires_s),
        sandbox: registration.sandbox,
        qr_svg: page::qr_svg(&link),
        wallet_link: &link,
        page: gate.display_uri("show", &id),
        return_uri,
        badge: gate.badge_uri(handle),
        waiting: matches!(phase, Phase::Waiting | Phase::Taken),
        shown: *phase == Phase::Shown,
    };
    page::html(&asked, StatusCode::OK, Some(return_uri))
}

#[derive(Template)]
#[template(path = "badge.html")]
struct BadgePage<'a> {
    card: Card<'a>,
    embed: String,
    json: String,
}

#[derive(Template)]
#[template(path = "badge_embed.html")]
struct EmbedPage<'a> {
    card: Card<'a>,
}

/// A badge for people, checked now; with `Accept: application/json` the result of the check.
#[utoipa::path(get, path = "/display/{handle}", tag = "displays", params(("handle" = String, Path)),
    responses(
        (status = 200, description = "a page, or {handle, name, kind, platform, sandbox, until, digest, height, ageSeconds}", content((String = "text/html"), (Object = "application/json"))),
        (status = 400, description = "display.handle_form", content((String = "text/html"), (Object = "application/problem+json"))),
        (status = 404, description = "display.not_shown", content((String = "text/html"), (Object = "application/problem+json"))),
        (status = 410, description = "display.taken_back, display.expired", content((String = "text/html"), (Object = "application/problem+json"))),
        (status = 503, description = "light.stale", content((String = "text/html"), (Object = "application/problem+json"))),
    ))]
async fn badge_page(State(gate): Gate, Path(text): Path<String>, headers: HeaderMap) -> Response {
    let as_json = wants_json(&headers);
    let card = |found: &Found, handle: &str| -> Response {
        let badge = format!("{}/display/{handle}", gate.issuer);
        let page = BadgePage {
            embed: format!("{badge}/embed"),
            json: format!("{badge}/badge.json"),
            card: found.card(handle, badge),
        };
        framed(&page, found.status())
    };
    let found = look(&gate, &text).await;
    match &found {
        Found::Refused(refusal) if as_json => problem(*refusal),
        Found::Shown(badge, shown) if as_json => Json(checked(badge, shown, &text)).into_response(),
        found => card(found, &text),
    }
}

fn checked(badge: &Badge, shown: &ShownCard, handle: &str) -> Value {
    json!({
        "handle": handle,
        "name": shown.name,
        "kind": shown.kind.code(),
        "platform": shown.platform,
        "sandbox": shown.sandbox,
        "until": badge.claimed().terms.expires_s,
        "digest": badge.claimed().digest.to_string(),
        "height": shown.height,
        "ageSeconds": shown.age_s,
    })
}

/// The badge as a credential that anybody can check by themselves.
#[utoipa::path(get, path = "/display/{handle}/badge.json", tag = "displays", params(("handle" = String, Path)),
    responses((status = 200, description = "the badge of spec/displays.md", body = Object), (status = 404, description = "display.not_shown"), (status = 410, description = "display.taken_back, display.expired"), (status = 503, description = "light.stale")))]
async fn badge_json(State(gate): Gate, Path(text): Path<String>) -> Response {
    match look(&gate, &text).await {
        Found::Shown(badge, _) => {
            let headers = [(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")];
            (headers, Json(badge.to_json())).into_response()
        }
        Found::Refused(refusal) => problem(refusal),
    }
}

/// The badge for a frame on any page.
#[utoipa::path(get, path = "/display/{handle}/embed", tag = "displays", params(("handle" = String, Path)),
    responses(
        (status = 200, description = "a page", content_type = "text/html", body = String),
        (status = 400, description = "display.handle_form", content_type = "text/html", body = String),
        (status = 404, description = "display.not_shown", content_type = "text/html", body = String),
        (status = 410, description = "display.taken_back, display.expired", content_type = "text/html", body = String),
        (status = 503, description = "light.stale", content_type = "text/html", body = String),
    ))]
async fn embed(State(gate): Gate, Path(text): Path<String>) -> Response {
    let found = look(&gate, &text).await;
    let badge = format!("{}/display/{text}", gate.issuer);
    let page = EmbedPage {
        card: found.card(&text, badge),
    };
    framed(&page, found.status())
}

/// The badges' style sheet.
#[utoipa::path(get, path = "/assets/badge.css", tag = "displays", responses((status = 200, description = "a style sheet", content_type = "text/css", body = String)))]
async fn style() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/css"),
        (header::CACHE_CONTROL, "max-age=3600"),
    ];
    (headers, include_str!("../../assets/badge.css")).into_response()
}

/// What stands at a handle.
enum Found {
    Shown(Box<Badge>, ShownCard),
    Refused(Refusal),
}

impl Found {
    fn status(&self) -> StatusCode {
        match self {
            Self::Shown(..) => StatusCode::OK,
            Self::Refused(refusal) => {
                StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST)
            }
        }
    }

    fn card<'a>(&'a self, handle: &'a str, badge: String) -> Card<'a> {
        let (shown, refusal) = match self {
            Self::Shown(_, shown) => (Some(shown), None),
            Self::Refused(refusal) => (None, Some(*refusal)),
        };
        Card {
            handle,
            badge,
            shown,
            refusal,
        }
    }
}

async fn look(gate: &Inner, text: &str) -> Found {
    let refused = |refusal: Refusal| {
        // What has ended is gone, whoever asks.
        let gone = matches!(refusal.code, "display.taken_back" | "display.expired");
        let status = if gone { 410 } else { refusal.status };
        Found::Refused(Refusal { status, ..refusal })
    };
    let handle = match Handle::parse(text) {
        Ok(handle) => handle,
        Err(error) => return refused(error.into()),
    };
    match gate.badge_at(&handle).await {
        Ok(Standing::Shown(badge, verified, height, age_s)) => {
            let card = ShownCard::of(&verified, height, age_s);
            Found::Shown(Box::new(badge), card)
        }
        Ok(Standing::None) => refused(Refusal::NOT_SHOWN),
        Err(refusal) => refused(refusal),
    }
}

/// A page that any other may frame: it has nothing to click that would change anything.
fn framed(page: &impl Template, status: StatusCode) -> Response {
    const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; \
                          frame-ancestors *";
    let Ok(body) = page.render() else {
        return problem(Refusal::INTERNAL);
    };
    let policy = HeaderValue::from_static(POLICY);
    (
        status,
        [(header::CONTENT_SECURITY_POLICY, policy)],
        Html(body),
    )
        .into_response()
}

impl Inner {
    fn badge_uri(&self, handle: &Handle) -> String {
        let mut url = String::from(&self.issuer);
        url.push_str("/display/");
        url.extend(form_urlencoded::byte_serialize(handle.as_str().as_bytes()));
        url
    }
}
