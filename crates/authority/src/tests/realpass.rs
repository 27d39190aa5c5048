//! RealPasses, as a wallet asks for them, and what is refused.

use super::*;
use crate::oauth::Caller;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realdid_core::operation::{Body as Change, Decision};
use realdid_core::state::{EpochKey, Issuer, Totals, issuer_key, totals_key};
use realdid_exchange::vci::{PassAnswer, PassRequest, TokenRequest};
use realdid_pass::facts::{self, Adult, Assurance, Continuity, FACTS, Facts, Kind, Region};
use realdid_pass::{Context, Credential, PassKey, Pseudonym, PseudonymSecrets};
use realdid_testkit::person::TestRandom;

use crate::config::StoreConfig;
use crate::keys::make_pass_key;
use crate::scratch::Postgres;
use realdid_core::hash::HashFunction;

const BY: HashFunction = HashFunction::Sha256;

/// One person's wallet: secrets from their words, and the tokens of a device.
struct Holder {
    secrets: PseudonymSecrets,
    refresh: String,
}

fn words(n: u8) -> PseudonymSecrets {
    PseudonymSecrets::from_seed(&[n; 32])
}

impl Nation {
    fn epoch(&self) -> u64 {
        let now_ms = self.authority.clock.now_ms();
        self.ledger.genesis().parameters.epoch_at(now_ms)
    }

    /// The `n`th resident enrols a device that has these words.
    async fn device(&self, n: usize, seed: u8) -> Holder {
        Holder {
            secrets: words(seed),
            refresh: self.tokens(n).await.refresh_token.unwrap(),
        }
    }

    async fn access(&self, holder: &Holder) -> String {
        let refresh = TokenRequest::Refresh {
            refresh_token: holder.refresh.clone(),
        };
        let answer = self.form(&refresh).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.json()["access_token"].as_str().unwrap().to_owned()
    }

    async fn ask_pass(&self, authority: &Arc<Authority>, token: &str, body: &Value) -> Answer {
        let router = router(authority.clone(), &Limits::default());
        let request = Request::post("/credential")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()))
            .unwrap();
        ask(router, request).await
    }

    async fn pass(&self, holder: &Holder, epoch: u64) -> Answer {
        let token = self.access(holder).await;
        let body = request(&holder.secrets, epoch);
        self.ask_pass(&self.authority, &token, &body).await
    }

    fn pass_key(&self, epoch: u64) -> PassKey {
        let id = issuer_id(BY, AUTHORITY);
        let record = self
            .ledger
            .seen::<Issuer>(&issuer_key(BY, &id))
            .record
            .unwrap();
        let terms = facts::terms("dev", &id.0);
        PassKey::new(&record.pass_key(epoch).unwrap().0, &terms, FACTS).unwrap()
    }

    /// What the wallet gets: it verifies under the ledger's key, and says this.
    async fn issued(&self, holder: &Holder, epoch: u64) -> (Facts, Pseudonym) {
        let answer = self.pass(holder, epoch).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let answer = PassAnswer::parse(answer.text.as_bytes(), epoch).unwrap();
        let (facts, key) = (answer.facts, self.pass_key(epoch));
        let messages = facts.messages().unwrap();
        let pass = Credential::accept(&key, &holder.secrets, messages, answer.issued).unwrap();
        let context = Context::service(b"one service");
        (facts, pass.pseudonym(&context).unwrap())
    }

    async fn refused(&self, holder: &Holder, epoch: u64, error: &str, code: &str) {
        let answer = self.pass(holder, epoch).await;
        assert_eq!(answer.json()["error"], error, "{}", answer.text);
        assert_eq!(answer.code(), code);
    }

    /// Another process of the same authority.
    async fn other_process(&self) -> Arc<Authority> {
        authority(&self.dir(), &self.ledger, self.authority.clock.clone()).await
    }

    fn govern(&self, decision: Decision, seq: u64) {
        let mut net = self.ledger.net.lock().unwrap();
        let body = Change::Govern(seq, decision, ReasonCode::Scheduled);
        let by: Vec<_> = net.governors.iter().take(2).cloned().collect();
        let by: Vec<_> = by.iter().collect();
        let signed = net.sign(body, &by);
        net.apply(&signed).unwrap();
    }
}

