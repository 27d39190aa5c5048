//! The node over HTTP: operations in; checkpoints, proofs, receipts and resolutions out.
//!
//! Nothing here must be believed by its caller: every answer about the state carries its proof
//! and its checkpoint. Binary answers are canonical CBOR (`spec/`), the rest is JSON.

pub(crate) mod decisions;
mod identifiers;

use crate::admission::{By, NotAdmitted, admit};
use crate::gossip;
use crate::host::unix_ms;
use crate::machine::{Machine, MachineError};
use crate::mempool::{Mempool, Refused};
use crate::producer::Producer;
use crate::shares::ShareFolder;
use crate::store::StoreError;
use askama::Template as _;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use realdid_core::answer::{BucketAnswer, PastAnswer, StateAnswer};
use realdid_core::certificate::claimed_epoch;
use realdid_core::codec::{self, Bytes};
use realdid_core::genesis::Parameters;
use realdid_core::governance::Term;
use realdid_core::hash::Hash32;
use realdid_core::header::{Block, Checkpoint};
use realdid_core::operation::MAX_HAND_OVER_BYTES;
use realdid_core::state::{DidRecord, Family};
use realdid_core::trie::{Key, Prefix};
use realdid_light::LightClient;
use realdid_light::resolve::{self, PastOf};
use realdid_serve::Problem;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use utoipa::{OpenApi, ToSchema};

/// The longest batch of operations: as long as what validators tell each other.
const MAX_BATCH_BYTES: usize = gossip::MAX_MESSAGE_BYTES;
/// How long a question may wait for a closed slot to be sealed and certified.
const SEAL_WAIT: Duration = Duration::from_secs(3);
/// The longest time after which a client is asked to try again.
const MAX_RETRY_S: u64 = 60;

/// What the handlers share.
#[derive(Clone)]
pub struct Rpc {
    pub machine: Arc<Machine>,
    pub mempool: Arc<Mempool>,
    pub producer: Producer,
    /// The node as its own reader. It keeps the newest checkpoint, so that a certificate is
    /// checked once for each slot and not for each resolution.
    pub light: Arc<Mutex<LightClient>>,
    pub voter: Arc<Voter>,
    /// What the operator says of other networks, encoded.
    pub other_networks: Arc<[u8]>,
}

/// Whether this node votes: by its key, and by the shares that it has.
pub struct Voter {
    pub key: [u8; 32],
    pub shares: ShareFolder,
}

impl Voter {
    /// Its part in a term, as the status says it.
    fn part(&self, term: &Term) -> &'static str {
        let member = term.validators.iter().any(|key| key.0 == self.key);
        match (member, self.shares.read(term.number)) {
            (true, Ok(Some(_))) => "votes",
            (true, _) => "share-missing",
            (false, _) => "follows",
        }
    }
}

/// The interface as `/openapi.json` describes it.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "RealDID node",
        description = "Operations in; checkpoints and proofs out."
    ),
    paths(
        submit,
        submit_batch,
        receipt,
        genesis,
        checkpoint,
        state,
        bucket,
        block,
        past,
        hand_overs,
        networks,
        decisions::list,
        identifiers::identifier,
        identifiers::identifier_by_body,
        identifiers::methods,
        identifiers::properties,
        status,
        page,
        style
    ),
    components(schemas(
        identifiers::ResolutionResult,
        identifiers::DereferencingResult,
        identifiers::AnyResult,
        identifiers::Described
    ))
)]
pub struct Api;

