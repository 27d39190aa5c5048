//! Receiving credentials over OpenID4VCI 1.0, and refreshing them.
//!
//! A credential is stored only after it was checked: the issuer's key as it stands on the ledger,
//! the holder key as asked for, the times as genesis fixes them, and that nothing in the copies
//! marks their holder (`unmarked`). SD-JWT VCs and mdocs come in the same way.

use crate::authorize::{self, Wish};
use crate::content::{Batch, CredentialCopy, Format};
use crate::enrol;
use crate::error::CliError;
use crate::files;
use crate::grant::{Grant, Prover, Refresh};
use crate::http::{Http, address};
use crate::ledger::{Ledger, now_s};
use crate::realpass::PassRefused;
use crate::renew;
use crate::secret::Secret32;
use crate::vault;
use crate::wallet::Wallet;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use realdid_core::codec::Bytes;
use realdid_core::genesis::Parameters;
use realdid_core::hash::Hash32;
use realdid_core::state::{Issuer, KeyStatus, KeyUse, Standing, issuer_id};
use realdid_core::suite::Suite;
use realdid_credential::jose::{Jwk, SigningKey};
use realdid_credential::sd_jwt::{self, IssuerEvidence, IssuerKey, SdJwtError};
use realdid_credential::status::StatusError;
use realdid_credential::x509::{self, Certificate};
use realdid_credential::{mdoc, organisation, pid};
use realdid_exchange::suites;
use realdid_exchange::vci::{
    self, CredentialOffer, IssuerMetadata, ReceivedOffer, ServerMetadata, TokenRequest,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::path::Path;
use url::Url;

mod fetch;
mod mdocs;
mod unmarked;

use fetch::{Order, Outcome};

pub use unmarked::{check_unmarked, check_unmarked_mdocs};

/// How far apart the clocks of wallet and issuer may be, in seconds.
const CLOCK_SKEW_S: u64 = 10;
/// What an issuer says of a transaction that is over (OpenID4VCI 1.0 §9.3).
const NO_TRANSACTION: &str = "invalid_transaction_id";

/// An issuer and what it said about itself.
pub(crate) struct Source {
    pub(crate) metadata: IssuerMetadata,
    pub(crate) server: ServerMetadata,
}

/// The keys under which an issuer's credentials are believed.
struct Trust {
    keys: Vec<IssuerKey>,
    on_ledger: bool,
    /// Where its keys are known by certificates below a root that the person trusts.
    roots: Vec<Certificate>,
}

/// The key metadata of an issuer that is not on the ledger (SD-JWT VC, JWT VC Issuer Metadata).
#[derive(Deserialize)]
struct JwtVcIssuer {
    issuer: String,
    jwks: Jwks,
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Map<String, Value>>,
}

/// A root that its person trusts, DER, from its PEM file.
pub fn read_root(path: &Path) -> Result<Vec<u8>, CliError> {
    let text = files::read(path, 2 * x509::MAX_LEN as u64)?;
    let der = x509::from_pem(&String::from_utf8_lossy(&text))?;
    Certificate::parse(&der)?;
    Ok(der)
}

/// Reads an offer in any of its forms; one that is given by reference is fetched.
pub async fn read_offer(http: &Http, text: &str) -> Result<CredentialOffer, CliError> {
    match vci::parse_offer(text)? {
        ReceivedOffer::Value(offer) => Ok(offer),
        ReceivedOffer::Reference(url) => {
            let body = String::from_utf8_lossy(&http.get(&url).await?).into_owned();
            match vci::parse_offer(&body)? {
                ReceivedOffer::Value(offer) => Ok(offer),
                ReceivedOffer::Reference(_) => Err(vci::VciError::Offer.into()),
            }
        }
    }
}

/// What a person says of a receipt beside what is offered.
#[derive(Debug, Clone, Default)]
pub struct Asked<'a> {
    /// The transaction code that the issuer gave on another way.
    pub tx_code: Option<&'a str>,
    /// Configurations to receive; without any, all that are offered.
    pub configurations: &'a [String],
    /// How the issuer knows this wallet; [`CLIENT_ID`](authorize::CLIENT_ID) unless it has another name.
    pub client_id: Option<&'a str>,
    /// Roots that the person trusts for the issuer, DER, where it is not on the ledger.
    pub roots: &'a [Vec<u8>],
}

