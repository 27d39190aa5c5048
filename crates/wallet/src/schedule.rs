//! When a wallet fetches what it will show (spec/wallet.md, W9 and W10): functions of times and randomness
//! alone, so that they cannot depend on what the person does.
//!
//! The authority sees when it is asked, and services see when they are visited. Whoever puts the two
//! together must learn nothing: each wallet draws one moment of a window that everybody shares, anew
//! for each epoch, and no login moves it.
//!
//! ```text
//!          until - lead                    until - lead/10    until
//! ─────────────┼───────────── drawn here ─────────┼────────────┼─────
//! ```

use crate::content::Plan;
use realdid_core::genesis::Parameters;

/// From when until when a moment is drawn, in Unix milliseconds, the end excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub from_ms: u64,
    pub to_ms: u64,
    /// When what is replaced ends.
    pub until_ms: u64,
}

/// The window before `until_ms`: from the refresh lead to a tenth of it.
pub fn window(parameters: &Parameters, until_ms: u64) -> Window {
    let lead_ms = parameters.refresh_lead_s.saturating_mul(1000);
    Window {
        from_ms: until_ms.saturating_sub(lead_ms),
        to_ms: until_ms.saturating_sub(lead_ms / 10),
        until_ms,
    }
}

/// A moment of the window, uniform over what is left of it. Where it is over, a moment before what
/// is replaced ends; where that is over too, now.
pub fn moment(window: Window, now_ms: u64, random: u64) -> u64 {
    let from_ms = window.from_ms.max(now_ms);
    if from_ms < window.to_ms {
        uniform(from_ms, window.to_ms, random)
    } else if now_ms < window.until_ms {
        uniform(now_ms, window.until_ms, random)
    } else {
        now_ms
    }
}

/// The plan for the next RealPass: at once where there is none for the current epoch, otherwise a
/// moment before the first epoch that has none. A plan that was made stays.
///
/// `held` are the epochs for which there is one.
pub fn next_pass(
    parameters: &Parameters,
    held: &[u64],
    plan: Option<Plan>,
    now_ms: u64,
    random: u64,
) -> Plan {
    let current = parameters.epoch_at(now_ms);
    let mut epoch = current;
    while held.contains(&epoch) {
        epoch += 1;
    }
    match plan {
        Some(plan) if plan.what == epoch => plan,
        _ => Plan {
            what: epoch,
            at_ms: if epoch == current {
                now_ms
            } else {
                let until_ms = parameters.pass_begins_ms(epoch);
                moment(window(parameters, until_ms), now_ms, random)
            },
            failures: 0,
        },
    }
}

/// The plan for fresh PID copies, before the present ones expire. Where all have been shown, some
/// time within an epoch: the last one was shown in a login, which must not be followed by a request.
pub fn next_copies(
    parameters: &Parameters,
    expires_ms: u64,
    plan: Option<Plan>,
    now_ms: u64,
    random: u64,
) -> Plan {
    match plan {
        Some(plan) if plan.what == expires_ms => plan,
        _ => Plan {
            what: expires_ms,
            at_ms: if expires_ms <= now_ms {
                let epoch_ms = parameters.epoch_s.saturating_mul(1000);
                uniform(now_ms, now_ms.saturating_add(epoch_ms), random)
            } else {
                moment(window(parameters, expires_ms), now_ms, random)
            },
            failures: 0,
        },
    }
}

/// The plan for the paths of copies that expire then: their batch is closed within a while after they came,
/// and until an epoch is over most have asked. A plan that was made stays.
pub fn next_paths(
    parameters: &Parameters,
    expires_ms: u64,
    plan: Option<Plan>,
    now_ms: u64,
    random: u64,
) -> Plan {
    match plan {
        Some(plan) if plan.what == expires_ms => plan,
        _ => {
            let from_ms = now_ms + parameters.status_period_s.saturating_mul(1000);
            let epoch_ms = parameters.epoch_s.saturating_mul(1000);
            Plan {
                what: expires_ms,
                at_ms: uniform(from_ms, from_ms.saturating_add(epoch_ms / 4), random),
                failures: 0,
            }
        }
    }
}

/// After a failure: later, by a time that doubles with each one up to a tenth of the lead, and is
/// spread over its whole range, so that wallets which failed together do not come back together.
pub fn after_failure(parameters: &Parameters, plan: Plan, now_ms: u64, random: u64) -> Plan {
    let most_ms = parameters.refresh_lead_s.saturating_mul(100).max(2000);
    let first_ms = (most_ms / 64).max(1000);
    let range_ms = first_ms
        .saturating_mul(1 << plan.failures.min(20))
        .min(most_ms);
    Plan {
        at_ms: uniform(
            now_ms + first_ms / 2,
            now_ms + first_ms / 2 + range_ms,
            random,
        ),
        failures: plan.failures.saturating_add(1),
        ..plan
    }
}

/// A number from `from` up to and without `to`, uniform where `random` is: the product's upper half
/// has a bias below 2^-64 times the range.
fn uniform(from: u64, to: u64, random: u64) -> u64 {
    let range = to.saturating_sub(from);
    let product = u128::from(range) * u128::from(random);
    from + (product >> 64) as u64
}

/// A time for people: `2026-11-25T16:00:00Z`.
pub fn utc(time_ms: u64) -> String {
    let seconds = time_ms / 1000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Civil from days, in eras of 400 years that begin in March, so that leap days come last.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests;
