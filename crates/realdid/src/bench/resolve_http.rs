//! `resolve_http`: anchored DIDs resolved at a real node, over HTTP on loopback.

use super::apply::folder;
use super::network::{Committee, http};
use super::traffic::Traffic;
use super::{Measured, broken, clock};
use crate::fail::Fail;
use futures::future::try_join_all;
use realdid_core::codec;
use realdid_core::did::Did;
use realdid_core::state::did_key;
use realdid_light::http::NodeClient;
use realdid_node::store::{NomtOptions, NomtStore, StateStore};
use std::time::{Duration, Instant};

/// DIDs on the ledger.
const DIDS: u64 = 1_000;
/// Requests under way at a time.
const PARALLEL: u64 = 8;
const ANCHOR_WAIT: Duration = Duration::from_secs(60);

pub async fn measure() -> Result<Measured, Fail> {
    let traffic = Traffic::new()?;
    let node = Committee::start(&traffic, 1).await?;
    let dids = anchor(&node, &traffic).await?;
    let urls: Vec<String> = dids
        .iter()
        .map(|did| format!("{}/1.0/identifiers/{did}", node.url(0)))
        .collect();
    let length = clock::length();
    load(&urls, length / 4).await?;
    let before_s = node.cpu_s(0)?;
    let resolved = load(&urls, length).await?;
    let ours = resolved as f64 / (node.cpu_s(0)? - before_s);
    drop(node);
    Ok(Measured {
        id: "resolve_http",
        workload: "1,000 anchored DIDs resolved in turn over HTTP on loopback, 8 at a time, each with its proof and \
                   checkpoint; the node's process, its consensus included".into(),
        unit: "resolutions/cpu-s",
        ours,
        limit: Some("the state proof alone"),
        limit_value: Some(tokio::task::block_in_place(|| proofs(&traffic))?),
        goal: None,
    })
}

/// Anchors the DIDs and waits until they can be proved.
async fn anchor(node: &Committee, traffic: &Traffic) -> Result<Vec<Did>, Fail> {
    let client = NodeClient::new(node.urls())?;
    let mut dids = Vec::new();
    let mut last = None;
    for n in 0..DIDS {
        let operation = traffic.anchor(n)?;
        last = Some(client.submit(&operation).await?);
        dids.push(traffic.inception(n)?.0.did());
    }
    let (Some(last), Some(did)) = (last, dids.last()) else {
        return Err(broken("there are DIDs to anchor"));
    };
    // First come, first served: the last one is in the last block.
    let height = client.wait(&last, ANCHOR_WAIT).await?;
    let answer = client
        .state_at_least(
            &did_key(did.network.hash_function(), &did.id),
            height,
            ANCHOR_WAIT,
        )
        .await?;
    let light = realdid_light::LightClient::new(node.genesis.clone());
    let checked = light.checkpoint(&answer.checkpoint)?;
    if checked.header.network != traffic.network || answer.value.is_none() {
        return Err(broken("the anchored DIDs can be proved"));
    }
    Ok(dids)
}

/// Resolves in turn for `length`; answers how many.
async fn load(urls: &[String], length: Duration) -> Result<u64, Fail> {
    let until = Instant::now() + length;
    let client = http()?;
    let worker = async |first: u64| -> Result<u64, Fail> {
        let mut done = 0;
        while Instant::now() < until {
            let url = &urls[((first + done * PARALLEL) % urls.len() as u64) as usize];
            let answer = client
                .get(url)
                .send()
                .await
                .map_err(|_| broken("the node answers"))?;
            let status = answer.status();
            let body = answer
                .bytes()
                .await
                .map_err(|_| broken("the node answers whole"))?;
            // Reading every answer as JSON would be this process's work, and slow the load down.
            if status != 200 || !contains(&body, b"\"verified\":true") {
                return Err(broken(
                    "the node resolves what was anchored, with a verified proof",
                ));
            }
            done += 1;
        }
        Ok(done)
    };
    // One task: making the load takes less than serving it.
    let workers: Vec<_> = (0..PARALLEL).map(worker).collect();
    Ok(try_join_all(workers).await?.iter().sum())
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Proofs a second of processor time from a store that holds as many DIDs.
fn proofs(traffic: &Traffic) -> Result<f64, Fail> {
    let folder = folder()?;
    let store = NomtStore::open(folder.path(), NomtOptions::default()).map_err(Fail::of)?;
    let records: Vec<_> = (0..DIDS).map(|n| traffic.bystander(n)).collect();
    let keys: Vec<_> = records
        .iter()
        .map(|(id, _)| did_key(traffic.network.hash_function(), id))
        .collect();
    let changes = keys.iter().zip(&records);
    let changes: Vec<_> = changes
        .map(|(key, (_, record))| (*key, Some(codec::encode(record))))
        .collect();
    store.commit(0, &changes).map_err(Fail::of)?;
    clock::rate(clock::length() / 2, 1, |round| {
        let proved = store.prove(&keys[round % keys.len()]).map_err(Fail::of)?;
        let found = proved.value.is_some();
        found
            .then_some(())
            .ok_or_else(|| broken("the store proves what it holds"))
    })
}
