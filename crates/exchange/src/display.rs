//! A name shown in public on purpose (spec/displays.md, rules Y1 to Y12): what a person signs, the badge
//! that everybody may copy, and what whoever sees a badge checks in it.
//!
//! ```text
//! gate      Terms::to_transaction_data ──▶ wallet    which platform, which handle, until when
//! wallet    show                       ──▶ gate      the name from a credential, signed for the audience `public`
//! gate      order::Order::sign         ──▶ registrar a salted digest for the ledger, and nothing else
//! gate      Badge::to_json             ──▶ anybody   Badge::parse, then verify with the ledger's records
//! ```
//!
//! A display is an SD-JWT VC presentation of the PID, or of an organisation's credential, whose key binding
//! says `public` where a login says a gate's name, so neither can be passed off as the other. Beside the members of RFC 9901 the
//! person signs the terms: network, platform, handle, whose name, end, and the key that takes it back. The digest
//! on the ledger is of those signed bytes, and their `nonce` is 32 random bytes of the wallet: from the
//! ledger nobody can guess a name (promise P1), and no copy outlives the record.
//!
//! - [`handle`]: which handles a name may stand beside
//! - [`name`]: whose name it is
//! - [`order`]: what a gate asks of its registrar

pub mod handle;
pub mod name;
pub mod order;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realdid_core::did::NetworkName;
use realdid_core::hash::{Domain, Hash32, HashFunction, hash};
use realdid_core::state::{self, DisplayStatus, Issuer, Service, issuer_id};
use realdid_credential::jose::{self, SigningKey};
use realdid_credential::sd_jwt::{self, Binding, ParsedSdJwt, SdJwtError};
use serde_json::{Map, Value, json};
use url::Url;

pub use handle::Handle;
pub use name::{Kind, LegalName};

use crate::refusal::refusals;
use crate::registration::{self, Purpose, RegistrationError};
use crate::vp::{self, CLOCK_SKEW_S, VpError};

/// The audience of what a person shows to everybody.
pub const AUDIENCE: &str = "public";
/// The `type` of a badge.
pub const BADGE_TYPE: &str = "rdid-display/1";
/// The `type` of the transaction data in a request (OpenID4VP 1.0 §8.4).
pub const TRANSACTION_TYPE: &str = "rdid_display";
/// The longest badge, in bytes.
pub const MAX_BADGE_BYTES: usize = 32 * 1024;
/// How long a display may last, in seconds: four hundred days, so that a yearly one has time to be renewed.
pub const MAX_LIFE_S: u64 = 400 * 86_400;
/// Where the terms stand in a key binding.
const TERMS: &str = "display";

refusals! {
    /// Why a badge does not stand, or a display is not made.
    DisplayError
    Malformed Holder "display.malformed" "a badge is JSON of type rdid-display/1 with network, service, handle, presentation and registration, at most 32 kB" "fetch the badge again from its gate",
    HandleForm Verifier "display.handle_form" "a handle is 1 to 32 characters of one script: a to z with digits and single inner . _ -, or Han characters with digits" "choose a handle that cannot be mistaken for another",
    Handle Verifier "display.handle" "a badge stands at the handle that its person signed" "do not trust this copy; look at the handle's own badge",
    Platform Verifier "display.platform" "a badge stands on the platform that its person signed" "do not trust this copy; look at the badge on its own platform",
    Network Verifier "display.network" "a badge is checked against the network that its person signed" "check it with the genesis of its own network",
    Audience Holder "display.audience" "what stands in public was signed for the public" "do not trust this: somebody shows what was meant for one service",
    Claims Holder "display.claims" "a badge discloses the legal name and nothing else" "show family_name and given_name alone, or legal_name alone of an organisation",
    Kind Verifier "display.kind" "a badge says whose name it shows as its person signed it, and the name comes from a PID or from an organisation's credential accordingly" "do not trust this copy: a person's name and an organisation's do not stand for each other",
    Life Holder "display.life" "a display ends within 400 days of its making, and after it" "make it again with a nearer end",
    Future Holder "display.future" "a display was not made in the future" "set the clock of wallet or verifier",
    Expired Holder "display.expired" "a display has not ended" "show the name again",
    Terms Verifier "display.terms" "the person signed the terms that were asked for: network, platform, handle, whose name, and end" "answer the request as it stands",
    NotAnchored Verifier "display.not_anchored" "the digest of a display is on the ledger" "do not trust this badge; its platform never anchored it",
    TakenBack Holder "display.taken_back" "a display has not been withdrawn" "take this copy down: its person or its platform withdrew it",
    Record Verifier "display.record" "the ledger's record names the platform, its registrar and the key that the person signed" "do not trust this badge",
    Order Verifier "display.order" "an order to the registrar is a recent rdid-display-order+jwt by the registered key of the service" "set the gate's clock, and sign with the key of the registration",
}

