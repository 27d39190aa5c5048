//! The machine: final blocks in, state, receipts and sealed roots out (spec/headers.md).
//!
//! It keeps the block log (the truth) and the state store in step. Blocks of the open slot are
//! executed over the committed state in memory; when the first block of a later slot is final,
//! everything before it is committed to the store as one, and the root that comes out is what a
//! later header seals. After a crash [`Machine::open`] replays the blocks that the store lacks.

use crate::store::{BlockLog, BlockLogError, Change, LoggedOperation, StateStore, StoreError};
use minicbor::{Decode, Encode};
use realdid_core::answer::{HandOver, MAX_ANSWER_BYTES, MAX_HAND_OVERS, MAX_HEADERS_BACK};
use realdid_core::codec::{self, Bytes, CodecError};
use realdid_core::genesis::{Genesis, Parameters};
use realdid_core::governance::{
    Committee, NEWEST_RULES, NOTICE_BLOCKS, RunningParameters, SHOWN_BLOCKS,
};
use realdid_core::hash::Hash32;
use realdid_core::header::{
    Block, Checkpoint, Header, MAX_BLOCK_BYTES, Receipt, Sealed, receipts_root,
};
use realdid_core::operation::SignedOperation;
use realdid_core::rule::Rule;
use realdid_core::state::{committee_key, decode_record, parameters_key};
use realdid_core::trie::{Key, Proof};
use realdid_ledger::governance::begin_block;
use realdid_ledger::state::{Read, Records};
use realdid_ledger::{Known, Moment, Network, apply_block_knowing, apply_verified};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// How many closed slots are remembered, to hold other validators' headers against.
const REMEMBERED_SLOTS: usize = 256;
/// The longest entry of the block log in bytes.
pub(crate) const MAX_ENTRY_BYTES: usize = MAX_BLOCK_BYTES + 64;
/// How many blocks are read at a time when replaying.
const REPLAY_BATCH: usize = 256;

/// Why the machine cannot go on. Nothing acknowledged is lost; the block is tried again.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    #[error("the state: {0}")]
    Store(#[from] StoreError),
    #[error("the block log: {0}")]
    Log(#[from] BlockLogError),
    #[error("a block of the log is not readable: {0}")]
    Codec(#[from] CodecError),
    #[error("the state of the network that this one goes on from is not here")]
    NotCarried,
    #[error("the block log and the state belong to another genesis, or to each other's future")]
    Foreign,
    /// The network has gone on to rules that this program does not know.
    #[error(
        "from block {height} on the network runs rules {rules}, and this program knows none beyond {newest}", newest = NEWEST_RULES)]
    Rules { height: u64, rules: u8 },
}

impl MachineError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Store(error) => error.code(),
            Self::Log(error) => error.code(),
            Self::Codec(error) => error.code(),
            Self::NotCarried => "node.not_carried",
            Self::Foreign => "node.foreign_data",
            Self::Rules { .. } => "node.rules",
        }
    }
}

/// What changed, for those who wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The newest final header.
    pub tip: Header,
    /// The newest closed slot's state.
    pub closed: Sealed,
    /// The newest certified header that seals `closed`, once there is one.
    pub checkpoint: Option<Arc<Checkpoint>>,
    /// What the network runs under after the newest final block.
    pub parameters: Arc<RunningParameters>,
    /// Who orders blocks, and who will, as of the same block.
    pub committee: Arc<Committee>,
}

/// Executes final blocks and remembers what came of them. Shared by everything in the node.
pub struct Machine {
    genesis: Genesis,
    store: Arc<dyn StateStore>,
    log: BlockLog,
    open: Mutex<OpenSlot>,
    progress: watch::Sender<Progress>,
}

/// What is not committed yet.
struct OpenSlot {
    tip: Header,
    changes: BTreeMap<Key, Option<Vec<u8>>>,
    receipts_root: Hash32,
    parameters: Arc<RunningParameters>,
    committee: Arc<Committee>,
    /// Closed slots by the height of their last block.
    closed: BTreeMap<u64, Sealed>,
}

/// One entry of the block log.
#[derive(Encode, Decode)]
#[cbor(array)]
pub(crate) struct LogEntry {
    #[n(0)]
    pub(crate) block: Bytes,
    /// The running commitment to all receipts, this block's included.
    #[n(1)]
    receipts_root: Hash32,
}

/// The record of the committee in a state that shows the next term.
#[derive(Encode, Decode)]
#[cbor(array)]
struct Shown {
    #[n(0)]
    committee: Bytes,
    #[n(1)]
    proof: Proof,
}

