//! Fetches claims from nodes. Nothing that comes back is believed here: it is parsed, bounded
//! and handed to [`crate::LightClient`].
//!
//! Several nodes may be named; each request goes to the first that answers, so one that is down
//! costs a moment and not the answer.

use crate::resolve::PastOf;
use crate::{Freshness, LightClient, LightError, Proved, TermError};
use realdid_core::answer::{
    BucketAnswer, HandOver, MAX_ANSWER_BYTES, MAX_BUCKET_BYTES, MAX_HAND_OVERS, MAX_NETWORKS_BYTES,
    MAX_PAST, OtherNetwork, PastAnswer, StateAnswer, decode_hand_overs, decode_networks,
    decode_past,
};
use realdid_core::certificate::claimed_epoch;
use realdid_core::codec::{self, CodecError};
use realdid_core::genesis::{Genesis, GenesisError};
use realdid_core::governance::{Recognised, Recognition};
use realdid_core::hash::Hash32;
use realdid_core::header::{Checkpoint, Header};
use realdid_core::operation::SignedOperation;
use realdid_core::state::recognition_key;
use realdid_core::trie::Key;
use serde::Deserialize;
use std::time::{Duration, Instant};

/// How long one node may take for one answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// A whole family of the state: the bits of its byte.
const FAMILY_BITS: usize = 8;
/// How often a pending receipt or seal is asked for again.
const POLL: Duration = Duration::from_millis(100);

/// A client of one or several nodes of a network.
#[derive(Debug, Clone)]
pub struct NodeClient {
    urls: Vec<String>,
    http: reqwest::Client,
}

