//! Four validators as processes of their own, a client that hands in operations all the while, and
//! what must hold after whatever was done to them.

use crate::apart::{self, Apart};
use crate::nation::{PROGRAM, send};
use realdid_core::answer::StateAnswer;
use realdid_core::codec;
use realdid_core::genesis::{MAX_EPOCH_S, NetworkKey, PeerKey};
use realdid_core::hash::Hash32;
use realdid_core::header::{Checkpoint, Header, Sealed};
use realdid_core::operation::{Body, Enrol, Operation, SignedOperation};
use realdid_core::trie::Key;
use realdid_light::{Freshness, LightClient};
use realdid_node::config::{NodeConfig, Peer, ValidatorKeys, example_config};
use realdid_node::engine::{Dealt, deal};
use realdid_testkit::ledger::{TestNet, seed};
use realdid_testkit::ports::free_address;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How many validators: the fewest of which one may fail.
pub const FOUR: usize = 4;
/// How long anything may take that is waited for.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// How long a client waits for a receipt until it hands an operation in elsewhere.
const RESEND: Duration = Duration::from_secs(4);
/// Between two looks at what is waited for.
const LOOK: Duration = Duration::from_millis(50);

/// A committee, in a temporary folder. Dropping it ends its processes.
pub struct Committee {
    pub net: TestNet,
    pub members: Vec<Member>,
    folder: tempfile::TempDir,
    /// Those who are cut off now, where the machine allows no namespaces.
    frozen: Vec<usize>,
}

/// A validator: its folder, and its process while it is up.
pub struct Member {
    pub dir: PathBuf,
    pub http: SocketAddr,
    /// The machine of its own that it runs on.
    apart: Option<Apart>,
    process: Option<Child>,
}

impl Member {
    /// One whose folder was made elsewhere.
    pub fn of(dir: PathBuf, http: SocketAddr) -> Self {
        Self {
            dir,
            http,
            apart: None,
            process: None,
        }
    }

