//! Status lists as a gate fetches them: from their issuer alone, whole, held against the ledger, and kept for
//! their lifetime.

use super::lies::node;
use super::*;
use crate::follower::Follower;
use crate::statuses::Statuses;
use axum::routing::get;
use realdid_core::hash::Hash32;
use realdid_core::state::{Issuer, KeyStatus, KeyUse, StatusList as ListRecord, status_list_key};
use realdid_credential::jose::Jwk;
use realdid_credential::pid;
use realdid_credential::status::token::{Terms as ListTerms, issue_jwt};
use realdid_credential::status::{Reference, Status, StatusList, Width};
use sha2::{Digest as _, Sha256};
use std::sync::{Arc, Mutex};

/// An issuer that serves what it is told to.
struct Server {
    url: String,
    /// The status code and the body.
    answer: Arc<Mutex<(u16, String)>>,
    asked: Arc<Mutex<usize>>,
}

impl Server {
    async fn start() -> Self {
        let answer = Arc::new(Mutex::new((200, String::new())));
        let asked = Arc::new(Mutex::new(0));
        let (answers, count) = (answer.clone(), asked.clone());
        let serve = move || {
            *count.lock().unwrap() += 1;
            let (status, body) = answers.lock().unwrap().clone();
            async move { (StatusCode::from_u16(status).unwrap(), body) }
        };
        let router: Router = Router::new().route("/status/1", get(serve));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, answer, asked }
    }

    fn serves(&self, list: &StatusList) {
        let uri = format!("{}/status/1", self.url);
        let now_s = now_ms() / 1000;
        let terms = ListTerms {
            uri: &uri,
            kid: &world::kid(&world::p256(1)),
            iat_s: now_s,
            exp_s: now_s + 600,
            ttl_s: 300,
            x5c: &[],
        };
        let jwt = issue_jwt(list, &terms, &world::jose_key(&world::p256(1)));
        *self.answer.lock().unwrap() = (200, jwt.unwrap());
    }

    fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }
}

fn list(suspended: &[u64]) -> StatusList {
    let mut list = StatusList::new(Width::Two, 64).unwrap();
    for idx in suspended {
        list.change(*idx, Status::Suspended).unwrap();
    }
    list
}

/// A PID of this issuer that lives long, whose status stands at this address.
fn long_lived(issuer: &str, uri: &str) -> String {
    let now_s = now_ms() / 1000;
    let key = world::p256(1);
    let terms = sd_jwt::Terms {
        iss: issuer,
        vct: pid::LONG_VCT,
        kid: &world::kid(&key),
        iat_s: now_s - 10,
        exp_s: now_s + 1000,
        x5c: &[],
    };
    let status = Reference {
        uri: uri.to_owned(),
        idx: 7,
    };
    let holder = Jwk(world::jose_key(&world::p256(3)).verifying_key());
    let claims = json!({"given_name": "Wei"});
    let claims = claims.as_object().unwrap();
    let key = world::jose_key(&key);
    let salt = &mut || [5; 16];
    sd_jwt::issue_with_status(claims, &[], &terms, Some(&status), &holder, &key, salt).unwrap()
}

struct Scene {
    town: Town,
    server: Server,
    issuer: Issuer,
    statuses: Statuses,
}

impl Scene {
    async fn new() -> Self {
        let server = Server::start().await;
        Self {
            town: town(),
            issuer: world::issuer(&server.url, KeyUse::Pid, &world::p256(1)),
            server,
            statuses: Statuses::new().unwrap(),
        }
    }

    fn uri(&self) -> String {
        format!("{}/status/1", self.server.url)
    }

    fn ledger_says(&mut self, list: Option<&StatusList>) {
        let uri = self.uri();
        let id = Hash32(Sha256::digest(uri.as_bytes()).into());
        let record = list.map(|list| {
            codec::encode(&ListRecord {
                seq: 0,
                digest: Hash32(list.digest(&uri)),
                height: 1,
            })
        });
        let key = status_list_key(BY, &self.issuer.id(BY), &id);
        self.town.world.ledger.set(key, record, now_ms());
    }

