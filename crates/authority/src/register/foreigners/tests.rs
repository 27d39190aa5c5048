//! What is kept of foreigners, and that the database alone says nothing.

use super::*;
use crate::config::PassportsConfig;
use realdid_exchange::tag::UpstreamKind;
use realdid_testkit::passport::{Flaw, SOMEBODY, World};
use std::path::Path;

/// 2027-01-15
const NOW_S: u64 = 1_800_000_000;

fn open_lists(dir: &Path) -> Passports {
    Passports::open(&PassportsConfig {
        master_list: dir.join("master-list"),
        revocation_lists: dir.join("revocation-lists"),
    })
    .unwrap()
}

async fn foreigners(dir: &Path, world: &World, country: &str) -> Foreigners {
    world.write_lists(dir);
    let store = Store::open_dir(dir).await.unwrap();
    Foreigners::new(store, &[5; 32], country, Some(open_lists(dir)))
}

fn evidence(
    world: &World,
    facts: &realdid_passport::specimen::Facts<'_>,
    flaw: Flaw,
) -> PassportEvidence {
    let (object, groups) = world.passport(facts, flaw);
    PassportEvidence::new(&object, &groups)
}

#[tokio::test]
async fn a_passport_gives_a_foreigner_whose_name_the_database_does_not_show() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(NOW_S);
    let own = foreigners(folder.path(), &world, "CN").await;
    let shown = evidence(&world, &SOMEBODY, Flaw::Nothing);
    let person = own.by_passport(&shown, NOW_S).await.ok().unwrap();
    assert!(person.is_foreign && person.assurance == Assurance::Substantial);
    assert_eq!(
        (person.family_name.as_str(), person.birthdate.as_str()),
        ("VANDERQUISTOVA", "1988-02-29")
    );
    assert_eq!(person.nationalities, ["QN"]);
    assert_eq!(person.number.as_str(), "passport/QNA/document/Q1234567");
    assert!(own.person(&person.reference).await.ok().unwrap() == person);
    // the same passport again is the same person; with a personal number it is by that
    let again = own.by_passport(&shown, NOW_S + 1).await.ok().unwrap();
    assert_eq!(again.reference, person.reference);
    let numbered = realdid_passport::specimen::Facts {
        personal: "QN88",
        ..SOMEBODY
    };
    let numbered = evidence(&world, &numbered, Flaw::Nothing);
    let numbered = own.by_passport(&numbered, NOW_S).await.ok().unwrap();
    assert_eq!(numbered.number.as_str(), "passport/QNA/personal/QN88");
    assert_ne!(numbered.reference, person.reference);

    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            for secret in ["VANDERQUISTOVA", "Q1234567", "1988-02-29"] {
                let found = bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
                assert!(!found, "{secret} stands in {}", path.display());
            }
        }
    }
    // another authority's key opens nothing, and a row under another name neither
    let store = Store::open_dir(folder.path()).await.unwrap();
    let other = Foreigners::new(store.clone(), &[6; 32], "CN", None);
    let refusal = other.person(&person.reference).await.err();
    assert_eq!(refusal, Some(RegisterRefusal::Unavailable));
    let sealed = store.foreigner(&person.reference).await.unwrap().unwrap();
    store
        .keep_foreigner("foreigner.other", &sealed)
        .await
        .unwrap();
    let refusal = own.person("foreigner.other").await.err();
    assert_eq!(refusal, Some(RegisterRefusal::Unavailable));
    let refusal = own.person("foreigner.nobody").await.err();
    assert_eq!(refusal, Some(RegisterRefusal::Evidence));
}

#[tokio::test]
async fn each_bad_passport_is_refused_by_its_rule() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(NOW_S);
    let own = foreigners(folder.path(), &world, "CN").await;
    for (flaw, code) in Flaw::BAD {
        let refusal = own
            .by_passport(&evidence(&world, &SOMEBODY, flaw), NOW_S)
            .await;
        assert_eq!(refusal.err().unwrap().code(), code, "{flaw:?}");
    }
    let mut no_text = evidence(&world, &SOMEBODY, Flaw::Nothing);
    no_text.security_object.push('=');
    let refusal = own.by_passport(&no_text, NOW_S).await.err().unwrap();
    assert_eq!(refusal.code(), "passport.malformed");
    let mut first_missing = evidence(&world, &SOMEBODY, Flaw::Nothing);
    first_missing.data_groups.clear();
    let refusal = own.by_passport(&first_missing, NOW_S).await.err().unwrap();
    assert_eq!(refusal.code(), "passport.group");
}

