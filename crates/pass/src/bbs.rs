//! BBS signatures: keys, signing, verifying, and proofs of a signature
//! (draft-irtf-cfrg-bbs-signatures, sections 3.4, 3.6 and 3.7; spec/realpass.md, rules B6 to B8).
//!
//! The operations are the draft's core ones, over generators and scalars, so that the blind and
//! the pseudonym drafts use the same. What the draft computes anew for each operation but is the
//! same for all signatures under one key, header and number of messages stands in [`Setting`].
//! Names follow the draft: `a_bar` is Abar, `e_hat` is e^, `r1_tilde` is r1~.

use std::sync::OnceLock;

use zeroize::{Zeroize, Zeroizing};

use crate::curve::{
    Affine, Multiples, POINT_BYTES, PUBLIC_POINT_BYTES, Point, PublicPoint, SCALAR_BYTES, Scalar,
    SecretTable, Terms, pairings_cancel, sum_of_multiples, sum_public, to_affine,
};
use crate::error::PassError;
use crate::octets::Reader;
use crate::suite::{Interface, KEYGEN_DST, hash_to_scalar, octets_of_length, p1};

/// Length of a signature: a point and a scalar.
pub const SIGNATURE_BYTES: usize = POINT_BYTES + SCALAR_BYTES;
/// Bound on the messages of one signature, committed ones and pseudonym secrets included.
pub const MAX_SIGNED: usize = 64;

/// An issuer's secret key. Erased when dropped.
pub struct SecretKey(Scalar);

impl SecretKey {
    /// `KeyGen` (section 3.4.1): from at least 32 bytes that nobody can guess.
    pub fn generate(material: &[u8], info: &[u8], dst: &[u8]) -> Result<Self, PassError> {
        if material.len() < 32 || material.len() > 65535 {
            return Err(PassError::KeyMaterial);
        }
        let info_length = u16::try_from(info.len()).map_err(|_| PassError::KeyMaterial)?;
        let input = Zeroizing::new([material, &info_length.to_be_bytes(), info].concat());
        Self::from_scalar(hash_to_scalar(&input, dst))
    }

    /// `KeyGen` under the suite's own tag.
    pub fn from_material(material: &[u8], info: &[u8]) -> Result<Self, PassError> {
        Self::generate(material, info, KEYGEN_DST)
    }

    /// 32 bytes, big-endian, not zero and below the order.
    pub fn from_bytes(bytes: &[u8; SCALAR_BYTES]) -> Result<Self, PassError> {
        Self::from_scalar(Scalar::from_bytes(bytes).ok_or(PassError::Scalar)?)
    }

    fn from_scalar(scalar: Scalar) -> Result<Self, PassError> {
        if scalar.is_zero() {
            return Err(PassError::Scalar);
        }
        Ok(Self(scalar))
    }

    /// 32 bytes, big-endian.
    pub fn to_bytes(&self) -> Zeroizing<[u8; SCALAR_BYTES]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// `SkToPk` (section 3.4.2).
    pub fn public(&self) -> PublicKey {
        PublicKey(PublicPoint::generator_times_secret(&self.0))
    }

    /// `A = B * (1 / (SK + e))`.
    pub(crate) fn close(&self, b: &Point, e: Scalar) -> Result<Signature, PassError> {
        let mut divisor = (self.0 + e).invert();
        let a = b.mul_secret(&divisor);
        divisor.zeroize();
        if a.is_identity() {
            return Err(PassError::Identity);
        }
        Ok(Signature {
            a: a.to_affine(),
            e,
        })
    }
}

impl Drop for SecretKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// An issuer's public key `W`.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(PublicPoint);

impl PublicKey {
    /// `octets_to_pubkey` (section 4.2.4.6).
    pub fn from_bytes(bytes: &[u8; PUBLIC_POINT_BYTES]) -> Result<Self, PassError> {
        Ok(Self(PublicPoint::from_bytes(bytes)?))
    }

    /// 96 bytes, compressed.
    pub fn to_bytes(&self) -> [u8; PUBLIC_POINT_BYTES] {
        self.0.to_bytes()
    }
}

