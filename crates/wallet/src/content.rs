//! What the vault holds, as data (spec/wallet.md).
//!
//! One value, in the canonical codec, with a version in front. There are no recovery words and no
//! spare seed in it: see [`seed`](crate::seed).

use crate::displays::OwnDisplay;
use crate::grant::Refresh;
use crate::journal::Disclosure;
use crate::secret::{Secret32, SecretBytes, SecretText};
use crate::seed::{Pool, Spares, recorded};
use minicbor::{Decode, Encode};
use realdid_core::codec::Bytes;
use realdid_core::did::{Did, DidError, Inception};
use realdid_core::hash::{Hash32, ListPath};
use realdid_core::state::PersonTag;
use realdid_core::suite::{PublicKey, SecretKey, Suite};
use realdid_credential::jose::{JwsError, SigningKey};
use realdid_credential::pid;
use realdid_exchange::suites;
use realdid_light::TrustedTerm;

/// The most that a vault may hold, in bytes.
pub const MAX_CONTENT_BYTES: usize = 32 * 1024 * 1024;
/// How many answers are kept.
const MAX_ANSWERS: usize = 256;
/// The version that this program writes.
pub const VERSION: u8 = 1;

/// Everything that a wallet remembers.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
#[cbor(array)]
pub struct Content {
    /// [`VERSION`].
    #[n(0)]
    pub version: u8,
    /// The root of the pairwise keys of generation 0.
    #[n(1)]
    pub pairwise_root: Secret32,
    #[n(2)]
    pub pool: Pool,
    /// Absent until the first authority was trusted.
    #[n(3)]
    pub network: Option<Network>,
    #[n(4)]
    pub dids: Vec<DidEntry>,
    #[n(5)]
    pub enrolment: Option<OwnEnrolment>,
    #[n(6)]
    pub batches: Vec<Batch>,
    #[n(7)]
    pub journal: Vec<Disclosure>,
    /// Answers of the ledger that held when they were fetched, newest last.
    #[n(8)]
    pub answers: Vec<KeptAnswer>,
    /// Absent in a wallet that was made before there were RealPasses, until its kit is at hand.
    #[n(9)]
    pub passes: Option<RealPasses>,
    /// What the last look at the person's tag has shown.
    #[n(10)]
    pub watched: Option<Watched>,
    /// Names that this person shows in public, oldest first; absent where there was never one.
    #[n(11)]
    pub displays: Option<Vec<OwnDisplay>>,
    /// Commitments to spare keys of the other suites, until the network is known.
    #[n(12)]
    pub other_pools: Option<Vec<Pool>>,
    /// Recognised networks whose services this person went to; absent where there is none.
    #[n(13)]
    pub abroad: Option<Vec<Network>>,
    /// Certificates (DER) of authorities that say who a verifier is that is not registered; absent where
    /// the person trusts none.
    #[n(14)]
    pub authorities: Option<Vec<Bytes>>,
    /// What issuers will give later; absent where there was never anything.
    #[n(15)]
    pub pending: Option<Vec<Pending>>,
    /// DIDs of verifiers that are not registered and that the person trusts; absent where there is none.
    #[n(16)]
    pub verifier_dids: Option<Vec<String>>,
}

/// An answer that is kept for when no node can be reached. It is checked anew at each use.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
#[cbor(array)]
pub struct KeptAnswer {
    /// The key of the state that it is about.
    #[n(0)]
    pub key: Hash32,
    /// A canonical [`StateAnswer`](realdid_core::answer::StateAnswer).
    #[n(1)]
    pub answer: Bytes,
}

impl Content {
    pub fn new(pairwise_root: Secret32, pool: Pool, pass_seed: Secret32) -> Self {
        Self {
            version: VERSION,
            pairwise_root,
            pool,
            network: None,
            dids: vec![],
            enrolment: None,
            batches: vec![],
            journal: vec![],
            answers: vec![],
            passes: Some(RealPasses::new(pass_seed)),
            watched: None,
            displays: None,
            other_pools: None,
            abroad: None,
            authorities: None,
            pending: None,
            verifier_dids: None,
        }
    }

