//! What holds of every request of a verifier that is not registered, by whatever it names itself
//! (spec/login.md, rules V18 to V21).
//!
//! Somebody whom the person trusts vouches for who it is, and nobody for what it may ask: no purpose and no
//! claim is registered. So each claim that it asks for, by DCQL in full, is one that the person allows by name;
//! and it never gets a RealPass or a DID, whose point is that only registered services see them, nor learns for
//! which organisation somebody acts.

use realdid_core::hash::Hash32;
use realdid_credential::dcql::{CredentialQuery, DcqlQuery};
use realdid_credential::jose::VerifyingKey;
use realdid_credential::{jose, mdoc, organisation, sd_jwt};
use sha2::{Digest as _, Sha256};
use url::{Host, Url};

use super::request::{Asked, Body, CheckedRequest, Parts};
use super::{REQUEST_TYP, RequestRefused, WALLET_AUDIENCE, WalletLink};

/// Who asks that is not registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// What it is called by whoever vouches for it.
    pub name: String,
    /// The hosts that are its own by the same word.
    pub hosts: Vec<String>,
    /// Whose word that is: an authority, or a DID that the person chose.
    pub authority: String,
    /// What it asks for.
    pub query: DcqlQuery,
}

/// Such a request that was taken apart. Nothing in it is verified.
#[derive(Debug, Clone)]
pub(super) struct StrangersRequest {
    pub(super) body: Body,
    query: DcqlQuery,
    /// Whether it asks for more than a presentation.
    transacts: bool,
}

/// Who made a request, as somebody whom the person trusts says.
pub(super) struct Vouched<'a> {
    pub(super) key: &'a VerifyingKey,
    /// What it is called; without a name by the host that the answer goes to.
    pub(super) name: Option<String>,
    pub(super) hosts: Vec<String>,
    pub(super) authority: String,
    /// The only host that an answer may go to, where there is one.
    pub(super) only_to: Option<&'a str>,
}

impl StrangersRequest {
    pub(super) fn of(body: Body, parts: &Parts) -> Result<Self, RequestRefused> {
        Ok(Self {
            query: DcqlQuery::parse(parts.query()?).map_err(|_| RequestRefused::Query)?,
            transacts: parts.payload.contains_key("transaction_data"),
            body,
        })
    }

    /// Holds the request against who made it.
    pub(super) fn check(
        self,
        by: Vouched<'_>,
        link: &WalletLink,
        now_s: u64,
        wallet_nonce: Option<&str>,
    ) -> Result<CheckedRequest, RequestRefused> {
        jose::verify_compact(&self.body.compact, by.key, REQUEST_TYP)
            .map_err(|_| RequestRefused::Signature)?;
        // Some verifiers name the address of the request, as its only reader.
        let audience = self.body.audience.as_str();
        if audience != WALLET_AUDIENCE && audience != link.request_uri {
            return Err(RequestRefused::Audience);
        }
        self.body.stands(link, now_s, wallet_nonce)?;
        let uri = &self.body.response_uri;
        let host = uri.host_str().unwrap_or_default();
        let at_home = by.only_to.is_none_or(|own| own.eq_ignore_ascii_case(host));
        if !at_home || !is_private(uri) {
            return Err(RequestRefused::CertifiedUri);
        }
        let open = self.query.credentials.iter().all(is_for_all);
        if !open || self.transacts || self.body.encryption.is_none() {
            return Err(RequestRefused::CertifiedAsk);
        }
        let claims = self.query.requested_paths().cloned().collect();
        let host = by.only_to.unwrap_or(host).to_owned();
        let mut id = Sha256::new();
        id.update(b"rdid/1/certified-verifier\0");
        id.update(&self.body.client_id);
        let stranger = Stranger {
            name: by.name.unwrap_or_else(|| host.clone()),
            hosts: by.hosts,
            authority: by.authority,
            query: self.query,
        };
        Ok(CheckedRequest {
            service_id: Hash32(id.finalize().into()),
            service_name: stranger.name.clone(),
            domains: vec![host],
            stranger: Some(stranger),
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
