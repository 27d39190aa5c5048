//! Configuration: one TOML file, overridden by environment variables, read into one struct.
//!
//! `REALDID_GATE_PUBLIC_URL` sets `public_url`, `REALDID_GATE_STORE__PATH` sets `path` of `[store]`.
//! Structs use `#[serde(deny_unknown_fields)]`, and then a mistyped key is refused by name with the
//! keys that exist.
//!
//! No error quotes a value, because some values are secrets. That is why the tree is read by a
//! deserializer of our own: the usual ones put the offending value into their messages. It also lets
//! a text from the environment become whatever type the field has, so that a client id of digits
//! stays a text.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use thiserror::Error;

mod tree;

use tree::{Node, Refusal, Wrong};

/// Largest configuration file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Where a refused key was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    File(PathBuf),
    Environment(String),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(variable) => write!(f, "environment variable {variable}"),
        }
    }
}

/// Why a configuration was refused. Displays as the command line's one-line error.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ConfigError {
    #[error(
        "{}: {} must be a readable file ({kind}); fault: operator; do: name the right file with --config",
        self.code(), path.display()
    )]
    Unreadable { path: PathBuf, kind: io::ErrorKind },
    #[error(
        "{}: {} must be TOML of at most 1 MiB (line {line}: {what}); fault: operator; do: correct that line",
        self.code(), path.display()
    )]
    Syntax {
        path: PathBuf,
        line: usize,
        what: String,
    },
    #[error(
        "{}: {place} may only set known keys, {key} is none; fault: operator; do: use one of: {}",
        self.code(), allowed.join(", ")
    )]
    UnknownKey {
        place: Place,
        key: String,
        allowed: Vec<&'static str>,
    },
    #[error(
        "{}: {key} must be set; fault: operator; do: add it to {} or set {variable}",
        self.code(), path.display()
    )]
    MissingKey {
        path: PathBuf,
        key: String,
        variable: String,
    },
    #[error(
        "{}: {key} in {place} must be right ({what}); fault: operator; do: correct its value",
        self.code()
    )]
    WrongValue {
        place: Place,
        key: String,
        what: String,
    },
}

impl ConfigError {
    /// Stable, dotted code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "config.unreadable",
            Self::Syntax { .. } => "config.syntax",
            Self::UnknownKey { .. } => "config.unknown_key",
            Self::MissingKey { .. } => "config.missing_key",
            Self::WrongValue { .. } => "config.wrong_value",
        }
    }
}

/// Reads `path`, then the variables `<env_prefix>_…` of this process (`REALDID_GATE` for a gate).
pub fn load<T: DeserializeOwned>(path: &Path, env_prefix: &str) -> Result<T, ConfigError> {
    load_with(path, env_prefix, env::vars())
}

/// As [`load`], with the environment as an argument.
pub fn load_with<T: DeserializeOwned>(
    path: &Path,
    env_prefix: &str,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<T, ConfigError> {
    let text = read_bounded(path)?;
    parse(path, &text, env_prefix, environment)
}

fn read_bounded(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |error: io::Error| ConfigError::Unreadable {
        path: path.to_owned(),
        kind: error.kind(),
    };
    let length = fs::metadata(path).map_err(unreadable)?.len();
    if length > MAX_FILE_BYTES {
        return Err(ConfigError::Syntax {
            path: path.to_owned(),
            line: 0,
            what: "the file is too large".to_owned(),
        });
    }
    fs::read_to_string(path).map_err(unreadable)
}

fn parse<T: DeserializeOwned>(
    path: &Path,
    text: &str,
    env_prefix: &str,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<T, ConfigError> {
    let table: toml::Table = toml::from_str(text).map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        line: error.span().map_or(0, |span| line_of(text, span.start)),
        // The full error quotes the line, and with it perhaps a secret.
        what: error.message().lines().next().unwrap_or("").to_owned(),
    })?;
    let mut root = Node::of_table(table);
    let prefix = format!("{env_prefix}_");
    // Sorted, so that the result does not depend on the order in which variables were set.
    let overrides: BTreeMap<String, String> = environment
        .into_iter()
        .filter(|(name, _)| name.starts_with(&prefix))
        .collect();
    for (variable, text) in overrides {
        let keys: Vec<String> = variable[prefix.len()..]
            .split("__")
            .map(str::to_ascii_lowercase)
            .collect();
        root.set(&keys, &variable, text);
    }
    T::deserialize(&root).map_err(|refusal| explain(&root, path, env_prefix, refusal))
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|b| *b == b'\n').count()
}

fn explain(root: &Node, path: &Path, env_prefix: &str, refusal: Refusal) -> ConfigError {
    let Refusal { keys, wrong } = refusal;
    let place = match root.variable_at(&keys) {
        Some(variable) => Place::Environment(variable.to_owned()),
        None => Place::File(path.to_owned()),
    };
    let key = keys.join(".");
    match wrong {
        Wrong::Unknown { allowed } => ConfigError::UnknownKey {
            place,
            key,
            allowed: allowed.to_vec(),
        },
        Wrong::Missing => ConfigError::MissingKey {
            path: path.to_owned(),
            key,
            variable: format!("{env_prefix}_{}", keys.join("__").to_ascii_uppercase()),
        },
        Wrong::Value { what } => ConfigError::WrongValue { place, key, what },
    }
}

#[cfg(test)]
mod tests;