/// All routes of the node.
pub fn router(rpc: Rpc) -> Router {
    Router::new()
        .route("/v1/operations", post(submit))
        .route(
            "/v1/operations/batch",
            post(submit_batch).layer(DefaultBodyLimit::max(MAX_BATCH_BYTES)),
        )
        .route("/v1/operations/{hash}", get(receipt))
        .route("/v1/genesis", get(genesis))
        .route("/v1/checkpoint", get(checkpoint))
        .route("/v1/state/{key}", get(state))
        .route("/v1/buckets/{prefix}/{bits}", get(bucket))
        .route("/v1/blocks/{height}", get(block))
        .route("/v1/past/{key}", get(past))
        .route("/v1/handovers", get(hand_overs))
        .route("/v1/networks", get(networks))
        .route("/v1/decisions", get(decisions::list))
        .route("/v1/status", get(status))
        .route(
            "/1.0/identifiers/{*did}",
            get(identifiers::identifier).post(identifiers::identifier_by_body),
        )
        .route("/1.0/methods", get(identifiers::methods))
        .route("/1.0/properties", get(identifiers::properties))
        .route("/", get(page))
        .route("/style.css", get(style))
        .layer(DefaultBodyLimit::max(MAX_HAND_OVER_BYTES))
        .with_state(rpc)
}

/// The hash of an operation that was taken in.
#[derive(Serialize, ToSchema)]
struct Admitted {
    /// Lowercase hex; ask `/v1/operations/{hash}` what became of it.
    hash: String,
}

/// Hands in a signed operation.
#[utoipa::path(
    post, path = "/v1/operations",
    request_body(content = Vec<u8>, content_type = "application/cbor"),
    responses(
        (status = 202, body = Admitted),
        (status = 400, description = "not a canonical operation"),
        (status = 413, description = "longer than an operation may be"),
        (status = 422, description = "a rule refuses it; the code names the rule"),
        (status = 429, description = "too many operations wait, in all or of this source"),
    )
)]
async fn submit(State(rpc): State<Rpc>, body: axum::body::Bytes) -> Result<Response, Problem> {
    let taken = rpc.admit(vec![Bytes(body.to_vec())]).await?.pop();
    let id = taken.ok_or_else(Problem::internal)??;
    let admitted = Admitted {
        hash: id.to_string(),
    };
    Ok((StatusCode::ACCEPTED, Json(admitted)).into_response())
}

/// What became of the operations of a batch, in its order.
#[derive(Serialize, ToSchema)]
struct Batch {
    operations: Vec<BatchOperation>,
}

/// What `/v1/operations` would have answered.
#[derive(Serialize, ToSchema)]
struct BatchOperation {
    /// 202, 400, 422 or 429.
    status: u16,
    /// Lowercase hex, where the status is 202.
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
    /// The code of the failed rule, elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
}

/// Hands in several signed operations; each is taken, or not, by itself.
#[utoipa::path(
    post, path = "/v1/operations/batch",
    request_body(content = Vec<u8>, content_type = "application/cbor"),
    responses(
        (status = 200, description = "what became of each, in order; those of 429 may be sent again \
            after the time in Retry-After", body = Batch),
        (status = 400, description = "not a canonical array of byte strings, or an empty one"),
        (status = 413, description = "longer than a batch may be"),
    )
)]
async fn submit_batch(
    State(rpc): State<Rpc>,
    body: axum::body::Bytes,
) -> Result<Response, Problem> {
    let malformed = |code, rule: String| {
        let fix = "send a canonical CBOR array of byte strings, each one signed operation";
        Problem::bad_request(code, rule, fix)
    };
    let operations: Vec<Bytes> = codec::decode(&body, MAX_BATCH_BYTES)
        .map_err(|error| malformed(error.code(), error.to_string()))?;
    if operations.is_empty() {
        let rule = "a batch holds at least one operation".to_owned();
        return Err(malformed("operation.empty_batch", rule));
    }
    let mut again_s = None;
    let answer = |taken: Result<Hash32, Problem>| match taken {
        Ok(id) => BatchOperation {
            status: StatusCode::ACCEPTED.as_u16(),
            hash: Some(id.to_string()),
            code: None,
        },
        Err(problem) => {
            again_s = again_s.max(problem.retries_after_s());
            BatchOperation {
                status: problem.status().as_u16(),
                hash: None,
                code: Some(problem.code()),
            }
        }
    };
    let taken = rpc.admit(operations).await?;
    let operations = taken.into_iter().map(answer).collect();
    let mut response = Json(Batch { operations }).into_response();
    if let Some(seconds) = again_s {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    Ok(response)
}

/// 429, with how long the blocks take that what waits fills.
fn overloaded(refused: Refused, parameters: &Parameters, waiting: usize) -> Problem {
    let blocks = waiting as u64 / parameters.block_operations.max(1) + 1;
    let seconds = blocks.saturating_mul(parameters.block_interval_ms) / 1000 + 1;
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        refused.code(),
        refused.to_string(),
        "send it again after the time in Retry-After; nothing that was taken in is lost",
    )
    .retry_after(seconds.min(MAX_RETRY_S))
}

