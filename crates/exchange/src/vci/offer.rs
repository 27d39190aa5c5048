//! The offer (OpenID4VCI 1.0 §4): what a person hands to a wallet.

use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    MAX_OFFER_BYTES, MDOC_CONFIGURATION, OFFER_SCHEME, ORGANISATION_CONFIGURATION,
    PASS_CONFIGURATION, PID_CONFIGURATION, VciError, is_safe,
};

/// An offer of credentials (§4.1.1).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialOffer {
    pub credential_issuer: String,
    pub credential_configuration_ids: Vec<String>,
    #[serde(default)]
    pub grants: OfferGrants,
}

/// How the offer can be taken. Other grants are ignored. Ours are taken by a pre-authorised code.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferGrants {
    #[serde(
        rename = "urn:ietf:params:oauth:grant-type:pre-authorized_code",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub pre_authorized: Option<PreAuthorizedGrant>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_code: Option<AuthorizationCodeGrant>,
}

/// What a wallet says again when the person authorizes the offer in a browser.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationCodeGrant {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_state: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_server: Option<String>,
}

/// The pre-authorised code and what the user must add to it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreAuthorizedGrant {
    #[serde(rename = "pre-authorized_code")]
    pub code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tx_code: Option<TxCode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_server: Option<String>,
}

/// What a transaction code looks like, for the wallet's entry field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TxCode {
    /// `numeric` or `text`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_mode: Option<String>,
    /// In characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// What a user handed to the wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceivedOffer {
    /// The offer itself.
    Value(CredentialOffer),
    /// Where the offer is to be fetched, as JSON; then [`parse_offer`] again.
    Reference(Url),
}

impl CredentialOffer {
    /// An offer of what an enrolment brings: a PID, as an mdoc too where there are `mdocs`, and a
    /// RealPass.
    pub fn of_enrolment(issuer: &str, code: String, tx_code_length: u32, mdocs: bool) -> Self {
        let mut offer = Self::pid(issuer, code, tx_code_length);
        let mdoc = mdocs.then_some(MDOC_CONFIGURATION);
        let more = mdoc.into_iter().chain([PASS_CONFIGURATION]);
        let ids = &mut offer.credential_configuration_ids;
        ids.extend(more.map(str::to_owned));
        offer
    }

    /// An offer of our PID.
    pub fn pid(issuer: &str, code: String, tx_code_length: u32) -> Self {
        Self::of(PID_CONFIGURATION, issuer, code, tx_code_length)
    }

    /// An offer of an organisation's credential, to a representative.
    pub fn organisation(issuer: &str, code: String, tx_code_length: u32) -> Self {
        Self::of(ORGANISATION_CONFIGURATION, issuer, code, tx_code_length)
    }

    fn of(configuration: &str, issuer: &str, code: String, tx_code_length: u32) -> Self {
        Self {
            credential_issuer: issuer.to_owned(),
            credential_configuration_ids: vec![configuration.to_owned()],
            grants: OfferGrants {
                pre_authorized: Some(PreAuthorizedGrant {
                    code,
                    tx_code: Some(TxCode {
                        input_mode: Some("numeric".to_owned()),
                        length: Some(tx_code_length),
                        description: None,
                    }),
                    authorization_server: None,
                }),
                authorization_code: None,
            },
        }
    }

    /// The offer as a URI that a QR code or a link carries (§4.1.2).
    pub fn to_uri(&self) -> String {
        let offer = serde_json::to_string(self).unwrap_or_default();
        let query: String = url::form_urlencoded::byte_serialize(offer.as_bytes()).collect();
        format!("{OFFER_SCHEME}://?credential_offer={query}")
    }

    /// The grant of a pre-authorised code.
    pub fn grant(&self) -> Result<&PreAuthorizedGrant, VciError> {
        self.grants
            .pre_authorized
            .as_ref()
            .filter(|grant| !grant.code.is_empty())
            .ok_or(VciError::OfferGrant)
    }

    /// Wallet: the server that the offer's grant names among several of the issuer's.
    pub fn authorization_server(&self) -> Option<&str> {
        let grants = &self.grants;
        let named = match (&grants.pre_authorized, &grants.authorization_code) {
            (Some(grant), _) => &grant.authorization_server,
            (None, Some(grant)) => &grant.authorization_server,
            (None, None) => &None,
        };
        named.as_deref()
    }
}

/// Neither the code nor the offer belongs into a log.
impl std::fmt::Debug for CredentialOffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CredentialOffer(by {}, …)", self.credential_issuer)
    }
}

/// Wallet: reads an offer from a URI or from JSON.
pub fn parse_offer(text: &str) -> Result<ReceivedOffer, VciError> {
    let text = text.trim();
    // Percent-encoding may triple the length.
    if text.len() > 3 * MAX_OFFER_BYTES {
        return Err(VciError::Offer);
    }
    if text.starts_with('{') {
        return read_offer(text).map(ReceivedOffer::Value);
    }
    let uri = Url::parse(text).map_err(|_| VciError::Offer)?;
    if uri.scheme() != OFFER_SCHEME && uri.scheme() != "haip-vci" {
        return Err(VciError::Offer);
    }
    let mut found = None;
    for (name, value) in uri.query_pairs() {
        let offer = match name.as_ref() {
            "credential_offer" => ReceivedOffer::Value(read_offer(&value)?),
            "credential_offer_uri" => {
                let url = Url::parse(&value).map_err(|_| VciError::Offer)?;
                if !is_safe(&url) {
                    return Err(VciError::Offer);
                }
                ReceivedOffer::Reference(url)
            }
            _ => continue,
        };
        // §4.1: one of the two, once.
        if found.replace(offer).is_some() {
            return Err(VciError::Offer);
        }
    }
    found.ok_or(VciError::Offer)
}

fn read_offer(text: &str) -> Result<CredentialOffer, VciError> {
    if text.len() > MAX_OFFER_BYTES {
        return Err(VciError::Offer);
    }
    let offer: CredentialOffer = serde_json::from_str(text).map_err(|_| VciError::Offer)?;
    let issuer = Url::parse(&offer.credential_issuer).map_err(|_| VciError::Offer)?;
    if offer.credential_configuration_ids.is_empty() || !is_safe(&issuer) {
        return Err(VciError::Offer);
    }
    Ok(offer)
}
