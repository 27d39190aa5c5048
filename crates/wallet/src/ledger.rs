//! The wallet's view of its network: what nodes claim, checked by the light client.
//!
//! Answers are asked for key by key at the moment they are needed, so a node that keeps logs sees
//! when somebody asked for which DID, though not who. Whole buckets, fetched on a schedule that
//! does not follow logins, are what the design wants; nodes serve them, this wallet does not use
//! them yet.
//!
//! When no node can be reached, the last answer is used again while it is younger than an epoch:
//! whoever it is shown to judges its age by rules of their own (promise P9).

use crate::content::{Content, Network};
use crate::error::CliError;
use realdid_core::answer::StateAnswer;
use realdid_core::codec::Bytes;
use realdid_core::did::{Did, Inception};
use realdid_core::genesis::{Genesis, Parameters};
use realdid_core::hash::{Hash32, HashFunction};
use realdid_core::state::{
    Batch, Display, Enrolment, Issuer, PersonTag, Service, batch_key, did_key, display_key,
    enrolment_key, issuer_key, service_key,
};
use realdid_core::trie;
use realdid_light::http::{NodeClient, NodeError};
use realdid_light::{DidState, Freshness, LightClient, Proved};
use std::time::Duration;

/// How long the network may take to seal what it has accepted.
const SEAL_TIMEOUT: Duration = Duration::from_secs(150);

/// The least that a live answer may be old, in seconds: on networks with short slots a busy
/// machine is not an attack.
const MIN_LIVE_S: u64 = 30;

/// The network, once its genesis is pinned.
#[derive(Debug, Clone)]
pub struct Ledger {
    pub light: LightClient,
    pub nodes: NodeClient,
}

/// An answer and by which yardstick it is judged.
struct Judged {
    answer: StateAnswer,
    freshness: Freshness,
}

impl Ledger {
    /// The network that this wallet has pinned.
    pub fn of(content: &Content) -> Result<Self, CliError> {
        let network = content.network.as_ref().ok_or_else(|| {
            CliError::user(
                "wallet.no_network",
                "the wallet knows its network",
                "enrol first: `realdid wallet enrol`",
            )
        })?;
        Self::pinned(network)
    }

    pub fn pinned(network: &Network) -> Result<Self, CliError> {
        let genesis = Genesis::decode(&network.genesis.0).map_err(|error| {
            CliError::new(
                error.code(),
                "the genesis is canonical",
                "authority",
                "do not trust it",
            )
        })?;
        let mut light = LightClient::new(genesis);
        if let Some(terms) = &network.terms {
            light.recall_terms(terms.clone())?;
        }
        Ok(Self {
            light,
            nodes: NodeClient::new(network.nodes.clone())?,
        })
    }

    pub fn hash_function(&self) -> HashFunction {
        self.light.hash_function()
    }

    pub fn parameters(&self) -> &Parameters {
        &self.light.genesis().parameters
    }

    /// A DID's proved state, with the answer to staple.
    pub async fn did(
        &mut self,
        content: &mut Content,
        inception: &Inception,
    ) -> Result<(DidState, StateAnswer), CliError> {
        let did = inception.did();
        let judged = self
            .ask(content, &did_key(self.light.hash_function(), &did.id), 0)
            .await?;
        self.did_in(content, &did, inception, judged)
    }

    /// A DID's proved state in a sealed state that holds the block at `height`.
    pub async fn did_since(
        &mut self,
        content: &mut Content,
        inception: &Inception,
        height: u64,
    ) -> Result<DidState, CliError> {
        let did = inception.did();
        let judged = self
            .ask(
                content,
                &did_key(self.light.hash_function(), &did.id),
                height,
            )
            .await?;
        Ok(self.did_in(content, &did, inception, judged)?.0)
    }

    fn did_in(
        &mut self,
        content: &mut Content,
        did: &Did,
        inception: &Inception,
        Judged { answer, freshness }: Judged,
    ) -> Result<(DidState, StateAnswer), CliError> {
        let state = self.light.did(did, Some(inception), &answer, &freshness)?;
        self.keep(
            content,
            &did_key(self.light.hash_function(), &did.id),
            &answer,
        )?;
        Ok((state, answer))
    }

    /// An issuer's proved record.
    pub async fn issuer(
        &mut self,
        content: &mut Content,
        id: &Hash32,
    ) -> Result<Proved<Option<Issuer>>, CliError> {
        let Judged { answer, freshness } = self
            .ask(content, &issuer_key(self.light.hash_function(), id), 0)
            .await?;
        let proved = self.light.issuer(id, &answer, &freshness)?;
        self.keep(
            content,
            &issuer_key(self.light.hash_function(), id),
            &answer,
        )?;
        Ok(proved)
    }