/// What became of an operation.
#[derive(Serialize, ToSchema)]
struct ReceiptBody {
    /// `pending`, `accepted` or `refused`.
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u64>,
    /// The code of the rule that it broke.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'static str>,
}

/// What became of an operation.
#[utoipa::path(
    get, path = "/v1/operations/{hash}",
    params(("hash" = String, Path, description = "the operation's hash, lowercase hex")),
    responses((status = 200, body = ReceiptBody), (status = 400), (status = 404))
)]
async fn receipt(
    State(rpc): State<Rpc>,
    Path(hash): Path<String>,
) -> Result<Json<ReceiptBody>, Problem> {
    let id: Hash32 = hash.parse().map_err(|_| bad_hex("operation.hash"))?;
    let body = match rpc.machine.receipt(&id).map_err(unavailable)? {
        Some((height, None)) => ReceiptBody {
            status: "accepted",
            height: Some(height),
            rule: None,
        },
        Some((height, Some(rule))) if !rpc.mempool.contains(&id) => ReceiptBody {
            status: "refused",
            height: Some(height),
            rule: Some(rule.code()),
        },
        _ if rpc.mempool.contains(&id) => ReceiptBody {
            status: "pending",
            height: None,
            rule: None,
        },
        _ => {
            return Err(Problem::not_found(
                "operation.unknown",
                "the operation waits here or is in a final block",
                "hand it in, or ask the node that took it",
            ));
        }
    };
    Ok(Json(body))
}

/// The network's genesis. Compare its digest with a source you trust.
#[utoipa::path(
    get, path = "/v1/genesis",
    responses((status = 200, content_type = "application/cbor", body = Vec<u8>))
)]
async fn genesis(State(rpc): State<Rpc>) -> Response {
    cbor(rpc.machine.genesis().encode())
}

/// The newest slot checkpoint.
#[utoipa::path(
    get, path = "/v1/checkpoint",
    responses((status = 200, content_type = "application/cbor", body = Vec<u8>), (status = 503))
)]
async fn checkpoint(State(rpc): State<Rpc>) -> Result<Response, Problem> {
    let committed = |machine: &Machine| Ok((machine.store().committed_height().unwrap_or(0), ()));
    let (checkpoint, ()) = rpc.sealed(committed).await?;
    Ok(cbor(codec::encode(&checkpoint)))
}

/// The value under a key, or its absence, with proof and checkpoint.
#[utoipa::path(
    get, path = "/v1/state/{key}",
    params(("key" = String, Path, description = "a full state key: 32 bytes in lowercase hex")),
    responses(
        (status = 200, content_type = "application/cbor", body = Vec<u8>),
        (status = 400), (status = 503)
    )
)]
async fn state(State(rpc): State<Rpc>, Path(key): Path<String>) -> Result<Response, Problem> {
    let key: Hash32 = key.parse().map_err(|_| bad_hex("state.key"))?;
    Ok(cbor(rpc.answer(&key.0).await?.encode()))
}

/// Which version.
#[derive(Deserialize)]
struct PastQuery {
    seq: Option<u64>,
    time_ms: Option<u64>,
}

