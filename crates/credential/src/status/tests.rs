//! The draft's vectors, tokens and deltas there and back, and what is refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::json;

use super::delta;
use super::token::{
    CWT_TYP, Evidence, JWT_TYP, Terms, VerifiedList, issue_cwt, issue_jwt, verify_cwt, verify_jwt,
};
use super::*;
use crate::jose::{Jwk, SigningKey, sign_compact};
use crate::sd_jwt::IssuerKey;

const VECTORS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../spec/vectors/token-status-list"
);
const ISS: &str = "https://authority.test";
const URI: &str = "https://authority.test/status/1";
const NOW_S: u64 = 1_800_000_000;
const MAX: usize = 1 << 20;

fn vector(name: &str) -> String {
    let path = format!("{VECTORS}/status_list_{name}.md");
    std::fs::read_to_string(path).unwrap()
}

/// The `bits` and `lst` of a vector, whose lines are broken.
fn list_of(name: &str) -> StatusList {
    let text = vector(name);
    let begin = text.find('{').unwrap();
    let joined: String = text[begin..].split_whitespace().collect();
    let value: serde_json::Value = serde_json::from_str(&joined).unwrap();
    let stream = URL_SAFE_NO_PAD.decode(value["lst"].as_str().unwrap());
    let width = Width::of(value["bits"].as_u64().unwrap()).unwrap();
    StatusList::inflate(width, &stream.unwrap(), MAX).unwrap()
}

fn set_entries(list: &StatusList) -> Vec<(u64, u8)> {
    (0..list.entries())
        .map(|idx| (idx, list.at(idx).unwrap().code()))
        .filter(|(_, code)| *code != 0)
        .collect()
}

fn key() -> SigningKey {
    SigningKey::p256(&[21; 32]).unwrap()
}

fn keys() -> Vec<IssuerKey> {
    let key = |iss: &str, kid: &str, key: &SigningKey| IssuerKey {
        iss: iss.to_owned(),
        kid: kid.to_owned(),
        key: key.verifying_key(),
    };
    vec![
        key(
            "https://other.test",
            "k1",
            &SigningKey::p256(&[22; 32]).unwrap(),
        ),
        key(ISS, "k1", &self::key()),
        key(ISS, "ed", &SigningKey::ed25519(&[23; 32])),
    ]
}

fn terms() -> Terms<'static> {
    Terms {
        uri: URI,
        kid: "k1",
        iat_s: NOW_S - 10,
        exp_s: NOW_S + 1000,
        ttl_s: 100,
        x5c: &[],
    }
}

fn evidence(keys: &[IssuerKey]) -> Evidence<'_> {
    Evidence {
        iss: ISS,
        issuer_keys: keys,
        uri: URI,
        now_s: NOW_S,
        clock_skew_s: 2,
        max_bytes: MAX,
        ledger: None,
    }
}

fn list() -> StatusList {
    let mut list = StatusList::new(Width::Two, 1000).unwrap();
    list.change(3, Status::Invalid).unwrap();
    list.change(500, Status::Suspended).unwrap();
    list.change(999, Status::Other(3)).unwrap();
    list
}

fn verified() -> VerifiedList {
    let keys = keys();
    let token = issue_jwt(&list(), &terms(), &key()).unwrap();
    verify_jwt(&token, &evidence(&keys)).unwrap()
}

// ---- lists --------------------------------------------------------------------------------

#[test]
fn the_drafts_lists_are_read() {
    let one = list_of("encoding_json");
    assert_eq!(one.as_bytes(), [0xb9, 0xa3]);
    let set: Vec<u64> = set_entries(&one).iter().map(|(idx, _)| *idx).collect();
    assert_eq!(set, [0, 3, 4, 5, 7, 8, 9, 13, 15]);

    let two = list_of("encoding2_json");
    assert_eq!(two.as_bytes(), [0xc9, 0x44, 0xf9]);
    let all: Vec<u8> = (0..12).map(|idx| two.at(idx).unwrap().code()).collect();
    assert_eq!(all, [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3]);

    let long = list_of("encoding1_long_json");
    assert_eq!(long.entries(), 1 << 20);
    let set: Vec<u64> = set_entries(&long).iter().map(|(idx, _)| *idx).collect();
    let expected = [
        0, 1993, 25460, 159_495, 495_669, 554_353, 645_645, 723_232, 854_545, 934_534, 1_000_345,
    ];
    assert_eq!(set, expected);

    let eight = list_of("encoding8_json");
    let set = set_entries(&eight);
    assert_eq!((eight.entries(), set.len()), (1 << 20, 255));
    assert_eq!(set[..3], [(1199, 121), (4520, 213), (6805, 112)]);
    // Computed with Python's zlib.
    let sum: u64 = set.iter().map(|(idx, code)| idx * u64::from(*code)).sum();
    assert_eq!(sum, 16_280_222_645);
    let mut codes: Vec<u8> = set.iter().map(|(_, code)| *code).collect();
    codes.sort_unstable();
    assert_eq!(codes, (1..=255).collect::<Vec<u8>>(), "each status once");
}

