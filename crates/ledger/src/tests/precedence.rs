//! Every short history of a DID, held against the table of spec/did.md (rules D5 to D10).
//!
//! A history is a sequence of moves: {rotate, recover, cancel, freeze, deactivate} × {current,
//! next, recovery, stranger} × time passing the delay or not. [`explore`] walks all of them from
//! an anchored DID up to [`LENGTH`] accepted moves, trying all 20 moves at each point. A refused
//! move changes nothing (checked byte by byte), so histories with refusals in between are the
//! same as those without. Time matters only while a recovery waits, so only then it is passed: one
//! block, to the last moment of the delay, and to the first after it.
//!
//! Signatures are left out here (they are judged before the state is looked at, in `rules`).
//! The [`Model`] says the table in its own words: who holds which role, what waits, what is over.

use super::super::state::{Nothing, Records};
use super::super::{Moment, Network, dids};
use realdid_core::did::{DidId, Keys};
use realdid_core::genesis::Parameters;
use realdid_core::hash::HashFunction;
use realdid_core::operation::{Body, KeySignature, Operation, SignedOperation};
use realdid_core::rule::Rule;
use realdid_core::state::{DidRecord, did_key};
use realdid_core::suite::{PublicKey, SecretKey, Signature};
use realdid_testkit::ledger::{START_MS, TestDid, key};
use std::sync::LazyLock;

const BY: HashFunction = HashFunction::Sha256;

const LENGTH: u32 = 5;
const DELAY_MS: u64 = 20_000;
const BLOCK_MS: u64 = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rotate,
    Recover,
    Cancel,
    Freeze,
    Deactivate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Current,
    Next,
    Recovery,
    Stranger,
}

use By::{Current, Next, Recovery, Stranger};
use Kind::{Cancel, Deactivate, Freeze, Recover, Rotate};

const KINDS: [Kind; 5] = [Rotate, Recover, Cancel, Freeze, Deactivate];
const EVERYONE: [By; 4] = [Current, Next, Recovery, Stranger];

/// The three parties' keys of one generation: each rotation or recovery brings the next one.
struct Generation {
    current: PublicKey,
    next: PublicKey,
    recovery: PublicKey,
    keys: Keys,
}

static GENERATIONS: LazyLock<Vec<Generation>> = LazyLock::new(|| {
    let network = "dev".parse().unwrap();
    (0..16)
        .map(|n| {
            let did = TestDid::new(&network, n + 1);
            let public = SecretKey::public;
            Generation {
                current: public(&did.current),
                next: public(&did.next),
                recovery: public(&did.recovery),
                keys: did.inception.keys,
            }
        })
        .collect()
});

static PARAMETERS: LazyLock<Parameters> = LazyLock::new(Parameters::development);
static STRANGER: LazyLock<PublicKey> = LazyLock::new(|| key(77).public());

/// The table in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Model {
    /// Which generation's keys stand.
    holds: usize,
    /// The generation that a recovery asks for, and when it takes effect.
    waits: Option<(usize, u64)>,
    frozen: bool,
    over: bool,
    seq: u64,
    generations: usize,
}

impl Model {
    fn settle(&mut self, now_ms: u64) {
        if let Some((generation, _)) = self.waits.filter(|(_, ms)| *ms <= now_ms) {
            self.holds = generation;
            self.waits = None;
            self.frozen = false;
        }
    }

    /// Whether the table lets this party do this now.
    fn allows(&self, kind: Kind, by: By) -> bool {
        !self.over
            && match (kind, by) {
                (Rotate, Next) | (Recover, Recovery) | (Deactivate, Next) => true,
                (Freeze, Recovery) => !self.frozen,
                (Cancel, Current) => !self.frozen && self.waits.is_some(),
                (Deactivate, Current) => !self.frozen && self.waits.is_none(),
                _ => false,
            }
    }

    fn step(&mut self, kind: Kind, now_ms: u64) {
        self.seq += 1;
        match kind {
            Rotate => {
                self.holds = self.generations;
                self.generations += 1;
                self.waits = None;
                self.frozen = false;
            }
            Recover => {
                self.waits = Some((self.generations, now_ms + DELAY_MS));
                self.generations += 1;
            }
            Cancel => self.waits = None,
            Freeze => self.frozen = true,
            Deactivate => {
                self.over = true;
                self.waits = None;
                self.frozen = false;
            }
        }
    }
}

/// A point in a history: the ledger, and what the model says about it.
#[derive(Clone)]
struct Point {
    records: Records<Nothing>,
    id: DidId,
    now: Moment,
    model: Model,
}

