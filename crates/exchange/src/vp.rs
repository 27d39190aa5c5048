//! Presenting over OpenID4VP 1.0: what a gate asks, what a wallet checks before it answers, and
//! what the gate checks in the answer (spec/login.md, rules V1 to V14).
//!
//! ```text
//! wallet                                          gate
//!        ◀──── openid4vp://?client_id&request_uri   WalletLink
//! GET request_uri ───────────────────────────────▶  RequestContent::sign
//! ClaimedRequest::parse, then records from the ledger,
//! ClaimedRequest::check  (who asks, for what, why: shown to the person)
//! POST response_uri ─────────────────────────────▶  WalletResponse::parse, verify_response
//! ```
//!
//! The client id is `verifier_attestation:<service id>` (§5.9.3): the request object carries the
//! service's registration in its `jwt` header, and is signed by the key that the registration
//! names. The wallet holds the registration against the ledger and the request against the
//! registration, so a service can neither pose as another nor ask for more than was registered.
//! Wallets that do not read the ledger are asked under a certificate (`x509_hash:`, `x509_san_dns:`) or a DID
//! (`decentralized_identifier:`; [`Signer`]), for a PID alone: by link and QR code as above, or through the browser's
//! Digital Credentials API ([`AnswerTo::Browser`]), where an answer goes back to the page.
//!
//! An answer is up to three entries of one `vp_token`: `pass`, a RealPass with the person's pseudonym
//! at this service; `pid`, the official credential as SD-JWT VC with only the asked claims disclosed;
//! and `did`, the signature of this service's own DID ([`crate::did_proof`]). Where an organisation's name is to be shown to
//! everybody ([`crate::display`]), `organisation` stands in the place of `pid`. All cover the request's
//! nonce and client id, and the last covers the others.
//!
//! - [`Ask`]: what a gate may ask for
//! - `request`: what a gate sends, and what a wallet checks in it
//! - `stranger`: what a wallet checks in a request of somebody who is not registered, named by a certificate
//!   (`certified`) or a DID (`by_did`)
//! - `response`: what a wallet answers, and what a gate checks in it

mod by_did;
mod certified;
mod request;
mod response;
mod stranger;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realdid_core::hash::Hash32;
use realdid_credential::ClaimPath;
use realdid_credential::mdoc::MdocError;
use realdid_credential::realpass::{Fact, RealPassError};
use realdid_credential::sd_jwt::SdJwtError;
use sha2::{Digest as _, Sha256};
use url::{Url, form_urlencoded};

use crate::did_proof::DidProofError;
use crate::display::DisplayError;
use crate::form;
use crate::refusal::refusals;
use crate::registration::RegistrationError;

pub use by_did::{DidRequest, MAX_DOCUMENT_BYTES, TrustedDidRequest, VerifierDid};
pub use certified::{CertifiedRequest, SAN_DNS_PREFIX};
pub use request::{
    AnswerTo, Asked, AskedMdoc, AskedPass, AskedPid, CheckedRequest, Claimed, ClaimedRequest,
    RequestContent, RequestEvidence, Signer, Takes,
};
pub(crate) use response::issuer_keys;
pub use response::{
    Answer, CheckedLogin, Expected, PassClaim, PassKeyId, Presented, ResponseEvidence,
    VerifiedLogin, VerifiedPass, WalletError, WalletResponse, audience_of, check_response,
    claimed_pid_issuer, form_of, pid_key, refusal_form, response_form,
};
pub use stranger::Stranger;

/// The `typ` of a request object.
pub const REQUEST_TYP: &str = "oauth-authz-req+jwt";
/// The client id prefix of OpenID4VP 1.0 §5.9.3.
pub const CLIENT_ID_PREFIX: &str = "verifier_attestation:";
/// The same of who is known by the hash of a certificate.
pub const X509_HASH_PREFIX: &str = "x509_hash:";
/// The same of who is known by a DID.
pub const DID_PREFIX: &str = "decentralized_identifier:";
/// Before the origin of a page in the audience of what is shown through a browser (appendix A.4).
pub const ORIGIN_PREFIX: &str = "origin:";
/// The protocol of a signed request in the Digital Credentials API (appendix A.1).
pub const BROWSER_PROTOCOL: &str = "openid4vp-v1-signed";
/// The audience of a request object for a wallet that nobody knows beforehand (§5.8).
pub const WALLET_AUDIENCE: &str = "https://self-issued.me/v2";
/// The media type of a request object.
pub const REQUEST_MEDIA_TYPE: &str = "application/oauth-authz-req+jwt";
/// The query's id of the RealPass.
pub const PASS_ID: &str = "pass";
/// The query's id of the official credential.
pub const PID_ID: &str = "pid";
/// The query's id of the same as an mdoc.
pub const MDOC_ID: &str = "pid_mdoc";
/// The query's id of an organisation's credential, in the place of the PID where its name is to be shown to
/// everybody.
pub const ORGANISATION_ID: &str = "organisation";
/// The query's id of the DID's signature.
pub const DID_ID: &str = "did";
/// Our format of the DID's signature, in a query.
pub const DID_FORMAT: &str = "rdid_proof";

