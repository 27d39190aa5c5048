//! Requests of verifiers that are not registered on the ledger and name themselves by a certificate
//! (OpenID4VP 1.0 §5.9.3; HAIP 1.0 §5; spec/login.md, rule V17).
//!
//! The client id is `x509_san_dns:` with a DNS name of the certificate, or `x509_hash:` with the
//! certificate's SHA-256. An authority that the person trusts vouches for who it is.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use realdid_credential::x509::{self, Certificate, X509Error};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use url::Host;

use super::request::{Body, CheckedRequest, Parts};
use super::stranger::{StrangersRequest, Vouched};
use super::{RequestRefused, WalletLink, X509_HASH_PREFIX};

/// Before a DNS name of the certificate.
pub const SAN_DNS_PREFIX: &str = "x509_san_dns:";

/// A request that somebody signed who names themselves by a certificate. Nothing in it is verified.
#[derive(Debug, Clone)]
pub struct CertifiedRequest {
    request: StrangersRequest,
    name: Name,
    /// DER, leaf first.
    chain: Vec<Vec<u8>>,
}

/// By what the client id names the certificate.
#[derive(Debug, Clone)]
enum Name {
    Dns(String),
    Hash([u8; 32]),
}

impl CertifiedRequest {
    /// Whether a client id is of this kind.
    pub(super) fn is_named_so(client_id: &str) -> bool {
        client_id.starts_with(SAN_DNS_PREFIX) || client_id.starts_with(X509_HASH_PREFIX)
    }

    pub(super) fn of(body: Body, parts: &Parts) -> Result<Self, RequestRefused> {
        let name = Name::parse(&body.client_id).ok_or(RequestRefused::CertificateName)?;
        let chain = parts.header.get("x5c").and_then(Value::as_array);
        let chain = chain.filter(|chain| (1..=x509::MAX_CHAIN).contains(&chain.len()));
        let der = |text: &Value| STANDARD.decode(text.as_str()?).ok();
        let chain = chain.and_then(|chain| chain.iter().map(der).collect());
        Ok(Self {
            name,
            chain: chain.ok_or(RequestRefused::CertificateChain)?,
            request: StrangersRequest::of(body, parts)?,
        })
    }

    /// What the client id was, for a link that names none.
    pub fn client_id(&self) -> &str {
        &self.request.body.client_id
    }

    /// Holds the request against `anchors`, the authorities that the person trusts for this.
    pub fn check(
        self,
        link: &WalletLink,
        anchors: &[Certificate],
        now_s: u64,
        wallet_nonce: Option<&str>,
    ) -> Result<CheckedRequest, RequestRefused> {
        if anchors.is_empty() {
            return Err(RequestRefused::NoAuthority);
        }
        let verified = x509::verify_chain_to(&self.chain, anchors, now_s);
        let (leaf, anchor) = verified.map_err(|error| match error {
            X509Error::Time => RequestRefused::CertificateTime,
            _ => RequestRefused::CertificateChain,
        })?;
        if leaf.is_authority() {
            return Err(RequestRefused::CertificateChain);
        }
        let own = match &self.name {
            Name::Dns(name) => leaf.dns.iter().any(|dns| dns.eq_ignore_ascii_case(name)),
            Name::Hash(hash) => {
                let digest = self.chain.first().map(Sha256::digest);
                digest.is_some_and(|digest| digest[..] == hash[..])
            }
        };
        if !own {
            return Err(RequestRefused::CertificateName);
        }
        let by = Vouched {
            key: &leaf.key,
            name: leaf.subject_name(),
            hosts: leaf.dns.iter().map(|name| printable(name)).collect(),
            authority: anchor.subject_name().unwrap_or_default(),
            // §5.9.3: nobody vouches for another host than the one that is named.
            only_to: match &self.name {
                Name::Dns(name) => Some(name),
                Name::Hash(_) => None,
            },
        };
        self.request.check(by, link, now_s, wallet_nonce)
    }
}

impl Name {
    fn parse(client_id: &str) -> Option<Self> {
        if let Some(name) = client_id.strip_prefix(SAN_DNS_PREFIX) {
            // Nothing that a URL could read as another host, and no pattern.
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
            let is_dns = matches!(Host::parse(name), Ok(Host::Domain(_)));
            let bounded = (1..=253).contains(&name.len()) && name.bytes().all(plain);
            return (is_dns && bounded).then(|| Self::Dns(name.to_owned()));
        }
        let hash = client_id.strip_prefix(X509_HASH_PREFIX)?;
        let hash = URL_SAFE_NO_PAD.decode(hash).ok()?;
        hash.try_into().ok().map(Self::Hash)
    }
}

fn printable(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_graphic()).collect()
}

#[cfg(test)]
#[path = "certified_tests.rs"]
mod tests;
