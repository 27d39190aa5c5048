//! RealPass presentations, verified together where they come together (spec/login.md, rule G17;
//! spec/realpass.md, B16).
//!
//! Verifying is the dearest step of a login, and proofs under one key share its dearest part. So a
//! presentation that finds nobody at work is verified at once, alone: nothing waits for company, and
//! there is no timer. What arrives while somebody works waits, and the next free worker takes all of
//! it that is under one key, up to [`MAX_BATCH`]; another processor joins when [`WORTH_SHARING`] wait
//! for each that works. The more comes, the cheaper each becomes. A false proof is found by itself
//! and fails nobody else.
//!
//! What is the same for all logins is made once: the point of this service's context, and a key's
//! tables for as long as the key is in use.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use realdid_core::hash::Hash32;
use realdid_exchange::vp::{PassClaim, PassKeyId};
use realdid_pass::{Claim, Context, PassError, PassKey, Seeded, Shown, verify_batch};
use tokio::sync::oneshot;

use crate::keys::random;
use crate::refusal::Refusal;

/// The most presentations that are verified together: beyond it little is saved, and the last
/// would wait for all.
const MAX_BATCH: usize = 64;
/// How many wait for each worker before another joins: enough that the two share out batches and not
/// single proofs, few enough that nobody waits for long.
const WORTH_SHARING: usize = 8;
/// The most presentations that wait. Each is some kilobytes and takes about a millisecond.
const MAX_WAITING: usize = 4096;
/// The most keys whose tables are kept. An issuer has one for an epoch, and few issuers serve one
/// gate.
const MAX_KEYS: usize = 16;

/// Verifies presentations in the context of one service.
pub(crate) struct Passes {
    desk: Arc<Desk>,
    keys: Mutex<VecDeque<(PassKeyId, Arc<PassKey>)>>,
}

/// The queue and who works on it.
struct Desk {
    context: Context,
    workers: usize,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    busy: usize,
}

struct Waiting {
    key: Arc<PassKey>,
    claim: PassClaim,
    answer: oneshot::Sender<Verdict>,
}

/// What verifying a proof says.
type Verdict = Result<Shown, PassError>;

impl Passes {
    /// For the service with this id, with as many workers as there are processors.
    pub fn new(service_id: &Hash32) -> Self {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        Self {
            desk: Arc::new(Desk {
                context: Context::service(&service_id.0),
                workers,
                queue: Mutex::default(),
            }),
            keys: Mutex::default(),
        }
    }

    /// Verifies what a wallet showed. An error is this gate's own: nothing was verified.
    pub async fn verify(&self, claim: &PassClaim) -> Result<Verdict, Refusal> {
        let key = match self.key(&claim.key).await? {
            Ok(key) => key,
            Err(error) => return Ok(Err(error)),
        };
        let (answer, verdict) = oneshot::channel();
        let waiting = Waiting {
            key,
            claim: claim.clone(),
            answer,
        };
        let start = {
            let mut queue = self.desk.lock();
            if queue.waiting.len() >= MAX_WAITING {
                return Err(Refusal::LOGIN_BUSY);
            }
            queue.waiting.push_back(waiting);
            let start =
                queue.busy < self.desk.workers && queue.waiting.len() > queue.busy * WORTH_SHARING;
            queue.busy += usize::from(start);
            start
        };
        if start {
            let desk = Arc::clone(&self.desk);
            tokio::task::spawn_blocking(move || desk.work());
        }
        // A worker drops a sender only where the machine gives no randomness.
        verdict.await.map_err(|_| Refusal::INTERNAL)
    }

    /// A key with its tables, which take some milliseconds to make.
    async fn key(&self, id: &PassKeyId) -> Result<Result<Arc<PassKey>, PassError>, Refusal> {
        let found = self
            .known()
            .iter()
            .find(|(known, _)| known == id)
            .map(|(_, key)| Arc::clone(key));
        if let Some(key) = found {
            return Ok(Ok(key));
        }
        let making = id.clone();
        let made = tokio::task::spawn_blocking(move || making.key());
        let key = match made.await.map_err(|_| Refusal::INTERNAL)? {
            Ok(key) => Arc::new(key),
            Err(error) => return Ok(Err(error)),
        };
        let mut known = self.known();
        // The oldest goes: keys follow each other with the epochs.
        if known.len() >= MAX_KEYS {
            known.pop_front();
        }
        known.push_back((id.clone(), Arc::clone(&key)));
        Ok(Ok(key))
    }

    fn known(&self) -> MutexGuard<'_, VecDeque<(PassKeyId, Arc<PassKey>)>> {
        // Each change is one push or pop: a poisoned list is still a sound one.
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Each change is one push, drain or count: a poisoned queue is still a sound one.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a worker does, once it is counted as busy: it verifies until nobody waits.
    fn work(&self) {
        let mut leaving = Leaving {
            desk: self,
            counted: true,
        };
        loop {
            let batch = {
                let mut queue = self.lock();
                let batch = queue.take();
                if batch.is_empty() {
                    // Under the same lock as the look: who comes after it starts a worker.
                    queue.busy -= 1;
                    leaving.counted = false;
                    return;
                }
                batch
            };
            self.verify(batch);
        }
    }

    fn verify(&self, batch: Vec<Waiting>) {
        let Some(first) = batch.first() else { return };
        metrics::histogram!("realpass_batch_size").record(batch.len() as f64);
        let Ok(seed) = random() else {
            // The senders are dropped, and each login hears that the gate is broken.
            return;
        };
        let claims: Vec<Claim<'_>> = batch
            .iter()
            .map(|waiting| {
                let claim = &waiting.claim;
                claim.shown.claim(&self.context, &claim.binding)
            })
            .collect();
        let verdicts = verify_batch(&mut Seeded::new(seed), &first.key, &claims);
        for (waiting, verdict) in batch.into_iter().zip(verdicts) {
            // Whoever gave up waiting does not take it.
            let _gone = waiting.answer.send(verdict);
        }
    }
}

impl Queue {
    /// The first that waits and all others under its key, in their order, up to a batch. Those who
    /// gave up waiting are left out.
    fn take(&mut self) -> Vec<Waiting> {
        self.waiting.retain(|waiting| !waiting.answer.is_closed());
        let Some(key) = self.waiting.front().map(|first| Arc::clone(&first.key)) else {
            return Vec::new();
        };
        let mut batch = Vec::new();
        let mut later = VecDeque::with_capacity(self.waiting.len());
        for waiting in self.waiting.drain(..) {
            if batch.len() < MAX_BATCH && Arc::ptr_eq(&waiting.key, &key) {
                batch.push(waiting);
            } else {
                later.push_back(waiting);
            }
        }
        self.waiting = later;
        batch
    }
}

/// A worker that ends by a panic, too, is no longer counted as busy: otherwise nobody would take
/// its place.
struct Leaving<'a> {
    desk: &'a Desk,
    counted: bool,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if self.counted {
            self.desk.lock().busy -= 1;
        }
    }
}

#[cfg(test)]
#[path = "passes_tests.rs"]
mod tests;