/// The longest request object, in bytes.
pub const MAX_REQUEST_BYTES: usize = 32 * 1024;
/// The longest body of a response, in bytes: a full DID proof, a PID, and their form encoding.
pub const MAX_RESPONSE_BYTES: usize = 160 * 1024;
/// The same where it is encrypted: base64url adds a third.
pub const MAX_ENCRYPTED_BYTES: usize = 224 * 1024;
/// Random bytes for one answer: an ephemeral key and an initialisation vector.
pub type AnswerEntropy = [u8; 44];
/// The longest wallet link, in bytes.
pub const MAX_LINK_BYTES: usize = 2048;
/// The longest URL, nonce or state in a request, in bytes.
const MAX_TEXT_BYTES: usize = 512;
/// How far apart the clocks of wallet and gate may be, in seconds.
pub const CLOCK_SKEW_S: u64 = 10;

refusals! {
    /// Why a wallet does not answer a request. The service's gate is at fault, or whoever poses
    /// as it; only the last two are the wallet's own.
    RequestRefused
    LinkMalformed Verifier "vp.link_malformed" "a wallet link is openid4vp:// with client_id and an http(s) request_uri, at most 2 kB" "show a link that the gate made",
    TooLong Verifier "vp.request_too_long" "a request object is at most 32 kB" "ask for less",
    Malformed Verifier "vp.request_malformed" "a request object is a signed JWT of type oauth-authz-req+jwt with the members of spec/login.md" "use a gate of this version",
    ClientId Verifier "vp.client_id" "client_id is verifier_attestation: and the service id of the registration, in link and request alike" "use the gate's own registration",
    ClientIdPrefix Verifier "vp.client_id_prefix" "client_id begins with verifier_attestation:, x509_san_dns:, x509_hash: or decentralized_identifier:, since a request is signed by whom it names" "sign with a certificate or a DID's key, or register; redirect_uri: names nobody whose signature could be checked",
    NoAuthority Holder "vp.no_authority" "the person trusts an authority for verifiers that are not registered" "if you know who stands behind its certificate: `realdid wallet ca add FILE`, or --trust-ca FILE",
    CertificateChain Verifier "vp.certificate_chain" "x5c in the header leads from a leaf, which is no authority's, to an authority that this wallet trusts, by P-256 with SHA-256, each allowed to sign the one before" "send the whole chain but the root, leaf first, under an authority that people trust",
    CertificateTime Verifier "vp.certificate_time" "each certificate of the request is valid now" "renew the certificate",
    CertificateName Verifier "vp.certificate_name" "client_id is a DNS name that the certificate has, character by character, or the SHA-256 of the certificate in base64url" "use such a client_id",
    Did Verifier "vp.did" "the DID in client_id is of the method web, jwk or key" "use one of these, or a certificate",
    DidKey Verifier "vp.did_key" "kid in the header is the DID URL of a key of that DID, P-256 or Ed25519, in authentication or assertionMethod of its document, at most 64 kB" "sign by such a key, and serve the document where the method has it",
    DidUntrusted Holder "vp.did_untrusted" "the person trusts the DID of a verifier that is not registered" "if you know whose it is: `realdid wallet ca add-did DID`, or --trust-did DID",
    CertifiedUri Verifier "vp.certified_uri" "an answer to a verifier that is not registered goes over https, and to the host that client_id names, where it names one" "answer at that host",
    CertifiedAsk Verifier "vp.certified_ask" "a verifier that is not registered asks for claims of SD-JWT VCs and mdocs by their names, has the answer encrypted, and asks for nothing that is for registered services" "ask so by direct_post.jwt (HAIP 1.0), or register the service",
    Audience Verifier "vp.request_audience" "aud is https://self-issued.me/v2" "sign the request for wallets",
    ResponseType Verifier "vp.response_type" "response_type is vp_token and response_mode is direct_post or direct_post.jwt" "ask by direct_post or direct_post.jwt",
    Encryption Verifier "vp.encryption" "direct_post.jwt names a P-256 key for ECDH-ES in client_metadata, and A128GCM or A256GCM" "put such a key into client_metadata.jwks",
    Signature Verifier "vp.request_signature" "the request is signed by the key that the registration names" "sign with the registered key, or register the new one",
    Expired Verifier "vp.request_expired" "the request is recent" "ask again",
    Future Verifier "vp.request_future" "the request was not made in the future" "set the clock of gate or wallet",
    WalletNonce Verifier "vp.wallet_nonce" "the request repeats the wallet's nonce" "sign a new request for each wallet_nonce",
    Query Verifier "vp.query" "the query asks for a RealPass, a PID as dc+sd-jwt or mso_mdoc, or both, and at most one rdid_proof, each once and by plain claim paths; an organisation's credential for its display alone; alternatives are the two formats of the PID, or the DID alone where it tells nothing else" "ask in the form of spec/login.md",
    Unregistered Verifier "registration.unknown" "the service is registered on the ledger" "register the service",
    Suspended Verifier "registration.suspended" "the service's registration is active" "ask the registrar",
    RegistrarUnknown Verifier "registration.registrar_unknown" "the registrar is admitted on the ledger" "register with an admitted registrar",
    Registration Verifier "registration.malformed" "the registration keeps the form and the bounds of spec/login.md" "get a new registration from the registrar",
    Registrar Verifier "registration.registrar" "the registration is by the active registrar that the ledger names" "register with an admitted registrar",
    RegistrationSignature Verifier "registration.signature" "the registration is signed by a registration key of its registrar that is not compromised" "get a new registration from the registrar",
    RegistrationDigest Verifier "registration.digest" "the registration's digest is the one on the ledger" "use the newest registration of this service",
    RegistrationExpired Verifier "registration.expired" "the registration has begun and has not expired" "renew the registration",
    Domain Verifier "vp.response_uri" "response_uri stands under a registered domain" "register the domain, or answer under a registered one",
    Purpose Verifier "vp.purpose" "the purpose is a registered one" "ask for a registered purpose",
    Display Verifier "vp.display" "transaction_data is one display on this network at this platform: of the purpose real-name, the legal name alone, a handle in its form, an end within 400 days" "ask for a display in the form of spec/displays.md",
    Network Verifier "vp.network" "the request names the network on whose ledger the service is registered" "name the service's own network",
    Claims Verifier "vp.claims" "every claim that is asked for is registered" "ask for fewer claims, or register them",
    Declined Holder "vp.declined" "the person consents" "ask again when the person wants to",
    Signing Caller "vp.request_signing" "the key signs and the request fits its bounds" "pass the gate's key and a bounded request",
}

