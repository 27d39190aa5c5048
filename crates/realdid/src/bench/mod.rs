//! `realdid bench`: what this build does, in work per second of processor time.
//!
//! Each bench measures ours and, in the same run on the same machine, the limit that the parts
//! nobody can do without would set: signatures, proofs, raw storage. `cargo xtask bench` puts a
//! peer beside it (bench/README.md).
//!
//! - [`clock`]: processor time, and loops that are timed by it
//! - [`network`]: real processes to measure: validators, or a whole nation
//! - [`load`]: operations handed in at all validators of a committee
//! - [`traffic`]: an issuer and signed operations; [`kinds`]: of all kinds together
//! - one file for each bench

mod apply;
mod border;
mod clock;
mod committee;
mod display_verify;
mod kinds;
mod load;
mod login_bare;
mod login_http;
mod network;
mod order;
mod pass_login_http;
mod pass_refresh_http;
mod resolve_http;
mod signatures;
mod traffic;

use crate::{cli::BenchArgs, fail::Fail};
use realdid_core::suite::Suite;
use serde::Serialize;
use serde_json::Value;
use std::borrow::Cow;
use std::io::Write as _;

/// The benches in the order in which they run.
const IDS: [&str; 16] = [
    "apply",
    "order_ed25519",
    "order_p256",
    "order_sm2",
    "dead_validator",
    "display_verify",
    "finality",
    "finality_p99",
    "resolve_http",
    "login_http",
    "login_http_p99",
    "login_bare",
    "pass_login_http",
    "pass_refresh_http",
    "cross_login_http",
    "recognise_latency",
];

/// One result; the keys are a contract with `cargo xtask bench`.
#[derive(Debug, Serialize)]
struct Measured {
    id: &'static str,
    workload: Cow<'static, str>,
    unit: &'static str,
    /// Work per second of processor time, where the unit says nothing else.
    ours: f64,
    /// What sets the limit, and its value in the same unit.
    limit: Option<&'static str>,
    limit_value: Option<f64>,
    /// What is aimed at, where an aim was set: `ratio >= 2`, `limit_ratio >= 0.5`, `ours <= 100`.
    goal: Option<&'static str>,
}

/// Runs the benches that are named, or all, and prints one JSON object a line as each is done.
pub async fn run(args: BenchArgs) -> Result<Option<Value>, Fail> {
    if let Some(unknown) = args.ids.iter().find(|id| !IDS.contains(&id.as_str())) {
        return Err(Fail::user(
            "bench.unknown",
            &format!("there is a bench {unknown:?}"),
            &format!("choose among {}", IDS.join(", ")),
        ));
    }
    let named = |id: &&str| args.ids.is_empty() || args.ids.iter().any(|named| named == id);
    for id in IDS.into_iter().filter(named) {
        // What is dropped here ends its processes and removes its folders.
        let measured = tokio::select! {
            measured = measure(id) => measured?,
            () = realdid_serve::shutdown_signal() => return Err(stopped()),
        };
        let line = serde_json::to_string(&measured).map_err(Fail::of)?;
        let _reader_gone = writeln!(std::io::stdout(), "{line}");
    }
    Ok(None)
}

async fn measure(id: &str) -> Result<Measured, Fail> {
    match id {
        "apply" => alone(apply::measure).await,
        "order_ed25519" => order::measure(Suite::Ed25519).await,
        "order_p256" => order::measure(Suite::P256).await,
        "order_sm2" => order::measure(Suite::Sm2).await,
        "dead_validator" => committee::dead_validator().await,
        "display_verify" => display_verify::measure().await,
        "finality" => committee::finality(50).await,
        "finality_p99" => committee::finality(99).await,
        "resolve_http" => resolve_http::measure().await,
        "pass_refresh_http" => pass_refresh_http::measure().await,
        "login_http" => login_http::measure().await,
        "login_http_p99" => login_http::tail().await,
        "login_bare" => login_bare::measure().await,
        "cross_login_http" => border::cross_login().await,
        "recognise_latency" => border::latency().await,
        _ => pass_login_http::measure().await,
    }
}

/// Runs a bench that waits for nothing on a thread of its own.
async fn alone(bench: fn() -> Result<Measured, Fail>) -> Result<Measured, Fail> {
    tokio::task::spawn_blocking(bench)
        .await
        .map_err(|_| broken("a bench runs to its end"))?
}

/// A step of a bench that cannot fail unless something else is broken.
fn broken(rule: &str) -> Fail {
    Fail::part(
        "bench.broken",
        rule,
        "this program",
        "run the tests; the bench only does what they do",
    )
}

fn stopped() -> Fail {
    Fail::user(
        "bench.stopped",
        "a bench is left to run to its end",
        "run it again",
    )
}
