//! `login_bare`: how many logins a second of processor time a gate could do that checked nothing and kept nothing:
//! it carries a login's five requests and answers, opens the one that is encrypted, reads and writes what is in
//! them, and makes and checks the five signatures.
//!
//! What nobody can do without in a login over HTTP, whatever its gate is made of: it says how much of
//! `login_http`'s limit, the signatures alone, can be had at all. The server is the one that all parts
//! are served by, without any of our layers, in a thread of its own whose processor time counts. The texts are
//! those of a real login, read and written by the libraries that are used for them, and each once.

use super::login_http::{self, Scene, TURNS, Texts, form_of};
use super::network::RunningNation;
use super::{Measured, broken, clock};
use crate::fail::Fail;
use aws_lc_rs::digest::{SHA256, digest};
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realdid_exchange::jwe::{DecryptionKey, EncryptionKey};
use realdid_exchange::oidc::Accounts;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use url::form_urlencoded;

/// How long the short forms and answers are, in bytes.
const TOLD: usize = 500;
const PARALLEL: usize = 64;

pub async fn measure() -> Result<Measured, Fail> {
    let running = RunningNation::start(Accounts::Did).await?;
    let texts = Scene::new(&running).await?.texts().await?;
    drop(running);
    let messages = Messages::of(&texts)?;
    let sizes = Sizes {
        request: texts.request.len() + TOLD,
        sealed: messages.sealed.len(),
        tokens: texts.tokens.len(),
    };
    let (told, address) = oneshot::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = std::thread::spawn(move || serve(sizes, told, stopped));
    let (address, task) = address
        .await
        .map_err(|_| broken("a server on loopback says its address"))?;
    let base = format!("http://{address}");
    let clients = (0..PARALLEL).map(|_| super::network::http());
    let clients = clients.collect::<Result<Vec<_>, _>>()?;
    let turn = clock::length() / TURNS;
    // The processor time of one login, in seconds.
    let turns = async {
        load(&clients, &base, sizes, turn * 2).await?;
        let [mut carried, mut signed, mut opened, mut read] = [0.0; 4];
        for _ in 0..TURNS {
            let before_s = clock::of_thread(&task)?;
            let logins = load(&clients, &base, sizes, turn).await?;
            carried += (clock::of_thread(&task)? - before_s) / logins as f64;
            signed += 1.0 / login_http::signatures(turn)?;
            opened += 1.0 / messages.opened(turn / 2)?;
            read += 1.0 / messages.read_and_written(turn / 2)?;
        }
        let mean = |sum| sum / f64::from(TURNS);
        Ok::<_, Fail>([carried, signed, opened, read].map(mean))
    };
    let [carried, signed, opened, read] = clock::awake(turns)??;
    let _gone = stop.send(());
    let _joined = tokio::task::spawn_blocking(move || server.join()).await;
    Ok(Measured {
        id: "login_bare",
        workload: format!(
            "the least that a login over HTTP takes: five requests and answers of the sizes of login_http carried by the \
             same server without anything of ours ({:.0} µs a login), its five signatures ({:.0} µs), a key for its \
             answer made and the answer opened ({:.0} µs), its forms, JSON and base64 read and written ({:.0} µs)",
            1e6 * carried,
            1e6 * signed,
            1e6 * opened,
            1e6 * read,
        )
        .into(),
        unit: "logins/cpu-s",
        ours: 1.0 / (carried + signed + opened + read),
        limit: Some("its signatures alone, as in login_http"),
        limit_value: Some(1.0 / signed),
        goal: None,
    })
}

/// How long what travels is, in bytes.
#[derive(Clone, Copy)]
struct Sizes {
    request: usize,
    sealed: usize,
    tokens: usize,
}

/// A login's texts, ready to be read and written again.
struct Messages<'a> {
    texts: &'a Texts,
    /// What is shown, encrypted and not.
    sealed: String,
    shown: String,
    forms: [String; 3],
    /// What the gate signs: the request, and the ID token.
    signed: [Value; 2],
    told: [Value; 2],
    key: DecryptionKey,
}

impl<'a> Messages<'a> {
    fn of(texts: &'a Texts) -> Result<Self, Fail> {
        let key = DecryptionKey::from_bytes(&[7; 32], "1").map_err(Fail::of)?;
        let to = EncryptionKey::choose(&json!({ "keys": [key.public_jwk()] }), None);
        let to = to.map_err(Fail::of)?;
        let shown = json!({
            "vp_token": { "pid": [texts.pid], "did": [texts.did_proof] },
            "state": "x".repeat(43),
        });
        let shown = shown.to_string();
        let sealed = to.encrypt(shown.as_bytes(), &[1; 32], &[2; 12], None);
        let sealed = sealed.map_err(Fail::of)?;
        let tokens: Value = serde_json::from_str(&texts.tokens).map_err(Fail::of)?;
        let id_token = tokens["id_token"].as_str().unwrap_or_default();
        let short = "x".repeat(43);
        let asked = [
            ("client_id", short.as_str()),
            ("redirect_uri", "http://127.0.0.1:80/callback"),
            ("response_type", "code"),
            ("scope", "openid"),
            ("state", &short),
            ("nonce", &short),
            ("code_challenge", &short),
            ("code_challenge_method", "S256"),
        ];
        let code = [
            ("grant_type", "authorization_code"),
            ("code", &short),
            ("redirect_uri", "http://127.0.0.1:80/callback"),
            ("code_verifier", &short),
        ];
        Ok(Self {
            forms: [
                form_of(&asked),
                form_of(&[("response", &sealed)]),
                form_of(&code),
            ],
            signed: [payload(&texts.request)?, payload(id_token)?],
            told: [
                tokens,
                serde_json::from_str(&texts.claims).map_err(Fail::of)?,
            ],
            texts,
            sealed,
            shown,
            key,
        })
    }

