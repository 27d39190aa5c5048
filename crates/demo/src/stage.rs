//! A platform: profiles, followers, and a real name where very many follow.
//!
//! It signs people in like any site and knows them by `sub` alone. Beside that it makes a few calls to its
//! gate, with its client id and secret (docs/displays.md): how many followers an account has, whether a person or an
//! organisation is behind it, and that its person be asked for the name. It holds no name: the badge is the gate's, in a frame. Whoever is
//! banned is banned by `sub`, so a new phone, a new identifier or a wallet rebuilt from words changes nothing.
//!
//! Followers come from a button. The moderator is whoever presses the other button: it is a demo.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use askama::Template;
use axum::extract::{Form, Path, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use realdid_sign_in::{Visitor, wants_json};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::pages::html;
use crate::{DemoConfig, DemoError, Theme};

mod kind;
mod refused;

use kind::Kind;
use refused::Refused;

/// What one press of the button brings.
const CROWD: u64 = 250_000;
/// What is left after a purge.
const REMNANT: u64 = 1_000;
const GATE_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_PROFILES: usize = 1_000;
const MAX_ANSWER_BYTES: usize = 64 * 1024;

struct Stage {
    config: DemoConfig,
    http: reqwest::Client,
    state: Mutex<Saved>,
}

/// What the platform remembers.
#[derive(Default, Serialize, Deserialize)]
struct Saved {
    profiles: BTreeMap<String, Profile>,
    banned: BTreeSet<String>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Profile {
    /// The person who runs it, for themselves or for an organisation.
    subject: String,
    followers: u64,
    topic: String,
    #[serde(default)]
    kind: Kind,
    /// When the gate was told last, Unix seconds.
    reported_s: u64,
}

type Site = State<Arc<Stage>>;

pub(crate) fn router(config: &DemoConfig) -> Result<Router, DemoError> {
    let http = reqwest::Client::builder().timeout(GATE_TIMEOUT).build();
    let http = http.map_err(|error| realdid_sign_in::SignInError::NoClient(error.to_string()))?;
    let saved = match &config.data {
        Some(path) => match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|_| damaged(path))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Saved::default(),
            Err(_) => return Err(damaged(path)),
        },
        None => Saved::default(),
    };
    let stage = Stage {
        config: config.clone(),
        http,
        state: Mutex::new(saved),
    };
    Ok(Router::new()
        .route("/", get(home))
        .route("/profiles", post(open))
        .route("/u/{handle}", get(profile))
        .route("/u/{handle}/grow", post(grow))
        .route("/u/{handle}/purge", post(purge))
        .route("/u/{handle}/show-name", post(show_name))
        .route("/u/{handle}/hide-name", post(hide_name))
        .route("/u/{handle}/appeal", post(appeal))
        .route("/u/{handle}/ban", post(ban))
        .with_state(Arc::new(stage)))
}

fn damaged(path: &std::path::Path) -> DemoError {
    DemoError::Data {
        path: PathBuf::from(path),
    }
}

