//! The node: orders and executes operations, keeps them, and proves what came of them.
//!
//! The rules are not here but in `realdid-ledger`. What is here is everything around them:
//!
//! - [`engine`]: real consensus, also for a committee of one
//! - [`store`]: the block log, which is the truth, and the authenticated state
//! - [`machine`]: final blocks in, state, receipts and sealed roots out
//! - [`mempool`]: operations that wait; [`admission`]: how they come there; [`gossip`]: how other
//!   validators hear of them
//! - [`producer`]: what this validator proposes and accepts, by the clock of its [`host`]
//! - [`shares`]: what this validator votes by, term by term
//! - [`rpc`]: the node over HTTP, and the explorer's page
//! - [`succession`]: what a network leaves that lost its quorum, and how another begins with it
//! - [`config`]: the node's file, its keys and how to run it

pub mod admission;
pub mod config;
pub mod engine;
pub mod gossip;
pub mod host;
pub mod machine;
pub mod mempool;
pub mod producer;
pub mod rpc;
pub mod shares;
pub mod store;
pub mod succession;

#[cfg(test)]
mod sim;
#[cfg(test)]
mod tests;

use config::{NodeConfig, NodeError};
use engine::{Engine, EngineConfig, EngineState, Timeouts, peer_key};
use machine::Machine;
use mempool::Mempool;
use producer::{HEARTBEAT, Producer};
use realdid_core::genesis::Genesis;
use realdid_core::governance::Term;
use realdid_light::LightClient;
use realdid_serve::{Bound, Probes, ServeOptions};
use rpc::{Api, Rpc};
use shares::ShareFolder;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::{BlockLog, BlockLogOptions, NomtOptions};
use utoipa::OpenApi as _;

/// How often a node looks at how old its term and key are.
const OFFICE_LOOK: Duration = Duration::from_secs(600);
const DAY_S: u64 = 24 * 3600;

/// Runs a validator until it is told to stop: SIGTERM, Ctrl-C, or, where it is supervised, the end
/// of standard input.
pub async fn run(config: NodeConfig) -> Result<(), NodeError> {
    let bound = Bound::bind(ServeOptions {
        public_url: config.public_url.clone(),
        tls: config.tls.clone(),
        supervised: config.supervised,
        ..ServeOptions::at(config.listen)
    })
    .await?;
    let genesis = Genesis::decode(&config::read(&config.genesis)?)?;
    if genesis.is_dealt() {
        tracing::warn!("for development: one party dealt this network's key and has had it whole");
    }
    let seed = config::read_identity(&config.dir.join("validator.json"))?;
    let state = config.dir.join("state");
    let store = store::open(&state, NomtOptions::default(), genesis.hash_function())?;
    if genesis.predecessor.is_some() && store.committed_height().is_none() {
        succession::carry(&config.dir, &genesis, store.as_ref())?;
    }
    let log = BlockLog::open(&config.dir.join("blocks.redb"), &BlockLogOptions::default())?;
    let machine = Arc::new(Machine::open(genesis.clone(), store, log)?);
    let mempool = Arc::new(Mempool::default());
    let producer = Producer::new(machine.clone(), mempool.clone());
    let engine = Engine::start(engine_config(&config, &machine, *seed)?, producer.clone())?;
    let other_networks = config::other_networks(&config, &genesis)?;
    let rpc = Rpc {
        other_networks: other_networks.into(),
        machine: machine.clone(),
        mempool,
        producer: producer.clone(),
        light: Arc::new(Mutex::new(LightClient::new(genesis))),
        voter: Arc::new(rpc::Voter {
            key: peer_key(&seed).map_err(|_| NodeError::Keys)?,
            shares: ShareFolder::of_node(&config.dir),
        }),
    };
    let office = tokio::spawn(watch_office(machine.clone(), config.key_days));
    let state = engine.watch();
    let probes = Probes::new(Api::openapi()).ready_when({
        let state = state.clone();
        move || {
            let reasons = unready(&state.borrow(), &machine, &producer);
            async move { reasons }
        }
    });
    let mut failing = state.clone();
    let stop = async move {
        // An engine that ended by itself takes the process with it: a supervisor starts it anew,
        // and what was acknowledged is on disk.
        let failed = failing.wait_for(|state| matches!(state, EngineState::Failed(_)));
        tokio::select! {
            () = realdid_serve::shutdown_signal() => {}
            _ = failed => {}
        }
    };
    bound
        .serve_until("node", rpc::router(rpc), probes, stop)
        .await?;
    office.abort();
    let ended = tokio::task::spawn_blocking(move || engine.stop()).await;
    match ended {
        Ok(EngineState::Failed(error)) => Err(error.into()),
        _ => Ok(()),
    }
}

