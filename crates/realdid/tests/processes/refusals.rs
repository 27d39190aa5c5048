//! What is refused, and that nothing ends by it.

use crate::nation::{Nation, PROGRAM, answer, get};
use serde_json::Value;
use std::net::TcpListener;
use std::process::Command;

/// What is done to somebody's evidence.
type Change<'a> = Box<dyn Fn(&mut Value) + 'a>;

fn evidence_with(nation: &Nation, of: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut evidence: Value = serde_json::from_slice(&std::fs::read(of).unwrap()).unwrap();
    change(&mut evidence);
    let file = nation.dir.with_file_name("evidence.json");
    std::fs::write(&file, evidence.to_string()).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn wrong_evidence_is_refused_and_does_not_say_which_part_was_wrong() {
    let nation = Nation::start();
    let residents = nation.residents();
    let other: Value = serde_json::from_slice(&std::fs::read(&residents[1].1).unwrap()).unwrap();
    let changes: [(&str, Change<'_>); 4] = [
        // Two synthetic residents may share a name, so this is nobody's.
        (
            "name",
            Box::new(|e| e["given_name"] = Value::from("Nobody Of This Name")),
        ),
        (
            "number of another",
            Box::new(|e| e["resident_number"] = other["resident_number"].clone()),
        ),
        (
            "check digit",
            Box::new(|e| {
                let number = e["resident_number"].as_str().unwrap().to_owned();
                let (body, last) = number.split_at(17);
                let wrong = if last == "0" { "1" } else { "0" };
                e["resident_number"] = Value::from(format!("{body}{wrong}"));
            }),
        ),
        (
            "card",
            Box::new(|e| e["card_secret"] = other["card_secret"].clone()),
        ),
    ];
    let mut lines = Vec::new();
    for (index, (what, change)) in changes.iter().enumerate() {
        let file = evidence_with(&nation, &residents[0].1, change);
        let refused = nation.enrol(&format!("w{index}"), &file);
        assert_eq!(refused.refused(), "evidence.refused", "{what}");
        lines.push(refused.stderr.lines().last().unwrap().to_owned());
        assert!(
            !nation
                .wallet_dir(&format!("w{index}"))
                .join("credentials")
                .exists()
        );
    }
    lines.dedup();
    assert_eq!(lines.len(), 1, "the same words for each: {lines:?}");
    // the process goes on, and the right evidence is taken
    nation.enrol("right", &residents[0].1).done();
}

#[test]
fn a_port_in_use_is_named_and_nothing_is_left_behind() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let port = taken.local_addr().unwrap().port();
    // one that fits into the range of the option
    let (taken, base) = if (1024..29_950).contains(&port) {
        (taken, port)
    } else {
        let base = 29_000 + std::process::id() as u16 % 900;
        (TcpListener::bind(("127.0.0.1", base)).unwrap(), base)
    };
    let output = Command::new(PROGRAM)
        .args(["--json", "up", "--port-base", &base.to_string(), "--dir"])
        .arg(folder.path().join("n"))
        .output()
        .unwrap();
    let refused = answer(output);
    assert_eq!(refused.refused(), "port.in_use");
    assert!(refused.stderr.contains(&base.to_string()));
    drop(taken);
}

#[test]
fn a_running_nation_refuses_bad_input_and_goes_on() {
    let nation = Nation::start();
    let node = nation.url("node");
    // not CBOR, truncated, non-canonical, oversized: each names its rule, none ends the node
    for (body, codes) in [
        (vec![0xff, 0x00], ["codec.malformed"].as_slice()),
        (vec![0x83, 0x84, 0x01], &["codec.malformed"]),
        (
            vec![0; 5000],
            &["codec.too_long", "body.too_large", "request.too_large"],
        ),
        (Vec::new(), &["codec.malformed"]),
    ] {
        let (status, answered) = post(&format!("{node}/v1/operations"), body);
        let code = answered["code"].as_str().unwrap_or_default().to_owned();
        assert!((400..500).contains(&status), "{status} {answered}");
        assert!(codes.contains(&code.as_str()), "{code}");
    }
    for path in [
        "/v1/state/zz",
        "/v1/operations/1",
        "/1.0/identifiers/did:web:x",
        "/v1/buckets/ff/300",
    ] {
        let (status, _) = get(&format!("{node}{path}"), &[]);
        assert!((400..502).contains(&status), "{path}: {status}");
    }
    // one nation in a folder at a time, and what it was made with stays
    let output = Command::new(PROGRAM)
        .args([
            "--json",
            "up",
            "--port-base",
            &nation.port_base.to_string(),
            "--dir",
        ])
        .arg(&nation.dir)
        .output()
        .unwrap();
    assert_eq!(answer(output).refused(), "nation.running");
    let other = Command::new(PROGRAM)
        .args(["--json", "up", "--network", "other", "--dir"])
        .arg(&nation.dir)
        .output()
        .unwrap();
    assert_eq!(answer(other).refused(), "nation.other");
    for part in [
        "node",
        "authority",
        "registrar",
        "gates/0",
        "gates/1",
        "services/0",
        "services/1",
    ] {
        let url = nation.url(part);
        for path in ["/healthz", "/readyz", "/metrics", "/openapi.json"] {
            let (status, body) = get(&format!("{url}{path}"), &[]);
            assert_eq!(status, 200, "{part}{path}: {body}");
        }
    }
}

#[test]
fn a_gate_is_registered_in_one_step_and_serves_only_what_it_registered() {
    let nation = Nation::start();
    let domain = format!("127.0.0.1:{}", nation.port_base + 35);
    let made = nation
        .run(&[
            "gate",
            "register",
            "--domain",
            &domain,
            "--purpose",
            "age",
            "--claim",
            "age_equal_or_over.18",
        ])
        .done();
    assert_eq!(made["service"].as_str().unwrap().len(), 64);
    assert!(made["height"].as_u64().unwrap() > 0);
    assert!(std::path::Path::new(made["config"].as_str().unwrap()).is_file());
    let refuse = |args: &[&str]| nation.run(args).refused().to_owned();
    assert_eq!(
        refuse(&["gate", "register", "--domain", "x y", "--purpose", "login"]),
        "registration.domain"
    );
    assert_eq!(
        refuse(&[
            "gate",
            "register",
            "--domain",
            &domain,
            "--purpose",
            "curiosity"
        ]),
        "registration.purpose"
    );
    assert_eq!(
        refuse(&[
            "gate",
            "register",
            "--domain",
            &domain,
            "--purpose",
            "login",
            "--claim",
            "birthdate"
        ]),
        "registration.claim"
    );
}

pub fn post(url: &str, body: Vec<u8>) -> (u16, Value) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let response = reqwest::Client::new()
            .post(url)
            .header("content-type", "application/cbor")
            .body(body)
            .send()
            .await
            .unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (
            status,
            serde_json::from_str(&text).unwrap_or(Value::from(text)),
        )
    })
}
