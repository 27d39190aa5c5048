//! A display, step by step: the request to the wallet, its answer, the registrar, the badge, its end
//! (spec/displays.md, rules Y2 to Y11).
//!
//! Who answers must be the account's own person: beside the name the wallet shows its RealPass, and the
//! subject that follows is the one that the platform reported. So no page can trick somebody else into
//! lending an account their name, whoever opens the link.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realdid_core::hash::Hash32;
use realdid_core::state::{Display, DisplayStatus, ReasonCode};
use realdid_exchange::display::order::{Act, Order};
use realdid_exchange::display::{
    self, Badge, DisplayError, Handle, Kind, Place, Records, Terms, Verified,
};
use realdid_exchange::jwe::DecryptionKey;
use realdid_exchange::oidc::{Accounts, Client};
use realdid_exchange::registration::{self, Purpose};
use realdid_exchange::vp::{
    self, AnswerTo, Ask, Expected, Presented, RequestContent, ResponseEvidence, ResponseRefused,
    Signer, VpError, WalletLink, WalletResponse,
};
use subtle::ConstantTimeEq as _;
use url::Url;

use super::book::{Book, BookError, ShownBadge};
use super::log::Reason;
use super::policy::Policy;
use crate::judge::learn_from;
use crate::keys::random;
use crate::refusal::Refusal;
use crate::steps::Inner;
use crate::{GateError, now_ms};

/// The most requests that are open at a time.
const MAX_OPEN: usize = 4096;
/// How many wrong answers one request takes.
const MAX_TRIES: u32 = 5;
/// How long the registrar may take, the ledger's blocks included.
const REGISTRAR_TIMEOUT: Duration = Duration::from_secs(12);
/// The most displays whose records are kept for the present checkpoint.
const MAX_SEEN: usize = 10_000;

/// Displays of one platform.
pub(crate) struct Displays {
    book: Mutex<Book>,
    open: Mutex<BTreeMap<String, Open>>,
    seen: Mutex<Seen>,
    http: reqwest::Client,
}

/// What the newest checkpoint that is known says about displays.
#[derive(Default)]
struct Seen {
    height: u64,
    records: BTreeMap<Hash32, Option<Display>>,
}

/// A request to a wallet.
#[derive(Clone)]
pub(crate) struct Open {
    pub handle: Handle,
    pub terms: Terms,
    pub client: Client,
    /// Where the person goes on afterwards, at the platform.
    pub return_uri: String,
    pub phase: Phase,
    nonce: String,
    state: String,
    encrypt_to: Option<DecryptionKey>,
    tries: u32,
    pub expires_s: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Waiting,
    /// An answer is being looked at.
    Taken,
    Shown,
    Declined,
}

/// How a badge stands now.
pub(crate) enum Standing {
    /// The badge, what was verified in it, the height and age in seconds of the checkpoint.
    Shown(Badge, Box<Verified>, u64, u64),
    /// No name is shown at this handle.
    None,
}

impl From<BookError> for Refusal {
    fn from(error: BookError) -> Self {
        use super::policy::PolicyError;
        match error {
            BookError::Report(PolicyError::BackInTime) => Self::BACK_IN_TIME,
            BookError::Report(PolicyError::Future) => Self::REPORT_FUTURE,
            BookError::Report(PolicyError::Changed) => Self::REPORT_CHANGED,
            BookError::Report(_) => Self::REPORT_TOPICS,
            BookError::Unknown => Self::ACCOUNT_UNKNOWN,
            BookError::Subject => Self::ACCOUNT_SUBJECT,
            BookError::Full => Self::LOGIN_BUSY,
            BookError::Appeal => Self::APPEAL,
            BookError::NotShown => Self::NOT_SHOWN,
            BookError::Log(_) | BookError::File => {
                tracing::error!("the book of displays could not be written");
                Self::INTERNAL
            }
        }
    }
}

impl From<DisplayError> for Refusal {
    fn from(error: DisplayError) -> Self {
        VpError::from(error).into()
    }
}

