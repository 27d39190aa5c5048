//! The steps of a login, and what the gate answers to wallets (OpenID4VP) and to people. Towards
//! websites it is `provider`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use realdid_core::did::{Did, DidId};
use realdid_core::governance::Recognised;
use realdid_core::hash::Hash32;
use realdid_core::state::{Issuer, Standing, issuer_id};
use realdid_credential::jose::Alg;
use realdid_credential::realpass::RealPassError;
use realdid_exchange::did_proof::{self, DidProofError};
use realdid_exchange::jwe::DecryptionKey;
use realdid_exchange::oidc::{Accounts, AuthorizationRequest, Client, Grants, Login, OidcError};
use realdid_exchange::registration::{self, Registration};
use realdid_exchange::vp::{
    self, Ask, Expected, Presented, RequestContent, ResponseEvidence, ResponseRefused, VpError,
    WalletLink, WalletResponse,
};
use serde_json::json;
use subtle::ConstantTimeEq as _;
use url::form_urlencoded;

use crate::abroad::Abroad;
use crate::displays::api;
use crate::displays::flow::Displays;
use crate::follower::Follower;
use crate::keys::{GateKeys, random};
use crate::logins::{Answered, Finished, Logins, Outcome, Progress, Start, Started};
use crate::page::{self, FrontPage, LoginPage, RefusedPage};
use crate::passes::Passes;
use crate::provider;
use crate::receipts::{self, Receipts};
use crate::refusal::Refusal;
use crate::returning::{Person, Returning};
use crate::standing::Standings;
use crate::transcript;
use crate::trust::Trust;
use crate::view::{Snapshot, View};
use crate::{GateError, now_ms};

/// The longest `wallet_nonce`, in bytes.
const MAX_WALLET_NONCE_BYTES: usize = 256;
/// The longest body of a form that is not a presentation, in bytes.
const MAX_FORM_BYTES: usize = 16 * 1024;

/// Everything that requests share.
pub(crate) struct Inner {
    pub trust: Trust,
    pub follower: Follower,
    pub abroad: Abroad,
    pub keys: GateKeys,
    /// The algorithms of the credentials and DIDs that it takes.
    pub algs: Vec<Alg>,
    pub logins: Logins,
    pub grants: Mutex<Grants>,
    pub standings: Standings,
    pub passes: Passes,
    pub returning: Returning,
    /// Where the configuration has a policy.
    pub displays: Option<Displays>,
    /// Where a client has the purpose `kyc`.
    pub receipts: Option<Arc<Receipts>>,
    pub clients: Vec<Client>,
    /// The public URL: the OpenID Connect issuer, without a trailing slash.
    pub issuer: String,
    /// Whether wallets encrypt what they show (`direct_post.jwt`).
    pub encrypted: bool,
    pub login_s: u64,
    pub max_age_s: u64,
    /// Where logins are written down, if anywhere.
    pub transcript: Option<std::path::PathBuf>,
}

pub(crate) type Gate = State<Arc<Inner>>;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "RealDID gate",
        description = "OpenID Connect provider and OpenID4VP verifier of one service"
    ),
    paths(
        provider::discovery,
        provider::jwks,
        provider::push,
        provider::authorize,
        provider::token,
        provider::userinfo,
        provider::logout,
        receipts::receipt_file,
        request_object,
        request_object_post,
        respond,
        proceed
    )
)]
pub(crate) struct GateApi;

/// The gate's routes.
pub(crate) fn router(inner: Arc<Inner>) -> Router {
    Router::new()
        .merge(provider::router())
        .merge(api::router())
        .route(
            "/vp/request/{id}",
            get(request_object).post(request_object_post),
        )
        .route("/vp/response/{id}", post(respond))
        .route("/continue", get(proceed))
        .route("/kyc/receipts/{id}", get(receipts::receipt_file))
        .route("/", get(front))
        .route("/assets/gate.css", get(style))
        .with_state(inner)
}

// ---- OpenID4VP ----------------------------------------------------------------------------

/// The signed request object of a login.
#[utoipa::path(get, path = "/vp/request/{id}", tag = "openid4vp", params(("id" = String, Path)),
    responses((status = 200, description = "application/oauth-authz-req+jwt"), (status = 404, description = "login.unknown")))]
