//! Votes in the term that runs, and follows where this validator has no vote.
//!
//! Each term has a simplex engine of its own: its journal, its channels, its share of the key. It
//! begins on the last block of the term before, once that is final and executed here, and ends
//! when its own last block is. Then the shares of the terms before are erased.
//!
//! Certificates of a later term reach nobody who is still in an earlier one. So whoever hears of a
//! later term, and whoever has no vote, asks the others for the next final blocks by height, until
//! it has caught up.

use super::{
    Timeouts,
    adapter::Adapter,
    block::{Block, BlockRules},
    chain::Chain,
    committee::{CommitteeError, Scheme, Shares, TermKeys, signer},
    terms::{Terms, Voting},
    wiring::{MAILBOX, REPLAY_BUFFER, VIEW_RETENTION, WRITE_BUFFER},
};
use commonware_consensus::{
    marshal::{
        core::Mailbox,
        standard::{Inline, Standard},
    },
    simplex::{
        self, Floor,
        config::{ForwardPolicy, SkipBudget, SkipPolicy},
        elector::RoundRobin,
    },
    types::{Epoch, Height},
};
use commonware_cryptography::{
    Digestible as _,
    ed25519::PublicKey,
    sha256::{Digest, Sha256},
};
use commonware_p2p::{
    Blocker, Message, Provider, Receiver, Sender,
    utils::mux::{Builder as _, MuxHandle, Muxer},
};
use commonware_parallel::Sequential;
use commonware_runtime::{Clock, Handle, Metrics, Spawner, Storage, buffer::paged::CacheRef};
use commonware_utils::{channel::mpsc, vec::NonEmptyVec};
use rand_core::CryptoRng;
use realdid_core::governance::{NOTICE_BLOCKS, Term};
use realdid_core::hash::HashFunction;
use std::{
    future::pending,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tracing::{error, info, warn};

/// How often a validator that follows looks for the next final blocks.
const LOOK: Duration = Duration::from_millis(500);
/// How long after a message of a later term it is taken to be true that there is one.
const HEARD_AHEAD: Duration = Duration::from_secs(10);
/// How far ahead of what is executed final blocks are asked for: the next ones, since one of them
/// may be final by its child's certificate alone, and the furthest whose term is certain, from which
/// everything between follows.
const AHEAD: [u64; 4] = [1, 2, 8, NOTICE_BLOCKS];

/// What one term's engine is made of.
pub struct Voter<E, C, P, B, S>
where
    S: Sender<PublicKey = PublicKey>,
{
    pub context: E,
    pub store_prefix: String,
    pub chain: C,
    pub rules: BlockRules,
    pub namespace: Vec<u8>,
    pub hash_function: HashFunction,
    /// Secret.
    pub identity_seed: [u8; 32],
    pub me: PublicKey,
    pub shares: Arc<dyn Shares>,
    pub terms: Terms,
    pub timeouts: Timeouts,
    pub peers: P,
    pub blocker: B,
    pub blocks: Mailbox<Scheme, Standard<Block>>,
    pub pages: CacheRef,
    pub votes: MuxHandle<S>,
    pub certificates: MuxHandle<S>,
    pub certificate_fetch: MuxHandle<S>,
}

/// Messages of terms that this validator does not vote in.
pub type Elsewhere = mpsc::Receiver<(u64, Message<PublicKey>)>;

/// Divides a channel by terms. What is of no term here comes out beside it.
pub fn divide<E, S, R>(
    context: E,
    (sender, receiver): (S, R),
) -> (Handle<()>, MuxHandle<S>, Elsewhere)
where
    E: Spawner + Metrics,
    S: Sender<PublicKey = PublicKey>,
    R: Receiver<PublicKey = PublicKey>,
{
    let inner = context.child("muxer");
    let (muxer, handle, elsewhere) = Muxer::builder(inner, sender, receiver)
        .with_backup()
        .build();
    let dividing = context.spawn(move |_| async move {
        // It ends with the network.
        let _ended = muxer.run().await;
    });
    (dividing, handle, elsewhere)
}

/// The engine of a term while it runs.
struct Running {
    number: u64,
    engine: Option<Handle<()>>,
}

impl<E, C, P, B, S> Voter<E, C, P, B, S>
where
    E: Clock + CryptoRng + Spawner + Storage + Metrics,
    C: Chain,
    P: Provider<PublicKey = PublicKey>,
    B: Blocker<PublicKey = PublicKey>,
    S: Sender<PublicKey = PublicKey>,
{
    /// Runs term after term until the engine stops. Returns earlier only where a part has failed.
    pub async fn run(mut self, mut votes: Elsewhere, mut certificates: Elsewhere) {
        let mut stopped = self.context.stopped();
        let mut executed = self.terms.watch();
        let mut running: Option<Running> = None;
        let mut heard_ahead: Option<SystemTime> = None;
        let mut asked: Option<u64> = None;
        loop {
            let Some((height, term)) = self.terms.running() else {
                error!("no term orders the next block");
                return;
            };
            if running
                .as_ref()
                .is_none_or(|running| running.number != term.number)
            {
                self.leave(running.take(), &term).await;
                running = Some(Running {
                    number: term.number,
                    engine: None,
                });
            }
            let Some(current) = running.as_mut() else {
                return;
            };
            if current.engine.is_none() {
                current.engine = self.vote(&term).await;
            }
            let now = self.context.current();
            let recent = |at: SystemTime| {
                now.duration_since(at)
                    .is_ok_and(|since| since < HEARD_AHEAD)
            };
            let follows = current.engine.is_none() || heard_ahead.is_some_and(recent);
            if follows && asked != Some(height) {
                self.ask(height).await;
                asked = Some(height);
            }
            let ended = async {
                match current.engine.as_mut() {
                    Some(engine) => {
                        let _ended = engine.await;
                    }
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = &mut stopped => return,
                () = ended => {
                    error!(term = term.number, "the term's engine ended by itself");
                    return;
                }
                changed = executed.changed() => if changed.is_err() {
                    return;
                },
                Some((number, _)) = votes.recv() => if number > term.number {
                    heard_ahead = Some(self.context.current());
                },
                Some((number, _)) = certificates.recv() => if number > term.number {
                    heard_ahead = Some(self.context.current());
                },
                // Peers may have come, or the operator may have put a share in its place.
                () = self.context.sleep(LOOK) => asked = None,
            }
        }
    }

    /// Ends the engine of the term before, and erases what nobody must find any more.
    async fn leave(&mut self, before: Option<Running>, term: &Term) {
        if let Some(engine) = before.and_then(|before| before.engine) {
            engine.abort();
        }
        self.shares.erase_before(term.number);
        // The engine that has just been told to end may still write to its own.
        for number in [term.number.checked_sub(2), term.number.checked_sub(3)] {
            let Some(number) = number else { break };
            let _gone = self.context.remove(&self.partition(number), None).await;
        }
        info!(term = term.number, first = term.first, "a term runs");
    }

    fn partition(&self, term: u64) -> String {
        format!("{}-consensus-{term}", self.store_prefix)
    }

    /// Starts the engine of a term, where this validator has a vote in it.
    async fn vote(&mut self, term: &Term) -> Option<Handle<()>> {
        if !term.validators.iter().any(|key| key.0 == self.me.as_ref()) {
            return None;
        }
        let keys = self.shares.of(term.number)?;
        let scheme = match self.scheme(term, &keys) {
            Ok(scheme) => scheme,
            Err(reason) => {
                warn!(term = term.number, %reason, "no vote in this term");
                return None;
            }
        };
        let floor = match term.first.checked_sub(1) {
            None => self.genesis()?,
            Some(last) => self.blocks.get_block(Height::new(last)).await?.digest(),
        };
        let votes = self.votes.register(term.number).await;
        let certificates = self.certificates.register(term.number).await;
        let certificate_fetch = self.certificate_fetch.register(term.number).await;
        let (Ok(votes), Ok(certificates), Ok(certificate_fetch)) =
            (votes, certificates, certificate_fetch)
        else {
            error!(term = term.number, "the term's channels are not there");
            return None;
        };
        self.terms.vote(term.number, scheme.clone());
        let context = self
            .context
            .child("term")
            .with_attribute("number", term.number);
        let automaton = Inline::new(
            context.child("application"),
            Adapter {
                chain: self.chain.clone(),
                rules: self.rules,
            },
            self.blocks.clone(),
            Voting(self.terms.clone()),
        );
        let engine = simplex::Engine::new(
            context.child("consensus"),
            simplex::Config {
                scheme,
                elector: RoundRobin::<Sha256>::default(),
                blocker: self.blocker.clone(),
                automaton: automaton.clone(),
                relay: automaton.clone(),
                reporter: automaton,
                track_historical_votes: false,
                strategy: Sequential,
                partition: self.partition(term.number),
                mailbox_size: MAILBOX,
                epoch: Epoch::new(term.number),
                floor: Floor::Genesis(floor),
                replay_buffer: REPLAY_BUFFER,
                write_buffer: WRITE_BUFFER,
                page_cache: self.pages.clone(),
                leader_timeout: self.timeouts.leader,
                certification_timeout: self.timeouts.certification,
                timeout_retry: self.timeouts.retry,
                view_retention: VIEW_RETENTION,
                skip: SkipPolicy::Enabled {
                    timeout: self.timeouts.skip,
                    budget: SkipBudget::Participants,
                },
                fetch_timeout: self.timeouts.fetch,
                fetch_retry_delay: self.timeouts.fetch.get() / 4,
                forward: ForwardPolicy::Disabled,
            },
        );
        info!(term = term.number, "this validator votes");
        Some(engine.start(votes, certificates, certificate_fetch))
    }

    fn scheme(&self, term: &Term, keys: &TermKeys) -> Result<Scheme, CommitteeError> {
        let (by, seed) = (self.hash_function, &self.identity_seed);
        signer(&self.namespace, term, by, seed, keys)
    }

    fn genesis(&self) -> Option<Digest> {
        let genesis = self.rules.read(self.chain.genesis())?;
        Some(genesis.digest())
    }

    /// Asks all peers for the final blocks after `height`.
    async fn ask(&mut self, height: u64) {
        let me = self.me.clone();
        let Some(peers) = self.peers.peer_set(0).await else {
            return;
        };
        let others: Vec<PublicKey> = peers.union().into_iter().filter(|key| *key != me).collect();
        let Ok(others) = NonEmptyVec::try_from(others) else {
            return;
        };
        for ahead in AHEAD {
            let height = Height::new(height.saturating_add(ahead));
            self.blocks.hint_finalized(height, others.clone());
        }
    }
}
