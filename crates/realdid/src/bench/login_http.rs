//! `login_http`: whole logins at a real gate of a real nation, over HTTP on loopback.
//!
//! This process plays website, browser and wallet; none of that counts, only the gate's process
//! does. The person is enrolled once, with one batch of PID copies. Each login signs anew over
//! the gate's nonce and fetches a fresh staple from the node. Copies and DIDs are used again and
//! again, which a wallet does not do and a gate cannot tell the cost of.

use super::network::{RunningNation, http};
use super::{Measured, broken, clock, signatures, traffic};
use crate::fail::Fail;
use crate::nation::{SERVICE_NAMES, random};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::future::try_join_all;
use realdid_core::answer::StateAnswer;
use realdid_core::did::{Did, Inception, Keys, NetworkName};
use realdid_core::state::{Issuer, Service, did_key};
use realdid_core::suite::{Context, SecretKey, Suite};
use realdid_credential::jose::SigningKey;
use realdid_credential::pid::VCT;
use realdid_credential::realpass;
use realdid_credential::sd_jwt::{Binding, ParsedSdJwt, present};
use realdid_demo::DemoConfig;
use realdid_exchange::did_proof::{self, ProofContent};
use realdid_exchange::oidc::{Accounts, secret_hash};
use realdid_exchange::vp::{self, CheckedRequest, ClaimedRequest, RequestEvidence, WalletLink};
use realdid_light::http::NodeClient;
use realdid_wallet::ledger::{Ledger, now_s};
use realdid_wallet::wallet::Wallet;
use serde::Deserialize;
use std::num::NonZero;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Barrier, Semaphore};
use tokio::task::{JoinError, JoinSet};

/// Logins under way at a time: so many that a gate is not woken anew for each request.
const PARALLEL: usize = 64;
/// A gate remembers 10,000 access tokens for five minutes; more logins than this are not made.
const MOST_LOGINS: usize = 9_000;
/// How often logins and signatures take turns: a machine is not equally fast all the time.
pub(super) const TURNS: u32 = 10;
/// Of what a gate bears, what comes where the slowest answers are looked for.
const PART: f64 = 0.7;

pub async fn measure() -> Result<Measured, Fail> {
    let running = RunningNation::start(Accounts::Did).await?;
    let mut scene = Scene::new(&running).await?;
    scene.answers = Answers::InStep;
    let turn = clock::length() / TURNS;
    let turns = async {
        let mut left = MOST_LOGINS;
        left -= scene.load(turn * 2, MOST_LOGINS / 4).await?;
        let (mut done, mut taken_s, mut signed_s) = (0, 0.0, 0.0);
        for _ in 0..TURNS {
            let before_s = running.gate_cpu_s()?;
            let logins = scene.load(turn, left).await?;
            taken_s += running.gate_cpu_s()? - before_s;
            signed_s += 1.0 / signatures(turn)?;
            left -= logins;
            done += logins;
        }
        Ok::<_, Fail>((done as f64 / taken_s, f64::from(TURNS) / signed_s))
    };
    let (ours, signed) = clock::awake(turns)??;
    drop((scene, running));
    Ok(Measured {
        id: "login_http",
        workload: "a whole login by the code flow with PKCE over HTTP on loopback, by 64 people step by step: authorize \
                   with the signed request, presentation of a PID and of a DID with its staple, code, ID token, \
                   userinfo; PID copies and DIDs are used again; the gate's process".into(),
        unit: "logins/cpu-s",
        ours,
        limit: Some(
            "its signatures alone: 2 P-256 and 1 Ed25519 verification, 2 P-256 signatures (request, ID token)",
        ),
        limit_value: Some(signed),
        goal: Some("ratio >= 3 and limit_ratio >= 0.5"),
    })
}

