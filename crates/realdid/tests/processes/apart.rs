//! Machines of their own for validators: network namespaces on two bridges, so that a network can
//! be divided as a cut cable divides it. No packet arrives and nobody is told.
//!
//! All of it lies within a user and network namespace that one child process of the test has, so
//! it needs no privileges, touches nothing of the machine's own network, and goes with its processes.

use crate::committee::until;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

/// The bridges.
pub const NEAR: &str = "near";
pub const FAR: &str = "far";

/// Set for the process that has a network of its own.
const INSIDE: &str = "REALDID_TEST_APART";

/// One validator's machine: a namespace that lives as long as this.
pub struct Apart {
    pub http: SocketAddr,
    pub p2p: SocketAddr,
    /// Its end of the cable between validators, on a bridge.
    cable: String,
    /// Waits for the end of its input, and holds the namespace.
    holder: Child,
}

/// Whether this process is the one that has a network of its own.
pub fn inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Plays one test of this binary in a network of its own. `false`: this machine allows no
/// namespaces.
#[track_caller]
pub fn played(test: &str) -> bool {
    let tried = Command::new("unshare").args(["-rn", "true"]).output();
    if !tried.is_ok_and(|tried| tried.status.success()) {
        return false;
    }
    let mut child = Command::new("unshare")
        .arg("-rn")
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--test-threads", "1"])
        .env(INSIDE, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let stdout = child.stdout.as_mut().unwrap();
    stdout.read_to_string(&mut said).unwrap();
    println!("{said}");
    assert!(child.wait().unwrap().success(), "{test}, in its namespaces");
    assert!(said.contains("1 passed"), "{test} was not played");
    true
}

/// Makes the bridges.
pub fn bridges() {
    ip(&["link", "set", "lo", "up"]);
    for bridge in [NEAR, FAR] {
        ip(&["link", "add", bridge, "type", "bridge"]);
        ip(&["link", "set", bridge, "up"]);
    }
}

impl Apart {
    /// A machine with two cables: one to the near bridge, one to the clients.
    pub fn new(who: usize) -> Self {
        let holder = Command::new("unshare")
            .args(["-n", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let id = holder.id();
        let network = |id: &str| std::fs::read_link(format!("/proc/{id}/ns/net"));
        let own = network("self").unwrap();
        until("a namespace is made", || {
            let made = network(&id.to_string()).ok()?;
            (made != own).then_some(())
        });
        let who = who as u8;
        let p2p = Ipv4Addr::new(10, 77, 0, who + 1);
        let (client, http) = (
            Ipv4Addr::new(10, 77, who + 1, 1),
            Ipv4Addr::new(10, 77, who + 1, 2),
        );
        let apart = Self {
            http: (http, 4000).into(),
            p2p: (p2p, 4001).into(),
            cable: format!("cable{who}"),
            holder,
        };
        let (id, clients) = (id.to_string(), format!("clients{who}"));
        let cable = ["link", "add", &apart.cable, "type", "veth", "peer", "name"];
        ip(&[&cable[..], &["p2p", "netns", &id]].concat());
        apart.move_to(NEAR);
        ip(&["link", "set", &apart.cable, "up"]);
        let cable = ["link", "add", &clients, "type", "veth", "peer", "name"];
        ip(&[&cable[..], &["http", "netns", &id]].concat());
        ip(&["addr", "add", &format!("{client}/30"), "dev", &clients]);
        ip(&["link", "set", &clients, "up"]);
        apart.ip(&["addr", "add", &format!("{p2p}/24"), "dev", "p2p"]);
        apart.ip(&["addr", "add", &format!("{http}/30"), "dev", "http"]);
        for device in ["lo", "p2p", "http"] {
            apart.ip(&["link", "set", device, "up"]);
        }
        apart
    }

    /// A command that runs on this machine. It becomes the program: its process id is the
    /// program's.
    pub fn within(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        let id = self.holder.id().to_string();
        command.args(["-t", &id, "-n", "--", program]);
        command
    }

    /// Plugs the cable between validators into a bridge.
    pub fn move_to(&self, bridge: &str) {
        ip(&["link", "set", &self.cable, "master", bridge]);
    }

    /// Whether it holds a connection with another machine, as far as it knows.
    pub fn is_connected_to(&self, other: IpAddr) -> bool {
        let filter = ["-Htn", "state", "established", "dst"];
        let mut list = self.within("ss");
        let listed = list.args(filter).arg(other.to_string()).output().unwrap();
        assert!(listed.status.success());
        !listed.stdout.is_empty()
    }

    fn ip(&self, args: &[&str]) {
        done(self.within("ip").args(args));
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _reaped = self.holder.wait();
    }
}

fn ip(args: &[&str]) {
    done(Command::new("ip").args(args));
}

#[track_caller]
fn done(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}
