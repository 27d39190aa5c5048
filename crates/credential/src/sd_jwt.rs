//! SD-JWT VC with key binding (RFC 9901; draft-ietf-oauth-sd-jwt-vc, media type `dc+sd-jwt`):
//! the authority issues, the wallet selects and binds, the verifier verifies.
//!
//! Trust has a type. [`Claimed`] is text cut at its `~`; [`ParsedSdJwt`] has its disclosures in
//! place and its registered claims read, nothing verified; [`VerifiedSdJwt`] passed [`verify`].
//!
//! What `verify` cannot know is the caller's matter: whether the nonce was used before (a replay
//! within the same nonce looks like the original), whether the issuer's key was good at the time
//! of issuing, and where a status list comes from. One-time copies carry no status claim; a credential
//! that does is refused by [`verify`] and read by [`verify_with_status`], never accepted unread.
//!
//! Copies of one batch must not differ in what every service sees: pass an `iat_s` that the whole
//! epoch shares, such as its start.

use base64::Engine as _;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::jose::{self, Jwk, JwsError, SigningKey, VerifyingKey};
use crate::json;
use crate::mechanics;
use crate::path::{ClaimPath, PathElement};
use crate::refusal::refusals;
use crate::status::token::VerifiedList;
use crate::status::{Reference, Status, StatusError};
use crate::x509::{self, Certificate, X509Error};

/// The `typ` of the issuer-signed JWT, and the format's name in OpenID4VCI and OpenID4VP.
pub const FORMAT: &str = "dc+sd-jwt";
/// The `typ` of a key binding JWT (RFC 9901 §4.3).
pub const KB_TYP: &str = "kb+jwt";
/// The longest credential or presentation that is read, in bytes.
pub const MAX_LEN: usize = 64 * 1024;
/// The longest nonce or audience that is signed or read, in bytes.
pub const MAX_BINDING_LEN: usize = 1024;

/// Claims that say what the credential is rather than whom it is about: always in plain sight
/// (SD-JWT VC §2.2.2.2), never among the claims that a verifier asks for.
const REGISTERED: &[&str] = &[
    "iss",
    "vct",
    "vct#integrity",
    "iat",
    "nbf",
    "exp",
    "cnf",
    "status",
];