/// What a person agrees to: where the name is shown, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    pub network: NetworkName,
    /// The platform's registration id.
    pub service: Hash32,
    pub handle: Handle,
    /// Whose name it is.
    pub kind: Kind,
    /// Unix seconds.
    pub expires_s: u64,
}

impl Terms {
    /// The entry of a request's `transaction_data`, for the credential with this id.
    pub fn to_transaction_data(&self, credential_id: &str) -> String {
        let mut data = self.members();
        data.insert("type".to_owned(), TRANSACTION_TYPE.into());
        data.insert("credential_ids".to_owned(), json!([credential_id]));
        URL_SAFE_NO_PAD.encode(Value::from(data).to_string())
    }

    /// Reads such an entry; `credential_id` is the one that it must be about.
    pub fn of_transaction_data(data: &str, credential_id: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(data).ok()?;
        let data: Value = serde_json::from_slice(&bytes).ok()?;
        let ours =
            data["type"] == TRANSACTION_TYPE && data["credential_ids"] == json!([credential_id]);
        ours.then(|| Self::read(&data))?
    }

    fn members(&self) -> Map<String, Value> {
        let mut members = Map::new();
        let mut put = |name: &str, value: Value| _ = members.insert(name.to_owned(), value);
        put("network", self.network.as_str().into());
        put("service", self.service.to_string().into());
        put("handle", self.handle.as_str().into());
        put("exp", self.expires_s.into());
        if let Some(word) = self.kind.word() {
            put("kind", word.into());
        }
        members
    }

    fn read(value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        Some(Self {
            kind: Kind::of_word(value.get("kind"))?,
            network: text("network")?.parse().ok()?,
            service: text("service")?.parse().ok()?,
            handle: Handle::parse(text("handle")?).ok()?,
            expires_s: value.get("exp").and_then(Value::as_u64)?,
        })
    }

    fn ends_in_time(&self, made_s: u64) -> bool {
        self.expires_s > made_s && self.expires_s - made_s <= MAX_LIFE_S
    }
}

// ---- the wallet ---------------------------------------------------------------------------

/// Makes a display of a copy of the PID, or of an organisation's credential. `salt` is fresh and random,
/// `withdrawal` the commitment to the key that takes it back (rules Y2 and Y3).
pub fn show(
    copy: &ParsedSdJwt,
    terms: &Terms,
    salt: &[u8; 32],
    withdrawal: &Hash32,
    now_s: u64,
    key: &SigningKey,
) -> Result<String, VpError> {
    if !terms.ends_in_time(now_s) {
        return Err(DisplayError::Life.into());
    }
    if copy.vct() != terms.kind.vct() {
        return Err(DisplayError::Kind.into());
    }
    let mut signed = terms.members();
    signed.insert("withdrawal".to_owned(), withdrawal.to_string().into());
    let more = Map::from_iter([(TERMS.to_owned(), signed.into())]);
    let binding = Binding {
        nonce: &URL_SAFE_NO_PAD.encode(salt),
        aud: AUDIENCE,
        iat_s: now_s,
    };
    let shown = copy.select(&terms.kind.paths())?;
    Ok(shown.bind_with(&binding, &more, key)?)
}

// ---- what was signed ----------------------------------------------------------------------

/// A display as it claims to be; nothing is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    pub terms: Terms,
    /// The commitment to the key that takes it back.
    pub withdrawal: Hash32,
    /// What makes the digest unguessable: the wallet derives its key from it.
    pub salt: String,
    /// Unix seconds.
    pub made_s: u64,
    /// What stands on the ledger.
    pub digest: Hash32,
    /// The URL of the credential's issuer.
    pub issuer: String,
}

impl Claimed {
    /// Reads a presentation's key binding.
    pub fn read(presentation: &str) -> Result<Self, VpError> {
        let key_binding = sd_jwt::Claimed::read(presentation)?
            .key_binding
            .ok_or(SdJwtError::KeyBindingMissing)?;
        let jws = jose::decode_unverified(key_binding).map_err(SdJwtError::Jws)?;
        let payload = jws.claims().map_err(SdJwtError::Jws)?;
        if payload.get("aud").and_then(Value::as_str) != Some(AUDIENCE) {
            return Err(DisplayError::Audience.into());
        }
        let malformed = DisplayError::Malformed;
        let signed = payload.get(TERMS).ok_or(malformed)?;
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        // The signature is left out: it has more than one spelling, what it covers has one.
        let covered = key_binding.rsplit_once('.').ok_or(malformed)?.0;
        Ok(Self {
            terms: Terms::read(signed).ok_or(malformed)?,
            withdrawal: text(signed.get("withdrawal"))
                .and_then(|text| text.parse().ok())
                .ok_or(malformed)?,
            salt: text(payload.get("nonce")).ok_or(malformed)?,
            made_s: payload
                .get("iat")
                .and_then(Value::as_u64)
                .ok_or(malformed)?,
            digest: hash(Domain::Display, &[covered.as_bytes()]),
            issuer: vp::claimed_pid_issuer(presentation)?,
        })
    }
}