impl Stage {
    fn state(&self) -> MutexGuard<'_, Saved> {
        // Each change is one insert: a poisoned map is still a sound one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn save(&self) {
        let Some(path) = &self.config.data else {
            return;
        };
        let text = serde_json::to_vec_pretty(&*self.state()).unwrap_or_default();
        let beside = path.with_extension("new");
        let written = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, path));
        if let Err(error) = written {
            tracing::error!(kind = %error.kind(), "the profiles are not kept");
        }
    }

    /// The visitor, unless they are banned.
    fn admitted<'a>(&self, visitor: Option<&'a Visitor>) -> Result<Option<&'a Visitor>, Refused> {
        let banned = visitor.is_some_and(|visitor| self.state().banned.contains(&visitor.sub));
        if banned {
            Err(Refused::banned())
        } else {
            Ok(visitor)
        }
    }

    /// A form of this site's own, from somebody who is signed in.
    fn acting(&self, visitor: Option<Visitor>, headers: &HeaderMap) -> Result<Visitor, Refused> {
        let foreign = headers
            .get(ORIGIN)
            .is_some_and(|origin| origin.as_bytes() != self.config.public_url.as_bytes());
        if foreign {
            return Err(Refused::new(
                StatusCode::FORBIDDEN,
                "platform.origin",
                "Forms are sent from this site's own pages.",
                "Go to the front page.",
            ));
        }
        self.admitted(visitor.as_ref())?;
        visitor.ok_or_else(|| {
            Refused::new(
                StatusCode::UNAUTHORIZED,
                "platform.signed_out",
                "Only who is signed in can do this.",
                "Sign in first.",
            )
        })
    }

    fn find(&self, handle: &str) -> Result<Profile, Refused> {
        let profile = self.state().profiles.get(handle).cloned();
        profile.ok_or_else(Refused::unknown)
    }

    fn own(&self, handle: &str, visitor: &Visitor) -> Result<Profile, Refused> {
        let profile = self.find(handle)?;
        if profile.subject == visitor.sub {
            Ok(profile)
        } else {
            Err(Refused::not_yours())
        }
    }

    /// A call to the gate. Its refusals come back in its own words.
    async fn call(&self, path: &str, body: Option<Value>) -> Result<Value, Refused> {
        let url = format!("{}{path}", self.config.issuer.trim_end_matches('/'));
        let request = match body {
            None => self.http.get(url),
            Some(body) => self
                .http
                .post(url)
                .header(CONTENT_TYPE, "application/json")
                .body(body.to_string()),
        };
        let request = request.basic_auth(&self.config.client_id, Some(&self.config.client_secret));
        let answer = request.send().await.map_err(|_| Refused::gate())?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(|_| Refused::gate())?;
        let value: Value = serde_json::from_slice(
            bytes
                .get(..MAX_ANSWER_BYTES.min(bytes.len()))
                .unwrap_or_default(),
        )
        .map_err(|_| Refused::gate())?;
        if status.is_success() {
            return Ok(value);
        }
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        Err(Refused {
            status,
            code: text("code"),
            rule: format!(
                "The gate refused, since it has to be that {}.",
                text("rule")
            ),
            fix: text("fix"),
        })
    }

    /// Tells the gate how many follow an account, and keeps what was told.
    async fn report(&self, handle: &str, mut profile: Profile) -> Result<Value, Refused> {
        // Two presses within a second are two moments.
        profile.reported_s = now_s().max(profile.reported_s + 1);
        let report = json!({
            "handle": handle,
            "subject": profile.subject,
            "at": profile.reported_s,
            "followers": profile.followers,
            "topics": [profile.topic],
            "kind": profile.kind,
        });
        let standing = self.call("/displays/reports", Some(report)).await?;
        self.state().profiles.insert(handle.to_owned(), profile);
        self.save();
        Ok(standing)
    }

    /// A profile's address, in its one spelling.
    fn address(&self, handle: &str) -> String {
        let address = format!("{}/u/{handle}", self.config.public_url);
        reqwest::Url::parse(&address).map_or(address, String::from)
    }

    fn back_to(&self, handle: &str) -> Response {
        see_other(&self.address(handle))
    }

    /// A page that may frame the gate's badges, and whose forms lead there.
    fn page(&self, page: &impl Template) -> Response {
        let gate = self.config.issuer.trim_end_matches('/');
        let policy = format!(
            "default-src 'none'; style-src 'self'; frame-src {gate}; form-action 'self' {gate}; \
             base-uri 'none'; frame-ancestors 'none'"
        );
        let mut response = html(StatusCode::OK, page);
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            response
                .headers_mut()
                .insert(CONTENT_SECURITY_POLICY, policy);
        }
        response
    }
}

fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn see_other(location: &str) -> Response {
    match HeaderValue::from_str(location) {
        Ok(location) => (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// `1 250 000`, with thin spaces between.
fn spaced(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{2009}');
        }
        out.push(digit);
    }
    out
}

#[derive(Template)]
#[template(path = "stage.html")]
struct HomePage<'a> {
    config: &'a DemoConfig,
    visitor: Option<&'a Visitor>,
    own: Option<String>,
    profiles: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "profile.html")]
struct ProfilePage<'a> {
    config: &'a DemoConfig,
    visitor: Option<&'a Visitor>,
    handle: &'a str,
    followers: String,
    topic: &'a str,
    kind: &'static str,
    whose: &'static str,
    own: bool,
    /// What the gate says, where it answered.
    standing: &'a str,
    peak: String,
    rule: String,
    due_days: u64,
    costs: Vec<String>,
    appeal_open: bool,
    shown: bool,
    labelled: bool,
    gate: &'a str,
}

