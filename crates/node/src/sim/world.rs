//! Plays a plan: starts the validators, does to them what the plan says, hands in operations, and
//! in the end holds every validator against every other.

use crate::admission::{By, NotAdmitted, admit};
use crate::engine::block::BlockRules;
use crate::engine::wiring::max_message_bytes;
use crate::host::Host as _;
use crate::machine::Machine;
use crate::sim::byzantine;
use crate::sim::disk::SimDisk;
use crate::sim::plan::{Fault, Lie, Life, Plan, Quality};
use crate::sim::terms::Keyring;
use crate::sim::validator::{Running, Seat, Shared};
use crate::sim::witness::{Witness, Witnessed};
use crate::store::BlockLog;
use crate::store::tests::{Chance, MemoryStore};
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::simulated::{Config, Link, Network as Links};
use commonware_runtime::deterministic::{
    self, Context, FaultConfig, PartialWriteMode, WriteConfig,
};
use commonware_runtime::{Clock as _, Handle, Supervisor as _};
use commonware_utils::{NZUsize, Probability, probability};
use realdid_core::codec::Bytes;
use realdid_core::did::NetworkName;
use realdid_core::governance::Term;
use realdid_core::hash::Hash32;
use realdid_core::header::MAX_BLOCK_BYTES;
use realdid_core::operation::{Body, Decision, Enrol, Operation, SignedOperation};
use realdid_core::state::ReasonCode;
use realdid_testkit::ledger::{START_MS, TestDid, TestNet, seed as bytes};
use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::num::NonZeroUsize;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often the world looks at what is due.
const TICK: Duration = Duration::from_millis(50);
/// How long an operation may be pending until it is handed in again, elsewhere.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long after the end of all faults everything must be final everywhere.
const HEALED_WITHIN: Duration = Duration::from_secs(60);
/// How far the network must come after the faults.
const HEIGHTS_AFTER: u64 = 8;
/// How much more each change of the committee may take.
const CHANGED_WITHIN: Duration = Duration::from_secs(90);
/// How far ahead of the tip a decided term begins: its notice, and what passes until it is decided.
const TERM_AHEAD: u64 = 64 + 24;
/// More than any run takes.
const END: Duration = Duration::from_secs(600);

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The runtime's fingerprint of everything that happened.
    pub audit: String,
    pub height: u64,
    /// How much of that came about while faults went on.
    pub height_at_healing: u64,
    pub operations: usize,
    /// How often a process ended at once, and how often that was by a power cut in mid-write.
    pub crashes: usize,
    pub torn: usize,
    /// When each block was first final anywhere, since the network began.
    pub final_at: Vec<Duration>,
    /// From proposal to durable finality, sorted.
    pub block_delays: Vec<Duration>,
    /// From handing an operation in to its being durable where it was handed in, sorted.
    pub operation_delays: Vec<Duration>,
}

/// An operation that was handed in.
struct Submitted {
    signed: SignedOperation,
    first: SystemTime,
    last: SystemTime,
    at: usize,
    /// The height at which it became final.
    height: Option<u64>,
}

struct World {
    plan: Plan,
    net: TestNet,
    witness: Arc<Mutex<Witness>>,
    seats: Vec<Seat>,
    ring: Keyring,
    /// When the last decision about the committee was handed in.
    asked: Option<SystemTime>,
    /// Who has ended at a change as the plan says: the succession's place, the crash's.
    struck: BTreeSet<(usize, usize)>,
    /// How long the lives before have taken.
    lived: Duration,
    next_operation: Duration,
    /// Seats of those who run twice.
    twins: BTreeMap<usize, Seat>,
    operations: Vec<Submitted>,
    operation_delays: Vec<Duration>,
    chance: Chance,
    height_at_healing: u64,
    crashes: usize,
    torn: usize,
}

