//! What can happen to validators that are processes of their own: after each of these, roots are
//! equal and every acknowledged operation is where it was acknowledged (P10).
//!
//! `cargo xtask soak --rounds N` plays each N times over on one network.

use crate::apart;
use crate::committee::{Committee, FOUR, double, until};
use std::path::Path;
use std::process::Command;

/// How far the network goes on before the next fault.
const SOME: u64 = 4;
/// No file of a validator whose disk is full grows beyond so many bytes, nor is written to there.
const FULL_AT: u64 = 256 * 1024;

/// How often a fault comes: once, unless `cargo xtask soak` asks for more.
fn rounds() -> usize {
    let asked = std::env::var("REALDID_SOAK_ROUNDS").ok();
    asked.map_or(1, |rounds| rounds.parse().unwrap())
}

#[test]
fn p10_each_of_four_validators_killed_in_turn_under_load_loses_nothing() {
    let mut committee = Committee::start();
    let load = committee.load();
    for who in (0..rounds()).flat_map(|_| 0..FOUR) {
        let other = (who + 1) % FOUR;
        committee.reaches(other, committee.height(other) + SOME);
        committee.members[who].stop("-KILL");
        committee.reaches(other, committee.height(other) + SOME);
        committee.members[who].start();
        committee.reaches(who, committee.height(other));
    }
    committee.agrees(&[0, 1, 2, 3], &load.stop());
}

#[test]
fn p10_a_rolling_restart_stops_nothing_and_loses_nothing() {
    let mut committee = Committee::start();
    let load = committee.load();
    for who in (0..rounds()).flat_map(|_| 0..FOUR) {
        let other = (who + 1) % FOUR;
        committee.members[who].stop("-TERM");
        committee.reaches(other, committee.height(other) + SOME);
        committee.members[who].start();
        committee.ready(who);
        committee.reaches(who, committee.height(other));
    }
    committee.agrees(&[0, 1, 2, 3], &load.stop());
}

#[test]
fn p10_three_of_four_go_on_when_one_is_down_for_good_and_two_do_not() {
    let mut committee = Committee::start();
    for _ in 0..rounds() {
        let load = committee.load();
        committee.members[2].stop("-KILL");
        // Far enough for the dead one's turn to come many times.
        committee.reaches(0, committee.height(0) + 5 * SOME);
        let acknowledged = load.stop();
        committee.agrees(&[0, 1, 3], &acknowledged);

        // Two are no quorum: what is final stays, and nothing new becomes final.
        committee.members[3].stop("-KILL");
        let stood = committee.stands_still(0);
        committee.members[3].start();
        committee.reaches(0, stood + SOME);
        committee.members[2].start();
        committee.agrees(&[0, 1, 2, 3], &acknowledged);
    }
}

#[test]
fn p10_a_divided_network_forks_nothing_and_goes_on_when_it_is_whole_again() {
    if !apart::played("faults::divided_child") {
        println!("this machine allows no network namespaces: the far side is frozen instead");
        divided(Committee::start());
    }
}

/// Not a test by itself: what the test above plays in a network of its own.
#[test]
fn divided_child() {
    if apart::inside() {
        divided(Committee::start_apart());
    }
}

fn divided(mut committee: Committee) {
    let load = committee.load();
    for _ in 0..rounds() {
        committee.reaches(0, committee.height(0) + SOME);
        // Half and half: nobody is a quorum, for longer than a silent connection is kept.
        committee.divide(&[2, 3]);
        let stood = committee.stands_still(0);
        for (who, other) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
            committee.gives_up(who, other);
        }
        assert!(committee.height(0) <= stood + 1);
        committee.join();
        committee.reaches(0, stood + SOME);
        committee.reaches(3, stood + SOME);

        // One alone: the others go on, and it catches up.
        committee.divide(&[3]);
        committee.reaches(0, committee.height(0) + 2 * SOME);
        committee.join();
        committee.reaches(3, committee.height(0));
    }
    committee.agrees(&[0, 1, 2, 3], &load.stop());
}