    pub fn start(&mut self) {
        assert!(self.process.is_none());
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.join("node.log"))
            .unwrap();
        let mut command = match &self.apart {
            Some(apart) => apart.within("sh"),
            None => Command::new("sh"),
        };
        let process = command
            // A limit on the size of files stands for a full disk, which sends no signal.
            .args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"])
            .args([PROGRAM, "node", "--config"])
            .arg(self.dir.join("node.toml"))
            // Ends with its standard input, so that none outlives the test.
            .env("REALDID_NODE_SUPERVISED", "true")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.process = Some(process);
    }

    /// Sends a signal and waits for the end of the process.
    pub fn stop(&mut self, signal: &str) {
        let mut process = self.process.take().unwrap();
        send(signal, process.id());
        let ended = until("the process ends", || process.try_wait().unwrap());
        if signal == "-TERM" {
            assert!(ended.success(), "{ended}: {}", self.log());
        }
    }

    /// Its process, while it is up.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    /// Whether its process goes on: it may have ended by itself.
    pub fn is_up(&mut self) -> bool {
        let process = self.process.as_mut();
        if process.is_some_and(|process| process.try_wait().unwrap().is_some()) {
            self.process = None;
        }
        self.process.is_some()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("node.log")).unwrap_or_default()
    }

    /// The node's answer, if it answers with success.
    pub fn get(&self, path: &str) -> Option<Vec<u8>> {
        answered(reqwest::Method::GET, self.http, path, Vec::new()).ok()
    }

    pub fn height(&self) -> Option<u64> {
        let status: Value = serde_json::from_slice(&self.get("/v1/status")?).ok()?;
        status["height"].as_u64()
    }

    /// The newest root that this node can prove, with its slot and height.
    pub fn sealed(&self) -> Option<Sealed> {
        let checkpoint: Checkpoint = codec::decode(&self.get("/v1/checkpoint")?, 4096).ok()?;
        Some(Header::decode(&checkpoint.header.0).ok()?.sealed)
    }

    /// At which height an operation was accepted, if it was.
    pub fn accepted(&self, id: &Hash32) -> Option<u64> {
        let receipt = self.get(&format!("/v1/operations/{id}"))?;
        let receipt: Value = serde_json::from_slice(&receipt).ok()?;
        assert_ne!(receipt["status"], "refused", "{receipt}");
        receipt["height"].as_u64()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ended = process.kill();
            let _reaped = process.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(12).collect();
            eprintln!("--- {}", self.dir.display());
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// Where a validator listens for clients and for other validators.
struct Place {
    http: SocketAddr,
    p2p: SocketAddr,
    apart: Option<Apart>,
}

impl Committee {
    /// Four on loopback, up and with a first checkpoint.
    pub fn start() -> Self {
        Self::on_loopback("dev", FOUR)
    }

    /// A network of a name, of as many on loopback.
    pub fn on_loopback(name: &str, count: usize) -> Self {
        let places = (0..count).map(|_| Place {
            http: free_address(),
            p2p: free_address(),
            apart: None,
        });
        Self::at(name, places)
    }

    /// Four with a network namespace for each, within the one that [`apart::played`] gave us.
    pub fn start_apart() -> Self {
        apart::bridges();
        let places = (0..FOUR).map(|who| {
            let apart = Apart::new(who);
            Place {
                http: apart.http,
                p2p: apart.p2p,
                apart: Some(apart),
            }
        });
        Self::at("dev", places)
    }

    fn at(name: &str, places: impl Iterator<Item = Place>) -> Self {
        let mut places: Vec<Place> = places.collect();
        let dealt = deal(places.len() as u32, &seed(random())).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let net = TestNet::with(|genesis| {
            genesis.network = name.parse().unwrap();
            genesis.time_ms = now.as_millis() as u64;
            genesis.network_key = NetworkKey(dealt.network_key.clone().try_into().unwrap());
            let keys = dealt.validators.iter().map(|v| PeerKey(v.public_key));
            genesis.validators = keys.collect();
            // Longer than a test, so that an enrolment does not lapse while it waits.
            genesis.parameters.epoch_s = MAX_EPOCH_S;
            genesis.issuers[0].enrolment_quota = u64::MAX;
        });
        let folder = tempfile::tempdir().unwrap();
        let mut members: Vec<Member> = (0..places.len())
            .map(|who| member(folder.path(), &net, &dealt, &places, who))
            .collect();
        for (member, place) in members.iter_mut().zip(&mut places) {
            member.apart = place.apart.take();
        }
        Self::of(net, members, folder)
    }

    /// Validators whose folders were made elsewhere, up and with a first checkpoint.
    pub fn of(net: TestNet, members: Vec<Member>, folder: tempfile::TempDir) -> Self {
        let mut committee = Self {
            net,
            members,
            folder,
            frozen: Vec::new(),
        };
        for member in &mut committee.members {
            member.start();
        }
        for who in 0..committee.members.len() {
            until("a validator is ready", || {
                assert!(committee.members[who].is_up(), "it ended");
                committee.members[who].get("/readyz")
            });
        }
        committee
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Cuts these off from the others. Clients reach all of them as before.
    ///
    /// Without namespaces their processes are frozen instead: as silent, but to clients too.
    pub fn divide(&mut self, far: &[usize]) {
        for who in far {
            match &self.members[*who].apart {
                Some(apart) => apart.move_to(apart::FAR),
                None => {
                    send("-STOP", self.members[*who].pid());
                    self.frozen.push(*who);
                }
            }
        }
    }

    /// Joins all of them again.
    pub fn join(&mut self) {
        let apart = self.members.iter().filter_map(|m| m.apart.as_ref());
        apart.for_each(|apart| apart.move_to(apart::NEAR));
        for who in std::mem::take(&mut self.frozen) {
            send("-CONT", self.members[who].pid());
        }
    }

    /// Waits until `who` holds no connection to `other` any more. Without namespaces nobody can
    /// tell whose connection is whose.
    pub fn gives_up(&self, who: usize, other: usize) {
        let members = (&self.members[who].apart, &self.members[other].apart);
        if let (Some(apart), Some(other)) = members {
            until("a silent connection is given up", || {
                (!apart.is_connected_to(other.p2p.ip())).then_some(())
            });
        }
    }

    /// Waits until nothing becomes final any more, and answers the height of that.
    pub fn stands_still(&self, who: usize) -> u64 {
        until("too few stand still", || {
            let before = self.height(who);
            // Several times as long as a view lasts.
            std::thread::sleep(Duration::from_secs(4));
            (self.height(who) == before).then_some(before)
        })
    }

    /// Waits until a validator says that it can be relied on.
    #[track_caller]
    pub fn ready(&self, who: usize) {
        until("a validator is ready", || self.members[who].get("/readyz"));
    }

    /// The height of one that is up.
    pub fn height(&self, who: usize) -> u64 {
        until("a validator answers", || self.members[who].height())
    }

    /// Waits until a validator has come so far.
    #[track_caller]
    pub fn reaches(&self, who: usize, height: u64) {
        until("the network goes on", || {
            (self.members[who].height()? >= height).then_some(())
        });
    }

    /// Hands in one operation, and waits until it is accepted.
    pub fn hand_in(&self, who: usize, signed: &SignedOperation) {
        let to = self.members[who].http;
        let path = "/v1/operations";
        answered(reqwest::Method::POST, to, path, signed.encode()).unwrap();
        until("a receipt", || self.members[who].accepted(&signed.id()));
    }

    /// The newest certified header of a validator.
    pub fn checkpoint(&self, who: usize) -> Checkpoint {
        let bytes = until("a checkpoint", || self.members[who].get("/v1/checkpoint"));
        codec::decode(&bytes, 4096).unwrap()
    }

    /// Waits until a validator proves that there is a record under a key.
    pub fn proves(&self, who: usize, key: &Key) {
        let light = LightClient::new(self.net.genesis.clone());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let freshness = Freshness {
            now_ms: now.as_millis() as u64 + 60_000,
            max_age_ms: 600_000,
            max_lag_slots: 100,
        };
        until("a record is proved", || {
            let answer = self.members[who].get(&format!("/v1/state/{}", hex::encode(key)))?;
            let answer = StateAnswer::decode(&answer).unwrap();
            light.value(key, &answer, &freshness).unwrap().value
        });
    }

    /// Hands in enrolments from now on, in turn at each validator, until the load is stopped.
    pub fn load(&self) -> Load {
        self.load_from(0)
    }

    /// The same from the `first`th person on, where those before are enrolled already.
    pub fn load_from(&self, first: u64) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let mut client = Client {
            net: self.net.clone(),
            addresses: self.members.iter().map(|member| member.http).collect(),
            handed: Vec::new(),
            first,
            next: 0,
        };
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                client.hand_in();
                client.follow();
                std::thread::sleep(Duration::from_millis(40));
            }
            let until = Instant::now() + PATIENCE;
            while client.waiting() > 0 {
                assert!(Instant::now() < until, "{} wait for ever", client.waiting());
                client.follow();
                std::thread::sleep(Duration::from_millis(40));
            }
            let accepted = client.handed.iter();
            accepted
                .filter_map(|handed| Some((handed.signed.id(), handed.height?)))
                .collect()
        });
        Load {
            stop,
            thread: Some(thread),
        }
    }

    /// What must hold after whatever happened: every one of `up` has every acknowledged operation
    /// at the height that was acknowledged, and they all prove one root.
    #[track_caller]
    pub fn agrees(&self, up: &[usize], acknowledged: &BTreeMap<Hash32, u64>) {
        let last = acknowledged.values().max().copied().unwrap_or(0);
        for who in up {
            self.reaches(*who, last + 1);
            for (id, height) in acknowledged {
                let found = until("a receipt", || self.members[*who].accepted(id));
                assert_eq!(found, *height, "{who} has {id} elsewhere");
            }
        }
        let root = until("one root for all", || {
            let roots: Option<Vec<Sealed>> =
                up.iter().map(|who| self.members[*who].sealed()).collect();
            let roots = roots?;
            let same = roots.windows(2).all(|pair| pair[0] == pair[1]);
            (same && roots[0].height > last).then(|| roots[0])
        });
        // The same block, to the byte, where the newest common root was made.
        let block = |who: &usize| self.members[*who].get(&format!("/v1/blocks/{}", root.height));
        let first = block(&up[0]);
        assert!(first.is_some() && up.iter().all(|who| block(who) == first));
    }
}