/// Plays a plan to its end.
pub fn run(plan: &Plan) -> Outcome {
    let mut world = World::new(plan.clone());
    // Whatever was written and not synced may be there after a power cut, in any part.
    let torn = FaultConfig::default().write(WriteConfig {
        failure_rate: probability!(0.0),
        retention_rate: probability!(0.5),
        mode: PartialWriteMode::Subset,
    });
    let config = deterministic::Config::new()
        .with_seed(plan.seed)
        .with_start_time(UNIX_EPOCH + Duration::from_millis(START_MS))
        .with_timeout(Some(END))
        .with_storage_fault_config(torn);
    let mut runner = deterministic::Runner::new(config);
    let last = plan.lives.len() - 1;
    for (n, life) in plan.lives.iter().enumerate() {
        let (audit, checkpoint) =
            runner.start_and_recover(|context| world.live(context, life, n == last));
        if n == last {
            return world.outcome(audit);
        }
        for seat in world.seats.iter_mut().chain(world.twins.values_mut()) {
            seat.lose_power(world.chance.below(2) == 0);
        }
        runner = deterministic::Runner::from(checkpoint);
    }
    unreachable!("a plan has a last life");
}

impl World {
    fn new(plan: Plan) -> Self {
        let count = plan.seats();
        let ring = Keyring::of(&plan, &bytes(plan.seed));
        let net = TestNet::with(|genesis| {
            genesis.network_key = ring.terms[0].term.network_key;
            genesis.validators = ring.terms[0].term.validators.clone();
            // Longer than a run, so that an enrolment does not lapse while it waits.
            genesis.parameters.epoch_s = 3_600;
            for issuer in &mut genesis.issuers {
                issuer.enrolment_quota = u64::MAX;
                issuer.sponsor_quota = u64::MAX;
            }
        });
        let namespace = net.genesis.namespace();
        let seat = |who: usize, copy: u64| Seat {
            who,
            honest: plan.honest(who),
            key: ring.keys[who].clone(),
            identity_seed: ring.seeds[who],
            shares: ring.shares(who),
            disk: SimDisk::empty(plan.seed ^ (who as u64 + copy), plan.disks_lie),
            store: Arc::default(),
            skew_ms: plan.skews_ms.get(who).copied().unwrap_or(0),
            disk_ms: plan.disks_ms.get(who).copied().unwrap_or(0),
            name: format!("validator-{who}-{copy}"),
            starts: 0,
        };
        let network_keys = ring.terms.iter().map(|t| t.term.network_key.0).collect();
        let twins = plan
            .byzantine
            .iter()
            .filter(|(_, lie)| *lie == Lie::Twins)
            .map(|(who, _)| (*who, seat(*who, 1 << 32)))
            .collect();
        Self {
            seats: (0..count).map(|who| seat(who, 0)).collect(),
            twins,
            asked: None,
            struck: BTreeSet::new(),
            lived: Duration::ZERO,
            next_operation: Duration::ZERO,
            witness: Arc::new(Mutex::new(Witness::new(network_keys, namespace))),
            net,
            ring,
            operations: Vec::new(),
            operation_delays: Vec::new(),
            chance: Chance(plan.seed ^ 0x00c1_1e57),
            height_at_healing: 0,
            crashes: 0,
            torn: 0,
            plan,
        }
    }

    fn keys(&self) -> Vec<PublicKey> {
        self.seats.iter().map(Seat::key).collect()
    }

