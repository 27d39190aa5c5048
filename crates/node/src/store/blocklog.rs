//! The block log: the truth from which everything else on this node follows (P10).
//!
//! Finalised blocks stand here by height without a gap, each with the certificate that finalised
//! it (when it is known) and the receipts of its operations. One block is one transaction: when
//! [`BlockLog::append`] returns, the block is on the disk, synced, with all its receipts. When it
//! fails, all of it is there or nothing (a disk may fail to confirm what it has written), and the
//! same block can be appended again.
//!
//! The engine may deliver a block twice around a crash. Appending the same bytes again is
//! therefore no error; other bytes at the same height always are, since that would be a fork.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata as _, TableDefinition};

use super::is_full;
use super::tables::Tables;

const BLOCKS: TableDefinition<u64, &[u8]> = TableDefinition::new("blocks");
const CERTIFICATES: TableDefinition<u64, &[u8]> = TableDefinition::new("certificates");
/// Number of the term that follows to its first height and the answer that proves it.
const HAND_OVERS: TableDefinition<u64, (u64, &[u8])> = TableDefinition::new("hand-overs");
/// Height of a state that shows the next term to the proof of that, until the hand-over is kept.
const SHOWN: TableDefinition<u64, &[u8]> = TableDefinition::new("shown");
/// A key of the state and the sequence number of the record that it had, to the height of the last state
/// with that record and the proof of it.
const PAST: TableDefinition<(&[u8; 32], u64), (u64, &[u8])> = TableDefinition::new("past");
/// Operation hash to height, place in the block, whether accepted, receipt.
const RECEIPTS: TableDefinition<&[u8; 32], (u64, u32, bool, &[u8])> =
    TableDefinition::new("receipts");

/// A record that a later one has replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedPast {
    /// Its sequence number.
    pub seq: u64,
    /// The height of the last state that was committed with it.
    pub height: u64,
    /// The record with its proof in that state, as whoever kept it encoded both.
    pub proof: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockLogOptions {
    pub cache_mib: usize,
}

impl Default for BlockLogOptions {
    fn default() -> Self {
        Self { cache_mib: 32 }
    }
}

/// One operation of a block, in the block's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoggedOperation<'a> {
    pub hash: [u8; 32],
    pub accepted: bool,
    pub receipt: &'a [u8],
}

/// What became of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedReceipt {
    pub height: u64,
    /// The operation's place in its block, from 0.
    pub index: u32,
    pub accepted: bool,
    pub receipt: Vec<u8>,
}

/// Whether an append was the first of its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    Now,
    Before,
}

/// Why the log could not be read or extended. It never holds a part of a block.
#[derive(Debug, thiserror::Error)]
pub enum BlockLogError {
    #[error("no space left for the block log: free some, the same block can be appended then")]
    DiskFull,
    #[error("the block log is in use by another process: stop that one first")]
    InUse,
    /// Two different final blocks: the network has forked, or this log is of another network.
    #[error("another block stands at height {height} already")]
    Fork { height: u64 },
    #[error("the next block is that of height {expected}, not {got}")]
    Gap { expected: u64, got: u64 },
    #[error("there is no block at height {height}")]
    NoBlock { height: u64 },
    #[error("more operations in one block than can be numbered")]
    TooManyOperations,
    #[error("the block log failed")]
    File(#[source] redb::Error),
}

impl BlockLogError {
    /// The stable name of what failed, for errors that leave the process.
    pub fn code(&self) -> &'static str {
        match self {
            Self::DiskFull => "blocklog.disk_full",
            Self::InUse => "blocklog.in_use",
            Self::Fork { .. } => "blocklog.fork",
            Self::Gap { .. } => "blocklog.gap",
            Self::NoBlock { .. } => "blocklog.no_block",
            Self::TooManyOperations => "blocklog.too_many_operations",
            Self::File(_) => "blocklog.file",
        }
    }
}

impl From<redb::Error> for BlockLogError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(error) if is_full(&error) => Self::DiskFull,
            redb::Error::DatabaseAlreadyOpen => Self::InUse,
            other => Self::File(other),
        }
    }
}

/// The log in one file. All methods may be called from many threads.
pub struct BlockLog {
    tables: Tables,
    /// One writer at a time, from looking at the tip to the end of the transaction.
    writer: Mutex<()>,
}

impl BlockLog {
    /// Opens the log in `path`, or creates it empty.
    pub fn open(path: &Path, options: &BlockLogOptions) -> Result<Self, BlockLogError> {
        Self::with_tables(Tables::open(path, options.cache_mib.max(1) << 20)?)
    }

