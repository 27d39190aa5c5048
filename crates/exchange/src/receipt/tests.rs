//! Receipts that hold, at home and across the border, and everything that must not pass as one.

use super::*;
use crate::did_proof::ProofContent;
use crate::test_world::{self as world, AUTHORITY, REGISTRAR, Registered, SERVICE_ID, World};
use crate::vp::{AnswerTo, RequestContent, Signer, client_id};
use realdid_core::codec;
use realdid_core::governance::{Accepted, Assurance, CredentialType, Recognition};
use realdid_core::hash::HashFunction;
use realdid_core::state::{
    Issuer, PassPublicKey, ReasonCode, issuer_id, issuer_key, recognition_key, service_key,
};
use realdid_credential::ClaimPath;
use realdid_credential::jose::Alg;
use realdid_credential::realpass::Fact;
use realdid_testkit::chain::TestLedger;
use realdid_testkit::person::TestRandom;
use serde_json::json;

mod vectors;

const BY: HashFunction = HashFunction::Sha256;
const NOW_MS: u64 = 1_800_000_000_000;
const EPOCH: u64 = NOW_MS / 60_000;

/// A know-your-customer login that leaves a good receipt, to change.
struct Scene {
    world: World,
    /// The service's own network, where it is not the person's.
    home: Option<(TestLedger, Recognition)>,
    time_ms: u64,
    purpose: &'static str,
    claims: Vec<ClaimPath>,
    epoch: u64,
    /// Whose context the pseudonym is of.
    context: Hash32,
    pass_nonce: &'static str,
    did_nonce: &'static str,
    /// Whether the person says that they are no adult, which nobody has signed.
    lies: bool,
    request_key: SigningKey,
    seal_key: SigningKey,
    hand_overs: Vec<HandOver>,
}

fn scene() -> Scene {
    let facts = [
        json!(["realpass", "adult"]),
        json!(["realpass", "assurance"]),
        json!(["given_name"]),
    ];
    let registered = Registered {
        domain: "login.bank.example".to_owned(),
        purposes: vec!["kyc", "age"],
        claims: facts.to_vec(),
        sandbox: false,
    };
    let gate_key = world::jose_key(&world::p256(4));
    Scene {
        world: World::new(NOW_MS, gate_key.clone(), &registered),
        home: None,
        time_ms: NOW_MS,
        purpose: "kyc",
        claims: [Fact::Adult, Fact::Assurance]
            .iter()
            .filter_map(|fact| fact.claim())
            .collect(),
        epoch: EPOCH,
        context: SERVICE_ID,
        pass_nonce: "n-1",
        did_nonce: "n-1",
        lies: false,
        request_key: gate_key.clone(),
        seal_key: gate_key,
        hand_overs: Vec::new(),
    }
}

/// The same by somebody of `dev` at a service of `home`.
fn border() -> Scene {
    let mut scene = scene();
    let registrar = scene.world.issuer(REGISTRAR);
    let mut home = TestLedger::named("home", 17, NOW_MS - 60_000, vec![registrar]);
    let service = codec::encode(&scene.world.service());
    home.set(service_key(BY, &SERVICE_ID), Some(service), NOW_MS);
    let of = &scene.world.ledger.genesis;
    let recognised = Recognised {
        network: of.network.clone(),
        genesis: of.digest(),
        network_key: of.network_key,
        accepts: vec![Accepted {
            kind: CredentialType::RealPass,
            least: Assurance::Substantial,
        }],
        begins: None,
    };
    let recognition = Recognition::of(recognised, ReasonCode::Scheduled);
    scene.home = Some((home, recognition));
    scene.decide(|_| {});
    scene
}

impl Scene {
    /// Governance of `home` decides about `dev`.
    fn decide(&mut self, change: impl FnOnce(&mut Recognition)) {
        let (home, recognition) = self.home.as_mut().unwrap();
        change(recognition);
        let record = codec::encode(recognition);
        home.set(recognition_key(BY, "dev"), Some(record), NOW_MS);
    }

