//! PIDs that live long: a whole nation whose authority publishes status lists, and whose gates read them.

use crate::nation::{Answer, Nation, until};
use serde_json::Value;
use std::time::Duration;

/// Changes one configuration file.
fn write(path: &std::path::Path, change: impl FnOnce(String) -> String) {
    let text = std::fs::read_to_string(path).unwrap();
    std::fs::write(path, change(text)).unwrap();
}

/// A nation that issues PIDs of a month, and whose first gate takes them.
fn nation() -> Nation {
    let mut nation = Nation::start_with_dids();
    nation.stop("-TERM");
    write(&nation.dir.join("authority/authority.toml"), |text| {
        format!("{text}\n[long_lived]\ndays = 30\n")
    });
    write(&nation.dir.join("gates/harbour-forum/gate.toml"), |text| {
        format!("long_lived = true\n{text}")
    });
    nation.up();
    nation
}

fn login(nation: &Nation, service: usize) -> Answer {
    let url = nation.url(&format!("services/{service}"));
    nation.wallet("a", &["login", &url, "--long-lived", "--yes"])
}

#[test]
fn p9_a_credential_that_lives_long_is_suspended_restored_and_revoked_at_every_gate() {
    let nation = nation();
    let (person, evidence) = nation.residents().swap_remove(3);
    let enrolled = nation.enrol("a", &evidence).done();
    let types: Vec<&str> = enrolled["credentials"]
        .as_array()
        .unwrap()
        .iter()
        .map(|credential| credential["type"].as_str().unwrap())
        .collect();
    assert!(types.contains(&"urn:realdid:pid-long:1"), "{types:?}");

    // The list is on the ledger seconds after the authority has begun.
    let wait = Duration::from_secs(60);
    let first = until("it lets its holder in", wait, || {
        let login = login(&nation, 0);
        login.ok.then_some(login.json)
    });
    let subject = |login: &Value| nation.me(0, login)["sub"].clone();
    let before = subject(&first);
    let copies = |nation: &Nation| -> Vec<u64> {
        let shown = nation.wallet("a", &["show"]).done();
        let credentials = shown["credentials"].as_array().unwrap();
        let count = |one: &Value| one["copies"].as_u64().unwrap();
        credentials.iter().map(count).collect()
    };
    let held = copies(&nation);
    assert_eq!(subject(&login(&nation, 0).done()), before);
    assert_eq!(copies(&nation), held, "it is shown again and again");
    // A gate that was not told to take it asks for one-time copies.
    assert!(login(&nation, 1).ok);
    assert_ne!(copies(&nation), held);

    let operator = |words: &[&str]| {
        let all = [&["authority"], words, &["--person", &person]].concat();
        nation.run(&all).done()
    };
    let refused = |code: &str| {
        until(code, wait, || {
            let login = login(&nation, 0);
            (!login.ok && login.refused() == code).then_some(())
        });
    };
    operator(&["suspend", "--reason", "lost-device"]);
    refused("credential.suspended");
    operator(&["restore", "--reason", "cleared"]);
    let restored = until("it is restored", wait, || {
        let login = login(&nation, 0);
        login.ok.then_some(login.json)
    });
    assert_eq!(subject(&restored), before);
    assert_eq!(operator(&["revoke"])["revoked"], 1);
    refused("credential.revoked");
    // The person has not changed: one-time copies are good, and so is a new one.
    assert!(nation.login("a", 0).ok);
    nation.wallet("a", &["refresh"]).done();
    let renewed = until("a new one lets in", wait, || {
        let login = login(&nation, 0);
        login.ok.then_some(login.json)
    });
    assert_eq!(subject(&renewed), before);
}
