//! Verifiers that are not registered on the ledger (spec/login.md, V17 to V21 and V25; spec/wallet.md, W22): an
//! authority or a DID that the person chose says who they are, and nobody what they may ask. They ask by DCQL
//! for any credential that the wallet holds, and get what the person allows by name.

use crate::content::{Batch, CredentialCopy, Format};
use crate::error::{CliError, printable};
use crate::http::{Http, address};
use crate::issue;
use crate::journal::{self, Disclosure, Outcome, Verifier};
use crate::ledger::{Ledger, now_ms, now_s};
use crate::present::{self, Consent, Continuation, Shown};
use crate::vault;
use crate::wallet::Wallet;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realdid_credential::dcql::{DcqlError, DcqlQuery, Held};
use realdid_credential::jose::Alg;
use realdid_credential::mdoc::{self, Mdoc, MdocError};
use realdid_credential::sd_jwt::{self, ParsedSdJwt, SdJwtError};
use realdid_credential::x509::Certificate;
use realdid_credential::{ClaimPath, PathElement, jose, pid};
use realdid_exchange::vp::{self, CheckedRequest, Stranger, Takes, WalletError};
use serde_json::{Map, Value};

/// One credential that answers a part of a query.
#[derive(Debug)]
struct Pick {
    /// The query's id of it.
    id: String,
    /// Its place in the wallet.
    place: usize,
    claims: Vec<ClaimPath>,
    /// What the person has to allow, claim by claim.
    words: Vec<String>,
}

/// Tells the person who asks, asks them, and answers.
pub async fn answer(
    wallet: &mut Wallet,
    http: &Http,
    ledger: &mut Ledger,
    (request, stranger): (&CheckedRequest, &Stranger),
    consent: &Consent,
) -> Result<Shown, CliError> {
    let mut picks = picks(wallet, &stranger.query, &request.takes);
    if picks.is_err() && replenish(wallet, http, ledger, &stranger.query).await {
        picks = self::picks(wallet, &stranger.query, &request.takes);
    }
    let picks = picks.map_err(|error| match error {
        DcqlError::CredentialMissing => issue::no_credential(),
        error => CliError::from(error),
    })?;
    announce(wallet, request, stranger, &picks);
    let words: Vec<String> = picks.iter().flat_map(|pick| pick.words.clone()).collect();
    if !agreed(&words, consent, present::ask_person) {
        let form = vp::refusal_form(request.state.as_deref(), WalletError::AccessDenied);
        // The person's no stands whether or not the verifier hears of it.
        let _ = http.post_form(&address(&request.response_uri)?, form).await;
        // Nobody bounds what it asks for, so all of it is nothing to say yes to.
        return Err(present::declined(&words, ""));
    }
    send(wallet, http, request, stranger, (&picks, words)).await
}

/// The credentials that answer a query, signed as the verifier takes it: of several that do the one that
/// lasts longest.
fn picks(wallet: &Wallet, query: &DcqlQuery, takes: &Takes) -> Result<Vec<Pick>, DcqlError> {
    let now_s = now_s();
    let mut found = Vec::new();
    let mut first_refusal = None;
    for asked in &query.credentials {
        let mut best: Option<(u64, Pick)> = None;
        for (place, batch) in wallet.content.batches.iter().enumerate() {
            let usable = batch.usable(now_s, |_| true);
            let Some(copy) = usable.and_then(|at| batch.copies.get(at)) else {
                continue;
            };
            let Ok(held) = Claims::of(batch, copy) else {
                continue;
            };
            if let (Some(issuer), Ok(holder)) = (held.signed_by, copy.holder())
                && !takes.signed_by(issuer, holder.alg())
            {
                continue;
            }
            match asked.matches(&held.as_held(batch)) {
                Ok(claims) if best.as_ref().is_none_or(|(s, _)| *s < copy.expires_s) => {
                    let words = claims.iter().map(|claim| word(batch, claim)).collect();
                    let id = asked.id.clone();
                    let pick = Pick {
                        id,
                        place,
                        claims,
                        words,
                    };
                    best = Some((copy.expires_s, pick));
                }
                Ok(_) | Err(DcqlError::OtherFormat | DcqlError::OtherType) => {}
                Err(refusal) => _ = first_refusal.get_or_insert(refusal),
            }
        }
        found.extend(best.map(|(_, pick)| pick));
    }
    let can = |id: &str| found.iter().any(|pick| pick.id == id);
    // Why the one that there is does not do says more than that there is none.
    let chosen = query.choose(&can);
    let chosen = chosen.map_err(|missing| first_refusal.unwrap_or(missing))?;
    found.retain(|pick| chosen.iter().any(|asked| asked.id == pick.id));
    Ok(found)
}

