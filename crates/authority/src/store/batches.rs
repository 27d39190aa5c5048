//! What the store holds of issuance batches (spec/issuing.md, O14 to O19): a digest of each credential that
//! was issued, and in which batch it is. Whose it is stands nowhere.

use realdid_core::hash::Hash32;
use sqlx::Row;

use super::{Store, StoreError, bytes32, integer, unsigned};

/// The most items of one batch: a path of sixteen digests.
const MAX_ITEMS: u64 = 65_536;

/// A batch that is to be put on the ledger by whoever has this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenBatch {
    pub number: u64,
    /// The id of the key that signed.
    pub key: Hash32,
}

/// When a batch is closed.
#[derive(Debug, Clone, Copy)]
pub struct Closing {
    /// Unix seconds.
    pub now_s: u64,
    /// How many items it has, at least, unless it has waited for a quarter of what they live.
    pub least: u64,
    /// How long whoever closes it may take to put it on the ledger, in seconds.
    pub claim_s: u64,
}

impl Store {
    /// Notes what was issued, before anybody has it: it will be in a batch that closes at `due_s`
    /// or later.
    pub async fn note_issued(
        &self,
        items: &[Hash32],
        key: &Hash32,
        due_s: u64,
        expires_s: u64,
    ) -> Result<(), StoreError> {
        let mut transaction = self.pool.begin().await?;
        for item in items {
            sqlx::query(
                "INSERT INTO issued (item, key, batch, due_s, expires_s)
                 VALUES ($1, $2, 0, $3, $4) ON CONFLICT DO NOTHING",
            )
            .bind(item.0.to_vec())
            .bind(key.0.to_vec())
            .bind(integer(due_s))
            .bind(integer(expires_s))
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// A batch to be put on the ledger: one that somebody has left, or a new one of what is due. Only
    /// one caller is told of each.
    pub async fn open_batch(&self, closing: &Closing) -> Result<Option<OpenBatch>, StoreError> {
        let until_s = integer(closing.now_s.saturating_add(closing.claim_s));
        let now_s = integer(closing.now_s);
        let left = sqlx::query(
            "UPDATE batches SET claimed_s = $1
             WHERE height = 0 AND claimed_s <= $2 AND batch =
                 (SELECT min(batch) FROM batches WHERE height = 0 AND claimed_s <= $2)
             RETURNING batch, key",
        )
        .bind(until_s)
        .bind(now_s)
        .fetch_optional(&self.pool)
        .await?;
        if let Some(row) = left {
            return Ok(Some(OpenBatch {
                number: unsigned(row.try_get("batch")?),
                key: Hash32(bytes32(row.try_get("key")?)?),
            }));
        }
        // What expires together is in a batch together: it is all forgotten at once.
        let due = sqlx::query(
            "SELECT key, expires_s FROM issued WHERE batch = 0
             GROUP BY key, expires_s
             HAVING min(due_s) <= $1
                 AND (count(*) >= $2 OR min(due_s) + (expires_s - min(due_s)) / 4 <= $1)
             ORDER BY min(due_s) LIMIT 1",
        )
        .bind(now_s)
        .bind(integer(closing.least))
        .fetch_optional(&self.pool)
        .await?;
        let Some(due) = due else { return Ok(None) };
        let key: Vec<u8> = due.try_get("key")?;
        let expires_s: i64 = due.try_get("expires_s")?;
        let mut transaction = self.pool.begin().await?;
        // `WHERE true`: SQLite would take ON for the condition of a join.
        let number: Option<i64> = sqlx::query_scalar(
            "INSERT INTO batches (batch, key, height, claimed_s, expires_s)
             SELECT coalesce(max(batch), 0) + 1, $1, 0, $2, $3 FROM batches WHERE true
             ON CONFLICT DO NOTHING
             RETURNING batch",
        )
        .bind(key.clone())
        .bind(until_s)
        .bind(expires_s)
        .fetch_optional(&mut *transaction)
        .await?;
        // Another process was faster.
        let Some(number) = number else {
            transaction.rollback().await?;
            return Ok(None);
        };
        let taken = sqlx::query(
            "UPDATE issued SET batch = $1 WHERE batch = 0 AND item IN
                 (SELECT item FROM issued WHERE batch = 0 AND key = $2 AND expires_s = $3
                  ORDER BY due_s LIMIT $4)",
        )
        .bind(number)
        .bind(key.clone())
        .bind(expires_s)
        .bind(integer(MAX_ITEMS))
        .execute(&mut *transaction)
        .await?;
        if taken.rows_affected() == 0 {
            transaction.rollback().await?;
            return Ok(None);
        }
        transaction.commit().await?;
        Ok(Some(OpenBatch {
            number: unsigned(number),
            key: Hash32(bytes32(key)?),
        }))
    }

    /// The items of a batch, by their digests: that is the order of its list, so where somebody's stand
    /// says nothing.
    pub async fn batch_items(&self, number: u64) -> Result<Vec<Hash32>, StoreError> {
        let rows = sqlx::query("SELECT item FROM issued WHERE batch = $1")
            .bind(integer(number))
            .fetch_all(&self.pool)
            .await?;
        let item = |row: &sqlx::any::AnyRow| Ok(Hash32(bytes32(row.try_get(0)?)?));
        let mut items = rows
            .iter()
            .map(item)
            .collect::<Result<Vec<_>, StoreError>>()?;
        items.sort();
        Ok(items)
    }

    /// The ledger has the batch since this height.
    pub async fn anchored(&self, number: u64, height: u64) -> Result<(), StoreError> {
        sqlx::query("UPDATE batches SET height = $2 WHERE batch = $1")
            .bind(integer(number))
            .bind(integer(height.max(1)))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The ledger takes no batch of this key any more.
    pub async fn give_batch_up(&self, number: u64) -> Result<(), StoreError> {
        for statement in [
            "DELETE FROM issued WHERE batch = $1",
            "DELETE FROM batches WHERE batch = $1",
        ] {
            sqlx::query(statement)
                .bind(integer(number))
                .execute(&self.pool)
                .await?;
        }
        Ok(())
    }

    /// The batch on the ledger that has an item.
    pub async fn batch_of(&self, item: &Hash32) -> Result<Option<u64>, StoreError> {
        // `WHERE true`: SQLite would take ON for the condition of a join.
        let number: Option<i64> = sqlx::query_scalar(
            "SELECT b.batch FROM issued i JOIN batches b ON b.batch = i.batch
             WHERE i.item = $1 AND b.height > 0",
        )
        .bind(item.0.to_vec())
        .fetch_optional(&self.pool)
        .await?;
        Ok(number.map(unsigned))
    }

    /// Forgets what has expired, batch by batch: what is left of one would have another commitment.
    pub(super) async fn clean_batches(&self, now_s: u64) -> Result<(), StoreError> {
        for statement in [
            "DELETE FROM issued WHERE batch IN (SELECT batch FROM batches WHERE expires_s <= $1)",
            "DELETE FROM issued WHERE batch = 0 AND expires_s <= $1",
            "DELETE FROM batches WHERE expires_s <= $1",
        ] {
            sqlx::query(statement)
                .bind(integer(now_s))
                .execute(&self.pool)
                .await?;
        }
        Ok(())
    }
}
