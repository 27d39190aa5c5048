//! Cohorts: what a RealPass says of somebody is said of at least so many others too
//! (spec/realpass.md, I4 to I6).
//!
//! [`Cohorts::new`] takes how many people of each kind were issued one for the epoch before and
//! gives everybody a *cohort*: their facts, with as few as possible made `unstated` - the region
//! first, then the kind, then whether they are of age - such that each cohort that is shown has at
//! least `least` people in it. People of a kind of whom there are too few go into one cohort with
//! others; where those others are still too few, the smallest cohort that stands beside them goes
//! with them, since three people without a region are known by having none.
//!
//! All of it is a function of the counts and of `least`. Every process of an authority, and every
//! refresh in an epoch, gives a person the same facts.

use realdid_credential::pid;
use realdid_pass::facts::{Adult, Assurance, Kind, Region};
use std::collections::BTreeMap;

use crate::register::{Person, age_of};

/// The facts that say who somebody is among, before or after coarsening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cohort {
    pub adult: Adult,
    pub region: Region,
    pub kind: Kind,
    pub assurance: Assurance,
}

/// The cohorts of one epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cohorts {
    least: u64,
    shown: BTreeMap<Cohort, Cohort>,
    /// How many people are in each cohort that is shown.
    sizes: BTreeMap<Cohort, u64>,
}

/// Years after which somebody is of age.
const OF_AGE: i64 = 18;

/// In the order in which they are given up.
const STEPS: [fn(Cohort) -> Cohort; 3] = [
    |cohort| Cohort {
        region: Region::Unstated,
        ..cohort
    },
    |cohort| Cohort {
        region: Region::Unstated,
        kind: Kind::Unstated,
        ..cohort
    },
    |cohort| Cohort {
        region: Region::Unstated,
        kind: Kind::Unstated,
        adult: Adult::Unstated,
        ..cohort
    },
];

impl Cohorts {
    /// From how many people of each kind were issued a RealPass for the epoch before. With `least`
    /// 1 or 0 nothing is coarsened.
    pub fn new(counts: &[(Cohort, u64)], least: u64) -> Self {
        let mut shown: BTreeMap<Cohort, Cohort> = BTreeMap::new();
        let mut sizes: BTreeMap<Cohort, u64> = BTreeMap::new();
        for (cohort, people) in counts {
            shown.insert(*cohort, *cohort);
            *sizes.entry(*cohort).or_default() += people;
        }
        for give_up in STEPS {
            merge_small(give_up, least, &mut shown, &mut sizes);
        }
        Self {
            least,
            shown,
            sizes,
        }
    }

    /// What is shown of somebody with these facts. Of a kind of whom nobody was counted it is the
    /// first of the coarser cohorts that has enough people, and nothing where there is none.
    pub fn shown(&self, facts: Cohort) -> Cohort {
        if self.least <= 1 {
            return facts;
        }
        if let Some(shown) = self.shown.get(&facts) {
            return *shown;
        }
        let enough = |cohort: &Cohort| self.sizes.get(cohort).is_some_and(|n| *n >= self.least);
        let coarser = STEPS.map(|give_up| give_up(facts));
        coarser
            .into_iter()
            .find(enough)
            .unwrap_or(STEPS[STEPS.len() - 1](facts))
    }
}

/// One step: in each group of cohorts that this step makes alike, those with too few people become
/// one, and take the smallest of the others with them if they are too few together. A group that
/// has too few as a whole is left to the next step.
fn merge_small(
    give_up: fn(Cohort) -> Cohort,
    least: u64,
    shown: &mut BTreeMap<Cohort, Cohort>,
    sizes: &mut BTreeMap<Cohort, u64>,
) {
    let mut groups: BTreeMap<Cohort, Vec<(u64, Cohort)>> = BTreeMap::new();
    for (cohort, people) in sizes.iter() {
        let group = groups.entry(give_up(*cohort)).or_default();
        group.push((*people, *cohort));
    }
    for (coarse, mut members) in groups {
        members.sort();
        let small = members.iter().take_while(|(people, _)| *people < least);
        let mut taken = small.clone().count();
        if taken == 0 {
            continue;
        }
        let people: u64 = small.map(|(people, _)| people).sum();
        // Whoever stands here already without what is given up is in this cohort anyway.
        let here = |taken: usize| members[taken..].iter().any(|(_, cohort)| *cohort == coarse);
        if people < least && !here(taken) && taken < members.len() {
            taken += 1;
        }
        let merged = &members[..taken];
        for (_, from) in merged {
            sizes.remove(from);
        }
        for target in shown.values_mut() {
            if merged.iter().any(|(_, from)| from == target) {
                *target = coarse;
            }
        }
        *sizes.entry(coarse).or_default() += merged.iter().map(|(people, _)| people).sum::<u64>();
    }
}