async fn home(State(stage): Site, visitor: Option<Visitor>, headers: HeaderMap) -> Response {
    if let Err(refused) = stage.admitted(visitor.as_ref()) {
        return refused.respond(&stage, &headers);
    }
    let state = stage.state();
    let mut listed: Vec<_> = state
        .profiles
        .iter()
        .filter(|(_, profile)| !state.banned.contains(&profile.subject))
        .map(|(handle, profile)| (profile.followers, handle.clone()))
        .collect();
    listed.sort_by(|one, other| other.cmp(one));
    let own = visitor.as_ref().and_then(|visitor| {
        let mine = state
            .profiles
            .iter()
            .find(|(_, profile)| profile.subject == visitor.sub);
        mine.map(|(handle, _)| handle.clone())
    });
    drop(state);
    let page = HomePage {
        config: &stage.config,
        visitor: visitor.as_ref(),
        own,
        profiles: listed
            .into_iter()
            .map(|(followers, handle)| (handle, spaced(followers)))
            .collect(),
    };
    stage.page(&page)
}

#[derive(Deserialize)]
struct NewProfile {
    handle: String,
    topic: String,
    #[serde(default)]
    kind: Kind,
}

/// One profile a person: there is one `sub` for each.
async fn open(
    State(stage): Site,
    visitor: Option<Visitor>,
    headers: HeaderMap,
    Form(new): Form<NewProfile>,
) -> Response {
    let opened = async {
        let visitor = stage.acting(visitor, &headers)?;
        let taken = {
            let state = stage.state();
            state.profiles.contains_key(&new.handle)
                || state
                    .profiles
                    .values()
                    .any(|profile| profile.subject == visitor.sub)
                || state.profiles.len() >= MAX_PROFILES
        };
        if taken {
            return Err(Refused::new(
                StatusCode::CONFLICT,
                "platform.taken",
                "A handle is somebody's, and a person has one profile.",
                "Choose another handle, or use the profile that you have.",
            ));
        }
        let profile = Profile {
            subject: visitor.sub,
            followers: 12,
            topic: new.topic.chars().take(40).collect(),
            kind: new.kind,
            reported_s: 0,
        };
        stage.report(&new.handle, profile).await
    };
    match opened.await {
        Ok(_) => stage.back_to(&new.handle),
        Err(refused) => refused.respond(&stage, &headers),
    }
}

