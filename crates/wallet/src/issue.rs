//! Receiving credentials over OpenID4VCI 1.0, and refreshing them.
//!
//! A credential is stored only after it was checked: the issuer's key as it stands on the ledger,
//! the holder key as asked for, the times as genesis fixes them, and that nothing in the copies
//! marks their holder (`unmarked`). SD-JWT VCs and mdocs come in the same way.

use crate::content::{Batch, CredentialCopy, Format};
use crate::error::CliError;
use crate::http::{Http, address, read_json};
use crate::ledger::{Ledger, now_s};
use crate::realpass::PassRefused;
use crate::renew;
use crate::secret::{Secret32, SecretText};
use crate::vault;
use crate::wallet::Wallet;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use realdid_core::genesis::Parameters;
use realdid_core::state::{Issuer, KeyStatus, KeyUse, Standing, issuer_id};
use realdid_core::suite::Suite;
use realdid_credential::jose::{Jwk, SigningKey};
use realdid_credential::pid;
use realdid_credential::sd_jwt::{self, IssuerEvidence, IssuerKey};
use realdid_exchange::suites;
use realdid_exchange::vci::{
    self, CredentialOffer, CredentialRequest, CredentialResponse, IssuerMetadata, NonceResponse,
    ReceivedOffer, ServerMetadata, TokenRequest, TokenResponse,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::Url;

mod mdocs;
mod unmarked;

pub use unmarked::{check_unmarked, check_unmarked_mdocs};

/// How far apart the clocks of wallet and issuer may be, in seconds.
const CLOCK_SKEW_S: u64 = 10;
/// An issuer and what it said about itself.
pub(crate) struct Source {
    pub(crate) metadata: IssuerMetadata,
    token_endpoint: Url,
}

/// The keys under which an issuer's credentials are believed.
struct Trust {
    keys: Vec<IssuerKey>,
    on_ledger: bool,
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

/// Takes an offer with its pre-authorised code and stores what comes. Answers the places of the
/// batches in the wallet.
pub async fn take_offer(
    wallet: &mut Wallet,
    http: &Http,
    mut ledger: Option<&mut Ledger>,
    offer: &CredentialOffer,
    tx_code: Option<&str>,
) -> Result<Vec<usize>, CliError> {
    let issuer = offer.credential_issuer.as_str();
    let request = TokenRequest::for_offer(offer, tx_code)?;
    let source = discover(http, issuer).await?;
    let parameters = ledger.as_ref().map(|ledger| ledger.parameters().clone());
    let trust = trust(wallet, http, ledger.as_deref_mut(), issuer).await?;
    let token = token(http, &source, &request).await?;
    let mut places = vec![];
    let ids = offer.credential_configuration_ids.iter();
    for configuration in ids.filter(|id| *id != vci::PASS_CONFIGURATION) {
        let (format, vct) = kind_of(&source.metadata, configuration)?;
        let batch = Batch {
            issuer: issuer.to_owned(),
            vct,
            format: (format != Format::SdJwt).then_some(format),
            configuration: configuration.clone(),
            copies: vec![],
            refresh_token: token.refresh_token.clone().map(SecretText::new),
            on_ledger: trust.on_ledger,
        };
        let copies = fetch(http, &source, &token, &batch, &trust, parameters.as_ref()).await?;
        places.push(store(wallet, Batch { copies, ..batch })?);
    }
    let offered = &offer.credential_configuration_ids;
    if offered.iter().any(|id| id == vci::PASS_CONFIGURATION) {
        let ledger = ledger.ok_or(PassRefused::KeyUnknown)?;
        // After the PID, so that the one can be held against the other.
        if let Some(refresh_token) = token.refresh_token.clone() {
            wallet.passes()?.refresh_token = Some(SecretText::new(refresh_token));
            wallet.save()?;
        }
        renew::take_all(wallet, http, ledger, &source, &token).await?;
    }
    Ok(places)
}

/// A refresh token that the issuer replaced, wherever it is kept.
pub(crate) fn replace_refresh_token(wallet: &mut Wallet, old: &SecretText, new: SecretText) {
    let content = &mut wallet.content;
    let of_batches = content
        .batches
        .iter_mut()
        .map(|batch| &mut batch.refresh_token);
    let of_passes = content
        .passes
        .iter_mut()
        .map(|passes| &mut passes.refresh_token);
    for kept in of_batches.chain(of_passes) {
        if kept.as_ref() == Some(old) {
            *kept = Some(new.clone());
        }
    }
}

/// Asks the issuer for new copies. The refresh token that comes with them is stored before they
/// are asked for, so that a crash in between does not lose the right to ask.
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
    let refresh_token = batch.refresh_token.as_ref().ok_or_else(|| {
        CliError::user(
            "credential.no_refresh",
            "the issuer gave a refresh token with the credential",
            "get a new offer from the issuer",
        )
    })?;
    let request = TokenRequest::Refresh {
        refresh_token: refresh_token.as_str().to_owned(),
    };
    let source = discover(http, &batch.issuer).await?;
    let parameters = ledger.as_ref().map(|ledger| ledger.parameters().clone());
    let trust = trust(wallet, http, ledger, &batch.issuer).await?;
    let token = token(http, &source, &request).await?;
    if let Some(next) = &token.refresh_token {
        replace_refresh_token(wallet, refresh_token, SecretText::new(next.clone()));
        wallet.save()?;
    }
    let copies = fetch(http, &source, &token, &batch, &trust, parameters.as_ref()).await?;
    if let Some(stored) = wallet.content.batches.get_mut(place) {
        stored.copies = copies;
        stored.on_ledger = trust.on_ledger;
    }
    wallet.save()
}

pub fn no_credential() -> CliError {
    CliError::user(
        "credential.none",
        "the wallet has a credential of the type that is asked for",
        "enrol, or receive one from its issuer",
    )
}

/// §12: where the issuer's endpoints are, by the well-known documents of its URL.
pub(crate) async fn discover(http: &Http, issuer: &str) -> Result<Source, CliError> {
    let url = vci::well_known(issuer, "openid-credential-issuer")?;
    let metadata = IssuerMetadata::parse(&http.get(&url).await?, issuer)?;
    let server = metadata.authorization_server().to_owned();
    let url = vci::well_known(&server, "oauth-authorization-server")?;
    let server = ServerMetadata::parse(&http.get(&url).await?, &server)?;
    Ok(Source {
        token_endpoint: address(&server.token_endpoint)?,
        metadata,
    })
}

/// The issuer's keys: from its proved record on the ledger, or, for issuers that are not on it,
/// from its own metadata.
async fn trust(
    wallet: &mut Wallet,
    http: &Http,
    ledger: Option<&mut Ledger>,
    issuer: &str,
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
            });
        }
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

