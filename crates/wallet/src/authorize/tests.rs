use super::*;
use crate::issue;
use crate::ledger::now_s;
use crate::test_world::{AskedFor, Reply, serve_heads};
use realdid_credential::jose::Alg;
use realdid_exchange::oidc::dpop;
use realdid_exchange::vci::ServerMetadata;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// How a server of these tests differs from an honest one.
#[derive(Clone)]
struct Server {
    metadata: fn(&mut ServerMetadata),
    issuer: fn(&mut IssuerMetadata),
    /// The query that the browser brings back, from the state and the server's URL; one after the
    /// other.
    back: fn(&str, &str) -> Vec<String>,
    token_type: &'static str,
}

fn honest() -> Server {
    Server {
        metadata: |_| {},
        issuer: |_| {},
        back: |state, own| vec![format!("code=c-1&state={state}&iss={}", encoded(own))],
        token_type: "DPoP",
    }
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn fields(body: &[u8]) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(body).into_owned().collect()
}

/// What went over the wire.
#[derive(Default)]
struct Seen {
    pushed: Option<BTreeMap<String, String>>,
    redeemed: Vec<BTreeMap<String, String>>,
    keys: Vec<String>,
    opened: Option<Url>,
    /// How the loopback answered the browser.
    browser: Vec<u16>,
}

fn answer(server: &Server, seen: &Mutex<Seen>, own: &str, asked: &AskedFor<'_>) -> Reply {
    let mut seen = seen.lock().unwrap();
    if let Some(proof) = asked.header("dpop") {
        let url = format!("{own}{}", asked.path());
        let proof = dpop::verify(proof, "POST", &url, None, now_s()).unwrap();
        seen.keys.push(proof.jkt);
    }
    match asked.path() {
        "/.well-known/openid-credential-issuer" => {
            let algs: (Alg, &[Alg]) = (Alg::Es256, &[Alg::Es256]);
            let mut metadata = IssuerMetadata::of_authority(own, "urn:x", "Test", algs);
            (server.issuer)(&mut metadata);
            Reply::json(200, serde_json::to_value(metadata).unwrap())
        }
        "/.well-known/oauth-authorization-server" => {
            let mut metadata = ServerMetadata::of_authority(own);
            (server.metadata)(&mut metadata);
            Reply::json(200, serde_json::to_value(metadata).unwrap())
        }
        "/par" => {
            seen.pushed = Some(fields(asked.body));
            Reply::json(201, json!({"request_uri": "urn:x:1", "expires_in": 60}))
        }
        "/token" => {
            seen.redeemed.push(fields(asked.body));
            let token = json!({"access_token": "a", "token_type": server.token_type});
            Reply::json(200, token)
        }
        other => panic!("nobody asks for {other}"),
    }
}

/// A receipt up to its token. The browser brings back what the server says.
async fn receive(server: Server) -> (Result<Grant, String>, Arc<Mutex<Seen>>) {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let (behind, into) = (server.clone(), seen.clone());
    let own = serve_heads(move |own, asked| answer(&behind, &into, own, asked)).await;
    let http = Http::new().unwrap();
    let source = match issue::discover(&http, &own, None).await {
        Ok(source) => source,
        Err(refused) => return (Err(refused.code), seen),
    };
    let configurations = ["pid-sd-jwt".to_owned()];
    let wish = Wish {
        configurations: &configurations,
        client_id: CLIENT_ID,
        issuer_state: Some("offer"),
    };
    let into = seen.clone();
    let tell = move |page: &Url| {
        let mut seen = into.lock().unwrap();
        seen.opened = Some(page.clone());
        let pushed = seen.pushed.clone().unwrap();
        let queries = (server.back)(&pushed["state"], &own);
        let into = into.clone();
        tokio::spawn(async move {
            for query in queries {
                let url = format!("{}?{query}", pushed["redirect_uri"]);
                let status = reqwest::get(url).await.unwrap().status().as_u16();
                into.lock().unwrap().browser.push(status);
            }
        });
    };
    let granted = authorize(&http, &source, wish, tell).await;
    (granted.map_err(|refused| refused.code), seen)
}

