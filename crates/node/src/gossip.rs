//! Validators tell each other the operations that clients hand in, so that whoever proposes next
//! can include them (spec/operations.md, Q4).
//!
//! The validator that a client asked tells all others, once; nobody passes on what was told to it,
//! since every validator is connected to every other. It is help, not a duty: what does not arrive,
//! or finds no room, waits for the turn of the validator that has it.

use crate::admission::{By, NotAdmitted, admit};
use crate::machine::Machine;
use crate::mempool::Mempool;
use realdid_core::codec::{self, Bytes};
use realdid_core::operation::MAX_HAND_OVER_BYTES;
use realdid_core::rule::Rule;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// The longest message, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;
/// The most bytes that wait to be told.
const MAX_WAITING_BYTES: usize = 4 * 1024 * 1024;
/// What an operation takes in a message beside its own bytes, at most; and a message beside them.
const PREFIX_BYTES: usize = 5;

/// Operations that are to be told to the other validators.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: Mutex<Waiting>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    operations: VecDeque<Bytes>,
    bytes: usize,
}

impl Outbox {
    /// To be told with the next message. Where too much waits it is not told.
    pub fn put(&self, operation: Bytes) {
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let size = operation.0.len();
            if size > MAX_HAND_OVER_BYTES || waiting.bytes + size > MAX_WAITING_BYTES {
                return;
            }
            waiting.bytes += size;
            waiting.operations.push_back(operation);
        }
        self.filled.notify_one();
    }

    /// The next message, once there is anything to tell.
    pub async fn next(&self) -> Vec<u8> {
        loop {
            let filled = self.filled.notified();
            let told = self.take();
            if !told.is_empty() {
                return codec::encode(&told);
            }
            filled.await;
        }
    }

    /// As many as a message holds.
    fn take(&self) -> Vec<Bytes> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut told, mut room) = (Vec::new(), MAX_MESSAGE_BYTES - PREFIX_BYTES);
        while let Some(next) = waiting.operations.front() {
            let Some(left) = room.checked_sub(next.0.len() + PREFIX_BYTES) else {
                break;
            };
            room = left;
            if let Some(next) = waiting.operations.pop_front() {
                waiting.bytes -= next.0.len();
                told.push(next);
            }
        }
        told
    }
}

/// Takes in what another validator told, as far as it is admissible here. `false`: no validator
/// that keeps to the rules tells that.
pub fn hear(machine: &Machine, mempool: &Mempool, message: &[u8], now_ms: u64) -> bool {
    let Ok(operations) = codec::decode::<Vec<Bytes>>(message, MAX_MESSAGE_BYTES) else {
        return false;
    };
    let Ok(waits) = admit(machine, mempool, operations, By::Validator, now_ms) else {
        // This disk fails, which is not the other's fault.
        return true;
    };
    // Bytes and a signature are good or bad whatever this node knows. For the rest, the other knows
    // another height or has more room.
    let never = |why: &NotAdmitted| {
        matches!(
            why,
            NotAdmitted::Codec(_) | NotAdmitted::Rule(Rule::Signature)
        )
    };
    !waits.iter().any(|waits| waits.as_ref().is_err_and(never))
}

#[cfg(test)]
mod tests;
