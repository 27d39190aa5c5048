//! Showing something to a service (OpenID4VP 1.0, spec/login.md): fetch the request, hold it
//! against the ledger, ask the person, show what was asked for of a RealPass, one PID copy and the
//! service's own DID.
//!
//! Where the service has seen the RealPass in this epoch and asks for nothing else, the DID alone is
//! shown; a gate that does not know it any more says so, and gets the full answer.
//!
//! Nothing leaves the device before the registration was proved, the person agreed and the
//! disclosure is in the journal.

use crate::change::{self, ChangeError, Purpose};
use crate::content::{Batch, CredentialCopy, Format};
use crate::displays;
use crate::error::{CliError, printable};
use crate::http::{Http, UNREACHABLE, address};
use crate::issue;
use crate::journal::{self, Disclosure, Outcome};
use crate::ledger::{Ledger, now_ms, now_s};
use crate::random::seeded;
use crate::realpass::{self, Occasion};
use crate::renew;
use crate::schedule::utc;
use crate::vault::{self, random};
use crate::wallet::Wallet;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realdid_core::did::Did;
use realdid_core::genesis::Parameters;
use realdid_core::hash::Hash32;
use realdid_credential::mdoc::{self, Mdoc, MdocError, Transcript};
use realdid_credential::sd_jwt::{self, Binding, ParsedSdJwt};
use realdid_exchange::did_proof::{self, ProofContent};
use realdid_exchange::vp::{
    self, CheckedRequest, ClaimedRequest, RequestEvidence, WalletError, WalletLink,
};
use realdid_pass::facts::Facts;
use serde::Deserialize;
use std::io::{BufRead, IsTerminal, Write};
use url::Url;

/// What the person has agreed to beforehand.
#[derive(Debug, Clone, Default)]
pub struct Consent {
    /// Claims by their paths, as in `address.region`.
    pub allow: Vec<String>,
    /// Everything that the registration covers.
    pub yes: bool,
}

/// Refusals of a refresh after which old copies are not used any more.
const BARRED: &[&str] = &["vci.denied", "enrolment.suspended", "credential.marked"];

/// What was shown, and where the service wants the person to go on.
#[derive(Debug)]
pub struct Shown {
    pub did: Option<Did>,
    pub claims: Vec<String>,
    /// The epoch of the RealPass, where one was shown.
    pub pass_epoch: Option<u64>,
    /// Where a browser on this device goes on.
    pub redirect: Option<Url>,
    /// What the person types where the login began on another device.
    pub confirmation_code: Option<String>,
    /// The digest and the address of a badge, where a name is shown to everybody.
    pub display: Option<(Hash32, Option<String>)>,
}

#[derive(Default, Deserialize)]
struct Continuation {
    redirect_uri: Option<String>,
    /// Not part of OpenID4VP: our gates give it beside the redirect.
    confirmation_code: Option<String>,
    /// The address of a display's badge.
    badge: Option<String>,
}

/// Reads what a person gives to `present`: a wallet link, or the address of a request.
///
/// An address names no client, so nothing holds the request's own word for who asks against what
/// a link said; the registration and the ledger still do.
pub async fn examine(
    wallet: &mut Wallet,
    http: &Http,
    ledger: &mut Ledger,
    text: &str,
) -> Result<CheckedRequest, CliError> {
    let link = if text.starts_with("openid4vp://") {
        Some(WalletLink::parse(text)?)
    } else {
        None
    };
    let url = address(link.as_ref().map_or(text, |link| &link.request_uri))?;
    let wallet_nonce = match &link {
        Some(link) if link.post => Some(URL_SAFE_NO_PAD.encode(vault::random::<16>()?)),
        _ => None,
    };
    let body = match &wallet_nonce {
        Some(nonce) => {
            let form = url::form_urlencoded::Serializer::new(String::new())
                .append_pair("wallet_nonce", nonce)
                .finish();
            http.post_form(&url, form).await?.success()?
        }
        None => http.get(&url).await?,
    };
    let compact = String::from_utf8(body).map_err(|_| vp::RequestRefused::Malformed)?;
    let claimed = ClaimedRequest::parse(&compact)?;
    let link = link.unwrap_or_else(|| WalletLink {
        client_id: vp::client_id(&claimed.service_id()),
        request_uri: url.to_string(),
        post: false,
    });
    let service = ledger
        .service(&mut wallet.content, &claimed.service_id())
        .await?
        .value;
    let registrar = ledger
        .issuer(
            &mut wallet.content,
            &claimed.registrar_id(ledger.hash_function()),
        )
        .await?
        .value;
    if let Some(terms) = claimed.display()
        && terms.network != ledger.light.genesis().network
    {
        return Err(vp::RequestRefused::Display.into());
    }
    let evidence = RequestEvidence {
        registrar: registrar.as_ref(),
        service: service.as_ref(),
        now_s: now_s(),
        wallet_nonce: wallet_nonce.as_deref(),
    };
    Ok(claimed.check(&link, &evidence)?)
}