#[tokio::test]
async fn a_code_is_asked_for_by_push_and_redeemed_with_verifier_and_key() {
    let (granted, seen) = receive(honest()).await;
    assert!(granted.is_ok());
    let seen = seen.lock().unwrap();
    let pushed = seen.pushed.as_ref().unwrap();
    assert_eq!(pushed["response_type"], "code");
    assert_eq!(pushed["code_challenge_method"], "S256");
    assert_eq!(pushed["scope"], "pid-sd-jwt");
    assert_eq!(pushed["issuer_state"], "offer");
    assert!(pushed["redirect_uri"].starts_with("http://127.0.0.1:"));
    // the browser carries the name of the request and nothing else of it
    let opened: BTreeMap<_, _> = seen.opened.as_ref().unwrap().query_pairs().collect();
    let names: Vec<_> = opened.keys().map(AsRef::as_ref).collect();
    assert_eq!(names, ["client_id", "request_uri"]);
    assert_eq!(opened["request_uri"], "urn:x:1");
    let [redeemed] = seen.redeemed.as_slice() else {
        panic!("redeemed once")
    };
    assert_eq!(redeemed["code"], "c-1");
    assert_eq!(redeemed["redirect_uri"], pushed["redirect_uri"]);
    assert_eq!(
        code_challenge(&redeemed["code_verifier"]),
        pushed["code_challenge"]
    );
    // one key proves itself at both, and the request names it
    assert_eq!(seen.keys, [pushed["dpop_jkt"].as_str(); 2]);
}

#[tokio::test]
async fn p4_nothing_of_one_request_is_in_another_but_what_all_wallets_say() {
    let (first, second) = (receive(honest()).await.1, receive(honest()).await.1);
    let (first, second) = (first.lock().unwrap(), second.lock().unwrap());
    let (a, b) = (
        first.pushed.as_ref().unwrap(),
        second.pushed.as_ref().unwrap(),
    );
    for name in ["state", "code_challenge", "dpop_jkt"] {
        assert_ne!(a[name], b[name], "{name}");
    }
    assert_eq!(a["client_id"], CLIENT_ID);
    let path = |uri: &str| Url::parse(uri).unwrap().path().to_owned();
    assert_eq!(path(&a["redirect_uri"]), path(&b["redirect_uri"]));
}

#[tokio::test]
async fn hostile_answers_redeem_no_code() {
    let cases: [(&str, fn(&str, &str) -> Vec<String>); 7] = [
        ("vci.answer_issuer", |state, _| {
            vec![format!(
                "code=c&state={state}&iss=https%3A%2F%2Fother.example"
            )]
        }),
        ("vci.answer_issuer", |state, _| {
            vec![format!("code=c&state={state}")]
        }),
        ("vci.answer", |state, own| {
            let own = encoded(own);
            vec![format!("code=c&state={state}&iss={own}&code=d")]
        }),
        ("vci.answer", |state, own| {
            vec![format!("state={state}&iss={}", encoded(own))]
        }),
        ("vci.answer", |state, own| {
            vec![format!(
                "error=server_error&state={state}&iss={}",
                encoded(own)
            )]
        }),
        ("vci.answer", |state, own| {
            let own = encoded(own);
            vec![format!("code=c&error=x&state={state}&iss={own}")]
        }),
        ("vci.not_authorized", |state, own| {
            vec![format!(
                "error=access_denied&state={state}&iss={}",
                encoded(own)
            )]
        }),
    ];
    for (code, back) in cases {
        let (refused, seen) = receive(Server { back, ..honest() }).await;
        assert_eq!(refused.err().as_deref(), Some(code));
        assert!(seen.lock().unwrap().redeemed.is_empty(), "{code}");
    }
}

