//! `pass_refresh_http`: whole refreshes of RealPasses at two authority processes on one PostgreSQL,
//! over HTTP on loopback.
//!
//! This process plays the wallets, and does not count; the two authority processes do. What the
//! database takes beside them is told on standard error. People are put into the database at once
//! and not enrolled one by one, all with one wallet's commitment: an authority cannot tell the cost
//! of that from anybody else's. Each refreshes once, so each is counted anew. The database waits
//! for the disk as it does by default.

use super::network::{AuthorityProcess, RunningNation, http};
use super::{Measured, broken, clock};
use crate::fail::Fail;
use crate::nation::{now_ms, seeded};
use futures::future::try_join_all;
use realdid_authority::scratch::Postgres;
use realdid_core::genesis::Genesis;
use realdid_exchange::oidc::Accounts;
use realdid_exchange::vci::{PassAnswer, PassRequest};
use realdid_pass::facts::{Adult, Assurance, Continuity, FACTS, Facts, Kind, Region};
use realdid_pass::{IssuerKey, PseudonymSecrets, Request};
use reqwest::StatusCode;
use serde::Deserialize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How many people there are; none refreshes twice.
const PEOPLE: usize = 20_000;
/// How an authority refuses somebody whom the register does not know as living.
const NOT_ACTIVE: &str = r#""code":"enrolment.suspended""#;
/// Refreshes under way at a time.
const PARALLEL: usize = 16;

pub async fn measure() -> Result<Measured, Fail> {
    let running = RunningNation::start(Accounts::Did).await?;
    let folder = super::apply::folder()?;
    let database = |error| {
        Fail::machine(
            "bench.postgres",
            &format!("{error}"),
            "apt-get install postgresql",
        )
    };
    let server = Postgres::start(folder.path(), true).map_err(database)?;
    let url = server.database("authority").map_err(database)?;
    let people = PEOPLE.to_string();
    let environment = [
        ("REALDID_AUTHORITY_STORE__URL", url.as_str()),
        ("REALDID_AUTHORITY_REGISTER__RESIDENTS", people.as_str()),
        ("REALDID_AUTHORITY_SUPERVISED", "true"),
    ];
    let processes = [
        AuthorityProcess::start(&running, &environment).await?,
        AuthorityProcess::start(&running, &environment).await?,
    ];
    let secrets = PseudonymSecrets::from_seed(&[7; 32]);
    let mut drawn = seeded()?;
    let request = secrets.request(&mut drawn).map_err(Fail::of)?;
    server
        .sql("authority", &seed(&request.commitment()))
        .map_err(database)?;
    let genesis = std::fs::read(running.nation.dir.join("genesis.cbor"));
    let genesis = genesis
        .ok()
        .and_then(|bytes| Genesis::decode(&bytes).ok())
        .ok_or_else(|| broken("a nation has a genesis"))?;
    let scene = Scene {
        urls: [processes[0].url.clone(), processes[1].url.clone()],
        request,
        genesis,
        next: AtomicUsize::new(1),
    };
    let length = clock::length();
    scene.load(length / 4).await?;
    let used = || -> Result<(f64, f64), Fail> {
        let ours = processes[0].cpu_s()? + processes[1].cpu_s()?;
        Ok((ours, clock::of_children(server.pid())?))
    };
    let before = used()?;
    let refreshes = scene.load(length).await?;
    let after = used()?;
    let ours = refreshes as f64 / (after.0 - before.0);
    eprintln!(
        "PostgreSQL took {:.2} cpu-s beside {:.2} of the two authority processes, for {refreshes} refreshes",
        after.1 - before.1,
        after.0 - before.0,
    );
    drop((processes, server, running));
    Ok(Measured {
        id: "pass_refresh_http",
        workload: "a whole refresh of a RealPass over HTTP on loopback, 16 at a time, each by another person: access token by \
                   refresh token, proof of the commitment verified, facts looked up and coarsened, signature, counted durably; \
                   two authority processes on one PostgreSQL; the two processes".into(),
        unit: "refreshes/cpu-s",
        ours,
        limit: Some(
            "its cryptography alone: the request read, its proof verified, 6 messages signed",
        ),
        limit_value: Some(tokio::task::block_in_place(|| issuing(&scene.request))?),
        goal: Some("ours >= 500"),
    })
}

