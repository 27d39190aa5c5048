//! Keeps a [`View`] fresh from a network's nodes. Every answer is checked there; one that does not
//! hold is counted, logged by its code and dropped, so a lying node can at worst be silent.

use std::time::Duration;

use realdid_core::answer::{HandOver, StateAnswer};
use realdid_core::certificate::claimed_epoch;
use realdid_core::genesis::Genesis;
use realdid_core::hash::Hash32;
use realdid_core::header::Checkpoint;
use realdid_core::state::{Issuer, issuer_key};
use realdid_core::trie::Key;
use realdid_light::LightError;
use realdid_light::http::NodeClient;

use crate::refusal::Refusal;
use crate::view::View;
use crate::{GateError, now_ms};

/// How long a wallet waits while a record that was never seen is fetched.
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);
/// The least and the most between two questions for a checkpoint, in milliseconds.
const MIN_PAUSE_MS: u64 = 100;
const MAX_PAUSE_MS: u64 = 10_000;

pub(crate) struct Follower {
    /// One client for each node: an answer that does not hold must lead to the next node.
    nodes: Vec<NodeClient>,
}

/// When a network's nodes are asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rhythm {
    slot_ms: u64,
    block_ms: u64,
    /// Half a status period, so that a record is never older than one while a node answers.
    pub records_ms: u64,
}

impl Rhythm {
    pub fn of(genesis: &Genesis) -> Self {
        let parameters = &genesis.parameters;
        Self {
            slot_ms: parameters.slot_s * 1000,
            block_ms: parameters
                .block_interval_ms
                .clamp(MIN_PAUSE_MS, MAX_PAUSE_MS),
            records_ms: parameters.status_period_s * 500,
        }
    }

    /// How long to wait at `now_ms` for the checkpoint behind the one that sealed `slot`.
    ///
    /// A slot is closed and sealed about two blocks after its end (spec/headers.md, H10), so that is when its
    /// checkpoint is asked for. Until it is there it is asked for again, first block by block and then, the
    /// longer it is late, the more rarely: a network that stands still, or a clock that is fast, costs little.
    pub fn pause(&self, slot: Option<u64>, now_ms: u64) -> Duration {
        let rarely = (self.slot_ms / 2).clamp(self.block_ms, MAX_PAUSE_MS);
        let wait = slot.map_or(rarely, |slot| {
            let ends = slot.saturating_add(2).saturating_mul(self.slot_ms);
            let due = ends.saturating_add(self.block_ms);
            match due.saturating_sub(now_ms) {
                0 => (now_ms - due).clamp(self.block_ms, rarely),
                early => early.min(self.slot_ms).min(MAX_PAUSE_MS),
            }
        });
        Duration::from_millis(wait)
    }
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

    /// Asks every node: one that is behind, or hides newer checkpoints, is outdone by another.
    pub async fn checkpoints(&self, view: &View) {
        for node in &self.nodes {
            match node.checkpoint().await {
                Ok(checkpoint) => {
                    self.follow(view, node, &checkpoint).await;
                    view.note("node", view.advance(&checkpoint));
                }
                Err(error) => tracing::debug!(code = error.code(), "no checkpoint"),
            }
        }
        // While nodes answer: a receipt is left without asking anybody.
        self.hand_overs(view).await;
    }

    /// The hand-overs from the genesis to the newest term that is known; none where no node gives them.
    pub async fn hand_overs(&self, view: &View) -> Option<Vec<HandOver>> {
        for node in &self.nodes {
            while let Some(term) = view.unproved_from() {
                let asked = tokio::time::timeout(FETCH_TIMEOUT, node.hand_overs(term)).await;
                let Ok(Ok(more)) = asked else { break };
                let learnt = view.learn_hand_overs(more);
                let grown = matches!(learnt, Ok(true));
                view.note("node", learnt.map(|_| ()));
                if !grown {
                    break;
                }
            }
        }
        view.hand_overs()
    }

