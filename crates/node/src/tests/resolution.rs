//! DIDs resolved and DID URLs dereferenced at a real node over HTTP (spec/did.md, D13 to D21): what
//! `light::resolve` makes is what goes over the socket.

use super::*;
use reqwest::{Method, StatusCode, redirect};
use serde_json::{Value, json};

const RESULT: &str = "application/did-resolution";
const PART: &str = "application/did-url-dereferencing";
const DOCUMENT: &str = "application/did";

/// What is sent to a node, and what of its answer counts.
struct Case<'a> {
    method: Method,
    path: String,
    accept: Option<&'a str>,
    body: Option<Value>,
    status: u16,
    content_type: Option<&'a str>,
    /// Places in the answer and what stands there.
    says: Vec<(&'a str, Value)>,
}

fn inception(genesis: &Genesis, seed: u8, endpoints: &[&str]) -> Inception {
    Inception {
        version: 1,
        network: genesis.network.clone(),
        keys: Keys {
            current: vec![key(seed).public()],
            next: commitment(&key(seed + 1).public()),
            recovery: commitment(&key(seed + 2).public()),
        },
        endpoints: endpoints.iter().map(|url| (*url).to_owned()).collect(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d13_a_node_resolves_and_dereferences_over_http() {
    let dir = tempfile::tempdir().unwrap();
    let (genesis, config) = network(dir.path(), crate::host::unix_ms());
    let base = format!("http://{}", config.listen);
    let node = NodeClient::new(vec![base.clone()]).unwrap();
    start(&config, &node).await;
    let organisation = inception(&genesis, 20, &["https://issuer.example/files/"]);
    let ended = inception(&genesis, 30, &[]);
    let implicit = inception(&genesis, 40, &[]);
    let wait = Duration::from_secs(20);
    let mut height = 0;
    let operation = |body| Operation::new(genesis.network.clone(), 5_000, body);
    for (inception, seed) in [(&organisation, 20), (&ended, 30)] {
        let anchor = operation(Body::Anchor(inception.clone()))
            .sign(&[&key(seed)])
            .sponsored(issuer().id(BY), &key(9));
        height = node
            .submit_and_wait(&anchor, wait)
            .await
            .unwrap()
            .max(height);
    }
    let end = operation(Body::Deactivate(ended.id(), 1)).sign(&[&key(30)]);
    height = node.submit_and_wait(&end, wait).await.unwrap().max(height);
    let key_of_ended = did_key(BY, &ended.id());
    node.state_at_least(&key_of_ended, height, wait)
        .await
        .unwrap();

    let (organisation, ended) = (organisation.did(), ended.did());
    let given = URL_SAFE_NO_PAD.encode(codec::encode(&implicit));
    let implicit = implicit.did();
    let case = |path: String, accept, status, content_type, says: &[(&'static str, Value)]| Case {
        method: Method::GET,
        path,
        accept,
        body: None,
        status,
        content_type,
        says: says.to_vec(),
    };
    let refusal = |path: String, accept, status, envelope, kind: &str, code: &str| {
        let error = match envelope {
            PART => [
                "/dereferencingMetadata/error/type",
                "/dereferencingMetadata/error/code",
            ],
            _ => [
                "/didResolutionMetadata/error/type",
                "/didResolutionMetadata/error/code",
            ],
        };
        let kind = json!(format!("https://www.w3.org/ns/did#{kind}"));
        let says = [(error[0], kind), (error[1], json!(code))];
        case(path, accept, status, Some(envelope), &says)
    };
    let verified = ("/didResolutionMetadata/verified", json!(true));
    let cases = vec![
        case(
            organisation.to_string(),
            None,
            200,
            Some(RESULT),
            &[
                ("/didDocument/id", json!(organisation.to_string())),
                ("/didResolutionMetadata/proof/0/kind", json!("inclusion")),
                ("/didDocumentMetadata/versionId", json!("0")),
                verified.clone(),
            ],
        ),
        case(
            organisation.to_string(),
            Some(DOCUMENT),
            200,
            Some(DOCUMENT),
            &[("/id", json!(organisation.to_string()))],
        ),
        case(
            organisation.to_string(),
            Some("application/did+ld+json"),
            200,
            Some("application/did+ld+json"),
            &[("/id", json!(organisation.to_string()))],
        ),
        // the DID percent-encoded, as clients with options send it
        case(
            format!(
                "{}?versionId=0",
                organisation.to_string().replace(':', "%3A")
            ),
            Some(RESULT),
            200,
            Some(RESULT),
            &[("/didDocument/id", json!(organisation.to_string()))],
        ),
        case(
            format!("{organisation}%23key-1"),
            Some(DOCUMENT),
            200,
            Some(DOCUMENT),
            &[("/id", json!(format!("{organisation}#key-1")))],
        ),
        case(
            format!("{organisation}%3Fservice%3Dservice-1"),
            None,
            200,
            Some(PART),
            &[(
                "/content/service/0/id",
                json!(format!("{organisation}#service-1")),
            )],
        ),
        case(
            format!("{organisation}?service=service-1&relativeRef=%2Fa%3Fb=c"),
            Some("text/uri-list"),
            303,
            None,
            &[("location", json!("https://issuer.example/a?b=c"))],
        ),
        case(
            format!("{implicit}?inception={given}"),
            None,
            200,
            Some(RESULT),
            &[
                ("/didResolutionMetadata/proof/0/kind", json!("exclusion")),
                ("/didDocumentMetadata/anchored", json!(false)),
            ],
        ),
        Case {
            method: Method::POST,
            body: Some(json!({"inception": given, "noCache": true})),
            ..case(
                implicit.to_string(),
                None,
                200,
                Some(RESULT),
                &[("/didDocument/id", json!(implicit.to_string()))],
            )
        },
        Case {
            method: Method::POST,
            body: Some(json!(["inception"])),
            ..refusal(
                implicit.to_string(),
                None,
                400,
                RESULT,
                "INVALID_OPTIONS",
                "did.option",
            )
        },
        case(
            ended.to_string(),
            Some(DOCUMENT),
            410,
            Some(RESULT),
            &[
                ("/didDocument", Value::Null),
                ("/didDocumentMetadata/deactivated", json!(true)),
                verified.clone(),
            ],
        ),
        case(
            format!("{ended}%23key-1"),
            None,
            410,
            Some(PART),
            &[("/contentMetadata/deactivated", json!(true))],
        ),
        refusal(
            "hello".into(),
            None,
            400,
            RESULT,
            "INVALID_DID",
            "did.invalid",
        ),
        refusal(
            format!("{organisation}%23a%23"),
            None,
            400,
            PART,
            "INVALID_DID_URL",
            "did.url",
        ),
        refusal(
            format!("{organisation}?versionTime=yesterday"),
            None,
            400,
            RESULT,
            "INVALID_OPTIONS",
            "did.version",
        ),
        Case {
            says: vec![
                ("/didResolutionMetadata/error/code", json!("did.unknown")),
                ("/didResolutionMetadata/proof/0/kind", json!("exclusion")),
                verified,
            ],
            ..refusal(
                implicit.to_string(),
                None,
                404,
                RESULT,
                "NOT_FOUND",
                "did.unknown",
            )
        },
        refusal(
            format!("{organisation}/whois"),
            None,
            404,
            PART,
            "NOT_FOUND",
            "did.part_unknown",
        ),
        refusal(
            organisation.to_string(),
            Some("text/html"),
            406,
            RESULT,
            "REPRESENTATION_NOT_SUPPORTED",
            "did.accept",
        ),
        refusal(
            "did:web:example.org".into(),
            None,
            501,
            RESULT,
            "METHOD_NOT_SUPPORTED",
            "did.method",
        ),
        refusal(
            format!("{organisation}?colour=red"),
            None,
            501,
            RESULT,
            "FEATURE_NOT_SUPPORTED",
            "did.option_unknown",
        ),
        refusal(
            organisation.to_string().replace(":dev:", ":cn:"),
            None,
            404,
            RESULT,
            "NOT_FOUND",
            "light.network",
        ),
    ];
    let client = reqwest::Client::builder().redirect(redirect::Policy::none());
    let client = client.build().unwrap();
    for case in cases {
        let url = format!("{base}/1.0/identifiers/{}", case.path);
        let mut request = client.request(case.method, &url);
        if let Some(accept) = case.accept {
            request = request.header("accept", accept);
        }
        if let Some(body) = &case.body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let what = format!("{} {:?}", case.path, case.accept);
        assert_eq!(response.status().as_u16(), case.status, "{what}");
        let header = |name: &str| {
            let value = response.headers().get(name);
            value.map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(
            header("content-type").as_deref(),
            case.content_type,
            "{what}"
        );
        let location = header("location");
        let text = response.text().await.unwrap();
        let body: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        for (place, value) in case.says {
            let said = match place {
                "location" => location.as_ref().map(|location| json!(location)),
                place => body.pointer(place).cloned(),
            };
            assert_eq!(said, Some(value), "{what}: {place} of {text}");
        }
    }
    // what a Universal Resolver asks a driver
    let driver = async |path: &str| {
        let answer = reqwest::get(format!("{base}{path}")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.json::<Value>().await.unwrap()
    };
    assert_eq!(driver("/1.0/methods").await, json!(["rdid"]));
    let properties = driver("/1.0/properties").await;
    assert_eq!(properties["genesis"], genesis.digest().to_string());
    assert_eq!(properties["network"], "dev");
}

/// D18: a node keeps the proof of each version before it changes, and gives it with the answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d18_a_node_proves_the_versions_that_there_were() {
    let dir = tempfile::tempdir().unwrap();
    let (genesis, config) = network(dir.path(), crate::host::unix_ms());
    let base = format!("http://{}", config.listen);
    let node = NodeClient::new(vec![base.clone()]).unwrap();
    start(&config, &node).await;
    let first = inception(&genesis, 50, &[]);
    let did = first.did();
    let wait = Duration::from_secs(20);
    let operation = |body| Operation::new(genesis.network.clone(), 5_000, body);
    let state_key = did_key(BY, &first.id());
    // Each key of a version is the next one of the version before.
    let keys = |seed: u8| Keys {
        current: vec![key(seed + 10).public()],
        next: commitment(&key(seed + 1).public()),
        recovery: first.keys.recovery,
    };
    let anchor = operation(Body::Anchor(first.clone()))
        .sign(&[&key(50)])
        .sponsored(issuer().id(BY), &key(9));
    let mut operations = vec![anchor];
    for seq in 1..=3u8 {
        let rotate = Body::Rotate(first.id(), seq.into(), keys(60 + seq));
        let by = if seq == 1 { key(51) } else { key(60 + seq) };
        operations.push(operation(rotate).sign(&[&by]));
    }
    let mut times = Vec::new();
    for signed in &operations {
        let height = node.submit_and_wait(signed, wait).await.unwrap();
        // Each in a state of its own: the slot is closed.
        node.state_at_least(&state_key, height, wait).await.unwrap();
        let url = format!("{base}/1.0/identifiers/{did}");
        let newest: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
        let about = newest["didDocumentMetadata"].clone();
        times.push((newest["didDocument"].clone(), about));
    }
    for (seq, (document, about)) in times.iter().enumerate() {
        let asked = [format!("versionId={seq}"), {
            let begun = about.get("updated").or(about.get("created"));
            format!("versionTime={}", begun.unwrap().as_str().unwrap())
        }];
        for query in asked {
            let url = format!("{base}/1.0/identifiers/{did}?{query}");
            let answer = reqwest::get(url).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK, "{query}");
            let told: Value = answer.json().await.unwrap();
            assert_eq!(told["didDocument"], *document, "{query}");
            let metadata = &told["didDocumentMetadata"];
            assert_eq!(metadata["versionId"], seq.to_string(), "{query}");
            if let Some((_, next)) = times.get(seq + 1) {
                assert_eq!(metadata["nextVersionId"], (seq + 1).to_string());
                assert_eq!(metadata["nextUpdate"], next["updated"], "{query}");
            }
            assert_eq!(told["didResolutionMetadata"]["verified"], true);
        }
    }
    // What is asked for in no way, or in two, is refused by its rule.
    let key = hex::encode(state_key);
    for query in ["", "seq=1&time_ms=1"] {
        let answer = reqwest::get(format!("{base}/v1/past/{key}?{query}"))
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], "state.past");
    }
}
