//! Two networks, separately run, that recognise each other: people of each sign in at services of the
//! other, until a governance ends that, on its own.

use crate::nation::{Nation, Neighbours, PROGRAM, get, until};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Somebody of `home` signs in at the first service of `there`, showing the assurance of their RealPass.
fn abroad(home: &Nation, wallet: &str, there: &Nation) -> crate::nation::Answer {
    let service = there.url("services/0");
    let allow = ["--allow", "realpass.assurance"];
    home.wallet(wallet, &[&["login", &service], allow.as_slice()].concat())
}

fn standing(nation: &Nation, other: &str) -> Value {
    let shown = nation.run(&["network", "show", other]).done();
    shown["recognised"][0].clone()
}

/// A bank of one network that takes customers of the other; its gate ends with the test.
struct Bank<'a> {
    nation: &'a Nation,
    folder: PathBuf,
    gate: Child,
    /// Where a login begins.
    authorize: String,
}

impl Drop for Bank<'_> {
    fn drop(&mut self) {
        let _ended = self.gate.kill();
        let _reaped = self.gate.wait();
    }
}

impl<'a> Bank<'a> {
    fn open(nation: &'a Nation, other: &Nation) -> Self {
        let address = format!("127.0.0.1:{}", nation.port_base + 35);
        let back = format!("http://127.0.0.1:{}/callback", nation.port_base + 45);
        let folder = nation.dir.join("gates/bank");
        let place = folder.to_str().unwrap();
        let words = ["gate", "register", "--domain", &address, "--purpose", "kyc"];
        let claims = ["--claim", "realpass.adult", "--claim", "realpass.assurance"];
        let more = ["--redirect-uri", &back, "--gate-dir", place];
        let made = nation.run(&[&words[..], &claims, &more].concat()).done();
        let config = made["config"].as_str().unwrap();
        let mut text = std::fs::read_to_string(config).unwrap();
        text.push_str(&format!(
            "\n[[recognised]]\ngenesis = {:?}\nnodes = {}\n",
            other.dir.join("genesis.cbor"),
            other.ready["nodes"],
        ));
        std::fs::write(config, text).unwrap();
        let client = std::fs::read(made["client"].as_str().unwrap()).unwrap();
        let client: Value = serde_json::from_slice(&client).unwrap();
        let log = std::fs::File::create(nation.dir.join("logs/bank.log")).unwrap();
        let gate = Command::new(PROGRAM)
            .args(["gate", "--config", config])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let authorize = format!(
            "http://{address}/authorize?client_id={}&redirect_uri={back}&response_type=code\
             &scope=openid&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM\
             &code_challenge_method=S256",
            client["client_id"].as_str().unwrap(),
        );
        let ready = format!("http://{address}/readyz");
        until("the bank's gate", Duration::from_secs(30), || {
            std::net::TcpStream::connect(&address).ok()?;
            (get(&ready, &[]).0 == 200).then_some(())
        });
        Self {
            nation,
            folder: folder.join("kyc"),
            gate,
            authorize,
        }
    }

    /// Somebody shows the bank that they are an adult whom somebody has verified, and nothing else.
    fn know(&self, home: &Nation, wallet: &str) -> PathBuf {
        let before = self.receipts();
        let (status, started) = get(&self.authorize, &[("accept", "application/json")]);
        assert_eq!(status, 200, "{started}");
        let started: Value = serde_json::from_str(&started).unwrap();
        let link = started["wallet_link"].as_str().unwrap();
        let allow = ["--allow", "realpass.adult", "--allow", "realpass.assurance"];
        let shown = [&["present", link], &allow[..]].concat();
        let shown = home.wallet(wallet, &shown).done();
        let claims = json!(["realpass.adult", "realpass.assurance"]);
        assert_eq!(shown["claims"], claims);
        let mut after = self.receipts();
        after.retain(|file| !before.contains(file));
        assert_eq!(after.len(), 1);
        after.remove(0)
    }

    fn receipts(&self) -> Vec<PathBuf> {
        let files = std::fs::read_dir(&self.folder).unwrap();
        let files = files.map(|file| file.unwrap().path());
        files
            .filter(|path| path.extension().is_some_and(|kind| kind == "json"))
            .collect()
    }

    /// What an auditor makes of a receipt, without the gate and without any node.
    fn audit(&self, receipt: &Path, more: &[&str]) -> crate::nation::Answer {
        let words = ["verify-receipt", receipt.to_str().unwrap()];
        self.nation.run(&[&words, more].concat())
    }
}

