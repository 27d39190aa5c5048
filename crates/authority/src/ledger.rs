//! The ledger as an authority sees it: proved records in, signed operations out.
//!
//! [`Ledger::Node`] asks a node and checks every answer with the light client; the other kind is
//! the ledger's rules in memory, for tests.

use realdid_core::genesis::Genesis;
use realdid_core::hash::Hash32;
use realdid_core::header::Checkpoint;
use realdid_core::operation::{Body, Operation, SignedOperation};
use realdid_core::state::{
    Batch, Display, Enrolment, Issuer, PersonTag, StatusList, Totals, batch_key, display_key,
    enrolment_key, issuer_key, status_list_key, totals_key,
};
use realdid_core::suite::SecretKey;
use realdid_core::trie::Key;
use realdid_light::http::{NodeClient, NodeError};
use realdid_light::{CheckedHeader, Freshness, LightClient, LightError, Proved};
use realdid_serve::files;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::text::Clock;

/// How many slots an operation may take until it is final.
const FINAL_SLOTS: u64 = 3;
/// The least of that, for networks with short slots.
const MIN_FINAL: Duration = Duration::from_secs(20);
/// For how many blocks an operation of ours may be in a block.
const EXPIRY_BLOCKS: u64 = 1000;
/// The greatest age of an answer: slots are seconds on a development network and a minute else.
const MAX_AGE_SLOTS: u64 = 5;
/// The least of that, for networks with short slots.
const MIN_MAX_AGE_MS: u64 = 30_000;

/// Why the ledger gave no fact, or took no operation.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error(
        "{code}: a node must answer ({0}); fault: node operator; do: look at the node",
        code = .0.code()
    )]
    Node(#[from] NodeError),
    #[error(
        "{code}: what a node says must be proved ({0}); fault: node operator; do: ask another \
         node, and compare the genesis",
        code = .0.code()
    )]
    Light(#[from] LightError),
    #[error(
        "genesis.unreadable: {} must be a genesis; fault: operator; do: name the right file as \
         genesis", path.display()
    )]
    Genesis { path: PathBuf },
}

impl LedgerError {
    /// Stable, dotted code.
    pub fn code(&self) -> &str {
        match self {
            Self::Node(error) => error.code(),
            Self::Light(error) => error.code(),
            Self::Genesis { .. } => "genesis.unreadable",
        }
    }

    /// The rule by which the ledger refused an operation.
    pub fn refused(&self) -> Option<&str> {
        match self {
            Self::Node(NodeError::Refused { rule }) => Some(rule),
            _ => None,
        }
    }
}

/// A proved record, with the height and time of the header that it hangs on.
#[derive(Debug, Clone)]
pub struct Seen<T> {
    pub record: Option<T>,
    pub height: u64,
    /// Unix milliseconds.
    pub time_ms: u64,
}

/// The ledger.
#[derive(Clone)]
pub enum Ledger {
    Node(Arc<NodeLedger>),
    #[cfg(test)]
    Memory(crate::tests::MemoryLedger),
}

/// Reads a pinned genesis.
pub fn read_genesis(path: &Path) -> Result<Genesis, LedgerError> {
    let unreadable = || LedgerError::Genesis {
        path: path.to_owned(),
    };
    let bytes = std::fs::read(path).map_err(|_| unreadable())?;
    Genesis::decode(&bytes).map_err(|_| unreadable())
}

/// Takes up the terms that an earlier run knew. A file that is none of this network's is worth nothing,
/// and replaced when the next term is known.
fn recall_terms(light: &mut LightClient, file: &Path) {
    let Ok(bytes) = std::fs::read(file) else {
        return;
    };
    if let Err(error) = light.recall_encoded_terms(&bytes) {
        tracing::warn!(
            code = error.code(),
            "the terms that were kept are not this network's"
        );
    }
}

impl Ledger {
    /// The ledger behind `nodes`, checked against the genesis in a file. The terms that it has come to
    /// know are kept in `dir`.
    pub fn open(
        nodes: &[String],
        genesis: &Path,
        dir: &Path,
        clock: Clock,
    ) -> Result<Self, LedgerError> {
        let genesis = read_genesis(genesis)?;
        let terms = dir.join("terms.cbor");
        let mut light = LightClient::new(genesis.clone());
        recall_terms(&mut light, &terms);
        Ok(Self::Node(Arc::new(NodeLedger {
            node: NodeClient::new(nodes.to_vec())?,
            light: Mutex::new(light),
            terms,
            genesis,
            clock,
            answered_ms: AtomicU64::new(0),
        })))
    }

