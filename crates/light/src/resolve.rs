//! Facts about a DID as W3C DID Resolution results (DID 1.1, DID Resolution 1.0 of 2026-07-23;
//! spec/did.md, D13 to D21).
//!
//! A [`Question`] is a DID or a DID URL with its options. [`resolve`] checks a node's answer and
//! makes the [`Outcome`], which [`Outcome::respond`] puts into the form that was asked for. The same
//! functions serve the command line and the node's `GET /1.0/identifiers/{did}`, so that both answer
//! the same. Results carry the proof and the checkpoint: whoever gets one from somebody else can
//! check it again.

mod binding;
mod document;
mod question;
mod refusal;
#[cfg(test)]
mod tests;
mod version;

pub use binding::{Form, Response};
pub use question::{
    MAX_DID_URL_BYTES, Pairs, PastOf, Question, inception_option, options_of_json, options_of_query,
};
pub use refusal::{ErrorKind, Refused};

use crate::{CheckedHeader, DidStanding, DidState, Freshness, LightClient, LightError};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use document::{CONTEXTS, document};
use question::{Resource, Selection};
use realdid_core::answer::{PastAnswer, StateAnswer};
use realdid_core::codec;
use realdid_core::state::{DidRecord, decode_record};
use refusal::Why;
use serde_json::{Map, Value, json};
use version::{Proved, VersionId};

/// The type of the proof in a result: a state answer (spec/proofs.md) in base64url.
pub const PROOF_TYPE: &str = "RdidStateProof1";
/// The type of the proof of an earlier version: an answer about an earlier state (L13), in base64url.
pub const PAST_PROOF_TYPE: &str = "RdidPastStateProof1";

/// What came of a question.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The document or a part of it; nothing where there is an error, or where the DID is deactivated.
    content: Option<Content>,
    /// About the resolution: its proof, or its error.
    metadata: Map<String, Value>,
    /// About the document; empty where there is an error.
    about: Map<String, Value>,
    refused: Option<Refused>,
    /// Whether a part of the document, or something behind it, was asked for.
    is_resolution: bool,
}

#[derive(Debug, Clone)]
enum Content {
    Object(Value),
    /// Where the selected services are.
    Endpoints(Vec<String>),
}

/// Checks the newest answer, and those about earlier states that came with it where an earlier version is
/// asked for, and makes the outcome of them, for the form in which it will be given. The error says that an answer does not hold: a
/// [`Refused`] is made of it for [`Outcome::refused`].
pub fn resolve(
    client: &LightClient,
    question: &Question,
    form: Form,
    (answer, past): (&StateAnswer, &[PastAnswer]),
    freshness: &Freshness,
) -> Result<Outcome, LightError> {
    let inception = question.inception.as_ref();
    let state = client.did(&question.did, inception, answer, freshness)?;
    let stored = match (&state.standing, &answer.value) {
        (DidStanding::Anchored(_), Some(bytes)) => Some(decode_record::<DidRecord>(&bytes.0)?),
        _ => None,
    };
    let earlier = past.iter().map(|past| client.past_did(&question.did, past));
    let earlier = earlier.collect::<Result<Vec<DidRecord>, LightError>>()?;
    let mut metadata = Map::new();
    metadata.insert("verified".into(), json!(true));
    metadata.insert("checkpoint".into(), checkpoint(&state.at, state.age_ms));
    let kind = if stored.is_some() {
        "inclusion"
    } else {
        "exclusion"
    };
    let proof = json!({
        "type": PROOF_TYPE,
        "kind": kind,
        "answer": URL_SAFE_NO_PAD.encode(answer.encode()),
    });
    let of_past = past.iter().map(|past| {
        json!({
            "type": PAST_PROOF_TYPE,
            "kind": "inclusion",
            "answer": URL_SAFE_NO_PAD.encode(codec::encode(past)),
        })
    });
    let proofs: Vec<Value> = std::iter::once(proof).chain(of_past).collect();
    metadata.insert("proof".into(), json!(proofs));
    let found =
        described(question, &state, stored.as_ref(), earlier).and_then(|(document, about)| {
            let content = document
                .map(|document| picked(question, form, document))
                .transpose()?;
            Ok((content, about))
        });
    let (content, about, refused) = match found {
        Ok((content, about)) => (content, about, None),
        Err(why) => (None, Map::new(), Some(Refused::from(why))),
    };
    let kind = match &content {
        Some(Content::Object(_)) => Some("application/did"),
        Some(Content::Endpoints(_)) => Some("text/uri-list"),
        None => None,
    };
    if let Some(kind) = kind {
        metadata.insert("contentType".into(), json!(kind));
    }
    if let Some(refused) = &refused {
        metadata.insert("error".into(), refused.object());
    }
    Ok(Outcome {
        content,
        metadata,
        about,
        refused,
        is_resolution: question.is_resolution(),
    })
}

