//! `cargo xtask sim`: whole networks under seeds, in the ledger engine's deterministic runtime.
//!
//! The simulation is a test of the crate `node`; here it is given other seeds than the few of every
//! test run. It names a seed that fails, and `--seed` plays that one again.

use std::path::Path;

use crate::needs::{self, Runner};
use crate::shell::{self, Failure, command};

/// How many seeds a run without arguments plays.
const SEEDS: u64 = 50;
const FAULTS: &str = "sim::tests::p10_under_faults_nothing_forks_nothing_final_is_lost_and_all_goes_on_after_healing";
const FINALITY: &str = "sim::tests::a_block_is_final_within_185_ms_over_links_of_50_ms";

#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    from: u64,
    seeds: u64,
    /// A failed seed is played alone.
    finality: bool,
}

pub fn run(root: &Path, args: &[String]) -> Result<(), Failure> {
    let wanted = parse(args).ok_or_else(|| Failure::Unreadable {
        what: "arguments".to_owned(),
        why: "sim takes --seeds N, --from S, or --seed S".to_owned(),
    })?;
    let mut tests = vec![FAULTS];
    if wanted.finality {
        tests.push(FINALITY);
    }
    let runner = needs::runner(root);
    let args = arguments(runner, &tests);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut test = command(root, &shell::cargo(), &args);
    test.env("REALDID_SIM_FROM", wanted.from.to_string());
    test.env("REALDID_SIM_SEEDS", wanted.seeds.to_string());
    shell::run(test)
}

/// The whole workspace is named, as `cargo xtask test` does: a package alone would have other
/// features, and most of what it depends on would be built again.
fn arguments(runner: Runner, tests: &[&str]) -> Vec<String> {
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    match runner {
        Runner::Nextest => {
            let mut args = words("nextest run --workspace --profile sim --no-capture -E");
            let named: Vec<String> = tests.iter().map(|test| format!("test(={test})")).collect();
            args.push(format!("package(realdid-node) & ({})", named.join(" | ")));
            args
        }
        Runner::CargoTest => {
            let mut args = words("test --workspace --lib -- --exact --nocapture --test-threads 1");
            args.extend(tests.iter().map(|test| (*test).to_owned()));
            args
        }
    }
}

fn parse(args: &[String]) -> Option<Wanted> {
    let mut wanted = Wanted {
        from: 1,
        seeds: SEEDS,
        finality: true,
    };
    let mut words = args.iter().flat_map(|arg| arg.splitn(2, '='));
    while let Some(name) = words.next() {
        let value: u64 = words.next()?.parse().ok()?;
        match name {
            "--seeds" => wanted.seeds = value,
            "--from" => wanted.from = value,
            "--seed" => {
                wanted = Wanted {
                    from: value,
                    seeds: 1,
                    finality: false,
                }
            }
            _ => return None,
        }
    }
    (wanted.seeds > 0 && wanted.from.checked_add(wanted.seeds).is_some()).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Option<(u64, u64, bool)> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&args).map(|wanted| (wanted.from, wanted.seeds, wanted.finality))
    }

    #[test]
    fn either_runner_is_given_the_tests_by_name() {
        let nextest = arguments(Runner::Nextest, &["a", "b"]);
        let filter = nextest.last().map(String::as_str);
        assert_eq!(
            filter,
            Some("package(realdid-node) & (test(=a) | test(=b))")
        );
        assert!(arguments(Runner::CargoTest, &["a", "b"]).ends_with(&["a".into(), "b".into()]));
    }

    #[test]
    fn seeds_are_read() {
        assert_eq!(parsed(""), Some((1, SEEDS, true)));
        assert_eq!(parsed("--seeds 200 --from 7"), Some((7, 200, true)));
        assert_eq!(parsed("--seeds=200"), Some((1, 200, true)));
        assert_eq!(parsed("--seed 9"), Some((9, 1, false)));
        for wrong in [
            "--seeds",
            "--seeds x",
            "--seeds 0",
            "9",
            "--from 9 9",
            "--fast 1",
        ] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }
}
