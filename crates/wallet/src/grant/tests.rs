use super::*;
use crate::test_world::{AskedFor, Reply, serve_heads};
use realdid_exchange::oidc::dpop::DpopProof;
use realdid_exchange::vci::{IssuerMetadata, ServerMetadata};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

fn es256() -> (
    realdid_credential::jose::Alg,
    &'static [realdid_credential::jose::Alg],
) {
    use realdid_credential::jose::Alg::Es256;
    (Es256, &[Es256])
}

/// An issuer at `url` that is its own authorization server.
fn source(url: &str) -> Source {
    Source {
        metadata: IssuerMetadata::of_authority(url, "urn:x", "Test", es256()),
        server: ServerMetadata::of_authority(url),
    }
}

/// The proof of a request, verified as a server verifies it.
fn proof(own: &str, asked: &AskedFor<'_>, token: Option<&str>) -> Option<DpopProof> {
    let url = format!("{own}{}", asked.path());
    let proof = asked.header("dpop")?;
    dpop::verify(proof, "POST", &url, token, now_s()).ok()
}

fn token(kind: &str) -> Value {
    json!({"access_token": "access", "token_type": kind, "refresh_token": "again"})
}

fn wants(nonce: &str) -> Reply {
    Reply::json(400, json!({"error": "use_dpop_nonce"})).with("dpop-nonce", nonce)
}

fn pre_authorized() -> TokenRequest {
    TokenRequest::PreAuthorized {
        code: "code".into(),
        tx_code: None,
    }
}

/// Opens a grant at a server that answers like this; with all proofs that came.
async fn open_at(
    answer: impl Fn(usize, Option<&str>) -> Reply + Send + 'static,
) -> (Result<Grant, String>, Vec<DpopProof>) {
    let seen = Arc::new(Mutex::new(vec![]));
    let into = seen.clone();
    let url = serve_heads(move |own, asked| {
        let proof = proof(own, asked, None).expect("a proof for this request");
        let mut seen = into.lock().unwrap();
        let reply = answer(seen.len(), proof.nonce.as_deref());
        seen.push(proof);
        reply
    })
    .await;
    let (http, source) = (Http::new().unwrap(), source(&url));
    let prover = source.prover().unwrap();
    let opened = Grant::open(&http, &source, &pre_authorized(), prover).await;
    let seen = seen.lock().unwrap().clone();
    (opened.map_err(|error| error.code), seen)
}

#[tokio::test]
async fn a_token_is_asked_for_with_a_proof_again_with_the_nonce_that_is_wanted() {
    let (grant, proofs) = open_at(|_, nonce| match nonce {
        Some("n1") => Reply::json(200, token("DPoP")),
        _ => wants("n1"),
    })
    .await;
    let kept = grant.unwrap().refresh().unwrap();
    assert_eq!(kept.token.as_str(), "again");
    let key = Prover::of(kept.key.unwrap()).unwrap();
    assert_eq!(proofs.len(), 2);
    assert!(proofs.iter().all(|proof| proof.jkt == key.thumbprint()));
    assert_ne!(proofs[0].id, proofs[1].id, "each proof is used once");
}

#[tokio::test]
async fn p4_each_grant_has_a_key_of_its_own() {
    let good = || open_at(|_, _| Reply::json(200, token("DPoP")));
    let keys = [good().await.1, good().await.1].map(|proofs| proofs[0].jkt.clone());
    assert_ne!(keys[0], keys[1]);
}

#[tokio::test]
async fn a_server_that_is_never_content_is_asked_twice_and_no_more() {
    // another nonce each time, the same one again, none at all, or what no header can carry
    for nonces in [["a", "b"], ["a", "a"]] {
        let (refused, proofs) = open_at(move |n, _| wants(nonces.get(n).unwrap())).await;
        assert_eq!(refused.err().as_deref(), Some("use_dpop_nonce"));
        assert_eq!(proofs.len(), 2);
    }
    let long = "n".repeat(MAX_NONCE_BYTES + 1);
    let (refused, proofs) = open_at(move |_, _| wants(&long)).await;
    assert_eq!(refused.err().as_deref(), Some("use_dpop_nonce"));
    assert_eq!(proofs.len(), 1);
    let none = |_, _: Option<&str>| Reply::json(400, json!({"error": "use_dpop_nonce"}));
    let (refused, proofs) = open_at(none).await;
    assert_eq!(refused.err().as_deref(), Some("use_dpop_nonce"));
    assert_eq!(proofs.len(), 1);
    // another refusal is one, whatever nonce comes with it
    let other = |_, _: Option<&str>| {
        Reply::json(400, json!({"error": "invalid_grant"})).with("dpop-nonce", "n")
    };
    let (refused, proofs) = open_at(other).await;
    assert_eq!(refused.err().as_deref(), Some("invalid_grant"));
    assert_eq!(proofs.len(), 1);
}

