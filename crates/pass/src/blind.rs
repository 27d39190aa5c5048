//! Blind BBS signatures: the prover commits to messages, the signer signs over the commitment
//! (draft-irtf-cfrg-bbs-blind-signatures-02, sections 4.1, 4.2 and 5; spec/realpass.md, B9).

use zeroize::{Zeroize, Zeroizing};

use crate::bbs::{MAX_SIGNED, SecretKey, Setting, Signature};
use crate::curve::{
    Affine, Multiples, POINT_BYTES, Point, SCALAR_BYTES, Scalar, SecretTable, sum_of_multiples,
    to_affine,
};
use crate::error::PassError;
use crate::octets::Reader;
use crate::suite::{Interface, octets_of_length};

/// The generators `Q_2, J_1, …, J_M` of commitments to M messages.
pub struct CommitmentBases {
    interface: Interface,
    /// `I2OSP(M, 8)` and the generators, as challenges hash them.
    octets: Vec<u8>,
    public: Vec<Multiples>,
    secret: SecretTable,
    committed: usize,
    last: Affine,
}

impl CommitmentBases {
    /// For `committed` messages.
    pub fn new(interface: Interface, committed: usize) -> Result<Self, PassError> {
        if committed > MAX_SIGNED {
            return Err(PassError::Messages);
        }
        let points = interface.blind_generators(committed + 1);
        let mut octets = octets_of_length(committed).to_vec();
        for point in &points {
            octets.extend(point.to_bytes());
        }
        Ok(Self {
            interface,
            octets,
            public: Multiples::of_staying(&points),
            secret: SecretTable::new(&points),
            committed,
            last: points[committed],
        })
    }

    /// The generator of the last committed message.
    pub fn last(&self) -> Affine {
        self.last
    }

    /// `calculate_blind_challenge`.
    fn challenge(&self, commitment: &Affine, c_bar: &Affine) -> Scalar {
        let points = [commitment.to_bytes(), c_bar.to_bytes()].concat();
        self.interface
            .hash_to_scalar(&[self.octets.as_slice(), &points].concat())
    }

    /// `Q_2 * blind + J_1 * msg_1 + …`, in constant time.
    pub fn commitment(&self, blind: &Scalar, messages: &[Scalar]) -> Result<Affine, PassError> {
        let commitment = self.combine(blind, messages)?;
        if commitment.is_identity() {
            return Err(PassError::Identity);
        }
        Ok(commitment.to_affine())
    }

    fn combine(&self, first: &Scalar, rest: &[Scalar]) -> Result<Point, PassError> {
        if rest.len() != self.committed {
            return Err(PassError::Messages);
        }
        let terms: Zeroizing<Vec<(usize, Scalar)>> = Zeroizing::new(
            std::iter::once(first)
                .chain(rest)
                .copied()
                .enumerate()
                .collect(),
        );
        self.secret.sum_secret(&terms).ok_or(PassError::Messages)
    }

    /// `CoreCommit` (section 4.3.1). `random` holds (secret_prover_blind, s~, m~_1, …, m~_M).
    pub fn commit(
        &self,
        messages: &[Scalar],
        random: &[Scalar],
    ) -> Result<CommitmentWithProof, PassError> {
        let [blind, s_tilde, m_tildes @ ..] = random else {
            return Err(PassError::Messages);
        };
        // 2. and 3.
        let commitment = self.commitment(blind, messages)?;
        let c_bar = self.combine(s_tilde, m_tildes)?.to_affine();
        // 4. to 6.
        let challenge = self.challenge(&commitment, &c_bar);
        Ok(CommitmentWithProof {
            commitment,
            s_hat: *s_tilde + *blind * challenge,
            hats: m_tildes
                .iter()
                .zip(messages)
                .map(|(m_tilde, message)| *m_tilde + *message * challenge)
                .collect(),
            challenge,
        })
    }

    /// `CoreCommitVerify` (section 4.3.2).
    pub fn verify(&self, claim: &CommitmentWithProof) -> Result<(), PassError> {
        if claim.hats.len() != self.committed {
            return Err(PassError::Length);
        }
        let fixed = self
            .public
            .iter()
            .zip(std::iter::once(claim.s_hat).chain(claim.hats.iter().copied()));
        let passing = Multiples::of_passing(&[claim.commitment]);
        let free = passing
            .iter()
            .map(|multiples| (multiples, -claim.challenge));
        let c_bar = sum_of_multiples(fixed.chain(free));
        if self.challenge(&claim.commitment, &c_bar.to_affine()) != claim.challenge {
            return Err(PassError::CommitmentProof);
        }
        Ok(())
    }
}

/// A commitment and the proof that its maker knows what is in it.
#[derive(Clone)]
pub struct CommitmentWithProof {
    pub(crate) commitment: Affine,
    s_hat: Scalar,
    hats: Vec<Scalar>,
    challenge: Scalar,
}

impl CommitmentWithProof {
    /// `commitment_with_proof_to_octets`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(POINT_BYTES + (2 + self.hats.len()) * SCALAR_BYTES);
        out.extend(self.commitment.to_bytes());
        out.extend(self.s_hat.to_bytes());
        for hat in &self.hats {
            out.extend(hat.to_bytes());
        }
        out.extend(self.challenge.to_bytes());
        out
    }

    /// `octets_to_commitment_with_proof`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PassError> {
        let mut reader = Reader::new(bytes);
        let claim = Self::read(&mut reader)?;
        reader.end()?;
        Ok(claim)
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, PassError> {
        let fixed = POINT_BYTES + 2 * SCALAR_BYTES;
        let left = reader.left();
        if left < fixed || (left - fixed) / SCALAR_BYTES > MAX_SIGNED {
            return Err(PassError::Length);
        }
        let commitment = reader.point()?;
        let s_hat = reader.nonzero_scalar()?;
        let (hats, challenge) = reader.scalars_and_challenge(MAX_SIGNED)?;
        Ok(Self {
            commitment,
            s_hat,
            hats,
            challenge,
        })
    }

    /// How many messages it commits to.
    pub fn committed(&self) -> usize {
        self.hats.len()
    }
}

/// `BlindSign` (section 4.2.1) after the commitment was verified: over the signer's messages and
/// the commitment, to which `extra` may add (the pseudonym draft's entropy).
pub fn blind_sign(
    setting: &Setting,
    secret: &SecretKey,
    commitment: Option<&Affine>,
    extra: Option<Point>,
    messages: &[Scalar],
) -> Result<Signature, PassError> {
    // B_calculate
    let mut b = setting.b_public(messages)?;
    if let Some(commitment) = commitment {
        b = b + Point::from(*commitment);
    }
    if let Some(extra) = extra {
        b = b + extra;
    }
    if b.is_identity() {
        return Err(PassError::Identity);
    }
    // FinalizeBlindSign
    let [b_octets] = to_affine([b]).map(|point| point.to_bytes());
    let mut input = Zeroizing::new(secret.to_bytes().to_vec());
    input.extend(b_octets);
    let mut e = setting.interface.hash_to_scalar(&input);
    let signature = secret.close(&b, e);
    e.zeroize();
    signature
}

/// All messages of a blind signature in order: the signer's, the blind, the committed.
pub fn all_messages(
    messages: &[Scalar],
    blind: &Scalar,
    committed: &[Scalar],
) -> Zeroizing<Vec<Scalar>> {
    let mut all = Zeroizing::new(Vec::with_capacity(messages.len() + 1 + committed.len()));
    all.extend(messages);
    all.push(*blind);
    all.extend(committed);
    all
}
