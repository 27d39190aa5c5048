//! `realdid governance`: decisions of a network's governance (spec/operations.md, R8 and G1), signed by all
//! keys at once, or by one holder after another on a draft that they pass on.
//!
//! A draft is the operation itself with the signatures that it has so far, so that each holder signs
//! what the ledger will see. Governance's record is proved before anything is signed: a node cannot
//! make a holder sign for another place in the sequence.

use crate::cli::{DecideArgs, DraftArgs, GovernArgs, LedgerArgs, SignArgs};
use crate::fail::Fail;
use crate::input::{self, read_bounded};
use crate::nation::{Nation, now_ms};
use crate::resolve::{client, node, trusted};
use realdid_core::codec;
use realdid_core::did::NetworkName;
use realdid_core::governance::Governance;
use realdid_core::operation::{Body, Decision, MAX_OPERATION_BYTES, Operation, SignedOperation};
use realdid_core::state::{ReasonCode, decode_record, governance_key};
use realdid_core::suite::SecretKey;
use realdid_light::http::NodeClient;
use realdid_light::{Freshness, LightClient};
use realdid_serve::files;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a node may take to have a sealed state, and an operation to be final.
const WAIT: Duration = Duration::from_secs(30);
/// The greatest age of the state that a decision is made on.
const MAX_AGE_MS: u64 = 300_000;
/// For how many blocks a decision that is handed in at once may be in a block. A draft has the network's
/// whole window, as it goes from holder to holder.
const EXPIRY_BLOCKS: u64 = 1000;

/// Makes a decision that the authority or another command has printed.
pub async fn decide(args: DecideArgs) -> Result<Value, Fail> {
    let decision = hex::decode(args.decision.trim()).ok();
    let decision = decision
        .and_then(|bytes| codec::decode::<Decision>(&bytes, MAX_OPERATION_BYTES).ok())
        .ok_or_else(|| {
            Fail::user(
                "governance.decision",
                "a decision is canonical CBOR in hex",
                "give it as the command printed it that made it",
            )
        })?;
    make(&args.govern, decision).await
}

/// Signs a decision with the keys that are here. With a draft to write it is not handed in.
pub async fn make(args: &GovernArgs, decision: Decision) -> Result<Value, Fail> {
    let reason = reason(&args.reason)?;
    let ledger = Ledger::ask(&args.ledger).await?;
    let keys = ledger.keys(&args.governance_keys)?;
    let window = ledger.light.genesis().parameters.expiry_window;
    let blocks = match &args.draft {
        Some(_) => window,
        None => window.min(EXPIRY_BLOCKS),
    };
    let body = Body::Govern(ledger.governance.seq + 1, decision, reason);
    let expires = ledger.height.saturating_add(blocks);
    let operation = Operation::new(ledger.network().clone(), expires, body);
    let signed = operation.sign(&keys.iter().collect::<Vec<_>>());
    match &args.draft {
        Some(draft) => {
            write(draft, &signed)?;
            ledger.facts(&signed)
        }
        None => ledger.hand_in(&signed).await,
    }
}

/// Adds signatures to a draft, and hands it in once it has as many as it needs.
pub async fn sign(args: SignArgs) -> Result<Value, Fail> {
    let mut signed = read(&args.draft)?;
    let ledger = Ledger::ask(&args.ledger).await?;
    ledger.check(&signed)?;
    let new = ledger.keys(&args.governance_keys)?;
    let again = signed
        .operation
        .clone()
        .sign(&new.iter().collect::<Vec<_>>());
    for by in again.signatures {
        if !signed.signatures.iter().any(|has| has.key == by.key) {
            signed.signatures.push(by);
        }
    }
    write(&args.draft, &signed)?;
    if (signed.signatures.len() as u64) < ledger.governance.threshold {
        return ledger.facts(&signed);
    }
    ledger.hand_in(&signed).await
}

/// What a draft would decide, and who has signed it. Nothing is signed.
pub async fn show(args: DraftArgs) -> Result<Value, Fail> {
    let signed = read(&args.draft)?;
    let ledger = Ledger::ask(&args.ledger).await?;
    ledger.check(&signed)?;
    ledger.facts(&signed)
}

/// Governance as the ledger proves it.
struct Ledger {
    node: NodeClient,
    light: LightClient,
    governance: Governance,
    height: u64,
    default_key: Option<PathBuf>,
}

impl Ledger {
    async fn ask(args: &LedgerArgs) -> Result<Self, Fail> {
        let (node, light) = network(args).await?;
        let key = governance_key(light.hash_function());
        let answer = node.state_at_least(&key, 0, WAIT).await?;
        let freshness = Freshness {
            now_ms: now_ms(),
            max_age_ms: MAX_AGE_MS,
            max_lag_slots: 1,
        };
        let proved = light.value(&key, &answer, &freshness)?;
        let governance = proved.value.as_deref().map(decode_record).transpose();
        let governance = governance.ok().flatten().ok_or_else(|| {
            Fail::part(
                "governance.none",
                "the ledger has a record of its governance",
                "the network",
                "compare the genesis with a source that you trust",
            )
        })?;
        let default_key = args.nation.dir.join("governance/governance.key");
        Ok(Self {
            node,
            light,
            governance,
            height: proved.at.header.height,
            default_key: default_key.is_file().then_some(default_key),
        })
    }

