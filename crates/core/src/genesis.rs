//! The genesis of a network: the one thing that everybody must have from somewhere they trust
//! (spec/headers.md, rules H1 to H3 and H11 to H15).

use crate::codec::{self, CodecError};
use crate::did::NetworkName;
use crate::governance::{
    Committee, Governance, NEWEST_RULES, RULES_OF_TERMS, RunningParameters, Term,
    consensus_namespace,
};
use crate::hash::{Domain, Hash32, HashFunction};
use crate::header::{Header, Sealed, receipts_root, slot_at};
use crate::state::{Issuer, KeyUse, committee_key, governance_key, issuer_key, parameters_key};
use crate::suite::Suite;
use crate::trie;
use minicbor::{Decode, Encode};

/// The longest genesis in bytes.
pub const MAX_GENESIS_BYTES: usize = 64 * 1024;

/// The most validators of a network.
const MAX_VALIDATORS: usize = 256;
/// The most personhood slots of a period.
const MAX_PERSONHOOD_SLOTS: u64 = 1000;
/// The longest of the network's periods in seconds: ten years.
const MAX_PERIOD_S: u64 = 3660 * 24 * 3600;
/// The longest epoch: so long somebody who is suspended may still sign in (promise P8).
pub const MAX_EPOCH_S: u64 = 7 * 24 * 3600;

/// Why a genesis was refused. Its publisher is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    #[error("the genesis cannot be read: {0}")]
    Codec(#[from] CodecError),
    /// H11
    #[error("the genesis is of version {found}, not 1")]
    Version { found: u8 },
    /// H12
    #[error("a parameter of the genesis is zero or beyond its bounds")]
    Parameters,
    /// H13
    #[error("a genesis names 1 to 256 validators, each once")]
    Validators,
    /// H14
    #[error("governance has 1 to 32 distinct keys, a threshold among them, and begins at 0")]
    Governance,
    /// H15
    #[error("an issuer of the genesis is not well formed, not of height 0, or named twice")]
    Issuers,
    /// H16
    #[error("the genesis admits no suite, one twice, or not one that its own keys are of")]
    Suites,
    /// H20
    #[error("a key made by a ceremony is shared by at least two validators")]
    Ceremony,
    /// H23
    #[error(
        "a network that goes on from another has its issuers and governance, and a key by a ceremony"
    )]
    Predecessor,
    /// H18
    #[error("the network runs newer rules than this program knows")]
    Rules,
}

impl GenesisError {
    /// The stable name of the rule, for errors that leave the process.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Codec(error) => error.code(),
            Self::Version { .. } => "genesis.version",
            Self::Parameters => "genesis.parameters",
            Self::Validators => "genesis.validators",
            Self::Governance => "genesis.governance",
            Self::Issuers => "genesis.issuers",
            Self::Suites => "genesis.suites",
            Self::Ceremony => "genesis.ceremony",
            Self::Predecessor => "genesis.predecessor",
            Self::Rules => "genesis.rules",
        }
    }
}

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
    /// The transcript of the ceremony that made the network key, so that nobody ever held it
    /// whole. Without it the key was dealt by one party: a network for development.
    #[n(8)]
    pub ceremony: Option<Hash32>,
    /// The network that this one goes on from.
    #[n(9)]
    pub predecessor: Option<Predecessor>,
}

/// A network that lost its quorum for good, and the state that another goes on from: what its
/// validators certified last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Predecessor {
    /// The digest of its genesis.
    #[n(0)]
    pub genesis: Hash32,
    /// The digest of its last certified header.
    #[n(1)]
    pub header: Hash32,
    /// What this header seals: every record of that state stands at the new height 0.
    #[n(2)]
    pub sealed: Sealed,
}

