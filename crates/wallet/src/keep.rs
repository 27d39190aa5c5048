//! `realdid wallet keep`: stays running and has tomorrow's RealPass, and fresh PID copies, before they
//! are needed (spec/wallet.md, W9 and W10). What it does and when comes from [`crate::schedule`];
//! here it waits, asks, and says what it did.
//!
//! The wallet is open only while something is done, so that its person can use it in between. Each
//! time the RealPass is refreshed the person's tag is looked at too: then, and in no login.

use crate::batches;
use crate::content::Plan;
use crate::error::CliError;
use crate::http::Http;
use crate::issue;
use crate::ledger::{Ledger, now_ms};
use crate::random;
use crate::renew;
use crate::schedule::{self, utc};
use crate::vault::VaultError;
use crate::wallet::Wallet;
use crate::watch;
use realdid_core::genesis::Parameters;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// The longest sleep: a clock that was set, or a device that slept, is noticed after it.
const LONGEST_SLEEP: Duration = Duration::from_secs(300);

/// What was done until it ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept {
    /// RealPasses fetched.
    passes: u64,
    /// Batches of copies fetched.
    copies: u64,
    /// Copies whose paths came.
    paths: u64,
    /// Attempts that failed or were refused.
    failures: u64,
}

/// Runs until it is interrupted, or `once`. Answers the command's JSON.
pub async fn keep(dir: &Path, http: &Http, once: bool) -> Result<Value, CliError> {
    let mut kept = Kept::default();
    let mut stopped = std::pin::pin!(interrupted());
    loop {
        let turn = turn(dir, http, &mut kept);
        let wait = tokio::select! {
            wait = turn => wait?,
            () = &mut stopped => break,
        };
        if once {
            break;
        }
        tokio::select! {
            () = tokio::time::sleep(wait.min(LONGEST_SLEEP)) => {}
            () = &mut stopped => break,
        }
    }
    Ok(json!({
        "passes": kept.passes,
        "copies": kept.copies,
        "paths": kept.paths,
        "failures": kept.failures,
    }))
}

/// Ctrl-C, or the signal by which a system ends its services.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut ended) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = ended.recv() => {}
    }
}

/// Does what is due and answers how long there is nothing to do.
async fn turn(dir: &Path, http: &Http, kept: &mut Kept) -> Result<Duration, CliError> {
    let mut wallet = match Wallet::open(dir) {
        Err(error) if error.code == VaultError::Busy.code() => return Ok(Duration::from_secs(2)),
        opened => opened?,
    };
    let mut ledger = Ledger::of(&wallet.content)?;
    let parameters = ledger.parameters().clone();
    if wallet.content.enrolment.is_none() {
        return Err(CliError::user(
            "enrolment.none",
            "the wallet has an authority that refreshes what it holds",
            "enrol first: `realdid wallet enrol`",
        ));
    }
    let pass = pass_turn(&mut wallet, http, &mut ledger, &parameters, kept).await?;
    let copies = copies_turn(&mut wallet, http, &mut ledger, &parameters, kept).await?;
    let paths = paths_turn(&mut wallet, http, &mut ledger, &parameters, kept).await?;
    let next_ms = [pass, copies, paths].into_iter().flatten().min();
    let wait_ms = next_ms.map_or(u64::MAX, |next_ms| next_ms.saturating_sub(now_ms()));
    // Not busily, whatever the plans say.
    Ok(Duration::from_millis(wait_ms.max(200)))
}

/// The RealPass: plans, and fetches where the moment has come. Answers the next moment.
async fn pass_turn(
    wallet: &mut Wallet,
    http: &Http,
    ledger: &mut Ledger,
    parameters: &Parameters,
    kept: &mut Kept,
) -> Result<Option<u64>, CliError> {
    if !renew::has_source(wallet) {
        return Ok(None);
    }
    let plan = plan_pass(wallet, parameters, now_ms())?;
    if plan.at_ms > now_ms() {
        return Ok(Some(plan.at_ms));
    }
    let entry = match watch::watch(wallet, ledger).await {
        Ok(Some((watch, entry))) => {
            if let Some(notice) = watch.notice(now_ms()) {
                say(&notice);
            }
            entry
        }
        // No node answers. The refresh does not hang on it; the next one looks again.
        Ok(None) | Err(_) => None,
    };
    let fetched = renew::epoch(wallet, http, ledger, plan.what, entry.as_ref()).await;
    let next = match &fetched {
        Ok(()) => {
            kept.passes += 1;
            plan_pass(wallet, parameters, now_ms())?
        }
        Err(_) => {
            kept.failures += 1;
            let random = random::number()?;
            let next = schedule::after_failure(parameters, plan, now_ms(), random);
            wallet.passes()?.plan = Some(next);
            wallet.save()?;
            next
        }
    };
    let what = format!("RealPass of epoch {}", plan.what);
    report(&what, fetched.err(), next.at_ms);
    Ok(Some(next.at_ms))
}

