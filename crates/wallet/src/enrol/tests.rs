use super::*;
use realdid_core::state::ReasonCode;

fn own() -> OwnEnrolment {
    OwnEnrolment {
        issuer_url: "https://authority.example".into(),
        salt: Secret32::new([1; 32]),
        key: Secret32::new([2; 32]),
        commitment: Hash32([3; 32]),
        entry: Some(Entry {
            tag: Hash32([4; 32]),
            seq: 1,
            height: 9,
        }),
    }
}

fn found() -> Enrolment {
    Enrolment {
        seq: 1,
        commitment: Hash32([3; 32]),
        epoch: 7,
        standing: Standing::Active,
        reason: ReasonCode::None,
        issuer: issuer_id("https://authority.example"),
        reset_ms: None,
    }
}

fn watched(found: Option<&Enrolment>) -> Watch {
    let own = own();
    judge(&own, own.entry.as_ref().unwrap(), found)
}

#[test]
fn p6_the_wallet_sees_each_move_of_its_tag() {
    let still = watched(Some(&found()));
    assert_eq!(still, Watch::Still(Standing::Active));
    assert_eq!(still.notice(), None);

    let suspended = Enrolment {
        seq: 2,
        standing: Standing::Suspended,
        reason: ReasonCode::LostDevice,
        ..found()
    };
    let moved = watched(Some(&suspended));
    assert_eq!(moved, Watch::Moved(Standing::Suspended, "lost-device"));
    assert!(moved.notice().unwrap().contains("suspended"));

    let stolen = Enrolment {
        seq: 2,
        commitment: Hash32([9; 32]),
        ..found()
    };
    for found in [Some(&stolen), None] {
        let alarm = watched(found);
        assert_eq!(alarm, Watch::NotOurs);
        assert!(alarm.notice().unwrap().starts_with("ALARM"));
    }
}

#[test]
fn an_entry_that_is_not_as_announced_is_not_stored() {
    let issuer = issuer_id("https://authority.example");
    let check = |entry: &Enrolment| {
        check_entry(entry, &Hash32([3; 32]), 1, &issuer).map_err(|error| error.code)
    };
    assert_eq!(check(&found()), Ok(()));
    let not_ours = Err("enrolment.not_ours".to_owned());
    assert_eq!(
        check(&Enrolment {
            commitment: Hash32([9; 32]),
            ..found()
        }),
        not_ours
    );
    assert_eq!(
        check(&Enrolment {
            issuer: Hash32([9; 32]),
            ..found()
        }),
        not_ours
    );
    assert_eq!(check(&Enrolment { seq: 2, ..found() }), not_ours);
    assert_eq!(
        check(&Enrolment {
            standing: Standing::Suspended,
            ..found()
        }),
        Err("enrolment.suspended".to_owned())
    );
}

#[test]
fn an_interrupted_enrolment_goes_on_with_its_commitment() {
    let dir = tempfile::tempdir().unwrap();
    let (mut wallet, _) = Wallet::create(dir.path(), None).unwrap();
    let first = own_commitment(&mut wallet, "https://authority.example").unwrap();
    drop(wallet);
    let mut wallet = Wallet::open(dir.path()).unwrap();
    assert_eq!(
        own_commitment(&mut wallet, "https://authority.example").unwrap(),
        first
    );
    assert_ne!(
        own_commitment(&mut wallet, "https://other.example").unwrap(),
        first
    );
}

#[test]
fn evidence_that_does_not_read_is_not_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("card.json");
    std::fs::write(&path, br#"{"family_name":"Somebody"}"#).unwrap();
    let refused = read_evidence(&path).unwrap_err();
    assert_eq!(refused.code, "evidence.malformed");
    assert!(!refused.to_string().contains("Somebody"));
}
