//! ECDSA on P-256 with SHA-256 (FIPS 186-5): verified by `aws-lc-rs` where it runs, several times
//! faster than portable Rust, and by the `p256` crate in a browser. Signed by `p256` everywhere, as
//! only it signs without random numbers (RFC 6979).
//!
//! Both sides read the same keys and signatures, as a test holds: a validator that accepted what
//! another refuses would fork the network.

use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};

/// A public key: a point of the curve, other than infinity.
pub(super) struct Key(verifier::Key);

impl Key {
    /// From a compressed point.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        // The libraries know longer, hybrid and compact forms too.
        let compressed = bytes.len() == 33 && matches!(bytes[0], 2 | 3);
        let key = compressed.then(|| verifier::Key::parse(bytes))?;
        key.map(Self)
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verifies(message, signature)
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod verifier {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey};

    pub(super) struct Key(ParsedPublicKey);

    impl Key {
        pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
            let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, bytes);
            key.ok().map(Self)
        }

        pub(super) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
            self.0.verify_sig(message, signature).is_ok()
        }
    }
}

#[cfg(target_arch = "wasm32")]
use portable as verifier;

#[cfg(any(test, target_arch = "wasm32"))]
mod portable {
    use p256::ecdsa::signature::Verifier as _;
    use p256::ecdsa::{Signature, VerifyingKey};

    pub(super) struct Key(VerifyingKey);

    impl Key {
        pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
            VerifyingKey::from_sec1_bytes(bytes).ok().map(Self)
        }

        pub(super) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
            let signature = Signature::from_slice(signature);
            signature.is_ok_and(|signature| self.0.verify(message, &signature).is_ok())
        }
    }
}

pub(super) fn is_secret(seed: &[u8; 32]) -> bool {
    SigningKey::from_slice(seed).is_ok()
}

pub(super) fn public(seed: &[u8; 32]) -> Vec<u8> {
    let point = secret(seed).verifying_key().to_sec1_point(true);
    point.as_bytes().to_vec()
}

pub(super) fn sign(seed: &[u8; 32], message: &[u8]) -> [u8; 64] {
    let signature: Signature = secret(seed).sign(message);
    signature.to_bytes().into()
}

#[allow(
    clippy::expect_used,
    reason = "SecretKey::from_seed is the only constructor and refuses every seed for which this fails"
)]
fn secret(seed: &[u8; 32]) -> SigningKey {
    SigningKey::from_slice(seed).expect("checked by from_seed")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

    /// `order - s`, which signs the same.
    fn negated(s: &[u8]) -> [u8; 32] {
        let (mut order, mut borrow) = ([0u8; 32], 0i16);
        hex::decode_to_slice(ORDER, &mut order).unwrap();
        let mut out = [0; 32];
        for place in (0..32).rev() {
            let digit = i16::from(order[place]) - i16::from(s[place]) - borrow;
            borrow = i16::from(digit < 0);
            out[place] = digit.rem_euclid(256) as u8;
        }
        out
    }

    #[test]
    fn both_libraries_read_the_same_keys_and_signatures() {
        let public = public(&[7; 32]);
        let good = sign(&[7; 32], b"m");
        let with = |r: &[u8], s: &[u8]| -> [u8; 64] { [r, s].concat().try_into().unwrap() };
        let (r, s) = good.split_at(32);
        let order = hex::decode(ORDER).unwrap();
        let mut flipped = good;
        flipped[63] ^= 1;
        for (signature, expected) in [
            (good, true),
            // ECDSA's other signature of the same message: E8 says that it verifies.
            (with(r, &negated(s)), true),
            (flipped, false),
            (with(&[0; 32], s), false),
            (with(r, &[0; 32]), false),
            (with(&order, s), false),
            (with(r, &order), false),
            ([0xff; 64], false),
        ] {
            let (ours, theirs) = (Key::parse(&public), portable::Key::parse(&public));
            assert_eq!(ours.unwrap().verifies(b"m", &signature), expected);
            assert_eq!(theirs.unwrap().verifies(b"m", &signature), expected);
        }
        for n in 0..=255u8 {
            // About half of all x have no point.
            let mut bytes = public.clone();
            bytes[32] = n;
            let portable = |bytes: &[u8]| portable::Key::parse(bytes).is_some();
            let native = verifier::Key::parse(&bytes).is_some();
            assert_eq!(native, portable(&bytes), "{n}");
            bytes[0] = n;
            let ours = Key::parse(&bytes).is_some();
            assert_eq!(ours, matches!(n, 2 | 3) && portable(&bytes));
        }
    }
}
