//! Append-only logs whose lines hold the hash of the one before: nothing can be changed, taken out or put in
//! between without changing everything after. One line of JSON each.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use realdid_core::hash::Hash32;
use realdid_serve::files::FileError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

/// The longest line, in bytes.
const MAX_LINE_BYTES: usize = 4096;

/// A line of one kind of log.
pub trait Line: Clone + Serialize + DeserializeOwned {
    /// What is hashed in front of a line: no other hash of ours begins like this.
    const DOMAIN: &'static [u8];

    /// What ties it to the line before.
    fn link(&mut self) -> Link<'_>;
}

/// The members of a line that tie it to the one before.
pub struct Link<'a> {
    /// Counted from 0.
    pub seq: &'a mut u64,
    /// The hash of the line before; 64 zeros before the first.
    pub previous: &'a mut String,
    pub hash: &'a mut String,
}

/// Why a log could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("line {line} does not go on from the one before it")]
    Broken { line: u64 },
}

/// A log, open for writing. One writer at a time.
pub struct Log<L> {
    path: PathBuf,
    file: File,
    next: u64,
    head: String,
    /// In bytes: where a write that failed is cut off again.
    length: u64,
    lines: PhantomData<fn() -> L>,
}

/// SHA-256 over the line with an empty hash: its members in their order, as JSON.
fn digest<L: Line>(line: &L) -> String {
    let mut bare = line.clone();
    bare.link().hash.clear();
    let text = serde_json::to_vec(&bare).unwrap_or_default();
    let mut hasher = Sha256::new();
    hasher.update(L::DOMAIN);
    hasher.update(&text);
    Hash32(hasher.finalize().into()).to_string()
}

/// The head of an empty log.
fn beginning() -> String {
    Hash32([0; 32]).to_string()
}

fn head_of<L: Line>(lines: &[L]) -> String {
    let last = lines.last().cloned();
    last.map_or_else(beginning, |mut last| last.link().hash.clone())
}

/// The length of the text up to the last line that is whole.
fn whole(text: &[u8]) -> usize {
    let last = text.iter().rposition(|byte| *byte == b'\n');
    last.map_or(0, |at| at + 1)
}

impl<L: Line> Log<L> {
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
        let whole = whole(&text);
        if whole < text.len() {
            file.set_len(whole as u64).map_err(|error| failed(&error))?;
            text.truncate(whole);
        }
        let lines: Vec<L> = verify(&text)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            next: lines.len() as u64,
            head: head_of(&lines),
            length: whole as u64,
            lines: PhantomData,
        })
    }

    /// Writes a line behind the last one, durably. What ties it there is filled in.
    pub fn append(&mut self, line: impl Into<L>) -> Result<L, LogError> {
        let mut line = line.into();
        *line.link().seq = self.next;
        line.link().previous.clone_from(&self.head);
        let hash = digest(&line);
        line.link().hash.clone_from(&hash);
        let mut text = serde_json::to_vec(&line).unwrap_or_default();
        text.push(b'\n');
        let written = self
            .file
            .write_all(&text)
            .and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // Half a line would break the chain; cutting it off can only fail as writing did.
            let _ = self.file.set_len(self.length);
            return Err(FileError::of(&self.path, &error).into());
        }
        self.length += text.len() as u64;
        self.next += 1;
        self.head = hash;
        Ok(line)
    }

    /// Everything that was written.
    pub fn lines(&self) -> Result<Vec<L>, LogError> {
        read(&self.path)
    }
}

/// Reads and verifies a log that somebody else may be writing.
pub fn read<L: Line>(path: &Path) -> Result<Vec<L>, LogError> {
    let text = std::fs::read(path).map_err(|error| FileError::of(path, &error))?;
    verify(&text[..whole(&text)])
}

/// Whether each line goes on from the one before it.
pub fn verify<L: Line>(text: &[u8]) -> Result<Vec<L>, LogError> {
    let mut lines: Vec<L> = Vec::new();
    let mut head = beginning();
    let told = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    for (seq, told) in (0u64..).zip(told) {
        let broken = LogError::Broken { line: seq + 1 };
        if told.len() > MAX_LINE_BYTES {
            return Err(broken);
        }
        let Ok(mut line) = serde_json::from_slice::<L>(told) else {
            return Err(broken);
        };
        let own = digest(&line);
        let link = line.link();
        if *link.seq != seq || *link.previous != head || *link.hash != own {
            return Err(broken);
        }
        head = own;
        lines.push(line);
    }
    Ok(lines)
}
