//! The operator's commands, run beside the service by whoever owns `DIR`.
//!
//! `suspend` records the suspension in the authority's store first, so that nothing is refreshed
//! or sponsored from that moment, and then moves the entry on the ledger, which the gates read.
//! `restore` does it the other way round. Both can be run again after a crash: what is done
//! already is not done twice.
//!
//! Both reach the person's credentials that live long too, by their entries in status lists, which the
//! running service publishes; `revoke` ends those for good and changes nothing else.
//!
//! `reset` announces on the ledger that somebody who lost device and words gets other pseudonym
//! secrets (spec/realpass.md, I7). It changes nothing here: what is kept is replaced when the delay is over
//! and the person has enrolled after it. Until then `cancel_reset` takes it back, because the owner
//! of the tag saw the entry move and objected.

use realdid_core::codec;
use realdid_core::hash::Hash32;
use realdid_core::operation::{Body, Decision};
use realdid_core::state::{Enrolment, EpochKey, KeyStatus, ReasonCode, Standing, issuer_id};
use realdid_credential::status::Status;
use realdid_serve::ConfigError;
use realdid_serve::files::FileError;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

use crate::config::AuthorityConfig;
use crate::keys::{AuthorityKeys, KeyFileError, make_pass_key};
use crate::ledger::{Ledger, LedgerError, read_genesis};
use crate::register::foreigners::References;
use crate::register::organisations::synthetic::{ExtractFile, SyntheticOrganisations};
use crate::register::specimens::{self, SpecimenError};
use crate::register::synthetic::{Amendment, AmendmentError, EvidenceFile, SyntheticRegister};
use crate::statuses::data_of;
use crate::store::{Enrolled, Store, StoreError};
use crate::text::{Clock, NoRandomness, random};

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
        "register.external: residents and organisations must be those of the embedded registers; fault: operator; \
         do: ask the register service that the configuration names"
    )]
    ExternalRegister,
    #[error(
        "pass_key.epoch: a RealPass key must begin after the next epoch; fault: operator; do: \
         choose a later epoch"
    )]
    Epoch,
    #[error(transparent)]
    Amendment(#[from] AmendmentError),
    #[error(transparent)]
    Specimens(#[from] SpecimenError),
    #[error(transparent)]
    Random(#[from] NoRandomness),
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
            Self::Epoch => "pass_key.epoch",
            Self::Amendment(error) => error.code(),
            Self::Specimens(error) => error.code(),
            Self::Random(_) => "random.unavailable",
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

/// A reset of a person's pseudonym secrets that stands on the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reset {
    /// The height of a checkpoint that shows it.
    pub height: u64,
    /// The enrolment's sequence number.
    pub seq: u64,
    /// From when on an enrolment may bring other secrets, Unix milliseconds.
    pub effective_ms: u64,
}

/// Makes a RealPass key for epochs from `from_epoch` on, and answers its file, its public key and
/// the decision by which governance puts it on the ledger.
pub fn pass_key(dir: &Path, from_epoch: u64) -> Result<NewPassKey, StandingError> {
    let config = AuthorityConfig::load_dir(dir)?;
    let genesis = read_genesis(&config.genesis)?;
    // Wallets hold the next epoch's passes before it begins, all under one key.
    let now_ms = Clock::system().now_ms();
    if from_epoch <= genesis.parameters.epoch_at(now_ms) + 1 {
        return Err(StandingError::Epoch);
    }
    let fresh = Zeroizing::new(random::<32>()?);
    let (file, key) = make_pass_key(&config.dir, from_epoch, &fresh)?;
    let issuer = issuer_id(genesis.hash_function(), &config.issuer_url());
    let decision = codec::encode(&Decision::AddPassKey(issuer, key.clone()));
    Ok(NewPassKey {
        file,
        key,
        decision,
    })
}

/// A RealPass key that waits for governance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPassKey {
    pub file: PathBuf,
    pub key: EpochKey,
    /// Canonical CBOR of the decision (spec/operations.cddl).
    pub decision: Vec<u8>,
}

/// Answers the decision by which governance finds the key that signs PIDs in other hands since a height
/// (promise P7).
pub fn key_compromised(dir: &Path, since_height: u64) -> Result<CompromisedKey, StandingError> {
    let config = AuthorityConfig::load_dir(dir)?;
    let genesis = read_genesis(&config.genesis)?;
    let key = AuthorityKeys::load(&config.dir)?.pid.id;
    let issuer = issuer_id(genesis.hash_function(), &config.issuer_url());
    let status = KeyStatus::Compromised(since_height);
    let decision = codec::encode(&Decision::IssuerKeyStatus(issuer, key, status));
    Ok(CompromisedKey { key, decision })
}

/// A key that governance is to find in other hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompromisedKey {
    /// Its id, as in a `kid`.
    pub key: Hash32,
    /// Canonical CBOR of the decision (spec/operations.cddl).
    pub decision: Vec<u8>,
}

