use super::*;
use crate::content::Batch;
use crate::secret::{Secret32, SecretText};
use realdid_core::hash::Hash32;
use realdid_credential::jose::{Jwk, SigningKey};
use realdid_exchange::registration::{self, Registration};

pub(super) fn request(claims: &[&str]) -> CheckedRequest {
    let claims: Vec<_> = claims
        .iter()
        .map(|text| registration::claim_path(text).unwrap())
        .collect();
    let key = SigningKey::p256(&[1; 32]).unwrap();
    CheckedRequest {
        network: "dev".to_owned(),
        service_id: Hash32([1; 32]),
        service_name: "Shop".into(),
        domains: vec!["shop.example".into()],
        purpose: "kyc".into(),
        claims: claims.clone(),
        client_id: vp::client_id(&Hash32([1; 32])),
        nonce: "n".into(),
        response_uri: "http://127.0.0.1:9/vp/response/1".into(),
        takes: vp::Takes::default(),
        state: Some("s".into()),
        asked: vp::Asked {
            pass: None,
            pid: Some(vp::AskedPid {
                id: "pid".into(),
                vcts: vec!["v".into()],
                claims,
            }),
            mdoc: None,
            did_id: Some("did".into()),
            did_alone: false,
        },
        encryption: None,
        thumbprint: None,
        registration: Some(Registration {
            registrar: "https://registrar.example".into(),
            service_id: Hash32([1; 32]),
            cnf: Jwk(key.verifying_key()),
            domains: vec!["shop.example".into()],
            purposes: vec![],
            claims: vec![],
            name: "Shop".into(),
            sandbox: true,
            issued_at_s: 0,
            expires_s: 1,
            jti: [0; 16],
        }),
        stranger: None,
        display: None,
    }
}

fn batch(expiries_s: &[u64]) -> Batch {
    Batch {
        roots: None,
        suite: None,
        issuer: "https://authority.example".into(),
        vct: "v".into(),
        configuration: "c".into(),
        copies: expiries_s
            .iter()
            .map(|expires_s| CredentialCopy {
                credential: SecretText::new(String::new()),
                holder_key: Secret32::new([1; 32]),
                holder_suite: None,
                path: None,
                expires_s: *expires_s,
            })
            .collect(),
        refresh_token: Some(SecretText::new("t".into())),
        token_key: None,
        server: None,
        on_ledger: true,
        format: None,
        organisation: None,
    }
}

#[test]
fn claims_need_a_yes_and_a_plain_login_needs_none() {
    let never = |_: &str| panic!("nobody is to be asked");
    let allow = |claims: &[&str]| Consent {
        allow: claims.iter().map(|claim| (*claim).to_owned()).collect(),
        yes: false,
        long_lived: false,
    };
    assert!(consented(&request(&[]), &Consent::default(), never));
    let asks = request(&["given_name", "address.region"]);
    assert!(!consented(&asks, &Consent::default(), |_| false));
    assert!(!consented(&asks, &allow(&["given_name"]), |_| false));
    assert!(consented(&asks, &allow(&["given_name"]), |_| true));
    assert!(consented(
        &asks,
        &allow(&["given_name", "address.region"]),
        never
    ));
    assert!(consented(
        &asks,
        &Consent {
            allow: vec![],
            yes: true,
            long_lived: false,
        },
        never
    ));
}

#[test]
fn copies_are_shown_once() {
    let dir = tempfile::tempdir().unwrap();
    let (mut wallet, _) = Wallet::create(dir.path(), None).unwrap();
    wallet.content.batches.push(batch(&[1, u64::MAX, u64::MAX]));
    assert!(take_copy(&mut wallet, 0, None).is_ok());
    assert!(take_copy(&mut wallet, 0, None).is_ok());
    // The one that is left has expired.
    assert_eq!(
        take_copy(&mut wallet, 0, None).unwrap_err().code,
        "credential.used_up"
    );
    // Where there will be no other, the last one stays.
    let mut single = batch(&[u64::MAX, u64::MAX]);
    (single.on_ledger, single.refresh_token) = (false, None);
    wallet.content.batches = vec![single];
    for _ in 0..3 {
        assert!(take_copy(&mut wallet, 0, None).is_ok());
    }
    assert_eq!(wallet.content.batches[0].copies.len(), 1);
}

