//! Who decided what, over HTTP: governance's decisions as the committed state has them
//! (spec/operations.md, G1).

use super::{Rpc, unavailable};
use crate::machine::{Machine, MachineError};
use axum::Json;
use axum::extract::{Query, State};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realdid_core::governance::{DecisionRecord, Governance};
use realdid_core::state::{decision_key, decode_record, governance_key};
use realdid_core::suite::PublicKey;
use realdid_serve::Problem;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The most decisions in one answer.
const MAX_DECISIONS: u64 = 100;

/// Which decisions.
#[derive(Deserialize)]
pub(super) struct DecisionsAfter {
    /// Those behind this sequence number; from the first if absent.
    #[serde(default)]
    after: u64,
}

/// Decisions of governance, as the committed state has them.
#[derive(Serialize, ToSchema)]
pub(crate) struct Decisions {
    /// The newest decision's sequence number; 0 where there was none.
    pub newest: u64,
    pub decisions: Vec<DecisionBody>,
}

/// Who decided what.
#[derive(Serialize, ToSchema)]
pub(crate) struct DecisionBody {
    pub seq: u64,
    pub height: u64,
    /// Unix milliseconds of its block.
    time_ms: u64,
    /// The operation's hash: its signatures are in the block.
    operation: String,
    pub decision: &'static str,
    pub reason: &'static str,
    /// The governance keys that signed it: suite, colon, lowercase hex.
    pub keys: Vec<String>,
    /// The whole record in canonical CBOR, base64url without padding. Its proof is at
    /// `/v1/state/{state_key}`.
    pub record: String,
    state_key: String,
}

/// The public record of who decided what, oldest first, at most 100 at a time.
#[utoipa::path(
    get, path = "/v1/decisions",
    params(("after" = Option<u64>, Query, description = "sequence number to begin behind")),
    responses((status = 200, body = Decisions), (status = 503))
)]
pub(super) async fn list(
    State(rpc): State<Rpc>,
    Query(DecisionsAfter { after }): Query<DecisionsAfter>,
) -> Result<Json<Decisions>, Problem> {
    let machine = rpc.machine.clone();
    tokio::task::spawn_blocking(move || read(&machine, after))
        .await
        .map_err(|_| Problem::internal())?
        .map(Json)
        .map_err(unavailable)
}

pub(crate) fn read(machine: &Machine, after: u64) -> Result<Decisions, MachineError> {
    let (by, store) = (machine.genesis().hash_function(), machine.store());
    let governance = store.get(&governance_key(by))?;
    let governance = governance.map(|bytes| decode_record::<Governance>(&bytes));
    let newest = governance
        .transpose()?
        .map_or(0, |governance| governance.seq);
    let mut decisions = Vec::new();
    for seq in after.saturating_add(1)..=newest.min(after.saturating_add(MAX_DECISIONS)) {
        let key = decision_key(by, seq);
        let Some(bytes) = store.get(&key)? else {
            continue;
        };
        let record: DecisionRecord = decode_record(&bytes)?;
        let named =
            |key: &PublicKey| format!("{}:{}", key.suite().name(), hex::encode(key.bytes()));
        decisions.push(DecisionBody {
            seq,
            height: record.height,
            time_ms: record.time_ms,
            operation: record.operation.to_string(),
            decision: record.decision.name(),
            reason: record.reason.name(),
            keys: record.keys.iter().map(named).collect(),
            record: URL_SAFE_NO_PAD.encode(&bytes),
            state_key: hex::encode(key),
        });
    }
    Ok(Decisions { newest, decisions })
}
