//! `dead_validator`, `finality`: four validators, each a process, and a client of them all, on one
//! machine.
//!
//! The client hands in enrolments, signed as they go out, to all validators in turn, and asks for
//! the receipts. What it takes of the processor is part of the load of the machine.

use super::network::{Committee, http};
use super::traffic::Traffic;
use super::{Measured, broken};
use crate::fail::Fail;
use crate::nation::now_ms;
use futures::future::try_join_all;
use realdid_core::genesis::Parameters;
use realdid_core::operation::SignedOperation;
use serde::Deserialize;
use std::cell::Cell;
use std::time::{Duration, Instant};

const VALIDATORS: usize = 4;
const CLIENTS: usize = 16;
/// Operations that a client hands in before it waits for the last of them.
const BATCH: usize = 128;
const WARM_UP: Duration = Duration::from_secs(5);
/// The goal of `dead_validator` speaks of ten seconds.
const WINDOW: Duration = Duration::from_secs(10);
/// Between two questions after receipts, and after the newest block.
const POLL: Duration = Duration::from_millis(25);
const LOOK: Duration = Duration::from_millis(4);

/// Throughput in the ten seconds that begin with the death of one of four.
pub async fn dead_validator() -> Result<Measured, Fail> {
    let traffic = Traffic::new()?;
    let mut committee = Committee::start(&traffic, VALIDATORS).await?;
    let clients = Clients::new(&committee, &traffic)?;
    let began = Instant::now();
    let death = began + WARM_UP + WINDOW;
    let watch = async {
        let begin = clients.finals(death - WINDOW).await?;
        let middle = clients.finals(death).await?;
        committee.kill(VALIDATORS - 1)?;
        let end = clients.finals(death + WINDOW).await?;
        Ok::<_, Fail>((middle - begin, end - middle))
    };
    let (load, counted) = tokio::join!(clients.saturate(death + WINDOW), watch);
    load?;
    let (before, after) = counted?;
    let (before, after) = (before / WINDOW.as_secs_f64(), after / WINDOW.as_secs_f64());
    drop(committee);
    Ok(Measured {
        id: "dead_validator",
        workload: "4 validator processes and 16 clients that hand in enrolments on one machine, half Ed25519, half P-256; one \
                   validator is killed; operations final in the 10 seconds from then on",
        unit: "operations/s",
        ours: after,
        limit: Some("the same in the 10 seconds before"),
        limit_value: Some(before),
        goal: Some("limit_ratio >= 0.7"),
    })
}

/// How old a block is, in milliseconds, when it is final and durable, at half the load that the
/// machine bears.
pub async fn finality(percent: usize) -> Result<Measured, Fail> {
    let traffic = Traffic::new()?;
    let committee = Committee::start(&traffic, VALIDATORS).await?;
    let clients = Clients::new(&committee, &traffic)?;
    let full = Instant::now() + WARM_UP + WINDOW;
    let watch = async {
        let begin = clients.finals(full - WINDOW).await?;
        Ok::<_, Fail>(clients.finals(full).await? - begin)
    };
    let (load, counted) = tokio::join!(clients.saturate(full), watch);
    load?;
    let rate = counted? / WINDOW.as_secs_f64() / 2.0;
    // What still waits from the full load becomes final first.
    tokio::time::sleep(WARM_UP).await;
    let end = Instant::now() + 2 * WINDOW;
    let (load, ages) = tokio::join!(clients.pace(rate, end), clients.block_ages(end));
    load?;
    let mut ages = ages?;
    drop(committee);
    ages.sort_unstable();
    let found = ages.get(ages.len() * percent / 100);
    let found = found.ok_or_else(|| broken("blocks become final under load"))?;
    let (id, goal, workload) = match percent {
        50 => (
            "finality",
            "ours <= 100",
            "4 validator processes on loopback at half the load they bear: from a block's proposal to its being final and \
             durable, seen over HTTP; the median",
        ),
        _ => (
            "finality_p99",
            "ours <= 400",
            "4 validator processes on loopback at half the load they bear: from a block's proposal to its being final and \
             durable, seen over HTTP; 99 of 100 are sooner",
        ),
    };
    Ok(Measured {
        id,
        workload,
        unit: "ms",
        ours: *found as f64,
        limit: None,
        limit_value: None,
        goal: Some(goal),
    })
}

