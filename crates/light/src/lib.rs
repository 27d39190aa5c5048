//! The light client: checkpoints and proofs in, checked facts out (spec/proofs.md).
//!
//! It holds a network's genesis and nothing else that must be trusted. Whatever a server says is
//! a claim: [`LightClient`] checks the validators' certificate, the path from the state root to
//! the record, and how old all of it is, and only then gives a typed fact. What is too old is
//! [`LightError::Stale`], never silently accepted (promise P9).
//!
//! The heart has no sockets, clocks or randomness. [`http`] fetches from nodes, [`resolve`]
//! turns a fact about a DID into a W3C DID Resolution result.

pub use realdid_core::certificate;

#[cfg(feature = "http")]
pub mod http;
pub mod resolve;
#[cfg(test)]
mod terms_tests;
#[cfg(test)]
mod tests;

pub use realdid_core::terms::{CheckedHeader, TermError, TrustedTerm};

use realdid_core::answer::{BucketAnswer, HandOver, PastAnswer, StateAnswer};
use realdid_core::codec::{self, CodecError};
use realdid_core::did::{Did, Inception};
use realdid_core::genesis::Genesis;
use realdid_core::governance::{DecisionRecord, Recognition};
use realdid_core::hash::{Hash32, HashFunction};
use realdid_core::header::Checkpoint;
use realdid_core::state::{
    Batch, DidRecord, Display, Enrolment, Family, Issuer, PersonTag, Service, StatusList, Totals,
    batch_key, decision_key, decode_record, did_key, display_key, enrolment_key, issuer_key,
    recognition_key, service_key, status_list_key, totals_key,
};
use realdid_core::suite::PublicKey;
use realdid_core::terms::Terms;
use realdid_core::trie::{self, Key, Prefix, TrieError};

/// Checks claims about one network.
#[derive(Debug, Clone)]
pub struct LightClient {
    genesis: Genesis,
    terms: Terms,
    newest: Option<CheckedHeader>,
}

/// How fresh an answer must be.
#[derive(Debug, Clone, Copy)]
pub struct Freshness {
    /// The verifier's clock, Unix milliseconds.
    pub now_ms: u64,
    /// The greatest age of the checkpoint, by its own time.
    pub max_age_ms: u64,
    /// How many slots the answer may lie behind the newest checkpoint that the client knows.
    pub max_lag_slots: u64,
}

/// The longest list of terms in bytes: some tens of thousands, more than a network has in its life.
pub const MAX_TERMS_BYTES: usize = 4 << 20;
/// How far a header's time may lie in the verifier's future: clocks differ.
pub const MAX_AHEAD_MS: u64 = 10_000;

/// A fact with the checkpoint that it was true at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proved<T> {
    pub value: T,
    pub at: CheckedHeader,
    /// Milliseconds between the checkpoint and the verifier's clock.
    pub age_ms: u64,
}

/// What the ledger says about a DID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DidState {
    pub did: Did,
    pub at: CheckedHeader,
    pub age_ms: u64,
    pub standing: DidStanding,
}

/// The three ways in which a DID can stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DidStanding {
    /// Proved absent, and no inception was given: nothing is known about it.
    Unknown,
    /// Proved absent: it is as its inception says.
    Implicit(Inception),
    /// On the ledger; the record as it stands at the checkpoint's time.
    Anchored(DidRecord),
}

/// Why a DID cannot authenticate now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DidUnusable {
    #[error("the DID is not on the ledger and no inception was given")]
    Unknown,
    #[error("the DID is frozen by its recovery key")]
    Frozen,
    #[error("the DID is deactivated")]
    Deactivated,
}

impl DidUnusable {
    pub fn code(self) -> &'static str {
        match self {
            Self::Unknown => "did.unknown",
            Self::Frozen => "did.frozen",
            Self::Deactivated => "did.deactivated",
        }
    }
}

