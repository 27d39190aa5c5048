//! `cargo xtask tidy`: what a compiler cannot hold.
//!
//! Each check reads the tree and answers with findings; none of them changes a file.

mod edges;
mod errors;
mod files;
mod links;
mod promises;
mod rust;
mod words;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::shell::{self, command};

/// Something that is out of order, where, and why it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub place: String,
    pub what: String,
}

impl Finding {
    fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            what: what.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// A text file of the tree: its path from the root and its content.
pub struct Source {
    pub path: PathBuf,
    pub text: String,
}

impl Source {
    fn is_rust(&self) -> bool {
        self.path.extension().is_some_and(|ext| ext == "rs")
    }

    fn is_markdown(&self) -> bool {
        self.path.extension().is_some_and(|ext| ext == "md")
    }

    fn place(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }
}

pub fn run(root: &Path) -> ExitCode {
    let findings = check(root);
    print(&findings);
    if findings.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

pub fn print(findings: &[Finding]) {
    for finding in findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => println!("tidy"),
        1 => println!("1 thing is not tidy"),
        n => println!("{n} things are not tidy"),
    }
}

/// Every check; an empty answer means tidy.
pub fn check(root: &Path) -> Vec<Finding> {
    let (sources, mut findings) = sources(root);
    let architecture = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap_or_default();
    findings.extend(edges::check(root, &architecture));
    findings.extend(promises::check(&architecture, &sources));
    findings.extend(words::check(&sources));
    findings.extend(errors::check(&sources));
    findings.extend(files::check(root, &sources));
    findings.extend(links::check(root, &sources));
    findings.extend(formatting(root));
    findings
}

fn formatting(root: &Path) -> Option<Finding> {
    let check = command(
        root,
        &shell::cargo(),
        &["fmt", "--all", "--check", "--", "-l"],
    );
    match shell::stream(check) {
        Ok(run) if run.success => None,
        Ok(_) => Some(Finding::new("formatting", "run `cargo fmt --all`")),
        Err(failure) => Some(Finding::new("formatting", failure.to_string())),
    }
}

/// All text files that are part of the project: known to git or about to be.
fn sources(root: &Path) -> (Vec<Source>, Vec<Finding>) {
    let list = command(
        root,
        "git",
        &[
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "-z",
        ],
    );
    let paths: Vec<PathBuf> = match shell::output(list) {
        Ok(list) => list
            .split('\0')
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
            .collect(),
        // A source archive without its history.
        Err(_) => walk(root, Path::new("")),
    };
    let sources = paths
        .into_iter()
        .filter_map(|path| {
            // Deleted but not committed, a link, or not text: nothing to read.
            let text = fs::read_to_string(root.join(&path)).ok()?;
            Some(Source { path, text })
        })
        .collect::<Vec<_>>();
    let findings = if sources.is_empty() {
        vec![Finding::new(
            root.display().to_string(),
            "no files found to check",
        )]
    } else {
        Vec::new()
    };
    (sources, findings)
}

fn walk(root: &Path, below: &Path) -> Vec<PathBuf> {
    const NOT_OURS: [&str; 4] = ["target", "node_modules", ".git", ".realdid"];
    let mut paths = Vec::new();
    let Ok(entries) = fs::read_dir(root.join(below)) else {
        return paths;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let path = below.join(&name);
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && !NOT_OURS.iter().any(|not| name == *not) => {
                paths.extend(walk(root, &path));
            }
            Ok(kind) if kind.is_file() => paths.push(path),
            _ => {}
        }
    }
    paths.sort();
    paths
}

/// The text between `<!-- NAME:begin -->` and `<!-- NAME:end -->`.
fn between_markers<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<!-- {name}:begin -->"))?;
    let (inside, _) = rest.split_once(&format!("<!-- {name}:end -->"))?;
    Some(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_enclose() {
        let text = "a <!-- edges:begin -->\nb\n<!-- edges:end --> c";
        assert_eq!(between_markers(text, "edges"), Some("\nb\n"));
        assert_eq!(between_markers(text, "promises"), None);
        assert_eq!(between_markers("<!-- edges:begin -->", "edges"), None);
    }
}
