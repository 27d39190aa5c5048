//! The registrar: it registers services and puts the digest of each registration on the ledger
//! (spec/registration.md, rules S1 to S7).
//!
//! This one makes sandbox registrations in one step, for anybody, and the wallet says so. Names of
//! organisations are in the JWT only; the ledger has a random service id and a salted digest.
//!
//! | route | what |
//! | --- | --- |
//! | `GET /` | a page with the registered services |
//! | `POST /v1/registrations` | domains, purposes, claims and a key in, a registration out |
//! | `GET /v1/registrations/{service}` | a registration again |
//! | `POST /v1/displays` | a gate's order: a display's digest on the ledger, or its withdrawal |

mod orders;

use askama::Template;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use realdid_core::hash::Hash32;
use realdid_core::operation::Body;
use realdid_core::state::issuer_id;
use realdid_credential::ClaimPath;
use realdid_credential::jose::Jwk;
use realdid_exchange::display::DisplayError;
use realdid_exchange::registration::{
    self, Purpose, Registration, RegistrationError, claim_path, normal_domain,
};
use realdid_exchange::suites;
use realdid_exchange::vp::VpError;
use realdid_serve::{Bound, Probes, Problem, limit_rate};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::Row;
use sqlx::sqlite::SqlitePool;
use std::sync::Arc;
use std::time::Duration;
use utoipa::OpenApi;

use crate::config::{Limits, RegistrarConfig};
use crate::enrolment::ledger_problem;
use crate::keys::RegistrarKeys;
use crate::ledger::{Ledger, LedgerError};
use crate::service::{AuthorityError, read_json, refused, render, style};
use crate::store::{StoreError, bytes32, integer, open_sqlite, unsigned};
use crate::text::{Clock, NoRandomness, random};

const SCHEMA: &str = "
CREATE TABLE services (
    service  BLOB PRIMARY KEY,
    jwt      TEXT NOT NULL,
    height   INTEGER NOT NULL,
    created_s INTEGER NOT NULL
) STRICT;
";
const SCHEMA_VERSION: i64 = 1;
/// How many services the page lists.
const PAGE_SERVICES: i64 = 200;
const HEARTBEAT: Duration = Duration::from_secs(2);
/// How long the ledger may be silent before the registrar is not ready.
const SILENCE_MS: u64 = 15_000;

/// A registrar's configuration file with every key explained.
pub fn example_config() -> &'static str {
    include_str!("../templates/registrar.toml")
}

/// Why a service was not registered, or not found.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    #[error("jwk.malformed: the key must be a public JWK of P-256, Ed25519 or SM2")]
    Key,
    #[error("registration.key_suite: the network must admit keys of the key's suite")]
    Suite,
    #[error("registration.unknown: the service must be registered here")]
    Unknown,
    #[error(transparent)]
    Order(#[from] VpError),
    #[error("display.other_service: the display must be one of this service")]
    OtherDisplay,
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

impl RegisterError {
    /// The answer for whoever asked.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Registration(error) => {
                Problem::bad_request(error.code(), error.rule(), error.fix())
            }
            Self::Key => Problem::bad_request(
                "jwk.malformed",
                "the key is a public JWK of P-256, Ed25519 or SM2",
                "send the public part of the key that signs the gate's requests",
            ),
            Self::Suite => Problem::bad_request(
                "registration.key_suite",
                "requests are signed by a key of a suite that the network admits for documents",
                "make a gate's keys for this network: of P-256, or of SM2 where it admits SM2 alone",
            ),
            Self::Unknown => Problem::not_found(
                "registration.unknown",
                "the service is registered here",
                "register it with POST /v1/registrations",
            ),
            Self::Order(error) => Problem::bad_request(error.code(), error.rule(), error.fix()),
            Self::OtherDisplay => Problem::bad_request(
                "display.other_service",
                "the display is on the ledger, and of this service",
                "order the withdrawal of a display of your own",
            ),
            Self::Ledger(error) => ledger_problem(error),
            Self::Store(_) | Self::Random(_) => Problem::internal(),
        }
    }
}

