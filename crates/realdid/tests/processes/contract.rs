//! The command line is a contract: what docs/cli.md says is what the program does.

use crate::nation::PROGRAM;
use serde_json::Value;
use std::process::Command;

fn document() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
    std::fs::read_to_string(path).unwrap()
}

fn help(words: &[&str]) -> String {
    let output = Command::new(PROGRAM)
        .args(words)
        .arg("--help")
        .output()
        .unwrap();
    assert!(output.status.success(), "{words:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Every command with the options that its help names.
const COMMANDS: [&[&str]; 81] = [
    &["up"],
    &["genesis", "key"],
    &["genesis", "plan"],
    &["genesis", "deal"],
    &["genesis", "answer"],
    &["genesis", "close"],
    &["genesis", "finish"],
    &["genesis", "verify"],
    &["genesis", "show"],
    &["genesis", "export"],
    &["genesis", "approve"],
    &["node"],
    &["authority"],
    &["authority", "record"],
    &["authority", "residents"],
    &["authority", "foreigners"],
    &["authority", "organisations"],
    &["authority", "suspend"],
    &["authority", "restore"],
    &["authority", "end"],
    &["authority", "amend"],
    &["authority", "revoke"],
    &["authority", "reset"],
    &["authority", "cancel-reset"],
    &["authority", "pass-key"],
    &["authority", "key-compromised"],
    &["authority", "certificate"],
    &["registrar"],
    &["registrar", "record"],
    &["gate"],
    &["gate", "register"],
    &["gate", "decisions"],
    &["gate", "rotate-keys"],
    &["relay"],
    &["wallet", "init"],
    &["wallet", "enrol"],
    &["wallet", "organisation"],
    &["wallet", "receive"],
    &["wallet", "refresh"],
    &["wallet", "present"],
    &["wallet", "login"],
    &["wallet", "keep"],
    &["wallet", "displays"],
    &["wallet", "withdraw"],
    &["wallet", "unlink-check"],
    &["wallet", "show"],
    &["wallet", "journal"],
    &["wallet", "did", "list"],
    &["wallet", "did", "new"],
    &["wallet", "did", "anchor"],
    &["wallet", "did", "rotate"],
    &["wallet", "did", "recover"],
    &["wallet", "did", "cancel"],
    &["wallet", "did", "freeze"],
    &["wallet", "did", "deactivate"],
    &["wallet", "ca", "add"],
    &["wallet", "ca", "add-did"],
    &["wallet", "ca", "list"],
    &["wallet", "ca", "remove"],
    &["wallet", "kit", "top-up"],
    &["resolve"],
    &["dereference"],
    &["verify-display"],
    &["verify-receipt"],
    &["governance", "decide"],
    &["governance", "sign"],
    &["governance", "show"],
    &["network", "recognise"],
    &["network", "suspend"],
    &["network", "restore"],
    &["network", "show"],
    &["committee", "show"],
    &["committee", "plan"],
    &["committee", "deal"],
    &["committee", "answer"],
    &["committee", "close"],
    &["committee", "finish"],
    &["committee", "propose"],
    &["committee", "import"],
    &["bench"],
    &["demo"],
];

#[test]
fn docs_cli_names_every_command_and_option_and_no_other() {
    let document = document();
    for words in COMMANDS {
        if words == ["demo"] {
            continue;
        }
        let command = format!("realdid {}", words.join(" "));
        assert!(
            document.contains(&command),
            "docs/cli.md does not name `{command}`"
        );
        for option in options(&help(words)) {
            let named = document.contains(&format!("`{option}"))
                || document.contains(&format!("[{option}"))
                || document.contains(&format!(" {option}"));
            assert!(named, "docs/cli.md does not name {option} of `{command}`");
        }
    }
    // and what it names exists
    let all: String = COMMANDS.iter().map(|words| help(words)).collect();
    for option in options(&document) {
        assert!(
            all.contains(&option),
            "docs/cli.md names {option}, which no command has"
        );
    }
}

/// Holds the keys of what a command printed against its section of docs/cli.md.
#[track_caller]
pub fn keeps_its_keys(args: &[&str], printed: &Value) {
    let named = |words: &&[&str]| {
        let mut args = args.iter();
        words.iter().all(|word| args.any(|arg| arg == word))
    };
    let words = COMMANDS
        .into_iter()
        .filter(named)
        .max_by_key(|words| words.len())
        .unwrap();
    let document = document();
    let heading = format!("### `realdid {}`\n", words.join(" "));
    let (_, section) = document
        .split_once(&heading)
        .unwrap_or_else(|| panic!("no section {heading}"));
    // Commands that print the same share a section under several headings.
    let start = section
        .find("`{")
        .unwrap_or_else(|| panic!("no keys in {heading}"));
    let mut expected = top_level_keys(&section[start + 1..]);
    let mut found: Vec<String> = printed.as_object().unwrap().keys().cloned().collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected, "the keys of `realdid {}`", words.join(" "));
}

/// The keys of the outermost object that a text begins with, written as `{"a", "b": [{"c"}]}`.
fn top_level_keys(text: &str) -> Vec<String> {
    let mut depth = 0;
    let mut keys = Vec::new();
    let mut quoted = text.split('"');
    while let (Some(between), Some(word)) = (quoted.next(), quoted.next()) {
        for c in between.chars() {
            depth += match c {
                '{' | '[' => 1,
                '}' | ']' => -1,
                _ => 0,
            };
            if depth == 0 {
                return keys;
            }
        }
        if depth == 1 {
            keys.push(word.to_owned());
        }
    }
    keys
}

#[test]
fn keys_are_read_from_the_document() {
    assert_eq!(
        top_level_keys("{\"a\", \"b\": [{\"c\"}], \"d\"}`: and \"e\""),
        ["a", "b", "d"]
    );
}

/// The `--words` in a text.
fn options(text: &str) -> Vec<String> {
    let mut found: Vec<String> = text
        .match_indices("--")
        .filter(|(at, _)| !text[..*at].ends_with(['-', '|']) || text[..*at].ends_with('|'))
        .map(|(at, _)| {
            let rest = &text[at + 2..];
            let end = rest
                .find(|c: char| !c.is_ascii_lowercase() && c != '-')
                .unwrap_or(rest.len());
            format!("--{}", rest[..end].trim_end_matches('-'))
        })
        .filter(|option| option.len() > 3)
        .collect();
    found.sort();
    found.dedup();
    found
}

#[test]
fn an_unknown_word_and_a_missing_file_say_so_on_one_line() {
    let output = Command::new(PROGRAM)
        .args(["node", "--config", "absent.toml"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!(line.trim_end().lines().count(), 1, "{line}");
    assert!(
        line.starts_with("config.unreadable: ")
            && line.contains("; fault: ")
            && line.contains("; do: "),
        "{line}"
    );
    assert!(
        !Command::new(PROGRAM)
            .arg("nonsense")
            .output()
            .unwrap()
            .status
            .success()
    );
}
