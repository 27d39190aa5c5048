//! People whom no register of residents knows: the authority verified them itself, by a passport or
//! by a login at an identity provider (spec/enrolment.md, F1 to F18).
//!
//! A credential is made anew at each refresh, so what it says has to be kept. It is kept sealed
//! (XChaCha20-Poly1305) under a key that is derived from `register.key` and is not in the database,
//! with the reference as associated data. The reference is a MAC of the person's number under another
//! such key: the same for the same number, and nothing to whoever has the database alone.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use realdid_credential::pid::{Assurance, Sex};
use realdid_exchange::tag::{Foreign, PassportEvidence, UpstreamEvidence};
use realdid_passport::{self as passport, Chip, Holder, Refused};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use super::passports::Passports;
use super::{Person, RegisterRefusal};
use crate::keys::derived;
use crate::store::{Store, StoreError};
use crate::text::random;

/// How references of foreigners begin.
pub const PREFIX: &str = "foreigner.";
/// What is said of the region of somebody whose residence nobody has looked at.
const REGION: &str = "unstated";
/// A zone whose name is one part, and a provider that knows none.
pub(crate) const NO_NAME: &str = "-";
const NONCE: usize = 24;

/// The foreigners of this authority.
pub struct Foreigners {
    store: Store,
    seal_key: Zeroizing<[u8; 32]>,
    references: References,
    /// The authority's country, in two letters.
    country: String,
    passports: Option<Passports>,
}

/// Makes references of numbers.
pub struct References(Zeroizing<[u8; 32]>);

impl References {
    pub fn new(register_seed: &[u8; 32]) -> Self {
        Self(derived(register_seed, b"rdid/1/foreigners/reference"))
    }

    /// The reference of a number.
    pub fn of(&self, number: &Foreign<'_>) -> Option<String> {
        let number = number.number().ok()?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0[..]).ok()?;
        mac.update(number.as_str().as_bytes());
        let mac = mac.finalize().into_bytes();
        Some(format!("{PREFIX}{}", hex::encode(&mac[..16])))
    }
}

/// What is kept of a person.
#[derive(Serialize, Deserialize)]
pub(crate) struct Kept {
    pub given_name: String,
    pub family_name: String,
    pub birthdate: String,
    pub sex: u8,
    pub nationalities: Vec<String>,
    pub assurance: String,
    /// What stands in the place of a resident number, as its parts.
    pub number: KeptNumber,
}

/// As [`Foreign`] has it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum KeptNumber {
    Passport {
        state: String,
        personal: Option<String>,
        document: String,
    },
    Upstream {
        issuer: String,
        subject: String,
    },
}

impl KeptNumber {
    fn foreign(&self) -> Foreign<'_> {
        match self {
            Self::Passport {
                state,
                personal,
                document,
            } => Foreign::Passport {
                state,
                personal: personal.as_deref(),
                document,
            },
            Self::Upstream { issuer, subject } => Foreign::Upstream { issuer, subject },
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.given_name.zeroize();
        self.family_name.zeroize();
        self.birthdate.zeroize();
        self.nationalities.zeroize();
    }
}

impl From<StoreError> for RegisterRefusal {
    fn from(_: StoreError) -> Self {
        Self::Unavailable
    }
}

/// A login at a provider that is over: who it was, and what the wallet that began it has to show.
#[derive(Serialize, Deserialize)]
pub(crate) struct Ticket {
    pub challenge: String,
    pub kept: Kept,
}

impl Foreigners {
    pub fn new(
        store: Store,
        register_seed: &[u8; 32],
        country: &str,
        passports: Option<Passports>,
    ) -> Self {
        Self {
            store,
            seal_key: derived(register_seed, b"rdid/1/foreigners/seal"),
            references: References::new(register_seed),
            country: country.to_owned(),
            passports,
        }
    }

    /// Whether passports are taken.
    pub fn takes_passports(&self) -> bool {
        self.passports.is_some()
    }

    /// The person whom a passport proves, kept.
    pub async fn by_passport(
        &self,
        evidence: &PassportEvidence,
        now_s: u64,
    ) -> Result<Person, RegisterRefusal> {
        let passports = self.passports.as_ref().ok_or(RegisterRefusal::Kind)?;
        let malformed = RegisterRefusal::Passport(Refused::Malformed);
        let object = evidence.security_object().ok_or(malformed)?;
        let groups = evidence.data_groups().ok_or(malformed)?;
        let groups: Vec<(u8, &[u8])> = groups
            .iter()
            .map(|(number, bytes)| (*number, bytes.as_slice()))
            .collect();
        let chip = Chip {
            security_object: &object,
            groups: &groups,
        };
        let lists = passports.lists(now_s);
        let holder = passport::verify(&chip, &lists, now_s).map_err(RegisterRefusal::Passport)?;
        let kept = kept_of(holder);
        // A citizen would be a second person beside the resident of the register.
        let zone_country = passport::two_letters(match &kept.number {
            KeptNumber::Passport { state, .. } => state,
            KeptNumber::Upstream { .. } => "",
        });
        if zone_country.as_ref() == Some(&self.country) {
            return Err(RegisterRefusal::OwnCountry);
        }
        self.keep(kept).await
    }