refusals! {
    /// Why a credential or presentation was refused, or could not be made.
    SdJwtError: { Jws(JwsError), Status(StatusError), X509(X509Error) }
    Oversize Holder "sd_jwt.oversize" "a credential with its disclosures is at most 64 kB" "send less",
    Malformed Holder "sd_jwt.malformed" "a credential is a JWT and its disclosures, each ended by ~" "send a compact SD-JWT",
    DisclosureMalformed Holder "sd_jwt.disclosure_malformed" "a disclosure is a base64url JSON array of salt, name and value, or salt and value" "send the disclosures as they were issued",
    DisclosureTwice Holder "sd_jwt.disclosure_twice" "no disclosure is given twice" "send each disclosure once",
    DisclosureUnreferenced Holder "sd_jwt.disclosure_unreferenced" "every disclosure matches a digest that the issuer signed" "send the disclosures as they were issued, with those that they are nested in",
    DisclosureKind Issuer "sd_jwt.disclosure_kind" "a member's disclosure has three parts, an element's two" "issue the credential anew",
    TooManyDisclosures Holder "sd_jwt.too_many_disclosures" "a credential has at most 64 disclosures" "send less",
    TooDeep Issuer "sd_jwt.too_deep" "claims nest at most 16 deep" "issue a flatter credential",
    HashAlg Issuer "sd_jwt.hash_alg" "digests are SHA-256" "issue the credential with _sd_alg sha-256",
    DigestMalformed Issuer "sd_jwt.digest_malformed" "_sd and ... hold digests and stand nowhere else" "issue the credential anew",
    DigestTwice Issuer "sd_jwt.digest_twice" "no digest stands twice" "issue the credential anew",
    ClaimTwice Issuer "sd_jwt.claim_twice" "no disclosure repeats a claim of its level" "issue the credential anew",
    ClaimReserved Issuer "sd_jwt.claim_reserved" "no disclosure names _sd, ... or a registered claim" "issue the credential anew",
    NoSuchClaim Holder "sd_jwt.no_such_claim" "the credential has the claim that is to be shown" "choose among the claims that it has",
    HolderKey Holder "sd_jwt.holder_key" "a presentation is bound with the key that the credential names" "use the key that this copy was issued to",
    BindingUnexpected Holder "sd_jwt.binding_unexpected" "a credential as issued carries no key binding" "store the credential, not a presentation of it",
    Claims Issuer "credential.claims" "iss, vct, iat, exp and cnf.jwk are there and of their kind" "issue the credential with them",
    Validity Caller "credential.validity" "a credential expires after it is issued" "choose a later end",
    Signature Issuer "credential.signature" "the issuer's signature verifies under its key" "receive the credential anew",
    IssuerUnknown Issuer "credential.issuer_unknown" "the issuer is one that is accepted here" "use a credential of an accepted issuer",
    KidUnknown Issuer "credential.kid_unknown" "the key is one that the issuer has" "receive the credential anew",
    VctRefused Holder "credential.vct_refused" "the credential is of a type that is accepted here" "show a credential of the type that was asked for",
    Expired Holder "credential.expired" "the credential has not expired" "refresh it and show the new copy",
    NotYetValid Holder "credential.not_yet_valid" "the credential is valid already" "check the clock, or wait",
    StatusUnread Issuer "credential.status_unread" "a credential accepted here has no status to look up" "issue a short-lived copy without a status claim",
    StatusMissing Verifier "credential.status_missing" "the status list that the credential names was fetched" "fetch the list and verify again",
    Revoked Issuer "credential.revoked" "the credential is not revoked" "ask the issuer for another credential",
    Suspended Issuer "credential.suspended" "the credential is not suspended" "ask the issuer why, or wait",
    StatusOther Issuer "credential.status_other" "the credential's status is one that is known here" "use a credential that is plainly valid",
    KeyBindingMissing Holder "kb.missing" "a presentation is bound by a key binding JWT" "sign nonce and audience with the credential's key",
    KeyBindingMalformed Holder "kb.malformed" "a key binding JWT has typ kb+jwt and nonce, aud, iat and sd_hash" "make it as RFC 9901 section 4.3 says",
    KeyBindingSignature Holder "kb.signature" "the key binding is signed by the key that the credential names" "use the key that this copy was issued to",
    Nonce Holder "kb.nonce" "the nonce is the one of this request" "answer this request, not an earlier one",
    Audience Holder "kb.audience" "the audience is this verifier" "make a presentation for this verifier",
    KeyBindingStale Holder "kb.stale" "the key binding is fresh" "make the presentation when it is asked for",
    KeyBindingFuture Holder "kb.future" "the key binding was not made in the future" "set the clock right",
    SdHash Holder "kb.sd_hash" "the key binding covers exactly what is presented" "bind after selecting, and change nothing afterwards",
}

// ---- the authority ------------------------------------------------------------------------

/// What the issuer says about the credential itself.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// The issuer's URL.
    pub iss: &'a str,
    /// The credential's type.
    pub vct: &'a str,
    /// Which of the issuer's keys signs.
    pub kid: &'a str,
    /// Issued at, in seconds of Unix time. Let copies share it (see the module's text).
    pub iat_s: u64,
    /// Valid until, in seconds of Unix time, exclusive.
    pub exp_s: u64,
    /// The certificate chain of the signing key, base64 DER, leaf first; empty for none.
    pub x5c: &'a [String],
}

/// Makes a credential for the holder of `holder`, with all its disclosures.
///
/// Every claim that `always_disclosed` does not name is hidden, and within an object every member
/// on its own (recursive disclosures, RFC 9901 §6.3): not even the presence of `address` shows.
/// `salt` must return 16 fresh random bytes at each call.
pub fn issue(
    claims: &Map<String, Value>,
    always_disclosed: &[&str],
    terms: &Terms<'_>,
    holder: &Jwk,
    key: &SigningKey,
    salt: &mut dyn FnMut() -> [u8; 16],
) -> Result<String, SdJwtError> {
    issue_with_status(claims, always_disclosed, terms, None, holder, key, salt)
}

