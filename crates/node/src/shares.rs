//! A validator's shares on its disk: one file for each term, readable by its owner alone.
//!
//! Whoever collects enough shares of one term can sign for the network for as long as its key is
//! taken to be the network's. So the shares of a term are erased when the term is over: overwritten,
//! synced, unlinked. A file system that copies on write, a snapshot or a solid-state drive may keep
//! the old bytes all the same (docs/operators.md says what to do about that).

use crate::config::NodeError;
use crate::engine::{Shares, TermKeys};
use realdid_serve::files::{self, FileError};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The longest file: the polynomial of a committee of 256, in hex, takes less.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// The folder of shares in a node's directory.
#[derive(Debug, Clone)]
pub struct ShareFolder {
    folder: PathBuf,
}

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct ShareFile {
    polynomial: String,
    share: String,
}

impl ShareFolder {
    /// That of the node which lives in `dir`.
    pub fn of_node(dir: &Path) -> Self {
        Self {
            folder: dir.join("shares"),
        }
    }

    /// Puts what a validator votes by in a term where the node looks for it.
    pub fn put(&self, term: u64, keys: &TermKeys) -> Result<(), NodeError> {
        files::create_private_dir(&self.folder)?;
        let file = ShareFile {
            polynomial: hex::encode(&keys.polynomial),
            share: hex::encode(&keys.share),
        };
        let text = serde_json::to_vec_pretty(&file).map_err(|_| NodeError::Keys)?;
        let text = Zeroizing::new(text);
        Ok(files::write_private(&self.path(term), &text)?)
    }

    /// What is there for a term. `None`: nothing.
    pub fn read(&self, term: u64) -> Result<Option<TermKeys>, NodeError> {
        let path = self.path(term);
        match fs::metadata(&path) {
            Ok(found) if found.len() > MAX_FILE_BYTES => return Err(NodeError::Keys),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(FileError::of(&path, &error).into()),
        }
        let text = fs::read(&path).map_err(|error| FileError::of(&path, &error))?;
        let text = Zeroizing::new(text);
        let file: ShareFile = serde_json::from_slice(&text).map_err(|_| NodeError::Keys)?;
        let bytes = |text: &str| hex::decode(text).map_err(|_| NodeError::Keys);
        Ok(Some(TermKeys {
            polynomial: bytes(&file.polynomial)?,
            share: bytes(&file.share)?,
        }))
    }

    /// The terms for which there is a file, ascending.
    pub fn terms(&self) -> io::Result<Vec<u64>> {
        let mut terms = Vec::new();
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(terms),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".json"));
            terms.extend(number.and_then(|number| number.parse::<u64>().ok()));
        }
        terms.sort_unstable();
        Ok(terms)
    }

    fn path(&self, term: u64) -> PathBuf {
        self.folder.join(format!("{term}.json"))
    }

    fn erase(&self, term: u64) -> io::Result<()> {
        let path = self.path(term);
        let mut file = OpenOptions::new().write(true).open(&path)?;
        let length = file.metadata()?.len().min(MAX_FILE_BYTES);
        let zeros = vec![0; usize::try_from(length).unwrap_or(0)];
        file.write_all(&zeros)?;
        file.sync_all()?;
        fs::remove_file(&path)?;
        File::open(&self.folder)?.sync_all()
    }
}

impl Shares for ShareFolder {
    fn of(&self, term: u64) -> Option<TermKeys> {
        match self.read(term) {
            Ok(keys) => keys,
            Err(error) => {
                tracing::error!(term, code = error.code(), "the term's share cannot be read");
                None
            }
        }
    }

    fn erase_before(&self, term: u64) {
        let erased = self.terms().and_then(|terms| {
            for old in terms.into_iter().filter(|old| *old < term) {
                self.erase(old)?;
                tracing::info!(term = old, "the share of a term that is over is erased");
            }
            Ok(())
        });
        if let Err(error) = erased {
            // It is tried again when the next term begins, and when the node starts.
            tracing::error!(kind = %error.kind(), "an old share could not be erased");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;
    use std::os::unix::fs::PermissionsExt as _;

    fn keys(n: u8) -> TermKeys {
        TermKeys {
            polynomial: vec![n; 300],
            share: vec![n; 33],
        }
    }

    #[test]
    fn a_share_is_its_owners_alone_and_gone_when_its_term_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let shares = ShareFolder::of_node(dir.path());
        assert!(shares.of(0).is_none());
        shares.erase_before(9);
        for term in [0, 3, 4] {
            shares.put(term, &keys(term as u8)).unwrap();
        }
        let path = shares.path(3);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let found = shares.of(3).unwrap();
        assert_eq!(
            (found.polynomial.len(), found.share.clone()),
            (300, vec![3; 33])
        );

        // Somebody who has the file open, or finds its blocks later, reads nothing.
        let open = File::open(&path).unwrap();
        shares.erase_before(4);
        assert_eq!(shares.terms().unwrap(), [4]);
        assert!(shares.of(3).is_none() && shares.of(4).is_some());
        assert_eq!(open.metadata().unwrap().nlink(), 0);
        let left = io::read_to_string(open).unwrap();
        assert!(!left.is_empty() && left.bytes().all(|byte| byte == 0));
    }

    #[test]
    fn what_is_no_share_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let shares = ShareFolder::of_node(dir.path());
        shares.put(1, &keys(1)).unwrap();
        for text in ["", "{}", r#"{"polynomial":"zz","share":"00"}"#] {
            fs::write(shares.path(1), text).unwrap();
            assert!(matches!(shares.read(1), Err(NodeError::Keys)), "{text}");
            assert!(shares.of(1).is_none());
        }
        let long = File::create(shares.path(1)).unwrap();
        long.set_len(MAX_FILE_BYTES + 1).unwrap();
        assert!(matches!(shares.read(1), Err(NodeError::Keys)));
        // Names that are no numbers are nobody's share.
        fs::write(shares.folder.join("notes.txt"), "").unwrap();
        assert_eq!(shares.terms().unwrap(), [1]);
    }
}
