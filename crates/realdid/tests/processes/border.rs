//! Two networks, separately run, that recognise each other: people of each sign in at services of the
//! other, until a governance ends that, on its own.

use crate::nation::{Nation, Neighbours, until};
use serde_json::{Value, json};
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

    let restore = ["network", "restore", "cn", "--reason", "cleared"];
    intl.run(&restore).done();
    until(
        "logins from cn are taken again",
        Duration::from_secs(60),
        || abroad(&cn, "a", &intl).ok.then_some(()),
    );
    abroad(&intl, "a", &cn).done();
}
