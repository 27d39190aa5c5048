//! Credo, a wallet, issuer and verifier that others wrote for the same standards (OpenID4VCI 1.0,
//! OpenID4VP 1.0, HAIP 1.0), against a running nation: what the one gives the other takes, and what is
//! wrong is refused by its code.
//!
//! What is Credo's own limit (0.6.3) and so not asked of it:
//! - SD-JWT VCs of an issuer that it knows by a certificate or a DID alone, so it takes `pid-sd-jwt-x5c`, which
//!   an authorization code opens, and not the `pid-sd-jwt` that an enrolment offers;
//! - clients of the prefixes `x509_san_dns`, `x509_hash`, `decentralized_identifier` and `redirect_uri`, so a gate asks
//!   it under a certificate or by a DID, for a PID alone ([spec/login.md](../../../../spec/login.md), V22 to V24);
//! - a new nonce for each request, which it asks for once, so it asks for one format after the other;
//! - no `wallet_nonce`, and no signed metadata.

use crate::nation::{Nation, PROGRAM, until};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use realdid_core::suite::{SecretKey, Suite};
use realdid_exchange::tag::{
    CardEvidence, EnrolmentRequest, EnrolmentResponse, blind, enrolment_commitment, normalise,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// How long Credo may take for one command.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where the website gets its people back: nobody listens there.
const REDIRECT: &str = "http://127.0.0.1:9/callback";

/// A program on Credo, which answers lines of JSON by lines of JSON. It ends with the test.
struct Credo {
    child: Child,
    input: ChildStdin,
    lines: mpsc::Receiver<String>,
}

/// How a command was refused: by our code, where the refusal was ours, and in Credo's words.
#[derive(Debug)]
struct Refused {
    code: Option<String>,
    text: String,
}

impl Credo {
    fn start(script: &str, args: &[&str]) -> (Self, Value) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peer");
        assert!(
            folder.join("node_modules").is_dir(),
            "Credo is installed by `cargo xtask test`, or by `npm ci --ignore-scripts` in {}",
            folder.display()
        );
        let mut child = Command::new("node")
            .args(["--no-warnings", script])
            .args(args)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node starts");
        let output = BufReader::new(child.stdout.take().unwrap());
        let input = child.stdin.take().unwrap();
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines() {
                let Ok(()) = sender.send(line.unwrap()) else {
                    break;
                };
            }
        });
        let mut credo = Self {
            child,
            input,
            lines,
        };
        let ready = credo.answer().unwrap();
        (credo, ready)
    }

    fn answer(&mut self) -> Result<Value, Refused> {
        let line = self.lines.recv_timeout(PATIENCE).expect("Credo answers");
        let mut line: Value = serde_json::from_str(&line).expect("in JSON");
        match line.get("failed") {
            None => Ok(line["done"].take()),
            Some(failed) => Err(Refused {
                code: failed["code"].as_str().map(str::to_owned),
                text: failed["text"].as_str().unwrap().to_owned(),
            }),
        }
    }

    fn ask(&mut self, what: &str, mut with: Value) -> Result<Value, Refused> {
        with["do"] = what.into();
        writeln!(self.input, "{with}").unwrap();
        self.answer()
    }

    #[track_caller]
    fn done(&mut self, what: &str, with: Value) -> Value {
        match self.ask(what, with) {
            Ok(done) => done,
            Err(refused) => panic!("{what}: {refused:?}"),
        }
    }

    /// The code of ours by which a command was refused.
    #[track_caller]
    fn refused(&mut self, what: &str, with: Value) -> String {
        match self.ask(what, with) {
            Ok(done) => panic!("{what} was done: {done}"),
            Err(refused) => refused
                .code
                .clone()
                .unwrap_or_else(|| panic!("{what}, by Credo itself: {refused:?}")),
        }
    }

    /// What Credo says where it refuses itself.
    #[track_caller]
    fn refuses(&mut self, what: &str, with: Value) -> String {
        match self.ask(what, with) {
            Ok(done) => panic!("{what} was done: {done}"),
            Err(refused) => {
                assert_eq!(refused.code, None, "{what}: {refused:?}");
                refused.text
            }
        }
    }
}

impl Drop for Credo {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

// ---- HTTP, as a browser and a website use it ----------------------------------------------

struct Reply {
    status: u16,
    location: Option<String>,
    cookie: Option<String>,
    body: String,
}

impl Reply {
    #[track_caller]
    fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        serde_json::from_str(&self.body).unwrap()
    }
}

fn http(build: impl FnOnce(&reqwest::Client) -> reqwest::RequestBuilder) -> Reply {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(20))
            .build()
            .unwrap();
        let response = build(&client).send().await.unwrap();
        let header = |name: &str| {
            let value = response.headers().get(name);
            value.map(|value| value.to_str().unwrap().to_owned())
        };
        Reply {
            status: response.status().as_u16(),
            location: header("location"),
            cookie: header("set-cookie"),
            body: response.text().await.unwrap(),
        }
    })
}

fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish()
}

fn post_form(url: &str, fields: &[(&str, &str)]) -> Reply {
    let form = form(fields);
    http(|client| {
        client
            .post(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form)
    })
}

fn query_of(url: &str, name: &str) -> String {
    let url = url::Url::parse(url).unwrap();
    let found = url.query_pairs().find(|(key, _)| key == name);
    found.unwrap().1.into_owned()
}

// ---- the gate -----------------------------------------------------------------------------

