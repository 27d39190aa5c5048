//! What one service saw, one login a line (docs/unlinkability.md, "A transcript").
//!
//! A gate writes it when its configuration names a file. It is made for this check alone: it keeps
//! what a gate otherwise forgets.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Longest transcript that is read, in bytes.
pub const MAX_BYTES: usize = 64 << 20;
/// Fewest people in a transcript. With fewer there is no telling what everybody has in common.
pub const FEWEST_PEOPLE: usize = 3;

/// One login, as one line of JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// When the gate took the response, in Unix milliseconds.
    pub time_ms: u64,
    /// The account at the service.
    pub subject: String,
    /// What the wallet sent, as it stood in the response, and what the gate took from it.
    pub received: Value,
}

/// The logins of one service.
#[derive(Debug, Clone)]
pub struct Transcript {
    pub(crate) name: String,
    pub(crate) logins: Vec<Login>,
}

/// Why a transcript is not read. Says the line and quotes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TranscriptError {
    #[error("a transcript has at most 64 MiB")]
    Length,
    #[error("line {0} of the transcript is no login")]
    Line(usize),
    #[error("a transcript has logins of at least three people")]
    People,
}

impl Transcript {
    /// Reads lines of JSON; empty ones are skipped.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, TranscriptError> {
        if bytes.len() > MAX_BYTES {
            return Err(TranscriptError::Length);
        }
        let mut logins = Vec::new();
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let login = serde_json::from_slice(line);
            logins.push(login.map_err(|_| TranscriptError::Line(index + 1))?);
        }
        let transcript = Self {
            name: name.to_owned(),
            logins,
        };
        if transcript.people().len() < FEWEST_PEOPLE {
            return Err(TranscriptError::People);
        }
        Ok(transcript)
    }

    /// The accounts, sorted.
    pub fn people(&self) -> Vec<&str> {
        let mut people: Vec<&str> = self.logins.iter().map(|l| l.subject.as_str()).collect();
        people.sort_unstable();
        people.dedup();
        people
    }
}

/// A DID's proof without its staple: the ledger's public answer about the DID in a slot, whose
/// checkpoint and path are the same for whoever asks. What it adds, the slot, is a time, and the
/// gate saw when the login was. `None` where a text is no such proof.
pub(crate) fn without_staple(text: &str) -> Option<String> {
    let mut parts = text.splitn(3, '.');
    let (header, payload, signature) = (parts.next()?, parts.next()?, parts.next()?);
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let mut payload: Value = serde_json::from_slice(&payload).ok()?;
    payload.as_object_mut()?.remove("staple")?;
    let payload = URL_SAFE_NO_PAD.encode(payload.to_string());
    Some(format!("{header}.{payload}.{signature}"))
}
