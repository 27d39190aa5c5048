//! A file of tables (redb) that survives its own I/O errors.
//!
//! After a failed read or write redb refuses everything until it is opened again. That is right
//! for it and wrong for a node on a full disk, which should go on when there is space. So the
//! file is closed at the first failure and opened again by the next call; what had been
//! committed is there, and nothing of what had not.
//!
//! Commits use redb's quick repair: two syncs instead of one, but opening after a crash takes no
//! walk over the whole file, and no crafted content can pass for a finished commit.

use std::fs::File;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use redb::{Database, DatabaseError, ReadTransaction, ReadableDatabase, WriteTransaction};

type Opener = Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>;

pub(crate) struct Tables {
    opener: Opener,
    open: RwLock<Option<Database>>,
}

impl Tables {
    /// Opens the file, or creates it.
    pub(super) fn open(path: &Path, cache_bytes: usize) -> Result<Self, redb::Error> {
        let path = path.to_path_buf();
        Self::with_opener(Box::new(move || {
            let database = Database::builder()
                .set_cache_size(cache_bytes)
                .create(&path)?;
            // A new file is only safe once its name is.
            match path.parent() {
                Some(directory) if directory != Path::new("") => File::open(directory)?,
                _ => File::open(".")?,
            }
            .sync_all()?;
            Ok(database)
        }))
    }

    /// For tests that put something else than a file below.
    pub(crate) fn with_opener(opener: Opener) -> Result<Self, redb::Error> {
        let database = opener()?;
        Ok(Self {
            opener,
            open: RwLock::new(Some(database)),
        })
    }

    pub(super) fn read<T>(
        &self,
        f: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, redb::Error> {
        self.with_database(|database| {
            let transaction = database.begin_read()?;
            f(&transaction)
        })
    }

    /// Runs `f` in one transaction and makes it durable, or leaves no trace of it.
    pub(super) fn write<T>(
        &self,
        f: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, redb::Error> {
        self.with_database(|database| {
            let mut transaction = database.begin_write()?;
            transaction.set_quick_repair(true);
            let value = f(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })
    }

    fn with_database<T>(
        &self,
        f: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, redb::Error> {
        // A panic below this lock leaves no half-written value in it, only the option.
        let mut guard = self.open.read().unwrap_or_else(PoisonError::into_inner);
        while guard.is_none() {
            drop(guard);
            self.reopen()?;
            guard = self.open.read().unwrap_or_else(PoisonError::into_inner);
        }
        let result = match guard.as_ref() {
            Some(database) => f(database),
            None => Err(redb::Error::DatabaseClosed),
        };
        drop(guard);
        if result.is_err() {
            self.close();
        }
        result
    }

    fn reopen(&self) -> Result<(), redb::Error> {
        let mut guard = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if guard.is_none() {
            *guard = Some((self.opener)()?);
        }
        Ok(())
    }

    fn close(&self) {
        let mut guard = self.open.write().unwrap_or_else(PoisonError::into_inner);
        *guard = None;
    }
}
