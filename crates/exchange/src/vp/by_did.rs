//! Requests of verifiers that are not registered on the ledger and name themselves by a DID (OpenID4VP 1.0
//! §5.9.3; spec/login.md, rule V25).
//!
//! The client id is `decentralized_identifier:` and the DID, and the header's `kid` the DID URL of the key. The
//! person trusts the DID itself, so nothing of it is resolved before that. Of the methods `jwk` and `key` the DID
//! is the key; of the method `web` the document stands at the DID's host, over https.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realdid_credential::jose::{Jwk, VerifyingKey};
use serde_json::Value;
use url::Url;

use super::request::{Body, CheckedRequest, Parts};
use super::stranger::{StrangersRequest, Vouched};
use super::{DID_PREFIX, MAX_TEXT_BYTES, RequestRefused, WalletLink};

/// The longest document of a DID that is read, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 64 * 1024;

/// What stands before a key in a multibase text, as a varint of the multicodec table.
const P256_CODE: [u8; 2] = [0x80, 0x24];
const ED25519_CODE: [u8; 2] = [0xed, 0x01];

/// A request that somebody signed who names themselves by a DID. Nothing in it is verified, and nobody has said
/// that the DID is one to trust.
#[derive(Debug, Clone)]
pub struct DidRequest {
    request: StrangersRequest,
    did: VerifierDid,
    /// The DID URL of the key.
    key_id: String,
}

/// The same of a DID that the person trusts.
#[derive(Debug, Clone)]
pub struct TrustedDidRequest(DidRequest);

/// A DID of a method that can be read here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierDid {
    text: String,
    place: Place,
}

/// Where the keys of a DID are.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// In the DID: the fragment of the one key's DID URL, and the key.
    Own { fragment: String, key: VerifyingKey },
    /// In a document at this address.
    Web(Url),
}

impl DidRequest {
    /// Whether a client id is of this kind.
    pub(super) fn is_named_so(client_id: &str) -> bool {
        client_id.starts_with(DID_PREFIX)
    }

    pub(super) fn of(body: Body, parts: &Parts) -> Result<Self, RequestRefused> {
        let did = body.client_id.strip_prefix(DID_PREFIX);
        let did = did.and_then(VerifierDid::parse);
        let did = did.ok_or(RequestRefused::Did)?;
        let key_id = parts.header.get("kid").and_then(Value::as_str);
        let key_id = key_id.filter(|id| id.len() <= MAX_TEXT_BYTES);
        Ok(Self {
            did,
            key_id: key_id.ok_or(RequestRefused::DidKey)?.to_owned(),
            request: StrangersRequest::of(body, parts)?,
        })
    }

    /// What the client id was, for a link that names none.
    pub fn client_id(&self) -> &str {
        &self.request.body.client_id
    }

    /// Holds the DID against those that the person trusts.
    pub fn trusted(self, dids: &[VerifierDid]) -> Result<TrustedDidRequest, RequestRefused> {
        match dids.contains(&self.did) {
            true => Ok(TrustedDidRequest(self)),
            false => Err(RequestRefused::DidUntrusted),
        }
    }
}

impl TrustedDidRequest {
    /// Where the DID's document is to be fetched, where it is not in the DID.
    pub fn document_url(&self) -> Option<&Url> {
        match &self.0.did.place {
            Place::Own { .. } => None,
            Place::Web(url) => Some(url),
        }
    }

    /// Holds the request against the DID's key. `document` is what stands at [`Self::document_url`].
    pub fn check(
        self,
        document: Option<&[u8]>,
        link: &WalletLink,
        now_s: u64,
        wallet_nonce: Option<&str>,
    ) -> Result<CheckedRequest, RequestRefused> {
        let Self(DidRequest {
            request,
            did,
            key_id,
        }) = self;
        let key = did.key(&key_id, document).ok_or(RequestRefused::DidKey)?;
        let hosts: Vec<String> = match &did.place {
            Place::Own { .. } => vec![],
            Place::Web(url) => url.host_str().map(str::to_owned).into_iter().collect(),
        };
        let by = Vouched {
            key: &key,
            name: hosts.first().cloned().or_else(|| Some(did.text.clone())),
            hosts,
            authority: did.text.clone(),
            only_to: None,
        };
        request.check(by, link, now_s, wallet_nonce)
    }
}

