//! The PID: what the authority says about a person.
//!
//! Claim names are those of the EUDI PID Rulebook (ARF annex 3.01, SD-JWT VC encoding), so that a
//! wallet or verifier made for it reads ours; the type is our own, since `urn:eudi:pid:` belongs
//! to the Union's issuers.
//!
//! | field | claim | form |
//! | --- | --- | --- |
//! | given name, family name | `given_name`, `family_name` | text |
//! | birth date | `birthdate` | `YYYY-MM-DD` |
//! | of age | `age_equal_or_over.18` | boolean |
//! | sex | `sex` | 0 not known, 1 male, 2 female, 9 not applicable (ISO/IEC 5218) |
//! | nationality | `nationalities` | list of ISO 3166-1 alpha-2 codes |
//! | region of residence | `address.region` | text |
//! | resident number | `personal_administrative_number` | text; only in a PID that was asked for with it |
//! | who issued | `issuing_authority`, `issuing_country` | text, alpha-2 code |
//! | assurance | `assurance` | `low`, `substantial`, `high`; ours, the Rulebook has none |
//!
//! Everything is hidden until the holder shows it, the issuer's name included: a login discloses
//! no claim at all. Copies are one-time (P4): each has its own key and salts and all else alike.

use serde_json::{Map, Value, json};
use zeroize::Zeroize as _;

use crate::jose::{Jwk, SigningKey};
use crate::mdoc::MdocError;
use crate::refusal::refusals;
use crate::sd_jwt::{self, Evidence, SdJwtError, Terms, VerifiedSdJwt};
use crate::status::Reference;
use crate::text::{is_country, is_text};

/// The credential's type.
pub const VCT: &str = "urn:realdid:pid:1";
/// The type of a PID that lives long and has a status: not a one-time copy, and services to which it is
/// shown can tell that it is one and the same.
pub const LONG_VCT: &str = "urn:realdid:pid-long:1";
/// Claims that no holder can hide: none.
pub const ALWAYS_DISCLOSED: &[&str] = &[];
/// The most copies made at once.
pub const MAX_COPIES: usize = 100;

refusals! {
    /// Why a set of claims is no PID.
    PidError: { SdJwt(SdJwtError), Mdoc(MdocError) }
    Text Issuer "pid.text" "a text claim is 1 to 256 bytes without control characters" "correct the register's entry",
    Birthdate Issuer "pid.birthdate" "the birth date is a day of the calendar, as YYYY-MM-DD" "correct the register's entry",
    Sex Issuer "pid.sex" "sex is 0, 1, 2 or 9" "correct the register's entry",
    Country Issuer "pid.country" "a country is two capital letters, and there is at least one nationality" "correct the register's entry",
    Assurance Issuer "pid.assurance" "assurance is low, substantial or high" "correct the register's entry",
    Claim Issuer "pid.claim" "every claim is of the form that the PID gives it" "issue the credential anew",
    Copies Caller "pid.copies" "a batch has 1 to 100 copies, each for another key" "ask for fewer, with fresh keys",
}

/// Sex as ISO/IEC 5218 counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sex {
    /// 0
    NotKnown,
    /// 1
    Male,
    /// 2
    Female,
    /// 9
    NotApplicable,
}

impl Sex {
    /// The number in the claim.
    pub fn code(self) -> u8 {
        match self {
            Self::NotKnown => 0,
            Self::Male => 1,
            Self::Female => 2,
            Self::NotApplicable => 9,
        }
    }

    /// Reads the number.
    pub fn from_code(code: u64) -> Result<Self, PidError> {
        match code {
            0 => Ok(Self::NotKnown),
            1 => Ok(Self::Male),
            2 => Ok(Self::Female),
            9 => Ok(Self::NotApplicable),
            _ => Err(PidError::Sex),
        }
    }
}

/// How sure the authority is that the holder is this person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Assurance {
    /// By a claim alone.
    Low,
    /// Against the population register.
    Substantial,
    /// Against the register and in person.
    High,
}

