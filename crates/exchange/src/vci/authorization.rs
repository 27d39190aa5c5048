//! The authorization code flow (OpenID4VCI 1.0 §5; RFC 6749, 7636, 9126, 9207; HAIP 1.0 §4).
//!
//! A wallet pushes its request and gets a name for it; the person's browser brings that name and
//! nothing else, so nobody on the way changes what was asked. What the person logs in with is the
//! authority's matter; a code goes back, with the issuer's name beside it, and is redeemed once by
//! whoever knows the verifier and holds the key that the request was made with.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;
use url::Url;

use super::{VciError, is_safe};
use crate::form;

/// Before the name of a pushed request (RFC 9126 §2.2).
pub const REQUEST_URI_PREFIX: &str = "urn:ietf:params:oauth:request_uri:";
/// The longest body of a pushed request, in bytes.
pub const MAX_PUSHED_BYTES: usize = 8 * 1024;
/// The `type` of an authorization detail (§5.1.1).
pub const DETAIL_TYPE: &str = "openid_credential";
/// The most credentials that one request asks for.
const MAX_ASKED: usize = 8;
/// The longest parameter other than `authorization_details`, in bytes.
const MAX_TEXT: usize = 1024;
/// Schemes that lead a browser elsewhere than to an app.
const NO_APPS: &[&str] = &[
    "http",
    "javascript",
    "data",
    "file",
    "blob",
    "about",
    "vbscript",
    "ws",
    "wss",
    "ftp",
    "mailto",
];

/// What a wallet asks to be authorized for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationRequest {
    pub client_id: String,
    pub redirect_uri: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The base64url of a SHA-256 (RFC 7636 §4.2).
    pub code_challenge: String,
    /// Configuration ids, each once. A wallet that asks by scope puts the scopes that the metadata
    /// give for them; at an authority of ours they are the same.
    pub configurations: Vec<String>,
    /// Whether they were asked for by `authorization_details`: the token then names identifiers.
    pub details: bool,
    /// The thumbprint of the key that will redeem the code (RFC 9449 §10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpop_jkt: Option<String>,
    /// What the offer gave to be said again (§5.1.3). Ours give nothing, and read nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_state: Option<String>,
}

impl AuthorizationRequest {
    /// Issuer: reads the body of a pushed request. `known` are the configurations of the metadata,
    /// each also the scope that asks for it.
    pub fn parse(body: &[u8], known: &[&str]) -> Result<Self, VciError> {
        let malformed = VciError::AuthorizationRequest;
        if body.len() > MAX_PUSHED_BYTES {
            return Err(malformed);
        }
        let mut fields = BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(body) {
            let long = value.len() > MAX_TEXT && name != "authorization_details";
            let before = fields.insert(name.into_owned(), value.into_owned());
            if long || before.is_some() {
                return Err(malformed);
            }
        }
        let mut take = |name: &str| fields.remove(name).filter(|value| !value.is_empty());
        // RFC 9126 §2.1: what is pushed is not behind another name.
        if take("request_uri").is_some() || take("request").is_some() {
            return Err(malformed);
        }
        if take("response_type").as_deref() != Some("code") {
            return Err(malformed);
        }
        let client_id = take("client_id").ok_or(malformed)?;
        let redirect_uri = take("redirect_uri").ok_or(malformed)?;
        if !is_redirect(&redirect_uri) {
            return Err(VciError::RedirectUri);
        }
        let code_challenge = take("code_challenge").ok_or(VciError::Pkce)?;
        let is_digest = URL_SAFE_NO_PAD
            .decode(&code_challenge)
            .is_ok_and(|digest| digest.len() == 32);
        if !is_digest || take("code_challenge_method").as_deref() != Some("S256") {
            return Err(VciError::Pkce);
        }
        let dpop_jkt = take("dpop_jkt");
        let (details, scope) = (take("authorization_details"), take("scope"));
        let (configurations, details) = match (details, scope) {
            (Some(details), _) => (read_details(&details)?, true),
            (None, Some(scope)) => (scope.split(' ').map(str::to_owned).collect(), false),
            (None, None) => return Err(VciError::Scope),
        };
        let twice =
            (1..configurations.len()).any(|i| configurations[..i].contains(&configurations[i]));
        let all_known = configurations.iter().all(|id| known.contains(&id.as_str()));
        if twice || !all_known || configurations.is_empty() || configurations.len() > MAX_ASKED {
            return Err(VciError::Scope);
        }
        Ok(Self {
            client_id,
            redirect_uri,
            state: take("state"),
            code_challenge,
            configurations,
            details,
            dpop_jkt,
            issuer_state: None,
        })
    }

    /// Wallet: the form fields of the request to push.
    pub fn to_form(&self) -> Vec<(&'static str, String)> {
        let mut form = vec![
            ("response_type", "code".to_owned()),
            ("client_id", self.client_id.clone()),
            ("redirect_uri", self.redirect_uri.clone()),
            ("code_challenge", self.code_challenge.clone()),
            ("code_challenge_method", "S256".to_owned()),
        ];
        form.extend(self.state.clone().map(|state| ("state", state)));
        form.extend(self.dpop_jkt.clone().map(|jkt| ("dpop_jkt", jkt)));
        form.extend(self.issuer_state.clone().map(|s| ("issuer_state", s)));
        form.push(match self.details {
            true => {
                let detail = |id| json!({"type": DETAIL_TYPE, "credential_configuration_id": id});
                let details: Vec<Value> = self.configurations.iter().map(detail).collect();
                ("authorization_details", Value::from(details).to_string())
            }
            false => ("scope", self.configurations.join(" ")),
        });
        form
    }

