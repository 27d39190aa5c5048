//! Real processes to measure: validators, or a whole nation, in a temporary folder.
//!
//! Both are started from this very program and end with their value: asked to stop first, killed
//! if they do not, and then their folder is removed. If this process is itself killed, the parts
//! read the end of their standard input and stop too.

use super::apply::folder;
use super::traffic::Traffic;
use super::{broken, clock};
use crate::cli::NationDir;
use crate::fail::Fail;
use crate::nation::{Nation, SERVICE_NAMES, no_http, now_ms, random};
use realdid_core::genesis::{Genesis, MAX_EPOCH_S, NetworkKey, Parameters, PeerKey};
use realdid_gate::Accounts;
use realdid_node::config::{NodeConfig, Peer, ValidatorKeys, example_config};
use realdid_node::engine::deal;
use realdid_serve::files;
use realdid_wallet::enrol::{By, enrol};
use realdid_wallet::http::Http;
use realdid_wallet::wallet::Wallet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const READY_WAIT: Duration = Duration::from_secs(90);
const STOP_WAIT: Duration = Duration::from_secs(20);

/// A process of this program.
struct Process(Child);

impl Process {
    fn start(args: &[&str], environment: &[(&str, &str)], log: &Path) -> Result<Self, Fail> {
        let cannot = |_| broken("this program can start itself again");
        let log = std::fs::File::create(log).map_err(|error| files::FileError::of(log, &error))?;
        let program = std::env::current_exe().map_err(cannot)?;
        let mut command = Command::new(program);
        command
            .args(args)
            .envs(environment.iter().copied())
            // A terminal's Ctrl-C is for this process, which then ends the others in order.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log);
        command.spawn().map(Self).map_err(cannot)
    }

    fn ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let pid = self.0.id().to_string();
        if !self.ended() {
            let _asked = Command::new("kill").args(["-TERM", &pid]).status();
        }
        let until = Instant::now() + STOP_WAIT;
        while !self.ended() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(50));
        }
        let (_killed, _reaped) = (self.0.kill(), self.0.wait());
    }
}

/// Validators of a network that has one issuer: ours. Often it is one alone.
pub struct Committee {
    members: Vec<Member>,
    pub genesis: Genesis,
    /// Last, so that it goes after the processes.
    _folder: TempDir,
}

struct Member {
    process: Process,
    url: String,
}

impl Committee {
    pub async fn start(traffic: &Traffic, validators: usize) -> Result<Self, Fail> {
        let folder = folder()?;
        let mut seed = [0; 32];
        random(&mut seed)?;
        let dealt = deal(validators as u32, &seed).map_err(Fail::of)?;
        let genesis = Genesis {
            version: 1,
            network: traffic.network.clone(),
            time_ms: now_ms(),
            parameters: Parameters {
                // Operations that are signed beforehand stand all the while.
                epoch_s: if validators > 1 { MAX_EPOCH_S } else { 60 },
                ..Parameters::development()
            },
            network_key: dealt
                .network_key
                .as_slice()
                .try_into()
                .map(NetworkKey)
                .map_err(|_| broken("the dealt network key is 96 bytes"))?,
            validators: dealt
                .validators
                .iter()
                .map(|validator| PeerKey(validator.public_key))
                .collect(),
            governance: traffic.governance(),
            issuers: vec![traffic.issuer.clone()],
            ceremony: None,
            predecessor: None,
        };
        let listen = free_addresses(validators)?;
        let p2p = free_addresses(validators)?;
        let peers: Vec<Peer> = genesis
            .validators
            .iter()
            .zip(&p2p)
            .map(|(key, address)| Peer {
                public_key: key.to_string(),
                address: *address,
            })
            .collect();
        let mut members = Vec::new();
        for (who, validator) in dealt.validators.iter().enumerate() {
            let dir = folder.path().join(format!("node-{who}"));
            files::create_private_dir(&dir)?;
            let config = NodeConfig {
                recognised: Vec::new(),
                key_days: None,
                dir: ".".into(),
                genesis: "genesis.cbor".into(),
                listen: listen[who],
                public_url: None,
                tls: None,
                p2p_listen: p2p[who],
                private_network: false,
                peers: peers.clone(),
                supervised: false,
            };
            let keys = ValidatorKeys::dealt(validator, &dealt.polynomial);
            keys.write(&dir.join("validator.json")).map_err(Fail::of)?;
            files::write_atomic(&dir.join("genesis.cbor"), &genesis.encode(), files::PUBLIC)?;
            let file = dir.join("node.toml");
            files::write_private(&file, example_config(&config).as_bytes())?;
            let process = Process::start(
                &["node", "--config", &file.to_string_lossy()],
                &[("REALDID_NODE_SUPERVISED", "true")],
                &dir.join("node.log"),
            )?;
            let url = format!("http://{}", listen[who]);
            members.push(Member { process, url });
        }
        let http = http()?;
        for Member { process, url } in &mut members {
            let probe = format!("{url}/readyz");
            wait(process, async || {
                http.get(&probe)
                    .send()
                    .await
                    .is_ok_and(|answer| answer.status().is_success())
            })
            .await?;
        }
        Ok(Self {
            members,
            genesis,
            _folder: folder,
        })
    }

