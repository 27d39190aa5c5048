//! Who may ask for a credential: pushed requests, the person's login, codes and tokens, and the
//! keys that tokens are bound to (spec/issuing.md, O1 to O9).
//!
//! The rules of the protocols are in [`realdid_exchange::vci`]; here is what has to be remembered.
//! Proofs carry a nonce of this server, which is not stored (as in [`crate::issuing`]); each is
//! used once, at all processes together.

use axum::http::{HeaderMap, header};
use realdid_core::state::Standing;
use realdid_exchange::oidc::dpop;
use realdid_exchange::tag::Evidence;
use realdid_exchange::vci::authorization::{
    AuthorizationRequest, PushedResponse, REQUEST_URI_PREFIX, granted_details,
};
use realdid_exchange::vci::{TokenRequest, TokenResponse, VciError};

use crate::issuing::{ACCESS_LIFE_S, IssueError, NonceFor, REFRESH_LIFE_S};
use crate::register::RegisterRefusal;
use crate::service::Authority;
use crate::store::{Grant, Holder, TokenKind};
use crate::text::{base64url, random_secret};

/// How long a pushed request waits for the person, in seconds.
pub const PUSHED_LIFE_S: u64 = 600;
/// How often a person may try to log in to one request.
pub const LOGIN_TRIES: u64 = 5;
/// How long a code may be redeemed, in seconds.
pub const CODE_LIFE_S: u64 = 60;
/// The longest value of a header that is read, in bytes.
const MAX_HEADER_BYTES: usize = 16 * 1024;

/// What a client says of itself beside the body of its request. Nothing of it is verified.
#[derive(Default)]
pub struct Caller {
    /// The access token, and whether it came by the scheme DPoP.
    token: Option<(String, bool)>,
    dpop: Option<String>,
    attestation: Option<String>,
    attestation_pop: Option<String>,
}

impl Caller {
    /// Reads the headers. One that stands twice is as good as none that can be believed.
    pub fn of(headers: &HeaderMap) -> Self {
        let one = |name: &str| {
            let mut values = headers.get_all(name).iter();
            let value = values.next()?.to_str().ok()?;
            let sound = values.next().is_none() && value.len() <= MAX_HEADER_BYTES;
            sound.then(|| value.to_owned())
        };
        let token = one(header::AUTHORIZATION.as_str()).and_then(|text| {
            let (scheme, token) = text.split_once(' ')?;
            let by_dpop = scheme.eq_ignore_ascii_case("dpop");
            let known = by_dpop || scheme.eq_ignore_ascii_case("bearer");
            let sound = known && token.len() <= 512;
            sound.then(|| (token.trim().to_owned(), by_dpop))
        });
        Self {
            token,
            dpop: one("dpop"),
            attestation: one("oauth-client-attestation"),
            attestation_pop: one("oauth-client-attestation-pop"),
        }
    }

    /// Somebody with a token that is bound to no key.
    #[cfg(test)]
    pub fn bearer(token: &str) -> Self {
        Self {
            token: Some((token.to_owned(), false)),
            ..Self::default()
        }
    }

    /// Whether it speaks DPoP: it is then told a nonce for the next proof.
    pub fn speaks_dpop(&self) -> bool {
        self.dpop.is_some()
    }

    /// The access token as text.
    pub fn token(&self) -> Result<&str, VciError> {
        let token = self.token.as_ref().map(|(token, _)| token.as_str());
        token.ok_or(VciError::AccessToken)
    }
}

impl Authority {
    /// O5: a proof for this endpoint, used up. Answers the thumbprint of its key.
    async fn proved(
        &self,
        proof: &str,
        path: &str,
        token: Option<&str>,
    ) -> Result<String, IssueError> {
        let now_s = self.clock.now_s();
        let url = format!("{}{path}", self.url);
        let proof = dpop::verify(proof, "POST", &url, token, now_s).map_err(|_| VciError::Dpop)?;
        let nonce = proof.nonce.as_deref().unwrap_or_default();
        if self.nonce_end(NonceFor::Dpop, nonce).is_none() {
            return Err(VciError::DpopNonce.into());
        }
        let id = format!("dpop.{}", base64url(&proof.id));
        if !self.store.use_nonce(&id, proof.expires_s).await? {
            return Err(VciError::DpopReplayed.into());
        }
        Ok(proof.jkt)
    }