impl Point {
    fn anchored() -> Self {
        let keys = GENERATIONS[0].keys.clone();
        let id = realdid_core::hash::Hash32([7; 32]);
        let mut records = Records::new(Nothing);
        let record = DidRecord {
            seq: 0,
            keys,
            endpoints: vec![],
            frozen: false,
            pending: None,
            deactivated: false,
            created_ms: START_MS,
            updated_ms: START_MS,
            verified: None,
        };
        records.put(did_key(BY, &id), &record);
        Self {
            records,
            id,
            now: Moment {
                height: 1,
                time_ms: START_MS,
            },
            model: Model {
                holds: 0,
                waits: None,
                frozen: false,
                over: false,
                seq: 0,
                generations: 1,
            },
        }
    }

    fn later(mut self, ms: u64) -> Self {
        self.now.height += 1;
        self.now.time_ms += ms;
        self.model.settle(self.now.time_ms);
        self
    }

    fn record(&self) -> DidRecord {
        let stored: Option<DidRecord> = self.records.get(&did_key(BY, &self.id)).unwrap();
        stored.unwrap().at(self.now.time_ms)
    }

    fn bytes(&self) -> Option<Vec<u8>> {
        self.records.bytes(&did_key(BY, &self.id)).unwrap()
    }

    fn key_of(&self, by: By) -> PublicKey {
        let holds = &GENERATIONS[self.model.holds];
        match by {
            Current => holds.current.clone(),
            Next => holds.next.clone(),
            Recovery => holds.recovery.clone(),
            Stranger => STRANGER.clone(),
        }
    }

    fn operation(&self, kind: Kind, by: PublicKey) -> SignedOperation {
        let seq = self.model.seq + 1;
        let fresh = || GENERATIONS[self.model.generations].keys.clone();
        let body = match kind {
            Rotate => Body::Rotate(self.id, seq, fresh()),
            Recover => Body::Recover(self.id, seq, fresh()),
            Cancel => Body::Cancel(self.id, seq),
            Freeze => Body::Freeze(self.id, seq),
            Deactivate => Body::Deactivate(self.id, seq),
        };
        SignedOperation {
            operation: Operation::new("dev".parse().unwrap(), 1000, body),
            signatures: vec![KeySignature {
                key: by,
                signature: Signature([0; 64]),
            }],
            sponsor: None,
            personhood: None,
        }
    }

    fn apply(&mut self, signed: &SignedOperation) -> Result<(), Rule> {
        let name = "dev".parse().unwrap();
        let network = Network {
            name: &name,
            parameters: &PARAMETERS,
        };
        dids::change(network, self.now, signed, &None, &mut self.records).unwrap()
    }

    /// Tries a move with the keys that stand; after an accepted one, holds the ledger against
    /// the model and plays it again.
    fn try_move(&self, kind: Kind, by: By) -> Option<Self> {
        let mut after = self.clone();
        let signed = self.operation(kind, self.key_of(by));
        let outcome = after.apply(&signed);
        assert_eq!(
            outcome.is_ok(),
            self.model.allows(kind, by),
            "{kind:?} by {by:?} at {:?}: {outcome:?}",
            self.model
        );
        if outcome.is_err() {
            assert_eq!(after.bytes(), self.bytes(), "a refusal left a trace");
            return None;
        }
        after.model.step(kind, self.now.time_ms);
        after.agrees();
        let again = after.clone().apply(&signed);
        assert_eq!(again, Err(Rule::Sequence), "{kind:?} was played again");
        Some(after)
    }

    fn agrees(&self) {
        let (record, model) = (self.record(), &self.model);
        assert_eq!(record.seq, model.seq, "one more with each accepted move");
        assert_eq!(record.keys, GENERATIONS[model.holds].keys);
        assert_eq!(record.frozen, model.frozen);
        assert_eq!(record.deactivated, model.over);
        let waits = record.pending.map(|p| (p.keys, p.effective_ms));
        let expected = model.waits.map(|(g, ms)| (GENERATIONS[g].keys.clone(), ms));
        assert_eq!(waits, expected);
    }

    /// The keys of a generation that stands no more can do nothing.
    fn generation_is_dead(&self, generation: usize) {
        let old = &GENERATIONS[generation];
        for by in [&old.current, &old.next, &old.recovery] {
            for kind in KINDS {
                let refused = self.clone().apply(&self.operation(kind, by.clone()));
                assert!(refused.is_err(), "an old key did {kind:?}");
            }
        }
    }
}

/// Walks every history of up to `length` accepted moves by `parties`. Where `ripen` is false,
/// no recovery is left to take effect. `visit` sees every point; the answer counts them.
fn explore(
    from: &Point,
    length: u32,
    parties: &[By],
    ripen: bool,
    visit: &mut dyn FnMut(&Point),
) -> u64 {
    let mut points = vec![from.clone().later(BLOCK_MS)];
    if let Some((_, effective_ms)) = from.model.waits.filter(|_| ripen) {
        // The last moment of the delay, and the first in which the recovery has taken effect.
        let left = effective_ms - from.now.time_ms;
        points.push(from.clone().later(left - 1));
        points.push(from.clone().later(left));
    }
    let mut count = 0;
    for point in &points {
        point.agrees();
        visit(point);
        count += 1;
        if length == 0 {
            continue;
        }
        for kind in KINDS {
            for by in parties {
                if let Some(after) = point.try_move(kind, *by) {
                    count += explore(&after, length - 1, parties, ripen, visit);
                }
            }
        }
    }
    count
}