/// Why a claim was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LightError {
    /// What certifies the answer does not hold.
    #[error(transparent)]
    Terms(#[from] TermError),
    #[error("the answer is not readable: {0}")]
    Codec(#[from] CodecError),
    #[error("the proof does not hold against the sealed state root: {0}")]
    Proof(#[from] TrieError),
    #[error("the checkpoint is {age_ms} ms old where {limit_ms} ms is the limit")]
    Stale { age_ms: u64, limit_ms: u64 },
    #[error("the answer lies {lag} slots behind a checkpoint that is known, {limit} is the limit")]
    Behind { lag: u64, limit: u64 },
    #[error("the checkpoint lies in the future")]
    Future,
    #[error("the inception given is not the one that the DID is the hash of")]
    InceptionMismatch,
    #[error("a key of the inception is of a suite that the network does not admit")]
    Suite,
}

impl LightError {
    /// The stable name of the rule that failed.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Terms(error) => error.code(),
            Self::Codec(error) => error.code(),
            Self::Proof(_) => "light.proof",
            Self::Stale { .. } | Self::Behind { .. } => "light.stale",
            Self::Future => "light.future",
            Self::InceptionMismatch => "did.inception_mismatch",
            Self::Suite => "did.suite",
        }
    }
}

impl LightClient {
    /// A client that trusts this genesis: compare [`Genesis::digest`] with a source you trust.
    pub fn new(genesis: Genesis) -> Self {
        Self {
            terms: Terms::of(&genesis),
            genesis,
            newest: None,
        }
    }

    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The network's hash function.
    pub fn hash_function(&self) -> HashFunction {
        self.genesis().hash_function()
    }

    /// The newest checkpoint that was checked and kept.
    pub fn newest(&self) -> Option<&CheckedHeader> {
        self.newest.as_ref()
    }

    /// Checks a checkpoint's header and certificate (rules L1, L2 and L8).
    pub fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<CheckedHeader, LightError> {
        let claimed = self.terms.claimed(checkpoint)?;
        let known = self.newest.as_ref();
        if let Some(known) = known.filter(|known| known.digest == claimed.1) {
            return Ok(known.clone());
        }
        let certificate = &checkpoint.certificate.0;
        Ok(self.terms.certified(claimed, certificate)?)
    }

    /// The terms that this client knows, from the genesis on.
    pub fn terms(&self) -> &[TrustedTerm] {
        self.terms.known()
    }

    /// The number of the newest term that this client knows.
    pub fn newest_term(&self) -> u64 {
        self.terms.newest()
    }

    /// Goes on with terms that this client knew before, as [`LightClient::terms`] gave them.
    pub fn recall_terms(&mut self, known: Vec<TrustedTerm>) -> Result<(), LightError> {
        Ok(self.terms.recall(known)?)
    }

    /// The terms that this client knows, in bytes: for a file, since whoever has shares of an old key must
    /// not be believed again by who starts anew.
    pub fn encoded_terms(&self) -> Vec<u8> {
        codec::encode(&self.terms().to_vec())
    }

    /// Goes on with the terms of such a file.
    pub fn recall_encoded_terms(&mut self, bytes: &[u8]) -> Result<(), LightError> {
        self.recall_terms(codec::decode(bytes, MAX_TERMS_BYTES)?)
    }

    /// Takes in a hand-over (rules L9 to L12).
    pub fn hand_over(&mut self, hand_over: &HandOver) -> Result<&TrustedTerm, LightError> {
        Ok(self.terms.hand_over(hand_over)?)
    }

    /// Checks a checkpoint and keeps it if it is newer than what is kept. Two final headers at
    /// one height are a fork: nothing is kept, and the caller has the evidence in its hands.
    pub fn advance(&mut self, checkpoint: &Checkpoint) -> Result<CheckedHeader, LightError> {
        let checked = self.checkpoint(checkpoint)?;
        match &self.newest {
            Some(known)
                if known.header.height == checked.header.height
                    && known.digest != checked.digest =>
            {
                return Err(TermError::Fork.into());
            }
            Some(known) if known.header.height >= checked.header.height => {}
            _ => self.newest = Some(checked.clone()),
        }
        Ok(checked)
    }

    /// Checks what an answer says about `key`: certificate, freshness, then the path.
    pub fn value(
        &self,
        key: &Key,
        answer: &StateAnswer,
        freshness: &Freshness,
    ) -> Result<Proved<Option<Vec<u8>>>, LightError> {
        let at = self.checkpoint(&answer.checkpoint)?;
        let age_ms = self.judge(&at, freshness)?;
        let root = at.header.sealed.state_root.0;
        let value = answer.value.as_ref().map(|value| value.0.clone());
        trie::check_value(
            self.hash_function(),
            &root,
            key,
            value.as_deref(),
            &answer.proof,
        )?;
        Ok(Proved { value, at, age_ms })
    }

