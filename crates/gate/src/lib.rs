//! A service's own gate: it verifies wallets by OpenID4VP 1.0 and signs people in at the service's
//! websites as an OpenID Connect provider (spec/login.md).
//!
//! The gate belongs to the service (promise P3): a login needs the wallet, the gate and nobody
//! else. It holds no database of people. What it keeps are its own keys ([`init_gate`]), what it
//! learnt of the ledger, receipts where it has to know customers, and, in memory, the logins that are under way, who may come back by their
//! DID alone until the epoch ends, and, where a website wants to hear of their end, those that stand.
//!
//! Start reading at `steps` (the steps of a login), `judge` (what a wallet's answer is worth) and `routes`
//! (both over HTTP), then `logins` (what binds browser, wallet and website together), `passes` (proofs verified together), `returning` (a DID alone) and
//! `trust` (what is known of the ledger, and how old it is), `abroad` (people of recognised networks), `access` (wallets that do not
//! read the ledger). `displays` are real names in
//! public, `receipts` what a know-your-customer login leaves behind; both keep logs by `chain`. The protocols themselves are in `realdid-exchange`.

mod abroad;
mod access;
mod browser;
mod chain;
mod config;
mod displays;
mod follower;
mod http;
mod judge;
mod keys;
mod logins;
mod open_login;
mod page;
mod passes;
mod provider;
mod receipts;
mod refusal;
mod returning;
mod routes;
mod standing;
mod statuses;
mod steps;
mod transcript;
mod trust;
mod view;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use realdid_core::genesis::Genesis;
use realdid_exchange::oidc::{Client, Grants};
use realdid_exchange::registration::{self, Purpose};
use realdid_exchange::suites;
use realdid_serve::files::FileError;
use realdid_serve::{Bound, ConfigError, Probes, ServeError, ServeOptions};
use utoipa::OpenApi as _;

pub use access::{AccessDid, AccessName};
pub use config::{
    ClientConfig, ClientSetup, ENV_PREFIX, GateConfig, GateSetup, OtherNetwork, ResponseMode,
    example_config, render_config, write_config,
};
pub use displays::{EXAMPLE_POLICY, decisions};
pub use keys::{GateKeys, init_gate, rotate_gate};
pub use realdid_exchange::oidc::Accounts;

use abroad::Abroad;
use access::{ByDid, Certified};
use displays::flow::Displays;
use follower::Follower;
use logins::Logins;
use passes::Passes;
use receipts::Receipts;
use returning::Returning;
use routes::GateApi;
use standing::Standings;
use statuses::Statuses;
use steps::Inner;
use trust::Trust;
use view::Limits;

/// How often expired logins and their claims are dropped from memory.
const SWEEP: Duration = Duration::from_secs(10);

/// Why a gate cannot run. Displays as the command line's one-line error.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error("{}: {} must be readable ({kind}); fault: operator; do: correct the path in the gate's configuration", self.code(), path.display())]
    Unreadable {
        path: PathBuf,
        kind: std::io::ErrorKind,
    },
    #[error("{}: the genesis must be a network's, in canonical CBOR; fault: operator; do: copy it again from where you trust it", self.code())]
    Genesis,
    #[error("{}: the registration must be the registrar's JWT; fault: operator; do: register again with `realdid gate register`", self.code())]
    Registration,
    #[error("{}: client {client_id} must have a secret or its hash, http(s) redirect URIs without fragment, claims that its kind of account can show (with accounts = \"none\" at least one) and a purpose; fault: operator; do: correct it in the gate's configuration", self.code())]
    Client { client_id: String },
    #[error("{}: nodes must be at least one http(s) URL; fault: operator; do: correct nodes in the gate's configuration", self.code())]
    Nodes,
    #[error("{}: each network under [[recognised]] must be another than the gate's own, and stand there once; fault: operator; do: give the other network's genesis", self.code())]
    Recognised,
    #[error("{}: each key file must hold 32 bytes in hex; fault: operator; do: restore the gate's keys from a backup", self.code())]
    Keys,
    #[error("{}: {} must hold the PEM of a P-256 key, or of a certificate for signing with that key, below a root that it leaves out, and with the host of public_url where access_name says so; fault: operator; do: correct access in the gate's configuration", self.code(), path.display())]
    Access { path: PathBuf },
    #[error("{}: access_did must name a key by its DID URL, as in did:web:login.example.org#key-1; fault: operator; do: correct it in the gate's configuration", self.code())]
    AccessDid,
    #[error("{}: {} must be a policy like the example of docs/displays.md; fault: operator; do: compare it with the example", self.code(), path.display())]
    Policy { path: PathBuf },
    #[error("{}: line {line} of {} must go on from the line before it; fault: whoever changed it; do: restore it from a copy, and find out who changed it", self.code(), path.display())]
    Decisions { path: PathBuf, line: u64 },
    #[error("{}: line {line} of {} must go on from the line before it; fault: whoever changed it; do: restore the folder from a copy, and find out who changed it", self.code(), path.display())]
    Receipts { path: PathBuf, line: u64 },
    #[error("{}: {} must hold the accounts as this gate wrote them; fault: operator; do: restore the folder from a copy", self.code(), path.display())]
    Book { path: PathBuf },
    #[error("{}: the operating system must give random bytes; fault: this machine; do: look at its kernel log", self.code())]
    Randomness,
}