#[test]
fn the_drafts_token_is_verified() {
    // The key of the draft's examples.
    let jwk = json!({
        "kty": "EC", "crv": "P-256",
        "x": "I3HWm_0Ds1dPMI-IWmf4mBmH-YaeAVbPVu7vB27CxXo",
        "y": "6N_d5Elj9bs1htgV3okJKIdbHEpkgTmAluYKJemzn1M"
    });
    let keys = [IssuerKey {
        iss: "https://example.com".to_owned(),
        kid: "12".to_owned(),
        key: Jwk::parse(&jwk).unwrap().0,
    }];
    let token: String = vector("jwt_raw").split_whitespace().collect();
    let evidence = Evidence {
        iss: "https://example.com",
        uri: "https://example.com/statuslists/1",
        ..evidence(&keys)
    };
    let verified = verify_jwt(&token, &evidence).unwrap();
    assert_eq!(verified.list(), &list_of("encoding_json"));
    assert_eq!(verified.iat_s(), 1_686_920_170);
    assert_eq!(verified.good_until_s(), NOW_S + 43_200);
}

#[test]
fn entries_are_suspended_restored_and_revoked_for_good() {
    let mut list = StatusList::new(Width::Two, 9).unwrap();
    assert_eq!(list.entries(), 12, "whole bytes");
    list.change(7, Status::Suspended).unwrap();
    assert_eq!(list.at(7), Ok(Status::Suspended));
    list.change(7, Status::Valid).unwrap();
    assert_eq!(set_entries(&list), []);
    list.change(7, Status::Invalid).unwrap();
    list.change(7, Status::Invalid).unwrap();
    for back in [Status::Valid, Status::Suspended, Status::Other(3)] {
        assert_eq!(list.change(7, back), Err(StatusError::Final));
    }
    assert_eq!(set_entries(&list), [(7, 1)], "neighbours are untouched");
    assert_eq!(list.change(12, Status::Valid), Err(StatusError::Index));
    assert_eq!(list.at(u64::MAX), Err(StatusError::Index));
    assert_eq!(list.change(0, Status::Other(4)), Err(StatusError::Width));
    let mut narrow = StatusList::new(Width::One, 8).unwrap();
    assert_eq!(narrow.change(0, Status::Suspended), Err(StatusError::Width));
    assert_eq!(Width::of(3), Err(StatusError::Width));
    assert_eq!(
        StatusList::new(Width::Eight, u64::MAX).err(),
        Some(StatusError::TooLong)
    );
    list.grow(40).unwrap();
    assert_eq!((list.entries(), set_entries(&list)), (40, vec![(7, 1)]));
    list.grow(4).unwrap();
    assert_eq!(list.entries(), 40, "a list never shrinks");
}

#[test]
fn bombs_and_broken_streams_are_refused() {
    let inflate = |stream: &[u8], max: usize| StatusList::inflate(Width::One, stream, max);
    let zeros = StatusList::from_bytes(Width::One, vec![0; 50 << 20]).unwrap();
    let bomb = zeros.deflate().unwrap();
    assert!(bomb.len() < 60_000, "a thousandth of what it becomes");
    assert_eq!(inflate(&bomb, MAX).err(), Some(StatusError::TooLong));
    assert_eq!(
        inflate(&bomb, (50 << 20) - 1).err(),
        Some(StatusError::TooLong)
    );
    assert_eq!(inflate(&bomb, 50 << 20).unwrap(), zeros);
    let small = StatusList::from_bytes(Width::One, vec![7; 10]).unwrap();
    let good = small.deflate().unwrap();
    assert_eq!(inflate(&good, 9).err(), Some(StatusError::TooLong));
    assert_eq!(inflate(&good, 10).unwrap(), small);
    let refused = |stream: &[u8]| {
        assert_eq!(inflate(stream, MAX).err(), Some(StatusError::Compression));
    };
    refused(&[]);
    refused(&good[..good.len() - 1]);
    refused(&[good.as_slice(), &[0]].concat());
    let mut checksum = good.clone();
    *checksum.last_mut().unwrap() ^= 1;
    refused(&checksum);
    // Raw deflate and gzip are other formats.
    refused(&good[2..]);
    refused(&[
        0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ]);
    let empty = StatusList::from_bytes(Width::One, Vec::new()).unwrap();
    assert_eq!(inflate(&empty.deflate().unwrap(), 0).unwrap(), empty);
}

