//! The allowed-edges table of ARCHITECTURE.md against what cargo really links.
//!
//! Rows are `| crate | may use |`, optionally with a third cell of crates that tests may use beside
//! them; names stand without `realdid-`, several with commas, none as `nothing`. Every crate of the
//! workspace has a row.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cargo_metadata::{DependencyKind, MetadataCommand};

use super::{Finding, between_markers};

const PLACE: &str = "ARCHITECTURE.md (edges)";
/// Made for tests, so any crate's tests may use it and no crate's code.
const FOR_TESTS: &str = "testkit";

#[derive(Debug, Default, PartialEq, Eq)]
struct Edges {
    normal: BTreeSet<String>,
    tests: BTreeSet<String>,
}

type Graph = BTreeMap<String, Edges>;

pub fn check(root: &Path, architecture: &str) -> Vec<Finding> {
    let Some(table) = between_markers(architecture, "edges") else {
        let what = "the table between `<!-- edges:begin -->` and `<!-- edges:end -->` is missing";
        return vec![Finding::new(PLACE, what)];
    };
    match actual(root) {
        Ok(actual) => compare(&allowed(table), &actual),
        Err(error) => vec![Finding::new("cargo metadata", error.to_string())],
    }
}

fn allowed(table: &str) -> Graph {
    let names = |cell: Option<&&str>| -> BTreeSet<String> {
        cell.copied()
            .unwrap_or_default()
            .split(',')
            .map(|name| name.trim().trim_matches('`').to_owned())
            .filter(|name| !matches!(name.as_str(), "" | "nothing" | "-" | "–" | "—"))
            .collect()
    };
    let mut graph = Graph::new();
    for line in table.lines().map(str::trim) {
        let Some(row) = line.strip_prefix('|').and_then(|row| row.strip_suffix('|')) else {
            continue;
        };
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let Some(name) = cells.first().map(|name| name.trim_matches('`')) else {
            continue;
        };
        let is_rule = |cell: &&str| !cell.is_empty() && cell.chars().all(|c| "-: ".contains(c));
        if name == "crate" || cells.iter().all(is_rule) {
            continue;
        }
        let edges = Edges {
            normal: names(cells.get(1)),
            tests: names(cells.get(2)),
        };
        graph.insert(name.to_owned(), edges);
    }
    graph
}

fn actual(root: &Path) -> Result<Graph, cargo_metadata::Error> {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .exec()?;
    let members: BTreeSet<String> = metadata
        .packages
        .iter()
        .map(|package| package.name.to_string())
        .collect();
    let mut graph = Graph::new();
    for package in &metadata.packages {
        let edges = graph.entry(short(&package.name)).or_default();
        for dependency in package
            .dependencies
            .iter()
            .filter(|dependency| members.contains(&dependency.name))
        {
            let name = short(&dependency.name);
            if dependency.kind == DependencyKind::Development {
                edges.tests.insert(name);
            } else {
                edges.normal.insert(name);
            }
        }
    }
    Ok(graph)
}

fn short(name: &str) -> String {
    name.strip_prefix("realdid-").unwrap_or(name).to_owned()
}

fn compare(allowed: &Graph, actual: &Graph) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |what: String| findings.push(Finding::new(PLACE, what));
    for (name, row) in allowed {
        if !actual.contains_key(name) {
            find(format!("there is no crate `{name}`"));
        }
        for used in row.normal.union(&row.tests) {
            if !actual.contains_key(used) {
                find(format!("`{name}` may use `{used}`, which is no crate"));
            }
        }
    }
    for (name, uses) in actual {
        let Some(row) = allowed.get(name) else {
            find(format!("the crate `{name}` has no row"));
            continue;
        };
        for used in uses.normal.difference(&row.normal) {
            find(format!(
                "`{name}` uses `{used}`, which its row does not allow"
            ));
        }
        for used in &uses.tests {
            let fine = used == FOR_TESTS || row.normal.contains(used) || row.tests.contains(used);
            if !fine {
                find(format!(
                    "tests of `{name}` use `{used}`, which its row does not allow"
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "
| crate | may use | tests also |
| --- | --- | --- |
| core | nothing | |
| `ledger` | `core` | |
| node | core, ledger | light |
| light | core |
| testkit | core | |
";

    fn graph(edges: &[(&str, &[&str], &[&str])]) -> Graph {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        edges
            .iter()
            .map(|(name, normal, tests)| {
                let edges = Edges {
                    normal: set(normal),
                    tests: set(tests),
                };
                ((*name).to_owned(), edges)
            })
            .collect()
    }

    fn tidy_tree() -> Graph {
        graph(&[
            ("core", &[], &["testkit"]),
            ("ledger", &["core"], &[]),
            ("node", &["core"], &["light", "testkit"]),
            ("light", &["core"], &[]),
            ("testkit", &["core"], &[]),
        ])
    }

    #[test]
    fn an_allowed_tree_is_tidy() {
        assert_eq!(compare(&allowed(TABLE), &tidy_tree()), []);
    }

    #[test]
    fn an_edge_outside_the_table_is_found() {
        let mut tree = tidy_tree();
        tree.get_mut("core").unwrap().normal.insert("ledger".into());
        tree.get_mut("ledger").unwrap().tests.insert("node".into());
        tree.get_mut("light")
            .unwrap()
            .normal
            .insert("testkit".into());
        let findings = compare(&allowed(TABLE), &tree);
        assert_eq!(findings.len(), 3, "{findings:?}");
        assert!(findings[0].what.contains("`core` uses `ledger`"));
    }

    #[test]
    fn rows_and_crates_must_match() {
        let mut tree = tidy_tree();
        tree.remove("light");
        tree.insert("gate".into(), Edges::default());
        let findings = compare(&allowed(TABLE), &tree);
        let text: Vec<_> = findings.iter().map(|finding| &finding.what).collect();
        assert!(
            text.iter().any(|what| what.contains("no crate `light`")),
            "{text:?}"
        );
        assert!(
            text.iter()
                .any(|what| what.contains("`node` may use `light`")),
            "{text:?}"
        );
        assert!(
            text.iter().any(|what| what.contains("`gate` has no row")),
            "{text:?}"
        );
    }

    #[test]
    fn a_missing_table_is_found() {
        assert_eq!(check(Path::new("."), "# Architecture").len(), 1);
    }

    #[test]
    fn cargo_knows_this_workspace() {
        let graph = actual(&crate::root()).unwrap();
        assert!(graph.contains_key("xtask") && graph.contains_key("core"));
    }
}
