use super::*;
use realdid_core::hash::HashFunction;
use realdid_core::state::ReasonCode;

const BY: HashFunction = HashFunction::Sha256;

fn found() -> Enrolment {
    Enrolment {
        seq: 1,
        commitment: Hash32([3; 32]),
        epoch: 7,
        standing: Standing::Active,
        reason: ReasonCode::None,
        issuer: issuer_id(BY, "https://authority.example"),
        reset_ms: None,
    }
}

#[test]
fn an_entry_that_is_not_as_announced_is_not_stored() {
    let issuer = issuer_id(BY, "https://authority.example");
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
fn what_stands_for_a_foreigner_is_read_from_the_passport() {
    let zone =
        b"P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<L898902C36UTO7408122F1204159ZE184226B<<<<<10";
    let group = [&[0x61, 0x5b, 0x5f, 0x1f, 0x58], zone.as_slice()].concat();
    let passport = tag::PassportEvidence::new(&[0x77, 0], &[(1, group)]);
    let number = number_of(&passport.clone().into()).ok().unwrap();
    assert_eq!(number.as_str(), "passport/UTO/personal/ZE184226B");
    let mut other = passport;
    other.data_groups.clear();
    assert_eq!(
        number_of(&other.into()).err().unwrap().code,
        "evidence.malformed"
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

#[test]
fn a_wallet_keeps_the_spare_keys_of_its_networks_suite_and_needs_its_kit_for_another_later() {
    use realdid_core::suite::Suite;
    let dir = tempfile::tempdir().unwrap();
    let (mut wallet, kit) = Wallet::create(dir.path(), None).unwrap();
    let before = wallet.content.pool.clone();
    // The kit is far away when the wallet meets its network.
    let (kit, away) = (kit.unwrap(), dir.path().join("away"));
    std::fs::rename(&kit, &away).unwrap();
    wallet.speak(Suite::Sm2).unwrap();
    assert_eq!(wallet.content.pool.suite(), Suite::Sm2);
    assert_eq!(wallet.content.pool.left(), before.left());
    assert!(wallet.content.other_pools.is_none());
    wallet.speak(Suite::Sm2).unwrap();
    // It fits the pool of its own making.
    assert!(wallet.kit(Some(&away)).unwrap().is_some());
    own_commitment(&mut wallet, "https://authority.example").unwrap();
    let own = wallet.content.enrolment.as_ref().unwrap();
    assert_eq!(own.suite, Some(Suite::Sm2));

    let refused = wallet.speak(Suite::P256).unwrap_err();
    assert_eq!(refused.code, "kit.needed");
    assert_eq!(wallet.content.pool.suite(), Suite::Sm2);
    std::fs::rename(&away, &kit).unwrap();
    wallet.speak(Suite::P256).unwrap();
    assert_eq!(wallet.content.pool.suite(), Suite::P256);
}
