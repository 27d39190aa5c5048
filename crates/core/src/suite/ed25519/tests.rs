use super::*;
use curve25519_dalek::constants::EIGHT_TORSION;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

fn alone(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    Key::parse(key).is_some_and(|key| key.verifies(message, signature))
}

/// The verdict on a signature in the midst of good ones of other keys and of its own.
fn together(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let Some(key) = Key::parse(key) else {
        return false;
    };
    let good: Vec<_> = (0..6u8)
        .map(|n| {
            let signer = SigningKey::from_bytes(&[n / 2; 32]);
            let message = [b"message ", &[n][..]].concat();
            let signature = signer.sign(&message).to_bytes();
            (signer.verifying_key().to_bytes(), message, signature)
        })
        .collect();
    let mut claims: Vec<Claim<'_>> = good
        .iter()
        .map(|(key, message, signature)| Claim {
            key: Key::parse(key).unwrap(),
            message,
            signature,
        })
        .collect();
    claims.insert(
        3,
        Claim {
            key,
            message,
            signature,
        },
    );
    let mut verdicts = verify_together(&claims);
    assert_eq!(all_verify(&claims), verdicts[3]);
    let asked = verdicts.remove(3);
    assert_eq!(verdicts, [true; 6]);
    asked
}

fn strictly(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let signature = Signature::from_bytes(signature);
    let key = VerifyingKey::from_bytes(key).ok();
    key.is_some_and(|key| key.verify_strict(message, &signature).is_ok())
}

#[test]
fn what_is_signed_by_the_standard_verifies_and_nothing_else() {
    let signer = SigningKey::from_bytes(&[7; 32]);
    let key = signer.verifying_key().to_bytes();
    let good = signer.sign(b"m").to_bytes();
    let verdicts = |message: &[u8], signature: &[u8; 64]| {
        let ours = alone(&key, message, signature);
        assert_eq!(together(&key, message, signature), ours);
        assert_eq!(strictly(&key, message, signature), ours);
        ours
    };
    assert!(verdicts(b"m", &good));
    assert!(!verdicts(b"n", &good));
    for bit in 0..512 {
        let mut flipped = good;
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(!verdicts(b"m", &flipped), "{bit}");
    }
    // s + order, which signs the same where nobody looks.
    const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
    let mut beyond = good;
    let mut carry = 0u16;
    for (byte, order) in beyond[32..].iter_mut().zip(hex::decode(ORDER).unwrap()) {
        carry += u16::from(*byte) + u16::from(order);
        *byte = carry as u8;
        carry >>= 8;
    }
    assert!(!verdicts(b"m", &beyond));
    assert!(verify_together(&[]).is_empty());
}

/// Signatures that only the owner of a key can make: key and R have parts of small order, in all
/// combinations. A verifier without the cofactor takes some of them and a batch of its would take others.
#[test]
fn parts_of_small_order_change_no_verdict_between_alone_and_together() {
    let mut where_others_differ = 0;
    for (of_key, of_r) in EIGHT_TORSION
        .iter()
        .flat_map(|of_key| EIGHT_TORSION.map(|of_r| (of_key, of_r)))
    {
        let (secret, nonce) = (Scalar::from(77u64), Scalar::from(99u64));
        let key = (EdwardsPoint::mul_base(&secret) + of_key).compress().0;
        let r = (EdwardsPoint::mul_base(&nonce) + of_r).compress().0;
        let hash = Sha512::new().chain_update(r).chain_update(key);
        let k: [u8; 64] = hash.chain_update(b"m").finalize().into();
        let s = nonce + Scalar::from_bytes_mod_order_wide(&k) * secret;
        let signature: [u8; 64] = [r, s.to_bytes()].concat().try_into().unwrap();
        assert!(alone(&key, b"m", &signature));
        assert!(together(&key, b"m", &signature));
        assert!(!alone(&key, b"n", &signature));
        assert!(!together(&key, b"n", &signature));
        where_others_differ += usize::from(!strictly(&key, b"m", &signature));
    }
    assert!(where_others_differ > 0, "the case that this is about");
}

#[test]
fn each_point_has_one_encoding() {
    for point in EIGHT_TORSION {
        let bytes = point.compress().0;
        assert!(is_canonical(&bytes));
        assert!(Key::parse(&bytes).is_none(), "of small order");
    }
    // y from the prime on, with either sign: what the library reads of these has another encoding.
    let mut read = 0;
    for (low, sign) in (0xed..=0xffu8).flat_map(|low| [(low, 0x7f), (low, 0xff)]) {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (low, sign);
        assert!(!is_canonical(&bytes) && Key::parse(&bytes).is_none());
        read += usize::from(CompressedEdwardsY(bytes).decompress().is_some());
    }
    assert!(read > 0);
    // A sign where x is zero.
    for point in [EdwardsPoint::default(), EIGHT_TORSION[4]] {
        let mut bytes = point.compress().0;
        bytes[31] |= 0x80;
        assert!(CompressedEdwardsY(bytes).decompress().is_some());
        assert!(!is_canonical(&bytes));
    }
    // And what is none of these is canonical as the library says.
    for n in 0..64u8 {
        let bytes: [u8; 32] = Sha256::digest([n]).into();
        if let Some(point) = CompressedEdwardsY(bytes).decompress() {
            assert_eq!(is_canonical(&bytes), point.compress().0 == bytes);
        }
    }
}