/// Takes an offer by its pre-authorised code, or else by the person's login at the issuer, and stores
/// what comes. Answers the places of the batches in the wallet.
pub async fn take_offer(
    wallet: &mut Wallet,
    http: &Http,
    ledger: Option<&mut Ledger>,
    offer: &CredentialOffer,
    asked: &Asked<'_>,
) -> Result<Vec<usize>, CliError> {
    let by_code = offer.grants.authorization_code.as_ref();
    let by_code = by_code.filter(|_| offer.grants.pre_authorized.is_none());
    let request = match by_code {
        Some(_) => None,
        None => Some(TokenRequest::for_offer(offer, asked.tx_code)?),
    };
    let ids = wanted(&offer.credential_configuration_ids, asked.configurations)?;
    let named = offer.authorization_server();
    let source = discover(http, &offer.credential_issuer, named).await?;
    let grant = match request {
        Some(request) => Grant::open(http, &source, &request, source.prover()?).await?,
        None => {
            let issuer_state = by_code.and_then(|grant| grant.issuer_state.as_deref());
            log_in(http, &source, &ids, asked, issuer_state).await?
        }
    };
    take(
        wallet,
        http,
        ledger,
        &source,
        grant,
        (&ids[..], asked.roots),
    )
    .await
}

/// Receives from an issuer by the person's login there, without an offer.
pub async fn take_from(
    wallet: &mut Wallet,
    http: &Http,
    issuer: &str,
    asked: &Asked<'_>,
    trusted: Option<Hash32>,
) -> Result<Vec<usize>, CliError> {
    let source = discover(http, issuer, None).await?;
    let ids = wanted(&source.kinds(), asked.configurations)?;
    let kinds = ids.iter().map(|id| kind_of(&source.metadata, id));
    let kinds = kinds.collect::<Result<Vec<_>, _>>()?;
    let is_pid = |(_, kind): &(Format, String)| kind == pid::VCT || kind == mdoc::pid::DOC_TYPE;
    // A PID is believed by the ledger: a wallet that has met none meets its authority's.
    let unmet = wallet.content.network.is_none() || trusted.is_some();
    if unmet && kinds.iter().any(is_pid) {
        enrol::pin_network(wallet, http, &address(issuer)?, trusted).await?;
    }
    let mut ledger = match wallet.content.network {
        Some(_) => Some(Ledger::of(&wallet.content)?),
        None => None,
    };
    let grant = log_in(http, &source, &ids, asked, None).await?;
    let what = (&ids[..], asked.roots);
    take(wallet, http, ledger.as_mut(), &source, grant, what).await
}

/// Of what is offered, what the person wants.
fn wanted(offered: &[String], asked: &[String]) -> Result<Vec<String>, CliError> {
    if asked.is_empty() {
        return Ok(offered.to_vec());
    }
    if asked.iter().any(|id| !offered.contains(id)) {
        return Err(vci::VciError::UnknownConfiguration.into());
    }
    Ok(asked.to_vec())
}

async fn log_in(
    http: &Http,
    source: &Source,
    configurations: &[String],
    asked: &Asked<'_>,
    issuer_state: Option<&str>,
) -> Result<Grant, CliError> {
    let wish = Wish {
        configurations,
        client_id: asked.client_id.unwrap_or(authorize::CLIENT_ID),
        issuer_state,
    };
    let tell = |page: &Url| {
        eprintln!("Open this address in a browser on this machine, and log in:\n{page}");
    };
    authorize::authorize(http, source, wish, tell).await
}

