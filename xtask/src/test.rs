//! `cargo xtask test`: everything there is to test, in stages, each with its wall time.
//!
//! The last line is always `N passed, N failed`, and programs read it. A stage that could not run
//! counts as one failure, so that nothing passes by not running.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use crate::needs::{self, Runner};
use crate::page;
use crate::shell::{self, Failure, Streamed, command};
use crate::tidy;

/// Presentations that the page makes.
const PAGE_PROOFS: usize = 10;

/// What came out of one stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Count {
    passed: u64,
    failed: u64,
}

struct Stage {
    name: &'static str,
    count: Count,
    took: Duration,
}

/// Runs every stage; later ones are skipped only when the build failed.
pub fn run(root: &Path) -> ExitCode {
    let mut stages = Vec::new();
    let mut runner = Runner::CargoTest;
    stage(&mut stages, "setup", || {
        setup(root).map(|found| {
            runner = found;
            Count::default()
        })
    });
    stage(&mut stages, "tidy", || {
        let findings = tidy::check(root);
        tidy::print(&findings);
        Ok(one_check(findings.is_empty()))
    });
    let built = stage(&mut stages, "build", || build(root, runner));
    if built.failed == 0 {
        stage(&mut stages, "rules", || tests(rules(root, runner)));
        stage(&mut stages, "examples", || tests(examples(root)));
        stage(&mut stages, "browser", || browser(root));
        stage(&mut stages, "processes", || tests(processes(root, runner)));
    }
    report(&stages)
}

fn stage(
    stages: &mut Vec<Stage>,
    name: &'static str,
    work: impl FnOnce() -> Result<Count, Failure>,
) -> Count {
    println!("\n== {name}");
    let start = Instant::now();
    let count = work().unwrap_or_else(|failure| {
        println!("{failure}");
        Count {
            passed: 0,
            failed: 1,
        }
    });
    let took = start.elapsed();
    stages.push(Stage { name, count, took });
    count
}

fn one_check(passed: bool) -> Count {
    Count {
        passed: u64::from(passed),
        failed: u64::from(!passed),
    }
}

fn setup(root: &Path) -> Result<Runner, Failure> {
    needs::io_uring()?;
    needs::c_compiler(root)?;
    needs::openssl(root)?;
    needs::rustfmt(root)?;
    needs::postgresql(root)?;
    needs::npm_packages(root, "examples/sign-in/express")?;
    needs::npm_packages(root, "crates/pass/tests/peer")?;
    needs::npm_packages(root, "crates/credential/tests/peer")?;
    needs::npm_packages(root, "crates/authority/tests/peer")?;
    needs::npm_packages(root, "crates/realdid/tests/peer")?;
    needs::python_packages(
        root,
        "target/sign-in-django",
        "examples/sign-in/django/requirements.txt",
    )?;
    needs::python_packages(
        root,
        "target/schemathesis",
        "crates/realdid/tests/schemathesis.txt",
    )?;
    Ok(needs::runner(root))
}

/// Builds all tests and the binary that process tests start, once and in the same profile.
fn build(root: &Path, runner: Runner) -> Result<Count, Failure> {
    let cargo = shell::cargo();
    let args: &[&str] = match runner {
        Runner::Nextest => &["nextest", "run", "--workspace", "--no-run"],
        Runner::CargoTest => &["test", "--workspace", "--no-run"],
    };
    shell::run(command(root, &cargo, args))?;
    Ok(Count::default())
}

/// All tests but those that start real processes.
fn rules(root: &Path, runner: Runner) -> Command {
    match runner {
        Runner::Nextest => nextest(root, "not (package(=realdid) and kind(test))"),
        Runner::CargoTest => command(
            root,
            &shell::cargo(),
            &[
                "test",
                "--workspace",
                "--exclude",
                "realdid",
                "--no-fail-fast",
            ],
        ),
    }
}

/// What a page in Chromium makes with RealPass in WebAssembly is verified natively.
fn browser(root: &Path) -> Result<Count, Failure> {
    needs::browser(root)?;
    page::run(root, PAGE_PROOFS)?;
    Ok(one_check(true))
}

/// The integration tests of the binary's crate: they start real processes.
fn processes(root: &Path, runner: Runner) -> Command {
    match runner {
        Runner::Nextest => nextest(root, "package(=realdid) and kind(test)"),
        Runner::CargoTest => command(
            root,
            &shell::cargo(),
            &["test", "--package", "realdid", "--no-fail-fast"],
        ),
    }
}

/// Examples in the documentation, which nextest does not run.
fn examples(root: &Path) -> Command {
    command(
        root,
        &shell::cargo(),
        &["test", "--workspace", "--doc", "--no-fail-fast"],
    )
}

