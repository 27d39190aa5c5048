//! What this validator puts before the others, and what it accepts from them
//! (spec/headers.md, rules H4 to H9).
//!
//! A block is made when operations wait and the block interval is over, when a slot has begun,
//! when a closed slot can be sealed, and otherwise once a second as a heartbeat.

use crate::engine::{BlockInfo, Chain, KnownTerms};
use crate::gossip;
use crate::host::{Host, ThisMachine};
use crate::machine::{Machine, MachineError};
use crate::mempool::Mempool;
use realdid_core::codec::Bytes;
use realdid_core::genesis::Parameters;
use realdid_core::governance::{NEWEST_RULES, NOTICE_BLOCKS};
use realdid_core::header::{Block, Header, Sealed, operations_root, slot_at};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// The longest wait of a proposer: idle networks make heartbeats.
pub const HEARTBEAT: Duration = Duration::from_secs(1);
/// How far ahead of this clock a block's time may lie before it is waited for.
const MAX_AHEAD_MS: u64 = 500;
/// How much further ahead it may lie before it is refused: nobody waits for ever.
const MAX_WAIT_MS: u64 = 2_000;
/// The most bytes of operations in a block.
const MAX_OPERATIONS_BYTES: usize = 3 * 1024 * 1024;
/// How often a failing disk is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The ledger under the engine.
#[derive(Clone)]
pub struct Producer<H = ThisMachine> {
    host: H,
    machine: Arc<Machine>,
    mempool: Arc<Mempool>,
    /// Wakes those who wait for a block to become final here, in the order in which they came: a
    /// simulated run must not depend on anything but its seed.
    progressed: Arc<Notify>,
    /// The code of what keeps this node from going on, for its readiness.
    trouble: Arc<Mutex<Option<&'static str>>>,
}

impl Producer {
    pub fn new(machine: Arc<Machine>, mempool: Arc<Mempool>) -> Self {
        Self::on(ThisMachine, machine, mempool)
    }
}

impl<H: Host> Producer<H> {
    /// A producer that lives by the clock of `host`.
    pub fn on(host: H, machine: Arc<Machine>, mempool: Arc<Mempool>) -> Self {
        Self {
            host,
            machine,
            mempool,
            progressed: Arc::default(),
            trouble: Arc::default(),
        }
    }

    /// What keeps the node from making blocks durable, if anything does.
    pub fn trouble(&self) -> Option<&'static str> {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, trouble: Option<&'static str>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// The seal that a child of `parent` carries: the newest slot that is closed here, or the
    /// parent's own if that is newer.
    fn seal(&self, parent: &Header) -> Sealed {
        let closed = self.machine.closed();
        if closed.height > parent.sealed.height && closed.height < parent.height + 1 {
            closed
        } else {
            parent.sealed
        }
    }

    /// What a child of `parent` runs under.
    fn parameters(&self, parent: &Header) -> Parameters {
        self.machine.parameters_at(parent.height + 1)
    }

    /// Whether a child of `parent` is worth making now.
    fn due(&self, parent: &Header, now_ms: u64) -> bool {
        let parameters = self.parameters(parent);
        let slot_begins = slot_at(now_ms, parameters.slot_s) > parent.slot(parameters.slot_s);
        let seals = self.seal(parent) != parent.sealed;
        let interval_over = now_ms >= parent.time_ms + parameters.block_interval_ms;
        slot_begins || seals || (interval_over && self.mempool.has_work(parent.height + 1))
    }

    fn build(&self, parent: &Header, now_ms: u64) -> Vec<u8> {
        let parameters = self.parameters(parent);
        let count = usize::try_from(parameters.block_operations).unwrap_or(usize::MAX);
        let height = parent.height + 1;
        let operations = self.mempool.take(height, count, MAX_OPERATIONS_BYTES);
        let header = Header {
            version: parameters.rules,
            network: parent.network.clone(),
            parent: parent.digest(),
            height,
            time_ms: now_ms.max(parent.time_ms),
            operations_root: operations_root(parent.network.hash_function(), &operations),
            sealed: self.seal(parent),
        };
        Block { header, operations }.encode()
    }

