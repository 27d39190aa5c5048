//! Where this wallet's copies stand in their authority's issuance batches (spec/wallet.md, W23; promise P7).
//!
//! Paths are fetched some time after the copies, at a moment that no login moves, and kept. One is
//! shown only beside a copy whose key is in other hands: it says that the copy was there before. While
//! the key stands, a path would tell in which stretch of time a copy was issued, for nothing.

use crate::content::{Batch, CredentialCopy};
use crate::error::CliError;
use crate::grant;
use crate::http::{Http, address, below, read_json};
use crate::ledger::{Ledger, now_s};
use crate::wallet::Wallet;
use realdid_core::hash::{Hash32, ListPath};
use realdid_core::state::{Issuer, issuer_id};
use realdid_exchange::batch::{self, BatchError, InBatch, MAX_ASKED, PathsRequest, PathsResponse};
use realdid_exchange::vp;

/// The expiry of the copies that wait for their path and last longest, Unix seconds; none where none waits.
pub fn waiting(wallet: &Wallet) -> Option<u64> {
    let now_s = now_s();
    let batches = wallet.content.batches.iter().filter(|batch| asks(batch));
    let copies = batches.flat_map(|batch| &batch.copies);
    copies
        .filter(|copy| waits(copy, now_s))
        .map(|copy| copy.expires_s)
        .max()
}

fn asks(batch: &Batch) -> bool {
    batch.on_ledger && batch.refresh_token.is_some()
}

fn waits(copy: &CredentialCopy, now_s: u64) -> bool {
    copy.path.is_none() && copy.expires_s > now_s && copy.expires_s < u64::MAX
}

/// Asks the authorities for the paths that are missing, and keeps those that lead to a batch on the ledger.
/// Answers how many came.
pub async fn fetch(wallet: &mut Wallet, http: &Http, ledger: &mut Ledger) -> Result<u64, CliError> {
    let mut came = 0;
    for place in 0..wallet.content.batches.len() {
        if asks(&wallet.content.batches[place]) {
            came += fetch_of(wallet, http, ledger, place).await?;
        }
    }
    Ok(came)
}

async fn fetch_of(
    wallet: &mut Wallet,
    http: &Http,
    ledger: &mut Ledger,
    place: usize,
) -> Result<u64, CliError> {
    let (by, now_s) = (ledger.hash_function(), now_s());
    let batch = &wallet.content.batches[place];
    let issuer = issuer_id(by, &batch.issuer);
    let Some(refresh) = batch.refresh() else {
        return Ok(0);
    };
    let copies = batch.copies.iter().filter(|copy| waits(copy, now_s));
    let items = copies
        .take(MAX_ASKED)
        .map(|copy| batch::item(by, copy.credential.as_str()));
    let items = items.collect::<Result<Vec<_>, _>>()?;
    if items.is_empty() {
        return Ok(0);
    }
    let url = below(&address(&batch.issuer)?, "/v1/batches/paths");
    let request = PathsRequest::new(&items);
    let request = serde_json::to_vec(&request).map_err(|_| BatchError::Request)?;
    let body = grant::post_as(http, refresh, &url, ("application/json", request)).await?;
    let paths = read_json::<PathsResponse>(&url, &body)?.check(items.len())?;
    let mut came = 0;
    for (item, path) in items.iter().zip(paths) {
        let Some(path) = path else { continue };
        prove(wallet, ledger, (&issuer, item), &path).await?;
        let copies = wallet.content.batches[place].copies.iter_mut();
        let mut same = copies.filter(|copy| {
            batch::item(by, copy.credential.as_str()).is_ok_and(|known| known == *item)
        });
        if let Some(copy) = same.next() {
            copy.path = Some(path);
            came += 1;
        }
    }
    wallet.save()?;
    Ok(came)
}

/// A path counts if the ledger has the batch that it leads to: a false one would be found out when it is
/// needed, and too late. Everybody in a batch asks for the same record.
async fn prove(
    wallet: &mut Wallet,
    ledger: &mut Ledger,
    (issuer, item): (&Hash32, &Hash32),
    path: &ListPath,
) -> Result<(), CliError> {
    let root = path.root(ledger.hash_function(), item);
    let root = root.ok_or(BatchError::Path)?;
    let (batch, _) = ledger.batch(&mut wallet.content, issuer, &root).await?;
    match batch {
        Some(batch) if batch.count == path.length => Ok(()),
        _ => Err(BatchError::Path.into()),
    }
}

/// The record of a credential's issuer, by which its copies are judged before they are shown. None where
/// nobody knows: then it is for whoever sees them to judge.
pub async fn issuer_of(wallet: &mut Wallet, ledger: &mut Ledger, place: usize) -> Option<Issuer> {
    let batch = wallet.content.batches.get(place)?;
    let id = issuer_id(ledger.hash_function(), &batch.issuer);
    let proved = ledger.issuer(&mut wallet.content, &id).await.ok()?;
    proved.value
}

/// Whether a copy can be shown: its key is in no other hands, or it is known to have been there before.
pub fn stands(copy: &CredentialCopy, issuer: Option<&Issuer>) -> bool {
    copy.path.is_some() || !is_compromised(copy, issuer)
}

fn is_compromised(copy: &CredentialCopy, issuer: Option<&Issuer>) -> bool {
    let key = issuer.and_then(|issuer| vp::pid_key(copy.credential.as_str(), issuer).ok());
    key.is_some_and(|key| !key.stands_behind(None))
}

/// What is shown of a batch beside a copy: nothing while its key stands.
pub async fn beside(
    wallet: &mut Wallet,
    ledger: &mut Ledger,
    copy: &CredentialCopy,
    issuer: Option<&Issuer>,
) -> Result<Option<InBatch>, CliError> {
    let (Some(path), Some(issuer), true) = (&copy.path, issuer, is_compromised(copy, issuer))
    else {
        return Ok(None);
    };
    let by = ledger.hash_function();
    let item = batch::item(by, copy.credential.as_str())?;
    let root = path.root(by, &item).ok_or(BatchError::Path)?;
    let id = issuer.id(by);
    let (_, record) = ledger.batch(&mut wallet.content, &id, &root).await?;
    Ok(Some(InBatch {
        path: path.clone(),
        record,
    }))
}

#[cfg(test)]
mod tests;