/// Makes the folder of one validator.
fn member(folder: &Path, net: &TestNet, dealt: &Dealt, places: &[Place], who: usize) -> Member {
    let dir = folder.join(format!("node-{who}"));
    std::fs::create_dir(&dir).unwrap();
    let peers = net.genesis.validators.iter().zip(places);
    let config = NodeConfig {
        recognised: Vec::new(),
        key_days: None,
        dir: ".".into(),
        genesis: "genesis.cbor".into(),
        listen: places[who].http,
        public_url: None,
        tls: None,
        p2p_listen: places[who].p2p,
        // Each on a machine of its own: the addresses are private.
        private_network: places[who].apart.is_some(),
        peers: peers
            .map(|(key, place)| Peer {
                public_key: key.to_string(),
                address: place.p2p,
            })
            .collect(),
        supervised: false,
    };
    ValidatorKeys::dealt(&dealt.validators[who], &dealt.polynomial)
        .write(&dir.join("validator.json"))
        .unwrap();
    std::fs::write(dir.join("genesis.cbor"), net.genesis.encode()).unwrap();
    std::fs::write(dir.join("node.toml"), example_config(&config)).unwrap();
    Member {
        dir,
        http: places[who].http,
        apart: None,
        process: None,
    }
}

/// A second process with the keys of `member`, on what `dir` holds, at addresses of its own.
pub fn double(member: &Member, dir: PathBuf) -> Member {
    let http = free_address();
    let config = std::fs::read_to_string(dir.join("node.toml")).unwrap();
    let p2p = config
        .lines()
        .find(|line| line.starts_with("p2p_listen"))
        .unwrap();
    let config = config
        .replacen(
            &format!("listen = \"{}\"", member.http),
            &format!("listen = \"{http}\""),
            1,
        )
        .replacen(p2p, &format!("p2p_listen = \"{}\"", free_address()), 1);
    std::fs::write(dir.join("node.toml"), config).unwrap();
    Member {
        dir,
        http,
        apart: None,
        process: None,
    }
}

