//! What comes after a credential request: deferred issuance (OpenID4VCI 1.0 §9) and notifications
//! (§11).

use serde::{Deserialize, Serialize};

use super::VciError;

/// The longest identifier in bytes.
const MAX_ID_BYTES: usize = 256;

/// The answer where a credential is not ready: when to ask again, and under which name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeferredResponse {
    pub transaction_id: String,
    /// Seconds.
    pub interval: u64,
}

impl DeferredResponse {
    /// Wallet: reads the answer where copies come later.
    pub fn read(body: &[u8]) -> Result<Self, VciError> {
        let response: Self = serde_json::from_slice(body).map_err(|_| VciError::Response)?;
        match response.transaction_id.len() {
            1..=MAX_ID_BYTES => Ok(response),
            _ => Err(VciError::Response),
        }
    }
}

/// A request for what was not ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeferredRequest {
    pub transaction_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_response_encryption: Option<serde_json::Value>,
}

impl DeferredRequest {
    /// Issuer: reads a body.
    pub fn parse(body: &[u8]) -> Result<Self, VciError> {
        let request: Self =
            serde_json::from_slice(body).map_err(|_| VciError::CredentialRequest)?;
        match request.transaction_id.len() {
            1..=MAX_ID_BYTES => Ok(request),
            _ => Err(VciError::TransactionId),
        }
    }
}

/// What a wallet tells of a credential that it was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    pub notification_id: String,
    pub event: NotificationEvent,
    /// Free text: never logged and never kept, since it may say anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_description: Option<String>,
}

/// The three events of §11.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotificationEvent {
    CredentialAccepted,
    CredentialFailure,
    CredentialDeleted,
}

impl NotificationEvent {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::CredentialAccepted => "credential_accepted",
            Self::CredentialFailure => "credential_failure",
            Self::CredentialDeleted => "credential_deleted",
        }
    }
}

impl Notification {
    /// Issuer: reads a body.
    pub fn parse(body: &[u8]) -> Result<Self, VciError> {
        let notification: Self =
            serde_json::from_slice(body).map_err(|_| VciError::NotificationRequest)?;
        match notification.notification_id.len() {
            1..=MAX_ID_BYTES => Ok(notification),
            _ => Err(VciError::NotificationId),
        }
    }
}
