//! Logins with a RealPass, from the wallet's answer to what a gate verifies in it.

use super::tests::request;
use super::*;
use crate::test_world::{World, serve};
use realdid_core::hash::Hash32;
use realdid_core::hash::HashFunction;
use realdid_core::state::did_key;
use realdid_credential::realpass::Fact;
use realdid_exchange::vp::{Ask, Expected, Presented, ResponseEvidence, WalletResponse};
use realdid_light::{Freshness, LightClient};
use realdid_pass::Pseudonym;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

const BY: HashFunction = HashFunction::Sha256;

/// A gate's side: what it got, and whether it knows the DID from this epoch.
#[derive(Default)]
struct GateState {
    knows: bool,
    got: Vec<Presented>,
}

async fn gate() -> (String, Arc<Mutex<GateState>>) {
    let state = Arc::new(Mutex::new(GateState::default()));
    let shared = state.clone();
    let url = serve(move |_, _, body| {
        let mut state = shared.lock().unwrap();
        let WalletResponse::Presented(presented) = WalletResponse::parse(body, None).unwrap()
        else {
            return (400, json!({"error": "access_denied"}));
        };
        let alone = presented.pass.is_none();
        state.got.push(presented);
        if alone && !state.knows {
            return (
                400,
                json!({"error": "invalid_request", "code": "vp.pass_needed"}),
            );
        }
        (200, json!({}))
    })
    .await;
    (url, state)
}

fn login(url: &str, facts: &[Fact]) -> CheckedRequest {
    let mut request = request(&[]);
    request.response_uri = format!("{url}/vp/response/1");
    request.claims = facts.iter().filter_map(|fact| fact.claim()).collect();
    request.asked = vp::Asked {
        pass: Some(vp::AskedPass {
            id: "pass".into(),
            facts: facts.to_vec(),
        }),
        pid: None,
        mdoc: None,
        did_id: Some("did".into()),
        did_alone: facts.is_empty(),
    };
    request
}

/// Makes the DID for the service, so that the ledger's answer about it can be kept.
fn prepare(world: &World, wallet: &mut Wallet, service: Hash32) {
    let purpose = Purpose {
        service,
        bound: true,
        domain: "shop.example".into(),
    };
    let network = world.ledger.genesis.network.clone();
    let place = change::new_did(&mut wallet.content, network, purpose, 1).unwrap();
    let id = wallet.content.dids[place].inception().unwrap().id();
    world.know(wallet, &did_key(BY, &id));
}

/// What a gate makes of an answer: who came, and which facts.
fn verified(world: &World, presented: &Presented, request: &CheckedRequest) -> (Pseudonym, Value) {
    let facts = request.asked.pass.as_ref().unwrap().facts.clone();
    let ask = Ask {
        pass: Some(facts),
        pid: None,
        did: true,
        long_lived: false,
    };
    let expected = Expected {
        client_id: &request.client_id,
        nonce: &request.nonce,
        ask: &ask,
        answer_to: vp::AnswerTo::Uri(&request.response_uri),
        encrypt_to: None,
        now_ms: now_ms(),
        max_age_s: 300,
        display: None,
    };
    let freshness = Freshness {
        now_ms: now_ms(),
        max_age_ms: 300_000,
        max_lag_slots: 1000,
    };
    let light = LightClient::new(world.ledger.genesis.clone());
    let evidence = ResponseEvidence {
        status_list: None,
        recognised: None,
        pid_issuer: None,
        pass_issuer: Some(&world.record),
        light: &light,
        freshness: &freshness,
    };
    let checked = vp::check_response(presented, &expected, &evidence).unwrap();
    let claim = checked.pass.as_ref().unwrap();
    let key = claim.key.key().unwrap();
    let context = realdid_pass::Context::service(&request.service_id.0);
    let claims = [claim.shown.claim(&context, &claim.binding)];
    let random = &mut seeded().unwrap();
    let outcome = realdid_pass::verify_batch(random, &key, &claims).remove(0);
    let login = checked.conclude(Some(outcome)).unwrap();
    let claims = Value::Object(login.claims);
    (login.pass.unwrap().pseudonym, claims)
}

