//! The proof that a term follows is kept whatever certificates come: one of the term's last blocks is
//! enough, since each header names its parent (rule L11).

use super::machine::{block, idle, machine, unbounded};
use super::*;
use crate::machine::Machine;
use realdid_core::answer::{HandOver, MAX_ANSWER_BYTES, MAX_HEADERS_BACK};
use realdid_core::genesis::PeerKey;
use realdid_core::governance::{NOTICE_BLOCKS, SHOWN_BLOCKS, Term};
use realdid_core::hash::Hash32;
use realdid_core::header::{Block, Header};
use realdid_core::operation::{Body, Decision};
use realdid_core::state::ReasonCode;
use realdid_light::LightClient;
use realdid_testkit::chain::TestLedger;
use realdid_testkit::ledger::{START_MS, TestNet};

/// The first height of the next term.
const FIRST: u64 = 120;

/// A network whose next term is decided in its first block, and the key that certifies.
struct Scene {
    net: TestNet,
    committee: TestLedger,
    store: Arc<MemoryStore>,
    log: Disk,
    machine: Option<Machine>,
}

impl Scene {
    fn new() -> Self {
        let mut committee = TestLedger::new(START_MS, Vec::new());
        let key = committee.genesis.network_key;
        let net = TestNet::with(|genesis| genesis.network_key = key);
        committee.genesis = net.genesis.clone();
        let mut scene = Self {
            net,
            committee,
            store: Arc::new(MemoryStore::default()),
            log: unbounded(),
            machine: None,
        };
        scene.start();
        let fresh = TestLedger::with_validators(8, START_MS, Vec::new());
        let term = Term {
            number: 1,
            first: FIRST,
            network_key: fresh.genesis.network_key,
            validators: (0..100).map(|n| PeerKey([n; 32])).collect(),
            polynomial: Some(Hash32([8; 32])),
        };
        let decide = Body::Govern(1, Decision::Committee(term), ReasonCode::Scheduled);
        let governors: Vec<_> = scene.net.governors.iter().collect();
        let decide = scene.net.sign(decide, &governors);
        let first = block(&scene.machine().tip(), 100, &decide);
        scene.take(first, false);
        let receipt = scene.machine().receipt(&decide.id()).unwrap();
        assert_eq!(receipt, Some((1, None)));
        scene
    }

    fn start(&mut self) {
        drop(self.machine.take());
        let store = self.store.clone();
        self.machine = Some(machine(&self.net.genesis, store, &self.log));
    }

    fn machine(&self) -> &Machine {
        self.machine.as_ref().unwrap()
    }

    fn take(&self, block: Block, certified: bool) {
        let certificate = certified.then(|| self.committee.certify(&block.header).certificate.0);
        let (height, bytes) = (block.header.height, block.encode());
        let taken = self
            .machine()
            .finalise(height, &bytes, certificate.as_deref());
        assert!(taken.unwrap().is_some());
    }

    /// Blocks up to a height, each so many milliseconds after its parent; those that `certified`
    /// names have a certificate of their own.
    fn go_on(&self, to: u64, later_ms: u64, certified: impl Fn(u64) -> bool) {
        while self.machine().tip().height < to {
            let mut next = idle(&self.machine().tip(), later_ms);
            next.header.sealed = self.machine().closed();
            let own = certified(next.header.height);
            self.take(next, own);
        }
    }

    /// The one hand-over that the node serves, once a client with the genesis alone has taken it.
    #[track_caller]
    fn handed_over(&self) -> HandOver {
        let kept = self.machine().hand_overs(0).unwrap();
        assert_eq!(kept.len(), 1);
        let mut light = LightClient::new(self.net.genesis.clone());
        let term = light.hand_over(&kept[0]).unwrap();
        assert_eq!((term.number, term.first), (1, FIRST));
        assert!(kept[0].encode().len() <= MAX_ANSWER_BYTES);
        kept[0].clone()
    }

    fn nothing_is_kept(&self) {
        assert_eq!(self.machine().hand_overs(0).unwrap(), []);
    }
}

fn certified(hand_over: &HandOver) -> u64 {
    Header::decode(&hand_over.checkpoint.header.0)
        .unwrap()
        .height
}

#[test]
fn l11_the_first_certified_header_that_shows_the_next_term_is_enough() {
    let scene = Scene::new();
    scene.go_on(FIRST - 1, 200, |_| true);
    let hand_over = scene.handed_over();
    assert!(hand_over.back.is_empty());
    assert!(certified(&hand_over) < 30);
}

#[test]
fn l11_a_hand_over_needs_no_certificate_but_that_of_the_terms_last_block() {
    let scene = Scene::new();
    scene.go_on(FIRST - 2, 200, |_| false);
    scene.nothing_is_kept();
    scene.go_on(FIRST - 1, 200, |_| true);
    let hand_over = scene.handed_over();
    assert_eq!(certified(&hand_over), FIRST - 1);
    let back = (NOTICE_BLOCKS + SHOWN_BLOCKS - 1) as usize;
    assert_eq!(hand_over.back.len(), back);
    assert!(back < MAX_HEADERS_BACK);
    // What comes later changes nothing.
    scene.go_on(FIRST + 20, 200, |_| false);
    assert_eq!(scene.handed_over(), hand_over);
}

#[test]
fn l11_nor_does_it_where_every_block_is_of_another_slot() {
    for own in [20, FIRST - 1] {
        let scene = Scene::new();
        scene.go_on(FIRST - 1, 2_000, |height| height == own);
        assert_eq!(certified(&scene.handed_over()), own);
    }
}

#[test]
fn l11_what_was_proved_before_a_node_ended_is_not_lost() {
    // Also where it ends after the last header that may show the term, or just before its certificate.
    for ends in [11, 12, 40, FIRST - 48, FIRST - 47, FIRST - 2] {
        let mut scene = Scene::new();
        scene.go_on(ends, 200, |_| false);
        scene.start();
        scene.go_on(FIRST - 1, 200, |height| height == FIRST - 1);
        assert_eq!(certified(&scene.handed_over()), FIRST - 1);
    }
}

#[test]
fn l11_a_block_of_the_next_term_certifies_nothing_of_the_one_before() {
    let scene = Scene::new();
    scene.go_on(FIRST + 5, 200, |height| height >= FIRST);
    scene.nothing_is_kept();
}
