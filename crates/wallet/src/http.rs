//! HTTP as the wallet speaks it: bounded answers, no redirects, refusals by their names; and the
//! small browser with which it logs in.

use crate::error::{CliError, printable};
use realdid_exchange::vci::attestation::Provider;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use url::{Origin, Url};

/// The longest answer that is read, in bytes: a batch of credentials.
const MAX_ANSWER_BYTES: usize = 2 * 1024 * 1024;
/// The media type of a form.
pub const FORM: &str = "application/x-www-form-urlencoded";
/// How many redirects the browser follows.
const MAX_REDIRECTS: usize = 12;

/// A client without cookies.
#[derive(Clone)]
pub struct Http {
    client: reqwest::Client,
    /// Who vouches for this wallet to issuers, where there is somebody.
    provider: Option<Arc<Provider>>,
}

/// An answer of any status.
#[derive(Debug)]
pub struct Answer {
    pub url: Url,
    pub status: u16,
    pub location: Option<String>,
    pub set_cookies: Vec<String>,
    /// The nonce for the next proof of a key (RFC 9449 §8).
    pub dpop_nonce: Option<String>,
    /// What is wrong with a token (RFC 6750 §3).
    pub challenge: Option<String>,
    pub body: Vec<u8>,
}

/// What services of ours say when they refuse; OAuth's form has `error` instead of `title`.
#[derive(Deserialize)]
struct Problem {
    code: Option<String>,
    rule: Option<String>,
    fix: Option<String>,
    fault: Option<String>,
    title: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

impl Http {
    pub fn new() -> Result<Self, CliError> {
        reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(60))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map(|client| Self {
                client,
                provider: None,
            })
            .map_err(|_| {
                CliError::new(
                    "http.client",
                    "the system gives a TLS client",
                    "this device",
                    "look at its certificates",
                )
            })
    }

    /// The same, of a wallet that this provider vouches for.
    pub fn vouched_for(self, provider: Option<Provider>) -> Self {
        Self {
            provider: provider.map(Arc::new),
            ..self
        }
    }

    /// Who vouches for this wallet.
    pub(crate) fn provider(&self) -> Option<&Provider> {
        self.provider.as_deref()
    }

    /// GETs and answers the body where it is a success.
    pub async fn get(&self, url: &Url) -> Result<Vec<u8>, CliError> {
        let request = self
            .client
            .get(url.clone())
            .header("accept", "application/json, */*;q=0.5");
        self.send(url, request).await?.success()
    }

    /// GETs a JSON document.
    pub async fn json<T: DeserializeOwned>(&self, url: &Url) -> Result<T, CliError> {
        read_json(url, &self.get(url).await?)
    }

    /// POSTs JSON and answers the body where it is a success.
    pub async fn post_json(
        &self,
        url: &Url,
        body: &impl serde::Serialize,
    ) -> Result<Vec<u8>, CliError> {
        let request = self.client.post(url.clone());
        let request = request.header("accept", "application/json").json(body);
        self.send(url, request).await?.success()
    }

    /// POSTs bytes of a media type with more headers; the answer may be a refusal.
    pub async fn post(
        &self,
        url: &Url,
        media_type: &str,
        body: Vec<u8>,
        headers: &[(&'static str, String)],
    ) -> Result<Answer, CliError> {
        let mut request = self
            .client
            .post(url.clone())
            .header("accept", "application/json, application/jwt")
            .header("content-type", media_type)
            .body(body);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        self.send(url, request).await
    }

    /// POSTs a form whose fields stand for themselves.
    pub async fn post_form(&self, url: &Url, form: String) -> Result<Answer, CliError> {
        self.post(url, FORM, form.into_bytes(), &[]).await
    }

    async fn send(&self, url: &Url, request: reqwest::RequestBuilder) -> Result<Answer, CliError> {
        let mut response = request.send().await.map_err(|_| unreachable_error(url))?;
        let text = |value: &reqwest::header::HeaderValue| value.to_str().ok().map(str::to_owned);
        let headers = response.headers();
        let location = headers.get("location").and_then(text);
        let dpop_nonce = headers.get("dpop-nonce").and_then(text);
        let challenge = headers.get("www-authenticate").and_then(text);
        let set_cookies = headers
            .get_all("set-cookie")
            .iter()
            .filter_map(text)
            .collect();
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|_| unreachable_error(url))? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(CliError::new(
                    "http.too_long",
                    &format!("an answer of {} is at most 2 MB", host(url)),
                    "server",
                    "tell its operator",
                ));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer {
            url: url.clone(),
            status,
            location,
            set_cookies,
            dpop_nonce,
            challenge,
            body,
        })
    }
}

impl Answer {
    /// The error code of OAuth, where a refusal has one.
    pub fn oauth_error(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Refusal {
            error: String,
        }
        let refused = (400..500).contains(&self.status);
        let refusal = refused.then(|| serde_json::from_slice::<Refusal>(&self.body));
        refusal?.ok().map(|refusal| refusal.error)
    }

