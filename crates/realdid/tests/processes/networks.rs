//! What a nation decides about another network: recognised, suspended, restored, looked at with proof, and every
//! way to get it wrong.

use crate::nation::{Nation, until};
use realdid_core::genesis::Genesis;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The genesis of another network, in a file, with its digest.
fn other(dir: &Path, name: &str) -> (PathBuf, String) {
    let text = include_str!("../../../../spec/vectors/ledger/genesis.hex");
    let mut genesis = Genesis::decode(&hex::decode(text.trim_end()).unwrap()).unwrap();
    genesis.network = name.parse().unwrap();
    let file = dir.join(format!("{name}.cbor"));
    std::fs::write(&file, genesis.encode()).unwrap();
    (file, genesis.digest().to_string())
}

/// A file with a key that governs nothing.
fn stranger(dir: &Path) -> String {
    let file = dir.join("stranger.key");
    std::fs::write(&file, "11".repeat(32)).unwrap();
    file.to_str().unwrap().to_owned()
}

fn recognised(nation: &Nation) -> Vec<Value> {
    let shown = nation.run(&["network", "show"]).done();
    shown["recognised"].as_array().unwrap().clone()
}

/// What a decision shows once a slot has sealed it.
fn sealed(nation: &Nation, standing: &str) -> Value {
    until(standing, Duration::from_secs(30), || {
        let shown = nation.run(&["network", "show", "intl"]);
        let first = shown.ok.then(|| shown.json["recognised"][0].clone())?;
        (first["standing"] == standing).then_some(first)
    })
}

#[test]
fn another_network_is_recognised_suspended_and_restored_by_governance_alone() {
    let nation = Nation::start();
    let dir = nation.dir.clone();
    let (genesis, digest) = other(&dir, "intl");
    let genesis = genesis.to_str().unwrap();
    let recognise = |more: &[&str]| {
        let words = ["network", "recognise", "--genesis", genesis];
        nation.run(&[&words, more].concat())
    };
    assert!(recognised(&nation).is_empty());
    let unknown = nation.run(&["network", "show", "intl"]);
    assert_eq!(unknown.refused(), "recognition.unknown");
    let suspend = ["network", "suspend", "intl", "--reason", "legal-order"];
    assert_eq!(nation.run(&suspend).refused(), "recognition.unknown");

    // What its operator gets wrong is named, and nothing is decided.
    let accepts = ["--accepts", "real-pass", "--reason", "scheduled"];
    let right = [&["--digest", digest.as_str()], accepts.as_slice()].concat();
    let wrong = "00".repeat(32);
    let other_digest = [&["--digest", wrong.as_str()], accepts.as_slice()].concat();
    assert_eq!(recognise(&other_digest).refused(), "genesis.other");
    let twice = [right.as_slice(), &["--accepts", "real-pass:high"]].concat();
    assert_eq!(recognise(&twice).refused(), "recognition.shape");
    let key = stranger(&dir);
    let by_a_stranger = [right.as_slice(), &["--governance-key", &key]].concat();
    assert_eq!(recognise(&by_a_stranger).refused(), "governance.stranger");
    let no_reason = [
        "--digest",
        &digest,
        "--accepts",
        "pid",
        "--reason",
        "because",
    ];
    assert_eq!(recognise(&no_reason).refused(), "reason.unknown");
    let own = dir.join("genesis.cbor");
    let own_genesis = Genesis::decode(&std::fs::read(&own).unwrap()).unwrap();
    let (own, own_digest) = (own.to_str().unwrap(), own_genesis.digest().to_string());
    let mut itself = vec!["network", "recognise", "--genesis", own];
    itself.extend(["--digest", &own_digest]);
    itself.extend(accepts);
    assert_eq!(nation.run(&itself).refused(), "recognition.shape");
    assert!(recognised(&nation).is_empty());

    let made = recognise(&[right.as_slice(), &["--accepts", "pid:high"]].concat()).done();
    assert_eq!(
        (&made["seq"], &made["recognised"]),
        (&json!(1), &json!("intl"))
    );
    let shown = sealed(&nation, "active");
    assert_eq!(shown["genesis"], json!(digest));
    assert_eq!(shown["reason"], "scheduled");
    let kinds =
        json!([{"kind": "pid", "least": "high"}, {"kind": "real-pass", "least": "substantial"}]);
    assert_eq!(shown["accepts"], kinds);
    assert_eq!(shown["latest"], Value::Null);

    let suspended = nation.run(&suspend).done();
    assert_eq!(suspended["decision"], "recognition-standing");
    assert_eq!(sealed(&nation, "suspended")["reason"], "legal-order");
    // A standing that it has already is the ledger's to refuse.
    assert_eq!(nation.run(&suspend).refused(), "recognition.standing");
    let restore = ["network", "restore", "intl", "--reason", "cleared"];
    nation.run(&restore).done();
    let restored = sealed(&nation, "active");
    assert_eq!(restored["reason"], "cleared");
    assert_eq!(restored["terms"][0]["number"], 0);

    // From a term on, which stays when something else is decided.
    let key = own_genesis.network_key.to_string();
    let from = format!("3:700:{key}");
    recognise(&[right.as_slice(), &["--from-term", &from]].concat()).done();
    let terms = json!([{"number": 3, "first": 700, "networkKey": key}]);
    let accepting = |kinds: usize| {
        until("the term", Duration::from_secs(30), || {
            let shown = sealed(&nation, "active");
            let accepted = shown["accepts"].as_array().unwrap().len();
            (accepted == kinds && shown["terms"] == terms).then_some(())
        });
    };
    accepting(1);
    recognise(&[right.as_slice(), &["--accepts", "pid:high"]].concat()).done();
    accepting(2);
    let no_key = format!("3:700:{}", "bb".repeat(96));
    let refused = recognise(&[right.as_slice(), &["--from-term", &no_key]].concat());
    assert!(!refused.ok, "a key of no group");
}

