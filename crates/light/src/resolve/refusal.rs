//! Why a DID was not resolved, or a DID URL not dereferenced: the W3C's error, and the rule of ours
//! behind it (spec/did.md, D13 to D21).

use crate::{LightError, TermError};
use serde_json::{Value, json};
use std::borrow::Cow;

/// The errors of DID Resolution 1.0, and the two of Controlled Identifiers 1.0 that it takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    InvalidDid,
    InvalidDidUrl,
    InvalidOptions,
    NotFound,
    RepresentationNotSupported,
    MethodNotSupported,
    FeatureNotSupported,
    InvalidVerificationMethod,
    InvalidRelationship,
    Internal,
}

impl ErrorKind {
    /// The error's URL, its title, and the status of the HTTP binding.
    fn parts(self) -> (&'static str, &'static str, u16) {
        match self {
            Self::InvalidDid => ("https://www.w3.org/ns/did#INVALID_DID", "Invalid DID", 400),
            Self::InvalidDidUrl => (
                "https://www.w3.org/ns/did#INVALID_DID_URL",
                "Invalid DID URL",
                400,
            ),
            Self::InvalidOptions => (
                "https://www.w3.org/ns/did#INVALID_OPTIONS",
                "Invalid options",
                400,
            ),
            Self::NotFound => ("https://www.w3.org/ns/did#NOT_FOUND", "Not found", 404),
            Self::RepresentationNotSupported => (
                "https://www.w3.org/ns/did#REPRESENTATION_NOT_SUPPORTED",
                "Representation not supported",
                406,
            ),
            Self::MethodNotSupported => (
                "https://www.w3.org/ns/did#METHOD_NOT_SUPPORTED",
                "Method not supported",
                501,
            ),
            Self::FeatureNotSupported => (
                "https://www.w3.org/ns/did#FEATURE_NOT_SUPPORTED",
                "Feature not supported",
                501,
            ),
            // The binding gives every error that it does not list the status 500.
            Self::InvalidVerificationMethod => (
                "https://w3id.org/security#INVALID_VERIFICATION_METHOD",
                "Invalid verification method",
                500,
            ),
            Self::InvalidRelationship => (
                "https://w3id.org/security#INVALID_RELATIONSHIP_FOR_VERIFICATION_METHOD",
                "Invalid relationship for verification method",
                500,
            ),
            Self::Internal => (
                "https://www.w3.org/ns/did#INTERNAL_ERROR",
                "Internal error",
                500,
            ),
        }
    }

    /// What the W3C calls it.
    pub fn url(self) -> &'static str {
        self.parts().0
    }

    /// The status of the HTTP binding.
    pub fn status(self) -> u16 {
        self.parts().2
    }
}

/// A refusal, with the rule that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub kind: ErrorKind,
    /// Stable and dotted.
    pub code: &'static str,
    pub rule: Cow<'static, str>,
    pub fix: Cow<'static, str>,
}

impl Refused {
    /// Something that this resolver could not do, by its code.
    pub fn internal(
        code: &'static str,
        rule: impl Into<Cow<'static, str>>,
        fix: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            kind: ErrorKind::Internal,
            code,
            rule: rule.into(),
            fix: fix.into(),
        }
    }

    /// The error object (RFC 9457) of a result's metadata.
    pub(super) fn object(&self) -> Value {
        let (url, title, status) = self.kind.parts();
        json!({
            "type": url,
            "title": title,
            "status": status,
            "detail": format!("{}; {}", self.rule, self.fix),
            "code": self.code,
        })
    }
}

/// An answer that did not hold: the asker's fault where the options cannot be those of the DID, and
/// otherwise that of whoever answered.
impl From<&LightError> for Refused {
    fn from(error: &LightError) -> Self {
        let (kind, fix) = match error {
            LightError::InceptionMismatch | LightError::Suite => {
                (ErrorKind::InvalidOptions, "give the DID's own inception")
            }
            LightError::Terms(TermError::WrongNetwork { .. }) => {
                (ErrorKind::NotFound, "ask a node of the DID's own network")
            }
            _ => (ErrorKind::Internal, "ask another node"),
        };
        Self {
            kind,
            code: error.code(),
            rule: error.to_string().into(),
            fix: fix.into(),
        }
    }
}

macro_rules! refusals {
    ($($variant:ident $kind:ident $code:literal $rule:literal $fix:literal),* $(,)?) => {
        /// What a resolver of ours refuses by itself.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Why {
            $(#[doc = $rule] $variant,)*
        }

        impl From<Why> for Refused {
            fn from(why: Why) -> Self {
                match why {
                    $(Why::$variant => Self {
                        kind: ErrorKind::$kind,
                        code: $code,
                        rule: $rule.into(),
                        fix: $fix.into(),
                    },)*
                }
            }
        }
    };
}

refusals! {
    Did InvalidDid "did.invalid" "a DID has the form did:rdid:<network>:z<id>" "check the DID",
    Method MethodNotSupported "did.method" "only DIDs of the method did:rdid are resolved" "ask a resolver of the DID's own method",
    Url InvalidDidUrl "did.url" "a DID URL is a DID with a path, a query and a fragment of the characters of RFC 3986, and no parameter stands twice" "percent-encode what stands in the DID URL, and give each parameter once",
    RelativeRef InvalidDidUrl "did.relative_ref" "relativeRef comes with a service, and leads to the origin of its endpoint" "name a service, and a path on its own server",
    SecondFragment InvalidDidUrl "did.second_fragment" "an endpoint that a fragment is added to has none yet" "leave out the fragment",
    Option InvalidOptions "did.option" "each option stands once and has a value of its kind" "compare the options with /openapi.json",
    OptionUnknown FeatureNotSupported "did.option_unknown" "an option is one that this resolver knows" "leave it out; /openapi.json has those that there are",
    Inception InvalidOptions "did.inception" "an inception is canonical CBOR in base64url without padding, and keeps its bounds" "give what `realdid wallet did new --inception` wrote, in base64url",
    Version InvalidOptions "did.version" "a version is asked for by versionId, a sequence number with .1 behind it where a recovery took effect, or by versionTime, a time in UTC to the second" "give one of the two in its form",
    VersionAhead InvalidOptions "did.version_ahead" "versionTime does not lie after the checkpoint that proves the answer" "ask for an earlier time, or leave it out for the newest version",
    Unknown NotFound "did.unknown" "the DID is on the ledger, or its inception is shown" "send the inception of an unanchored DID",
    VersionUnknown NotFound "did.version_unknown" "the DID has had the version" "ask for one up to that of the newest document",
    VersionUnproved FeatureNotSupported "did.version_unproved" "a node has kept the proof of the version that is asked for, and of the one that followed it" "give the inception for the first version, or ask a node that has been there since; a version that stood at no slot's end has no proof",
    PartUnknown NotFound "did.part_unknown" "the document has what the DID URL names" "resolve the DID and look at its document",
    Accept RepresentationNotSupported "did.accept" "a representation that is asked for is one that there is of this" "accept application/did-resolution, application/did-url-dereferencing, application/did, or text/uri-list of a service",
    NoVerificationMethod InvalidVerificationMethod "did.no_verification_method" "what is asked for a relationship is a verification method" "name one by its fragment",
    Relationship InvalidRelationship "did.relationship" "the document lists the verification method under the relationship that is asked for" "use another method, or none: a frozen DID authenticates with no key",
}
