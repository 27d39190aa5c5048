//! The story of one mdoc, and everything that is refused on the way.

use proptest::prelude::*;
use serde_json::json;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::read::read_items;
use super::*;
use crate::cbor::{self, Writer};
use crate::cose;
use crate::jose::SigningKey;
use crate::sd_jwt::IssuerKey as ListKey;
use crate::status::token::VerifiedList;
use crate::status::token::{Evidence as ListEvidence, Terms as ListTerms, issue_jwt, verify_jwt};
use crate::status::{Reference, Status};
use crate::status::{StatusList, Width};

const DOC: &str = "org.example.pid.1";
const SPACE: &str = "org.example.pid.1";
const OTHER: &str = "org.example.more.1";
const NOW_S: u64 = 1_800_000_000;
const URI: &str = "https://authority.test/status/1";
/// What a certificate is here: bytes that the caller compared with something.
const LEAF: &[u8] = &[0x30, 0x03, 1, 2, 3];
const ROOT: &[u8] = &[0x30, 0x03, 4, 5, 6];

fn issuer() -> SigningKey {
    SigningKey::p256(&[31; 32]).unwrap()
}

fn device() -> SigningKey {
    SigningKey::p256(&[32; 32]).unwrap()
}

fn keys() -> Vec<IssuerKey> {
    let key = |issuer: &str, certificate: &[u8], key: &SigningKey| IssuerKey {
        issuer: issuer.to_owned(),
        certificate: certificate.to_vec(),
        key: key.verifying_key(),
    };
    vec![
        key("other", ROOT, &SigningKey::p256(&[33; 32]).unwrap()),
        key("authority", LEAF, &issuer()),
    ]
}

fn elements() -> Vec<(&'static str, Element)> {
    vec![
        ("given_name", Element::Json(json!("Ada"))),
        ("birth_date", Element::FullDate("1990-01-01".to_owned())),
        ("portrait", Element::Bytes(vec![1, 2, 3])),
        ("nationality", Element::Json(json!(["XA", "XB"]))),
        ("age_over_18", Element::Json(json!(true))),
        (
            "height",
            Element::Json(json!({"cm": 170, "x": [null, -1, 1.5]})),
        ),
    ]
}

fn terms() -> Terms<'static> {
    Terms {
        doc_type: DOC,
        signed_s: NOW_S - 50,
        from_s: NOW_S - 50,
        until_s: NOW_S + 70,
        x5chain: &[LEAF, ROOT],
        status: None,
    }
}

fn random() -> impl FnMut() -> [u8; 32] {
    let mut count = 0u64;
    move || {
        count += 1;
        Sha256::digest(count.to_be_bytes()).into()
    }
}

fn issued_with(elements: &[(&str, Element)], terms: &Terms<'_>) -> Result<Vec<u8>, MdocError> {
    let more = [("given_name", Element::Json(json!("Other")))];
    issue(
        &[(SPACE, elements), (OTHER, &more)],
        terms,
        &device().verifying_key(),
        &issuer(),
        &mut random(),
    )
}

fn issued() -> Vec<u8> {
    issued_with(&elements(), &terms()).unwrap()
}

fn evidence(keys: &[IssuerKey]) -> IssuerEvidence<'_> {
    IssuerEvidence {
        issuer_keys: keys,
        accepted_doc_types: &[DOC],
        now_s: NOW_S,
        clock_skew_s: 2,
    }
}

fn transcript() -> Transcript {
    Transcript::openid4vp("x509_san_dns:gate.test", "n-1", None, "https://gate.test/r")
}

fn presented() -> Vec<u8> {
    let held = Mdoc::parse(&issued()).unwrap();
    let shown = held.select(&[(SPACE, "birth_date"), (OTHER, "given_name")]);
    shown.unwrap().bind(&transcript(), &device()).unwrap()
}

fn code_with(
    response: &[u8],
    change: impl FnOnce(&mut IssuerEvidence<'_>),
    transcript: &Transcript,
) -> &'static str {
    let keys = keys();
    let mut evidence = evidence(&keys);
    change(&mut evidence);
    verify(response, &evidence, transcript, &[])
        .err()
        .map_or("accepted", MdocError::code)
}

fn code(response: &[u8]) -> &'static str {
    code_with(response, |_| {}, &transcript())
}

/// `bytes` with one part replaced by another of any length: lengths around it are the caller's
/// matter, so both are items of the same length or within an array of bytes that is rewritten.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|w| w == from).unwrap();
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