async fn request_object(State(gate): Gate, Path(id): Path<String>) -> Response {
    gate.sign_request(&id, None)
        .unwrap_or_else(|refusal| refusal.problem().into_response())
}

/// The same, with the wallet's own nonce in it (OpenID4VP 1.0 §5.10).
#[utoipa::path(post, path = "/vp/request/{id}", tag = "openid4vp", params(("id" = String, Path)),
    request_body(content = String, content_type = "application/x-www-form-urlencoded", description = "wallet_nonce"),
    responses((status = 200, description = "application/oauth-authz-req+jwt"), (status = 404, description = "login.unknown")))]
async fn request_object_post(State(gate): Gate, Path(id): Path<String>, body: Bytes) -> Response {
    let nonce = form_urlencoded::parse(&body[..body.len().min(MAX_FORM_BYTES)])
        .find(|(name, _)| name == "wallet_nonce")
        .map(|(_, nonce)| nonce.into_owned())
        .filter(|nonce| nonce.len() <= MAX_WALLET_NONCE_BYTES);
    gate.sign_request(&id, nonce.as_deref())
        .unwrap_or_else(|refusal| refusal.problem().into_response())
}

/// A wallet's answer. Accepted: `{"redirect_uri","confirmation_code"}`; the wallet opens the first
/// in the browser of its own device, or shows the second for the person to type in another.
#[utoipa::path(post, path = "/vp/response/{id}", tag = "openid4vp", params(("id" = String, Path)),
    request_body(content = String, content_type = "application/x-www-form-urlencoded", description = "vp_token and state, or error and state"),
    responses((status = 200, description = "where the browser goes on"), (status = 400, description = "the rule that failed")))]
async fn respond(State(gate): Gate, Path(id): Path<String>, body: Bytes) -> Response {
    match gate.take_answer(&id, &body).await {
        Ok((outcome, answered)) => {
            count(outcome);
            let mut redirect_uri = gate.continue_uri(&id);
            redirect_uri.push_str("&response_code=");
            redirect_uri.push_str(&answered.response_code);
            Json(json!({
                "redirect_uri": redirect_uri,
                "confirmation_code": answered.short_code,
            }))
            .into_response()
        }
        Err(refusal) => {
            count(refusal.code);
            tracing::info!(code = refusal.code, "a wallet's answer was refused");
            refusal.problem().into_response()
        }
    }
}

/// The browser comes back: with the response code the login ends at the website.
#[utoipa::path(get, path = "/continue", tag = "openid connect",
    params(("login" = String, Query), ("response_code" = Option<String>, Query)),
    responses(
        (status = 200, description = "still open: the page, or {\"status\"}"),
        (status = 303, description = "to the client's redirect_uri, with code and state"),
        (status = 403, description = "login.other_browser"),
    ))]
async fn proceed(State(gate): Gate, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let (mut id, mut code) = (String::new(), None);
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match name.as_ref() {
            "login" => id = value.into_owned(),
            "response_code" => code = Some(value.into_owned()),
            _ => {}
        }
    }
    let as_json = wants_json(&headers);
    let cookie = cookie_value(&headers, &gate.cookie_name(&id));
    let now_s = now_ms() / 1000;
    let finished = match &code {
        Some(code) => gate.logins.finish(&id, cookie, code, now_s).map(Some),
        None => Ok(None),
    };
    match finished.and_then(|finished| finished.map(|f| gate.conclude(f, now_s)).transpose()) {
        Ok(Some(location)) => see_other(&location, Some(&gate.cookie(&id, "", 0))),
        Ok(None) => gate.show_progress(&id, cookie, now_s, as_json, None),
        Err(refusal) if refusal == Refusal::CODE_WRONG && !as_json => {
            gate.show_progress(&id, cookie, now_s, as_json, Some(refusal))
        }
        Err(refusal) if as_json => refusal.problem().into_response(),
        Err(refusal) => refused_page(refusal, None),
    }
}

/// The gate's own address, for whoever opens it without a login.
async fn front(State(gate): Gate) -> Response {
    let clients = gate.clients.iter().map(|client| client.name.as_str());
    let page = FrontPage {
        clients: clients.collect(),
    };
    page::html(&page, StatusCode::OK, None)
}

