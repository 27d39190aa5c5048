//! The population register: who is who, according to the state (spec/enrolment.md, rule N4).
//!
//! The authority asks it twice: [`Register::check`] when somebody enrols with evidence, and
//! [`Register::person`] when a credential is made. Personal data stays behind it: the authority's
//! own store knows a person by the register's opaque reference only.
//!
//! Two adapters: [`synthetic`] is embedded and the default, [`http`] asks a register service.
//!
//! A refusal never says which part was wrong. Whoever guesses at somebody's evidence learns from
//! a wrong name exactly what they learn from a wrong number, a wrong check digit, a wrong card
//! secret or a death: [`RegisterRefusal::Evidence`].

pub mod http;
pub mod number;
pub mod synthetic;

use realdid_credential::pid::Sex;
use realdid_exchange::tag::{Evidence, Number};

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
}

impl RegisterRefusal {
    /// Stable, dotted code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Evidence => "evidence.refused",
            Self::Unavailable => "register.unavailable",
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
}

/// The register that this authority uses.
pub enum Register {
    Synthetic(synthetic::SyntheticRegister),
    Http(http::HttpRegister),
}

impl Register {
    /// The person whom the evidence proves.
    pub async fn check(&self, evidence: &Evidence) -> Result<Person, RegisterRefusal> {
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
    let (now_year, now_month, now_day) = day_of(now_s);
    // Somebody born on 29 February is a year older on 1 March of a common year.
    let to_come = (month, day) > (now_month, now_day);
    Some(now_year - year - i64::from(to_come))
}

fn date(text: &str) -> Option<(i64, u32, u32)> {
    let mut parts = text.splitn(3, '-');
    let year = parts.next()?.parse().ok()?;
    let month = parts.next()?.parse().ok()?;
    let day = parts.next()?.parse().ok()?;
    Some((year, month, day))
}

/// The day of a Unix time in the Gregorian calendar, by counting eras of 400 years from
/// 1 March of the year 0 (the leap day is then the last day of a year).
fn day_of(time_s: u64) -> (i64, u32, u32) {
    let days = (time_s / 86_400) as i64 + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as u32, day as u32)
}

#[cfg(test)]
mod tests;