/// A root, and a leaf below it in the files that a gate reads.
fn certificates(folder: &Path) -> String {
    let params = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let [ca_key, key] = [(); 2].map(|()| KeyPair::generate().unwrap());
    let mut root = params("Access CA");
    root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let root_pem = root.self_signed(&ca_key).unwrap().pem();
    let mut leaf = params("Night Market");
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.subject_alt_names = vec![SanType::DnsName("localhost".try_into().unwrap())];
    leaf.use_authority_key_identifier_extension = true;
    let leaf = leaf.signed_by(&key, &Issuer::new(root, ca_key)).unwrap();
    std::fs::write(folder.join("access.pem"), leaf.pem()).unwrap();
    std::fs::write(folder.join("access-key.pem"), key.serialize_pem()).unwrap();
    root_pem
}

/// A gate whose one client asks for two claims of a PID, and knows nobody again.
struct Verifier {
    /// Where the website gets its people back.
    redirect: String,
    url: String,
    client: Value,
    root: String,
    gate: Child,
}

impl Drop for Verifier {
    fn drop(&mut self) {
        let _ended = self.gate.kill();
        let _reaped = self.gate.wait();
    }
}

/// A login that waits for a wallet.
struct Login {
    verifier: String,
    cookie: String,
    told: Value,
    link: String,
    own_link: String,
}

/// How a gate is set up.
struct Named {
    /// The host of its public URL.
    host: &'static str,
    /// What its configuration says of the client id.
    lines: String,
}

impl Verifier {
    /// By the hash of a certificate.
    fn open(nation: &Nation) -> Self {
        let named = |_: &Path| Named {
            host: "127.0.0.1",
            lines: String::new(),
        };
        Self::open_as(nation, REDIRECT, named)
    }

    /// `named` is told the folder with the files of the certificate.
    fn open_as(nation: &Nation, redirect: &str, named: impl FnOnce(&Path) -> Named) -> Self {
        let listen = format!("127.0.0.1:{}", nation.port_base + 38);
        let made = tempfile::tempdir().unwrap();
        let root = certificates(made.path());
        let Named { host, lines } = named(made.path());
        let gate = format!("{host}:{}", nation.port_base + 38);
        let folder = nation.dir.join("gates/credo");
        let register = [
            "gate",
            "register",
            "--domain",
            &gate,
            "--purpose",
            "kyc",
            "--claim",
            "given_name",
            "--claim",
            "age_equal_or_over.18",
            "--accounts",
            "none",
            "--redirect-uri",
            redirect,
            "--gate-dir",
            folder.to_str().unwrap(),
        ];
        let registered = nation.run(&register).done();
        for file in ["access.pem", "access-key.pem"] {
            std::fs::copy(made.path().join(file), folder.join(file)).unwrap();
        }
        let config = registered["config"].as_str().unwrap();
        let written = std::fs::read_to_string(config).unwrap();
        let certified = written.replacen("# access = ", &format!("{lines}access = "), 1);
        assert_ne!(certified, written);
        std::fs::write(config, certified).unwrap();
        let client = std::fs::read(registered["client"].as_str().unwrap()).unwrap();
        let log = std::fs::File::create(nation.dir.join("logs/credo-gate.log")).unwrap();
        let gate = Command::new(PROGRAM)
            .args(["gate", "--config", config, "--listen", &listen])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let client: Value = serde_json::from_slice(&client).unwrap();
        let verifier = Self {
            redirect: redirect.to_owned(),
            url: client["issuer"].as_str().unwrap().to_owned(),
            client,
            root,
            gate,
        };
        until("a gate that is ready", Duration::from_secs(30), || {
            std::net::TcpStream::connect(&listen).ok()?;
            let ready = http(|client| client.get(format!("{}/readyz", verifier.url)));
            (ready.status == 200).then_some(())
        });
        verifier
    }

    fn text(&self, name: &str) -> &str {
        self.client[name].as_str().unwrap()
    }

    /// Where a browser begins a login, and the website's secret of it.
    fn begins(&self) -> (String, String) {
        let verifier = URL_SAFE_NO_PAD.encode([7; 32]);
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
        let query = form(&[
            ("client_id", self.text("client_id")),
            ("redirect_uri", &self.redirect),
            ("response_type", "code"),
            ("scope", "openid"),
            ("state", "here"),
            ("nonce", "n-1"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        (format!("{}/authorize?{query}", self.url), verifier)
    }

    /// A browser begins a login.
    fn login(&self) -> Login {
        let (url, verifier) = self.begins();
        let begun = http(|client| client.get(url).header("accept", "application/json"));
        let told = begun.json();
        let text = |name: &str| told[name].as_str().unwrap().to_owned();
        let cookie = begun.cookie.unwrap();
        Login {
            verifier,
            cookie: cookie.split(';').next().unwrap().to_owned(),
            link: text("other_wallet_link"),
            own_link: text("wallet_link"),
            told,
        }
    }

    /// The browser goes on where the wallet was told, and the website redeems the code: its ID token.
    fn finish(&self, login: &Login, redirect_uri: &str) -> Value {
        let back = http(|client| client.get(redirect_uri).header("cookie", &login.cookie));
        assert_eq!(back.status, 303, "{}", back.body);
        self.redeem(&back.location.unwrap(), &login.verifier)
    }

    /// The website redeems the code that came to it: its ID token.
    fn redeem(&self, back: &str, verifier: &str) -> Value {
        assert!(back.starts_with(&self.redirect), "{back}");
        let tokens = post_form(
            &format!("{}/token", self.url),
            &[
                ("grant_type", "authorization_code"),
                ("code", &query_of(back, "code")),
                ("redirect_uri", &self.redirect),
                ("code_verifier", verifier),
                ("client_id", self.text("client_id")),
                ("client_secret", self.text("client_secret")),
            ],
        );
        let tokens = tokens.json();
        let payload = tokens["id_token"].as_str().unwrap().split('.').nth(1);
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload.unwrap()).unwrap()).unwrap()
    }
}

// ---- enrolling ----------------------------------------------------------------------------

/// Enrols somebody as any program could: the offer and its transaction code.
fn enrolled(nation: &Nation, evidence: &str) -> (Value, String) {
    let evidence = std::fs::read(evidence).unwrap();
    let evidence: CardEvidence = serde_json::from_slice(&evidence).unwrap();
    let number = normalise(&evidence.resident_number).unwrap();
    let key = SecretKey::from_seed(Suite::P256, [4; 32]).unwrap().public();
    let request = EnrolmentRequest {
        evidence: evidence.into(),
        blinded: blind(&number, &[6; 32]).unwrap(),
        commitment: enrolment_commitment(&[7; 32], &key),
    };
    let url = format!("{}/v1/enrolments", nation.url("authority"));
    let body = serde_json::to_vec(&request).unwrap();
    let answer = http(|client| {
        client
            .post(url)
            .header("content-type", "application/json")
            .body(body)
    });
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answer: EnrolmentResponse = serde_json::from_str(&answer.body).unwrap();
    let offer = serde_json::to_value(&answer.credential_offer).unwrap();
    (offer, answer.tx_code)
}

// ---- Credo as a wallet --------------------------------------------------------------------

/// A nation, a gate, and Credo as the wallet of its first resident.
struct Town {
    nation: Nation,
    gate: Verifier,
    credo: Credo,
    issuer: String,
    root: String,
    person: String,
    evidence: Value,
    evidence_file: String,
}

impl Town {
    fn new() -> Self {
        Self::with(Verifier::open)
    }

