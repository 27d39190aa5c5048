//! Shares sealed to their player: HPKE in base mode (RFC 9180), one message, by
//! DHKEM(P-256, HKDF-SHA256), HKDF-SHA256 and AES-256-GCM.
//!
//! The ephemeral key comes from outside, since a dealer deals the same bytes again from the same
//! secret. It must be fresh for each message: it comes from the dealer's secret, the round and the
//! player, and seals one share.

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use hkdf::Hkdf;
use p256::elliptic_curve::sec1::ToSec1Point as _;
use p256::{PublicKey, SecretKey, ecdh};
use sha2::Sha256;
use zeroize::Zeroizing;

/// DHKEM(P-256, HKDF-SHA256).
const KEM: &[u8] = b"KEM\x00\x10";
/// That, HKDF-SHA256 and AES-256-GCM.
const SUITE: &[u8] = b"HPKE\x00\x10\x00\x01\x00\x02";
const BASE_MODE: u8 = 0;

/// An uncompressed SEC 1 point, as HPKE sends the ephemeral key.
pub type Encapsulated = [u8; 65];

/// Reads a compressed point of the curve other than infinity.
pub fn public_key(compressed: &[u8; 33]) -> Option<PublicKey> {
    // The library knows other forms of this length too.
    let plain = matches!(compressed[0], 2 | 3);
    plain
        .then(|| PublicKey::from_sec1_bytes(compressed).ok())
        .flatten()
}

pub fn compressed(key: &PublicKey) -> Option<[u8; 33]> {
    key.to_sec1_point(true).as_bytes().try_into().ok()
}

/// Seals `message` to `to`; the ephemeral key is used for nothing else.
pub fn seal(
    to: &PublicKey,
    ephemeral: &SecretKey,
    info: &[u8],
    aad: &[u8],
    message: &[u8],
) -> Option<(Encapsulated, Vec<u8>)> {
    let enc = uncompressed(&ephemeral.public_key())?;
    let (key, nonce) = schedule(ephemeral, to, &enc, &uncompressed(to)?, info)?;
    let payload = Payload { msg: message, aad };
    let sealed = Aes256Gcm::new_from_slice(&*key).ok()?;
    let sealed = sealed.encrypt((&*nonce).into(), payload).ok()?;
    Some((enc, sealed))
}

/// Opens what was sealed to this key; `None` for whatever is wrong with it.
pub fn open(
    own: &SecretKey,
    enc: &Encapsulated,
    info: &[u8],
    aad: &[u8],
    sealed: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    if enc[0] != 4 {
        return None;
    }
    let ephemeral = PublicKey::from_sec1_bytes(enc).ok()?;
    let (key, nonce) = schedule(
        own,
        &ephemeral,
        enc,
        &uncompressed(&own.public_key())?,
        info,
    )?;
    let payload = Payload { msg: sealed, aad };
    let opened = Aes256Gcm::new_from_slice(&*key).ok()?;
    let opened = opened.decrypt((&*nonce).into(), payload).ok()?;
    Some(Zeroizing::new(opened))
}

/// Section 4.1 and 5.1: the shared secret of both keys, and from it key and nonce.
#[allow(clippy::type_complexity, reason = "a key and a nonce")]
fn schedule(
    own: &SecretKey,
    other: &PublicKey,
    enc: &Encapsulated,
    receiver: &Encapsulated,
    info: &[u8],
) -> Option<(Zeroizing<[u8; 32]>, Zeroizing<[u8; 12]>)> {
    let dh = ecdh::diffie_hellman(own.to_nonzero_scalar(), other.as_affine());
    let eae = extract(KEM, &[], b"eae_prk", dh.raw_secret_bytes());
    let shared: Zeroizing<[u8; 32]> =
        expand(KEM, &eae, b"shared_secret", &[enc.as_slice(), receiver])?;

    let psk_id_hash = extract(SUITE, &[], b"psk_id_hash", &[]);
    let info_hash = extract(SUITE, &[], b"info_hash", info);
    let context: [&[u8]; 3] = [&[BASE_MODE], &*psk_id_hash, &*info_hash];
    let secret = extract(SUITE, &*shared, b"secret", &[]);
    Some((
        expand(SUITE, &secret, b"key", &context)?,
        expand(SUITE, &secret, b"base_nonce", &context)?,
    ))
}

