//! What opens an issuer's endpoints: tokens, and the key that they are bound to (RFC 9449;
//! spec/wallet.md, W15 and W16).
//!
//! Each grant has a fresh key, which is used at the issuer that gave it and nowhere else, so that it
//! says to nobody more than the token itself does. It is kept beside the refresh token, because
//! neither is of use without the other.

use crate::authorize::CLIENT_ID;
use crate::error::CliError;
use crate::http::{Answer, FORM, Http, read_json};
use crate::issue::Source;
use crate::ledger::now_s;
use crate::random;
use crate::secret::{Secret32, SecretText};
use crate::vault::{self, VaultError};
use realdid_credential::jose::{Jwk, SigningKey};
use realdid_exchange::jwe::EncryptionKey;
use realdid_exchange::oidc::dpop;
use realdid_exchange::vci::attestation::{Provider, build_pop};
use realdid_exchange::vci::{self, TokenRequest, TokenResponse, VciError};
use serde::Serialize;
use std::collections::BTreeMap;
use url::{Origin, Url};

/// The longest nonce of a server that is repeated, in bytes.
const MAX_NONCE_BYTES: usize = 512;
/// What a server says where its nonce is missing in a proof, or too old (RFC 9449 §8).
const WANTS_NONCE: &str = "use_dpop_nonce";

/// A request to be sent with a proof.
pub(crate) struct Post<'a> {
    pub(crate) url: &'a Url,
    pub(crate) media_type: &'a str,
    pub(crate) body: Vec<u8>,
    pub(crate) token: Option<&'a str>,
    /// What a provider says of this wallet, anew for each attempt.
    pub(crate) attested: Option<Attested<'a>>,
}

/// A wallet that its provider vouches for, towards one server.
#[derive(Clone, Copy)]
pub(crate) struct Attested<'a> {
    provider: &'a Provider,
    client_id: &'a str,
    server: &'a str,
}

impl<'a> Attested<'a> {
    /// Where the server takes attestations and there is a provider. A server that takes no others, and
    /// no provider, is refused.
    pub(crate) fn at(
        http: &'a Http,
        source: &'a Source,
        client_id: &'a str,
    ) -> Result<Option<Self>, VciError> {
        let (takes, needs) = source.server.attested_wallets();
        match http.provider() {
            Some(provider) if takes => Ok(Some(Self {
                provider,
                client_id,
                server: &source.server.issuer,
            })),
            None if needs => Err(VciError::AttestationMissing),
            _ => Ok(None),
        }
    }

    /// The instance's key is made for this one request: none is the same at two issuers, or twice at one.
    fn headers(&self) -> Result<[(&'static str, String); 2], CliError> {
        let instance = Prover::fresh()?.key;
        let (provider, client_id) = (self.provider, self.client_id);
        let attestation = provider.client(client_id, &instance.verifying_key(), now_s())?;
        let jti = random::secret()?;
        let pop = build_pop(&instance, client_id, self.server, &jti, now_s())?;
        Ok([
            ("oauth-client-attestation", attestation),
            ("oauth-client-attestation-pop", pop),
        ])
    }
}

impl Post<'_> {
    fn headers(&self) -> Result<Vec<(&'static str, String)>, CliError> {
        let attested = self.attested.map(|attested| attested.headers());
        Ok(attested.transpose()?.into_iter().flatten().collect())
    }
}

/// The key of one grant, and what servers gave to be repeated in its proofs.
pub(crate) struct Prover {
    secret: Secret32,
    key: SigningKey,
    /// The newest nonce by the server that gave it: one of another server is good for nothing.
    nonces: BTreeMap<String, String>,
}

impl Prover {
    /// With a key that nobody has seen.
    pub(crate) fn fresh() -> Result<Self, CliError> {
        // About one draw in 2^32 is no scalar of P-256.
        for _ in 0..4 {
            let secret = Secret32::new(vault::random()?);
            if let Ok(prover) = Self::of(secret) {
                return Ok(prover);
            }
        }
        Err(VaultError::Entropy.into())
    }

