//! What processes say to each other, recorded on the way: a forward proxy that the programs find in their
//! environment, as operators' programs do. It needs no rights.
//!
//! A connection is let through only when the kernel has said which process it is from: until then that process
//! waits, so none is too short to be known. What does not go this way is seen by the kernel's list of
//! connections, where one that has ended stands for a minute.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Bytes = Arc<Mutex<Vec<u8>>>;

/// A process as it was when it opened a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    pub words: Vec<String>,
    /// `REALDID_DIR` in its environment.
    pub dir: Option<PathBuf>,
}

/// One connection, from a process to a port.
#[derive(Clone)]
pub struct Flow {
    /// Nobody can say where it is from if this is missing.
    pub from: Option<Process>,
    pub port: u16,
    sent: Bytes,
    received: Bytes,
}

impl Flow {
    pub fn bytes(&self) -> [Vec<u8>; 2] {
        [&self.sent, &self.received].map(|bytes| bytes.lock().unwrap().clone())
    }

    /// Method and address of each request.
    pub fn requests(&self) -> Vec<(String, String)> {
        let sent = self.sent.lock().unwrap();
        let text = String::from_utf8_lossy(&sent);
        let mut found = Vec::new();
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "CONNECT"] {
            // With the whole address, since it is a proxy that is asked.
            for (_, rest) in text
                .match_indices(&format!("{method} "))
                .map(|(at, found)| text.split_at(at + found.len()))
            {
                let line = rest.lines().next().unwrap_or_default();
                if let Some(address) = line.strip_suffix(" HTTP/1.1")
                    && !address.contains(' ')
                {
                    found.push((method.to_owned(), address.to_owned()));
                }
            }
        }
        found
    }
}

/// The recorder. Dropping it ends what it has not passed on.
pub struct Wire {
    port: u16,
    flows: Arc<Mutex<Vec<Flow>>>,
    /// The near ends of connections that it opened.
    own: Arc<Mutex<BTreeSet<u16>>>,
    /// Both ends of each connection on this machine that the kernel has shown.
    shown: Arc<Mutex<BTreeSet<(u16, u16)>>>,
    before: BTreeSet<(u16, u16)>,
    ended: Arc<AtomicBool>,
}

impl Wire {
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let wire = Self {
            port: listener.local_addr().unwrap().port(),
            flows: Arc::default(),
            own: Arc::default(),
            shown: Arc::default(),
            before: connections().collect(),
            ended: Arc::default(),
        };
        let (flows, own, port) = (wire.flows.clone(), wire.own.clone(), wire.port);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (flows, own) = (flows.clone(), own.clone());
                std::thread::spawn(move || pass_on(&stream, port, &flows, &own));
            }
        });
        let (shown, ended) = (wire.shown.clone(), wire.ended.clone());
        std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                shown.lock().unwrap().extend(connections());
                std::thread::sleep(Duration::from_millis(500));
            }
        });
        wire
    }

    /// What sends a program's requests this way.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let url = format!("http://127.0.0.1:{}", self.port);
        let none = String::new();
        vec![
            ("HTTP_PROXY", url.clone()),
            ("http_proxy", url),
            ("NO_PROXY", none.clone()),
            ("no_proxy", none),
        ]
    }

    pub fn flows(&self) -> Vec<Flow> {
        self.flows.lock().unwrap().clone()
    }

    /// Connections with these ports that did not go this way.
    pub fn beside(&self, ports: &BTreeSet<u16>) -> Vec<(u16, u16)> {
        self.shown.lock().unwrap().extend(connections());
        let (shown, own) = (self.shown.lock().unwrap(), self.own.lock().unwrap());
        let known = |(near, far): &(u16, u16)| {
            (ports.contains(near) && own.contains(far))
                || (ports.contains(far) && own.contains(near))
        };
        shown
            .difference(&self.before)
            .filter(|(near, far)| ports.contains(near) || ports.contains(far))
            .filter(|pair| !known(pair))
            .copied()
            .collect()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

fn pass_on(
    near: &TcpStream,
    own_port: u16,
    flows: &Mutex<Vec<Flow>>,
    own: &Mutex<BTreeSet<u16>>,
) -> Option<()> {
    let from = owner(near.peer_addr().ok()?.port(), own_port);
    let mut head = Vec::new();
    let mut buffer = [0; 16 * 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < 64 * 1024 {
        match (&*near).read(&mut buffer) {
            // Opened ahead of need and never used: nothing was said.
            Ok(0) | Err(_) => return None,
            Ok(read) => head.extend_from_slice(&buffer[..read]),
        }
    }
    let text = String::from_utf8_lossy(&head);
    let address = text.split(' ').nth(1)?.strip_prefix("http://127.0.0.1:")?;
    let digits = address
        .split(|c: char| !c.is_ascii_digit())
        .next()
        .unwrap_or_default();
    let flow = Flow {
        from,
        port: digits.parse().ok()?,
        sent: Arc::default(),
        received: Arc::default(),
    };
    let far = TcpStream::connect((Ipv4Addr::LOCALHOST, flow.port)).ok()?;
    own.lock().unwrap().insert(far.local_addr().ok()?.port());
    flows.lock().unwrap().push(flow.clone());
    flow.sent.lock().unwrap().extend_from_slice(&head);
    (&far).write_all(&head).ok()?;
    std::thread::scope(|scope| {
        scope.spawn(|| pump(near, &far, &flow.sent));
        pump(&far, near, &flow.received);
    });
    Some(())
}

/// Everything from one to the other, recorded before it is passed on.
fn pump(mut from: &TcpStream, mut to: &TcpStream, record: &Bytes) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(read) = from.read(&mut buffer)
        && read > 0
    {
        record.lock().unwrap().extend_from_slice(&buffer[..read]);
        if to.write_all(&buffer[..read]).is_err() {
            let _other_way_ends_too = from.shutdown(Shutdown::Both);
            break;
        }
    }
    let _already_gone = to.shutdown(Shutdown::Write);
}

/// A row of the kernel's list: near port, far port, inode.
fn rows(protocol: &str) -> Vec<(u16, u16, u64)> {
    let row = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let port = |field: &str| u16::from_str_radix(field.rsplit(':').next()?, 16).ok();
        let inode = fields.get(9)?.parse().ok()?;
        Some((port(fields.get(1)?)?, port(fields.get(2)?)?, inode))
    };
    ["", "6"]
        .iter()
        .filter_map(|six| std::fs::read_to_string(format!("/proc/net/{protocol}{six}")).ok())
        .flat_map(|list| list.lines().skip(1).filter_map(row).collect::<Vec<_>>())
        .collect()
}

