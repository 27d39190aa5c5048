//! What a registration admits, and each way in which it does not stand.

use super::*;
use realdid_core::state::{IssuerKey, ReasonCode};
use realdid_core::suite::{PublicKey, SecretKey, Suite};

const REGISTRAR: &str = "https://registrar.example";
const NOW: u64 = 1_800_000_000;

fn secret(seed: u8) -> (SigningKey, PublicKey) {
    let public = SecretKey::from_seed(Suite::P256, [seed; 32])
        .unwrap()
        .public();
    (SigningKey::p256(&[seed; 32]).unwrap(), public)
}

fn issuer(status: KeyStatus) -> Issuer {
    let (_, key) = secret(1);
    Issuer {
        url: REGISTRAR.into(),
        keys: vec![IssuerKey {
            usage: KeyUse::Registration,
            key,
            status,
            since: 0,
        }],
        tag_key: None,
        standing: Standing::Active,
        reason: ReasonCode::None,
        enrolment_quota: 0,
        sponsor_quota: 0,
        registration_quota: 10,
        pass_keys: Vec::new(),
    }
}

fn registration() -> Registration {
    Registration {
        registrar: REGISTRAR.into(),
        service_id: Hash32([7; 32]),
        cnf: Jwk(secret(9).0.verifying_key()),
        domains: vec!["127.0.0.1:20410".into(), "shop.example".into()],
        purposes: vec![Purpose::Login, Purpose::Delivery, Purpose::Age],
        claims: vec![
            claim_path("address").unwrap(),
            claim_path("age_equal_or_over.18").unwrap(),
        ],
        name: "示例商店 Shop".into(),
        sandbox: true,
        issued_at_s: NOW,
        expires_s: NOW + 100,
        jti: [3; 16],
    }
}

fn signed() -> String {
    let kid = issuer(KeyStatus::Active).keys[0].id();
    registration().sign(&kid, &secret(1).0).unwrap()
}

fn service(jwt: &str) -> Service {
    Service {
        seq: 0,
        digest: digest(jwt),
        issuer: issuer(KeyStatus::Active).id(realdid_core::hash::HashFunction::Sha256),
        standing: Standing::Active,
        reason: ReasonCode::None,
    }
}

#[test]
fn a_registration_reads_back_as_it_was_signed() {
    let jwt = signed();
    assert_eq!(claimed_registrar(&jwt), Ok(REGISTRAR.to_owned()));
    let verified = verify(&jwt, &issuer(KeyStatus::Active), &service(&jwt), NOW);
    assert_eq!(verified, Ok(registration()));
}

#[test]
fn p7_a_retired_key_voids_nothing_and_a_compromised_one_does() {
    let jwt = signed();
    let verify = |status| verify(&jwt, &issuer(status), &service(&jwt), NOW).err();
    assert_eq!(verify(KeyStatus::Retired(5)), None);
    assert_eq!(
        verify(KeyStatus::Compromised(5)),
        Some(RegistrationError::Signature)
    );
}

#[test]
fn a_registration_that_does_not_stand_is_refused() {
    let jwt = signed();
    let active = issuer(KeyStatus::Active);
    let kid = active.keys[0].id();
    let refused = |jwt: &str, issuer: &Issuer, service: &Service, now| {
        verify(jwt, issuer, service, now).err()
    };
    let forged = registration().sign(&kid, &secret(2).0).unwrap();
    assert_eq!(
        refused(&forged, &active, &service(&forged), NOW),
        Some(RegistrationError::Signature)
    );
    let unknown_key = registration().sign(&Hash32([0; 32]), &secret(1).0).unwrap();
    assert_eq!(
        refused(&unknown_key, &active, &service(&unknown_key), NOW),
        Some(RegistrationError::Signature)
    );
    assert_eq!(
        refused(&jwt, &active, &service(&jwt), NOW + 100),
        Some(RegistrationError::Expired)
    );
    assert_eq!(
        refused(&jwt, &active, &service(&jwt), NOW - 61),
        Some(RegistrationError::Expired)
    );
    assert_eq!(
        refused(&jwt, &active, &service("other"), NOW),
        Some(RegistrationError::Digest)
    );
    let mut suspended = service(&jwt);
    suspended.standing = Standing::Suspended;
    assert_eq!(
        refused(&jwt, &active, &suspended, NOW),
        Some(RegistrationError::Suspended)
    );
    let mut foreign = service(&jwt);
    foreign.issuer = Hash32([1; 32]);
    assert_eq!(
        refused(&jwt, &active, &foreign, NOW),
        Some(RegistrationError::Registrar)
    );
    let mut other = active.clone();
    other.url = "https://other.example".into();
    assert_eq!(
        refused(&jwt, &other, &service(&jwt), NOW),
        Some(RegistrationError::Registrar)
    );
    let mut inactive = active.clone();
    inactive.standing = Standing::Suspended;
    assert_eq!(
        refused(&jwt, &inactive, &service(&jwt), NOW),
        Some(RegistrationError::Registrar)
    );
    for wrong in ["", "a.b.c", &"a".repeat(MAX_REGISTRATION_BYTES + 1)] {
        assert_eq!(claimed(wrong), Err(RegistrationError::Malformed));
    }
}

