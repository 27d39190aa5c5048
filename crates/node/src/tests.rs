//! A whole node in one process: real engine, real stores, real HTTP, checked by a light client.

use crate::config::{NodeConfig, Peer, ValidatorKeys};
use crate::engine::deal;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realdid_core::codec::{self, Bytes};
use realdid_core::did::{Inception, Keys, commitment};
use realdid_core::genesis::{Genesis, NetworkKey, Parameters, PeerKey};
use realdid_core::hash::{Hash32, HashFunction};
use realdid_core::operation::{Body, Decision, Operation};
use realdid_core::state::{
    Governance, Issuer, IssuerKey, KeyStatus, KeyUse, ReasonCode, Standing, did_key, governance_key,
};
use realdid_core::suite::{SecretKey, Suite};
use realdid_light::http::NodeClient;
use realdid_light::{DidStanding, Freshness, LightClient};
use realdid_testkit::ports::free_address;
use std::path::Path;
use std::time::Duration;

mod resolution;

const BY: HashFunction = HashFunction::Sha256;

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(Suite::Ed25519, [seed; 32]).unwrap()
}

fn issuer() -> Issuer {
    Issuer {
        url: "https://issuer.example".into(),
        keys: vec![IssuerKey {
            usage: KeyUse::Operation,
            key: key(9).public(),
            status: KeyStatus::Active,
            since: 0,
        }],
        tag_key: None,
        standing: Standing::Active,
        reason: ReasonCode::None,
        enrolment_quota: 0,
        sponsor_quota: 100,
        registration_quota: 0,
        pass_keys: Vec::new(),
    }
}

fn network(dir: &Path, now_ms: u64) -> (Genesis, NodeConfig) {
    let dealt = deal(1, &[5; 32]).unwrap();
    let genesis = Genesis {
        version: 1,
        network: "dev".parse().unwrap(),
        time_ms: now_ms,
        parameters: Parameters {
            slot_s: 1,
            ..Parameters::development()
        },
        network_key: NetworkKey(dealt.network_key.clone().try_into().unwrap()),
        validators: vec![PeerKey(dealt.validators[0].public_key)],
        governance: Governance {
            seq: 0,
            threshold: 1,
            keys: vec![key(8).public()],
        },
        issuers: vec![issuer()],
        ceremony: None,
        predecessor: None,
    };
    std::fs::write(dir.join("genesis.cbor"), genesis.encode()).unwrap();
    ValidatorKeys::dealt(&dealt.validators[0], &dealt.polynomial)
        .write(&dir.join("validator.json"))
        .unwrap();
    let p2p_listen = free_address();
    let config = NodeConfig {
        recognised: Vec::new(),
        key_days: None,
        dir: dir.to_path_buf(),
        genesis: dir.join("genesis.cbor"),
        listen: free_address(),
        public_url: None,
        tls: None,
        p2p_listen,
        private_network: false,
        peers: vec![Peer {
            public_key: hex::encode(dealt.validators[0].public_key),
            address: p2p_listen,
        }],
        supervised: false,
    };
    (genesis, config)
}

