//! Verifying many presentations under one issuer key (spec/realpass.md, rule B16).
//!
//! Each proof's responses are checked by themselves, since the draft sends the challenge; what the
//! multiplications of all share is inversions. The pairings are shared: of each proof, h(Abar, W) = h(Bbar, BP2) is to hold, and a sum of these equations
//! with random weights, of 2^128 each, holds for a false one with a chance of 2^-128. Where the sum
//! fails, halves are tried until the false ones stand alone.

use rand_core::CryptoRng;

use crate::curve::{Affine, weighted_sum};
use crate::error::PassError;
use crate::hedge::Hedge;
use crate::key::PassKey;
use crate::nym;
use crate::present::{Context, Presentation, Shown};

/// A presentation with what it is to be verified against.
pub struct Claim<'a> {
    pub presentation: &'a Presentation,
    pub context: &'a Context,
    pub binding: &'a [u8],
}

/// Verifies all claims under one key. The answers stand in the order of the claims, and each is
/// what [`Presentation::verify`] alone would have answered.
pub fn verify_batch(
    rng: &mut impl CryptoRng,
    key: &PassKey,
    claims: &[Claim<'_>],
) -> Vec<Result<Shown, PassError>> {
    let mut answers: Vec<Result<Shown, PassError>> = Vec::with_capacity(claims.len());
    let mut claimed = Vec::with_capacity(claims.len());
    for claim in claims {
        let against = claim
            .presentation
            .against(key, claim.context, claim.binding);
        answers.push(against.map(|against| {
            claimed.push(against);
            claim.presentation.shown()
        }));
    }
    let mut responses = nym::verify_responses(&claimed).into_iter();
    for answer in answers.iter_mut().filter(|answer| answer.is_ok()) {
        if let Err(why) = responses.next().unwrap_or(Err(PassError::Length)) {
            *answer = Err(why);
        }
    }

    let open: Vec<usize> = (0..claims.len())
        .filter(|index| answers[*index].is_ok())
        .collect();
    let proofs: Vec<Vec<u8>> = open
        .iter()
        .map(|index| claims[*index].presentation.proof.to_bytes())
        .collect();
    let about: Vec<&[u8]> = proofs.iter().map(Vec::as_slice).collect();
    let hedge = Hedge {
        purpose: "batch",
        witness: &[],
        about: &about,
    };
    let weights = hedge.weights(rng, open.len());
    let equations = Equations {
        key,
        left: open
            .iter()
            .map(|at| claims[*at].presentation.proof.a_bar)
            .collect(),
        right: open
            .iter()
            .map(|at| claims[*at].presentation.proof.b_bar)
            .collect(),
        weights,
    };
    let mut bad = Vec::new();
    equations.find_false(0, open.len(), &mut bad);
    for index in bad {
        answers[open[index]] = Err(PassError::Pairing);
    }
    answers
}

/// One pairing equation for each proof.
struct Equations<'a> {
    key: &'a PassKey,
    left: Vec<Affine>,
    right: Vec<Affine>,
    weights: Vec<[u8; 16]>,
}

impl Equations<'_> {
    fn hold(&self, from: usize, to: usize) -> bool {
        let left = weighted_sum(&self.left[from..to], &self.weights[from..to]);
        let right = weighted_sum(&self.right[from..to], &self.weights[from..to]);
        self.key.setting.pairing_holds(left, right)
    }

    /// Appends the false ones of a range: log2(n) levels deep.
    fn find_false(&self, from: usize, to: usize, bad: &mut Vec<usize>) {
        if from == to || self.hold(from, to) {
            return;
        }
        if to - from == 1 {
            bad.push(from);
            return;
        }
        let middle = from + (to - from) / 2;
        self.find_false(from, middle, bad);
        self.find_false(middle, to, bad);
    }
}
