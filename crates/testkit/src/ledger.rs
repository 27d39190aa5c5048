//! A network in memory: genesis, issuers and governance from fixed seeds, and the ledger's rules
//! over it. No consensus, no proofs, no clock but the one that a test steps.
//!
//! ```text
//! let mut net = TestNet::new();
//! let did = TestDid::new(net.network(), 1);
//! net.apply(&net.anchor(&did)).unwrap();          // a block of its own
//! net.wait_ms(20_000);
//! net.state()                                     // every record, by key
//! ```
//!
//! All keys come from [`key`], so a failing test can be played again as it was.

use std::collections::BTreeMap;
use std::convert::Infallible;

use minicbor::{Decode, Encode};
use realdid_core::codec::Bytes;
use realdid_core::did::{Did, DidId, Inception, Keys, NetworkName, commitment};
use realdid_core::genesis::{Genesis, NetworkKey, Parameters, PeerKey};
use realdid_core::hash::{Hash32, HashFunction};
use realdid_core::header::Receipt;
use realdid_core::operation::{Body, Enrol, Operation, SignedOperation};
use realdid_core::rule::Rule;
use realdid_core::state::{
    Governance, Issuer, IssuerKey, KeyStatus, KeyUse, ReasonCode, Standing, TagKey, decode_record,
    issuer_id,
};
use realdid_core::suite::{SecretKey, Suite};
use realdid_core::trie::Key;
use realdid_ledger::state::{Nothing, Records};
use realdid_ledger::{Moment, Network, admissible, admissible_each, apply_block, genesis_changes};
use sha2::{Digest, Sha256};

use crate::trie::MemoryTrie;

/// When the test network begins: Unix milliseconds, at the start of a slot and of an epoch.
pub const START_MS: u64 = 1_800_000_000_000;
/// The URL of the issuer that enrols and sponsors.
pub const AUTHORITY: &str = "https://authority.example";
/// The URL of the issuer that registers services.
pub const REGISTRAR: &str = "https://registrar.example";
/// The point that the authority's tag key is: the generator of ristretto255 (RFC 9496 A.1), whose
/// secret is one. Tests that make tags put their own into the genesis.
pub const TAG_KEY: TagKey = TagKey([
    0xe2, 0xf2, 0xae, 0x0a, 0x6a, 0xbc, 0x4e, 0x71, 0xa8, 0x84, 0xa9, 0x61, 0xc5, 0x00, 0x51, 0x5f,
    0x58, 0xe3, 0x0b, 0x6a, 0xa5, 0x82, 0xdd, 0x8d, 0xb6, 0xa6, 0x59, 0x45, 0xe0, 0x8d, 0x2d, 0x76,
]);

/// The `n`th Ed25519 key of the tests.
pub fn key(n: u64) -> SecretKey {
    key_of(Suite::Ed25519, n)
}

/// The `n`th key of a suite.
#[allow(
    clippy::expect_used,
    reason = "only one seed in 2^32 is no P-256 key, and the seeds are fixed"
)]
pub fn key_of(suite: Suite, n: u64) -> SecretKey {
    SecretKey::from_seed(suite, seed(n)).expect("a fixed seed that gives a key")
}

/// The `n`th seed: 32 bytes that look random and are the same in every run.
pub fn seed(n: u64) -> [u8; 32] {
    Sha256::digest([b"rdid test seed".as_slice(), &n.to_be_bytes()].concat()).into()
}

/// The secrets of an issuer of the test network.
#[derive(Debug, Clone)]
pub struct TestIssuer {
    pub id: Hash32,
    /// Signs operations and sponsorships.
    pub operation: SecretKey,
    /// Signs PIDs or registrations: P-256, as JOSE libraries know it.
    pub document: SecretKey,
}

/// A DID with all three parties' secrets.
#[derive(Debug, Clone)]
pub struct TestDid {
    pub inception: Inception,
    pub current: SecretKey,
    pub next: SecretKey,
    pub recovery: SecretKey,
}

impl TestDid {
    /// The `n`th DID of the tests: keys `1000 n` to `1000 n + 2`.
    pub fn new(network: &NetworkName, n: u64) -> Self {
        Self::of(Suite::Ed25519, network, n)
    }

