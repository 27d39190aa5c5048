//! The trie's rules, each held as written and each broken once. Against NOMT itself they are
//! tested where NOMT is (`realdid-node`, `store::tests`).

use std::collections::BTreeMap;

use proptest::prelude::*;

use sha2::{Digest as _, Sha256};

use super::*;
use crate::codec;

const BY: HashFunction = HashFunction::Sha256;

type Map = BTreeMap<Key, Vec<u8>>;

fn root_of(map: &Map) -> Root {
    subtree_root(BY, &leaves_of(map), 0)
}

fn leaves_of(map: &Map) -> Vec<(Key, ValueHash)> {
    map.iter().map(|(k, v)| (*k, value_hash(BY, v))).collect()
}

/// A bucket made the plain way: walk down, collect.
fn bucket_of(map: &Map, prefix: &Prefix) -> Bucket {
    let entries: Vec<Entry> = map
        .iter()
        .filter(|(key, _)| prefix.covers(key))
        .map(|(key, value)| Entry {
            key: *key,
            value: value.clone(),
        })
        .collect();
    let mut siblings = Vec::new();
    let terminal = descend(BY, &leaves_of(map), 0, prefix.path(), &mut siblings);
    let ends_early = siblings.len() < prefix.bits();
    siblings.truncate(prefix.bits());
    let other = match terminal {
        Terminal::Leaf { key, value_hash } if ends_early && !prefix.covers(&key) => {
            Some(Leaf { key, value_hash })
        }
        _ => None,
    };
    Bucket {
        siblings,
        entries,
        other,
    }
}

fn proof_of(map: &Map, key: &Key) -> Proof {
    let mut siblings = Vec::new();
    let terminal = descend(BY, &leaves_of(map), 0, key, &mut siblings);
    Proof { siblings, terminal }
}

fn key(first: &[u8]) -> Key {
    let mut key = [0; 32];
    key[..first.len()].copy_from_slice(first);
    key
}

/// Keys that cluster: few families, and now and then nearly the same key.
fn any_key() -> impl Strategy<Value = Key> {
    (0u8..3, any::<[u8; 31]>(), any::<bool>()).prop_map(|(family, rest, clustered)| {
        let mut key = [0; 32];
        key[0] = family;
        key[1..].copy_from_slice(&rest);
        if clustered {
            key[1..30].fill(0x5a);
        }
        key
    })
}

fn any_map() -> impl Strategy<Value = Map> {
    prop::collection::btree_map(any_key(), prop::collection::vec(any::<u8>(), 0..40), 0..60)
}

#[test]
fn t1_to_t3_a_root_is_made_as_written() {
    assert_eq!(root_of(&Map::new()), [0; 32]);

    let leaf = |key: &Key, value: &[u8]| {
        let mut hasher = Sha256::new();
        hasher.update(key);
        hasher.update(Sha256::digest(value));
        let mut node: Node = hasher.finalize().into();
        node[0] |= 0x80;
        node
    };
    let (a, b) = (key(&[0b0100_0000]), key(&[0b0110_0000]));
    assert_eq!(root_of(&Map::from([(a, vec![1])])), leaf(&a, &[1]));

    // The two keys part at the third bit: two levels with an empty side above them.
    let inner = |left: &Node, right: &Node| {
        let mut node: Node = Sha256::digest([*left, *right].as_flattened()).into();
        node[0] &= 0x7f;
        node
    };
    let parted = inner(&leaf(&a, &[1]), &leaf(&b, &[2]));
    let expected = inner(&inner(&EMPTY, &parted), &EMPTY);
    assert_eq!(root_of(&Map::from([(a, vec![1]), (b, vec![2])])), expected);
}

