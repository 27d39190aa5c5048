//! Receiving by a login at the issuer, on the command line, from a running authority; and showing what
//! was received to a verifier that is not registered.

mod verifier;

use crate::nation::{Answer, Nation};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use serde_json::json;
use verifier::Verifier;

/// What `wallet receive` does while a browser shows this evidence, or declines.
fn receive(nation: &Nation, wallet: &str, more: &[&str], evidence: Option<&str>) -> Answer {
    let authority = nation.url("authority");
    let args = [&["receive", authority.as_str()][..], more].concat();
    let evidence = evidence.map(|file| std::fs::read_to_string(file).unwrap());
    nation.wallet_with_browser(wallet, &args, async |browser, page| {
        let shown = browser.get(page).send().await.unwrap();
        assert!(shown.status().is_success(), "{}", shown.status());
        let url = url::Url::parse(page).unwrap();
        let mut form: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        form.push(match &evidence {
            Some(evidence) => ("evidence".to_owned(), evidence.clone()),
            None => ("decline".to_owned(), "yes".to_owned()),
        });
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let sent = browser
            .post(url.join("/authorize").unwrap())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form)
            .send()
            .await
            .unwrap();
        assert!(sent.status().is_success(), "{}", sent.status());
        assert_eq!(sent.url().path(), "/authorized");
    })
}

#[test]
fn another_wallet_of_the_same_person_gets_the_pid_by_a_login_and_uses_it() {
    let nation = Nation::start_with_dids();
    let residents = nation.residents();
    let evidence = residents[0].1.as_str();
    nation.enrol("phone", evidence).done();
    nation.wallet("laptop", &["init"]).done();
    // somebody who says no, and somebody who never enrolled
    let declined = receive(&nation, "laptop", &[], None);
    assert_eq!(declined.refused(), "vci.not_authorized");
    let unknown = ["--credential", "nothing"];
    let authority = nation.url("authority");
    let args = [&["receive", authority.as_str()][..], &unknown[..]].concat();
    let refused = nation.wallet("laptop", &args);
    assert_eq!(refused.refused(), "vci.unknown_configuration");

    let received = receive(&nation, "laptop", &[], Some(evidence)).done();
    let mut formats: Vec<_> = received["credentials"]
        .as_array()
        .unwrap()
        .iter()
        .map(|credential| {
            assert_eq!(credential["onLedger"], true);
            assert_eq!(credential["refreshable"], true);
            credential["format"].as_str().unwrap().to_owned()
        })
        .collect();
    formats.sort();
    assert_eq!(formats, ["dc+sd-jwt", "mso_mdoc"]);
    let login = nation.login("laptop", 0).done();
    assert!(nation.me(0, &login)["sub"].is_string());

    // refreshed by the key of its grant, after a restart: both wallets' tokens are bound
    for wallet in ["laptop", "phone"] {
        let fresh = nation.wallet(wallet, &["refresh"]).done();
        assert_eq!(fresh["credentials"][0]["copies"], 10, "{wallet}");
    }
    nation.login("laptop", 1).done();
    // one configuration alone
    let one = ["--credential", "pid-mdoc"];
    let received = receive(&nation, "laptop", &one, Some(evidence)).done();
    assert_eq!(received["credentials"].as_array().unwrap().len(), 1);

    // to somebody whom no registrar knows: trusted by nobody at first
    let file = nation.dir.with_file_name("office.pem");
    let ca = file.to_str().unwrap();
    let age = ["age_equal_or_over", "18"];
    let shop = Verifier::start(&file, &[&["nationalities"], &age]);
    let present = |more: &[&str]| {
        let args = [&["present", shop.link.as_str()][..], more].concat();
        nation.wallet("laptop", &args)
    };
    assert_eq!(present(&["--yes"]).refused(), "vp.no_authority");
    let added = nation.wallet("laptop", &["ca", "add", ca]).done();
    let digest = added["authorities"][0]["digest"].as_str().unwrap();
    assert_eq!(added["authorities"][0]["name"], "Trust Office");
    // all that is asked for is nothing to say yes to
    let declined = present(&["--yes", "--allow", "nationalities"]);
    assert_eq!(declined.refused(), "vp.declined");
    assert!(declined.stderr.contains("NOT REGISTERED"));
    assert!(shop.was_shown_nothing());
    let both = [
        "--allow",
        "nationalities",
        "--allow",
        "age_equal_or_over.18",
    ];
    let shown = present(&both).done();
    assert!(shown["did"].is_null() && shown["service"].is_null());
    let who = json!({
        "clientId": shop.client_id, "name": "Corner Shop", "authority": "Trust Office",
    });
    assert_eq!(shown["verifier"], who);
    let claims = shop.shown(&nation.url("authority"));
    let mut names: Vec<_> = claims.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["age_equal_or_over", "nationalities"]);
    let journal = nation.wallet("laptop", &["journal"]).done();
    let last = journal["disclosures"].as_array().unwrap().last().unwrap();
    assert_eq!(last["verifier"], who);
    assert_eq!(last["outcome"], "accepted");
    // no longer trusted, but for once
    let left = nation.wallet("laptop", &["ca", "remove", digest]).done();
    assert_eq!(left["authorities"], json!([]));
    assert_eq!(present(&both).refused(), "vp.no_authority");
    let once = [&both[..], &["--trust-ca", ca][..]].concat();
    present(&once).done();
    let kept = nation.wallet("laptop", &["ca", "list"]).done();
    assert_eq!(kept["authorities"], json!([]));
}

