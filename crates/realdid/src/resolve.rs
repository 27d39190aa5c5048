//! `realdid resolve`: a DID Resolution result whose proof was checked on this machine.
//!
//! The node is asked for bytes, never for a verdict. What is trusted is a genesis: the digest
//! given with `--trust`, the nation's own file, or the first one met, which is then kept.

use crate::cli::ResolveArgs;
use crate::fail::Fail;
use crate::input::read_bounded;
use crate::nation::{Nation, now_ms};
use realdid_core::did::{Inception, MAX_INCEPTION_BYTES, NetworkName};
use realdid_core::genesis::Genesis;
use realdid_core::hash::Hash32;
use realdid_core::state::did_key;
use realdid_light::http::{NodeClient, NodeError};
use realdid_light::resolve::{self, Form, Question, Refused};
use realdid_light::{Freshness, LightClient, MAX_TERMS_BYTES};
use realdid_serve::files;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The greatest age of what a network says of another, in milliseconds.
const MAX_RECOGNITION_AGE_MS: u64 = 300_000;
/// How long a node may take to have a sealed state.
const WAIT: Duration = Duration::from_secs(20);

/// The document of a DID, of the version that is asked for.
pub async fn run(args: ResolveArgs) -> Result<Value, Fail> {
    let question = question(&args)?;
    if !question.is_resolution() {
        return Err(Fail::user(
            "did.part",
            "what is resolved is a DID; what a DID URL names in its document is dereferenced",
            "use `realdid dereference`, or leave out what stands behind the DID",
        ));
    }
    ask(&args, &question, Form::Whole).await
}

/// What a DID URL names; with `relativeRef` the addresses that it leads to.
pub async fn dereference(args: ResolveArgs) -> Result<Value, Fail> {
    let question = question(&args)?;
    let form = match question.has_relative_ref() {
        true => Form::Addresses,
        false => Form::Dereferenced,
    };
    ask(&args, &question, form).await
}

fn question(args: &ResolveArgs) -> Result<Question, Fail> {
    let mut options = Vec::new();
    if let Some(file) = &args.inception {
        options.push(resolve::inception_option(&read_inception(file)?));
    }
    Question::new(&args.did, options).map_err(refused)
}

async fn ask(args: &ResolveArgs, question: &Question, form: Form) -> Result<Value, Fail> {
    let did = &question.did;
    let nation = Nation::read(&args.nation.dir)?;
    let node = node(args.node.as_deref(), nation.as_ref())?;
    let of_node = node.genesis().await?.network;
    let genesis = trusted(args.trust.as_deref(), &of_node, nation.as_ref(), &node).await?;
    let light = client(genesis, &node).await?;
    let (node, mut light) = match of_node == did.network {
        true => (node, light),
        false => beyond(&node, light, &did.network).await?,
    };
    let key = did_key(did.network.hash_function(), &did.id);
    let answer = node.state_at_least(&key, 0, WAIT).await?;
    let past = match question.past() {
        Some(of) => node.past(&key, of).await?,
        None => Vec::new(),
    };
    node.follow(&mut light, &answer.checkpoint).await?;
    let freshness = Freshness {
        now_ms: now_ms(),
        max_age_ms: args.max_age.saturating_mul(1000),
        max_lag_slots: 1,
    };
    let outcome = resolve::resolve(&light, question, form, (&answer, &past), &freshness)?;
    if let Some(why) = outcome.why_not() {
        return Err(refused(why.clone()));
    }
    Ok(outcome.respond(form).body.unwrap_or_default())
}

/// Whoever typed the command can put it right: what does not hold of an answer has been said before.
fn refused(why: Refused) -> Fail {
    let fix = match why.code {
        "did.unknown" => "give --inception FILE for a DID that was never anchored",
        _ => why.fix.as_ref(),
    };
    Fail::user(why.code, &why.rule, fix)
}

/// From a network to one that it has recognised: whose genesis that is its ledger says, and all else
/// follows from the genesis. A recognition that is suspended names it still.
async fn beyond(
    node: &NodeClient,
    mut light: LightClient,
    network: &NetworkName,
) -> Result<(NodeClient, LightClient), Fail> {
    let freshness = Freshness {
        now_ms: now_ms(),
        max_age_ms: MAX_RECOGNITION_AGE_MS,
        max_lag_slots: 1,
    };
    let all = node.recognitions(&mut light, &freshness).await?.value;
    let mut all = all.into_iter().map(|known| known.recognised);
    let recognised = all.find(|known| known.network == *network).ok_or_else(|| {
        Fail::user(
            "recognition.unknown",
            "the DID is of the node's network, or of one that it has recognised",
            "give a node of the DID's own network with --node",
        )
    })?;
    let (genesis, nodes) = node.recognised(&recognised).await?.ok_or_else(|| {
        Fail::part(
            "recognition.no_genesis",
            "the node gives the genesis that its network's recognition names",
            "the node",
            "ask another node, or give one of the DID's own network with --node",
        )
    })?;
    let node = NodeClient::new(nodes)?;
    let light = client(genesis, &node).await?;
    Ok((node, light))
}

/// A client of this network at the node's newest checkpoint, which it went on to through the hand-overs of
/// the committee. Terms are remembered from one command to the next, so that whoever has shares of an old
/// key is not believed again.
pub async fn client(genesis: Genesis, node: &NodeClient) -> Result<LightClient, Fail> {
    let kept = trust_folder().map(|folder| folder.join(format!("{}.terms", genesis.digest())));
    let mut light = LightClient::new(genesis);
    if let Some(file) = &kept {
        recall_terms(&mut light, file);
    }
    let before = light.newest_term();
    let checkpoint = node.checkpoint().await?;
    node.follow(&mut light, &checkpoint).await?;
    light.advance(&checkpoint)?;
    if let Some(file) = kept.filter(|_| light.newest_term() > before) {
        keep_terms(&light, &file)?;
    }
    Ok(light)
}