fn request(secrets: &PseudonymSecrets, epoch: u64) -> Value {
    let request = secrets.request(&mut TestRandom(epoch)).unwrap();
    PassRequest { epoch, request }.to_body()
}

#[tokio::test]
async fn p5_a_person_has_one_pseudonym_across_refreshes_devices_and_processes() {
    let nation = Nation::new().await;
    let holder = nation.device(0, 1).await;
    let epoch = nation.epoch();
    let (facts, pseudonym) = nation.issued(&holder, epoch).await;
    assert_eq!(facts.adult, Adult::Yes);
    assert_ne!(facts.region, Region::Unstated);
    assert_eq!(facts.kind, Kind::Resident);
    assert_eq!(facts.assurance, Assurance::Substantial);
    assert_eq!(facts.continuity, Continuity::Unbroken);
    // the next epoch's, ahead of time; then another device with the same words
    assert!(nation.issued(&holder, epoch + 1).await.1 == pseudonym);
    let device = nation.device(0, 1).await;
    assert!(nation.issued(&device, epoch).await.1 == pseudonym);
    nation.wait_s(60);
    assert!(nation.issued(&device, epoch + 1).await.1 == pseudonym);
    // after a restart, and by another process beside
    let other = nation.other_process().await;
    let token = nation.access(&device).await;
    let body = request(&device.secrets, epoch + 1);
    let answer = nation.ask_pass(&other, &token, &body).await;
    let answer = PassAnswer::parse(answer.text.as_bytes(), epoch + 1).unwrap();
    let key = nation.pass_key(epoch + 1);
    let messages = answer.facts.messages().unwrap();
    let pass = Credential::accept(&key, &device.secrets, messages, answer.issued).unwrap();
    let context = Context::service(b"one service");
    assert!(pass.pseudonym(&context).unwrap() == pseudonym);
    // somebody else is somebody else, with the same words too
    let other = nation.device(3, 1).await;
    let (facts, another) = nation.issued(&other, epoch + 1).await;
    assert!(another != pseudonym);
    assert_eq!(
        (facts.kind, facts.region),
        (Kind::Foreigner, Region::Abroad)
    );
    let child = nation.device(1, 2).await;
    assert_eq!(nation.issued(&child, epoch + 1).await.0.adult, Adult::No);
}