/// A customer from the other network: predicates alone, and a receipt that holds.
fn customer(bank: &Bank<'_>, home: &Nation) -> PathBuf {
    let receipt = bank.know(home, "a");
    let held = bank.audit(&receipt, &[]).done();
    assert_eq!(held["personNetwork"], home.ready["network"]);
    assert_eq!(held["network"], bank.nation.ready["network"]);
    let mut told: Vec<&String> = held["predicates"].as_object().unwrap().keys().collect();
    told.sort();
    assert_eq!(told, ["adult", "assurance"]);
    assert_eq!(held["predicates"]["assurance"], "substantial");
    let genesis = |nation: &Nation| nation.dir.join("genesis.cbor").display().to_string();
    let (own, theirs) = (genesis(bank.nation), genesis(home));
    let trusting = ["--trust", &own, "--trust-abroad", &theirs];
    bank.audit(&receipt, &trusting).done();
    let other = bank.audit(&receipt, &["--trust", &theirs]);
    assert_eq!(other.refused(), "receipt.trust");
    let other = bank.audit(&receipt, &["--service", &"0".repeat(64)]);
    assert_eq!(other.refused(), "receipt.service");

    let text = std::fs::read_to_string(&receipt).unwrap();
    let (_, evidence) = home.residents().swap_remove(0);
    let evidence: Value = serde_json::from_slice(&std::fs::read(evidence).unwrap()).unwrap();
    for (name, value) in evidence.as_object().unwrap() {
        let value = value.as_str().filter(|value| value.len() > 8);
        assert!(!value.is_some_and(|value| text.contains(value)), "{name}");
    }
    let altered = receipt.with_extension("altered");
    let at = text.find("\"pass\":\"").unwrap() + 100;
    let mut bytes = text.into_bytes();
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    std::fs::write(&altered, bytes).unwrap();
    assert!(!bank.audit(&altered, &[]).ok);
    receipt
}

#[test]
fn people_sign_in_across_the_border_until_one_side_suspends_it() {
    let Neighbours { cn, intl } = Neighbours::start();
    for (nation, other) in [(&cn, "intl"), (&intl, "cn")] {
        let shown = standing(nation, other);
        assert_eq!(shown["standing"], "active");
        let kinds = shown["accepts"].as_array().unwrap();
        assert_eq!(kinds.len(), 3);
        let (_, evidence) = nation.residents().swap_remove(0);
        nation.enrol("a", &evidence).done();
    }

    // Both ways, as the same person each time, and as somebody else than at home.
    for (home, there) in [(&cn, &intl), (&intl, &cn)] {
        let unasked = home.wallet("a", &["login", &there.url("services/0")]);
        assert_eq!(unasked.refused(), "vp.declined");
        let first = abroad(home, "a", there).done();
        let again = abroad(home, "a", there).done();
        let me = there.me(0, &first);
        assert_eq!(me["sub"], first["subject"]);
        assert_eq!(there.me(0, &again)["sub"], me["sub"]);
        let did = first["did"].as_str().unwrap();
        assert!(did.starts_with(&format!(
            "did:rdid:{}:",
            home.ready["network"].as_str().unwrap()
        )));
        let own = home.login("a", 0).done();
        assert_ne!(own["subject"], first["subject"]);
        // It resolves from the other side, with proof.
        home.wallet("a", &["did", "anchor", did]).done();
        let node = there.url("node");
        let resolved = there.run(&["resolve", did, "--node", &node]).done();
        assert_eq!(resolved["didDocument"]["id"], did);
        assert_eq!(resolved["didResolutionMetadata"]["verified"], true);
    }
    // The relays have shown each ledger how far the other one is.
    for (nation, other) in [(&cn, "intl"), (&intl, "cn")] {
        until("a relayed checkpoint", Duration::from_secs(60), || {
            standing(nation, other)["latest"]["height"].as_u64()
        });
    }

    let bank = Bank::open(&intl, &cn);
    let receipt = customer(&bank, &cn);

    // One governance suspends: its services take nobody from there, and all else goes on.
    let suspend = ["network", "suspend", "cn", "--reason", "legal-order"];
    intl.run(&suspend).done();
    until(
        "logins from cn are refused",
        Duration::from_secs(60),
        || {
            let outcome = abroad(&cn, "a", &intl);
            (!outcome.ok).then(|| assert_eq!(outcome.refused(), "recognition.suspended"))
        },
    );
    intl.login("a", 0).done();
    cn.login("a", 0).done();
    // The other direction is the other governance's to end. People of intl are still welcome in cn, but
    // their own network no longer vouches for services there.
    let refused = abroad(&intl, "a", &cn);
    assert_eq!(refused.refused(), "recognition.suspended");
    assert_eq!(standing(&cn, "intl")["standing"], json!("active"));
    // What was shown before is still proved: it is judged by what stood then.
    bank.audit(&receipt, &[]).done();

    let restore = ["network", "restore", "cn", "--reason", "cleared"];
    intl.run(&restore).done();
    until(
        "logins from cn are taken again",
        Duration::from_secs(60),
        || abroad(&cn, "a", &intl).ok.then_some(()),
    );
    abroad(&intl, "a", &cn).done();
}
