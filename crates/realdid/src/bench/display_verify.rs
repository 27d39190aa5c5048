//! `display_verify`: badges checked as any visitor's machine does it, with the ledger's proof of their status.
//!
//! Two hundred badges stand on the ledger of a real validator, each of another person. A check reads the
//! badge's JSON, proves display and service against the newest checkpoint, verifies the three signatures
//! and holds the place against what was signed. What all badges under one checkpoint share is proved once,
//! before, as a gate does: the certificate, and the records of issuer and registrar.

use super::network::Committee;
use super::traffic::{self, Traffic};
use super::{Measured, broken, clock, signatures};
use crate::fail::Fail;
use crate::nation::now_ms;
use realdid_core::answer::StateAnswer;
use realdid_core::did::commitment;
use realdid_core::hash::Hash32;
use realdid_core::operation::Show;
use realdid_core::state::{
    Issuer, IssuerKey, KeyStatus, KeyUse, display_key, issuer_key, service_key,
};
use realdid_core::suite::{SecretKey, Suite};
use realdid_core::trie::Key;
use realdid_credential::jose::{Jwk, SigningKey};
use realdid_credential::pid;
use realdid_credential::sd_jwt::{self, ParsedSdJwt};
use realdid_exchange::display::{self, Badge, Handle, Kind, Place, Records, Terms};
use realdid_exchange::registration::{self, Purpose, Registration};
use realdid_light::http::NodeClient;
use realdid_light::{Freshness, LightClient};
use serde_json::json;
use std::time::Duration;
use url::Url;

/// Badges that are checked in turn.
const BADGES: u64 = 200;
const WAIT: Duration = Duration::from_secs(60);
/// Signatures of a badge: of the PID's issuer, of the person, of the platform's registrar.
const SIGNATURES: f64 = 3.0;

pub async fn measure() -> Result<Measured, Fail> {
    let mut traffic = Traffic::new()?;
    let pid_key = traffic::key("pid", 0, Suite::P256)?;
    traffic.issuer.keys.push(IssuerKey {
        usage: KeyUse::Pid,
        key: pid_key.public(),
        status: KeyStatus::Active,
        since: 0,
    });
    let node = Committee::start(&traffic, 1).await?;
    let shown = shown(&traffic, &node, &pid_key).await?;
    drop(node);
    let ours = tokio::task::block_in_place(|| shown.rate())?;
    let limit =
        tokio::task::block_in_place(|| signatures::verifying(clock::length() / 2))? / SIGNATURES;
    Ok(Measured {
        id: "display_verify",
        workload: "200 badges in turn, each read from JSON and checked with the ledger's proofs of display and service against \
                   one checkpoint, three P-256 signatures, and the place where it is seen; issuer and registrar are proved once"
            .into(),
        unit: "badges/cpu-s",
        ours,
        limit: Some("its signature checks alone: 3 P-256 verifications with ready keys"),
        limit_value: Some(limit),
        goal: Some("limit_ratio >= 0.6"),
    })
}

/// What a visitor has: badges, and the ledger's answers about them.
struct Shown {
    light: LightClient,
    badges: Vec<(Vec<u8>, StateAnswer, String)>,
    /// Of the PIDs and the registration, proved.
    issuer: Issuer,
    service: StateAnswer,
    address: Url,
}

impl Shown {
    fn rate(&self) -> Result<f64, Fail> {
        let freshness = freshness();
        clock::rate(clock::length(), self.badges.len(), |_| {
            for (bytes, answer, handle) in &self.badges {
                self.check(bytes, answer, handle, &freshness)?;
            }
            Ok(())
        })
    }

    fn check(
        &self,
        bytes: &[u8],
        answer: &StateAnswer,
        handle: &str,
        freshness: &Freshness,
    ) -> Result<(), Fail> {
        let badge = Badge::parse(std::hint::black_box(bytes))?;
        let [issuer_id, registrar_id] = badge.issuers(self.light.hash_function());
        let claimed = badge.claimed();
        let display = self.light.display(&claimed.digest, answer, freshness)?;
        let service = self
            .light
            .service(&claimed.terms.service, &self.service, freshness)?;
        let known = |id: &Hash32| Some(&self.issuer).filter(|issuer| issuer.has_id(id));
        let records = Records {
            network: &self.light.genesis().network,
            issuer: known(&issuer_id),
            registrar: known(&registrar_id),
            service: service.value.as_ref(),
            display: display.value.as_ref(),
        };
        let place = Place {
            handle: Some(handle),
            address: Some(&self.address),
        };
        let verified = display::verify(&badge, &place, &records, freshness.now_ms / 1000)?;
        std::hint::black_box(verified);
        Ok(())
    }
}

fn freshness() -> Freshness {
    Freshness {
        now_ms: now_ms(),
        max_age_ms: 3_600_000,
        max_lag_slots: 1_000,
    }
}

