//! The routes of authority and registrar over the ledger's rules in memory, as a wallet and a gate
//! use them, and what each refuses.

mod batches;
mod foreigners;
mod issuing;
mod ledger;
mod life;
mod mandates;
mod oauth;
mod peers;
mod realpass;
mod registrar;
mod statuses;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use realdid_core::genesis::{Genesis, Parameters};
use realdid_core::hash::HashFunction;
use realdid_core::operation::SignedOperation;
use realdid_core::state::{Enrolment, ReasonCode, Standing, enrolment_key, issuer_id};
use realdid_core::suite::{SecretKey, Suite};
use realdid_core::trie::Key;
use realdid_exchange::tag::{
    self, CardEvidence, EnrolmentRequest, EnrolmentResponse, blind, enrolment_commitment, normalise,
};
use realdid_light::http::NodeError;
use realdid_serve::{ServeOptions, plumb};
use realdid_testkit::ledger::{AUTHORITY, REGISTRAR, START_MS, TestNet};
use serde_json::Value;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tower::ServiceExt;

use crate::config::{BatchConfig, Limits, RealPassConfig};
use crate::keys::{AuthorityKeys, KeySuites, init_authority, init_registrar};
use crate::ledger::{Ledger, LedgerError, Seen};
use crate::register::Register;
use crate::register::organisations::Organisations;
use crate::register::organisations::synthetic::SyntheticOrganisations;
use crate::register::synthetic::SyntheticRegister;
use crate::service::{Authority, Parts, probes, router};
use crate::standing::{Operator, Reset};
use crate::store::Store;
use crate::text::Clock;

const BY: HashFunction = HashFunction::Sha256;

/// The ledger's rules over a map: every operation is final at once.
#[derive(Clone)]
pub struct MemoryLedger {
    net: Arc<Mutex<TestNet>>,
    genesis: Arc<Genesis>,
    down: Arc<std::sync::atomic::AtomicBool>,
}

impl MemoryLedger {
    fn new(net: TestNet) -> Self {
        Self {
            genesis: Arc::new(net.genesis.clone()),
            net: Arc::new(Mutex::new(net)),
            down: Arc::default(),
        }
    }

    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    pub fn tip(&self) -> (u64, u64) {
        let net = self.net.lock().unwrap();
        (net.now.height, net.now.time_ms)
    }

    pub fn seen<T>(&self, key: &Key) -> Seen<T>
    where
        T: for<'b> minicbor::Decode<'b, ()> + minicbor::Encode<()>,
    {
        let net = self.net.lock().unwrap();
        Seen {
            record: net.record(key),
            height: net.now.height,
            time_ms: net.now.time_ms,
        }
    }

    pub fn apply(&self, operation: &SignedOperation) -> Result<u64, LedgerError> {
        if self.down.load(Ordering::Relaxed) {
            let url = "http://127.0.0.1:1".to_owned();
            return Err(NodeError::Unreachable { url }.into());
        }
        let mut net = self.net.lock().unwrap();
        match net.apply(operation) {
            Ok(()) => Ok(net.now.height),
            Err(rule) => Err(NodeError::Refused {
                rule: rule.code().to_owned(),
            }
            .into()),
        }
    }
}

/// An authority and a registrar on one network in memory.
struct Nation {
    folder: tempfile::TempDir,
    authority: Arc<Authority>,
    ledger: MemoryLedger,
    registrar: Arc<crate::registrar::Registrar>,
    /// Added to the clock that both read, in milliseconds.
    later_ms: Arc<AtomicU64>,
}

fn counting_rng() -> impl FnMut(&mut [u8]) {
    let mut next = 0u8;
    move |out| {
        next += 1;
        out.fill(next);
    }
}

