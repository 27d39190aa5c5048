//! One order of copies, and what becomes of it (OpenID4VCI 1.0 §7 to §11; spec/wallet.md, W19 and W20):
//! fresh keys with their proofs; an answer that is encrypted where the issuer can; copies now or later;
//! and word to the issuer of what became of them.

use super::{Source, Trust, holder_key, key_metadata, mdocs, received_sd_jwts};
use crate::content::{Batch, CredentialCopy, Format, Pending};
use crate::error::CliError;
use crate::grant::Grant;
use crate::http::{Answer, Http, address};
use crate::ledger::{now_ms, now_s};
use crate::secret::{Secret32, SecretText};
use crate::vault;
use realdid_core::genesis::Parameters;
use realdid_core::suite::Suite;
use realdid_credential::jose::{self, JwsError, SigningKey};
use realdid_exchange::jwe::{DecryptionKey, Enc};
use realdid_exchange::suites;
use realdid_exchange::vci::{
    self, CredentialRequest, CredentialResponse, DeferredRequest, DeferredResponse, IssuerMetadata,
    Notification, NotificationEvent, VciError,
};
use serde_json::{Value, json};
use std::time::Duration;

/// How often an issuer is asked again at once for what comes later.
const PATIENCE: u32 = 3;
/// The longest wait between, in seconds.
const LONGEST_WAIT_S: u64 = 10;

/// What is ordered, and what it is held against when it comes.
#[derive(Clone, Copy)]
pub(super) struct Order<'a> {
    pub(super) source: &'a Source,
    /// Without copies.
    pub(super) batch: &'a Batch,
    pub(super) trust: &'a Trust,
    pub(super) parameters: Option<&'a Parameters>,
}

/// What came of it.
pub(super) enum Outcome {
    Now(Received),
    /// Nothing yet.
    Later(Box<Pending>),
}

/// Copies that hold.
pub(super) struct Received {
    pub(super) copies: Vec<CredentialCopy>,
    notification_id: Option<String>,
}

/// Keys that copies are bound to.
struct Holder {
    secrets: Vec<Secret32>,
    suite: Suite,
}

/// A key of one answer alone, and how its content is to be encrypted.
struct Opener {
    key: DecryptionKey,
    enc: &'static str,
}