    fn with(open: impl FnOnce(&Nation) -> Verifier) -> Self {
        let nation = Nation::start();
        let gate = open(&nation);
        let (person, evidence_file) = nation.residents().swap_remove(0);
        let evidence = std::fs::read(&evidence_file).unwrap();
        let (credo, _) = Credo::start("wallet.mjs", &[]);
        let issuer = nation.url("authority");
        let root = http(|client| client.get(format!("{issuer}/ca.pem"))).body;
        Self {
            evidence: serde_json::from_slice(&evidence).unwrap(),
            evidence_file,
            nation,
            gate,
            credo,
            issuer,
            root,
            person,
        }
    }

    fn trust(&mut self, roots: &[&str]) {
        self.credo.done("trust", json!({ "roots": roots }));
    }

    /// What an authorization code is asked for with.
    fn authorize(&self, name: &str, more: &Value) -> Value {
        let mut with = json!({
            "name": name,
            "issuer": self.issuer,
            "configurations": ["pid-sd-jwt-x5c", "pid-mdoc"],
            "evidence": self.evidence,
            "copies": 10,
        });
        for (name, value) in more.as_object().unwrap() {
            with[name] = value.clone();
        }
        with
    }

    fn present(&mut self, wrong: &str, format: &str) -> Value {
        let request = self.gate.login().link;
        let with = json!({ "request": request, "format": format, "wrong": wrong });
        self.credo.done("present", with)
    }
}

#[test]
fn a_wallet_of_others_receives_the_pid_and_shows_it_to_a_gate() {
    let mut town = Town::new();
    let name = town.evidence["given_name"].clone();
    let (issuer, root, access) = (
        town.issuer.clone(),
        town.root.clone(),
        town.gate.root.clone(),
    );
    let known = town.credo.done("issuer", json!({ "issuer": issuer }));
    assert_eq!(known["version"], "V1");
    let (offer, tx_code) = enrolled(&town.nation, &town.evidence_file);

    // Credo does not take what a stranger has signed.
    let offered = json!({
        "name": "offered", "offer": offer, "txCode": tx_code,
        "configurations": ["pid-mdoc"], "copies": 2,
    });
    let mut wrong_code = offered.clone();
    wrong_code["txCode"] = "000000".into();
    assert_eq!(town.credo.refused("receive", wrong_code), "vci.grant");

    // By the code that an enrolment brings.
    town.trust(&[&root, &access]);
    let by_code = town.credo.done("receive", offered.clone());
    assert_eq!(by_code["tokenType"], "DPoP");
    assert_eq!(by_code["refreshable"], true);
    let mdoc = &by_code["received"]["pid-mdoc"];
    assert_eq!(
        (&mdoc["copies"], &mdoc["notified"]),
        (&json!(2), &json!(true))
    );
    assert_eq!(mdoc["claims"]["org.realdid.pid.1"]["given_name"], name);
    assert_eq!(town.credo.refused("receive", offered), "vci.grant");

    // By an authorization code, in both formats.
    let with = town.authorize("authorized", &json!({}));
    let by_person = town.credo.done("authorize", with);
    assert_eq!(by_person["tokenType"], "DPoP");
    let received = &by_person["received"];
    assert_eq!(received["pid-sd-jwt-x5c"]["copies"], 10);
    assert_eq!(received["pid-sd-jwt-x5c"]["claims"]["given_name"], name);
    let mdoc = &received["pid-mdoc"]["claims"]["org.realdid.pid.1"];
    assert_eq!(mdoc["given_name"], name);
    let again = json!({
        "from": "authorized", "refresh": true, "name": "refreshed", "configurations": ["pid-mdoc"],
    });
    let refreshed = town.credo.done("again", again);
    assert_eq!(refreshed["received"]["pid-mdoc"]["copies"], 1);

    // Each format signs in at the gate: with what was asked for, and as nobody who came before.
    let mut subjects = Vec::new();
    for format in ["dc+sd-jwt", "mso_mdoc", "dc+sd-jwt"] {
        let login = town.gate.login();
        let with = json!({ "request": login.link, "format": format });
        let shown = town.credo.done("present", with);
        assert_eq!(shown["status"], 200, "{shown}");
        assert_eq!(
            (&shown["client"], &shown["mode"]),
            (&json!("x509_hash"), &json!("direct_post.jwt"))
        );
        let redirect_uri = shown["body"]["redirect_uri"].as_str().unwrap();
        let token = town.gate.finish(&login, redirect_uri);
        assert_eq!(token["given_name"], name);
        assert_eq!(token["age_equal_or_over"]["18"], mdoc["age_over_18"]);
        assert!(token.get("family_name").is_none(), "{token}");
        assert_eq!(token["acr"], "https://realdid.org/acr/pid");
        subjects.push(token["sub"].as_str().unwrap().to_owned());
    }
    subjects.sort();
    subjects.dedup();
    assert_eq!(subjects.len(), 3, "nobody is known again");
}

#[test]
fn what_a_wallet_of_others_does_wrong_is_refused_by_its_code() {
    let mut town = Town::new();
    let (root, access) = (town.root.clone(), town.gate.root.clone());
    let _offer = enrolled(&town.nation, &town.evidence_file);

    // What Credo refuses of ours where it trusts nobody.
    town.trust(&[]);
    let with = town.authorize("strange", &json!({}));
    let text = town.credo.refuses("authorize", with);
    assert!(text.contains("rust"), "{text}");
    town.trust(&[&root]);
    let with = town.authorize("first", &json!({}));
    town.credo.done("authorize", with);
    let login = town.gate.login();
    let text = town
        .credo
        .refuses("present", json!({ "request": login.link }));
    assert!(text.contains("rust"), "an unknown verifier: {text}");
    town.trust(&[&root, &access]);
    let text = town
        .credo
        .refuses("present", json!({ "request": login.own_link }));
    // It knows no verifier attestations.
    assert!(text.contains("unsupported jws signer method"), "{text}");

    // At the authority.
    for (wrong, code) in [
        ("verifier", "vci.grant"),
        ("key", "vci.grant"),
        ("code used twice", "vci.grant"),
        ("nonce used twice", "vci.proof_nonce"),
        ("somebody else's nonce", "vci.proof_nonce"),
        ("for another issuer", "vci.proof_audience"),
        ("one key twice", "vci.proof_keys"),
    ] {
        let with = town.authorize("wrong", &json!({ "wrong": wrong }));
        assert_eq!(town.credo.refused("authorize", with), code, "{wrong}");
    }
    let unknown = town.authorize("wrong", &json!({ "scope": ["pid-paper"] }));
    assert_eq!(town.credo.refused("authorize", unknown), "vci.scope");
    let wider = json!({ "scope": ["pid-mdoc"], "configurations": ["pid-sd-jwt-x5c"] });
    let wider = town.authorize("wrong", &wider);
    let code = "vci.unknown_configuration";
    assert_eq!(town.credo.refused("authorize", wider), code);
    for refresh in [false, true] {
        let stolen = json!({
            "from": "first", "refresh": refresh, "wrong": "key", "name": "stolen", "configurations": ["pid-mdoc"],
        });
        assert_eq!(town.credo.refused("again", stolen), "vci.dpop_key");
    }

    // At the gate, in both formats.
    let good = town.present("", "dc+sd-jwt");
    assert_eq!(good["status"], 200, "{good}");
    for (wrong, code) in [
        ("nonce", "kb.nonce"),
        ("audience", "kb.audience"),
        ("state", "vp.state"),
        ("in the clear", "vp.unencrypted"),
        ("to another key", "vp.response_encryption"),
        ("issuer signature", "credential.signature"),
        ("disclosure", "sd_jwt.disclosure_unreferenced"),
        ("no key binding", "kb.missing"),
        ("key binding of an earlier login", "kb.nonce"),
        ("taken away after binding", "kb.sd_hash"),
        ("made too early", "kb.stale"),
        ("made in the future", "kb.future"),
        ("less than asked", "vp.claim_missing"),
        ("more than asked", "vp.over_disclosed"),
        ("twice", "vp.replayed"),
    ] {
        let said = town.present(wrong, "dc+sd-jwt");
        assert_eq!(said["status"], 400, "{wrong}: {said}");
        assert_eq!(said["body"]["code"], code, "{wrong}: {said}");
    }
    for (wrong, code) in [
        ("nonce", "mdoc.device_signature"),
        ("audience", "mdoc.device_signature"),
        ("state", "vp.state"),
        ("more than asked", "vp.over_disclosed"),
    ] {
        let said = town.present(wrong, "mso_mdoc");
        assert_eq!(said["body"]["code"], code, "{wrong}: {said}");
    }

    // Whom the authority has suspended gets nothing new.
    let person = ["--person", &town.person, "--reason", "lost-device"];
    let suspend = [&["authority", "suspend"], &person[..]].concat();
    town.nation.run(&suspend).done();
    let late = json!({
        "from": "first", "refresh": true, "name": "late", "configurations": ["pid-mdoc"],
    });
    assert_eq!(town.credo.refused("again", late), "enrolment.suspended");

    // What nobody issued, in the authority's name and in a stranger's.
    let claims = json!({ "given_name": "Nobody", "age_equal_or_over": { "18": true } });
    for (iss, code) in [
        (town.issuer.clone(), "credential.kid_unknown"),
        (
            "https://stranger.example".to_owned(),
            "credential.issuer_unknown",
        ),
    ] {
        let forged = json!({ "iss": iss, "vct": "urn:realdid:pid:1", "claims": claims });
        town.credo.done("forge", forged);
        let said = town.present("", "dc+sd-jwt");
        assert_eq!(said["body"]["code"], code, "{iss}: {said}");
    }
}

/// A gate that names itself by its host, by a DID of its own, and to browsers.
fn named_in_every_way(nation: &Nation) -> Verifier {
    // Nobody listens there, and a browser goes there all the same.
    let redirect = format!("http://127.0.0.1:{}/callback", nation.port_base + 47);
    Verifier::open_as(nation, &redirect, |folder| {
        let pem = std::fs::read_to_string(folder.join("access-key.pem")).unwrap();
        let key = KeyPair::from_pem(&pem).unwrap();
        let point = key.public_key_raw();
        let (x, y) = point[1..].split_at(32);
        let jwk = json!({
            "crv": "P-256", "kty": "EC",
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        });
        let id = URL_SAFE_NO_PAD.encode(jwk.to_string());
        Named {
            host: "localhost",
            lines: format!(
                "access_name = \"x509_san_dns\"\n\
                 access_did = {{ id = \"did:jwk:{id}#0\", key = \"access-key.pem\" }}\n"
            ),
        }
    })
}

/// A town whose Credo holds the PID of somebody with this given name, and trusts the gate under each of its
/// names.
fn holding_a_pid() -> (Town, Value) {
    let mut town = Town::with(named_in_every_way);
    let _offer = enrolled(&town.nation, &town.evidence_file);
    let (root, access) = (town.root.clone(), town.gate.root.clone());
    town.trust(&[&root, &access]);
    let with = town.authorize("first", &json!({}));
    town.credo.done("authorize", with);
    let name = town.evidence["given_name"].clone();
    (town, name)
}

/// The requests of a login for its browser.
fn browser_requests(gate: &Verifier, id: &str, cookie: &str) -> Reply {
    let url = format!("{}/vp/request/{id}/browser", gate.url);
    http(|client| client.get(url).header("cookie", cookie))
}

/// The login's id in the addresses of its requests.
fn id_of(login: &Login) -> String {
    let uri = login.told["request_uri"].as_str().unwrap();
    uri.rsplit('/').next().unwrap().to_owned()
}

#[test]
fn a_wallet_of_others_is_asked_by_a_host_and_by_a_did() {
    let (mut town, name) = holding_a_pid();
    for (link, prefix) in [
        ("other_wallet_link", "x509_san_dns"),
        ("did_wallet_link", "decentralized_identifier"),
    ] {
        for format in ["dc+sd-jwt", "mso_mdoc"] {
            let login = town.gate.login();
            let with = json!({ "request": login.told[link], "format": format });
            let shown = town.credo.done("present", with);
            assert_eq!(shown["status"], 200, "{link} {shown}");
            assert_eq!(shown["client"], prefix);
            let redirect_uri = shown["body"]["redirect_uri"].as_str().unwrap();
            let token = town.gate.finish(&login, redirect_uri);
            assert_eq!(token["given_name"], name, "{link}");
        }
        // What is shown to one of its names is nothing to the other.
        let login = town.gate.login();
        let with =
            json!({ "request": login.told[link], "format": "dc+sd-jwt", "wrong": "audience" });
        let said = town.credo.done("present", with);
        assert_eq!(said["body"]["code"], "kb.audience", "{link}: {said}");
    }
    // Without the root of its certificate Credo does not know the host, and the DID says who it is itself.
    let root = town.root.clone();
    town.trust(&[&root]);
    let login = town.gate.login();
    let with = json!({ "request": login.told["other_wallet_link"] });
    let text = town.credo.refuses("present", with);
    assert!(text.contains("rust"), "{text}");
    // A did:jwk is its own document: only a did:web of this host is served.
    let document = http(|client| client.get(format!("{}/.well-known/did.json", town.gate.url)));
    assert_eq!(document.status, 404);
    assert!(document.body.contains("access.no_did"), "{}", document.body);
}

#[test]
fn a_wallet_of_others_answers_through_a_browsers_digital_credentials_api() {
    let (mut town, name) = holding_a_pid();
    let origin = town.gate.url.clone();
    let mut answer = |requests: &Value, place: usize, format: &str, wrong: &str| {
        let one = &requests["requests"][place];
        assert_eq!(one["protocol"], "openid4vp-v1-signed");
        let with = json!({
            "request": one["data"], "format": format, "wrong": wrong, "origin": origin,
        });
        let made = town.credo.done("present", with);
        assert_eq!(made["mode"], "dc_api.jwt");
        json!({ "protocol": "openid4vp-v1-signed", "data": made["shown"] })
    };

    // What a page does, by a program.
    let gate = &town.gate;
    let post = |id: &str, cookie: &str, body: &Value| {
        let url = format!("{}/vp/response/{id}/browser", gate.url);
        http(|client| client.post(url).header("cookie", cookie).json(body))
    };
    for (place, format) in [
        (0, "dc+sd-jwt"),
        (0, "mso_mdoc"),
        (1, "dc+sd-jwt"),
        (1, "mso_mdoc"),
    ] {
        let login = gate.login();
        let id = id_of(&login);
        let requests = browser_requests(gate, &id, &login.cookie).json();
        let made = answer(&requests, place, format, "");
        let said = post(&id, &login.cookie, &made).json();
        let redirect_uri = said["redirect_uri"].as_str().unwrap();
        let token = gate.finish(&login, redirect_uri);
        assert_eq!(token["given_name"], name, "{place} {format}");
    }
    let login = gate.login();
    let id = id_of(&login);
    let refused = |reply: &Reply| {
        let body: Value = serde_json::from_str(&reply.body).unwrap();
        body["code"].as_str().unwrap().to_owned()
    };
    let strange = browser_requests(gate, &id, "rdid=of-another");
    assert_eq!(refused(&strange), "login.other_browser");
    let requests = browser_requests(gate, &id, &login.cookie).json();
    let good = answer(&requests, 0, "dc+sd-jwt", "");
    assert_eq!(
        refused(&post(&id, "rdid=of-another", &good)),
        "login.other_browser"
    );
    let clear = json!({ "protocol": good["protocol"], "data": { "vp_token": { "pid": ["x"] } } });
    assert_eq!(refused(&post(&id, &login.cookie, &clear)), "vp.unencrypted");
    let unsigned = json!({ "protocol": "openid4vp-v1-unsigned", "data": good["data"] });
    let said = post(&id, &login.cookie, &unsigned);
    assert_eq!(refused(&said), "vp.response_malformed");
    for (format, code) in [
        ("dc+sd-jwt", "kb.audience"),
        ("mso_mdoc", "mdoc.device_signature"),
    ] {
        let elsewhere = answer(&requests, 0, format, "another page");
        let said = post(&id, &login.cookie, &elsewhere);
        assert_eq!(refused(&said), code, "{format}");
    }
    assert_eq!(post(&id, &login.cookie, &good).status, 200);
    assert_eq!(refused(&post(&id, &login.cookie, &good)), "vp.replayed");

    // And by the page itself, in a browser with a wallet.
    let (mut browser, _) = Credo::start("browser.mjs", &[]);
    let (url, verifier) = gate.begins();
    browser.done("open", json!({ "url": url }));
    let see = |browser: &mut Credo, expression: &str| {
        browser.done("see", json!({ "expression": expression }))
    };
    let shown = "!document.getElementById('browser').hidden";
    browser.done("wait", json!({ "expression": shown }));
    browser.done("wallet", json!({ "action": "decline" }));
    browser.done("click", json!({ "selector": "#ask-browser" }));
    let said = "document.getElementById('browser-said').textContent";
    let declined = format!("{said}.includes('No wallet answered')");
    browser.done("wait", json!({ "expression": declined }));
    let requests = see(
        &mut browser,
        "fetch(`/vp/request/${document.getElementById('browser').dataset.login}/browser`)\
         .then((answer) => answer.json())",
    );
    let elsewhere = answer(&requests, 0, "dc+sd-jwt", "another page");
    let wallet = |made: &Value| {
        json!({
            "action": "respond", "protocol": made["protocol"], "response": made["data"],
        })
    };
    browser.done("wallet", wallet(&elsewhere));
    browser.done("click", json!({ "selector": "#ask-browser" }));
    let refused = format!("{said}.includes('The rule:')");
    browser.done("wait", json!({ "expression": refused }));
    let made = answer(&requests, 0, "dc+sd-jwt", "");
    browser.done("wallet", wallet(&made));
    browser.done("click", json!({ "selector": "#ask-browser" }));
    let back = browser.done("goes", json!({ "to": gate.redirect }));
    let token = gate.redeem(back.as_str().unwrap(), &verifier);
    assert_eq!(token["given_name"], name);
}

// ---- Credo as an issuer -------------------------------------------------------------------

/// Credo as an issuer and a verifier, beside a nation whose resident has enrolled.
struct Party {
    nation: Nation,
    credo: Credo,
    issuer: String,
    root: String,
    strange: String,
    /// By which its verifier can name itself, by method.
    dids: Value,
}

impl Party {
    fn new() -> Self {
        Self::beside(Nation::start())
    }

