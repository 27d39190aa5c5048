//! Names that this person shows in public (spec/displays.md): make one, list them, take one back.
//!
//! The key that takes a display back comes from the pairwise root and the display's salt, so a wallet
//! that was rebuilt from the recovery words has it again: the salt stands in the badge. Taking back
//! asks nobody: the wallet signs, a node carries it to the ledger, and every copy fails at the next
//! checkpoint.

use crate::content::{Content, CredentialCopy};
use crate::error::{CliError, printable};
use crate::http::{Http, address};
use crate::ledger::{Ledger, now_s};
use crate::seed;
use crate::vault;
use crate::wallet::Wallet;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use minicbor::{Decode, Encode};
use realdid_core::did::commitment;
use realdid_core::hash::Hash32;
use realdid_core::operation::{Body, Operation};
use realdid_core::state::{DisplayStatus, ReasonCode};
use realdid_credential::sd_jwt::ParsedSdJwt;
use realdid_exchange::display::{self, Badge, Claimed, Kind, MAX_BADGE_BYTES, Terms};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// How many displays are kept; older ones are dropped.
const MAX_DISPLAYS: usize = 256;
/// How long the network may take to accept an operation.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(60);

/// A display that this wallet made.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
#[cbor(array)]
pub struct OwnDisplay {
    #[n(0)]
    pub digest: Hash32,
    #[n(1)]
    pub salt: Hash32,
    #[n(2)]
    pub service: Hash32,
    /// The platform's first domain, for the person to read.
    #[n(3)]
    pub domain: String,
    #[n(4)]
    pub handle: String,
    /// Unix seconds.
    #[n(5)]
    pub made_s: u64,
    /// Unix seconds.
    #[n(6)]
    pub expires_s: u64,
    /// Whether its gate took it.
    #[n(7)]
    pub shown: bool,
    #[n(8)]
    pub taken_back: bool,
    /// Whose name it shows, where it is not this person's.
    #[n(9)]
    pub kind: Option<String>,
}

/// Signs a display of a copy of the PID or of an organisation's credential; what was made is in the wallet before it leaves the device.
pub fn make(
    content: &mut Content,
    copy: &CredentialCopy,
    terms: &Terms,
    domain: &str,
) -> Result<(String, Hash32), CliError> {
    let salt: [u8; 32] = vault::random()?;
    let key = seed::display_key(content.pool.suite(), &content.pairwise_root, &salt)?;
    let credential = ParsedSdJwt::parse(copy.credential.as_str())?;
    let holder = copy.holder()?;
    let withdrawal = commitment(&key.public());
    let shown = display::show(&credential, terms, &salt, &withdrawal, now_s(), &holder)?;
    let claimed = Claimed::read(&shown)?;
    let own = OwnDisplay {
        digest: claimed.digest,
        salt: Hash32(salt),
        service: terms.service,
        domain: domain.to_owned(),
        handle: terms.handle.as_str().to_owned(),
        made_s: claimed.made_s,
        expires_s: terms.expires_s,
        shown: false,
        taken_back: false,
        kind: terms
            .kind
            .is_organisation()
            .then(|| terms.kind.code().to_owned()),
    };
    let displays = content.displays.get_or_insert_default();
    let excess = (displays.len() + 1).saturating_sub(MAX_DISPLAYS);
    displays.drain(..excess);
    displays.push(own);
    Ok((shown, claimed.digest))
}

/// Writes down that a gate took a display.
pub fn was_shown(content: &mut Content, digest: &Hash32) {
    let displays = content.displays.iter_mut().flatten();
    displays
        .filter(|own| own.digest == *digest)
        .for_each(|own| own.shown = true);
}

/// What the person is asked to agree to, beside the claims: that it is for everybody, and as whose name.
pub fn consent_word(terms: &Terms) -> String {
    let (handle, kind) = (terms.handle.as_str(), terms.kind);
    if kind.is_organisation() {
        format!("public:{handle}:{}", kind.code())
    } else {
        format!("public:{handle}")
    }
}

/// The organisation whose name a request asks for: the one that the person named, or the only one that they act
/// for. None where their own name is asked for, or nothing for everybody.
pub fn organisation(
    content: &Content,
    terms: Option<&Terms>,
    named: Option<&str>,
) -> Result<Option<String>, CliError> {
    if !terms.is_some_and(|terms| terms.kind.is_organisation()) {
        return Ok(None);
    }
    let held = content.batches.iter();
    let mut held: Vec<&String> = held
        .filter_map(|batch| batch.organisation.as_ref())
        .filter(|name| named.is_none_or(|named| named == *name))
        .collect();
    held.sort();
    held.dedup();
    match held.as_slice() {
        [one] => Ok(Some((*one).clone())),
        [] => Err(CliError::user(
            "organisation.none",
            "the wallet has the credential of an organisation that its person acts for",
            "get one: `realdid wallet organisation --evidence FILE`; `realdid wallet show` lists them",
        )),
        _ => Err(CliError::user(
            "organisation.ambiguous",
            "it is known for which organisation the person acts here",
            "name it: --organisation NAME, as `realdid wallet show` lists it",
        )),
    }
}