#[test]
fn a_holder_shows_what_they_choose_and_nothing_else() {
    let keys = keys();
    let held = receive(&issued(), &evidence(&keys), &device().verifying_key()).unwrap();
    assert_eq!((held.doc_type(), held.until_s()), (DOC, NOW_S + 70));
    let all = json!({
        SPACE: {
            "given_name": "Ada", "birth_date": "1990-01-01", "portrait": "AQID",
            "nationality": ["XA", "XB"], "age_over_18": true,
            "height": {"cm": 170, "x": [null, -1, 1.5]}
        },
        OTHER: {"given_name": "Other"}
    });
    assert_eq!(Value::Object(held.claims().clone()), all);

    let preview = held
        .select(&[(SPACE, "birth_date"), (OTHER, "given_name")])
        .unwrap();
    let shown = preview.bind(&transcript(), &device()).unwrap();
    let verified = verify(&shown, &evidence(&keys), &transcript(), &[]).unwrap();
    let expected = json!({SPACE: {"birth_date": "1990-01-01"}, OTHER: {"given_name": "Other"}});
    assert_eq!(Value::Object(verified.claims.clone()), expected);
    assert_eq!(&verified.claims, preview.claims());
    assert_eq!(
        (verified.issuer.as_str(), verified.doc_type.as_str()),
        ("authority", DOC)
    );
    assert_eq!(
        (verified.signed_s, verified.until_s),
        (NOW_S - 50, NOW_S + 70)
    );
    assert!(verified.device_key == device().verifying_key());
    assert!(
        !shown.windows(3).any(|part| part == b"Ada"),
        "what is not shown is not there"
    );
    assert_eq!(
        claimed_chain(&shown),
        Ok(vec![LEAF.to_vec(), ROOT.to_vec()])
    );
    assert_eq!(claimed_chain(&issued()), claimed_chain(&shown));

    // A login may show no element at all.
    let none = held
        .select(&[])
        .unwrap()
        .bind(&transcript(), &device())
        .unwrap();
    let verified = verify(&none, &evidence(&keys), &transcript(), &[]).unwrap();
    assert!(verified.claims.is_empty());
    assert_eq!(
        held.select(&[(SPACE, "absent")]).err(),
        Some(MdocError::NoSuchElement)
    );
    assert_eq!(
        held.select(&[("org.example.none", "given_name")]).err(),
        Some(MdocError::NoSuchElement)
    );
}

#[test]
fn ed25519_works_too() {
    let (issuer, device) = (SigningKey::ed25519(&[1; 32]), SigningKey::ed25519(&[2; 32]));
    let elements = elements();
    let spaces = [(SPACE, elements.as_slice())];
    let key = device.verifying_key();
    let issued = issue(&spaces, &terms(), &key, &issuer, &mut random()).unwrap();
    let keys = [IssuerKey {
        issuer: "e".to_owned(),
        certificate: LEAF.to_vec(),
        key: issuer.verifying_key(),
    }];
    let held = receive(&issued, &evidence(&keys), &key).unwrap();
    let shown = held.bind(&transcript(), &device).unwrap();
    assert!(verify(&shown, &evidence(&keys), &transcript(), &[]).is_ok());
}

#[test]
fn the_transcript_of_openid4vp_is_as_its_example_has_it() {
    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
    // OpenID4VP 1.0, appendix B.2.6.1; the thumbprint is that of its example key.
    let jwk = json!({
        "kty": "EC", "crv": "P-256",
        "x": "DxiH5Q4Yx3UrukE2lWCErq8N8bqC9CHLLrAwLz5BmE0",
        "y": "XtLM4-3h5o3HUH0MHVJV0kyq0iBlrBwlh8qEDMZ4-Pc"
    });
    let thumbprint = crate::jose::Jwk::parse(&jwk).unwrap().thumbprint();
    let nonce = "exc7gBkxjx1rdc9udRrveKvSsJIq80avlXeLHhGwqtA";
    let transcript = Transcript::openid4vp(
        "x509_san_dns:example.com",
        nonce,
        Some(&thumbprint),
        "https://example.com/response",
    );
    assert_eq!(
        hex(transcript.as_bytes()),
        "83f6f682714f70656e494434565048616e646f7665725820048bc053c00442af9b8eed494cefdd9d95240d254b046b11b68013722aad38ac"
    );
    let api = Transcript::dc_api("https://example.com", nonce, Some(&thumbprint));
    assert_eq!(
        hex(api.as_bytes()),
        "83f6f682764f70656e4944345650444341504948616e646f7665725820fbece366f4212f9762c74cfdbf83b8c69e371d5d68cea09cb4c48ca6daab761a"
    );
}

