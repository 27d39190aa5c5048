//! A platform's accounts as its gate knows them, and every decision about them (spec/displays.md, rules
//! Z2 to Z10). What is decided is written into the [`Log`](super::log::Log) first and into the account's
//! file after, so a crash in between costs a decision made twice, never one that nobody finds.
//!
//! An account is a handle, the platform's own subject for its person, counts of followers, and the badge
//! that stands. There is no name here but the one in the badge, which its person shows to everybody.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use realdid_core::hash::Hash32;
use realdid_exchange::display::Handle;
use realdid_serve::files;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::log::{self, Decision, Draft, Entry, Log, Reason};
use super::policy::{Account, Change, Kind, Policy, PolicyError, Relief, Report, Why};
use crate::chain::LogError;

/// The most accounts of one gate.
const MAX_ACCOUNTS: usize = 1_000_000;
/// The longest subject, in bytes: ours have 43.
const MAX_SUBJECT_BYTES: usize = 255;

/// Why the book did not take something.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    #[error(transparent)]
    Report(#[from] PolicyError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("the account's file could not be written or read")]
    File,
    #[error("the handle is not known here")]
    Unknown,
    #[error("the handle is another subject's")]
    Subject,
    #[error("the book is full")]
    Full,
    #[error("there is no decision to appeal against, or no open appeal")]
    Appeal,
    #[error("no name is shown at the handle")]
    NotShown,
}

impl From<files::FileError> for BookError {
    fn from(_: files::FileError) -> Self {
        Self::File
    }
}

/// One account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub handle: String,
    /// The account's person, as the platform's websites know them.
    pub subject: String,
    pub account: Account,
    pub badge: Option<ShownBadge>,
    /// The last decision against the account, which an appeal is about.
    decision: Option<u64>,
}

/// A badge that stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownBadge {
    pub badge: Value,
    /// The display's digest, in hex.
    pub digest: String,
}

impl ShownBadge {
    pub fn digest(&self) -> Option<Hash32> {
        self.digest.parse().ok()
    }
}

/// What happens to an appeal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AppealStep {
    Open,
    Uphold,
    Reject,
}

/// All accounts of a gate.
pub struct Book {
    pub policy: Policy,
    dir: PathBuf,
    log: Log,
    accounts: BTreeMap<Handle, Held>,
}

impl Book {
    /// Opens the book in a folder, or begins one.
    pub fn open(dir: &Path, policy: Policy) -> Result<Self, BookError> {
        let folder = dir.join("accounts");
        files::create_private_dir(&folder)?;
        let log = Log::open(&dir.join(super::LOG_FILE))?;
        let mut accounts = BTreeMap::new();
        for file in fs::read_dir(&folder).map_err(|_| BookError::File)? {
            let path = file.map_err(|_| BookError::File)?.path();
            if path.extension().is_none_or(|kind| kind != "json") {
                continue;
            }
            let bytes = fs::read(&path).map_err(|_| BookError::File)?;
            let held: Held = serde_json::from_slice(&bytes).map_err(|_| BookError::File)?;
            let handle = Handle::parse(&held.handle).map_err(|_| BookError::File)?;
            accounts.insert(handle, held);
        }
        Ok(Self {
            policy,
            dir: folder,
            log,
            accounts,
        })
    }

    pub fn find(&self, handle: &Handle) -> Result<&Held, BookError> {
        self.accounts.get(handle).ok_or(BookError::Unknown)
    }

    pub fn handles(&self) -> Vec<Handle> {
        self.accounts.keys().cloned().collect()
    }

    pub fn entries(&self) -> Result<Vec<Entry>, BookError> {
        Ok(self.log.lines()?)
    }

    /// Whether another handle that shows a name looks like this one (rule Y1).
    pub fn looks_like_another(&self, handle: &Handle) -> bool {
        let skeleton = handle.skeleton();
        self.accounts.iter().any(|(other, held)| {
            other != handle && held.badge.is_some() && other.skeleton() == skeleton
        })
    }

