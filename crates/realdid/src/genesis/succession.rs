//! `realdid genesis export` and `approve`: a network that lost its quorum for good is handed over.

use super::folder::Folder;
use super::key_text;
use crate::cli::{ApproveArgs, ExportArgs};
use crate::fail::Fail;
use crate::input::{governance_key, read_bounded};
use realdid_ceremony::{Approval, Left};
use realdid_core::carried;
use realdid_core::genesis::{Genesis, MAX_GENESIS_BYTES};
use realdid_node::config::NodeConfig;
use realdid_node::succession::{SuccessionError, last_certified};
use realdid_serve::files;
use serde_json::{Value, json};

/// Writes what a stopped node's network left.
pub fn export(args: &ExportArgs) -> Result<Value, Fail> {
    let config = NodeConfig::load(&args.config).map_err(Fail::of)?;
    let genesis = read_bounded(&config.genesis, MAX_GENESIS_BYTES)?;
    let genesis = Genesis::decode(&genesis).map_err(|error| {
        Fail::user(
            error.code(),
            &error.to_string(),
            "name the configuration of a node of the network that stands still",
        )
    })?;
    let last = last_certified(&config.dir, &genesis).map_err(not_exported)?;
    let folder = Folder::make(&args.ceremony.dir)?;
    let state = carried::encode(&last.records);
    let file = Left::file(&genesis, last.hand_overs, &last.checkpoint);
    files::write_atomic(&folder.state_file(), &state, files::PUBLIC)?;
    files::write_atomic(&folder.predecessor_file(), &file, files::PUBLIC)?;
    let left = folder.left()?;
    Ok(json!({
        "predecessor": folder.predecessor_file(),
        "state": folder.state_file(),
        "genesis": genesis.digest().to_string(),
        "term": left.term(),
        "height": left.height(),
        "stateHeight": left.predecessor().sealed.height,
        "stateRoot": left.predecessor().sealed.state_root.to_string(),
        "records": last.records.len(),
        "after": last.after,
    }))
}

/// One governance key's consent to the plan in the folder.
pub fn approve(args: &ApproveArgs) -> Result<Value, Fail> {
    let folder = Folder::open(&args.ceremony.dir)?;
    let plan = folder.plan()?;
    if plan.digest().to_string() != args.plan {
        return Err(Fail::user(
            "ceremony.plan_differs",
            "the plan in the folder is the one that operators agreed on",
            "get plan.cbor again, and compare what `realdid genesis plan` prints",
        ));
    }
    let left = folder.left()?;
    let key = governance_key(&args.key)?;
    if !left.governance().keys.contains(&key.public()) {
        return Err(Fail::user(
            "succession.not_governance",
            "an approval is by a governance key of the network that stands still",
            "name the file of such a key",
        ));
    }
    let approval = Approval::sign(&plan, &key);
    let place = hex::encode(key.public().bytes());
    let place = place.get(..16).unwrap_or_default();
    let file = folder.publish(&format!("{place}.approval"), &approval.encode())?;
    Ok(json!({
        "approval": file,
        "key": key_text(&key.public()),
        "plan": args.plan,
    }))
}

fn not_exported(error: SuccessionError) -> Fail {
    Fail::user(
        error.code(),
        &error.to_string(),
        "stop the node, and name its configuration; another validator's folder may have more",
    )
}