#[test]
fn evidence_that_does_not_fit_is_refused() {
    let shown = presented();
    assert_eq!(code(&shown), "accepted");
    let t = transcript();
    assert_eq!(
        code_with(&shown, |e| e.issuer_keys = &[], &t),
        "mdoc.issuer_unknown"
    );
    let others = keys();
    assert_eq!(
        code_with(
            &shown,
            |e| e.accepted_doc_types = &["org.example.other.1"],
            &t
        ),
        "mdoc.doc_type"
    );
    assert_eq!(code_with(&shown, |e| e.now_s = NOW_S + 71, &t), "accepted");
    assert_eq!(
        code_with(&shown, |e| e.now_s = NOW_S + 72, &t),
        "mdoc.expired"
    );
    assert_eq!(code_with(&shown, |e| e.now_s = NOW_S - 52, &t), "accepted");
    assert_eq!(
        code_with(&shown, |e| e.now_s = NOW_S - 53, &t),
        "mdoc.not_yet_valid"
    );
    // The right certificate with another key.
    let mut wrong = others;
    wrong[1].key = wrong[0].key.clone();
    let refused = verify(&shown, &evidence(&wrong), &t, &[]);
    assert_eq!(refused.err(), Some(MdocError::Signature));

    for other in [
        Transcript::openid4vp("x509_san_dns:evil.test", "n-1", None, "https://gate.test/r"),
        Transcript::openid4vp("x509_san_dns:gate.test", "n-2", None, "https://gate.test/r"),
        Transcript::openid4vp("x509_san_dns:gate.test", "n-1", None, "https://evil.test/r"),
        Transcript::openid4vp(
            "x509_san_dns:gate.test",
            "n-1",
            Some(&[0; 32]),
            "https://gate.test/r",
        ),
        Transcript::dc_api("https://gate.test", "n-1", None),
    ] {
        assert_eq!(code_with(&shown, |_| {}, &other), "mdoc.device_signature");
    }
}

#[test]
fn a_status_is_read_and_anything_but_valid_refused() {
    let mut list = StatusList::new(Width::Two, 8).unwrap();
    for (idx, status) in [
        (1, Status::Invalid),
        (2, Status::Suspended),
        (3, Status::Other(3)),
    ] {
        list.change(idx, status).unwrap();
    }
    let list_terms = ListTerms {
        uri: URI,
        kid: "k",
        iat_s: NOW_S,
        exp_s: NOW_S + 50,
        ttl_s: 50,
        x5c: &[],
    };
    let list_keys = [ListKey {
        iss: "https://authority.test".to_owned(),
        kid: "k".to_owned(),
        key: issuer().verifying_key(),
    }];
    let list_evidence = ListEvidence {
        iss: "https://authority.test",
        issuer_keys: &list_keys,
        uri: URI,
        now_s: NOW_S,
        clock_skew_s: 2,
        max_bytes: 100,
        ledger: None,
    };
    let token = issue_jwt(&list, &list_terms, &issuer()).unwrap();
    let list = verify_jwt(&token, &list_evidence).unwrap();
    let keys = keys();
    let code = |idx: u64, lists: &[&VerifiedList], now_s: u64| {
        let status = Reference {
            uri: URI.to_owned(),
            idx,
        };
        let terms = Terms {
            status: Some(&status),
            ..terms()
        };
        let issued = issued_with(&elements(), &terms).unwrap();
        let held = receive(&issued, &evidence(&keys), &device().verifying_key()).unwrap();
        assert_eq!(held.status(), Some(Ok(status)));
        let shown = held.bind(&transcript(), &device()).unwrap();
        let evidence = IssuerEvidence {
            now_s,
            ..evidence(&keys)
        };
        verify(&shown, &evidence, &transcript(), lists)
            .err()
            .map_or("accepted", MdocError::code)
    };
    assert_eq!(code(0, &[&list], NOW_S), "accepted");
    assert_eq!(code(1, &[&list], NOW_S), "mdoc.revoked");
    assert_eq!(code(2, &[&list], NOW_S), "mdoc.suspended");
    assert_eq!(code(3, &[&list], NOW_S), "mdoc.status_other");
    assert_eq!(code(8, &[&list], NOW_S), "status.index");
    assert_eq!(code(0, &[], NOW_S), "mdoc.status_unread");
    assert_eq!(code(0, &[&list], NOW_S + 50), "status.expired");
}

