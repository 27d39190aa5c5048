//! A token bucket for each source address, so that one noisy source cannot take a service away from
//! the others.
//!
//! The source is the peer's address. Where the peer is a proxy that the operator trusts, it is what
//! the proxy says in its forwarding header: the last address there that is no trusted proxy's, since
//! only what trusted proxies have added is more than a claim. An IPv6 source is its /64, because one
//! host owns at least that many addresses. Memory is bounded by two generations of buckets: when the
//! young one is full it becomes the old one, and what nobody touched meanwhile is forgotten. An
//! attacker with that many addresses wins fresh buckets; a defence against those is not this layer's
//! job.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use ipnet::IpNet;
use serde::Deserialize;

use crate::Problem;

/// The most addresses of a forwarding header that are looked at, from its end.
const MAX_HOPS: usize = 32;

/// How fast a source may go, and how many sources are remembered.
#[derive(Debug, Clone, Copy)]
pub struct RateLimit {
    /// Requests that a source may make at once.
    pub burst: u32,
    /// Requests a second that a source may sustain.
    pub per_second: f64,
    /// Sources remembered; beyond it the longest untouched are forgotten.
    pub max_sources: usize,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self {
            burst: 50,
            per_second: 20.0,
            max_sources: 65_536,
        }
    }
}

/// `[rate]` in a part's file: what each source may ask of the whole part, and who the sources are.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateConfig {
    /// Requests that a source may make at once.
    pub burst: u32,
    /// Requests a second that a source may sustain.
    pub per_second: f64,
    /// Sources remembered; beyond it the longest untouched are forgotten.
    pub max_sources: usize,
    /// Addresses and networks of the proxies in front, whose forwarding header is believed.
    pub trusted_proxies: Vec<Network>,
    /// The header that they write.
    pub forwarded_by: ForwardedBy,
    /// Sources without this limit. By default this machine: whoever is on it is the operator's, or a
    /// proxy that is not named above, for which one limit would be everybody's.
    pub exempt: Vec<Network>,
}

impl Default for RateConfig {
    fn default() -> Self {
        let loopback = ["127.0.0.0/8", "::1"].map(|text| text.parse().ok());
        Self {
            burst: 600,
            per_second: 100.0,
            max_sources: 65_536,
            trusted_proxies: Vec::new(),
            forwarded_by: ForwardedBy::default(),
            exempt: loopback.into_iter().flatten().collect(),
        }
    }
}

impl RateConfig {
    fn limit(&self) -> RateLimit {
        RateLimit {
            burst: self.burst,
            per_second: self.per_second,
            max_sources: self.max_sources,
        }
    }
}

/// An address, or a network as `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network(IpNet);

impl Network {
    fn has(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl std::str::FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let network = text.parse::<IpNet>().ok();
        let address = || text.parse::<IpAddr>().map(IpNet::from);
        let network = network.map_or_else(address, Ok);
        network
            .map(Self)
            .map_err(|_| "an address, or a network as 10.0.0.0/8")
    }
}

impl TryFrom<String> for Network {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// Where a proxy says for whom it asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum ForwardedBy {
    #[default]
    #[serde(rename = "x-forwarded-for")]
    XForwardedFor,
    /// RFC 7239.
    #[serde(rename = "forwarded")]
    Forwarded,
}

impl ForwardedBy {
    /// What the header's entries say, the nearest proxy's last; nothing for one that is no address.
    fn hops(self, headers: &HeaderMap) -> Vec<Option<IpAddr>> {
        let name = match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        };
        let values = headers.get_all(name).iter();
        let entries = values.flat_map(|value| value.to_str().unwrap_or("?").split(','));
        let read = |entry: &str| match self {
            Self::XForwardedFor => address_in(entry),
            Self::Forwarded => {
                let mut pairs = entry.split(';').filter_map(|pair| pair.split_once('='));
                let node = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
                node.and_then(|(_, node)| address_in(node))
            }
        };
        entries.map(read).collect()
    }
}

/// An address with or without a port, brackets and quotes.
fn address_in(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(with_port)
}

/// Who asks, as far as it can be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Source(IpAddr);

impl Source {
    fn of(peer: IpAddr, headers: &HeaderMap, config: &RateConfig) -> Self {
        let trusted = |address: IpAddr| config.trusted_proxies.iter().any(|net| net.has(address));
        if !trusted(peer) {
            return Self(peer);
        }
        let mut nearest = peer;
        for hop in config
            .forwarded_by
            .hops(headers)
            .into_iter()
            .rev()
            .take(MAX_HOPS)
        {
            // Behind what cannot be read anybody may have written anything.
            let Some(hop) = hop else { break };
            nearest = hop;
            if !trusted(hop) {
                break;
            }
        }
        Self(nearest)
    }
}

/// The limit of a whole part, and who its sources are.
#[derive(Clone)]
pub(crate) struct Sources {
    config: Arc<RateConfig>,
    buckets: Arc<Mutex<Buckets>>,
}

