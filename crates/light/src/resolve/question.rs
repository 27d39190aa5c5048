//! DID URLs and what is asked with them, parsed once (DID 1.1 §3.2, DID Resolution §3).

use super::refusal::{Refused, Why};
use super::version::Version;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::percent_decode_str;
use realdid_core::did::{Did, Inception};
use serde_json::Value;

/// The longest DID URL: an inception fits into it.
pub const MAX_DID_URL_BYTES: usize = 8 * 1024;
/// The most parameters and options of one question.
const MAX_PARAMETERS: usize = 16;
/// Parameters that a DID URL may carry. They may be given as options too.
const PARAMETERS: [&str; 6] = [
    "service",
    "serviceType",
    "relativeRef",
    "versionId",
    "versionTime",
    "inception",
];
/// What may be given as an option alone.
const OPTIONS: [&str; 3] = ["expandRelativeUrls", "noCache", "verificationRelationship"];
/// The relationships of DID 1.1 §5.3. Our documents have the first alone.
const RELATIONSHIPS: [&str; 5] = [
    "authentication",
    "assertionMethod",
    "keyAgreement",
    "capabilityInvocation",
    "capabilityDelegation",
];

/// Parameters or options, by name.
pub type Pairs = Vec<(String, String)>;

/// What somebody asks a resolver.
#[derive(Debug, Clone)]
pub struct Question {
    pub did: Did,
    pub(super) inception: Option<Inception>,
    pub(super) version: Version,
    pub(super) resource: Resource,
    pub(super) fragment: Option<String>,
    pub(super) relationship: Option<&'static str>,
}

/// What a DID URL names, before its fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resource {
    Document,
    Services(Selection),
    /// A path or a parameter that nothing defines.
    Undefined,
}

/// Which services of a document, and where behind their endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Selection {
    pub id: Option<String>,
    pub kind: Option<String>,
    pub relative_ref: Option<String>,
}

/// How an earlier version of a DID is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PastOf {
    /// By its sequence number.
    Seq(u64),
    /// By a time in Unix milliseconds.
    TimeMs(u64),
}

impl Question {
    /// Reads a DID or a DID URL, with options that were given beside it. All that can be wrong with a
    /// question without looking at the ledger is found here, in the order of DID Resolution §4.4.
    pub fn new(text: &str, options: Pairs) -> Result<Self, Refused> {
        let url = DidUrl::parse(text)?;
        let did = url.did()?;
        let mut given = Given::default();
        for (name, value) in options {
            given.take_option(&name, value)?;
        }
        let known_parameters = given.take_query(url.query)?;
        let version = Version::asked(given.take("versionId"), given.take("versionTime"))?;
        let inception = given.take("inception").map(|text| read_inception(&text));
        let selection = Selection {
            id: given.take("service"),
            kind: given.take("serviceType"),
            relative_ref: given.take("relativeRef"),
        };
        let selects = selection.id.is_some() || selection.kind.is_some();
        let resource = match (url.path.is_empty() && known_parameters, selects) {
            (false, _) => Resource::Undefined,
            (true, true) => Resource::Services(selection),
            (true, false) if selection.relative_ref.is_some() => {
                return Err(Why::RelativeRef.into());
            }
            (true, false) => Resource::Document,
        };
        let relationship = given.take("verificationRelationship");
        let relationship = relationship.map(|text| {
            let known = RELATIONSHIPS.into_iter().find(|known| *known == text);
            known.ok_or(Why::Option)
        });
        // Our documents have absolute URLs only, and nothing of ours is cached: both are kept.
        for name in ["expandRelativeUrls", "noCache"] {
            if given
                .take(name)
                .is_some_and(|flag| flag != "true" && flag != "false")
            {
                return Err(Why::Option.into());
            }
        }
        Ok(Self {
            did,
            inception: inception.transpose()?,
            version,
            resource,
            fragment: url.fragment.map(decoded).transpose()?,
            relationship: relationship.transpose()?,
        })
    }

    /// Which earlier version has to be asked for beside the newest state, if one is.
    pub fn past(&self) -> Option<PastOf> {
        match self.version {
            Version::Newest => None,
            Version::Id(id) => Some(PastOf::Seq(id.seq)),
            // Documents say times to the second, so that a second is meant whole.
            Version::Time(second) => Some(PastOf::TimeMs(
                second.saturating_mul(1000).saturating_add(999),
            )),
        }
    }

    /// Whether there are endpoints to answer with.
    pub(super) fn selects_services(&self) -> bool {
        matches!(self.resource, Resource::Services(_))
    }

    /// Whether an address behind an endpoint is asked for.
    pub fn has_relative_ref(&self) -> bool {
        matches!(&self.resource, Resource::Services(selection) if selection.relative_ref.is_some())
    }

    /// Whether a DID is to be resolved, and nothing of its document picked.
    pub fn is_resolution(&self) -> bool {
        self.resource == Resource::Document
            && self.fragment.is_none()
            && self.relationship.is_none()
    }
}

/// The options of a request's query.
pub fn options_of_query(query: Option<&str>) -> Result<Pairs, Refused> {
    pairs(query.unwrap_or_default()).ok_or_else(|| Why::Option.into())
}

