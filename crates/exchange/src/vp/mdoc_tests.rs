//! A login whose PID is an mdoc: the same request, either format, and what a gate refuses.

use super::*;
use crate::did_proof::{self, ProofContent};
use crate::jwe::DecryptionKey;
use crate::test_world::{self as world, AUTHORITY, Registered, SERVICE_ID, World};
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realdid_core::state::{Issuer, KeyStatus, Standing};
use realdid_core::suite::SecretKey;
use realdid_credential::mdoc::{self, Mdoc, Transcript};
use realdid_light::{Freshness, LightClient};
use serde_json::json;

const NOW_MS: u64 = 1_800_000_000_000;
const RESPONSE_URI: &str = "https://login.shop.example/vp/response/x";

fn age() -> ClaimPath {
    ClaimPath::of(&["age_equal_or_over", "18"]).unwrap()
}

fn name() -> ClaimPath {
    ClaimPath::of(&["given_name"]).unwrap()
}

fn new_world() -> World {
    let registered = Registered {
        domain: "login.shop.example".to_owned(),
        purposes: vec!["kyc"],
        claims: vec![json!(["age_equal_or_over", "18"]), json!(["given_name"])],
        sandbox: false,
    };
    World::new(NOW_MS, world::jose_key(&world::p256(4)), &registered)
}

/// A login that works, to change.
struct Show {
    world: World,
    asked: Vec<ClaimPath>,
    shown: Vec<&'static str>,
    encrypt_to: Option<DecryptionKey>,
    /// The key that signs the mdoc, and the name in its certificate.
    signer: SecretKey,
    uri: &'static str,
    until_s: u64,
    /// What the device signs for.
    nonce: &'static str,
    audience: String,
    response_uri: &'static str,
    thumbprint: bool,
    issuer: Option<Issuer>,
    tamper: Option<fn(String) -> String>,
    batch: Option<crate::batch::InBatch>,
    /// The mdoc, where it is one that was made before.
    issued: Option<Vec<u8>>,
}

fn show() -> Show {
    let world = new_world();
    Show {
        asked: vec![age()],
        shown: vec!["age_over_18"],
        encrypt_to: Some(DecryptionKey::from_bytes(&[7; 32], "k").unwrap()),
        signer: world.authority_key.clone(),
        uri: AUTHORITY,
        until_s: NOW_MS / 1000 + 60,
        nonce: "n-1",
        audience: client_id(&SERVICE_ID),
        response_uri: RESPONSE_URI,
        thumbprint: true,
        issuer: Some(world.issuer(AUTHORITY)),
        tamper: None,
        batch: None,
        issued: None,
        world,
    }
}

impl Show {
    fn mdoc(&self) -> Vec<u8> {
        let fresh = || self.world.mdoc_with(&self.signer, self.uri, self.until_s);
        self.issued.clone().unwrap_or_else(fresh)
    }

    /// The request, as the wallet reads it.
    fn request(&self) -> CheckedRequest {
        let signed = RequestContent {
            network: "dev",
            signer: Signer::Registration(SERVICE_ID),
            registration: &self.world.registration,
            purpose: "kyc",
            ask: &Ask::new(false, &self.asked),
            algs: &[
                realdid_credential::jose::Alg::Es256,
                realdid_credential::jose::Alg::EdDsa,
            ],
            answer_to: AnswerTo::Uri(RESPONSE_URI),
            nonce: "n-1",
            state: "s-1",
            wallet_nonce: None,
            encrypt_to: self.encrypt_to.as_ref(),
            display: None,
            iat_s: NOW_MS / 1000,
            exp_s: NOW_MS / 1000 + 300,
        }
        .sign(&self.world.gate_key)
        .unwrap();
        let link = WalletLink {
            client_id: client_id(&SERVICE_ID),
            request_uri: "https://login.shop.example/vp/request/x".to_owned(),
            post: false,
        };
        let evidence = RequestEvidence {
            network: "dev",
            registrar: Some(&self.world.issuer(world::REGISTRAR)),
            service: Some(&self.world.service()),
            now_s: NOW_MS / 1000,
            wallet_nonce: None,
        };
        let claimed = ClaimedRequest::parse(&signed).unwrap();
        claimed.check(&link, &evidence).unwrap()
    }

