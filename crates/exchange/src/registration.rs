//! A service's registration: the registrar's word for who may ask whom for what
//! (spec/registration.md, rules S1 to S7).
//!
//! A registration is a JWT of type `verifier-attestation+jwt` (OpenID4VP 1.0 §12). The registrar
//! signs it with a key of its issuer record; its digest and standing are on the ledger under the
//! service's id, a random number. A random `jti` salts the digest, so the ledger tells nobody the
//! content: domains, purposes, claims and the organisation's name are in the JWT only.
//!
//! The registrar makes one with [`Registration::sign`]; the gate shows it in every request; the
//! wallet reads [`claimed_registrar`] to know which records to fetch, then calls [`verify`], then
//! holds the request against [`Registration::allows`].

use realdid_core::hash::{Domain, Hash32, hash};
use realdid_core::state::{Issuer, KeyStatus, KeyUse, Service, Standing};
use realdid_credential::jose::{self, Jwk, SigningKey};
use realdid_credential::text::is_invisible;
use realdid_credential::{ClaimPath, PathElement};
use serde_json::{Map, Value, json};
use url::{Host, Url};

use crate::refusal::refusals;
use crate::suites;

/// The `typ` of a registration.
pub const REGISTRATION_TYP: &str = "verifier-attestation+jwt";
/// The longest registration in bytes.
pub const MAX_REGISTRATION_BYTES: usize = 8 * 1024;
/// The most domains, and the most purposes, of one registration.
pub const MAX_DOMAINS: usize = 8;
/// The most claims of one registration.
pub const MAX_CLAIMS: usize = 32;
/// The longest organisation name in characters.
pub const MAX_NAME_CHARS: usize = 80;
/// How far a registrar's clock may be ahead, in seconds.
const CLOCK_SKEW_S: u64 = 60;

refusals! {
    /// Why a registration does not stand, or does not cover a request.
    RegistrationError
    Malformed Verifier "registration.malformed" "a registration is a verifier-attestation JWT of at most 8 kB with a service id, a key, domains, purposes and claims in their bounds" "get a new registration from the registrar",
    Registrar Verifier "registration.registrar" "the registration names the registrar that the ledger's record is of, and that registrar is active" "register with an admitted registrar",
    Signature Verifier "registration.signature" "the registration is signed by a registration key of its registrar that is not compromised" "get a new registration from the registrar",
    Digest Verifier "registration.digest" "the registration's digest is the one on the ledger" "use the newest registration of this service",
    Suspended Verifier "registration.suspended" "the service's registration is active on the ledger" "ask the registrar",
    Expired Verifier "registration.expired" "the registration has begun and has not expired" "renew the registration",
    Domain Verifier "registration.domain" "answers go to a registered domain, over https or on loopback" "register the domain, or answer at a registered one",
    Purpose Verifier "registration.purpose" "the purpose is of the closed list and is registered" "register the purpose",
    Claim Verifier "registration.claim" "every claim is registered and belongs to a registered purpose" "ask for registered claims only, or register for the claim",
}

/// Why a service asks: the closed list, each with the claims that it can be a reason for
/// (rule S4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// To recognise the same person again. Discloses nothing of them, but whether they are still
    /// recognised as before.
    Login,
    /// To know whether somebody is old enough.
    Age,
    /// To know, or to show, a real name where the law asks for it.
    RealName,
    /// To know a customer as financial law asks.
    Kyc,
    /// To send something to somebody.
    Delivery,
}

impl Purpose {
    pub const ALL: [Purpose; 5] = [
        Self::Login,
        Self::Age,
        Self::RealName,
        Self::Kyc,
        Self::Delivery,
    ];

