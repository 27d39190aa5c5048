//! What happens in a life, against running processes (spec/enrolment.md, N9 to N13).

use crate::nation::{Nation, until};
use std::time::Duration;

#[test]
fn p5_a_new_name_changes_nothing_at_a_service_and_p8_death_ends_all_of_it() {
    let nation = Nation::start();
    let (person, evidence) = nation.residents().swap_remove(5);
    nation.enrol("a", &evidence).done();
    let first = nation.login("a", 0).done();
    let subject = nation.me(0, &first)["sub"].clone();

    let amend = |words: &[&str]| {
        let all = [&["authority", "amend", "--person", &person], words].concat();
        nation.run(&all)
    };
    assert_eq!(
        amend(&["--family-name", ""]).refused(),
        "register.amendment"
    );
    // The file of before, as its owner keeps it: the command writes the new one in its place.
    let old = nation.dir.join("old-evidence.json");
    std::fs::copy(&evidence, &old).unwrap();
    let amended = amend(&[
        "--family-name",
        "Umgezogen-Neuname",
        "--region",
        "Synthetic Province West",
    ]);
    let amended = amended.done();
    let new = amended["evidence"].as_str().unwrap().to_owned();
    // The running authority knows at the next refresh, and the service knows the same person.
    nation.wallet("a", &["refresh"]).done();
    let second = nation.login("a", 0).done();
    assert_eq!(nation.me(0, &second)["sub"], subject);
    assert_eq!(second["did"], first["did"]);
    let refused = nation.enrol("b", old.to_str().unwrap());
    assert_eq!(refused.refused(), "evidence.refused");
    let shown = nation.wallet("a", &["show"]).done();
    let tag = &shown["enrolment"]["personTag"];
    let again = nation.enrol("a", &new).done();
    assert_eq!(again["personTag"], *tag);
    let third = nation.login("a", 0).done();
    assert_eq!(nation.me(0, &third)["sub"], subject);

    assert!(amend(&["--died"]).done()["evidence"].is_null());
    let refresh = nation.wallet("a", &["refresh"]);
    assert_eq!(refresh.refused(), "enrolment.suspended");
    let end = |reason: &str| {
        let words = ["authority", "end", "--person", &person, "--reason", reason];
        nation.run(&words)
    };
    assert_eq!(end("none").done()["standing"], "ended");
    let restore = [
        "authority",
        "restore",
        "--person",
        &person,
        "--reason",
        "cleared",
    ];
    assert_eq!(nation.run(&restore).refused(), "enrolment.ended");
    // The RealPasses that are out end with their epochs, and no other comes.
    until("nobody gets in any more", Duration::from_secs(240), || {
        let login = nation.login("a", 0);
        (!login.ok).then_some(())
    });
}
