//! Keys and signature suites (spec/encoding.md, rules E6 to E8).
//!
//! A signature covers a context, the network's name and the message, so that none made for one
//! purpose or network is valid for another. Public keys are checked when they are read: a
//! [`PublicKey`] is always a valid, non-trivial point of its curve.

mod ed25519;
mod known;
mod p256;
mod sm2;

use crate::did::NetworkName;
use crate::hash::HashFunction;
use ed25519_dalek::Signer as _;
use minicbor::{Decode, Decoder, Encode, Encoder};
use zeroize::Zeroize;

/// The signature algorithms of DIDs and operations. A network's parameters say which it admits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Suite {
    /// Ed25519 (RFC 8032); public keys of 32 bytes.
    #[n(1)]
    Ed25519,
    /// ECDSA on P-256 with SHA-256 (FIPS 186-5); compressed SEC 1 points of 33 bytes.
    #[n(2)]
    P256,
    /// SM2 with SM3 (GB/T 32918, 32905); compressed SEC 1 points of 33 bytes.
    #[n(3)]
    Sm2,
}

impl Suite {
    pub const ALL: [Suite; 3] = [Self::Ed25519, Self::P256, Self::Sm2];

    /// Its name in interfaces.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::P256 => "p256",
            Self::Sm2 => "sm2",
        }
    }

    /// The suite of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.name() == name)
    }

    /// The length of its public keys in bytes.
    fn key_bytes(self) -> usize {
        match self {
            Self::Ed25519 => 32,
            Self::P256 | Self::Sm2 => 33,
        }
    }

    /// The hash that goes with the suite: of commitments to its keys.
    pub fn hash_function(self) -> HashFunction {
        match self {
            Self::Ed25519 | Self::P256 => HashFunction::Sha256,
            Self::Sm2 => HashFunction::Sm3,
        }
    }
}

/// What a signature is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    /// An operation, by the key that authorises it.
    Operation,
    /// An operation that creates state, by the organisation that pays for it.
    Sponsorship,
    /// The card of somebody who will run a validator (spec/ceremony.md).
    OperatorCard,
    /// A dealing of a key ceremony, by its dealer.
    Dealing,
    /// What a player of a key ceremony found of the dealings.
    DealingAnswer,
    /// What came of a dealing, by its dealer.
    DealingLog,
    /// What a key ceremony made, by one who has a share of it.
    CeremonyOutcome,
    /// A governance's consent that its network goes on as another.
    Succession,
}

impl Context {
    fn tag(self) -> &'static [u8] {
        match self {
            Self::Operation => b"rdid/1/sign/operation",
            Self::Sponsorship => b"rdid/1/sign/sponsorship",
            Self::OperatorCard => b"rdid/1/sign/operator-card",
            Self::Dealing => b"rdid/1/sign/dealing",
            Self::DealingAnswer => b"rdid/1/sign/dealing-answer",
            Self::DealingLog => b"rdid/1/sign/dealing-log",
            Self::CeremonyOutcome => b"rdid/1/sign/ceremony-outcome",
            Self::Succession => b"rdid/1/sign/succession",
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

/// The longest public key of any suite in bytes.
const MAX_KEY_BYTES: usize = 33;

/// A public key that is known to be a valid point of its curve.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey {
    suite: Suite,
    /// The encoded point, and zeros.
    bytes: [u8; MAX_KEY_BYTES],
}

impl PublicKey {
    /// Checks `bytes` as a key of `suite`: length, point on the curve, not of small order.
    pub fn new(suite: Suite, bytes: &[u8]) -> Result<Self, KeyError> {
        let mut key = Self {
            suite,
            bytes: [0; MAX_KEY_BYTES],
        };
        let length = suite.key_bytes();
        let bytes = Some(bytes).filter(|bytes| bytes.len() == length);
        key.bytes[..length].copy_from_slice(bytes.ok_or(KeyError::Invalid)?);
        known::with(&key, |_| ()).ok_or(KeyError::Invalid)?;
        Ok(key)
    }

    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// The encoded point: 32 bytes for Ed25519, 33 for P-256 and SM2.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.suite.key_bytes()]
    }

    /// Verifies `signature` over `message` in this context and network.
    pub fn verify(
        &self,
        context: Context,
        network: &NetworkName,
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), KeyError> {
        Claim::new(self, signature, context, network, message).verify()
    }
}

