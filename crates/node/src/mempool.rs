//! Operations that wait for a block.
//!
//! Bounded in total and for each source, fair between sources, and idempotent: the same operation
//! twice waits once. A source is whoever answers for an operation ([`Source`]); within a source,
//! first come first served. An operation leaves when a final block holds it or when it expires;
//! while a block with it is on its way to becoming final it is held back from the next one, whoever
//! made that block. What waits here was found admissible, its signatures verified
//! ([`crate::admission`]).

use crate::gossip::Outbox;
use realdid_core::codec::Bytes;
use realdid_core::hash::Hash32;
use realdid_core::operation::{Body, SignedOperation};
use realdid_ledger::Known;
use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The most operations that wait.
const MAX_OPERATIONS: usize = 100_000;
/// The most bytes of operations that wait.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Why an operation cannot wait here now. Nothing that waits is lost by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the node holds as many waiting operations as it may")]
    Full,
    #[error("as many operations of this source wait as may")]
    Source,
}

impl Refused {
    /// The stable name of the bound.
    pub fn code(self) -> &'static str {
        match self {
            Self::Full => "mempool.full",
            Self::Source => "mempool.source",
        }
    }
}

/// Who answers for an operation, once its signatures are verified. Keys are free to make, so none
/// of them is a source by itself: each of these costs something to be, or is one for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// An issuer that acts or sponsors, by its id.
    Issuer(Hash32),
    /// All persons who anchor on their own account by RealPasses of an issuer.
    Persons(Hash32),
    /// A DID on the ledger.
    Did(Hash32),
    /// A display, by its digest.
    Display(Hash32),
    /// All who relay what other networks' validators have signed.
    Relays,
    Governance,
}

impl Source {
    pub fn of(signed: &SignedOperation) -> Self {
        match &signed.operation.body {
            Body::Anchor(inception) => match (&signed.sponsor, &signed.personhood) {
                (Some(sponsor), _) => Self::Issuer(sponsor.issuer),
                (None, Some(person)) => Self::Persons(person.issuer),
                // Not admissible; it is counted all the same.
                (None, None) => Self::Did(inception.id()),
            },
            Body::Rotate(id, ..)
            | Body::Recover(id, ..)
            | Body::Cancel(id, _)
            | Body::Freeze(id, _)
            | Body::Deactivate(id, _) => Self::Did(*id),
            Body::Enrol(enrol) => Self::Issuer(enrol.issuer),
            Body::EnrolmentStanding(issuer, ..)
            | Body::Register(issuer, ..)
            | Body::ServiceStanding(issuer, ..)
            | Body::PassTotal(issuer, ..)
            | Body::ResetPass(issuer, ..)
            | Body::CancelReset(issuer, ..) => Self::Issuer(*issuer),
            Body::Batch(batch) => Self::Issuer(batch.issuer),
            Body::Display(show) => Self::Issuer(show.issuer),
            Body::StatusList(list) => Self::Issuer(list.issuer),
            Body::WithdrawDisplay(digest, _) => Self::Display(*digest),
            Body::ForeignCheckpoint(..) | Body::ForeignHandOver(..) | Body::ForeignFork(..) => {
                Self::Relays
            }
            Body::Govern(..) => Self::Governance,
        }
    }

    /// How many of its operations may wait at a time.
    fn bound(self) -> usize {
        match self {
            // No issuer takes more than half of the room from the others.
            Self::Issuer(_) => MAX_OPERATIONS / 2,
            Self::Persons(_) => MAX_OPERATIONS / 10,
            // At most one of them fits the record as it is; a few more are other drafts.
            Self::Did(_) | Self::Display(_) => 4,
            Self::Relays | Self::Governance => 64,
        }
    }
}

