//! The embedded register: synthetic residents, all computed from one secret seed.
//!
//! Nobody in it lives. Resident numbers have valid check characters but begin with 98 or 99,
//! which no province has (GB/T 2260), so that none can be a real person's. Names are rare on
//! purpose: a test looks for them in every log and in every byte of the ledger (promise P1), and
//! a common word would be found by chance.
//!
//! References such as `r-0001` count residents and say nothing about them.
//!
//! What happens in a life is written to a file beside it (`residents-changes.json`), which is read again
//! whenever it has changed: the register of a state changes under its authorities too.

use realdid_credential::pid::{Assurance, Pid, Sex};
use realdid_exchange::tag::{CardEvidence, MAX_EVIDENCE_BYTES, Number, SYNTHETIC_CARD, normalise};
use realdid_serve::files::{self, FileError};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;
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

/// The file of changes in an authority's folder.
const CHANGES_FILE: &str = "residents-changes.json";
/// The longest file of changes, in bytes.
const MAX_CHANGES_BYTES: u64 = 4 << 20;

/// What has changed of a resident since the seed made them. Absent is as before.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Amendment {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family_name: Option<String>,
    /// `YYYY-MM-DD`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub birthdate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// A corrected number. It is another one for the person tag too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resident_number: Option<String>,
    /// The person has died.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub died: bool,
}

impl Amendment {
    /// This change on top of an earlier one.
    fn over(self, earlier: Self) -> Self {
        Self {
            given_name: self.given_name.or(earlier.given_name),
            family_name: self.family_name.or(earlier.family_name),
            birthdate: self.birthdate.or(earlier.birthdate),
            region: self.region.or(earlier.region),
            resident_number: self.resident_number.or(earlier.resident_number),
            died: self.died || earlier.died,
        }
    }

    /// The resident as they are after it; none where that is no resident.
    fn of(&self, resident: &Resident) -> Option<Resident> {
        let old = &resident.person;
        let or = |new: &Option<String>, old: &str| new.clone().unwrap_or_else(|| old.to_owned());
        let number = match &self.resident_number {
            Some(text) => normalise(text).ok().filter(|number| {
                // Nobody real is to be found among the synthetic.
                let synthetic = ["98", "99"]
                    .iter()
                    .any(|of| number.as_str().starts_with(of));
                synthetic && number::is_valid(number.as_str())
            })?,
            None => old.number.clone(),
        };
        let person = Person {
            given_name: or(&self.given_name, &old.given_name),
            family_name: or(&self.family_name, &old.family_name),
            birthdate: or(&self.birthdate, &old.birthdate),
            region: or(&self.region, &old.region),
            number,
            ..old.clone()
        };
        pid_of(&person).to_claims().ok()?;
        Some(Resident {
            person,
            card_secret: resident.card_secret,
            deceased: resident.deceased || self.died,
        })
    }
}

/// A PID of theirs, to see whether they can have one.
fn pid_of(person: &Person) -> Pid {
    Pid {
        given_name: person.given_name.clone(),
        family_name: person.family_name.clone(),
        birthdate: person.birthdate.clone(),
        age_over_18: false,
        sex: person.sex,
        nationalities: person.nationalities.clone(),
        region: person.region.clone(),
        resident_number: None,
        issuing_authority: "x".to_owned(),
        issuing_country: "ZZ".to_owned(),
        assurance: person.assurance,
    }
}

/// Why a resident's entry was not changed.
#[derive(Debug, thiserror::Error)]
pub enum AmendmentError {
    #[error(
        "register.unknown: the resident must be one of the embedded register; fault: operator; do: use a reference that \
         `realdid authority residents` lists"
    )]
    Unknown,
    #[error(
        "register.amendment: names and regions must be 1 to 256 bytes, a birth date a day of the calendar, and a number a valid synthetic one \
         that nobody else has; fault: operator; do: correct the option"
    )]
    Malformed,
    #[error(
        "register.unavailable: {CHANGES_FILE} must be what this command has written; fault: operator; do: restore it from a copy"
    )]
    Unreadable,
    #[error(transparent)]
    File(#[from] FileError),
}

impl AmendmentError {
    /// Stable, dotted code.
    pub fn code(&self) -> &str {
        match self {
            Self::Unknown => "register.unknown",
            Self::Malformed => "register.amendment",
            Self::Unreadable => "register.unavailable",
            Self::File(error) => error.code(),
        }
    }
}

/// The embedded register: who the seed makes, and what has changed since.
pub struct SyntheticRegister {
    seed: [u8; 32],
    count: u32,
    /// The file of changes, where there may be some.
    changes: Option<PathBuf>,
    current: RwLock<(Option<Stamp>, Arc<Population>)>,
}

/// When a file was written, and how long it is.
type Stamp = (SystemTime, u64);

