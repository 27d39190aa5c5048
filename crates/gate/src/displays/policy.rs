//! When a platform asks an account for its real name (spec/displays.md, rules Z1 to Z9): a policy that is
//! data, and plain functions over a history of follower counts. The clock is an argument.
//!
//! The one number that counts is the *peak* of followers within a window. It cannot be lowered by purging
//! followers, by reporting less often, or by telling the past anew: a report that goes back in time is
//! refused, a day without one is worth as much as the day before it.

use serde::{Deserialize, Serialize};

/// Who is behind an account, by the platform's own books; and so whose name it shows.
pub use realdid_exchange::display::Kind;

/// Seconds of a day.
pub const DAY_S: u64 = 86_400;
/// How far a platform's clock may be ahead of the gate's, in seconds.
const CLOCK_SKEW_S: u64 = 60;
/// The most rules of a policy, and the most topics of a rule or a report.
const MAX_ENTRIES: usize = 32;
/// The longest name, rule id or topic, in bytes.
const MAX_WORD_BYTES: usize = 64;
/// The longest window, in days.
const MAX_WINDOW_DAYS: u64 = 366;

/// The example that a platform begins with.
pub const EXAMPLE: &str = include_str!("../../templates/policy.toml");

/// A platform's policy, checked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    pub name: String,
    window_days: u64,
    max_gap_days: u64,
    grace_days: u64,
    display_days: u64,
    pub rules: Vec<Rule>,
    refusal: Refusal,
    lift: Lift,
    exemption: Exemption,
    appeal: Appeal,
}

/// From which peak on who shows what.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub id: String,
    pub followers: u64,
    /// Any, where none is named.
    pub topics: Vec<String>,
    person: Shows,
    organisation: Shows,
    backed: Shows,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusal {
    costs: Vec<Cost>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lift {
    below_percent: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exemption {
    max_days: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Appeal {
    upheld_days: u64,
}

/// Whose name is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shows {
    None,
    Person,
    Organisation,
}

/// What a refusal costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cost {
    Label,
    NoRecommendation,
    NoIncome,
    NoNewFollowers,
}

/// Why a policy is none, or a report is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("a policy has the keys of the example and no others")]
    Malformed,
    #[error(
        "a policy has 1 to 32 rules with names of 1 to 64 bytes, days of 1 to 366, a share of 1 to 99 percent"
    )]
    Bounds,
    #[error("a report is not older than the one before it")]
    BackInTime,
    #[error("a report was not made in the future")]
    Future,
    #[error("two reports of one moment say the same")]
    Changed,
    #[error("a report has at most 32 topics of 1 to 64 bytes")]
    Topics,
}

/// What a platform says of one account at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Unix seconds, by the platform's clock.
    pub at_s: u64,
    pub followers: u64,
    /// What the account has written about since the last report.
    pub topics: Vec<String>,
}

/// One day of reports, folded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Day {
    /// Days of Unix time.
    day: u64,
    peak: u64,
    /// The last count of the day: what a silence after it is worth.
    last: u64,
    topics: Vec<String>,
}

/// The counts of one account, as far back as any window reaches.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct History {
    days: Vec<Day>,
    last_at_s: u64,
    /// The day of the first report of all, from which on the account is covered.
    since_day: Option<u64>,
}

