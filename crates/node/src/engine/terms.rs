//! Which committee orders which heights, as far as final blocks say.
//!
//! One table for all parts: the chain's record of terms goes in with each final block, and the
//! library's two questions come out, which term a height is of and by whose key its certificates
//! verify. What is not certain yet is not in it: governance gives notice, and until the blocks
//! before it are executed here, nobody can say who orders a height beyond.

use super::{
    chain::KnownTerms,
    committee::{CommitteeError, Scheme, follower},
};
use commonware_consensus::types::{Epoch, EpochInfo, Epocher, Height};
use commonware_cryptography::certificate::{Provider, Scoped};
use realdid_core::governance::Term;
use std::{
    collections::{BTreeMap, btree_map},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// The table. Clones are the same one.
#[derive(Clone)]
pub struct Terms {
    namespace: Arc<Vec<u8>>,
    table: Arc<Mutex<Table>>,
    /// The newest executed height, for those who wait.
    executed: watch::Sender<u64>,
}

#[derive(Default)]
struct Table {
    /// The furthest height whose term is certain.
    horizon: u64,
    /// By number. Those from before this process began are not among them: nothing of theirs is
    /// verified any more.
    entries: BTreeMap<u64, Entry>,
}

struct Entry {
    term: Arc<Term>,
    scheme: Arc<Scheme>,
    /// Whether the scheme knows the committee, or certificates only.
    votes: bool,
}

impl Table {
    /// The heights of a term: its first, and its last as far as that is known.
    fn heights(&self, number: u64) -> Option<(u64, u64)> {
        let first = self.entries.get(&number)?.term.first;
        let next = self.entries.range(number + 1..).next();
        let last = next.map_or(u64::MAX, |(_, next)| next.term.first.saturating_sub(1));
        Some((first, last))
    }

    fn number_at(&self, height: u64) -> Option<u64> {
        let begun = |(_, entry): &(&u64, &Entry)| entry.term.first <= height;
        let (number, _) = self.entries.iter().rev().find(begun)?;
        Some(*number)
    }

    fn containing(&self, height: Height) -> Option<EpochInfo> {
        let number = self.number_at(height.get())?;
        let (first, last) = self.heights(number)?;
        Some(EpochInfo::new(
            Epoch::new(number),
            height,
            Height::new(first),
            Height::new(last),
        ))
    }
}

impl Terms {
    /// What `known` says. `namespace` separates the signatures of one network from all others.
    pub fn new(namespace: &[u8], known: &KnownTerms) -> Result<Self, CommitteeError> {
        let terms = Self {
            namespace: Arc::new(namespace.to_vec()),
            table: Arc::default(),
            executed: watch::Sender::new(known.executed),
        };
        terms.learn(known)?;
        Ok(terms)
    }

    /// Takes in what is known after one more final block.
    pub fn learn(&self, known: &KnownTerms) -> Result<(), CommitteeError> {
        let mut table = self.lock();
        for term in known.certain() {
            if let btree_map::Entry::Vacant(place) = table.entries.entry(term.number) {
                place.insert(Entry {
                    term: Arc::new(term.clone()),
                    scheme: Arc::new(follower(&self.namespace, &term.network_key.0)?),
                    votes: false,
                });
            }
        }
        table.horizon = table.horizon.max(known.horizon());
        drop(table);
        self.executed.send_if_modified(|executed| {
            let moved = known.executed > *executed;
            *executed = known.executed.max(*executed);
            moved
        });
        Ok(())
    }

    /// The newest executed height, and the term that orders the next one.
    pub fn running(&self) -> Option<(u64, Arc<Term>)> {
        let executed = *self.executed.borrow();
        let table = self.lock();
        let number = table.number_at(executed.saturating_add(1))?;
        Some((executed, table.entries.get(&number)?.term.clone()))
    }

    /// Follows the newest executed height.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.executed.subscribe()
    }

    /// From now on this validator verifies single votes of a term.
    pub fn vote(&self, number: u64, scheme: Scheme) {
        if let Some(entry) = self.lock().entries.get_mut(&number) {
            entry.scheme = Arc::new(scheme);
            entry.votes = true;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Each change is one insertion or assignment.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Provider for Terms {
    type Scope = Epoch;
    type Scheme = Scheme;

    fn scoped(&self, epoch: Epoch) -> Option<Scoped<Scheme>> {
        let table = self.lock();
        let entry = table.entries.get(&epoch.get())?;
        Some(if entry.votes {
            Scoped::scheme(entry.scheme.clone())
        } else {
            Scoped::verifier(entry.scheme.clone())
        })
    }
}

/// What the store of blocks asks: it takes a peer that answers by another term for a liar, so it
/// hears nothing about heights beyond the notice.
impl Epocher for Terms {
    fn containing(&self, height: Height) -> Option<EpochInfo> {
        let table = self.lock();
        (height.get() <= table.horizon)
            .then(|| table.containing(height))
            .flatten()
    }

    fn first(&self, epoch: Epoch) -> Option<Height> {
        let heights = self.lock().heights(epoch.get());
        heights.map(|(first, _)| Height::new(first))
    }

    fn last(&self, epoch: Epoch) -> Option<Height> {
        let heights = self.lock().heights(epoch.get());
        heights.map(|(_, last)| Height::new(last))
    }
}

/// What voting asks: a height beyond the notice is of the newest term until the chain, which is
/// asked about every block, knows better.
#[derive(Clone)]
pub struct Voting(pub Terms);

impl Epocher for Voting {
    fn containing(&self, height: Height) -> Option<EpochInfo> {
        self.0.lock().containing(height)
    }

    fn first(&self, epoch: Epoch) -> Option<Height> {
        self.0.first(epoch)
    }

    fn last(&self, epoch: Epoch) -> Option<Height> {
        self.0.last(epoch)
    }
}
