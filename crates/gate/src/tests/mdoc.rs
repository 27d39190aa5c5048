//! A login whose PID is an mdoc, through the gate's routes.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realdid_core::state::KeyStatus;
use realdid_credential::mdoc::{Mdoc, Transcript, pid::NAME_SPACE};

impl Town {
    /// The form with which a wallet answers that has the PID as an mdoc.
    fn answer_by_mdoc(&self, request: &CheckedRequest, response_uri: &str) -> String {
        let world = &self.world;
        let held = Mdoc::parse(&world.mdoc()).unwrap();
        let shown = held.select(&[(NAME_SPACE, "age_over_18")]).unwrap();
        let transcript = Transcript::openid4vp(
            &request.client_id,
            &request.nonce,
            request.thumbprint.as_ref(),
            response_uri,
        );
        let shown = shown.bind(&transcript, &world::jose_key(&world.holder));
        let shown = URL_SAFE_NO_PAD.encode(shown.unwrap());
        let content = ProofContent {
            did: &world.did.inception.did(),
            inception: Some(&world.did.inception),
            staple: &world.ledger.answer(&world.did.state_key()),
            key_index: 0,
            audience: &request.client_id,
            nonce: &request.nonce,
            now_s: now_ms() / 1000,
            shown_hash: did_proof::shown_hash(None, Some(&shown)),
            batch: None,
        };
        let proof = did_proof::build(&content, &world.did.current).unwrap();
        let answer = vp::Answer {
            mdoc: Some(&shown),
            did_proof: Some(&proof),
            ..vp::Answer::default()
        };
        vp::response_form(request, &answer, &[9; 44]).unwrap()
    }

    async fn posted_by_mdoc(&self) -> Response<Body> {
        let (started, _) = self.start().await;
        let request = self.fetch(&started).await;
        let form = self.answer_by_mdoc(&request, &request.response_uri);
        self.post(&request.response_uri, form).await
    }
}

#[tokio::test]
async fn a_wallet_may_answer_with_an_mdoc_for_this_very_response_address() {
    let town = town();
    let (started, _) = town.start().await;
    let request = town.fetch(&started).await;
    assert!(request.thumbprint.is_some(), "answers are encrypted");
    let elsewhere = town.answer_by_mdoc(&request, "https://other.example/vp/response/1");
    let response = town.post(&request.response_uri, elsewhere).await;
    assert_eq!(json_of(response).await["code"], "mdoc.device_signature");
    let form = town.answer_by_mdoc(&request, &request.response_uri);
    assert_eq!(town.post(&request.response_uri, form).await.status(), 200);
}

#[tokio::test]
async fn p7_what_a_key_signed_before_its_rotation_stands_and_after_a_compromise_does_not() {
    for (status, code) in [
        (KeyStatus::Retired(7), None),
        (
            KeyStatus::Compromised(7),
            Some("credential.key_compromised"),
        ),
    ] {
        let mut town = town();
        town.world
            .change_issuer(AUTHORITY, |issuer| issuer.keys[0].status = status);
        town.learn();
        // both formats, by the same key
        let by_mdoc = town.posted_by_mdoc().await;
        let (started, _) = town.start().await;
        let request = town.fetch(&started).await;
        let by_sd_jwt = town
            .post(&request.response_uri, town.answer(&request))
            .await;
        for response in [by_mdoc, by_sd_jwt] {
            match code {
                None => assert_eq!(response.status(), 200),
                Some(code) => assert_eq!(json_of(response).await["code"], code),
            }
        }
    }
}