    /// Follows the committee's hand-overs to the term of a checkpoint that is of one unknown here.
    async fn follow(&self, view: &View, node: &NodeClient, checkpoint: &Checkpoint) {
        let mut light = view.snapshot().light.clone();
        let before = light.newest_term();
        if let Err(error) = node.follow(&mut light, checkpoint).await {
            tracing::warn!(code = error.code(), "the hand-over to a term is not proved");
        }
        if light.newest_term() > before {
            view.note("node", view.learn_terms(light.terms()));
        }
    }

    /// The same for a checkpoint from anywhere, by any node.
    pub async fn follow_anyone(&self, view: &View, checkpoint: &Checkpoint) {
        let Ok(term) = claimed_epoch(&checkpoint.certificate.0) else {
            return;
        };
        for node in &self.nodes {
            if view.snapshot().light.newest_term() >= term {
                return;
            }
            let asked = self.follow(view, node, checkpoint);
            let _late = tokio::time::timeout(FETCH_TIMEOUT, asked).await;
        }
    }

    /// Refreshes the issuers' records. Answers whether all were refreshed.
    pub async fn issuers(&self, view: &View) -> bool {
        let by = view.snapshot().light.hash_function();
        let mut complete = true;
        for id in view.followed() {
            complete &= self
                .ask(view, &issuer_key(by, &id), |answer| {
                    view.learn_issuer(&id, answer, now_ms()).map(|_| ())
                })
                .await;
        }
        complete
    }

    /// Makes sure that an issuer's record is known, for a credential of one never seen before.
    pub async fn ensure_issuer(&self, view: &View, id: &Hash32) -> Result<Option<Issuer>, Refusal> {
        let now = now_ms();
        if let Ok(known) = view.issuer(&view.snapshot(), id, now) {
            return Ok(known.cloned());
        }
        let mut found = None;
        let key = issuer_key(view.snapshot().light.hash_function(), id);
        self.ask_now(view, &key, |answer| {
            found = view.learn_issuer(id, answer, now_ms())?;
            Ok(())
        })
        .await?;
        Ok(found)
    }

    /// Asks while somebody waits for the answer.
    pub async fn ask_now(
        &self,
        view: &View,
        key: &Key,
        learn: impl FnMut(StateAnswer) -> Result<(), LightError>,
    ) -> Result<(), Refusal> {
        match tokio::time::timeout(FETCH_TIMEOUT, self.ask(view, key, learn)).await {
            Ok(true) => Ok(()),
            _ => Err(Refusal::STALE),
        }
    }

    /// Asks node after node until one's answer holds.
    pub async fn ask(
        &self,
        view: &View,
        key: &Key,
        mut learn: impl FnMut(StateAnswer) -> Result<(), LightError>,
    ) -> bool {
        for node in &self.nodes {
            match node.state(key).await {
                Ok(answer) => {
                    self.follow(view, node, &answer.checkpoint).await;
                    if view.note("node", learn(answer)) {
                        return true;
                    }
                }
                Err(error) => tracing::debug!(code = error.code(), "no answer"),
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_asked_for_when_it_is_due_and_more_rarely_the_longer_it_is_late() {
        let rhythm = Rhythm {
            slot_ms: 2000,
            block_ms: 200,
            records_ms: 5000,
        };
        // Slot 10 lasts until 22 000, and what is behind it until 24 000.
        for (now_ms, expected_ms) in [
            (22_300, 1900),
            (24_199, 1),
            (24_200, 200),
            (24_400, 200),
            (24_600, 400),
            (25_000, 800),
            (40_000, 1000),
            // A clock that is slow.
            (12_000, 2000),
        ] {
            let found = rhythm.pause(Some(10), now_ms);
            assert_eq!(found, Duration::from_millis(expected_ms), "at {now_ms}");
        }
        assert_eq!(rhythm.pause(None, 24_200), Duration::from_secs(1));
        // Of a minute's slots nobody waits for longer than ten seconds.
        let minutes = Rhythm {
            slot_ms: 60_000,
            ..rhythm
        };
        assert_eq!(minutes.pause(Some(10), 661_000), Duration::from_secs(10));
        assert_eq!(
            minutes.pause(Some(10), 715_000),
            Duration::from_millis(5200)
        );
        assert_eq!(rhythm.pause(Some(u64::MAX), 0), Duration::from_secs(2));
    }
}