#[tokio::test]
async fn what_is_no_request_for_a_realpass_is_refused_by_its_rule() {
    let nation = Nation::new().await;
    let holder = nation.device(0, 1).await;
    let epoch = nation.epoch();
    let good = request(&holder.secrets, epoch);
    let proof = good["proofs"]["rdid_realpass"][0].as_str().unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(proof).unwrap();
    let with = |bytes: &[u8]| {
        let mut body = good.clone();
        body["proofs"]["rdid_realpass"][0] = URL_SAFE_NO_PAD.encode(bytes).into();
        body
    };
    let changed = |at: usize, to: u8| {
        let mut changed = bytes.clone();
        changed[at] ^= to;
        with(&changed)
    };
    // On the curve, not in the subgroup: x = 0 gives y = 2, whose point has order 3.
    let mut small = bytes.clone();
    small[1..49].fill(0);
    small[1] = 0x80;
    let mut identity = bytes.clone();
    identity[1..49].fill(0);
    identity[1] = 0xc0;
    let mut off_curve = bytes.clone();
    off_curve[1..49].fill(0xff);
    let edited = |edit: &dyn Fn(&mut Value)| {
        let mut body = good.clone();
        edit(&mut body);
        body
    };
    let two = || json_of(proof, proof);
    let (proofs, form, request) = (
        "invalid_proof",
        "vci.pass_form",
        "invalid_credential_request",
    );
    let table: Vec<(&str, Value, &str, &str)> = vec![
        ("a response", changed(60, 1), proofs, "vci.pass_proof"),
        (
            "another response",
            changed(300, 1),
            proofs,
            "vci.pass_proof",
        ),
        ("the challenge", changed(368, 1), proofs, "vci.pass_proof"),
        ("the version", changed(0, 3), proofs, form),
        ("too short", with(&bytes[..368]), proofs, form),
        ("too long", with(&[&bytes[..], &[0]].concat()), proofs, form),
        ("nothing", with(&[]), proofs, form),
        ("off the curve", with(&off_curve), proofs, form),
        ("outside the subgroup", with(&small), proofs, form),
        ("the identity", with(&identity), proofs, form),
        (
            "no base64",
            edited(&|b| b["proofs"]["rdid_realpass"][0] = "*".into()),
            proofs,
            form,
        ),
        (
            "two",
            edited(&|b| b["proofs"]["rdid_realpass"] = two()),
            request,
            "vci.batch",
        ),
        (
            "a member more",
            edited(&|b| b["region"] = "east".into()),
            request,
            "vci.credential_request",
        ),
        (
            "no epoch",
            edited(&|b| b["epoch"] = Value::Null),
            request,
            "vci.credential_request",
        ),
        (
            "the past",
            edited(&|b| b["epoch"] = (epoch - 1).into()),
            request,
            "vci.pass_epoch",
        ),
        (
            "the future",
            edited(&|b| b["epoch"] = (epoch + 2).into()),
            request,
            "vci.pass_epoch",
        ),
        (
            "the end of time",
            edited(&|b| b["epoch"] = u64::MAX.into()),
            request,
            "vci.pass_epoch",
        ),
    ];
    let token = nation.access(&holder).await;
    // before anything is kept of the person, and after
    for _ in 0..2 {
        for (name, body, error, code) in &table {
            let answer = nation.ask_pass(&nation.authority, &token, body).await;
            assert_eq!(
                answer.status,
                StatusCode::BAD_REQUEST,
                "{name}: {}",
                answer.text
            );
            assert_eq!(answer.json()["error"], *error, "{name}: {}", answer.text);
            assert_eq!(answer.code(), *code, "{name}");
        }
        for wrong in ["", "x", &holder.refresh] {
            let answer = nation.ask_pass(&nation.authority, wrong, &good).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
            assert_eq!(answer.code(), "vci.access_token");
        }
        // A proof that was seen and sent again by the same holder is as good as a new one (B12).
        let answer = nation.ask_pass(&nation.authority, &token, &good).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    }
    // another commitment, with its own good proof
    let other = super::realpass::request(&words(2), epoch);
    let answer = nation.ask_pass(&nation.authority, &token, &other).await;
    assert_eq!(answer.code(), "vci.pass_commitment");
    assert_eq!(nation.authority.store.issued(epoch).await.unwrap(), 1);
}

fn json_of(a: &str, b: &str) -> Value {
    serde_json::json!([a, b])
}

#[tokio::test]
async fn p5_a_reset_at_the_counter_is_delayed_public_once_a_period_and_said_for_a_period() {
    let nation = Nation::new().await;
    let old = nation.device(0, 1).await;
    let (_, before) = nation.issued(&old, nation.epoch()).await;
    // Whoever comes with other words gets nothing, however often they enrol.
    let new = nation.device(0, 2).await;
    let lost = ("invalid_proof", "vci.pass_commitment");
    nation.refused(&new, nation.epoch(), lost.0, lost.1).await;

    let operator = nation.operator().await;
    let known = nation.authority.store.enrolled("r-0001").await.unwrap();
    let reset = operator.reset("r-0001").await.unwrap();
    assert_eq!(reset.seq, known.unwrap().seq + 1, "the entry moves");
    let again = operator.reset("r-0001").await.unwrap();
    assert_eq!(
        again,
        Reset {
            height: again.height,
            ..reset
        }
    );
    // within the delay nothing changes, for a device that enrols now neither
    let new = nation.device(0, 2).await;
    nation.refused(&new, nation.epoch(), lost.0, lost.1).await;
    let old = nation.device(0, 1).await;
    assert!(nation.issued(&old, nation.epoch()).await.1 == before);

    // the person objects
    operator.cancel_reset("r-0001").await.unwrap();
    nation.wait_s(30);
    let new = nation.device(0, 2).await;
    nation.refused(&new, nation.epoch(), lost.0, lost.1).await;
    let nothing = operator.cancel_reset("r-0001").await.err().unwrap();
    assert!(nothing.to_string().contains("enrolment.reset"), "{nothing}");

    // the same once more, and nobody objects
    let reset = operator.reset("r-0001").await.unwrap();
    let early = nation.device(0, 2).await;
    nation.wait_s(21);
    assert!(reset.effective_ms <= nation.ledger.tip().1);
    // a device that was enrolled before the delay was over brings no other secrets
    nation.refused(&early, nation.epoch(), lost.0, lost.1).await;
    let late = operator.cancel_reset("r-0001").await.err().unwrap();
    assert!(late.to_string().contains("enrolment.reset"), "{late}");
    let new = nation.device(0, 2).await;
    let (facts, after) = nation.issued(&new, nation.epoch()).await;
    assert!(after != before);
    assert_eq!(facts.continuity, Continuity::Reset);
    // it is used up: neither a third set of secrets nor the first comes in by it
    for seed in [1, 3] {
        let third = nation.device(0, seed).await;
        nation.refused(&third, nation.epoch(), lost.0, lost.1).await;
    }
    let too_soon = operator.reset("r-0001").await.err().unwrap();
    assert!(too_soon.to_string().contains("enrolment.reset"));

    // said for a whole period, then no more
    let new = nation.device(0, 2).await;
    nation.wait_s(540);
    let (facts, same) = nation.issued(&new, nation.epoch()).await;
    assert_eq!((facts.continuity, same == after), (Continuity::Reset, true));
    nation.wait_s(120);
    let (facts, same) = nation.issued(&new, nation.epoch()).await;
    assert_eq!(
        (facts.continuity, same == after),
        (Continuity::Unbroken, true)
    );
    operator.reset("r-0001").await.unwrap();
}