#[test]
fn a_wallet_checks_what_it_receives() {
    let keys = keys();
    let other = SigningKey::p256(&[34; 32]).unwrap();
    let refused = receive(&issued(), &evidence(&keys), &other.verifying_key());
    assert_eq!(refused.err(), Some(MdocError::DeviceKey));
    let held = Mdoc::parse(&issued()).unwrap();
    assert_eq!(
        held.bind(&transcript(), &other).err(),
        Some(MdocError::DeviceKey)
    );
    let own = device().verifying_key();
    let late = IssuerEvidence {
        now_s: NOW_S + 100,
        ..evidence(&keys)
    };
    assert_eq!(
        receive(&issued(), &late, &own).err(),
        Some(MdocError::Expired)
    );
    assert_eq!(
        receive(&presented(), &evidence(&keys), &own).err(),
        Some(MdocError::Malformed)
    );
    let long = vec![0; MAX_LEN + 1];
    assert_eq!(
        receive(&long, &evidence(&keys), &own).err(),
        Some(MdocError::Oversize)
    );
    assert_eq!(code(&long), "mdoc.oversize");
    assert_eq!(
        code(&issued()),
        "mdoc.malformed",
        "a credential is no presentation"
    );
}

#[test]
fn an_issuer_cannot_make_what_no_verifier_takes() {
    let with = |terms: Terms<'_>| issued_with(&elements(), &terms).err();
    assert_eq!(
        with(Terms {
            until_s: NOW_S - 50,
            ..terms()
        }),
        Some(MdocError::Validity)
    );
    assert_eq!(
        with(Terms {
            from_s: NOW_S - 51,
            ..terms()
        }),
        Some(MdocError::Validity)
    );
    assert_eq!(
        with(Terms {
            x5chain: &[],
            ..terms()
        }),
        Some(MdocError::IssuerUnknown)
    );
    let of = |elements: &[(&str, Element)]| issued_with(elements, &terms()).err();
    let one = ("a", Element::Json(json!(1)));
    assert_eq!(
        of(&[one.clone(), one.clone()]),
        Some(MdocError::ElementTwice)
    );
    let names: Vec<String> = (0..MAX_ELEMENTS).map(|n| n.to_string()).collect();
    let many: Vec<(&str, Element)> = names.iter().map(|n| (n.as_str(), one.1.clone())).collect();
    assert_eq!(of(&many), Some(MdocError::TooMany));
    let deep = (0..20).fold(json!(1), |value, _| json!([value]));
    assert_eq!(
        of(&[("a", Element::Json(deep))]),
        Some(MdocError::Malformed)
    );
    let long = Element::Bytes(vec![0; MAX_LEN]);
    assert_eq!(of(&[("a", long)]), Some(MdocError::Oversize));
}

/// A credential whose security object or items were changed before an issuer signed it.
fn reckless(change: impl Fn(Vec<u8>) -> Vec<u8>) -> &'static str {
    let issued = issued_with(&[("age_over_18", Element::Json(json!(true)))], &terms()).unwrap();
    let parsed = IssuerSigned::read(&issued).unwrap();
    let (_, inner) = cbor::whole(parsed.payload, cbor::encoded).unwrap();
    let payload = Writer::new().encoded(&change(inner.to_vec())).done();
    let header = cose::Header {
        x5chain: vec![LEAF],
        ..cose::Header::default()
    };
    let auth = cose::sign1(&header, &payload, false, &issuer()).unwrap();
    let bytes = Writer::new().map(1).text("issuerAuth").raw(&auth).done();
    let keys = keys();
    receive(&bytes, &evidence(&keys), &device().verifying_key())
        .err()
        .map_or("accepted", MdocError::code)
}

