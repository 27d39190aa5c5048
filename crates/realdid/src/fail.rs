//! The one line that stands for a failure.

use realdid_wallet::cli::CliError;

/// Why a command was not done.
#[derive(Debug)]
pub enum Fail {
    /// By code, rule, fault and fix.
    Rule(CliError),
    /// A line that a part has made already, in the same form.
    Line(String),
}

impl Fail {
    /// Something that whoever typed the command can put right.
    pub fn user(code: &str, rule: &str, fix: &str) -> Self {
        Self::Rule(CliError::user(code, rule, fix))
    }

    /// Something that the machine lacks.
    pub fn machine(code: &str, rule: &str, fix: &str) -> Self {
        Self::Rule(CliError::new(code, rule, "this machine", fix))
    }

    /// Something that another part did not do.
    pub fn part(code: &str, rule: &str, part: &str, fix: &str) -> Self {
        Self::Rule(CliError::new(code, rule, part, fix))
    }

    /// Takes over the line of a part's own error.
    pub fn of(error: impl std::fmt::Display) -> Self {
        Self::Line(error.to_string())
    }

    /// `<code>: <rule that failed>; fault: <who>; do: <what>`, on one line.
    pub fn line(&self) -> String {
        let text = match self {
            Self::Rule(error) => error.to_string(),
            Self::Line(line) => line.clone(),
        };
        text.replace(['\n', '\r'], " ")
    }
}

impl From<CliError> for Fail {
    fn from(error: CliError) -> Self {
        Self::Rule(error)
    }
}

impl From<realdid_light::http::NodeError> for Fail {
    fn from(error: realdid_light::http::NodeError) -> Self {
        Self::Rule(error.into())
    }
}

impl From<realdid_light::LightError> for Fail {
    fn from(error: realdid_light::LightError) -> Self {
        Self::Rule(error.into())
    }
}

impl From<realdid_serve::files::FileError> for Fail {
    fn from(error: realdid_serve::files::FileError) -> Self {
        Self::of(error)
    }
}
