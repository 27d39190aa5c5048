//! `realdid up`: a small nation, each part a process of its own.
//!
//! The parts are watched, not mothered: one that ends is reported and the others go on, so that
//! anyone can stop the authority and see that logins still work. Each child reads its standard
//! input to the end and then exits, so that none outlives this process, however that ends.

use crate::cli::UpArgs;
use crate::fail::Fail;
use crate::nation::{Nation, Neighbour, POLICY_FILE, SERVICE_NAMES, Suites, absolute, part_name};
use crate::network;
use crate::register::{self, Wanted, client_secret};
use indicatif::{ProgressBar, ProgressStyle};
use realdid_core::genesis::Genesis;
use realdid_exchange::oidc::secret_hash;
use realdid_gate::write_config;
use realdid_light::http::NodeClient;
use realdid_serve::files::{self, FileError};
use serde_json::json;
use std::fs::{File, OpenOptions};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

/// How many ports a nation uses, and some to spare: where the next one's begin.
const PORTS: u16 = 100;
/// How long a part may take until it is ready.
const READY_WAIT: Duration = Duration::from_secs(90);
/// How long ports of a nation that was just killed may take to come free.
const PORT_WAIT: Duration = Duration::from_secs(8);
/// How long the parts may take to stop.
const STOP_WAIT: Duration = Duration::from_secs(15);

pub async fn run(args: UpArgs) -> Result<(), Fail> {
    let nations = nations(&args)?;
    let mut locks = Vec::new();
    for nation in &nations {
        for folder in [&args.nation.dir, &nation.dir] {
            files::create_private_dir(folder)?;
        }
        locks.push(lock(&nation.dir)?);
    }
    if let Some(file) = &args.ready_file {
        let _absent_is_fine = std::fs::remove_file(file);
    }
    let steps = Steps::new();
    let mut parts = Parts::default();
    let started = tokio::select! {
        started = start_all(&nations, &steps, &mut parts) => started,
        () = realdid_serve::shutdown_signal() => {
            steps.done();
            parts.stop().await;
            return Ok(());
        }
    };
    steps.done();
    if let Err(fail) = started {
        parts.stop().await;
        return Err(fail);
    }
    if let Some(file) = &args.ready_file {
        let facts = match nations.as_slice() {
            [nation] if args.networks.is_empty() => addresses(nation),
            nations => {
                let each = nations
                    .iter()
                    .map(|nation| (nation.network.clone(), addresses(nation)));
                json!({ "networks": each.collect::<serde_json::Map<_, _>>() })
            }
        };
        files::write_atomic(file, format!("{facts}\n").as_bytes(), files::PUBLIC)?;
    }
    nations.iter().for_each(announce);
    println!("\nCtrl-C stops everything; the next start goes on where this one ended.");
    parts.watch(realdid_serve::shutdown_signal()).await;
    eprintln!("Stopping.");
    parts.stop().await;
    Ok(())
}

/// The nation in the folder, or one in a folder of its own for each network that is named.
fn nations(args: &UpArgs) -> Result<Vec<Nation>, Fail> {
    let dir = absolute(&args.nation.dir)?;
    let of = |network: &str, suite: Suites, dir: PathBuf, index: usize| Nation {
        dir,
        network: network.to_owned(),
        port_base: args.port_base.saturating_add(PORTS * index as u16),
        validators: args.validators,
        epoch_s: args.epoch_s,
        accounts: args.accounts,
        neighbours: Vec::new(),
        suite,
    };
    if args.networks.is_empty() {
        return Ok(vec![the_nation(of(&args.network, args.suite, dir, 0))?]);
    }
    let names = args.networks.iter().enumerate();
    let mut asked: Vec<Nation> = names
        .map(|(index, (name, suite))| of(name, *suite, dir.join(name), index))
        .collect();
    let twice = |nation: &Nation| asked.iter().filter(|o| o.network == nation.network).count() > 1;
    if asked.iter().any(twice) {
        return Err(Fail::user(
            "network.twice",
            "each network is named once",
            "give --networks names that differ",
        ));
    }
    let all = asked.clone();
    for nation in &mut asked {
        let others = all.iter().filter(|other| other.network != nation.network);
        let neighbours = others.map(|other| Neighbour {
            network: other.network.clone(),
            nodes: other.node_urls(),
        });
        nation.neighbours = neighbours.collect();
    }
    asked.into_iter().map(the_nation).collect()
}