#[test]
fn what_a_reckless_issuer_signs_is_refused() {
    let swap =
        |from: &'static [u8], to: &'static [u8]| reckless(move |mso| replaced(&mso, from, to));
    assert_eq!(reckless(|mso| mso), "accepted");
    assert_eq!(swap(b"\x631.0", b"\x632.0"), "mdoc.mso_malformed");
    assert_eq!(swap(b"SHA-256", b"SHA-512"), "mdoc.mso_malformed");
    for name in [
        "version",
        "digestAlgorithm",
        "deviceKey",
        "docType",
        "signed",
        "validFrom",
        "validUntil",
    ] {
        let other: String = name.chars().map(|_| 'x').collect();
        let code = reckless(|mso| {
            let text = |name: &str| Writer::new().text(name).done();
            replaced(&mso, &text(name), &text(&other))
        });
        assert_eq!(code, "mdoc.mso_malformed", "{name}");
    }
    assert_eq!(swap(b"2027-01-15T", b"2027-13-15T"), "mdoc.malformed");
    assert_eq!(
        swap(b"\xc0\x74", b"\xc1\x74"),
        "mdoc.malformed",
        "a date's tag"
    );
    assert_eq!(reckless(|mso| [mso, vec![0]].concat()), "mdoc.malformed");
    assert_eq!(
        reckless(|mso| mso[..mso.len() - 1].to_vec()),
        "mdoc.malformed"
    );
    // A device key that is no point, or is private.
    let point = device().verifying_key();
    let x: [u8; 32] = point.uncompressed().unwrap()[1..33].try_into().unwrap();
    assert_eq!(
        reckless(|mso| replaced(&mso, &x, &[0xff; 32])),
        "mdoc.malformed"
    );
    let private = |mso: Vec<u8>| {
        let key = cose::write_key(&device().verifying_key()).unwrap();
        let with_d = [&[0xa5], &key[1..], &[0x23, 0x41, 1]].concat();
        replaced(&mso, &key, &with_d)
    };
    assert_eq!(reckless(private), "mdoc.malformed");
}

#[test]
fn elements_that_the_issuer_did_not_sign_are_refused() {
    let shown = presented();
    // A value, a name, a number or randomness changed after issuing.
    assert_eq!(
        code(&replaced(&shown, b"1990-01-01", b"2000-01-01")),
        "mdoc.digest"
    );
    assert_eq!(
        code(&replaced(&shown, b"birth_date", b"birth_data")),
        "mdoc.digest"
    );
    assert_eq!(
        code(&replaced(
            &shown,
            b"org.example.more.1",
            b"org.example.mine.1"
        )),
        "mdoc.digest"
    );
    // The same element twice.
    let held = Mdoc::parse(&issued()).unwrap();
    let one = held.select(&[(OTHER, "given_name")]).unwrap();
    let parsed = IssuerSigned::read(one.as_bytes()).unwrap();
    let twice = Writer::new()
        .map(2)
        .text("nameSpaces")
        .map(1)
        .text(OTHER)
        .array(2)
        .raw(parsed.items[0].bytes)
        .raw(parsed.items[0].bytes)
        .text("issuerAuth")
        .raw(parsed.auth_bytes)
        .done();
    assert_eq!(Mdoc::parse(&twice).err(), Some(MdocError::ElementTwice));
    // Too little randomness, hidden members, values that are too deep.
    let item = |fields: Writer| {
        let item = Writer::new().encoded(&fields.done()).done();
        read_items(&Writer::new().map(1).text(SPACE).array(1).raw(&item).done()).err()
    };
    let fields = |random: &[u8], members: usize| {
        Writer::new()
            .map(members)
            .text("digestID")
            .uint(0)
            .text("random")
            .bytes(random)
            .text("elementIdentifier")
            .text("a")
            .text("elementValue")
            .uint(1)
    };
    assert_eq!(item(fields(&[0; 16], 4)), None);
    assert_eq!(item(fields(&[0; 15], 4)), Some(MdocError::Malformed));
    assert_eq!(
        item(fields(&[0; 16], 5).text("x").uint(1)),
        Some(MdocError::Malformed)
    );
}