    /// The word in registrations, requests and on the command line.
    pub fn code(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Age => "age",
            Self::RealName => "real-name",
            Self::Kyc => "kyc",
            Self::Delivery => "delivery",
        }
    }

    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.code() == code)
    }

    /// The claims that this purpose can be a reason for, each with all that lies below it.
    pub fn claims(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Login => &[&["realpass", "continuity"]],
            Self::Age => &[&["age_equal_or_over"], &["realpass", "adult"]],
            Self::RealName => &[&["given_name"], &["family_name"], &["legal_name"]],
            Self::Kyc => &[
                &["given_name"],
                &["family_name"],
                &["birthdate"],
                &["age_equal_or_over"],
                &["sex"],
                &["nationalities"],
                &["address"],
                &["personal_administrative_number"],
                &["issuing_authority"],
                &["issuing_country"],
                &["assurance"],
                &["realpass"],
            ],
            Self::Delivery => &[&["given_name"], &["family_name"], &["address"]],
        }
    }

    /// Whether `claim` may be asked for with this purpose.
    pub fn covers(self, claim: &ClaimPath) -> bool {
        self.claims()
            .iter()
            .filter_map(|names| ClaimPath::of(names))
            .any(|allowed| lies_in(claim, &allowed))
    }
}

/// Whether `claim` is `allowed` or lies below it.
fn lies_in(claim: &ClaimPath, allowed: &ClaimPath) -> bool {
    let covers = |(have, want): (&PathElement, &PathElement)| {
        have == want || (*want == PathElement::Every && matches!(have, PathElement::Index(_)))
    };
    let (claim, allowed) = (claim.elements(), allowed.elements());
    claim.len() >= allowed.len() && claim.iter().zip(allowed).all(covers)
}

/// Reads a claim path as people write it: `address.region`, `nationalities[*]`.
pub fn claim_path(text: &str) -> Option<ClaimPath> {
    let mut elements = Vec::new();
    for step in text.split('.') {
        let (name, rest) = step.split_at(step.find('[').unwrap_or(step.len()));
        if name.is_empty() || name.contains(']') {
            return None;
        }
        elements.push(PathElement::Name(name.to_owned()));
        for index in rest.split_inclusive(']').filter(|part| !part.is_empty()) {
            let inner = index.strip_prefix('[')?.strip_suffix(']')?;
            elements.push(match inner {
                "*" => PathElement::Every,
                number => PathElement::Index(number.parse().ok()?),
            });
        }
    }
    ClaimPath::new(elements)
}

/// The one spelling of a domain, `host[:port]`: lower case, no scheme, no path, the port only
/// where it is not 443 (rule S3).
///
/// `sandbox` admits this machine's own addresses; a real registration needs a DNS name with a dot.
pub fn normal_domain(text: &str, sandbox: bool) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
    if text.is_empty() || text.len() > 255 || !text.bytes().all(plain) {
        return None;
    }
    let url = Url::parse(&format!("https://{text}/")).ok()?;
    let real = match url.host()? {
        Host::Domain(name) => {
            let numeric = name.rsplit('.').next()?.bytes().all(|b| b.is_ascii_digit());
            name.contains('.') && !name.ends_with('.') && !numeric && !is_local_name(name)
        }
        _ => false,
    };
    (real || (sandbox && is_loopback(&url)))
        .then(|| domain_of(&url))
        .flatten()
}

/// The domain that a URL leads to, in its one spelling.
///
/// Loopback keeps an http port 80 visible: `http://127.0.0.1` is `127.0.0.1:80`.
pub fn domain_of(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    match url.port_or_known_default()? {
        443 => Some(host.to_owned()),
        port => Some(format!("{host}:{port}")),
    }
}

fn is_local_name(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => is_local_name(name),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// A registration. One that came out of [`verify`] is the ledger's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The registrar's URL (`iss`).
    pub registrar: String,
    /// The service's id on the ledger (`sub`): 32 random bytes.
    pub service_id: Hash32,
    /// The key that signs the gate's requests (`cnf.jwk`).
    pub cnf: Jwk,
    /// Where answers may go; see [`normal_domain`].
    pub domains: Vec<String>,
    pub purposes: Vec<Purpose>,
    /// What may be asked for; each belongs to one of the purposes.
    pub claims: Vec<ClaimPath>,
    /// The organisation's name, shown to people. Never on the ledger.
    pub name: String,
    /// Made by anybody in one step, to try things out. The wallet says so.
    pub sandbox: bool,
    /// Unix seconds.
    pub issued_at_s: u64,
    /// Unix seconds.
    pub expires_s: u64,
    /// Random; salts the digest (`jti`).
    pub jti: [u8; 16],
}

