//! The journey of a resident, each step against the running nation.

use crate::nation::{Nation, follow, get, until};
use serde_json::Value;
use std::time::{Duration, Instant};

fn text(value: &Value, name: &str) -> String {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("no text {name} in {value}"))
        .to_owned()
}

#[test]
fn p3_enrol_log_in_and_be_the_same_subject_with_nobody_else_up() {
    let nation = Nation::start_with_dids();
    let (_, evidence) = nation.residents().swap_remove(0);

    let enrolled = nation.enrol("a", &evidence).done();
    assert_eq!(text(&enrolled, "personTag").len(), 64);
    assert!(enrolled["height"].as_u64().unwrap() > 0);
    assert!(!enrolled["credentials"].as_array().unwrap().is_empty());

    // a pairwise DID for each service; the service's own word is the evidence
    let first = nation.login("a", 0).done();
    let again = nation.login("a", 0).done();
    let other = nation.login("a", 1).done();
    let me = nation.me(0, &first);
    assert_eq!(me["sub"], first["subject"]);
    assert_eq!(
        nation.me(0, &again)["sub"],
        me["sub"],
        "the same subject at the same service"
    );
    assert_eq!(again["did"], first["did"]);
    assert_ne!(
        nation.me(1, &other)["sub"],
        me["sub"],
        "another subject at another service"
    );
    assert_ne!(other["did"], first["did"]);
    assert_ne!(again["sessionCookie"], first["sessionCookie"]);
    let (status, _) = get(&format!("{}/me", nation.url("services/0")), &[]);
    assert_eq!(status, 401, "nobody without a session");

    // without the authority; then without the ledger too, on what the wallet and the gate hold
    nation.kill_part("authority", "-KILL");
    let without = nation.login("a", 0).done();
    assert_eq!(nation.me(0, &without)["sub"], me["sub"]);
    nation.kill_part("node-0", "-KILL");
    nation.kill_part("registrar", "-KILL");
    let alone = nation.login("a", 0).done();
    assert_eq!(nation.me(0, &alone)["sub"], me["sub"]);

    // the journal knows each disclosure
    let journal = nation.wallet("a", &["journal"]).done();
    assert!(journal.to_string().contains(&text(&first, "did")));
}

#[test]
fn dids_change_and_each_next_login_is_judged_by_the_new_state() {
    let nation = Nation::start();
    let (_, evidence) = nation.residents().swap_remove(1);
    nation.enrol("a", &evidence).done();
    let first = nation.login("a", 0).done();
    let did = text(&first, "did");
    let subject = nation.me(0, &first)["sub"].clone();
    let change = |what: &str| nation.wallet("a", &["did", what, &did]);
    let same_person = || {
        let login = nation.login("a", 0).done();
        assert_eq!(nation.me(0, &login)["sub"], subject);
    };

    // proved absent: only its inception makes it resolve
    assert_eq!(nation.run(&["resolve", &did]).refused(), "did.unknown");
    change("anchor").done();
    let resolved = nation.run(&["resolve", &did]).done();
    assert_eq!(resolved["didResolutionMetadata"]["verified"], true);
    assert_eq!(resolved["didDocument"]["id"], did.as_str());
    let (status, body) = get(
        &format!("{}/1.0/identifiers/{did}", nation.url("node")),
        &[],
    );
    let answered: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200);
    assert_eq!(
        answered["didDocument"], resolved["didDocument"],
        "the node answers the same"
    );
    same_person();

    change("rotate").done();
    let rotated = nation.run(&["resolve", &did]).done();
    assert_ne!(
        rotated["didDocument"]["verificationMethod"],
        resolved["didDocument"]["verificationMethod"]
    );
    // versions, each by the proof of its time, and parts
    let version = |id: &str| nation.run(&["resolve", &format!("{did}?versionId={id}")]);
    assert_eq!(version("1").done()["didDocument"], rotated["didDocument"]);
    let before = version("0").done();
    assert_eq!(before["didDocument"], resolved["didDocument"]);
    assert_eq!(before["didDocumentMetadata"]["nextVersionId"], "1");
    assert_eq!(version("2").refused(), "did.version_unknown");
    let key = format!("{did}#key-1");
    let part = nation.run(&["dereference", &key]).done();
    assert_eq!(part["content"]["id"], key);
    assert_eq!(part["dereferencingMetadata"]["verified"], true);
    assert_eq!(nation.run(&["resolve", &key]).refused(), "did.part");
    let none = nation.run(&["dereference", &format!("{did}#key-9")]);
    assert_eq!(none.refused(), "did.part_unknown");
    same_person();

    change("freeze").done();
    assert_eq!(nation.login("a", 0).refused(), "did.frozen");
    change("recover").done();
    assert_eq!(
        change("cancel").refused(),
        "did.frozen",
        "the current key is shut out"
    );
    until("the recovery takes effect", Duration::from_secs(60), || {
        nation.login("a", 0).ok.then_some(())
    });
    same_person();
    change("recover").done();
    change("cancel").done();
    same_person();

    change("deactivate").done();
    assert_eq!(nation.login("a", 0).refused(), "did.deactivated");
    let ended = nation.run(&["resolve", &did]).done();
    assert_eq!(ended["didDocumentMetadata"]["deactivated"], true);
    let listed = nation.wallet("a", &["did", "list"]).done();
    assert!(listed.to_string().contains(&did));
}