async fn style() -> Response {
    (
        [
            (header::CONTENT_TYPE, "text/css"),
            (header::CACHE_CONTROL, "max-age=3600"),
        ],
        page::STYLE,
    )
        .into_response()
}

/// What a login asks of the wallet. The client's configuration was read as paths, so all are.
pub(crate) fn ask(request: &AuthorizationRequest) -> Ask {
    let claims = request.wallet_claims();
    let paths: Vec<_> = claims
        .iter()
        .filter_map(|claim| registration::claim_path(claim))
        .collect();
    Ask::new(request.accounts == Accounts::Person, &paths)
}

/// The issuer that a RealPass claims: which record of the ledger to fetch.
pub(crate) fn claimed_pass_issuer(presentation: &str) -> Option<Hash32> {
    presentation.split_once('.')?.0.parse().ok()
}

// ---- the steps of a login -----------------------------------------------------------------

/// A login with what its page or its JSON needs.
pub(crate) struct OpenLogin {
    pub(crate) id: String,
    pub(crate) cookie: String,
    start: Start,
    registration: Arc<Registration>,
}

/// Who issued what was presented; none where nothing was, or where the ledger has no such issuer.
pub(crate) struct ClaimedIssuers {
    pub pid: Option<Issuer>,
    pub pass: Option<Issuer>,
}

/// Whose ledger judges what is presented.
pub(crate) struct Side<'a> {
    pub view: &'a View,
    pub follower: &'a Follower,
    /// What this gate's own network accepts of it, where it is another.
    pub recognised: Option<Recognised>,
}

/// A verified staple hangs on a checkpoint that may be newer than ours.
pub(crate) fn learn_from(view: &View, did: &did_proof::VerifiedDid, presented: &Presented) {
    let snapshot = view.snapshot();
    let known = snapshot.light.newest().map(|newest| newest.header.height);
    if known < Some(did.at.header.height)
        && let Ok(staple) = did_proof::unverified_staple(&presented.did_proof)
    {
        // Its certificate has just been verified; what can fail is a race with the follower.
        let _ = view.advance(&staple.checkpoint);
    }
}

/// Somebody who came in, as the gate remembers them until what they showed lapses.
struct Entered {
    subject: String,
    did: Did,
    /// Where there is one account a person.
    person: Option<Person>,
    /// Unix seconds.
    lapses_s: u64,
}

impl Inner {
    pub(crate) fn grants(&self) -> MutexGuard<'_, Grants> {
        // Each change is one insert or remove: poisoned maps are still sound ones.
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells websites of logins that stand no longer.
    pub async fn review(&self) {
        let home = (&self.trust.home, &self.follower);
        let abroad = self.abroad.neighbours();
        let abroad = abroad.map(|neighbour| (&neighbour.view, &neighbour.follower));
        for (view, follower) in std::iter::once(home).chain(abroad) {
            let light = &view.snapshot().light;
            let freshness = view.freshness(now_ms());
            self.standings
                .review(follower.nodes(), light, freshness)
                .await;
        }
        self.standings.tell(&self.issuer, &self.keys).await;
    }

    /// Drops logins and grants that have expired: nobody may come to ask for them, and what they
    /// hold is personal.
    pub fn sweep(&self, now_s: u64) {
        self.logins.sweep(now_s);
        self.grants().sweep(now_s);
        self.returning.sweep(now_s * 1000);
        if let Some(displays) = &self.displays {
            displays.sweep(now_s);
        }
    }

    /// Why no login can be started now, if so.
    pub fn not_ready(&self, now_ms: u64) -> Option<Refusal> {
        self.registration(now_ms).err()
    }

    /// The registration, active on the ledger and of this gate's key.
    pub(crate) fn registration(&self, now_ms: u64) -> Result<Arc<Registration>, Refusal> {
        let registration = self.trust.registration(now_ms)?;
        if registration.cnf != self.keys.request_jwk() {
            return Err(Refusal::REGISTRATION_KEY);
        }
        Ok(registration)
    }

