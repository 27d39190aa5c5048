//! Logins with a RealPass: what is asked, what is shown, and what no gate accepts.

use super::*;
use crate::did_proof::{self, ProofContent};
use crate::test_world::{self as world, AUTHORITY, Registered, SERVICE_ID, World};
use realdid_core::hash::HashFunction;
use realdid_core::state::{Issuer, Standing, issuer_id};
use realdid_credential::realpass::{self, Envelope};
use realdid_light::{Freshness, LightClient};
use realdid_pass::{Context, PassError, Pseudonym};
use realdid_testkit::person::TestRandom;
use serde_json::json;

const NOW_MS: u64 = 1_800_000_000_000;
const EPOCH: u64 = NOW_MS / 60_000;

fn adult() -> ClaimPath {
    Fact::Adult.claim().unwrap()
}

fn new_world() -> World {
    let registered = Registered {
        domain: "login.shop.example".to_owned(),
        purposes: vec!["login", "age"],
        claims: vec![json!(["realpass", "adult"])],
        sandbox: false,
    };
    World::new(NOW_MS, world::jose_key(&world::p256(4)), &registered)
}

/// A login by RealPass that works, to change.
struct Show {
    world: World,
    person: u64,
    epoch: u64,
    issuer_id: [u8; 32],
    issuer: Option<Issuer>,
    ask: Ask,
    shown: Vec<usize>,
    service: Hash32,
    bound_nonce: &'static str,
    bound_audience: String,
    bound_did: Option<String>,
    now_ms: u64,
    tamper: Option<fn(String) -> String>,
    hash_of: Option<&'static str>,
    pass: bool,
}

fn show() -> Show {
    let world = new_world();
    Show {
        person: 1,
        epoch: EPOCH,
        issuer_id: issuer_id(HashFunction::Sha256, AUTHORITY).0,
        issuer: Some(world.issuer(AUTHORITY)),
        ask: Ask::new(true, &[adult()]),
        shown: vec![0, Fact::Adult.index()],
        service: SERVICE_ID,
        bound_nonce: "n-1",
        bound_audience: client_id(&SERVICE_ID),
        bound_did: Some(world.did.inception.did().to_string()),
        now_ms: NOW_MS,
        tamper: None,
        hash_of: None,
        pass: true,
        world,
    }
}

impl Show {
    fn present(&self) -> Presented {
        let key = world::pass_issuer();
        let presentation = world::pass(self.epoch, self.person).present(
            &mut TestRandom(7),
            key.public(),
            &Context::service(&self.service.0),
            &self.shown,
            &realpass::binding(
                self.bound_nonce,
                &self.bound_audience,
                self.bound_did.as_deref(),
            ),
        );
        let envelope = Envelope {
            issuer: self.issuer_id,
            presentation: presentation.unwrap(),
        };
        let mut pass = envelope.to_string();
        if let Some(tamper) = self.tamper {
            pass = tamper(pass);
        }
        let pass = self.pass.then_some(pass);
        let did = &self.world.did;
        let did_proof = did_proof::build(
            &ProofContent {
                did: &did.inception.did(),
                inception: Some(&did.inception),
                staple: &self.world.ledger.answer(&did.state_key()),
                key_index: 0,
                audience: &client_id(&SERVICE_ID),
                nonce: "n-1",
                now_s: NOW_MS / 1000,
                shown_hash: did_proof::shown_hash(self.hash_of.or(pass.as_deref()), None),
                batch: None,
            },
            &did.current,
        );
        Presented {
            state: "s-1".to_owned(),
            pass,
            pid: None,
            did_proof: Some(did_proof.unwrap().into()),
        }
    }

    fn check(&self) -> Result<CheckedLogin, VpError> {
        let mut light = LightClient::new(self.world.ledger.genesis.clone());
        light.advance(&self.world.ledger.checkpoint()).unwrap();
        check_response(
            &self.present(),
            &Expected {
                client_id: &client_id(&SERVICE_ID),
                nonce: "n-1",
                ask: &self.ask,
                answer_to: AnswerTo::Uri("https://shop.example/vp/response"),
                encrypt_to: None,
                now_ms: self.now_ms,
                max_age_s: 300,
                display: None,
            },
            &ResponseEvidence {
                status_list: None,
                recognised: None,
                pid_issuer: None,
                pass_issuer: self.issuer.as_ref(),
                light: &light,
                freshness: &Freshness {
                    now_ms: self.now_ms,
                    max_age_ms: 300_000,
                    max_lag_slots: 200,
                },
            },
        )
    }

    /// With the proof verified as a gate does it.
    fn verify(&self) -> Result<VerifiedLogin, VpError> {
        let checked = self.check()?;
        let verified = checked.pass.as_ref().map(|claim| {
            let key = claim.key.key()?;
            let context = Context::service(&SERVICE_ID.0);
            let claims = [claim.shown.claim(&context, &claim.binding)];
            let mut answers = realdid_pass::verify_batch(&mut TestRandom(3), &key, &claims);
            answers.pop().unwrap_or(Err(PassError::Length))
        });
        checked.conclude(verified)
    }

