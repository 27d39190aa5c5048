//! Asking the authority for RealPasses, at enrolment and ever after, and what became of it
//! (spec/wallet.md, W9 to W11).
//!
//! The authority knows who asks, so when it is asked must say nothing about what the person does:
//! [`crate::keep`] asks at the moments of [`crate::schedule`]. A login asks only where there is no
//! RealPass for now, and its person is told what that gives away.

use crate::content::{Batch, HeldPass};
use crate::enrol;
use crate::error::CliError;
use crate::grant::Grant;
use crate::http::{Http, address};
use crate::issue::{self, Source};
use crate::ledger::{Ledger, now_ms};
use crate::random::seeded;
use crate::realpass::{self, Expected, PassRefused};
use crate::wallet::Wallet;
use realdid_core::genesis::Parameters;
use realdid_core::state::{Enrolment, issuer_id};
use realdid_credential::pid;
use realdid_credential::sd_jwt::ParsedSdJwt;
use serde_json::{Map, Value};

/// Answers of an authority that are its word about the person, by the beginning of their codes.
const REFUSALS: &[&str] = &["vci.", "enrolment.", "pass."];
/// What bars a person until they have spoken with the authority.
const BARRED: &[&str] = &[
    "vci.denied",
    "vci.pass_commitment",
    "enrolment.suspended",
    "pass.",
];

/// Whether an error is the authority's word about this person, not a failure on the way.
pub fn is_refusal(error: &CliError) -> bool {
    REFUSALS.iter().any(|word| error.code.starts_with(word))
}

fn is_barred(error: &CliError) -> bool {
    BARRED.iter().any(|word| error.code.starts_with(word))
}

/// The epochs for which a RealPass can be had now: the current one, and the next within the lead.
pub fn issuable(parameters: &Parameters, now_ms: u64) -> Vec<u64> {
    let current = parameters.epoch_at(now_ms);
    [current, current + 1]
        .into_iter()
        .filter(|epoch| parameters.pass_issuable(*epoch, now_ms))
        .collect()
}

/// Takes what an offer or a refresh token opens: a RealPass for each epoch that can be had and is
/// not held. `grant` is fresh.
pub(crate) async fn take_all(
    wallet: &mut Wallet,
    http: &Http,
    ledger: &mut Ledger,
    source: &Source,
    grant: &mut Grant,
) -> Result<(), CliError> {
    let entry = own_entry(wallet, ledger, &source.metadata.credential_issuer).await;
    for epoch in issuable(ledger.parameters(), now_ms()) {
        let held = wallet.passes()?.of_epoch(epoch);
        if held.is_none_or(|held| held.issuer != source.metadata.credential_issuer) {
            ask(wallet, http, ledger, source, grant, epoch, entry.as_ref()).await?;
        }
    }
    Ok(())
}

/// Fetches what can be had and is not held, because the person asked for it.
pub async fn on_request(
    wallet: &mut Wallet,
    http: &Http,
    ledger: &mut Ledger,
) -> Result<(), CliError> {
    let (source, mut grant) = begin(wallet, http).await?;
    take_all(wallet, http, ledger, &source, &mut grant).await
}

/// Fetches the RealPass of one epoch, as planned. `entry` is what the person's tag shows, where it
/// was looked at. A refusal is counted.
pub async fn epoch(
    wallet: &mut Wallet,
    http: &Http,
    ledger: &mut Ledger,
    epoch: u64,
    entry: Option<&Enrolment>,
) -> Result<(), CliError> {
    let fetched = match begin(wallet, http).await {
        Ok((source, mut grant)) => {
            ask(wallet, http, ledger, &source, &mut grant, epoch, entry).await
        }
        Err(error) => Err(error),
    };
    if let Err(error) = &fetched
        && is_refusal(error)
    {
        wallet.passes()?.refused(now_ms(), &error.code);
        wallet.save()?;
    }
    fetched
}

