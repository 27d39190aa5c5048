//! What the ledger remembers: the records of each state family and their keys (spec/state.md).
//!
//! No record has a field that can hold personal data (promise P1): there are keys, digests,
//! numbers, closed sets of codes, and the URL of an admitted issuer.

use crate::codec::{self, CodecError};
use crate::did::{DidId, Keys};
use crate::genesis::Parameters;
pub use crate::governance::Governance;
use crate::governance::RULES_OF_FOLLOWING;
use crate::hash::{Domain, Hash32, HashFunction};
use crate::suite::PublicKey;
use crate::trie;
use minicbor::{Decode, Encode};

/// The most keys an issuer may have, its history included.
pub const MAX_ISSUER_KEYS: usize = 64;
/// The most RealPass keys an issuer may have, those of past epochs included.
pub const MAX_PASS_KEYS: usize = 64;
/// The longest issuer URL in bytes.
pub const MAX_URL_BYTES: usize = 200;
/// The longest record in bytes.
pub const MAX_RECORD_BYTES: usize = 16 * 1024;

/// The unguessable key of a person's enrolment: a VOPRF output, never a hash of attributes.
pub type PersonTag = Hash32;

/// A family of records. Its number is the first byte of every key, so that whole families can be
/// read and proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Family {
    Dids = 0x10,
    Enrolments = 0x20,
    Issuers = 0x30,
    Services = 0x40,
    /// Per issuer and epoch: what it enrolled and sponsored.
    Totals = 0x50,
    Governance = 0x60,
    /// The parameters that run.
    Parameters = 0x61,
    /// What governance has decided, by sequence number.
    Decisions = 0x62,
    /// Who orders blocks, and who will.
    Committee = 0x63,
    /// Spent personhood slots, by pseudonym.
    Slots = 0x70,
    /// Issuance batches.
    Batches = 0x80,
    /// Names shown in public, by salted digest.
    Displays = 0x90,
    /// Other networks that are recognised.
    Recognitions = 0xa0,
    /// Status lists of long-lived credentials: the digest of the version that holds.
    StatusLists = 0xb0,
}

impl Family {
    pub const ALL: [Family; 14] = [
        Self::Dids,
        Self::Enrolments,
        Self::Issuers,
        Self::Services,
        Self::Totals,
        Self::Governance,
        Self::Parameters,
        Self::Decisions,
        Self::Committee,
        Self::Slots,
        Self::Batches,
        Self::Displays,
        Self::Recognitions,
        Self::StatusLists,
    ];

    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|family| *family as u8 == byte)
    }

    /// The trie key of `id` in this family: the family byte, then 31 bytes of a hash.
    pub fn key(self, by: HashFunction, id: &[u8]) -> trie::Key {
        let digest = by.tagged(Domain::StateKey, &[&[self as u8], id]);
        let mut key = digest.0;
        key.rotate_right(1);
        key[0] = self as u8;
        key
    }
}

/// The key of a DID's record.
pub fn did_key(by: HashFunction, id: &DidId) -> trie::Key {
    Family::Dids.key(by, &id.0)
}

/// The key of an enrolment.
pub fn enrolment_key(by: HashFunction, tag: &PersonTag) -> trie::Key {
    Family::Enrolments.key(by, &tag.0)
}

/// The id of an issuer: the hash of its URL.
pub fn issuer_id(by: HashFunction, url: &str) -> Hash32 {
    by.tagged(Domain::Issuer, &[url.as_bytes()])
}

/// The key of an issuer's record, from its id.
pub fn issuer_key(by: HashFunction, id: &Hash32) -> trie::Key {
    Family::Issuers.key(by, &id.0)
}

/// The key of a service's record.
pub fn service_key(by: HashFunction, id: &Hash32) -> trie::Key {
    Family::Services.key(by, &id.0)
}

/// The key of an issuer's totals in an epoch.
pub fn totals_key(by: HashFunction, issuer: &Hash32, epoch: u64) -> trie::Key {
    Family::Totals.key(by, &[&issuer.0[..], &epoch.to_be_bytes()].concat())
}

/// The key of a spent personhood slot. The pseudonym is one person's in this network, period and
/// slot, and says nothing in any other.
pub fn slot_key(by: HashFunction, pseudonym: &[u8; 48]) -> trie::Key {
    Family::Slots.key(by, pseudonym)
}

/// The key of the one governance record.
pub fn governance_key(by: HashFunction) -> trie::Key {
    Family::Governance.key(by, &[])
}

/// The key of the one record of parameters.
pub fn parameters_key(by: HashFunction) -> trie::Key {
    Family::Parameters.key(by, &[])
}

