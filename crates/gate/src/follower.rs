//! Keeps a [`View`] fresh from a network's nodes. Every answer is checked there; one that does not
//! hold is counted, logged by its code and dropped, so a lying node can at worst be silent.

use std::time::Duration;

use realdid_core::answer::{HandOver, StateAnswer};
use realdid_core::certificate::claimed_epoch;
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

pub(crate) struct Follower {
    /// One client for each node: an answer that does not hold must lead to the next node.
    nodes: Vec<NodeClient>,
}

/// How often a network's nodes are asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rhythm {
    /// Twice a slot: a checkpoint appears somewhere inside it.
    pub tick: Duration,
    /// Half a status period, so that a record is never older than one while a node answers.
    pub records_ms: u64,
}

impl Rhythm {
    pub fn of(view: &View) -> Self {
        let snapshot = view.snapshot();
        let parameters = &snapshot.light.genesis().parameters;
        Self {
            tick: Duration::from_millis((parameters.slot_s * 500).clamp(250, 10_000)),
            records_ms: parameters.status_period_s * 500,
        }
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