#[test]
fn every_short_history_follows_the_precedence_table() {
    let count = explore(&Point::anchored(), LENGTH, &EVERYONE, true, &mut |point| {
        let model = &point.model;
        // What is over stays over, for everyone and for good.
        if model.over {
            for kind in KINDS {
                for by in EVERYONE {
                    assert!(point.try_move(kind, by).is_none());
                }
            }
        }
        // A frozen DID's current key changes nothing.
        if model.frozen {
            for kind in KINDS {
                assert!(point.try_move(kind, Current).is_none());
            }
        }
        // Keys change by the next key at once, or by a recovery that has waited.
        let stands = point.record().keys == GENERATIONS[model.holds].keys;
        assert!(stands);
    });
    assert!(
        count > 2_000,
        "only {count} points: is the table still open?"
    );
}

#[test]
fn the_next_key_restores_control_at_any_point_that_is_not_over() {
    explore(
        &Point::anchored(),
        LENGTH - 1,
        &EVERYONE,
        true,
        &mut |point| {
            if point.model.over {
                return;
            }
            let before = point.model.holds;
            let after = point.try_move(Rotate, Next).unwrap();
            assert!(!after.model.frozen && after.model.waits.is_none());
            after.generation_is_dead(before);
        },
    );
}

/// A thief with the recovery words holds the recovery key and, on the device's side, the current
/// keys that the words rebuild. Until a recovery has waited out its delay, the first next key
/// takes everything back, whatever the thief did short of ending the DID.
#[test]
fn stolen_words_never_beat_the_next_key() {
    let thieves = [Current, Recovery, Stranger];
    let mut restored = 0;
    let mut ended = 0;
    explore(&Point::anchored(), LENGTH, &thieves, false, &mut |point| {
        assert_eq!(point.model.holds, 0, "no thief moved the keys");
        if point.model.over {
            ended += 1;
            return;
        }
        let after = point.try_move(Rotate, Next).unwrap();
        assert!(!after.model.frozen && after.model.waits.is_none());
        after.generation_is_dead(0);
        restored += 1;
    });
    assert!(
        restored > 20 && ended > 0,
        "{restored} points, {ended} ended"
    );
    // Once frozen, words and device together cannot even end the DID.
    let frozen = Point::anchored().try_move(Freeze, Recovery).unwrap();
    explore(&frozen, LENGTH, &thieves, false, &mut |point| {
        assert!(!point.model.over);
    });
}

/// A thief with the device alone: the owner freezes and recovers with the words, and nothing
/// that the thief does before, between or after moves the day on which the new keys stand.
#[test]
fn a_thief_with_the_current_key_cannot_stall_freeze_and_recover() {
    let thief = [Current, Stranger];
    let mut recovered = 0;
    explore(&Point::anchored(), 2, &thief, true, &mut |before| {
        // The one thing left to a thief who comes first is to end the DID (spec/did.md, D8).
        if before.model.over {
            return;
        }
        // The owner may also have asked for a recovery first, and been cancelled.
        let asked = before.try_move(Recover, Recovery).unwrap();
        let cancelled = asked.try_move(Cancel, Current).unwrap();
        for start in [before.clone(), asked, cancelled] {
            let frozen = start.try_move(Freeze, Recovery).unwrap();
            explore(&frozen, 3, &thief, false, &mut |between| {
                let asked = between.try_move(Recover, Recovery).unwrap();
                let (new, at) = asked.model.waits.unwrap();
                explore(&asked, 3, &thief, false, &mut |after| {
                    assert_eq!(after.model.waits, Some((new, at)));
                });
                let done = asked.later(DELAY_MS);
                assert_eq!(done.record().keys, GENERATIONS[new].keys);
                assert!(!done.record().frozen);
                done.generation_is_dead(0);
                recovered += 1;
            });
        }
    });
    assert!(recovered > 0);
}

/// The recovery key alone changes no key before its delay is over, in any history.
#[test]
fn a_recovery_never_takes_effect_early() {
    explore(
        &Point::anchored(),
        LENGTH,
        &[Recovery, Stranger],
        false,
        &mut |point| {
            assert_eq!(point.record().keys, GENERATIONS[0].keys);
            if let Some((_, ms)) = point.model.waits {
                let last = point.clone().later(ms - point.now.time_ms - 1);
                assert_eq!(last.record().keys, GENERATIONS[0].keys);
            }
        },
    );
}
