//! What a producer needs of the machine that it runs on: a clock, and a place for long work.
//!
//! [`ThisMachine`] is the real one. The simulator brings another, in which time and its passing
//! follow from a seed.

use std::future::Future;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A clock, and a place for long work.
pub trait Host: Clone + Send + Sync + 'static {
    /// This validator's clock in Unix milliseconds.
    fn unix_ms(&self) -> u64;

    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send;

    /// Runs `work` where it holds nobody up. `None`: it panicked.
    fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = Option<T>> + Send;
}

/// The machine's clock, and tokio's threads for blocking work.
#[derive(Debug, Clone, Copy, Default)]
pub struct ThisMachine;

impl Host for ThisMachine {
    fn unix_ms(&self) -> u64 {
        unix_ms()
    }

    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(time)
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        tokio::task::spawn_blocking(work).await.ok()
    }
}

/// This machine's clock in Unix milliseconds.
pub fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_millis() as u64)
}