/// Everything that is the same for all signatures under one key, header and number of messages.
///
/// Messages are numbered as the drafts number them: the signer's, then the prover's blind, then
/// what the prover committed to.
pub struct Setting {
    pub(crate) interface: Interface,
    key: PublicKey,
    generator_g2: PublicPoint,
    /// `domain` (section 4.2.3).
    domain: Scalar,
    /// `P1 + Q_1 * domain`, then the generator of each message.
    points: Vec<Affine>,
    public: OnceLock<Vec<Multiples>>,
    secret: OnceLock<SecretTable>,
}

impl Setting {
    /// For `messages` of the signer's and, in the blind interfaces, `committed` of the prover's.
    pub fn new(
        interface: Interface,
        key: &PublicKey,
        header: &[u8],
        messages: usize,
        committed: Option<usize>,
    ) -> Result<Self, PassError> {
        if messages > MAX_SIGNED || committed.is_some_and(|count| count > MAX_SIGNED) {
            return Err(PassError::Messages);
        }
        let mut generators = interface.generators(messages + 1);
        if let Some(committed) = committed {
            generators.extend(interface.blind_generators(committed + 1));
        }
        // calculate_domain (section 4.2.3).
        let mut input = key.to_bytes().to_vec();
        input.extend(octets_of_length(generators.len() - 1));
        for generator in &generators {
            input.extend(generator.to_bytes());
        }
        input.extend(interface.api_id());
        input.extend(octets_of_length(header.len()));
        input.extend(header);
        let domain = interface.hash_to_scalar(&input);

        let base = Point::from(p1()) + sum_public(&[(generators[0], domain)]);
        if base.is_identity() {
            return Err(PassError::Identity);
        }
        generators[0] = base.to_affine();
        Ok(Self {
            interface,
            key: key.clone(),
            generator_g2: PublicPoint::generator(),
            domain,
            points: generators,
            public: OnceLock::new(),
            secret: OnceLock::new(),
        })
    }

    /// How many messages a signature is over, the blind and committed ones included.
    pub fn message_count(&self) -> usize {
        self.points.len() - 1
    }

    /// The issuer's key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// `P1 + Q_1 * domain`, then the generators: tables are made at their first use.
    fn multiples(&self) -> &[Multiples] {
        self.public
            .get_or_init(|| Multiples::of_staying(&self.points))
    }

    fn secret_table(&self) -> &SecretTable {
        self.secret
            .get_or_init(|| SecretTable::new(&self.points[1..]))
    }

    /// `P1 + Q_1 * domain + H_1 * msg_1 + …` over the first messages, whose number the caller
    /// answers for. Not constant time: for the signer, who knows these messages.
    pub(crate) fn b_public(&self, messages: &[Scalar]) -> Result<Point, PassError> {
        if messages.len() > self.message_count() {
            return Err(PassError::Messages);
        }
        let [base, generators @ ..] = self.multiples() else {
            return Err(PassError::Messages);
        };
        let terms = generators.iter().zip(messages.iter().copied());
        Ok(sum_of_multiples(
            std::iter::once((base, Scalar::one())).chain(terms),
        ))
    }

    /// The same over all messages, in constant time: for the prover.
    pub(crate) fn b_secret(&self, messages: &[Scalar]) -> Result<Point, PassError> {
        if messages.len() != self.message_count() {
            return Err(PassError::Messages);
        }
        let terms: Zeroizing<Vec<(usize, Scalar)>> =
            Zeroizing::new(messages.iter().copied().enumerate().collect());
        let sum = self
            .secret_table()
            .sum_secret(&terms)
            .ok_or(PassError::Messages)?;
        Ok(Point::from(self.points[0]) + sum)
    }

    /// Whether h(a, W) · h(b, -BP2) is one.
    pub(crate) fn pairing_holds(&self, a: Point, b: Point) -> bool {
        let [a, minus_b] = to_affine([a, -b]);
        pairings_cancel(&a, &self.key.0, &minus_b, &self.generator_g2)
    }

    /// `CoreSign` (section 3.6.1).
    pub fn sign(&self, secret: &SecretKey, messages: &[Scalar]) -> Result<Signature, PassError> {
        if messages.len() != self.message_count() {
            return Err(PassError::Messages);
        }
        // 2. e
        let mut input = Zeroizing::new(secret.to_bytes().to_vec());
        for message in messages {
            input.extend(message.to_bytes());
        }
        input.extend(self.domain.to_bytes());
        let e = self.interface.hash_to_scalar(&input);
        // 3. and 4.
        secret.close(&self.b_public(messages)?, e)
    }

