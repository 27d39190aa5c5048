//! The steps of a login, from the website's request to its code. What a wallet's answer is worth, `judge`
//! says.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use realdid_core::did::Did;
use realdid_credential::jose::{Alg, SigningKey};
use realdid_exchange::jwe::DecryptionKey;
use realdid_exchange::oidc::{Accounts, AuthorizationRequest, Client, Grants, Login, OidcError};
use realdid_exchange::registration::{self, Registration};
use realdid_exchange::vp::{
    self, AnswerTo, Ask, Presented, RequestContent, ResponseRefused, Signer, WalletLink,
    WalletResponse,
};
use serde_json::json;
use subtle::ConstantTimeEq as _;

use crate::abroad::Abroad;
use crate::access::{ByDid, Certified};
use crate::displays::flow::Displays;
use crate::follower::Follower;
use crate::http::count;
use crate::keys::{GateKeys, random};
use crate::logins::{Answered, Finished, Logins, Outcome, Start, Started};
use crate::now_ms;
use crate::open_login::OpenLogin;
use crate::passes::Passes;
use crate::receipts::Receipts;
use crate::refusal::Refusal;
use crate::returning::{Person, Returning};
use crate::standing::Standings;
use crate::statuses::Statuses;
use crate::transcript;
use crate::trust::Trust;

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
    pub(crate) fn named(by: &str) -> Option<Self> {
        let mut others = Self::OTHERS.into_iter();
        others.find(|via| via.path().strip_prefix('/') == Some(by))
    }

    /// What a wallet knows the gate by, in words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Did => "DIDs",
            _ => "certificates",
        }
    }
}

/// Somebody who came in, as the gate remembers them until what they showed lapses.
pub(crate) struct Entered {
    pub subject: String,
    pub did: Did,
    /// Where there is one account a person.
    pub person: Option<Person>,
    /// Unix seconds.
    pub lapses_s: u64,
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

    pub(crate) fn request_for(&self, id: &str, via: Via, wallet_nonce: Option<&str>) -> Response {
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
    pub(crate) fn signer(
        &self,
        start: &Start,
        via: Via,
    ) -> Result<(Signer<'_>, &SigningKey), Refusal> {
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

    /// What a login asks for here.
    pub(crate) fn ask(&self, request: &AuthorizationRequest) -> Ask {
        ask(request).or_long_lived(self.statuses.is_some())
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

    pub(crate) fn request_uri(&self, id: &str, via: Via) -> String {
        format!("{}/vp/request/{id}{}", self.issuer, via.path())
    }

    pub(crate) fn response_uri(&self, id: &str, via: Via) -> String {
        format!("{}/vp/response/{id}{}", self.issuer, via.path())
    }

    pub(crate) fn continue_uri(&self, id: &str) -> String {
        format!("{}/continue?login={id}", self.issuer)
    }

    pub(crate) fn wallet_link(&self, id: &str) -> String {
        let client_id = vp::client_id(&self.trust.service_id());
        WalletLink {
            client_id,
            request_uri: self.request_uri(id, Via::Ledger),
            post: false,
        }
        .to_string()
    }

    /// The link for wallets that do not read the ledger, on one of their ways, where they can answer.
    pub(crate) fn other_wallet_link(&self, id: &str, start: &Start, via: Via) -> Option<String> {
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

    pub(crate) fn checkpoint_age_s(&self) -> u64 {
        let age_ms = self.trust.home.checkpoint_age_ms(now_ms());
        age_ms.unwrap_or_default() / 1000
    }
}
