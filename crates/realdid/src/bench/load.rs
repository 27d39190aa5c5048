//! The load of the benches of a committee: signed operations, handed in over HTTP at all validators.
//!
//! Whoever makes the load shares the machine with what is measured, so it does little: operations
//! are signed beforehand, many go out in one request (`/v1/operations/batch`), and of the answers only
//! how many were taken is read. What it takes all the same is told ([`Shares`]).

use super::network::{Committee, http};

use super::traffic::Traffic;
use super::{broken, clock};
use crate::fail::Fail;
use crate::nation::now_ms;
use futures::future::try_join_all;
use realdid_core::codec::{self, Bytes};
use realdid_core::operation::SignedOperation;
use serde::Deserialize;
use std::cell::Cell;
use std::io;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Connections to each validator.
const LINES: usize = 2;
/// Operations that go out at once on one of them.
const AT_ONCE: usize = 32;
/// Operations that are handed in and not final: enough for full blocks, few enough to be final soon.
const MAX_WAITING: f64 = 6_000.0;
/// Between two looks at what is final, and after the newest block.
const POLL: Duration = Duration::from_millis(50);
const LOOK: Duration = Duration::from_millis(4);

/// Everybody who hands in operations.
pub struct Load<'a> {
    traffic: &'a Traffic,
    urls: Vec<String>,
    epoch: u64,
    http: reqwest::Client,
    /// Signed beforehand; from there on as they go out.
    ready: Vec<Bytes>,
    /// The number of the next operation.
    next: Cell<usize>,
    taken: Cell<f64>,
    last_final: Cell<f64>,
}

#[derive(Deserialize)]
struct Receipt {
    status: String,
}

#[derive(Deserialize)]
struct Status {
    height: u64,
    time_ms: u64,
}

impl<'a> Load<'a> {
    /// Signs `ready` operations, and finds the validators.
    pub fn new(committee: &Committee, traffic: &'a Traffic, ready: usize) -> Result<Self, Fail> {
        let epoch = committee.genesis.parameters.epoch_at(now_ms());
        let sign = |n: usize| Bytes(traffic.enrol(n as u64, epoch).encode());
        Ok(Self {
            traffic,
            urls: committee.urls(),
            epoch,
            http: http()?,
            ready: (0..ready).map(sign).collect(),
            next: Cell::new(0),
            taken: Cell::new(0.0),
            last_final: Cell::new(0.0),
        })
    }

    fn operations(&self, count: usize) -> Vec<Bytes> {
        let first = self.next.replace(self.next.get() + count);
        let one = |n: usize| match self.ready.get(n) {
            Some(ready) => ready.clone(),
            None => Bytes(self.traffic.enrol(n as u64, self.epoch).encode()),
        };
        (first..first + count).map(one).collect()
    }

    /// How many operations are final on the first validator now, by its own count.
    async fn count(&self) -> Result<f64, Fail> {
        const COUNTER: &str = "ledger_operations_total ";
        let answer = self.http.get(format!("{}/metrics", self.urls[0])).send();
        let answer = answer.await.map_err(|_| broken("a validator answers"))?;
        let text = answer.text().await.unwrap_or_default();
        let count = text.lines().find_map(|line| line.strip_prefix(COUNTER));
        // It is not listed before the first.
        let count = count.map_or(Some(0.0), |count| count.trim().parse().ok());
        let count = count.ok_or_else(|| broken("a validator counts what is final"))?;
        self.last_final.set(count);
        Ok(count)
    }

    /// The same at a moment.
    pub async fn finals(&self, at: Instant) -> Result<f64, Fail> {
        tokio::time::sleep_until(at.into()).await;
        self.count().await
    }