impl From<DisplayError> for RegisterError {
    fn from(error: DisplayError) -> Self {
        Self::Order(error.into())
    }
}

impl From<sqlx::Error> for RegisterError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// What a service asks for. Claims are paths, as `address.region` or as an array.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    domains: Vec<String>,
    purposes: Vec<String>,
    #[serde(default)]
    claims: Vec<Value>,
    key: Value,
    #[serde(default)]
    name: Option<String>,
}

/// A registration that the ledger has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    pub service: Hash32,
    pub jwt: String,
    pub height: u64,
}

impl Registered {
    fn to_json(&self) -> Value {
        json!({
            "service": self.service.to_string(),
            "registration": self.jwt,
            "digest": registration::digest(&self.jwt).to_string(),
            "height": self.height,
        })
    }
}

/// Everything that a registrar needs to answer.
pub struct Registrar {
    url: String,
    name: String,
    life_s: u64,
    keys: RegistrarKeys,
    pool: SqlitePool,
    ledger: Ledger,
    clock: Clock,
    recent: orders::Recent,
}

impl Registrar {
    pub(crate) async fn open(
        config: &RegistrarConfig,
        url: String,
        ledger: Ledger,
        clock: Clock,
    ) -> Result<Self, AuthorityError> {
        Ok(Self {
            url,
            name: config.name.clone(),
            life_s: config.registration_days.clamp(1, 3660) * 86_400,
            keys: RegistrarKeys::load(&config.dir)?,
            pool: open_sqlite(&config.dir.join("registrar.db"), SCHEMA, SCHEMA_VERSION).await?,
            ledger,
            clock,
            recent: orders::Recent::default(),
        })
    }

    async fn register(&self, request: &Request) -> Result<Registered, RegisterError> {
        let registration = self.draft(request)?;
        let keys = &self.keys.registration;
        let jwt = registration.sign(&keys.id, &keys.key)?;
        let service = registration.service_id;
        let digest = registration::digest(&jwt);
        let (tip, _) = self.ledger.tip().await?;
        let body = Body::Register(
            issuer_id(self.ledger.genesis().hash_function(), &self.url),
            service,
            digest,
        );
        let operation = self.ledger.sign(body, tip, &self.keys.operation);
        let height = self.ledger.submit_and_wait(&operation).await?;
        sqlx::query("INSERT INTO services (service, jwt, height, created_s) VALUES (?, ?, ?, ?)")
            .bind(&service.0[..])
            .bind(&jwt)
            .bind(integer(height))
            .bind(integer(self.clock.now_s()))
            .execute(&self.pool)
            .await?;
        metrics::counter!("registrar_registrations_total").increment(1);
        Ok(Registered {
            service,
            jwt,
            height,
        })
    }

    /// Domains take their one spelling here; everything else is checked when it is signed.
    fn draft(&self, request: &Request) -> Result<Registration, RegisterError> {
        let domains: Vec<String> = request
            .domains
            .iter()
            .map(|domain| normal_domain(domain, true).ok_or(RegistrationError::Domain))
            .collect::<Result<_, _>>()?;
        let purposes = request
            .purposes
            .iter()
            .map(|code| Purpose::from_code(code).ok_or(RegistrationError::Purpose))
            .collect::<Result<_, _>>()?;
        let claims = request
            .claims
            .iter()
            .map(|claim| read_claim(claim).ok_or(RegistrationError::Claim))
            .collect::<Result<_, _>>()?;
        let name = match &request.name {
            Some(name) => name.trim().to_owned(),
            None => domains.first().cloned().unwrap_or_default(),
        };
        let cnf = Jwk::parse(&request.key).map_err(|_| RegisterError::Key)?;
        let parameters = &self.ledger.genesis().parameters;
        if !suites::signs_documents(parameters, cnf.0.alg()) {
            return Err(RegisterError::Suite);
        }
        let now_s = self.clock.now_s();
        Ok(Registration {
            registrar: self.url.clone(),
            service_id: Hash32(random()?),
            cnf,
            domains,
            purposes,
            claims,
            name,
            sandbox: true,
            issued_at_s: now_s,
            expires_s: now_s + self.life_s,
            jti: random()?,
        })
    }

