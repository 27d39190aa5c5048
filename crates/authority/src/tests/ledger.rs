//! What an authority knows of its network's committees, it knows after a restart.

use crate::ledger::Ledger;
use crate::text::Clock;
use axum::Router;
use axum::routing::get;
use realdid_core::answer::HandOver;
use realdid_core::codec;
use realdid_core::header::Checkpoint;
use realdid_testkit::chain::TestLedger;
use realdid_testkit::ledger::START_MS;
use std::path::Path;

/// A node that serves one checkpoint, and these hand-overs.
async fn node(checkpoint: &Checkpoint, hand_overs: Vec<HandOver>) -> String {
    let serve = |bytes: Vec<u8>| get(move || std::future::ready(bytes.clone()));
    let router = Router::new()
        .route("/v1/checkpoint", serve(codec::encode(checkpoint)))
        .route("/v1/handovers", serve(codec::encode(&hand_overs)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

#[tokio::test]
async fn an_authority_follows_its_network_from_committee_to_committee_and_remembers_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = TestLedger::new(START_MS, Vec::new());
    let genesis = folder.path().join("genesis.cbor");
    std::fs::write(&genesis, ledger.genesis.encode()).unwrap();
    let hand_over = ledger.decide_term(8, 200);
    let mut old = ledger.clone();
    ledger.begin_term(8);
    let newest = ledger.seal(START_MS + 600_000);
    let tip = async |dir: &Path, checkpoint: &Checkpoint, hand_overs: Vec<HandOver>| {
        let nodes = [node(checkpoint, hand_overs).await];
        let ledger = Ledger::open(&nodes, &genesis, dir, Clock::system()).unwrap();
        ledger.tip().await.map_err(|error| error.code().to_owned())
    };
    let [dir, other] = ["one", "other"].map(|name| folder.path().join(name));
    for dir in [&dir, &other] {
        std::fs::create_dir(dir).unwrap();
    }

    // Nobody proves the new key.
    let unknown = Err("light.term_unknown".to_owned());
    assert_eq!(tip(&dir, &newest, vec![]).await.map(|_| ()), unknown);
    assert!(tip(&dir, &newest, vec![hand_over]).await.is_ok());
    // A process that begins now knows it, and takes the old key for what it is.
    assert!(tip(&dir, &newest, vec![]).await.is_ok());
    while old.newest().height < 200 {
        old.seal(START_MS + 600_000);
    }
    let stale = tip(&dir, &old.checkpoint(), vec![]).await.map(|_| ());
    assert_eq!(stale, Err("light.term".to_owned()));
    // Whoever has the genesis alone would have believed it.
    assert!(tip(&other, &old.checkpoint(), vec![]).await.is_ok());

    // What is none of this network's terms is not taken.
    let strange = TestLedger::with_validators(9, START_MS, Vec::new());
    let mut light = realdid_light::LightClient::new(strange.genesis.clone());
    light
        .hand_over(&strange.clone().decide_term(8, 200))
        .unwrap();
    for bytes in [codec::encode(&light.terms().to_vec()), vec![0x9f]] {
        std::fs::write(other.join("terms.cbor"), bytes).unwrap();
        assert_eq!(tip(&other, &newest, vec![]).await.map(|_| ()), unknown);
    }
}