    fn network(&self) -> &NetworkName {
        &self.light.genesis().network
    }

    /// The keys that are named, each one of governance's; the nation's own where none is.
    fn keys(&self, named: &[PathBuf]) -> Result<Vec<SecretKey>, Fail> {
        let named = match (named, &self.default_key) {
            ([], Some(own)) => std::slice::from_ref(own),
            ([], None) => {
                return Err(Fail::user(
                    "governance.key",
                    "a decision is signed by a key of governance",
                    "give --governance-key FILE",
                ));
            }
            (named, _) => named,
        };
        let keys = named.iter().map(|path| input::governance_key(path));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let stranger = keys
            .iter()
            .position(|key| !self.governance.keys.contains(&key.public()));
        match stranger.and_then(|place| named.get(place)) {
            None => Ok(keys),
            Some(path) => Err(Fail::user(
                "governance.stranger",
                &format!(
                    "the key in {} is one of those that govern this network",
                    path.display()
                ),
                "give the file of a key that the ledger's governance record has",
            )),
        }
    }

    /// That a draft is one of this network, next in turn, and not too old.
    fn check(&self, signed: &SignedOperation) -> Result<(), Fail> {
        let Body::Govern(seq, ..) = &signed.operation.body else {
            return Err(no_draft());
        };
        if signed.operation.network != *self.network() {
            return Err(Fail::user(
                "governance.network",
                "a draft is of the network that is asked",
                "give --dir or --node of the draft's network",
            ));
        }
        if *seq != self.governance.seq + 1 || signed.operation.expires <= self.height {
            return Err(Fail::user(
                "governance.outdated",
                "a draft is of the next decision, and its last block is not over",
                "make the decision anew",
            ));
        }
        signed.verify_signatures().map_err(|_| no_draft())
    }

    async fn hand_in(&self, signed: &SignedOperation) -> Result<Value, Fail> {
        let (has, needs) = (signed.signatures.len(), self.governance.threshold);
        if (has as u64) < needs {
            return Err(Fail::user(
                "governance.threshold",
                &format!("a decision of this network has {needs} signatures, and this one {has}"),
                "give more keys, or --draft FILE for others to sign",
            ));
        }
        let height = self.node.submit_and_wait(signed, WAIT).await?;
        let mut facts = self.facts(signed)?;
        facts["height"] = json!(height);
        Ok(facts)
    }

    fn facts(&self, signed: &SignedOperation) -> Result<Value, Fail> {
        let Body::Govern(seq, decision, reason) = &signed.operation.body else {
            return Err(no_draft());
        };
        Ok(json!({
            "network": self.network().as_str(),
            "seq": seq,
            "decision": decision.name(),
            "reason": reason.name(),
            "cbor": hex::encode(codec::encode(decision)),
            "operation": signed.id().to_string(),
            "signatures": signed.signatures.len(),
            "threshold": self.governance.threshold,
            "expires": signed.operation.expires,
            "height": null,
        }))
    }
}

/// A node, and a client of what is trusted of its network.
pub async fn network(args: &LedgerArgs) -> Result<(NodeClient, LightClient), Fail> {
    let nation = Nation::read(&args.nation.dir)?;
    let node = node(args.node.as_deref(), nation.as_ref())?;
    let name = node.genesis().await?.network;
    let genesis = trusted(args.trust.as_deref(), &name, nation.as_ref(), &node).await?;
    let light = client(genesis, &node).await?;
    Ok((node, light))
}

pub fn reason(name: &str) -> Result<ReasonCode, Fail> {
    ReasonCode::from_name(name).ok_or_else(|| {
        let names: Vec<&str> = ReasonCode::ALL.iter().map(|(_, name)| *name).collect();
        Fail::user(
            "reason.unknown",
            "a reason is one of the closed list of spec/state.md",
            &format!("choose one of {}", names.join(", ")),
        )
    })
}

fn read(draft: &Path) -> Result<SignedOperation, Fail> {
    let bytes = read_bounded(draft, MAX_OPERATION_BYTES)?;
    SignedOperation::decode(&bytes).map_err(|_| no_draft())
}

fn write(draft: &Path, signed: &SignedOperation) -> Result<(), Fail> {
    files::write_atomic(draft, &signed.encode(), files::PUBLIC)?;
    Ok(())
}

fn no_draft() -> Fail {
    Fail::user(
        "governance.draft",
        "a draft is a decision with signatures that verify, as --draft wrote it",
        "have it sent again, or make it anew",
    )
}
