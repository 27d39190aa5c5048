//! `order_ed25519`, `order_p256`, `order_sm2`: how many operations a second four validators order,
//! verify, execute and keep, all on one machine with the generator of the load.
//!
//! The bound is what the cores that they might have had allow, if a validator did nothing but verify
//! each operation once and write what it changes to a bare `nomt`: cores ÷ (validators × (verify +
//! update)). Both are measured in the same run, on the same operations.

use super::apply::raw_updates;
use super::committee::{VALIDATORS, WARM_UP};
use super::load::{Load, Shares};
use super::network::Committee;
use super::traffic::{Traffic, bytes};
use super::{Measured, broken, clock};
use crate::fail::Fail;
use realdid_core::operation::SignedOperation;
use realdid_core::state::enrolment_key;
use realdid_core::suite::Suite;
use realdid_ledger::state::Change;
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(15);
/// Operations that are verified for the bound, over and over.
const SAMPLE: u64 = 500;
/// Commits to the bare `nomt`, as large as those of a slot are here about, and how many count.
const COMMITS: u64 = 25;
const COMMIT_KEYS: u64 = 4_000;
const WARM_COMMITS: usize = 5;
/// Bytes of an enrolment's record.
const RECORD_BYTES: usize = 96;

pub async fn measure(suite: Suite) -> Result<Measured, Fail> {
    let traffic = Traffic::signed_by(&[suite])?;
    let sample: Vec<_> = (0..SAMPLE).map(|n| traffic.enrol(n, 0)).collect();
    let length = sample[0].encode().len();
    let before_s = least(&traffic, &sample)?;
    let committee = Committee::start(&traffic, VALIDATORS).await?;
    let cores = std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64);
    let whole = (WARM_UP + WINDOW).as_secs_f64();
    let load = Load::new(&committee, &traffic, (cores / before_s * whole) as usize)?;
    let end = Instant::now() + WARM_UP + WINDOW;
    let watch = async {
        let begin = load.finals(end - WINDOW).await?;
        let shares = Shares::begin(&committee)?;
        let counted = load.finals(end).await? - begin;
        Ok::<_, Fail>((counted, shares.end(&committee)?))
    };
    let (counted, shared) = tokio::try_join!(load.saturate(end), watch)?.1;
    load.settle().await?;
    drop(committee);
    // A machine's speed changes while it is measured: the bound is that of before and after.
    let each_s = (before_s + least(&traffic, &sample)?) / 2.0;
    let (id, name) = match suite {
        Suite::Ed25519 => ("order_ed25519", "Ed25519"),
        Suite::P256 => ("order_p256", "P-256"),
        Suite::Sm2 => ("order_sm2", "SM2 with SM3"),
    };
    Ok(Measured {
        id,
        workload: format!(
            "4 validator processes and the load generator on one machine: enrolments of {length} bytes signed by {name}, \
             each verified, executed, committed and synced by each validator ({shared})"
        )
        .into(),
        unit: "operations/s",
        ours: counted / WINDOW.as_secs_f64(),
        limit: Some(
            "the cores that generator and other work left, over 4 times one verification and one update of bare nomt",
        ),
        limit_value: Some(shared.free() / each_s),
        goal: Some("limit_ratio >= 0.6"),
    })
}

/// The processor time that all validators need for one operation at least, in seconds.
fn least(traffic: &Traffic, sample: &[SignedOperation]) -> Result<f64, Fail> {
    // on every core at once, as the validators do: alone, one is faster
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let verify = || sample.iter().all(|one| one.verify_signatures().is_ok());
    let verified = clock::rate(clock::length() / 2, cores * sample.len(), |_| {
        let good = std::thread::scope(|scope| {
            let each: Vec<_> = (0..cores).map(|_| scope.spawn(verify)).collect();
            each.into_iter()
                .all(|one| one.join().is_ok_and(|good| good))
        });
        good.then_some(())
            .ok_or_else(|| broken("every signature verifies"))
    })?;
    Ok(VALIDATORS as f64 * (1.0 / verified + updates(traffic)?))
}

/// The processor time of one new key in a bare `nomt`, in seconds.
fn updates(traffic: &Traffic) -> Result<f64, Fail> {
    let by = traffic.network.hash_function();
    let commit = |nth: u64| -> Vec<Change> {
        let tags = nth * COMMIT_KEYS..(nth + 1) * COMMIT_KEYS;
        let mut changes: Vec<Change> = tags
            .map(|n| {
                let key = enrolment_key(by, &bytes("tag", n));
                (key, Some(vec![7; RECORD_BYTES]))
            })
            .collect();
        changes.sort();
        changes
    };
    let commits = (0..COMMITS).map(commit).collect();
    let counted = (COMMITS - WARM_COMMITS as u64) * COMMIT_KEYS;
    Ok(raw_updates(&[], commits, WARM_COMMITS)? / counted as f64)
}
