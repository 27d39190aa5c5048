//! Who may come back by the signature of their DID alone (spec/login.md, rule G18).
//!
//! A full login with RealPass and DID shows that one person has both. Until the RealPass's epoch
//! ends, the DID alone then opens the same account at this service: no proof is made nor verified.
//! Where the table does not know a DID, the wallet is asked for the whole.
//!
//! One pseudonym has one DID here: whoever comes with a new one has lost or left the old one, and
//! it opens nothing any more (promise P5). The table is in memory, bounded, and holds nothing that
//! a full login would not show again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use realdid_core::did::DidId;
use realdid_core::hash::Hash32;
use realdid_pass::Pseudonym;

/// The most people that are remembered; those beyond show their RealPass each time.
const MAX_KNOWN: usize = 200_000;

/// A person as a full login showed them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Person {
    pub pseudonym: Pseudonym,
    /// Who issued the RealPass.
    pub issuer: Hash32,
    /// The end of its epoch, Unix milliseconds.
    pub ends_ms: u64,
}

/// DIDs that were shown together with a RealPass in its epoch.
#[derive(Default)]
pub(crate) struct Returning {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    by_did: BTreeMap<DidId, Person>,
    by_pseudonym: BTreeMap<Pseudonym, DidId>,
}

impl Returning {
    fn lock(&self) -> MutexGuard<'_, Known> {
        // A map that lacks an entry of the other only costs somebody a full login.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a full login.
    pub fn note(&self, did: DidId, person: Person, now_ms: u64) {
        let mut known = self.lock();
        known.forget(&did);
        if let Some(old) = known.by_pseudonym.get(&person.pseudonym).copied() {
            known.forget(&old);
        }
        if known.by_did.len() >= MAX_KNOWN {
            known.sweep(now_ms);
        }
        if person.ends_ms > now_ms && known.by_did.len() < MAX_KNOWN {
            known.by_did.insert(did, person);
            known.by_pseudonym.insert(person.pseudonym, did);
        }
    }

    /// Whose DID this is, until the epoch of their full login ends.
    pub fn find(&self, did: &DidId, now_ms: u64) -> Option<Person> {
        let person = self.lock().by_did.get(did).copied();
        person.filter(|person| person.ends_ms > now_ms)
    }

    /// Drops what has lapsed.
    pub fn sweep(&self, now_ms: u64) {
        self.lock().sweep(now_ms);
    }
}

impl Known {
    fn forget(&mut self, did: &DidId) {
        if let Some(person) = self.by_did.remove(did) {
            self.by_pseudonym.remove(&person.pseudonym);
        }
    }

    fn sweep(&mut self, now_ms: u64) {
        self.by_did.retain(|_, person| person.ends_ms > now_ms);
        let by_did = &self.by_did;
        self.by_pseudonym.retain(|_, did| by_did.contains_key(did));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(n: u8, ends_ms: u64) -> Person {
        Person {
            pseudonym: Pseudonym([n; 48]),
            issuer: Hash32([1; 32]),
            ends_ms,
        }
    }

    #[test]
    fn a_did_is_known_until_the_epoch_ends_or_a_new_one_takes_its_place_p5() {
        let returning = Returning::default();
        let did = |n: u8| Hash32([n; 32]);
        assert_eq!(returning.find(&did(1), 0), None);
        returning.note(did(1), person(1, 100), 0);
        returning.note(did(2), person(2, 100), 0);
        assert_eq!(returning.find(&did(1), 99), Some(person(1, 100)));
        assert_eq!(returning.find(&did(1), 100), None, "the epoch is over");

        // The person of the first comes with another DID: the old one opens nothing.
        returning.note(did(3), person(1, 200), 50);
        assert_eq!(returning.find(&did(1), 51), None);
        assert_eq!(returning.find(&did(3), 51), Some(person(1, 200)));
        // Somebody else proves the second DID together with a RealPass of theirs.
        returning.note(did(2), person(4, 200), 50);
        assert_eq!(returning.find(&did(2), 51), Some(person(4, 200)));
        // The one before comes with a DID of their own; the second stays with its new owner.
        returning.note(did(5), person(2, 200), 50);
        assert_eq!(returning.find(&did(2), 51), Some(person(4, 200)));
        assert_eq!(returning.find(&did(5), 51), Some(person(2, 200)));

        returning.note(did(6), person(6, 60), 50);
        returning.sweep(60);
        let known = returning.lock();
        assert_eq!(known.by_did.len(), 3);
        assert_eq!(known.by_pseudonym.len(), 3);
    }

    #[test]
    fn what_lapsed_makes_room_and_a_full_table_takes_nobody_in() {
        let returning = Returning::default();
        let did = |n: usize| {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&n.to_be_bytes());
            Hash32(id)
        };
        {
            let mut known = returning.lock();
            for n in 0..MAX_KNOWN {
                known.by_did.insert(did(n), person(0, 100));
            }
        }
        returning.note(did(MAX_KNOWN), person(1, 200), 50);
        assert_eq!(returning.find(&did(MAX_KNOWN), 51), None);
        returning.note(did(MAX_KNOWN), person(1, 200), 100);
        assert!(returning.find(&did(MAX_KNOWN), 101).is_some());
        assert_eq!(returning.lock().by_did.len(), 1);
    }
}