impl From<RegistrationError> for RequestRefused {
    fn from(error: RegistrationError) -> Self {
        match error {
            RegistrationError::Malformed => Self::Registration,
            RegistrationError::Registrar => Self::Registrar,
            RegistrationError::Signature => Self::RegistrationSignature,
            RegistrationError::Digest => Self::RegistrationDigest,
            RegistrationError::Suspended => Self::Suspended,
            RegistrationError::Expired => Self::RegistrationExpired,
            RegistrationError::Domain => Self::Domain,
            RegistrationError::Purpose => Self::Purpose,
            RegistrationError::Claim => Self::Claims,
        }
    }
}

refusals! {
    /// Why a gate does not accept a wallet's response, apart from what [`SdJwtError`] and
    /// [`DidProofError`] say.
    ResponseRefused
    TooLong Holder "vp.response_too_long" "a response is at most 160 kB" "send what was asked for, each once",
    Malformed Holder "vp.response_malformed" "a response is a form with vp_token, a JSON object of arrays, and state" "use a wallet of this version",
    State Holder "vp.state" "state is the one of the request" "answer the request that was asked",
    Unencrypted Holder "vp.unencrypted" "what is shown to direct_post.jwt is encrypted" "encrypt the answer to the request's key",
    Encryption Holder "vp.response_encryption" "an encrypted response opens with the request's key" "encrypt to the key of this very request, by ECDH-ES with A128GCM or A256GCM",
    Incomplete Holder "vp.incomplete" "the response holds what was asked for, each once" "show all of it",
    PassNeeded Holder "vp.pass_needed" "a DID alone signs in only where it was shown with a RealPass in this epoch" "answer this request with the RealPass too",
    IssuerUnknown Issuer "credential.issuer_unknown" "the credential's issuer is admitted on the ledger" "use a credential of an admitted authority",
    IssuerSuspended Issuer "credential.issuer_suspended" "the credential's issuer is active" "wait until the authority is reinstated",
    Unaccepted Holder "recognition.unaccepted" "this network accepts credentials of this kind and assurance from the other network" "log in with a credential that it accepts: `realdid network show` lists them",
    KeyUnknown Issuer "credential.kid_unknown" "the credential is signed by a PID key of its issuer" "receive the credential anew",
    Suite Holder "credential.suite" "a credential is signed, and bound to a key, by algorithms that its network admits for documents" "receive the credential anew with a key of a suite that the network admits",
    KeyCompromised Issuer "credential.key_compromised" "the credential's signing key is not known to be in other hands, or the credential is shown to have been there before" "receive the credential anew, under the authority's new key",
    Batch Holder "credential.batch" "the batch that is shown holds the credential, is its issuer's and its key's, and is proved by a recent checkpoint" "show the path that the authority gave for this copy, with the batch's present state",
    ClaimMissing Holder "vp.claim_missing" "every claim that was asked for is shown" "show what the person consented to, or decline",
    OverDisclosed Holder "vp.over_disclosed" "nothing is shown that was not asked for" "disclose the asked claims only",
}

