//! P-256 behind one small face: ECDSA with SHA-256, signatures as `r ‖ s` of 64 bytes.
//!
//! Natively the arithmetic is `aws-lc-rs`, several times faster than portable Rust; in a browser
//! it is `p256`, since the other is C and assembler. Which of the two runs must not be
//! observable: a credential that one accepts and the other refuses would be two credentials. So
//! everything on which libraries differ is decided here first (which encodings of a point are
//! read), and a test holds both against the same edge cases.
//!
//! Neither side asks for a low `s`: RFC 7518 §3.4 does not, and signatures of hardware keys have
//! either.

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(any(test, target_arch = "wasm32"))]
mod portable;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::{Secret, VerifyingKey};
#[cfg(target_arch = "wasm32")]
pub(crate) use portable::{Secret, VerifyingKey};

/// The library refused: which of its reasons it was is of use to an attacker only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused;

/// The two SEC1 forms that are read: compressed (33 bytes) and uncompressed (65). The hybrid and
/// compact forms of some libraries, and the point at infinity, are not.
pub(crate) fn is_plain_sec1(sec1: &[u8]) -> bool {
    matches!(
        (sec1.len(), sec1.first()),
        (33, Some(2 | 3)) | (65, Some(4))
    )
}

/// Compressed SEC1 from the uncompressed form.
pub(crate) fn compressed(sec1: &[u8; 65]) -> [u8; 33] {
    let mut short = [0; 33];
    short[0] = 2 | (sec1[64] & 1);
    short[1..].copy_from_slice(&sec1[1..33]);
    short
}

#[cfg(test)]
mod tests;