/// §6: the token endpoint.
pub(crate) async fn token(
    http: &Http,
    source: &Source,
    request: &TokenRequest,
) -> Result<TokenResponse, CliError> {
    let form = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(request.to_form())
        .finish();
    let body = http
        .post_form(&source.token_endpoint, form)
        .await?
        .success()?;
    Ok(TokenResponse::parse(&body)?)
}

/// §7 and §8: a nonce, fresh keys with their proofs, and the copies, checked.
async fn fetch(
    http: &Http,
    source: &Source,
    token: &TokenResponse,
    batch: &Batch,
    trust: &Trust,
    parameters: Option<&Parameters>,
) -> Result<Vec<CredentialCopy>, CliError> {
    let metadata = &source.metadata;
    let nonce = match &metadata.nonce_endpoint {
        Some(endpoint) => {
            let url = address(endpoint)?;
            let body = http.post_form(&url, String::new()).await?.success()?;
            read_json::<NonceResponse>(&url, &body)?.c_nonce
        }
        None => String::new(),
    };
    let count = metadata.batch_size().min(vci::BATCH_SIZE);
    let suite = holder_suite(trust, batch.format(), parameters);
    let keys = (0..count)
        .map(|_| holder_key(suite))
        .collect::<Result<Vec<_>, _>>()?;
    let signing: Vec<SigningKey> = keys.iter().map(|(_, key)| key.clone()).collect();
    let request = CredentialRequest::build(
        &batch.configuration,
        &metadata.credential_issuer,
        &nonce,
        now_s(),
        &signing,
    )?;
    let url = address(&metadata.credential_endpoint)?;
    let body = http
        .post_json(&url, &request, Some(&token.access_token))
        .await?;
    let texts = CredentialResponse::parse(&body, count)?;

    let received = match batch.format() {
        Format::SdJwt => received_sd_jwts(&texts, &signing, batch, trust, parameters)?,
        Format::Mdoc => {
            let published = key_metadata(http, &batch.issuer).await?.chains();
            mdocs::received(&texts, &signing, batch, trust, &published, parameters)?
        }
    };
    let copies = received.into_iter().zip(keys);
    Ok(copies
        .map(
            |((credential, expires_s), (holder_key, _))| CredentialCopy {
                credential: SecretText::new(credential),
                holder_key,
                expires_s,
                holder_suite: (suite != Suite::P256).then_some(suite),
            },
        )
        .collect())
}

