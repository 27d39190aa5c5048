//! What the store holds of the authorization code flow and of credentials that are not ready
//! (spec/issuing.md, O1 to O12): pushed requests, codes, and deferred requests.

use realdid_exchange::vci::authorization::AuthorizationRequest;
use realdid_exchange::vci::secret_hash;
use sqlx::Row;

use super::{Grant, Holder, Store, StoreError, integer};

/// A credential request that could not be answered yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deferred {
    pub configuration: String,
    /// The checked holder keys, as a JSON array of JWKs.
    pub keys: String,
}

impl Store {
    /// Keeps a pushed request under its name.
    pub async fn push(
        &self,
        request_uri: &str,
        request: &AuthorizationRequest,
        expires_s: u64,
    ) -> Result<(), StoreError> {
        let request = serde_json::to_string(request)
            .map_err(|_| StoreError::unexpected("a request that is no JSON"))?;
        sqlx::query("INSERT INTO pushed (hash, request, tries, expires_s) VALUES ($1, $2, 0, $3)")
            .bind(secret_hash(request_uri).to_vec())
            .bind(request)
            .bind(integer(expires_s))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// A pushed request that is still open: not answered, not expired, tried less than `tries`
    /// times.
    pub async fn pushed(
        &self,
        request_uri: &str,
        tries: u64,
        now_s: u64,
    ) -> Result<Option<AuthorizationRequest>, StoreError> {
        let text: Option<String> = sqlx::query_scalar(
            "SELECT request FROM pushed WHERE hash = $1 AND expires_s > $2 AND tries < $3",
        )
        .bind(secret_hash(request_uri).to_vec())
        .bind(integer(now_s))
        .bind(integer(tries))
        .fetch_optional(&self.pool)
        .await?;
        text.map(|text| read(&text)).transpose()
    }

    /// Counts a login that failed.
    pub async fn fail_pushed(&self, request_uri: &str) -> Result<(), StoreError> {
        sqlx::query("UPDATE pushed SET tries = tries + 1 WHERE hash = $1")
            .bind(secret_hash(request_uri).to_vec())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Ends a pushed request. Only one caller is told `true`.
    pub async fn end_pushed(&self, request_uri: &str) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM pushed WHERE hash = $1")
            .bind(secret_hash(request_uri).to_vec())
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// A code for an enrolled person, of the present generation of their devices. Answers whether
    /// there is such a person.
    pub async fn add_authorization(
        &self,
        code: &str,
        person: &str,
        request: &AuthorizationRequest,
        expires_s: u64,
    ) -> Result<bool, StoreError> {
        let request = serde_json::to_string(request)
            .map_err(|_| StoreError::unexpected("a request that is no JSON"))?;
        let done = sqlx::query(
            "INSERT INTO authorizations (hash, person, generation, request, expires_s, used)
             SELECT $1, person, generation, $2, $3, 0 FROM enrolments
             WHERE person = $4 AND standing = 0",
        )
        .bind(secret_hash(code).to_vec())
        .bind(request)
        .bind(integer(expires_s))
        .bind(person)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Uses a code up, right or wrong: whoever guesses at its verifier has one try.
    pub async fn use_authorization(
        &self,
        code: &str,
        now_s: u64,
    ) -> Result<Option<(Holder, AuthorizationRequest)>, StoreError> {
        let row = sqlx::query(
            "UPDATE authorizations SET used = 1 WHERE hash = $1 AND used = 0 AND expires_s > $2
             RETURNING person, generation, request",
        )
        .bind(secret_hash(code).to_vec())
        .bind(integer(now_s))
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let request: String = row.try_get("request")?;
        let holder = Holder {
            person: row.try_get("person")?,
            generation: row.try_get("generation")?,
            grant: Grant::default(),
        };
        Ok(Some((holder, read(&request)?)))
    }

    /// Ends the tokens that a code gave: somebody redeems it a second time.
    pub async fn revoke_authorization(&self, code: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM tokens WHERE code = $1")
            .bind(secret_hash(code).to_vec())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Keeps a request that cannot be answered yet.
    pub async fn defer(
        &self,
        transaction_id: &str,
        person: &str,
        deferred: &Deferred,
        expires_s: u64,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO deferred (hash, person, configuration, keys, expires_s)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(secret_hash(transaction_id).to_vec())
        .bind(person)
        .bind(&deferred.configuration)
        .bind(&deferred.keys)
        .bind(integer(expires_s))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// What this holder waits for under a name.
    pub async fn deferred(
        &self,
        transaction_id: &str,
        person: &str,
        now_s: u64,
    ) -> Result<Option<Deferred>, StoreError> {
        let row = sqlx::query(
            "SELECT configuration, keys FROM deferred
             WHERE hash = $1 AND person = $2 AND expires_s > $3",
        )
        .bind(secret_hash(transaction_id).to_vec())
        .bind(person)
        .bind(integer(now_s))
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Deferred {
            configuration: row.try_get("configuration")?,
            keys: row.try_get("keys")?,
        }))
    }

    /// Answers a deferred request. Only one caller is told `true`.
    pub async fn end_deferred(&self, transaction_id: &str) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM deferred WHERE hash = $1")
            .bind(secret_hash(transaction_id).to_vec())
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }
}

fn read(text: &str) -> Result<AuthorizationRequest, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::unexpected("a request of another version"))
}
