//! Credentials that live long: their status is read, or they are refused.

use super::*;
use crate::status::token::{Evidence as ListEvidence, Terms as ListTerms, issue_jwt, verify_jwt};
use crate::status::{Reference, StatusList, Width};

const URI: &str = "https://authority.test/status/1";

fn reference(idx: u64) -> Reference {
    Reference {
        uri: URI.to_owned(),
        idx,
    }
}

/// A presentation of a credential whose status stands at `idx`.
fn long_lived(idx: u64) -> String {
    let to = Jwk(holder().verifying_key());
    let credential = issue_with_status(
        &claims(),
        &[],
        &terms(),
        Some(&reference(idx)),
        &to,
        &issuer(),
        &mut salts(),
    )
    .unwrap();
    let evidence = IssuerEvidence {
        issuer_keys: &keys(),
        accepted_vcts: &[VCT],
        now_s: NOW_S,
        clock_skew_s: 2,
    };
    let held = receive(&credential, &evidence, &to).unwrap();
    assert_eq!(held.status(), Some(Ok(reference(idx))));
    present(&held, &paths(&[&["sex"]]), &binding(), &holder()).unwrap()
}

fn list_at(uri: &'static str) -> VerifiedList {
    let mut list = StatusList::new(Width::Two, 16).unwrap();
    for (idx, status) in [
        (1, Status::Invalid),
        (2, Status::Suspended),
        (3, Status::Other(3)),
    ] {
        list.change(idx, status).unwrap();
    }
    let terms = ListTerms {
        uri,
        kid: "k1",
        iat_s: NOW_S - 100,
        exp_s: NOW_S + 1000,
        ttl_s: 50,
        x5c: &[],
    };
    let token = issue_jwt(&list, &terms, &issuer()).unwrap();
    let evidence = ListEvidence {
        iss: ISS,
        issuer_keys: &keys(),
        uri,
        now_s: NOW_S - 49,
        clock_skew_s: 2,
        max_bytes: 100,
        ledger: Some(list.digest(uri)),
    };
    verify_jwt(&token, &evidence).unwrap()
}

fn code_under(text: &str, lists: &[&VerifiedList], now_s: u64) -> &'static str {
    let keys = keys();
    let evidence = Evidence {
        issuer: IssuerEvidence {
            issuer_keys: &keys,
            accepted_vcts: &[VCT],
            now_s,
            clock_skew_s: 2,
        },
        nonce: NONCE,
        aud: AUD,
        max_kb_age_s: 60,
    };
    verify_with_status(text, &evidence, lists)
        .err()
        .map_or("accepted", SdJwtError::code)
}

#[test]
fn a_status_is_read_and_anything_but_valid_refused() {
    let list = list_at(URI);
    let code = |idx: u64| code_under(&long_lived(idx), &[&list], NOW_S);
    assert_eq!(code(0), "accepted");
    assert_eq!(code(1), "credential.revoked");
    assert_eq!(code(2), "credential.suspended");
    assert_eq!(code(3), "credential.status_other");
    assert_eq!(code(16), "status.index");
}

#[test]
fn a_status_is_never_accepted_unread() {
    let list = list_at(URI);
    let other = list_at("https://authority.test/status/2");
    let shown = long_lived(0);
    assert_eq!(code(&shown), "credential.status_unread");
    assert_eq!(code_under(&shown, &[], NOW_S), "credential.status_missing");
    assert_eq!(
        code_under(&shown, &[&other], NOW_S),
        "credential.status_missing"
    );
    assert_eq!(code_under(&shown, &[&other, &list], NOW_S), "accepted");
    // A list that is past its cache lifetime says nothing any more (P9).
    assert_eq!(code_under(&shown, &[&list], NOW_S + 1), "status.expired");
    // One without a status needs no list.
    assert_eq!(code_under(&presented(), &[], NOW_S), "accepted");
    assert_eq!(claimed_status(&shown), Ok(Some(reference(0))));
    assert_eq!(claimed_status(&presented()), Ok(None));
}
