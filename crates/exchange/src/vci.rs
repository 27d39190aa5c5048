//! Issuing over OpenID4VCI 1.0 and HAIP 1.0, both roles: the pre-authorised code flow with a
//! transaction code, and the authorization code flow with PAR, PKCE and DPoP.
//!
//! In the order of the specification: offer (§4), token (§6), nonce (§7), credential (§8),
//! metadata (§12). Offers and metadata are values that both sides read; the checks of the
//! issuer's side are [`CodeState::redeem`] and [`CredentialRequest::check`], the wallet's are
//! [`parse_offer`], [`IssuerMetadata::parse`] and
//! [`AuthorizationRequest::read_answer`](authorization::AuthorizationRequest::read_answer). Who waits, stores and sends is somebody else.
//!
//! One request brings a batch of key proofs and gets one copy of the credential for each: copies
//! are shown once, so that services cannot link them. All copies say the same times, the start of
//! their epoch and its end plus the refresh lead ([`validity`]), so that times link nothing either.
//!
//! What a wallet's provider vouches for is in [`attestation`], what comes after a request in `later`.

use sha2::{Digest, Sha256};
use url::Url;

use crate::refusal::refusals;

pub mod attestation;
pub mod authorization;
mod credential;
mod later;
mod metadata;
mod offer;
mod pass;
mod proof;
mod token;

pub use credential::{
    CheckedRequest, CredentialRequest, CredentialResponse, Expected, IssuedCredential,
    NonceResponse, Proofs, Validity, response_encryption, validity,
};
pub use later::{DeferredRequest, DeferredResponse, Notification, NotificationEvent};
pub use metadata::{
    BatchIssuance, ErrorResponse, IssuerMetadata, MAX_METADATA_BYTES, METADATA_TYP, ServerMetadata,
    well_known,
};
pub use offer::{
    AuthorizationCodeGrant, CredentialOffer, OfferGrants, PreAuthorizedGrant, ReceivedOffer,
    TxCode, parse_offer,
};
pub use pass::{PASS_CONFIGURATION, PassAnswer, PassRequest};
pub use proof::{VerifiedProof, build_attested_proof, build_proof, verify_proof};
pub use token::{CodeState, TokenRequest, TokenResponse};

/// The grant type of a pre-authorised code.
pub const PRE_AUTHORIZED: &str = "urn:ietf:params:oauth:grant-type:pre-authorized_code";
/// The grant type of an authorization code.
pub const AUTHORIZATION_CODE: &str = "authorization_code";
/// The grant type of a refresh token.
pub const REFRESH_TOKEN: &str = "refresh_token";
/// The `typ` of a key proof (appendix F.1).
pub const PROOF_TYP: &str = "openid4vci-proof+jwt";
/// The scheme of an offer's URI.
pub const OFFER_SCHEME: &str = "openid-credential-offer";
/// The format of our PID.
pub const SD_JWT_VC: &str = "dc+sd-jwt";
/// The configuration id of our PID.
pub const PID_CONFIGURATION: &str = "pid-sd-jwt";
/// The configuration id of the same with its issuer's certificate in the header, for whoever does
/// not read the ledger.
pub const X5C_CONFIGURATION: &str = "pid-sd-jwt-x5c";
/// The configuration id of a PID that lives long and has a status (spec/status.md).
pub const LONG_CONFIGURATION: &str = "pid-long-sd-jwt";
/// The configuration id of our PID as an mdoc.
pub const MDOC_CONFIGURATION: &str = "pid-mdoc";
/// The configuration id of an organisation's credential.
pub const ORGANISATION_CONFIGURATION: &str = "organisation-sd-jwt";
/// The format of an mdoc.
pub const MDOC: &str = realdid_credential::mdoc::FORMAT;
/// How many copies one request may bring.
pub const BATCH_SIZE: usize = 10;
/// The longest offer, as JSON, in bytes.
pub const MAX_OFFER_BYTES: usize = 8 * 1024;
/// How old a key proof may be, in seconds.
pub const PROOF_AGE_S: u64 = 300;
/// How far a wallet's clock may be ahead, in seconds.
pub const CLOCK_SKEW_S: u64 = 60;
/// How many wrong transaction codes end a pre-authorised code.
pub const MAX_TX_CODE_FAILURES: u32 = 5;

