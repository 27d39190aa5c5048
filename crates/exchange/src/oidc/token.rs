//! Token requests: how a client proves itself, and what it is given (OpenID Connect Core §3.1.3).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use realdid_credential::jose::{self, Jwk, SigningKey};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use url::form_urlencoded;

use super::{
    ACCESS_LIFE_S, Client, ID_TOKEN_LIFE_S, Login, MAX_AUTHORIZATION_BYTES, MAX_TOKEN_BODY_BYTES,
    OidcError, Redeemed, parameters, scheme, secret_hash,
};

/// A client's word about itself, not believed yet.
#[derive(Clone)]
pub struct Credentials {
    client_id: String,
    secret_sha256: [u8; 32],
}

impl Credentials {
    /// Reads them from the `Authorization` header or the form, whichever the client chose.
    pub(super) fn read(
        parameters: &BTreeMap<String, String>,
        authorization: Option<&str>,
    ) -> Result<Self, OidcError> {
        let parameter = |name: &str| parameters.get(name).cloned();
        let basic = authorization.map(basic_credentials).transpose()?;
        let (client_id, secret) = match (basic, parameter("client_secret")) {
            (Some(_), Some(_)) => return Err(OidcError::TwoAuthentications),
            (Some(basic), None) => basic,
            (None, Some(secret)) => (
                parameter("client_id").ok_or(OidcError::ClientAuthentication)?,
                secret,
            ),
            (None, None) => return Err(OidcError::ClientAuthentication),
        };
        if parameter("client_id").is_some_and(|id| id != client_id) {
            return Err(OidcError::ClientAuthentication);
        }
        Ok(Self {
            client_id,
            secret_sha256: secret_hash(&secret),
        })
    }

    /// The client that they prove.
    pub fn authenticate<'a>(&self, clients: &'a [Client]) -> Result<&'a Client, OidcError> {
        // Client ids are public; the secret's hashes are compared in constant time.
        clients
            .iter()
            .find(|client| client.client_id == self.client_id)
            .filter(|client| bool::from(client.secret_sha256.ct_eq(&self.secret_sha256)))
            .ok_or(OidcError::ClientAuthentication)
    }
}

/// A token request, parsed (OpenID Connect Core §3.1.3.1).
#[derive(Clone)]
pub struct TokenRequest {
    pub(super) code: String,
    pub(super) redirect_uri: String,
    pub(super) code_verifier: String,
    credentials: Credentials,
}

impl std::fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenRequest(by {})", self.credentials.client_id)
    }
}

impl TokenRequest {
    /// Reads a form body and the `Authorization` header.
    pub fn parse(body: &str, authorization: Option<&str>) -> Result<Self, OidcError> {
        if body.len() > MAX_TOKEN_BODY_BYTES {
            return Err(OidcError::TooLong);
        }
        let parameters = parameters(body)?;
        let credentials = Credentials::read(&parameters, authorization)?;
        let parameter = |name: &str| parameters.get(name).cloned();
        if parameter("grant_type").as_deref() != Some("authorization_code") {
            return Err(OidcError::GrantType);
        }
        let needed = |name: &str| parameter(name).ok_or(OidcError::ParameterMissing);
        Ok(Self {
            code: needed("code")?,
            redirect_uri: needed("redirect_uri")?,
            code_verifier: needed("code_verifier")?,
            credentials,
        })
    }

    /// The client that this request proves to come from.
    pub fn authenticate<'a>(&self, clients: &'a [Client]) -> Result<&'a Client, OidcError> {
        self.credentials.authenticate(clients)
    }
}

/// The answer to a token request: JSON of RFC 6749 §5.1 with the ID token.
pub fn token_response(
    redeemed: &Redeemed,
    issuer: &str,
    key: &SigningKey,
    now_s: u64,
) -> Result<Value, OidcError> {
    Ok(json!({
        "access_token": redeemed.access_token,
        "token_type": if redeemed.bound { "DPoP" } else { "Bearer" },
        "expires_in": ACCESS_LIFE_S,
        "scope": "openid",
        "id_token": id_token(&redeemed.login, &redeemed.access_token, issuer, key, now_s)?,
    }))
}

/// The ID token (OpenID Connect Core §2), ES256.
pub fn id_token(
    login: &Login,
    access_token: &str,
    issuer: &str,
    key: &SigningKey,
    now_s: u64,
) -> Result<String, OidcError> {
    let mut claims = login.claims.clone();
    // Ours come last: no claim of a credential can take their place.
    let mut set = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    set("iss", issuer.into());
    set("sub", login.subject.clone().into());
    set("aud", login.request.client_id.clone().into());
    set("iat", now_s.into());
    set("exp", (now_s + ID_TOKEN_LIFE_S).into());
    set("auth_time", login.auth_time_s.into());
    set("acr", login.acr.clone().into());
    set(
        "at_hash",
        URL_SAFE_NO_PAD
            .encode(&Sha256::digest(access_token)[..16])
            .into(),
    );
    if let Some(nonce) = &login.request.nonce {
        set("nonce", nonce.clone().into());
    }
    let mut header = Map::new();
    header.insert("typ".to_owned(), "JWT".into());
    header.insert(
        "kid".to_owned(),
        Jwk(key.verifying_key()).thumbprint_base64url().into(),
    );
    jose::sign_compact(&header, Value::Object(claims).to_string().as_bytes(), key)
        .map_err(|_| OidcError::Signing)
}

/// The client that an `Authorization` header proves, for what a gate answers to its websites beside
/// OpenID Connect.
pub fn authenticate<'a>(
    authorization: Option<&str>,
    clients: &'a [Client],
) -> Result<&'a Client, OidcError> {
    Credentials::read(&BTreeMap::new(), authorization)?.authenticate(clients)
}

/// Client id and secret from `Basic`: both are form-encoded before the base64 (RFC 6749 §2.3.1).
fn basic_credentials(header: &str) -> Result<(String, String), OidcError> {
    let read = || {
        if header.len() > MAX_AUTHORIZATION_BYTES {
            return None;
        }
        let bytes = STANDARD.decode(scheme(header, "Basic")?).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (id, secret) = text.split_once(':')?;
        Some((form_decode(id), form_decode(secret)))
    };
    read().ok_or(OidcError::ClientAuthentication)
}

fn form_decode(text: &str) -> String {
    // A lone value reads as a name without a value; `=` and `&` are encoded in it.
    form_urlencoded::parse(text.as_bytes())
        .next()
        .map(|(name, _)| name.into_owned())
        .unwrap_or_default()
}
