//! Sees every block that becomes final on an honest validator, and panics at the first that may
//! not be.

use crate::engine::{BlockInfo, Chain, KnownTerms};
use crate::machine::Machine;
use crate::producer::Producer;
use crate::sim::validator::SimHost;
use commonware_runtime::Clock as _;
use realdid_core::hash::Hash32;
use realdid_core::header::Sealed;
use realdid_light::certificate::{claimed_epoch, verify_finalization};
use std::collections::BTreeMap;
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

/// One certificate in so many is verified: a pairing each would be most of a run.
const CERTIFICATES: u64 = 8;

/// What all honest validators together have seen.
#[derive(Debug, Default)]
pub struct Witness {
    /// By the number of the term.
    network_keys: Vec<[u8; 96]>,
    namespace: Vec<u8>,
    /// The digest at each height.
    pub blocks: BTreeMap<u64, [u8; 32]>,
    /// When each height was first final anywhere.
    pub first_seen: BTreeMap<u64, SystemTime>,
    /// What was sealed at each height.
    seals: BTreeMap<u64, Sealed>,
    /// The height up to which each validator has answered that a block is durable.
    durable: BTreeMap<usize, u64>,
    proposed: BTreeMap<[u8; 32], SystemTime>,
    /// When each height was first final and durable on each validator.
    kept: BTreeMap<(usize, u64), SystemTime>,
    /// From a proposal to its being final and durable, on each validator that was up.
    pub delays: Vec<Duration>,
}

impl Witness {
    pub fn new(network_keys: Vec<[u8; 96]>, namespace: Vec<u8>) -> Self {
        Self {
            network_keys,
            namespace,
            ..Self::default()
        }
    }

    /// The height that must be in a validator's block log whatever happened to it.
    pub fn durable(&self, who: usize) -> u64 {
        self.durable.get(&who).copied().unwrap_or(0)
    }

    /// When a height was final and durable on a validator that has it.
    pub fn kept_at(&self, who: usize, height: u64) -> Option<SystemTime> {
        self.kept.get(&(who, height)).copied()
    }

    /// The highest that is final anywhere.
    pub fn height(&self) -> u64 {
        self.blocks.keys().last().copied().unwrap_or(0)
    }

    fn saw(
        &mut self,
        who: usize,
        block: BlockInfo,
        certificate: Option<&[u8]>,
        term: u64,
        sealed: Sealed,
        now: SystemTime,
    ) {
        let BlockInfo {
            digest,
            parent,
            height,
        } = block;
        self.first_seen.entry(height).or_insert(now);
        let known = *self.blocks.entry(height).or_insert(digest);
        assert_eq!(
            Hash32(known),
            Hash32(digest),
            "a fork at height {height}, seen by validator {who}"
        );
        if let Some(below) = self.blocks.get(&(height - 1)) {
            assert_eq!(*below, parent, "height {height} does not follow");
        }
        let epoch = certificate.map(|certificate| claimed_epoch(certificate).unwrap());
        assert!(
            epoch.is_none_or(|epoch| epoch == term),
            "height {height} is of term {term} and certified by another"
        );
        if let Some(certificate) = certificate.filter(|_| height.is_multiple_of(CERTIFICATES)) {
            verify_finalization(
                &self.network_keys[term as usize],
                &self.namespace,
                certificate,
                &digest,
            )
            .unwrap();
        }
        let found = *self.seals.entry(sealed.height).or_insert(sealed);
        assert_eq!(
            found, sealed,
            "validator {who} has another state at height {}",
            sealed.height
        );
        let durable = self.durable.entry(who).or_default();
        if height > *durable {
            *durable = height;
            self.kept.insert((who, height), now);
            let delay = self.proposed.get(&digest);
            let delay = delay.and_then(|proposed| now.duration_since(*proposed).ok());
            self.delays.extend(delay);
        }
    }
}

/// A validator's chain, seen by the witness.
#[derive(Clone)]
pub struct Witnessed {
    pub who: usize,
    pub producer: Producer<SimHost>,
    pub host: SimHost,
    pub machine: Arc<Machine>,
    pub witness: Arc<Mutex<Witness>>,
    /// What a Byzantine validator takes for final is no evidence.
    pub honest: bool,
    /// Until its process ends: what is left of it afterwards has no disk and speaks for nobody.
    pub alive: Arc<AtomicBool>,
}

impl Witnessed {
    /// Never returns where the process has ended. What runs in it is told to end, and ends a little
    /// later: until then its disk is nobody's, while the engine's stores, which are the runtime's, are
    /// already those of the process that comes after it. What it answered for they would remember, and
    /// the block log would not have.
    async fn if_alive(&self) {
        if !self.alive.load(Ordering::SeqCst) {
            pending::<()>().await;
        }
    }
}

impl Chain for Witnessed {
    fn describe(block: &[u8]) -> Option<BlockInfo> {
        Producer::<SimHost>::describe(block)
    }

    fn genesis(&self) -> Vec<u8> {
        self.producer.genesis()
    }

    async fn propose(&self, parent: &[u8], before: &[&[u8]]) -> Option<Vec<u8>> {
        let block = self.producer.propose(parent, before).await?;
        let now = self.host.context.current();
        let digest = Self::describe(&block)?.digest;
        self.witness.lock().unwrap().proposed.insert(digest, now);
        Some(block)
    }

    async fn verify(&self, parent: &[u8], block: &[u8]) -> bool {
        self.producer.verify(parent, block).await
    }

    fn terms(&self) -> KnownTerms {
        self.producer.terms()
    }

    async fn outgoing(&self) -> Vec<u8> {
        self.producer.outgoing().await
    }

    async fn heard(&self, message: Vec<u8>) -> bool {
        self.producer.heard(message).await
    }

    async fn finalised(&self, height: u64, block: Vec<u8>, certificate: Option<Vec<u8>>) {
        let info = Self::describe(&block).unwrap();
        assert_eq!(info.height, height);
        self.if_alive().await;
        self.producer
            .finalised(height, block, certificate.clone())
            .await;
        self.if_alive().await;
        if self.honest {
            let now = self.host.context.current();
            let sealed = self.machine.closed();
            let term = self.machine.committee().1.at(height).number;
            let mut witness = self.witness.lock().unwrap();
            witness.saw(self.who, info, certificate.as_deref(), term, sealed, now);
        }
    }
}
