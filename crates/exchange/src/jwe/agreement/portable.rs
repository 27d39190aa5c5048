//! P-256 by `p256`, in Rust alone: for the browser, and to test the native one against.

use p256::elliptic_curve::sec1::ToSec1Point as _;
use p256::{PublicKey, SecretKey, ecdh};
use zeroize::Zeroizing;

use super::{Point, Refused, Shared};

/// A secret scalar, overwritten when it is dropped.
#[derive(Clone)]
pub(in crate::jwe) struct Secret {
    key: SecretKey,
    public: Point,
}

impl Secret {
    /// From the big-endian scalar, which must be within 1 and the order less one.
    pub(in crate::jwe) fn new(scalar: &[u8; 32]) -> Result<Self, Refused> {
        let key = SecretKey::from_slice(scalar).map_err(|_| Refused)?;
        let public = key.public_key().to_sec1_point(false);
        let public = public.as_bytes().try_into().map_err(|_| Refused)?;
        Ok(Self { key, public })
    }

    pub(in crate::jwe) fn public(&self) -> &Point {
        &self.public
    }

    pub(in crate::jwe) fn agree(&self, point: &Point) -> Result<Shared, Refused> {
        let point = parse(point)?;
        let shared = ecdh::diffie_hellman(self.key.to_nonzero_scalar(), point.as_affine());
        Ok(Zeroizing::new((*shared.raw_secret_bytes()).into()))
    }
}

/// Of the forms that the library reads, the plain one.
fn parse(point: &Point) -> Result<PublicKey, Refused> {
    if point[0] != 4 {
        return Err(Refused);
    }
    PublicKey::from_sec1_bytes(point).map_err(|_| Refused)
}

/// Whether it is a point of the curve other than infinity.
pub(in crate::jwe) fn is_point(point: &Point) -> bool {
    parse(point).is_ok()
}