impl VerifierDid {
    /// Reads a DID of the method `web`, `jwk` or `key`.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-:%".contains(&b);
        if text.len() > MAX_TEXT_BYTES || !text.bytes().all(plain) {
            return None;
        }
        let (method, rest) = text.strip_prefix("did:")?.split_once(':')?;
        let place = match method {
            "jwk" => Place::Own {
                fragment: "0".to_owned(),
                key: jwk(&serde_json::from_slice(&URL_SAFE_NO_PAD.decode(rest).ok()?).ok()?)?,
            },
            "key" => Place::Own {
                fragment: rest.to_owned(),
                key: multikey(rest)?,
            },
            "web" => Place::Web(web_address(rest)?),
            _ => return None,
        };
        Some(Self {
            text: text.to_owned(),
            place,
        })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The key that has this DID URL; `document` is that of a DID which is not its own document.
    pub fn key(&self, key_id: &str, document: Option<&[u8]>) -> Option<VerifyingKey> {
        let fragment = key_id.strip_prefix(&self.text)?.strip_prefix('#')?;
        match &self.place {
            Place::Own { fragment: own, key } => (fragment == own).then(|| key.clone()),
            Place::Web(_) => {
                let document = document.filter(|bytes| bytes.len() <= MAX_DOCUMENT_BYTES)?;
                let document = serde_json::from_slice(document).ok()?;
                key_of(&document, &self.text, fragment)
            }
        }
    }
}

/// Where the document of a `did:web` is: at its path, or at the well-known one of its host. Over plain http only
/// on this device.
fn web_address(rest: &str) -> Option<Url> {
    let mut parts = rest.split(':');
    let host = parts.next()?;
    // The port's colon is the one character that is written so.
    let (name, port) = match host.split_once("%3A").or_else(|| host.split_once("%3a")) {
        Some((name, port)) => (name, Some(port.parse::<u16>().ok()?)),
        None => (host, None),
    };
    let path: Vec<&str> = parts.collect();
    let ordinary = |part: &str| !part.is_empty() && !part.contains('%') && !part.starts_with('.');
    if name.contains('%') || !path.iter().all(|part| ordinary(part)) {
        return None;
    }
    let scheme = if name == "localhost" { "http" } else { "https" };
    let port = port.map_or(String::new(), |port| format!(":{port}"));
    let path = match path.is_empty() {
        true => ".well-known".to_owned(),
        false => path.join("/"),
    };
    let url = Url::parse(&format!("{scheme}://{name}{port}/{path}/did.json")).ok()?;
    // No address of a machine: a DID names a host (did:web §3.1).
    match url.host()? {
        url::Host::Domain(domain) if domain == name => Some(url),
        _ => None,
    }
}

/// The key of a document that this DID has by this fragment, to sign as itself.
fn key_of(document: &Value, did: &str, fragment: &str) -> Option<VerifyingKey> {
    let is_it = |id: &str| {
        let rest = id.strip_prefix(did).unwrap_or(id);
        rest.strip_prefix('#') == Some(fragment)
    };
    if document.get("id")?.as_str()? != did {
        return None;
    }
    let list = |name: &str| document.get(name).and_then(Value::as_array);
    let named = |method: &&Value| {
        let id = method.get("id").and_then(Value::as_str);
        id.is_some_and(is_it)
    };
    let uses = ["authentication", "assertionMethod"];
    let mut entries = uses.into_iter().filter_map(list).flatten();
    // By reference, or as it is.
    let method = entries.find_map(|entry| match entry.as_str() {
        Some(id) if is_it(id) => list("verificationMethod")?.iter().find(named),
        Some(_) => None,
        None => Some(entry).filter(named),
    })?;
    // Somebody else's key does not speak for this DID.
    if method.get("controller")?.as_str()? != did {
        return None;
    }
    match (method.get("publicKeyJwk"), method.get("publicKeyMultibase")) {
        (Some(key), None) => jwk(key),
        (None, Some(key)) => multikey(key.as_str()?),
        _ => None,
    }
}

fn jwk(value: &Value) -> Option<VerifyingKey> {
    Jwk::parse(value).ok().map(|key| key.0)
}

/// A key in base58 after its code in the multicodec table: P-256, compressed, or Ed25519.
fn multikey(text: &str) -> Option<VerifyingKey> {
    let base58 = text.strip_prefix('z').filter(|text| text.len() <= 64)?;
    let bytes = bs58::decode(base58).into_vec().ok()?;
    let (code, key) = bytes.split_first_chunk::<2>()?;
    match *code {
        P256_CODE if key.len() == 33 => VerifyingKey::p256(key).ok(),
        ED25519_CODE => VerifyingKey::ed25519(key.try_into().ok()?).ok(),
        _ => None,
    }
}

#[cfg(test)]
#[path = "by_did_tests.rs"]
mod tests;
