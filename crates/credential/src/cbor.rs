//! Reading CBOR that a stranger wrote (RFC 8949): definite lengths, no key twice, no deep nesting.
//!
//! Structures are walked where they lie, since a digest or signature is over the bytes as they
//! came: nothing is decoded and encoded again. `minicbor` reads the items, what may stand where is
//! decided here.

use minicbor::Decoder;
use minicbor::data::Type;
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

    pub(crate) fn tag(mut self, tag: u64) -> Self {
        let _cannot_fail = self.0.tag(minicbor::data::Tag::new(tag));
        self
    }

    pub(crate) fn done(self) -> Vec<u8> {
        self.0.into_writer()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_twice_an_open_length_and_what_does_not_end_are_refused() {
        let read = |bytes: &[u8]| whole(bytes, |decoder| map(decoder, |_, _| Ok(false)));
        assert_eq!(read(&[0xa1, 0x61, b'a', 1]), Ok(()));
        assert!(read(&[0xa2, 0x61, b'a', 1, 0x61, b'a', 2]).is_err());
        assert!(read(&[0xbf, 0x61, b'a', 1, 0xff]).is_err());
        assert!(read(&[0xa0, 1]).is_err(), "something behind it");
        assert!(read(&[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).is_err());
        assert!(read(&[0xa2, 1, 2]).is_err());
    }
}