/// The key of the one record of who orders blocks.
pub fn committee_key(by: HashFunction) -> trie::Key {
    Family::Committee.key(by, &[])
}

/// The key of a decision's record.
pub fn decision_key(by: HashFunction, seq: u64) -> trie::Key {
    Family::Decisions.key(by, &seq.to_be_bytes())
}

/// The key of an issuance batch, from its issuer's id and its list commitment.
pub fn batch_key(by: HashFunction, issuer: &Hash32, root: &Hash32) -> trie::Key {
    Family::Batches.key(by, &[issuer.0, root.0].concat())
}

/// The key of a display, from its salted digest.
pub fn display_key(by: HashFunction, digest: &Hash32) -> trie::Key {
    Family::Displays.key(by, &digest.0)
}

/// The key of a recognition, from the other network's name.
pub fn recognition_key(by: HashFunction, network: &str) -> trie::Key {
    Family::Recognitions.key(by, network.as_bytes())
}

/// The key of a status list, from its issuer's id and the SHA-256 of its address.
pub fn status_list_key(by: HashFunction, issuer: &Hash32, list: &Hash32) -> trie::Key {
    Family::StatusLists.key(by, &[issuer.0, list.0].concat())
}

/// Why somebody's standing was changed: a code of the closed list in spec/state.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum ReasonCode {
    #[n(0)]
    None,
    /// The holder reported the loss of the device.
    #[n(1)]
    LostDevice,
    /// The evidence was found to be wrong.
    #[n(2)]
    EvidenceWrong,
    /// A court or an authority with the power to do so ordered it.
    #[n(3)]
    LegalOrder,
    /// The person has died.
    #[n(4)]
    Deceased,
    /// The holder asked for it.
    #[n(5)]
    HolderRequest,
    /// A key was lost or is suspected to be in other hands.
    #[n(6)]
    KeyCompromise,
    /// The terms of the registration or admission were broken.
    #[n(7)]
    TermsBroken,
    /// What was suspected turned out to be unfounded, or was mended.
    #[n(8)]
    Cleared,
    /// A scheduled change.
    #[n(9)]
    Scheduled,
    /// A network has finalised two headers at one height.
    #[n(10)]
    Fork,
}

impl ReasonCode {
    /// Every reason with its name on the command line and in interfaces.
    pub const ALL: [(ReasonCode, &'static str); 11] = [
        (Self::None, "none"),
        (Self::LostDevice, "lost-device"),
        (Self::EvidenceWrong, "evidence-wrong"),
        (Self::LegalOrder, "legal-order"),
        (Self::Deceased, "deceased"),
        (Self::HolderRequest, "holder-request"),
        (Self::KeyCompromise, "key-compromise"),
        (Self::TermsBroken, "terms-broken"),
        (Self::Cleared, "cleared"),
        (Self::Scheduled, "scheduled"),
        (Self::Fork, "fork"),
    ];

    /// The version of the rules that first knew it.
    pub(crate) fn since(self) -> u8 {
        match self {
            Self::Fork => RULES_OF_FOLLOWING,
            _ => 1,
        }
    }

    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(code, _)| *code == self)
            .map_or("none", |(_, name)| name)
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(code, _)| *code)
    }
}

/// Whether somebody or something on the ledger is in good standing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Standing {
    #[n(0)]
    Active,
    #[n(1)]
    Suspended,
    /// For good.
    #[n(2)]
    Ended,
}

impl Standing {
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Ended => "ended",
        }
    }
}

/// A DID that was anchored.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct DidRecord {
    /// How many operations have changed it; 0 right after the anchor.
    #[n(0)]
    pub seq: u64,
    #[n(1)]
    pub keys: Keys,
    #[n(2)]
    pub endpoints: Vec<String>,
    #[n(3)]
    pub frozen: bool,
    #[n(4)]
    pub pending: Option<PendingRecovery>,
    #[n(5)]
    pub deactivated: bool,
    /// Unix milliseconds of the block that anchored it.
    #[n(6)]
    pub created_ms: u64,
    /// Unix milliseconds of the block that last changed it.
    #[n(7)]
    pub updated_ms: u64,
    /// Who said that a verified person anchored it; absent where a sponsor did. Which person nobody
    /// can say (promise P11).
    #[n(8)]
    pub verified: Option<VerifiedPerson>,
}

/// A personhood proof that the ledger has verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct VerifiedPerson {
    /// The id of the issuer of the RealPass.
    #[n(0)]
    pub issuer: Hash32,
    /// The epoch of the RealPass.
    #[n(1)]
    pub epoch: u64,
}

