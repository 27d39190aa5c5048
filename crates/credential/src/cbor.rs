//! Reading CBOR that a stranger wrote (RFC 8949): definite lengths, no key twice, no deep nesting.
//!
//! Structures are walked where they lie, since a digest or signature is over the bytes as they
//! came: nothing is decoded and encoded again. `minicbor` reads the items, what may stand where is
//! decided here.

use minicbor::Decoder;
use minicbor::data::Type;
use serde_json::{Map, Value};

use crate::json::MAX_DEPTH;

/// Why bytes are not the structure that is expected: which part was wrong is of use to an
/// attacker only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

impl From<minicbor::decode::Error> for Malformed {
    fn from(_: minicbor::decode::Error) -> Self {
        Self
    }
}

pub(crate) type Read<T> = Result<T, Malformed>;

/// Tag 24: bytes that are CBOR themselves.
const ENCODED: u64 = 24;
/// Tag 0: a date and time as text.
pub(crate) const DATE_TIME: u64 = 0;
/// Tag 1004: a date as text (RFC 8943).
pub(crate) const FULL_DATE: u64 = 1004;

/// The most members of a map that are read: comparing their keys is quadratic.
const MAX_MEMBERS: u64 = 1024;

/// A key of a map: text, or a number as COSE has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key<'b> {
    Text(&'b str),
    Int(i64),
}

/// A value that begins where `decoder` stands and fills the rest.
pub(crate) fn whole<'b, T>(
    bytes: &'b [u8],
    read: impl FnOnce(&mut Decoder<'b>) -> Read<T>,
) -> Read<T> {
    let mut decoder = Decoder::new(bytes);
    let value = read(&mut decoder)?;
    if decoder.position() != bytes.len() {
        return Err(Malformed);
    }
    Ok(value)
}

/// The number of items of an array.
pub(crate) fn array(decoder: &mut Decoder<'_>) -> Read<u64> {
    decoder.array()?.ok_or(Malformed)
}

/// An array of exactly `len` items.
pub(crate) fn array_of(decoder: &mut Decoder<'_>, len: u64) -> Read<()> {
    (array(decoder)? == len).then_some(()).ok_or(Malformed)
}

/// Walks a map; `member` reads each value, or leaves it to be skipped by answering `false`.
pub(crate) fn map<'b>(
    decoder: &mut Decoder<'b>,
    mut member: impl FnMut(Key<'b>, &mut Decoder<'b>) -> Read<bool>,
) -> Read<()> {
    let count = decoder.map()?.ok_or(Malformed)?;
    if count > MAX_MEMBERS {
        return Err(Malformed);
    }
    let mut keys = Vec::new();
    for _ in 0..count {
        let key = key(decoder)?;
        if keys.contains(&key) {
            return Err(Malformed);
        }
        keys.push(key);
        if !member(key, decoder)? {
            decoder.skip()?;
        }
    }
    Ok(())
}

fn key<'b>(decoder: &mut Decoder<'b>) -> Read<Key<'b>> {
    match decoder.datatype()? {
        Type::String => Ok(Key::Text(decoder.str()?)),
        _ => Ok(Key::Int(decoder.i64()?)),
    }
}

/// A tag that must be `tag`.
pub(crate) fn tag(decoder: &mut Decoder<'_>, tag: u64) -> Read<()> {
    (decoder.tag()?.as_u64() == tag)
        .then_some(())
        .ok_or(Malformed)
}

/// An item as its bytes.
pub(crate) fn raw<'b>(decoder: &mut Decoder<'b>) -> Read<&'b [u8]> {
    let start = decoder.position();
    decoder.skip()?;
    decoder
        .input()
        .get(start..decoder.position())
        .ok_or(Malformed)
}

/// `#6.24(bstr)`: the bytes with their tag, over which digests go, and what is in them.
pub(crate) fn encoded<'b>(decoder: &mut Decoder<'b>) -> Read<(&'b [u8], &'b [u8])> {
    let start = decoder.position();
    tag(decoder, ENCODED)?;
    let inner = decoder.bytes()?;
    let outer = decoder.input().get(start..decoder.position());
    Ok((outer.ok_or(Malformed)?, inner))
}

/// `#6.0(tstr)` to seconds of Unix time: UTC to the second, as ISO/IEC 18013-5 has it.
pub(crate) fn date_time(decoder: &mut Decoder<'_>) -> Read<u64> {
    tag(decoder, DATE_TIME)?;
    seconds(decoder.str()?).ok_or(Malformed)
}

