//! Who is behind a profile: a person, an organisation, or both.

use serde::{Deserialize, Serialize};

/// Who is behind a profile, by the platform's own books: here by what its person says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    #[default]
    Person,
    Organisation,
    /// A person with an organisation behind them.
    Backed,
}

impl Kind {
    /// In the words of the profile's page; nothing of an ordinary person.
    pub fn words(self) -> &'static str {
        match self {
            Self::Person => "",
            Self::Organisation => "run by an organisation",
            Self::Backed => "backed by an organisation",
        }
    }

    /// Whose name is shown when one is, in the words of who is asked.
    pub fn whose(self) -> &'static str {
        match self {
            Self::Person => "your name",
            Self::Organisation => "your organisation's name",
            Self::Backed => "the name of the organisation behind you",
        }
    }
}
