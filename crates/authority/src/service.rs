//! The authority as a service: what it is made of, its routes, and [`run`].
//!
//! | route | what |
//! | --- | --- |
//! | `GET /` | a page: what this is, how many are enrolled, which keys |
//! | `POST /v1/enrolments` | evidence and a blinded number in, an enrolment and an offer out |
//! | `POST /v1/sponsor` | an enrolled person's anchor, sponsored and handed in |
//! | `POST /v1/mandates` | an offer to whoever may act for an organisation: [`crate::mandates`] |
//! | `POST /v1/batches/paths` | where a holder's copies stand in issuance batches |
//! | `GET /status/…` | status lists: [`crate::statuses`] |
//! | the others | OpenID4VCI 1.0: [`crate::endpoints`] |

use askama::Template;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use realdid_core::hash::Hash32;
use realdid_core::state::{Issuer, KeyUse, PersonTag, issuer_id};
use realdid_exchange::batch::PathsRequest;
use realdid_exchange::tag::{EnrolmentRequest, Evidence};
use realdid_exchange::vci::attestation::Providers;
use realdid_serve::{Bound, ConfigError, Probes, Problem, ServeError, limit_rate};
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};
use utoipa::OpenApi;

use crate::batches::{Batches, PathsError};
use crate::config::{AuthorityConfig, BatchConfig, Limits, LongLivedConfig, RealPassConfig};
use crate::endpoints::{self, refusal, with_nonce};
use crate::keys::{AuthorityKeys, KeyFileError};
use crate::ledger::{Ledger, LedgerError};
use crate::mandates;
use crate::oauth::Caller;
use crate::realpass::Desk;
use crate::register::foreigners::{self, Foreigners};
use crate::register::http::HttpRegister;
use crate::register::organisations::Organisations;
use crate::register::organisations::http::HttpOrganisations;
use crate::register::organisations::synthetic::SyntheticOrganisations;
use crate::register::passports::{ListsError, Passports};
use crate::register::synthetic::SyntheticRegister;
use crate::register::{Person, Register, RegisterRefusal};
use crate::sponsoring::SponsorError;
use crate::statuses::Statuses;
use crate::store::{Store, StoreError};
use crate::text::Clock;
use crate::upstreams::{UpstreamConfigError, Upstreams};

/// How often the ledger is looked at, and expired rows are forgotten.
const HEARTBEAT: Duration = Duration::from_secs(2);
const CLEANING_BEATS: u64 = 30;
/// How long the ledger may be silent before the authority is not ready.
const SILENCE_MS: u64 = 15_000;
/// Locks, so that one person's enrolments wait for each other and other people's do not.
const TURNS: usize = 64;

