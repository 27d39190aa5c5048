//! Frozen receipts (spec/vectors/receipts): two that hold, and others with the code by which they fail.

use super::*;

const FILE: &str = "../../spec/vectors/receipts/receipts.json";
const RECEIPTS: &str = include_str!("../../../../../spec/vectors/receipts/receipts.json");

#[test]
fn receipts_are_frozen_with_what_becomes_of_them() {
    let told: Value = serde_json::from_str(RECEIPTS).unwrap();
    let cases = told["cases"].as_array().unwrap();
    assert!(cases.len() > 7);
    for case in cases {
        let trust = Trust {
            home: case["trust"].as_str().unwrap().parse().unwrap(),
            abroad: None,
            service: None,
            max_age_ms: 300_000,
            now_ms: case["now_ms"].as_u64().unwrap(),
        };
        let read = Receipt::parse(case["receipt"].to_string().as_bytes());
        let verified = read
            .map_err(ReceiptError::from)
            .and_then(|receipt| verify(&receipt, &trust));
        let name = &case["name"];
        match case["outcome"].as_str().unwrap() {
            "holds" => assert_eq!(
                Value::Object(verified.unwrap().predicates),
                case["shows"],
                "{name}"
            ),
            code => assert_eq!(
                verified.map_err(ReceiptError::code).err(),
                Some(code),
                "{name}"
            ),
        }
    }
}

/// Signatures by P-256 are random, so that each run writes others.
#[test]
#[ignore = "writes the vectors anew"]
fn write_receipts() {
    let mut cases = Vec::new();
    let mut case = |name: &str, outcome: &str, scene: &Scene| {
        let receipt = scene.seal(scene.evidence()).to_bytes();
        let mut case = json!({
            "name": name,
            "receipt": serde_json::from_slice::<Value>(&receipt).unwrap(),
            "trust": scene.trust().home.to_string(),
            "now_ms": scene.trust().now_ms,
            "outcome": outcome,
        });
        if outcome == "holds" {
            case["shows"] = json!({"adult": "yes", "assurance": "high"});
        }
        cases.push(case);
    };
    case("of somebody of the service's network", "holds", &scene());
    case("of somebody of another network", "holds", &border());
    let lies = Scene {
        lies: true,
        ..scene()
    };
    case("of a fact that nobody signed", "realpass.proof", &lies);
    let moved = Scene {
        pass_nonce: "n-2",
        ..scene()
    };
    case("of another request's RealPass", "realpass.proof", &moved);
    let before = Scene {
        epoch: EPOCH - 2,
        ..scene()
    };
    case("of an old RealPass", "realpass.epoch", &before);
    let none = scene().change_authority(|issuer| issuer.pass_keys.clear());
    case("of no key of the epoch", "credential.kid_unknown", &none);
    let forged = Scene {
        request_key: world::jose_key(&world::p256(77)),
        ..scene()
    };
    case(
        "of somebody else's request",
        "vp.request_signature",
        &forged,
    );
    let mut closed = border();
    closed.decide(|known| known.standing = Standing::Suspended);
    let code = "receipt.recognition_suspended";
    case("across a closed border", code, &closed);
    let late = Scene {
        time_ms: NOW_MS + 301_000,
        epoch: (NOW_MS + 301_000) / 60_000,
        ..scene()
    };
    case("of old checkpoints", "receipt.checkpoint_time", &late);
    let sealed = Scene {
        seal_key: world::jose_key(&world::p256(77)),
        ..scene()
    };
    case("under somebody else's seal", "receipt.seal", &sealed);
    let told = json!({ "cases": cases });
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    std::fs::write(path, serde_json::to_string_pretty(&told).unwrap() + "\n").unwrap();
}
