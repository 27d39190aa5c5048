//! What a network's governance decides, and what stands of it on the ledger (spec/operations.md,
//! rules G1 to G14; spec/state.md).
//!
//! Every decision leaves a record under its sequence number: what was decided, why, by whose keys,
//! in which block. So who decided what is public and provable for good.

use crate::certificate::is_network_key;
use crate::did::NetworkName;
use crate::genesis::{NetworkKey, Parameters, PeerKey};
use crate::hash::{Domain, Hash32, HashFunction};
use crate::header::{Header, Sealed};
use crate::operation::Decision;
use crate::state::{ReasonCode, Standing};
use crate::suite::PublicKey;
use crate::terms::{Terms, TrustedTerm};
use minicbor::{Decode, Encode};

/// The newest version of the rules that this code runs. It runs every older one too, since blocks
/// of old are replayed by the rules of their time.
pub const NEWEST_RULES: u8 = 5;
/// The first rules under which committees change.
pub const RULES_OF_TERMS: u8 = 3;
/// The first rules under which recognised networks are followed from committee to committee, and
/// their forks are kept.
pub const RULES_OF_FOLLOWING: u8 = 4;
/// The first rules under which issuers publish status lists.
pub const RULES_OF_STATUS: u8 = 5;
/// How many blocks lie at least between a decision about parameters and the first block that runs
/// under them. A validator may judge blocks so far ahead of what it has executed (rule H18).
pub const NOTICE_BLOCKS: u64 = 32;
/// How many headers at least show a term that was decided before its notice ends: whoever follows
/// the network needs one of them that a certified header follows from (rules G14 and L11).
pub const SHOWN_BLOCKS: u64 = 16;
/// The most governance keys: a decision carries at most as many signatures (rule O4).
pub const MAX_GOVERNORS: usize = 32;
/// The most validators of a term that governance decides: their keys stand in one operation.
pub const MAX_TERM_VALIDATORS: usize = 100;
/// The most kinds of credential that a recognition accepts.
pub const MAX_ACCEPTED: usize = CredentialType::ALL.len();

/// Who decides, and how many decisions there were.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Governance {
    #[n(0)]
    pub seq: u64,
    #[n(1)]
    pub threshold: u64,
    #[n(2)]
    pub keys: Vec<PublicKey>,
}

impl Governance {
    /// H14, G3: 1 to [`MAX_GOVERNORS`] distinct keys, and a threshold among them.
    pub fn is_well_formed(&self) -> bool {
        let n = self.keys.len();
        let distinct = (1..n).all(|i| !self.keys[..i].contains(&self.keys[i]));
        (1..=MAX_GOVERNORS).contains(&n) && (1..=n as u64).contains(&self.threshold) && distinct
    }
}

/// The parameters that the network runs under, and those that it will.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct RunningParameters {
    #[n(0)]
    pub current: Parameters,
    #[n(1)]
    pub next: Option<NextParameters>,
}

/// Parameters that stand from a height on.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct NextParameters {
    /// The first height at which they stand.
    #[n(0)]
    pub from: u64,
    #[n(1)]
    pub parameters: Parameters,
}

impl RunningParameters {
    /// The parameters under which a block at `height` runs.
    pub fn at(&self, height: u64) -> &Parameters {
        match &self.next {
            Some(next) if next.from <= height => &next.parameters,
            _ => &self.current,
        }
    }
}

/// A committee for a time: who orders the blocks from a height on, and under which key.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Term {
    /// 0 for the committee of the genesis, one more for each that follows. Certificates carry it
    /// as their epoch.
    #[n(0)]
    pub number: u64,
    /// The first height that it orders: 0 for that of the genesis.
    #[n(1)]
    pub first: u64,
    /// Verifies each of its certificates.
    #[n(2)]
    pub network_key: NetworkKey,
    /// The validators' keys on the peer-to-peer network, ascending where governance decides: the
    /// place of a key is the number of its share.
    #[n(3)]
    pub validators: Vec<PeerKey>,
    /// The digest of the public polynomial, against which a validator holds its own copy. None for
    /// the genesis, which does not know it.
    #[n(4)]
    pub polynomial: Option<Hash32>,
}

impl Term {
    /// The digest of a public polynomial, by which a term names it.
    pub fn polynomial_digest(by: HashFunction, polynomial: &[u8]) -> Hash32 {
        by.tagged(Domain::Polynomial, &[polynomial])
    }

    /// G12: 1 to [`MAX_TERM_VALIDATORS`] validators, each once and in order, a polynomial, and a key
    /// that is a point of its group.
    pub fn is_well_formed(&self) -> bool {
        (1..=MAX_TERM_VALIDATORS).contains(&self.validators.len())
            && self.validators.is_sorted_by(|a, b| a < b)
            && self.polynomial.is_some()
            && is_network_key(&self.network_key.0)
    }
}

