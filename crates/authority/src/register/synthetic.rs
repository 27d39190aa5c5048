//! The embedded register: synthetic residents, all computed from one secret seed.
//!
//! Nobody in it lives. Resident numbers have valid check characters but begin with 98 or 99,
//! which no province has (GB/T 2260), so that none can be a real person's. Names are rare on
//! purpose: a test looks for them in every log and in every byte of the ledger (promise P1), and
//! a common word would be found by chance.
//!
//! References such as `r-0001` count residents and say nothing about them.

use realdid_credential::pid::{Assurance, Sex};
use realdid_exchange::tag::{CardEvidence, MAX_EVIDENCE_BYTES, Number, SYNTHETIC_CARD, normalise};
use realdid_serve::files::{self, FileError};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use subtle::ConstantTimeEq;

use super::{Person, RegisterRefusal, number};
use crate::text::base64url;

/// How many residents there are unless the configuration says otherwise.
pub const DEFAULT_RESIDENTS: u32 = 24;
/// The most residents that are computed at start.
pub const MAX_RESIDENTS: u32 = 100_000;

const HAN_FAMILY: [&str; 12] = [
    "欧阳", "司马", "诸葛", "上官", "慕容", "令狐", "皇甫", "尉迟", "澹台", "公孙", "宇文", "长孙",
];
const HAN_GIVEN: [&str; 12] = [
    "雨桐", "浩然", "思远", "静姝", "晨曦", "墨涵", "清秋", "子衿", "若溪", "承泽", "望舒", "念慈",
];
const WORLD_FAMILY: [&str; 12] = [
    "Abdurrahmanov",
    "Featherstonehaugh",
    "Oyelowo-Adeyemi",
    "Papadimitriou",
    "Wickramasinghe",
    "Kowalczykowska",
    "Gutiérrez-Ibarra",
    "Þorvaldsdóttir",
    "Vandenbroucke",
    "Rakotomalala",
    "Bhattacharyya",
    "Csíkszentmihályi",
];
const WORLD_GIVEN: [&str; 12] = [
    "Oluwaseyi",
    "Wilhelmina",
    "Nurzhamal",
    "Thrasyvoulos",
    "Chandrakanthi",
    "Przemysława",
    "Guadalupita",
    "Sæbjörg",
    "Godelieve",
    "Andrianina",
    "Purushottam",
    "Zsófianna",
];
const NATIONS: [&str; 6] = ["UZ", "GB", "NG", "GR", "LK", "PL"];
/// Regions of the synthetic residents: province codes that GB/T 2260 does not assign.
const REGIONS: [(&str, &str); 4] = [
    ("990101", "Synthetic Province North"),
    ("990203", "Synthetic Province South"),
    ("990415", "Synthetic Province East"),
    ("980711", "Synthetic Abroad"),
];

struct Resident {
    person: Person,
    card_secret: [u8; 32],
    deceased: bool,
}

/// A population of synthetic residents.
pub struct SyntheticRegister {
    /// Ordered by number, so that one can be looked up.
    residents: Vec<Resident>,
    /// Where in them each reference is.
    places: HashMap<String, usize>,
}

/// A resident and the file with their evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceFile {
    pub person: String,
    pub evidence: PathBuf,
}

impl SyntheticRegister {
    /// The population of `count` residents that this seed gives. The second is a child, the third
    /// has died; everybody else is a grown-up.
    pub fn new(seed: &[u8; 32], count: u32) -> Self {
        let count = count.min(MAX_RESIDENTS);
        let mut residents: Vec<_> = (1..=count).filter_map(|n| resident(seed, n)).collect();
        residents.sort_by(|a, b| a.person.number.as_str().cmp(b.person.number.as_str()));
        residents.dedup_by(|a, b| a.person.number == b.person.number);
        let place = |(index, resident): (usize, &Resident)| {
            let reference = resident.person.reference.clone();
            (reference, index)
        };
        let places = residents.iter().enumerate().map(place).collect();
        Self { residents, places }
    }

    /// Every comparison is made whatever the earlier ones said, against somebody else's card
    /// where the number is unknown, so that time tells as little as the answer.
    pub fn check(&self, evidence: &CardEvidence) -> Result<Person, RegisterRefusal> {
        let normal = normalise(&evidence.resident_number).ok();
        let text = normal.as_ref().map_or("", Number::as_str);
        let known = self
            .residents
            .binary_search_by(|resident| resident.person.number.as_str().cmp(text));
        let resident = known
            .ok()
            .or(Some(0))
            .and_then(|index| self.residents.get(index))
            .ok_or(RegisterRefusal::Evidence)?;
        let person = &resident.person;
        let equal = |a: &str, b: &str| a.as_bytes().ct_eq(b.as_bytes());
        let holds = equal(&evidence.kind, SYNTHETIC_CARD)
            & equal(&evidence.given_name, &person.given_name)
            & equal(&evidence.family_name, &person.family_name)
            & equal(&evidence.birthdate, &person.birthdate)
            & equal(&evidence.card_secret, &base64url(&resident.card_secret));
        let valid = number::is_valid(text) & known.is_ok() & !resident.deceased;
        if bool::from(holds) & valid {
            Ok(person.clone())
        } else {
            Err(RegisterRefusal::Evidence)
        }
    }