/// An element's value as JSON: bytes in base64url, dates as their text.
pub(crate) fn json(decoder: &mut Decoder<'_>) -> Read<Value> {
    value(decoder, MAX_DEPTH)
}

fn value(decoder: &mut Decoder<'_>, depth_left: usize) -> Read<Value> {
    let depth_left = depth_left.checked_sub(1).ok_or(Malformed)?;
    Ok(match decoder.datatype()? {
        Type::Bool => decoder.bool()?.into(),
        Type::Null => {
            decoder.null()?;
            Value::Null
        }
        Type::U8 | Type::U16 | Type::U32 | Type::U64 => decoder.u64()?.into(),
        Type::I8 | Type::I16 | Type::I32 | Type::I64 => decoder.i64()?.into(),
        Type::F16 | Type::F32 | Type::F64 => {
            let number = serde_json::Number::from_f64(decoder.f64()?);
            Value::Number(number.ok_or(Malformed)?)
        }
        Type::String => decoder.str()?.into(),
        Type::Bytes => crate::jose::encode(decoder.bytes()?).into(),
        Type::Array => {
            let count = array(decoder)?;
            let items = (0..count).map(|_| value(decoder, depth_left));
            Value::Array(items.collect::<Read<_>>()?)
        }
        Type::Map => {
            let mut members = Map::new();
            map(decoder, |key, decoder| {
                let Key::Text(name) = key else {
                    return Err(Malformed);
                };
                members.insert(name.to_owned(), value(decoder, depth_left)?);
                Ok(true)
            })?;
            Value::Object(members)
        }
        Type::Tag => match decoder.tag()?.as_u64() {
            DATE_TIME | FULL_DATE => decoder.str()?.into(),
            _ => return Err(Malformed),
        },
        _ => return Err(Malformed),
    })
}

// ---- writing --------------------------------------------------------------------------------

/// Writes CBOR into memory, which cannot fail.
pub(crate) struct Writer(minicbor::Encoder<Vec<u8>>);

impl Writer {
    pub(crate) fn new() -> Self {
        Self(minicbor::Encoder::new(Vec::new()))
    }

    pub(crate) fn array(mut self, len: usize) -> Self {
        let _cannot_fail = self.0.array(len as u64);
        self
    }

    pub(crate) fn map(mut self, len: usize) -> Self {
        let _cannot_fail = self.0.map(len as u64);
        self
    }

    pub(crate) fn text(mut self, text: &str) -> Self {
        let _cannot_fail = self.0.str(text);
        self
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        let _cannot_fail = self.0.bytes(bytes);
        self
    }

    pub(crate) fn int(mut self, value: i64) -> Self {
        let _cannot_fail = self.0.i64(value);
        self
    }

    pub(crate) fn uint(mut self, value: u64) -> Self {
        let _cannot_fail = self.0.u64(value);
        self
    }

    pub(crate) fn null(mut self) -> Self {
        let _cannot_fail = self.0.null();
        self
    }

    pub(crate) fn tag(mut self, tag: u64) -> Self {
        let _cannot_fail = self.0.tag(minicbor::data::Tag::new(tag));
        self
    }

    /// `#6.24(bstr)`.
    pub(crate) fn encoded(self, inner: &[u8]) -> Self {
        self.tag(ENCODED).bytes(inner)
    }

    /// An item that is written already.
    pub(crate) fn raw(mut self, item: &[u8]) -> Self {
        self.0.writer_mut().extend_from_slice(item);
        self
    }

    /// `#6.0(tstr)` of seconds of Unix time.
    pub(crate) fn date_time(self, seconds: u64) -> Self {
        self.tag(DATE_TIME).text(&text_of(seconds))
    }

    pub(crate) fn json(mut self, value: &Value) -> Self {
        self = match value {
            Value::Null => self.null(),
            Value::Bool(value) => {
                let _cannot_fail = self.0.bool(*value);
                self
            }
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(value), _, _) => self.uint(value),
                (None, Some(value), _) => self.int(value),
                (None, None, value) => {
                    let _cannot_fail = self.0.f64(value.unwrap_or_default());
                    self
                }
            },
            Value::String(text) => self.text(text),
            Value::Array(items) => {
                let written = self.array(items.len());
                items.iter().fold(written, Self::json)
            }
            Value::Object(members) => {
                let written = self.map(members.len());
                let member = |written: Self, (name, value): (&String, &Value)| {
                    written.text(name).json(value)
                };
                members.iter().fold(written, member)
            }
        };
        self
    }

    pub(crate) fn done(self) -> Vec<u8> {
        self.0.into_writer()
    }
}

