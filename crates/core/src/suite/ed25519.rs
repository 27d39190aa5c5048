//! Ed25519 by RFC 8032 §5.1.7: encodings are canonical, and the equation is the one with the cofactor,
//! `8·s·B = 8·R + 8·k·A`.
//!
//! The cofactor is what makes a verdict the same whether signatures are verified one by one or many
//! together ([`verify_together`]), and so the same on every validator. Without it, the owner of a key
//! with a part of small order could make signatures that some batches take and others do not.

use curve25519_dalek::edwards::CompressedEdwardsY;
use curve25519_dalek::traits::{IsIdentity as _, VartimeMultiscalarMul as _};
use curve25519_dalek::{EdwardsPoint, Scalar, constants};
use sha2::{Digest as _, Sha256, Sha512};
use std::collections::HashMap;

/// A public key: a point of the curve in its one encoding, not of small order.
#[derive(Clone)]
pub(super) struct Key {
    bytes: [u8; 32],
    /// −A, as the equation takes it.
    negated: EdwardsPoint,
}

impl Key {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.try_into().ok()?;
        let point = point(&bytes).filter(|point| !point.is_small_order())?;
        Some(Self {
            bytes,
            negated: -point,
        })
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let Some(parts) = Parts::of(self, message, signature) else {
            return false;
        };
        let r = EdwardsPoint::vartime_double_scalar_mul_basepoint(
            &parts.challenge,
            &self.negated,
            &parts.s,
        );
        // What a signer makes by the standard comes out to the byte, without putting R on the curve.
        r.compress().0 == parts.r
            || point(&parts.r).is_some_and(|claimed| (r - claimed).is_small_order())
    }
}

/// A message and the signature that it is said to have.
pub(super) struct Claim<'a> {
    pub key: Key,
    pub message: &'a [u8],
    pub signature: &'a [u8; 64],
}

/// Whether each of `claims` verifies, as [`Key::verifies`] says. Together they take less than half
/// the time; if one of them does not verify, each is looked at by itself.
pub(super) fn verify_together(claims: &[Claim<'_>]) -> Vec<bool> {
    if claims.len() > 1 && all_verify(claims) {
        return vec![true; claims.len()];
    }
    let alone = |claim: &Claim<'_>| claim.key.verifies(claim.message, claim.signature);
    claims.iter().map(alone).collect()
}

/// The sum of all equations, each times a weight of 128 bits. A false one makes it true with a
/// probability of 2⁻¹²⁸, as nobody knows the weights before all claims are fixed: they are a hash of them.
fn all_verify(claims: &[Claim<'_>]) -> bool {
    let parts = |claim: &Claim<'_>| Parts::of(&claim.key, claim.message, claim.signature);
    let Some(parts) = claims.iter().map(parts).collect::<Option<Vec<_>>>() else {
        return false;
    };
    let mut fixed = Sha256::new();
    for (parts, claim) in parts.iter().zip(claims) {
        // The challenge says key, R and message, the signature the rest.
        fixed.update(parts.challenge.as_bytes());
        fixed.update(claim.signature);
    }
    let fixed = fixed.finalize();

    let mut of_base = Scalar::ZERO;
    let mut of_keys: HashMap<[u8; 32], (Scalar, EdwardsPoint)> = HashMap::new();
    let mut scalars = Vec::with_capacity(2 * claims.len() + 1);
    let mut points = Vec::with_capacity(2 * claims.len() + 1);
    for (place, (parts, claim)) in (0u64..).zip(parts.iter().zip(claims)) {
        let Some(r) = point(&parts.r) else {
            return false;
        };
        let hash = Sha256::new()
            .chain_update(fixed)
            .chain_update(place.to_be_bytes());
        let mut weight = [0; 32];
        weight[..16].copy_from_slice(&hash.finalize()[..16]);
        let weight = Scalar::from_bytes_mod_order(weight);
        of_base += weight * parts.s;
        let of_key = of_keys
            .entry(claim.key.bytes)
            .or_insert((Scalar::ZERO, claim.key.negated));
        of_key.0 += weight * parts.challenge;
        scalars.push(weight);
        points.push(-r);
    }
    scalars.push(of_base);
    points.push(constants::ED25519_BASEPOINT_POINT);
    for (scalar, negated) in of_keys.into_values() {
        scalars.push(scalar);
        points.push(negated);
    }
    let sum = EdwardsPoint::vartime_multiscalar_mul(scalars, points);
    sum.mul_by_cofactor().is_identity()
}

/// A signature taken apart: its scalar is below the order, its R is bytes.
struct Parts {
    r: [u8; 32],
    s: Scalar,
    /// `k`: the hash of R, key and message.
    challenge: Scalar,
}

impl Parts {
    fn of(key: &Key, message: &[u8], signature: &[u8; 64]) -> Option<Self> {
        let (mut r, mut s) = ([0; 32], [0; 32]);
        r.copy_from_slice(&signature[..32]);
        s.copy_from_slice(&signature[32..]);
        let s = Option::from(Scalar::from_canonical_bytes(s))?;
        let hash = Sha512::new().chain_update(r).chain_update(key.bytes);
        let wide: [u8; 64] = hash.chain_update(message).finalize().into();
        Some(Self {
            r,
            s,
            challenge: Scalar::from_bytes_mod_order_wide(&wide),
        })
    }
}

/// The point of a canonical encoding.
fn point(bytes: &[u8; 32]) -> Option<EdwardsPoint> {
    is_canonical(bytes)
        .then(|| CompressedEdwardsY(*bytes).decompress())
        .flatten()
}

/// Whether `y` is below the field's prime, 2²⁵⁵ − 19, and no x of zero has a sign. The library reads
/// both kinds.
fn is_canonical(bytes: &[u8; 32]) -> bool {
    let [first, middle @ .., last] = bytes;
    let beyond = *first >= 0xed && middle.iter().all(|byte| *byte == 0xff) && last & 0x7f == 0x7f;
    // x is zero where y is 1 or −1.
    let one = *first == 1 && middle.iter().all(|byte| *byte == 0) && *last == 0x80;
    let minus_one = *first == 0xec && middle.iter().all(|byte| *byte == 0xff) && *last == 0xff;
    !(beyond || one || minus_one)
}

#[cfg(test)]
mod tests;
