//! A whole state as a file (spec/ceremony.md, X13): every record of a root, to be carried to
//! another network that goes on from it.
//!
//! A CBOR sequence (RFC 8742) of `[key, value]`, strictly ascending by key, each canonical. Whether it is
//! the right state only its [`root`] can say.

use crate::codec::{self, Bytes, CodecError};
use crate::hash::{Hash32, HashFunction};
use crate::state::MAX_RECORD_BYTES;
use crate::trie::{self, Key};
use minicbor::{Decode, Decoder, Encode};

crate::fixed_bytes!(
    /// A key of the state trie, in a file.
    EntryKey,
    32
);

#[derive(Encode, Decode)]
#[cbor(array)]
struct Entry {
    #[n(0)]
    key: EntryKey,
    #[n(1)]
    value: Bytes,
}

/// A record with its key.
pub type Record = (Key, Vec<u8>);

/// The file of these records, which ascend.
pub fn encode<'a>(records: impl IntoIterator<Item = (&'a Key, &'a Vec<u8>)>) -> Vec<u8> {
    let mut file = Vec::new();
    for (key, value) in records {
        file.extend(codec::encode(&Entry {
            key: EntryKey(*key),
            value: Bytes(value.clone()),
        }));
    }
    file
}

/// Reads a state from hostile bytes.
pub fn decode(file: &[u8]) -> Result<Vec<Record>, CodecError> {
    let mut records: Vec<Record> = Vec::new();
    let mut decoder = Decoder::new(file);
    while decoder.position() < file.len() {
        let start = decoder.position();
        let entry: Entry = decoder.decode().map_err(|_| CodecError::Malformed)?;
        if entry.value.0.len() > MAX_RECORD_BYTES {
            return Err(CodecError::TooLong {
                limit: MAX_RECORD_BYTES,
                got: entry.value.0.len(),
            });
        }
        let ascends = records.last().is_none_or(|(last, _)| *last < entry.key.0);
        if !ascends || codec::encode(&entry) != file[start..decoder.position()] {
            return Err(CodecError::NotCanonical);
        }
        records.push((entry.key.0, entry.value.0));
    }
    Ok(records)
}

/// The root of the state with exactly these records, which ascend.
pub fn root(by: HashFunction, records: &[Record]) -> Hash32 {
    let leaves: Vec<_> = records
        .iter()
        .map(|(key, value)| (*key, trie::value_hash(by, value)))
        .collect();
    Hash32(trie::subtree_root(by, &leaves, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Vec<Record> {
        (1..5u8)
            .map(|n| ([n; 32], vec![n; usize::from(n)]))
            .collect()
    }

    fn file(records: &[Record]) -> Vec<u8> {
        encode(records.iter().map(|(key, value)| (key, value)))
    }

    #[test]
    fn x13_a_state_is_read_back_and_has_one_spelling() {
        let records = records();
        let good = file(&records);
        assert_eq!(decode(&good), Ok(records.clone()));
        assert_eq!(decode(&[]), Ok(vec![]));
        let mut swapped = records.clone();
        swapped.swap(0, 1);
        assert_eq!(decode(&file(&swapped)), Err(CodecError::NotCanonical));
        let twice = [good.as_slice(), &good].concat();
        assert_eq!(decode(&twice), Err(CodecError::NotCanonical));
        assert_eq!(decode(&good[..good.len() - 1]), Err(CodecError::Malformed));
        assert_eq!(decode(&[0xf6]), Err(CodecError::Malformed));
        // A length of two bytes where one would do.
        let mut longer = good.clone();
        longer.splice(35..36, [0x58, 1]);
        assert_eq!(decode(&longer), Err(CodecError::NotCanonical));
        let huge = file(&[([1; 32], vec![0; MAX_RECORD_BYTES + 1])]);
        assert!(matches!(decode(&huge), Err(CodecError::TooLong { .. })));
    }

    #[test]
    fn the_root_is_that_of_exactly_these_records() {
        let by = HashFunction::Sha256;
        let records = records();
        let mut other = records.clone();
        other[2].1[0] ^= 1;
        assert_ne!(root(by, &records), root(by, &other));
        assert_ne!(root(by, &records), root(by, &records[..3]));
    }
}
