//! `cargo xtask soak`: the faults of real validators, over and over on one network.
//!
//! Each test of `crates/realdid/tests/processes/faults.rs` makes its fault once in every test run;
//! here it makes it many times, under load all the while.

use std::path::Path;

use crate::needs;
use crate::shell::{self, Failure, command};

/// How often a run without arguments makes each fault.
const ROUNDS: u32 = 5;

pub fn run(root: &Path, args: &[String]) -> Result<(), Failure> {
    let rounds = parse(args).ok_or_else(|| Failure::Unreadable {
        what: "arguments".to_owned(),
        why: "soak takes --rounds N".to_owned(),
    })?;
    needs::io_uring()?;
    // One at a time: each is four validators already.
    let args = [
        "test",
        "--workspace",
        "--test",
        "processes",
        "--",
        "faults::p10_",
        "--nocapture",
        "--test-threads",
        "1",
    ];
    let mut test = command(root, &shell::cargo(), &args);
    test.env("REALDID_SOAK_ROUNDS", rounds.to_string());
    shell::run(test)
}

fn parse(args: &[String]) -> Option<u32> {
    let words: Vec<&str> = args.iter().flat_map(|arg| arg.split('=')).collect();
    match words.as_slice() {
        [] => Some(ROUNDS),
        ["--rounds", rounds] => rounds.parse().ok().filter(|rounds| *rounds > 0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_read() {
        let parsed = |line: &str| {
            let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            parse(&args)
        };
        assert_eq!(parsed(""), Some(ROUNDS));
        assert_eq!(parsed("--rounds 9"), Some(9));
        assert_eq!(parsed("--rounds=9"), Some(9));
        for wrong in ["--rounds", "--rounds 0", "--rounds x", "9", "--rounds 1 2"] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }
}
