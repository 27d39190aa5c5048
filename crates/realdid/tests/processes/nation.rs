//! A nation under test.

use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_realdid");
const START_WAIT: Duration = Duration::from_secs(150);

/// A running nation. Dropping it kills `up`; the parts end with it.
pub struct Nation {
    pub dir: PathBuf,
    pub port_base: u16,
    pub ready: Value,
    accounts: &'static str,
    suite: &'static str,
    /// What its commands find in their environment beside the rest.
    environment: Vec<(&'static str, String)>,
    up: Option<Child>,
    _folder: Option<tempfile::TempDir>,
}

/// What a command answered.
pub struct Answer {
    pub ok: bool,
    pub json: Value,
    pub stderr: String,
}

impl Answer {
    /// The answer of a command that must have been done.
    #[track_caller]
    pub fn done(self) -> Value {
        assert!(self.ok, "not done: {}", self.stderr);
        self.json
    }

    /// The code of a refusal: what stands before the first colon of the one line.
    #[track_caller]
    pub fn refused(&self) -> &str {
        assert!(!self.ok, "done, where a refusal was due: {}", self.json);
        let line = self.stderr.trim_end().lines().last().unwrap_or_default();
        assert!(
            line.contains("; fault: ") && line.contains("; do: "),
            "not in the form of the contract: {line}"
        );
        line.split(':').next().unwrap_or_default()
    }
}

impl Nation {
    /// A nation whose demo services have one account a person.
    pub fn start() -> Self {
        Self::start_with("person", "all")
    }

    /// A nation whose demo services have one account a DID, with copies of the PID.
    pub fn start_with_dids() -> Self {
        Self::start_with("did", "all")
    }

    /// A nation of a suite; its demo services have one account for each of these.
    pub fn start_with(accounts: &'static str, suite: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut nation = Self {
            dir: folder.path().join("nation"),
            port_base: free_ports(&[0]),
            ready: Value::Null,
            accounts,
            suite,
            environment: Vec::new(),
            up: None,
            _folder: Some(folder),
        };
        nation.up();
        nation
    }

    /// Starts `realdid up` on the folder and waits for the ready file.
    pub fn up(&mut self) {
        assert!(self.up.is_none());
        let words = ["--accounts", self.accounts, "--suite", self.suite];
        let (up, ready) = start_up(&self.dir, self.port_base, &words, &[]);
        self.ready = ready;
        self.up = Some(up);
    }

    pub fn up_log(&self) -> String {
        up_log(&self.dir)
    }

