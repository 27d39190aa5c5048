//! Measuring several things in one process, in turns, by the processor time that they take.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "for tests: an account of the system that every test machine has"
)]

use std::time::{Duration, Instant};

/// Processor time of this thread so far, in seconds.
fn cpu() -> f64 {
    let account = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanoseconds: f64 = account.split(' ').next().unwrap().parse().unwrap();
    nanoseconds / 1e9
}

/// What is measured, with how many units it does each time.
pub type Work<'a> = (usize, Box<dyn FnMut() + 'a>);

/// Work per second of processor time of each, taking turns of a hundredth of the time, so that
/// what else the machine does falls on all alike.
pub fn rates(work: &mut [Work<'_>]) -> Vec<f64> {
    let seconds: f64 = std::env::var("BENCH_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(5.0);
    let turn = Duration::from_secs_f64(seconds / 100.0);
    let mut spent = vec![0.0; work.len()];
    let mut done = vec![0; work.len()];
    // The first turns warm up and do not count.
    for round in 0..110 {
        for (index, (units, work)) in work.iter_mut().enumerate() {
            let (from, until) = (cpu(), Instant::now() + turn);
            let mut units_done = 0;
            while units_done == 0 || Instant::now() < until {
                work();
                units_done += *units;
            }
            if round >= 10 {
                spent[index] += cpu() - from;
                done[index] += units_done;
            }
        }
    }
    done.iter()
        .zip(spent)
        .map(|(done, spent)| *done as f64 / spent)
        .collect()
}
