//! Operations: what may be asked of the ledger (spec/operations.md).
//!
//! An operation is data. It names its network, expires at a height, and carries the signatures
//! that its kind needs. Whether it is admitted is decided by one function, `apply` in
//! `realdid-ledger`; nothing here judges.

use crate::answer::{HandOver, MAX_ANSWER_BYTES};
use crate::codec::{self, Bytes};
use crate::did::{DidId, Inception, Keys, NetworkName};
use crate::genesis::Parameters;
use crate::governance::{RULES_OF_FOLLOWING, RULES_OF_STATUS, RULES_OF_TERMS, Recognised, Term};
use crate::hash::{Domain, Hash32};
use crate::header::Checkpoint;
use crate::state::{EpochKey, Issuer, IssuerKey, KeyStatus, PersonTag, ReasonCode, Standing};
use crate::suite::{self, Claim, Context, KeyError, PublicKey, SecretKey, Signature};
use minicbor::{Decode, Decoder, Encode};

/// The longest signed operation in bytes, but for one kind.
pub const MAX_OPERATION_BYTES: usize = 4096;
/// The longest one that hands a recognised network on: it holds any hand-over that a node serves.
pub const MAX_HAND_OVER_BYTES: usize = MAX_ANSWER_BYTES + MAX_OPERATION_BYTES;
/// That kind's number.
const HAND_OVER_KIND: u64 = 27;

/// One change, and the terms under which it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Operation {
    /// Version of this structure: 1.
    #[n(0)]
    pub version: u8,
    #[n(1)]
    pub network: NetworkName,
    /// The last height at which the operation may be in a block.
    #[n(2)]
    pub expires: u64,
    #[n(3)]
    pub body: Body,
}

