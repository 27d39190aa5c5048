//! Histories of follower counts against the example policy, those of people who try to get around it
//! included.

use super::policy::*;

/// A Tuesday morning, in days of Unix time.
const START: u64 = 20_000;

fn policy() -> Policy {
    Policy::parse(EXAMPLE).unwrap()
}

fn at(day: u64) -> u64 {
    (START + day) * DAY_S + 30_000
}

/// An account under the example policy, looked at each time something is reported.
struct Life {
    policy: Policy,
    account: Account,
    seen: Vec<(u64, String)>,
}

impl Life {
    fn of(kind: Kind) -> Self {
        let account = Account {
            kind,
            ..Account::default()
        };
        Self {
            policy: policy(),
            account,
            seen: vec![],
        }
    }

    fn look(&mut self, day: u64) {
        while let Some(change) = self.policy.next_change(&self.account, at(day)) {
            let word = match &change {
                Change::Require(requirement) => {
                    format!("require {} {:?}", requirement.rule, requirement.shows)
                }
                Change::Lift(rule) => format!("lift {rule}"),
                Change::Refuse(rule) => format!("refuse {rule}"),
                Change::ReliefEnded(why) => format!("ended {why:?}"),
            };
            self.seen.push((day, word));
            assert!(self.seen.len() < 100, "no end: {:?}", self.seen);
            self.account.apply(&change);
        }
    }

    fn report(&mut self, day: u64, followers: u64, topics: &[&str]) {
        let report = Report {
            at_s: at(day),
            followers,
            topics: topics.iter().map(ToString::to_string).collect(),
        };
        self.account.history.report(&report, at(day)).unwrap();
        self.look(day);
    }

    fn standing(&self, day: u64) -> Standing {
        self.policy.standing(&self.account, at(day))
    }
}

/// Followers by day; between two entries nothing is reported. What is decided on which day.
type Counts<'a> = &'a [(u64, u64)];

fn decided(kind: Kind, topics: &[&str], history: Counts<'_>) -> Vec<(u64, String)> {
    let mut life = Life::of(kind);
    for (day, followers) in history {
        life.report(*day, *followers, topics);
    }
    life.seen
}

fn words(of: &[(u64, &str)]) -> Vec<(u64, String)> {
    of.iter()
        .map(|(day, word)| (*day, (*word).to_owned()))
        .collect()
}

/// A report each third day, from `from` to `to`.
fn steady(from: u64, to: u64, followers: u64) -> Vec<(u64, u64)> {
    (from..=to).step_by(3).map(|day| (day, followers)).collect()
}

