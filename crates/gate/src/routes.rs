//! The steps of a login, and what the gate answers to wallets (OpenID4VP) and to people. Towards
//! websites it is `provider`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realdid_core::did::{Did, DidId};
use realdid_core::governance::Recognised;
use realdid_core::hash::Hash32;
use realdid_core::state::{Issuer, Standing, issuer_id};
use realdid_credential::jose::{Alg, SigningKey};
use realdid_credential::realpass::RealPassError;
use realdid_exchange::did_proof::{self, DidProofError, ReceivedProof};
use realdid_exchange::jwe::DecryptionKey;
use realdid_exchange::oidc::{Accounts, AuthorizationRequest, Client, Grants, Login, OidcError};
use realdid_exchange::registration::{self, Registration};
use realdid_exchange::vp::{
    self, AnswerTo, Ask, Expected, Presented, RequestContent, ResponseEvidence, ResponseRefused,
    Signer, VpError, WalletLink, WalletResponse,
};
use serde_json::json;
use subtle::ConstantTimeEq as _;
use url::form_urlencoded;

use crate::abroad::Abroad;
use crate::access::{ByDid, Certified};
use crate::browser;
use crate::displays::api;
use crate::displays::flow::Displays;
use crate::follower::Follower;
use crate::keys::{GateKeys, random};
use crate::logins::{Answered, Finished, Logins, Outcome, Progress, Start, Started};
use crate::page::{self, Asked, FrontPage, LoginPage, OtherWay, RefusedPage};
use crate::passes::Passes;
use crate::provider;
use crate::receipts::{self, Receipts};
use crate::refusal::Refusal;
use crate::returning::{Person, Returning};
use crate::standing::Standings;
use crate::statuses::Statuses;
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
    /// Where wallets are asked that do not read the ledger, under a certificate.
    pub access: Option<Certified>,
    /// The same by a DID.
    pub access_did: Option<ByDid>,
    /// The algorithms of the credentials and DIDs that it takes.
    pub algs: Vec<Alg>,
    pub logins: Logins,
    pub grants: Mutex<Grants>,
    pub standings: Standings,
    /// Where PIDs that live long are taken.
    pub statuses: Option<Statuses>,
    pub passes: Passes,
    pub returning: Returning,
    /// Where the configuration has a policy.
    pub displays: Option<Displays>,
    /// Where a client has the purpose `kyc`.
    pub receipts: Option<Arc<Receipts>>,
    pub clients: Vec<Client>,
    /// The public URL: the OpenID Connect issuer, without a trailing slash.
    pub issuer: String,
    /// The origin of its pages.
    pub origin: String,
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
        provider::authorize_post,
        provider::token,
        provider::userinfo,
        provider::logout,
        provider::logout_post,
        receipts::receipt_file,
        request_object,
        request_object_post,
        respond,
        request_by,
        request_by_post,
        respond_by,
        browser::browser_request,
        browser::browser_respond,
        did_document,
        proceed,
        front,
        style,
        script
    )
)]
pub(crate) struct GateApi;

/// The gate's routes.
pub(crate) fn router(inner: Arc<Inner>) -> Router {
    Router::new()
        .merge(provider::router())
        .merge(api::router())
        .merge(browser::router())
        .route(
            "/vp/request/{id}",
            get(request_object).post(request_object_post),
        )
        .route("/vp/response/{id}", post(respond))
        .route(
            "/vp/request/{id}/{by}",
            get(request_by).post(request_by_post),
        )
        .route("/vp/response/{id}/{by}", post(respond_by))
        .route("/.well-known/did.json", get(did_document))
        .route("/continue", get(proceed))
        .route("/kyc/receipts/{id}", get(receipts::receipt_file))
        .route("/", get(front))
        .route("/assets/gate.css", get(style))
        .route("/assets/browser.js", get(script))
        .with_state(inner)
}

// ---- OpenID4VP ----------------------------------------------------------------------------