impl Registration {
    /// Rules S3 to S5: bounds, domains in their one spelling, claims that a purpose covers.
    pub fn check(&self) -> Result<(), RegistrationError> {
        let name_chars = self.name.chars().count();
        let bounded = (1..=MAX_DOMAINS).contains(&self.domains.len())
            && (1..=Purpose::ALL.len()).contains(&self.purposes.len())
            && self.claims.len() <= MAX_CLAIMS
            && (1..=MAX_NAME_CHARS).contains(&name_chars)
            // A name that hides or reorders what is shown around it would be a disguise.
            && !self.name.chars().any(|c| c.is_control() || is_invisible(c));
        if !bounded || self.issued_at_s >= self.expires_s {
            return Err(RegistrationError::Malformed);
        }
        let normal = |domain: &String| normal_domain(domain, self.sandbox).as_ref() == Some(domain);
        if !self.domains.iter().all(normal) {
            return Err(RegistrationError::Domain);
        }
        let covered = |claim: &ClaimPath| self.purposes.iter().any(|purpose| purpose.covers(claim));
        if !self.claims.iter().all(covered) {
            return Err(RegistrationError::Claim);
        }
        Ok(())
    }

    /// Registrar: the JWT, signed by a registration key whose id stands in the issuer record
    /// ([`realdid_core::state::IssuerKey::id`]).
    pub fn sign(&self, key_id: &Hash32, key: &SigningKey) -> Result<String, RegistrationError> {
        self.check()?;
        let mut header = Map::new();
        header.insert("typ".to_owned(), REGISTRATION_TYP.into());
        header.insert("kid".to_owned(), key_id.to_string().into());
        let purposes: Vec<&str> = self.purposes.iter().map(|purpose| purpose.code()).collect();
        let claims: Vec<Value> = self.claims.iter().map(ClaimPath::to_value).collect();
        let payload = json!({
            "iss": self.registrar,
            "sub": self.service_id.to_string(),
            "cnf": {"jwk": self.cnf.to_value()},
            "domains": self.domains,
            "purposes": purposes,
            "claims": claims,
            "name": self.name,
            "sandbox": self.sandbox,
            "iat": self.issued_at_s,
            "exp": self.expires_s,
            "jti": hex::encode(self.jti),
        });
        let jwt = jose::sign_compact(&header, payload.to_string().as_bytes(), key)
            .map_err(|_| RegistrationError::Malformed)?;
        if jwt.len() > MAX_REGISTRATION_BYTES {
            return Err(RegistrationError::Malformed);
        }
        Ok(jwt)
    }

    /// Rule S6: whether a request with this answer address, purpose and claims stays within the
    /// registration. An address on plain http is admitted on loopback only.
    pub fn allows(
        &self,
        response_uri: &Url,
        purpose: &str,
        claims: &[ClaimPath],
    ) -> Result<(), RegistrationError> {
        let safe = match response_uri.scheme() {
            "https" => true,
            "http" => self.sandbox && is_loopback(response_uri),
            _ => false,
        };
        let domain = domain_of(response_uri).ok_or(RegistrationError::Domain)?;
        if !safe || !self.domains.contains(&domain) {
            return Err(RegistrationError::Domain);
        }
        let purpose = Purpose::from_code(purpose)
            .filter(|purpose| self.purposes.contains(purpose))
            .ok_or(RegistrationError::Purpose)?;
        let registered =
            |claim: &ClaimPath| self.claims.iter().any(|allowed| lies_in(claim, allowed));
        if claims
            .iter()
            .all(|claim| purpose.covers(claim) && registered(claim))
        {
            Ok(())
        } else {
            Err(RegistrationError::Claim)
        }
    }

    /// Whether it has begun and has not expired: the part of [`verify`] that time alone changes,
    /// for who keeps a verified registration.
    pub fn runs(&self, now_s: u64) -> Result<(), RegistrationError> {
        let begun = self.issued_at_s <= now_s.saturating_add(CLOCK_SKEW_S);
        if begun && self.expires_s > now_s {
            Ok(())
        } else {
            Err(RegistrationError::Expired)
        }
    }

