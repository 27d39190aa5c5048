//! `realdid genesis plan`: the file in which operators write down what their network is to be, and
//! the plan that it becomes.

use super::folder::Folder;
use super::no_plan;
use crate::cli::PlanArgs;
use crate::fail::Fail;
use crate::input::read_bounded;
use crate::nation::now_ms;
use realdid_ceremony::{Card, Plan, PlanError};
use realdid_core::codec;
use realdid_core::did::NetworkName;
use realdid_core::genesis::{Parameters, Predecessor};
use realdid_core::governance::{Governance, NEWEST_RULES};
use realdid_core::hash::HashFunction;
use realdid_core::state::Issuer;
use realdid_core::suite::{PublicKey, Suite};
use realdid_serve::files;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The longest file of an issuer: what a record may have (spec/encoding.md, E1).
const MAX_ISSUER_BYTES: usize = 16 * 1024;

/// The plan's TOML file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanFile {
    network: String,
    #[serde(default = "sha_256")]
    hash: String,
    parameters: ParametersTable,
    governance: GovernanceTable,
    /// Records of issuers that are admitted from the start, canonical CBOR.
    #[serde(default)]
    issuers: Vec<PathBuf>,
}

fn sha_256() -> String {
    HashFunction::Sha256.name().to_owned()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ParametersTable {
    block_interval_ms: u64,
    slot_s: u64,
    epoch_s: u64,
    refresh_lead_s: u64,
    recovery_delay_s: u64,
    status_period_s: u64,
    expiry_window: u64,
    block_operations: u64,
    personhood_period_s: u64,
    personhood_slots: u64,
    suites: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GovernanceTable {
    threshold: u64,
    /// `suite:hex`, such as `ed25519:…`.
    keys: Vec<String>,
}

pub fn run(args: &PlanArgs) -> Result<Value, Fail> {
    let folder = Folder::open(&args.ceremony.dir)?;
    let there = folder.plan_file().exists();
    let plan = match (&args.config, there) {
        (None, false) if args.succeed => {
            let plan = Plan::after(&folder.left()?, now_ms(), folder.cards()?);
            let plan = plan.map_err(no_plan)?;
            files::write_atomic(&folder.plan_file(), &plan.encode(), files::PUBLIC)?;
            plan
        }
        (None, true) => folder.plan()?,
        (None, false) => {
            return Err(Fail::user(
                "ceremony.no_plan",
                "a new plan comes from a file that says what the network is to be",
                "give it with --config; docs/operators.md has an example",
            ));
        }
        // A plan that is there is not replaced; the same comes out with its time.
        (Some(config), true) => {
            let there = folder.plan()?;
            let time_ms = there.genesis_time_ms();
            let again = planned(config, folder.cards()?, time_ms)?;
            match again.digest() == there.digest() {
                true => there,
                false => return Err(exists()),
            }
        }
        (Some(config), false) => {
            let plan = planned(config, folder.cards()?, now_ms())?;
            files::write_atomic(&folder.plan_file(), &plan.encode(), files::PUBLIC)?;
            plan
        }
    };
    let operators = plan.cards().iter().map(|card| {
        json!({
            "name": card.name(),
            "peer": card.player().peer.to_string(),
            "p2p": card.address().to_string(),
        })
    });
    let round = plan.round();
    Ok(json!({
        "plan": folder.plan_file(),
        "digest": plan.digest().to_string(),
        "network": plan.network().as_str(),
        "operators": operators.collect::<Vec<Value>>(),
        "withstands": round.withstands(),
        "predecessor": plan.predecessor().map(predecessor),
    }))
}

fn predecessor(from: &Predecessor) -> Value {
    json!({
        "genesis": from.genesis.to_string(),
        "header": from.header.to_string(),
        "height": from.sealed.height,
        "stateRoot": from.sealed.state_root.to_string(),
    })
}

fn exists() -> Fail {
    Fail::user(
        "ceremony.plan_exists",
        "a plan that is there is not replaced by another",
        "take plan.cbor away if nobody has signed it off, or use another folder",
    )
}

fn planned(config: &Path, cards: Vec<Card>, time_ms: u64) -> Result<Plan, Fail> {
    let file: PlanFile = realdid_serve::config::load(config, "REALDID_PLAN").map_err(Fail::of)?;
    let network: NetworkName = file.network.parse().map_err(|_| wrong("network"))?;
    let hash = HashFunction::from_name(&file.hash).ok_or_else(|| wrong("hash"))?;
    let folder = config.parent().unwrap_or(Path::new(""));
    let issuers = file.issuers.iter().map(|path| issuer(&folder.join(path)));
    Plan::new(
        network.hashing_by(hash),
        time_ms,
        parameters(file.parameters)?,
        governance(&file.governance)?,
        issuers.collect::<Result<_, _>>()?,
        cards,
    )
    .map_err(|error: PlanError| no_plan(error))
}

fn parameters(table: ParametersTable) -> Result<Parameters, Fail> {
    let mut suites = table
        .suites
        .iter()
        .map(|name| suite(name).ok_or_else(|| wrong("parameters.suites")))
        .collect::<Result<Vec<_>, _>>()?;
    suites.sort_unstable();
    Ok(Parameters {
        block_interval_ms: table.block_interval_ms,
        slot_s: table.slot_s,
        epoch_s: table.epoch_s,
        refresh_lead_s: table.refresh_lead_s,
        recovery_delay_s: table.recovery_delay_s,
        status_period_s: table.status_period_s,
        expiry_window: table.expiry_window,
        block_operations: table.block_operations,
        personhood_period_s: table.personhood_period_s,
        personhood_slots: table.personhood_slots,
        suites,
        rules: NEWEST_RULES,
    })
}

fn governance(table: &GovernanceTable) -> Result<Governance, Fail> {
    let key = |text: &String| {
        let (name, key) = text.split_once(':')?;
        PublicKey::new(suite(name)?, &hex::decode(key).ok()?).ok()
    };
    let keys = table.keys.iter().map(key);
    let keys: Option<Vec<PublicKey>> = keys.collect();
    Ok(Governance {
        seq: 0,
        threshold: table.threshold,
        keys: keys.ok_or_else(|| wrong("governance.keys"))?,
    })
}

fn issuer(path: &Path) -> Result<Issuer, Fail> {
    let bytes = read_bounded(path, MAX_ISSUER_BYTES)?;
    codec::decode(&bytes, MAX_ISSUER_BYTES).map_err(|_| wrong("issuers"))
}

fn suite(name: &str) -> Option<Suite> {
    Suite::ALL.into_iter().find(|suite| suite.name() == name)
}

fn wrong(key: &str) -> Fail {
    Fail::user(
        "ceremony.plan_file",
        &format!("`{key}` in the plan's file is of the form that docs/operators.md shows"),
        "correct it and plan again",
    )
}
