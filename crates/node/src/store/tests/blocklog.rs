//! The block log: order, forks, receipts, and a disk that fails at every possible moment.

use std::sync::atomic::Ordering;

use super::*;

fn operation(id: u64, accepted: bool, receipt: &[u8]) -> LoggedOperation<'_> {
    LoggedOperation {
        hash: value_hash(BY, &id.to_be_bytes()),
        accepted,
        receipt,
    }
}

#[test]
fn blocks_certificates_and_receipts_survive_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("blocks.redb");
    let options = BlockLogOptions::default();
    let log = BlockLog::open(&path, &options).unwrap();
    assert_eq!(log.tip().unwrap(), None);
    assert_eq!(log.newest_certificate().unwrap(), None);
    log.append(0, b"genesis", None, &[]).unwrap();
    let operations = [operation(1, true, b"r1"), operation(2, false, b"r2")];
    log.append(1, b"one", Some(b"c1"), &operations).unwrap();
    log.append(2, b"two", None, &[]).unwrap();
    drop(log);

    let log = BlockLog::open(&path, &options).unwrap();
    assert_eq!(log.tip().unwrap(), Some(2));
    assert_eq!(log.block(1).unwrap().unwrap(), b"one");
    assert_eq!(log.block(3).unwrap(), None);
    let later = log.blocks_from(1, 5).unwrap();
    assert_eq!(later, [(1, b"one".to_vec()), (2, b"two".to_vec())]);
    assert_eq!(log.blocks_from(0, 1).unwrap().len(), 1);
    assert_eq!(
        log.newest_certificate().unwrap().unwrap(),
        (1, b"c1".to_vec())
    );
    log.put_certificate(2, b"c2").unwrap();
    log.put_certificate(2, b"a second one").unwrap();
    assert_eq!(log.certificate(2).unwrap().unwrap(), b"c2");
    assert!(matches!(
        log.put_certificate(3, b"c3"),
        Err(BlockLogError::NoBlock { height: 3 })
    ));
    let receipt = log
        .receipt(&operation(2, false, b"").hash)
        .unwrap()
        .unwrap();
    let expected = LoggedReceipt {
        height: 1,
        index: 1,
        accepted: false,
        receipt: b"r2".to_vec(),
    };
    assert_eq!(receipt, expected);
    assert_eq!(log.receipt(&[0; 32]).unwrap(), None);
}

#[test]
fn a_gap_or_a_fork_is_refused_and_the_same_block_twice_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("blocks.redb");
    let log = BlockLog::open(&path, &BlockLogOptions::default()).unwrap();
    assert_eq!(log.append(7, b"seven", None, &[]).unwrap(), Appended::Now);
    assert_eq!(
        log.append(7, b"seven", None, &[]).unwrap(),
        Appended::Before
    );
    assert!(matches!(
        log.append(7, b"other", None, &[]),
        Err(BlockLogError::Fork { height: 7 })
    ));
    let gap = log.append(9, b"nine", None, &[]);
    assert!(matches!(
        gap,
        Err(BlockLogError::Gap {
            expected: 8,
            got: 9
        })
    ));
    assert!(matches!(
        log.append(6, b"six", None, &[]),
        Err(BlockLogError::NoBlock { height: 6 })
    ));
    assert_eq!(log.tip().unwrap(), Some(7));
    assert!(matches!(
        BlockLog::open(&path, &BlockLogOptions::default()),
        Err(BlockLogError::InUse)
    ));
}

#[test]
fn sending_an_operation_again_cannot_unmake_its_acceptance() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("blocks.redb");
    let log = BlockLog::open(&path, &BlockLogOptions::default()).unwrap();
    let block = |height, accepted, receipt: &[u8]| {
        let block = [height as u8];
        log.append(height, &block, None, &[operation(1, accepted, receipt)])
            .unwrap();
    };
    block(1, false, b"too early");
    block(2, true, b"accepted");
    block(3, false, b"replayed");
    let receipt = log.receipt(&operation(1, true, b"").hash).unwrap().unwrap();
    assert_eq!((receipt.height, receipt.accepted), (2, true));
}

#[test]
fn a_disk_that_fills_at_any_write_loses_no_block_and_takes_the_next() {
    let mut failures = 0;
    for room in 0.. {
        let disk = Disk::default();
        disk.room.store(i64::MAX, Ordering::SeqCst);
        let log = BlockLog::with_tables(disk.tables()).unwrap();
        log.append(0, b"genesis", Some(b"c0"), &[]).unwrap();

        // Larger than the room that the file has, so that it must grow too.
        let big = vec![1; 3 << 20];
        let operations = [operation(1, true, b"receipt")];
        disk.room.store(room, Ordering::SeqCst);
        let tried = log.append(1, &big, Some(b"c1"), &operations);
        if tried.is_err() {
            failures += 1;
            assert!(matches!(tried, Err(BlockLogError::DiskFull)), "{tried:?}");
            // Still full: an error again, never a panic.
            let _ = log.append(1, &big, Some(b"c1"), &operations);
            let _ = log.tip();
        }
        disk.room.store(i64::MAX, Ordering::SeqCst);

        let there = log.tip().unwrap() == Some(1);
        assert_eq!(log.block(1).unwrap().is_some(), there);
        assert_eq!(log.certificate(1).unwrap().is_some(), there);
        assert_eq!(log.receipt(&operations[0].hash).unwrap().is_some(), there);
        assert_eq!(log.block(0).unwrap().unwrap(), b"genesis");

        log.append(1, &big, Some(b"c1"), &operations).unwrap();
        log.append(2, b"two", None, &[]).unwrap();
        assert_eq!(log.block(1).unwrap().unwrap(), big);
        assert!(log.receipt(&operations[0].hash).unwrap().is_some());
        if tried.is_ok() {
            break;
        }
    }
    assert!(failures > 4, "{failures}");
}

/// The commit can fail after the block has reached the file and before it is synced. The file is
/// opened again then, which syncs it, before anybody is told that the block is there.
#[test]
fn p10_a_block_that_is_answered_for_is_there_after_a_power_cut() {
    let mut reached = 0;
    for room in 0.. {
        let disk = Disk::default();
        disk.room.store(i64::MAX, Ordering::SeqCst);
        let log = BlockLog::with_tables(disk.tables()).unwrap();
        log.append(0, b"genesis", None, &[]).unwrap();
        disk.room.store(room, Ordering::SeqCst);
        let tried = log.append(1, b"one", Some(b"c1"), &[]);
        disk.room.store(i64::MAX, Ordering::SeqCst);
        reached += usize::from(tried.is_err() && log.tip().unwrap() == Some(1));
        log.append(1, b"one", Some(b"c1"), &[]).unwrap();
        // Before the log is closed: closing would sync what was left.
        let left = disk.after_a_power_cut();
        let log = BlockLog::with_tables(left.tables()).unwrap();
        assert_eq!(
            log.block(1).unwrap().as_deref(),
            Some(&b"one"[..]),
            "{room}"
        );
        if tried.is_ok() {
            break;
        }
    }
    assert!(reached > 0, "no commit failed at that moment");
}
