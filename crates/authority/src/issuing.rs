//! Issuing over OpenID4VCI 1.0: nonces, credentials, and what comes after them. Who may ask is in
//! [`crate::oauth`].
//!
//! The protocol's rules are in [`realdid_exchange::vci`]; here is what has to be remembered and
//! looked up. A batch of copies says the same times, and nothing but keys and salts differs.
//!
//! Nonces are not stored when they are given out, since anybody may ask for one: each carries its
//! expiry under a MAC whose key every process of this authority derives from the same file, and only
//! used ones are kept until they expire.
//!
//! RealPasses are issued at the same endpoint and by the same tokens: [`crate::realpass`]. So are credentials of
//! organisations, by tokens of their own: [`crate::mandates`].

use axum::http::StatusCode;
use hmac::{Hmac, KeyInit, Mac};
use rand_core::Rng as _;
use realdid_core::state::Standing;
use realdid_credential::jose::{Alg, Jwk, VerifyingKey};
use realdid_credential::mdoc;
use realdid_credential::organisation::OrganisationError;
use realdid_credential::pid::{self, Pid, PidError};
use realdid_credential::sd_jwt::Terms;
use realdid_exchange::jwe::EncryptionKey;
use realdid_exchange::suites;
use realdid_exchange::vci::{
    BATCH_SIZE, CredentialRequest, CredentialResponse, DeferredRequest, DeferredResponse, Expected,
    LONG_CONFIGURATION, MDOC_CONFIGURATION, NonceResponse, Notification,
    ORGANISATION_CONFIGURATION, PID_CONFIGURATION, Validity, VciError, X5C_CONFIGURATION,
    response_encryption, validity,
};
use realdid_serve::{OAuthError, Problem};
use serde_json::Value;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::enrolment::EnrolError;
use crate::enrolment::ledger_problem;
use crate::keys::DocumentKey;
use crate::ledger::LedgerError;
use crate::mandates::is_of_organisation;
use crate::oauth::Caller;
use crate::register::organisations::MandateRefusal;
use crate::register::{Person, RegisterRefusal, is_at_least};
use crate::service::Authority;
use crate::store::{Deferred, StoreError};
use crate::text::{NoRandomness, base64url, random, random_secret, seeded};

/// How long an access token opens the credential endpoint, in seconds.
pub const ACCESS_LIFE_S: u64 = 300;
/// How long a wallet can refresh without enrolling again, in seconds.
pub const REFRESH_LIFE_S: u64 = 180 * 86_400;
/// How long a nonce may be used, in seconds.
pub const NONCE_LIFE_S: u64 = 300;

/// How long a credential that is not ready may be asked for, in seconds.
pub const DEFERRED_LIFE_S: u64 = 86_400;
/// When a wallet asks again for it, in seconds.
const DEFERRED_INTERVAL_S: u64 = 5;
/// How long a wallet may tell what became of a credential, in seconds.
const NOTIFICATION_LIFE_S: u64 = 86_400;
/// What something with a MAC of ours may be used for, and for nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NonceFor {
    Credential = 1,
    Dpop = 2,
    Notification = 3,
}

/// The answer to a credential request.
pub enum Issued {
    Now(CredentialResponse),
    Later(DeferredResponse),
}

impl Issued {
    fn later(transaction_id: String) -> Self {
        Self::Later(DeferredResponse {
            transaction_id,
            interval: DEFERRED_INTERVAL_S,
        })
    }
}