impl Order<'_> {
    /// Orders copies. Where the issuer needs a while it is asked again a few times.
    pub(super) async fn place(self, http: &Http, grant: &mut Grant) -> Result<Outcome, CliError> {
        let metadata = &self.source.metadata;
        let nonce = match &metadata.nonce_endpoint {
            Some(endpoint) => Grant::nonce(http, &address(endpoint)?).await?,
            None => String::new(),
        };
        let count = match self.batch.lives_long() {
            true => 1,
            false => metadata.batch_size().min(vci::BATCH_SIZE),
        };
        let suite = self.batch.suite();
        let drawn = (0..count).map(|_| holder_key(suite));
        let (secrets, signing): (Vec<_>, Vec<_>) =
            drawn.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        let holder = Holder { secrets, suite };
        let configuration = &self.batch.configuration;
        let issuer = &metadata.credential_issuer;
        let mut request = match metadata.wants_attested_keys(configuration) {
            false => CredentialRequest::build(configuration, issuer, &nonce, now_s(), &signing)?,
            true => {
                let provider = http.provider().ok_or(VciError::KeyAttestationMissing)?;
                let keys: Vec<_> = signing.iter().map(SigningKey::verifying_key).collect();
                let attestation = provider.keys(&keys, &nonce, now_s())?;
                let first = signing.first().ok_or(VciError::ProofMissing)?;
                CredentialRequest::build_attested(
                    configuration,
                    issuer,
                    &nonce,
                    now_s(),
                    first,
                    &attestation,
                )?
            }
        };
        if let Some(identifier) = grant.identifier(&self.batch.configuration) {
            request.credential_identifier = Some(identifier.to_owned());
            request.credential_configuration_id = None;
        }
        let opener = Opener::offered(metadata)?;
        request.credential_response_encryption = opener.as_ref().map(Opener::asked);
        let url = address(&metadata.credential_endpoint)?;
        let to = metadata.request_key()?;
        let answer = grant.post_sealed(http, &url, &request, to.as_ref());
        let answer = answer.await?;
        let mut outcome = self.outcome(http, grant, answer, opener, holder).await?;
        for _ in 0..PATIENCE {
            let Outcome::Later(pending) = outcome else {
                break;
            };
            let wait_s = pending.interval_s.clamp(1, LONGEST_WAIT_S);
            tokio::time::sleep(Duration::from_secs(wait_s)).await;
            outcome = self.again(http, grant, *pending).await?;
        }
        Ok(outcome)
    }

    /// §9: asks again for what was to come later.
    pub(super) async fn again(
        self,
        http: &Http,
        grant: &mut Grant,
        pending: Pending,
    ) -> Result<Outcome, CliError> {
        let metadata = &self.source.metadata;
        let endpoint = metadata.deferred_credential_endpoint.as_deref();
        let url = address(endpoint.ok_or(VciError::Metadata)?)?;
        let opener = Opener::offered(metadata)?;
        let request = DeferredRequest {
            transaction_id: pending.transaction_id.as_str().to_owned(),
            credential_response_encryption: opener.as_ref().map(Opener::asked),
        };
        let to = metadata.request_key()?;
        let answer = grant.post_sealed(http, &url, &request, to.as_ref());
        let answer = answer.await?;
        let holder = Holder {
            suite: pending.suite.unwrap_or(Suite::P256),
            secrets: pending.keys,
        };
        self.outcome(http, grant, answer, opener, holder).await
    }

    async fn outcome(
        self,
        http: &Http,
        grant: &mut Grant,
        answer: Answer,
        opener: Option<Opener>,
        holder: Holder,
    ) -> Result<Outcome, CliError> {
        let is_later = answer.status == 202;
        let body = answer.success()?;
        let body = match opener {
            Some(opener) => opener.open(&body)?,
            None => body,
        };
        if is_later {
            let later = DeferredResponse::read(&body)?;
            return Ok(Outcome::Later(Box::new(Pending {
                batch: self.batch.clone(),
                transaction_id: SecretText::new(later.transaction_id),
                keys: holder.secrets,
                suite: (holder.suite != Suite::P256).then_some(holder.suite),
                since_ms: now_ms(),
                interval_s: later.interval,
            })));
        }
        let response = CredentialResponse::parse(&body, holder.secrets.len())?;
        let notification_id = response.notification_id.clone();
        match self.checked(http, response.texts(), holder).await {
            Ok(copies) => Ok(Outcome::Now(Received {
                copies,
                notification_id,
            })),
            Err(refused) => {
                let event = NotificationEvent::CredentialFailure;
                self.tell(http, grant, notification_id, event).await;
                Err(refused)
            }
        }
    }

    async fn checked(
        self,
        http: &Http,
        texts: Vec<String>,
        holder: Holder,
    ) -> Result<Vec<CredentialCopy>, CliError> {
        let Self {
            batch,
            trust,
            parameters,
            ..
        } = self;
        let suite = holder.suite;
        let keys = holder.secrets.iter();
        let signing = keys.map(|secret| suites::key_from(suite, secret.bytes()));
        let signing = signing.collect::<Result<Vec<SigningKey>, JwsError>>()?;
        // Only a PID's certificate must be the one that everybody gets.
        let certified =
            batch.format() == Format::Mdoc || texts.iter().any(|text| is_certified(text));
        let published = match certified && trust.roots.is_empty() {
            true => key_metadata(http, &batch.issuer).await?.chains(),
            false => vec![],
        };
        let published = published.as_slice();
        let received = match batch.format() {
            Format::SdJwt => {
                received_sd_jwts(&texts, &signing, batch, trust, published, parameters)?
            }
            Format::Mdoc => mdocs::received(&texts, &signing, batch, trust, published, parameters)?,
        };
        let copies = received.into_iter().zip(holder.secrets);
        Ok(copies
            .map(|((credential, expires_s), holder_key)| CredentialCopy {
                credential: SecretText::new(credential),
                holder_key,
                expires_s,
                holder_suite: (suite != Suite::P256).then_some(suite),
                path: None,
            })
            .collect())
    }

    /// §11: says that the copies are kept.
    pub(super) async fn acknowledge(
        self,
        http: &Http,
        grant: &mut Grant,
        notification_id: Option<String>,
    ) {
        let event = NotificationEvent::CredentialAccepted;
        self.tell(http, grant, notification_id, event).await;
    }

    /// Word to the issuer, where it wants some. Whether it hears it changes nothing here; no text of
    /// ours goes with it, since that could say anything.
    async fn tell(
        self,
        http: &Http,
        grant: &mut Grant,
        notification_id: Option<String>,
        event: NotificationEvent,
    ) {
        let endpoint = self.source.metadata.notification_endpoint.as_deref();
        let url = endpoint.and_then(|endpoint| address(endpoint).ok());
        let (Some(url), Some(notification_id)) = (url, notification_id) else {
            return;
        };
        let said = Notification {
            notification_id,
            event,
            event_description: None,
        };
        let _heard = grant.post_json(http, &url, &said).await;
    }
}

