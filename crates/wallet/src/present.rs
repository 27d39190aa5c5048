//! Showing something to a service (OpenID4VP 1.0, spec/login.md): fetch the request, hold it
//! against the ledger, ask the person, show what was asked for of a RealPass, one PID copy and the
//! service's own DID.
//!
//! Where the service has seen the RealPass in this epoch and asks for nothing else, the DID alone is
//! shown; a gate that does not know it any more says so, and gets the full answer.
//!
//! Nothing leaves the device before the registration was proved, the person agreed and the
//! disclosure is in the journal.

use crate::abroad;
use crate::authorities::{self, ForOnce};
use crate::batches;
use crate::change::{self, ChangeError, Purpose};
use crate::content::{Batch, CredentialCopy, Format};
use crate::displays;
use crate::error::{CliError, printable};
use crate::http::{Http, UNREACHABLE, address};
use crate::issue;
use crate::journal::{self, Disclosure, Outcome, Verifier};
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
use realdid_core::state::Issuer;
use realdid_credential::ClaimPath;
use realdid_credential::mdoc::{self, Mdoc, MdocError, Transcript};
use realdid_credential::sd_jwt::{self, Binding, ParsedSdJwt};
use realdid_exchange::did_proof::{self, ProofContent};
use realdid_exchange::display::Kind;
use realdid_exchange::suites;
use realdid_exchange::vp::{
    self, CheckedRequest, Claimed, RequestEvidence, WalletError, WalletLink,
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
    /// A PID that lives long instead of a one-time copy, where the service takes it.
    pub long_lived: bool,
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
    /// Who asked, where that is not registered.
    pub verifier: Option<Verifier>,
}

