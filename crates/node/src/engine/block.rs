//! A block as consensus sees it: our bytes, plus the facts read from them once.

use super::chain::{BlockInfo, Chain};
use bytes::{BufMut, Bytes};
use commonware_codec::{Buf, EncodeSize, Error, RangeCfg, Read, Write};
use commonware_consensus::{Block as ConsensusBlock, BoundedBlock, Heightable, types::Height};
use commonware_cryptography::{Digestible, sha256::Digest};

/// The widest length prefix: `u32` as a varint.
const MAX_PREFIX_BYTES: usize = 5;

/// How to read a block: the same on every node of a network, for as long as its stores live.
#[derive(Debug, Clone, Copy)]
pub struct BlockRules {
    /// The longest block in bytes.
    pub max_bytes: usize,
    describe: fn(&[u8]) -> Option<BlockInfo>,
}

impl BlockRules {
    /// The rules of chain `C` under a length bound.
    pub fn of<C: Chain>(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            describe: C::describe,
        }
    }

    /// Reads a block; `None` if it is too long or not a block.
    pub fn read(&self, bytes: impl Into<Bytes>) -> Option<Block> {
        let bytes = bytes.into();
        if bytes.len() > self.max_bytes {
            return None;
        }
        let info = (self.describe)(&bytes)?;
        Some(Block { bytes, info })
    }
}

/// A block whose facts are known. Cloning shares the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    bytes: Bytes,
    info: BlockInfo,
}

impl Block {
    /// The canonical bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Digest, parent and height.
    pub fn info(&self) -> BlockInfo {
        self.info
    }

    /// Does this block name `parent` as its parent, one height below?
    pub fn follows(&self, parent: &Block) -> bool {
        self.info.parent == parent.info.digest
            && parent.info.height.checked_add(1) == Some(self.info.height)
    }
}

impl Write for Block {
    fn write(&self, buf: &mut impl BufMut) {
        self.bytes.write(buf);
    }
}

impl EncodeSize for Block {
    fn encode_size(&self) -> usize {
        self.bytes.encode_size()
    }
}

impl Read for Block {
    type Cfg = BlockRules;

    fn read_cfg(buf: &mut impl Buf, rules: &BlockRules) -> Result<Self, Error> {
        let bytes = Bytes::read_cfg(buf, &RangeCfg::from(..=rules.max_bytes))?;
        rules
            .read(bytes)
            .ok_or(Error::Invalid("Block", "not a block of this network"))
    }
}

impl Digestible for Block {
    type Digest = Digest;

    fn digest(&self) -> Digest {
        Digest(self.info.digest)
    }
}

impl Heightable for Block {
    fn height(&self) -> Height {
        Height::new(self.info.height)
    }
}

impl ConsensusBlock for Block {
    fn parent(&self) -> Digest {
        Digest(self.info.parent)
    }
}

impl BoundedBlock for Block {
    fn max_encode_size(rules: &BlockRules) -> usize {
        rules.max_bytes.saturating_add(MAX_PREFIX_BYTES)
    }
}