/// Whether an SD-JWT VC has certificates in its header.
fn is_certified(text: &str) -> bool {
    let jwt = text.split('~').next().unwrap_or_default();
    jose::decode_unverified(jwt).is_ok_and(|jws| jws.header.contains_key("x5c"))
}

impl Received {
    /// The copies, and the name by which the issuer is told of them.
    pub(super) fn split(self) -> (Vec<CredentialCopy>, Option<String>) {
        (self.copies, self.notification_id)
    }
}

impl Opener {
    /// A fresh key, where the issuer can encrypt to it (§12.2.4). One that must, and cannot, is refused.
    fn offered(metadata: &IssuerMetadata) -> Result<Option<Self>, CliError> {
        let Some(offered) = &metadata.credential_response_encryption else {
            return Ok(None);
        };
        let names = |list: &str, name: &str| {
            let list = offered.get(list).and_then(Value::as_array);
            list.is_some_and(|list| list.iter().any(|known| known == name))
        };
        let mut encs = Enc::ALL.map(Enc::name).into_iter();
        let enc = encs.find(|enc| {
            names("alg_values_supported", "ECDH-ES") && names("enc_values_supported", enc)
        });
        let Some(enc) = enc else {
            let required = offered.get("encryption_required") == Some(&json!(true));
            return match required {
                true => Err(VciError::Encryption.into()),
                false => Ok(None),
            };
        };
        // About one draw in 2^32 is no scalar of P-256. The name is the same in all requests.
        for _ in 0..4 {
            let secret = Secret32::new(vault::random()?);
            if let Ok(key) = DecryptionKey::from_bytes(secret.bytes(), "response") {
                return Ok(Some(Self { key, enc }));
            }
        }
        Err(vault::VaultError::Entropy.into())
    }

    fn asked(&self) -> Value {
        json!({"jwk": self.key.public_jwk(), "enc": self.enc})
    }

    /// What was asked for encrypted is not taken in the clear.
    fn open(&self, body: &[u8]) -> Result<Vec<u8>, CliError> {
        let text = std::str::from_utf8(body).map_err(|_| VciError::ResponseEncryption)?;
        let opened = self.key.decrypt(text.trim_ascii());
        Ok(opened.map_err(|_| VciError::ResponseEncryption)?)
    }
}

#[cfg(test)]
mod tests;