/// A client that goes on handing in operations.
pub struct Load {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<BTreeMap<Hash32, u64>>>,
}

impl Load {
    /// Stops, waits until everything that was handed in is final, and answers at which heights.
    pub fn stop(mut self) -> BTreeMap<Hash32, u64> {
        self.stop.store(true, Ordering::SeqCst);
        let acknowledged = self.thread.take().unwrap().join().unwrap();
        assert!(acknowledged.len() > 20, "{}", acknowledged.len());
        acknowledged
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

struct Client {
    net: TestNet,
    addresses: Vec<SocketAddr>,
    handed: Vec<Handed>,
    first: u64,
    next: usize,
}

struct Handed {
    signed: SignedOperation,
    /// The one that took it last.
    at: usize,
    since: Instant,
    /// Acknowledged as final at this height.
    height: Option<u64>,
}

impl Client {
    fn waiting(&self) -> usize {
        self.handed
            .iter()
            .filter(|handed| handed.height.is_none())
            .count()
    }

    fn hand_in(&mut self) {
        let n = self.first + self.handed.len() as u64;
        let enrol = Enrol {
            issuer: self.net.authority.id,
            tag: Hash32(seed(1 << 32 | n)),
            seq: 0,
            commitment: Hash32(seed(99)),
            epoch: self.net.epoch(),
        };
        let operation = Operation::new(self.net.network().clone(), 5_000, Body::Enrol(enrol));
        let signed = operation.sign(&[&self.net.authority.operation]);
        if let Some(at) = self.send(&signed) {
            self.handed.push(Handed {
                signed,
                at,
                since: Instant::now(),
                height: None,
            });
        }
    }

    /// To the next validator that takes it.
    fn send(&mut self, signed: &SignedOperation) -> Option<usize> {
        (0..self.addresses.len()).find_map(|_| {
            self.next = (self.next + 1) % self.addresses.len();
            let to = self.addresses[self.next];
            let path = "/v1/operations";
            match answered(reqwest::Method::POST, to, path, signed.encode()) {
                Ok(_) => Some(self.next),
                // Final there already: its receipt says so.
                Err(Some(422)) => Some(self.next),
                Err(_) => None,
            }
        })
    }

    /// Asks for receipts, and hands in again elsewhere what has none for long.
    fn follow(&mut self) {
        for n in 0..self.handed.len() {
            if self.handed[n].height.is_some() {
                continue;
            }
            let handed = &self.handed[n];
            let path = format!("/v1/operations/{}", handed.signed.id());
            let receipt = answered(
                reqwest::Method::GET,
                self.addresses[handed.at],
                &path,
                Vec::new(),
            );
            let receipt = receipt
                .ok()
                .and_then(|body| serde_json::from_slice::<Value>(&body).ok());
            let receipt = receipt.unwrap_or_default();
            assert_ne!(receipt["status"], "refused", "{receipt}");
            if let Some(height) = receipt["height"].as_u64() {
                self.handed[n].height = Some(height);
            } else if handed.since.elapsed() > RESEND {
                let signed = handed.signed.clone();
                if let Some(at) = self.send(&signed) {
                    (self.handed[n].at, self.handed[n].since) = (at, Instant::now());
                }
            }
        }
    }
}

/// Tries again until `done`, for as long as anything may take.
#[track_caller]
pub fn until<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = done() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(LOOK);
    }
}

/// One request. What is not a success is an error, with the status where there was one.
fn answered(
    method: reqwest::Method,
    to: SocketAddr,
    path: &str,
    body: Vec<u8>,
) -> Result<Vec<u8>, Option<u16>> {
    thread_local! {
        static HTTP: (tokio::runtime::Runtime, reqwest::Client) = (
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
            reqwest::Client::builder().timeout(Duration::from_secs(2)).build().unwrap(),
        );
    }
    HTTP.with(|(runtime, client)| {
        runtime.block_on(async {
            let request = client
                .request(method, format!("http://{to}{path}"))
                .body(body);
            let answer = request.send().await.map_err(|_| None)?;
            if !answer.status().is_success() {
                return Err(Some(answer.status().as_u16()));
            }
            answer
                .bytes()
                .await
                .map(|bytes| bytes.to_vec())
                .map_err(|_| None)
        })
    })
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes)
}
