//! P-256 by `p256`, in Rust alone: for the browser, and to test the native one against.

use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{self, Signature};

use super::{Refused, compressed, is_plain_sec1};

/// A private key, overwritten when it is dropped.
#[derive(Clone)]
pub(crate) struct Secret {
    key: ecdsa::SigningKey,
    public: VerifyingKey,
}

impl Secret {
    /// From the big-endian scalar, which must be within 1 and the order less one.
    pub(crate) fn new(scalar: &[u8; 32]) -> Result<Self, Refused> {
        let key = ecdsa::SigningKey::from_slice(scalar).map_err(|_| Refused)?;
        let point = key.verifying_key().to_sec1_point(false);
        let public = VerifyingKey::new(point.as_bytes())?;
        Ok(Self { key, public })
    }

    pub(crate) fn public(&self) -> &VerifyingKey {
        &self.public
    }

    /// Signs with the nonce of RFC 6979.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<[u8; 64], Refused> {
        let signature: Signature = self.key.try_sign(message).map_err(|_| Refused)?;
        Ok(signature.to_bytes().into())
    }
}

/// A public key, checked to be a point of the curve.
#[derive(Clone)]
pub(crate) struct VerifyingKey {
    sec1: [u8; 65],
    parsed: ecdsa::VerifyingKey,
}

impl VerifyingKey {
    pub(crate) fn new(sec1: &[u8]) -> Result<Self, Refused> {
        if !is_plain_sec1(sec1) {
            return Err(Refused);
        }
        let parsed = ecdsa::VerifyingKey::from_sec1_bytes(sec1).map_err(|_| Refused)?;
        let point = parsed.to_sec1_point(false);
        let sec1 = point.as_bytes().try_into().map_err(|_| Refused)?;
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
        Signature::from_slice(signature)
            .and_then(|signature| self.parsed.verify(message, &signature))
            .is_ok()
    }
}
