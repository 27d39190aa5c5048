//! `cross_login_http` and `recognise_latency`: two networks that recognise each other, started by `realdid up`, and
//! somebody of each who signs in at one gate.
//!
//! The wallet is the program's own, in this process, whose work does not count. Both people show the same kind of
//! answer: a RealPass with a fact that the service asks of everybody, and a DID with its staple.

use super::network::{RunningNeighbours, enrolled};
use super::{Measured, broken, clock};
use crate::cli::{GovernArgs, LedgerArgs, NationDir, RecognitionArgs};
use crate::fail::Fail;
use crate::nation::Nation;
use crate::network;
use realdid_core::genesis::Parameters;
use realdid_core::state::ReasonCode;
use realdid_wallet::http::Http;
use realdid_wallet::login::login;
use realdid_wallet::present::Consent;
use realdid_wallet::wallet::Wallet;
use serde_json::Value;
use std::time::{Duration, Instant};

/// The service that asks a fact of a RealPass of everybody.
const MARKET: u16 = 1;
/// Logins in a turn, of one person and then of the other.
const TURN: usize = 8;
/// Turns that do not count.
const WARM_UP: usize = 1;
/// How often each standing is decided.
const DECISIONS: usize = 5;
const SEEN_WITHIN: Duration = Duration::from_secs(60);
const SUSPENDED: &str = "recognition.suspended";

/// Somebody with a wallet.
struct Person {
    wallet: Wallet,
    http: Http,
    consent: Consent,
}

impl Person {
    /// The first resident of a nation, enrolled there.
    async fn of(nation: &Nation, neighbours: &RunningNeighbours) -> Result<Self, Fail> {
        let dir = format!("wallet-{}", nation.network);
        let (wallet, http) = enrolled(nation, &neighbours.folder.path().join(dir)).await?;
        let allow = ["realpass.adult", "realpass.assurance"].map(str::to_owned);
        Ok(Self {
            wallet,
            http,
            consent: Consent {
                allow: allow.to_vec(),
                yes: false,
                long_lived: false,
            },
        })
    }

    /// Signs in; answers whether that was refused because the network is suspended.
    async fn signs_in(&mut self, service: &str) -> Result<bool, Fail> {
        match login(&mut self.wallet, &self.http, service, &self.consent).await {
            Ok(_) => Ok(false),
            Err(refused) if refused.code == SUSPENDED => Ok(true),
            Err(other) => Err(other.into()),
        }
    }
}

pub async fn cross_login() -> Result<Measured, Fail> {
    let running = RunningNeighbours::start().await?;
    let service = running.intl.service_url(MARKET);
    let mut at_home = Person::of(&running.intl, &running).await?;
    let mut abroad = Person::of(&running.cn, &running).await?;
    let (mut home_s, mut abroad_s) = (0.0, 0.0);
    let mut turns = 0;
    let mut until = Instant::now() + clock::length();
    while turns <= WARM_UP || Instant::now() < until {
        for (person, sum) in [(&mut at_home, &mut home_s), (&mut abroad, &mut abroad_s)] {
            let before_s = running.gate_cpu_s(&running.intl, MARKET)?;
            for _ in 0..TURN {
                if person.signs_in(&service).await? {
                    return Err(broken("both networks recognise each other"));
                }
            }
            *sum += running.gate_cpu_s(&running.intl, MARKET)? - before_s;
        }
        turns += 1;
        if turns == WARM_UP {
            (home_s, abroad_s) = (0.0, 0.0);
            until = Instant::now() + clock::length();
        }
    }
    let logins = ((turns - WARM_UP) * TURN) as f64;
    Ok(Measured {
        id: "cross_login_http",
        workload: format!(
            "a whole login over HTTP on loopback by somebody of another network, one at a time: RealPass with adult and \
             assurance, DID with its staple under that network's certificate; {TURN} abroad and {TURN} at home in turns, \
             {logins} of each; the gate's process"
        )
        .into(),
        unit: "logins/cpu-s",
        ours: logins / abroad_s,
        limit: Some("the same login at home, at the same gate in the same run, by a RealPass with adult"),
        limit_value: Some(logins / home_s),
        goal: Some("limit_ratio >= 0.7"),
    })
}

pub async fn latency() -> Result<Measured, Fail> {
    let running = RunningNeighbours::start().await?;
    let service = running.intl.service_url(MARKET);
    let mut abroad = Person::of(&running.cn, &running).await?;
    if abroad.signs_in(&service).await? {
        return Err(broken("both networks recognise each other"));
    }
    let (mut refused_ms, mut accepted_ms) = (Vec::new(), Vec::new());
    let slot = Duration::from_secs(Parameters::development().slot_s);
    for turn in 0..DECISIONS {
        for (suspended, found) in [(true, &mut refused_ms), (false, &mut accepted_ms)] {
            // What was felt last came with a checkpoint: each decision falls into another part of the slot.
            tokio::time::sleep(slot * turn as u32 / DECISIONS as u32).await;
            decide(&running.intl, &running.cn.network, suspended).await?;
            let is_final = Instant::now();
            while abroad.signs_in(&service).await? != suspended {
                if is_final.elapsed() > SEEN_WITHIN {
                    return Err(broken("a decision takes effect"));
                }
            }
            found.push(is_final.elapsed().as_secs_f64() * 1000.0);
        }
    }
    let (refused, accepted) = (spread(&mut refused_ms), spread(&mut accepted_ms));
    let parameters = Parameters::development();
    // A gate looks once a slot, when the slot's checkpoint is due.
    let refresh_ms = parameters.slot_s as f64 * 1000.0;
    Ok(Measured {
        id: "recognise_latency",
        workload: format!(
            "from a governance's decision being final to the end of the first login that it refuses or lets in again, by \
             somebody who signs in again and again: the slowest of {DECISIONS} each; refused after suspending: median {:.0}, at \
             most {:.0}; let in after restoring: median {:.0}, at most {:.0}",
            refused.0, refused.1, accepted.0, accepted.1
        )
        .into(),
        unit: "ms",
        ours: refused.1.max(accepted.1),
        limit: Some("three block intervals and one refresh of the gate, a slot"),
        limit_value: Some(3.0 * parameters.block_interval_ms as f64 + refresh_ms),
        goal: Some("limit_ratio >= 1"),
    })
}

/// Median and greatest.
fn spread(values: &mut [f64]) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or_default();
    (at(values.len() / 2), at(values.len().saturating_sub(1)))
}

async fn decide(nation: &Nation, other: &str, suspended: bool) -> Result<Value, Fail> {
    let reason = match suspended {
        true => ReasonCode::LegalOrder,
        false => ReasonCode::Cleared,
    };
    let args = RecognitionArgs {
        network: other.to_owned(),
        govern: GovernArgs {
            ledger: LedgerArgs {
                nation: NationDir {
                    dir: nation.dir.clone(),
                },
                node: None,
                trust: None,
            },
            reason: reason.name().to_owned(),
            governance_keys: Vec::new(),
            draft: None,
        },
    };
    match suspended {
        true => network::suspend(args).await,
        false => network::restore(args).await,
    }
}
