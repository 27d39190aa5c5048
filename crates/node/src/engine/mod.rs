//! The consensus engine: orders blocks among validators and makes them final.
//!
//! Start with [`Chain`], the questions the engine asks of the ledger, and [`Engine::start`], which
//! runs one validator on its own threads. A committee of one runs the same engine as a committee
//! of ten. What comes out is ordered blocks with finality certificates that anyone verifies with
//! `realdid_light::certificate` and the 96-byte network key alone.
//!
//! The protocol is commonware's `simplex` (BLS12-381 threshold certificates, round-robin
//! leaders), with its `marshal` store, authenticated p2p and runtime; this module is the only
//! place that knows that. Crash safety: the engine journals before it speaks, so a validator
//! killed at any point continues without contradicting itself, and final blocks that the chain
//! had not made durable are delivered again.
//!
//! Module map: `chain` the seam · `committee` keys · `terms` which committee orders which heights ·
//! `voting` one engine of votes a term · `dealer` development keys · `block` blocks
//! on the wire · `adapter` the library's application interfaces · `gossip` what is told beside
//! blocks · `wiring` the parts of one validator.

mod adapter;
pub(crate) mod block;
mod chain;
pub(crate) mod committee;
mod dealer;
mod gossip;
mod terms;
mod voting;
pub(crate) mod wiring;

#[cfg(test)]
mod tests;

pub use chain::{BlockInfo, Chain, KnownTerms};
pub use committee::{
    CommitteeError, MAX_VALIDATORS, Shares, TermKeys, check_term_keys, network_key, peer_key,
};
pub use dealer::{DealError, Dealt, DealtValidator, MAX_DEALT, deal};

use block::BlockRules;
use commonware_codec::{Copying, DecodeExt as _};
use commonware_cryptography::{
    ChaCha20Poly1305, Signer as _,
    ed25519::{PrivateKey, PublicKey},
};
use commonware_p2p::{Address, AddressableManager as _, authenticated::lookup};
use commonware_runtime::{Quota, Runner as _, Spawner as _, Supervisor as _, tokio as runtime};
use commonware_stream::{
    cups::{self, Cups},
    sake::{self, Sake},
};
use commonware_utils::{NZU32, NZUsize, NonZeroDuration, ordered::Map, union};
use futures::future::select_all;
use realdid_core::hash::HashFunction;
use std::{
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::Arc,
    thread,
    time::Duration,
};
use tokio::sync::{oneshot, watch};
use tracing::{error, info};
use wiring::{Channels, Parts, channel};

/// Follows the network's namespace where peers authenticate each other, so that a vote can never
/// be taken for a handshake.
const P2P_SUFFIX: &[u8] = b"_P2P";

/// Peers whose clocks differ by more, or whose handshake takes longer, are refused.
const CLOCK_DIFFERENCE: Duration = Duration::from_secs(10);
const HANDSHAKE_AGE: Duration = Duration::from_secs(20);

/// The longest pause before a peer is dialled again, and the longest wait for its answer.
const REDIAL: Duration = Duration::from_secs(5);

/// Peers ping each other so often, and a connection that is silent for much longer is given up. TCP
/// alone would wait as long again as a network was divided.
const PING: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(15);

/// How long a graceful stop waits for parts to finish what they are at.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// The largest block size limit: beyond it, the mailboxes of a few peers would fill the memory.
pub const MAX_BLOCK_LIMIT_BYTES: usize = 16 * 1024 * 1024;

/// How long each step of a view may take before validators move on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From entering a view to seeing its leader's block. Bounds what [`Chain::propose`] may
    /// wait, and is what each view of a dead leader costs until `skip` applies.
    pub leader: Duration,
    /// From entering a view to leaving it; longer than `leader`.
    pub certification: Duration,
    /// Between repetitions of the vote to leave a view that hangs.
    pub retry: Duration,
    /// For a peer's answer to a request for blocks or certificates; also the measure of the pause
    /// between tries.
    pub fetch: NonZeroDuration,
    /// A leader silent for so long is skipped at once, while a quorum is not silent; longer than
    /// `certification` and `retry`.
    pub skip: Duration,
}