/// The same for a credential that lives long: its entry in a status list can suspend or revoke it.
pub fn issue_with_status(
    claims: &Map<String, Value>,
    always_disclosed: &[&str],
    terms: &Terms<'_>,
    status: Option<&Reference>,
    holder: &Jwk,
    key: &SigningKey,
    salt: &mut dyn FnMut() -> [u8; 16],
) -> Result<String, SdJwtError> {
    if claims
        .keys()
        .any(|name| REGISTERED.contains(&name.as_str()))
    {
        return Err(SdJwtError::ClaimReserved);
    }
    if terms.exp_s <= terms.iat_s {
        return Err(SdJwtError::Validity);
    }
    let concealed = mechanics::conceal(claims, always_disclosed, salt)?;

    // Written rather than built and serialised: an authority makes many copies at once.
    let mut payload = String::with_capacity(1024);
    payload.push_str("{\"iss\":");
    json::write_text(terms.iss, &mut payload);
    payload.push_str(",\"vct\":");
    json::write_text(terms.vct, &mut payload);
    payload.push_str(&format!(
        ",\"iat\":{},\"exp\":{},\"cnf\":{{\"jwk\":{}}}",
        terms.iat_s,
        terms.exp_s,
        holder.to_json()
    ));
    if let Some(status) = status {
        payload.push_str(&format!(",\"status\":{}", status.to_claim()));
    }
    payload.push_str(&concealed.members);
    payload.push('}');

    let mut header = format!(
        "{{\"alg\":\"{}\",\"typ\":\"{FORMAT}\",\"kid\":",
        key.alg().name()
    );
    json::write_text(terms.kid, &mut header);
    if !terms.x5c.is_empty() {
        header.push_str(",\"x5c\":");
        header.push_str(&Value::from(terms.x5c).to_string());
    }
    header.push('}');

    let mut compact = jose::sign_written(&header, payload.as_bytes(), key)?;
    compact.push_str(&concealed.disclosures);
    compact.push('~');
    if compact.len() > MAX_LEN {
        return Err(SdJwtError::Oversize);
    }
    Ok(compact)
}

// ---- text in, claims out ------------------------------------------------------------------

/// A credential or presentation cut into its parts; only its length was checked.
#[derive(Clone, Copy)]
pub struct Claimed<'a> {
    /// The issuer-signed JWT.
    pub jwt: &'a str,
    /// JWT and disclosures up to and with the last `~`: what a key binding covers.
    pub sd_jwt: &'a str,
    /// The key binding JWT, if there is one.
    pub key_binding: Option<&'a str>,
}

impl<'a> Claimed<'a> {
    /// Cuts `text` at its `~`.
    pub fn read(text: &'a str) -> Result<Self, SdJwtError> {
        if text.len() > MAX_LEN {
            return Err(SdJwtError::Oversize);
        }
        let (Some(first), Some(last)) = (text.find('~'), text.rfind('~')) else {
            return Err(SdJwtError::Malformed);
        };
        let (sd_jwt, rest) = text.split_at(last + 1);
        Ok(Self {
            jwt: &text[..first],
            sd_jwt,
            key_binding: (!rest.is_empty()).then_some(rest),
        })
    }
}

/// A credential whose disclosures fit its digests and whose registered claims are well formed.
/// No signature was checked: a wallet keeps one that it received through [`receive`].
#[derive(Clone)]
pub struct ParsedSdJwt {
    sd_jwt: String,
    claims: Map<String, Value>,
    places: Vec<Vec<PathElement>>,
    registered: Registered,
}

/// The registered claims and the header's `kid`.
#[derive(Debug, Clone)]
struct Registered {
    iss: String,
    vct: String,
    kid: String,
    iat_s: u64,
    nbf_s: Option<u64>,
    exp_s: u64,
    cnf: Jwk,
    status: Option<Value>,
}

impl ParsedSdJwt {
    /// Reads a credential as issued, without key binding.
    pub fn parse(text: &str) -> Result<Self, SdJwtError> {
        let claimed = Claimed::read(text)?;
        if claimed.key_binding.is_some() {
            return Err(SdJwtError::BindingUnexpected);
        }
        let jws = jose::decode_unverified(claimed.jwt)?;
        Self::of(&claimed, &jws)
    }

