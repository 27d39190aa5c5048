//! Registering a service, as a gate asks for it.

use super::*;
use realdid_core::hash::{Hash32, HashFunction};
use realdid_core::state::{Display, DisplayStatus, ReasonCode, Service, display_key, service_key};
use realdid_credential::jose::{Jwk, SigningKey};
use realdid_exchange::display::order::{Act, Order};
use realdid_exchange::registration;
use serde_json::json;

const BY: HashFunction = HashFunction::Sha256;

impl Nation {
    async fn register(&self, body: &Value) -> Answer {
        let request = Request::post("/v1/registrations")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()))
            .unwrap();
        ask(self.registrar_router(), request).await
    }

    async fn registrar_get(&self, path: &str) -> Answer {
        let request = Request::get(path).body(Body::empty()).unwrap();
        ask(self.registrar_router(), request).await
    }
}

fn asked() -> Value {
    let key = Jwk(SigningKey::p256(&[9; 32]).unwrap().verifying_key());
    json!({
        "domains": ["127.0.0.1:20420"],
        "purposes": ["login", "age"],
        "claims": ["age_equal_or_over.18"],
        "key": key.to_value(),
        "name": "Pear <Shop>",
    })
}

#[tokio::test]
async fn a_registration_stands_on_the_ledger_and_verifies() {
    let nation = Nation::new().await;
    let answer = nation.register(&asked()).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let json = answer.json();
    let jwt = json["registration"].as_str().unwrap();
    let id = json["service"].as_str().unwrap().parse().unwrap();
    let service = nation
        .ledger
        .seen::<Service>(&service_key(BY, &id))
        .record
        .unwrap();
    assert_eq!(service.digest.to_string(), json["digest"]);
    let registrar = nation.ledger.genesis().issuers[1].clone();
    let now_s = START_MS / 1000;
    let verified = registration::verify(jwt, &registrar, &service, now_s).unwrap();
    assert!(verified.sandbox);
    assert_eq!(verified.name, "Pear <Shop>");
    assert_eq!(verified.service_id, id);

    let again = nation
        .registrar_get(&format!("/v1/registrations/{id}"))
        .await;
    assert_eq!(again.json(), json);
    let page = nation.registrar_get("/").await;
    assert!(page.text.contains(&id.to_string()));
    assert!(!page.text.contains("Pear <Shop>"));
    // P1: the name is in the JWT, not on the ledger
    let state = nation.ledger.net.lock().unwrap().state();
    let named = |value: &Vec<u8>| value.windows(4).any(|part| part == b"Pear");
    assert!(!state.values().any(named));
}

#[tokio::test]
async fn what_cannot_be_registered_is_refused_by_its_rule() {
    let nation = Nation::new().await;
    for (member, value, code) in [
        (
            "domains",
            json!(["https://x.example"]),
            "registration.domain",
        ),
        ("domains", json!(["10.0.0.1"]), "registration.domain"),
        ("domains", json!([]), "registration.malformed"),
        ("purposes", json!(["curiosity"]), "registration.purpose"),
        ("purposes", json!([]), "registration.malformed"),
        ("claims", json!(["birthdate"]), "registration.claim"),
        ("claims", json!([7]), "registration.claim"),
        ("key", json!({"kty": "oct"}), "jwk.malformed"),
        ("name", json!("a\u{202e}b"), "registration.malformed"),
        ("sandbox", json!(false), "request.malformed"),
    ] {
        let mut body = asked();
        body[member] = value;
        let answer = nation.register(&body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
        assert_eq!(answer.code(), code, "{member}");
    }
    nation.ledger.down.store(true, Ordering::Relaxed);
    assert_eq!(nation.register(&asked()).await.code(), "ledger.unavailable");
    for unknown in ["0".repeat(64), "x".to_owned()] {
        let answer = nation
            .registrar_get(&format!("/v1/registrations/{unknown}"))
            .await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (StatusCode::NOT_FOUND, "registration.unknown")
        );
    }
}

fn gate_key() -> SigningKey {
    SigningKey::p256(&[9; 32]).unwrap()
}

impl Nation {
    async fn order(&self, order: &Order, key: &SigningKey) -> Answer {
        let request = Request::post("/v1/displays")
            .header(header::CONTENT_TYPE, "application/jwt")
            .body(Body::from(order.sign(key).unwrap()))
            .unwrap();
        ask(self.registrar_router(), request).await
    }

    /// A service that is registered for these purposes.
    async fn registered_for(&self, purposes: &[&str], claims: &[&str]) -> Hash32 {
        let mut body = asked();
        (body["purposes"], body["claims"]) = (json!(purposes), json!(claims));
        let answer = self.register(&body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        answer.json()["service"].as_str().unwrap().parse().unwrap()
    }
}

#[tokio::test]
async fn p1_a_display_is_a_digest_by_order_of_its_own_gate_alone() {
    let nation = Nation::new().await;
    let names = ["family_name", "given_name"];
    let service = nation.registered_for(&["login", "real-name"], &names).await;
    let other = nation.registered_for(&["real-name"], &names).await;
    let narrow = nation.registered_for(&["login"], &[]).await;
    let now_s = START_MS / 1000;
    let digest = Hash32([7; 32]);
    let withdrawal = Hash32([8; 32]);
    let registrar = nation.ledger.genesis().issuers[1].clone();
    let show = Order {
        service,
        registrar: registrar.url.clone(),
        digest,
        act: Act::Show { withdrawal },
        made_s: now_s,
    };
    let of = |service| Order {
        service,
        ..show.clone()
    };
    for (order, key, code) in [
        (of(narrow), gate_key(), "registration.purpose"),
        (of(Hash32([1; 32])), gate_key(), "registration.unknown"),
        (
            show.clone(),
            SigningKey::p256(&[10; 32]).unwrap(),
            "display.order",
        ),
        (
            Order {
                made_s: now_s - 301,
                ..show.clone()
            },
            gate_key(),
            "display.order",
        ),
        (
            Order {
                registrar: "https://other.example".to_owned(),
                ..show.clone()
            },
            gate_key(),
            "display.order",
        ),
    ] {
        assert_eq!(nation.order(&order, &key).await.code(), code);
    }
    let done = nation.order(&show, &gate_key()).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    let record = || {
        nation
            .ledger
            .seen::<Display>(&display_key(BY, &digest))
            .record
            .unwrap()
    };
    assert_eq!(
        (record().service, record().withdrawal),
        (service, withdrawal)
    );
    assert_eq!(
        nation.order(&show, &gate_key()).await.code(),
        "display.exists",
        "played again"
    );

    // Another platform of the same registrar cannot take it down.
    let reason = ReasonCode::TermsBroken;
    let withdraw = Order {
        act: Act::Withdraw { reason },
        ..show.clone()
    };
    let theirs = Order {
        service: other,
        ..withdraw.clone()
    };
    assert_eq!(
        nation.order(&theirs, &gate_key()).await.code(),
        "display.other_service"
    );
    assert_eq!(record().status, DisplayStatus::Active);
    for height in [true, false] {
        let done = nation.order(&withdraw, &gate_key()).await;
        assert_eq!(done.status, StatusCode::OK, "{}", done.text);
        assert_eq!(
            done.json()["height"].is_u64(),
            height,
            "the second time nothing is left to do"
        );
    }
    assert_eq!(
        (record().status, record().reason),
        (DisplayStatus::Withdrawn, reason)
    );
}
