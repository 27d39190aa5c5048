//! Both libraries against the same cases: neither accepts what the other refuses.

use super::{native, portable};

/// The order of the curve, and the prime of its field.
const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
const PRIME: &str = "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff";

fn bytes(hex: &str) -> [u8; 32] {
    let digit = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
    std::array::from_fn(digit)
}

/// `a - b` for big-endian numbers.
fn minus(a: &[u8; 32], b: &[u8; 32]) -> [u8; 32] {
    let (mut difference, mut borrow) = ([0; 32], 0i16);
    for at in (0..32).rev() {
        let digit = i16::from(a[at]) - i16::from(b[at]) - borrow;
        borrow = i16::from(digit < 0);
        difference[at] = u8::try_from(digit.rem_euclid(256)).unwrap();
    }
    difference
}

fn one() -> [u8; 32] {
    let mut one = [0; 32];
    one[31] = 1;
    one
}

/// Whether a point is read; both libraries must say the same, and the same point.
fn reads(sec1: &[u8]) -> bool {
    let (native, portable) = (
        native::VerifyingKey::new(sec1),
        portable::VerifyingKey::new(sec1),
    );
    match (native, portable) {
        (Ok(a), Ok(b)) => {
            assert_eq!((a.sec1(), a.compressed()), (b.sec1(), b.compressed()));
            true
        }
        (Err(_), Err(_)) => false,
        (a, _) => panic!(
            "only {} reads it",
            if a.is_ok() { "aws-lc" } else { "p256" }
        ),
    }
}

/// Whether a signature verifies; both libraries must say the same.
fn verifies(sec1: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let native = native::VerifyingKey::new(sec1)
        .unwrap()
        .verifies(message, signature);
    let portable = portable::VerifyingKey::new(sec1)
        .unwrap()
        .verifies(message, signature);
    assert_eq!(native, portable, "aws-lc and p256 differ on {signature:?}");
    native
}

#[test]
fn both_read_the_same_points() {
    let key = portable::Secret::new(&[7; 32]).unwrap();
    let (long, short) = (*key.public().sec1(), key.public().compressed());
    assert!(reads(&long) && reads(&short));
    let tagged = |tag: u8, point: &[u8]| [&[tag], &point[1..]].concat();
    assert!(
        reads(&tagged(short[0] ^ 1, &short)),
        "the other point of this x"
    );
    for tag in [0, 1, 2, 3, 5, 6, 7, 0xff] {
        assert!(
            !reads(&tagged(tag, &long)),
            "tag {tag} with two coordinates"
        );
    }
    for tag in [0, 1, 4, 5, 6, 7, 0xff] {
        assert!(
            !reads(&tagged(tag, &short)),
            "tag {tag} with one coordinate"
        );
    }
    for wrong in [
        &[][..],
        &[0],
        &[4],
        &long[..64],
        &short[..32],
        &[0; 65],
        &[0; 33],
    ] {
        assert!(!reads(wrong));
    }
    // Off the curve; coordinates not below the prime; no y for this x.
    let mut off = long;
    off[64] ^= 1;
    assert!(!reads(&off));
    assert!(!reads(&[&[4][..], &bytes(PRIME), &long[33..]].concat()));
    assert!(!reads(&[&[4][..], &[0xff; 64]].concat()));
    assert!(!reads(&[&[2][..], &bytes(PRIME)].concat()));
    let read = (0..64u8).filter(|x| reads(&[&[2][..], &[0; 31], &[*x]].concat()));
    assert!((16..48).contains(&read.count()), "about half have a y");
    // x = 0 has a y; as x = prime it is another spelling and refused (above).
    assert!(reads(&[&[2][..], &[0; 32]].concat()));
}

#[test]
fn both_accept_the_same_signatures() {
    let (message, order) = (b"message", bytes(ORDER));
    let key = portable::Secret::new(&[7; 32]).unwrap();
    let sec1 = *key.public().sec1();
    let good = key.sign(message).unwrap();
    let (r, s): ([u8; 32], [u8; 32]) = (
        good[..32].try_into().unwrap(),
        good[32..].try_into().unwrap(),
    );
    let check = |r: &[u8; 32], s: &[u8; 32]| verifies(&sec1, message, &[&r[..], s].concat());
    assert!(check(&r, &s));
    assert!(
        check(&r, &minus(&order, &s)),
        "high and low s are both read"
    );
    assert!(!verifies(&sec1, b"another", &good));
    let most = minus(&order, &one());
    for bad in [[0; 32], one(), most, order, [0xff; 32], bytes(PRIME)] {
        assert!(!check(&bad, &s));
        assert!(!check(&r, &bad));
        assert!(!check(&bad, &bad));
    }
    for bit in 0..512 {
        let mut flipped = good;
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(!verifies(&sec1, message, &flipped));
    }
    for length in [0, 1, 32, 63] {
        assert!(!verifies(&sec1, message, &good[..length]));
    }
    assert!(!verifies(&sec1, message, &[&good[..], &[0]].concat()));
    // The same numbers as DER.
    let integer = |n: &[u8; 32]| [&[2u8, 33, 0][..], n].concat();
    let der = [&[0x30, 70][..], &integer(&r), &integer(&s)].concat();
    assert!(!verifies(&sec1, message, &der));
}

#[test]
fn both_take_the_same_secrets_and_verify_each_other() {
    let order = bytes(ORDER);
    let takes = |scalar: &[u8; 32]| {
        let native = native::Secret::new(scalar).is_ok();
        assert_eq!(native, portable::Secret::new(scalar).is_ok(), "{scalar:?}");
        native
    };
    assert!(takes(&one()) && takes(&minus(&order, &one())));
    assert!(!takes(&[0; 32]) && !takes(&order) && !takes(&[0xff; 32]));
    for seed in 1..40u8 {
        let (ours, theirs) = (
            native::Secret::new(&[seed; 32]).unwrap(),
            portable::Secret::new(&[seed; 32]).unwrap(),
        );
        assert_eq!(ours.public().sec1(), theirs.public().sec1());
        let message = vec![seed; usize::from(seed) * 7];
        assert!(verifies(
            ours.public().sec1(),
            &message,
            &ours.sign(&message).unwrap()
        ));
        assert!(verifies(
            ours.public().sec1(),
            &message,
            &theirs.sign(&message).unwrap()
        ));
    }
}
