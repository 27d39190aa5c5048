//! Words and names that do not belong here, each with its reason. This file is the one place that
//! may hold them.

use std::path::Path;

use super::{Finding, Source, rust};

const THIS_FILE: &str = "xtask/src/tidy/words.rs";

struct Banned {
    word: &'static str,
    only_rust: bool,
    reason: &'static str,
}

const fn in_rust(word: &'static str, reason: &'static str) -> Banned {
    Banned {
        word,
        only_rust: true,
        reason,
    }
}

const fn anywhere(word: &'static str, reason: &'static str) -> Banned {
    Banned {
        word,
        only_rust: false,
        reason,
    }
}

const BANNED: &[Banned] = &[
    in_rust(
        "todo!",
        "unfinished code would panic: finish it or open an issue",
    ),
    in_rust(
        "unimplemented!",
        "it would panic: return an error or leave the case out",
    ),
    in_rust("dbg!", "debug output may print a secret"),
    anywhere("FIXME", "fix it or open an issue"),
    anywhere("XXX", "say what is wrong, in words, or open an issue"),
    anywhere("/root/", "a path of one machine"),
    anywhere("/work/", "a path of one machine"),
    anywhere(
        "registry.npmjs.org",
        "the user's registry is the user's choice",
    ),
    anywhere(
        "registry.npmmirror.com",
        "the user's registry is the user's choice",
    ),
    anywhere(
        "registry.yarnpkg.com",
        "the user's registry is the user's choice",
    ),
    anywhere(
        "index.crates.io",
        "the user's registry is the user's choice",
    ),
    anywhere(
        "static.crates.io",
        "the user's registry is the user's choice",
    ),
    anywhere(
        "files.pythonhosted.org",
        "the user's registry is the user's choice",
    ),
    anywhere(
        "\"resolved\":",
        "a lock file must not name a registry: omit-lockfile-registry-resolved",
    ),
];

/// A name that says nothing collects everything.
const BANNED_FILES: &[&str] = &["utils.rs", "util.rs", "helpers.rs", "helper.rs", "misc.rs"];

pub fn check(sources: &[Source]) -> Vec<Finding> {
    sources.iter().flat_map(check_one).collect()
}

fn check_one(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let name = source.path.file_name().unwrap_or_default();
    if BANNED_FILES.iter().any(|banned| name == *banned) {
        let what = "a file is named after what it is for";
        findings.push(Finding::new(source.path.display().to_string(), what));
    }
    // Vectors are other people's words, kept byte for byte.
    if source.path == Path::new(THIS_FILE) || source.path.starts_with("spec/vectors") {
        return findings;
    }
    for (index, line) in source.text.lines().enumerate() {
        for banned in BANNED {
            if (source.is_rust() || !banned.only_rust) && contains_word(line, banned.word) {
                let what = format!("`{}`: {}", banned.word, banned.reason);
                findings.push(Finding::new(source.place(index + 1), what));
            }
        }
        let getter = rust::function_name(line).filter(|name| name.starts_with("get_"));
        if let Some(name) = getter.filter(|_| source.is_rust()) {
            let what = format!("`{name}`: a function is named after what it answers, without get_");
            findings.push(Finding::new(source.place(index + 1), what));
        }
    }
    findings
}

/// Whether `word` stands in `line` and is not part of a longer word.
fn contains_word(line: &str, word: &str) -> bool {
    let is_letter = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let starts = !word.starts_with(is_letter) || !before.is_some_and(is_letter);
        let ends = !word.ends_with(is_letter) || !after.is_some_and(is_letter);
        starts && ends
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        let source = Source {
            path: path.into(),
            text: text.to_owned(),
        };
        check(&[source]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn words_are_found_where_they_are_banned() {
        assert_eq!(findings("a.rs", "fine\n    todo!()\n").len(), 1);
        assert!(findings("a.rs", "x\ntodo!()")[0].starts_with("a.rs:2: "));
        assert_eq!(findings("a.md", "todo!() is a macro"), [""; 0]);
        assert_eq!(findings("a.md", "FIXME later").len(), 1);
        assert_eq!(findings("a.toml", "dir = \"/root/x\"").len(), 1);
        assert_eq!(findings("a.rs", "let eXXXl = 1; \"FXXXA\""), [""; 0]);
    }

    #[test]
    fn names_are_checked() {
        assert_eq!(findings("crates/a/src/utils.rs", "").len(), 1);
        assert_eq!(findings("a.rs", "    pub fn get_key(&self) {}").len(), 1);
        assert_eq!(
            findings("a.rs", "map.get_key_value(x); fn target_dir() {}"),
            [""; 0]
        );
    }

    #[test]
    fn vectors_stay_as_they_are() {
        assert_eq!(findings("spec/vectors/a.json", "XXX"), [""; 0]);
    }
}
