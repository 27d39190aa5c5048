use super::*;
use realdid_credential::sd_jwt::Terms;

/// The start of an epoch on the development network, in Unix seconds.
const EPOCH_S: u64 = 1_800_000_000;
const NOW_S: u64 = EPOCH_S + 30;

fn parameters() -> Parameters {
    Parameters::development()
}

fn key(seed: u8) -> SigningKey {
    SigningKey::p256(&[seed; 32]).unwrap()
}

struct Draft {
    claims: Value,
    always: &'static [&'static str],
    iat_s: u64,
    exp_s: u64,
    x5c: Vec<String>,
}

fn draft() -> Draft {
    let expires = vci::validity(&parameters(), NOW_S).expires_s;
    Draft {
        claims: json!({"given_name": "Test", "address": {"region": "990100"}}),
        always: &[],
        iat_s: EPOCH_S,
        exp_s: expires,
        x5c: vec![],
    }
}

fn issue(draft: &Draft, holder: u8) -> ParsedSdJwt {
    let mut counter = holder;
    let terms = Terms {
        iss: "https://authority.example",
        vct: pid::VCT,
        kid: "k",
        iat_s: draft.iat_s,
        exp_s: draft.exp_s,
        x5c: &draft.x5c,
    };
    let text = sd_jwt::issue(
        draft.claims.as_object().unwrap(),
        draft.always,
        &terms,
        &Jwk(key(holder).verifying_key()),
        &key(200),
        &mut || {
            counter = counter.wrapping_add(37);
            [counter; 16]
        },
    )
    .unwrap();
    ParsedSdJwt::parse(&text).unwrap()
}

fn code(copies: &[ParsedSdJwt]) -> Result<(), String> {
    check_unmarked(copies, &parameters(), NOW_S).map_err(|error| error.code)
}

#[test]
fn p4_copies_that_differ_only_in_what_is_random_are_taken() {
    let copies: Vec<_> = (1..4).map(|holder| issue(&draft(), holder)).collect();
    assert_eq!(code(&copies), Ok(()));
    assert_eq!(code(&[]), Ok(()));
}

#[test]
fn p4_marking_metadata_is_refused() {
    let marked = Err("credential.marked".to_owned());
    let good = issue(&draft(), 1);
    let drafts = [
        // the moment of issuing instead of the epoch's start: unique to the minute
        Draft {
            iat_s: NOW_S,
            ..draft()
        },
        Draft {
            exp_s: draft().exp_s - 1,
            ..draft()
        },
        // a claim in the clear is seen by every service
        Draft {
            always: &["given_name"],
            ..draft()
        },
        Draft {
            x5c: vec!["AAAA".into()],
            ..draft()
        },
    ];
    for (i, draft) in drafts.iter().enumerate() {
        assert_eq!(code(&[issue(draft, 2)]), marked, "alone, {i}");
        assert_eq!(
            code(&[good.clone(), issue(draft, 2)]),
            marked,
            "beside a good one, {i}"
        );
    }
    // one copy says something else, or has one more digest
    let other = Draft {
        claims: json!({"given_name": "Tess", "address": {"region": "990100"}}),
        ..draft()
    };
    let more = Draft {
        claims: json!({"given_name": "Test", "address": {"region": "990100"}, "sex": 1}),
        ..draft()
    };
    for draft in [other, more] {
        assert_eq!(code(&[good.clone(), issue(&draft, 2)]), marked);
    }
}

#[test]
fn the_end_of_an_epoch_belongs_to_both() {
    let expires = parameters().credential_expiry_s(EPOCH_S / parameters().epoch_s);
    let copy = issue(
        &Draft {
            exp_s: expires,
            ..draft()
        },
        1,
    );
    let next = EPOCH_S + parameters().epoch_s;
    let at = |now_s| check_unmarked(std::slice::from_ref(&copy), &parameters(), now_s).is_ok();
    assert!(
        at(next + CLOCK_SKEW_S - 1),
        "issued just before the epoch ended"
    );
    assert!(!at(next + CLOCK_SKEW_S + 1), "a copy of an old epoch");
}