    /// One life of the network, from power on to the next power cut or, the last one, to the end.
    async fn live(&mut self, context: Context, life: &Life, last: bool) -> String {
        let keys = self.keys();
        let rules = BlockRules::of::<Witnessed>(MAX_BLOCK_BYTES);
        let (network, oracle) = Links::new_with_peers(
            context.child("network"),
            Config {
                max_size: max_message_bytes(keys.len() as u32, &rules) as u32,
                max_peers_per_set: NonZeroUsize::new(keys.len()).unwrap(),
                disconnect_on_block: true,
                tracked_peer_sets: NZUsize!(1),
            },
            keys.clone(),
        )
        .await;
        network.start();
        let shared = Shared {
            genesis: self.net.genesis.clone(),
            oracle,
            witness: self.witness.clone(),
        };
        let mut up = Up {
            context,
            shared,
            running: BTreeMap::new(),
            lying: BTreeMap::new(),
        };
        let began = up.context.current();
        let mut returns: Vec<(Duration, usize)> = life.late.iter().map(|(w, t)| (*t, *w)).collect();
        for who in 0..keys.len() {
            if returns.iter().all(|(_, late)| *late != who) {
                self.start(&mut up, who).await;
            }
        }
        let mut faults = life.faults.iter().peekable();
        loop {
            let now = up.context.current().duration_since(began).unwrap();
            if now >= life.length {
                break;
            }
            while let Some((_, fault)) = faults.next_if(|(at, _)| *at <= now) {
                self.strike(&mut up, fault, now, &mut returns).await;
            }
            // A disk that is dead takes its validator with it.
            for who in 0..keys.len() {
                if self.seats[who].disk.is_dead() && up.running.contains_key(&who) {
                    let keeps = self.chance.below(2) == 0;
                    self.crash(&mut up, who, keeps);
                }
            }
            let due: Vec<usize> = returns
                .iter()
                .filter(|(at, _)| *at <= now)
                .map(|(_, who)| *who)
                .collect();
            returns.retain(|(at, _)| *at > now);
            for who in due {
                self.start(&mut up, who).await;
            }
            self.submit_paced(&up, now);
            self.follow(&up);
            self.succeed(&mut up, now, &mut returns);
            up.context.sleep(TICK).await;
        }
        self.lived += life.length;
        self.next_operation = Duration::ZERO;
        if last {
            self.heal(&mut up).await;
            self.compare(&up).await;
        }
        up.context.auditor().state()
    }
}

/// The network while it has power.
struct Up {
    context: Context,
    shared: Shared,
    /// The honest ones.
    running: BTreeMap<usize, Running>,
    lying: BTreeMap<usize, Vec<Handle<()>>>,
}

impl World {
    async fn start(&mut self, up: &mut Up, who: usize) {
        let key = self.seats[who].key();
        let (context, shared) = (&up.context, &up.shared);
        let Some(lie) = self.plan.lie(who) else {
            if let btree_map::Entry::Vacant(place) = up.running.entry(who) {
                let channels = shared.ports(&key, &None, &None).await;
                place.insert(self.seats[who].start(context, shared, channels));
            }
            return;
        };
        let others: Vec<PublicKey> = self.keys().into_iter().filter(|k| *k != key).collect();
        let tasks = match lie {
            Lie::Silent => Vec::new(),
            Lie::Garbage => byzantine::garbage(context, shared, &key, self.plan.seed).await,
            Lie::Contradicting => {
                let schemes = self.ring.schemes(&shared.genesis.namespace(), who);
                byzantine::contradicting(context, shared, schemes, &key).await
            }
            Lie::Withholding => {
                let one = Some(Arc::new(others[..1].to_vec()));
                let channels = shared.ports(&key, &None, &one).await;
                vec![self.seats[who].start(context, shared, channels).handle]
            }
            Lie::Twins => {
                let (first, rest) = others.split_at(others.len() / 2);
                let [one, other] = byzantine::divided(context, shared, &key, first, rest).await;
                let twin = self.twins.get_mut(&who).unwrap();
                vec![
                    self.seats[who].start(context, shared, one).handle,
                    twin.start(context, shared, other).handle,
                ]
            }
        };
        up.lying.insert(who, tasks);
    }

    /// Ends a validator's process at once.
    fn crash(&mut self, up: &mut Up, who: usize, keeps_state: bool) {
        if let Some(running) = up.running.remove(&who) {
            running.alive.store(false, Ordering::SeqCst);
            running.handle.abort();
            self.crashes += 1;
            self.torn += usize::from(self.seats[who].disk.is_dead());
            self.seats[who].lose_power(keeps_state);
        }
    }

    async fn strike(
        &mut self,
        up: &mut Up,
        fault: &Fault,
        now: Duration,
        returns: &mut Vec<(Duration, usize)>,
    ) {
        match fault {
            Fault::Links(quality, groups) => self.link(up, *quality, groups).await,
            Fault::Crash(who, down, keeps_state) => {
                if up.running.contains_key(who) {
                    self.crash(up, *who, *keeps_state);
                    returns.push((now + *down, *who));
                }
            }
            Fault::Tear(who, writes, down) => {
                if up.running.contains_key(who) {
                    self.seats[*who].disk.light_fuse(*writes);
                    // Some blocks later than the fuse burns down.
                    returns.push((now + *down + Duration::from_secs(2), *who));
                }
            }
        }
    }

