//! Showing a credential in a context, and verifying what is shown
//! (spec/realpass.md, rules B14, B15 and B17).

use std::fmt;

use rand_core::CryptoRng;

use crate::bbs::{Proof, random_scalars_for_proof};
use crate::curve::{Affine, POINT_BYTES, SCALAR_BYTES};
use crate::error::PassError;
use crate::hedge::Hedge;
use crate::hold::Credential;
use crate::issue::versioned;
use crate::key::{MAX_MESSAGE_BYTES, MAX_MESSAGES, PassKey, SECRETS, VERSION, scalar_of};
use crate::nym::{self, Claimed, ContextPoint, Showing};

/// Longest encoding of a presentation: every message shown, since one takes more bytes than the
/// response of one that is hidden.
pub const MAX_PRESENTATION_BYTES: usize =
    3 + MAX_MESSAGES * (1 + MAX_MESSAGE_BYTES) + 4 * POINT_BYTES + (4 + 1 + SECRETS) * SCALAR_BYTES;

/// Where a pseudonym holds: one person has one pseudonym in one context, and pseudonyms of
/// different contexts have nothing in common that can be seen. Making one hashes to the curve: a
/// verifier keeps its own.
pub struct Context(ContextPoint);

impl Context {
    /// A service, by its registration's id.
    pub fn service(id: &[u8]) -> Self {
        Self::new(b"rdid/1/realpass-context/service\0", id)
    }

    /// A personhood slot, by network, year and number as the ledger writes them.
    pub fn personhood_slot(id: &[u8]) -> Self {
        Self::new(b"rdid/1/realpass-context/personhood-slot\0", id)
    }

    #[cfg(test)]
    pub(crate) fn point(&self) -> &ContextPoint {
        &self.0
    }

    fn new(kind: &[u8], id: &[u8]) -> Self {
        Self(ContextPoint::new(&[kind, id].concat()))
    }
}

/// What one person is called in one context: 48 bytes, always the same.
///
/// Its `Debug` does not show it: it is who a person is at a service, and must not reach a log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pseudonym(pub [u8; POINT_BYTES]);

impl fmt::Debug for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pseudonym(..)")
    }
}

/// A presentation that was read and not verified: everything in it is a claim.
#[derive(Clone)]
pub struct Presentation {
    /// Messages by index, ascending.
    disclosed: Vec<(usize, Vec<u8>)>,
    pseudonym: Affine,
    pub(crate) proof: Proof,
}

/// What a verified presentation says. Its `Debug` tells which messages are shown, and none.
#[derive(Clone, PartialEq, Eq)]
pub struct Shown {
    /// Who, in this context.
    pub pseudonym: Pseudonym,
    /// The disclosed messages by index, ascending.
    pub messages: Vec<(usize, Vec<u8>)>,
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let indexes = self.messages.iter().map(|(index, _)| index);
        f.debug_set().entries(indexes).finish()
    }
}

impl Credential {
    /// Shows the messages at `disclosed` (ascending) in a context, bound to `binding`: what makes
    /// this presentation good for one verifier, once (nonce, audience, the DID shown with it).
    pub fn present(
        &self,
        rng: &mut impl CryptoRng,
        key: &PassKey,
        context: &Context,
        disclosed: &[usize],
        binding: &[u8],
    ) -> Result<Presentation, PassError> {
        let shown = disclosed
            .iter()
            .map(|index| {
                let message = self.messages().get(*index).ok_or(PassError::Disclosed)?;
                Ok((*index, message.clone()))
            })
            .collect::<Result<Vec<_>, PassError>>()?;
        let hedge = Hedge {
            purpose: "present",
            witness: &self.scalars,
            about: &[
                &self.signature().to_bytes(),
                context.0.id(),
                &mask(disclosed.iter().copied()).to_be_bytes(),
                binding,
            ],
        };
        let count = random_scalars_for_proof(self.scalars.len(), disclosed.len());
        let random = hedge.scalars(rng, count);
        let (proof, pseudonym) = nym::proof_gen(
            &key.setting,
            self.signature(),
            &self.b,
            &self.scalars,
            SECRETS,
            &Showing {
                context: &context.0,
                disclosed,
                presentation_header: &presentation_header(binding),
            },
            &random,
        )?;
        Ok(Presentation {
            disclosed: shown,
            pseudonym,
            proof,
        })
    }