#[tokio::test]
async fn a_refusal_of_the_person_names_what_was_asked() {
    let refused = decline(&Http::new().unwrap(), &request(&["given_name"]))
        .await
        .unwrap();
    assert_eq!(refused.code, "vp.declined");
    assert!(refused.fix.contains("--allow given_name"));
}

#[tokio::test]
async fn over_asking_and_strangers_are_refused_before_anything_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let (mut wallet, _) = Wallet::create(dir.path(), None).unwrap();
    assert_eq!(
        Ledger::of(&wallet.content).unwrap_err().code,
        "wallet.no_network"
    );
    wallet.content.network = Some(crate::content::Network {
        genesis: realdid_core::codec::Bytes(
            realdid_testkit::ledger::TestNet::new().genesis.encode(),
        ),
        nodes: vec!["http://127.0.0.1:9".into()],
        terms: None,
    });
    let mut ledger = Ledger::of(&wallet.content).unwrap();
    let http = Http::new().unwrap();
    for text in [
        "openid4vp://?request_uri=file:///x&client_id=y",
        "not a link",
        "ftp://a/b",
    ] {
        assert!(
            examine(&mut wallet, &http, &mut ledger, text, &ForOnce::default())
                .await
                .is_err(),
            "{text}"
        );
    }
    // No node can be reached and nothing is kept: no word is taken for the service.
    let claimed = wallet.content.journal.len();
    assert!(
        ledger
            .service(&mut wallet.content, &Hash32([1; 32]))
            .await
            .is_err()
    );
    assert_eq!(claimed, 0);
}

#[test]
fn a_name_for_everybody_needs_more_than_consent_to_its_claims() {
    let mut asked = request(&["family_name", "given_name"]);
    asked.display = Some(realdid_exchange::display::Terms {
        network: "dev".parse().unwrap(),
        service: asked.service_id,
        handle: realdid_exchange::display::Handle::parse("wei.li").unwrap(),
        kind: Kind::Person,
        expires_s: 1,
    });
    let allowing = |words: &[&str]| Consent {
        allow: words.iter().map(ToString::to_string).collect(),
        yes: false,
        long_lived: false,
    };
    let no = |_: &str| false;
    let names = ["family_name", "given_name"];
    assert!(!consented(&asked, &allowing(&names), no));
    let elsewhere = [&names[..], &["public:li.wei"]].concat();
    assert!(!consented(&asked, &allowing(&elsewhere), no));
    let here = [&names[..], &["public:wei.li"]].concat();
    assert!(consented(&asked, &allowing(&here), no));
    assert!(!consented(&asked, &allowing(&["public:wei.li"]), no));
    asked.display = None;
    assert!(consented(&asked, &allowing(&names), no));
}

#[test]
fn an_organisations_name_is_agreed_to_as_such_and_shown_for_the_one_that_is_meant() {
    let mut asked = request(&["legal_name"]);
    let terms = realdid_exchange::display::Terms {
        network: "dev".parse().unwrap(),
        service: asked.service_id,
        handle: realdid_exchange::display::Handle::parse("firm").unwrap(),
        kind: Kind::Backed,
        expires_s: 1,
    };
    asked.display = Some(terms.clone());
    let allowing = |words: &[&str]| Consent {
        allow: words.iter().map(ToString::to_string).collect(),
        yes: false,
        long_lived: false,
    };
    // To stand behind an account is another thing than to have it, or to be its person.
    for word in ["public:firm", "public:firm:organisation"] {
        let consent = allowing(&["legal_name", word]);
        assert!(!consented(&asked, &consent, |_| false), "{word}");
    }
    let consent = allowing(&["legal_name", "public:firm:backed"]);
    assert!(consented(&asked, &consent, |_| false));
    assert!(sees(&asked, None).contains("of the organisation: legal_name"));

    let folder = tempfile::tempdir().unwrap();
    let (mut wallet, _) = Wallet::create(folder.path(), None).unwrap();
    let content = &mut wallet.content;
    content.batches.push(batch(&[u64::MAX]));
    let which = |content: &crate::content::Content, named: Option<&str>| {
        displays::organisation(content, asked.display.as_ref(), named).map_err(|error| error.code)
    };
    let code = |code: &str| Err(code.to_owned());
    assert_eq!(which(content, None), code("organisation.none"));
    for name in ["Example", "Example", "Other"] {
        content.batches.push(Batch {
            organisation: Some(name.to_owned()),
            ..batch(&[u64::MAX])
        });
    }
    assert_eq!(which(content, None), code("organisation.ambiguous"));
    assert_eq!(which(content, Some("Other")), Ok(Some("Other".to_owned())));
    assert_eq!(which(content, Some("Nobody")), code("organisation.none"));
    content.batches.pop();
    assert_eq!(which(content, None), Ok(Some("Example".to_owned())));
    let person = realdid_exchange::display::Terms {
        kind: Kind::Person,
        ..terms
    };
    for terms in [Some(&person), None] {
        let own = displays::organisation(content, terms, None);
        assert_eq!(own.map_err(|error| error.code), Ok(None));
    }
}