/// How long the slowest of a hundred answers takes where logins come at their own times, and not as soon as the
/// one before is done.
pub async fn tail() -> Result<Measured, Fail> {
    let running = RunningNation::start(Accounts::Did).await?;
    let scene = Arc::new(Scene::new(&running).await?);
    let length = clock::length();
    scene.load(length / 4, MOST_LOGINS / 8).await?;
    let borne = scene.load(length / 2, MOST_LOGINS / 4).await?;
    let rate = PART * borne as f64 / (length / 2).as_secs_f64();
    scene.take_times();
    let most = length.min(Duration::from_secs_f64(MOST_LOGINS as f64 / 2.0 / rate));
    let logins = scene.load_at(rate, most).await?;
    let mut times = scene.take_times();
    times.sort_by(f64::total_cmp);
    let at = |percent: usize| {
        let place = (times.len() * percent).div_ceil(100).max(1) - 1;
        times.get(place).copied().unwrap_or(f64::INFINITY)
    };
    let ours = at(99);
    let workload = format!(
        "the steps of login_http at a fixed rate of {rate:.0} logins/s, 0.7 of what is borne where 64 at a time ask, nation and \
         wallets on the same machine: from a request to its answer at the one who asks, {} answers of {logins} logins, \
         the median {:.2} ms",
        times.len(),
        at(50),
    );
    drop((scene, running));
    Ok(Measured {
        id: "login_http_p99",
        workload: workload.into(),
        unit: "ms",
        ours,
        limit: None,
        limit_value: None,
        goal: Some("ours <= 5"),
    })
}

/// Logins a second of processor time if a gate did nothing but their signatures.
pub(super) fn signatures(length: Duration) -> Result<f64, Fail> {
    let key = traffic::key("did", 0, Suite::Ed25519)?;
    let (public, network) = (key.public(), traffic::Traffic::new()?.network);
    let message = [7; 1500];
    let signature = key.sign(Context::Operation, &network, &message);
    let part = length / 3;
    let ed25519 = clock::rate(part, 50, |_| {
        let valid = (0..50).all(|_| {
            public
                .verify(
                    Context::Operation,
                    &network,
                    std::hint::black_box(&message),
                    &signature,
                )
                .is_ok()
        });
        valid
            .then_some(())
            .ok_or_else(|| broken("every signature verifies"))
    })?;
    let (verified, signed) = (signatures::verifying(part)?, signatures::signing(part)?);
    Ok(1.0 / (2.0 / verified + 1.0 / ed25519 + 2.0 / signed))
}

/// The website, the network's records, and the people who log in.
pub(super) struct Scene {
    pub gate: String,
    pub client_id: String,
    pub client_secret: String,
    pub redirect_uri: String,
    pub known: Arc<Known>,
    pub nodes: NodeClient,
    pub people: Vec<Arc<Person>>,
    pub answers: Answers,
    /// How many wallets work at a time: no more than there are processors, or a gate would wait for its turn
    /// behind all of them, which on machines of their own they would not keep from it.
    pub wallets: Semaphore,
    /// How long each answer of the gate took, in milliseconds.
    pub times: Mutex<Vec<f64>>,
}

/// What wallets know from the ledger of who asks.
pub(super) struct Known {
    /// The name of the network on whose ledger the service is registered.
    pub network: String,
    pub registrar: Issuer,
    pub service: Service,
}

/// When those who log in at a time send what they show.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Answers {
    /// Each as soon as it is made, and then the next login begins.
    Apart,
    /// As every other step, when all have come so far. Those who ask are slower than the gate, on processors
    /// that they share with it: without a rush it would be woken for each request, and the account would be
    /// that of a gate with nothing to do.
    InStep,
    /// All when the last is made, and the next logins begin when all are in. Wallets make their
    /// proofs each on a device of its own; one process that makes them all one after the other,
    /// on processors that it shares with the gate, would be slower than any rush.
    Together,
}

/// Who waits for whom between the steps of a login.
struct Wait {
    answers: Answers,
    for_all: Barrier,
}

impl Wait {
    fn for_nobody() -> Self {
        Self {
            answers: Answers::Apart,
            for_all: Barrier::new(1),
        }
    }

    async fn for_step(&self) {
        if self.answers == Answers::InStep {
            self.for_all.wait().await;
        }
    }