/// Verifies both signatures of a display and that it discloses a name alone (rules Y4 and Y5).
///
/// The copy must have been valid when the display was made, not when it is looked at: a copy lives
/// for days, a display for months, and the ledger says whether it still stands.
pub fn verify_presentation(
    presentation: &str,
    claimed: &Claimed,
    issuer: Option<&Issuer>,
) -> Result<LegalName, VpError> {
    let issuer_keys = vp::issuer_keys(presentation, issuer, None)?;
    let kind = claimed.terms.kind;
    let verified = sd_jwt::verify(
        presentation,
        &sd_jwt::Evidence {
            issuer: sd_jwt::IssuerEvidence {
                issuer_keys: &issuer_keys,
                accepted_vcts: &[kind.vct()],
                now_s: claimed.made_s,
                clock_skew_s: CLOCK_SKEW_S,
            },
            nonce: &claimed.salt,
            aud: AUDIENCE,
            max_kb_age_s: 0,
        },
    );
    let shown = match verified {
        // Signed by whoever issues both, and for the other kind of name.
        Err(SdJwtError::VctRefused) => return Err(DisplayError::Kind.into()),
        verified => verified?,
    };
    if !claimed.terms.ends_in_time(claimed.made_s) {
        return Err(DisplayError::Life.into());
    }
    Ok(LegalName::of(kind, &shown.claims).ok_or(DisplayError::Claims)?)
}

/// What the gate checks before it asks the registrar: that this is the answer to its own request.
pub fn check_shown(
    presentation: &str,
    asked: &Terms,
    issuer: Option<&Issuer>,
    now_s: u64,
    max_age_s: u64,
) -> Result<(Claimed, LegalName), VpError> {
    let claimed = Claimed::read(presentation)?;
    if claimed.terms != *asked {
        return Err(DisplayError::Terms.into());
    }
    if claimed.made_s > now_s.saturating_add(CLOCK_SKEW_S) {
        return Err(DisplayError::Future.into());
    }
    if claimed.made_s.saturating_add(max_age_s) < now_s {
        return Err(SdJwtError::KeyBindingStale.into());
    }
    let name = verify_presentation(presentation, &claimed, issuer)?;
    Ok((claimed, name))
}

// ---- the badge ----------------------------------------------------------------------------

/// What anybody may copy, embed and check. One that came out of [`Badge::parse`] is not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Badge {
    network: String,
    service: Hash32,
    handle: String,
    kind: Kind,
    presentation: String,
    registration: String,
    claimed: Claimed,
    registrar: String,
}

impl Badge {
    /// The badge of a display that was checked.
    pub fn new(presentation: String, registration: String) -> Result<Self, VpError> {
        let claimed = Claimed::read(&presentation)?;
        let registrar = registration::claimed_registrar(&registration)?;
        Ok(Self {
            network: claimed.terms.network.as_str().to_owned(),
            service: claimed.terms.service,
            handle: claimed.terms.handle.as_str().to_owned(),
            kind: claimed.terms.kind,
            presentation,
            registration,
            claimed,
            registrar,
        })
    }

    /// The JSON that stands at the badge's URL.
    pub fn to_json(&self) -> Value {
        let mut badge = json!({
            "type": BADGE_TYPE,
            "network": self.network,
            "service": self.service.to_string(),
            "handle": self.handle,
            "presentation": self.presentation,
            "registration": self.registration,
        });
        if let Some(word) = self.kind.word() {
            badge["kind"] = word.into();
        }
        badge
    }

    /// Reads a badge from a file or an answer.
    pub fn parse(bytes: &[u8]) -> Result<Self, VpError> {
        let malformed = DisplayError::Malformed;
        if bytes.len() > MAX_BADGE_BYTES {
            return Err(malformed.into());
        }
        let value: Value = serde_json::from_slice(bytes).map_err(|_| malformed)?;
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        if text("type").as_deref() != Some(BADGE_TYPE) {
            return Err(malformed.into());
        }
        let presentation = text("presentation").ok_or(malformed)?;
        let registration = text("registration").ok_or(malformed)?;
        Ok(Self {
            network: text("network").ok_or(malformed)?,
            service: text("service")
                .and_then(|id| id.parse().ok())
                .ok_or(malformed)?,
            handle: text("handle").ok_or(malformed)?,
            kind: Kind::of_word(value.get("kind")).ok_or(malformed)?,
            ..Self::new(presentation, registration)?
        })
    }

