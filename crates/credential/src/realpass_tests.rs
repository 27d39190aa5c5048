//! The form of a RealPass in a login, and what is read of it before anything is verified.

use super::*;
use rand_core::UnwrapErr;
use realdid_pass::facts::Facts;
use realdid_pass::{Credential, IssuerKey, PseudonymSecrets};

fn presentation(shown: &[usize]) -> String {
    let key = IssuerKey::from_material(&[7; 32], b"terms", facts::FACTS).unwrap();
    let secrets = PseudonymSecrets::from_seed(&[1; 32]);
    let mut random = UnwrapErr(getrandom::SysRng);
    let request = secrets.request(&mut random).unwrap();
    let kept = key.enrol(&mut random, &request).unwrap();
    let facts = Facts {
        epoch: 9,
        adult: Adult::No,
        region: Region::North,
        kind: Kind::Foreigner,
        assurance: Assurance::Low,
        continuity: Continuity::Reset,
    };
    let messages = facts.messages().unwrap();
    let issued = key.issue(&request, &kept, &messages).unwrap();
    let pass = Credential::accept(key.public(), &secrets, messages, issued).unwrap();
    let context = Context::service(&[5; 32]);
    let presentation = pass.present(&mut random, key.public(), &context, shown, b"binding");
    Envelope {
        issuer: [0xab; 32],
        presentation: presentation.unwrap(),
    }
    .to_string()
}

#[test]
fn a_presentation_reads_back_and_has_one_spelling() {
    let text = presentation(&[0, 1, 4]);
    assert!(text.starts_with(&"ab".repeat(32)) && text.len() <= MAX_TEXT_BYTES);
    assert_eq!(Envelope::parse(&text).unwrap().to_string(), text);
    for wrong in [
        String::new(),
        text.replace('.', ""),
        text.replacen("ab", "AB", 1),
        text.replacen("ab", "a", 1),
        text.replacen("ab", "ag", 1),
        format!("{text}="),
        format!("{text}{}", "A".repeat(MAX_TEXT_BYTES)),
    ] {
        assert!(Envelope::parse(&wrong).is_err());
    }
    let short = Envelope::parse(&text[..text.len() - 4]).err();
    assert_eq!(short, Some(RealPassError::Presentation));
}

#[test]
fn what_is_shown_is_what_was_asked() {
    let every = [0, 1, 2, 3, 4, 5];
    let shown = Shown::read(&presentation(&every), &Fact::ALL).unwrap();
    assert_eq!((shown.issuer, shown.epoch), ([0xab; 32], 9));
    assert_eq!(
        Value::Object(shown.facts()),
        serde_json::json!({"adult": "no", "region": "north", "kind": "foreigner",
            "assurance": "low", "continuity": "reset"})
    );
    assert_eq!(format!("{shown:?}"), "Shown(5 facts)");
    let read = |shown: &[usize], asked: &[Fact]| Shown::read(&presentation(shown), asked).err();
    assert_eq!(read(&[0], &[]), None);
    assert_eq!(read(&[1], &[Fact::Adult]), Some(RealPassError::Epoch));
    assert_eq!(read(&[0], &[Fact::Adult]), Some(RealPassError::FactMissing));
    assert_eq!(
        read(&[0, 1], &[Fact::Region]),
        Some(RealPassError::OverDisclosed)
    );
}

#[test]
fn facts_have_one_name_in_queries_and_one_in_registrations() {
    for fact in Fact::ALL {
        let path = ClaimPath::of(&[fact.name()]).unwrap();
        assert_eq!(Fact::of_path(&path), Some(fact));
        assert_eq!(Fact::of_claim(&fact.claim().unwrap()), Some(fact));
        assert_eq!(Fact::of_claim(&path), None);
        assert_eq!(Fact::of_path(&fact.claim().unwrap()), None);
    }
    let other = ClaimPath::of(&["realpass", "epoch"]).unwrap();
    assert_eq!(Fact::of_claim(&other), None);
}

#[test]
fn a_binding_names_nonce_audience_and_did_apart() {
    let bound = binding("n", "aud", Some("did"));
    for other in [
        binding("na", "ud", Some("did")),
        binding("n", "audd", Some("id")),
        binding("n", "aud", None),
        binding("", "naud", Some("did")),
    ] {
        assert_ne!(other, bound);
    }
    assert_eq!(binding("n", "a", None), binding("n", "a", Some("")));
}
