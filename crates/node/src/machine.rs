//! The machine: final blocks in, state, receipts and sealed roots out (spec/headers.md).
//!
//! It keeps the block log (the truth) and the state store in step. Blocks of the open slot are
//! executed over the committed state in memory; the first block of a later slot ends it. That block
//! is executed, durable and told before [`Machine::close`] commits everything before it to the store
//! as one: nobody who waits for it waits for the commit too. The root that comes out is what a later
//! header seals. After a crash [`Machine::open`] replays the blocks that the store lacks.

use crate::store::{
    BlockLog, BlockLogError, Change, LoggedOperation, LoggedPast, StateStore, StoreError,
};
use minicbor::{Decode, Encode};
use realdid_core::answer::{
    HandOver, MAX_ANSWER_BYTES, MAX_HAND_OVERS, MAX_HEADERS_BACK, MAX_PAST, PastAnswer,
};
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
use realdid_core::state::{DidRecord, Family, committee_key, decode_record, parameters_key};
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

/// Why the machine cannot go on. Nothing acknowledged is lost; what failed is tried again.
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
    /// Closed slots by the height of their last block. Beside the open slot, whose lock is held while
    /// a slot is committed: who judges a proposal must not wait for that.
    closed: Mutex<BTreeMap<u64, Sealed>>,
    progress: watch::Sender<Progress>,
}

/// What is not committed yet.
struct OpenSlot {
    tip: Header,
    changes: BTreeMap<Key, Option<Vec<u8>>>,
    receipts_root: Hash32,
    parameters: Arc<RunningParameters>,
    committee: Arc<Committee>,
    /// The slot before, until it is committed.
    ended: Option<EndedSlot>,
}

/// A slot whose last block is final, and what it changed.
struct EndedSlot {
    slot: u64,
    height: u64,
    receipts_root: Hash32,
    committee: Arc<Committee>,
    changes: BTreeMap<Key, Option<Vec<u8>>>,
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

/// A record with its proof in a state that the store no longer has: of the committee where that shows the
/// next term, or of a DID before it changed.
#[derive(Encode, Decode)]
#[cbor(array)]
struct Shown {
    #[n(0)]
    record: Bytes,
    #[n(1)]
    proof: Proof,
}

/// The committed state with what is not committed on top, as the rules read it.
struct Below<'a> {
    store: &'a dyn StateStore,
    open: &'a OpenSlot,
}

