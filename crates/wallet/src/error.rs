//! What the command line says when something cannot be done: the rule that failed, whose fault it
//! is, what to do. Errors of every layer below become this one shape, by their own codes.

use crate::change::ChangeError;
use crate::files::FileError;
use crate::seed::KitError;
use crate::vault::VaultError;
use realdid_core::did::DidError;
use realdid_credential::dcql::DcqlError;
use realdid_credential::jose::JwsError;
use realdid_credential::mdoc::MdocError;
use realdid_credential::sd_jwt::SdJwtError;
use realdid_credential::status::StatusError;
use realdid_credential::x509::X509Error;
use realdid_exchange::batch::BatchError;
use realdid_exchange::did_proof::DidProofError;
use realdid_exchange::tag::TagError;
use realdid_exchange::vci::VciError;
use realdid_exchange::vp::{RequestRefused, VpError};
use realdid_light::http::NodeError;
use realdid_light::{DidUnusable, LightError, TermError};

/// The longest text of another party that is repeated, in characters.
const MAX_FOREIGN_TEXT: usize = 300;

/// One refusal. `Display` is the line for standard error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {rule}; fault: {fault}; do: {fix}")]
pub struct CliError {
    /// Stable and dotted.
    pub code: String,
    /// The rule that failed, in one sentence.
    pub rule: String,
    /// Who can put it right.
    pub fault: String,
    pub fix: String,
}

impl CliError {
    pub fn new(code: &str, rule: &str, fault: &str, fix: &str) -> Self {
        Self {
            code: code.into(),
            rule: rule.into(),
            fault: fault.into(),
            fix: fix.into(),
        }
    }

    /// The person's own doing.
    pub fn user(code: &str, rule: &str, fix: &str) -> Self {
        Self::new(code, rule, "you", fix)
    }

    /// The same refusal, with another word on what to do.
    pub fn with_fix(self, fix: &str) -> Self {
        Self {
            fix: fix.into(),
            ..self
        }
    }
}

/// Text of another party, for a terminal: one line, bounded, without control characters.
pub fn printable(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_FOREIGN_TEXT + 1)
        .collect();
    if shown.chars().count() > MAX_FOREIGN_TEXT {
        shown.pop();
        shown.push('…');
    }
    shown
}

macro_rules! from_refusals {
    ($($name:ty),* $(,)?) => {$(
        impl From<$name> for CliError {
            fn from(error: $name) -> Self {
                Self::new(error.code(), error.rule(), error.fault().text(), error.fix())
            }
        }
    )*};
}

from_refusals!(
    VciError,
    RequestRefused,
    SdJwtError,
    MdocError,
    DidProofError,
    BatchError,
    DcqlError,
    JwsError,
    StatusError,
    X509Error
);

macro_rules! from_device_errors {
    ($($name:ty),* $(,)?) => {$(
        impl From<$name> for CliError {
            fn from(error: $name) -> Self {
                Self::new(error.code(), &error.to_string(), "this device or its user", error.fix())
            }
        }
    )*};
}

from_device_errors!(VaultError, KitError, FileError, ChangeError);

impl From<VpError> for CliError {
    fn from(error: VpError) -> Self {
        Self::new(error.code(), error.rule(), "whoever shows it", error.fix())
    }
}

impl From<TagError> for CliError {
    fn from(error: TagError) -> Self {
        let (fault, fix) = match error {
            TagError::Number => ("you", "check the evidence file"),
            TagError::Proof => (
                "authority",
                "do not enrol: this authority did not use the tag key that it uses for everybody",
            ),
            _ => ("authority", "ask the authority"),
        };
        Self::new(error.code(), &error.to_string(), fault, fix)
    }
}

impl From<LightError> for CliError {
    fn from(error: LightError) -> Self {
        let fix = match error {
            LightError::Stale { .. } | LightError::Behind { .. } | LightError::Future => {
                "check this device's clock, then try again or ask another node"
            }
            LightError::Terms(TermError::WrongNetwork { .. }) => "use a wallet of that network",
            LightError::Terms(TermError::Fork) => {
                "stop, and show both checkpoints to the network's operators"
            }
            _ => "do not trust this node; ask another one",
        };
        Self::new(error.code(), &error.to_string(), "node", fix)
    }
}

impl From<NodeError> for CliError {
    fn from(error: NodeError) -> Self {
        if let NodeError::HandOver(error) = error {
            return error.into();
        }
        if let NodeError::Refused { rule } = &error {
            let known = realdid_core::rule::Rule::ALL
                .iter()
                .find(|known| known.code() == rule);
            let text = known.map_or("the ledger accepts the operation", |known| known.text());
            return Self::new(
                &printable(rule),
                text,
                "you",
                "look at the DID's state: `realdid resolve DID`",
            );
        }
        let fix = match error {
            NodeError::Unreachable { .. } => "try again when a node of the network is up",
            NodeError::Timeout { .. } => "wait and look again with `realdid wallet did list`",
            _ => "ask another node",
        };
        Self::new(
            &printable(error.code()),
            &printable(&error.to_string()),
            "node",
            fix,
        )
    }
}

impl From<DidUnusable> for CliError {
    fn from(error: DidUnusable) -> Self {
        let (rule, fix) = match error {
            DidUnusable::Unknown => ("the DID is known", "make it anew"),
            DidUnusable::Frozen => (
                "the DID is not frozen",
                "recover it with the recovery kit: `realdid wallet did recover`",
            ),
            DidUnusable::Deactivated => (
                "the DID is not deactivated",
                "ask the service to close the account; a deactivation is for good",
            ),
        };
        Self::new(error.code(), rule, "you", fix)
    }
}

impl From<DidError> for CliError {
    fn from(error: DidError) -> Self {
        Self::user(
            "did.malformed",
            &error.to_string(),
            "give a DID as `wallet did list` shows it",
        )
    }
}