    /// A service's proved record.
    pub async fn service(
        &mut self,
        content: &mut Content,
        id: &Hash32,
    ) -> Result<Proved<Option<Service>>, CliError> {
        let Judged { answer, freshness } = self
            .ask(content, &service_key(self.light.hash_function(), id), 0)
            .await?;
        let proved = self.light.service(id, &answer, &freshness)?;
        self.keep(
            content,
            &service_key(self.light.hash_function(), id),
            &answer,
        )?;
        Ok(proved)
    }

    /// An issuance batch's proved record, with the answer to show.
    pub async fn batch(
        &mut self,
        content: &mut Content,
        issuer: &Hash32,
        root: &Hash32,
    ) -> Result<(Option<Batch>, StateAnswer), CliError> {
        let key = batch_key(self.hash_function(), issuer, root);
        let Judged { answer, freshness } = self.ask(content, &key, 0).await?;
        let proved = self.light.batch(issuer, root, &answer, &freshness)?;
        self.keep(content, &key, &answer)?;
        Ok((proved.value, answer))
    }

    /// A display's proved record.
    pub async fn display(
        &mut self,
        content: &mut Content,
        digest: &Hash32,
    ) -> Result<Option<Display>, CliError> {
        let key = display_key(self.hash_function(), digest);
        let Judged { answer, freshness } = self.ask(content, &key, 0).await?;
        let proved = self.light.display(digest, &answer, &freshness)?;
        self.light.advance(&answer.checkpoint)?;
        Ok(proved.value)
    }

    /// The proved entry of a person tag, in a state that holds the block at `height`.
    pub async fn enrolment(
        &mut self,
        content: &mut Content,
        tag: &PersonTag,
        height: u64,
    ) -> Result<Proved<Option<Enrolment>>, CliError> {
        let Judged { answer, freshness } = self
            .ask(
                content,
                &enrolment_key(self.light.hash_function(), tag),
                height,
            )
            .await?;
        let proved = self.light.enrolment(tag, &answer, &freshness)?;
        // Never kept: the tag is the person's, and an old entry is no answer to "has it moved?".
        self.light.advance(&answer.checkpoint)?;
        Ok(proved)
    }

    /// Asks the nodes, or takes the kept answer where none of them can be reached.
    async fn ask(
        &mut self,
        content: &mut Content,
        key: &trie::Key,
        height: u64,
    ) -> Result<Judged, CliError> {
        let answered = if height == 0 {
            self.nodes.state(key).await
        } else {
            self.nodes.state_at_least(key, height, SEAL_TIMEOUT).await
        };
        if let Ok(answer) = &answered {
            let before = self.light.newest_term();
            self.nodes
                .follow(&mut self.light, &answer.checkpoint)
                .await?;
            let genesis = Bytes(self.light.genesis().encode());
            if let Some(network) = content.network_of(&genesis)
                && self.light.newest_term() > before
            {
                network.terms = Some(self.light.terms().to_vec());
            }
        }
        let parameters = self.parameters();
        let (answer, max_age_s) = match answered {
            Ok(answer) => {
                let live_s = 10 * parameters.slot_s;
                (
                    answer,
                    live_s.max(parameters.status_period_s).max(MIN_LIVE_S),
                )
            }
            // 503: it is up but has no sealed state to prove from yet.
            Err(
                error @ (NodeError::Unreachable { .. } | NodeError::Answer { status: 503, .. }),
            ) if height == 0 => {
                let kept = content.kept(&Hash32(*key));
                let kept = kept.and_then(|kept| StateAnswer::decode(&kept.0).ok());
                (kept.ok_or(error)?, parameters.epoch_s)
            }
            Err(error) => return Err(error.into()),
        };
        let freshness = Freshness {
            now_ms: now_ms(),
            max_age_ms: max_age_s * 1000,
            // Nodes may be a slot apart, and a kept answer older still: age is what counts.
            max_lag_slots: max_age_s / parameters.slot_s.max(1),
        };
        Ok(Judged { answer, freshness })
    }

    /// An answer that was checked: the client goes on from its checkpoint, the wallet keeps it.
    fn keep(
        &mut self,
        content: &mut Content,
        key: &trie::Key,
        answer: &StateAnswer,
    ) -> Result<(), CliError> {
        self.light.advance(&answer.checkpoint)?;
        content.keep(Hash32(*key), Bytes(answer.encode()));
        Ok(())
    }
}

/// The device's clock: Unix milliseconds.
pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

/// The device's clock: Unix seconds.
pub fn now_s() -> u64 {
    now_ms() / 1000
}

#[cfg(test)]
mod tests;