impl Assurance {
    /// The word in the claim.
    pub fn text(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Substantial => "substantial",
            Self::High => "high",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Result<Self, PidError> {
        match text {
            "low" => Ok(Self::Low),
            "substantial" => Ok(Self::Substantial),
            "high" => Ok(Self::High),
            _ => Err(PidError::Assurance),
        }
    }
}

/// A person as the register knows them. `Debug` shows nothing; dropping overwrites the texts.
#[derive(Clone, PartialEq, Eq)]
pub struct Pid {
    /// Given names.
    pub given_name: String,
    /// Family name.
    pub family_name: String,
    /// `YYYY-MM-DD`.
    pub birthdate: String,
    /// Whether the person was 18 when the credential was issued: the issuer has the clock.
    pub age_over_18: bool,
    /// Sex.
    pub sex: Sex,
    /// Alpha-2 codes; at least one.
    pub nationalities: Vec<String>,
    /// Region of residence.
    pub region: String,
    /// The resident number, where it was asked for.
    pub resident_number: Option<String>,
    /// Name of the authority.
    pub issuing_authority: String,
    /// Alpha-2 code.
    pub issuing_country: String,
    /// How sure the authority is.
    pub assurance: Assurance,
}

impl Pid {
    /// The claims, checked.
    pub fn to_claims(&self) -> Result<Map<String, Value>, PidError> {
        let texts = [
            &self.given_name,
            &self.family_name,
            &self.region,
            &self.issuing_authority,
        ];
        if !texts
            .into_iter()
            .chain(&self.resident_number)
            .all(|text| is_text(text))
        {
            return Err(PidError::Text);
        }
        if !is_date(&self.birthdate) {
            return Err(PidError::Birthdate);
        }
        let countries = || self.nationalities.iter().chain([&self.issuing_country]);
        if self.nationalities.is_empty() || !countries().all(|code| is_country(code)) {
            return Err(PidError::Country);
        }
        let mut claims = Map::new();
        let mut put = |name: &str, value: Value| _ = claims.insert(name.to_owned(), value);
        put("given_name", self.given_name.as_str().into());
        put("family_name", self.family_name.as_str().into());
        put("birthdate", self.birthdate.as_str().into());
        put("age_equal_or_over", json!({"18": self.age_over_18}));
        put("sex", self.sex.code().into());
        put("nationalities", self.nationalities.clone().into());
        put("address", json!({"region": self.region}));
        if let Some(number) = &self.resident_number {
            put("personal_administrative_number", number.as_str().into());
        }
        put("issuing_authority", self.issuing_authority.as_str().into());
        put("issuing_country", self.issuing_country.as_str().into());
        put("assurance", self.assurance.text().into());
        Ok(claims)
    }
}

impl Drop for Pid {
    fn drop(&mut self) {
        self.given_name.zeroize();
        self.family_name.zeroize();
        self.birthdate.zeroize();
        self.nationalities.zeroize();
        self.region.zeroize();
        self.resident_number.zeroize();
    }
}

impl std::fmt::Debug for Pid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pid(…)")
    }
}

/// What a holder chose to show: the same claims, each perhaps absent. Claims of other names are
/// left out.
#[derive(Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are those of Pid")]
pub struct DisclosedPid {
    pub given_name: Option<String>,
    pub family_name: Option<String>,
    pub birthdate: Option<String>,
    pub age_over_18: Option<bool>,
    pub sex: Option<Sex>,
    pub nationalities: Option<Vec<String>>,
    pub region: Option<String>,
    pub resident_number: Option<String>,
    pub issuing_authority: Option<String>,
    pub issuing_country: Option<String>,
    pub assurance: Option<Assurance>,
}

