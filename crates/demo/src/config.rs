//! What makes one demo service differ from another.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use realdid_sign_in::SignInConfig;
use serde::{Deserialize, Serialize};

/// The configuration of one demo service; the sandbox registration at the gate gives the client id
/// and secret.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DemoConfig {
    pub listen: SocketAddr,
    /// How browsers reach this service; `/callback` below it is the redirect URI.
    pub public_url: String,
    pub name: String,
    pub tagline: String,
    pub theme: Theme,
    /// The OpenID Connect issuer, exactly as its discovery document says it.
    pub issuer: String,
    pub client_id: String,
    pub client_secret: String,
    /// Claims asked for beside `sub` (OpenID Connect Core §5.5); usually none.
    #[serde(default)]
    pub claims: Vec<String>,
    /// Where a platform keeps its profiles; in memory alone where this is left out.
    #[serde(default)]
    pub data: Option<PathBuf>,
}

/// Colours and sample content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Theme {
    Forum,
    Market,
    /// Profiles with followers, and names where many follow.
    Stage,
}

impl Theme {
    /// Name and tagline.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Forum => (
                "Harbour Forum",
                "Slow talk about boats, tides and the people who know both.",
            ),
            Self::Market => (
                "Night Market",
                "Lanterns, noodles and second-hand radios, until two in the morning.",
            ),
            Self::Stage => ("Open Stage", "Say it to ten people or to ten million."),
        }
    }
}

impl DemoConfig {
    pub(crate) fn sign_in(&self) -> SignInConfig {
        SignInConfig {
            public_url: self.public_url.clone(),
            issuer: self.issuer.clone(),
            client_id: self.client_id.clone(),
            client_secret: self.client_secret.clone(),
            claims: self.claims.clone(),
        }
    }

    /// A service with the name and the look of its theme.
    pub fn of(
        theme: Theme,
        listen: SocketAddr,
        issuer: String,
        client_id: String,
        client_secret: String,
    ) -> Self {
        let (name, tagline) = theme.words();
        Self {
            listen,
            public_url: format!("http://{listen}"),
            name: name.to_owned(),
            tagline: tagline.to_owned(),
            theme,
            issuer,
            client_id,
            client_secret,
            claims: Vec::new(),
            data: None,
        }
    }
}

/// Without the secret.
impl fmt::Debug for DemoConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DemoConfig")
            .field("listen", &self.listen)
            .field("public_url", &self.public_url)
            .field("name", &self.name)
            .field("issuer", &self.issuer)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}
