//! `realdid network`: which other networks this one recognises (spec/operations.md, G6 and G7).
//!
//! Recognition is a decision of this network's governance about another, by the digest of its genesis, and
//! needs nothing of the other side. Suspending it is a decision of the same kind.

use crate::cli::{
    GovernArgs, LedgerArgs, NationDir, RecogniseArgs, RecognitionArgs, RecognitionsArgs,
};
use crate::fail::Fail;
use crate::govern;
use crate::input;
use crate::nation::{Nation, Neighbour, now_ms};
use realdid_core::certificate::is_network_key;
use realdid_core::did::NetworkName;
use realdid_core::genesis::{Genesis, MAX_GENESIS_BYTES, NetworkKey};
use realdid_core::governance::{
    Accepted, Assurance, CredentialType, FirstTerm, Recognised, Recognition,
};
use realdid_core::hash::Hash32;
use realdid_core::operation::Decision;
use realdid_core::state::{ReasonCode, Standing};
use realdid_light::{CheckedHeader, Freshness};
use serde_json::{Value, json};

/// The greatest age of what is shown.
const MAX_AGE_MS: u64 = 300_000;

/// Recognises another network, or changes what of it is accepted.
pub async fn recognise(args: RecogniseArgs) -> Result<Value, Fail> {
    let bytes = input::read_bounded(&args.genesis, MAX_GENESIS_BYTES)?;
    let other = Genesis::decode(&bytes).map_err(|error| {
        Fail::user(
            error.code(),
            &error.to_string(),
            "give the other network's genesis file as its operators publish it",
        )
    })?;
    let digest = other.digest();
    if args.digest.trim().parse::<Hash32>() != Ok(digest) {
        return Err(Fail::user(
            "genesis.other",
            &format!("the digest given is that of the file, which is {digest}"),
            "compare both with a source at the other network that you trust",
        ));
    }
    let mut accepts = args.accepts.clone();
    accepts.sort_by_key(|accepted| accepted.kind);
    let here = Recognitions::ask(&args.govern.ledger).await?;
    let mut known = here.list.into_iter().map(|known| known.recognised);
    let known = known.find(|known| known.genesis == digest);
    // Another decision about what is accepted does not go back to the genesis' key.
    let (begins, network_key) = match (args.from_term, known) {
        (Some((term, key)), _) => (Some(term), key),
        (None, Some(known)) => (known.begins, known.network_key),
        (None, None) => (None, other.network_key),
    };
    let recognised = Recognised {
        network: other.network.clone(),
        genesis: digest,
        network_key,
        accepts,
        begins,
    };
    if !recognised.is_well_formed(&here.network) {
        return Err(Fail::user(
            "recognition.shape",
            "another network than one's own is recognised, and each kind of credential is accepted once",
            "give the other network's genesis, and --accepts once for each kind",
        ));
    }
    let decision = Decision::Recognise(recognised);
    named(&args.govern, other.network.as_str(), decision).await
}

/// Recognises a neighbour, unless that was done before: what two governances would do after they
/// compared digests, for networks that one hand has just made.
pub async fn recognise_in_development(nation: &Nation, neighbour: &Neighbour) -> Result<(), Fail> {
    let ledger = || LedgerArgs {
        nation: NationDir {
            dir: nation.dir.clone(),
        },
        node: None,
        trust: None,
    };
    let known = Recognitions::ask(&ledger()).await?.list;
    let name = neighbour.network.as_str();
    if known
        .iter()
        .any(|known| known.recognised.network.as_str() == name)
    {
        return Ok(());
    }
    let file = nation.dir.join(neighbour.genesis_file());
    let other = Genesis::decode(&input::read_bounded(&file, MAX_GENESIS_BYTES)?);
    let digest = other.map_err(Fail::of)?.digest();
    let accepts = CredentialType::ALL.map(|kind| Accepted {
        kind,
        least: Assurance::Substantial,
    });
    recognise(RecogniseArgs {
        genesis: file,
        digest: digest.to_string(),
        accepts: accepts.to_vec(),
        from_term: None,
        govern: GovernArgs {
            ledger: ledger(),
            reason: ReasonCode::Scheduled.name().to_owned(),
            governance_keys: Vec::new(),
            draft: None,
        },
    })
    .await?;
    Ok(())
}

/// Accepts nothing of another network until it is restored. Takes effect at the next checkpoint.
pub async fn suspend(args: RecognitionArgs) -> Result<Value, Fail> {
    stand(args, Standing::Suspended).await
}

pub async fn restore(args: RecognitionArgs) -> Result<Value, Fail> {
    stand(args, Standing::Active).await
}