    /// Checks a whole bucket, so that its single answers may be used.
    pub fn bucket(
        &self,
        prefix: &Prefix,
        answer: &BucketAnswer,
        freshness: &Freshness,
    ) -> Result<CheckedHeader, LightError> {
        let at = self.checkpoint(&answer.checkpoint)?;
        self.judge(&at, freshness)?;
        let by = self.hash_function();
        trie::verify_bucket(by, &at.header.sealed.state_root.0, prefix, &answer.bucket)?;
        Ok(at)
    }

    /// What the ledger says about a DID. An inception that is given must be the DID's own.
    pub fn did(
        &self,
        did: &Did,
        inception: Option<&Inception>,
        answer: &StateAnswer,
        freshness: &Freshness,
    ) -> Result<DidState, LightError> {
        if did.network != self.genesis().network {
            let found = did.network.to_string();
            let expected = self.genesis().network.to_string();
            return Err(TermError::WrongNetwork { expected, found }.into());
        }
        if inception.is_some_and(|inception| inception.check().is_err() || inception.did() != *did)
        {
            return Err(LightError::InceptionMismatch);
        }
        let admitted = |key: &PublicKey| self.genesis().parameters.admits(key.suite());
        if inception.is_some_and(|inception| !inception.keys.current.iter().all(admitted)) {
            return Err(LightError::Suite);
        }
        let Proved { value, at, age_ms } =
            self.value(&did_key(self.hash_function(), &did.id), answer, freshness)?;
        let standing = match (value, inception) {
            (Some(bytes), _) => {
                let record: DidRecord = decode_record(&bytes)?;
                DidStanding::Anchored(record.at(at.header.time_ms))
            }
            (None, Some(inception)) => DidStanding::Implicit(inception.clone()),
            (None, None) => DidStanding::Unknown,
        };
        Ok(DidState {
            did: did.clone(),
            at,
            age_ms,
            standing,
        })
    }

    /// L13: the record that a DID had in an earlier state. How old that is does not matter: it is asked
    /// for beside the newest.
    pub fn past_did(&self, did: &Did, past: &PastAnswer) -> Result<DidRecord, LightError> {
        let key = did_key(self.hash_function(), &did.id);
        self.terms.past(&key, past)?;
        Ok(decode_record(&past.value.0)?)
    }

    /// An issuer's record, or its absence.
    pub fn issuer(
        &self,
        id: &Hash32,
        answer: &StateAnswer,
        freshness: &Freshness,
    ) -> Result<Proved<Option<Issuer>>, LightError> {
        self.record(&issuer_key(self.hash_function(), id), answer, freshness)
    }

    /// A service's record, or its absence.
    pub fn service(
        &self,
        id: &Hash32,
        answer: &StateAnswer,
        freshness: &Freshness,
    ) -> Result<Proved<Option<Service>>, LightError> {
        self.record(&service_key(self.hash_function(), id), answer, freshness)
    }

    /// An enrolment, or its absence.
    pub fn enrolment(
        &self,
        tag: &PersonTag,
        answer: &StateAnswer,
        freshness: &Freshness,
    ) -> Result<Proved<Option<Enrolment>>, LightError> {
        self.record(&enrolment_key(self.hash_function(), tag), answer, freshness)
    }

    /// What an issuer did in an epoch, or nothing if it did nothing.
    pub fn totals(
        &self,
        issuer: &Hash32,
        epoch: u64,
        answer: &StateAnswer,
        freshness: &Freshness,
    ) -> Result<Proved<Option<Totals>>, LightError> {
        self.record(
            &totals_key(self.hash_function(), issuer, epoch),
            answer,
            freshness,
        )
    }

    /// An issuer's batch with this list commitment, or its absence. What is in it stands by
    /// [`IssuerKey::stands_behind`](realdid_core::state::IssuerKey::stands_behind) its height.
    pub fn batch(
        &self,
        issuer: &Hash32,
        root: &Hash32,
        answer: &StateAnswer,
        freshness: &Freshness,
    ) -> Result<Proved<Option<Batch>>, LightError> {
        let key = batch_key(self.hash_function(), issuer, root);
        self.record(&key, answer, freshness)
    }