/// The kinds of change. `seq` is always one more than what the ledger holds, so nothing can be
/// played again or out of order.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Body {
    /// Puts a DID on the ledger as its inception says. By a current key; sponsored.
    #[n(0)]
    Anchor(#[n(0)] Inception),
    /// New keys at once. By the next key.
    #[n(1)]
    Rotate(#[n(0)] DidId, #[n(1)] u64, #[n(2)] Keys),
    /// New keys after the network's delay. By the recovery key.
    #[n(2)]
    Recover(#[n(0)] DidId, #[n(1)] u64, #[n(2)] Keys),
    /// Takes back a pending recovery. By a current key, unless frozen.
    #[n(3)]
    Cancel(#[n(0)] DidId, #[n(1)] u64),
    /// Blocks all that the current keys can do. By the recovery key.
    #[n(4)]
    Freeze(#[n(0)] DidId, #[n(1)] u64),
    /// Ends the DID for good. By the next key, or by a current key where nothing is disputed.
    #[n(5)]
    Deactivate(#[n(0)] DidId, #[n(1)] u64),

    /// A verified person under their tag. By the issuer's operation key.
    #[n(16)]
    Enrol(#[n(0)] Enrol),
    /// Suspends, restores or ends an enrolment. By the issuer's operation key.
    #[n(17)]
    EnrolmentStanding(
        #[n(0)] Hash32,
        #[n(1)] PersonTag,
        #[n(2)] u64,
        #[n(3)] Standing,
        #[n(4)] ReasonCode,
    ),
    /// A service's registration: issuer, service id, digest. By the registrar's operation key.
    #[n(18)]
    Register(#[n(0)] Hash32, #[n(1)] Hash32, #[n(2)] Hash32),
    /// Suspends, restores or ends a registration: issuer, service id, seq, standing, reason.
    #[n(19)]
    ServiceStanding(
        #[n(0)] Hash32,
        #[n(1)] Hash32,
        #[n(2)] u64,
        #[n(3)] Standing,
        #[n(4)] ReasonCode,
    ),

    /// How many RealPasses an issuer has issued for an epoch: issuer, epoch, total. By its
    /// operation key.
    #[n(20)]
    PassTotal(#[n(0)] Hash32, #[n(1)] u64, #[n(2)] u64),
    /// Announces that a person who lost device and words gets new pseudonym secrets: issuer, tag,
    /// seq. By the issuer's operation key; it takes effect after the network's delay.
    #[n(21)]
    ResetPass(#[n(0)] Hash32, #[n(1)] PersonTag, #[n(2)] u64),
    /// Takes a pending reset back, because the person objected: issuer, tag, seq.
    #[n(22)]
    CancelReset(#[n(0)] Hash32, #[n(1)] PersonTag, #[n(2)] u64),

    /// An issuance batch. By the issuer's operation key.
    #[n(23)]
    Batch(#[n(0)] AnchorBatch),
    /// A name shown in public. By the registrar's operation key.
    #[n(24)]
    Display(#[n(0)] Show),
    /// Takes a display back for good. By the key that it names, or by its registrar's.
    #[n(25)]
    WithdrawDisplay(#[n(0)] Hash32, #[n(1)] ReasonCode),
    /// A newer checkpoint of a recognised network, by its name. By anybody.
    #[n(26)]
    ForeignCheckpoint(#[n(0)] NetworkName, #[n(1)] Checkpoint),
    /// The next committee of a recognised network, by its name. By anybody.
    #[n(27)]
    ForeignHandOver(#[n(0)] NetworkName, #[n(1)] HandOver),
    /// Two final headers of a recognised network at one height, by its name. By anybody.
    #[n(28)]
    ForeignFork(#[n(0)] NetworkName, #[n(1)] Checkpoint, #[n(2)] Checkpoint),
    /// A version of a status list. By the issuer's operation key.
    #[n(29)]
    StatusList(#[n(0)] PublishList),

    /// A decision of the network's governance. By a threshold of its keys.
    #[n(32)]
    Govern(#[n(0)] u64, #[n(1)] Decision, #[n(2)] ReasonCode),
}

/// The content of an enrolment.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Enrol {
    /// The issuer's id.
    #[n(0)]
    pub issuer: Hash32,
    #[n(1)]
    pub tag: PersonTag,
    #[n(2)]
    pub seq: u64,
    /// Salted digest that the wallet made; it says nothing to anyone else.
    #[n(3)]
    pub commitment: Hash32,
    /// The epoch in which the evidence was checked.
    #[n(4)]
    pub epoch: u64,
}

/// Credentials that an issuer has made, committed to.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct AnchorBatch {
    /// The issuer's id.
    #[n(0)]
    pub issuer: Hash32,
    /// The id of the key that signed them.
    #[n(1)]
    pub key: Hash32,
    /// The list commitment of their digests, each salted.
    #[n(2)]
    pub root: Hash32,
    #[n(3)]
    pub count: u64,
}

/// The content of a display.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Show {
    /// The registrar's id.
    #[n(0)]
    pub issuer: Hash32,
    /// The service on which the name is shown.
    #[n(1)]
    pub service: Hash32,
    /// Salted digest of what is shown, which the wallet made.
    #[n(2)]
    pub digest: Hash32,
    /// Commitment to a key of the person's DID, by which they withdraw it.
    #[n(3)]
    pub withdrawal: Hash32,
}

/// A version of a status list, committed to.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct PublishList {
    /// The issuer's id.
    #[n(0)]
    pub issuer: Hash32,
    /// Which list: SHA-256 of its address.
    #[n(1)]
    pub list: Hash32,
    /// 0 for its first version.
    #[n(2)]
    pub seq: u64,
    /// The version's digest (spec/status.md, U9).
    #[n(3)]
    pub digest: Hash32,
}

/// What governance can decide.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Decision {
    /// Admits an issuer that the ledger does not know.
    #[n(0)]
    AdmitIssuer(#[n(0)] Issuer),
    /// Suspends or restores an issuer.
    #[n(1)]
    IssuerStanding(#[n(0)] Hash32, #[n(1)] Standing),
    /// Adds a key to an issuer.
    #[n(2)]
    AddIssuerKey(#[n(0)] Hash32, #[n(1)] IssuerKey),
    /// Retires a key, or marks it compromised since a height (promise P7).
    #[n(3)]
    IssuerKeyStatus(#[n(0)] Hash32, #[n(1)] Hash32, #[n(2)] KeyStatus),
    /// Gives an issuer a RealPass key from an epoch on that has not begun.
    #[n(4)]
    AddPassKey(#[n(0)] Hash32, #[n(1)] EpochKey),
    /// Other parameters from a height on; what was to come is replaced.
    #[n(5)]
    Parameters(#[n(0)] u64, #[n(1)] Parameters),
    /// Other keys or another threshold for governance itself.
    #[n(6)]
    Governors(#[n(0)] u64, #[n(1)] Vec<PublicKey>),
    /// Recognises another network, or changes what of it is accepted.
    #[n(7)]
    Recognise(#[n(0)] Recognised),
    /// Suspends, restores or ends a recognition, by the network's name.
    #[n(8)]
    RecognitionStanding(#[n(0)] NetworkName, #[n(1)] Standing),
    /// The committee that follows the running one, from its first height on.
    #[n(9)]
    Committee(#[n(0)] Term),
}

impl Decision {
    /// Its name in interfaces.
    pub fn name(&self) -> &'static str {
        match self {
            Self::AdmitIssuer(_) => "admit-issuer",
            Self::IssuerStanding(..) => "issuer-standing",
            Self::AddIssuerKey(..) => "add-issuer-key",
            Self::IssuerKeyStatus(..) => "issuer-key-status",
            Self::AddPassKey(..) => "add-pass-key",
            Self::Parameters(..) => "parameters",
            Self::Governors(..) => "governors",
            Self::Recognise(_) => "recognise",
            Self::RecognitionStanding(..) => "recognition-standing",
            Self::Committee(_) => "committee",
        }
    }

    /// The version of the rules that first knew it.
    fn since(&self) -> u8 {
        match self {
            Self::Committee(_) => RULES_OF_TERMS,
            Self::Recognise(recognised) if recognised.begins.is_some() => RULES_OF_FOLLOWING,
            Self::Recognise(_) | Self::RecognitionStanding(..) => 2,
            Self::AdmitIssuer(issuer) => issuer.reason.since(),
            _ => 1,
        }
    }
}

impl Body {
    /// The version of the rules that first knew this kind, and all that is in it (rule O8).
    pub fn since(&self) -> u8 {
        match self {
            Self::StatusList(_) => RULES_OF_STATUS,
            Self::ForeignHandOver(..) | Self::ForeignFork(..) => RULES_OF_FOLLOWING,
            Self::Batch(_) | Self::Display(_) | Self::ForeignCheckpoint(..) => 2,
            Self::WithdrawDisplay(_, reason) => reason.since().max(2),
            Self::Govern(_, decision, reason) => decision.since().max(reason.since()),
            Self::EnrolmentStanding(.., reason) | Self::ServiceStanding(.., reason) => {
                reason.since()
            }
            _ => 1,
        }
    }
}

/// An operation with what authorises it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct SignedOperation {
    #[n(0)]
    pub operation: Operation,
    /// Keys with their signatures: one, or a threshold for governance.
    #[n(1)]
    pub signatures: Vec<KeySignature>,
    /// Who answers for the state that the operation creates.
    #[n(2)]
    pub sponsor: Option<Sponsorship>,
    /// A person's own account, where nobody sponsors.
    #[n(3)]
    pub personhood: Option<Personhood>,
}

/// A signature and the key that made it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct KeySignature {
    #[n(0)]
    pub key: PublicKey,
    #[n(1)]
    pub signature: Signature,
}

impl KeySignature {
    fn claim<'a>(&'a self, context: Context, network: &NetworkName, message: &[u8]) -> Claim<'a> {
        Claim::new(&self.key, &self.signature, context, network, message)
    }
}

/// An issuer's word that it spends one of its quota on this operation.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Sponsorship {
    /// The issuer's id.
    #[n(0)]
    pub issuer: Hash32,
    #[n(1)]
    pub by: KeySignature,
}

/// A proof that a verified person, whom it does not name, spends one of their slots on this
/// operation.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Personhood {
    /// The id of the issuer of the RealPass.
    #[n(0)]
    pub issuer: Hash32,
    /// The personhood period, by the network's parameters.
    #[n(1)]
    pub period: u64,
    /// The number of the slot, from 0.
    #[n(2)]
    pub slot: u64,
    /// The RealPass presentation (spec/realpass.md, B17), which shows its epoch alone.
    #[n(3)]
    pub presentation: Bytes,
}

/// The id of a personhood slot, of which the context of its pseudonym is made
/// (spec/operations.md, V2).
pub fn slot_id(network: &NetworkName, period: u64, slot: u64) -> Vec<u8> {
    [
        network.as_str().as_bytes(),
        &[0],
        &period.to_be_bytes(),
        &slot.to_be_bytes(),
    ]
    .concat()
}

impl Operation {
    /// What a personhood proof for this operation is bound to.
    pub fn personhood_binding(&self) -> Hash32 {
        let by = self.network.hash_function();
        by.tagged(Domain::Personhood, &[&codec::encode(self)])
    }

    pub fn new(network: NetworkName, expires: u64, body: Body) -> Self {
        Self {
            version: 1,
            network,
            expires,
            body,
        }
    }

    /// Signs with each of `keys` in turn.
    pub fn sign(self, keys: &[&SecretKey]) -> SignedOperation {
        let message = codec::encode(&self);
        let signatures = keys
            .iter()
            .map(|key| KeySignature {
                key: key.public(),
                signature: key.sign(Context::Operation, &self.network, &message),
            })
            .collect();
        SignedOperation {
            operation: self,
            signatures,
            sponsor: None,
            personhood: None,
        }
    }
}

impl SignedOperation {
    /// Reads a signed operation from hostile bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, codec::CodecError> {
        let limit = match bytes.len() > MAX_OPERATION_BYTES && hands_over(bytes) {
            true => MAX_HAND_OVER_BYTES,
            false => MAX_OPERATION_BYTES,
        };
        codec::decode(bytes, limit)
    }

    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The operation's name in receipts: a hash of the operation without its signatures, so that
    /// signing again does not make another operation of it.
    pub fn id(&self) -> Hash32 {
        let by = self.operation.network.hash_function();
        by.tagged(Domain::Operation, &[&codec::encode(&self.operation)])
    }

    /// Adds the sponsorship of `issuer`.
    pub fn sponsored(mut self, issuer: Hash32, key: &SecretKey) -> Self {
        let message = sponsored_bytes(&issuer, &codec::encode(&self.operation));
        let network = &self.operation.network;
        self.sponsor = Some(Sponsorship {
            issuer,
            by: KeySignature {
                key: key.public(),
                signature: key.sign(Context::Sponsorship, network, &message),
            },
        });
        self
    }

    /// Adds a personhood proof, which is bound to [`Operation::personhood_binding`].
    pub fn on_own_account(mut self, personhood: Personhood) -> Self {
        self.personhood = Some(personhood);
        self
    }

    /// Verifies every signature, the sponsor's included, each under the key that stands beside
    /// it. Whether those keys may ask for this is the ledger's question.
    pub fn verify_signatures(&self) -> Result<(), KeyError> {
        self.claims().iter().try_for_each(Claim::verify)
    }

    /// [`verify_signatures`](Self::verify_signatures) of each of `operations`, in less time.
    pub fn verify_signatures_of(operations: &[&Self]) -> Vec<Result<(), KeyError>> {
        let (mut claims, mut ends) = (Vec::new(), Vec::with_capacity(operations.len()));
        for operation in operations {
            claims.extend(operation.claims());
            ends.push(claims.len());
        }
        let verdicts = suite::verify_each(&claims);
        let mut begin = 0;
        ends.into_iter()
            .map(|end| {
                let own = &verdicts[begin..end];
                begin = end;
                own.iter().copied().collect()
            })
            .collect()
    }

    /// Each signature with what it is said to be of.
    fn claims(&self) -> Vec<Claim<'_>> {
        let message = codec::encode(&self.operation);
        let network = &self.operation.network;
        let mut claims: Vec<_> = (self.signatures.iter())
            .map(|by| by.claim(Context::Operation, network, &message))
            .collect();
        if let Some(Sponsorship { issuer, by }) = &self.sponsor {
            let message = sponsored_bytes(issuer, &message);
            claims.push(by.claim(Context::Sponsorship, network, &message));
        }
        claims
    }
}

/// Whether bytes begin as an operation of the one kind that may be long.
fn hands_over(bytes: &[u8]) -> bool {
    let kind = || {
        let mut decoder = Decoder::new(bytes);
        decoder.array()?; // signed
        decoder.array()?;
        decoder.u8()?;
        decoder.decode::<NetworkName>()?;
        decoder.u64()?;
        decoder.array()?;
        decoder.u64()
    };
    kind().is_ok_and(|kind: u64| kind == HAND_OVER_KIND)
}

/// What a sponsor signs: its own id, then the operation. Without the id, somebody could charge a
/// sponsorship to another issuer that has the same key.
fn sponsored_bytes(issuer: &Hash32, operation: &[u8]) -> Vec<u8> {
    [&issuer.0, operation].concat()
}