    pub fn genesis(&self) -> &Genesis {
        match self {
            Self::Node(ledger) => &ledger.genesis,
            #[cfg(test)]
            Self::Memory(ledger) => ledger.genesis(),
        }
    }

    /// The enrolment under a tag, from a state that holds the block at `height`.
    pub async fn enrolment(
        &self,
        tag: &PersonTag,
        height: u64,
    ) -> Result<Seen<Enrolment>, LedgerError> {
        match self {
            Self::Node(ledger) => {
                let read = |light: &LightClient, answer: &_, freshness: &_| {
                    light.enrolment(tag, answer, freshness)
                };
                ledger
                    .read(
                        &enrolment_key(self.genesis().hash_function(), tag),
                        height,
                        read,
                    )
                    .await
            }
            #[cfg(test)]
            Self::Memory(ledger) => {
                Ok(ledger.seen(&enrolment_key(self.genesis().hash_function(), tag)))
            }
        }
    }

    /// An issuer's record.
    pub async fn issuer(&self, id: &Hash32) -> Result<Seen<Issuer>, LedgerError> {
        match self {
            Self::Node(ledger) => {
                let read = |light: &LightClient, answer: &_, freshness: &_| {
                    light.issuer(id, answer, freshness)
                };
                ledger
                    .read(&issuer_key(self.genesis().hash_function(), id), 0, read)
                    .await
            }
            #[cfg(test)]
            Self::Memory(ledger) => {
                Ok(ledger.seen(&issuer_key(self.genesis().hash_function(), id)))
            }
        }
    }

    /// A display's record.
    pub async fn display(&self, digest: &Hash32) -> Result<Seen<Display>, LedgerError> {
        let key = display_key(self.genesis().hash_function(), digest);
        match self {
            Self::Node(ledger) => {
                let read = |light: &LightClient, answer: &_, freshness: &_| {
                    light.display(digest, answer, freshness)
                };
                ledger.read(&key, 0, read).await
            }
            #[cfg(test)]
            Self::Memory(ledger) => Ok(ledger.seen(&key)),
        }
    }

    /// An issuance batch's record.
    pub async fn batch(&self, issuer: &Hash32, root: &Hash32) -> Result<Seen<Batch>, LedgerError> {
        let key = batch_key(self.genesis().hash_function(), issuer, root);
        match self {
            Self::Node(ledger) => {
                let read = |light: &LightClient, answer: &_, freshness: &_| {
                    light.batch(issuer, root, answer, freshness)
                };
                ledger.read(&key, 0, read).await
            }
            #[cfg(test)]
            Self::Memory(ledger) => Ok(ledger.seen(&key)),
        }
    }

    /// Which version of a status list holds, in a state that has the block at `height`.
    pub async fn status_list(
        &self,
        issuer: &Hash32,
        list: &Hash32,
        height: u64,
    ) -> Result<Seen<StatusList>, LedgerError> {
        let key = status_list_key(self.genesis().hash_function(), issuer, list);
        match self {
            Self::Node(ledger) => {
                let read = |light: &LightClient, answer: &_, freshness: &_| {
                    light.status_list(issuer, list, answer, freshness)
                };
                ledger.read(&key, height, read).await
            }
            #[cfg(test)]
            Self::Memory(ledger) => Ok(ledger.seen(&key)),
        }
    }

    /// What an issuer did in an epoch.
    pub async fn totals(&self, id: &Hash32, epoch: u64) -> Result<Seen<Totals>, LedgerError> {
        match self {
            Self::Node(ledger) => {
                let read = |light: &LightClient, answer: &_, freshness: &_| {
                    light.totals(id, epoch, answer, freshness)
                };
                ledger
                    .read(
                        &totals_key(self.genesis().hash_function(), id, epoch),
                        0,
                        read,
                    )
                    .await
            }
            #[cfg(test)]
            Self::Memory(ledger) => {
                Ok(ledger.seen(&totals_key(self.genesis().hash_function(), id, epoch)))
            }
        }
    }

    /// The newest height and time that are proved.
    pub async fn tip(&self) -> Result<(u64, u64), LedgerError> {
        match self {
            Self::Node(ledger) => ledger
                .advance()
                .await
                .map(|at| (at.header.height, at.header.time_ms)),
            #[cfg(test)]
            Self::Memory(ledger) => Ok(ledger.tip()),
        }
    }