    async fn look_at(&self, pid: &str) -> Result<Option<Status>, &'static str> {
        let home = &self.town.gate.inner.trust.home;
        let node = node(&self.town.world.ledger, |answer| answer.encode()).await;
        let follower = Follower::new(&[node]).unwrap();
        let found = self.statuses.list_of((home, &follower), pid, &self.issuer);
        let list = found.await.map_err(|refusal| refusal.code)?;
        Ok(list.map(|list| list.status(7, now_ms() / 1000).unwrap()))
    }

    async fn look(&self) -> Result<Option<Status>, &'static str> {
        self.look_at(&long_lived(&self.server.url, &self.uri()))
            .await
    }
}

#[tokio::test]
async fn p9_a_list_is_fetched_whole_held_against_the_ledger_and_kept_for_its_lifetime() {
    let mut scene = Scene::new().await;
    let (all, one) = (list(&[]), list(&[7]));
    scene.server.serves(&all);
    // The ledger has no such list, or another version of it.
    scene.ledger_says(None);
    assert_eq!(scene.look().await, Err("status.digest"));
    scene.ledger_says(Some(&one));
    assert_eq!(scene.look().await, Err("status.digest"));
    let before = scene.server.asked();
    scene.server.serves(&one);
    assert_eq!(scene.look().await, Ok(Some(Status::Suspended)));
    assert_eq!(scene.server.asked(), before + 1);
    // Nobody is asked again while it lives, whatever became of issuer and ledger.
    *scene.server.answer.lock().unwrap() = (404, String::new());
    scene.ledger_says(None);
    assert_eq!(scene.look().await, Ok(Some(Status::Suspended)));
    assert_eq!(scene.server.asked(), before + 1);
}

#[tokio::test]
async fn a_gate_goes_nowhere_but_to_the_issuer_for_a_status() {
    let mut scene = Scene::new().await;
    scene.server.serves(&list(&[]));
    scene.ledger_says(Some(&list(&[])));
    let own = scene.server.url.clone();
    let stranger = Server::start().await;
    for uri in [
        format!("{}/status/1", stranger.url),
        format!("{own}/other/1"),
        format!("{own}/status/../v1/sponsor"),
        format!("{own}0/status/1"),
        "https://127.0.0.1/status/1".to_owned(),
    ] {
        let refused = scene.look_at(&long_lived(&own, &uri)).await;
        assert_eq!(refused, Err("status.address"), "{uri}");
    }
    assert_eq!((stranger.asked(), scene.server.asked()), (0, 0));
    // A one-time copy and an mdoc name no list.
    for pid in [scene.town.world.pid(), "AAAA".to_owned()] {
        assert_eq!(scene.look_at(&pid).await, Ok(None));
    }
}

#[tokio::test]
async fn a_list_that_is_not_served_or_not_signed_by_a_sound_key_lets_nobody_in() {
    let mut scene = Scene::new().await;
    let all = list(&[]);
    scene.ledger_says(Some(&all));
    *scene.server.answer.lock().unwrap() = (500, String::new());
    assert_eq!(scene.look().await, Err("status.unavailable"));
    *scene.server.answer.lock().unwrap() = (200, "x".repeat(9 << 20));
    assert_eq!(scene.look().await, Err("status.unavailable"));
    *scene.server.answer.lock().unwrap() = (200, "e30.e30.e30".to_owned());
    assert!(scene.look().await.is_err());
    scene.server.serves(&all);
    scene.issuer.keys[0].status = KeyStatus::Compromised(1);
    assert_eq!(scene.look().await, Err("status.key_unknown"));
    scene.issuer.keys[0].status = KeyStatus::Retired(1);
    assert_eq!(scene.look().await, Ok(Some(Status::Valid)));
}