    /// Issuer: where the browser goes with a code, or with an error code of RFC 6749 §4.1.2.1.
    /// `iss` says whose answer it is, so that a wallet with several issuers mixes none up
    /// (RFC 9207).
    pub fn answer(&self, issuer: &str, outcome: Result<&str, &str>) -> String {
        // It was read as a URL before.
        let Ok(mut url) = Url::parse(&self.redirect_uri) else {
            return issuer.to_owned();
        };
        {
            let mut query = url.query_pairs_mut();
            match outcome {
                Ok(code) => query.append_pair("code", code),
                Err(error) => query.append_pair("error", error),
            };
            if let Some(state) = &self.state {
                query.append_pair("state", state);
            }
            query.append_pair("iss", issuer);
        }
        url.into()
    }

    /// Wallet: the address that the person opens: the endpoint, with the name of the pushed request
    /// and nothing else of it (RFC 9126 §4).
    pub fn address(&self, endpoint: &Url, pushed: &PushedResponse) -> Url {
        let mut url = endpoint.clone();
        url.query_pairs_mut()
            .append_pair("client_id", &self.client_id)
            .append_pair("request_uri", &pushed.request_uri);
        url
    }

    /// Wallet: the code in what a browser brings back, the query of its address. `server` is the
    /// issuer identifier of the server that was asked: an answer that another one could have sent
    /// is none, so that no code goes to a server that it is not of (RFC 9207, RFC 9700 §2.1).
    pub fn read_answer(&self, query: &str, server: &str) -> Result<String, VciError> {
        if query.len() > MAX_PUSHED_BYTES {
            return Err(VciError::Answer);
        }
        let fields = form::parameters(query).ok_or(VciError::Answer)?;
        let state = fields.get("state").map(|state| state.as_bytes());
        let own = self.state.as_ref().map(|state| state.as_bytes());
        let same = state.zip(own).map(|(state, own)| state.ct_eq(own));
        if !same.is_some_and(bool::from) {
            return Err(VciError::AnswerState);
        }
        if fields.get("iss").map(String::as_str) != Some(server) {
            return Err(VciError::AnswerIssuer);
        }
        match (fields.get("code"), fields.get("error")) {
            (Some(code), None) if (1..=MAX_TEXT).contains(&code.len()) => Ok(code.clone()),
            (None, Some(error)) if error == "access_denied" => Err(VciError::NotAuthorized),
            _ => Err(VciError::Answer),
        }
    }

    /// Issuer: whether a token request may redeem this request's code. `jkt` is the thumbprint of
    /// the key that proved itself beside it. That the code is fresh and unused is the caller's
    /// knowledge.
    pub fn redeem(
        &self,
        redirect_uri: &str,
        client_id: Option<&str>,
        verifier: &str,
        jkt: &str,
    ) -> Result<(), VciError> {
        if !(43..=128).contains(&verifier.len()) {
            return Err(VciError::Grant);
        }
        let challenge = code_challenge(verifier);
        let same_key = self.dpop_jkt.as_deref().is_none_or(|bound| bound == jkt);
        let same = redirect_uri == self.redirect_uri
            && client_id.is_none_or(|id| id == self.client_id)
            && same_key
            && bool::from(challenge.as_bytes().ct_eq(self.code_challenge.as_bytes()));
        same.then_some(()).ok_or(VciError::Grant)
    }
}

/// The challenge of a verifier (RFC 7636 §4.2, S256).
pub fn code_challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
}

/// `https`, loopback, or an app's own scheme; without a fragment.
fn is_redirect(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        let app = !NO_APPS.contains(&url.scheme()) && url.scheme() != "https";
        text.len() <= MAX_TEXT && url.fragment().is_none() && (app || is_safe(&url))
    })
}

fn read_details(text: &str) -> Result<Vec<String>, VciError> {
    #[derive(Deserialize)]
    struct Detail {
        #[serde(rename = "type")]
        kind: String,
        credential_configuration_id: String,
    }
    let details: Vec<Detail> = serde_json::from_str(text).map_err(|_| VciError::Scope)?;
    let ours = |detail: Detail| {
        let known = detail.kind == DETAIL_TYPE;
        known.then_some(detail.credential_configuration_id)
    };
    let ids: Option<Vec<String>> = details.into_iter().map(ours).collect();
    ids.ok_or(VciError::Scope)
}

/// The identifier of the one credential of a configuration that a person has (§6.2).
pub fn identifier_of(configuration: &str) -> String {
    format!("{configuration}/1")
}

/// `authorization_details` of a token response: what may be asked for, by identifiers.
pub fn granted_details(configurations: &[String]) -> Value {
    let detail = |id: &String| {
        json!({
            "type": DETAIL_TYPE,
            "credential_configuration_id": id,
            "credential_identifiers": [identifier_of(id)],
        })
    };
    configurations.iter().map(detail).collect()
}

/// The answer to a pushed request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushedResponse {
    pub request_uri: String,
    /// Seconds from now.
    pub expires_in: u64,
}

impl PushedResponse {
    /// Wallet: reads the answer to a pushed request.
    pub fn parse(body: &[u8]) -> Result<Self, VciError> {
        let response: Self = serde_json::from_slice(body).map_err(|_| VciError::Response)?;
        let bounded = (1..=MAX_TEXT).contains(&response.request_uri.len());
        bounded.then_some(response).ok_or(VciError::Response)
    }
}