/// What a DID was in earlier states, with the proofs of then: a canonical array of the last version up to
/// the one that is asked for and of the one that followed it, without the newest. Empty where nothing is
/// kept.
#[utoipa::path(
    get, path = "/v1/past/{key}",
    params(
        ("key" = String, Path, description = "a DID's state key: 32 bytes in lowercase hex"),
        ("seq" = Option<u64>, Query, description = "the version's sequence number"),
        ("time_ms" = Option<u64>, Query, description = "or a time at which it stood, Unix milliseconds"),
    ),
    responses(
        (status = 200, content_type = "application/cbor", body = Vec<u8>),
        (status = 400), (status = 503)
    )
)]
async fn past(
    State(rpc): State<Rpc>,
    Path(key): Path<String>,
    Query(query): Query<PastQuery>,
) -> Result<Response, Problem> {
    let key: Hash32 = key.parse().map_err(|_| bad_hex("state.key"))?;
    let of = match (query.seq, query.time_ms) {
        (Some(seq), None) => PastOf::Seq(seq),
        (None, Some(time_ms)) => PastOf::TimeMs(time_ms),
        _ => {
            return Err(Problem::bad_request(
                "state.past",
                "an earlier version is asked for by its number or by a time",
                "give either seq or time_ms",
            ));
        }
    };
    Ok(cbor(codec::encode(&rpc.past(&key.0, of).await?)))
}

/// Which hand-overs.
#[derive(Deserialize)]
struct HandOversFrom {
    /// The number of the term that the reader knows; the genesis' own if absent.
    #[serde(default)]
    from: u64,
}

/// The proofs by which a reader goes on from the committee that it knows to the one that runs: a
/// canonical array of the committee's records with their proofs, each certified by the term before the one
/// that it names. At most 16 at a time.
#[utoipa::path(
    get, path = "/v1/handovers",
    params(("from" = Option<u64>, Query, description = "the number of the term that is known")),
    responses((status = 200, content_type = "application/cbor", body = Vec<u8>), (status = 503))
)]
async fn hand_overs(
    State(rpc): State<Rpc>,
    Query(HandOversFrom { from }): Query<HandOversFrom>,
) -> Result<Response, Problem> {
    let machine = rpc.machine.clone();
    let kept = tokio::task::spawn_blocking(move || machine.hand_overs(from)).await;
    let kept = kept
        .map_err(|_| Problem::internal())?
        .map_err(unavailable)?;
    Ok(cbor(codec::encode(&kept)))
}

/// Where other networks are, as this node's operator says: a canonical array of their geneses and the
/// addresses of their nodes. Which of them this network recognises is on the ledger, by the digest.
#[utoipa::path(
    get, path = "/v1/networks",
    responses((status = 200, content_type = "application/cbor", body = Vec<u8>))
)]
async fn networks(State(rpc): State<Rpc>) -> Response {
    cbor(rpc.other_networks.to_vec())
}

/// All keys that begin with some bits, with the proof that these are all.
#[utoipa::path(
    get, path = "/v1/buckets/{prefix}/{bits}",
    params(
        ("prefix" = String, Path, description = "the first bytes in lowercase hex, spare bits zero"),
        ("bits" = usize, Path, description = "how many bits count: 8 to 256")
    ),
    responses(
        (status = 200, content_type = "application/cbor", body = Vec<u8>),
        (status = 400), (status = 503)
    )
)]
async fn bucket(
    State(rpc): State<Rpc>,
    Path((prefix, bits)): Path<(String, usize)>,
) -> Result<Response, Problem> {
    let bytes = hex::decode(&prefix).map_err(|_| bad_hex("bucket.prefix"))?;
    let family = bytes.first().copied().and_then(Family::from_byte);
    let prefix = Prefix::new(&bytes, bits).map_err(|error| {
        Problem::bad_request(
            error.code(),
            error.to_string(),
            "send as many bytes as the bits need, with the spare bits zero",
        )
    })?;
    if bits < 8 || family.is_none() {
        return Err(Problem::bad_request(
            "bucket.family",
            "a bucket lies within one family: at least the 8 bits of its byte",
            "begin the prefix with a family byte of spec/state.md",
        ));
    }
    let (checkpoint, bucket) = rpc
        .sealed(move |machine| {
            let proved = machine.store().bucket(&prefix)?;
            Ok((proved.height, proved.bucket))
        })
        .await?;
    Ok(cbor(BucketAnswer { checkpoint, bucket }.encode()))
}