    pub(crate) fn with_tables(tables: Tables) -> Result<Self, BlockLogError> {
        // So that readers find the tables.
        tables.write(|transaction| {
            transaction.open_table(BLOCKS)?;
            transaction.open_table(CERTIFICATES)?;
            transaction.open_table(RECEIPTS)?;
            transaction.open_table(HAND_OVERS)?;
            transaction.open_table(SHOWN)?;
            transaction.open_table(PAST)?;
            Ok(())
        })?;
        Ok(Self {
            tables,
            writer: Mutex::new(()),
        })
    }

    /// Adds the block behind the tip, durably, with what became of its operations. The first
    /// block may have any height.
    ///
    /// The same operation may stand in several blocks, since anybody can send it again. Its
    /// receipt is the first that accepts it, or else the last that refuses it.
    pub fn append(
        &self,
        height: u64,
        block: &[u8],
        certificate: Option<&[u8]>,
        operations: &[LoggedOperation<'_>],
    ) -> Result<Appended, BlockLogError> {
        if u32::try_from(operations.len()).is_err() {
            return Err(BlockLogError::TooManyOperations);
        }
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tip) = self.tip()? {
            if height <= tip {
                return match self.block(height)? {
                    Some(known) if known == block => Ok(Appended::Before),
                    Some(_) => Err(BlockLogError::Fork { height }),
                    None => Err(BlockLogError::NoBlock { height }),
                };
            }
            if height != tip + 1 {
                return Err(BlockLogError::Gap {
                    expected: tip + 1,
                    got: height,
                });
            }
        }
        self.tables.write(|transaction| {
            transaction.open_table(BLOCKS)?.insert(height, block)?;
            if let Some(certificate) = certificate {
                transaction
                    .open_table(CERTIFICATES)?
                    .insert(height, certificate)?;
            }
            let mut receipts = transaction.open_table(RECEIPTS)?;
            let mut by_hash: Vec<_> = (0u32..).zip(operations).collect();
            // neighbours stand on the same page of the table
            by_hash.sort_by_key(|(_, operation)| operation.hash);
            for (index, operation) in by_hash {
                let record = (height, index, operation.accepted, operation.receipt);
                let before = receipts.insert(&operation.hash, record)?;
                let accepted = before.and_then(|before| {
                    let (height, index, accepted, receipt) = before.value();
                    accepted.then(|| (height, index, receipt.to_vec()))
                });
                if let Some((height, index, receipt)) = accepted {
                    let record = (height, index, true, receipt.as_slice());
                    receipts.insert(&operation.hash, record)?;
                }
            }
            Ok(())
        })?;
        Ok(Appended::Now)
    }