/// A personhood slot that somebody has spent.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct SpentSlot {
    /// The period in which it could be spent, after which nobody asks for it.
    #[n(0)]
    pub period: u64,
}

/// A recovery that has been asked for and not taken effect.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct PendingRecovery {
    #[n(0)]
    pub keys: Keys,
    /// Unix milliseconds from which the new keys stand.
    #[n(1)]
    pub effective_ms: u64,
}

impl DidRecord {
    /// The record as it stands at a time: a recovery whose delay is over has taken effect, and
    /// with it a freeze has ended (rule D9).
    pub fn at(&self, time_ms: u64) -> Self {
        match &self.pending {
            Some(pending) if pending.effective_ms <= time_ms => Self {
                keys: pending.keys.clone(),
                pending: None,
                frozen: false,
                updated_ms: pending.effective_ms,
                ..self.clone()
            },
            _ => self.clone(),
        }
    }
}

/// A verified person, known by their tag alone.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Enrolment {
    /// Moves with each enrolment and each change of standing, so that the wallet that watches
    /// its tag sees every one (promise P6).
    #[n(0)]
    pub seq: u64,
    #[n(1)]
    pub commitment: Hash32,
    #[n(2)]
    pub epoch: u64,
    #[n(3)]
    pub standing: Standing,
    #[n(4)]
    pub reason: ReasonCode,
    #[n(5)]
    pub issuer: Hash32,
    /// When the person's pseudonym secrets were last reset at the counter, Unix milliseconds of
    /// the block. It takes effect after the network's recovery delay.
    #[n(6)]
    pub reset_ms: Option<u64>,
}

impl Enrolment {
    /// Whether a reset has been announced and its delay has passed: only then may the authority
    /// accept other pseudonym secrets (promise P5).
    pub fn reset_effective(&self, parameters: &Parameters, time_ms: u64) -> bool {
        self.reset_ms
            .is_some_and(|at_ms| self.reset_delay_ends_ms(parameters, at_ms) <= time_ms)
    }

    /// Whether a reset waits for its delay, so that it can be taken back.
    pub fn reset_pending(&self, parameters: &Parameters, time_ms: u64) -> bool {
        self.reset_ms.is_some() && !self.reset_effective(parameters, time_ms)
    }

    /// Whether the person may not be reset again: the last reset is less than a personhood period
    /// ago. For so long, too, their RealPass says that they were reset.
    pub fn reset_recently(&self, parameters: &Parameters, time_ms: u64) -> bool {
        let period_ms = parameters.personhood_period_s.saturating_mul(1000);
        self.reset_ms
            .is_some_and(|at_ms| time_ms < at_ms.saturating_add(period_ms))
    }

    fn reset_delay_ends_ms(&self, parameters: &Parameters, at_ms: u64) -> u64 {
        at_ms.saturating_add(parameters.recovery_delay_s.saturating_mul(1000))
    }
}

/// What an issuer's key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum KeyUse {
    /// Signs PIDs.
    #[n(0)]
    Pid,
    /// Signs service registrations.
    #[n(1)]
    Registration,
    /// Signs operations and sponsorships.
    #[n(2)]
    Operation,
}

/// Whether a key's signatures stand (promise P7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum KeyStatus {
    #[n(0)]
    Active,
    /// Signs no more since a height; what it signed before stands.
    #[n(1)]
    Retired(#[n(0)] u64),
    /// In other hands since a height; only what was anchored before stands.
    #[n(2)]
    Compromised(#[n(0)] u64),
}

/// One of an issuer's keys, with its history.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct IssuerKey {
    #[n(0)]
    pub usage: KeyUse,
    #[n(1)]
    pub key: PublicKey,
    #[n(2)]
    pub status: KeyStatus,
    /// The height from which it is on the ledger.
    #[n(3)]
    pub since: u64,
}

impl IssuerKey {
    /// The key's id, as in a JWS `kid`: the hash of the key, in hex.
    pub fn id(&self) -> Hash32 {
        crate::did::commitment(&self.key)
    }

    /// P7: whether what it has signed stands. `batch` is the height at which the credential's
    /// batch was put on the ledger, where one is proved.
    pub fn stands_behind(&self, batch: Option<u64>) -> bool {
        match self.status {
            KeyStatus::Active | KeyStatus::Retired(_) => true,
            KeyStatus::Compromised(since) => batch.is_some_and(|height| height < since),
        }
    }
}

crate::fixed_bytes!(
    /// The public key of the person-tag VOPRF: a ristretto255 point.
    TagKey,
    32
);

crate::fixed_bytes!(
    /// A RealPass public key: a compressed BLS12-381 G2 point.
    PassPublicKey,
    96
);