/// Fetches copies of what a query asks for by type and of which none is left. Whether any came.
async fn replenish(
    wallet: &mut Wallet,
    http: &Http,
    ledger: &mut Ledger,
    query: &DcqlQuery,
) -> bool {
    let asks = |batch: &Batch| {
        let mut kinds = query.credentials.iter();
        kinds.any(|asked| {
            asked.vct_values.contains(&batch.vct) || asked.doctype.as_ref() == Some(&batch.vct)
        })
    };
    let spent = |batch: &&Batch| asks(batch) && batch.usable(now_s(), |_| true).is_none();
    let refreshable = |batch: &&Batch| batch.refresh_token.is_some();
    let batches = wallet.content.batches.iter();
    let places: Vec<usize> = batches
        .enumerate()
        .filter(|(_, batch)| spent(batch) && refreshable(batch))
        .map(|(place, _)| place)
        .collect();
    let mut came = false;
    for place in places {
        eprintln!(
            "No copy of a credential is left, so fresh ones are fetched now: their issuer sees when."
        );
        came |= issue::refresh(wallet, http, Some(ledger), place)
            .await
            .is_ok();
    }
    came
}

/// The claims of a copy, as a query speaks of them.
struct Claims {
    claims: Map<String, Value>,
    authority_keys: Vec<Vec<u8>>,
    /// Of an SD-JWT VC.
    signed_by: Option<Alg>,
}

impl Claims {
    fn of(batch: &Batch, copy: &CredentialCopy) -> Result<Self, CliError> {
        let text = copy.credential.as_str();
        let (claims, chain, signed_by) = match batch.format() {
            Format::SdJwt => {
                let jwt = sd_jwt::Claimed::read(text)?.jwt;
                let jws = jose::decode_unverified(jwt).map_err(SdJwtError::Jws)?;
                let chain = jws.x5c().unwrap_or_default();
                (
                    ParsedSdJwt::parse(text)?.claims().clone(),
                    chain,
                    Some(jws.alg),
                )
            }
            Format::Mdoc => {
                let bytes = URL_SAFE_NO_PAD.decode(text);
                let bytes = bytes.map_err(|_| MdocError::Malformed)?;
                let chain = mdoc::claimed_chain(&bytes)?;
                (Mdoc::parse(&bytes)?.claims().clone(), chain, None)
            }
        };
        let key = |der: &Vec<u8>| {
            let certificate = Certificate::parse(der).ok()?;
            certificate.authority_key_id().map(<[u8]>::to_vec)
        };
        Ok(Self {
            claims,
            authority_keys: chain.iter().filter_map(key).collect(),
            signed_by,
        })
    }

    fn as_held<'a>(&'a self, batch: &'a Batch) -> Held<'a> {
        Held {
            format: batch.format().name(),
            kind: &batch.vct,
            claims: &self.claims,
            authority_keys: &self.authority_keys,
        }
    }
}

/// Whether it is the person's own PID.
fn is_pid(batch: &Batch) -> bool {
    [pid::VCT, pid::LONG_VCT, mdoc::pid::DOC_TYPE].contains(&batch.vct.as_str())
}

/// A claim as it is allowed: those of the PID by their registered names, others with the credential's type.
fn word(batch: &Batch, claim: &ClaimPath) -> String {
    let named = mdoc::pid::claim_of(claim).filter(|_| batch.vct == mdoc::pid::DOC_TYPE);
    let claim = named.as_ref().unwrap_or(claim);
    match is_pid(batch) {
        true => claim.to_string(),
        false => printable(&format!("{}:{claim}", batch.vct)),
    }
}

