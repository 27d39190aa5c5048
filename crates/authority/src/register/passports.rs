//! The master list and the revocation lists that an operator keeps in two folders, read again when
//! their files change (spec/enrolment.md, F2 and F6).
//!
//! Every file of a folder is read: certificates or revocation lists, PEM or DER. A file that is none
//! stops an authority that starts; one that runs keeps the lists that it has, and says so in its log.

use realdid_passport::lists::MAX_FILE_BYTES;
use realdid_passport::{LeftOut, Lists};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::config::PassportsConfig;

/// How often the folders are looked at, in seconds.
const LOOK_S: u64 = 30;
/// The most files of one folder.
const MAX_FILES: usize = 2048;

/// A folder of lists could not be read. For the operator.
#[derive(Debug, thiserror::Error)]
#[error(
    "passport.lists: {} must be a folder of certificates or of revocation lists, PEM or DER, each \
     file within 8 MB; fault: operator; do: take out what is neither, and see the operators' guide",
    path.display()
)]
pub struct ListsError {
    path: PathBuf,
}

impl ListsError {
    /// Stable, dotted code.
    pub fn code(&self) -> &'static str {
        "passport.lists"
    }
}

/// What was seen of a folder's files: path, time of change and length.
type Seen = Vec<(PathBuf, Option<SystemTime>, u64)>;

struct Known {
    lists: Arc<Lists>,
    seen: Seen,
    looked_s: u64,
}

/// The lists of this authority.
pub struct Passports {
    folders: PassportsConfig,
    known: Mutex<Known>,
}

impl Passports {
    /// Reads both folders.
    pub fn open(config: &PassportsConfig) -> Result<Self, ListsError> {
        let seen = look(config)?;
        let lists = Arc::new(read(config, &seen)?);
        Ok(Self {
            folders: config.clone(),
            known: Mutex::new(Known {
                lists,
                seen,
                looked_s: 0,
            }),
        })
    }

    /// The lists as the folders have them now, or did half a minute ago.
    pub fn lists(&self, now_s: u64) -> Arc<Lists> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if now_s.abs_diff(known.looked_s) >= LOOK_S {
            known.looked_s = now_s;
            let again = look(&self.folders).and_then(|seen| {
                let changed = seen != known.seen;
                let lists = changed.then(|| read(&self.folders, &seen)).transpose()?;
                Ok((seen, lists))
            });
            match again {
                Ok((seen, Some(lists))) => {
                    known.lists = Arc::new(lists);
                    known.seen = seen;
                }
                Ok((_, None)) => {}
                Err(error) => tracing::warn!(code = error.code(), "the lists stay as they were"),
            }
        }
        known.lists.clone()
    }
}

fn look(config: &PassportsConfig) -> Result<Seen, ListsError> {
    let mut seen = Seen::new();
    for folder in [&config.master_list, &config.revocation_lists] {
        let refused = || ListsError {
            path: folder.clone(),
        };
        for entry in std::fs::read_dir(folder).map_err(|_| refused())? {
            let entry = entry.map_err(|_| refused())?;
            let meta = std::fs::metadata(entry.path()).map_err(|_| refused())?;
            let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            if meta.is_file() && !is_hidden {
                seen.push((entry.path(), meta.modified().ok(), meta.len()));
            }
        }
        if seen.len() > MAX_FILES {
            return Err(refused());
        }
    }
    seen.sort();
    Ok(seen)
}

fn read(config: &PassportsConfig, seen: &Seen) -> Result<Lists, ListsError> {
    let files = |folder: &Path| {
        let inside = seen
            .iter()
            .filter(|(path, ..)| path.parent() == Some(folder));
        inside
            .map(|(path, _, len)| {
                let fits = *len <= MAX_FILE_BYTES as u64;
                let bytes = fits.then(|| std::fs::read(path).ok()).flatten();
                bytes.ok_or_else(|| ListsError { path: path.clone() })
            })
            .collect::<Result<Vec<_>, _>>()
    };
    let (certificates, revocation) = (
        files(&config.master_list)?,
        files(&config.revocation_lists)?,
    );
    let read = Lists::read(&certificates, &revocation);
    let (lists, left_out) = read.map_err(|_| ListsError {
        path: config.master_list.clone(),
    })?;
    let LeftOut {
        certificates,
        revocation_lists,
    } = left_out;
    tracing::info!(
        authorities = lists.len(),
        left_out = certificates,
        revocation_lists_left_out = revocation_lists,
        "read the master list"
    );
    Ok(lists)
}
