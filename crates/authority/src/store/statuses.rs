//! What the store holds of PIDs that live long: whose entries stand in which status list, and the versions
//! that are on the ledger (spec/status.md, U13 to U17).

use realdid_core::hash::Hash32;
use realdid_credential::status::Status;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::{Store, StoreError, bytes32, integer, unsigned};

/// How many entries a list has.
pub const ENTRIES: u64 = 65_536;
/// How many of them are given out at most: an entry is drawn by lot, and one that is free is found soon.
const GIVEN: u64 = ENTRIES / 2;
/// How often a lot is drawn.
const DRAWS: usize = 64;
/// How many versions of a list are kept, for deltas from them.
const VERSIONS: u64 = 16;

/// An entry in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub list: u64,
    pub idx: u64,
}

/// A version of a list that is on the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    pub seq: u64,
    pub digest: Hash32,
    /// The packed list.
    pub bytes: Vec<u8>,
}

impl Store {
    /// Gives an entry to a person for a credential that says what `data` is a digest of. `draw` gives
    /// random numbers.
    pub async fn take_entry(
        &self,
        person: &str,
        data: &[u8; 32],
        expires_s: u64,
        mut draw: impl FnMut() -> u64,
    ) -> Result<Entry, StoreError> {
        for _ in 0..DRAWS {
            let list: Option<i64> =
                sqlx::query_scalar("SELECT max(list) FROM lists WHERE taken < $1")
                    .bind(integer(GIVEN))
                    .fetch_one(&self.pool)
                    .await?;
            let Some(list) = list else {
                self.add_list().await?;
                continue;
            };
            let idx = draw() % ENTRIES;
            let done = sqlx::query(
                "INSERT INTO statuses (list, idx, person, data, status, expires_s)
                 VALUES ($1, $2, $3, $4, 0, $5) ON CONFLICT DO NOTHING",
            )
            .bind(list)
            .bind(integer(idx))
            .bind(person)
            .bind(data.to_vec())
            .bind(integer(expires_s))
            .execute(&self.pool)
            .await?;
            if done.rows_affected() == 1 {
                sqlx::query("UPDATE lists SET taken = taken + 1 WHERE list = $1")
                    .bind(list)
                    .execute(&self.pool)
                    .await?;
                return Ok(Entry {
                    list: unsigned(list),
                    idx,
                });
            }
        }
        Err(StoreError::unexpected("no free entry in a status list"))
    }

    /// Begins a list where there is none with room.
    pub async fn add_list(&self) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO lists (list, taken, claimed_s)
             SELECT coalesce(max(list), 0) + 1, 0, 0 FROM lists
             WHERE NOT EXISTS (SELECT 1 FROM lists WHERE taken < $1)
             ON CONFLICT DO NOTHING",
        )
        .bind(integer(GIVEN))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Changes what stands behind all of a person's credentials that live long. What is revoked stays so
    /// (U4). Answers how many changed.
    pub async fn change_statuses(&self, person: &str, to: Status) -> Result<u64, StoreError> {
        let done = sqlx::query(
            "UPDATE statuses SET status = $2 WHERE person = $1 AND status <> 1 AND status <> $2",
        )
        .bind(person)
        .bind(i64::from(to.code()))
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }

    /// Revokes what of a person says something else than this. Answers how many that were.
    pub async fn revoke_others(&self, person: &str, data: &[u8; 32]) -> Result<u64, StoreError> {
        let done = sqlx::query(
            "UPDATE statuses SET status = 1 WHERE person = $1 AND data <> $2 AND status <> 1",
        )
        .bind(person)
        .bind(data.to_vec())
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }

    /// The lists that there are.
    pub async fn lists(&self) -> Result<Vec<u64>, StoreError> {
        let rows = sqlx::query("SELECT list FROM lists ORDER BY list")
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| Ok(unsigned(row.try_get(0)?)))
            .collect()
    }

    /// Every entry of a list that is not plainly valid.
    pub async fn not_valid(&self, list: u64) -> Result<Vec<(u64, Status)>, StoreError> {
        let rows = sqlx::query("SELECT idx, status FROM statuses WHERE list = $1 AND status <> 0")
            .bind(integer(list))
            .fetch_all(&self.pool)
            .await?;
        let entry = |row: &AnyRow| {
            let status = match unsigned(row.try_get("status")?) {
                1 => Status::Invalid,
                _ => Status::Suspended,
            };
            Ok((unsigned(row.try_get("idx")?), status))
        };
        rows.iter().map(entry).collect()
    }

    /// Takes the publishing of a list upon oneself until `until_s`. Only one caller is told `true`.
    pub async fn claim_list(
        &self,
        list: u64,
        now_s: u64,
        until_s: u64,
    ) -> Result<bool, StoreError> {
        let done =
            sqlx::query("UPDATE lists SET claimed_s = $2 WHERE list = $1 AND claimed_s <= $3")
                .bind(integer(list))
                .bind(integer(until_s))
                .bind(integer(now_s))
                .execute(&self.pool)
                .await?;
        Ok(done.rows_affected() == 1)
    }

    /// The ledger has this version, and proves it: from now on it is served. The list is anybody's again.
    pub async fn published(&self, list: u64, version: &Version) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO versions (list, seq, digest, bytes) VALUES ($1, $2, $3, $4)
             ON CONFLICT DO NOTHING",
        )
        .bind(integer(list))
        .bind(integer(version.seq))
        .bind(version.digest.0.to_vec())
        .bind(version.bytes.clone())
        .execute(&self.pool)
        .await?;
        sqlx::query("DELETE FROM versions WHERE list = $1 AND seq + $2 <= $3")
            .bind(integer(list))
            .bind(integer(VERSIONS))
            .bind(integer(version.seq))
            .execute(&self.pool)
            .await?;
        self.release_list(list).await
    }

    /// Leaves a list to whoever looks next.
    pub async fn release_list(&self, list: u64) -> Result<(), StoreError> {
        sqlx::query("UPDATE lists SET claimed_s = 0 WHERE list = $1")
            .bind(integer(list))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The version that is served.
    pub async fn newest_version(&self, list: u64) -> Result<Option<Version>, StoreError> {
        let row = sqlx::query(
            "SELECT seq, digest, bytes FROM versions WHERE list = $1 ORDER BY seq DESC LIMIT 1",
        )
        .bind(integer(list))
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(version).transpose()
    }

    /// An earlier version, by its digest.
    pub async fn version_of(
        &self,
        list: u64,
        digest: &Hash32,
    ) -> Result<Option<Version>, StoreError> {
        let row = sqlx::query(
            "SELECT seq, digest, bytes FROM versions WHERE list = $1 AND digest = $2
             ORDER BY seq DESC LIMIT 1",
        )
        .bind(integer(list))
        .bind(digest.0.to_vec())
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(version).transpose()
    }
}

fn version(row: &AnyRow) -> Result<Version, StoreError> {
    Ok(Version {
        seq: unsigned(row.try_get("seq")?),
        digest: Hash32(bytes32(row.try_get("digest")?)?),
        bytes: row.try_get("bytes")?,
    })
}