    fn of(claimed: &Claimed<'_>, jws: &jose::ClaimedJws<'_>) -> Result<Self, SdJwtError> {
        jws.expect_typ(FORMAT)?;
        let payload = jws.claims()?;
        // HAIP asks for SHA-256 and nobody here signs anything else.
        if payload.get("_sd_alg").is_some_and(|alg| alg != "sha-256") {
            return Err(SdJwtError::HashAlg);
        }
        let registered = Registered::read(&payload, jws.header_str("kid"))?;
        let mut revealed = mechanics::reveal(payload, claimed.sd_jwt)?;
        let registered_name = |place: &Vec<PathElement>| matches!(place.as_slice(), [PathElement::Name(name)] if REGISTERED.contains(&name.as_str()));
        if revealed.places.iter().any(registered_name) {
            return Err(SdJwtError::ClaimReserved);
        }
        revealed
            .claims
            .retain(|name, _| !REGISTERED.contains(&name.as_str()));
        Ok(Self {
            sd_jwt: claimed.sd_jwt.to_owned(),
            claims: revealed.claims,
            places: revealed.places,
            registered,
        })
    }

    /// The credential as text, ending in `~`.
    pub fn as_str(&self) -> &str {
        &self.sd_jwt
    }

    /// The claims about the subject that are disclosed, without the registered ones.
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// The credential's type.
    pub fn vct(&self) -> &str {
        &self.registered.vct
    }

    /// The issuer's URL.
    pub fn iss(&self) -> &str {
        &self.registered.iss
    }

    /// Valid until, in seconds of Unix time, exclusive.
    pub fn exp_s(&self) -> u64 {
        self.registered.exp_s
    }

    /// The key it is issued to.
    pub fn cnf(&self) -> &Jwk {
        &self.registered.cnf
    }

    /// Where its status stands, if it has one.
    pub fn status(&self) -> Option<Result<Reference, StatusError>> {
        self.registered.status.as_ref().map(Reference::read)
    }

    /// Keeps only what `paths` need. The [`claims`](Self::claims) of the result are exactly what
    /// the verifier will see, so a wallet can show them before it binds.
    pub fn select(&self, paths: &[ClaimPath]) -> Result<Self, SdJwtError> {
        if paths
            .iter()
            .any(|path| path.select(&self.claims).is_empty())
        {
            return Err(SdJwtError::NoSuchClaim);
        }
        let mut parts = self.sd_jwt.split('~');
        let mut text = parts.next().unwrap_or_default().to_owned();
        text.push('~');
        // A disclosure is needed if it lies on the way to an asked claim or inside it; so what a
        // kept one is nested in is kept as well.
        for (disclosure, place) in parts.zip(&self.places) {
            if paths.iter().any(|path| path.overlaps(place)) {
                text.push_str(disclosure);
                text.push('~');
            }
        }
        Self::parse(&text)
    }

    /// Signs for one verifier and one request (RFC 9901 §4.3) with the key of this copy.
    pub fn bind(&self, binding: &Binding<'_>, key: &SigningKey) -> Result<String, SdJwtError> {
        self.bind_with(binding, &Map::new(), key)
    }

    /// The same with the caller's own members beside those of RFC 9901, which leaves room for
    /// more and whose own ones stay as they are.
    pub fn bind_with(
        &self,
        binding: &Binding<'_>,
        more: &Map<String, Value>,
        key: &SigningKey,
    ) -> Result<String, SdJwtError> {
        if key.verifying_key() != self.registered.cnf.0 {
            return Err(SdJwtError::HolderKey);
        }
        if binding.nonce.is_empty()
            || binding.nonce.len() > MAX_BINDING_LEN
            || binding.aud.is_empty()
            || binding.aud.len() > MAX_BINDING_LEN
        {
            return Err(SdJwtError::KeyBindingMalformed);
        }
        let mut header = Map::new();
        header.insert("typ".to_owned(), KB_TYP.into());
        let mut payload = more.clone();
        payload.insert("iat".to_owned(), binding.iat_s.into());
        payload.insert("aud".to_owned(), binding.aud.into());
        payload.insert("nonce".to_owned(), binding.nonce.into());
        let sd_hash = jose::encode(&sd_hash(&self.sd_jwt));
        payload.insert("sd_hash".to_owned(), sd_hash.into());
        let payload = Value::Object(payload).to_string();
        let kb = jose::sign_compact(&header, payload.as_bytes(), key)?;
        Ok(format!("{}{kb}", self.sd_jwt))
    }
}

