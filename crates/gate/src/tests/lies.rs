//! Nodes that lie over HTTP: the gate believes none of it and asks the next one.

use super::*;
use crate::follower::Follower;
use axum::extract::Path as UrlPath;
use axum::routing::get;
use realdid_core::answer::{HandOver, MAX_ANSWER_BYTES, StateAnswer};
use realdid_core::codec::Bytes;
use realdid_core::hash::HashFunction;
use realdid_core::state::{Issuer, KeyUse};
use realdid_core::trie::Key;
use realdid_testkit::chain::TestLedger;

const BY: HashFunction = HashFunction::Sha256;

/// What a node makes of the true answer.
pub(super) type Lie = fn(StateAnswer) -> Vec<u8>;

/// A node that answers about every key, and says what `lie` makes of the truth.
pub(super) async fn node(ledger: &TestLedger, lie: Lie) -> String {
    node_of(ledger, lie, Vec::new()).await
}

/// The same with the hand-overs that it has to show.
async fn node_of(ledger: &TestLedger, lie: Lie, hand_overs: Vec<HandOver>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let ledger = ledger.clone();
    let state = move |UrlPath(key): UrlPath<String>| {
        let key: Key = hex::decode(key).unwrap().try_into().unwrap();
        let bytes = lie(ledger.answer(&key));
        async move { bytes }
    };
    let hand_overs = codec::encode(&hand_overs);
    let router: Router = Router::new().route("/v1/state/{key}", get(state)).route(
        "/v1/handovers",
        get(move || {
            let hand_overs = hand_overs.clone();
            async move { hand_overs }
        }),
    );
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
        let refused = alone.ensure_issuer(&trust.home, &issuer.id(BY)).await;
        assert_eq!(refused, Err(Refusal::STALE), "{what}");
        let both = Follower::new(&[liar, honest.clone()]).unwrap();
        let found = both.ensure_issuer(&trust.home, &issuer.id(BY)).await;
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
        liar.ensure_issuer(&trust.home, &nobody.id(BY)).await,
        Err(Refusal::STALE)
    );
    let honest = Follower::new(&[node(ledger, |answer| answer.encode()).await]).unwrap();
    assert_eq!(
        honest.ensure_issuer(&trust.home, &nobody.id(BY)).await,
        Ok(None)
    );
}

/// Nobody tells a gate that the key was handed on: it hears of it from a node, holds the hand-over
/// against what it knows, and does not forget it.
#[tokio::test]
async fn a_gate_follows_its_network_from_committee_to_committee_and_remembers_it() {
    let mut town = town();
    let issuer = newcomer(1000);
    let id = issuer.id(BY);
    let answer = town.world.ledger.decide_term(8, 300);
    town.world.ledger.begin_term(8);
    let record = Some(codec::encode(&issuer));
    let key = issuer_key(BY, &id);
    town.world.ledger.set(key, record, now_ms());
    let (trust, ledger) = (&town.gate.inner.trust, &town.world.ledger);
    let usurper = {
        let mut other = TestLedger::with_validators(9, now_ms(), Vec::new());
        other.genesis = ledger.genesis.clone();
        other.decide_term(8, 300)
    };
    let ask = async |hand_overs: Vec<HandOver>| {
        let url = node_of(ledger, |answer| answer.encode(), hand_overs).await;
        let follower = Follower::new(&[url]).unwrap();
        follower.ensure_issuer(&trust.home, &id).await
    };
    // Nobody proves the new key, or only somebody who never had the old one.
    assert_eq!(ask(Vec::new()).await, Err(Refusal::STALE));
    assert_eq!(ask(vec![usurper]).await, Err(Refusal::STALE));
    assert_eq!(ask(vec![answer]).await, Ok(Some(issuer)));

    let term = |gate: &Gate| gate.inner.trust.home.snapshot().light.newest_term();
    assert_eq!(term(&town.gate), 1);
    assert_eq!(term(&open(town.folder.path())), 1);
}