/// A wallet provider's folder, and the root that issuers trust.
fn provider(dir: &std::path::Path) -> String {
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    root.distinguished_name
        .push(DnType::OrganizationName, "Wallet Maker");
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
    let pair = KeyPair::generate().unwrap();
    let mut leaf = CertificateParams::default();
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let leaf = leaf.signed_by(&pair, &root).unwrap();
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(dir.join("provider.pem"), leaf.pem()).unwrap();
    let secret = verifier::scalar(&pair).map(|byte| format!("{byte:02x}"));
    std::fs::write(dir.join("provider.key"), secret.concat()).unwrap();
    root.pem()
}

#[test]
fn an_authority_for_attested_wallets_lets_in_one_whose_provider_it_trusts() {
    let mut nation = Nation::start();
    let evidence = nation.residents()[0].1.clone();
    nation.stop("-TERM");
    let folder = nation.dir.with_file_name("provider");
    let dir = nation.dir.join("authority");
    std::fs::write(dir.join("maker.pem"), provider(&folder)).unwrap();
    let config = dir.join("authority.toml");
    let mut text = std::fs::read_to_string(&config).unwrap();
    text.push_str("\n[attestation]\nroots = [\"maker.pem\"]\nrequired = true\n");
    std::fs::write(&config, text).unwrap();
    nation.up();

    let refused = nation.enrol("plain", &evidence);
    assert_eq!(refused.refused(), "vci.attestation_missing");
    let folder = folder.to_str().unwrap();
    let authority = nation.url("authority");
    let enrol = [
        "enrol",
        "--authority",
        authority.as_str(),
        "--evidence",
        evidence.as_str(),
    ];
    let with_provider = ["--provider", folder];
    let enrolled = nation.wallet("attested", &[&with_provider[..], &enrol[..]].concat());
    assert_eq!(enrolled.done()["credentials"][0]["copies"], 10);
    let refresh = [&with_provider[..], &["refresh"][..]].concat();
    nation.wallet("attested", &refresh).done();
    let without = nation.wallet("attested", &["refresh"]);
    assert_eq!(without.refused(), "vci.attestation_missing");
    // a login needs nobody's word for the wallet
    nation.login("attested", 0).done();
}
