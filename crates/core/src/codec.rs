//! Canonical CBOR: one value, one encoding (spec/encoding.md, rules E1 to E4).
//!
//! Structures are CBOR arrays with fixed positions, encoded deterministically (RFC 8949 §4.2).
//! Decoding is strict: the input is bounded before it is read, every byte is consumed, and
//! encoding the value again must give the same bytes. So a digest over bytes is a digest over
//! the value, and two honest parties never disagree about either.

use minicbor::{Decode, Decoder, Encode, Encoder};

/// Why bytes were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// E1: longer than this kind of value may be.
    #[error("{got} bytes where at most {limit} are allowed")]
    TooLong { limit: usize, got: usize },
    /// E2: not CBOR of the expected shape, or cut short.
    #[error("not the CBOR shape that is expected here, or truncated")]
    Malformed,
    /// E3: bytes are left over behind the value.
    #[error("bytes left over behind the value")]
    Trailing,
    /// E4: a longer or reordered encoding of an otherwise valid value.
    #[error("not the canonical encoding of this value")]
    NotCanonical,
}

impl CodecError {
    /// The stable name of the rule, for errors that leave the process.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "codec.too_long",
            Self::Malformed => "codec.malformed",
            Self::Trailing => "codec.trailing",
            Self::NotCanonical => "codec.not_canonical",
        }
    }
}

/// The canonical bytes of `value`.
pub fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    // most of what is encoded by the thousands, operations and records, is shorter
    let mut out = Vec::with_capacity(256);
    // Writing to a vector cannot fail, and no type of ours refuses to encode.
    let _infallible = Encoder::new(&mut out).encode(value).is_ok();
    out
}

/// Reads exactly one canonical value from at most `limit` bytes.
pub fn decode<'b, T: Decode<'b, ()> + Encode<()>>(
    bytes: &'b [u8],
    limit: usize,
) -> Result<T, CodecError> {
    if bytes.len() > limit {
        return Err(CodecError::TooLong {
            limit,
            got: bytes.len(),
        });
    }
    let mut decoder = Decoder::new(bytes);
    let value: T = decoder.decode().map_err(|_| CodecError::Malformed)?;
    if decoder.position() != bytes.len() {
        return Err(CodecError::Trailing);
    }
    let mut same = Same(bytes);
    let canonical = Encoder::new(&mut same).encode(&value).is_ok();
    if !canonical || !same.0.is_empty() {
        return Err(CodecError::NotCanonical);
    }
    Ok(value)
}

/// What is still to be written again as it stands: takes no bytes but these.
struct Same<'a>(&'a [u8]);

impl minicbor::encode::Write for Same<'_> {
    type Error = CodecError;

    fn write_all(&mut self, written: &[u8]) -> Result<(), CodecError> {
        let rest = self.0.strip_prefix(written);
        self.0 = rest.ok_or(CodecError::NotCanonical)?;
        Ok(())
    }
}

/// Reads a value from bytes that [`decode`] accepted before: what it found is not looked for again.
pub fn decode_again<'b, T: Decode<'b, ()>>(bytes: &'b [u8]) -> Result<T, CodecError> {
    minicbor::decode(bytes).map_err(|_| CodecError::Malformed)
}

/// A CBOR byte string of any length that the surrounding limit admits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(pub Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl<C> Encode<C> for Bytes {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Bytes {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Ok(Self(d.bytes()?.to_vec()))
    }
}

/// Declares a fixed-length byte string with hex display and canonical CBOR.
#[macro_export]
macro_rules! fixed_bytes {
    ($(#[$doc:meta])* $name:ident, $len:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::codec::CodecError;

            /// Reads lowercase hex of exactly the right length.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut bytes = [0u8; $len];
                let lower = !text.bytes().any(|b| b.is_ascii_uppercase());
                match hex::decode_to_slice(text, &mut bytes) {
                    Ok(()) if lower => Ok(Self(bytes)),
                    _ => Err($crate::codec::CodecError::Malformed),
                }
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl<C> minicbor::Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.bytes(&self.0)?.ok()
            }
        }

        impl<'b, C> minicbor::Decode<'b, C> for $name {
            fn decode(
                d: &mut minicbor::Decoder<'b>,
                _: &mut C,
            ) -> Result<Self, minicbor::decode::Error> {
                <[u8; $len]>::try_from(d.bytes()?)
                    .map(Self)
                    .map_err(|_| minicbor::decode::Error::message("wrong length"))
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Encode, Decode)]
    #[cbor(array)]
    struct Pair {
        #[n(0)]
        a: u64,
        #[n(1)]
        b: Bytes,
    }

    fn pair() -> Pair {
        Pair {
            a: 7,
            b: Bytes(vec![1, 2]),
        }
    }

    #[test]
    fn reads_back_what_it_wrote() {
        assert_eq!(encode(&pair()), hex::decode("8207420102").unwrap());
        assert_eq!(decode::<Pair>(&encode(&pair()), 64), Ok(pair()));
    }

    #[test]
    fn refuses_oversized_truncated_trailing_and_non_canonical() {
        let bytes = encode(&pair());
        let read = |hex_text: &str| decode::<Pair>(&hex::decode(hex_text).unwrap(), 64);
        assert_eq!(
            decode::<Pair>(&bytes, 3),
            Err(CodecError::TooLong { limit: 3, got: 5 })
        );
        assert_eq!(read("820742"), Err(CodecError::Malformed));
        assert_eq!(read("820742010200"), Err(CodecError::Trailing));
        // 7 written in two bytes; an indefinite-length array; an indefinite byte string
        assert_eq!(read("821807420102"), Err(CodecError::NotCanonical));
        assert_eq!(read("9f07420102ff"), Err(CodecError::NotCanonical));
        assert_eq!(read("82075f420102ff"), Err(CodecError::Malformed));
        // a third element in the array
        assert_eq!(read("830742010200"), Err(CodecError::NotCanonical));
    }
}