    /// Makes all links so, and only those within a group.
    async fn link(&self, up: &Up, quality: Quality, groups: &[u8]) {
        let keys = self.keys();
        for (from, sender) in keys.iter().enumerate() {
            for (to, receiver) in keys.iter().enumerate().filter(|(to, _)| *to != from) {
                let oracle = &up.shared.oracle;
                let _absent = oracle.remove_link(sender.clone(), receiver.clone()).await;
                let group = |who: usize| groups.get(who).copied().unwrap_or(0);
                if group(from) != group(to) {
                    continue;
                }
                let link = Link {
                    latency: Duration::from_millis(quality.latency_ms),
                    jitter: Duration::from_millis(quality.jitter_ms),
                    success_rate: Probability::new(100 - quality.loss_percent, 100).unwrap(),
                };
                let linked = oracle.add_link(sender.clone(), receiver.clone(), link);
                linked.await.unwrap();
            }
        }
    }

    fn submit_paced(&mut self, up: &Up, now: Duration) {
        if now >= self.next_operation {
            self.submit_another(up);
            let (least, more) = self.plan.operation_pause_ms;
            self.next_operation = now + Duration::from_millis(least + self.chance.below(more));
        }
    }

    /// The newest tip of an honest validator that is up, and the terms that it knows of: the running
    /// one, and the first height of the next one.
    fn terms(&self, up: &Up) -> Option<(u64, Term, Option<u64>)> {
        let known = up.running.values().map(|at| at.machine.committee());
        let (tip, committee) = known.max_by_key(|(tip, _)| *tip)?;
        let committee = committee.from(tip + 1);
        let next = committee.next.map(|next| next.term.first);
        Some((tip, committee.running, next))
    }

    /// Decides the next change of the committee when its time has come, and ends the processes that
    /// the plan says at its boundary.
    fn succeed(&mut self, up: &mut Up, now: Duration, returns: &mut Vec<(Duration, usize)>) {
        let Some((tip, running, next)) = self.terms(up) else {
            return;
        };
        for (n, succession) in self.plan.successions.clone().into_iter().enumerate() {
            let first = match n as u64 + 1 {
                begun if begun == running.number => Some(running.first),
                coming if coming == running.number + 1 => next,
                _ => None,
            };
            let Some(first) = first else { continue };
            for (m, (who, from_first)) in succession.crashes.iter().enumerate() {
                let due = first.saturating_add_signed(*from_first);
                let reached = |at: &Running| at.machine.tip().height >= due;
                if up.running.get(who).is_some_and(reached) && self.struck.insert((n, m)) {
                    let keeps = self.chance.below(2) == 0;
                    self.crash(up, *who, keeps);
                    returns.push((now + Duration::from_secs(1), *who));
                }
            }
        }
        let coming = self.plan.successions.get(running.number as usize);
        let Some(coming) = coming.filter(|coming| now + self.lived >= coming.at) else {
            return;
        };
        let patient = |asked: SystemTime| {
            let waited = up.context.current().duration_since(asked);
            waited.is_ok_and(|waited| waited < PATIENCE)
        };
        if next.is_some() || self.asked.is_some_and(patient) {
            return;
        }
        // Key compromise needs a new key, and anything else may have one.
        let reason = if coming.same_key {
            ReasonCode::Scheduled
        } else {
            ReasonCode::KeyCompromise
        };
        let number = running.number + 1;
        let term = Term {
            first: tip + TERM_AHEAD,
            ..self.ring.terms[number as usize].term.clone()
        };
        let body = Body::Govern(number, Decision::Committee(term), reason);
        let by = [&self.net.governors[0], &self.net.governors[1]];
        let signed = Operation::new(self.net.network().clone(), 5_000, body).sign(&by);
        if let Some(at) = self.somewhere(up) {
            self.submit(&up.running[&at], &signed);
            self.asked = Some(up.context.current());
        }
    }