/// Shows on standard error who asks for what and why.
pub fn announce(wallet: &Wallet, ledger: &Ledger, request: &CheckedRequest) {
    eprintln!(
        "{}{} asks, for the purpose \"{}\".",
        printable(&request.service_name),
        if request.registration.sandbox {
            " (a sandbox registration)"
        } else {
            ""
        },
        request.purpose,
    );
    eprintln!("  Registered for {}.", request.domains.join(", "));
    if let Some(terms) = &request.display {
        eprintln!(
            "  It asks you to show your real name TO EVERYBODY, beside @{} there, until {}.",
            terms.handle.as_str(),
            utc(terms.expires_s.saturating_mul(1000)),
        );
        eprintln!(
            "  You can take it back with `realdid wallet withdraw {}`.",
            terms.handle.as_str()
        );
    }
    let passes = wallet.content.passes.as_ref();
    let held = passes.and_then(|passes| realpass::standing(passes, ledger.parameters(), now_ms()));
    let facts = held.and_then(|held| realpass::facts(held).ok());
    eprintln!("  It sees {}.", sees(request, facts.as_ref()));
}

/// What a service sees, in words. `facts` are those of the RealPass at hand.
fn sees(request: &CheckedRequest, facts: Option<&Facts>) -> String {
    let asked = &request.asked;
    let mut parts = vec!["a DID that is for it alone".to_owned()];
    if let Some(pass) = &asked.pass {
        let told = pass.facts.iter().map(|fact| realpass::words(*fact, facts));
        let told: Vec<String> = told.collect();
        parts.push(if told.is_empty() {
            "that you are one real person, the same one each time here".to_owned()
        } else {
            format!(
                "that you are one real person, the same one each time here, and: {}",
                told.join("; ")
            )
        });
    }
    let claims = asked.pid.iter().flat_map(|pid| &pid.claims);
    let claims: Vec<String> = claims.map(ToString::to_string).collect();
    if !claims.is_empty() {
        parts.push(format!("of your PID: {}", claims.join(", ")));
    }
    if request.claims.is_empty() {
        parts.push("nothing else about you".to_owned());
    }
    parts.join(", and ")
}

/// Whether the person agrees: nothing about them is asked for, or they said so beforehand, or
/// they say so now.
pub fn consented(request: &CheckedRequest, consent: &Consent, ask: impl FnOnce() -> bool) -> bool {
    consent.yes
        || consent_words(request)
            .iter()
            .all(|word| consent.allow.contains(word))
        || ask()
}

/// What has to be allowed: each claim, and that it is for everybody.
fn consent_words(request: &CheckedRequest) -> Vec<String> {
    let claims = request.claims.iter().map(ToString::to_string);
    claims
        .chain(request.display.as_ref().map(displays::consent_word))
        .collect()
}

/// Asks on the terminal; without one the answer is no.
pub fn ask_person() -> bool {
    if !std::io::stdin().is_terminal() {
        return false;
    }
    eprint!("Show this? [y/N] ");
    let mut line = String::new();
    let _ = std::io::stderr().flush();
    std::io::stdin().lock().read_line(&mut line).is_ok() && matches!(line.trim(), "y" | "Y" | "yes")
}