/// How far the clocks of wallets, gates and validators may be apart where an epoch turns, in
/// milliseconds.
pub const PASS_SKEW_MS: u64 = 10_000;

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
    /// The time in which a person has so many personhood slots: a year where a country runs.
    #[n(8)]
    pub personhood_period_s: u64,
    /// How many DIDs a person may anchor on their own account in one period.
    #[n(9)]
    pub personhood_slots: u64,
    /// The suites of the keys that may sign operations, ascending.
    #[n(10)]
    pub suites: Vec<Suite>,
    /// The version of the rules that run.
    #[n(11)]
    pub rules: u8,
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
            personhood_period_s: 600,
            personhood_slots: 4,
            suites: Suite::ALL.to_vec(),
            rules: NEWEST_RULES,
        }
    }

    /// Whether keys of `suite` may sign operations and stand in DIDs.
    pub fn admits(&self, suite: Suite) -> bool {
        self.suites.contains(&suite)
    }

    /// The suite of a new DID's keys, and of the keys of those who sign operations: the first that is
    /// admitted (E9).
    pub fn did_suite(&self) -> Suite {
        // None admits nothing (H16).
        self.suites.first().copied().unwrap_or(Suite::Ed25519)
    }

    /// The suite of new keys that sign documents, which are credentials, registrations and requests,
    /// and of the keys that credentials are bound to (E9): P-256, which everybody's software knows, and
    /// SM2 where that is admitted and P-256 is not.
    pub fn document_suite(&self) -> Suite {
        match self.documents_by(Suite::P256) {
            true => Suite::P256,
            false => Suite::Sm2,
        }
    }

    /// Whether documents may be signed by keys of `suite` (E9).
    pub fn documents_by(&self, suite: Suite) -> bool {
        // A network of Ed25519 alone speaks to the world's wallets by P-256 all the same.
        self.admits(suite) || (suite == Suite::P256 && !self.admits(Suite::Sm2))
    }

    /// The same with epochs of another length, and a refresh lead of a quarter of it.
    pub fn with_epoch(self, epoch_s: u64) -> Self {
        Self {
            epoch_s,
            refresh_lead_s: epoch_s / 4,
            ..self
        }
    }

    /// The epoch of a time in Unix milliseconds.
    pub fn epoch_at(&self, time_ms: u64) -> u64 {
        time_ms / self.epoch_s.max(1).saturating_mul(1000)
    }

    /// The personhood period of a time in Unix milliseconds.
    pub fn personhood_period_at(&self, time_ms: u64) -> u64 {
        time_ms / self.personhood_period_s.max(1).saturating_mul(1000)
    }

    /// Whether a RealPass of `epoch` stands at a time in Unix milliseconds: in its epoch, and
    /// [`PASS_SKEW_MS`] to either side of it.
    pub fn pass_stands(&self, epoch: u64, time_ms: u64) -> bool {
        self.pass_begins_ms(epoch) <= time_ms.saturating_add(PASS_SKEW_MS)
            && time_ms < self.pass_ends_ms(epoch).saturating_add(PASS_SKEW_MS)
    }

    /// Whether a RealPass of `epoch` may be issued at a time in Unix milliseconds: from the refresh
    /// lead before its epoch on, so that wallets have it when the epoch begins, all at once. What
    /// is issued then ends at most an epoch and the lead later (promise P8).
    pub fn pass_issuable(&self, epoch: u64, time_ms: u64) -> bool {
        let lead_ms = self.refresh_lead_s.saturating_mul(1000);
        self.pass_begins_ms(epoch) <= time_ms.saturating_add(lead_ms)
            && time_ms < self.pass_ends_ms(epoch)
    }

    /// Whether no RealPass of `epoch` can have been issued yet at a time in Unix milliseconds.
    pub fn pass_unissued(&self, epoch: u64, time_ms: u64) -> bool {
        let lead_ms = self.refresh_lead_s.saturating_mul(1000);
        self.pass_begins_ms(epoch) > time_ms.saturating_add(lead_ms)
    }

    /// The beginning of an epoch in Unix milliseconds.
    pub fn pass_begins_ms(&self, epoch: u64) -> u64 {
        epoch.saturating_mul(self.epoch_s).saturating_mul(1000)
    }

    /// The end of an epoch in Unix milliseconds.
    pub fn pass_ends_ms(&self, epoch: u64) -> u64 {
        self.pass_begins_ms(epoch.saturating_add(1))
    }

    /// Unix seconds at which a login credential that is issued in `epoch` expires: the end of
    /// the epoch plus the refresh lead, the cap of promise P8.
    pub fn credential_expiry_s(&self, epoch: u64) -> u64 {
        epoch
            .saturating_add(1)
            .saturating_mul(self.epoch_s)
            .saturating_add(self.refresh_lead_s)
    }

    /// H12: no period is so long that milliseconds overflow, and none that divides is zero.
    pub fn are_bounded(&self) -> bool {
        let divide = [
            self.slot_s,
            self.epoch_s,
            self.status_period_s,
            self.personhood_period_s,
        ];
        let wait = [self.refresh_lead_s, self.recovery_delay_s];
        divide.iter().all(|s| (1..=MAX_PERIOD_S).contains(s))
            && wait.iter().all(|s| *s <= MAX_PERIOD_S)
            && self.epoch_s <= MAX_EPOCH_S
            && (1..=60_000).contains(&self.block_interval_ms)
            && (1..=u64::from(u32::MAX)).contains(&self.expiry_window)
            && (1..=u64::from(u32::MAX)).contains(&self.block_operations)
            && self.personhood_slots <= MAX_PERSONHOOD_SLOTS
            && self.rules > 0
    }

    /// H16: suites, each once and in order.
    pub fn suites_are_listed(&self) -> bool {
        !self.suites.is_empty() && self.suites.is_sorted_by(|a, b| a < b)
    }

    /// G2: what no decision changes. Slots, epochs and periods are numbered by these from the
    /// beginning of time, and wallets and verifiers, who know the genesis alone, count by them.
    pub fn keeps_what_is_fixed(&self, before: &Self) -> bool {
        let fixed = |p: &Self| {
            (
                p.slot_s,
                p.epoch_s,
                p.refresh_lead_s,
                p.recovery_delay_s,
                p.status_period_s,
                p.personhood_period_s,
            )
        };
        fixed(self) == fixed(before)
    }
}