    async fn for_answer(&self) {
        if self.answers != Answers::Apart {
            self.for_all.wait().await;
        }
    }
}

/// One of those who log in: what they show, a DID for this service, and a browser that keeps its connections.
pub(super) struct Person {
    http: reqwest::Client,
    shows: Shows,
    inception: Inception,
    did: Did,
    key: SecretKey,
}

/// What is shown beside the DID.
pub(super) enum Shows {
    /// A copy of the PID, and its key.
    Pid(Box<ParsedSdJwt>, SigningKey),
    /// A RealPass.
    Pass(Present),
}

/// Makes a presentation for a binding.
pub(super) type Present = Box<dyn Fn(&[u8]) -> Result<String, Fail> + Send + Sync>;

impl Person {
    /// The `n`th, with a DID of their own.
    pub fn new(n: u64, network: &NetworkName, shows: Shows) -> Result<Arc<Self>, Fail> {
        let key = traffic::key("did", n, Suite::Ed25519)?;
        let inception = Inception {
            version: 1,
            network: network.clone(),
            keys: Keys {
                current: vec![key.public()],
                next: traffic::bytes("next", n),
                recovery: traffic::bytes("recovery", n),
            },
            endpoints: Vec::new(),
        };
        Ok(Arc::new(Self {
            http: http()?,
            shows,
            did: inception.did(),
            inception,
            key,
        }))
    }

    /// The wallet's part: checks the request, signs for it; answers form and address.
    fn answer(
        &self,
        known: &Known,
        staple: &StateAnswer,
        start: &Start,
    ) -> Result<(String, String), Fail> {
        let shown = self.show(known, staple, start)?;
        let mut entropy = [0; 44];
        random(&mut entropy)?;
        let answer = vp::Answer {
            pass: shown.pass.as_deref(),
            pid: shown.pid.as_deref(),
            mdoc: None,
            did_proof: Some(&shown.did_proof),
        };
        let form = vp::response_form(&shown.request, &answer, &entropy).map_err(Fail::of)?;
        Ok((form, shown.request.response_uri))
    }

    /// What is shown for a request that was checked.
    fn show(&self, known: &Known, staple: &StateAnswer, start: &Start) -> Result<Shown, Fail> {
        let evidence = RequestEvidence {
            network: &known.network,
            registrar: Some(&known.registrar),
            service: Some(&known.service),
            now_s: now_s(),
            wallet_nonce: None,
        };
        let link = WalletLink::parse(&start.wallet_link).map_err(Fail::of)?;
        let request = ClaimedRequest::parse(&start.request).map_err(Fail::of)?;
        let request = request.check(&link, &evidence).map_err(Fail::of)?;
        let (mut pass, mut pid) = (None, None);
        match &self.shows {
            Shows::Pid(copy, holder) => {
                let binding = Binding {
                    nonce: &request.nonce,
                    aud: &request.client_id,
                    iat_s: now_s(),
                };
                let shown = present(copy, &request.claims, &binding, holder);
                pid = Some(shown.map_err(Fail::of)?);
            }
            Shows::Pass(make) => {
                let name = self.did.to_string();
                let audience = &request.client_id;
                pass = Some(make(&realpass::binding(
                    &request.nonce,
                    audience,
                    Some(&name),
                ))?);
            }
        }
        let proof = ProofContent {
            did: &self.did,
            inception: Some(&self.inception),
            staple,
            key_index: 0,
            audience: &request.client_id,
            nonce: &request.nonce,
            now_s: now_s(),
            shown_hash: did_proof::shown_hash(pass.as_deref(), pid.as_deref()),
            batch: None,
        };
        let did_proof = did_proof::build(&proof, &self.key).map_err(Fail::of)?;
        Ok(Shown {
            request,
            pass,
            pid,
            did_proof,
        })
    }
}

/// What a wallet shows, before it is encrypted.
struct Shown {
    request: CheckedRequest,
    pass: Option<String>,
    pid: Option<String>,
    did_proof: String,
}