    /// O6: that a token is used as it is bound.
    pub(crate) async fn bound(
        &self,
        caller: &Caller,
        jkt: &str,
        path: &str,
    ) -> Result<(), IssueError> {
        let (token, by_dpop) = caller.token.as_ref().ok_or(VciError::AccessToken)?;
        if by_dpop == &jkt.is_empty() {
            return Err(VciError::DpopKey.into());
        }
        if jkt.is_empty() {
            return Ok(());
        }
        let proof = caller.dpop.as_deref().ok_or(VciError::DpopKey)?;
        let proved = self.proved(proof, path, Some(token)).await?;
        (proved == jkt)
            .then_some(())
            .ok_or_else(|| VciError::DpopKey.into())
    }

    /// Whose access token it is, used as it is bound.
    pub(crate) async fn holder(&self, caller: &Caller, path: &str) -> Result<Holder, IssueError> {
        let token = caller.token()?;
        let now_s = self.clock.now_s();
        let holder = self.store.token(TokenKind::Access, token, now_s).await?;
        let holder = holder.ok_or(VciError::AccessToken)?;
        self.bound(caller, &holder.grant.jkt, path).await?;
        Ok(holder)
    }

    /// O7: the wallet's attestation, where it has one or must have one. `client_id` is what the
    /// request says.
    async fn client(&self, caller: &Caller, client_id: Option<&str>) -> Result<(), IssueError> {
        let (attestation, pop) = match (&caller.attestation, &caller.attestation_pop) {
            (None, None) if self.attested_only => return Err(VciError::AttestationMissing.into()),
            (None, None) => return Ok(()),
            (Some(attestation), Some(pop)) => (attestation, pop),
            _ => return Err(VciError::Attestation.into()),
        };
        let now_s = self.clock.now_s();
        let client = self.providers.client(attestation, pop, &self.url, now_s)?;
        if client_id.is_some_and(|id| id != client.client_id) {
            return Err(VciError::AttestationClient.into());
        }
        let id = format!("client.{}", base64url(&client.pop_id));
        if !self.store.use_nonce(&id, client.expires_s).await? {
            return Err(VciError::AttestationReplayed.into());
        }
        Ok(())
    }

    /// O1: the endpoint of pushed requests.
    pub async fn pushed(&self, caller: &Caller, body: &[u8]) -> Result<PushedResponse, IssueError> {
        let mut request = AuthorizationRequest::parse(body, self.configurations())?;
        self.client(caller, Some(request.client_id.as_str()))
            .await?;
        if let Some(proof) = &caller.dpop {
            let jkt = self.proved(proof, "/par", None).await?;
            // RFC 9449 §10.1: both, where both are there, name one key.
            if request.dpop_jkt.as_ref().is_some_and(|named| *named != jkt) {
                return Err(VciError::DpopKey.into());
            }
            request.dpop_jkt = Some(jkt);
        }
        let request_uri = format!("{REQUEST_URI_PREFIX}{}", random_secret()?);
        let expires_s = self.clock.now_s() + PUSHED_LIFE_S;
        self.store.push(&request_uri, &request, expires_s).await?;
        Ok(PushedResponse {
            request_uri,
            expires_in: PUSHED_LIFE_S,
        })
    }

    /// O2: the pushed request that a browser brings, while the person may log in to it.
    pub async fn asked(
        &self,
        client_id: &str,
        request_uri: &str,
    ) -> Result<AuthorizationRequest, IssueError> {
        let now_s = self.clock.now_s();
        let request = self.store.pushed(request_uri, LOGIN_TRIES, now_s).await?;
        request
            .filter(|request| request.client_id == client_id)
            .ok_or_else(|| VciError::PushedUnknown.into())
    }

    /// O3: the person shows evidence, and the browser goes back with a code.
    pub async fn log_in(
        &self,
        request: &AuthorizationRequest,
        request_uri: &str,
        evidence: &Evidence,
    ) -> Result<String, IssueError> {
        let person = match self.who(evidence).await {
            Ok(person) => person,
            Err(refusal) => {
                // A register that is silent is not the person's failure.
                if refusal != RegisterRefusal::Unavailable {
                    self.store.fail_pushed(request_uri).await?;
                }
                return Err(refusal.into());
            }
        };
        match self.store.enrolled(&person.reference).await? {
            None => return Err(IssueError::NotEnrolled),
            Some(known) if known.standing != Standing::Active => return Err(IssueError::Suspended),
            Some(_) => {}
        }
        if !self.store.end_pushed(request_uri).await? {
            return Err(VciError::PushedUnknown.into());
        }
        let code = random_secret()?;
        let expires_s = self.clock.now_s() + CODE_LIFE_S;
        let added = self
            .store
            .add_authorization(&code, &person.reference, request, expires_s)
            .await?;
        if !added {
            return Err(IssueError::Suspended);
        }
        metrics::counter!("authority_authorizations_total").increment(1);
        Ok(request.answer(&self.url, Ok(&code)))
    }