/// Announces the reset of a person's pseudonym secrets, and waits until the ledger says so.
pub async fn reset(dir: &Path, person: &str) -> Result<Reset, StandingError> {
    Operator::open(dir).await?.reset(person).await
}

/// Takes a pending reset back, and waits until the ledger says so.
pub async fn cancel_reset(dir: &Path, person: &str) -> Result<StandingChange, StandingError> {
    Operator::open(dir).await?.cancel_reset(person).await
}

/// Writes the evidence files of the synthetic residents of the authority in `dir`, as
/// `DIR/residents/<REF>.json`, and lists them.
pub fn residents(dir: &Path) -> Result<Vec<EvidenceFile>, StandingError> {
    let config = AuthorityConfig::load_dir(dir)?;
    if config.register.url.is_some() {
        return Err(StandingError::ExternalRegister);
    }
    let keys = AuthorityKeys::load(&config.dir)?;
    let seed = &keys.register_seed;
    let register = SyntheticRegister::in_dir(seed, config.register.residents, &config.dir);
    Ok(register.write_evidence(&config.dir)?)
}

/// Writes the extracts of the synthetic organisations of the authority in `dir`, as
/// `DIR/organisations/<REF>.json`, and lists them.
pub fn organisations(dir: &Path) -> Result<Vec<ExtractFile>, StandingError> {
    let config = AuthorityConfig::load_dir(dir)?;
    if config.register.url.is_some() || config.organisations.url.is_some() {
        return Err(StandingError::ExternalRegister);
    }
    let keys = AuthorityKeys::load(&config.dir)?;
    Ok(SyntheticOrganisations::new(&keys.register_seed).write_evidence(&config.dir)?)
}

/// What became of a resident whose entry was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amended {
    /// The file with their evidence as it is now; none of somebody who has died.
    pub evidence: Option<PathBuf>,
    /// How many of their credentials that live long said something else, and are revoked.
    pub revoked: u64,
}

/// Changes a resident's entry in the embedded register, as a state does: names, residence, a correction,
/// a death. What was issued follows at the next refresh, what lives long is revoked now.
pub async fn amend(
    dir: &Path,
    reference: &str,
    change: Amendment,
) -> Result<Amended, StandingError> {
    let config = AuthorityConfig::load_dir(dir)?;
    if config.register.url.is_some() {
        return Err(StandingError::ExternalRegister);
    }
    let keys = AuthorityKeys::load(&config.dir)?;
    let seed = &keys.register_seed;
    let register = SyntheticRegister::in_dir(seed, config.register.residents, &config.dir);
    register.amend(reference, change)?;
    let files = register.write_evidence(&config.dir)?;
    let store = Store::open(&config.dir, &config.store).await?;
    let revoked = match register.person(reference) {
        Ok(person) => {
            let data = data_of(&keys, &person);
            store.revoke_others(reference, &data).await?
        }
        // They have died, or left.
        Err(_) => store.change_statuses(reference, Status::Invalid).await?,
    };
    let own = files.into_iter().find(|file| file.person == reference);
    Ok(Amended {
        evidence: own.map(|file| file.evidence),
        revoked,
    })
}

/// Ends the enrolment of the person with this reference for good, and waits until the ledger says so.
pub async fn end(
    dir: &Path,
    person: &str,
    reason: ReasonCode,
) -> Result<StandingChange, StandingError> {
    Operator::open(dir).await?.end(person, reason).await
}

