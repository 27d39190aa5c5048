//! The gate's configuration: one annotated TOML file, overridden by `REALDID_GATE_…`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use realdid_core::hash::Hash32;
use realdid_credential::realpass::{self, Fact};
use realdid_exchange::oidc::{Accounts, Client, secret_hash};
use realdid_exchange::registration::{self, Purpose};
use realdid_serve::{ConfigError, RateConfig, TlsFiles, config, files};
use serde::Deserialize;

use crate::GateError;
use crate::access::{AccessDid, AccessName};
use crate::standing::Hearing;

/// Prefix of the environment variables that override the file.
pub const ENV_PREFIX: &str = "REALDID_GATE";

/// What an operator decides. Relative paths are relative to the file's folder.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateConfig {
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// How browsers, wallets and services reach this gate. It is the OpenID Connect issuer, and
    /// its host must be a registered domain.
    pub public_url: Option<String>,
    /// HTTPS with this certificate; without it plain HTTP, for loopback and behind a proxy.
    #[serde(default)]
    pub tls: Option<TlsFiles>,
    #[serde(default)]
    pub supervised: bool,
    /// Keys, and what the gate remembers of the ledger.
    pub dir: PathBuf,
    /// Base URLs of nodes. None of them is trusted.
    pub nodes: Vec<String>,
    /// The network's genesis, from a source that the operator trusts: everything hangs on it.
    pub genesis: PathBuf,
    /// The registrar's JWT.
    pub registration: PathBuf,
    #[serde(default = "default_max_staple_age_s")]
    pub max_staple_age_s: u64,
    #[serde(default = "default_max_lag_slots")]
    pub max_lag_slots: u64,
    /// How long a person may take for a login, in seconds.
    #[serde(default = "default_login_s")]
    pub login_s: u64,
    /// Whether wallets encrypt what they show.
    #[serde(default)]
    pub response_mode: ResponseMode,
    /// The certificate under which wallets that do not read the ledger are asked, where a client has no
    /// accounts.
    #[serde(default)]
    pub access: Option<TlsFiles>,
    /// By what the client id names it.
    #[serde(default)]
    pub access_name: AccessName,
    /// The DID by which such wallets are asked, instead or beside.
    #[serde(default)]
    pub access_did: Option<AccessDid>,
    /// Whether PIDs that live long are taken, whose status lists are fetched from their issuers.
    #[serde(default)]
    pub long_lived: bool,
    /// Where to write down what wallets show, for `realdid wallet unlink-check` alone: it keeps what a
    /// gate otherwise forgets.
    #[serde(default)]
    pub transcript: Option<PathBuf>,
    #[serde(default)]
    pub clients: Vec<ClientConfig>,
    /// Other networks whose people may sign in here, as far as this one recognises them.
    #[serde(default)]
    pub recognised: Vec<OtherNetwork>,
    /// Real names in public, where this platform shows them.
    #[serde(default)]
    pub displays: Option<DisplaysConfig>,
    /// What each source may ask.
    #[serde(default)]
    pub rate: RateConfig,
}

/// Another network, for a light client of its own.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtherNetwork {
    /// Its genesis. What is accepted of it this network's ledger says, of the genesis with this digest.
    pub genesis: PathBuf,
    /// Base URLs of its nodes. None of them is trusted.
    pub nodes: Vec<String>,
}

/// When a name is asked for (docs/displays.md).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisplaysConfig {
    /// The policy, a TOML file of its own.
    pub policy: PathBuf,
}

/// How a wallet answers (OpenID4VP 1.0 §8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum ResponseMode {
    /// In the clear, inside TLS.
    #[serde(rename = "direct_post")]
    DirectPost,
    /// Encrypted to a key of the login, as HAIP 1.0 asks.
    #[default]
    #[serde(rename = "direct_post.jwt")]
    DirectPostJwt,
}