/// Everybody who hands in operations.
struct Clients<'a> {
    traffic: &'a Traffic,
    urls: Vec<String>,
    parameters: Parameters,
    http: reqwest::Client,
    /// The number of the next operation.
    next: Cell<u64>,
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

impl<'a> Clients<'a> {
    fn new(committee: &Committee, traffic: &'a Traffic) -> Result<Self, Fail> {
        Ok(Self {
            traffic,
            urls: committee.urls(),
            parameters: committee.genesis.parameters.clone(),
            http: http()?,
            next: Cell::new(0),
        })
    }

    fn operation(&self) -> SignedOperation {
        self.next.set(self.next.get() + 1);
        let epoch = self.parameters.epoch_at(now_ms());
        self.traffic.enrol(self.next.get(), epoch)
    }

    /// How many operations are final on the first validator at a moment, by its own count.
    async fn finals(&self, at: Instant) -> Result<f64, Fail> {
        const COUNTER: &str = "ledger_operations_total ";
        tokio::time::sleep_until(at.into()).await;
        let answer = self
            .http
            .get(format!("{}/metrics", self.urls[0]))
            .send()
            .await;
        let answer = answer.map_err(|_| broken("a validator answers"))?;
        let text = answer.text().await.unwrap_or_default();
        let count = text.lines().find_map(|line| line.strip_prefix(COUNTER));
        count
            .and_then(|count| count.trim().parse().ok())
            .ok_or_else(|| broken("a validator counts what is final"))
    }

    /// All hand in as much as becomes final.
    async fn saturate(&self, end: Instant) -> Result<(), Fail> {
        let client = async |first: usize| -> Result<(), Fail> {
            let mut at = first % VALIDATORS;
            while Instant::now() < end {
                if !self.batch(at, end).await {
                    at = (at + 1) % VALIDATORS;
                }
            }
            Ok(())
        };
        try_join_all((0..CLIENTS).map(client)).await.map(|_| ())
    }

    /// Hands in a batch and waits until it is final; `false` if that validator is no more.
    async fn batch(&self, at: usize, end: Instant) -> bool {
        let mut last = None;
        for _ in 0..BATCH {
            let operation = self.operation();
            if !self.submit(at, &operation).await {
                return false;
            }
            last = Some(operation.id());
        }
        let Some(last) = last else { return false };
        let url = format!("{}/v1/operations/{last}", self.urls[at]);
        while Instant::now() < end {
            tokio::time::sleep(POLL).await;
            let Ok(answer) = self.http.get(&url).send().await else {
                return false;
            };
            // First come, first served: with the last one all of them are final.
            let receipt = answer.json::<Receipt>().await;
            if receipt.is_ok_and(|receipt| receipt.status == "accepted") {
                return true;
            }
        }
        true
    }

    async fn submit(&self, at: usize, operation: &SignedOperation) -> bool {
        let sent = self
            .http
            .post(format!("{}/v1/operations", self.urls[at]))
            .body(operation.encode())
            .send()
            .await;
        sent.is_ok_and(|answer| answer.status().is_success())
    }

    /// All together hand in so many a second.
    async fn pace(&self, rate: f64, end: Instant) -> Result<(), Fail> {
        let pause = Duration::from_secs_f64(CLIENTS as f64 / rate.max(1.0));
        let began = Instant::now();
        let client = async |who: usize| -> Result<(), Fail> {
            let mut due = began + pause.mul_f64(who as f64 / CLIENTS as f64);
            while due < end {
                tokio::time::sleep_until(due.into()).await;
                due += pause;
                let operation = self.operation();
                if !self.submit(who % VALIDATORS, &operation).await {
                    return Err(broken("a validator takes half the load it bears"));
                }
            }
            Ok(())
        };
        try_join_all((0..CLIENTS).map(client)).await.map(|_| ())
    }

    /// Looks for new blocks at the first validator; answers how old each was when it was seen.
    async fn block_ages(&self, end: Instant) -> Result<Vec<u64>, Fail> {
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
}
