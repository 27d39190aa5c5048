//! A nation on SM2 and SM3 alone: its ledger, its DIDs, its registrations, its requests and its
//! credentials, by the same commands as every other.

use crate::nation::{Nation, get, until};
use serde_json::{Value, json};
use std::time::Duration;

fn text(value: &Value, name: &str) -> String {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("no text {name} in {value}"))
        .to_owned()
}

fn json_at(url: &str) -> Value {
    let (status, body) = get(url, &[]);
    assert_eq!(status, 200, "{url}: {body}");
    serde_json::from_str(&body).unwrap()
}

/// Registers a key at the nation's registrar; the answer's status and code.
fn register(nation: &Nation, jwk: &Value) -> (u16, String) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let url = format!("{}/v1/registrations", nation.url("registrar"));
    let body = json!({
        "domains": ["localhost:9999"],
        "purposes": ["login"],
        "claims": [],
        "key": jwk,
    });
    runtime.block_on(async {
        let request = reqwest::Client::new().post(&url).json(&body);
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.unwrap();
        (status, body["code"].as_str().unwrap_or_default().to_owned())
    })
}

/// Public keys that were made for this test.
fn p256() -> Value {
    json!({
        "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
    })
}

fn sm2() -> Value {
    json!({
        "kty": "EC", "crv": "SM2",
        "x": "3wfcCzFZHftj7IlVFuW7StBaCcL-um1JbOUj9zA__80",
        "y": "St0n3gkmLcWbr2kMAobwXimUhRfMHgabmI4TnAD0Scg"
    })
}

#[test]
fn a_nation_on_sm2_alone_signs_people_in_by_realpass_and_a_did_that_is_anchored_frozen_and_recovered()
 {
    let nation = Nation::start_with("person", "sm");
    let (_, evidence) = nation.residents().swap_remove(0);
    let kit = text(&nation.wallet("a", &["init"]).done(), "kit");
    let enrolled = nation.enrol("a", &evidence).done();
    let credentials = enrolled["credentials"].as_array().unwrap();
    // One of the network's suite, and for the outside two of P-256.
    let of = |credential: &Value| (text(credential, "format"), text(credential, "suite"));
    let mut kinds: Vec<_> = credentials.iter().map(of).collect();
    kinds.sort();
    let kind = |format: &str, suite: &str| (format.to_owned(), suite.to_owned());
    assert_eq!(
        kinds,
        [
            kind("dc+sd-jwt", "p256"),
            kind("dc+sd-jwt", "sm2"),
            kind("mso_mdoc", "p256")
        ]
    );
    assert!(enrolled["realPass"].is_object());

    let first = nation.login("a", 0).done();
    let again = nation.login("a", 0).done();
    let subject = nation.me(0, &first)["sub"].clone();
    assert_eq!(nation.me(0, &again)["sub"], subject);
    assert!(first["realPassEpoch"].is_u64());
    // A DID of SM3, by its multihash, with a key of SM2, by its multicodec.
    let did = text(&first, "did");
    nation.wallet("a", &["did", "anchor", &did]).done();
    let resolved = nation.run(&["resolve", &did]).done();
    let method = &resolved["didDocument"]["verificationMethod"][0];
    assert_eq!(method["type"], "Multikey");
    assert!(text(method, "publicKeyMultibase").starts_with("zEPJ"));
    let change = |what: &str| nation.wallet("a", &["did", what, &did]);
    change("rotate").done();
    nation.login("a", 0).done();
    change("freeze").done();
    assert_eq!(nation.login("a", 0).refused(), "did.frozen");
    change("recover").done();
    until("the recovery takes effect", Duration::from_secs(90), || {
        nation.login("a", 0).ok.then_some(())
    });
    let back = nation.login("a", 0).done();
    assert_eq!(nation.me(0, &back)["sub"], subject);

    // A wallet that is rebuilt from its kit, which is elsewhere, is the same person, with the DIDs that
    // were never changed.
    let stage = nation.login("a", 2).done();
    let subject = nation.me(2, &stage)["sub"].clone();
    nation.wallet("b", &["init", "--kit", &kit]).done();
    nation.enrol("b", &evidence).done();
    let rebuilt = nation.login("b", 2).done();
    assert_eq!(nation.me(2, &rebuilt)["sub"], subject);

    // A new gate is of SM2 too; another suite is refused by name.
    let (status, code) = register(&nation, &p256());
    assert_eq!((status, code.as_str()), (400, "registration.key_suite"));
    assert_eq!(register(&nation, &sm2()).0, 201);
}

