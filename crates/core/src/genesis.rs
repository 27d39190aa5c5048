//! The genesis of a network: the one thing that everybody must have from somewhere they trust
//! (spec/headers.md, rules H1 to H3).

use crate::codec::{self, CodecError};
use crate::did::NetworkName;
use crate::hash::{Domain, Hash32, hash, list_root};
use crate::header::{Header, Sealed, receipts_root, slot_at};
use crate::state::{Governance, Issuer, governance_key, issuer_key};
use crate::trie;
use minicbor::{Decode, Encode};

/// The longest genesis in bytes.
pub const MAX_GENESIS_BYTES: usize = 64 * 1024;

crate::fixed_bytes!(
    /// The validators' one public key: a compressed BLS12-381 G2 point.
    NetworkKey,
    96
);

crate::fixed_bytes!(
    /// A validator's Ed25519 key on the peer-to-peer network.
    PeerKey,
    32
);

/// What is fixed when a network begins.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Genesis {
    /// Version of this structure: 1.
    #[n(0)]
    pub version: u8,
    #[n(1)]
    pub network: NetworkName,
    /// Unix milliseconds.
    #[n(2)]
    pub time_ms: u64,
    #[n(3)]
    pub parameters: Parameters,
    #[n(4)]
    pub network_key: NetworkKey,
    #[n(5)]
    pub validators: Vec<PeerKey>,
    #[n(6)]
    pub governance: Governance,
    /// Issuers that are admitted from the start.
    #[n(7)]
    pub issuers: Vec<Issuer>,
}

/// The network's parameters. Times in the unit that the name says.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Parameters {
    /// The least time between blocks that carry operations.
    #[n(0)]
    pub block_interval_ms: u64,
    /// The length of a slot: proofs are of the state at the end of one.
    #[n(1)]
    pub slot_s: u64,
    /// The length of an epoch: credentials for logins live for one and the lead.
    #[n(2)]
    pub epoch_s: u64,
    /// How long before its end, at most, a credential is renewed.
    #[n(3)]
    pub refresh_lead_s: u64,
    /// How long a recovery waits before it takes effect.
    #[n(4)]
    pub recovery_delay_s: u64,
    /// How long a verifier may go on with issuer and service records that it has read.
    #[n(5)]
    pub status_period_s: u64,
    /// The furthest expiry of an operation, in blocks ahead.
    #[n(6)]
    pub expiry_window: u64,
    /// The most operations in a block.
    #[n(7)]
    pub block_operations: u64,
}

impl Parameters {
    /// A network for development: seconds where a country has minutes and days, so that tests
    /// wait for real time.
    pub fn development() -> Self {
        Self {
            block_interval_ms: 200,
            slot_s: 2,
            epoch_s: 60,
            refresh_lead_s: 60,
            recovery_delay_s: 20,
            status_period_s: 10,
            expiry_window: 10_000,
            block_operations: 4096,
        }
    }

    /// The epoch of a time in Unix milliseconds.
    pub fn epoch_at(&self, time_ms: u64) -> u64 {
        time_ms / (self.epoch_s.max(1) * 1000)
    }

    /// Unix seconds at which a login credential that is issued in `epoch` expires: the end of
    /// the epoch plus the refresh lead, the cap of promise P8.
    pub fn credential_expiry_s(&self, epoch: u64) -> u64 {
        (epoch + 1) * self.epoch_s + self.refresh_lead_s
    }
}

impl Genesis {
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, MAX_GENESIS_BYTES)
    }

    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// What a person can compare to know that it is the right network.
    pub fn digest(&self) -> Hash32 {
        hash(Domain::Genesis, &[&self.encode()])
    }

    /// The prefix of every validator's signature: it binds them to this genesis.
    pub fn namespace(&self) -> Vec<u8> {
        [b"rdid/1/consensus/".as_slice(), &self.digest().0].concat()
    }

    /// The records that the ledger holds before the first block, in order of their keys.
    pub fn records(&self) -> Vec<(trie::Key, Vec<u8>)> {
        let mut records: Vec<_> = self
            .issuers
            .iter()
            .map(|issuer| (issuer_key(&issuer.id()), codec::encode(issuer)))
            .collect();
        records.push((governance_key(), codec::encode(&self.governance)));
        records.sort();
        records
    }

    /// The header at height 0. Its sealed state is the genesis records.
    pub fn header(&self) -> Header {
        let leaves: Vec<_> = self
            .records()
            .iter()
            .map(|(key, value)| (*key, trie::value_hash(value)))
            .collect();
        Header {
            version: 1,
            network: self.network.clone(),
            parent: self.digest(),
            height: 0,
            time_ms: self.time_ms,
            operations_root: list_root(&[]),
            sealed: Sealed {
                slot: slot_at(self.time_ms, self.parameters.slot_s),
                height: 0,
                state_root: Hash32(trie::subtree_root(&leaves, 0)),
                receipts_root: receipts_root(&self.digest(), &[]),
            },
        }
    }
}
