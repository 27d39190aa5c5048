//! What a person sees of their wallet: no key, no token, no credential, no claim value but the names of the
//! organisations that they act for.

use crate::dids;
use crate::error::CliError;
use crate::issue;
use crate::ledger::{Ledger, now_ms};
use crate::realpass;
use crate::wallet::Wallet;
use crate::watch;
use serde_json::{Value, json};

/// The wallet at a glance. The enrolment's standing is asked of the network and proved; DIDs are
/// not asked for, because that would show whoever answers that they belong together.
pub async fn show(wallet: &mut Wallet) -> Result<Value, CliError> {
    let dids: Vec<Value> = wallet
        .content
        .dids
        .iter()
        .map(dids::entry_json)
        .collect::<Result<_, _>>()?;
    let credentials: Vec<Value> = wallet
        .content
        .batches
        .iter()
        .map(issue::batch_json)
        .collect();
    let mut shown = json!({
        "network": null,
        "genesis": null,
        "enrolment": null,
        "credentials": credentials,
        "dids": dids,
        "realPass": null,
        "sparesLeft": wallet.content.pool.left(),
    });
    if wallet.content.network.is_none() {
        return Ok(shown);
    }
    let mut ledger = Ledger::of(&wallet.content)?;
    let genesis = ledger.light.genesis();
    shown["network"] = genesis.network.to_string().into();
    shown["genesis"] = genesis.digest().to_string().into();
    if let Some(passes) = &wallet.content.passes {
        shown["realPass"] = realpass::to_json(passes, ledger.parameters(), now_ms());
    }
    let Some(own) = wallet.content.enrolment.clone() else {
        return Ok(shown);
    };
    let watched = watch::watch(wallet, &mut ledger).await;
    let (standing, notice) = match &watched {
        Ok(Some((watch, _))) => (watch.standing(), watch.notice(now_ms())),
        Ok(None) => (
            "unfinished",
            Some("run `realdid wallet enrol` again".to_owned()),
        ),
        // What cannot be proved now is not claimed (promise P9).
        Err(error) => ("unproved", Some(error.to_string())),
    };
    if let Some(notice) = &notice {
        eprintln!("{notice}");
    }
    let entry = wallet
        .content
        .enrolment
        .as_ref()
        .and_then(|own| own.entry.as_ref());
    shown["enrolment"] = json!({
        "authority": own.issuer_url,
        "personTag": entry.map(|entry| entry.tag.to_string()),
        "seq": entry.map(|entry| entry.seq),
        "provedAtHeight": entry.map(|entry| entry.height),
        "standing": standing,
        "notice": notice,
    });
    Ok(shown)
}
