//! One validator of a simulated network: the node as it is, on a simulated clock, network and disk.

use crate::engine::Timeouts;
use crate::engine::block::BlockRules;
use crate::engine::wiring::{self, Channels, Parts, channel};
use crate::host::Host;
use crate::machine::Machine;
use crate::mempool::Mempool;
use crate::producer::{HEARTBEAT, Producer};
use crate::sim::disk::SimDisk;
use crate::sim::terms::SimShares;
use crate::sim::witness::{Witness, Witnessed};
use crate::store::BlockLog;
use crate::store::tests::MemoryStore;
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::simulated::{Oracle, Receiver, Sender};
use commonware_p2p::{LimitedSender, Recipients};
use commonware_runtime::deterministic::Context;
use commonware_runtime::{Clock as _, Handle, Spawner as _, Supervisor as _};
use futures::future::select_all;
use realdid_core::genesis::Genesis;
use realdid_core::header::MAX_BLOCK_BYTES;
use std::future::Future;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A machine of the simulation.
#[derive(Clone)]
pub struct SimHost {
    pub context: Arc<Context>,
    pub skew_ms: i64,
    pub disk_ms: u64,
}

impl Host for SimHost {
    fn unix_ms(&self) -> u64 {
        let now = self.context.current().duration_since(UNIX_EPOCH).unwrap();
        (now.as_millis() as u64).saturating_add_signed(self.skew_ms)
    }

    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send {
        self.context.sleep(time)
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        if self.disk_ms > 0 {
            self.sleep(Duration::from_millis(self.disk_ms)).await;
        }
        Some(work())
    }
}

/// A validator's place in the network, and what outlives its process.
pub struct Seat {
    pub who: usize,
    pub honest: bool,
    pub key: PublicKey,
    /// Secret of the key.
    pub identity_seed: [u8; 32],
    pub shares: SimShares,
    pub disk: SimDisk,
    pub store: Arc<MemoryStore>,
    pub skew_ms: i64,
    pub disk_ms: u64,
    /// Begins the names of its stores.
    pub name: String,
    /// How often it was started: each process has metrics of its own.
    pub starts: u64,
}

/// A validator that is up.
pub struct Running {
    pub handle: Handle<()>,
    pub alive: Arc<AtomicBool>,
    pub machine: Arc<Machine>,
    pub mempool: Arc<Mempool>,
    pub host: SimHost,
}

/// What all validators share.
#[derive(Clone)]
pub struct Shared {
    pub genesis: Genesis,
    pub oracle: Oracle<PublicKey, Context>,
    pub witness: Arc<Mutex<Witness>>,
}

/// Whom a validator's messages reach, of those it sends them to. `None`: all of them.
pub type Reach = Option<Arc<Vec<PublicKey>>>;

/// A sender that reaches some only: how a validator withholds, and how twins divide a network.
#[derive(Clone, Debug)]
pub struct Routed {
    inner: Sender<PublicKey, Context>,
    reach: Reach,
}

impl Routed {
    pub fn reaching(&self, some: Arc<Vec<PublicKey>>) -> Self {
        Self {
            inner: self.inner.clone(),
            reach: Some(some),
        }
    }
}

impl LimitedSender for Routed {
    type PublicKey = PublicKey;
    type Checked<'a> = <Sender<PublicKey, Context> as LimitedSender>::Checked<'a>;

    fn check(&mut self, to: Recipients<PublicKey>) -> Result<Self::Checked<'_>, SystemTime> {
        let Some(reach) = &self.reach else {
            return self.inner.check(to);
        };
        let among = |some: &[PublicKey]| -> Vec<PublicKey> {
            let kept = some.iter().filter(|key| reach.contains(key));
            kept.cloned().collect()
        };
        self.inner.check(Recipients::Some(match to {
            Recipients::All => reach.to_vec(),
            Recipients::Some(some) => among(&some),
            Recipients::One(one) => among(&[one]),
        }))
    }
}

