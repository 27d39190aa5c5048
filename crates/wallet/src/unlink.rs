//! `realdid wallet unlink-check`: what two services, the authority and a node could join (promise P4,
//! docs/unlinkability.md). Reads their files and changes nothing; what is compared, and how, is in
//! `realdid-unlink`.

use crate::error::CliError;
use clap::Args;
use realdid_unlink::{Check, Transcript, TranscriptError};
use serde_json::{Value, json};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What is read at a time of a file that is no database.
const PART_BYTES: usize = 4 << 20;
/// By how much parts overlap, so that a value across their border is whole in one.
const OVERLAP_BYTES: usize = 4096;
/// Largest database that is read, in bytes.
const MAX_DATABASE_BYTES: u64 = 1 << 30;
/// Empty tables are allocated in pages of zeros, which say nothing.
const PAGE_BYTES: usize = 4096;

#[derive(Debug, Args)]
pub struct UnlinkArgs {
    /// What a gate wrote down of its logins; given twice, for two services
    #[arg(long = "transcript", value_name = "FILE", required = true)]
    pub transcripts: Vec<PathBuf>,
    /// The authority's folder, keys and database; given again for the data folder of its PostgreSQL
    #[arg(long, value_name = "DIR", required = true)]
    pub authority: Vec<PathBuf>,
    /// The folder of a node, with the block log and the state
    #[arg(long, value_name = "DIR")]
    pub node: PathBuf,
}

/// Compares everything with everything. `"joined"` says whether something was found.
pub fn run(args: &UnlinkArgs) -> Result<Value, CliError> {
    let [one, other] = args.transcripts.as_slice() else {
        return Err(CliError::user(
            "unlink.transcripts",
            "a check compares two transcripts",
            "give --transcript twice",
        ));
    };
    let mut check = Check::new(&transcript(one)?, &transcript(other)?);
    let authority = args.authority.iter().map(|folder| ("authority", folder));
    for (source, folder) in authority.chain([("node", &args.node)]) {
        let files = files_under(folder)?;
        if files.is_empty() {
            return Err(CliError::user(
                "unlink.nothing_stored",
                "the authority and the node have stored something in the folders that are given",
                "give the folders in which they keep their data",
            ));
        }
        for file in files {
            look_into(&mut check, source, folder, &file)?;
        }
    }
    let report = check.report();
    Ok(json!({
        "joined": report.joined,
        "values": report.values,
        "times": report.times,
        "people": report.people,
        "storedBytes": report.stored_bytes,
    }))
}

/// Whether an answer of [`run`] says that something was joined: the exit code tells it.
pub fn is_joined(answer: &Value) -> bool {
    answer.get("joined").and_then(Value::as_bool) == Some(true)
}

fn transcript(path: &Path) -> Result<Transcript, CliError> {
    let bytes = std::fs::read(path).map_err(|_| unreadable())?;
    Transcript::parse(&path.display().to_string(), &bytes).map_err(|error| match error {
        TranscriptError::People => CliError::user(
            "unlink.people",
            "a transcript is of at least three people: with fewer there is no telling what all have in common",
            "sign in three people at each service",
        ),
        TranscriptError::Length | TranscriptError::Line(_) => CliError::user(
            "unlink.transcript",
            "each line of a transcript is a login as a gate writes it, and all have at most 64 MiB",
            "set `transcript` in the gate's configuration, and give the file that it names",
        ),
    })
}

/// Regular files, in the order of their names. Links are not followed: they lead elsewhere.
fn files_under(folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|_| unreadable())? {
            let entry = entry.map_err(|_| unreadable())?;
            let kind = entry.file_type().map_err(|_| unreadable())?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

fn look_into(check: &mut Check, source: &str, folder: &Path, path: &Path) -> Result<(), CliError> {
    let name = path
        .strip_prefix(folder)
        .unwrap_or(path)
        .display()
        .to_string();
    let mut file = File::open(path).map_err(|_| unreadable())?;
    let length = file.metadata().map_err(|_| unreadable())?.len();
    let is_database = name.ends_with(".db") || name.ends_with(".db-wal");
    if is_database && length <= MAX_DATABASE_BYTES {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|_| unreadable())?;
        check.store(source, &name, &bytes);
        return Ok(());
    }
    let mut part = Vec::new();
    loop {
        part.drain(..part.len().saturating_sub(OVERLAP_BYTES));
        let before = part.len();
        let mut more = file.by_ref().take(PART_BYTES as u64);
        more.read_to_end(&mut part).map_err(|_| unreadable())?;
        if part.len() == before {
            return Ok(());
        }
        for filled in part
            .chunks(PAGE_BYTES)
            .collect::<Vec<_>>()
            .split(|page| page.iter().all(|byte| *byte == 0))
            .filter(|pages| !pages.is_empty())
        {
            check.store(source, &name, &filled.concat());
        }
    }
}

fn unreadable() -> CliError {
    CliError::user(
        "unlink.unreadable",
        "every file that is to be looked at can be read",
        "run this as somebody who may read the folders, while their owners are stopped",
    )
}

#[cfg(test)]
mod tests;
