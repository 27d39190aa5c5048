//! What the store holds of foreigners, for [`crate::register::foreigners`]: each a reference and
//! sealed bytes, which say nothing without the authority's register key. Logins at identity providers
//! that are under way are kept in the same way, for minutes.

use realdid_exchange::vci::secret_hash;
use sqlx::Row;

use super::{Store, StoreError, integer};

impl Store {
    /// Keeps what is known of a foreigner, in the place of what was known before.
    pub async fn keep_foreigner(&self, person: &str, sealed: &[u8]) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO foreigners (person, sealed) VALUES ($1, $2)
             ON CONFLICT (person) DO UPDATE SET sealed = excluded.sealed",
        )
        .bind(person)
        .bind(sealed.to_vec())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    pub async fn foreigner(&self, person: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let row = sqlx::query("SELECT sealed FROM foreigners WHERE person = $1")
            .bind(person)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(|row| row.try_get("sealed")).transpose()?)
    }

    /// Keeps something under a secret of its own until it expires.
    pub async fn keep_login(
        &self,
        secret: &str,
        sealed: &[u8],
        expires_s: u64,
    ) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO logins (hash, sealed, expires_s) VALUES ($1, $2, $3)")
            .bind(secret_hash(secret).to_vec())
            .bind(sealed.to_vec())
            .bind(integer(expires_s))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// What is kept under a secret, and stays.
    pub async fn login(&self, secret: &str, now_s: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let row = sqlx::query("SELECT sealed FROM logins WHERE hash = $1 AND expires_s > $2")
            .bind(secret_hash(secret).to_vec())
            .bind(integer(now_s))
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(|row| row.try_get("sealed")).transpose()?)
    }

    /// What is kept under a secret, for whoever asks first.
    pub async fn take_login(
        &self,
        secret: &str,
        now_s: u64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let row =
            sqlx::query("DELETE FROM logins WHERE hash = $1 AND expires_s > $2 RETURNING sealed")
                .bind(secret_hash(secret).to_vec())
                .bind(integer(now_s))
                .fetch_optional(&self.pool)
                .await?;
        Ok(row.map(|row| row.try_get("sealed")).transpose()?)
    }

    /// How many are under way.
    pub async fn logins(&self) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM logins")
            .fetch_one(&self.pool)
            .await?;
        Ok(count.unsigned_abs())
    }
}
