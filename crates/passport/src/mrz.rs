//! The machine readable zone of a passport book: two lines of 44 characters (ICAO 9303-4, TD3), as
//! the chip has them in data group 1.
//!
//! Two digits name a year. A birth is in the latest century in which it is not to come, an expiry
//! in this one.

use crate::Refused;
use crate::calendar::{date_of, is_day};
use crate::states::two_letters;

/// Before the text in data group 1: tag and length of the group, tag and length of the text.
const HEAD: [u8; 5] = [0x61, 0x5b, 0x5f, 0x1f, 0x58];
const LINE: usize = 44;
/// What fills a field up, and what stands for each character that is none of A to Z.
const FILLER: u8 = b'<';

/// Sex as the zone has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sex {
    Male,
    Female,
    Unspecified,
}

/// A zone that was read: its form, its states and its check digits are right. Whether it is true is
/// for [`crate::verify`] to say. All of it is personal data: no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Mrz {
    /// The kind of document in one or two letters, without fillers: `P`, or `P` and another.
    pub document_code: String,
    /// The issuing state in three letters (fewer for `D`), without fillers.
    pub state: String,
    /// The same in two.
    pub country: String,
    pub document_number: String,
    /// What the issuing state put into the optional field, without fillers at the end: a personal
    /// number, in most states that use it.
    pub personal_number: Option<String>,
    pub family_name: String,
    /// Empty where the whole name is one part.
    pub given_name: String,
    /// In two letters.
    pub nationality: String,
    /// Year of two digits, month, day.
    birth: [u8; 3],
    expiry: [u8; 3],
    pub sex: Sex,
}

impl Mrz {
    /// Reads data group 1 as it stands on the chip.
    pub fn of_group(bytes: &[u8]) -> Result<Self, Refused> {
        let text = bytes.strip_prefix(&HEAD).ok_or(Refused::Mrz)?;
        Self::parse(text)
    }

    /// Reads the 88 characters.
    pub fn parse(text: &[u8]) -> Result<Self, Refused> {
        let known = |b: &u8| matches!(b, b'A'..=b'Z' | b'0'..=b'9' | b'<');
        if text.len() != 2 * LINE || !text.iter().all(known) {
            return Err(Refused::Mrz);
        }
        let (above, below) = text.split_at(LINE);
        if above[0] != b'P' {
            return Err(Refused::Mrz);
        }
        let whole = [&below[..10], &below[13..20], &below[21..43]].concat();
        let optional = &below[28..42];
        let is_empty = optional.iter().all(|b| *b == FILLER);
        let holds = checks(&below[..9], below[9])
            && checks(&below[13..19], below[19])
            && checks(&below[21..27], below[27])
            // An empty field may go without its digit.
            && (checks(optional, below[42]) || is_empty && below[42] == FILLER)
            && checks(&whole, below[43]);
        if !holds {
            return Err(Refused::Mrz);
        }
        let state = letters(&above[2..5]);
        let country = two_letters(&state).ok_or(Refused::State)?;
        let nationality = two_letters(&letters(&below[10..13])).ok_or(Refused::State)?;
        let (family_name, given_name) = names(&above[5..])?;
        let document_number = letters(&below[..9]);
        if document_number.is_empty() {
            return Err(Refused::Mrz);
        }
        Ok(Self {
            document_code: letters(&above[..2]),
            state,
            country,
            document_number,
            personal_number: (!is_empty).then(|| letters(optional)),
            family_name,
            given_name,
            nationality,
            birth: digits(&below[13..19])?,
            expiry: digits(&below[21..27])?,
            sex: match below[20] {
                b'M' => Sex::Male,
                b'F' => Sex::Female,
                FILLER => Sex::Unspecified,
                _ => return Err(Refused::Mrz),
            },
        })
    }

    /// `YYYY-MM-DD`, as seen at `now_s`. Whoever is older than a hundred years is taken for a child:
    /// the zone has no more than two digits of a year.
    pub fn birthdate(&self, now_s: u64) -> Result<String, Refused> {
        let [short, month, day] = self.birth;
        let (year, now_month, now_day) = date_of(now_s);
        let century = year - year % 100;
        let mut born = century + i64::from(short);
        if (born, month, day) > (year, now_month, now_day) {
            born -= 100;
        }
        if !is_day(born, month, day) {
            return Err(Refused::Mrz);
        }
        Ok(format!("{born:04}-{month:02}-{day:02}"))
    }

    /// Whether the document stands on the day of `now_s`, its last day included.
    pub fn stands(&self, now_s: u64) -> Result<bool, Refused> {
        let [short, month, day] = self.expiry;
        let (year, now_month, now_day) = date_of(now_s);
        let expires = year - year % 100 + i64::from(short);
        if !is_day(expires, month, day) {
            return Err(Refused::Mrz);
        }
        Ok((expires, month, day) >= (year, now_month, now_day))
    }
}

/// Whether a check digit is the one of a field (ICAO 9303-3, 4.9): weights 7, 3 and 1 in turn.
fn checks(field: &[u8], digit: u8) -> bool {
    check_digit(field) == Some(digit)
}

/// The check digit of a field; none where a character has no value.
pub fn check_digit(field: &[u8]) -> Option<u8> {
    let weighted = field.iter().zip([7u32, 3, 1].into_iter().cycle());
    let sum = weighted
        .map(|(b, weight)| {
            let value = match b {
                b'0'..=b'9' => b - b'0',
                b'A'..=b'Z' => b - b'A' + 10,
                b'<' => 0,
                _ => return None,
            };
            Some(u32::from(value) * weight)
        })
        .sum::<Option<u32>>()?;
    Some(b'0' + (sum % 10) as u8)
}

/// A field without the fillers at its end.
fn letters(field: &[u8]) -> String {
    let end = field
        .iter()
        .rposition(|b| *b != FILLER)
        .map_or(0, |at| at + 1);
    field[..end].iter().map(|b| char::from(*b)).collect()
}

/// Family name and given names: two fillers between them, one between the parts of each.
fn names(field: &[u8]) -> Result<(String, String), Refused> {
    let text = letters(field);
    let (family, given) = text.split_once("<<").unwrap_or((&text, ""));
    let spaced = |part: &str| part.replace('<', " ").trim().to_owned();
    let (family, given) = (spaced(family), spaced(given));
    if family.is_empty() {
        return Err(Refused::Mrz);
    }
    Ok((family, given))
}

fn digits(field: &[u8]) -> Result<[u8; 3], Refused> {
    let mut out = [0; 3];
    for (pair, out) in field.chunks_exact(2).zip(&mut out) {
        let digit = |b: u8| b.is_ascii_digit().then(|| b - b'0').ok_or(Refused::Mrz);
        *out = digit(pair[0])? * 10 + digit(pair[1])?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
