//! The population register: who is who, according to the state (spec/enrolment.md, rule N4).
//!
//! The authority asks it twice: [`Register::check`] when somebody enrols with evidence, and
//! [`Register::person`] when a credential is made. Personal data stays behind it: the authority's
//! own store knows a person by the register's opaque reference only.
//!
//! Two adapters for residents: [`synthetic`] is embedded and the default, [`http`] asks a register
//! service. Foreigners are in none; [`foreigners`] keeps those whom the authority verified itself, by
//! [`passports`] or by a login at an identity provider ([`upstreams`]). Organisations are in a register of
//! their own, [`organisations`].
//!
//! Of a resident a refusal never says which part was wrong. Whoever guesses at somebody's evidence learns from
//! a wrong name exactly what they learn from a wrong number, a wrong check digit, a wrong card
//! secret or a death: [`RegisterRefusal::Evidence`]. A passport is not guessed, so its refusals say the
//! rule.

pub mod foreigners;
pub mod http;
pub mod number;
pub mod organisations;
pub mod passports;
pub mod specimens;
pub mod synthetic;

use realdid_credential::pid::{Assurance, Sex};
use realdid_exchange::tag::{CardEvidence, Number};
use realdid_passport::{Refused, date_of};

/// Why the register gives no person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RegisterRefusal {
    /// The evidence does not prove a living person of the register. One answer for every reason.
    #[error(
        "evidence.refused: the evidence must prove a living person of the register; \
         fault: whoever presents it; do: use the evidence as it was issued"
    )]
    Evidence,
    /// The register cannot answer now, or not in the form of the contract.
    #[error(
        "register.unavailable: the population register must answer; fault: the register's \
         operator; do: try again later"
    )]
    Unavailable,
    /// What passive authentication says.
    #[error("{}: {}; fault: whoever presents it; do: {}", .0.code(), .0.rule(), .0.fix())]
    Passport(Refused),
    /// No passports are taken here, or no logins of this provider.
    #[error("evidence.kind: {KIND_RULE}; fault: whoever presents it; do: {KIND_FIX}")]
    Kind,
    /// A citizen of the authority's own country.
    #[error("evidence.own_country: {OWN_RULE}; fault: whoever presents it; do: {OWN_FIX}")]
    OwnCountry,
    /// The number is somebody else's by what is kept of them.
    #[error("evidence.other_person: {OTHER_RULE}; fault: the issuing state; do: {OTHER_FIX}")]
    OtherPerson,
}

const KIND_RULE: &str = "the evidence is of a kind that this authority takes";
const KIND_FIX: &str = "ask the authority which evidence it takes";
const OWN_RULE: &str = "citizens of the authority's own country are verified by its register";
const OWN_FIX: &str = "enrol with the evidence of the register";
const OTHER_RULE: &str = "a number that is known belongs to somebody born on the same day";
const OTHER_FIX: &str = "ask the authority at its counter";

impl RegisterRefusal {
    /// The rule and what to do, of a refusal that is its person's to put right and says which.
    pub fn words(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Passport(refused) => Some((refused.rule(), refused.fix())),
            Self::Kind => Some((KIND_RULE, KIND_FIX)),
            Self::OwnCountry => Some((OWN_RULE, OWN_FIX)),
            Self::OtherPerson => Some((OTHER_RULE, OTHER_FIX)),
            Self::Evidence | Self::Unavailable => None,
        }
    }

    /// Stable, dotted code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Evidence => "evidence.refused",
            Self::Unavailable => "register.unavailable",
            Self::Passport(refused) => refused.code(),
            Self::Kind => "evidence.kind",
            Self::OwnCountry => "evidence.own_country",
            Self::OtherPerson => "evidence.other_person",
        }
    }
}

/// A living person of the register. All of it is personal data: no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Person {
    /// The register's opaque reference, the only part that the authority's store keeps.
    pub reference: String,
    pub given_name: String,
    pub family_name: String,
    pub number: Number,
    /// `YYYY-MM-DD`.
    pub birthdate: String,
    pub sex: Sex,
    /// ISO 3166-1 alpha-2 codes.
    pub nationalities: Vec<String>,
    pub region: String,
    /// How sure the authority is that they are this person.
    pub assurance: Assurance,
    /// Verified by no register of residents, whatever their nationality.
    pub is_foreign: bool,
}

/// The register that this authority uses.
pub enum Register {
    Synthetic(synthetic::SyntheticRegister),
    Http(http::HttpRegister),
}

impl Register {
    /// The person whom the evidence proves.
    pub async fn check(&self, evidence: &CardEvidence) -> Result<Person, RegisterRefusal> {
        match self {
            Self::Synthetic(register) => register.check(evidence),
            Self::Http(register) => register.check(evidence).await,
        }
    }

    /// The person with this reference, who has proved themselves before.
    pub async fn person(&self, reference: &str) -> Result<Person, RegisterRefusal> {
        match self {
            Self::Synthetic(register) => register.person(reference),
            Self::Http(register) => register.person(reference).await,
        }
    }
}

/// Whether somebody born on `birthdate` is at least `years` old at `now_s` (Unix seconds, UTC).
/// A date that cannot be read is never old enough.
pub fn is_at_least(birthdate: &str, years: i64, now_s: u64) -> bool {
    age_of(birthdate, now_s).is_some_and(|age| age >= years)
}

/// How many years old somebody born on `birthdate` is at `now_s` (Unix seconds, UTC); nothing where
/// the date cannot be read.
pub fn age_of(birthdate: &str, now_s: u64) -> Option<i64> {
    let (year, month, day) = date(birthdate)?;
    let (now_year, now_month, now_day) = date_of(now_s);
    // Somebody born on 29 February is a year older on 1 March of a common year.
    let to_come = (month, day) > (now_month, now_day);
    Some(now_year - year - i64::from(to_come))
}

fn date(text: &str) -> Option<(i64, u8, u8)> {
    let mut parts = text.splitn(3, '-');
    let year = parts.next()?.parse().ok()?;
    let month = parts.next()?.parse().ok()?;
    let day = parts.next()?.parse().ok()?;
    Some((year, month, day))
}

#[cfg(test)]
mod tests;