/// The signed request object of a login.
#[utoipa::path(get, path = "/vp/request/{id}", tag = "openid4vp", params(("id" = String, Path)),
    responses((status = 200, description = "signed", content_type = "application/oauth-authz-req+jwt", body = String), (status = 404, description = "login.unknown")))]
async fn request_object(State(gate): Gate, Path(id): Path<String>) -> Response {
    gate.request_for(&id, Via::Ledger, None)
}

/// The same, with the wallet's own nonce in it (OpenID4VP 1.0 §5.10).
#[utoipa::path(post, path = "/vp/request/{id}", tag = "openid4vp", params(("id" = String, Path)),
    request_body(content = String, content_type = "application/x-www-form-urlencoded", description = "wallet_nonce"),
    responses((status = 200, description = "signed", content_type = "application/oauth-authz-req+jwt", body = String), (status = 404, description = "login.unknown")))]
async fn request_object_post(State(gate): Gate, Path(id): Path<String>, body: Bytes) -> Response {
    gate.request_for(&id, Via::Ledger, wallet_nonce(&body).as_deref())
}

/// The request for wallets that do not read the ledger: signed under a certificate (`x509`) or by a DID
/// (`did`), and asking for a PID alone.
#[utoipa::path(get, path = "/vp/request/{id}/{by}", tag = "openid4vp", params(("id" = String, Path), ("by" = String, Path, description = "x509 or did")),
    responses((status = 200, description = "signed", content_type = "application/oauth-authz-req+jwt", body = String), (status = 404, description = "login.unknown")))]
async fn request_by(State(gate): Gate, Path((id, by)): Path<(String, String)>) -> Response {
    match Via::named(&by) {
        Some(via) => gate.request_for(&id, via, None),
        None => Refusal::LOGIN_UNKNOWN.problem().into_response(),
    }
}

/// The same, with the wallet's own nonce in it (OpenID4VP 1.0 §5.10).
#[utoipa::path(post, path = "/vp/request/{id}/{by}", tag = "openid4vp", params(("id" = String, Path), ("by" = String, Path, description = "x509 or did")),
    request_body(content = String, content_type = "application/x-www-form-urlencoded", description = "wallet_nonce"),
    responses((status = 200, description = "signed", content_type = "application/oauth-authz-req+jwt", body = String), (status = 404, description = "login.unknown")))]
async fn request_by_post(
    State(gate): Gate,
    Path((id, by)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    match Via::named(&by) {
        Some(via) => gate.request_for(&id, via, wallet_nonce(&body).as_deref()),
        None => Refusal::LOGIN_UNKNOWN.problem().into_response(),
    }
}

/// The document of the gate's own DID, where that is a `did:web` of this host.
#[utoipa::path(get, path = "/.well-known/did.json", tag = "openid4vp",
    responses((status = 200, description = "a DID document", content_type = "application/did+json", body = Object), (status = 404, description = "access.no_did")))]
async fn did_document(State(gate): Gate) -> Response {
    let own = gate.access_did.as_ref();
    match own.and_then(|own| own.document(&gate.issuer)) {
        Some(document) => (
            [(header::CONTENT_TYPE, "application/did+json")],
            document.to_string(),
        )
            .into_response(),
        None => Refusal::NO_DID.problem().into_response(),
    }
}

fn wallet_nonce(body: &Bytes) -> Option<String> {
    form_urlencoded::parse(&body[..body.len().min(MAX_FORM_BYTES)])
        .find(|(name, _)| name == "wallet_nonce")
        .map(|(_, nonce)| nonce.into_owned())
        .filter(|nonce| nonce.len() <= MAX_WALLET_NONCE_BYTES)
}

/// A wallet's answer. Accepted: `{"redirect_uri","confirmation_code"}`; the wallet opens the first
/// in the browser of its own device, or shows the second for the person to type in another.
#[utoipa::path(post, path = "/vp/response/{id}", tag = "openid4vp", params(("id" = String, Path)),
    request_body(content = String, content_type = "application/x-www-form-urlencoded", description = "vp_token and state, or error and state"),
    responses((status = 200, description = "where the browser goes on", body = Object), (status = 400, description = "the rule that failed"), (status = 404, description = "login.unknown")))]
