//! Operations that wait for a block.
//!
//! Bounded in total, first come first served, and idempotent: the same operation twice waits
//! once. An operation leaves when a final block holds it or when it expires; while a block with
//! it is on its way to becoming final it is held back from the next one.

use realdid_core::codec::Bytes;
use realdid_core::hash::Hash32;
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The most operations that wait.
const MAX_OPERATIONS: usize = 100_000;
/// The most bytes of operations that wait.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Why an operation cannot wait here now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the node holds as many waiting operations as it may; try again in a few seconds")]
pub struct Full;

/// The operations that wait.
#[derive(Debug)]
pub struct Mempool {
    waiting: Mutex<Waiting>,
    /// Counts additions, so that a proposer can wait for one.
    added: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Waiting {
    order: VecDeque<Hash32>,
    operations: HashMap<Hash32, Entry>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    bytes: Bytes,
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
        }
    }
}

impl Mempool {
    /// Adds an operation that was found admissible.
    pub fn add(&self, id: Hash32, bytes: Vec<u8>, expires: u64) -> Result<(), Full> {
        {
            let mut waiting = self.lock();
            if waiting.operations.contains_key(&id) {
                return Ok(());
            }
            let size = bytes.len();
            if waiting.operations.len() >= MAX_OPERATIONS || waiting.bytes + size > MAX_BYTES {
                return Err(Full);
            }
            waiting.bytes += size;
            waiting.order.push_back(id);
            waiting.operations.insert(
                id,
                Entry {
                    bytes: Bytes(bytes),
                    expires,
                    proposed: None,
                },
            );
        }
        self.added.send_modify(|count| *count += 1);
        Ok(())
    }

    pub fn contains(&self, id: &Hash32) -> bool {
        self.lock().operations.contains_key(id)
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

    /// Takes operations for a block at `height`, in order, and notes that they are in it.
    pub fn take(&self, height: u64, count: usize, max_bytes: usize) -> Vec<Bytes> {
        let mut waiting = self.lock();
        let Waiting {
            order, operations, ..
        } = &mut *waiting;
        let mut room = max_bytes;
        let mut taken = Vec::new();
        for id in order.iter() {
            let Some(entry) = operations.get_mut(id) else {
                continue;
            };
            if taken.len() == count || entry.bytes.0.len() > room {
                break;
            }
            if entry.free_at(height) {
                room -= entry.bytes.0.len();
                entry.proposed = Some(height);
                taken.push(entry.bytes.clone());
            }
        }
        taken
    }

    /// Notes what a final block held: those operations are done, and what had been put into
    /// another block at or below that height is free again.
    pub fn settle(&self, height: u64, held: &[Hash32]) {
        let mut waiting = self.lock();
        let Waiting {
            order,
            operations,
            bytes,
        } = &mut *waiting;
        for id in held {
            if let Some(entry) = operations.remove(id) {
                *bytes -= entry.bytes.0.len();
            }
        }
        operations.retain(|_, entry| {
            if entry.proposed.is_some_and(|at| at <= height) {
                entry.proposed = None;
            }
            let alive = entry.expires > height;
            if !alive {
                *bytes -= entry.bytes.0.len();
            }
            alive
        });
        order.retain(|id| operations.contains_key(id));
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // No code that holds the lock can panic half-way.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn id(n: u8) -> Hash32 {
        Hash32([n; 32])
    }

    #[test]
    fn keeps_order_holds_back_what_is_proposed_and_frees_what_was_lost() {
        let pool = Mempool::default();
        for n in 1..=3 {
            pool.add(id(n), vec![n], 100).unwrap();
            pool.add(id(n), vec![n], 100).unwrap();
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
    fn expires_and_refuses_beyond_its_bounds() {
        let pool = Mempool::default();
        pool.add(id(1), vec![0; 10], 4).unwrap();
        assert!(pool.take(5, 10, 100).is_empty());
        pool.settle(4, &[]);
        assert!(pool.is_empty());
        assert_eq!(pool.add(id(2), vec![0; MAX_BYTES + 1], 9), Err(Full));
        assert!(pool.take(5, 10, 100).is_empty());
    }
}