    /// H5 to H8, without waiting: `None` where this node cannot judge yet.
    fn judge(&self, parent: &Header, block: &Block, now_ms: u64) -> Option<bool> {
        let header = &block.header;
        // H19: a decision that this node has not executed yet is of no block so near.
        if header.height > self.machine.tip().height + NOTICE_BLOCKS {
            return None;
        }
        let parameters = self.parameters(parent);
        let bytes: usize = block
            .operations
            .iter()
            .map(|operation| operation.0.len())
            .sum();
        let sound = header.version == parameters.rules
            && parameters.rules <= NEWEST_RULES
            && header.network == parent.network
            && header.time_ms >= parent.time_ms
            && header.time_ms <= now_ms + MAX_AHEAD_MS + MAX_WAIT_MS
            && block.operations.len() as u64 <= parameters.block_operations
            && bytes <= MAX_OPERATIONS_BYTES;
        if !sound {
            return Some(false);
        }
        if header.time_ms > now_ms + MAX_AHEAD_MS {
            return None;
        }
        if header.sealed == parent.sealed {
            return Some(true);
        }
        if header.sealed.height <= parent.sealed.height || header.sealed.height > parent.height {
            return Some(false);
        }
        // First, since a slot may be closed between the two.
        let closed = self.machine.closed().height;
        match self.machine.closed_at(header.sealed.height) {
            Some(ours) => Some(ours == header.sealed),
            // Behind: the slot is not closed here yet. Ahead: no slot ended at that height.
            None if closed < header.sealed.height => None,
            None => Some(false),
        }
    }
}

impl<H: Host> Chain for Producer<H> {
    fn describe(block: &[u8]) -> Option<BlockInfo> {
        let header = Block::decode(block).ok()?.header;
        Some(BlockInfo {
            digest: header.digest().0,
            parent: header.parent.0,
            height: header.height,
        })
    }

    fn genesis(&self) -> Vec<u8> {
        Block {
            header: self.machine.genesis().header(),
            operations: Vec::new(),
        }
        .encode()
    }

    async fn propose(&self, parent: &[u8], before: &[&[u8]]) -> Option<Vec<u8>> {
        let Block {
            header: parent,
            operations: held,
        } = Block::decode_again(parent).ok()?;
        if self.parameters(&parent).rules > NEWEST_RULES {
            return None;
        }
        // What they hold may wait here too: a block is known here by nothing else where it was ordered
        // before this node came to verify it.
        self.mempool.hold_back(parent.height, &held);
        for block in before {
            let block = Block::decode_again(block).ok()?;
            let height = block.header.height;
            self.mempool.hold_back(height, &block.operations);
        }
        let mut added = self.mempool.added();
        let heartbeat = self.host.sleep(HEARTBEAT);
        tokio::pin!(heartbeat);
        loop {
            let progressed = self.progressed.notified();
            let now_ms = self.host.unix_ms();
            if self.due(&parent, now_ms) {
                return Some(self.build(&parent, now_ms));
            }
            // Biased, here and below: the library's choice among what is ready would be chance.
            tokio::select! {
                biased;
                () = &mut heartbeat => return Some(self.build(&parent, self.host.unix_ms())),
                () = self.host.sleep(self.pause(&parent, now_ms)) => {}
                () = progressed => {}
                _ = added.changed() => {}
            }
        }
    }