    fn change_authority(mut self, change: impl FnOnce(&mut Issuer)) -> Self {
        self.world.change_issuer(AUTHORITY, change);
        self
    }

    fn ledger(&self) -> &TestLedger {
        self.home
            .as_ref()
            .map_or(&self.world.ledger, |(home, _)| home)
    }

    fn pass(&self) -> String {
        let did = self.world.did.inception.did().to_string();
        let shown: Vec<usize> = [0]
            .into_iter()
            .chain([Fact::Adult, Fact::Assurance].map(Fact::index))
            .collect();
        let presentation = world::pass(self.epoch, 1)
            .present(
                &mut TestRandom(7),
                world::pass_issuer().public(),
                &Context::service(&self.context.0),
                &shown,
                &realpass::binding(self.pass_nonce, &client_id(&SERVICE_ID), Some(&did)),
            )
            .unwrap();
        let envelope = Envelope {
            issuer: issuer_id(BY, AUTHORITY).0,
            presentation,
        };
        let pass = envelope.to_string();
        match self.lies {
            true => saying_no(&pass),
            false => pass,
        }
    }

    fn evidence(&self) -> Evidence {
        let ledger = self.ledger();
        let time_s = self.time_ms / 1000;
        let request = RequestContent {
            network: ledger.genesis.network.as_str(),
            signer: Signer::Registration(SERVICE_ID),
            registration: &self.world.registration,
            purpose: self.purpose,
            ask: &Ask::new(true, &self.claims),
            algs: &[Alg::Es256, Alg::EdDsa],
            answer_to: AnswerTo::Uri("https://login.bank.example/vp/response/x"),
            nonce: "n-1",
            state: "s-1",
            wallet_nonce: None,
            encrypt_to: None,
            display: None,
            iat_s: time_s - 5,
            exp_s: time_s + 295,
        };
        let pass = self.pass();
        let did = &self.world.did;
        let did_proof = did_proof::build(
            &ProofContent {
                did: &did.inception.did(),
                inception: Some(&did.inception),
                staple: &self.world.ledger.answer(&did.state_key()),
                key_index: 0,
                audience: &client_id(&SERVICE_ID),
                nonce: self.did_nonce,
                now_s: time_s,
                shown_hash: did_proof::shown_hash(Some(&pass), None),
                batch: None,
            },
            &did.current,
        );
        let of = |ledger: &TestLedger| Ledger {
            genesis: ledger.genesis.clone(),
            hand_overs: Vec::new(),
        };
        let abroad = self.home.as_ref().map(|(home, _)| Abroad {
            ledger: of(&self.world.ledger),
            recognition: home.answer(&recognition_key(BY, "dev")),
        });
        Evidence {
            request: request.sign(&self.request_key).unwrap(),
            pass,
            did_proof: did_proof.unwrap(),
            home: Ledger {
                hand_overs: self.hand_overs.clone(),
                ..of(ledger)
            },
            registrar: ledger.answer(&issuer_key(BY, &issuer_id(BY, REGISTRAR))),
            service: ledger.answer(&service_key(BY, &SERVICE_ID)),
            issuer: self
                .world
                .ledger
                .answer(&issuer_key(BY, &issuer_id(BY, AUTHORITY))),
            abroad,
        }
    }

    fn seal(&self, evidence: Evidence) -> Receipt {
        Receipt::seal(evidence, self.time_ms, &self.seal_key).unwrap()
    }

    fn trust(&self) -> Trust {
        Trust {
            home: self.ledger().genesis.digest(),
            abroad: None,
            service: None,
            max_age_ms: 300_000,
            // Years later.
            now_ms: self.time_ms + 100_000_000_000,
        }
    }

    /// What an auditor makes of the receipt with its evidence changed, and sealed after that.
    fn with(&self, change: impl FnOnce(&mut Evidence)) -> Result<Verified, &'static str> {
        let mut evidence = self.evidence();
        change(&mut evidence);
        check(&self.seal(evidence), &self.trust())
    }

    fn verify(&self) -> Result<Verified, &'static str> {
        self.with(|_| {})
    }

    #[track_caller]
    fn refused(&self) -> &'static str {
        self.verify().unwrap_err()
    }
}