impl Outcome {
    /// The outcome of a question that failed before there was anything to check, or in checking.
    /// `question` is the one that was refused, if it could be read.
    pub fn refused(refused: Refused, question: Option<&Question>) -> Self {
        let mut metadata = Map::new();
        metadata.insert("verified".into(), json!(false));
        metadata.insert("error".into(), refused.object());
        let of_a_url = refused.kind == ErrorKind::InvalidDidUrl;
        Self {
            content: None,
            metadata,
            about: Map::new(),
            refused: Some(refused),
            is_resolution: question.map_or(!of_a_url, Question::is_resolution),
        }
    }

    /// Why there is no document or no part of it.
    pub fn why_not(&self) -> Option<&Refused> {
        self.refused.as_ref()
    }

    fn is_deactivated(&self) -> bool {
        self.about.get("deactivated") == Some(&Value::Bool(true))
    }
}

/// The checkpoint that a fact hangs on, and how old it is.
pub fn checkpoint(at: &CheckedHeader, age_ms: u64) -> Value {
    json!({
        "network": at.header.network.as_str(),
        "height": at.header.height,
        "slot": at.header.sealed.slot,
        "stateRoot": at.header.sealed.state_root.to_string(),
        "digest": at.digest.to_string(),
        "time": date(at.header.time_ms),
        "ageMs": age_ms,
    })
}

/// The document of the version that is asked for, unless the DID is deactivated, and what is known
/// about it.
fn described(
    question: &Question,
    state: &DidState,
    stored: Option<&DidRecord>,
    earlier: Vec<DidRecord>,
) -> Result<(Option<Value>, Map<String, Value>), Why> {
    let now_ms = state.at.header.time_ms;
    let inception = question.inception.as_ref();
    let Some(stored) = stored else {
        inception.ok_or(Why::Unknown)?;
        version::of_inception(question.version, now_ms)?;
        return Ok(by_inception(question));
    };
    // Deactivated is deactivated, whatever version is asked for.
    if stored.deactivated {
        let newest = VersionId {
            seq: stored.seq,
            recovered: false,
        };
        return Ok((None, about_record(stored, newest, None)));
    }
    let known = version::Known::new(stored, earlier, inception);
    let proved = known.version(question.version, now_ms)?;
    let Some(Proved { record, id, next }) = proved else {
        return Ok(by_inception(question));
    };
    let keys = &record.keys.current;
    let document = document(&question.did, keys, record.frozen, &record.endpoints);
    Ok((Some(document), about_record(&record, id, next)))
}

/// A DID as its inception says, while the ledger has none.
fn by_inception(question: &Question) -> (Option<Value>, Map<String, Value>) {
    let document = question.inception.as_ref().map(|inception| {
        let keys = &inception.keys.current;
        document(&question.did, keys, false, &inception.endpoints)
    });
    let about = [
        ("versionId", json!("0")),
        ("anchored", json!(false)),
        ("deactivated", json!(false)),
    ];
    let about = about.map(|(name, value)| (name.to_owned(), value));
    (document, about.into_iter().collect())
}

fn about_record(
    record: &DidRecord,
    id: VersionId,
    next: Option<(Option<u64>, VersionId)>,
) -> Map<String, Value> {
    let mut about = Map::new();
    let mut say = |name: &str, value: Value| _ = about.insert(name.to_owned(), value);
    say("created", json!(date(record.created_ms)));
    if id.seq > 0 {
        say("updated", json!(date(record.updated_ms)));
    }
    say("versionId", json!(id.to_string()));
    say("anchored", json!(true));
    say("deactivated", json!(record.deactivated));
    say("frozen", json!(record.frozen));
    if let Some((begins_ms, id)) = next {
        say("nextVersionId", json!(id.to_string()));
        if let Some(begins_ms) = begins_ms {
            say("nextUpdate", json!(date(begins_ms)));
        }
    } else if let Some(pending) = &record.pending {
        say("recoveryPending", json!(date(pending.effective_ms)));
    }
    if let Some(person) = &record.verified {
        // Proved with the record: validators checked a RealPass when it was anchored.
        say("verifiedPerson", json!(true));
        say("verifiedBy", json!(person.issuer.to_string()));
        say("verifiedEpoch", json!(person.epoch));
    }
    about
}

