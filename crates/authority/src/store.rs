//! What an authority remembers between requests: one SQLite file, `DIR/authority.db`.
//!
//! It holds no personal data: a person is the register's opaque reference and their tag. Codes and
//! tokens are stored as hashes. Whatever must happen once (a code, a nonce) happens in one
//! statement that says whether it was the first. WAL with `synchronous=FULL`: an answer that was
//! sent survives a power cut (promise P10). Two processes may have it open, the service and the
//! operator's command.

use realdid_core::hash::Hash32;
use realdid_core::state::{PersonTag, ReasonCode, Standing};
use realdid_exchange::vci::{CodeState, secret_hash};
use sqlx::Row;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use std::path::Path;
use std::time::Duration;

/// The version of the schema below, as SQLite's `user_version`.
const SCHEMA_VERSION: i64 = 1;
/// How long a writer waits for another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

const SCHEMA: &str = "
CREATE TABLE enrolments (
    person    TEXT PRIMARY KEY,
    tag       BLOB NOT NULL UNIQUE,
    seq       INTEGER NOT NULL,
    height    INTEGER NOT NULL,
    standing  INTEGER NOT NULL,
    reason    TEXT NOT NULL
) STRICT;
CREATE TABLE codes (
    hash      BLOB PRIMARY KEY,
    person    TEXT NOT NULL,
    tx_hash   BLOB NOT NULL,
    expires_s INTEGER NOT NULL,
    used      INTEGER NOT NULL,
    failures  INTEGER NOT NULL
) STRICT;
CREATE TABLE tokens (
    hash      BLOB PRIMARY KEY,
    kind      INTEGER NOT NULL,
    person    TEXT NOT NULL,
    expires_s INTEGER NOT NULL
) STRICT;
CREATE TABLE nonces (
    nonce     TEXT PRIMARY KEY,
    expires_s INTEGER NOT NULL
) STRICT;
CREATE TABLE sponsorships (
    person    TEXT NOT NULL,
    epoch     INTEGER NOT NULL,
    count     INTEGER NOT NULL,
    PRIMARY KEY (person, epoch)
) STRICT;
";

/// The store failed. What exactly is in the log; the answer says nothing of the inside.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "store.unavailable: the database must be readable and writable ({what}); fault: operator; \
         do: look at the disk and the file's owner"
    )]
    Unavailable { what: String },
    #[error(
        "store.version: the database must have schema version {SCHEMA_VERSION}, it has {found}; \
         fault: operator; do: run the version of realdid that wrote it"
    )]
    Version { found: i64 },
}

impl StoreError {
    /// Stable, dotted code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "store.unavailable",
            Self::Version { .. } => "store.version",
        }
    }
}

/// Statements carry their values apart, so a database error names tables and codes, never values.
impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let what = match &error {
            sqlx::Error::Database(database) => {
                format!("SQLite code {}", database.code().unwrap_or_default())
            }
            sqlx::Error::Io(io) => io.kind().to_string(),
            sqlx::Error::PoolTimedOut => "busy".to_owned(),
            _ => "unexpected answer".to_owned(),
        };
        Self::Unavailable { what }
    }
}

/// What a token opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// The credential endpoint, for minutes.
    Access = 1,
    /// The token endpoint and the sponsoring of DIDs, for months.
    Refresh = 2,
}

/// A person's enrolment as this authority last knew it. The ledger's word goes first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    pub person: String,
    pub tag: PersonTag,
    pub seq: u64,
    /// The height at which the ledger last accepted a change.
    pub height: u64,
    pub standing: Standing,
    pub reason: ReasonCode,
}

/// A new pre-authorised code.
pub struct NewCode<'a> {
    pub code: &'a str,
    pub tx_code: &'a str,
    pub person: &'a str,
    /// Unix seconds.
    pub expires_s: u64,
}

/// The authority's database.
#[derive(Debug, Clone)]
pub struct Store {
    pool: SqlitePool,
}