impl History {
    /// Takes in a report (rule Z2).
    pub fn report(&mut self, report: &Report, now_s: u64) -> Result<(), PolicyError> {
        let word = |topic: &String| (1..=MAX_WORD_BYTES).contains(&topic.len());
        if report.topics.len() > MAX_ENTRIES || !report.topics.iter().all(word) {
            return Err(PolicyError::Topics);
        }
        if report.at_s > now_s.saturating_add(CLOCK_SKEW_S) {
            return Err(PolicyError::Future);
        }
        let last = self.days.last();
        if last.is_some() && report.at_s < self.last_at_s {
            return Err(PolicyError::BackInTime);
        }
        if last.is_some_and(|last| report.at_s == self.last_at_s && last.last != report.followers) {
            return Err(PolicyError::Changed);
        }
        let day = report.at_s / DAY_S;
        self.last_at_s = report.at_s;
        self.since_day.get_or_insert(day);
        match self.days.last_mut().filter(|last| last.day == day) {
            Some(today) => {
                today.peak = today.peak.max(report.followers);
                today.last = report.followers;
                let new = report
                    .topics
                    .iter()
                    .filter(|topic| !today.topics.contains(topic));
                let new: Vec<String> = new.take(MAX_ENTRIES).cloned().collect();
                today.topics.extend(new);
            }
            None => self.days.push(Day {
                day,
                peak: report.followers,
                last: report.followers,
                topics: report.topics.clone(),
            }),
        }
        // One day before the window stays: its last count is what the window begins with.
        let first = day.saturating_sub(MAX_WINDOW_DAYS);
        let old = self.days.partition_point(|kept| kept.day < first);
        self.days.drain(..old.saturating_sub(1));
        Ok(())
    }

    /// The followers of the last report.
    pub fn newest(&self) -> u64 {
        self.days.last().map_or(0, |day| day.last)
    }

    /// The days of the window that ends now, and the count that it begins with.
    fn window(&self, days: u64, now_s: u64) -> (&[Day], u64) {
        let first = (now_s / DAY_S).saturating_sub(days - 1);
        let at = self.days.partition_point(|day| day.day < first);
        let before = at.checked_sub(1).map_or(0, |before| self.days[before].last);
        (&self.days[at..], before)
    }

    /// The most followers within the window (rule Z3).
    fn peak(&self, days: u64, now_s: u64) -> u64 {
        let (within, before) = self.window(days, now_s);
        within.iter().map(|day| day.peak).fold(before, u64::max)
    }

    /// Whether the account wrote about one of these within the window; about any, where none is named.
    fn wrote_about(&self, topics: &[String], days: u64, now_s: u64) -> bool {
        let (within, _) = self.window(days, now_s);
        topics.is_empty()
            || within
                .iter()
                .flat_map(|day| &day.topics)
                .any(|topic| topics.contains(topic))
    }

    /// Whether reports cover the whole window, none of their gaps longer than `max_gap` days (rule Z6).
    fn covers(&self, days: u64, max_gap: u64, now_s: u64) -> bool {
        let today = now_s / DAY_S;
        let first = today.saturating_sub(days - 1);
        if self.since_day.is_none_or(|since| since > first) {
            return false;
        }
        let at = self.days.partition_point(|day| day.day < first);
        // A gap that reaches into the window counts from where it began.
        let mut known = at
            .checked_sub(1)
            .map_or(first, |before| self.days[before].day);
        let within = &self.days[at..];
        for day in within {
            if day.day - known > max_gap {
                return false;
            }
            known = day.day;
        }
        !within.is_empty() && today - known <= max_gap
    }
}

/// What is asked of an account, from when it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    /// The rule's id.
    pub rule: String,
    pub shows: Shows,
    /// Unix seconds.
    pub since_s: u64,
    /// Unix seconds: from then on a refusal costs.
    pub due_s: u64,
}

/// What holds a requirement off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relief {
    pub why: Why,
    /// Unix seconds.
    pub until_s: u64,
}

/// Why a requirement is held off. No outsider learns which, or whether.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    UnderThreat,
    AppealUpheld,
}

/// Everything that a decision hangs on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Account {
    pub kind: Kind,
    pub history: History,
    pub requirement: Option<Requirement>,
    pub relief: Option<Relief>,
    /// The end of the display that stands, Unix seconds.
    pub shown_until_s: Option<u64>,
    /// Whose name it shows; a person's where nothing says so, as of before there were others.
    #[serde(default)]
    pub shown: Kind,
    /// Whether the person or the platform refused since the requirement began.
    pub refused: bool,
    /// Whether an appeal against the requirement is open.
    pub appealed: bool,
}

