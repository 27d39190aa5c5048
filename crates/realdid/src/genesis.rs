//! `realdid genesis`: the ceremony that makes a network's key, by files that operators exchange
//! (spec/ceremony.md; docs/operators.md tells operators what to do).
//!
//! The steps of a round are those of [`crate::round`]; here is what makes a network of it. No secret
//! goes into the ceremony's folder or to the output.

pub mod folder;
mod plan;
mod succession;

use crate::cli::{
    CeremonyDir, CloseArgs, FinishArgs, GenesisCommand, KeyArgs, OperatorDir, ShowArgs, StepArgs,
};
use crate::fail::Fail;
use crate::input;
use crate::round::{Seat, Table, not_done};
use folder::{Folder, Home};
use realdid_ceremony::{Card, Made, OperatorError, Plan, PlanError, SuccessionError};
use realdid_core::did::NetworkName;
use realdid_core::genesis::Genesis;
use realdid_core::hash::HashFunction;
use realdid_core::suite::PublicKey;
use realdid_node::config::{NodeConfig, Peer, ValidatorKeys, example_config};
use realdid_node::succession::CARRIED_FILE;
use realdid_serve::files;
use serde_json::{Value, json};
use std::path::Path;

pub fn run(command: GenesisCommand) -> Result<Value, Fail> {
    match command {
        GenesisCommand::Key(args) => key(&args),
        GenesisCommand::Plan(args) => plan::run(&args),
        GenesisCommand::Deal(args) => deal(&args),
        GenesisCommand::Answer(args) => answer(&args),
        GenesisCommand::Close(args) => close(&args),
        GenesisCommand::Finish(args) => finish(&args),
        GenesisCommand::Verify(args) => verify(&args),
        GenesisCommand::Show(args) => show(&args),
        GenesisCommand::Export(args) => succession::export(&args),
        GenesisCommand::Approve(args) => succession::approve(&args),
    }
}

/// Makes the operator's secret once, and its card.
fn key(args: &KeyArgs) -> Result<Value, Fail> {
    let network: NetworkName = args.network.parse().map_err(|_| {
        Fail::user(
            "network.name",
            "a network's name is 1 to 16 of a-z, 0-9 and inner hyphens, a letter first",
            "choose such a name with --network",
        )
    })?;
    let by = HashFunction::from_name(&args.hash).ok_or_else(|| {
        Fail::user(
            "network.hash",
            "a network hashes by sha-256 or sm3",
            "give one of them with --hash",
        )
    })?;
    let network = network.hashing_by(by);
    let home = Home::make(&args.operator.operator)?;
    let operator = home.operator_or_new()?;
    let card = operator
        .card(&network, &args.name, args.p2p)
        .map_err(no_operator)?;
    let folder = Folder::make(&args.ceremony.dir)?;
    let file = folder.publish(&format!("{}.card", args.name), card.bytes())?;
    Ok(json!({
        "operator": home.path(),
        "card": file,
        "peer": operator.peer().to_string(),
    }))
}

fn deal(args: &StepArgs) -> Result<Value, Fail> {
    let step = Step::begin(&args.ceremony, &args.operator, args.plan.as_deref())?;
    let mut dealt = step.seat.deal(None)?;
    dealt["plan"] = json!(step.plan.digest().to_string());
    Ok(dealt)
}

fn answer(args: &StepArgs) -> Result<Value, Fail> {
    let step = Step::begin(&args.ceremony, &args.operator, args.plan.as_deref())?;
    step.seat.answer()
}

fn close(args: &CloseArgs) -> Result<Value, Fail> {
    let own = &args.step;
    let step = Step::begin(&own.ceremony, &own.operator, own.plan.as_deref())?;
    step.seat.close(None, &args.without)
}

/// Writes what a validator starts from, and this operator's word for it.
fn finish(args: &FinishArgs) -> Result<Value, Fail> {
    let step = Step::begin(
        &args.step.ceremony,
        &args.step.operator,
        args.step.plan.as_deref(),
    )?;
    let seat = &step.seat;
    seat.all_logs(&args.without)?;
    let finished = seat
        .board
        .finish(&seat.operator)
        .map_err(|error| seat.not_made(&error))?;
    let genesis = step.plan.genesis(&finished.made);
    let word = seat
        .board
        .attest(&seat.operator, &finished.made, genesis.digest())
        .map_err(not_done)?;
    seat.says_the_same(&word)?;
    let keys = ValidatorKeys {
        identity_seed: *seat.operator.identity_seed(),
        polynomial: finished.made.polynomial.clone(),
        share: finished.share.to_vec(),
    };
    let config = node_config(args, &step);
    files::create_private_dir(&args.node)?;
    let validator = args.node.join("validator.json");
    folder::write_secret_once(&validator, &keys)?;
    let config_file = args.node.join("node.toml");
    if !config_file.exists() {
        files::write_private(&config_file, example_config(&config).as_bytes())?;
    }
    if step.plan.predecessor().is_some() {
        let carried = args.node.join(CARRIED_FILE);
        if !carried.exists() {
            files::write_private(&carried, &seat.folder.state()?)?;
        }
    }
    for file in [&args.node.join("genesis.cbor"), &seat.folder.genesis_file()] {
        folder::write_once(file, &genesis.encode())?;
    }
    folder::write_once(&seat.folder.committee_file(), &finished.made.output)?;
    seat.say(&word)?;
    // With this operator's word in the folder.
    let seen = Seen::of(seat.folder.path())?;
    let mut value = seen.outcome(&finished.made, &genesis)?;
    value["validator"] = json!(validator);
    value["config"] = json!(config_file);
    Ok(value)
}