impl Genesis {
    /// Reads and checks a genesis from hostile bytes. Whether it is the right network's only its
    /// [`digest`](Self::digest) can say.
    pub fn decode(bytes: &[u8]) -> Result<Self, GenesisError> {
        let genesis: Self = codec::decode(bytes, MAX_GENESIS_BYTES)?;
        genesis.check()?;
        Ok(genesis)
    }

    /// Rules H11 to H15. Whether the network key is a point of its curve is found by the first
    /// certificate that is verified.
    pub fn check(&self) -> Result<(), GenesisError> {
        if self.version != 1 {
            return Err(GenesisError::Version {
                found: self.version,
            });
        }
        if !self.parameters.are_bounded() {
            return Err(GenesisError::Parameters);
        }
        let n = self.validators.len();
        if !(1..=MAX_VALIDATORS).contains(&n) || !distinct(&self.validators) {
            return Err(GenesisError::Validators);
        }
        if self.ceremony.is_some() && n < 2 {
            return Err(GenesisError::Ceremony);
        }
        let goes_on = self.predecessor.is_some();
        if !self.governance.is_well_formed() || (self.governance.seq != 0 && !goes_on) {
            return Err(GenesisError::Governance);
        }
        if goes_on && (!self.issuers.is_empty() || self.is_dealt()) {
            return Err(GenesisError::Predecessor);
        }
        let by = self.hash_function();
        let ids: Vec<Hash32> = self.issuers.iter().map(|issuer| issuer.id(by)).collect();
        let admitted =
            |issuer: &Issuer| issuer.is_well_formed() && issuer.keys.iter().all(|k| k.since == 0);
        if !self.issuers.iter().all(admitted) || !distinct(&ids) {
            return Err(GenesisError::Issuers);
        }
        let operating = self
            .issuers
            .iter()
            .flat_map(|issuer| &issuer.keys)
            .filter(|known| known.usage == KeyUse::Operation)
            .map(|known| &known.key);
        let mut acting = self.governance.keys.iter().chain(operating);
        let admitted = acting.all(|key| self.parameters.admits(key.suite()));
        if !self.parameters.suites_are_listed() || !admitted {
            return Err(GenesisError::Suites);
        }
        if self.parameters.rules > NEWEST_RULES {
            return Err(GenesisError::Rules);
        }
        Ok(())
    }

    /// The hash function of the network's identifiers, lists and state.
    pub fn hash_function(&self) -> HashFunction {
        self.network.hash_function()
    }

    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// What a person can compare to know that it is the right network.
    pub fn digest(&self) -> Hash32 {
        let by = self.hash_function();
        by.tagged(Domain::Genesis, &[&self.encode()])
    }

    /// The prefix of every validator's signature: it binds them to this genesis.
    pub fn namespace(&self) -> Vec<u8> {
        consensus_namespace(&self.digest())
    }

    /// Whether one party has had the whole network key, as a dealer has and a committee of one: such
    /// a network is for development, and its key is never handed on.
    pub fn is_dealt(&self) -> bool {
        self.ceremony.is_none()
    }

