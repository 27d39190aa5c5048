//! What the gate knows of the ledger, and how old that is (promise P9).
//!
//! A follower asks the nodes for checkpoints each slot, and for this service's and the issuers'
//! records each status period. Every answer is checked by the light client; one that does not hold
//! is counted, logged by its code and dropped, so a lying node can at worst be silent. Wallets
//! bring checkpoints too, in their staples, with certificates of their own: a gate that reaches no
//! node still learns of time passing from the people who log in.
//!
//! What was learnt is kept in `DIR/ledger`, so that logins work after a restart without any node.
//! How long is one number, `max_staple_age_s`: a record that was proved longer ago is not used,
//! and the answer is `light.stale`. While a node answers, records are at most a status period old.
//! A file that was changed or is from another network fails its proof like any other answer.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use realdid_core::answer::StateAnswer;
use realdid_core::certificate::claimed_epoch;
use realdid_core::codec;
use realdid_core::genesis::Genesis;
use realdid_core::hash::Hash32;
use realdid_core::header::Checkpoint;
use realdid_core::state::{Display, Issuer, Service, display_key, issuer_key, service_key};
use realdid_core::trie::Key;
use realdid_exchange::registration::{self, Registration};
use realdid_exchange::vp::RequestRefused;
use realdid_light::http::NodeClient;
use realdid_light::{Freshness, LightClient, LightError, TrustedTerm};
use realdid_serve::files;

use crate::refusal::Refusal;
use crate::{GateError, now_ms};

/// The most issuers whose records are kept. Governance admits each, so there are few.
const MAX_ISSUERS: usize = 64;
/// How long a wallet waits while the record of an issuer that was never seen is fetched.
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);

/// The gate's own limits on age.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub max_age_ms: u64,
    pub max_lag_slots: u64,
}

/// The gate's view of the ledger. Cheap to look at: readers take a snapshot.
pub(crate) struct Trust {
    snapshot: RwLock<Arc<Snapshot>>,
    limits: Limits,
    registration_jwt: String,
    service_id: Hash32,
    registrar_id: Hash32,
    dir: PathBuf,
    /// The registration as it was last verified.
    held: Mutex<Option<Held>>,
}

/// A registration that was verified against these records. While they stay as they are its
/// signature need not be verified again for each login.
struct Held {
    service: Service,
    registrar: Issuer,
    registration: Arc<Registration>,
}

/// The longest file of terms: some tens of thousands, more than a network has in its life.
const MAX_TERMS_BYTES: usize = 4 << 20;

/// One consistent view.
#[derive(Clone)]
pub(crate) struct Snapshot {
    pub light: LightClient,
    newest: Option<Checkpoint>,
    service: Option<Known<Service>>,
    issuers: BTreeMap<Hash32, Known<Issuer>>,
}

/// A record, or its absence, with the answer that proved it.
#[derive(Clone)]
struct Known<T> {
    value: Option<T>,
    /// The time of the checkpoint, Unix milliseconds.
    at_ms: u64,
    answer: StateAnswer,
}

impl<T> Known<T> {
    /// The record, unless it was proved too long ago.
    fn fresh(&self, limits: &Limits, now_ms: u64) -> Result<Option<&T>, Refusal> {
        if now_ms.saturating_sub(self.at_ms) > limits.max_age_ms {
            return Err(Refusal::STALE);
        }
        Ok(self.value.as_ref())
    }
}

impl Trust {
    /// Begins with the genesis and whatever an earlier run left in `dir`.
    pub fn new(
        genesis: Genesis,
        registration_jwt: String,
        limits: Limits,
        dir: &Path,
    ) -> Result<Self, GateError> {
        let claimed =
            registration::claimed(&registration_jwt).map_err(|_| GateError::Registration)?;
        let dir = dir.join("ledger");
        files::create_private_dir(&dir)?;
        let by = genesis.hash_function();
        let snapshot = Snapshot {
            light: LightClient::new(genesis),
            newest: None,
            service: None,
            issuers: BTreeMap::new(),
        };
        let trust = Self {
            snapshot: RwLock::new(Arc::new(snapshot)),
            limits,
            registration_jwt,
            service_id: claimed.service_id,
            registrar_id: realdid_core::state::issuer_id(by, &claimed.registrar),
            dir,
            held: Mutex::default(),
        };
        trust.recall();
        Ok(trust)
    }

    pub fn service_id(&self) -> Hash32 {
        self.service_id
    }

