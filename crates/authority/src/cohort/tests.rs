use super::*;
use crate::register::synthetic::SyntheticRegister;

fn cell(adult: Adult, region: Region, kind: Kind) -> Cohort {
    Cohort {
        adult,
        region,
        kind,
        assurance: Assurance::Substantial,
    }
}

fn adult(region: Region) -> Cohort {
    cell(Adult::Yes, region, Kind::Resident)
}

/// Each line: how many are where, and what is shown of them.
#[test]
fn p4_whoever_is_among_too_few_shows_less() {
    let nowhere = adult(Region::Unstated);
    let foreigner = |region| cell(Adult::Yes, region, Kind::Foreigner);
    let adults = cell(Adult::Yes, Region::Unstated, Kind::Unstated);
    let nothing = cell(Adult::Unstated, Region::Unstated, Kind::Unstated);
    let child = |region| cell(Adult::No, region, Kind::Resident);
    let (north, east, west) = (Region::North, Region::East, Region::Northwest);
    type Line = (&'static str, Vec<(Cohort, u64, Cohort)>);
    let table: Vec<Line> = vec![
        (
            "enough everywhere",
            vec![
                (adult(north), 10, adult(north)),
                (adult(east), 12, adult(east)),
            ],
        ),
        (
            "two small regions make one cohort without a region",
            vec![
                (adult(north), 50, adult(north)),
                (adult(east), 4, nowhere),
                (adult(west), 6, nowhere),
            ],
        ),
        (
            "one small region takes the smallest other with it, and only that",
            vec![
                (adult(north), 50, adult(north)),
                (adult(east), 11, nowhere),
                (adult(west), 3, nowhere),
            ],
        ),
        (
            "whoever has no region anyway is company enough",
            vec![
                (adult(north), 50, adult(north)),
                (nowhere, 20, nowhere),
                (adult(west), 3, nowhere),
            ],
        ),
        (
            "few foreigners go with the smallest cohort of adults",
            vec![
                (adult(north), 50, adult(north)),
                (adult(east), 30, adults),
                (foreigner(Region::Abroad), 2, adults),
                (foreigner(north), 1, adults),
            ],
        ),
        (
            "few children, foreign and not, show nothing, with the smallest cohort of others",
            vec![
                (adult(north), 50, adult(north)),
                (adult(east), 30, nothing),
                (child(north), 5, nothing),
                (child(east), 2, nothing),
            ],
        ),
        (
            "a whole nation too small says nothing",
            vec![(adult(north), 5, nothing), (child(east), 4, nothing)],
        ),
    ];
    for (name, line) in table {
        let counts: Vec<_> = line.iter().map(|(cell, n, _)| (*cell, *n)).collect();
        let cohorts = Cohorts::new(&counts, 10);
        for (from, _, expected) in &line {
            assert_eq!(cohorts.shown(*from), *expected, "{name}: {from:?}");
        }
        // the order of the counts is nothing to go by
        let turned: Vec<_> = counts.iter().rev().copied().collect();
        assert_eq!(Cohorts::new(&turned, 10), cohorts, "{name}");
    }
}

#[test]
fn p4_every_cohort_of_a_nation_that_is_shown_is_large_enough() {
    // Counts that look random and are the same in every run.
    let mut state = 7u64;
    for _ in 0..200 {
        let mut counts = Vec::new();
        for adult in Adult::ALL {
            for region in Region::ALL {
                for kind in Kind::ALL {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(99);
                    let people = match state >> 61 {
                        0..=2 => 0,
                        3 | 4 => (state >> 40) % 12,
                        _ => (state >> 40) % 4000,
                    };
                    if people > 0 {
                        counts.push((cell(*adult, *region, *kind), people));
                    }
                }
            }
        }
        let everybody: u64 = counts.iter().map(|(_, n)| n).sum();
        let cohorts = Cohorts::new(&counts, 1000);
        let mut sizes = BTreeMap::<Cohort, u64>::new();
        for (from, people) in &counts {
            let shown = cohorts.shown(*from);
            *sizes.entry(shown).or_default() += people;
            // coarser, never different
            assert!(shown.adult == from.adult || shown.adult == Adult::Unstated);
            assert!(shown.region == from.region || shown.region == Region::Unstated);
            assert!(shown.kind == from.kind || shown.kind == Kind::Unstated);
            assert_eq!(shown.assurance, from.assurance);
        }
        for (shown, people) in sizes {
            assert!(people >= 1000.min(everybody), "{people} are {shown:?}");
        }
    }
}

#[test]
fn p4_whoever_was_not_counted_shows_only_what_enough_others_show() {
    let (north, west) = (Region::North, Region::Northwest);
    let counts = [(adult(north), 50), (adult(Region::Unstated), 20)];
    let cohorts = Cohorts::new(&counts, 10);
    assert_eq!(cohorts.shown(adult(west)), adult(Region::Unstated));
    let child = cell(Adult::No, north, Kind::Resident);
    let nothing = cell(Adult::Unstated, Region::Unstated, Kind::Unstated);
    assert_eq!(cohorts.shown(child), nothing);
    // a nation's first epoch
    assert_eq!(Cohorts::new(&[], 1000).shown(adult(north)), nothing);
    // a development network coarsens nothing
    assert_eq!(Cohorts::new(&[], 1).shown(adult(north)), adult(north));
}

#[test]
fn regions_are_those_of_the_provinces_codes() {
    for (text, region) in [
        ("北京市", Region::North),
        ("黑龙江省", Region::Northeast),
        ("Shanghai", Region::East),
        ("广西壮族自治区", Region::SouthCentral),
        ("Tibet Autonomous Region", Region::Southwest),
        ("Shaanxi Province", Region::Northwest),
        ("Shanxi Province", Region::North),
        ("香港特别行政区", Region::Special),
        ("abroad", Region::Abroad),
        ("Hebeix", Region::Unstated),
        ("", Region::Unstated),
        ("Bavaria", Region::Unstated),
    ] {
        assert_eq!(region_of(text), region, "{text}");
    }
}

#[test]
fn every_synthetic_resident_has_facts() {
    let register = SyntheticRegister::new(&[3; 32], 40);
    let now_s = 1_800_000_000;
    let mut children = 0;
    for evidence in register.evidence() {
        let Ok(person) = register.person(&evidence.person) else {
            continue;
        };
        let facts = facts_of(&person, "CN", now_s);
        assert_ne!(facts.region, Region::Unstated);
        assert_eq!(
            facts.kind == Kind::Foreigner,
            person.nationalities != ["CN"]
        );
        assert_eq!(
            facts.kind == Kind::Foreigner,
            facts.region == Region::Abroad
        );
        assert_ne!(facts.adult, Adult::Unstated);
        children += u64::from(facts.adult == Adult::No);
    }
    assert_eq!(children, 1);
}

#[test]
fn age_turns_with_the_epoch_that_begins_on_the_birthday() {
    let register = SyntheticRegister::new(&[3; 32], 4);
    let mut person = register.person("r-0001").unwrap();
    // 2027-01-15 00:00 UTC
    let birthday_s = 1_799_971_200;
    for (birthdate, before, then) in [
        ("2009-01-15", Adult::No, Adult::Yes),
        ("2009-01-16", Adult::No, Adult::No),
        ("1999-12-31", Adult::Yes, Adult::Yes),
        ("soon", Adult::Unstated, Adult::Unstated),
    ] {
        person.birthdate = birthdate.to_owned();
        assert_eq!(facts_of(&person, "CN", birthday_s - 1).adult, before);
        assert_eq!(facts_of(&person, "CN", birthday_s).adult, then);
    }
}