    pub(crate) fn open(&self, request: AuthorizationRequest) -> Result<OpenLogin, Refusal> {
        let now_ms = now_ms();
        let registration = self.registration(now_ms)?;
        let client = self
            .clients
            .iter()
            .find(|client| client.client_id == request.client_id)
            .ok_or(Refusal::INTERNAL)?
            .clone();
        // Every wallet would refuse such a request; the operator should hear it first.
        let response_uri =
            url::Url::parse(&self.response_uri("x")).map_err(|_| Refusal::INTERNAL)?;
        registration
            .allows(&response_uri, &client.purpose, &ask(&request).claims())
            .map_err(|_| Refusal::REGISTRATION_WIDTH)?;
        let draw = || random().map_err(|_| Refusal::INTERNAL);
        let secrets = [draw()?, draw()?, draw()?, draw()?];
        let encrypt_to = match self.encrypted {
            true => Some(DecryptionKey::from_bytes(&draw()?, "1").map_err(|_| Refusal::INTERNAL)?),
            false => None,
        };
        let Started { id, cookie } = self.logins.start(
            request,
            client,
            encrypt_to,
            secrets,
            now_ms / 1000,
            self.login_s,
        )?;
        let start = self.logins.waiting(&id, now_ms / 1000)?;
        Ok(OpenLogin {
            id,
            cookie,
            start,
            registration,
        })
    }

    fn sign_request(&self, id: &str, wallet_nonce: Option<&str>) -> Result<Response, Refusal> {
        let now_s = now_ms() / 1000;
        let start = self.logins.waiting(id, now_s)?;
        let signed = self.signed_request(id, &start, wallet_nonce, now_s)?;
        Ok(([(header::CONTENT_TYPE, vp::REQUEST_MEDIA_TYPE)], signed).into_response())
    }

    pub(crate) fn signed_request(
        &self,
        id: &str,
        start: &Start,
        wallet_nonce: Option<&str>,
        iat_s: u64,
    ) -> Result<String, Refusal> {
        let snapshot = self.trust.home.snapshot();
        let signed = RequestContent {
            network: snapshot.light.genesis().network.as_str(),
            service_id: self.trust.service_id(),
            registration: self.trust.registration_jwt(),
            purpose: &start.client.purpose,
            ask: &ask(&start.request),
            algs: &self.algs,
            response_uri: &self.response_uri(id),
            nonce: &start.nonce,
            state: &start.state,
            wallet_nonce,
            encrypt_to: start.encrypt_to.as_ref(),
            display: None,
            iat_s,
            exp_s: start.expires_s,
        }
        .sign(&self.keys.request)?;
        Ok(signed)
    }

    /// Takes a wallet's answer: what to count it as, and what the wallet is told.
    async fn take_answer(
        &self,
        id: &str,
        body: &[u8],
    ) -> Result<(&'static str, Answered), Refusal> {
        let start = self.logins.waiting(id, now_ms() / 1000)?;
        let response = WalletResponse::parse(body, start.encrypt_to.as_ref())?;
        let state = match &response {
            WalletResponse::Presented(presented) => &presented.state,
            WalletResponse::Declined { state, .. } => state,
        };
        // Who does not know the state has not read the request: not even a try is counted.
        if !bool::from(state.as_bytes().ct_eq(start.state.as_bytes())) {
            return Err(ResponseRefused::State.into());
        }
        let (name, outcome, entered) = match response {
            WalletResponse::Declined { .. } => ("declined", Outcome::Declined, None),
            WalletResponse::Presented(presented) => {
                let (mut login, entered) =
                    self.verify(id, &start, &presented)
                        .await
                        .inspect_err(|refusal| {
                            // Our own staleness or haste is not the wallet's failure.
                            if refusal.status < 500 {
                                self.logins.failed(id);
                            }
                        })?;
                self.leave_receipt(id, &start, &presented, &mut login)
                    .await?;
                self.write_down(&login, &presented);
                ("ok", Outcome::Verified(Box::new(login)), Some(entered))
            }
        };
        let secret = random().map_err(|_| Refusal::INTERNAL)?;
        let answered = self.logins.answer(id, outcome, &secret, now_ms() / 1000)?;
        if let Some(entered) = entered {
            self.enter(&start, entered);
        }
        Ok((name, answered))
    }

