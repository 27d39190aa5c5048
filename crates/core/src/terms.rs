//! Which committee's key certifies which heights (spec/proofs.md, rules L1, L2 and L8 to L12).
//!
//! Whoever trusts a genesis begins with its committee. A *hand-over* is an answer about the record of
//! the committee, certified by the key of a term that is known, and names the term that follows: so a
//! reader goes from key to key, and whoever has shares of an earlier key is refused from the first
//! height of the next term on. Light clients go by these rules, and so does whoever checks what a
//! network left behind.

use crate::answer::{HandOver, MAX_HEADERS_BACK, PastAnswer};
use crate::certificate::{self, CertificateError, is_network_key};
use crate::codec::{Bytes, CodecError};
use crate::did::NetworkName;
use crate::genesis::{Genesis, NetworkKey};
use crate::governance::{Committee, NOTICE_BLOCKS, SHOWN_BLOCKS, Term, consensus_namespace};
use crate::hash::Hash32;
use crate::header::{Checkpoint, Header};
use crate::state::{committee_key, decode_record};
use crate::trie::{self, Key, TrieError};
use minicbor::{Decode, Encode};

/// A term that a reader trusts.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct TrustedTerm {
    #[n(0)]
    pub number: u64,
    /// The first height that it orders.
    #[n(1)]
    pub first: u64,
    #[n(2)]
    pub network_key: NetworkKey,
}

impl TrustedTerm {
    fn of(term: &Term) -> Self {
        Self {
            number: term.number,
            first: term.first,
            network_key: term.network_key,
        }
    }
}

/// A header that the network's validators have finalised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedHeader {
    pub header: Header,
    pub digest: Hash32,
    /// The number of the term whose committee has certified it.
    pub term: u64,
}

/// Why a certificate, or a hand-over, was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TermError {
    #[error("the answer is not readable: {0}")]
    Codec(#[from] CodecError),
    #[error("the header belongs to network {found}, not {expected}")]
    WrongNetwork { expected: String, found: String },
    #[error("the validators' certificate does not hold: {0}")]
    Certificate(#[from] CertificateError),
    #[error("the proof does not hold against the sealed state root: {0}")]
    Proof(#[from] TrieError),
    #[error(
        "two finalised headers at one height, or two committees for one term: the network has forked"
    )]
    Fork,
    /// The reader follows the hand-overs first: [`Terms::hand_over`].
    #[error("the checkpoint is certified by the committee of term {term}, which is not known here")]
    Unknown { term: u64 },
    #[error("height {height} is not one that the committee of term {term} orders")]
    Outside { term: u64, height: u64 },
    #[error("the answer does not hand the network on to the next committee")]
    HandOver,
    #[error("the headers do not lead from the certified one back to the one that seals the state")]
    Past,
}

impl TermError {
    /// The stable name of the rule that failed.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Codec(error) => error.code(),
            Self::WrongNetwork { .. } => "light.network",
            Self::Certificate(_) => "light.certificate",
            Self::Proof(_) => "light.proof",
            Self::Fork => "light.fork",
            Self::Unknown { .. } => "light.term_unknown",
            Self::Outside { .. } => "light.term",
            Self::HandOver => "light.hand_over",
            Self::Past => "light.past",
        }
    }
}

/// A network, and the terms of it that a reader trusts, one after the other without a gap.
#[derive(Debug, Clone)]
pub struct Terms {
    network: NetworkName,
    namespace: Vec<u8>,
    /// Whether the state at height 0 may be another network's, whose committee is none of this one's.
    succeeds: bool,
    known: Vec<TrustedTerm>,
}

impl Terms {
    /// Those of a reader who trusts this genesis, and has heard of nothing since.
    pub fn of(genesis: &Genesis) -> Self {
        Self {
            network: genesis.network.clone(),
            namespace: genesis.namespace(),
            succeeds: genesis.predecessor.is_some(),
            known: vec![TrustedTerm::of(&genesis.term())],
        }
    }

    /// Those of a reader who has the digest of a genesis alone, and terms that were known before, from
    /// any of them on.
    pub fn known_of(network: NetworkName, genesis: &Hash32, known: Vec<TrustedTerm>) -> Self {
        Self {
            network,
            namespace: consensus_namespace(genesis),
            succeeds: true,
            known,
        }
    }

    /// From the first one that is trusted on.
    pub fn known(&self) -> &[TrustedTerm] {
        &self.known
    }

    /// The number of the newest term that is known.
    pub fn newest(&self) -> u64 {
        self.known.last().map_or(0, |term| term.number)
    }

    fn get(&self, number: u64) -> Option<&TrustedTerm> {
        let place = number.checked_sub(self.known.first()?.number)?;
        self.known.get(usize::try_from(place).ok()?)
    }

    /// L8: the key of a term, for a header of one of its heights.
    fn key(&self, number: u64, height: u64) -> Result<&NetworkKey, TermError> {
        let term = self
            .get(number)
            .ok_or(TermError::Unknown { term: number })?;
        let next = number.checked_add(1).and_then(|next| self.get(next));
        if height < term.first || next.is_some_and(|next| height >= next.first) {
            return Err(TermError::Outside {
                term: number,
                height,
            });
        }
        Ok(&term.network_key)
    }

