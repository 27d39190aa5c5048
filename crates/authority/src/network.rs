//! `GET /v1/network`: which network this part belongs to, for whoever meets it for the first time.
//! A claim like any other: compare the genesis with a source that you trust.

use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use std::path::Path;

use crate::ledger::{LedgerError, read_genesis};

/// The route, answering the genesis (base64url of its canonical bytes), its digest and the nodes.
pub fn route(genesis: &Path, nodes: &[String]) -> Result<Router, LedgerError> {
    let genesis = read_genesis(genesis)?;
    let answer = json!({
        "network": genesis.network.as_str(),
        "genesis": URL_SAFE_NO_PAD.encode(genesis.encode()),
        "genesisDigest": genesis.digest().to_string(),
        "nodes": nodes,
    });
    let handler = move || {
        let answer = answer.clone();
        async move { Json(answer) }
    };
    Ok(Router::new().route("/v1/network", get(handler)))
}
