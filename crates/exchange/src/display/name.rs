//! Whose name a badge shows, and the name itself (spec/displays.md, rules Y2 and Y13).
//!
//! A person's name comes from their PID, an organisation's from the credential of whoever acts for it.
//! Which of them it is, is in what the person signs, so that nobody passes one off as the other: a
//! company called like a person does not stand for that person, nor the reverse.

use realdid_credential::{ClaimPath, organisation, pid};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::handle::is_han;

/// Whose name it is, at an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The person whose account it is.
    #[default]
    Person,
    /// The organisation whose account it is.
    Organisation,
    /// The organisation behind the person whose account it is: it pays, or decides.
    Backed,
}

impl Kind {
    /// The word in badges, requests and reports.
    pub fn code(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Organisation => "organisation",
            Self::Backed => "backed",
        }
    }

    /// The word where it is signed. A person's name is shown without one, as before there were others;
    /// so each kind has one spelling.
    pub(super) fn word(self) -> Option<&'static str> {
        (self != Self::Person).then(|| self.code())
    }

    /// Reads the member of a badge or of what was signed.
    pub(super) fn of_word(word: Option<&Value>) -> Option<Self> {
        match word {
            None => Some(Self::Person),
            Some(word) => [Self::Organisation, Self::Backed]
                .into_iter()
                .find(|kind| word.as_str() == kind.word()),
        }
    }

    /// Whether it is an organisation's name.
    pub fn is_organisation(self) -> bool {
        self != Self::Person
    }

    /// The type of the credential that the name comes from.
    pub fn vct(self) -> &'static str {
        match self {
            Self::Person => pid::VCT,
            Self::Organisation | Self::Backed => organisation::VCT,
        }
    }

    /// The claims that such a display discloses: the legal name, and nothing else.
    pub fn claims(self) -> &'static [&'static str] {
        match self {
            Self::Person => &["family_name", "given_name"],
            Self::Organisation | Self::Backed => &[organisation::LEGAL_NAME],
        }
    }

    /// The paths of the legal name, in order.
    pub fn paths(self) -> Vec<ClaimPath> {
        let claims = self.claims().iter();
        claims.filter_map(|name| ClaimPath::of(&[name])).collect()
    }
}

/// The name that a badge shows.
#[derive(Clone, PartialEq, Eq)]
pub enum LegalName {
    Person { family: String, given: String },
    Organisation(String),
}

/// A name is shown on pages, never in logs.
impl std::fmt::Debug for LegalName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LegalName")
    }
}

impl LegalName {
    /// As people write it: Han names family first and without a space, others given name first.
    pub fn text(&self) -> String {
        let han = |text: &str| text.chars().all(is_han);
        match self {
            Self::Person { family, given } if han(family) && han(given) => {
                format!("{family}{given}")
            }
            Self::Person { family, given } => format!("{given} {family}"),
            Self::Organisation(name) => name.clone(),
        }
    }

    /// Reads disclosed claims, which are those of the kind and no others.
    pub(super) fn of(kind: Kind, claims: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
        let name = match kind {
            Kind::Person => Self::Person {
                family: text("family_name")?,
                given: text("given_name")?,
            },
            Kind::Organisation | Kind::Backed => {
                let name = text(organisation::LEGAL_NAME)?;
                Self::Organisation(organisation::is_legal_name(&name).then_some(name)?)
            }
        };
        (claims.len() == kind.claims().len()).then_some(name)
    }
}