/// A profile; with `Accept: application/json` what the platform and its gate know of it.
async fn profile(
    State(stage): Site,
    visitor: Option<Visitor>,
    Path(handle): Path<String>,
    headers: HeaderMap,
) -> Response {
    let found = async {
        stage.admitted(visitor.as_ref())?;
        let profile = stage.find(&handle)?;
        if stage.state().banned.contains(&profile.subject) {
            return Err(Refused::unknown());
        }
        let standing = stage
            .call(&format!("/displays/accounts/{handle}"), None)
            .await;
        // The page of a profile is shown even while the gate is down.
        Ok((profile, standing.unwrap_or_default()))
    };
    let (profile, standing) = match found.await {
        Ok(found) => found,
        Err(refused) => return refused.respond(&stage, &headers),
    };
    let own = visitor
        .as_ref()
        .is_some_and(|visitor| visitor.sub == profile.subject);
    if wants_json(&headers) {
        let body = json!({"handle": handle, "followers": profile.followers, "kind": profile.kind, "own": own, "standing": standing});
        return Json(body).into_response();
    }
    let due_s = standing["requirement"]["due"].as_u64().unwrap_or_default();
    let costs = standing["costs"].as_array().into_iter().flatten();
    let costs: Vec<String> = costs
        .filter_map(|cost| cost.as_str().map(str::to_owned))
        .collect();
    let page = ProfilePage {
        config: &stage.config,
        visitor: visitor.as_ref(),
        followers: spaced(profile.followers),
        topic: &profile.topic,
        kind: profile.kind.words(),
        // The policy may ask for another one's name than that of who is behind it.
        whose: serde_json::from_value(standing["shows"].clone())
            .unwrap_or(profile.kind)
            .whose(),
        own,
        standing: standing["standing"].as_str().unwrap_or("unknown"),
        peak: spaced(standing["peak"].as_u64().unwrap_or_default()),
        rule: standing["requirement"]["rule"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        due_days: due_s.saturating_sub(now_s()).div_ceil(86_400),
        labelled: costs.iter().any(|cost| cost == "label"),
        costs,
        appeal_open: standing["appealOpen"] == true,
        shown: standing["badge"].is_string(),
        handle: &handle,
        gate: stage.config.issuer.trim_end_matches('/'),
    };
    stage.page(&page)
}

async fn grow(
    site: Site,
    visitor: Option<Visitor>,
    path: Path<String>,
    headers: HeaderMap,
) -> Response {
    follow(site, visitor, path, headers, |followers| followers + CROWD).await
}

/// What an account might try that wants to get below a threshold.
async fn purge(
    site: Site,
    visitor: Option<Visitor>,
    path: Path<String>,
    headers: HeaderMap,
) -> Response {
    follow(site, visitor, path, headers, |followers| {
        followers.min(REMNANT)
    })
    .await
}

async fn follow(
    State(stage): Site,
    visitor: Option<Visitor>,
    Path(handle): Path<String>,
    headers: HeaderMap,
    change: fn(u64) -> u64,
) -> Response {
    let done = async {
        let visitor = stage.acting(visitor, &headers)?;
        let profile = stage.own(&handle, &visitor)?;
        let followers = change(profile.followers);
        stage
            .report(
                &handle,
                Profile {
                    followers,
                    ..profile
                },
            )
            .await
    };
    match done.await {
        Ok(standing) if wants_json(&headers) => Json(standing).into_response(),
        Ok(_) => stage.back_to(&handle),
        Err(refused) => refused.respond(&stage, &headers),
    }
}

/// Sends the person to the gate, which asks their wallet.
async fn show_name(
    State(stage): Site,
    visitor: Option<Visitor>,
    Path(handle): Path<String>,
    headers: HeaderMap,
) -> Response {
    let asked = async {
        let visitor = stage.acting(visitor, &headers)?;
        stage.own(&handle, &visitor)?;
        let body = json!({"handle": handle, "return_uri": stage.address(&handle)});
        stage.call("/displays/requests", Some(body)).await
    };
    match asked.await {
        Ok(asked) if wants_json(&headers) => Json(asked).into_response(),
        Ok(asked) => see_other(asked["page"].as_str().unwrap_or("/")),
        Err(refused) => refused.respond(&stage, &headers),
    }
}

async fn hide_name(
    site: Site,
    visitor: Option<Visitor>,
    path: Path<String>,
    headers: HeaderMap,
) -> Response {
    own_call(site, visitor, path, headers, "/displays/withdrawals", None).await
}

async fn appeal(
    site: Site,
    visitor: Option<Visitor>,
    path: Path<String>,
    headers: HeaderMap,
) -> Response {
    own_call(
        site,
        visitor,
        path,
        headers,
        "/displays/appeals",
        Some("open"),
    )
    .await
}

async fn own_call(
    State(stage): Site,
    visitor: Option<Visitor>,
    Path(handle): Path<String>,
    headers: HeaderMap,
    call: &str,
    step: Option<&str>,
) -> Response {
    let done = async {
        let visitor = stage.acting(visitor, &headers)?;
        stage.own(&handle, &visitor)?;
        let mut body = json!({"handle": handle});
        if let Some(step) = step {
            body["step"] = step.into();
        }
        stage.call(call, Some(body)).await
    };
    match done.await {
        Ok(standing) if wants_json(&headers) => Json(standing).into_response(),
        Ok(_) => stage.back_to(&handle),
        Err(refused) => refused.respond(&stage, &headers),
    }
}

/// Bans the person behind a profile, whoever presses: by `sub`, for good. A name that they show goes.
async fn ban(
    State(stage): Site,
    visitor: Option<Visitor>,
    Path(handle): Path<String>,
    headers: HeaderMap,
) -> Response {
    let done = async {
        stage.acting(visitor, &headers)?;
        let profile = stage.find(&handle)?;
        stage.state().banned.insert(profile.subject);
        stage.save();
        let withdrawn = stage.call("/displays/withdrawals", Some(json!({"handle": handle})));
        match withdrawn.await {
            Err(refused) if refused.code != "display.not_shown" => Err(refused),
            _ => Ok(()),
        }
    };
    match done.await {
        Ok(()) => see_other("/"),
        Err(refused) => refused.respond(&stage, &headers),
    }
}

#[cfg(test)]
mod tests {
    use super::spaced;

    #[test]
    fn numbers_are_read_in_threes() {
        assert_eq!(spaced(12), "12");
        assert_eq!(spaced(1_000), "1\u{2009}000");
        assert_eq!(spaced(12_345_678), "12\u{2009}345\u{2009}678");
    }
}