    /// Makes another operation and hands it in somewhere.
    fn submit_another(&mut self, up: &Up) {
        let Some(at) = self.somewhere(up) else { return };
        let n = self.operations.len() as u64 + 1;
        let network: &NetworkName = self.net.network();
        let authority = &self.net.authority;
        let operation = |body| Operation::new(network.clone(), 5_000, body);
        let signed = if n.is_multiple_of(3) {
            let did = TestDid::new(network, n);
            operation(Body::Anchor(did.inception.clone()))
                .sign(&[&did.current])
                .sponsored(authority.id, &authority.operation)
        } else {
            let enrol = Enrol {
                issuer: authority.id,
                tag: Hash32(bytes(n)),
                seq: 0,
                commitment: Hash32(bytes(99)),
                epoch: self.net.epoch(),
            };
            operation(Body::Enrol(enrol)).sign(&[&authority.operation])
        };
        let now = up.context.current();
        self.submit(&up.running[&at], &signed);
        self.operations.push(Submitted {
            signed,
            first: now,
            last: now,
            at,
            height: None,
        });
    }

    /// An honest validator that is up.
    fn somewhere(&mut self, up: &Up) -> Option<usize> {
        let count = up.running.len() as u64;
        let nth = self.chance.below(count.max(1)) as usize;
        up.running.keys().nth(nth).copied()
    }

    /// As the node takes in an operation over HTTP. Where it is refused, for what is final already
    /// or for want of room, it gets no receipt and is handed in again later.
    fn submit(&self, running: &Running, signed: &SignedOperation) {
        let bytes = Bytes(signed.encode());
        let now_ms = running.host.unix_ms();
        let (machine, mempool) = (&running.machine, &running.mempool);
        for taken in admit(machine, mempool, vec![bytes], By::Client, now_ms).unwrap() {
            match taken {
                Ok(_) | Err(NotAdmitted::Rule(_) | NotAdmitted::NoRoom(_)) => {}
                Err(error @ NotAdmitted::Codec(_)) => panic!("{error}"),
            }
        }
    }

    /// Asks for receipts, and hands in again what had none for too long.
    fn follow(&mut self, up: &Up) {
        let now = up.context.current();
        for n in 0..self.operations.len() {
            if self.operations[n].height.is_some() {
                continue;
            }
            let operation = &self.operations[n];
            let (id, at, first) = (operation.signed.id(), operation.at, operation.first);
            let waited = now.duration_since(operation.last).unwrap();
            let found = up
                .running
                .get(&at)
                .map(|at| at.machine.receipt(&id).unwrap());
            match found {
                Some(Some((height, refused))) => {
                    assert_eq!(refused, None, "an operation that was admissible");
                    self.operations[n].height = Some(height);
                    let kept = self.witness.lock().unwrap().kept_at(at, height);
                    let delay = kept.unwrap_or(now).duration_since(first).unwrap();
                    self.operation_delays.push(delay);
                }
                Some(None) if waited < PATIENCE => {}
                _ => {
                    if let Some(at) = self.somewhere(up) {
                        self.submit(&up.running[&at], &self.operations[n].signed);
                        (self.operations[n].at, self.operations[n].last) = (at, now);
                    }
                }
            }
        }
    }

