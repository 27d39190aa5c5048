//! What an authority remembers between requests: one SQLite file, `DIR/authority.db`, or a
//! PostgreSQL database that several processes of one authority share.
//!
//! It holds no personal data in the clear: a person is the register's opaque reference and their tag, how
//! many people share facts is counted apart from who they are, and what is kept of foreigners, who are in
//! no register, is sealed under a key that is not here ([`crate::register::foreigners`]). Codes and tokens are stored as hashes. Whatever must happen once (a code, a nonce) happens in one
//! statement that says whether it was the first, so no process has to know of another. SQLite in
//! WAL with `synchronous=FULL`, PostgreSQL as it is by default: an answer that was sent survives a
//! power cut (promise P10).
//!
//! The statements are the same for both databases. What is of RealPass is in [`pass`], what of organisations in
//! [`mandates`].
//!
//! Codes and tokens are of a *generation* of the person's devices. A new enrolment begins the next,
//! in the same statement that records it, and whatever is of an earlier one opens nothing from then
//! on, also if another process writes it a moment later (rule N8).

mod batches;
mod foreigners;
mod grants;
mod mandates;
mod pass;
mod statuses;

pub use batches::{Closing, OpenBatch};
pub use grants::Deferred;
pub use pass::{KeptRow, PassHolder};
pub use statuses::{ENTRIES, Entry, Version};

use realdid_core::hash::Hash32;
use realdid_core::state::{PersonTag, ReasonCode, Standing};
use realdid_exchange::vci::{CodeState, secret_hash};
use sqlx::any::{AnyPoolOptions, AnyRow};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{AnyPool, Connection, Row};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use crate::config::StoreConfig;

/// The version of the schema below: SQLite's `user_version`, PostgreSQL's table `schema_version`.
const SCHEMA_VERSION: i64 = 6;
/// How long a writer waits for another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections of one process to SQLite, where writers wait for each other anyway.
const SQLITE_CONNECTIONS: u32 = 8;
/// Connections of one process to PostgreSQL.
const POSTGRES_CONNECTIONS: u32 = 16;
/// Of processes that start together, one makes the schema: the key of that advisory lock.
const SCHEMA_LOCK: i64 = 0x7264_6964_0001;

