//! Putting a DID on the ledger on one's own account (spec/operations.md, V1 to V6; spec/wallet.md,
//! W13): a RealPass proves that a verified person spends one of their slots, and not which person.
//!
//! The slots of a period are spent in random order, so that a slot's number does not count a
//! person's anchors. The wallet remembers which it has spent; where another device of the same
//! person was faster, the ledger says so, and the next slot is tried.

use crate::change::{self, Kind, Terms};
use crate::content::{HeldPass, OwnSlot, RealPasses};
use crate::error::CliError;
use crate::http::Http;
use crate::ledger::{Ledger, now_ms};
use crate::random::{self, seeded};
use crate::realpass::{self, PassRefused};
use crate::renew;
use crate::schedule::utc;
use crate::secret::Secret32;
use crate::wallet::Wallet;
use realdid_core::codec::Bytes;
use realdid_core::genesis::Parameters;
use realdid_core::hash::Hash32;
use realdid_core::operation::{Personhood, SignedOperation, slot_id};
use realdid_core::rule::Rule;
use realdid_core::state::issuer_id;
use realdid_light::DidState;
use realdid_light::http::NodeError;
use realdid_pass::Seeded;
use std::time::Duration;

/// How long the network may take to accept an operation.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(60);

/// Who answers for the state that an anchor creates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// The person, by one of their slots.
    Own,
    /// The authority, within its quota; it learns whose DID it is.
    Sponsored,
}

impl Account {
    /// One's own where the wallet has a RealPass.
    pub fn of(wallet: &Wallet) -> Self {
        if renew::has_source(wallet) {
            Self::Own
        } else {
            Self::Sponsored
        }
    }
}

/// A slot of the current period that this person has not spent, as far as the wallet knows.
pub fn choose_slot(
    parameters: &Parameters,
    spent: &[OwnSlot],
    now_ms: u64,
    random: u64,
) -> Result<OwnSlot, CliError> {
    let period = parameters.personhood_period_at(now_ms);
    let free: Vec<OwnSlot> = (0..parameters.personhood_slots)
        .map(|slot| OwnSlot { period, slot })
        .filter(|slot| !spent.contains(slot))
        .collect();
    let count = free.len() as u64;
    let at = random.checked_rem(count).map(|at| at as usize);
    at.and_then(|at| free.get(at).copied()).ok_or_else(|| {
        let period_ms = parameters.personhood_period_s.saturating_mul(1000);
        let next = utc((period + 1).saturating_mul(period_ms));
        CliError::user(
            "personhood.all_spent",
            &format!(
                "a person anchors at most {} DIDs on their own account in a period",
                parameters.personhood_slots
            ),
            &format!("wait until the next period begins, at {next}, or anchor with --sponsored: your authority then learns that the DID is yours"),
        )
    })
}

/// Writes down that a slot is spent, and forgets periods that are over.
pub fn remember(passes: &mut RealPasses, slot: OwnSlot) {
    passes.spent.retain(|spent| spent.period >= slot.period);
    if !passes.spent.contains(&slot) {
        passes.spent.push(slot);
    }
}

/// Adds the proof that a verified person spends `slot` on this operation.
pub fn prove(
    operation: SignedOperation,
    held: &HeldPass,
    seed: &Secret32,
    slot: OwnSlot,
    random: &mut Seeded,
) -> Result<SignedOperation, PassRefused> {
    let network = operation.operation.network.clone();
    let OwnSlot { period, slot } = slot;
    let binding = operation.operation.personhood_binding();
    let presentation = realpass::show_for_slot(
        held,
        seed,
        &network,
        &slot_id(&network, period, slot),
        &binding.0,
        random,
    )?;
    Ok(operation.on_own_account(Personhood {
        issuer: issuer_id(network.hash_function(), &held.issuer),
        period,
        slot,
        presentation: Bytes(presentation),
    }))
}

/// Anchors the DID at `place` on the person's own account; answers the operation and the height of
/// its block. It goes straight to a node: no authority hears of it.
pub async fn on_own_account(
    wallet: &mut Wallet,
    http: &Http,
    ledger: &mut Ledger,
    place: usize,
    state: &DidState,
) -> Result<(Hash32, u64), CliError> {
    let parameters = ledger.parameters().clone();
    let network = ledger.light.genesis().network.clone();
    // The checkpoint lies behind the chain's head, so half of the window is within it.
    let expires = state.at.header.height + parameters.expiry_window / 2;
    // One for each slot, and one for an epoch that turns in between.
    for attempt in 0..=parameters.personhood_slots {
        let held = renew::for_now(wallet, http, ledger).await?;
        let passes = wallet.passes()?;
        let seed = passes.seed.clone();
        let slot = choose_slot(&parameters, &passes.spent, now_ms(), random::number()?)?;
        let terms = Terms {
            network: network.clone(),
            // An operation that was refused is not asked about again: each attempt is another one.
            expires: expires.saturating_add(attempt),
        };
        let content = &mut wallet.content;
        let entry = &mut content.dids[place];
        let operation = change::build(Kind::Anchor, entry, None, &mut content.pool, None, terms)?;
        let operation = prove(operation, &held, &seed, slot, &mut seeded()?)?;
        let answered = ledger.nodes.submit_and_wait(&operation, ACCEPT_TIMEOUT);
        match answered.await {
            Ok(height) => {
                remember(wallet.passes()?, slot);
                wallet.save()?;
                return Ok((operation.id(), height));
            }
            Err(NodeError::Refused { rule }) if rule == Rule::SlotSpent.code() => {
                remember(wallet.passes()?, slot);
                wallet.save()?;
            }
            Err(NodeError::Refused { rule }) if rule == Rule::PassEpoch.code() => {}
            Err(error) => return Err(error.into()),
        }
    }
    choose_slot(&parameters, &wallet.passes()?.spent, now_ms(), 0)?;
    Err(CliError::new(
        Rule::PassEpoch.code(),
        Rule::PassEpoch.text(),
        "network",
        "set this device's clock and try again",
    ))
}

#[cfg(test)]
mod tests;
