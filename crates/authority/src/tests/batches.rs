//! Issuance batches, from the copies that are handed out to the paths that holders get (promise P7).

use super::*;
use crate::oauth::Caller;
use realdid_core::hash::Hash32;
use realdid_core::operation::{self, Decision};
use realdid_core::state::{Batch, KeyStatus, batch_key};
use realdid_exchange::batch::{self, PathsRequest, PathsResponse};

impl Nation {
    async fn anchor_due(&self) {
        self.authority.anchor_batches().await.unwrap();
    }

    async fn paths(&self, token: &str, items: &[Hash32]) -> Answer {
        let body = serde_json::to_vec(&PathsRequest::new(items)).unwrap();
        let request = Request::post("/v1/batches/paths")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .unwrap();
        ask(self.router(), request).await
    }

    /// Token and items of somebody who got ten copies.
    async fn holder(&self, n: usize) -> (String, Vec<Hash32>) {
        let (token, copies) = self.copies_of(n).await;
        let item = |copy: &String| batch::item(BY, copy).unwrap();
        (token, copies.iter().map(item).collect())
    }

    fn batch(&self, root: &Hash32) -> Option<Batch> {
        let issuer = issuer_id(BY, AUTHORITY);
        self.ledger.seen(&batch_key(BY, &issuer, root)).record
    }
}

#[tokio::test]
async fn p7_what_is_issued_gets_onto_the_ledger_and_its_holder_a_path() {
    let nation = Nation::new().await;
    let (one, of_one) = nation.holder(0).await;
    // Nothing is due, and then one person is no batch to be in.
    nation.anchor_due().await;
    nation.wait_s(11);
    nation.anchor_due().await;
    let answer = nation.paths(&one, &of_one).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let paths: PathsResponse = serde_json::from_str(&answer.text).unwrap();
    assert_eq!(paths.check(10).unwrap(), vec![None; 10]);

    let (other, of_other) = nation.holder(1).await;
    nation.wait_s(11);
    nation.anchor_due().await;
    let mut all = [of_one.clone(), of_other.clone()].concat();
    all.sort();
    let root = BY.list_root(&all);
    let batch = nation.batch(&root).unwrap();
    assert_eq!((batch.key, batch.count), (nation.authority.keys.pid.id, 20));
    for (token, items) in [(&one, &of_one), (&other, &of_other)] {
        let answer = nation.paths(token, items).await;
        let paths: PathsResponse = serde_json::from_str(&answer.text).unwrap();
        for (item, path) in items.iter().zip(paths.check(10).unwrap()) {
            assert_eq!(path.unwrap().root(BY, item), Some(root));
        }
    }
    // Where the ten of one person stand says nothing: the order is that of the digests.
    let places = |items: &[Hash32]| -> Vec<usize> {
        let place = |item| all.binary_search(item).unwrap();
        items.iter().map(place).collect()
    };
    assert_ne!(places(&of_one), (0..10).collect::<Vec<_>>());
    assert!(
        of_one
            .iter()
            .chain(&of_other)
            .all(|item| all.contains(item))
    );

    // A process that begins now answers the same, and puts nothing there twice.
    let store = Store::open_dir(&nation.dir()).await.unwrap();
    let (dir, clock) = (nation.dir(), nation.authority.clock.clone());
    let again = authority_on(store, &dir, &nation.ledger, clock, 1).await;
    again.anchor_batches().await.unwrap();
    let request = PathsRequest::new(&of_one);
    let paths = again.paths(&Caller::bearer(&one), &request).await.unwrap();
    assert!(paths.check(10).unwrap().iter().all(Option::is_some));
}

#[tokio::test]
async fn p7_a_batch_that_is_too_small_waits_for_a_quarter_of_its_life() {
    let nation = Nation::new().await;
    let (token, items) = nation.holder(0).await;
    nation.wait_s(30);
    nation.anchor_due().await;
    let paths = async || {
        let answer = nation.paths(&token, &items).await;
        let paths: PathsResponse = serde_json::from_str(&answer.text).unwrap();
        paths.check(10).unwrap().iter().flatten().count()
    };
    assert_eq!(paths().await, 0);
    // due after 10 s, and the copies end 110 s later
    nation.wait_s(8);
    nation.anchor_due().await;
    assert_eq!(paths().await, 10);
    // What has expired is forgotten.
    nation.wait_s(120);
    let now_s = nation.authority.clock.now_s();
    nation.authority.store.clean(now_s, 0).await.unwrap();
    assert_eq!(paths().await, 0);
}

#[tokio::test]
async fn p7_what_cannot_be_handed_in_is_handed_in_later_and_what_never_can_is_given_up() {
    let nation = Nation::new().await;
    let (token, items) = nation.holder(0).await;
    nation.wait_s(40);
    nation.ledger.down.store(true, Ordering::Relaxed);
    assert!(nation.authority.anchor_batches().await.is_err());
    nation.ledger.down.store(false, Ordering::Relaxed);
    // Somebody has it in hand; a minute later it is anybody's.
    nation.anchor_due().await;
    let count = async |nation: &Nation| {
        let answer = nation.paths(&token, &items).await;
        let paths: PathsResponse = serde_json::from_str(&answer.text).unwrap();
        paths.check(10).unwrap().iter().flatten().count()
    };
    assert_eq!(count(&nation).await, 0);
    nation.wait_s(61);
    nation.anchor_due().await;
    assert_eq!(count(&nation).await, 10);

    // The key is found in other hands before a batch is closed: there is no batch of it any more.
    let (token, late) = nation.holder(1).await;
    {
        let mut net = nation.ledger.net.lock().unwrap();
        let now = net.now.height;
        let key = nation.authority.keys.pid.id;
        let status = KeyStatus::Compromised(now);
        let decision = Decision::IssuerKeyStatus(issuer_id(BY, AUTHORITY), key, status);
        let body = operation::Body::Govern(1, decision, ReasonCode::KeyCompromise);
        let signed = net.sign(body, &[&net.governors[0], &net.governors[1]]);
        net.apply(&signed).unwrap();
    }
    nation.wait_s(60);
    nation.anchor_due().await;
    let answer = nation.paths(&token, &late).await;
    let paths: PathsResponse = serde_json::from_str(&answer.text).unwrap();
    assert_eq!(paths.check(10).unwrap(), vec![None; 10]);
}

#[tokio::test]
async fn paths_are_for_holders_and_for_few_items_at_once() {
    let nation = Nation::new().await;
    let (token, items) = nation.holder(0).await;
    let stranger = nation.paths("x", &items).await;
    assert_eq!(stranger.status, StatusCode::UNAUTHORIZED);
    assert_eq!(stranger.code(), "vci.access_token");
    for many in [vec![], vec![Hash32([1; 32]); 33]] {
        let answer = nation.paths(&token, &many).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!(answer.code(), "batch.request");
    }
    // what was never issued is in no batch
    let answer = nation.paths(&token, &[Hash32([1; 32])]).await;
    assert_eq!(answer.text, r#"{"paths":[null]}"#);
}