#[test]
fn a_digest_is_of_one_list_at_one_address() {
    let list = list();
    let as_four = StatusList::from_bytes(Width::Four, list.as_bytes().to_vec()).unwrap();
    let mut changed = list.clone();
    changed.change(0, Status::Suspended).unwrap();
    let digest = list.digest(URI);
    for other in [
        changed.digest(URI),
        as_four.digest(URI),
        list.digest("https://authority.test/status/2"),
    ] {
        assert_ne!(digest, other);
    }
    // Computed with Python's hashlib.
    let small = StatusList::from_bytes(Width::One, vec![0xb9, 0xa3]).unwrap();
    let hex: String = small
        .digest("https://example.com/statuslists/1")
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        hex,
        "0315e3898bd1706fac8bf1e693111bc348c973a08a97985a6dd36534e94f6930"
    );
}

#[test]
fn a_reference_is_an_index_at_an_https_address() {
    let read = |value: serde_json::Value| Reference::read(&value);
    let good = json!({"status_list": {"idx": 7, "uri": URI}, "other": 1});
    let reference = read(good).unwrap();
    assert_eq!((reference.idx, reference.uri.as_str()), (7, URI));
    assert_eq!(read(reference.to_claim()), Ok(reference));
    let long = format!("https://{}", "a".repeat(MAX_URI_LEN));
    for wrong in [
        json!({}),
        json!("x"),
        json!({"status_list": {"idx": 7}}),
        json!({"status_list": {"uri": URI}}),
        json!({"status_list": {"idx": -1, "uri": URI}}),
        json!({"status_list": {"idx": 1.5, "uri": URI}}),
        json!({"status_list": {"idx": "7", "uri": URI}}),
        json!({"status_list": {"idx": 7, "uri": "http://authority.test/1"}}),
        json!({"status_list": {"idx": 7, "uri": "https://"}}),
        json!({"status_list": {"idx": 7, "uri": "https://a b"}}),
        json!({"status_list": {"idx": 7, "uri": "file:///etc/passwd"}}),
        json!({"status_list": {"idx": 7, "uri": long}}),
    ] {
        assert_eq!(read(wrong), Err(StatusError::Reference));
    }
}

// ---- tokens -------------------------------------------------------------------------------

#[test]
fn a_list_travels_as_jwt_and_as_cwt() {
    let keys = keys();
    let evidence = Evidence {
        ledger: Some(list().digest(URI)),
        ..evidence(&keys)
    };
    let ed = SigningKey::ed25519(&[23; 32]);
    let by_ed = Terms {
        kid: "ed",
        ..terms()
    };
    for (terms, key) in [(terms(), key()), (by_ed, ed)] {
        let jwt = issue_jwt(&list(), &terms, &key).unwrap();
        let cwt = issue_cwt(&list(), &terms, &key).unwrap();
        for verified in [verify_jwt(&jwt, &evidence), verify_cwt(&cwt, &evidence)] {
            let verified = verified.unwrap();
            assert_eq!(verified.list(), &list());
            assert_eq!((verified.uri(), verified.iat_s()), (URI, NOW_S - 10));
            assert_eq!(verified.good_until_s(), NOW_S + 100, "ttl before exp");
        }
    }
}

#[test]
fn a_list_is_not_used_beyond_its_cache_lifetime_or_its_end() {
    let list = verified();
    assert_eq!(list.status(0, NOW_S), Ok(Status::Valid));
    assert_eq!(list.status(3, NOW_S + 99), Ok(Status::Invalid));
    assert_eq!(list.status(500, NOW_S), Ok(Status::Suspended));
    assert_eq!(list.status(0, NOW_S + 100), Err(StatusError::Expired));
    assert_eq!(list.status(1000, NOW_S), Err(StatusError::Index));

    let keys = keys();
    let ending = Terms {
        exp_s: NOW_S + 5,
        ..terms()
    };
    let token = issue_jwt(&self::list(), &ending, &key()).unwrap();
    let list = verify_jwt(&token, &evidence(&keys)).unwrap();
    assert_eq!(list.good_until_s(), NOW_S + 5);
    // Neither: good for the moment.
    let plain = forged(|claims| {
        claims.remove("exp");
        claims.remove("ttl");
    });
    let list = verify_jwt(&plain, &evidence(&keys)).unwrap();
    assert_eq!(list.good_until_s(), NOW_S + 1);
}