/// Why an authority or a registrar could not run. Displays as the command line's one-line error.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Register(#[from] RegisterRefusal),
    #[error(
        "key.malformed: each RealPass key must make a key; fault: operator; do: restore pass.key \
         from its backup"
    )]
    PassKeys,
    #[error(transparent)]
    Lists(#[from] ListsError),
    #[error(transparent)]
    Upstream(#[from] UpstreamConfigError),
    #[error(transparent)]
    Serve(#[from] ServeError),
}

impl AuthorityError {
    /// Stable, dotted code.
    pub fn code(&self) -> &str {
        match self {
            Self::Config(error) => error.code(),
            Self::Keys(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Ledger(error) => error.code(),
            Self::Register(error) => error.code(),
            Self::PassKeys => "key.malformed",
            Self::Lists(error) => error.code(),
            Self::Upstream(error) => error.code(),
            Self::Serve(error) => error.code(),
        }
    }
}

/// Everything that an authority needs to answer.
pub struct Authority {
    /// The public URL: the issuer's identity.
    pub(crate) url: String,
    pub(crate) issuer_id: Hash32,
    pub(crate) name: String,
    pub(crate) country: String,
    pub(crate) sponsor_quota: u64,
    /// Who may attest wallets and their keys.
    pub(crate) providers: Providers,
    /// Whether only attested wallets are issued to.
    pub(crate) attested_only: bool,
    pub(crate) keys: AuthorityKeys,
    pub(crate) register: Register,
    /// None where it issues no credentials of organisations.
    pub(crate) organisations: Option<Organisations>,
    pub(crate) foreigners: Foreigners,
    pub(crate) upstreams: Upstreams,
    pub(crate) store: Store,
    pub(crate) ledger: Ledger,
    pub(crate) clock: Clock,
    /// What issuing RealPasses has at hand.
    pub(crate) desk: Desk,
    pub(crate) batches: Batches,
    pub(crate) long_lived: Option<LongLivedConfig>,
    pub(crate) statuses: Statuses,
    /// Whether the ledger's record of this issuer has these keys.
    pub(crate) admitted: AtomicBool,
    /// The epoch before which every total is on the ledger, as far as this process knows.
    pub(crate) declared_until: AtomicU64,
    turns: Vec<Mutex<()>>,
}

/// What an authority is made of.
pub(crate) struct Parts {
    pub url: String,
    pub name: String,
    pub country: String,
    pub limits: Limits,
    pub realpass: RealPassConfig,
    pub batches: BatchConfig,
    pub long_lived: Option<LongLivedConfig>,
    pub providers: Providers,
    pub attested_only: bool,
    pub keys: AuthorityKeys,
    pub register: Register,
    pub organisations: Option<Organisations>,
    pub passports: Option<Passports>,
    pub upstreams: Upstreams,
    pub store: Store,
    pub ledger: Ledger,
    pub clock: Clock,
}

impl Authority {
    pub(crate) fn new(parts: Parts) -> Result<Self, AuthorityError> {
        let by = parts.ledger.genesis().hash_function();
        let issuer_id = issuer_id(by, &parts.url);
        let network = parts.ledger.genesis().network.as_str();
        let pass_keys = parts.keys.pass_keys(network, &issuer_id);
        let pass_keys = pass_keys.map_err(|_| AuthorityError::PassKeys)?;
        let foreigners = Foreigners::new(
            parts.store.clone(),
            &parts.keys.register_seed,
            &parts.country,
            parts.passports,
        );
        Ok(Self {
            desk: Desk::new(pass_keys, parts.realpass.min_cohort),
            batches: Batches::new(parts.batches, by),
            long_lived: parts.long_lived,
            statuses: Statuses::default(),
            issuer_id,
            url: parts.url,
            name: parts.name,
            country: parts.country,
            sponsor_quota: parts.limits.sponsored_per_person,
            providers: parts.providers,
            attested_only: parts.attested_only,
            keys: parts.keys,
            register: parts.register,
            organisations: parts.organisations,
            foreigners,
            upstreams: parts.upstreams,
            store: parts.store,
            ledger: parts.ledger,
            clock: parts.clock,
            admitted: AtomicBool::new(false),
            declared_until: AtomicU64::new(u64::MAX),
            turns: (0..TURNS).map(|_| Mutex::new(())).collect(),
        })
    }

    /// The person whom evidence proves, by the register or by what the authority verifies itself.
    pub(crate) async fn who(&self, evidence: &Evidence) -> Result<Person, RegisterRefusal> {
        let now_s = self.clock.now_s();
        match evidence {
            Evidence::Card(card) => self.register.check(card).await,
            Evidence::Passport(passport) => self.foreigners.by_passport(passport, now_s).await,
            Evidence::Upstream(login) => self.foreigners.by_upstream(login, now_s).await,
        }
    }

    /// The person with this reference, who has proved themselves before.
    pub(crate) async fn person(&self, reference: &str) -> Result<Person, RegisterRefusal> {
        match reference.starts_with(foreigners::PREFIX) {
            true => self.foreigners.person(reference).await,
            false => self.register.person(reference).await,
        }
    }

    /// Whether nobody in its register lives.
    pub(crate) fn is_synthetic(&self) -> bool {
        matches!(self.register, Register::Synthetic(_))
    }

    /// Waits until no other enrolment under this tag is on its way.
    pub(crate) async fn turn(&self, tag: &PersonTag) -> MutexGuard<'_, ()> {
        self.turns[usize::from(tag.0[0]) % TURNS].lock().await
    }

    /// Whether the ledger knows this authority by the keys that it has.
    fn is_admitted(&self, record: &Issuer) -> bool {
        let own = self.keys.issuer(&self.url);
        own.tag_key == record.tag_key
            && own
                .keys
                .iter()
                .all(|key| record.acts_with(key.usage, &key.key))
    }

    /// One look at the ledger.
    pub(crate) async fn beat(&self) -> Result<(), LedgerError> {
        self.ledger.tip().await?;
        // Looked up at each beat: it names the RealPass key of the next epoch.
        let record = self.ledger.issuer(&self.issuer_id).await?.record;
        let admitted = record
            .as_ref()
            .is_some_and(|record| self.is_admitted(record));
        self.admitted.store(admitted, Ordering::Relaxed);
        record
            .into_iter()
            .for_each(|record| self.desk.learn(record));
        Ok(())
    }

    /// Why the authority cannot do its work now; empty when it can.
    pub(crate) async fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.store.ping().await.is_err() {
            reasons.push("store.unavailable".to_owned());
        }
        let silence_ms = self
            .clock
            .now_ms()
            .saturating_sub(self.ledger.answered_ms());
        if silence_ms > SILENCE_MS {
            reasons.push("ledger.unavailable".to_owned());
        } else if !self.admitted.load(Ordering::Relaxed) {
            reasons.push("issuer.unknown".to_owned());
        }
        reasons
    }
}

/// Runs an authority until it is told to stop.
pub async fn run(config: AuthorityConfig) -> Result<(), AuthorityError> {
    let bound = Bound::bind(config.serve_options()).await?;
    let clock = Clock::system();
    let keys = AuthorityKeys::load(&config.dir)?;
    let register = match &config.register.url {
        Some(url) => {
            let token = token_in(&config.register.token_file)?;
            Register::Http(HttpRegister::new(url, token)?)
        }
        None => Register::Synthetic(SyntheticRegister::in_dir(
            &keys.register_seed,
            config.register.residents,
            &config.dir,
        )),
    };
    let organisations = match (&config.organisations.url, &register) {
        (Some(url), _) => {
            let token = token_in(&config.organisations.token_file)?;
            Some(Organisations::Http(HttpOrganisations::new(url, token)?))
        }
        // Invented organisations stand beside invented residents, and beside nobody else.
        (None, Register::Synthetic(_)) => Some(Organisations::Synthetic(
            SyntheticOrganisations::new(&keys.register_seed),
        )),
        (None, Register::Http(_)) => None,
    };
    let authority = Arc::new(Authority::new(Parts {
        url: bound.public_url(),
        name: config.name,
        country: config.country,
        limits: config.limits.clone(),
        realpass: config.realpass,
        batches: config.batches,
        long_lived: config.long_lived,
        providers: config.attestation.providers()?,
        attested_only: config.attestation.required,
        keys,
        register,
        organisations,
        passports: config.passports.as_ref().map(Passports::open).transpose()?,
        upstreams: Upstreams::open(&config.upstream, &bound.public_url())?,
        store: Store::open(&config.dir, &config.store).await?,
        ledger: Ledger::open(&config.nodes, &config.genesis, &config.dir, clock.clone())?,
        clock,
    })?);
    let network = crate::network::route(&config.genesis, &config.nodes)?;
    let heart = tokio::spawn(heartbeat(authority.clone()));
    let batching = tokio::spawn(batching(authority.clone()));
    let router = router(authority.clone(), &config.limits).merge(network);
    let served = bound.serve("authority", router, probes(&authority)).await;
    heart.abort();
    batching.abort();
    authority.hand_in_counts().await?;
    Ok(served?)
}

/// The bearer token in a file, where one is configured.
fn token_in(file: &Option<PathBuf>) -> Result<Option<String>, KeyFileError> {
    let read = |path: &PathBuf| match std::fs::read_to_string(path) {
        Ok(token) => Ok(token.trim().to_owned()),
        Err(_) => Err(KeyFileError::Missing { path: path.clone() }),
    };
    file.as_ref().map(read).transpose()
}

/// Readiness and API description.
pub(crate) fn probes(authority: &Arc<Authority>) -> Probes {
    let authority = authority.clone();
    Probes::new(
        Api::openapi()
            .merge_from(endpoints::Api::openapi())
            .merge_from(mandates::Api::openapi())
            .merge_from(crate::upstreams::Api::openapi())
            .merge_from(crate::network::Api::openapi())
            .merge_from(crate::statuses::Api::openapi()),
    )
    .ready_when(move || {
        let authority = authority.clone();
        async move { authority.reasons().await }
    })
}

async fn heartbeat(authority: Arc<Authority>) {
    let mut beats = 0u64;
    let mut was_silent = false;
    loop {
        match authority.beat().await {
            Ok(()) => was_silent = false,
            Err(error) if !was_silent => {
                was_silent = true;
                tracing::warn!(code = error.code(), "the ledger gives no proved answer");
            }
            Err(_) => {}
        }
        if let Err(error) = authority.hand_in_counts().await {
            tracing::warn!(code = error.code(), "counts are handed in later");
        }
        if beats.is_multiple_of(CLEANING_BEATS) {
            let parameters = &authority.ledger.genesis().parameters;
            let epoch = parameters.epoch_at(authority.clock.now_ms());
            if let Err(error) = authority.store.clean(authority.clock.now_s(), epoch).await {
                tracing::warn!(code = error.code(), "expired rows stay for now");
            }
        }
        if !was_silent && let Err(error) = authority.declare_totals().await {
            let answer = error.answer("server_error");
            tracing::warn!(code = answer.problem().code(), "totals are declared later");
        }
        beats += 1;
        tokio::time::sleep(HEARTBEAT).await;
    }
}

/// Batches and status lists wait until they are final, so they do not stand in the way of the rest.
async fn batching(authority: Arc<Authority>) {
    loop {
        if let Err(error) = authority.anchor_batches().await {
            let answer = error.answer("server_error");
            tracing::warn!(code = answer.problem().code(), "batches are anchored later");
        }
        if let Err(error) = authority.publish_lists().await {
            let answer = error.answer("server_error");
            tracing::warn!(
                code = answer.problem().code(),
                "status lists are published later"
            );
        }
        tokio::time::sleep(HEARTBEAT).await;
    }
}

/// The authority's routes.
pub fn router(authority: Arc<Authority>, limits: &Limits) -> Router {
    let limited = Router::new()
        .route("/v1/enrolments", post(enrol))
        .with_state(authority.clone());
    Router::new()
        .route("/", get(page))
        .route("/style.css", get(style))
        .route("/v1/sponsor", post(sponsor))
        .route("/v1/batches/paths", post(paths))
        .with_state(authority.clone())
        .merge(endpoints::router(authority.clone(), limits.rate()))
        .merge(mandates::router(authority.clone(), limits.rate()))
        .merge(crate::statuses::router(authority.clone()))
        .merge(crate::upstreams::router(authority, limits.rate()))
        .merge(limit_rate(limited, limits.rate()))
}

type Service = State<Arc<Authority>>;

/// Counts a refusal by its code, which is one of a closed list.
pub(crate) fn refused(part: &'static str, problem: Problem) -> Problem {
    metrics::counter!("authority_refusals_total", "part" => part, "code" => problem.code())
        .increment(1);
    if problem.status().is_server_error() {
        tracing::warn!(part, code = problem.code(), "a request failed");
    }
    problem
}

/// Reads a JSON body without quoting any of it in a refusal.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|_| {
        Problem::bad_request(
            "request.malformed",
            "the body must be JSON of the form that /openapi.json describes",
            "compare the request with /openapi.json",
        )
    })
}

