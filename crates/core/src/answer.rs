//! What a replica answers: a value, or its absence, with the proof and the checkpoint that it
//! hangs on (spec/proofs.md). The same bytes travel as a staple inside a presentation.

use crate::codec::{self, Bytes, CodecError};
use crate::genesis::MAX_GENESIS_BYTES;
use crate::governance::{NOTICE_BLOCKS, SHOWN_BLOCKS};
use crate::hash::HashFunction;
use crate::header::Checkpoint;
use crate::trie::{Bucket, Key, Proof};
use minicbor::{Decode, Encode};

/// The longest answer, or staple, in bytes.
pub const MAX_ANSWER_BYTES: usize = 32 * 1024;

/// A claim about one key of the state: to be checked, never to be believed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct StateAnswer {
    #[n(0)]
    pub checkpoint: Checkpoint,
    /// The value under the key; absent where the proof is of absence.
    #[n(1)]
    pub value: Option<Bytes>,
    #[n(2)]
    pub proof: Proof,
}

impl StateAnswer {
    /// Reads an answer from hostile bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, MAX_ANSWER_BYTES)
    }

    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }
}

/// The most headers that lie behind the certified one of a hand-over: from the last of a term back to
/// the last one that may show the next.
pub const MAX_HEADERS_BACK: usize = (NOTICE_BLOCKS + SHOWN_BLOCKS) as usize;

/// A claim that a term follows the one that has certified this checkpoint: the record of the committee,
/// in the state that the header seals, or one that lies behind it (spec/proofs.md, L9 to L11).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct HandOver {
    #[n(0)]
    pub checkpoint: Checkpoint,
    /// The certified header's parent, that one's parent, and so on to the header whose sealed state has
    /// the record; none where that is the certified one.
    #[n(1)]
    pub back: Vec<Bytes>,
    /// The record of the committee.
    #[n(2)]
    pub committee: Bytes,
    #[n(3)]
    pub proof: Proof,
}

impl HandOver {
    /// Reads a hand-over from hostile bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, MAX_ANSWER_BYTES)
    }

    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }
}

/// The most hand-overs in one answer.
pub const MAX_HAND_OVERS: usize = 16;

/// Reads hand-overs from hostile bytes, each certified by another term, in their order.
pub fn decode_hand_overs(bytes: &[u8]) -> Result<Vec<HandOver>, CodecError> {
    let all: Vec<HandOver> = codec::decode(bytes, MAX_HAND_OVERS * MAX_ANSWER_BYTES)?;
    if all.len() > MAX_HAND_OVERS {
        return Err(CodecError::Malformed);
    }
    Ok(all)
}

/// The most answers about an earlier state that come together: a version of a record, and the one that
/// followed it.
pub const MAX_PAST: usize = 2;

/// A claim about what a key held in an earlier state: the one that the certified header seals, or one that
/// lies behind it (spec/proofs.md, L13).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct PastAnswer {
    #[n(0)]
    pub checkpoint: Checkpoint,
    /// The certified header's parent, that one's parent, and so on to the header that seals the state;
    /// none where that is the certified one.
    #[n(1)]
    pub back: Vec<Bytes>,
    #[n(2)]
    pub value: Bytes,
    #[n(3)]
    pub proof: Proof,
}

/// Reads answers about earlier states from hostile bytes, in their order.
pub fn decode_past(bytes: &[u8]) -> Result<Vec<PastAnswer>, CodecError> {
    let all: Vec<PastAnswer> = codec::decode(bytes, MAX_PAST * MAX_ANSWER_BYTES)?;
    if all.len() > MAX_PAST {
        return Err(CodecError::Malformed);
    }
    Ok(all)
}

/// The most other networks that a node names, and the most nodes of each.
pub const MAX_NETWORKS: usize = 16;
/// The longest list of them in bytes.
pub const MAX_NETWORKS_BYTES: usize = MAX_NETWORKS * (MAX_GENESIS_BYTES + 8 * 1024);
/// The longest address of a node in bytes.
const MAX_URL_BYTES: usize = 256;

/// Where another network is, as a node's operator says: to be held against the recognition on this
/// network's ledger (spec/operations.md, G6), never to be believed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct OtherNetwork {
    #[n(0)]
    pub genesis: Bytes,
    /// Base URLs.
    #[n(1)]
    pub nodes: Vec<String>,
}

impl OtherNetwork {
    /// Whether it keeps the bounds of what is read.
    pub fn is_bounded(&self) -> bool {
        self.genesis.0.len() <= MAX_GENESIS_BYTES
            && self.nodes.len() <= MAX_NETWORKS
            && self.nodes.iter().all(|url| url.len() <= MAX_URL_BYTES)
    }
}

/// Reads other networks from hostile bytes.
pub fn decode_networks(bytes: &[u8]) -> Result<Vec<OtherNetwork>, CodecError> {
    let all: Vec<OtherNetwork> = codec::decode(bytes, MAX_NETWORKS_BYTES)?;
    if all.len() > MAX_NETWORKS || !all.iter().all(OtherNetwork::is_bounded) {
        return Err(CodecError::Malformed);
    }
    Ok(all)
}

/// The longest bucket answer in bytes.
pub const MAX_BUCKET_BYTES: usize = 4 * 1024 * 1024;

/// A claim about all keys with one prefix, so that the server does not learn which was wanted.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct BucketAnswer {
    #[n(0)]
    pub checkpoint: Checkpoint,
    #[n(1)]
    pub bucket: Bucket,
}

impl BucketAnswer {
    /// Reads a bucket from hostile bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, MAX_BUCKET_BYTES)
    }

    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The answer about one key of a bucket, as if it had been asked for alone. It is as little
    /// to be believed as the bucket until it is checked.
    pub fn answer_for(&self, by: HashFunction, key: &Key) -> StateAnswer {
        StateAnswer {
            checkpoint: self.checkpoint.clone(),
            value: self.bucket.value(key).map(|value| Bytes(value.to_vec())),
            proof: self.bucket.proof(by, key),
        }
    }
}