/// The final block at a height.
#[utoipa::path(
    get, path = "/v1/blocks/{height}",
    params(("height" = u64, Path, description = "from 1")),
    responses(
        (status = 200, content_type = "application/cbor", body = Vec<u8>),
        (status = 404)
    )
)]
async fn block(State(rpc): State<Rpc>, Path(height): Path<u64>) -> Result<Response, Problem> {
    let block = rpc.machine.block(height).map_err(unavailable)?;
    match block {
        Some(block) => Ok(cbor(block.encode())),
        None => Err(Problem::not_found(
            "block.unknown",
            "there is a final block at this height",
            "ask for a height from 1 to that of /v1/status",
        )),
    }
}

/// Where the node stands.
#[derive(Serialize, ToSchema)]
struct Status {
    network: String,
    /// Digest of the genesis, to compare.
    genesis: String,
    height: u64,
    /// The newest slot that can be proved, and its checkpoint's height.
    slot: u64,
    checkpoint_height: Option<u64>,
    /// Unix milliseconds of the newest final block.
    time_ms: u64,
    waiting_operations: usize,
    validators: usize,
    /// The version of the rules that the next block runs under.
    rules: u8,
    /// The height from which decided parameters stand that do not yet.
    next_parameters: Option<u64>,
    /// This node's part in the running term: `votes`, `follows`, or `share-missing` where it should vote
    /// and has nothing to vote by.
    part: &'static str,
    /// The same of the next term, once it is decided.
    next_part: Option<&'static str>,
    /// The number of the term that orders the next block, and its first height.
    term: u64,
    term_first: u64,
    /// The first height of the term that follows, once governance has decided it.
    next_term: Option<u64>,
}

