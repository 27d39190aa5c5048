//! The embedded register of organisations: invented ones, all computed from the secret seed of the synthetic
//! residents, some of whom may act for them.
//!
//! None exists. Registration numbers have valid check characters (GB 32100) but a region that no province has, as
//! the residents' do. Names are rare on purpose: a test looks for them where none may be.

use realdid_credential::organisation::Organisation;
use realdid_exchange::mandate::{MAX_EVIDENCE_BYTES, MandateEvidence, SYNTHETIC_MANDATE};
use realdid_serve::files::{self, FileError};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use subtle::ConstantTimeEq;

use super::{MandateRefusal, Registered};
use crate::text::base64url;

/// Name, country, and the numbers of the residents who may act for it.
const ORGANISATIONS: [(&str, &str, &[u32]); 5] = [
    ("Featherquill Zymurgy Cooperative", "CN", &[1]),
    ("望舒星河文化传播有限公司", "CN", &[4, 5]),
    ("Brackenthorpe & Quistgaard Holdings", "GB", &[1, 6]),
    ("若溪清秋公益基金会", "CN", &[7, 8]),
    ("Ostrowhisk Lanternworks", "CN", &[5]),
];
/// That one has been struck from the register, so that a refusal can be seen.
const STRUCK: usize = 4;

struct Entry {
    registered: Registered,
    representatives: Vec<String>,
    secret: [u8; 32],
    struck: bool,
}

/// A register of synthetic organisations.
pub struct SyntheticOrganisations {
    /// In the order of the references.
    entries: Vec<Entry>,
}

/// An organisation, the residents who may act for it, and the file with its extract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtractFile {
    pub organisation: String,
    pub representatives: Vec<String>,
    pub struck: bool,
    pub evidence: PathBuf,
}

impl SyntheticOrganisations {
    /// The organisations that this seed gives.
    pub fn new(seed: &[u8; 32]) -> Self {
        let entries = (1u32..).zip(ORGANISATIONS).enumerate();
        Self {
            entries: entries
                .map(|(i, (n, (name, country, people)))| Entry {
                    registered: Registered {
                        reference: format!("o-{n:04}"),
                        organisation: Organisation {
                            legal_name: name.to_owned(),
                            registration_number: registration_number(seed, n),
                            country: country.to_owned(),
                        },
                    },
                    representatives: people.iter().map(|n| format!("r-{n:04}")).collect(),
                    secret: draw(seed, "extract", n),
                    struck: i == STRUCK,
                })
                .collect(),
        }
    }

    /// Every comparison is made whatever the earlier ones said, against another extract where the reference is
    /// unknown, so that time tells as little as the answer.
    pub fn represented(
        &self,
        person: &str,
        evidence: &MandateEvidence,
    ) -> Result<Registered, MandateRefusal> {
        let refused = MandateRefusal::Evidence;
        let known = self.find(&evidence.organisation);
        let entry = known.or(self.entries.first()).ok_or(refused)?;
        let extract = entry.evidence();
        let equal = |a: &str, b: &str| a.as_bytes().ct_eq(b.as_bytes());
        let holds = equal(&evidence.kind, &extract.kind)
            & equal(&evidence.legal_name, &extract.legal_name)
            & equal(&evidence.registration_number, &extract.registration_number)
            & equal(&evidence.country, &extract.country)
            & equal(&evidence.secret, &extract.secret);
        if !bool::from(holds) || known.is_none() || entry.struck {
            return Err(refused);
        }
        self.organisation(person, &evidence.organisation)
    }

    pub fn organisation(
        &self,
        person: &str,
        reference: &str,
    ) -> Result<Registered, MandateRefusal> {
        let entry = self.find(reference).filter(|entry| !entry.struck);
        let entry = entry.ok_or(MandateRefusal::Evidence)?;
        if entry.representatives.iter().any(|known| known == person) {
            Ok(entry.registered.clone())
        } else {
            Err(MandateRefusal::Representative)
        }
    }

    fn find(&self, reference: &str) -> Option<&Entry> {
        let mut entries = self.entries.iter();
        entries.find(|entry| entry.registered.reference == reference)
    }

    /// Every organisation's extract.
    pub fn evidence(&self) -> Vec<MandateEvidence> {
        self.entries.iter().map(Entry::evidence).collect()
    }

    /// Writes `DIR/organisations/<REF>.json` for every organisation, for the owner's eyes only.
    pub fn write_evidence(&self, dir: &Path) -> Result<Vec<ExtractFile>, FileError> {
        let folder = dir.join("organisations");
        files::create_private_dir(&folder)?;
        let write = |entry: &Entry| {
            let reference = &entry.registered.reference;
            let path = folder.join(format!("{reference}.json"));
            let text = serde_json::to_string_pretty(&entry.evidence()).unwrap_or_default();
            debug_assert!(text.len() <= MAX_EVIDENCE_BYTES);
            // Written once, as the residents'.
            if !std::fs::read_to_string(&path).is_ok_and(|old| old == text) {
                files::write_private(&path, text.as_bytes())?;
            }
            Ok(ExtractFile {
                organisation: reference.clone(),
                representatives: entry.representatives.clone(),
                struck: entry.struck,
                evidence: path,
            })
        };
        self.entries.iter().map(write).collect()
    }
}

impl Entry {
    fn evidence(&self) -> MandateEvidence {
        let Registered {
            reference,
            organisation,
        } = &self.registered;
        MandateEvidence {
            kind: SYNTHETIC_MANDATE.to_owned(),
            organisation: reference.clone(),
            legal_name: organisation.legal_name.clone(),
            registration_number: organisation.registration_number.clone().unwrap_or_default(),
            country: organisation.country.clone(),
            secret: base64url(&self.secret),
        }
    }
}

fn draw(seed: &[u8; 32], label: &str, n: u32) -> [u8; 32] {
    Sha256::new()
        .chain_update(b"rdid/1/synthetic/organisation/")
        .chain_update(label)
        .chain_update([0])
        .chain_update(seed)
        .chain_update(n.to_be_bytes())
        .finalize()
        .into()
}

/// The characters of GB 32100: no I, O, S, V or Z.
const CHARACTERS: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";

/// An enterprise's number in a region that there is not, 18 characters.
fn registration_number(seed: &[u8; 32], n: u32) -> Option<String> {
    let drawn = draw(seed, "number", n);
    let subject = drawn[..9].iter().map(|byte| {
        let at = usize::from(*byte) % CHARACTERS.len();
        char::from(CHARACTERS[at])
    });
    let text = format!("91990101{}", subject.collect::<String>());
    Some(format!("{text}{}", check_character(&text)?))
}

/// The check character of the first 17 (ISO 7064 MOD 31-3): weights are powers of three modulo 31.
pub(super) fn check_character(text: &str) -> Option<char> {
    if text.len() != 17 {
        return None;
    }
    let mut weight = 1;
    let mut sum = 0;
    for byte in text.bytes() {
        sum += CHARACTERS.iter().position(|known| *known == byte)? * weight;
        weight = weight * 3 % 31;
    }
    CHARACTERS.get((31 - sum % 31) % 31).map(|c| char::from(*c))
}