    /// `CoreVerify` (section 3.6.2). Answers with `B`, which proofs of the signature start from.
    pub fn verify(&self, signature: &Signature, messages: &[Scalar]) -> Result<Point, PassError> {
        let b = self.b_secret(messages)?;
        // 3. h(A, W) * h(A * e - B, BP2): the product of one is the same with signs moved.
        let a = Point::from(signature.a);
        if !self.pairing_holds(a, b + -a.mul_secret(&signature.e)) {
            return Err(PassError::Signature);
        }
        Ok(b)
    }

    /// `ProofInit` (section 3.7.1). `b` is what [`verify`](Self::verify) answered; `random` holds
    /// (r1, r2, e~, r1~, r3~, m~_j1, …), one m~ for each message that is not in `disclosed`.
    pub fn proof_init(
        &self,
        signature: &Signature,
        b: &Point,
        disclosed: &[usize],
        random: &[Scalar],
    ) -> Result<ProofInit, PassError> {
        let hidden = hidden_indexes(disclosed, self.message_count())?;
        let [r1, r2, e_tilde, r1_tilde, r3_tilde, m_tildes @ ..] = random else {
            return Err(PassError::Messages);
        };
        if m_tildes.len() != hidden.len() {
            return Err(PassError::Messages);
        }
        // 3. to 5.
        let d = b.mul_secret(r2);
        let a_bar = Point::from(signature.a).mul_secret(&(*r1 * *r2));
        let b_bar = d.mul_secret(r1) + -a_bar.mul_secret(&signature.e);
        // 6. and 7.
        let t1 = a_bar.mul_secret(e_tilde) + d.mul_secret(r1_tilde);
        let terms: Zeroizing<Vec<(usize, Scalar)>> =
            Zeroizing::new(hidden.into_iter().zip(m_tildes.iter().copied()).collect());
        let t2 = d.mul_secret(r3_tilde)
            + self
                .secret_table()
                .sum_secret(&terms)
                .ok_or(PassError::Messages)?;
        if a_bar.is_identity() || b_bar.is_identity() || d.is_identity() {
            return Err(PassError::Identity);
        }
        let [a_bar, b_bar, d, t1, t2] = to_affine([a_bar, b_bar, d, t1, t2]);
        Ok(ProofInit {
            a_bar,
            b_bar,
            d,
            t1,
            t2,
        })
    }

    /// `ProofVerifyInit` (section 3.7.3), over disclosed messages whose indexes ascend.
    pub fn proof_verify_init(
        &self,
        proof: &Proof,
        disclosed: &[(usize, Scalar)],
    ) -> Result<ProofInit, PassError> {
        let passing = Multiples::of_passing(&proof.points());
        let sums = self.proof_verify_sums(proof, disclosed, &passing)?;
        let [t1, t2] = to_affine(sums.map(sum_of_multiples));
        Ok(proof.init(t1, t2))
    }