/// PID copies, in the same way.
async fn copies_turn(
    wallet: &mut Wallet,
    http: &Http,
    ledger: &mut Ledger,
    parameters: &Parameters,
    kept: &mut Kept,
) -> Result<Option<u64>, CliError> {
    let batches = &wallet.content.batches;
    let refreshable = |batch: &&crate::content::Batch| {
        batch.on_ledger && batch.refresh_token.is_some() && batch.expires_s() < u64::MAX
    };
    let places = (0..batches.len()).filter(|place| refreshable(&&batches[*place]));
    // Those of organisations come along: who acts for one no more is still themselves.
    let (of_organisations, places): (Vec<usize>, Vec<usize>) =
        places.partition(|place| batches[*place].organisation.is_some());
    let (lasting, mut places): (Vec<usize>, Vec<usize>) = places
        .into_iter()
        .partition(|place| batches[*place].lives_long());
    // What lives long is renewed with the last copies before it ends.
    let soon_s = now_ms() / 1000 + 3 * parameters.epoch_s;
    let ends = lasting
        .into_iter()
        .filter(|place| batches[*place].expires_s() < soon_s);
    let ends: Vec<usize> = ends.collect();
    // The copies of all formats come from one authority in one epoch, and end together.
    let Some(place) = places.first().copied() else {
        return Ok(None);
    };
    places.extend(ends);
    let plan = plan_copies(wallet, place, parameters, now_ms())?;
    if plan.at_ms > now_ms() {
        return Ok(Some(plan.at_ms));
    }
    let mut fetched = issue::collect(wallet, http, Some(ledger)).await.map(|_| ());
    for place in places {
        if fetched.is_ok() {
            fetched = issue::refresh(wallet, http, Some(ledger), place).await;
        }
    }
    for place in of_organisations {
        if fetched.is_ok()
            && let Err(error) = issue::refresh(wallet, http, Some(ledger), place).await
        {
            say(&format!("copies of an organisation's credential: {error}"));
        }
    }
    let next = match &fetched {
        Ok(()) => {
            kept.copies += 1;
            let next = plan_copies(wallet, place, parameters, now_ms())?;
            if next == plan {
                // An issuer whose clock is behind gave copies that end when the old ones did.
                later(wallet, parameters, plan)?
            } else {
                next
            }
        }
        Err(error) => {
            kept.failures += 1;
            if renew::is_refusal(error)
                && let Some(passes) = &mut wallet.content.passes
            {
                passes.refused(now_ms(), &error.code);
            }
            later(wallet, parameters, plan)?
        }
    };
    report("PID copies", fetched.err(), next.at_ms);
    Ok(Some(next.at_ms))
}

/// Where PID copies stand in their batches, some time after they came.
async fn paths_turn(
    wallet: &mut Wallet,
    http: &Http,
    ledger: &mut Ledger,
    parameters: &Parameters,
    kept: &mut Kept,
) -> Result<Option<u64>, CliError> {
    let Some(expires_s) = batches::waiting(wallet) else {
        return Ok(None);
    };
    let random = random::number()?;
    let passes = wallet.passes()?;
    let expires_ms = expires_s.saturating_mul(1000);
    let plan = schedule::next_paths(parameters, expires_ms, passes.paths_plan, now_ms(), random);
    if passes.paths_plan.replace(plan) != Some(plan) {
        wallet.save()?;
    }
    if plan.at_ms > now_ms() {
        return Ok(Some(plan.at_ms));
    }
    let fetched = batches::fetch(wallet, http, ledger).await;
    match &fetched {
        Ok(came) => kept.paths += came,
        Err(_) => kept.failures += 1,
    }
    let left = batches::waiting(wallet).is_some();
    // The batch is not closed yet, or nobody answers.
    let next = schedule::after_failure(parameters, plan, now_ms(), random);
    if left {
        wallet.passes()?.paths_plan = Some(next);
        wallet.save()?;
    }
    match fetched {
        Err(error) => report("Paths of PID copies", Some(error), next.at_ms),
        Ok(came) if came > 0 => say(&format!("the paths of {came} PID copies came")),
        Ok(_) => {}
    }
    Ok(left.then_some(next.at_ms))
}

/// Draws the moment of the next RealPass where none was drawn, and keeps it.
fn plan_pass(wallet: &mut Wallet, parameters: &Parameters, now_ms: u64) -> Result<Plan, CliError> {
    let random = random::number()?;
    let passes = wallet.passes()?;
    let held: Vec<u64> = passes.held.iter().map(|held| held.epoch).collect();
    let plan = schedule::next_pass(parameters, &held, passes.plan, now_ms, random);
    if passes.plan.replace(plan) != Some(plan) {
        wallet.save()?;
    }
    Ok(plan)
}

/// Puts the fetching of copies off, after an attempt that brought nothing.
fn later(wallet: &mut Wallet, parameters: &Parameters, plan: Plan) -> Result<Plan, CliError> {
    let next = schedule::after_failure(parameters, plan, now_ms(), random::number()?);
    wallet.passes()?.copies_plan = Some(next);
    wallet.save()?;
    Ok(next)
}

fn plan_copies(
    wallet: &mut Wallet,
    place: usize,
    parameters: &Parameters,
    now_ms: u64,
) -> Result<Plan, CliError> {
    let random = random::number()?;
    let batch = &wallet.content.batches[place];
    let expires_ms = batch.expires_s().saturating_mul(1000);
    let passes = wallet.passes()?;
    let plan = schedule::next_copies(parameters, expires_ms, passes.copies_plan, now_ms, random);
    if passes.copies_plan.replace(plan) != Some(plan) {
        wallet.save()?;
    }
    Ok(plan)
}

fn report(what: &str, refused: Option<CliError>, next_ms: u64) {
    match refused {
        None => say(&format!("{what} fetched; next at {}", utc(next_ms))),
        Some(error) => say(&format!(
            "{what}: {error}; next attempt at {}",
            utc(next_ms)
        )),
    }
}

/// One line for the person, with the time.
fn say(text: &str) {
    eprintln!("{} {text}", utc(now_ms()));
}

#[cfg(test)]
mod tests;
