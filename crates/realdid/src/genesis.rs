//! `realdid genesis`: the ceremony that makes a network's key, by files that operators exchange
//! (spec/ceremony.md; docs/operators.md tells operators what to do).
//!
//! Each command looks at the ceremony's folder, does its step once and again, and says what was done
//! and whose files are missing. What may be said once only (a log, an outcome) is kept beside the
//! operator's secret too, so that a folder that was lost or restored never makes anybody say two
//! things. No secret goes into the ceremony's folder or to the output.

mod folder;
mod plan;
mod succession;

use crate::cli::{
    CeremonyDir, CloseArgs, FinishArgs, GenesisCommand, KeyArgs, OperatorDir, ShowArgs, StepArgs,
};
use crate::fail::Fail;
use folder::{Folder, Home};
use realdid_ceremony::{
    Board, Card, CeremonyError, DocumentError, Kind, Made, Operator, OperatorError, Plan,
    PlanError, SuccessionError, deal,
};
use realdid_core::did::NetworkName;
use realdid_core::genesis::{Genesis, PeerKey};
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
        GenesisCommand::Deal(args) => deal_step(&args),
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

fn deal_step(args: &StepArgs) -> Result<Value, Fail> {
    let step = Step::begin(&args.ceremony, &args.operator, args.plan.as_deref())?;
    let dealing = deal(step.board.round(), &step.operator, None).map_err(not_done)?;
    let file = step.publish("dealing", dealing.bytes())?;
    Ok(json!({
        "dealing": file,
        "plan": step.plan.digest().to_string(),
        "missing": step.missing(Kind::Dealing, &[step.operator.peer()]),
        "rejected": step.rejected,
        "evidence": step.evidence(),
    }))
}

fn answer(args: &StepArgs) -> Result<Value, Fail> {
    let step = Step::begin(&args.ceremony, &args.operator, args.plan.as_deref())?;
    let answered = step.board.answer(&step.operator).map_err(not_done)?;
    // Made anew when more dealings are there: it then says more, and nothing else.
    let file = step.publish("answer", answered.document.bytes())?;
    let refused: Vec<Value> = answered
        .refused
        .iter()
        .map(|(dealer, fault)| step.fault(dealer, *fault))
        .collect();
    Ok(json!({
        "answer": file,
        "accepted": step.names(&answered.accepted),
        "refused": refused,
        "missing": step.names(&answered.missing),
        "rejected": step.rejected,
        "evidence": step.evidence(),
    }))
}

fn close(args: &CloseArgs) -> Result<Value, Fail> {
    let step = Step::begin(
        &args.step.ceremony,
        &args.step.operator,
        args.step.plan.as_deref(),
    )?;
    let absent = step.peers(&args.without)?;
    let name = step.own("log");
    let log = match step.home.kept(&name)? {
        Some(log) => log,
        None => {
            let closed = step
                .board
                .close(&step.operator, None, &absent)
                .map_err(|error| step.not_closed(&error))?;
            // Kept before it is shown: with other answers another log would come out.
            step.home.keep(&name, closed.document.bytes())?;
            closed.document.bytes().to_vec()
        }
    };
    let file = step.publish("log", &log)?;
    Ok(json!({
        "log": file,
        "missing": step.missing(Kind::Log, &[step.operator.peer()]),
        "rejected": step.rejected,
        "evidence": step.evidence(),
    }))
}

/// Writes what a validator starts from, and this operator's word for it.
fn finish(args: &FinishArgs) -> Result<Value, Fail> {
    let step = Step::begin(
        &args.step.ceremony,
        &args.step.operator,
        args.step.plan.as_deref(),
    )?;
    step.all_logs(&args.without)?;
    let finished = step
        .board
        .finish(&step.operator)
        .map_err(|error| step.not_made(&error))?;
    let genesis = step.plan.genesis(&finished.made);
    let name = step.own("outcome");
    let word = step
        .board
        .attest(&step.operator, &finished.made, genesis.digest())
        .map_err(not_done)?;
    let said_before = step.home.kept(&name)?;
    if said_before.is_some_and(|said| said != word.bytes()) {
        return Err(Fail::user(
            "ceremony.outcome_differs",
            "an operator finishes with one outcome: this folder's logs make another than before",
            "put back the logs of the first time; if operators finished with different logs, plan anew",
        ));
    }
    let keys = ValidatorKeys {
        identity_seed: *step.operator.identity_seed(),
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
            files::write_private(&carried, &step.folder.state()?)?;
        }
    }
    for file in [&args.node.join("genesis.cbor"), &step.folder.genesis_file()] {
        folder::write_once(file, &genesis.encode())?;
    }
    folder::write_once(&step.folder.committee_file(), &finished.made.output)?;
    step.home.keep(&name, word.bytes())?;
    step.publish("outcome", word.bytes())?;
    let (step, made) = (step.again()?, finished.made);
    let mut value = step.outcome(&made, &genesis)?;
    value["validator"] = json!(validator);
    value["config"] = json!(config_file);
    Ok(value)
}