/// Both ends of one channel.
pub type Port = (Routed, Receiver<PublicKey>);

impl Shared {
    /// Opens a validator's channel; whoever had it before hears nothing any more.
    pub async fn port(&self, key: &PublicKey, number: u64, reach: &Reach) -> Port {
        let control = self.oracle.control(key.clone());
        let opened = control.register(number, channel::quota(number)).await;
        let (inner, receiver) = opened.unwrap();
        let reach = reach.clone();
        (Routed { inner, reach }, receiver)
    }

    /// All channels of a validator; its blocks may reach fewer than its votes.
    pub async fn ports(
        &self,
        key: &PublicKey,
        votes: &Reach,
        blocks: &Reach,
    ) -> Channels<Routed, Receiver<PublicKey>> {
        Channels {
            votes: self.port(key, channel::VOTES, votes).await,
            certificates: self.port(key, channel::CERTIFICATES, votes).await,
            certificate_fetch: self.port(key, channel::CERTIFICATE_FETCH, votes).await,
            blocks: self.port(key, channel::BLOCKS, blocks).await,
            block_fetch: self.port(key, channel::BLOCK_FETCH, blocks).await,
            operations: self.port(key, channel::OPERATIONS, votes).await,
        }
    }
}

impl Seat {
    pub fn key(&self) -> PublicKey {
        self.key.clone()
    }

    /// Starts the node on what is left of its disk.
    pub fn start(
        &mut self,
        context: &Context,
        shared: &Shared,
        channels: Channels<Routed, Receiver<PublicKey>>,
    ) -> Running {
        self.starts += 1;
        let host = SimHost {
            context: Arc::new(context.child("host")),
            skew_ms: self.skew_ms,
            disk_ms: self.disk_ms,
        };
        let log = BlockLog::with_tables(self.disk.tables()).unwrap();
        let machine = Machine::open(shared.genesis.clone(), self.store.clone(), log).unwrap();
        let machine = Arc::new(machine);
        if self.honest {
            let owed = shared.witness.lock().unwrap().durable(self.who);
            let found = machine.tip().height;
            assert!(
                found >= owed,
                "validator {} answered for height {owed} and has {found}",
                self.who
            );
        }
        let mempool = Arc::new(Mempool::default());
        let alive = Arc::new(AtomicBool::new(true));
        let chain = Witnessed {
            who: self.who,
            producer: Producer::on(host.clone(), machine.clone(), mempool.clone()),
            host: host.clone(),
            machine: machine.clone(),
            witness: shared.witness.clone(),
            honest: self.honest,
            alive: alive.clone(),
        };
        let rules = BlockRules::of::<Witnessed>(MAX_BLOCK_BYTES);
        let parts = Parts {
            store_prefix: self.name.clone(),
            genesis: rules.read(crate::engine::Chain::genesis(&chain)).unwrap(),
            chain,
            namespace: shared.genesis.namespace(),
            hash_function: shared.genesis.hash_function(),
            identity_seed: self.identity_seed,
            shares: Arc::new(self.shares.clone()),
            rules,
            timeouts: Timeouts::allowing(HEARTBEAT),
            peers: shared.oracle.manager(),
            blocker: shared.oracle.control(self.key()),
            channels,
        };
        let who = self.who;
        let process = context
            .child("validator")
            .with_attribute("who", who)
            .with_attribute("start", self.starts);
        let handle = process.spawn(move |context| async move {
            let tasks = wiring::start(context.child("engine"), parts).await.unwrap();
            let _ended = select_all(tasks).await;
            panic!("a part of validator {who} ended by itself");
        });
        Running {
            handle,
            alive,
            machine,
            mempool,
            host,
        }
    }

    /// What is left after the process ended or the power went.
    pub fn lose_power(&mut self, keeps_state: bool) {
        self.disk = self.disk.cut();
        if !keeps_state {
            self.store = Arc::default();
        }
    }
}