    /// Ends all faults, and waits until everything is final everywhere.
    async fn heal(&mut self, up: &mut Up) {
        for who in 0..self.seats.len() {
            if self.seats[who].disk.is_dead() {
                self.crash(up, who, false);
            }
            self.seats[who].disk.mend();
        }
        up.context.sleep(TICK).await;
        self.link(up, self.plan.healed, &vec![0; self.seats.len()])
            .await;
        for who in 0..self.seats.len() {
            if !up.running.contains_key(&who) && !up.lying.contains_key(&who) {
                self.start(up, who).await;
            }
        }
        let reached = self.witness.lock().unwrap().height();
        self.height_at_healing = reached;
        let changes = self.plan.successions.len() as u32;
        let began = up.context.current();
        let until = began + HEALED_WITHIN + CHANGED_WITHIN * changes;
        loop {
            self.follow(up);
            let now = up.context.current().duration_since(began).unwrap();
            let mut returns = Vec::new();
            self.succeed(up, now, &mut returns);
            for (_, who) in returns {
                self.start(up, who).await;
            }
            let begun = self.terms(up).map(|(_, running, _)| running);
            let begun = begun.filter(|running| running.number == u64::from(changes));
            if begun.is_none() {
                self.submit_paced(up, now);
            }
            let waiting = self
                .operations
                .iter()
                .filter(|o| o.height.is_none())
                .count();
            let last = self.operations.iter().filter_map(|o| o.height).max();
            let first = begun.as_ref().map_or(u64::MAX / 2, |running| running.first);
            let wanted = last.unwrap_or(0).max(reached.max(first) + HEIGHTS_AFTER);
            let tips: Vec<u64> = up
                .running
                .values()
                .map(|r| r.machine.tip().height)
                .collect();
            if waiting == 0 && tips.iter().all(|tip| *tip >= wanted) {
                return;
            }
            assert!(
                up.context.current() < until,
                "no progress after healing: {waiting} operations wait, {tips:?} of {wanted}"
            );
            up.context.sleep(TICK).await;
        }
    }

    /// Holds every honest validator against what was seen, and its block log against its state.
    async fn compare(&self, up: &Up) {
        let honest = (0..self.seats.len()).filter(|who| self.plan.honest(*who));
        assert!(up.running.keys().copied().eq(honest));
        let blocked = up.shared.oracle.blocked().await.unwrap();
        let keys = self.keys();
        for (from, to) in blocked {
            let place = |key| keys.iter().position(|known| known == key).unwrap();
            let (from, to) = (place(&from), place(&to));
            assert!(
                !(self.plan.honest(from) && self.plan.honest(to)),
                "{from} takes {to} for a liar"
            );
        }
        let blocks = self.witness.lock().unwrap().blocks.clone();
        for (who, running) in &up.running {
            let tip = running.machine.tip();
            for (height, digest) in blocks.range(..=tip.height) {
                let block = running.machine.block(*height).unwrap();
                let found = block.map(|block| block.header.digest());
                assert_eq!(found, Some(Hash32(*digest)), "{who} at {height}");
            }
            for operation in &self.operations {
                let receipt = running.machine.receipt(&operation.signed.id()).unwrap();
                let (height, refused) = receipt.unwrap();
                assert_eq!((Some(height), refused), (operation.height, None));
            }
            let (height, committee) = running.machine.committee();
            let term = committee.at(height + 1).number;
            assert_eq!(term, self.plan.successions.len() as u64);
            let kept = self.seats[*who].shares.terms();
            assert!(
                kept.iter().all(|kept| *kept == term),
                "{who} keeps {kept:?} of {term}"
            );
            let log = BlockLog::with_tables(self.seats[*who].disk.cut().tables()).unwrap();
            let empty = Arc::new(MemoryStore::default());
            let replayed = Machine::open(self.net.genesis.clone(), empty, log).unwrap();
            assert_eq!(replayed.tip(), tip, "{who} after a replay");
            assert_eq!(replayed.closed(), running.machine.closed());
        }
    }

    fn outcome(mut self, audit: String) -> Outcome {
        let mut witness = self.witness.lock().unwrap();
        let mut block_delays = std::mem::take(&mut witness.delays);
        block_delays.sort();
        self.operation_delays.sort();
        let start = UNIX_EPOCH + Duration::from_millis(START_MS);
        let final_at = witness.first_seen.values();
        Outcome {
            audit,
            height: witness.height(),
            height_at_healing: self.height_at_healing,
            operations: self.operations.len(),
            crashes: self.crashes,
            torn: self.torn,
            final_at: final_at
                .map(|at| at.duration_since(start).unwrap())
                .collect(),
            block_delays,
            operation_delays: std::mem::take(&mut self.operation_delays),
        }
    }
}
