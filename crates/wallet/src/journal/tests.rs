use super::*;
use crate::secret::Secret32;
use crate::seed::Pool;

fn disclosure(at_ms: u64) -> Disclosure {
    Disclosure {
        at_ms,
        service: Hash32([5; 32]),
        domains: vec!["shop.example".into()],
        purpose: "login".into(),
        claims: vec!["age_over_18".into()],
        did: "did:rdid:dev:zQm".into(),
        outcome: Outcome::Unknown,
        pass_epoch: None,
        verifier: None,
    }
}

#[test]
fn a_disclosure_stands_before_its_outcome_is_known() {
    let mut content = Content::new(
        Secret32::new([0; 32]),
        Pool::default(),
        Secret32::new([1; 32]),
    );
    let ticket = begin(&mut content, disclosure(1));
    assert_eq!(to_json(&content)["disclosures"][0]["outcome"], "unknown");
    finish(&mut content, ticket, Outcome::Refused("did.frozen".into()));
    let entry = &to_json(&content)["disclosures"][0];
    assert_eq!(entry["outcome"], "refused");
    assert_eq!(entry["refusal"], "did.frozen");
    assert_eq!(entry["domains"][0], "shop.example");
}

#[test]
fn the_journal_is_bounded_and_drops_the_oldest() {
    let mut content = Content::new(
        Secret32::new([0; 32]),
        Pool::default(),
        Secret32::new([1; 32]),
    );
    for at in 0..(MAX_ENTRIES as u64 + 3) {
        begin(&mut content, disclosure(at));
    }
    assert_eq!(content.journal.len(), MAX_ENTRIES);
    assert_eq!(content.journal[0].at_ms, 3);
}