/// As an auditor does it, from the bytes.
fn check(receipt: &Receipt, trust: &Trust) -> Result<Verified, &'static str> {
    let read = Receipt::parse(&receipt.to_bytes()).map_err(ReceiptRefused::code)?;
    assert_eq!(read, *receipt);
    verify(&read, trust).map_err(ReceiptError::code)
}

/// The same RealPass with another value of the first fact behind the epoch.
fn saying_no(pass: &str) -> String {
    let (issuer, presentation) = pass.split_once('.').unwrap();
    let mut presentation = bytes(presentation).unwrap();
    // Version, mask, the epoch and the fact with their lengths.
    let place = 1 + 2 + 9 + 1;
    assert_eq!(presentation[place], 2);
    presentation[place] = 1;
    format!("{issuer}.{}", text(&presentation))
}

#[test]
fn a_receipt_shows_predicates_and_whose_they_are_not() {
    let verified = scene().verify().unwrap();
    assert_eq!(
        Value::Object(verified.predicates.clone()),
        json!({"adult": "yes", "assurance": "high"})
    );
    assert_eq!(verified.service, SERVICE_ID);
    assert_eq!(verified.organisation, "Example shop");
    assert_eq!(
        (verified.network.as_str(), verified.person_network.as_str()),
        ("dev", "dev")
    );
    assert_eq!((verified.time_ms, verified.epoch), (NOW_MS, EPOCH));
    assert_eq!(verified.issuer, AUTHORITY);
    assert_eq!(verified.issued_after_ms, (EPOCH - 1) * 60_000);
    let abroad = border().verify().unwrap();
    assert_eq!(abroad.predicates, verified.predicates);
    assert_eq!(
        (abroad.network.as_str(), abroad.person_network.as_str()),
        ("home", "dev")
    );
    // Recognition goes by the assurance; who did not ask for it is not told.
    let unasked = Scene {
        claims: vec![Fact::Adult.claim().unwrap()],
        ..border()
    };
    let predicates = unasked.verify().unwrap().predicates;
    assert_eq!(Value::Object(predicates), json!({"adult": "yes"}));
}

#[test]
fn an_answer_that_does_not_hold_leaves_no_good_receipt() {
    let other = Hash32([1; 32]);
    let lies = Scene {
        lies: true,
        ..scene()
    };
    assert_eq!(lies.refused(), "realpass.proof", "a tampered predicate");
    let tampered = scene().with(|evidence| evidence.pass = saying_no(&evidence.pass));
    assert_eq!(tampered.unwrap_err(), "did.proof_shown_hash");
    let elsewhere = Scene {
        context: other,
        ..scene()
    };
    assert_eq!(elsewhere.refused(), "realpass.proof", "another service's");
    let pass_nonce = "n-2";
    let moved = Scene {
        pass_nonce,
        ..scene()
    };
    assert_eq!(moved.refused(), "realpass.proof", "another request's");
    let both = Scene {
        pass_nonce,
        did_nonce: pass_nonce,
        ..scene()
    };
    assert_eq!(both.refused(), "did.proof_nonce");
    let before = Scene {
        epoch: EPOCH - 2,
        ..scene()
    };
    assert_eq!(before.refused(), "realpass.epoch");
}

#[test]
fn the_issuers_record_has_the_key_of_the_epoch() {
    let none = scene().change_authority(|issuer| issuer.pass_keys.clear());
    assert_eq!(none.refused(), "credential.kid_unknown");
    let later = scene().change_authority(|issuer| issuer.pass_keys[0].from_epoch = EPOCH + 1);
    assert_eq!(later.refused(), "credential.kid_unknown");
    let terms = realdid_pass::facts::terms("dev", &issuer_id(BY, AUTHORITY).0);
    let other = realdid_pass::IssuerKey::from_material(&[5; 32], &terms, 6).unwrap();
    let other = PassPublicKey(other.public().to_bytes());
    let changed = scene().change_authority(|issuer| issuer.pass_keys[0].key = other);
    assert_eq!(changed.refused(), "realpass.proof");
    let suspended = scene().change_authority(|issuer| issuer.standing = Standing::Suspended);
    assert_eq!(suspended.refused(), "credential.issuer_suspended");
}