    /// The same with keys of any suite.
    pub fn of(suite: Suite, network: &NetworkName, n: u64) -> Self {
        let [current, next, recovery] = [0, 1, 2].map(|party| key_of(suite, 1000 * n + party));
        let inception = Inception {
            version: 1,
            network: network.clone(),
            keys: keys(&current, &next, &recovery),
            endpoints: Vec::new(),
        };
        Self {
            inception,
            current,
            next,
            recovery,
        }
    }

    pub fn id(&self) -> DidId {
        self.inception.id()
    }

    pub fn did(&self) -> Did {
        self.inception.did()
    }
}

/// Keys as they stand in an inception or a rotation, from the three parties' secrets.
pub fn keys(current: &SecretKey, next: &SecretKey, recovery: &SecretKey) -> Keys {
    Keys {
        current: vec![current.public()],
        next: commitment(&next.public()),
        recovery: commitment(&recovery.public()),
    }
}

/// A network whose ledger is a map in memory.
#[derive(Debug, Clone)]
pub struct TestNet {
    pub genesis: Genesis,
    /// The height and time of the last block.
    pub now: Moment,
    pub authority: TestIssuer,
    pub registrar: TestIssuer,
    /// Three governors, of whom two decide.
    pub governors: Vec<SecretKey>,
    records: Records<Nothing>,
}

impl Default for TestNet {
    fn default() -> Self {
        Self::new()
    }
}

impl TestNet {
    /// The network `dev` with the parameters of development.
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// The same network with its genesis changed before it begins.
    pub fn with(change: impl FnOnce(&mut Genesis)) -> Self {
        Self::of(Suite::Ed25519, network_name("dev"), change)
    }

    /// The network `cn`, wholly on SM2 and SM3: no other suite is admitted.
    pub fn sm() -> Self {
        let network = network_name("cn").hashing_by(HashFunction::Sm3);
        Self::of(Suite::Sm2, network, |genesis| {
            genesis.parameters.suites = vec![Suite::Sm2];
        })
    }

    /// A network whose governors and issuers sign by `suite`.
    fn of(suite: Suite, network: NetworkName, change: impl FnOnce(&mut Genesis)) -> Self {
        let by = network.hash_function();
        let authority = issuer_secrets(by, suite, AUTHORITY, 1);
        let registrar = issuer_secrets(by, suite, REGISTRAR, 2);
        let governors: Vec<_> = (10..13).map(|n| key_of(suite, n)).collect();
        let mut genesis = Genesis {
            version: 1,
            network,
            time_ms: START_MS,
            parameters: Parameters::development(),
            network_key: NetworkKey([0; 96]),
            validators: vec![PeerKey([1; 32])],
            governance: Governance {
                seq: 0,
                threshold: 2,
                keys: governors.iter().map(SecretKey::public).collect(),
            },
            issuers: vec![
                Issuer {
                    tag_key: Some(TAG_KEY),
                    enrolment_quota: 100,
                    sponsor_quota: 100,
                    pass_keys: vec![crate::person::pass_key()],
                    ..issuer(AUTHORITY, &authority, KeyUse::Pid)
                },
                Issuer {
                    registration_quota: 100,
                    sponsor_quota: 100,
                    ..issuer(REGISTRAR, &registrar, KeyUse::Registration)
                },
            ],
            ceremony: None,
            predecessor: None,
        };
        change(&mut genesis);
        let changes = genesis_changes(&genesis).into_iter().collect();
        Self {
            now: Moment {
                height: 0,
                time_ms: genesis.time_ms,
            },
            authority,
            registrar,
            governors,
            records: Records::with_changes(Nothing, changes),
            genesis,
        }
    }

    pub fn network(&self) -> &NetworkName {
        &self.genesis.network
    }

    /// The epoch of the last block.
    pub fn epoch(&self) -> u64 {
        self.genesis.parameters.epoch_at(self.now.time_ms)
    }

    /// Lets time pass: the next block is this much later, beside its interval.
    pub fn wait_ms(&mut self, ms: u64) {
        self.now.time_ms += ms;
    }

    /// Applies one operation in a block of its own, by its bytes as a validator gets them.
    pub fn apply(&mut self, signed: &SignedOperation) -> Result<(), Rule> {
        let receipts = self.block(&[Bytes(signed.encode())]);
        match receipts.first().and_then(|receipt| receipt.refused) {
            Some(rule) => Err(rule),
            None => Ok(()),
        }
    }