    /// The body of a success; a refusal by the name that the server gave it.
    pub fn success(self) -> Result<Vec<u8>, CliError> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        let problem: Option<Problem> = serde_json::from_slice(&self.body).ok();
        let host = host(&self.url);
        let Some(problem) = problem else {
            return Err(CliError::new(
                "http.status",
                &format!(
                    "{host} answers {} with success, not {}",
                    self.url.path(),
                    self.status
                ),
                "server",
                "try again, or tell its operator",
            ));
        };
        let first = |texts: [Option<String>; 3], otherwise: &str| {
            let text = texts.into_iter().flatten().next();
            printable(&text.unwrap_or_else(|| otherwise.to_owned()))
        };
        let Problem {
            code,
            rule,
            fix,
            fault,
            title,
            error,
            error_description,
        } = problem;
        Err(CliError {
            code: first([code, error, None], "http.refused"),
            rule: first(
                [rule, error_description, title],
                "the request is one that the server accepts",
            ),
            fault: first(
                [fault, None, None],
                if self.status >= 500 {
                    "server"
                } else {
                    "wallet"
                },
            ),
            fix: first([fix, None, None], &format!("ask the operator of {host}")),
        })
    }
}

/// Reads a JSON body.
pub fn read_json<T: DeserializeOwned>(url: &Url, body: &[u8]) -> Result<T, CliError> {
    serde_json::from_slice(body).map_err(|_| {
        CliError::new(
            "http.malformed",
            &format!(
                "{} answers {} in the JSON that is expected",
                host(url),
                url.path()
            ),
            "server",
            "check the address",
        )
    })
}

/// Reads an address that a person gave: http or https, without a fragment.
pub fn address(text: &str) -> Result<Url, CliError> {
    let url = Url::parse(text.trim()).ok();
    url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| {
            CliError::user(
                "url.malformed",
                "an address is an http or https URL",
                "give the whole address",
            )
        })
}

/// `base` with `path` appended.
pub fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url.set_query(None);
    url.set_fragment(None);
    url
}

/// The code of [`CliError`]s that say that a server cannot be reached.
pub const UNREACHABLE: &str = "http.unreachable";

fn unreachable_error(url: &Url) -> CliError {
    CliError::new(
        UNREACHABLE,
        &format!("{} answers", host(url)),
        "server or network",
        "check the address and try again",
    )
}

fn host(url: &Url) -> String {
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    format!("{}{port}", url.host_str().unwrap_or("the server"))
}

/// A browser as far as a login needs one: it keeps cookies and follows redirects.
///
/// A cookie goes back to the exact origin that set it and nowhere else. That is narrower than
/// RFC 6265, which sends cookies to every port of a host: services that share a host in
/// development stay apart here.
pub struct Browser {
    http: Http,
    cookies: Vec<Cookie>,
}

#[derive(Debug)]
struct Cookie {
    origin: Origin,
    name: String,
    value: String,
}

impl Browser {
    pub fn new(http: Http) -> Self {
        Self {
            http,
            cookies: vec![],
        }
    }

    /// Opens a page; `accept` is the media type that is wanted. Follows redirects and answers
    /// where they end.
    pub async fn open(&mut self, url: &Url, accept: &str) -> Result<Answer, CliError> {
        let mut url = url.clone();
        for _ in 0..MAX_REDIRECTS {
            let mut request = self.http.client.get(url.clone()).header("accept", accept);
            let cookies = self.cookies(&url.origin());
            if !cookies.is_empty() {
                request = request.header("cookie", cookies);
            }
            let answer = self.http.send(&url, request).await?;
            self.keep(&url.origin(), &answer.set_cookies);
            match &answer.location {
                Some(location) if (300..400).contains(&answer.status) => {
                    let next = url.join(location).ok();
                    let web = |next: &Url| matches!(next.scheme(), "http" | "https");
                    url = next.filter(web).ok_or_else(|| bad_redirect(&url))?;
                }
                _ => return Ok(answer),
            }
        }
        Err(bad_redirect(&url))
    }

    /// The cookies of an origin as a `Cookie` header.
    pub fn cookies(&self, origin: &Origin) -> String {
        let of_origin = self
            .cookies
            .iter()
            .filter(|cookie| cookie.origin == *origin);
        let pairs: Vec<String> = of_origin
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect();
        pairs.join("; ")
    }

    fn keep(&mut self, origin: &Origin, set: &[String]) {
        for line in set {
            let mut parts = line.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else {
                continue;
            };
            // How servers take a cookie back. Other lifetimes outlast this login.
            let ended = parts.any(|part| {
                let part = part.to_ascii_lowercase();
                part.strip_prefix("max-age=")
                    .is_some_and(|age| age == "0" || age.starts_with('-'))
                    || (part.starts_with("expires=") && part.contains("1970"))
            });
            self.cookies
                .retain(|cookie| cookie.origin != *origin || cookie.name != name);
            if !ended {
                self.cookies.push(Cookie {
                    origin: origin.clone(),
                    name: name.to_owned(),
                    value: value.to_owned(),
                });
            }
        }
    }
}

fn bad_redirect(url: &Url) -> CliError {
    CliError::new(
        "http.redirect",
        &format!(
            "{} redirects to a web page, and at most {MAX_REDIRECTS} times",
            host(url)
        ),
        "service",
        "tell its operator",
    )
}

#[cfg(test)]
mod tests;