#[test]
fn the_wire_form_is_frozen() {
    let proof = Proof {
        siblings: vec![[1; 32], EMPTY],
        terminal: Terminal::Leaf {
            key: [2; 32],
            value_hash: [3; 32],
        },
    };
    let bytes = codec::encode(&proof);
    let expected = format!(
        "825840{}{}83015820{}5820{}",
        "01".repeat(32),
        "00".repeat(32),
        "02".repeat(32),
        "03".repeat(32)
    );
    assert_eq!(hex::encode(&bytes), expected);
    assert_eq!(codec::decode::<Proof>(&bytes, 4096), Ok(proof));

    let empty = Proof {
        siblings: vec![],
        terminal: Terminal::Empty,
    };
    assert_eq!(hex::encode(codec::encode(&empty)), "82408100");

    let bucket = Bucket {
        siblings: vec![],
        entries: vec![Entry {
            key: [2; 32],
            value: vec![7],
        }],
        other: None,
    };
    let expected = format!("824081825820{}4107", "02".repeat(32));
    assert_eq!(hex::encode(codec::encode(&bucket)), expected);
    assert_eq!(
        codec::decode::<Bucket>(&codec::encode(&bucket), 4096),
        Ok(bucket)
    );

    let nobody = Bucket {
        siblings: vec![],
        entries: vec![],
        other: Some(Leaf {
            key: [2; 32],
            value_hash: [3; 32],
        }),
    };
    let expected = format!(
        "83408082{}",
        ["5820", &"02".repeat(32), "5820", &"03".repeat(32)].concat()
    );
    assert_eq!(hex::encode(codec::encode(&nobody)), expected);
}

#[test]
fn refuses_proofs_of_impossible_length_before_reading_them() {
    let mut bytes = vec![0x82, 0x59, 0x20, 0x20];
    bytes.extend([0; 257 * 32]);
    bytes.extend([0x81, 0x00]);
    assert!(codec::decode::<Proof>(&bytes, 1 << 20).is_err());
    assert!(codec::decode::<Proof>(&hex::decode("8241008100").unwrap(), 64).is_err());

    let long = Proof {
        siblings: vec![EMPTY; 257],
        terminal: Terminal::Empty,
    };
    assert_eq!(
        verify(BY, &EMPTY, &[0; 32], &long),
        Err(TrieError::TooManySiblings)
    );
}

#[test]
fn t4_a_leaf_of_another_path_proves_nothing() {
    let (here, there) = (key(&[0x00]), key(&[0x80]));
    let map = Map::from([(here, vec![1]), (there, vec![2])]);
    let root = root_of(&map);
    let stolen = Proof {
        siblings: proof_of(&map, &here).siblings,
        terminal: proof_of(&map, &there).terminal,
    };
    assert_eq!(
        verify(BY, &root, &here, &stolen),
        Err(TrieError::MisplacedLeaf)
    );
}

#[test]
fn a_bucket_of_two_keys_cannot_stand_above_its_prefix() {
    let map = Map::from([(key(&[0, 1]), vec![1]), (key(&[0, 2]), vec![2])]);
    let prefix = Prefix::new(&[0], 8).unwrap();
    let mut bucket = bucket_of(&map, &prefix);
    assert_eq!(verify_bucket(BY, &root_of(&map), &prefix, &bucket), Ok(()));
    bucket.siblings.clear();
    assert_eq!(
        verify_bucket(BY, &root_of(&map), &prefix, &bucket),
        Err(TrieError::BadBucket)
    );
}

#[test]
fn prefixes_are_parsed_not_guessed() {
    let prefix = Prefix::new(&[0xff, 0xff], 11).unwrap();
    assert_eq!(prefix.path()[..3], [0xff, 0xe0, 0]);
    assert_eq!(prefix.last()[..3], [0xff, 0xff, 0xff]);
    assert!(prefix.covers(&key(&[0xff, 0xe1])) && !prefix.covers(&key(&[0xff, 0xdf])));
    assert_eq!(Prefix::new(&[7; 32], 256).unwrap().last(), [7; 32]);
    assert_eq!(Prefix::new(&[], 0).unwrap().last(), [0xff; 32]);
    assert_eq!(Prefix::in_family(3, &[0x80], 1).unwrap().bits(), 9);
    for (bytes, bits) in [(&[0; 1][..], 9), (&[0; 32], 257), (&[0; 33], 8)] {
        assert_eq!(Prefix::new(bytes, bits), Err(TrieError::BadPrefix));
    }
    assert_eq!(
        Prefix::in_family(3, &[], usize::MAX),
        Err(TrieError::BadPrefix)
    );
}