/// `LabeledExtract`.
fn extract(suite: &[u8], salt: &[u8], label: &[u8], ikm: &[u8]) -> Zeroizing<[u8; 32]> {
    let labelled = Zeroizing::new([b"HPKE-v1", suite, label, ikm].concat());
    let (prk, _) = Hkdf::<Sha256>::extract(Some(salt), &labelled);
    Zeroizing::new(prk.into())
}

/// `LabeledExpand` to `N` bytes.
fn expand<const N: usize>(
    suite: &[u8],
    prk: &Zeroizing<[u8; 32]>,
    label: &[u8],
    context: &[&[u8]],
) -> Option<Zeroizing<[u8; N]>> {
    let length = u16::try_from(N).ok()?.to_be_bytes();
    let mut parts: Vec<&[u8]> = vec![&length, b"HPKE-v1", suite, label];
    parts.extend(context);
    let mut out = Zeroizing::new([0; N]);
    let prk = Hkdf::<Sha256>::from_prk(&**prk).ok()?;
    prk.expand_multi_info(&parts, &mut *out).ok()?;
    Some(out)
}

fn uncompressed(key: &PublicKey) -> Option<Encapsulated> {
    key.to_sec1_point(false).as_bytes().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        hex::decode(text).unwrap()
    }

    /// The published vectors of RFC 9180, mode base, KEM 16, KDF 1, AEAD 2, first encryption.
    #[test]
    fn x7_a_published_vector_is_sealed_and_opened() {
        let receiver = "317f915db7bc629c48fe765587897e01e282d3e8445f79f27f65d031a88082b2";
        let ephemeral = "90345e3a1d116c1dd39ae76d95ab858c142223a63e44f8f85318cfa91a84858e";
        let receiver = SecretKey::from_slice(&bytes(receiver)).unwrap();
        let ephemeral = SecretKey::from_slice(&bytes(ephemeral)).unwrap();
        let info = bytes("4f6465206f6e2061204772656369616e2055726e");
        let aad = bytes("436f756e742d30");
        let message = bytes("4265617574792069732074727574682c20747275746820626561757479");

        let (enc, sealed) =
            seal(&receiver.public_key(), &ephemeral, &info, &aad, &message).unwrap();
        assert_eq!(
            hex::encode(enc),
            "04c06b4f6bebc7bb495cb797ab753f911aff80aefb86fd8b6fcc35525f3ab5f03e\
             0b21bd31a86c6048af3cb2d98e0d3bf01da5cc4c39ff5370d331a4f1f7d5a4e0"
        );
        assert_eq!(
            hex::encode(&sealed),
            "58c61a45059d0c5704560e9d88b564a8b63f1364b8d1fcb3c4c6ddc1d2917424\
             65e902cd216f8908da49f8f96f"
        );
        let opened = open(&receiver, &enc, &info, &aad, &sealed).unwrap();
        assert_eq!(*opened, message);

        // For one key, purpose and unchanged only.
        assert!(open(&ephemeral, &enc, &info, &aad, &sealed).is_none());
        assert!(open(&receiver, &enc, b"", &aad, &sealed).is_none());
        assert!(open(&receiver, &enc, &info, b"", &sealed).is_none());
        assert!(open(&receiver, &enc, &info, &aad, &sealed[1..]).is_none());
        let mut hybrid = enc;
        hybrid[0] = 6;
        assert!(open(&receiver, &hybrid, &info, &aad, &sealed).is_none());
        assert!(open(&receiver, &[4; 65], &info, &aad, &sealed).is_none());
    }
}