    /// Keys made and answers opened a second of processor time.
    fn opened(&self, length: Duration) -> Result<f64, Fail> {
        clock::rate(length, 20, |round| {
            for n in 0..20u8 {
                let mut secret = [n + 1; 32];
                secret[..8].copy_from_slice(&(round as u64).to_be_bytes());
                let made = DecryptionKey::from_bytes(&secret, "1").map_err(Fail::of)?;
                std::hint::black_box(made);
                std::hint::black_box(self.key.decrypt(&self.sealed).map_err(Fail::of)?);
            }
            Ok(())
        })
    }

    /// Logins whose texts are read and written, a second of processor time.
    fn read_and_written(&self, length: Duration) -> Result<f64, Fail> {
        clock::rate(length, 20, |_| {
            for _ in 0..20 {
                self.read()
                    .map_err(|_| broken("a login's texts are read"))?;
                self.write()
                    .map_err(|_| broken("a login's texts are written"))?;
            }
            Ok(())
        })
    }

    fn read(&self) -> Result<(), Unreadable> {
        for form in &self.forms {
            for pair in form_urlencoded::parse(form.as_bytes()) {
                std::hint::black_box(pair);
            }
        }
        let shown: Value = serde_json::from_str(&self.shown)?;
        std::hint::black_box(shown);
        let (disclosed, binding) = self.texts.pid.rsplit_once('~').unwrap_or_default();
        let mut parts = disclosed.split('~');
        jws(parts.next().unwrap_or_default())?;
        for disclosure in parts {
            // Its digest says where in the credential it belongs.
            std::hint::black_box(digest(&SHA256, disclosure.as_bytes()));
            let read: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(disclosure)?)?;
            std::hint::black_box(read);
        }
        // The holder has signed the digest of what stands before.
        std::hint::black_box(digest(&SHA256, disclosed.as_bytes()));
        jws(binding)?;
        let proof = jws(&self.texts.did_proof)?;
        let staple = proof["staple"].as_str().ok_or("a proof brings a staple")?;
        std::hint::black_box(URL_SAFE_NO_PAD.decode(staple)?);
        Ok(())
    }

    fn write(&self) -> Result<(), Unreadable> {
        for signed in &self.signed {
            let text = URL_SAFE_NO_PAD.encode(serde_json::to_vec(signed)?);
            std::hint::black_box(serde_json::to_vec(&Value::String(text))?);
        }
        for told in &self.told {
            std::hint::black_box(serde_json::to_vec(told)?);
        }
        Ok(())
    }
}

type Unreadable = Box<dyn std::error::Error>;

/// Reads the three parts of a JWS; answers what it says.
fn jws(text: &str) -> Result<Value, Unreadable> {
    let mut parts = text.split('.');
    let mut next = || URL_SAFE_NO_PAD.decode(parts.next().unwrap_or_default());
    let header: Value = serde_json::from_slice(&next()?)?;
    let says = serde_json::from_slice(&next()?)?;
    std::hint::black_box((header, next()?));
    Ok(says)
}

fn payload(signed: &str) -> Result<Value, Fail> {
    jws(signed).map_err(|_| broken("what a gate signs is JSON"))
}

/// Serves until it is stopped; tells its address, and its thread as /proc names it.
fn serve(
    sizes: Sizes,
    told: oneshot::Sender<(std::net::SocketAddr, String)>,
    stopped: oneshot::Receiver<()>,
) {
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
            .route("/authorize", get(async move || answer(sizes.request)))
            .route("/response", post(async |_: Bytes| answer(TOLD)))
            .route("/continue", get(onwards))
            .route("/token", post(async move |_: Bytes| answer(sizes.tokens)))
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
async fn load(
    clients: &[reqwest::Client],
    base: &str,
    sizes: Sizes,
    length: Duration,
) -> Result<usize, Fail> {
    let until = Instant::now() + length;
    let mut done = 0;
    while Instant::now() < until {
        for step in 0..5 {
            let asked = clients.iter().map(|http| async move {
                let request = match step {
                    0 => http.get(format!("{base}/authorize")),
                    1 => http
                        .post(format!("{base}/response"))
                        .body("x".repeat(sizes.sealed)),
                    2 => http.get(format!("{base}/continue")),
                    3 => http.post(format!("{base}/token")).body("x".repeat(TOLD)),
                    _ => http.get(format!("{base}/userinfo")),
                };
                let answer = request.send().await.map_err(|_| no_answer())?;
                answer.bytes().await.map_err(|_| no_answer())
            });
            futures::future::try_join_all(asked).await?;
        }
        done += clients.len();
    }
    Ok(done)
}

fn no_answer() -> Fail {
    broken("a bare server answers")
}