/// How an account stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Nothing is asked.
    Free,
    /// A name is asked for, and there is time.
    Due,
    /// A name is shown: the one that is asked for, if any.
    Shown,
    /// A name is asked for, and the time is over.
    Overdue,
}

/// What changed by looking: an entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Require(Requirement),
    /// The requirement is over: of this rule.
    Lift(String),
    /// The grace is over: a refusal costs from now on.
    Refuse(String),
    /// An exemption has ended by itself.
    ReliefEnded(Why),
}

impl Policy {
    /// Reads a policy (rule Z1).
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let policy: Self = toml::from_str(text).map_err(|_| PolicyError::Malformed)?;
        let word = |text: &String| (1..=MAX_WORD_BYTES).contains(&text.len());
        let days = |days: u64| (1..=MAX_WINDOW_DAYS).contains(&days);
        let rule = |rule: &Rule| {
            word(&rule.id)
                && rule.followers > 0
                && rule.topics.len() <= MAX_ENTRIES
                && rule.topics.iter().all(word)
        };
        let ids: std::collections::BTreeSet<_> = policy.rules.iter().map(|rule| &rule.id).collect();
        let sound = word(&policy.name)
            && (1..=MAX_ENTRIES).contains(&policy.rules.len())
            && ids.len() == policy.rules.len()
            && policy.rules.iter().all(rule)
            && [
                policy.window_days,
                policy.max_gap_days,
                policy.grace_days,
                policy.display_days,
                policy.exemption.max_days,
                policy.appeal.upheld_days,
            ]
            .into_iter()
            .all(days)
            && (1..=99).contains(&policy.lift.below_percent);
        if sound {
            Ok(policy)
        } else {
            Err(PolicyError::Bounds)
        }
    }

    /// The peak that counts.
    pub fn peak(&self, account: &Account, now_s: u64) -> u64 {
        account.history.peak(self.window_days, now_s)
    }

    /// When a display that is made now ends.
    pub fn display_ends_s(&self, now_s: u64) -> u64 {
        now_s.saturating_add(self.display_days * DAY_S)
    }

    /// An exemption for somebody under threat, for so many days at most (rule Z7).
    pub fn exemption(&self, days: u64, now_s: u64) -> Relief {
        Relief {
            why: Why::UnderThreat,
            until_s: now_s.saturating_add(days.min(self.exemption.max_days) * DAY_S),
        }
    }

    /// What follows from an appeal that was upheld (rule Z8).
    pub fn upheld(&self, now_s: u64) -> Relief {
        Relief {
            why: Why::AppealUpheld,
            until_s: now_s.saturating_add(self.appeal.upheld_days * DAY_S),
        }
    }

    /// What an account has to bear now: nothing before the grace is over, while the name is shown, or while
    /// an appeal is open (rule Z5).
    pub fn costs(&self, account: &Account, now_s: u64) -> &[Cost] {
        match self.standing(account, now_s) {
            Standing::Overdue if !account.appealed => &self.refusal.costs,
            _ => &[],
        }
    }

    /// A person's name does not do for an organisation's, nor the reverse.
    pub fn standing(&self, account: &Account, now_s: u64) -> Standing {
        let requirement = account.requirement.as_ref();
        let shown = account.shown_until_s.is_some_and(|until_s| until_s > now_s)
            && requirement.is_none_or(|requirement| requirement.shows == Shows::of(account.shown));
        match requirement {
            _ if shown => Standing::Shown,
            None => Standing::Free,
            Some(requirement) if requirement.due_s > now_s => Standing::Due,
            Some(_) => Standing::Overdue,
        }
    }

    /// What has to change, given how the account stands and what time it is; each in turn is applied by
    /// [`Account::apply`] before the next is asked for. None: nothing (rules Z3 to Z7).
    pub fn next_change(&self, account: &Account, now_s: u64) -> Option<Change> {
        if let Some(relief) = account.relief {
            return (relief.until_s <= now_s).then_some(Change::ReliefEnded(relief.why));
        }
        let wanted = self.wanted(account, now_s);
        match (&account.requirement, wanted) {
            (None, Some(rule)) => Some(Change::Require(self.require(rule, account.kind, now_s))),
            (Some(requirement), Some(rule)) if requirement.shows != rule.shows(account.kind) => {
                Some(Change::Require(self.require(rule, account.kind, now_s)))
            }
            (Some(requirement), None) if self.lifts(requirement, account, now_s) => {
                Some(Change::Lift(requirement.rule.clone()))
            }
            (Some(requirement), _) => {
                let overdue = self.standing(account, now_s) == Standing::Overdue;
                let refuses = overdue && !account.refused && !account.appealed;
                refuses.then(|| Change::Refuse(requirement.rule.clone()))
            }
            (None, None) => None,
        }
    }

    /// The first rule that applies.
    fn wanted(&self, account: &Account, now_s: u64) -> Option<&Rule> {
        let peak = self.peak(account, now_s);
        self.rules.iter().find(|rule| {
            peak >= rule.followers
                && rule.shows(account.kind) != Shows::None
                && account
                    .history
                    .wrote_about(&rule.topics, self.window_days, now_s)
        })
    }

    fn require(&self, rule: &Rule, kind: Kind, now_s: u64) -> Requirement {
        Requirement {
            rule: rule.id.clone(),
            shows: rule.shows(kind),
            since_s: now_s,
            due_s: now_s.saturating_add(self.grace_days * DAY_S),
        }
    }

    /// Z6. A rule that the policy has no more asks for nothing.
    fn lifts(&self, requirement: &Requirement, account: &Account, now_s: u64) -> bool {
        let Some(rule) = self.rules.iter().find(|rule| rule.id == requirement.rule) else {
            return true;
        };
        let below = u128::from(self.peak(account, now_s)) * 100
            < u128::from(rule.followers) * u128::from(self.lift.below_percent);
        let elsewhere = !account
            .history
            .wrote_about(&rule.topics, self.window_days, now_s)
            || rule.shows(account.kind) == Shows::None;
        (below || elsewhere)
            && account
                .history
                .covers(self.window_days, self.max_gap_days, now_s)
    }
}

