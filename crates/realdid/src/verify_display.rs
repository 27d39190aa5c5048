//! `realdid verify-display`: a badge whose signatures and proofs were checked on this machine
//! (spec/displays.md, rules Y6 to Y9).
//!
//! The badge comes from anywhere, the records from any node, and neither is believed: what is trusted is a
//! genesis, as for `realdid resolve`.

use crate::cli::VerifyDisplayArgs;
use crate::fail::Fail;
use crate::nation::{Nation, no_http, now_ms};
use crate::resolve::{client, node, trusted};
use realdid_core::answer::StateAnswer;
use realdid_core::hash::Hash32;
use realdid_core::state::{display_key, issuer_key, service_key};
use realdid_core::trie::Key;
use realdid_exchange::display::{self, Badge, MAX_BADGE_BYTES, Place, Records};
use realdid_exchange::vp::VpError;
use realdid_light::Freshness;
use realdid_serve::files::FileError;
use serde_json::{Value, json};
use std::time::Duration;
use url::Url;

/// How long a node may take to have a sealed state.
const WAIT: Duration = Duration::from_secs(20);
/// How long the badge's server may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(15);

impl From<VpError> for Fail {
    fn from(error: VpError) -> Self {
        Self::part(
            error.code(),
            error.rule(),
            "whoever shows the badge",
            error.fix(),
        )
    }
}

/// A badge with what its address says of the place.
struct Seen {
    bytes: Vec<u8>,
    handle: Option<String>,
    address: Option<Url>,
}

pub async fn run(args: VerifyDisplayArgs) -> Result<Value, Fail> {
    let seen = match web_address(&args.badge) {
        Some(url) => fetch(&url).await?,
        None => read(&args.badge)?,
    };
    let badge = Badge::parse(&seen.bytes)?;
    let claimed = badge.claimed();
    let address = match &args.platform {
        Some(text) => Some(web_address(text).ok_or_else(|| {
            Fail::user(
                "display.address",
                "a platform is given by an http(s) address",
                "give one, such as https://platform.example",
            )
        })?),
        None => seen.address,
    };
    let nation = Nation::read(&args.nation.dir)?;
    let node = node(args.node.as_deref(), nation.as_ref())?;
    let network = &claimed.terms.network;
    let genesis = trusted(args.trust.as_deref(), network, nation.as_ref(), &node).await?;
    let by = genesis.hash_function();
    let mut light = client(genesis, &node).await?;
    let ask = async |key: Key| -> Result<StateAnswer, Fail> {
        Ok(node.state_at_least(&key, 0, WAIT).await?)
    };
    let [issuer_id, registrar_id] = badge.issuers(by);
    let service_id: Hash32 = claimed.terms.service;
    let answers = [
        ask(issuer_key(by, &issuer_id)).await?,
        ask(issuer_key(by, &registrar_id)).await?,
        ask(service_key(by, &service_id)).await?,
        ask(display_key(by, &claimed.digest)).await?,
    ];
    let freshness = Freshness {
        now_ms: now_ms(),
        max_age_ms: args.max_age.saturating_mul(1000),
        max_lag_slots: 1,
    };
    // Which slot is newest may change while four answers come.
    for answer in &answers {
        node.follow(&mut light, &answer.checkpoint).await?;
        light.advance(&answer.checkpoint)?;
    }
    let [issuer, registrar, service, display] = &answers;
    let shown = light.display(&claimed.digest, display, &freshness)?;
    let issuer = light.issuer(&issuer_id, issuer, &freshness)?.value;
    let registrar = light.issuer(&registrar_id, registrar, &freshness)?.value;
    let service = light.service(&service_id, service, &freshness)?.value;
    let records = Records {
        network: &light.genesis().network,
        issuer: issuer.as_ref(),
        registrar: registrar.as_ref(),
        service: service.as_ref(),
        display: shown.value.as_ref(),
    };
    let place = Place {
        handle: args.handle.as_deref().or(seen.handle.as_deref()),
        address: address.as_ref(),
    };
    let verified = display::verify(&badge, &place, &records, now_ms() / 1000)?;
    Ok(json!({
        "name": verified.name.text(),
        "kind": verified.terms.kind.code(),
        "handle": verified.terms.handle.as_str(),
        "platform": verified.platform,
        "domains": verified.domains,
        "sandbox": verified.sandbox,
        "network": verified.terms.network.as_str(),
        "service": service_id.to_string(),
        "issuer": verified.issuer,
        "made": verified.made_s,
        "until": verified.terms.expires_s,
        "digest": claimed.digest.to_string(),
        "height": shown.at.header.height,
        "ageSeconds": shown.age_ms / 1000,
    }))
}

fn web_address(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    matches!(url.scheme(), "http" | "https").then_some(url)
}

fn read(path: &str) -> Result<Seen, Fail> {
    let path = std::path::Path::new(path);
    let file = |error| FileError::of(path, &error);
    let length = std::fs::metadata(path).map_err(file)?.len();
    let bytes = if length > MAX_BADGE_BYTES as u64 {
        Vec::new()
    } else {
        std::fs::read(path).map_err(file)?
    };
    Ok(Seen {
        bytes,
        handle: None,
        address: None,
    })
}

/// The badge at its own address, which says where it is shown.
async fn fetch(url: &Url) -> Result<Seen, Fail> {
    let file = display::badge_address(url);
    let client = reqwest::Client::builder()
        .timeout(FETCH_TIMEOUT)
        .build()
        .map_err(|_| no_http())?;
    let unreachable = |_| {
        Fail::part(
            "display.unreachable",
            "the badge's address answers",
            "whoever shows the badge",
            "try again, or check a copy of the badge in a file",
        )
    };
    let mut answer = client.get(file.clone()).send().await.map_err(unreachable)?;
    if !answer.status().is_success() {
        return Err(of_problem(answer).await);
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_BADGE_BYTES {
            break;
        }
    }
    let handle = file
        .path_segments()
        .and_then(|parts| parts.rev().nth(1))
        .map(decoded);
    Ok(Seen {
        bytes,
        handle,
        address: Some(file),
    })
}

/// The gate's own reason why there is no badge: a word about itself, which needs no proof.
async fn of_problem(answer: reqwest::Response) -> Fail {
    let body = answer.bytes().await.unwrap_or_default();
    let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
    let code = problem["code"].as_str();
    let known = [
        "display.not_shown",
        "display.taken_back",
        "display.expired",
        "light.stale",
    ];
    let code = known.into_iter().find(|known| Some(*known) == code);
    Fail::part(
        code.unwrap_or("display.not_shown"),
        "a badge stands at the address",
        "whoever shows it",
        "do not trust a copy of it",
    )
}

fn decoded(segment: &str) -> String {
    let pair = url::form_urlencoded::parse(segment.as_bytes()).next();
    pair.map(|(name, _)| name.into_owned()).unwrap_or_default()
}
