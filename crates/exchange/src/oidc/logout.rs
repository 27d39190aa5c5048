//! Signing out: a website sends its visitor here (OpenID Connect RP-Initiated Logout 1.0), and the
//! gate tells a website that somebody's login stands no longer (Back-Channel Logout 1.0).
//!
//! A gate has no session with a browser, so there is nothing to end but the access tokens that a
//! login gave; what the visitor wants is to arrive where the website said.

use realdid_credential::jose::{self, Jwk, SigningKey, VerifyingKey};
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::{Client, MAX_QUERY_BYTES, MAX_STATE_BYTES, OidcError, parameters, request::with_query};

/// How long a website may take a logout token for news, in seconds (§2.6 recommends two minutes).
pub const LOGOUT_TOKEN_LIFE_S: u64 = 120;
/// The longest `id_token_hint` in bytes.
const MAX_HINT_BYTES: usize = 3 * 1024;

/// A visitor who is to be signed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoutRequest {
    /// Whose tokens end: client id and subject, where an ID token of ours names them.
    pub session: Option<(String, String)>,
    /// Where the browser goes; nowhere if the website did not say.
    pub location: Option<String>,
}

impl LogoutRequest {
    /// Reads a query or form (§2). `keys` are those that sign, and lately signed, ID tokens. A hint
    /// that has expired is still one of ours.
    ///
    /// Nobody is sent to an address that is not registered for the client that the request names.
    pub fn parse(
        query: &str,
        clients: &[Client],
        issuer: &str,
        keys: &[VerifyingKey],
    ) -> Result<Self, OidcError> {
        if query.len() > MAX_QUERY_BYTES {
            return Err(OidcError::TooLong);
        }
        let parameters = parameters(query)?;
        let parameter = |name: &str| parameters.get(name).map(String::as_str);
        let session = parameter("id_token_hint")
            .map(|hint| read_hint(hint, issuer, keys).ok_or(OidcError::LogoutHint))
            .transpose()?;
        let named = session.as_ref().map(|(client, _)| client.as_str());
        let client_id = match (named, parameter("client_id")) {
            (Some(hinted), Some(said)) if hinted != said => return Err(OidcError::LogoutHint),
            (hinted, said) => hinted.or(said),
        };
        let Some(uri) = parameter("post_logout_redirect_uri") else {
            return Ok(Self {
                session,
                location: None,
            });
        };
        client_id
            .and_then(|id| clients.iter().find(|client| client.client_id == id))
            .filter(|client| client.post_logout_redirect_uris.iter().any(|u| u == uri))
            .ok_or(OidcError::LogoutRedirect)?;
        let location = match parameter("state") {
            Some(state) if state.len() > MAX_STATE_BYTES => return Err(OidcError::TooLong),
            Some(state) => {
                let mut query = form_urlencoded::Serializer::new(String::new());
                query.append_pair("state", state);
                with_query(uri, &query.finish())
            }
            None => uri.to_owned(),
        };
        Ok(Self {
            session,
            location: Some(location),
        })
    }
}

/// Audience and subject of an ID token that this provider signed.
fn read_hint(hint: &str, issuer: &str, keys: &[VerifyingKey]) -> Option<(String, String)> {
    if hint.len() > MAX_HINT_BYTES {
        return None;
    }
    let verified = keys
        .iter()
        .find_map(|key| jose::verify_compact(hint, key, "JWT").ok())?;
    let claims = verified.claims().ok()?;
    let text = |name: &str| Some(claims.get(name)?.as_str()?.to_owned());
    (text("iss")? == issuer).then_some((text("aud")?, text("sub")?))
}

/// The token that tells a website to end all sessions of a subject (Back-Channel Logout §2.4).
/// `jti` is 32 fresh random bytes in base64url.
pub fn logout_token(
    client_id: &str,
    subject: &str,
    jti: &str,
    issuer: &str,
    key: &SigningKey,
    now_s: u64,
) -> Result<String, OidcError> {
    let claims = json!({
        "iss": issuer,
        "aud": client_id,
        "sub": subject,
        "iat": now_s,
        "exp": now_s + LOGOUT_TOKEN_LIFE_S,
        "jti": jti,
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    });
    let mut header = Map::<String, Value>::new();
    header.insert("typ".to_owned(), "logout+jwt".into());
    header.insert(
        "kid".to_owned(),
        Jwk(key.verifying_key()).thumbprint_base64url().into(),
    );
    jose::sign_compact(&header, claims.to_string().as_bytes(), key).map_err(|_| OidcError::Signing)
}
