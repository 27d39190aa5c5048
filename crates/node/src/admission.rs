//! How an operation comes to wait here, whoever hands it in: a client over HTTP or another
//! validator (spec/operations.md, Q1).
//!
//! What waits was found admissible by this node itself, signatures first: so the mempool holds
//! nothing that another merely claims, and a block's execution need not verify again what it holds.

use crate::machine::{Machine, MachineError};
use crate::mempool::{Mempool, Refused};
use realdid_core::codec::{Bytes, CodecError};
use realdid_core::hash::Hash32;
use realdid_core::operation::SignedOperation;
use realdid_core::rule::Rule;
use realdid_ledger::{Known, Network, admissible_each};

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
    /// These bytes are no operation.
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error("{}", .0.text())]
    Rule(Rule),
    #[error(transparent)]
    NoRoom(#[from] Refused),
}

/// Takes operations in, as their bytes came; answers of each its id, or why it does not wait here.
/// What waits or was accepted already is answered the same: a client may lose an answer. Each is judged
/// by itself, on top of what is final. Reads the disk: if that fails, nothing was taken in.
pub fn admit(
    machine: &Machine,
    mempool: &Mempool,
    operations: Vec<Bytes>,
    by: By,
    now_ms: u64,
) -> Result<Vec<Result<Hash32, NotAdmitted>>, MachineError> {
    let height = machine.tip().height + 1;
    let parameters = machine.parameters_at(height);
    let network = Network {
        name: &machine.genesis().network,
        parameters: &parameters,
    };
    let mut waits: Vec<Result<Hash32, NotAdmitted>> = Vec::with_capacity(operations.len());
    let mut new = Vec::new();
    for bytes in operations {
        if let Some(known) = mempool.known(&bytes) {
            waits.push(Ok(known.id));
            continue;
        }
        let signed = match SignedOperation::decode(&bytes.0) {
            Ok(signed) => signed,
            Err(error) => {
                waits.push(Err(error.into()));
                continue;
            }
        };
        let known = Known::of(signed);
        let id = known.id;
        if !mempool.contains(&id) {
            new.push((waits.len(), known, bytes));
        }
        waits.push(Ok(id));
    }
    let ids: Vec<_> = new.iter().map(|(_, known, _)| known.id).collect();
    let accepted = machine.accepted(&ids)?;
    let mut accepted = accepted.into_iter();
    new.retain(|_| accepted.next() != Some(true));

    // Before the state is read, as the lock that it takes is held for no signature.
    let signed: Vec<_> = new.iter().map(|(_, known, _)| &known.signed).collect();
    let outcomes = admissible_each(network, height, &signed);
    let mut verified = Vec::with_capacity(new.len());
    for ((place, known, bytes), outcome) in new.into_iter().zip(outcomes) {
        match outcome {
            Ok(()) => verified.push((place, known, bytes)),
            Err(rule) => waits[place] = Err(NotAdmitted::Rule(rule)),
        }
    }
    let signed: Vec<_> = verified.iter().map(|(_, known, _)| &known.signed).collect();
    let judged = machine.tip().height;
    let outcomes = machine.try_verified(&signed, now_ms)?;
    let mut added_here = Vec::new();
    for ((place, known, bytes), outcome) in verified.into_iter().zip(outcomes) {
        let id = known.id;
        let added = match outcome {
            Ok(()) => mempool.add(known, bytes.0.clone()).map_err(Into::into),
            Err(rule) => Err(NotAdmitted::Rule(rule)),
        };
        match added {
            Ok(()) => {
                added_here.push(id);
                if by == By::Client {
                    mempool.outbox().put(bytes);
                }
            }
            Err(why) => waits[place] = Err(why),
        }
    }
    // Another validator's block may have become final since it was judged, and have been settled before
    // this one waited here: it would be put into a block a second time.
    if machine.tip().height > judged {
        let accepted = machine.accepted(&added_here)?;
        let each = added_here.into_iter().zip(accepted);
        let done = each.filter_map(|(id, accepted)| accepted.then_some(id));
        mempool.forget(&done.collect::<Vec<_>>());
    }
    Ok(waits)
}
