//! One validator of four is replaced under the same key, and then the key is handed on: by the command
//! line, from what ceremonies have made, while a client goes on. Whoever has the old genesis alone is
//! told nothing and follows.

use crate::ceremony::{Operators, followed, loses_its_quorum};
use crate::committee::{Committee, Member, until};
use crate::contract::keeps_its_keys;
use crate::nation::PROGRAM;
use crate::refusals::post;
use realdid_ceremony::{Board, Made, Operator, Round, deal};
use realdid_core::answer::decode_hand_overs;
use realdid_core::certificate::claimed_epoch;
use realdid_core::codec;
use realdid_core::genesis::{Genesis, MAX_EPOCH_S, PeerKey};
use realdid_core::governance::{Accepted, Assurance, CredentialType, Recognised};
use realdid_core::hash::Hash32;
use realdid_core::header::Checkpoint;
use realdid_core::operation::{Body, Decision, Operation};
use realdid_core::state::ReasonCode;
use realdid_light::TrustedTerm;
use realdid_node::config::{NodeConfig, Peer, example_config, write_identity};
use realdid_node::engine::TermKeys;
use realdid_node::shares::ShareFolder;
use realdid_relay::{End, RelayConfig};
use realdid_testkit::ledger::{TestDid, TestNet, key, seed};
use realdid_testkit::ports::free_address;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use zeroize::Zeroizing;

type Shares = BTreeMap<PeerKey, Zeroizing<Vec<u8>>>;

/// What a round by the command line has made.
struct Key {
    polynomial: Vec<u8>,
    /// The network key, in hex.
    public: String,
    shares: Shares,
}

fn operators() -> Vec<Operator> {
    (1..=5)
        .map(|n| Operator::from_seed(seed(7000 + n)).unwrap())
        .collect()
}

/// Plays a round in which everybody does what they should.
fn ceremony(
    round: Round,
    dealers: &[&Operator],
    old: &Shares,
    players: &[&Operator],
) -> (Made, Shares) {
    let mut board = Board::new(round.clone());
    let share = |dealer: &Operator| old.get(&dealer.peer()).map(|share| share.as_slice());
    for dealer in dealers {
        let dealing = deal(&round, dealer, share(dealer)).unwrap();
        board.read(dealing.bytes()).unwrap();
    }
    for player in players {
        let answer = board.answer(player).unwrap();
        board.read(answer.document.bytes()).unwrap();
    }
    for dealer in dealers {
        let closed = board.close(dealer, share(dealer), &[]).unwrap();
        board.read(closed.document.bytes()).unwrap();
    }
    let made = board.observe().made.unwrap();
    let shares = players
        .iter()
        .map(|player| (player.peer(), board.finish(player).unwrap().share));
    (made, shares.collect())
}

/// Five validators of whom four vote at first.
struct Scene {
    committee: Committee,
    validators: usize,
    home: tempfile::TempDir,
}