/// A website that signs people in through this gate.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientConfig {
    pub client_id: String,
    /// SHA-256 of the secret in hex.
    pub client_secret_sha256: Option<String>,
    /// The secret itself, for whom a hash is too much trouble.
    pub client_secret: Option<String>,
    pub name: String,
    pub redirect_uris: Vec<String>,
    /// By what the website knows somebody again.
    #[serde(default)]
    pub accounts: Accounts,
    /// Where browsers may go after signing out.
    #[serde(default)]
    pub post_logout_redirect_uris: Vec<String>,
    /// Where the website hears that a login stands no longer.
    pub backchannel_logout_uri: Option<String>,
    /// Whether the lapse of the credential behind a login is told there too.
    #[serde(default)]
    pub logout_on_lapse: bool,
    /// Claims that this website may ask for, `realpass.…` of a RealPass and others of a PID; they
    /// must be registered. A login asks for all of them unless its request names some.
    #[serde(default)]
    pub claims: Vec<String>,
    /// A registered purpose; by default the first one.
    pub purpose: Option<String>,
    /// Requests must be pushed (RFC 9126).
    #[serde(default)]
    pub require_pushed: bool,
}

impl std::fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClientConfig({})", self.client_id)
    }
}

fn default_listen() -> SocketAddr {
    ([127, 0, 0, 1], 20600).into()
}

fn default_max_staple_age_s() -> u64 {
    300
}

fn default_max_lag_slots() -> u64 {
    3
}

fn default_login_s() -> u64 {
    300
}

impl GateConfig {
    /// Reads the file and the environment.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = config::load(path, ENV_PREFIX)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for file in [
            &mut config.dir,
            &mut config.genesis,
            &mut config.registration,
        ]
        .into_iter()
        .chain(&mut config.transcript)
        .chain(config.access_did.iter_mut().map(|did| &mut did.key))
        .chain(config.recognised.iter_mut().map(|other| &mut other.genesis))
        .chain(
            config
                .displays
                .iter_mut()
                .map(|displays| &mut displays.policy),
        ) {
            *file = folder.join(&*file);
        }
        let pairs = config.tls.iter_mut().chain(&mut config.access);
        pairs.for_each(|pair| pair.within(folder));
        Ok(config)
    }
}

impl ClientConfig {
    /// The client as the protocol needs it. `purposes` are the registered ones.
    pub(crate) fn client(&self, purposes: &[Purpose]) -> Result<Client, GateError> {
        let refused = || GateError::Client {
            client_id: self.client_id.clone(),
        };
        let secret_sha256 = match (&self.client_secret_sha256, &self.client_secret) {
            (Some(hash), None) => hash.parse::<Hash32>().map_err(|_| refused())?.0,
            // A short secret could be guessed over HTTP.
            (None, Some(secret)) if secret.len() >= 16 => secret_hash(secret),
            _ => return Err(refused()),
        };
        let client = Client {
            client_id: self.client_id.clone(),
            name: self.name.clone(),
            secret_sha256,
            redirect_uris: self.redirect_uris.clone(),
            post_logout_redirect_uris: self.post_logout_redirect_uris.clone(),
            claims: self.claims.clone(),
            require_pushed: self.require_pushed,
            accounts: self.accounts,
            purpose: self
                .purpose
                .clone()
                .or(purposes.first().map(|purpose| purpose.code().to_owned()))
                .ok_or_else(refused)?,
        };
        client.check().map_err(|_| refused())?;
        let showable = |claim: &String| {
            let Some(path) = registration::claim_path(claim) else {
                return false;
            };
            match Fact::of_claim(&path) {
                // A wallet that knows no RealPass could never show it.
                Some(_) => self.accounts == Accounts::Person,
                None => claim.split('.').next() != Some(realpass::CLAIM),
            }
        };
        // Somebody of whom nothing is known, not even whether they came before, is nobody.
        let something = self.accounts != Accounts::None || !client.claims.is_empty();
        let absolute = |uri: &String| {
            url::Url::parse(uri).is_ok_and(|uri| matches!(uri.scheme(), "http" | "https"))
        };
        if something
            && client.claims.iter().all(showable)
            && self.backchannel_logout_uri.iter().all(absolute)
        {
            Ok(client)
        } else {
            Err(refused())
        }
    }

    /// Where this website hears of logins that ended, if it does.
    pub(crate) fn hearing(&self) -> Option<Hearing> {
        let uri = self.backchannel_logout_uri.clone()?;
        Some(Hearing {
            client_id: self.client_id.clone(),
            uri,
            on_lapse: self.logout_on_lapse,
        })
    }
}

