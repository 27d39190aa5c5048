//! DIDs resolved and DID URLs dereferenced over HTTP: the binding of DID Resolution §12.1, and what
//! a Universal Resolver asks a driver (spec/did.md, D13 to D21).
//!
//! The node answers as its own reader: what it says is what `realdid resolve` makes of the same
//! proof.

use super::Rpc;
use crate::host::unix_ms;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use realdid_core::state::did_key;
use realdid_light::Freshness;
use realdid_light::resolve::{
    self, Form, Outcome, Pairs, Question, Refused, options_of_json, options_of_query,
};
use realdid_serve::Problem;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::PoisonError;
use utoipa::openapi::{Content, Ref, RefOr};
use utoipa::{IntoResponses, ToSchema};

/// How old this node's own checkpoint may be before it stops answering for the state. A reader
/// judges by its own limit; this one only keeps a node that lost its peers from misleading.
const RESOLUTION_AGE_MS: u64 = 10 * 60 * 1000;

/// A DID resolution result (DID Resolution §8).
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "it describes what light::resolve makes")]
pub(super) struct ResolutionResult {
    #[serde(rename = "@context")]
    context: String,
    /// Null where there is an error, or where the DID is deactivated.
    #[schema(value_type = Option<Object>)]
    did_document: Option<Map<String, Value>>,
    /// `verified`, `checkpoint` and `proof`; in `error` a problem (RFC 9457) with the W3C's type.
    #[schema(value_type = Object)]
    did_resolution_metadata: Map<String, Value>,
    #[schema(value_type = Object)]
    did_document_metadata: Map<String, Value>,
}

/// A DID URL dereferencing result (DID Resolution §9).
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "it describes what light::resolve makes")]
pub(super) struct DereferencingResult {
    #[schema(value_type = Option<Object>)]
    content: Option<Map<String, Value>>,
    #[schema(value_type = Object)]
    dereferencing_metadata: Map<String, Value>,
    #[schema(value_type = Object)]
    content_metadata: Map<String, Value>,
}

/// A resolution result, or a dereferencing result for a DID URL.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "it describes what light::resolve makes")]
pub(super) enum AnyResult {
    Resolved(ResolutionResult),
    Dereferenced(DereferencingResult),
}

/// A document, or the part of one that a fragment names.
#[derive(Serialize, ToSchema)]
#[allow(dead_code, reason = "it describes what light::resolve makes")]
pub(super) struct Described {
    #[serde(rename = "@context")]
    context: Vec<String>,
    id: String,
}

/// All answers of a resolver, by status and content type.
struct Answers;

impl IntoResponses for Answers {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        const RESULT: (&str, &str) = ("application/did-resolution", "ResolutionResult");
        const PART: (&str, &str) = ("application/did-url-dereferencing", "DereferencingResult");
        const OTHERS: [(&str, &str); 2] = [
            ("application/json", "AnyResult"),
            ("application/ld+json", "ResolutionResult"),
        ];
        const ALONE: [&str; 3] = [
            "application/did",
            "application/did+ld+json",
            "application/did+json",
        ];
        let refused = [RESULT, PART];
        let whole: Vec<_> = refused.into_iter().chain(OTHERS).collect();
        let found: Vec<_> = whole
            .iter()
            .copied()
            .chain(ALONE.map(|kind| (kind, "Described")))
            .collect();
        let malformed: Vec<_> = refused
            .into_iter()
            .chain([("application/problem+json", "Problem")])
            .collect();
        let all: [(u16, &str, &[(&str, &str)]); 8] = [
            (
                200,
                "found; proof and checkpoint are in the metadata",
                &found,
            ),
            (
                400,
                "INVALID_DID, INVALID_DID_URL, INVALID_OPTIONS",
                &malformed,
            ),
            (404, "NOT_FOUND: proved absent", &refused),
            (406, "REPRESENTATION_NOT_SUPPORTED", &refused),
            (410, "the DID is deactivated", &whole),
            (
                500,
                "INTERNAL_ERROR, or no method for the relationship that is asked for",
                &refused,
            ),
            (501, "METHOD_NOT_SUPPORTED, FEATURE_NOT_SUPPORTED", &refused),
            (303, "Location is the endpoint of the selected service", &[]),
        ];
        let described = all.into_iter().map(|(status, what, forms)| {
            let mut response = utoipa::openapi::Response::new(what);
            for (kind, schema) in forms {
                let content = Content::new(Some(Ref::from_schema_name(*schema)));
                response
                    .content
                    .insert((*kind).to_owned(), RefOr::T(content));
            }
            (status.to_string(), RefOr::T(response))
        });
        described.collect()
    }
}