    /// A transcript that cannot be written stops no login.
    fn write_down(&self, login: &Login, presented: &Presented) {
        let Some(path) = &self.transcript else {
            return;
        };
        let line = transcript::line(now_ms(), &login.subject, presented);
        if let Err(error) = transcript::append(path, &line) {
            tracing::warn!(kind = %error.kind(), "the transcript could not be written");
        }
    }

    async fn verify(
        &self,
        id: &str,
        start: &Start,
        presented: &Presented,
    ) -> Result<(Login, Entered), Refusal> {
        let side = self.side(presented)?;
        let issuers = self.claimed_issuers(&side, presented).await?;
        let now_ms = now_ms();
        let snapshot = side.view.snapshot();
        let expected = Expected {
            client_id: &vp::client_id(&self.trust.service_id()),
            nonce: &start.nonce,
            ask: &ask(&start.request),
            response_uri: &self.response_uri(id),
            encrypt_to: start.encrypt_to.as_ref(),
            now_ms,
            max_age_s: self.login_s,
            display: None,
        };
        let evidence = ResponseEvidence {
            pid_issuer: issuers.pid.as_ref(),
            pass_issuer: issuers.pass.as_ref(),
            light: &snapshot.light,
            freshness: &side.view.freshness(now_ms),
            recognised: side.recognised.as_ref(),
        };
        let checked = vp::check_response(presented, &expected, &evidence).map_err(|error| {
            let own_age_ms = side.view.checkpoint_age_ms(now_ms);
            match error {
                // P9: the wallet could not have done better than the network does.
                VpError::Did(DidProofError::StapleStale)
                    if own_age_ms.is_none_or(|age_ms| age_ms > self.max_age_s * 1000) =>
                {
                    Refusal::STALE
                }
                error => error.into(),
            }
        })?;
        learn_from(side.view, &checked.did, presented);
        let verdict = match &checked.pass {
            Some(claim) => Some(self.passes.verify(claim).await?),
            None => None,
        };
        let verified = checked.conclude(verdict)?;
        let parameters = &snapshot.light.genesis().parameters;
        let shown = verified.pass.map(|pass| Person {
            pseudonym: pass.pseudonym,
            issuer: pass.issuer,
            ends_ms: parameters.pass_ends_ms(pass.epoch),
        });
        let did = verified.did.did.id;
        let service_id = self.trust.service_id();
        let (subject, person) = match start.request.accounts {
            Accounts::Did => (self.keys.subject_of_did(&service_id, &did)?, None),
            Accounts::Person => {
                let person = match shown {
                    Some(person) => person,
                    // Only the home network's people come here: rule V15 asks others for more.
                    None => self.returning_person(&did, &snapshot, now_ms)?,
                };
                let subject = self
                    .keys
                    .subject_of_person(&service_id, &person.pseudonym)?;
                (subject, Some(person))
            }
        };
        let lapses_s = verified
            .lapses_s
            .or(person.map(|person| person.ends_ms / 1000));
        let (acr, claims) = start.request.conclude(verified.claims)?;
        let login = Login {
            request: start.request.clone(),
            subject,
            claims,
            acr,
            auth_time_s: now_ms / 1000,
        };
        let entered = Entered {
            subject: login.subject.clone(),
            did: verified.did.did,
            person,
            lapses_s: lapses_s.unwrap_or_default(),
        };
        Ok((login, entered))
    }

