//! Enrolling (spec/enrolment.md): from evidence to a proved entry under the person's own tag, and
//! the first credentials.
//!
//! The order is the point. The commitment is stored before anything is sent, so an interrupted
//! enrolment is run again with the same one. The tag is computed by the wallet itself, under the
//! tag key on the ledger. Nothing that the authority says is kept until the entry is proved
//! against a checkpoint: own commitment, announced sequence number, in good standing.

use crate::content::{Entry, Network, OwnEnrolment};
use crate::error::CliError;
use crate::files;
use crate::http::{Http, address, below};
use crate::issue;
use crate::ledger::{Ledger, now_ms};
use crate::realpass;
use crate::secret::Secret32;
use crate::seed::recorded;
use crate::upstream;
use crate::vault;
use crate::wallet::Wallet;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realdid_core::codec::Bytes;
use realdid_core::genesis::{Genesis, MAX_GENESIS_BYTES};
use realdid_core::hash::Hash32;
use realdid_core::state::{Enrolment, Issuer, PersonTag, Standing, issuer_id};
use realdid_core::suite::SecretKey;
use realdid_exchange::tag::{self, EnrolmentRequest, EnrolmentResponse, Evidence, Foreign, Number};
use realdid_passport::Mrz;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// `GET /v1/network` of an authority: where its network is to be found. A claim; the genesis is
/// compared with what the person trusts, or pinned when it is met for the first time.
#[derive(Deserialize)]
struct NetworkAnswer {
    /// The canonical genesis in base64url.
    genesis: String,
    /// URLs of nodes.
    nodes: Vec<String>,
}

/// How somebody proves who they are.
pub enum By {
    /// By an evidence file.
    File(PathBuf),
    /// By a login at the identity provider that the authority knows by this name.
    Upstream(String),
}

/// Enrols with `authority` and answers the command's JSON.
pub async fn enrol(
    wallet: &mut Wallet,
    http: &Http,
    authority: &str,
    by: &By,
    trusted: Option<Hash32>,
) -> Result<Value, CliError> {
    let base = address(authority)?;
    let issuer_url = authority.trim().trim_end_matches('/').to_owned();
    // Before anything is asked of anybody.
    let given = match by {
        By::File(path) => Ok(read_evidence(path)?),
        By::Upstream(id) => Err(id),
    };

    pin_network(wallet, http, &base, trusted).await?;
    let mut ledger = Ledger::of(&wallet.content)?;
    let issuer = admitted(wallet, &mut ledger, &issuer_url).await?;
    let tag_key = issuer.tag_key.ok_or_else(|| {
        CliError::new(
            "issuer.no_tag_key",
            "an authority that enrols has its tag key on the ledger",
            "authority",
            "enrol with another authority",
        )
    })?;

    let commitment = own_commitment(wallet, &issuer_url)?;
    let evidence = match given {
        Ok(evidence) => evidence,
        Err(id) => upstream::log_in(http, &base, id).await?,
    };
    let number = number_of(&evidence)?;
    let seed = Zeroizing::new(vault::random::<32>()?);
    let client = tag::blind(&number, &seed)?;
    let request = EnrolmentRequest {
        evidence,
        blinded: client.clone(),
        commitment,
    };
    let url = below(&base, "/v1/enrolments");
    let body = http.post_json(&url, &request).await?;
    let answer: EnrolmentResponse = crate::http::read_json(&url, &body)?;
    if answer.issuer != issuer_url {
        return Err(wrong_entry("the authority enrols under its own name"));
    }
    let tag = tag::finish(&client, &number, &answer.evaluation, &tag_key)?;

    let proved = ledger
        .enrolment(&mut wallet.content, &tag, answer.height)
        .await?;
    let height = proved.at.header.sealed.height;
    let entry = proved
        .value
        .ok_or_else(|| wrong_entry("the enrolment is on the ledger"))?;
    check_entry(
        &entry,
        &commitment,
        answer.seq,
        &issuer_id(ledger.hash_function(), &issuer_url),
    )?;
    if let Some(own) = &mut wallet.content.enrolment {
        own.entry = Some(Entry {
            tag,
            seq: entry.seq,
            height,
            reset_ms: entry.reset_ms,
        });
    }
    // A wallet that was made before there were RealPasses may still have its kit beside it.
    if let Some(kit) = wallet.kit(None)? {
        wallet.learn_pass_seed(&kit);
    }
    wallet.save()?;

    let places = issue::take_offer(
        wallet,
        http,
        Some(&mut ledger),
        &answer.credential_offer,
        &issue::Asked {
            tx_code: Some(&answer.tx_code),
            ..issue::Asked::default()
        },
    )
    .await?;
    let batches = places
        .iter()
        .filter_map(|place| wallet.content.batches.get(*place));
    let credentials: Vec<Value> = batches.map(issue::batch_json).collect();
    let genesis = ledger.light.genesis();
    let passes = wallet.content.passes.as_ref();
    let passes = passes.map(|passes| realpass::to_json(passes, ledger.parameters(), now_ms()));
    Ok(json!({
        "personTag": tag.to_string(),
        "height": height,
        "credentials": credentials,
        "realPass": passes,
        "network": genesis.network.to_string(),
        "genesis": genesis.digest().to_string(),
    }))
}

