//! One validator and four, restarts, kill -9, and the certificates that come out.
//!
//! Promises kept here: finalised blocks are delivered in order without gaps, the same on every
//! validator, again after a crash until acknowledged; every certificate verifies with the light
//! client's own code and nothing else does.

use super::*;
use commonware_codec::Encode as _;
use commonware_consensus::simplex::types::{Finalization, Finalize, Proposal};
use commonware_consensus::types::{Epoch, Round, View};
use commonware_cryptography::{Hasher as _, Sha256};
use commonware_parallel::Sequential;
use commonware_utils::non_empty;
use realdid_core::genesis::{NetworkKey, PeerKey};
use realdid_core::governance::{Committee, Term};
use realdid_light::certificate::{CertificateError, FinalityFacts, verify_finalization};
use realdid_testkit::ports::free_address;
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, Write as _},
    net::TcpListener,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

const NAMESPACE: &[u8] = b"realdid/test";
const BLOCK_BYTES: usize = 32 + 8 + 8;
const PATIENCE: Duration = Duration::from_secs(60);

type Log = Arc<Mutex<BTreeMap<u64, (Vec<u8>, Option<Vec<u8>>)>>>;

/// A chain of counters: parent digest, height, a number of the proposer.
#[derive(Clone, Default)]
struct Counters {
    /// What a durable chain would have on disk.
    log: Log,
    proposer: u64,
    /// Before each proposal.
    pace: Duration,
    /// The chain never finishes this height.
    stuck_at: Option<u64>,
    asked: Arc<AtomicU64>,
    /// Appended to and synced before a height is acknowledged.
    file: Option<PathBuf>,
    committee: Option<Arc<Committee>>,
}

fn block(parent: &[u8; 32], height: u64, number: u64) -> Vec<u8> {
    [&parent[..], &height.to_be_bytes(), &number.to_be_bytes()].concat()
}

fn digest(block: &[u8]) -> [u8; 32] {
    Sha256::hash(&[b"test block", block]).0
}

impl Counters {
    fn height(&self) -> u64 {
        self.log.lock().unwrap().keys().last().copied().unwrap_or(0)
    }

    fn wait_for(&self, height: u64) {
        let start = Instant::now();
        while self.height() < height {
            assert!(start.elapsed() < PATIENCE, "stuck at {}", self.height());
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn certificates(&self) -> Vec<([u8; 32], Vec<u8>)> {
        let log = self.log.lock().unwrap();
        log.values()
            .filter_map(|(block, certificate)| Some((digest(block), certificate.clone()?)))
            .collect()
    }
}

impl Chain for Counters {
    fn describe(block: &[u8]) -> Option<BlockInfo> {
        if block.len() != BLOCK_BYTES {
            return None;
        }
        Some(BlockInfo {
            digest: digest(block),
            parent: block[..32].try_into().ok()?,
            height: u64::from_be_bytes(block[32..40].try_into().ok()?),
        })
    }

    fn genesis(&self) -> Vec<u8> {
        block(&[0; 32], 0, 0)
    }

    async fn propose(&self, parent: &[u8], _: &[&[u8]]) -> Option<Vec<u8>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(self.pace).await;
        let parent = Self::describe(parent)?;
        Some(block(&parent.digest, parent.height + 1, self.proposer))
    }

    async fn verify(&self, _: &[u8], block: &[u8]) -> bool {
        block[40..] != u64::MAX.to_be_bytes()
    }

    fn terms(&self) -> KnownTerms {
        KnownTerms {
            executed: self.height(),
            committee: self.committee.clone().unwrap(),
        }
    }

    async fn finalised(&self, height: u64, block: Vec<u8>, certificate: Option<Vec<u8>>) {
        if self.stuck_at == Some(height) {
            std::future::pending::<()>().await;
        }
        if let Some(file) = &self.file {
            let mut file = fs::OpenOptions::new().append(true).open(file).unwrap();
            writeln!(file, "{height} {}", hex::encode(&block)).unwrap();
            file.sync_all().unwrap();
        }
        let mut log = self.log.lock().unwrap();
        if let Some((known, _)) = log.get(&height) {
            assert_eq!(known, &block, "another block was final at this height");
            return;
        }
        let below = log.keys().last().copied().unwrap_or(0);
        assert_eq!(height, below + 1, "a height was left out");
        log.insert(height, (block, certificate));
    }
}

/// The share of a term that never ends.
struct OneShare(TermKeys);

impl Shares for OneShare {
    fn of(&self, term: u64) -> Option<TermKeys> {
        (term == 0).then(|| self.0.clone())
    }

