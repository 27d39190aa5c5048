//! What a gate knows of one network's ledger, and how old that is (promise P9): its checkpoints, the
//! terms of its committees, and the issuers of what people show here.
//!
//! Every claim is checked by the light client, wherever it comes from. Wallets bring checkpoints too,
//! in their staples, with certificates of their own: a gate that reaches no node still learns of time
//! passing from the people who log in.
//!
//! What was learnt is kept in a folder, so that logins work after a restart without any node. How
//! long is one number, `max_staple_age_s`: a record that was proved longer ago is not used, and the
//! answer is `light.stale`. A file that was changed or is from another network fails its proof like
//! any other answer.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use realdid_core::answer::{HandOver, StateAnswer};
use realdid_core::codec;
use realdid_core::genesis::Genesis;
use realdid_core::hash::Hash32;
use realdid_core::header::Checkpoint;
use realdid_core::state::Issuer;
use realdid_light::{Freshness, LightClient, LightError, Proved, TermError, TrustedTerm};
use realdid_serve::files;

use crate::GateError;
use crate::refusal::Refusal;

/// The most issuers whose records are kept. Governance admits each, so there are few.
const MAX_ISSUERS: usize = 64;
/// How many checkpoints are remembered, to hold others of their heights against.
const MAX_SEEN: usize = 64;
/// The hand-overs that prove the terms to somebody who has the genesis alone.
const HAND_OVERS_FILE: &str = "handovers.cbor";
/// The longest file of them, in bytes.
const MAX_HAND_OVERS_BYTES: usize = 4 << 20;
/// Two final headers of one height, as evidence.
const FORK_FILE: &str = "fork.cbor";

/// A name in the gate's folder of what it knows of a ledger, and what stands there.
pub(crate) type KnownFile = (String, Vec<u8>);

fn keep(dir: &Path, name: &str, bytes: &[u8]) {
    if let Err(error) = files::write_private(&dir.join(name), bytes) {
        tracing::warn!(code = error.code(), "the ledger's answers are not kept");
    }
}

/// The gate's own limits on age.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub max_age_ms: u64,
    pub max_lag_slots: u64,
}

/// One network's ledger as this gate knows it. Cheap to look at: readers take a snapshot.
pub(crate) struct View {
    snapshot: RwLock<Arc<Snapshot>>,
    limits: Limits,
    dir: PathBuf,
    /// An issuer whose absence is worth knowing: this service's own registrar.
    registrar: Option<Hash32>,
    /// The last checkpoints by their heights, to hold others against.
    seen: Mutex<BTreeMap<u64, Checkpoint>>,
    /// Whether two final headers of one height were seen, now or by an earlier run.
    forked: AtomicBool,
    /// One for each term behind the genesis' own.
    hand_overs: Mutex<Vec<HandOver>>,
}

/// One consistent view.
#[derive(Clone)]
pub(crate) struct Snapshot {
    pub light: LightClient,
    newest: Option<Checkpoint>,
    issuers: BTreeMap<Hash32, Known<Issuer>>,
}

/// A record, or its absence, with the answer that proved it.
#[derive(Clone)]
pub(crate) struct Known<T> {
    value: Option<T>,
    /// The time of the checkpoint, Unix milliseconds.
    at_ms: u64,
    /// The slot at whose end it was so.
    slot: u64,
    pub answer: StateAnswer,
}

impl<T> Known<T> {
    fn new(proved: Proved<Option<T>>, answer: StateAnswer) -> Self {
        Self {
            value: proved.value,
            at_ms: proved.at.header.time_ms,
            slot: proved.at.header.sealed.slot,
            answer,
        }
    }

    /// The record, unless it was proved too long ago.
    fn fresh(&self, limits: &Limits, now_ms: u64) -> Result<Option<&T>, Refusal> {
        if now_ms.saturating_sub(self.at_ms) > limits.max_age_ms {
            return Err(Refusal::STALE);
        }
        Ok(self.value.as_ref())
    }
}

/// One record that is kept fresh.
pub(crate) struct Kept<T>(RwLock<Option<Known<T>>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(RwLock::new(None))
    }
}

impl<T: Clone> Kept<T> {
    /// Takes in what an answer proved, unless something newer is known.
    pub fn learn(&self, proved: Proved<Option<T>>, answer: StateAnswer) {
        let known = Known::new(proved, answer);
        // A value is only ever replaced whole: a poisoned lock holds a sound one.
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if kept.as_ref().is_none_or(|old| old.at_ms <= known.at_ms) {
            *kept = Some(known);
        }
    }

