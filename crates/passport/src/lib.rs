//! A passport's chip, judged by passive authentication (ICAO 9303-11, 5.1; spec/enrolment.md, F1 to
//! F9): whether what was read from it is what an issuing state wrote.
//!
//! ```text
//! master list ──▶ country signing CA ──▶ document signer ──▶ security object ──▶ data groups
//!                        └──▶ revocation list ──┘                                 └─ name, birth, number
//! ```
//!
//! [`verify`] is a function of the chip's files, the [`Lists`] and the time. It says nothing of who
//! brings them: a copy of a chip's files passes as well as the chip (docs/threat-model.md).
//!
//! Bytes are read by the RustCrypto formats (`cms`, `x509-cert`, `der`), as DER alone, after their
//! lengths were bounded, and what is signed is encoded anew: bytes in another form than DER fail by
//! their signature. Signatures are checked by `aws-lc-rs`.
//!
//! - [`mrz`]: data group 1
//! - [`lists`]: whom to believe: master list and revocation lists
//! - [`specimen`]: invented states and their passports, for development and tests

#![forbid(unsafe_code)]

mod calendar;
pub mod lists;
pub mod mrz;
mod object;
mod oid;
mod signature;
pub mod specimen;
mod states;

pub use calendar::date_of;
pub use lists::{LeftOut, ListError, Lists};
pub use mrz::{Mrz, Sex};
pub use states::two_letters;

#[cfg(test)]
mod tests;

/// The longest document security object, in bytes.
pub const MAX_OBJECT_BYTES: usize = 16 * 1024;
/// The longest data group, in bytes.
pub const MAX_GROUP_BYTES: usize = 64 * 1024;
/// The data groups that a chip can have.
pub const GROUPS: std::ops::RangeInclusive<u8> = 1..=16;

macro_rules! refusals {
    ($($variant:ident $code:literal $rule:literal $fix:literal,)*) => {
        /// Why a passport was refused. No variant carries a value: it would be personal data.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Refused {
            $(#[doc = $rule] $variant,)*
        }

        impl Refused {
            /// Every refusal.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The stable code.
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// The rule that failed.
            pub fn rule(self) -> &'static str {
                match self { $(Self::$variant => $rule,)* }
            }

            /// What to do about it.
            pub fn fix(self) -> &'static str {
                match self { $(Self::$variant => $fix,)* }
            }
        }
    };
}

refusals! {
    Malformed "passport.malformed" "the chip's files are DER in the forms of ICAO 9303-10, within their bounds, with nothing after them" "read the chip again, and send its files as they are",
    Group "passport.group" "data group 1 is there, and the security object has a hash for each group that is sent" "send data group 1, and no group that the chip does not have",
    Altered "passport.altered" "each data group has the hash that its state signed" "read the chip again; a document that was altered is not taken",
    Mrz "passport.mrz" "data group 1 is the machine readable zone of a passport book, with its check digits" "use a passport book that reads",
    State "passport.state" "issuing state and nationality are codes of ICAO 9303-3" "use a passport of a state that ICAO lists",
    Algorithm "passport.algorithm" "hashes are SHA-256, SHA-384 or SHA-512, and keys P-256, P-384 or RSA of 2048 bits and more" "use a newer passport; the authority takes no weaker ones",
    Signature "passport.signature" "the security object is signed by the document signer whose certificate it has" "read the chip again; what its state did not sign is not taken",
    Signer "passport.signer" "the document signer's certificate is for signatures of this kind of document alone, is no authority's, and has no unknown critical extension" "ask the issuing state for another passport",
    Country "passport.country" "document signer, country signing CA and passport are of one state" "use the passport as its state issued it",
    Untrusted "passport.untrusted" "the document signer is certified by a country signing CA of the master list" "ask the authority whether its master list has the issuing state",
    SignerExpired "passport.signer_expired" "the certificates of document signer and country signing CA are valid now, and were when the passport was signed" "use a passport that was issued later",
    NoRevocationList "passport.revocation_unknown" "a revocation list that a country signing CA of the state signed is at hand and not out of date" "try again when the authority has the issuing state's present list",
    Revoked "passport.signer_revoked" "the issuing state has not revoked the document signer" "ask the issuing state for another passport",
    Expired "passport.expired" "the passport's last day is not over" "use a passport that is valid",
}

/// What was read from a chip. Nothing of it is believed yet. All of it is personal data.
#[derive(Clone, Copy)]
pub struct Chip<'a> {
    /// EF.SOD.
    pub security_object: &'a [u8],
    /// Data groups by number, each as it stands on the chip. The first is needed, others may come.
    pub groups: &'a [(u8, &'a [u8])],
}

/// What the issuing state says of whom the passport is about, each as the machine readable zone has
/// it. All of it is personal data: no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Holder {
    pub zone: Mrz,
    /// `YYYY-MM-DD`.
    pub birthdate: String,
}

/// Passive authentication at `now_s`, Unix seconds.
pub fn verify(chip: &Chip<'_>, lists: &Lists, now_s: u64) -> Result<Holder, Refused> {
    let (_, first) = chip
        .groups
        .iter()
        .find(|(number, _)| *number == 1)
        .ok_or(Refused::Group)?;
    let object = object::SecurityObject::read(chip.security_object)?;
    // Who signed, before what they signed is looked at.
    object.check_signature()?;
    lists.check_signer(&object.signer, object.signed_s, now_s)?;
    object.check_groups(chip.groups)?;
    let zone = Mrz::of_group(first)?;
    if object.signer.country()? != zone.country {
        return Err(Refused::Country);
    }
    if !object.signer.signs_documents_of(&zone.document_code) {
        return Err(Refused::Signer);
    }
    if !zone.stands(now_s)? {
        return Err(Refused::Expired);
    }
    let birthdate = zone.birthdate(now_s)?;
    Ok(Holder { zone, birthdate })
}