/// The committed state with the open slot on top, as the rules read it.
struct Below<'a> {
    store: &'a dyn StateStore,
    changes: &'a BTreeMap<Key, Option<Vec<u8>>>,
}

impl Read for Below<'_> {
    type Error = StoreError;

    fn read(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        match self.changes.get(key) {
            Some(changed) => Ok(changed.clone()),
            None => self.store.get(key),
        }
    }
}

impl Machine {
    /// Opens over a log and a store, which may be empty, and replays what the store lacks.
    pub fn open(
        genesis: Genesis,
        store: Arc<dyn StateStore>,
        log: BlockLog,
    ) -> Result<Self, MachineError> {
        let first = genesis.header();
        if store.committed_height().is_none() {
            if genesis.predecessor.is_some() {
                return Err(MachineError::NotCarried);
            }
            store.commit(0, &realdid_ledger::genesis_changes(&genesis))?;
        }
        if store
            .root_at(0)?
            .is_some_and(|root| root != first.sealed.state_root.0)
        {
            return Err(MachineError::Foreign);
        }
        let committed = store.committed_height().unwrap_or(0);
        let (tip, receipts_root) = match committed {
            0 => (first.clone(), first.sealed.receipts_root),
            _ => {
                let bytes = log.block(committed)?.ok_or(MachineError::Foreign)?;
                let entry: LogEntry = codec::decode(&bytes, MAX_ENTRY_BYTES)?;
                (Block::decode(&entry.block.0)?.header, entry.receipts_root)
            }
        };
        if tip.network != genesis.network {
            return Err(MachineError::Foreign);
        }
        let key = parameters_key(genesis.hash_function());
        let parameters = store.get(&key)?.ok_or(MachineError::Foreign)?;
        let parameters: Arc<RunningParameters> = Arc::new(decode_record(&parameters)?);
        let committee = match store.get(&committee_key(genesis.hash_function()))? {
            // What was carried here is another network's until block 1 (G11).
            Some(bytes) if committed > 0 || genesis.predecessor.is_none() => decode_record(&bytes)?,
            _ => Committee::of(genesis.term()),
        };
        let committee = Arc::new(committee);
        let (progress, _) = watch::channel(Progress {
            tip: tip.clone(),
            closed: tip.sealed,
            checkpoint: None,
            parameters: parameters.clone(),
            committee: committee.clone(),
        });
        let machine = Self {
            genesis,
            store,
            log,
            open: Mutex::new(OpenSlot {
                closed: BTreeMap::from([(tip.sealed.height, tip.sealed)]),
                tip,
                changes: BTreeMap::new(),
                receipts_root,
                parameters,
                committee,
            }),
            progress,
        };
        machine.replay(committed)?;
        Ok(machine)
    }

    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    pub fn store(&self) -> &dyn StateStore {
        self.store.as_ref()
    }

    /// Follows what becomes final.
    pub fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// The newest final header.
    pub fn tip(&self) -> Header {
        self.progress.borrow().tip.clone()
    }

    /// The parameters of a block at `height`, as far as decisions in final blocks say.
    pub fn parameters_at(&self, height: u64) -> Parameters {
        self.progress.borrow().parameters.at(height).clone()
    }

    /// The newest final height, and who orders the blocks after it, as far as it says.
    pub fn committee(&self) -> (u64, Arc<Committee>) {
        let progress = self.progress.borrow();
        (progress.tip.height, progress.committee.clone())
    }

    /// The newest closed slot, or the one that was closed at exactly this height.
    pub fn closed(&self) -> Sealed {
        self.progress.borrow().closed
    }

    /// What this node found sealed at a height, if it is remembered.
    pub fn closed_at(&self, height: u64) -> Option<Sealed> {
        self.lock().closed.get(&height).copied()
    }

    /// The final block at a height.
    pub fn block(&self, height: u64) -> Result<Option<Block>, MachineError> {
        let Some(bytes) = self.log.block(height)? else {
            return Ok(None);
        };
        let entry: LogEntry = codec::decode(&bytes, MAX_ENTRY_BYTES)?;
        Ok(Some(Block::decode(&entry.block.0)?))
    }

    /// Since when the running term and its network key stand, in Unix milliseconds: the times of the
    /// first blocks under them. Of the key as far as hand-overs are kept here.
    pub fn in_office_since_ms(&self) -> Result<(u64, u64), MachineError> {
        let (tip, committee) = self.committee();
        let running = committee.at(tip + 1);
        let (mut first, mut key, mut term) = (0, self.genesis.network_key, 0);
        while term < running.number {
            let kept = self.hand_overs(term)?;
            let before = term;
            for hand_over in kept {
                let record: Committee = decode_record(&hand_over.committee.0)?;
                let next = record.next.map(|next| next.term);
                if let Some(next) = next.filter(|next| next.number <= running.number) {
                    if next.network_key != key {
                        (first, key) = (next.first, next.network_key);
                    }
                    term = next.number;
                }
            }
            if term == before {
                break;
            }
        }
        Ok((self.time_of(running.first)?, self.time_of(first)?))
    }

