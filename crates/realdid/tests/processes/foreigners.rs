//! Foreigners: by passport and by a login at a provider of others, on the command line, as residents.

use crate::nation::Nation;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

fn specimens(nation: &Nation) -> Vec<(String, String)> {
    let listed = nation.run(&["authority", "foreigners"]).done();
    let text = |one: &Value, name: &str| one[name].as_str().unwrap().to_owned();
    let all = listed["foreigners"].as_array().unwrap();
    all.iter()
        .map(|one| (text(one, "person"), text(one, "evidence")))
        .collect()
}

#[test]
fn a_foreigner_enrols_by_passport_logs_in_and_can_be_suspended() {
    let nation = Nation::start();
    let specimens = specimens(&nation);
    let (person, evidence) = &specimens[0];
    let enrolled = nation.enrol("a", evidence).done();
    assert_eq!(
        enrolled["realPass"]["held"][0]["facts"]["kind"], "foreigner",
        "{enrolled}"
    );
    assert_eq!(
        enrolled["realPass"]["held"][0]["facts"]["assurance"],
        "substantial"
    );
    let first = nation.login("a", 0).done();
    let again = nation.login("a", 0).done();
    let subject = nation.me(0, &first)["sub"].clone();
    assert_eq!(nation.me(0, &again)["sub"], subject);
    // somebody else is somebody else
    nation.enrol("b", &specimens[1].1).done();
    let other = nation.login("b", 0).done();
    assert_ne!(nation.me(0, &other)["sub"], subject);
    // the operator knows the person by the reference that is listed
    let suspend = [
        "authority",
        "suspend",
        "--person",
        person,
        "--reason",
        "legal-order",
    ];
    nation.run(&suspend).done();
    assert_eq!(
        nation.enrol("a2", evidence).refused(),
        "enrolment.suspended"
    );
}

#[test]
fn passports_that_prove_nothing_are_refused_by_name() {
    let nation = Nation::start();
    let specimens = specimens(&nation);
    let refused = nation.enrol("revoked", &specimens[3].1);
    assert_eq!(refused.refused(), "passport.signer_revoked");
    let text = std::fs::read_to_string(&specimens[0].1).unwrap();
    let good: Value = serde_json::from_str(&text).unwrap();
    let other: Value =
        serde_json::from_str(&std::fs::read_to_string(&specimens[1].1).unwrap()).unwrap();
    let file = nation.dir.with_file_name("passport.json");
    let file = file.to_str().unwrap();
    let tries = |evidence: &Value| {
        std::fs::write(file, evidence.to_string()).unwrap();
        nation.enrol("wrong", file).refused().to_owned()
    };
    // somebody's zone in the place of another's
    let mut swapped = good.clone();
    swapped["data_groups"] = other["data_groups"].clone();
    assert_eq!(tries(&swapped), "passport.altered");
    let mut broken = good.clone();
    broken["security_object"] = json!("dwA");
    assert_eq!(tries(&broken), "passport.malformed");
    let mut missing = good.clone();
    missing["data_groups"] = json!({});
    assert_eq!(tries(&missing), "evidence.malformed");
    // a provider that the operator did not configure
    let foreign = nation.wallet(
        "none",
        &[
            "enrol",
            "--authority",
            &nation.url("authority"),
            "--upstream",
            "stranger",
        ],
    );
    assert_eq!(foreign.refused(), "upstream.unknown");
}

/// oidc-provider, which ends with this value.
struct Provider(Child, String);

impl Provider {
    fn start(redirect_uri: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../authority/tests/peer");
        let case =
            json!({"clientId": "authority", "clientSecret": SECRET, "redirectUri": redirect_uri});
        let mut child = Command::new("node")
            .args(["--no-warnings", "provider.mjs", &case.to_string()])
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = lines
            .map_while(Result::ok)
            .find(|line| line.starts_with('{'));
        let said: Value = serde_json::from_str(&said.unwrap()).unwrap();
        let issuer = said["issuer"].as_str().unwrap().to_owned();
        Self(child, issuer)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

const SECRET: &str = "a secret of no value, of 32 chars and more";

/// What the wallet's command does while a browser on the same machine logs in as `account`.
fn enrol_upstream(nation: &Nation, wallet: &str, account: Option<&str>) -> crate::nation::Answer {
    let authority = nation.url("authority");
    let args = [
        "enrol",
        "--authority",
        authority.as_str(),
        "--upstream",
        "other",
    ];
    nation.wallet_with_browser(wallet, &args, async |browser, page| {
        let mut request = browser.get(page);
        if let Some(account) = account {
            request = request.header("x-account", account);
        }
        assert!(request.send().await.unwrap().status().is_success());
    })
}

#[test]
fn a_foreigner_enrols_by_a_login_elsewhere_and_logs_in() {
    let mut nation = Nation::start();
    let authority = nation.url("authority");
    let provider = Provider::start(&format!("{authority}/upstream/callback/other"));
    nation.stop("-TERM");
    let dir = nation.dir.join("authority");
    std::fs::write(dir.join("other.secret"), SECRET).unwrap();
    let config = dir.join("authority.toml");
    let mut text = std::fs::read_to_string(&config).unwrap();
    text.push_str(&format!(
        "\n[[upstream]]\nid = \"other\"\nissuer = \"{}\"\nclient_id = \"authority\"\n\
         client_secret_file = \"other.secret\"\nassurance = \"low\"\n",
        provider.1
    ));
    std::fs::write(&config, text).unwrap();
    nation.up();

    let enrolled = enrol_upstream(&nation, "a", Some("ilsabet")).done();
    assert_eq!(
        enrolled["realPass"]["held"][0]["facts"]["kind"], "foreigner",
        "{enrolled}"
    );
    assert_eq!(enrolled["realPass"]["held"][0]["facts"]["assurance"], "low");
    let login = nation.login("a", 0).done();
    let subject = nation.me(0, &login)["sub"].clone();
    assert!(subject.is_string());
    // nobody logs in there; a birth date without its year
    let nobody = enrol_upstream(&nation, "b", None);
    assert_eq!(nobody.refused(), "upstream.denied");
    let yearless = enrol_upstream(&nation, "c", Some("yearless"));
    assert_eq!(yearless.refused(), "upstream.claims");
    // the login goes on without the provider
    drop(provider);
    let again = nation.login("a", 0).done();
    assert_eq!(nation.me(0, &again)["sub"], subject);
}