    /// Adds the certificate of a block that stands here already. The first one stays.
    pub fn put_certificate(&self, height: u64, certificate: &[u8]) -> Result<(), BlockLogError> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if self.block(height)?.is_none() {
            return Err(BlockLogError::NoBlock { height });
        }
        if self.certificate(height)?.is_some() {
            return Ok(());
        }
        self.tables.write(|transaction| {
            transaction
                .open_table(CERTIFICATES)?
                .insert(height, certificate)?;
            Ok(())
        })?;
        Ok(())
    }

    /// Keeps the proof that a term follows, from its first height on. A later one replaces it, and what
    /// was kept to make it of is no longer needed.
    pub fn put_hand_over(
        &self,
        term: u64,
        first: u64,
        hand_over: &[u8],
    ) -> Result<(), BlockLogError> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.tables.write(|transaction| {
            transaction
                .open_table(HAND_OVERS)?
                .insert(term, (first, hand_over))?;
            transaction.open_table(SHOWN)?.retain(|_, _| false)?;
            Ok(())
        })?;
        Ok(())
    }

    /// Keeps the proof that the state at a height shows the next term, and of the states before only
    /// the newest, `most` in all.
    pub fn put_shown(&self, height: u64, proof: &[u8], most: u64) -> Result<(), BlockLogError> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.tables.write(|transaction| {
            let mut shown = transaction.open_table(SHOWN)?;
            shown.insert(height, proof)?;
            while shown.len()? > most {
                shown.pop_first()?;
            }
            Ok(())
        })?;
        Ok(())
    }

    /// The proof that was kept of the state at a height.
    pub fn shown(&self, height: u64) -> Result<Option<Vec<u8>>, BlockLogError> {
        Ok(self.tables.read(|t| bytes_at(t, SHOWN, height))?)
    }

    /// The first height for which the proof of a term is kept.
    pub fn hand_over(&self, term: u64) -> Result<Option<u64>, BlockLogError> {
        Ok(self.tables.read(|transaction| {
            let kept = transaction.open_table(HAND_OVERS)?.get(term)?;
            Ok(kept.map(|kept| kept.value().0))
        })?)
    }

    /// The proofs of at most `limit` terms from `from` on, one after the other.
    pub fn hand_overs(&self, from: u64, limit: usize) -> Result<Vec<Vec<u8>>, BlockLogError> {
        Ok(self.tables.read(|transaction| {
            let table = transaction.open_table(HAND_OVERS)?;
            let mut kept = Vec::new();
            for entry in table.range(from..)?.take(limit) {
                let (_, value) = entry?;
                kept.push(value.value().1.to_vec());
            }
            Ok(kept)
        })?)
    }

    /// Keeps what was proved of records that are about to be replaced, by their keys.
    pub fn put_past(&self, all: &[([u8; 32], LoggedPast)]) -> Result<(), BlockLogError> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.tables.write(|transaction| {
            let mut table = transaction.open_table(PAST)?;
            for (key, past) in all {
                table.insert((key, past.seq), (past.height, past.proof.as_slice()))?;
            }
            Ok(())
        })?;
        Ok(())
    }

    /// What was kept of the records under a key, the first one first.
    pub fn past(&self, key: &[u8; 32]) -> Result<Vec<LoggedPast>, BlockLogError> {
        Ok(self.tables.read(|transaction| {
            let table = transaction.open_table(PAST)?;
            let mut all = Vec::new();
            for entry in table.range((key, 0)..=(key, u64::MAX))? {
                let (name, value) = entry?;
                let (height, proof) = value.value();
                all.push(LoggedPast {
                    seq: name.value().1,
                    height,
                    proof: proof.to_vec(),
                });
            }
            Ok(all)
        })?)
    }

    /// The height of the newest block.
    pub fn tip(&self) -> Result<Option<u64>, BlockLogError> {
        Ok(self.tables.read(|transaction| {
            let table = transaction.open_table(BLOCKS)?;
            Ok(table.last()?.map(|(height, _)| height.value()))
        })?)
    }

    pub fn block(&self, height: u64) -> Result<Option<Vec<u8>>, BlockLogError> {
        Ok(self.tables.read(|t| bytes_at(t, BLOCKS, height))?)
    }

    /// At most `limit` blocks from `from` on, for replaying.
    pub fn blocks_from(
        &self,
        from: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, BlockLogError> {
        Ok(self.tables.read(|transaction| {
            let table = transaction.open_table(BLOCKS)?;
            let mut blocks = Vec::new();
            for entry in table.range(from..)?.take(limit) {
                let (height, block) = entry?;
                blocks.push((height.value(), block.value().to_vec()));
            }
            Ok(blocks)
        })?)
    }

    pub fn certificate(&self, height: u64) -> Result<Option<Vec<u8>>, BlockLogError> {
        Ok(self.tables.read(|t| bytes_at(t, CERTIFICATES, height))?)
    }

    /// The newest height whose certificate is here, with it.
    pub fn newest_certificate(&self) -> Result<Option<(u64, Vec<u8>)>, BlockLogError> {
        Ok(self.tables.read(|transaction| {
            let table = transaction.open_table(CERTIFICATES)?;
            let newest = table.last()?;
            Ok(newest.map(|(height, bytes)| (height.value(), bytes.value().to_vec())))
        })?)
    }

    /// What became of an operation; `None` if no block here holds it.
    pub fn receipt(&self, operation: &[u8; 32]) -> Result<Option<LoggedReceipt>, BlockLogError> {
        Ok(self.tables.read(|transaction| {
            let record = transaction.open_table(RECEIPTS)?.get(operation)?;
            Ok(record.map(|record| {
                let (height, index, accepted, receipt) = record.value();
                LoggedReceipt {
                    height,
                    index,
                    accepted,
                    receipt: receipt.to_vec(),
                }
            }))
        })?)
    }

    /// Of each operation, whether a block here holds it accepted.
    pub fn accepted<'a>(
        &self,
        operations: impl Iterator<Item = &'a [u8; 32]>,
    ) -> Result<Vec<bool>, BlockLogError> {
        Ok(self.tables.read(|transaction| {
            let receipts = transaction.open_table(RECEIPTS)?;
            let accepted = |operation| {
                let record = receipts.get(operation)?;
                Ok(record.is_some_and(|record| record.value().2))
            };
            operations.map(accepted).collect()
        })?)
    }
}

fn bytes_at(
    transaction: &ReadTransaction,
    table: TableDefinition<u64, &[u8]>,
    height: u64,
) -> Result<Option<Vec<u8>>, redb::Error> {
    let bytes = transaction.open_table(table)?.get(height)?;
    Ok(bytes.map(|bytes| bytes.value().to_vec()))
}
