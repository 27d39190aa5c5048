//! Ed25519 (RFC 8032) as `ed25519-dalek` verifies it strictly: no key and no `R` of small order, no
//! `s` beyond the group's order.
//!
//! [`Key::verifies`] gives the verdict of the library's `verify_strict` without what that does twice:
//! the library puts `R` on the curve to learn whether it is of small order, but a signature
//! verifies only if `R` is the canonical encoding of the point that comes out, and the eight points of
//! small order have one such encoding each ([`SMALL_ORDER`]).

use ed25519_dalek::{Signature, Verifier as _, VerifyingKey};

/// The canonical encodings of the points of small order.
const SMALL_ORDER: [[u8; 32]; 8] = [
    encoding(1, 0x00),
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0x7f,
    ],
    encoding(0, 0x00),
    encoding(0, 0x80),
    ORDER_8_LOW,
    signed(ORDER_8_LOW),
    ORDER_8_HIGH,
    signed(ORDER_8_HIGH),
];
const ORDER_8_LOW: [u8; 32] = [
    0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
    0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
];
const ORDER_8_HIGH: [u8; 32] = [
    0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
    0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
];

/// The y coordinate `first` with the sign bit `last`.
const fn encoding(first: u8, last: u8) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[0] = first;
    bytes[31] = last;
    bytes
}

/// The same y with the other x.
const fn signed(mut bytes: [u8; 32]) -> [u8; 32] {
    bytes[31] |= 0x80;
    bytes
}

/// A public key that is a point of the curve, not of small order.
pub(super) struct Key(VerifyingKey);

impl Key {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let key = VerifyingKey::from_bytes(bytes.try_into().ok()?).ok()?;
        (!key.is_weak()).then_some(Self(key))
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let small = SMALL_ORDER.iter().any(|r| signature.starts_with(r));
        let signature = Signature::from_bytes(signature);
        !small && self.0.verify(message, &signature).is_ok()
    }
}

#[cfg(test)]
mod tests;