    fn erase_before(&self, term: u64) {
        assert_eq!(term, 0);
    }
}

fn counters(dealt: &Dealt) -> Counters {
    Counters {
        committee: committee(dealt),
        ..Counters::default()
    }
}

fn committee(dealt: &Dealt) -> Option<Arc<Committee>> {
    Some(Arc::new(Committee::of(Term {
        number: 0,
        first: 0,
        network_key: NetworkKey(dealt.network_key.clone().try_into().unwrap()),
        validators: dealt
            .validators
            .iter()
            .map(|validator| PeerKey(validator.public_key))
            .collect(),
        polynomial: None,
    })))
}

fn configs(validators: u32, dirs: &[PathBuf]) -> (Dealt, Vec<EngineConfig>) {
    let dealt = deal(validators, &[7; 32]).unwrap();
    let addresses: Vec<_> = dealt
        .validators
        .iter()
        .map(|validator| (validator.public_key, free_address()))
        .collect();
    let configs = dealt
        .validators
        .iter()
        .zip(dirs)
        .zip(&addresses)
        .map(|((validator, dir), (_, listen))| EngineConfig {
            dir: dir.clone(),
            namespace: NAMESPACE.to_vec(),
            listen: *listen,
            peers: addresses.clone(),
            local: true,
            identity_seed: validator.identity_seed,
            hash_function: HashFunction::Sha256,
            shares: Arc::new(OneShare(TermKeys {
                polynomial: dealt.polynomial.clone(),
                share: validator.share.clone(),
            })),
            max_block_bytes: 1 << 20,
            timeouts: Timeouts::allowing(Duration::from_millis(500)),
            threads: 2,
        })
        .collect();
    (dealt, configs)
}

fn start(config: &EngineConfig, chain: &Counters) -> EngineHandle {
    Engine::start(config.clone(), chain.clone()).unwrap()
}

#[test]
fn dealt_committees_of_one_to_ten_hold_together() {
    for size in 1..=10 {
        let dealt = deal(size, &[1; 32]).unwrap();
        let again = deal(size, &[1; 32]).unwrap();
        assert_eq!(dealt.network_key, again.network_key);
        assert_eq!(dealt.network_key.len(), 96);
        assert_eq!(network_key(&dealt.polynomial).unwrap(), dealt.network_key);
        let members: Vec<_> = dealt.validators.iter().map(|v| v.public_key).collect();
        for validator in &dealt.validators {
            let parse = |members: &[[u8; 32]], share: &[u8]| {
                committee::parse(
                    NAMESPACE,
                    members,
                    &validator.identity_seed,
                    &dealt.polynomial,
                    share,
                )
                .map(|_| ())
            };
            assert_eq!(parse(&members, &validator.share), Ok(()));
            let mut other = validator.share.clone();
            *other.last_mut().unwrap() ^= 1;
            assert_eq!(parse(&members, &other), Err(CommitteeError::ForeignShare));
        }
    }
    assert_ne!(
        deal(4, &[1; 32]).unwrap().network_key,
        deal(4, &[2; 32]).unwrap().network_key
    );
}

#[test]
fn keys_that_do_not_belong_together_are_refused_by_name() {
    let dealt = deal(4, &[1; 32]).unwrap();
    let small = deal(1, &[1; 32]).unwrap();
    let members: Vec<_> = dealt.validators.iter().map(|v| v.public_key).collect();
    let (one, two) = (&dealt.validators[0], &dealt.validators[1]);
    let parse = |members: &[[u8; 32]], seed: &[u8; 32], polynomial: &[u8], share: &[u8]| {
        committee::parse(NAMESPACE, members, seed, polynomial, share)
            .map(|_| ())
            .unwrap_err()
    };
    let seed = &one.identity_seed;
    assert_eq!(
        parse(&members, seed, &dealt.polynomial, &two.share),
        CommitteeError::ForeignShare
    );
    assert_eq!(
        parse(&members, seed, &small.polynomial, &one.share),
        CommitteeError::Size
    );
    assert_eq!(
        parse(&members, seed, b"polynomial", &one.share),
        CommitteeError::Polynomial
    );
    assert_eq!(
        parse(&members, seed, &dealt.polynomial, b""),
        CommitteeError::Share
    );
    assert_eq!(
        parse(&members, &[9; 32], &dealt.polynomial, &one.share),
        CommitteeError::NotAMember
    );
    let twice = [members[0], members[0], members[1], members[2]];
    assert_eq!(
        parse(&twice, seed, &dealt.polynomial, &one.share),
        CommitteeError::Members
    );
    assert_eq!(
        parse(&[], seed, &dealt.polynomial, &one.share),
        CommitteeError::Members
    );
}

#[test]
fn a_committee_of_one_goes_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (dealt, configs) = configs(1, &[dir.path().into()]);
    let chain = counters(&dealt);

