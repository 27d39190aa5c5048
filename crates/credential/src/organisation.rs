//! The organisation credential: which organisation its holder may act for (spec/enrolment.md).
//!
//! It lies beside the PID in a representative's wallet, under a type of its own, and says nothing about
//! the representative:
//!
//! | field | claim | form |
//! | --- | --- | --- |
//! | name in the commercial register | `legal_name` | text without invisible characters, since it is shown to everybody |
//! | number in that register | `registration_number` | text; not every register has one |
//! | where it is registered | `country` | ISO 3166-1 alpha-2 code |
//!
//! Everything is hidden until the holder shows it. Copies are made as the PID's are: short-lived, each
//! with its own key and salts and all else alike.

use serde_json::{Map, Value};

use crate::jose::{Jwk, SigningKey};
use crate::pid::{MAX_COPIES, are_fresh};
use crate::refusal::refusals;
use crate::sd_jwt::{self, SdJwtError, Terms};
use crate::text::{is_country, is_invisible, is_text};

/// The credential's type.
pub const VCT: &str = "urn:realdid:organisation:1";
/// The claim that is shown to everybody.
pub const LEGAL_NAME: &str = "legal_name";

refusals! {
    /// Why a set of claims is no organisation's.
    OrganisationError: { SdJwt(SdJwtError) }
    Text Issuer "organisation.text" "name and number of an organisation are 1 to 256 bytes without control characters, and the name has no invisible ones" "correct the register's entry",
    Country Issuer "organisation.country" "an organisation's country is two capital letters" "correct the register's entry",
    Type Caller "organisation.type" "an organisation credential is of the type urn:realdid:organisation:1" "issue it under its own type",
    Copies Caller "organisation.copies" "a batch has 1 to 100 copies, each for another key" "ask for fewer, with fresh keys",
}

/// An organisation as the commercial register knows it. All of it is public there; who acts for it in a
/// wallet is not, so `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Organisation {
    /// Its name in the register.
    pub legal_name: String,
    /// Its number there, where there is one.
    pub registration_number: Option<String>,
    /// Alpha-2 code.
    pub country: String,
}

impl std::fmt::Debug for Organisation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Organisation(…)")
    }
}

impl Organisation {
    /// The claims, checked.
    pub fn to_claims(&self) -> Result<Map<String, Value>, OrganisationError> {
        let number = self.registration_number.as_deref();
        if !is_legal_name(&self.legal_name) || !number.is_none_or(is_text) {
            return Err(OrganisationError::Text);
        }
        if !is_country(&self.country) {
            return Err(OrganisationError::Country);
        }
        let mut claims = Map::new();
        claims.insert(LEGAL_NAME.to_owned(), self.legal_name.as_str().into());
        if let Some(number) = number {
            claims.insert("registration_number".to_owned(), number.into());
        }
        claims.insert("country".to_owned(), self.country.as_str().into());
        Ok(claims)
    }
}

/// Whether a text may stand as an organisation's name before everybody.
pub fn is_legal_name(text: &str) -> bool {
    is_text(text) && !text.chars().any(is_invisible) && text.trim() == text
}

/// Makes one copy for each of `holders`, alike in all but key and salts. `terms.vct` must be [`VCT`].
/// `salt` must return 16 fresh random bytes at each call.
pub fn issue_batch(
    organisation: &Organisation,
    terms: &Terms<'_>,
    holders: &[Jwk],
    key: &SigningKey,
    salt: &mut dyn FnMut() -> [u8; 16],
) -> Result<Vec<String>, OrganisationError> {
    if !(1..=MAX_COPIES).contains(&holders.len()) || !are_fresh(holders) {
        return Err(OrganisationError::Copies);
    }
    if terms.vct != VCT {
        return Err(OrganisationError::Type);
    }
    let claims = organisation.to_claims()?;
    let copy = |holder| sd_jwt::issue(&claims, &[], terms, holder, key, salt);
    Ok(holders.iter().map(copy).collect::<Result<_, _>>()?)
}

#[cfg(test)]
#[path = "organisation_tests.rs"]
mod tests;
