//! Logins by RealPass against a running nation: one person, one account, and nobody else needed.

use crate::nation::{Nation, get, until};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The development network's epoch, in seconds.
const EPOCH_S: u64 = 60;

fn text(value: &Value, name: &str) -> String {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("no text {name} in {value}"))
        .to_owned()
}

/// Signs in at the second service, which asks for a fact.
fn login_for_adults(nation: &Nation, wallet: &str) -> crate::nation::Answer {
    let url = nation.url("services/1");
    nation.wallet(wallet, &["login", &url, "--allow", "realpass.adult"])
}

fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// Waits until so much of an epoch is left that the steps of a test fall into it.
fn early_in_an_epoch() -> u64 {
    let wait = Duration::from_secs(EPOCH_S + 5);
    until("an epoch is young", wait, || {
        (now_s() % EPOCH_S < 20).then(|| now_s() / EPOCH_S)
    })
}

#[test]
fn p5_a_wallet_rebuilt_from_words_is_the_same_subject_and_new_words_are_nobody() {
    let nation = Nation::start();
    let (_, evidence) = nation.residents().swap_remove(0);
    let kit = text(&nation.wallet("a", &["init"]).done(), "kit");
    nation.enrol("a", &evidence).done();
    let first = nation.login("a", 0).done();
    let other = login_for_adults(&nation, "a").done();
    let subject = nation.me(0, &first)["sub"].clone();
    // P4: another service, another subject; and it learns the one fact that it asked for.
    let market = nation.me(1, &other);
    assert_ne!(market["sub"], subject);
    assert_ne!(first["did"], other["did"]);
    assert!(["yes", "no"].contains(&market["realpass"]["adult"].as_str().unwrap()));
    assert!(nation.me(0, &first).get("realpass").is_none());
    assert_eq!(
        nation
            .wallet("a", &["login", &nation.url("services/1")])
            .refused(),
        "vp.declined",
        "no fact is shown without consent"
    );

    // The phone is lost, the words are not.
    nation.wallet("b", &["init", "--kit", &kit]).done();
    nation.enrol("b", &evidence).done();
    let again = nation.login("b", 0).done();
    assert_eq!(nation.me(0, &again)["sub"], subject);
    assert!(again["realPassEpoch"].is_u64());

    // The same person with a wallet of new words gets no second account.
    let enrolled = nation.enrol("c", &evidence);
    if enrolled.ok {
        let refused = nation.login("c", 0);
        assert!(!refused.ok, "a second subject: {}", refused.json);
    }
    let still = nation.login("b", 0).done();
    assert_eq!(nation.me(0, &still)["sub"], subject);
}

#[test]
fn p3_a_login_by_realpass_needs_nobody_else() {
    let nation = Nation::start();
    let (_, evidence) = nation.residents().swap_remove(1);
    nation.enrol("a", &evidence).done();
    let epoch = early_in_an_epoch();
    let first = nation.login("a", 0).done();
    let market = login_for_adults(&nation, "a").done();
    for part in ["authority", "registrar", "node-0"] {
        nation.kill_part(part, "-KILL");
    }
    // Back at the first by the DID alone, and at the second with a new proof.
    let alone = nation.login("a", 0).done();
    assert_eq!(nation.me(0, &alone)["sub"], nation.me(0, &first)["sub"]);
    assert_eq!(alone["did"], first["did"]);
    let proved = login_for_adults(&nation, "a").done();
    assert_eq!(nation.me(1, &proved)["sub"], nation.me(1, &market)["sub"]);
    assert_eq!(now_s() / EPOCH_S, epoch, "all of it within one epoch");
    assert_eq!(alone["realPassEpoch"], Value::Null);
    assert_eq!(proved["realPassEpoch"], epoch);
}

#[test]
fn p8_a_suspended_person_gets_no_realpass_and_is_refused_when_the_epoch_is_over() {
    let nation = Nation::start();
    let (person, evidence) = nation.residents().swap_remove(2);
    nation.enrol("a", &evidence).done();
    let first = nation.login("a", 0).done();
    let operator = |what: &str, reason: &str| {
        let change = ["authority", what, "--person", &person, "--reason", reason];
        nation.run(&change).done()
    };
    operator("suspend", "lost-device");
    // An epoch, the lead, and a round of asking.
    let wait = Duration::from_secs(2 * EPOCH_S + 20);
    let refusal = until("the login is refused", wait, || {
        let login = nation.login("a", 0);
        (!login.ok).then(|| login.refused().to_owned())
    });
    assert_eq!(refusal, "enrolment.suspended");
    operator("restore", "cleared");
    let back = until("the person is back", Duration::from_secs(60), || {
        let login = nation.login("a", 0);
        login.ok.then_some(login.json)
    });
    assert_eq!(nation.me(0, &back)["sub"], nation.me(0, &first)["sub"]);
}