    let engine = start(&configs[0], &chain);
    chain.wait_for(5);
    assert!(engine.is_alive());
    assert_eq!(engine.stop(), EngineState::Stopped);
    let height = chain.height();

    let engine = start(&configs[0], &chain);
    chain.wait_for(height + 5);
    assert_eq!(engine.stop(), EngineState::Stopped);

    let certificates = chain.certificates();
    // A block that a later one finalised has no certificate of its own.
    assert!(certificates.len() >= 2);
    for (digest, certificate) in &certificates {
        verify_finalization(&dealt.network_key, NAMESPACE, certificate, digest).unwrap();
    }
}

#[test]
fn certificates_of_the_engine_stand_for_one_header_only() {
    let dir = tempfile::tempdir().unwrap();
    let (dealt, configs) = configs(1, &[dir.path().into()]);
    let chain = counters(&dealt);
    let engine = start(&configs[0], &chain);
    chain.wait_for(3);
    engine.stop();

    let key = &dealt.network_key;
    let (digest, certificate) = chain.certificates().remove(0);
    for index in 0..certificate.len() {
        let mut changed = certificate.clone();
        changed[index] ^= 0x01;
        assert!(verify_finalization(key, NAMESPACE, &changed, &digest).is_err());
    }
    assert_eq!(
        verify_finalization(key, NAMESPACE, &certificate, &[0; 32]),
        Err(CertificateError::OtherHeader)
    );
    assert_eq!(
        verify_finalization(key, b"realdid/other", &certificate, &digest),
        Err(CertificateError::Signature)
    );
    let other = deal(1, &[8; 32]).unwrap().network_key;
    assert_eq!(
        verify_finalization(&other, NAMESPACE, &certificate, &digest),
        Err(CertificateError::Signature)
    );
}

#[test]
fn blocks_that_were_not_acknowledged_come_again() {
    let dir = tempfile::tempdir().unwrap();
    let (dealt, configs) = configs(1, &[dir.path().into()]);
    let log = Log::default();
    let stuck = Counters {
        log: log.clone(),
        stuck_at: Some(3),
        ..counters(&dealt)
    };
    let engine = start(&configs[0], &stuck);
    stuck.wait_for(2);
    thread::sleep(Duration::from_millis(300));
    // The stuck delivery is cut off after the grace of a stop: the same as a crash there.
    engine.stop();
    assert_eq!(stuck.height(), 2);

    let chain = Counters {
        log,
        ..counters(&dealt)
    };
    let engine = start(&configs[0], &chain);
    chain.wait_for(5);
    engine.stop();
}

#[test]
fn an_idle_chain_burns_no_views() {
    let dir = tempfile::tempdir().unwrap();
    let (dealt, configs) = configs(1, &[dir.path().into()]);
    let chain = Counters {
        pace: Duration::from_secs(3600),
        ..counters(&dealt)
    };
    let engine = start(&configs[0], &chain);
    thread::sleep(Duration::from_secs(5));
    let asked = chain.asked.load(Ordering::Relaxed);
    // The leader time-out is 1 s here.
    assert!((2..=8).contains(&asked), "asked {asked} times");
    assert_eq!(chain.height(), 0);
    assert_eq!(engine.stop(), EngineState::Stopped);
}