/// Enrols whoever the evidence proves: one entry on the ledger, one offer of a PID.
#[utoipa::path(post, path = "/v1/enrolments", tag = "enrolment",
    request_body(content_type = "application/json", description = "{evidence, blinded, commitment}: the evidence file's content or what a login at an identity provider gave, the VOPRF client state (64 bytes, base64url), the enrolment commitment (hex)"),
    responses(
        (status = 200, description = "{evaluation: {element, proof}, issuer, height, seq, credential_offer, tx_code}", body = Object),
        (status = 400, description = "malformed, or a tag.… rule"),
        (status = 403, description = "an evidence.… or passport.… rule, or enrolment.suspended"),
        (status = 409, description = "enrolment.busy"),
        (status = 429, description = "request.rate"),
        (status = 503, description = "register.unavailable or ledger.unavailable"),
    ))]
async fn enrol(State(authority): Service, body: Bytes) -> Result<Response, Problem> {
    let request: EnrolmentRequest = read_json(&body)?;
    // A task of its own: a wallet that hangs up does not stop what is already on its way.
    let done = tokio::spawn(async move { authority.enrol(&request).await }).await;
    match done {
        Ok(Ok(response)) => Ok(Json(response).into_response()),
        Ok(Err(error)) => Err(refused("enrolment", error.problem())),
        Err(_) => Err(refused("enrolment", Problem::internal())),
    }
}