/// What `realdid gate register` and `realdid up` know when they set a gate up.
#[derive(Debug, Clone)]
pub struct GateSetup {
    pub listen: SocketAddr,
    pub public_url: Option<String>,
    pub supervised: bool,
    pub dir: PathBuf,
    pub nodes: Vec<String>,
    pub genesis: PathBuf,
    pub registration: PathBuf,
    pub max_staple_age_s: u64,
    pub max_lag_slots: u64,
    pub clients: Vec<ClientSetup>,
    /// The policy of displays, where the platform shows names.
    pub policy: Option<PathBuf>,
    /// Other networks whose people may sign in.
    pub recognised: Vec<OtherNetwork>,
}

/// A client in a new configuration.
#[derive(Debug, Clone)]
pub struct ClientSetup {
    pub client_id: String,
    /// SHA-256 of the secret ([`realdid_exchange::oidc::secret_hash`]).
    pub client_secret_sha256: [u8; 32],
    pub name: String,
    pub redirect_uris: Vec<String>,
    pub accounts: Accounts,
    pub claims: Vec<String>,
    pub purpose: Option<String>,
}

/// The defaults of [`RateConfig`], explained.
const RATE: &str = r#"
# What each source may ask of this gate, beside the limits on open logins. Above it the answer is 429
# with Retry-After. Your website's own servers redeem everybody's codes: name them as exempt.
# [rate]
# burst = 600                  # requests at once
# per_second = 100.0           # and sustained
# max_sources = 65536          # how many sources are remembered
# The proxies in front, by address or network: of them the forwarding header is believed, and of nobody
# else. Without it every visitor behind a proxy is one source.
# trusted_proxies = ["10.0.0.7"]
# forwarded_by = "x-forwarded-for"     # or "forwarded" (RFC 7239)
# exempt = ["127.0.0.0/8", "::1"]      # who has no limit
"#;