    /// The committee with which the network begins.
    pub fn term(&self) -> Term {
        Term {
            number: 0,
            first: 0,
            network_key: self.network_key,
            validators: self.validators.clone(),
            polynomial: None,
        }
    }

    /// The records that the ledger holds before the first block, in order of their keys. Where the
    /// network goes on from another these are that one's, of which the genesis has the root alone.
    pub fn records(&self) -> Vec<(trie::Key, Vec<u8>)> {
        if self.predecessor.is_some() {
            return Vec::new();
        }
        let by = self.hash_function();
        let mut records: Vec<_> = self
            .issuers
            .iter()
            .map(|issuer| (issuer_key(by, &issuer.id(by)), codec::encode(issuer)))
            .collect();
        records.push((governance_key(by), codec::encode(&self.governance)));
        let parameters = RunningParameters {
            current: self.parameters.clone(),
            next: None,
        };
        records.push((parameters_key(by), codec::encode(&parameters)));
        if self.parameters.rules >= RULES_OF_TERMS {
            let committee = Committee::of(self.term());
            records.push((committee_key(by), codec::encode(&committee)));
        }
        records.sort();
        records
    }

    /// The header at height 0. Its sealed state is the genesis records, or the predecessor's.
    pub fn header(&self) -> Header {
        let by = self.hash_function();
        let carried = self.predecessor.map(|from| from.sealed.state_root);
        let leaves: Vec<_> = self
            .records()
            .iter()
            .map(|(key, value)| (*key, trie::value_hash(by, value)))
            .collect();
        Header {
            version: self.parameters.rules,
            network: self.network.clone(),
            parent: self.digest(),
            height: 0,
            time_ms: self.time_ms,
            operations_root: by.list_root(&[]),
            sealed: Sealed {
                slot: slot_at(self.time_ms, self.parameters.slot_s),
                height: 0,
                state_root: carried.unwrap_or_else(|| Hash32(trie::subtree_root(by, &leaves, 0))),
                receipts_root: receipts_root(by, &self.digest(), &[]),
            },
        }
    }
}

