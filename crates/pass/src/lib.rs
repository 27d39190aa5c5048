//! RealPass: a credential whose every showing is new, with one pseudonym for each person and
//! context (spec/realpass.md).
//!
//! An issuer signs coarse facts about a person over a commitment to secrets of the wallet's. The
//! wallet then proves, as often as it likes, that it holds such a signature: it shows the facts
//! that it chooses and the pseudonym that follows from its secrets and the verifier's context.
//! Neither two verifiers nor the issuer can tell whose proof it is, and no person has a second
//! pseudonym in a context.
//!
//! ```text
//! wallet                       issuer                        verifier
//! PseudonymSecrets::request ─▶ IssuerKey::enrol, ::issue
//! Credential::accept        ◀─ Issued
//! Credential::present       ───────────────────────────────▶ Presentation::verify, verify_batch
//! ```
//!
//! | read | for |
//! | --- | --- |
//! | `issue`, `hold`, `present`, `batch` | what the scheme is for its users |
//! | `facts` | what a RealPass says of a person |
//! | `seeded` | randomness, where whoever gives it may fail |
//! | `bbs`, `blind`, `nym` | the three drafts, step by step |
//! | `suite`, `curve` | the ciphersuite and the curve, the one place of unsafe code |
//!
//! The last two rows are public for cross-checks and measuring; everybody else needs the first.
//!
//! Randomness and bytes come in as arguments; there is no clock, no network, no format but the
//! encodings of rule B17. The drafts are unfinished: each encoding begins with [`VERSION`].

mod batch;
pub mod bbs;
pub mod blind;
pub mod curve;
mod error;
pub mod facts;
mod hedge;
mod hold;
mod issue;
mod key;
pub mod nym;
mod octets;
mod present;
mod seeded;
pub mod suite;

pub use batch::{Claim, verify_batch};
pub use error::PassError;
pub use hold::Credential;
pub use issue::{Issued, Kept, PseudonymSecrets, Request};
pub use key::{IssuerKey, MAX_MESSAGE_BYTES, MAX_MESSAGES, Messages, PassKey, SECRETS, VERSION};
pub use present::{Context, MAX_PRESENTATION_BYTES, Presentation, Pseudonym, Shown};
pub use seeded::Seeded;

/// Gives bytes from anywhere to every decoder: what a fuzzer calls. Whatever they are, each answers
/// with a value or a reason, and a value is written back as it was read.
pub fn decode_anything(bytes: &[u8]) {
    fn same(bytes: &[u8], written: Option<&[u8]>) {
        debug_assert!(written.is_none_or(|written| written == bytes));
    }
    let presentation = Presentation::from_bytes(bytes).map(|read| read.to_bytes());
    same(bytes, presentation.ok().as_deref());
    let request = Request::from_bytes(bytes).map(|read| read.to_bytes());
    same(bytes, request.ok().as_deref());
    let issued = Issued::from_bytes(bytes).map(|read| read.to_bytes().to_vec());
    same(bytes, issued.ok().as_deref());
    let kept = Kept::from_bytes(bytes).map(|read| read.to_bytes().to_vec());
    same(bytes, kept.ok().as_deref());
    let proof = bbs::Proof::from_bytes(bytes).map(|read| read.to_bytes());
    same(bytes, proof.ok().as_deref());
    let claim = blind::CommitmentWithProof::from_bytes(bytes).map(|read| read.to_bytes());
    same(bytes, claim.ok().as_deref());
    if let Some(key) = bytes.first_chunk() {
        let key = bbs::PublicKey::from_bytes(key).map(|read| read.to_bytes().to_vec());
        same(
            &bytes[..key.as_ref().map_or(0, Vec::len)],
            key.ok().as_deref(),
        );
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors_tests;
#[cfg(test)]
mod zkryptium_tests;
