//! An authority's PID key is found in other hands, and the copies that were on the ledger before go on to
//! stand (promise P7).

use crate::nation::{Nation, get, until};
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs()
}

/// Whether every copy of each credential has its path, and lasts for so long.
fn has_paths(wallet: &Value, for_s: u64) -> bool {
    let credentials = wallet["credentials"].as_array().unwrap();
    credentials.iter().all(|credential| {
        let number = |name: &str| credential[name].as_u64().unwrap();
        number("copies") > 0
            && number("inBatch") == number("copies")
            && number("expires") > now_s() + for_s
    })
}

#[test]
fn p7_after_a_compromise_an_anchored_copy_logs_in_and_one_that_surfaces_later_does_not() {
    let nation = Nation::start_with_dids();
    let mut residents = nation.residents().into_iter();
    let (_, early) = residents.next().unwrap();
    let (_, late) = residents.next().unwrap();
    nation.enrol("a", &early).done();
    // `keep` fetches the paths at a moment of its own, and fresh copies without paths at another.
    until("a wallet has the paths", Duration::from_secs(300), || {
        nation.wallet("a", &["keep", "--once"]).done();
        let shown = nation.wallet("a", &["show"]).done();
        has_paths(&shown, 60).then_some(())
    });
    nation.enrol("b", &late).done();
    let before = nation.login("a", 0).done();
    let did = before["did"].clone();

    let (_, status) = get(&format!("{}/v1/status", nation.url("node")), &[]);
    let status: Value = serde_json::from_str(&status).unwrap();
    let height = status["height"].as_u64().unwrap();
    let since = height.to_string();
    let made = nation.run(&["authority", "key-compromised", "--since-height", &since]);
    let decision = made.done()["decision"].as_str().unwrap().to_owned();
    let decide = ["governance", "decide", &decision];
    nation
        .run(&[&decide[..], &["--reason", "key-compromise"]].concat())
        .done();

    // The other's copies are as honest, and nobody can tell them from those that a thief makes.
    let wait = Duration::from_secs(20);
    until("a copy without a path is refused", wait, || {
        let refused = nation.login("b", 0);
        (!refused.ok).then(|| assert_eq!(refused.refused(), "credential.key_compromised"))
    });
    // While gates come to know of it, and after.
    for _ in 0..6 {
        let after = nation.login("a", 0).done();
        assert_eq!(after["did"], did);
        assert_eq!(nation.me(0, &after)["sub"], nation.me(0, &before)["sub"]);
    }
    // What is used up is not made anew by that key.
    let refreshed = nation.wallet("a", &["refresh"]);
    assert!(!refreshed.ok, "{}", refreshed.json);
}