/// What the register says of a person, as RealPass says it, at the beginning of an epoch.
pub fn facts_of(person: &Person, country: &str, begins_s: u64) -> Cohort {
    Cohort {
        adult: match age_of(&person.birthdate, begins_s) {
            Some(years) if years >= OF_AGE => Adult::Yes,
            Some(_) => Adult::No,
            None => Adult::Unstated,
        },
        region: region_of(&person.region),
        kind: match person.nationalities.iter().any(|code| code == country) {
            true if !person.is_foreign => Kind::Resident,
            _ => Kind::Foreigner,
        },
        assurance: match person.assurance {
            pid::Assurance::Low => Assurance::Low,
            pid::Assurance::Substantial => Assurance::Substantial,
            pid::Assurance::High => Assurance::High,
        },
    }
}

/// The provinces of GB/T 2260 by the first digit of their codes, which is the region.
const PROVINCES: [(Region, &[&str]); 7] = [
    (
        Region::North,
        &[
            "北京",
            "天津",
            "河北",
            "山西",
            "内蒙古",
            "Beijing",
            "Tianjin",
            "Hebei",
            "Shanxi",
            "Inner Mongolia",
        ],
    ),
    (
        Region::Northeast,
        &[
            "辽宁",
            "吉林",
            "黑龙江",
            "Liaoning",
            "Jilin",
            "Heilongjiang",
        ],
    ),
    (
        Region::East,
        &[
            "上海", "江苏", "浙江", "安徽", "福建", "江西", "山东", "Shanghai", "Jiangsu",
            "Zhejiang", "Anhui", "Fujian", "Jiangxi", "Shandong",
        ],
    ),
    (
        Region::SouthCentral,
        &[
            "河南",
            "湖北",
            "湖南",
            "广东",
            "广西",
            "海南",
            "Henan",
            "Hubei",
            "Hunan",
            "Guangdong",
            "Guangxi",
            "Hainan",
        ],
    ),
    (
        Region::Southwest,
        &[
            "重庆",
            "四川",
            "贵州",
            "云南",
            "西藏",
            "Chongqing",
            "Sichuan",
            "Guizhou",
            "Yunnan",
            "Tibet",
            "Xizang",
        ],
    ),
    (
        Region::Northwest,
        &[
            "陕西", "甘肃", "青海", "宁夏", "新疆", "Shaanxi", "Gansu", "Qinghai", "Ningxia",
            "Xinjiang",
        ],
    ),
    (
        Region::Special,
        &[
            "台湾",
            "香港",
            "澳门",
            "Taiwan",
            "Hong Kong",
            "Macau",
            "Macao",
        ],
    ),
];

/// The regions of the synthetic register, which are no provinces.
const SYNTHETIC: [(Region, &str); 4] = [
    (Region::North, "Synthetic Province North"),
    (Region::SouthCentral, "Synthetic Province South"),
    (Region::East, "Synthetic Province East"),
    (Region::Abroad, "Synthetic Abroad"),
];

/// The region of what the register writes: a province's name, with or without what follows it
/// (`省`, ` Province`, a city), or `abroad`. Whatever is not known is not stated.
pub fn region_of(text: &str) -> Region {
    if let Some((region, _)) = SYNTHETIC.iter().find(|(_, name)| *name == text) {
        return *region;
    }
    if text == "abroad" || text == "境外" {
        return Region::Abroad;
    }
    let follows = |name: &&str| {
        text.strip_prefix(*name).is_some_and(|rest| {
            // A Latin name ends where its letters end.
            !name.is_ascii() || !rest.starts_with(|next: char| next.is_ascii_alphabetic())
        })
    };
    let found = PROVINCES
        .iter()
        .find(|(_, names)| names.iter().any(follows));
    found.map_or(Region::Unstated, |(region, _)| *region)
}

#[cfg(test)]
mod tests;
