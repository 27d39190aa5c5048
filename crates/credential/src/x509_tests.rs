//! Chains as rcgen makes them, and each refusal.

use super::*;
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType, IsCa, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};

/// The middle of 2030.
const NOW_S: u64 = 1_909_094_400;

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2030, 1, 1);
    params.not_after = date_time_ymd(2052, 3, 1);
    params
}

fn authority(name: &str) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn leaf() -> CertificateParams {
    let mut params = params("leaf");
    let uri = "https://authority.test".try_into().unwrap();
    let dns = "authority.test".try_into().unwrap();
    params.subject_alt_names = vec![SanType::URI(uri), SanType::DnsName(dns)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params
}

struct Root(CertifiedIssuer<'static, KeyPair>);

impl Root {
    fn new(params: CertificateParams) -> Self {
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn read(&self) -> Certificate {
        Certificate::parse(self.0.der()).unwrap()
    }

    fn sign(&self, params: CertificateParams) -> (Vec<u8>, KeyPair) {
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().der().to_vec(), key)
    }
}

fn refused(chain: &[&[u8]], anchors: &[Certificate]) -> Option<X509Error> {
    verify_chain(chain, anchors, NOW_S).err()
}

#[test]
fn a_leaf_under_an_anchor_is_accepted_with_its_key_and_names() {
    let root = Root::new(authority("root"));
    let (der, key) = root.sign(leaf());
    let read = verify_chain(&[&der], &[root.read()], NOW_S).unwrap();
    assert_eq!(read.uris, ["https://authority.test"]);
    assert_eq!(read.dns, ["authority.test"]);
    assert_eq!(read.key, VerifyingKey::p256(key.public_key_raw()).unwrap());
    // 2030-01-01 in the shorter form of times, 2052-03-01 in the longer one
    assert_eq!(read.not_before_s, 1_893_456_000);
    assert_eq!(read.not_after_s, 2_592_864_000);
}

#[test]
fn a_chain_through_another_authority_is_followed() {
    let mut params = authority("root");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = Root::new(params);
    let key = KeyPair::generate().unwrap();
    let middle = CertifiedIssuer::signed_by(authority("middle"), key, &root.0).unwrap();
    let own = KeyPair::generate().unwrap();
    let end = leaf().signed_by(&own, &middle).unwrap().der().to_vec();
    let anchors = [root.read()];
    assert_eq!(refused(&[&end, middle.der()], &anchors), None);
    assert_eq!(refused(&[&end], &anchors), Some(X509Error::Chain));
    assert_eq!(
        refused(&[middle.der(), &end], &anchors),
        Some(X509Error::Chain)
    );
    let chain: [&[u8]; 2] = [&end, middle.der()];
    let anchor = verify_chain_to(&chain, &anchors, NOW_S);
    assert_eq!(anchor.unwrap().1.subject_name().as_deref(), Some("root"));
    let five = [&end[..]; 5];
    assert_eq!(refused(&five, &anchors), Some(X509Error::Chain));
    assert_eq!(refused(&[], &anchors), Some(X509Error::Chain));
}

#[test]
fn an_authority_that_may_have_none_below_it_has_none() {
    let constrained = |name: &str, len: u8| {
        let mut params = authority(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(len));
        params
    };
    let through = |root_len: u8, middle_len: u8| {
        let root = Root::new(constrained("root", root_len));
        let signed = |name: &str, len: u8, issuer: &CertifiedIssuer<'static, KeyPair>| {
            let key = KeyPair::generate().unwrap();
            CertifiedIssuer::signed_by(constrained(name, len), key, issuer).unwrap()
        };
        let middle = signed("middle", middle_len, &root.0);
        let low = signed("low", 0, &middle);
        let key = KeyPair::generate().unwrap();
        let end = leaf().signed_by(&key, &low).unwrap().der().to_vec();
        refused(&[&end, low.der(), middle.der()], &[root.read()])
    };
    assert_eq!(through(2, 1), None);
    assert_eq!(through(127, 200), None);
    assert_eq!(through(1, 1), Some(X509Error::Chain));
    assert_eq!(through(2, 0), Some(X509Error::Chain));
}

#[test]
fn a_subject_is_called_by_its_organisation_or_common_name() {
    let name = |organisation: Option<&str>, common: &str| {
        let mut params = params(common);
        if let Some(organisation) = organisation {
            let kind = DnType::OrganizationName;
            params.distinguished_name.push(kind, organisation);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let read = Certificate::parse(certificate.der()).unwrap();
        read.subject_name()
    };
    assert_eq!(name(None, "shop.test").as_deref(), Some("shop.test"));
    assert_eq!(name(Some("Shop"), "shop.test").as_deref(), Some("Shop"));
    assert_eq!(name(None, "a\u{1b}[2J"), None);
    assert_eq!(name(None, &"a".repeat(MAX_NAME + 1)), None);
}

#[test]
fn what_no_anchor_signed_for_this_use_and_time_is_refused() {
    let root = Root::new(authority("root"));
    let anchors = [root.read()];
    let other = Root::new(authority("root"));
    let (der, _) = other.sign(leaf());
    assert_eq!(refused(&[&der], &anchors), Some(X509Error::Chain));
    assert_eq!(
        refused(&[root.0.der()], &anchors),
        Some(X509Error::SelfSigned)
    );

    let no_authority = Root::new(params("root"));
    let (der, _) = no_authority.sign(leaf());
    assert_eq!(
        refused(&[&der], &[no_authority.read()]),
        Some(X509Error::Chain)
    );

    let mut late = leaf();
    late.not_after = date_time_ymd(2030, 2, 1);
    let mut early = leaf();
    early.not_before = date_time_ymd(2031, 1, 1);
    for params in [late, early] {
        let (der, _) = root.sign(params);
        assert_eq!(refused(&[&der], &anchors), Some(X509Error::Time));
    }
    let mut for_certificates = leaf();
    for_certificates.key_usages = vec![KeyUsagePurpose::CrlSign];
    let (der, _) = root.sign(for_certificates);
    assert_eq!(refused(&[&der], &anchors), Some(X509Error::Chain));

    let mut unknown = leaf();
    let mut extension = CustomExtension::from_oid_content(&[1, 2, 3], vec![5, 0]);
    extension.set_criticality(true);
    unknown.custom_extensions = vec![extension];
    let (der, _) = root.sign(unknown);
    assert_eq!(refused(&[&der], &anchors), Some(X509Error::Malformed));

    let (mut forged, _) = root.sign(leaf());
    let at = forged
        .windows(14)
        .position(|part| part == b"authority.test");
    forged[at.unwrap()] = b'b';
    assert_eq!(refused(&[&forged], &anchors), Some(X509Error::Chain));
}

#[test]
fn other_algorithms_and_forms_are_refused() {
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let ed = leaf().self_signed(&key).unwrap();
    let parse = |der: &[u8]| Certificate::parse(der).err();
    assert_eq!(parse(ed.der()), Some(X509Error::Algorithm));
    let key = KeyPair::generate().unwrap();
    let good = leaf().self_signed(&key).unwrap().der().to_vec();
    assert_eq!(parse(&good), None);
    assert_eq!(
        parse(&[&good[..], &[0]].concat()),
        Some(X509Error::Malformed)
    );
    assert_eq!(parse(&vec![0x30; MAX_LEN + 1]), Some(X509Error::Malformed));
    assert_eq!(parse(b""), Some(X509Error::Malformed));
    for end in 0..good.len() {
        assert!(parse(&good[..end]).is_some());
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..400, to: u8) {
        let _ = Certificate::parse(&bytes);
        let key = KeyPair::generate().unwrap();
        let mut good = leaf().self_signed(&key).unwrap().der().to_vec();
        let at = at % good.len();
        good[at] = to;
        let _ = Certificate::parse(&good);
    }
}