    async fn registered(&self, service: &Hash32) -> Result<Registered, RegisterError> {
        let row = sqlx::query("SELECT service, jwt, height FROM services WHERE service = ?")
            .bind(&service.0[..])
            .fetch_optional(&self.pool)
            .await?
            .ok_or(RegisterError::Unknown)?;
        Ok(Registered {
            service: Hash32(bytes32(row.try_get("service")?)?),
            jwt: row.try_get("jwt")?,
            height: unsigned(row.try_get("height")?),
        })
    }

    async fn listed(&self) -> Result<Vec<ServiceRow>, RegisterError> {
        let rows =
            sqlx::query("SELECT jwt FROM services ORDER BY created_s DESC, height DESC LIMIT ?")
                .bind(PAGE_SERVICES)
                .fetch_all(&self.pool)
                .await?;
        let mut listed = Vec::new();
        for row in rows {
            let jwt: String = row.try_get("jwt")?;
            let registration = registration::claimed(&jwt)?;
            let purposes: Vec<_> = registration.purposes.iter().map(|p| p.code()).collect();
            listed.push(ServiceRow {
                id: registration.service_id.to_string(),
                name: registration.name,
                domains: registration.domains.join(", "),
                purposes: purposes.join(", "),
            });
        }
        Ok(listed)
    }

    async fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if sqlx::query("SELECT 1").execute(&self.pool).await.is_err() {
            reasons.push("store.unavailable".to_owned());
        }
        let silence_ms = self
            .clock
            .now_ms()
            .saturating_sub(self.ledger.answered_ms());
        if silence_ms > SILENCE_MS {
            reasons.push("ledger.unavailable".to_owned());
        }
        reasons
    }
}

fn read_claim(claim: &Value) -> Option<ClaimPath> {
    match claim {
        Value::String(text) => claim_path(text),
        other => ClaimPath::parse(other),
    }
}

/// Runs a registrar until it is told to stop.
pub async fn run(config: RegistrarConfig) -> Result<(), AuthorityError> {
    let bound = Bound::bind(config.serve_options()).await?;
    let clock = Clock::system();
    let ledger = Ledger::open(&config.nodes, &config.genesis, &config.dir, clock.clone())?;
    let registrar = Registrar::open(&config, bound.public_url(), ledger, clock).await?;
    let registrar = Arc::new(registrar);
    let looking = registrar.clone();
    let heart = tokio::spawn(async move {
        loop {
            // The age of the last answer is what readiness looks at.
            let _seen = looking.ledger.tip().await;
            tokio::time::sleep(HEARTBEAT).await;
        }
    });
    let network = crate::network::route(&config.genesis, &config.nodes)?;
    let router = router(registrar.clone(), &config.limits).merge(network);
    let served = bound.serve("registrar", router, probes(&registrar)).await;
    heart.abort();
    Ok(served?)
}

/// Readiness and API description.
pub(crate) fn probes(registrar: &Arc<Registrar>) -> Probes {
    let registrar = registrar.clone();
    Probes::new(Api::openapi().merge_from(crate::network::Api::openapi())).ready_when(move || {
        let registrar = registrar.clone();
        async move { registrar.reasons().await }
    })
}

/// The registrar's routes.
pub fn router(registrar: Arc<Registrar>, limits: &Limits) -> Router {
    let limited = Router::new()
        .route("/v1/registrations", post(register))
        .route("/v1/displays", post(display))
        .with_state(registrar.clone());
    Router::new()
        .route("/", get(page))
        .route("/style.css", get(style))
        .route("/v1/registrations/{service}", get(registered))
        .with_state(registrar)
        .merge(limit_rate(limited, limits.rate()))
}

