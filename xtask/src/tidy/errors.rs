//! Every refusal that leaves a service has a row in docs/errors.md, with the rule and the fix as
//! the code says them, and no row is of a refusal that nothing makes.
//!
//! Refusals stand in the sources as string literals: a dotted code, mostly followed by its rule
//! and its fix. Codes that are put together in another way get their words in the table alone.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Source};

const TABLE: &str = "docs/errors.md";

/// What answers over HTTP, and what its answers are made of.
const CRATES: [&str; 11] = [
    "core",
    "ceremony",
    "credential",
    "exchange",
    "light",
    "passport",
    "serve",
    "authority",
    "gate",
    "node",
    "relay",
];

/// Dotted literals that end like this are names of files, unless the table has them as codes.
const FILES: [&str; 14] = [
    "cbor", "css", "db", "html", "json", "jsonl", "jwt", "key", "new", "pem", "redb", "rs",
    "sqlite", "toml",
];

/// A code, with its rule and fix where they follow it.
type Refusals<'a> = BTreeMap<&'a str, BTreeSet<Option<(String, String)>>>;

pub fn check(sources: &[Source]) -> Vec<Finding> {
    let Some(table) = sources.iter().find(|s| s.path.ends_with(TABLE)) else {
        return vec![Finding::new(TABLE, "the list of refusals is missing")];
    };
    let mut made = Refusals::new();
    for source in sources.iter().filter(|source| answers(source)) {
        collect(&source.text, &mut made);
    }
    let mut findings = Vec::new();
    let mut listed = BTreeSet::new();
    for (number, line) in table.text.lines().enumerate() {
        let Some((code, rule, fix)) = row(line) else {
            continue;
        };
        let place = table.place(number + 1);
        if !listed.insert(code) {
            findings.push(Finding::new(&place, format!("`{code}` stands twice")));
        }
        let Some(words) = made.get(code) else {
            findings.push(Finding::new(place, format!("nothing answers `{code}`")));
            continue;
        };
        let said: Vec<_> = words.iter().flatten().collect();
        let same = |(r, f): &&(String, String)| r == rule && f == fix;
        if !said.is_empty() && !said.iter().any(same) {
            findings.push(Finding::new(
                place,
                format!("the code says of `{code}`: {said:?}"),
            ));
        }
    }
    let missing = made
        .keys()
        .filter(|code| !listed.contains(*code) && !is_file(code));
    findings.extend(missing.map(|code| {
        let words = made[code].iter().flatten().next();
        let (rule, fix) = words.cloned().unwrap_or_default();
        Finding::new(TABLE, format!("no row: | `{code}` | {rule} | {fix} |"))
    }));
    findings
}

fn answers(source: &Source) -> bool {
    let path = source.path.to_string_lossy();
    let ours = CRATES
        .iter()
        .any(|name| path.starts_with(&format!("crates/{name}/src/")));
    let tests = path.contains("/tests") || path.ends_with("tests.rs");
    ours && source.is_rust() && !tests
}

/// `| `code` | rule | fix |`
fn row(line: &str) -> Option<(&str, &str, &str)> {
    let mut cells = line.strip_prefix("| `")?.strip_suffix(" |")?.split(" | ");
    let code = cells.next()?.strip_suffix('`')?;
    Some((code, cells.next()?, cells.next()?))
}

fn collect<'a>(text: &'a str, made: &mut Refusals<'a>) {
    let text = &text[..tests_begin(text)];
    let literals = literals(text);
    for (i, literal) in literals.iter().enumerate() {
        if !is_code(literal.text) {
            continue;
        }
        let follows = |n: usize| {
            let before = literals.get(i + n - 1)?;
            let literal = literals.get(i + n)?;
            let between = text.get(before.end..literal.start)?;
            let adjacent = between.chars().all(|c| c.is_whitespace() || c == ',');
            (adjacent && literal.text.contains(' ')).then(|| unescaped(literal.text))
        };
        let words = follows(1).zip(follows(2));
        made.entry(literal.text).or_default().insert(words);
    }
}