    /// The network whose ledger says what the presented is worth: this gate's own, or one of which
    /// this one accepts something now.
    pub(crate) fn side(&self, presented: &Presented) -> Result<Side<'_>, Refusal> {
        // What cannot be read is refused in its turn, by the home network's rules.
        let Ok(did) = did_proof::claimed_did(&presented.did_proof) else {
            return Ok(self.home());
        };
        let home = &self.trust.home;
        if did.network == home.snapshot().light.genesis().network {
            return Ok(self.home());
        }
        let (neighbour, recognised) = self.abroad.accepted(&did.network, now_ms())?;
        Ok(Side {
            view: &neighbour.view,
            follower: &neighbour.follower,
            recognised: Some(recognised),
        })
    }

    /// This gate's own network.
    pub(crate) fn home(&self) -> Side<'_> {
        Side {
            view: &self.trust.home,
            follower: &self.follower,
            recognised: None,
        }
    }

    /// The records of whoever issued what is presented, by what it claims.
    pub(crate) async fn claimed_issuers(
        &self,
        side: &Side<'_>,
        presented: &Presented,
    ) -> Result<ClaimedIssuers, Refusal> {
        let (view, follower) = (side.view, side.follower);
        // A wallet may hear of the next committee before this gate does.
        if let Ok(staple) = did_proof::unverified_staple(&presented.did_proof) {
            follower.follow_anyone(view, &staple.checkpoint).await;
        }
        let pid = match &presented.pid {
            Some(pid) => {
                let url = vp::claimed_pid_issuer(pid)?;
                let by = view.snapshot().light.hash_function();
                follower.ensure_issuer(view, &issuer_id(by, &url)).await?
            }
            None => None,
        };
        let pass = match &presented.pass {
            Some(pass) => {
                let id = claimed_pass_issuer(pass).ok_or(VpError::from(RealPassError::Form))?;
                follower.ensure_issuer(view, &id).await?
            }
            None => None,
        };
        Ok(ClaimedIssuers { pid, pass })
    }

    /// The record of an issuer of this network, as fresh as the gate's limits ask; none where it is
    /// proved absent.
    pub(crate) async fn issuer(&self, id: &Hash32) -> Result<Option<Issuer>, Refusal> {
        self.follower.ensure_issuer(&self.trust.home, id).await
    }

    /// Who comes back by a DID alone, while whoever vouched for them still stands.
    fn returning_person(
        &self,
        did: &DidId,
        snapshot: &Snapshot,
        now_ms: u64,
    ) -> Result<Person, Refusal> {
        let person = self.returning.find(did, now_ms);
        let person = person.ok_or(ResponseRefused::PassNeeded)?;
        match self.trust.home.issuer(snapshot, &person.issuer, now_ms)? {
            Some(issuer) if issuer.standing == Standing::Active => Ok(person),
            _ => Err(ResponseRefused::IssuerSuspended.into()),
        }
    }

    /// Notes a login whose one answer was taken.
    fn enter(&self, start: &Start, entered: Entered) {
        let own = entered.did.network == self.trust.home.snapshot().light.genesis().network;
        if let Some(person) = entered.person.filter(|_| own) {
            self.returning.note(entered.did.id, person, now_ms());
        }
        self.standings.begin(
            &start.client.client_id,
            &entered.subject,
            entered.did,
            entered.lapses_s,
        );
    }

    /// Where the browser goes when a login is over.
    pub(crate) fn conclude(&self, finished: Finished, now_s: u64) -> Result<String, Refusal> {
        let request = &finished.start.request;
        match finished.outcome {
            Outcome::Declined => Ok(request.refuse(OidcError::Denied, &self.issuer)),
            Outcome::Verified(login) => {
                let secret = random().map_err(|_| Refusal::INTERNAL)?;
                let code = self.grants().issue_code(*login, &secret, now_s)?;
                Ok(request.answer(&code, &self.issuer))
            }
        }
    }

    fn show_progress(
        &self,
        id: &str,
        cookie: Option<&str>,
        now_s: u64,
        as_json: bool,
        problem: Option<Refusal>,
    ) -> Response {
        let shown = self
            .logins
            .progress(id, cookie, now_s)
            .and_then(|(start, progress)| {
                let registration = self.registration(now_ms())?;
                let login = OpenLogin {
                    id: id.to_owned(),
                    cookie: String::new(),
                    start,
                    registration,
                };
                Ok(match (as_json, progress) {
                    (true, Progress::Waiting) => Json(json!({"status": "waiting"})).into_response(),
                    (true, Progress::Answered) => {
                        Json(json!({"status": "answered"})).into_response()
                    }
                    (false, progress) => login.page(self, progress, problem),
                })
            });
        shown.unwrap_or_else(|refusal| {
            if as_json {
                refusal.problem().into_response()
            } else {
                refused_page(refusal, None)
            }
        })
    }

    fn request_uri(&self, id: &str) -> String {
        format!("{}/vp/request/{id}", self.issuer)
    }

    fn response_uri(&self, id: &str) -> String {
        format!("{}/vp/response/{id}", self.issuer)
    }

    fn continue_uri(&self, id: &str) -> String {
        format!("{}/continue?login={id}", self.issuer)
    }

    fn wallet_link(&self, id: &str) -> String {
        let client_id = vp::client_id(&self.trust.service_id());
        WalletLink {
            client_id,
            request_uri: self.request_uri(id),
            post: false,
        }
        .to_string()
    }

    /// One cookie for each login, so that two tabs do not end each other's.
    fn cookie_name(&self, id: &str) -> String {
        // `__Host-` keeps sibling domains from planting one; browsers honour it over https only.
        let prefix = if self.issuer.starts_with("https://") {
            "__Host-"
        } else {
            ""
        };
        format!("{prefix}rdid-{id}")
    }

    /// `SameSite=Lax`: it must come along when the wallet's app sends the browser here.
    pub(crate) fn cookie(&self, id: &str, value: &str, max_age_s: u64) -> String {
        let secure = if self.issuer.starts_with("https://") {
            "; Secure"
        } else {
            ""
        };
        let name = self.cookie_name(id);
        format!("{name}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{secure}")
    }

    fn checkpoint_age_s(&self) -> u64 {
        let age_ms = self.trust.home.checkpoint_age_ms(now_ms());
        age_ms.unwrap_or_default() / 1000
    }
}