    /// Keeps an answer in the place of an older one about the same key.
    pub fn keep(&mut self, key: Hash32, answer: Bytes) {
        self.answers.retain(|kept| kept.key != key);
        let excess = (self.answers.len() + 1).saturating_sub(MAX_ANSWERS);
        self.answers.drain(..excess);
        self.answers.push(KeptAnswer { key, answer });
    }

    /// The kept answer about a key.
    pub fn kept(&self, key: &Hash32) -> Option<&Bytes> {
        let kept = self.answers.iter().find(|kept| kept.key == *key)?;
        Some(&kept.answer)
    }

    /// The network with this genesis: the wallet's own, or a recognised one.
    pub fn network_of(&mut self, genesis: &Bytes) -> Option<&mut Network> {
        let abroad = self.abroad.iter_mut().flatten();
        let mut all = self.network.iter_mut().chain(abroad);
        all.find(|network| network.genesis == *genesis)
    }

    /// The DID made for a service.
    pub fn did_of_service(&self, service: &Hash32) -> Option<usize> {
        let ours = |entry: &DidEntry| entry.bound && entry.service == *service;
        self.dids.iter().position(ours)
    }
}

/// A network, pinned when it was first met: this wallet's own, or a recognised one.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
#[cbor(array)]
pub struct Network {
    /// The canonical genesis.
    #[n(0)]
    pub genesis: Bytes,
    /// Nodes that answer with proofs. None of them is trusted.
    #[n(1)]
    pub nodes: Vec<String>,
    /// The terms of its committee that the wallet has come to know, for when no node answers. None
    /// while that is the genesis' own alone.
    #[n(2)]
    pub terms: Option<Vec<TrustedTerm>>,
}

/// A DID and the keys that it has, had or may get.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
#[cbor(array)]
pub struct DidEntry {
    /// The service that it is for, or 32 random bytes where it is for none.
    #[n(0)]
    pub service: Hash32,
    #[n(1)]
    pub bound: bool,
    /// The service's first domain, for the person to read; empty where there is none.
    #[n(2)]
    pub domain: String,
    /// The canonical inception.
    #[n(3)]
    pub inception: Bytes,
    /// One for the inception and one for each change that was asked for. Which one stands is for
    /// the ledger to say.
    #[n(4)]
    pub key_sets: Vec<KeySet>,
    /// Unix milliseconds.
    #[n(5)]
    pub created_ms: u64,
}

impl DidEntry {
    pub fn inception(&self) -> Result<Inception, DidError> {
        Inception::decode(&self.inception.0)
    }

    pub fn did(&self) -> Result<Did, DidError> {
        Ok(self.inception()?.did())
    }

    /// The secret of whichever of these keys the wallet has.
    pub fn secret_of(&self, keys: &[PublicKey]) -> Option<SecretKey> {
        self.key_sets
            .iter()
            .filter_map(KeySet::secret)
            .find(|secret| keys.contains(&secret.public()))
    }
}

/// A current key with the index of the spares that were named beside it.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
#[cbor(array)]
pub struct KeySet {
    #[n(0)]
    pub current: Secret32,
    #[n(1)]
    pub spare_index: u32,
    /// The suite of the current key. Absent where it is Ed25519.
    #[n(2)]
    suite: Option<Suite>,
}

impl KeySet {
    pub fn new(current: &SecretKey, spares: &Spares) -> Self {
        Self {
            current: Secret32::new(*current.seed()),
            spare_index: spares.index,
            suite: recorded(current.suite()),
        }
    }

    /// The current key.
    pub fn secret(&self) -> Option<SecretKey> {
        let suite = self.suite.unwrap_or(Suite::Ed25519);
        SecretKey::from_seed(suite, *self.current.bytes()).ok()
    }
}

/// The wallet's own enrolment: what it needs to watch its person tag (promise P6).
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
#[cbor(array)]
pub struct OwnEnrolment {
    /// The authority's URL, under which its record stands on the ledger.
    #[n(0)]
    pub issuer_url: String,
    /// With the key below, opens the commitment.
    #[n(1)]
    pub salt: Secret32,
    #[n(2)]
    pub key: Secret32,
    #[n(3)]
    pub commitment: Hash32,
    /// Absent until inclusion was proved: kept from before the submission, so that an enrolment
    /// that was interrupted is run again with the same commitment.
    #[n(4)]
    pub entry: Option<Entry>,
    /// The suite of the key. Absent where it is Ed25519.
    #[n(5)]
    pub suite: Option<Suite>,
}