/// Where the tests of a file begin: a module of them that stands in a file of its own ends nothing.
fn tests_begin(text: &str) -> usize {
    const MARK: &str = "#[cfg(test)]";
    let within = |at: &usize| {
        let mut lines = text[*at..].lines();
        lines.nth(1).is_some_and(|line| line.ends_with('{'))
    };
    let marks = text.match_indices(MARK).map(|(at, _)| at);
    marks.filter(|at| within(at)).min().unwrap_or(text.len())
}

fn is_file(text: &str) -> bool {
    FILES.contains(&text.rsplit('.').next().unwrap_or_default())
}

fn is_code(text: &str) -> bool {
    let mut parts = text.split('.');
    let plain = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_lowercase())
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    text.len() > 3 && text.contains('.') && parts.all(plain)
}

/// A string literal, and where it stands with its quotes.
struct Literal<'a> {
    text: &'a str,
    start: usize,
    end: usize,
}

/// The string literals outside line comments. Raw strings hold no refusals.
fn literals(text: &str) -> Vec<Literal<'_>> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut i = 0;
    while i < bytes.len() {
        match bytes[i] {
            b'/' if bytes.get(i + 1) == Some(&b'/') => {
                i += text[i..].find('\n').unwrap_or(text.len() - i);
            }
            // A quote as a character, or the start of a lifetime.
            b'\'' if bytes.get(i + 2) == Some(&b'\'') => i += 3,
            b'\'' if bytes.get(i + 1) == Some(&b'\\') => i += 4,
            b'"' => {
                let start = i;
                i += 1;
                while i < bytes.len() && bytes[i] != b'"' {
                    i += if bytes[i] == b'\\' { 2 } else { 1 };
                }
                i += 1;
                if let Some(inner) = text.get(start + 1..i - 1) {
                    found.push(Literal {
                        text: inner,
                        start,
                        end: i,
                    });
                }
            }
            _ => i += 1,
        }
    }
    found
}

/// A literal over several lines as it is said: a backslash at the end of a line joins it with the
/// next.
fn unescaped(text: &str) -> String {
    let mut lines = text.split("\\\n");
    let mut said = lines.next().unwrap_or_default().to_owned();
    for line in lines {
        said.push_str(line.trim_start());
    }
    said.replace("\\\"", "\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source {
            path: path.into(),
            text: text.to_owned(),
        }
    }

    fn findings(table: &str) -> Vec<String> {
        let code = r#"
            Late Holder "vp.late" "an answer comes in \
                time" "start again",
            // "comment.only"
            Problem::new(STATUS, "gate.full", rule, "wait"); read("vp.key");
            #[cfg(test)]
            mod elsewhere;
            "gate.late" "it is in time" "start again"
            #[cfg(test)]
            mod tests {
            "test.only"
        "#;
        check(&[
            source("crates/gate/src/a.rs", code),
            source("crates/gate/src/tests.rs", r#""other.only""#),
            source(TABLE, table),
        ])
        .iter()
        .map(ToString::to_string)
        .collect()
    }

    #[test]
    fn every_refusal_has_its_row_and_every_row_its_refusal() {
        let late = "| `vp.late` | an answer comes in time | start again |";
        let full = "| `gate.full` | few come at a time | wait |";
        let behind = "| `gate.late` | it is in time | start again |";
        let late = format!("{late}\n{behind}");
        assert!(findings(&format!("{late}\n{full}\n")).is_empty());
        assert_eq!(findings(full).len(), 2);
        let extra = findings(&format!("{late}\n{full}\n| `vp.gone` | a b | c d |\n"));
        assert!(extra[0].contains("nothing answers `vp.gone`"), "{extra:?}");
        let twice = findings(&format!("{late}\n{full}\n{full}\n"));
        assert!(twice[0].contains("twice"));
        let other = findings(&format!(
            "{full}\n{behind}\n| `vp.late` | an answer comes | never |\n"
        ));
        assert!(other[0].contains("an answer comes in time"), "{other:?}");
    }
}