/// Sponsors an enrolled person's anchor and hands it in.
#[utoipa::path(post, path = "/v1/sponsor", tag = "enrolment",
    request_body(content_type = "application/cbor", description = "a signed operation, an anchor without sponsor; Authorization: DPoP with the refresh token and a proof of its key, or Bearer where it is bound to none"),
    responses(
        (status = 202, description = "{hash}: the operation's id", body = Object),
        (status = 400, description = "sponsor.kind, op.network, op.signature or a codec.… rule"),
        (status = 401, description = "vci.access_token, invalid_dpop_proof or use_dpop_nonce"),
        (status = 403, description = "enrolment.suspended"),
        (status = 429, description = "sponsor.quota"),
        (status = 422, description = "the ledger's rule"),
        (status = 503, description = "ledger.unavailable"),
    ))]
async fn sponsor(
    State(authority): Service,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let caller = Caller::of(&headers);
    let response = match authority.sponsor(&caller, &body).await {
        Ok(id) => {
            let body = Json(json!({"hash": id.to_string()}));
            (StatusCode::ACCEPTED, body).into_response()
        }
        Err(SponsorError::Bound(error)) => refusal("sponsor", &error, "invalid_token", true),
        Err(error) => return Err(refused("sponsor", error.problem())),
    };
    Ok(with_nonce(&authority, &caller, response))
}

