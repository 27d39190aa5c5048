//! A short set of seeds, the same seed twice, and how soon a block is final. `cargo xtask sim`
//! names other seeds by the environment.

use super::*;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The seeds that every test run plays.
const SHORT: (u64, u64) = (1, 10);
const STACK_BYTES: usize = 64 << 20;

/// The first seed and their number, as `cargo xtask sim` asks for them.
fn wanted() -> (u64, u64) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    (
        number("REALDID_SIM_FROM").unwrap_or(SHORT.0),
        number("REALDID_SIM_SEEDS").unwrap_or(SHORT.1),
    )
}

/// Runs on a thread with room: the futures of a whole network are deep in a build for tests.
fn with_room<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Box<dyn Any + Send>> {
    thread::scope(|scope| {
        let worker = thread::Builder::new().stack_size(STACK_BYTES);
        let work = || catch_unwind(AssertUnwindSafe(work));
        worker.spawn_scoped(scope, work).unwrap().join().unwrap()
    })
}

#[test]
fn p10_under_faults_nothing_forks_nothing_final_is_lost_and_all_goes_on_after_healing() {
    let (from, count) = wanted();
    let next = AtomicU64::new(from);
    let failed = Mutex::new(Vec::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::SeqCst);
            if seed >= from + count {
                return;
            }
            let plan = Plan::draw(seed);
            let began = Instant::now();
            match with_room(|| run(&plan)) {
                Ok(outcome) => println!(
                    "seed {seed}: {} blocks, {} of them under faults, {} operations, {} crashes, {} of them torn; {} ({plan}; {:.1} s)",
                    outcome.height,
                    outcome.height_at_healing,
                    outcome.operations,
                    outcome.crashes,
                    outcome.torn,
                    outcome.audit,
                    began.elapsed().as_secs_f64(),
                ),
                Err(_) => {
                    println!("seed {seed} FAILED ({plan}); again: cargo xtask sim --seed {seed}");
                    failed.lock().unwrap().push(seed);
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "seeds that failed: {failed:?}");
}

/// A seed that failed once, by what the simulator did wrong: a process that had ended still answered
/// for a block that its disk did not have.
#[test]
fn p10_what_a_process_did_after_its_end_is_not_done() {
    assert!(with_room(|| run(&Plan::draw(19))).is_ok());
}

#[test]
fn a_seed_is_the_same_run_each_time() {
    let play = |seed| with_room(|| run(&Plan::draw(seed))).unwrap();
    for seed in [1, 3, 5] {
        let first = play(seed);
        assert_eq!(first, play(seed));
        assert_ne!(first.audit, play(seed + 1).audit);
    }
}

/// The run's own measure: what it must not survive, it does not.
#[test]
fn p10_a_disk_that_lies_about_having_synced_is_found_out() {
    let ms = Duration::from_millis;
    let mut life = Life::quiet(ms(8_000), Quality::GOOD, 4);
    life.faults
        .push((ms(5_000), Fault::Crash(1, ms(500), false)));
    let mut plan = Plan::plain(7, Quality::GOOD, life);
    assert!(with_room(|| run(&plan)).is_ok());
    plan.disks_lie = true;
    let found = with_room(|| run(&plan)).unwrap_err();
    let said = found.downcast_ref::<String>().unwrap();
    assert!(said.contains("answered for height"), "{said}");
}

/// Links of 50 ms without loss.
const FAR: Quality = Quality {
    latency_ms: 50,
    jitter_ms: 0,
    loss_percent: 0,
};

/// Three trips of 50 ms and what the protocol adds. Time is the simulator's, so that this is the
/// same on every machine.
#[test]
fn a_block_is_final_within_185_ms_over_links_of_50_ms() {
    let life = Life::quiet(Duration::from_secs(30), FAR, 4);
    let outcome = with_room(|| run(&Plan::plain(1, FAR, life))).unwrap();
    let at = |delays: &[Duration], percent: usize| delays[delays.len() * percent / 100].as_millis();
    println!(
        "finality over 50 ms links: {} blocks, p50 {} ms, p99 {} ms from proposal to durable on each of 4 validators; \
         an operation p50 {} ms, p99 {} ms from being handed in",
        outcome.height,
        at(&outcome.block_delays, 50),
        at(&outcome.block_delays, 99),
        at(&outcome.operation_delays, 50),
        at(&outcome.operation_delays, 99),
    );
    assert!(outcome.height > 60, "{}", outcome.height);
    assert!(at(&outcome.block_delays, 50) <= 185);
}

/// One of four dies at any moment of its turn: in the ten seconds that begin then, seven blocks of
/// ten are made that were made before.
#[test]
fn a_proposer_that_is_down_is_skipped_before_its_second_missed_turn() {
    let ms = Duration::from_millis;
    for death in [10_000, 10_300] {
        let mut life = Life::quiet(ms(death + 10_000), FAR, 4);
        let forever = ms(1 << 32);
        life.faults
            .push((ms(death), Fault::Crash(3, forever, true)));
        let outcome = with_room(|| run(&Plan::plain(death, FAR, life))).unwrap();
        let blocks = |from: u64| {
            let window = ms(from)..ms(from + 10_000);
            outcome
                .final_at
                .iter()
                .filter(|at| window.contains(*at))
                .count()
        };
        let (before, after) = (blocks(death - 10_000), blocks(death));
        println!("one of four dies: {before} blocks in 10 s before, {after} in 10 s after");
        assert!(before > 30 && after * 10 >= before * 7, "{before} {after}");
    }
}

/// A plan in which committees follow each other while nothing else happens.
fn succeeding(seed: u64, successions: Vec<Succession>) -> Plan {
    let life = Life::quiet(Duration::from_secs(5), Quality::GOOD, 4);
    let mut plan = Plan::plain(seed, Quality::GOOD, life);
    plan.successions = successions;
    plan
}

fn succession(members: &[usize], same_key: bool) -> Succession {
    Succession {
        at: Duration::ZERO,
        members: members.to_vec(),
        same_key,
        crashes: Vec::new(),
    }
}

/// One is added, one removed, one replaced, and the key is handed on: nobody else is asked to do
/// anything, and the run's own properties hold for all terms.
#[test]
fn committees_grow_shrink_and_rotate_under_the_same_key_and_under_a_new_one() {
    let plan = succeeding(
        11,
        vec![
            succession(&[0, 1, 2, 3, 4], true),
            succession(&[0, 1, 2, 4], true),
            succession(&[1, 2, 4, 5], false),
            succession(&[0, 3, 5, 6], false),
        ],
    );
    let first = with_room(|| run(&plan)).unwrap();
    assert_eq!(first, with_room(|| run(&plan)).unwrap());
    assert!(first.height > 4 * 64, "{}", first.height);
}

/// Processes end at the last blocks of a term and the first of the next one, each with its state
/// and without.
#[test]
fn p10_a_crash_at_the_boundary_of_two_terms_loses_nothing() {
    for seed in [21, 22] {
        let mut next = succession(&[0, 1, 2, 4], seed == 21);
        next.crashes = vec![(0, -2), (4, -1), (2, 0), (3, 0), (1, 1)];
        let outcome = with_room(|| run(&succeeding(seed, vec![next]))).unwrap();
        assert_eq!(outcome.crashes, 5);
    }
}

/// Whoever was away while two committees followed finds its way through both.
#[test]
fn a_late_joiner_crosses_two_terms() {
    let successions = vec![
        succession(&[0, 1, 2, 3, 4], true),
        succession(&[0, 1, 4, 5], false),
    ];
    let mut plan = succeeding(31, successions);
    plan.lives[0].length = Duration::from_secs(90);
    // One that votes later, and one that has voted before.
    let ms = Duration::from_millis;
    plan.lives[0].late = vec![(5, ms(80_000))];
    plan.lives[0]
        .faults
        .push((ms(2_000), Fault::Crash(3, ms(78_000), false)));
    let outcome = with_room(|| run(&plan)).unwrap();
    assert!(
        outcome.height_at_healing > 2 * 64,
        "{}",
        outcome.height_at_healing
    );
}
