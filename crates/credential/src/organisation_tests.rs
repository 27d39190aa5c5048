//! The claims of an organisation, their refusals, and a batch from issue to verification.

use serde_json::json;

use super::*;
use crate::path::ClaimPath;
use crate::pid;
use crate::sd_jwt::{Binding, Evidence, IssuerEvidence, IssuerKey, ParsedSdJwt, present};

const ISS: &str = "https://authority.test";
const NOW_S: u64 = 1_800_000_000;

fn organisation() -> Organisation {
    Organisation {
        legal_name: "Example Cooperative".into(),
        registration_number: Some("91990101SYNTH00001".into()),
        country: "XA".into(),
    }
}

fn terms(vct: &str) -> Terms<'_> {
    Terms {
        iss: ISS,
        vct,
        kid: "1",
        iat_s: NOW_S,
        exp_s: NOW_S + 120,
        x5c: &[],
    }
}

fn key(n: u8) -> SigningKey {
    SigningKey::p256(&[n; 32]).unwrap()
}

fn issued(holders: &[u8], vct: &str) -> Result<Vec<String>, OrganisationError> {
    let holders: Vec<Jwk> = holders
        .iter()
        .map(|n| Jwk(key(*n).verifying_key()))
        .collect();
    let mut count = 0u128;
    let mut salt = || {
        count += 1;
        count.to_be_bytes()
    };
    issue_batch(&organisation(), &terms(vct), &holders, &key(9), &mut salt)
}

#[test]
fn an_organisation_says_name_number_and_country_and_nothing_of_its_representative() {
    let claims = Value::Object(organisation().to_claims().unwrap());
    let expected = json!({
        "legal_name": "Example Cooperative",
        "registration_number": "91990101SYNTH00001",
        "country": "XA",
    });
    assert_eq!(claims, expected);
    let without = Organisation {
        registration_number: None,
        ..organisation()
    };
    assert_eq!(without.to_claims().unwrap().len(), 2);
    assert_eq!(format!("{:?}", organisation()), "Organisation(…)");
}

#[test]
fn what_is_no_organisation_is_not_issued() {
    let named = |legal_name: &str| Organisation {
        legal_name: legal_name.into(),
        ..organisation()
    };
    let long = "x".repeat(257);
    for name in [
        "",
        " ",
        "Example ",
        "Example\u{7}",
        // Reads as another name where it is shown.
        "Exam\u{202e}elpm",
        "Exam\u{200b}ple",
        &long,
    ] {
        assert_eq!(named(name).to_claims(), Err(OrganisationError::Text));
    }
    assert!(named("示例文化传播有限公司").to_claims().is_ok());
    let numbered = Organisation {
        registration_number: Some(String::new()),
        ..organisation()
    };
    assert_eq!(numbered.to_claims(), Err(OrganisationError::Text));
    for country in ["", "xa", "XAA"] {
        let abroad = Organisation {
            country: country.into(),
            ..organisation()
        };
        assert_eq!(abroad.to_claims(), Err(OrganisationError::Country));
    }
    assert_eq!(issued(&[], VCT), Err(OrganisationError::Copies));
    assert_eq!(issued(&[1, 1], VCT), Err(OrganisationError::Copies));
    assert_eq!(issued(&[1], pid::VCT), Err(OrganisationError::Type));
}

#[test]
fn a_copy_shows_the_name_alone_and_passes_for_no_pid() {
    let copies = issued(&[1, 2], VCT).unwrap();
    assert_eq!(copies.len(), 2);
    let jwt = copies[0].split('~').next().unwrap();
    let plain = crate::jose::decode_unverified(jwt)
        .unwrap()
        .claims()
        .unwrap();
    assert!(!plain.contains_key(LEGAL_NAME), "hidden until it is shown");
    let binding = Binding {
        nonce: "n",
        aud: "public",
        iat_s: NOW_S + 1,
    };
    let copy = ParsedSdJwt::parse(&copies[0]).unwrap();
    let name = [ClaimPath::of(&[LEGAL_NAME]).unwrap()];
    let shown = present(&copy, &name, &binding, &key(1)).unwrap();
    let keys = [IssuerKey {
        iss: ISS.into(),
        kid: "1".into(),
        key: key(9).verifying_key(),
    }];
    let verify = |vct: &str| {
        let evidence = Evidence {
            issuer: IssuerEvidence {
                issuer_keys: &keys,
                accepted_vcts: &[vct],
                now_s: NOW_S + 1,
                clock_skew_s: 0,
            },
            nonce: "n",
            aud: "public",
            max_kb_age_s: 10,
        };
        sd_jwt::verify(&shown, &evidence).map(|shown| Value::Object(shown.claims))
    };
    assert_eq!(
        verify(VCT),
        Ok(json!({ "legal_name": "Example Cooperative" }))
    );
    assert_eq!(verify(pid::VCT), Err(SdJwtError::VctRefused));
    let other = present(&copy, &name, &binding, &key(2)).unwrap_err();
    assert_eq!(other, SdJwtError::HolderKey);
}
