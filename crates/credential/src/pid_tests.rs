//! The PID's claims, its refusals, and a batch from issue to verification.

use super::*;
use crate::path::ClaimPath;
use crate::sd_jwt::{Binding, IssuerEvidence, IssuerKey, ParsedSdJwt, present};

pub(crate) fn pid() -> Pid {
    Pid {
        given_name: "Ada".into(),
        family_name: "Example".into(),
        birthdate: "1996-02-29".into(),
        age_over_18: true,
        sex: Sex::Female,
        nationalities: vec!["XA".into()],
        region: "Somewhere".into(),
        resident_number: None,
        issuing_authority: "Test Authority".into(),
        issuing_country: "XA".into(),
        assurance: Assurance::High,
    }
}

const TERMS: Terms<'_> = Terms {
    iss: "https://authority.test",
    vct: VCT,
    kid: "1",
    iat_s: 1_800_000_000,
    exp_s: 1_800_000_120,
    x5c: &[],
};

fn key(n: u8) -> SigningKey {
    SigningKey::p256(&[n; 32]).unwrap()
}

fn salts() -> impl FnMut() -> [u8; 16] {
    let mut count = 0u128;
    move || {
        count += 1;
        count.to_be_bytes()
    }
}

#[test]
fn claims_have_the_rulebooks_names() {
    let mut with_number = pid();
    with_number.resident_number = Some("000000190001010000".into());
    let claims = Value::Object(with_number.to_claims().unwrap());
    let expected = json!({
        "given_name": "Ada", "family_name": "Example", "birthdate": "1996-02-29",
        "age_equal_or_over": {"18": true}, "sex": 2, "nationalities": ["XA"],
        "address": {"region": "Somewhere"},
        "personal_administrative_number": "000000190001010000",
        "issuing_authority": "Test Authority", "issuing_country": "XA", "assurance": "high"
    });
    assert_eq!(claims, expected);
    assert_eq!(pid().to_claims().unwrap().len(), 10);
    let read = DisclosedPid::from_claims(claims.as_object().unwrap()).unwrap();
    assert_eq!(read.resident_number.as_deref(), Some("000000190001010000"));
    assert_eq!(
        (read.age_over_18, read.sex),
        (Some(true), Some(Sex::Female))
    );
    assert_eq!(read.region.as_deref(), Some("Somewhere"));
    assert_eq!(read.assurance, Some(Assurance::High));
    assert!(DisclosedPid::from_claims(&Map::new()).unwrap() == DisclosedPid::default());
    assert_eq!(format!("{:?}{read:?}", pid()), "Pid(…)DisclosedPid(…)");
}

#[test]
fn what_is_no_pid_is_refused() {
    let code = |change: fn(&mut Pid)| {
        let mut pid = pid();
        change(&mut pid);
        pid.to_claims().err().map_or("accepted", PidError::code)
    };
    assert_eq!(code(|p| p.given_name.clear()), "pid.text");
    assert_eq!(code(|p| p.region = "a\nb".into()), "pid.text");
    assert_eq!(code(|p| p.family_name = "x".repeat(257)), "pid.text");
    assert_eq!(
        code(|p| p.resident_number = Some(String::new())),
        "pid.text"
    );
    assert_eq!(code(|p| p.birthdate = "1900-02-29".into()), "pid.birthdate");
    assert_eq!(code(|p| p.birthdate = "2000-02-29".into()), "accepted");
    assert_eq!(code(|p| p.birthdate = "2001-04-31".into()), "pid.birthdate");
    assert_eq!(code(|p| p.birthdate = "2001-13-01".into()), "pid.birthdate");
    assert_eq!(code(|p| p.birthdate = "2001-1-01x".into()), "pid.birthdate");
    assert_eq!(code(|p| p.birthdate = "20010101".into()), "pid.birthdate");
    assert_eq!(code(|p| p.birthdate = "２００1".into()), "pid.birthdate");
    assert_eq!(code(|p| p.nationalities.clear()), "pid.country");
    assert_eq!(code(|p| p.issuing_country = "xa".into()), "pid.country");

    let disclosed = |claims: Value| {
        let read = DisclosedPid::from_claims(claims.as_object().unwrap());
        read.err().map_or("accepted", PidError::code)
    };
    assert_eq!(disclosed(json!({"given_name": 1})), "pid.claim");
    assert_eq!(disclosed(json!({"address": "x"})), "pid.claim");
    assert_eq!(
        disclosed(json!({"age_equal_or_over": {"18": "true"}})),
        "pid.claim"
    );
    assert_eq!(disclosed(json!({"sex": 3})), "pid.sex");
    assert_eq!(disclosed(json!({"nationalities": ["Xa"]})), "pid.country");
    assert_eq!(disclosed(json!({"assurance": "total"})), "pid.assurance");
    assert_eq!(disclosed(json!({"unknown": 3, "address": {}})), "accepted");
}

#[test]
fn a_batch_differs_in_keys_and_salts_only() {
    let holders: Vec<Jwk> = (20..30).map(|n| Jwk(key(n).verifying_key())).collect();
    let copies = issue_batch(&pid(), &TERMS, &holders, &key(1), &mut salts()).unwrap();
    assert_eq!(copies.len(), 10);
    let issuer_keys = [IssuerKey {
        iss: TERMS.iss.into(),
        kid: "1".into(),
        key: key(1).verifying_key(),
    }];
    let evidence = Evidence {
        issuer: IssuerEvidence {
            issuer_keys: &issuer_keys,
            accepted_vcts: &[VCT],
            now_s: TERMS.iat_s,
            clock_skew_s: 0,
        },
        nonce: "n",
        aud: "a",
        max_kb_age_s: 10,
    };
    let binding = Binding {
        nonce: "n",
        aud: "a",
        iat_s: TERMS.iat_s,
    };
    let over_18 = [ClaimPath::of(&["age_equal_or_over", "18"]).unwrap()];
    let mut parts = std::collections::BTreeSet::new();
    for (copy, n) in copies.iter().zip(20..) {
        for part in copy.split('~').filter(|part| !part.is_empty()) {
            assert!(
                parts.insert(part.to_owned()),
                "two copies share a part that a service sees"
            );
        }
        let parsed = ParsedSdJwt::parse(copy).unwrap();
        assert_eq!(parsed.claims(), &pid().to_claims().unwrap());
        let shown = present(&parsed, &over_18, &binding, &key(n)).unwrap();
        let verified = verify(&shown, &evidence).unwrap();
        assert_eq!(
            Value::Object(verified.claims),
            json!({"age_equal_or_over": {"18": true}})
        );
    }
    let twice = [holders[0].clone(), holders[0].clone()];
    for bad in [&[][..], &twice[..]] {
        let refused = issue_batch(&pid(), &TERMS, bad, &key(1), &mut salts()).unwrap_err();
        assert_eq!(refused.code(), "pid.copies");
    }
}
