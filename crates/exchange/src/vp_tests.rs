//! Promises of a login on both sides: what a wallet does not answer, and what a gate does not
//! accept. Each row of the two tables changes one thing in a login that works.

use super::request::Asked;
use super::*;
use crate::batch::InBatch;
use crate::did_proof::{self, ProofContent};
use crate::jwe::DecryptionKey;
use crate::test_world::{self as world, AUTHORITY, Registered, SERVICE_ID, World};
use realdid_core::answer::StateAnswer;
use realdid_core::codec;
use realdid_core::did::{Inception, Keys, commitment};
use realdid_core::state::{Issuer, KeyStatus, KeyUse, Service, Standing};
use realdid_core::suite::{SecretKey, Suite};
use realdid_credential::jose::{Alg, SigningKey};
use realdid_credential::pid;
use realdid_credential::sd_jwt::{self, Binding, ParsedSdJwt};
use realdid_credential::status::token::{self, VerifiedList};
use realdid_credential::status::{Reference, Status, StatusList, Width};
use realdid_light::{Freshness, LightClient};
use serde_json::{Value, json};

const NOW_MS: u64 = 1_800_000_000_000;
const RESPONSE_URI: &str = "https://login.shop.example/vp/response/x";

fn age() -> ClaimPath {
    ClaimPath::of(&["age_equal_or_over", "18"]).unwrap()
}

fn registered() -> Registered {
    Registered {
        domain: "login.shop.example".to_owned(),
        purposes: vec!["login", "age"],
        claims: vec![json!(["age_equal_or_over", "18"])],
        sandbox: false,
    }
}

fn new_world() -> World {
    World::new(NOW_MS, world::jose_key(&world::p256(4)), &registered())
}

// ---- the request ---------------------------------------------------------------------------

/// A request that works, to change.
struct Asking {
    world: World,
    /// Whether the client has one account for each person.
    person: bool,
    claims: Vec<ClaimPath>,
    purpose: &'static str,
    response_uri: &'static str,
    key: SigningKey,
    service_id: Hash32,
    link_client_id: String,
    now_s: u64,
    wallet_nonce: Option<&'static str>,
    sent_nonce: Option<&'static str>,
    service: Option<Service>,
    registrar: Option<Issuer>,
    tamper: Option<fn(String) -> String>,
    encrypt_to: Option<DecryptionKey>,
    algs: &'static [Alg],
}

fn ask() -> Asking {
    let world = new_world();
    Asking {
        person: false,
        claims: vec![age()],
        purpose: "age",
        response_uri: RESPONSE_URI,
        key: world.gate_key.clone(),
        service_id: SERVICE_ID,
        link_client_id: client_id(&SERVICE_ID),
        now_s: NOW_MS / 1000,
        wallet_nonce: None,
        sent_nonce: None,
        service: Some(world.service()),
        registrar: Some(world.issuer(world::REGISTRAR)),
        tamper: None,
        encrypt_to: None,
        algs: &[Alg::Es256, Alg::EdDsa],
        world,
    }
}

impl Asking {
    fn sign(&self) -> String {
        let signed = RequestContent {
            network: "dev",
            registration: &self.world.registration,
            signer: Signer::Registration(self.service_id),
            purpose: self.purpose,
            ask: &Ask::new(self.person, &self.claims),
            algs: self.algs,
            answer_to: AnswerTo::Uri(self.response_uri),
            nonce: "n-1",
            state: "s-1",
            wallet_nonce: self.wallet_nonce,
            encrypt_to: self.encrypt_to.as_ref(),
            display: None,
            iat_s: NOW_MS / 1000,
            exp_s: NOW_MS / 1000 + 300,
        }
        .sign(&self.key)
        .unwrap();
        match self.tamper {
            Some(tamper) => tamper(signed),
            None => signed,
        }
    }

    fn check(&self) -> Result<CheckedRequest, RequestRefused> {
        let link = WalletLink {
            client_id: self.link_client_id.clone(),
            request_uri: "https://login.shop.example/vp/request/x".to_owned(),
            post: false,
        };
        let claimed = ClaimedRequest::parse(&self.sign())?;
        assert_eq!(
            claimed.registrar_id(realdid_core::hash::HashFunction::Sha256),
            realdid_core::state::issuer_id(
                realdid_core::hash::HashFunction::Sha256,
                world::REGISTRAR
            )
        );
        claimed.check(
            &link,
            &RequestEvidence {
                network: "dev",
                registrar: self.registrar.as_ref(),
                service: self.service.as_ref(),
                now_s: self.now_s,
                wallet_nonce: self.sent_nonce,
            },
        )
    }
}

#[test]
fn a_wallet_reads_who_asks_for_what_and_why() {
    let checked = ask().check().unwrap();
    assert_eq!(checked.service_id, SERVICE_ID);
    assert_eq!(checked.service_name, "Example shop");
    assert_eq!(checked.domains, ["login.shop.example"]);
    assert_eq!(checked.purpose, "age");
    assert_eq!(checked.claims, [age()]);
    assert_eq!(checked.nonce, "n-1");
    assert_eq!(checked.state.as_deref(), Some("s-1"));
    assert_eq!(checked.response_uri, RESPONSE_URI);
    assert_eq!(checked.asked.pid.as_ref().unwrap().id, PID_ID);
    assert!(checked.asked.pass.is_none() && !checked.asked.did_alone);
    assert_eq!(checked.asked.did_id.as_deref(), Some(DID_ID));
}