/// In SQLite's words; PostgreSQL has other names for two types (`in_postgres`).
const SCHEMA: &str = "
CREATE TABLE enrolments (
    person      TEXT PRIMARY KEY,
    tag         BLOB NOT NULL UNIQUE,
    seq         INTEGER NOT NULL,
    height      INTEGER NOT NULL,
    standing    INTEGER NOT NULL,
    reason      TEXT NOT NULL,
    generation  INTEGER NOT NULL,
    enrolled_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE codes (
    hash       BLOB PRIMARY KEY,
    person     TEXT NOT NULL,
    generation INTEGER NOT NULL,
    tx_hash    BLOB NOT NULL,
    expires_s  INTEGER NOT NULL,
    used       INTEGER NOT NULL,
    failures   INTEGER NOT NULL
) STRICT;
CREATE TABLE tokens (
    hash       BLOB PRIMARY KEY,
    kind       INTEGER NOT NULL,
    person     TEXT NOT NULL,
    generation INTEGER NOT NULL,
    expires_s  INTEGER NOT NULL,
    jkt        TEXT NOT NULL,
    granted    TEXT NOT NULL,
    named      INTEGER NOT NULL,
    code       BLOB
) STRICT;
CREATE INDEX tokens_by_code ON tokens (code);
CREATE TABLE pushed (
    hash      BLOB PRIMARY KEY,
    request   TEXT NOT NULL,
    tries     INTEGER NOT NULL,
    expires_s INTEGER NOT NULL
) STRICT;
CREATE TABLE authorizations (
    hash       BLOB PRIMARY KEY,
    person     TEXT NOT NULL,
    generation INTEGER NOT NULL,
    request    TEXT NOT NULL,
    expires_s  INTEGER NOT NULL,
    used       INTEGER NOT NULL
) STRICT;
CREATE TABLE deferred (
    hash          BLOB PRIMARY KEY,
    person        TEXT NOT NULL,
    configuration TEXT NOT NULL,
    keys          TEXT NOT NULL,
    expires_s     INTEGER NOT NULL
) STRICT;
CREATE TABLE foreigners (
    person TEXT PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT;
CREATE TABLE logins (
    hash      BLOB PRIMARY KEY,
    sealed    BLOB NOT NULL,
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
CREATE TABLE kept (
    person      TEXT PRIMARY KEY,
    kept        BLOB NOT NULL,
    reset_ms    INTEGER NOT NULL,
    replaced_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE passes (
    epoch     INTEGER NOT NULL,
    person    TEXT NOT NULL,
    PRIMARY KEY (epoch, person)
) STRICT;
CREATE TABLE counts (
    epoch     INTEGER NOT NULL,
    adult     INTEGER NOT NULL,
    region    INTEGER NOT NULL,
    kind      INTEGER NOT NULL,
    assurance INTEGER NOT NULL,
    people    INTEGER NOT NULL,
    PRIMARY KEY (epoch, adult, region, kind, assurance)
) STRICT;
CREATE TABLE cohorts (
    epoch     INTEGER PRIMARY KEY,
    counted   TEXT NOT NULL
) STRICT;
CREATE TABLE totals (
    epoch     INTEGER PRIMARY KEY,
    total     INTEGER NOT NULL,
    declared  INTEGER NOT NULL,
    claimed_s INTEGER NOT NULL
) STRICT;
CREATE TABLE issued (
    item      BLOB PRIMARY KEY,
    key       BLOB NOT NULL,
    batch     INTEGER NOT NULL,
    due_s     INTEGER NOT NULL,
    expires_s INTEGER NOT NULL
) STRICT;
CREATE INDEX issued_by_batch ON issued (batch);
CREATE TABLE lists (
    list      INTEGER PRIMARY KEY,
    taken     INTEGER NOT NULL,
    claimed_s INTEGER NOT NULL
) STRICT;
CREATE TABLE statuses (
    list      INTEGER NOT NULL,
    idx       INTEGER NOT NULL,
    person    TEXT NOT NULL,
    data      BLOB NOT NULL,
    status    INTEGER NOT NULL,
    expires_s INTEGER NOT NULL,
    PRIMARY KEY (list, idx)
) STRICT;
CREATE INDEX statuses_by_person ON statuses (person);
CREATE TABLE versions (
    list      INTEGER NOT NULL,
    seq       INTEGER NOT NULL,
    digest    BLOB NOT NULL,
    bytes     BLOB NOT NULL,
    PRIMARY KEY (list, seq)
) STRICT;
CREATE TABLE batches (
    batch     INTEGER PRIMARY KEY,
    key       BLOB NOT NULL,
    height    INTEGER NOT NULL,
    claimed_s INTEGER NOT NULL,
    expires_s INTEGER NOT NULL
) STRICT;
";

/// The store failed. What exactly is in the log; the answer says nothing of the inside.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "store.unavailable: the database must be readable and writable ({what}); fault: operator; \
         do: look at the disk and the file's owner, or at the database server"
    )]
    Unavailable { what: String },
    #[error(
        "store.version: the database must have schema version {SCHEMA_VERSION}, it has {found}; \
         fault: operator; do: run the version of realdid that wrote it"
    )]
    Version { found: i64 },
    #[error(
        "store.address: a database server must be named by a postgres:// URL, in a readable file \
         where the configuration names one; fault: operator; do: correct url or url_file in [store]"
    )]
    Address,
}

impl StoreError {
    /// Stable, dotted code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "store.unavailable",
            Self::Version { .. } => "store.version",
            Self::Address => "store.address",
        }
    }

    fn unexpected(what: &str) -> Self {
        Self::Unavailable {
            what: what.to_owned(),
        }
    }
}

/// Statements carry their values apart, so a database error names tables and codes, never values.
impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let what = match &error {
            sqlx::Error::Database(database) => {
                format!("database code {}", database.code().unwrap_or_default())
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

/// What the ledger accepted of an enrolment, with the code for the device that enrolled.
pub struct NewEnrolment<'a> {
    pub person: &'a str,
    pub tag: &'a PersonTag,
    pub seq: u64,
    pub height: u64,
    /// The ledger's time when the enrolment was made, Unix milliseconds.
    pub enrolled_ms: u64,
    pub code: &'a str,
    pub tx_code: &'a str,
    /// When the code expires, Unix seconds.
    pub expires_s: u64,
}

/// Whose code or token it is, and of which generation of their devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub person: String,
    generation: i64,
    pub grant: Grant,
}

/// What a token opens, and for whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant {
    /// The thumbprint of the key that it is bound to; empty where it is bound to none.
    pub jkt: String,
    /// Configuration ids; none where it opens whatever an enrolment brings.
    pub configurations: Vec<String>,
    /// Whether they are asked for by identifiers.
    pub identifiers: bool,
    /// The authorization code that it came from.
    pub code: Option<String>,
}

impl Grant {
    /// Whether it opens a configuration.
    pub fn opens(&self, configuration: &str) -> bool {
        self.configurations.is_empty() || self.configurations.iter().any(|id| id == configuration)
    }
}