async fn stand(args: RecognitionArgs, standing: Standing) -> Result<Value, Fail> {
    let recognitions = Recognitions::ask(&args.govern.ledger).await?;
    let known = recognitions.list.iter();
    let mut known = known.filter(|known| known.recognised.network.as_str() == args.network);
    let Some(recognition) = known.next() else {
        return Err(unknown());
    };
    let network = recognition.recognised.network.clone();
    let decision = Decision::RecognitionStanding(network, standing);
    named(&args.govern, &args.network, decision).await
}

async fn named(govern: &GovernArgs, network: &str, decision: Decision) -> Result<Value, Fail> {
    let mut made = govern::make(govern, decision).await?;
    made["recognised"] = json!(network);
    Ok(made)
}

/// The recognised networks, with the proof checked here that there are no others.
pub async fn show(args: RecognitionsArgs) -> Result<Value, Fail> {
    let found = Recognitions::ask(&args.ledger).await?;
    let asked = |known: &&Recognition| match &args.network {
        Some(name) => known.recognised.network.as_str() == name,
        None => true,
    };
    let shown: Vec<Value> = found.list.iter().filter(asked).map(facts).collect();
    if shown.is_empty() && args.network.is_some() {
        return Err(unknown());
    }
    Ok(json!({
        "network": found.network.as_str(),
        "recognised": shown,
        "height": found.at.header.height,
        "ageSeconds": now_ms().saturating_sub(found.at.header.time_ms) / 1000,
    }))
}

fn facts(recognition: &Recognition) -> Value {
    let recognised = &recognition.recognised;
    let accepts: Vec<Value> = recognised
        .accepts
        .iter()
        .map(|accepted| json!({"kind": accepted.kind.name(), "least": accepted.least.name()}))
        .collect();
    let latest = recognition.latest.map(|latest| {
        json!({
            "height": latest.height,
            "timeMs": latest.time_ms,
            "digest": latest.digest.to_string(),
        })
    });
    let terms = recognition.terms();
    let terms: Vec<Value> = (terms.known().iter())
        .map(|term| {
            json!({
                "number": term.number,
                "first": term.first,
                "networkKey": term.network_key.to_string(),
            })
        })
        .collect();
    let fork = recognition.fork.map(|fork| {
        json!({
            "height": fork.height,
            "digests": [fork.one.to_string(), fork.other.to_string()],
            "shownAt": fork.shown,
        })
    });
    json!({
        "network": recognised.network.as_str(),
        "genesis": recognised.genesis.to_string(),
        "networkKey": recognised.network_key.to_string(),
        "accepts": accepts,
        "standing": recognition.standing.name(),
        "reason": recognition.reason.name(),
        "latest": latest,
        "terms": terms,
        "fork": fork,
    })
}

fn unknown() -> Fail {
    Fail::user(
        "recognition.unknown",
        "the network is one that this one has recognised",
        "see `realdid network show`",
    )
}

/// All that the ledger says of other networks.
struct Recognitions {
    network: NetworkName,
    list: Vec<Recognition>,
    at: CheckedHeader,
}

impl Recognitions {
    async fn ask(args: &LedgerArgs) -> Result<Self, Fail> {
        let (node, mut light) = govern::network(args).await?;
        let freshness = Freshness {
            now_ms: now_ms(),
            max_age_ms: MAX_AGE_MS,
            max_lag_slots: 1,
        };
        let all = node.recognitions(&mut light, &freshness).await?;
        Ok(Self {
            network: light.genesis().network.clone(),
            list: all.value,
            at: all.at,
        })
    }
}

/// `NUMBER:HEIGHT:KEY`.
pub fn from_term(word: &str) -> Result<(FirstTerm, NetworkKey), String> {
    let read = || {
        let (number, rest) = word.split_once(':')?;
        let (first, key) = rest.split_once(':')?;
        let term = FirstTerm {
            number: number.parse().ok()?,
            first: first.parse().ok()?,
        };
        let key: NetworkKey = key.parse().ok()?;
        is_network_key(&key.0).then_some((term, key))
    };
    read().ok_or_else(|| {
        "a term's number, its first height and its network key in lowercase hex, with colons between"
            .to_owned()
    })
}

/// `KIND` or `KIND:LEAST`.
pub fn accepted(word: &str) -> Result<Accepted, String> {
    let (kind, least) = word.split_once(':').unwrap_or((word, "substantial"));
    let mut kinds = CredentialType::ALL.into_iter();
    let mut levels = Assurance::ALL.into_iter();
    let kind = kinds.find(|known| known.name() == kind);
    let least = levels.find(|known| known.name() == least);
    let both = kind.zip(least);
    let both = both.map(|(kind, least)| Accepted { kind, least });
    both.ok_or_else(|| {
        "pid, real-pass or registration, then a colon and low, substantial or high".to_owned()
    })
}