    pub fn claimed(&self) -> &Claimed {
        &self.claimed
    }

    /// The credential's issuer and the registrar: which records of the ledger to fetch.
    pub fn issuers(&self, by: HashFunction) -> [Hash32; 2] {
        [
            issuer_id(by, &self.claimed.issuer),
            issuer_id(by, &self.registrar),
        ]
    }
}

/// Where the badge itself lies, for the address of a page that shows it.
pub fn badge_address(page: &Url) -> Url {
    const FILE: &str = "/badge.json";
    let mut url = page.clone();
    url.set_query(None);
    url.set_fragment(None);
    let path = url.path().trim_end_matches('/');
    let folder = path.strip_suffix(FILE).or(path.strip_suffix("/embed"));
    let file = folder.unwrap_or(path).to_owned() + FILE;
    url.set_path(&file);
    url
}

/// Where a badge is seen. What is not known is not held against it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Place<'a> {
    pub handle: Option<&'a str>,
    /// An address of the platform, or of its gate.
    pub address: Option<&'a Url>,
}

/// What the ledger says, proved by a light client and recent; none where it is proved absent.
#[derive(Debug, Clone, Copy)]
pub struct Records<'a> {
    pub network: &'a NetworkName,
    pub issuer: Option<&'a Issuer>,
    pub registrar: Option<&'a Issuer>,
    pub service: Option<&'a Service>,
    pub display: Option<&'a state::Display>,
}

/// A badge that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub name: LegalName,
    pub terms: Terms,
    /// The organisation in the platform's registration.
    pub platform: String,
    pub domains: Vec<String>,
    /// A sandbox registration: nobody has checked who runs the platform.
    pub sandbox: bool,
    /// Unix seconds.
    pub made_s: u64,
    /// The URL of the credential's issuer.
    pub issuer: String,
}

/// Checks a badge: where it stands, who says so, and whether it still does (rules Y6 to Y9).
///
/// The place comes first. It is read from what the signatures below cover, and it is the reason that
/// helps whoever looks at a copy.
pub fn verify(
    badge: &Badge,
    place: &Place<'_>,
    records: &Records<'_>,
    now_s: u64,
) -> Result<Verified, VpError> {
    let Claimed { terms, .. } = &badge.claimed;
    let network = terms.network.as_str();
    if badge.network != network || records.network.as_str() != network {
        return Err(DisplayError::Network.into());
    }
    if badge.service != terms.service {
        return Err(DisplayError::Platform.into());
    }
    let handle = terms.handle.as_str();
    if badge.handle != handle || place.handle.is_some_and(|seen| seen != handle) {
        return Err(DisplayError::Handle.into());
    }
    if badge.kind != terms.kind {
        return Err(DisplayError::Kind.into());
    }
    let service = records.service.ok_or(DisplayError::Platform)?;
    let registrar = records.registrar.ok_or(RegistrationError::Registrar)?;
    let registered = registration::verify(&badge.registration, registrar, service, now_s)?;
    let seen_there = |url: &Url| {
        registration::domain_of(url).is_some_and(|domain| registered.domains.contains(&domain))
    };
    if registered.service_id != terms.service || !place.address.is_none_or(seen_there) {
        return Err(DisplayError::Platform.into());
    }
    if !registered.purposes.contains(&Purpose::RealName) {
        return Err(RegistrationError::Purpose.into());
    }
    let name = verify_presentation(&badge.presentation, &badge.claimed, records.issuer)?;
    if badge.claimed.made_s > now_s.saturating_add(CLOCK_SKEW_S) {
        return Err(DisplayError::Future.into());
    }
    if terms.expires_s <= now_s {
        return Err(DisplayError::Expired.into());
    }
    let record = records.display.ok_or(DisplayError::NotAnchored)?;
    if record.service != terms.service
        || record.withdrawal != badge.claimed.withdrawal
        || record.issuer != service.issuer
    {
        return Err(DisplayError::Record.into());
    }
    if record.status != DisplayStatus::Active {
        return Err(DisplayError::TakenBack.into());
    }
    Ok(Verified {
        name,
        terms: terms.clone(),
        platform: registered.name,
        domains: registered.domains,
        sandbox: registered.sandbox,
        made_s: badge.claimed.made_s,
        issuer: badge.claimed.issuer.clone(),
    })
}

#[cfg(test)]
mod tests;