impl DisclosedPid {
    /// Reads disclosed claims.
    pub fn from_claims(claims: &Map<String, Value>) -> Result<Self, PidError> {
        let text = |value: Option<&Value>| match value {
            None => Ok(None),
            Some(Value::String(text)) if is_text(text) => Ok(Some(text.clone())),
            Some(_) => Err(PidError::Claim),
        };
        let inside = |outer: &str, name: &str| match claims.get(outer) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(members.get(name)),
            Some(_) => Err(PidError::Claim),
        };
        let birthdate = text(claims.get("birthdate"))?;
        if birthdate.as_deref().is_some_and(|date| !is_date(date)) {
            return Err(PidError::Birthdate);
        }
        let nationalities = match claims.get("nationalities") {
            None => None,
            Some(value) => {
                let country = |v: &Value| v.as_str().filter(|c| is_country(c)).map(str::to_owned);
                let codes = value.as_array().ok_or(PidError::Claim)?.iter().map(country);
                Some(codes.collect::<Option<_>>().ok_or(PidError::Country)?)
            }
        };
        let issuing_country = text(claims.get("issuing_country"))?;
        if issuing_country
            .as_deref()
            .is_some_and(|code| !is_country(code))
        {
            return Err(PidError::Country);
        }
        let sex = claims
            .get("sex")
            .map(|v| v.as_u64().ok_or(PidError::Sex))
            .transpose()?;
        let over_18 = inside("age_equal_or_over", "18")?;
        Ok(Self {
            given_name: text(claims.get("given_name"))?,
            family_name: text(claims.get("family_name"))?,
            birthdate,
            age_over_18: over_18
                .map(|v| v.as_bool().ok_or(PidError::Claim))
                .transpose()?,
            sex: sex.map(Sex::from_code).transpose()?,
            nationalities,
            region: text(inside("address", "region")?)?,
            resident_number: text(claims.get("personal_administrative_number"))?,
            issuing_authority: text(claims.get("issuing_authority"))?,
            issuing_country,
            assurance: text(claims.get("assurance"))?
                .map(|t| Assurance::parse(&t))
                .transpose()?,
        })
    }
}

impl std::fmt::Debug for DisclosedPid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DisclosedPid(…)")
    }
}

/// Makes one copy for each of `holders`, alike in all but key and salts. `terms.vct` must be
/// [`VCT`]. `salt` must return 16 fresh random bytes at each call.
pub fn issue_batch(
    pid: &Pid,
    terms: &Terms<'_>,
    holders: &[Jwk],
    key: &SigningKey,
    salt: &mut dyn FnMut() -> [u8; 16],
) -> Result<Vec<String>, PidError> {
    if !(1..=MAX_COPIES).contains(&holders.len()) || !are_fresh(holders) {
        return Err(PidError::Copies);
    }
    if terms.vct != VCT {
        return Err(PidError::Claim);
    }
    let claims = pid.to_claims()?;
    let copy = |holder| sd_jwt::issue(&claims, ALWAYS_DISCLOSED, terms, holder, key, salt);
    Ok(holders.iter().map(copy).collect::<Result<_, _>>()?)
}

/// Whether no two copies would be bound to one key.
pub(crate) fn are_fresh(holders: &[Jwk]) -> bool {
    let mut numbered = holders.iter().enumerate();
    numbered.all(|(i, holder)| !holders[..i].contains(holder))
}

/// Makes a PID that lives long, with its place in a status list. `terms.vct` must be [`LONG_VCT`].
pub fn issue_long(
    pid: &Pid,
    terms: &Terms<'_>,
    status: &Reference,
    holder: &Jwk,
    key: &SigningKey,
    salt: &mut dyn FnMut() -> [u8; 16],
) -> Result<String, PidError> {
    if terms.vct != LONG_VCT {
        return Err(PidError::Claim);
    }
    let claims = pid.to_claims()?;
    let status = Some(status);
    let always = ALWAYS_DISCLOSED;
    let made = sd_jwt::issue_with_status(&claims, always, terms, status, holder, key, salt);
    Ok(made?)
}

/// A presentation that passed [`verify`]; its `claims` can be read with
/// [`DisclosedPid::from_claims`].
pub type VerifiedPid = VerifiedSdJwt;

/// Verifies a presentation of a PID with key binding. Name [`VCT`] among the accepted types.
pub fn verify(presentation: &str, evidence: &Evidence<'_>) -> Result<VerifiedPid, SdJwtError> {
    let verified = sd_jwt::verify(presentation, evidence)?;
    if verified.vct != VCT {
        return Err(SdJwtError::VctRefused);
    }
    Ok(verified)
}

/// Whether `text` is a day of the Gregorian calendar as `YYYY-MM-DD`.
fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits = |range: std::ops::Range<usize>| {
        let part = &bytes[range];
        part.iter().all(u8::is_ascii_digit).then(|| {
            part.iter()
                .fold(0u32, |number, digit| number * 10 + u32::from(digit - b'0'))
        })
    };
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return false;
    }
    let (Some(year), Some(month), Some(day)) = (digits(0..4), digits(5..7), digits(8..10)) else {
        return false;
    };
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return false,
    };
    (1..=last).contains(&day)
}

#[cfg(test)]
#[path = "pid_tests.rs"]
pub(crate) mod tests;