/// Takes up the terms that a command before this one knew. A file that is none of this network's is worth
/// nothing, and replaced when the next term is known.
fn recall_terms(light: &mut LightClient, file: &Path) {
    if let Ok(bytes) = read_bounded(file, MAX_TERMS_BYTES)
        && let Err(error) = light.recall_encoded_terms(&bytes)
    {
        eprintln!("{} is passed over: {error}.", file.display());
    }
}

fn keep_terms(light: &LightClient, file: &Path) -> Result<(), Fail> {
    if let Some(folder) = file.parent() {
        files::create_private_dir(folder)?;
    }
    Ok(files::write_atomic(
        file,
        &light.encoded_terms(),
        files::PUBLIC,
    )?)
}

fn read_inception(path: &Path) -> Result<Vec<u8>, Fail> {
    let bytes = read_bounded(path, MAX_INCEPTION_BYTES)?;
    let read = Inception::decode(&bytes).map_err(|error| {
        Fail::user(
            "did.inception",
            &error.to_string(),
            "give the file that `realdid wallet did new --inception` wrote",
        )
    });
    read.map(|_| bytes)
}

/// The node that is named, those of the nation in the folder, or the first of a nation that runs here.
pub fn node(named: Option<&str>, nation: Option<&Nation>) -> Result<NodeClient, NodeError> {
    NodeClient::new(match (named, nation) {
        (Some(url), _) => vec![url.to_owned()],
        (None, Some(nation)) => nation.node_urls(),
        (None, None) => vec!["http://127.0.0.1:20400".to_owned()],
    })
}

/// The genesis that everything is checked against.
pub async fn trusted(
    trust: Option<&str>,
    network: &NetworkName,
    nation: Option<&Nation>,
    node: &NodeClient,
) -> Result<Genesis, Fail> {
    if let (None, Some(nation)) = (trust, nation) {
        let path = nation.genesis_file();
        let bytes = std::fs::read(&path).map_err(|error| files::FileError::of(&path, &error))?;
        let genesis = Genesis::decode(&bytes).map_err(|_| {
            Fail::user(
                "genesis.malformed",
                "the genesis file is canonical",
                "restore genesis.cbor",
            )
        })?;
        if genesis.network == *network {
            return Ok(genesis);
        }
    }
    let claimed = node.genesis().await?;
    let digest = claimed.digest();
    let pin = pin_file(network)?;
    let pinned = match (trust, std::fs::read_to_string(&pin)) {
        (Some(text), _) => Some(text.parse::<Hash32>()),
        (None, Ok(text)) => Some(text.trim().parse::<Hash32>()),
        (None, Err(_)) => None,
    };
    match pinned {
        Some(Ok(trusted)) if trusted == digest => {}
        Some(_) => {
            return Err(Fail::part(
                "genesis.other",
                "the node's genesis is the one that is trusted for this network",
                "the node, or the digest given",
                "ask another node, or compare the digests with a source that you trust",
            ));
        }
        None => {
            eprintln!(
                "First use of network {}: its genesis is {digest}. Compare it with a source that \
                 you trust.",
                claimed.network
            );
            if let Some(folder) = pin.parent() {
                files::create_private_dir(folder)?;
            }
            files::write_atomic(&pin, digest.to_string().as_bytes(), files::PUBLIC)?;
        }
    }
    Ok(claimed)
}

/// Where the digest of a network's genesis is kept after its first use.
fn pin_file(network: &NetworkName) -> Result<PathBuf, Fail> {
    let folder = trust_folder().ok_or_else(|| {
        Fail::user(
            "cli.home",
            "a genesis that is met first can be kept",
            "set HOME, or give --trust DIGEST",
        )
    })?;
    Ok(folder.join(network.as_str()))
}

/// Where is kept what is known of networks; nowhere without a home.
fn trust_folder() -> Option<PathBuf> {
    let home = std::env::var_os("HOME")?;
    Some(PathBuf::from(home).join(".local/share/realdid/trust"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use realdid_testkit::chain::TestLedger;
    use realdid_testkit::ledger::START_MS;

    #[test]
    fn l8_what_a_command_knew_of_terms_the_next_one_knows() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("trust/of-one.terms");
        let mut ledger = TestLedger::new(START_MS, Vec::new());
        let mut first = LightClient::new(ledger.genesis.clone());
        first.hand_over(&ledger.decide_term(8, 200)).unwrap();
        keep_terms(&first, &file).unwrap();
        while ledger.newest().height < 200 {
            ledger.seal(START_MS + 600_000);
        }
        // The old committee certifies on, and whoever begins anew believes it.
        let old = ledger.checkpoint();
        let mut next = LightClient::new(ledger.genesis.clone());
        assert!(next.checkpoint(&old).is_ok());
        recall_terms(&mut next, &file);
        assert_eq!(next.terms(), first.terms());
        assert_eq!(next.checkpoint(&old).unwrap_err().code(), "light.term");

        // What is none of this network's terms, or no terms at all, is not taken.
        let strange = TestLedger::with_validators(9, START_MS, Vec::new());
        let mut other = LightClient::new(strange.genesis.clone());
        recall_terms(&mut other, &file);
        std::fs::write(&file, [0x9f]).unwrap();
        recall_terms(&mut other, &file);
        recall_terms(&mut other, &folder.path().join("none"));
        assert_eq!(other.newest_term(), 0);
    }
}
