//! SM2 with SM3 (GB/T 32918.2, 32918.4, 32905) behind the same small face as [`es256`](crate::es256):
//! keys on the standard's curve, signatures as `r ‖ s` of 64 bytes, under the standard's default user
//! id, as operations are signed (spec/encoding.md, E6).
//!
//! The library's arithmetic takes the same time whatever the secret, and nonces come from RFC 6979
//! with SM3: no signature needs a random number.

use sm2::dsa::signature::{Signer as _, Verifier as _};
use sm2::dsa::{self, Signature};
use sm2::elliptic_curve::sec1::ToSec1Point as _;

use crate::es256::{Refused, compressed, is_plain_sec1};

/// The default user id of GB/T 35276 and GM/T 0009: the 16 ASCII bytes.
pub(crate) const USER_ID: &str = "1234567812345678";

/// One less than the curve's order. The standard's secrets are below it, since `1 + d` is inverted.
const ORDER_LESS_ONE: [u8; 32] = [
    0xff, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0x72, 0x03, 0xdf, 0x6b, 0x21, 0xc6, 0x05, 0x2b, 0x53, 0xbb, 0xf4, 0x09, 0x39, 0xd5, 0x41, 0x22,
];

/// A private key, with what is hashed before each message.
#[derive(Clone)]
pub(crate) struct Secret {
    key: dsa::SigningKey,
    public: VerifyingKey,
}

impl Secret {
    /// From the big-endian scalar, which must be within 1 and the order less two.
    pub(crate) fn new(scalar: &[u8; 32]) -> Result<Self, Refused> {
        if *scalar == ORDER_LESS_ONE {
            return Err(Refused);
        }
        let key = dsa::SigningKey::from_slice(USER_ID, scalar).map_err(|_| Refused)?;
        let point = key.verifying_key().to_sec1_point(false);
        let public = VerifyingKey::new(point.as_bytes())?;
        Ok(Self { key, public })
    }

    pub(crate) fn public(&self) -> &VerifyingKey {
        &self.public
    }

    /// The signature; fails where `r` or `s` is zero, once in 2^255 messages.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<[u8; 64], Refused> {
        let signature: Signature = self.key.try_sign(message).map_err(|_| Refused)?;
        Ok(signature.to_bytes().into())
    }
}

/// A public key, checked to be a point of the curve.
#[derive(Clone)]
pub(crate) struct VerifyingKey {
    sec1: [u8; 65],
    parsed: dsa::VerifyingKey,
}

impl VerifyingKey {
    pub(crate) fn new(sec1: &[u8]) -> Result<Self, Refused> {
        if !is_plain_sec1(sec1) {
            return Err(Refused);
        }
        let parsed = dsa::VerifyingKey::from_sec1_bytes(USER_ID, sec1).map_err(|_| Refused)?;
        let point = parsed.to_sec1_point(false);
        let sec1 = point.as_bytes().try_into().map_err(|_| Refused)?;
        Ok(Self { sec1, parsed })
    }

    /// The point, uncompressed.
    pub(crate) fn sec1(&self) -> &[u8; 65] {
        &self.sec1
    }

    /// The point, compressed.
    pub(crate) fn compressed(&self) -> [u8; 33] {
        compressed(&self.sec1)
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let signature = Signature::from_slice(signature);
        signature.is_ok_and(|signature| self.parsed.verify(message, &signature).is_ok())
    }
}

#[cfg(test)]
mod tests;