#[tokio::test]
async fn a_bearers_token_is_refused_where_a_bound_one_was_asked_for() {
    for answer in [
        token("Bearer"),
        token("bearer"),
        json!({"access_token": "a b", "token_type": "DPoP"}),
        json!({"access_token": "", "token_type": "DPoP"}),
        json!({"access_token": "a", "token_type": "mac"}),
        json!({"token_type": "DPoP"}),
    ] {
        let bound = answer["token_type"].as_str().unwrap().to_lowercase() == "bearer";
        let (refused, _) = open_at(move |_, _| Reply::json(200, answer.clone())).await;
        let code = if bound { "vci.unbound" } else { "vci.response" };
        assert_eq!(refused.err().as_deref(), Some(code));
    }
}

#[tokio::test]
async fn where_no_key_is_bound_none_is_shown() {
    let url = serve_heads(|_, asked| {
        assert!(asked.header("dpop").is_none());
        match asked.path() {
            "/token" => Reply::json(200, token("Bearer")),
            _ => {
                assert_eq!(asked.header("authorization"), Some("Bearer access"));
                Reply::json(200, json!({}))
            }
        }
    })
    .await;
    let mut source = source(&url);
    source.server.dpop_signing_alg_values_supported = vec!["RS256".into()];
    let http = Http::new().unwrap();
    let prover = source.prover().unwrap();
    assert!(prover.is_none());
    let mut grant = Grant::open(&http, &source, &pre_authorized(), prover)
        .await
        .ok()
        .unwrap();
    let url = Url::parse(&format!("{url}/credential")).unwrap();
    let answer = grant.post_json(&http, &url, &json!({})).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(grant.refresh().unwrap().key, None);
}

#[tokio::test]
async fn a_bound_token_is_shown_with_its_hash_and_refreshed_by_its_key_after_a_restart() {
    // the resource is another server than the token endpoint, with nonces of its own
    let resource = serve_heads(|own, asked| {
        let proof = proof(own, asked, Some("access")).expect("a proof with the token's hash");
        assert_eq!(asked.header("authorization"), Some("DPoP access"));
        match proof.nonce.as_deref() {
            Some("of-resource") => Reply::json(200, json!({})),
            None => Reply::json(401, json!({}))
                .with("www-authenticate", "DPoP error=\"use_dpop_nonce\"")
                .with("dpop-nonce", "of-resource"),
            other => panic!("a nonce of another server: {other:?}"),
        }
    })
    .await;
    let keys = Arc::new(Mutex::new(vec![]));
    let into = keys.clone();
    let url = serve_heads(move |own, asked| {
        let proof = proof(own, asked, None).unwrap();
        into.lock().unwrap().push(proof.jkt);
        Reply::json(200, token("DPoP")).with("dpop-nonce", "of-server")
    })
    .await;
    let (http, source) = (Http::new().unwrap(), source(&url));
    let prover = source.prover().unwrap();
    let opened = Grant::open(&http, &source, &pre_authorized(), prover).await;
    let mut grant = opened.ok().unwrap();
    let resource = Url::parse(&format!("{resource}/credential?a=b#c")).unwrap();
    let answer = grant.post_json(&http, &resource, &json!({})).await.unwrap();
    assert_eq!(answer.status, 200);
    let kept = grant.refresh().unwrap();
    drop(grant);
    Grant::refreshed(&http, &source, &kept).await.ok().unwrap();
    let keys = keys.lock().unwrap();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1]);
}