async fn shown(traffic: &Traffic, node: &Committee, pid_key: &SecretKey) -> Result<Shown, Fail> {
    let client = NodeClient::new(node.urls())?;
    let service = traffic::bytes("platform of the bench", 0);
    let jwt = registration(traffic, service)?;
    let registered = traffic.register_as(service, registration::digest(&jwt));
    // First come, first served, but a display needs its service.
    client
        .wait(&client.submit(&registered).await?, WAIT)
        .await?;
    let mut badges = Vec::new();
    let mut last = None;
    for n in 0..BADGES {
        let badge = badge(traffic, service, &jwt, pid_key, n)?;
        let claimed = badge.claimed();
        let show = Show {
            issuer: traffic.issuer.id(traffic.network.hash_function()),
            service,
            digest: claimed.digest,
            withdrawal: claimed.withdrawal,
        };
        last = Some(client.submit(&traffic.display(show)).await?);
        badges.push(badge);
    }
    let last = last.ok_or_else(|| broken("there are badges"))?;
    let height = client.wait(&last, WAIT).await?;
    let by = traffic.network.hash_function();
    let ask = async |key: Key| -> Result<StateAnswer, Fail> {
        Ok(client.state_at_least(&key, height, WAIT).await?)
    };
    let mut seen = Vec::new();
    for badge in &badges {
        let claimed = badge.claimed();
        let answer = ask(display_key(by, &claimed.digest)).await?;
        let handle = claimed.terms.handle.as_str().to_owned();
        seen.push((badge.to_json().to_string().into_bytes(), answer, handle));
    }
    let issuer = ask(issuer_key(by, &traffic.issuer.id(by))).await?;
    let service = ask(service_key(by, &service)).await?;
    // All under one checkpoint: what was fetched before the newest slot is fetched again.
    let newest = &service.checkpoint.header;
    for (badge, (_, answer, _)) in badges.iter().zip(&mut seen) {
        if answer.checkpoint.header != *newest {
            *answer = ask(display_key(by, &badge.claimed().digest)).await?;
        }
    }
    let mut light = LightClient::new(node.genesis.clone());
    light.advance(&service.checkpoint)?;
    let freshness = freshness();
    let issuer = light
        .issuer(&traffic.issuer.id(by), &issuer, &freshness)?
        .value;
    let issuer = issuer.ok_or_else(|| broken("the issuer is on the ledger"))?;
    Ok(Shown {
        light,
        badges: seen,
        issuer,
        service,
        address: Url::parse("https://stage.example/").map_err(Fail::of)?,
    })
}

fn registration(traffic: &Traffic, service_id: Hash32) -> Result<String, Fail> {
    let gate = SigningKey::p256(traffic::key("gate", 0, Suite::P256)?.seed()).map_err(Fail::of)?;
    let now_s = now_ms() / 1000;
    let registration = Registration {
        registrar: traffic.issuer.url.clone(),
        service_id,
        cnf: Jwk(gate.verifying_key()),
        domains: vec!["stage.example".to_owned()],
        purposes: vec![Purpose::RealName],
        claims: Kind::Person.paths(),
        name: "Bench".to_owned(),
        sandbox: false,
        issued_at_s: now_s - 1,
        expires_s: now_s + 3600,
        jti: [7; 16],
    };
    let key = traffic::key("registration", 0, Suite::P256)?;
    let id = commitment(&key.public());
    let key = SigningKey::p256(key.seed()).map_err(Fail::of)?;
    registration.sign(&id, &key).map_err(Fail::of)
}

/// The `n`th person's badge.
fn badge(
    traffic: &Traffic,
    service: Hash32,
    registration: &str,
    pid_key: &SecretKey,
    n: u64,
) -> Result<Badge, Fail> {
    let holder = traffic::key("holder", n, Suite::P256)?;
    let holder = SigningKey::p256(holder.seed()).map_err(Fail::of)?;
    let claims = json!({
        "given_name": "Wei", "family_name": "Li", "birthdate": "1990-03-07", "sex": 1,
        "nationalities": ["CN"], "address": {"region": "East"}, "issuing_country": "CN",
    });
    let now_s = now_ms() / 1000;
    let terms = sd_jwt::Terms {
        iss: &traffic.issuer.url,
        vct: pid::VCT,
        kid: &commitment(&pid_key.public()).to_string(),
        iat_s: now_s - 60,
        exp_s: now_s + 3600,
        x5c: &[],
    };
    let mut drawn = 0;
    let copy = sd_jwt::issue(
        claims
            .as_object()
            .ok_or_else(|| broken("claims are an object"))?,
        &[],
        &terms,
        &Jwk(holder.verifying_key()),
        &SigningKey::p256(pid_key.seed()).map_err(Fail::of)?,
        &mut || {
            drawn += 1;
            let mut salt = [0; 16];
            salt.copy_from_slice(&traffic::bytes("salt", n * 100 + drawn).0[..16]);
            salt
        },
    );
    let copy = ParsedSdJwt::parse(&copy.map_err(Fail::of)?).map_err(Fail::of)?;
    let terms = Terms {
        network: traffic.network.clone(),
        service,
        handle: Handle::parse(&format!("person.{n}")).map_err(Fail::of)?,
        kind: Kind::Person,
        expires_s: now_s + 3600,
    };
    let salt = traffic::bytes("display", n).0;
    let withdrawal = traffic::bytes("withdrawal", n);
    let shown = display::show(&copy, &terms, &salt, &withdrawal, now_s, &holder)?;
    Ok(Badge::new(shown, registration.to_owned())?)
}
