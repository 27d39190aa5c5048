//! A network that goes on from one which lost its quorum for good (spec/ceremony.md, X13 to X15).
//!
//! Fewer than a quorum of shares certify nothing, so nobody can tell light clients of the old network
//! that another goes on: they need the new genesis from a source they trust. What can be shown is
//! that the new network begins with exactly the state that the old validators certified last, and
//! that the old network's governance consented to who goes on.

use minicbor::{Decode, Encode};
use realdid_core::answer::{HandOver, MAX_ANSWER_BYTES};
use realdid_core::carried::{self, Record};
use realdid_core::codec::{self, Bytes, CodecError};
use realdid_core::did::NetworkName;
use realdid_core::genesis::{Genesis, GenesisError, Parameters, Predecessor};
use realdid_core::governance::{Governance, RunningParameters};
use realdid_core::hash::Hash32;
use realdid_core::header::Checkpoint;
use realdid_core::state::{decode_record, governance_key, parameters_key};
use realdid_core::suite::{Context, PublicKey, SecretKey, Signature};
use realdid_core::terms::{CheckedHeader, TermError, Terms};

use crate::document::MAX_DOCUMENT_BYTES;
use crate::plan::Plan;

/// The most terms that a predecessor may have had after its first.
pub const MAX_PREDECESSOR_TERMS: usize = 1024;
/// The longest file that names a predecessor: a genesis, the hand-overs and a checkpoint.
pub const MAX_PREDECESSOR_BYTES: usize = 128 * 1024 + MAX_PREDECESSOR_TERMS * MAX_ANSWER_BYTES;

/// Why a network does not go on from another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SuccessionError {
    #[error("the file cannot be read: {0}")]
    Codec(#[from] CodecError),
    #[error("the predecessor's genesis: {0}")]
    Genesis(#[from] GenesisError),
    /// X13: the header is not certified, or a committee not the one to which its predecessor handed on.
    #[error("what the predecessor's validators certified: {0}")]
    Terms(#[from] TermError),
    /// X13
    #[error("the predecessor had more terms than a file has room for")]
    TooManyTerms,
    /// X13
    #[error("the records are not the state that the certified header seals")]
    State,
    /// X14
    #[error("the plan is not of what the predecessor's state says")]
    OtherPlan,
    /// X14
    #[error("fewer governance keys of the predecessor have approved the plan than its threshold")]
    Unapproved { approved: u64, needed: u64 },
    /// X14
    #[error("an approval is signed by the key that it names, for this plan")]
    Approval,
}

impl SuccessionError {
    /// The stable name of the rule, for errors that leave the process.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Codec(error) => error.code(),
            Self::Genesis(error) => error.code(),
            Self::Terms(error) => error.code(),
            Self::TooManyTerms => "succession.too_many_terms",
            Self::State => "succession.state",
            Self::OtherPlan => "succession.other_plan",
            Self::Unapproved { .. } => "succession.unapproved",
            Self::Approval => "succession.approval",
        }
    }
}

#[derive(Debug, Encode, Decode)]
#[cbor(array)]
struct PredecessorFile {
    #[n(0)]
    genesis: Bytes,
    /// To each of its terms after the first, in their order.
    #[n(1)]
    hand_overs: Vec<HandOver>,
    #[n(2)]
    checkpoint: Checkpoint,
}

/// What a network left behind, verified: its last certified header and the state that it seals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    predecessor: Predecessor,
    height: u64,
    term: u64,
    network: NetworkName,
    governance: Governance,
    parameters: Parameters,
}

impl Left {
    /// The file that names a predecessor.
    pub fn file(genesis: &Genesis, hand_overs: Vec<HandOver>, checkpoint: &Checkpoint) -> Vec<u8> {
        codec::encode(&PredecessorFile {
            genesis: Bytes(genesis.encode()),
            hand_overs,
            checkpoint: checkpoint.clone(),
        })
    }