impl Nation {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (own, other) = (
            folder.path().join("authority"),
            folder.path().join("registrar"),
        );
        let mut rng = counting_rng();
        let suites = KeySuites::of(&Parameters::development());
        let issuers = vec![
            init_authority(&own, AUTHORITY, "CN", suites, &mut rng).unwrap(),
            init_registrar(&other, REGISTRAR, suites, &mut rng).unwrap(),
        ];
        let ledger = MemoryLedger::new(TestNet::with(|genesis| genesis.issuers = issuers));
        let later_ms = Arc::new(AtomicU64::new(0));
        let clock = {
            let later_ms = later_ms.clone();
            Clock::of(move || START_MS + later_ms.load(Ordering::Relaxed))
        };
        let authority = authority(&own, &ledger, clock.clone()).await;
        let config = toml_config(&other);
        let registrar = crate::registrar::Registrar::open(
            &config,
            REGISTRAR.to_owned(),
            Ledger::Memory(ledger.clone()),
            clock,
        );
        let registrar = Arc::new(registrar.await.unwrap());
        Self {
            folder,
            authority,
            ledger,
            registrar,
            later_ms,
        }
    }

    fn dir(&self) -> std::path::PathBuf {
        self.folder.path().join("authority")
    }

    fn wait_s(&self, seconds: u64) {
        self.later_ms.fetch_add(seconds * 1000, Ordering::Relaxed);
        self.ledger.net.lock().unwrap().wait_ms(seconds * 1000);
    }

    fn router(&self) -> Router {
        let router = router(self.authority.clone(), &Limits::default());
        let options = ServeOptions::at("127.0.0.1:0".parse().unwrap());
        plumb("authority", router, probes(&self.authority), &options)
    }

    fn registrar_router(&self) -> Router {
        let router = crate::registrar::router(self.registrar.clone(), &Limits::default());
        let options = ServeOptions::at("127.0.0.1:0".parse().unwrap());
        let probes = crate::registrar::probes(&self.registrar);
        plumb("registrar", router, probes, &options)
    }

    fn evidence(&self, n: usize) -> CardEvidence {
        let keys = AuthorityKeys::load(&self.dir()).unwrap();
        let register = SyntheticRegister::new(&keys.register_seed, 8);
        register.evidence().swap_remove(n)
    }

    async fn operator(&self) -> Operator {
        Operator {
            store: Store::open_dir(&self.dir()).await.unwrap(),
            ledger: Ledger::Memory(self.ledger.clone()),
            keys: AuthorityKeys::load(&self.dir()).unwrap(),
            url: AUTHORITY.to_owned(),
        }
    }

    async fn enrol(&self, evidence: &CardEvidence) -> Answer {
        let request = enrolment_request(evidence);
        self.post_json("/v1/enrolments", &serde_json::to_value(&request).unwrap())
            .await
    }

    /// The register's reference of a person, as the store has it.
    async fn evidence_reference(&self, n: usize) -> String {
        let evidence = self.evidence(n).into();
        self.authority.who(&evidence).await.unwrap().reference
    }

    async fn enrolled(&self, n: usize) -> EnrolmentResponse {
        let answer = self.enrol(&self.evidence(n)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        serde_json::from_str(&answer.text).unwrap()
    }

    async fn post_json(&self, path: &str, body: &Value) -> Answer {
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()))
            .unwrap();
        ask(self.router(), request).await
    }

    async fn get(&self, path: &str) -> Answer {
        let request = Request::get(path).body(Body::empty()).unwrap();
        ask(self.router(), request).await
    }
}

async fn authority(dir: &Path, ledger: &MemoryLedger, clock: Clock) -> Arc<Authority> {
    let store = Store::open_dir(dir).await.unwrap();
    authority_on(store, dir, ledger, clock, 1).await
}

async fn authority_on(
    store: Store,
    dir: &Path,
    ledger: &MemoryLedger,
    clock: Clock,
    min_cohort: u64,
) -> Arc<Authority> {
    let seed = AuthorityKeys::load(dir).unwrap().register_seed;
    let register = Register::Synthetic(SyntheticRegister::new(&seed, 8));
    authority_of(store, dir, ledger, clock, (register, min_cohort)).await
}

/// The same with another register.
async fn authority_with(
    store: Store,
    dir: &Path,
    ledger: &MemoryLedger,
    clock: Clock,
    register: Register,
) -> Arc<Authority> {
    authority_of(store, dir, ledger, clock, (register, 1)).await
}