#[tokio::test]
async fn p5_a_reset_that_nobody_used_is_no_way_in_years_later() {
    let nation = Nation::new().await;
    let old = nation.device(0, 1).await;
    let (_, before) = nation.issued(&old, nation.epoch()).await;
    nation.operator().await.reset("r-0001").await.unwrap();
    nation.wait_s(30);
    // the owner goes on with their words, and is not called reset
    let old = nation.device(0, 1).await;
    let (facts, same) = nation.issued(&old, nation.epoch()).await;
    assert_eq!(
        (facts.continuity, same == before),
        (Continuity::Unbroken, true)
    );
    nation.wait_s(600);
    let thief = nation.device(0, 2).await;
    let lost = ("invalid_proof", "vci.pass_commitment");
    nation.refused(&thief, nation.epoch(), lost.0, lost.1).await;
}

#[tokio::test]
async fn p8_a_suspended_person_gets_no_realpass_and_cannot_be_reset() {
    let nation = Nation::new().await;
    let holder = nation.device(0, 1).await;
    let token = nation.access(&holder).await;
    let operator = nation.operator().await;
    let reason = ReasonCode::LegalOrder;
    operator.suspend("r-0001", reason).await.unwrap();
    let body = request(&holder.secrets, nation.epoch());
    let answer = nation.ask_pass(&nation.authority, &token, &body).await;
    assert_eq!(answer.json()["error"], "credential_request_denied");
    assert_eq!(answer.code(), "enrolment.suspended");
    let reset = operator.reset("r-0001").await.err().unwrap();
    assert!(reset.to_string().contains("enrolment.standing"), "{reset}");
    let unknown = operator.reset("r-0004").await.err().unwrap();
    assert_eq!(unknown.code(), "person.unknown");
    operator
        .restore("r-0001", ReasonCode::Cleared)
        .await
        .unwrap();
    nation.issued(&holder, nation.epoch()).await;
}

