//! People of another network: the gate and its service are of the network `home`, person and authority
//! of the network `dev`.

use super::*;
use realdid_core::genesis::Genesis;
use realdid_core::governance::{Accepted, Assurance, CredentialType, Recognised, Recognition};
use realdid_core::state::{ReasonCode, recognition_key};
use realdid_testkit::chain::TestLedger;

/// A town on the network `home` that follows `dev` too, whose ledger is the world's.
pub(super) struct Border {
    pub(super) town: Town,
    pub(super) home: TestLedger,
    recognition: Recognition,
}

fn accepts(kind: CredentialType, least: Assurance) -> Accepted {
    Accepted { kind, least }
}

fn recognition(of: &Genesis) -> Recognition {
    let recognised = Recognised {
        network: of.network.clone(),
        genesis: of.digest(),
        network_key: of.network_key,
        accepts: vec![
            accepts(CredentialType::Pid, Assurance::Substantial),
            accepts(CredentialType::RealPass, Assurance::Substantial),
        ],
        begins: None,
    };
    Recognition::of(recognised, ReasonCode::Scheduled)
}

fn open_at_border(folder: &Path) -> Gate {
    open_asking(folder, Accounts::Person, &[], "login")
}

fn open_asking(folder: &Path, accounts: Accounts, claims: &[&str], purpose: &str) -> Gate {
    let mut config = config_of(folder, accounts, claims, purpose);
    config.genesis = folder.join("home.cbor");
    config.recognised = vec![OtherNetwork {
        genesis: folder.join("genesis.cbor"),
        nodes: vec!["http://127.0.0.1:1".to_owned()],
    }];
    Gate::open(&config, ISSUER.to_owned()).unwrap()
}

impl Border {
    fn new() -> Self {
        Self::asking(&[], "login")
    }

    pub(super) fn asking(claims: &[&str], purpose: &str) -> Self {
        Self::with(Accounts::Person, claims, purpose)
    }

    fn with(accounts: Accounts, claims: &[&str], purpose: &str) -> Self {
        let town = town_with(0, |folder| {
            let registrar = {
                let world = World::new(
                    now_ms(),
                    init_gate(&folder.join("gate"), realdid_core::suite::Suite::P256)
                        .unwrap()
                        .request,
                    &registered(),
                );
                world.issuer(REGISTRAR)
            };
            let home = TestLedger::named("home", 17, now_ms() - 60_000, vec![registrar]);
            std::fs::write(folder.join("home.cbor"), home.genesis.encode()).unwrap();
            open_asking(folder, accounts, claims, purpose)
        });
        let genesis = town
            .gate
            .inner
            .trust
            .home
            .snapshot()
            .light
            .genesis()
            .clone();
        let mut home = TestLedger::named("home", 17, genesis.time_ms, genesis.issuers.clone());
        home.set(
            service_key(BY, &SERVICE_ID),
            Some(codec::encode(&town.world.service())),
            now_ms(),
        );
        let recognition = recognition(&town.world.ledger.genesis);
        let mut border = Self {
            town,
            home,
            recognition,
        };
        border.decide(|_| {});
        border
    }

    /// Governance of `home` decides; the gate hears of it.
    fn decide(&mut self, change: impl FnOnce(&mut Recognition)) {
        change(&mut self.recognition);
        let record = Some(codec::encode(&self.recognition));
        self.home.set(recognition_key(BY, "dev"), record, now_ms());
        self.learn();
    }

    /// What the followers of both networks would do.
    fn learn(&self) {
        let inner = &self.town.gate.inner;
        let trust = &inner.trust;
        let now = now_ms();
        let own = self.home.answer(&service_key(BY, &SERVICE_ID));
        trust.learn_service(own, now).unwrap();
        let id = issuer_id(BY, REGISTRAR);
        let registrar = self.home.answer(&issuer_key(BY, &id));
        trust.home.learn_issuer(&id, registrar, now).unwrap();
        let dev = "dev".parse().unwrap();
        let neighbour = inner.abroad.neighbour(&dev).unwrap();
        let word = self.home.answer(&recognition_key(BY, "dev"));
        neighbour.learn(&trust.home, word).unwrap();
        let id = issuer_id(BY, AUTHORITY);
        let theirs = self.town.world.ledger.answer(&issuer_key(BY, &id));
        neighbour.view.learn_issuer(&id, theirs, now).unwrap();
    }