fn distinct<T: Ord>(items: &[T]) -> bool {
    let mut sorted: Vec<&T> = items.iter().collect();
    sorted.sort_unstable();
    sorted.windows(2).all(|pair| pair[0] != pair[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::KeyStatus;

    #[test]
    fn a_genesis_that_cannot_work_is_refused_by_name() {
        let text = include_str!("../../../spec/vectors/ledger/genesis.hex");
        let good = Genesis::decode(&hex::decode(text.trim_end()).unwrap()).unwrap();
        let refused = |code: &str, change: &dyn Fn(&mut Genesis)| {
            let mut genesis = good.clone();
            change(&mut genesis);
            let error = Genesis::decode(&genesis.encode()).unwrap_err();
            assert_eq!(error.code(), code);
        };
        refused("genesis.version", &|g| g.version = 2);
        refused("codec.too_long", &|g| {
            g.validators = vec![PeerKey([1; 32]); MAX_GENESIS_BYTES / 32];
        });
        let parameters = "genesis.parameters";
        for extreme in [0, u64::MAX] {
            refused(parameters, &|g| g.parameters.slot_s = extreme);
            refused(parameters, &|g| g.parameters.epoch_s = extreme);
            refused(parameters, &|g| g.parameters.status_period_s = extreme);
            refused(parameters, &|g| g.parameters.personhood_period_s = extreme);
            refused(parameters, &|g| g.parameters.block_interval_ms = extreme);
            refused(parameters, &|g| g.parameters.expiry_window = extreme);
            refused(parameters, &|g| g.parameters.block_operations = extreme);
        }
        refused(parameters, &|g| g.parameters.refresh_lead_s = u64::MAX);
        refused(parameters, &|g| g.parameters.epoch_s = MAX_EPOCH_S + 1);
        refused(parameters, &|g| g.parameters.personhood_slots = 1001);
        refused(parameters, &|g| g.parameters.recovery_delay_s = u64::MAX);
        refused(parameters, &|g| g.parameters.rules = 0);
        refused("genesis.rules", &|g| g.parameters.rules = NEWEST_RULES + 1);
        refused("genesis.validators", &|g| g.validators.clear());
        refused("genesis.validators", &|g| {
            g.validators.push(g.validators[0])
        });
        refused("genesis.ceremony", &|g| {
            g.ceremony = Some(Hash32([1; 32]));
        });
        let from = Predecessor {
            genesis: Hash32([1; 32]),
            header: Hash32([2; 32]),
            sealed: good.header().sealed,
        };
        refused("genesis.predecessor", &|g| g.predecessor = Some(from));
        refused("genesis.predecessor", &|g| {
            (g.predecessor, g.issuers) = (Some(from), Vec::new());
        });
        let governance = "genesis.governance";
        refused(governance, &|g| g.governance.threshold = 0);
        refused(governance, &|g| g.governance.threshold = 2);
        refused(governance, &|g| g.governance.keys.clear());
        refused(governance, &|g| {
            let again = g.governance.keys[0].clone();
            g.governance.keys.push(again);
        });
        refused(governance, &|g| g.governance.seq = u64::MAX);
        let issuers = "genesis.issuers";
        refused(issuers, &|g| {
            g.issuers[0].url = "https://a.example?b".into()
        });
        refused(issuers, &|g| g.issuers[0].keys.clear());
        refused(issuers, &|g| g.issuers[0].keys[0].since = 7);
        refused(issuers, &|g| {
            g.issuers[0].keys[0].status = KeyStatus::Retired(0)
        });
        refused(issuers, &|g| g.issuers.push(g.issuers[0].clone()));
        let suites = "genesis.suites";
        refused(suites, &|g| g.parameters.suites.clear());
        refused(suites, &|g| g.parameters.suites = vec![Suite::Sm2]);
        refused(suites, &|g| {
            g.parameters.suites = vec![Suite::Ed25519, Suite::Ed25519]
        });
        refused(suites, &|g| {
            g.parameters.suites = vec![Suite::P256, Suite::Ed25519]
        });
    }

    #[test]
    fn h23_a_network_goes_on_with_its_predecessors_state() {
        let text = include_str!("../../../spec/vectors/ledger/genesis-ceremony.hex");
        let first = Genesis::decode(&hex::decode(text.trim_end()).unwrap()).unwrap();
        let mut last = first.header();
        last.sealed.height = 90;
        last.sealed.state_root = Hash32([9; 32]);
        let mut next = first.clone();
        next.issuers.clear();
        next.governance.seq = 7;
        next.predecessor = Some(Predecessor {
            genesis: first.digest(),
            header: last.digest(),
            sealed: last.sealed,
        });
        assert_eq!(Genesis::decode(&next.encode()), Ok(next.clone()));
        assert_eq!(next.records(), []);
        let header = next.header();
        assert_eq!(header.sealed.state_root, last.sealed.state_root);
        assert_eq!((header.height, header.sealed.height), (0, 0));
        // A network of its own: no signature for one counts in the other.
        assert_ne!(next.namespace(), first.namespace());
    }

    #[test]
    fn times_do_not_overflow_whatever_the_parameters_say() {
        let mut parameters = Parameters::development();
        parameters.epoch_s = u64::MAX;
        assert_eq!(parameters.epoch_at(u64::MAX), 1);
        assert_eq!(parameters.credential_expiry_s(u64::MAX), u64::MAX);
        assert_eq!(slot_at(u64::MAX, u64::MAX), 1);
    }

    #[test]
    fn p8_a_realpass_stands_in_its_epoch_and_is_issued_from_the_lead_before() {
        for parameters in [
            Parameters::development(),
            Parameters::development().with_epoch(86_400),
        ] {
            let (begins, ends) = (parameters.pass_begins_ms(9), parameters.pass_ends_ms(9));
            let lead_ms = parameters.refresh_lead_s * 1000;
            assert_eq!(ends - begins, parameters.epoch_s * 1000);
            assert!(!parameters.pass_stands(9, begins - PASS_SKEW_MS - 1));
            assert!(parameters.pass_stands(9, begins - PASS_SKEW_MS));
            assert!(parameters.pass_stands(9, ends + PASS_SKEW_MS - 1));
            assert!(!parameters.pass_stands(9, ends + PASS_SKEW_MS));
            assert!(!parameters.pass_issuable(9, begins - lead_ms - 1));
            assert!(parameters.pass_issuable(9, begins - lead_ms));
            assert!(parameters.pass_issuable(9, ends - 1));
            assert!(!parameters.pass_issuable(9, ends));
            // What a key may still be named for is what nothing can have been issued for.
            assert!(parameters.pass_unissued(9, begins - lead_ms - 1));
            assert!(!parameters.pass_unissued(9, begins - lead_ms));
        }
    }
}
