//! What an operator writes down: one TOML file for an authority, one for a registrar.
//!
//! Both live in the folder that they describe (`DIR/authority.toml`, `DIR/registrar.toml`), beside
//! `keys/` and the database, so that the operator's commands need `--dir DIR` only.

use realdid_exchange::vci::attestation::Providers;
use realdid_serve::{ConfigError, RateConfig, RateLimit, ServeOptions, TlsFiles, config};
use serde::Deserialize;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::certificates;
use crate::keys::KeyFileError;
use crate::register::synthetic::DEFAULT_RESIDENTS;
use crate::store::StoreError;

/// The authority's configuration file in its folder.
pub const AUTHORITY_FILE: &str = "authority.toml";
/// The registrar's configuration file in its folder.
pub const REGISTRAR_FILE: &str = "registrar.toml";
/// Before the names of environment variables that override an authority's file.
pub const AUTHORITY_PREFIX: &str = "REALDID_AUTHORITY";
/// The country of an authority that names none.
pub const DEFAULT_COUNTRY: &str = "CN";
/// Before the names of environment variables that override a registrar's file.
pub const REGISTRAR_PREFIX: &str = "REALDID_REGISTRAR";

/// An authority. [`example_config`] explains every key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorityConfig {
    /// The folder with keys and database; the file's own folder unless it says otherwise.
    #[serde(default)]
    pub dir: PathBuf,
    #[serde(default = "authority_listen")]
    pub listen: SocketAddr,
    #[serde(default)]
    pub public_url: Option<String>,
    /// HTTPS with this certificate; without it plain HTTP, for loopback and behind a proxy.
    #[serde(default)]
    pub tls: Option<TlsFiles>,
    #[serde(default)]
    pub supervised: bool,
    pub nodes: Vec<String>,
    pub genesis: PathBuf,
    #[serde(default = "authority_name")]
    pub name: String,
    #[serde(default = "country")]
    pub country: String,
    #[serde(default)]
    pub register: RegisterConfig,
    /// For whom people may act.
    #[serde(default)]
    pub organisations: OrganisationsConfig,
    /// Whose passports are taken; none without it.
    #[serde(default)]
    pub passports: Option<PassportsConfig>,
    /// Identity providers whose people may enrol.
    #[serde(default)]
    pub upstream: Vec<UpstreamConfig>,
    #[serde(default)]
    pub store: StoreConfig,
    #[serde(default)]
    pub realpass: RealPassConfig,
    #[serde(default)]
    pub batches: BatchConfig,
    /// PIDs that live long; none are issued without it.
    #[serde(default)]
    pub long_lived: Option<LongLivedConfig>,
    #[serde(default)]
    pub attestation: AttestationConfig,
    #[serde(default)]
    pub limits: Limits,
    /// What each source may ask of all routes together.
    #[serde(default)]
    pub rate: RateConfig,
}

/// Whose word for a wallet and its keys counts.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AttestationConfig {
    /// PEM files, each with the root certificate of a wallet provider.
    pub roots: Vec<PathBuf>,
    /// Only wallets that a provider attests get tokens.
    pub required: bool,
}

impl AttestationConfig {
    pub(crate) fn providers(&self) -> Result<Providers, KeyFileError> {
        let roots = self.roots.iter().map(|path| certificates::read_root(path));
        Ok(Providers {
            roots: roots.collect::<Result<_, _>>()?,
        })
    }
}

/// Which database. Without a URL it is SQLite, in the folder.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// `postgres://…`. It may hold a password; then it belongs into a file of its own.
    #[serde(default)]
    pub url: Option<String>,
    /// File with the URL.
    #[serde(default)]
    pub url_file: Option<PathBuf>,
}

/// A URL may hold a password, and what is logged may not.
impl std::fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoreConfig(…)")
    }
}

impl StoreConfig {
    /// The URL of the database server, if there is to be one.
    pub(crate) fn address(&self) -> Result<Option<String>, StoreError> {
        let url = match (&self.url, &self.url_file) {
            (None, None) => return Ok(None),
            (Some(url), None) => url.clone(),
            (None, Some(path)) => {
                let text = std::fs::read_to_string(path).map_err(|_| StoreError::Address)?;
                text.trim().to_owned()
            }
            (Some(_), Some(_)) => return Err(StoreError::Address),
        };
        let known = url.starts_with("postgres://") || url.starts_with("postgresql://");
        known.then_some(Some(url)).ok_or(StoreError::Address)
    }
}

/// What RealPasses say.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RealPassConfig {
    /// Among how many people somebody is with what their RealPass says of them, at least.
    pub min_cohort: u64,
}

impl Default for RealPassConfig {
    fn default() -> Self {
        Self { min_cohort: 1000 }
    }
}

/// How what is issued gets onto the ledger.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BatchConfig {
    /// Into how long stretches of time batches fall, in seconds.
    pub period_s: u64,
    /// How many credentials are in one, at least, while it can wait.
    pub least: u64,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self {
            period_s: 600,
            least: 1000,
        }
    }
}

/// PIDs that live long.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LongLivedConfig {
    /// How many days.
    pub days: u64,
}

/// Which population register.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterConfig {
    /// A register service; the embedded synthetic register where there is none.
    #[serde(default)]
    pub url: Option<String>,
    /// File with the bearer token for it.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// How many residents the synthetic register has.
    #[serde(default = "residents")]
    pub residents: u32,
}

/// Which register of organisations.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrganisationsConfig {
    /// A register service; the embedded synthetic one where there is none and the residents are synthetic.
    #[serde(default)]
    pub url: Option<String>,
    /// File with the bearer token for it.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
}