fn nextest(root: &Path, filter: &str) -> Command {
    command(
        root,
        &shell::cargo(),
        &[
            "nextest",
            "run",
            "--workspace",
            "--no-fail-fast",
            "--no-tests=pass",
            "-E",
            filter,
        ],
    )
}

fn tests(command: Command) -> Result<Count, Failure> {
    Ok(count(&shell::stream(command)?))
}

/// Counts the summaries of either runner. A runner that fails without naming a failed test counts
/// as one.
fn count(run: &Streamed) -> Count {
    let mut count = Count::default();
    for line in run.text.lines() {
        let line = without_colours(line);
        if let Some((_, numbers)) = line.split_once(" run: ") {
            // nextest: `Summary [ 1.2s] 32 tests run: 30 passed (1 slow), 2 failed, 0 skipped`
            if line.trim_start().starts_with("Summary") {
                count.passed += number_before(numbers, "passed");
                count.failed += number_before(numbers, "failed")
                    + number_before(numbers, "timed out")
                    + number_before(numbers, "exec failed");
            }
        } else if let Some(numbers) = line.strip_prefix("test result: ") {
            // libtest: `test result: ok. 32 passed; 0 failed; 0 ignored; ...`. Indented, it is a
            // failed test's own output, which nextest repeats and has counted already.
            count.passed += number_before(numbers, "passed");
            count.failed += number_before(numbers, "failed");
        }
    }
    if !run.success && count.failed == 0 {
        count.failed = 1;
    }
    count
}

/// `number_before("30 passed (1 slow), 2 failed", "failed")` is 2.
fn number_before(text: &str, word: &str) -> u64 {
    text.split([',', ';', '.', '(', ')'])
        .filter_map(|part| part.trim().strip_suffix(word))
        .filter_map(|number| number.trim().parse::<u64>().ok())
        .sum()
}

fn without_colours(line: &str) -> String {
    let mut plain = String::new();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            for c in chars.by_ref() {
                if c.is_ascii_alphabetic() {
                    break;
                }
            }
        } else {
            plain.push(c);
        }
    }
    plain
}

fn report(stages: &[Stage]) -> ExitCode {
    println!(
        "\n{:<12}{:>8}{:>8}{:>10}",
        "stage", "passed", "failed", "seconds"
    );
    let mut total = Count::default();
    for Stage { name, count, took } in stages {
        let seconds = took.as_secs_f64();
        println!(
            "{name:<12}{:>8}{:>8}{seconds:>10.1}",
            count.passed, count.failed
        );
        total.passed += count.passed;
        total.failed += count.failed;
    }
    println!("\n{} passed, {} failed", total.passed, total.failed);
    if total.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(text: &str, success: bool) -> (u64, u64) {
        let text = text.to_owned();
        let count = count(&Streamed { text, success });
        (count.passed, count.failed)
    }

    #[test]
    fn nextest_summaries_are_counted() {
        let text = "     Summary [   3.215s] 37 tests run: 33 passed (2 slow, 1 leaky), 3 failed, \
                    1 timed out, 4 skipped\n";
        assert_eq!(counted(text, false), (33, 4));
        let repeated = "    test result: FAILED. 0 passed; 1 failed; 0 ignored\n\
                        \x20    Summary [   0.1s] 2 tests run: 1 passed, 1 failed, 0 skipped\n\
                        \x20   test result: FAILED. 0 passed; 1 failed; 0 ignored\n";
        assert_eq!(counted(repeated, false), (1, 1));
        let coloured = "\u{1b}[32;1m     Summary\u{1b}[0m [   0.010s] \u{1b}[1m1\u{1b}[0m test run: \
                        \u{1b}[1m1\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, 0 skipped";
        assert_eq!(counted(coloured, true), (1, 0));
    }

    #[test]
    fn libtest_summaries_are_added_up() {
        let text = "test result: ok. 32 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 3.2s\n\
                    test result: FAILED. 1 passed; 2 failed; 0 ignored\n";
        assert_eq!(counted(text, false), (33, 2));
    }

    #[test]
    fn a_runner_that_dies_without_a_summary_counts_as_a_failure() {
        assert_eq!(counted("error: could not compile", false), (0, 1));
        assert_eq!(counted("", true), (0, 0));
    }

    #[test]
    fn a_stage_that_cannot_run_counts_as_a_failure() {
        let mut stages = Vec::new();
        let count = stage(&mut stages, "build", || {
            Err(Failure::Refused {
                line: "cargo build".to_owned(),
            })
        });
        assert_eq!(
            count,
            Count {
                passed: 0,
                failed: 1
            }
        );
        assert_eq!(stages.len(), 1);
    }
}
