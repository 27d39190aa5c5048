//! One look at one network, and what of it the other one's ledger should see.

use crate::{RelayError, pause_of};
use realdid_core::codec;
use realdid_core::did::NetworkName;
use realdid_core::genesis::Genesis;
use realdid_core::governance::Recognition;
use realdid_core::header::Checkpoint;
use realdid_core::operation::{Body, Operation};
use realdid_core::rule::Rule;
use realdid_core::state::{Standing, recognition_key};
use realdid_core::suite::SecretKey;
use realdid_light::http::{NodeClient, NodeError};
use realdid_light::{Freshness, LightClient, LightError, TermError};
use realdid_serve::files;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a ledger may take to accept a checkpoint.
const FINAL_WAIT: Duration = Duration::from_secs(30);
/// The greatest age of what a ledger says about a recognition.
const MAX_AGE_MS: u64 = 300_000;
/// For how many blocks an operation may wait: a newer checkpoint comes soon.
const EXPIRY_BLOCKS: u64 = 600;

/// A light client of both networks, between them.
pub struct Courier {
    dir: PathBuf,
    from: Side,
    to: Side,
    /// Signs what anybody may show; it stands for nobody, and is another at each start.
    key: SecretKey,
    /// The checkpoint that `from` stands at, as evidence should another of its height appear.
    newest: Option<Checkpoint>,
    /// What is left to be shown of a fork.
    fork: Option<(Checkpoint, Checkpoint)>,
}

struct Side {
    light: LightClient,
    nodes: NodeClient,
    terms: PathBuf,
}

/// Why nothing was carried.
#[derive(Debug, thiserror::Error)]
pub enum NotCarried {
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error(transparent)]
    Light(#[from] LightError),
    #[error("the other network has not recognised this one")]
    Unknown,
    #[error("the recognition is not active")]
    Standing,
}

impl NotCarried {
    pub fn code(&self) -> &str {
        match self {
            Self::Node(error) => error.code(),
            Self::Light(error) => error.code(),
            Self::Unknown => Rule::RecognitionUnknown.code(),
            Self::Standing => Rule::RecognitionStanding.code(),
        }
    }
}

impl Side {
    /// Begins with the genesis, and with the terms that an earlier run has come to know.
    fn new(dir: &Path, genesis: Genesis, nodes: NodeClient) -> Self {
        let terms = dir.join(format!("terms-{}.cbor", genesis.network.as_str()));
        let mut light = LightClient::new(genesis);
        if let Ok(kept) = std::fs::read(&terms)
            && let Err(error) = light.recall_encoded_terms(&kept)
        {
            tracing::warn!(code = error.code(), "the terms in the folder do not hold");
        }
        Self {
            light,
            nodes,
            terms,
        }
    }

    fn network(&self) -> &NetworkName {
        &self.light.genesis().network
    }

    /// Takes in a checkpoint, through the hand-overs that lead to it.
    async fn advance(&mut self, checkpoint: &Checkpoint) -> Result<(), NotCarried> {
        let before = self.light.newest_term();
        self.nodes.follow(&mut self.light, checkpoint).await?;
        if self.light.newest_term() > before {
            let terms = self.light.encoded_terms();
            if let Err(error) = files::write_private(&self.terms, &terms) {
                tracing::warn!(code = error.code(), "the network's terms are not kept");
            }
        }
        self.light.advance(checkpoint)?;
        Ok(())
    }
}

impl Courier {
    pub fn new(
        dir: &Path,
        (from, from_nodes): (Genesis, NodeClient),
        (to, to_nodes): (Genesis, NodeClient),
    ) -> Result<Self, RelayError> {
        if from.network.as_str() == to.network.as_str() {
            return Err(RelayError::Genesis);
        }
        files::create_private_dir(dir)?;
        let suites = &to.parameters.suites;
        let suite = *suites.first().ok_or(RelayError::Genesis)?;
        let key = loop {
            let mut seed = [0; 32];
            getrandom::fill(&mut seed).map_err(|_| RelayError::Randomness)?;
            // A few seeds in 2^32 are none of a curve's.
            if let Ok(key) = SecretKey::from_seed(suite, seed) {
                break key;
            }
        };
        Ok(Self {
            dir: dir.to_owned(),
            from: Side::new(dir, from, from_nodes),
            to: Side::new(dir, to, to_nodes),
            key,
            newest: None,
            fork: None,
        })
    }

    /// How long until the next look is worth while.
    pub fn pause(&self) -> Duration {
        pause_of(self.from.light.genesis())
    }

