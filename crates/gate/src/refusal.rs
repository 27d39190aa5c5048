//! A refusal of the gate: code, rule and fix, on its way to a problem answer or a page.

use axum::http::StatusCode;
use realdid_credential::status::StatusError;
use realdid_exchange::oidc::OidcError;
use realdid_exchange::vp::{RequestRefused, ResponseRefused, VpError};
use realdid_serve::{OAuthError, Problem};

use crate::GateError;

/// What is refused, in words that may be shown and logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub status: u16,
    pub code: &'static str,
    pub rule: &'static str,
    pub fix: &'static str,
}

impl Refusal {
    const fn new(status: u16, code: &'static str, rule: &'static str, fix: &'static str) -> Self {
        Self {
            status,
            code,
            rule,
            fix,
        }
    }

    pub const STALE: Self = Self::new(
        503,
        "light.stale",
        "what the gate knows of the ledger is recent enough",
        "try again when the gate reaches a node; the operator sees the age of its checkpoint in /metrics",
    );
    pub const NETWORK_UNKNOWN: Self = Self::new(
        400,
        "recognition.not_followed",
        "this service follows the network that the DID names",
        "log in with a DID of a network that this service takes people from",
    );
    pub const RECOGNITION_NONE: Self = Self::new(
        400,
        "recognition.none",
        "the network that the DID names is recognised",
        "log in with a DID of a network that this one has recognised",
    );
    pub const RECOGNITION_SUSPENDED: Self = Self::new(
        400,
        "recognition.suspended",
        "the recognition of the network that the DID names is active",
        "log in with a DID of this network, or wait until governance restores the recognition",
    );
    pub const NETWORK_FORKED: Self = Self::new(
        400,
        "recognition.forked",
        "the other network's validators have finalised one header at each height",
        "wait until both networks' governances have looked at the evidence; the operator finds it as fork.cbor in the gate's folder, or on the ledger by `realdid network show`",
    );
    pub const RECOGNITION_OTHER: Self = Self::new(
        503,
        "recognition.other",
        "the network that this gate follows is the one that is recognised",
        "the operator compares the genesis file with the digest in `realdid network show`",
    );
    pub const STATUS_ADDRESS: Self = Self::new(
        400,
        "status.address",
        "a status list stands below its issuer's URL, at /status/",
        "show a credential of an issuer whose lists stand there",
    );
    pub const STATUS_UNAVAILABLE: Self = Self::new(
        503,
        "status.unavailable",
        "the issuer serves its status list",
        "try again, or show a short-lived copy, which needs none",
    );
    pub const DISPLAY_ABROAD: Self = Self::new(
        400,
        "display.abroad",
        "a name is shown by a person of the platform's own network",
        "show it by a DID and a credential of that network",
    );
    pub const REGISTRATION_UNKNOWN: Self = Self::new(
        503,
        "registration.unknown",
        "this service is registered on the ledger",
        "register it with `realdid gate register`, or wait until the registration is final",
    );
    pub const REGISTRAR_UNKNOWN: Self = Self::new(
        503,
        "registration.registrar_unknown",
        "the registrar of this service is admitted on the ledger",
        "register with an admitted registrar",
    );
    pub const REGISTRATION_KEY: Self = Self::new(
        503,
        "registration.key",
        "the registration names the key with which this gate signs requests",
        "register again with this gate's request key",
    );
    pub const REGISTRATION_WIDTH: Self = Self::new(
        503,
        "registration.exceeded",
        "public URL, purpose and claims of this client are within the registration",
        "ask for fewer claims in the gate's configuration, or register them",
    );
    pub const LOGIN_UNKNOWN: Self = Self::new(
        404,
        "login.unknown",
        "the login was started here, has not expired and is not finished",
        "start the login again",
    );
    pub const NO_DID: Self = Self::new(
        404,
        "access.no_did",
        "this gate asks wallets by a did:web of its own host",
        "set access_did in the gate's configuration, or look where the DID's own method says",
    );
    pub const LOGIN_BUSY: Self = Self::new(
        503,
        "login.busy",
        "the gate keeps a bounded number of open logins",
        "try again in a minute",
    );
    pub const LOGIN_TRIES: Self = Self::new(
        400,
        "login.too_many_tries",
        "a login is tried at most five times",
        "start the login again",
    );
    pub const REPLAYED: Self = Self::new(
        400,
        "vp.replayed",
        "a request is answered once",
        "start a new login; if it was not you who answered, look at the wallet's journal",
    );
    pub const OTHER_BROWSER: Self = Self::new(
        403,
        "login.other_browser",
        "a login is finished in the browser that started it",
        "go on in the browser where you started, or start again here",
    );
    pub const CODE_WRONG: Self = Self::new(
        400,
        "login.code_wrong",
        "the code is the one that the wallet received for this login",
        "type the code that your wallet shows",
    );
    pub const DISPLAYS_OFF: Self = Self::new(
        404,
        "display.off",
        "this gate has a policy of displays",
        "set [displays] policy in the gate's configuration",
    );
    pub const CALL_MALFORMED: Self = Self::new(
        400,
        "display.call_malformed",
        "a call is a JSON object with the members of docs/displays.md and no others",
        "send those members",
    );
    pub const BACK_IN_TIME: Self = Self::new(
        400,
        "report.back_in_time",
        "a report is not older than the one before it",
        "report counts as they are now; what was reported cannot be told anew",
    );
    pub const REPORT_FUTURE: Self = Self::new(
        400,
        "report.future",
        "a report was not made in the future",
        "set the platform's clock",
    );
    pub const REPORT_CHANGED: Self = Self::new(
        400,
        "report.changed",
        "two reports of one moment say the same",
        "report each count once, with its own time",
    );
    pub const REPORT_TOPICS: Self = Self::new(
        400,
        "report.topics",
        "a report has at most 32 topics of 1 to 64 bytes",
        "send the topics of the policy that apply",
    );
    pub const ACCOUNT_UNKNOWN: Self = Self::new(
        404,
        "account.unknown",
        "the handle was reported to this gate",
        "report the account's followers first",
    );
    pub const ACCOUNT_SUBJECT: Self = Self::new(
        409,
        "account.subject",
        "a handle of which a name is asked, or at which one is shown, keeps its person",
        "send the sub of the account's person; withdraw the display before the handle changes hands",
    );
    pub const APPEAL: Self = Self::new(
        409,
        "appeal.none",
        "an appeal is opened once against a decision, and ended once",
        "look at the account's state first",
    );
    pub const NOT_SHOWN: Self = Self::new(
        404,
        "display.not_shown",
        "a name is shown at this handle",
        "nothing: whoever has this handle shows no name here",
    );
    pub const REQUEST_UNKNOWN: Self = Self::new(
        404,
        "display.request_unknown",
        "the request was made here and has not expired",
        "start again at the platform",
    );
    pub const OTHER_PERSON: Self = Self::new(
        403,
        "display.other_person",
        "whoever shows a name is the person of the account",
        "answer with the wallet that signs in to this account",
    );
    pub const LOOK_ALIKE: Self = Self::new(
        403,
        "display.look_alike",
        "a handle does not look like another that shows a name",
        "choose a handle that nobody mistakes for the other",
    );
    pub const PURPOSE_MISSING: Self = Self::new(
        403,
        "display.purpose",
        "the platform is registered for the purpose real-name with family_name and given_name, and with legal_name where an organisation's name is asked for",
        "register the platform for it",
    );
    pub const RETURN_URI: Self = Self::new(
        400,
        "display.return_uri",
        "return_uri is a page under a registered domain",
        "send a page of the platform",
    );
    pub const REGISTRAR: Self = Self::new(
        503,
        "display.registrar",
        "the registrar puts the display's digest on the ledger, or withdraws it there",
        "try again when the registrar answers; its log has the reason of a refusal",
    );
    pub const RECEIPT_UNWRITTEN: Self = Self::new(
        503,
        "receipt.unwritten",
        "a know-your-customer login leaves a receipt that an auditor can check",
        "try again; the operator finds the reason in the gate's log",
    );
    pub const RECEIPT_UNKNOWN: Self = Self::new(
        404,
        "receipt.unknown",
        "the receipt is one that this gate has left",
        "send the receipt of a login's ID token",
    );
    pub const INTERNAL: Self = Self::new(
        500,
        "internal",
        "the gate must be able to answer every well-formed request",
        "try again; if it stays, tell the operator the time of this answer",
    );

