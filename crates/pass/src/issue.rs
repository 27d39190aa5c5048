//! Issuing: a wallet commits to its pseudonym secrets, the issuer signs over the commitment
//! without learning them (spec/realpass.md, rules B11 to B13).
//!
//! ```text
//! wallet                                          issuer
//! PseudonymSecrets::request ──── Request ────▶ IssuerKey::enrol   (first time: keeps a Kept)
//!                                              IssuerKey::issue   (then, and at each refresh)
//! Credential::accept / renew ◀─── Issued ─────
//! ```

use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use crate::bbs::{SIGNATURE_BYTES, Signature};
use crate::blind::{CommitmentWithProof, blind_sign};
use crate::curve::{Affine, POINT_BYTES, Point, SCALAR_BYTES, Scalar};
use crate::error::PassError;
use crate::hedge::Hedge;
use crate::key::{IssuerKey, Messages, SECRETS, VERSION, commitment_bases};
use crate::octets::Reader;
use crate::suite::hash_to_scalar;

const SECRET_DST: &[u8] = b"rdid/1/realpass-secret";
const BLIND_DST: &[u8] = b"rdid/1/realpass-blind";

/// Length of a [`Request`], in bytes.
pub const REQUEST_BYTES: usize = 1 + POINT_BYTES + (2 + SECRETS) * SCALAR_BYTES;
/// Length of a [`Kept`], in bytes.
pub const KEPT_BYTES: usize = 1 + POINT_BYTES + SCALAR_BYTES;
/// Length of an [`Issued`], in bytes.
pub const ISSUED_BYTES: usize = 1 + SIGNATURE_BYTES + SCALAR_BYTES;

/// The wallet's pseudonym secrets and the blind of its commitment to them. Erased when dropped.
///
/// All come from one seed, so the same recovery words give the same commitment: that the issuer
/// finds the bytes that it keeps, and a proof that the wallet can open them, is the proof of
/// equality at a refresh and after a loss.
pub struct PseudonymSecrets {
    pub(crate) secrets: [Scalar; SECRETS],
    pub(crate) blind: Scalar,
}

impl PseudonymSecrets {
    /// From 32 secret bytes, derived from the recovery words for this purpose alone.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let mut secrets = [Scalar::default(); SECRETS];
        for (index, secret) in secrets.iter_mut().enumerate() {
            let mut input = Zeroizing::new([0; 33]);
            input[..32].copy_from_slice(seed);
            input[32] = index as u8;
            *secret = hash_to_scalar(input.as_slice(), SECRET_DST);
        }
        Self {
            secrets,
            blind: hash_to_scalar(seed, BLIND_DST),
        }
    }

    /// The commitment and a fresh proof that its maker can open it (`CommitWithNym`).
    pub fn request(&self, rng: &mut impl CryptoRng) -> Result<Request, PassError> {
        let mut witness = Zeroizing::new(Vec::with_capacity(SECRETS + 1));
        witness.push(self.blind);
        witness.extend(&self.secrets);
        let hedge = Hedge {
            purpose: "request",
            witness: &witness,
            about: &[],
        };
        // The draft draws the blind here too; ours is of the seed, and the rest is fresh.
        let mut random = hedge.scalars(rng, SECRETS + 2);
        random[0] = self.blind;
        let claim = commitment_bases()?.commit(&self.secrets, &random)?;
        Ok(Request(claim))
    }
}

impl Drop for PseudonymSecrets {
    fn drop(&mut self) {
        self.secrets.zeroize();
        self.blind.zeroize();
    }
}

/// What a wallet sends to be issued to: its commitment, with proof.
#[derive(Clone)]
pub struct Request(CommitmentWithProof);

impl Request {
    /// Version, commitment, responses, challenge.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(REQUEST_BYTES);
        out.push(VERSION);
        out.extend(self.0.to_bytes());
        out
    }

    /// What it commits to, 48 bytes: the same in every request of the same secrets.
    pub fn commitment(&self) -> [u8; POINT_BYTES] {
        self.0.commitment.to_bytes()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote. The proof is checked when it is used.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PassError> {
        if bytes.len() != REQUEST_BYTES {
            return Err(PassError::Length);
        }
        let mut reader = versioned(bytes)?;
        let claim = CommitmentWithProof::read(&mut reader)?;
        reader.end()?;
        Ok(Self(claim))
    }
}

