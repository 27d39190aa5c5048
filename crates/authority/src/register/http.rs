//! A register service over HTTP, for an authority whose register lives elsewhere.
//!
//! The contract (spec/enrolment.md, rule N4), JSON both ways, bearer token where one is
//! configured:
//!
//! - `POST {url}/v1/checks` with the evidence as the wallet sent it. `200` with a person record,
//!   or `404` where the evidence does not prove a living person, whatever the reason.
//! - `GET {url}/v1/persons/{reference}`. `200` with a person record, or `404`.
//!
//! A person record is `{"reference","given_name","family_name","resident_number","birthdate",
//! "sex","nationalities","region"}`; `sex` is 0, 1, 2 or 9 (ISO/IEC 5218). The reference is opaque,
//! 1 to 64 characters of `A-Z a-z 0-9 . _ -`.

use realdid_credential::pid::{Assurance, Sex};
use realdid_exchange::tag::{CardEvidence, normalise};
use serde::Deserialize;
use std::time::Duration;

use super::{Person, RegisterRefusal};

/// References that begin like this are foreigners', whom no register service knows.
const RESERVED: &str = super::foreigners::PREFIX;
/// The largest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 16 * 1024;

/// A service of some register: where it is, and how it is asked.
pub(super) struct Service {
    url: String,
    token: Option<String>,
    http: reqwest::Client,
}

impl Service {
    /// `url` without a trailing slash; `token` is sent as bearer token.
    pub fn new(url: &str, token: Option<String>) -> Result<Self, RegisterRefusal> {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(10))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|_| RegisterRefusal::Unavailable)?;
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            token,
            http,
        })
    }

    pub fn post(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.post(format!("{}{path}", self.url))
    }

    pub fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.get(format!("{}{path}", self.url))
    }

    /// Status and body of an answer that is not too long.
    pub async fn answer(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<(u16, Vec<u8>), RegisterRefusal> {
        let unavailable = RegisterRefusal::Unavailable;
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let mut response = request.send().await.map_err(|_| unavailable)?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|_| unavailable)? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(unavailable);
            }
            body.extend_from_slice(&chunk);
        }
        Ok((status, body))
    }
}

/// A client of a register service of residents.
pub struct HttpRegister(Service);

#[derive(Deserialize)]
struct PersonRecord {
    reference: String,
    given_name: String,
    family_name: String,
    resident_number: String,
    birthdate: String,
    sex: u64,
    nationalities: Vec<String>,
    region: String,
}

impl HttpRegister {
    /// `url` without a trailing slash; `token` is sent as bearer token.
    pub fn new(url: &str, token: Option<String>) -> Result<Self, RegisterRefusal> {
        Service::new(url, token).map(Self)
    }

    pub async fn check(&self, evidence: &CardEvidence) -> Result<Person, RegisterRefusal> {
        self.ask(self.0.post("/v1/checks").json(evidence)).await
    }

    pub async fn person(&self, reference: &str) -> Result<Person, RegisterRefusal> {
        if !is_persons(reference) {
            return Err(RegisterRefusal::Evidence);
        }
        self.ask(self.0.get(&format!("/v1/persons/{reference}")))
            .await
    }

    async fn ask(&self, request: reqwest::RequestBuilder) -> Result<Person, RegisterRefusal> {
        let unavailable = RegisterRefusal::Unavailable;
        let (status, body) = self.0.answer(request).await?;
        match status {
            200 => {}
            404 => return Err(RegisterRefusal::Evidence),
            _ => return Err(unavailable),
        }
        let record: PersonRecord = serde_json::from_slice(&body).map_err(|_| unavailable)?;
        if !is_persons(&record.reference) {
            return Err(unavailable);
        }
        Ok(Person {
            reference: record.reference,
            given_name: record.given_name,
            family_name: record.family_name,
            number: normalise(&record.resident_number).map_err(|_| unavailable)?,
            birthdate: record.birthdate,
            sex: Sex::from_code(record.sex).map_err(|_| unavailable)?,
            nationalities: record.nationalities,
            region: record.region,
            assurance: Assurance::Substantial,
            is_foreign: false,
        })
    }
}

fn is_persons(text: &str) -> bool {
    is_reference(text) && !text.starts_with(RESERVED)
}

/// Whether a reference can stand in a path and in a store.
pub(super) fn is_reference(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=64).contains(&text.len()) && text.bytes().all(plain) && text != "." && text != ".."
}