    /// Takes in a report and decides what follows.
    pub fn report(
        &mut self,
        handle: &Handle,
        subject: &str,
        kind: Kind,
        report: &Report,
        now_s: u64,
    ) -> Result<(), BookError> {
        if subject.is_empty() || subject.len() > MAX_SUBJECT_BYTES {
            return Err(BookError::Subject);
        }
        let mut held = match self.accounts.get(handle) {
            // A handle that nothing is asked of may change hands; another takes its history along.
            Some(held) if held.subject == subject => held.clone(),
            Some(held) if held.account.requirement.is_some() || held.badge.is_some() => {
                return Err(BookError::Subject);
            }
            None if self.accounts.len() >= MAX_ACCOUNTS => return Err(BookError::Full),
            _ => Held {
                handle: handle.as_str().to_owned(),
                subject: subject.to_owned(),
                account: Account::default(),
                badge: None,
                decision: None,
            },
        };
        held.account.history.report(report, now_s)?;
        held.account.kind = kind;
        self.keep(handle, held)?;
        self.settle(handle, now_s)
    }

    /// Decides what time and reports have brought about.
    pub fn settle(&mut self, handle: &Handle, now_s: u64) -> Result<(), BookError> {
        let mut held = self.find(handle)?.clone();
        if held
            .account
            .shown_until_s
            .is_some_and(|until_s| until_s <= now_s)
        {
            self.note(&mut held, Decision::Withdraw, Reason::Ended, None, now_s)?;
            held.badge = None;
            held.account.shown_until_s = None;
        }
        while let Some(change) = self.policy.next_change(&held.account, now_s) {
            let (decision, reason) = match &change {
                Change::Require(_) => (Decision::Require, Reason::PeakReached),
                Change::Lift(_) => (Decision::Lift, Reason::PeakLow),
                Change::Refuse(_) => (Decision::Refuse, Reason::GraceOver),
                Change::ReliefEnded(_) => (Decision::Lift, Reason::ExemptionEnded),
            };
            if let Change::Require(_) = change {
                held.account.apply(&change);
                self.note(&mut held, decision, reason, None, now_s)?;
            } else {
                self.note(&mut held, decision, reason, None, now_s)?;
                held.account.apply(&change);
            }
        }
        self.keep(handle, held)
    }

    /// Writes down that a name is not shown, and why.
    pub fn refuse(&mut self, handle: &Handle, reason: Reason, now_s: u64) -> Result<(), BookError> {
        let mut held = self.find(handle)?.clone();
        self.note(&mut held, Decision::Refuse, reason, None, now_s)?;
        self.keep(handle, held)
    }

    /// A display stands, of this kind of name. Answers the digest of the one whose place it takes.
    pub fn grant(
        &mut self,
        handle: &Handle,
        badge: ShownBadge,
        (shown, ends_s): (Kind, u64),
        now_s: u64,
    ) -> Result<Option<Hash32>, BookError> {
        let mut held = self.find(handle)?.clone();
        let before = held.badge.replace(badge).and_then(|before| before.digest());
        held.account.shown_until_s = Some(ends_s);
        held.account.shown = shown;
        held.account.refused = false;
        self.note(
            &mut held,
            Decision::Grant,
            Reason::NameShown,
            Some(ends_s),
            now_s,
        )?;
        self.keep(handle, held)?;
        Ok(before)
    }

    /// A display stands no more.
    pub fn withdrawn(
        &mut self,
        handle: &Handle,
        reason: Reason,
        now_s: u64,
    ) -> Result<(), BookError> {
        let mut held = self.find(handle)?.clone();
        if held.badge.take().is_none() {
            return Err(BookError::NotShown);
        }
        held.account.shown_until_s = None;
        self.note(&mut held, Decision::Withdraw, reason, None, now_s)?;
        self.keep(handle, held)?;
        self.settle(handle, now_s)
    }

    /// Exempts somebody under threat for so many days, or ends their exemption (0 days).
    pub fn exempt(&mut self, handle: &Handle, days: u64, now_s: u64) -> Result<(), BookError> {
        let mut held = self.find(handle)?.clone();
        if days == 0 {
            held.account.relief = None;
            self.note(
                &mut held,
                Decision::Lift,
                Reason::ExemptionEnded,
                None,
                now_s,
            )?;
        } else {
            let relief = self.policy.exemption(days, now_s);
            self.note(
                &mut held,
                Decision::Exempt,
                Reason::UnderThreat,
                Some(relief.until_s),
                now_s,
            )?;
            held.account.relieve(relief);
        }
        self.keep(handle, held)?;
        self.settle(handle, now_s)
    }

