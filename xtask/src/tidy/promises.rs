//! Each promise P1 to P11 in ARCHITECTURE.md names the tests that keep it, or says `open`.
//!
//! One line or table row a promise, between the markers, with its number first and
//! `tested: NAME, NAME` or `open` somewhere behind it. Each NAME is a test function of this tree.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Source, between_markers, rust};

const PLACE: &str = "ARCHITECTURE.md (promises)";
const PROMISES: std::ops::RangeInclusive<u32> = 1..=11;

#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Open,
    Tested(Vec<String>),
    Silent,
}

pub fn check(architecture: &str, sources: &[Source]) -> Vec<Finding> {
    let Some(list) = between_markers(architecture, "promises") else {
        let what =
            "the list between `<!-- promises:begin -->` and `<!-- promises:end -->` is missing";
        return vec![Finding::new(PLACE, what)];
    };
    let tests: BTreeSet<String> = sources
        .iter()
        .filter(|source| source.is_rust())
        .flat_map(|source| rust::test_names(&source.text))
        .collect();
    compare(&standings(list), &tests)
}

fn compare(standings: &BTreeMap<u32, Standing>, tests: &BTreeSet<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |what: String| findings.push(Finding::new(PLACE, what));
    for number in PROMISES {
        match standings.get(&number) {
            None => find(format!("P{number} is missing")),
            Some(Standing::Silent) => {
                find(format!("P{number} says neither `tested: NAME` nor `open`"));
            }
            Some(Standing::Open) => {}
            Some(Standing::Tested(names)) => {
                for name in names.iter().filter(|name| !tests.contains(*name)) {
                    find(format!(
                        "P{number} names the test `{name}`, which does not exist"
                    ));
                }
            }
        }
    }
    for number in standings.keys().filter(|number| !PROMISES.contains(number)) {
        find(format!("there is no promise P{number}"));
    }
    findings
}

fn standings(list: &str) -> BTreeMap<u32, Standing> {
    list.lines()
        .filter_map(|line| {
            let start = line.trim_start_matches(|c: char| "|-* \t".contains(c));
            let digits = start.strip_prefix('P')?;
            let end = digits
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(digits.len());
            let number = digits[..end].parse().ok()?;
            Some((number, standing(&digits[end..])))
        })
        .collect()
}

fn standing(text: &str) -> Standing {
    if let Some((_, names)) = text.split_once("tested:") {
        let cell = names.split(['|', ';']).next().unwrap_or_default();
        let names: Vec<String> = cell
            .split(',')
            .map(|name| name.trim().trim_matches(|c: char| "`*.".contains(c)))
            .filter(|name| !name.is_empty())
            .map(|name| name.rsplit("::").next().unwrap_or(name).to_owned())
            .collect();
        if names.is_empty() {
            return Standing::Silent;
        }
        return Standing::Tested(names);
    }
    let says_open = text
        .split(|c: char| !c.is_alphanumeric())
        .any(|word| word == "open");
    if says_open {
        Standing::Open
    } else {
        Standing::Silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_lists_are_read() {
        let list = "
| promise | standing |
| --- | --- |
| **P1** | no personal data; tested: `p1_logs`, `ledger::p1_state` |
- **P2** random keys. tested: p2_ids
- P3: open until the phone
- P4 nothing said
- P11 tested:
";
        let standings = standings(list);
        let tested = |names: &[&str]| {
            Standing::Tested(names.iter().map(|name| (*name).to_owned()).collect())
        };
        assert_eq!(standings[&1], tested(&["p1_logs", "p1_state"]));
        assert_eq!(standings[&2], tested(&["p2_ids"]));
        assert_eq!(standings[&3], Standing::Open);
        assert_eq!(standings[&4], Standing::Silent);
        assert_eq!(standings[&11], Standing::Silent);
    }

    #[test]
    fn a_missing_promise_or_test_is_found() {
        let list: String = (1..=10).map(|n| format!("- P{n} open\n")).collect();
        let findings = compare(&standings(&list), &BTreeSet::new());
        assert_eq!(findings, [Finding::new(PLACE, "P11 is missing")]);

        let list = format!("{list}- P11 tested: keeps_it, lost\n- P12 open\n");
        let tests = BTreeSet::from(["keeps_it".to_owned()]);
        let findings = compare(&standings(&list), &tests);
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert!(findings[0].what.contains("`lost`"));
        assert!(findings[1].what.contains("P12"));
    }
}