#[test]
fn a_decision_goes_from_holder_to_holder_as_a_draft_and_is_handed_in_once() {
    let nation = Nation::start();
    let dir = nation.dir.clone();
    let (genesis, digest) = other(&dir, "intl");
    let draft = dir.join("recognise.cbor");
    let draft = draft.to_str().unwrap();
    let mut words = vec![
        "network",
        "recognise",
        "--genesis",
        genesis.to_str().unwrap(),
    ];
    words.extend([
        "--digest",
        &digest,
        "--accepts",
        "pid",
        "--reason",
        "scheduled",
    ]);
    words.extend(["--draft", draft]);
    let drafted = nation.run(&words).done();
    assert_eq!(
        (&drafted["signatures"], &drafted["threshold"]),
        (&json!(1), &json!(1))
    );
    assert!(drafted["height"].is_null() && recognised(&nation).is_empty());

    let shown = nation.run(&["governance", "show", draft]).done();
    assert_eq!(shown["decision"], "recognise");
    assert_eq!(shown["operation"], drafted["operation"]);
    let key = stranger(&dir);
    let by_a_stranger = ["governance", "sign", draft, "--governance-key", &key];
    assert_eq!(nation.run(&by_a_stranger).refused(), "governance.stranger");
    let garbage = dir.join("garbage.cbor");
    std::fs::write(&garbage, b"no draft").unwrap();
    let garbage = ["governance", "sign", garbage.to_str().unwrap()];
    assert_eq!(nation.run(&garbage).refused(), "governance.draft");

    let signed = nation.run(&["governance", "sign", draft]).done();
    assert_eq!(signed["operation"], drafted["operation"]);
    assert!(signed["height"].as_u64().unwrap() > 0);
    sealed(&nation, "active");
    // It was the next decision once, and is not again.
    assert_eq!(
        nation.run(&["governance", "sign", draft]).refused(),
        "governance.outdated"
    );

    // A key that was dealt is for development: no committee gets its key from it.
    let round = dir.join("round");
    std::fs::create_dir(&round).unwrap();
    let plan = ["committee", "plan", "--round-dir", round.to_str().unwrap()];
    assert_eq!(nation.run(&plan).refused(), "ceremony.dealt");

    // What another command prints for governance is decided the same way.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let epoch = (now.as_secs() / 60 + 5).to_string();
    let printed = nation
        .run(&["authority", "pass-key", "--from-epoch", &epoch])
        .done();
    let decision = printed["decision"].as_str().unwrap();
    let decide = ["governance", "decide", decision, "--reason", "scheduled"];
    let decided = nation.run(&decide).done();
    assert_eq!(
        (&decided["decision"], &decided["seq"]),
        (&json!("add-pass-key"), &json!(2))
    );
    let nonsense = ["governance", "decide", "00ff", "--reason", "scheduled"];
    assert_eq!(nation.run(&nonsense).refused(), "governance.decision");
}
