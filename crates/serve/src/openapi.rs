//! What every part's `/openapi.json` says beside its own routes: the answers that the plumbing gives
//! for them, and the form of refusals.

use utoipa::openapi::path::Operation;
use utoipa::openapi::{Content, OpenApi, PathItem, Ref, RefOr, Response};

/// Tags of routes whose standard has a form of its own for errors (RFC 6749 section 5.2).
const OAUTH_TAGS: [&str; 2] = ["OpenID4VCI", "openid connect"];

/// What the plumbing may answer.
const PLUMBING: [&str; 4] = ["400", "413", "429", "503"];

/// Adds what a part leaves out. What it says itself stays. `limited` says whether sources are held
/// to a rate.
pub(crate) fn complete(api: &mut OpenApi, limited: bool) {
    for (path, item) in &mut api.paths.paths {
        for (method, operation) in operations(item) {
            operation.operation_id = Some(name(method, path));
            answers_of_plumbing(operation, limited);
            forms_of_refusals(operation);
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let all = [
        ("get", &mut item.get),
        ("put", &mut item.put),
        ("post", &mut item.post),
        ("delete", &mut item.delete),
        ("patch", &mut item.patch),
    ];
    let there = all.into_iter();
    there.filter_map(|(method, operation)| operation.as_mut().map(|operation| (method, operation)))
}

/// An operation's id: functions of two modules may have one name, and ids must be unique.
fn name(method: &str, path: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let words = words.filter(|word| !word.is_empty());
    std::iter::once(method)
        .chain(words)
        .collect::<Vec<_>>()
        .join("_")
}

fn answers_of_plumbing(operation: &mut Operation, limited: bool) {
    let has_body = operation.request_body.is_some();
    let has_input = has_body || operation.parameters.as_ref().is_some_and(|p| !p.is_empty());
    let answers = [
        (has_input, "400", "request.malformed"),
        (has_body, "413", "request.too_large"),
        (limited, "429", "request.rate, with Retry-After"),
        (true, "503", "request.timeout, with Retry-After"),
    ];
    let responses = &mut operation.responses.responses;
    for (_, status, what) in answers.iter().filter(|(given, ..)| *given) {
        let answer = || RefOr::T(Response::new(*what));
        responses.entry((*status).to_owned()).or_insert_with(answer);
    }
}

/// A refusal without a form is a problem, or what OAuth has for it. What the plumbing answers is a
/// problem whatever else it may be.
fn forms_of_refusals(operation: &mut Operation) {
    let tags = operation.tags.iter().flatten();
    let oauth = tags
        .into_iter()
        .any(|tag| OAUTH_TAGS.contains(&tag.as_str()));
    let refusals = operation.responses.responses.iter_mut();
    let refusals = refusals.filter(|(status, _)| status.starts_with(['4', '5']));
    for (status, refusal) in refusals {
        let RefOr::T(refusal) = refusal else { continue };
        let formless = refusal.content.is_empty();
        let mut form = |kind: &str, schema: &str| {
            let content = Content::new(Some(Ref::from_schema_name(schema)));
            let entry = refusal.content.entry(kind.to_owned());
            entry.or_insert(RefOr::T(content));
        };
        if formless || PLUMBING.contains(&status.as_str()) {
            form("application/problem+json", "Problem");
        }
        // Whoever does not prove who they are is told so by OAuth's rules everywhere.
        if formless && (oauth || status == "401") {
            form("application/json", "OAuthError");
        }
    }
}