/// Registers a service in the sandbox.
#[utoipa::path(post, path = "/v1/registrations", tag = "registrations",
    request_body(content_type = "application/json", description = "{domains, purposes, claims, key, name?}: host[:port], purpose codes, claim paths, the public JWK that signs the gate's requests, the organisation's name"),
    responses(
        (status = 201, description = "{service, registration, digest, height}", body = Object),
        (status = 400, description = "registration.domain, .purpose, .claim, .malformed or jwk.malformed"),
        (status = 429, description = "request.rate"),
        (status = 503, description = "ledger.unavailable"),
    ))]
async fn register(
    State(registrar): State<Arc<Registrar>>,
    body: Bytes,
) -> Result<Response, Problem> {
    let request: Request = read_json(&body)?;
    // A task of its own: a gate that hangs up does not stop what is already on its way.
    let done = tokio::spawn(async move { registrar.register(&request).await }).await;
    match done {
        Ok(Ok(done)) => Ok((StatusCode::CREATED, Json(done.to_json())).into_response()),
        Ok(Err(error)) => Err(refused("registration", error.problem())),
        Err(_) => Err(refused("registration", Problem::internal())),
    }
}

/// A registration again.
#[utoipa::path(get, path = "/v1/registrations/{service}", tag = "registrations",
    params(("service" = String, Path, description = "the service id, 64 characters of hex")),
    responses(
        (status = 200, description = "{service, registration, digest, height}", body = Object),
        (status = 404, description = "registration.unknown"),
    ))]
async fn registered(
    State(registrar): State<Arc<Registrar>>,
    Path(service): Path<String>,
) -> Result<Json<Value>, Problem> {
    let found = match service.parse() {
        Ok(id) => registrar.registered(&id).await,
        Err(_) => Err(RegisterError::Unknown),
    };
    match found {
        Ok(found) => Ok(Json(found.to_json())),
        Err(error) => Err(refused("registration", error.problem())),
    }
}

/// Puts a display's digest on the ledger, or withdraws it there, for a registered service.
#[utoipa::path(post, path = "/v1/displays", tag = "displays",
    request_body(content_type = "application/jwt", description = "rdid-display-order+jwt, signed by the key of the registration"),
    responses(
        (status = 200, description = "{digest, height}", body = Object),
        (status = 400, description = "display.order, display.other_service, registration.purpose, or the ledger's rule"),
        (status = 404, description = "registration.unknown"),
        (status = 429, description = "request.rate"),
        (status = 503, description = "ledger.unavailable"),
    ))]
async fn display(
    State(registrar): State<Arc<Registrar>>,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let order = String::from_utf8(body.to_vec()).unwrap_or_default();
    // A task of its own, as above.
    let done = tokio::spawn(async move { registrar.order(order.trim()).await }).await;
    match done {
        Ok(Ok(done)) => Ok(Json(json!({
            "digest": done.digest.to_string(),
            "height": done.height,
        }))),
        Ok(Err(error)) => Err(refused("display", error.problem())),
        Err(_) => Err(refused("display", Problem::internal())),
    }
}

#[derive(Template)]
#[template(path = "registrar.html")]
struct Page<'a> {
    name: &'a str,
    url: &'a str,
    network: &'a str,
    issuer: String,
    services: Vec<ServiceRow>,
}

struct ServiceRow {
    id: String,
    name: String,
    domains: String,
    purposes: String,
}

/// The registered services, for people.
#[utoipa::path(get, path = "/", tag = "page", responses((status = 200, description = "a page", content_type = "text/html", body = String)))]
async fn page(State(registrar): State<Arc<Registrar>>) -> Result<Response, Problem> {
    let services = registrar
        .listed()
        .await
        .map_err(|error| refused("page", error.problem()))?;
    render(&Page {
        name: &registrar.name,
        url: &registrar.url,
        network: registrar.ledger.genesis().network.as_str(),
        issuer: issuer_id(registrar.ledger.genesis().hash_function(), &registrar.url).to_string(),
        services,
    })
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "RealDID registrar",
        description = "Registers services in the sandbox."
    ),
    paths(page, crate::service::style, register, registered, display)
)]
struct Api;
