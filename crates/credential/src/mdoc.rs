//! mdoc (`mso_mdoc`; ISO/IEC 18013-5, presented over OpenID4VP 1.0 appendix B.2): the authority
//! issues, the wallet selects and binds, the verifier verifies (spec/mdoc.md, M1 to M12).
//!
//! The issuer signs a table of digests, the Mobile Security Object; what is shown are the items
//! that the digests are of. The device signs the [`Transcript`] of one request. As with SD-JWT,
//! trust has a type: [`Mdoc`] was read and its items fit its digests, [`VerifiedMdoc`] passed
//! [`verify`].
//!
//! The device signs no list of what it shows: whoever carries a presentation can take elements
//! away, never add or change one. So a verifier asks again for what is missing, and answers travel
//! encrypted.
//!
//! Bytes are never written anew to be hashed: digests and signatures are over what came. Whether a
//! certificate chain is trusted is the caller's knowledge; here the leaf is compared with those
//! that were given ([`IssuerKey`]). [`claimed_chain`] shows what there is to judge.

use crate::cbor::Malformed;
use crate::jose::JwsError;
use crate::refusal::refusals;
use crate::status::StatusError;

mod held;
mod issue;
pub mod pid;
mod read;
mod transcript;
mod verify;

pub use held::{Mdoc, Plain};
pub use issue::{Element, NameSpace, Terms, issue};
pub use transcript::Transcript;
pub use verify::{
    IssuerEvidence, IssuerKey, VerifiedMdoc, claimed_chain, issuer_auth, receive, verify,
};

use read::{Document, IssuerSigned};

/// The format's name in OpenID4VCI and OpenID4VP.
pub const FORMAT: &str = "mso_mdoc";
/// The longest credential or presentation that is read, in bytes.
pub const MAX_LEN: usize = 64 * 1024;
/// The most elements that one credential may have.
pub const MAX_ELEMENTS: usize = 64;
/// The least randomness that hides an element's value, in bytes (ISO/IEC 18013-5 §9.1.2.5).
const MIN_RANDOM_LEN: usize = 16;

refusals! {
    /// Why an mdoc was refused, or could not be made.
    MdocError: { Jws(JwsError), Status(StatusError) }
    Oversize Holder "mdoc.oversize" "a credential with its elements is at most 64 kB" "send less",
    Malformed Holder "mdoc.malformed" "an mdoc is CBOR as ISO/IEC 18013-5 has it, one document of version 1.0 without errors" "send one document",
    TooMany Holder "mdoc.too_many" "a credential has at most 64 elements" "send less",
    ElementTwice Holder "mdoc.element_twice" "no element and no digest's number stands twice in a name space" "send each element once",
    NoSuchElement Holder "mdoc.no_such_element" "the credential has the element that is to be shown" "choose among the elements that it has",
    DeviceKey Holder "mdoc.device_key" "a presentation is bound with the key that the credential names" "use the key that this copy was issued to",
    MsoMalformed Issuer "mdoc.mso_malformed" "the security object is of version 1.0, with SHA-256 digests, a device key, a document type and times" "issue the credential anew",
    DocType Holder "mdoc.doc_type" "the document is of one type throughout, and of one that is accepted here" "show a credential of the type that was asked for",
    IssuerUnknown Issuer "mdoc.issuer_unknown" "the certificate is one of an issuer that is accepted here" "use a credential of an accepted issuer",
    Signature Issuer "mdoc.signature" "the issuer's signature verifies under its certificate's key" "receive the credential anew",
    Digest Holder "mdoc.digest" "every element matches the digest that the issuer signed" "send the elements as they were issued",
    Validity Caller "mdoc.validity" "a credential is signed before it is valid, and valid before it ends" "choose other times",
    NotYetValid Holder "mdoc.not_yet_valid" "the credential is valid already" "check the clock, or wait",
    Expired Holder "mdoc.expired" "the credential has not expired" "refresh it and show the new copy",
    DeviceMac Holder "mdoc.device_mac" "a presentation is signed by the device" "sign, since a MAC needs a key of the reader",
    DeviceClaims Holder "mdoc.device_claims" "the device adds no elements of its own" "show what the issuer signed",
    DeviceSignature Holder "mdoc.device_signature" "the device signed this request's transcript" "sign for this verifier, nonce and response address",
    StatusUnread Issuer "mdoc.status_unread" "a credential accepted here has no status, or its list was fetched" "fetch the list and verify again",
    Revoked Issuer "mdoc.revoked" "the credential is not revoked" "ask the issuer for another credential",
    Suspended Issuer "mdoc.suspended" "the credential is not suspended" "ask the issuer why, or wait",
    StatusOther Issuer "mdoc.status_other" "the credential's status is one that is known here" "use a credential that is plainly valid",
}

impl From<Malformed> for MdocError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

#[cfg(test)]
#[path = "mdoc/tests.rs"]
mod tests;