    /// What somebody from `dev` gets; `shows` is how their wallet reads the request.
    pub(super) async fn log_in(
        &self,
        wallet: Wallet<'_>,
        shows: impl FnOnce(CheckedRequest) -> CheckedRequest,
    ) -> Result<Value, String> {
        let answer = |request: &CheckedRequest| wallet.answer(&self.town, request);
        self.answered(shows, answer).await
    }

    async fn answered(
        &self,
        shows: impl FnOnce(CheckedRequest) -> CheckedRequest,
        answer: impl FnOnce(&CheckedRequest) -> String,
    ) -> Result<Value, String> {
        let (started, cookie) = self.town.start().await;
        let link = WalletLink::parse(started["wallet_link"].as_str().unwrap()).unwrap();
        let response = self.town.get(&link.request_uri, &[]).await;
        let request = ClaimedRequest::parse(&text_of(response).await).unwrap();
        assert_eq!(request.network(), "home");
        let evidence = RequestEvidence {
            network: "home",
            registrar: Some(&self.town.world.issuer(REGISTRAR)),
            service: Some(&self.town.world.service()),
            now_s: now_ms() / 1000,
            wallet_nonce: None,
        };
        let request = shows(request.check(&link, &evidence).unwrap());
        let body = answer(&request);
        let response = self.town.post(&request.response_uri, body).await;
        if response.status() != 200 {
            return Err(code_of(response).await);
        }
        Ok(self.town.finish(json_of(response).await, &cookie).await)
    }

    async fn refused(&self, wallet: Wallet<'_>) -> String {
        let outcome = self.log_in(wallet, CheckedRequest::abroad).await;
        outcome.unwrap_err()
    }
}

#[tokio::test]
async fn somebody_of_a_recognised_network_signs_in_and_only_the_gate_sees_the_assurance() {
    let border = Border::new();
    let now = epoch(&border.town);
    let (first, second, other) = (world::did(5), world::did(6), world::did(7));
    let login = async |did, n| {
        let wallet = Wallet::of(did, Some((now, n)));
        border.log_in(wallet, CheckedRequest::abroad).await
    };
    let entered = login(&first, 1).await.unwrap();
    assert_eq!(entered["acr"], "https://realdid.org/acr/realpass");
    assert!(entered.get("realpass").is_none(), "nothing was asked");
    assert_eq!(login(&second, 1).await.unwrap()["sub"], entered["sub"]);
    assert_ne!(login(&other, 2).await.unwrap()["sub"], entered["sub"]);
    // Its assurance unsaid, a RealPass is worth nothing here; nor is a DID that was here before.
    let whole = Wallet::of(&first, Some((now, 1)));
    let unsaid = border.log_in(whole, |request| request).await;
    assert_eq!(unsaid.unwrap_err(), "realpass.fact_missing");
    let alone = border.log_in(Wallet::of(&first, None), |request| request);
    assert_eq!(alone.await.unwrap_err(), "vp.incomplete");
}

