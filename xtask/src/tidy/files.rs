//! Files that nothing reaches: Rust sources outside the module tree, vectors without a source,
//! decisions outside the index.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use cargo_metadata::MetadataCommand;

use super::{Finding, Source, rust};

pub fn check(root: &Path, sources: &[Source]) -> Vec<Finding> {
    let mut findings = vectors(sources);
    findings.extend(decisions(sources));
    match roots(root) {
        Ok(roots) => findings.extend(dead(&roots, sources)),
        Err(error) => findings.push(Finding::new("cargo metadata", error.to_string())),
    }
    findings
}

/// Every file that cargo starts to compile from, relative to the workspace.
fn roots(root: &Path) -> Result<Vec<PathBuf>, cargo_metadata::Error> {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .exec()?;
    let targets = metadata
        .packages
        .iter()
        .flat_map(|package| &package.targets);
    Ok(targets
        .filter_map(|target| target.src_path.as_std_path().strip_prefix(root).ok())
        .map(PathBuf::from)
        .collect())
}

fn dead(roots: &[PathBuf], sources: &[Source]) -> Vec<Finding> {
    let mut reached = BTreeSet::new();
    let mut waiting: Vec<(PathBuf, bool)> = roots.iter().map(|path| (path.clone(), true)).collect();
    while let Some((path, is_root)) = waiting.pop() {
        let Some(source) = sources.iter().find(|source| source.path == path) else {
            continue;
        };
        if !reached.insert(path.clone()) {
            continue;
        }
        for module in rust::modules(&source.text) {
            waiting.extend(
                candidates(&path, is_root, &module)
                    .into_iter()
                    .map(|path| (path, false)),
            );
        }
    }
    sources
        .iter()
        .filter(|source| source.is_rust() && is_ours(&source.path))
        .filter(|source| !reached.contains(&source.path))
        .map(|source| {
            let what = "no `mod` declaration reaches this file";
            Finding::new(source.path.display().to_string(), what)
        })
        .collect()
}

fn is_ours(path: &Path) -> bool {
    path.starts_with("crates") || path.starts_with("xtask")
}

/// Where rustc looks for a module declared in `file`.
fn candidates(file: &Path, is_root: bool, module: &rust::Module<'_>) -> Vec<PathBuf> {
    let folder = file.parent().unwrap_or(Path::new(""));
    if let Some(path) = module.path {
        return vec![plain(&folder.join(path))];
    }
    let is_mod_rs = file.file_name().is_some_and(|name| name == "mod.rs");
    let base = if is_root || is_mod_rs {
        folder.to_owned()
    } else {
        folder.join(file.file_stem().unwrap_or_default())
    };
    vec![
        base.join(format!("{}.rs", module.name)),
        base.join(module.name).join("mod.rs"),
    ]
}

/// The path without `.` and `..`.
pub(super) fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

/// Every vector's folder, or the file itself, is named in `SOURCES.md`, so that a reader knows whose
/// word it is.
fn vectors(sources: &[Source]) -> Vec<Finding> {
    let folder = Path::new("spec/vectors");
    let index = folder.join("SOURCES.md");
    let known = text_of(sources, &index);
    let named = |path: &Path| {
        let inside = path.strip_prefix(folder).unwrap_or(path);
        inside.ancestors().any(|part| {
            let part = part.to_string_lossy();
            !part.is_empty() && known.is_some_and(|text| text.contains(part.as_ref()))
        })
    };
    sources
        .iter()
        .filter(|source| source.path.starts_with(folder) && source.path != index)
        .filter(|source| !named(&source.path))
        .map(|source| {
            let what = "spec/vectors/SOURCES.md must name this file or its folder";
            Finding::new(source.path.display().to_string(), what)
        })
        .collect()
}

fn decisions(sources: &[Source]) -> Vec<Finding> {
    let folder = Path::new("decisions");
    let index = folder.join("README.md");
    let known = text_of(sources, &index).unwrap_or_default();
    sources
        .iter()
        .filter(|source| source.path.parent() == Some(folder) && source.is_markdown())
        .filter(|source| source.path != index)
        .filter(|source| {
            let name = source
                .path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy();
            !known.contains(&format!("({name})"))
        })
        .map(|source| {
            let what = "decisions/README.md must link to this decision";
            Finding::new(source.path.display().to_string(), what)
        })
        .collect()
}

fn text_of<'a>(sources: &'a [Source], path: &Path) -> Option<&'a str> {
    sources
        .iter()
        .find(|source| source.path == path)
        .map(|source| source.text.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Vec<Source> {
        files
            .iter()
            .map(|(path, text)| Source {
                path: path.into(),
                text: (*text).to_owned(),
            })
            .collect()
    }

    fn places(findings: &[Finding]) -> Vec<&str> {
        findings
            .iter()
            .map(|finding| finding.place.as_str())
            .collect()
    }

    #[test]
    fn a_file_outside_the_module_tree_is_dead() {
        let sources = tree(&[
            (
                "crates/a/src/lib.rs",
                "mod b;\nmod c;\n#[path = \"../x.rs\"]\nmod x;",
            ),
            ("crates/a/src/b.rs", "#[cfg(test)]\nmod tests;"),
            ("crates/a/src/b/tests.rs", ""),
            ("crates/a/src/c/mod.rs", "mod d;"),
            ("crates/a/src/c/d.rs", ""),
            ("crates/a/x.rs", ""),
            ("crates/a/tests/journey.rs", "mod common;"),
            ("crates/a/tests/common/mod.rs", ""),
            ("crates/a/src/old.rs", ""),
            ("fuzz/elsewhere.rs", ""),
        ]);
        let roots = ["crates/a/src/lib.rs", "crates/a/tests/journey.rs"].map(PathBuf::from);
        assert_eq!(places(&dead(&roots, &sources)), ["crates/a/src/old.rs"]);
    }

    #[test]
    fn a_vector_without_a_source_is_found() {
        let sources = tree(&[
            (
                "spec/vectors/SOURCES.md",
                "- sd-jwt: RFC 9901\n- one.json: ours",
            ),
            ("spec/vectors/sd-jwt/deep/a.json", ""),
            ("spec/vectors/one.json", ""),
            ("spec/vectors/bbs/b.json", ""),
        ]);
        assert_eq!(places(&vectors(&sources)), ["spec/vectors/bbs/b.json"]);
    }

    #[test]
    fn a_decision_outside_the_index_is_found() {
        let sources = tree(&[
            ("decisions/README.md", "- [one](0001-one.md)"),
            ("decisions/0001-one.md", ""),
            ("decisions/0002-two.md", ""),
        ]);
        assert_eq!(places(&decisions(&sources)), ["decisions/0002-two.md"]);
    }

    #[test]
    fn paths_become_plain() {
        assert_eq!(plain(Path::new("a/./b/../c.rs")), Path::new("a/c.rs"));
    }
}