#[tokio::test]
async fn p6_the_totals_of_two_processes_are_declared_once() {
    let nation = Nation::new().await;
    let other = nation.other_process().await;
    let epoch = nation.epoch();
    for (n, authority) in [(0, &nation.authority), (1, &other), (3, &other)] {
        let holder = nation.device(n, n as u8).await;
        let token = nation.access(&holder).await;
        for _ in 0..2 {
            let body = request(&holder.secrets, epoch);
            let answer = nation.ask_pass(authority, &token, &body).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        }
    }
    let total = |epoch| {
        let key = totals_key(BY, &issuer_id(BY, AUTHORITY), epoch);
        nation
            .ledger
            .seen::<Totals>(&key)
            .record
            .unwrap_or_default()
    };
    nation.authority.declare_totals().await.unwrap();
    assert_eq!(total(epoch).passes, 0, "the epoch is not over");
    assert!(!nation.get("/").await.text.contains("RealPasses for epoch"));
    nation.wait_s(60);
    let height = nation.ledger.tip().0;
    nation.authority.declare_totals().await.unwrap();
    other.declare_totals().await.unwrap();
    nation.authority.declare_totals().await.unwrap();
    assert_eq!(total(epoch).passes, 3);
    assert_eq!(nation.ledger.tip().0, height + 1, "one operation");
    let page = nation.get("/").await.text;
    assert!(
        page.contains(&format!("RealPasses for epoch {epoch}")),
        "{page}"
    );

    // A process that ended after the ledger had it and before it was noted: done, not repeated.
    nation
        .issued(&nation.device(0, 0).await, nation.epoch())
        .await;
    let second = nation.epoch();
    nation.wait_s(60);
    let body = Change::PassTotal(issuer_id(BY, AUTHORITY), second, 1);
    let keys = &nation.authority.keys;
    let ledger = &nation.authority.ledger;
    let signed = ledger.sign(body, nation.ledger.tip().0, &keys.operation);
    ledger.submit_and_wait(&signed).await.unwrap();
    other.declare_totals().await.unwrap();
    let last = nation.authority.store.last_total().await.unwrap();
    assert_eq!(last, Some((second, 1)));
}

#[tokio::test]
async fn p4_facts_are_coarse_until_enough_share_them_and_stay_so_for_an_epoch() {
    let nation = Nation::new().await;
    let clock = nation.authority.clock.clone();
    let store = Store::open_dir(&nation.dir()).await.unwrap();
    let coarse = authority_on(store, &nation.dir(), &nation.ledger, clock, 3).await;
    let shown = async |holder: &Holder, epoch: u64| {
        let token = nation.access(holder).await;
        let body = request(&holder.secrets, epoch);
        let answer = nation.ask_pass(&coarse, &token, &body).await;
        let facts = PassAnswer::parse(answer.text.as_bytes(), epoch)
            .unwrap()
            .facts;
        (facts.adult, facts.region, facts.kind)
    };
    let nothing = (Adult::Unstated, Region::Unstated, Kind::Unstated);
    let mut people = Vec::new();
    for n in [0, 3, 4, 5, 6, 7] {
        people.push(nation.device(n, n as u8).await);
    }
    let epoch = nation.epoch();
    for person in &people {
        assert_eq!(shown(person, epoch).await, nothing, "the first epoch");
    }
    let mut next = Vec::new();
    for person in &people {
        next.push(shown(person, epoch + 1).await);
    }
    // Two foreigners are too few, so that the smallest cohort of residents shows no more than they.
    assert!(next.iter().all(|facts| facts.0 == Adult::Yes), "{next:?}");
    for facts in &next {
        let alike = next.iter().filter(|other| *other == facts).count();
        assert!(alike >= 3, "{next:?}");
    }
    // the same when asked again, and by a process that is configured otherwise
    for (person, facts) in people.iter().zip(&next) {
        assert_eq!(shown(person, epoch + 1).await, *facts);
        let (other, _) = nation.issued(person, epoch + 1).await;
        assert_eq!((other.adult, other.region, other.kind), *facts);
    }
}