refusals! {
    /// Why a step of the issuing was refused. [`VciError::error`] is the specification's own code.
    VciError
    TokenRequest Holder "vci.token_request" "a token request carries a grant type and what that grant needs, each once" "send the parameters of OpenID4VCI 1.0 §6.1",
    GrantType Holder "vci.grant_type" "the grant is a pre-authorized code, an authorization code or a refresh token" "use one of the grant types in the metadata",
    AuthorizationRequest Holder "vci.authorization_request" "a pushed request has response_type code, client_id, redirect_uri, code_challenge and what it is for, each once" "send the parameters of OpenID4VCI 1.0 §5.1.4",
    RedirectUri Holder "vci.redirect_uri" "redirect_uri is https, loopback, or of an app's own scheme, without a fragment" "use such an address",
    Pkce Holder "vci.pkce" "code_challenge is the base64url of a SHA-256, and code_challenge_method is S256 (RFC 7636)" "send a challenge of 43 characters, by S256",
    Scope Holder "vci.scope" "scope or authorization_details name configurations of the metadata, each once, at most eight" "use scopes or ids of credential_configurations_supported",
    PushedUnknown Holder "vci.pushed_unknown" "an authorization request is pushed first, and used once, by its client, within ten minutes (RFC 9126)" "push the request, and send client_id and request_uri",
    Dpop Holder "vci.dpop" "a DPoP proof is a fresh ES256 or EdDSA JWT for this very request, sent once (RFC 9449)" "sign a new proof with method, address, time, a new jti and, with a token, its hash",
    DpopReplayed Holder "vci.dpop_replayed" "a DPoP proof is used once" "sign a new proof with a new jti",
    DpopNonce Holder "vci.dpop_nonce" "a DPoP proof has a fresh nonce of this server" "sign again with the nonce in the DPoP-Nonce header",
    DpopKey Holder "vci.dpop_key" "a bound token is used with a DPoP proof by its key, and another without" "send the token by the scheme of its token_type, with its key",
    DpopMissing Holder "vci.dpop_missing" "an authorization code is redeemed with a DPoP proof (HAIP 1.0)" "send a DPoP header",
    Attestation Holder "vci.attestation" "a wallet attestation is signed by a provider that is trusted here, has not expired, and comes with a fresh proof for this server" "have the wallet's provider attest it anew",
    AttestationReplayed Holder "vci.attestation_replayed" "the proof beside a wallet attestation is used once" "sign a new proof with a new jti",
    AttestationMissing Holder "vci.attestation_missing" "this authority issues to attested wallets" "send OAuth-Client-Attestation and OAuth-Client-Attestation-PoP",
    AttestationClient Holder "vci.attestation_client" "client_id is the one that the attestation names" "send the client_id of the attestation",
    TxCodeMissing Holder "vci.tx_code_missing" "a code that was offered with a transaction code is redeemed with it" "ask the user for the transaction code and send it as tx_code",
    TxCodeUnexpected Holder "vci.tx_code_unexpected" "a transaction code is sent only where the offer asks for one" "leave out tx_code",
    Grant Holder "vci.grant" "the code or refresh token is known, unused and not expired, and its transaction code is right" "start again from a new credential offer",
    AccessToken Holder "vci.access_token" "the access token is known and not expired" "get a new one with the refresh token",
    CredentialRequest Holder "vci.credential_request" "a credential request names one credential and carries proofs of one type" "send the members of OpenID4VCI 1.0 §8.2",
    UnknownConfiguration Holder "vci.unknown_configuration" "the credential configuration is one of the metadata" "use an id of credential_configurations_supported",
    UnknownIdentifier Holder "vci.unknown_identifier" "a request names an identifier where the token response named some, and a configuration where it did not" "use what the token response names",
    Encryption Holder "vci.encryption" "a response is encrypted to a P-256 key by ECDH-ES with A128GCM or A256GCM, not compressed" "name such a jwk with its alg, and enc",
    RequestEncryption Holder "vci.request_encryption" "an encrypted request is a JWE to a key of the issuer's metadata, by ECDH-ES on P-256 with A128GCM or A256GCM" "encrypt to that key and send it as application/jwt, or, where that is not required, send JSON",
    Batch Holder "vci.batch" "a request brings between one and batch_size proofs" "split the request",
    ProofMissing Holder "vci.proof_missing" "a request proves possession of at least one key" "send proofs.jwt",
    ProofForm Holder "vci.proof_form" "a proof is a JWT of typ openid4vci-proof+jwt with its key as jwk, and no other key" "build the proof as in OpenID4VCI 1.0 appendix F.1",
    ProofAlg Holder "vci.proof_alg" "a holder key is of a kind that the issuer's metadata name: of P-256 with ES256, or of SM2 with SM2SM3 where the network admits it" "make a key of proof_signing_alg_values_supported; an mdoc takes ES256 alone",
    ProofSignature Holder "vci.proof_signature" "the proof is signed by the key that it shows" "sign with the key in the header",
    ProofAudience Holder "vci.proof_audience" "the proof is made for this issuer" "set aud to the credential issuer identifier",
    ProofTime Holder "vci.proof_time" "the proof was made within the last five minutes" "set the clock and make a new proof",
    ProofNonce Holder "vci.proof_nonce" "every proof of a request carries the same fresh nonce of this issuer" "ask the nonce endpoint and make new proofs",
    ProofKeys Holder "vci.proof_keys" "every proof of a batch is of another key" "make one key for each copy",
    KeyAttestationMissing Holder "vci.key_attestation_missing" "this issuer issues to keys that a wallet's provider attests" "use a wallet whose provider attests keys",
    KeyAttestation Holder "vci.key_attestation" "a key attestation is signed by a provider that is trusted here, has not expired, and attests at most batch_size keys, that of the proof among them" "have the wallet's provider attest the keys anew",
    TransactionId Holder "vci.transaction_id" "the transaction is one that this authority named to this holder, and not answered" "ask for the credential anew",
    NotificationRequest Holder "vci.notification_request" "a notification names an id and one of the three events" "send the members of OpenID4VCI 1.0 §11.1",
    NotificationId Holder "vci.notification_id" "the notification's id came with a credential for this holder" "send the id of the credential response",
    PassForm Holder "vci.pass_form" "a request for a RealPass carries one rdid_realpass proof in the form of spec/realpass.md" "make it with a wallet of this version",
    PassProof Holder "vci.pass_proof" "a commitment comes with a proof that its maker knows what is in it" "make a new request from the wallet's secrets",
    PassCommitment Holder "vci.pass_commitment" "a request commits to the secrets of the enrolment" "use the recovery words of the enrolment, or have the secrets reset at the counter",
    PassEpoch Holder "vci.pass_epoch" "a RealPass is issued for the current epoch, and for the next within the refresh lead" "ask for the current epoch, and set this device's clock",
    Denied Holder "vci.denied" "the holder's enrolment is active" "ask the authority about the enrolment",
    Offer Issuer "vci.offer" "an offer is a JSON object, or an openid-credential-offer URI that carries one, of at most 8 kB" "ask the authority for another offer",
    OfferGrant Issuer "vci.offer_grant" "the offer can be taken with a pre-authorized code or an authorization code, at a server that its issuer names" "ask for such an offer",
    Metadata Issuer "vci.metadata" "the metadata is of the issuer of the offer and names its endpoints under https, or on loopback" "ask the authority to correct its metadata",
    PassMarked Issuer "vci.pass_marked" "a RealPass says the epoch that was asked for and facts of the closed sets, and nothing else" "do not use it, and report the authority: it could be told from others'",
    Response Issuer "vci.response" "the issuer answers as the specification says, one credential for each proof" "ask the authority to correct its answer",
    ResponseEncryption Issuer "vci.response_encryption" "what was asked for encrypted comes as a JWE to the key of this very request" "ask the issuer to encrypt its answers as its metadata say",
    Server Issuer "vci.server" "the authorization server takes pushed requests (RFC 9126) and challenges by S256 (RFC 7636), as HAIP 1.0 asks" "ask the issuer for an offer with a pre-authorized code",
    Answer Issuer "vci.answer" "a browser brings back a code, or an error of RFC 6749, each parameter once" "begin again; if it stays, tell the issuer's operator",
    AnswerState Issuer "vci.answer_state" "what a browser brings back carries the state of this very request" "go on in the browser where you began, or begin again",
    AnswerIssuer Issuer "vci.answer_issuer" "what a browser brings back names the server that was asked (RFC 9207)" "do not go on: another server may have answered in its place",
    NotAuthorized Holder "vci.not_authorized" "the person logs in at the issuer and agrees" "begin again, and agree there",
    Unbound Issuer "vci.unbound" "a token that was asked for with a DPoP proof is bound to its key, and another is a bearer's" "do not use this issuer; ask its operator to bind tokens as its metadata say",
}

