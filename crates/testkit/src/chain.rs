//! A finalised ledger in memory: a committee of one whose certificates and proofs are real, and
//! whose state is whatever a test says. No consensus and no rules, so that a test can also make
//! a node that lies.
#![allow(
    clippy::expect_used,
    reason = "a fixture: fixed seeds and bounded lengths, none of which can fail"
)]

use crate::ledger::key;
use crate::trie::MemoryTrie;
use blst::min_sig;
use realdid_core::answer::{HandOver, StateAnswer};
use realdid_core::codec::{self, Bytes};
use realdid_core::genesis::{Genesis, NetworkKey, Parameters, PeerKey};
use realdid_core::governance::{Committee, NextTerm, Term};
use realdid_core::hash::Hash32;
use realdid_core::header::{Checkpoint, Header, Sealed, slot_at};
use realdid_core::state::{Governance, Issuer, committee_key};
use realdid_core::trie::Key;

/// The BLS signature suite of the engine's votes.
const DST: &[u8] = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";

/// A network: its state, and the key that finalises its headers.
#[derive(Clone)]
pub struct TestLedger {
    pub genesis: Genesis,
    validators: min_sig::SecretKey,
    committee: Committee,
    trie: MemoryTrie,
    /// Before the newest, from the genesis' on.
    headers: Vec<Header>,
    newest: Header,
    checkpoint: Checkpoint,
}

impl TestLedger {
    /// The network `dev` since `time_ms`.
    pub fn new(time_ms: u64, issuers: Vec<Issuer>) -> Self {
        Self::with_validators(7, time_ms, issuers)
    }

    /// The same network under another committee.
    pub fn with_validators(seed: u8, time_ms: u64, issuers: Vec<Issuer>) -> Self {
        Self::named("dev", seed, time_ms, issuers)
    }

    /// A network of this name, under a committee made from a seed.
    pub fn named(name: &str, seed: u8, time_ms: u64, issuers: Vec<Issuer>) -> Self {
        let validators = secret(seed);
        let genesis = Genesis {
            version: 1,
            network: name.parse().expect("a network's name"),
            time_ms,
            parameters: Parameters::development(),
            network_key: NetworkKey(validators.sk_to_pk().compress()),
            validators: vec![PeerKey([1; 32])],
            governance: Governance {
                seq: 0,
                threshold: 1,
                keys: vec![key(900).public()],
            },
            issuers,
            ceremony: None,
            predecessor: None,
        };
        let mut trie = MemoryTrie::hashing_by(genesis.hash_function());
        let records = genesis.records().into_iter();
        trie.commit(
            &records
                .map(|(key, value)| (key, Some(value)))
                .collect::<Vec<_>>(),
        );
        let newest = genesis.header();
        let checkpoint = certify(&genesis, &validators, 0, &newest);
        Self {
            committee: Committee::of(genesis.term()),
            genesis,
            validators,
            trie,
            headers: Vec::new(),
            newest,
            checkpoint,
        }
    }

    /// Sets a record and finalises a slot that seals it.
    pub fn set(&mut self, key: Key, value: Option<Vec<u8>>, time_ms: u64) {
        self.trie.commit(&[(key, value)]);
        self.seal(time_ms);
    }

    /// Finalises a header that seals the state as it is.
    pub fn seal(&mut self, time_ms: u64) -> Checkpoint {
        let slot_s = self.genesis.parameters.slot_s;
        self.headers.push(self.newest.clone());
        self.newest = Header {
            version: 1,
            network: self.genesis.network.clone(),
            parent: self.newest.digest(),
            height: self.newest.height + 1,
            time_ms,
            operations_root: self.genesis.hash_function().list_root(&[]),
            sealed: Sealed {
                slot: slot_at(time_ms, slot_s).saturating_sub(1),
                height: self.newest.height,
                state_root: Hash32(self.trie.root()),
                receipts_root: Hash32([0; 32]),
            },
        };
        self.checkpoint = self.certify(&self.newest);
        self.checkpoint.clone()
    }