/// Whom to believe about passports: two folders, read again when their files change.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PassportsConfig {
    /// Certificates of country signing CAs, PEM or DER.
    pub master_list: PathBuf,
    /// Revocation lists that they signed, PEM or DER.
    pub revocation_lists: PathBuf,
}

/// An identity provider.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamConfig {
    /// Its name here: 1 to 32 of a-z, 0-9 and hyphens.
    pub id: String,
    /// Its issuer, character by character.
    pub issuer: String,
    pub client_id: String,
    /// File with the client's secret.
    pub client_secret_file: PathBuf,
    /// How sure one may be of its people: `low` or `substantial`.
    pub assurance: String,
    /// Scopes beside `openid`.
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
}

/// What one person and one source may use.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Anchors sponsored for one person in one epoch.
    pub sponsored_per_person: u64,
    /// Enrolments, and registrations, that one source may ask for at once.
    pub burst: u32,
    /// The same a second, sustained.
    pub per_second: f64,
}

/// A registrar. [`crate::registrar::example_config`] explains every key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistrarConfig {
    /// The folder with keys and database; the file's own folder unless it says otherwise.
    #[serde(default)]
    pub dir: PathBuf,
    #[serde(default = "registrar_listen")]
    pub listen: SocketAddr,
    #[serde(default)]
    pub public_url: Option<String>,
    /// HTTPS with this certificate; without it plain HTTP, for loopback and behind a proxy.
    #[serde(default)]
    pub tls: Option<TlsFiles>,
    #[serde(default)]
    pub supervised: bool,
    pub nodes: Vec<String>,
    pub genesis: PathBuf,
    #[serde(default = "registrar_name")]
    pub name: String,
    /// How long a sandbox registration lasts, in days.
    #[serde(default = "registration_days")]
    pub registration_days: u64,
    #[serde(default)]
    pub limits: Limits,
    /// What each source may ask of all routes together.
    #[serde(default)]
    pub rate: RateConfig,
}

impl AuthorityConfig {
    /// Reads a file, with `REALDID_AUTHORITY_…` overriding it. Relative paths are of its folder.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = config::load(path, AUTHORITY_PREFIX)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        config.dir = within(folder, &config.dir);
        config.genesis = within(folder, &config.genesis);
        config.tls.iter_mut().for_each(|tls| tls.within(folder));
        for root in &mut config.attestation.roots {
            *root = within(folder, root);
        }
        let registers = [
            &mut config.register.token_file,
            &mut config.organisations.token_file,
        ];
        for file in registers.into_iter().flatten() {
            *file = within(folder, file);
        }
        if let Some(file) = &mut config.store.url_file {
            *file = within(folder, file);
        }
        if let Some(passports) = &mut config.passports {
            passports.master_list = within(folder, &passports.master_list);
            passports.revocation_lists = within(folder, &passports.revocation_lists);
        }
        for upstream in &mut config.upstream {
            upstream.client_secret_file = within(folder, &upstream.client_secret_file);
        }
        Ok(config)
    }

    /// Reads `DIR/authority.toml`.
    pub fn load_dir(dir: &Path) -> Result<Self, ConfigError> {
        Self::load(&dir.join(AUTHORITY_FILE))
    }

    /// The URL under which the ledger knows this authority.
    pub(crate) fn issuer_url(&self) -> String {
        match &self.public_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("http://{}", self.listen),
        }
    }

    pub(crate) fn serve_options(&self) -> ServeOptions {
        ServeOptions {
            tls: self.tls.clone(),
            public_url: self.public_url.clone(),
            supervised: self.supervised,
            rate: Some(self.rate.clone()),
            ..ServeOptions::at(self.listen)
        }
    }
}

impl RegistrarConfig {
    /// Reads a file, with `REALDID_REGISTRAR_…` overriding it. Relative paths are of its folder.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = config::load(path, REGISTRAR_PREFIX)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        config.dir = within(folder, &config.dir);
        config.genesis = within(folder, &config.genesis);
        config.tls.iter_mut().for_each(|tls| tls.within(folder));
        Ok(config)
    }

    pub(crate) fn serve_options(&self) -> ServeOptions {
        ServeOptions {
            tls: self.tls.clone(),
            public_url: self.public_url.clone(),
            supervised: self.supervised,
            rate: Some(self.rate.clone()),
            ..ServeOptions::at(self.listen)
        }
    }
}

impl Limits {
    pub(crate) fn rate(&self) -> RateLimit {
        RateLimit {
            burst: self.burst,
            per_second: self.per_second,
            ..RateLimit::default()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sponsored_per_person: 10,
            burst: 60,
            per_second: 10.0,
        }
    }
}

impl Default for RegisterConfig {
    fn default() -> Self {
        Self {
            url: None,
            token_file: None,
            residents: residents(),
        }
    }
}

/// `path` as seen from `folder`, without the dots that would show in every message.
fn within(folder: &Path, path: &Path) -> PathBuf {
    folder.join(path).components().collect()
}

fn authority_listen() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 20410).into()
}

fn registrar_listen() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 20411).into()
}

fn authority_name() -> String {
    "Synthetic Authority".to_owned()
}

fn registrar_name() -> String {
    "Sandbox Registrar".to_owned()
}

fn country() -> String {
    DEFAULT_COUNTRY.to_owned()
}

fn scopes() -> Vec<String> {
    vec!["profile".to_owned()]
}

fn residents() -> u32 {
    DEFAULT_RESIDENTS
}

fn registration_days() -> u64 {
    90
}

/// An authority's configuration file with every key explained.
pub fn example_config() -> &'static str {
    include_str!("../templates/authority.toml")
}
