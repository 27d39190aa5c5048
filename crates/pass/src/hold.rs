//! What the wallet holds, and how it takes it from the issuer (spec/realpass.md, rule B13).

use zeroize::{Zeroize, Zeroizing};

use crate::bbs::Signature;
use crate::blind::all_messages;
use crate::curve::{Point, Scalar};
use crate::error::PassError;
use crate::issue::{ISSUED_BYTES, Issued, PseudonymSecrets, versioned};
use crate::key::{MAX_MESSAGES, Messages, PassKey, SECRETS, VERSION};

/// A credential whose signature was verified, with the wallet's secrets. Erased when dropped.
///
/// The secrets are not in its encoding: they come from the recovery words.
pub struct Credential {
    pub(crate) messages: Messages,
    pub(crate) issued: Issued,
    /// The messages, the blind and the secrets, the last of which has the issuer's entropy added.
    pub(crate) scalars: Zeroizing<Vec<Scalar>>,
    /// `B` of the signature, from which proofs start.
    pub(crate) b: Point,
}

impl Credential {
    /// Takes what the issuer answered the first time (`VerifyFinalizeWithNym`).
    pub fn accept(
        key: &PassKey,
        secrets: &PseudonymSecrets,
        messages: Messages,
        issued: Issued,
    ) -> Result<Self, PassError> {
        let known = key.scalars(&messages)?;
        let mut committed = Zeroizing::new(secrets.secrets);
        committed[SECRETS - 1] = committed[SECRETS - 1] + issued.entropy;
        let scalars = all_messages(&known, &secrets.blind, committed.as_slice());
        let b = key.setting.verify(&issued.signature, &scalars)?;
        Ok(Self {
            messages,
            issued,
            scalars,
            b,
        })
    }

    /// Takes what the issuer answered to a refresh. Refused if the issuer changed its part of the
    /// secrets, which would change the person's pseudonyms everywhere.
    pub fn renew(
        &self,
        key: &PassKey,
        secrets: &PseudonymSecrets,
        messages: Messages,
        issued: Issued,
    ) -> Result<Self, PassError> {
        if issued.entropy != self.issued.entropy {
            return Err(PassError::OtherEntropy);
        }
        Self::accept(key, secrets, messages, issued)
    }

    /// The messages, in their order.
    pub fn messages(&self) -> &[Vec<u8>] {
        self.messages.as_slice()
    }

    pub(crate) fn signature(&self) -> &Signature {
        &self.issued.signature
    }

    /// Version, signature, entropy, number of messages, and each with its length.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let messages = self.messages.as_slice();
        let length: usize = messages.iter().map(|message| 1 + message.len()).sum();
        let mut out = Zeroizing::new(Vec::with_capacity(ISSUED_BYTES + 1 + length));
        out.extend(self.issued.to_bytes().as_slice());
        // Both fit a byte: the bounds of `Messages` are below 256.
        out.push(messages.len() as u8);
        for message in messages {
            out.push(message.len() as u8);
            out.extend(message);
        }
        debug_assert_eq!(out.first(), Some(&VERSION));
        out
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote and verifies the signature again.
    pub fn from_bytes(
        key: &PassKey,
        secrets: &PseudonymSecrets,
        bytes: &[u8],
    ) -> Result<Self, PassError> {
        let mut reader = versioned(bytes)?;
        let issued = Issued::read(&mut reader)?;
        let count = usize::from(reader.byte()?);
        if count > MAX_MESSAGES {
            return Err(PassError::Messages);
        }
        let mut messages = Vec::with_capacity(count);
        for _ in 0..count {
            let length = usize::from(reader.byte()?);
            messages.push(reader.take(length)?.to_vec());
        }
        reader.end()?;
        Self::accept(key, secrets, Messages::new(messages)?, issued)
    }
}

impl Drop for Credential {
    fn drop(&mut self) {
        self.issued.entropy.zeroize();
    }
}