/// Tells the gate that the person declined, and says so here.
pub async fn decline(http: &Http, request: &CheckedRequest) -> Result<CliError, CliError> {
    let form = vp::refusal_form(request.state.as_deref(), WalletError::AccessDenied);
    // The person's no stands whether or not the gate hears of it.
    let _ = http.post_form(&address(&request.response_uri)?, form).await;
    let words = consent_words(request);
    let claims: Vec<String> = words.iter().map(|word| format!("--allow {word}")).collect();
    Ok(CliError::user(
        "vp.declined",
        "the person consents to what is shown",
        &format!(
            "if you want to show it, add {} (or --yes)",
            claims.join(" ")
        ),
    ))
}

/// Answers a request to which the person agreed.
///
/// Where a DID alone is enough and the gate has seen the RealPass in this epoch, it gets the DID
/// alone. If it does not know that any more, it gets all of it, within the same login.
pub async fn answer(
    wallet: &mut Wallet,
    http: &Http,
    ledger: &mut Ledger,
    request: &CheckedRequest,
) -> Result<Shown, CliError> {
    if did_is_enough(wallet, ledger.parameters(), request, now_ms()) {
        match send(wallet, http, ledger, request, true).await {
            Err(error) if error.code == vp::ResponseRefused::PassNeeded.code() => {}
            answered => return answered,
        }
    }
    send(wallet, http, ledger, request, false).await
}

/// Whether this service may be answered by the DID alone: it offers that, and accepted this wallet's
/// RealPass in the current epoch.
fn did_is_enough(
    wallet: &Wallet,
    parameters: &Parameters,
    request: &CheckedRequest,
    now_ms: u64,
) -> bool {
    let epoch = parameters.epoch_at(now_ms);
    let passes = wallet.content.passes.as_ref();
    request.asked.did_alone
        && passes.is_some_and(|passes| passes.was_shown_at(&request.service_id, epoch))
}

