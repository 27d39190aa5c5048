//! As whom wallets are asked that do not read the ledger (spec/login.md, V22 to V24).
//!
//! Such a wallet trusts roots or DIDs, not registrations: whoever issued the certificate vouches for who asks,
//! or whoever controls the DID does. It is asked for a PID alone, since it has neither a RealPass nor a DID of
//! ours.

use std::fs;
use std::path::{Path, PathBuf};

use p256::SecretKey;
use p256::pkcs8::DecodePrivateKey as _;
use realdid_credential::jose::{Jwk, SigningKey};
use realdid_credential::x509::{Certificate, MAX_CHAIN};
use realdid_exchange::vp::Signer;
use realdid_serve::TlsFiles;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;
use zeroize::Zeroizing;

use crate::GateError;

/// The longest DID URL, in bytes.
const MAX_DID_URL_BYTES: usize = 512;

/// By what the client id names a certificate (OpenID4VP 1.0 §5.9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum AccessName {
    /// By its hash, as HAIP 1.0 asks.
    #[default]
    #[serde(rename = "x509_hash")]
    Hash,
    /// By the host of the public URL, which must be among its names.
    #[serde(rename = "x509_san_dns")]
    Dns,
}

/// A DID's key in the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessDid {
    /// The DID URL of the verification method.
    pub id: String,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// A certificate that requests are signed under.
pub(crate) struct Certified {
    /// DER, leaf first.
    chain: Vec<Vec<u8>>,
    /// The leaf's DNS name, where the client id has that.
    host: Option<String>,
    pub key: SigningKey,
}

impl Certified {
    /// Reads both files, and checks that they belong together and may sign in this name.
    pub fn open(files: &TlsFiles, by: AccessName, public_url: &str) -> Result<Self, GateError> {
        let refused = |path: &Path| GateError::Access {
            path: path.to_owned(),
        };
        let chain = files.chain().map_err(|_| refused(&files.cert))?;
        let key = signing_key(&files.key).ok_or_else(|| refused(&files.key))?;
        let leaf = chain.first().and_then(|der| Certificate::parse(der).ok());
        let host = match by {
            AccessName::Hash => None,
            AccessName::Dns => Some(host_of(public_url).ok_or_else(|| refused(&files.cert))?),
        };
        let fits = leaf.is_some_and(|leaf| {
            let is_named =
                |host: &String| leaf.dns.iter().any(|dns| dns.eq_ignore_ascii_case(host));
            leaf.key == key.verifying_key() && leaf.may_sign() && host.iter().all(is_named)
        });
        let root_is_out = chain
            .iter()
            .all(|der| Certificate::parse(der).is_ok_and(|one| !one.is_self_signed()));
        if !fits || !root_is_out || chain.len() > MAX_CHAIN {
            return Err(refused(&files.cert));
        }
        Ok(Self { chain, host, key })
    }

    /// As whom it signs.
    pub fn signer(&self) -> Signer<'_> {
        match &self.host {
            Some(host) => Signer::Host(host, &self.chain),
            None => Signer::Certificate(&self.chain),
        }
    }
}

/// A DID that requests are signed by.
pub(crate) struct ByDid {
    url: String,
    pub key: SigningKey,
}

impl ByDid {
    /// Reads the key, and checks the form of the name.
    pub fn open(config: &AccessDid) -> Result<Self, GateError> {
        let key = signing_key(&config.key).ok_or_else(|| GateError::Access {
            path: config.key.clone(),
        })?;
        let url = &config.id;
        let (did, fragment) = url.split_once('#').unwrap_or_default();
        let is_did = did.strip_prefix("did:").is_some_and(|rest| {
            let mut parts = rest.splitn(2, ':');
            parts.all(|part| !part.is_empty()) && rest.contains(':')
        });
        let plain = url.bytes().all(|b| b.is_ascii_graphic());
        if !is_did || fragment.is_empty() || !plain || url.len() > MAX_DID_URL_BYTES {
            return Err(GateError::AccessDid);
        }
        Ok(Self {
            url: url.clone(),
            key,
        })
    }

    /// As whom it signs.
    pub fn signer(&self) -> Signer<'_> {
        Signer::Did(&self.url)
    }

    /// The DID's document, where the DID is of the method `web` and stands at this public URL.
    pub fn document(&self, public_url: &str) -> Option<Value> {
        let url = Url::parse(public_url).ok()?;
        let host = url.host_str()?;
        let own = match url.port() {
            Some(port) => format!("did:web:{host}%3A{port}"),
            None => format!("did:web:{host}"),
        };
        let (did, _) = self.url.split_once('#')?;
        let at_root = url.path() == "/";
        (did == own && at_root).then(|| {
            json!({
                "@context": [
                    "https://www.w3.org/ns/did/v1",
                    "https://w3id.org/security/suites/jws-2020/v1",
                ],
                "id": did,
                "verificationMethod": [{
                    "id": self.url,
                    "type": "JsonWebKey2020",
                    "controller": did,
                    "publicKeyJwk": Jwk(self.key.verifying_key()).to_value(),
                }],
                "authentication": [self.url],
                "assertionMethod": [self.url],
            })
        })
    }
}

/// A P-256 key in one of the two forms in which the usual programs write it.
fn signing_key(path: &Path) -> Option<SigningKey> {
    let pem = fs::read_to_string(path).map(Zeroizing::new).ok()?;
    let secret = SecretKey::from_pkcs8_pem(&pem).ok();
    let secret = secret.or_else(|| SecretKey::from_sec1_pem(&pem).ok())?;
    let secret = Zeroizing::new(<[u8; 32]>::from(secret.to_bytes()));
    SigningKey::p256(&secret).ok()
}

/// The host of a URL, where that is a DNS name.
fn host_of(url: &str) -> Option<String> {
    match Url::parse(url).ok()?.host()? {
        url::Host::Domain(name) => Some(name.to_owned()),
        _ => None,
    }
}
