//! Ports for servers that must know theirs before they listen, or keep it while they are down.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the ports that Linux gives by itself to whoever connects, and above those of nations that
/// tests start.
const FIRST: u16 = 30_000;
const PORTS: u16 = 2_400;
/// By how much test processes begin apart from each other.
const APART: u16 = 30;

/// An address on loopback that nobody listens on now. A port that the system draws would not do:
/// it may give it to a connection before the server listens, or while it is down.
#[must_use]
#[allow(clippy::expect_used, reason = "without a free port no test can go on")]
pub fn free_address() -> SocketAddr {
    static DRAWN: AtomicU16 = AtomicU16::new(0);
    let begin = (std::process::id() % u32::from(PORTS / APART)) as u16 * APART;
    (0..PORTS)
        .map(|_| begin.wrapping_add(DRAWN.fetch_add(1, Ordering::Relaxed)) % PORTS)
        .map(|offset| SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST + offset)))
        .find(|address| TcpListener::bind(address).is_ok())
        .expect("a port of 2,400 is free")
}