impl Rpc {
    /// Takes in operations from a client.
    async fn admit(&self, operations: Vec<Bytes>) -> Result<Vec<Result<Hash32, Problem>>, Problem> {
        let (machine, mempool) = (self.machine.clone(), self.mempool.clone());
        let admitting = move || admit(&machine, &mempool, operations, By::Client, unix_ms());
        let admitted = tokio::task::spawn_blocking(admitting).await;
        let refused = |refusal| match refusal {
            NotAdmitted::Codec(error) => Problem::bad_request(
                error.code(),
                error.to_string(),
                "send one signed operation in canonical CBOR, as spec/operations.md says",
            ),
            NotAdmitted::Rule(rule) => Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                rule.code(),
                rule.text(),
                "read the current state, correct the operation and sign it again",
            ),
            NotAdmitted::NoRoom(refused) => {
                let parameters = self.machine.parameters_at(self.machine.tip().height + 1);
                overloaded(refused, &parameters, self.mempool.len())
            }
        };
        let admitted = admitted.map_err(|_| Problem::internal())?;
        Ok(admitted
            .map_err(unavailable)?
            .into_iter()
            .map(|taken| taken.map_err(refused))
            .collect())
    }

    /// What is kept of the earlier versions of a DID.
    async fn past(&self, key: &Key, of: PastOf) -> Result<Vec<PastAnswer>, Problem> {
        let (machine, key) = (self.machine.clone(), *key);
        let is_before = move |record: &DidRecord| match of {
            PastOf::Seq(seq) => record.seq <= seq,
            PastOf::TimeMs(time_ms) => record.updated_ms <= time_ms,
        };
        let found = tokio::task::spawn_blocking(move || machine.past(&key, is_before)).await;
        found.map_err(|_| Problem::internal())?.map_err(unavailable)
    }

    /// Brings this node's own reader to the term of a checkpoint, by the hand-overs that are kept here.
    async fn follow(&self, checkpoint: &Checkpoint) -> Result<(), Problem> {
        let wanted = claimed_epoch(&checkpoint.certificate.0).unwrap_or(0);
        let newest = || {
            let light = self.light.lock().unwrap_or_else(PoisonError::into_inner);
            light.newest_term()
        };
        while newest() < wanted {
            let (machine, before) = (self.machine.clone(), newest());
            let kept = tokio::task::spawn_blocking(move || machine.hand_overs(before)).await;
            let kept = kept
                .map_err(|_| Problem::internal())?
                .map_err(unavailable)?;
            let mut light = self.light.lock().unwrap_or_else(PoisonError::into_inner);
            for hand_over in &kept {
                if let Err(error) = light.hand_over(hand_over) {
                    tracing::error!(
                        code = error.code(),
                        "this node's own hand-over does not hold"
                    );
                    break;
                }
            }
            if light.newest_term() == before {
                break;
            }
        }
        Ok(())
    }

    fn status(&self) -> Status {
        let progress = self.machine.watch().borrow().clone();
        let genesis = self.machine.genesis();
        let next = progress.tip.height + 1;
        let coming = progress.parameters.next.as_ref().map(|next| next.from);
        let rules = progress.parameters.at(next).rules;
        let committee = progress.committee.from(next);
        let checkpoint_height = progress
            .checkpoint
            .and_then(|found| realdid_core::header::Header::decode(&found.header.0).ok())
            .map(|header| header.height);
        Status {
            network: genesis.network.to_string(),
            genesis: genesis.digest().to_string(),
            height: progress.tip.height,
            slot: progress.closed.slot,
            checkpoint_height,
            time_ms: progress.tip.time_ms,
            waiting_operations: self.mempool.len(),
            validators: committee.running.validators.len(),
            part: self.voter.part(&committee.running),
            next_part: committee
                .next
                .as_ref()
                .map(|next| self.voter.part(&next.term)),
            term: committee.running.number,
            term_first: committee.running.first,
            next_term: committee.next.map(|next| next.term.first),
            rules,
            next_parameters: coming.filter(|from| *from > next),
        }
    }

    /// The answer about one key of the newest sealed state.
    async fn answer(&self, key: &Key) -> Result<StateAnswer, Problem> {
        let key = *key;
        let (checkpoint, proved) = self
            .sealed(move |machine| {
                let proved = machine.store().prove(&key)?;
                Ok((proved.height, proved))
            })
            .await?;
        Ok(StateAnswer {
            checkpoint,
            value: proved.value.map(Bytes),
            proof: proved.proof,
        })
    }

    /// Reads from the committed state and pairs what was read with the checkpoint that seals
    /// that very state. Right after a slot closes the seal is a block away: it is waited for.
    async fn sealed<T: Send + 'static>(
        &self,
        read: impl Fn(&Machine) -> Result<(u64, T), StoreError> + Send + Sync + 'static,
    ) -> Result<(Checkpoint, T), Problem> {
        let read = Arc::new(read);
        let mut progress = self.machine.watch();
        let waited = tokio::time::timeout(SEAL_WAIT, async {
            loop {
                progress.borrow_and_update();
                let (machine, reading) = (self.machine.clone(), read.clone());
                let (height, value) = tokio::task::spawn_blocking(move || reading(&machine))
                    .await
                    .map_err(|_| Problem::internal())?
                    .map_err(|error| unavailable(error.into()))?;
                let checkpoint = {
                    let now = progress.borrow();
                    now.checkpoint
                        .clone()
                        .filter(|_| now.closed.height == height)
                };
                if let Some(checkpoint) = checkpoint {
                    return Ok(((*checkpoint).clone(), value));
                }
                if progress.changed().await.is_err() {
                    return Err(Problem::internal());
                }
            }
        })
        .await;
        waited.unwrap_or_else(|_| {
            Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "node.no_checkpoint",
                "a certified checkpoint of the newest state exists",
                "try again in a second; if it stays, the network is not finalising",
            )
            .retry_after(1))
        })
    }
}

