//! The issuer's key and what is signed with it (spec/realpass.md, rules B6, B9 and B10).

use std::sync::OnceLock;

use zeroize::Zeroizing;

use crate::bbs::{PublicKey, SecretKey, Setting};
use crate::blind::CommitmentBases;
use crate::curve::{PUBLIC_POINT_BYTES, SCALAR_BYTES, Scalar};
use crate::error::PassError;
use crate::nym::combined_header;
use crate::suite::Interface;

/// The version of the scheme, which begins every encoding and is part of what is signed.
pub const VERSION: u8 = 1;
/// N: how many pseudonym secrets a person has. Up to N pseudonyms whose discrete logarithms were
/// found tell nothing of another one.
pub const SECRETS: usize = 8;
/// Most messages of one credential, pseudonym secrets not counted.
pub const MAX_MESSAGES: usize = 16;
/// Longest message, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 64;

/// Messages of a credential, in their order, within the bounds. They say something of a person, so
/// there is no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Messages(Vec<Vec<u8>>);

impl Messages {
    /// 1 to 16 messages of at most 64 bytes each.
    pub fn new(messages: Vec<Vec<u8>>) -> Result<Self, PassError> {
        let fits = (1..=MAX_MESSAGES).contains(&messages.len())
            && messages
                .iter()
                .all(|message| message.len() <= MAX_MESSAGE_BYTES);
        if !fits {
            return Err(PassError::Messages);
        }
        Ok(Self(messages))
    }

    /// The messages in their order.
    pub fn as_slice(&self) -> &[Vec<u8>] {
        &self.0
    }

    pub(crate) fn scalars(&self) -> Vec<Scalar> {
        self.0.iter().map(|message| scalar_of(message)).collect()
    }
}

/// A message as it is signed.
pub(crate) fn scalar_of(message: &[u8]) -> Scalar {
    Interface::Nym.message_to_scalar(message)
}

/// An issuer's public key for credentials of one shape: what wallets and verifiers hold.
///
/// Making one costs some milliseconds, since it computes what all verifying shares: keep it.
pub struct PassKey {
    pub(crate) setting: Setting,
    messages: usize,
}

impl PassKey {
    /// From 96 bytes. `terms` is what everybody under the key agrees on (the network and the
    /// issuer, at least), and `messages` how many messages a credential has.
    pub fn new(
        public: &[u8; PUBLIC_POINT_BYTES],
        terms: &[u8],
        messages: usize,
    ) -> Result<Self, PassError> {
        Self::from_public(&PublicKey::from_bytes(public)?, terms, messages)
    }

    fn from_public(public: &PublicKey, terms: &[u8], messages: usize) -> Result<Self, PassError> {
        if !(1..=MAX_MESSAGES).contains(&messages) {
            return Err(PassError::Messages);
        }
        let header = [b"rdid/1/realpass\0".as_slice(), &[VERSION], terms].concat();
        let header = combined_header(&header, SECRETS);
        let setting = Setting::new(Interface::Nym, public, &header, messages, Some(SECRETS))?;
        Ok(Self { setting, messages })
    }

    /// The public key, 96 bytes.
    pub fn to_bytes(&self) -> [u8; PUBLIC_POINT_BYTES] {
        self.setting.key().to_bytes()
    }

    /// How many messages a credential under this key has.
    pub fn message_count(&self) -> usize {
        self.messages
    }

    /// The scalars of messages, if their number is right.
    pub(crate) fn scalars(&self, messages: &Messages) -> Result<Vec<Scalar>, PassError> {
        if messages.as_slice().len() != self.messages {
            return Err(PassError::Messages);
        }
        Ok(messages.scalars())
    }
}

/// An issuer's secret key with its public one. The secret is erased when dropped.
pub struct IssuerKey {
    pub(crate) secret: SecretKey,
    pub(crate) public: PassKey,
}

impl IssuerKey {
    /// From at least 32 secret bytes that nobody can guess; the same bytes give the same key.
    pub fn from_material(
        material: &[u8],
        terms: &[u8],
        messages: usize,
    ) -> Result<Self, PassError> {
        let secret = SecretKey::from_material(material, b"rdid/1/realpass-issuer")?;
        Self::from_secret(secret, terms, messages)
    }

    /// From the 32 bytes of [`secret_bytes`](Self::secret_bytes).
    pub fn from_secret_bytes(
        secret: &[u8; SCALAR_BYTES],
        terms: &[u8],
        messages: usize,
    ) -> Result<Self, PassError> {
        Self::from_secret(SecretKey::from_bytes(secret)?, terms, messages)
    }

    fn from_secret(secret: SecretKey, terms: &[u8], messages: usize) -> Result<Self, PassError> {
        let public = PassKey::from_public(&secret.public(), terms, messages)?;
        Ok(Self { secret, public })
    }

    /// The secret, 32 bytes, for the issuer's keystore.
    pub fn secret_bytes(&self) -> Zeroizing<[u8; SCALAR_BYTES]> {
        self.secret.to_bytes()
    }

    /// What the issuer publishes.
    pub fn public(&self) -> &PassKey {
        &self.public
    }
}

/// The generators of commitments to pseudonym secrets, made once.
pub(crate) fn commitment_bases() -> Result<&'static CommitmentBases, PassError> {
    static BASES: OnceLock<Result<CommitmentBases, PassError>> = OnceLock::new();
    BASES
        .get_or_init(|| CommitmentBases::new(Interface::Nym, SECRETS))
        .as_ref()
        .map_err(|error| *error)
}
