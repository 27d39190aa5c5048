//! Proving who one is by a login at an identity provider of the authority (spec/enrolment.md, F13 to
//! F18): the wallet waits for what the browser brings back ([`crate::loopback`]).
//!
//! The address that it waits at has a secret in its path, so that nothing else on this machine answers
//! in the browser's place, and the ticket is of use only with a verifier that stays here (RFC 7636).

use crate::error::CliError;
use crate::http::{Http, below, read_json};
use crate::loopback::{Brought, Loopback};
use crate::random;
use realdid_exchange::tag::{Evidence, UpstreamEvidence, UpstreamKind};
use realdid_exchange::vci::authorization::code_challenge;
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;
use url::Url;

/// The longest ticket, in bytes.
const MAX_TICKET_BYTES: usize = 256;
/// No login takes longer than this.
const MAX_WAIT_S: u64 = 3600;

#[derive(Deserialize)]
struct Begun {
    authorization_url: String,
    expires_in: u64,
}

#[derive(Deserialize)]
struct Identity {
    issuer: String,
    subject: String,
}

/// Has the person log in, and answers what that proves.
pub async fn log_in(http: &Http, authority: &Url, id: &str) -> Result<Evidence, CliError> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if !(1..=32).contains(&id.len()) || !id.bytes().all(plain) {
        return Err(CliError::user(
            "upstream.unknown",
            "an identity provider's name is 1 to 32 of a-z, 0-9 and hyphens",
            "ask the authority for the names of its providers",
        ));
    }
    let place = Loopback::open(format!("/{}", random::secret()?.as_str())).await?;
    let verifier = random::secret()?;
    let challenge = code_challenge(&verifier);
    let url = below(authority, &format!("/v1/upstreams/{id}/logins"));
    let begin = json!({
        "redirect_uri": place.uri(),
        "challenge": challenge,
    });
    let begun: Begun = read_json(&url, &http.post_json(&url, &begin).await?)?;
    let page = Url::parse(&begun.authorization_url).ok();
    let page = page.filter(|page| matches!(page.scheme(), "https" | "http"));
    let page = page.ok_or_else(|| {
        CliError::new(
            "upstream.address",
            "an identity provider's page has a web address",
            "authority",
            "report it to the authority",
        )
    })?;
    eprintln!("Open this address in a browser on this machine, and log in:\n{page}");
    let wait = Duration::from_secs(begun.expires_in.min(MAX_WAIT_S));
    let back = tokio::time::timeout(wait, place.wait(brought)).await;
    let brought = back.map_err(|_| {
        CliError::user(
            "upstream.too_late",
            "a login is finished within its time",
            "begin again, and log in at the address that is printed",
        )
    })??;
    let ticket = brought.map_err(|code| refused(&code))?;
    let url = below(authority, "/v1/upstreams/identity");
    let show = json!({"ticket": ticket, "verifier": verifier.as_str()});
    let identity: Identity = read_json(&url, &http.post_json(&url, &show).await?)?;
    Ok(Evidence::Upstream(UpstreamEvidence {
        kind: UpstreamKind::V1,
        issuer: identity.issuer,
        subject: identity.subject,
        ticket,
        verifier: verifier.to_string(),
    }))
}

/// What a query brings: a ticket, or the code of a refusal.
fn brought(query: &str) -> Brought<Result<String, String>> {
    let one = |name: &str| {
        let mut values = url::form_urlencoded::parse(query.as_bytes())
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value.into_owned());
        values.next().filter(|_| values.next().is_none())
    };
    let b64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let dotted = |b: u8| b.is_ascii_lowercase() || matches!(b, b'.' | b'_');
    match (one("ticket"), one("error")) {
        (Some(ticket), _) if ticket.len() <= MAX_TICKET_BYTES && ticket.bytes().all(b64) => {
            Brought::Wanted(Ok(ticket))
        }
        (None, Some(code)) if code.len() <= 40 && code.bytes().all(dotted) => {
            Brought::Refused(Err(code))
        }
        _ => Brought::Nothing,
    }
}

/// What the authority said of a login, by its code: the table of refusals has the words.
fn refused(code: &str) -> CliError {
    CliError::new(
        code,
        "the authority and its identity provider finish the login",
        "the identity provider, or whoever logged in",
        "begin again; docs/errors.md says what this code means",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_ticket_or_the_code_of_a_refusal_is_brought() {
        let read = |query: &str| match brought(query) {
            Brought::Wanted(brought) | Brought::Refused(brought) => Some(brought),
            Brought::Nothing => None,
        };
        assert_eq!(read("ticket=abc-_1"), Some(Ok("abc-_1".to_owned())));
        assert_eq!(
            read("error=upstream.denied"),
            Some(Err("upstream.denied".to_owned()))
        );
        for nothing in [
            "",
            "ticket=a&ticket=b",
            "ticket=a%0d%0ab",
            "error=%1b[2J",
            format!("ticket={}", "a".repeat(MAX_TICKET_BYTES + 1)).as_str(),
        ] {
            assert_eq!(read(nothing), None, "{nothing}");
        }
    }
}