async fn authority_of(
    store: Store,
    dir: &Path,
    ledger: &MemoryLedger,
    clock: Clock,
    (register, min_cohort): (Register, u64),
) -> Arc<Authority> {
    authority_from(parts_of(store, dir, ledger, clock, (register, min_cohort))).await
}

async fn authority_from(parts: Parts) -> Arc<Authority> {
    let authority = Authority::new(parts).unwrap();
    authority.beat().await.unwrap();
    Arc::new(authority)
}

fn parts_of(
    store: Store,
    dir: &Path,
    ledger: &MemoryLedger,
    clock: Clock,
    (register, min_cohort): (Register, u64),
) -> Parts {
    let keys = AuthorityKeys::load(dir).unwrap();
    let organisations = SyntheticOrganisations::new(&keys.register_seed);
    Parts {
        url: AUTHORITY.to_owned(),
        name: "Synthetic Authority".to_owned(),
        country: "CN".to_owned(),
        limits: Limits {
            sponsored_per_person: 2,
            ..Limits::default()
        },
        realpass: RealPassConfig { min_cohort },
        long_lived: None,
        batches: BatchConfig {
            period_s: 10,
            least: 15,
        },
        providers: Default::default(),
        attested_only: false,
        keys,
        register,
        organisations: Some(Organisations::Synthetic(organisations)),
        passports: None,
        upstreams: Default::default(),
        store,
        ledger: Ledger::Memory(ledger.clone()),
        clock,
    }
}

fn toml_config(dir: &Path) -> crate::config::RegistrarConfig {
    let path = dir.join("registrar.toml");
    std::fs::write(&path, crate::registrar::example_config()).unwrap();
    crate::config::RegistrarConfig::load(&path).unwrap()
}

/// An answer with everything that somebody outside can see.
struct Answer {
    status: StatusCode,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{}", self.text))
    }

    fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

async fn ask(router: Router, request: Request<Body>) -> Answer {
    let response = router.oneshot(request).await.unwrap();
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20)
        .await
        .unwrap();
    Answer {
        status,
        text: String::from_utf8(body.to_vec()).unwrap(),
    }
}

fn enrolment_request(evidence: &CardEvidence) -> EnrolmentRequest {
    let number = normalise(&evidence.resident_number).unwrap();
    let key = SecretKey::from_seed(Suite::P256, [4; 32]).unwrap().public();
    EnrolmentRequest {
        evidence: evidence.clone().into(),
        blinded: blind(&number, &[6; 32]).unwrap(),
        commitment: enrolment_commitment(&[7; 32], &key),
    }
}

#[tokio::test]
async fn p6_an_enrolment_is_on_the_ledger_under_the_tag_that_the_wallet_computes() {
    let nation = Nation::new().await;
    let evidence = nation.evidence(0);
    let response = nation.enrolled(0).await;
    let request = enrolment_request(&evidence);
    let number = normalise(&evidence.resident_number).unwrap();
    let record = nation.authority.keys.issuer(AUTHORITY);
    let tag_key = record.tag_key.unwrap();
    let tag = tag::finish(&request.blinded, &number, &response.evaluation, &tag_key).unwrap();
    let entry = nation
        .ledger
        .seen::<Enrolment>(&enrolment_key(BY, &tag))
        .record
        .unwrap();
    assert_eq!(entry.commitment, request.commitment);
    assert_eq!(entry.issuer, issuer_id(BY, AUTHORITY));
    assert_eq!((entry.seq, response.seq), (0, 0));
    assert_eq!(response.issuer, AUTHORITY);
    assert_eq!(response.tx_code.len(), 6);
    assert!(response.height > 0);

    // the same person again, on another device: the entry moves
    let again = nation.enrolled(0).await;
    assert_eq!(again.seq, 1);
    let entry = nation
        .ledger
        .seen::<Enrolment>(&enrolment_key(BY, &tag))
        .record
        .unwrap();
    assert_eq!(entry.seq, 1);
    // and somebody else has another tag
    nation.enrolled(3).await;
    assert_eq!(nation.authority.store.totals().await.unwrap(), (2, 0));
}

/// Everything that is logged on this thread while the guard lives, at every level.
fn captured_log() -> (Arc<Mutex<Vec<u8>>>, tracing::subscriber::DefaultGuard) {
    struct Buffer(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let log = Arc::new(Mutex::new(Vec::new()));
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || Buffer(writer.clone()))
        .finish();
    (log, tracing::subscriber::set_default(subscriber))
}