/// Opens a SQLite file as all our services do, and makes its schema in an empty one.
pub(crate) async fn open_sqlite(
    path: &Path,
    schema: &'static str,
    version: i64,
) -> Result<SqlitePool, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT);
    let pool = SqlitePoolOptions::new()
        .max_connections(8)
        .acquire_timeout(BUSY_TIMEOUT)
        .connect_with(options)
        .await?;
    // Immediate: of two processes that start together, one makes the schema.
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    let found: i64 = sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(&mut *transaction)
        .await?;
    match found {
        0 => {
            sqlx::raw_sql(schema).execute(&mut *transaction).await?;
            // A pragma takes no parameters.
            let pragma = format!("PRAGMA user_version = {version}");
            sqlx::raw_sql(sqlx::AssertSqlSafe(pragma))
                .execute(&mut *transaction)
                .await?;
        }
        found if found == version => {}
        found => return Err(StoreError::Version { found }),
    }
    transaction.commit().await?;
    Ok(pool)
}

impl Store {
    /// Opens `DIR/authority.db`, made where there is none.
    pub async fn open(dir: &Path) -> Result<Self, StoreError> {
        let pool = open_sqlite(&dir.join("authority.db"), SCHEMA, SCHEMA_VERSION).await?;
        Ok(Self { pool })
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }

    // --- enrolments

    pub async fn enrolled(&self, person: &str) -> Result<Option<Enrolled>, StoreError> {
        let row = sqlx::query(
            "SELECT person, tag, seq, height, standing, reason FROM enrolments WHERE person = ?",
        )
        .bind(person)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(enrolled).transpose()
    }

