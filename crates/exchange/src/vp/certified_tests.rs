//! A request by certificate that works, and each way in which one does not.

use super::*;
use crate::jwe::DecryptionKey;
use crate::vp::{Claimed, ClaimedRequest, REQUEST_TYP, WALLET_AUDIENCE};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    SanType, date_time_ymd,
};
use realdid_credential::jose::{self, SigningKey};
use realdid_credential::organisation;
use serde_json::{Map, json};

/// The middle of 2030.
const NOW_S: u64 = 1_909_094_400;
const HOST: &str = "verifier.example";

/// PKCS #8 of a P-256 scalar, up to the scalar itself.
const PKCS8_HEAD: &[u8] = &[
    0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
    0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x27, 0x30, 0x25, 0x02, 0x01,
    0x01, 0x04, 0x20,
];

fn pair(seed: u8) -> KeyPair {
    let der = [PKCS8_HEAD, &[seed; 32]].concat();
    KeyPair::try_from(der.as_slice()).unwrap()
}

fn key(seed: u8) -> SigningKey {
    SigningKey::p256(&[seed; 32]).unwrap()
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    let organisation = DnType::OrganizationName;
    params.distinguished_name.push(organisation, name);
    params.not_before = date_time_ymd(2030, 1, 1);
    params.not_after = date_time_ymd(2031, 1, 1);
    params
}

fn root(seed: u8) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = params("Trust Office");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, pair(seed)).unwrap()
}

fn leaf() -> CertificateParams {
    let mut params = params("Corner Shop");
    let names = [HOST, "*.wild.example"].map(|name| SanType::DnsName(name.try_into().unwrap()));
    params.subject_alt_names = names.to_vec();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params
}

/// A request to change, and who checks it.
struct Asking {
    client_id: Option<String>,
    link_client_id: Option<String>,
    chain: Option<Value>,
    leaf: CertificateParams,
    signed_by: u8,
    anchors: Vec<u8>,
    now_s: u64,
    wallet_nonce: Option<&'static str>,
    /// Members of the payload: null takes one out.
    payload: Value,
}

fn ask() -> Asking {
    Asking {
        client_id: None,
        link_client_id: None,
        chain: None,
        leaf: leaf(),
        signed_by: 2,
        anchors: vec![9, 1],
        now_s: NOW_S,
        wallet_nonce: None,
        payload: json!({}),
    }
}

fn hash_of(der: &[u8]) -> String {
    format!(
        "{X509_HASH_PREFIX}{}",
        URL_SAFE_NO_PAD.encode(Sha256::digest(der))
    )
}

/// The same request, whose client id is the hash of its certificate.
fn ask_by_hash(response_uri: &str) -> Asking {
    let der = ask().der();
    Asking {
        client_id: Some(hash_of(&der)),
        chain: Some(json!([STANDARD.encode(&der)])),
        payload: json!({ "response_uri": response_uri }),
        ..ask()
    }
}

impl Asking {
    fn der(&self) -> Vec<u8> {
        let certificate = self.leaf.clone().signed_by(&pair(2), &root(1));
        certificate.unwrap().der().to_vec()
    }

    fn sign(&self) -> (String, String) {
        let own = format!("{SAN_DNS_PREFIX}{HOST}");
        let client_id = self.client_id.clone().unwrap_or(own);
        let mut header = Map::new();
        header.insert("typ".into(), REQUEST_TYP.into());
        let chain = || json!([STANDARD.encode(self.der())]);
        header.insert("x5c".into(), self.chain.clone().unwrap_or_else(chain));
        let to = DecryptionKey::from_bytes(&[5; 32], "k").unwrap();
        let mut payload = json!({
            "client_id": client_id,
            "aud": WALLET_AUDIENCE,
            "response_type": "vp_token",
            "response_mode": "direct_post.jwt",
            "response_uri": format!("https://{HOST}/response"),
            "nonce": "n-1",
            "state": "s-1",
            "client_metadata": {"jwks": {"keys": [to.public_jwk()]}},
            "dcql_query": {"credentials": [{
                "id": "pid", "format": "dc+sd-jwt", "meta": {"vct_values": ["urn:x"]},
                "claims": [{"path": ["given_name"]}, {"path": ["address", "region"]}],
            }]},
        });
        for (name, value) in self.payload.as_object().unwrap() {
            match value {
                Value::Null => payload.as_object_mut().unwrap().remove(name),
                value => payload
                    .as_object_mut()
                    .unwrap()
                    .insert(name.clone(), value.clone()),
            };
        }
        let payload = payload.to_string();
        let signed = jose::sign_compact(&header, payload.as_bytes(), &key(self.signed_by));
        (signed.unwrap(), client_id)
    }

