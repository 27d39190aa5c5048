//! Whom the person trusts to say who a verifier is that is not registered on the ledger: authorities
//! (spec/login.md, V17), and DIDs for themselves (V25). None is trusted unless the person adds it: there is no
//! list that comes with the wallet.

use crate::error::CliError;
use crate::files;
use crate::wallet::Wallet;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use realdid_core::codec::Bytes;
use realdid_credential::x509::Certificate;
use realdid_exchange::vp::VerifierDid;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::path::Path;

/// The most that a wallet trusts, of authorities and of DIDs.
const MAX_TRUSTED: usize = 64;
/// The longest file of certificates, in bytes.
const MAX_FILE_BYTES: u64 = 256 * 1024;
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Who is trusted for one command, beside those of the wallet.
#[derive(Debug, Clone, Default)]
pub struct ForOnce {
    /// Certificates of authorities, DER.
    pub authorities: Vec<Bytes>,
    pub did: Option<VerifierDid>,
}

/// The certificates of a PEM file, each of an authority, in DER.
pub fn read(path: &Path) -> Result<Vec<Bytes>, CliError> {
    let chain = read_chain(path)?;
    let authority = |der: &Vec<u8>| Certificate::parse(der).is_ok_and(|read| read.is_authority());
    if !chain.iter().all(authority) {
        return Err(unreadable());
    }
    Ok(chain.into_iter().map(Bytes).collect())
}

/// The certificates of a PEM file, at least one, in DER.
pub(crate) fn read_chain(path: &Path) -> Result<Vec<Vec<u8>>, CliError> {
    let text = String::from_utf8(files::read(path, MAX_FILE_BYTES)?).map_err(|_| unreadable())?;
    let mut found = vec![];
    for block in text.split(BEGIN).skip(1) {
        let (inner, _) = block.split_once(END).ok_or_else(unreadable)?;
        let inner: String = inner.split_ascii_whitespace().collect();
        found.push(STANDARD.decode(inner).map_err(|_| unreadable())?);
    }
    if found.is_empty() {
        return Err(unreadable());
    }
    Ok(found)
}

fn unreadable() -> CliError {
    CliError::user(
        "authority.certificate",
        "the file has PEM certificates of authorities, of P-256 with SHA-256, version 3",
        "give the authority's own certificate, not one that it signed",
    )
}

/// The authorities that are trusted: the wallet's, and `more` for this once.
pub fn trusted(wallet: &Wallet, more: &ForOnce) -> Vec<Certificate> {
    let kept = wallet.content.authorities.iter().flatten();
    let all = kept.chain(&more.authorities);
    // They were read when they were added.
    all.filter_map(|der| Certificate::parse(&der.0).ok())
        .collect()
}

/// The DIDs that are trusted: the wallet's, and `more` for this once.
pub fn trusted_dids(wallet: &Wallet, more: &ForOnce) -> Vec<VerifierDid> {
    let kept = wallet.content.verifier_dids.iter().flatten();
    let kept = kept.filter_map(|did| VerifierDid::parse(did));
    kept.chain(more.did.clone()).collect()
}

/// A DID as a person gives it.
pub fn read_did(text: &str) -> Result<VerifierDid, CliError> {
    VerifierDid::parse(text.trim()).ok_or_else(|| {
        CliError::user(
            "authority.did",
            "a verifier's DID is of the method web, jwk or key, without a fragment, and its key of P-256 or Ed25519",
            "give the DID as the verifier publishes it",
        )
    })
}

fn too_many() -> CliError {
    CliError::user(
        "authority.too_many",
        "a wallet trusts at most 64 authorities, and as many DIDs",
        "remove those that you do not need",
    )
}

/// Trusts the authorities of a file from now on.
pub fn add(wallet: &mut Wallet, path: &Path) -> Result<Value, CliError> {
    let new = read(path)?;
    let kept = wallet.content.authorities.get_or_insert_default();
    for der in new {
        if !kept.contains(&der) {
            kept.push(der);
        }
    }
    if kept.len() > MAX_TRUSTED {
        return Err(too_many());
    }
    wallet.save()?;
    Ok(list(wallet))
}

/// Trusts a verifier's DID from now on.
pub fn add_did(wallet: &mut Wallet, did: &str) -> Result<Value, CliError> {
    let did = read_did(did)?.as_str().to_owned();
    let kept = wallet.content.verifier_dids.get_or_insert_default();
    if !kept.contains(&did) {
        kept.push(did);
    }
    if kept.len() > MAX_TRUSTED {
        return Err(too_many());
    }
    wallet.save()?;
    Ok(list(wallet))
}

/// Trusts an authority, by its digest, or a DID no more.
pub fn remove(wallet: &mut Wallet, which: &str) -> Result<Value, CliError> {
    let authorities = wallet.content.authorities.get_or_insert_default();
    let dids = wallet.content.verifier_dids.get_or_insert_default();
    let before = authorities.len() + dids.len();
    authorities.retain(|der| digest_of(der) != which);
    dids.retain(|did| did != which);
    if authorities.len() + dids.len() == before {
        return Err(CliError::user(
            "authority.unknown",
            "what is removed is the digest of an authority, or a DID, that this wallet trusts",
            "give one that `realdid wallet ca list` shows",
        ));
    }
    wallet.save()?;
    Ok(list(wallet))
}

/// All that are trusted, for `--json`.
pub fn list(wallet: &Wallet) -> Value {
    let kept = wallet.content.authorities.iter().flatten();
    let one = |der: &Bytes| {
        let read = Certificate::parse(&der.0).ok();
        json!({
            "digest": digest_of(der),
            "name": read.as_ref().and_then(Certificate::subject_name),
            "expires": read.map(|read| read.not_after_s),
        })
    };
    let dids: Vec<&String> = wallet.content.verifier_dids.iter().flatten().collect();
    json!({ "authorities": kept.map(one).collect::<Vec<_>>(), "dids": dids })
}

/// The SHA-256 of a certificate, as other programs show it.
fn digest_of(der: &Bytes) -> String {
    hex::encode(Sha256::digest(&der.0))
}
