//! `realdid committee`: who orders blocks, who will, and what a validator votes by (spec/operations.md,
//! G11 to G14).
//!
//! - [`making`]: the ceremony that makes what the next term votes by
//!
//! What a ceremony has made goes two ways: its public part to governance, which decides the next term
//! ([`propose`]), and each share to its own validator ([`import`]). Both are held against the record
//! that the ledger proves before anything is signed or written.

pub mod making;

use crate::cli::{ImportArgs, LedgerArgs, ProposeArgs};
use crate::fail::Fail;
use crate::govern;
use crate::input;
use crate::nation::now_ms;
use realdid_core::genesis::{NetworkKey, PeerKey};
use realdid_core::governance::{Committee, Term};
use realdid_core::operation::Decision;
use realdid_core::state::{committee_key, decode_record};
use realdid_light::{Freshness, LightClient};
use realdid_node::config::read_identity;
use realdid_node::engine::{TermKeys, check_term_keys, network_key};
use realdid_node::shares::ShareFolder;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use zeroize::Zeroizing;

/// How long a node may take to have a sealed state.
const WAIT: Duration = Duration::from_secs(30);
/// The greatest age of the state that is read.
const MAX_AGE_MS: u64 = 300_000;
/// The longest file of a polynomial, or of a share, in hex.
const MAX_HEX_BYTES: usize = 128 * 1024;

/// The terms as the ledger proves them.
struct Terms {
    light: LightClient,
    committee: Committee,
    height: u64,
    age_ms: u64,
}

impl Terms {
    async fn ask(args: &LedgerArgs) -> Result<Self, Fail> {
        let (node, mut light) = govern::network(args).await?;
        let key = committee_key(light.hash_function());
        let answer = node.state_at_least(&key, 0, WAIT).await?;
        node.follow(&mut light, &answer.checkpoint).await?;
        let freshness = Freshness {
            now_ms: now_ms(),
            max_age_ms: MAX_AGE_MS,
            max_lag_slots: 1,
        };
        let proved = light.value(&key, &answer, &freshness)?;
        let committee = proved.value.as_deref().map(decode_record).transpose();
        let committee: Committee = committee.ok().flatten().ok_or_else(|| {
            Fail::part(
                "committee.none",
                "the ledger has a record of its committee",
                "the network",
                "upgrade the network to rules 3 by a decision about its parameters",
            )
        })?;
        let height = proved.at.header.height;
        Ok(Self {
            committee: committee.from(height.saturating_add(1)),
            height,
            age_ms: proved.age_ms,
            light,
        })
    }

    /// The term that is to come, or the one that runs.
    fn coming(&self) -> &Term {
        let next = self.committee.next.as_ref().map(|next| &next.term);
        next.unwrap_or(&self.committee.running)
    }
}

/// Who orders blocks now and next, with the proof checked here.
pub async fn show(args: LedgerArgs) -> Result<Value, Fail> {
    let terms = Terms::ask(&args).await?;
    let next = terms.committee.next.as_ref().map(|next| facts(&next.term));
    Ok(json!({
        "network": terms.light.genesis().network.as_str(),
        "running": facts(&terms.committee.running),
        "next": next,
        "height": terms.height,
        "ageSeconds": terms.age_ms / 1000,
    }))
}

/// Decides the next term.
pub async fn propose(args: ProposeArgs) -> Result<Value, Fail> {
    let terms = Terms::ask(&args.govern.ledger).await?;
    let polynomial = hex_file(&args.polynomial)?;
    let key = network_key(&polynomial).map_err(|error| unfit(&error.to_string()))?;
    let key = <[u8; 96]>::try_from(key).map_err(|_| unfit("a network key has 96 bytes"))?;
    let mut validators = args.validators.clone();
    validators.sort();
    let by = terms.light.hash_function();
    let term = Term {
        number: terms.committee.running.number.saturating_add(1),
        first: terms.height.saturating_add(args.in_blocks),
        network_key: NetworkKey(key),
        validators,
        polynomial: Some(Term::polynomial_digest(by, &polynomial)),
    };
    if !term.is_well_formed() {
        return Err(unfit("a term has 1 to 100 validators, each once"));
    }
    let decided = facts(&term);
    let mut made = govern::make(&args.govern, Decision::Committee(term)).await?;
    made["term"] = decided;
    Ok(made)
}

/// Puts a share where its validator's node looks for it, once it fits the term that is decided.
pub async fn import(args: ImportArgs) -> Result<Value, Fail> {
    let terms = Terms::ask(&args.ledger).await?;
    let term = terms.coming();
    let seed = read_identity(&args.node_dir.join("validator.json")).map_err(Fail::of)?;
    let keys = TermKeys {
        polynomial: hex_file(&args.polynomial)?.to_vec(),
        share: hex_file(&args.share)?.to_vec(),
    };
    let genesis = terms.light.genesis();
    let (namespace, by) = (genesis.namespace(), genesis.hash_function());
    check_term_keys(&namespace, term, by, &seed, &keys)
        .map_err(|error| unfit(&error.to_string()))?;
    ShareFolder::of_node(&args.node_dir)
        .put(term.number, &keys)
        .map_err(Fail::of)?;
    Ok(json!({ "term": term.number, "first": term.first }))
}

fn facts(term: &Term) -> Value {
    let validators: Vec<String> = term.validators.iter().map(PeerKey::to_string).collect();
    json!({
        "term": term.number,
        "first": term.first,
        "networkKey": term.network_key.to_string(),
        "validators": validators,
        "polynomial": term.polynomial.map(|digest| digest.to_string()),
    })
}

fn unfit(rule: &str) -> Fail {
    Fail::user(
        "committee.files",
        rule,
        "give the polynomial, share and validators of one ceremony, for the term that is decided",
    )
}

fn hex_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, Fail> {
    let bytes = input::read_bounded(path, MAX_HEX_BYTES)?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default().trim();
    let bytes = hex::decode(text).map_err(|_| unfit("the file holds hex digits"))?;
    Ok(Zeroizing::new(bytes))
}
