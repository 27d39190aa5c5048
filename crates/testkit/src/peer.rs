//! Programs of others, on Node, that tests hold ours against.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "for tests: a program of others that does not answer ends the test"
)]

use serde_json::Value;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Gives a case to `script` in the folder `tests/peer` of the crate at `manifest_dir`, and answers
/// what it found. Both are JSON, on standard input and output.
pub fn ask(manifest_dir: &str, script: &str, case: &Value) -> Value {
    let folder = Path::new(manifest_dir).join("tests/peer");
    assert!(
        folder.join("node_modules").is_dir(),
        "the peer is installed by `cargo xtask test`, or by `npm ci --ignore-scripts` in {}",
        folder.display()
    );
    let mut peer = Command::new("node")
        .args(["--no-warnings", script])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node starts");
    let mut input = peer.stdin.take().expect("the peer has an input");
    input
        .write_all(case.to_string().as_bytes())
        .expect("the peer takes the case");
    drop(input);
    let output = peer.wait_with_output().expect("the peer ends");
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).expect("the peer answers with JSON")
}
