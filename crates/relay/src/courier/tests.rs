//! A courier between two networks whose nodes answer over HTTP: one has a history that a test writes, the
//! other judges by the ledger's own rules.

use super::*;
use axum::Router;
use axum::body::Bytes as Posted;
use axum::extract::{Path as UrlPath, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use realdid_core::answer::HandOver;
use realdid_core::governance::{Accepted, Assurance, CredentialType, Recognised};
use realdid_core::header::Header;
use realdid_core::operation::{Decision, SignedOperation};
use realdid_core::state::ReasonCode;
use realdid_testkit::chain::TestLedger;
use realdid_testkit::ledger::TestNet;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// The network that is read.
struct Abroad {
    ledger: TestLedger,
    hand_overs: Vec<HandOver>,
    /// What its node answers.
    checkpoint: Checkpoint,
}

/// The network whose ledger is told: one part judges, the other proves.
struct Home {
    net: TestNet,
    ledger: TestLedger,
    /// What was accepted, in its order.
    kinds: Vec<&'static str>,
}

type Shared<T> = Arc<Mutex<T>>;

impl Abroad {
    fn new() -> Self {
        let mut ledger = TestLedger::new(now_ms() - 100_000, Vec::new());
        let checkpoint = ledger.seal(now_ms() - 90_000);
        Self {
            ledger,
            hand_overs: Vec::new(),
            checkpoint,
        }
    }

    fn seal(&mut self) {
        self.checkpoint = self.ledger.seal(now_ms());
    }

    /// Hands on to the committee of a seed, whose first header is final.
    fn hand_on(&mut self, seed: u8, first: u64) {
        self.hand_overs.push(self.ledger.decide_term(seed, first));
        self.ledger.begin_term(seed);
        self.seal();
    }
}

impl Home {
    /// It recognises the other one, under rules of a version.
    fn new(abroad: &TestLedger, rules: u8) -> Self {
        let mut ledger = TestLedger::named("cn", 31, now_ms(), Vec::new());
        let net = TestNet::with(|genesis| {
            genesis.network = "cn".parse().unwrap();
            genesis.network_key = ledger.genesis.network_key;
            genesis.time_ms = now_ms();
            genesis.parameters.rules = rules;
        });
        ledger.genesis = net.genesis.clone();
        let mut home = Self {
            net,
            ledger,
            kinds: Vec::new(),
        };
        let recognised = Recognised {
            network: abroad.genesis.network.clone(),
            genesis: abroad.genesis.digest(),
            network_key: abroad.genesis.network_key,
            accepts: vec![Accepted {
                kind: CredentialType::Pid,
                least: Assurance::Low,
            }],
            begins: None,
        };
        let decide = Body::Govern(1, Decision::Recognise(recognised), ReasonCode::Scheduled);
        let by: Vec<_> = home.net.governors.iter().take(2).collect();
        let decide = home.net.sign(decide, &by);
        home.judge(&decide).unwrap();
        home.kinds.clear();
        home
    }

    fn judge(&mut self, signed: &SignedOperation) -> Result<(), Rule> {
        self.net.admissible(signed)?;
        self.net.apply(signed)?;
        self.kinds.push(match &signed.operation.body {
            Body::ForeignCheckpoint(..) => "checkpoint",
            Body::ForeignHandOver(..) => "hand-over",
            Body::ForeignFork(..) => "fork",
            _ => "other",
        });
        let key = recognition_key(self.net.genesis.hash_function(), "dev");
        let record = self.net.state().remove(&key);
        self.ledger.set(key, record, now_ms());
        Ok(())
    }

    fn recognition(&self) -> Recognition {
        let key = recognition_key(self.net.genesis.hash_function(), "dev");
        self.net.record(&key).unwrap()
    }
}

async fn listen(router: Router) -> NodeClient {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    NodeClient::new(vec![url]).unwrap()
}

async fn newest_abroad(State(abroad): State<Shared<Abroad>>) -> Vec<u8> {
    codec::encode(&abroad.lock().unwrap().checkpoint)
}

async fn hand_overs(
    State(abroad): State<Shared<Abroad>>,
    Query(query): Query<HashMap<String, usize>>,
) -> Vec<u8> {
    let abroad = abroad.lock().unwrap();
    codec::encode(&abroad.hand_overs[query["from"]..].to_vec())
}

async fn state(State(home): State<Shared<Home>>, UrlPath(key): UrlPath<String>) -> Vec<u8> {
    let home = home.lock().unwrap();
    let asked = recognition_key(home.net.genesis.hash_function(), "dev");
    assert_eq!(
        key,
        asked.iter().map(|b| format!("{b:02x}")).collect::<String>()
    );
    home.ledger.answer(&asked).encode()
}

async fn submit(
    State(home): State<Shared<Home>>,
    bytes: Posted,
) -> (StatusCode, axum::Json<Value>) {
    let signed = SignedOperation::decode(&bytes).unwrap();
    match home.lock().unwrap().judge(&signed) {
        Ok(()) => (
            StatusCode::ACCEPTED,
            json!({"hash": signed.id().to_string()}).into(),
        ),
        Err(rule) => {
            let refused = json!({"code": rule.code()});
            (StatusCode::UNPROCESSABLE_ENTITY, refused.into())
        }
    }
}

async fn receipt() -> axum::Json<Value> {
    json!({"status": "accepted", "height": 1}).into()
}

struct Scene {
    abroad: Shared<Abroad>,
    home: Shared<Home>,
    courier: Courier,
    folder: tempfile::TempDir,
}

impl Scene {
    async fn new(rules: u8) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let abroad = Abroad::new();
        let home = Home::new(&abroad.ledger, rules);
        let genesis = (abroad.ledger.genesis.clone(), home.net.genesis.clone());
        let (abroad, home) = (Arc::new(Mutex::new(abroad)), Arc::new(Mutex::new(home)));
        let from = Router::new()
            .route("/v1/checkpoint", get(newest_abroad))
            .route("/v1/handovers", get(hand_overs))
            .with_state(abroad.clone());
        let to = Router::new()
            .route("/v1/state/{key}", get(state))
            .route("/v1/operations", post(submit))
            .route("/v1/operations/{hash}", get(receipt))
            .with_state(home.clone());
        let (from, to) = (listen(from).await, listen(to).await);
        let courier = Courier::new(folder.path(), (genesis.0, from), (genesis.1, to)).unwrap();
        Self {
            abroad,
            home,
            courier,
            folder,
        }
    }

    fn abroad<T>(&self, change: impl FnOnce(&mut Abroad) -> T) -> T {
        change(&mut self.abroad.lock().unwrap())
    }

    fn recognition(&self) -> Recognition {
        self.home.lock().unwrap().recognition()
    }

    fn carried(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.home.lock().unwrap().kinds)
    }
}