#[test]
fn the_thresholds_of_the_example_are_met_by_the_peak_and_by_topic() {
    let m = 1_000_000;
    let very = "require very-large Person";
    let public = "require public-interest Person";
    let table: &[(&[&str], Counts<'_>, &[(u64, &str)])] = &[
        (&[], &[(0, 0), (1, m - 1)], &[]),
        (&[], &[(0, 0), (1, m)], &[(1, very)]),
        (&["food"], &[(0, 600_000)], &[]),
        (&["finance"], &[(0, 499_999)], &[]),
        (&["finance"], &[(0, 500_000)], &[(0, public)]),
        (&["food", "law"], &[(0, 700_000)], &[(0, public)]),
        // One rule at a time: who is asked already is not asked again by the next threshold.
        (&["law"], &[(0, 500_000), (1, 2 * m)], &[(0, public)]),
    ];
    for (topics, history, expected) in table {
        assert_eq!(
            decided(Kind::Person, topics, history),
            words(expected),
            "{history:?}"
        );
    }
}

#[test]
fn who_is_behind_an_account_decides_whose_name_is_shown() {
    for (kind, shows) in [
        (Kind::Person, "Person"),
        (Kind::Organisation, "Organisation"),
        (Kind::Backed, "Organisation"),
    ] {
        let expected = format!("require very-large {shows}");
        assert_eq!(
            decided(kind, &[], &[(0, 2_000_000)]),
            words(&[(0, &expected)])
        );
    }
    // An organisation that turns up behind a person later is a new requirement, with a grace of its own.
    let mut life = Life::of(Kind::Person);
    life.report(0, 2_000_000, &[]);
    life.account.kind = Kind::Backed;
    life.look(10);
    assert_eq!(
        life.seen[1],
        (10, "require very-large Organisation".to_owned())
    );
    assert_eq!(life.account.requirement.unwrap().since_s, at(10));
}

#[test]
fn purging_followers_is_no_way_out() {
    // Down to nothing the day after: the peak stays for the window, and the grace runs.
    let mut purged = vec![(0, 1_200_000), (1, 10)];
    purged.extend(steady(4, 88, 10));
    let seen = decided(Kind::Person, &[], &purged);
    assert_eq!(
        seen,
        words(&[(0, "require very-large Person"), (16, "refuse very-large")])
    );
    // Before the count is ever seen at the threshold, but within one day.
    let mut life = Life::of(Kind::Person);
    for (second, followers) in [(0, 900_000), (1, 1_000_001), (2, 20)] {
        let report = Report {
            at_s: at(0) + second,
            followers,
            topics: vec![],
        };
        life.account.history.report(&report, at(0) + 10).unwrap();
    }
    life.look(0);
    assert_eq!(life.seen.len(), 1);
    // Just below the threshold for a year: it never lifts, since that asks for less than 80 percent.
    let mut below = vec![(0, 1_000_000)];
    below.extend(steady(1, 365, 999_999));
    let seen = decided(Kind::Person, &[], &below);
    assert!(
        !seen.iter().any(|(_, word)| word.starts_with("lift")),
        "{seen:?}"
    );
}

#[test]
fn a_requirement_lifts_when_the_whole_window_was_low_and_covered() {
    let mut honest = vec![(0, 1_000_000)];
    honest.extend(steady(1, 100, 700_000));
    let seen = decided(Kind::Person, &[], &honest);
    // Day 0 leaves the window of 90 days on day 90; the next report is on day 91.
    assert_eq!(seen.last(), Some(&(91, "lift very-large".to_owned())));
    // And who grows again is asked again, with a new grace.
    honest.push((101, 1_000_000));
    let seen = decided(Kind::Person, &[], &honest);
    assert_eq!(
        seen.last(),
        Some(&(101, "require very-large Person".to_owned()))
    );
}

#[test]
fn silence_is_worth_what_was_said_before_it() {
    // Nothing for a year: the last count stands in every window, and nothing lifts.
    let mut life = Life::of(Kind::Person);
    life.report(0, 1_000_000, &[]);
    for day in [50, 120, 365, 1000] {
        life.look(day);
        assert_eq!(life.policy.peak(&life.account, at(day)), 1_000_000);
    }
    assert_eq!(life.seen.len(), 2, "{:?}", life.seen);
    // A low report after a gap does not make the gap low: the window has to be covered.
    let mut gap = vec![(0, 1_000_000)];
    gap.extend(steady(1, 40, 10));
    gap.extend(steady(60, 120, 10));
    let seen = decided(Kind::Person, &[], &gap);
    assert!(
        !seen.iter().any(|(_, word)| word.starts_with("lift")),
        "{seen:?}"
    );
    // When the gap has left the window, it lifts.
    gap.extend(steady(123, 160, 10));
    let seen = decided(Kind::Person, &[], &gap);
    assert_eq!(seen.last(), Some(&(150, "lift very-large".to_owned())));
}

#[test]
fn a_topic_counts_for_the_window_in_which_it_was_written_about() {
    let mut life = Life::of(Kind::Person);
    life.report(0, 600_000, &["health"]);
    for day in (3..=120).step_by(3) {
        life.report(day, 600_000, &["food"]);
    }
    let lifted = life.seen.last().unwrap();
    assert_eq!(
        lifted,
        &(90, "lift public-interest".to_owned()),
        "{:?}",
        life.seen
    );
    // Changing the subject on the day of the count does not help.
    let mut life = Life::of(Kind::Person);
    life.report(0, 400_000, &["finance"]);
    life.report(1, 600_000, &["food"]);
    assert_eq!(life.seen, words(&[(1, "require public-interest Person")]));
}

#[test]
fn reports_that_go_back_in_time_come_from_the_future_or_contradict_themselves_are_refused() {
    let mut history = History::default();
    let report = |at_s, followers| Report {
        at_s,
        followers,
        topics: vec![],
    };
    let now = at(5);
    history.report(&report(at(4), 100), now).unwrap();
    let before = history.clone();
    for (refused, why) in [
        (report(at(3), 5), PolicyError::BackInTime),
        (report(at(4) - 1, 100), PolicyError::BackInTime),
        (report(at(4), 99), PolicyError::Changed),
        (report(now + 61, 100), PolicyError::Future),
        (
            Report {
                topics: vec![String::new()],
                ..report(now, 1)
            },
            PolicyError::Topics,
        ),
        (
            Report {
                topics: vec!["x".to_owned(); 33],
                ..report(now, 1)
            },
            PolicyError::Topics,
        ),
    ] {
        assert_eq!(history.report(&refused, now), Err(why));
        assert_eq!(history, before, "what is refused changes nothing");
    }
    history.report(&report(at(4), 100), now).unwrap();
    history.report(&report(now + 60, 100), now).unwrap();
}

#[test]
fn a_history_keeps_no_more_than_the_longest_window() {
    let mut life = Life::of(Kind::Person);
    for day in 0..2000 {
        life.report(day, day, &[]);
    }
    let kept = serde_json::to_value(&life.account.history).unwrap();
    assert!(kept["days"].as_array().unwrap().len() <= 368);
    assert_eq!(life.account.history.newest(), 1999);
}

#[test]
fn a_refusal_costs_after_the_grace_unless_a_name_is_shown_or_an_appeal_is_open() {
    let mut life = Life::of(Kind::Person);
    life.report(0, 1_000_000, &[]);
    assert_eq!(life.standing(13), Standing::Due);
    assert!(life.policy.costs(&life.account, at(13)).is_empty());
    assert_eq!(life.standing(14), Standing::Overdue);
    let costs = [Cost::Label, Cost::NoRecommendation, Cost::NoIncome];
    assert_eq!(life.policy.costs(&life.account, at(14)), costs);
    life.account.appealed = true;
    assert!(life.policy.costs(&life.account, at(14)).is_empty());
    life.look(14);
    assert_eq!(life.seen.len(), 1, "no refusal while an appeal is open");
    life.account.appealed = false;
    life.account.shown_until_s = Some(at(30));
    assert_eq!(life.standing(14), Standing::Shown);
    assert!(life.policy.costs(&life.account, at(14)).is_empty());
    // When the display ends and no other has taken its place, the requirement is overdue at once.
    assert_eq!(life.standing(30), Standing::Overdue);
    life.look(30);
    assert_eq!(life.seen[1], (30, "refuse very-large".to_owned()));
    life.look(31);
    assert_eq!(life.seen.len(), 2, "said once");
}

#[test]
fn a_persons_name_does_not_do_for_an_organisations_nor_the_reverse() {
    for (kind, own, other) in [
        (Kind::Person, Kind::Person, Kind::Organisation),
        (Kind::Organisation, Kind::Organisation, Kind::Person),
        (Kind::Backed, Kind::Backed, Kind::Person),
    ] {
        let mut life = Life::of(kind);
        assert_eq!(life.account.shows(), kind, "without a requirement too");
        life.report(0, 1_000_000, &[]);
        assert_eq!(life.account.shows(), own);
        life.account.shown_until_s = Some(at(30));
        life.account.shown = other;
        assert_eq!(life.standing(13), Standing::Due);
        assert_eq!(life.standing(14), Standing::Overdue);
        assert!(!life.policy.costs(&life.account, at(14)).is_empty());
        life.account.shown = own;
        assert_eq!(life.standing(14), Standing::Shown);
    }
    // Where nothing is asked, any name that stands is one that is shown.
    let mut life = Life::of(Kind::Organisation);
    life.report(0, 1, &[]);
    life.account.shown_until_s = Some(at(30));
    assert_eq!(life.standing(1), Standing::Shown);
    // An account that changes hands between kinds is asked anew, with a grace of its own.
    let mut life = Life::of(Kind::Person);
    life.report(0, 1_000_000, &[]);
    life.account.shown_until_s = Some(at(90));
    life.account.kind = Kind::Backed;
    life.look(20);
    assert_eq!(life.account.shows(), Kind::Backed);
    assert_eq!(life.standing(33), Standing::Due);
    assert_eq!(life.standing(34), Standing::Overdue);
}

#[test]
fn an_account_of_before_there_were_kinds_of_names_shows_a_persons() {
    let mut account = serde_json::to_value(Account::default()).unwrap();
    account["shown_until_s"] = at(30).into();
    account.as_object_mut().unwrap().remove("shown").unwrap();
    let read: Account = serde_json::from_value(account).unwrap();
    assert_eq!(read.shown, Kind::Person);
}

#[test]
fn an_exemption_holds_everything_off_and_ends_by_itself() {
    let mut life = Life::of(Kind::Person);
    life.report(0, 3_000_000, &["law"]);
    let relief = life.policy.exemption(1000, at(1));
    assert_eq!(relief.until_s, at(181), "no longer than the policy says");
    life.account.relieve(relief);
    life.report(2, 3_000_000, &["law"]);
    for day in [20, 180] {
        life.look(day);
        assert_eq!(life.standing(day), Standing::Free);
        assert!(life.policy.costs(&life.account, at(day)).is_empty());
    }
    life.look(181);
    let expected = [
        (0, "require public-interest Person"),
        (181, "ended UnderThreat"),
        (181, "require very-large Person"),
    ];
    // The last topic was written about on day 2, and has left the window: the other rule asks.
    assert_eq!(life.seen, words(&expected));
    let upheld = life.policy.upheld(at(200));
    assert_eq!((upheld.why, upheld.until_s), (Why::AppealUpheld, at(565)));
}

#[test]
fn a_policy_that_could_not_work_is_refused() {
    for (from, to, why) in [
        (
            "grace_days = 14",
            "grace_days = 14\nsurprise = 1",
            PolicyError::Malformed,
        ),
        (
            "followers = 500_000",
            "followers = -1",
            PolicyError::Malformed,
        ),
        ("\"no-income\"", "\"no-account\"", PolicyError::Malformed),
        (
            "person = \"person\"",
            "person = \"everybody\"",
            PolicyError::Malformed,
        ),
        ("window_days = 90", "window_days = 0", PolicyError::Bounds),
        ("window_days = 90", "window_days = 367", PolicyError::Bounds),
        (
            "below_percent = 80",
            "below_percent = 100",
            PolicyError::Bounds,
        ),
        ("followers = 500_000", "followers = 0", PolicyError::Bounds),
        (
            "id = \"very-large\"",
            "id = \"public-interest\"",
            PolicyError::Bounds,
        ),
        (
            "name = \"example-2026-1\"",
            "name = \"\"",
            PolicyError::Bounds,
        ),
    ] {
        let text = EXAMPLE.replace(from, to);
        assert_ne!(text, EXAMPLE, "{from}");
        assert_eq!(Policy::parse(&text), Err(why), "{to}");
    }
    assert_eq!(Policy::parse("name = \"x\""), Err(PolicyError::Malformed));
}