impl Registered {
    fn read(payload: &Map<String, Value>, kid: Option<&str>) -> Result<Self, SdJwtError> {
        let missing = || SdJwtError::Claims;
        let text = |name: &str| {
            payload
                .get(name)
                .and_then(Value::as_str)
                .map(str::to_owned)
                .ok_or_else(missing)
        };
        let time_s = |name: &str| match payload.get(name) {
            None => Ok(None),
            Some(value) => value.as_u64().map(Some).ok_or_else(missing),
        };
        let jwk = payload
            .get("cnf")
            .and_then(|cnf| cnf.get("jwk"))
            .ok_or_else(missing)?;
        Ok(Self {
            iss: claimed_iss(payload)?.to_owned(),
            vct: text("vct")?,
            kid: kid.unwrap_or_default().to_owned(),
            iat_s: time_s("iat")?.ok_or_else(missing)?,
            nbf_s: time_s("nbf")?,
            exp_s: time_s("exp")?.ok_or_else(missing)?,
            cnf: Jwk::parse(jwk)?,
            status: payload.get("status").cloned(),
        })
    }
}

/// The issuer that a credential names; empty where it names none.
fn claimed_iss(payload: &Map<String, Value>) -> Result<&str, SdJwtError> {
    match payload.get("iss") {
        None => Ok(""),
        Some(iss) => iss.as_str().ok_or(SdJwtError::Claims),
    }
}

/// Claims are personal data: `Debug` shows the type only.
impl std::fmt::Debug for ParsedSdJwt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ParsedSdJwt({})", self.registered.vct)
    }
}

// ---- the wallet ---------------------------------------------------------------------------

/// What a presentation is bound to.
#[derive(Debug, Clone, Copy)]
pub struct Binding<'a> {
    /// The request's nonce.
    pub nonce: &'a str,
    /// The verifier: its client id, with prefix.
    pub aud: &'a str,
    /// Now, in seconds of Unix time.
    pub iat_s: u64,
}

/// A credential that an issuer hands to its holder: checked before it is stored. `holder` is the
/// key that this copy was asked for.
pub fn receive(
    text: &str,
    evidence: &IssuerEvidence<'_>,
    holder: &Jwk,
) -> Result<ParsedSdJwt, SdJwtError> {
    let claimed = Claimed::read(text)?;
    if claimed.key_binding.is_some() {
        return Err(SdJwtError::BindingUnexpected);
    }
    let parsed = verify_issued(&claimed, evidence)?;
    if parsed.registered.cnf != *holder {
        return Err(SdJwtError::HolderKey);
    }
    Ok(parsed)
}

/// Selects and binds in one step.
pub fn present(
    credential: &ParsedSdJwt,
    paths: &[ClaimPath],
    binding: &Binding<'_>,
    key: &SigningKey,
) -> Result<String, SdJwtError> {
    credential.select(paths)?.bind(binding, key)
}

// ---- the verifier -------------------------------------------------------------------------

/// A key that an issuer had when it may have signed: the caller's knowledge (P7).
#[derive(Debug, Clone)]
pub struct IssuerKey {
    /// The issuer's URL; empty where credentials name none, as below.
    pub iss: String,
    /// The name that `kid` calls it by; empty where credentials name none, since its certificate comes
    /// with them.
    pub kid: String,
    /// The key.
    pub key: VerifyingKey,
}

/// The key of the certificate that a credential or presentation carries in `x5c` (HAIP 1.0 §6.1.1),
/// with the certificate: verified up to one of `roots`. Whether it names `iss` is for the caller to see,
/// who knows by what; a credential with a certificate need not repeat it.
pub fn certified_key(
    text: &str,
    iss: &str,
    roots: &[Certificate],
    now_s: u64,
) -> Result<(IssuerKey, Certificate), SdJwtError> {
    let jws = jose::decode_unverified(Claimed::read(text)?.jwt)?;
    let chain = jws.x5c().ok_or(X509Error::Chain)?;
    let leaf = x509::verify_chain(&chain, roots, now_s)?;
    let named = jws.claims()?.contains_key("iss");
    let key = IssuerKey {
        iss: if named { iss } else { "" }.to_owned(),
        kid: jws.header_str("kid").unwrap_or_default().to_owned(),
        key: leaf.key.clone(),
    };
    Ok((key, leaf))
}

