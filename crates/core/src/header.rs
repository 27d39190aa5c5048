//! Blocks, headers and checkpoints (spec/headers.md).
//!
//! A header commits to its parent, its operations and a *sealed* state: the state at the end of
//! an earlier slot, which was final when the header was made. Validators sign the header's
//! digest; with their certificate it is a checkpoint.

use crate::codec::{self, Bytes, CodecError};
use crate::did::NetworkName;
use crate::hash::{Domain, Hash32, HashFunction};
use crate::rule::Rule;
use minicbor::{Decode, Encode};

/// The longest header in bytes.
pub const MAX_HEADER_BYTES: usize = 512;
/// The longest block in bytes.
pub const MAX_BLOCK_BYTES: usize = 4 * 1024 * 1024;
/// The longest certificate in bytes.
pub const MAX_CERTIFICATE_BYTES: usize = 1024;

/// The head of a block: what validators sign and light clients read.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Header {
    /// The version of the rules that the block runs under (rule H5).
    #[n(0)]
    pub version: u8,
    #[n(1)]
    pub network: NetworkName,
    /// Digest of the parent's header.
    #[n(2)]
    pub parent: Hash32,
    /// 0 for genesis.
    #[n(3)]
    pub height: u64,
    /// Unix milliseconds; never before the parent's.
    #[n(4)]
    pub time_ms: u64,
    /// List commitment to the hashes of the operations' bytes.
    #[n(5)]
    pub operations_root: Hash32,
    #[n(6)]
    pub sealed: Sealed,
}

/// The state at the end of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Sealed {
    /// The last slot whose blocks are in this state.
    #[n(0)]
    pub slot: u64,
    /// The height of the last block in this state.
    #[n(1)]
    pub height: u64,
    #[n(2)]
    pub state_root: Hash32,
    /// The running commitment to all receipts up to that height.
    #[n(3)]
    pub receipts_root: Hash32,
}

impl Header {
    /// Reads a header from hostile bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, MAX_HEADER_BYTES)
    }

    /// What validators sign and children name.
    pub fn digest(&self) -> Hash32 {
        let by = self.network.hash_function();
        by.tagged(Domain::Header, &[&codec::encode(self)])
    }

    /// The slot in which the block lies.
    pub fn slot(&self, slot_s: u64) -> u64 {
        slot_at(self.time_ms, slot_s)
    }
}

/// The slot of a time.
pub fn slot_at(time_ms: u64, slot_s: u64) -> u64 {
    time_ms / slot_s.max(1).saturating_mul(1000)
}

/// A header with its operations.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Block {
    #[n(0)]
    pub header: Header,
    /// Signed operations in their canonical bytes.
    #[n(1)]
    pub operations: Vec<Bytes>,
}

impl Block {
    /// Reads a block from hostile bytes and checks that its header commits to its operations.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let block: Self = codec::decode(bytes, MAX_BLOCK_BYTES)?;
        let by = block.header.network.hash_function();
        if block.header.operations_root == operations_root(by, &block.operations) {
            Ok(block)
        } else {
            Err(CodecError::Malformed)
        }
    }

    /// Reads a block that [`Block::decode`] accepted before.
    pub fn decode_again(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode_again(bytes)
    }

    /// The header of a block that [`Block::decode`] accepted before.
    pub fn header_again(bytes: &[u8]) -> Result<Header, CodecError> {
        /// Its operations stay unread behind it.
        #[derive(Decode)]
        #[cbor(array)]
        struct Head {
            #[n(0)]
            header: Header,
        }
        codec::decode_again::<Head>(bytes).map(|head| head.header)
    }

    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }
}

/// The commitment to a block's operations, over their bytes with signatures.
pub fn operations_root(by: HashFunction, operations: &[Bytes]) -> Hash32 {
    let leaves: Vec<Hash32> = operations
        .iter()
        .map(|bytes| by.tagged(Domain::Operation, &[&bytes.0]))
        .collect();
    by.list_root(&leaves)
}

/// What became of an operation in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Receipt {
    /// [`crate::operation::SignedOperation::id`], or the hash of bytes that are no operation.
    #[n(0)]
    pub operation: Hash32,
    /// The rule that it broke; none where it was accepted.
    #[n(1)]
    pub refused: Option<Rule>,
}

/// The running commitment after one more block's receipts.
pub fn receipts_root(by: HashFunction, before: &Hash32, receipts: &[Receipt]) -> Hash32 {
    let leaves: Vec<Hash32> = receipts
        .iter()
        .map(|receipt| by.tagged(Domain::Receipts, &[&codec::encode(receipt)]))
        .collect();
    by.tagged(Domain::Receipts, &[&before.0, &by.list_root(&leaves).0])
}

/// A header that the validators have finalised, in bytes as they travel.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Checkpoint {
    /// A canonical [`Header`].
    #[n(0)]
    pub header: Bytes,
    /// The validators' certificate over the header's digest.
    #[n(1)]
    pub certificate: Bytes,
}