/// What anybody finds who has no secret.
fn verify(args: &CeremonyDir) -> Result<Value, Fail> {
    let seen = Seen::of(&args.dir)?;
    seen.consented()?;
    let made = seen.table.board.observe().made;
    let made = made.map_err(|error| seen.table.not_made(&error))?;
    let genesis = seen.plan.genesis(&made);
    if let Some(bytes) = seen.table.folder.genesis()?
        && bytes != genesis.encode()
    {
        return Err(Fail::part(
            "ceremony.genesis_differs",
            "the genesis in the folder is the one that its plan and logs make",
            "whoever gave you the folder",
            "get the folder from another operator and compare",
        ));
    }
    seen.outcome(&made, &genesis)
}

/// What a genesis says, and how its key was made.
fn show(args: &ShowArgs) -> Result<Value, Fail> {
    let bytes = input::read_bounded(&args.genesis, realdid_core::genesis::MAX_GENESIS_BYTES)?;
    let genesis = Genesis::decode(&bytes).map_err(|error| {
        Fail::user(
            error.code(),
            &error.to_string(),
            "get the network's genesis from somebody you trust",
        )
    })?;
    Ok(json!({
        "network": genesis.network.as_str(),
        "digest": genesis.digest().to_string(),
        "key": if genesis.is_dealt() { "dealt" } else { "ceremony" },
        "development": genesis.is_dealt(),
        "transcript": genesis.ceremony.map(|transcript| transcript.to_string()),
        "validators": genesis.validators.len(),
        "predecessor": genesis.predecessor.map(|from| from.genesis.to_string()),
    }))
}

fn node_config(args: &FinishArgs, step: &Step) -> NodeConfig {
    let cards = step.plan.cards();
    let own = |card: &&Card| card.player().peer == step.seat.operator.peer();
    let p2p_listen = cards.iter().find(own).map(Card::address);
    NodeConfig {
        recognised: Vec::new(),
        key_days: Some(365),
        dir: ".".into(),
        genesis: "genesis.cbor".into(),
        listen: args.listen,
        public_url: None,
        tls: None,
        p2p_listen: p2p_listen.unwrap_or(args.listen),
        private_network: args.private_network,
        peers: cards
            .iter()
            .map(|card| Peer {
                public_key: card.player().peer.to_string(),
                address: card.address(),
            })
            .collect(),
        supervised: false,
    }
}

/// The ceremony's folder with its plan.
struct Seen {
    plan: Plan,
    table: Table,
}

impl Seen {
    fn of(dir: &Path) -> Result<Self, Fail> {
        let folder = Folder::open(dir)?;
        let plan = folder.plan()?;
        let table = Table::of(folder, plan.round().clone(), plan.cards().to_vec())?;
        Ok(Self { plan, table })
    }

    /// Governance keys of the predecessor that approved the plan: a quorum of them, or this is
    /// refused. None where there is no predecessor.
    fn consented(&self) -> Result<Vec<String>, Fail> {
        if self.plan.predecessor().is_none() {
            return Ok(Vec::new());
        }
        let left = self.table.folder.left()?;
        let keys = left.approved(&self.plan, &self.table.folder.approvals()?);
        Ok(keys.map_err(no_succession)?.iter().map(key_text).collect())
    }

    fn outcome(&self, made: &Made, genesis: &Genesis) -> Result<Value, Fail> {
        let mut outcome = self.table.agreement(made, &genesis.digest());
        outcome["network"] = json!(genesis.network.as_str());
        outcome["digest"] = json!(genesis.digest().to_string());
        outcome["key"] = json!("ceremony");
        let predecessor = genesis.predecessor.map(|from| from.genesis.to_string());
        outcome["predecessor"] = json!(predecessor);
        outcome["approved"] = json!(self.consented()?);
        Ok(outcome)
    }
}

/// One operator's step, once the plan was signed off.
struct Step {
    plan: Plan,
    seat: Seat,
}

impl Step {
    fn begin(
        ceremony: &CeremonyDir,
        home: &OperatorDir,
        digest: Option<&str>,
    ) -> Result<Self, Fail> {
        let home = Home::open(&home.operator)?;
        let operator = home.operator()?;
        let seen = Seen::of(&ceremony.dir)?;
        home.approve(&seen.plan.digest(), digest, "--plan")?;
        seen.consented()?;
        let Seen { plan, table } = seen;
        let seat = Seat::take(table, home, operator)?;
        Ok(Self { plan, seat })
    }
}

fn no_operator(error: OperatorError) -> Fail {
    Fail::user(
        "ceremony.operator",
        &error.to_string(),
        "choose such a name with --name",
    )
}

fn no_succession(error: SuccessionError) -> Fail {
    let fix = match error {
        SuccessionError::Unapproved { .. } => {
            "get approvals: governance runs `realdid genesis approve` once it has compared the plan"
        }
        SuccessionError::OtherPlan => "plan anew with what the other network left",
        _ => "get predecessor.cbor and state.cbor again, from another operator if need be",
    };
    Fail::user(error.code(), &error.to_string(), fix)
}

/// A public key as `suite:hex`.
pub fn key_text(key: &PublicKey) -> String {
    format!("{}:{}", key.suite().name(), hex::encode(key.bytes()))
}

fn no_plan(error: PlanError) -> Fail {
    Fail::user(
        error.code(),
        &error.to_string(),
        "correct the plan's file or the cards in the folder, and plan again",
    )
}
