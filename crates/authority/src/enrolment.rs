//! Enrolment: evidence in, an entry under the person tag out (spec/enrolment.md, rules N1 to N8).
//!
//! 1. the register says whom the evidence proves;
//! 2. the tag is evaluated for *that* number, with a proof for the wallet;
//! 3. the ledger says whether the person is enrolled, and with which sequence number;
//! 4. the enrolment is submitted and waited for;
//! 5. codes and tokens of an earlier device end, and an offer for the new one is made.
//!
//! The ledger is the truth. A crash between 4 and 5 costs nothing: whoever enrols again gets the
//! next sequence number. An entry that is not active is never moved by an enrolment.

use axum::http::StatusCode;
use realdid_core::hash::Hash32;
use realdid_core::operation::{Body, Enrol};
use realdid_core::rule::Rule;
use realdid_core::state::{PersonTag, ReasonCode, Standing};
use realdid_credential::status::Status;
use realdid_exchange::tag::{self, EnrolmentRequest, EnrolmentResponse, Evaluation, TagError};
use realdid_exchange::vci::{CredentialOffer, LONG_CONFIGURATION, X5C_CONFIGURATION};
use realdid_serve::Problem;

use crate::ledger::LedgerError;
use crate::register::RegisterRefusal;
use crate::service::Authority;
use crate::store::{Enrolled, NewEnrolment, StoreError};
use crate::text::{NoRandomness, random, random_digits, random_secret};

/// How long an offer can be taken, in seconds.
pub const OFFER_LIFE_S: u64 = 600;
/// Digits of a transaction code.
pub const TX_CODE_DIGITS: usize = 6;

/// Why somebody was not enrolled. None of it says who, or which part of the evidence was wrong.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    #[error(transparent)]
    Register(#[from] RegisterRefusal),
    #[error("{code}: {0}", code = .0.code())]
    Tag(#[from] TagError),
    #[error("enrolment.suspended: the enrolment must be active")]
    Suspended,
    #[error("enrolment.busy: the tag's entry must not move while it is read")]
    Busy,
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

impl EnrolError {
    /// The answer for whoever asked.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Register(refusal) if let Some((rule, fix)) = refusal.words() => {
                Problem::new(StatusCode::FORBIDDEN, refusal.code(), rule, fix)
            }
            Self::Register(RegisterRefusal::Unavailable) => Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                RegisterRefusal::Unavailable.code(),
                "the population register must answer",
                "try again later",
            )
            .retry_after(5),
            Self::Register(_) | Self::Tag(TagError::Number) => Problem::new(
                StatusCode::FORBIDDEN,
                RegisterRefusal::Evidence.code(),
                "the evidence must prove a living person of the register",
                "use the evidence as it was issued",
            ),
            Self::Tag(error) => Problem::bad_request(
                error.code(),
                error.to_string(),
                "blind the number of the evidence as RFC 9497 says, and send the whole client state",
            ),
            Self::Suspended => suspended(),
            Self::Busy => Problem::new(
                StatusCode::CONFLICT,
                "enrolment.busy",
                "the tag's entry must not move while it is read",
                "try again",
            )
            .retry_after(2),
            Self::Ledger(error) => ledger_problem(error),
            Self::Store(_) | Self::Random(_) => Problem::internal(),
        }
    }
}

/// The answer to anybody whose enrolment is not active.
pub(crate) fn suspended() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "enrolment.suspended",
        "the enrolment must be active",
        "ask the authority at its counter",
    )
}

/// The answer where the ledger refused or was silent.
pub(crate) fn ledger_problem(error: &LedgerError) -> Problem {
    let rule = error
        .refused()
        .and_then(|code| Rule::ALL.iter().find(|rule| rule.code() == code));
    match rule {
        Some(rule) => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            rule.code(),
            rule.text(),
            "the ledger refused the operation: correct what the rule names",
        ),
        None => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "ledger.unavailable",
            "the ledger must answer, with proof, and make the operation final in time",
            "try again later",
        )
        .retry_after(5),
    }
}

/// What the ledger accepted.
struct Accepted {
    evaluation: Evaluation,
    tag: PersonTag,
    seq: u64,
    height: u64,
    /// Before the enrolment was made, by the ledger, in Unix milliseconds.
    time_ms: u64,
}