    /// Opens an appeal against the last decision, or ends it (rule Z8).
    pub fn appeal(
        &mut self,
        handle: &Handle,
        step: AppealStep,
        now_s: u64,
    ) -> Result<(), BookError> {
        let mut held = self.find(handle)?.clone();
        if held.account.appealed == (step == AppealStep::Open) {
            return Err(BookError::Appeal);
        }
        let about = held.decision.ok_or(BookError::Appeal)?;
        let (decision, reason) = match step {
            AppealStep::Open => (Decision::Appeal, Reason::AppealOpened),
            AppealStep::Uphold => (Decision::AppealUpheld, Reason::AppealUpheld),
            AppealStep::Reject => (Decision::AppealRejected, Reason::AppealRejected),
        };
        let draft = Draft {
            about: Some(about),
            ..self.draft(&held, decision, reason, None, now_s)
        };
        self.log.append(draft)?;
        held.account.appealed = step == AppealStep::Open;
        if step == AppealStep::Uphold {
            let relief = self.policy.upheld(now_s);
            let lifted = held.account.requirement.is_some();
            if lifted {
                let until_s = Some(relief.until_s);
                self.note(
                    &mut held,
                    Decision::Lift,
                    Reason::AppealUpheld,
                    until_s,
                    now_s,
                )?;
            }
            held.account.relieve(relief);
        }
        self.keep(handle, held)?;
        self.settle(handle, now_s)
    }

    /// How an account stands, for its platform.
    pub fn status(&self, handle: &Handle, now_s: u64) -> Result<Value, BookError> {
        let Held {
            account,
            badge,
            decision,
            ..
        } = self.find(handle)?;
        let shown = badge.as_ref().map(|_| account.shown.code());
        let requirement = account.requirement.as_ref().map(|requirement| {
            json!({
                "rule": requirement.rule,
                "shows": requirement.shows,
                "since": requirement.since_s,
                "due": requirement.due_s,
            })
        });
        let exempt = account
            .relief
            .filter(|relief| relief.why == Why::UnderThreat);
        let lifted = account
            .relief
            .filter(|relief| relief.why == Why::AppealUpheld);
        let until = |relief: Option<Relief>| relief.map(|relief| relief.until_s);
        Ok(json!({
            "handle": handle.as_str(),
            "standing": self.policy.standing(account, now_s),
            "policy": self.policy.name,
            "followers": account.history.newest(),
            "peak": self.policy.peak(account, now_s),
            "requirement": requirement,
            "costs": self.policy.costs(account, now_s),
            "shows": account.shows().code(),
            "shown": shown,
            "shownUntil": account.shown_until_s,
            "digest": badge.as_ref().map(|badge| &badge.digest),
            "exemptUntil": until(exempt),
            "upheldUntil": until(lifted),
            "appealOpen": account.appealed,
            "decision": decision,
        }))
    }

    /// The log for who wants to hold it against the accounts: each entry with the state of its appeal.
    pub fn export(entries: &[Entry]) -> Value {
        let list: Vec<Value> = entries
            .iter()
            .map(|entry| {
                let mut value = serde_json::to_value(entry).unwrap_or_default();
                value["appeal"] = json!(log::appeal(entries, entry.seq));
                value
            })
            .collect();
        let head = entries.last().map(|entry| entry.hash.clone());
        json!({ "head": head, "entries": list })
    }

    fn draft(
        &self,
        held: &Held,
        decision: Decision,
        reason: Reason,
        until_s: Option<u64>,
        now_s: u64,
    ) -> Draft {
        let requirement = held.account.requirement.as_ref();
        Draft {
            at_s: now_s,
            handle: held.handle.clone(),
            decision,
            reason,
            policy: self.policy.name.clone(),
            rule: requirement.map(|requirement| requirement.rule.clone()),
            peak: Some(self.policy.peak(&held.account, now_s)),
            until_s: until_s.or(requirement.map(|requirement| requirement.due_s)),
            about: None,
        }
    }

