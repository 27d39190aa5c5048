use super::*;
use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::{EdwardsPoint, Scalar};
use ed25519_dalek::{Signer as _, SigningKey};
use sha2::{Digest as _, Sha512};

/// The verdict that [`Key::verifies`] is to give.
fn strictly(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let signature = Signature::from_bytes(signature);
    let key = VerifyingKey::from_bytes(key).ok();
    key.is_some_and(|key| key.verify_strict(message, &signature).is_ok())
}

fn ours(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    Key::parse(key).is_some_and(|key| key.verifies(message, signature))
}

#[test]
fn the_verdict_is_the_librarys_strict_one() {
    let signer = SigningKey::from_bytes(&[7; 32]);
    let key = signer.verifying_key().to_bytes();
    let good = signer.sign(b"m").to_bytes();
    assert!(ours(&key, b"m", &good) && strictly(&key, b"m", &good));
    let mut every_bit = (0..512).map(|bit| {
        let mut flipped = good;
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    });
    assert!(every_bit.all(|bad| !ours(&key, b"m", &bad) && !strictly(&key, b"m", &bad)));
    // s + order, which signs the same where nobody looks.
    const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
    let mut beyond = good;
    let mut carry = 0u16;
    for (byte, order) in beyond[32..].iter_mut().zip(hex::decode(ORDER).unwrap()) {
        carry += u16::from(*byte) + u16::from(order);
        *byte = carry as u8;
        carry >>= 8;
    }
    assert!(!ours(&key, b"m", &beyond) && !strictly(&key, b"m", &beyond));
}

/// Signatures that only a key's owner can make, with a key that has a part of small order: `R` is of
/// small order too and `s` fits. Lax verification takes them, and a batch would or would not.
#[test]
fn an_r_of_small_order_is_refused_however_well_it_fits() {
    let mut fits = [0; 8];
    for (n, part) in (0..16u8).flat_map(|n| EIGHT_TORSION.map(|part| (n, part))) {
        let secret = SigningKey::from_bytes(&[n; 32]).to_scalar();
        let key = (EdwardsPoint::mul_base(&secret) + part).compress().0;
        let lax = VerifyingKey::from_bytes(&key).unwrap();
        for (which, r) in SMALL_ORDER.iter().enumerate() {
            let hash = Sha512::new().chain_update(r).chain_update(key);
            let k: [u8; 64] = hash.chain_update(b"m").finalize().into();
            let s = Scalar::from_bytes_mod_order_wide(&k) * secret;
            let signature: [u8; 64] = [*r, s.to_bytes()].concat().try_into().unwrap();
            fits[which] += usize::from(lax.verify(b"m", &(&signature).into()).is_ok());
            assert!(!ours(&key, b"m", &signature) && !strictly(&key, b"m", &signature));
        }
    }
    assert!(fits.iter().all(|fits| *fits > 0), "{fits:?}");
}

#[test]
fn the_list_holds_the_points_of_small_order_and_no_other() {
    let mut theirs = EIGHT_TORSION.map(|point| point.compress().0);
    let mut ours = SMALL_ORDER;
    theirs.sort_unstable();
    ours.sort_unstable();
    assert_eq!(ours, theirs);
    assert!(ours.iter().all(|point| Key::parse(point).is_none()));
}
