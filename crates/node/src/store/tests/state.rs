//! The state on disk against the state in memory.

use ::nomt::hasher::Sha2Hasher;
use ::nomt::trie::LeafData;
use ::nomt::{Nomt, Options, SessionParams};
use realdid_core::trie::{EMPTY, Found, TrieError, verify};

use super::*;

#[test]
fn nomt_and_memory_agree_through_deletes_and_reopening() {
    for seed in 1..=3 {
        println!("seed {seed}");
        let directory = tempfile::tempdir().unwrap();
        let ids = [40, 400, 2000][seed as usize - 1];
        let mut chance = Chance(seed);
        let memory = MemoryStore::default();
        let mut store = NomtStore::open(directory.path(), small()).unwrap();
        assert_eq!((store.root(), store.committed_height()), (EMPTY, None));
        for height in 0..80 {
            let changes = changes_at(seed, height, ids);
            let root = memory.commit(height, &changes).unwrap();
            assert_eq!(store.commit(height, &changes).unwrap(), root, "{height}");
            if height % 8 == 5 {
                drop(store);
                store = NomtStore::open(directory.path(), small()).unwrap();
            }
            if height % 4 < 2 {
                same_state(&store, &memory, ids, &mut chance);
            }
        }
        for height in 0..82 {
            assert_eq!(
                store.root_at(height).unwrap(),
                memory.root_at(height).unwrap()
            );
        }
        let all: Vec<Change> = (0..ids).map(|id| (key(id), None)).collect();
        let all: std::collections::BTreeMap<_, _> = all.into_iter().collect();
        let all: Vec<_> = all.into_iter().collect();
        assert_eq!(store.commit(100, &all).unwrap(), EMPTY);
        memory.commit(100, &all).unwrap();
        same_state(&store, &memory, ids, &mut chance);
    }
}

#[test]
fn tampered_proofs_of_the_store_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = NomtStore::open(directory.path(), small()).unwrap();
    let changes: Vec<Change> = (1..=10).map(|id| (key(id), Some(vec![id as u8]))).collect();
    store.commit(0, &changes).unwrap();
    for id in [1, 5, 12, 500] {
        let Proved { root, proof, .. } = store.prove(&key(id)).unwrap();
        for place in 0..proof.siblings.len() {
            let mut bad = proof.clone();
            bad.siblings[place][7] ^= 1;
            assert_eq!(
                verify(BY, &root, &key(id), &bad),
                Err(TrieError::RootMismatch)
            );
            bad.siblings.remove(place);
            assert!(verify(BY, &root, &key(id), &bad).is_err());
        }
        // A proof of another state: what was true once is not true now.
        let mut old_root = root;
        old_root[31] ^= 1;
        assert_eq!(
            verify(BY, &old_root, &key(id), &proof),
            Err(TrieError::RootMismatch)
        );
    }
}

#[test]
fn our_verifier_says_what_nomts_own_says() {
    let directory = tempfile::tempdir().unwrap();
    let ids = 300;
    let store = NomtStore::open(directory.path(), small()).unwrap();
    for height in 0..20 {
        store.commit(height, &changes_at(9, height, ids)).unwrap();
    }
    let root = store.root();
    drop(store);

    let mut options = Options::new();
    options.path(directory.path().join("nomt"));
    let engine = Nomt::<Sha2Hasher>::open(options).unwrap();
    assert_eq!(engine.root().into_inner(), root);
    let session = engine.begin_session(SessionParams::default());
    let (mut present, mut absent) = (0, 0);
    for id in 0..ids {
        let key = key(id);
        let theirs = session.prove(key).unwrap();
        let verified = theirs
            .verify::<Sha2Hasher>(theirs.terminal.path(), root)
            .unwrap();
        let ours = crate::store::nomt::our_proof(theirs);
        match verify(BY, &root, &key, &ours).unwrap() {
            Found::Present { value_hash } => {
                let leaf = LeafData {
                    key_path: key,
                    value_hash,
                };
                assert!(verified.confirm_value(&leaf).unwrap());
                present += 1;
            }
            Found::Absent => {
                assert!(verified.confirm_nonexistence(&key).unwrap());
                absent += 1;
            }
        }
    }
    assert!(present > 20 && absent > 20, "{present} {absent}");
}

#[test]
fn a_height_is_committed_once_and_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let store = NomtStore::open(directory.path(), small()).unwrap();
    let one = |value: u8| vec![(key(1), Some(vec![value]))];
    let root = store.commit(5, &one(1)).unwrap();
    for height in [4, 5] {
        let refused = store.commit(height, &one(2));
        assert!(matches!(refused, Err(StoreError::HeightOrder { .. })));
    }
    let twice = [one(2), one(3)].concat();
    let refused = store.commit(6, &twice);
    assert!(matches!(refused, Err(StoreError::DuplicateKey)));
    assert_eq!((store.root(), store.committed_height()), (root, Some(5)));
    // Nothing changes, but the height does, and it survives.
    assert_eq!(store.commit(6, &[(key(2), None)]).unwrap(), root);
    drop(store);
    let store = NomtStore::open(directory.path(), small()).unwrap();
    assert_eq!((store.root(), store.committed_height()), (root, Some(6)));
    assert_eq!(store.root_at(5).unwrap(), Some(root));
    assert_eq!(store.root_at(7).unwrap(), None);
}

