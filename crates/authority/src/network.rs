//! `GET /v1/network`: which network this part belongs to, for whoever meets it for the first time.
//! A claim like any other: compare the genesis with a source that you trust.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

use crate::ledger::{LedgerError, read_genesis};

/// Which network this is.
#[utoipa::path(get, path = "/v1/network", tag = "page",
    responses((status = 200, description = "{network, genesis, genesisDigest, nodes}; the genesis in base64url", body = Object)))]
async fn network(State(answer): State<Arc<Value>>) -> Json<Value> {
    Json(answer.as_ref().clone())
}

/// The description of the route.
#[derive(utoipa::OpenApi)]
#[openapi(paths(network))]
pub(crate) struct Api;

/// The route, answering the genesis (base64url of its canonical bytes), its digest and the nodes.
pub fn route(genesis: &Path, nodes: &[String]) -> Result<Router, LedgerError> {
    let genesis = read_genesis(genesis)?;
    let answer = json!({
        "network": genesis.network.as_str(),
        "genesis": URL_SAFE_NO_PAD.encode(genesis.encode()),
        "genesisDigest": genesis.digest().to_string(),
        "nodes": nodes,
    });
    let route = Router::new().route("/v1/network", get(network));
    Ok(route.with_state(Arc::new(answer)))
}