/// A response was refused: which layer's rule failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VpError {
    #[error(transparent)]
    Response(#[from] ResponseRefused),
    #[error(transparent)]
    Pid(#[from] SdJwtError),
    #[error(transparent)]
    Mdoc(#[from] MdocError),
    #[error(transparent)]
    Pass(#[from] RealPassError),
    #[error(transparent)]
    Did(#[from] DidProofError),
    #[error(transparent)]
    Display(#[from] DisplayError),
    #[error(transparent)]
    Registration(#[from] RegistrationError),
}

impl VpError {
    /// The stable, dotted code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Response(error) => error.code(),
            Self::Pid(error) => error.code(),
            Self::Mdoc(error) => error.code(),
            Self::Pass(error) => error.code(),
            Self::Did(error) => error.code(),
            Self::Display(error) => error.code(),
            Self::Registration(error) => error.code(),
        }
    }

    /// The rule that failed.
    pub fn rule(self) -> &'static str {
        match self {
            Self::Response(error) => error.rule(),
            Self::Pid(error) => error.rule(),
            Self::Mdoc(error) => error.rule(),
            Self::Pass(error) => error.rule(),
            Self::Did(error) => error.rule(),
            Self::Display(error) => error.rule(),
            Self::Registration(error) => error.rule(),
        }
    }

    /// What to do about it.
    pub fn fix(self) -> &'static str {
        match self {
            Self::Response(error) => error.fix(),
            Self::Pid(error) => error.fix(),
            Self::Mdoc(error) => error.fix(),
            Self::Pass(error) => error.fix(),
            Self::Did(error) => error.fix(),
            Self::Display(error) => error.fix(),
            Self::Registration(error) => error.fix(),
        }
    }
}

// ---- the link -----------------------------------------------------------------------------

/// What a QR code or a button carries: where the wallet fetches the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalletLink {
    pub client_id: String,
    pub request_uri: String,
    /// The wallet may fetch by POST and send a nonce of its own (§5.10).
    pub post: bool,
}

impl WalletLink {
    /// Reads a link from a QR code, a button or a command line.
    pub fn parse(link: &str) -> Result<Self, RequestRefused> {
        let malformed = RequestRefused::LinkMalformed;
        if link.len() > MAX_LINK_BYTES {
            return Err(malformed);
        }
        let query = link
            .strip_prefix("openid4vp://")
            .and_then(|rest| rest.split_once('?'))
            .map(|(_, query)| query)
            .ok_or(malformed)?;
        let parameters = form::parameters(query).ok_or(malformed)?;
        let request_uri = parameters.get("request_uri").ok_or(malformed)?;
        if !is_http_url(request_uri) {
            return Err(malformed);
        }
        Ok(Self {
            client_id: parameters.get("client_id").ok_or(malformed)?.clone(),
            request_uri: request_uri.clone(),
            post: parameters
                .get("request_uri_method")
                .is_some_and(|method| method == "post"),
        })
    }
}

impl std::fmt::Display for WalletLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("client_id", &self.client_id);
        query.append_pair("request_uri", &self.request_uri);
        if self.post {
            query.append_pair("request_uri_method", "post");
        }
        write!(f, "openid4vp://?{}", query.finish())
    }
}

