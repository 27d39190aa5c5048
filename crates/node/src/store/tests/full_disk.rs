//! A state that runs out of space: an error, not a crash, and it goes on where it stopped.
//!
//! The disk is filled by the limit on file sizes, which needs neither privileges nor gigabytes.
//! A limit belongs to a whole process, so a child has it.

use std::path::Path;

use super::*;

const DIRECTORY: &str = "REALDID_TEST_FULL_DISK_DIRECTORY";
const VALUE_BYTES: &str = "REALDID_TEST_FULL_DISK_VALUE_BYTES";

fn changes(height: u64, value_bytes: usize) -> Vec<Change> {
    let ids = height * 200..height * 200 + 200;
    let mut changes: Vec<Change> = ids
        .map(|id| (value_hash(&id.to_be_bytes()), Some(vec![7; value_bytes])))
        .collect();
    if height > 3 {
        changes.push((value_hash(&(height * 200 - 300).to_be_bytes()), None));
    }
    changes
}

/// Not a test by itself: the process whose files may not grow.
#[test]
fn full_disk_child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let value_bytes = std::env::var(VALUE_BYTES).unwrap().parse().unwrap();
    let store = NomtStore::open(Path::new(&directory), small()).unwrap();
    let memory = MemoryStore::default();
    let mut chance = Chance(1);
    let mut full_at = None;
    for height in 0..2000 {
        match store.commit(height, &changes(height, value_bytes)) {
            Ok(root) => assert_eq!(
                memory
                    .commit(height, &changes(height, value_bytes))
                    .unwrap(),
                root
            ),
            Err(error) => {
                assert!(matches!(error, StoreError::DiskFull), "{error:?}");
                full_at = Some(height);
                break;
            }
        }
    }
    let full_at = full_at.unwrap();
    println!("full at height {full_at}");
    // Nothing of the failed commit is visible, and trying again fails the same way.
    same_state(&store, &memory, 100, &mut chance);
    let again = store.commit(full_at, &changes(full_at, value_bytes));
    assert!(matches!(again, Err(StoreError::DiskFull)), "{again:?}");
    same_state(&store, &memory, 100, &mut chance);

    let process = std::process::id().to_string();
    let freed = Command::new("prlimit")
        .args(["--pid", &process, "--fsize=unlimited"])
        .status();
    assert!(freed.unwrap().success());
    for height in full_at..full_at + 5 {
        let changes = changes(height, value_bytes);
        let root = memory.commit(height, &changes).unwrap();
        assert_eq!(store.commit(height, &changes).unwrap(), root);
    }
    same_state(&store, &memory, 100, &mut chance);
    println!("went on to height {:?}", store.committed_height());
}

/// Large values fill NOMT's files first, small ones the key index.
#[test]
fn a_full_disk_stops_the_state_and_a_freed_one_lets_it_go_on() {
    for value_bytes in ["3000", "1"] {
        let directory = tempfile::tempdir().unwrap();
        let mut words: Vec<String> = [
            "sh",
            "-c",
            "trap '' XFSZ; ulimit -S -f 8192; exec \"$@\"",
            "sh",
        ]
        .map(str::to_string)
        .to_vec();
        words.extend(child("store::tests::full_disk::full_disk_child"));
        let output = command(&words)
            .env(DIRECTORY, directory.path())
            .env(VALUE_BYTES, value_bytes)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complained = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}\n{complained}");
        assert!(said.contains("went on to height"), "{said}");
        println!("{said}");
    }
}
