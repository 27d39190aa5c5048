//! The gate's log of decisions: append-only, hash-chained, exportable (spec/displays.md, rules Z9 and Z10).
//!
//! One line ([`chain`](crate::chain)) for each decision to require, grant, refuse, lift or exempt, and for
//! each appeal. It names handles, never a person: a name stands in badges alone.

use serde::{Deserialize, Serialize};

use crate::chain::{Line, Link};

/// The log of decisions.
pub type Log = crate::chain::Log<Entry>;

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    Require,
    Grant,
    Refuse,
    Lift,
    Exempt,
    Withdraw,
    Appeal,
    AppealUpheld,
    AppealRejected,
}

/// Why, of a closed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The peak of followers reached a rule's threshold.
    PeakReached,
    /// The window was low and covered.
    PeakLow,
    /// The grace is over and no name is shown.
    GraceOver,
    /// A name is shown.
    NameShown,
    /// The person said no in their wallet.
    Declined,
    /// Somebody else than the account's person answered.
    OtherPerson,
    /// What the wallet showed broke a rule.
    AnswerInvalid,
    /// The platform is not registered for real names.
    PurposeMissing,
    /// The handle looks like one that shows a name.
    LookAlike,
    /// An organisation's name was asked for when nobody issued a credential of one: of older logs.
    NoOrganisationCredential,
    UnderThreat,
    ExemptionEnded,
    PersonWithdrew,
    PlatformWithdrew,
    /// Another display has taken its place, or its end has come.
    Replaced,
    Ended,
    AppealOpened,
    AppealUpheld,
    AppealRejected,
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub seq: u64,
    /// Unix seconds.
    pub at_s: u64,
    pub handle: String,
    pub decision: Decision,
    pub reason: Reason,
    /// The policy by which it was made.
    pub policy: String,
    pub rule: Option<String>,
    /// The peak of followers that counted.
    pub peak: Option<u64>,
    /// Until when it holds, or from when on it costs, Unix seconds.
    pub until_s: Option<u64>,
    /// The decision that an appeal is about.
    pub about: Option<u64>,
    /// The hash of the entry before; 64 zeros before the first.
    pub previous: String,
    pub hash: String,
}

/// A decision that is about to be written.
#[derive(Debug, Clone)]
pub struct Draft {
    pub at_s: u64,
    pub handle: String,
    pub decision: Decision,
    pub reason: Reason,
    pub policy: String,
    pub rule: Option<String>,
    pub peak: Option<u64>,
    pub until_s: Option<u64>,
    pub about: Option<u64>,
}

/// How an appeal against a decision stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Appeal {
    None,
    Open,
    Upheld,
    Rejected,
}

impl Line for Entry {
    const DOMAIN: &'static [u8] = b"rdid/1/gate-decision\0";

    fn link(&mut self) -> Link<'_> {
        Link {
            seq: &mut self.seq,
            previous: &mut self.previous,
            hash: &mut self.hash,
        }
    }
}

impl From<Draft> for Entry {
    fn from(draft: Draft) -> Self {
        let Draft {
            at_s,
            handle,
            decision,
            reason,
            policy,
            rule,
            peak,
            until_s,
            about,
        } = draft;
        Self {
            seq: 0,
            at_s,
            handle,
            decision,
            reason,
            policy,
            rule,
            peak,
            until_s,
            about,
            previous: String::new(),
            hash: String::new(),
        }
    }
}

/// How the appeal against the entry at `seq` stands: the last word counts.
pub fn appeal(entries: &[Entry], seq: u64) -> Appeal {
    let about = entries.iter().filter(|entry| entry.about == Some(seq));
    about.fold(Appeal::None, |state, entry| match entry.decision {
        Decision::Appeal => Appeal::Open,
        Decision::AppealUpheld => Appeal::Upheld,
        Decision::AppealRejected => Appeal::Rejected,
        _ => state,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::{LogError, verify};
    use std::fs::OpenOptions;
    use std::io::Write as _;

    fn draft(decision: Decision, about: Option<u64>) -> Draft {
        Draft {
            at_s: 1_800_000_000,
            handle: "wei".to_owned(),
            decision,
            reason: Reason::PeakReached,
            policy: "example".to_owned(),
            rule: Some("very-large".to_owned()),
            peak: Some(1_000_000),
            until_s: None,
            about,
        }
    }

    #[test]
    fn a_log_goes_on_after_a_restart_and_drops_a_line_that_was_cut_short() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("decisions.jsonl");
        let mut log = Log::open(&path).unwrap();
        log.append(draft(Decision::Require, None)).unwrap();
        drop(log);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"seq\":1,\"at").unwrap();
        let mut log = Log::open(&path).unwrap();
        let second = log.append(draft(Decision::Appeal, Some(0))).unwrap();
        log.append(draft(Decision::AppealRejected, Some(0)))
            .unwrap();
        let entries = log.lines().unwrap();
        assert_eq!(entries.len(), 3);
        assert_eq!(entries[1], second);
        assert_eq!(entries[1].previous, entries[0].hash);
        assert_eq!(appeal(&entries[..2], 0), Appeal::Open);
        assert_eq!(appeal(&entries, 0), Appeal::Rejected);
        assert_eq!(appeal(&entries, 1), Appeal::None);
    }

    #[test]
    fn what_was_changed_taken_out_or_put_in_breaks_the_chain() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("decisions.jsonl");
        let mut log = Log::open(&path).unwrap();
        for decision in [Decision::Require, Decision::Refuse, Decision::Lift] {
            log.append(draft(decision, None)).unwrap();
        }
        let text = String::from_utf8(std::fs::read(&path).unwrap()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let altered = [
            (2, text.replace("\"refuse\"", "\"grant\"")),
            (2, [lines[0], lines[2]].join("\n")),
            (1, [lines[1], lines[2]].join("\n")),
            (2, [lines[0], lines[0], lines[1], lines[2]].join("\n")),
            (3, [lines[0], lines[1], "{}"].join("\n")),
            (
                1,
                text.replacen("\"handle\":\"wei\"", "\"handle\":\"li\"", 1),
            ),
        ];
        for (at, altered) in altered {
            assert_ne!(altered, text);
            let refused = verify::<Entry>(altered.as_bytes());
            assert!(
                matches!(refused, Err(LogError::Broken { line }) if line == at),
                "{altered}"
            );
            std::fs::write(&path, format!("{altered}\n")).unwrap();
            assert!(Log::open(&path).is_err());
        }
        assert_eq!(verify::<Entry>(text.as_bytes()).unwrap().len(), 3);
    }
}