    /// Records what the ledger accepted. The standing stays as it is recorded: an operator may
    /// have suspended the person meanwhile.
    pub async fn record_enrolment(
        &self,
        person: &str,
        tag: &PersonTag,
        seq: u64,
        height: u64,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO enrolments (person, tag, seq, height, standing, reason)
             VALUES (?, ?, ?, ?, 0, 'none')
             ON CONFLICT (person) DO UPDATE SET tag = excluded.tag,
                 seq = max(seq, excluded.seq), height = max(height, excluded.height)",
        )
        .bind(person)
        .bind(&tag.0[..])
        .bind(integer(seq))
        .bind(integer(height))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Records a standing before the ledger is told, so that nothing is issued meanwhile. Answers
    /// whether the person is known.
    pub async fn set_standing(
        &self,
        person: &str,
        standing: Standing,
        reason: ReasonCode,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query("UPDATE enrolments SET standing = ?, reason = ? WHERE person = ?")
            .bind(standing_code(standing))
            .bind(reason.name())
            .bind(person)
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Ends every code and token of a person: another device enrolled, or this one is lost.
    pub async fn revoke(&self, person: &str) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("DELETE FROM codes WHERE person = ?")
            .bind(person)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("DELETE FROM tokens WHERE person = ?")
            .bind(person)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// How many people are enrolled, and how many of them are suspended.
    pub async fn totals(&self) -> Result<(u64, u64), StoreError> {
        let row = sqlx::query("SELECT count(*), coalesce(sum(standing <> 0), 0) FROM enrolments")
            .fetch_one(&self.pool)
            .await?;
        Ok((unsigned(row.try_get(0)?), unsigned(row.try_get(1)?)))
    }

    // --- codes and tokens

    pub async fn add_code(&self, new: &NewCode<'_>) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO codes (hash, person, tx_hash, expires_s, used, failures)
             VALUES (?, ?, ?, ?, 0, 0)",
        )
        .bind(&secret_hash(new.code)[..])
        .bind(new.person)
        .bind(&secret_hash(new.tx_code)[..])
        .bind(integer(new.expires_s))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The person and state of a code.
    pub async fn code(&self, code: &str) -> Result<Option<(String, CodeState)>, StoreError> {
        let row = sqlx::query(
            "SELECT person, tx_hash, expires_s, used, failures FROM codes WHERE hash = ?",
        )
        .bind(&secret_hash(code)[..])
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let state = CodeState {
            tx_code_hash: Some(bytes32(&row, "tx_hash")?),
            expires_s: unsigned(row.try_get("expires_s")?),
            used: row.try_get::<i64, _>("used")? != 0,
            failures: u32::try_from(row.try_get::<i64, _>("failures")?).unwrap_or(u32::MAX),
        };
        Ok(Some((row.try_get("person")?, state)))
    }

    /// Marks a code used. Only one caller is told `true`.
    pub async fn use_code(&self, code: &str) -> Result<bool, StoreError> {
        let done = sqlx::query("UPDATE codes SET used = 1 WHERE hash = ? AND used = 0")
            .bind(&secret_hash(code)[..])
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Counts a wrong transaction code.
    pub async fn fail_code(&self, code: &str) -> Result<(), StoreError> {
        sqlx::query("UPDATE codes SET failures = failures + 1 WHERE hash = ?")
            .bind(&secret_hash(code)[..])
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    pub async fn add_token(
        &self,
        kind: TokenKind,
        token: &str,
        person: &str,
        expires_s: u64,
    ) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO tokens (hash, kind, person, expires_s) VALUES (?, ?, ?, ?)")
            .bind(&secret_hash(token)[..])
            .bind(kind as i64)
            .bind(person)
            .bind(integer(expires_s))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Whose token it is, if it is of this kind and not expired.
    pub async fn token(
        &self,
        kind: TokenKind,
        token: &str,
        now_s: u64,
    ) -> Result<Option<String>, StoreError> {
        let person = sqlx::query_scalar(
            "SELECT person FROM tokens WHERE hash = ? AND kind = ? AND expires_s > ?",
        )
        .bind(&secret_hash(token)[..])
        .bind(kind as i64)
        .bind(integer(now_s))
        .fetch_optional(&self.pool)
        .await?;
        Ok(person)
    }

    // --- nonces and quota

    /// Uses a nonce up. Only one caller is told `true`.
    pub async fn use_nonce(&self, nonce: &str, expires_s: u64) -> Result<bool, StoreError> {
        let done = sqlx::query("INSERT OR IGNORE INTO nonces (nonce, expires_s) VALUES (?, ?)")
            .bind(nonce)
            .bind(integer(expires_s))
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Spends one of a person's sponsorships in an epoch, if one of `quota` is left.
    pub async fn spend(&self, person: &str, epoch: u64, quota: u64) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "INSERT INTO sponsorships (person, epoch, count) SELECT ?1, ?2, 1 WHERE ?3 > 0
             ON CONFLICT (person, epoch) DO UPDATE SET count = count + 1 WHERE count < ?3",
        )
        .bind(person)
        .bind(integer(epoch))
        .bind(integer(quota))
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Gives one back that was not used after all.
    pub async fn unspend(&self, person: &str, epoch: u64) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE sponsorships SET count = count - 1 WHERE person = ? AND epoch = ? AND count > 0",
        )
        .bind(person)
        .bind(integer(epoch))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Forgets what has expired.
    pub async fn clean(&self, now_s: u64, epoch: u64) -> Result<(), StoreError> {
        let statements = [
            "DELETE FROM codes WHERE expires_s <= ?",
            "DELETE FROM tokens WHERE expires_s <= ?",
            "DELETE FROM nonces WHERE expires_s <= ?",
        ];
        for statement in statements {
            sqlx::query(statement)
                .bind(integer(now_s))
                .execute(&self.pool)
                .await?;
        }
        sqlx::query("DELETE FROM sponsorships WHERE epoch < ?")
            .bind(integer(epoch))
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

fn enrolled(row: &SqliteRow) -> Result<Enrolled, StoreError> {
    let standing = match row.try_get::<i64, _>("standing")? {
        0 => Standing::Active,
        1 => Standing::Suspended,
        _ => Standing::Ended,
    };
    let reason: String = row.try_get("reason")?;
    Ok(Enrolled {
        person: row.try_get("person")?,
        tag: Hash32(bytes32(row, "tag")?),
        seq: unsigned(row.try_get("seq")?),
        height: unsigned(row.try_get("height")?),
        standing,
        reason: ReasonCode::from_name(&reason).unwrap_or(ReasonCode::None),
    })
}

fn standing_code(standing: Standing) -> i64 {
    match standing {
        Standing::Active => 0,
        Standing::Suspended => 1,
        Standing::Ended => 2,
    }
}

pub(crate) fn bytes32(row: &SqliteRow, column: &str) -> Result<[u8; 32], StoreError> {
    let bytes: Vec<u8> = row.try_get(column)?;
    bytes.try_into().map_err(|_| StoreError::Unavailable {
        what: "a digest of wrong length".to_owned(),
    })
}

/// SQLite's integers are signed; ours stay far below 2^63.
pub(crate) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        (folder, store)
    }

    #[tokio::test]
    async fn codes_and_nonces_are_used_once() {
        let (_folder, store) = store().await;
        let new = NewCode {
            code: "c",
            tx_code: "1",
            person: "r-1",
            expires_s: 10,
        };
        store.add_code(&new).await.unwrap();
        let (person, state) = store.code("c").await.unwrap().unwrap();
        assert_eq!(person, "r-1");
        assert_eq!(state.redeem(Some("1"), 9), Ok(()));
        assert!(store.use_code("c").await.unwrap());
        assert!(!store.use_code("c").await.unwrap());
        assert!(store.use_nonce("n", 10).await.unwrap());
        assert!(!store.use_nonce("n", 10).await.unwrap());
        store.clean(10, 0).await.unwrap();
        assert_eq!(store.code("c").await.unwrap(), None);
    }

    #[tokio::test]
    async fn tokens_expire_and_are_of_one_kind() {
        let (_folder, store) = store().await;
        store
            .add_token(TokenKind::Access, "t", "r-1", 10)
            .await
            .unwrap();
        let token = |kind, now| {
            let store = store.clone();
            async move { store.token(kind, "t", now).await.unwrap() }
        };
        assert_eq!(token(TokenKind::Access, 9).await, Some("r-1".to_owned()));
        assert_eq!(token(TokenKind::Access, 10).await, None);
        assert_eq!(token(TokenKind::Refresh, 9).await, None);
        store.revoke("r-1").await.unwrap();
        assert_eq!(token(TokenKind::Access, 9).await, None);
    }

    #[tokio::test]
    async fn quota_is_spent_within_an_epoch() {
        let (_folder, store) = store().await;
        assert!(store.spend("r-1", 1, 2).await.unwrap());
        assert!(store.spend("r-1", 1, 2).await.unwrap());
        assert!(!store.spend("r-1", 1, 2).await.unwrap());
        store.unspend("r-1", 1).await.unwrap();
        assert!(store.spend("r-1", 1, 2).await.unwrap());
        assert!(store.spend("r-1", 2, 2).await.unwrap());
        assert!(store.spend("r-2", 1, 2).await.unwrap());
        assert!(!store.spend("r-3", 1, 0).await.unwrap());
    }

    #[tokio::test]
    async fn p10_what_was_written_is_there_after_opening_again() {
        let (folder, store) = store().await;
        let tag = Hash32([1; 32]);
        store.record_enrolment("r-1", &tag, 3, 20).await.unwrap();
        store.record_enrolment("r-1", &tag, 2, 10).await.unwrap();
        let other = Store::open(folder.path()).await.unwrap();
        let known = other.enrolled("r-1").await.unwrap().unwrap();
        assert_eq!((known.seq, known.height), (3, 20));
        let suspended = (Standing::Suspended, ReasonCode::LostDevice);
        assert!(
            other
                .set_standing("r-1", suspended.0, suspended.1)
                .await
                .unwrap()
        );
        assert!(
            !other
                .set_standing("r-2", suspended.0, suspended.1)
                .await
                .unwrap()
        );
        // a new enrolment does not lift a suspension
        store.record_enrolment("r-1", &tag, 4, 30).await.unwrap();
        let known = store.enrolled("r-1").await.unwrap().unwrap();
        assert_eq!((known.standing, known.reason), suspended);
        assert_eq!(store.totals().await.unwrap(), (1, 1));
    }

    #[tokio::test]
    async fn another_schema_is_refused() {
        let (folder, store) = store().await;
        sqlx::raw_sql("PRAGMA user_version = 9")
            .execute(&store.pool)
            .await
            .unwrap();
        let error = Store::open(folder.path()).await.err().unwrap();
        assert_eq!(error.code(), "store.version");
    }
}
