use super::*;

const WORDS: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";

fn kit() -> Kit {
    Kit::from_words(WORDS, [7; 32]).unwrap()
}

/// Frozen: another value here means that no kit out there rebuilds its keys.
#[test]
fn derivation_keeps_its_vectors() {
    let kit = kit();
    let service = Hash32([1; 32]);
    let shown = |key: SecretKey| hex::encode(key.public().bytes());
    let made = [
        shown(pairwise_key(Suite::Ed25519, &kit.pairwise_root(0), &service).unwrap()),
        shown(pairwise_key(Suite::Ed25519, &kit.pairwise_root(1), &service).unwrap()),
        shown(kit.recovery_key(Suite::Ed25519, 0).unwrap()),
        shown(kit.recovery_key(Suite::Ed25519, 255).unwrap()),
        shown(kit.next_key(Suite::Ed25519, 0).unwrap()),
        hex::encode(kit.pass_seed().bytes()),
    ];
    let frozen = include_str!("../../vectors/derivation.txt");
    assert_eq!(made.join("\n"), frozen.trim());
}

#[test]
fn keys_of_services_generations_and_kinds_are_apart() {
    let kit = kit();
    let mut seeds = vec![
        *kit.recovery_key(Suite::Ed25519, 0).unwrap().seed(),
        *kit.recovery_key(Suite::Ed25519, 1).unwrap().seed(),
        *kit.next_key(Suite::Ed25519, 0).unwrap().seed(),
        *kit.next_key(Suite::Ed25519, 1).unwrap().seed(),
        *kit.pass_seed().bytes(),
    ];
    for generation in 0..2 {
        for service in 0..2u8 {
            let root = kit.pairwise_root(generation);
            seeds.push(
                *pairwise_key(Suite::Ed25519, &root, &Hash32([service; 32]))
                    .unwrap()
                    .seed(),
            );
        }
    }
    let count = seeds.len();
    seeds.sort_unstable();
    seeds.dedup();
    assert_eq!(seeds.len(), count);
}

#[test]
fn words_alone_do_not_make_next_keys() {
    let other = Kit::from_words(WORDS, [8; 32]).unwrap();
    assert_eq!(
        kit().recovery_key(Suite::Ed25519, 0).unwrap().seed(),
        other.recovery_key(Suite::Ed25519, 0).unwrap().seed()
    );
    // Whoever keeps the words keeps their pseudonyms.
    assert_eq!(kit().pass_seed(), other.pass_seed());
    assert_ne!(
        kit().next_key(Suite::Ed25519, 0).unwrap().seed(),
        other.next_key(Suite::Ed25519, 0).unwrap().seed()
    );
}

#[test]
fn a_pool_gives_each_index_once_and_can_be_topped_up() {
    let mut pool = Pool::default();
    kit().top_up(&mut pool, 2).unwrap();
    let first = pool.take().unwrap();
    let second = pool.take().unwrap();
    assert_eq!((first.index, second.index), (0, 1));
    assert_ne!(first.next, second.next);
    assert_eq!(pool.take(), None);
    kit().top_up(&mut pool, 1).unwrap();
    assert_eq!(pool.take().unwrap().index, 2);
    assert_eq!(
        first.next,
        commitment(&kit().next_key(Suite::Ed25519, 0).unwrap().public())
    );
    kit().check(&pool).unwrap();
    let other = Kit::new(&[1; 16], [7; 32]).unwrap();
    assert!(matches!(other.check(&pool), Err(KitError::OtherWallet)));
}

#[test]
fn a_kit_reads_back_and_is_never_written_over() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("recovery-kit.json");
    kit().write(&path).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let read = Kit::read(&path).unwrap();
    assert_eq!(
        read.next_key(Suite::Ed25519, 3).unwrap().seed(),
        kit().next_key(Suite::Ed25519, 3).unwrap().seed()
    );
    assert_eq!(*read.words, *kit().words);
    assert!(kit().write(&path).is_err());

    std::fs::write(&path, b"{}").unwrap();
    assert!(matches!(Kit::read(&path), Err(KitError::Malformed)));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(Kit::read(&path).unwrap_err().code(), "kit.missing");
    let swapped = WORDS.replace("yellow", "year");
    assert!(matches!(
        Kit::from_words(&swapped, [7; 32]),
        Err(KitError::Words)
    ));
    assert!(matches!(
        Kit::from_words("legal winner", [7; 32]),
        Err(KitError::Words)
    ));
}

/// Frozen, and computed without this crate.
#[test]
fn derivation_of_sm2_keeps_its_vectors_and_shares_no_secret() {
    let kit = kit();
    let service = Hash32([1; 32]);
    let made = |suite| {
        [
            pairwise_key(suite, &kit.pairwise_root(0), &service).unwrap(),
            pairwise_key(suite, &kit.pairwise_root(1), &service).unwrap(),
            kit.recovery_key(suite, 0).unwrap(),
            kit.recovery_key(suite, 255).unwrap(),
            kit.next_key(suite, 0).unwrap(),
        ]
    };
    let shown = made(Suite::Sm2).map(|key| hex::encode(key.public().bytes()));
    let frozen = include_str!("../../vectors/derivation-sm2.txt");
    assert_eq!(shown.join("\n"), frozen.trim());
    let mut seeds: Vec<[u8; 32]> = Suite::ALL
        .into_iter()
        .flat_map(|suite| made(suite).map(|key| *key.seed()))
        .collect();
    let count = seeds.len();
    seeds.sort_unstable();
    seeds.dedup();
    assert_eq!(seeds.len(), count);
}

#[test]
fn a_pool_of_before_is_of_ed25519_and_keeps_its_bytes() {
    let old = (vec![Hash32([1; 32])], vec![Hash32([2; 32])], 0u32);
    let mut bytes = vec![0x83];
    bytes.extend(realdid_core::codec::encode(&old.0));
    bytes.extend(realdid_core::codec::encode(&old.1));
    bytes.extend(realdid_core::codec::encode(&old.2));
    let pool: Pool = realdid_core::codec::decode(&bytes, bytes.len()).unwrap();
    assert_eq!(pool.suite(), Suite::Ed25519);
    assert_eq!(realdid_core::codec::encode(&pool), bytes);
    let other = kit().pool(Suite::Sm2).unwrap();
    let bytes = realdid_core::codec::encode(&other);
    let read: Pool = realdid_core::codec::decode(&bytes, bytes.len()).unwrap();
    assert_eq!(read.suite(), Suite::Sm2);
    kit().check(&read).unwrap();
}