/// The term that runs, and the one that follows it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Committee {
    #[n(0)]
    pub running: Term,
    #[n(1)]
    pub next: Option<NextTerm>,
}

/// A term that governance has decided.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct NextTerm {
    #[n(0)]
    pub term: Term,
    /// The height since which this record stands: a state that is sealed at it, or later, shows it.
    #[n(1)]
    pub since: u64,
    /// The height of the first header whose sealed state shows it; none until one has.
    #[n(2)]
    pub shown: Option<u64>,
}

impl Committee {
    /// That of the genesis.
    pub fn of(genesis: Term) -> Self {
        Self {
            running: genesis,
            next: None,
        }
    }

    /// The term that orders the block at `height`.
    pub fn at(&self, height: u64) -> &Term {
        match &self.next {
            Some(next) if next.term.first <= height => &next.term,
            _ => &self.running,
        }
    }

    /// The same as it stands at `height`: a term that has begun runs.
    pub fn from(&self, height: u64) -> Self {
        match &self.next {
            Some(next) if next.term.first <= height => Self::of(next.term.clone()),
            _ => self.clone(),
        }
    }

    /// G14, before the block at `height` is executed, whose header seals the state of
    /// `sealed_height`. Notes the first header that shows the coming term. [`NOTICE_BLOCKS`] before
    /// it begins it must have been shown by [`SHOWN_BLOCKS`] headers, or nobody could prove by the
    /// running term's certificates that it was decided: else it is put off, each time for twice as
    /// long, so that a slot ends meanwhile however short its blocks are.
    pub fn before(&self, height: u64, sealed_height: u64) -> Option<Self> {
        let next = self.next.as_ref()?;
        let shown = next
            .shown
            .or_else(|| (sealed_height >= next.since).then_some(height));
        let due = next.term.first == height.saturating_add(NOTICE_BLOCKS);
        let provable = shown.is_some_and(|shown| shown.saturating_add(SHOWN_BLOCKS) <= height);
        let after = if due && !provable {
            let waited = height.saturating_sub(next.since).max(NOTICE_BLOCKS);
            let first = next.term.first.saturating_add(waited.saturating_mul(2));
            NextTerm {
                term: Term {
                    first,
                    ..next.term.clone()
                },
                since: height,
                shown: None,
            }
        } else {
            NextTerm {
                shown,
                ..next.clone()
            }
        };
        (after != *next).then(|| Self {
            running: self.running.clone(),
            next: Some(after),
        })
    }
}

/// A decision that was made: the public record of who decided what.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct DecisionRecord {
    /// The height and time (Unix milliseconds) of its block.
    #[n(0)]
    pub height: u64,
    #[n(1)]
    pub time_ms: u64,
    /// The operation's id: its signatures are in the block.
    #[n(2)]
    pub operation: Hash32,
    #[n(3)]
    pub decision: Decision,
    #[n(4)]
    pub reason: ReasonCode,
    /// The governance keys that signed it.
    #[n(5)]
    pub keys: Vec<PublicKey>,
}

/// The kinds of credential that a network can accept of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum CredentialType {
    /// A PID.
    #[n(0)]
    Pid,
    /// A RealPass.
    #[n(1)]
    RealPass,
    /// The registration of a service.
    #[n(2)]
    Registration,
}

impl CredentialType {
    /// Its name in interfaces.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pid => "pid",
            Self::RealPass => "real-pass",
            Self::Registration => "registration",
        }
    }

    pub const ALL: [CredentialType; 3] = [Self::Pid, Self::RealPass, Self::Registration];
}

/// How well a person or organisation was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Assurance {
    #[n(0)]
    Low,
    #[n(1)]
    Substantial,
    #[n(2)]
    High,
}

impl Assurance {
    pub const ALL: [Assurance; 3] = [Self::Low, Self::Substantial, Self::High];

    /// Its name in interfaces.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Substantial => "substantial",
            Self::High => "high",
        }
    }
}

/// A kind of credential that is accepted, and the least assurance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Accepted {
    #[n(0)]
    pub kind: CredentialType,
    #[n(1)]
    pub least: Assurance,
}

/// Another network, and what of it is accepted.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Recognised {
    /// The other network's name, with its hash function.
    #[n(0)]
    pub network: NetworkName,
    /// The digest of its genesis.
    #[n(1)]
    pub genesis: Hash32,
    /// Its identity: the key that its validators sign by together.
    #[n(2)]
    pub network_key: NetworkKey,
    /// Ascending by kind.
    #[n(3)]
    pub accepts: Vec<Accepted>,
    /// Of which term the key is; none where it is that of the genesis.
    #[n(4)]
    pub begins: Option<FirstTerm>,
}