    /// L1: what a checkpoint claims: a header of this network, with its digest.
    pub fn claimed(&self, checkpoint: &Checkpoint) -> Result<(Header, Hash32), TermError> {
        let header = Header::decode(&checkpoint.header.0)?;
        if header.network != self.network {
            return Err(TermError::WrongNetwork {
                expected: self.network.to_string(),
                found: header.network.to_string(),
            });
        }
        let digest = header.digest();
        Ok((header, digest))
    }

    /// L2 and L8: that a claimed header is certified, by the committee of its height.
    pub fn certified(
        &self,
        (header, digest): (Header, Hash32),
        certificate: &[u8],
    ) -> Result<CheckedHeader, TermError> {
        let term = certificate::claimed_epoch(certificate)?;
        let key = self.key(term, header.height)?;
        certificate::verify_finalization(&key.0, &self.namespace, certificate, &digest.0)?;
        Ok(CheckedHeader {
            header,
            digest,
            term,
        })
    }

    /// L1, L2 and L8.
    pub fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<CheckedHeader, TermError> {
        self.certified(self.claimed(checkpoint)?, &checkpoint.certificate.0)
    }

    /// Goes on with terms that were known before, as [`Terms::known`] gave them: they are those of this
    /// genesis, or none of them is taken.
    pub fn recall(&mut self, known: Vec<TrustedTerm>) -> Result<(), TermError> {
        let ordered = |pair: &[TrustedTerm]| {
            pair[0].number.checked_add(1) == Some(pair[1].number) && pair[0].first < pair[1].first
        };
        let ours = known.first() == self.known.first();
        let keys = known.iter().skip(1);
        if !ours || !known.windows(2).all(ordered) || !keys.into_iter().all(is_key) {
            return Err(TermError::HandOver);
        }
        if known.len() > self.known.len() {
            self.known = known;
        }
        Ok(())
    }

    /// L9 to L12: takes in a hand-over. What is known already changes nothing; a term that was handed
    /// on to another key, or at another height, is a fork: the caller has the evidence in its hands.
    pub fn hand_over(&mut self, hand_over: &HandOver) -> Result<&TrustedTerm, TermError> {
        let at = self.checkpoint(&hand_over.checkpoint)?;
        let shows = shown_by(&at.header, &hand_over.back, TermError::HandOver)?;
        let next = self.handed_on(&at, &shows, hand_over)?;
        let number = next.number;
        match self.get(number) {
            Some(known) if *known != next => return Err(TermError::Fork),
            Some(_) => {}
            // What has certified is known, so this one follows the last.
            None => self.known.push(next),
        }
        self.get(number).ok_or(TermError::HandOver)
    }

    /// L13: that a key held a value in an earlier state; answers the header that sealed it.
    pub fn past(&self, key: &Key, past: &PastAnswer) -> Result<Header, TermError> {
        let at = self.checkpoint(&past.checkpoint)?;
        let seals = shown_by(&at.header, &past.back, TermError::Past)?;
        let (by, root) = (self.network.hash_function(), seals.sealed.state_root.0);
        trie::check_value(by, &root, key, Some(&past.value.0), &past.proof)?;
        Ok(seals)
    }

    /// The term that the state which `shows` seals proves to follow the one that has certified `at`.
    fn handed_on(
        &self,
        at: &CheckedHeader,
        shows: &Header,
        hand_over: &HandOver,
    ) -> Result<TrustedTerm, TermError> {
        let by = self.network.hash_function();
        let (root, key) = (shows.sealed.state_root.0, committee_key(by));
        let value = &hand_over.committee.0;
        trie::check_value(by, &root, &key, Some(value), &hand_over.proof)?;
        let committee: Committee = decode_record(value)?;
        let next = committee.next.ok_or(TermError::HandOver)?.term;
        let known = self.get(at.term).ok_or(TermError::HandOver)?;
        let own = !self.succeeds || shows.sealed.height > 0;
        let follows = own
            && committee.running.number == at.term
            && at.term.checked_add(1) == Some(next.number)
            && next.first > known.first
            && at.header.height < next.first
            && is_network_key(&next.network_key.0);
        // Until then a term may still be put off (G14).
        let settled = shows.height.saturating_add(NOTICE_BLOCKS + SHOWN_BLOCKS);
        if !follows || settled > next.first {
            return Err(TermError::HandOver);
        }
        Ok(TrustedTerm::of(&next))
    }
}

/// L9 and L13: the last of the headers that lie behind a certified one, each of which the one before it
/// names as its parent; otherwise `refused`.
fn shown_by(certified: &Header, back: &[Bytes], refused: TermError) -> Result<Header, TermError> {
    if back.len() > MAX_HEADERS_BACK {
        return Err(refused);
    }
    let mut shows = certified.clone();
    for bytes in back {
        let parent = Header::decode(&bytes.0)?;
        if parent.network != shows.network || parent.digest() != shows.parent {
            return Err(refused);
        }
        shows = parent;
    }
    Ok(shows)
}

fn is_key(term: &TrustedTerm) -> bool {
    is_network_key(&term.network_key.0)
}