/// Resolves a DID, or dereferences a DID URL.
///
/// A DID URL that stands in the path is percent-encoded; its parameters may be given as the query.
#[utoipa::path(
    get, path = "/1.0/identifiers/{did}",
    params(
        ("did" = String, Path, description = "did:rdid:<network>:<id>, or a DID URL, percent-encoded"),
        ("versionId" = Option<String>, Query, description = "a version by its number"),
        ("versionTime" = Option<String>, Query, description = "the version of a time, in UTC to the second"),
        ("inception" = Option<String>, Query,
         description = "inception of an unanchored DID, or for the first version of another one; base64url without padding"),
        ("service" = Option<String>, Query, description = "the id of a service, or its fragment"),
        ("serviceType" = Option<String>, Query, description = "the type of services"),
        ("relativeRef" = Option<String>, Query, description = "a reference at the service's endpoint, on the same server"),
        ("expandRelativeUrls" = Option<bool>, Query, description = "documents have absolute URLs in any case"),
        ("noCache" = Option<bool>, Query, description = "nothing is cached in any case"),
        ("verificationRelationship" = Option<String>, Query, description = "the relationship that the method must be listed under"),
    ),
    responses(Answers)
)]
pub(super) async fn identifier(
    State(rpc): State<Rpc>,
    Path(text): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let options = options_of_query(query.as_deref());
    rpc.identify(&text, options, &headers).await
}

/// The same with the options as a JSON object, so that an inception stands in no log of addresses.
#[utoipa::path(
    post, path = "/1.0/identifiers/{did}",
    params(("did" = String, Path, description = "did:rdid:<network>:<id>, or a DID URL, percent-encoded")),
    request_body(content = Object, content_type = "application/json"),
    responses(Answers)
)]
pub(super) async fn identifier_by_body(
    State(rpc): State<Rpc>,
    Path(text): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let both = |mut query: Pairs| {
        query.extend(options_of_json(&body)?);
        Ok(query)
    };
    let options = options_of_query(query.as_deref()).and_then(both);
    rpc.identify(&text, options, &headers).await
}

/// The DID methods that are resolved here.
#[utoipa::path(get, path = "/1.0/methods", responses((status = 200, body = Vec<String>)))]
pub(super) async fn methods() -> Json<[&'static str; 1]> {
    Json(["rdid"])
}

/// What a Universal Resolver may say of this driver.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Properties {
    method: &'static str,
    network: String,
    /// Digest of the genesis that every proof goes back to.
    genesis: String,
    /// The type of the proof in each result.
    proof: &'static str,
    did_core: &'static str,
    did_resolution: &'static str,
}

/// What this resolver is.
#[utoipa::path(get, path = "/1.0/properties", responses((status = 200, body = Properties)))]
pub(super) async fn properties(State(rpc): State<Rpc>) -> Json<Properties> {
    let genesis = rpc.machine.genesis();
    Json(Properties {
        method: "rdid",
        network: genesis.network.to_string(),
        genesis: genesis.digest().to_string(),
        proof: resolve::PROOF_TYPE,
        did_core: "1.1",
        did_resolution: "1.0",
    })
}

impl Rpc {
    async fn identify(
        &self,
        text: &str,
        options: Result<Pairs, Refused>,
        headers: &HeaderMap,
    ) -> Response {
        let question = match options.and_then(|options| Question::new(text, options)) {
            Ok(question) => question,
            Err(refused) => return refusal(refused, None),
        };
        let form = match Form::accepted(accept(headers).as_deref(), &question) {
            Ok(form) => form,
            Err(refused) => return refusal(refused, Some(&question)),
        };
        match self.resolved(&question, form).await {
            Ok(outcome) => response(outcome.respond(form)),
            Err(problem) => {
                let (rule, fix) = (problem.rule().to_owned(), problem.fix().to_owned());
                let refused = Refused::internal(problem.code(), rule, fix);
                let mut response = refusal(refused, Some(&question));
                if let Some(seconds) = problem.retries_after_s() {
                    let headers = response.headers_mut();
                    headers.insert(header::RETRY_AFTER, seconds.into());
                }
                response
            }
        }
    }

    async fn resolved(&self, question: &Question, form: Form) -> Result<Outcome, Problem> {
        let did = &question.did;
        let key = did_key(did.network.hash_function(), &did.id);
        let answer = self.answer(&key).await?;
        self.follow(&answer.checkpoint).await?;
        let past = match question.past() {
            Some(of) => self.past(&key, of).await?,
            None => Vec::new(),
        };
        let freshness = Freshness {
            now_ms: unix_ms(),
            max_age_ms: RESOLUTION_AGE_MS,
            max_lag_slots: u64::MAX,
        };
        let mut light = self.light.lock().unwrap_or_else(PoisonError::into_inner);
        let resolved = light
            .advance(&answer.checkpoint)
            .and_then(|_| resolve::resolve(&light, question, form, (&answer, &past), &freshness));
        Ok(resolved.unwrap_or_else(|error| Outcome::refused((&error).into(), Some(question))))
    }
}

/// All `Accept` headers as one. What is no text is nothing that there is.
fn accept(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(header::ACCEPT).iter();
    let read: Vec<&str> = all.map(|value| value.to_str().unwrap_or("?")).collect();
    (!read.is_empty()).then(|| read.join(","))
}

fn refusal(refused: Refused, question: Option<&Question>) -> Response {
    response(Outcome::refused(refused, question).respond(Form::Whole))
}

fn response(made: resolve::Response) -> Response {
    let status = StatusCode::from_u16(made.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = made.body.map(|body| body.to_string()).unwrap_or_default();
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    if let Some(kind) = made.content_type {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    let location = made.location.map(HeaderValue::try_from);
    if let Some(Ok(location)) = location {
        headers.insert(header::LOCATION, location);
    }
    response
}