/// Dereferences the rest of a DID URL (DID Resolution §5.4).
fn picked(question: &Question, form: Form, mut document: Value) -> Result<Content, Why> {
    match &question.resource {
        Resource::Document => {}
        Resource::Undefined => return Err(Why::PartUnknown),
        Resource::Services(selection) => {
            let endpoints = select(question, selection, &mut document)?;
            if matches!(form, Form::Endpoints | Form::Addresses) {
                return Ok(Content::Endpoints(endpoints));
            }
        }
    }
    match (&question.fragment, question.relationship) {
        (None, Some(_)) => Err(Why::NoVerificationMethod),
        (Some(fragment), _) => part(question, fragment, &document).map(Content::Object),
        (None, None) => Ok(Content::Object(document)),
    }
}

/// Leaves the selected services in the document, and answers their endpoints.
fn select(
    question: &Question,
    selection: &Selection,
    document: &mut Value,
) -> Result<Vec<String>, Why> {
    let wanted_id = selection.id.as_deref().map(|id| match id.split_once('#') {
        Some(("", _)) => format!("{}{id}", question.did),
        Some(_) => id.to_owned(),
        None => format!("{}#{id}", question.did),
    });
    let selected = |service: &Value| {
        let is = |name: &str, wanted: Option<&str>| {
            wanted.is_none_or(|wanted| service[name].as_str() == Some(wanted))
        };
        is("id", wanted_id.as_deref()) && is("type", selection.kind.as_deref())
    };
    let services = document.get_mut("service").and_then(Value::as_array_mut);
    let services = services.ok_or(Why::PartUnknown)?;
    services.retain(selected);
    if services.is_empty() {
        return Err(Why::PartUnknown);
    }
    let fragment = question.fragment.as_deref();
    let relative_ref = selection.relative_ref.as_deref();
    let endpoints = services
        .iter()
        .filter_map(|s| s["serviceEndpoint"].as_str());
    endpoints
        .map(|endpoint| joined(endpoint, relative_ref, fragment))
        .collect()
}

/// The reference at the endpoint (RFC 3986 §5). It stays at the endpoint's origin: a DID URL that
/// anybody can write would otherwise send people from a resolver to any place.
fn joined(
    endpoint: &str,
    relative_ref: Option<&str>,
    fragment: Option<&str>,
) -> Result<String, Why> {
    if relative_ref.is_none() && fragment.is_none() {
        return Ok(endpoint.to_owned());
    }
    let base = url::Url::parse(endpoint).map_err(|_| Why::PartUnknown)?;
    let mut url = match relative_ref {
        Some(reference) => base.join(reference).map_err(|_| Why::RelativeRef)?,
        None => base.clone(),
    };
    if url.origin() != base.origin() {
        return Err(Why::RelativeRef);
    }
    match (fragment, url.fragment()) {
        (Some(_), Some(_)) => return Err(Why::SecondFragment),
        (Some(fragment), None) => url.set_fragment(Some(fragment)),
        (None, _) => {}
    }
    Ok(url.into())
}

/// What a fragment names in the document.
fn part(question: &Question, fragment: &str, document: &Value) -> Result<Value, Why> {
    let id = format!("{}#{fragment}", question.did);
    let named = |list: &str| {
        let mut all = document[list].as_array().into_iter().flatten();
        all.find(|part| part["id"] == *id).cloned()
    };
    let method = named("verificationMethod");
    if let Some(relationship) = question.relationship {
        method.as_ref().ok_or(Why::NoVerificationMethod)?;
        let listed = document[relationship].as_array().into_iter().flatten();
        if !listed.into_iter().any(|entry| *entry == *id) {
            return Err(Why::Relationship);
        }
    }
    let mut part = method
        .or_else(|| named("service"))
        .ok_or(Why::PartUnknown)?;
    if let Some(fields) = part.as_object_mut() {
        fields.insert("@context".to_owned(), json!(CONTEXTS));
    }
    Ok(part)
}

/// Unix milliseconds as an XML Schema date-time in UTC, to the second as DID 1.1 wants it.
pub fn date(time_ms: u64) -> String {
    use time::format_description::well_known::Rfc3339;
    i64::try_from(time_ms / 1000)
        .ok()
        .and_then(|seconds| time::OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|moment| moment.format(&Rfc3339).ok())
        .unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned())
}