    pub fn registration_jwt(&self) -> &str {
        &self.registration_jwt
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

    /// The age of the newest checkpoint, in milliseconds.
    pub fn checkpoint_age_ms(&self, now_ms: u64) -> Option<u64> {
        let snapshot = self.snapshot();
        snapshot
            .light
            .newest()
            .map(|newest| now_ms.saturating_sub(newest.header.time_ms))
    }

    /// The registration as it stands on the ledger: what this gate may ask for now.
    pub fn registration(&self, now_ms: u64) -> Result<Arc<Registration>, Refusal> {
        match self.checkpoint_age_ms(now_ms) {
            Some(age_ms) if age_ms <= self.limits.max_age_ms => {}
            _ => return Err(Refusal::STALE),
        }
        let snapshot = self.snapshot();
        let service = snapshot.service.as_ref().ok_or(Refusal::STALE)?;
        let service = service
            .fresh(&self.limits, now_ms)?
            .ok_or(Refusal::REGISTRATION_UNKNOWN)?;
        let registrar = self
            .issuer(&snapshot, &self.registrar_id, now_ms)?
            .ok_or(Refusal::REGISTRAR_UNKNOWN)?;
        let refused = |error| Refusal::from(RequestRefused::from(error));
        let now_s = now_ms / 1000;
        // A value is only ever replaced whole: a poisoned lock holds a sound one.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held.as_ref()
            && held.service == *service
            && held.registrar == *registrar
        {
            held.registration.runs(now_s).map_err(refused)?;
            return Ok(Arc::clone(&held.registration));
        }
        let verified = registration::verify(&self.registration_jwt, registrar, service, now_s);
        let registration = Arc::new(verified.map_err(refused)?);
        *held = Some(Held {
            service: service.clone(),
            registrar: registrar.clone(),
            registration: Arc::clone(&registration),
        });
        Ok(registration)
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
        light.advance(checkpoint)?;
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

    /// Takes in the terms of committees that a light client of this network has come to know.
    fn learn_terms(&self, terms: &[TrustedTerm]) -> Result<(), LightError> {
        let mut light = self.snapshot().light.clone();
        light.recall_terms(terms.to_vec())?;
        let mut outcome = Ok(());
        self.change(|snapshot| outcome = snapshot.light.recall_terms(terms.to_vec()));
        outcome?;
        self.keep_terms();
        Ok(())
    }

    /// Writes the terms that are known at once: whoever has shares of an old key must not be believed
    /// again after a restart.
    fn keep_terms(&self) {
        let terms = self.snapshot().light.terms().to_vec();
        let written = files::write_private(&self.dir.join("terms.cbor"), &codec::encode(&terms));
        if let Err(error) = written {
            tracing::warn!(code = error.code(), "the network's terms are not kept");
        }
    }

    /// Takes in an answer's checkpoint, and puts the certificate that was checked in the place of
    /// one that was not because its header was known: what is kept must prove itself after a
    /// restart.
    fn anchored(
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

    /// Takes in an answer about this service.
    pub fn learn_service(&self, answer: StateAnswer, now_ms: u64) -> Result<(), LightError> {
        let (snapshot, answer) = self.anchored(answer)?;
        let proved = snapshot
            .light
            .service(&self.service_id, &answer, &self.freshness(now_ms))?;
        let known = Known {
            value: proved.value,
            at_ms: proved.at.header.time_ms,
            answer,
        };
        self.change(|snapshot| {
            if snapshot
                .service
                .as_ref()
                .is_none_or(|old| old.at_ms <= known.at_ms)
            {
                snapshot.service = Some(known);
            }
        });
        Ok(())
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
        let known = Known {
            value: proved.value.clone(),
            at_ms: proved.at.header.time_ms,
            answer,
        };
        self.change(|snapshot| {
            let old = snapshot.issuers.get(id);
            let wanted = old.is_some() || known.value.is_some() || *id == self.registrar_id;
            let room = old.is_some() || snapshot.issuers.len() < MAX_ISSUERS;
            let newer = old.is_none_or(|old| old.at_ms <= known.at_ms);
            if wanted && room && newer {
                snapshot.issuers.insert(*id, known);
            }
        });
        Ok(proved.value)
    }

    /// What an answer says about a display; nothing is kept of it here.
    pub fn display(
        &self,
        digest: &Hash32,
        answer: StateAnswer,
        now_ms: u64,
    ) -> Result<Option<Display>, LightError> {
        let (snapshot, answer) = self.anchored(answer)?;
        let proved = snapshot
            .light
            .display(digest, &answer, &self.freshness(now_ms))?;
        Ok(proved.value)
    }

    /// The records of this service and its registrar, as fresh as the gate's limits ask.
    pub fn own_records(&self, now_ms: u64) -> Result<(Option<Service>, Option<Issuer>), Refusal> {
        let snapshot = self.snapshot();
        let service = snapshot.service.as_ref().ok_or(Refusal::STALE)?;
        let service = service.fresh(&self.limits, now_ms)?.cloned();
        let registrar = self.issuer(&snapshot, &self.registrar_id, now_ms)?.cloned();
        Ok((service, registrar))
    }

    /// The issuers whose records are kept fresh: the network's first ones, this service's
    /// registrar, and those whose credentials were shown here.
    fn followed(&self) -> Vec<Hash32> {
        let snapshot = self.snapshot();
        let mut ids: Vec<Hash32> = snapshot
            .light
            .genesis()
            .issuers
            .iter()
            .map(|issuer| issuer.id(snapshot.light.hash_function()))
            .collect();
        ids.extend(snapshot.issuers.keys());
        ids.push(self.registrar_id);
        ids.sort();
        ids.dedup();
        ids
    }

    // ---- what survives a restart ----------------------------------------------------------

    /// Writes what is known. Failing is logged, not fatal: it costs a restart without nodes.
    pub fn remember(&self) {
        let snapshot = self.snapshot();
        let write = |name: &str, bytes: Vec<u8>| {
            if let Err(error) = files::write_private(&self.dir.join(name), &bytes) {
                tracing::warn!(code = error.code(), "the ledger's answers are not kept");
            }
        };
        if let Some(newest) = &snapshot.newest {
            write("checkpoint.cbor", codec::encode(newest));
        }
        if let Some(service) = &snapshot.service {
            write("service.cbor", service.answer.encode());
        }
        for (id, issuer) in &snapshot.issuers {
            write(&format!("issuer-{id}.cbor"), issuer.answer.encode());
        }
    }

    /// Reads what an earlier run left, as claims like any others.
    fn recall(&self) {
        let now_ms = now_ms();
        let read = |name: &str| fs::read(self.dir.join(name)).ok();
        if let Some(bytes) = read("terms.cbor")
            && let Ok(terms) = codec::decode::<Vec<TrustedTerm>>(&bytes, MAX_TERMS_BYTES)
        {
            self.note("recall", self.learn_terms(&terms));
        }
        if let Some(bytes) = read("checkpoint.cbor")
            && let Ok(checkpoint) = codec::decode::<Checkpoint>(&bytes, 4096)
        {
            self.note("recall", self.advance(&checkpoint));
        }
        if let Some(answer) = read("service.cbor").and_then(|b| StateAnswer::decode(&b).ok()) {
            self.note("recall", self.learn_service(answer, now_ms));
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
                && let Some(answer) = read(&name).and_then(|b| StateAnswer::decode(&b).ok())
            {
                self.note("recall", self.learn_issuer(&id, answer, now_ms).map(|_| ()));
            }
        }
    }

    /// Counts and logs a claim that did not hold.
    fn note(&self, from: &str, outcome: Result<(), LightError>) -> bool {
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

/// Keeps a [`Trust`] fresh from nodes.
pub(crate) struct Follower {
    /// One client for each node: an answer that does not hold must lead to the next node.
    nodes: Vec<NodeClient>,
}

impl Follower {
    pub fn new(urls: &[String]) -> Result<Self, GateError> {
        let client =
            |url: &String| NodeClient::new(vec![url.clone()]).map_err(|_| GateError::Nodes);
        let nodes: Vec<_> = urls.iter().map(client).collect::<Result<_, _>>()?;
        if nodes.is_empty() {
            Err(GateError::Nodes)
        } else {
            Ok(Self { nodes })
        }
    }

    pub fn nodes(&self) -> &[NodeClient] {
        &self.nodes
    }

    /// Follows until the process ends.
    pub async fn run(&self, trust: &Trust) {
        let parameters = trust.snapshot().light.genesis().parameters.clone();
        // Twice a slot: a checkpoint appears somewhere inside it.
        let tick = Duration::from_millis((parameters.slot_s * 500).clamp(250, 10_000));
        // Half a status period, so that a record is never older than one while a node answers.
        let period_ms = parameters.status_period_s * 500;
        let mut refreshed_ms = 0;
        loop {
            self.checkpoints(trust).await;
            let now = now_ms();
            let due = now.saturating_sub(refreshed_ms) >= period_ms;
            if (due || trust.registration(now).is_err()) && self.records(trust).await {
                refreshed_ms = now;
                trust.remember();
            }
            if let Some(age_ms) = trust.checkpoint_age_ms(now_ms()) {
                metrics::gauge!("checkpoint_age_seconds").set(age_ms as f64 / 1000.0);
            }
            tokio::time::sleep(tick).await;
        }
    }

    /// Asks every node: one that is behind, or hides newer checkpoints, is outdone by another.
    async fn checkpoints(&self, trust: &Trust) {
        for node in &self.nodes {
            match node.checkpoint().await {
                Ok(checkpoint) => {
                    self.follow(trust, node, &checkpoint).await;
                    trust.note("node", trust.advance(&checkpoint));
                }
                Err(error) => tracing::debug!(code = error.code(), "no checkpoint"),
            }
        }
    }

    /// Follows the committee's hand-overs to the term of a checkpoint that is of one unknown here.
    async fn follow(&self, trust: &Trust, node: &NodeClient, checkpoint: &Checkpoint) {
        let mut light = trust.snapshot().light.clone();
        let before = light.newest_term();
        if let Err(error) = node.follow(&mut light, checkpoint).await {
            tracing::warn!(code = error.code(), "the hand-over to a term is not proved");
        }
        if light.newest_term() > before {
            trust.note("node", trust.learn_terms(light.terms()));
        }
    }

    /// The same for a checkpoint from anywhere, by any node.
    pub async fn follow_anyone(&self, trust: &Trust, checkpoint: &Checkpoint) {
        let Ok(term) = claimed_epoch(&checkpoint.certificate.0) else {
            return;
        };
        for node in &self.nodes {
            if trust.snapshot().light.newest_term() >= term {
                return;
            }
            let asked = self.follow(trust, node, checkpoint);
            let _late = tokio::time::timeout(FETCH_TIMEOUT, asked).await;
        }
    }

    /// Refreshes this service's and the issuers' records. Answers whether all were refreshed.
    async fn records(&self, trust: &Trust) -> bool {
        let by = trust.snapshot().light.hash_function();
        let mut complete = self
            .ask(trust, &service_key(by, &trust.service_id), |answer| {
                trust.learn_service(answer, now_ms())
            })
            .await;
        for id in trust.followed() {
            complete &= self
                .ask(trust, &issuer_key(by, &id), |answer| {
                    trust.learn_issuer(&id, answer, now_ms()).map(|_| ())
                })
                .await;
        }
        complete
    }

    /// Makes sure that an issuer's record is known, for a credential of one never seen before.
    pub async fn ensure_issuer(
        &self,
        trust: &Trust,
        id: &Hash32,
    ) -> Result<Option<Issuer>, Refusal> {
        let now = now_ms();
        if let Ok(known) = trust.issuer(&trust.snapshot(), id, now) {
            return Ok(known.cloned());
        }
        let mut found = None;
        let key = issuer_key(trust.snapshot().light.hash_function(), id);
        let asked = self.ask(trust, &key, |answer| {
            found = trust.learn_issuer(id, answer, now_ms())?;
            Ok(())
        });
        match tokio::time::timeout(FETCH_TIMEOUT, asked).await {
            Ok(true) => Ok(found),
            _ => Err(Refusal::STALE),
        }
    }

    /// A display's record in the newest state that a node proves; none where it is proved absent.
    pub async fn display(
        &self,
        trust: &Trust,
        digest: &Hash32,
    ) -> Result<Option<Display>, Refusal> {
        let mut found = None;
        let key = display_key(trust.snapshot().light.hash_function(), digest);
        let asked = self.ask(trust, &key, |answer| {
            found = trust.display(digest, answer, now_ms())?;
            Ok(())
        });
        match tokio::time::timeout(FETCH_TIMEOUT, asked).await {
            Ok(true) => Ok(found),
            _ => Err(Refusal::STALE),
        }
    }

    /// Asks node after node until one's answer holds.
    async fn ask(
        &self,
        trust: &Trust,
        key: &Key,
        mut learn: impl FnMut(StateAnswer) -> Result<(), LightError>,
    ) -> bool {
        for node in &self.nodes {
            match node.state(key).await {
                Ok(answer) => {
                    self.follow(trust, node, &answer.checkpoint).await;
                    if trust.note("node", learn(answer)) {
                        return true;
                    }
                }
                Err(error) => tracing::debug!(code = error.code(), "no answer"),
            }
        }
        false
    }
}