    /// The pseudonym in a context, without showing anything.
    pub fn pseudonym(&self, context: &Context) -> Result<Pseudonym, PassError> {
        let secrets = &self.scalars[self.scalars.len() - SECRETS..];
        Ok(Pseudonym(context.0.pseudonym(secrets)?.to_bytes()))
    }
}

impl Presentation {
    /// Version, which messages are shown, each with its length, the pseudonym, the proof.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend(mask(self.disclosed.iter().map(|(index, _)| *index)).to_be_bytes());
        for (_, message) in &self.disclosed {
            // The bound of a message is below 256.
            out.push(message.len() as u8);
            out.extend(message);
        }
        out.extend(self.pseudonym.to_bytes());
        out.extend(self.proof.to_bytes());
        out
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote: bounds, points and scalars are checked here,
    /// whether any of it is true in [`verify`](Self::verify).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PassError> {
        if bytes.len() > MAX_PRESENTATION_BYTES {
            return Err(PassError::Length);
        }
        let mut reader = versioned(bytes)?;
        let mask = u16::from_be_bytes(*reader.array()?);
        let mut disclosed = Vec::with_capacity(MAX_MESSAGES);
        for index in (0..MAX_MESSAGES).filter(|index| mask & (1 << index) != 0) {
            let length = usize::from(reader.byte()?);
            if length > MAX_MESSAGE_BYTES {
                return Err(PassError::Messages);
            }
            disclosed.push((index, reader.take(length)?.to_vec()));
        }
        let pseudonym = reader.point()?;
        let proof = Proof::read(&mut reader)?;
        reader.end()?;
        Ok(Self {
            disclosed,
            pseudonym,
            proof,
        })
    }

    /// What is claimed: for a verifier that must look before it verifies (which epoch, which key).
    pub fn claimed(&self) -> &[(usize, Vec<u8>)] {
        &self.disclosed
    }

    /// Verifies (`ProofVerifyWithNym`): an issuer with this key signed the messages that are shown
    /// for whoever has this pseudonym in this context, and that one made this proof for `binding`.
    pub fn verify(
        &self,
        key: &PassKey,
        context: &Context,
        binding: &[u8],
    ) -> Result<Shown, PassError> {
        let claimed = self.against(key, context, binding)?;
        let mut answers = nym::verify_responses(&[claimed]);
        answers.pop().ok_or(PassError::Length)??;
        key.setting.proof_pairing(&self.proof)?;
        Ok(self.shown())
    }

    /// The proof with what it is to be verified against, as the scheme sees it.
    pub(crate) fn against<'a>(
        &'a self,
        key: &'a PassKey,
        context: &'a Context,
        binding: &[u8],
    ) -> Result<Claimed<'a>, PassError> {
        if self
            .disclosed
            .last()
            .is_some_and(|(last, _)| *last >= key.message_count())
        {
            return Err(PassError::Disclosed);
        }
        Ok(Claimed {
            setting: &key.setting,
            proof: &self.proof,
            pseudonym: &self.pseudonym,
            secrets: SECRETS,
            context: &context.0,
            disclosed: self
                .disclosed
                .iter()
                .map(|(index, message)| (*index, scalar_of(message)))
                .collect(),
            presentation_header: presentation_header(binding),
        })
    }

    pub(crate) fn shown(&self) -> Shown {
        Shown {
            pseudonym: Pseudonym(self.pseudonym.to_bytes()),
            messages: self.disclosed.clone(),
        }
    }
}

fn presentation_header(binding: &[u8]) -> Vec<u8> {
    [b"rdid/1/realpass-presentation\0".as_slice(), binding].concat()
}

/// A bit for each shown message. Indexes are below 16 wherever this is called.
fn mask(indexes: impl Iterator<Item = usize>) -> u16 {
    indexes.fold(0, |mask, index| mask | (1 << index))
}