#[tokio::test]
async fn p7_the_ledger_says_which_key_signs_an_epoch() {
    let nation = Nation::new().await;
    let holder = nation.device(0, 1).await;
    let epoch = nation.epoch();
    let (_, pseudonym) = nation.issued(&holder, epoch).await;
    // made, and not on the ledger: it signs nothing
    let (_, added) = make_pass_key(&nation.dir(), epoch + 3, &[77; 32]).unwrap();
    let with_file = nation.other_process().await;
    nation.wait_s(120);
    let token = nation.access(&holder).await;
    let body = request(&holder.secrets, epoch + 3);
    let answer = nation.ask_pass(&with_file, &token, &body).await;
    let answer = PassAnswer::parse(answer.text.as_bytes(), epoch + 3).unwrap();
    let messages = answer.facts.messages().unwrap();
    let first = nation.pass_key(epoch + 3);
    Credential::accept(&first, &holder.secrets, messages, answer.issued).unwrap();

    // on the ledger from an epoch on: it signs from there on, with the same pseudonyms
    let id = issuer_id(BY, AUTHORITY);
    let later = EpochKey {
        from_epoch: epoch + 5,
        ..added
    };
    nation.govern(Decision::AddPassKey(id, later.clone()), 1);
    nation.wait_s(120);
    let token = nation.access(&holder).await;
    for epoch in [epoch + 4, epoch + 5] {
        let body = request(&holder.secrets, epoch);
        let answer = nation.ask_pass(&with_file, &token, &body).await;
        // it did not look at the ledger meanwhile, so the old key is what it knows
        if epoch == later.from_epoch {
            with_file.beat().await.unwrap();
        }
        let answer = match epoch == later.from_epoch {
            true => nation.ask_pass(&with_file, &token, &body).await,
            false => answer,
        };
        let answer = PassAnswer::parse(answer.text.as_bytes(), epoch).unwrap();
        let messages = answer.facts.messages().unwrap();
        let key = nation.pass_key(epoch);
        let pass = Credential::accept(&key, &holder.secrets, messages, answer.issued).unwrap();
        let context = Context::service(b"one service");
        assert!(pass.pseudonym(&context).unwrap() == pseudonym);
    }
    assert!(nation.pass_key(epoch + 5).to_bytes() == later.key.0);

    // a process without the file, or of an issuer that is suspended, signs nothing
    nation.authority.beat().await.unwrap();
    let answer = nation.pass(&holder, epoch + 5).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.code(), "issuer.pass_key");
    nation.govern(Decision::IssuerStanding(id, Standing::Suspended), 2);
    nation.authority.beat().await.unwrap();
    let answer = nation.pass(&holder, epoch + 4).await;
    assert_eq!(answer.code(), "issuer.pass_key");
}

#[tokio::test]
async fn whoever_comes_when_too_many_wait_is_sent_away() {
    let nation = Nation::new().await;
    let holder = nation.device(0, 1).await;
    let full = nation.authority.desk.fill();
    let answer = nation.pass(&holder, nation.epoch()).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json()["error"], "temporarily_unavailable");
    assert_eq!(answer.code(), "issue.busy");
    drop(full);
    nation.issued(&holder, nation.epoch()).await;
}

