//! A state that runs out of space: an error, not a crash, and it goes on where it stopped.
//!
//! The disk is filled by the limit on file sizes, which needs neither privileges nor gigabytes.
//! A limit belongs to a whole process, so a child has it.

use std::path::Path;

use super::*;
use crate::store::index::Index;

const DIRECTORY: &str = "REALDID_TEST_FULL_DISK_DIRECTORY";

fn changes(height: u64) -> Vec<Change> {
    let ids = height * 200..height * 200 + 200;
    let mut changes: Vec<Change> = ids
        .map(|id| (value_hash(BY, &id.to_be_bytes()), Some(vec![7; 6000])))
        .collect();
    if height > 3 {
        changes.push((value_hash(BY, &(height * 200 - 300).to_be_bytes()), None));
    }
    changes
}

/// Not a test by itself: the process whose files may not grow.
#[test]
fn full_disk_child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let store = NomtStore::open(Path::new(&directory), small()).unwrap();
    let memory = MemoryStore::default();
    let mut chance = Chance(1);
    let mut full_at = None;
    for height in 0..2000 {
        match store.commit(height, &changes(height)) {
            Ok(root) => assert_eq!(memory.commit(height, &changes(height)).unwrap(), root),
            Err(error) => {
                assert!(matches!(error, StoreError::DiskFull), "{error:?}");
                full_at = Some(height);
                break;
            }
        }
    }
    let full_at = full_at.unwrap();
    assert!(full_at > 5, "{full_at}");
    println!("full at height {full_at}");
    // Nothing of the failed commit is visible, and trying again fails the same way.
    same_state(&store, &memory, 5000, &mut chance);
    let again = store.commit(full_at, &changes(full_at));
    assert!(matches!(again, Err(StoreError::DiskFull)), "{again:?}");
    same_state(&store, &memory, 5000, &mut chance);

    let process = std::process::id().to_string();
    let freed = Command::new("prlimit")
        .args(["--pid", &process, "--fsize=unlimited"])
        .status();
    assert!(freed.unwrap().success());
    for height in full_at..full_at + 5 {
        let changes = changes(height);
        let root = memory.commit(height, &changes).unwrap();
        assert_eq!(store.commit(height, &changes).unwrap(), root);
    }
    same_state(&store, &memory, 5000, &mut chance);
    println!("went on to height {:?}", store.committed_height());
}

#[test]
fn a_full_disk_stops_the_state_and_a_freed_one_lets_it_go_on() {
    let directory = tempfile::tempdir().unwrap();
    // 48 MiB a file, in the shell's units of 512 bytes: NOMT's files grow by 32 MiB.
    let limited = "trap '' XFSZ; ulimit -S -f 98304; exec \"$@\"";
    let mut words: Vec<String> = ["sh", "-c", limited, "sh"].map(str::to_string).to_vec();
    words.extend(child("store::tests::full_disk::full_disk_child"));
    let output = command(&words)
        .env(DIRECTORY, directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr).into_owned();
    println!("{said}\n{complained}");
    assert!(output.status.success() && said.contains("went on to height"));
}

/// The key index is written before NOMT, on a disk that fails at each of its writes in turn.
#[test]
fn an_index_that_cannot_be_written_takes_nothing_of_the_commit() {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::default();
    disk.room.store(i64::MAX, Ordering::SeqCst);
    let index = Index::with_tables(disk.tables()).unwrap();
    let store = NomtStore::with_index(directory.path(), small(), index).unwrap();
    let memory = MemoryStore::default();
    let mut chance = Chance(3);
    let (mut failures, mut height) = (0, 0);
    for room in 0.. {
        let changes: Vec<Change> = (0..9)
            .map(|id| {
                (
                    key(room * 5 + id),
                    (id % 4 != 0).then(|| vec![room as u8; 20]),
                )
            })
            .collect();
        disk.room.store(room as i64, Ordering::SeqCst);
        let tried = store.commit(height, &changes);
        disk.room.store(i64::MAX, Ordering::SeqCst);
        let done = tried.is_ok();
        if !done {
            failures += 1;
            assert!(matches!(tried, Err(StoreError::DiskFull)), "{tried:?}");
            same_state(&store, &memory, 200, &mut chance);
            assert_eq!(store.root_at(height).unwrap(), None);
            store.commit(height, &changes).unwrap();
        }
        memory.commit(height, &changes).unwrap();
        same_state(&store, &memory, 200, &mut chance);
        height += 1;
        if done {
            break;
        }
    }
    assert!(failures > 4, "{failures}");
}