#[test]
fn a_table_too_small_for_one_commit_grows_under_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = NomtStore::open(directory.path(), small()).unwrap();
    let memory = MemoryStore::default();
    let changes: std::collections::BTreeMap<Key, _> =
        (0..10_000).map(|id| (key(id), Some(vec![1]))).collect();
    let changes: Vec<_> = changes.into_iter().collect();
    let root = store.commit(0, &changes).unwrap();
    assert_eq!(memory.commit(0, &changes).unwrap(), root);
    assert_eq!(store.root(), root);
    assert!(store.table_use().unwrap() < 0.7);
    same_state_of_narrow_buckets(&store, &memory);

    let whole = Prefix::new(&[], 0).unwrap();
    let refused = store.bucket(&whole);
    assert!(matches!(
        refused,
        Err(StoreError::BucketTooWide { limit: 4096 })
    ));
}

#[test]
fn coming_and_going_pages_never_use_up_the_table() {
    let directory = tempfile::tempdir().unwrap();
    let store = NomtStore::open(directory.path(), small()).unwrap();
    for height in 0u64..40 {
        // Another 600 keys each time, and the last 600 gone: pages come and go everywhere.
        let (old, new) = (height * 600, (height + 1) * 600);
        let leave = (old.max(600) - 600..old).map(|id| (value_hash(BY, &id.to_be_bytes()), None));
        let come = (old..new).map(|id| (value_hash(BY, &id.to_be_bytes()), Some(vec![1])));
        store
            .commit(height, &leave.chain(come).collect::<Vec<_>>())
            .unwrap();
        assert!(store.table_use().unwrap() < 0.7, "at {height}");
    }
}

fn same_state_of_narrow_buckets(store: &NomtStore, memory: &MemoryStore) {
    for id in 0..8 {
        let prefix = Prefix::new(&key(id * 601), 16).unwrap();
        let bucket = store.bucket(&prefix).unwrap();
        assert_eq!(bucket, memory.bucket(&prefix).unwrap());
    }
}

#[test]
fn families_are_read_in_pages() {
    let directory = tempfile::tempdir().unwrap();
    let store = NomtStore::open(directory.path(), small()).unwrap();
    let changes: Vec<Change> = (1..=10)
        .flat_map(|id| {
            [
                (key(3 * id + 1), Some(vec![1])),
                (key(3 * id + 2), Some(vec![2])),
            ]
        })
        .collect();
    store.commit(0, &changes).unwrap();
    let all = store.family(1, None, 100).unwrap();
    assert_eq!(all.len(), 10);
    let mut paged = store.family(1, None, 4).unwrap();
    while let Some(last) = paged.last().map(|entry| entry.key) {
        let page = store.family(1, Some(&last), 4).unwrap();
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, all);
    // Behind the end of the family there is nothing, not the next family.
    assert_eq!(store.family(1, Some(&[2; 32]), 4).unwrap(), []);
}

#[test]
fn a_state_of_two_ages_is_refused_and_can_be_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let store = NomtStore::open(path, small()).unwrap();
    store.commit(1, &[(key(1), Some(vec![1]))]).unwrap();
    drop(store);
    std::fs::remove_file(path.join("index.redb")).unwrap();
    assert!(matches!(
        NomtStore::open(path, small()),
        Err(StoreError::Diverged)
    ));
    NomtStore::discard(path).unwrap();
    let store = NomtStore::open(path, small()).unwrap();
    assert_eq!(store.committed_height(), None);
}

#[test]
fn a_directory_has_one_owner() {
    let directory = tempfile::tempdir().unwrap();
    let _first = NomtStore::open(directory.path(), small()).unwrap();
    let second = NomtStore::open(directory.path(), small());
    assert!(matches!(second, Err(StoreError::InUse)));
}

#[test]
fn readers_on_many_threads_see_whole_commits() {
    let directory = tempfile::tempdir().unwrap();
    let store = NomtStore::open(directory.path(), small()).unwrap();
    store.commit(0, &[]).unwrap();
    std::thread::scope(|scope| {
        for reader in 0..3 {
            let store = &store;
            scope.spawn(move || {
                let mut height = 0;
                while height < 30 {
                    let proved = store.prove(&key(reader)).unwrap();
                    assert!(proved.height >= height);
                    height = proved.height;
                    let value = proved.value.as_deref();
                    let checked = check_value(BY, &proved.root, &key(reader), value, &proved.proof);
                    assert_eq!(checked, Ok(()));
                    if height > 0 {
                        assert_eq!(value, Some(&[height as u8][..]));
                    }
                }
            });
        }
        for height in 1..=30 {
            let changes: Vec<_> = (0..20)
                .map(|id| (key(id), Some(vec![height as u8])))
                .collect();
            store.commit(height, &changes).unwrap();
        }
    });
}

#[test]
fn nomt_and_memory_agree_with_sm3() {
    let directory = tempfile::tempdir().unwrap();
    let memory = MemoryStore::hashing_by(HashFunction::Sm3);
    let other = MemoryStore::default();
    let mut store = NomtSm3Store::open(directory.path(), small()).unwrap();
    for height in 0..12 {
        let changes = changes_at(7, height, 200);
        let root = memory.commit(height, &changes).unwrap();
        assert_eq!(store.commit(height, &changes).unwrap(), root, "{height}");
        assert_ne!(other.commit(height, &changes).unwrap(), root);
        if height == 6 {
            drop(store);
            store = NomtSm3Store::open(directory.path(), small()).unwrap();
        }
    }
    for id in 0..200 {
        let proved = store.prove(&key(id)).unwrap();
        assert_eq!(proved, memory.prove(&key(id)).unwrap());
        let prefix = Prefix::new(&key(id), 12).unwrap();
        // The store has verified the bucket by its own function before it gives it away.
        assert_eq!(
            store.bucket(&prefix).unwrap(),
            memory.bucket(&prefix).unwrap()
        );
    }
}