/// What travels in a login, as it is read and written. All of it is of one of the bench's own people.
pub(super) struct Texts {
    /// The request, signed, and what is shown for it.
    pub request: String,
    pub pid: String,
    pub did_proof: String,
    /// The gate's answers to the code and to the access token.
    pub tokens: String,
    pub claims: String,
}

/// What the gate answers at the authorisation endpoint.
#[derive(Deserialize)]
struct Start {
    wallet_link: String,
    request: String,
}

#[derive(Deserialize)]
struct Answered {
    redirect_uri: String,
}

#[derive(Deserialize)]
struct Tokens {
    access_token: String,
    id_token: String,
}

#[derive(Deserialize)]
struct UserInfo {
    sub: String,
}

impl Scene {
    pub async fn new(running: &RunningNation) -> Result<Self, Fail> {
        let nation = &running.nation;
        let file = nation
            .dir
            .join("services")
            .join(SERVICE_NAMES[0].0)
            .join("service.toml");
        let client: DemoConfig =
            realdid_serve::config::load(&file, "REALDID_BENCH_SERVICE").map_err(Fail::of)?;
        let dir = running.folder.path().join("wallet");
        let (mut wallet, _) = super::network::enrolled(nation, &dir).await?;
        let mut ledger = Ledger::of(&wallet.content)?;

        let mut scene = Self {
            gate: nation.gate_url(0),
            redirect_uri: format!("{}/callback", nation.service_url(0)),
            client_id: client.client_id,
            client_secret: client.client_secret,
            // Stand-ins until the first request has named the real ones.
            known: Arc::new(Known {
                network: nation.network.clone(),
                registrar: ledger.light.genesis().issuers[0].clone(),
                service: no_service(),
            }),
            people: people(&wallet, &ledger)?,
            answers: Answers::Apart,
            wallets: wallets(),
            times: Mutex::default(),
            nodes: ledger.nodes.clone(),
        };
        let (_, start) = scene
            .authorize(&super::network::http()?, "", "", "")
            .await?;
        let claimed = ClaimedRequest::parse(&start.request).map_err(Fail::of)?;
        let content = &mut wallet.content;
        let service = ledger.service(content, &claimed.service_id()).await?.value;
        let registrar = claimed.registrar_id(ledger.hash_function());
        let registrar = ledger.issuer(content, &registrar).await?.value;
        let known = || broken("the gate's service and registrar are on the ledger");
        scene.known = Arc::new(Known {
            network: nation.network.clone(),
            service: service.ok_or_else(known)?,
            registrar: registrar.ok_or_else(known)?,
        });
        Ok(scene)
    }

    /// Logs in for `length`, `most` times at most; answers how often.
    pub async fn load(&self, length: Duration, most: usize) -> Result<usize, Fail> {
        let until = Instant::now() + length;
        let size = match self.answers {
            Answers::Apart => 1,
            Answers::InStep | Answers::Together => self.people.len(),
        };
        let group = async |people: &[Arc<Person>]| -> Result<usize, Fail> {
            let wait = Wait {
                answers: self.answers,
                for_all: Barrier::new(people.len()),
            };
            let mut done = 0;
            while Instant::now() < until && done < most * people.len() / self.people.len() {
                try_join_all(people.iter().map(|person| self.login(person, &wait))).await?;
                done += people.len();
            }
            Ok(done)
        };
        Ok(try_join_all(self.people.chunks(size).map(group))
            .await?
            .iter()
            .sum())
    }

