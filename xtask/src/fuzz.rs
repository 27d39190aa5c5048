//! `cargo xtask fuzz`: builds the targets of `fuzz/` instrumented, and runs each for its share of
//! the time.
//!
//! Instrumentation is rustc's own (SanitizerCoverage), so no cargo-fuzz is needed. A nightly
//! toolchain gives AddressSanitizer as well; where none is installed, or it does not build, the
//! targets run without it, and that is said.
//!
//! What is found on the way is kept in `target/fuzz/corpus`. `fuzz/corpus` is committed and stays
//! small: `--keep` adds to it what reaches code that it does not reach yet.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::needs;
use crate::shell::{self, Failure, command};

const TARGETS: [&str; 9] = [
    "decode", "apply", "ceremony", "pass", "login", "issuing", "passport", "badge", "asking",
];
const DEFAULT_SECONDS: u64 = 60;
/// Longer inputs find nothing that shorter ones do not, in these formats.
const MAX_INPUT_BYTES: u32 = 10_240;
/// The most that one run may add to the committed corpus of a target.
const KEPT_BYTES_A_FILE: u64 = 2048;

/// Edges by counters that libFuzzer reads, and comparisons that it solves.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";

struct Options {
    seconds: u64,
    only: Option<String>,
    keep: bool,
}

pub fn run(root: &Path, arguments: &[String]) -> Result<(), Failure> {
    let options = parse(arguments).map_err(|what| Failure::Unreadable {
        what,
        why: "use --seconds N, --only TARGET, --keep".to_owned(),
    })?;
    needs::c_compiler(root)?;
    let built = build(root)?;
    let targets: Vec<&str> = TARGETS
        .into_iter()
        .filter(|name| options.only.as_deref().is_none_or(|only| only == *name))
        .collect();
    let share = (options.seconds / targets.len().max(1) as u64).max(1);
    for name in targets {
        fuzz(root, &built, name, share)?;
        if options.keep {
            keep(root, &built, name)?;
        }
    }
    Ok(())
}

fn parse(arguments: &[String]) -> Result<Options, String> {
    let mut options = Options {
        seconds: DEFAULT_SECONDS,
        only: None,
        keep: false,
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--keep" => options.keep = true,
            "--seconds" => {
                let seconds = rest.next().and_then(|text| text.parse().ok());
                options.seconds = seconds.ok_or("--seconds without a number")?;
            }
            "--only" => {
                let name = rest.next().filter(|name| TARGETS.contains(&name.as_str()));
                options.only = Some(name.ok_or("--only without a target")?.clone());
            }
            other => return Err(other.to_owned()),
        }
    }
    Ok(options)
}

/// Builds all targets, with AddressSanitizer where that is possible. Answers where they are.
fn build(root: &Path) -> Result<PathBuf, Failure> {
    let triple = host(root)?;
    let nightly = shell::succeeds(command(root, "rustup", &["run", "nightly", "rustc", "-V"]));
    if nightly {
        let flags = format!("{COVERAGE} -Zsanitizer=address");
        if shell::run(cargo(root, nightly, &triple, &flags, "asan")).is_ok() {
            println!("Instrumented with coverage and AddressSanitizer.");
            return Ok(folder(root, "asan", &triple));
        }
        println!("AddressSanitizer does not build here; going on with coverage alone.");
    } else {
        println!("No nightly toolchain is installed: no AddressSanitizer, coverage alone.");
    }
    shell::run(cargo(root, nightly, &triple, COVERAGE, "plain"))?;
    Ok(folder(root, "plain", &triple))
}

fn folder(root: &Path, kind: &str, triple: &str) -> PathBuf {
    root.join(format!("target/fuzz/{kind}/{triple}/release"))
}

/// A build for an explicit target, so that build scripts and macros are not instrumented.
fn cargo(root: &Path, nightly: bool, triple: &str, flags: &str, kind: &str) -> Command {
    let build = ["build", "--release", "--locked", "--target", triple];
    let mut command = match nightly {
        true => {
            let run = [&["run", "nightly", "cargo"][..], &build].concat();
            command(&root.join("fuzz"), "rustup", &run)
        }
        false => {
            let mut command = command(&root.join("fuzz"), &shell::cargo(), &build);
            command.env("RUSTC_BOOTSTRAP", "1");
            command
        }
    };
    command
        .env("RUSTFLAGS", flags)
        .env("CARGO_TARGET_DIR", root.join(format!("target/fuzz/{kind}")))
        // The cargo that runs this chore is of another toolchain.
        .env_remove("CARGO")
        .env_remove("RUSTC")
        .env_remove("RUSTUP_TOOLCHAIN");
    command
}

fn host(root: &Path) -> Result<String, Failure> {
    let version = shell::output(command(root, "rustc", &["-vV"]))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| Failure::Unreadable {
        what: "rustc -vV".to_owned(),
        why: "it names no host".to_owned(),
    })
}

/// Runs a target from the committed corpus and what earlier runs have found.
fn fuzz(root: &Path, built: &Path, name: &str, seconds: u64) -> Result<(), Failure> {
    let (found, kept) = corpora(root, name)?;
    let artifacts = root.join("target/fuzz/artifacts");
    make(&artifacts)?;
    let arguments = [
        format!("-max_total_time={seconds}"),
        format!("-max_len={MAX_INPUT_BYTES}"),
        // Without this the ledger's rules see one step at a time for hours.
        "-len_control=0".to_owned(),
        "-timeout=20".to_owned(),
        "-rss_limit_mb=4096".to_owned(),
        "-print_final_stats=1".to_owned(),
        format!("-artifact_prefix={}/{name}-", artifacts.display()),
        found.display().to_string(),
        kept.display().to_string(),
    ];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let program = built.join(name).display().to_string();
    shell::run(command(root, &program, &arguments))
}

/// Adds to the committed corpus what reaches further than it does, in small files.
fn keep(root: &Path, built: &Path, name: &str) -> Result<(), Failure> {
    let (found, kept) = corpora(root, name)?;
    let arguments = [
        "-merge=1".to_owned(),
        format!("-max_len={KEPT_BYTES_A_FILE}"),
        kept.display().to_string(),
        found.display().to_string(),
    ];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let program = built.join(name).display().to_string();
    shell::run(command(root, &program, &arguments))
}

fn corpora(root: &Path, name: &str) -> Result<(PathBuf, PathBuf), Failure> {
    let found = root.join("target/fuzz/corpus").join(name);
    let kept = root.join("fuzz/corpus").join(name);
    make(&found)?;
    make(&kept)?;
    Ok((found, kept))
}

fn make(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| Failure::Unreadable {
        what: folder.display().to_string(),
        why: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(arguments: &[&str]) -> Result<(u64, Option<String>, bool), String> {
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        parse(&arguments).map(|options| (options.seconds, options.only, options.keep))
    }

    #[test]
    fn arguments_are_read_or_named() {
        assert_eq!(of(&[]), Ok((DEFAULT_SECONDS, None, false)));
        let all = of(&["--seconds", "9", "--only", "apply", "--keep"]);
        assert_eq!(all, Ok((9, Some("apply".to_owned()), true)));
        for wrong in [
            &["--seconds"][..],
            &["--seconds", "x"],
            &["--only", "y"],
            &["z"],
        ] {
            assert!(of(wrong).is_err());
        }
    }
}
