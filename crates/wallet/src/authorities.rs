//! Authorities that the person trusts to say who a verifier is that is not registered on the ledger
//! (spec/login.md, V17). None is trusted unless the person adds it: there is no list that comes with the
//! wallet.

use crate::error::CliError;
use crate::files;
use crate::wallet::Wallet;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use realdid_core::codec::Bytes;
use realdid_credential::x509::Certificate;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::path::Path;

/// The most that a wallet trusts.
const MAX_AUTHORITIES: usize = 64;
/// The longest file of certificates, in bytes.
const MAX_FILE_BYTES: u64 = 256 * 1024;
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

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

/// Those that are trusted: the wallet's, and `more` for this once.
pub fn trusted(wallet: &Wallet, more: &[Bytes]) -> Vec<Certificate> {
    let kept = wallet.content.authorities.iter().flatten();
    let read = kept.chain(more).map(|der| Certificate::parse(&der.0));
    // They were read when they were added.
    read.filter_map(Result::ok).collect()
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
    if kept.len() > MAX_AUTHORITIES {
        return Err(CliError::user(
            "authority.too_many",
            "a wallet trusts at most 64 authorities",
            "remove those that you do not need",
        ));
    }
    wallet.save()?;
    Ok(list(wallet))
}

/// Trusts an authority no more.
pub fn remove(wallet: &mut Wallet, digest: &str) -> Result<Value, CliError> {
    let kept = wallet.content.authorities.get_or_insert_default();
    let before = kept.len();
    kept.retain(|der| digest_of(der) != digest);
    if kept.len() == before {
        return Err(CliError::user(
            "authority.unknown",
            "the digest is of an authority that this wallet trusts",
            "give a digest that `realdid wallet ca list` shows",
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
    json!({ "authorities": kept.map(one).collect::<Vec<_>>() })
}

/// The SHA-256 of a certificate, as other programs show it.
fn digest_of(der: &Bytes) -> String {
    hex::encode(Sha256::digest(&der.0))
}