/// The RealPass key of an issuer from an epoch on: one for everybody, until the next begins.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct EpochKey {
    #[n(0)]
    pub key: PassPublicKey,
    #[n(1)]
    pub from_epoch: u64,
}

/// An authority or a registrar.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Issuer {
    /// Its URL, which is the `iss` of what it signs. Admitted by governance only.
    #[n(0)]
    pub url: String,
    #[n(1)]
    pub keys: Vec<IssuerKey>,
    /// The key under which it makes person tags; absent where it enrols nobody.
    #[n(2)]
    pub tag_key: Option<TagKey>,
    #[n(3)]
    pub standing: Standing,
    #[n(4)]
    pub reason: ReasonCode,
    /// How many enrolments it may put on the ledger in one epoch.
    #[n(5)]
    pub enrolment_quota: u64,
    /// How many records it may pay for in one epoch: anchors that it sponsors, batches, displays.
    #[n(6)]
    pub sponsor_quota: u64,
    /// How many registrations it may make in one epoch.
    #[n(7)]
    pub registration_quota: u64,
    /// Its RealPass keys, by the epoch from which each holds, ascending.
    #[n(8)]
    pub pass_keys: Vec<EpochKey>,
}

impl Issuer {
    pub fn id(&self, by: HashFunction) -> Hash32 {
        issuer_id(by, &self.url)
    }

    /// Whether `id` names this issuer on any network. It does on one: no two URLs have one id.
    pub fn has_id(&self, id: &Hash32) -> bool {
        HashFunction::ALL.iter().any(|by| self.id(*by) == *id)
    }

    /// R9: whether the record may be admitted: a plain URL, 1 to [`MAX_ISSUER_KEYS`] distinct
    /// keys, and everything active.
    pub fn is_well_formed(&self) -> bool {
        let n = self.keys.len();
        let distinct = (1..n).all(|i| self.keys[..i].iter().all(|k| k.key != self.keys[i].key));
        let active = self.keys.iter().all(|key| key.status == KeyStatus::Active);
        is_issuer_url(&self.url)
            && (1..=MAX_ISSUER_KEYS).contains(&n)
            && distinct
            && active
            && self.pass_keys.len() <= MAX_PASS_KEYS
            && self
                .pass_keys
                .is_sorted_by(|a, b| a.from_epoch < b.from_epoch)
            && self.standing == Standing::Active
    }

    /// The one RealPass key of an epoch.
    pub fn pass_key(&self, epoch: u64) -> Option<&PassPublicKey> {
        let begun = |entry: &&EpochKey| entry.from_epoch <= epoch;
        self.pass_keys
            .iter()
            .rev()
            .find(begun)
            .map(|entry| &entry.key)
    }

    /// The key with this id and use, whatever its status.
    pub fn key(&self, usage: KeyUse, id: &Hash32) -> Option<&IssuerKey> {
        self.keys
            .iter()
            .find(|key| key.usage == usage && key.id() == *id)
    }

    /// Whether `key` is one of its active keys for `usage`.
    pub fn acts_with(&self, usage: KeyUse, key: &PublicKey) -> bool {
        self.keys.iter().any(|known| {
            known.usage == usage && known.status == KeyStatus::Active && known.key == *key
        })
    }
}

/// Whether `url` is `https://host[:port][/path]`, or `http` with exactly `127.0.0.1` or
/// `localhost` as its host. There is no user, query or fragment: whoever reads the URL must see
/// whose it is, and it stands on a public ledger (promise P1).
pub fn is_issuer_url(url: &str) -> bool {
    let (secure, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return false,
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let named = host
        .split('.')
        .all(|label| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-'))
        && host
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-'));
    let numbered = port.is_none_or(|port| {
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'@' | b'?' | b'#' | b'\\');
    named
        && numbered
        && (secure || matches!(host, "127.0.0.1" | "localhost"))
        && url.len() <= MAX_URL_BYTES
        && url.bytes().all(plain)
        && !url.ends_with('/')
}

/// What an issuer has done in one epoch, for anyone to compare (promise P6).
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Totals {
    #[n(0)]
    pub enrolments: u64,
    #[n(1)]
    pub sponsored: u64,
    #[n(2)]
    pub registrations: u64,
    /// RealPasses issued for the epoch, as the issuer declares.
    #[n(3)]
    pub passes: u64,
}

/// A service that a registrar has admitted.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Service {
    #[n(0)]
    pub seq: u64,
    /// The digest of its registration.
    #[n(1)]
    pub digest: Hash32,
    /// The registrar's id.
    #[n(2)]
    pub issuer: Hash32,
    #[n(3)]
    pub standing: Standing,
    #[n(4)]
    pub reason: ReasonCode,
}

/// An issuance batch: a commitment to credentials that an issuer has made, with the height at
/// which it was put on the ledger (promise P7).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Batch {
    /// The id of the issuer's key that signed the credentials.
    #[n(0)]
    pub key: Hash32,
    /// How many there are.
    #[n(1)]
    pub count: u64,
    #[n(2)]
    pub height: u64,
}

/// Which version of a status list holds: a verifier that has another is shown the wrong one
/// (spec/status.md, U9).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct StatusList {
    /// How many versions came before.
    #[n(0)]
    pub seq: u64,
    #[n(1)]
    pub digest: Hash32,
    /// The height since which it holds.
    #[n(2)]
    pub height: u64,
}

