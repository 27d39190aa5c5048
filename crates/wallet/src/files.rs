//! Files of the wallet's folder: private to the owner, replaced whole or not at all.
//!
//! The wallet holds a lock on its folder while it writes, so the temporary name is fixed; what an
//! earlier crash left under it is overwritten. File names say nothing about the person.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Why a file could not be read or written. Nothing that was there before is lost.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("the disk must have room for {}", path.display())]
    DiskFull { path: PathBuf },
    #[error("this user must be allowed to use {}", path.display())]
    Forbidden { path: PathBuf },
    #[error("{} must exist", path.display())]
    Missing { path: PathBuf },
    #[error("{} must be readable and writable ({kind})", path.display())]
    Unusable { path: PathBuf, kind: io::ErrorKind },
}

impl FileError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::DiskFull { .. } => "file.disk_full",
            Self::Forbidden { .. } => "file.forbidden",
            Self::Missing { .. } => "file.missing",
            Self::Unusable { .. } => "file.unusable",
        }
    }

    /// What to do about it.
    pub fn fix(&self) -> &'static str {
        match self {
            Self::DiskFull { .. } => "free some space and try again; the old content is untouched",
            Self::Forbidden { .. } => "correct the owner or the permissions of that path",
            Self::Missing { .. } => "check the path",
            Self::Unusable { .. } => "look at that path",
        }
    }

    /// Classifies an I/O error at `path`.
    pub fn of(path: &Path, error: &io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::Forbidden { path }
            }
            io::ErrorKind::NotFound => Self::Missing { path },
            kind => Self::Unusable { path, kind },
        }
    }
}

/// Reads a whole file of at most `limit` bytes.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let of = |error: io::Error| FileError::of(path, &error);
    let length = fs::metadata(path).map_err(of)?.len();
    if length > limit {
        return Err(FileError::Unusable {
            path: path.to_owned(),
            kind: io::ErrorKind::FileTooLarge,
        });
    }
    fs::read(path).map_err(of)
}

/// Creates the wallet's folder for its owner alone; one that exists stays as it is.
pub fn create_dir(path: &Path) -> Result<(), FileError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| FileError::of(path, &error))
}

/// Writes a private file that must not exist yet, durably.
pub fn create(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        if written.is_err() {
            // Half a key or kit is worse than none.
            let _ = fs::remove_file(path);
        }
        written?;
        sync_folder(path)
    };
    write().map_err(|error| FileError::of(path, &error))
}

/// Replaces a private file: after an error or a crash the old bytes stand, or the new, never half.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let temporary = temporary(path);
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&temporary, path)?;
        sync_folder(path)
    };
    let written = write();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(|error| FileError::of(path, &error))
}

/// The name under which the next content of `path` is written.
pub fn temporary(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// A rename or a creation is durable once the folder is synced.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}
