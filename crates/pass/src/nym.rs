//! BBS per verifier linkability: a pseudonym for each context from a vector of secrets
//! (draft-irtf-cfrg-bbs-per-verifier-linkability, as in the fixtures of its draft 03;
//! spec/realpass.md, rule B14).
//!
//! The secrets n_0, …, n_(N-1) are the last N messages of the signature. In a context they are the
//! coefficients of a polynomial that is evaluated at z, a hash of the context; the pseudonym is a
//! point of the context, OP, times the value.

use zeroize::Zeroizing;

use crate::bbs::{Proof, Setting, Signature, proof_finalize, random_scalars_for_proof, shown};
use crate::curve::{
    Affine, Multiples, Point, Scalar, Terms, hash_to_curve_g1, sums_of_multiples, to_affine,
};
use crate::error::PassError;
use crate::suite::{Interface, hash_to_scalar, octets_of_length};

/// The header that is signed: the application's, then the number of secrets.
pub fn combined_header(header: &[u8], secrets: usize) -> Vec<u8> {
    [header, &octets_of_length(secrets)].concat()
}

/// What is the same for everybody in one context: OP and z.
pub struct ContextPoint {
    id: Vec<u8>,
    /// `OP = hash_to_curve_g1(context_id, api_id)`.
    op: Affine,
    op_multiples: Vec<Multiples>,
    /// `z = hash_to_scalar(context_id, api_id || "VECT_NYM_SECRETS")`.
    z: Scalar,
}

impl ContextPoint {
    /// For a context id, which is hashed.
    pub fn new(id: &[u8]) -> Self {
        let api_id = Interface::Nym.api_id();
        let op = hash_to_curve_g1(id, api_id).to_affine();
        Self {
            id: id.to_vec(),
            op,
            op_multiples: Multiples::of_passing(&[op]),
            z: hash_to_scalar(id, &[api_id, b"VECT_NYM_SECRETS"].concat()),
        }
    }

    /// n_0 + n_1 z + … by Horner's rule.
    fn evaluate(&self, coefficients: &[Scalar]) -> Scalar {
        coefficients
            .iter()
            .rev()
            .fold(Scalar::default(), |sum, coefficient| {
                sum * self.z + *coefficient
            })
    }

    /// The context id.
    pub fn id(&self) -> &[u8] {
        &self.id
    }

    /// What is hashed after the presentation header.
    fn octets(&self) -> Vec<u8> {
        [octets_of_length(self.id.len()).as_slice(), &self.id].concat()
    }

    /// The pseudonym of these secrets in this context, in constant time.
    pub fn pseudonym(&self, secrets: &[Scalar]) -> Result<Affine, PassError> {
        let value = Zeroizing::new(self.evaluate(secrets));
        let pseudonym = Point::from(self.op).mul_secret(&value);
        if pseudonym.is_identity() {
            return Err(PassError::Identity);
        }
        Ok(pseudonym.to_affine())
    }
}

/// What a prover shows of itself: messages by index, in a context, to a presentation header.
pub struct Showing<'a> {
    pub context: &'a ContextPoint,
    /// Indexes of the disclosed messages, ascending.
    pub disclosed: &'a [usize],
    pub presentation_header: &'a [u8],
}

/// `CoreProofGenWithNym`: a proof and the pseudonym, whose secrets are the last `secrets` of
/// `messages`. `b` is what verifying the signature answered.
pub fn proof_gen(
    setting: &Setting,
    signature: &Signature,
    b: &Point,
    messages: &[Scalar],
    secrets: usize,
    showing: &Showing<'_>,
    random: &[Scalar],
) -> Result<(Proof, Affine), PassError> {
    let first_secret = messages
        .len()
        .checked_sub(secrets)
        .ok_or(PassError::Messages)?;
    // The secrets themselves are never shown, and there is one random scalar for each.
    if secrets == 0
        || showing
            .disclosed
            .last()
            .is_some_and(|last| *last >= first_secret)
        || random.len() != random_scalars_for_proof(messages.len(), showing.disclosed.len())
    {
        return Err(PassError::Disclosed);
    }
    let init = setting.proof_init(signature, b, showing.disclosed, random)?;
    // PseudonymProofInit
    let context = showing.context;
    let tildes = &random[random.len() - secrets..];
    let pseudonym = context.pseudonym(&messages[first_secret..])?;
    let value = Zeroizing::new(context.evaluate(tildes));
    let [u] = to_affine([Point::from(context.op).mul_secret(&value)]);

    let shown = shown(messages, showing.disclosed)?;
    let challenge = setting.challenge(
        &init,
        &[pseudonym, u],
        &shown,
        showing.presentation_header,
        &context.octets(),
    );
    let proof = proof_finalize(
        &init,
        challenge,
        signature,
        random,
        messages,
        showing.disclosed,
    )?;
    Ok((proof, pseudonym))
}