    /// T1 and T2 of the same section, as sums that are yet to be made. `passing` begins with the
    /// multiples of the proof's [`points`](Proof::points).
    pub(crate) fn proof_verify_sums<'a>(
        &'a self,
        proof: &Proof,
        disclosed: &[(usize, Scalar)],
        passing: &'a [Multiples],
    ) -> Result<[Terms<'a>; 2], PassError> {
        let indexes: Vec<usize> = disclosed.iter().map(|(index, _)| *index).collect();
        let hidden = hidden_indexes(&indexes, self.message_count())?;
        let [a_bar, b_bar, d, ..] = passing else {
            return Err(PassError::Length);
        };
        if hidden.len() != proof.hats.len() {
            return Err(PassError::Length);
        }
        // 2. T1
        let t1 = vec![
            (b_bar, proof.challenge),
            (a_bar, proof.e_hat),
            (d, proof.r1_hat),
        ];
        // 3. and 4. T2, with Bv's terms multiplied by the challenge one by one: then all but D are
        // fixed points.
        let mut scalars = vec![Scalar::default(); self.points.len()];
        scalars[0] = proof.challenge;
        for (index, message) in disclosed {
            scalars[index + 1] = *message * proof.challenge;
        }
        for (index, hat) in hidden.into_iter().zip(&proof.hats) {
            scalars[index + 1] = *hat;
        }
        let fixed = self.multiples().iter().zip(scalars);
        let t2 = fixed.chain(std::iter::once((d, proof.r3_hat))).collect();
        Ok([t1, t2])
    }

    /// `ProofChallengeCalculate` (section 3.7.4). `between` is what the pseudonym draft adds after
    /// T2, `after` what it adds after the presentation header.
    pub(crate) fn challenge(
        &self,
        init: &ProofInit,
        between: &[Affine],
        disclosed: &[(usize, Scalar)],
        presentation_header: &[u8],
        after: &[u8],
    ) -> Scalar {
        let mut input = octets_of_length(disclosed.len()).to_vec();
        for (index, message) in disclosed {
            input.extend(octets_of_length(*index));
            input.extend(message.to_bytes());
        }
        for point in [&init.a_bar, &init.b_bar, &init.d, &init.t1, &init.t2] {
            input.extend(point.to_bytes());
        }
        for point in between {
            input.extend(point.to_bytes());
        }
        input.extend(self.domain.to_bytes());
        input.extend(octets_of_length(presentation_header.len()));
        input.extend(presentation_header);
        input.extend(after);
        self.interface.hash_to_scalar(&input)
    }

    /// `CoreProofGen` (section 3.6.3) over all signed messages.
    pub fn proof_gen(
        &self,
        signature: &Signature,
        b: &Point,
        messages: &[Scalar],
        disclosed: &[usize],
        presentation_header: &[u8],
        random: &[Scalar],
    ) -> Result<Proof, PassError> {
        let init = self.proof_init(signature, b, disclosed, random)?;
        let shown = shown(messages, disclosed)?;
        let challenge = self.challenge(&init, &[], &shown, presentation_header, &[]);
        proof_finalize(&init, challenge, signature, random, messages, disclosed)
    }

    /// `CoreProofVerify` (section 3.6.4).
    pub fn proof_verify(
        &self,
        proof: &Proof,
        disclosed: &[(usize, Scalar)],
        presentation_header: &[u8],
    ) -> Result<(), PassError> {
        let init = self.proof_verify_init(proof, disclosed)?;
        if self.challenge(&init, &[], disclosed, presentation_header, &[]) != proof.challenge {
            return Err(PassError::Challenge);
        }
        self.proof_pairing(proof)
    }

    /// The last step of verifying a proof: h(Abar, W) * h(Bbar, -BP2) is one.
    pub(crate) fn proof_pairing(&self, proof: &Proof) -> Result<(), PassError> {
        if !self.pairing_holds(proof.a_bar.into(), proof.b_bar.into()) {
            return Err(PassError::Pairing);
        }
        Ok(())
    }
}

/// A signature (A, e).
#[derive(Clone)]
pub struct Signature {
    pub(crate) a: Affine,
    pub(crate) e: Scalar,
}

impl Signature {
    /// `octets_to_signature` (section 4.2.4.3).
    pub fn from_bytes(bytes: &[u8; SIGNATURE_BYTES]) -> Result<Self, PassError> {
        let mut reader = Reader::new(bytes);
        Ok(Self {
            a: reader.point()?,
            e: reader.nonzero_scalar()?,
        })
    }

    /// `signature_to_octets` (section 4.2.4.2).
    pub fn to_bytes(&self) -> [u8; SIGNATURE_BYTES] {
        let mut out = [0; SIGNATURE_BYTES];
        out[..POINT_BYTES].copy_from_slice(&self.a.to_bytes());
        out[POINT_BYTES..].copy_from_slice(&self.e.to_bytes());
        out
    }
}

/// What both sides of a proof hash: (Abar, Bbar, D, T1, T2).
pub struct ProofInit {
    pub(crate) a_bar: Affine,
    pub(crate) b_bar: Affine,
    pub(crate) d: Affine,
    pub(crate) t1: Affine,
    pub(crate) t2: Affine,
}

/// A proof that its maker holds a signature.
#[derive(Clone)]
pub struct Proof {
    pub(crate) a_bar: Affine,
    pub(crate) b_bar: Affine,
    pub(crate) d: Affine,
    pub(crate) e_hat: Scalar,
    pub(crate) r1_hat: Scalar,
    pub(crate) r3_hat: Scalar,
    /// One response for each message that is not disclosed.
    pub(crate) hats: Vec<Scalar>,
    pub(crate) challenge: Scalar,
}

impl Proof {
    /// The points whose multiples verifying needs: (Abar, Bbar, D).
    pub(crate) fn points(&self) -> [Affine; 3] {
        [self.a_bar, self.b_bar, self.d]
    }