    fn check(&self) -> Result<CheckedRequest, RequestRefused> {
        let (signed, client_id) = self.sign();
        let link = WalletLink {
            client_id: self.link_client_id.clone().unwrap_or(client_id),
            request_uri: format!("https://{HOST}/request"),
            post: false,
        };
        let anchors = self.anchors.iter();
        let anchors = anchors.map(|seed| Certificate::parse(root(*seed).der()).unwrap());
        let anchors: Vec<_> = anchors.collect();
        match Claimed::parse(&signed)? {
            Claimed::Certified(request) => {
                request.check(&link, &anchors, self.now_s, self.wallet_nonce)
            }
            _ => panic!("it names itself by a certificate"),
        }
    }

    fn code(&self) -> Option<&'static str> {
        self.check().err().map(RequestRefused::code)
    }
}

fn with(payload: Value) -> Option<&'static str> {
    Asking { payload, ..ask() }.code()
}

#[test]
fn a_wallet_reads_who_asks_by_the_word_of_an_authority_that_it_trusts() {
    let checked = ask().check().unwrap();
    let verifier = checked.stranger.as_ref().unwrap();
    assert_eq!(verifier.name, "Corner Shop");
    assert_eq!(verifier.hosts, [HOST, "*.wild.example"]);
    assert_eq!(verifier.authority, "Trust Office");
    assert_eq!(verifier.query.credentials[0].vct_values, ["urn:x"]);
    let claims: Vec<_> = checked.claims.iter().map(ToString::to_string).collect();
    assert_eq!(claims, ["given_name", "address.region"]);
    assert_eq!(checked.client_id, format!("{SAN_DNS_PREFIX}{HOST}"));
    assert_eq!(checked.domains, [HOST]);
    assert!(checked.registration.is_none() && checked.encryption.is_some());

    // by the certificate's hash, at whatever host it says
    let by_hash = ask_by_hash("https://elsewhere.example/r").check().unwrap();
    assert_eq!(by_hash.domains, ["elsewhere.example"]);
    assert_ne!(by_hash.service_id, checked.service_id);
    // on this device
    let mut here = leaf();
    here.subject_alt_names = vec![SanType::DnsName("localhost".try_into().unwrap())];
    let here = Asking {
        leaf: here,
        client_id: Some(format!("{SAN_DNS_PREFIX}localhost")),
        payload: json!({"response_uri": "http://localhost:8080/r"}),
        ..ask()
    };
    assert_eq!(here.code(), None);
}

#[test]
fn who_is_vouched_for_by_nobody_trusted_is_refused() {
    let nobody = Asking {
        anchors: vec![],
        ..ask()
    };
    assert_eq!(nobody.code(), Some("vp.no_authority"));
    let other = Asking {
        anchors: vec![9],
        ..ask()
    };
    assert_eq!(other.code(), Some("vp.certificate_chain"));
    let another_key = Asking {
        signed_by: 3,
        ..ask()
    };
    assert_eq!(another_key.code(), Some("vp.request_signature"));
    for (at_s, code) in [
        (NOW_S - 365 * 86_400, "vp.certificate_time"),
        (NOW_S + 365 * 86_400, "vp.certificate_time"),
    ] {
        let now_s = at_s;
        assert_eq!(Asking { now_s, ..ask() }.code(), Some(code));
    }
    // a certificate that may sign certificates, and one that may sign nothing
    let mut authority = leaf();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyCertSign,
    ];
    let mut mute = leaf();
    mute.key_usages = vec![KeyUsagePurpose::CrlSign];
    for leaf in [authority, mute] {
        assert_eq!(
            Asking { leaf, ..ask() }.code(),
            Some("vp.certificate_chain")
        );
    }
    // what a leaf signed proves nothing about who
    let middle = CertifiedIssuer::signed_by(leaf(), pair(2), &root(1)).unwrap();
    let forged = leaf().signed_by(&pair(4), &middle).unwrap();
    let chain = [forged.der(), middle.der()].map(|der| STANDARD.encode(der));
    let by_leaf = Asking {
        chain: Some(json!(chain)),
        signed_by: 4,
        ..ask()
    };
    assert_eq!(by_leaf.code(), Some("vp.certificate_chain"));
    for chain in [
        json!(null),
        json!([]),
        json!(["AAAA"]),
        json!([1]),
        json!(["*"]),
        json!(vec![STANDARD.encode(ask().der()); 5]),
        json!(vec![STANDARD.encode(ask().der()); 2]),
    ] {
        let chain = Some(chain);
        assert_eq!(
            Asking { chain, ..ask() }.code(),
            Some("vp.certificate_chain")
        );
    }
}