/// The annotated file with these values.
pub fn render_config(setup: &GateSetup) -> String {
    let text = |value: &str| toml_text(value);
    let path = |path: &Path| toml_text(&path.to_string_lossy());
    let list = |values: &[String]| {
        let values: Vec<String> = values.iter().map(|value| toml_text(value)).collect();
        format!("[{}]", values.join(", "))
    };
    let public_url = match &setup.public_url {
        Some(url) => format!("public_url = {}", text(url)),
        None => "# public_url = \"https://login.example.org\"".to_owned(),
    };
    let mut out = format!(
        r#"# RealDID gate: signs people in at your websites. Each key can be overridden by an environment
# variable, as in REALDID_GATE_LISTEN. Relative paths are relative to this file.

# Where to listen: on loopback behind your TLS proxy, or anywhere with a certificate below.
listen = {listen}
# tls = {{ cert = "chain.pem", key = "key.pem" }}
# How browsers, wallets and your websites reach this gate. It is the OpenID Connect issuer that your
# library is pointed at, and its host must be one of the registered domains.
{public_url}
# Stop when the parent process is gone (used by `realdid up`).
supervised = {supervised}

# Keys, and what the gate remembers of the ledger. Back up `sub.key`: without it every person gets
# a new subject at your websites.
dir = {dir}

# Nodes to ask. None is trusted: every answer is checked against the genesis below.
nodes = {nodes}
# The network's genesis. Get it from somewhere you trust, everything hangs on it.
genesis = {genesis}
# Your registration, as `realdid gate register` received it from the registrar.
registration = {registration}

# How old, in seconds, the ledger's word about a DID, an issuer or this service may be. With every
# node down, logins go on for this long and are then refused with light.stale.
max_staple_age_s = {max_staple_age_s}
# How many slots a wallet's proof may lie behind the newest checkpoint that this gate knows.
max_lag_slots = {max_lag_slots}
# How long a person may take for a login, in seconds.
login_s = 300
# Whether wallets encrypt what they show ("direct_post.jwt"), or send it inside TLS ("direct_post").
response_mode = "direct_post.jwt"
# A certificate for signing requests to wallets that do not read this ledger, and its key, both PEM and of
# P-256: the leaf first, without the root. It is used for websites with accounts = "none".
# access = {{ cert = "access.pem", key = "access-key.pem" }}
# What names the certificate to wallets: its hash ("x509_hash"), or the host of public_url ("x509_san_dns").
# access_name = "x509_hash"
# A DID for the same, by the DID URL of its key: for wallets that know DIDs instead of certificates. The document of
# a did:web at this gate's own host is served here.
# access_did = {{ id = "did:web:login.example.org#key-1", key = "did-key.pem" }}
# Whether a PID that lives long is taken too, where a PID is asked for. Its issuer's whole status list is
# fetched and held against the ledger, so such a login needs the issuer or a list that still lives.
# long_lived = false
"#,
        listen = text(&setup.listen.to_string()),
        supervised = setup.supervised,
        dir = path(&setup.dir),
        nodes = list(&setup.nodes),
        genesis = path(&setup.genesis),
        registration = path(&setup.registration),
        max_staple_age_s = setup.max_staple_age_s,
        max_lag_slots = setup.max_lag_slots,
    );
    out.push_str(RATE);
    match &setup.policy {
        Some(policy) => out.push_str(&format!(
            "\n# When an account has to show a real name (docs/displays.md).\n[displays]\npolicy = {}\n",
            path(policy)
        )),
        None => out.push_str(
            "\n# When an account has to show a real name, for platforms (docs/displays.md).\n\
             # [displays]\n# policy = \"policy.toml\"\n",
        ),
    }
    if setup.recognised.is_empty() {
        out.push_str(
            "\n# Other networks whose people may sign in here, as far as this network recognises them.\n\
             # [[recognised]]\n# genesis = \"intl-genesis.cbor\"\n# nodes = [\"https://node.intl.example\"]\n",
        );
    }
    for other in &setup.recognised {
        out.push_str(&format!(
            "\n# Another network whose people may sign in here, as far as this one recognises it.\n\
             [[recognised]]\ngenesis = {}\nnodes = {}\n",
            path(&other.genesis),
            list(&other.nodes),
        ));
    }
    for client in &setup.clients {
        let purpose = match &client.purpose {
            Some(purpose) => format!("purpose = {}", text(purpose)),
            None => "# purpose = \"login\"".to_owned(),
        };
        out.push_str(&format!(
            r#"
# A website that signs people in here.
[[clients]]
client_id = {client_id}
# SHA-256 of the client secret in hex; or client_secret with the secret itself.
client_secret_sha256 = {secret}
# The name that people see.
name = {name}
# Compared character by character.
redirect_uris = {redirect_uris}
# "person": one account a person, by a RealPass; a lost phone or a new identifier changes nothing, and
# nobody gets a second account. "did": one account an identifier, with a copy of the official
# credential; for wallets that know no RealPass. "none": no accounts, the claims below of the official
# credential and a new subject each time; any wallet that holds one can answer. Changing it gives everybody
# a new subject.
accounts = {accounts}
# Where browsers may go after signing out.
# post_logout_redirect_uris = ["https://shop.example.org/"]
# Where your website is told that somebody's login stands no longer, because their identifier was
# frozen or ended (OpenID Connect Back-Channel Logout). With logout_on_lapse also when the
# RealPass or credential behind it has lapsed, each epoch: then a suspended person's session ends too.
# backchannel_logout_uri = "https://shop.example.org/backchannel-logout"
# logout_on_lapse = false
# Whether requests must be pushed beforehand (RFC 9126).
# require_pushed = false
# Claims that a login may ask for: coarse facts of a RealPass, such as realpass.adult ("yes", "no" or
# "unstated"), or claims of the official credential, such as "age_equal_or_over.18". They must be
# registered. Ask for none if you can: then a login discloses nothing but that this is a real
# person. Each login asks for all of them unless its request says which (the parameter `claims`).
claims = {claims}
# Why: one of the registered purposes; the first one if this is left out.
{purpose}
"#,
            client_id = text(&client.client_id),
            secret = text(&Hash32(client.client_secret_sha256).to_string()),
            name = text(&client.name),
            redirect_uris = list(&client.redirect_uris),
            accounts = text(client.accounts.name()),
            claims = list(&client.claims),
        ));
    }
    out
}

/// Writes the annotated file, for its owner's eyes only.
pub fn write_config(path: &Path, setup: &GateSetup) -> Result<(), GateError> {
    Ok(files::write_private(path, render_config(setup).as_bytes())?)
}

/// The annotated file with example values.
pub fn example_config() -> String {
    render_config(&GateSetup {
        listen: default_listen(),
        public_url: Some("http://127.0.0.1:20600".to_owned()),
        supervised: false,
        dir: "gate".into(),
        nodes: vec!["http://127.0.0.1:20400".to_owned()],
        genesis: "genesis.cbor".into(),
        registration: "gate/registration.jwt".into(),
        max_staple_age_s: default_max_staple_age_s(),
        max_lag_slots: default_max_lag_slots(),
        clients: vec![ClientSetup {
            client_id: "shop".to_owned(),
            client_secret_sha256: secret_hash("an example, replace it"),
            name: "Example shop".to_owned(),
            redirect_uris: vec!["http://127.0.0.1:20700/callback".to_owned()],
            accounts: Accounts::Person,
            claims: Vec::new(),
            purpose: None,
        }],
        policy: None,
        recognised: Vec::new(),
    })
}

