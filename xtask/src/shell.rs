//! Running other programs, seen by the user as they run.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

/// Why a chore stopped, in words for the person at the terminal.
#[derive(Debug)]
pub enum Failure {
    /// A program could not be started.
    NotStarted { program: String, why: String },
    /// A program ran and said no.
    Refused { line: String },
    /// This machine lacks something; `fix` is the line to run.
    Missing { what: String, fix: String },
    /// A program or file said something that this chore does not understand.
    Unreadable { what: String, why: String },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted { program, why } => write!(f, "cannot start {program}: {why}"),
            Self::Refused { line } => write!(f, "this failed: {line}"),
            Self::Missing { what, fix } => write!(f, "{what}\n  do: {fix}"),
            Self::Unreadable { what, why } => write!(f, "cannot read {what}: {why}"),
        }
    }
}

/// A program with its arguments, to be run in the workspace's root.
pub fn command(root: &Path, program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(root);
    command
}

/// The cargo that started this chore.
pub fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

pub fn show(command: &Command) -> String {
    let mut line = Path::new(command.get_program())
        .file_name()
        .unwrap_or(command.get_program())
        .to_string_lossy()
        .into_owned();
    for arg in command.get_args() {
        line.push(' ');
        line.push_str(&arg.to_string_lossy());
    }
    line
}

/// Says the command, runs it with this terminal, and waits.
pub fn run(mut command: Command) -> Result<(), Failure> {
    let line = show(&command);
    println!("$ {line}");
    let status = command
        .status()
        .map_err(|error| not_started(&command, &error))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::Refused { line })
    }
}

/// Whether a program runs and succeeds, quietly.
pub fn succeeds(mut command: Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// What a program prints on standard output; its standard error goes to the terminal.
pub fn output(mut command: Command) -> Result<String, Failure> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| not_started(&command, &error))?;
    if !output.status.success() {
        return Err(Failure::Refused {
            line: show(&command),
        });
    }
    String::from_utf8(output.stdout).map_err(|error| Failure::Unreadable {
        what: show(&command),
        why: error.to_string(),
    })
}

/// What a program printed on both of its outputs while the terminal saw it, and whether it succeeded.
pub struct Streamed {
    pub text: String,
    pub success: bool,
}

/// Says the command, runs it, shows each line as it comes, and keeps the lines.
pub fn stream(mut command: Command) -> Result<Streamed, Failure> {
    println!("$ {}", show(&command));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .map_err(|error| not_started(&command, &error))?;
    let stdout = child.stdout.take();
    let stderr = child.stderr.take();
    let other = thread::spawn(move || stderr.map(echo).unwrap_or_default());
    let mut text = stdout.map(echo).unwrap_or_default();
    text.push_str(&other.join().unwrap_or_default());
    let status = child
        .wait()
        .map_err(|error| not_started(&command, &error))?;
    Ok(Streamed {
        text,
        success: status.success(),
    })
}

fn echo(stream: impl Read) -> String {
    let mut reader = BufReader::new(stream);
    let mut kept = String::new();
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
        let text = String::from_utf8_lossy(&line);
        let mut terminal = std::io::stdout().lock();
        // A closed terminal must not stop the tests.
        let _ = terminal.write_all(text.as_bytes());
        let _ = terminal.flush();
        kept.push_str(&text);
        line.clear();
    }
    kept
}

fn not_started(command: &Command, error: &std::io::Error) -> Failure {
    Failure::NotStarted {
        program: command.get_program().to_string_lossy().into_owned(),
        why: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_outputs_are_kept_and_failure_is_seen() {
        let run = |script| stream(command(Path::new("."), "sh", &["-c", script])).unwrap();
        let fine = run("echo out; echo err >&2");
        assert!(fine.success);
        assert!(fine.text.contains("out") && fine.text.contains("err"));
        assert!(!run("exit 3").success);
    }

    #[test]
    fn a_program_that_does_not_exist_is_named() {
        let failure = run(command(Path::new("."), "no-such-program", &[])).unwrap_err();
        assert!(failure.to_string().contains("no-such-program"));
    }
}