/// The authority's database.
#[derive(Debug, Clone)]
pub struct Store {
    pool: AnyPool,
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
        .max_connections(SQLITE_CONNECTIONS)
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

/// Makes the schema in an empty PostgreSQL database.
async fn prepare_postgres(url: &str) -> Result<(), StoreError> {
    let options = PgConnectOptions::from_str(url).map_err(|_| StoreError::Address)?;
    let mut connection = PgConnection::connect_with(&options).await?;
    let mut transaction = connection.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(SCHEMA_LOCK)
        .execute(&mut *transaction)
        .await?;
    sqlx::raw_sql("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)")
        .execute(&mut *transaction)
        .await?;
    let found: Option<i64> = sqlx::query_scalar("SELECT version FROM schema_version")
        .fetch_optional(&mut *transaction)
        .await?;
    match found {
        None => {
            sqlx::raw_sql(sqlx::AssertSqlSafe(in_postgres(SCHEMA)))
                .execute(&mut *transaction)
                .await?;
            sqlx::query("INSERT INTO schema_version (version) VALUES ($1)")
                .bind(SCHEMA_VERSION)
                .execute(&mut *transaction)
                .await?;
        }
        Some(SCHEMA_VERSION) => {}
        Some(found) => return Err(StoreError::Version { found }),
    }
    let beside = in_postgres(mandates::SCHEMA);
    sqlx::raw_sql(sqlx::AssertSqlSafe(beside))
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    connection.close().await?;
    Ok(())
}

fn in_postgres(schema: &str) -> String {
    schema
        .replace(" INTEGER", " BIGINT")
        .replace(" BLOB", " BYTEA")
        .replace(") STRICT;", ");")
}

impl Store {
    /// Opens the database that the configuration names: a server, or `DIR/authority.db`.
    pub async fn open(dir: &Path, config: &StoreConfig) -> Result<Self, StoreError> {
        match config.address()? {
            Some(url) => Self::open_postgres(&url).await,
            None => Self::open_dir(dir).await,
        }
    }