/// The options of a request's body: one JSON object of texts and truth values.
pub fn options_of_json(body: &[u8]) -> Result<Pairs, Refused> {
    if body.is_empty() {
        return Ok(Vec::new());
    }
    let refused = || Refused::from(Why::Option);
    let object = match serde_json::from_slice(body) {
        Ok(Value::Object(object)) if object.len() <= MAX_PARAMETERS => object,
        _ => return Err(refused()),
    };
    let read = object.into_iter().map(|(name, value)| match value {
        Value::String(text) => Ok((name, text)),
        Value::Bool(flag) => Ok((name, flag.to_string())),
        _ => Err(refused()),
    });
    read.collect()
}

/// An inception as an option carries it.
pub fn inception_option(bytes: &[u8]) -> (String, String) {
    ("inception".to_owned(), URL_SAFE_NO_PAD.encode(bytes))
}

fn read_inception(text: &str) -> Result<Inception, Refused> {
    let bytes = URL_SAFE_NO_PAD.decode(text);
    let read = bytes.ok().and_then(|bytes| Inception::decode(&bytes).ok());
    read.ok_or_else(|| Why::Inception.into())
}

/// Parameters and options that are known, each at most once.
#[derive(Default)]
struct Given(Pairs);

impl Given {
    fn take_option(&mut self, name: &str, value: String) -> Result<(), Refused> {
        if !PARAMETERS.contains(&name) && !OPTIONS.contains(&name) {
            return Err(Why::OptionUnknown.into());
        }
        self.put(name, value).ok_or_else(|| Why::Option.into())
    }

    /// Takes in a DID URL's own query; answers whether all of it is defined.
    fn take_query(&mut self, query: Option<&str>) -> Result<bool, Refused> {
        let mut all_known = true;
        for (name, value) in pairs(query.unwrap_or_default()).ok_or(Why::Url)? {
            match PARAMETERS.contains(&name.as_str()) {
                true => self.put(&name, value).ok_or(Why::Url)?,
                false => all_known = false,
            }
        }
        Ok(all_known)
    }

    fn put(&mut self, name: &str, value: String) -> Option<()> {
        let stands = self.0.iter().any(|(known, _)| known == name);
        (!stands).then(|| self.0.push((name.to_owned(), value)))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(at).1)
    }
}

/// Splits a query at `&` and the first `=`. A `+` is itself: this is RFC 3986, not a form.
fn pairs(query: &str) -> Option<Pairs> {
    let parts: Vec<&str> = query.split('&').filter(|part| !part.is_empty()).collect();
    if parts.len() > MAX_PARAMETERS {
        return None;
    }
    let read = parts.into_iter().map(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        Some((decoded(name).ok()?, decoded(value).ok()?))
    });
    read.collect()
}

fn decoded(text: &str) -> Result<String, Refused> {
    let text = percent_decode_str(text).decode_utf8();
    Ok(text.map_err(|_| Why::Url)?.into_owned())
}

/// The parts of a DID URL, each of the characters that may stand in it.
struct DidUrl<'a> {
    did: &'a str,
    path: &'a str,
    query: Option<&'a str>,
    fragment: Option<&'a str>,
}

impl<'a> DidUrl<'a> {
    fn parse(text: &'a str) -> Result<Self, Refused> {
        let end = text.find(['/', '?', '#']).unwrap_or(text.len());
        let (did, rest) = text.split_at(end);
        let wrong = match rest.is_empty() {
            true => Why::Did,
            false => Why::Url,
        };
        let (rest, fragment) = match rest.split_once('#') {
            Some((rest, fragment)) => (rest, Some(fragment)),
            None => (rest, None),
        };
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        let spelled = is_did(did)
            && consists_of(path, b"/:@!$&'()*+,;=")
            && consists_of(query.unwrap_or_default(), b"/?:@!$&'()*+,;=")
            && consists_of(fragment.unwrap_or_default(), b"/?:@!$&'()*+,;=");
        match text.len() <= MAX_DID_URL_BYTES && spelled {
            true => Ok(Self {
                did,
                path,
                query,
                fragment,
            }),
            false => Err(wrong.into()),
        }
    }

    /// Another method is another error than a DID of ours that is not spelled as it must be.
    fn did(&self) -> Result<Did, Refused> {
        let why = match self.did.starts_with("did:rdid:") {
            true => Why::Did,
            false => Why::Method,
        };
        self.did.parse().map_err(|_| why.into())
    }
}

/// The `did` rule of DID 1.1 §3.1, for DIDs of any method.
fn is_did(text: &str) -> bool {
    let parts = text
        .strip_prefix("did:")
        .and_then(|rest| rest.split_once(':'));
    parts.is_some_and(|(method, id)| {
        let lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let named = !method.is_empty() && method.bytes().all(lower);
        named && !id.is_empty() && !id.ends_with(':') && !id.contains('~') && consists_of(id, b":")
    })
}

/// Whether a text has unreserved characters, those of `others`, and percent-encoded octets only.
fn consists_of(text: &str, others: &[u8]) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let allowed = match byte {
            b'%' => {
                let mut hex = || bytes.next().is_some_and(|b| b.is_ascii_hexdigit());
                hex() && hex()
            }
            b'-' | b'.' | b'_' | b'~' => true,
            other => other.is_ascii_alphanumeric() || others.contains(&other),
        };
        if !allowed {
            return false;
        }
    }
    true
}