/// What stands for the person at the authority, and is blinded.
fn number_of(evidence: &Evidence) -> Result<Number, CliError> {
    let number = match evidence {
        Evidence::Card(card) => tag::normalise(&card.resident_number)?,
        Evidence::Passport(passport) => {
            let groups = passport.data_groups().unwrap_or_default();
            let first = groups.iter().find(|(number, _)| *number == 1);
            let zone = first.and_then(|(_, group)| Mrz::of_group(group).ok());
            let zone = zone.ok_or_else(malformed_evidence)?;
            let number = Foreign::Passport {
                state: &zone.state,
                personal: zone.personal_number.as_deref(),
                document: &zone.document_number,
            };
            number.number()?
        }
        Evidence::Upstream(login) => {
            let number = Foreign::Upstream {
                issuer: &login.issuer,
                subject: &login.subject,
            };
            number.number()?
        }
    };
    Ok(number)
}

fn read_evidence(path: &Path) -> Result<Evidence, CliError> {
    let bytes = Zeroizing::new(files::read(path, tag::MAX_EVIDENCE_BYTES as u64)?);
    match serde_json::from_slice(&bytes) {
        // What a login gives is in no file.
        Ok(Evidence::Upstream(_)) | Err(_) => Err(malformed_evidence()),
        Ok(evidence) => Ok(evidence),
    }
}

fn malformed_evidence() -> CliError {
    CliError::user(
        "evidence.malformed",
        "an evidence file is JSON of a kind that the authority takes",
        "give the file as the authority or the passport's reader made it",
    )
}

/// Pins the network when it is met for the first time, and refuses another one afterwards.
pub(crate) async fn pin_network(
    wallet: &mut Wallet,
    http: &Http,
    base: &url::Url,
    trusted: Option<Hash32>,
) -> Result<(), CliError> {
    let answer: NetworkAnswer = http.json(&below(base, "/v1/network")).await?;
    let unreadable = || {
        CliError::new(
            "genesis.malformed",
            "the authority names its network",
            "authority",
            "ask its operator",
        )
    };
    if answer.genesis.len() > 2 * MAX_GENESIS_BYTES || answer.nodes.len() > 64 {
        return Err(unreadable());
    }
    let bytes = URL_SAFE_NO_PAD
        .decode(&answer.genesis)
        .map_err(|_| unreadable())?;
    let genesis = Genesis::decode(&bytes).map_err(|_| unreadable())?;
    let digest = genesis.digest();
    if trusted.is_some_and(|trusted| trusted != digest) {
        return Err(CliError::new(
            "genesis.untrusted",
            "the authority's network is the one that you trust",
            "authority",
            "check the digest that you gave, and the authority's address",
        ));
    }
    let nodes = answer.nodes;
    match &mut wallet.content.network {
        Some(pinned) if pinned.genesis.0 != bytes => {
            return Err(CliError::user(
                "genesis.other_network",
                "a wallet stays with the network that it was made for",
                "use another folder with --dir for another network",
            ));
        }
        Some(pinned) => pinned.nodes = nodes,
        None => {
            if trusted.is_none() {
                eprintln!(
                    "First use of network {}: its genesis is {digest}. Compare it with a source that you trust.",
                    genesis.network
                );
            }
            wallet.speak(genesis.parameters.did_suite())?;
            wallet.content.network = Some(Network {
                genesis: Bytes(bytes),
                nodes,
                terms: None,
            });
        }
    }
    // Refuses addresses that are none before anything is stored.
    Ledger::of(&wallet.content)?;
    wallet.save()
}