#[test]
fn a_nation_on_sm2_alone_signs_people_in_by_a_pid_and_refuses_them_once_suspended() {
    let nation = Nation::start_with("did", "sm");
    let authority = nation.url("authority");
    let metadata = json_at(&format!("{authority}/.well-known/openid-credential-issuer"));
    let configurations = metadata["credential_configurations_supported"]
        .as_object()
        .unwrap();
    let mut names: Vec<&String> = configurations.keys().collect();
    names.sort();
    assert_eq!(
        names,
        [
            "organisation-sd-jwt",
            "pid-mdoc",
            "pid-sd-jwt",
            "pid-sd-jwt-x5c",
            "realpass"
        ]
    );
    let outside = &configurations["pid-sd-jwt-x5c"];
    assert_eq!(
        outside["credential_signing_alg_values_supported"],
        json!(["ES256"])
    );
    let pid = &configurations["pid-sd-jwt"];
    assert_eq!(
        pid["credential_signing_alg_values_supported"],
        json!(["SM2SM3"])
    );
    let proofs = &pid["proof_types_supported"]["jwt"];
    assert_eq!(
        proofs["proof_signing_alg_values_supported"],
        json!(["SM2SM3"])
    );
    let keys = json_at(&format!("{authority}/.well-known/jwt-vc-issuer"));
    let keys = keys["jwks"]["keys"].as_array().unwrap();
    assert_eq!(
        (&keys[0]["crv"], &keys[1]["crv"]),
        (&json!("SM2"), &json!("P-256"))
    );
    assert!(keys[0].get("x5c").is_none() && keys[1].get("x5c").is_some());
    let (status, body) = get(&format!("{authority}/ca.pem"), &[]);
    assert_eq!(status, 200, "{body}");

    let (person, evidence) = nation.residents().swap_remove(3);
    nation.enrol("a", &evidence).done();
    let first = nation.login("a", 0).done();
    let again = nation.login("a", 0).done();
    let subject = nation.me(0, &first)["sub"].clone();
    assert_eq!(nation.me(0, &again)["sub"], subject);
    assert_eq!(first["did"], again["did"]);
    nation.wallet("a", &["refresh"]).done();
    nation.login("a", 0).done();

    let operator = |what: &str, reason: &str| {
        nation.run(&["authority", what, "--person", &person, "--reason", reason])
    };
    operator("suspend", "lost-device").done();
    let refusal = until("the login is refused", Duration::from_secs(150), || {
        let login = nation.login("a", 0);
        (!login.ok).then(|| login.refused().to_owned())
    });
    assert_eq!(refusal, "enrolment.suspended");
    operator("restore", "cleared").done();
    until("the person is back", Duration::from_secs(60), || {
        nation.login("a", 0).ok.then_some(())
    });
}

#[test]
fn a_nation_without_sm2_refuses_a_gate_with_a_key_of_it() {
    let nation = Nation::start_with("person", "intl");
    let (status, code) = register(&nation, &sm2());
    assert_eq!((status, code.as_str()), (400, "registration.key_suite"));
    assert_eq!(register(&nation, &p256()).0, 201);
    let (_, evidence) = nation.residents().swap_remove(0);
    nation.enrol("a", &evidence).done();
    nation.login("a", 0).done();
}
