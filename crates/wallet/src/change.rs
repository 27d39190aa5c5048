//! Making DIDs and changing them (spec/did.md, spec/operations.md): from what the ledger proves
//! to a signed operation.
//!
//! Everything here is a function over values. The next and recovery keys are in the recovery kit,
//! so a change that needs one is asked for with the kit at hand. The new keys of a rotation or a
//! recovery are in the [`DidEntry`] when [`build`] returns: the caller stores it *before* it
//! sends the operation, so that no accepted key is ever lost.

use crate::content::{Content, DidEntry, KeySet};
use crate::seed::{Kit, KitError, Pool, Spares, pairwise_key};
use realdid_core::codec::{self, Bytes};
use realdid_core::did::{DidError, Inception, Keys, NetworkName};
use realdid_core::hash::Hash32;
use realdid_core::operation::{Body, Operation, SignedOperation};
use realdid_core::state::DidRecord;
use realdid_core::suite::SecretKey;

/// What a person can do to a DID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Anchor,
    Rotate,
    Recover,
    Cancel,
    Freeze,
    Deactivate,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Anchor => "anchor",
            Self::Rotate => "rotate",
            Self::Recover => "recover",
            Self::Cancel => "cancel",
            Self::Freeze => "freeze",
            Self::Deactivate => "deactivate",
        }
    }
}

/// Why a change cannot be made. The wallet refuses what the ledger would refuse, before it costs
/// anything.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("the DID is not on the ledger yet")]
    AlreadyAnchored,
    #[error("the DID is on the ledger")]
    NotAnchored,
    #[error("the DID is not deactivated")]
    Deactivated,
    #[error("the current keys are not frozen")]
    Frozen,
    #[error("the DID is not frozen already")]
    AlreadyFrozen,
    #[error("a recovery is pending")]
    NotRecovering,
    #[error("the keys that stand on the ledger are this wallet's")]
    OtherKeys,
    #[error("{0} needs a key that is kept off the device, in the recovery kit")]
    KitNeeded(&'static str),
    #[error("the wallet has commitments to spare keys left")]
    PoolEmpty,
    #[error(transparent)]
    Kit(#[from] KitError),
    #[error(transparent)]
    Did(#[from] DidError),
}

impl ChangeError {
    /// The stable code; where the ledger has a rule for the same thing, the ledger's.
    pub fn code(&self) -> &'static str {
        match self {
            Self::AlreadyAnchored => "did.exists",
            Self::NotAnchored => "did.unknown",
            Self::Deactivated => "did.deactivated",
            Self::Frozen => "did.frozen",
            Self::AlreadyFrozen => "did.already_frozen",
            Self::NotRecovering => "did.not_recovering",
            Self::OtherKeys => "did.other_keys",
            Self::KitNeeded(_) => "kit.needed",
            Self::PoolEmpty => "wallet.pool_empty",
            Self::Kit(error) => error.code(),
            Self::Did(_) => "did.malformed",
        }
    }

    /// What to do about it.
    pub fn fix(&self) -> &'static str {
        match self {
            Self::AlreadyAnchored | Self::AlreadyFrozen => "nothing: it is done already",
            Self::NotAnchored => "anchor it first: `realdid wallet did anchor`",
            Self::Deactivated => "use another DID; a deactivation is for good",
            Self::Frozen => "recover the DID with the recovery kit: `realdid wallet did recover`",
            Self::NotRecovering => "nothing: there is no recovery to take back",
            Self::OtherKeys => {
                "if you did not change this DID, freeze and recover it with the recovery kit"
            }
            Self::KitNeeded(_) => "bring the recovery kit and give its path with --kit",
            Self::PoolEmpty => "bring the recovery kit: `realdid wallet kit top-up --kit FILE`",
            Self::Kit(error) => error.fix(),
            Self::Did(_) => "restore the wallet from a copy",
        }
    }
}

/// The terms that every operation carries.
#[derive(Debug, Clone)]
pub struct Terms {
    pub network: NetworkName,
    /// The last height at which the operation may be in a block.
    pub expires: u64,
}

/// Whom a new DID is for.
#[derive(Debug, Clone)]
pub struct Purpose {
    /// A service's id, or 32 random bytes.
    pub service: Hash32,
    pub bound: bool,
    /// The service's first domain; empty where there is none.
    pub domain: String,
}

/// Makes a DID and puts it into the wallet; gives its place there.
pub fn new_did(
    content: &mut Content,
    network: NetworkName,
    purpose: Purpose,
    now_ms: u64,
) -> Result<usize, ChangeError> {
    let suite = content.pool.suite();
    let current = pairwise_key(suite, &content.pairwise_root, &purpose.service)?;
    let spares = content.pool.take().ok_or(ChangeError::PoolEmpty)?;
    let inception = Inception {
        version: 1,
        network,
        keys: keys(&current, &spares),
        endpoints: vec![],
    };
    inception.check()?;
    content.dids.push(DidEntry {
        service: purpose.service,
        bound: purpose.bound,
        domain: purpose.domain,
        inception: Bytes(codec::encode(&inception)),
        key_sets: vec![KeySet::new(&current, &spares)],
        created_ms: now_ms,
    });
    Ok(content.dids.len() - 1)
}