/// What an issuer's signature and times are held against.
#[derive(Debug, Clone, Copy)]
pub struct IssuerEvidence<'a> {
    /// Keys of all accepted issuers.
    pub issuer_keys: &'a [IssuerKey],
    /// Accepted types.
    pub accepted_vcts: &'a [&'a str],
    /// Now, in seconds of Unix time.
    pub now_s: u64,
    /// How far clocks may be apart, in seconds.
    pub clock_skew_s: u64,
}

/// What a presentation is held against.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// About the issuer, and the time.
    pub issuer: IssuerEvidence<'a>,
    /// The nonce of this request. Whether it was answered before is for the caller to know.
    pub nonce: &'a str,
    /// This verifier's client id.
    pub aud: &'a str,
    /// How old a key binding may be, in seconds.
    pub max_kb_age_s: u64,
}

/// A presentation that passed [`verify`].
#[derive(Clone)]
pub struct VerifiedSdJwt {
    /// The disclosed claims about the subject, without the registered ones.
    pub claims: Map<String, Value>,
    /// The issuer's URL.
    pub iss: String,
    /// The credential's type.
    pub vct: String,
    /// Which of the issuer's keys signed.
    pub kid: String,
    /// Issued at, in seconds of Unix time.
    pub iat_s: u64,
    /// Valid until, in seconds of Unix time, exclusive.
    pub exp_s: u64,
    /// The holder's key of this copy.
    pub cnf: Jwk,
}

/// Claims are personal data: `Debug` shows the type only.
impl std::fmt::Debug for VerifiedSdJwt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VerifiedSdJwt({})", self.vct)
    }
}

/// Verifies a presentation with key binding (RFC 9901 §7.3, SD-JWT VC §2.4).
pub fn verify(presentation: &str, evidence: &Evidence<'_>) -> Result<VerifiedSdJwt, SdJwtError> {
    verify_any(presentation, evidence, None)
}

/// The same where credentials may carry a status: `lists` are those that the caller fetched, each
/// verified. Which one a presentation needs is told by [`claimed_status`].
pub fn verify_with_status(
    presentation: &str,
    evidence: &Evidence<'_>,
    lists: &[&VerifiedList],
) -> Result<VerifiedSdJwt, SdJwtError> {
    verify_any(presentation, evidence, Some(lists))
}

/// The status list that a credential or presentation names: unverified, to know what to fetch.
/// Whether that address may be fetched at all is for the caller to decide.
pub fn claimed_status(text: &str) -> Result<Option<Reference>, SdJwtError> {
    let jws = jose::decode_unverified(Claimed::read(text)?.jwt)?;
    let payload = jws.claims()?;
    Ok(payload.get("status").map(Reference::read).transpose()?)
}

/// Anything but plainly valid, from a list that is still good, is refused (spec/status.md, U5).
fn check_status(
    reference: &Reference,
    lists: &[&VerifiedList],
    now_s: u64,
) -> Result<(), SdJwtError> {
    let list = lists.iter().find(|list| list.uri() == reference.uri);
    match list
        .ok_or(SdJwtError::StatusMissing)?
        .status(reference.idx, now_s)?
    {
        Status::Valid => Ok(()),
        Status::Invalid => Err(SdJwtError::Revoked),
        Status::Suspended => Err(SdJwtError::Suspended),
        Status::Other(_) => Err(SdJwtError::StatusOther),
    }
}

fn verify_any(
    presentation: &str,
    evidence: &Evidence<'_>,
    lists: Option<&[&VerifiedList]>,
) -> Result<VerifiedSdJwt, SdJwtError> {
    let claimed = Claimed::read(presentation)?;
    // §7.3 step 1: our policy always demands key binding, whatever the presentation brings.
    let kb = claimed.key_binding.ok_or(SdJwtError::KeyBindingMissing)?;
    let parsed = verify_issued(&claimed, &evidence.issuer)?;
    if let Some(status) = &parsed.registered.status {
        let lists = lists.ok_or(SdJwtError::StatusUnread)?;
        check_status(&Reference::read(status)?, lists, evidence.issuer.now_s)?;
    }
    verify_key_binding(kb, &claimed, &parsed.registered.cnf, evidence)?;
    let Registered {
        iss,
        vct,
        kid,
        iat_s,
        exp_s,
        cnf,
        ..
    } = parsed.registered;
    Ok(VerifiedSdJwt {
        claims: parsed.claims,
        iss,
        vct,
        kid,
        iat_s,
        exp_s,
        cnf,
    })
}