#[test]
fn four_validators_agree_and_a_late_one_catches_up() {
    let dirs: Vec<_> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
    let paths: Vec<PathBuf> = dirs.iter().map(|dir| dir.path().into()).collect();
    let (dealt, configs) = configs(4, &paths);
    let chains: Vec<_> = (0..4)
        .map(|proposer| Counters {
            committee: committee(&dealt),
            proposer,
            pace: Duration::from_millis(20),
            ..counters(&dealt)
        })
        .collect();

    // Three of four are a quorum; the fourth comes late.
    let mut engines: Vec<_> = configs
        .iter()
        .zip(&chains)
        .take(3)
        .map(|(config, chain)| start(config, chain))
        .collect();
    chains[0].wait_for(10);
    engines.push(start(&configs[3], &chains[3]));
    chains[3].wait_for(20);

    // One stops and comes back.
    assert_eq!(engines.remove(0).stop(), EngineState::Stopped);
    let height = chains[1].height();
    chains[1].wait_for(height + 8);
    engines.push(start(&configs[0], &chains[0]));
    chains[0].wait_for(height + 12);
    for chain in &chains {
        chain.wait_for(height + 12);
    }
    for engine in engines {
        assert_eq!(engine.stop(), EngineState::Stopped);
    }

    let logs: Vec<_> = chains
        .iter()
        .map(|chain| chain.log.lock().unwrap())
        .collect();
    for height in 1..=height + 12 {
        for log in &logs[1..] {
            assert_eq!(log[&height].0, logs[0][&height].0);
        }
    }
    drop(logs);
    for chain in &chains {
        for (digest, certificate) in chain.certificates() {
            verify_finalization(&dealt.network_key, NAMESPACE, &certificate, &digest).unwrap();
        }
    }
}

#[test]
fn a_configuration_that_cannot_work_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (dealt, configs) = configs(1, &[dir.path().into()]);
    let refuse = |change: fn(&mut EngineConfig)| {
        let mut config = configs[0].clone();
        change(&mut config);
        Engine::start(config, counters(&dealt))
            .map(|_| ())
            .unwrap_err()
    };
    assert_eq!(
        refuse(|config| config.timeouts.leader = Duration::ZERO),
        EngineError::Timeouts
    );
    assert_eq!(
        refuse(|config| config.timeouts.certification = config.timeouts.leader),
        EngineError::Timeouts
    );
    assert_eq!(
        refuse(|config| config.max_block_bytes = 8),
        EngineError::Genesis
    );
    assert_eq!(
        refuse(|config| config.max_block_bytes = usize::MAX),
        EngineError::BlockLimit
    );
    assert_eq!(
        refuse(|config| config.identity_seed = [0; 32]),
        EngineError::Committee(CommitteeError::NotAMember)
    );
    assert_eq!(
        refuse(|config| config.peers[0].0 = deal(1, &[9; 32]).unwrap().validators[0].public_key),
        EngineError::Committee(CommitteeError::Peers)
    );
    assert_eq!(
        refuse(|config| {
            let keys = config.shares.of(0).unwrap();
            let other = deal(1, &[9; 32]).unwrap().polynomial;
            config.shares = Arc::new(OneShare(TermKeys {
                polynomial: other,
                share: keys.share.clone(),
            }));
        }),
        EngineError::Committee(CommitteeError::OtherTerm)
    );
}