/// Makes one answer, writes it into the journal and sends it.
async fn send(
    wallet: &mut Wallet,
    http: &Http,
    ledger: &mut Ledger,
    request: &CheckedRequest,
    did_alone: bool,
) -> Result<Shown, CliError> {
    let asked = &request.asked;
    let place = match asked.pid.is_some() || asked.mdoc.is_some() {
        true if !did_alone => Some(ready_batch(wallet, http, ledger, asked).await?),
        _ => None,
    };
    let held = match asked.pass.as_ref().filter(|_| !did_alone) {
        Some(_) => Some(renew::for_now(wallet, http, ledger).await?),
        None => None,
    };
    let signer = match asked.did_id {
        Some(_) => Some(did_for(wallet, ledger, request).await?),
        None => None,
    };

    // The copy leaves the wallet before it leaves the device: whatever happens now, it is not
    // shown a second time.
    let format = place.map(|place| wallet.content.batches[place].format());
    let copy = place.map(|place| take_copy(wallet, place)).transpose()?;
    let did = signer.as_ref().map(|signer| signer.did.clone());
    let name = did.as_ref().map(ToString::to_string);
    let claims = consent_words(request);
    let domain = request.domains.first().cloned().unwrap_or_default();
    let made = match (&copy, &request.display) {
        (Some(copy), Some(terms)) => {
            Some(displays::make(&mut wallet.content, copy, terms, &domain)?)
        }
        _ => None,
    };
    let pass_epoch = held.as_ref().map(|held| held.epoch);
    let disclosure = Disclosure {
        at_ms: now_ms(),
        service: request.service_id,
        domains: request.domains.clone(),
        purpose: request.purpose.clone(),
        claims: claims.clone(),
        did: name.clone().unwrap_or_default(),
        outcome: Outcome::Unknown,
        pass_epoch,
    };
    let ticket = journal::begin(&mut wallet.content, disclosure);
    wallet.save()?;

    let pass = match (&held, &asked.pass) {
        (Some(held), Some(pass)) => {
            let occasion = Occasion {
                service: &request.service_id.0,
                nonce: &request.nonce,
                audience: &request.client_id,
                did: name.as_deref(),
            };
            let network = &ledger.light.genesis().network;
            let seed = &wallet.passes()?.seed;
            let mut random = seeded()?;
            let facts = &pass.facts;
            Some(realpass::show(
                held,
                seed,
                network,
                facts,
                &occasion,
                &mut random,
            )?)
        }
        _ => None,
    };
    let digest = made.as_ref().map(|(_, digest)| *digest);
    let pid = match (&copy, format) {
        _ if made.is_some() => made.map(|(shown, _)| shown),
        (Some(copy), Some(Format::SdJwt)) => Some(show_copy(copy, request)?),
        (Some(copy), Some(Format::Mdoc)) => Some(show_mdoc(copy, request)?),
        _ => None,
    };
    let proof = match &signer {
        None => None,
        Some(signer) => {
            let content = ProofContent {
                did: &signer.did,
                inception: Some(&signer.inception),
                staple: &signer.staple,
                key_index: signer.key_index,
                audience: &request.client_id,
                nonce: &request.nonce,
                now_s: now_s(),
                shown_hash: did_proof::shown_hash(pass.as_deref(), pid.as_deref()),
            };
            Some(did_proof::build(&content, &signer.key)?)
        }
    };
    let shown = vp::Answer {
        pass: pass.as_deref(),
        pid: pid.as_deref().filter(|_| format == Some(Format::SdJwt)),
        mdoc: pid.as_deref().filter(|_| format == Some(Format::Mdoc)),
        did_proof: proof.as_deref(),
    };
    let form = vp::response_form(request, &shown, &random()?)?;
    let url = address(&request.response_uri)?;
    let result = http
        .post_form(&url, form)
        .await
        .and_then(|answer| answer.success());
    let outcome = match &result {
        Ok(_) => Outcome::Accepted,
        Err(error) if error.code == UNREACHABLE => Outcome::Unknown,
        Err(error) => Outcome::Refused(error.code.clone()),
    };
    if let (Outcome::Accepted, Some(epoch)) = (&outcome, pass_epoch) {
        wallet.passes()?.shown_at(request.service_id, epoch);
    }
    if let (Outcome::Accepted, Some(digest)) = (&outcome, &digest) {
        displays::was_shown(&mut wallet.content, digest);
    }
    journal::finish(&mut wallet.content, ticket, outcome);
    wallet.save()?;
    let next: Continuation = serde_json::from_slice(&result?).unwrap_or_default();
    let redirect = next.redirect_uri.and_then(|uri| address(&uri).ok());
    let confirmation_code = next.confirmation_code.map(|code| printable(&code));
    Ok(Shown {
        did,
        claims,
        pass_epoch,
        redirect,
        confirmation_code,
        display: digest.map(|digest| (digest, next.badge.map(|badge| printable(&badge)))),
    })
}

/// Shows one PID copy with the asked claims, to this request.
fn show_copy(copy: &CredentialCopy, request: &CheckedRequest) -> Result<String, CliError> {
    let credential = ParsedSdJwt::parse(copy.credential.as_str())?;
    let binding = Binding {
        nonce: &request.nonce,
        aud: &request.client_id,
        iat_s: now_s(),
    };
    let holder = copy.holder()?;
    let pid = request.asked.pid.iter();
    let claims: Vec<_> = pid.flat_map(|pid| pid.claims.clone()).collect();
    Ok(sd_jwt::present(&credential, &claims, &binding, &holder)?)
}

/// The same with a copy that is an mdoc.
fn show_mdoc(copy: &CredentialCopy, request: &CheckedRequest) -> Result<String, CliError> {
    let bytes = URL_SAFE_NO_PAD
        .decode(copy.credential.as_str())
        .map_err(|_| MdocError::Malformed)?;
    let claims = request.asked.mdoc.iter().flat_map(|mdoc| &mdoc.claims);
    let elements: Option<Vec<_>> = claims.map(mdoc::pid::element_of).collect();
    let elements = elements.ok_or(MdocError::NoSuchElement)?;
    let paths: Vec<_> = elements
        .iter()
        .map(|element| (mdoc::pid::NAME_SPACE, *element))
        .collect();
    let transcript = Transcript::openid4vp(
        &request.client_id,
        &request.nonce,
        request.thumbprint.as_ref(),
        &request.response_uri,
    );
    let device = copy.holder()?;
    let shown = Mdoc::parse(&bytes)?.select(&paths)?;
    Ok(URL_SAFE_NO_PAD.encode(shown.bind(&transcript, &device)?))
}

