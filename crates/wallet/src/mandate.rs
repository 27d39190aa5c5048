//! Acting for an organisation (spec/enrolment.md, rule C11): from an extract of the commercial register to
//! copies of the organisation's credential.
//!
//! The authority that enrolled this person is asked, by the refresh token that it gave them: nobody acts for
//! an organisation without having been verified. What comes is taken as any offer is ([`crate::issue`]).

use crate::content::Batch;
use crate::error::CliError;
use crate::files;
use crate::grant::{self, Refresh};
use crate::http::{Http, address, below, read_json};
use crate::issue;
use crate::ledger::Ledger;
use crate::wallet::Wallet;
use realdid_credential::pid;
use realdid_exchange::mandate::{
    MAX_EVIDENCE_BYTES, MandateEvidence, MandateRequest, MandateResponse,
};
use serde_json::{Value, json};
use std::path::Path;
use zeroize::Zeroizing;

/// Gets the credential of the organisation in an extract, and answers the command's JSON.
pub async fn take(wallet: &mut Wallet, http: &Http, extract: &Path) -> Result<Value, CliError> {
    // Before anything is asked of anybody.
    let evidence = read(extract)?;
    let (issuer_url, kept) = own_token(wallet)?;
    let mut ledger = Ledger::of(&wallet.content)?;
    let url = below(&address(&issuer_url)?, "/v1/mandates");
    let request = MandateRequest { evidence };
    let body = serde_json::to_vec(&request).map_err(|_| malformed())?;
    let body = grant::post_as(http, kept, &url, ("application/json", body)).await?;
    let answer: MandateResponse = read_json(&url, &body)?;
    // An offer of somebody else's would bring their word for the organisation.
    if answer.credential_offer.credential_issuer != issuer_url {
        return Err(CliError::new(
            "organisation.other_issuer",
            "an authority offers credentials of its own",
            "authority",
            "nothing was stored; report the authority",
        ));
    }
    let asked = issue::Asked {
        tx_code: Some(answer.tx_code.as_str()),
        ..issue::Asked::default()
    };
    let offer = &answer.credential_offer;
    let places = issue::take_offer(wallet, http, Some(&mut ledger), offer, &asked).await?;
    let batches = places
        .iter()
        .filter_map(|place| wallet.content.batches.get(*place));
    let credentials: Vec<Value> = batches.map(issue::batch_json).collect();
    Ok(json!({ "credentials": credentials }))
}

fn read(path: &Path) -> Result<MandateEvidence, CliError> {
    let bytes = Zeroizing::new(files::read(path, MAX_EVIDENCE_BYTES as u64)?);
    serde_json::from_slice(&bytes).map_err(|_| malformed())
}

fn malformed() -> CliError {
    CliError::user(
        "organisation.malformed",
        "an organisation's evidence is JSON, an extract of the register",
        "give the file as the register made it",
    )
}

/// The authority of this wallet's enrolment, and the token that it gave with the PID.
fn own_token(wallet: &Wallet) -> Result<(String, Refresh), CliError> {
    let content = &wallet.content;
    let url = content.enrolment.as_ref().map(|own| own.issuer_url.clone());
    let of_pid = content
        .batches
        .iter()
        .filter(|batch| batch.vct == pid::VCT && Some(&batch.issuer) == url.as_ref())
        .find_map(Batch::refresh);
    url.zip(of_pid).ok_or_else(|| {
        CliError::user(
            "enrolment.none",
            "whoever acts for an organisation has enrolled, in this wallet",
            "enrol first: `realdid wallet enrol`",
        )
    })
}

#[cfg(test)]
mod tests;