/// A token with other claims, well signed.
fn forged(change: impl FnOnce(&mut serde_json::Map<String, serde_json::Value>)) -> String {
    let mut claims = json!({
        "sub": URI, "iat": NOW_S, "exp": NOW_S + 10, "ttl": 5,
        "status_list": {"bits": 1, "lst": "eNrbuRgAAhcBXQ"}
    });
    change(claims.as_object_mut().unwrap());
    let header = json!({"typ": JWT_TYP, "kid": "k1"});
    sign_compact(
        header.as_object().unwrap(),
        claims.to_string().as_bytes(),
        &key(),
    )
    .unwrap()
}

fn jwt_code(token: &str) -> &'static str {
    let keys = keys();
    verify_jwt(token, &evidence(&keys))
        .err()
        .map_or("accepted", StatusError::code)
}

#[test]
fn what_a_token_says_wrong_is_refused_by_name() {
    let set = |name: &'static str, value: serde_json::Value| {
        jwt_code(&forged(|claims| _ = claims.insert(name.to_owned(), value)))
    };
    assert_eq!(jwt_code(&forged(|_| {})), "accepted");
    for (name, value, code) in [
        (
            "sub",
            json!("https://authority.test/status/2"),
            "status.subject",
        ),
        ("sub", json!(1), "status.malformed"),
        ("iat", json!(NOW_S + 3), "status.not_yet_valid"),
        ("iat", json!("now"), "status.malformed"),
        ("exp", json!(NOW_S - 2), "status.expired"),
        ("exp", json!(1.5), "status.malformed"),
        ("ttl", json!(0), "status.malformed"),
        ("ttl", json!(-1), "status.malformed"),
        ("status_list", json!([]), "status.malformed"),
        ("status_list", json!({"bits": 1}), "status.malformed"),
        (
            "status_list",
            json!({"bits": 3, "lst": "eNrbuRgAAhcBXQ"}),
            "status.width",
        ),
        (
            "status_list",
            json!({"bits": "1", "lst": "eNrbuRgAAhcBXQ"}),
            "status.malformed",
        ),
        (
            "status_list",
            json!({"bits": 1, "lst": "eNrbuRgAAhcBXQ=="}),
            "status.compression",
        ),
        (
            "status_list",
            json!({"bits": 1, "lst": "eNrbuRgAAhcBXA"}),
            "status.compression",
        ),
        (
            "status_list",
            json!({"bits": 1, "lst": ""}),
            "status.compression",
        ),
    ] {
        assert_eq!(set(name, value.clone()), code, "{name} {value}");
    }
    for missing in ["sub", "iat", "status_list"] {
        let code = jwt_code(&forged(|claims| _ = claims.remove(missing)));
        assert_eq!(code, "status.malformed", "{missing}");
    }
}