    /// With the key that a kept token is bound to.
    pub(crate) fn of(secret: Secret32) -> Result<Self, CliError> {
        Ok(Self {
            key: SigningKey::p256(secret.bytes())?,
            secret,
            nonces: BTreeMap::new(),
        })
    }

    /// What a code is bound to before there is a token (RFC 9449 §10).
    pub(crate) fn thumbprint(&self) -> String {
        Jwk(self.key.verifying_key()).thumbprint_base64url()
    }

    fn proof(&self, url: &Url, token: Option<&str>) -> Result<String, CliError> {
        let mut address = url.clone();
        address.set_query(None);
        address.set_fragment(None);
        let jti = random::secret()?;
        let nonce = self.nonces.get(&server(url)).map(String::as_str);
        let request = ("POST", address.as_str());
        Ok(dpop::build(
            &self.key,
            &jti,
            request,
            token,
            nonce,
            now_s(),
        )?)
    }

    /// Keeps the nonce of an answer for the next proof. Whether it is another one than before.
    fn learn(&mut self, url: &Url, answer: &Answer) -> bool {
        let Some(nonce) = &answer.dpop_nonce else {
            return false;
        };
        let sound = (1..=MAX_NONCE_BYTES).contains(&nonce.len())
            && nonce.bytes().all(|b| b.is_ascii_graphic());
        sound && self.nonces.insert(server(url), nonce.clone()).as_ref() != Some(nonce)
    }

    /// Sends a request with a proof; once more where the server wants a nonce in it that it gives
    /// now. A server that is not content then is refused: it could ask without end.
    pub(crate) async fn post(&mut self, http: &Http, post: &Post<'_>) -> Result<Answer, CliError> {
        let answer = self.once(http, post).await?;
        let is_new = self.learn(post.url, &answer);
        if !is_new || !wants_nonce(&answer) {
            return Ok(answer);
        }
        let answer = self.once(http, post).await?;
        self.learn(post.url, &answer);
        Ok(answer)
    }

    async fn once(&self, http: &Http, post: &Post<'_>) -> Result<Answer, CliError> {
        let mut headers = post.headers()?;
        headers.push(("dpop", self.proof(post.url, post.token)?));
        headers.extend(
            post.token
                .map(|token| ("authorization", format!("DPoP {token}"))),
        );
        http.post(post.url, post.media_type, post.body.clone(), &headers)
            .await
    }
}

/// Nonces are of a server: its origin.
fn server(url: &Url) -> String {
    match url.origin() {
        origin @ Origin::Tuple(..) => origin.ascii_serialization(),
        Origin::Opaque(_) => String::new(),
    }
}

/// RFC 9449 §8 at a token endpoint, §9 at others.
fn wants_nonce(answer: &Answer) -> bool {
    let challenge = answer.challenge.as_deref().unwrap_or_default();
    let refused = matches!(answer.status, 400 | 401);
    let said = || answer.oauth_error().as_deref() == Some(WANTS_NONCE);
    refused && (challenge.contains(WANTS_NONCE) || said())
}

/// Sends a request: with a proof where there is a key, and as a bearer of the token otherwise.
pub(crate) async fn send(
    http: &Http,
    prover: Option<&mut Prover>,
    post: &Post<'_>,
) -> Result<Answer, CliError> {
    let Some(prover) = prover else {
        let mut headers = post.headers()?;
        headers.extend(
            post.token
                .map(|token| ("authorization", format!("Bearer {token}"))),
        );
        let body = post.body.clone();
        return http.post(post.url, post.media_type, body, &headers).await;
    };
    prover.post(http, post).await
}

/// POSTs to an endpoint that a refresh token opens, used as it is bound. Answers the body.
pub(crate) async fn post_as(
    http: &Http,
    kept: Refresh,
    url: &Url,
    (media_type, body): (&str, Vec<u8>),
) -> Result<Vec<u8>, CliError> {
    let mut prover = kept.key.map(Prover::of).transpose()?;
    let post = Post {
        url,
        media_type,
        body,
        token: Some(kept.token.as_str()),
        attested: None,
    };
    send(http, prover.as_mut(), &post).await?.success()
}