impl Timeouts {
    /// For a chain whose [`Chain::propose`] waits at most `propose_wait` before it returns a
    /// block.
    ///
    /// Only an empty block is waited for so long, and half a second is enough for the network to
    /// carry one. A block full of operations is proposed at once and has the wait besides.
    ///
    /// A validator that is there speaks in every view, so silence for longer than a view can take
    /// means that it is not: with these numbers its first missed turn is waited for and its second
    /// is not. Being wrong about that costs one view; whoever speaks again is waited for again.
    pub fn allowing(propose_wait: Duration) -> Self {
        const STEP: Duration = Duration::from_millis(250);
        let leader = propose_wait + 2 * STEP;
        let certification = leader + STEP;
        Self {
            leader,
            certification,
            retry: 4 * STEP,
            fetch: NonZeroDuration::new_panic(Duration::from_secs(1)),
            skip: certification + STEP,
        }
    }
}

/// One validator's settings.
#[derive(Clone)]
pub struct EngineConfig {
    /// The engine's own directory. A second engine on it waits until the first has ended.
    pub dir: PathBuf,
    /// Separates this network's votes and connections from those of all others. Light clients
    /// need the same bytes.
    pub namespace: Vec<u8>,
    /// Where to accept connections of other validators.
    pub listen: SocketAddr,
    /// All who may connect, this validator included, in any order: Ed25519 identity and address.
    /// Connections from other addresses than these are refused. Who of them votes says the chain.
    pub peers: Vec<([u8; 32], SocketAddr)>,
    /// Validators share a machine or a private network: private addresses are allowed and
    /// connections may be retried often. Never on the open internet.
    pub local: bool,
    /// Ed25519 seed of this validator's identity. Secret.
    pub identity_seed: [u8; 32],
    /// The network's hash function.
    pub hash_function: HashFunction,
    /// What this validator votes by in each term.
    pub shares: Arc<dyn Shares>,
    /// The longest block in bytes; must not shrink while stores live.
    pub max_block_bytes: usize,
    pub timeouts: Timeouts,
    /// Threads for the engine's tasks: 2 suits.
    pub threads: usize,
}

/// Why an engine did not start or did not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Committee(#[from] CommitteeError),
    #[error("the time-outs do not increase: leader < certification < skip and 0 < retry < skip")]
    Timeouts,
    #[error("the block size limit is above {MAX_BLOCK_LIMIT_BYTES} bytes")]
    BlockLimit,
    #[error("the chain's genesis is not a block of height 0 within the size limit")]
    Genesis,
    #[error("the engine's thread cannot be started")]
    Thread,
    #[error("the engine's store cannot be opened")]
    Store,
    /// A part ended or panicked: a broken invariant, a full or failing disk, a port in use.
    #[error("the engine failed; its log says why")]
    Failed,
}

/// What an engine is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineState {
    /// Opening stores, replaying journals.
    Starting,
    Running,
    /// Ended on request.
    Stopped,
    /// Ended by itself.
    Failed(EngineError),
}

/// One validator.
pub struct Engine;

