//! What the store holds of RealPasses: what is kept of each person for good, who was issued one for
//! which epoch, the cohorts that an epoch goes by, and the totals (spec/realpass.md, I1 to I9).

use realdid_core::hash::Hash32;
use realdid_core::state::{PersonTag, Standing};
use realdid_exchange::vci::secret_hash;
use realdid_pass::facts::{Adult, Assurance, Kind, Region};
use realdid_pass::{Kept, PassError};
use sqlx::Row;
use sqlx::any::AnyRow;
use zeroize::Zeroizing;

use super::{Grant, Store, StoreError, TokenKind, bytes32, grant, integer, standing_of, unsigned};
use crate::cohort::Cohort;

/// Who asks for a RealPass, with all that is needed to answer: one statement.
pub struct PassHolder {
    pub person: String,
    pub tag: PersonTag,
    /// The height at which the ledger last accepted a change of the entry.
    pub height: u64,
    pub standing: Standing,
    /// When the device that asks was enrolled, by the ledger's time in Unix milliseconds.
    pub enrolled_ms: u64,
    pub kept: Option<KeptRow>,
    /// What the token opens, and the key that it is bound to.
    pub grant: Grant,
}

/// The commitment and entropy of a person, and which reset they come from.
#[derive(Clone)]
pub struct KeptRow {
    pub kept: Kept,
    /// The announcement of the reset that brought them, Unix milliseconds; 0 where none did.
    pub reset_ms: u64,
    /// When they took the place of others, Unix milliseconds; 0 where they never did.
    pub replaced_ms: u64,
}

impl Store {
    /// Whose access token it is.
    pub async fn pass_holder(
        &self,
        token: &str,
        now_s: u64,
    ) -> Result<Option<PassHolder>, StoreError> {
        let row = sqlx::query(
            "SELECT e.person, e.tag, e.height, e.standing, e.enrolled_ms, k.kept,
                 t.jkt, t.granted, t.named,
                 coalesce(k.reset_ms, 0) AS reset_ms, coalesce(k.replaced_ms, 0) AS replaced_ms
             FROM tokens t JOIN enrolments e ON e.person = t.person
                 LEFT JOIN kept k ON k.person = t.person
             WHERE t.hash = $1 AND t.kind = $2 AND t.expires_s > $3
                 AND t.generation = e.generation",
        )
        .bind(secret_hash(token).to_vec())
        .bind(TokenKind::Access as i64)
        .bind(integer(now_s))
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let kept: Option<Vec<u8>> = row.try_get("kept")?;
        Ok(Some(PassHolder {
            person: row.try_get("person")?,
            tag: Hash32(bytes32(row.try_get("tag")?)?),
            height: unsigned(row.try_get("height")?),
            standing: standing_of(row.try_get("standing")?),
            enrolled_ms: unsigned(row.try_get("enrolled_ms")?),
            kept: kept.map(|kept| kept_row(kept, &row)).transpose()?,
            grant: grant(&row)?,
        }))
    }

    /// Keeps a person's first commitment and entropy, and answers what is kept: of two processes
    /// that do this at once one is first, and both go on with its entropy.
    pub async fn keep(&self, person: &str, kept: &Kept) -> Result<KeptRow, StoreError> {
        sqlx::query(
            "INSERT INTO kept (person, kept, reset_ms, replaced_ms) VALUES ($1, $2, 0, 0)
             ON CONFLICT DO NOTHING",
        )
        .bind(person)
        .bind(kept.to_bytes().to_vec())
        .execute(&self.pool)
        .await?;
        self.kept(person).await
    }

    /// Puts others in their place, once for each reset, and answers what is kept then.
    pub async fn replace_kept(&self, person: &str, new: &KeptRow) -> Result<KeptRow, StoreError> {
        sqlx::query(
            "UPDATE kept SET kept = $2, reset_ms = $3, replaced_ms = $4
             WHERE person = $1 AND reset_ms <> $3",
        )
        .bind(person)
        .bind(new.kept.to_bytes().to_vec())
        .bind(integer(new.reset_ms))
        .bind(integer(new.replaced_ms))
        .execute(&self.pool)
        .await?;
        self.kept(person).await
    }

    async fn kept(&self, person: &str) -> Result<KeptRow, StoreError> {
        let row = sqlx::query("SELECT kept, reset_ms, replaced_ms FROM kept WHERE person = $1")
            .bind(person)
            .fetch_one(&self.pool)
            .await?;
        kept_row(row.try_get("kept")?, &row)
    }

