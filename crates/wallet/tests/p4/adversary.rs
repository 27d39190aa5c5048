//! How the adversary links, and how much better than chance it did.
//!
//! An attack gives each candidate for an account a score. Of the true one, which the simulation knows,
//! two things are kept: whether it came first, and its rank among the candidates that have the facts
//! that the account showed, since those facts alone say that much. Where scores say nothing, ranks are
//! uniform, and one of n candidates comes first once in n times.

use realdid_unlink::{Check, Report};

use crate::nation::{EPOCHS, FIRST_EPOCH, Nation};

/// The sum over all accounts of an attack.
#[derive(Debug, Default)]
pub struct Outcome {
    pub people: usize,
    pub hits: f64,
    /// Hits by chance.
    expected: f64,
    /// Ranks of the true ones, from 0 (first) to 1 (last), and their variance by chance.
    ranks: f64,
    variance: f64,
}

impl Outcome {
    /// `scores` of all candidates that fit, the true one at `truth`.
    fn add(&mut self, scores: &[f64], truth: usize) {
        let others = scores.len() as f64 - 1.0;
        if others < 1.0 {
            return;
        }
        let own = scores[truth];
        let better = scores.iter().filter(|score| **score > own).count() as f64;
        let equal = scores.iter().filter(|score| **score == own).count() as f64 - 1.0;
        if better == 0.0 {
            self.hits += 1.0 / (equal + 1.0);
        }
        self.people += 1;
        self.expected += 1.0 / scores.len() as f64;
        self.ranks += (better + equal / 2.0) / others;
        self.variance += (others + 2.0) / (12.0 * others);
    }

    /// By how many standard deviations the true ones rank before the middle.
    pub fn rank_deviations(&self) -> f64 {
        (self.people as f64 / 2.0 - self.ranks) / self.variance.sqrt()
    }

    /// By how many standard deviations there are more hits than by chance.
    pub fn hit_deviations(&self) -> f64 {
        (self.hits - self.expected) / self.expected.sqrt().max(1.0)
    }
}

fn epochs() -> impl Iterator<Item = u64> {
    FIRST_EPOCH..FIRST_EPOCH + EPOCHS
}

/// Every account against every candidate that fits: `fits` by what was shown, `score` by times.
fn every(
    nation: &Nation,
    fits: impl Fn(usize, usize) -> bool,
    score: impl Fn(usize, usize) -> f64,
) -> Outcome {
    let mut outcome = Outcome::default();
    for account in 0..nation.people.len() {
        let candidates: Vec<usize> = (0..nation.people.len())
            .filter(|candidate| fits(account, *candidate))
            .collect();
        let scores: Vec<f64> = candidates
            .iter()
            .map(|other| score(account, *other))
            .collect();
        let truth = candidates
            .iter()
            .position(|candidate| *candidate == account);
        outcome.add(&scores, truth.expect("the true one fits"));
    }
    outcome
}

/// Accounts of a service to people: whose refresh stands shortly before the first login, epoch after
/// epoch.
pub fn by_refresh(nation: &Nation, service: usize) -> Outcome {
    let fits = |account: usize, person: usize| {
        nation.people[account].shown(service) == nation.people[person].shown(service)
    };
    every(nation, fits, |account, person| {
        epochs()
            .map(|epoch| {
                let login = nation.people[account].first_login(&nation.parameters, service, epoch);
                let refresh = nation.people[person].refreshes[&epoch];
                match login.checked_sub(refresh) {
                    Some(after_ms) => 1.0 / (1.0 + after_ms as f64 / 10_000.0),
                    None => 0.0,
                }
            })
            .sum()
    })
}

/// Accounts of one service to accounts of the other, which showed another fact: by their places in
/// the order of first logins.
pub fn by_order(nation: &Nation) -> Outcome {
    let count = nation.people.len();
    let places = [0, 1].map(|service| {
        epochs()
            .map(|epoch| {
                let time = |person: &usize| {
                    nation.people[*person].first_login(&nation.parameters, service, epoch)
                };
                let mut order: Vec<usize> = (0..count).collect();
                order.sort_by_key(time);
                let mut places = vec![0; count];
                for (place, person) in order.into_iter().enumerate() {
                    places[person] = place;
                }
                places
            })
            .collect::<Vec<_>>()
    });
    every(
        nation,
        |_, _| true,
        |account, other| {
            let [here, there] = &places;
            let apart = here.iter().zip(there);
            -apart
                .map(|(here, there)| here[account].abs_diff(there[other]) as f64)
                .sum::<f64>()
        },
    )
}

/// The same by how soon after an epoch's beginning each comes, and how close to each other.
pub fn by_turn(nation: &Nation) -> Outcome {
    every(
        nation,
        |_, _| true,
        |account, other| {
            epochs()
                .map(|epoch| {
                    let first = |person: usize, service| {
                        nation.people[person].first_login(&nation.parameters, service, epoch)
                    };
                    let apart_ms = first(account, 0).abs_diff(first(other, 1));
                    1.0 / (1.0 + apart_ms as f64 / 10_000.0)
                })
                .sum()
        },
    )
}

/// Values that two of them have, in whatever form.
pub fn by_values(nation: &Nation) -> Report {
    let [one, other] = nation.transcripts.as_ref().expect("people have signed in");
    let mut check = Check::new(one, other);
    check.store("authority", "database", &nation.authority_store);
    check.store("node", "block log", &nation.node_store);
    check.report()
}