    pub fn person(&self, reference: &str) -> Result<Person, RegisterRefusal> {
        self.places
            .get(reference)
            .and_then(|index| self.residents.get(*index))
            .filter(|resident| !resident.deceased)
            .map(|resident| resident.person.clone())
            .ok_or(RegisterRefusal::Evidence)
    }

    /// Every resident's evidence, in the order of the references.
    pub fn evidence(&self) -> Vec<CardEvidence> {
        let mut all: Vec<_> = self.residents.iter().map(Resident::evidence).collect();
        all.sort_by(|a, b| a.person.cmp(&b.person));
        all
    }

    /// Writes `DIR/residents/<REF>.json` for every living resident, for the owner's eyes only.
    pub fn write_evidence(&self, dir: &Path) -> Result<Vec<EvidenceFile>, FileError> {
        let folder = dir.join("residents");
        files::create_private_dir(&folder)?;
        self.evidence()
            .into_iter()
            .filter(|evidence| self.person(&evidence.person).is_ok())
            .map(|evidence| {
                let path = folder.join(format!("{}.json", evidence.person));
                let text = serde_json::to_string_pretty(&evidence).unwrap_or_default();
                debug_assert!(text.len() <= MAX_EVIDENCE_BYTES);
                // Written once: a second call must not cost a sync for each resident.
                if std::fs::read_to_string(&path).is_ok_and(|old| old == text) {
                    return Ok((evidence.person, path));
                }
                files::write_private(&path, text.as_bytes())?;
                Ok((evidence.person, path))
            })
            .map(|written| written.map(|(person, evidence)| EvidenceFile { person, evidence }))
            .collect()
    }
}

impl Resident {
    fn evidence(&self) -> CardEvidence {
        CardEvidence {
            kind: SYNTHETIC_CARD.to_owned(),
            person: self.person.reference.clone(),
            given_name: self.person.given_name.clone(),
            family_name: self.person.family_name.clone(),
            resident_number: self.person.number.as_str().to_owned(),
            birthdate: self.person.birthdate.clone(),
            card_secret: base64url(&self.card_secret),
        }
    }
}

fn resident(seed: &[u8; 32], n: u32) -> Option<Resident> {
    let draw = |label: &str| -> [u8; 32] {
        Sha256::new()
            .chain_update(b"rdid/1/synthetic/")
            .chain_update(label)
            .chain_update([0])
            .chain_update(seed)
            .chain_update(n.to_be_bytes())
            .finalize()
            .into()
    };
    let dice = draw("person");
    let pick = |place: usize, sides: usize| usize::from(dice[place]) % sides;
    let abroad = n.is_multiple_of(4);
    let (family_name, given_name) = if abroad {
        (WORLD_FAMILY[pick(0, 12)], WORLD_GIVEN[pick(1, 12)])
    } else {
        (HAN_FAMILY[pick(0, 12)], HAN_GIVEN[pick(1, 12)])
    };
    let nation = if abroad { NATIONS[pick(2, 6)] } else { "CN" };
    let (region_code, region) = REGIONS[if abroad { 3 } else { pick(3, 3) }];
    let year = match n {
        2 => 2016 + pick(4, 8),
        _ => 1940 + pick(4, 60),
    };
    let (month, day) = (1 + pick(5, 12), 1 + pick(6, 28));
    // 1000 sequence numbers a region and day: the reference's last digits keep most apart.
    let sequence = (n * 2 + u32::from(dice[7] & 1)) % 1000;
    let digits = format!("{region_code}{year:04}{month:02}{day:02}{sequence:03}");
    let check = number::check_character(&digits)?;
    Some(Resident {
        person: Person {
            reference: format!("r-{n:04}"),
            given_name: given_name.to_owned(),
            family_name: family_name.to_owned(),
            number: normalise(&format!("{digits}{check}")).ok()?,
            birthdate: format!("{year:04}-{month:02}-{day:02}"),
            sex: if sequence % 2 == 1 {
                Sex::Male
            } else {
                Sex::Female
            },
            nationalities: vec![nation.to_owned()],
            region: region.to_owned(),
            assurance: Assurance::Substantial,
            is_foreign: false,
        },
        card_secret: draw("card"),
        deceased: n == 3,
    })
}