#[test]
fn the_service_asked_for_predicates_under_its_own_registration() {
    let stranger = world::jose_key(&world::p256(77));
    let forged = Scene {
        request_key: stranger.clone(),
        ..scene()
    };
    assert_eq!(forged.refused(), "vp.request_signature");
    let of_age = Scene {
        purpose: "age",
        claims: vec![Fact::Adult.claim().unwrap()],
        ..scene()
    };
    assert_eq!(of_age.refused(), "receipt.purpose");
    let mut claims = scene().claims;
    claims.push(ClaimPath::of(&["given_name"]).unwrap());
    let more = Scene { claims, ..scene() };
    assert_eq!(more.refused(), "receipt.asked");
    let nothing = Scene {
        claims: Vec::new(),
        ..scene()
    };
    assert_eq!(nothing.refused(), "receipt.asked");
    let scene = scene();
    let receipt = scene.seal(scene.evidence());
    let about = |service| Trust {
        service: Some(service),
        ..scene.trust()
    };
    assert!(check(&receipt, &about(SERVICE_ID)).is_ok());
    assert_eq!(
        check(&receipt, &about(Hash32([1; 32]))).unwrap_err(),
        "receipt.service"
    );
    let sealed = Scene {
        seal_key: stranger,
        ..self::scene()
    };
    assert_eq!(sealed.refused(), "receipt.seal");
    // A seal of another receipt of the same service.
    let other = scene.seal(scene.evidence());
    let swapped = Receipt {
        seal: other.seal,
        ..receipt
    };
    assert_eq!(check(&swapped, &scene.trust()).unwrap_err(), "receipt.seal");
}

#[test]
fn a_border_that_was_closed_then_was_closed() {
    let after = |change: fn(&mut Recognition)| {
        let mut scene = border();
        scene.decide(change);
        scene.refused()
    };
    assert_eq!(
        after(|known| known.standing = Standing::Suspended),
        "receipt.recognition_suspended"
    );
    assert_eq!(
        after(|known| known.recognised.genesis = Hash32([9; 32])),
        "receipt.unrecognised"
    );
    assert_eq!(
        after(|known| known.recognised.accepts.clear()),
        "recognition.unaccepted"
    );
    let mut none = border();
    let (home, _) = none.home.as_mut().unwrap();
    home.set(recognition_key(BY, "dev"), None, NOW_MS);
    assert_eq!(none.refused(), "receipt.unrecognised");
    let unsaid = border().with(|evidence| evidence.abroad = None);
    assert_eq!(unsaid.unwrap_err(), "receipt.malformed");
}

#[test]
fn nothing_hangs_on_a_ledger_that_nobody_certified() {
    let scene = border();
    let dev = scene.world.ledger.genesis.digest();
    let receipt = scene.seal(scene.evidence());
    let with = |home, abroad| {
        let trust = Trust {
            home,
            abroad,
            ..scene.trust()
        };
        check(&receipt, &trust).map(drop)
    };
    let home = scene.trust().home;
    assert_eq!(with(home, Some(dev)), Ok(()));
    assert_eq!(with(dev, None), Err("receipt.trust"));
    assert_eq!(with(home, Some(home)), Err("receipt.trust"));
    let uncertified: [fn(&mut Evidence) -> &mut StateAnswer; 4] = [
        |evidence| &mut evidence.service,
        |evidence| &mut evidence.registrar,
        |evidence| &mut evidence.issuer,
        |evidence| &mut evidence.abroad.as_mut().unwrap().recognition,
    ];
    for answer in uncertified {
        let forged = scene.with(|evidence| answer(evidence).checkpoint.certificate.0[60] ^= 1);
        assert_eq!(forged.unwrap_err(), "receipt.checkpoint");
        let changed = scene.with(|evidence| {
            let value = answer(evidence).value.as_mut().unwrap();
            *value.0.last_mut().unwrap() ^= 1;
        });
        assert_eq!(changed.unwrap_err(), "receipt.record");
    }
}

