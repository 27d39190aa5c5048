//! The gate's log of decisions: append-only, hash-chained, exportable (spec/displays.md, rules Z9 and Z10).
//!
//! One line of JSON for each decision to require, grant, refuse, lift or exempt, and for each appeal. A line
//! holds the hash of the one before it, so nothing can be changed, taken out or put in between without
//! changing everything after. It names handles, never a person: a name stands in badges alone.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use realdid_core::hash::Hash32;
use realdid_serve::files::FileError;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What is hashed in front of a line: no other hash of ours begins like this.
const DOMAIN: &[u8] = b"rdid/1/gate-decision\0";
/// The longest line, in bytes.
const MAX_LINE_BYTES: usize = 4096;

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
    /// An organisation's name is asked for, and nobody issues a credential of one.
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

/// Why a log could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("line {line} does not go on from the one before it")]
    Broken { line: u64 },
}

/// The log, open for writing. One writer at a time.
pub struct Log {
    path: PathBuf,
    file: File,
    next: u64,
    head: String,
    /// In bytes: where a write that failed is cut off again.
    length: u64,
}

impl Entry {
    /// SHA-256 over the entry with an empty hash: its fields in their order, as JSON.
    fn digest(&self) -> String {
        let bare = Self {
            hash: String::new(),
            ..self.clone()
        };
        let text = serde_json::to_vec(&bare).unwrap_or_default();
        let mut hasher = Sha256::new();
        hasher.update(DOMAIN);
        hasher.update(&text);
        Hash32(hasher.finalize().into()).to_string()
    }
}

/// The head of an empty log.
fn beginning() -> String {
    Hash32([0; 32]).to_string()
}

impl Log {
    /// Opens a log, or begins one; what is there is verified. A line that a crash cut short was never
    /// acknowledged, and goes.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let failed = |error: &io::Error| FileError::of(path, error);
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(path)
            .map_err(|error| failed(&error))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)
            .map_err(|error| failed(&error))?;
        let whole = text
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        if whole < text.len() {
            file.set_len(whole as u64).map_err(|error| failed(&error))?;
            text.truncate(whole);
        }
        let entries = verify(&text)?;
        let head = entries
            .last()
            .map_or_else(beginning, |entry| entry.hash.clone());
        Ok(Self {
            path: path.to_owned(),
            file,
            next: entries.len() as u64,
            head,
            length: whole as u64,
        })
    }

    /// Writes a decision, durably.
    pub fn append(&mut self, draft: Draft) -> Result<Entry, LogError> {
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
        let mut entry = Entry {
            seq: self.next,
            at_s,
            handle,
            decision,
            reason,
            policy,
            rule,
            peak,
            until_s,
            about,
            previous: self.head.clone(),
            hash: String::new(),
        };
        entry.hash = entry.digest();
        let mut line = serde_json::to_vec(&entry).unwrap_or_default();
        line.push(b'\n');
        let written = self
            .file
            .write_all(&line)
            .and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // Half a line would break the chain; cutting it off can only fail as writing did.
            let _ = self.file.set_len(self.length);
            return Err(FileError::of(&self.path, &error).into());
        }
        self.length += line.len() as u64;
        self.next += 1;
        self.head.clone_from(&entry.hash);
        Ok(entry)
    }

    /// Everything that was written.
    pub fn entries(&self) -> Result<Vec<Entry>, LogError> {
        read(&self.path)
    }
}

/// Reads and verifies a log that somebody else may be writing.
pub fn read(path: &Path) -> Result<Vec<Entry>, LogError> {
    let text = std::fs::read(path).map_err(|error| FileError::of(path, &error))?;
    let whole = text
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    verify(&text[..whole])
}

/// Whether each line goes on from the one before it.
pub fn verify(text: &[u8]) -> Result<Vec<Entry>, LogError> {
    let mut entries: Vec<Entry> = Vec::new();
    let lines = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    for (seq, line) in (0u64..).zip(lines) {
        let broken = LogError::Broken { line: seq + 1 };
        if line.len() > MAX_LINE_BYTES {
            return Err(broken);
        }
        let Ok(entry) = serde_json::from_slice::<Entry>(line) else {
            return Err(broken);
        };
        let head = entries
            .last()
            .map_or_else(beginning, |last| last.hash.clone());
        if entry.seq != seq || entry.previous != head || entry.hash != entry.digest() {
            return Err(broken);
        }
        entries.push(entry);
    }
    Ok(entries)
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
        let entries = log.entries().unwrap();
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
            let refused = verify(altered.as_bytes());
            assert!(
                matches!(refused, Err(LogError::Broken { line }) if line == at),
                "{altered}"
            );
            std::fs::write(&path, format!("{altered}\n")).unwrap();
            assert!(Log::open(&path).is_err());
        }
        assert_eq!(verify(text.as_bytes()).unwrap().len(), 3);
    }
}
