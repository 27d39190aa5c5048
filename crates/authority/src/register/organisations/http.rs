//! A register service of organisations over HTTP.
//!
//! The contract (spec/enrolment.md, rule C10), JSON both ways, bearer token where one is configured:
//!
//! - `POST {url}/v1/mandates` with `{"person", "evidence"}`: the authority's reference of the person, and the
//!   evidence as the wallet sent it. `200` with an organisation record; `404` where the evidence does not
//!   prove an organisation that stands, whatever the reason; `403` where the register does not name the person.
//! - `GET {url}/v1/organisations/{reference}/representatives/{person}`. The same answers.
//!
//! An organisation record is `{"reference","legal_name","registration_number"?,"country"}`. References are
//! opaque, 1 to 64 characters of `A-Z a-z 0-9 . _ -`.

use realdid_credential::organisation::Organisation;
use realdid_exchange::mandate::MandateEvidence;
use serde::Deserialize;
use serde_json::json;

use super::{MandateRefusal, Registered};
use crate::register::RegisterRefusal;
use crate::register::http::{Service, is_reference};

/// A client of a register service of organisations.
pub struct HttpOrganisations(Service);

#[derive(Deserialize)]
struct OrganisationRecord {
    reference: String,
    legal_name: String,
    registration_number: Option<String>,
    country: String,
}

impl HttpOrganisations {
    /// `url` without a trailing slash; `token` is sent as bearer token.
    pub fn new(url: &str, token: Option<String>) -> Result<Self, RegisterRefusal> {
        Service::new(url, token).map(Self)
    }

    pub async fn represented(
        &self,
        person: &str,
        evidence: &MandateEvidence,
    ) -> Result<Registered, MandateRefusal> {
        let body = json!({ "person": person, "evidence": evidence });
        let request = self.0.post("/v1/mandates").json(&body);
        self.ask(request).await
    }

    pub async fn organisation(
        &self,
        person: &str,
        reference: &str,
    ) -> Result<Registered, MandateRefusal> {
        if !is_reference(reference) || !is_reference(person) {
            return Err(MandateRefusal::Representative);
        }
        let path = format!("/v1/organisations/{reference}/representatives/{person}");
        self.ask(self.0.get(&path)).await
    }

    async fn ask(&self, request: reqwest::RequestBuilder) -> Result<Registered, MandateRefusal> {
        let unavailable = MandateRefusal::Unavailable;
        let answer = self.0.answer(request).await;
        let (status, body) = answer.map_err(|_| unavailable)?;
        match status {
            200 => {}
            403 => return Err(MandateRefusal::Representative),
            404 => return Err(MandateRefusal::Evidence),
            _ => return Err(unavailable),
        }
        let record: OrganisationRecord = serde_json::from_slice(&body).map_err(|_| unavailable)?;
        let organisation = Organisation {
            legal_name: record.legal_name,
            registration_number: record.registration_number,
            country: record.country,
        };
        // What makes no credential is not offered either.
        let sound = is_reference(&record.reference) && organisation.to_claims().is_ok();
        sound
            .then_some(Registered {
                reference: record.reference,
                organisation,
            })
            .ok_or(unavailable)
    }
}
