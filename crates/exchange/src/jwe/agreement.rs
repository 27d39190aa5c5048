//! Diffie-Hellman on P-256 (NIST SP 800-56A §5.7.1.2) behind one small face: points as uncompressed
//! SEC1, the shared secret as the 32 bytes of its x coordinate.
//!
//! As for signatures, the arithmetic is `aws-lc-rs` natively and `p256` in a browser, and a test
//! holds both against the same points: neither reads one that the other refuses.

use zeroize::Zeroizing;

#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(any(test, target_arch = "wasm32"))]
mod portable;

#[cfg(not(target_arch = "wasm32"))]
pub(super) use native::{Secret, is_point};
#[cfg(target_arch = "wasm32")]
pub(super) use portable::{Secret, is_point};

/// Not a scalar within 1 and the order less one, or not a point of the curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused;

/// A point as `4 ‖ x ‖ y`; of a stranger's, nothing more is known before it is checked.
pub(super) type Point = [u8; 65];

/// The x coordinate that two parties share, overwritten when it is dropped.
pub(super) type Shared = Zeroizing<[u8; 32]>;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What both libraries say of a secret and a point of somebody else: the same.
    fn both(secret: &[u8; 32], point: &Point) -> Result<(Point, [u8; 32]), Refused> {
        let native = native::Secret::new(secret)
            .and_then(|secret| Ok((*secret.public(), *secret.agree(point)?)));
        let portable = portable::Secret::new(secret)
            .and_then(|secret| Ok((*secret.public(), *secret.agree(point)?)));
        assert_eq!(native, portable);
        let points = [native::is_point(point), portable::is_point(point)];
        if native::Secret::new(secret).is_ok() {
            assert_eq!(points, [native.is_ok(); 2]);
        }
        native
    }

    fn public(secret: &[u8; 32]) -> Point {
        *native::Secret::new(secret).unwrap().public()
    }

    proptest! {
        #[test]
        fn both_libraries_agree_and_both_parties_share_one_secret(
            a in any::<[u8; 32]>(), b in any::<[u8; 32]>(), at in 0..65usize, flip in 1..=255u8,
        ) {
            let (Ok((a_point, shared)), Ok((_, again))) =
                (both(&a, &public(&b)), both(&b, &public(&a)))
            else {
                return Err(TestCaseError::reject("one in 2^32 is no scalar"));
            };
            prop_assert_eq!(shared, again);
            let mut changed = a_point;
            changed[at] ^= flip;
            // nearly always off the curve, and never the same secret
            prop_assert_ne!(both(&b, &changed).map(|(_, shared)| shared), Ok(shared));
        }
    }

    #[test]
    fn what_is_no_scalar_and_no_point_is_refused_by_both() {
        let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
        let order: [u8; 32] = hex::decode(order).unwrap().try_into().unwrap();
        let good = public(&[3; 32]);
        for secret in [[0; 32], order, [0xff; 32]] {
            assert_eq!(both(&secret, &good), Err(Refused));
        }
        let mut infinity = [0; 65];
        assert_eq!(both(&[3; 32], &infinity), Err(Refused));
        infinity[0] = 4;
        assert_eq!(both(&[3; 32], &infinity), Err(Refused));
        // x of the field's prime or above, and the hybrid form of a good point
        let mut large = good;
        large[1..33].fill(0xff);
        assert_eq!(both(&[3; 32], &large), Err(Refused));
        for tag in [0, 2, 3, 5, 6, 7] {
            let mut hybrid = good;
            hybrid[0] = tag;
            assert_eq!(both(&[3; 32], &hybrid), Err(Refused));
        }
    }
}