#[test]
fn a_pid_is_shown_as_an_mdoc_where_the_wallet_has_no_other() {
    use crate::issue::tests::{mdocs, person};
    use realdid_credential::mdoc::pid::{DOC_TYPE, NAME_SPACE};

    let copy = mdocs(&person(), (now_s() - 1, now_s() + 60), &[1]).remove(0);
    let asked = vec![registration::claim_path("age_equal_or_over.18").unwrap()];
    let mut request = request(&[]);
    request.asked.mdoc = Some(vp::AskedMdoc {
        id: "pid_mdoc".into(),
        claims: asked,
    });
    request.thumbprint = Some([7; 32]);
    let held = CredentialCopy {
        credential: SecretText::new(URL_SAFE_NO_PAD.encode(copy.as_bytes())),
        holder_key: Secret32::new([1; 32]),
        holder_suite: None,
        path: None,
        expires_s: copy.until_s(),
    };
    let claims = request.asked.mdoc.iter().flat_map(|mdoc| &mdoc.claims);
    let names = claims.map(|claim| mdoc::pid::element_of(claim).unwrap());
    let paths: Vec<_> = names.map(|name| (mdoc::pid::NAME_SPACE, name)).collect();
    let shown = URL_SAFE_NO_PAD.decode(show_mdoc(&held, &request, &paths).unwrap());
    let keys = [mdoc::IssuerKey {
        issuer: "a".into(),
        certificate: vec![0x30, 0x00],
        key: SigningKey::p256(&[200; 32]).unwrap().verifying_key(),
    }];
    let evidence = mdoc::IssuerEvidence {
        issuer_keys: &keys,
        accepted_doc_types: &[DOC_TYPE],
        now_s: now_s(),
        clock_skew_s: 0,
    };
    let shown = shown.unwrap();
    let transcript = |thumbprint| {
        let uri = "http://127.0.0.1:9/vp/response/1";
        Transcript::openid4vp(&request.client_id, "n", thumbprint, uri)
    };
    let verified = mdoc::verify(&shown, &evidence, &transcript(Some(&[7; 32])), &[]).unwrap();
    let claims = serde_json::Value::Object(verified.claims);
    assert_eq!(
        claims,
        serde_json::json!({ NAME_SPACE: { "age_over_18": true } })
    );
    let elsewhere = mdoc::verify(&shown, &evidence, &transcript(None), &[]);
    assert_eq!(elsewhere.err(), Some(MdocError::DeviceSignature));
}

#[test]
fn a_pid_that_lives_long_is_shown_again_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut wallet, _) = Wallet::create(dir.path(), None).unwrap();
    wallet.content.batches.push(Batch {
        vct: realdid_credential::pid::LONG_VCT.to_owned(),
        ..batch(&[u64::MAX])
    });
    let first = take_copy(&mut wallet, 0, None).unwrap();
    assert_eq!(take_copy(&mut wallet, 0, None).unwrap(), first);
    assert_eq!(wallet.content.batches[0].copies.len(), 1);
}
