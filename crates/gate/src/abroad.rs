//! People of recognised networks (spec/login.md, rule V15).
//!
//! A recognition stands on this network's ledger and says what is accepted of the other one; what the
//! other network says of its own people is read from its ledger, by a light client of its own. The two
//! meet in the digest of a genesis: the operator gives the file, governance has decided the digest.
//! So neither the operator nor the other network's nodes can widen what is accepted, and suspending a
//! recognition is enough to end all logins across that border.

use std::collections::BTreeMap;
use std::path::Path;

use realdid_core::answer::StateAnswer;
use realdid_core::did::NetworkName;
use realdid_core::genesis::Genesis;
use realdid_core::governance::{Recognised, Recognition};
use realdid_core::hash::Hash32;
use realdid_core::state::{ReasonCode, Standing, recognition_key};
use realdid_light::LightError;

use crate::follower::{Follower, Rhythm};
use crate::refusal::Refusal;
use crate::view::{Kept, Limits, View};
use crate::{GateError, now_ms};

/// The recognition among the files of the other network's view.
const RECOGNITION_FILE: &str = "recognition.cbor";

/// The networks whose people this gate may accept, by their names.
#[derive(Default)]
pub(crate) struct Abroad(BTreeMap<String, Neighbour>);

/// Another network, as this gate knows it.
pub(crate) struct Neighbour {
    pub view: View,
    pub follower: Follower,
    genesis: Hash32,
    /// On this gate's own ledger.
    recognition: Kept<Recognition>,
}

impl Abroad {
    /// Takes in a network that the operator has configured, and what an earlier run knew of it.
    pub fn add(
        &mut self,
        home: &View,
        genesis: Genesis,
        nodes: &[String],
        limits: Limits,
        dir: &Path,
    ) -> Result<(), GateError> {
        let name = genesis.network.as_str().to_owned();
        if name == home.snapshot().light.genesis().network.as_str() || self.0.contains_key(&name) {
            return Err(GateError::Recognised);
        }
        let dir = dir.join(format!("ledger-{name}"));
        let neighbour = Neighbour {
            genesis: genesis.digest(),
            view: View::new(genesis, limits, &dir, None, now_ms())?,
            follower: Follower::new(nodes)?,
            recognition: Kept::default(),
        };
        if let Some(answer) = neighbour.view.recalled(RECOGNITION_FILE) {
            let learnt = neighbour.learn(home, answer);
            home.note("recall", learnt);
        }
        self.0.insert(name, neighbour);
        Ok(())
    }

    /// Another network, where this one accepts something of it now.
    pub fn accepted(
        &self,
        network: &NetworkName,
        now_ms: u64,
    ) -> Result<(&Neighbour, Recognised), Refusal> {
        let neighbour = self.0.get(network.as_str());
        let neighbour = neighbour.ok_or(Refusal::NETWORK_UNKNOWN)?;
        if neighbour.view.has_forked() {
            return Err(Refusal::NETWORK_FORKED);
        }
        let limits = neighbour.view.limits();
        let recognition = neighbour.recognition.fresh(limits, now_ms)?;
        let recognition = recognition.ok_or(Refusal::RECOGNITION_NONE)?;
        match (recognition.standing, recognition.reason) {
            (Standing::Active, _) => {}
            (_, ReasonCode::Fork) => return Err(Refusal::NETWORK_FORKED),
            _ => return Err(Refusal::RECOGNITION_SUSPENDED),
        }
        if recognition.recognised.genesis != neighbour.genesis {
            return Err(Refusal::RECOGNITION_OTHER);
        }
        Ok((neighbour, recognition.recognised))
    }

    /// What proved this network's word about another.
    pub fn word(&self, network: &NetworkName) -> Option<StateAnswer> {
        self.0.get(network.as_str())?.recognition.answer()
    }

    #[cfg(test)]
    pub fn neighbour(&self, network: &NetworkName) -> Option<&Neighbour> {
        self.0.get(network.as_str())
    }

    pub fn neighbours(&self) -> impl Iterator<Item = &Neighbour> {
        self.0.values()
    }

    /// Follows all of them, and this network's word about them, until the process ends.
    pub async fn run(&self, home: &View, follower: &Follower) {
        if self.0.is_empty() {
            return;
        }
        let neighbours = futures::future::join_all(self.neighbours().map(Neighbour::run));
        tokio::join!(self.words(home, follower), neighbours);
    }

    /// A recognition ends at the next checkpoint, so its record is asked for as often as that.
    async fn words(&self, home: &View, follower: &Follower) {
        let rhythm = Rhythm::of(home.snapshot().light.genesis());
        loop {
            for neighbour in self.neighbours() {
                neighbour.ask(home, follower).await;
            }
            let slots = self.neighbours();
            let slots = slots.map(|neighbour| neighbour.recognition.sealed_slot());
            tokio::time::sleep(rhythm.pause(slots.min().flatten(), now_ms())).await;
        }
    }
}

impl Neighbour {
    fn name(&self) -> String {
        let snapshot = self.view.snapshot();
        snapshot.light.genesis().network.as_str().to_owned()
    }

    /// Takes in an answer of this gate's own network about the recognition.
    pub fn learn(&self, home: &View, answer: StateAnswer) -> Result<(), LightError> {
        let (snapshot, answer) = home.anchored(answer)?;
        let freshness = home.freshness(now_ms());
        let light = &snapshot.light;
        let proved = light.recognition(&self.name(), &answer, &freshness)?;
        self.recognition.learn(proved, answer);
        Ok(())
    }

    async fn ask(&self, home: &View, follower: &Follower) {
        let by = home.snapshot().light.hash_function();
        let key = recognition_key(by, &self.name());
        follower
            .ask(home, &key, |answer| self.learn(home, answer))
            .await;
    }

    /// Writes what is known.
    pub async fn remember(&self) {
        let mut known = self.view.known();
        let recognition = self.recognition.encoded();
        known.extend(recognition.map(|answer| (RECOGNITION_FILE.to_owned(), answer)));
        self.view.keep(known).await;
    }

    async fn run(&self) {
        let rhythm = Rhythm::of(self.view.snapshot().light.genesis());
        let mut refreshed_ms = 0;
        loop {
            self.follower.checkpoints(&self.view).await;
            let now = now_ms();
            let due = now.saturating_sub(refreshed_ms) >= rhythm.records_ms;
            if due && self.follower.issuers(&self.view).await {
                refreshed_ms = now;
                self.remember().await;
            }
            tokio::time::sleep(rhythm.pause(self.view.sealed_slot(), now_ms())).await;
        }
    }
}