fn announce(wallet: &Wallet, request: &CheckedRequest, stranger: &Stranger, picks: &[Pick]) {
    let name = printable(&stranger.name);
    let domain = request.domains.first().map_or("", String::as_str);
    eprintln!("{name} asks, at {}.", printable(domain));
    eprintln!(
        "  It is NOT REGISTERED on the ledger: nobody has looked at why it asks, or whether it may."
    );
    eprintln!(
        "  That it is who it says is the word of {}, which you chose to trust.",
        printable(&stranger.authority)
    );
    for pick in picks {
        let batch = wallet.content.batches.get(pick.place);
        let of = match batch {
            Some(batch) if !is_pid(batch) => {
                format!("of your credential {}", printable(&batch.vct))
            }
            _ => "of your PID".to_owned(),
        };
        let claims: Vec<String> = pick.claims.iter().map(ToString::to_string).collect();
        eprintln!("  It sees {of}: {}.", printable(&claims.join(", ")));
    }
    eprintln!("  It can keep and link what you show.");
}

/// Whether the person allows each claim by itself.
fn agreed(words: &[String], consent: &Consent, mut ask: impl FnMut(&str) -> bool) -> bool {
    let mut words = words.iter();
    words.all(|word| consent.allow.contains(word) || ask(&format!("Show {word}?")))
}

/// Makes one answer, writes it into the journal and sends it.
async fn send(
    wallet: &mut Wallet,
    http: &Http,
    request: &CheckedRequest,
    stranger: &Stranger,
    (picks, words): (&[Pick], Vec<String>),
) -> Result<Shown, CliError> {
    // The copies leave the wallet before they leave the device: whatever happens now, none is shown a
    // second time.
    let mut copies = Vec::new();
    for pick in picks {
        let format = wallet.content.batches.get(pick.place).map(Batch::format);
        let format = format.ok_or_else(issue::no_credential)?;
        copies.push((format, present::take_copy(wallet, pick.place, None)?));
    }
    let verifier = Verifier {
        client_id: request.client_id.clone(),
        name: stranger.name.clone(),
        authority: stranger.authority.clone(),
    };
    let disclosure = Disclosure {
        at_ms: now_ms(),
        service: request.service_id,
        domains: request.domains.clone(),
        purpose: String::new(),
        claims: words.clone(),
        did: String::new(),
        outcome: Outcome::Unknown,
        pass_epoch: None,
        verifier: Some(verifier.clone()),
    };
    let ticket = journal::begin(&mut wallet.content, disclosure);
    wallet.save()?;

    let mut shown = Vec::new();
    for (pick, (format, copy)) in picks.iter().zip(&copies) {
        let text = match format {
            Format::SdJwt => present::show_copy(copy, request, &pick.claims)?,
            Format::Mdoc => {
                let elements: Option<Vec<_>> = pick.claims.iter().map(element).collect();
                let elements = elements.ok_or(MdocError::NoSuchElement)?;
                present::show_mdoc(copy, request, &elements)?
            }
        };
        shown.push((pick.id.as_str(), text));
    }
    let entries: Vec<(&str, &str)> = shown
        .iter()
        .map(|(id, text)| (*id, text.as_str()))
        .collect();
    let form = vp::form_of(request, &entries, &vault::random()?)?;
    let (outcome, result) = present::post(http, request, form).await?;
    journal::finish(&mut wallet.content, ticket, outcome);
    wallet.save()?;
    let (redirect, confirmation_code) = Continuation::read(&result?).onwards();
    Ok(Shown {
        did: None,
        claims: words,
        pass_epoch: None,
        redirect,
        confirmation_code,
        display: None,
        verifier: Some(verifier),
    })
}

/// An element of an mdoc: its name space and its name.
fn element(path: &ClaimPath) -> Option<(&str, &str)> {
    match path.elements() {
        [PathElement::Name(name_space), PathElement::Name(name)] => Some((name_space, name)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