impl GateError {
    /// Stable, dotted code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Config(error) => error.code(),
            Self::File(error) => error.code(),
            Self::Serve(error) => error.code(),
            Self::Unreadable { .. } => "gate.unreadable",
            Self::Genesis => "gate.genesis",
            Self::Registration => "gate.registration",
            Self::Client { .. } => "gate.client",
            Self::Nodes => "gate.nodes",
            Self::Recognised => "gate.recognised",
            Self::Keys => "gate.keys",
            Self::Access { .. } => "gate.access",
            Self::AccessDid => "gate.access_did",
            Self::Policy { .. } => "gate.policy",
            Self::Decisions { .. } => "gate.decisions",
            Self::Receipts { .. } => "gate.receipts",
            Self::Book { .. } => "gate.book",
            Self::Randomness => "gate.randomness",
        }
    }

    fn of_log(path: &Path, error: &chain::LogError) -> Self {
        match error {
            chain::LogError::Broken { line } => Self::Decisions {
                path: path.to_owned(),
                line: *line,
            },
            chain::LogError::File(_) => Self::Book {
                path: path.to_owned(),
            },
        }
    }
}

/// A gate that is ready to be served.
#[derive(Clone)]
pub struct Gate {
    inner: Arc<Inner>,
}

impl Gate {
    /// Reads keys, genesis and registration, and what an earlier run knew of the ledger.
    /// `public_url` has no trailing slash.
    pub fn open(config: &GateConfig, public_url: String) -> Result<Self, GateError> {
        let genesis = Genesis::decode(&read(&config.genesis)?).map_err(|_| GateError::Genesis)?;
        let registration_jwt = String::from_utf8(read(&config.registration)?)
            .map_err(|_| GateError::Registration)?
            .trim()
            .to_owned();
        let registered =
            registration::claimed(&registration_jwt).map_err(|_| GateError::Registration)?;
        let clients = config
            .clients
            .iter()
            .map(|entry| entry.client(&registered.purposes))
            .collect::<Result<Vec<_>, _>>()?;
        let hearings = config.clients.iter().filter_map(|entry| entry.hearing());
        let displays = config.displays.as_ref();
        let displays = displays
            .map(|displays| Displays::open(&config.dir, &displays.policy))
            .transpose()?;
        let of_customers = |client: &Client| client.purpose == Purpose::Kyc.code();
        let receipts = match clients.iter().any(of_customers) {
            true => Some(Arc::new(Receipts::open(&config.dir)?)),
            false => None,
        };
        let limits = Limits {
            max_age_ms: config.max_staple_age_s.saturating_mul(1000),
            max_lag_slots: config.max_lag_slots,
        };
        let (mut algs, suite) = {
            let parameters = &genesis.parameters;
            (
                suites::document_algs(parameters),
                parameters.document_suite(),
            )
        };
        let trust = Trust::new(genesis, registration_jwt, limits, &config.dir)?;
        let mut abroad = Abroad::default();
        for other in &config.recognised {
            let genesis = Genesis::decode(&read(&other.genesis)?);
            let genesis = genesis.map_err(|_| GateError::Genesis)?;
            algs.extend(suites::document_algs(&genesis.parameters));
            abroad.add(&trust.home, genesis, &other.nodes, limits, &config.dir)?;
        }
        algs.sort_by_key(|alg| alg.name());
        algs.dedup();
        if config.transcript.is_some() {
            tracing::warn!("a transcript of all logins is kept, as the configuration says");
        }
        Ok(Self {
            inner: Arc::new(Inner {
                passes: Passes::new(&trust.service_id()),
                returning: Returning::default(),
                displays,
                receipts,
                trust,
                abroad,
                follower: Follower::new(&config.nodes)?,
                keys: init_gate(&config.dir, suite)?,
                access: config
                    .access
                    .as_ref()
                    .map(|files| Certified::open(files, config.access_name, &public_url))
                    .transpose()?,
                access_did: config.access_did.as_ref().map(ByDid::open).transpose()?,
                origin: origin_of(&public_url),
                algs,
                logins: Logins::new(),
                grants: Mutex::new(Grants::default()),
                standings: Standings::new(hearings.collect()),
                statuses: config.long_lived.then(Statuses::new).transpose()?,
                clients,
                issuer: public_url,
                encrypted: config.response_mode == ResponseMode::DirectPostJwt,
                login_s: config.login_s,
                max_age_s: config.max_staple_age_s,
                transcript: config.transcript.clone(),
            }),
        })
    }