    /// Where a validator answers.
    pub fn url(&self, who: usize) -> &str {
        &self.members[who].url
    }

    pub fn urls(&self) -> Vec<String> {
        self.members
            .iter()
            .map(|member| member.url.clone())
            .collect()
    }

    /// The processor time of all validators so far, in seconds.
    pub fn total_cpu_s(&self) -> Result<f64, Fail> {
        (0..self.members.len()).map(|who| self.cpu_s(who)).sum()
    }

    /// The processor time of a validator so far, in seconds.
    pub fn cpu_s(&self, who: usize) -> Result<f64, Fail> {
        clock::of(&self.members[who].process.0.id().to_string())
    }

    /// Ends a validator at once, as a power cut would.
    pub fn kill(&mut self, who: usize) -> Result<(), Fail> {
        let process = &mut self.members[who].process.0;
        let ended = process.kill().and_then(|()| process.wait());
        ended
            .map(|_| ())
            .map_err(|_| broken("a process can be killed"))
    }
}

/// A gate alone.
pub struct Gate {
    process: Process,
    pub url: String,
    /// Last, so that it goes after the process.
    _folder: TempDir,
}

impl Gate {
    /// A folder and an address for a gate that is to be set up.
    pub fn place() -> Result<(TempDir, SocketAddr), Fail> {
        let listen = free_addresses(1)?.pop().ok_or_else(no_ports)?;
        Ok((folder()?, listen))
    }

    /// Starts the gate whose `gate.toml` stands in the folder, and waits until it is ready.
    pub async fn start(folder: TempDir, listen: SocketAddr) -> Result<Self, Fail> {
        let mut process = Process::start(
            &[
                "gate",
                "--config",
                &folder.path().join("gate.toml").to_string_lossy(),
            ],
            &[("REALDID_GATE_SUPERVISED", "true")],
            &folder.path().join("gate.log"),
        )?;
        let url = format!("http://{listen}");
        let (http, probe) = (http()?, format!("{url}/readyz"));
        wait(&mut process, async || {
            http.get(&probe)
                .send()
                .await
                .is_ok_and(|answer| answer.status().is_success())
        })
        .await?;
        Ok(Self {
            process,
            url,
            _folder: folder,
        })
    }

    /// The processor time of the gate so far, in seconds.
    pub fn cpu_s(&self) -> Result<f64, Fail> {
        clock::of(&self.process.0.id().to_string())
    }

    /// What it counts (`/metrics`).
    pub async fn metrics(&self) -> Result<String, Fail> {
        let no_answer = |_| broken("the gate tells its metrics");
        let answer = http()?.get(format!("{}/metrics", self.url)).send().await;
        answer.map_err(no_answer)?.text().await.map_err(no_answer)
    }
}

/// All parts of a small nation, by `realdid up`.
pub struct RunningNation {
    _up: Process,
    pub nation: Nation,
    /// For a wallet; last, so that it goes after the processes.
    pub folder: TempDir,
}

impl RunningNation {
    /// A nation whose demo services know people by persons or by DIDs.
    pub async fn start(accounts: Accounts) -> Result<Self, Fail> {
        let folder = folder()?;
        let up = up(&folder, &[0], &["--accounts", accounts.name()]).await?;
        Ok(Self {
            _up: up,
            nation: nation(&folder.path().join("up"))?,
            folder,
        })
    }

    /// The processor time of the first gate so far, in seconds.
    pub fn gate_cpu_s(&self) -> Result<f64, Fail> {
        gate_cpu_s(&self.nation, 0)
    }
}

/// `realdid up` in a folder's `up`, with these options, on ports that are free from these places on; it is
/// ready.
async fn up(folder: &TempDir, places: &[u16], options: &[&str]) -> Result<Process, Fail> {
    let (dir, ready) = (folder.path().join("up"), folder.path().join("ready.json"));
    let (dir, port_base) = (dir.to_string_lossy(), free_port_base(places)?.to_string());
    let file = ready.to_string_lossy();
    let common = [
        "up",
        "--dir",
        &dir,
        "--port-base",
        &port_base,
        "--ready-file",
        &file,
    ];
    let args = [&common, options].concat();
    let mut up = Process::start(&args, &[], &folder.path().join("up.log"))?;
    wait(&mut up, async || ready.exists()).await?;
    Ok(up)
}

fn nation(dir: &Path) -> Result<Nation, Fail> {
    Nation::read(dir)?.ok_or_else(|| broken("realdid up makes a nation"))
}

