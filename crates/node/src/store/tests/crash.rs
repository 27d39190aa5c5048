//! kill -9 at random moments (P10): what was acknowledged is there, what is there is whole.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::*;

const DIRECTORY: &str = "REALDID_TEST_CRASH_DIRECTORY";
const SEED: u64 = 77;
const IDS: u64 = 3000;
/// Blocks in a slot: the state is committed with every third block.
const SLOT: u64 = 3;

fn block_at(height: u64) -> Vec<u8> {
    height.to_be_bytes().repeat(40)
}

/// The changes of all blocks of the slot that ends with `height`.
fn slot_changes(height: u64) -> Vec<Change> {
    changes_at(SEED, height, IDS)
}

/// As a node starts: open both, replay what the log has beyond the state.
fn open(directory: &Path) -> (BlockLog, NomtStore) {
    let path = directory.join("blocks.redb");
    let log = BlockLog::open(&path, &BlockLogOptions::default()).unwrap();
    let state = NomtStore::open(&directory.join("state"), small()).unwrap();
    (log, state)
}

/// Not a test by itself: the process that the test below kills.
#[test]
fn crash_child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let (log, state) = open(Path::new(&directory));
    let tip = log.tip().unwrap();
    let from = state.committed_height().map_or(0, |height| height + 1);
    for height in from.. {
        if tip.is_none_or(|tip| height > tip) {
            let operation = LoggedOperation {
                hash: value_hash(BY, &height.to_be_bytes()),
                accepted: true,
                receipt: b"receipt",
            };
            log.append(height, &block_at(height), None, &[operation])
                .unwrap();
            println!("acknowledged {height}");
            std::io::stdout().flush().unwrap();
        }
        if height.is_multiple_of(SLOT) {
            state.commit(height, &slot_changes(height)).unwrap();
        }
    }
}

#[test]
fn p10_kill_9_at_any_moment_loses_no_acknowledged_block_and_tears_no_state() {
    let directory = tempfile::tempdir().unwrap();
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut chance = Chance(seed);
    let memory = MemoryStore::default();
    let mut next = 0;
    let started = Instant::now();
    for round in 0..12 {
        if started.elapsed() > Duration::from_secs(15) {
            println!("stopped after {round} rounds");
            break;
        }
        let mut child = command(&child("store::tests::crash::crash_child"))
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let acknowledged = std::thread::spawn(move || {
            let lines = lines.map_while(Result::ok);
            let heights = lines.filter_map(|line| {
                let (_, height) = line.split_once("acknowledged ")?;
                height.parse::<u64>().ok()
            });
            heights.max()
        });
        // Some kills fall into opening and replaying, most into committing.
        std::thread::sleep(Duration::from_millis(20 + chance.below(400)));
        child.kill().unwrap();
        child.wait().unwrap();
        let acknowledged = acknowledged.join().unwrap();

        let (log, state) = open(directory.path());
        let tip = log.tip().unwrap();
        assert!(tip >= acknowledged, "{tip:?} {acknowledged:?}");
        for height in tip.map_or(0..0, |tip| 0..tip + 1) {
            assert_eq!(log.block(height).unwrap().unwrap(), block_at(height));
            let receipt = log.receipt(&value_hash(BY, &height.to_be_bytes())).unwrap();
            assert_eq!(receipt.unwrap().height, height);
        }
        let committed = state.committed_height();
        assert!(committed <= tip, "the state is ahead of the log");
        while committed.is_some_and(|committed| next <= committed) {
            memory.commit(next, &slot_changes(next)).unwrap();
            next += SLOT;
        }
        same_state(&state, &memory, IDS, &mut chance);
        for height in 0..next + SLOT {
            assert_eq!(
                state.root_at(height).unwrap(),
                memory.root_at(height).unwrap()
            );
        }
        println!("round {round}: log {tip:?}, state {committed:?}");
    }
    assert!(next > 3 * SLOT, "the child hardly ran: {next}");
}