/// A signature, and what it is said to be of.
#[derive(Debug, Clone)]
pub struct Claim<'a> {
    key: &'a PublicKey,
    signature: &'a Signature,
    signed: Vec<u8>,
}

impl<'a> Claim<'a> {
    /// That `signature` is by `key`, over `message` in this context and network.
    pub fn new(
        key: &'a PublicKey,
        signature: &'a Signature,
        context: Context,
        network: &NetworkName,
        message: &[u8],
    ) -> Self {
        Self {
            key,
            signature,
            signed: signed_bytes(context, network, message),
        }
    }

    /// Verifies it by itself.
    pub fn verify(&self) -> Result<(), KeyError> {
        let verifies = |key: &Point| key.verifies(&self.signed, &self.signature.0);
        verdict(known::with(self.key, verifies).unwrap_or(false))
    }
}

/// Verifies all `claims`; answers of each what [`Claim::verify`] does. Those of Ed25519 are verified
/// together, which takes less than half the time.
pub fn verify_each(claims: &[Claim<'_>]) -> Vec<Result<(), KeyError>> {
    let mut verdicts = Vec::with_capacity(claims.len());
    let (mut together, mut places) = (Vec::new(), Vec::new());
    for claim in claims {
        let ed25519 = known::with(claim.key, |point| match point {
            Point::Ed25519(key) => Some(key.clone()),
            Point::P256(_) | Point::Sm2(_) => None,
        });
        match ed25519.flatten() {
            Some(key) => {
                places.push(verdicts.len());
                together.push(ed25519::Claim {
                    key,
                    message: &claim.signed,
                    signature: &claim.signature.0,
                });
                // Until they are judged, below.
                verdicts.push(Err(KeyError::Signature));
            }
            None => verdicts.push(claim.verify()),
        }
    }
    for (place, verifies) in places.into_iter().zip(ed25519::verify_together(&together)) {
        verdicts[place] = verdict(verifies);
    }
    verdicts
}

fn verdict(verifies: bool) -> Result<(), KeyError> {
    verifies.then_some(()).ok_or(KeyError::Signature)
}

/// A public key as the library of its suite takes it.
enum Point {
    Ed25519(ed25519::Key),
    P256(p256::Key),
    Sm2(sm2::Key),
}

impl Point {
    /// `None`: these bytes are no key.
    fn parse(key: &PublicKey) -> Option<Self> {
        let bytes = key.bytes();
        match key.suite {
            Suite::Ed25519 => ed25519::Key::parse(bytes).map(Self::Ed25519),
            Suite::P256 => p256::Key::parse(bytes).map(Self::P256),
            Suite::Sm2 => sm2::Key::parse(bytes).map(Self::Sm2),
        }
    }

    fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        match self {
            Self::Ed25519(key) => key.verifies(message, signature),
            Self::P256(key) => key.verifies(message, signature),
            Self::Sm2(key) => key.verifies(message, signature),
        }
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}:{}", self.suite, hex::encode(self.bytes()))
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
        e.bytes(self.bytes())?.ok()
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
    /// Takes 32 uniformly random or derived bytes. About one in 2^32 seeds is no scalar of P-256 or
    /// SM2; it is refused, and the caller derives again.
    pub fn from_seed(suite: Suite, seed: [u8; 32]) -> Result<Self, KeyError> {
        let valid = match suite {
            Suite::Ed25519 => true,
            Suite::P256 => p256::is_secret(&seed),
            Suite::Sm2 => sm2::is_secret(&seed),
        };
        if valid {
            Ok(Self { suite, seed })
        } else {
            Err(KeyError::Invalid)
        }
    }

    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// The seed, for a keystore that encrypts it.
    pub fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    pub fn public(&self) -> PublicKey {
        let encoded = match self.suite {
            Suite::Ed25519 => ed25519_dalek::SigningKey::from_bytes(&self.seed)
                .verifying_key()
                .to_bytes()
                .to_vec(),
            Suite::P256 => p256::public(&self.seed),
            Suite::Sm2 => sm2::public(&self.seed),
        };
        let mut bytes = [0; MAX_KEY_BYTES];
        bytes[..encoded.len()].copy_from_slice(&encoded);
        PublicKey {
            suite: self.suite,
            bytes,
        }
    }

    /// Signs `message` for this context and network. Deterministic in every suite.
    pub fn sign(&self, context: Context, network: &NetworkName, message: &[u8]) -> Signature {
        let bytes = signed_bytes(context, network, message);
        Signature(match self.suite {
            Suite::Ed25519 => ed25519_dalek::SigningKey::from_bytes(&self.seed)
                .sign(&bytes)
                .to_bytes(),
            Suite::P256 => p256::sign(&self.seed, &bytes),
            Suite::Sm2 => sm2::sign(&self.seed, &bytes),
        })
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
        for suite in Suite::ALL {
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
        for suite in [Suite::P256, Suite::Sm2] {
            let good = SecretKey::from_seed(suite, [7; 32]).unwrap().public();
            assert!(PublicKey::new(suite, good.bytes()).is_ok());
            assert!(PublicKey::new(suite, &[4; 65]).is_err());
            assert!(PublicKey::new(suite, &[0xff; 33]).is_err());
            assert!(PublicKey::new(suite, &good.bytes()[..32]).is_err());
            assert!(PublicKey::new(suite, &[&[5], &good.bytes()[1..]].concat()).is_err());
            assert!(PublicKey::new(suite, &[0]).is_err());
            // A valid point of the other curve is none of this one.
            let other = [Suite::P256, Suite::Sm2]
                .into_iter()
                .find(|s| *s != suite)
                .unwrap();
            let points = (1..40u8)
                .map(|n| SecretKey::from_seed(suite, [n; 32]).unwrap().public())
                .filter(|key| PublicKey::new(other, key.bytes()).is_ok());
            assert!(
                points.count() < 30,
                "half of all x have a point on any curve"
            );
        }
    }

    #[test]
    fn many_are_verified_as_one_is_whatever_their_suites() {
        let dev: NetworkName = "dev".parse().unwrap();
        let keys: Vec<_> = (0..9u8)
            .map(|n| SecretKey::from_seed(Suite::ALL[n as usize % 3], [n / 3 + 1; 32]).unwrap())
            .map(|secret| (secret.public(), secret))
            .collect();
        let signed = |(_, secret): &(PublicKey, SecretKey), message: &[u8]| {
            secret.sign(Context::Operation, &dev, message)
        };
        let signatures: Vec<_> = keys.iter().map(|key| signed(key, b"m")).collect();
        // None is false, one of each suite is, all are.
        for bad in [0..0, 4..5, 3..6, 0..9] {
            let claims: Vec<_> = keys
                .iter()
                .zip(&signatures)
                .enumerate()
                .map(|(n, ((key, _), signature))| {
                    let message: &[u8] = if bad.contains(&n) { b"n" } else { b"m" };
                    Claim::new(key, signature, Context::Operation, &dev, message)
                })
                .collect();
            let verdicts = verify_each(&claims);
            for (n, verdict) in verdicts.iter().enumerate() {
                assert_eq!(verdict.is_err(), bad.contains(&n), "{n} of {bad:?}");
            }
            assert_eq!(verdicts.len(), claims.len());
        }
        let elsewhere = Claim::new(&keys[0].0, &signatures[0], Context::Sponsorship, &dev, b"m");
        assert_eq!(verify_each(&[elsewhere]), [Err(KeyError::Signature)]);
        assert_eq!(verify_each(&[]), []);
    }

    #[test]
    fn seeds_that_are_no_scalars_are_refused() {
        for suite in [Suite::P256, Suite::Sm2] {
            for seed in [[0; 32], [0xff; 32]] {
                assert_eq!(
                    SecretKey::from_seed(suite, seed).err(),
                    Some(KeyError::Invalid)
                );
            }
        }
    }

    #[test]
    fn signing_needs_no_random_number() {
        let dev = "dev".parse().unwrap();
        for suite in Suite::ALL {
            let key = SecretKey::from_seed(suite, [7; 32]).unwrap();
            let sign = |message| key.sign(Context::Operation, &dev, message);
            assert_eq!(sign(b"m"), sign(b"m"));
            assert_ne!(
                sign(b"m").0[..32],
                sign(b"n").0[..32],
                "a nonce was used twice"
            );
        }
    }
}