// ---- dates ----------------------------------------------------------------------------------

/// Days before each month of a year that is no leap year.
const DAYS_BEFORE: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

fn is_leap(year: u64) -> bool {
    (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400)
}

/// Days from 1970-01-01 to the first of a year.
fn days_to_year(year: u64) -> u64 {
    let leaps = |year: u64| year / 4 - year / 100 + year / 400;
    365 * (year - 1970) + leaps(year - 1) - leaps(1969)
}

/// `YYYY-MM-DDThh:mm:ssZ`, from 1970 to 9999.
fn seconds(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let marks = [
        (4, b'-'),
        (7, b'-'),
        (10, b'T'),
        (13, b':'),
        (16, b':'),
        (19, b'Z'),
    ];
    if bytes.len() != 20 || marks.iter().any(|(at, mark)| bytes[*at] != *mark) {
        return None;
    }
    let number = |from: usize, to: usize| {
        bytes[from..to].iter().try_fold(0u64, |number, digit| {
            digit
                .is_ascii_digit()
                .then(|| 10 * number + u64::from(digit - b'0'))
        })
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let leap = u64::from(is_leap(year));
    let before = |month: u64| DAYS_BEFORE.get(month.checked_sub(1)? as usize).copied();
    let next = before(month + 1).unwrap_or(365);
    let length = next - before(month)? + if month == 2 { leap } else { 0 };
    if year < 1970 || !(1..=length).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let passed = if month > 2 { leap } else { 0 };
    let days = days_to_year(year) + before(month)? + passed + day - 1;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

fn text_of(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // No date later than the text can say.
    let mut year = (1970 + days / 366).min(9999);
    while year < 9999 && days_to_year(year + 1) <= days {
        year += 1;
    }
    let mut day = days.saturating_sub(days_to_year(year)).min(365);
    let leap = u64::from(is_leap(year));
    let begins = |month: usize| DAYS_BEFORE[month] + if month > 1 { leap } else { 0 };
    let month = (0..12).rfind(|month| begins(*month) <= day).unwrap_or(0);
    day -= begins(month);
    format!(
        "{year:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        month + 1,
        day + 1,
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_come_back_and_no_other_text_is_one() {
        for (text, moment) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2026-11-22T17:47:17Z", 1_795_369_637),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            assert_eq!(seconds(text), Some(moment), "{text}");
            assert_eq!(text_of(moment), text);
        }
        for day in 0..60_000 {
            assert_eq!(seconds(&text_of(day * 86_400)), Some(day * 86_400));
        }
        for wrong in [
            "2025-02-29T00:00:00Z",
            "2025-13-01T00:00:00Z",
            "2025-00-01T00:00:00Z",
            "2025-04-31T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "2025-01-01T24:00:00Z",
            "2025-01-01T00:00:00.1Z",
            "2025-01-01T00:00:00+01:00",
            "2025-01-01",
            "",
        ] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_key_twice_an_open_length_and_deep_nesting_are_refused() {
        let read = |bytes: &[u8]| whole(bytes, json);
        assert_eq!(
            read(&[0xa1, 0x61, b'a', 1]),
            Ok(serde_json::json!({"a": 1}))
        );
        assert!(read(&[0xa2, 0x61, b'a', 1, 0x61, b'a', 2]).is_err());
        assert!(read(&[0xbf, 0x61, b'a', 1, 0xff]).is_err());
        assert!(read(&[0x9f, 1, 0xff]).is_err());
        assert!(read(&[1, 1]).is_err(), "something behind it");
        assert!(
            read(&[0xc2, 0x41, 1]).is_err(),
            "a tag that is not a date's"
        );
        let nested = |deep: usize| [vec![0x81; deep], vec![0]].concat();
        assert!(read(&nested(MAX_DEPTH - 1)).is_ok());
        assert!(read(&nested(MAX_DEPTH)).is_err());
        assert!(read(&nested(100_000)).is_err());
        // A count that the input cannot hold ends with the input.
        assert!(read(&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).is_err());
    }

    #[test]
    fn what_is_written_is_read_again() {
        let value = serde_json::json!({"a": [1, -2, 1.5, true, null, "x"], "b": {"c": "d"}});
        assert_eq!(whole(&Writer::new().json(&value).done(), json), Ok(value));
    }
}