/// The client id of a service.
pub fn client_id(service_id: &Hash32) -> String {
    format!("{CLIENT_ID_PREFIX}{service_id}")
}

/// The client id of whoever has a certificate (§5.9.3): the SHA-256 of its DER.
pub fn certified_client_id(leaf: &[u8]) -> String {
    let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(leaf));
    format!("{X509_HASH_PREFIX}{hash}")
}

// ---- what is asked ------------------------------------------------------------------------

/// What a gate asks for in one login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The facts of a RealPass; none where no RealPass is asked for.
    pub pass: Option<Vec<Fact>>,
    /// The claims of a PID, or of what stands in its place where a name is to be shown to everybody; none
    /// where neither is asked for.
    pub pid: Option<Vec<ClaimPath>>,
    /// Whether the signature of this service's own DID is.
    pub did: bool,
    /// Whether a PID that lives long will do, whose status is looked up.
    pub long_lived: bool,
}

impl Ask {
    /// What a client needs: a RealPass where it has one account for each person, and whatever
    /// holds the claims that it asks for. Facts of a RealPass are named `realpass.…`.
    pub fn new(one_account_a_person: bool, claims: &[ClaimPath]) -> Self {
        let facts: Vec<Fact> = claims.iter().filter_map(Fact::of_claim).collect();
        let of_pid: Vec<ClaimPath> = claims
            .iter()
            .filter(|claim| Fact::of_claim(claim).is_none())
            .cloned()
            .collect();
        let pass = one_account_a_person || !facts.is_empty();
        Self {
            pid: (!pass || !of_pid.is_empty()).then_some(of_pid),
            pass: pass.then_some(facts),
            did: true,
            long_lived: false,
        }
    }

    /// Claims of a PID and nothing else: nobody is known again by it.
    pub fn pid_alone(claims: &[ClaimPath]) -> Self {
        Self {
            pass: None,
            pid: Some(claims.to_vec()),
            did: false,
            long_lived: false,
        }
    }

    /// The same where a PID that lives long will do too.
    pub fn or_long_lived(self, will_do: bool) -> Self {
        Self {
            long_lived: will_do,
            ..self
        }
    }

    /// Whether somebody who was here in this epoch may answer with the DID alone: nothing is asked
    /// about them but who they are here.
    pub fn did_alone(&self) -> bool {
        self.pid.is_none() && self.pass.as_ref().is_some_and(Vec::is_empty)
    }

    /// The same of somebody from a recognised network: what they show says its assurance too, since
    /// recognition is from an assurance on (rule V15).
    pub fn abroad(&self) -> Self {
        let mut ask = self.clone();
        ask.pass.iter_mut().for_each(add_assurance_fact);
        ask.pid.iter_mut().for_each(add_assurance_claim);
        ask
    }

    /// Every claim by the path under which it is registered.
    pub fn claims(&self) -> Vec<ClaimPath> {
        let facts = self.pass.iter().flatten().filter_map(|fact| fact.claim());
        facts.chain(self.pid.iter().flatten().cloned()).collect()
    }
}

/// The claim of a PID that says how thoroughly the person was verified.
const ASSURANCE: &str = "assurance";

fn add_assurance_fact(facts: &mut Vec<Fact>) {
    if !facts.contains(&Fact::Assurance) {
        facts.push(Fact::Assurance);
    }
}

fn add_assurance_claim(claims: &mut Vec<ClaimPath>) {
    if let Some(path) = ClaimPath::of(&[ASSURANCE])
        && !claims.contains(&path)
    {
        claims.push(path);
    }
}

// ---- shared -------------------------------------------------------------------------------

fn is_http_url(text: &str) -> bool {
    text.len() <= MAX_TEXT_BYTES
        && Url::parse(text)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some())
}

#[cfg(test)]
#[path = "vp/display_tests.rs"]
mod display_tests;
#[cfg(test)]
#[path = "vp/mdoc_tests.rs"]
mod mdoc_tests;
#[cfg(test)]
#[path = "vp/pass_tests.rs"]
mod pass_tests;
#[cfg(test)]
#[path = "vp_tests.rs"]
mod tests;
