use super::*;
use std::fs;
use tempfile::TempDir;

/// Bytes that nothing else has.
fn own(seed: u8, count: usize) -> Vec<u8> {
    let mut state = u32::from(seed) * 7919 + 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 11) as u8
    };
    (0..count).map(|_| next()).collect()
}

struct Case {
    dir: TempDir,
    args: UnlinkArgs,
}

impl Case {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for folder in ["authority/keys", "node/blocks"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        fs::write(at("authority/keys/tag"), own(1, 64)).unwrap();
        fs::write(at("authority/authority.db"), own(2, 5000)).unwrap();
        fs::write(at("node/blocks/log"), own(3, 5000)).unwrap();
        let args = UnlinkArgs {
            transcripts: vec![at("a.json"), at("b.json")],
            authority: vec![at("authority")],
            node: at("node"),
        };
        let case = Self { dir, args };
        case.transcript("a.json", 10);
        case.transcript("b.json", 20);
        case
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.dir.path().join(name), bytes).unwrap();
    }

    /// Three people with a value of their own each.
    fn transcript(&self, name: &str, seed: u8) {
        let line = |person: u8| {
            json!({
                "time_ms": 1_764_000_000_000_u64 + u64::from(seed),
                "subject": hex::encode(own(seed + person, 32)),
                "received": {"value": hex::encode(own(100 + seed + person, 32))},
            })
        };
        let lines: Vec<String> = (0..3).map(|person| line(person).to_string()).collect();
        self.write(name, lines.join("\n").as_bytes());
    }

    fn code(&self) -> String {
        run(&self.args).unwrap_err().code
    }
}

#[test]
fn p4_a_check_of_folders_finds_what_was_planted_and_nothing_else() {
    let case = Case::new();
    let answer = run(&case.args).unwrap();
    assert!(!is_joined(&answer), "{answer}");
    assert_eq!(answer["people"], json!([3, 3]));
    assert_eq!(answer["storedBytes"], json!(64 + 5000 + 5000));

    // What the second person at the second service showed, far within a file of zeros and across
    // the border of two parts.
    let value = own(100 + 20 + 1, 32);
    for at in [0, 100_000, PART_BYTES - 16, 2 * PART_BYTES - 1] {
        let mut file = vec![0; 2 * PART_BYTES + 100];
        file[at..at + 32].copy_from_slice(&value);
        case.write("node/state", &file);
        let answer = run(&case.args).unwrap();
        assert!(is_joined(&answer), "at {at}");
        for join in answer["values"].as_array().unwrap() {
            assert!(join["between"][0].as_str().unwrap().ends_with("b.json"));
            assert_eq!(join["between"][1], "node");
            assert_eq!(join["places"][1], "state");
        }
        // Where it stands is said, and what it is is not.
        assert!(!answer.to_string().contains(&hex::encode(&value)));
    }
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let mut case = Case::new();
    case.write("b.json", b"{}");
    assert_eq!(case.code(), "unlink.transcript");
    case.write("b.json", b"");
    assert_eq!(case.code(), "unlink.people");
    case.args.transcripts[1] = case.dir.path().join("none.json");
    assert_eq!(case.code(), "unlink.unreadable");
    case.args.transcripts.pop();
    assert_eq!(case.code(), "unlink.transcripts");

    let mut case = Case::new();
    case.args.node = case.dir.path().join("none");
    assert_eq!(case.code(), "unlink.unreadable");
    fs::create_dir(&case.args.node).unwrap();
    assert_eq!(case.code(), "unlink.nothing_stored");
}