/// The term of another network from which on it is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct FirstTerm {
    #[n(0)]
    pub number: u64,
    /// The first height that it orders.
    #[n(1)]
    pub first: u64,
}

impl Recognised {
    /// G6: a network other than `own`, whose accepted kinds are listed once each, in their order.
    pub fn is_well_formed(&self, own: &NetworkName) -> bool {
        self.network.as_str() != own.as_str()
            && (1..=MAX_ACCEPTED).contains(&self.accepts.len())
            && self.accepts.is_sorted_by(|a, b| a.kind < b.kind)
    }

    /// The prefix of its validators' signatures.
    pub fn namespace(&self) -> Vec<u8> {
        consensus_namespace(&self.genesis)
    }

    /// The term whose key governance has named.
    fn term(&self) -> TrustedTerm {
        TrustedTerm {
            number: self.begins.map_or(0, |term| term.number),
            first: self.begins.map_or(0, |term| term.first),
            network_key: self.network_key,
        }
    }

    /// Whether a credential of this kind and assurance is accepted.
    pub fn takes(&self, kind: CredentialType, assurance: Assurance) -> bool {
        let fits = |accepted: &Accepted| accepted.kind == kind && accepted.least <= assurance;
        self.accepts.iter().any(fits)
    }
}

/// The prefix of every validator's signature, which binds them to a genesis (rule H2).
pub fn consensus_namespace(genesis: &Hash32) -> Vec<u8> {
    [b"rdid/1/consensus/".as_slice(), &genesis.0].concat()
}

/// One network's word that it accepts another's credentials, and how far it has followed it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Recognition {
    #[n(0)]
    pub recognised: Recognised,
    #[n(1)]
    pub standing: Standing,
    #[n(2)]
    pub reason: ReasonCode,
    /// The newest checkpoint of the other network that anybody has shown; none until one has.
    #[n(3)]
    pub latest: Option<ForeignCheckpoint>,
    /// The terms of the other network that stand; none while that is the one which governance named.
    #[n(4)]
    pub followed: Option<FollowedTerms>,
    /// Proof that the other network has forked; none while nobody has shown any.
    #[n(5)]
    pub fork: Option<Fork>,
}

/// Which committees of another network can certify anything that is new.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct FollowedTerms {
    #[n(0)]
    pub running: TrustedTerm,
    /// The one that it hands the network to; from its first height on.
    #[n(1)]
    pub next: Option<TrustedTerm>,
}

/// Two final headers of one height, of which both certificates were verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Fork {
    /// Theirs, on the other network.
    #[n(0)]
    pub height: u64,
    /// The headers' digests, the lesser first.
    #[n(1)]
    pub one: Hash32,
    #[n(2)]
    pub other: Hash32,
    /// The height of the block in which somebody has shown them.
    #[n(3)]
    pub shown: u64,
}

impl Recognition {
    /// A network that nobody has followed yet.
    pub fn of(recognised: Recognised, reason: ReasonCode) -> Self {
        Self {
            recognised,
            standing: Standing::Active,
            reason,
            latest: None,
            followed: None,
            fork: None,
        }
    }

    /// G6: the same after another decision about what is accepted. Where it names another term, or
    /// another key, the network is followed from there.
    pub fn decided(self, recognised: Recognised, reason: ReasonCode) -> Self {
        let same = self.recognised.term() == recognised.term();
        Self {
            followed: self.followed.filter(|_| same),
            recognised,
            reason,
            ..self
        }
    }

    /// Its committees that can certify anything that is new: one, or one and the next.
    pub fn terms(&self) -> Terms {
        let known = match &self.followed {
            Some(FollowedTerms { running, next }) => [Some(running.clone()), next.clone()]
                .into_iter()
                .flatten()
                .collect(),
            None => vec![self.recognised.term()],
        };
        let Recognised {
            network, genesis, ..
        } = &self.recognised;
        Terms::known_of(network.clone(), genesis, known)
    }

    /// The same after the committee of a term has certified something that is newer than all before:
    /// nothing counts any more that those of earlier terms have to say.
    pub fn at_term(self, terms: &Terms, number: u64) -> Self {
        let mut stand = terms.known().iter().filter(|term| term.number >= number);
        let followed = stand.next().map(|running| FollowedTerms {
            running: running.clone(),
            next: stand.next().cloned(),
        });
        Self { followed, ..self }
    }
}