/// Device and words are lost: the counter resets, everybody can see it, and after the delay there are
/// new pseudonyms. The old device is somebody else then.
#[test]
fn p5_a_reset_at_the_counter_gives_new_pseudonyms_after_its_delay_only() {
    let nation = Nation::start();
    let (person, evidence) = nation.residents().swap_remove(0);
    nation.enrol("a", &evidence).done();
    let first = nation.login("a", 0).done();
    let before = nation.me(0, &first)["sub"].clone();

    // Taken back in time, as if the person had objected.
    let operator = |what: &str| nation.run(&["authority", what, "--person", &person]);
    operator("reset").done();
    operator("cancel-reset").done();
    assert_eq!(operator("cancel-reset").refused(), "enrolment.reset");

    operator("reset").done();
    let new_words = |wallet: &str| {
        nation.enrol(wallet, &evidence);
        nation.login(wallet, 0)
    };
    assert!(!new_words("b").ok, "before the delay is over");
    let wait = Duration::from_secs(60);
    let after = until("the reset has taken effect", wait, || {
        let login = new_words("b");
        login.ok.then_some(login.json)
    });
    assert_ne!(nation.me(0, &after)["sub"], before);
    assert_eq!(operator("reset").refused(), "enrolment.reset");
}

/// The operator makes a RealPass key for a later epoch, governance decides on it, and people notice
/// nothing but that they still get in.
#[test]
fn p7_governance_changes_the_realpass_key_and_pseudonyms_stay() {
    let mut nation = Nation::start();
    let (_, evidence) = nation.residents().swap_remove(4);
    nation.enrol("a", &evidence).done();
    let first = nation.login("a", 0).done();
    let sub = nation.me(0, &first)["sub"].clone();

    let from = early_in_an_epoch() + 2;
    let key_from =
        |epoch: u64| nation.run(&["authority", "pass-key", "--from-epoch", &epoch.to_string()]);
    assert_eq!(key_from(from - 1).refused(), "pass_key.epoch");
    let made = key_from(from).done();
    assert_eq!(made["fromEpoch"], from);
    nation.stop("-TERM");
    nation.up();
    let decision = text(&made, "decision");
    nation
        .run(&["governance", "decide", &decision, "--reason", "scheduled"])
        .done();
    let decision = hex::decode(decision).unwrap();
    let url = format!("{}/v1/decisions", nation.url("node"));
    let record = until("it is in the record", Duration::from_secs(60), || {
        let answered: Value = serde_json::from_str(&get(&url, &[]).1).ok()?;
        let record = answered["decisions"][0]["record"].as_str()?;
        URL_SAFE_NO_PAD.decode(record).ok()
    });
    assert!(record.windows(decision.len()).any(|part| part == decision));

    // Who verifies takes the key from the ledger: nothing under the old one is good in that epoch.
    let wait = Duration::from_secs(3 * EPOCH_S);
    let later = until("a RealPass under the new key lets in", wait, || {
        let login = nation.login("a", 0).done();
        (login["realPassEpoch"].as_u64() >= Some(from)).then_some(login)
    });
    assert_eq!(nation.me(0, &later)["sub"], sub);
}

#[test]
fn an_anchor_on_ones_own_account_resolves_as_a_verified_persons() {
    let nation = Nation::start();
    let (_, evidence) = nation.residents().swap_remove(3);
    nation.enrol("a", &evidence).done();
    let did = text(&nation.login("a", 0).done(), "did");
    nation.wallet("a", &["did", "anchor", &did]).done();
    let resolved = nation.run(&["resolve", &did]).done();
    assert_eq!(resolved["didDocumentMetadata"]["verifiedPerson"], true);
    // By the node's own word, too.
    let url = format!("{}/1.0/identifiers/{did}", nation.url("node"));
    let (status, body) = get(&url, &[]);
    assert_eq!(status, 200);
    let answered: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(answered["didDocumentMetadata"]["verifiedPerson"], true);
    // One that the authority sponsored says nothing of the kind.
    let other = text(&nation.wallet("a", &["did", "new"]).done(), "did");
    nation
        .wallet("a", &["did", "anchor", &other, "--sponsored"])
        .done();
    let resolved = nation.run(&["resolve", &other]).done();
    assert_ne!(resolved["didDocumentMetadata"]["verifiedPerson"], true);
}
