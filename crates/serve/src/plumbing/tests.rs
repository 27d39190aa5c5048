use super::*;
use axum::body::to_bytes;
use axum::routing::post;
use serde_json::{Value, json};
use tower::ServiceExt;

fn router(probes: Probes) -> Router {
    let routes = Router::new()
        .route("/people/{id}", get(|| async { "a person" }))
        .route("/panic", get(panics))
        .route("/slow", get(|| tokio::time::sleep(Duration::from_secs(5))))
        .route("/echo", post(|body: String| async { body }))
        .route(
            "/json",
            post(|Json(number): Json<u32>| async move { number.to_string() }),
        )
        .route(
            "/own",
            get(|| async {
                (
                    [(header::CONTENT_SECURITY_POLICY, "default-src 'self'")],
                    "own",
                )
            }),
        );
    let mut options = ServeOptions::at(([127, 0, 0, 1], 0).into());
    options.body_limit_bytes = 64;
    options.request_timeout = Duration::from_millis(100);
    plumb("test", routes, probes, &options)
}

async fn panics() {
    let secret = "11010119900307001X";
    panic!("the value was {secret}");
}

async fn call(probes: Probes, request: Request) -> Response {
    router(probes).oneshot(request).await.unwrap()
}

fn probes() -> Probes {
    Probes::new(OpenApi::default())
}

fn fetch(path: &str) -> Request {
    Request::builder().uri(path).body(Body::empty()).unwrap()
}

fn send(path: &str, kind: &str, body: &'static str) -> Request {
    Request::builder()
        .method("POST")
        .uri(path)
        .header("content-type", kind)
        .body(Body::from(body))
        .unwrap()
}

async fn text(response: Response) -> String {
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn code(response: Response) -> String {
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let body: Value = serde_json::from_str(&text(response).await).unwrap();
    body["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn readiness_answers_with_reasons() {
    let ready = call(probes(), fetch("/readyz")).await;
    assert_eq!(ready.status(), 200);
    let waiting = probes().ready_when(|| async { vec!["no checkpoint yet".to_owned()] });
    let response = call(waiting, fetch("/readyz")).await;
    assert_eq!(response.status(), 503);
    let body: Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!(
        body,
        json!({"ready": false, "reasons": ["no checkpoint yet"]})
    );
}

#[tokio::test]
async fn liveness_does_not_depend_on_readiness() {
    let waiting = probes().ready_when(|| async { vec!["not yet".to_owned()] });
    assert_eq!(call(waiting, fetch("/healthz")).await.status(), 200);
}

#[tokio::test]
async fn metrics_are_keyed_by_route_and_hold_no_path() {
    call(probes(), fetch("/people/zhang-san?name=li-si")).await;
    call(probes(), fetch("/not-a-route/zhang-san")).await;
    let body = text(call(probes(), fetch("/metrics")).await).await;
    assert!(body.contains("http_requests_total{part=\"test\",route=\"/people/{id}\",method=\"GET\",status=\"200\"}"), "{body}");
    assert!(body.contains("route=\"unmatched\""), "{body}");
    assert!(
        body.contains("http_request_duration_seconds_bucket"),
        "{body}"
    );
    assert!(
        !body.contains("zhang-san") && !body.contains("li-si"),
        "{body}"
    );
}

#[tokio::test]
async fn the_description_includes_the_probes() {
    let response = call(probes(), fetch("/openapi.json")).await;
    assert_eq!(response.headers()["content-type"], "application/json");
    let body: Value = serde_json::from_str(&text(response).await).unwrap();
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json"] {
        assert!(body["paths"][path]["get"].is_object(), "{path}");
    }
}

#[tokio::test]
async fn a_panic_becomes_a_problem_without_details() {
    let response = call(probes(), fetch("/panic")).await;
    assert_eq!(response.status(), 500);
    assert!(response.headers().contains_key("x-content-type-options"));
    let body = text(response).await;
    assert!(body.contains("\"internal\""), "{body}");
    assert!(!body.contains("1990"), "{body}");
}

#[tokio::test]
async fn a_slow_request_is_given_up() {
    let response = call(probes(), fetch("/slow")).await;
    assert_eq!(response.status(), 503);
    assert_eq!(code(response).await, "request.timeout");
}

#[tokio::test]
async fn an_oversized_body_is_refused() {
    let fits = call(probes(), send("/echo", "text/plain", "short")).await;
    assert_eq!(fits.status(), 200);
    let long = "0123456789012345678901234567890123456789012345678901234567890123456789";
    let response = call(probes(), send("/echo", "text/plain", long)).await;
    assert_eq!(response.status(), 413);
    assert_eq!(code(response).await, "request.too_large");
}

#[tokio::test]
async fn framework_rejections_become_problems_that_quote_nothing() {
    let response = call(probes(), send("/json", "application/json", "\"li-si\"")).await;
    assert_eq!(response.status(), 422);
    let body = text(response).await;
    assert!(body.contains("request.malformed"), "{body}");
    assert!(!body.contains("li-si"), "{body}");

    let response = call(probes(), send("/json", "text/plain", "7")).await;
    assert_eq!(code(response).await, "request.media_type");
    let response = call(probes(), fetch("/nowhere")).await;
    assert_eq!(code(response).await, "request.not_found");
    let response = call(probes(), fetch("/echo")).await;
    assert_eq!(response.headers()["allow"], "POST");
    assert_eq!(code(response).await, "request.method");
}

#[tokio::test]
async fn security_headers_are_defaults_that_a_page_may_replace() {
    let response = call(probes(), fetch("/people/1")).await;
    let headers = response.headers();
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["referrer-policy"], "same-origin");
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(headers["content-security-policy"], DEFAULT_CSP);
    let own = call(probes(), fetch("/own")).await;
    let policies: Vec<_> = own
        .headers()
        .get_all("content-security-policy")
        .iter()
        .collect();
    assert_eq!(policies, ["default-src 'self'"]);
}