    /// Signs `body` for this network, with an expiry counted from `height`.
    pub fn sign(&self, body: Body, height: u64, key: &SecretKey) -> SignedOperation {
        let genesis = self.genesis();
        let expires = height + genesis.parameters.expiry_window.min(EXPIRY_BLOCKS);
        Operation::new(genesis.network.clone(), expires, body).sign(&[key])
    }

    /// Hands in an operation.
    pub async fn submit(&self, operation: &SignedOperation) -> Result<Hash32, LedgerError> {
        match self {
            Self::Node(ledger) => Ok(ledger.node.submit(operation).await?),
            #[cfg(test)]
            Self::Memory(ledger) => ledger.apply(operation).map(|_| operation.id()),
        }
    }

    /// Hands in an operation and waits until it is accepted in a final block. Answers the height.
    pub async fn submit_and_wait(&self, operation: &SignedOperation) -> Result<u64, LedgerError> {
        match self {
            Self::Node(ledger) => Ok(ledger
                .node
                .submit_and_wait(operation, ledger.patience())
                .await?),
            #[cfg(test)]
            Self::Memory(ledger) => ledger.apply(operation),
        }
    }

    /// Unix milliseconds of the last proved answer; 0 where there was none.
    pub fn answered_ms(&self) -> u64 {
        match self {
            Self::Node(ledger) => ledger.answered_ms.load(Ordering::Relaxed),
            #[cfg(test)]
            Self::Memory(ledger) => ledger.tip().1,
        }
    }
}

/// A node, and the light client that checks it.
pub struct NodeLedger {
    node: NodeClient,
    light: Mutex<LightClient>,
    /// The file of the terms that are known.
    terms: PathBuf,
    genesis: Genesis,
    clock: Clock,
    answered_ms: AtomicU64,
}

impl NodeLedger {
    /// How long to wait until an operation is final.
    fn patience(&self) -> Duration {
        let slots = FINAL_SLOTS.saturating_mul(self.genesis.parameters.slot_s);
        Duration::from_secs(slots).max(MIN_FINAL)
    }

    /// Follows the committee's hand-overs to the term of a checkpoint, where that is unknown here, and
    /// keeps them: whoever has shares of an old key must not be believed again after a restart.
    async fn follow(&self, checkpoint: &Checkpoint) -> Result<(), LedgerError> {
        let known = || self.light.lock().unwrap_or_else(PoisonError::into_inner);
        let mut light = known().clone();
        let before = light.newest_term();
        self.node.follow(&mut light, checkpoint).await?;
        if light.newest_term() > before {
            known().recall_terms(light.terms().to_vec())?;
            if let Err(error) = files::write_private(&self.terms, &light.encoded_terms()) {
                tracing::warn!(code = error.code(), "the network's terms are not kept");
            }
        }
        Ok(())
    }

    async fn advance(&self) -> Result<CheckedHeader, LedgerError> {
        let checkpoint = self.node.checkpoint().await?;
        self.follow(&checkpoint).await?;
        let mut light = self.light.lock().unwrap_or_else(PoisonError::into_inner);
        let at = light.advance(&checkpoint)?;
        drop(light);
        self.answered_ms
            .store(self.clock.now_ms(), Ordering::Relaxed);
        Ok(at)
    }

    async fn read<T>(
        &self,
        key: &Key,
        height: u64,
        read: impl Fn(
            &LightClient,
            &realdid_core::answer::StateAnswer,
            &Freshness,
        ) -> Result<Proved<Option<T>>, LightError>,
    ) -> Result<Seen<T>, LedgerError> {
        let answer = self
            .node
            .state_at_least(key, height, self.patience())
            .await?;
        self.follow(&answer.checkpoint).await?;
        let slot_ms = self.genesis.parameters.slot_s * 1000;
        let freshness = Freshness {
            now_ms: self.clock.now_ms(),
            max_age_ms: (MAX_AGE_SLOTS * slot_ms).max(MIN_MAX_AGE_MS),
            max_lag_slots: MAX_AGE_SLOTS,
        };
        let light = self.light.lock().unwrap_or_else(PoisonError::into_inner);
        let proved = read(&light, &answer, &freshness)?;
        drop(light);
        self.answered_ms.store(freshness.now_ms, Ordering::Relaxed);
        Ok(Seen {
            record: proved.value,
            height: proved.at.header.height,
            time_ms: proved.at.header.time_ms,
        })
    }
}