/// What the issuer keeps for each person: the commitment, and its own part of the secrets. The
/// entropy is as secret as a person's record is.
#[derive(Clone)]
pub struct Kept {
    commitment: Affine,
    entropy: Scalar,
}

impl Kept {
    /// Version, commitment, entropy.
    pub fn to_bytes(&self) -> Zeroizing<[u8; KEPT_BYTES]> {
        let mut out = Zeroizing::new([0; KEPT_BYTES]);
        out[0] = VERSION;
        out[1..1 + POINT_BYTES].copy_from_slice(&self.commitment.to_bytes());
        out[1 + POINT_BYTES..].copy_from_slice(&self.entropy.to_bytes());
        out
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PassError> {
        let mut reader = versioned(bytes)?;
        let kept = Self {
            commitment: reader.point()?,
            entropy: reader.nonzero_scalar()?,
        };
        reader.end()?;
        Ok(kept)
    }

    /// The commitment, 48 bytes: what a public record of the enrolment may hash.
    pub fn commitment(&self) -> [u8; POINT_BYTES] {
        self.commitment.to_bytes()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.entropy.zeroize();
    }
}

/// What the issuer answers: its signature, and its part of the secrets.
#[derive(Clone)]
pub struct Issued {
    pub(crate) signature: Signature,
    pub(crate) entropy: Scalar,
}

impl Issued {
    /// Version, signature, entropy.
    pub fn to_bytes(&self) -> Zeroizing<[u8; ISSUED_BYTES]> {
        let mut out = Zeroizing::new([0; ISSUED_BYTES]);
        out[0] = VERSION;
        out[1..1 + SIGNATURE_BYTES].copy_from_slice(&self.signature.to_bytes());
        out[1 + SIGNATURE_BYTES..].copy_from_slice(&self.entropy.to_bytes());
        out
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PassError> {
        let mut reader = versioned(bytes)?;
        let issued = Self::read(&mut reader)?;
        reader.end()?;
        Ok(issued)
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, PassError> {
        Ok(Self {
            signature: Signature::from_bytes(reader.array()?)?,
            entropy: reader.nonzero_scalar()?,
        })
    }
}

impl Drop for Issued {
    fn drop(&mut self) {
        self.entropy.zeroize();
    }
}

impl IssuerKey {
    /// The first time: checks the commitment's proof and draws the issuer's part of the secrets,
    /// so that no wallet chooses its pseudonyms. The issuer keeps the answer for good: a person
    /// whose entropy is lost or changed gets other pseudonyms everywhere.
    pub fn enrol(&self, rng: &mut impl CryptoRng, request: &Request) -> Result<Kept, PassError> {
        commitment_bases()?.verify(&request.0)?;
        let secret = Zeroizing::new(Scalar::from_bytes(&self.secret.to_bytes()));
        let hedge = Hedge {
            purpose: "entropy",
            witness: secret.as_slice(),
            about: &[&request.0.commitment.to_bytes()],
        };
        let entropy = hedge.scalars(rng, 1);
        Ok(Kept {
            commitment: request.0.commitment,
            entropy: entropy[0],
        })
    }

    /// Signs messages over the commitment that is kept (`BlindSignWithNym`). Refused unless the
    /// request is for that commitment and proves that its sender can open it.
    pub fn issue(
        &self,
        request: &Request,
        kept: &Kept,
        messages: &Messages,
    ) -> Result<Issued, PassError> {
        let scalars = self.public.scalars(messages)?;
        if request.0.commitment != kept.commitment {
            return Err(PassError::OtherCommitment);
        }
        let bases = commitment_bases()?;
        bases.verify(&request.0)?;
        let entropy = Point::from(bases.last()).mul_secret(&kept.entropy);
        let signature = blind_sign(
            &self.public.setting,
            &self.secret,
            Some(&kept.commitment),
            Some(entropy),
            &scalars,
        )?;
        Ok(Issued {
            signature,
            entropy: kept.entropy,
        })
    }
}

/// A reader behind the version byte.
pub(crate) fn versioned(bytes: &[u8]) -> Result<Reader<'_>, PassError> {
    let mut reader = Reader::new(bytes);
    if reader.byte()? != VERSION {
        return Err(PassError::Version);
    }
    Ok(reader)
}