/// Where a holder's copies stand in issuance batches.
#[utoipa::path(post, path = "/v1/batches/paths", tag = "enrolment",
    request_body(content_type = "application/json", description = "{items}: 1 to 32 digests of copies, in hex (spec/issuing.md, O14); Authorization: the refresh token, as it is bound"),
    responses(
        (status = 200, description = "{paths}: for each item its path in canonical CBOR, base64url, or null where its batch is not on the ledger", body = Object),
        (status = 400, description = "request.malformed or batch.request"),
        (status = 401, description = "vci.access_token, invalid_dpop_proof or use_dpop_nonce"),
    ))]
async fn paths(
    State(authority): Service,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let request: PathsRequest = read_json(&body)?;
    let caller = Caller::of(&headers);
    let response = match authority.paths(&caller, &request).await {
        Ok(paths) => Json(paths).into_response(),
        Err(PathsError::Bound(error)) => refusal("paths", &error, "invalid_token", true),
        Err(error) => return Err(refused("paths", error.problem())),
    };
    Ok(with_nonce(&authority, &caller, response))
}

#[derive(Template)]
#[template(path = "authority.html")]
struct Page<'a> {
    name: &'a str,
    url: &'a str,
    network: &'a str,
    issuer: String,
    enrolled: u64,
    suspended: u64,
    /// The last epoch whose RealPasses were counted, and how many they were.
    passes: Option<(u64, u64)>,
    synthetic: bool,
    keys: Vec<KeyRow>,
}

pub(crate) struct KeyRow {
    pub purpose: &'static str,
    pub id: String,
}

/// What this authority is, for people.
#[utoipa::path(get, path = "/", tag = "page", responses((status = 200, description = "a page", content_type = "text/html", body = String)))]
async fn page(State(authority): Service) -> Result<Response, Problem> {
    let internal = |_| refused("page", Problem::internal());
    let store = &authority.store;
    let (enrolled, suspended) = store.totals().await.map_err(internal)?;
    let passes = store.last_total().await.map_err(internal)?;
    let issuer = authority.keys.issuer(&authority.url);
    let mut keys: Vec<KeyRow> = issuer
        .keys
        .iter()
        .map(|key| KeyRow {
            purpose: match key.usage {
                KeyUse::Pid => "signs PIDs",
                KeyUse::Registration => "signs registrations",
                KeyUse::Operation => "signs operations",
            },
            id: key.id().to_string(),
        })
        .collect();
    keys.extend(issuer.tag_key.map(|key| KeyRow {
        purpose: "makes person tags",
        id: key.to_string(),
    }));
    keys.extend(issuer.pass_keys.iter().map(|entry| KeyRow {
        purpose: "signs RealPasses, from the first epoch on",
        id: entry.key.to_string(),
    }));
    let page = Page {
        name: &authority.name,
        url: &authority.url,
        network: authority.ledger.genesis().network.as_str(),
        issuer: authority.issuer_id.to_string(),
        enrolled,
        suspended,
        passes,
        synthetic: authority.is_synthetic(),
        keys,
    };
    render(&page)
}

pub(crate) fn render(page: &impl Template) -> Result<Response, Problem> {
    let html = page.render().map_err(|_| Problem::internal())?;
    Ok(Html(html).into_response())
}

/// The pages' style sheet.
#[utoipa::path(get, path = "/style.css", tag = "page", responses((status = 200, description = "a style sheet", content_type = "text/css", body = String)))]
pub(crate) async fn style() -> Response {
    let kind = HeaderValue::from_static("text/css; charset=utf-8");
    (
        [(header::CONTENT_TYPE, kind)],
        include_str!("../templates/style.css"),
    )
        .into_response()
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "RealDID authority",
        description = "Enrols people and issues PIDs and RealPasses over OpenID4VCI 1.0."
    ),
    paths(page, style, enrol, sponsor, paths)
)]
struct Api;