/// Fetches what a grant opens, and stores it: `ids` of configurations, by an issuer below `roots`.
async fn take(
    wallet: &mut Wallet,
    http: &Http,
    mut ledger: Option<&mut Ledger>,
    source: &Source,
    mut grant: Grant,
    (ids, roots): (&[String], &[Vec<u8>]),
) -> Result<Vec<usize>, CliError> {
    let issuer = source.metadata.credential_issuer.as_str();
    let parameters = ledger.as_ref().map(|ledger| ledger.parameters().clone());
    let trust = trust(wallet, http, ledger.as_deref_mut(), issuer, roots).await?;
    let kept = roots.iter().cloned().map(Bytes).collect::<Vec<_>>();
    let kept = (!trust.roots.is_empty()).then_some(kept);
    let (refresh_token, token_key) = match grant.refresh() {
        Some(refresh) => (Some(refresh.token), refresh.key),
        None => (None, None),
    };
    let first = source.metadata.authorization_server();
    let server = Some(&source.server.issuer).filter(|server| *server != first);
    let mut places = vec![];
    for configuration in ids.iter().filter(|id| *id != vci::PASS_CONFIGURATION) {
        let (format, vct) = kind_of(&source.metadata, configuration)?;
        let network = parameters.as_ref().filter(|_| trust.on_ledger);
        let suite = holder_suite(&source.metadata, configuration, format, network);
        let batch = Batch {
            issuer: issuer.to_owned(),
            vct,
            format: (format != Format::SdJwt).then_some(format),
            configuration: configuration.clone(),
            copies: vec![],
            refresh_token: refresh_token.clone(),
            token_key: token_key.clone(),
            server: server.cloned(),
            on_ledger: trust.on_ledger,
            organisation: None,
            roots: kept.clone(),
            suite: (suite != Suite::P256).then_some(suite),
        };
        let order = Order {
            source,
            batch: &batch,
            trust: &trust,
            parameters: parameters.as_ref(),
        };
        let outcome = order.place(http, &mut grant).await?;
        places.extend(keep(wallet, http, order, &mut grant, (None, outcome)).await?);
    }
    if ids.iter().any(|id| id == vci::PASS_CONFIGURATION) {
        let ledger = ledger.ok_or(PassRefused::KeyUnknown)?;
        // After the PID, so that the one can be held against the other.
        if refresh_token.is_some() {
            let passes = wallet.passes()?;
            passes.refresh_token = refresh_token;
            passes.token_key = token_key;
            wallet.save()?;
        }
        renew::take_all(wallet, http, ledger, source, &mut grant).await?;
    }
    Ok(places)
}

/// Stores what came, in the place of what it refreshes, and tells the issuer so; or what it takes to
/// ask for it later. Answers the place of what came.
async fn keep(
    wallet: &mut Wallet,
    http: &Http,
    order: Order<'_>,
    grant: &mut Grant,
    (place, outcome): (Option<usize>, Outcome),
) -> Result<Option<usize>, CliError> {
    let batch = order.batch;
    if let Some(waiting) = &mut wallet.content.pending {
        waiting.retain(|pending| !batch.replaces(&pending.batch));
    }
    match outcome {
        Outcome::Now(received) => {
            let (copies, notification_id) = received.split();
            let organisation = organisation_of(batch, &copies);
            let batch = Batch {
                copies,
                organisation,
                ..batch.clone()
            };
            let refreshed = place.filter(|place| *place < wallet.content.batches.len());
            let place = match refreshed {
                Some(place) => {
                    wallet.content.batches[place] = batch;
                    wallet.save()?;
                    place
                }
                None => store(wallet, batch)?,
            };
            order.acknowledge(http, grant, notification_id).await;
            Ok(Some(place))
        }
        Outcome::Later(_) if batch.refresh_token.is_none() => Err(CliError::new(
            "credential.later",
            "an issuer that gives copies later lets the wallet come back for them",
            "issuer",
            "ask for a new offer when the issuer is ready",
        )),
        Outcome::Later(pending) => {
            let waiting = wallet.content.pending.get_or_insert_default();
            waiting.push(*pending);
            wallet.save()?;
            Ok(None)
        }
    }
}