/// The tag's entry on the ledger as the wallet last accepted it.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
#[cbor(array)]
pub struct Entry {
    #[n(0)]
    pub tag: PersonTag,
    #[n(1)]
    pub seq: u64,
    /// The height of the state in which it was proved.
    #[n(2)]
    pub height: u64,
    /// The reset of pseudonym secrets that this wallet knows to be its own doing.
    #[n(3)]
    pub reset_ms: Option<u64>,
}

/// What a look at the person's tag has shown, for when it is not looked at: a login asks no node
/// about the person.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
#[cbor(array)]
pub struct Watched {
    /// Unix milliseconds.
    #[n(0)]
    pub at_ms: u64,
    /// What the person must be told, if anything.
    #[n(1)]
    pub notice: Option<String>,
}

/// The person's RealPasses, and what it takes to have one tomorrow.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
#[cbor(array)]
pub struct RealPasses {
    /// The seed of the pseudonym secrets, from the recovery words (spec/realpass.md, B11).
    #[n(0)]
    pub seed: Secret32,
    /// By ascending epoch. The newest one stays when its epoch is over: the next one must have its
    /// entropy.
    #[n(1)]
    pub held: Vec<HeldPass>,
    /// When the next one is fetched.
    #[n(2)]
    pub plan: Option<Plan>,
    /// When fresh PID copies are fetched.
    #[n(3)]
    pub copies_plan: Option<Plan>,
    /// The last refreshes that the authority refused, oldest first.
    #[n(4)]
    pub refusals: Vec<RefusedRefresh>,
    /// How many it has ever refused.
    #[n(5)]
    pub refused: u64,
    /// Personhood slots that this person has spent.
    #[n(6)]
    pub spent: Vec<OwnSlot>,
    /// Where a RealPass of which epoch was accepted.
    #[n(7)]
    pub shown: Vec<ShownAt>,
    /// By which the authority knows whom to issue to.
    #[n(8)]
    pub refresh_token: Option<SecretText>,
    /// The key that it is bound to. Absent where it is a bearer's.
    #[n(9)]
    pub token_key: Option<Secret32>,
    /// When the paths of PID copies in their batches are fetched.
    #[n(10)]
    pub paths_plan: Option<Plan>,
}

/// A RealPass that was checked before it was stored.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
#[cbor(array)]
pub struct HeldPass {
    /// The authority's URL, under which its record stands on the ledger.
    #[n(0)]
    pub issuer: String,
    #[n(1)]
    pub epoch: u64,
    /// The authority's RealPass key of that epoch, from the ledger: 96 bytes.
    #[n(2)]
    pub key: Bytes,
    /// The codes of adult, region, kind, assurance and continuity.
    #[n(3)]
    pub facts: FactCodes,
    /// `pass::Issued`: the signature, and the authority's part of the secrets.
    #[n(4)]
    pub issued: SecretBytes,
}

/// What a RealPass says of the person, beside its epoch: not for a log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FactCodes(pub [u8; 5]);

impl std::fmt::Debug for FactCodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FactCodes")
    }
}

impl<C> Encode<C> for FactCodes {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for FactCodes {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let codes = d.bytes()?.try_into();
        codes
            .map(Self)
            .map_err(|_| minicbor::decode::Error::message("five facts have a code"))
    }
}

/// When something is fetched: drawn once, kept through restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Plan {
    /// The epoch that a RealPass is for, or the expiry in Unix milliseconds of the copies that are
    /// to be replaced, or whose paths are to come.
    #[n(0)]
    pub what: u64,
    /// Unix milliseconds.
    #[n(1)]
    pub at_ms: u64,
    /// How many attempts have failed.
    #[n(2)]
    pub failures: u32,
}