/// A TOML basic string.
fn toml_text(value: &str) -> String {
    let mut out = String::from("\"");
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_a_valid_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gate.toml");
        std::fs::write(&path, example_config()).unwrap();
        let config = GateConfig::load(&path).unwrap();
        assert_eq!(config.dir, folder.path().join("gate"));
        let client = config.clients[0].client(&[Purpose::Login]).unwrap();
        assert_eq!(client.purpose, "login");
        assert_eq!(client.accounts, Accounts::Person);
        assert_eq!(client.secret_sha256, secret_hash("an example, replace it"));
    }

    #[test]
    fn the_rate_that_the_example_explains_is_the_default() {
        let set = |line: &str| line.starts_with('[') || line.contains(" = ");
        let lines = RATE.lines().filter_map(|line| line.strip_prefix("# "));
        let explained: Vec<&str> = lines.filter(|line| set(line)).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gate.toml");
        let text = example_config().replace(RATE, &format!("\n{}\n", explained.join("\n")));
        std::fs::write(&path, text).unwrap();
        let (read, default) = (GateConfig::load(&path).unwrap().rate, RateConfig::default());
        assert_eq!(
            (read.burst, read.per_second),
            (default.burst, default.per_second)
        );
        assert_eq!(
            (read.max_sources, &read.exempt),
            (default.max_sources, &default.exempt)
        );
        assert_eq!(read.forwarded_by, default.forwarded_by);
        assert_eq!(read.trusted_proxies, ["10.0.0.7".parse().unwrap()]);
    }

    #[test]
    fn a_client_needs_one_good_secret_and_sound_redirects() {
        let good = ClientConfig {
            client_id: "shop".to_owned(),
            client_secret_sha256: None,
            client_secret: Some("0123456789abcdef".to_owned()),
            name: "Shop \"x\"".to_owned(),
            redirect_uris: vec!["https://shop.example/cb".to_owned()],
            accounts: Accounts::Person,
            post_logout_redirect_uris: Vec::new(),
            backchannel_logout_uri: None,
            logout_on_lapse: false,
            claims: Vec::new(),
            purpose: Some("login".to_owned()),
            require_pushed: false,
        };
        assert!(good.client(&[]).is_ok());
        let short = ClientConfig {
            client_secret: Some("short".to_owned()),
            ..good.clone()
        };
        let no_secret = ClientConfig {
            client_secret: None,
            ..good.clone()
        };
        let script = ClientConfig {
            redirect_uris: vec!["javascript:x".to_owned()],
            ..good.clone()
        };
        let fragment = ClientConfig {
            redirect_uris: vec!["https://a.example/#x".to_owned()],
            ..good.clone()
        };
        let logout = ClientConfig {
            backchannel_logout_uri: Some("file:///etc".to_owned()),
            ..good.clone()
        };
        let claims = |accounts, claim: &str| ClientConfig {
            accounts,
            claims: vec![claim.to_owned()],
            ..good.clone()
        };
        let (person, did, none) = (Accounts::Person, Accounts::Did, Accounts::None);
        for (accounts, claim) in [
            (person, "realpass.adult"),
            (person, "birthdate"),
            (did, "sex"),
            (none, "sex"),
        ] {
            assert!(claims(accounts, claim).client(&[]).is_ok(), "{claim}");
        }
        let unnamed = claims(person, "");
        let unknown = claims(person, "realpass.name");
        let whole = claims(person, "realpass");
        let without_pass = claims(did, "realpass.adult");
        let unknowable = claims(none, "realpass.adult");
        let of_nobody = ClientConfig {
            accounts: none,
            ..good.clone()
        };
        for wrong in [
            short,
            no_secret,
            script,
            fragment,
            logout,
            unnamed,
            unknown,
            whole,
            without_pass,
            unknowable,
            of_nobody,
        ] {
            assert_eq!(wrong.client(&[]).unwrap_err().code(), "gate.client");
        }
    }
}