/// The operations that wait.
#[derive(Debug)]
pub struct Mempool {
    waiting: Mutex<Waiting>,
    /// Counts additions, so that a proposer can wait for one.
    added: watch::Sender<u64>,
    /// What the other validators are to be told of.
    outbox: Outbox,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Each source's operations in the order in which they came.
    queues: HashMap<Source, VecDeque<Hash32>>,
    /// Sources with a queue, the one whose turn is next first.
    turns: VecDeque<Source>,
    operations: HashMap<Hash32, Entry>,
    /// Each operation by a hash of its bytes, signatures included.
    by_bytes: HashMap<u64, Hash32>,
    /// What blocks hold that may become final, by the same hash, with their heights: an operation may
    /// come here after the block that holds it.
    held: HashMap<u64, u64>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    bytes: Bytes,
    /// Their hash, by which they are found.
    hash: u64,
    /// What was read from these bytes and found admissible.
    known: Option<Arc<Known>>,
    /// The last height at which it may be in a block.
    expires: u64,
    /// The height of a block that holds it and is not final yet.
    proposed: Option<u64>,
}

impl Default for Mempool {
    fn default() -> Self {
        let (added, _) = watch::channel(0);
        Self {
            waiting: Mutex::default(),
            added,
            outbox: Outbox::default(),
            hasher: RandomState::new(),
        }
    }
}

impl Mempool {
    /// Adds an operation that was found admissible, with the bytes that it was read from.
    pub fn add(&self, known: Known, bytes: Vec<u8>) -> Result<(), Refused> {
        let (id, source) = (known.id, Source::of(&known.signed));
        let expires = known.signed.operation.expires;
        self.insert(id, source, bytes, expires, Some(Arc::new(known)))
    }

    fn insert(
        &self,
        id: Hash32,
        source: Source,
        bytes: Vec<u8>,
        expires: u64,
        known: Option<Arc<Known>>,
    ) -> Result<(), Refused> {
        {
            let mut waiting = self.lock();
            if waiting.operations.contains_key(&id) {
                return Ok(());
            }
            let size = bytes.len();
            if waiting.operations.len() >= MAX_OPERATIONS || waiting.bytes + size > MAX_BYTES {
                return Err(Refused::Full);
            }
            let queued = waiting.queues.get(&source).map_or(0, VecDeque::len);
            if queued >= source.bound() {
                return Err(Refused::Source);
            }
            if queued == 0 {
                waiting.turns.push_back(source);
            }
            waiting.bytes += size;
            let hash = self.hasher.hash_one(&bytes);
            let proposed = waiting.held.get(&hash).copied();
            waiting.by_bytes.insert(hash, id);
            waiting.queues.entry(source).or_default().push_back(id);
            waiting.operations.insert(
                id,
                Entry {
                    bytes: Bytes(bytes),
                    hash,
                    known,
                    expires,
                    proposed,
                },
            );
        }
        self.added.send_modify(|count| *count += 1);
        Ok(())
    }

    pub fn contains(&self, id: &Hash32) -> bool {
        self.lock().operations.contains_key(id)
    }

    /// Whether an operation waits with exactly these bytes.
    pub fn holds(&self, bytes: &Bytes) -> bool {
        let hash = self.hasher.hash_one(&bytes.0);
        self.lock().find(hash, bytes).is_some()
    }

    /// What was read from exactly these bytes and found admissible, if it waits here.
    pub fn known(&self, bytes: &Bytes) -> Option<Arc<Known>> {
        let hash = self.hasher.hash_one(&bytes.0);
        let waiting = self.lock();
        let id = waiting.find(hash, bytes)?;
        waiting.operations.get(&id)?.known.clone()
    }

    /// Notes that a block at `height`, which may become final, holds these operations.
    pub fn hold_back(&self, height: u64, held: &[Bytes]) {
        let mut waiting = self.lock();
        for bytes in held {
            let hash = self.hasher.hash_one(&bytes.0);
            if waiting.held.len() < MAX_OPERATIONS {
                waiting.held.insert(hash, height);
            }
            if let Some(id) = waiting.find(hash, bytes)
                && let Some(entry) = waiting.operations.get_mut(&id)
            {
                entry.proposed = Some(height);
            }
        }
    }