    /// Ends `up` by a signal and waits for it and for its ports.
    pub fn stop(&mut self, signal: &str) {
        let mut up = self.up.take().unwrap();
        send(signal, up.id());
        let until = Instant::now() + Duration::from_secs(30);
        while up.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "up goes on after {signal}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Sends a signal to one part, by the name of its pid file, and waits until it is gone.
    pub fn kill_part(&self, name: &str, signal: &str) {
        let pid =
            std::fs::read_to_string(self.dir.join("run").join(format!("{name}.pid"))).unwrap();
        let pid: u32 = pid.trim().parse().unwrap();
        send(signal, pid);
        let until = Instant::now() + Duration::from_secs(30);
        // The parent reaps it and removes the pid file.
        while self.dir.join("run").join(format!("{name}.pid")).exists() {
            assert!(Instant::now() < until, "{name} goes on after {signal}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn url(&self, part: &str) -> String {
        let found = match part.split_once('/') {
            Some((list, index)) => &self.ready[list][index.parse::<usize>().unwrap()],
            None => &self.ready[part],
        };
        found.as_str().unwrap().to_owned()
    }

    /// Runs `realdid --json …`.
    pub fn run(&self, args: &[&str]) -> Answer {
        let output = Command::new(PROGRAM)
            .arg("--json")
            .args(args)
            .env("REALDID_DIR", &self.dir)
            .env("HOME", &self.dir)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let answer = answer(output);
        if answer.ok {
            crate::contract::keeps_its_keys(args, &answer.json);
        }
        answer
    }

    /// Runs `realdid --json wallet --dir W …`.
    pub fn wallet(&self, wallet: &str, args: &[&str]) -> Answer {
        let dir = self.wallet_dir(wallet);
        let dir = dir.to_str().unwrap();
        let args: Vec<&str> = ["wallet", "--dir", dir]
            .iter()
            .chain(args)
            .copied()
            .collect();
        self.run(&args)
    }

    /// The same, while a browser on this machine visits the address that the wallet prints.
    pub fn wallet_with_browser(
        &self,
        wallet: &str,
        args: &[&str],
        visit: impl AsyncFnOnce(&reqwest::Client, &str),
    ) -> Answer {
        let mut child = Command::new(PROGRAM)
            .args(["--json", "wallet", "--dir"])
            .arg(self.wallet_dir(wallet))
            .args(args)
            .env("HOME", &self.dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut page = String::new();
        let mut before = String::new();
        while !page.starts_with("http") {
            before.push_str(&page);
            page.clear();
            assert_ne!(
                said.read_line(&mut page).unwrap(),
                0,
                "no address: {before}"
            );
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let browser = reqwest::Client::builder().cookie_store(true);
            visit(&browser.build().unwrap(), page.trim()).await;
        });
        let drained = std::thread::spawn(move || {
            let mut rest = String::new();
            said.read_to_string(&mut rest).unwrap();
            rest
        });
        let mut output = child.wait_with_output().unwrap();
        output.stderr = drained.join().unwrap().into_bytes();
        let answer = answer(output);
        if answer.ok {
            let words = ["wallet"].iter().chain(args).copied();
            crate::contract::keeps_its_keys(&words.collect::<Vec<_>>(), &answer.json);
        }
        answer
    }

    pub fn wallet_dir(&self, wallet: &str) -> PathBuf {
        let nation = self.dir.file_name().unwrap().to_string_lossy();
        self.dir
            .with_file_name(format!("wallets-{nation}"))
            .join(wallet)
    }

    /// The synthetic residents: reference and evidence file.
    pub fn residents(&self) -> Vec<(String, String)> {
        let answer = self.run(&["authority", "residents"]).done();
        let pair = |resident: &Value| {
            let text = |name: &str| resident[name].as_str().unwrap().to_owned();
            (text("person"), text("evidence"))
        };
        answer["residents"]
            .as_array()
            .unwrap()
            .iter()
            .map(pair)
            .collect()
    }

    pub fn enrol(&self, wallet: &str, evidence: &str) -> Answer {
        self.wallet(
            wallet,
            &[
                "enrol",
                "--authority",
                &self.url("authority"),
                "--evidence",
                evidence,
            ],
        )
    }

    pub fn login(&self, wallet: &str, service: usize) -> Answer {
        self.wallet(
            wallet,
            &["login", &self.url(&format!("services/{service}"))],
        )
    }

    /// The service's own word about a session.
    pub fn me(&self, service: usize, login: &Value) -> Value {
        let url = format!("{}/me", self.url(&format!("services/{service}")));
        let cookie = login["sessionCookie"].as_str().unwrap();
        let (status, body) = get(&url, &[("cookie", cookie)]);
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }
}

/// Two networks that recognise each other, under one `realdid up`. `cn` has it, and both end with it.
pub struct Neighbours {
    pub cn: Nation,
    pub intl: Nation,
}

impl Neighbours {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Both, and all commands of both, find this in their environment.
    pub fn start_with(environment: &[(&'static str, String)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("nations");
        let port_base = free_ports(&[0, 100]);
        let (up, ready) = start_up(&dir, port_base, &["--networks", "cn,intl"], environment);
        let nation = |name: &str, index: u16| Nation {
            suite: "",
            environment: environment.to_vec(),
            dir: dir.join(name),
            port_base: port_base + 100 * index,
            ready: ready["networks"][name].clone(),
            accounts: "person",
            up: None,
            _folder: None,
        };
        let (mut cn, intl) = (nation("cn", 0), nation("intl", 1));
        cn.up = Some(up);
        cn._folder = Some(folder);
        Self { cn, intl }
    }
}

/// Starts `realdid up` on a folder and waits for what it says when it is ready.
fn start_up(
    dir: &Path,
    port_base: u16,
    more: &[&str],
    environment: &[(&str, String)],
) -> (Child, Value) {
    std::fs::create_dir_all(dir).unwrap();
    let ready = dir.join("ready.json");
    let _absent_at_first = std::fs::remove_file(&ready);
    let log = std::fs::File::create(dir.join("up.log")).unwrap();
    let mut up = Command::new(PROGRAM)
        .arg("up")
        .arg("--dir")
        .arg(dir)
        .args(["--port-base", &port_base.to_string()])
        .args(more)
        .arg("--ready-file")
        .arg(&ready)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let until = Instant::now() + START_WAIT;
    while !ready.exists() {
        if let Some(status) = up.try_wait().unwrap() {
            panic!("up ended with {status}: {}", up_log(dir));
        }
        assert!(Instant::now() < until, "not ready: {}", up_log(dir));
        std::thread::sleep(Duration::from_millis(100));
    }
    let ready = serde_json::from_slice(&std::fs::read(&ready).unwrap()).unwrap();
    (up, ready)
}

fn up_log(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("up.log")).unwrap_or_default()
}

impl Drop for Nation {
    fn drop(&mut self) {
        if let Some(up) = &mut self.up {
            let _ended = up.kill();
            let _reaped = up.wait();
        }
        if std::thread::panicking() {
            eprintln!("{}", self.up_log());
            for log in std::fs::read_dir(self.dir.join("logs"))
                .into_iter()
                .flatten()
                .flatten()
            {
                let text = std::fs::read_to_string(log.path()).unwrap_or_default();
                let tail: Vec<&str> = text.lines().rev().take(12).collect();
                eprintln!("--- {}", log.file_name().to_string_lossy());
                tail.iter().rev().for_each(|line| eprintln!("{line}"));
            }
        }
    }
}

pub fn answer(output: Output) -> Answer {
    let stdout = String::from_utf8(output.stdout).unwrap();
    let json = if output.status.success() {
        assert_eq!(stdout.lines().count(), 1, "exactly one object: {stdout}");
        serde_json::from_str(&stdout).unwrap()
    } else {
        assert_eq!(stdout, "", "a refusal prints nothing on standard output");
        Value::Null
    };
    Answer {
        ok: output.status.success(),
        json,
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// One GET over plain HTTP.
pub fn get(url: &str, headers: &[(&str, &str)]) -> (u16, String) {
    request(url, headers, reqwest::redirect::Policy::none())
}

/// A GET that goes where it is sent on.
pub fn follow(url: &str, headers: &[(&str, &str)]) -> (u16, String) {
    request(url, headers, reqwest::redirect::Policy::limited(5))
}

fn request(
    url: &str,
    headers: &[(&str, &str)],
    redirects: reqwest::redirect::Policy,
) -> (u16, String) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::builder()
            .redirect(redirects)
            .timeout(Duration::from_secs(20))
            .build()
            .unwrap();
        let mut request = client.get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.text().await.unwrap())
    })
}

pub fn send(signal: &str, pid: u32) {
    let sent = Command::new("kill")
        .args([signal, &pid.to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// The first of ports that are free now, below 30000: fifty after each of these places. Each test
/// process begins elsewhere.
fn free_ports(places: &[u16]) -> u16 {
    let start = std::process::id() as u16 % 180;
    (0..180u16)
        .map(|step| 20_500 + (start + step) % 180 * 50)
        .find(|base| {
            let offsets = [0, 10, 11, 12, 20, 30, 31, 32, 40, 41, 42];
            let mut ports = places
                .iter()
                .flat_map(|place| offsets.map(|o| base + place + o));
            ports.all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok())
        })
        .unwrap()
}

/// Tries again until `done` or the time is over.
#[track_caller]
pub fn until<T>(what: &str, wait: Duration, mut done: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + wait;
    loop {
        if let Some(found) = done() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {wait:?}: {what}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Every regular file below a folder.
pub fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found
}