impl Sources {
    pub(crate) fn new(config: RateConfig) -> Self {
        Self {
            buckets: Arc::new(Mutex::new(Buckets::new(config.limit()))),
            config: Arc::new(config),
        }
    }
}

impl Sources {
    /// Names the source of a request for everything behind, and refuses one that is above the limit of
    /// the part. Probes are for the operator, who must see a part that is under load.
    pub(crate) fn admit(&self, request: &mut Request) -> Result<(), Refused> {
        let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>() else {
            return Ok(());
        };
        let source = Source::of(peer.ip(), request.headers(), &self.config);
        request.extensions_mut().insert(source);
        let route = request.extensions().get::<MatchedPath>();
        let probe = route.is_some_and(|route| crate::plumbing::is_probe(route.as_str()));
        let exempt = |net: &Network| net.has(source.0);
        if probe || self.config.exempt.iter().any(exempt) {
            return Ok(());
        }
        take(&self.buckets, source)
    }
}

/// Wraps every route of `router`: a source above its limit gets 429 with `Retry-After`. This is for
/// routes by which somebody could guess or flood, so that nobody is exempt.
pub fn limit_rate(router: Router, limit: RateLimit) -> Router {
    let buckets = Arc::new(Mutex::new(Buckets::new(limit)));
    router.layer(from_fn_with_state(buckets, refuse_above_limit))
}

async fn refuse_above_limit(
    State(buckets): State<Arc<Mutex<Buckets>>>,
    request: Request,
    next: Next,
) -> Response {
    // Requests made in-process by tests carry no peer; a served socket always does.
    let named = request.extensions().get::<Source>().copied();
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let Some(source) = named.or(peer.map(|peer| Source(peer.ip()))) else {
        return next.run(request).await;
    };
    match take(&buckets, source) {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    }
}

fn take(buckets: &Mutex<Buckets>, source: Source) -> Result<(), Refused> {
    let mut buckets = buckets.lock().unwrap_or_else(PoisonError::into_inner);
    buckets.take(source.0, Instant::now())
}

/// The source must wait this long for its next token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    wait: Duration,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "request.rate",
            "one source may not exceed this service's request rate",
            "wait for the seconds of Retry-After, then go slower",
        )
        .retry_after(self.wait.as_secs() + 1)
        .into_response()
    }
}

struct Bucket {
    tokens: f64,
    filled_at: Instant,
}

struct Buckets {
    limit: RateLimit,
    young: HashMap<IpAddr, Bucket>,
    old: HashMap<IpAddr, Bucket>,
}

impl Buckets {
    fn new(limit: RateLimit) -> Self {
        Self {
            limit,
            young: HashMap::new(),
            old: HashMap::new(),
        }
    }

    fn take(&mut self, source: IpAddr, now: Instant) -> Result<(), Refused> {
        let source = source_of(source);
        if !self.young.contains_key(&source) {
            let bucket = self.old.remove(&source).unwrap_or(Bucket {
                tokens: f64::from(self.limit.burst),
                filled_at: now,
            });
            if self.young.len() >= (self.limit.max_sources / 2).max(1) {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.insert(source, bucket);
        }
        let Some(bucket) = self.young.get_mut(&source) else {
            return Ok(());
        };
        let elapsed = now.saturating_duration_since(bucket.filled_at);
        bucket.tokens = (bucket.tokens + elapsed.as_secs_f64() * self.limit.per_second)
            .min(f64::from(self.limit.burst));
        bucket.filled_at = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        let seconds = (1.0 - bucket.tokens) / self.limit.per_second.max(1e-3);
        Err(Refused {
            wait: Duration::from_secs_f64(seconds),
        })
    }
}

fn source_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::routing::get;
    use tower::ServiceExt;

    fn limit(burst: u32, per_second: f64, max_sources: usize) -> RateLimit {
        RateLimit {
            burst,
            per_second,
            max_sources,
        }
    }

    #[test]
    fn a_source_gets_its_burst_and_then_its_rate() {
        let mut buckets = Buckets::new(limit(2, 1.0, 100));
        let start = Instant::now();
        let source: IpAddr = "192.0.2.1".parse().unwrap();
        assert_eq!(buckets.take(source, start), Ok(()));
        assert_eq!(buckets.take(source, start), Ok(()));
        let refused = buckets.take(source, start).unwrap_err();
        assert_eq!(refused.wait, Duration::from_secs(1));
        assert_eq!(buckets.take(source, start + Duration::from_secs(1)), Ok(()));
        assert_eq!(buckets.take("192.0.2.2".parse().unwrap(), start), Ok(()));
    }

    #[test]
    fn one_ipv6_host_is_one_source() {
        let mut buckets = Buckets::new(limit(1, 1.0, 100));
        let start = Instant::now();
        assert!(buckets.take("2001:db8::1".parse().unwrap(), start).is_ok());
        assert!(buckets.take("2001:db8::2".parse().unwrap(), start).is_err());
        assert!(
            buckets
                .take("2001:db8:0:1::1".parse().unwrap(), start)
                .is_ok()
        );
    }