/// Why nothing was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error(transparent)]
    Protocol(#[from] VciError),
    #[error("enrolment.suspended: the enrolment must be active")]
    Suspended,
    #[error("enrolment.unknown: the person tag must have an enrolment")]
    NotEnrolled,
    #[error(transparent)]
    Register(#[from] RegisterRefusal),
    #[error(transparent)]
    Mandate(#[from] MandateRefusal),
    /// What the register of organisations says is no organisation.
    #[error("the register's entry must make a credential: {}", .0.code())]
    Organisation(#[from] OrganisationError),
    /// What the register says is no PID.
    #[error("the register's entry must make a PID: {}", .0.code())]
    Pid(#[from] PidError),
    #[error("issue.busy: a bounded number of requests is worked on and waits")]
    Busy,
    #[error(
        "issuer.pass_key: the epoch's RealPass key on the ledger must be one of this authority's"
    )]
    PassKey,
    #[error("internal: a task must not be stopped")]
    Stopped,
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

impl IssueError {
    /// Whether it is about the proof of a token's key.
    pub(crate) fn is_of_proof(&self) -> bool {
        let of_proof = ["use_dpop_nonce", "invalid_dpop_proof"];
        matches!(self, Self::Protocol(error) if of_proof.contains(&error.error()))
    }

    /// The answer in the form of OAuth; `denied` is the endpoint's word for "not this holder".
    pub fn answer(&self, denied: &'static str) -> OAuthError {
        match self {
            Self::Protocol(error) => {
                let status = match error.error() {
                    "invalid_token" | "invalid_client" => StatusCode::UNAUTHORIZED,
                    _ => StatusCode::BAD_REQUEST,
                };
                let problem = Problem::new(status, error.code(), error.rule(), error.fix());
                OAuthError::new(error.error(), problem)
            }
            Self::NotEnrolled => OAuthError::new(
                denied,
                Problem::bad_request(
                    "enrolment.unknown",
                    "the person tag has an enrolment",
                    "enrol first",
                ),
            ),
            Self::Register(RegisterRefusal::Unavailable) => OAuthError::new(
                "temporarily_unavailable",
                Problem::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    RegisterRefusal::Unavailable.code(),
                    "the population register must answer",
                    "try again later",
                )
                .retry_after(5),
            ),
            // A person who left the register is not told apart from a suspended one.
            Self::Register(refusal) if refusal.words().is_some() => {
                OAuthError::new(denied, EnrolError::Register(*refusal).problem())
            }
            Self::Mandate(refusal @ MandateRefusal::Unavailable) => {
                OAuthError::new("temporarily_unavailable", refusal.problem())
            }
            Self::Mandate(refusal) => OAuthError::new(denied, refusal.problem()),
            Self::Suspended | Self::Register(_) => OAuthError::new(
                denied,
                Problem::bad_request(
                    "enrolment.suspended",
                    "the enrolment must be active",
                    "ask the authority at its counter",
                ),
            ),
            Self::Busy => OAuthError::new(
                "temporarily_unavailable",
                Problem::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "issue.busy",
                    "an authority works on a bounded number of requests at once",
                    "try again in some seconds, not all at once",
                )
                .retry_after(2),
            ),
            Self::PassKey => OAuthError::new(
                "temporarily_unavailable",
                Problem::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "issuer.pass_key",
                    "the epoch's RealPass key on the ledger is one of this authority's",
                    "try again later; the authority's operator adds the key",
                )
                .retry_after(60),
            ),
            Self::Ledger(error) => {
                OAuthError::new("temporarily_unavailable", ledger_problem(error))
            }
            Self::Pid(_)
            | Self::Organisation(_)
            | Self::Store(_)
            | Self::Random(_)
            | Self::Stopped => OAuthError::new("server_error", Problem::internal()),
        }
    }
}

impl Authority {
    /// Refuses whoever is not recorded as active.
    pub(crate) async fn need_active(&self, person: &str) -> Result<(), IssueError> {
        match self.store.enrolled(person).await? {
            Some(known) if known.standing == Standing::Active => Ok(()),
            _ => Err(IssueError::Suspended),
        }
    }

    /// The nonce endpoint.
    pub fn nonce(&self) -> Result<NonceResponse, IssueError> {
        let c_nonce = self.nonce_for(NonceFor::Credential)?;
        Ok(NonceResponse { c_nonce })
    }

    /// A nonce for one use: expiry and randomness, and a MAC over both.
    pub(crate) fn nonce_for(&self, purpose: NonceFor) -> Result<String, IssueError> {
        self.stamp(purpose, b"", NONCE_LIFE_S)
    }

    /// When a nonce ends that is ours, for this use, and fresh: Unix seconds.
    pub(crate) fn nonce_end(&self, purpose: NonceFor, nonce: &str) -> Option<u64> {
        self.stamp_end(purpose, b"", nonce)
    }