#[tokio::test]
async fn a_pid_of_a_recognised_network_is_taken_at_an_assurance_that_is_accepted() {
    let mut border = Border::with(Accounts::Did, &["age_equal_or_over.18"], "age");
    let enter = async |border: &Border, assurance: Option<&str>| {
        let world = &border.town.world;
        let mut claims = json!({"age_equal_or_over": {"18": true}});
        if let Some(assurance) = assurance {
            claims["assurance"] = assurance.into();
        }
        let until_s = now_ms() / 1000 + 60;
        let pid = world.pid_saying(&claims, AUTHORITY, &world.authority_key, until_s);
        let answer = |request: &CheckedRequest| {
            let (pid, proof) = border.town.presentations_of(&pid, request);
            vp::response_form(request, &shown(&pid, &proof), &[9; 44]).unwrap()
        };
        border.answered(CheckedRequest::abroad, answer).await
    };
    let login = enter(&border, Some("high")).await.unwrap();
    assert_eq!(login["age_equal_or_over"], json!({"18": true}));
    assert!(login.get("assurance").is_none(), "nobody asked for it");
    let again = enter(&border, Some("substantial")).await.unwrap();
    assert_eq!(again["sub"], login["sub"]);
    let refused = enter(&border, Some("low")).await.unwrap_err();
    assert_eq!(refused, "recognition.unaccepted");

    border.decide(|known| {
        known.recognised.accepts = vec![accepts(CredentialType::RealPass, Assurance::Low)];
    });
    let refused = enter(&border, Some("high")).await.unwrap_err();
    assert_eq!(refused, "recognition.unaccepted");
    border.decide(|known| known.standing = Standing::Suspended);
    let refused = enter(&border, Some("high")).await.unwrap_err();
    assert_eq!(refused, "recognition.suspended");
}

#[tokio::test]
async fn what_is_not_recognised_is_refused_by_name_and_home_goes_on() {
    let mut border = Border::new();
    let now = epoch(&border.town);
    let did = world::did(5);
    let wallet = Wallet::of(&did, Some((now, 1)));
    let enter = async |border: &Border| border.log_in(wallet, CheckedRequest::abroad).await;
    assert!(enter(&border).await.is_ok());

    border.decide(|known| known.standing = Standing::Suspended);
    assert_eq!(border.refused(wallet).await, "recognition.suspended");
    let inner = &border.town.gate.inner;
    assert!(inner.registration(now_ms()).is_ok(), "home goes on");
    let reason = |reason| move |known: &mut Recognition| known.reason = reason;
    border.decide(reason(ReasonCode::Fork));
    assert_eq!(border.refused(wallet).await, "recognition.forked");
    border.decide(reason(ReasonCode::Cleared));
    border.decide(|known| known.standing = Standing::Active);
    assert!(enter(&border).await.is_ok());

    // High is accepted from high on, and a kind that is not listed is not accepted.
    let only = |kind, least| vec![accepts(kind, least)];
    border.decide(|known| {
        known.recognised.accepts = only(CredentialType::RealPass, Assurance::High);
    });
    assert!(enter(&border).await.is_ok());
    border.decide(|known| {
        known.recognised.accepts = only(CredentialType::Pid, Assurance::Low);
    });
    assert_eq!(border.refused(wallet).await, "recognition.unaccepted");

    border.decide(|known| known.recognised.genesis = Hash32([9; 32]));
    assert_eq!(border.refused(wallet).await, "recognition.other");

    // Proved to be none, and never heard of.
    border
        .home
        .set(recognition_key(BY, "dev"), None, now_ms() + 1);
    border.learn();
    assert_eq!(border.refused(wallet).await, "recognition.none");
    let third = TestLedger::named("third", 3, now_ms(), Vec::new());
    let network = &third.genesis.network;
    let inner = &border.town.gate.inner;
    let refused = inner.abroad.accepted(network, now_ms()).err();
    assert_eq!(refused, Some(Refusal::NETWORK_UNKNOWN));
    // P9: an old word about a network is none.
    let dev = "dev".parse().unwrap();
    let late = inner.abroad.accepted(&dev, now_ms() + 301_000).err();
    assert_eq!(late, Some(Refusal::STALE));
}