/// A refresh that the authority refused: it may be a probe (spec/realpass.md, "Where it ends").
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct RefusedRefresh {
    /// Unix milliseconds.
    #[n(0)]
    pub at_ms: u64,
    /// The code that it gave.
    #[n(1)]
    pub code: String,
}

/// A personhood slot that this person has spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct OwnSlot {
    #[n(0)]
    pub period: u64,
    #[n(1)]
    pub slot: u64,
}

/// A service that accepted a RealPass in an epoch: there, the DID alone is enough until it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ShownAt {
    #[n(0)]
    pub service: Hash32,
    #[n(1)]
    pub epoch: u64,
}

impl RealPasses {
    /// How many refused refreshes are kept with their times.
    const MAX_REFUSALS: usize = 50;

    /// None yet, with the seed that the recovery words make.
    pub fn new(seed: Secret32) -> Self {
        Self {
            seed,
            held: vec![],
            plan: None,
            copies_plan: None,
            refusals: vec![],
            refused: 0,
            spent: vec![],
            shown: vec![],
            refresh_token: None,
            token_key: None,
            paths_plan: None,
        }
    }

    /// By which the authority gives more.
    pub(crate) fn refresh(&self) -> Option<Refresh> {
        let token = self.refresh_token.clone()?;
        let key = self.token_key.clone();
        Some(Refresh { token, key })
    }

    /// The RealPass of an epoch.
    pub fn of_epoch(&self, epoch: u64) -> Option<&HeldPass> {
        self.held.iter().find(|held| held.epoch == epoch)
    }

    /// Keeps a RealPass in the place of an older one, and those of `current` and later epochs.
    pub fn keep(&mut self, pass: HeldPass, current: u64) {
        let epoch = pass.epoch;
        self.held
            .retain(|held| held.epoch >= current && held.epoch != epoch);
        self.held.push(pass);
        self.held.sort_by_key(|held| held.epoch);
    }

    /// Writes down that the authority refused to refresh.
    pub fn refused(&mut self, at_ms: u64, code: &str) {
        self.refused += 1;
        let excess = (self.refusals.len() + 1).saturating_sub(Self::MAX_REFUSALS);
        self.refusals.drain(..excess);
        self.refusals.push(RefusedRefresh {
            at_ms,
            code: code.to_owned(),
        });
    }

    /// Writes down where a RealPass was accepted, and forgets earlier epochs.
    pub fn shown_at(&mut self, service: Hash32, epoch: u64) {
        self.shown.retain(|shown| shown.epoch >= epoch);
        if !self.was_shown_at(&service, epoch) {
            self.shown.push(ShownAt { service, epoch });
        }
    }

    pub fn was_shown_at(&self, service: &Hash32, epoch: u64) -> bool {
        self.shown
            .iter()
            .any(|shown| shown.service == *service && shown.epoch == epoch)
    }
}

/// Copies of one credential, and how to get more.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
#[cbor(array)]
pub struct Batch {
    /// `iss` of the copies.
    #[n(0)]
    pub issuer: String,
    /// The credential's type: `vct`, or the document's type of an mdoc.
    #[n(1)]
    pub vct: String,
    #[n(2)]
    pub configuration: String,
    #[n(3)]
    pub copies: Vec<CredentialCopy>,
    #[n(4)]
    pub refresh_token: Option<SecretText>,
    /// Whether the issuer's key was found on the ledger, or trusted by the URL alone.
    #[n(5)]
    pub on_ledger: bool,
    /// Absent where it is an SD-JWT VC.
    #[n(6)]
    pub format: Option<Format>,
    /// The legal name of the organisation, where it is one's credential: to tell several apart.
    #[n(7)]
    pub organisation: Option<String>,
    /// The key that the refresh token is bound to. Absent where it is a bearer's.
    #[n(8)]
    pub token_key: Option<Secret32>,
    /// The authorization server that gave the tokens. Absent where it is the issuer's first.
    #[n(9)]
    pub server: Option<String>,
    /// Roots that its person trusts for this issuer, DER: absent where its keys are on the ledger or
    /// published by itself.
    #[n(10)]
    pub roots: Option<Vec<Bytes>>,
    /// The suite of the keys that its copies are bound to, of several for one credential. Absent where it
    /// is P-256.
    #[n(11)]
    pub suite: Option<Suite>,
}

