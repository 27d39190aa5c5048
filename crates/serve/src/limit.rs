//! A token bucket for each source address, so that one noisy source cannot take a service away from
//! the others.
//!
//! The source is the peer's address, never a forwarding header: behind a proxy, limit at the proxy.
//! An IPv6 source is its /64, because one host owns at least that many addresses. Memory is bounded
//! by two generations of buckets: when the young one is full it becomes the old one, and what nobody
//! touched meanwhile is forgotten. An attacker with that many addresses wins fresh buckets; a
//! defence against those is not this layer's job.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};

use crate::Problem;

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

/// Wraps every route of `router`: a source above its limit gets 429 with `Retry-After`.
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
    let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>() else {
        return next.run(request).await;
    };
    let taken = buckets
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take(peer.ip(), Instant::now());
    match taken {
        Ok(()) => next.run(request).await,
        Err(Refused { wait }) => Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "request.rate",
            "one source may not exceed this service's request rate",
            "wait for the seconds of Retry-After, then go slower",
        )
        .retry_after(wait.as_secs() + 1)
        .into_response(),
    }
}

/// The source must wait this long for its next token.
#[derive(Debug, PartialEq, Eq)]
struct Refused {
    wait: Duration,
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