    /// Begins a login at each tick of a rate, whether or not those before are done; answers how many.
    ///
    /// Each goes on by itself, on whatever thread has time: one that is held up holds up no other.
    async fn load_at(self: &Arc<Self>, rate: f64, length: Duration) -> Result<usize, Fail> {
        let mut free = self.people.clone();
        let start = Instant::now();
        let mut open = JoinSet::new();
        let mut begun = 0;
        loop {
            let due = start + Duration::from_secs_f64(begun as f64 / rate);
            if due > start + length {
                break;
            }
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(due.into()) => {
                    let person = free.pop().ok_or_else(|| broken("the gate keeps up with 0.7 of what it bears"))?;
                    let scene = Arc::clone(self);
                    open.spawn(async move {
                        let alone = Wait::for_nobody();
                        scene.login(&person, &alone).await.map(|_| person)
                    });
                    begun += 1;
                }
                Some(done) = open.join_next() => free.push(ended(done)?),
            }
        }
        while let Some(done) = open.join_next().await {
            ended(done)?;
        }
        Ok(begun)
    }

    /// What came of a request to the gate, and how long it took.
    async fn sent(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, Fail> {
        let start = Instant::now();
        let answer = request.send().await.map_err(|_| no_answer())?;
        let took_ms = 1000.0 * start.elapsed().as_secs_f64();
        self.times().push(took_ms);
        Ok(answer)
    }

    fn times(&self) -> MutexGuard<'_, Vec<f64>> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_times(&self) -> Vec<f64> {
        std::mem::take(&mut *self.times())
    }

    /// One login, from the website's redirect to the claims in its hands.
    async fn login(&self, person: &Arc<Person>, wait: &Wait) -> Result<(String, String), Fail> {
        let http = &person.http;
        let [state, nonce, verifier] = [secret()?, secret()?, secret()?];
        wait.for_step().await;
        let (cookie, start) = self.authorize(http, &state, &nonce, &verifier).await?;
        let (form, response_uri) = self.answer(person, start).await?;
        wait.for_answer().await;
        let post = http
            .post(response_uri)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        let answered: Answered = json(self.sent(post).await?).await?;
        wait.for_step().await;
        let back = http.get(answered.redirect_uri).header("cookie", cookie);
        let back = self.sent(back).await?;
        let location = back
            .headers()
            .get("location")
            .and_then(|value| value.to_str().ok());
        let location = location
            .and_then(|text| url::Url::parse(text).ok())
            .ok_or_else(no_answer)?;
        let query: Vec<_> = location.query_pairs().collect();
        let value = |wanted: &str| {
            query
                .iter()
                .find(|(name, _)| name == wanted)
                .map(|(_, value)| value)
        };
        if value("state").map(AsRef::as_ref) != Some(state.as_str()) {
            return Err(broken("the gate repeats the website's state"));
        }
        let code = value("code").ok_or_else(|| broken("the gate gives a code"))?;
        let token = form_of(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", &verifier),
        ]);
        let post = http
            .post(format!("{}/token", self.gate))
            .basic_auth(&self.client_id, Some(&self.client_secret))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(token);
        wait.for_step().await;
        let told = text(self.sent(post).await?).await?;
        let tokens: Tokens = serde_json::from_str(&told).map_err(|_| no_answer())?;
        wait.for_step().await;
        let userinfo = http
            .get(format!("{}/userinfo", self.gate))
            .bearer_auth(&tokens.access_token);
        let claims = text(self.sent(userinfo).await?).await?;
        let person: UserInfo = serde_json::from_str(&claims).map_err(|_| no_answer())?;
        if person.sub.is_empty() || tokens.id_token.is_empty() {
            return Err(broken("a login ends with an ID token and a subject"));
        }
        Ok((told, claims))
    }

    /// One login's texts.
    pub async fn texts(&self) -> Result<Texts, Fail> {
        let person = self.people.first();
        let person = person.ok_or_else(|| broken("somebody logs in"))?;
        let (tokens, claims) = self.login(person, &Wait::for_nobody()).await?;
        let (_, start) = self.authorize(&person.http, "", "", "").await?;
        let key = did_key(person.did.network.hash_function(), &person.did.id);
        let staple = self.nodes.state(&key).await?;
        let shown = person.show(&self.known, &staple, &start)?;
        Ok(Texts {
            request: start.request,
            pid: shown.pid.ok_or_else(|| broken("a PID is shown"))?,
            did_proof: shown.did_proof,
            tokens,
            claims,
        })
    }

    /// The website sends the browser to the gate; answers the login's cookie.
    async fn authorize(
        &self,
        http: &reqwest::Client,
        state: &str,
        nonce: &str,
        verifier: &str,
    ) -> Result<(String, Start), Fail> {
        let query = form_of(&[
            ("client_id", &self.client_id),
            ("redirect_uri", &self.redirect_uri),
            ("response_type", "code"),
            ("scope", "openid"),
            ("state", state),
            ("nonce", nonce),
            (
                "code_challenge",
                &URL_SAFE_NO_PAD.encode(secret_hash(verifier)),
            ),
            ("code_challenge_method", "S256"),
        ]);
        let url = format!("{}/authorize?{query}", self.gate);
        let request = http.get(url).header("accept", "application/json");
        let answer = self.sent(request).await?;
        let cookie = answer
            .headers()
            .get("set-cookie")
            .and_then(|value| value.to_str().ok());
        let cookie = cookie
            .and_then(|line| line.split(';').next())
            .map(str::to_owned);
        let start = answer.json().await.map_err(|_| no_answer())?;
        Ok((cookie.ok_or_else(no_answer)?, start))
    }

    /// Has the wallet fetch its staple and answer, on a thread of its own: whoever waits for the gate is not
    /// kept by somebody else's signatures.
    async fn answer(&self, person: &Arc<Person>, start: Start) -> Result<(String, String), Fail> {
        let key = did_key(person.did.network.hash_function(), &person.did.id);
        let staple = self.nodes.state(&key).await?;
        let (person, known) = (Arc::clone(person), Arc::clone(&self.known));
        let _turn = self.wallets.acquire().await.map_err(Fail::of)?;
        let made = tokio::task::spawn_blocking(move || person.answer(&known, &staple, &start));
        made.await.map_err(|_| broken("a wallet answers"))?
    }
}

