//! Which committee's key certifies which heights (spec/proofs.md, rules L8 to L12).
//!
//! A client begins with the committee of the genesis. A *hand-over* is an answer about the record of
//! the committee, certified by the key of a term that the client knows, and names the term that
//! follows: so the client goes from key to key, and whoever has shares of an earlier key is refused
//! from the first height of the next term on.

use crate::{LightClient, LightError};
use minicbor::{Decode, Encode};
use realdid_core::answer::StateAnswer;
use realdid_core::certificate::is_network_key;
use realdid_core::genesis::{Genesis, NetworkKey};
use realdid_core::governance::{Committee, NOTICE_BLOCKS, SHOWN_BLOCKS, Term};
use realdid_core::header::Header;
use realdid_core::state::{committee_key, decode_record};
use realdid_core::trie;

/// A term that a client trusts.
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

/// The terms that a client trusts: the genesis' own, then one after the other without a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Terms(Vec<TrustedTerm>);

impl Terms {
    pub fn of(genesis: &Genesis) -> Self {
        Self(vec![TrustedTerm::of(&genesis.term())])
    }

    pub fn all(&self) -> &[TrustedTerm] {
        &self.0
    }

    fn get(&self, number: u64) -> Option<&TrustedTerm> {
        self.0.get(usize::try_from(number).ok()?)
    }

    /// L8: the key of a term, for a header of one of its heights.
    pub fn key(&self, number: u64, height: u64) -> Result<&NetworkKey, LightError> {
        let term = self
            .get(number)
            .ok_or(LightError::TermUnknown { term: number })?;
        let next = number.checked_add(1).and_then(|next| self.get(next));
        if height < term.first || next.is_some_and(|next| height >= next.first) {
            return Err(LightError::OutsideTerm {
                term: number,
                height,
            });
        }
        Ok(&term.network_key)
    }
}

impl LightClient {
    /// The terms that this client knows, from the genesis on.
    pub fn terms(&self) -> &[TrustedTerm] {
        self.terms.all()
    }

    /// The number of the newest term that this client knows.
    pub fn newest_term(&self) -> u64 {
        self.terms.all().last().map_or(0, |term| term.number)
    }

    /// Goes on with terms that this client knew before, as [`LightClient::terms`] gave them: they are
    /// those of this genesis, or none of them is taken.
    pub fn recall_terms(&mut self, known: Vec<TrustedTerm>) -> Result<(), LightError> {
        let ordered = |pair: &[TrustedTerm]| {
            pair[0].number.checked_add(1) == Some(pair[1].number) && pair[0].first < pair[1].first
        };
        let ours = known.first() == self.terms.all().first();
        let keys = known.iter().skip(1);
        if !ours || !known.windows(2).all(ordered) || !keys.into_iter().all(is_key) {
            return Err(LightError::HandOver);
        }
        if known.len() > self.terms.all().len() {
            self.terms = Terms(known);
        }
        Ok(())
    }

    /// L9 to L12: takes in a hand-over. What is known already changes nothing; a term that was handed
    /// on to another key, or at another height, is a fork: the caller has the evidence in its hands.
    pub fn hand_over(&mut self, answer: &StateAnswer) -> Result<&TrustedTerm, LightError> {
        let at = self.checkpoint(&answer.checkpoint)?;
        let term = realdid_core::certificate::claimed_epoch(&answer.checkpoint.certificate.0)?;
        let next = self.handed_on(&at.header, term, answer)?;
        let place = usize::try_from(next.number).map_err(|_| LightError::HandOver)?;
        match self.terms.0.get(place) {
            Some(known) if *known != next => return Err(LightError::Fork),
            Some(_) => {}
            None => self.terms.0.push(next),
        }
        self.terms.0.get(place).ok_or(LightError::HandOver)
    }

    /// The term that `answer` proves to follow `term`, whose key has certified the header.
    fn handed_on(
        &self,
        header: &Header,
        term: u64,
        answer: &StateAnswer,
    ) -> Result<TrustedTerm, LightError> {
        let by = self.hash_function();
        let value = answer.value.as_ref().ok_or(LightError::HandOver)?;
        let (root, key) = (header.sealed.state_root.0, committee_key(by));
        trie::check_value(by, &root, &key, Some(&value.0), &answer.proof)?;
        let committee: Committee = decode_record(&value.0)?;
        let next = committee.next.ok_or(LightError::HandOver)?.term;
        let known = self.terms.get(term).ok_or(LightError::HandOver)?;
        // The state at height 0 may be another network's, whose committee is none of ours.
        let own = self.genesis.predecessor.is_none() || header.sealed.height > 0;
        let follows = own
            && committee.running.number == term
            && term.checked_add(1) == Some(next.number)
            && next.first > known.first
            && is_network_key(&next.network_key.0);
        // Until then a term may still be put off (G14).
        let settled = header.height.saturating_add(NOTICE_BLOCKS + SHOWN_BLOCKS);
        if !follows || settled > next.first {
            return Err(LightError::HandOver);
        }
        Ok(TrustedTerm::of(&next))
    }
}

fn is_key(term: &TrustedTerm) -> bool {
    is_network_key(&term.network_key.0)
}

#[cfg(test)]
mod tests;