#[tokio::test]
async fn p5_a_person_is_the_same_one_each_time_and_a_did_is_enough_within_the_epoch() {
    let world = World::new().await;
    let (url, gate) = gate().await;
    let http = Http::new().unwrap();
    let (mut wallet, mut ledger) = world.open();
    let request = login(&url, &[]);
    prepare(&world, &mut wallet, request.service_id);

    // The first time all of it is shown.
    let shown = answer(&mut wallet, &http, &mut ledger, &request, How::default())
        .await
        .unwrap();
    assert_eq!(shown.pass_epoch, Some(world.epoch()));
    let first = gate.lock().unwrap().got.pop().unwrap();
    let (person, facts) = verified(&world, &first, &request);
    assert_eq!(facts, json!({}), "and nothing else");

    // The second time the gate knows the DID.
    gate.lock().unwrap().knows = true;
    let shown = answer(&mut wallet, &http, &mut ledger, &request, How::default())
        .await
        .unwrap();
    assert_eq!(shown.pass_epoch, None);
    let second = gate.lock().unwrap().got.pop().unwrap();
    assert!(second.pass.is_none() && second.pid.is_none());

    // The third time it does not: all of it is shown within the same login.
    gate.lock().unwrap().knows = false;
    let shown = answer(&mut wallet, &http, &mut ledger, &request, How::default())
        .await
        .unwrap();
    assert_eq!(shown.pass_epoch, Some(world.epoch()));
    let got = std::mem::take(&mut gate.lock().unwrap().got);
    assert_eq!(got.len(), 2);
    assert!(got[0].pass.is_none());
    assert_eq!(verified(&world, &got[1], &request).0, person);
    assert_ne!(first.pass, got[1].pass, "each showing is new");

    // A gate that refuses for another reason is not shown more for it.
    let outcomes: Vec<_> = wallet
        .content
        .journal
        .iter()
        .map(|entry| (entry.pass_epoch.is_some(), entry.outcome.name()))
        .collect();
    let expected = [
        (true, "accepted"),
        (false, "accepted"),
        (false, "refused"),
        (true, "accepted"),
    ];
    assert_eq!(outcomes, expected);
    let journal = journal::to_json(&wallet.content).to_string();
    assert!(journal.contains("realPassEpoch"));
    assert!(
        !journal.contains(&hex::encode(&person.0[..8])),
        "no pseudonym"
    );
}

#[tokio::test]
async fn facts_are_shown_as_asked_and_never_by_the_did_alone() {
    let world = World::new().await;
    let (url, gate) = gate().await;
    let http = Http::new().unwrap();
    let (mut wallet, mut ledger) = world.open();
    let request = login(&url, &[Fact::Adult, Fact::Continuity]);
    prepare(&world, &mut wallet, request.service_id);
    for _ in 0..2 {
        let shown = answer(&mut wallet, &http, &mut ledger, &request, How::default())
            .await
            .unwrap();
        assert_eq!(shown.claims, ["realpass.adult", "realpass.continuity"]);
        let got = gate.lock().unwrap().got.pop().unwrap();
        let (_, facts) = verified(&world, &got, &request);
        let expected = json!({"realpass": {"adult": "yes", "continuity": "unbroken"}});
        assert_eq!(facts, expected);
    }
    assert_eq!(wallet.content.journal[1].claims[0], "realpass.adult");
}

#[tokio::test]
async fn the_did_alone_is_shown_only_where_it_was_asked_for_and_in_the_same_epoch() {
    let world = World::new().await;
    let (mut wallet, ledger) = world.open();
    let parameters = ledger.parameters().clone();
    let plain = login("http://127.0.0.1:9", &[]);
    let full = CheckedRequest {
        asked: vp::Asked {
            did_alone: false,
            ..plain.asked.clone()
        },
        ..plain.clone()
    };
    let now = now_ms();
    let epoch = parameters.epoch_at(now);
    assert!(
        !did_is_enough(&wallet, &parameters, &plain, now),
        "never shown here"
    );
    wallet.passes().unwrap().shown_at(Hash32([9; 32]), epoch);
    assert!(
        !did_is_enough(&wallet, &parameters, &plain, now),
        "shown elsewhere"
    );
    wallet.passes().unwrap().shown_at(plain.service_id, epoch);
    assert!(did_is_enough(&wallet, &parameters, &plain, now));
    assert!(
        !did_is_enough(&wallet, &parameters, &full, now),
        "not offered"
    );
    let later = parameters.pass_ends_ms(epoch);
    assert!(
        !did_is_enough(&wallet, &parameters, &plain, later),
        "another epoch"
    );
}

#[test]
fn a_person_reads_what_is_seen_of_them() {
    let facts = crate::realpass::test_desk::some_facts(1);
    let plain = login("http://127.0.0.1:9", &[]);
    let text = sees(&plain, Some(&facts));
    assert!(text.contains("one real person, the same one each time here"));
    assert!(text.ends_with("nothing else about you"));
    let age = login("http://127.0.0.1:9", &[Fact::Adult]);
    assert!(sees(&age, Some(&facts)).ends_with("each time here, and: of age"));
    assert!(sees(&age, None).ends_with("whether you are of age"));
    let pid = request(&["given_name"]);
    assert!(sees(&pid, None).ends_with("of your PID: given_name"));
    for fact in Fact::ALL {
        assert!(!crate::realpass::words(fact, None).is_empty());
    }
    // Facts need a yes, as claims do.
    let allow = |claim: &str| Consent {
        allow: vec![claim.to_owned()],
        yes: false,
        long_lived: false,
    };
    assert!(!consented(&age, &Consent::default(), |_| false));
    assert!(!consented(&age, &allow("adult"), |_| false));
    assert!(consented(&age, &allow("realpass.adult"), |_| false));
    assert!(consented(&plain, &Consent::default(), |_| false));
}