impl Engine {
    /// Checks `config` and runs the engine on threads of its own until it is stopped.
    pub fn start<C: Chain>(config: EngineConfig, chain: C) -> Result<EngineHandle, EngineError> {
        let prepared = Prepared::check(&config, &chain)?;
        let (state, watched) = watch::channel(EngineState::Starting);
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("engine".into())
            .spawn(move || {
                let runner = runtime::Runner::new(
                    runtime::Config::new()
                        .with_storage_directory(config.dir.clone())
                        .with_read_write_timeout(SILENCE)
                        .with_worker_threads(config.threads.max(1)),
                );
                // The library panics when a part breaks an invariant or the disk fails. That must
                // end the engine, not the process, and be known to the node.
                let ended = catch_unwind(AssertUnwindSafe(|| {
                    runner.start(|context| run(context, config, prepared, chain, &state, stopped))
                }));
                let last = match ended {
                    Ok(Ok(())) => EngineState::Stopped,
                    Ok(Err(reason)) => EngineState::Failed(reason),
                    Err(_) => EngineState::Failed(EngineError::Failed),
                };
                info!(?last, "engine ended");
                state.send_replace(last);
            })
            .map_err(|_| EngineError::Thread)?;
        Ok(EngineHandle {
            state: watched,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

/// A running engine. Dropping it stops the engine without waiting.
pub struct EngineHandle {
    state: watch::Receiver<EngineState>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl EngineHandle {
    /// What the engine is doing now.
    pub fn state(&self) -> EngineState {
        self.state.borrow().clone()
    }

    /// Is it starting or running?
    pub fn is_alive(&self) -> bool {
        matches!(self.state(), EngineState::Starting | EngineState::Running)
    }

    /// Follows the state; works on any runtime.
    pub fn watch(&self) -> watch::Receiver<EngineState> {
        self.state.clone()
    }

    /// Stops the engine gracefully and waits for its end. Blocks: not for async code, which
    /// calls it on a blocking thread.
    pub fn stop(mut self) -> EngineState {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The thread catches panics itself and leaves the last state behind.
            let _ = thread.join();
        }
        self.state()
    }
}

/// A configuration that was found sound.
struct Prepared {
    identity: PrivateKey,
    genesis: block::Block,
    rules: BlockRules,
    addresses: Map<PublicKey, Address>,
    max_message_bytes: u32,
}

type Handshake = Cups<Sake<PrivateKey>, ChaCha20Poly1305>;

impl Prepared {
    fn check<C: Chain>(config: &EngineConfig, chain: &C) -> Result<Self, EngineError> {
        let timeouts = &config.timeouts;
        if timeouts.leader.is_zero()
            || timeouts.retry.is_zero()
            || timeouts.certification <= timeouts.leader
            || timeouts.skip <= timeouts.certification
            || timeouts.skip <= timeouts.retry
        {
            return Err(EngineError::Timeouts);
        }
        let identity = committee::identity(&config.identity_seed)?;
        let known = chain.terms();
        let term = known.at(known.executed.saturating_add(1));
        if let Some((term, keys)) = term.and_then(|t| Some((t, config.shares.of(t.number)?))) {
            let (by, seed) = (config.hash_function, &config.identity_seed);
            committee::signer(&config.namespace, term, by, seed, &keys)?;
        }
        let addresses = config
            .peers
            .iter()
            .map(|(key, address)| {
                let key = PublicKey::decode(Copying(key.as_slice()))
                    .map_err(|_| CommitteeError::Identity)?;
                Ok((key, Address::from(*address)))
            })
            .collect::<Result<Vec<_>, CommitteeError>>()?;
        let addresses = Map::try_from(addresses).map_err(|_| CommitteeError::Members)?;
        let listed = addresses.keys().position(&identity.public_key()).is_some();
        if !listed || addresses.len() > MAX_VALIDATORS as usize {
            return Err(CommitteeError::Peers.into());
        }

        if config.max_block_bytes > MAX_BLOCK_LIMIT_BYTES {
            return Err(EngineError::BlockLimit);
        }
        let rules = BlockRules::of::<C>(config.max_block_bytes);
        let max_message_bytes = wiring::max_message_bytes(config.peers.len() as u32, &rules);
        let max_message_bytes = u32::try_from(max_message_bytes)
            .ok()
            .filter(|bytes| *bytes <= lookup::max_size::<Handshake>())
            .ok_or(EngineError::BlockLimit)?;
        let genesis = rules
            .read(chain.genesis())
            .filter(|block| block.info().height == 0)
            .ok_or(EngineError::Genesis)?;
        Ok(Self {
            identity,
            genesis,
            rules,
            addresses,
            max_message_bytes,
        })
    }
}

/// The root task: network, parts, then wait for a stop or a failure.
async fn run<C: Chain>(
    context: runtime::Context,
    config: EngineConfig,
    prepared: Prepared,
    chain: C,
    state: &watch::Sender<EngineState>,
    stopped: oneshot::Receiver<()>,
) -> Result<(), EngineError> {
    let Prepared {
        identity,
        genesis,
        rules,
        addresses,
        max_message_bytes,
    } = prepared;
    let (mut network, mut oracle) = lookup::Network::new(
        context.child("network"),
        network_config(&config, identity, max_message_bytes),
    );
    oracle.track(0, addresses);
    let mut register = |channel| network.register(channel, channel::quota(channel));
    let channels = Channels {
        votes: register(channel::VOTES),
        certificates: register(channel::CERTIFICATES),
        certificate_fetch: register(channel::CERTIFICATE_FETCH),
        blocks: register(channel::BLOCKS),
        block_fetch: register(channel::BLOCK_FETCH),
        operations: register(channel::OPERATIONS),
    };
    let parts = Parts {
        store_prefix: "engine".into(),
        chain,
        namespace: config.namespace.clone(),
        hash_function: config.hash_function,
        identity_seed: config.identity_seed,
        shares: config.shares.clone(),
        genesis,
        rules,
        timeouts: config.timeouts,
        peers: oracle.clone(),
        blocker: oracle,
        channels,
    };
    let mut tasks = wiring::start(context.child("engine"), parts)
        .await
        .map_err(|reason| {
            error!(%reason, "engine not started");
            EngineError::Store
        })?;
    tasks.push(network.start());
    state.send_replace(EngineState::Running);

    let failed = tokio::select! {
        biased;
        _ = stopped => false,
        _ = select_all(tasks) => true,
    };
    // Parts finish what they are at; what does not is cut off, as by a crash.
    let _ = context.stop(0, Some(STOP_GRACE)).await;
    if failed {
        error!("a part of the engine ended by itself");
        return Err(EngineError::Failed);
    }
    Ok(())
}

fn network_config(
    config: &EngineConfig,
    identity: PrivateKey,
    max_message_bytes: u32,
) -> lookup::Config<Handshake> {
    let handshake = Cups::new(
        Sake {
            signer: identity,
            synchrony_bound: CLOCK_DIFFERENCE,
            max_handshake_age: HANDSHAKE_AGE,
            version: sake::Version::V1,
        },
        cups::Version::V1,
    );
    let namespace = union(&config.namespace, P2P_SUFFIX);
    let members = std::num::NonZeroUsize::new(config.peers.len()).unwrap_or(NZUsize!(1));
    let mut network = if config.local {
        lookup::Config::local(
            handshake,
            &namespace,
            config.listen,
            members,
            max_message_bytes,
            NZUsize!(1024),
        )
    } else {
        lookup::Config::recommended(
            handshake,
            &namespace,
            config.listen,
            members,
            max_message_bytes,
            NZUsize!(1024),
        )
    };
    // A peer that was away is dialled again soon: the library's minute, meant for strangers, is long
    // for a validator that everybody waits for.
    network.peer_connection_cooldown = network.peer_connection_cooldown.min(REDIAL);
    network.dial_timeout = network.dial_timeout.min(REDIAL);
    network.ping_frequency = network.ping_frequency.min(PING);
    // Who may connect is configured: one set of peers, which also keeps the mailboxes small.
    network.tracked_peer_sets = NZUsize!(1);
    network.allow_dns = false;
    if config.local {
        // Several validators behind one address connect at the same moment.
        network.allowed_handshake_rate_per_ip = Quota::per_second(NZU32!(64));
    }
    network
}
