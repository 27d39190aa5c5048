//! The HTTP binding of DID Resolution §12.1 as values: which form an `Accept` header asks for, and
//! status, headers and body of the answer.

use super::refusal::{Refused, Why};
use super::{Content, Outcome, Question};
use serde_json::{Map, Value, json};

const RESULT: &str = "application/did-resolution";
const DEREFERENCED: &str = "application/did-url-dereferencing";
/// What Universal Resolver clients of before ask for.
const RESULT_LD: &str = "application/ld+json;profile=\"https://w3id.org/did-resolution\"";
const JSON: &str = "application/json";
/// Representations of a document. The last two are those of DID Core 1.0; all are the same JSON.
const DOCUMENTS: [&str; 3] = [
    "application/did",
    "application/did+ld+json",
    "application/did+json",
];
const URI_LIST: &str = "text/uri-list";

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Everything, in the envelope that fits what was asked.
    Whole,
    /// The same under a content type that says less.
    WholeAs(&'static str),
    /// Everything, as a DID URL dereferencing result.
    Dereferenced,
    /// The document, or the part, alone.
    Alone(&'static str),
    /// Where the first of the selected services is: a redirection.
    Endpoints,
    /// Where all of them are, as the content of a dereferencing result.
    Addresses,
}

impl Form {
    /// Chooses among what there is for `question` (RFC 9110 §12.5.1): the greatest weight, and the
    /// earliest of equals. Whoever has no preference gets everything.
    pub fn accepted(accept: Option<&str>, question: &Question) -> Result<Self, Refused> {
        let Some(accept) = accept.filter(|accept| !accept.trim().is_empty()) else {
            return Ok(Self::Whole);
        };
        let mut best: Option<(u16, Self)> = None;
        for range in accept.split(',').take(64) {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let weight = parts.find_map(|part| part.strip_prefix("q="));
            let weight = weight.map_or(1000, thousandths);
            let form = Self::of_type(&kind, question);
            if let Some(form) = form.filter(|_| weight > 0)
                && best.is_none_or(|(known, _)| weight > known)
            {
                best = Some((weight, form));
            }
        }
        best.map(|(_, form)| form).ok_or_else(|| Why::Accept.into())
    }

    fn of_type(kind: &str, question: &Question) -> Option<Self> {
        let whole = question.is_resolution();
        match kind {
            "*/*" | "application/*" => Some(Self::Whole),
            JSON => Some(Self::WholeAs(JSON)),
            "application/ld+json" if whole => Some(Self::WholeAs(RESULT_LD)),
            RESULT if whole => Some(Self::Whole),
            DEREFERENCED => Some(Self::Dereferenced),
            URI_LIST if question.selects_services() => Some(Self::Endpoints),
            kind => DOCUMENTS
                .into_iter()
                .find(|known| *known == kind)
                .map(Self::Alone),
        }
    }
}

/// `0` to `1` with at most three decimals; what is none weighs nothing.
fn thousandths(text: &str) -> u16 {
    let weight: f32 = text.parse().unwrap_or(0.0);
    (weight.clamp(0.0, 1.0) * 1000.0) as u16
}

/// An answer, ready for a socket.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    pub status: u16,
    pub content_type: Option<&'static str>,
    pub location: Option<String>,
    /// Nothing where the answer is a redirection.
    pub body: Option<Value>,
}

impl Outcome {
    /// The answer in the form that was asked for. Errors, and DIDs that are deactivated, come whole.
    pub fn respond(self, form: Form) -> Response {
        let status = match &self.refused {
            Some(refused) => refused.kind.status(),
            None if self.is_deactivated() => 410,
            None => 200,
        };
        let part = matches!(form, Form::Dereferenced | Form::Addresses);
        let whole_result = self.is_resolution && !part;
        let (content_type, body) = match (form, self.content) {
            (Form::Endpoints, Some(Content::Endpoints(endpoints))) => {
                return Response {
                    status: 303,
                    content_type: None,
                    location: endpoints.into_iter().next(),
                    body: None,
                };
            }
            (Form::Alone(kind), Some(Content::Object(content))) => (kind, content),
            (form, content) => {
                let content = match content {
                    Some(Content::Object(content)) => content,
                    Some(Content::Endpoints(endpoints)) => json!(endpoints),
                    None => Value::Null,
                };
                let (kind, body) = match whole_result {
                    true => (RESULT, result(content, self.metadata, self.about)),
                    false => (
                        DEREFERENCED,
                        dereferenced(content, self.metadata, self.about),
                    ),
                };
                match form {
                    Form::WholeAs(kind) => (kind, body),
                    _ => (kind, body),
                }
            }
        };
        Response {
            status,
            content_type: Some(content_type),
            location: None,
            body: Some(body),
        }
    }
}

fn result(document: Value, metadata: Map<String, Value>, about: Map<String, Value>) -> Value {
    json!({
        "@context": "https://w3id.org/did-resolution/v1",
        "didDocument": document,
        "didResolutionMetadata": metadata,
        "didDocumentMetadata": about,
    })
}

fn dereferenced(content: Value, metadata: Map<String, Value>, about: Map<String, Value>) -> Value {
    json!({
        "content": content,
        "dereferencingMetadata": metadata,
        "contentMetadata": about,
    })
}