    /// Which version of an issuer's status list holds, or its absence: the list by the SHA-256 of its address.
    pub fn status_list(
        &self,
        issuer: &Hash32,
        list: &Hash32,
        answer: &StateAnswer,
        freshness: &Freshness,
    ) -> Result<Proved<Option<StatusList>>, LightError> {
        let key = status_list_key(self.hash_function(), issuer, list);
        self.record(&key, answer, freshness)
    }

    /// A display, or its absence.
    pub fn display(
        &self,
        digest: &Hash32,
        answer: &StateAnswer,
        freshness: &Freshness,
    ) -> Result<Proved<Option<Display>>, LightError> {
        self.record(
            &display_key(self.hash_function(), digest),
            answer,
            freshness,
        )
    }

    /// What this network accepts of another, by its name, and how far it has followed it.
    pub fn recognition(
        &self,
        network: &str,
        answer: &StateAnswer,
        freshness: &Freshness,
    ) -> Result<Proved<Option<Recognition>>, LightError> {
        let key = recognition_key(self.hash_function(), network);
        self.record(&key, answer, freshness)
    }

    /// All that this network's ledger says of others. They are asked for together, so that no node learns
    /// which one somebody looks for.
    pub fn recognitions(
        &self,
        answer: &BucketAnswer,
        freshness: &Freshness,
    ) -> Result<Proved<Vec<Recognition>>, LightError> {
        let prefix = Prefix::in_family(Family::Recognitions as u8, &[], 0)?;
        let at = self.bucket(&prefix, answer, freshness)?;
        let entries = answer.bucket.entries.iter();
        let read = entries.map(|entry| decode_record::<Recognition>(&entry.value));
        let age_ms = freshness.now_ms.saturating_sub(at.header.time_ms);
        Ok(Proved {
            value: read.collect::<Result<_, _>>()?,
            at,
            age_ms,
        })
    }

    /// A decision of governance, by its sequence number.
    pub fn decision(
        &self,
        seq: u64,
        answer: &StateAnswer,
        freshness: &Freshness,
    ) -> Result<Proved<Option<DecisionRecord>>, LightError> {
        self.record(&decision_key(self.hash_function(), seq), answer, freshness)
    }

    fn record<T>(
        &self,
        key: &Key,
        answer: &StateAnswer,
        freshness: &Freshness,
    ) -> Result<Proved<Option<T>>, LightError>
    where
        T: for<'b> minicbor::Decode<'b, ()> + minicbor::Encode<()>,
    {
        let Proved { value, at, age_ms } = self.value(key, answer, freshness)?;
        let value = value.as_deref().map(decode_record).transpose()?;
        Ok(Proved { value, at, age_ms })
    }

    /// Rules L3 to L5: not from the future, not too old, not behind what is known.
    fn judge(&self, at: &CheckedHeader, freshness: &Freshness) -> Result<u64, LightError> {
        if at.header.time_ms > freshness.now_ms.saturating_add(MAX_AHEAD_MS) {
            return Err(LightError::Future);
        }
        let age_ms = freshness.now_ms.saturating_sub(at.header.time_ms);
        if age_ms > freshness.max_age_ms {
            return Err(LightError::Stale {
                age_ms,
                limit_ms: freshness.max_age_ms,
            });
        }
        let known = self
            .newest
            .as_ref()
            .map_or(0, |newest| newest.header.sealed.slot);
        let lag = known.saturating_sub(at.header.sealed.slot);
        if lag > freshness.max_lag_slots {
            return Err(LightError::Behind {
                lag,
                limit: freshness.max_lag_slots,
            });
        }
        Ok(age_ms)
    }
}

impl DidState {
    /// The keys that authenticate for this DID now.
    pub fn authentication_keys(&self) -> Result<&[PublicKey], DidUnusable> {
        match &self.standing {
            DidStanding::Unknown => Err(DidUnusable::Unknown),
            DidStanding::Implicit(inception) => Ok(&inception.keys.current),
            DidStanding::Anchored(record) if record.deactivated => Err(DidUnusable::Deactivated),
            DidStanding::Anchored(record) if record.frozen => Err(DidUnusable::Frozen),
            DidStanding::Anchored(record) => Ok(&record.keys.current),
        }
    }
}