    /// Carries the newest checkpoint, where the other ledger has an older one, and before it the
    /// hand-overs that lead to it. Two final headers of one height are carried alone.
    pub async fn carry(&mut self) -> Result<(), NotCarried> {
        self.show_fork().await?;
        let checkpoint = self.from.nodes.checkpoint().await?;
        match self.from.advance(&checkpoint).await {
            Err(NotCarried::Light(error)) if error == TermError::Fork.into() => {
                self.keep_evidence(&checkpoint);
                self.fork = self.newest.clone().zip(Some(checkpoint));
                self.show_fork().await?;
                return Err(error.into());
            }
            outcome => outcome?,
        }
        let header = self.from.light.checkpoint(&checkpoint)?.header;
        self.newest = Some(checkpoint.clone());

        let (recognition, height) = self.recognition().await?;
        if let Some(latest) = recognition.latest {
            let lag_ms = header.time_ms.saturating_sub(latest.time_ms);
            metrics::gauge!("relay_lag_seconds").set(lag_ms as f64 / 1000.0);
            if latest.height >= header.height || latest.sealed.height >= header.sealed.height {
                return Ok(());
            }
        }
        self.hand_overs(&recognition, height).await?;
        let body = Body::ForeignCheckpoint(self.from.network().clone(), checkpoint);
        self.show(body, height).await?;
        metrics::counter!("relay_checkpoints_total").increment(1);
        tracing::info!(height = header.height, "a checkpoint was carried");
        Ok(())
    }

    /// Each committee of the network that is read which the other ledger does not know, in their order.
    async fn hand_overs(
        &mut self,
        recognition: &Recognition,
        height: u64,
    ) -> Result<(), NotCarried> {
        let mut known = recognition.terms().newest();
        while known < self.from.light.newest_term() {
            let next = self.from.nodes.hand_overs(known).await?;
            if next.is_empty() {
                let term = self.from.light.newest_term();
                return Err(LightError::from(TermError::Unknown { term }).into());
            }
            for hand_over in next {
                // This end has followed it before: whatever differs is not carried.
                known = self.from.light.hand_over(&hand_over)?.number;
                let body = Body::ForeignHandOver(self.from.network().clone(), hand_over);
                match self.show(body, height).await {
                    // The key is governance's to name there.
                    Err(error) if is_of_before(&error) => return Ok(()),
                    outcome => outcome?,
                }
                tracing::info!(term = known, "a hand-over was carried");
            }
        }
        Ok(())
    }

    /// Two final headers of one height, if this relay has met them: until the other ledger has judged them.
    async fn show_fork(&mut self) -> Result<(), NotCarried> {
        let Some((one, other)) = self.fork.clone() else {
            return Ok(());
        };
        let height = match self.recognition().await {
            Ok((_, height)) => height,
            // Somebody has shown it, or governance was faster.
            Err(NotCarried::Standing) => {
                self.fork = None;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let body = Body::ForeignFork(self.from.network().clone(), one, other);
        let shown = self.show(body, height).await;
        if matches!(shown, Ok(()) | Err(NodeError::Refused { .. })) {
            self.fork = None;
        }
        match shown {
            // Governance has the evidence from the folder.
            Err(error) if is_of_before(&error) => {
                self.fork = None;
                Ok(())
            }
            outcome => Ok(outcome?),
        }
    }

    /// Hands in what anybody may show, and waits until it stands.
    async fn show(&self, body: Body, height: u64) -> Result<(), NodeError> {
        let network = self.to.network().clone();
        let expires = height.saturating_add(EXPIRY_BLOCKS);
        let operation = Operation::new(network, expires, body).sign(&[&self.key]);
        match self.to.nodes.submit_and_wait(&operation, FINAL_WAIT).await {
            // Another relay was faster.
            Err(NodeError::Refused { rule }) if rule == Rule::RecognitionBehind.code() => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    /// What the ledger at the other end says of the network that is read, and at which height.
    async fn recognition(&mut self) -> Result<(Recognition, u64), NotCarried> {
        let by = self.to.light.hash_function();
        let name = self.from.network().as_str().to_owned();
        let answer = self.to.nodes.state(&recognition_key(by, &name)).await?;
        self.to.advance(&answer.checkpoint).await?;
        let freshness = Freshness {
            now_ms: now_ms(),
            max_age_ms: MAX_AGE_MS,
            max_lag_slots: 2,
        };
        let proved = self.to.light.recognition(&name, &answer, &freshness)?;
        let recognition = proved.value.ok_or(NotCarried::Unknown)?;
        match recognition.standing {
            Standing::Active => Ok((recognition, proved.at.header.height)),
            _ => Err(NotCarried::Standing),
        }
    }

    /// Two final headers of one height: whoever looks into it needs both.
    fn keep_evidence(&self, other: &Checkpoint) {
        let both = (self.newest.clone(), other.clone());
        let path = self.dir.join("fork.cbor");
        match files::write_private(&path, &codec::encode(&both)) {
            Ok(()) => tracing::error!("the network has forked; both checkpoints are kept"),
            Err(error) => tracing::error!(code = error.code(), "the evidence is not kept"),
        }
    }
}

/// Whether the other network runs rules, or a program, that know no such operation.
fn is_of_before(error: &NodeError) -> bool {
    match error {
        NodeError::Refused { rule } => rule == Rule::Version.code(),
        // To a program of before they are no operation, or a too long one.
        NodeError::Answer { status, .. } => matches!(status, 400 | 413),
        _ => false,
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests;