    /// The time of a final block; that of the newest for one that is to come.
    fn time_of(&self, height: u64) -> Result<u64, MachineError> {
        let block = self.block(height)?.map(|block| block.header.time_ms);
        Ok(block.unwrap_or_else(|| match height {
            0 => self.genesis.time_ms,
            _ => self.tip().time_ms,
        }))
    }

    /// What became of an operation: the height and the rule that it broke, if any.
    pub fn receipt(&self, id: &Hash32) -> Result<Option<(u64, Option<Rule>)>, MachineError> {
        let Some(logged) = self.log.receipt(&id.0)? else {
            return Ok(None);
        };
        let receipt: Receipt = codec::decode(&logged.receipt, 64)?;
        Ok(Some((logged.height, receipt.refused)))
    }

    /// Whether each of these operations was accepted.
    pub fn accepted(&self, ids: &[Hash32]) -> Result<Vec<bool>, MachineError> {
        Ok(self.log.accepted(ids.iter().map(|id| &id.0))?)
    }

    /// Whether operations whose signatures were verified would be accepted on top of what is final
    /// now, each by itself.
    pub fn try_verified(
        &self,
        operations: &[&SignedOperation],
        time_ms: u64,
    ) -> Result<Vec<Result<(), Rule>>, MachineError> {
        let open = self.lock();
        let now = Moment {
            height: open.tip.height + 1,
            time_ms: time_ms.max(open.tip.time_ms),
        };
        let network = self.network().under(open.parameters.at(now.height));
        let mut records = Records::new(self.below(&open));
        let mut each = |signed: &&SignedOperation| {
            let outcome = apply_verified(network, now, signed, &mut records)?;
            records.take_back();
            Ok(outcome)
        };
        operations.iter().map(&mut each).collect()
    }

    /// Takes the next final block: executes it and makes it durable. A block that is known is
    /// accepted silently. After an error nothing has changed and the same block may come again.
    pub fn finalise(
        &self,
        height: u64,
        bytes: &[u8],
        certificate: Option<&[u8]>,
    ) -> Result<Option<Block>, MachineError> {
        self.finalise_knowing(height, bytes, certificate, &|_| None)
    }

    /// The same where `verified` gives what was read from an operation's bytes, as they stand, if its
    /// signatures were verified before.
    pub fn finalise_knowing(
        &self,
        height: u64,
        bytes: &[u8],
        certificate: Option<&[u8]>,
        verified: &dyn Fn(&Bytes) -> Option<Arc<Known>>,
    ) -> Result<Option<Block>, MachineError> {
        let mut open = self.lock();
        if height <= open.tip.height {
            if let Some(certificate) = certificate {
                self.log.put_certificate(height, certificate)?;
            }
            return Ok(None);
        }
        let block = Block::decode(bytes)?;
        self.execute(&mut open, &block, verified, Some((bytes, certificate)))?;
        self.publish(&open, certificate);
        if let Some(certificate) = certificate {
            self.keep_hand_over(&open, certificate);
        }
        Ok(Some(block))
    }

    /// Executes a final block on top of the open slot, closing the slot first where the block
    /// begins another. Logs it, unless it comes from the log.
    fn execute(
        &self,
        open: &mut OpenSlot,
        block: &Block,
        verified: &dyn Fn(&Bytes) -> Option<Arc<Known>>,
        log: Option<(&[u8], Option<&[u8]>)>,
    ) -> Result<(), MachineError> {
        let (height, rules) = (
            block.header.height,
            open.parameters.at(block.header.height).rules,
        );
        if rules > NEWEST_RULES {
            return Err(MachineError::Rules { height, rules });
        }
        let slot_s = self.genesis.parameters.slot_s;
        if block.header.slot(slot_s) > open.tip.slot(slot_s) {
            self.close_slot(open, block.header.slot(slot_s) - 1)?;
        }
        let now = Moment {
            height: block.header.height,
            time_ms: block.header.time_ms,
        };
        let mut records = Records::new(self.below(open));
        let (height, sealed) = (block.header.height, block.header.sealed.height);
        begin_block(&self.genesis, height, sealed, &mut records)?;
        let (network, operations) = (self.network(), &block.operations);
        let receipts = apply_block_knowing(network, now, operations, verified, &mut records)?;
        let changes = records.into_changes();
        let by = self.genesis.hash_function();
        let decided = changes.get(&parameters_key(by)).and_then(Option::as_ref);
        let decided = decided.map(|bytes| decode_record(bytes)).transpose()?;
        let terms = changes.get(&committee_key(by)).and_then(Option::as_ref);
        let terms = terms.map(|bytes| decode_record(bytes)).transpose()?;
        let root = receipts_root(by, &open.receipts_root, &receipts);
        if let Some((bytes, certificate)) = log {
            self.append(block.header.height, bytes, certificate, root, &receipts)?;
        }
        open.changes.extend(changes);
        open.receipts_root = root;
        if let Some(decided) = decided {
            open.parameters = Arc::new(decided);
        }
        if let Some(terms) = terms {
            open.committee = Arc::new(terms);
        }
        open.tip = block.header.clone();
        Ok(())
    }

