//! The operator's commands, run beside the service by whoever owns `DIR`.
//!
//! `suspend` records the suspension in the authority's store first, so that nothing is refreshed
//! or sponsored from that moment, and then moves the entry on the ledger, which the gates read.
//! `restore` does it the other way round. Both can be run again after a crash: what is done
//! already is not done twice.

use realdid_core::operation::Body;
use realdid_core::state::{ReasonCode, Standing, issuer_id};
use realdid_serve::ConfigError;
use realdid_serve::files::FileError;
use std::path::Path;

use crate::config::AuthorityConfig;
use crate::keys::{AuthorityKeys, KeyFileError};
use crate::ledger::{Ledger, LedgerError};
use crate::register::synthetic::{EvidenceFile, SyntheticRegister};
use crate::store::{Store, StoreError};
use crate::text::Clock;

/// Why a person's standing was not changed. Displays as the command line's one-line error.
#[derive(Debug, thiserror::Error)]
pub enum StandingError {
    #[error(
        "person.unknown: the person must be enrolled here; fault: operator; do: use a reference \
         that `realdid authority residents` lists, of somebody who has enrolled"
    )]
    Unknown,
    #[error(
        "enrolment.ended: an enrolment that has ended stays so; fault: operator; do: nothing, the \
         person must be enrolled under new evidence"
    )]
    Ended,
    #[error(
        "register.external: residents must be those of the embedded register; fault: operator; \
         do: ask the register service that the configuration names"
    )]
    ExternalRegister,
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl StandingError {
    /// Stable, dotted code.
    pub fn code(&self) -> &str {
        match self {
            Self::Unknown => "person.unknown",
            Self::Ended => "enrolment.ended",
            Self::ExternalRegister => "register.external",
            Self::Config(error) => error.code(),
            Self::Keys(error) => error.code(),
            Self::File(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Ledger(error) => error.code(),
        }
    }
}

/// A standing that the ledger has accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandingChange {
    /// The height of the block with the change; of a checkpoint that shows it, where it had been
    /// made before.
    pub height: u64,
    /// The enrolment's sequence number.
    pub seq: u64,
}

/// Writes the evidence files of the synthetic residents of the authority in `dir`, as
/// `DIR/residents/<REF>.json`, and lists them.
pub fn residents(dir: &Path) -> Result<Vec<EvidenceFile>, StandingError> {
    let config = AuthorityConfig::load_dir(dir)?;
    if config.register.url.is_some() {
        return Err(StandingError::ExternalRegister);
    }
    let keys = AuthorityKeys::load(&config.dir)?;
    let register = SyntheticRegister::new(&keys.register_seed, config.register.residents);
    Ok(register.write_evidence(&config.dir)?)
}

/// Suspends the enrolment of the person with this reference, and waits until the ledger says so.
pub async fn suspend(
    dir: &Path,
    person: &str,
    reason: ReasonCode,
) -> Result<StandingChange, StandingError> {
    Operator::open(dir).await?.suspend(person, reason).await
}

/// Restores the enrolment of the person with this reference, and waits until the ledger says so.
pub async fn restore(
    dir: &Path,
    person: &str,
    reason: ReasonCode,
) -> Result<StandingChange, StandingError> {
    Operator::open(dir).await?.restore(person, reason).await
}

/// The operator of an authority's folder.
pub(crate) struct Operator {
    pub(crate) store: Store,
    pub(crate) ledger: Ledger,
    pub(crate) keys: AuthorityKeys,
    pub(crate) url: String,
}

impl Operator {
    async fn open(dir: &Path) -> Result<Self, StandingError> {
        let config = AuthorityConfig::load_dir(dir)?;
        let url = match &config.public_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("http://{}", config.listen),
        };
        Ok(Self {
            store: Store::open(&config.dir).await?,
            ledger: Ledger::open(&config.nodes, &config.genesis, Clock::system())?,
            keys: AuthorityKeys::load(&config.dir)?,
            url,
        })
    }

    pub(crate) async fn suspend(
        &self,
        person: &str,
        reason: ReasonCode,
    ) -> Result<StandingChange, StandingError> {
        let known = self.store.set_standing(person, Standing::Suspended, reason);
        if !known.await? {
            return Err(StandingError::Unknown);
        }
        // A lost device may be found, and then goes on when the person is restored; a new device
        // ends the old one's tokens when it enrols. Keys in other hands end them now.
        if reason == ReasonCode::KeyCompromise {
            self.store.revoke(person).await?;
        }
        self.change(person, Standing::Suspended, reason).await
    }

    pub(crate) async fn restore(
        &self,
        person: &str,
        reason: ReasonCode,
    ) -> Result<StandingChange, StandingError> {
        let change = self.change(person, Standing::Active, reason).await?;
        self.store
            .set_standing(person, Standing::Active, reason)
            .await?;
        Ok(change)
    }

    async fn change(
        &self,
        person: &str,
        standing: Standing,
        reason: ReasonCode,
    ) -> Result<StandingChange, StandingError> {
        let known = self.store.enrolled(person).await?;
        let known = known.ok_or(StandingError::Unknown)?;
        let seen = self.ledger.enrolment(&known.tag, known.height).await?;
        let entry = seen.record.ok_or(StandingError::Unknown)?;
        if entry.standing == Standing::Ended {
            return Err(StandingError::Ended);
        }
        if entry.standing == standing {
            return Ok(StandingChange {
                height: seen.height,
                seq: entry.seq,
            });
        }
        let seq = entry.seq + 1;
        let issuer = issuer_id(&self.url);
        let body = Body::EnrolmentStanding(issuer, known.tag, seq, standing, reason);
        let operation = self.ledger.sign(body, seen.height, &self.keys.operation);
        let height = self.ledger.submit_and_wait(&operation).await?;
        self.store
            .record_enrolment(person, &known.tag, seq, height)
            .await?;
        Ok(StandingChange { height, seq })
    }
}
