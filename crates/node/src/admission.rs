//! How an operation comes to wait here, whoever hands it in: a client over HTTP or another
//! validator (spec/operations.md, Q1).
//!
//! What waits was found admissible by this node itself, signatures first: so the mempool holds
//! nothing that another merely claims, and a block's execution need not verify again what it holds.

use crate::machine::{Machine, MachineError};
use crate::mempool::{Mempool, Refused};
use realdid_core::codec::Bytes;
use realdid_core::operation::SignedOperation;
use realdid_core::rule::Rule;
use realdid_ledger::{Known, Network, admissible};

/// Who hands an operation in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// It is told to the other validators.
    Client,
    /// Another validator, which tells the others itself.
    Validator,
}

/// Why an operation does not wait here.
#[derive(Debug, thiserror::Error)]
pub enum NotAdmitted {
    #[error("{}", .0.text())]
    Rule(Rule),
    #[error(transparent)]
    NoRoom(#[from] Refused),
    #[error(transparent)]
    Machine(#[from] MachineError),
}

/// Takes an operation in, `bytes` as it came. What waits or was accepted already is answered the
/// same: a client may lose an answer. Reads the disk.
pub fn admit(
    machine: &Machine,
    mempool: &Mempool,
    signed: &SignedOperation,
    bytes: Bytes,
    by: By,
    now_ms: u64,
) -> Result<(), NotAdmitted> {
    let id = signed.id();
    if mempool.contains(&id) || matches!(machine.receipt(&id)?, Some((_, None))) {
        return Ok(());
    }
    let height = machine.tip().height + 1;
    let parameters = machine.parameters_at(height);
    let network = Network {
        name: &machine.genesis().network,
        parameters: &parameters,
    };
    admissible(network, height, signed).map_err(NotAdmitted::Rule)?;
    machine
        .try_verified(signed, now_ms)?
        .map_err(NotAdmitted::Rule)?;
    let signed = signed.clone();
    mempool.add(Known { id, signed }, bytes.0.clone())?;
    if by == By::Client {
        mempool.outbox().put(bytes);
    }
    Ok(())
}
