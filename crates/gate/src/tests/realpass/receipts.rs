//! What a know-your-customer login leaves behind.

use super::abroad::Border;
use super::*;
use base64::Engine as _;
use realdid_exchange::receipt::{self, Receipt, Trust, Verified, receipt_id};

const PREDICATES: [&str; 2] = ["realpass.adult", "realpass.assurance"];

/// As the website fetches it.
async fn fetch(town: &Town, login: &Value) -> Vec<u8> {
    let id = login["receipt"].as_str().unwrap();
    let response = ask_for(town, id, SECRET).await;
    assert_eq!(response.status(), 200);
    let bytes = text_of(response).await.into_bytes();
    assert_eq!(receipt_id(&bytes).to_string(), id);
    bytes
}

async fn ask_for(town: &Town, id: &str, secret: &str) -> Response<Body> {
    let secret: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("shop:{secret}"));
    let header = format!("Basic {pair}");
    town.get(
        &format!("/kyc/receipts/{id}"),
        &[("authorization", &header)],
    )
    .await
}

/// As an auditor checks it, who has the digest of a genesis and nothing else.
fn audit(bytes: &[u8], home: Hash32) -> Verified {
    let trust = Trust {
        home,
        abroad: None,
        service: Some(SERVICE_ID),
        max_age_ms: 300_000,
        now_ms: now_ms() + 1_000_000_000,
    };
    receipt::verify(&Receipt::parse(bytes).unwrap(), &trust).unwrap()
}

#[tokio::test]
async fn a_kyc_login_leaves_a_receipt_that_holds_without_the_gate() {
    let town = town_of_persons(&PREDICATES, "kyc");
    let now = epoch(&town);
    let did = world::did(5);
    let wallet = Wallet::of(&did, Some((now, 1)));
    let login = town.log_in(wallet).await.unwrap();
    let shown = json!({"adult": "yes", "assurance": "high"});
    assert_eq!(login["realpass"], shown);
    let bytes = fetch(&town, &login).await;
    let verified = audit(&bytes, town.world.ledger.genesis.digest());
    assert_eq!(Value::Object(verified.predicates), shown);
    assert_eq!(verified.person_network, verified.network);
    assert_eq!(verified.epoch, now);
    assert!(now_ms() - verified.time_ms < 60_000);
    let told = String::from_utf8(bytes).unwrap();
    assert!(!told.contains(login["sub"].as_str().unwrap()));

    // Each login has its own, and the log has all in their order.
    let second = town.log_in(wallet).await.unwrap();
    let folder = town.folder.path().join("gate/kyc");
    let log = std::fs::read_to_string(folder.join("receipts.jsonl")).unwrap();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["receipt"], login["receipt"]);
    assert_eq!(lines[1]["receipt"], second["receipt"]);
    assert_eq!(lines[1]["previous"], lines[0]["hash"]);

    // To nobody but its websites.
    let id = login["receipt"].as_str().unwrap();
    assert_eq!(ask_for(&town, id, "another secret").await.status(), 401);
    let bare = town.get(&format!("/kyc/receipts/{id}"), &[]).await;
    assert_eq!(bare.status(), 401);
    for id in [&"0".repeat(64), "..%2f..%2fsub.key", "receipts"] {
        let unknown = ask_for(&town, id, SECRET).await;
        assert_eq!(code_of(unknown).await, "receipt.unknown");
    }

    // A log that was changed is noticed at the next start.
    let open = || {
        let config = config_of(town.folder.path(), Accounts::Person, &PREDICATES, "kyc");
        Gate::open(&config, ISSUER.to_owned())
    };
    assert!(open().is_ok());
    std::fs::write(
        folder.join("receipts.jsonl"),
        log.replace("\"shop\"", "\"shed\""),
    )
    .unwrap();
    assert_eq!(open().err().unwrap().code(), "gate.receipts");
}

#[tokio::test]
async fn a_login_without_predicates_or_of_another_purpose_leaves_no_receipt() {
    let did = world::did(5);
    for (claims, purpose) in [(&["realpass.adult"][..], "age"), (&[], "kyc")] {
        let town = town_of_persons(claims, purpose);
        let now = epoch(&town);
        let wallet = Wallet::of(&did, Some((now, 1)));
        let login = town.log_in(wallet).await.unwrap();
        assert!(login.get("receipt").is_none(), "{purpose}");
        let kept = std::fs::read_dir(town.folder.path().join("gate/kyc"));
        let kept = kept.into_iter().flatten().flatten();
        let names = kept.map(|file| file.file_name().into_string().unwrap());
        assert!(names.into_iter().all(|name| name == "receipts.jsonl"));
    }
}

#[tokio::test]
async fn without_its_receipt_a_kyc_login_does_not_end() {
    let town = town_of_persons(&PREDICATES, "kyc");
    let now = epoch(&town);
    let did = world::did(5);
    let wallet = Wallet::of(&did, Some((now, 1)));
    std::fs::remove_dir_all(town.folder.path().join("gate/kyc")).unwrap();
    let refused = town.log_in(wallet).await.unwrap_err();
    assert_eq!(refused, "receipt.unwritten");
}

#[tokio::test]
async fn a_receipt_of_somebody_of_another_network_says_so_and_no_more() {
    let border = Border::asking(&PREDICATES, "kyc");
    let now = epoch(&border.town);
    let did = world::did(5);
    let wallet = Wallet::of(&did, Some((now, 1)));
    let login = border.log_in(wallet, CheckedRequest::abroad).await.unwrap();
    let bytes = fetch(&border.town, &login).await;
    let verified = audit(&bytes, border.home.genesis.digest());
    assert_eq!(
        (verified.network.as_str(), verified.person_network.as_str()),
        ("home", "dev")
    );
    assert_eq!(
        Value::Object(verified.predicates),
        json!({"adult": "yes", "assurance": "high"})
    );
}
