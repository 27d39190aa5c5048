//! Requests of verifiers that are not registered on the ledger and name themselves by a certificate
//! (OpenID4VP 1.0 §5.9.3; HAIP 1.0 §5; spec/login.md, rules V17 to V21).
//!
//! The client id is `x509_san_dns:` with a DNS name of the certificate, or `x509_hash:` with the
//! certificate's SHA-256. An authority that the person trusts vouches for who it is, and nobody for
//! what it may ask: no purpose and no claim is registered. So each claim that it asks for, by DCQL in full, is
//! one that the person allows by name; and it never gets a RealPass or a DID, whose point is that only
//! registered services see them, nor learns for which organisation somebody acts.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use realdid_core::hash::Hash32;
use realdid_credential::dcql::{CredentialQuery, DcqlQuery};
use realdid_credential::x509::{self, Certificate, X509Error};
use realdid_credential::{jose, mdoc, organisation, sd_jwt};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use url::{Host, Url};

use super::request::{Asked, Body, CheckedRequest, Parts};
use super::{REQUEST_TYP, RequestRefused, WALLET_AUDIENCE, WalletLink, X509_HASH_PREFIX};

/// Before a DNS name of the certificate.
pub const SAN_DNS_PREFIX: &str = "x509_san_dns:";

/// A request that somebody signed who names themselves by a certificate. Nothing in it is verified.
#[derive(Debug, Clone)]
pub struct CertifiedRequest {
    body: Body,
    name: Name,
    /// DER, leaf first.
    chain: Vec<Vec<u8>>,
    query: DcqlQuery,
    /// Whether it asks for more than a presentation.
    transacts: bool,
}

/// By what the client id names the certificate.
#[derive(Debug, Clone)]
enum Name {
    Dns(String),
    Hash([u8; 32]),
}

/// Who a verified certificate says that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertifiedVerifier {
    /// The organisation in the certificate, or else a name of its host.
    pub name: String,
    /// The hosts that the certificate names.
    pub hosts: Vec<String>,
    /// The authority that vouches for it, as its own certificate calls it.
    pub authority: String,
    /// What it asks for.
    pub query: DcqlQuery,
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
            query: DcqlQuery::parse(parts.query()?).map_err(|_| RequestRefused::Query)?,
            transacts: parts.payload.contains_key("transaction_data"),
            body,
        })
    }

    /// What the client id was, for a link that names none.
    pub fn client_id(&self) -> &str {
        &self.body.client_id
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
        jose::verify_compact(&self.body.compact, &leaf.key, REQUEST_TYP)
            .map_err(|_| RequestRefused::Signature)?;
        // Some verifiers name the address of the request, as its only reader.
        let audience = self.body.audience.as_str();
        if audience != WALLET_AUDIENCE && audience != link.request_uri {
            return Err(RequestRefused::Audience);
        }
        self.body.stands(link, now_s, wallet_nonce)?;
        let uri = &self.body.response_uri;
        let at_home = match &self.name {
            // §5.9.3: nobody vouches for another host than the one that is named.
            Name::Dns(name) => uri.host_str().is_some_and(|h| h.eq_ignore_ascii_case(name)),
            Name::Hash(_) => true,
        };
        if !at_home || !is_private(uri) {
            return Err(RequestRefused::CertifiedUri);
        }
        let open = self.query.credentials.iter().all(is_for_all);
        if !open || self.transacts || self.body.encryption.is_none() {
            return Err(RequestRefused::CertifiedAsk);
        }
        let claims = self.query.requested_paths().cloned().collect();
        let host = match &self.name {
            Name::Dns(name) => name.clone(),
            Name::Hash(_) => uri.host_str().unwrap_or_default().to_owned(),
        };
        let mut id = Sha256::new();
        id.update(b"rdid/1/certified-verifier\0");
        id.update(&self.body.client_id);
        let verifier = CertifiedVerifier {
            name: leaf.subject_name().unwrap_or_else(|| host.clone()),
            hosts: leaf.dns.iter().map(|name| printable(name)).collect(),
            authority: anchor.subject_name().unwrap_or_default(),
            query: self.query,
        };
        Ok(CheckedRequest {
            service_id: Hash32(id.finalize().into()),
            service_name: verifier.name.clone(),
            domains: vec![host],
            certified: Some(verifier),
            ..self.body.checked(Asked::default(), claims)
        })
    }
}

/// Whether anybody may ask for this: for claims by their names, of what is for everybody.
fn is_for_all(asked: &CredentialQuery) -> bool {
    let known = [sd_jwt::FORMAT, mdoc::FORMAT].contains(&asked.format.as_str());
    let of_organisation = asked.vct_values.iter().any(|vct| vct == organisation::VCT);
    known && !of_organisation && !asked.claims.is_empty()
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

/// Over https; over plain http only where no network lies between.
fn is_private(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && loopback)
}

fn printable(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_graphic()).collect()
}

#[cfg(test)]
#[path = "certified_tests.rs"]
mod tests;