    /// All hand in as much as becomes final, each at its validator for as long as that answers.
    pub async fn saturate(&self, end: Instant) -> Result<(), Fail> {
        let client = async |who: usize| -> Result<(), Fail> {
            let mut line = Line::open(&self.urls[who % self.urls.len()]).await?;
            while Instant::now() < end {
                if self.taken.get() - self.last_final.get() > MAX_WAITING {
                    tokio::time::sleep(LOOK).await;
                    continue;
                }
                let Ok(taken) = line.hand_in(self.operations(AT_ONCE)).await else {
                    break;
                };
                self.taken.set(self.taken.get() + taken as f64);
            }
            Ok(())
        };
        let watch = async {
            while Instant::now() < end {
                self.count().await?;
                tokio::time::sleep(POLL).await;
            }
            Ok::<_, Fail>(())
        };
        let clients = try_join_all((0..LINES * self.urls.len()).map(client));
        tokio::try_join!(clients, watch).map(|_| ())
    }

    /// Waits until all that was taken is final. More would be operations that blocks held twice.
    pub async fn settle(&self) -> Result<(), Fail> {
        let until = Instant::now() + Duration::from_secs(60);
        while self.count().await? < self.taken.get() {
            if Instant::now() > until {
                return Err(broken("what a validator took becomes final"));
            }
            tokio::time::sleep(POLL).await;
        }
        let twice = self.last_final.get() - self.taken.get();
        (twice <= 0.01 * self.taken.get())
            .then_some(())
            .ok_or_else(|| broken("a block holds what none before held"))
    }

    /// All together hand in so many a second, as many at once as at full load.
    pub async fn pace(&self, rate: f64, end: Instant) -> Result<(), Fail> {
        let clients = LINES * self.urls.len();
        let pause = Duration::from_secs_f64((clients * AT_ONCE) as f64 / rate.max(1.0));
        let began = Instant::now();
        let client = async |who: usize| -> Result<(), Fail> {
            let mut line = Line::open(&self.urls[who % self.urls.len()]).await?;
            let mut due = began + pause.mul_f64(who as f64 / clients as f64);
            while due < end {
                tokio::time::sleep_until(due.into()).await;
                due += pause;
                let taken = line.hand_in(self.operations(AT_ONCE)).await;
                let taken = taken.map_err(|_| broken("a validator answers"))?;
                self.taken.set(self.taken.get() + taken as f64);
            }
            Ok(())
        };
        try_join_all((0..clients).map(client)).await.map(|_| ())
    }