/// Says how old the running term and its key are, and warns when the key is to be handed on.
async fn watch_office(machine: Arc<Machine>, key_days: Option<u64>) {
    loop {
        if let Ok((term_ms, key_ms)) = machine.in_office_since_ms() {
            let age_s = |since_ms: u64| host::unix_ms().saturating_sub(since_ms) / 1000;
            metrics::gauge!("ledger_term_age_seconds").set(age_s(term_ms) as f64);
            metrics::gauge!("ledger_key_age_seconds").set(age_s(key_ms) as f64);
            let days = age_s(key_ms) / DAY_S;
            if key_days.is_some_and(|due| days >= due) {
                tracing::warn!(
                    days,
                    "the network key is to be handed on: see docs/operators.md"
                );
            }
        }
        tokio::time::sleep(OFFICE_LOOK).await;
    }
}

fn engine_config(
    config: &NodeConfig,
    machine: &Machine,
    identity_seed: [u8; 32],
) -> Result<EngineConfig, NodeError> {
    let peers = config
        .peers
        .iter()
        .map(|peer| Ok((peer.key()?, peer.address)))
        .collect::<Result<Vec<_>, NodeError>>()?;
    let listed = |wanted: &[u8; 32]| peers.iter().any(|(key, _)| key == wanted);
    let (tip, committee) = machine.committee();
    let me = peer_key(&identity_seed).map_err(|_| NodeError::Keys)?;
    let all_listed = |term: &Term| term.validators.iter().all(|key| listed(&key.0));
    let running = committee.at(tip + 1);
    let votes = running.validators.iter().any(|key| key.0 == me);
    // Who only follows may come after validators that are long gone.
    if !listed(&me) || (votes && !all_listed(running)) {
        return Err(NodeError::Peers);
    }
    if let Some(next) = committee
        .next
        .as_ref()
        .filter(|next| !all_listed(&next.term))
    {
        tracing::warn!(
            term = next.term.number,
            "the file's peers lack validators of the next term"
        );
    }
    let genesis = machine.genesis();
    Ok(EngineConfig {
        dir: config.dir.join("engine"),
        namespace: genesis.namespace(),
        listen: config.p2p_listen,
        peers,
        local: config.private_network || config.p2p_listen.ip().is_loopback(),
        identity_seed,
        hash_function: genesis.hash_function(),
        shares: Arc::new(ShareFolder::of_node(&config.dir)),
        max_block_bytes: realdid_core::header::MAX_BLOCK_BYTES,
        timeouts: Timeouts::allowing(HEARTBEAT),
        threads: 2,
    })
}

/// Why the node cannot be relied on now.
fn unready(state: &EngineState, machine: &Machine, producer: &Producer) -> Vec<String> {
    let mut reasons = Vec::new();
    match state {
        EngineState::Running => {}
        EngineState::Starting => reasons.push("engine.starting".to_owned()),
        EngineState::Stopped => reasons.push("engine.stopped".to_owned()),
        EngineState::Failed(error) => reasons.push(format!("engine.failed: {error}")),
    }
    if let Some(code) = producer.trouble() {
        reasons.push(code.to_owned());
    }
    if machine.watch().borrow().checkpoint.is_none() {
        reasons.push("node.no_checkpoint".to_owned());
    }
    reasons
}