impl Scene {
    fn start(operators: &[Operator], first: &(Made, Shares)) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let net = TestNet::with(|genesis| {
            genesis.time_ms = now.as_millis() as u64;
            genesis.network_key = first.0.network_key;
            genesis.validators = first.1.keys().copied().collect();
            genesis.ceremony = Some(first.0.transcript);
            genesis.parameters.epoch_s = MAX_EPOCH_S;
            genesis.issuers[0].enrolment_quota = u64::MAX;
        });
        let home = tempfile::tempdir().unwrap();
        let places: Vec<_> = operators
            .iter()
            .map(|operator| (operator, free_address(), free_address()))
            .collect();
        let members = places.iter().map(|(operator, http, p2p)| {
            let dir = home.path().join(operator.peer().to_string());
            std::fs::create_dir(&dir).unwrap();
            let config = NodeConfig {
                recognised: Vec::new(),
                key_days: None,
                dir: ".".into(),
                genesis: "genesis.cbor".into(),
                listen: *http,
                public_url: None,
                tls: None,
                p2p_listen: *p2p,
                private_network: false,
                peers: places
                    .iter()
                    .map(|(operator, _, p2p)| Peer {
                        public_key: operator.peer().to_string(),
                        address: *p2p,
                    })
                    .collect(),
                supervised: false,
            };
            std::fs::write(dir.join("node.toml"), example_config(&config)).unwrap();
            std::fs::write(dir.join("genesis.cbor"), net.genesis.encode()).unwrap();
            write_identity(&dir.join("validator.json"), &operator.identity_seed()).unwrap();
            if let Some(share) = first.1.get(&operator.peer()) {
                let keys = TermKeys {
                    polynomial: first.0.polynomial.clone(),
                    share: share.to_vec(),
                };
                ShareFolder::of_node(&dir).put(0, &keys).unwrap();
            }
            Member::of(dir, *http)
        });
        let members = members.collect();
        Self {
            committee: Committee::of(net, members, tempfile::tempdir().unwrap()),
            validators: operators.len(),
            home,
        }
    }

    fn genesis(&self) -> &Genesis {
        &self.committee.net.genesis
    }

    /// Runs a command against the first node with nothing to trust but the genesis' digest.
    fn realdid(&self, words: &[&str]) -> Value {
        let output = Command::new(PROGRAM)
            .arg("--json")
            .args(words)
            .arg("--dir")
            .arg(self.home.path().join("no-nation"))
            .arg("--node")
            .arg(format!("http://{}", self.committee.members[0].http))
            .args(["--trust", &self.genesis().digest().to_string()])
            .env("HOME", self.home.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {said}");
        let printed = serde_json::from_slice(&output.stdout).unwrap();
        if words[0] == "committee" {
            keeps_its_keys(words, &printed);
        }
        printed
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.home.path().join(name);
        std::fs::write(&path, hex::encode(bytes)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Runs a step of an operator, who needs no network.
    fn step(&self, words: &[&str]) -> Value {
        let output = self.command(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {said}");
        let printed = serde_json::from_slice(&output.stdout).unwrap();
        keeps_its_keys(words, &printed);
        printed
    }

    fn refused(&self, words: &[&str]) -> String {
        let output = self.command(words);
        assert!(!output.status.success(), "{words:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        said.split(':').next().unwrap_or_default().to_owned()
    }

    fn command(&self, words: &[&str]) -> std::process::Output {
        let mut command = Command::new(PROGRAM);
        command.arg("--json").args(words);
        command.env("HOME", self.home.path()).output().unwrap()
    }

    /// A folder, as text.
    fn folder(&self, name: &str) -> String {
        let path = self.home.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn node_dir(&self, operator: &Operator) -> String {
        self.folder(&operator.peer().to_string())
    }

    /// A round by the command line: `dealers` hand the key of `previous` on to `players`, or make a
    /// fresh one with them.
    fn make(
        &self,
        name: &str,
        dealers: &[&Operator],
        players: &[&Operator],
        previous: Option<&[u8]>,
    ) -> Key {
        let dir = self.folder(name);
        let called = |operator: &Operator| format!("op-{}", &operator.peer().to_string()[..8]);
        let own = |operator: &Operator| self.folder(&format!("{}-own", called(operator)));
        for operator in dealers.iter().chain(players) {
            let (own, called) = (own(operator), called(operator));
            let secret = format!("{}/operator.json", own);
            let place = operators().iter().position(|n| n.peer() == operator.peer());
            let seed = hex::encode(seed(7001 + place.unwrap() as u64));
            std::fs::write(secret, format!("{{\"seed\": \"{seed}\"}}")).unwrap();
            let mut words = vec!["genesis", "key", "--dir", &dir, "--operator", &own];
            words.extend([
                "--network",
                "dev",
                "--name",
                &called,
                "--p2p",
                "127.0.0.1:9",
            ]);
            self.step(&words);
        }
        let names: Vec<String> = players.iter().map(|player| called(player)).collect();
        let mut words = vec!["committee", "plan", "--round-dir", &dir];
        names
            .iter()
            .for_each(|name| words.extend(["--player", name]));
        let file = self.home.path().join("previous.bin");
        if let Some(previous) = previous {
            std::fs::write(&file, previous).unwrap();
            words.extend(["--previous", file.to_str().unwrap()]);
        }
        let planned = self.realdid(&words);
        let digest = planned["digest"].as_str().unwrap();
        let step = |what: &str, operator: &Operator, more: &[&str]| {
            let own = own(operator);
            let words = ["committee", what, "--round-dir", &dir, "--operator", &own];
            [words.as_slice(), more]
                .concat()
                .iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<String>>()
        };
        let run = |what: &str, operator: &Operator, more: &[&str]| {
            let words = step(what, operator, more);
            self.step(&words.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let refused = |what: &str, operator: &Operator, more: &[&str]| {
            let words = step(what, operator, more);
            self.refused(&words.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let unapproved = refused("deal", dealers[0], &[]);
        assert_eq!(unapproved, "ceremony.plan_unapproved");
        let other = refused("deal", dealers[0], &["--round", &"00".repeat(32)]);
        assert_eq!(other, "ceremony.plan_differs");
        if previous.is_some() {
            let no_share = refused("deal", dealers[0], &["--round", digest]);
            assert_eq!(no_share, "ceremony.no_share");
        }
        for dealer in dealers {
            let node = self.node_dir(dealer);
            run("deal", dealer, &["--round", digest, "--node-dir", &node]);
        }
        for player in players {
            let answered = run("answer", player, &["--round", digest]);
            assert_eq!(answered["refused"], serde_json::json!([]));
        }
        for dealer in dealers {
            let node = self.node_dir(dealer);
            run("close", dealer, &["--node-dir", &node]);
        }
        let finished: Vec<Value> = players
            .iter()
            .map(|player| run("finish", player, &[]))
            .collect();
        assert_eq!(finished[players.len() - 1]["agreed"], true);
        let unhex = |file: &Value| {
            let text = std::fs::read_to_string(file.as_str().unwrap()).unwrap();
            hex::decode(text).unwrap()
        };
        let shares = players
            .iter()
            .zip(&finished)
            .map(|(player, finished)| (player.peer(), Zeroizing::new(unhex(&finished["share"]))));
        Key {
            polynomial: unhex(&finished[0]["polynomial"]),
            public: finished[0]["networkKey"].as_str().unwrap().to_owned(),
            shares: shares.collect(),
        }
    }

    /// Decides the next term and brings everybody their share.
    fn succeed(&self, key: &Key, reason: &str) {
        let (shares, polynomial) = (&key.shares, self.file("polynomial", &key.polynomial));
        let governors = [10, 11].map(|n| self.file(&format!("governor-{n}"), &seed(n)));
        let mut words = vec!["committee", "propose", "--polynomial", &polynomial];
        words.extend(["--in-blocks", "130", "--reason", reason]);
        let keys: Vec<String> = shares.keys().map(PeerKey::to_string).collect();
        keys.iter()
            .for_each(|key| words.extend(["--validator", key]));
        governors
            .iter()
            .for_each(|file| words.extend(["--governance-key", file]));
        let decided = self.realdid(&words);
        // The decision has to be sealed before its shares can be held against it.
        until("the decision is sealed", || {
            let shown = self.realdid(&["committee", "show"]);
            (shown["next"]["first"] == decided["term"]["first"]).then_some(())
        });
        for (peer, share) in shares {
            let dir = self.home.path().join(peer.to_string());
            let share = self.file("share", share);
            self.realdid(&[
                "committee",
                "import",
                "--node-dir",
                dir.to_str().unwrap(),
                "--polynomial",
                &polynomial,
                "--share",
                &share,
            ]);
        }
    }

    fn status(&self, who: usize) -> Value {
        until("a node says its status", || {
            serde_json::from_slice(&self.committee.members[who].get("/v1/status")?).ok()
        })
    }

    /// Waits until a term runs everywhere, and looks at what is left of those before it.
    fn begun(&self, term: u64, voting: &[usize]) {
        for who in 0..self.validators {
            until("the term begins", || {
                (self.status(who)["term"] == term).then_some(())
            });
            let part = if voting.contains(&who) {
                "votes"
            } else {
                "follows"
            };
            assert_eq!(self.status(who)["part"], part, "{who}");
            let dir = &self.committee.members[who].dir;
            let kept: Vec<u64> = voting.contains(&who).then_some(term).into_iter().collect();
            until("old shares are gone", || {
                (shares_in(dir) == kept).then_some(())
            });
        }
        until("a checkpoint is of the term", || {
            let bytes = self.committee.members[0].get("/v1/checkpoint")?;
            let checkpoint: Checkpoint = codec::decode(&bytes, 4096).ok()?;
            (claimed_epoch(&checkpoint.certificate.0) == Ok(term)).then_some(())
        });
    }
}

fn shares_in(dir: &Path) -> Vec<u64> {
    ShareFolder::of_node(dir).terms().unwrap()
}

#[test]
fn p10_a_validator_is_replaced_and_the_key_handed_on_and_the_old_genesis_is_enough() {
    let mut operators = operators();
    operators.sort_by_key(Operator::peer);
    let four: Vec<&Operator> = operators.iter().take(4).collect();
    let players = |of: &[&Operator]| of.iter().map(|operator| operator.player()).collect();
    let network = "dev".parse().unwrap();
    let round = Round::genesis(network, Hash32([1; 32]), players(&four)).unwrap();
    let first = ceremony(round, &four, &Shares::new(), &four);

    let scene = Scene::start(&operators, &first);
    assert_eq!(scene.status(4)["part"], "follows");
    let did = TestDid::new(scene.committee.net.network(), 1);
    let anchor = scene.committee.net.anchor(&did);
    scene.committee.hand_in(0, &anchor);
    let load = scene.committee.load();

    // The first validator goes, the fifth comes.
    let new: Vec<&Operator> = operators.iter().skip(1).collect();
    let key = first.0.network_key.to_string();
    let second = scene.make("handed-on", &four, &new, Some(&first.0.output));
    assert_eq!(second.public, key);
    scene.succeed(&second, "scheduled");
    scene.begun(1, &[1, 2, 3, 4]);

    // The same four make a key that nobody had a share of.
    let third = scene.make("fresh", &new, &new, None);
    assert_ne!(third.public, key);
    scene.succeed(&third, "key-compromise");
    scene.begun(2, &[1, 2, 3, 4]);

    let resolved = scene.realdid(&["resolve", &did.did().to_string()]);
    assert_eq!(resolved["didDocument"]["id"], did.did().to_string());
    // The terms that were followed are kept for the next command.
    let kept = scene.home.path().join(".local/share/realdid/trust");
    let kept = std::fs::read(kept.join(format!("{}.terms", scene.genesis().digest()))).unwrap();
    let kept: Vec<TrustedTerm> = codec::decode(&kept, 4096).unwrap();
    assert_eq!(kept.last().map(|term| term.number), Some(2));
    let acknowledged = load.stop();
    scene.committee.agrees(&[0, 1, 2, 3, 4], &acknowledged);
}

/// Its genesis' key certifies nothing more when a quorum is lost: what it leaves is proved by the
/// hand-over, and whoever goes on from it has that checked by everybody.
#[test]
fn a_network_that_was_handed_on_to_a_fresh_key_is_followed_after_its_quorum_is_lost() {
    let mut operators = operators();
    operators.truncate(4);
    operators.sort_by_key(Operator::peer);
    let four: Vec<&Operator> = operators.iter().collect();
    let players = four.iter().map(|operator| operator.player()).collect();
    let network = "dev".parse().unwrap();
    let round = Round::genesis(network, Hash32([1; 32]), players).unwrap();
    let first = ceremony(round, &four, &Shares::new(), &four);

    let mut scene = Scene::start(&operators, &first);
    let did = TestDid::new(scene.committee.net.network(), 1);
    let anchor = scene.committee.net.anchor(&did);
    scene.committee.hand_in(0, &anchor);
    let load = scene.committee.load();
    let fresh = scene.make("fresh", &four, &four, None);
    assert_ne!(fresh.public, first.0.network_key.to_string());
    scene.succeed(&fresh, "scheduled");
    scene.begun(1, &[0, 1, 2, 3]);
    let acknowledged = load.stop();
    scene.committee.agrees(&[0, 1, 2, 3], &acknowledged);

    let before = loses_its_quorum(&mut scene.committee);
    assert_eq!(claimed_epoch(&before.certificate.0), Ok(1));
    let new = Operators::new();
    let next = followed(&new, &scene.committee, &before, &did);
    let load = next.load_from(1 << 20);
    next.reaches(0, next.height(0) + 20);
    next.agrees(&[0, 1, 2, 3], &load.stop());
}

/// A relay's process.
struct Relay(std::process::Child);

impl Relay {
    /// From the first node of one network to that of another.
    fn start(dir: &Path, from: &Committee, to: &Committee) -> Self {
        let end = |name: &str, committee: &Committee| {
            let genesis = dir.join(name);
            std::fs::write(&genesis, committee.net.genesis.encode()).unwrap();
            End {
                genesis,
                nodes: vec![url(committee)],
            }
        };
        let config = RelayConfig {
            dir: dir.join("relay"),
            listen: free_address(),
            public_url: None,
            tls: None,
            supervised: true,
            from: end("from.cbor", from),
            to: end("to.cbor", to),
        };
        let file = dir.join("relay.toml");
        std::fs::write(&file, realdid_relay::render(&config)).unwrap();
        let process = Command::new(PROGRAM)
            .args(["relay", "--config"])
            .arg(file)
            // Ends with its standard input, so that it does not outlive the test.
            .env("REALDID_RELAY_SUPERVISED", "true")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn();
        Self(process.unwrap())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn url(committee: &Committee) -> String {
    format!("http://{}", committee.members[0].http)
}

/// What the ledger of `home` says of the network `dev`, with the proof checked by the command line.
fn recognised(home: &Committee) -> Option<Value> {
    let words = ["network", "show", "dev"];
    let output = Command::new(PROGRAM)
        .arg("--json")
        .args(words)
        .arg("--dir")
        .arg(home.folder().join("no-nation"))
        .args(["--node", &url(home)])
        .args(["--trust", &home.net.genesis.digest().to_string()])
        .env("HOME", home.folder())
        .output()
        .unwrap();
    let printed: Value = serde_json::from_slice(&output.stdout).ok()?;
    keeps_its_keys(&words, &printed);
    Some(printed["recognised"][0].clone())
}

/// Governance has recognised the genesis, and decides nothing when the other network's key is another: a
/// relay, which nobody trusts, brings what its validators have signed.
#[test]
fn a_ledger_follows_a_recognised_network_to_a_fresh_key() {
    let mut operators = operators();
    operators.truncate(4);
    operators.sort_by_key(Operator::peer);
    let four: Vec<&Operator> = operators.iter().collect();
    let players = four.iter().map(|operator| operator.player()).collect();
    let round = Round::genesis("dev".parse().unwrap(), Hash32([1; 32]), players).unwrap();
    let first = ceremony(round, &four, &Shares::new(), &four);
    let scene = Scene::start(&operators, &first);

    let home = Committee::on_loopback("cn", 1);
    let other = scene.genesis();
    let recognised_as = Recognised {
        network: other.network.clone(),
        genesis: other.digest(),
        network_key: other.network_key,
        accepts: vec![Accepted {
            kind: CredentialType::RealPass,
            least: Assurance::High,
        }],
        begins: None,
    };
    let decide = Decision::Recognise(recognised_as);
    let by: Vec<_> = home.net.governors.iter().take(2).collect();
    let decide = Body::Govern(1, decide, ReasonCode::Scheduled);
    home.hand_in(0, &home.net.sign(decide, &by));
    let _relay = Relay::start(home.folder(), &scene.committee, &home);
    let before = until("a checkpoint is carried", || {
        recognised(&home).filter(|shown| shown["latest"].is_object())
    });
    assert_eq!(before["terms"][0]["number"], 0);
    assert_eq!(before["terms"].as_array().unwrap().len(), 1);
    assert_eq!(before["fork"], Value::Null);

    let fresh = scene.make("fresh", &four, &four, None);
    assert_ne!(fresh.public, first.0.network_key.to_string());
    scene.succeed(&fresh, "key-compromise");
    scene.begun(1, &[0, 1, 2, 3]);
    let after = until("the fresh key is followed", || {
        let shown = recognised(&home)?;
        let begun = shown["terms"][0]["first"].as_u64()?;
        let followed =
            shown["terms"][0]["number"] == 1 && shown["latest"]["height"].as_u64()? >= begun;
        followed.then_some(shown)
    });
    assert_eq!(after["terms"][0]["networkKey"], fresh.public.as_str());
    assert_eq!(after["terms"].as_array().unwrap().len(), 1);
    // Governance's own word is as it was.
    assert_eq!(after["networkKey"], before["networkKey"]);
    assert_eq!(
        (&after["standing"], &after["fork"]),
        (&before["standing"], &Value::Null)
    );

    // The same hand-over again is nothing new, whoever brings it.
    let bytes = scene.committee.members[0]
        .get("/v1/handovers?from=0")
        .unwrap();
    let hand_over = decode_hand_overs(&bytes).unwrap().remove(0);
    let network = other.network.clone();
    let expires = home.height(0) + 50;
    let again = Operation::new(
        home.net.network().clone(),
        expires,
        Body::ForeignHandOver(network, hand_over),
    );
    let again = again.sign(&[&key(4711)]);
    let (status, answered) = post(&format!("{}/v1/operations", url(&home)), again.encode());
    assert_eq!(status, 422);
    assert_eq!(answered["code"], "recognition.behind");
}
