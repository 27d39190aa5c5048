//! `cargo xtask demo`: from a fresh clone to a running nation.

use std::os::unix::process::CommandExt;
use std::path::Path;

use crate::needs;
use crate::shell::{self, Failure, command};

/// Where the demo keeps its state, unless `--dir` says otherwise.
const DIR: &str = ".realdid";

/// Checks the machine, builds, and becomes `realdid up`.
pub fn run(root: &Path, args: &[String]) -> Result<(), Failure> {
    println!("1/3 Checking this machine (Linux 6.0 with io_uring, a C compiler).");
    needs::io_uring()?;
    needs::c_compiler(root)?;
    println!("2/3 Building; the first time takes minutes, later runs seconds.");
    shell::run(command(
        root,
        &shell::cargo(),
        &["build", "--package", "realdid", "--bin", "realdid"],
    ))?;
    println!("3/3 Starting. Stop with Ctrl-C; the next start goes on from there.");
    let program = target_dir(root).join("debug").join("realdid");
    let mut up = command(root, &program.to_string_lossy(), &["up"]);
    if !args
        .iter()
        .any(|arg| arg == "--dir" || arg.starts_with("--dir="))
    {
        up.args(["--dir", DIR]);
    }
    up.args(args);
    println!("$ {}", shell::show(&up));
    // Returns only if it could not be started: signals then reach `realdid` and nobody between.
    let error = up.exec();
    Err(Failure::NotStarted {
        program: program.display().to_string(),
        why: error.to_string(),
    })
}

/// Where cargo puts what it builds.
pub fn target_dir(root: &Path) -> std::path::PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root.join(dir),
        None => root.join("target"),
    }
}