#[test]
fn a_request_stays_within_domain_purpose_and_claims() {
    let registration = registration();
    let allows = |url: &str, purpose: &str, claims: &[&str]| {
        let claims: Vec<_> = claims.iter().map(|c| claim_path(c).unwrap()).collect();
        registration
            .allows(&Url::parse(url).unwrap(), purpose, &claims)
            .err()
    };
    let shop = "https://shop.example/vp/response/1";
    assert_eq!(allows(shop, "login", &[]), None);
    assert_eq!(allows("http://127.0.0.1:20410/x", "login", &[]), None);
    assert_eq!(allows("https://shop.example:443/", "login", &[]), None);
    assert_eq!(allows(shop, "delivery", &["address.region"]), None);
    assert_eq!(allows(shop, "age", &["age_equal_or_over.18"]), None);

    for url in [
        "https://shop.example.evil.example/",
        "https://evil.example/",
        "https://shop.example@evil.example/",
        "https://shop.example:8443/",
        "http://shop.example/",
        "http://127.0.0.1:20411/",
        "http://127.0.0.1/",
    ] {
        assert_eq!(
            allows(url, "login", &[]),
            Some(RegistrationError::Domain),
            "{url}"
        );
    }
    for purpose in ["kyc", "curiosity", ""] {
        assert_eq!(allows(shop, purpose, &[]), Some(RegistrationError::Purpose));
    }
    for (purpose, claim) in [
        ("login", "address"),
        ("delivery", "family_name"),
        ("delivery", "age_equal_or_over.18"),
        ("age", "age_equal_or_over"),
        ("age", "age_equal_or_over.21"),
        ("age", "birthdate"),
    ] {
        assert_eq!(
            allows(shop, purpose, &[claim]),
            Some(RegistrationError::Claim),
            "{purpose} {claim}"
        );
    }
}

#[test]
fn a_real_registration_needs_dns_names_and_a_sandbox_may_be_this_machine() {
    let normal = |text: &str| normal_domain(text, false);
    assert_eq!(normal("Shop.Example"), Some("shop.example".into()));
    assert_eq!(normal("shop.example:443"), Some("shop.example".into()));
    assert_eq!(
        normal("shop.example:8443"),
        Some("shop.example:8443".into())
    );
    for wrong in [
        "",
        "localhost",
        "a.localhost",
        "shop",
        "127.0.0.1",
        "127.1",
        "[::1]",
        "8.8.8.8",
        "shop.example/x",
        "u@shop.example",
        "https://shop.example",
        "*.example.org",
        "shop.example.",
    ] {
        assert_eq!(normal(wrong), None, "{wrong}");
    }
    for local in ["localhost:1", "127.0.0.1:20410", "[::1]:20410"] {
        assert_eq!(normal_domain(local, true), Some(local.into()));
    }
    assert_eq!(normal_domain("8.8.8.8", true), None);
    assert_eq!(normal_domain("192.168.0.1", true), None);

    let mut real = registration();
    real.sandbox = false;
    assert_eq!(real.check(), Err(RegistrationError::Domain));
    real.domains.remove(0);
    assert_eq!(real.check(), Ok(()));
}

#[test]
fn a_registration_in_disguise_is_refused_before_it_is_signed() {
    let change = |change: &dyn Fn(&mut Registration)| {
        let mut changed = registration();
        change(&mut changed);
        changed.sign(&Hash32([0; 32]), &secret(1).0).err()
    };
    let malformed = Some(RegistrationError::Malformed);
    assert_eq!(change(&|r| r.name = "a\u{202e}b".into()), malformed);
    assert_eq!(change(&|r| r.name.clear()), malformed);
    assert_eq!(change(&|r| r.domains.clear()), malformed);
    assert_eq!(change(&|r| r.purposes.clear()), malformed);
    assert_eq!(change(&|r| r.expires_s = r.issued_at_s), malformed);
    assert_eq!(
        change(&|r| r.claims.push(claim_path("birthdate").unwrap())),
        Some(RegistrationError::Claim)
    );
    assert_eq!(
        change(&|r| r.domains.push("SHOP.example".into())),
        Some(RegistrationError::Domain)
    );
}

#[test]
fn claim_paths_read_as_they_are_written() {
    for text in ["given_name", "address.region", "nationalities[*]", "a[0].b"] {
        assert_eq!(claim_path(text).unwrap().to_string(), text);
    }
    for wrong in ["", ".", "a..b", "[0]", "a[x]", "a[0", "a]"] {
        assert_eq!(claim_path(wrong), None, "{wrong}");
    }
    for purpose in Purpose::ALL {
        assert_eq!(Purpose::from_code(purpose.code()), Some(purpose));
    }
}