/// Those that listen have no far port.
fn connections() -> impl Iterator<Item = (u16, u16)> {
    let all = rows("tcp").into_iter();
    all.map(|(near, far, _)| (near, far))
        .filter(|(_, far)| *far != 0)
}

/// The process whose connection from `near` to `far` this is. It is there already: it waits.
fn owner(near: u16, far: u16) -> Option<Process> {
    let wanted = (near, far);
    for _ in 0..40 {
        let inode = rows("tcp")
            .into_iter()
            .find(|(near, far, inode)| (*near, *far) == wanted && *inode != 0)
            .map(|(_, _, inode)| inode);
        if let Some(process) = inode.and_then(holder) {
            return Some(process);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    None
}

fn holder(inode: u64) -> Option<Process> {
    let link = PathBuf::from(format!("socket:[{inode}]"));
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.into_iter()
        .find(|pid| open_files(*pid).contains(&link))
        .and_then(process)
}

fn process(pid: u32) -> Option<Process> {
    let of = |what: &str| std::fs::read(format!("/proc/{pid}/{what}")).ok();
    let texts = |bytes: Vec<u8>| -> Vec<String> {
        let parts = bytes.split(|byte| *byte == 0);
        parts
            .map(|part| String::from_utf8_lossy(part).into_owned())
            .collect()
    };
    let dir = texts(of("environ")?)
        .iter()
        .find_map(|pair| pair.strip_prefix("REALDID_DIR=").map(PathBuf::from));
    Some(Process {
        pid,
        words: texts(of("cmdline")?),
        dir,
    })
}

/// What a process has open, and what it has mapped.
pub fn open_files(pid: u32) -> Vec<PathBuf> {
    let folder = std::fs::read_dir(format!("/proc/{pid}/fd"));
    let open = folder.into_iter().flatten().flatten();
    let open = open.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    open.collect()
}

pub fn mapped_files(pid: u32) -> Vec<PathBuf> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let path = |line: &str| line.find('/').map(|at| PathBuf::from(&line[at..]));
    maps.lines().filter_map(path).collect()
}

/// Ways other than TCP on which a process could talk: datagrams, and sockets with a name.
pub fn other_ways(pid: u32) -> Vec<String> {
    let datagrams = rows("udp").into_iter();
    let mut ways: BTreeMap<u64, String> = datagrams
        .map(|(near, _, inode)| (inode, format!("datagrams at {near}")))
        .collect();
    let named = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    for line in named.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if let [_, _, _, _, _, _, inode, path] = fields[..] {
            ways.extend(inode.parse().ok().map(|inode| (inode, path.to_owned())));
        }
    }
    let inode = |path: &PathBuf| -> Option<u64> {
        let text = path.to_str()?.strip_prefix("socket:[")?;
        text.strip_suffix(']')?.parse().ok()
    };
    let open = open_files(pid);
    open.iter()
        .filter_map(|path| ways.get(&inode(path)?).cloned())
        .collect()
}

/// The processes of a nation, by the names of its files.
pub fn parts(dir: &Path) -> BTreeMap<u32, String> {
    let files = std::fs::read_dir(dir.join("run")).unwrap().flatten();
    let part = |path: PathBuf| {
        let pid = std::fs::read_to_string(&path).ok()?.trim().parse().ok()?;
        Some((pid, path.file_stem()?.to_str()?.to_owned()))
    };
    files.filter_map(|entry| part(entry.path())).collect()
}
