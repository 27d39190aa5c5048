//! RealPass as a credential that is shown in a login (spec/login.md, rules A1 to A6): its form in a
//! `vp_token`, what it is bound to, and what of it must be as asked. The scheme itself, and the
//! truth of what is shown, is `realdid-pass`.
//!
//! ```text
//! wallet    binding ─▶ pass::Credential::present ─▶ Envelope::to_string
//! verifier  Shown::read ─▶ Shown::claim ─▶ pass::verify_batch
//! ```
//!
//! A verifier first reads ([`Shown::read`]), which costs no curve arithmetic but decoding, and then
//! verifies, many together where many wait.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realdid_pass::facts::{self, Adult, Assurance, Continuity, Kind, Region};
use realdid_pass::{Context, MAX_PRESENTATION_BYTES, Presentation};
use serde_json::{Map, Value};

use crate::path::{ClaimPath, PathElement};
use crate::refusal::refusals;

/// The format's name in queries and in issuer metadata.
pub const FORMAT: &str = "rdid_realpass";
/// Under which name its facts stand in registrations, clients' claims and userinfo.
pub const CLAIM: &str = "realpass";
/// The longest presentation as text, in bytes: the issuer in hex, a dot, base64url.
pub const MAX_TEXT_BYTES: usize = 64 + 1 + MAX_PRESENTATION_BYTES.div_ceil(3) * 4;

refusals! {
    /// Why a RealPass that was shown is refused before its proof is verified.
    RealPassError
    Form Holder "realpass.form" "a RealPass is shown as the issuer's id in hex, a dot, and the presentation in base64url" "show it in the form of spec/login.md",
    Presentation Holder "realpass.presentation" "the presentation has the version, lengths and points of spec/realpass.md" "make it with a wallet of this version",
    Epoch Holder "realpass.epoch" "the epoch is shown, and is the current one" "refresh the RealPass, and set this device's clock",
    FactMissing Holder "realpass.fact_missing" "every fact that was asked for is shown" "show what the person consented to, or decline",
    OverDisclosed Holder "realpass.over_disclosed" "nothing is shown but the epoch and what was asked for" "show the asked facts only",
    Value Issuer "realpass.value" "each fact has a value of its closed set" "report the authority: this RealPass marks its holder",
    Proof Holder "realpass.proof" "the proof is for this issuer's key, service, nonce, DID, pseudonym and these facts" "make a new presentation for this very request",
}

/// A fact that can be asked for. The epoch is not among them: it is shown always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fact {
    Adult,
    Region,
    Kind,
    Assurance,
    Continuity,
}

impl Fact {
    pub const ALL: [Fact; 5] = [
        Self::Adult,
        Self::Region,
        Self::Kind,
        Self::Assurance,
        Self::Continuity,
    ];

    /// Its name in queries.
    pub fn name(self) -> &'static str {
        match self {
            Self::Adult => "adult",
            Self::Region => "region",
            Self::Kind => "kind",
            Self::Assurance => "assurance",
            Self::Continuity => "continuity",
        }
    }

    /// What it tells, in words for the person.
    pub fn words(self) -> &'static str {
        match self {
            Self::Adult => "whether you are of age",
            Self::Region => "in which part of the country you are registered",
            Self::Kind => "whether you are a resident or a foreigner",
            Self::Assurance => "how thoroughly you were verified",
            Self::Continuity => "whether your pseudonyms were reset lately",
        }
    }

    /// The index of its message (spec/realpass.md, B18).
    pub fn index(self) -> usize {
        match self {
            Self::Adult => Adult::INDEX,
            Self::Region => Region::INDEX,
            Self::Kind => Kind::INDEX,
            Self::Assurance => Assurance::INDEX,
            Self::Continuity => Continuity::INDEX,
        }
    }

    /// The name of the value that a message has.
    pub fn value_name(self, message: &[u8]) -> Option<&'static str> {
        match self {
            Self::Adult => Adult::from_message(message).map(Adult::name),
            Self::Region => Region::from_message(message).map(Region::name),
            Self::Kind => Kind::from_message(message).map(Kind::name),
            Self::Assurance => Assurance::from_message(message).map(Assurance::name),
            Self::Continuity => Continuity::from_message(message).map(Continuity::name),
        }
        .ok()
    }

    /// From the path of a query for a RealPass, such as `["adult"]`.
    pub fn of_path(path: &ClaimPath) -> Option<Self> {
        match path.elements() {
            [PathElement::Name(name)] => Self::ALL.into_iter().find(|fact| fact.name() == name),
            _ => None,
        }
    }

    /// From the path by which registrations name it, such as `["realpass", "adult"]`.
    pub fn of_claim(path: &ClaimPath) -> Option<Self> {
        match path.elements() {
            [PathElement::Name(first), PathElement::Name(name)] if first == CLAIM => {
                Self::ALL.into_iter().find(|fact| fact.name() == name)
            }
            _ => None,
        }
    }

    /// The path by which registrations name it.
    pub fn claim(self) -> Option<ClaimPath> {
        ClaimPath::of(&[CLAIM, self.name()])
    }
}

