//! The key ceremony as operators do it: each with folders of its own, by the command line, with files
//! that are carried between them. What comes of it is a network that runs.

use crate::committee::{Committee, Member};
use crate::contract::keeps_its_keys;
use crate::nation::PROGRAM;
use realdid_ceremony::Left;
use realdid_core::certificate::claimed_epoch;
use realdid_core::codec;
use realdid_core::genesis::{Genesis, MAX_EPOCH_S};
use realdid_core::header::{Checkpoint, Header};
use realdid_core::state::did_key;
use realdid_light::LightClient;
use realdid_testkit::ledger::{TestDid, TestNet};
use realdid_testkit::ports::free_address;
use serde_json::Value;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const NAMES: [&str; 4] = ["ann", "bob", "cho", "dee"];

/// Operators, each on a machine of its own: in a folder, here.
pub struct Operators {
    folder: tempfile::TempDir,
    /// What the network's issuers and governors are; its genesis is another.
    net: TestNet,
    places: Vec<(SocketAddr, SocketAddr)>,
}

impl Operators {
    pub fn new() -> Self {
        let net = TestNet::with(|genesis| {
            genesis.issuers[0].enrolment_quota = u64::MAX;
        });
        let operators = Self {
            folder: tempfile::tempdir().unwrap(),
            net,
            places: NAMES.map(|_| (free_address(), free_address())).to_vec(),
        };
        for name in NAMES {
            std::fs::create_dir(operators.dir(name)).unwrap();
        }
        operators
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn shared(&self, name: &str) -> PathBuf {
        self.dir(name).join("ceremony")
    }

    fn command(&self, name: &str, words: &[&str]) -> std::process::Output {
        Command::new(PROGRAM)
            .args(["--json", "genesis"])
            .args(words)
            .current_dir(self.dir(name))
            .output()
            .unwrap()
    }

    /// What a step printed, once its keys were held against the documentation.
    #[track_caller]
    fn step(&self, name: &str, words: &[&str]) -> Value {
        let output = self.command(name, words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name} {words:?}: {said}");
        let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
        keeps_its_keys(&[&["genesis"], words].concat(), &printed);
        printed
    }

    #[track_caller]
    fn refused(&self, name: &str, words: &[&str], code: &str) -> String {
        let output = self.command(name, words);
        let line = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{name} {words:?}");
        assert!(line.starts_with(&format!("{code}: ")), "{line}");
        assert_eq!(line.trim_end().lines().count(), 1, "{line}");
        line
    }

    /// Carries every file of the shared folders to everybody who has none of its name.
    fn exchange(&self) {
        for from in NAMES {
            for file in std::fs::read_dir(self.shared(from)).unwrap() {
                let file = file.unwrap().path();
                for to in NAMES {
                    let copy = self.shared(to).join(file.file_name().unwrap());
                    if !copy.exists() {
                        std::fs::copy(&file, copy).unwrap();
                    }
                }
            }
        }
    }

    fn key(&self, who: usize) -> Value {
        let p2p = self.places[who].1.to_string();
        let words = [
            "key",
            "--network",
            "dev",
            "--name",
            NAMES[who],
            "--p2p",
            &p2p,
        ];
        self.step(NAMES[who], &words)
    }

    /// The file of the plan, as docs/operators.md shows it.
    fn plan_file(&self, name: &str) {
        let governance = &self.net.genesis.governance;
        let keys = governance.keys.iter();
        let keys: Vec<String> = keys
            .map(|key| format!("\"{}:{}\"", key.suite().name(), hex::encode(key.bytes())))
            .collect();
        let issuers = self
            .net
            .genesis
            .issuers
            .iter()
            .enumerate()
            .map(|(n, issuer)| {
                let file = format!("issuer-{n}.cbor");
                std::fs::write(self.dir(name).join(&file), codec::encode(issuer)).unwrap();
                format!("\"{file}\"")
            });
        let issuers: Vec<String> = issuers.collect();
        let text = format!(
            "network = \"dev\"\nissuers = [{issuers}]\n\n\
             [governance]\nthreshold = {threshold}\nkeys = [{keys}]\n\n\
             [parameters]\nblock_interval_ms = 200\nslot_s = 2\nepoch_s = {MAX_EPOCH_S}\n\
             refresh_lead_s = 60\nrecovery_delay_s = 20\nstatus_period_s = 10\n\
             expiry_window = 10000\nblock_operations = 4096\npersonhood_period_s = 600\n\
             personhood_slots = 4\nsuites = [\"p256\", \"ed25519\"]\n",
            issuers = issuers.join(", "),
            threshold = governance.threshold,
            keys = keys.join(", "),
        );
        std::fs::write(self.dir(name).join("plan.toml"), text).unwrap();
    }

    fn finish(&self, who: usize, more: &[&str]) -> Value {
        let listen = self.places[who].0.to_string();
        let words = [&["finish", "--listen", &listen], more].concat();
        self.step(NAMES[who], &words)
    }

    /// The validators start from what `finish` wrote.
    fn runs(&self) -> Committee {
        let members = NAMES.iter().zip(&self.places);
        let members =
            members.map(|(name, (http, _))| Member::of(self.dir(name).join("node"), *http));
        let genesis = std::fs::read(self.dir("ann").join("node/genesis.cbor")).unwrap();
        let mut net = self.net.clone();
        net.genesis = Genesis::decode(&genesis).unwrap();
        net.now.time_ms = net.genesis.time_ms;
        Committee::of(net, members.collect(), tempfile::tempdir().unwrap())
    }

    /// A network by a ceremony in which all do what they should.
    fn founded(&self) -> Committee {
        for who in 0..4 {
            self.key(who);
        }
        self.exchange();
        self.plan_file("ann");
        let plan = self.step("ann", &["plan", "--config", "plan.toml"]);
        self.exchange();
        let digest = plan["digest"].as_str().unwrap();
        for words in [&["deal", "--plan", digest][..], &["answer"], &["close"]] {
            for name in NAMES {
                self.step(name, words);
            }
            self.exchange();
        }
        for who in 0..4 {
            self.finish(who, &[]);
        }
        self.runs()
    }

    /// Bytes of a file that a step names, relative to its operator's folder.
    fn named(&self, name: &str, printed: &Value, key: &str) -> Vec<u8> {
        std::fs::read(self.dir(name).join(printed[key].as_str().unwrap())).unwrap()
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn names(value: &Value) -> Vec<&str> {
    let names = value.as_array().unwrap().iter();
    names.map(|name| name.as_str().unwrap()).collect()
}

/// Four operators, of whom one is absent while the others deal.
#[test]
fn four_operators_make_a_key_without_a_dealer_and_their_network_runs() {
    let operators = Operators::new();
    for who in 0..4 {
        let made = operators.key(who);
        // Again, and nothing changes: never another secret in its place.
        assert_eq!(operators.key(who), made);
    }
    operators.exchange();
    operators.plan_file("ann");
    operators.refused("ann", &["deal"], "ceremony.no_plan");
    let plan = operators.step("ann", &["plan", "--config", "plan.toml"]);
    assert_eq!(plan["withstands"], 1);
    assert_eq!(plan["operators"].as_array().unwrap().len(), 4);
    let again = operators.step("ann", &["plan", "--config", "plan.toml"]);
    assert_eq!(again, plan);
    operators.exchange();
    let digest = plan["digest"].as_str().unwrap();
    assert_eq!(operators.step("bob", &["plan"])["digest"], digest);

    // Nobody deals for a plan that was not signed off, or for another.
    operators.refused("ann", &["deal"], "ceremony.plan_unapproved");
    let other = "0".repeat(64);
    operators.refused("ann", &["deal", "--plan", &other], "ceremony.plan_differs");
    for name in &NAMES[..3] {
        let dealt = operators.step(name, &["deal", "--plan", digest]);
        let bytes = operators.named(name, &dealt, "dealing");
        let again = operators.step(name, &["deal"]);
        assert_eq!(operators.named(name, &again, "dealing"), bytes);
    }
    operators.exchange();

    // Who was absent answers: its share is as good as the others'.
    for name in NAMES {
        let answer = operators.step(name, &["answer", "--plan", digest]);
        assert_eq!(names(&answer["missing"]), ["dee"]);
        assert_eq!(names(&answer["accepted"]).len(), 3);
        assert_eq!(answer["refused"], Value::Array(vec![]));
    }
    // In haste nobody is given up: only the own answer is there.
    let line = operators.refused("ann", &["close"], "ceremony.too_many_unanswered");
    assert!(line.contains("fault: bob, cho, dee"), "{line}");
    operators.exchange();
    for name in &NAMES[..3] {
        let closed = operators.step(name, &["close"]);
        let bytes = operators.named(name, &closed, "log");
        let again = operators.step(name, &["close"]);
        assert_eq!(operators.named(name, &again, "log"), bytes);
    }
    operators.exchange();

    // That a log is missing is agreed on, not passed over.
    let line = operators.refused("bob", &["finish"], "ceremony.logs_missing");
    assert!(line.contains("fault: dee"), "{line}");
    let mut digests = Vec::new();
    for who in 0..4 {
        let without = ["--without", "dee"];
        let finished = operators.finish(who, &without);
        digests.push(finished["digest"].clone());
        assert_eq!(names(&finished["dealers"]).len(), 3);
        assert_eq!(finished["exposed"], Value::Array(vec![]));
        // Once more, and nothing is overwritten.
        assert_eq!(operators.finish(who, &without)["digest"], digests[0]);
    }
    assert!(digests.iter().all(|digest| *digest == digests[0]));
    operators.exchange();

    // Anybody verifies it without a secret.
    let verified = operators.step("cho", &["verify"]);
    assert_eq!(verified["digest"], digests[0]);
    assert_eq!(verified["agreed"], true);
    assert_eq!(names(&verified["agree"]).len(), 4);
    for key in ["faults", "differ", "missing", "rejected", "evidence"] {
        assert_eq!(verified[key], Value::Array(vec![]), "{key}");
    }
    let shown = operators.step("cho", &["show", "--genesis", "node/genesis.cbor"]);
    assert_eq!(
        (&shown["key"], &shown["development"]),
        (&"ceremony".into(), &false.into())
    );

    no_secret_is_shared(&operators);
    let committee = operators.runs();
    let load = committee.load();
    committee.reaches(0, committee.height(0) + 20);
    committee.agrees(&[0, 1, 2, 3], &load.stop());
}

/// Secrets are for their owner alone, and nothing of them is in what operators exchange.
fn no_secret_is_shared(operators: &Operators) {
    let mut secrets = Vec::new();
    for name in NAMES {
        let dir = operators.dir(name);
        let kept = |file: &str, key: &str| {
            let file = dir.join(file);
            assert_eq!(mode(&file), 0o600);
            let read: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
            read[key].as_str().unwrap().to_owned()
        };
        secrets.push(kept("operator/operator.json", "seed"));
        secrets.push(kept("node/validator.json", "identity_seed"));
        // The share without the number that stands first.
        secrets.push(kept("node/shares/0.json", "share")[2..].to_owned());
    }
    for file in std::fs::read_dir(operators.shared("ann")).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for secret in &secrets {
            let raw = hex::decode(secret).unwrap();
            assert!(!bytes.windows(raw.len()).any(|part| part == raw));
            assert!(!String::from_utf8_lossy(&bytes).contains(secret));
        }
    }
}

#[test]
fn cheaters_are_named_and_secrets_never_overwritten() {
    let operators = Operators::new();
    for who in 0..4 {
        operators.key(who);
    }
    operators.exchange();
    operators.plan_file("ann");
    let plan = operators.step("ann", &["plan", "--config", "plan.toml"]);
    let digest = plan["digest"].as_str().unwrap();
    operators.exchange();
    for name in NAMES {
        operators.step(name, &["deal", "--plan", digest]);
    }
    operators.exchange();
    // Somebody changed a dealing on its way, and wrote one that is none.
    let shared = operators.shared("bob");
    let dealing = std::fs::read(shared.join("dee.dealing")).unwrap();
    let mut changed = dealing.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    std::fs::write(shared.join("dee.dealing"), changed).unwrap();
    std::fs::write(shared.join("eve.dealing"), vec![0; 70_000]).unwrap();
    let answer = operators.step("bob", &["answer", "--plan", digest]);
    assert_eq!(names(&answer["missing"]), ["dee"]);
    let rejected = answer["rejected"].as_array().unwrap();
    let rejected: Vec<_> = rejected
        .iter()
        .map(|file| {
            (
                file["file"].as_str().unwrap(),
                file["code"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        rejected,
        [
            ("dee.dealing", "ceremony.signature"),
            ("eve.dealing", "codec.too_long")
        ]
    );
    // With the true one he answers again, and says more.
    std::fs::write(shared.join("dee.dealing"), dealing).unwrap();
    std::fs::remove_file(shared.join("eve.dealing")).unwrap();
    let answer = operators.step("bob", &["answer"]);
    assert_eq!(names(&answer["accepted"]).len(), 4);

    for name in ["ann", "cho"] {
        operators.step(name, &["answer", "--plan", digest]);
    }
    operators.exchange();
    // Dee has gone: whoever closes gives her up by name.
    let line = operators.refused("ann", &["close"], "ceremony.unanswered");
    assert!(line.contains("fault: dee"), "{line}");
    let unknown = ["close", "--without", "zoe"];
    operators.refused("ann", &unknown, "ceremony.name_unknown");
    for name in &NAMES[..3] {
        operators.step(name, &["close", "--without", "dee"]);
    }
    operators.exchange();
    let finished = operators.finish(0, &["--without", "dee"]);
    assert_eq!(names(&finished["exposed"]), ["dee"]);
    assert_eq!(finished["agreed"], false);

    // Another's keys in the validator's folder stay.
    std::fs::create_dir(operators.dir("bob").join("node")).unwrap();
    let keys = operators.dir("ann").join("node/validator.json");
    let there = operators.dir("bob").join("node/validator.json");
    std::fs::copy(&keys, &there).unwrap();
    let words = ["finish", "--without", "dee"];
    operators.refused("bob", &words, "ceremony.secret_exists");
    assert_eq!(std::fs::read(keys).unwrap(), std::fs::read(there).unwrap());

    // A genesis that was put into the folder is found.
    let genesis = operators.shared("cho").join("genesis.cbor");
    std::fs::write(&genesis, operators.net.genesis.encode()).unwrap();
    operators.refused("cho", &["verify"], "ceremony.genesis_differs");
    let dealt = ["show", "--genesis", "ceremony/genesis.cbor"];
    let shown = operators.step("cho", &dealt);
    assert_eq!(
        (&shown["key"], &shown["development"]),
        (&"dealt".into(), &true.into())
    );
}

/// Two of four validators are lost for good: nothing is certified any more, and another network, of the
/// two that are left and two new operators, goes on with every record.
#[test]
fn a_network_that_lost_its_quorum_is_followed_by_another_with_its_state() {
    let old = Operators::new();
    let mut committee = old.founded();
    let load = committee.load();
    committee.reaches(0, committee.height(0) + 20);
    let acknowledged = load.stop();
    // A DID is anchored before.
    let did = TestDid::new(committee.net.network(), 1);
    committee.net.now.height = committee.height(0);
    let anchor = committee.net.anchor(&did);
    committee.hand_in(0, &anchor);
    let last = acknowledged.values().max().copied().unwrap() + 1;
    committee.agrees(&[0, 1, 2, 3], &acknowledged);
    let proved = did_key(committee.net.genesis.hash_function(), &did.id());
    committee.proves(0, &proved);

    let before = loses_its_quorum(&mut committee);
    let header = Header::decode(&before.header.0).unwrap();
    assert!(header.height > last);
    let new = Operators::new();
    let next = followed(&new, &committee, &before, &did);
    // And the other way round: nothing that the old one certified is taken for new.
    let of_new = LightClient::new(next.net.genesis.clone());
    assert_eq!(
        of_new.checkpoint(&before).unwrap_err().code(),
        "light.certificate"
    );
    // Operations go on; what was enrolled already stays enrolled.
    let load = next.load_from(1 << 20);
    next.reaches(0, next.height(0) + 20);
    next.agrees(&[0, 1, 2, 3], &load.stop());
}

/// The last two of four are gone for good, with their disks, and the others are stopped. Answers what
/// was certified last.
pub fn loses_its_quorum(committee: &mut Committee) -> Checkpoint {
    for who in [2, 3] {
        committee.members[who].stop("-KILL");
        std::fs::remove_dir_all(&committee.members[who].dir).unwrap();
    }
    committee.stands_still(0);
    let newest = committee.checkpoint(0);
    for who in [0, 1] {
        committee.members[who].stop("-TERM");
    }
    newest
}

/// Another network goes on from what the first two of `committee` have, whose governance approves it,
/// and runs: what was anchored before is proved under the new key. `before` is certified by the last
/// term of the old one.
pub fn followed(
    new: &Operators,
    committee: &Committee,
    before: &Checkpoint,
    did: &TestDid,
) -> Committee {
    let term = claimed_epoch(&before.certificate.0).unwrap();
    // The survivors export what was certified; the further one counts.
    let exported = [0, 1].map(|who| {
        let dir = new.shared(NAMES[who]);
        std::fs::create_dir(&dir).unwrap();
        let config = committee.members[who].dir.join("node.toml");
        new.step(
            NAMES[who],
            &["export", "--config", config.to_str().unwrap()],
        )
    });
    let height = |who: usize| exported[who]["height"].as_u64().unwrap();
    let further = usize::from(height(1) > height(0));
    for file in ["predecessor.cbor", "state.cbor"] {
        std::fs::remove_file(new.shared(NAMES[1 - further]).join(file)).unwrap();
    }
    assert!(exported[further]["records"].as_u64().unwrap() > 20);
    assert_eq!(exported[further]["term"], term);
    for who in 0..4 {
        new.key(who);
    }
    new.exchange();
    let plan = new.step("cho", &["plan", "--succeed"]);
    let old_digest = committee.net.genesis.digest().to_string();
    assert_eq!(plan["predecessor"]["genesis"], old_digest);
    assert_eq!(
        plan["predecessor"]["stateRoot"],
        exported[further]["stateRoot"]
    );
    new.exchange();

    // Whoever has it without the hand-overs to the last term says so, though another planned it.
    if term > 0 {
        let file = new.shared("dee").join("predecessor.cbor");
        let good = std::fs::read(&file).unwrap();
        let without = Left::file(&committee.net.genesis, vec![], before);
        std::fs::write(&file, without).unwrap();
        let digest = plan["digest"].as_str().unwrap();
        let deal = ["deal", "--plan", digest];
        new.refused("dee", &deal, "light.term_unknown");
        std::fs::write(&file, good).unwrap();
    }

    // Nobody deals before governance has approved: two of its three keys.
    let digest = plan["digest"].as_str().unwrap();
    let deal = ["deal", "--plan", digest];
    new.refused("ann", &deal, "succession.unapproved");
    let governor = |n: usize| {
        let file = new.dir("dee").join(format!("governor-{n}.key"));
        let seed = hex::encode(committee.net.governors[n].seed());
        std::fs::write(&file, seed).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let stranger = new.dir("dee").join("stranger.key");
    std::fs::write(&stranger, "11".repeat(32)).unwrap();
    let stranger = stranger.to_str().unwrap();
    new.refused(
        "dee",
        &["approve", "--plan", digest, "--key", stranger],
        "succession.not_governance",
    );
    new.step("dee", &["approve", "--plan", digest, "--key", &governor(0)]);
    new.exchange();
    new.refused("ann", &deal, "succession.unapproved");
    new.step("dee", &["approve", "--plan", digest, "--key", &governor(2)]);
    new.exchange();
    for name in NAMES {
        new.step(name, &deal);
    }
    new.exchange();
    for name in NAMES {
        new.step(name, &["answer"]);
    }
    new.exchange();
    for name in NAMES {
        new.step(name, &["close"]);
    }
    new.exchange();
    for who in 0..4 {
        let finished = new.finish(who, &[]);
        assert_eq!(finished["predecessor"], old_digest);
        assert_eq!(names(&finished["approved"]).len(), 2);
    }
    new.exchange();
    assert_eq!(new.step("bob", &["verify"])["agreed"], true);

    // It runs, and what was anchored before is proved under the new key.
    let next = new.runs();
    let genesis = next.net.genesis.clone();
    let proved = did_key(genesis.hash_function(), &did.id());
    next.proves(0, &proved);
    let checkpoint = next.checkpoint(0);
    let of_new = LightClient::new(genesis.clone());
    of_new.checkpoint(&checkpoint).unwrap();
    let url = format!("http://{}", next.members[0].http);
    let resolve = |trust: &str| {
        Command::new(PROGRAM)
            .args(["--json", "resolve", &did.did().to_string(), "--node", &url])
            .args(["--trust", trust])
            .current_dir(next.folder())
            .output()
            .unwrap()
    };
    let resolved = resolve(&genesis.digest().to_string());
    let said = String::from_utf8_lossy(&resolved.stderr);
    assert!(resolved.status.success(), "{said}");
    let resolved: Value = serde_json::from_slice(&resolved.stdout).unwrap();
    assert_eq!(resolved["didDocument"]["id"], did.did().to_string());

    // Who still has the old genesis refuses by name what the new network certifies.
    let of_old = LightClient::new(committee.net.genesis.clone());
    assert_eq!(
        of_old.checkpoint(&checkpoint).unwrap_err().code(),
        "light.certificate"
    );
    next
}
