//! What this gate saw, one login a line, for `realdid wallet unlink-check` (docs/unlinkability.md).
//!
//! Written only where the configuration names a file. It keeps what a gate otherwise forgets, the
//! wallet's answers, and is meant for that check alone: the file is its owner's to read, and a
//! warning in the log says at each start that it is kept.

use realdid_exchange::did_proof::ReceivedProof;
use realdid_exchange::vp::Presented;
use serde_json::json;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// One login, with what the wallet sent as it stood in the response.
pub fn line(time_ms: u64, subject: &str, presented: &Presented) -> String {
    let mut line = json!({
        "time_ms": time_ms,
        "subject": subject,
        "received": {
            "vp_token": {
                "pass": presented.pass,
                "pid": presented.pid,
                "did": presented.did_proof.as_ref().map(ReceivedProof::as_str),
            },
        },
    })
    .to_string();
    line.push('\n');
    line
}

/// Appends in one write, so that lines of logins at the same time do not mix.
pub fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(realdid_serve::files::PRIVATE)
        .open(path)?;
    file.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_transcript_is_read_by_the_check_and_by_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("transcript.json");
        for person in ["one", "two", "three"] {
            let presented = Presented {
                state: "s".into(),
                pass: Some(format!("pass-of-{person}")),
                pid: None,
                did_proof: Some(format!("proof-of-{person}").into()),
            };
            append(&path, &line(7, person, &presented)).unwrap();
        }
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = std::fs::read(&path).unwrap();
        let transcript = realdid_unlink::Transcript::parse("gate", &text).unwrap();
        assert_eq!(transcript.people(), ["one", "three", "two"]);
    }
}