/// A token that opens endpoints now, with its key.
pub(crate) struct Grant {
    token: TokenResponse,
    prover: Option<Prover>,
}

impl Grant {
    /// §6: asks the token endpoint. With a key, a token that is not bound to it is refused: whoever
    /// took it on its way could use it.
    pub(crate) async fn open(
        http: &Http,
        source: &Source,
        request: &TokenRequest,
        mut prover: Option<Prover>,
    ) -> Result<Self, CliError> {
        let client_id = match request {
            TokenRequest::AuthorizationCode { client_id, .. } => client_id.as_deref(),
            _ => None,
        };
        let client_id = client_id.unwrap_or(CLIENT_ID);
        let url = source.token_endpoint()?;
        let answer = send(
            http,
            prover.as_mut(),
            &Post {
                url: &url,
                media_type: FORM,
                body: form(request.to_form()),
                token: None,
                attested: Attested::at(http, source, client_id)?,
            },
        )
        .await?;
        let token = TokenResponse::parse(&answer.success()?)?;
        if token.is_bound() != prover.is_some() {
            return Err(VciError::Unbound.into());
        }
        Ok(Self { token, prover })
    }

    /// The same by a refresh token, with the key that it is bound to.
    pub(crate) async fn refreshed(
        http: &Http,
        source: &Source,
        kept: &Refresh,
    ) -> Result<Self, CliError> {
        let request = TokenRequest::Refresh {
            refresh_token: kept.token.as_str().to_owned(),
        };
        let prover = kept.key.clone().map(Prover::of).transpose()?;
        Self::open(http, source, &request, prover).await
    }

    /// What to keep, to come again with: none where the issuer gave nothing new.
    pub(crate) fn refresh(&self) -> Option<Refresh> {
        let token = self.token.refresh_token.clone()?;
        Some(Refresh {
            token: SecretText::new(token),
            key: self.prover.as_ref().map(|prover| prover.secret.clone()),
        })
    }

    /// By what name a credential of `configuration` is asked for, if not by the configuration.
    pub(crate) fn identifier(&self, configuration: &str) -> Option<&str> {
        self.token.identifier(configuration)
    }

    /// POSTs JSON to an endpoint that the token opens.
    pub(crate) async fn post_json(
        &mut self,
        http: &Http,
        url: &Url,
        body: &impl Serialize,
    ) -> Result<Answer, CliError> {
        self.post_sealed(http, url, body, None).await
    }

    /// The same, encrypted to a key of the issuer's where there is one.
    pub(crate) async fn post_sealed(
        &mut self,
        http: &Http,
        url: &Url,
        body: &impl Serialize,
        to: Option<&EncryptionKey>,
    ) -> Result<Answer, CliError> {
        let body = serde_json::to_vec(body).map_err(|_| VciError::CredentialRequest)?;
        let (media_type, body) = match to {
            None => ("application/json", body),
            Some(to) => {
                let (ephemeral, iv) = (Secret32::new(vault::random()?), vault::random()?);
                let sealed = to.encrypt(&body, ephemeral.bytes(), &iv, None);
                let sealed = sealed.map_err(|_| VciError::RequestEncryption)?;
                ("application/jwt", sealed.into_bytes())
            }
        };
        let post = Post {
            url,
            media_type,
            body,
            token: Some(&self.token.access_token),
            attested: None,
        };
        send(http, self.prover.as_mut(), &post).await
    }

    /// §7: a nonce for proofs of holder keys. Anybody may ask for one, so nothing says who does.
    pub(crate) async fn nonce(http: &Http, endpoint: &Url) -> Result<String, CliError> {
        let body = http.post_form(endpoint, String::new()).await?.success()?;
        Ok(read_json::<vci::NonceResponse>(endpoint, &body)?.c_nonce)
    }
}

/// A refresh token, and the key that it is bound to. Tokens of before there were keys have none.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refresh {
    pub(crate) token: SecretText,
    pub(crate) key: Option<Secret32>,
}

/// Fields as the body of a form.
pub(crate) fn form(fields: Vec<(&'static str, String)>) -> Vec<u8> {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish()
        .into_bytes()
}

#[cfg(test)]
mod tests;