/// The RealPass to show now. Where there is none for the current epoch it is fetched, and the
/// person is told.
pub async fn for_now(
    wallet: &mut Wallet,
    http: &Http,
    ledger: &mut Ledger,
) -> Result<HeldPass, CliError> {
    let current = ledger.parameters().epoch_at(now_ms());
    if let Some(held) = wallet.passes()?.of_epoch(current) {
        return Ok(held.clone());
    }
    eprintln!(
        "There is no RealPass for now, so it is fetched now: your authority sees that you ask for it just before you use it. `realdid wallet keep` fetches ahead, at random times."
    );
    let fetched = epoch(wallet, http, ledger, current, None).await;
    let parameters = ledger.parameters().clone();
    let held = realpass::standing(wallet.passes()?, &parameters, now_ms()).cloned();
    match (fetched, held) {
        (Ok(()), Some(held)) => Ok(held),
        // What the authority says about the person stands; what ails the authority does not stop
        // somebody who has a RealPass (promise P3).
        (Err(error), _) if is_barred(&error) => Err(error),
        (Err(_), Some(held)) => Ok(held),
        (Err(error), None) => Err(CliError::new(
            "pass.none",
            &format!(
                "the wallet has a RealPass of the current epoch, or its authority gives one ({})",
                error.code
            ),
            "authority",
            "try again when the authority answers; `realdid wallet keep` fetches ahead",
        )),
        (Ok(()), None) => Err(PassRefused::Held.into()),
    }
}

/// Whether this wallet can have RealPasses at all: it holds one, or knows whom to ask.
pub fn has_source(wallet: &Wallet) -> bool {
    let passes = wallet.content.passes.as_ref();
    passes.is_some_and(|passes| !passes.held.is_empty() || passes.refresh_token.is_some())
}

/// Opens the authority's credential endpoint by the refresh token.
async fn begin(wallet: &mut Wallet, http: &Http) -> Result<(Source, Grant), CliError> {
    let own = wallet.content.enrolment.as_ref();
    let issuer = own.map(|own| own.issuer_url.clone()).ok_or_else(none)?;
    let old = wallet.passes()?.refresh().ok_or_else(none)?;
    let source = issue::discover(http, &issuer, None).await?;
    let grant = Grant::refreshed(http, &source, &old).await?;
    issue::keep_next(wallet, &old, &grant)?;
    Ok((source, grant))
}

fn none() -> CliError {
    CliError::user(
        "pass.none",
        "the wallet has an authority that issues RealPasses to it",
        "enrol first: `realdid wallet enrol`",
    )
}

/// Asks for the RealPass of one epoch, checks the answer and stores it.
async fn ask(
    wallet: &mut Wallet,
    http: &Http,
    ledger: &mut Ledger,
    source: &Source,
    grant: &mut Grant,
    epoch: u64,
    entry: Option<&Enrolment>,
) -> Result<(), CliError> {
    let issuer_url = source.metadata.credential_issuer.clone();
    let by = ledger.hash_function();
    let issuer = ledger
        .issuer(&mut wallet.content, &issuer_id(by, &issuer_url))
        .await?
        .value
        .ok_or(PassRefused::KeyUnknown)?;
    let body = realpass::request(&wallet.passes()?.seed, epoch, &mut seeded()?)?;
    let url = address(&source.metadata.credential_endpoint)?;
    let answer = grant.post_json(http, &url, &body).await?.success()?;
    let parameters = ledger.parameters().clone();
    let pid = pid_claims(&wallet.content.batches, &issuer_url, &parameters);
    let expected = Expected {
        network: &ledger.light.genesis().network,
        epoch,
        issuer: &issuer,
        enrolment: entry,
        pid: pid.as_ref().map(|(claims, epoch)| (claims, *epoch)),
    };
    let passes = wallet.passes()?;
    let held = realpass::take(&answer, passes, &expected)?;
    passes.keep(held, parameters.epoch_at(now_ms()));
    wallet.save()
}

/// The person's entry, where it is this authority's and can be proved now.
async fn own_entry(wallet: &mut Wallet, ledger: &mut Ledger, issuer: &str) -> Option<Enrolment> {
    let own = wallet.content.enrolment.as_ref();
    let tag = own
        .filter(|own| own.issuer_url == issuer)
        .and_then(enrol::tag_of)?;
    let proved = ledger.enrolment(&mut wallet.content, &tag, 0).await.ok()?;
    proved.value
}

/// The claims of a PID of this authority, with the epoch that they are of.
fn pid_claims(
    batches: &[Batch],
    issuer: &str,
    parameters: &Parameters,
) -> Option<(Map<String, Value>, u64)> {
    let batch = batches
        .iter()
        .find(|batch| batch.issuer == issuer && batch.vct == pid::VCT)?;
    let copy = batch.copies.first()?;
    let claims = ParsedSdJwt::parse(copy.credential.as_str())
        .ok()?
        .claims()
        .clone();
    let end_s = copy.expires_s.checked_sub(parameters.refresh_lead_s)?;
    let epoch = (end_s / parameters.epoch_s.max(1)).checked_sub(1)?;
    Some((claims, epoch))
}
