//! Nodes that lie over HTTP: the gate believes none of it and asks the next one.

use super::*;
use crate::trust::Follower;
use axum::extract::Path as UrlPath;
use axum::routing::get;
use realdid_core::answer::{MAX_ANSWER_BYTES, StateAnswer};
use realdid_core::codec::Bytes;
use realdid_core::hash::HashFunction;
use realdid_core::state::{Issuer, KeyUse};
use realdid_core::trie::Key;
use realdid_testkit::chain::TestLedger;

const BY: HashFunction = HashFunction::Sha256;

/// What a node makes of the true answer.
type Lie = fn(StateAnswer) -> Vec<u8>;

/// A node that answers about every key, and says what `lie` makes of the truth.
async fn node(ledger: &TestLedger, lie: Lie) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let ledger = ledger.clone();
    let state = move |UrlPath(key): UrlPath<String>| {
        let key: Key = hex::decode(key).unwrap().try_into().unwrap();
        let bytes = lie(ledger.answer(&key));
        async move { bytes }
    };
    let router: Router = Router::new().route("/v1/state/{key}", get(state));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

/// The issuer with this number, whom the gate has not met.
fn newcomer(n: u64) -> Issuer {
    world::issuer(
        &format!("https://n{n}.example"),
        KeyUse::Pid,
        &world::p256(n),
    )
}

#[tokio::test]
async fn p9_a_node_that_lies_over_http_is_passed_over_for_an_honest_one() {
    let lies: [(&str, Lie); 8] = [
        // First, while the header is new: a known one needs no second look at its certificate.
        ("it forges the certificate", |mut answer| {
            answer.checkpoint.certificate.0[50] ^= 1;
            answer.encode()
        }),
        ("it hides the record", |mut answer| {
            answer.value = None;
            answer.encode()
        }),
        ("it changes the record", |mut answer| {
            answer.value.as_mut().unwrap().0[10] ^= 1;
            answer.encode()
        }),
        ("it tells another's record", |mut answer| {
            answer.value = Some(Bytes(codec::encode(&newcomer(999))));
            answer.encode()
        }),
        ("it forges the checkpoint", |mut answer| {
            answer.checkpoint.header.0[40] ^= 1;
            answer.encode()
        }),
        ("it stops in the middle", |answer| {
            let bytes = answer.encode();
            bytes[..bytes.len() / 2].to_vec()
        }),
        ("it says too much", |answer| {
            let mut bytes = answer.encode();
            bytes.resize(MAX_ANSWER_BYTES + 1, 0);
            bytes
        }),
        ("it says nothing", |_| Vec::new()),
    ];
    let mut town = town();
    for n in 0..lies.len() as u64 {
        let issuer = newcomer(1000 + n);
        let key = issuer_key(BY, &issuer.id(BY));
        town.world
            .ledger
            .set(key, Some(codec::encode(&issuer)), now_ms());
    }
    let (trust, ledger) = (&town.gate.inner.trust, &town.world.ledger);
    let honest = node(ledger, |answer| answer.encode()).await;
    for (n, (what, lie)) in (1000..).zip(lies) {
        let (issuer, liar) = (newcomer(n), node(ledger, lie).await);
        let alone = Follower::new(std::slice::from_ref(&liar)).unwrap();
        let refused = alone.ensure_issuer(trust, &issuer.id(BY)).await;
        assert_eq!(refused, Err(Refusal::STALE), "{what}");
        let both = Follower::new(&[liar, honest.clone()]).unwrap();
        let found = both.ensure_issuer(trust, &issuer.id(BY)).await;
        assert_eq!(found, Ok(Some(issuer)), "{what}");
    }
}

#[tokio::test]
async fn an_issuer_that_a_node_invents_is_not_believed() {
    let mut town = town();
    town.world.ledger.seal(now_ms());
    let (trust, ledger) = (&town.gate.inner.trust, &town.world.ledger);
    let nobody = newcomer(7);
    let liar = node(ledger, |mut answer| {
        answer.value = Some(Bytes(codec::encode(&newcomer(7))));
        answer.encode()
    });
    let liar = Follower::new(&[liar.await]).unwrap();
    assert_eq!(
        liar.ensure_issuer(trust, &nobody.id(BY)).await,
        Err(Refusal::STALE)
    );
    let honest = Follower::new(&[node(ledger, |answer| answer.encode()).await]).unwrap();
    assert_eq!(honest.ensure_issuer(trust, &nobody.id(BY)).await, Ok(None));
}