#[test]
fn unordered_leaves_end_in_bounded_time() {
    let same = [([1; 32], [0; 32]), ([1; 32], [0; 32])];
    subtree_root(BY, &same, 0);
    subtree_root(BY, &[([9; 32], [0; 32]), ([1; 32], [0; 32])], 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn proves_presence_and_absence_and_nothing_else(map in any_map(), absent in any_key()) {
        let root = root_of(&map);
        for (key, value) in &map {
            let proof = proof_of(&map, key);
            prop_assert_eq!(check_value(BY, &root, key, Some(value), &proof), Ok(()));
            prop_assert_eq!(check_value(BY, &root, key, None, &proof), Err(TrieError::OtherValue));
            prop_assert_eq!(
                check_value(BY, &root, key, Some(b"another value, longer than any"), &proof),
                Err(TrieError::OtherValue)
            );
        }
        let proof = proof_of(&map, &absent);
        let value = map.get(&absent).map(Vec::as_slice);
        prop_assert_eq!(check_value(BY, &root, &absent, value, &proof), Ok(()));
    }

    #[test]
    fn t5_refuses_a_proof_with_any_bit_changed(
        map in any_map(), asked in any_key(), at in any::<prop::sample::Index>(), bit in 0u8..8,
    ) {
        let root = root_of(&map);
        let proof = proof_of(&map, &asked);
        let good = codec::encode(&proof);
        let mut bad = good.clone();
        let place = at.index(bad.len());
        bad[place] ^= 1 << bit;
        if let Ok(bad) = codec::decode::<Proof>(&bad, 1 << 16) {
            prop_assert!(verify(BY, &root, &asked, &bad).is_err());
        }
        let mut other_root = root;
        other_root[place % 32] ^= 1 << bit;
        prop_assert_eq!(verify(BY, &other_root, &asked, &proof), Err(TrieError::RootMismatch));
    }

    #[test]
    fn t7_a_bucket_is_complete_and_true(
        map in any_map(), asked in any_key(), bits in 0usize..=256,
        at in any::<prop::sample::Index>(),
    ) {
        let root = root_of(&map);
        let prefix = Prefix::new(&asked, bits).unwrap();
        let bucket = bucket_of(&map, &prefix);
        prop_assert_eq!(verify_bucket(BY, &root, &prefix, &bucket), Ok(()));

        // The proof of the wanted key, made from the bucket alone, is the server's own.
        prop_assert_eq!(bucket.proof(BY, &asked), proof_of(&map, &asked));
        prop_assert_eq!(bucket.value(&asked), map.get(&asked).map(Vec::as_slice));

        if !bucket.entries.is_empty() {
            let place = at.index(bucket.entries.len());
            let mut hidden = bucket.clone();
            hidden.entries.remove(place);
            prop_assert!(verify_bucket(BY, &root, &prefix, &hidden).is_err());
            let mut forged = bucket.clone();
            forged.entries[place].value.push(0);
            prop_assert!(verify_bucket(BY, &root, &prefix, &forged).is_err());
            let mut twice = bucket.clone();
            twice.entries.insert(place, bucket.entries[place].clone());
            prop_assert_eq!(verify_bucket(BY, &root, &prefix, &twice), Err(TrieError::Unsorted));
        }
        let mut added = bucket.clone();
        added.entries = vec![Entry { key: prefix.last(), value: vec![9; 50] }];
        prop_assert!(verify_bucket(BY, &root, &prefix, &added).is_err());
    }

    #[test]
    fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = codec::decode::<Proof>(&bytes, 4096);
        let _ = codec::decode::<Bucket>(&bytes, 4096);
    }
}

#[test]
fn a_network_with_sm3_has_other_roots_and_proofs_that_hold() {
    let by = HashFunction::Sm3;
    let leaves: Vec<_> = (0..40u8)
        .map(|n| (key(&[n, 7]), value_hash(by, &[n])))
        .collect();
    let root = subtree_root(by, &leaves, 0);
    let ours: Vec<_> = (0..40u8)
        .map(|n| (key(&[n, 7]), value_hash(BY, &[n])))
        .collect();
    assert_ne!(root, subtree_root(BY, &ours, 0));
    for n in 0..40u8 {
        let mut siblings = Vec::new();
        let terminal = descend(by, &leaves, 0, &key(&[n, 7]), &mut siblings);
        let proof = Proof { siblings, terminal };
        let check = |by, value: &[u8]| check_value(by, &root, &key(&[n, 7]), Some(value), &proof);
        assert_eq!(check(by, &[n]), Ok(()));
        assert_eq!(check(by, &[n + 1]), Err(TrieError::OtherValue));
        // The same bytes under the other function prove nothing.
        assert_eq!(check(BY, &[n]), Err(TrieError::RootMismatch));
    }
}
