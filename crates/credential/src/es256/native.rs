//! P-256 by `aws-lc-rs`.

use std::sync::Arc;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    ParsedPublicKey,
};
use zeroize::Zeroizing;

use super::{Refused, compressed, is_plain_sec1};

/// A private key. The library overwrites it when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Secret {
    // Shared, so that a clone copies no secret.
    pair: Arc<EcdsaKeyPair>,
    public: VerifyingKey,
}

/// RFC 5915 `ECPrivateKey` around 32 bytes of scalar, naming the curve, without the public key,
/// which the library then computes.
const DER_HEAD: [u8; 7] = [0x30, 0x31, 0x02, 0x01, 0x01, 0x04, 0x20];
const DER_TAIL: [u8; 12] = [
    0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
];

impl Secret {
    /// From the big-endian scalar, which must be within 1 and the order less one.
    pub(crate) fn new(scalar: &[u8; 32]) -> Result<Self, Refused> {
        let mut der = Zeroizing::new([0u8; 51]);
        der[..7].copy_from_slice(&DER_HEAD);
        der[7..39].copy_from_slice(scalar);
        der[39..].copy_from_slice(&DER_TAIL);
        let pair = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, &*der)
            .map_err(|_| Refused)?;
        let public = VerifyingKey::new(pair.public_key().as_ref())?;
        Ok(Self {
            pair: Arc::new(pair),
            public,
        })
    }

    pub(crate) fn public(&self) -> &VerifyingKey {
        &self.public
    }

    /// Signs with a nonce of the library's making; two signatures of one message differ.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<[u8; 64], Refused> {
        let signature = self.pair.sign(&SystemRandom::new(), message);
        let signature = signature.map_err(|_| Refused)?;
        signature.as_ref().try_into().map_err(|_| Refused)
    }
}

/// A public key, checked to be a point of the curve.
#[derive(Clone)]
pub(crate) struct VerifyingKey {
    sec1: [u8; 65],
    parsed: ParsedPublicKey,
}

impl VerifyingKey {
    pub(crate) fn new(sec1: &[u8]) -> Result<Self, Refused> {
        if !is_plain_sec1(sec1) {
            return Err(Refused);
        }
        let parsed = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, sec1).map_err(|_| Refused)?;
        let sec1 = match <[u8; 65]>::try_from(sec1) {
            Ok(sec1) => sec1,
            // SubjectPublicKeyInfo ends with the point, uncompressed.
            Err(_) => {
                let der = parsed.as_der().map_err(|_| Refused)?;
                let point = der.as_ref().last_chunk::<65>().ok_or(Refused)?;
                if point[0] != 4 || point[1..33] != sec1[1..] {
                    return Err(Refused);
                }
                *point
            }
        };
        Ok(Self { sec1, parsed })
    }

    /// Uncompressed SEC1.
    pub(crate) fn sec1(&self) -> &[u8; 65] {
        &self.sec1
    }

    /// Compressed SEC1.
    pub(crate) fn compressed(&self) -> [u8; 33] {
        compressed(&self.sec1)
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        signature.len() == 64 && self.parsed.verify_sig(message, signature).is_ok()
    }
}
