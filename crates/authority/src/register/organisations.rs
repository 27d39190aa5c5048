//! The commercial register: which organisations there are, and who may act for each (spec/enrolment.md,
//! rule C10).
//!
//! The authority asks it twice, as it asks the population register about people: when somebody proves
//! that they may act ([`Organisations::represented`]), and each time a credential is made
//! ([`Organisations::organisation`]), so that who is struck from the register gets no more copies.
//! The authority keeps nothing of an organisation but the register's opaque reference.
//!
//! Two adapters: [`synthetic`] is embedded and stands beside the synthetic residents, [`http`] asks a
//! register service.
//!
//! Of the evidence a refusal never says which part was wrong. That a person is no representative is said to
//! whoever has the organisation's extract, and to nobody else.

pub mod http;
pub mod synthetic;

use axum::http::StatusCode;
use realdid_credential::organisation::Organisation;
use realdid_exchange::mandate::MandateEvidence;
use realdid_serve::Problem;

/// Why a person gets no credential of an organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MandateRefusal {
    /// The evidence does not prove an organisation that stands in the register. One answer for every reason.
    Evidence,
    /// The register does not name the person, or not any more.
    Representative,
    /// The register cannot answer now, or not in the form of the contract.
    Unavailable,
    /// This authority has no register of organisations.
    Off,
}

impl MandateRefusal {
    /// Code, rule and fix.
    pub fn words(self) -> [&'static str; 3] {
        match self {
            Self::Evidence => [
                "organisation.evidence",
                "the evidence must prove an organisation that stands in the register",
                "use the extract of the register as it was issued",
            ],
            Self::Representative => [
                "organisation.representative",
                "the register must name the person among those who may act for the organisation",
                "have the register enter you, or ask somebody whom it names",
            ],
            Self::Unavailable => [
                "organisation.unavailable",
                "the register of organisations must answer",
                "try again later",
            ],
            Self::Off => [
                "organisation.off",
                "the authority has a register of organisations",
                "ask an authority that issues credentials of organisations",
            ],
        }
    }

    /// Stable, dotted code.
    pub fn code(self) -> &'static str {
        let [code, _, _] = self.words();
        code
    }

    /// The answer for whoever asked.
    pub fn problem(self) -> Problem {
        let [code, rule, fix] = self.words();
        match self {
            Self::Evidence | Self::Representative => {
                Problem::new(StatusCode::FORBIDDEN, code, rule, fix)
            }
            Self::Unavailable => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, rule, fix).retry_after(5)
            }
            Self::Off => Problem::new(StatusCode::NOT_FOUND, code, rule, fix),
        }
    }
}

impl std::fmt::Display for MandateRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [code, rule, _] = self.words();
        write!(f, "{code}: {rule}")
    }
}

impl std::error::Error for MandateRefusal {}

/// An organisation of the register, under its opaque reference. No `Debug`: for whom somebody acts is theirs.
#[derive(Clone, PartialEq, Eq)]
pub struct Registered {
    pub reference: String,
    pub organisation: Organisation,
}

/// The register that this authority uses.
pub enum Organisations {
    Synthetic(synthetic::SyntheticOrganisations),
    Http(http::HttpOrganisations),
}

impl Organisations {
    /// The organisation that the evidence proves, where this person may act for it.
    pub async fn represented(
        &self,
        person: &str,
        evidence: &MandateEvidence,
    ) -> Result<Registered, MandateRefusal> {
        match self {
            Self::Synthetic(register) => register.represented(person, evidence),
            Self::Http(register) => register.represented(person, evidence).await,
        }
    }

    /// The organisation with this reference, while this person may act for it.
    pub async fn organisation(
        &self,
        person: &str,
        reference: &str,
    ) -> Result<Registered, MandateRefusal> {
        match self {
            Self::Synthetic(register) => register.organisation(person, reference),
            Self::Http(register) => register.organisation(person, reference).await,
        }
    }
}

#[cfg(test)]
mod tests;