/// Where the node stands.
#[utoipa::path(get, path = "/v1/status", responses((status = 200, body = Status)))]
async fn status(State(rpc): State<Rpc>) -> Json<Status> {
    Json(rpc.status())
}

/// One line of the block table.
struct BlockLine {
    height: u64,
    time: String,
    operations: usize,
    sealed_slot: u64,
    digest: String,
}

#[derive(askama::Template)]
#[template(path = "explorer.html")]
struct Explorer {
    status: Status,
    time: String,
    blocks: Vec<BlockLine>,
    parameters: Vec<(&'static str, String)>,
}

/// The explorer's page.
#[utoipa::path(get, path = "/", responses((status = 200, content_type = "text/html", body = String)))]
async fn page(State(rpc): State<Rpc>) -> Result<Html<String>, Problem> {
    let status = rpc.status();
    let mut blocks = Vec::new();
    let lowest = status.height.saturating_sub(19).max(1);
    for height in (lowest..=status.height).rev() {
        if let Some(Block { header, operations }) =
            rpc.machine.block(height).map_err(unavailable)?
        {
            blocks.push(BlockLine {
                height,
                time: resolve::date(header.time_ms),
                operations: operations.len(),
                sealed_slot: header.sealed.slot,
                digest: header.digest().to_string(),
            });
        }
    }
    let p = &rpc.machine.parameters_at(status.height + 1);
    let seconds = |value: u64| format!("{value} s");
    let explorer = Explorer {
        time: resolve::date(status.time_ms),
        status,
        blocks,
        parameters: vec![
            (
                "Least time between blocks",
                format!("{} ms", p.block_interval_ms),
            ),
            ("Slot", seconds(p.slot_s)),
            ("Epoch", seconds(p.epoch_s)),
            ("Refresh lead", seconds(p.refresh_lead_s)),
            ("Delay of a recovery", seconds(p.recovery_delay_s)),
            ("Status period", seconds(p.status_period_s)),
            ("Rules", p.rules.to_string()),
        ],
    };
    explorer.render().map(Html).map_err(|_| Problem::internal())
}

fn cbor(bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/cbor")], bytes).into_response()
}

fn bad_hex(code: &'static str) -> Problem {
    Problem::bad_request(
        code,
        "the value is lowercase hex of the right length",
        "send 64 characters of 0-9 and a-f, or the prefix's bytes",
    )
}

/// The state or the log cannot be read now: this node's matter, logged by its code.
fn unavailable(error: MachineError) -> Problem {
    if let MachineError::Store(StoreError::BucketTooWide { .. }) = error {
        return Problem::bad_request(
            "bucket.too_wide",
            "a bucket holds at most 4096 keys",
            "ask with more bits",
        );
    }
    tracing::error!(code = error.code(), "a question could not be answered");
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        error.code(),
        "the node can read its own disk",
        "try another node; the operator finds the cause under this code in the log",
    )
    .retry_after(5)
}

/// The explorer's style sheet.
#[utoipa::path(get, path = "/style.css", responses((status = 200, content_type = "text/css", body = String)))]
async fn style() -> Response {
    let css = include_str!("../templates/style.css");
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], css).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overload_answers_429_and_says_when_to_try_again() {
        let parameters = Parameters::development();
        for (refused, waiting, seconds) in [
            (Refused::Source, 10, "1"),
            (Refused::Full, 100_000, "6"),
            (Refused::Full, usize::MAX, "60"),
        ] {
            let response = overloaded(refused, &parameters, waiting).into_response();
            assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(response.headers()[header::RETRY_AFTER], seconds);
        }
    }
}
