use super::*;
use crate::seed::POOL_STEP;
use realdid_core::did::commitment;
use realdid_core::hash::HashFunction;
use realdid_core::state::PendingRecovery;
use realdid_core::suite::Suite;

fn kit() -> Kit {
    Kit::new(&[3; 16], [4; 32]).unwrap()
}

fn wallet() -> Content {
    let mut pool = Pool::default();
    kit().top_up(&mut pool, POOL_STEP).unwrap();
    Content::new(kit().pairwise_root(0), pool, kit().pass_seed())
}

fn terms() -> Terms {
    Terms {
        network: "dev".parse().unwrap(),
        expires: 100,
    }
}

fn make(content: &mut Content, service: u8) -> usize {
    let purpose = Purpose {
        service: Hash32([service; 32]),
        bound: true,
        domain: "shop.example".into(),
    };
    new_did(content, "dev".parse().unwrap(), purpose, 1).unwrap()
}

fn record(entry: &DidEntry) -> DidRecord {
    DidRecord {
        seq: 0,
        keys: entry.inception().unwrap().keys,
        endpoints: vec![],
        frozen: false,
        pending: None,
        deactivated: false,
        created_ms: 0,
        updated_ms: 0,
        verified: None,
    }
}

fn change(
    content: &mut Content,
    kind: Kind,
    record: Option<&DidRecord>,
    kit: Option<&Kit>,
) -> Result<SignedOperation, ChangeError> {
    let Content { dids, pool, .. } = content;
    build(kind, &mut dids[0], record, pool, kit, terms())
}

fn signer(operation: &SignedOperation) -> Hash32 {
    operation.verify_signatures().unwrap();
    commitment(&operation.signatures[0].key)
}

const BY: HashFunction = HashFunction::Sha256;

#[test]
fn p2_services_get_dids_that_share_nothing() {
    let mut content = wallet();
    make(&mut content, 1);
    make(&mut content, 2);
    let [a, b] = [&content.dids[0], &content.dids[1]].map(|entry| entry.inception().unwrap().keys);
    assert_ne!(a.current, b.current);
    assert_ne!(a.next, b.next);
    assert_ne!(a.recovery, b.recovery);
    assert_eq!(content.did_of_service(&Hash32([2; 32])), Some(1));
}

#[test]
fn each_change_is_signed_by_the_key_that_may_ask_for_it() {
    let mut content = wallet();
    make(&mut content, 1);
    let record = record(&content.dids[0]);
    let current = commitment(&record.keys.current[0]);

    let anchor = change(&mut content, Kind::Anchor, None, None).unwrap();
    assert_eq!(signer(&anchor), current);
    let rotate = change(&mut content, Kind::Rotate, Some(&record), Some(&kit())).unwrap();
    assert_eq!(signer(&rotate), record.keys.next);
    let recover = change(&mut content, Kind::Recover, Some(&record), Some(&kit())).unwrap();
    assert_eq!(signer(&recover), record.keys.recovery);
    let freeze = change(&mut content, Kind::Freeze, Some(&record), Some(&kit())).unwrap();
    assert_eq!(signer(&freeze), record.keys.recovery);
    let deactivate = change(&mut content, Kind::Deactivate, Some(&record), None).unwrap();
    assert_eq!(signer(&deactivate), current);
}

#[test]
fn new_keys_were_never_shown_and_the_wallet_has_them_before_it_sends() {
    let mut content = wallet();
    make(&mut content, 1);
    let before = record(&content.dids[0]);
    let rotate = change(&mut content, Kind::Rotate, Some(&before), Some(&kit())).unwrap();
    let Body::Rotate(id, 1, keys) = rotate.operation.body else {
        panic!("a rotation to sequence 1");
    };
    assert_eq!(id, content.dids[0].inception().unwrap().id());
    assert_ne!(keys.current, before.keys.current);
    assert_ne!(keys.next, before.keys.next);
    assert_ne!(keys.recovery, before.keys.recovery);
    let secret = content.dids[0].secret_of(&keys.current).unwrap();
    assert_eq!(keys.current, vec![secret.public()]);
    // Not from what the vault held before: a copy of the old vault does not give the new key.
    let old = pairwise_key(
        Suite::Ed25519,
        &content.pairwise_root,
        &content.dids[0].service,
    )
    .unwrap();
    assert_ne!(old.public(), secret.public());

    // The ledger took it: the next change is judged by the new keys.
    let after = DidRecord {
        seq: 1,
        keys,
        ..before
    };
    let again = change(&mut content, Kind::Rotate, Some(&after), Some(&kit())).unwrap();
    assert_eq!(signer(&again), after.keys.next);
    assert!(matches!(again.operation.body, Body::Rotate(_, 2, _)));
}

#[test]
fn a_disputed_did_is_ended_by_the_next_key_only() {
    let mut content = wallet();
    make(&mut content, 1);
    let mut disputed = record(&content.dids[0]);
    disputed.pending = Some(PendingRecovery {
        keys: disputed.keys.clone(),
        effective_ms: 5,
    });
    let refused = change(&mut content, Kind::Deactivate, Some(&disputed), None).unwrap_err();
    assert_eq!(refused.code(), "kit.needed");
    let ended = change(
        &mut content,
        Kind::Deactivate,
        Some(&disputed),
        Some(&kit()),
    )
    .unwrap();
    assert_eq!(signer(&ended), disputed.keys.next);
    let cancel = change(&mut content, Kind::Cancel, Some(&disputed), None).unwrap();
    assert_eq!(signer(&cancel), commitment(&disputed.keys.current[0]));
}

