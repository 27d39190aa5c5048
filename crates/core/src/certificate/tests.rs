//! The frozen vector (vectors/finalization.json) was made with commonware 2026.10.0; the node's
//! tests make it again and compare.

use super::*;
use serde_json::Value;

struct Vector {
    key: Vec<u8>,
    namespace: Vec<u8>,
    certificate: Vec<u8>,
    digest: [u8; 32],
}

fn vector() -> Vector {
    let json: Value =
        serde_json::from_str(include_str!("../../vectors/finalization.json")).unwrap();
    let field = |name: &str| hex::decode(json[name].as_str().unwrap()).unwrap();
    Vector {
        key: field("network_key"),
        namespace: field("namespace"),
        certificate: field("certificate"),
        digest: field("header_digest").try_into().unwrap(),
    }
}

impl Vector {
    fn verify(&self) -> Result<FinalityFacts, CertificateError> {
        verify_finalization(&self.key, &self.namespace, &self.certificate, &self.digest)
    }
}

#[test]
fn the_frozen_certificate_verifies() {
    assert_eq!(
        vector().verify(),
        Ok(FinalityFacts {
            epoch: 0,
            view: 300
        })
    );
}

#[test]
fn any_flipped_bit_is_refused() {
    let whole = vector();
    for index in 0..whole.certificate.len() {
        for bit in 0..8 {
            let mut changed = vector();
            changed.certificate[index] ^= 1 << bit;
            assert!(changed.verify().is_err(), "byte {index}, bit {bit}");
        }
    }
}

#[test]
fn any_other_length_is_refused() {
    let whole = vector();
    for length in 0..whole.certificate.len() {
        let mut changed = vector();
        changed.certificate.truncate(length);
        assert_eq!(changed.verify(), Err(CertificateError::Malformed));
    }
    let mut changed = vector();
    changed.certificate.push(0);
    assert_eq!(changed.verify(), Err(CertificateError::Malformed));
    changed.certificate = vec![0x80; 1 << 16];
    assert_eq!(changed.verify(), Err(CertificateError::Malformed));
}

#[test]
fn another_header_network_or_key_is_refused() {
    let mut changed = vector();
    changed.digest[0] ^= 1;
    assert_eq!(changed.verify(), Err(CertificateError::OtherHeader));

    let mut changed = vector();
    changed.namespace.push(b'x');
    assert_eq!(changed.verify(), Err(CertificateError::Signature));
    changed.namespace = vec![0; MAX_NAMESPACE_BYTES + 1];
    assert_eq!(changed.verify(), Err(CertificateError::Namespace));

    // The same point with the other sign, then bytes that are no key.
    let mut changed = vector();
    changed.key[0] ^= 0x20;
    assert_eq!(changed.verify(), Err(CertificateError::Signature));
    for key in [vec![], vec![0; 96], vec![0xff; 96], vec![0xc0; 48]] {
        changed.key = key;
        assert_eq!(changed.verify(), Err(CertificateError::NetworkKey));
    }
}

#[test]
fn points_at_infinity_and_outside_the_subgroup_are_refused() {
    let mut infinity = [0; 96];
    infinity[0] = 0xc0;
    let mut changed = vector();
    changed.key = infinity.to_vec();
    assert_eq!(changed.verify(), Err(CertificateError::NetworkKey));

    let mut changed = vector();
    let at = changed.certificate.len() - SIGNATURE_BYTES;
    changed.certificate[at..].copy_from_slice(&infinity[..SIGNATURE_BYTES]);
    assert_eq!(changed.verify(), Err(CertificateError::Malformed));

    // x = 4 is on the curve (64 + 4 = 68 is a square) but not in the group of prime order.
    let mut outside = [0; SIGNATURE_BYTES];
    outside[0] = 0x80;
    outside[SIGNATURE_BYTES - 1] = 4;
    assert!(min_sig::Signature::uncompress(&outside).is_ok());
    changed.certificate[at..].copy_from_slice(&outside);
    assert_eq!(changed.verify(), Err(CertificateError::Malformed));
}

#[test]
fn varints_have_one_form() {
    for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
        let mut bytes = vec![];
        write_varint(&mut bytes, value);
        assert_eq!(read_varint(&bytes), Ok((value, &[][..])));
    }
    for bytes in [
        &[][..],
        &[0x80],
        &[0x80, 0x00],
        &[0xff; 10],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
    ] {
        assert_eq!(read_varint(bytes), Err(CertificateError::Malformed));
    }
}