/// Checks what came as SD-JWT VCs; answers each with its expiry.
fn received_sd_jwts(
    texts: &[String],
    signing: &[SigningKey],
    batch: &Batch,
    trust: &Trust,
    parameters: Option<&Parameters>,
) -> Result<Vec<(String, u64)>, CliError> {
    let evidence = IssuerEvidence {
        issuer_keys: &trust.keys,
        accepted_vcts: &[&batch.vct],
        now_s: now_s(),
        clock_skew_s: CLOCK_SKEW_S,
    };
    let parsed = texts
        .iter()
        .zip(signing)
        .map(|(text, key)| sd_jwt::receive(text, &evidence, &Jwk(key.verifying_key())))
        .collect::<Result<Vec<_>, _>>()?;
    if batch.vct == pid::VCT {
        let parameters = of_authority(parameters, trust)?;
        check_unmarked(&parsed, parameters, evidence.now_s)?;
    }
    let copy =
        |credential: &sd_jwt::ParsedSdJwt| (credential.as_str().to_owned(), credential.exp_s());
    Ok(parsed.iter().map(copy).collect())
}

/// The network's parameters, where a PID's issuer is on its ledger.
fn of_authority<'a>(
    parameters: Option<&'a Parameters>,
    trust: &Trust,
) -> Result<&'a Parameters, CliError> {
    parameters.filter(|_| trust.on_ledger).ok_or_else(|| {
        CliError::new(
            "credential.issuer_unknown",
            "a PID comes from an authority on the ledger",
            "issuer",
            "do not take a PID from this issuer",
        )
    })
}

/// The suite of the keys that new copies are bound to: that of the network's documents where the issuer is
/// on its ledger, and P-256, which every issuer takes, elsewhere and in an mdoc.
fn holder_suite(trust: &Trust, format: Format, parameters: Option<&Parameters>) -> Suite {
    let of_network = parameters.filter(|_| trust.on_ledger && format == Format::SdJwt);
    of_network.map_or(Suite::P256, Parameters::document_suite)
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

/// Stores a batch in the place of an older one of the same issuer and type.
fn store(wallet: &mut Wallet, batch: Batch) -> Result<usize, CliError> {
    let batches = &mut wallet.content.batches;
    let same = |old: &Batch| old.issuer == batch.issuer && old.vct == batch.vct;
    let place = match batches.iter().position(same) {
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

/// A batch as it is shown: no credential, no key, no token.
pub fn batch_json(batch: &Batch) -> Value {
    json!({
        "type": batch.vct,
        "format": batch.format().name(),
        "issuer": batch.issuer,
        "copies": batch.copies.len(),
        "expires": batch.expires_s(),
        "onLedger": batch.on_ledger,
        "refreshable": batch.refresh_token.is_some(),
    })
}

#[cfg(test)]
pub(crate) mod tests;