    /// Opens `DIR/authority.db`, made where there is none.
    pub async fn open_dir(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join("authority.db");
        let made = open_sqlite(&path, SCHEMA, SCHEMA_VERSION).await?;
        made.close().await;
        let path = std::path::absolute(&path).map_err(|_| StoreError::unexpected("path"))?;
        let url = url::Url::from_file_path(path).map_err(|()| StoreError::unexpected("path"))?;
        let url = format!("sqlite{}", &url.as_str()["file".len()..]);
        sqlx::any::install_default_drivers();
        let pool = AnyPoolOptions::new()
            .max_connections(SQLITE_CONNECTIONS)
            .acquire_timeout(BUSY_TIMEOUT)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    let settings = "PRAGMA synchronous = FULL; PRAGMA busy_timeout = 10000";
                    sqlx::raw_sql(settings).execute(connection).await?;
                    Ok(())
                })
            })
            .connect(&url)
            .await?;
        Self::prepare_mandates(&pool).await?;
        Ok(Self { pool })
    }

    async fn open_postgres(url: &str) -> Result<Self, StoreError> {
        prepare_postgres(url).await?;
        sqlx::any::install_default_drivers();
        let pool = AnyPoolOptions::new()
            .max_connections(POSTGRES_CONNECTIONS)
            .acquire_timeout(BUSY_TIMEOUT)
            .connect(url)
            .await?;
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
            "SELECT person, tag, seq, height, standing, reason FROM enrolments WHERE person = $1",
        )
        .bind(person)
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(enrolled).transpose()
    }

    /// Records an enrolment that the ledger accepted, with the code of its device, and ends every
    /// code and token of the person's earlier devices. The standing stays as it is recorded: an
    /// operator may have suspended the person meanwhile. Answers whether it was recorded: not
    /// where a later one has been recorded already, by another process.
    pub async fn record_enrolment(&self, new: &NewEnrolment<'_>) -> Result<bool, StoreError> {
        match self.try_record_enrolment(new).await {
            // Two processes write a person's first row at once: PostgreSQL may refuse the second by
            // the tag before it sees the conflict of the person. The row is there now.
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                Ok(self.try_record_enrolment(new).await?)
            }
            tried => Ok(tried?),
        }
    }

    async fn try_record_enrolment(&self, new: &NewEnrolment<'_>) -> Result<bool, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let generation: Option<i64> = sqlx::query_scalar(
            "INSERT INTO enrolments
                 (person, tag, seq, height, standing, reason, generation, enrolled_ms)
             VALUES ($1, $2, $3, $4, 0, 'none', 1, $5)
             ON CONFLICT (person) DO UPDATE SET tag = excluded.tag, seq = excluded.seq,
                 height = excluded.height, generation = enrolments.generation + 1,
                 enrolled_ms = excluded.enrolled_ms
             WHERE enrolments.seq < excluded.seq OR enrolments.tag <> excluded.tag
             RETURNING generation",
        )
        .bind(new.person)
        .bind(new.tag.0.to_vec())
        .bind(integer(new.seq))
        .bind(integer(new.height))
        .bind(integer(new.enrolled_ms))
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(generation) = generation else {
            transaction.rollback().await?;
            return Ok(false);
        };
        for statement in [
            "DELETE FROM codes WHERE person = $1",
            "DELETE FROM tokens WHERE person = $1",
            "DELETE FROM authorizations WHERE person = $1",
            "DELETE FROM deferred WHERE person = $1",
        ] {
            sqlx::query(statement)
                .bind(new.person)
                .execute(&mut *transaction)
                .await?;
        }
        sqlx::query(
            "INSERT INTO codes (hash, person, generation, tx_hash, expires_s, used, failures)
             VALUES ($1, $2, $3, $4, $5, 0, 0)",
        )
        .bind(secret_hash(new.code).to_vec())
        .bind(new.person)
        .bind(generation)
        .bind(secret_hash(new.tx_code).to_vec())
        .bind(integer(new.expires_s))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Records that the ledger accepted another change of the person's entry.
    pub async fn record_change(
        &self,
        person: &str,
        seq: u64,
        height: u64,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE enrolments SET seq = $2, height = $3 WHERE person = $1 AND seq < $2")
            .bind(person)
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
        let done =
            sqlx::query("UPDATE enrolments SET standing = $1, reason = $2 WHERE person = $3")
                .bind(standing_code(standing))
                .bind(reason.name())
                .bind(person)
                .execute(&self.pool)
                .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Ends every code and token of a person: the device is in other hands.
    pub async fn revoke(&self, person: &str) -> Result<(), StoreError> {
        sqlx::query("UPDATE enrolments SET generation = generation + 1 WHERE person = $1")
            .bind(person)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// How many people are enrolled, and how many of them are suspended.
    pub async fn totals(&self) -> Result<(u64, u64), StoreError> {
        let row = sqlx::query(
            "SELECT count(*) AS enrolled, count(*) FILTER (WHERE standing <> 0) AS suspended
             FROM enrolments",
        )
        .fetch_one(&self.pool)
        .await?;
        Ok((unsigned(row.try_get(0)?), unsigned(row.try_get(1)?)))
    }

    // --- codes and tokens

    /// The holder and state of a code.
    pub async fn code(&self, code: &str) -> Result<Option<(Holder, CodeState)>, StoreError> {
        let row = sqlx::query(
            "SELECT c.person, c.generation, c.tx_hash, c.expires_s, c.used, c.failures
             FROM codes c JOIN enrolments e ON e.person = c.person
             WHERE c.hash = $1 AND c.generation = e.generation",
        )
        .bind(secret_hash(code).to_vec())
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let state = CodeState {
            tx_code_hash: Some(bytes32(row.try_get("tx_hash")?)?),
            expires_s: unsigned(row.try_get("expires_s")?),
            used: row.try_get::<i64, _>("used")? != 0,
            failures: u32::try_from(row.try_get::<i64, _>("failures")?).unwrap_or(u32::MAX),
        };
        Ok(Some((holder(&row)?, state)))
    }

    /// Marks a code used. Only one caller is told `true`.
    pub async fn use_code(&self, code: &str) -> Result<bool, StoreError> {
        let done = sqlx::query("UPDATE codes SET used = 1 WHERE hash = $1 AND used = 0")
            .bind(secret_hash(code).to_vec())
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Counts a wrong transaction code.
    pub async fn fail_code(&self, code: &str) -> Result<(), StoreError> {
        sqlx::query("UPDATE codes SET failures = failures + 1 WHERE hash = $1")
            .bind(secret_hash(code).to_vec())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// A token for whoever holds an earlier code or token; it is of that one's generation.
    pub async fn add_token(
        &self,
        kind: TokenKind,
        token: &str,
        holder: &Holder,
        expires_s: u64,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO tokens
                 (hash, kind, person, generation, expires_s, jkt, granted, named, code)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(secret_hash(token).to_vec())
        .bind(kind as i64)
        .bind(&holder.person)
        .bind(holder.generation)
        .bind(integer(expires_s))
        .bind(&holder.grant.jkt)
        .bind(holder.grant.configurations.join(" "))
        .bind(i64::from(holder.grant.identifiers))
        .bind(
            holder
                .grant
                .code
                .as_deref()
                .map(|code| secret_hash(code).to_vec()),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Whose token it is, if it is of this kind, of the present generation, and not expired.
    pub async fn token(
        &self,
        kind: TokenKind,
        token: &str,
        now_s: u64,
    ) -> Result<Option<Holder>, StoreError> {
        let row = sqlx::query(
            "SELECT t.person, t.generation, t.jkt, t.granted, t.named
             FROM tokens t JOIN enrolments e ON e.person = t.person
             WHERE t.hash = $1 AND t.kind = $2 AND t.expires_s > $3
                 AND t.generation = e.generation",
        )
        .bind(secret_hash(token).to_vec())
        .bind(kind as i64)
        .bind(integer(now_s))
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(token_holder).transpose()
    }

    // --- nonces and quota

    /// Uses a nonce up. Only one caller is told `true`.
    pub async fn use_nonce(&self, nonce: &str, expires_s: u64) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "INSERT INTO nonces (nonce, expires_s) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        )
        .bind(nonce)
        .bind(integer(expires_s))
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Spends one of a person's sponsorships in an epoch, if one of `quota` is left.
    pub async fn spend(&self, person: &str, epoch: u64, quota: u64) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "INSERT INTO sponsorships (person, epoch, count) SELECT $1, $2, 1 WHERE $3 > 0
             ON CONFLICT (person, epoch) DO UPDATE SET count = sponsorships.count + 1
             WHERE sponsorships.count < $3",
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
            "UPDATE sponsorships SET count = count - 1
             WHERE person = $1 AND epoch = $2 AND count > 0",
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
            "DELETE FROM codes WHERE expires_s <= $1",
            "DELETE FROM tokens WHERE expires_s <= $1",
            "DELETE FROM nonces WHERE expires_s <= $1",
            "DELETE FROM pushed WHERE expires_s <= $1",
            "DELETE FROM authorizations WHERE expires_s <= $1",
            "DELETE FROM deferred WHERE expires_s <= $1",
            "DELETE FROM logins WHERE expires_s <= $1",
            "DELETE FROM mandates WHERE expires_s <= $1",
        ];
        for statement in statements {
            sqlx::query(statement)
                .bind(integer(now_s))
                .execute(&self.pool)
                .await?;
        }
        sqlx::query("DELETE FROM sponsorships WHERE epoch < $1")
            .bind(integer(epoch))
            .execute(&self.pool)
            .await?;
        self.clean_batches(now_s).await?;
        self.clean_passes(epoch).await
    }
}

fn enrolled(row: &AnyRow) -> Result<Enrolled, StoreError> {
    let reason: String = row.try_get("reason")?;
    Ok(Enrolled {
        person: row.try_get("person")?,
        tag: Hash32(bytes32(row.try_get("tag")?)?),
        seq: unsigned(row.try_get("seq")?),
        height: unsigned(row.try_get("height")?),
        standing: standing_of(row.try_get("standing")?),
        reason: ReasonCode::from_name(&reason).unwrap_or(ReasonCode::None),
    })
}

fn holder(row: &AnyRow) -> Result<Holder, StoreError> {
    Ok(Holder {
        person: row.try_get("person")?,
        generation: row.try_get("generation")?,
        grant: Grant::default(),
    })
}

fn token_holder(row: &AnyRow) -> Result<Holder, StoreError> {
    Ok(Holder {
        grant: grant(row)?,
        ..holder(row)?
    })
}

/// From the columns `jkt`, `granted` and `named` of a token.
fn grant(row: &AnyRow) -> Result<Grant, StoreError> {
    let granted: String = row.try_get("granted")?;
    Ok(Grant {
        jkt: row.try_get("jkt")?,
        configurations: granted.split_terminator(' ').map(str::to_owned).collect(),
        identifiers: row.try_get::<i64, _>("named")? != 0,
        code: None,
    })
}

fn standing_code(standing: Standing) -> i64 {
    match standing {
        Standing::Active => 0,
        Standing::Suspended => 1,
        Standing::Ended => 2,
    }
}

fn standing_of(code: i64) -> Standing {
    match code {
        0 => Standing::Active,
        1 => Standing::Suspended,
        _ => Standing::Ended,
    }
}

pub(crate) fn bytes32(bytes: Vec<u8>) -> Result<[u8; 32], StoreError> {
    bytes
        .try_into()
        .map_err(|_| StoreError::unexpected("a digest of wrong length"))
}

/// The databases' integers are signed; ours stay far below 2^63.
pub(crate) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

#[cfg(test)]
mod tests;