#[test]
fn what_the_ledger_would_refuse_is_refused_here() {
    let mut content = wallet();
    make(&mut content, 1);
    let good = record(&content.dids[0]);
    let frozen = DidRecord {
        frozen: true,
        ..good.clone()
    };
    let stalled = DidRecord {
        pending: Some(PendingRecovery {
            keys: good.keys.clone(),
            effective_ms: 5,
        }),
        ..frozen.clone()
    };
    let over = DidRecord {
        deactivated: true,
        ..good.clone()
    };
    let foreign = DidRecord {
        keys: Keys {
            current: vec![kit().next_key(Suite::Ed25519, 9).unwrap().public()],
            next: Hash32([1; 32]),
            recovery: Hash32([2; 32]),
        },
        ..good.clone()
    };
    let other_kit = Kit::new(&[9; 16], [9; 32]).unwrap();
    let kit = kit();
    let cases = [
        (Kind::Anchor, Some(&good), None, "did.exists"),
        (Kind::Rotate, None, Some(&kit), "did.unknown"),
        (Kind::Rotate, Some(&good), None, "kit.needed"),
        (
            Kind::Rotate,
            Some(&good),
            Some(&other_kit),
            "kit.other_wallet",
        ),
        (Kind::Rotate, Some(&foreign), Some(&kit), "did.other_keys"),
        (Kind::Cancel, Some(&good), None, "did.not_recovering"),
        (Kind::Cancel, Some(&stalled), None, "did.frozen"),
        (
            Kind::Freeze,
            Some(&frozen),
            Some(&kit),
            "did.already_frozen",
        ),
        (Kind::Deactivate, Some(&over), None, "did.deactivated"),
        (Kind::Deactivate, Some(&foreign), None, "did.other_keys"),
    ];
    for (kind, record, kit, code) in cases {
        let refused = change(&mut content, kind, record, kit).unwrap_err();
        assert_eq!(refused.code(), code, "{kind:?}");
    }
}

#[test]
fn an_empty_pool_asks_for_the_kit() {
    let mut content = wallet();
    content.pool.used = POOL_STEP;
    let purpose = Purpose {
        service: Hash32([1; 32]),
        bound: false,
        domain: String::new(),
    };
    let refused = new_did(&mut content, "dev".parse().unwrap(), purpose, 1).unwrap_err();
    assert_eq!(refused.code(), "wallet.pool_empty");
}

/// Every change against the ledger's own rules, in one life of a DID.
#[test]
fn the_ledger_accepts_what_the_wallet_builds() {
    use realdid_core::state::did_key;
    use realdid_testkit::ledger::TestNet;
    let mut net = TestNet::new();
    let mut content = wallet();
    make(&mut content, 1);
    let key = did_key(BY, &content.dids[0].inception().unwrap().id());
    let kit = kit();
    let steps = [
        Kind::Anchor,
        Kind::Rotate,
        Kind::Recover,
        Kind::Cancel,
        Kind::Freeze,
        Kind::Rotate,
        Kind::Freeze,
        Kind::Recover,
        Kind::Deactivate,
    ];
    for (i, kind) in steps.into_iter().enumerate() {
        let at = net.now.time_ms;
        let record = net.record::<DidRecord>(&key).map(|record| record.at(at));
        let mut operation = change(&mut content, kind, record.as_ref(), Some(&kit)).unwrap();
        if kind == Kind::Anchor {
            operation = operation.sponsored(net.authority.id, &net.authority.operation);
        }
        assert_eq!(net.apply(&operation), Ok(()), "step {i}: {kind:?}");
        // Played again it is out of sequence, or there already.
        assert!(net.apply(&operation).is_err(), "step {i} again");
        if (kind, i) == (Kind::Recover, 7) {
            net.wait_ms(net.genesis.parameters.recovery_delay_s * 1000);
        }
        let at = net.now.time_ms;
        let after = net.record::<DidRecord>(&key).unwrap().at(at);
        assert!(
            content.dids[0].secret_of(&after.keys.current).is_some(),
            "step {i}: keys at hand"
        );
    }
    assert!(net.record::<DidRecord>(&key).unwrap().deactivated);
}

#[test]
fn a_wallet_of_sm2_makes_and_changes_its_dids_by_it() {
    let mut content = Content::new(
        kit().pairwise_root(0),
        kit().pool(Suite::Sm2).unwrap(),
        kit().pass_seed(),
    );
    let place = make(&mut content, 1);
    let inception = content.dids[place].inception().unwrap();
    assert_eq!(inception.keys.current[0].suite(), Suite::Sm2);
    // By what the ledger will hold a shown key against: the hash of its own suite.
    let next = kit().next_key(Suite::Sm2, 0).unwrap();
    assert_eq!(inception.keys.next, commitment(&next.public()));
    let standing = record(&content.dids[place]);
    for kind in [Kind::Rotate, Kind::Recover, Kind::Freeze, Kind::Deactivate] {
        let (mut entry, mut pool) = (content.dids[place].clone(), content.pool.clone());
        let made = build(
            kind,
            &mut entry,
            Some(&standing),
            &mut pool,
            Some(&kit()),
            terms(),
        );
        let signed = made.unwrap();
        let by = signed.signatures.iter().map(|by| by.key.suite());
        assert!(by.eq([Suite::Sm2]), "{kind:?}");
        // The vault says of which suite each secret is, and gives the same key back.
        let stored = codec::encode(&entry);
        let read: DidEntry = codec::decode(&stored, stored.len()).unwrap();
        let secret = read.key_sets.last().unwrap().secret().unwrap();
        assert_eq!(secret.suite(), Suite::Sm2);
        assert!(read.secret_of(&[secret.public()]).is_some());
    }
}
