use super::*;

/// A country: an epoch of a day, renewed within six hours.
fn country() -> Parameters {
    Parameters {
        epoch_s: 86_400,
        refresh_lead_s: 21_600,
        ..Parameters::development()
    }
}

/// A cheap generator with a full period of 2^64 (SplitMix64).
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[test]
fn p4_every_moment_lies_within_the_window() {
    let mut draws = Draws(1);
    for parameters in [country(), Parameters::development()] {
        let (epoch_ms, lead_ms) = (parameters.epoch_s * 1000, parameters.refresh_lead_s * 1000);
        for _ in 0..20_000 {
            let epoch = 20_000 + draws.next() % 1000;
            let begins = parameters.pass_begins_ms(epoch);
            let now = begins + draws.next() % epoch_ms;
            let random = [0, u64::MAX, draws.next()][(draws.next() % 3) as usize];
            let plan = next_pass(&parameters, &[epoch], None, now, random);
            let next = begins + epoch_ms;
            assert_eq!(plan.what, epoch + 1);
            assert!(plan.at_ms >= now && plan.at_ms >= next - lead_ms);
            if now < next - lead_ms / 10 {
                assert!(
                    plan.at_ms < next - lead_ms / 10,
                    "a tenth of the lead is left"
                );
            } else {
                assert!(plan.at_ms < next, "before the epoch begins");
            }
            assert!(parameters.pass_issuable(epoch + 1, plan.at_ms));
        }
    }
}

/// Chi-square over 20 equal parts of the window with 19 degrees of freedom: a uniform draw exceeds
/// 43.8 once in a thousand seeds, and this seed is fixed.
#[test]
fn p4_moments_are_uniform_over_the_window_and_drawn_anew() {
    let parameters = country();
    let begins = parameters.pass_begins_ms(20_000);
    let window = window(&parameters, begins + 86_400_000);
    let mut draws = Draws(7);
    let mut counts = [0u32; 20];
    let mut moments = vec![];
    for _ in 0..20_000 {
        let plan = next_pass(&parameters, &[20_000], None, begins, draws.next());
        let range = window.to_ms - window.from_ms;
        counts[((plan.at_ms - window.from_ms) * 20 / range) as usize] += 1;
        moments.push(plan.at_ms);
    }
    let chi: f64 = counts
        .iter()
        .map(|count| (f64::from(*count) - 1000.0).powi(2) / 1000.0)
        .sum();
    assert!(chi < 43.8, "{chi}: {counts:?}");
    moments.sort_unstable();
    moments.dedup();
    assert!(moments.len() > 19_900, "hardly two are alike");
}

/// Whatever is done between, and whenever it is looked at, a plan that was drawn stands; what is
/// fetched for a login leaves the moment of the next one alone.
#[test]
fn p4_no_login_moves_a_moment() {
    let parameters = country();
    let begins = parameters.pass_begins_ms(20_000);
    let mut draws = Draws(3);
    for _ in 0..1000 {
        let plan = next_pass(&parameters, &[20_000], None, begins, draws.next());
        for _ in 0..10 {
            let now = begins + draws.next() % 86_400_000;
            let again = next_pass(&parameters, &[20_000], Some(plan), now, draws.next());
            assert_eq!(again, plan);
        }
    }
    // With the next one at hand, the one after it is planned, not before its own window.
    let later = next_pass(&parameters, &[20_000, 20_001], None, begins, draws.next());
    assert_eq!(later.what, 20_002);
    assert!(later.at_ms >= parameters.pass_begins_ms(20_002) - 21_600_000);
}

#[test]
fn without_a_pass_for_now_it_is_fetched_now() {
    let parameters = country();
    let now = parameters.pass_begins_ms(20_000) + 5;
    for held in [vec![], vec![19_999], vec![20_001]] {
        let plan = next_pass(&parameters, &held, None, now, 9);
        assert_eq!((plan.what, plan.at_ms), (20_000, now));
    }
}

#[test]
fn copies_are_renewed_before_they_expire_and_not_because_they_were_shown() {
    let parameters = country();
    let expires = parameters.credential_expiry_s(20_000) * 1000;
    let now = parameters.pass_begins_ms(20_000);
    let mut draws = Draws(5);
    let mut soon = 0;
    for _ in 0..1000 {
        let plan = next_copies(&parameters, expires, None, now, draws.next());
        assert!(plan.at_ms >= expires - 21_600_000 && plan.at_ms < expires - 2_160_000);
        let used_up = next_copies(&parameters, 0, Some(plan), now, draws.next());
        assert!((now..now + 86_400_000).contains(&used_up.at_ms));
        soon += u32::from(used_up.at_ms < now + 8_640_000);
    }
    assert!(
        (50..200).contains(&soon),
        "a tenth of the time holds a tenth: {soon}"
    );
}

#[test]
fn failures_are_retried_later_and_apart() {
    let parameters = country();
    let mut draws = Draws(11);
    let now = 1_000_000_000_000;
    let plan = Plan {
        what: 1,
        at_ms: now,
        failures: 0,
    };
    let mut spread = [0; 12];
    for _ in 0..200 {
        let mut plan = plan;
        for (n, spread) in spread.iter_mut().enumerate() {
            let next = after_failure(&parameters, plan, now, draws.next());
            assert_eq!(next.what, plan.what);
            assert_eq!(next.failures as usize, n + 1);
            assert!(next.at_ms > now, "never at once");
            assert!(next.at_ms <= now + 3_000_000, "within minutes");
            *spread = (*spread).max(next.at_ms - now);
            plan = next;
        }
    }
    assert!(spread[1] > spread[0] && spread[3] > spread[1]);
    let tired = Plan {
        failures: u32::MAX,
        ..plan
    };
    assert_eq!(after_failure(&parameters, tired, now, 0).failures, u32::MAX);
}

#[test]
fn times_read_as_people_write_them() {
    for (seconds, text) in [
        (0, "1970-01-01T00:00:00Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (1_709_251_199, "2024-02-29T23:59:59Z"),
        (1_709_251_200, "2024-03-01T00:00:00Z"),
        (1_795_622_400, "2026-11-25T16:00:00Z"),
        (4_107_542_400, "2100-03-01T00:00:00Z"),
    ] {
        assert_eq!(utc(seconds * 1000 + 999), text);
    }
}

#[test]
fn p4_paths_are_asked_for_at_a_drawn_moment_after_their_batch_may_be_closed() {
    let parameters = Parameters::development();
    let now_ms = 1_800_000_000_000;
    let (first_ms, last_ms) = (now_ms + 10_000, now_ms + 25_000);
    let plan = |random| next_paths(&parameters, 7, None, now_ms, random);
    assert_eq!(plan(0).at_ms, first_ms);
    assert_eq!(plan(u64::MAX).at_ms, last_ms - 1);
    // what was drawn stays, and other copies have a moment of their own
    let drawn = plan(5);
    assert_eq!(
        next_paths(&parameters, 7, Some(drawn), now_ms + 1, 9),
        drawn
    );
    let other = next_paths(&parameters, 8, Some(drawn), now_ms, u64::MAX);
    assert_eq!((other.what, other.at_ms), (8, last_ms - 1));
}
