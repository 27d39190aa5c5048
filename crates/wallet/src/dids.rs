//! The commands on one's own DIDs: make, list, and change with proof.
//!
//! A change starts from the state that the ledger proves, is stored, is sent, and is done when
//! the ledger proves the state after it. A DID that was never anchored is anchored first, on the
//! person's own account ([`anchor`]); where it has the authority sponsor it, that learns whose DID
//! it is.

use crate::anchor;
pub use crate::anchor::Account;
use crate::change::{self, Kind, Purpose, Terms};
use crate::content::{Batch, DidEntry};
use crate::error::{CliError, printable};
use crate::files;
use crate::grant;
use crate::http::{Http, address, below};
use crate::ledger::{Ledger, now_ms};
use crate::vault;
use crate::wallet::Wallet;
use realdid_core::did::{Did, Inception};
use realdid_core::hash::Hash32;
use realdid_core::operation::SignedOperation;
use realdid_core::state::DidRecord;
use realdid_light::{DidStanding, DidState};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// How long the network may take to accept an operation.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(60);

/// Makes a DID that is for no service, and writes its inception where it is wanted.
pub fn new(wallet: &mut Wallet, inception_file: Option<&Path>) -> Result<Value, CliError> {
    let ledger = Ledger::of(&wallet.content)?;
    let purpose = Purpose {
        service: Hash32(vault::random()?),
        bound: false,
        domain: String::new(),
    };
    let network = ledger.light.genesis().network.clone();
    let place = change::new_did(&mut wallet.content, network, purpose, now_ms())?;
    wallet.save()?;
    let entry = &wallet.content.dids[place];
    if let Some(path) = inception_file {
        files::replace(path, &entry.inception.0)?;
    }
    Ok(json!({
        "did": entry.did()?.to_string(),
        "inception": hex::encode(&entry.inception.0),
        "inceptionFile": inception_file.map(|path| path.display().to_string()),
    }))
}

/// The wallet's DIDs. With `prove`, each with its state on the ledger: whoever answers then sees
/// all of them asked for together, so it is not done unasked.
pub async fn list(wallet: &mut Wallet, prove: bool) -> Result<Value, CliError> {
    let mut dids = vec![];
    for place in 0..wallet.content.dids.len() {
        let mut shown = entry_json(&wallet.content.dids[place])?;
        if prove {
            let mut ledger = Ledger::of(&wallet.content)?;
            let inception = wallet.content.dids[place].inception()?;
            let (state, _) = ledger.did(&mut wallet.content, &inception).await?;
            shown["state"] = state_json(&state);
        }
        dids.push(shown);
    }
    if prove {
        wallet.save()?;
    }
    Ok(json!({ "dids": dids }))
}

/// Makes one change and answers the command's JSON.
pub async fn change(
    wallet: &mut Wallet,
    http: &Http,
    kind: Kind,
    account: Account,
    did: &str,
    kit: Option<&Path>,
) -> Result<Value, CliError> {
    let place = place_of(wallet, did)?;
    let mut ledger = Ledger::of(&wallet.content)?;
    let inception = wallet.content.dids[place].inception()?;
    let (mut state, _) = ledger.did(&mut wallet.content, &inception).await?;
    if record_of(&state).is_none() && kind != Kind::Anchor {
        // Whether the kit is at hand is asked before an anchor is spent.
        dry_run(wallet, place, kind, &inception, kit)?;
        eprintln!("The DID is not on the ledger yet; anchoring it first.");
        (_, _, state) = put(wallet, http, &mut ledger, place, account, &state).await?;
    }
    let (id, height, state) = match kind {
        Kind::Anchor => put(wallet, http, &mut ledger, place, account, &state).await?,
        kind => submit(wallet, http, &mut ledger, place, kind, &state, kit).await?,
    };
    Ok(json!({
        "did": state.did.to_string(),
        "operation": kind.name(),
        "hash": id.to_string(),
        "height": height,
        "state": state_json(&state),
    }))
}

/// Puts a DID on the ledger; answers as [`submit`].
async fn put(
    wallet: &mut Wallet,
    http: &Http,
    ledger: &mut Ledger,
    place: usize,
    account: Account,
    state: &DidState,
) -> Result<(Hash32, u64, DidState), CliError> {
    if account == Account::Sponsored || record_of(state).is_some() {
        return submit(wallet, http, ledger, place, Kind::Anchor, state, None).await;
    }
    let (id, height) = anchor::on_own_account(wallet, http, ledger, place, state).await?;
    let inception = wallet.content.dids[place].inception()?;
    let after = ledger
        .did_since(&mut wallet.content, &inception, height)
        .await?;
    wallet.save()?;
    Ok((id, height, after))
}