/// Copies that an issuer gives later (OpenID4VCI 1.0 §9).
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
#[cbor(array)]
pub struct Pending {
    /// What is to come, without copies.
    #[n(0)]
    pub batch: Batch,
    #[n(1)]
    pub transaction_id: SecretText,
    /// The keys that the copies will be bound to.
    #[n(2)]
    pub keys: Vec<Secret32>,
    /// Their suite. Absent where it is P-256.
    #[n(3)]
    pub suite: Option<Suite>,
    /// Unix milliseconds.
    #[n(4)]
    pub since_ms: u64,
    /// How long the issuer asked to be left alone, in seconds.
    #[n(5)]
    pub interval_s: u64,
}

/// How a credential is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Format {
    #[n(0)]
    SdJwt,
    #[n(1)]
    Mdoc,
}

impl Format {
    /// Its name in OpenID4VCI.
    pub fn name(self) -> &'static str {
        match self {
            Self::SdJwt => realdid_exchange::vci::SD_JWT_VC,
            Self::Mdoc => realdid_exchange::vci::MDOC,
        }
    }
}

impl Batch {
    /// By which the issuer gives more.
    pub(crate) fn refresh(&self) -> Option<Refresh> {
        let token = self.refresh_token.clone()?;
        let key = self.token_key.clone();
        Some(Refresh { token, key })
    }

    /// The suite of the keys that its copies are bound to. A batch of before it was written down has it in
    /// its copies.
    pub fn suite(&self) -> Suite {
        let of_copy = self.copies.first().and_then(|copy| copy.holder_suite);
        self.suite.or(of_copy).unwrap_or(Suite::P256)
    }

    /// Whether one takes the place of the other: the same credential, for the same who can check it.
    pub(crate) fn replaces(&self, old: &Self) -> bool {
        self.issuer == old.issuer
            && self.vct == old.vct
            && self.organisation == old.organisation
            && self.suite() == old.suite()
    }

    /// The roots that its person trusts for its issuer, DER.
    pub(crate) fn trusted_roots(&self) -> Vec<Vec<u8>> {
        let roots = self.roots.iter().flatten();
        roots.map(|root| root.0.clone()).collect()
    }

    /// Whether it lives long, and is shown more than once.
    pub fn lives_long(&self) -> bool {
        self.vct == pid::LONG_VCT
    }

    pub fn format(&self) -> Format {
        self.format.unwrap_or(Format::SdJwt)
    }

    /// The copy that lasts longest, where one is still valid at `now_s` and can be shown.
    pub fn usable(&self, now_s: u64, can: impl Fn(&CredentialCopy) -> bool) -> Option<usize> {
        (0..self.copies.len())
            .filter(|i| self.copies[*i].expires_s > now_s && can(&self.copies[*i]))
            .max_by_key(|i| self.copies[*i].expires_s)
    }

    /// The expiry of the copies that last longest, Unix seconds.
    pub fn expires_s(&self) -> u64 {
        self.copies
            .iter()
            .map(|copy| copy.expires_s)
            .max()
            .unwrap_or(0)
    }
}

/// One copy, shown at most once unless it lives long.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
#[cbor(array)]
pub struct CredentialCopy {
    /// The SD-JWT VC with all its disclosures, or the mdoc in base64url.
    #[n(0)]
    pub credential: SecretText,
    /// The key that it is bound to.
    #[n(1)]
    pub holder_key: Secret32,
    /// Unix seconds; `u64::MAX` where it does not expire.
    #[n(2)]
    pub expires_s: u64,
    /// The suite of the holder key. Absent where it is P-256.
    #[n(3)]
    pub holder_suite: Option<Suite>,
    /// Where it stands in its issuance batch; absent until that was proved.
    #[n(4)]
    pub path: Option<ListPath>,
}

impl CredentialCopy {
    /// The key that it is bound to.
    pub fn holder(&self) -> Result<SigningKey, JwsError> {
        let suite = self.holder_suite.unwrap_or(Suite::P256);
        suites::key_from(suite, self.holder_key.bytes())
    }
}