/// Asks again for what issuers were to give later. Answers the places of what came.
pub async fn collect(
    wallet: &mut Wallet,
    http: &Http,
    mut ledger: Option<&mut Ledger>,
) -> Result<Vec<usize>, CliError> {
    let mut places = vec![];
    let count = wallet.content.pending.as_ref().map_or(0, Vec::len);
    // From the end, since what comes is taken out.
    for at in (0..count).rev() {
        let pending = wallet.content.pending.iter().flatten().nth(at).cloned();
        let Some(pending) = pending else { continue };
        let batch = pending.batch.clone();
        let Some(old) = batch.refresh() else { continue };
        let source = discover(http, &batch.issuer, batch.server.as_deref()).await?;
        let parameters = ledger.as_ref().map(|ledger| ledger.parameters().clone());
        let roots = batch.trusted_roots();
        let trust = trust(wallet, http, ledger.as_deref_mut(), &batch.issuer, &roots).await?;
        let mut grant = Grant::refreshed(http, &source, &old).await?;
        keep_next(wallet, &old, &grant)?;
        let batch = match grant.refresh() {
            Some(next) => Batch {
                refresh_token: Some(next.token),
                ..batch
            },
            None => batch,
        };
        let order = Order {
            source: &source,
            batch: &batch,
            trust: &trust,
            parameters: parameters.as_ref(),
        };
        match order.again(http, &mut grant, pending).await {
            Ok(Outcome::Later(_)) => {}
            Ok(outcome) => {
                places.extend(keep(wallet, http, order, &mut grant, (None, outcome)).await?)
            }
            // What the issuer says about this transaction stands: asking again changes nothing.
            Err(refused) if renew::is_refusal(&refused) || refused.code == NO_TRANSACTION => {
                wallet.content.pending.get_or_insert_default().remove(at);
                wallet.save()?;
                return Err(refused);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(places)
}

/// Keeps the refresh token that came in the place of an old one, wherever that is kept: before
/// anything is asked with the new grant, so that a crash in between does not lose the right to ask.
pub(crate) fn keep_next(wallet: &mut Wallet, old: &Refresh, grant: &Grant) -> Result<(), CliError> {
    let Some(next) = grant.refresh() else {
        return Ok(());
    };
    let content = &mut wallet.content;
    let of_batches = content
        .batches
        .iter_mut()
        .map(|batch| &mut batch.refresh_token);
    let of_pending = content.pending.iter_mut().flatten();
    let of_pending = of_pending.map(|pending| &mut pending.batch.refresh_token);
    let of_passes = content
        .passes
        .iter_mut()
        .map(|passes| &mut passes.refresh_token);
    // The key stays: a grant has one.
    for kept in of_batches.chain(of_pending).chain(of_passes) {
        if kept.as_ref() == Some(&old.token) {
            *kept = Some(next.token.clone());
        }
    }
    wallet.save()
}

/// Asks the issuer for new copies.
pub async fn refresh(
    wallet: &mut Wallet,
    http: &Http,
    ledger: Option<&mut Ledger>,
    place: usize,
) -> Result<(), CliError> {
    let batch = wallet
        .content
        .batches
        .get(place)
        .cloned()
        .ok_or_else(no_credential)?;
    let old = batch.refresh().ok_or_else(|| {
        CliError::user(
            "credential.no_refresh",
            "the issuer gave a refresh token with the credential",
            "get a new offer from the issuer",
        )
    })?;
    let source = discover(http, &batch.issuer, batch.server.as_deref()).await?;
    let parameters = ledger.as_ref().map(|ledger| ledger.parameters().clone());
    let roots = batch.trusted_roots();
    let trust = trust(wallet, http, ledger, &batch.issuer, &roots).await?;
    let mut grant = Grant::refreshed(http, &source, &old).await?;
    keep_next(wallet, &old, &grant)?;
    let batch = Batch {
        copies: vec![],
        refresh_token: Some(grant.refresh().map_or(old.token, |next| next.token)),
        on_ledger: trust.on_ledger,
        ..batch
    };
    let order = Order {
        source: &source,
        batch: &batch,
        trust: &trust,
        parameters: parameters.as_ref(),
    };
    let outcome = order.place(http, &mut grant).await?;
    keep(wallet, http, order, &mut grant, (Some(place), outcome)).await?;
    Ok(())
}

pub fn no_credential() -> CliError {
    CliError::user(
        "credential.none",
        "the wallet has a credential of the type that is asked for",
        "enrol, or receive one from its issuer",
    )
}

/// What the wallet has is signed by an algorithm that the verifier does not know.
pub fn not_taken() -> CliError {
    CliError::new(
        "credential.not_taken",
        "the verifier takes credentials that are signed as those of the wallet are",
        "verifier",
        "receive the credential by another algorithm where its issuer has one: `realdid wallet receive`",
    )
}

/// §12: where the issuer's endpoints are, by the well-known documents of its URL. `named` is the
/// authorization server that an offer names.
pub(crate) async fn discover(
    http: &Http,
    issuer: &str,
    named: Option<&str>,
) -> Result<Source, CliError> {
    let url = vci::well_known(issuer, "openid-credential-issuer")?;
    let metadata = IssuerMetadata::parse(&http.get(&url).await?, issuer)?;
    let server = metadata.chosen_server(named)?.to_owned();
    let url = vci::well_known(&server, "oauth-authorization-server")?;
    let server = ServerMetadata::parse(&http.get(&url).await?, &server)?;
    Ok(Source { server, metadata })
}

impl Source {
    pub(crate) fn token_endpoint(&self) -> Result<Url, CliError> {
        address(&self.server.token_endpoint)
    }

    /// A fresh key for a new grant, where the server binds tokens.
    pub(crate) fn prover(&self) -> Result<Option<Prover>, CliError> {
        let binds = self.server.binds_tokens();
        binds.then(Prover::fresh).transpose()
    }

    /// The configurations that this wallet can hold and that anybody may ask for, which a scope says: of
    /// each format, type and algorithm of its signature the first.
    fn kinds(&self) -> Vec<String> {
        let mut kinds = vec![];
        let mut ids = vec![];
        for (id, configuration) in &self.metadata.credential_configurations_supported {
            if configuration.get("scope").is_none() {
                continue;
            }
            let Ok(kind) = kind_of(&self.metadata, id) else {
                continue;
            };
            let kind = (
                kind,
                configuration.get("credential_signing_alg_values_supported"),
            );
            if !kinds.contains(&kind) {
                kinds.push(kind);
                ids.push(id.clone());
            }
        }
        ids
    }
}

/// The issuer's keys: from its proved record on the ledger, or, for issuers that are not on it,
/// by certificates below one of `roots`, or, where there is none, from its own metadata.
async fn trust(
    wallet: &mut Wallet,
    http: &Http,
    ledger: Option<&mut Ledger>,
    issuer: &str,
    roots: &[Vec<u8>],
) -> Result<Trust, CliError> {
    if let Some(ledger) = ledger {
        let by = ledger.hash_function();
        let record = ledger
            .issuer(&mut wallet.content, &issuer_id(by, issuer))
            .await?
            .value;
        if let Some(record) = record {
            return Ok(Trust {
                keys: keys_on_ledger(&record)?,
                on_ledger: true,
                roots: vec![],
            });
        }
    }
    if !roots.is_empty() {
        let roots = roots.iter().map(|der| Certificate::parse(der));
        return Ok(Trust {
            keys: vec![],
            on_ledger: false,
            roots: roots.collect::<Result<_, _>>()?,
        });
    }
    let metadata = key_metadata(http, issuer).await?;
    let keys = metadata.jwks.keys.into_iter().filter_map(|jwk| {
        let kid = jwk.get("kid")?.as_str()?.to_owned();
        let Jwk(key) = Jwk::parse(&Value::Object(jwk)).ok()?;
        Some(IssuerKey {
            iss: issuer.to_owned(),
            kid,
            key,
        })
    });
    Ok(Trust {
        keys: keys.collect(),
        on_ledger: false,
        roots: vec![],
    })
}

/// The issuer's own word for its keys. It is asked without a token, as anybody asks.
async fn key_metadata(http: &Http, issuer: &str) -> Result<JwtVcIssuer, CliError> {
    let url = vci::well_known(issuer, "jwt-vc-issuer")?;
    let metadata: JwtVcIssuer = http.json(&url).await?;
    if metadata.issuer != issuer {
        return Err(vci::VciError::Metadata.into());
    }
    Ok(metadata)
}

impl JwtVcIssuer {
    /// The certificate chains of the keys, DER, leaf first.
    fn chains(&self) -> Vec<Vec<Vec<u8>>> {
        let chain = |jwk: &Map<String, Value>| {
            let x5c = jwk.get("x5c")?.as_array()?;
            let der = |text: &Value| STANDARD.decode(text.as_str()?).ok();
            x5c.iter().map(der).collect()
        };
        self.jwks.keys.iter().filter_map(chain).collect()
    }
}

/// The keys that may sign a PID now.
fn keys_on_ledger(record: &Issuer) -> Result<Vec<IssuerKey>, CliError> {
    if record.standing != Standing::Active {
        return Err(CliError::new(
            "issuer.suspended",
            "the issuer is active on the ledger",
            "issuer",
            "wait until it is reinstated",
        ));
    }
    let signing = |key: &&realdid_core::state::IssuerKey| {
        key.usage == KeyUse::Pid && key.status == KeyStatus::Active
    };
    record
        .keys
        .iter()
        .filter(signing)
        .map(|key| {
            Ok(IssuerKey {
                iss: record.url.clone(),
                kid: key.id().to_string(),
                key: suites::verifying_key(&key.key)?,
            })
        })
        .collect()
}

/// Format and type of a configuration, as far as this wallet knows them.
fn kind_of(metadata: &IssuerMetadata, configuration: &str) -> Result<(Format, String), CliError> {
    let configuration = metadata
        .credential_configurations_supported
        .get(configuration);
    let text = |name: &str| {
        configuration
            .and_then(|c| c.get(name))
            .and_then(Value::as_str)
    };
    let known = match text("format") {
        Some(vci::SD_JWT_VC) => text("vct").map(|vct| (Format::SdJwt, vct)),
        Some(vci::MDOC) => text("doctype").map(|doc_type| (Format::Mdoc, doc_type)),
        _ => None,
    };
    known
        .map(|(format, kind)| (format, kind.to_owned()))
        .ok_or_else(|| {
            CliError::new(
                "vci.format",
                "what is offered is an SD-JWT VC (dc+sd-jwt) or an mdoc (mso_mdoc) that the issuer's metadata describe",
                "issuer",
                "ask for an offer of such a format",
            )
        })
}

/// Checks what came as SD-JWT VCs; answers each with its expiry.
fn received_sd_jwts(
    texts: &[String],
    signing: &[SigningKey],
    batch: &Batch,
    trust: &Trust,
    published: &[Vec<Vec<u8>>],
    parameters: Option<&Parameters>,
) -> Result<Vec<(String, u64)>, CliError> {
    let now_s = now_s();
    let receive = |(text, key): (&String, &SigningKey)| {
        let certified = match trust.roots.is_empty() {
            true => None,
            false => Some([certified_key(text, &batch.issuer, &trust.roots, now_s)?]),
        };
        let evidence = IssuerEvidence {
            issuer_keys: certified.as_ref().map_or(&trust.keys[..], |keys| &keys[..]),
            accepted_vcts: &[&batch.vct],
            now_s,
            clock_skew_s: CLOCK_SKEW_S,
        };
        sd_jwt::receive(text, &evidence, &Jwk(key.verifying_key()))
    };
    let parsed = texts.iter().zip(signing).map(receive);
    let parsed = parsed.collect::<Result<Vec<_>, _>>()?;
    if batch.vct == pid::VCT || batch.vct == organisation::VCT {
        let parameters = of_authority(parameters, trust)?;
        check_unmarked(&parsed, published, parameters, now_s)?;
    }
    if batch.lives_long() {
        of_authority(parameters, trust)?;
        let lists = format!("{}/status/", batch.issuer);
        let listed = |one: &sd_jwt::ParsedSdJwt| match one.status() {
            Some(Ok(reference)) => reference.uri.starts_with(&lists),
            _ => false,
        };
        // A verifier looks nowhere else.
        if !parsed.iter().all(listed) {
            return Err(StatusError::Reference.into());
        }
    }
    let copy =
        |credential: &sd_jwt::ParsedSdJwt| (credential.as_str().to_owned(), credential.exp_s());
    Ok(parsed.iter().map(copy).collect())
}

/// The legal name in the copies of an organisation's credential.
fn organisation_of(batch: &Batch, copies: &[CredentialCopy]) -> Option<String> {
    let first = copies.first().filter(|_| batch.vct == organisation::VCT)?;
    let copy = sd_jwt::ParsedSdJwt::parse(first.credential.as_str()).ok()?;
    let name = copy.claims().get(organisation::LEGAL_NAME)?.as_str();
    name.map(str::to_owned)
}

/// The key of the certificate that came with a credential.
fn certified_key(
    text: &str,
    issuer: &str,
    roots: &[Certificate],
    now_s: u64,
) -> Result<IssuerKey, SdJwtError> {
    let (key, leaf) = sd_jwt::certified_key(text, issuer, roots, now_s)?;
    if names(&leaf, issuer) {
        Ok(key)
    } else {
        Err(SdJwtError::IssuerUnknown)
    }
}

/// Whether a certificate is of whoever answers at this URL: by the URL, or by its host.
fn names(leaf: &Certificate, issuer: &str) -> bool {
    let host = Url::parse(issuer).ok();
    let host = host.as_ref().and_then(Url::host_str);
    let by_uri = leaf.uris.iter().any(|uri| uri == issuer);
    by_uri || leaf.dns.iter().any(|dns| Some(dns.as_str()) == host)
}

/// The network's parameters, where the issuer of a PID, or of an organisation's credential, is on its ledger.
fn of_authority<'a>(
    parameters: Option<&'a Parameters>,
    trust: &Trust,
) -> Result<&'a Parameters, CliError> {
    parameters.filter(|_| trust.on_ledger).ok_or_else(|| {
        CliError::new(
            "credential.issuer_unknown",
            "a PID or an organisation's credential comes from an authority on the ledger",
            "issuer",
            "do not take one from this issuer",
        )
    })
}

/// The suite of the keys that copies of a configuration are bound to: that of the network's documents where
/// the issuer is on its ledger and takes it, and P-256, which every issuer takes, elsewhere and in an mdoc.
fn holder_suite(
    metadata: &IssuerMetadata,
    configuration: &str,
    format: Format,
    network: Option<&Parameters>,
) -> Suite {
    let of_network = network.map(Parameters::document_suite);
    let takes = |suite: &Suite| metadata.binds_to(configuration, suites::alg(*suite));
    let of_network = of_network.filter(|_| format == Format::SdJwt).filter(takes);
    of_network.unwrap_or(Suite::P256)
}

fn holder_key(suite: Suite) -> Result<(Secret32, SigningKey), CliError> {
    // About one draw in 2^32 is no scalar of P-256 or SM2.
    for _ in 0..4 {
        let secret = Secret32::new(vault::random()?);
        if let Ok(key) = suites::key_from(suite, secret.bytes()) {
            return Ok((secret, key));
        }
    }
    Err(vault::VaultError::Entropy.into())
}

/// Stores a batch in the place of an older one of the same issuer, type, organisation and suite.
fn store(wallet: &mut Wallet, batch: Batch) -> Result<usize, CliError> {
    let batches = &mut wallet.content.batches;
    let place = match batches.iter().position(|old| batch.replaces(old)) {
        Some(place) => {
            batches[place] = batch;
            place
        }
        None => {
            batches.push(batch);
            batches.len() - 1
        }
    };
    wallet.save()?;
    Ok(place)
}

/// A batch as it is shown: no credential, no key, no token, and of the claims the name of an organisation alone.
pub fn batch_json(batch: &Batch) -> Value {
    json!({
        "type": batch.vct,
        "format": batch.format().name(),
        "issuer": batch.issuer,
        "copies": batch.copies.len(),
        "inBatch": batch.copies.iter().filter(|copy| copy.path.is_some()).count(),
        "expires": batch.expires_s(),
        "onLedger": batch.on_ledger,
        "refreshable": batch.refresh_token.is_some(),
        "organisation": batch.organisation,
        "suite": batch.suite().name(),
    })
}

#[cfg(test)]
pub(crate) mod tests;