impl Authority {
    /// Enrols whoever the evidence proves.
    pub async fn enrol(&self, request: &EnrolmentRequest) -> Result<EnrolmentResponse, EnrolError> {
        let person = self.who(&request.evidence).await?;
        let seed = random::<32>()?;
        let (evaluation, tag) =
            tag::evaluate(&self.keys.tag, &person.number, &request.blinded, &seed)?;
        // One at a time for one person: two would take the same sequence number. Between processes
        // the ledger's rule does it: it takes one of two, and the other is told to try again.
        let _turn = self.turn(&tag).await;
        let accepted = self
            .put_on_ledger(&person.reference, tag, request.commitment, evaluation)
            .await?;

        let now_s = self.clock.now_s();
        let (code, tx_code) = (random_secret()?, random_digits(TX_CODE_DIGITS)?);
        let recorded = self
            .store
            .record_enrolment(&NewEnrolment {
                person: &person.reference,
                tag: &accepted.tag,
                seq: accepted.seq,
                height: accepted.height,
                enrolled_ms: accepted.time_ms,
                code: &code,
                tx_code: &tx_code,
                expires_s: now_s + OFFER_LIFE_S,
            })
            .await?;
        // Another process enrolled the person since: that device is the one.
        if !recorded {
            return Err(EnrolError::Busy);
        }
        // What lives long on an earlier device dies with its tokens (N8).
        let revoked = Status::Invalid;
        self.store
            .change_statuses(&person.reference, revoked)
            .await?;
        metrics::counter!("authority_enrolments_total").increment(1);
        let mut credential_offer = CredentialOffer::of_enrolment(
            &self.url,
            code,
            TX_CODE_DIGITS as u32,
            self.keys.certificates.is_some(),
        );
        if self.keys.outside.is_some() {
            let ids = &mut credential_offer.credential_configuration_ids;
            ids.push(X5C_CONFIGURATION.to_owned());
        }
        if self.long_lived.is_some() {
            let ids = &mut credential_offer.credential_configuration_ids;
            ids.push(LONG_CONFIGURATION.to_owned());
        }
        Ok(EnrolmentResponse {
            evaluation: accepted.evaluation,
            issuer: self.url.clone(),
            height: accepted.height,
            seq: accepted.seq,
            credential_offer,
            tx_code,
        })
    }

    /// Ends an entry that is a person's no more.
    async fn end_entry(&self, old: &Enrolled) -> Result<(), EnrolError> {
        let seen = self.ledger.enrolment(&old.tag, old.height).await?;
        let Some(entry) = seen.record else {
            return Ok(());
        };
        if entry.standing == Standing::Ended {
            return Ok(());
        }
        // Why is the person's own matter, and the reason is public.
        let (seq, reason) = (entry.seq + 1, ReasonCode::None);
        let ended = Standing::Ended;
        let body = Body::EnrolmentStanding(self.issuer_id, old.tag, seq, ended, reason);
        let keys = &self.keys;
        let operation = self.ledger.sign(body, seen.height, &keys.operation);
        match self.ledger.submit_and_wait(&operation).await {
            Ok(_) => Ok(()),
            Err(error) if error.refused() == Some(Rule::Sequence.code()) => Err(EnrolError::Busy),
            Err(error) => Err(error.into()),
        }
    }

    async fn put_on_ledger(
        &self,
        reference: &str,
        tag: PersonTag,
        commitment: Hash32,
        evaluation: Evaluation,
    ) -> Result<Accepted, EnrolError> {
        let known = self.store.enrolled(reference).await?;
        if known
            .as_ref()
            .is_some_and(|known| known.standing != Standing::Active)
        {
            return Err(EnrolError::Suspended);
        }
        // A corrected number has another tag: the person's entry under the old one ends (N11).
        if let Some(old) = known.as_ref().filter(|known| known.tag != tag) {
            self.end_entry(old).await?;
        }
        let known = known.filter(|known| known.tag == tag);
        let since = known.map_or(0, |known| known.height);
        let seen = self.ledger.enrolment(&tag, since).await?;
        let seq = match &seen.record {
            None => 0,
            Some(entry) if entry.standing != Standing::Active => return Err(EnrolError::Suspended),
            Some(entry) => entry.seq + 1,
        };
        let enrol = Enrol {
            issuer: self.issuer_id,
            tag,
            seq,
            commitment,
            // By the ledger's time, which decides whether the epoch is the present one.
            epoch: self.ledger.genesis().parameters.epoch_at(seen.time_ms),
        };
        let operation = self
            .ledger
            .sign(Body::Enrol(enrol), seen.height, &self.keys.operation);
        let height = match self.ledger.submit_and_wait(&operation).await {
            Ok(height) => height,
            Err(error) if error.refused() == Some(Rule::Sequence.code()) => {
                return Err(EnrolError::Busy);
            }
            Err(error) if error.refused() == Some(Rule::EnrolmentStanding.code()) => {
                return Err(EnrolError::Suspended);
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Accepted {
            evaluation,
            tag,
            seq,
            height,
            time_ms: seen.time_ms,
        })
    }
}
