//! Passports of invented states, for whoever tries an authority out: `DIR/passports`, made once.
//!
//! | in it | what |
//! | --- | --- |
//! | `master-list/` | the certificates of two invented states |
//! | `revocation-lists/` | a list of each |
//! | `holders/` | an evidence file for each of some invented people; the signer of the last is revoked |
//!
//! The states' keys are forgotten when the files are made, so nobody makes more.

use rcgen::KeyUsagePurpose;
use realdid_exchange::tag::{Evidence, Foreign, PassportEvidence};
use realdid_passport::specimen::{Contents, Facts, HashBy, KeyKind, Signing, State, Unmade};
use realdid_passport::{Mrz, date_of};
use realdid_serve::files::{self, FileError};
use std::path::Path;

use super::foreigners::References;
use super::synthetic::EvidenceFile;

const FOLDER: &str = "passports";
const YEAR_S: u64 = 365 * 86_400;

/// Nobody in this list lives. The names are as rare as those of the synthetic residents.
const HOLDERS: [Facts<'static>; 4] = [
    Facts {
        state: "QNA",
        family_name: "VANDERQUISTOVA",
        given_name: "ILSABET MARU",
        number: "Q4817263",
        nationality: "QNA",
        birth: "880229",
        sex: 'F',
        expiry: "",
        personal: "",
    },
    Facts {
        state: "QNA",
        family_name: "OYARZABALLE",
        given_name: "TEOBALDINO",
        number: "Q7720914",
        nationality: "QNA",
        birth: "711104",
        sex: 'M',
        expiry: "",
        personal: "71110455QN",
    },
    Facts {
        state: "QRA",
        family_name: "ZHIVORADOVKA",
        given_name: "PELAGIYANA",
        number: "R0031846",
        nationality: "QRA",
        birth: "991231",
        sex: '<',
        expiry: "",
        personal: "",
    },
    Facts {
        state: "QRA",
        family_name: "MBOKANDRIANA",
        given_name: "FANOMEZANTSOA",
        number: "R5519207",
        nationality: "QRA",
        birth: "650617",
        sex: 'M',
        expiry: "",
        personal: "",
    },
];
/// The signer of that one is on its state's revocation list.
const REVOKED: usize = 3;

/// Why there are no specimens.
#[derive(Debug, thiserror::Error)]
pub enum SpecimenError {
    #[error(
        "passport.no_specimens: invented passports are made with a development network; fault: \
         operator; do: ask on a network that `realdid up` made"
    )]
    None,
    #[error(
        "random.unavailable: the system must give randomness; fault: this machine; do: start again"
    )]
    Unmade,
    #[error(transparent)]
    File(#[from] FileError),
}

impl SpecimenError {
    /// Stable, dotted code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::None => "passport.no_specimens",
            Self::Unmade => "random.unavailable",
            Self::File(error) => error.code(),
        }
    }
}

impl From<Unmade> for SpecimenError {
    fn from(_: Unmade) -> Self {
        Self::Unmade
    }
}

/// Makes the folder in the authority's `dir`, unless it is there.
pub fn make(dir: &Path, now_s: u64) -> Result<(), SpecimenError> {
    let folder = dir.join(FOLDER);
    if folder.exists() {
        return Ok(());
    }
    // Whole or not at all.
    let making = dir.join(".passports-new");
    let _left_over = std::fs::remove_dir_all(&making);
    for inner in ["", "master-list", "revocation-lists", "holders"] {
        files::create_private_dir(&making.join(inner))?;
    }
    let (from_s, until_s) = (now_s - YEAR_S, now_s + 20 * YEAR_S);
    for (country, three) in [("QN", "QNA"), ("QR", "QRA")] {
        let state = State::new(
            country,
            "Specimen Country Signing CA",
            KeyKind::P384,
            from_s,
            until_s,
        )?;
        let signing = |serial| Signing {
            country,
            kind: KeyKind::P256,
            serial,
            from_s,
            until_s: now_s + 15 * YEAR_S,
            usages: &[KeyUsagePurpose::DigitalSignature],
            is_authority: false,
        };
        let (good, revoked) = (state.signer(&signing(2))?, state.signer(&signing(3))?);
        let list = state.revocation_list(&[3], now_s - 60, until_s)?;
        let write = |inner: &str, name: &str, text: &str| {
            files::write_private(&making.join(inner).join(name), text.as_bytes())
        };
        write(
            "master-list",
            &format!("{three}.pem"),
            &state.certificate_pem,
        )?;
        write("revocation-lists", &format!("{three}.pem"), &list)?;
        for (place, facts) in HOLDERS.iter().enumerate() {
            if facts.state != three {
                continue;
            }
            let (year, _, _) = date_of(now_s);
            let expiry = format!("{:02}0101", (year + 9) % 100);
            let facts = Facts {
                expiry: &expiry,
                ..*facts
            };
            let groups = [(1, facts.group()?)];
            let signer = if place == REVOKED { &revoked } else { &good };
            let object = signer.security_object(&Contents {
                hash: HashBy::SHA_256,
                groups: &groups,
                signed_s: Some(now_s - 60),
                pss: false,
            })?;
            let evidence = PassportEvidence::new(&object, &groups);
            let text = serde_json::to_string_pretty(&evidence).unwrap_or_default();
            write("holders", &format!("p-{}.json", place + 1), &text)?;
        }
    }
    std::fs::rename(&making, &folder).map_err(|error| FileError::of(&folder, &error))?;
    Ok(())
}

/// The specimens of the authority in `dir`, each with the reference that it gives its person.
pub fn list(dir: &Path, references: &References) -> Result<Vec<EvidenceFile>, SpecimenError> {
    let folder = dir.join(FOLDER).join("holders");
    if !folder.is_dir() {
        return Err(SpecimenError::None);
    }
    let mut found = Vec::new();
    for place in 1..=HOLDERS.len() {
        let path = folder.join(format!("p-{place}.json"));
        let text = std::fs::read(&path).map_err(|error| FileError::of(&path, &error))?;
        let reference = reference_of(&text, references).ok_or(SpecimenError::None)?;
        found.push(EvidenceFile {
            person: reference,
            evidence: path,
        });
    }
    Ok(found)
}

fn reference_of(text: &[u8], references: &References) -> Option<String> {
    let Evidence::Passport(passport) = serde_json::from_slice(text).ok()? else {
        return None;
    };
    let groups = passport.data_groups()?;
    let (_, first) = groups.iter().find(|(number, _)| *number == 1)?;
    let zone = Mrz::of_group(first).ok()?;
    references.of(&Foreign::Passport {
        state: &zone.state,
        personal: zone.personal_number.as_deref(),
        document: &zone.document_number,
    })
}
