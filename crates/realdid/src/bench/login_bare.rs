//! `login_bare`: how many logins a second of processor time a gate could do that did nothing but carry a login's
//! five requests and answers, make and check its five signatures, and open the one answer that is encrypted.
//!
//! What nobody can do without in a login over HTTP, whatever its gate is made of: it says how much of
//! `login_http`'s limit, the signatures alone, can be had at all. The server is the one that all parts
//! are served by, without any of our layers, in a thread of its own whose processor time counts.

use super::{Measured, broken, clock, login_http};
use crate::fail::Fail;
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use realdid_exchange::jwe::{DecryptionKey, EncryptionKey};
use serde_json::json;
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// What travels in a login of `login_http`, in bytes.
const REQUEST: usize = 3_800;
const ANSWER: usize = 8_400;
const TOLD: usize = 500;
const TOKENS: usize = 900;
const PARALLEL: usize = 64;

pub async fn measure() -> Result<Measured, Fail> {
    let carried = carried().await?;
    let signed = tokio::task::block_in_place(login_http::signatures)?;
    let opened = tokio::task::block_in_place(opened)?;
    Ok(Measured {
        id: "login_bare",
        workload: format!(
            "the least that a login over HTTP takes: five requests and answers of the sizes of login_http carried by the \
             same server without anything of ours ({:.0} µs a login), its five signatures ({:.0} µs), a key for its \
             answer made and the answer opened ({:.0} µs)",
            1e6 * carried,
            1e6 / signed,
            1e6 / opened,
        )
        .into(),
        unit: "logins/cpu-s",
        ours: 1.0 / (carried + 1.0 / signed + 1.0 / opened),
        limit: Some("its signatures alone, as in login_http"),
        limit_value: Some(signed),
        goal: None,
    })
}

/// Keys made and answers opened a second of processor time.
fn opened() -> Result<f64, Fail> {
    let key = DecryptionKey::from_bytes(&[7; 32], "1").map_err(Fail::of)?;
    let to = EncryptionKey::choose(&json!({ "keys": [key.public_jwk()] }), None);
    let sealed = to.map_err(Fail::of)?;
    let sealed = sealed.encrypt(&[7; ANSWER * 3 / 4], &[1; 32], &[2; 12], None);
    let sealed = sealed.map_err(Fail::of)?;
    clock::rate(clock::length() / 2, 20, |round| {
        for n in 0..20u8 {
            let mut secret = [n + 1; 32];
            secret[..8].copy_from_slice(&(round as u64).to_be_bytes());
            let made = DecryptionKey::from_bytes(&secret, "1").map_err(Fail::of)?;
            std::hint::black_box(made);
            std::hint::black_box(key.decrypt(&sealed).map_err(Fail::of)?);
        }
        Ok(())
    })
}

/// The processor time that a bare server takes for the requests of one login, in seconds.
async fn carried() -> Result<f64, Fail> {
    let (told, address) = oneshot::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = std::thread::spawn(move || serve(told, stopped));
    let (address, task) = address
        .await
        .map_err(|_| broken("a server on loopback says its address"))?;
    let base = format!("http://{address}");
    load(&base, clock::length() / 4).await?;
    let before = clock::of_thread(&task)?;
    let logins = load(&base, clock::length()).await?;
    let seconds = clock::of_thread(&task)? - before;
    let _gone = stop.send(());
    let _joined = tokio::task::spawn_blocking(move || server.join()).await;
    Ok(seconds / logins as f64)
}

/// Serves until it is stopped; tells its address, and its thread as /proc names it.
fn serve(told: oneshot::Sender<(std::net::SocketAddr, String)>, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async {
        let Ok(listener) = TcpListener::bind(("127.0.0.1", 0)).await else {
            return;
        };
        let Ok(address) = listener.local_addr() else {
            return;
        };
        let task = std::fs::read_link("/proc/thread-self").unwrap_or_default();
        let _gone = told.send((address, task.to_string_lossy().into_owned()));
        let router = Router::new()
            .route("/authorize", get(async || answer(REQUEST)))
            .route("/response", post(async |_: Bytes| answer(TOLD)))
            .route("/continue", get(onwards))
            .route("/token", post(async |_: Bytes| answer(TOKENS)))
            .route("/userinfo", get(async || answer(TOLD)));
        let served = axum::serve(listener, router).with_graceful_shutdown(async {
            let _stopped = stopped.await;
        });
        let _ended = served.await;
    });
}

/// With the headers that every answer of a gate has.
fn answer(bytes: usize) -> Response {
    let headers: [(HeaderName, &str); 6] = [
        (header::CONTENT_TYPE, "application/json"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, "x".repeat(bytes)).into_response()
}

async fn onwards() -> Response {
    let location = HeaderValue::from_static("https://shop.example/callback?code=x&state=x");
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}

/// Asks as those do who log in step by step; answers how many logins that were.
async fn load(base: &str, length: std::time::Duration) -> Result<usize, Fail> {
    let until = Instant::now() + length;
    let clients = (0..PARALLEL).map(|_| super::network::http());
    let clients = clients.collect::<Result<Vec<_>, _>>()?;
    let mut done = 0;
    while Instant::now() < until {
        for step in 0..5 {
            let asked = clients.iter().map(|http| async move {
                let request = match step {
                    0 => http.get(format!("{base}/authorize")),
                    1 => http
                        .post(format!("{base}/response"))
                        .body("x".repeat(ANSWER)),
                    2 => http.get(format!("{base}/continue")),
                    3 => http.post(format!("{base}/token")).body("x".repeat(TOLD)),
                    _ => http.get(format!("{base}/userinfo")),
                };
                let answer = request.send().await.map_err(|_| no_answer())?;
                answer.bytes().await.map_err(|_| no_answer())
            });
            futures::future::try_join_all(asked).await?;
        }
        done += PARALLEL;
    }
    Ok(done)
}

fn no_answer() -> Fail {
    broken("a bare server answers")
}
