//! Writing files so that a crash at any instruction leaves the old content or the new, never half.
//!
//! The new bytes go to a temporary file beside the target, are synced, and take the target's name by
//! a rename; then the folder is synced, because only that makes the rename itself durable.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

/// Owner only: keys, secrets, wallets.
pub const PRIVATE: u32 = 0o600;
/// Readable by everyone on this machine.
pub const PUBLIC: u32 = 0o644;

/// Why a file could not be written. Displays as the command line's one-line error.
#[derive(Debug, Error)]
pub enum FileError {
    #[error(
        "{}: the disk must have room for {}; fault: this machine's operator; \
         do: free some space and try again, the old content is untouched",
        self.code(), path.display()
    )]
    DiskFull { path: PathBuf },
    #[error(
        "{}: this user must be allowed to write {}; fault: this machine's operator; \
         do: correct the owner or the permissions of the folder",
        self.code(), path.display()
    )]
    Forbidden { path: PathBuf },
    #[error(
        "{}: {} must be writable ({kind}); fault: this machine's operator; do: look at that path",
        self.code(), path.display()
    )]
    Unwritable { path: PathBuf, kind: io::ErrorKind },
}

impl FileError {
    /// Stable, dotted code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::DiskFull { .. } => "file.disk_full",
            Self::Forbidden { .. } => "file.forbidden",
            Self::Unwritable { .. } => "file.unwritable",
        }
    }

    /// Classifies an I/O error of any write to `path`, also of one made elsewhere.
    pub fn of(path: &Path, error: &io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::Forbidden { path }
            }
            kind => Self::Unwritable { path, kind },
        }
    }
}

/// Replaces `path` by `bytes` with the permission bits `mode`; when it returns, both survive a power
/// cut. After an error the old content stands.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let temporary = temporary_beside(path);
    let written = write_and_rename(&temporary, path, bytes, mode);
    if written.is_err() {
        // Often it was never created; what matters is that nothing half-written stays behind.
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(|error| FileError::of(path, &error))
}

/// [`write_atomic`] for the owner's eyes only.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    write_atomic(path, bytes, PRIVATE)
}

/// Creates a folder and its parents with access for the owner only; one that exists stays as it is.
pub fn create_private_dir(path: &Path) -> Result<(), FileError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| FileError::of(path, &error))
}

fn write_and_rename(temporary: &Path, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(temporary)?;
    // The creation mode passes through the umask; this one does not.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(temporary, path)?;
    File::open(folder_of(path))?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A name that no other writer of this or another process takes.
fn temporary_beside(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}-{count}.tmp", std::process::id()));
    folder_of(path).join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_replaced_and_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        write_atomic(&path, b"old", PUBLIC).unwrap();
        write_private(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_leaves_the_old_content_and_no_litter() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("target");
        // A non-empty folder of that name cannot be replaced by a file.
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), b"old").unwrap();
        let error = write_private(&path, b"new").unwrap_err();
        assert_eq!(error.code(), "file.unwritable");
        assert_eq!(fs::read(path.join("inside")).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_full_disk_is_named_as_such() {
        const ENOSPC: i32 = 28;
        let error = FileError::of(
            Path::new("wallet/store"),
            &io::Error::from_raw_os_error(ENOSPC),
        );
        assert_eq!(error.code(), "file.disk_full");
        assert!(error.to_string().contains("wallet/store"));
        assert_eq!(error.to_string().lines().count(), 1);
    }

    #[test]
    fn a_missing_folder_is_an_error_not_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        let error = write_private(&folder.path().join("none/key"), b"x").unwrap_err();
        assert_eq!(error.code(), "file.unwritable");
    }

    #[test]
    fn a_private_folder_is_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        create_private_dir(&path).unwrap();
        create_private_dir(&path).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o700
        );
    }
}