    /// From the request to the form, and from the form to what the gate reads.
    fn present(&self) -> Presented {
        let request = self.request();
        let transcript = Transcript::openid4vp(
            &self.audience,
            self.nonce,
            request.thumbprint.as_ref().filter(|_| self.thumbprint),
            self.response_uri,
        );
        let paths: Vec<_> = self
            .shown
            .iter()
            .map(|name| (mdoc::pid::NAME_SPACE, *name))
            .collect();
        let held = Mdoc::parse(&self.mdoc()).unwrap();
        let device = world::jose_key(&self.world.holder);
        let shown = held.select(&paths).unwrap().bind(&transcript, &device);
        let mut shown = URL_SAFE_NO_PAD.encode(shown.unwrap());
        if let Some(tamper) = self.tamper {
            shown = tamper(shown);
        }
        let did = &self.world.did;
        let staple = self.world.ledger.answer(&did.state_key());
        let content = ProofContent {
            did: &did.inception.did(),
            inception: Some(&did.inception),
            staple: &staple,
            key_index: 0,
            audience: &request.client_id,
            nonce: &request.nonce,
            now_s: NOW_MS / 1000,
            shown_hash: did_proof::shown_hash(None, Some(&shown)),
            batch: self.batch.as_ref(),
        };
        let proof = did_proof::build(&content, &did.current).unwrap();
        let answer = Answer {
            mdoc: Some(&shown),
            did_proof: Some(&proof),
            ..Answer::default()
        };
        let form = response_form(&request, &answer, &[9; 44]).unwrap();
        match WalletResponse::parse(form.as_bytes(), self.encrypt_to.as_ref()).unwrap() {
            WalletResponse::Presented(presented) => presented,
            WalletResponse::Declined { .. } => panic!("something is shown"),
        }
    }

    fn verify(&self) -> Result<VerifiedLogin, VpError> {
        let presented = self.present();
        let freshness = Freshness {
            now_ms: NOW_MS,
            max_age_ms: 30_000,
            max_lag_slots: 3,
        };
        let mut light = LightClient::new(self.world.ledger.genesis.clone());
        light.advance(&self.world.ledger.checkpoint()).unwrap();
        let expected = Expected {
            client_id: &client_id(&SERVICE_ID),
            nonce: "n-1",
            ask: &Ask::new(false, &self.asked),
            answer_to: AnswerTo::Uri(RESPONSE_URI),
            encrypt_to: self.encrypt_to.as_ref(),
            now_ms: NOW_MS,
            max_age_s: 300,
            display: None,
        };
        let evidence = ResponseEvidence {
            status_list: None,
            recognised: None,
            pid_issuer: self.issuer.as_ref(),
            pass_issuer: None,
            light: &light,
            freshness: &freshness,
        };
        check_response(&presented, &expected, &evidence)?.conclude(None)
    }

    fn code(&self) -> &'static str {
        self.verify().err().map_or("accepted", VpError::code)
    }
}

#[test]
fn a_login_by_mdoc_tells_the_asked_claims_under_the_names_of_the_other_format() {
    let login = show().verify().unwrap();
    let claims = serde_json::Value::Object(login.claims);
    assert_eq!(claims, json!({"age_equal_or_over": {"18": true}}));
    assert_eq!(login.lapses_s, Some(NOW_MS / 1000 + 60));
    let plain = Show {
        encrypt_to: None,
        ..show()
    };
    assert_eq!(plain.code(), "accepted");
    let nothing = Show {
        asked: vec![],
        shown: vec![],
        ..show()
    };
    assert!(nothing.verify().unwrap().claims.is_empty());
    // which record of the ledger to look for
    let shown = show().present().pid.unwrap();
    assert_eq!(claimed_pid_issuer(&shown).unwrap(), AUTHORITY);
}

#[test]
fn the_request_admits_either_format_and_registers_the_same_claims() {
    let request = show().request();
    assert_eq!(request.claims, vec![age()]);
    assert_eq!(request.asked.mdoc.as_ref().unwrap().claims, vec![age()]);
    assert!(request.asked.pid.is_some() && !request.asked.did_alone);
    // a claim inside of an element has no mdoc that tells it alone
    let inside = Ask::new(
        false,
        &[ClaimPath::parse(&json!(["nationalities", 0])).unwrap()],
    );
    let query = super::request::query(&inside);
    assert_eq!(query["credentials"].as_array().unwrap().len(), 2);
    assert!(query.get("credential_sets").is_none());
}

