//! Issuance batches (spec/issuing.md, O14 to O19; promise P7): what was issued is committed to on the ledger,
//! so that honest copies stand when the key that signed them is found in other hands.
//!
//! An item is noted before its credential is handed out. Any process of an authority closes a batch,
//! and one does; one that ends in between leaves it to the others, and the ledger refuses a batch that
//! it has, which is as good as accepting it. A holder gets the paths of what they hold, and
//! which items are whose is written down nowhere.

use axum::http::StatusCode;
use realdid_core::hash::{Hash32, HashFunction, ListPath, ListTree};
use realdid_core::operation::{AnchorBatch, Body};
use realdid_core::rule::Rule;
use realdid_exchange::batch::{self, BatchError, PathsRequest, PathsResponse};
use realdid_exchange::vci::VciError;
use realdid_serve::Problem;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::BatchConfig;
use crate::issuing::IssueError;
use crate::oauth::Caller;
use crate::service::Authority;
use crate::store::{Closing, OpenBatch, StoreError};

/// How long a process may take to put a batch on the ledger before another may try, in seconds.
const CLAIM_S: u64 = 60;
/// The most batches that are put on the ledger in one go.
const MAX_AT_ONCE: usize = 16;
/// The most trees that are at hand: a tree of the most items takes 4 MB.
const MAX_TREES: usize = 8;

/// Why somebody got no paths.
#[derive(Debug, thiserror::Error)]
pub enum PathsError {
    #[error("vci.access_token: the token must be known and not expired")]
    Token,
    /// The token is not used as it is bound.
    #[error(transparent)]
    Bound(IssueError),
    #[error("{code}: {rule}", code = .0.code(), rule = .0.rule())]
    Request(#[from] BatchError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl PathsError {
    /// The answer for whoever asked.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Token => Problem::new(
                StatusCode::UNAUTHORIZED,
                VciError::AccessToken.code(),
                "the token must be known and not expired",
                "send the refresh token of this authority, by the scheme of its token_type",
            ),
            Self::Bound(error) => error.answer("invalid_token").problem().clone(),
            Self::Request(error) => Problem::bad_request(error.code(), error.rule(), error.fix()),
            Self::Store(_) => Problem::internal(),
        }
    }
}

/// Batches as the authority makes them.
pub(crate) struct Batches {
    config: BatchConfig,
    by: HashFunction,
    /// Trees of batches on the ledger, by number.
    trees: Mutex<BTreeMap<u64, Arc<Listed>>>,
}

/// A batch's items in order, and the tree over them.
struct Listed {
    items: Vec<Hash32>,
    tree: ListTree,
}

impl Batches {
    pub fn new(config: BatchConfig, by: HashFunction) -> Self {
        Self {
            config,
            by,
            trees: Mutex::default(),
        }
    }

    fn at_hand(&self, number: u64) -> Option<Arc<Listed>> {
        // A map is only ever changed by one insert or remove: a poisoned one is sound.
        let trees = self.trees.lock().unwrap_or_else(PoisonError::into_inner);
        trees.get(&number).cloned()
    }

    fn keep(&self, number: u64, listed: &Arc<Listed>) {
        let mut trees = self.trees.lock().unwrap_or_else(PoisonError::into_inner);
        trees.insert(number, Arc::clone(listed));
        // The newest are asked for most.
        if trees.len() > MAX_TREES {
            trees.pop_first();
        }
    }
}

impl Authority {
    /// Notes copies that are about to be handed out, with the id of the key that signed them.
    pub(crate) async fn note_issued(
        &self,
        copies: &[String],
        key: &Hash32,
        expires_s: u64,
    ) -> Result<(), IssueError> {
        let Batches { config, by, .. } = &self.batches;
        let item = |copy: &String| batch::item(*by, copy);
        let items = copies.iter().map(item).collect::<Result<Vec<_>, _>>();
        // They are credentials: this authority has just made them.
        let items = items.map_err(|_| IssueError::Stopped)?;
        // Not when it was issued: only in which stretch of time.
        let now_s = self.clock.now_s();
        let due_s = (now_s / config.period_s.max(1) + 1).saturating_mul(config.period_s.max(1));
        let noted = self.store.note_issued(&items, key, due_s, expires_s);
        Ok(noted.await?)
    }

    /// Puts on the ledger what is due.
    pub(crate) async fn anchor_batches(&self) -> Result<(), IssueError> {
        let closing = Closing {
            now_s: self.clock.now_s(),
            least: self.batches.config.least,
            claim_s: CLAIM_S,
        };
        for _ in 0..MAX_AT_ONCE {
            let Some(open) = self.store.open_batch(&closing).await? else {
                break;
            };
            self.anchor_batch(&open).await?;
        }
        Ok(())
    }

    async fn anchor_batch(&self, open: &OpenBatch) -> Result<(), IssueError> {
        let items = self.store.batch_items(open.number).await?;
        let count = items.len() as u64;
        let tree = ListTree::new(self.batches.by, &items);
        let Some((root, tree)) = tree.and_then(|tree| Some((tree.root()?, tree))) else {
            return Ok(self.store.give_batch_up(open.number).await?);
        };
        let (tip, _) = self.ledger.tip().await?;
        let body = Body::Batch(AnchorBatch {
            issuer: self.issuer_id,
            key: open.key,
            root,
            count,
        });
        let operation = self.ledger.sign(body, tip, &self.keys.operation);
        let height = match self.ledger.submit_and_wait(&operation).await {
            Ok(height) => height,
            Err(error) if error.refused() == Some(Rule::BatchExists.code()) => {
                let record = self.ledger.batch(&self.issuer_id, &root).await?.record;
                let Some(batch) = record else { return Ok(()) };
                batch.height
            }
            // The key was retired, or is in other hands: what is not on the ledger never will be.
            Err(error) if error.refused() == Some(Rule::IssuerKey.code()) => {
                tracing::warn!(code = Rule::IssuerKey.code(), count, "a batch is given up");
                return Ok(self.store.give_batch_up(open.number).await?);
            }
            Err(error) => return Err(error.into()),
        };
        self.store.anchored(open.number, height).await?;
        metrics::counter!("authority_batches_total").increment(1);
        self.batches
            .keep(open.number, &Arc::new(Listed { items, tree }));
        Ok(())
    }

    /// The paths of what a holder asks about, where their batches are on the ledger.
    pub(crate) async fn paths(
        &self,
        caller: &Caller,
        request: &PathsRequest,
    ) -> Result<PathsResponse, PathsError> {
        let holder = self.asking(caller, "/v1/batches/paths").await;
        holder
            .map_err(PathsError::Bound)?
            .ok_or(PathsError::Token)?;
        let mut paths = Vec::new();
        for item in request.check()? {
            paths.push(self.path(&item).await?);
        }
        Ok(PathsResponse::new(&paths))
    }

    async fn path(&self, item: &Hash32) -> Result<Option<ListPath>, StoreError> {
        let Some(number) = self.store.batch_of(item).await? else {
            return Ok(None);
        };
        let listed = match self.batches.at_hand(number) {
            Some(listed) => listed,
            None => {
                let items = self.store.batch_items(number).await?;
                let Some(tree) = ListTree::new(self.batches.by, &items) else {
                    return Ok(None);
                };
                let listed = Arc::new(Listed { items, tree });
                self.batches.keep(number, &listed);
                listed
            }
        };
        let index = listed.items.binary_search(item).ok();
        Ok(index.and_then(|index| listed.tree.path(index)))
    }
}