    /// The person of a login at a provider that is over, kept. The ticket is used up.
    pub async fn by_upstream(
        &self,
        evidence: &UpstreamEvidence,
        now_s: u64,
    ) -> Result<Person, RegisterRefusal> {
        let ticket = self.store.take_login(&evidence.ticket, now_s).await?;
        let ticket = ticket
            .and_then(|sealed| self.open_ticket(&evidence.ticket, &sealed, &evidence.verifier))
            .ok_or(RegisterRefusal::Evidence)?;
        let same = matches!(
            &ticket.number,
            KeptNumber::Upstream { issuer, subject }
                if *issuer == evidence.issuer && *subject == evidence.subject
        );
        if !same {
            return Err(RegisterRefusal::Evidence);
        }
        self.keep(ticket).await
    }

    /// A foreigner who has proved themselves before.
    pub async fn person(&self, reference: &str) -> Result<Person, RegisterRefusal> {
        let sealed = self.store.foreigner(reference).await?;
        let sealed = sealed.ok_or(RegisterRefusal::Evidence)?;
        let kept = self
            .open(reference, &sealed)
            .ok_or(RegisterRefusal::Unavailable)?;
        person_of(reference, &kept).ok_or(RegisterRefusal::Unavailable)
    }

    async fn keep(&self, kept: Kept) -> Result<Person, RegisterRefusal> {
        if kept.nationalities.contains(&self.country) {
            return Err(RegisterRefusal::OwnCountry);
        }
        let unavailable = RegisterRefusal::Unavailable;
        let reference = self
            .references
            .of(&kept.number.foreign())
            .ok_or(RegisterRefusal::Evidence)?;
        // A state that gives one number to two people must not make them one.
        if let Some(sealed) = self.store.foreigner(&reference).await? {
            let known: Kept = self.open(&reference, &sealed).ok_or(unavailable)?;
            if known.birthdate != kept.birthdate {
                return Err(RegisterRefusal::OtherPerson);
            }
        }
        let person = person_of(&reference, &kept).ok_or(RegisterRefusal::Evidence)?;
        let sealed = self.seal(&reference, &kept).ok_or(unavailable)?;
        self.store.keep_foreigner(&reference, &sealed).await?;
        Ok(person)
    }

    /// Seals something under a name.
    pub(crate) fn seal(&self, name: &str, what: &impl Serialize) -> Option<Vec<u8>> {
        let plain = Zeroizing::new(serde_json::to_vec(what).ok()?);
        let nonce = random::<NONCE>().ok()?;
        let payload = Payload {
            msg: &plain,
            aad: name.as_bytes(),
        };
        let cipher = XChaCha20Poly1305::new((&*self.seal_key).into());
        let sealed = cipher.encrypt(&XNonce::from(nonce), payload).ok()?;
        Some([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what was sealed under this name.
    pub(crate) fn open<T: for<'a> Deserialize<'a>>(&self, name: &str, sealed: &[u8]) -> Option<T> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        let payload = Payload {
            msg: sealed,
            aad: name.as_bytes(),
        };
        let cipher = XChaCha20Poly1305::new((&*self.seal_key).into());
        let plain = cipher.decrypt(&XNonce::from(*nonce), payload).ok()?;
        serde_json::from_slice(&Zeroizing::new(plain)).ok()
    }

    /// What a ticket says, for the wallet whose verifier belongs to its challenge.
    pub(crate) fn open_ticket(&self, ticket: &str, sealed: &[u8], verifier: &str) -> Option<Kept> {
        use sha2::Digest as _;
        use subtle::ConstantTimeEq as _;
        let ticket: Ticket = self.open(&ticket_name(ticket), sealed)?;
        let challenge = crate::text::base64url(&Sha256::digest(verifier.as_bytes()));
        let same = challenge.as_bytes().ct_eq(ticket.challenge.as_bytes());
        bool::from(same).then_some(ticket.kept)
    }
}

/// The name under which a ticket's content is sealed: no login's content is taken for it.
pub(crate) fn ticket_name(ticket: &str) -> String {
    format!("ticket/{ticket}")
}

fn kept_of(holder: Holder) -> Kept {
    let Holder { zone, birthdate } = holder;
    let name = |text: String| match text.is_empty() {
        true => NO_NAME.to_owned(),
        false => text,
    };
    Kept {
        given_name: name(zone.given_name),
        family_name: name(zone.family_name),
        birthdate,
        sex: match zone.sex {
            passport::Sex::Male => Sex::Male,
            passport::Sex::Female => Sex::Female,
            passport::Sex::Unspecified => Sex::NotKnown,
        }
        .code(),
        nationalities: vec![zone.nationality],
        assurance: Assurance::Substantial.text().to_owned(),
        number: KeptNumber::Passport {
            state: zone.state,
            personal: zone.personal_number,
            document: zone.document_number,
        },
    }
}

fn person_of(reference: &str, kept: &Kept) -> Option<Person> {
    Some(Person {
        reference: reference.to_owned(),
        given_name: kept.given_name.clone(),
        family_name: kept.family_name.clone(),
        number: kept.number.foreign().number().ok()?,
        birthdate: kept.birthdate.clone(),
        sex: Sex::from_code(u64::from(kept.sex)).ok()?,
        nationalities: kept.nationalities.clone(),
        region: REGION.to_owned(),
        assurance: Assurance::parse(&kept.assurance).ok()?,
        is_foreign: true,
    })
}

#[cfg(test)]
mod tests;