#[test]
fn a_device_answers_with_a_signature_and_nothing_of_its_own() {
    let shown = presented();
    let mac = replaced(&shown, b"\x6fdeviceSignature", b"\x69deviceMac");
    assert_eq!(code(&mac), "mdoc.device_mac");
    assert_eq!(
        code(&replaced(
            &shown,
            b"\xd8\x18\x41\xa0",
            b"\xd8\x18\x43\xa1\x01\x02"
        )),
        "mdoc.device_claims"
    );
    let no_array = replaced(&shown, b"\xd8\x18\x41\xa0", b"\xd8\x18\x41\x80");
    assert_eq!(code(&no_array), "mdoc.device_claims");
    // Another document type on the outside.
    let outside = replaced(
        &shown,
        b"\x67docType\x71org.example.pid.1",
        b"\x67docType\x71org.example.pit.1",
    );
    assert_eq!(code(&outside), "mdoc.doc_type");
    let (status, failed) = (b"\x66status\x00", b"\x66status\x0a");
    assert_eq!(code(&replaced(&shown, status, failed)), "mdoc.malformed");
    assert_eq!(
        code(&replaced(
            &shown,
            b"\x67version\x631.0\x69",
            b"\x67version\x631.1\x69"
        )),
        "mdoc.malformed"
    );
    // A payload beside the detached one.
    let attached = cose::sign1(&cose::Header::default(), b"x", false, &device()).unwrap();
    let empty = cose::sign1(&cose::Header::default(), b"x", true, &device()).unwrap();
    assert!(empty.len() < attached.len());
    let at = shown
        .windows(15)
        .position(|part| part == b"deviceSignature")
        .unwrap()
        + 15;
    let end = shown.len() - b"\x66status\x00".len();
    let with = |signature: &[u8]| [&shown[..at], signature, &shown[end..]].concat();
    assert_eq!(code(&with(&attached)), "mdoc.malformed");
    assert_eq!(code(&with(&empty)), "mdoc.device_signature");
    // An algorithm that is not the key's.
    let ed = SigningKey::ed25519(&[5; 32]);
    let other = cose::sign1(&cose::Header::default(), b"x", true, &ed).unwrap();
    assert_eq!(code(&with(&other)), "jws.alg_mismatch");
}

#[test]
fn headers_that_change_how_to_verify_are_refused() {
    let read = |protected: &[u8], unprotected: &[u8]| {
        let sign1 = Writer::new()
            .array(4)
            .bytes(protected)
            .raw(unprotected)
            .null()
            .bytes(&[0; 64]);
        cbor::whole(&sign1.done(), |decoder| {
            cose::Claimed::read(decoder).map(|_| ())
        })
        .is_ok()
    };
    let es256 = [0xa1, 1, 0x26];
    assert!(read(&es256, &[0xa0]));
    assert!(!read(&[0xa0], &es256), "an algorithm outside the signature");
    assert!(!read(&[], &[0xa0]), "no algorithm");
    assert!(!read(&[0xa1, 1, 5], &[0xa0]), "HMAC");
    assert!(!read(&[0xa2, 1, 0x26, 2, 0x81, 1], &[0xa0]), "crit");
    assert!(!read(&[0xa2, 1, 0x26, 1, 0x26], &[0xa0]), "a member twice");
    assert!(
        !read(&[0xa2, 1, 0x26, 4, 0x41, 1], &[0xa1, 4, 0x41, 2]),
        "two names of the key"
    );
}

#[test]
fn nothing_personal_in_debug_or_errors() {
    let held = Mdoc::parse(&issued()).unwrap();
    let keys = keys();
    let verified = verify(&presented(), &evidence(&keys), &transcript(), &[]).unwrap();
    let text = format!("{held:?} {verified:?} {:?}", elements());
    assert!(!text.contains("Ada") && !text.contains("1990"), "{text}");
}

#[test]
fn no_byte_of_a_presentation_can_be_changed() {
    let shown = presented();
    let keys = keys();
    let whole = verify(&shown, &evidence(&keys), &transcript(), &[]).unwrap();
    for at in 0..shown.len() {
        let mut changed = shown.clone();
        changed[at] ^= 1;
        // The certificates behind the leaf are the caller's to judge, and signed by nobody here.
        if let Ok(same) = verify(&changed, &evidence(&keys), &transcript(), &[]) {
            assert_eq!(same.claims, whole.claims, "byte {at}");
            assert_ne!(claimed_chain(&changed), claimed_chain(&shown), "byte {at}");
        }
        assert_ne!(code(&shown[..at]), "accepted", "cut at {at}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Mdoc::parse(&bytes);
        let _ = code(&bytes);
        let _ = claimed_chain(&bytes);
    }

    #[test]
    fn a_mutated_presentation_never_says_something_else(
        at in any::<prop::sample::Index>(), byte: u8, at2 in any::<prop::sample::Index>(), byte2: u8,
    ) {
        let shown = presented();
        let keys = keys();
        let whole = verify(&shown, &evidence(&keys), &transcript(), &[]).unwrap();
        let mut changed = shown.clone();
        changed[at.index(shown.len())] = byte;
        changed[at2.index(shown.len())] = byte2;
        if let Ok(same) = verify(&changed, &evidence(&keys), &transcript(), &[]) {
            for (space, elements) in &same.claims {
                for (name, value) in elements.as_object().unwrap() {
                    prop_assert_eq!(&whole.claims[space][name], value);
                }
            }
        }
    }
}