/// A proof with a pseudonym, and what it is verified against.
pub struct Claimed<'a> {
    pub setting: &'a Setting,
    pub proof: &'a Proof,
    pub pseudonym: &'a Affine,
    /// How many of the last messages are the pseudonym's secrets.
    pub secrets: usize,
    pub context: &'a ContextPoint,
    /// The disclosed messages by index, ascending.
    pub disclosed: Vec<(usize, Scalar)>,
    pub presentation_header: Vec<u8>,
}

/// `CoreProofVerifyWithNym` but for the pairings, of several proofs, whose multiplications then
/// share their inversions. The answers stand in the order of the claims.
pub fn verify_responses(claims: &[Claimed<'_>]) -> Vec<Result<(), PassError>> {
    let points: Vec<Affine> = claims.iter().flat_map(Claimed::points).collect();
    let passing = Multiples::of_passing(&points);
    let mut sums = Vec::with_capacity(SUMS * claims.len());
    let begun: Vec<Result<(), PassError>> = claims
        .iter()
        .zip(passing.chunks_exact(POINTS))
        .map(|(claim, passing)| {
            sums.extend(claim.sums(passing)?);
            Ok(())
        })
        .collect();
    let sums = sums_of_multiples(sums);
    let (mut sums, _) = sums.as_chunks();
    claims
        .iter()
        .zip(begun)
        .map(|(claim, begun)| {
            begun?;
            let (own, rest) = sums.split_first().ok_or(PassError::Length)?;
            sums = rest;
            claim.check(own)
        })
        .collect()
}

/// Points of a claim whose multiples are needed.
const POINTS: usize = 4;
/// Sums of a claim: T1, T2 and U.
const SUMS: usize = 3;

impl Claimed<'_> {
    fn points(&self) -> [Affine; POINTS] {
        let [a_bar, b_bar, d] = self.proof.points();
        [a_bar, b_bar, d, *self.pseudonym]
    }

    /// `ProofVerifyInit` and `PseudonymProofVerifyInit`, as sums that are yet to be made.
    fn sums<'a>(&'a self, passing: &'a [Multiples]) -> Result<[Terms<'a>; SUMS], PassError> {
        let first_secret = self
            .setting
            .message_count()
            .checked_sub(self.secrets)
            .ok_or(PassError::Messages)?;
        if self.secrets == 0
            || self
                .disclosed
                .last()
                .is_some_and(|(last, _)| *last >= first_secret)
        {
            return Err(PassError::Disclosed);
        }
        let [t1, t2] = self
            .setting
            .proof_verify_sums(self.proof, &self.disclosed, passing)?;
        // As many hats as hidden messages, so the last are the secrets'.
        let hats = &self.proof.hats;
        let hats = &hats[hats.len().saturating_sub(self.secrets)..];
        let own = self.context.op_multiples.iter();
        let scalars = [self.context.evaluate(hats), -self.proof.challenge];
        let u = own.chain(passing.last()).zip(scalars).collect();
        Ok([t1, t2, u])
    }

    /// Whether the challenge is that of what the responses stand for.
    fn check(&self, [t1, t2, u]: &[Affine; SUMS]) -> Result<(), PassError> {
        if u.is_identity() {
            return Err(PassError::Identity);
        }
        let challenge = self.setting.challenge(
            &self.proof.init(*t1, *t2),
            &[*self.pseudonym, *u],
            &self.disclosed,
            &self.presentation_header,
            &self.context.octets(),
        );
        if challenge != self.proof.challenge {
            return Err(PassError::Challenge);
        }
        Ok(())
    }
}
