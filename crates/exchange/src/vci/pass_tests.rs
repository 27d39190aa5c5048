//! A RealPass over OpenID4VCI: what both sides read, and what marks a holder.

use super::*;
use crate::test_world::{pass_issuer, seed};
use realdid_pass::PseudonymSecrets;
use realdid_testkit::person::TestRandom;

fn request() -> PassRequest {
    let secrets = PseudonymSecrets::from_seed(&seed(1));
    PassRequest {
        epoch: 30_000_000,
        request: secrets.request(&mut TestRandom(1)).unwrap(),
    }
}

fn answer() -> PassAnswer {
    let request = request();
    let facts = Facts {
        epoch: request.epoch,
        adult: Adult::Yes,
        region: Region::East,
        kind: Kind::Resident,
        assurance: Assurance::Substantial,
        continuity: Continuity::Unbroken,
    };
    let key = pass_issuer();
    let kept = key.enrol(&mut TestRandom(2), &request.request).unwrap();
    let messages = facts.messages().unwrap();
    PassAnswer {
        facts,
        issued: key.issue(&request.request, &kept, &messages).unwrap(),
    }
}

fn body(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

#[test]
fn what_a_wallet_asks_an_issuer_reads() {
    let asked = request();
    let sent = body(&asked.to_body());
    assert!(PassRequest::is_asked(&sent));
    let read = PassRequest::parse(&sent).unwrap();
    assert_eq!(read.epoch, asked.epoch);
    assert_eq!(read.request.to_bytes(), asked.request.to_bytes());
    assert!(!PassRequest::is_asked(
        br#"{"credential_configuration_id":"pid-sd-jwt"}"#
    ));
    assert!(!PassRequest::is_asked(b"["));
}

#[test]
fn a_request_in_another_form_is_refused_by_name() {
    let good = request().to_body();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut changed = good.clone();
        change(&mut changed);
        PassRequest::parse(&body(&changed)).err()
    };
    let proof = |proof: &str| with(&|v| v["proofs"]["rdid_realpass"][0] = proof.into());
    assert_eq!(proof("?"), Some(VciError::PassForm));
    assert_eq!(proof("AAAA"), Some(VciError::PassForm));
    assert_eq!(proof(&"A".repeat(100_000)), Some(VciError::PassForm));
    let none = with(&|v| v["proofs"]["rdid_realpass"] = json!([]));
    assert_eq!(none, Some(VciError::Batch));
    let other = with(&|v| v["credential_configuration_id"] = "pid-sd-jwt".into());
    assert_eq!(other, Some(VciError::UnknownConfiguration));
    for (name, value) in [
        ("nonce", json!("x")),
        ("epoch", json!(-1)),
        ("proofs", json!([])),
    ] {
        let refused = with(&|v| v[name] = value.clone());
        assert_eq!(refused, Some(VciError::CredentialRequest), "{name}");
    }
}

#[test]
fn p4_an_answer_says_the_facts_and_nothing_that_marks() {
    let answer = answer();
    let good = answer.to_body();
    let epoch = answer.facts.epoch;
    let read = PassAnswer::parse(&body(&good), epoch).unwrap();
    assert!(read.facts == answer.facts);
    assert_eq!(*read.issued.to_bytes(), *answer.issued.to_bytes());

    let credential = |change: &dyn Fn(&mut Value)| {
        let mut changed = good.clone();
        change(&mut changed["credentials"][0]["credential"]);
        PassAnswer::parse(&body(&changed), epoch).err()
    };
    let marked = Some(VciError::PassMarked);
    for (name, value) in [
        ("adult", json!("Yes")),
        ("region", json!("shanghai")),
        ("kind", json!("diplomat")),
        ("assurance", json!("unstated")),
        ("continuity", json!(2)),
        ("epoch", json!(epoch + 1)),
        ("serial", json!("1")),
    ] {
        assert_eq!(credential(&|v| v[name] = value.clone()), marked, "{name}");
    }
    let short = credential(&|v| _ = v.as_object_mut().unwrap().remove("kind"));
    assert_eq!(short, marked);
    let broken = credential(&|v| v["issued"] = "AAAA".into());
    assert_eq!(broken, Some(VciError::Response));
    let mut beside = good.clone();
    beside["notification_id"] = "x".into();
    assert_eq!(PassAnswer::parse(&body(&beside), epoch).err(), marked);
    let mut two = good.clone();
    let first = good["credentials"][0].clone();
    two["credentials"].as_array_mut().unwrap().push(first);
    assert_eq!(PassAnswer::parse(&body(&two), epoch).err(), marked);
}