/// §7.1: the issuer's signature first, then what it covers.
fn verify_issued(
    claimed: &Claimed<'_>,
    evidence: &IssuerEvidence<'_>,
) -> Result<ParsedSdJwt, SdJwtError> {
    let jws = jose::decode_unverified(claimed.jwt)?;
    jws.expect_typ(FORMAT)?;
    let payload = jws.claims()?;
    let iss = claimed_iss(&payload)?;
    let mut of_issuer = evidence
        .issuer_keys
        .iter()
        .filter(|key| key.iss == iss)
        .peekable();
    if of_issuer.peek().is_none() {
        return Err(match iss {
            "" => SdJwtError::Claims,
            _ => SdJwtError::IssuerUnknown,
        });
    }
    let issuer_key = of_issuer
        .find(|key| jws.header_str("kid").unwrap_or_default() == key.kid)
        .ok_or(SdJwtError::KidUnknown)?;
    jws.verify(&issuer_key.key).map_err(|error| match error {
        JwsError::Signature => SdJwtError::Signature,
        other => SdJwtError::Jws(other),
    })?;

    let parsed = ParsedSdJwt::of(claimed, &jws)?;
    let registered = &parsed.registered;
    if !evidence.accepted_vcts.contains(&registered.vct.as_str()) {
        return Err(SdJwtError::VctRefused);
    }
    let latest_now_s = evidence.now_s.saturating_add(evidence.clock_skew_s);
    let begins_s = registered.iat_s.max(registered.nbf_s.unwrap_or(0));
    if begins_s > latest_now_s {
        return Err(SdJwtError::NotYetValid);
    }
    if registered.exp_s.saturating_add(evidence.clock_skew_s) <= evidence.now_s {
        return Err(SdJwtError::Expired);
    }
    Ok(parsed)
}

/// §7.3 step 5.
fn verify_key_binding(
    kb: &str,
    claimed: &Claimed<'_>,
    cnf: &Jwk,
    evidence: &Evidence<'_>,
) -> Result<(), SdJwtError> {
    let jws = jose::decode_unverified(kb)?;
    jws.expect_typ(KB_TYP)
        .map_err(|_| SdJwtError::KeyBindingMalformed)?;
    jws.verify(&cnf.0).map_err(|error| match error {
        JwsError::Signature => SdJwtError::KeyBindingSignature,
        other => SdJwtError::Jws(other),
    })?;
    let payload = jws.claims()?;
    let text = |name: &str| {
        let text = payload.get(name).and_then(Value::as_str);
        text.ok_or(SdJwtError::KeyBindingMalformed)
    };
    if text("nonce")? != evidence.nonce {
        return Err(SdJwtError::Nonce);
    }
    if text("aud")? != evidence.aud {
        return Err(SdJwtError::Audience);
    }
    let (now_s, skew_s) = (evidence.issuer.now_s, evidence.issuer.clock_skew_s);
    let iat_s = payload
        .get("iat")
        .and_then(Value::as_u64)
        .ok_or(SdJwtError::KeyBindingMalformed)?;
    if iat_s > now_s.saturating_add(skew_s) {
        return Err(SdJwtError::KeyBindingFuture);
    }
    if iat_s
        .saturating_add(evidence.max_kb_age_s)
        .saturating_add(skew_s)
        < now_s
    {
        return Err(SdJwtError::KeyBindingStale);
    }
    // A wallet may set an end of its own.
    if let Some(exp) = payload.get("exp") {
        let exp_s = exp.as_u64().ok_or(SdJwtError::KeyBindingMalformed)?;
        if exp_s.saturating_add(skew_s) <= now_s {
            return Err(SdJwtError::KeyBindingStale);
        }
    }
    let hash = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(text("sd_hash")?)
        .map_err(|_| SdJwtError::KeyBindingMalformed)?;
    if !bool::from(hash.as_slice().ct_eq(&sd_hash(claimed.sd_jwt))) {
        return Err(SdJwtError::SdHash);
    }
    Ok(())
}

/// RFC 9901 §4.3.1: over the presentation up to and with the last `~`.
fn sd_hash(sd_jwt: &str) -> [u8; 32] {
    Sha256::digest(sd_jwt.as_bytes()).into()
}

#[cfg(test)]
#[path = "sd_jwt_tests.rs"]
mod tests;