#[tokio::test]
async fn the_other_networks_own_ledger_says_who_of_its_people_stands() {
    let mut border = Border::new();
    let now = epoch(&border.town);
    let did = world::did(5);
    let wallet = Wallet::of(&did, Some((now, 1)));
    let record = |frozen| {
        let mut record = did.record(now_ms());
        record.frozen = frozen;
        Some(codec::encode(&record))
    };
    for (frozen, code) in [(false, None), (true, Some("did.frozen"))] {
        let ledger = &mut border.town.world.ledger;
        ledger.set(did.state_key(), record(frozen), now_ms());
        let outcome = border.log_in(wallet, CheckedRequest::abroad).await;
        assert_eq!(outcome.err().as_deref(), code);
    }
    // After a restart the gate goes on from what it has kept of both networks.
    let dev = "dev".parse().unwrap();
    let inner = &border.town.gate.inner;
    inner.trust.remember().await;
    inner.abroad.neighbour(&dev).unwrap().remember().await;
    let again = open_at_border(border.town.folder.path());
    let (neighbour, _) = again.inner.abroad.accepted(&dev, now_ms()).ok().unwrap();
    let view = &neighbour.view;
    let authority = view
        .issuer(&view.snapshot(), &issuer_id(BY, AUTHORITY), now_ms())
        .unwrap()
        .cloned();
    assert_eq!(authority, Some(border.town.world.issuer(AUTHORITY)));
    let sound = world::did(6);
    let sound = Wallet::of(&sound, Some((now, 1)));
    assert!(border.log_in(sound, CheckedRequest::abroad).await.is_ok());
    border.town.world.now_ms = now_ms();
    border
        .town
        .world
        .change_issuer(AUTHORITY, |issuer| issuer.standing = Standing::Suspended);
    border.learn();
    assert_eq!(border.refused(sound).await, "credential.issuer_suspended");
}

#[tokio::test]
async fn two_final_headers_of_one_height_close_the_border_and_are_kept() {
    let border = Border::new();
    let now = epoch(&border.town);
    let did = world::did(5);
    let wallet = Wallet::of(&did, Some((now, 1)));
    assert!(border.log_in(wallet, CheckedRequest::abroad).await.is_ok());
    let ledger = &border.town.world.ledger;
    let dev = "dev".parse().unwrap();
    let view = &border.town.gate.inner.abroad.neighbour(&dev).unwrap().view;
    let mut other = ledger.newest().clone();
    other.time_ms += 1;
    // Not of its validators: no evidence of anything.
    let mut forged = ledger.certify(&other);
    forged.certificate.0[50] ^= 1;
    assert!(view.advance(&forged).is_err());
    assert!(border.log_in(wallet, CheckedRequest::abroad).await.is_ok());

    let other = ledger.certify(&other);
    assert_eq!(view.advance(&other).unwrap_err().code(), "light.fork");
    assert_eq!(border.refused(wallet).await, "recognition.forked");
    let kept = border.town.folder.path().join("gate/ledger-dev/fork.cbor");
    let both = std::fs::read(kept).unwrap();
    assert_eq!(both, codec::encode(&(ledger.checkpoint(), other)));
    // A restart is no way out.
    let again = open_at_border(border.town.folder.path());
    let refused = again.inner.abroad.accepted(&dev, now_ms()).err();
    assert_eq!(refused, Some(Refusal::NETWORK_FORKED));
}

#[test]
fn a_network_is_followed_once_and_is_not_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    let border = Border::new();
    let town = &border.town;
    for genesis in [&border.home.genesis, &town.world.ledger.genesis] {
        let mut config = config_of(town.folder.path(), Accounts::Person, &[], "login");
        config.genesis = folder.path().join("home.cbor");
        std::fs::write(&config.genesis, border.home.genesis.encode()).unwrap();
        let other = folder.path().join("other.cbor");
        std::fs::write(&other, genesis.encode()).unwrap();
        let other = OtherNetwork {
            genesis: other,
            nodes: vec!["http://127.0.0.1:1".to_owned()],
        };
        config.recognised = vec![other; 2];
        let refused = Gate::open(&config, ISSUER.to_owned()).err().unwrap();
        assert_eq!(refused.code(), "gate.recognised");
    }
}