/// A population of synthetic residents.
#[derive(Default)]
pub struct Population {
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
        let population = Population::new(seed, count, &Changes::new());
        Self {
            seed: *seed,
            count,
            changes: None,
            current: RwLock::new((None, Arc::new(population.unwrap_or_default()))),
        }
    }

    /// The same with what has changed according to the file in an authority's folder.
    pub fn in_dir(seed: &[u8; 32], count: u32, dir: &Path) -> Self {
        Self {
            changes: Some(dir.join(CHANGES_FILE)),
            ..Self::new(seed, count)
        }
    }

    /// Everybody as they are now.
    fn current(&self) -> Result<Arc<Population>, RegisterRefusal> {
        let stamp = self.changes.as_ref().and_then(|path| stamp(path));
        {
            // A value is only ever replaced whole: a poisoned lock holds a sound one.
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            if current.0 == stamp {
                return Ok(Arc::clone(&current.1));
            }
        }
        let changes = match &self.changes {
            Some(path) => read_changes(path).ok_or(RegisterRefusal::Unavailable)?,
            None => Changes::new(),
        };
        let population = Population::new(&self.seed, self.count, &changes);
        let population = Arc::new(population.ok_or(RegisterRefusal::Unavailable)?);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = (stamp, Arc::clone(&population));
        Ok(population)
    }

    /// As [`Population::check`], of everybody as they are now.
    pub fn check(&self, evidence: &CardEvidence) -> Result<Person, RegisterRefusal> {
        self.current()?.check(evidence)
    }

    /// As [`Population::person`], of everybody as they are now.
    pub fn person(&self, reference: &str) -> Result<Person, RegisterRefusal> {
        self.current()?.person(reference)
    }

    /// Every resident's evidence, in the order of the references.
    pub fn evidence(&self) -> Vec<CardEvidence> {
        self.current().map(|now| now.evidence()).unwrap_or_default()
    }

    /// Writes `DIR/residents/<REF>.json` for every living resident, for the owner's eyes only.
    pub fn write_evidence(&self, dir: &Path) -> Result<Vec<EvidenceFile>, FileError> {
        match self.current() {
            Ok(now) => now.write_evidence(dir),
            Err(_) => Ok(Vec::new()),
        }
    }

    /// Writes down what has changed of a resident.
    pub fn amend(&self, reference: &str, change: Amendment) -> Result<(), AmendmentError> {
        let path = self.changes.as_ref().ok_or(AmendmentError::Unknown)?;
        let mut changes = read_changes(path).ok_or(AmendmentError::Unreadable)?;
        let seeded = Population::new(&self.seed, self.count, &Changes::new());
        let seeded = seeded.ok_or(AmendmentError::Unknown)?;
        if !seeded.places.contains_key(reference) {
            return Err(AmendmentError::Unknown);
        }
        let earlier = changes.remove(reference).unwrap_or_default();
        changes.insert(reference.to_owned(), change.over(earlier));
        // What would be no population is not written.
        Population::new(&self.seed, self.count, &changes).ok_or(AmendmentError::Malformed)?;
        let text = serde_json::to_string_pretty(&changes).unwrap_or_default();
        Ok(files::write_private(path, text.as_bytes())?)
    }
}

/// Amendments by reference.
type Changes = BTreeMap<String, Amendment>;

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// The changes in a file; none where there is no file. Nothing where it does not read.
fn read_changes(path: &Path) -> Option<Changes> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some(Changes::new()),
        Ok(metadata) if metadata.len() <= MAX_CHANGES_BYTES => {}
        _ => return None,
    }
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

impl Population {
    /// Everybody whom the seed makes, as they are after these changes; none where one of them is no
    /// resident, or two have one number.
    fn new(seed: &[u8; 32], count: u32, changes: &Changes) -> Option<Self> {
        let count = count.min(MAX_RESIDENTS);
        let mut residents: Vec<_> = (1..=count).filter_map(|n| resident(seed, n)).collect();
        residents.sort_by(|a, b| a.person.number.as_str().cmp(b.person.number.as_str()));
        residents.dedup_by(|a, b| a.person.number == b.person.number);
        if !changes.is_empty() {
            let changed = residents.iter_mut().filter_map(|resident| {
                let change = changes.get(&resident.person.reference)?;
                Some((resident, change))
            });
            for (resident, change) in changed {
                *resident = change.of(resident)?;
            }
            residents.sort_by(|a, b| a.person.number.as_str().cmp(b.person.number.as_str()));
            let same = |pair: &[Resident]| pair[0].person.number == pair[1].person.number;
            if residents.windows(2).any(same) {
                return None;
            }
        }
        let place = |(index, resident): (usize, &Resident)| {
            let reference = resident.person.reference.clone();
            (reference, index)
        };
        let places = residents.iter().enumerate().map(place).collect();
        Some(Self { residents, places })
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