/// What anybody finds who has no secret.
fn verify(args: &CeremonyDir) -> Result<Value, Fail> {
    let seen = Seen::of(&args.dir)?;
    seen.consented()?;
    let made = seen.board.observe().made;
    let made = made.map_err(|error| seen.not_made(&error))?;
    let genesis = seen.plan.genesis(&made);
    if let Some(bytes) = seen.folder.genesis()?
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
    let bytes = folder::read_bounded(&args.genesis, realdid_core::genesis::MAX_GENESIS_BYTES)?;
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
    let own = |card: &&Card| card.player().peer == step.operator.peer();
    let p2p_listen = cards.iter().find(own).map(Card::address);
    NodeConfig {
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

/// The ceremony's folder, read whole.
struct Seen {
    folder: Folder,
    plan: Plan,
    board: Board,
    /// Files that are no document of this round, and why.
    rejected: Vec<Value>,
}

impl Seen {
    fn of(dir: &Path) -> Result<Self, Fail> {
        let folder = Folder::open(dir)?;
        let plan = folder.plan()?;
        let mut board = Board::new(plan.round().clone());
        let mut rejected = Vec::new();
        for (name, bytes) in folder.documents()? {
            let read = bytes.map_err(|_| "codec.too_long").and_then(|bytes| {
                board
                    .read(&bytes)
                    .map(|_| ())
                    .map_err(|error: DocumentError| error.code())
            });
            if let Err(code) = read {
                rejected.push(json!({ "file": name, "code": code }));
            }
        }
        Ok(Self {
            folder,
            plan,
            board,
            rejected,
        })
    }

    /// Governance keys of the predecessor that approved the plan: a quorum of them, or this is
    /// refused. None where there is no predecessor.
    fn consented(&self) -> Result<Vec<String>, Fail> {
        if self.plan.predecessor().is_none() {
            return Ok(Vec::new());
        }
        let left = self.folder.left()?;
        let keys = left.approved(&self.plan, &self.folder.approvals()?);
        Ok(keys.map_err(no_succession)?.iter().map(key_text).collect())
    }

    fn names(&self, peers: &[PeerKey]) -> Vec<String> {
        let mut names: Vec<String> = peers.iter().map(|peer| self.plan.name(peer)).collect();
        names.sort_unstable();
        names
    }

    /// The operators of these names.
    fn peers(&self, names: &[String]) -> Result<Vec<PeerKey>, Fail> {
        let peer = |name: &String| {
            self.plan.peer(name).ok_or_else(|| {
                Fail::user(
                    "ceremony.name_unknown",
                    "whoever is given up with --without is an operator of the plan",
                    "give a name as `realdid genesis plan` lists it",
                )
            })
        };
        names.iter().map(peer).collect()
    }

    /// Operators of whom there is no document of this kind; `done` are not waited for.
    fn missing(&self, kind: Kind, done: &[PeerKey]) -> Vec<String> {
        let heard = self.board.heard(kind);
        let players = self.board.round().players().iter().map(|p| p.peer);
        let missing: Vec<PeerKey> = players
            .filter(|peer| !heard.contains(peer) && !done.contains(peer))
            .collect();
        self.names(&missing)
    }

    fn evidence(&self) -> Vec<Value> {
        let evidence = self.board.evidence();
        let twice = evidence.iter().map(|evidence| {
            let kind = match evidence.kind {
                Kind::Card => "card",
                Kind::Dealing => "dealing",
                Kind::Answer => "answer",
                Kind::Log => "log",
                Kind::Outcome => "outcome",
            };
            json!({ "name": self.plan.name(&evidence.by), "kind": kind })
        });
        twice.collect()
    }

    fn fault(&self, dealer: &PeerKey, fault: realdid_ceremony::Fault) -> Value {
        json!({
            "name": self.plan.name(dealer),
            "code": fault.code(),
            "what": fault.to_string(),
        })
    }

    fn faults(&self) -> Vec<Value> {
        let faults = self.board.observe().faults;
        let faults = faults.iter().map(|(by, fault)| self.fault(by, *fault));
        faults.collect()
    }

    fn not_made(&self, error: &CeremonyError) -> Fail {
        let faults = self.board.observe().faults;
        let faults: Vec<PeerKey> = faults.iter().map(|(by, _)| *by).collect();
        let who = match self.names(&faults).join(", ") {
            none if none.is_empty() => "operators who are missing".to_owned(),
            names => names,
        };
        let missing = self.missing(Kind::Log, &[]).join(", ");
        let fix = match error {
            CeremonyError::TooFew { .. } if !missing.is_empty() => {
                format!("get the logs of {missing}, or plan anew without those who fail")
            }
            CeremonyError::DealingLost => {
                "put the dealings back into the folder; any operator has them".to_owned()
            }
            _ => "plan anew without those who fail".to_owned(),
        };
        Fail::part(error.code(), &error.to_string(), &who, &fix)
    }

    fn outcome(&self, made: &Made, genesis: &Genesis) -> Result<Value, Fail> {
        let (agree, differ) = self.board.agreement(&made.transcript, &genesis.digest());
        let players = self.board.round().players().len();
        let quorum = players - self.board.round().withstands();
        Ok(json!({
            "network": genesis.network.as_str(),
            "digest": genesis.digest().to_string(),
            "key": "ceremony",
            "transcript": made.transcript.to_string(),
            "dealers": self.names(&made.dealers),
            "exposed": self.names(&made.exposed),
            "faults": self.faults(),
            "agree": self.names(&agree),
            "differ": self.names(&differ),
            "agreed": agree.len() >= quorum && differ.is_empty(),
            "missing": self.missing(Kind::Outcome, &[]),
            "predecessor": genesis.predecessor.map(|from| from.genesis.to_string()),
            "approved": self.consented()?,
            "rejected": self.rejected,
            "evidence": self.evidence(),
        }))
    }
}

/// One operator's step, once the plan was signed off.
struct Step {
    seen: Seen,
    home: Home,
    operator: Operator,
    name: String,
}

impl std::ops::Deref for Step {
    type Target = Seen;

    fn deref(&self) -> &Seen {
        &self.seen
    }
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
        home.approve(&seen.plan, digest)?;
        seen.consented()?;
        let cards = seen.plan.cards();
        let card = cards
            .iter()
            .find(|card| card.player().peer == operator.peer());
        let name = card.map(|card| card.name().to_owned()).ok_or_else(|| {
            Fail::user(
                "ceremony.not_a_player",
                "an operator's card is in the plan",
                "plan anew with the card, or name the right folder with --operator",
            )
        })?;
        Ok(Self {
            seen,
            home,
            operator,
            name,
        })
    }

    /// The same, over what the folder holds now.
    fn again(self) -> Result<Self, Fail> {
        let seen = Seen::of(self.folder.path())?;
        Ok(Self { seen, ..self })
    }

    fn publish(&self, kind: &str, bytes: &[u8]) -> Result<std::path::PathBuf, Fail> {
        self.folder.publish(&format!("{}.{kind}", self.name), bytes)
    }

    /// Where a document that is made once is kept: by the round that it is of.
    fn own(&self, kind: &str) -> String {
        format!("{}.{kind}", self.board.round().digest())
    }

    /// Whoever's log is missing was given up by name, so that all operators use the same logs.
    fn all_logs(&self, without: &[String]) -> Result<(), Fail> {
        self.peers(without)?;
        let missing = self.missing(Kind::Log, &[]);
        let waited_for: Vec<&String> = missing
            .iter()
            .filter(|name| !without.contains(name))
            .collect();
        match waited_for.as_slice() {
            [] => Ok(()),
            names => {
                let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
                Err(Fail::part(
                    "ceremony.logs_missing",
                    "every dealer's log is there, or all operators go on without the same ones",
                    &names.join(", "),
                    "get their logs; or agree with all operators and repeat --without NAME for each",
                ))
            }
        }
    }

    fn not_closed(&self, error: &CeremonyError) -> Fail {
        match error {
            CeremonyError::Unanswered { unanswered }
            | CeremonyError::TooManyUnanswered { unanswered, .. } => Fail::part(
                error.code(),
                "a dealer closes once every player has acknowledged or was given up",
                &self.names(unanswered).join(", "),
                "get their answers and close then; at most a third may be given up, with --without NAME: their shares become public",
            ),
            _ => not_done(error.clone()),
        }
    }
}

fn not_done(error: CeremonyError) -> Fail {
    Fail::user(
        error.code(),
        &error.to_string(),
        "name the right folders with --dir and --operator",
    )
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
fn key_text(key: &PublicKey) -> String {
    format!("{}:{}", key.suite().name(), hex::encode(key.bytes()))
}

fn no_plan(error: PlanError) -> Fail {
    Fail::user(
        error.code(),
        &error.to_string(),
        "correct the plan's file or the cards in the folder, and plan again",
    )
}
