//! `cargo run -p realdid-pass-wasm --example chromium -- --wasm FILE --proofs N`: a wallet's page in
//! headless Chromium makes N presentations, and each is verified here, natively.
//!
//! The page comes from a server on loopback that lives as long as this program. It prints one line
//! for `cargo xtask bench`: the median and the 95th percentile of what one presentation takes in the
//! page, with the same natively as the limit. The first tenth warms up and does not count, though it
//! is verified like the rest. The world is that of `pass_prove`: 10 messages of which 2 are shown, a
//! pseudonym from 8 secrets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use getrandom::SysRng;
use rand_core::UnwrapErr;
use realdid_pass::{Context, Credential, IssuerKey, Messages, Presentation, PseudonymSecrets};
use serde::{Deserialize, Serialize};

mod server;

const MESSAGES: usize = 10;
const SHOWN: [usize; 2] = [0, 4];
const TERMS: &[u8] = b"bench";
const SEED: [u8; 32] = [1; 32];
const SERVICE: &[u8] = b"shop";
/// How long the browser may take for everything.
const PATIENCE: Duration = Duration::from_secs(120);

/// The operating system's generator; whoever runs this wants to hear if it fails.
fn system() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

/// What the page is to do, in hex.
#[derive(Serialize)]
struct Task {
    key: String,
    terms: String,
    messages: usize,
    seed: String,
    credential: String,
    service: String,
    shown: [usize; 2],
    bindings: Vec<String>,
}

/// What the page hands in.
#[derive(Deserialize)]
#[serde(untagged)]
enum Done {
    Failed {
        error: String,
    },
    Made {
        open_ms: f64,
        prove_ms: Vec<f64>,
        proofs: Vec<String>,
        pseudonym: String,
    },
}

/// A browser that is ended and reaped however this program ends.
struct Browser(Child);

impl Browser {
    fn start(url: &str, profile: &Path) -> Self {
        let child = Command::new("chromium")
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                // What is asked for on loopback is all that it may ask for.
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                "--remote-debugging-port=0",
            ])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromium starts");
        Self(child)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _already_ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn arguments() -> (PathBuf, usize) {
    let arguments: Vec<String> = std::env::args().collect();
    let after = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name);
        at.and_then(|at| arguments.get(at + 1))
            .unwrap_or_else(|| panic!("usage: --wasm FILE --proofs N"))
    };
    let proofs = after("--proofs").parse().expect("a number of proofs");
    assert!((1..=1000).contains(&proofs), "between 1 and 1000 proofs");
    (PathBuf::from(after("--wasm")), proofs)
}

/// The page's half of the bindings beside the module: `pass.js` and `pass_bg.wasm`.
fn bind(wasm: &Path, into: &Path) {
    wasm_bindgen_cli_support::Bindgen::new()
        .input_path(wasm)
        .out_name("pass")
        .web(true)
        .expect("a target of wasm-bindgen")
        .typescript(false)
        .generate(into)
        .expect("a module that wasm-bindgen made");
}

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1]
}

fn main() {
    let (wasm, count) = arguments();
    let issuer = IssuerKey::from_material(&[1; 32], TERMS, MESSAGES).unwrap();
    let messages = (0..MESSAGES).map(|index| format!("message {index}").into_bytes());
    let messages = Messages::new(messages.collect()).unwrap();
    let secrets = PseudonymSecrets::from_seed(&SEED);
    let request = secrets.request(&mut system()).unwrap();
    let kept = issuer.enrol(&mut system(), &request).unwrap();
    let issued = issuer.issue(&request, &kept, &messages).unwrap();
    let credential = Credential::accept(issuer.public(), &secrets, messages, issued).unwrap();
    let context = Context::service(SERVICE);

    let warm_up = count / 10;
    let bindings: Vec<Vec<u8>> = (0..count + warm_up)
        .map(|index| format!("nonce {index}").into_bytes())
        .collect();
    let task = Task {
        key: hex::encode(issuer.public().to_bytes()),
        terms: hex::encode(TERMS),
        messages: MESSAGES,
        seed: hex::encode(SEED),
        credential: hex::encode(&*credential.to_bytes()),
        service: hex::encode(SERVICE),
        shown: SHOWN,
        bindings: bindings.iter().map(hex::encode).collect(),
    };
    let folder = tempfile::tempdir().unwrap();
    bind(&wasm, folder.path());
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    let files = vec![
        ("/", "text/html", include_bytes!("page.html").to_vec()),
        (
            "/page.js",
            "text/javascript",
            include_bytes!("page.js").to_vec(),
        ),
        ("/pass.js", "text/javascript", read("pass.js")),
        ("/pass_bg.wasm", "application/wasm", read("pass_bg.wasm")),
        (
            "/task",
            "application/json",
            serde_json::to_vec(&task).unwrap(),
        ),
    ];
    let server = server::Server::new(files);
    let mut browser = Browser::start(&server.url(), &folder.path().join("profile"));
    let done = server.wait_for_done(PATIENCE, || browser.0.try_wait().ok().flatten().is_none());
    drop(browser);
    let done = done.expect("the page hands something in before the time is over");

    let (open_ms, prove_ms, proofs, pseudonym) = match serde_json::from_slice(&done).unwrap() {
        Done::Failed { error } => panic!("the page failed: {error}"),
        Done::Made {
            open_ms,
            prove_ms,
            proofs,
            pseudonym,
        } => (open_ms, prove_ms, proofs, pseudonym),
    };
    assert_eq!(
        (prove_ms.len(), proofs.len()),
        (bindings.len(), bindings.len())
    );
    let ours = credential.pseudonym(&context).unwrap();
    assert_eq!(pseudonym, hex::encode(ours.0));
    for (proof, binding) in proofs.iter().zip(&bindings) {
        let presentation = Presentation::from_bytes(&hex::decode(proof).unwrap()).unwrap();
        let verify = |binding: &[u8]| presentation.verify(issuer.public(), &context, binding);
        let shown = verify(binding).expect("what the page made is true");
        assert_eq!(shown.pseudonym, ours);
        let indexes: Vec<usize> = shown.messages.iter().map(|(index, _)| *index).collect();
        assert_eq!(indexes, SHOWN);
        assert!(verify(b"another nonce").is_err());
    }
    let distinct: BTreeSet<&String> = proofs.iter().collect();
    assert_eq!(distinct.len(), proofs.len(), "each presentation is new");

    let mut counted = prove_ms[warm_up..].to_vec();
    counted.sort_by(f64::total_cmp);
    let begun = Instant::now();
    for binding in &bindings {
        credential
            .present(&mut system(), issuer.public(), &context, &SHOWN, binding)
            .unwrap();
    }
    let native_ms = begun.elapsed().as_secs_f64() * 1e3 / bindings.len() as f64;
    let p95 = percentile(&counted, 95);
    println!(
        "{}",
        serde_json::json!({
            "id": "pass_prove_wasm",
            "workload": format!(
                "one presentation made in a page in Chromium, median of {count}: 10 messages of which 2 are \
                 shown, a pseudonym from 8 secrets; 95th percentile {p95:.1} ms; opening key and credential \
                 once, {open_ms:.0} ms"
            ),
            "unit": "ms",
            "ours": percentile(&counted, 50),
            "limit": "the same natively, mean",
            "limit_value": native_ms,
            "goal": "ours <= 60",
        })
    );
}
