//! Services of recognised networks (spec/login.md, rule V15).
//!
//! Who asks stands on the other network's ledger. The wallet believes that ledger where its own one
//! recognises the network and accepts its registrations: the recognition has the digest of the other
//! genesis, and any node may hand over the genesis and say where nodes are, since all else follows
//! from it. The recognitions are asked for all together, so that no node learns where somebody goes.

use crate::content::{Content, Network};
use crate::error::CliError;
use crate::ledger::{Ledger, now_ms};
use realdid_core::codec::Bytes;
use realdid_core::genesis::Genesis;
use realdid_core::governance::{Assurance, CredentialType, Recognition};
use realdid_core::hash::Hash32;
use realdid_core::state::Standing;
use realdid_light::Freshness;

/// The greatest age of what the wallet's own ledger says about another network.
const MAX_AGE_MS: u64 = 300_000;

/// The ledger of the network that this one calls `name`, where its registrations are accepted now.
pub async fn ledger(
    content: &mut Content,
    home: &mut Ledger,
    name: &str,
) -> Result<Ledger, CliError> {
    let recognition = recognition(home, name).await?;
    if recognition.standing != Standing::Active {
        return Err(CliError::new(
            "recognition.suspended",
            "your network's recognition of the service's network is active",
            "your network's governance",
            "wait until it is restored",
        ));
    }
    let recognised = &recognition.recognised;
    // A registrar is admitted by its own governance: no assurance is above that.
    if !recognised.takes(CredentialType::Registration, Assurance::High) {
        return Err(CliError::new(
            "recognition.unaccepted",
            "your network accepts registrations of services from the service's network",
            "your network's governance",
            "do not sign in there with this wallet",
        ));
    }
    let known = content.abroad.iter().flatten();
    let mut known = known.filter(|network| digest(network) == Some(recognised.genesis));
    if let Some(network) = known.next_back() {
        return Ledger::pinned(network);
    }
    let offered = home.nodes.recognised(recognised).await?;
    let (genesis, nodes) = offered.ok_or_else(|| {
        CliError::new(
            "recognition.no_genesis",
            "a node of your network gives the genesis that the recognition names",
            "your network's nodes",
            "try another node, or ask its operator to name the other network",
        )
    })?;
    let network = Network {
        genesis: Bytes(genesis.encode()),
        nodes,
        terms: None,
    };
    let ledger = Ledger::pinned(&network)?;
    content.abroad.get_or_insert_default().push(network);
    Ok(ledger)
}

fn digest(network: &Network) -> Option<Hash32> {
    Genesis::decode(&network.genesis.0)
        .ok()
        .map(|genesis| genesis.digest())
}

/// What this wallet's network says of another.
async fn recognition(home: &mut Ledger, name: &str) -> Result<Recognition, CliError> {
    let freshness = Freshness {
        now_ms: now_ms(),
        max_age_ms: MAX_AGE_MS,
        max_lag_slots: MAX_AGE_MS / 1000 / home.parameters().slot_s.max(1),
    };
    let all = home
        .nodes
        .recognitions(&mut home.light, &freshness)
        .await?
        .value;
    let mut all = all.into_iter();
    let found = all.find(|known| known.recognised.network.as_str() == name);
    found.ok_or_else(|| {
        CliError::new(
            "recognition.unknown",
            "your network has recognised the service's network",
            "your network's governance",
            "do not sign in there with this wallet",
        )
    })
}