impl Displays {
    /// Opens the displays of a gate by the platform's policy.
    pub fn open(dir: &Path, policy: &Path) -> Result<Self, GateError> {
        let unfit = |_| GateError::Policy {
            path: policy.to_owned(),
        };
        let text = crate::read(policy)?;
        let text = String::from_utf8_lossy(&text);
        let rules = Policy::parse(&text).map_err(unfit)?;
        let folder = dir.join(super::FOLDER);
        realdid_serve::files::create_private_dir(&folder)?;
        let book = Book::open(&folder, rules).map_err(|error| match error {
            BookError::Log(error) => GateError::of_log(&folder.join(super::LOG_FILE), &error),
            _ => GateError::Book {
                path: folder.clone(),
            },
        })?;
        let http = reqwest::Client::builder()
            .timeout(REGISTRAR_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|_| GateError::Nodes)?;
        Ok(Self {
            book: Mutex::new(book),
            open: Mutex::default(),
            seen: Mutex::default(),
            http,
        })
    }

    pub fn book(&self) -> MutexGuard<'_, Book> {
        // Each change is written whole before it is kept: a poisoned book is still a sound one.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_requests(&self) -> MutexGuard<'_, BTreeMap<String, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request that is open.
    pub fn request(&self, id: &str, now_s: u64) -> Result<Open, Refusal> {
        let requests = self.open_requests();
        let open = requests.get(id).filter(|open| open.expires_s > now_s);
        open.cloned().ok_or(Refusal::REQUEST_UNKNOWN)
    }

    /// Drops what has expired, and decides what time has brought about.
    pub fn sweep(&self, now_s: u64) {
        self.open_requests()
            .retain(|_, open| open.expires_s > now_s);
        let handles = self.book().handles();
        for handle in handles {
            if self.book().settle(&handle, now_s).is_err() {
                tracing::error!("an account could not be settled");
            }
        }
    }

    fn phase(&self, id: &str, phase: Phase) {
        if let Some(open) = self.open_requests().get_mut(id) {
            open.phase = phase;
        }
    }

    /// Claims the one answer of a request: two at a time are not looked at.
    fn take(&self, id: &str, now_s: u64) -> Result<Open, Refusal> {
        let mut requests = self.open_requests();
        let open = requests.get_mut(id).filter(|open| open.expires_s > now_s);
        let open = open.ok_or(Refusal::REQUEST_UNKNOWN)?;
        if open.phase != Phase::Waiting {
            return Err(Refusal::REPLAYED);
        }
        if open.tries >= MAX_TRIES {
            return Err(Refusal::LOGIN_TRIES);
        }
        open.phase = Phase::Taken;
        Ok(open.clone())
    }

    fn give_back(&self, id: &str, failed: bool) {
        if let Some(open) = self.open_requests().get_mut(id) {
            open.phase = Phase::Waiting;
            open.tries += u32::from(failed);
        }
    }
}

/// What a display asks of the wallet: the person of the account, and the name, theirs or the organisation's.
fn ask(accounts: Accounts, kind: Kind) -> Ask {
    Ask::new(accounts == Accounts::Person, &kind.paths())
}

impl Inner {
    /// The displays of this gate, where its configuration has a policy.
    pub(crate) fn displays(&self) -> Result<&Displays, Refusal> {
        self.displays.as_ref().ok_or(Refusal::DISPLAYS_OFF)
    }

    /// Opens a request to the wallet of an account's person; its id is the answer.
    pub(crate) fn ask_for_name(
        &self,
        handle: &Handle,
        client: &Client,
        return_uri: String,
    ) -> Result<String, Refusal> {
        let displays = self.displays()?;
        let now_s = now_ms() / 1000;
        let registration = self.registration(now_ms())?;
        let refused = |reason, refusal| -> Refusal {
            match displays.book().refuse(handle, reason, now_s) {
                Ok(()) => refusal,
                Err(error) => error.into(),
            }
        };
        let (expires_s, kind, look_alike) = {
            let book = displays.book();
            let ends_s = book.policy.display_ends_s(now_s);
            let kind = book.find(handle)?.account.shows();
            (ends_s, kind, book.looks_like_another(handle))
        };
        if look_alike {
            return Err(refused(Reason::LookAlike, Refusal::LOOK_ALIKE));
        }
        let parse = |uri: &str| Url::parse(uri).map_err(|_| Refusal::RETURN_URI);
        let response_uri = parse(&self.display_uri("response", "x"))?;
        let claims = ask(client.accounts, kind).claims();
        if registration
            .allows(&response_uri, Purpose::RealName.code(), &claims)
            .is_err()
        {
            return Err(refused(Reason::PurposeMissing, Refusal::PURPOSE_MISSING));
        }
        let back = registration::domain_of(&parse(&return_uri)?);
        if !back.is_some_and(|domain| registration.domains.contains(&domain)) {
            return Err(Refusal::RETURN_URI);
        }
        let draw = || random().map_err(|_| Refusal::INTERNAL);
        let encrypt_to = match self.encrypted {
            true => Some(DecryptionKey::from_bytes(&draw()?, "1").map_err(|_| Refusal::INTERNAL)?),
            false => None,
        };
        let id = URL_SAFE_NO_PAD.encode(&draw()?[..16]);
        let open = Open {
            handle: handle.clone(),
            terms: Terms {
                network: self.trust.home.snapshot().light.genesis().network.clone(),
                service: self.trust.service_id(),
                handle: handle.clone(),
                kind,
                expires_s,
            },
            client: client.clone(),
            return_uri,
            phase: Phase::Waiting,
            nonce: URL_SAFE_NO_PAD.encode(draw()?),
            state: URL_SAFE_NO_PAD.encode(draw()?),
            encrypt_to,
            tries: 0,
            expires_s: now_s + self.login_s,
        };
        let mut requests = displays.open_requests();
        requests.retain(|_, open| open.expires_s > now_s);
        if requests.len() >= MAX_OPEN {
            return Err(Refusal::LOGIN_BUSY);
        }
        requests.insert(id.clone(), open);
        Ok(id)
    }

