//! Why something of RealPass is refused.

use crate::curve::NotAPoint;

/// Why bytes, a signature, a commitment or a proof are refused. Holds no value of anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PassError {
    /// The sender: too short, too long, or bytes left over.
    #[error("the encoding has exactly the length that its parts have (B17)")]
    Length,
    /// The sender: made by another version of the scheme.
    #[error("the first byte names a version that is understood here (B17)")]
    Version,
    /// The sender: not the compressed form of a point of the curve.
    #[error("each point is on the curve, in compressed form (B3)")]
    Curve,
    /// The sender: on the curve, outside the subgroup of prime order.
    #[error("each point is in the subgroup of prime order (B3)")]
    Subgroup,
    /// The sender: the identity, which would make a statement empty.
    #[error("no point is the identity (B3)")]
    Identity,
    /// The sender: a scalar is zero where that is refused, or not below the order.
    #[error("each scalar is below the order, and not zero where a secret must stand (B3)")]
    Scalar,
    /// The caller: too many messages, or one too long, or another number than the key is for.
    #[error("there are as many messages as the key is for, each of at most 64 bytes (B10)")]
    Messages,
    /// The caller or the sender: indexes out of range, twice, or out of order.
    #[error("the disclosed indexes are in range and ascend (B10)")]
    Disclosed,
    /// The operator: key material is 32 to 65535 bytes and its info at most 65535.
    #[error("key material has at least 32 bytes (B6)")]
    KeyMaterial,
    /// The issuer: the signature does not verify over these messages under this key.
    #[error("the signature is the issuer's, over these messages and this commitment (B13)")]
    Signature,
    /// The wallet: the proof of the commitment does not verify.
    #[error("a commitment comes with a proof that its maker knows what is in it (B11)")]
    CommitmentProof,
    /// The wallet: this is not the commitment that the issuer keeps for the person.
    #[error("a refresh commits to the same secrets as the enrolment (B12)")]
    OtherCommitment,
    /// The issuer: it changed its part of the secrets, and with it every pseudonym.
    #[error("a refresh carries the entropy of the enrolment (B13)")]
    OtherEntropy,
    /// The prover: the responses do not answer for these messages, this context, this binding,
    /// this pseudonym and this key.
    #[error("the proof is for this key, context, binding, pseudonym and these messages (B15)")]
    Challenge,
    /// The prover: there is no signature of this issuer behind the proof.
    #[error("the proof holds a signature of the issuer (B15)")]
    Pairing,
}

impl PassError {
    /// Stable, dotted code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Length => "pass.length",
            Self::Version => "pass.version",
            Self::Curve => "pass.curve",
            Self::Subgroup => "pass.subgroup",
            Self::Identity => "pass.identity",
            Self::Scalar => "pass.scalar",
            Self::Messages => "pass.messages",
            Self::Disclosed => "pass.disclosed",
            Self::KeyMaterial => "pass.key_material",
            Self::Signature => "pass.signature",
            Self::CommitmentProof => "pass.commitment_proof",
            Self::OtherCommitment => "pass.other_commitment",
            Self::OtherEntropy => "pass.other_entropy",
            Self::Challenge => "pass.challenge",
            Self::Pairing => "pass.pairing",
        }
    }
}

impl From<NotAPoint> for PassError {
    fn from(reason: NotAPoint) -> Self {
        match reason {
            NotAPoint::Curve => Self::Curve,
            NotAPoint::Subgroup => Self::Subgroup,
            NotAPoint::Identity => Self::Identity,
        }
    }
}