#[tokio::test]
async fn citizens_strangers_to_their_number_and_unconfigured_kinds_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(NOW_S);
    let shown = evidence(&world, &SOMEBODY, Flaw::Nothing);
    let at_home = foreigners(folder.path(), &world, "QN").await;
    let refusal = at_home.by_passport(&shown, NOW_S).await.err();
    assert_eq!(refusal, Some(RegisterRefusal::OwnCountry));
    let own = foreigners(folder.path(), &world, "CN").await;
    own.by_passport(&shown, NOW_S).await.ok().unwrap();
    // the state gives the number to somebody born on another day
    let other = realdid_passport::specimen::Facts {
        birth: "900101",
        ..SOMEBODY
    };
    let refusal = own
        .by_passport(&evidence(&world, &other, Flaw::Nothing), NOW_S)
        .await;
    assert_eq!(refusal.err(), Some(RegisterRefusal::OtherPerson));
    let store = Store::open_dir(folder.path()).await.unwrap();
    let none = Foreigners::new(store, &[5; 32], "CN", None);
    assert!(!none.takes_passports());
    let refusal = none.by_passport(&shown, NOW_S).await.err();
    assert_eq!(refusal, Some(RegisterRefusal::Kind));
}

#[tokio::test]
async fn lists_are_read_again_when_a_file_changes_and_kept_when_one_breaks() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(NOW_S);
    let own = foreigners(folder.path(), &world, "CN").await;
    let shown = evidence(&world, &SOMEBODY, Flaw::Nothing);
    let judged = async |now_s| {
        let judged = own.by_passport(&shown, now_s).await;
        judged.err().map(|refusal| refusal.code())
    };
    assert_eq!(judged(NOW_S).await, None);
    // the states' lists run out
    let later_s = NOW_S + 31 * 86_400;
    assert_eq!(judged(later_s).await, Some("passport.revocation_unknown"));
    let broken = folder.path().join("revocation-lists/broken.pem");
    std::fs::write(&broken, "no list").unwrap();
    assert_eq!(
        judged(NOW_S + 100).await,
        None,
        "the lists stay as they were"
    );
    std::fs::remove_file(&broken).unwrap();
    std::fs::remove_file(folder.path().join("master-list/qna.pem")).unwrap();
    assert_eq!(judged(NOW_S + 200).await, Some("passport.untrusted"));
    std::fs::write(&broken, "no list").unwrap();
    let refused = Passports::open(&PassportsConfig {
        master_list: folder.path().join("master-list"),
        revocation_lists: folder.path().join("revocation-lists"),
    });
    assert_eq!(refused.err().unwrap().code(), "passport.lists");
}

#[tokio::test]
async fn a_ticket_is_used_once_by_the_wallet_that_has_its_verifier() {
    use sha2::Digest as _;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open_dir(folder.path()).await.unwrap();
    let own = Foreigners::new(store.clone(), &[5; 32], "CN", None);
    let keep = async |ticket: &str| {
        let content = Ticket {
            challenge: crate::text::base64url(&Sha256::digest(b"verifier")),
            kept: Kept {
                given_name: "Ilsabet".to_owned(),
                family_name: "Vanderquist".to_owned(),
                birthdate: "1988-02-29".to_owned(),
                sex: 2,
                nationalities: vec!["XX".to_owned()],
                assurance: "low".to_owned(),
                number: KeptNumber::Upstream {
                    issuer: "https://id.example".to_owned(),
                    subject: "248289761001".to_owned(),
                },
            },
        };
        let sealed = own.seal(&ticket_name(ticket), &content).unwrap();
        store
            .keep_login(ticket, &sealed, NOW_S + 300)
            .await
            .unwrap();
    };
    let shown = |ticket: &str, subject: &str, verifier: &str| UpstreamEvidence {
        kind: UpstreamKind::V1,
        issuer: "https://id.example".to_owned(),
        subject: subject.to_owned(),
        ticket: ticket.to_owned(),
        verifier: verifier.to_owned(),
    };
    let good = shown("a", "248289761001", "verifier");
    keep("a").await;
    let person = own.by_upstream(&good, NOW_S).await.ok().unwrap();
    assert!(person.is_foreign && person.assurance == Assurance::Low);
    assert!(person.number.as_str().starts_with("upstream/"));
    let refused = Some(RegisterRefusal::Evidence);
    assert_eq!(own.by_upstream(&good, NOW_S).await.err(), refused, "twice");
    for (wrong, now_s) in [
        (shown("b", "248289761001", "another"), NOW_S),
        (shown("b", "somebody else", "verifier"), NOW_S),
        (shown("b", "248289761001", "verifier"), NOW_S + 300),
        (shown("c", "248289761001", "verifier"), NOW_S),
    ] {
        let _kept_before = store.take_login("b", 0).await.unwrap();
        keep("b").await;
        assert_eq!(own.by_upstream(&wrong, now_s).await.err(), refused);
    }
}
