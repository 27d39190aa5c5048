//! What the store holds of representatives (spec/enrolment.md, rule C12): for which organisation a code or a
//! token is, by the register's opaque reference. Nothing else of an organisation is kept.

use realdid_exchange::vci::secret_hash;
use sqlx::AnyPool;

use super::{Holder, Store, StoreError, integer};

/// Beside the schema, so that a database of before is not refused: whoever does not know the table needs none
/// of it.
pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS mandates (
    hash         BLOB PRIMARY KEY,
    organisation TEXT NOT NULL,
    expires_s    INTEGER NOT NULL
) STRICT;
";

/// How much longer than its code an entry is kept, in seconds.
const OUTLIVES_S: u64 = 3600;

impl Store {
    pub(super) async fn prepare_mandates(pool: &AnyPool) -> Result<(), StoreError> {
        sqlx::raw_sql(SCHEMA).execute(pool).await?;
        Ok(())
    }

    /// A code for an organisation's credential, of the generation of the token that its holder showed.
    pub async fn add_mandate_code(
        &self,
        (code, tx_code): (&str, &str),
        holder: &Holder,
        organisation: &str,
        expires_s: u64,
    ) -> Result<(), StoreError> {
        // There first and gone last: a code without it would open what an enrolment brings.
        self.add_mandate(code, organisation, expires_s + OUTLIVES_S)
            .await?;
        sqlx::query(
            "INSERT INTO codes (hash, person, generation, tx_hash, expires_s, used, failures)
             VALUES ($1, $2, $3, $4, $5, 0, 0)",
        )
        .bind(secret_hash(code).to_vec())
        .bind(&holder.person)
        .bind(holder.generation)
        .bind(secret_hash(tx_code).to_vec())
        .bind(integer(expires_s))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Says of a code or token, before it is there, for which organisation it is.
    pub async fn add_mandate(
        &self,
        secret: &str,
        organisation: &str,
        expires_s: u64,
    ) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO mandates (hash, organisation, expires_s) VALUES ($1, $2, $3)")
            .bind(secret_hash(secret).to_vec())
            .bind(organisation)
            .bind(integer(expires_s))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// For which organisation a code or token is; none where it is for its person.
    pub async fn mandate(&self, secret: &str) -> Result<Option<String>, StoreError> {
        let organisation = sqlx::query_scalar("SELECT organisation FROM mandates WHERE hash = $1")
            .bind(secret_hash(secret).to_vec())
            .fetch_optional(&self.pool)
            .await?;
        Ok(organisation)
    }
}
