//! `cargo xtask`: the chores of this repository, each one command. Start with [`HELP`].

mod bench;
mod cert;
mod demo;
mod fuzz;
mod needs;
mod page;
mod shell;
mod sim;
mod soak;
mod test;
mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;

const HELP: &str = "\
Chores of this repository.

cargo xtask demo [ARGS]...     Build and start a small nation on this machine.
                               Installs what is missing and says so; state is kept in .realdid/.
                               ARGS go on to `realdid up` (--port-base N, --dir DIR, ...).
cargo xtask test               Set up what tests need, run all of them, print the time of each stage,
                               and end with `N passed, N failed`.
cargo xtask sim [--seeds N] [--from S]
                               Whole networks under seeds (50, from 1): faults, liars, crashes. Prints how
                               soon a block is final over slow links. A seed that fails is named, and
                               --seed S plays it again.
cargo xtask soak [--rounds N]   Validators as processes of their own: each fault of their tests N times over (5).
cargo xtask tidy               Check what a compiler cannot: allowed edges between crates, a test for
                               each promise, banned words, dead files, formatting, links.
cargo xtask fuzz [--seconds N]  Fuzz decoders and the ledger's rules, N seconds in all (60);
                               --only TARGET, and --keep to add to the committed corpus.
cargo xtask cert [HOST]...      A certificate for development in .realdid/tls/, for these names and addresses.
cargo xtask bench [--only ID]  Measure ours and its peer in one run, print one table,
                               write bench/results/ID.json. IDs: apply, order_ed25519, order_p256,
                               order_sm2, dead_validator, finality,
                               finality_p99, resolve_http,
                               sdjwt_issue, sdjwt_verify, status_list, status_list_lookup,
                               status_list_delta, login_http, login_http_p99, login_bare,
                               pass_verify, pass_verify_batch,
                               pass_prove, pass_prove_wasm, pass_issue.
cargo xtask bench --peers      Only the peers; writes nothing.
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let asks_help = rest.iter().any(|arg| arg == "--help" || arg == "-h");
    if asks_help && command != "demo" {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let root = root();
    match (command.as_str(), rest.as_slice()) {
        ("" | "help" | "--help" | "-h", _) => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        ("demo", rest) => finish(demo::run(&root, rest)),
        ("test", []) => test::run(&root),
        ("sim", rest) => finish(sim::run(&root, rest)),
        ("soak", rest) => finish(soak::run(&root, rest)),
        ("tidy", []) => tidy::run(&root),
        ("cert", hosts) if hosts.iter().all(|host| !host.starts_with('-')) => {
            finish(cert::run(&root, hosts))
        }
        ("cert", _) => usage("cert takes names and addresses of this machine"),
        ("fuzz", rest) => finish(fuzz::run(&root, rest)),
        ("bench", rest) => finish(bench::run(&root, rest)),
        ("test" | "tidy", [unknown, ..]) => usage(&format!("{command} takes no {unknown}")),
        _ => usage(&format!("there is no chore `{command}`")),
    }
}

fn usage(what: &str) -> ExitCode {
    eprintln!("xtask: {what}\n\n{HELP}");
    ExitCode::from(2)
}

fn finish(outcome: Result<(), shell::Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's folder: the parent of this crate's.
fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(PathBuf::from).unwrap_or(here)
}