    /// X13: reads that file from hostile bytes, with the records of the state that it is about.
    pub fn verify(file: &[u8], records: &[Record]) -> Result<Self, SuccessionError> {
        let file: PredecessorFile = codec::decode(file, MAX_PREDECESSOR_BYTES)?;
        if file.hand_overs.len() > MAX_PREDECESSOR_TERMS {
            return Err(SuccessionError::TooManyTerms);
        }
        let genesis = Genesis::decode(&file.genesis.0)?;
        let mut terms = Terms::of(&genesis);
        for hand_over in &file.hand_overs {
            terms.hand_over(hand_over)?;
        }
        let CheckedHeader {
            header,
            digest,
            term,
        } = terms.checkpoint(&file.checkpoint)?;
        let by = genesis.hash_function();
        if carried::root(by, records) != header.sealed.state_root {
            return Err(SuccessionError::State);
        }
        let record = |key| {
            let found = records.binary_search_by(|(known, _)| known.cmp(&key));
            let found = found.ok().and_then(|at| records.get(at));
            found.map(|(_, value)| value.as_slice())
        };
        let governance = record(governance_key(by)).ok_or(SuccessionError::State)?;
        let running = record(parameters_key(by)).ok_or(SuccessionError::State)?;
        let running: RunningParameters = decode_record(running)?;
        Ok(Self {
            predecessor: Predecessor {
                genesis: genesis.digest(),
                header: digest,
                sealed: header.sealed,
            },
            height: header.height,
            term,
            network: genesis.network,
            governance: decode_record(governance)?,
            parameters: running.at(header.sealed.height).clone(),
        })
    }

    pub fn predecessor(&self) -> &Predecessor {
        &self.predecessor
    }

    /// The height of the last certified header.
    pub fn height(&self) -> u64 {
        self.height
    }

    /// The number of the term whose committee has certified it.
    pub fn term(&self) -> u64 {
        self.term
    }

    pub fn network(&self) -> &NetworkName {
        &self.network
    }

    pub fn governance(&self) -> &Governance {
        &self.governance
    }

    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// X14: the plan goes on from exactly this, and the old governance has approved it. Answers who
    /// has.
    pub fn approved(
        &self,
        plan: &Plan,
        approvals: &[Approval],
    ) -> Result<Vec<PublicKey>, SuccessionError> {
        let genesis = plan.unmade();
        let goes_on = genesis.predecessor == Some(self.predecessor)
            && genesis.network == self.network
            && genesis.governance == self.governance
            && genesis.parameters == self.parameters;
        if !goes_on {
            return Err(SuccessionError::OtherPlan);
        }
        let mut keys = Vec::new();
        for key in &self.governance.keys {
            let by_key = |approval: &&Approval| approval.key == *key;
            let mut by_key = approvals.iter().filter(by_key);
            if by_key.any(|approval| approval.verify(plan).is_ok()) {
                keys.push(key.clone());
            }
        }
        let (approved, needed) = (keys.len() as u64, self.governance.threshold);
        match approved >= needed {
            true => Ok(keys),
            false => Err(SuccessionError::Unapproved { approved, needed }),
        }
    }
}

/// One governance key's consent to a plan.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Approval {
    /// The plan's digest.
    #[n(0)]
    plan: Hash32,
    #[n(1)]
    key: PublicKey,
    #[n(2)]
    signature: Signature,
}

impl Approval {
    pub fn sign(plan: &Plan, key: &SecretKey) -> Self {
        let digest = plan.digest();
        Self {
            plan: digest,
            key: key.public(),
            signature: key.sign(Context::Succession, plan.network(), &digest.0),
        }
    }

    /// Reads an approval from hostile bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, MAX_DOCUMENT_BYTES)
    }

    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Whether the key that it names signed this plan.
    pub fn verify(&self, plan: &Plan) -> Result<(), SuccessionError> {
        let digest = plan.digest();
        let signed = self.key.verify(
            Context::Succession,
            plan.network(),
            &digest.0,
            &self.signature,
        );
        match signed.is_ok() && self.plan == digest {
            true => Ok(()),
            false => Err(SuccessionError::Approval),
        }
    }
}

#[cfg(test)]
mod tests;