    /// What the other validators are to be told of.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    pub fn len(&self) -> usize {
        self.lock().operations.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Follows additions.
    pub fn added(&self) -> watch::Receiver<u64> {
        self.added.subscribe()
    }

    /// Whether a block at `height` would find an operation to take.
    pub fn has_work(&self, height: u64) -> bool {
        let waiting = self.lock();
        waiting
            .operations
            .values()
            .any(|entry| entry.free_at(height))
    }

    /// Takes operations for a block at `height`, one of each source in turn and each source's in
    /// order, and notes that they are in it. The next block begins where this one ended.
    pub fn take(&self, height: u64, count: usize, max_bytes: usize) -> Vec<Bytes> {
        let mut waiting = self.lock();
        let Waiting {
            queues,
            turns,
            operations,
            ..
        } = &mut *waiting;
        let mut room = max_bytes;
        let mut taken = Vec::new();
        let mut rest: VecDeque<(Source, usize)> = turns.iter().map(|turn| (*turn, 0)).collect();
        while taken.len() < count {
            let Some((source, mut at)) = rest.pop_front() else {
                break;
            };
            let queue = queues.get(&source);
            while let Some(id) = queue.and_then(|queue| queue.get(at)) {
                at += 1;
                let Some(entry) = operations.get_mut(id).filter(|entry| entry.free_at(height))
                else {
                    continue;
                };
                // What is too long now waits, and with it what came later from the same source.
                if let Some(left) = room.checked_sub(entry.bytes.0.len()) {
                    room = left;
                    entry.proposed = Some(height);
                    taken.push(entry.bytes.clone());
                    rest.push_back((source, at));
                }
                break;
            }
        }
        if let Some(next) = rest.front().map(|(source, _)| *source)
            && let Some(place) = turns.iter().position(|turn| *turn == next)
        {
            turns.rotate_left(place);
        }
        taken
    }

    /// [`Mempool::settle`] with the operations of a final block as they stand in it.
    pub fn settle_block(&self, height: u64, operations: &[Bytes]) {
        let known: Vec<Option<Hash32>> = {
            let waiting = self.lock();
            let find = |bytes: &Bytes| waiting.find(self.hasher.hash_one(&bytes.0), bytes);
            operations.iter().map(find).collect()
        };
        // The same operation may wait here with other signatures.
        let read = |bytes: &Bytes| Some(SignedOperation::decode(&bytes.0).ok()?.id());
        let each = known.into_iter().zip(operations);
        let ids: Vec<Hash32> = each
            .filter_map(|(id, bytes)| id.or_else(|| read(bytes)))
            .collect();
        self.settle(height, &ids);
    }

    /// Notes what a final block held: those operations are done, and what had been put into
    /// another block at or below that height is free again.
    pub fn settle(&self, height: u64, held: &[Hash32]) {
        let mut waiting = self.lock();
        waiting.held.retain(|_, at| *at > height);
        for id in held {
            waiting.remove(id);
        }
        let mut expired = Vec::new();
        for (id, entry) in &mut waiting.operations {
            if entry.proposed.is_some_and(|at| at <= height) {
                entry.proposed = None;
            }
            if entry.expires <= height {
                expired.push(*id);
            }
        }
        for id in expired {
            waiting.remove(&id);
        }
        waiting.close_ranks();
    }

