//! Credentials of organisations (spec/enrolment.md, rules C10 to C14): a person who has enrolled proves that
//! they may act for one, and gets an offer; copies are made by the same endpoints and tokens as the PID's, as
//! long as the register says that they still may.
//!
//! `POST /v1/mandates` is the only route. A token that comes of such an offer opens the organisation's
//! credential and nothing of the person's.

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use rand_core::Rng as _;
use realdid_credential::jose::{Jwk, VerifyingKey};
use realdid_credential::organisation;
use realdid_credential::sd_jwt::Terms;
use realdid_exchange::mandate::{MandateRequest, MandateResponse};
use realdid_exchange::vci::{
    CredentialOffer, ORGANISATION_CONFIGURATION, PID_CONFIGURATION, VciError, validity,
};
use realdid_serve::{Problem, RateLimit, limit_rate};
use std::sync::Arc;
use utoipa::OpenApi;

use crate::endpoints::{refusal, with_nonce};
use crate::enrolment::{OFFER_LIFE_S, TX_CODE_DIGITS};
use crate::issuing::IssueError;
use crate::oauth::Caller;
use crate::register::organisations::{MandateRefusal, Organisations, Registered};
use crate::service::{Authority, read_json, refused};
use crate::store::{Grant, Holder, TokenKind};
use crate::text::{random_digits, random_secret, seeded};

const PATH: &str = "/v1/mandates";

impl Authority {
    /// Makes an offer to whoever may act for the organisation that the evidence proves.
    pub async fn mandate(
        &self,
        caller: &Caller,
        request: &MandateRequest,
    ) -> Result<MandateResponse, IssueError> {
        let now_s = self.clock.now_s();
        let token = caller.token()?;
        let holder = self.store.token(TokenKind::Refresh, token, now_s).await?;
        // What came of another mandate is no person's token.
        let holder = holder.filter(|holder| holder.grant.opens(PID_CONFIGURATION));
        let holder = holder.ok_or(VciError::AccessToken)?;
        self.bound(caller, &holder.grant.jkt, PATH).await?;
        self.need_active(&holder.person).await?;
        let register = self.organisations()?;
        let found = register
            .represented(&holder.person, &request.evidence)
            .await?;
        let (code, tx_code) = (random_secret()?, random_digits(TX_CODE_DIGITS)?);
        let expires_s = now_s + OFFER_LIFE_S;
        self.store
            .add_mandate_code((&code, &tx_code), &holder, &found.reference, expires_s)
            .await?;
        metrics::counter!("authority_mandates_total").increment(1);
        let digits = TX_CODE_DIGITS as u32;
        Ok(MandateResponse {
            credential_offer: CredentialOffer::organisation(&self.url, code, digits),
            tx_code,
        })
    }

    fn organisations(&self) -> Result<&Organisations, MandateRefusal> {
        self.organisations.as_ref().ok_or(MandateRefusal::Off)
    }

    /// C12: the grant of a code, or of the tokens that come of it.
    pub(crate) async fn granted(&self, code: &str) -> Result<Grant, IssueError> {
        let mandate = self.store.mandate(code).await?;
        let configurations = mandate.map(|_| ORGANISATION_CONFIGURATION.to_owned());
        Ok(Grant {
            configurations: configurations.into_iter().collect(),
            ..Grant::default()
        })
    }

    /// C12: a token that comes of another secret is for the same organisation.
    pub(crate) async fn hand_mandate_on(
        &self,
        from: &str,
        (token, expires_s): (&str, u64),
        grant: &Grant,
    ) -> Result<(), IssueError> {
        if is_of_organisation(grant) {
            let mandate = self.store.mandate(from).await?.ok_or(VciError::Grant)?;
            self.store.add_mandate(token, &mandate, expires_s).await?;
        }
        Ok(())
    }

    /// The organisation for which the holder asks with this token, while they may act for it.
    async fn represented(&self, token: &str, holder: &Holder) -> Result<Registered, IssueError> {
        let mandate = self.store.mandate(token).await?;
        let reference = mandate.ok_or(VciError::UnknownConfiguration)?;
        let register = self.organisations()?;
        Ok(register.organisation(&holder.person, &reference).await?)
    }

    /// C13: one copy for each key, of the organisation's credential.
    pub(crate) async fn organisation_copies(
        &self,
        token: &str,
        holder: &Holder,
        keys: Vec<VerifyingKey>,
        now_s: u64,
    ) -> Result<Vec<String>, IssueError> {
        let found = self.represented(token, holder).await?;
        let validity = validity(&self.ledger.genesis().parameters, now_s);
        let key_id = self.keys.pid.id.to_string();
        let terms = Terms {
            iss: &self.url,
            vct: organisation::VCT,
            kid: &key_id,
            iat_s: validity.issued_at_s,
            exp_s: validity.expires_s,
            x5c: &[],
        };
        let holders: Vec<Jwk> = keys.into_iter().map(Jwk).collect();
        let mut drawn = seeded()?;
        let mut salt = || {
            let mut salt = [0; 16];
            drawn.fill_bytes(&mut salt);
            salt
        };
        let key = &self.keys.pid.key;
        let copies =
            organisation::issue_batch(&found.organisation, &terms, &holders, key, &mut salt)?;
        Ok(copies)
    }
}

/// Whether a grant opens an organisation's credential: then it opens nothing else.
pub(crate) fn is_of_organisation(grant: &Grant) -> bool {
    grant.configurations.as_slice() == [ORGANISATION_CONFIGURATION]
}

type Service = State<Arc<Authority>>;

/// The route. Somebody could guess at evidence, so one source has a limit.
pub(crate) fn router(authority: Arc<Authority>, rate: RateLimit) -> Router {
    let limited = Router::new()
        .route("/v1/mandates", post(mandate))
        .with_state(authority);
    limit_rate(limited, rate)
}

/// Offers an organisation's credential to a person who has enrolled and may act for it.
#[utoipa::path(post, path = "/v1/mandates", tag = "organisations",
    request_body(content_type = "application/json", description = "{evidence}: the content of the register's extract; Authorization: the refresh token, as it is bound"),
    responses(
        (status = 200, description = "{credential_offer, tx_code}", body = Object),
        (status = 400, description = "request.malformed or enrolment.suspended"),
        (status = 401, description = "vci.access_token, invalid_dpop_proof or use_dpop_nonce"),
        (status = 403, description = "organisation.evidence or organisation.representative"),
        (status = 404, description = "organisation.off"),
        (status = 429, description = "request.rate"),
        (status = 503, description = "organisation.unavailable"),
    ))]
async fn mandate(
    State(authority): Service,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let request: MandateRequest = read_json(&body)?;
    let caller = Caller::of(&headers);
    let response = match authority.mandate(&caller, &request).await {
        Ok(response) => Json(response).into_response(),
        // What is wrong with a proof is said as everywhere, so that it is made anew (RFC 9449 §9).
        Err(error) if error.is_of_proof() => refusal("mandate", &error, "access_denied", true),
        Err(error) => {
            let answer = error.answer("access_denied");
            return Err(refused("mandate", answer.problem().clone()));
        }
    };
    Ok(with_nonce(&authority, &caller, response))
}

#[derive(OpenApi)]
#[openapi(paths(mandate))]
pub(crate) struct Api;