#[tokio::test]
async fn hand_overs_are_carried_before_the_checkpoint_that_they_lead_to() {
    let mut scene = Scene::new(4).await;
    scene.courier.carry().await.unwrap();
    assert_eq!(scene.carried(), ["checkpoint"]);
    scene.abroad(|abroad| {
        abroad.hand_on(8, 200);
        abroad.hand_on(9, 400);
    });
    scene.courier.carry().await.unwrap();
    assert_eq!(scene.carried(), ["hand-over", "hand-over", "checkpoint"]);
    let kept = scene.recognition();
    let newest = scene.abroad(|abroad| abroad.ledger.newest().digest());
    assert_eq!(kept.latest.unwrap().digest, newest);
    let terms = kept.terms();
    assert_eq!((terms.known().len(), terms.newest()), (1, 2));
    // Nothing is new, so nothing is carried.
    scene.courier.carry().await.unwrap();
    assert!(scene.carried().is_empty());
}

#[tokio::test]
async fn rules_that_know_no_hand_overs_are_shown_checkpoints_all_the_same() {
    let mut scene = Scene::new(3).await;
    scene.courier.carry().await.unwrap();
    // Under the same key, which the recognition has.
    scene.abroad(|abroad| abroad.hand_on(7, 200));
    scene.courier.carry().await.unwrap();
    assert_eq!(scene.carried(), ["checkpoint", "checkpoint"]);
    assert_eq!(scene.recognition().latest.unwrap().height, 201);
}

#[tokio::test]
async fn a_fork_is_kept_and_shown_to_the_ledger() {
    let mut scene = Scene::new(4).await;
    scene.courier.carry().await.unwrap();
    let (one, other) = scene.abroad(|abroad| {
        let mut twin = abroad.ledger.newest().clone();
        twin.time_ms += 1;
        let one = std::mem::replace(&mut abroad.checkpoint, abroad.ledger.certify(&twin));
        (one, abroad.checkpoint.clone())
    });
    let refused = scene.courier.carry().await.unwrap_err();
    assert_eq!(refused.code(), "light.fork");
    assert_eq!(scene.carried(), ["checkpoint", "fork"]);
    let kept = scene.recognition();
    assert_eq!(
        (kept.standing, kept.reason),
        (Standing::Suspended, ReasonCode::Fork)
    );
    let fork = kept.fork.unwrap();
    for shown in [&one, &other] {
        let digest = Header::decode(&shown.header.0).unwrap().digest();
        assert!([fork.one, fork.other].contains(&digest));
    }
    let evidence = std::fs::read(scene.folder.path().join("fork.cbor")).unwrap();
    assert_eq!(evidence, codec::encode(&(Some(one), other)));
    // It stays a fork, and is shown once.
    let refused = scene.courier.carry().await.unwrap_err();
    assert_eq!(refused.code(), "light.fork");
    assert!(scene.carried().is_empty());
}

#[tokio::test]
async fn a_fork_goes_to_governance_alone_where_the_rules_know_none() {
    let mut scene = Scene::new(3).await;
    scene.courier.carry().await.unwrap();
    scene.abroad(|abroad| {
        let mut twin = abroad.ledger.newest().clone();
        twin.time_ms += 1;
        abroad.checkpoint = abroad.ledger.certify(&twin);
    });
    let refused = scene.courier.carry().await.unwrap_err();
    assert_eq!(refused.code(), "light.fork");
    assert_eq!(scene.carried(), ["checkpoint"]);
    assert_eq!(scene.recognition().standing, Standing::Active);
    assert!(scene.folder.path().join("fork.cbor").exists());
}