/// A request from a peer.
fn from(peer: &str, path: &str, forwarded_for: Option<&str>) -> Request {
    let peer: std::net::SocketAddr = peer.parse().unwrap();
    let mut request = Request::builder()
        .uri(path)
        .extension(axum::extract::ConnectInfo(peer));
    if let Some(sources) = forwarded_for {
        request = request.header("x-forwarded-for", sources);
    }
    request.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn each_source_has_a_rate_behind_a_proxy_too_and_probes_have_none() {
    let mut options = ServeOptions::at(([127, 0, 0, 1], 0).into());
    options.rate = Some(crate::RateConfig {
        burst: 2,
        per_second: 0.001,
        trusted_proxies: vec!["192.0.2.7".parse().unwrap()],
        ..crate::RateConfig::default()
    });
    let narrow = crate::RateLimit {
        burst: 1,
        per_second: 0.001,
        max_sources: 10,
    };
    let guessed = Router::new().route("/guess", get(|| async { "wrong" }));
    let routes = Router::new()
        .route("/page", get(|| async { "a page" }))
        .merge(crate::limit_rate(guessed, narrow));
    let router = plumb("test", routes, probes(), &options);
    let status = async |peer: &str, path: &str, forwarded_for: Option<&str>| {
        let request = from(peer, path, forwarded_for);
        router
            .clone()
            .oneshot(request)
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    const CLIENT: &str = "203.0.113.5:4000";
    const PROXY: &str = "192.0.2.7:4000";
    assert_eq!(status(CLIENT, "/page", None).await, 200);
    // What it says of itself makes no other source of it, and a path that there is not counts too.
    assert_eq!(status(CLIENT, "/none", Some("198.51.100.1")).await, 404);
    let refused = from(CLIENT, "/page", Some("198.51.100.2"));
    let refused = router.clone().oneshot(refused).await.unwrap();
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key(header::RETRY_AFTER));
    assert_eq!(
        refused.headers()[header::CONTENT_TYPE],
        "application/problem+json"
    );
    assert!(text(refused).await.contains("\"request.rate\""));
    assert_eq!(status(CLIENT, "/healthz", None).await, 200);
    // Behind the proxy each has their own, the narrow one of some routes included.
    for client in ["203.0.113.6", "203.0.113.7"] {
        assert_eq!(status(PROXY, "/guess", Some(client)).await, 200);
        assert_eq!(status(PROXY, "/guess", Some(client)).await, 429);
        assert_eq!(status(PROXY, "/page", Some(client)).await, 429);
    }
    // This machine is exempt from the wide limit and not from the narrow one.
    for _ in 0..4 {
        assert_eq!(status("127.0.0.1:4000", "/page", None).await, 200);
    }
    assert_eq!(status("127.0.0.1:4000", "/guess", None).await, 200);
    assert_eq!(status("127.0.0.1:4001", "/guess", None).await, 429);
}

/// What a part leaves out of its description is said for it, and what it says stays.
#[tokio::test]
async fn the_description_has_what_the_plumbing_answers() {
    let described: OpenApi = serde_json::from_value(json!({
        "openapi": "3.1.0",
        "info": {"title": "test", "version": "1"},
        "paths": {
            "/things/{id}": {"post": {
                "tags": ["OpenID4VCI"],
                "parameters": [{"name": "id", "in": "path", "required": true, "schema": {"type": "string"}}],
                "requestBody": {"content": {"application/json": {}}},
                "responses": {
                    "200": {"description": "done"},
                    "400": {"description": "own", "content": {"text/html": {}}},
                    "404": {"description": "none"},
                },
            }},
            "/page": {"get": {"responses": {"200": {"description": "a page"}}}},
        },
    }))
    .unwrap();
    let answer = call(Probes::new(described), fetch("/openapi.json")).await;
    let api: Value = serde_json::from_str(&text(answer).await).unwrap();
    let thing = &api["paths"]["/things/{id}"]["post"]["responses"];
    let statuses = |responses: &Value| {
        let all = responses.as_object().unwrap().keys().cloned();
        all.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(statuses(thing), "200 400 404 413 503");
    let problem = json!({"schema": {"$ref": "#/components/schemas/Problem"}});
    assert_eq!(thing["404"]["content"]["application/problem+json"], problem);
    let both = thing["404"]["content"].as_object().unwrap().len();
    assert_eq!(both, 2, "in the form of OAuth too");
    let own = json!({"text/html": {}, "application/problem+json": problem});
    assert_eq!(thing["400"]["content"], own);
    assert_eq!(
        statuses(&api["paths"]["/page"]["get"]["responses"]),
        "200 503"
    );
    assert_eq!(
        statuses(&api["paths"]["/healthz"]["get"]["responses"]),
        "200 503"
    );
    let id = &api["paths"]["/things/{id}"]["post"]["operationId"];
    assert_eq!(*id, "post_things_id");
    assert!(api["components"]["schemas"]["OAuthError"]["properties"]["error"].is_object());
}

/// What is logged while a request is answered, by default.
async fn logged(path: &str) -> String {
    let written = Arc::new(std::sync::Mutex::new(Vec::new()));
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_ansi(false)
        .with_writer({
            let written = Arc::clone(&written);
            move || Log(Arc::clone(&written))
        })
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    call(probes(), fetch(path)).await;
    drop(guard);
    let written = written.lock().unwrap();
    String::from_utf8(written.clone()).unwrap()
}

struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_line_says_what_was_refused_or_failed_and_none_says_who_asked() {
    assert_eq!(logged("/people/11010119900307001X?name=Li").await, "");
    let refused = logged("/nobody/11010119900307001X?name=Li").await;
    assert!(refused.contains("INFO"), "{refused}");
    assert!(refused.contains("status=404"), "{refused}");
    let failed = logged("/slow?name=Li").await;
    assert!(failed.contains("WARN"), "{failed}");
    assert!(failed.contains("route=\"/slow\""), "{failed}");
    for line in [refused, failed] {
        assert!(
            !line.contains("11010119900307001X") && !line.contains("Li"),
            "{line}"
        );
    }
}