/// Runs the node and waits until it proves.
async fn start(config: &NodeConfig, node: &NodeClient) {
    let running = tokio::spawn(crate::run(config.clone()));
    let until = std::time::Instant::now() + Duration::from_secs(30);
    while node.checkpoint().await.is_err() {
        assert!(
            !running.is_finished(),
            "the node ended: {:?}",
            running.await
        );
        assert!(std::time::Instant::now() < until, "no checkpoint in 30 s");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_committee_of_one_orders_and_proves() {
    let dir = tempfile::tempdir().unwrap();
    let (genesis, config) = network(dir.path(), crate::host::unix_ms());
    let node = NodeClient::new(vec![format!("http://{}", config.listen)]).unwrap();
    let inception = Inception {
        version: 1,
        network: genesis.network.clone(),
        keys: Keys {
            current: vec![key(1).public()],
            next: commitment(&key(2).public()),
            recovery: commitment(&key(3).public()),
        },
        endpoints: vec![],
    };
    start(&config, &node).await;
    let mut light = LightClient::new(node.genesis().await.unwrap());
    assert_eq!(light.genesis().digest(), genesis.digest());
    light.advance(&node.checkpoint().await.unwrap()).unwrap();

    // absent, proved; then anchored, proved
    let freshness = || Freshness {
        now_ms: crate::host::unix_ms(),
        max_age_ms: 30_000,
        max_lag_slots: 5,
    };
    let did = inception.did();
    let absent = node.state(&did_key(BY, &did.id)).await.unwrap();
    let state = light
        .did(&did, Some(&inception), &absent, &freshness())
        .unwrap();
    assert!(matches!(state.standing, DidStanding::Implicit(_)));
    let anchor = Operation::new(
        genesis.network.clone(),
        5_000,
        Body::Anchor(inception.clone()),
    )
    .sign(&[&key(1)])
    .sponsored(issuer().id(BY), &key(9));
    let wait = Duration::from_secs(20);
    let height = node.submit_and_wait(&anchor, wait).await.unwrap();
    let answer = node
        .state_at_least(&did_key(BY, &did.id), height, wait)
        .await
        .unwrap();
    let state = light.did(&did, None, &answer, &freshness()).unwrap();
    assert!(matches!(state.standing, DidStanding::Anchored(_)));
    assert_eq!(node.submit_and_wait(&anchor, wait).await.unwrap(), height);

    // the node answers as the light client does, and refuses what a rule refuses
    let url = format!("http://{}/1.0/identifiers/{did}", config.listen);
    let result: serde_json::Value = reqwest::get(&url).await.unwrap().json().await.unwrap();
    assert_eq!(result["didResolutionMetadata"]["verified"], true);
    assert_eq!(result["didDocument"]["id"], did.to_string());
    let thief = Operation::new(genesis.network.clone(), 5_000, Body::Deactivate(did.id, 1))
        .sign(&[&key(7)]);
    let refused = node.submit(&thief).await.unwrap_err();
    assert_eq!(refused.code(), "op.signer");

    // a batch: each by itself
    let batch = async |body: Vec<u8>| {
        let url = format!("http://{}/v1/operations/batch", config.listen);
        let sent = reqwest::Client::new().post(url).body(body).send().await;
        let answer = sent.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json::<serde_json::Value>().await.unwrap())
    };
    let junk = Bytes(vec![0; 9]);
    let each = vec![Bytes(thief.encode()), Bytes(anchor.encode()), junk];
    let (status, answer) = batch(codec::encode(&each)).await;
    let expected = serde_json::json!([
        {"status": 422, "code": "op.signer"},
        {"status": 202, "hash": anchor.id().to_string()},
        {"status": 400, "code": "codec.malformed"},
    ]);
    assert_eq!((status, &answer["operations"]), (200, &expected));
    for (body, code) in [
        (codec::encode(&Vec::<Bytes>::new()), "operation.empty_batch"),
        (anchor.encode(), "codec.malformed"),
        (vec![], "codec.malformed"),
    ] {
        let (status, answer) = batch(body).await;
        assert_eq!((status, &answer["code"]), (400, &code.into()));
    }
    assert_eq!(batch(vec![0; 64 * 1024 + 1]).await.0, 413);

    // who decided what, in the public record once the slot is closed, with its proof
    let decision = Decision::Governors(1, vec![key(8).public(), key(6).public()]);
    let decide = Operation::new(
        genesis.network.clone(),
        5_000,
        Body::Govern(1, decision, ReasonCode::Scheduled),
    )
    .sign(&[&key(8)]);
    let height = node.submit_and_wait(&decide, wait).await.unwrap();
    node.state_at_least(&governance_key(BY), height, wait)
        .await
        .unwrap();
    let decisions = async |query: &str| {
        let url = format!("http://{}/v1/decisions{query}", config.listen);
        let answer = reqwest::get(&url).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, listed) = decisions("").await;
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((status, &listed["newest"]), (200, &1.into()));
    let one = &listed["decisions"][0];
    assert_eq!(one["height"], height);
    assert_eq!(one["operation"], decide.id().to_string());
    assert_eq!(one["decision"], "governors");
    let record: Hash32 = one["state_key"].as_str().unwrap().parse().unwrap();
    let answer = node.state(&record.0).await.unwrap();
    let record = URL_SAFE_NO_PAD.encode(answer.value.unwrap().0);
    assert_eq!(one["record"], record);
    let (_, none) = decisions("?after=1").await;
    assert_eq!(none, r#"{"newest":1,"decisions":[]}"#);
    assert_eq!(decisions("?after=-1").await.0, 400);
}
