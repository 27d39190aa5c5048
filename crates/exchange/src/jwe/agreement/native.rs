//! P-256 by `aws-lc-rs`.

use std::sync::Arc;

use aws_lc_rs::agreement::{ECDH_P256, ParsedPublicKey, PrivateKey, UnparsedPublicKey, agree};
use zeroize::Zeroizing;

use super::{Point, Refused, Shared};

/// A secret scalar. The library overwrites it when the last clone is dropped.
#[derive(Clone)]
pub(in crate::jwe) struct Secret {
    // Shared, so that a clone copies no secret.
    key: Arc<PrivateKey>,
    public: Point,
}

impl Secret {
    /// From the big-endian scalar, which must be within 1 and the order less one.
    pub(in crate::jwe) fn new(scalar: &[u8; 32]) -> Result<Self, Refused> {
        let key = PrivateKey::from_private_key(&ECDH_P256, scalar).map_err(|_| Refused)?;
        let public = key.compute_public_key().map_err(|_| Refused)?;
        let public = public.as_ref().try_into().map_err(|_| Refused)?;
        Ok(Self {
            key: Arc::new(key),
            public,
        })
    }

    pub(in crate::jwe) fn public(&self) -> &Point {
        &self.public
    }

    pub(in crate::jwe) fn agree(&self, point: &Point) -> Result<Shared, Refused> {
        let parsed = parse(point)?;
        agree(&self.key, parsed, Refused, |shared| {
            Ok(Zeroizing::new(shared.try_into().map_err(|_| Refused)?))
        })
    }
}

/// Of the forms that the library reads, the plain one.
fn parse(point: &Point) -> Result<ParsedPublicKey, Refused> {
    if point[0] != 4 {
        return Err(Refused);
    }
    UnparsedPublicKey::new(&ECDH_P256, point)
        .try_into()
        .map_err(|_| Refused)
}

/// Whether it is a point of the curve other than infinity.
pub(in crate::jwe) fn is_point(point: &Point) -> bool {
    parse(point).is_ok()
}