impl OpenLogin {
    pub(crate) fn json(&self, gate: &Inner) -> Response {
        Json(json!({
            "request_uri": gate.request_uri(&self.id),
            "wallet_link": gate.wallet_link(&self.id),
            "continue_uri": gate.continue_uri(&self.id),
            "expires_in": gate.login_s,
            "checkpoint_age_s": gate.checkpoint_age_s(),
        }))
        .into_response()
    }

    pub(crate) fn page(
        &self,
        gate: &Inner,
        progress: Progress,
        problem: Option<Refusal>,
    ) -> Response {
        let wallet_link = gate.wallet_link(&self.id);
        let request = &self.start.request;
        let page = LoginPage {
            organisation: &self.registration.name,
            client: &self.start.client.name,
            purpose: &self.start.client.purpose,
            claims: request.wallet_claims(),
            sandbox: self.registration.sandbox,
            qr_svg: page::qr_svg(&wallet_link),
            wallet_link: &wallet_link,
            login_id: &self.id,
            answered: progress == Progress::Answered,
            problem,
            cancel_uri: &request.refuse(OidcError::Denied, &gate.issuer),
            minutes: gate.login_s.div_ceil(60),
            checkpoint_age_s: gate.checkpoint_age_s(),
        };
        let status = if problem.is_some() {
            StatusCode::BAD_REQUEST
        } else {
            StatusCode::OK
        };
        page::html(&page, status, Some(&request.redirect_uri))
    }
}

impl From<GateError> for Refusal {
    fn from(_: GateError) -> Self {
        Refusal::INTERNAL
    }
}

// ---- HTTP ---------------------------------------------------------------------------------

pub(crate) fn count(outcome: &'static str) {
    metrics::counter!("logins_total", "outcome" => outcome).increment(1);
}

pub(crate) fn header_text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

pub(crate) fn wants_json(headers: &HeaderMap) -> bool {
    header_text(headers, header::ACCEPT).is_some_and(|accept| {
        let kind = accept.split([',', ';']).next().unwrap_or_default();
        kind.trim() == "application/json"
    })
}

fn cookie_value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value)
}

pub(crate) fn set_cookie(response: &mut Response, cookie: &str) {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

/// 303, so that the browser never repeats a POST at the website.
pub(crate) fn see_other(location: &str, cookie: Option<&str>) -> Response {
    let Ok(value) = HeaderValue::from_str(location) else {
        return Refusal::INTERNAL.problem().into_response();
    };
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, value)]).into_response();
    if let Some(cookie) = cookie {
        set_cookie(&mut response, cookie);
    }
    response
}

pub(crate) fn refused_page(refusal: Refusal, back_uri: Option<&str>) -> Response {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
    page::html(&RefusedPage { refusal, back_uri }, status, None)
}