/// The service's DID with what it takes to sign with it now.
struct Signer {
    did: Did,
    inception: realdid_core::did::Inception,
    staple: realdid_core::answer::StateAnswer,
    key: realdid_core::suite::SecretKey,
    key_index: usize,
}

/// Picks or makes the DID for this service, and the key that the ledger says stands now.
async fn did_for(
    wallet: &mut Wallet,
    ledger: &mut Ledger,
    request: &CheckedRequest,
) -> Result<Signer, CliError> {
    let place = match wallet.content.did_of_service(&request.service_id) {
        Some(place) => place,
        None => {
            let purpose = Purpose {
                service: request.service_id,
                bound: true,
                domain: request.domains.first().cloned().unwrap_or_default(),
            };
            let network = ledger.light.genesis().network.clone();
            let place = change::new_did(&mut wallet.content, network, purpose, now_ms())?;
            wallet.save()?;
            place
        }
    };
    let inception = wallet.content.dids[place].inception()?;
    let (state, staple) = ledger.did(&mut wallet.content, &inception).await?;
    let keys = state.authentication_keys()?;
    let key = wallet.content.dids[place]
        .secret_of(keys)
        .ok_or(ChangeError::OtherKeys)?;
    let key_index = keys.iter().position(|known| *known == key.public());
    Ok(Signer {
        did: state.did.clone(),
        inception,
        staple,
        key,
        key_index: key_index.ok_or(ChangeError::OtherKeys)?,
    })
}

/// A batch of an asked type with a copy to show, an SD-JWT VC before an mdoc. Copies are fetched ahead ([`crate::keep`]); here
/// only where none is left that is valid, because a request at the time of a login ties the two.
async fn ready_batch(
    wallet: &mut Wallet,
    http: &Http,
    ledger: &mut Ledger,
    asked: &vp::Asked,
) -> Result<usize, CliError> {
    let is_asked = |batch: &Batch| match batch.format() {
        Format::SdJwt => {
            let mut pid = asked.pid.iter();
            pid.any(|pid| pid.vcts.contains(&batch.vct))
        }
        Format::Mdoc => asked.mdoc.is_some() && batch.vct == mdoc::pid::DOC_TYPE,
    };
    let batches = wallet.content.batches.iter();
    let place = batches
        .enumerate()
        .filter(|(_, batch)| is_asked(batch))
        .max_by_key(|(_, batch)| {
            let first = batch.format() == Format::SdJwt;
            (batch.on_ledger, first, batch.expires_s())
        })
        .map(|(place, _)| place)
        .ok_or_else(issue::no_credential)?;
    let batch = &wallet.content.batches[place];
    if batch.usable(now_s()).is_some() || batch.refresh_token.is_none() {
        return Ok(place);
    }
    eprintln!(
        "No copy of the credential is left, so fresh ones are fetched now: their issuer sees that you ask at the time of this login. `realdid wallet keep` fetches ahead, at random times."
    );
    match issue::refresh(wallet, http, Some(ledger), place).await {
        Ok(()) => Ok(place),
        // What the authority says about the person stands.
        Err(error) if BARRED.contains(&error.code.as_str()) => Err(error),
        Err(error) => Err(CliError::new(
            "credential.expired",
            &format!(
                "a copy of the credential is still valid, or its issuer gives new ones ({})",
                error.code
            ),
            "issuer",
            "try again when the issuer answers",
        )),
    }
}

fn take_copy(wallet: &mut Wallet, place: usize) -> Result<CredentialCopy, CliError> {
    let batch = &mut wallet.content.batches[place];
    let usable = batch.usable(now_s()).ok_or_else(|| {
        CliError::user(
            "credential.used_up",
            "an unused copy of the credential is valid",
            "refresh it: `realdid wallet refresh`",
        )
    })?;
    Ok(batch.copies.swap_remove(usable))
}

#[cfg(test)]
mod pass_tests;
#[cfg(test)]
mod tests;