/// A new wallet of a nation's first resident, enrolled there.
pub async fn enrolled(nation: &Nation, dir: &Path) -> Result<(Wallet, Http), Fail> {
    let residents = crate::part::residents(&NationDir {
        dir: nation.dir.clone(),
    })?;
    let evidence = residents["residents"][0]["evidence"]
        .as_str()
        .ok_or_else(|| broken("there is a resident to enrol"))?;
    let (mut wallet, _) = Wallet::create(dir, None)?;
    let (http, by) = (Http::new()?, By::File(evidence.into()));
    enrol(&mut wallet, &http, &nation.authority_url(), &by, None).await?;
    Ok((wallet, http))
}

fn gate_cpu_s(nation: &Nation, service: u16) -> Result<f64, Fail> {
    let file = format!("run/gate-{}.pid", SERVICE_NAMES[usize::from(service)].0);
    let pid = std::fs::read_to_string(nation.dir.join(file))
        .map_err(|_| broken("realdid up writes the gate's process id"))?;
    clock::of(pid.trim())
}

/// Two networks that recognise each other, by `realdid up`.
pub struct RunningNeighbours {
    _up: Process,
    pub cn: Nation,
    pub intl: Nation,
    /// For wallets; last, so that it goes after the processes.
    pub folder: TempDir,
}

impl RunningNeighbours {
    pub async fn start() -> Result<Self, Fail> {
        let folder = folder()?;
        let up = up(&folder, &[0, 100], &["--networks", "cn,intl"]).await?;
        let dir = folder.path().join("up");
        Ok(Self {
            _up: up,
            cn: nation(&dir.join("cn"))?,
            intl: nation(&dir.join("intl"))?,
            folder,
        })
    }

    /// The processor time of a nation's gate so far, in seconds.
    pub fn gate_cpu_s(&self, nation: &Nation, service: u16) -> Result<f64, Fail> {
        gate_cpu_s(nation, service)
    }
}

/// One more process of a nation's authority, on a port of its own.
pub struct AuthorityProcess {
    process: Process,
    pub url: String,
}

impl AuthorityProcess {
    pub async fn start(
        running: &RunningNation,
        environment: &[(&str, &str)],
    ) -> Result<Self, Fail> {
        let nation = &running.nation;
        let listen = free_addresses(1)?.pop().ok_or_else(no_ports)?;
        let file = nation.dir.join("authority/authority.toml");
        let mut process = Process::start(
            &[
                "authority",
                "--config",
                &file.to_string_lossy(),
                "--listen",
                &listen.to_string(),
                "--public-url",
                &nation.authority_url(),
            ],
            environment,
            &running.folder.path().join(format!("{}.log", listen.port())),
        )?;
        let url = format!("http://{listen}");
        let (http, probe) = (http()?, format!("{url}/readyz"));
        wait(&mut process, async || {
            http.get(&probe)
                .send()
                .await
                .is_ok_and(|answer| answer.status().is_success())
        })
        .await?;
        Ok(Self { process, url })
    }

    /// The processor time of the process so far, in seconds.
    pub fn cpu_s(&self) -> Result<f64, Fail> {
        clock::of(&self.process.0.id().to_string())
    }
}

/// A client that follows no redirects and keeps its connections.
pub fn http() -> Result<reqwest::Client, Fail> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(20))
        .build()
        .map_err(|_| no_http())
}

async fn wait(process: &mut Process, ready: impl AsyncFn() -> bool) -> Result<(), Fail> {
    let until = Instant::now() + READY_WAIT;
    while !ready().await {
        if process.ended() || Instant::now() > until {
            return Err(broken("a network of one machine starts"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Addresses on loopback that nobody listens on now.
fn free_addresses(count: usize) -> Result<Vec<SocketAddr>, Fail> {
    let listen = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    // All at once, so that none is found twice.
    let listening: Result<Vec<_>, _> = (0..count).map(listen).collect();
    let found = listening.and_then(|all| all.iter().map(TcpListener::local_addr).collect());
    found.map_err(|_| no_ports())
}

/// The first port such that those that a nation uses are free now, counted from it and these places.
fn free_port_base(places: &[u16]) -> Result<u16, Fail> {
    let nation = |port_base| Nation {
        neighbours: Vec::new(),
        suite: crate::nation::Suites::All,
        dir: "".into(),
        network: "dev".to_owned(),
        port_base,
        validators: 1,
        epoch_s: 60,
        accounts: Accounts::Person,
    };
    let free = |base: &u16| {
        let addresses = places
            .iter()
            .flat_map(|place| nation(base + place).addresses());
        addresses
            .into_iter()
            .all(|address| TcpListener::bind(address).is_ok())
    };
    (21_000..29_800).step_by(50).find(free).ok_or_else(no_ports)
}

fn no_ports() -> Fail {
    Fail::machine(
        "bench.ports",
        "some ports on loopback are free",
        "stop what listens there",
    )
}