    /// Decides the committee of the next term, from a height on, and answers the hand-over to it.
    pub fn decide_term(&mut self, seed: u8, first: u64) -> HandOver {
        self.decide_term_with(seed, first, &|_| {})
    }

    /// The same for a record of the committee that is not as it should be.
    pub fn decide_term_with(
        &mut self,
        seed: u8,
        first: u64,
        change: &dyn Fn(&mut Committee),
    ) -> HandOver {
        let key = committee_key(self.genesis.hash_function());
        let term = Term {
            number: self.committee.running.number + 1,
            first,
            network_key: NetworkKey(secret(seed).sk_to_pk().compress()),
            validators: vec![PeerKey([seed; 32])],
            polynomial: Some(Hash32([seed; 32])),
        };
        let since = self.newest.height;
        self.committee.next = Some(NextTerm {
            term,
            since,
            shown: None,
        });
        let mut record = self.committee.clone();
        change(&mut record);
        let time_ms = self.newest.time_ms + 1000 * self.genesis.parameters.slot_s;
        self.set(key, Some(codec::encode(&record)), time_ms);
        self.hand_over(0)
    }

    /// The record of the committee as it is now, as a header so far behind the newest one seals it.
    pub fn hand_over(&self, back: usize) -> HandOver {
        let (committee, proof) = self
            .trie
            .prove(&committee_key(self.genesis.hash_function()));
        let headers = self.headers.iter().rev().take(back);
        HandOver {
            checkpoint: self.checkpoint.clone(),
            back: headers.map(|header| Bytes(codec::encode(header))).collect(),
            committee: Bytes(committee.expect("the genesis has one")),
            proof,
        }
    }

    /// The term that was decided begins: its committee finalises what follows.
    pub fn begin_term(&mut self, seed: u8) {
        if let Some(next) = self.committee.next.take() {
            self.newest.height = next.term.first;
            self.committee = Committee::of(next.term);
            self.validators = secret(seed);
        }
    }

    /// The newest final header.
    pub fn newest(&self) -> &Header {
        &self.newest
    }

    pub fn checkpoint(&self) -> Checkpoint {
        self.checkpoint.clone()
    }

    /// The true answer about a key.
    pub fn answer(&self, key: &Key) -> StateAnswer {
        let (value, proof) = self.trie.prove(key);
        StateAnswer {
            checkpoint: self.checkpoint.clone(),
            value: value.map(Bytes),
            proof,
        }
    }

    /// Finalises any header, whatever it says.
    pub fn certify(&self, header: &Header) -> Checkpoint {
        let term = self.committee.running.number;
        certify(&self.genesis, &self.validators, term, header)
    }
}

fn secret(seed: u8) -> min_sig::SecretKey {
    min_sig::SecretKey::key_gen(&[seed; 32], &[]).expect("a seed of 32 bytes")
}

/// The certificate of a committee of one, as `realdid_light::certificate` reads it.
fn certify(
    genesis: &Genesis,
    validators: &min_sig::SecretKey,
    term: u64,
    header: &Header,
) -> Checkpoint {
    let epoch = u8::try_from(term).ok().filter(|n| *n < 128);
    let mut proposal = vec![epoch.expect("a varint of one byte"), 1, 0];
    proposal.extend_from_slice(&header.digest().0);
    let domain = [genesis.namespace(), b"_FINALIZE".to_vec()].concat();
    let short = u8::try_from(domain.len()).ok().filter(|n| *n < 128);
    let mut message = vec![short.expect("a varint of one byte")];
    message.extend_from_slice(&domain);
    message.extend_from_slice(&proposal);
    let signature = validators.sign(&message, DST, &[]);
    proposal.extend_from_slice(&signature.compress());
    Checkpoint {
        header: Bytes(codec::encode(header)),
        certificate: Bytes(proposal),
    }
}