#[test]
fn an_engine_that_fails_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (dealt, mut configs) = configs(1, &[dir.path().into()]);
    // Somebody else has the port.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    configs[0].listen = taken.local_addr().unwrap();
    let engine = start(&configs[0], &counters(&dealt));
    let start = Instant::now();
    while engine.is_alive() {
        assert!(start.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(engine.state(), EngineState::Failed(EngineError::Failed));
}

/// Not a test by itself: what the test below runs in a process of its own, until it kills it.
#[test]
fn child_that_is_killed() {
    let Some(dir) = std::env::var_os("ENGINE_TEST_DIR").map(PathBuf::from) else {
        return;
    };
    let (dealt, configs) = configs(1, &[dir.join("engine")]);
    let chain = Counters {
        file: Some(dir.join("log")),
        ..counters(&dealt)
    };
    for (height, block) in read_log(&dir.join("log")) {
        chain.log.lock().unwrap().insert(height, (block, None));
    }
    let engine = start(&configs[0], &chain);
    thread::sleep(PATIENCE);
    engine.stop();
}

fn read_log(path: &std::path::Path) -> Vec<(u64, Vec<u8>)> {
    let file = fs::File::open(path).unwrap();
    std::io::BufReader::new(file)
        .lines()
        .filter_map(|line| {
            // A line cut off by the kill was not acknowledged.
            let line = line.unwrap();
            let (height, block) = line.split_once(' ')?;
            let block = hex::decode(block)
                .ok()
                .filter(|block| block.len() == BLOCK_BYTES)?;
            Some((height.parse().ok()?, block))
        })
        .collect()
}

#[test]
fn kill_9_at_any_time_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    fs::File::create(&log).unwrap();
    let mut reached = 0;
    // Prime milliseconds, so that the kills fall anywhere in a block's life.
    for lifetime_ms in [701, 1103, 1511] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "engine::tests::child_that_is_killed"])
            .env("ENGINE_TEST_DIR", dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let start = Instant::now();
        let height = || read_log(&log).last().map_or(0, |(height, _)| *height);
        while height() <= reached + 3 {
            assert!(start.elapsed() < PATIENCE, "stuck at {}", height());
            thread::sleep(Duration::from_millis(20));
        }
        thread::sleep(Duration::from_millis(lifetime_ms));
        child.kill().unwrap();
        child.wait().unwrap();
        reached = height();
    }

    // In order, without gaps; what came twice was the same.
    let mut blocks = BTreeMap::new();
    for (height, block) in read_log(&log) {
        let below = blocks.keys().last().copied().unwrap_or(0);
        assert!(height <= below + 1, "height {} was left out", below + 1);
        if let Some(known) = blocks.insert(height, block.clone()) {
            assert_eq!(known, block, "height {height} changed");
        }
    }
    let mut parent = digest(&Counters::default().genesis());
    for block in blocks.values() {
        assert_eq!(Counters::describe(block).unwrap().parent, parent);
        parent = digest(block);
    }
}

/// The light client's frozen vector, made again from scratch.
#[test]
fn the_frozen_certificate_is_what_the_library_makes() {
    let dealt = deal(4, &[3; 32]).unwrap();
    let members: Vec<_> = dealt.validators.iter().map(|v| v.public_key).collect();
    let header_digest = digest(b"the frozen header");
    let proposal = Proposal::new(
        Round::new(Epoch::zero(), View::new(300)),
        View::new(299),
        commonware_cryptography::sha256::Digest(header_digest),
    );
    let schemes: Vec<_> = dealt
        .validators
        .iter()
        .map(|validator| {
            committee::parse(
                NAMESPACE,
                &members,
                &validator.identity_seed,
                &dealt.polynomial,
                &validator.share,
            )
            .unwrap()
        })
        .collect();
    let votes: Vec<_> = schemes
        .iter()
        .take(3)
        .map(|scheme| Finalize::sign(scheme, proposal.clone()).unwrap())
        .collect();
    let finalization =
        Finalization::from_finalizes(&schemes[0], non_empty![@votes.iter()], &Sequential).unwrap();
    let certificate = finalization.encode().to_vec();
    assert_eq!(
        verify_finalization(&dealt.network_key, NAMESPACE, &certificate, &header_digest),
        Ok(FinalityFacts {
            epoch: 0,
            view: 300
        })
    );

    let made = format!(
        "{{\n  \"network_key\": \"{}\",\n  \"namespace\": \"{}\",\n  \"certificate\": \"{}\",\n  \"header_digest\": \"{}\"\n}}\n",
        hex::encode(&dealt.network_key),
        hex::encode(NAMESPACE),
        hex::encode(&certificate),
        hex::encode(header_digest),
    );
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../core/vectors/finalization.json"
    );
    if std::env::var_os("REALDID_WRITE_VECTORS").is_some() {
        fs::write(path, &made).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap(), made);
}