impl VciError {
    /// The error code of the specification: OpenID4VCI §6.3 and §8.3.1, RFC 6749 §5.2, RFC 6750
    /// §3.1. The wallet's own travel nowhere.
    pub fn error(self) -> &'static str {
        match self {
            Self::TokenRequest
            | Self::TxCodeMissing
            | Self::TxCodeUnexpected
            | Self::Offer
            | Self::OfferGrant
            | Self::Metadata
            | Self::PassMarked
            | Self::Response
            | Self::ResponseEncryption
            | Self::Server
            | Self::Answer
            | Self::AnswerState
            | Self::AnswerIssuer
            | Self::Unbound => "invalid_request",
            Self::NotAuthorized => "access_denied",
            Self::AuthorizationRequest | Self::RedirectUri | Self::Pkce | Self::PushedUnknown => {
                "invalid_request"
            }
            Self::Scope => "invalid_scope",
            Self::Dpop | Self::DpopReplayed | Self::DpopKey | Self::DpopMissing => {
                "invalid_dpop_proof"
            }
            Self::DpopNonce => "use_dpop_nonce",
            Self::Attestation
            | Self::AttestationReplayed
            | Self::AttestationMissing
            | Self::AttestationClient => "invalid_client",
            Self::TransactionId => "invalid_transaction_id",
            Self::NotificationRequest => "invalid_notification_request",
            Self::NotificationId => "invalid_notification_id",
            Self::GrantType => "unsupported_grant_type",
            Self::Grant => "invalid_grant",
            Self::AccessToken => "invalid_token",
            Self::CredentialRequest | Self::Batch | Self::PassEpoch => "invalid_credential_request",
            Self::UnknownConfiguration => "unknown_credential_configuration",
            Self::UnknownIdentifier => "unknown_credential_identifier",
            Self::Encryption | Self::RequestEncryption => "invalid_encryption_parameters",
            Self::ProofMissing
            | Self::ProofForm
            | Self::ProofAlg
            | Self::ProofSignature
            | Self::ProofAudience
            | Self::ProofTime
            | Self::KeyAttestation
            | Self::KeyAttestationMissing
            | Self::PassForm
            | Self::PassProof
            | Self::PassCommitment
            | Self::ProofKeys => "invalid_proof",
            Self::ProofNonce => "invalid_nonce",
            Self::Denied => "credential_request_denied",
        }
    }
}