    fn beside(nation: Nation) -> Self {
        let (_, evidence) = nation.residents().swap_remove(0);
        nation.enrol("a", &evidence).done();
        let port = (nation.port_base + 49).to_string();
        let (credo, ready) = Credo::start("party.mjs", &[&port]);
        let file = |name: &str| {
            let path = nation.dir.join(format!("{name}.pem"));
            std::fs::write(&path, ready[name].as_str().unwrap()).unwrap();
            path.to_str().unwrap().to_owned()
        };
        Self {
            root: file("root"),
            strange: file("strange"),
            issuer: ready["issuer"].as_str().unwrap().to_owned(),
            dids: ready["dids"].clone(),
            nation,
            credo,
        }
    }

    /// An offer and its transaction code; `wrong` is what is wrong with the credential.
    fn offer(&mut self, configuration: &str, wrong: Value) -> (String, String) {
        let with = json!({ "configurations": [configuration], "wrong": wrong });
        let offer = self.credo.done("offer", with);
        let text = |name: &str| offer[name].as_str().unwrap().to_owned();
        (text("offer"), text("txCode"))
    }

    fn receive(&self, (offer, code): &(String, String), root: &str) -> crate::nation::Answer {
        let words = ["receive", offer, "--tx-code", code, "--issuer-root", root];
        self.nation.wallet("a", &words)
    }
}

#[test]
fn our_wallet_receives_from_an_issuer_of_others_what_is_sound_and_nothing_else() {
    let mut party = Party::new();
    let (root, strange) = (party.root.clone(), party.strange.clone());
    for (configuration, format, kind) in [
        ("member", "dc+sd-jwt", "https://credo.example/member"),
        ("licence", "mso_mdoc", "org.iso.18013.5.1.mDL"),
    ] {
        let offer = party.offer(configuration, json!({}));
        let received = party.receive(&offer, &root).done();
        let credential = &received["credentials"][0];
        assert_eq!(credential["format"], format);
        assert_eq!(credential["type"], kind);
        assert_eq!(credential["issuer"], party.issuer);
        assert_eq!(credential["copies"], 10);
        assert_eq!(credential["onLedger"], false);
        // An offer is good once: Credo shows a used one to nobody.
        assert_eq!(party.receive(&offer, &root).refused(), "http.status");
    }
    // HAIP 1.0: the certificate names the issuer, so that the credential need not.
    let offer = party.offer("member", json!({"names": "nobody"}));
    party.receive(&offer, &root).done();
    let before = party_credentials(&party.nation);

    for (configuration, wrong, root, code) in [
        ("member", json!({}), &strange, "x509.chain"),
        ("licence", json!({}), &strange, "mdoc.issuer_unknown"),
        (
            "member",
            json!({"certificate": "strange"}),
            &root,
            "x509.chain",
        ),
        (
            "licence",
            json!({"certificate": "strange"}),
            &root,
            "mdoc.issuer_unknown",
        ),
        (
            "member",
            json!({"certificate": "expired"}),
            &root,
            "x509.time",
        ),
        (
            "licence",
            json!({"certificate": "expired"}),
            &root,
            "mdoc.issuer_unknown",
        ),
        (
            "licence",
            json!({"certificate": "for another address"}),
            &root,
            "mdoc.issuer_unknown",
        ),
        (
            "member",
            json!({"certificate": "for another address", "names": "nobody"}),
            &root,
            "credential.issuer_unknown",
        ),
        (
            "member",
            json!({"names": "another"}),
            &root,
            "credential.issuer_unknown",
        ),
        (
            "member",
            json!({"otherHolder": true}),
            &root,
            "sd_jwt.holder_key",
        ),
        (
            "licence",
            json!({"otherHolder": true}),
            &root,
            "mdoc.device_key",
        ),
        (
            "member",
            json!({"lifeS": -120}),
            &root,
            "credential.expired",
        ),
        ("licence", json!({"lifeS": -120}), &root, "mdoc.expired"),
        (
            "member",
            json!({"laterS": 900}),
            &root,
            "credential.not_yet_valid",
        ),
        ("pid", json!({}), &root, "credential.issuer_unknown"),
    ] {
        let offer = party.offer(configuration, wrong.clone());
        let refused = party.receive(&offer, root);
        assert_eq!(refused.refused(), code, "{configuration}, {wrong}");
    }
    // Without a root the issuer's own word would do, and Credo publishes none.
    let (offer, tx_code) = party.offer("member", json!({}));
    let words = ["receive", &offer, "--tx-code", &tx_code];
    assert_eq!(party.nation.wallet("a", &words).refused(), "http.status");
    let (offer, _) = party.offer("member", json!({}));
    let guessed = party.receive(&(offer, "00000".to_owned()), &root);
    assert_eq!(guessed.refused(), "invalid_grant");
    assert_eq!(
        party_credentials(&party.nation),
        before,
        "nothing was stored"
    );
}

#[test]
fn a_verifier_of_others_is_shown_what_the_person_allows_and_nothing_else() {
    let mut party = Party::new();
    let root = party.root.clone();
    for configuration in ["member", "licence"] {
        let offer = party.offer(configuration, json!({}));
        party.receive(&offer, &root).done();
    }
    let ca = |party: &Party, word: &str, what: &str| {
        let answer = party.nation.wallet("a", &["ca", word, what]).done();
        answer["authorities"].clone()
    };
    let ask = |party: &mut Party, with: Value| {
        let asked = party.credo.done("ask", with);
        let text = |name: &str| asked[name].as_str().unwrap().to_owned();
        (text("request"), text("session"))
    };
    let present = |party: &Party, request: &str, allow: &[&str]| {
        let mut words = vec!["present", request];
        words.extend(allow.iter().flat_map(|claim| ["--allow", claim]));
        party.nation.wallet("a", &words)
    };
    let (level, name) = (
        "https://credo.example/member:level",
        "org.iso.18013.5.1.mDL:org.iso.18013.5.1.given_name",
    );

    // Whom nobody vouches for that the person trusts learns nothing.
    let member = json!({ "of": "member", "claims": ["level"] });
    let (request, session) = ask(&mut party, member.clone());
    assert_eq!(
        present(&party, &request, &[level]).refused(),
        "vp.no_authority"
    );
    let digest = ca(&party, "add", &root)[0]["digest"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(present(&party, &request, &[]).refused(), "vp.declined");
    let asked = party.credo.done("asked", json!({ "session": session }));
    assert_ne!(asked["state"], "ResponseVerified");

    // Credo verifies issuer, holder and nonce, in both formats and under both names of a certificate.
    for (with, allow, shown) in [
        (member.clone(), level, json!({ "level": "gold" })),
        (
            json!({ "of": "member", "claims": ["level"], "as": "x509_san_dns" }),
            level,
            json!({ "level": "gold" }),
        ),
        (
            json!({ "of": "licence", "claims": ["given_name"] }),
            name,
            json!({ "org.iso.18013.5.1": { "given_name": "Perpetua" } }),
        ),
    ] {
        let (request, session) = ask(&mut party, with.clone());
        let answer = present(&party, &request, &[allow]).done();
        assert_eq!(answer["claims"], json!([allow]), "{with}");
        assert!(answer["service"].is_null() && answer["did"].is_null());
        let asked = party.credo.done("asked", json!({ "session": session }));
        assert_eq!(asked["state"], "ResponseVerified", "{with}: {asked}");
        for (claim, value) in shown.as_object().unwrap() {
            assert_eq!(asked["claims"][0][claim], *value, "{asked}");
        }
        for hidden in ["since", "given_name", "family_name"] {
            assert!(asked["claims"][0].get(hidden).is_none(), "{asked}");
        }
        // A request is answered once.
        let again = present(&party, &request, &[allow]);
        assert!(!again.ok, "{}", again.json);
    }

    // A DID is trusted by itself, once or from now on.
    for method in ["jwk", "key", "web"] {
        let did = party.dids[method].as_str().unwrap().to_owned();
        let with = json!({ "of": "member", "claims": ["level"], "as": method });
        let (request, session) = ask(&mut party, with.clone());
        let refused = present(&party, &request, &[level]);
        assert_eq!(refused.refused(), "vp.did_untrusted", "{method}");
        let once = ["present", &request, "--allow", level, "--trust-did", &did];
        let answer = party.nation.wallet("a", &once).done();
        assert_eq!(answer["verifier"]["authority"], did.as_str());
        let asked = party.credo.done("asked", json!({ "session": session }));
        assert_eq!(asked["state"], "ResponseVerified", "{method}: {asked}");
        assert_eq!(asked["claims"][0]["level"], "gold", "{asked}");

        ca(&party, "add-did", &did);
        let (request, _) = ask(&mut party, with.clone());
        present(&party, &request, &[level]).done();
        ca(&party, "remove", &did);
        let (request, _) = ask(&mut party, with);
        let refused = present(&party, &request, &[level]);
        assert_eq!(refused.refused(), "vp.did_untrusted", "{method}");
    }

    // What asks otherwise, or for what nobody has, is shown nothing.
    for (with, allow, code) in [
        (
            json!({ "of": "member", "claims": ["level"], "as": "redirect_uri" }),
            level,
            // Unsigned: it stands in the link itself.
            "vp.link_malformed",
        ),
        (
            json!({ "of": "member", "claims": ["level"], "mode": "direct_post" }),
            level,
            "vp.certified_ask",
        ),
        (json!({ "of": "member", "claims": [] }), level, "vp.query"),
        (
            json!({ "of": "member", "claims": ["level"], "certificate": "strange" }),
            level,
            "vp.certificate_chain",
        ),
        (
            json!({ "of": "member", "claims": ["level"], "certificate": "expired" }),
            level,
            "vp.certificate_time",
        ),
        (
            json!({ "of": "member", "claims": ["shoe_size"] }),
            level,
            "dcql.claim_missing",
        ),
        (
            json!({ "of": "pid", "claims": [["given_name"]] }),
            level,
            "credential.none",
        ),
        (
            json!({
                "of": "member", "claims": ["level"],
                "query": { "claims": [{ "path": ["level"], "values": ["iron"] }] },
            }),
            level,
            "dcql.value_mismatch",
        ),
        (
            json!({
                "of": "member", "claims": ["level"],
                "query": { "trusted_authorities": [{ "type": "aki", "values": ["AQID"] }] },
            }),
            level,
            "dcql.other_authority",
        ),
        (
            json!({ "of": "member", "claims": ["level", "given_name"] }),
            level,
            "vp.declined",
        ),
        (
            json!({ "of": "licence", "claims": ["given_name"] }),
            level,
            "vp.declined",
        ),
    ] {
        let (request, session) = ask(&mut party, with.clone());
        let refused = present(&party, &request, &[allow]);
        assert_eq!(refused.refused(), code, "{with}");
        let asked = party.credo.done("asked", json!({ "session": session }));
        assert_ne!(asked["state"], "ResponseVerified", "{with}");
    }
    ca(&party, "remove", &digest);
    let (request, _) = ask(&mut party, member);
    assert_eq!(
        present(&party, &request, &[level]).refused(),
        "vp.no_authority"
    );

    // The journal has each time, with who it was.
    let journal = party.nation.wallet("a", &["journal"]).done();
    let disclosures = journal["disclosures"].as_array().unwrap();
    let shown = disclosures
        .iter()
        .filter(|one| one["outcome"] == "accepted");
    assert_eq!(shown.count(), 9);
}

fn party_credentials(nation: &Nation) -> Value {
    nation.wallet("a", &["show"]).done()["credentials"].clone()
}

#[test]
fn in_a_network_of_sm2_the_wallet_shows_others_what_is_signed_by_p256() {
    let mut party = Party::beside(Nation::start_with("did", "sm"));
    let root = party.root.clone();
    party.nation.wallet("a", &["ca", "add", &root]).done();
    // Credo knows the authority by its certificate, and no SM2.
    let ca = http(|client| client.get(format!("{}/ca.pem", party.nation.url("authority")))).body;
    party.credo.done("trust", json!({ "roots": [ca] }));
    let held = |party: &Party| {
        let shown = party.nation.wallet("a", &["show"]).done();
        let credentials = shown["credentials"].as_array().unwrap().clone();
        let count = |suite: &str, format: &str| {
            let mut all = credentials.iter();
            let of = all.find(|one| one["suite"] == suite && one["format"] == format);
            of.unwrap()["copies"].as_u64().unwrap()
        };
        (count("sm2", "dc+sd-jwt"), count("p256", "dc+sd-jwt"))
    };
    let (of_network, of_outside) = held(&party);
    let asked = party.credo.done(
        "ask",
        json!({ "of": "resident", "claims": [["given_name"]] }),
    );
    let request = asked["request"].as_str().unwrap();
    party
        .nation
        .wallet("a", &["present", request, "--allow", "given_name"])
        .done();
    let said = party
        .credo
        .done("asked", json!({ "session": asked["session"] }));
    assert_eq!(said["state"], "ResponseVerified", "{said}");
    assert!(said["claims"][0]["given_name"].is_string(), "{said}");
    assert_eq!(held(&party), (of_network, of_outside - 1));
    // The network's own services take what is signed by its suite.
    party.nation.login("a", 0).done();
    assert_eq!(held(&party), (of_network - 1, of_outside - 1));
}
