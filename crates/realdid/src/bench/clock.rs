//! Processor time, from the kernel's own account of a process.
//!
//! Work per second of processor time does not depend on how many cores happen to be free, and
//! whoever makes the load does not count. The account covers user and system time of all threads,
//! those that have ended included, in steps of 10 ms.

use super::broken;
use crate::fail::Fail;
use std::future::Future;
use std::time::{Duration, Instant};

/// Ticks a second in /proc: USER_HZ, the same on every Linux that we run on.
const TICKS: f64 = 100.0;

/// How long a measurement runs; `BENCH_SECONDS` sets it, for the peers too.
pub fn length() -> Duration {
    let set = std::env::var("BENCH_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    Duration::try_from_secs_f64(set.unwrap_or(5.0)).unwrap_or(Duration::from_secs(5))
}

/// The processor time of this process so far, in seconds, by a clock that is finer than its account in /proc.
pub fn own() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The processor time of a process so far, in seconds.
pub fn of(process: &str) -> Result<f64, Fail> {
    std::fs::read_to_string(format!("/proc/{process}/stat"))
        .ok()
        .and_then(|stat| seconds(&stat))
        .ok_or_else(|| broken("/proc tells the processor time of a process that runs"))
}

/// The processor time of one thread so far, in seconds, by the kernel's finer account. `thread` is its name
/// below /proc, as `/proc/thread-self` leads to it.
pub fn of_thread(thread: &str) -> Result<f64, Fail> {
    let told = std::fs::read_to_string(format!("/proc/{thread}/schedstat")).ok();
    let nanoseconds = told.and_then(|told| told.split(' ').next()?.parse::<u64>().ok());
    let nanoseconds = nanoseconds.ok_or_else(|| broken("/proc tells what a thread has taken"))?;
    Ok(nanoseconds as f64 / 1e9)
}

/// The processor time that the machine has not had to give since it started, in seconds: what
/// others on the same host took counts too.
pub fn machine() -> Result<f64, Fail> {
    let stat = std::fs::read_to_string("/proc/stat").ok();
    stat.and_then(|stat| taken(&stat))
        .ok_or_else(|| broken("/proc tells the processor time of the machine"))
}

/// The first line of proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal. Guests
/// are in user time already.
fn taken(stat: &str) -> Option<f64> {
    let mut fields = stat
        .lines()
        .next()?
        .strip_prefix("cpu ")?
        .split_whitespace();
    let ticks = |field: &str| field.parse::<u64>().ok();
    let fields: Option<Vec<u64>> = fields.by_ref().take(8).map(ticks).collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, steal] = fields?[..] else {
        return None;
    };
    Some((user + nice + system + irq + softirq + steal) as f64 / TICKS)
}

/// The processor time of all that run below a process so far, in seconds. What has ended is not in
/// it.
pub fn of_children(process: u32) -> Result<f64, Fail> {
    let cannot = |_| broken("/proc lists the processes that run");
    let stats: Vec<(u32, u32, f64)> = std::fs::read_dir("/proc")
        .map_err(cannot)?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let id = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
            Some((id, parent, seconds(&stat)?))
        })
        .collect();
    let (mut sum, mut parents) = (0.0, vec![process]);
    while let Some(parent) = parents.pop() {
        for (id, _, seconds) in stats.iter().filter(|(_, of, _)| *of == parent) {
            sum += seconds;
            parents.push(*id);
        }
    }
    Ok(sum)
}

/// Fields 14 and 15 of proc_pid_stat(5): utime and stime. Field 2, the program's name, may hold
/// anything, so counting begins behind its parenthesis.
fn seconds(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some((ticks()? + ticks()?) as f64 / TICKS)
}

/// The processor time that `work` takes in this process, in seconds.
pub fn cost<T>(work: impl FnOnce() -> Result<T, Fail>) -> Result<(T, f64), Fail> {
    let before = own();
    let done = work()?;
    Ok((done, own() - before))
}

/// Runs what makes a load on a thread of its own that never sleeps. A process that answers one that sleeps pays
/// for waking it, on the machine of both; from another machine it would only be handed to the network.
pub fn awake<T>(load: impl Future<Output = T>) -> Result<T, Fail> {
    tokio::task::block_in_place(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|_| broken("a thread can make a load"))?;
        Ok(runtime.block_on(async {
            tokio::select! {
                loaded = load => loaded,
                () = restless() => std::future::pending().await,
            }
        }))
    })
}

/// Never done, and never asleep.
async fn restless() {
    loop {
        tokio::task::yield_now().await;
    }
}

/// Repeats `work`, which does `units` units each time, for a while to warm up and then for
/// `length`; answers units per second of this process's processor time.
pub fn rate(
    length: Duration,
    units: usize,
    mut work: impl FnMut(usize) -> Result<(), Fail>,
) -> Result<f64, Fail> {
    repeat(length / 4, &mut work)?;
    let (rounds, seconds) = cost(|| repeat(length, &mut work))?;
    Ok((rounds * units) as f64 / seconds.max(f64::EPSILON))
}

fn repeat(
    length: Duration,
    work: &mut impl FnMut(usize) -> Result<(), Fail>,
) -> Result<usize, Fail> {
    let until = Instant::now() + length;
    let mut rounds = 0;
    loop {
        work(rounds)?;
        rounds += 1;
        if Instant::now() >= until {
            return Ok(rounds);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_programs_name_does_not_move_the_fields() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20";
        assert_eq!(seconds(&format!("42 (realdid) {rest}")), Some(2.0));
        assert_eq!(seconds(&format!("42 (a) b) c) {rest}")), Some(2.0));
        assert_eq!(seconds("42 (realdid) S 1"), None);
        assert!(own() > 0.0);
        let stat = "cpu  100 20 30 4000 50 6 7 8 9 10\ncpu0 1 2 3 4 5 6 7 8";
        assert_eq!(taken(stat), Some(1.71));
        assert_eq!(taken("cpu  1 2"), None);
        assert!(machine().unwrap() > 0.0);
    }
}