/// The authority's proved record, where it is admitted and active.
async fn admitted(wallet: &mut Wallet, ledger: &mut Ledger, url: &str) -> Result<Issuer, CliError> {
    let record = ledger
        .issuer(&mut wallet.content, &issuer_id(ledger.hash_function(), url))
        .await?
        .value;
    let refused = |code: &str, rule: &str| {
        CliError::new(
            code,
            rule,
            "authority",
            "give the authority's URL exactly as the ledger has it",
        )
    };
    match record {
        None => Err(refused(
            "issuer.unknown",
            "the authority is admitted on the ledger",
        )),
        Some(record) if record.standing != Standing::Active => Err(refused(
            "issuer.suspended",
            "the authority is active on the ledger",
        )),
        Some(record) => Ok(record),
    }
}

/// The commitment of this wallet with this authority: the one of an enrolment that was begun
/// before, or a new one, stored at once.
fn own_commitment(wallet: &mut Wallet, issuer_url: &str) -> Result<Hash32, CliError> {
    if let Some(own) = wallet
        .content
        .enrolment
        .as_ref()
        .filter(|own| own.issuer_url == issuer_url)
    {
        return Ok(own.commitment);
    }
    let salt = Secret32::new(vault::random()?);
    let seed = Secret32::new(vault::random()?);
    let suite = wallet.content.pool.suite();
    // One draw in 2^32 is no key: then the person tries again.
    let key = SecretKey::from_seed(suite, *seed.bytes()).map_err(|_| vault::VaultError::Entropy)?;
    let commitment = tag::enrolment_commitment(salt.bytes(), &key.public());
    wallet.content.enrolment = Some(OwnEnrolment {
        issuer_url: issuer_url.to_owned(),
        salt,
        key: seed,
        commitment,
        entry: None,
        suite: recorded(suite),
    });
    wallet.save()?;
    Ok(commitment)
}

fn check_entry(
    entry: &Enrolment,
    commitment: &Hash32,
    seq: u64,
    issuer: &Hash32,
) -> Result<(), CliError> {
    if entry.commitment != *commitment {
        return Err(wrong_entry(
            "the entry under your tag carries this wallet's commitment",
        ));
    }
    if entry.issuer != *issuer {
        return Err(wrong_entry(
            "the entry under your tag was made by this authority",
        ));
    }
    if entry.seq != seq {
        return Err(wrong_entry(
            "the entry under your tag has the announced sequence number",
        ));
    }
    if entry.standing != Standing::Active {
        return Err(CliError::new(
            "enrolment.suspended",
            "the enrolment is active",
            "authority",
            "ask the authority why it is not",
        ));
    }
    Ok(())
}

fn wrong_entry(rule: &str) -> CliError {
    CliError::new(
        "enrolment.not_ours",
        rule,
        "authority",
        "nothing was stored; report it, the proof is on the ledger",
    )
}

/// The tag, for the person's own eyes.
pub fn tag_of(own: &OwnEnrolment) -> Option<PersonTag> {
    own.entry.as_ref().map(|entry| entry.tag)
}

#[cfg(test)]
mod tests;