#[test]
fn an_implicit_did_resolves_by_its_inception() {
    let nation = Nation::start();
    let (_, evidence) = nation.residents().swap_remove(2);
    nation.enrol("a", &evidence).done();
    let file = nation.dir.join("inception.cbor");
    let file = file.to_str().unwrap();
    let made = nation
        .wallet("a", &["did", "new", "--inception", file])
        .done();
    let did = text(&made, "did");
    let resolved = nation.run(&["resolve", &did, "--inception", file]).done();
    assert_eq!(resolved["didDocument"]["id"], did.as_str());
    assert_eq!(resolved["didDocumentMetadata"]["anchored"], false);
    assert_eq!(
        resolved["didResolutionMetadata"]["proof"][0]["kind"],
        "exclusion"
    );
    // another's inception is refused
    let other = nation.dir.join("other.cbor");
    let other = other.to_str().unwrap();
    nation
        .wallet("a", &["did", "new", "--inception", other])
        .done();
    let wrong = nation.run(&["resolve", &did, "--inception", other]);
    assert_eq!(wrong.refused(), "did.inception_mismatch");
}

/// Whoever holds copies from before, and whatever becomes of the authority: they lapse.
#[test]
fn p8_what_a_wallet_holds_lapses_within_an_epoch_and_the_lead() {
    let mut nation = Nation::start_with_dids();
    let (person, evidence) = nation.residents().swap_remove(4);
    nation.enrol("a", &evidence).done();
    let operator = |nation: &Nation, what: &str| {
        let change = [
            "authority",
            what,
            "--person",
            &person,
            "--reason",
            "legal-order",
        ];
        nation.run(&change).done()
    };
    operator(&nation, "suspend");
    nation.kill_part("authority", "-KILL");
    let suspended = Instant::now();
    // Ten copies, one for each login: asked slowly enough, they last until they expire.
    nation.login("a", 0).done();
    let refusal = until("the copies lapse", Duration::from_secs(140), || {
        std::thread::sleep(Duration::from_secs(14));
        let login = nation.login("a", 0);
        (!login.ok).then(|| login.refused().to_owned())
    });
    // The development network's epoch and lead, and one round of asking.
    assert!(
        suspended.elapsed() < Duration::from_secs(60 + 60 + 16),
        "{:?}",
        suspended.elapsed()
    );
    assert_eq!(refusal, "credential.expired");
    operator(&nation, "restore");
    nation.stop("-TERM");
    nation.up();
    nation.login("a", 0).done();
}

#[test]
fn p8_a_suspended_person_is_refused_within_an_epoch_and_the_lead() {
    let nation = Nation::start_with_dids();
    let (person, evidence) = nation.residents().swap_remove(3);
    nation.enrol("a", &evidence).done();
    nation.login("a", 0).done();
    let operator = |what: &str, reason: &str| {
        nation.run(&["authority", what, "--person", &person, "--reason", reason])
    };
    assert_eq!(operator("suspend", "because").refused(), "reason.unknown");
    let suspended = operator("suspend", "lost-device").done();
    assert!(suspended["height"].as_u64().unwrap() > 0);
    let refusal = until("the login is refused", Duration::from_secs(150), || {
        let login = nation.login("a", 0);
        (!login.ok).then(|| login.refused().to_owned())
    });
    assert_eq!(refusal, "enrolment.suspended");
    let shown = nation.wallet("a", &["show"]).done();
    assert!(shown.to_string().contains("suspended"));
    operator("restore", "cleared").done();
    until("the person is back", Duration::from_secs(60), || {
        nation.login("a", 0).ok.then_some(())
    });
}

#[test]
fn a_wallet_on_another_device_shows_a_code_to_type_where_the_login_began() {
    let nation = Nation::start();
    let (_, evidence) = nation.residents().swap_remove(5);
    nation.enrol("a", &evidence).done();
    let login = format!("{}/login", nation.url("services/0"));
    let (status, page) = follow(&login, &[("accept", "application/json")]);
    assert_eq!(status, 200, "{page}");
    let page: Value = serde_json::from_str(&page).unwrap();
    let link = text(&page, "wallet_link");
    let shown = nation.wallet("a", &["present", &link, "--yes"]).done();
    assert_eq!(text(&shown, "confirmationCode").replace('-', "").len(), 8);
    let again = nation.wallet("a", &["present", &link, "--yes"]);
    assert!(!again.ok, "a request is answered once");
}