#[test]
fn a_query_that_asks_for_more_in_one_format_or_for_both_is_refused() {
    let good = super::request::query(&Ask::new(false, &[age()]));
    assert!(Asked::parse(&good).is_ok());
    let changes: [fn(&mut serde_json::Value); 6] = [
        |q| _ = q.as_object_mut().unwrap().remove("credential_sets"),
        |q| q["credentials"][1]["claims"][0]["path"][1] = "given_name".into(),
        |q| q["credentials"][1]["claims"][0]["path"][0] = "org.other".into(),
        |q| q["credentials"][1]["meta"]["doctype_value"] = "org.other".into(),
        |q| q["credential_sets"][0]["options"][1] = json!(["pid_mdoc"]),
        |q| q["credential_sets"][0]["required"] = false.into(),
    ];
    for (i, change) in changes.into_iter().enumerate() {
        let mut query = good.clone();
        change(&mut query);
        assert_eq!(
            Asked::parse(&query).err(),
            Some(RequestRefused::Query),
            "{i}"
        );
    }
    // an mdoc alone may be asked for
    let mut alone = good;
    alone.as_object_mut().unwrap().remove("credential_sets");
    alone["credentials"].as_array_mut().unwrap().remove(0);
    let asked = Asked::parse(&alone).unwrap();
    assert_eq!(asked.mdoc.unwrap().claims, vec![age()]);
}

#[test]
fn what_a_gate_refuses_of_an_mdoc() {
    let suspended = |mut show: Show| {
        show.issuer.as_mut().unwrap().standing = Standing::Suspended;
        show
    };
    let rows: Vec<(&str, Show)> = vec![
        (
            "mdoc.device_signature",
            Show {
                nonce: "n-2",
                ..show()
            },
        ),
        (
            "mdoc.device_signature",
            Show {
                audience: client_id(&world_id()),
                ..show()
            },
        ),
        (
            "mdoc.device_signature",
            Show {
                response_uri: "https://login.shop.example/vp/response/y",
                ..show()
            },
        ),
        (
            "mdoc.device_signature",
            Show {
                thumbprint: false,
                ..show()
            },
        ),
        (
            "mdoc.expired",
            Show {
                until_s: NOW_MS / 1000 - 11,
                ..show()
            },
        ),
        (
            "vp.over_disclosed",
            Show {
                shown: vec!["age_over_18", "sex"],
                ..show()
            },
        ),
        (
            "vp.claim_missing",
            Show {
                asked: vec![age(), name()],
                ..show()
            },
        ),
        // a key that the ledger does not know, under the authority's name
        (
            "credential.kid_unknown",
            Show {
                signer: world::p256(77),
                ..show()
            },
        ),
        (
            "credential.issuer_unknown",
            Show {
                uri: "https://other.example",
                ..show()
            },
        ),
        (
            "credential.issuer_unknown",
            Show {
                issuer: None,
                ..show()
            },
        ),
        ("credential.issuer_suspended", suspended(show())),
        (
            "mdoc.malformed",
            Show {
                tamper: Some(|shown| shown[..shown.len() - 8].to_owned()),
                ..show()
            },
        ),
        (
            "mdoc.malformed",
            Show {
                tamper: Some(|shown| format!("{shown}=")),
                ..show()
            },
        ),
    ];
    for (i, (code, show)) in rows.into_iter().enumerate() {
        assert_eq!(show.code(), code, "{i}");
    }
}

fn world_id() -> realdid_core::hash::Hash32 {
    realdid_core::hash::Hash32([0x52; 32])
}

#[test]
fn p7_an_mdoc_of_a_retired_key_stands_and_one_of_a_compromised_key_does_not() {
    for (status, code) in [
        (KeyStatus::Active, "accepted"),
        (KeyStatus::Retired(5), "accepted"),
        (KeyStatus::Compromised(5), "credential.key_compromised"),
    ] {
        let mut show = show();
        show.issuer.as_mut().unwrap().keys[0].status = status;
        assert_eq!(show.code(), code);
    }
}

#[test]
fn p7_an_mdoc_of_a_compromised_key_stands_where_its_batch_was_there_before() {
    let mut show = show();
    let issued = show.mdoc();
    show.issued = Some(issued.clone());
    let issued = URL_SAFE_NO_PAD.encode(issued);
    for (height, code) in [(4, "accepted"), (5, "credential.key_compromised")] {
        let items = show.world.anchor_copy(&issued, height);
        show.batch = Some(show.world.in_batch(&issued, items));
        show.issuer.as_mut().unwrap().keys[0].status = KeyStatus::Compromised(5);
        assert_eq!(show.code(), code);
    }
}
