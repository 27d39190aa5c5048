//! The token endpoint (OpenID4VCI 1.0 §6): a code or a refresh token in, an access token out.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use subtle::ConstantTimeEq;

use super::{
    AUTHORIZATION_CODE, CredentialOffer, MAX_TX_CODE_FAILURES, PRE_AUTHORIZED, REFRESH_TOKEN,
    VciError, secret_hash,
};

/// The longest token or identifier of an answer, in bytes.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// A token request that has the shape of its grant.
#[derive(Clone, PartialEq, Eq)]
pub enum TokenRequest {
    AuthorizationCode {
        code: String,
        redirect_uri: String,
        code_verifier: String,
        client_id: Option<String>,
    },
    PreAuthorized {
        code: String,
        tx_code: Option<String>,
    },
    Refresh {
        refresh_token: String,
    },
}

impl TokenRequest {
    /// Wallet: the first request, from an offer.
    pub fn for_offer(offer: &CredentialOffer, tx_code: Option<&str>) -> Result<Self, VciError> {
        let grant = offer.grant()?;
        if grant.tx_code.is_some() != tx_code.is_some() {
            return Err(VciError::TxCodeMissing);
        }
        Ok(Self::PreAuthorized {
            code: grant.code.clone(),
            tx_code: tx_code.map(str::to_owned),
        })
    }

    /// Wallet: the form fields.
    pub fn to_form(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::PreAuthorized { code, tx_code } => {
                let mut form = vec![
                    ("grant_type", PRE_AUTHORIZED.to_owned()),
                    ("pre-authorized_code", code.clone()),
                ];
                form.extend(tx_code.clone().map(|code| ("tx_code", code)));
                form
            }
            Self::AuthorizationCode {
                code,
                redirect_uri,
                code_verifier,
                client_id,
            } => {
                let mut form = vec![
                    ("grant_type", AUTHORIZATION_CODE.to_owned()),
                    ("code", code.clone()),
                    ("redirect_uri", redirect_uri.clone()),
                    ("code_verifier", code_verifier.clone()),
                ];
                form.extend(client_id.clone().map(|id| ("client_id", id)));
                form
            }
            Self::Refresh { refresh_token } => vec![
                ("grant_type", REFRESH_TOKEN.to_owned()),
                ("refresh_token", refresh_token.clone()),
            ],
        }
    }

    /// Issuer: reads an `application/x-www-form-urlencoded` body. A field that stands twice is
    /// refused (RFC 6749 §3.2); unknown fields are ignored.
    pub fn parse(body: &[u8]) -> Result<Self, VciError> {
        let mut fields = std::collections::BTreeMap::new();
        for (name, value) in url::form_urlencoded::parse(body) {
            if value.len() > 1024
                || fields
                    .insert(name.into_owned(), value.into_owned())
                    .is_some()
            {
                return Err(VciError::TokenRequest);
            }
        }
        let mut take = |name: &str| fields.remove(name).filter(|value| !value.is_empty());
        let needed = VciError::TokenRequest;
        match take("grant_type").ok_or(needed)?.as_str() {
            PRE_AUTHORIZED => Ok(Self::PreAuthorized {
                code: take("pre-authorized_code").ok_or(needed)?,
                tx_code: take("tx_code"),
            }),
            AUTHORIZATION_CODE => Ok(Self::AuthorizationCode {
                code: take("code").ok_or(needed)?,
                redirect_uri: take("redirect_uri").ok_or(needed)?,
                code_verifier: take("code_verifier").ok_or(needed)?,
                client_id: take("client_id"),
            }),
            REFRESH_TOKEN => Ok(Self::Refresh {
                refresh_token: take("refresh_token").ok_or(needed)?,
            }),
            _ => Err(VciError::GrantType),
        }
    }
}

/// What the issuer remembers of a pre-authorised code. The code itself is kept as
/// [`secret_hash`] only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeState {
    /// [`secret_hash`] of the transaction code; absent where the offer asks for none.
    pub tx_code_hash: Option<[u8; 32]>,
    /// Unix seconds.
    pub expires_s: u64,
    pub used: bool,
    /// Wrong transaction codes so far.
    pub failures: u32,
}

impl CodeState {
    /// Issuer: whether the code may be exchanged now. On `Err(Grant)` with a wrong transaction
    /// code the caller counts the failure; on `Ok` it marks the code used, both before answering.
    ///
    /// A used, an expired and a wrongly opened code look the same from outside.
    pub fn redeem(&self, tx_code: Option<&str>, now_s: u64) -> Result<(), VciError> {
        if self.used || now_s >= self.expires_s || self.failures >= MAX_TX_CODE_FAILURES {
            return Err(VciError::Grant);
        }
        match (&self.tx_code_hash, tx_code) {
            (None, None) => Ok(()),
            (None, Some(_)) => Err(VciError::TxCodeUnexpected),
            (Some(_), None) => Err(VciError::TxCodeMissing),
            (Some(hash), Some(code)) if bool::from(hash.ct_eq(&secret_hash(code))) => Ok(()),
            (Some(_), Some(_)) => Err(VciError::Grant),
        }
    }
}

/// A successful token response (§6.2).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenResponse {
    pub access_token: String,
    /// `DPoP` where the token is bound to a key (RFC 9449), else `Bearer`.
    pub token_type: String,
    /// Seconds from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u64>,
    /// For the next epochs' copies, and for the sponsoring of DIDs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// What it opens, by identifiers, where it was asked for so (§6.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_details: Option<Value>,
}

impl TokenResponse {
    /// Wallet: reads the issuer's answer.
    pub fn parse(body: &[u8]) -> Result<Self, VciError> {
        let response: Self = serde_json::from_slice(body).map_err(|_| VciError::Response)?;
        let known = ["bearer", "dpop"];
        // RFC 6749 appendix A.12: what a header can carry.
        let sound = |token: &String| {
            (1..=MAX_TOKEN_BYTES).contains(&token.len())
                && token.bytes().all(|b| b.is_ascii_graphic())
        };
        let refresh = response.refresh_token.iter();
        if known.contains(&response.token_type.to_ascii_lowercase().as_str())
            && refresh.chain([&response.access_token]).all(sound)
        {
            Ok(response)
        } else {
            Err(VciError::Response)
        }
    }

    /// Whether the token is bound to a key.
    pub fn is_bound(&self) -> bool {
        self.token_type.eq_ignore_ascii_case("dpop")
    }

    /// Wallet: the identifier by which a credential of `configuration` is asked for, where the answer
    /// names some (§6.2). Otherwise it is asked for by the configuration.
    pub fn identifier(&self, configuration: &str) -> Option<&str> {
        let details = self.authorization_details.as_ref()?.as_array()?;
        let of_it = |detail: &&Value| {
            let named = detail.get("credential_configuration_id");
            named.and_then(Value::as_str) == Some(configuration)
        };
        let identifiers = details.iter().find(of_it)?.get("credential_identifiers")?;
        let first = identifiers.as_array()?.first()?.as_str()?;
        Some(first).filter(|id| id.len() <= MAX_TOKEN_BYTES)
    }
}

impl std::fmt::Debug for TokenResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenResponse(…)")
    }
}