    fn stamp(&self, purpose: NonceFor, of: &[u8], life_s: u64) -> Result<String, IssueError> {
        let expires_s = self.clock.now_s() + life_s;
        let mut bytes = [0u8; 40];
        bytes[..8].copy_from_slice(&expires_s.to_be_bytes());
        bytes[8..24].copy_from_slice(&random::<16>()?);
        let mac = self.stamp_mac(purpose, of, &bytes[..24]);
        bytes[24..].copy_from_slice(&mac);
        Ok(base64url(&bytes))
    }

    fn stamp_end(&self, purpose: NonceFor, of: &[u8], stamp: &str) -> Option<u64> {
        use base64::Engine as _;
        let bytes: [u8; 40] = base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(stamp)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())?;
        let (said, mac) = bytes.split_at(24);
        if !bool::from(self.stamp_mac(purpose, of, said).ct_eq(mac)) {
            return None;
        }
        let mut expires = [0; 8];
        expires.copy_from_slice(&said[..8]);
        let expires_s = u64::from_be_bytes(expires);
        (expires_s > self.clock.now_s()).then_some(expires_s)
    }

    fn stamp_mac(&self, purpose: NonceFor, of: &[u8], said: &[u8]) -> [u8; 16] {
        let mut out = [0; 16];
        // HMAC takes keys of any length, so this cannot fail; no MAC would verify if it did.
        if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.keys.nonce[..]) {
            // `said` has one length, so nothing of the rest can be taken for it.
            mac.update(&[purpose as u8]);
            mac.update(said);
            mac.update(of);
            out.copy_from_slice(&mac.finalize().into_bytes()[..16]);
        }
        out
    }

    /// Uses a nonce up, if it is ours and fresh.
    async fn redeem_nonce(&self, nonce: &str) -> Result<(), IssueError> {
        let refused = VciError::ProofNonce;
        let expires_s = self.nonce_end(NonceFor::Credential, nonce).ok_or(refused)?;
        if !self.store.use_nonce(nonce, expires_s).await? {
            return Err(refused.into());
        }
        Ok(())
    }

    /// The credential endpoint: one copy of the PID for each proof, and the key that the answer is
    /// encrypted to. Where the register is silent the answer comes later (§9).
    pub async fn credential(
        &self,
        caller: &Caller,
        body: &[u8],
    ) -> Result<(Issued, Option<EncryptionKey>), IssueError> {
        let now_s = self.clock.now_s();
        let holder = self.holder(caller, "/credential").await?;
        let opens = |id: &&&str| holder.grant.opens(id);
        let known: &[&str] = match is_of_organisation(&holder.grant) {
            true => &[ORGANISATION_CONFIGURATION],
            false => self.configurations(),
        };
        let configurations: Vec<&str> = known.iter().filter(opens).copied().collect();
        let of_any = known.iter().flat_map(|id| self.bound_to(id));
        let algs: Vec<Alg> = of_any.collect();
        let checked = CredentialRequest::parse(body)?.check(&Expected {
            issuer: &self.url,
            configurations: &configurations,
            identifiers: holder.grant.identifiers,
            providers: &self.providers,
            algs: &algs,
            batch_size: BATCH_SIZE,
            now_s,
        })?;
        let algs = self.bound_to(&checked.configuration);
        if checked.keys.iter().any(|key| !algs.contains(&key.alg())) {
            return Err(VciError::ProofAlg.into());
        }
        self.need_active(&holder.person).await?;
        self.redeem_nonce(&checked.nonce).await?;
        let configuration = checked.configuration;
        if configuration == ORGANISATION_CONFIGURATION {
            let copies = self
                .organisation_copies(caller.token()?, &holder, checked.keys, now_s)
                .await?;
            let issued = Issued::Now(self.with_id(&holder.person, copies)?);
            return Ok((issued, checked.encryption));
        }
        let issued = match self.person(&holder.person).await {
            Ok(person) => {
                let copies = self
                    .copies(&configuration, &person, checked.keys, now_s)
                    .await?;
                Issued::Now(self.with_id(&holder.person, copies)?)
            }
            Err(RegisterRefusal::Unavailable) => {
                let keys: Vec<Value> = checked
                    .keys
                    .into_iter()
                    .map(|key| Jwk(key).to_value())
                    .collect();
                let deferred = Deferred {
                    configuration,
                    keys: Value::from(keys).to_string(),
                };
                let transaction_id = random_secret()?;
                let expires_s = now_s + DEFERRED_LIFE_S;
                self.store
                    .defer(&transaction_id, &holder.person, &deferred, expires_s)
                    .await?;
                metrics::counter!("authority_deferred_total").increment(1);
                Issued::later(transaction_id)
            }
            Err(refusal) => return Err(refusal.into()),
        };
        Ok((issued, checked.encryption))
    }

    /// The deferred credential endpoint.
    pub async fn deferred(
        &self,
        caller: &Caller,
        body: &[u8],
    ) -> Result<(Issued, Option<EncryptionKey>), IssueError> {
        let now_s = self.clock.now_s();
        let holder = self.holder(caller, "/deferred_credential").await?;
        let request = DeferredRequest::parse(body)?;
        let encryption = response_encryption(request.credential_response_encryption.as_ref())?;
        let id = &request.transaction_id;
        let waiting = self.store.deferred(id, &holder.person, now_s).await?;
        let waiting = waiting.ok_or(VciError::TransactionId)?;
        self.need_active(&holder.person).await?;
        let person = match self.person(&holder.person).await {
            Err(RegisterRefusal::Unavailable) => {
                return Ok((Issued::later(request.transaction_id), encryption));
            }
            person => person?,
        };
        let keys: Vec<Value> = serde_json::from_str(&waiting.keys).unwrap_or_default();
        let keys = keys.iter().map(|jwk| Jwk::parse(jwk).map(|Jwk(key)| key));
        // They were checked when they were kept.
        let keys = keys.collect::<Result<Vec<_>, _>>();
        let keys = keys.map_err(|_| VciError::TransactionId)?;
        if !self.store.end_deferred(id).await? {
            return Err(VciError::TransactionId.into());
        }
        let copies = self.copies(&waiting.configuration, &person, keys, now_s);
        let copies = copies.await?;
        Ok((
            Issued::Now(self.with_id(&holder.person, copies)?),
            encryption,
        ))
    }

    /// The algorithms of the keys that copies of a configuration are bound to: by ES256 alone where it is
    /// for the outside.
    fn bound_to(&self, configuration: &str) -> Vec<Alg> {
        match is_for_outside(configuration) && self.keys.outside.is_some() {
            true => vec![Alg::Es256],
            false => suites::holder_algs(&self.ledger.genesis().parameters),
        }
    }

    /// The configurations that are issued here; RealPasses are of another kind. Certificates and mdocs are
    /// of a key of P-256.
    pub(crate) fn configurations(&self) -> &'static [&'static str] {
        match (&self.keys.certificates, &self.long_lived) {
            (Some(_), None) => &[PID_CONFIGURATION, X5C_CONFIGURATION, MDOC_CONFIGURATION],
            (Some(_), Some(_)) => &[
                PID_CONFIGURATION,
                X5C_CONFIGURATION,
                MDOC_CONFIGURATION,
                LONG_CONFIGURATION,
            ],
            (None, None) => &[PID_CONFIGURATION],
            (None, Some(_)) => &[PID_CONFIGURATION, LONG_CONFIGURATION],
        }
    }

    /// The answer with the name by which its holder tells what became of it.
    fn with_id(&self, person: &str, copies: Vec<String>) -> Result<CredentialResponse, IssueError> {
        metrics::counter!("authority_credentials_total").increment(copies.len() as u64);
        let id = self.stamp(
            NonceFor::Notification,
            person.as_bytes(),
            NOTIFICATION_LIFE_S,
        )?;
        Ok(CredentialResponse {
            notification_id: Some(id),
            ..CredentialResponse::new(copies)
        })
    }

    /// The notification endpoint: counted, and nothing else is kept.
    pub async fn notified(&self, caller: &Caller, body: &[u8]) -> Result<(), IssueError> {
        let holder = self.holder(caller, "/notification").await?;
        let told = Notification::parse(body)?;
        let person = holder.person.as_bytes();
        self.stamp_end(NonceFor::Notification, person, &told.notification_id)
            .ok_or(VciError::NotificationId)?;
        let event = told.event.name();
        metrics::counter!("authority_notifications_total", "event" => event).increment(1);
        Ok(())
    }

    /// One copy for each key, of the PID in the format of the configuration, each noted for a batch.
    async fn copies(
        &self,
        configuration: &str,
        person: &Person,
        keys: Vec<VerifyingKey>,
        now_s: u64,
    ) -> Result<Vec<String>, IssueError> {
        self.revoke_outdated(person).await?;
        if Self::is_long(configuration) {
            // It is shown again and again: nobody needs two.
            let [key] = <[VerifyingKey; 1]>::try_from(keys).map_err(|_| VciError::Batch)?;
            let (made, expires_s) = self.make_long(person, Jwk(key), now_s).await?;
            let made = vec![made];
            let key = &self.keys.pid.id;
            self.note_issued(&made, key, expires_s).await?;
            return Ok(made);
        }
        let validity = validity(&self.ledger.genesis().parameters, now_s);
        let copies = self.make(configuration, person, keys, &validity)?;
        let key = self.signs(configuration).id;
        self.note_issued(&copies, &key, validity.expires_s).await?;
        Ok(copies)
    }

    /// The key that signs a configuration.
    fn signs(&self, configuration: &str) -> &DocumentKey {
        let certified = self.keys.certified();
        let certified = certified.filter(|_| is_for_outside(configuration));
        certified.map_or(&self.keys.pid, |(key, _)| key)
    }

    fn make(
        &self,
        configuration: &str,
        person: &Person,
        keys: Vec<VerifyingKey>,
        validity: &Validity,
    ) -> Result<Vec<String>, IssueError> {
        let pid = self.pid(person, validity.issued_at_s);
        let own = &self.keys;
        let mut drawn = seeded()?;
        if configuration == MDOC_CONFIGURATION {
            if keys.iter().any(|key| key.alg() != Alg::Es256) {
                return Err(VciError::ProofAlg.into());
            }
            let (key, certificates) = own.certified().ok_or(VciError::UnknownConfiguration)?;
            let terms = mdoc::Terms {
                doc_type: mdoc::pid::DOC_TYPE,
                signed_s: validity.issued_at_s,
                from_s: validity.issued_at_s,
                until_s: validity.expires_s,
                x5chain: &[&certificates.leaf],
                status: None,
            };
            let mut random = || {
                let mut random = [0; 32];
                drawn.fill_bytes(&mut random);
                random
            };
            let copies = mdoc::pid::issue_batch(&pid, &terms, &keys, &key.key, &mut random)?;
            return Ok(copies.iter().map(|copy| base64url(copy)).collect());
        }
        let key = self.signs(configuration);
        let certificates = own.certificates.as_ref();
        let certificates = certificates.filter(|_| configuration == X5C_CONFIGURATION);
        let key_id = key.id.to_string();
        let terms = Terms {
            iss: &self.url,
            vct: pid::VCT,
            kid: &key_id,
            iat_s: validity.issued_at_s,
            exp_s: validity.expires_s,
            x5c: match certificates {
                Some(certificates) => &certificates.x5c,
                None => &[],
            },
        };
        let holders: Vec<Jwk> = keys.into_iter().map(Jwk).collect();
        let mut salt = || {
            let mut salt = [0; 16];
            drawn.fill_bytes(&mut salt);
            salt
        };
        let copies = pid::issue_batch(&pid, &terms, &holders, &key.key, &mut salt)?;
        Ok(copies)
    }

    pub(crate) fn pid(&self, person: &Person, issued_at_s: u64) -> Pid {
        Pid {
            given_name: person.given_name.clone(),
            family_name: person.family_name.clone(),
            birthdate: person.birthdate.clone(),
            age_over_18: is_at_least(&person.birthdate, 18, issued_at_s),
            sex: person.sex,
            nationalities: person.nationalities.clone(),
            region: person.region.clone(),
            // A foreigner's number is made for the tag, and says nothing to anybody.
            resident_number: (!person.is_foreign).then(|| person.number.as_str().to_owned()),
            issuing_authority: self.name.clone(),
            issuing_country: self.country.clone(),
            assurance: person.assurance,
        }
    }
}

/// Whether a configuration is for verifiers that do not read the ledger.
fn is_for_outside(configuration: &str) -> bool {
    [X5C_CONFIGURATION, MDOC_CONFIGURATION].contains(&configuration)
}