    /// Looks for new blocks at the first validator; answers how old each was, in milliseconds, when
    /// it was seen.
    pub async fn block_ages(&self, end: Instant) -> Result<Vec<u64>, Fail> {
        let url = format!("{}/v1/status", self.urls[0]);
        let (mut ages, mut height) = (Vec::new(), 0);
        while Instant::now() < end {
            let answer = self.http.get(&url).send().await;
            let answer = answer.map_err(|_| broken("a validator answers"))?;
            let status = answer.json::<Status>().await;
            let status = status.map_err(|_| broken("a validator tells its status"))?;
            if status.height > height {
                if height > 0 {
                    ages.push(now_ms().saturating_sub(status.time_ms));
                }
                height = status.height;
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(ages)
    }

    /// How long single operations take from being handed in to being final, in milliseconds, each at
    /// the validator that it was handed in at.
    pub async fn operation_delays(&self, end: Instant) -> Result<Vec<u64>, Fail> {
        let mut delays = Vec::new();
        while Instant::now() < end {
            let url = &self.urls[delays.len() % self.urls.len()];
            let Bytes(bytes) = self.operations(1).remove(0);
            let id = SignedOperation::decode(&bytes).map_err(Fail::of)?.id();
            let began = Instant::now();
            let sent = self.http.post(format!("{url}/v1/operations")).body(bytes);
            let sent = sent
                .send()
                .await
                .is_ok_and(|sent| sent.status().is_success());
            if !sent {
                return Err(broken("a validator takes half the load it bears"));
            }
            self.taken.set(self.taken.get() + 1.0);
            let receipt = format!("{url}/v1/operations/{id}");
            loop {
                tokio::time::sleep(LOOK).await;
                let answer = self.http.get(&receipt).send().await;
                let answer = answer.map_err(|_| broken("a validator answers"))?;
                let status = answer.json::<Receipt>().await;
                if status.is_ok_and(|receipt| receipt.status == "accepted") {
                    break;
                }
                if began.elapsed() > Duration::from_secs(20) {
                    return Err(broken("what a validator took becomes final"));
                }
            }
            delays.push(began.elapsed().as_millis() as u64);
            tokio::time::sleep(POLL).await;
        }
        Ok(delays)
    }
}

/// One connection to a validator.
struct Line {
    stream: TcpStream,
    host: String,
    heard: Vec<u8>,
}

impl Line {
    async fn open(url: &str) -> Result<Self, Fail> {
        let host = url.trim_start_matches("http://").to_owned();
        let stream = TcpStream::connect(&host).await;
        let stream = stream.map_err(|_| broken("a validator answers"))?;
        // Requests are written whole.
        let _slower = stream.set_nodelay(true);
        Ok(Self {
            stream,
            host,
            heard: Vec::new(),
        })
    }

    /// Hands operations in, all at once; answers how many were taken.
    async fn hand_in(&mut self, operations: Vec<Bytes>) -> io::Result<usize> {
        let body = codec::encode(&operations);
        let head = format!(
            "POST /v1/operations/batch HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n\r\n",
            self.host,
            body.len()
        );
        self.stream
            .write_all(&[head.as_bytes(), &body].concat())
            .await?;
        loop {
            if let Some((answer, length)) = first_answer(&self.heard) {
                let taken = answer.matches("\"status\":202").count();
                self.heard.drain(..length);
                return Ok(taken);
            }
            if self.stream.read_buf(&mut self.heard).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// The body of the first answer and the whole length, if it is there whole.
fn first_answer(heard: &[u8]) -> Option<(&str, usize)> {
    const END: &[u8] = b"\r\n\r\n";
    let head = heard.windows(END.len()).position(|at| at == END)?;
    let text = std::str::from_utf8(&heard[..head]).ok()?;
    let body = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let length = name.eq_ignore_ascii_case("content-length");
        length.then(|| value.trim().parse::<usize>().ok())?
    });
    let (from, length) = (head + END.len(), body.unwrap_or(0));
    let body = heard.get(from..from + length)?;
    Some((std::str::from_utf8(body).ok()?, from + length))
}

/// Who had how much of the machine for a while.
pub struct Shares {
    began: Instant,
    validators: f64,
    generator: f64,
    machine: f64,
}

impl Shares {
    pub fn begin(committee: &Committee) -> Result<Self, Fail> {
        Ok(Self {
            began: Instant::now(),
            validators: committee.total_cpu_s()?,
            generator: clock::own(),
            machine: clock::machine()?,
        })
    }

    /// What has come of it since.
    pub fn end(&self, committee: &Committee) -> Result<Shared, Fail> {
        let now = Self::begin(committee)?;
        let cores = std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64);
        let wall = now.began.duration_since(self.began).as_secs_f64();
        let validators = now.validators - self.validators;
        let generator = now.generator - self.generator;
        let other = (now.machine - self.machine - validators - generator).max(0.0);
        Ok(Shared {
            cores,
            validators: validators / wall,
            generator: generator / wall,
            other: other / wall,
        })
    }
}

/// Cores that each had, of those that there are.
pub struct Shared {
    cores: f64,
    validators: f64,
    generator: f64,
    other: f64,
}

impl Shared {
    /// The cores that the validators might have had: what was idle counts against them.
    pub fn free(&self) -> f64 {
        self.cores - self.generator - self.other
    }
}

impl std::fmt::Display for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let percent = |part: f64| 100.0 * part / self.cores;
        write!(
            f,
            "of the machine's {} cores the validators had {:.0} %, the load generator {:.0} %, other work {:.0} %",
            self.cores,
            percent(self.validators),
            percent(self.generator),
            percent(self.other),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let one = b"HTTP/1.1 202 Accepted\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 429 Too\r\n\r\n";
        assert_eq!(first_answer(one), Some(("abc", 47)));
        assert_eq!(first_answer(&one[47..]), Some(("", 20)));
        assert_eq!(first_answer(&one[..46]), None);
        assert_eq!(first_answer(b"HTTP/1.1 2"), None);
    }
}