    /// Commits all that lies before a block of a later slot.
    fn close_slot(&self, open: &mut OpenSlot, slot: u64) -> Result<(), MachineError> {
        let height = open.tip.height;
        let known = self.store.committed_height() == Some(height);
        let root = if known {
            self.store.root()
        } else {
            let changes: Vec<Change> = open
                .changes
                .iter()
                .map(|(key, value)| (*key, value.clone()))
                .collect();
            self.store.commit(height, &changes)?
        };
        open.changes.clear();
        self.keep_shown(&open.committee, height);
        open.closed.insert(
            height,
            Sealed {
                slot,
                height,
                state_root: Hash32(root),
                receipts_root: open.receipts_root,
            },
        );
        while open.closed.len() > REMEMBERED_SLOTS {
            open.closed.pop_first();
        }
        Ok(())
    }

    fn append(
        &self,
        height: u64,
        block: &[u8],
        certificate: Option<&[u8]>,
        receipts_root: Hash32,
        receipts: &[Receipt],
    ) -> Result<(), MachineError> {
        let entry = codec::encode(&LogEntry {
            block: Bytes(block.to_vec()),
            receipts_root,
        });
        let encoded: Vec<Vec<u8>> = receipts.iter().map(codec::encode).collect();
        let operations: Vec<LoggedOperation<'_>> = receipts
            .iter()
            .zip(&encoded)
            .map(|(receipt, bytes)| LoggedOperation {
                hash: receipt.operation.0,
                accepted: receipt.refused.is_none(),
                receipt: bytes,
            })
            .collect();
        self.log.append(height, &entry, certificate, &operations)?;
        Ok(())
    }

    fn replay(&self, committed: u64) -> Result<(), MachineError> {
        let mut open = self.lock();
        self.keep_shown(&open.committee, committed);
        let mut next = committed + 1;
        loop {
            let batch = self.log.blocks_from(next, REPLAY_BATCH)?;
            if batch.is_empty() {
                break;
            }
            for (height, bytes) in batch {
                let entry: LogEntry = codec::decode(&bytes, MAX_ENTRY_BYTES)?;
                let block = Block::decode(&entry.block.0)?;
                self.execute(&mut open, &block, &|_| None, None)?;
                if open.receipts_root != entry.receipts_root {
                    return Err(MachineError::Foreign);
                }
                if open.committee.next.is_some()
                    && let Some(certificate) = self.log.certificate(height)?
                {
                    self.keep_hand_over(&open, &certificate);
                }
                next = height + 1;
            }
        }
        let certificate = self.log.certificate(open.tip.height)?;
        self.publish(&open, certificate.as_deref());
        Ok(())
    }

    /// Tells those who wait. A checkpoint is the first certified header that seals the newest
    /// closed slot: the same for everybody, until the next slot closes.
    fn publish(&self, open: &OpenSlot, certificate: Option<&[u8]>) {
        let newest = open.closed.last_key_value().map(|(_, sealed)| *sealed);
        self.progress.send_modify(|progress| {
            progress.tip = open.tip.clone();
            progress.parameters = open.parameters.clone();
            progress.committee = open.committee.clone();
            if let Some(closed) = newest.filter(|closed| *closed != progress.closed) {
                progress.closed = closed;
                progress.checkpoint = None;
            }
            let seals = open.tip.sealed == progress.closed;
            if let (None, true, Some(certificate)) = (&progress.checkpoint, seals, certificate) {
                progress.checkpoint = Some(Arc::new(Checkpoint {
                    header: Bytes(codec::encode(&open.tip)),
                    certificate: Bytes(certificate.to_vec()),
                }));
            }
        });
    }