#[test]
fn a_wallet_answers_no_request_that_breaks_a_rule() {
    let flip = |text: String| {
        // one letter of the payload
        let at = text.find('.').unwrap() + 20;
        let other = if text.as_bytes()[at] == b'A' {
            "B"
        } else {
            "A"
        };
        format!("{}{other}{}", &text[..at], &text[at + 1..])
    };
    let mut suspended = new_world();
    suspended.register(&registered(), Standing::Suspended);
    let mut reissued = new_world();
    let mut other = registered();
    other.domain = "elsewhere.example".to_owned();
    reissued.register(&other, Standing::Active);
    let mut dark = new_world();
    dark.change_issuer(world::REGISTRAR, |issuer| {
        issuer.standing = Standing::Suspended
    });
    let mut leaked = new_world();
    leaked.change_issuer(world::REGISTRAR, |issuer| {
        issuer.keys[0].status = KeyStatus::Compromised(1);
    });
    let name = ClaimPath::of(&["given_name"]).unwrap();

    let table: Vec<(&str, &str, Asking)> = vec![
        (
            "an unregistered service",
            "registration.unknown",
            Asking {
                service: None,
                ..ask()
            },
        ),
        (
            "a suspended service",
            "registration.suspended",
            Asking {
                service: Some(suspended.service()),
                ..ask()
            },
        ),
        (
            "a registration that the ledger does not have",
            "registration.digest",
            Asking {
                service: Some(reissued.service()),
                ..ask()
            },
        ),
        (
            "an unknown registrar",
            "registration.registrar_unknown",
            Asking {
                registrar: None,
                ..ask()
            },
        ),
        (
            "a suspended registrar",
            "registration.registrar",
            Asking {
                registrar: Some(dark.issuer(world::REGISTRAR)),
                ..ask()
            },
        ),
        (
            "another issuer as registrar",
            "registration.registrar",
            Asking {
                registrar: Some(dark.issuer(AUTHORITY)),
                ..ask()
            },
        ),
        (
            "a registrar whose key is in other hands",
            "registration.signature",
            Asking {
                registrar: Some(leaked.issuer(world::REGISTRAR)),
                ..ask()
            },
        ),
        (
            "a claim outside the registration",
            "vp.claims",
            Asking {
                claims: vec![age(), name],
                ..ask()
            },
        ),
        (
            "a claim that the purpose is no reason for",
            "vp.claims",
            Asking {
                purpose: "login",
                ..ask()
            },
        ),
        (
            "a purpose outside the registration",
            "vp.purpose",
            Asking {
                purpose: "kyc",
                ..ask()
            },
        ),
        (
            "an answer to another domain",
            "vp.response_uri",
            Asking {
                response_uri: "https://evil.example/vp/response/x",
                ..ask()
            },
        ),
        (
            "an answer to a look-alike domain",
            "vp.response_uri",
            Asking {
                response_uri: "https://login.shop.example.evil.example/",
                ..ask()
            },
        ),
        (
            "an answer without TLS",
            "vp.response_uri",
            Asking {
                response_uri: "http://login.shop.example/",
                ..ask()
            },
        ),
        (
            "a request by another key",
            "vp.request_signature",
            Asking {
                key: world::jose_key(&world::p256(8)),
                ..ask()
            },
        ),
        (
            "another service's id",
            "vp.client_id",
            Asking {
                service_id: Hash32([1; 32]),
                link_client_id: client_id(&Hash32([1; 32])),
                ..ask()
            },
        ),
        (
            "a link of another client",
            "vp.client_id",
            Asking {
                link_client_id: client_id(&Hash32([1; 32])),
                ..ask()
            },
        ),
        (
            "an expired request",
            "vp.request_expired",
            Asking {
                now_s: NOW_MS / 1000 + 311,
                ..ask()
            },
        ),
        (
            "a request from the future",
            "vp.request_future",
            Asking {
                now_s: NOW_MS / 1000 - 11,
                ..ask()
            },
        ),
        (
            "an expired registration",
            "registration.expired",
            Asking {
                now_s: NOW_MS / 1000 + 3600,
                ..ask()
            },
        ),
        (
            "a request without the wallet's nonce",
            "vp.wallet_nonce",
            Asking {
                sent_nonce: Some("w"),
                ..ask()
            },
        ),
        (
            "a request with another wallet's nonce",
            "vp.wallet_nonce",
            Asking {
                sent_nonce: Some("w"),
                wallet_nonce: Some("v"),
                ..ask()
            },
        ),
        (
            "a truncated request",
            "vp.request_malformed",
            Asking {
                tamper: Some(|t| t[..t.len() / 2].to_owned()),
                ..ask()
            },
        ),
        (
            "an oversized request",
            "vp.request_too_long",
            Asking {
                tamper: Some(|t| t + &"a".repeat(MAX_REQUEST_BYTES)),
                ..ask()
            },
        ),
    ];
    for (what, code, ask) in table {
        assert_eq!(ask.check().unwrap_err().code(), code, "{what}");
    }
    // What a changed letter breaks depends on where it falls; it never passes.
    assert!(
        Asking {
            tamper: Some(flip),
            ..ask()
        }
        .check()
        .is_err()
    );
    let answered = Asking {
        sent_nonce: Some("w"),
        wallet_nonce: Some("w"),
        ..ask()
    };
    assert!(answered.check().is_ok());
}

#[test]
fn a_query_that_asks_otherwise_is_refused() {
    let pid = json!({"id": "pid", "format": "dc+sd-jwt", "meta": {"vct_values": [pid::VCT]}});
    let with = |name: &str, value: Value| {
        let mut changed = pid.clone();
        changed[name] = value;
        json!({"credentials": [changed]})
    };
    assert!(Asked::parse(&json!({"credentials": [pid]})).is_ok());
    for wrong in [
        json!({}),
        json!({"credentials": []}),
        json!({"credentials": [pid, pid]}),
        json!({"credentials": [{"id": "did", "format": "rdid_proof", "meta": {}}]}),
        json!({"credentials": [pid], "credential_sets": [{"options": [["pid"]]}]}),
        json!({"credentials": [{"id": "p", "format": "rdid_realpass", "meta": {},
            "claims": [{"path": ["name"]}]}]}),
        json!({"credentials": [{"id": "p", "format": "rdid_realpass", "meta": {},
            "claims": [{"path": ["adult"]}, {"path": ["adult"]}]}]}),
        with("multiple", json!(true)),
        with("format", json!("mso_mdoc")),
        with("claims", json!([])),
        with("claims", json!([{"path": ["sex"], "values": [1]}])),
        with("claims", json!([{"path": []}])),
        with("meta", json!({})),
    ] {
        assert_eq!(Asked::parse(&wrong), Err(RequestRefused::Query), "{wrong}");
    }
}