#[tokio::test]
async fn p1_refusals_say_nothing_of_the_evidence() {
    let (log, _guard) = captured_log();
    let nation = Nation::new().await;
    let honest = nation.evidence(0);
    let other = nation.evidence(3);
    let mut answers = Vec::new();
    let mut wrong: Vec<CardEvidence> = Vec::new();
    let mut change = |change: &dyn Fn(&mut CardEvidence)| {
        let mut evidence = honest.clone();
        change(&mut evidence);
        wrong.push(evidence);
    };
    change(&|e| e.given_name = other.given_name.clone());
    change(&|e| e.family_name = other.family_name.clone());
    change(&|e| e.birthdate = "1999-01-01".into());
    change(&|e| e.card_secret = other.card_secret.clone());
    change(&|e| e.resident_number = other.resident_number.clone());
    change(&|e| {
        let last = e.resident_number.pop().unwrap();
        e.resident_number.push(if last == '1' { '2' } else { '1' });
    });
    wrong.push(nation.evidence(2));
    for evidence in &wrong {
        let answer = nation.enrol(evidence).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        answers.push(answer.text);
    }
    // byte for byte the same, whichever part was wrong
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
    assert!(answers[0].contains("evidence.refused"));

    // malformed requests are not quoted either
    let mut request = serde_json::to_value(enrolment_request(&honest)).unwrap();
    request["evidence"]["extra"] = honest.resident_number.clone().into();
    answers.push(nation.post_json("/v1/enrolments", &request).await.text);
    request["evidence"] = honest.resident_number.clone().into();
    answers.push(nation.post_json("/v1/enrolments", &request).await.text);
    nation.ledger.down.store(true, Ordering::Relaxed);
    let down = nation.enrol(&honest).await;
    assert_eq!(
        (down.status, down.code().as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "ledger.unavailable")
    );
    answers.push(down.text);
    answers.push(nation.get("/metrics").await.text);
    answers.push(nation.get("/").await.text);
    let log = String::from_utf8_lossy(&log.lock().unwrap()).into_owned();
    assert!(log.contains("ledger.unavailable"), "the log is captured");
    answers.push(log);
    for text in answers {
        for secret in [
            &honest.given_name,
            &honest.family_name,
            &honest.resident_number,
            &honest.card_secret,
            &honest.birthdate,
        ] {
            assert!(!text.contains(secret.as_str()), "{text}");
        }
    }
}

#[tokio::test]
async fn p1_the_database_holds_no_personal_data() {
    let nation = Nation::new().await;
    let evidence = nation.evidence(0);
    nation.enrolled(0).await;
    for file in ["authority.db", "authority.db-wal"] {
        let bytes = std::fs::read(nation.dir().join(file)).unwrap();
        for secret in [
            &evidence.given_name,
            &evidence.family_name,
            &evidence.resident_number,
            &evidence.card_secret,
        ] {
            let found = bytes
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            assert!(!found, "{file}");
        }
    }
}

#[tokio::test]
async fn the_authority_is_no_oracle_for_another_number() {
    let nation = Nation::new().await;
    let mut request = enrolment_request(&nation.evidence(0));
    request.blinded = enrolment_request(&nation.evidence(3)).blinded;
    let body = serde_json::to_value(&request).unwrap();
    let answer = nation.post_json("/v1/enrolments", &body).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (StatusCode::BAD_REQUEST, "tag.other_number")
    );
}

