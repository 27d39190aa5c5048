//! P4: an adversary that has everything that anybody but the wallets has tries to link accounts of two
//! services to each other and to people, and does no better than chance.
//!
//! A population of some hundred people refreshes by the wallet's own schedule and signs in at two
//! services over three days, with real RealPasses. The adversary ([`adversary`]) has the authority's
//! records (facts, commitments, entropy, every signature that it issued, the time of every refresh),
//! both gates' transcripts with times, pseudonyms, DIDs and presentations, and when a replica was asked
//! about which DID, which is when the gate saw it. The control shows that the same adversary
//! succeeds where wallets refresh on demand, so that the test can fail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod adversary;
mod nation;

use adversary::{Outcome, by_order, by_refresh, by_turn};
use nation::{Nation, Refresh};

/// Standard deviations: what chance alone exceeds once in 30,000 times.
const BOUND: f64 = 4.0;
/// Wherever the adversary looks, so many people are there.
const PEOPLE: usize = 200;

/// Each way in which the adversary links by times, with its name.
fn attacks(nation: &Nation) -> Vec<(String, Outcome)> {
    let mut outcomes = Vec::new();
    for (name, service) in ["the first", "the second"].iter().zip(0..2) {
        let outcome = by_refresh(nation, service);
        outcomes.push((
            format!("people at {name} service by their refreshes"),
            outcome,
        ));
    }
    outcomes.push((
        "accounts by the order of their first logins".into(),
        by_order(nation),
    ));
    outcomes.push((
        "accounts by what they do as an epoch begins".into(),
        by_turn(nation),
    ));
    outcomes
}

#[test]
fn p4_an_adversary_with_every_database_and_the_ledger_links_no_better_than_chance() {
    let mut nation = Nation::new(PEOPLE, Refresh::AsTheWalletPlans, 1);
    nation.sign_in_for_real();
    for (attack, outcome) in attacks(&nation) {
        assert!(
            outcome.people >= PEOPLE * 9 / 10,
            "{attack}: everybody is tried"
        );
        assert!(outcome.rank_deviations() < BOUND, "{attack}: {outcome:?}");
        assert!(outcome.hit_deviations() < BOUND, "{attack}: {outcome:?}");
    }
    // No value that two of them have joins anybody, in whatever form it stands.
    let report = adversary::by_values(&nation);
    assert_eq!(report.values, []);
    assert_eq!(report.times, []);
    assert_eq!(report.people, [PEOPLE; 2]);
    assert!(report.stored_bytes > 100_000);
}

#[test]
fn p4_the_same_adversary_links_wallets_that_refresh_on_demand() {
    let nation = Nation::new(PEOPLE, Refresh::OnDemand, 1);
    for (attack, outcome) in attacks(&nation).into_iter().take(2) {
        assert!(
            outcome.rank_deviations() > 3.0 * BOUND,
            "{attack}: {outcome:?}"
        );
        assert!(
            outcome.hits > 0.8 * outcome.people as f64,
            "{attack}: {outcome:?}"
        );
    }
}

#[test]
fn p4_the_same_adversary_links_people_who_come_as_soon_as_an_epoch_begins() {
    let nation = Nation::new(PEOPLE, Refresh::ThenSignsInEverywhere, 1);
    let all = attacks(&nation);
    for (attack, outcome) in &all[2..] {
        assert!(
            outcome.rank_deviations() > 3.0 * BOUND,
            "{attack}: {outcome:?}"
        );
    }
}

#[test]
fn p4_a_value_of_one_person_at_both_services_is_seen() {
    let mut nation = Nation::new(12, Refresh::AsTheWalletPlans, 2);
    nation.mark = true;
    nation.sign_in_for_real();
    let report = adversary::by_values(&nation);
    assert!(report.joined && !report.values.is_empty());
}
