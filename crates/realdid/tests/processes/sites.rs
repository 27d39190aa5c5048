//! Websites of other people's making, on stock OpenID Connect libraries, sign people in through a
//! gate: the three sites of docs/add-sign-in.md (`openid-client` under Express, `authlib` under Django,
//! `openidconnect` under axum), each with its own gate, registered in one step.

use crate::nation::{Nation, PROGRAM, get, until};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// A website and its gate.
struct Site {
    url: String,
    _gate: Running,
    _site: Running,
}

/// A process that ends with the test, wherever that fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap().to_owned()
}

/// What the website is given: an address, and the client that `realdid gate register` made.
fn open(nation: &Nation, place: u16, program: &mut Command) -> Site {
    let [gate, site] = [35, 45].map(|of| format!("127.0.0.1:{}", nation.port_base + of + place));
    let url = format!("http://{site}");
    let folder = nation.dir.join(format!("gates/site-{place}"));
    let made = nation
        .run(&[
            "gate",
            "register",
            "--domain",
            &gate,
            "--domain",
            &site,
            "--purpose",
            "login",
            "--accounts",
            "did",
            "--redirect-uri",
            &format!("{url}/callback"),
            "--gate-dir",
            folder.to_str().unwrap(),
        ])
        .done();
    let client = std::fs::read(text(&made, "client")).unwrap();
    let client: Value = serde_json::from_slice(&client).unwrap();
    let log = |name: &str| {
        let path = nation.dir.join(format!("logs/{name}-{place}.log"));
        std::fs::File::create(path).unwrap()
    };
    let gate = Command::new(PROGRAM)
        .args(["gate", "--config", &text(&made, "config")])
        .stdin(Stdio::null())
        .stdout(log("gate"))
        .stderr(log("gate-errors"))
        .spawn()
        .map(Running)
        .unwrap();
    let site = program
        .env("LISTEN", &site)
        .env("PUBLIC_URL", &url)
        .env("OIDC_ISSUER", text(&client, "issuer"))
        .env("OIDC_CLIENT_ID", text(&client, "client_id"))
        .env("OIDC_CLIENT_SECRET", text(&client, "client_secret"))
        .env("SESSION_SECRET", "only-for-this-test-0123456789abcdef")
        .stdin(Stdio::null())
        .stdout(log("site"))
        .stderr(log("site-errors"))
        .spawn()
        .map(Running)
        .expect("`cargo xtask test` installs what the sites run on");
    Site {
        url,
        _gate: gate,
        _site: site,
    }
}

/// Signs in once the website and its gate are up, and asks the website who came in.
fn subject(nation: &Nation, site: &Site) -> String {
    let login = until("a sign-in at the website", Duration::from_secs(30), || {
        let login = nation.wallet("a", &["login", &site.url]);
        // Only while the processes start.
        let starting = ["http.unreachable", "gate.not_ready", "issuer.unavailable"];
        match login.ok {
            true => Some(login.json),
            false if starting.contains(&login.refused()) => None,
            false => panic!("{}", login.stderr),
        }
    });
    let cookie = text(&login, "sessionCookie");
    let (status, body) = get(&format!("{}/me", site.url), &[("cookie", &cookie)]);
    assert_eq!(status, 200, "{body}");
    let me: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(me["sub"], login["subject"]);
    let (status, _) = get(
        &format!("{}/me", site.url),
        &[("accept", "application/json")],
    );
    assert_ne!(status, 200, "nobody without a session");
    text(&me, "sub")
}

/// Takes one POST on an address, on a thread of its own, and hands on its body.
fn hear(address: String) -> mpsc::Receiver<String> {
    let listener = TcpListener::bind(address).unwrap();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let (mut heard, mut part) = (Vec::new(), [0; 4096]);
        while !String::from_utf8_lossy(&heard).contains("logout_token=") {
            let read = stream.read(&mut part).unwrap();
            assert!(read > 0, "the gate closed too early");
            heard.extend_from_slice(&part[..read]);
        }
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer).unwrap();
        sender
            .send(String::from_utf8_lossy(&heard).into_owned())
            .unwrap();
    });
    receiver
}

/// The person freezes the DID that they use at a website: the gate sees it on the ledger and tells
/// the website, in a token of the keys that it publishes after a rotation.
#[test]
fn p8_a_website_hears_that_a_login_stands_no_longer() {
    let nation = Nation::start();
    let (_, evidence) = nation.residents().swap_remove(0);
    nation.enrol("a", &evidence).done();
    let ear = format!("127.0.0.1:{}", nation.port_base + 49);
    let config = nation.dir.join("gates/harbour-forum/gate.toml");
    let written = std::fs::read_to_string(&config).unwrap();
    let told = format!("[[clients]]\nbackchannel_logout_uri = \"http://{ear}/logout\"");
    let written = written.replacen("[[clients]]", &told, 1);
    std::fs::write(&config, written).unwrap();
    let rotated = nation
        .run(&["gate", "rotate-keys", "--config", config.to_str().unwrap()])
        .done();
    assert_eq!(rotated["keys"].as_array().unwrap().len(), 2);
    let mut nation = nation;
    nation.stop("-TERM");
    nation.up();

    let login = nation.login("a", 0).done();
    let heard = hear(ear);
    let did = text(&login, "did");
    nation.wallet("a", &["did", "anchor", &did]).done();
    nation.wallet("a", &["did", "freeze", &did]).done();
    let heard = heard.recv_timeout(Duration::from_secs(60)).unwrap();
    let token = heard.split("logout_token=").nth(1).unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    let part = |n: usize| -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[n]).unwrap()).unwrap()
    };
    assert_eq!(part(0)["typ"], "logout+jwt");
    assert_eq!(part(0)["kid"], rotated["keys"][0]);
    assert_eq!(part(1)["sub"], login["subject"]);
}

#[test]
fn sites_on_stock_openid_connect_libraries_sign_people_in() {
    let nation = Nation::start();
    let (_, evidence) = nation.residents().swap_remove(0);
    nation.enrol("a", &evidence).done();

    let express = root().join("examples/sign-in/express");
    let django = root().join("examples/sign-in/django/site.py");
    let python = root().join("target/sign-in-django/bin/python");
    let axum = Path::new(PROGRAM).with_file_name("examples/axum_site");
    let sites = [
        open(
            &nation,
            0,
            Command::new("node").arg("site.mjs").current_dir(express),
        ),
        open(&nation, 1, Command::new(python).arg(django)),
        open(&nation, 2, &mut Command::new(axum)),
    ];
    let subjects = sites.each_ref().map(|site| subject(&nation, site));
    let again = sites.each_ref().map(|site| subject(&nation, site));
    assert_eq!(subjects, again, "the same subject at the same site");
    let [a, b, c] = &subjects;
    assert!(a != b && b != c && a != c, "another subject at each site");
}