/// Why no node gave a usable answer.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("no node URL is given, or one is not an http(s) URL")]
    Url,
    #[error("no node answers; the last one tried is {url}")]
    Unreachable { url: String },
    #[error("the node answered {status}: {code}")]
    Answer { status: u16, code: String },
    #[error("the node's answer is not readable: {0}")]
    Codec(#[from] CodecError),
    #[error("the node's genesis is none: {0}")]
    Genesis(#[from] GenesisError),
    #[error("the node refused the operation: {rule}")]
    Refused { rule: String },
    #[error("the network did not finish within {seconds} s")]
    Timeout { seconds: u64 },
    #[error("the committee's hand-over does not hold: {0}")]
    HandOver(#[from] LightError),
    #[error("the node's answer does not hold: {0}")]
    Claim(LightError),
}

impl NodeError {
    /// The stable name of the rule that failed.
    pub fn code(&self) -> &str {
        match self {
            Self::Url => "node.url",
            Self::Unreachable { .. } => "node.unreachable",
            Self::Answer { code, .. } => code,
            Self::Codec(error) => error.code(),
            Self::Genesis(error) => error.code(),
            Self::Refused { rule } => rule,
            Self::Timeout { .. } => "node.timeout",
            Self::HandOver(error) | Self::Claim(error) => error.code(),
        }
    }
}

/// What became of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceiptStatus {
    /// The node has not seen it, or it waits for a block.
    Pending,
    /// It stands, in the block at this height.
    Accepted { height: u64 },
    /// It broke a rule; the code is one of `realdid_core::rule`.
    Refused { rule: String },
}

#[derive(Deserialize)]
struct ReceiptBody {
    status: String,
    height: Option<u64>,
    rule: Option<String>,
}

#[derive(Deserialize)]
struct ProblemBody {
    code: Option<String>,
}

impl NodeClient {
    /// Takes base URLs such as `http://127.0.0.1:20400`.
    pub fn new(urls: Vec<String>) -> Result<Self, NodeError> {
        let usable = |url: &String| {
            url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
        };
        if urls.is_empty() || !urls.iter().all(usable) {
            return Err(NodeError::Url);
        }
        let http = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .connect_timeout(Duration::from_secs(2))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|_| NodeError::Url)?;
        let urls = urls
            .into_iter()
            .map(|url| url.trim_end_matches('/').to_owned())
            .collect();
        Ok(Self { urls, http })
    }

    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// The genesis that the node claims. Compare its digest before trusting it.
    pub async fn genesis(&self) -> Result<Genesis, NodeError> {
        let bytes = self
            .fetch("/v1/genesis", realdid_core::genesis::MAX_GENESIS_BYTES)
            .await?;
        Ok(Genesis::decode(&bytes)?)
    }

    /// The newest slot checkpoint.
    pub async fn checkpoint(&self) -> Result<Checkpoint, NodeError> {
        let bytes = self.fetch("/v1/checkpoint", 4096).await?;
        Ok(codec::decode(&bytes, 4096)?)
    }

    /// The hand-overs to the terms after `term`, the earliest first; not all of them where they are
    /// many.
    pub async fn hand_overs(&self, term: u64) -> Result<Vec<HandOver>, NodeError> {
        let limit = MAX_HAND_OVERS * MAX_ANSWER_BYTES;
        let bytes = self
            .fetch(&format!("/v1/handovers?from={term}"), limit)
            .await?;
        Ok(decode_hand_overs(&bytes)?)
    }

    /// Brings `light` to the term whose committee has certified `checkpoint`, hand-over by hand-over.
    /// Does nothing where it knows that term, and asks nobody.
    pub async fn follow(
        &self,
        light: &mut LightClient,
        checkpoint: &Checkpoint,
    ) -> Result<(), NodeError> {
        // What cannot be read is refused by whoever checks it.
        let Ok(wanted) = claimed_epoch(&checkpoint.certificate.0) else {
            return Ok(());
        };
        while light.newest_term() < wanted {
            let before = light.newest_term();
            for hand_over in self.hand_overs(before).await? {
                light.hand_over(&hand_over)?;
            }
            if light.newest_term() == before {
                return Err(LightError::from(TermError::Unknown { term: wanted }).into());
            }
        }
        Ok(())
    }

    /// Where other networks are, as the node's operator says. Hold each genesis against the recognition on
    /// this network's ledger before trusting it.
    pub async fn other_networks(&self) -> Result<Vec<OtherNetwork>, NodeError> {
        let bytes = self.fetch("/v1/networks", MAX_NETWORKS_BYTES).await?;
        Ok(decode_networks(&bytes)?)
    }

    /// All that the network's ledger says of others, with the proof checked that this is all.
    pub async fn recognitions(
        &self,
        light: &mut LightClient,
        freshness: &Freshness,
    ) -> Result<Proved<Vec<Recognition>>, NodeError> {
        let key = recognition_key(light.hash_function(), "");
        let answer = self.bucket(&key, FAMILY_BITS).await?;
        self.follow(light, &answer.checkpoint).await?;
        light
            .recognitions(&answer, freshness)
            .map_err(NodeError::Claim)
    }

    /// Where a recognised network is: the genesis with the digest that the recognition names, and nodes
    /// that are still to be trusted with nothing. None where this network's node does not know it.
    pub async fn recognised(
        &self,
        recognised: &Recognised,
    ) -> Result<Option<(Genesis, Vec<String>)>, NodeError> {
        for other in self.other_networks().await? {
            let genesis = Genesis::decode(&other.genesis.0)?;
            if genesis.digest() == recognised.genesis {
                return Ok(Some((genesis, other.nodes)));
            }
        }
        Ok(None)
    }

    /// The node's answer about one key.
    pub async fn state(&self, key: &Key) -> Result<StateAnswer, NodeError> {
        let path = format!("/v1/state/{}", hex::encode(key));
        let bytes = self
            .fetch(&path, realdid_core::answer::MAX_ANSWER_BYTES)
            .await?;
        Ok(StateAnswer::decode(&bytes)?)
    }

    /// What the node has kept of a DID's earlier versions: the last one up to what is asked for, and the
    /// one that followed it.
    pub async fn past(&self, key: &Key, of: PastOf) -> Result<Vec<PastAnswer>, NodeError> {
        let query = match of {
            PastOf::Seq(seq) => format!("seq={seq}"),
            PastOf::TimeMs(time_ms) => format!("time_ms={time_ms}"),
        };
        let path = format!("/v1/past/{}?{query}", hex::encode(key));
        let bytes = self.fetch(&path, MAX_PAST * MAX_ANSWER_BYTES).await?;
        Ok(decode_past(&bytes)?)
    }

    /// All keys that share the first `bits` bits with `key`.
    pub async fn bucket(&self, key: &Key, bits: usize) -> Result<BucketAnswer, NodeError> {
        // Only the shared bits travel: the rest would name the key.
        let mut prefix = key[..bits.div_ceil(8).min(32)].to_vec();
        if let (Some(last), spare @ 1..) = (prefix.last_mut(), (8 - bits % 8) % 8) {
            *last &= 0xff << spare;
        }
        let path = format!("/v1/buckets/{}/{bits}", hex::encode(prefix));
        let bytes = self.fetch(&path, MAX_BUCKET_BYTES).await?;
        Ok(BucketAnswer::decode(&bytes)?)
    }

    /// Hands in an operation; its id comes back once the node has admitted it.
    pub async fn submit(&self, operation: &SignedOperation) -> Result<Hash32, NodeError> {
        let body = operation.encode();
        let mut last = NodeError::Url;
        for url in &self.urls {
            let sent = self
                .http
                .post(format!("{url}/v1/operations"))
                .header("content-type", "application/cbor")
                .body(body.clone())
                .send()
                .await;
            match sent {
                Ok(response) if response.status().is_success() => return Ok(operation.id()),
                Ok(response) => return Err(refusal(response).await),
                Err(_) => last = NodeError::Unreachable { url: url.clone() },
            }
        }
        Err(last)
    }

    /// What became of an operation.
    pub async fn receipt(&self, id: &Hash32) -> Result<ReceiptStatus, NodeError> {
        let bytes = self.fetch(&format!("/v1/operations/{id}"), 4096).await?;
        let body: ReceiptBody =
            serde_json::from_slice(&bytes).map_err(|_| CodecError::Malformed)?;
        Ok(match (body.status.as_str(), body.height, body.rule) {
            ("accepted", Some(height), _) => ReceiptStatus::Accepted { height },
            ("refused", _, Some(rule)) => ReceiptStatus::Refused { rule },
            _ => ReceiptStatus::Pending,
        })
    }

    /// Hands in an operation and waits until it is final. Answers the height.
    pub async fn submit_and_wait(
        &self,
        operation: &SignedOperation,
        timeout: Duration,
    ) -> Result<u64, NodeError> {
        let id = self.submit(operation).await?;
        self.wait(&id, timeout).await
    }

    /// Waits until an operation that was handed in is final.
    pub async fn wait(&self, id: &Hash32, timeout: Duration) -> Result<u64, NodeError> {
        let until = Instant::now() + timeout;
        loop {
            match self.receipt(id).await {
                Ok(ReceiptStatus::Accepted { height }) => return Ok(height),
                Ok(ReceiptStatus::Refused { rule }) => return Err(NodeError::Refused { rule }),
                Ok(ReceiptStatus::Pending) | Err(NodeError::Unreachable { .. }) => {}
                Err(error) => return Err(error),
            }
            if Instant::now() > until {
                return Err(NodeError::Timeout {
                    seconds: timeout.as_secs(),
                });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The answer about a key from a sealed state that holds the block at `height`.
    pub async fn state_at_least(
        &self,
        key: &Key,
        height: u64,
        timeout: Duration,
    ) -> Result<StateAnswer, NodeError> {
        let until = Instant::now() + timeout;
        loop {
            let answer = self.state(key).await;
            if let Ok(answer) = answer {
                let header = Header::decode(&answer.checkpoint.header.0)?;
                if header.sealed.height >= height {
                    return Ok(answer);
                }
            } else if !matches!(
                answer,
                Err(NodeError::Unreachable { .. } | NodeError::Answer { status: 503, .. })
            ) {
                return answer;
            }
            if Instant::now() > until {
                return Err(NodeError::Timeout {
                    seconds: timeout.as_secs(),
                });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Fetches at most `limit` bytes from the first node that answers.
    async fn fetch(&self, path: &str, limit: usize) -> Result<Vec<u8>, NodeError> {
        let mut last = NodeError::Url;
        for url in &self.urls {
            match self.http.get(format!("{url}{path}")).send().await {
                Ok(response) if response.status().is_success() => {
                    return bounded(response, limit).await.map_err(|error| match error {
                        Some(codec) => NodeError::Codec(codec),
                        None => NodeError::Unreachable { url: url.clone() },
                    });
                }
                Ok(response) => last = refusal(response).await,
                Err(_) => last = NodeError::Unreachable { url: url.clone() },
            }
        }
        Err(last)
    }
}

/// Reads a body without trusting its length. `None` is a broken connection.
async fn bounded(
    mut response: reqwest::Response,
    limit: usize,
) -> Result<Vec<u8>, Option<CodecError>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| None)? {
        if body.len() + chunk.len() > limit {
            return Err(Some(CodecError::TooLong {
                limit,
                got: body.len() + chunk.len(),
            }));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Turns a problem answer into an error that names its rule.
async fn refusal(response: reqwest::Response) -> NodeError {
    let status = response.status().as_u16();
    let body = bounded(response, 16 * 1024).await.unwrap_or_default();
    let code = serde_json::from_slice::<ProblemBody>(&body)
        .ok()
        .and_then(|problem| problem.code)
        .unwrap_or_else(|| "node.error".to_owned());
    if status == 422 {
        NodeError::Refused { rule: code }
    } else {
        NodeError::Answer { status, code }
    }
}
