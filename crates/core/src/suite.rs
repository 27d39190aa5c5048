//! Keys and signature suites (spec/encoding.md, rules E6 to E8).
//!
//! A signature covers a context, the network's name and the message, so that none made for one
//! purpose or network is valid for another. Public keys are checked when they are read: a
//! [`PublicKey`] is always a valid, non-trivial point of its curve.

use crate::did::NetworkName;
use ed25519_dalek::Signer as _;
use minicbor::{Decode, Decoder, Encode, Encoder};
use p256::ecdsa::signature::Verifier as _;
use zeroize::Zeroize;

/// The signature algorithms of DIDs and operations. Code 3 is kept for SM2 with SM3 (`sm`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Suite {
    /// Ed25519 (RFC 8032); public keys of 32 bytes.
    #[n(1)]
    Ed25519,
    /// ECDSA on P-256 with SHA-256 (FIPS 186-5); compressed SEC 1 points of 33 bytes.
    #[n(2)]
    P256,
}

/// What a signature is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    /// An operation, by the key that authorises it.
    Operation,
    /// An operation that creates state, by the organisation that pays for it.
    Sponsorship,
}

impl Context {
    fn tag(self) -> &'static [u8] {
        match self {
            Self::Operation => b"rdid/1/sign/operation",
            Self::Sponsorship => b"rdid/1/sign/sponsorship",
        }
    }
}

/// A key or a signature was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("not a valid public key of its suite")]
    Invalid,
    #[error("the signature does not verify under this key, context and network")]
    Signature,
}

/// A public key that is known to be a valid point of its curve.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey {
    suite: Suite,
    bytes: Vec<u8>,
}

impl PublicKey {
    /// Checks `bytes` as a key of `suite`: length, point on the curve, not of small order.
    pub fn new(suite: Suite, bytes: &[u8]) -> Result<Self, KeyError> {
        match suite {
            Suite::Ed25519 => {
                let array = bytes.try_into().map_err(|_| KeyError::Invalid)?;
                let key = ed25519_dalek::VerifyingKey::from_bytes(array)
                    .map_err(|_| KeyError::Invalid)?;
                if key.is_weak() {
                    return Err(KeyError::Invalid);
                }
            }
            Suite::P256 => {
                if bytes.len() != 33 {
                    return Err(KeyError::Invalid);
                }
                p256::ecdsa::VerifyingKey::from_sec1_bytes(bytes).map_err(|_| KeyError::Invalid)?;
            }
        }
        Ok(Self {
            suite,
            bytes: bytes.to_vec(),
        })
    }

    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// The encoded point: 32 bytes for Ed25519, 33 for P-256.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Verifies `signature` over `message` in this context and network.
    pub fn verify(
        &self,
        context: Context,
        network: &NetworkName,
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), KeyError> {
        let signed = signed_bytes(context, network, message);
        let valid = match self.suite {
            Suite::Ed25519 => {
                let key = self
                    .bytes
                    .as_slice()
                    .try_into()
                    .ok()
                    .and_then(|bytes| ed25519_dalek::VerifyingKey::from_bytes(bytes).ok());
                let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
                key.is_some_and(|key| key.verify_strict(&signed, &signature).is_ok())
            }
            Suite::P256 => {
                let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&self.bytes);
                let signature = p256::ecdsa::Signature::from_slice(&signature.0);
                matches!((key, signature), (Ok(key), Ok(signature)) if key.verify(&signed, &signature).is_ok())
            }
        };
        if valid {
            Ok(())
        } else {
            Err(KeyError::Signature)
        }
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}:{}", self.suite, hex::encode(&self.bytes))
    }
}

impl<C> Encode<C> for PublicKey {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(2)?;
        self.suite.encode(e, ctx)?;
        e.bytes(&self.bytes)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for PublicKey {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        if d.array()? != Some(2) {
            return Err(minicbor::decode::Error::message("a key is [suite, bytes]"));
        }
        let suite = Suite::decode(d, ctx)?;
        Self::new(suite, d.bytes()?)
            .map_err(|_| minicbor::decode::Error::message("invalid public key"))
    }
}

crate::fixed_bytes!(
    /// A signature: R ‖ s, 64 bytes in every suite.
    Signature,
    64
);