#[derive(Default, Deserialize)]
pub(crate) struct Continuation {
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
///
/// `more` are trusted for this once, beside those of the wallet, to say who asks that is not registered.
pub async fn examine(
    wallet: &mut Wallet,
    http: &Http,
    ledger: &mut Ledger,
    text: &str,
    more: &ForOnce,
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
    let named_by = link.map_or(NamedBy::Address(url), NamedBy::Link);
    let nonce = wallet_nonce.as_deref();
    judge(wallet, http, ledger, &compact, (named_by, nonce), more).await
}

/// The same of a request that came together with its link.
pub async fn examine_given(
    wallet: &mut Wallet,
    http: &Http,
    ledger: &mut Ledger,
    link: &str,
    compact: &str,
) -> Result<CheckedRequest, CliError> {
    let named_by = NamedBy::Link(WalletLink::parse(link)?);
    let nobody = ForOnce::default();
    judge(wallet, http, ledger, compact, (named_by, None), &nobody).await
}

/// What led to a request.
enum NamedBy {
    Link(WalletLink),
    /// Names no client, so the request's own word stands.
    Address(Url),
}

impl NamedBy {
    fn link(self, client_id: &str) -> WalletLink {
        match self {
            Self::Link(link) => link,
            Self::Address(url) => WalletLink {
                client_id: client_id.to_owned(),
                request_uri: url.into(),
                post: false,
            },
        }
    }
}

/// Holds a request against what is known of who asks.
async fn judge(
    wallet: &mut Wallet,
    http: &Http,
    ledger: &mut Ledger,
    compact: &str,
    (named_by, wallet_nonce): (NamedBy, Option<&str>),
    more: &ForOnce,
) -> Result<CheckedRequest, CliError> {
    let claimed = match Claimed::parse(compact)? {
        Claimed::Registered(claimed) => claimed,
        Claimed::Certified(claimed) => {
            let anchors = authorities::trusted(wallet, more);
            let link = named_by.link(claimed.client_id());
            return Ok(claimed.check(&link, &anchors, now_s(), wallet_nonce)?);
        }
        Claimed::ByDid(claimed) => {
            let link = named_by.link(claimed.client_id());
            // Nothing is fetched for a DID that the person does not trust.
            let trusted = claimed.trusted(&authorities::trusted_dids(wallet, more))?;
            let document = match trusted.document_url() {
                Some(url) => Some(http.get(url).await?),
                None => None,
            };
            return Ok(trusted.check(document.as_deref(), &link, now_s(), wallet_nonce)?);
        }
    };
    let link = named_by.link(&vp::client_id(&claimed.service_id()));
    let own = ledger.light.genesis().network.clone();
    let is_abroad = claimed.network() != own.as_str();
    let mut abroad = match is_abroad {
        true => Some(abroad::ledger(&mut wallet.content, ledger, claimed.network()).await?),
        false => None,
    };
    let theirs = abroad.as_mut().unwrap_or(ledger);
    let service = theirs
        .service(&mut wallet.content, &claimed.service_id())
        .await?
        .value;
    let registrar = theirs
        .issuer(
            &mut wallet.content,
            &claimed.registrar_id(theirs.hash_function()),
        )
        .await?
        .value;
    // A name is shown where its person's DIDs are.
    if claimed.display().is_some_and(|terms| terms.network != own) {
        return Err(vp::RequestRefused::Display.into());
    }
    let evidence = RequestEvidence {
        network: theirs.light.genesis().network.as_str(),
        registrar: registrar.as_ref(),
        service: service.as_ref(),
        now_s: now_s(),
        wallet_nonce,
    };
    let checked = claimed.check(&link, &evidence)?;
    Ok(if is_abroad { checked.abroad() } else { checked })
}

/// Shows on standard error who asks for what and why. `organisation` is the one whose name would be shown.
pub fn announce(
    wallet: &Wallet,
    ledger: &Ledger,
    request: &CheckedRequest,
    organisation: Option<&str>,
) {
    eprintln!(
        "{}{} asks, for the purpose \"{}\".",
        printable(&request.service_name),
        if request.registration.as_ref().is_some_and(|own| own.sandbox) {
            " (a sandbox registration)"
        } else {
            ""
        },
        request.purpose,
    );
    eprintln!("  Registered for {}.", request.domains.join(", "));
    let own = ledger.light.genesis().network.as_str();
    if request.network != own {
        eprintln!(
            "  It is a service of the network {}, which yours has recognised. It sees that you come from {own}.",
            printable(&request.network)
        );
    }
    if let Some(terms) = &request.display {
        let name = printable(organisation.unwrap_or_default());
        let whose = match terms.kind {
            Kind::Person => "your real name".to_owned(),
            Kind::Organisation => format!("the name of {name}, as whose account it is"),
            Kind::Backed => format!("the name of {name}, as who stands behind you"),
        };
        eprintln!(
            "  It asks you to show {whose}, TO EVERYBODY, beside @{} there, until {}.",
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
    let did = asked.did_id.as_ref();
    let did = did.map(|_| "a DID that is for it alone".to_owned());
    let mut parts: Vec<String> = did.into_iter().collect();
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
    let claims = asked.pid.iter().map(|pid| &pid.claims);
    // Where both formats are asked for, they tell the same.
    let claims = claims
        .chain(asked.mdoc.iter().map(|mdoc| &mdoc.claims))
        .next();
    let claims: Vec<String> = claims
        .into_iter()
        .flatten()
        .map(ToString::to_string)
        .collect();
    if !claims.is_empty() {
        let of_organisation = request
            .display
            .as_ref()
            .is_some_and(|terms| terms.kind.is_organisation());
        let of = if of_organisation {
            "of the organisation"
        } else {
            "of your PID"
        };
        parts.push(format!("{of}: {}", claims.join(", ")));
    }
    if request.claims.is_empty() {
        parts.push("nothing else about you".to_owned());
    }
    parts.join(", and ")
}

/// Whether the person agrees: nothing about them is asked for, or they said so beforehand, or
/// they say so now.
pub fn consented(
    request: &CheckedRequest,
    consent: &Consent,
    mut ask: impl FnMut(&str) -> bool,
) -> bool {
    let words = consent_words(request);
    let allowed = |word: &String| consent.allow.contains(word);
    consent.yes || words.iter().all(allowed) || ask("Show this?")
}

/// What has to be allowed: each claim, and that it is for everybody.
fn consent_words(request: &CheckedRequest) -> Vec<String> {
    let claims = request.claims.iter().map(ToString::to_string);
    claims
        .chain(request.display.as_ref().map(displays::consent_word))
        .collect()
}

/// Asks on the terminal; without one the answer is no.
pub fn ask_person(question: &str) -> bool {
    if !std::io::stdin().is_terminal() {
        return false;
    }
    eprint!("{question} [y/N] ");
    let mut line = String::new();
    let _ = std::io::stderr().flush();
    std::io::stdin().lock().read_line(&mut line).is_ok() && matches!(line.trim(), "y" | "Y" | "yes")
}

/// Tells the gate that the person declined, and says so here.
pub async fn decline(http: &Http, request: &CheckedRequest) -> Result<CliError, CliError> {
    let form = vp::refusal_form(request.state.as_deref(), WalletError::AccessDenied);
    // The person's no stands whether or not the gate hears of it.
    let _ = http.post_form(&address(&request.response_uri)?, form).await;
    Ok(declined(&consent_words(request), " (or --yes)"))
}

pub(crate) fn declined(words: &[String], or_all: &str) -> CliError {
    let claims: Vec<String> = words.iter().map(|word| format!("--allow {word}")).collect();
    CliError::user(
        "vp.declined",
        "the person consents to what is shown",
        &format!("if you want to show it, add {}{or_all}", claims.join(" ")),
    )
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
    how: How<'_>,
) -> Result<Shown, CliError> {
    if did_is_enough(wallet, ledger.parameters(), request, now_ms()) {
        match send(wallet, http, ledger, request, (true, how)).await {
            Err(error) if error.code == vp::ResponseRefused::PassNeeded.code() => {}
            answered => return answered,
        }
    }
    send(wallet, http, ledger, request, (false, how)).await
}

/// What of several credentials an answer is made of.
#[derive(Debug, Clone, Copy, Default)]
pub struct How<'a> {
    /// A PID that lives long instead of a one-time copy, where the service takes it.
    pub long_lived: bool,
    /// The organisation whose name is shown, where that is asked for.
    pub organisation: Option<&'a str>,
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
    (did_alone, how): (bool, How<'_>),
) -> Result<Shown, CliError> {
    let asked = &request.asked;
    let (place, issuer) = match asked.pid.is_some() || asked.mdoc.is_some() {
        true if !did_alone => {
            let (place, issuer) = ready_batch(wallet, http, ledger, (request, how)).await?;
            (Some(place), issuer)
        }
        _ => (None, None),
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
    let copy = place.map(|place| take_copy(wallet, place, issuer.as_ref()));
    let copy = copy.transpose()?;
    let batch = match &copy {
        Some(copy) => batches::beside(wallet, ledger, copy, issuer.as_ref()).await?,
        None => None,
    };
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
        verifier: None,
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
        (Some(copy), Some(Format::SdJwt)) => {
            let pid = asked.pid.iter().flat_map(|pid| pid.claims.clone());
            Some(show_copy(copy, request, &pid.collect::<Vec<_>>())?)
        }
        (Some(copy), Some(Format::Mdoc)) => {
            let claims = asked.mdoc.iter().flat_map(|mdoc| &mdoc.claims);
            let elements: Option<Vec<_>> = claims.map(mdoc::pid::element_of).collect();
            let elements = elements.ok_or(MdocError::NoSuchElement)?;
            let paths = elements.iter().map(|name| (mdoc::pid::NAME_SPACE, *name));
            Some(show_mdoc(copy, request, &paths.collect::<Vec<_>>())?)
        }
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
                batch: batch.as_ref(),
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
    let (outcome, result) = post(http, request, form).await?;
    if let (Outcome::Accepted, Some(epoch)) = (&outcome, pass_epoch) {
        wallet.passes()?.shown_at(request.service_id, epoch);
    }
    if let (Outcome::Accepted, Some(digest)) = (&outcome, &digest) {
        displays::was_shown(&mut wallet.content, digest);
    }
    journal::finish(&mut wallet.content, ticket, outcome);
    wallet.save()?;
    let next = Continuation::read(&result?);
    let (redirect, confirmation_code) = next.onwards();
    Ok(Shown {
        did,
        claims,
        pass_epoch,
        redirect,
        confirmation_code,
        display: digest.map(|digest| (digest, next.badge.map(|badge| printable(&badge)))),
        verifier: None,
    })
}

/// Sends an answer; tells what became of it beside what came back.
pub(crate) async fn post(
    http: &Http,
    request: &CheckedRequest,
    form: String,
) -> Result<(Outcome, Result<Vec<u8>, CliError>), CliError> {
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
    Ok((outcome, result))
}

impl Continuation {
    pub(crate) fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }

    /// Where a browser on this device goes on, and what the person types on another one.
    pub(crate) fn onwards(&self) -> (Option<Url>, Option<String>) {
        let redirect = self.redirect_uri.as_ref();
        let redirect = redirect.and_then(|uri| address(uri).ok());
        let code = self.confirmation_code.as_ref();
        (redirect, code.map(|code| printable(code)))
    }
}

/// Shows one SD-JWT VC with these claims, to this request.
pub(crate) fn show_copy(
    copy: &CredentialCopy,
    request: &CheckedRequest,
    claims: &[ClaimPath],
) -> Result<String, CliError> {
    let credential = ParsedSdJwt::parse(copy.credential.as_str())?;
    let binding = Binding {
        nonce: &request.nonce,
        aud: &request.client_id,
        iat_s: now_s(),
    };
    let holder = copy.holder()?;
    Ok(sd_jwt::present(&credential, claims, &binding, &holder)?)
}

/// The same with a copy that is an mdoc, and elements of it by name space and name.
pub(crate) fn show_mdoc(
    copy: &CredentialCopy,
    request: &CheckedRequest,
    paths: &[(&str, &str)],
) -> Result<String, CliError> {
    let bytes = URL_SAFE_NO_PAD
        .decode(copy.credential.as_str())
        .map_err(|_| MdocError::Malformed)?;
    let transcript = Transcript::openid4vp(
        &request.client_id,
        &request.nonce,
        request.thumbprint.as_ref(),
        &request.response_uri,
    );
    let device = copy.holder()?;
    let shown = Mdoc::parse(&bytes)?.select(paths)?;
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

/// A batch of an asked type with a copy to show, an SD-JWT VC before an mdoc, and its issuer's record. Copies are fetched ahead ([`crate::keep`]); here
/// only where none is left that stands, because a request at the time of a login ties the two.
async fn ready_batch(
    wallet: &mut Wallet,
    http: &Http,
    ledger: &mut Ledger,
    (request, how): (&CheckedRequest, How<'_>),
) -> Result<(usize, Option<Issuer>), CliError> {
    let asked = &request.asked;
    let is_asked = |batch: &Batch| match batch.format() {
        _ if batch.organisation.as_deref() != how.organisation => false,
        Format::SdJwt => {
            let mut pid = asked.pid.iter();
            pid.any(|pid| pid.vcts.contains(&batch.vct))
        }
        Format::Mdoc => asked.mdoc.is_some() && batch.vct == mdoc::pid::DOC_TYPE,
    };
    // What an authority binds to keys of a suite it signs by that suite too.
    let is_taken = |batch: &Batch| {
        let alg = suites::alg(batch.suite());
        batch.format() == Format::Mdoc || request.takes.signed_by(alg, alg)
    };
    let of_network = ledger.parameters().document_suite();
    let batches = wallet.content.batches.iter();
    let place = batches
        .enumerate()
        .filter(|(_, batch)| is_asked(batch) && is_taken(batch))
        .max_by_key(|(_, batch)| {
            let first = batch.format() == Format::SdJwt;
            // One-time copies before what services can know again, unless the person wants it so.
            let once = batch.lives_long() == how.long_lived;
            let own = batch.suite() == of_network;
            (batch.on_ledger, once, first, own, batch.expires_s())
        })
        .map(|(place, _)| place)
        .ok_or_else(|| match wallet.content.batches.iter().any(is_asked) {
            true => issue::not_taken(),
            false => issue::no_credential(),
        })?;
    let issuer = batches::issuer_of(wallet, ledger, place).await;
    let batch = &wallet.content.batches[place];
    let can = |copy: &CredentialCopy| batches::stands(copy, issuer.as_ref());
    if batch.usable(now_s(), can).is_some() || batch.refresh_token.is_none() {
        return Ok((place, issuer));
    }
    let mut others = wallet.content.batches.iter();
    let lasting = others.position(|batch| {
        is_asked(batch)
            && is_taken(batch)
            && batch.lives_long()
            && batch.usable(now_s(), |_| true).is_some()
    });
    let compromised = batch.usable(now_s(), |_| true).is_some();
    eprintln!(
        "No copy of the credential is left that stands, so fresh ones are fetched now: their issuer sees that you ask at the time of this login. `realdid wallet keep` fetches ahead, at random times."
    );
    match issue::refresh(wallet, http, Some(ledger), place).await {
        Ok(()) => {
            let issuer = batches::issuer_of(wallet, ledger, place).await;
            Ok((place, issuer))
        }
        // What the authority says about the person stands.
        Err(error) if BARRED.contains(&error.code.as_str()) => Err(error),
        Err(_) if let Some(place) = lasting => {
            let issuer = batches::issuer_of(wallet, ledger, place).await;
            Ok((place, issuer))
        }
        Err(_) if compromised => Err(key_compromised()),
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

pub(crate) fn take_copy(
    wallet: &mut Wallet,
    place: usize,
    issuer: Option<&Issuer>,
) -> Result<CredentialCopy, CliError> {
    let batch = &mut wallet.content.batches[place];
    let usable = batch.usable(now_s(), |copy| batches::stands(copy, issuer));
    let usable = usable.ok_or_else(|| match batch.usable(now_s(), |_| true) {
        Some(_) => key_compromised(),
        None => CliError::user(
            "credential.used_up",
            "an unused copy of the credential is valid",
            "refresh it: `realdid wallet refresh`",
        ),
    })?;
    // The last copy of somebody who gives no others is kept: without it there would be no credential.
    let is_last = batch.copies.len() == 1 && !batch.on_ledger && batch.refresh_token.is_none();
    Ok(match batch.lives_long() || is_last {
        true => batch.copies[usable].clone(),
        false => batch.copies.swap_remove(usable),
    })
}

/// What every verifier would say of a copy of a key in other hands, in no batch that was there before.
fn key_compromised() -> CliError {
    vp::VpError::from(vp::ResponseRefused::KeyCompromised).into()
}

#[cfg(test)]
mod pass_tests;
#[cfg(test)]
mod tests;