/// The displays of this wallet, each as the ledger proves it now. The node that answers sees them asked
/// for together. Of those that show this person's own name it learns nothing new, since each has the same;
/// beside them it learns for which organisations they act.
pub async fn list(wallet: &mut Wallet) -> Result<Value, CliError> {
    let mut ledger = Ledger::of(&wallet.content)?;
    let mut shown = vec![];
    for own in wallet.content.displays.clone().unwrap_or_default() {
        let record = ledger.display(&mut wallet.content, &own.digest).await?;
        let state = match record.map(|record| record.status) {
            None => "unknown",
            Some(DisplayStatus::Withdrawn) => "withdrawn",
            Some(DisplayStatus::Active) if own.expires_s <= now_s() => "expired",
            Some(DisplayStatus::Active) => "active",
        };
        shown.push(json!({
            "digest": own.digest.to_string(),
            "handle": own.handle,
            "kind": own.kind.as_deref().unwrap_or(Kind::Person.code()),
            "service": own.service.to_string(),
            "domain": own.domain,
            "made": own.made_s,
            "until": own.expires_s,
            "state": state,
        }));
    }
    wallet.save()?;
    Ok(json!({ "displays": shown }))
}

/// What is needed to take a display back.
struct Target {
    digest: Hash32,
    salt: [u8; 32],
    handle: String,
}

/// Takes a display back: by its handle or digest, or by its badge, as a file or an address, where the
/// wallet does not know it any more.
pub async fn withdraw(wallet: &mut Wallet, http: &Http, which: &str) -> Result<Value, CliError> {
    let target = find(&wallet.content, which)?;
    let target = match target {
        Some(target) => target,
        None => of_badge(http, which).await?,
    };
    let key = seed::display_key(
        wallet.content.pool.suite(),
        &wallet.content.pairwise_root,
        &target.salt,
    )?;
    let mut ledger = Ledger::of(&wallet.content)?;
    let record = ledger.display(&mut wallet.content, &target.digest).await?;
    let record = record.ok_or_else(|| {
        let code = realdid_core::rule::Rule::DisplayUnknown;
        CliError::user(
            code.code(),
            code.text(),
            "wait until the display is final, then try again",
        )
    })?;
    if record.withdrawal != commitment(&key.public()) {
        return Err(CliError::user(
            "display.not_ours",
            "the display is one of this wallet's, or of the one that its words rebuild",
            "take it back in the wallet that made it",
        ));
    }
    let parameters = ledger.parameters();
    let height = ledger
        .light
        .newest()
        .map_or(0, |newest| newest.header.height);
    let operation = Operation::new(
        ledger.light.genesis().network.clone(),
        height + parameters.expiry_window / 2,
        Body::WithdrawDisplay(target.digest, ReasonCode::HolderRequest),
    )
    .sign(&[&key]);
    let height = ledger
        .nodes
        .submit_and_wait(&operation, ACCEPT_TIMEOUT)
        .await?;
    let displays = wallet.content.displays.iter_mut().flatten();
    displays
        .filter(|own| own.digest == target.digest)
        .for_each(|own| own.taken_back = true);
    wallet.save()?;
    Ok(json!({
        "digest": target.digest.to_string(),
        "handle": target.handle,
        "height": height,
    }))
}

/// The newest display of a handle, or the one of a digest.
fn find(content: &Content, which: &str) -> Result<Option<Target>, CliError> {
    let standing = content.displays.iter().flatten().rev();
    let mut found = standing
        .filter(|own| own.digest.to_string() == which || own.handle == which)
        .filter(|own| !own.taken_back);
    let first = found.next();
    // One handle on two platforms: the person has to say which.
    if let Some(first) = first
        && found.any(|other| other.service != first.service && other.shown)
    {
        return Err(CliError::user(
            "display.ambiguous",
            "the handle shows this person's name on one platform",
            "give the digest that `realdid wallet displays` shows",
        ));
    }
    Ok(first.map(|own| Target {
        digest: own.digest,
        salt: own.salt.0,
        handle: own.handle.clone(),
    }))
}

async fn of_badge(http: &Http, which: &str) -> Result<Target, CliError> {
    let unknown = || {
        CliError::user(
            "display.not_found",
            "the display is known by its handle, its digest or its badge",
            &format!(
                "look at `realdid wallet displays`; {} is none of them",
                printable(which)
            ),
        )
    };
    let bytes = if which.starts_with("http://") || which.starts_with("https://") {
        http.get(&display::badge_address(&address(which)?)).await?
    } else {
        let path = Path::new(which);
        let long = std::fs::metadata(path).map(|about| about.len() > MAX_BADGE_BYTES as u64);
        match long {
            Ok(false) => std::fs::read(path).map_err(|_| unknown())?,
            _ => return Err(unknown()),
        }
    };
    let badge = Badge::parse(&bytes)?;
    let claimed = badge.claimed();
    let salt = URL_SAFE_NO_PAD.decode(&claimed.salt).ok();
    let salt = salt
        .and_then(|salt| salt.try_into().ok())
        .ok_or_else(unknown)?;
    Ok(Target {
        digest: claimed.digest,
        salt,
        handle: claimed.terms.handle.as_str().to_owned(),
    })
}