    /// The signed request object.
    pub(crate) fn sign_display_request(
        &self,
        id: &str,
        wallet_nonce: Option<&str>,
    ) -> Result<String, Refusal> {
        let now_s = now_ms() / 1000;
        let open = self.displays()?.request(id, now_s)?;
        if open.phase != Phase::Waiting {
            return Err(Refusal::REPLAYED);
        }
        let content = RequestContent {
            network: open.terms.network.as_str(),
            registration: self.trust.registration_jwt(),
            signer: Signer::Registration(self.trust.service_id()),
            purpose: Purpose::RealName.code(),
            ask: &ask(open.client.accounts, open.terms.kind),
            algs: &self.algs,
            answer_to: AnswerTo::Uri(&self.display_uri("response", id)),
            nonce: &open.nonce,
            state: &open.state,
            wallet_nonce,
            encrypt_to: open.encrypt_to.as_ref(),
            display: Some(&open.terms),
            iat_s: now_s,
            exp_s: open.expires_s,
        };
        Ok(content.sign(&self.keys.request)?)
    }

    /// Takes a wallet's answer. The display stands when this is done.
    pub(crate) async fn take_display(&self, id: &str, body: &[u8]) -> Result<Open, Refusal> {
        let displays = self.displays()?;
        let open = displays.take(id, now_ms() / 1000)?;
        match self.judge(id, &open, body).await {
            Ok(phase) => {
                displays.phase(id, phase);
                Ok(Open { phase, ..open })
            }
            Err((refusal, reason)) => {
                // Our own staleness or haste is not the wallet's failure.
                displays.give_back(id, refusal.status < 500);
                if let Some(reason) = reason {
                    displays
                        .book()
                        .refuse(&open.handle, reason, now_ms() / 1000)?;
                }
                Err(refusal)
            }
        }
    }

    async fn judge(
        &self,
        id: &str,
        open: &Open,
        body: &[u8],
    ) -> Result<Phase, (Refusal, Option<Reason>)> {
        let unknown = |refusal: Refusal| (refusal, None);
        let response = WalletResponse::parse(body, open.encrypt_to.as_ref())
            .map_err(|error| unknown(error.into()))?;
        let state = match &response {
            WalletResponse::Presented(presented) => &presented.state,
            WalletResponse::Declined { state, .. } => state,
        };
        // Who does not know the state has not read the request.
        if !bool::from(state.as_bytes().ct_eq(open.state.as_bytes())) {
            return Err(unknown(ResponseRefused::State.into()));
        }
        let displays = self.displays().map_err(unknown)?;
        let presented = match response {
            WalletResponse::Presented(presented) => presented,
            WalletResponse::Declined { .. } => {
                let noted = displays
                    .book()
                    .refuse(&open.handle, Reason::Declined, now_ms() / 1000);
                noted.map_err(|error| unknown(error.into()))?;
                return Ok(Phase::Declined);
            }
        };
        let subject = self
            .shown_by(id, open, &presented)
            .await
            .map_err(|refusal| {
                let reason = (refusal.status < 500).then_some(Reason::AnswerInvalid);
                (refusal, reason)
            })?;
        let expected = displays
            .book()
            .find(&open.handle)
            .map(|held| held.subject.clone());
        if expected.map_err(|error| unknown(error.into()))? != subject {
            return Err((Refusal::OTHER_PERSON, Some(Reason::OtherPerson)));
        }
        self.publish(open, presented.pid.unwrap_or_default())
            .await
            .map_err(unknown)?;
        Ok(Phase::Shown)
    }