/// Builds and signs one change.
///
/// `record` is the DID's proved record as it stands now; none where it is proved absent. An
/// operation that creates state ([`Kind::Anchor`]) still needs its sponsor.
pub fn build(
    kind: Kind,
    entry: &mut DidEntry,
    record: Option<&DidRecord>,
    pool: &mut Pool,
    kit: Option<&Kit>,
    terms: Terms,
) -> Result<SignedOperation, ChangeError> {
    let inception = entry.inception()?;
    let id = inception.id();
    let sign = |body: Body, key: &SecretKey| {
        Operation::new(terms.network.clone(), terms.expires, body).sign(&[key])
    };

    if kind == Kind::Anchor {
        if record.is_some() {
            return Err(ChangeError::AlreadyAnchored);
        }
        let key = entry
            .secret_of(&inception.keys.current)
            .ok_or(ChangeError::OtherKeys)?;
        return Ok(sign(Body::Anchor(inception), &key));
    }

    let record = record.ok_or(ChangeError::NotAnchored)?;
    if record.deactivated {
        return Err(ChangeError::Deactivated);
    }
    let seq = record.seq + 1;
    let kit_for = |name| kit.ok_or(ChangeError::KitNeeded(name));
    let current = || {
        entry
            .secret_of(&record.keys.current)
            .ok_or(ChangeError::OtherKeys)
    };

    match kind {
        Kind::Anchor => Err(ChangeError::AlreadyAnchored),
        Kind::Rotate => {
            // Also while the DID is frozen: that the next key is shown ends every dispute.
            let kit = kit_for("rotate")?;
            let by = next_key(kit, pool, record)?;
            let keys = fresh_keys(entry, pool, kit)?;
            Ok(sign(Body::Rotate(id, seq, keys), &by))
        }
        Kind::Recover => {
            let kit = kit_for("recover")?;
            let by = recovery_key(kit, pool, record)?;
            let keys = fresh_keys(entry, pool, kit)?;
            Ok(sign(Body::Recover(id, seq, keys), &by))
        }
        Kind::Cancel => {
            if record.pending.is_none() {
                return Err(ChangeError::NotRecovering);
            }
            if record.frozen {
                return Err(ChangeError::Frozen);
            }
            Ok(sign(Body::Cancel(id, seq), &current()?))
        }
        Kind::Freeze => {
            if record.frozen {
                return Err(ChangeError::AlreadyFrozen);
            }
            let by = recovery_key(kit_for("freeze")?, pool, record)?;
            Ok(sign(Body::Freeze(id, seq), &by))
        }
        Kind::Deactivate => {
            // While a recovery is pending or the DID is frozen, a current key may be a thief's.
            let disputed = record.frozen || record.pending.is_some();
            let by = if disputed {
                next_key(kit_for("deactivating a disputed DID")?, pool, record)?
            } else {
                current()?
            };
            Ok(sign(Body::Deactivate(id, seq), &by))
        }
    }
}

fn keys(current: &SecretKey, spares: &Spares) -> Keys {
    Keys {
        current: vec![current.public()],
        next: spares.next,
        recovery: spares.recovery,
    }
}

/// Keys that were never shown, from the kit's root of the next generation.
fn fresh_keys(entry: &mut DidEntry, pool: &mut Pool, kit: &Kit) -> Result<Keys, ChangeError> {
    let generation = entry.key_sets.len() as u32;
    let root = kit.pairwise_root(generation);
    let current = pairwise_key(pool.suite(), &root, &entry.service)?;
    if pool.left() == 0 {
        kit.top_up(pool, crate::seed::POOL_STEP)?;
    }
    let spares = pool.take().ok_or(ChangeError::PoolEmpty)?;
    entry.key_sets.push(KeySet::new(&current, &spares));
    Ok(keys(&current, &spares))
}

fn next_key(kit: &Kit, pool: &Pool, record: &DidRecord) -> Result<SecretKey, ChangeError> {
    kit.check(pool)?;
    let index = pool.next.iter().position(|made| *made == record.keys.next);
    let index = index.ok_or(ChangeError::OtherKeys)? as u32;
    Ok(kit.next_key(pool.suite(), index)?)
}

fn recovery_key(kit: &Kit, pool: &Pool, record: &DidRecord) -> Result<SecretKey, ChangeError> {
    kit.check(pool)?;
    let index = pool
        .recovery
        .iter()
        .position(|made| *made == record.keys.recovery);
    let index = index.ok_or(ChangeError::OtherKeys)? as u32;
    Ok(kit.recovery_key(pool.suite(), index)?)
}

#[cfg(test)]
mod tests;