/// What stands of another network's checkpoint once its certificate was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ForeignCheckpoint {
    #[n(0)]
    pub height: u64,
    /// Unix milliseconds, by the other network's validators.
    #[n(1)]
    pub time_ms: u64,
    /// The header's digest.
    #[n(2)]
    pub digest: Hash32,
    #[n(3)]
    pub sealed: Sealed,
}

impl ForeignCheckpoint {
    pub fn of(header: &Header) -> Self {
        Self {
            height: header.height,
            time_ms: header.time_ms,
            digest: header.digest(),
            sealed: header.sealed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(number: u64, first: u64) -> Term {
        Term {
            number,
            first,
            network_key: NetworkKey([2; 96]),
            validators: vec![PeerKey([1; 32]), PeerKey([3; 32])],
            polynomial: Some(Hash32([4; 32])),
        }
    }

    #[test]
    fn a_term_stands_from_its_first_height_on() {
        let committee = Committee {
            running: term(0, 0),
            next: Some(NextTerm {
                term: term(1, 50),
                since: 10,
                shown: None,
            }),
        };
        assert_eq!(committee.at(49).number, 0);
        assert_eq!(committee.at(50).number, 1);
        assert_eq!(committee.from(49), committee);
        assert_eq!(committee.from(50), Committee::of(term(1, 50)));
    }

    #[test]
    fn g14_a_term_that_nobody_can_prove_is_put_off_ever_longer() {
        let mut committee = Committee {
            running: term(0, 0),
            next: Some(NextTerm {
                term: term(1, 1_042),
                since: 10,
                shown: None,
            }),
        };
        // Not shown, and not yet time to look.
        assert_eq!(committee.before(1_009, 9), None);
        assert_eq!(Committee::of(term(0, 0)).before(1_010, 9), None);
        // Shown by one header and then by another: the first counts.
        let shown = committee.before(900, 10).unwrap();
        assert_eq!(shown.next.as_ref().unwrap().shown, Some(900));
        assert_eq!(shown.before(901, 11), None);
        assert_eq!(shown.before(1_010, 500), None);
        // Shown by too few headers when the time comes.
        let late = committee.before(1_010 - SHOWN_BLOCKS + 1, 10).unwrap();
        let next = late.before(1_010, 10).unwrap().next.unwrap();
        assert_eq!((next.since, next.shown), (1_010, None));
        // By none.
        committee = committee.before(1_010, 9).unwrap();
        let next = committee.next.clone().unwrap();
        assert_eq!((next.since, next.term.first), (1_010, 1_042 + 2_000));
        // It is another record now, so it is shown anew.
        committee = committee.before(3_010, 1_009).unwrap();
        let next = committee.next.unwrap();
        assert_eq!((next.since, next.term.first), (3_010, 3_042 + 4_000));
    }

    #[test]
    fn parameters_stand_from_their_height_on() {
        let current = Parameters::development();
        let mut later = current.clone();
        later.rules += 1;
        let mut running = RunningParameters {
            current: current.clone(),
            next: None,
        };
        assert_eq!(running.at(u64::MAX), &current);
        running.next = Some(NextParameters {
            from: 40,
            parameters: later.clone(),
        });
        assert_eq!(running.at(39), &current);
        assert_eq!(running.at(40), &later);
    }

    #[test]
    fn a_recognition_is_of_another_network_and_lists_each_kind_once() {
        let accepted = |kind| Accepted {
            kind,
            least: Assurance::Substantial,
        };
        let good = Recognised {
            network: "intl".parse().unwrap(),
            genesis: Hash32([1; 32]),
            network_key: NetworkKey([2; 96]),
            accepts: vec![
                accepted(CredentialType::Pid),
                accepted(CredentialType::RealPass),
            ],
            begins: None,
        };
        let cn: NetworkName = "cn".parse().unwrap();
        assert!(good.is_well_formed(&cn));
        assert!(good.takes(CredentialType::Pid, Assurance::High));
        assert!(!good.takes(CredentialType::Pid, Assurance::Low));
        assert!(!good.takes(CredentialType::Registration, Assurance::High));
        // Not even its twin with another hash function.
        let own = good
            .network
            .clone()
            .hashing_by(crate::hash::HashFunction::Sm3);
        assert!(!good.is_well_formed(&own));
        for kinds in [
            vec![],
            vec![CredentialType::Pid, CredentialType::Pid],
            vec![CredentialType::RealPass, CredentialType::Pid],
        ] {
            let accepts = kinds.into_iter().map(accepted).collect();
            assert!(
                !Recognised {
                    accepts,
                    ..good.clone()
                }
                .is_well_formed(&cn)
            );
        }
    }
}