    /// Keeps the proof that the state at `height`, which is committed now, shows the term that follows
    /// the running one: a header that seals this state may come without a certificate of its own, and
    /// the store proves its newest state only.
    fn keep_shown(&self, committee: &Committee, height: u64) {
        if let Err(error) = self.try_to_keep_shown(committee, height) {
            tracing::error!(code = error.code(), %error, "the next term is not proved yet");
        }
    }

    fn try_to_keep_shown(&self, committee: &Committee, height: u64) -> Result<(), MachineError> {
        let Some(next) = &committee.next else {
            return Ok(());
        };
        // Whatever seals it comes after it, and as long before the term as L11 says.
        let useful = settled(height + 1, next.term.first) && height >= next.since;
        if !useful || self.log.hand_over(next.term.number)? == Some(next.term.first) {
            return Ok(());
        }
        let key = committee_key(self.genesis.hash_function());
        let proved = self.store.prove(&key)?;
        if let Some(value) = proved.value.filter(|_| proved.height == height) {
            let shown = Shown {
                committee: Bytes(value),
                proof: proved.proof,
            };
            let most = REMEMBERED_SLOTS as u64;
            self.log.put_shown(height, &codec::encode(&shown), most)?;
        }
        Ok(())
    }

    /// Keeps the proof that a term follows the running one, once the tip is certified and it, or a
    /// header not far behind it, shows the term before it can be put off (G14): whoever follows the
    /// network needs it when the old committee is gone. Where this fails the next certified header is
    /// as good; nothing of the block depends on it.
    fn keep_hand_over(&self, open: &OpenSlot, certificate: &[u8]) {
        if let Err(error) = self.try_to_keep_hand_over(open, certificate) {
            tracing::error!(code = error.code(), %error, "the proof of the next term is not kept yet");
        }
    }

    fn try_to_keep_hand_over(
        &self,
        open: &OpenSlot,
        certificate: &[u8],
    ) -> Result<(), MachineError> {
        let Some(next) = &open.committee.next else {
            return Ok(());
        };
        let (tip, term) = (&open.tip, &next.term);
        if tip.height >= term.first || self.log.hand_over(term.number)? == Some(term.first) {
            return Ok(());
        }
        let (mut shows, mut back) = (tip.clone(), Vec::new());
        let shown = loop {
            // Those behind it seal no later state.
            if shows.sealed.height < next.since || back.len() > MAX_HEADERS_BACK {
                return Ok(());
            }
            if settled(shows.height, term.first)
                && let Some(shown) = self.log.shown(shows.sealed.height)?
            {
                break codec::decode::<Shown>(&shown, MAX_ANSWER_BYTES)?;
            }
            let parent = shows.height.checked_sub(1).map(|at| self.log.block(at));
            let Some(parent) = parent.transpose()?.flatten() else {
                return Ok(());
            };
            let entry: LogEntry = codec::decode(&parent, MAX_ENTRY_BYTES)?;
            shows = Block::header_again(&entry.block.0)?;
            back.push(Bytes(codec::encode(&shows)));
        };
        let hand_over = HandOver {
            checkpoint: Checkpoint {
                header: Bytes(codec::encode(tip)),
                certificate: Bytes(certificate.to_vec()),
            },
            back,
            committee: shown.committee,
            proof: shown.proof,
        };
        self.log
            .put_hand_over(term.number, term.first, &hand_over.encode())?;
        Ok(())
    }

    /// The hand-overs to the terms after `term`, as far as their proofs are kept.
    pub fn hand_overs(&self, term: u64) -> Result<Vec<HandOver>, MachineError> {
        let kept = self
            .log
            .hand_overs(term.saturating_add(1), MAX_HAND_OVERS)?;
        let read = |bytes: &Vec<u8>| HandOver::decode(bytes);
        Ok(kept.iter().map(read).collect::<Result<_, CodecError>>()?)
    }

    fn network(&self) -> Network<'_> {
        Network {
            name: &self.genesis.network,
            parameters: &self.genesis.parameters,
        }
    }

    fn below<'a>(&'a self, open: &'a OpenSlot) -> Below<'a> {
        Below {
            store: self.store.as_ref(),
            changes: &open.changes,
        }
    }

    fn lock(&self) -> MutexGuard<'_, OpenSlot> {
        // Changes to the open slot are made after everything that can fail.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// L11: whether a header of this height is early enough to show a term: until then it may be put off.
fn settled(height: u64, first: u64) -> bool {
    height.saturating_add(NOTICE_BLOCKS + SHOWN_BLOCKS) <= first
}