    fn pseudonym(&self) -> Pseudonym {
        self.verify().unwrap().pass.unwrap().pseudonym
    }
}

#[test]
fn a_realpass_shows_the_asked_facts_and_who_comes() {
    let login = show().verify().unwrap();
    assert_eq!(
        serde_json::Value::Object(login.claims),
        json!({"realpass": {"adult": "yes"}})
    );
    let pass = login.pass.unwrap();
    assert_eq!(
        (pass.epoch, pass.issuer),
        (EPOCH, issuer_id(HashFunction::Sha256, AUTHORITY))
    );
    assert_eq!(login.lapses_s, Some((EPOCH + 1) * 60));
    assert_eq!(login.did.unwrap().did, show().world.did.inception.did());
}

#[test]
fn p5_one_person_is_one_pseudonym_at_a_service_and_another_elsewhere() {
    let first = show().pseudonym();
    let later = Show {
        epoch: EPOCH,
        shown: vec![0],
        ask: Ask::new(true, &[]),
        ..show()
    };
    assert_eq!(later.pseudonym(), first);
    let somebody = Show {
        person: 2,
        ..show()
    };
    assert_ne!(somebody.pseudonym(), first);
}

#[test]
fn no_realpass_is_accepted_that_breaks_a_rule() {
    let flip = |text: String| {
        let mut bytes = text.into_bytes();
        let last = bytes.len() - 3;
        bytes[last] = if bytes[last] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let issuer = |change: fn(&mut Issuer)| {
        let mut issuer = new_world().issuer(AUTHORITY);
        change(&mut issuer);
        Some(issuer)
    };
    let table: Vec<(&str, &str, Show)> = vec![
        (
            "for another nonce",
            "realpass.proof",
            Show {
                bound_nonce: "n-2",
                ..show()
            },
        ),
        (
            "for another service's name",
            "realpass.proof",
            Show {
                bound_audience: client_id(&Hash32([1; 32])),
                ..show()
            },
        ),
        (
            "beside another DID",
            "realpass.proof",
            Show {
                bound_did: Some("did:rdid:dev:z1".into()),
                ..show()
            },
        ),
        (
            "bound to no DID",
            "realpass.proof",
            Show {
                bound_did: None,
                ..show()
            },
        ),
        (
            "in another service's context",
            "realpass.proof",
            Show {
                service: Hash32([1; 32]),
                ..show()
            },
        ),
        (
            "changed in its proof",
            "realpass.proof",
            Show {
                tamper: Some(flip),
                ..show()
            },
        ),
        (
            "of the last epoch",
            "realpass.epoch",
            Show {
                epoch: EPOCH - 2,
                ..show()
            },
        ),
        (
            "of the next epoch",
            "realpass.epoch",
            Show {
                epoch: EPOCH + 1,
                ..show()
            },
        ),
        (
            "of no known issuer",
            "credential.issuer_unknown",
            Show {
                issuer: None,
                ..show()
            },
        ),
        (
            "said to be of another issuer",
            "credential.issuer_unknown",
            Show {
                issuer_id: [1; 32],
                ..show()
            },
        ),
        (
            "of a suspended issuer",
            "credential.issuer_suspended",
            Show {
                issuer: issuer(|i| i.standing = Standing::Suspended),
                ..show()
            },
        ),
        (
            "of an issuer without a key for the epoch",
            "credential.kid_unknown",
            Show {
                issuer: issuer(|i| i.pass_keys.clear()),
                ..show()
            },
        ),
        (
            "without the fact",
            "realpass.fact_missing",
            Show {
                shown: vec![0],
                ..show()
            },
        ),
        (
            "with a fact more",
            "realpass.over_disclosed",
            Show {
                shown: vec![0, 1, 2],
                ..show()
            },
        ),
        (
            "without its epoch",
            "realpass.epoch",
            Show {
                shown: vec![1],
                ..show()
            },
        ),
        (
            "not at all",
            "vp.incomplete",
            Show {
                pass: false,
                ..show()
            },
        ),
        (
            "unasked",
            "vp.over_disclosed",
            Show {
                ask: Ask::new(false, &[]),
                ..show()
            },
        ),
        (
            "in another form",
            "realpass.form",
            Show {
                tamper: Some(|t| t.replace('.', ":")),
                ..show()
            },
        ),
        (
            "with an issuer in capitals",
            "realpass.form",
            Show {
                tamper: Some(|t| t.to_uppercase()),
                ..show()
            },
        ),
        (
            "cut short",
            "realpass.presentation",
            Show {
                tamper: Some(|t| t[..t.len() - 40].to_owned()),
                ..show()
            },
        ),
        (
            "too long",
            "realpass.form",
            Show {
                tamper: Some(|t| t + &"A".repeat(4000)),
                ..show()
            },
        ),
        (
            "not the one that the DID signed for",
            "did.proof_shown_hash",
            Show {
                hash_of: Some("another"),
                ..show()
            },
        ),
    ];
    for (what, code, show) in table {
        assert_eq!(show.verify().err().map(VpError::code), Some(code), "{what}");
    }
}

#[test]
fn a_realpass_ends_with_its_epoch_but_for_the_clocks() {
    let end_ms = (EPOCH + 1) * 60_000;
    let at = |now_ms| Show { now_ms, ..show() };
    assert!(at(end_ms + 9_999).check().is_ok());
    assert_eq!(
        at(end_ms + 10_000).check().err().map(VpError::code),
        Some("realpass.epoch")
    );
}

#[test]
fn a_login_is_none_until_its_proof_was_verified() {
    let checked = show().check().unwrap();
    assert!(checked.pass.is_some() && !checked.did_alone);
    let unproved = checked.clone().conclude(None).unwrap_err();
    assert_eq!(unproved.code(), "realpass.proof");
    let false_one = checked.conclude(Some(Err(PassError::Pairing))).unwrap_err();
    assert_eq!(false_one.code(), "realpass.proof");
}

#[test]
fn a_did_alone_is_an_answer_only_where_nothing_else_is_asked() {
    let alone = Show {
        pass: false,
        ask: Ask::new(true, &[]),
        ..show()
    };
    let checked = alone.check().unwrap();
    assert!(checked.did_alone && checked.pass.is_none());
    let login = checked.conclude(None).unwrap();
    assert!(login.pass.is_none() && login.lapses_s.is_none());
    for more in [vec![adult()], vec![ClaimPath::of(&["given_name"]).unwrap()]] {
        let refused = Show {
            pass: false,
            ask: Ask::new(true, &more),
            ..show()
        };
        let code = refused.check().err().map(VpError::code);
        assert_eq!(code, Some("vp.incomplete"));
    }
}

#[test]
fn what_is_asked_follows_from_the_account_and_the_claims() {
    let name = ClaimPath::of(&["given_name"]).unwrap();
    let ask = Ask::new(true, &[name.clone(), adult()]);
    assert_eq!(ask.pass, Some(vec![Fact::Adult]));
    assert_eq!(ask.pid, Some(vec![name.clone()]));
    assert_eq!(ask.claims(), [adult(), name.clone()]);
    assert!(!ask.did_alone());
    assert!(Ask::new(true, &[]).did_alone());
    let by_did = Ask::new(false, &[]);
    assert_eq!((by_did.pass, by_did.pid), (None, Some(Vec::new())));
}

/// What a wallet reads of a request for a RealPass.
#[test]
fn a_wallet_reads_what_of_a_realpass_is_asked() {
    let world = new_world();
    let read = |ask: &Ask, purpose: &str| {
        let signed = RequestContent {
            network: "dev",
            signer: Signer::Registration(SERVICE_ID),
            registration: &world.registration,
            purpose,
            ask,
            algs: &[
                realdid_credential::jose::Alg::Es256,
                realdid_credential::jose::Alg::EdDsa,
            ],
            answer_to: AnswerTo::Uri("https://login.shop.example/vp/response/x"),
            nonce: "n-1",
            state: "s-1",
            wallet_nonce: None,
            encrypt_to: None,
            display: None,
            iat_s: NOW_MS / 1000,
            exp_s: NOW_MS / 1000 + 300,
        }
        .sign(&world.gate_key)
        .unwrap();
        let link = WalletLink {
            client_id: client_id(&SERVICE_ID),
            request_uri: "https://login.shop.example/x".to_owned(),
            post: false,
        };
        let evidence = RequestEvidence {
            network: "dev",
            registrar: Some(&world.issuer(world::REGISTRAR)),
            service: Some(&world.service()),
            now_s: NOW_MS / 1000,
            wallet_nonce: None,
        };
        ClaimedRequest::parse(&signed)?.check(&link, &evidence)
    };
    let silent = read(&Ask::new(true, &[]), "login").unwrap();
    assert!(silent.asked.did_alone && silent.claims.is_empty());
    assert_eq!(silent.asked.pass.unwrap().id, PASS_ID);
    let of_age = read(&Ask::new(true, &[adult()]), "age").unwrap();
    assert!(!of_age.asked.did_alone && of_age.asked.pid.is_none());
    assert_eq!(of_age.asked.pass.unwrap().facts, [Fact::Adult]);
    assert_eq!(of_age.claims, [adult()]);
    let region = Fact::Region.claim().unwrap();
    let wide = read(&Ask::new(true, &[region]), "age").unwrap_err();
    assert_eq!(wide, RequestRefused::Claims);
}