    /// Notes that a person was issued one for an epoch. Only the first time it answers `true`.
    pub async fn record_pass(&self, epoch: u64, person: &str) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "INSERT INTO passes (epoch, person) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        )
        .bind(integer(epoch))
        .bind(person)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// How many people were issued one for an epoch, so far.
    pub async fn issued(&self, epoch: u64) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM passes WHERE epoch = $1")
            .bind(integer(epoch))
            .fetch_one(&self.pool)
            .await?;
        Ok(unsigned(count))
    }

    /// Adds people of a kind to an epoch's counts: many at once, so that processes do not wait for
    /// each other at every person.
    pub async fn add_count(
        &self,
        epoch: u64,
        cohort: Cohort,
        people: u64,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO counts (epoch, adult, region, kind, assurance, people)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (epoch, adult, region, kind, assurance)
             DO UPDATE SET people = counts.people + excluded.people",
        )
        .bind(integer(epoch))
        .bind(cohort.adult as i64)
        .bind(cohort.region as i64)
        .bind(cohort.kind as i64)
        .bind(cohort.assurance as i64)
        .bind(integer(people))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// How many people of each kind were counted for an epoch, so far.
    pub async fn counts(&self, epoch: u64) -> Result<Vec<(Cohort, u64)>, StoreError> {
        let rows = sqlx::query(
            "SELECT adult, region, kind, assurance, people FROM counts WHERE epoch = $1",
        )
        .bind(integer(epoch))
        .fetch_all(&self.pool)
        .await?;
        let count = |row: &AnyRow| {
            let cohort = Cohort {
                adult: Adult::from_message(&code(row, "adult")?)?,
                region: Region::from_message(&code(row, "region")?)?,
                kind: Kind::from_message(&code(row, "kind")?)?,
                assurance: Assurance::from_message(&code(row, "assurance")?)?,
            };
            Ok((cohort, unsigned(row.try_get("people")?)))
        };
        rows.iter().map(count).collect()
    }

    /// What an epoch goes by, once somebody has fixed it.
    pub async fn cohorts(&self, epoch: u64) -> Result<Option<String>, StoreError> {
        let found = sqlx::query_scalar("SELECT counted FROM cohorts WHERE epoch = $1")
            .bind(integer(epoch))
            .fetch_optional(&self.pool)
            .await?;
        Ok(found)
    }

    /// Fixes what an epoch goes by, unless it is fixed.
    pub async fn fix_cohorts(&self, epoch: u64, counted: &str) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO cohorts (epoch, counted) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(integer(epoch))
            .bind(counted)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Counts the epochs before `epoch` that nobody has counted, and answers those that are not
    /// declared on the ledger yet: epoch and total.
    pub async fn undeclared(&self, epoch: u64) -> Result<Vec<(u64, u64)>, StoreError> {
        sqlx::query(
            "INSERT INTO totals (epoch, total, declared, claimed_s)
             SELECT p.epoch, count(*), 0, 0 FROM passes p
             WHERE p.epoch < $1 AND NOT EXISTS (SELECT 1 FROM totals t WHERE t.epoch = p.epoch)
             GROUP BY p.epoch
             ON CONFLICT DO NOTHING",
        )
        .bind(integer(epoch))
        .execute(&self.pool)
        .await?;
        let rows = sqlx::query("SELECT epoch, total FROM totals WHERE declared = 0 ORDER BY epoch")
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| Ok((unsigned(row.try_get(0)?), unsigned(row.try_get(1)?))))
            .collect()
    }

    /// Takes the declaring of a total upon oneself until `now_s` plus `for_s`. Only one caller is
    /// told `true`; one that ends before it is done leaves it to the others after that time.
    pub async fn claim_total(
        &self,
        epoch: u64,
        now_s: u64,
        for_s: u64,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "UPDATE totals SET claimed_s = $2
             WHERE epoch = $1 AND declared = 0 AND claimed_s <= $3",
        )
        .bind(integer(epoch))
        .bind(integer(now_s.saturating_add(for_s)))
        .bind(integer(now_s))
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// The ledger has the total.
    pub async fn declared(&self, epoch: u64) -> Result<(), StoreError> {
        sqlx::query("UPDATE totals SET declared = 1 WHERE epoch = $1")
            .bind(integer(epoch))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The last epoch whose total is on the ledger, and the total.
    pub async fn last_total(&self) -> Result<Option<(u64, u64)>, StoreError> {
        let row = sqlx::query(
            "SELECT epoch, total FROM totals WHERE declared = 1 ORDER BY epoch DESC LIMIT 1",
        )
        .fetch_optional(&self.pool)
        .await?;
        row.map(|row| Ok((unsigned(row.try_get(0)?), unsigned(row.try_get(1)?))))
            .transpose()
    }

    /// Who was issued one is forgotten when its epoch is counted and the next one's cohorts stand.
    pub(super) async fn clean_passes(&self, epoch: u64) -> Result<(), StoreError> {
        for statement in [
            "DELETE FROM passes WHERE epoch + 1 < $1
                 AND epoch IN (SELECT epoch FROM totals WHERE declared = 1)",
            "DELETE FROM cohorts WHERE epoch + 1 < $1",
            "DELETE FROM counts WHERE epoch + 1 < $1",
        ] {
            sqlx::query(statement)
                .bind(integer(epoch))
                .execute(&self.pool)
                .await?;
        }
        Ok(())
    }
}

fn kept_row(bytes: Vec<u8>, row: &AnyRow) -> Result<KeptRow, StoreError> {
    let bytes = Zeroizing::new(bytes);
    Ok(KeptRow {
        kept: Kept::from_bytes(&bytes)?,
        reset_ms: unsigned(row.try_get("reset_ms")?),
        replaced_ms: unsigned(row.try_get("replaced_ms")?),
    })
}

fn code(row: &AnyRow, column: &str) -> Result<[u8; 1], StoreError> {
    let code: i64 = row.try_get(column)?;
    u8::try_from(code)
        .map(|code| [code])
        .map_err(|_| StoreError::unexpected("a fact outside its set"))
}

impl From<PassError> for StoreError {
    fn from(_: PassError) -> Self {
        Self::unexpected("a RealPass record that does not read")
    }
}
