//! Issuing over OpenID4VCI 1.0: tokens, nonces and credentials.
//!
//! The protocol's rules are in [`realdid_exchange::vci`]; here is what has to be remembered and
//! looked up. A batch of copies says the same times, and nothing but keys and salts differs.
//!
//! Nonces are not stored when they are given out, since anybody may ask for one: each carries its
//! expiry under a MAC whose key every process of this authority derives from the same file, and only
//! used ones are kept until they expire.
//!
//! RealPasses are issued at the same endpoint and by the same tokens: [`crate::realpass`].

use axum::http::StatusCode;
use hmac::{Hmac, KeyInit, Mac};
use rand_core::Rng as _;
use realdid_core::state::Standing;
use realdid_credential::jose::{Jwk, VerifyingKey};
use realdid_credential::mdoc;
use realdid_credential::pid::{self, Assurance, Pid, PidError};
use realdid_credential::sd_jwt::Terms;
use realdid_exchange::vci::{
    BATCH_SIZE, CredentialRequest, CredentialResponse, Expected, MDOC_CONFIGURATION, NonceResponse,
    PID_CONFIGURATION, TokenRequest, TokenResponse, VciError, X5C_CONFIGURATION, validity,
};
use realdid_serve::{OAuthError, Problem};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::enrolment::ledger_problem;
use crate::ledger::LedgerError;
use crate::register::{Person, RegisterRefusal, is_at_least};
use crate::service::Authority;
use crate::store::{Holder, StoreError, TokenKind};
use crate::text::{Drawn, NoRandomness, base64url, random, random_secret};

/// How long an access token opens the credential endpoint, in seconds.
pub const ACCESS_LIFE_S: u64 = 300;
/// How long a wallet can refresh without enrolling again, in seconds.
pub const REFRESH_LIFE_S: u64 = 180 * 86_400;
/// How long a nonce may be used, in seconds.
pub const NONCE_LIFE_S: u64 = 300;