    /// What the challenge is a hash of, once T1 and T2 are known.
    pub(crate) fn init(&self, t1: Affine, t2: Affine) -> ProofInit {
        ProofInit {
            a_bar: self.a_bar,
            b_bar: self.b_bar,
            d: self.d,
            t1,
            t2,
        }
    }

    /// `proof_to_octets` (section 4.2.4.4).
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(3 * POINT_BYTES + (4 + self.hats.len()) * SCALAR_BYTES);
        for point in self.points() {
            out.extend(point.to_bytes());
        }
        for scalar in [&self.e_hat, &self.r1_hat, &self.r3_hat] {
            out.extend(scalar.to_bytes());
        }
        for hat in &self.hats {
            out.extend(hat.to_bytes());
        }
        out.extend(self.challenge.to_bytes());
        out
    }

    /// `octets_to_proof` (section 4.2.4.5): points checked, scalars below the order and not zero.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PassError> {
        let mut reader = Reader::new(bytes);
        let proof = Self::read(&mut reader)?;
        reader.end()?;
        Ok(proof)
    }

    /// Reads a proof that takes all that is left.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, PassError> {
        // The length is settled before the points, whose checks cost most.
        let fixed = 3 * POINT_BYTES + 4 * SCALAR_BYTES;
        let most = 2 * MAX_SIGNED;
        let left = reader.left();
        if left < fixed || !(left - fixed).is_multiple_of(SCALAR_BYTES) {
            return Err(PassError::Length);
        }
        if (left - fixed) / SCALAR_BYTES > most {
            return Err(PassError::Length);
        }
        let a_bar = reader.point()?;
        let b_bar = reader.point()?;
        let d = reader.point()?;
        let e_hat = reader.nonzero_scalar()?;
        let r1_hat = reader.nonzero_scalar()?;
        let r3_hat = reader.nonzero_scalar()?;
        let (hats, challenge) = reader.scalars_and_challenge(most)?;
        Ok(Self {
            a_bar,
            b_bar,
            d,
            e_hat,
            r1_hat,
            r3_hat,
            hats,
            challenge,
        })
    }
}

/// How many scalars [`Setting::proof_init`] asks for.
pub fn random_scalars_for_proof(messages: usize, disclosed: usize) -> usize {
    5 + messages.saturating_sub(disclosed)
}

/// `ProofFinalize` (section 3.7.2).
pub(crate) fn proof_finalize(
    init: &ProofInit,
    challenge: Scalar,
    signature: &Signature,
    random: &[Scalar],
    messages: &[Scalar],
    disclosed: &[usize],
) -> Result<Proof, PassError> {
    let [r1, r2, e_tilde, r1_tilde, r3_tilde, m_tildes @ ..] = random else {
        return Err(PassError::Messages);
    };
    let hidden = hidden_indexes(disclosed, messages.len())?;
    let r3 = Zeroizing::new(r2.invert());
    Ok(Proof {
        a_bar: init.a_bar,
        b_bar: init.b_bar,
        d: init.d,
        e_hat: *e_tilde + signature.e * challenge,
        r1_hat: *r1_tilde - *r1 * challenge,
        r3_hat: *r3_tilde - *r3 * challenge,
        hats: hidden
            .into_iter()
            .zip(m_tildes)
            .map(|(index, m_tilde)| *m_tilde + messages[index] * challenge)
            .collect(),
        challenge,
    })
}

/// The disclosed messages with their indexes.
pub(crate) fn shown(
    messages: &[Scalar],
    disclosed: &[usize],
) -> Result<Vec<(usize, Scalar)>, PassError> {
    disclosed
        .iter()
        .map(|index| {
            let message = messages.get(*index).ok_or(PassError::Disclosed)?;
            Ok((*index, *message))
        })
        .collect()
}

/// The indexes below `count` that are not disclosed; refused unless `disclosed` ascends below it.
fn hidden_indexes(disclosed: &[usize], count: usize) -> Result<Vec<usize>, PassError> {
    let ascends = disclosed.windows(2).all(|pair| pair[0] < pair[1]);
    if !ascends || disclosed.last().is_some_and(|last| *last >= count) {
        return Err(PassError::Disclosed);
    }
    Ok((0..count)
        .filter(|index| disclosed.binary_search(index).is_err())
        .collect())
}
