//! Proving who one is by a login at an identity provider of the authority (spec/enrolment.md, F13 to
//! F18): the wallet waits on the loopback interface for what the browser brings back (RFC 8252 §7.3).
//!
//! The address that it waits at has a secret in its path, so that nothing else on this machine answers
//! in the browser's place, and the ticket is of use only with a verifier that stays here (RFC 7636).

use crate::error::CliError;
use crate::http::{Http, below, read_json};
use crate::vault;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realdid_exchange::tag::{Evidence, UpstreamEvidence, UpstreamKind};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::Url;
use zeroize::Zeroizing;

/// The longest head of a request that is read, in bytes.
const MAX_HEAD_BYTES: usize = 8 * 1024;
/// How long one connection may take to send it.
const HEAD_WAIT: Duration = Duration::from_secs(5);
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
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.map_err(|_| no_loopback())?;
    let port = listener.local_addr().map_err(|_| no_loopback())?.port();
    let path = format!("/{}", secret()?.as_str());
    let verifier = secret()?;
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
    let url = below(authority, &format!("/v1/upstreams/{id}/logins"));
    let begin = json!({
        "redirect_uri": format!("http://127.0.0.1:{port}{path}"),
        "challenge": challenge,
    });
    let begun: Begun = read_json(&url, &http.post_json(&url, &begin, None).await?)?;
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
    let back = tokio::time::timeout(wait, wait_for(&listener, &path)).await;
    let ticket = back.map_err(|_| {
        CliError::user(
            "upstream.too_late",
            "a login is finished within its time",
            "begin again, and log in at the address that is printed",
        )
    })??;
    let url = below(authority, "/v1/upstreams/identity");
    let show = json!({"ticket": ticket, "verifier": verifier.as_str()});
    let identity: Identity = read_json(&url, &http.post_json(&url, &show, None).await?)?;
    Ok(Evidence::Upstream(UpstreamEvidence {
        kind: UpstreamKind::V1,
        issuer: identity.issuer,
        subject: identity.subject,
        ticket,
        verifier: verifier.to_string(),
    }))
}

/// The ticket that a browser brings to this path. Whatever else comes is sent away.
async fn wait_for(listener: &TcpListener, path: &str) -> Result<String, CliError> {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            return Err(no_loopback());
        };
        let head = tokio::time::timeout(HEAD_WAIT, head_of(&mut stream)).await;
        let brought = head.ok().flatten().and_then(|head| brought(&head, path));
        let (status, text) = match &brought {
            Some(Ok(_)) => ("200 OK", "Done. Go back to your wallet."),
            Some(Err(_)) => ("200 OK", "It was refused. Your wallet says why."),
            None => ("404 Not Found", "Nothing is here."),
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\
             cache-control: no-store\r\nconnection: close\r\n\r\n{text}",
            text.len()
        );
        // Whether the browser shows it or not, the ticket is here.
        let _shown = stream.write_all(answer.as_bytes()).await;
        if let Some(brought) = brought {
            return brought.map_err(|code| refused(&code));
        }
    }
}

/// The head of a request, up to its empty line.
async fn head_of(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut part = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let len = stream.read(&mut part).await.ok()?;
        if len == 0 || head.len() + len > MAX_HEAD_BYTES {
            return None;
        }
        head.extend_from_slice(&part[..len]);
    }
    String::from_utf8(head).ok()
}

/// What a request for our path brings: a ticket, or the code of a refusal.
fn brought(head: &str, path: &str) -> Option<Result<String, String>> {
    let target = head.strip_prefix("GET ")?.split(' ').next()?;
    let (at, query) = target.split_once('?')?;
    if at != path {
        return None;
    }
    let one = |name: &str| {
        let mut values = url::form_urlencoded::parse(query.as_bytes())
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value.into_owned());
        values.next().filter(|_| values.next().is_none())
    };
    let b64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let is_ticket = |text: &String| text.len() <= MAX_TICKET_BYTES && text.bytes().all(b64);
    if let Some(ticket) = one("ticket") {
        return Some(Ok(ticket)).filter(|_| one("ticket").as_ref().is_some_and(is_ticket));
    }
    let dotted = |b: u8| b.is_ascii_lowercase() || matches!(b, b'.' | b'_');
    let code = one("error").filter(|code| code.len() <= 40 && code.bytes().all(dotted))?;
    Some(Err(code))
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

fn no_loopback() -> CliError {
    CliError::new(
        "upstream.loopback",
        "a wallet can wait on the loopback interface",
        "this device",
        "let the wallet listen on 127.0.0.1",
    )
}

fn secret() -> Result<Zeroizing<String>, CliError> {
    let bytes = Zeroizing::new(vault::random::<32>()?);
    Ok(Zeroizing::new(URL_SAFE_NO_PAD.encode(&bytes[..])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_path_brings_a_ticket_and_one() {
        let head = |target: &str| format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n");
        let read = |target: &str| brought(&head(target), "/secret");
        assert_eq!(read("/secret?ticket=abc-_1"), Some(Ok("abc-_1".to_owned())));
        assert_eq!(
            read("/secret?error=upstream.denied"),
            Some(Err("upstream.denied".to_owned()))
        );
        for nothing in [
            "/",
            "/favicon.ico",
            "/other?ticket=abc",
            "/secret",
            "/secret?",
            "/secret?ticket=a&ticket=b",
            "/secret?ticket=a%0d%0ab",
            "/secret?error=%1b[2J",
        ] {
            assert_eq!(read(nothing), None, "{nothing}");
        }
        assert_eq!(
            brought("POST /secret?ticket=a HTTP/1.1\r\n\r\n", "/secret"),
            None
        );
    }

    #[tokio::test]
    async fn a_browser_that_comes_back_ends_the_wait_and_others_do_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let waits = tokio::spawn(async move { wait_for(&listener, "/secret").await });
        let get = async |path: &str| {
            let url = format!("http://127.0.0.1:{port}{path}");
            reqwest::get(url).await.unwrap().status().as_u16()
        };
        // a connection that says nothing holds nobody up for good
        let silent = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        drop(silent);
        assert_eq!(get("/favicon.ico").await, 404);
        assert_eq!(get("/wrong?ticket=abc").await, 404);
        assert_eq!(get("/secret?ticket=abc").await, 200);
        assert_eq!(waits.await.unwrap().ok().unwrap(), "abc");
    }
}