    pub fn problem(self) -> Problem {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        let problem = Problem::new(status, self.code, self.rule, self.fix);
        if self.status == 503 {
            problem.retry_after(5)
        } else {
            problem
        }
    }
}

impl Refusal {
    /// What a status list breaks.
    pub fn of_status(error: StatusError) -> Self {
        VpError::Pid(error.into()).into()
    }
}

impl From<GateError> for Refusal {
    fn from(_: GateError) -> Self {
        Refusal::INTERNAL
    }
}

impl From<VpError> for Refusal {
    fn from(error: VpError) -> Self {
        Self::new(400, error.code(), error.rule(), error.fix())
    }
}

impl From<ResponseRefused> for Refusal {
    fn from(error: ResponseRefused) -> Self {
        VpError::Response(error).into()
    }
}

/// The gate's own registration or request is at fault: the operator's matter.
impl From<RequestRefused> for Refusal {
    fn from(error: RequestRefused) -> Self {
        Self::new(503, error.code(), error.rule(), error.fix())
    }
}

impl From<OidcError> for Refusal {
    fn from(error: OidcError) -> Self {
        Self::new(error.status(), error.code(), error.rule(), error.fix())
    }
}

/// The form that OAuth demands.
pub(crate) fn oauth(error: OidcError) -> OAuthError {
    OAuthError::new(error.error(), Refusal::from(error).problem())
}