#[test]
fn a_receipt_leads_through_the_committees_that_followed_each_other() {
    let mut scene = scene();
    let ledger = &mut scene.world.ledger;
    let hand_over = ledger.decide_term(8, 200);
    ledger.begin_term(8);
    ledger.seal(NOW_MS + 10_000);
    scene.time_ms = NOW_MS + 11_000;
    assert_eq!(scene.refused(), "receipt.checkpoint");
    scene.hand_overs = vec![hand_over];
    scene.verify().unwrap();
    let twice = vec![scene.hand_overs[0].clone(); MAX_HAND_OVERS + 1];
    assert_eq!(
        scene.with(|evidence| evidence.home.hand_overs = twice),
        Err("receipt.malformed")
    );
}

#[test]
fn the_checkpoints_are_of_the_time_of_the_login() {
    for (time_ms, code) in [
        (NOW_MS + 300_000, None),
        (NOW_MS + 300_001, Some("receipt.checkpoint_time")),
        (NOW_MS - 10_000, None),
        (NOW_MS - 10_001, Some("receipt.checkpoint_time")),
    ] {
        let scene = Scene {
            time_ms,
            epoch: time_ms / 60_000,
            ..scene()
        };
        assert_eq!(scene.verify().err(), code, "{time_ms}");
    }
    let scene = scene();
    let receipt = scene.seal(scene.evidence());
    let now = |now_ms| {
        let trust = Trust {
            now_ms,
            ..scene.trust()
        };
        check(&receipt, &trust).map(drop)
    };
    assert_eq!(now(NOW_MS - 10_000), Ok(()));
    assert_eq!(now(NOW_MS - 10_001), Err("receipt.future"));
}

#[test]
fn text_that_is_no_receipt_is_refused() {
    let scene = border();
    let good = scene.seal(scene.evidence()).to_bytes();
    let good: Value = serde_json::from_slice(&good).unwrap();
    let mut cases = vec![
        b"".to_vec(),
        b"{}".to_vec(),
        vec![b' '; MAX_RECEIPT_BYTES + 1],
    ];
    let mut case = |change: &dyn Fn(&mut Value)| {
        let mut told = good.clone();
        change(&mut told);
        cases.push(told.to_string().into_bytes());
    };
    for member in ["type", "evidence", "seal"] {
        case(&|told| drop(told.as_object_mut().unwrap().remove(member)));
    }
    let members = [
        "request",
        "pass",
        "did",
        "home",
        "registrar",
        "service",
        "issuer",
    ];
    for member in members {
        case(&|told| drop(told["evidence"].as_object_mut().unwrap().remove(member)));
    }
    case(&|told| told["name"] = "somebody".into());
    case(&|told| told["evidence"]["subject"] = "somebody".into());
    case(&|told| told["type"] = "rdid-display/1".into());
    case(&|told| told["seal"] = "a.b.c".into());
    case(&|told| told["evidence"]["issuer"] = "AAAA".into());
    case(&|told| told["evidence"]["abroad"]["genesis"] = "".into());
    for case in cases {
        assert_eq!(Receipt::parse(&case).err(), Some(ReceiptRefused::Malformed));
    }
    assert!(Receipt::parse(good.to_string().as_bytes()).is_ok());
}

#[test]
fn no_byte_of_a_receipt_can_be_changed() {
    let scene = border();
    let good = scene.seal(scene.evidence()).to_bytes();
    let holds = |bytes: &[u8]| {
        let read = Receipt::parse(bytes).map_err(ReceiptRefused::code)?;
        verify(&read, &scene.trust())
            .map(drop)
            .map_err(ReceiptError::code)
    };
    assert_eq!(holds(&good), Ok(()));
    for at in (0..good.len()).step_by(29) {
        let mut altered = good.clone();
        altered[at] ^= 1;
        assert!(holds(&altered).is_err(), "byte {at}");
    }
}