    /// The person does not want to.
    pub async fn decline(
        &self,
        request: &AuthorizationRequest,
        request_uri: &str,
    ) -> Result<String, IssueError> {
        if self.store.end_pushed(request_uri).await? {
            Ok(request.answer(&self.url, Err("access_denied")))
        } else {
            Err(VciError::PushedUnknown.into())
        }
    }

    /// The token endpoint.
    pub async fn token(&self, caller: &Caller, body: &[u8]) -> Result<TokenResponse, IssueError> {
        let now_s = self.clock.now_s();
        let request = TokenRequest::parse(body)?;
        let client_id = match &request {
            TokenRequest::AuthorizationCode { client_id, .. } => client_id.as_deref(),
            _ => None,
        };
        self.client(caller, client_id).await?;
        let jkt = match &caller.dpop {
            Some(proof) => self.proved(proof, "/token", None).await?,
            None => String::new(),
        };
        match request {
            TokenRequest::PreAuthorized { code, tx_code } => {
                let (mut holder, state) = self.store.code(&code).await?.ok_or(VciError::Grant)?;
                if let Err(refusal) = state.redeem(tx_code.as_deref(), now_s) {
                    if refusal == VciError::Grant {
                        self.store.fail_code(&code).await?;
                    }
                    return Err(refusal.into());
                }
                self.need_active(&holder.person).await?;
                if !self.store.use_code(&code).await? {
                    return Err(VciError::Grant.into());
                }
                holder.grant = Grant {
                    jkt,
                    ..self.granted(&code).await?
                };
                self.tokens(&holder, now_s, &code).await
            }
            TokenRequest::AuthorizationCode {
                code,
                redirect_uri,
                code_verifier,
                client_id,
            } => {
                if jkt.is_empty() {
                    return Err(VciError::DpopMissing.into());
                }
                let Some((mut holder, asked)) = self.store.use_authorization(&code, now_s).await?
                else {
                    // RFC 6749 §4.1.2: a code that comes twice is in other hands.
                    self.store.revoke_authorization(&code).await?;
                    return Err(VciError::Grant.into());
                };
                asked.redeem(&redirect_uri, client_id.as_deref(), &code_verifier, &jkt)?;
                self.need_active(&holder.person).await?;
                holder.grant = Grant {
                    jkt,
                    configurations: asked.configurations,
                    identifiers: asked.details,
                    code: Some(code.clone()),
                };
                self.tokens(&holder, now_s, &code).await
            }
            TokenRequest::Refresh { refresh_token } => {
                // The token stays the same: a wallet that loses an answer on the way would
                // otherwise have to enrol again.
                let holder = self
                    .store
                    .token(TokenKind::Refresh, &refresh_token, now_s)
                    .await?
                    .ok_or(VciError::Grant)?;
                if holder.grant.jkt != jkt {
                    return Err(VciError::DpopKey.into());
                }
                self.need_active(&holder.person).await?;
                self.access(&holder, now_s, &refresh_token, None).await
            }
        }
    }

    async fn tokens(
        &self,
        holder: &Holder,
        now_s: u64,
        code: &str,
    ) -> Result<TokenResponse, IssueError> {
        let refresh = random_secret()?;
        let expires_s = now_s + REFRESH_LIFE_S;
        self.hand_mandate_on(code, (&refresh, expires_s), &holder.grant)
            .await?;
        self.store
            .add_token(TokenKind::Refresh, &refresh, holder, expires_s)
            .await?;
        self.access(holder, now_s, code, Some(refresh)).await
    }

    async fn access(
        &self,
        holder: &Holder,
        now_s: u64,
        from: &str,
        refresh_token: Option<String>,
    ) -> Result<TokenResponse, IssueError> {
        let access_token = random_secret()?;
        let expires_s = now_s + ACCESS_LIFE_S;
        self.hand_mandate_on(from, (&access_token, expires_s), &holder.grant)
            .await?;
        self.store
            .add_token(TokenKind::Access, &access_token, holder, expires_s)
            .await?;
        let grant = &holder.grant;
        let kind = if grant.jkt.is_empty() {
            "Bearer"
        } else {
            "DPoP"
        };
        Ok(TokenResponse {
            access_token,
            token_type: kind.to_owned(),
            expires_in: Some(ACCESS_LIFE_S),
            refresh_token,
            authorization_details: grant
                .identifiers
                .then(|| granted_details(&grant.configurations)),
        })
    }
}