#[test]
fn a_wallet_link_reads_back_and_is_bounded() {
    let link = WalletLink {
        client_id: client_id(&SERVICE_ID),
        request_uri: "https://login.shop.example/vp/request/abc".to_owned(),
        post: true,
    };
    assert_eq!(WalletLink::parse(&link.to_string()), Ok(link));
    for wrong in [
        "",
        "https://shop.example/",
        "openid4vp://",
        "openid4vp://?client_id=a",
        "openid4vp://?request_uri=https://a.example/",
        "openid4vp://?client_id=a&request_uri=file:///etc/passwd",
        "openid4vp://?client_id=a&client_id=b&request_uri=https://a.example/",
        &format!(
            "openid4vp://?client_id={}&request_uri=https://a.example/",
            "a".repeat(2048)
        ),
    ] {
        assert_eq!(
            WalletLink::parse(wrong),
            Err(RequestRefused::LinkMalformed),
            "{wrong}"
        );
    }
}

// ---- the response --------------------------------------------------------------------------

/// A login that works, to change.
struct Show {
    world: World,
    /// What the gate asked.
    nonce: &'static str,
    audience: String,
    /// What the wallet answers to.
    answered_nonce: &'static str,
    answered_audience: String,
    proof_nonce: Option<&'static str>,
    proof_audience: Option<&'static str>,
    proof_time_s: u64,
    proof_key: SecretKey,
    proof_key_index: usize,
    pid: String,
    shown: Vec<ClaimPath>,
    asked: Vec<ClaimPath>,
    inception: Option<Inception>,
    staple: StateAnswer,
    shown_hash: Option<[u8; 32]>,
    batch: Option<InBatch>,
    long_lived: bool,
    list: Option<VerifiedList>,
    issuer: Option<Issuer>,
    tamper_pid: Option<fn(String) -> String>,
    tamper_proof: Option<fn(String) -> String>,
    now_ms: u64,
    light: LightClient,
}

fn show() -> Show {
    show_in(new_world())
}

fn show_in(world: World) -> Show {
    let mut light = LightClient::new(world.ledger.genesis.clone());
    light.advance(&world.ledger.checkpoint()).unwrap();
    Show {
        nonce: "n-1",
        audience: client_id(&SERVICE_ID),
        answered_nonce: "n-1",
        answered_audience: client_id(&SERVICE_ID),
        proof_nonce: None,
        proof_audience: None,
        proof_time_s: NOW_MS / 1000,
        proof_key: world.did.current.clone(),
        proof_key_index: 0,
        pid: world.pid(),
        shown: vec![age()],
        asked: vec![age()],
        inception: Some(world.did.inception.clone()),
        staple: world.ledger.answer(&world.did.state_key()),
        shown_hash: None,
        batch: None,
        long_lived: false,
        list: None,
        issuer: Some(world.issuer(AUTHORITY)),
        tamper_pid: None,
        tamper_proof: None,
        now_ms: NOW_MS,
        light,
        world,
    }
}

impl Show {
    fn present(&self) -> Presented {
        let binding = Binding {
            nonce: self.answered_nonce,
            aud: &self.answered_audience,
            iat_s: NOW_MS / 1000,
        };
        let credential = ParsedSdJwt::parse(&self.pid).unwrap();
        let mut pid = sd_jwt::present(
            &credential,
            &self.shown,
            &binding,
            &world::jose_key(&self.world.holder),
        )
        .unwrap();
        if let Some(tamper) = self.tamper_pid {
            pid = tamper(pid);
        }
        let mut did_proof = did_proof::build(
            &ProofContent {
                did: &self.world.did.inception.did(),
                inception: self.inception.as_ref(),
                staple: &self.staple,
                key_index: self.proof_key_index,
                audience: self.proof_audience.unwrap_or(&self.answered_audience),
                nonce: self.proof_nonce.unwrap_or(self.answered_nonce),
                now_s: self.proof_time_s,
                shown_hash: self
                    .shown_hash
                    .unwrap_or(did_proof::shown_hash(None, Some(&pid))),
                batch: self.batch.as_ref(),
            },
            &self.proof_key,
        )
        .unwrap();
        if let Some(tamper) = self.tamper_proof {
            did_proof = tamper(did_proof);
        }
        Presented {
            state: "s-1".to_owned(),
            pass: None,
            pid: Some(pid),
            did_proof: Some(did_proof.into()),
        }
    }

    fn verify(&self) -> Result<VerifiedLogin, VpError> {
        let ask = Ask::new(false, &self.asked).or_long_lived(self.long_lived);
        self.check(&self.present(), &ask)
    }

    fn check(&self, presented: &Presented, ask: &Ask) -> Result<VerifiedLogin, VpError> {
        let checked = check_response(
            presented,
            &Expected {
                client_id: &self.audience,
                nonce: self.nonce,
                ask,
                answer_to: AnswerTo::Uri("https://shop.example/vp/response"),
                encrypt_to: None,
                now_ms: self.now_ms,
                max_age_s: 300,
                display: None,
            },
            &ResponseEvidence {
                status_list: self.list.as_ref(),
                recognised: None,
                pid_issuer: self.issuer.as_ref(),
                pass_issuer: None,
                light: &self.light,
                freshness: &Freshness {
                    now_ms: self.now_ms,
                    max_age_ms: 30_000,
                    max_lag_slots: 3,
                },
            },
        )?;
        checked.conclude(None)
    }

    fn code(&self) -> &'static str {
        self.verify().unwrap_err().code()
    }
}

#[test]
fn a_login_shows_the_asked_claims_and_an_unanchored_did() {
    let login = show().verify().unwrap();
    assert_eq!(
        Value::Object(login.claims),
        json!({"age_equal_or_over": {"18": true}})
    );
    let did = login.did.unwrap();
    assert_eq!(did.did, show().world.did.inception.did());
    assert!(matches!(
        did.standing,
        realdid_light::DidStanding::Implicit(_)
    ));
    assert_eq!(login.lapses_s, Some(NOW_MS / 1000 + 60));
    assert!(login.pass.is_none());
    assert_eq!(did.staple_age_ms, 0);
    let silent = Show {
        shown: Vec::new(),
        asked: Vec::new(),
        ..show()
    };
    assert!(silent.verify().unwrap().claims.is_empty());
}