/// The nation in the folder, or a new one. What was decided when it was made cannot be changed.
fn the_nation(asked: Nation) -> Result<Nation, Fail> {
    match Nation::read(&asked.dir)? {
        None => Ok(asked),
        Some(made) if made == asked => Ok(made),
        Some(made) => Err(Fail::user(
            "nation.other",
            &format!(
                "a nation keeps what it was made with: --network {} --port-base {} --validators {} --epoch-s {} --accounts {} --suite {}, and the networks beside it",
                made.network,
                made.port_base,
                made.validators,
                made.epoch_s,
                made.accounts.name(),
                made.suite.name()
            ),
            "give the same again, or another folder with --dir",
        )),
    }
}

/// One `up` for each folder.
fn lock(dir: &Path) -> Result<File, Fail> {
    let path = dir.join("up.lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| FileError::of(&path, &error))?;
    file.try_lock().map_err(|_| {
        Fail::user(
            "nation.running",
            "one `realdid up` runs in a folder",
            "stop the other one, or give another folder with --dir",
        )
    })?;
    Ok(file)
}

async fn start_all(nations: &[Nation], steps: &Steps, parts: &mut Parts) -> Result<(), Fail> {
    steps.begin("Looking at the ports");
    for nation in nations {
        ports_free(nation).await?;
    }
    steps.begin("Making keys and genesis");
    for nation in nations {
        if nation.make()? {
            steps.note(&format!("a new nation in {}", nation.dir.display()));
        }
    }
    for nation in nations {
        nation.meet(nations)?;
    }
    for nation in nations {
        start(nation, steps, parts).await?;
    }
    for nation in nations.iter().filter(|n| !n.neighbours.is_empty()) {
        steps.begin("Recognising each other");
        recognise(nation, parts).await?;
    }
    Ok(())
}

/// The nation's governance recognises its neighbours, and relays carry their checkpoints here.
async fn recognise(nation: &Nation, parts: &mut Parts) -> Result<(), Fail> {
    for (index, neighbour) in (0u16..).zip(&nation.neighbours) {
        network::recognise_in_development(nation, neighbour).await?;
        let dir = neighbour.relay_dir();
        let name = dir.to_string_lossy();
        let label = Some(neighbour.network.as_str());
        parts.spawn(nation, &name, "relay", &["relay"], "relay.toml", label)?;
        parts.ready(&nation.relay_url(index)).await?;
    }
    Ok(())
}

async fn start(nation: &Nation, steps: &Steps, parts: &mut Parts) -> Result<(), Fail> {
    let genesis = genesis(nation)?;
    let of = match nation.neighbours.is_empty() {
        true => String::new(),
        false => format!(" of {}", nation.network),
    };
    let begin = |step: &str| steps.begin(&format!("{step}{of}"));
    begin("Starting the ledger");
    for index in 0..u16::from(nation.validators) {
        parts.spawn(
            nation,
            &part_name("node", index),
            "node",
            &["node"],
            "node.toml",
            None,
        )?;
    }
    for url in nation.node_urls() {
        parts.ready(&url).await?;
    }
    begin("Starting the authority and the registrar");
    parts.spawn(
        nation,
        "authority",
        "authority",
        &["authority"],
        "authority.toml",
        None,
    )?;
    parts.spawn(
        nation,
        "registrar",
        "registrar",
        &["registrar"],
        "registrar.toml",
        None,
    )?;
    parts.ready(&nation.authority_url()).await?;
    parts.ready(&nation.registrar_url()).await?;
    let authority = nation.dir.join("authority");
    realdid_authority::residents(&authority).map_err(Fail::of)?;
    realdid_authority::organisations(&authority).map_err(Fail::of)?;

    begin("Registering the services");
    for index in 0..SERVICE_NAMES.len() as u16 {
        register_service(nation, index, &genesis).await?;
    }
    begin("Starting gates and services");
    for (index, (name, _)) in (0u16..).zip(SERVICE_NAMES) {
        let gate = format!("gates/{name}");
        parts.spawn(nation, &gate, "gate", &["gate"], "gate.toml", Some(name))?;
        let service = format!("services/{name}");
        parts.spawn(
            nation,
            &service,
            "demo",
            &["demo"],
            "service.toml",
            Some(name),
        )?;
        parts.ready(&nation.gate_url(index)).await?;
        parts.ready(&nation.service_url(index)).await?;
    }
    Ok(())
}

/// Registers a demo service once, and writes its gate's and its own configuration.
async fn register_service(nation: &Nation, index: u16, genesis: &Genesis) -> Result<(), Fail> {
    let (name, title) = SERVICE_NAMES[usize::from(index)];
    let gate = nation.dir.join("gates").join(name);
    let service = nation.dir.join("services").join(name);
    // Written last, so that it says that all of this is done.
    let done = service.join("service.toml");
    if done.exists() {
        return Ok(());
    }
    for folder in [gate.parent(), service.parent(), Some(&gate), Some(&service)] {
        files::create_private_dir(folder.unwrap_or(&gate))?;
    }
    let wants = nation.wants(index);
    let wanted = Wanted {
        name: title.to_owned(),
        domains: nation.gate_domains(index),
        purposes: wants.purposes,
        claims: [wants.claims, wants.more].concat(),
    };
    let node = NodeClient::new(nation.node_urls())?;
    register::register(
        &nation.registrar_url(),
        &gate,
        &wanted,
        genesis.clone(),
        &node,
    )
    .await?;
    let secret = client_secret()?;
    let setup = nation.gate_setup(index, secret_hash(&secret));
    if setup.policy.is_some() {
        let policy = realdid_gate::EXAMPLE_POLICY.as_bytes();
        files::write_private(&gate.join(POLICY_FILE), policy)?;
    }
    write_config(&gate.join("gate.toml"), &setup).map_err(Fail::of)?;
    let config = nation.demo_config(index, secret);
    let text = toml::to_string_pretty(&config).map_err(Fail::of)?;
    files::write_private(&done, text.as_bytes())?;
    Ok(())
}

fn genesis(nation: &Nation) -> Result<Genesis, Fail> {
    let path = nation.genesis_file();
    let bytes = std::fs::read(&path).map_err(|error| FileError::of(&path, &error))?;
    Genesis::decode(&bytes).map_err(|_| {
        Fail::user(
            "genesis.malformed",
            "genesis.cbor is the canonical genesis of this nation",
            "restore the file; without it the nation cannot be started",
        )
    })
}

/// Every port is free, or comes free soon: a nation that was killed lets go of its ports within
/// seconds.
async fn ports_free(nation: &Nation) -> Result<(), Fail> {
    let until = Instant::now() + PORT_WAIT;
    for address in nation.addresses() {
        while let Err(error) = TcpListener::bind(address) {
            if Instant::now() > until {
                return Err(port_taken(address, &error));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

fn port_taken(address: SocketAddr, error: &std::io::Error) -> Fail {
    Fail::user(
        "port.in_use",
        &format!("nothing else listens on {address} ({})", error.kind()),
        "stop the program there, or choose other ports with --port-base and another --dir",
    )
}

/// What `--ready-file` receives.
fn addresses(nation: &Nation) -> serde_json::Value {
    let services = 0..SERVICE_NAMES.len() as u16;
    let gates: Vec<String> = services
        .clone()
        .map(|index| nation.gate_url(index))
        .collect();
    let services: Vec<String> = services.map(|index| nation.service_url(index)).collect();
    let nodes = nation.node_urls();
    json!({
        "node": nodes.first(),
        "nodes": nodes,
        "authority": nation.authority_url(),
        "registrar": nation.registrar_url(),
        "gates": gates,
        "services": services,
        "network": nation.network,
    })
}

fn announce(nation: &Nation) {
    let dir = nation.dir.display();
    println!("The network {} is up. Open:\n", nation.network);
    for (index, (_, title)) in (0u16..).zip(SERVICE_NAMES) {
        println!(
            "  {title:<16} {}   (gate {})",
            nation.service_url(index),
            nation.gate_url(index)
        );
    }
    println!("  {:<16} {}", "Authority", nation.authority_url());
    println!("  {:<16} {}", "Registrar", nation.registrar_url());
    for url in nation.node_urls() {
        println!("  {:<16} {url}", "Ledger");
    }
    println!(
        "\nFor development: this machine dealt the validators' key and has had it whole.\n\
         Try it, in another terminal:\n\n  \
         realdid authority residents --dir {dir}\n  \
         realdid wallet --dir wallet enrol --authority {} --evidence {dir}/authority/residents/r-0001.json\n  \
         realdid wallet --dir wallet login {}\n\n\
         Logs are in {dir}/logs.",
        nation.authority_url(),
        nation.service_url(0),
    );
}

/// The running processes.
#[derive(Default)]
struct Parts {
    running: Vec<Part>,
}

struct Part {
    name: String,
    child: Child,
    log: PathBuf,
    pid_file: PathBuf,
}

impl Parts {
    /// Starts one part. Its folder is `name` in the nation's; `label` tells two of a kind apart.
    fn spawn(
        &mut self,
        nation: &Nation,
        name: &str,
        kind: &str,
        command: &[&str],
        config: &str,
        label: Option<&str>,
    ) -> Result<(), Fail> {
        let short = label.map_or_else(|| name.to_owned(), |label| format!("{kind}-{label}"));
        let log = nation.dir.join("logs").join(format!("{short}.log"));
        let open = || OpenOptions::new().create(true).append(true).open(&log);
        let out = open().map_err(|error| FileError::of(&log, &error))?;
        let err = open().map_err(|error| FileError::of(&log, &error))?;
        let program = std::env::current_exe().map_err(|_| no_program())?;
        let child = Command::new(program)
            .args(command)
            .arg("--config")
            .arg(nation.dir.join(name).join(config))
            .env(
                format!("REALDID_{}_SUPERVISED", kind.to_uppercase()),
                "true",
            )
            // A terminal's Ctrl-C is for this process; it tells the parts in its own order.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(out)
            .stderr(err)
            .spawn()
            .map_err(|_| no_program())?;
        let pid_file = nation.dir.join("run").join(format!("{short}.pid"));
        let pid = child.id().unwrap_or_default().to_string();
        files::write_atomic(&pid_file, pid.as_bytes(), files::PUBLIC)?;
        let name = match nation.neighbours.is_empty() {
            true => short,
            false => format!("{}/{short}", nation.network),
        };
        self.running.push(Part {
            name,
            child,
            log,
            pid_file,
        });
        Ok(())
    }

    /// Waits until a part says that it is ready. A part that ends before is the failure.
    async fn ready(&mut self, url: &str) -> Result<(), Fail> {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(5))
            .build()
            .map_err(|_| crate::nation::no_http())?;
        let until = Instant::now() + READY_WAIT;
        loop {
            if let Some(part) = self.ended() {
                return Err(part.failure());
            }
            let answer = client.get(format!("{url}/readyz")).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(Fail::machine(
                    "nation.not_ready",
                    &format!("{url} is ready within {} s", READY_WAIT.as_secs()),
                    "read its log in the nation's folder; start again",
                ));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A part that has ended, if one has.
    fn ended(&mut self) -> Option<Part> {
        let ended = |part: &mut Part| !matches!(part.child.try_wait(), Ok(None));
        let index = self.running.iter_mut().position(ended)?;
        Some(self.running.remove(index))
    }

    /// Reports parts that end, until `stop`.
    async fn watch(&mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => return,
                () = tokio::time::sleep(Duration::from_millis(250)) => {}
            }
            while let Some(part) = self.ended() {
                let _gone = std::fs::remove_file(&part.pid_file);
                eprintln!("{}", part.failure().line());
                eprintln!("The others go on.");
            }
        }
    }

    /// Asks every part to stop, the ledger last, and waits.
    async fn stop(mut self) {
        while let Some(mut part) = self.running.pop() {
            if let Some(pid) = part.child.id() {
                let _sent = terminate(pid).await;
            }
            if tokio::time::timeout(STOP_WAIT, part.child.wait())
                .await
                .is_err()
            {
                let _killed = part.child.kill().await;
            }
            let _gone = std::fs::remove_file(&part.pid_file);
        }
    }
}

impl Part {
    /// The last line of its log is the reason, in the form that every part gives.
    fn failure(&self) -> Fail {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let line = log.lines().rev().find(|line| !line.trim().is_empty());
        match line {
            Some(line) if line.contains("; fault: ") => {
                Fail::of(format!("{line} (part {})", self.name))
            }
            _ => Fail::machine(
                "part.ended",
                &format!("the part {} keeps running", self.name),
                &format!(
                    "read {}; start it again with `realdid up`",
                    self.log.display()
                ),
            ),
        }
    }
}

/// SIGTERM by the system's own program: signals need unsafe code or a library otherwise.
async fn terminate(pid: u32) -> std::io::Result<()> {
    Command::new("kill")
        .args(["-TERM", &pid.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await
        .map(|_| ())
}

fn no_program() -> Fail {
    Fail::machine(
        "part.start",
        "this program can start itself again as a part",
        "run it from a file that stays where it is, with processes to spare",
    )
}

/// What is being done now: a spinner on a terminal, plain lines elsewhere.
struct Steps {
    bar: Option<ProgressBar>,
}

impl Steps {
    fn new() -> Self {
        use std::io::IsTerminal as _;
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self { bar }
    }

    fn begin(&self, step: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(step.to_owned()),
            None => eprintln!("{step} …"),
        }
    }

    fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => eprintln!("  {text}"),
        }
    }

    fn done(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
