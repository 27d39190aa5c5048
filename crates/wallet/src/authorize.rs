//! Being authorized by a person's login at the issuer (OpenID4VCI 1.0 §5, HAIP 1.0 §4; spec/wallet.md,
//! W17): the request is pushed, a browser on this machine takes its name to the issuer's page, and
//! what it brings back is redeemed with the verifier and the key that never left the wallet.
//!
//! The address that is waited at is the same in every wallet but for its port, and so is the client's
//! name: neither tells one wallet from another.

use crate::error::CliError;
use crate::grant::{Attested, Grant, Post, Prover, form, send};
use crate::http::{FORM, Http};
use crate::issue::Source;
use crate::loopback::{Brought, Loopback};
use crate::random;
use realdid_exchange::vci::authorization::{AuthorizationRequest, PushedResponse, code_challenge};
use realdid_exchange::vci::{IssuerMetadata, TokenRequest, VciError};
use serde_json::Value;
use std::time::Duration;
use url::Url;

/// How this wallet is called where an issuer knows no other name for it.
pub const CLIENT_ID: &str = "realdid-wallet";
/// Where a browser comes back to, after host and port.
const PATH: &str = "/authorized";
/// How long a person may take. A server's own limit may be shorter, and the page then says so.
const WAIT: Duration = Duration::from_secs(15 * 60);

/// What is asked for, and in whose name.
#[derive(Clone, Copy)]
pub(crate) struct Wish<'a> {
    pub(crate) configurations: &'a [String],
    pub(crate) client_id: &'a str,
    /// What the offer gave to be said again.
    pub(crate) issuer_state: Option<&'a str>,
}

/// Has the person authorize it. `tell` shows them the address to open.
pub(crate) async fn authorize(
    http: &Http,
    source: &Source,
    wish: Wish<'_>,
    tell: impl FnOnce(&Url),
) -> Result<Grant, CliError> {
    let (pushes, page) = source.server.by_code()?;
    let place = Loopback::open(PATH.to_owned()).await?;
    let (state, verifier) = (random::secret()?, random::secret()?);
    let mut prover = source.prover()?;
    let (configurations, details) = asked_by(&source.metadata, wish.configurations);
    let request = AuthorizationRequest {
        client_id: wish.client_id.to_owned(),
        redirect_uri: place.uri().to_owned(),
        state: Some(state.to_string()),
        code_challenge: code_challenge(&verifier),
        configurations,
        details,
        dpop_jkt: prover.as_ref().map(Prover::thumbprint),
        issuer_state: wish.issuer_state.map(str::to_owned),
    };
    let post = Post {
        url: &pushes,
        media_type: FORM,
        body: form(request.to_form()),
        token: None,
        attested: Attested::at(http, source, wish.client_id)?,
    };
    let answer = send(http, prover.as_mut(), &post).await?.success()?;
    let pushed = PushedResponse::parse(&answer)?;
    tell(&request.address(&page, &pushed));

    let read = |query: &str| match request.read_answer(query, &source.server.issuer) {
        Ok(code) => Brought::Wanted(Ok(code)),
        // Whoever does not know the state has not seen the request: a page or a program that guesses
        // the port ends nothing.
        Err(VciError::AnswerState | VciError::Answer) if !knows_state(&request, query) => {
            Brought::Nothing
        }
        Err(refused) => Brought::Refused(Err(refused)),
    };
    let back = tokio::time::timeout(WAIT, place.wait(read)).await;
    let code = back.map_err(|_| too_late())???;
    let redeem = TokenRequest::AuthorizationCode {
        code,
        redirect_uri: request.redirect_uri.clone(),
        code_verifier: verifier.to_string(),
        client_id: Some(request.client_id.clone()),
    };
    Grant::open(http, source, &redeem, prover).await
}

/// Whether a query has this request's state somewhere: then it is of the server that was asked, or of
/// who attacks with its help, and the person is told.
fn knows_state(request: &AuthorizationRequest, query: &str) -> bool {
    let mut fields = url::form_urlencoded::parse(query.as_bytes());
    fields.any(|(name, value)| name == "state" && request.state.as_deref() == Some(&*value))
}

/// How configurations are asked for: by scope where the metadata give one for each, as HAIP 1.0 asks
/// every issuer to, and by `authorization_details` otherwise.
fn asked_by(metadata: &IssuerMetadata, configurations: &[String]) -> (Vec<String>, bool) {
    let scope = |id: &String| {
        let configuration = metadata.credential_configurations_supported.get(id)?;
        let scope = configuration.get("scope").and_then(Value::as_str)?;
        // RFC 6749 §3.3: what one scope may hold.
        let sound = scope
            .bytes()
            .all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
        (!scope.is_empty() && sound).then(|| scope.to_owned())
    };
    match configurations.iter().map(scope).collect() {
        Some(scopes) => (scopes, false),
        None => (configurations.to_vec(), true),
    }
}

fn too_late() -> CliError {
    CliError::user(
        "authorize.too_late",
        "a person logs in within 15 minutes",
        "begin again, and log in at the address that is printed",
    )
}

#[cfg(test)]
mod tests;