    async fn verify(&self, parent: &[u8], block: &[u8]) -> bool {
        let read = (Block::header_again(parent), Block::decode_again(block));
        let (Ok(parent), Ok(block)) = read else {
            return false;
        };
        loop {
            let progressed = self.progressed.notified();
            if let Some(verdict) = self.judge(&parent, &block, self.host.unix_ms()) {
                if verdict {
                    let height = block.header.height;
                    self.mempool.hold_back(height, &block.operations);
                }
                return verdict;
            }
            tokio::select! {
                biased;
                () = progressed => {}
                () = self.host.sleep(Duration::from_millis(50)) => {}
            }
        }
    }

    async fn finalised(&self, height: u64, block: Vec<u8>, certificate: Option<Vec<u8>>) {
        let (block, certificate) = (Arc::new(block), Arc::new(certificate));
        loop {
            let (machine, mempool) = (self.machine.clone(), self.mempool.clone());
            let (block, certificate) = (block.clone(), certificate.clone());
            let done = self
                .host
                .work(move || {
                    let verified = |bytes: &Bytes| mempool.known(bytes);
                    let certificate = certificate.as_deref();
                    machine.finalise_knowing(height, &block, certificate, &verified)
                })
                .await;
            match done {
                Some(Ok(block)) => {
                    self.note(None);
                    if let Some(block) = block {
                        self.settle(&block);
                    }
                    self.progressed.notify_waiters();
                    self.close(height).await;
                    return;
                }
                // A full disk, above all: hold the block, keep serving, and try again.
                Some(Err(error)) => self.report(height, &error),
                None => self.note(Some("node.panic")),
            }
            self.host.sleep(RETRY).await;
        }
    }

    fn terms(&self) -> KnownTerms {
        let (executed, committee) = self.machine.committee();
        KnownTerms {
            executed,
            committee,
        }
    }

    async fn outgoing(&self) -> Vec<u8> {
        self.mempool.outbox().next().await
    }

    async fn heard(&self, message: Vec<u8>) -> bool {
        let (machine, mempool) = (self.machine.clone(), self.mempool.clone());
        let now_ms = self.host.unix_ms();
        let heard = move || gossip::hear(&machine, &mempool, &message, now_ms);
        self.host.work(heard).await.unwrap_or(true)
    }
}

impl<H: Host> Producer<H> {
    /// Commits the slot that a block has ended, once the block itself has been told. Where that fails
    /// the next block tries it again.
    async fn close(&self, height: u64) {
        let machine = self.machine.clone();
        match self.host.work(move || machine.close()).await {
            Some(Ok(())) => self.progressed.notify_waiters(),
            Some(Err(error)) => self.report(height, &error),
            None => self.note(Some("node.panic")),
        }
    }

    fn settle(&self, block: &Block) {
        let held = &block.operations;
        metrics::counter!("ledger_operations_total").increment(held.len() as u64);
        metrics::gauge!("ledger_height").set(block.header.height as f64);
        let (height, committee) = self.machine.committee();
        metrics::gauge!("ledger_term").set(committee.at(height + 1).number as f64);
        let age_ms = self.host.unix_ms().saturating_sub(block.header.time_ms);
        metrics::histogram!("ledger_finality_seconds").record(age_ms as f64 / 1000.0);
        metrics::gauge!("mempool_operations").set(self.mempool.len() as f64);
        self.mempool.settle_block(block.header.height, held);
    }

    fn report(&self, height: u64, error: &MachineError) {
        tracing::error!(height, code = error.code(), %error, "what is final waits to be kept");
        self.note(Some(error.code()));
    }

    /// Until the next moment at which the clock alone can make a block due.
    fn pause(&self, parent: &Header, now_ms: u64) -> Duration {
        let parameters = self.parameters(parent);
        let slot_ms = parameters.slot_s.max(1) * 1000;
        let to_slot = slot_ms - now_ms % slot_ms;
        let to_interval = (parent.time_ms + parameters.block_interval_ms).saturating_sub(now_ms);
        let wait = match to_interval {
            0 => to_slot,
            interval => interval.min(to_slot),
        };
        Duration::from_millis(wait.max(1))
    }
}

#[cfg(test)]
mod tests;