    /// Writes a decision into the log; one against the account can be appealed.
    fn note(
        &mut self,
        held: &mut Held,
        decision: Decision,
        reason: Reason,
        until_s: Option<u64>,
        now_s: u64,
    ) -> Result<(), BookError> {
        let draft = self.draft(held, decision, reason, until_s, now_s);
        let entry = self.log.append(draft)?;
        if matches!(decision, Decision::Require | Decision::Refuse) && !held.account.appealed {
            held.decision = Some(entry.seq);
        }
        Ok(())
    }

    fn keep(&mut self, handle: &Handle, held: Held) -> Result<(), BookError> {
        if self.accounts.get(handle) == Some(&held) {
            return Ok(());
        }
        // A handle may be two characters of a script that a file system spells its own way.
        let name = Hash32(Sha256::digest(handle.as_str().as_bytes()).into());
        let text = serde_json::to_vec_pretty(&held).map_err(|_| BookError::File)?;
        files::write_private(&self.dir.join(format!("{name}.json")), &text)?;
        self.accounts.insert(handle.clone(), held);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::displays::policy::{DAY_S, EXAMPLE};

    const NOW_S: u64 = 20_000 * DAY_S + 5_000;

    fn handle(text: &str) -> Handle {
        Handle::parse(text).unwrap()
    }

    fn open(dir: &Path) -> Book {
        Book::open(dir, Policy::parse(EXAMPLE).unwrap()).unwrap()
    }

    fn report(book: &mut Book, who: &str, followers: u64, at_s: u64) -> Result<(), BookError> {
        let report = Report {
            at_s,
            followers,
            topics: vec![],
        };
        book.report(
            &handle(who),
            &format!("sub-{who}"),
            Kind::Person,
            &report,
            at_s,
        )
    }

    fn badge(n: u8) -> ShownBadge {
        ShownBadge {
            badge: json!({"n": n}),
            digest: Hash32([n; 32]).to_string(),
        }
    }

    fn decisions(book: &Book) -> Vec<(Decision, Reason)> {
        let entries = book.entries().unwrap();
        entries
            .iter()
            .map(|entry| (entry.decision, entry.reason))
            .collect()
    }

    #[test]
    fn every_decision_is_in_the_log_and_survives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let mut book = open(folder.path());
        report(&mut book, "wei", 10, NOW_S).unwrap();
        assert!(decisions(&book).is_empty());
        report(&mut book, "wei", 1_000_000, NOW_S + 1).unwrap();
        let wei = handle("wei");
        assert_eq!(book.status(&wei, NOW_S).unwrap()["standing"], "due");
        book.refuse(&wei, Reason::Declined, NOW_S + 2).unwrap();
        assert_eq!(
            book.grant(
                &wei,
                badge(1),
                (Kind::Person, NOW_S + 90 * DAY_S),
                NOW_S + 3
            )
            .unwrap(),
            None
        );
        drop(book);
        let mut book = open(folder.path());
        assert_eq!(book.status(&wei, NOW_S + 4).unwrap()["standing"], "shown");
        let before = book
            .grant(
                &wei,
                badge(2),
                (Kind::Person, NOW_S + 90 * DAY_S),
                NOW_S + 5,
            )
            .unwrap();
        assert_eq!(before, Some(Hash32([1; 32])));
        book.withdrawn(&wei, Reason::PersonWithdrew, NOW_S + 6)
            .unwrap();
        assert!(matches!(
            book.withdrawn(&wei, Reason::PersonWithdrew, NOW_S),
            Err(BookError::NotShown)
        ));
        assert_eq!(book.status(&wei, NOW_S + 7).unwrap()["standing"], "due");
        book.settle(&wei, NOW_S + 15 * DAY_S).unwrap();
        book.exempt(&wei, 30, NOW_S + 15 * DAY_S).unwrap();
        book.exempt(&wei, 0, NOW_S + 16 * DAY_S).unwrap();
        use Decision::{Exempt, Grant, Lift, Refuse, Require, Withdraw};
        let expected = [
            (Require, Reason::PeakReached),
            (Refuse, Reason::Declined),
            (Grant, Reason::NameShown),
            (Grant, Reason::NameShown),
            (Withdraw, Reason::PersonWithdrew),
            (Refuse, Reason::GraceOver),
            (Exempt, Reason::UnderThreat),
            (Lift, Reason::ExemptionEnded),
            (Require, Reason::PeakReached),
        ];
        assert_eq!(decisions(&book), expected);
        let entries = book.entries().unwrap();
        assert_eq!(entries[0].peak, Some(1_000_000));
        assert_eq!(entries[0].until_s, Some(NOW_S + 1 + 14 * DAY_S));
        assert_eq!(entries[0].rule.as_deref(), Some("very-large"));
    }