/// A secret key. Zeroised when dropped; never printed.
#[derive(Clone)]
pub struct SecretKey {
    suite: Suite,
    seed: [u8; 32],
}

impl SecretKey {
    /// Takes 32 uniformly random or derived bytes. About one in 2^32 seeds is no P-256 scalar;
    /// it is refused, and the caller derives again.
    pub fn from_seed(suite: Suite, seed: [u8; 32]) -> Result<Self, KeyError> {
        if suite == Suite::P256 {
            p256::ecdsa::SigningKey::from_slice(&seed).map_err(|_| KeyError::Invalid)?;
        }
        Ok(Self { suite, seed })
    }

    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// The seed, for a keystore that encrypts it.
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    pub fn public(&self) -> PublicKey {
        let bytes = match self.suite {
            Suite::Ed25519 => ed25519_dalek::SigningKey::from_bytes(&self.seed)
                .verifying_key()
                .to_bytes()
                .to_vec(),
            Suite::P256 => self
                .p256()
                .verifying_key()
                .to_sec1_point(true)
                .as_bytes()
                .to_vec(),
        };
        PublicKey {
            suite: self.suite,
            bytes,
        }
    }

    /// Signs `message` for this context and network. Deterministic in both suites.
    pub fn sign(&self, context: Context, network: &NetworkName, message: &[u8]) -> Signature {
        let bytes = signed_bytes(context, network, message);
        match self.suite {
            Suite::Ed25519 => Signature(
                ed25519_dalek::SigningKey::from_bytes(&self.seed)
                    .sign(&bytes)
                    .to_bytes(),
            ),
            Suite::P256 => {
                let signature: p256::ecdsa::Signature = self.p256().sign(&bytes);
                Signature(signature.to_bytes().into())
            }
        }
    }

    #[allow(
        clippy::expect_used,
        reason = "from_seed is the only constructor and refuses every seed for which this fails"
    )]
    fn p256(&self) -> p256::ecdsa::SigningKey {
        p256::ecdsa::SigningKey::from_slice(&self.seed).expect("checked by from_seed")
    }
}

impl Drop for SecretKey {
    fn drop(&mut self) {
        self.seed.zeroize();
    }
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretKey({:?})", self.suite)
    }
}

/// context tag ‖ 0 ‖ network name ‖ 0 ‖ message. Names hold no zero byte, so this is injective.
fn signed_bytes(context: Context, network: &NetworkName, message: &[u8]) -> Vec<u8> {
    [
        context.tag(),
        &[0],
        network.as_str().as_bytes(),
        &[0],
        message,
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_one_key_context_and_network_only() {
        let (dev, cn) = ("dev".parse().unwrap(), "cn".parse().unwrap());
        for suite in [Suite::Ed25519, Suite::P256] {
            let key = SecretKey::from_seed(suite, [7; 32]).unwrap();
            let other = SecretKey::from_seed(suite, [8; 32]).unwrap();
            let signature = key.sign(Context::Operation, &dev, b"m");
            let public = key.public();
            assert_eq!(
                public.verify(Context::Operation, &dev, b"m", &signature),
                Ok(())
            );
            let refused = Err(KeyError::Signature);
            assert_eq!(
                public.verify(Context::Operation, &dev, b"n", &signature),
                refused
            );
            assert_eq!(
                public.verify(Context::Operation, &cn, b"m", &signature),
                refused
            );
            assert_eq!(
                public.verify(Context::Sponsorship, &dev, b"m", &signature),
                refused
            );
            assert_eq!(
                other
                    .public()
                    .verify(Context::Operation, &dev, b"m", &signature),
                refused
            );
        }
    }

    #[test]
    fn invalid_points_are_refused_when_read() {
        // the identity of Ed25519, an all-ones string, an uncompressed or off-curve P-256 point
        let mut identity = [0u8; 32];
        identity[0] = 1;
        assert!(PublicKey::new(Suite::Ed25519, &identity).is_err());
        assert!(PublicKey::new(Suite::Ed25519, &[0xff; 31]).is_err());
        assert!(PublicKey::new(Suite::P256, &[4; 65]).is_err());
        assert!(PublicKey::new(Suite::P256, &[0xff; 33]).is_err());
    }
}