#[test]
fn a_token_by_another_key_or_of_another_kind_is_refused() {
    let sign = |header: serde_json::Value, key: &SigningKey| {
        let claims = json!({
            "sub": URI, "iat": NOW_S, "status_list": {"bits": 1, "lst": "eNrbuRgAAhcBXQ"}
        });
        let header = header.as_object().unwrap();
        jwt_code(&sign_compact(header, claims.to_string().as_bytes(), key).unwrap())
    };
    let typ = JWT_TYP;
    assert_eq!(sign(json!({"typ": typ, "kid": "k1"}), &key()), "accepted");
    assert_eq!(
        sign(json!({"typ": "jwt", "kid": "k1"}), &key()),
        "status.malformed"
    );
    assert_eq!(sign(json!({"kid": "k1"}), &key()), "status.malformed");
    assert_eq!(sign(json!({"typ": typ}), &key()), "status.key_unknown");
    assert_eq!(
        sign(json!({"typ": typ, "kid": "k9"}), &key()),
        "status.key_unknown"
    );
    // The key of this name is another issuer's, or of another algorithm.
    let other = SigningKey::p256(&[22; 32]).unwrap();
    assert_eq!(
        sign(json!({"typ": typ, "kid": "k1"}), &other),
        "status.signature"
    );
    assert_eq!(
        sign(json!({"typ": typ, "kid": "ed"}), &key()),
        "jws.alg_mismatch"
    );
    let none = format!("{}.{}.", "eyJhbGciOiJub25lIn0", "e30");
    assert_eq!(jwt_code(&none), "jws.alg_refused");
    assert_eq!(jwt_code(""), "jws.malformed");

    let keys = keys();
    let token = issue_jwt(&list(), &terms(), &key()).unwrap();
    let mut other = list();
    other.change(1, Status::Suspended).unwrap();
    let ledger = Evidence {
        ledger: Some(other.digest(URI)),
        ..evidence(&keys)
    };
    assert_eq!(verify_jwt(&token, &ledger).err(), Some(StatusError::Digest));
    let short = Evidence {
        max_bytes: 249,
        ..evidence(&keys)
    };
    assert_eq!(verify_jwt(&token, &short).err(), Some(StatusError::TooLong));
    let cwt = issue_cwt(&list(), &terms(), &key()).unwrap();
    assert_eq!(verify_cwt(&cwt, &ledger).err(), Some(StatusError::Digest));
    assert_eq!(verify_cwt(&cwt, &short).err(), Some(StatusError::TooLong));
    let huge = vec![0; 200_000];
    assert_eq!(verify_cwt(&huge, &short).err(), Some(StatusError::TooLong));
}

#[test]
fn no_byte_of_a_token_can_be_changed() {
    let keys = keys();
    let cwt = issue_cwt(&list(), &terms(), &key()).unwrap();
    for at in 0..cwt.len() {
        let mut changed = cwt.clone();
        changed[at] ^= 1;
        assert!(verify_cwt(&changed, &evidence(&keys)).is_err(), "byte {at}");
        assert!(
            verify_cwt(&cwt[..at], &evidence(&keys)).is_err(),
            "cut at {at}"
        );
    }
    assert!(
        cwt.windows(CWT_TYP.len())
            .any(|part| part == CWT_TYP.as_bytes())
    );
    let jwt = issue_jwt(&list(), &terms(), &key()).unwrap();
    for at in 0..jwt.len() {
        let mut changed = jwt.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(
            verify_jwt(&changed, &evidence(&keys)).is_err(),
            "letter {at}"
        );
    }
}

#[test]
fn an_issuer_cannot_make_what_no_verifier_takes() {
    for wrong in [
        Terms {
            uri: "http://authority.test/1",
            ..terms()
        },
        Terms {
            ttl_s: 0,
            ..terms()
        },
        Terms {
            exp_s: NOW_S - 10,
            ..terms()
        },
    ] {
        assert_eq!(
            issue_jwt(&list(), &wrong, &key()).err(),
            Some(StatusError::Malformed)
        );
        assert_eq!(
            issue_cwt(&list(), &wrong, &key()).err(),
            Some(StatusError::Malformed)
        );
    }
}

// ---- deltas -------------------------------------------------------------------------------

fn apply(old: &StatusList, new: &StatusList, delta: &[u8]) -> Result<StatusList, StatusError> {
    delta::apply(old, delta, URI, &new.digest(URI), MAX)
}

#[test]
fn a_delta_leads_from_one_version_to_the_next() {
    let old = verified();
    let mut new = list();
    new.change(500, Status::Valid).unwrap();
    new.grow(5000).unwrap();
    new.change(4999, Status::Suspended).unwrap();
    let delta = delta::make(old.list(), &new, URI).unwrap();
    let next = old.advance(&delta, &new.digest(URI), MAX).unwrap();
    assert_eq!(next, new);
    // Nothing changed: nothing but the head and the coder's end.
    let nothing = delta::make(&new, &new, URI).unwrap();
    assert_eq!((nothing.len(), apply(&new, &new, &nothing)), (86, Ok(new)));
}