    #[test]
    fn an_appeal_stops_the_costs_and_ends_one_way_or_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let mut book = open(folder.path());
        let wei = handle("wei");
        report(&mut book, "wei", 10, NOW_S).unwrap();
        let appeal =
            |book: &mut Book, step, days: u64| book.appeal(&wei, step, NOW_S + days * DAY_S);
        assert!(matches!(
            appeal(&mut book, AppealStep::Open, 0),
            Err(BookError::Appeal)
        ));
        report(&mut book, "wei", 1_000_000, NOW_S + 1).unwrap();
        book.settle(&wei, NOW_S + 20 * DAY_S).unwrap();
        let costs = |book: &Book, days: u64| {
            book.status(&wei, NOW_S + days * DAY_S).unwrap()["costs"].clone()
        };
        assert_eq!(costs(&book, 20).as_array().unwrap().len(), 3);
        appeal(&mut book, AppealStep::Open, 20).unwrap();
        assert_eq!(costs(&book, 20), json!([]));
        assert!(matches!(
            appeal(&mut book, AppealStep::Open, 20),
            Err(BookError::Appeal)
        ));
        appeal(&mut book, AppealStep::Reject, 21).unwrap();
        assert_eq!(costs(&book, 21).as_array().unwrap().len(), 3);
        assert!(matches!(
            appeal(&mut book, AppealStep::Uphold, 21),
            Err(BookError::Appeal)
        ));
        appeal(&mut book, AppealStep::Open, 22).unwrap();
        appeal(&mut book, AppealStep::Uphold, 23).unwrap();
        let status = book.status(&wei, NOW_S + 23 * DAY_S).unwrap();
        assert_eq!(status["standing"], "free");
        assert_eq!(status["upheldUntil"], NOW_S + 388 * DAY_S);
        // The export says of the decision what became of it.
        let export = Book::export(&book.entries().unwrap());
        let entries = export["entries"].as_array().unwrap();
        assert_eq!(entries[1]["decision"], "refuse");
        assert_eq!(entries[1]["appeal"], "upheld");
        assert_eq!(entries[0]["appeal"], "none");
        assert_eq!(export["head"], entries.last().unwrap()["hash"]);
    }

    #[test]
    fn a_handle_keeps_its_subject_while_something_is_asked_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut book = open(folder.path());
        report(&mut book, "wei", 1_000_000, NOW_S).unwrap();
        let other = Report {
            at_s: NOW_S + 1,
            followers: 1,
            topics: vec![],
        };
        let wei = handle("wei");
        let refused = book.report(&wei, "sub-other", Kind::Person, &other, NOW_S + 1);
        assert!(matches!(refused, Err(BookError::Subject)));
        assert!(matches!(book.find(&handle("li")), Err(BookError::Unknown)));
        let back = Report {
            at_s: NOW_S - 1,
            ..other
        };
        let refused = book.report(&wei, "sub-wei", Kind::Person, &back, NOW_S + 1);
        assert!(matches!(
            refused,
            Err(BookError::Report(PolicyError::BackInTime))
        ));
        // Look-alikes are held against handles that show a name.
        report(&mut book, "we1", 1, NOW_S).unwrap();
        assert!(!book.looks_like_another(&handle("we1")));
        book.grant(&wei, badge(1), (Kind::Person, NOW_S + DAY_S), NOW_S)
            .unwrap();
        assert!(book.looks_like_another(&handle("we1")));
        assert!(!book.looks_like_another(&wei));
        // A display ends by itself.
        book.settle(&wei, NOW_S + DAY_S).unwrap();
        assert!(book.find(&wei).unwrap().badge.is_none());
        assert_eq!(
            decisions(&book).last(),
            Some(&(Decision::Withdraw, Reason::Ended))
        );
    }
}