    fn read(claims: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let list = |name: &str, most: usize| {
            let list = claims.get(name).and_then(Value::as_array)?;
            (list.len() <= most).then_some(list)
        };
        let registration = Self {
            registrar: text("iss")?.to_owned(),
            service_id: text("sub")?.parse().ok()?,
            cnf: Jwk::parse(claims.get("cnf")?.get("jwk")?).ok()?,
            domains: list("domains", MAX_DOMAINS)?
                .iter()
                .map(|domain| domain.as_str().map(str::to_owned))
                .collect::<Option<_>>()?,
            purposes: list("purposes", Purpose::ALL.len())?
                .iter()
                .map(|purpose| purpose.as_str().and_then(Purpose::from_code))
                .collect::<Option<_>>()?,
            claims: list("claims", MAX_CLAIMS)?
                .iter()
                .map(ClaimPath::parse)
                .collect::<Option<_>>()?,
            name: text("name")?.to_owned(),
            sandbox: claims.get("sandbox").and_then(Value::as_bool)?,
            issued_at_s: claims.get("iat").and_then(Value::as_u64)?,
            expires_s: claims.get("exp").and_then(Value::as_u64)?,
            jti: hex::decode(text("jti")?).ok()?.try_into().ok()?,
        };
        Some(registration)
    }
}

/// What stands on the ledger for a registration (rule S2).
pub fn digest(jwt: &str) -> Hash32 {
    hash(Domain::Registration, &[jwt.as_bytes()])
}

/// The registrar that a registration names, unverified: to know whose record to fetch.
pub fn claimed_registrar(jwt: &str) -> Result<String, RegistrationError> {
    claimed(jwt).map(|registration| registration.registrar)
}

/// Reads a registration without believing it: for its own service, which shows it to nobody as
/// verified.
pub fn claimed(jwt: &str) -> Result<Registration, RegistrationError> {
    let malformed = |_| RegistrationError::Malformed;
    if jwt.len() > MAX_REGISTRATION_BYTES {
        return Err(RegistrationError::Malformed);
    }
    let jws = jose::decode_unverified(jwt).map_err(malformed)?;
    jws.expect_typ(REGISTRATION_TYP).map_err(malformed)?;
    Registration::read(&jws.claims().map_err(malformed)?).ok_or(RegistrationError::Malformed)
}

/// Holds a registration against the ledger's records of its registrar and its service, both
/// proved (rules S1, S2 and S5).
///
/// A retired key's signatures stand, because the ledger has the digest (promise P7). The record
/// of a service does not say when it was made, so those of a compromised key do not.
pub fn verify(
    jwt: &str,
    registrar: &Issuer,
    service: &Service,
    now_s: u64,
) -> Result<Registration, RegistrationError> {
    let registration = verify_signature(jwt, registrar)?;
    if !registrar.has_id(&service.issuer) {
        return Err(RegistrationError::Registrar);
    }
    if service.digest != digest(jwt) {
        return Err(RegistrationError::Digest);
    }
    if service.standing != Standing::Active {
        return Err(RegistrationError::Suspended);
    }
    registration.runs(now_s)?;
    Ok(registration)
}

/// The part of [`verify`] that needs no record of the service: the registrar's signature and the
/// bounds of the content.
pub fn verify_signature(jwt: &str, registrar: &Issuer) -> Result<Registration, RegistrationError> {
    let registration = claimed(jwt)?;
    if registration.registrar != registrar.url || registrar.standing != Standing::Active {
        return Err(RegistrationError::Registrar);
    }
    let refused = RegistrationError::Signature;
    let jws = jose::decode_unverified(jwt).map_err(|_| refused)?;
    let key = jws
        .header_str("kid")
        .and_then(|kid| kid.parse().ok())
        .and_then(|kid| registrar.key(KeyUse::Registration, &kid))
        .filter(|key| !matches!(key.status, KeyStatus::Compromised(_)))
        .ok_or(refused)?;
    let key = suites::verifying_key(&key.key).map_err(|_| refused)?;
    jws.verify(&key).map_err(|_| refused)?;
    registration.check()?;
    Ok(registration)
}

#[cfg(test)]
mod tests;