#[tokio::test]
async fn p8_a_suspended_person_gets_nothing_until_restored() {
    let nation = Nation::new().await;
    let evidence = nation.evidence(0);
    nation.enrolled(0).await;
    let operator = nation.operator().await;
    let done = operator
        .suspend("r-0001", ReasonCode::LegalOrder)
        .await
        .unwrap();
    assert_eq!(done.seq, 1);
    // run again after a crash: nothing is done twice
    let again = operator
        .suspend("r-0001", ReasonCode::LegalOrder)
        .await
        .unwrap();
    assert_eq!(again.seq, 1);
    let known = nation
        .authority
        .store
        .enrolled("r-0001")
        .await
        .unwrap()
        .unwrap();
    let entry = nation
        .ledger
        .seen::<Enrolment>(&enrolment_key(BY, &known.tag))
        .record
        .unwrap();
    assert_eq!(entry.standing, Standing::Suspended);
    assert_eq!(entry.reason, ReasonCode::LegalOrder);

    let refused = nation.enrol(&evidence).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (StatusCode::FORBIDDEN, "enrolment.suspended")
    );
    // even if the store had lost it, the ledger says so
    let store = &nation.authority.store;
    store
        .set_standing("r-0001", Standing::Active, ReasonCode::None)
        .await
        .unwrap();
    assert_eq!(nation.enrol(&evidence).await.code(), "enrolment.suspended");

    let done = operator
        .restore("r-0001", ReasonCode::Cleared)
        .await
        .unwrap();
    assert_eq!(done.seq, 2);
    assert_eq!(nation.enrolled(0).await.seq, 3);
    let unknown = operator.suspend("r-0004", ReasonCode::LostDevice).await;
    assert_eq!(unknown.err().unwrap().code(), "person.unknown");
}

#[tokio::test]
async fn the_page_and_the_probes_answer() {
    let nation = Nation::new().await;
    let page = nation.get("/").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(
        page.text
            .contains(&nation.authority.keys.pid.id.to_string())
    );
    assert!(page.text.contains("nobody in it lives"));
    assert_eq!(nation.get("/style.css").await.status, StatusCode::OK);
    let ready = nation.get("/readyz").await;
    assert_eq!(ready.status, StatusCode::OK, "{}", ready.text);
    let paths = nation.get("/openapi.json").await.json()["paths"].clone();
    for path in [
        "/v1/enrolments",
        "/v1/sponsor",
        "/token",
        "/nonce",
        "/credential",
    ] {
        assert!(paths.get(path).is_some(), "{path}");
    }
    // the ledger falls silent
    nation.later_ms.fetch_add(60_000, Ordering::Relaxed);
    let silent = nation.get("/readyz").await;
    assert_eq!(silent.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(silent.text.contains("ledger.unavailable"));
}

#[tokio::test]
async fn configuration_examples_are_read_and_residents_are_listed() {
    let nation = Nation::new().await;
    let dir = nation.dir();
    std::fs::write(dir.join("authority.toml"), crate::example_config()).unwrap();
    let config = crate::AuthorityConfig::load_dir(&dir).unwrap();
    assert_eq!(config.genesis, dir.join("genesis.cbor"));
    // What the examples explain of [rate] is what there is without it.
    for (file, example) in [
        ("authority.toml", crate::example_config()),
        ("registrar.toml", crate::registrar::example_config()),
    ] {
        let (before, rate) = example.split_once("# [rate]").unwrap();
        let set = rate.lines().filter_map(|line| line.strip_prefix("# "));
        let set: Vec<&str> = set.filter(|line| line.contains(" = ")).collect();
        let text = format!("{before}[rate]\n{}\n", set.join("\n"));
        std::fs::write(dir.join(file), text).unwrap();
    }
    let of_authority = crate::AuthorityConfig::load_dir(&dir).unwrap().rate;
    let registrar = dir.join("registrar.toml");
    let of_registrar = crate::config::RegistrarConfig::load(&registrar)
        .unwrap()
        .rate;
    let default = realdid_serve::RateConfig::default();
    for read in [of_authority, of_registrar] {
        assert_eq!(
            (read.burst, read.per_second),
            (default.burst, default.per_second)
        );
        assert_eq!(
            (read.max_sources, &read.exempt),
            (default.max_sources, &default.exempt)
        );
        assert_eq!(read.trusted_proxies.len(), 1);
    }
    let residents = crate::residents(&dir).unwrap();
    assert_eq!(residents.len(), 23, "all but the one who has died");
    assert_eq!(residents[0].person, "r-0001");
    let text = std::fs::read_to_string(&residents[0].evidence).unwrap();
    assert!(serde_json::from_str::<CardEvidence>(&text).unwrap() == nation.evidence(0));
}