#[tokio::test]
async fn p1_neither_refusals_nor_logs_hold_a_persons_secrets() {
    let (log, _guard) = captured_log();
    let nation = Nation::new().await;
    let holder = nation.device(0, 1).await;
    let epoch = nation.epoch();
    nation.issued(&holder, epoch).await;
    let token = nation.access(&holder).await;
    let other = request(&words(2), epoch);
    let refused = nation.ask_pass(&nation.authority, &token, &other).await;
    assert_eq!(refused.code(), "vci.pass_commitment");
    let log = String::from_utf8_lossy(&log.lock().unwrap()).into_owned();
    let proof = other["proofs"]["rdid_realpass"][0].as_str().unwrap();
    let evidence = nation.evidence(0);
    for text in [log, refused.text, nation.get("/metrics").await.text] {
        for secret in [
            &token,
            &holder.refresh,
            proof,
            "r-0001",
            &evidence.family_name,
        ] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

/// Two processes of one authority on one PostgreSQL: nothing that matters is in either alone.
#[tokio::test]
async fn two_processes_on_one_postgresql_are_one_authority() {
    let nation = Nation::new().await;
    let folder = tempfile::tempdir().unwrap();
    let server = Postgres::start(folder.path(), false).unwrap();
    let config = StoreConfig {
        url: Some(server.database("authority").unwrap()),
        url_file: None,
    };
    let mut processes = Vec::new();
    for _ in 0..2 {
        let store = Store::open(&nation.dir(), &config).await.unwrap();
        let clock = nation.authority.clock.clone();
        processes.push(authority_on(store, &nation.dir(), &nation.ledger, clock, 1).await);
    }
    let [a, b] = processes.as_slice() else {
        panic!("two");
    };

    // Both enrol one person at once: the entry moves by as many as were told so, and the offer of
    // the last is the one that stands.
    let evidence = nation.evidence(0);
    let enrol = |authority: &Arc<Authority>| {
        let (authority, request) = (authority.clone(), enrolment_request(&evidence));
        tokio::spawn(async move { authority.enrol(&request).await })
    };
    let mut told = Vec::new();
    for _ in 0..4 {
        let (first, second) = tokio::join!(enrol(a), enrol(b));
        for done in [first.unwrap(), second.unwrap()] {
            match done {
                Ok(response) => told.push(response),
                Err(error) => assert_eq!(error.problem().code(), "enrolment.busy"),
            }
        }
    }
    told.sort_by_key(|response| response.seq);
    assert!(told.windows(2).all(|pair| pair[0].seq < pair[1].seq));
    let known = a.store.enrolled("r-0001").await.unwrap().unwrap();
    let entry = nation
        .ledger
        .seen::<Enrolment>(&enrolment_key(BY, &known.tag));
    assert_eq!(known.seq, entry.record.unwrap().seq);
    let mut good = Vec::new();
    for (n, response) in told.iter().enumerate() {
        let code = response.credential_offer.grant().unwrap().code.clone();
        let form = TokenRequest::PreAuthorized {
            code,
            tx_code: Some(response.tx_code.clone()),
        };
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form.to_form())
            .finish();
        // the process that did not make the offer takes it, and the other does not once more
        let took = processes[n % 2]
            .token(&Caller::default(), body.as_bytes())
            .await;
        let again = processes[(n + 1) % 2]
            .token(&Caller::default(), body.as_bytes())
            .await;
        assert!(again.is_err());
        good.extend(took.ok().map(|token| (response.seq, token)));
    }
    let [(seq, tokens)] = good.as_slice() else {
        panic!("one offer stands, and there are {}", good.len());
    };
    assert_eq!(*seq, known.seq);

    // A nonce of one is good at the other, once.
    let nonce = a.nonce().unwrap().c_nonce;
    let keys = [realdid_credential::jose::SigningKey::p256(&[3; 32]).unwrap()];
    let pid = realdid_exchange::vci::CredentialRequest::build(
        realdid_exchange::vci::PID_CONFIGURATION,
        AUTHORITY,
        &nonce,
        a.clock.now_s(),
        &keys,
    );
    let pid = serde_json::to_vec(&pid.unwrap()).unwrap();
    let caller = Caller::bearer(tokens.access_token.as_str());
    b.credential(&caller, &pid).await.unwrap();
    let again = a.credential(&caller, &pid).await.err().unwrap();
    assert_eq!(again.answer("x").problem().code(), "vci.proof_nonce");

    // First requests with other secrets at once: one is kept, whichever process was asked.
    let epoch = nation.epoch();
    let asking: Vec<_> = (0..8u8)
        .map(|n| {
            let body = request(&words(n % 4), epoch).to_string();
            let (authority, token) = (
                processes[usize::from(n % 2)].clone(),
                tokens.access_token.clone(),
            );
            tokio::spawn(async move {
                (
                    n % 4,
                    authority
                        .pass(&Caller::bearer(&token), body.as_bytes())
                        .await,
                )
            })
        })
        .collect();
    let mut served = Vec::new();
    for asked in asking {
        let (seed, answer) = asked.await.unwrap();
        match answer {
            Ok(_) => served.push(seed),
            Err(error) => {
                let answer = error.answer("x");
                assert_eq!(answer.problem().code(), "vci.pass_commitment");
            }
        }
    }
    served.dedup();
    assert_eq!(served.len(), 1, "one set of secrets is the person's");
    assert_eq!(a.store.issued(epoch).await.unwrap(), 1);
    for process in &processes {
        process.hand_in_counts().await.unwrap();
        process.hand_in_counts().await.unwrap();
    }
    let counts = a.store.counts(epoch).await.unwrap();
    assert_eq!(counts.iter().map(|(_, n)| *n).collect::<Vec<_>>(), [1]);

    // and the total of both is declared by one
    nation.wait_s(60);
    let height = nation.ledger.tip().0;
    let (first, second) = tokio::join!(a.declare_totals(), b.declare_totals());
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(nation.ledger.tip().0, height + 1);
    assert_eq!(b.store.last_total().await.unwrap(), Some((epoch, 1)));
}