    #[test]
    fn memory_is_bounded_and_an_active_source_is_remembered() {
        let mut buckets = Buckets::new(limit(1, 0.001, 10));
        let start = Instant::now();
        let noisy: IpAddr = "192.0.2.1".parse().unwrap();
        assert!(buckets.take(noisy, start).is_ok());
        for i in 0..200u32 {
            let other = IpAddr::from((0x0a00_0000 + i).to_be_bytes());
            assert!(buckets.take(other, start).is_ok());
            assert!(buckets.take(noisy, start).is_err());
        }
        assert!(buckets.young.len() + buckets.old.len() <= 10);
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn config(text: &str) -> RateConfig {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn the_source_is_what_trusted_proxies_say_and_nobody_elses_word() {
        let by = config(r#"trusted_proxies = ["192.0.2.7", "10.0.0.0/8", "2001:db8::/32"]"#);
        let peer: IpAddr = "192.0.2.7".parse().unwrap();
        let source = |peer: IpAddr, pairs: &[(&'static str, &str)], by: &RateConfig| {
            Source::of(peer, &headers(pairs), by).0.to_string()
        };
        const XFF: &str = "x-forwarded-for";
        for (pairs, expected) in [
            (&[][..], "192.0.2.7"),
            (&[(XFF, "203.0.113.5")], "203.0.113.5"),
            // what the client wrote itself stands before
            (&[(XFF, "198.51.100.1, 203.0.113.5")], "203.0.113.5"),
            (
                &[(XFF, "198.51.100.1"), (XFF, "203.0.113.5, 10.1.2.3")],
                "203.0.113.5",
            ),
            (&[(XFF, "203.0.113.5:4711")], "203.0.113.5"),
            (&[(XFF, "[2001:db9::1]:4711")], "2001:db9::1"),
            (&[(XFF, "2001:db9::1")], "2001:db9::1"),
            (&[(XFF, "10.1.2.3")], "10.1.2.3"),
            (&[(XFF, "203.0.113.5, nonsense")], "192.0.2.7"),
            (&[(XFF, "nonsense, 10.1.2.3")], "10.1.2.3"),
            (&[("forwarded", "for=203.0.113.5")], "192.0.2.7"),
        ] {
            assert_eq!(source(peer, pairs, &by), expected, "{pairs:?}");
        }
        // from a stranger the header says nothing
        let stranger = "203.0.113.9".parse().unwrap();
        assert_eq!(
            source(stranger, &[(XFF, "198.51.100.1")], &by),
            "203.0.113.9"
        );
        // a proxy on an IPv4 address may be met on a socket of both kinds
        let mapped = "::ffff:192.0.2.7".parse().unwrap();
        assert_eq!(source(mapped, &[(XFF, "203.0.113.5")], &by), "203.0.113.5");

        let rfc = config("trusted_proxies = [\"192.0.2.7\"]\nforwarded_by = \"forwarded\"");
        for (value, expected) in [
            ("for=203.0.113.5;proto=https", "203.0.113.5"),
            ("proto=https; For=\"[2001:db9::1]:4711\"", "2001:db9::1"),
            ("for=198.51.100.1, for=203.0.113.5", "203.0.113.5"),
            ("for=unknown", "192.0.2.7"),
            ("for=_hidden", "192.0.2.7"),
        ] {
            assert_eq!(
                source(peer, &[("forwarded", value)], &rfc),
                expected,
                "{value}"
            );
        }
    }

    #[test]
    fn a_network_that_is_none_is_refused() {
        for wrong in ["10.0.0.0/33", "proxy.example", ""] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
        let unknown = toml::from_str::<RateConfig>("bursts = 1");
        assert!(unknown.is_err());
        let default = RateConfig::default();
        let exempt = |text: &str| {
            let address = text.parse().unwrap();
            default.exempt.iter().any(|net| net.has(address))
        };
        assert!(exempt("127.0.0.1") && exempt("::1") && exempt("::ffff:127.0.0.1"));
        assert!(!exempt("192.0.2.1") && !exempt("2001:db8::1"));
    }

    #[tokio::test]
    async fn above_the_limit_the_answer_is_429_with_retry_after() {
        let router = limit_rate(
            Router::new().route("/", get(|| async { "ok" })),
            limit(1, 0.5, 10),
        );
        let request = || {
            let peer: SocketAddr = "192.0.2.1:4000".parse().unwrap();
            Request::builder()
                .uri("/")
                .extension(ConnectInfo(peer))
                .body(Body::empty())
                .unwrap()
        };
        let first = router.clone().oneshot(request()).await.unwrap();
        assert_eq!(first.status(), 200);
        let second = router.oneshot(request()).await.unwrap();
        assert_eq!(second.status(), 429);
        let wait: u64 = second.headers()["retry-after"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((1..=3).contains(&wait));
    }
}
