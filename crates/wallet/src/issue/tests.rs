use super::*;
use realdid_credential::jose::Alg;
use realdid_credential::mdoc::{self, Mdoc};
use realdid_credential::pid::{Assurance, Pid, Sex};
use realdid_credential::sd_jwt::{ParsedSdJwt, Terms};

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
    check_unmarked(copies, &[vec![LEAF.to_vec()]], &parameters(), NOW_S).map_err(|error| error.code)
}

#[test]
fn p4_copies_that_differ_only_in_what_is_random_are_taken() {
    let copies: Vec<_> = (1..4).map(|holder| issue(&draft(), holder)).collect();
    assert_eq!(code(&copies), Ok(()));
    assert_eq!(code(&[]), Ok(()));
    // The certificate that everybody gets tells nobody apart; one beside copies without does.
    let certified = Draft {
        x5c: vec!["MAA=".into()],
        ..draft()
    };
    let certified: Vec<_> = (1..4).map(|holder| issue(&certified, holder)).collect();
    assert_eq!(code(&certified), Ok(()));
    assert!(code(&[certified[0].clone(), copies[0].clone()]).is_err());
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
    let copy = std::slice::from_ref(&copy);
    let at = |now_s| check_unmarked(copy, &[], &parameters(), now_s).is_ok();
    assert!(
        at(next + CLOCK_SKEW_S - 1),
        "issued just before the epoch ended"
    );
    assert!(!at(next + CLOCK_SKEW_S + 1), "a copy of an old epoch");
}

/// What an authority's certificate is here: bytes that are published.
const LEAF: &[u8] = &[0x30, 0x00];

pub(crate) fn person() -> Pid {
    Pid {
        given_name: "Test".into(),
        family_name: "Person".into(),
        birthdate: "1990-01-01".into(),
        age_over_18: true,
        sex: Sex::NotKnown,
        nationalities: vec!["CN".into()],
        region: "990100".into(),
        resident_number: None,
        issuing_authority: "Authority".into(),
        issuing_country: "CN".into(),
        assurance: Assurance::Substantial,
    }
}

/// Copies of the PID as mdocs, for `holders`.
pub(crate) fn mdocs(person: &Pid, times: (u64, u64), holders: &[u8]) -> Vec<Mdoc> {
    let terms = mdoc::Terms {
        doc_type: mdoc::pid::DOC_TYPE,
        signed_s: times.0,
        from_s: times.0,
        until_s: times.1,
        x5chain: &[LEAF],
        status: None,
    };
    let devices: Vec<_> = holders.iter().map(|n| key(*n).verifying_key()).collect();
    let mut count = 0u8;
    let mut random = || {
        count = count.wrapping_add(1);
        [count; 32]
    };
    let copies = mdoc::pid::issue_batch(person, &terms, &devices, &key(200), &mut random).unwrap();
    copies
        .iter()
        .map(|copy| Mdoc::parse(copy).unwrap())
        .collect()
}

fn mdoc_code(copies: &[Mdoc], published: &[Vec<Vec<u8>>]) -> Result<(), String> {
    check_unmarked_mdocs(copies, published, &parameters(), NOW_S).map_err(|error| error.code)
}

#[test]
fn p4_mdocs_that_differ_only_in_what_is_random_are_taken_and_others_are_not() {
    let published = [vec![LEAF.to_vec()]];
    let good = (draft().iat_s, draft().exp_s);
    let copies = mdocs(&person(), good, &[1, 2, 3]);
    assert_eq!(mdoc_code(&copies, &published), Ok(()));
    assert_eq!(mdoc_code(&[], &published), Ok(()));

    let marked = Err("credential.marked".to_owned());
    // a certificate that others do not see
    assert_eq!(mdoc_code(&copies, &[vec![vec![0x30, 0x01, 0]]]), marked);
    assert_eq!(mdoc_code(&copies, &[]), marked);
    // the moment of issuing, or an end of its own
    for times in [(NOW_S, good.1), (good.0, good.1 - 1)] {
        let other = mdocs(&person(), times, &[2]);
        assert_eq!(mdoc_code(&other, &published), marked);
        let beside = [copies[0].clone(), other[0].clone()];
        assert_eq!(mdoc_code(&beside, &published), marked);
    }
    // one copy says something else, or has an element less
    let mut other = person();
    other.given_name = "Tess".into();
    let other = mdocs(&other, good, &[2]);
    let beside = [copies[0].clone(), other[0].clone()];
    assert_eq!(mdoc_code(&beside, &published), marked);
    let part = copies[0].select(&[(mdoc::pid::NAME_SPACE, "sex")]).unwrap();
    assert_eq!(mdoc_code(&[part], &published), marked);
}

#[test]
fn a_configuration_of_another_format_is_refused_by_name() {
    let metadata = |configuration: Value| IssuerMetadata {
        credential_configurations_supported: Map::from_iter([("c".to_owned(), configuration)]),
        ..IssuerMetadata::of_authority(
            "https://authority.example",
            pid::VCT,
            "A",
            (Alg::Es256, &[Alg::Es256]),
        )
    };
    let kind = |configuration: Value| kind_of(&metadata(configuration), "c").map_err(|e| e.code);
    assert_eq!(
        kind(json!({"format": "dc+sd-jwt", "vct": "v"})),
        Ok((Format::SdJwt, "v".to_owned()))
    );
    assert_eq!(
        kind(json!({"format": "mso_mdoc", "doctype": "d"})),
        Ok((Format::Mdoc, "d".to_owned()))
    );
    for strange in [
        json!({"format": "jwt_vc_json", "vct": "v"}),
        json!({"format": "mso_mdoc", "vct": "v"}),
        json!({}),
    ] {
        assert_eq!(kind(strange), Err("vci.format".to_owned()));
    }
}
