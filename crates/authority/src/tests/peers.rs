//! A wallet that others wrote, `@openid4vc/openid4vci` on Node, against our routes over a real
//! socket.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realdid_credential::jose::decode_unverified;
use realdid_credential::mdoc::{Mdoc, claimed_chain};
use realdid_testkit::peer;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_of_others_gets_both_formats_and_is_refused_by_name() {
    let nation = Nation::new().await;
    let enrolled = nation.enrolled(0).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = nation.router();
    let served = tokio::spawn(async move { axum::serve(listener, router).await });
    let case = json!({
        "url": url,
        "issuer": AUTHORITY,
        "now": nation.authority.clock.now_s(),
        "evidence": nation.evidence(0),
        "offer": enrolled.credential_offer,
        "txCode": enrolled.tx_code,
    });
    let ask = move || peer::ask(env!("CARGO_MANIFEST_DIR"), "wallet.mjs", &case);
    let seen = tokio::task::spawn_blocking(ask).await;
    let seen = seen.unwrap();
    served.abort();

    assert_eq!(seen["version"], "V1", "{seen}");
    assert_eq!(
        (&seen["tokenType"], &seen["preauthorizedType"]),
        (&json!("DPoP"), &json!("DPoP"))
    );
    assert_eq!(seen["notified"], true);
    let copies = seen["sdJwt"].as_array().unwrap();
    assert_eq!(copies.len(), 2);
    let certificates = nation.authority.keys.certificates.as_ref().unwrap();
    let copy = copies[0].as_str().unwrap();
    let jws = decode_unverified(copy.split('~').next().unwrap()).unwrap();
    assert_eq!(jws.header["x5c"], json!(certificates.x5c));
    let bytes = URL_SAFE_NO_PAD
        .decode(seen["mdoc"][0].as_str().unwrap())
        .unwrap();
    assert!(Mdoc::parse(&bytes).unwrap().plain().is_some());
    assert_eq!(
        claimed_chain(&bytes).unwrap(),
        vec![certificates.leaf.clone()]
    );

    let refused = &seen["refused"];
    for (what, code) in [
        ("wrong transaction code", "vci.grant"),
        ("code used twice", "vci.grant"),
        ("another verifier", "vci.grant"),
        ("another key for the code", "vci.grant"),
        ("unknown scope", "vci.scope"),
        ("a nonce used twice", "vci.proof_nonce"),
        ("a nonce of somebody else", "vci.proof_nonce"),
        ("a proof for another issuer", "vci.proof_audience"),
        ("a tampered proof", "vci.proof_signature"),
        ("one key twice", "vci.proof_keys"),
        ("what was not authorized", "vci.unknown_configuration"),
        ("a stolen token", "vci.dpop_key"),
        ("an unknown transaction", "vci.transaction_id"),
        ("an unknown notification", "vci.notification_id"),
    ] {
        assert_eq!(refused[what], code, "{what}: {refused}");
    }
    // the peer's own check of who answered (RFC 9207)
    let other = refused["another issuer in the answer"].as_str().unwrap();
    assert!(other.starts_with("by the client"), "{other}");
}