    /// The record, none where it is proved absent; `light.stale` where it was never proved, or too long
    /// ago.
    pub fn fresh(&self, limits: &Limits, now_ms: u64) -> Result<Option<T>, Refusal> {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let known = kept.as_ref().ok_or(Refusal::STALE)?;
        Ok(known.fresh(limits, now_ms)?.cloned())
    }

    /// The answer that proved it.
    pub fn answer(&self) -> Option<StateAnswer> {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().map(|known| known.answer.clone())
    }

    /// The slot at whose end it was proved.
    pub fn sealed_slot(&self) -> Option<u64> {
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let known = kept.as_ref();
        known.map(|known| known.slot)
    }

    /// The same in bytes.
    pub fn encoded(&self) -> Option<Vec<u8>> {
        self.answer().map(|answer| answer.encode())
    }
}

impl View {
    /// Begins with the genesis and whatever an earlier run left in `dir`.
    pub fn new(
        genesis: Genesis,
        limits: Limits,
        dir: &Path,
        registrar: Option<Hash32>,
        now_ms: u64,
    ) -> Result<Self, GateError> {
        files::create_private_dir(dir)?;
        let snapshot = Snapshot {
            light: LightClient::new(genesis),
            newest: None,
            issuers: BTreeMap::new(),
        };
        let view = Self {
            snapshot: RwLock::new(Arc::new(snapshot)),
            limits,
            dir: dir.to_owned(),
            registrar,
            seen: Mutex::default(),
            forked: AtomicBool::new(dir.join(FORK_FILE).exists()),
            hand_overs: Mutex::default(),
        };
        view.recall(now_ms);
        Ok(view)
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        // A writer only ever swaps a whole snapshot, so a poisoned lock holds a sound one.
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, change: impl FnOnce(&mut Snapshot)) {
        let mut current = self
            .snapshot
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut current));
    }

    /// How fresh an answer or a staple must be at `now_ms`.
    pub fn freshness(&self, now_ms: u64) -> Freshness {
        Freshness {
            now_ms,
            max_age_ms: self.limits.max_age_ms,
            max_lag_slots: self.limits.max_lag_slots,
        }
    }

    /// The newest slot whose end is known.
    pub fn sealed_slot(&self) -> Option<u64> {
        let snapshot = self.snapshot();
        let newest = snapshot.light.newest();
        newest.map(|newest| newest.header.sealed.slot)
    }

    /// The age of the newest checkpoint, in milliseconds.
    pub fn checkpoint_age_ms(&self, now_ms: u64) -> Option<u64> {
        let snapshot = self.snapshot();
        snapshot
            .light
            .newest()
            .map(|newest| now_ms.saturating_sub(newest.header.time_ms))
    }

    /// An issuer's record, `None` where it is proved absent; `light.stale` where it was never
    /// proved, or too long ago.
    pub fn issuer<'a>(
        &self,
        snapshot: &'a Snapshot,
        id: &Hash32,
        now_ms: u64,
    ) -> Result<Option<&'a Issuer>, Refusal> {
        snapshot
            .issuers
            .get(id)
            .ok_or(Refusal::STALE)?
            .fresh(&self.limits, now_ms)
    }

    /// Takes in a checkpoint from anywhere.
    pub fn advance(&self, checkpoint: &Checkpoint) -> Result<(), LightError> {
        let mut light = self.snapshot().light.clone();
        let before = light.newest().map(|newest| newest.digest);
        match light.advance(checkpoint) {
            Ok(checked) => self.hold_against(checked.header.height, checkpoint)?,
            Err(error) => {
                if error == TermError::Fork.into()
                    && let Some(newest) = &self.snapshot().newest
                {
                    self.keep_fork(newest, checkpoint);
                }
                return Err(error);
            }
        }
        if light.newest().map(|newest| newest.digest) != before {
            self.change(|snapshot| {
                // Somebody may have been faster; never step back.
                let height =
                    |light: &LightClient| light.newest().map(|newest| newest.header.height);
                if height(&light) > height(&snapshot.light) {
                    snapshot.light = light;
                    snapshot.newest = Some(checkpoint.clone());
                }
            });
        }
        Ok(())
    }

    /// A certified header against those of its height that were seen before.
    fn hold_against(&self, height: u64, checkpoint: &Checkpoint) -> Result<(), LightError> {
        // Each change is one insert or remove: a poisoned map is still a sound one.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let known = seen.entry(height).or_insert_with(|| checkpoint.clone());
        if known.header != checkpoint.header {
            self.keep_fork(known, checkpoint);
            return Err(TermError::Fork.into());
        }
        if seen.len() > MAX_SEEN {
            seen.pop_first();
        }
        Ok(())
    }

    /// Two final headers of one height are evidence: the first two are kept.
    fn keep_fork(&self, one: &Checkpoint, other: &Checkpoint) {
        if !self.forked.swap(true, Ordering::Relaxed) {
            tracing::error!("the network has forked; both checkpoints are kept");
            self.write(FORK_FILE, &codec::encode(&(one, other)));
        }
    }

    /// Whether this network's validators have finalised two headers of one height.
    pub fn has_forked(&self) -> bool {
        self.forked.load(Ordering::Relaxed)
    }

    /// Takes in the terms of committees that a light client of this network has come to know.
    pub fn learn_terms(&self, terms: &[TrustedTerm]) -> Result<(), LightError> {
        let mut light = self.snapshot().light.clone();
        light.recall_terms(terms.to_vec())?;
        let mut outcome = Ok(());
        self.change(|snapshot| outcome = snapshot.light.recall_terms(terms.to_vec()));
        outcome?;
        self.keep_terms();
        Ok(())
    }

    /// The hand-overs to all terms that are known here; none while one is missing.
    pub fn hand_overs(&self) -> Option<Vec<HandOver>> {
        let kept = self.kept_hand_overs();
        (kept.len() as u64 >= self.snapshot().light.newest_term()).then_some(kept)
    }

    /// The term behind which hand-overs are missing, if so.
    pub fn unproved_from(&self) -> Option<u64> {
        // Asked each slot, so nothing is copied.
        let kept = self.hand_overs.lock();
        let kept = kept.unwrap_or_else(PoisonError::into_inner).len() as u64;
        (kept < self.snapshot().light.newest_term()).then_some(kept)
    }

    fn kept_hand_overs(&self) -> Vec<HandOver> {
        // A list is only ever replaced whole: a poisoned lock holds a sound one.
        let kept = self.hand_overs.lock();
        kept.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes in hand-overs that go on from those that are kept. Answers whether there is something new.
    pub fn learn_hand_overs(&self, more: Vec<HandOver>) -> Result<bool, LightError> {
        let mut all = self.kept_hand_overs();
        let before = all.len();
        let mut light = LightClient::new(self.snapshot().light.genesis().clone());
        for hand_over in &all {
            light.hand_over(hand_over)?;
        }
        for hand_over in more {
            let known = light.newest_term();
            light.hand_over(&hand_over)?;
            if light.newest_term() > known {
                all.push(hand_over);
            }
        }
        let grown = all.len() > before;
        if grown {
            self.write(HAND_OVERS_FILE, &codec::encode(&all));
            let mut kept = self
                .hand_overs
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if kept.len() < all.len() {
                *kept = all;
            }
        }
        Ok(grown)
    }

    /// Writes the terms that are known at once: whoever has shares of an old key must not be believed
    /// again after a restart.
    fn keep_terms(&self) {
        let terms = self.snapshot().light.encoded_terms();
        let written = files::write_private(&self.dir.join("terms.cbor"), &terms);
        if let Err(error) = written {
            tracing::warn!(code = error.code(), "the network's terms are not kept");
        }
    }

    /// Takes in an answer's checkpoint, and puts the certificate that was checked in the place of
    /// one that was not because its header was known: what is kept must prove itself after a
    /// restart.
    pub fn anchored(
        &self,
        mut answer: StateAnswer,
    ) -> Result<(Arc<Snapshot>, StateAnswer), LightError> {
        self.advance(&answer.checkpoint)?;
        let snapshot = self.snapshot();
        match &snapshot.newest {
            Some(newest) if newest.header == answer.checkpoint.header => {
                answer.checkpoint = newest.clone();
            }
            _ => {}
        }
        Ok((snapshot, answer))
    }

    /// Takes in an answer about an issuer. Of one that is proved absent nothing is kept, unless it
    /// is this service's own registrar: anybody can ask about issuers that do not exist.
    pub fn learn_issuer(
        &self,
        id: &Hash32,
        answer: StateAnswer,
        now_ms: u64,
    ) -> Result<Option<Issuer>, LightError> {
        let (snapshot, answer) = self.anchored(answer)?;
        let proved = snapshot
            .light
            .issuer(id, &answer, &self.freshness(now_ms))?;
        let value = proved.value.clone();
        let known = Known::new(proved, answer);
        self.change(|snapshot| {
            let old = snapshot.issuers.get(id);
            let wanted = old.is_some() || known.value.is_some() || self.registrar == Some(*id);
            let room = old.is_some() || snapshot.issuers.len() < MAX_ISSUERS;
            let newer = old.is_none_or(|old| old.at_ms <= known.at_ms);
            if wanted && room && newer {
                snapshot.issuers.insert(*id, known);
            }
        });
        Ok(value)
    }

    /// What proved the record of an issuer.
    pub fn issuer_answer(&self, id: &Hash32) -> Option<StateAnswer> {
        let snapshot = self.snapshot();
        let known = snapshot.issuers.get(id)?;
        Some(known.answer.clone())
    }

    /// The issuers whose records are kept fresh: the network's first ones, this service's
    /// registrar, and those whose credentials were shown here.
    pub fn followed(&self) -> Vec<Hash32> {
        let snapshot = self.snapshot();
        let by = snapshot.light.hash_function();
        let first = snapshot.light.genesis().issuers.iter();
        let mut ids: Vec<Hash32> = first.map(|issuer| issuer.id(by)).collect();
        ids.extend(snapshot.issuers.keys());
        ids.extend(self.registrar);
        ids.sort();
        ids.dedup();
        ids
    }

    // ---- what survives a restart ----------------------------------------------------------

    /// What is known, as files by their names.
    pub fn known(&self) -> Vec<KnownFile> {
        let snapshot = self.snapshot();
        let newest = snapshot.newest.as_ref();
        let newest = newest.map(|newest| ("checkpoint.cbor".to_owned(), codec::encode(newest)));
        let issuers = snapshot.issuers.iter();
        let issuers =
            issuers.map(|(id, issuer)| (format!("issuer-{id}.cbor"), issuer.answer.encode()));
        newest.into_iter().chain(issuers).collect()
    }

    /// Writes what is known. The disk takes its time, and no thread that answers logins waits for it.
    /// Failing is logged, not fatal: it costs a restart without nodes.
    pub async fn keep(&self, known: Vec<KnownFile>) {
        let dir = self.dir.clone();
        let write = move || {
            for (name, bytes) in known {
                keep(&dir, &name, &bytes);
            }
        };
        // One that is interrupted leaves the file of before.
        let _ended = tokio::task::spawn_blocking(write).await;
    }

    /// Writes one more file of what is known, at once.
    fn write(&self, name: &str, bytes: &[u8]) {
        keep(&self.dir, name, bytes);
    }

    /// The answer that an earlier run wrote under this name.
    pub fn recalled(&self, name: &str) -> Option<StateAnswer> {
        StateAnswer::decode(&fs::read(self.dir.join(name)).ok()?).ok()
    }

    /// Reads what an earlier run left, as claims like any others.
    fn recall(&self, now_ms: u64) {
        let read = |name: &str| fs::read(self.dir.join(name)).ok();
        if let Some(bytes) = read("terms.cbor") {
            let mut light = self.snapshot().light.clone();
            let recalled = light.recall_encoded_terms(&bytes);
            let learnt = recalled.and_then(|()| self.learn_terms(light.terms()));
            self.note("recall", learnt);
        }
        if let Some(bytes) = read(HAND_OVERS_FILE)
            && let Ok(hand_overs) = codec::decode(&bytes, MAX_HAND_OVERS_BYTES)
        {
            let learnt = self.learn_hand_overs(hand_overs).map(|_| ());
            self.note("recall", learnt);
        }
        if let Some(bytes) = read("checkpoint.cbor")
            && let Ok(checkpoint) = codec::decode::<Checkpoint>(&bytes, 4096)
        {
            self.note("recall", self.advance(&checkpoint));
        }
        let names = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        for name in names
            .filter_map(|entry| entry.file_name().into_string().ok())
            .take(MAX_ISSUERS)
        {
            let id = name
                .strip_prefix("issuer-")
                .and_then(|name| name.strip_suffix(".cbor"))
                .and_then(|id| id.parse::<Hash32>().ok());
            if let Some(id) = id
                && let Some(answer) = self.recalled(&name)
            {
                self.note("recall", self.learn_issuer(&id, answer, now_ms).map(|_| ()));
            }
        }
    }

    /// Counts and logs a claim that did not hold.
    pub fn note(&self, from: &str, outcome: Result<(), LightError>) -> bool {
        if let Err(error) = &outcome {
            metrics::counter!("ledger_claims_refused_total", "code" => error.code()).increment(1);
            tracing::warn!(
                code = error.code(),
                from,
                "a claim about the ledger does not hold"
            );
        }
        outcome.is_ok()
    }
}