/// Lists the evidence files of invented foreigners that were made with the authority in `dir`.
pub fn foreigners(dir: &Path) -> Result<Vec<EvidenceFile>, StandingError> {
    let config = AuthorityConfig::load_dir(dir)?;
    let keys = AuthorityKeys::load(&config.dir)?;
    let references = References::new(&keys.register_seed);
    Ok(specimens::list(&config.dir, &references)?)
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

/// Revokes all credentials of a person that live long. Answers how many there were.
pub async fn revoke(dir: &Path, person: &str) -> Result<u64, StandingError> {
    Operator::open(dir).await?.revoke(person).await
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
        let url = config.issuer_url();
        Ok(Self {
            store: Store::open(&config.dir, &config.store).await?,
            ledger: Ledger::open(&config.nodes, &config.genesis, &config.dir, Clock::system())?,
            keys: AuthorityKeys::load(&config.dir)?,
            url,
        })
    }

    pub(crate) async fn suspend(
        &self,
        person: &str,
        reason: ReasonCode,
    ) -> Result<StandingChange, StandingError> {
        let known = self.store.enrolled(person).await?;
        if known.ok_or(StandingError::Unknown)?.standing == Standing::Ended {
            return Err(StandingError::Ended);
        }
        self.store
            .set_standing(person, Standing::Suspended, reason)
            .await?;
        self.store
            .change_statuses(person, Status::Suspended)
            .await?;
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
        self.store.change_statuses(person, Status::Valid).await?;
        Ok(change)
    }

    /// For good: nothing is issued or refreshed any more, nothing stands in a list, and no token opens
    /// anything. What is out lapses with the epoch and the lead.
    pub(crate) async fn end(
        &self,
        person: &str,
        reason: ReasonCode,
    ) -> Result<StandingChange, StandingError> {
        let known = self.store.set_standing(person, Standing::Ended, reason);
        if !known.await? {
            return Err(StandingError::Unknown);
        }
        self.store.change_statuses(person, Status::Invalid).await?;
        self.store.revoke(person).await?;
        self.change(person, Standing::Ended, reason).await
    }

    pub(crate) async fn revoke(&self, person: &str) -> Result<u64, StandingError> {
        let known = self.store.enrolled(person).await?;
        known.ok_or(StandingError::Unknown)?;
        Ok(self.store.change_statuses(person, Status::Invalid).await?)
    }

    async fn change(
        &self,
        person: &str,
        standing: Standing,
        reason: ReasonCode,
    ) -> Result<StandingChange, StandingError> {
        let (known, (height, entry)) = self.entry(person).await?;
        if entry.standing == standing {
            return Ok(StandingChange {
                height,
                seq: entry.seq,
            });
        }
        if entry.standing == Standing::Ended {
            return Err(StandingError::Ended);
        }
        let seq = entry.seq + 1;
        let issuer = issuer_id(self.ledger.genesis().hash_function(), &self.url);
        let body = Body::EnrolmentStanding(issuer, known.tag, seq, standing, reason);
        let height = self.submit(person, body, seq, height).await?;
        Ok(StandingChange { height, seq })
    }

    pub(crate) async fn reset(&self, person: &str) -> Result<Reset, StandingError> {
        let parameters = &self.ledger.genesis().parameters;
        let (known, seen) = self.entry(person).await?;
        let (mut height, mut entry) = seen;
        if !entry.reset_pending(parameters, self.ledger.tip().await?.1) {
            let seq = entry.seq + 1;
            let body = Body::ResetPass(
                issuer_id(self.ledger.genesis().hash_function(), &self.url),
                known.tag,
                seq,
            );
            let accepted = self.submit(person, body, seq, height).await?;
            let seen = self.ledger.enrolment(&known.tag, accepted).await?;
            entry = seen.record.ok_or(StandingError::Unknown)?;
            height = seen.height;
        }
        let announced_ms = entry.reset_ms.ok_or(StandingError::Unknown)?;
        Ok(Reset {
            height,
            seq: entry.seq,
            effective_ms: announced_ms + parameters.recovery_delay_s * 1000,
        })
    }

    pub(crate) async fn cancel_reset(&self, person: &str) -> Result<StandingChange, StandingError> {
        let (known, (height, entry)) = self.entry(person).await?;
        let seq = entry.seq + 1;
        let body = Body::CancelReset(
            issuer_id(self.ledger.genesis().hash_function(), &self.url),
            known.tag,
            seq,
        );
        let height = self.submit(person, body, seq, height).await?;
        Ok(StandingChange { height, seq })
    }

    /// The person as the store knows them, and their entry with the height that it is of.
    async fn entry(&self, person: &str) -> Result<(Enrolled, (u64, Enrolment)), StandingError> {
        let known = self.store.enrolled(person).await?;
        let known = known.ok_or(StandingError::Unknown)?;
        let seen = self.ledger.enrolment(&known.tag, known.height).await?;
        let entry = seen.record.ok_or(StandingError::Unknown)?;
        Ok((known, (seen.height, entry)))
    }

    async fn submit(
        &self,
        person: &str,
        body: Body,
        seq: u64,
        height: u64,
    ) -> Result<u64, StandingError> {
        let operation = self.ledger.sign(body, height, &self.keys.operation);
        let height = self.ledger.submit_and_wait(&operation).await?;
        self.store.record_change(person, seq, height).await?;
        Ok(height)
    }
}