async fn respond(State(gate): Gate, Path(id): Path<String>, body: Bytes) -> Response {
    gate.answer(&id, Via::Ledger, &body).await
}

/// The same to a request that was signed under a certificate or by a DID.
#[utoipa::path(post, path = "/vp/response/{id}/{by}", tag = "openid4vp", params(("id" = String, Path), ("by" = String, Path, description = "x509 or did")),
    request_body(content = String, content_type = "application/x-www-form-urlencoded", description = "vp_token and state, or error and state"),
    responses((status = 200, description = "where the browser goes on", body = Object), (status = 400, description = "the rule that failed"), (status = 404, description = "login.unknown")))]
async fn respond_by(
    State(gate): Gate,
    Path((id, by)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    match Via::named(&by) {
        Some(via) => gate.answer(&id, via, &body).await,
        None => Refusal::LOGIN_UNKNOWN.problem().into_response(),
    }
}

/// The browser comes back: with the response code the login ends at the website.
#[utoipa::path(get, path = "/continue", tag = "openid connect",
    params(("login" = String, Query), ("response_code" = Option<String>, Query)),
    responses(
        (status = 200, description = "still open: the page, or {\"status\"}", content((String = "text/html"), (Object = "application/json"))),
        (status = 303, description = "to the client's redirect_uri, with code and state"),
        (status = 400, description = "login.code_wrong, login.too_many_tries", content((String = "text/html"), (Object = "application/problem+json"))),
        (status = 403, description = "login.other_browser", content((String = "text/html"), (Object = "application/problem+json"))),
        (status = 404, description = "login.unknown", content((String = "text/html"), (Object = "application/problem+json"))),
        (status = 503, description = "light.stale", content((String = "text/html"), (Object = "application/problem+json"))),
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
#[utoipa::path(get, path = "/", tag = "page", responses((status = 200, description = "a page", content_type = "text/html", body = String)))]
async fn front(State(gate): Gate) -> Response {
    let clients = gate.clients.iter().map(|client| client.name.as_str());
    let page = FrontPage {
        clients: clients.collect(),
    };
    page::html(&page, StatusCode::OK, None)
}

/// The pages' style sheet.
#[utoipa::path(get, path = "/assets/gate.css", tag = "page", responses((status = 200, description = "a style sheet", content_type = "text/css", body = String)))]
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

/// The script of a login's page.
#[utoipa::path(get, path = "/assets/browser.js", tag = "page", responses((status = 200, description = "a script", content_type = "text/javascript", body = String)))]
async fn script() -> Response {
    (
        [
            (header::CONTENT_TYPE, "text/javascript"),
            (header::CACHE_CONTROL, "max-age=3600"),
        ],
        page::SCRIPT,
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
    match request.accounts {
        Accounts::None => Ask::pid_alone(&paths),
        accounts => Ask::new(accounts == Accounts::Person, &paths),
    }
}

/// The issuer that a RealPass claims: which record of the ledger to fetch.
pub(crate) fn claimed_pass_issuer(presentation: &str) -> Option<Hash32> {
    presentation.split_once('.')?.0.parse().ok()
}

// ---- the steps of a login -----------------------------------------------------------------

/// On which way a wallet is asked and answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Via {
    /// By the registration, which the wallet holds against the ledger.
    Ledger,
    /// By a certificate.
    Certificate,
    /// By a DID.
    Did,
    /// Through the browser's Digital Credentials API, by a certificate or a DID.
    Browser,
}

impl Via {
    /// The two ways that a wallet which does not read the ledger goes itself.
    const OTHERS: [Self; 2] = [Self::Certificate, Self::Did];

    /// What its addresses end with.
    fn path(self) -> &'static str {
        match self {
            Self::Ledger => "",
            Self::Certificate => "/x509",
            Self::Did => "/did",
            Self::Browser => "/browser",
        }
    }

    /// One of these two by the end of its addresses.
    fn named(by: &str) -> Option<Self> {
        let mut others = Self::OTHERS.into_iter();
        others.find(|via| via.path().strip_prefix('/') == Some(by))
    }

    /// What a wallet knows the gate by, in words.
    fn words(self) -> &'static str {
        match self {
            Self::Did => "DIDs",
            _ => "certificates",
        }
    }
}