    /// Verifies everything that was shown: whose it is, as the platform's websites know them.
    async fn shown_by(
        &self,
        id: &str,
        open: &Open,
        presented: &Presented,
    ) -> Result<String, Refusal> {
        let home = self.home();
        let proof = presented.did_proof.as_ref();
        let proof = proof.ok_or(ResponseRefused::Incomplete)?;
        let did = proof.claimed_did().map_err(VpError::from)?;
        if did.network != open.terms.network {
            return Err(Refusal::DISPLAY_ABROAD);
        }
        let issuers = self.claimed_issuers(&home, presented).await?;
        let now_ms = now_ms();
        let snapshot = home.view.snapshot();
        let checked = vp::check_response(
            presented,
            &Expected {
                client_id: &vp::client_id(&self.trust.service_id()),
                nonce: &open.nonce,
                ask: &ask(open.client.accounts, open.terms.kind),
                answer_to: AnswerTo::Uri(&self.display_uri("response", id)),
                encrypt_to: open.encrypt_to.as_ref(),
                now_ms,
                max_age_s: self.login_s,
                display: Some(&open.terms),
            },
            &ResponseEvidence {
                status_list: None,
                pid_issuer: issuers.pid.as_ref(),
                pass_issuer: issuers.pass.as_ref(),
                light: &snapshot.light,
                freshness: &home.view.freshness(now_ms),
                recognised: None,
            },
        )?;
        learn_from(home.view, checked.did.as_ref(), presented);
        let verdict = match &checked.pass {
            Some(claim) => Some(self.passes.verify(claim).await?),
            None => None,
        };
        let verified = checked.conclude(verdict)?;
        let service = self.trust.service_id();
        Ok(match (verified.pass, verified.did) {
            (Some(pass), _) => self.keys.subject_of_person(&service, &pass.pseudonym)?,
            (None, Some(did)) => self.keys.subject_of_did(&service, &did.did.id)?,
            (None, None) => return Err(ResponseRefused::Incomplete.into()),
        })
    }

    /// Has the digest put on the ledger, and keeps the badge.
    async fn publish(&self, open: &Open, presentation: String) -> Result<(), Refusal> {
        let displays = self.displays()?;
        let badge = Badge::new(presentation, self.trust.registration_jwt().to_owned())?;
        let claimed = badge.claimed();
        let act = Act::Show {
            withdrawal: claimed.withdrawal,
        };
        self.order(claimed.digest, act).await?;
        let shown = ShownBadge {
            badge: badge.to_json(),
            digest: claimed.digest.to_string(),
        };
        let now_s = now_ms() / 1000;
        let terms = (claimed.terms.kind, claimed.terms.expires_s);
        let before = displays.book().grant(&open.handle, shown, terms, now_s)?;
        if let Some(before) = before {
            let reason = ReasonCode::Scheduled;
            self.order(before, Act::Withdraw { reason }).await?;
        }
        tracing::info!("a name is shown");
        Ok(())
    }

    /// The platform takes a display back.
    pub(crate) async fn withdraw_display(
        &self,
        handle: &Handle,
        reason: ReasonCode,
    ) -> Result<(), Refusal> {
        let displays = self.displays()?;
        let digest = displays
            .book()
            .find(handle)?
            .badge
            .as_ref()
            .and_then(ShownBadge::digest);
        let digest = digest.ok_or(Refusal::NOT_SHOWN)?;
        self.order(digest, Act::Withdraw { reason }).await?;
        let now_s = now_ms() / 1000;
        Ok(displays
            .book()
            .withdrawn(handle, Reason::PlatformWithdrew, now_s)?)
    }

    /// Asks the registrar of this service, and waits until the ledger has it.
    async fn order(&self, digest: Hash32, act: Act) -> Result<(), Refusal> {
        let registration = self.registration(now_ms())?;
        let order = Order {
            service: self.trust.service_id(),
            registrar: registration.registrar.clone(),
            digest,
            act,
            made_s: now_ms() / 1000,
        };
        let signed = order.sign(&self.keys.request)?;
        let url = format!(
            "{}/v1/displays",
            registration.registrar.trim_end_matches('/')
        );
        let request = self.displays()?.http.post(url).body(signed);
        let answer = request
            .header("content-type", "application/jwt")
            .send()
            .await;
        match answer {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => {
                tracing::warn!(
                    status = answer.status().as_u16(),
                    "the registrar refused an order"
                );
                Err(Refusal::REGISTRAR)
            }
            Err(_) => Err(Refusal::REGISTRAR),
        }
    }