#[test]
fn a_gate_accepts_no_answer_that_breaks_a_rule() {
    let name = ClaimPath::of(&["given_name"]).unwrap();
    let drop_disclosure = |pid: String| {
        let parts: Vec<&str> = pid.split('~').collect();
        format!("{}~{}", parts[0], parts[2..].join("~"))
    };
    let change_disclosure = |pid: String| {
        let mut parts: Vec<String> = pid.split('~').map(str::to_owned).collect();
        parts[1] = jose_encode(br#"["AAAAAAAAAAAAAAAAAAAAAA","18",true]"#);
        parts.join("~")
    };
    let new = new_world();
    let foreign = new.pid_with(
        "https://nobody.example",
        &world::p256(66),
        NOW_MS / 1000 + 60,
    );
    let foreign_key = new.pid_with(AUTHORITY, &world::p256(66), NOW_MS / 1000 + 60);
    let expired = new.pid_with(AUTHORITY, &new.authority_key, NOW_MS / 1000 - 10);
    let issuer_with = |change: fn(&mut Issuer)| {
        let mut issuer = new_world().issuer(AUTHORITY);
        change(&mut issuer);
        Some(issuer)
    };
    let other_key = world::p256(67);
    let table: Vec<(&str, &str, Show)> = vec![
        (
            "a replay of another login",
            "kb.nonce",
            Show {
                answered_nonce: "n-0",
                ..show()
            },
        ),
        (
            "a presentation for another audience",
            "kb.audience",
            Show {
                answered_audience: client_id(&Hash32([2; 32])),
                ..show()
            },
        ),
        (
            "a disclosure taken out behind the binding",
            "kb.sd_hash",
            Show {
                tamper_pid: Some(drop_disclosure),
                ..show()
            },
        ),
        (
            "a tampered disclosure",
            "sd_jwt.disclosure_unreferenced",
            Show {
                tamper_pid: Some(change_disclosure),
                ..show()
            },
        ),
        (
            "an expired credential",
            "credential.expired",
            Show {
                pid: expired,
                ..show()
            },
        ),
        (
            "an unknown issuer",
            "credential.issuer_unknown",
            Show {
                pid: foreign,
                issuer: None,
                ..show()
            },
        ),
        (
            "another issuer's record",
            "credential.issuer_unknown",
            Show {
                issuer: Some(new.issuer(world::REGISTRAR)),
                ..show()
            },
        ),
        (
            "a key that the issuer does not have",
            "credential.kid_unknown",
            Show {
                pid: foreign_key,
                ..show()
            },
        ),
        (
            "a suspended issuer",
            "credential.issuer_suspended",
            Show {
                issuer: issuer_with(|issuer| issuer.standing = Standing::Suspended),
                ..show()
            },
        ),
        (
            "a compromised signing key",
            "credential.key_compromised",
            Show {
                issuer: issuer_with(|issuer| issuer.keys[0].status = KeyStatus::Compromised(1)),
                ..show()
            },
        ),
        (
            "a key for something else",
            "credential.kid_unknown",
            Show {
                issuer: issuer_with(|issuer| issuer.keys[0].usage = KeyUse::Operation),
                ..show()
            },
        ),
        (
            "a claim that was not shown",
            "vp.claim_missing",
            Show {
                shown: Vec::new(),
                ..show()
            },
        ),
        (
            "a claim that was not asked for",
            "vp.over_disclosed",
            Show {
                shown: vec![age(), name],
                ..show()
            },
        ),
        (
            "a proof for another nonce",
            "did.proof_nonce",
            Show {
                proof_nonce: Some("n-0"),
                ..show()
            },
        ),
        (
            "a proof for another audience",
            "did.proof_audience",
            Show {
                proof_audience: Some("x"),
                ..show()
            },
        ),
        (
            "an old proof",
            "did.proof_expired",
            Show {
                proof_time_s: NOW_MS / 1000 - 301,
                ..show()
            },
        ),
        (
            "a proof from the future",
            "did.proof_future",
            Show {
                proof_time_s: NOW_MS / 1000 + 11,
                ..show()
            },
        ),
        (
            "a proof made for another PID",
            "did.proof_shown_hash",
            Show {
                shown_hash: Some([0; 32]),
                ..show()
            },
        ),
        (
            "a proof by another key",
            "did.proof_signature",
            Show {
                proof_key: world::key(777),
                ..show()
            },
        ),
        (
            "a proof by a key of another suite",
            "did.proof_signature",
            Show {
                proof_key: other_key,
                ..show()
            },
        ),
        (
            "a proof by a key that the DID does not have",
            "did.proof_key",
            Show {
                proof_key_index: 1,
                ..show()
            },
        ),
        (
            "an unanchored DID without its inception",
            "did.unknown",
            Show {
                inception: None,
                ..show()
            },
        ),
        (
            "another DID's inception",
            "did.inception_mismatch",
            Show {
                inception: Some(world::did(6).inception),
                ..show()
            },
        ),
        (
            "another DID's staple",
            "did.staple_forged",
            Show {
                staple: {
                    let mut w = new_world();
                    let d = world::did(6);
                    let r = codec::encode(&d.record(NOW_MS));
                    w.ledger.set(d.state_key(), Some(r), NOW_MS);
                    w.ledger.answer(&d.state_key())
                },
                ..show()
            },
        ),
        (
            "a truncated proof",
            "did.proof_malformed",
            Show {
                tamper_proof: Some(|p| p[..p.len() - 100].replace('.', "")),
                ..show()
            },
        ),
        (
            "an oversized proof",
            "did.proof_too_long",
            Show {
                tamper_proof: Some(|p| p + &"A".repeat(did_proof::MAX_PROOF_BYTES)),
                ..show()
            },
        ),
    ];
    for (what, code, show) in table {
        assert_eq!(show.code(), code, "{what}");
    }
}

#[test]
fn a_retired_key_voids_nothing_p7() {
    let mut issuer = new_world().issuer(AUTHORITY);
    issuer.keys[0].status = KeyStatus::Retired(1);
    assert!(
        Show {
            issuer: Some(issuer),
            ..show()
        }
        .verify()
        .is_ok()
    );
}

#[test]
fn a_login_is_judged_by_the_dids_present_state() {
    let anchored = |change: fn(&mut realdid_core::state::DidRecord)| {
        let mut world = new_world();
        let mut record = world.did.record(NOW_MS);
        change(&mut record);
        let key = world.did.state_key();
        world.ledger.set(key, Some(codec::encode(&record)), NOW_MS);
        show_in(world)
    };
    let rotate = |record: &mut realdid_core::state::DidRecord| {
        record.keys = Keys {
            current: vec![world::key(501).public()],
            next: commitment(&world::key(503).public()),
            recovery: commitment(&world::key(502).public()),
        };
    };
    let found = anchored(|_| {}).verify().unwrap();
    assert!(matches!(
        found.did.unwrap().standing,
        realdid_light::DidStanding::Anchored(_)
    ));
    assert!(
        Show {
            inception: None,
            ..anchored(|_| {})
        }
        .verify()
        .is_ok()
    );
    assert_eq!(anchored(|record| record.frozen = true).code(), "did.frozen");
    assert_eq!(
        anchored(|record| record.deactivated = true).code(),
        "did.deactivated"
    );
    // a proof by a key that was rotated away, and by the new one
    assert_eq!(anchored(rotate).code(), "did.proof_signature");
    assert!(
        Show {
            proof_key: world::key(501),
            ..anchored(rotate)
        }
        .verify()
        .is_ok()
    );
    // an old staple cannot bring the old key back once the gate knows of newer slots
    let mut world = new_world();
    let old = world.ledger.answer(&world.did.state_key());
    let mut record = world.did.record(NOW_MS);
    rotate(&mut record);
    let key = world.did.state_key();
    world
        .ledger
        .set(key, Some(codec::encode(&record)), NOW_MS + 10_000);
    let late = Show {
        now_ms: NOW_MS + 10_000,
        staple: old,
        ..show_in(world)
    };
    assert_eq!(late.code(), "did.staple_stale");
}

#[test]
fn nothing_stale_or_forged_is_accepted_p9() {
    // too old by the clock, though no newer slot is known
    let late = Show {
        now_ms: NOW_MS + 30_001,
        ..show()
    };
    assert_eq!(late.code(), "did.staple_stale");
    let early = Show {
        now_ms: NOW_MS - 10_001,
        ..show()
    };
    assert_eq!(early.code(), "kb.future");
    // a checkpoint that another committee has finalised
    let mut forged = new_world().ledger.answer(&new_world().did.state_key());
    let byte = forged.checkpoint.certificate.0.len() - 1;
    forged.checkpoint.certificate.0[byte] ^= 1;
    let fresh = LightClient::new(new_world().ledger.genesis);
    let forgery = Show {
        staple: forged,
        light: fresh,
        ..show()
    };
    assert_eq!(forgery.code(), "did.staple_forged");
    // a record that was left out of an otherwise true answer: a lying node's "unknown DID"
    let mut world = new_world();
    let record = codec::encode(&world.did.record(NOW_MS));
    let key = world.did.state_key();
    world.ledger.set(key, Some(record), NOW_MS);
    let mut hidden = world.ledger.answer(&key);
    hidden.value = None;
    let lie = Show {
        staple: hidden,
        ..show_in(world)
    };
    assert_eq!(lie.code(), "did.staple_forged");
}

#[test]
fn an_answer_in_another_form_is_refused() {
    let form = |pairs: &[(&str, &str)]| {
        let mut form = form_urlencoded::Serializer::new(String::new());
        pairs
            .iter()
            .for_each(|(name, value)| _ = form.append_pair(name, value));
        form.finish()
    };
    let parse = |text: String| WalletResponse::parse(text.as_bytes(), None).map(|_| ());
    let token = r#"{"pid":["a~"],"did":["b"]}"#;
    assert_eq!(parse(form(&[("vp_token", token), ("state", "s")])), Ok(()));
    assert_eq!(
        parse(form(&[("error", "access_denied"), ("state", "s")])),
        Ok(())
    );
    let state = |token: &str| parse(form(&[("vp_token", token), ("state", "s")]));
    assert_eq!(
        parse(form(&[("vp_token", token)])),
        Err(ResponseRefused::State)
    );
    assert_eq!(
        parse(form(&[("state", "s")])),
        Err(ResponseRefused::Malformed)
    );
    assert_eq!(state("[]"), Err(ResponseRefused::Malformed));
    assert_eq!(state(r#"{"pid":"a~"}"#), Err(ResponseRefused::Malformed));
    assert_eq!(state(r#"{"pid":["a~"]}"#), Ok(()));
    assert_eq!(
        state(r#"{"pid":["a~","a~"],"did":["b"]}"#),
        Err(ResponseRefused::Incomplete)
    );
    assert_eq!(
        state(r#"{"pid":["a~"],"did":["b"],"x":["c"]}"#),
        Err(ResponseRefused::Incomplete)
    );
    let twice = form(&[("vp_token", token), ("state", "s"), ("state", "t")]);
    assert_eq!(parse(twice), Err(ResponseRefused::Malformed));
    let long = form(&[
        ("vp_token", &"a".repeat(MAX_RESPONSE_BYTES)),
        ("state", "s"),
    ]);
    assert_eq!(parse(long), Err(ResponseRefused::TooLong));
    assert_eq!(
        WalletResponse::parse(&[0xff], None),
        Err(ResponseRefused::Malformed)
    );
}

#[test]
fn a_pid_alone_is_an_answer_where_nothing_else_is_asked_for() {
    let show = show();
    let alone = Ask::pid_alone(&show.asked);
    let bare = Presented {
        did_proof: None,
        ..show.present()
    };
    let login = show.check(&bare, &alone).unwrap();
    assert!(login.did.is_none() && login.pass.is_none());
    assert_eq!(
        Value::Object(login.claims),
        json!({"age_equal_or_over": {"18": true}})
    );
    assert_eq!(login.lapses_s, Some(NOW_MS / 1000 + 60));

    let code = |presented: &Presented, ask: &Ask| show.check(presented, ask).unwrap_err().code();
    assert_eq!(code(&show.present(), &alone), "vp.over_disclosed");
    let with_did = Ask::new(false, &show.asked);
    assert_eq!(code(&bare, &with_did), "vp.incomplete");
    let nothing = Presented { pid: None, ..bare };
    assert_eq!(code(&nothing, &alone), "vp.incomplete");
}

/// What a wallet that does not read the ledger is asked (§5.9.3, HAIP 1.0 §5).
#[test]
fn a_request_under_a_certificate_carries_it_and_asks_for_a_pid_alone() {
    let asking = ask();
    let chain = [b"leaf".to_vec(), b"between".to_vec()];
    let signer = Signer::Certificate(&chain);
    let content = RequestContent {
        network: "dev",
        registration: &asking.world.registration,
        signer,
        purpose: asking.purpose,
        ask: &Ask::pid_alone(&asking.claims),
        algs: asking.algs,
        answer_to: AnswerTo::Uri(asking.response_uri),
        nonce: "n-1",
        state: "s-1",
        wallet_nonce: None,
        encrypt_to: None,
        display: None,
        iat_s: NOW_MS / 1000,
        exp_s: NOW_MS / 1000 + 300,
    };
    let signed = content.sign(&asking.key).unwrap();
    let jws = realdid_credential::jose::decode_unverified(&signed).unwrap();
    // base64, not base64url (RFC 7515 §4.1.6)
    assert_eq!(jws.header["x5c"], json!(["bGVhZg==", "YmV0d2Vlbg=="]));
    assert!(jws.header.get("jwt").is_none());
    let claims = Value::Object(jws.claims().unwrap());
    // openssl: printf leaf | sha256sum, in base64url
    let client_id = "x509_hash:n5EWH0NDPkmm3m22gNefYBWfLkrJFyYhoShGQoFYRAs";
    assert_eq!(claims["client_id"], signer.client_id());
    assert_eq!(claims["client_id"], client_id);
    assert_eq!(
        claims["verifier_info"][0]["data"],
        asking.world.registration
    );
    let query = &claims["dcql_query"];
    let formats = query["credentials"].as_array().unwrap();
    let formats: Vec<_> = formats.iter().map(|one| &one["format"]).collect();
    assert_eq!(formats, ["dc+sd-jwt", "mso_mdoc"]);
    assert_eq!(
        query["credential_sets"],
        json!([{"options": [["pid"], ["pid_mdoc"]]}])
    );
    let known = claims["client_metadata"]["vp_formats_supported"].as_object();
    let known: Vec<_> = known.unwrap().keys().collect();
    assert_eq!(known, ["dc+sd-jwt", "mso_mdoc"]);
}

#[test]
fn what_a_wallet_sends_a_gate_reads() {
    let request = ask().check().unwrap();
    let body = response_form(&request, &pid_answer("a~b~c"), &[1; 44]).unwrap();
    let expected = Presented {
        state: "s-1".to_owned(),
        pass: None,
        pid: Some("a~b~c".to_owned()),
        did_proof: Some("x.y.z".to_owned().into()),
    };
    assert_eq!(
        WalletResponse::parse(body.as_bytes(), None),
        Ok(WalletResponse::Presented(expected))
    );
    let declined = refusal_form(Some("s-1"), WalletError::AccessDenied);
    assert_eq!(
        WalletResponse::parse(declined.as_bytes(), None),
        Ok(WalletResponse::Declined {
            error: WalletError::AccessDenied,
            state: "s-1".to_owned()
        })
    );
}

#[test]
fn an_encrypted_answer_opens_with_the_key_of_its_request_only() {
    let key = |n: u8| DecryptionKey::from_bytes(&[n; 32], "k").unwrap();
    let mut asked = ask();
    asked.encrypt_to = Some(key(5));
    let request = asked.check().unwrap();
    let body = response_form(&request, &pid_answer("a~b~c"), &[1; 44]).unwrap();
    assert!(!body.contains("vp_token") && !body.contains("state"));
    let parse = |body: &str, key: &DecryptionKey| WalletResponse::parse(body.as_bytes(), Some(key));
    let Ok(WalletResponse::Presented(presented)) = parse(&body, &key(5)) else {
        panic!("not presented");
    };
    assert_eq!(
        (presented.state, presented.pid),
        ("s-1".into(), Some("a~b~c".into()))
    );
    assert_eq!(parse(&body, &key(6)), Err(ResponseRefused::Encryption));
    let again = response_form(&request, &pid_answer("a~b~c"), &[2; 44]).unwrap();
    assert_ne!(again, body);

    // in the clear: nothing may be shown, but it may be said that nothing is
    let clear = response_form(&ask().check().unwrap(), &pid_answer("a~"), &[1; 44]).unwrap();
    assert_eq!(parse(&clear, &key(5)), Err(ResponseRefused::Unencrypted));
    let declined = refusal_form(Some("s-1"), WalletError::AccessDenied);
    assert!(matches!(
        parse(&declined, &key(5)),
        Ok(WalletResponse::Declined { .. })
    ));
    // and an encrypted answer is none where it was not asked for
    let unasked = WalletResponse::parse(body.as_bytes(), None);
    assert_eq!(unasked, Err(ResponseRefused::State));

    // the form is read before the signature
    asked.tamper = Some(|signed| {
        use base64::Engine as _;
        let parts: Vec<&str> = signed.split('.').collect();
        let encoding = base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let payload = encoding.decode(parts[1]).unwrap();
        let mut payload: Value = serde_json::from_slice(&payload).unwrap();
        payload["client_metadata"]["jwks"]["keys"][0]["alg"] = "RSA-OAEP".into();
        format!(
            "{}.{}.{}",
            parts[0],
            jose_encode(payload.to_string().as_bytes()),
            parts[2]
        )
    });
    assert_eq!(asked.check().unwrap_err(), RequestRefused::Encryption);
}

#[test]
fn refusals_have_distinct_codes_within_a_layer_and_print_nothing_personal() {
    let shown = format!("{:?}", show().present());
    assert_eq!(shown, "Presented");
    assert_eq!(
        format!("{:?}", show().verify().unwrap()),
        "VerifiedLogin(1 claims)"
    );
    for all in [
        RequestRefused::ALL
            .iter()
            .map(|refused| refused.code())
            .collect::<Vec<_>>(),
        ResponseRefused::ALL
            .iter()
            .map(|refused| refused.code())
            .collect(),
        DidProofError::ALL
            .iter()
            .map(|refused| refused.code())
            .collect(),
    ] {
        let mut distinct = all.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), all.len());
    }
}

fn pid_answer(pid: &str) -> Answer<'_> {
    Answer {
        pid: Some(pid),
        did_proof: Some("x.y.z"),
        ..Answer::default()
    }
}

fn jose_encode(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

// ---- suites --------------------------------------------------------------------------------

fn sm2(n: u64) -> SecretKey {
    SecretKey::from_seed(Suite::Sm2, world::seed(n)).unwrap()
}

#[test]
fn a_gate_asks_in_the_algorithms_of_its_network_and_for_no_mdoc_where_there_are_none() {
    let asked = |algs: &'static [Alg]| {
        let asking = Asking { algs, ..ask() };
        let signed = asking.sign();
        let claims = realdid_credential::jose::decode_unverified(&signed).unwrap();
        let claims = claims.claims().unwrap();
        let formats = claims["client_metadata"]["vp_formats_supported"].clone();
        let queries = claims["dcql_query"]["credentials"].as_array().unwrap();
        let queries = queries.iter().map(|query| query["format"].clone());
        (formats, queries.collect::<Vec<_>>())
    };
    let (formats, queries) = asked(&[Alg::Sm2Sm3]);
    let only = json!(["SM2SM3"]);
    assert_eq!(formats["dc+sd-jwt"]["sd-jwt_alg_values"], only);
    assert_eq!(formats["dc+sd-jwt"]["kb-jwt_alg_values"], only);
    assert_eq!(formats[DID_FORMAT]["alg_values"], only);
    assert!(formats.get("mso_mdoc").is_none());
    assert!(!queries.contains(&json!("mso_mdoc")));

    let (formats, queries) = asked(&[Alg::Es256, Alg::EdDsa]);
    let both = json!(["ES256", "EdDSA"]);
    assert_eq!(formats["dc+sd-jwt"]["sd-jwt_alg_values"], both);
    assert_eq!(formats["dc+sd-jwt"]["kb-jwt_alg_values"], json!(["ES256"]));
    assert_eq!(formats["mso_mdoc"]["deviceauth_alg_values"], json!([-7]));
    assert!(queries.contains(&json!("mso_mdoc")));
}

#[test]
fn a_login_by_sm2_verifies_with_every_key_of_it_and_not_with_another() {
    let all_of_sm2 = || {
        let mut world = new_world();
        let (current, next, recovery) = (sm2(500), sm2(501), sm2(502));
        world.holder = sm2(3);
        world.authority_key = sm2(4);
        world.change_issuer(AUTHORITY, |issuer| issuer.keys[0].key = sm2(4).public());
        world.did = world::TestDid {
            inception: Inception {
                version: 1,
                network: "dev".parse().unwrap(),
                keys: Keys {
                    current: vec![current.public()],
                    next: commitment(&next.public()),
                    recovery: commitment(&recovery.public()),
                },
                endpoints: Vec::new(),
            },
            current,
            next,
            recovery,
        };
        show_in(world)
    };
    let login = all_of_sm2().verify().unwrap();
    assert_eq!(login.did.unwrap().key.suite(), Suite::Sm2);

    let with_key = |proof_key| Show {
        proof_key,
        ..all_of_sm2()
    };
    assert_eq!(with_key(sm2(503)).code(), "did.proof_signature");
    // The same 32 bytes as a key of another suite.
    let bytes = world::seed(500);
    let p256 = SecretKey::from_seed(Suite::P256, bytes).unwrap();
    assert_eq!(with_key(p256).code(), "did.proof_signature");
    let bound_elsewhere = Show {
        tamper_pid: Some(|pid| {
            let (credential, _) = pid.rsplit_once('~').unwrap();
            let foreign = realdid_credential::jose::sign_compact(
                json!({"typ": "kb+jwt"}).as_object().unwrap(),
                b"{}",
                &world::jose_key(&world::p256(3)),
            );
            format!("{credential}~{}", foreign.unwrap())
        }),
        ..all_of_sm2()
    };
    assert!(bound_elsewhere.verify().is_err());
}

#[test]
fn a_credential_of_a_suite_that_its_network_does_not_admit_is_refused() {
    let admitting = |suites: &[Suite]| realdid_core::genesis::Parameters {
        suites: suites.to_vec(),
        ..realdid_core::genesis::Parameters::development()
    };
    let (intl, sm) = (
        admitting(&[Suite::Ed25519, Suite::P256]),
        admitting(&[Suite::Sm2]),
    );
    let judge = |parameters, algs: &[Alg]| {
        let refused = super::response::admitted(parameters, algs.iter().copied()).err();
        refused.map(ResponseRefused::code)
    };
    assert_eq!(judge(&intl, &[Alg::Es256, Alg::Es256]), None);
    assert_eq!(judge(&sm, &[Alg::Sm2Sm3, Alg::Sm2Sm3]), None);
    for (parameters, algs) in [
        (&intl, [Alg::Sm2Sm3, Alg::Es256]),
        (&intl, [Alg::Es256, Alg::Sm2Sm3]),
        (&sm, [Alg::Es256, Alg::Sm2Sm3]),
        (&sm, [Alg::Sm2Sm3, Alg::Es256]),
        (&sm, [Alg::Sm2Sm3, Alg::EdDsa]),
    ] {
        assert_eq!(judge(parameters, &algs), Some("credential.suite"));
    }
}

/// A login by a copy whose key is in other hands since height 9, with a batch of `height` that has it.
fn show_in_batch(height: u64) -> Show {
    let mut world = new_world();
    let pid = world.pid();
    let batch = world.anchor_copy(&pid, height);
    world.change_issuer(AUTHORITY, |issuer| {
        issuer.keys[0].status = KeyStatus::Compromised(9)
    });
    // as it stands at the newest checkpoint
    let batch = world.in_batch(&pid, batch);
    Show {
        batch: Some(batch),
        pid,
        ..show_in(world)
    }
}

#[test]
fn p7_after_a_compromise_a_copy_of_an_anchored_batch_stands_and_no_other() {
    assert!(show_in_batch(8).verify().is_ok());
    // as old as the compromise, or newer, or in none: whoever has the key may have made it
    for height in [9, 10] {
        assert_eq!(show_in_batch(height).code(), "credential.key_compromised");
    }
    let anchored = show_in_batch(8);
    let late = Show {
        batch: None,
        ..show_in_batch(8)
    };
    assert_eq!(late.code(), "credential.key_compromised");

    // A path of another's copy, or to a batch that the ledger does not have, is no path of this one.
    let forged = Show {
        pid: anchored
            .world
            .pid_with(AUTHORITY, &anchored.world.authority_key, NOW_MS / 1000 + 59),
        ..show_in_batch(8)
    };
    assert_eq!(forged.code(), "credential.batch");
    let change = |change: fn(&mut InBatch)| {
        let mut show = show_in_batch(8);
        change(show.batch.as_mut().unwrap());
        show.code()
    };
    assert_eq!(change(|batch| batch.path.index ^= 1), "credential.batch");
    assert_eq!(
        change(|batch| batch.record.value = None),
        "credential.batch"
    );
    let long = |batch: &mut InBatch| batch.path.siblings = vec![Hash32([1; 32]); 65];
    assert_eq!(change(long), "credential.batch");
    // of another key of the same issuer
    let mut rotated = show_in_batch(8);
    let other = world::p256(77);
    rotated.issuer.as_mut().unwrap().keys[0].key = other.public();
    rotated.pid = rotated
        .world
        .pid_with(AUTHORITY, &other, NOW_MS / 1000 + 60);
    assert_eq!(rotated.code(), "credential.batch");
    // The ledger's word about the batch is as recent as that about the DID.
    let mut stale = show_in_batch(8);
    stale.world.now_ms = NOW_MS - 40_000;
    let items = stale.world.anchor_copy(&stale.pid, 8);
    stale.batch = Some(stale.world.in_batch(&stale.pid, items.clone()));
    assert_eq!(stale.code(), "credential.batch");
    stale.world.ledger.seal(NOW_MS);
    stale.batch = Some(stale.world.in_batch(&stale.pid, items));
    assert!(stale.verify().is_ok());
}

#[test]
fn a_batch_that_is_shown_without_need_changes_nothing() {
    let mut show = show_in_batch(8);
    show.issuer.as_mut().unwrap().keys[0].status = KeyStatus::Retired(9);
    assert!(show.verify().is_ok());
    let proof = show.present().did_proof.unwrap();
    assert_eq!(
        did_proof::claimed_batch(proof.as_str()).unwrap(),
        show.batch
    );
}

const LIST: &str = "https://authority.example/status/1";

/// A login by a PID that lives long, at an entry of a list in which 1 is revoked and 2 suspended.
fn show_long(idx: u64) -> Show {
    let world = new_world();
    let key = world::jose_key(&world.authority_key);
    let kid = world::kid(&world.authority_key);
    let now_s = NOW_MS / 1000;
    let terms = sd_jwt::Terms {
        iss: AUTHORITY,
        vct: pid::LONG_VCT,
        kid: &kid,
        iat_s: now_s - 86_400,
        exp_s: now_s + 86_400,
        x5c: &[],
    };
    let status = Reference {
        uri: LIST.to_owned(),
        idx,
    };
    let claims = json!({"age_equal_or_over": {"18": true}});
    let holder = realdid_credential::jose::Jwk(world::jose_key(&world.holder).verifying_key());
    let mut salt = 0u8;
    let made = sd_jwt::issue_with_status(
        claims.as_object().unwrap(),
        &[],
        &terms,
        Some(&status),
        &holder,
        &key,
        &mut || {
            salt += 1;
            [salt; 16]
        },
    );
    let mut list = StatusList::new(Width::Two, 16).unwrap();
    list.change(1, Status::Invalid).unwrap();
    list.change(2, Status::Suspended).unwrap();
    let signed = token::issue_jwt(
        &list,
        &token::Terms {
            uri: LIST,
            kid: &kid,
            iat_s: now_s,
            exp_s: now_s + 600,
            ttl_s: 60,
            x5c: &[],
        },
        &key,
    );
    let keys = [sd_jwt::IssuerKey {
        iss: AUTHORITY.to_owned(),
        kid: kid.clone(),
        key: key.verifying_key(),
    }];
    let verified = token::verify_jwt(
        &signed.unwrap(),
        &token::Evidence {
            iss: AUTHORITY,
            issuer_keys: &keys,
            uri: LIST,
            now_s,
            clock_skew_s: 0,
            max_bytes: 100,
            ledger: Some(list.digest(LIST)),
        },
    );
    Show {
        pid: made.unwrap(),
        long_lived: true,
        list: Some(verified.unwrap()),
        ..show_in(world)
    }
}

#[test]
fn a_pid_that_lives_long_is_taken_where_it_is_asked_for_and_its_status_is_plainly_valid() {
    assert!(show_long(0).verify().is_ok());
    assert_eq!(show_long(1).code(), "credential.revoked");
    assert_eq!(show_long(2).code(), "credential.suspended");
    assert_eq!(show_long(16).code(), "status.index");
    let unread = Show {
        list: None,
        ..show_long(0)
    };
    assert_eq!(unread.code(), "credential.status_missing");
    let unasked = Show {
        long_lived: false,
        ..show_long(0)
    };
    assert_eq!(unasked.code(), "credential.vct_refused");
    // A one-time copy is as good as ever.
    let copy = Show {
        long_lived: true,
        ..show()
    };
    assert!(copy.verify().is_ok());
    // One that names no list would be above every status.
    let mut bare = show_long(0);
    let plain = ParsedSdJwt::parse(&show().pid).unwrap();
    assert!(plain.status().is_none());
    let key = world::jose_key(&bare.world.authority_key);
    let kid = world::kid(&bare.world.authority_key);
    let terms = sd_jwt::Terms {
        iss: AUTHORITY,
        vct: pid::LONG_VCT,
        kid: &kid,
        iat_s: NOW_MS / 1000 - 10,
        exp_s: NOW_MS / 1000 + 60,
        x5c: &[],
    };
    let claims = json!({"age_equal_or_over": {"18": true}});
    let holder = realdid_credential::jose::Jwk(world::jose_key(&bare.world.holder).verifying_key());
    let claims = claims.as_object().unwrap();
    bare.pid = sd_jwt::issue(claims, &[], &terms, &holder, &key, &mut || [7; 16]).unwrap();
    assert_eq!(bare.code(), "credential.status_missing");
}

#[test]
fn a_query_names_the_long_lived_type_where_it_will_do() {
    let types = |ask: &Ask| {
        let query = super::request::query(ask);
        query["credentials"][0]["meta"]["vct_values"].clone()
    };
    let ask = Ask::new(false, &[age()]);
    assert_eq!(types(&ask), json!([pid::VCT]));
    let long = ask.or_long_lived(true);
    assert_eq!(types(&long), json!([pid::VCT, pid::LONG_VCT]));
}