/// Builds, stores, sends and waits for one operation; answers its id, the height of its block and
/// the proved state after it.
async fn submit(
    wallet: &mut Wallet,
    http: &Http,
    ledger: &mut Ledger,
    place: usize,
    kind: Kind,
    state: &DidState,
    kit: Option<&Path>,
) -> Result<(Hash32, u64, DidState), CliError> {
    let kit = wallet.kit(kit)?;
    let genesis = ledger.light.genesis();
    let terms = Terms {
        network: genesis.network.clone(),
        // The checkpoint lies behind the chain's head, so half of the window is within it.
        expires: state.at.header.height + genesis.parameters.expiry_window / 2,
    };
    let content = &mut wallet.content;
    let operation = change::build(
        kind,
        &mut content.dids[place],
        record_of(state),
        &mut content.pool,
        kit.as_ref(),
        terms,
    )?;
    wallet.save()?;
    let id = operation.id();
    if kind == Kind::Anchor {
        sponsor(wallet, http, &operation).await?;
    } else {
        ledger.nodes.submit(&operation).await?;
    }
    let height = ledger.nodes.wait(&id, ACCEPT_TIMEOUT).await?;
    let inception = wallet.content.dids[place].inception()?;
    let after = ledger
        .did_since(&mut wallet.content, &inception, height)
        .await?;
    wallet.save()?;
    Ok((id, height, after))
}

/// Has the authority sponsor and submit an operation that creates state.
async fn sponsor(
    wallet: &Wallet,
    http: &Http,
    operation: &SignedOperation,
) -> Result<(), CliError> {
    let none = || {
        CliError::user(
            "enrolment.none",
            "somebody sponsors an operation that creates state",
            "enrol first: your authority sponsors anchors within a quota",
        )
    };
    let content = &wallet.content;
    let issuer = content
        .enrolment
        .as_ref()
        .map(|own| own.issuer_url.clone())
        .ok_or_else(none)?;
    // The refresh token says who asks: the authority sponsors within a quota for each person.
    let of_issuer = content
        .batches
        .iter()
        .filter(|batch| batch.issuer == issuer);
    let refresh = of_issuer.filter_map(Batch::refresh).next();
    let refresh = refresh.ok_or_else(none)?;
    let url = below(&address(&issuer)?, "/v1/sponsor");
    let body = ("application/cbor", operation.encode());
    grant::post_as(http, refresh, &url, body).await?;
    Ok(())
}

/// Whether the change could be made right after an anchor, so that none is spent in vain.
fn dry_run(
    wallet: &Wallet,
    place: usize,
    kind: Kind,
    inception: &Inception,
    kit: Option<&Path>,
) -> Result<(), CliError> {
    let anchored = DidRecord {
        seq: 0,
        keys: inception.keys.clone(),
        endpoints: vec![],
        frozen: false,
        pending: None,
        deactivated: false,
        created_ms: 0,
        updated_ms: 0,
        verified: None,
    };
    let terms = Terms {
        network: inception.network.clone(),
        expires: 0,
    };
    let mut entry = wallet.content.dids[place].clone();
    let mut pool = wallet.content.pool.clone();
    let kit = wallet.kit(kit)?;
    change::build(
        kind,
        &mut entry,
        Some(&anchored),
        &mut pool,
        kit.as_ref(),
        terms,
    )?;
    Ok(())
}

fn place_of(wallet: &Wallet, did: &str) -> Result<usize, CliError> {
    let did: Did = did.parse()?;
    let ours = |entry: &DidEntry| entry.did().is_ok_and(|own| own == did);
    wallet.content.dids.iter().position(ours).ok_or_else(|| {
        CliError::user(
            "did.not_ours",
            "the DID is one of this wallet's",
            &format!(
                "choose one of `realdid wallet did list`; {} is none of them",
                printable(&did.to_string())
            ),
        )
    })
}

fn record_of(state: &DidState) -> Option<&DidRecord> {
    match &state.standing {
        DidStanding::Anchored(record) => Some(record),
        DidStanding::Implicit(_) | DidStanding::Unknown => None,
    }
}

/// What the wallet knows of a DID without asking anybody.
pub fn entry_json(entry: &DidEntry) -> Result<Value, CliError> {
    Ok(json!({
        "did": entry.did()?.to_string(),
        "service": entry.bound.then(|| entry.service.to_string()),
        "domain": entry.bound.then_some(&entry.domain),
        "createdMs": entry.created_ms,
    }))
}

/// A proved state.
fn state_json(state: &DidState) -> Value {
    let at = state.at.header.sealed.height;
    let keys = |keys: &[realdid_core::suite::PublicKey]| -> Vec<String> {
        keys.iter().map(|key| hex::encode(key.bytes())).collect()
    };
    match &state.standing {
        DidStanding::Anchored(record) => json!({
            "anchored": true,
            "seq": record.seq,
            "frozen": record.frozen,
            "deactivated": record.deactivated,
            "recoveryEffectiveMs": record.pending.as_ref().map(|pending| pending.effective_ms),
            "verifiedPerson": record.verified.is_some(),
            "keys": keys(&record.keys.current),
            "provedAtHeight": at,
        }),
        DidStanding::Implicit(inception) => json!({
            "anchored": false,
            "seq": null,
            "frozen": false,
            "deactivated": false,
            "recoveryEffectiveMs": null,
            "verifiedPerson": false,
            "keys": keys(&inception.keys.current),
            "provedAtHeight": at,
        }),
        DidStanding::Unknown => Value::Null,
    }
}