/// How codes and tokens are stored: a SHA-256 of the secret, so that a copy of the database opens
/// nothing. Codes and tokens have 256 bits of randomness, so no salt is needed; a transaction code
/// has few, but is worth nothing without its code.
pub fn secret_hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// §12.2.1: `https`; plain `http` only where no network lies between, on loopback.
fn is_safe(url: &Url) -> bool {
    url.has_host() && (url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url)))
}

/// Whether a URL leads to the device itself.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Whether a URL says by itself that it leads no further than the device or the network around it.
fn is_local(url: &Url) -> bool {
    let local_v4 = |ip: std::net::Ipv4Addr| {
        ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified()
    };
    match url.host() {
        Some(url::Host::Ipv4(ip)) => local_v4(ip),
        Some(url::Host::Ipv6(ip)) => {
            let own = ip.is_loopback() || ip.is_unspecified() || ip.is_unique_local();
            own || ip.is_unicast_link_local() || ip.to_ipv4_mapped().is_some_and(local_v4)
        }
        Some(url::Host::Domain(name)) => {
            let last = name.trim_end_matches('.').rsplit('.').next();
            matches!(last, Some("localhost" | "local"))
        }
        None => false,
    }
}

#[cfg(test)]
#[path = "vci/flow_tests.rs"]
mod flow_tests;
#[cfg(test)]
mod tests;