/// A login with what its page or its JSON needs.
pub(crate) struct OpenLogin {
    pub(crate) id: String,
    pub(crate) cookie: String,
    start: Arc<Start>,
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
pub(crate) fn learn_from(view: &View, did: Option<&did_proof::VerifiedDid>, presented: &Presented) {
    let snapshot = view.snapshot();
    let known = snapshot.light.newest().map(|newest| newest.header.height);
    if let (Some(did), Some(proof)) = (did, &presented.did_proof)
        && known < Some(did.at.header.height)
        && let Ok(staple) = proof.unverified_staple()
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
            url::Url::parse(&self.response_uri("x", Via::Ledger)).map_err(|_| Refusal::INTERNAL)?;
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

    fn request_for(&self, id: &str, via: Via, wallet_nonce: Option<&str>) -> Response {
        let now_s = now_ms() / 1000;
        let start = self.logins.waiting(id, now_s);
        let signed =
            start.and_then(|start| self.signed_request(id, &start, via, wallet_nonce, now_s));
        match signed {
            Ok(signed) => {
                ([(header::CONTENT_TYPE, vp::REQUEST_MEDIA_TYPE)], signed).into_response()
            }
            Err(refusal) => refusal.problem().into_response(),
        }
    }

    /// Who asks on this way; `login.unknown` where it is not one of this login's.
    fn signer(&self, start: &Start, via: Via) -> Result<(Signer<'_>, &SigningKey), Refusal> {
        if via == Via::Ledger {
            let signer = Signer::Registration(self.trust.service_id());
            return Ok((signer, &self.keys.request));
        }
        // Wallets that do not read the ledger have a PID and nothing else that is asked for.
        let by_pid = start.request.accounts == Accounts::None;
        let certified = self.access.as_ref();
        let by_did = self.access_did.as_ref();
        let found = match via {
            Via::Certificate => certified.map(|own| (own.signer(), &own.key)),
            Via::Did => by_did.map(|own| (own.signer(), &own.key)),
            Via::Ledger | Via::Browser => None,
        };
        found.filter(|_| by_pid).ok_or(Refusal::LOGIN_UNKNOWN)
    }

    /// The ways on which wallets can be asked that do not read the ledger.
    pub(crate) fn other_ways(&self, start: &Start) -> impl Iterator<Item = Via> {
        let can = |via: &Via| self.signer(start, *via).is_ok();
        Via::OTHERS.into_iter().filter(can)
    }

    pub(crate) fn signed_request(
        &self,
        id: &str,
        start: &Start,
        via: Via,
        wallet_nonce: Option<&str>,
        iat_s: u64,
    ) -> Result<String, Refusal> {
        let uri = self.response_uri(id, via);
        self.sign_request((start, via), AnswerTo::Uri(&uri), wallet_nonce, iat_s)
    }

    pub(crate) fn sign_request(
        &self,
        (start, via): (&Start, Via),
        answer_to: AnswerTo<'_>,
        wallet_nonce: Option<&str>,
        iat_s: u64,
    ) -> Result<String, Refusal> {
        let snapshot = self.trust.home.snapshot();
        let (signer, key) = self.signer(start, via)?;
        let signed = RequestContent {
            network: snapshot.light.genesis().network.as_str(),
            registration: self.trust.registration_jwt(),
            signer,
            purpose: &start.client.purpose,
            ask: &self.ask(&start.request),
            algs: &self.algs,
            answer_to,
            nonce: &start.nonce,
            state: &start.state,
            wallet_nonce,
            encrypt_to: start.encrypt_to.as_ref(),
            display: None,
            iat_s,
            exp_s: start.expires_s,
        }
        .sign(key)?;
        Ok(signed)
    }

    /// Takes a wallet's answer, and tells it where the browser goes on.
    pub(crate) async fn answer(&self, id: &str, via: Via, body: &[u8]) -> Response {
        match self.take_answer(id, via, body).await {
            Ok((outcome, answered)) => {
                count(outcome);
                let mut redirect_uri = self.continue_uri(id);
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

    /// Takes a wallet's answer: what to count it as, and what the wallet is told.
    async fn take_answer(
        &self,
        id: &str,
        via: Via,
        body: &[u8],
    ) -> Result<(&'static str, Answered), Refusal> {
        let start = self.logins.waiting(id, now_ms() / 1000)?;
        let key = start.encrypt_to.as_ref();
        let response = if via == Via::Browser {
            // The cookie says in which login it comes.
            WalletResponse::Presented(WalletResponse::parse_from_browser(body, key)?)
        } else {
            let response = WalletResponse::parse(body, key)?;
            let state = match &response {
                WalletResponse::Presented(presented) => &presented.state,
                WalletResponse::Declined { state, .. } => state,
            };
            // Who does not know the state has not read the request: not even a try is counted.
            if !bool::from(state.as_bytes().ct_eq(start.state.as_bytes())) {
                return Err(ResponseRefused::State.into());
            }
            response
        };
        let (name, outcome, entered) = match response {
            WalletResponse::Declined { .. } => ("declined", Outcome::Declined, None),
            WalletResponse::Presented(presented) => {
                let (mut login, entered) = self
                    .verify(id, &start, via, &presented)
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
                ("ok", Outcome::Verified(Box::new(login)), entered)
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
        via: Via,
        presented: &Presented,
    ) -> Result<(Login, Option<Entered>), Refusal> {
        let side = self.side(presented)?;
        let issuers = self.claimed_issuers(&side, presented).await?;
        let list = match (&self.statuses, &presented.pid, &issuers.pid) {
            (Some(statuses), Some(pid), Some(issuer)) => {
                let at = (side.view, side.follower);
                statuses.list_of(at, pid, issuer).await?
            }
            _ => None,
        };
        let now_ms = now_ms();
        let snapshot = side.view.snapshot();
        let uri = self.response_uri(id, via);
        let (audience, answer_to) = match via {
            // Whichever of the requests it answers, it is shown to this page.
            Via::Browser if self.other_ways(start).next().is_some() => {
                let origin = &self.origin;
                (vp::audience_of(origin), AnswerTo::Browser(origin))
            }
            via => {
                let (signer, _) = self.signer(start, via)?;
                (signer.client_id(), AnswerTo::Uri(&uri))
            }
        };
        let expected = Expected {
            client_id: &audience,
            nonce: &start.nonce,
            ask: &self.ask(&start.request),
            answer_to,
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
            status_list: list.as_deref(),
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
        learn_from(side.view, checked.did.as_ref(), presented);
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
        let did = verified.did.map(|verified| verified.did);
        let service_id = self.trust.service_id();
        let (subject, person) = match (start.request.accounts, &did) {
            // G19: nobody is known again.
            (Accounts::None, _) => (URL_SAFE_NO_PAD.encode(random()?), None),
            (_, None) => return Err(ResponseRefused::Incomplete.into()),
            (Accounts::Did, Some(did)) => (self.keys.subject_of_did(&service_id, &did.id)?, None),
            (Accounts::Person, Some(did)) => {
                let person = match shown {
                    Some(person) => person,
                    // Only the home network's people come here: rule V15 asks others for more.
                    None => self.returning_person(&did.id, &snapshot, now_ms)?,
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
        let entered = did.map(|did| Entered {
            subject: login.subject.clone(),
            did,
            person,
            lapses_s: lapses_s.unwrap_or_default(),
        });
        Ok((login, entered))
    }

    /// What a login asks for here.
    fn ask(&self, request: &AuthorizationRequest) -> Ask {
        ask(request).or_long_lived(self.statuses.is_some())
    }

    /// The network whose ledger says what the presented is worth: this gate's own, or one of which
    /// this one accepts something now.
    pub(crate) fn side(&self, presented: &Presented) -> Result<Side<'_>, Refusal> {
        // What cannot be read is refused in its turn, by the home network's rules. A PID alone is judged
        // by them too.
        let proof = presented.did_proof.as_ref();
        let Some(Ok(did)) = proof.map(ReceivedProof::claimed_did) else {
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
        let proof = presented.did_proof.as_ref();
        if let Some(Ok(staple)) = proof.map(ReceivedProof::unverified_staple) {
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

    fn request_uri(&self, id: &str, via: Via) -> String {
        format!("{}/vp/request/{id}{}", self.issuer, via.path())
    }

    fn response_uri(&self, id: &str, via: Via) -> String {
        format!("{}/vp/response/{id}{}", self.issuer, via.path())
    }

    fn continue_uri(&self, id: &str) -> String {
        format!("{}/continue?login={id}", self.issuer)
    }

    fn wallet_link(&self, id: &str) -> String {
        let client_id = vp::client_id(&self.trust.service_id());
        WalletLink {
            client_id,
            request_uri: self.request_uri(id, Via::Ledger),
            post: false,
        }
        .to_string()
    }

    /// The link for wallets that do not read the ledger, on one of their ways, where they can answer.
    fn other_wallet_link(&self, id: &str, start: &Start, via: Via) -> Option<String> {
        let (signer, _) = self.signer(start, via).ok()?;
        let link = WalletLink {
            client_id: signer.client_id(),
            request_uri: self.request_uri(id, via),
            post: false,
        };
        Some(link.to_string())
    }

    /// One cookie for each login, so that two tabs do not end each other's.
    pub(crate) fn cookie_name(&self, id: &str) -> String {
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
        let now_s = now_ms() / 1000;
        let signed = gate.signed_request(&self.id, &self.start, Via::Ledger, None, now_s);
        let signed = match signed {
            Ok(signed) => signed,
            Err(refusal) => return refusal.problem().into_response(),
        };
        let mut told = json!({
            "request": signed,
            "request_uri": gate.request_uri(&self.id, Via::Ledger),
            "wallet_link": gate.wallet_link(&self.id),
            "continue_uri": gate.continue_uri(&self.id),
            "expires_in": gate.login_s,
            "checkpoint_age_s": gate.checkpoint_age_s(),
        });
        for (name, via) in [
            ("other_wallet_link", Via::Certificate),
            ("did_wallet_link", Via::Did),
        ] {
            if let Some(link) = gate.other_wallet_link(&self.id, &self.start, via) {
                told[name] = link.into();
            }
        }
        Json(told).into_response()
    }

    pub(crate) fn page(
        &self,
        gate: &Inner,
        progress: Progress,
        problem: Option<Refusal>,
    ) -> Response {
        let wallet_link = gate.wallet_link(&self.id);
        let others: Vec<OtherWay> = gate
            .other_ways(&self.start)
            .filter_map(|via| {
                let link = gate.other_wallet_link(&self.id, &self.start, via)?;
                Some(OtherWay {
                    by: via.words(),
                    qr_svg: page::qr_svg(&link),
                    link,
                })
            })
            .collect();
        let request = &self.start.request;
        let claims = request.wallet_claims();
        let page = LoginPage {
            organisation: &self.registration.name,
            client: &self.start.client.name,
            purpose: &self.start.client.purpose,
            claims: claims.into_iter().map(Asked::from).collect(),
            sandbox: self.registration.sandbox,
            qr_svg: page::qr_svg(&wallet_link),
            wallet_link: &wallet_link,
            browser: !others.is_empty(),
            others,
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
        let redirect_uri = Some(request.redirect_uri.as_str());
        match page.browser {
            true => page::html_with_script(&page, status, redirect_uri),
            false => page::html(&page, status, redirect_uri),
        }
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

pub(crate) fn cookie_value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
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