    /// The badge at a handle, checked now, by the newest checkpoint that this gate knows. A display that
    /// its person withdrew is taken down here.
    pub(crate) async fn badge_at(&self, handle: &Handle) -> Result<Standing, Refusal> {
        let displays = self.displays()?;
        let held = displays.book().find(handle).map(|held| held.badge.clone());
        let Ok(Some(shown)) = held else {
            return Ok(Standing::None);
        };
        let badge = Badge::parse(shown.badge.to_string().as_bytes())?;
        let digest = badge.claimed().digest;
        let record = self.display_record(&digest).await?;
        let by = self.trust.home.snapshot().light.hash_function();
        let issuer = self.issuer(&badge.issuers(by)[0]).await?;
        let now_ms = now_ms();
        let (service, registrar) = self.trust.own_records(now_ms)?;
        let snapshot = self.trust.home.snapshot();
        let records = Records {
            network: &snapshot.light.genesis().network,
            issuer: issuer.as_ref(),
            registrar: registrar.as_ref(),
            service: service.as_ref(),
            display: record.as_ref(),
        };
        let address = Url::parse(&self.issuer).ok();
        let place = Place {
            handle: Some(handle.as_str()),
            address: address.as_ref(),
        };
        match display::verify(&badge, &place, &records, now_ms / 1000) {
            Ok(verified) => {
                let newest = snapshot.light.newest().ok_or(Refusal::STALE)?;
                let age_s = now_ms.saturating_sub(newest.header.time_ms) / 1000;
                let height = newest.header.height;
                Ok(Standing::Shown(badge, Box::new(verified), height, age_s))
            }
            Err(error) => {
                let gone = record.is_some_and(|record| record.status == DisplayStatus::Withdrawn);
                if gone {
                    let now_s = now_ms / 1000;
                    // Another visitor may have been faster.
                    let _ = displays
                        .book()
                        .withdrawn(handle, Reason::PersonWithdrew, now_s);
                }
                Err(error.into())
            }
        }
    }

    /// What the newest checkpoint says of a display: asked once for each checkpoint.
    async fn display_record(&self, digest: &Hash32) -> Result<Option<Display>, Refusal> {
        let displays = self.displays()?;
        let fresh = self.trust.home.checkpoint_age_ms(now_ms());
        if fresh.is_none_or(|age_ms| age_ms > self.max_age_s * 1000) {
            return Err(Refusal::STALE);
        }
        let height = |inner: &Self| {
            let snapshot = inner.trust.home.snapshot();
            snapshot
                .light
                .newest()
                .map_or(0, |newest| newest.header.height)
        };
        {
            let seen = displays.seen();
            if let Some(record) = seen
                .records
                .get(digest)
                .filter(|_| seen.height >= height(self))
            {
                return Ok(record.clone());
            }
        }
        let record = self.trust.newest_display(&self.follower, digest).await?;
        let height = height(self);
        let mut seen = displays.seen();
        if seen.height != height || seen.records.len() >= MAX_SEEN {
            seen.records.clear();
            seen.height = height;
        }
        // What is not there yet may be there in the next slot, and is asked about again.
        if record.is_some() {
            seen.records.insert(*digest, record.clone());
        }
        Ok(record)
    }

    /// Looks at every badge, so that the platform learns of those that were withdrawn.
    pub(crate) async fn review_displays(&self) {
        let Some(displays) = &self.displays else {
            return;
        };
        let handles = displays.book().handles();
        for handle in handles {
            // What does not stand has been taken down, or is looked at again next time.
            let _ = self.badge_at(&handle).await;
        }
    }

    pub(crate) fn display_uri(&self, what: &str, id: &str) -> String {
        format!("{}/displays/{what}/{id}", self.issuer)
    }

    pub(crate) fn display_link(&self, id: &str) -> String {
        WalletLink {
            client_id: vp::client_id(&self.trust.service_id()),
            request_uri: self.display_uri("request", id),
            post: false,
        }
        .to_string()
    }
}
