//! The relay: shows one network's checkpoints to another's ledger (spec/operations.md, G8 to G10).
//!
//! It carries headers, certificates and the hand-overs from committee to committee, and nothing
//! else: no operation of the network that it reads, no DID, no credential. It is trusted with nothing.
//! The ledger verifies each certificate itself, and whoever reads that ledger sees how old the newest
//! one is, so a relay that lies is refused and one that dies is noticed. Anybody may run one, and
//! several do no harm.
//!
//! A relay checks what it carries before it hands it in, as a courtesy: [`Courier`] is a light client
//! of both networks.

mod config;
mod courier;

use axum::Router;
use courier::Courier;
use realdid_core::genesis::Genesis;
use realdid_light::http::NodeClient;
use realdid_serve::files::FileError;
use realdid_serve::{Bound, ConfigError, Probes, ServeError, ServeOptions};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use utoipa::OpenApi;

pub use config::{ENV_PREFIX, End, RelayConfig, example_config, render};

/// The interface: how it is, and no more.
#[derive(OpenApi)]
#[openapi(info(
    title = "RealDID relay",
    description = "Shows one network's checkpoints to another's ledger."
))]
struct Api;

/// Why a relay cannot run. Displays as the command line's one-line error.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(
        "relay.genesis: each genesis must be another network's, in canonical CBOR; fault: operator; \
         do: copy both from where you trust them"
    )]
    Genesis,
    #[error(
        "relay.nodes: each end has at least one http(s) URL of a node; fault: operator; do: correct \
         nodes in the relay's configuration"
    )]
    Nodes,
    #[error(
        "relay.randomness: the operating system must give random bytes; fault: this machine; do: look at \
         its kernel log"
    )]
    Randomness,
}

impl RelayError {
    /// The stable name of what failed.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Config(error) => error.code(),
            Self::File(error) => error.code(),
            Self::Serve(error) => error.code(),
            Self::Genesis => "relay.genesis",
            Self::Nodes => "relay.nodes",
            Self::Randomness => "relay.randomness",
        }
    }
}

/// Runs a relay until it is told to stop.
pub async fn run(config: RelayConfig) -> Result<(), RelayError> {
    let bound = Bound::bind(ServeOptions {
        public_url: config.public_url.clone(),
        tls: config.tls.clone(),
        supervised: config.supervised,
        ..ServeOptions::at(config.listen)
    })
    .await?;
    let mut courier = Courier::new(
        &config.dir,
        (genesis(&config.from.genesis)?, nodes(&config.from)?),
        (genesis(&config.to.genesis)?, nodes(&config.to)?),
    )?;
    // Why nothing was carried the last time, for whoever asks how the relay is.
    let trouble = Arc::new(Mutex::new(Some("relay.starting".to_owned())));
    let probes = Probes::new(Api::openapi()).ready_when({
        let trouble = trouble.clone();
        move || {
            let now = trouble.lock().unwrap_or_else(PoisonError::into_inner);
            let reasons = now.iter().cloned().collect();
            async move { reasons }
        }
    });
    let carrying = tokio::spawn(async move {
        loop {
            let outcome = courier.carry().await;
            if let Err(error) = &outcome {
                tracing::warn!(code = error.code(), "nothing was carried");
            }
            let code = outcome.err().map(|error| error.code().to_owned());
            *trouble.lock().unwrap_or_else(PoisonError::into_inner) = code;
            tokio::time::sleep(courier.pause()).await;
        }
    });
    let served = bound.serve("relay", Router::new(), probes).await;
    carrying.abort();
    Ok(served?)
}

fn genesis(path: &Path) -> Result<Genesis, RelayError> {
    let bytes = std::fs::read(path).map_err(|error| FileError::of(path, &error))?;
    Genesis::decode(&bytes).map_err(|_| RelayError::Genesis)
}

fn nodes(end: &End) -> Result<NodeClient, RelayError> {
    NodeClient::new(end.nodes.clone()).map_err(|_| RelayError::Nodes)
}

/// Between two looks: twice a slot, since a checkpoint appears somewhere inside it.
fn pause_of(genesis: &Genesis) -> Duration {
    Duration::from_millis((genesis.parameters.slot_s * 500).clamp(250, 10_000))
}