/// A copy of the enrolled person's PID and a fresh DID for each that logs in at a time.
fn people(wallet: &Wallet, ledger: &Ledger) -> Result<Vec<Arc<Person>>, Fail> {
    let batch = wallet.content.batches.iter().find(|batch| batch.vct == VCT);
    let batch = batch.ok_or_else(|| broken("an enrolled wallet holds a PID"))?;
    let network = &ledger.light.genesis().network;
    let person = |(n, copy): (u64, &realdid_wallet::content::CredentialCopy)| {
        let parsed = ParsedSdJwt::parse(copy.credential.as_str()).map_err(Fail::of)?;
        let holder = copy.holder().map_err(Fail::of)?;
        Person::new(n, network, Shows::Pid(Box::new(parsed), holder))
    };
    (0..)
        .zip(batch.copies.iter().cycle())
        .take(PARALLEL)
        .map(person)
        .collect()
}

/// What a login of its own task came to.
fn ended<T>(login: Result<Result<T, Fail>, JoinError>) -> Result<T, Fail> {
    login.map_err(|_| broken("a login ends"))?
}

pub(super) fn wallets() -> Semaphore {
    Semaphore::new(std::thread::available_parallelism().map_or(1, NonZero::get))
}

fn no_service() -> Service {
    Service {
        seq: 0,
        digest: traffic::bytes("none", 0),
        issuer: traffic::bytes("none", 0),
        standing: realdid_core::state::Standing::Ended,
        reason: realdid_core::state::ReasonCode::None,
    }
}

async fn text(answer: reqwest::Response) -> Result<String, Fail> {
    answer
        .error_for_status()
        .map_err(|_| no_answer())?
        .text()
        .await
        .map_err(|_| no_answer())
}

async fn json<T: serde::de::DeserializeOwned>(answer: reqwest::Response) -> Result<T, Fail> {
    serde_json::from_str(&text(answer).await?).map_err(|_| no_answer())
}

pub(super) fn form_of(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

/// 43 characters that nobody can guess.
fn secret() -> Result<String, Fail> {
    let mut bytes = [0; 32];
    random(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn no_answer() -> Fail {
    broken("the gate answers each step of a login")
}