#[test]
fn p10_a_validator_whose_disk_is_full_holds_nobody_up_and_goes_on_when_there_is_room() {
    let mut committee = Committee::start();
    let load = committee.load();
    for _ in 0..rounds() {
        committee.reaches(1, committee.height(1) + SOME);
        limit(committee.members[1].pid(), &FULL_AT.to_string());
        // It says so, or ends: it is not relied on in either case.
        until("a full disk shows", || {
            let member = &mut committee.members[1];
            (!member.is_up() || member.get("/readyz").is_none()).then_some(())
        });
        committee.reaches(0, committee.height(0) + 4 * SOME);
        // Room again. Whoever has ended is started by its supervisor.
        let member = &mut committee.members[1];
        if member.is_up() {
            limit(member.pid(), "unlimited");
        }
        until("it goes on", || {
            let member = &mut committee.members[1];
            if !member.is_up() {
                member.start();
            }
            member.get("/readyz")
        });
        committee.reaches(1, committee.height(0) + SOME);
    }
    committee.agrees(&[0, 1, 2, 3], &load.stop());
}

#[test]
fn p10_a_validator_on_an_old_copy_of_its_disk_catches_up_and_forks_nothing() {
    let mut committee = Committee::start();
    let load = committee.load();
    for _ in 0..rounds() {
        committee.reaches(1, committee.height(0) + SOME);
        committee.members[1].stop("-TERM");
        let dir = committee.members[1].dir.clone();
        let copy = committee.folder().join("old-copy");
        copy_folder(&dir, &copy);
        committee.members[1].start();
        committee.reaches(1, committee.height(0) + 4 * SOME);
        committee.members[1].stop("-KILL");
        std::fs::remove_dir_all(&dir).unwrap();
        std::fs::rename(&copy, &dir).unwrap();
        committee.members[1].start();
        committee.reaches(1, committee.height(0) + SOME);
    }
    committee.agrees(&[0, 1, 2, 3], &load.stop());
}

#[test]
fn p10_a_second_process_with_one_key_is_refused_on_its_disk_and_harmless_elsewhere() {
    let committee = Committee::start();
    let load = committee.load();
    committee.reaches(0, SOME);

    // On the same folder: the second one says why and ends, the first one goes on.
    let mut second = double_config(&committee);
    let dir = committee.members[0].dir.clone();
    let refused = Command::new(crate::nation::PROGRAM)
        .args(["node", "--config"])
        .arg(&second.1)
        .env("REALDID_NODE_DIR", &dir)
        .env("REALDID_NODE_GENESIS", dir.join("genesis.cbor"))
        .output()
        .unwrap();
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("in_use"), "{said}");

    // On an empty disk at another address: it signs with the same key and remembers nothing.
    for _ in 0..rounds() {
        second.0.start();
        committee.reaches(0, committee.height(1) + 5 * SOME);
        second.0.stop("-KILL");
        committee.reaches(0, committee.height(1) + SOME);
    }
    committee.agrees(&[0, 1, 2, 3], &load.stop());
}

/// A second process for the first validator: the same keys, and nothing else on its disk.
fn double_config(committee: &Committee) -> (crate::committee::Member, std::path::PathBuf) {
    let member = &committee.members[0];
    let copy = committee.folder().join("second");
    std::fs::create_dir(&copy).unwrap();
    for file in ["validator.json", "genesis.cbor", "node.toml"] {
        std::fs::copy(member.dir.join(file), copy.join(file)).unwrap();
    }
    copy_folder(&member.dir.join("shares"), &copy.join("shares"));
    let second = double(member, copy.clone());
    (second, copy.join("node.toml"))
}

fn copy_folder(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

/// Sets how far a process's files may grow, while it runs.
fn limit(pid: u32, bytes: &str) {
    let set = Command::new("prlimit")
        .args([
            "--pid",
            &pid.to_string(),
            &format!("--fsize={bytes}:unlimited"),
        ])
        .status();
    assert!(set.unwrap().success());
}