/// A name that its owner shows in public on purpose: a salted digest and whether it stands. What is
/// shown, and by whom, the ledger does not know (promise P1).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Display {
    /// The service on which it is shown.
    #[n(0)]
    pub service: Hash32,
    /// The registrar that put it here and may withdraw it.
    #[n(1)]
    pub issuer: Hash32,
    /// Commitment to the key by which the person withdraws it.
    #[n(2)]
    pub withdrawal: Hash32,
    #[n(3)]
    pub status: DisplayStatus,
    #[n(4)]
    pub reason: ReasonCode,
    /// The height of its last change.
    #[n(5)]
    pub height: u64,
}

/// Whether a display stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum DisplayStatus {
    #[n(0)]
    Active,
    /// For good: who shows the name again makes another display.
    #[n(1)]
    Withdrawn,
}

/// Reads a record of any family from a proved value.
pub fn decode_record<'b, T: Decode<'b, ()> + Encode<()>>(bytes: &'b [u8]) -> Result<T, CodecError> {
    codec::decode(bytes, MAX_RECORD_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_family_in_the_first_byte_and_do_not_collide() {
        let keys: Vec<_> = Family::ALL
            .iter()
            .map(|family| family.key(HashFunction::Sha256, b"id"))
            .collect();
        for (family, key) in Family::ALL.iter().zip(&keys) {
            assert_eq!(key[0], *family as u8);
            assert_eq!(Family::from_byte(key[0]), Some(*family));
        }
        assert!(keys.windows(2).all(|pair| pair[0][1..] != pair[1][1..]));
    }

    #[test]
    fn p7_after_a_compromise_only_batches_anchored_before_stand() {
        let key = |status| IssuerKey {
            usage: KeyUse::Pid,
            key: crate::suite::SecretKey::from_seed(crate::suite::Suite::P256, [7; 32])
                .unwrap()
                .public(),
            status,
            since: 0,
        };
        for status in [KeyStatus::Active, KeyStatus::Retired(5)] {
            assert!(key(status).stands_behind(None) && key(status).stands_behind(Some(9)));
        }
        let compromised = key(KeyStatus::Compromised(9));
        assert!(compromised.stands_behind(Some(8)));
        for batch in [None, Some(9), Some(10)] {
            assert!(!compromised.stands_behind(batch));
        }
    }

    #[test]
    fn p1_an_issuers_url_is_plain_and_plain_http_is_for_this_machine() {
        let long = format!("https://{}.example", "a".repeat(MAX_URL_BYTES));
        for good in [
            "https://authority.example",
            "https://a-b.example:8443/pid/v1",
            "http://127.0.0.1:20500",
            "http://localhost:1/x",
        ] {
            assert!(is_issuer_url(good), "{good}");
        }
        for bad in [
            "https://",
            "https://:443",
            "https://authority.example/",
            "https://authority.example:",
            "https://authority.example:0",
            "https://authority.example:99999",
            "https://authority.example:+1",
            "https://Authority.example",
            "https://authority..example",
            "https://-a.example",
            "https://authority.example@evil.example",
            "https://evil.example/@authority.example",
            "https://authority.example?name=x",
            "https://authority.example/x#name",
            "https://authority.example\\@evil.example",
            "https://authority.example/a b",
            "http://authority.example",
            "http://127.0.0.1:80@evil.example",
            "http://127.0.0.1.evil.example:80",
            "http://localhost.evil.example",
            "http://127.0.0.2:80",
            "ftp://127.0.0.1:80",
            "authority.example",
            long.as_str(),
        ] {
            assert!(!is_issuer_url(bad), "{bad}");
        }
    }

    #[test]
    fn reasons_have_names_that_read_back() {
        for (code, name) in ReasonCode::ALL {
            assert_eq!(ReasonCode::from_name(name), Some(code));
            assert_eq!(code.name(), name);
        }
    }
}