impl Shows {
    /// Whose name a display of this kind shows.
    fn of(kind: Kind) -> Self {
        if kind.is_organisation() {
            Self::Organisation
        } else {
            Self::Person
        }
    }
}

impl Rule {
    fn shows(&self, kind: Kind) -> Shows {
        match kind {
            Kind::Person => self.person,
            Kind::Organisation => self.organisation,
            Kind::Backed => self.backed,
        }
    }
}

impl Account {
    /// Whose name this account is to show (rule Z4): the one that is required, or who is behind it.
    pub fn shows(&self) -> Kind {
        let required = self.requirement.as_ref().map(|required| required.shows);
        match (required, self.kind) {
            (Some(Shows::Person), _) => Kind::Person,
            (Some(Shows::Organisation), Kind::Person) => Kind::Organisation,
            (_, kind) => kind,
        }
    }

    /// The account after a change.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Require(requirement) => {
                self.requirement = Some(requirement.clone());
                self.refused = false;
                self.appealed = false;
            }
            Change::Lift(_) => {
                self.requirement = None;
                self.refused = false;
                self.appealed = false;
            }
            Change::Refuse(_) => self.refused = true,
            Change::ReliefEnded(_) => self.relief = None,
        }
    }

    /// Holds the requirement off.
    pub fn relieve(&mut self, relief: Relief) {
        self.relief = Some(relief);
        self.apply(&Change::Lift(String::new()));
    }
}
