//! What a gate asks of its registrar: that a display's digest is put on the ledger, or withdrawn there
//! (spec/displays.md, rule Y10). The registrar learns a service and two hashes, never a name or a handle.
//!
//! ```text
//! header   {"alg", "typ": "rdid-display-order+jwt"}
//! payload  {"iss": service id, "aud": registrar's URL, "iat", "act": "show" | "withdraw", "digest",
//!           "withdrawal"? (show), "reason"? (withdraw)}
//! ```
//! Signed by the key that the registration names. Playing one again changes nothing: a digest is put
//! on the ledger once and withdrawn for good.

use realdid_core::hash::Hash32;
use realdid_core::state::ReasonCode;
use realdid_credential::jose::{self, SigningKey};
use serde_json::{Map, Value, json};

use super::DisplayError;
use crate::registration::RegistrationError;
use crate::registration::{Purpose, Registration};
use crate::vp::{CLOCK_SKEW_S, VpError};

/// The `typ` of an order.
pub const ORDER_TYP: &str = "rdid-display-order+jwt";
/// The longest order, in bytes.
pub const MAX_ORDER_BYTES: usize = 4096;
/// How old an order may be, in seconds.
const MAX_AGE_S: u64 = 300;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    Show { withdrawal: Hash32 },
    Withdraw { reason: ReasonCode },
}

/// An order about one display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub service: Hash32,
    /// The registrar's URL.
    pub registrar: String,
    pub digest: Hash32,
    pub act: Act,
    /// Unix seconds.
    pub made_s: u64,
}

impl Order {
    /// Gate side: the JWT, by the key of the registration.
    pub fn sign(&self, key: &SigningKey) -> Result<String, DisplayError> {
        let header = Map::from_iter([("typ".to_owned(), Value::from(ORDER_TYP))]);
        let mut payload = json!({
            "iss": self.service.to_string(),
            "aud": self.registrar,
            "iat": self.made_s,
            "digest": self.digest.to_string(),
        });
        match &self.act {
            Act::Show { withdrawal } => {
                payload["act"] = "show".into();
                payload["withdrawal"] = withdrawal.to_string().into();
            }
            Act::Withdraw { reason } => {
                payload["act"] = "withdraw".into();
                payload["reason"] = reason.name().into();
            }
        }
        jose::sign_compact(&header, payload.to_string().as_bytes(), key)
            .map_err(|_| DisplayError::Order)
    }

    /// Reads an order without believing it: whose registration to look up.
    pub fn claimed(jwt: &str) -> Result<Self, DisplayError> {
        let refused = DisplayError::Order;
        if jwt.len() > MAX_ORDER_BYTES {
            return Err(refused);
        }
        let jws = jose::decode_unverified(jwt).map_err(|_| refused)?;
        jws.expect_typ(ORDER_TYP).map_err(|_| refused)?;
        let payload = jws.claims().map_err(|_| refused)?;
        let text = |name: &str| payload.get(name).and_then(Value::as_str).ok_or(refused);
        let id = |name: &str| text(name)?.parse::<Hash32>().map_err(|_| refused);
        let act = match text("act")? {
            "show" => Act::Show {
                withdrawal: id("withdrawal")?,
            },
            "withdraw" => Act::Withdraw {
                reason: ReasonCode::from_name(text("reason")?).ok_or(refused)?,
            },
            _ => return Err(refused),
        };
        Ok(Self {
            service: id("iss")?,
            registrar: text("aud")?.to_owned(),
            digest: id("digest")?,
            act,
            made_s: payload.get("iat").and_then(Value::as_u64).ok_or(refused)?,
        })
    }

    /// Registrar side: by the key of a registration that has the purpose, for this registrar, recent.
    pub fn verify(
        jwt: &str,
        registration: &Registration,
        registrar: &str,
        now_s: u64,
    ) -> Result<Self, VpError> {
        let order = Self::claimed(jwt)?;
        let refused = DisplayError::Order;
        if order.service != registration.service_id || order.registrar != registrar {
            return Err(refused.into());
        }
        jose::verify_compact(jwt, &registration.cnf.0, ORDER_TYP).map_err(|_| refused)?;
        let recent = order.made_s <= now_s.saturating_add(CLOCK_SKEW_S)
            && now_s <= order.made_s.saturating_add(MAX_AGE_S);
        if !recent {
            return Err(refused.into());
        }
        if !registration.purposes.contains(&Purpose::RealName) {
            return Err(RegistrationError::Purpose.into());
        }
        Ok(order)
    }
}