/// What a presentation is bound to (spec/realpass.md, B15): the nonce and audience of the request,
/// and the DID that is shown beside it; an empty one where none is. Each part follows its length in 4
/// bytes, big-endian, so that no two requests give the same bytes.
pub fn binding(nonce: &str, audience: &str, did: Option<&str>) -> Vec<u8> {
    let mut out = b"rdid/1/realpass-login\0".to_vec();
    for part in [nonce, audience, did.unwrap_or_default()] {
        // Requests bound each part to some kilobytes.
        out.extend((part.len() as u32).to_be_bytes());
        out.extend(part.as_bytes());
    }
    out
}

/// A presentation with the issuer under whose key it is to be verified, as it stands in a
/// `vp_token`: `issuer id in hex "." presentation in base64url`.
#[derive(Clone)]
pub struct Envelope {
    pub issuer: [u8; 32],
    pub presentation: Presentation,
}

impl Envelope {
    /// Reads the text form. Nothing in it is verified.
    pub fn parse(text: &str) -> Result<Self, RealPassError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(RealPassError::Form);
        }
        let (issuer, presentation) = text.split_once('.').ok_or(RealPassError::Form)?;
        let issuer = issuer_of(issuer).ok_or(RealPassError::Form)?;
        let bytes = URL_SAFE_NO_PAD
            .decode(presentation)
            .map_err(|_| RealPassError::Form)?;
        let presentation =
            Presentation::from_bytes(&bytes).map_err(|_| RealPassError::Presentation)?;
        Ok(Self {
            issuer,
            presentation,
        })
    }
}

/// 64 lower-case hex digits.
fn issuer_of(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut id = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in id.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(id)
}

impl fmt::Display for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.issuer {
            write!(f, "{byte:02x}")?;
        }
        let presentation = URL_SAFE_NO_PAD.encode(self.presentation.to_bytes());
        write!(f, ".{presentation}")
    }
}

/// A presentation that shows what was asked for, and is not verified: everything in it is a claim.
#[derive(Clone)]
pub struct Shown {
    pub issuer: [u8; 32],
    pub epoch: u64,
    facts: Vec<(Fact, &'static str)>,
    presentation: Presentation,
}

impl Shown {
    /// Reads a presentation and holds what it shows against what was asked: the epoch and these
    /// facts, no more and no less, each with a value of its set.
    pub fn read(text: &str, asked: &[Fact]) -> Result<Self, RealPassError> {
        let Envelope {
            issuer,
            presentation,
        } = Envelope::parse(text)?;
        let epoch = facts::shown_epoch(presentation.claimed()).map_err(|_| RealPassError::Epoch)?;
        let mut shown = Vec::new();
        for (index, message) in presentation.claimed().iter().skip(1) {
            let fact = asked
                .iter()
                .find(|fact| fact.index() == *index)
                .ok_or(RealPassError::OverDisclosed)?;
            let value = fact.value_name(message).ok_or(RealPassError::Value)?;
            shown.push((*fact, value));
        }
        let missing = |fact: &&Fact| !shown.iter().any(|(known, _)| known == *fact);
        if asked.iter().any(|fact| missing(&fact)) {
            return Err(RealPassError::FactMissing);
        }
        Ok(Self {
            issuer,
            epoch,
            facts: shown,
            presentation,
        })
    }

    /// What verifying it needs, alone or with others under the same key.
    pub fn claim<'a>(&'a self, context: &'a Context, binding: &'a [u8]) -> realdid_pass::Claim<'a> {
        realdid_pass::Claim {
            presentation: &self.presentation,
            context,
            binding,
        }
    }

    /// The facts by their names, as a service gets them.
    pub fn facts(&self) -> Map<String, Value> {
        self.facts
            .iter()
            .map(|(fact, value)| (fact.name().to_owned(), Value::from(*value)))
            .collect()
    }
}

/// What is shown of a person must not reach a log.
impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shown({} facts)", self.facts.len())
    }
}

#[cfg(test)]
#[path = "realpass_tests.rs"]
mod tests;