/// Refreshes a second of processor time if an authority did nothing but their cryptography.
fn issuing(request: &Request) -> Result<f64, Fail> {
    let key = IssuerKey::from_material(&[9; 32], b"bench", FACTS).map_err(Fail::of)?;
    let mut drawn = seeded()?;
    let kept = key.enrol(&mut drawn, request).map_err(Fail::of)?;
    let facts = Facts {
        epoch: 1,
        adult: Adult::Yes,
        region: Region::East,
        kind: Kind::Resident,
        assurance: Assurance::Substantial,
        continuity: Continuity::Unbroken,
    };
    let bytes = request.to_bytes();
    clock::rate(clock::length() / 2, 10, |_| {
        for _ in 0..10 {
            let request = Request::from_bytes(std::hint::black_box(&bytes)).map_err(Fail::of)?;
            let messages = facts.messages().map_err(Fail::of)?;
            key.issue(&request, &kept, &messages).map_err(Fail::of)?;
        }
        Ok(())
    })
}

/// Enrolments of the synthetic residents with a refresh token each, and what is kept of them.
fn seed(commitment: &[u8; 48]) -> String {
    // Version, commitment, entropy 7 (spec/realpass.md, B17).
    let kept = [&[1][..], commitment, &[0; 31], &[7]].concat();
    format!(
        "CREATE TEMPORARY TABLE people AS SELECT n, 'r-' ||
             CASE WHEN n < 10000 THEN lpad(n::text, 4, '0') ELSE n::text END AS person
         FROM generate_series(1, {PEOPLE}) AS n;
         INSERT INTO enrolments SELECT person, sha256(('tag' || n)::bytea), 0, 1, 0, 'none', 1, 0
         FROM people;
         INSERT INTO tokens (hash, kind, person, generation, expires_s, jkt, granted, named)
         SELECT sha256(('refresh-' || n)::bytea), 2, person, 1, 4102444800, '', '', 0
         FROM people;
         INSERT INTO kept SELECT person, '\\x{}'::bytea, 0, 0 FROM people;
         ANALYZE;",
        hex::encode(kept)
    )
}

#[derive(Deserialize)]
struct Token {
    access_token: String,
}

/// The people who refresh.
struct Scene {
    urls: [String; 2],
    request: Request,
    genesis: Genesis,
    next: AtomicUsize,
}

impl Scene {
    /// Refreshes for `length`, or until everybody has; answers how often.
    async fn load(&self, length: Duration) -> Result<usize, Fail> {
        let until = Instant::now() + length;
        let worker = async |worker: usize| -> Result<usize, Fail> {
            let client = http()?;
            let url = &self.urls[worker % 2];
            let mut done = 0;
            while Instant::now() < until {
                let person = self.next.fetch_add(1, Ordering::Relaxed);
                if person > PEOPLE {
                    break;
                }
                done += usize::from(self.refresh(person, url, &client).await?);
            }
            Ok(done)
        };
        let workers = (0..PARALLEL).map(worker);
        Ok(try_join_all(workers).await?.iter().sum())
    }

    /// Whether this person got a RealPass. The third resident has died, and where two residents were
    /// drawn with one number the register knows one of them: these are refused, and do not count.
    async fn refresh(
        &self,
        person: usize,
        url: &str,
        http: &reqwest::Client,
    ) -> Result<bool, Fail> {
        let form = format!("grant_type=refresh_token&refresh_token=refresh-{person}");
        let post = http
            .post(format!("{url}/token"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        let (_, token) = answer(post).await?;
        let token: Token = serde_json::from_str(&token).map_err(|_| no_answer())?;
        // The next epoch's, ahead of time, as wallets do.
        let epoch = self.genesis.parameters.epoch_at(now_ms()) + 1;
        let body = PassRequest {
            epoch,
            request: self.request.clone(),
        };
        let post = http
            .post(format!("{url}/credential"))
            .bearer_auth(token.access_token)
            .header("content-type", "application/json")
            .body(body.to_body().to_string());
        let (status, answer) = answer(post).await?;
        if status == StatusCode::BAD_REQUEST && answer.contains(NOT_ACTIVE) {
            return Ok(false);
        }
        PassAnswer::parse(answer.as_bytes(), epoch).map_err(Fail::of)?;
        Ok(true)
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Result<(StatusCode, String), Fail> {
    let answer = request.send().await.map_err(|_| no_answer())?;
    let status = answer.status();
    Ok((status, answer.text().await.map_err(|_| no_answer())?))
}

fn no_answer() -> Fail {
    broken("an authority answers each step of a refresh")
}