    /// Takes operations out that turned out to be done.
    pub fn forget(&self, done: &[Hash32]) {
        let mut waiting = self.lock();
        for id in done {
            waiting.remove(id);
        }
        waiting.close_ranks();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // No code that holds the lock can panic half-way.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Takes an operation out; its place in the queue stays until [`close_ranks`](Self::close_ranks).
    fn remove(&mut self, id: &Hash32) {
        if let Some(entry) = self.operations.remove(id) {
            self.bytes -= entry.bytes.0.len();
            self.by_bytes.remove(&entry.hash);
        }
    }

    fn close_ranks(&mut self) {
        let Self {
            queues,
            turns,
            operations,
            ..
        } = self;
        queues.retain(|_, queue| {
            queue.retain(|id| operations.contains_key(id));
            !queue.is_empty()
        });
        turns.retain(|source| queues.contains_key(source));
    }

    /// The operation that has exactly these bytes, which have this hash.
    fn find(&self, hash: u64, bytes: &Bytes) -> Option<Hash32> {
        let id = self.by_bytes.get(&hash)?;
        let entry = self.operations.get(id)?;
        (entry.bytes == *bytes).then_some(*id)
    }
}

impl Entry {
    /// Whether a block at `height` may hold it: it has not expired, and is in no block below
    /// that is still becoming final.
    fn free_at(&self, height: u64) -> bool {
        self.expires >= height && self.proposed.is_none_or(|at| at >= height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Source = Source::Issuer(Hash32([1; 32]));
    const TWO: Source = Source::Issuer(Hash32([2; 32]));

    impl Mempool {
        /// Bytes that nobody reads.
        fn put(&self, id: Hash32, by: Source, bytes: Vec<u8>, expires: u64) -> Result<(), Refused> {
            self.insert(id, by, bytes, expires, None)
        }
    }

    fn id(n: u8) -> Hash32 {
        Hash32([n; 32])
    }

    fn numbered(n: usize) -> Hash32 {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&n.to_be_bytes());
        Hash32(id)
    }

    #[test]
    fn keeps_order_holds_back_what_is_proposed_and_frees_what_was_lost() {
        let pool = Mempool::default();
        for n in 1..=3 {
            pool.put(id(n), ONE, vec![n], 100).unwrap();
            pool.put(id(n), ONE, vec![n], 100).unwrap();
        }
        assert_eq!(pool.len(), 3);
        let first = pool.take(5, 2, 100);
        assert_eq!(first, [Bytes(vec![1]), Bytes(vec![2])]);
        // the next block, on a parent that is not final, takes only what is left
        assert_eq!(pool.take(6, 10, 100), [Bytes(vec![3])]);
        assert!(!pool.has_work(7));
        // another block became final at 5 and held only the first: the second is free again
        pool.settle(5, &[id(1)]);
        assert_eq!(pool.take(7, 10, 100), [Bytes(vec![2])]);
        pool.settle(7, &[id(2), id(3)]);
        assert!(pool.is_empty());
    }

    #[test]
    fn what_turned_out_to_be_done_leaves_no_trace() {
        let mempool = Mempool::default();
        mempool.put(id(1), ONE, vec![1; 10], 100).unwrap();
        mempool.put(id(2), ONE, vec![2; 10], 100).unwrap();
        mempool.put(id(3), TWO, vec![3; 10], 100).unwrap();
        mempool.forget(&[id(1), id(3), id(9)]);
        assert_eq!(mempool.len(), 1);
        assert_eq!(mempool.take(5, 10, 1000), [Bytes(vec![2; 10])]);
        let waiting = mempool.lock();
        assert_eq!((waiting.bytes, waiting.by_bytes.len()), (10, 1));
        assert_eq!((waiting.queues.len(), waiting.turns.len()), (1, 1));
    }

    #[test]
    fn what_another_put_into_a_block_is_held_back_until_that_block_is_final_or_lost() {
        let pool = Mempool::default();
        for n in 1..=3 {
            pool.put(id(n), ONE, vec![n], 100).unwrap();
        }
        // By its bytes alone: what does not wait here is nobody's.
        pool.hold_back(5, &[Bytes(vec![1]), Bytes(vec![9])]);
        assert_eq!(pool.take(6, 1, 100), [Bytes(vec![2])]);
        // Nor does what comes after the block that holds it.
        pool.put(id(9), ONE, vec![9], 100).unwrap();
        assert_eq!(pool.take(7, 9, 100), [Bytes(vec![3])]);
        pool.settle(6, &[id(9), id(2)]);
        assert_eq!(pool.take(7, 1, 100), [Bytes(vec![1])]);
        assert!(pool.holds(&Bytes(vec![3])) && !pool.holds(&Bytes(vec![9])));
        // The same operation with other signatures is not what was verified.
        pool.put(id(3), ONE, vec![3, 3], 100).unwrap();
        assert!(!pool.holds(&Bytes(vec![3, 3])));
        pool.settle_block(7, &[Bytes(vec![1]), Bytes(vec![3])]);
        assert!(pool.is_empty() && !pool.holds(&Bytes(vec![3])));
    }

    #[test]
    fn expires_and_refuses_beyond_its_bounds() {
        let pool = Mempool::default();
        pool.put(id(1), ONE, vec![0; 10], 4).unwrap();
        assert!(pool.take(5, 10, 100).is_empty());
        pool.settle(4, &[]);
        assert!(pool.is_empty());
        let long = vec![0; MAX_BYTES + 1];
        assert_eq!(pool.put(id(2), ONE, long, 9), Err(Refused::Full));
        assert!(pool.take(5, 10, 100).is_empty());
    }

    #[test]
    fn a_source_has_its_bound_and_leaves_room_for_others() {
        let pool = Mempool::default();
        for n in 0..ONE.bound() {
            pool.put(numbered(n), ONE, vec![1], 9).unwrap();
        }
        let more = numbered(ONE.bound());
        assert_eq!(pool.put(more, ONE, vec![1], 9), Err(Refused::Source));
        // What waits already is answered as before.
        assert_eq!(pool.put(numbered(0), ONE, vec![1], 9), Ok(()));
        for n in 0..TWO.bound() {
            pool.put(numbered(1_000_000 + n), TWO, vec![2], 9).unwrap();
        }
        assert_eq!(pool.len(), MAX_OPERATIONS);
        assert_eq!(
            pool.put(more, Source::Governance, vec![3], 9),
            Err(Refused::Full)
        );
        // Room again, once a block is final.
        pool.settle(1, &[numbered(0)]);
        assert_eq!(pool.put(more, ONE, vec![1], 9), Ok(()));
        let did = Source::Did(id(7));
        pool.settle(2, &[more]);
        assert_eq!(pool.put(id(9), did, vec![1], 9), Ok(()));
    }

    #[test]
    fn sources_take_turns_and_each_keeps_its_order() {
        let pool = Mempool::default();
        for n in 1..=6 {
            pool.put(id(n), ONE, vec![n], 100).unwrap();
        }
        pool.put(id(11), TWO, vec![11], 100).unwrap();
        pool.put(id(12), TWO, vec![12], 100).unwrap();
        pool.put(id(21), Source::Governance, vec![21], 100).unwrap();
        let bytes = |taken: Vec<Bytes>| -> Vec<u8> { taken.iter().map(|b| b.0[0]).collect() };
        assert_eq!(bytes(pool.take(5, 4, 100)), [1, 11, 21, 2]);
        // The second block begins with the source whose turn it was.
        assert_eq!(bytes(pool.take(6, 3, 100)), [12, 3, 4]);
        pool.settle(6, &[1, 11, 21, 2, 12, 3, 4].map(id));
        assert_eq!(bytes(pool.take(7, 10, 100)), [5, 6]);
    }

    #[test]
    fn what_does_not_fit_waits_and_holds_up_its_own_source_alone() {
        let pool = Mempool::default();
        pool.put(id(1), ONE, vec![1; 80], 100).unwrap();
        pool.put(id(2), ONE, vec![2; 10], 100).unwrap();
        pool.put(id(3), TWO, vec![3; 30], 100).unwrap();
        pool.put(id(4), TWO, vec![4; 30], 100).unwrap();
        let lengths =
            |taken: Vec<Bytes>| -> Vec<usize> { taken.iter().map(|b| b.0.len()).collect() };
        assert_eq!(lengths(pool.take(5, 10, 70)), [30, 30]);
        assert_eq!(lengths(pool.take(6, 10, 90)), [80, 10]);
    }
}
