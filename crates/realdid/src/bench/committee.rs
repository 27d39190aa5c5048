//! `dead_validator`, `finality`: four validators, each a process, and a client of them all, on one
//! machine.

use super::load::{Load, Shares};
use super::network::Committee;
use super::traffic::Traffic;
use super::{Measured, broken};
use crate::fail::Fail;
use std::time::{Duration, Instant};

pub const VALIDATORS: usize = 4;
pub const WARM_UP: Duration = Duration::from_secs(5);
/// The goal of `dead_validator` speaks of ten seconds.
const WINDOW: Duration = Duration::from_secs(10);
/// Operations that are signed beforehand.
const READY: usize = 160_000;

/// Throughput in the ten seconds that begin with the death of one of four.
pub async fn dead_validator() -> Result<Measured, Fail> {
    let traffic = Traffic::new()?;
    let mut committee = Committee::start(&traffic, VALIDATORS).await?;
    let load = Load::new(&committee, &traffic, READY)?;
    let began = Instant::now();
    let death = began + WARM_UP + WINDOW;
    let watch = async {
        let begin = load.finals(death - WINDOW).await?;
        let shares = Shares::begin(&committee)?;
        let middle = load.finals(death).await?;
        let shared = shares.end(&committee)?;
        committee.kill(VALIDATORS - 1)?;
        let end = load.finals(death + WINDOW).await?;
        Ok::<_, Fail>((middle - begin, end - middle, shared))
    };
    let (before, after, shared) = tokio::try_join!(load.saturate(death + WINDOW), watch)?.1;
    let (before, after) = (before / WINDOW.as_secs_f64(), after / WINDOW.as_secs_f64());
    drop(committee);
    Ok(Measured {
        id: "dead_validator",
        workload: format!(
            "4 validator processes and clients that hand in enrolments on one machine, half Ed25519, half P-256; one \
             validator is killed; operations final in the 10 seconds from then on ({shared}, before the death)"
        )
        .into(),
        unit: "operations/s",
        ours: after,
        limit: Some("the same in the 10 seconds before"),
        limit_value: Some(before),
        goal: Some("limit_ratio >= 0.7"),
    })
}

/// How old a block is, in milliseconds, when it is final and durable, at half the load that the
/// machine bears.
pub async fn finality(percent: usize) -> Result<Measured, Fail> {
    let traffic = Traffic::new()?;
    let committee = Committee::start(&traffic, VALIDATORS).await?;
    let load = Load::new(&committee, &traffic, READY)?;
    let full = Instant::now() + WARM_UP + WINDOW;
    let watch = async {
        let begin = load.finals(full - WINDOW).await?;
        Ok::<_, Fail>(load.finals(full).await? - begin)
    };
    let counted = tokio::try_join!(load.saturate(full), watch)?.1;
    let rate = counted / WINDOW.as_secs_f64() / 2.0;
    // What still waits from the full load becomes final first.
    load.settle().await?;
    let end = Instant::now() + 2 * WINDOW;
    let shares = Shares::begin(&committee)?;
    let (_, ages, delays) = tokio::try_join!(
        load.pace(rate, end),
        load.block_ages(end),
        load.operation_delays(end)
    )?;
    let shared = shares.end(&committee)?;
    drop(committee);
    let at = |mut found: Vec<u64>, percent: usize| {
        found.sort_unstable();
        let at = found.get(found.len() * percent / 100).copied();
        at.ok_or_else(|| broken("blocks become final under load"))
    };
    let (found, operation) = (at(ages, percent)?, at(delays, percent)?);
    let (id, goal, which) = match percent {
        50 => ("finality", "ours <= 100", "the median"),
        _ => ("finality_p99", "ours <= 400", "99 of 100 are sooner"),
    };
    Ok(Measured {
        id,
        workload: format!(
            "4 validator processes on loopback at half the load they bear, {rate:.0} operations/s: from a block's proposal to \
             its being final and durable, seen over HTTP; {which}. An operation from being handed in to its being \
             final there: {operation} ms ({shared})"
        )
        .into(),
        unit: "ms",
        ours: found as f64,
        limit: None,
        limit_value: None,
        goal: Some(goal),
    })
}