    /// The gate's routes, without plumbing.
    pub fn router(&self) -> Router {
        routes::router(Arc::clone(&self.inner))
    }

    /// Ready with a fresh checkpoint and an active registration.
    pub fn probes(&self) -> Probes {
        let inner = Arc::clone(&self.inner);
        let mut api = GateApi::openapi();
        api.merge(displays::api::DisplayApi::openapi());
        Probes::new(api).ready_when(move || {
            let reason = inner.not_ready(now_ms());
            async move {
                let line = |refusal: refusal::Refusal| {
                    format!("{}: {}; do: {}", refusal.code, refusal.rule, refusal.fix)
                };
                reason.map(line).into_iter().collect()
            }
        })
    }

    /// Keeps up with the ledger and drops what has expired, until it is cancelled.
    pub async fn follow(&self) {
        let sweep = async {
            loop {
                tokio::time::sleep(SWEEP).await;
                self.inner.sweep(now_ms() / 1000);
            }
        };
        let (trust, follower) = (&self.inner.trust, &self.inner.follower);
        let genesis = trust.home.snapshot().light.genesis().clone();
        let period = Duration::from_secs(genesis.parameters.status_period_s);
        let review = async {
            loop {
                tokio::time::sleep(period).await;
                self.inner.review().await;
                self.inner.review_displays().await;
            }
        };
        let abroad = self.inner.abroad.run(&trust.home, follower);
        tokio::join!(trust.run(follower), abroad, sweep, review);
    }
}

/// Runs a gate until it is told to stop.
pub async fn run(config: GateConfig) -> Result<(), GateError> {
    let mut options = ServeOptions::at(config.listen);
    options.public_url = config.public_url.clone();
    options.tls = config.tls.clone();
    options.supervised = config.supervised;
    options.rate = Some(config.rate.clone());
    let bound = Bound::bind(options).await?;
    let gate = Gate::open(&config, bound.public_url())?;
    let following = tokio::spawn({
        let gate = gate.clone();
        async move { gate.follow().await }
    });
    let served = bound.serve("gate", gate.router(), gate.probes()).await;
    following.abort();
    Ok(served?)
}

/// The origin of the gate's pages.
fn origin_of(public_url: &str) -> String {
    let url = url::Url::parse(public_url);
    url.map(|url| url.origin().ascii_serialization())
        .unwrap_or_default()
}

fn read(path: &Path) -> Result<Vec<u8>, GateError> {
    fs::read(path).map_err(|error| GateError::Unreadable {
        path: path.to_owned(),
        kind: error.kind(),
    })
}

/// The machine's clock in Unix milliseconds: the one place where the gate reads it.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