impl Read for Below<'_> {
    type Error = StoreError;

    fn read(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        let ended = self.open.ended.as_ref();
        let ended = ended.and_then(|slot| slot.changes.get(key));
        match self.open.changes.get(key).or(ended) {
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
            closed: Mutex::new(BTreeMap::from([(tip.sealed.height, tip.sealed)])),
            open: Mutex::new(OpenSlot {
                tip,
                changes: BTreeMap::new(),
                receipts_root,
                parameters,
                committee,
                ended: None,
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
        self.closed_slots().get(&height).copied()
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
        Ok(Some((logged.height, codec::decode(&logged.receipt, 64)?)))
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

    /// Takes the next final block: executes it, makes it durable, and closes the slot that it ends. A
    /// block that is known is accepted silently, and may come again after any error.
    pub fn finalise(
        &self,
        height: u64,
        bytes: &[u8],
        certificate: Option<&[u8]>,
    ) -> Result<Option<Block>, MachineError> {
        let block = self.finalise_knowing(height, bytes, certificate, &|_| None)?;
        self.close()?;
        Ok(block)
    }

    /// The same without closing a slot, so that whoever waits for the block does not wait for that too:
    /// [`Machine::close`] follows. After an error nothing has changed. `verified` gives what was read from
    /// an operation's bytes, as they stand, if its signatures were verified before.
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

    /// Commits the slot that has ended, if it is not committed yet. The next block waits for this, and
    /// tries it again where it failed.
    pub fn close(&self) -> Result<(), MachineError> {
        let mut open = self.lock();
        if self.close_ended(&mut open)? {
            self.publish(&open, None);
        }
        Ok(())
    }

    /// Executes a final block on top of the open slot, which ends where the block is of a later one.
    /// Logs it, unless it comes from the log.
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
        self.close_ended(open)?;
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
        let slot_s = self.genesis.parameters.slot_s;
        let slot = block.header.slot(slot_s);
        if slot > open.tip.slot(slot_s) {
            open.ended = Some(EndedSlot {
                slot: slot - 1,
                height: open.tip.height,
                receipts_root: open.receipts_root,
                committee: open.committee.clone(),
                changes: std::mem::take(&mut open.changes),
            });
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

    /// Commits all that lies before the open slot. Answers whether there was something.
    fn close_ended(&self, open: &mut OpenSlot) -> Result<bool, MachineError> {
        let Some(ended) = &open.ended else {
            return Ok(false);
        };
        let height = ended.height;
        let known = self.store.committed_height() == Some(height);
        let root = if known {
            self.store.root()
        } else {
            self.keep_past(&ended.changes);
            let changes = ended.changes.iter();
            let changes: Vec<Change> = changes.map(|(key, value)| (*key, value.clone())).collect();
            self.store.commit(height, &changes)?
        };
        self.keep_shown(&ended.committee, height);
        let sealed = Sealed {
            slot: ended.slot,
            height,
            state_root: Hash32(root),
            receipts_root: ended.receipts_root,
        };
        open.ended = None;
        let mut closed = self.closed_slots();
        closed.insert(height, sealed);
        while closed.len() > REMEMBERED_SLOTS {
            closed.pop_first();
        }
        Ok(true)
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
        let refused = receipts
            .iter()
            .map(|receipt| codec::encode(&receipt.refused));
        let refused: Vec<Vec<u8>> = refused.collect();
        let operations: Vec<LoggedOperation<'_>> = receipts
            .iter()
            .zip(&refused)
            .map(|(receipt, refused)| LoggedOperation {
                hash: receipt.operation.0,
                accepted: receipt.refused.is_none(),
                receipt: refused,
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
        self.close_ended(&mut open)?;
        let certificate = self.log.certificate(open.tip.height)?;
        self.publish(&open, certificate.as_deref());
        Ok(())
    }

    /// Tells those who wait. A checkpoint is the first certified header that seals the newest
    /// closed slot: the same for everybody, until the next slot closes.
    fn publish(&self, open: &OpenSlot, certificate: Option<&[u8]>) {
        let newest = self
            .closed_slots()
            .last_key_value()
            .map(|(_, sealed)| *sealed);
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

    /// Keeps the proofs of what DIDs are until now, before a commit changes them: the store proves its
    /// newest state only, and somebody may ask for an earlier version (D18).
    fn keep_past(&self, changes: &BTreeMap<Key, Option<Vec<u8>>>) {
        if let Err(error) = self.try_to_keep_past(changes) {
            tracing::error!(code = error.code(), %error, "versions of DIDs are without a proof");
        }
    }

    fn try_to_keep_past(
        &self,
        changes: &BTreeMap<Key, Option<Vec<u8>>>,
    ) -> Result<(), MachineError> {
        let mut from: Key = [0; 32];
        from[0] = Family::Dids as u8;
        let mut all = Vec::new();
        for (key, value) in changes.range(from..) {
            if key[0] != Family::Dids as u8 {
                break;
            }
            let Some(value) = value else { continue };
            // An anchor has nothing before it.
            if decode_record::<DidRecord>(value)?.seq == 0 {
                continue;
            }
            let proved = self.store.prove(key)?;
            if let Some(value) = proved.value {
                let seq = decode_record::<DidRecord>(&value)?.seq;
                let shown = Shown {
                    record: Bytes(value),
                    proof: proved.proof,
                };
                let past = LoggedPast {
                    seq,
                    height: proved.height,
                    proof: codec::encode(&shown),
                };
                all.push((*key, past));
            }
        }
        if !all.is_empty() {
            self.log.put_past(&all)?;
        }
        Ok(())
    }

    /// What is kept of a DID's versions: the last one that `is_before` what is asked for, and the one that
    /// followed it, as far as a header that seals their state is certified. The newest is not among them.
    pub fn past(
        &self,
        key: &Key,
        is_before: impl Fn(&DidRecord) -> bool,
    ) -> Result<Vec<PastAnswer>, MachineError> {
        let mut last = None;
        let mut found = Vec::new();
        for past in self.log.past(key)? {
            let shown: Shown = codec::decode(&past.proof, MAX_ANSWER_BYTES)?;
            let record: DidRecord = decode_record(&shown.record.0)?;
            if is_before(&record) {
                last = Some((past.height, shown));
            } else {
                found.extend(last.take());
                found.push((past.height, shown));
                break;
            }
        }
        found.extend(last);
        let answers = found.into_iter().take(MAX_PAST);
        let answers = answers.map(|(height, shown)| self.past_answer(height, shown));
        let answers: Vec<Option<PastAnswer>> = answers.collect::<Result<_, _>>()?;
        Ok(answers.into_iter().flatten().collect())
    }

    /// A kept proof with the header that seals its state, and what certifies that.
    fn past_answer(&self, height: u64, shown: Shown) -> Result<Option<PastAnswer>, MachineError> {
        let Some((checkpoint, back)) = self.sealing(height)? else {
            return Ok(None);
        };
        Ok(Some(PastAnswer {
            checkpoint,
            back,
            value: shown.record,
            proof: shown.proof,
        }))
    }

    /// The first certified header from the one on that seals the state at `height`, and those between;
    /// none where no header seals it, or none near is certified.
    fn sealing(&self, height: u64) -> Result<Option<(Checkpoint, Vec<Bytes>)>, MachineError> {
        let tip = self.tip().height;
        // Headers never seal less than those before them (H8).
        let (mut low, mut high) = (height, tip + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            match self
                .header(middle)?
                .is_some_and(|h| h.sealed.height < height)
            {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        let mut back = Vec::new();
        for at in (low..=tip).take(MAX_HEADERS_BACK + 1) {
            let Some(header) = self.header(at)? else {
                return Ok(None);
            };
            if back.is_empty() && header.sealed.height != height {
                return Ok(None);
            }
            let encoded = Bytes(codec::encode(&header));
            if let Some(certificate) = self.log.certificate(at)? {
                back.reverse();
                let checkpoint = Checkpoint {
                    header: encoded,
                    certificate: Bytes(certificate),
                };
                return Ok(Some((checkpoint, back)));
            }
            back.push(encoded);
        }
        Ok(None)
    }

    /// The final header at a height; that of the genesis at 0.
    fn header(&self, height: u64) -> Result<Option<Header>, MachineError> {
        if height == 0 {
            return Ok(Some(self.genesis.header()));
        }
        let Some(bytes) = self.log.block(height)? else {
            return Ok(None);
        };
        let entry: LogEntry = codec::decode(&bytes, MAX_ENTRY_BYTES)?;
        Ok(Some(Block::header_again(&entry.block.0)?))
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
                record: Bytes(value),
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
            committee: shown.record,
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
            open,
        }
    }

    fn closed_slots(&self) -> MutexGuard<'_, BTreeMap<u64, Sealed>> {
        // A poisoned map is still a sound one.
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
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