#[test]
fn a_client_id_is_the_certificates_own_name() {
    let own = hash_of(&ask().der());
    for client_id in [
        "x509_san_dns:other.example",
        "x509_san_dns:a.wild.example",
        "x509_san_dns:*.wild.example",
        "x509_san_dns:127.0.0.1",
        "x509_san_dns:",
        "x509_san_dns:verifier.example/x",
        "x509_san_dns:evil.example@verifier.example",
        "x509_hash:",
        "x509_hash:AAAA",
        &own[..own.len() - 2],
        hash_of(b"another").as_str(),
    ] {
        let client_id = Some(client_id.to_owned());
        let code = Asking { client_id, ..ask() }.code();
        assert_eq!(code, Some("vp.certificate_name"));
    }
    // names nobody whose signature could be checked, or is not known
    for client_id in [
        "redirect_uri:https://verifier.example/response",
        "openid_federation:https://verifier.example",
        "verifier.example",
        "https://verifier.example",
    ] {
        let client_id = Some(client_id.to_owned());
        let code = Asking { client_id, ..ask() }.code();
        assert_eq!(code, Some("vp.client_id_prefix"));
    }
    let other_link = Asking {
        link_client_id: Some("x509_san_dns:other.example".into()),
        ..ask()
    };
    assert_eq!(other_link.code(), Some("vp.client_id"));
    // and stands nowhere where a registration must
    let refused = ClaimedRequest::parse(&ask().sign().0).err();
    assert_eq!(refused, Some(RequestRefused::ClientId));
}

#[test]
fn answers_go_to_the_named_host_and_over_https() {
    for uri in [
        "https://other.example/response",
        "https://verifier.example.other.example/r",
        "http://verifier.example/response",
        "https://127.0.0.1/response",
    ] {
        assert_eq!(
            with(json!({"response_uri": uri})),
            Some("vp.certified_uri"),
            "{uri}"
        );
    }
    let by_hash = ask_by_hash("http://elsewhere.example/r");
    assert_eq!(by_hash.code(), Some("vp.certified_uri"));
}

#[test]
fn it_asks_for_claims_by_name_and_for_nothing_that_is_for_registered_services() {
    let query = |credentials: Value| with(json!({"dcql_query": {"credentials": credentials}}));
    let pid = |claims: Value| {
        json!({
            "id": "pid", "format": "dc+sd-jwt", "meta": {"vct_values": ["urn:x"]},
            "claims": claims,
        })
    };
    let name = || pid(json!([{"path": ["given_name"]}]));
    let refused = Some("vp.certified_ask");
    assert_eq!(query(json!([name()])), None);
    let mut bare = name();
    bare.as_object_mut().unwrap().remove("claims");
    assert_eq!(query(json!([bare])), refused);
    let pass = json!({"id": "pass", "format": "rdid_realpass", "meta": {}});
    let did = json!({"id": "did", "format": "rdid_proof", "meta": {}});
    // By DCQL in full, of credentials of several types.
    let licence = json!({
        "id": "licence", "format": "mso_mdoc", "meta": {"doctype_value": "org.iso.18013.5.1.mDL"},
        "claims": [{"id": "a", "path": ["org.iso.18013.5.1", "given_name"], "values": ["Wei"]}],
        "claim_sets": [["a"]], "multiple": true,
        "trusted_authorities": [{"type": "aki", "values": ["AQ"]}],
    });
    assert_eq!(query(json!([name(), licence])), None);
    let sets = json!({
        "credentials": [name(), licence],
        "credential_sets": [{"options": [["pid"], ["licence"]]}],
    });
    assert_eq!(with(json!({"dcql_query": sets})), None);
    let firm = json!({
        "id": "firm", "format": "dc+sd-jwt", "meta": {"vct_values": ["urn:y", organisation::VCT]},
        "claims": [{"path": ["legal_name"]}],
    });
    assert_eq!(query(json!([firm])), refused);
    assert_eq!(query(json!([name(), pass])), refused);
    assert_eq!(query(json!([name(), did])), refused);
    assert_eq!(query(json!([name(), did, pass])), refused);
    assert_eq!(with(json!({"transaction_data": ["e30"]})), refused);
    assert_eq!(with(json!({"response_mode": "direct_post"})), refused);
    assert_eq!(with(json!({"dcql_query": null})), Some("vp.query"));
}

#[test]
fn it_is_recent_as_far_as_it_says_and_repeats_the_wallets_nonce() {
    assert_eq!(with(json!({"exp": NOW_S - 11})), Some("vp.request_expired"));
    assert_eq!(with(json!({"iat": NOW_S + 11})), Some("vp.request_future"));
    assert_eq!(with(json!({"iat": NOW_S, "exp": NOW_S + 60})), None);
    assert_eq!(with(json!({"iat": "now"})), Some("vp.request_malformed"));
    assert_eq!(with(json!({"nonce": null})), Some("vp.request_malformed"));
    assert_eq!(
        with(json!({"aud": "https://x.example"})),
        Some("vp.request_audience")
    );
    let own = format!("https://{HOST}/request");
    assert_eq!(with(json!({"aud": own})), None);
    let nonce = |sent, repeated: Value| {
        let asking = Asking {
            wallet_nonce: Some(sent),
            payload: json!({"wallet_nonce": repeated}),
            ..ask()
        };
        asking.code()
    };
    assert_eq!(nonce("w", json!("w")), None);
    assert_eq!(nonce("w", json!("x")), Some("vp.wallet_nonce"));
    assert_eq!(nonce("w", json!(null)), Some("vp.wallet_nonce"));
}