    /// Applies the next block.
    pub fn block(&mut self, operations: &[Bytes]) -> Vec<Receipt> {
        self.now.height += 1;
        self.now.time_ms += self.genesis.parameters.block_interval_ms;
        let network = Network {
            name: &self.genesis.network,
            parameters: &self.genesis.parameters,
        };
        let receipts: Result<_, Infallible> =
            apply_block(network, self.now, operations, &mut self.records);
        match receipts {
            Ok(receipts) => receipts,
            Err(never) => match never {},
        }
    }

    /// The rules that need no state, as the mempool of this network runs them.
    pub fn admissible(&self, signed: &SignedOperation) -> Result<(), Rule> {
        admissible(self.as_it_began(), self.now.height, signed)
    }

    /// The same of many at a time.
    pub fn admissible_each(&self, operations: &[&SignedOperation]) -> Vec<Result<(), Rule>> {
        admissible_each(self.as_it_began(), self.now.height, operations)
    }

    fn as_it_began(&self) -> Network<'_> {
        Network {
            name: &self.genesis.network,
            parameters: &self.genesis.parameters,
        }
    }

    /// Every record, by its key.
    pub fn state(&self) -> BTreeMap<Key, Vec<u8>> {
        let changes = self.records.clone().into_changes();
        changes
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect()
    }

    /// The state as a trie that proves.
    pub fn trie(&self) -> MemoryTrie {
        let mut trie = MemoryTrie::hashing_by(self.genesis.hash_function());
        let entries: Vec<_> = self
            .state()
            .into_iter()
            .map(|(k, v)| (k, Some(v)))
            .collect();
        trie.commit(&entries);
        trie
    }

    /// The record under a key.
    pub fn record<T>(&self, key: &Key) -> Option<T>
    where
        T: for<'b> Decode<'b, ()> + Encode<()>,
    {
        decode_record(self.state().get(key)?).ok()
    }

    /// An operation for this network that has time to be applied, signed by `by`.
    pub fn sign(&self, body: Body, by: &[&SecretKey]) -> SignedOperation {
        Operation::new(self.network().clone(), self.now.height + 100, body).sign(by)
    }

    /// A DID's anchor, sponsored by the authority.
    pub fn anchor(&self, did: &TestDid) -> SignedOperation {
        self.sign(Body::Anchor(did.inception.clone()), &[&did.current])
            .sponsored(self.authority.id, &self.authority.operation)
    }

    /// An enrolment by the authority in the present epoch.
    pub fn enrol(&self, tag: Hash32, seq: u64) -> SignedOperation {
        let enrol = Enrol {
            issuer: self.authority.id,
            tag,
            seq,
            commitment: Hash32(seed(99)),
            epoch: self.epoch(),
        };
        self.sign(Body::Enrol(enrol), &[&self.authority.operation])
    }

    /// A service's registration by the registrar.
    pub fn register(&self, service: Hash32, digest: Hash32) -> SignedOperation {
        self.sign(
            Body::Register(self.registrar.id, service, digest),
            &[&self.registrar.operation],
        )
    }
}

#[allow(clippy::expect_used, reason = "a constant that is a network's name")]
fn network_name(name: &str) -> NetworkName {
    name.parse().expect("a network's name")
}

fn issuer_secrets(by: HashFunction, suite: Suite, url: &str, n: u64) -> TestIssuer {
    TestIssuer {
        id: issuer_id(by, url),
        operation: key_of(suite, 100 * n),
        document: key_of(Suite::P256, 100 * n + 1),
    }
}

fn issuer(url: &str, secrets: &TestIssuer, usage: KeyUse) -> Issuer {
    let known = |usage, key: &SecretKey| IssuerKey {
        usage,
        key: key.public(),
        status: KeyStatus::Active,
        since: 0,
    };
    Issuer {
        url: url.to_owned(),
        keys: vec![
            known(KeyUse::Operation, &secrets.operation),
            known(usage, &secrets.document),
        ],
        tag_key: None,
        standing: Standing::Active,
        reason: ReasonCode::None,
        enrolment_quota: 0,
        sponsor_quota: 0,
        registration_quota: 0,
        pass_keys: Vec::new(),
    }
}
