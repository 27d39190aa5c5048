//! Logins with one account a person: by RealPass and DID, and by the DID alone until the epoch ends.

use super::*;
use realdid_core::hash::Hash32;
use realdid_core::hash::HashFunction;
use realdid_core::state::did_key;
use realdid_credential::realpass::{self, Envelope};
use realdid_pass::{Context, facts};
use realdid_testkit::person::TestRandom;
use world::TestDid;

mod abroad;
mod receipts;

const BY: HashFunction = HashFunction::Sha256;

/// A town whose website has one account a person and asks for `claims`.
fn town_of_persons(claims: &[&str], purpose: &str) -> Town {
    town_with(0, |folder| {
        let config = config_of(folder, Accounts::Person, claims, purpose);
        Gate::open(&config, ISSUER.to_owned()).unwrap()
    })
}

/// The epoch, of which so much is left that no step of a test falls into the next.
fn epoch(town: &Town) -> u64 {
    let parameters = &town.world.ledger.genesis.parameters;
    loop {
        let epoch = parameters.epoch_at(now_ms());
        if parameters.pass_ends_ms(epoch) > now_ms() + 15_000 {
            return epoch;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Who answers, and with what.
#[derive(Clone, Copy)]
struct Wallet<'a> {
    did: &'a TestDid,
    /// Whose RealPass is shown, and of which epoch.
    pass: Option<(u64, u64)>,
    /// Who is said to have issued it.
    issuer: &'a str,
    /// Whose context its pseudonym is of.
    service: Hash32,
}

impl<'a> Wallet<'a> {
    fn of(did: &'a TestDid, pass: Option<(u64, u64)>) -> Self {
        Self {
            did,
            pass,
            issuer: AUTHORITY,
            service: SERVICE_ID,
        }
    }

    fn answer(self, town: &Town, request: &CheckedRequest) -> String {
        self.answer_showing(town, request, None)
    }

    /// The same with what stands in the place of the PID.
    fn answer_showing(self, town: &Town, request: &CheckedRequest, pid: Option<&str>) -> String {
        let did = self.did.inception.did();
        let shown = &request.asked.pass.as_ref().unwrap().facts;
        let pass = self.pass.map(|(epoch, n)| {
            let mut disclosed = vec![facts::EPOCH];
            disclosed.extend(shown.iter().map(|fact| fact.index()));
            let name = did.to_string();
            let binding = realpass::binding(&request.nonce, &request.client_id, Some(&name));
            let presentation = world::pass(epoch, n)
                .present(
                    &mut TestRandom(n),
                    world::pass_issuer().public(),
                    &Context::service(&self.service.0),
                    &disclosed,
                    &binding,
                )
                .unwrap();
            let issuer = issuer_id(BY, self.issuer).0;
            Envelope {
                issuer,
                presentation,
            }
            .to_string()
        });
        let proof = did_proof::build(
            &ProofContent {
                did: &did,
                inception: Some(&self.did.inception),
                staple: &town.world.ledger.answer(&did_key(BY, &did.id)),
                key_index: 0,
                audience: &request.client_id,
                nonce: &request.nonce,
                now_s: now_ms() / 1000,
                shown_hash: did_proof::shown_hash(pass.as_deref(), pid),
                batch: None,
            },
            &self.did.current,
        )
        .unwrap();
        let answer = vp::Answer {
            pass: pass.as_deref(),
            pid,
            mdoc: None,
            did_proof: Some(&proof),
        };
        vp::response_form(request, &answer, &[9; 44]).unwrap()
    }
}

/// Somebody's answer with their RealPass and DID, and what stands in the place of the PID.
pub(super) fn answer_with(town: &Town, request: &CheckedRequest, pid: &str) -> String {
    let wallet = Wallet::of(&town.world.did, Some((epoch(town), 1)));
    wallet.answer_showing(town, request, Some(pid))
}

impl Town {
    /// A whole login; answers the ID token's claims, or the code of the refusal.
    async fn log_in(&self, wallet: Wallet<'_>) -> Result<Value, String> {
        let (started, cookie) = self.start().await;
        let request = self.fetch(&started).await;
        let answer = wallet.answer(self, &request);
        let response = self.post(&request.response_uri, answer).await;
        if response.status() != 200 {
            return Err(code_of(response).await);
        }
        Ok(self.finish(json_of(response).await, &cookie).await)
    }

    /// The browser comes back, and the website redeems the code.
    async fn finish(&self, answer: Value, cookie: &str) -> Value {
        let uri = answer["redirect_uri"].as_str().unwrap();
        let back = self.get(uri, &[("cookie", cookie)]).await;
        let location = url::Url::parse(back.headers()["location"].to_str().unwrap()).unwrap();
        let code = location.query_pairs().find(|(name, _)| name == "code");
        let form = form(&[
            ("grant_type", "authorization_code"),
            ("code", &code.unwrap().1),
            ("redirect_uri", REDIRECT),
            ("client_id", "shop"),
            ("client_secret", SECRET),
            (
                "code_verifier",
                "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
            ),
        ]);
        let tokens = json_of(self.post("/token", form).await).await;
        let token = tokens["id_token"].as_str().unwrap().to_owned();
        let token = realdid_credential::jose::decode_unverified(&token).unwrap();
        Value::Object(token.claims().unwrap())
    }
}

#[tokio::test]
async fn p5_one_person_has_one_subject_whatever_did_they_bring() {
    let town = town_of_persons(&[], "login");
    let now = epoch(&town);
    let (first, second, other) = (world::did(5), world::did(6), world::did(7));
    let login = town
        .log_in(Wallet::of(&first, Some((now, 1))))
        .await
        .unwrap();
    assert_eq!(login["acr"], "https://realdid.org/acr/realpass");
    assert!(login.get("realpass").is_none(), "nothing was asked");
    let anew = town
        .log_in(Wallet::of(&second, Some((now, 1))))
        .await
        .unwrap();
    assert_eq!(anew["sub"], login["sub"], "another DID heals the account");
    let other = town
        .log_in(Wallet::of(&other, Some((now, 2))))
        .await
        .unwrap();
    assert_ne!(other["sub"], login["sub"]);
    // The same secrets in another epoch's RealPass: the same person.
    let skew = town
        .world
        .ledger
        .genesis
        .parameters
        .pass_stands(now - 1, now_ms());
    if skew {
        let before = Wallet::of(&first, Some((now - 1, 1)));
        assert_eq!(town.log_in(before).await.unwrap()["sub"], login["sub"]);
    }
}

#[tokio::test]
async fn a_did_alone_opens_its_account_until_another_takes_its_place() {
    let town = town_of_persons(&[], "login");
    let now = epoch(&town);
    let (first, second) = (world::did(5), world::did(6));
    let alone = |did| Wallet::of(did, None);

    // Nobody knows the DID yet: the same request stays open for the whole.
    let (started, cookie) = town.start().await;
    let request = town.fetch(&started).await;
    assert!(request.asked.did_alone);
    let body = alone(&first).answer(&town, &request);
    let refused = town.post(&request.response_uri, body).await;
    assert_eq!(refused.status(), 400);
    assert_eq!(code_of(refused).await, "vp.pass_needed");
    let body = Wallet::of(&first, Some((now, 1))).answer(&town, &request);
    let taken = town.post(&request.response_uri, body.clone()).await;
    assert_eq!(taken.status(), 200);
    let again = town.post(&request.response_uri, body).await;
    assert_eq!(code_of(again).await, "vp.replayed");
    let login = town.finish(json_of(taken).await, &cookie).await;

    let back = town.log_in(alone(&first)).await.unwrap();
    assert_eq!(back["sub"], login["sub"]);
    assert_eq!(back["acr"], login["acr"]);
    // A new DID of the same person: the old one alone opens nothing any more.
    town.log_in(Wallet::of(&second, Some((now, 1))))
        .await
        .unwrap();
    assert_eq!(
        town.log_in(alone(&first)).await,
        Err("vp.pass_needed".to_owned())
    );
    assert_eq!(
        town.log_in(alone(&second)).await.unwrap()["sub"],
        login["sub"]
    );
    // When the epoch is over, nobody is known.
    town.gate.inner.sweep(now_ms() / 1000 + 61);
    assert_eq!(
        town.log_in(alone(&second)).await,
        Err("vp.pass_needed".to_owned())
    );
}

#[tokio::test]
async fn facts_are_asked_of_the_realpass_and_then_no_did_alone_is_enough() {
    let town = town_of_persons(&["realpass.adult"], "age");
    let now = epoch(&town);
    let did = world::did(5);
    let login = town.log_in(Wallet::of(&did, Some((now, 1)))).await.unwrap();
    assert_eq!(login["realpass"], json!({"adult": "yes"}));
    let (started, _) = town.start().await;
    let request = town.fetch(&started).await;
    assert!(!request.asked.did_alone);
    assert_eq!(
        town.log_in(Wallet::of(&did, None)).await,
        Err("vp.incomplete".to_owned())
    );
}

#[tokio::test]
async fn a_realpass_that_does_not_stand_is_refused_by_name() {
    let mut town = town_of_persons(&[], "login");
    let now = epoch(&town);
    let did = world::did(5);
    let good = Wallet::of(&did, Some((now, 1)));
    let refused = async |town: &Town, wallet: Wallet<'_>| town.log_in(wallet).await.unwrap_err();
    let of_epoch = |epoch| Wallet::of(&did, Some((epoch, 1)));
    for epoch in [now - 2, now + 2] {
        assert_eq!(refused(&town, of_epoch(epoch)).await, "realpass.epoch");
    }
    // Proved absent, and one that has no RealPass key.
    let nobody = Wallet {
        issuer: "https://nobody.example",
        ..good
    };
    assert_eq!(refused(&town, nobody).await, "light.stale");
    let registrar = Wallet {
        issuer: REGISTRAR,
        ..good
    };
    assert_eq!(refused(&town, registrar).await, "credential.kid_unknown");
    let elsewhere = Wallet {
        service: Hash32([0x52; 32]),
        ..good
    };
    assert_eq!(refused(&town, elsewhere).await, "realpass.proof");

    // One that was made for another login, and one whose DID is not the one beside it.
    let (started, _) = town.start().await;
    let request = town.fetch(&started).await;
    let (other, _) = town.start().await;
    let other = town.fetch(&other).await;
    let mut moved = request.clone();
    moved.nonce = other.nonce.clone();
    let body = good.answer(&town, &moved);
    let answer = town.post(&request.response_uri, body).await;
    assert_eq!(code_of(answer).await, "did.proof_nonce");

    // Then the authority itself loses its standing: neither a RealPass nor a DID alone is enough.
    town.log_in(good).await.unwrap();
    assert!(town.log_in(Wallet::of(&did, None)).await.is_ok());
    town.world.now_ms = now_ms();
    town.world
        .change_issuer(AUTHORITY, |issuer| issuer.standing = Standing::Suspended);
    town.learn();
    for wallet in [good, Wallet::of(&did, None)] {
        assert_eq!(refused(&town, wallet).await, "credential.issuer_suspended");
    }
}

#[tokio::test]
async fn many_at_once_are_each_judged_by_their_own_proof() {
    let town = town_of_persons(&[], "login");
    let now = epoch(&town);
    let dids: Vec<TestDid> = (20..28).map(world::did).collect();
    let login = async |n: usize| {
        let honest = Wallet::of(&dids[n], Some((now, n as u64)));
        let false_one = Wallet {
            service: Hash32([0x52; 32]),
            ..honest
        };
        town.log_in(if n == 3 { false_one } else { honest }).await
    };
    let all = futures_of((0..dids.len()).map(login)).await;
    let mut subjects = std::collections::BTreeSet::new();
    for (n, outcome) in all.into_iter().enumerate() {
        if n == 3 {
            assert_eq!(outcome, Err("realpass.proof".to_owned()));
        } else {
            subjects.insert(outcome.unwrap()["sub"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(subjects.len(), dids.len() - 1);
}

/// Awaits all together.
async fn futures_of<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    use std::task::Poll;
    let mut all: Vec<_> = all.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut open = false;
        for (future, outcome) in &mut all {
            if outcome.is_none() {
                match future.as_mut().poll(context) {
                    Poll::Ready(ready) => *outcome = Some(ready),
                    Poll::Pending => open = true,
                }
            }
        }
        if open { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    all.into_iter().filter_map(|(_, outcome)| outcome).collect()
}