#[tokio::test]
async fn who_does_not_know_the_state_ends_no_wait() {
    let back: fn(&str, &str) -> Vec<String> = |state, own| {
        let own = encoded(own);
        vec![
            format!("code=evil&state=guess&iss={own}"),
            format!("code=evil&iss={own}"),
            "error=access_denied".to_owned(),
            format!("code=c-1&state={state}&iss={own}"),
        ]
    };
    let (granted, seen) = receive(Server { back, ..honest() }).await;
    assert!(granted.is_ok());
    let seen = seen.lock().unwrap();
    assert_eq!(seen.browser[..3], [404, 404, 404]);
    assert_eq!(seen.redeemed.len(), 1);
    assert_eq!(seen.redeemed[0]["code"], "c-1");
}

#[tokio::test]
async fn a_server_without_the_profile_or_out_of_place_is_asked_for_nothing() {
    let cases: [(&str, fn(&mut ServerMetadata)); 7] = [
        ("vci.server", |metadata| {
            metadata.pushed_authorization_request_endpoint = None;
        }),
        ("vci.server", |metadata| {
            metadata.authorization_endpoint = None
        }),
        ("vci.server", |metadata| {
            metadata.code_challenge_methods_supported = vec!["plain".into()];
        }),
        // another server's name: a mix-up begins so
        ("vci.metadata", |metadata| {
            metadata.issuer = "https://other.example".into();
        }),
        // plain http to where others listen, and addresses that are none
        ("vci.metadata", |metadata| {
            metadata.token_endpoint = "http://token.example/token".into();
        }),
        ("vci.metadata", |metadata| {
            metadata.pushed_authorization_request_endpoint = Some("http://10.0.0.1/par".into());
        }),
        ("vci.metadata", |metadata| {
            metadata.authorization_endpoint = Some("file:///etc/passwd".into());
        }),
    ];
    for (code, metadata) in cases {
        let (refused, seen) = receive(Server {
            metadata,
            ..honest()
        })
        .await;
        assert_eq!(refused.err().as_deref(), Some(code));
        assert!(seen.lock().unwrap().pushed.is_none(), "{code}");
    }
    let strange: [fn(&mut IssuerMetadata); 3] = [
        |metadata| metadata.credential_issuer = "https://other.example".into(),
        |metadata| metadata.credential_endpoint = "http://issuer.example/c".into(),
        // more than anybody says about itself
        |metadata| {
            let padding = json!("x".repeat(realdid_exchange::vci::MAX_METADATA_BYTES));
            metadata.display = Some(padding);
        },
    ];
    for issuer in strange {
        let (refused, seen) = receive(Server { issuer, ..honest() }).await;
        assert_eq!(refused.err().as_deref(), Some("vci.metadata"));
        assert!(seen.lock().unwrap().pushed.is_none());
    }
}

#[tokio::test]
async fn a_token_that_is_not_bound_to_the_key_is_refused() {
    let bearer = Server {
        token_type: "Bearer",
        ..honest()
    };
    let (refused, _) = receive(bearer).await;
    assert_eq!(refused.err().as_deref(), Some("vci.unbound"));
}

#[test]
fn configurations_without_a_scope_are_asked_for_by_details() {
    let algs: (Alg, &[Alg]) = (Alg::Es256, &[Alg::Es256]);
    let mut metadata = IssuerMetadata::of_authority("https://a.example", "urn:x", "Test", algs);
    let ids = ["pid-sd-jwt".to_owned(), "pid-mdoc".to_owned()];
    let mut scoped = |scope: serde_json::Value| {
        metadata.credential_configurations_supported["pid-mdoc"]["scope"] = scope;
        asked_by(&metadata, &ids)
    };
    let by_scope = vec!["pid-sd-jwt".to_owned(), "eu.pid".to_owned()];
    assert_eq!(scoped(json!("eu.pid")), (by_scope, false));
    for none in [
        json!(null),
        json!(""),
        json!("a b"),
        json!("a\"b"),
        json!(1),
    ] {
        assert_eq!(scoped(none), (ids.to_vec(), true));
    }
}