#[test]
fn a_delta_that_leads_elsewhere_is_refused() {
    let old = list();
    let mut new = old.clone();
    new.change(10, Status::Suspended).unwrap();
    let mut newer = new.clone();
    newer.change(11, Status::Suspended).unwrap();
    let delta = delta::make(&old, &new, URI).unwrap();
    assert_eq!(
        apply(&new, &new, &delta).err(),
        Some(StatusError::DeltaBase)
    );
    assert_eq!(apply(&old, &newer, &delta).err(), Some(StatusError::Digest));
    let elsewhere = "https://authority.test/status/2";
    let other = delta::apply(&old, &delta, elsewhere, &new.digest(URI), MAX);
    assert_eq!(other.err(), Some(StatusError::DeltaBase));
    for at in 0..delta.len() {
        let mut changed = delta.clone();
        changed[at] ^= 0x10;
        // The coder's last bytes have room: what they say then is the same change.
        let outcome = apply(&old, &new, &changed);
        assert!(
            outcome.is_err() || at > 82 && outcome.as_ref() == Ok(&new),
            "byte {at}"
        );
        assert!(apply(&old, &new, &delta[..at]).is_err(), "cut at {at}");
    }
    let longer = [delta.as_slice(), &[0]].concat();
    assert_eq!(apply(&old, &new, &longer).err(), Some(StatusError::Delta));
    let mut grown = old.clone();
    grown.grow(10_000).unwrap();
    let growing = delta::make(&old, &grown, URI).unwrap();
    let refused = delta::apply(&old, &growing, URI, &grown.digest(URI), 2499);
    assert_eq!(refused.err(), Some(StatusError::TooLong));
    assert_eq!(
        delta::make(&grown, &old, URI).err(),
        Some(StatusError::Delta)
    );
    let wide = StatusList::new(Width::Eight, 1000).unwrap();
    assert_eq!(
        delta::make(&old, &wide, URI).err(),
        Some(StatusError::Delta)
    );
    // A delta whose changes run out of the list, with a head that fits.
    let mut forged = delta;
    forged[10..18].copy_from_slice(&1000u64.to_be_bytes());
    assert_eq!(apply(&old, &new, &forged).err(), Some(StatusError::Delta));
}

/// Bits that a change of `changed` of `entries` to one of `others` carries, at least.
fn entropy(entries: f64, changed: f64, others: f64) -> f64 {
    let p = changed / entries;
    let places = -entries * (p * p.log2() + (1.0 - p) * (1.0 - p).log2());
    places + changed * others.log2()
}

#[test]
fn a_delta_costs_little_more_than_the_entropy_of_the_change() {
    // A small fixed generator: the figure must not hang on luck.
    let mut state = 1u64;
    let mut random = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state >> 33
    };
    for (width, entries, one_in) in [
        (Width::One, 1_000_000, 1000),
        (Width::One, 1_000_000, 100),
        (Width::One, 200_000, 10),
        (Width::One, 100_000, 2),
        (Width::Two, 1_000_000, 500),
        (Width::Eight, 400_000, 100),
    ] {
        let old = StatusList::new(width, entries).unwrap();
        let mut new = old.clone();
        let mut changes = 0;
        for idx in 0..entries {
            if random().is_multiple_of(one_in) {
                changes += 1;
                let code = 1 + random() % u64::from(width.mask());
                new.put(idx, code as u8).unwrap();
            }
        }
        let delta = delta::make(&old, &new, URI).unwrap();
        assert_eq!(apply(&old, &new, &delta).unwrap(), new);
        let least = entropy(entries as f64, f64::from(changes), f64::from(width.mask()));
        let ratio = delta.len() as f64 * 8.0 / least;
        assert!(ratio < 1.2, "{width:?} one in {one_in}: {ratio}");
    }
}

proptest! {
    #[test]
    fn any_two_versions_are_joined_by_a_delta(
        bits in prop::sample::select(vec![1u64, 2, 4, 8]),
        old in prop::collection::vec(any::<u8>(), 0..200),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..50),
        more in 0usize..20,
    ) {
        let width = Width::of(bits).unwrap();
        let mut bytes = old.clone();
        bytes.resize(old.len() + more, 0);
        for (at, byte) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        let old = StatusList::from_bytes(width, old).unwrap();
        let new = StatusList::from_bytes(width, bytes).unwrap();
        let delta = delta::make(&old, &new, URI).unwrap();
        prop_assert_eq!(apply(&old, &new, &delta).unwrap(), new.clone());
        let inflated = StatusList::inflate(width, &new.deflate().unwrap(), MAX);
        prop_assert_eq!(inflated.unwrap(), new);
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let keys = keys();
        let _ = StatusList::inflate(Width::One, &bytes, MAX);
        let _ = verify_cwt(&bytes, &evidence(&keys));
        let old = list();
        // With a head that fits, so that the coder reads the rest.
        let mut delta = delta::make(&old, &old, URI).unwrap();
        delta.truncate(82);
        delta[10..18].copy_from_slice(&50u64.to_be_bytes());
        delta.extend_from_slice(&bytes);
        let _ = delta::apply(&old, &delta, URI, &old.digest(URI), MAX);
    }
}