/// Why nothing was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error(transparent)]
    Protocol(#[from] VciError),
    #[error("enrolment.suspended: the enrolment must be active")]
    Suspended,
    #[error(transparent)]
    Register(#[from] RegisterRefusal),
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
    /// The answer in the form of OAuth; `denied` is the endpoint's word for "not this holder".
    pub fn answer(&self, denied: &'static str) -> OAuthError {
        match self {
            Self::Protocol(error) => {
                let status = match error.error() {
                    "invalid_token" => StatusCode::UNAUTHORIZED,
                    _ => StatusCode::BAD_REQUEST,
                };
                let problem = Problem::new(status, error.code(), error.rule(), error.fix());
                OAuthError::new(error.error(), problem)
            }
            // A person who left the register is not told apart from a suspended one.
            Self::Suspended | Self::Register(RegisterRefusal::Evidence) => OAuthError::new(
                denied,
                Problem::bad_request(
                    "enrolment.suspended",
                    "the enrolment must be active",
                    "ask the authority at its counter",
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
            Self::Pid(_) | Self::Store(_) | Self::Random(_) | Self::Stopped => {
                OAuthError::new("server_error", Problem::internal())
            }
        }
    }
}

impl Authority {
    /// The token endpoint.
    pub async fn token(&self, body: &[u8]) -> Result<TokenResponse, IssueError> {
        let now_s = self.clock.now_s();
        match TokenRequest::parse(body)? {
            TokenRequest::PreAuthorized { code, tx_code } => {
                let (holder, state) = self.store.code(&code).await?.ok_or(VciError::Grant)?;
                if let Err(refusal) = state.redeem(tx_code.as_deref(), now_s) {
                    if refusal == VciError::Grant {
                        self.store.fail_code(&code).await?;
                    }
                    return Err(refusal.into());
                }
                self.need_active(&holder.person).await?;
                if !self.store.use_code(&code).await? {
                    return Err(VciError::Grant.into());
                }
                let refresh = random_secret()?;
                self.store
                    .add_token(
                        TokenKind::Refresh,
                        &refresh,
                        &holder,
                        now_s + REFRESH_LIFE_S,
                    )
                    .await?;
                self.access(&holder, now_s, Some(refresh)).await
            }
            TokenRequest::Refresh { refresh_token } => {
                // The token stays the same: a wallet that loses an answer on the way would
                // otherwise have to enrol again.
                let holder = self
                    .store
                    .token(TokenKind::Refresh, &refresh_token, now_s)
                    .await?
                    .ok_or(VciError::Grant)?;
                self.need_active(&holder.person).await?;
                self.access(&holder, now_s, None).await
            }
        }
    }

    async fn access(
        &self,
        holder: &Holder,
        now_s: u64,
        refresh_token: Option<String>,
    ) -> Result<TokenResponse, IssueError> {
        let access_token = random_secret()?;
        self.store
            .add_token(
                TokenKind::Access,
                &access_token,
                holder,
                now_s + ACCESS_LIFE_S,
            )
            .await?;
        Ok(TokenResponse {
            access_token,
            token_type: "Bearer".to_owned(),
            expires_in: Some(ACCESS_LIFE_S),
            refresh_token,
        })
    }

    /// Refuses whoever is not recorded as active.
    pub(crate) async fn need_active(&self, person: &str) -> Result<(), IssueError> {
        match self.store.enrolled(person).await? {
            Some(known) if known.standing == Standing::Active => Ok(()),
            _ => Err(IssueError::Suspended),
        }
    }

    /// The nonce endpoint: expiry and randomness, and a MAC over both.
    pub fn nonce(&self) -> Result<NonceResponse, IssueError> {
        let expires_s = self.clock.now_s() + NONCE_LIFE_S;
        let mut bytes = [0u8; 40];
        bytes[..8].copy_from_slice(&expires_s.to_be_bytes());
        bytes[8..24].copy_from_slice(&random::<16>()?);
        let mac = self.nonce_mac(&bytes[..24]);
        bytes[24..].copy_from_slice(&mac);
        Ok(NonceResponse {
            c_nonce: base64url(&bytes),
        })
    }

    /// Uses a nonce up, if it is ours and fresh.
    async fn redeem_nonce(&self, nonce: &str) -> Result<(), IssueError> {
        use base64::Engine as _;
        let refused = VciError::ProofNonce;
        let bytes: [u8; 40] = base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(nonce)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(refused)?;
        let (said, mac) = bytes.split_at(24);
        if !bool::from(self.nonce_mac(said).ct_eq(mac)) {
            return Err(refused.into());
        }
        let mut expires = [0; 8];
        expires.copy_from_slice(&said[..8]);
        let expires_s = u64::from_be_bytes(expires);
        if expires_s <= self.clock.now_s() || !self.store.use_nonce(nonce, expires_s).await? {
            return Err(refused.into());
        }
        Ok(())
    }

    fn nonce_mac(&self, said: &[u8]) -> [u8; 16] {
        let mut out = [0; 16];
        // HMAC takes keys of any length, so this cannot fail; no MAC would verify if it did.
        if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.keys.nonce[..]) {
            mac.update(said);
            out.copy_from_slice(&mac.finalize().into_bytes()[..16]);
        }
        out
    }

    /// The credential endpoint: one copy of the PID for each proof.
    pub async fn credential(
        &self,
        access_token: Option<&str>,
        body: &[u8],
    ) -> Result<CredentialResponse, IssueError> {
        let now_s = self.clock.now_s();
        let token = access_token.ok_or(VciError::AccessToken)?;
        let reference = self
            .store
            .token(TokenKind::Access, token, now_s)
            .await?
            .ok_or(VciError::AccessToken)?
            .person;
        let checked = CredentialRequest::parse(body)?.check(&Expected {
            issuer: &self.url,
            configurations: &[PID_CONFIGURATION, X5C_CONFIGURATION, MDOC_CONFIGURATION],
            batch_size: BATCH_SIZE,
            now_s,
        })?;
        self.need_active(&reference).await?;
        self.redeem_nonce(&checked.nonce).await?;
        let person = self.register.person(&reference).await?;

        let copies = self.copies(&checked.configuration, &person, checked.keys, now_s)?;
        metrics::counter!("authority_credentials_total").increment(copies.len() as u64);
        Ok(CredentialResponse::new(copies))
    }

    /// One copy for each key, of the PID in the format of the configuration.
    fn copies(
        &self,
        configuration: &str,
        person: &Person,
        keys: Vec<VerifyingKey>,
        now_s: u64,
    ) -> Result<Vec<String>, IssueError> {
        let validity = validity(&self.ledger.genesis().parameters, now_s);
        let pid = self.pid(person, validity.issued_at_s);
        let own = &self.keys;
        let mut drawn = Drawn::new()?;
        if configuration == MDOC_CONFIGURATION {
            let terms = mdoc::Terms {
                doc_type: mdoc::pid::DOC_TYPE,
                signed_s: validity.issued_at_s,
                from_s: validity.issued_at_s,
                until_s: validity.expires_s,
                x5chain: &[&own.certificates.leaf],
                status: None,
            };
            let mut random = || {
                let mut random = [0; 32];
                drawn.fill_bytes(&mut random);
                random
            };
            let copies = mdoc::pid::issue_batch(&pid, &terms, &keys, &own.pid.key, &mut random)?;
            return Ok(copies.iter().map(|copy| base64url(copy)).collect());
        }
        let key_id = own.pid.id.to_string();
        let terms = Terms {
            iss: &self.url,
            vct: pid::VCT,
            kid: &key_id,
            iat_s: validity.issued_at_s,
            exp_s: validity.expires_s,
            x5c: match configuration {
                X5C_CONFIGURATION => &own.certificates.x5c,
                _ => &[],
            },
        };
        let holders: Vec<Jwk> = keys.into_iter().map(Jwk).collect();
        let mut salt = || {
            let mut salt = [0; 16];
            drawn.fill_bytes(&mut salt);
            salt
        };
        let copies = pid::issue_batch(&pid, &terms, &holders, &own.pid.key, &mut salt)?;
        Ok(copies)
    }

    fn pid(&self, person: &Person, issued_at_s: u64) -> Pid {
        Pid {
            given_name: person.given_name.clone(),
            family_name: person.family_name.clone(),
            birthdate: person.birthdate.clone(),
            age_over_18: is_at_least(&person.birthdate, 18, issued_at_s),
            sex: person.sex,
            nationalities: person.nationalities.clone(),
            region: person.region.clone(),
            resident_number: Some(person.number.as_str().to_owned()),
            issuing_authority: self.name.clone(),
            issuing_country: self.country.clone(),
            assurance: Assurance::Substantial,
        }
    }
}
