//! `realdid verify-receipt`: what a know-your-customer login showed, checked on this machine from its receipt
//! and without any network (spec/receipts.md).

use crate::cli::VerifyReceiptArgs;
use crate::fail::Fail;
use crate::input::read_bounded;
use crate::nation::{Nation, now_ms};
use realdid_core::genesis::{Genesis, MAX_GENESIS_BYTES};
use realdid_core::hash::Hash32;
use realdid_exchange::receipt::{
    self, MAX_RECEIPT_BYTES, Receipt, ReceiptError, ReceiptRefused, Trust, receipt_id,
};
use serde_json::{Value, json};
use std::io::Read as _;
use std::path::Path;

impl From<ReceiptError> for Fail {
    fn from(error: ReceiptError) -> Self {
        Self::part(
            error.code(),
            error.rule(),
            "whoever shows the receipt",
            error.fix(),
        )
    }
}

pub fn run(args: &VerifyReceiptArgs) -> Result<Value, Fail> {
    let bytes = match args.receipt.as_str() {
        "-" => piped()?,
        path => read_bounded(Path::new(path), MAX_RECEIPT_BYTES)?,
    };
    let receipt = Receipt::parse(&bytes).map_err(ReceiptError::from)?;
    let home = match &args.trust {
        Some(trusted) => digest(trusted)?,
        None => {
            let nation = Nation::read(&args.nation.dir)?;
            let file = nation.map(|nation| nation.genesis_file());
            genesis(&file.ok_or_else(untrusted)?)?
        }
    };
    let service = args.service.as_deref().map(|id| {
        let unreadable = |_| {
            Fail::user(
                "service.id",
                "a service is given by its id, 64 hex digits",
                "give the service's id on the ledger",
            )
        };
        id.parse::<Hash32>().map_err(unreadable)
    });
    let trust = Trust {
        home,
        abroad: args.trust_abroad.as_deref().map(digest).transpose()?,
        service: service.transpose()?,
        max_age_ms: args.max_age.saturating_mul(1000),
        now_ms: now_ms(),
    };
    let verified = receipt::verify(&receipt, &trust)?;
    Ok(json!({
        "receipt": receipt_id(&bytes).to_string(),
        "service": verified.service.to_string(),
        "organisation": verified.organisation,
        "sandbox": verified.sandbox,
        "network": verified.network.as_str(),
        "personNetwork": verified.person_network.as_str(),
        "predicates": verified.predicates,
        "issuer": verified.issuer,
        "epoch": verified.epoch,
        "issuedAfter": verified.issued_after_ms / 1000,
        "time": verified.time_ms / 1000,
    }))
}

fn piped() -> Result<Vec<u8>, Fail> {
    let mut bytes = Vec::new();
    let mut bounded = std::io::stdin().take(MAX_RECEIPT_BYTES as u64 + 1);
    let read = bounded.read_to_end(&mut bytes);
    let unreadable = |_| ReceiptError::from(ReceiptRefused::Malformed);
    read.map_err(unreadable)?;
    Ok(bytes)
}

/// A digest in hex, or the file of a genesis.
fn digest(text: &str) -> Result<Hash32, Fail> {
    match text.parse() {
        Ok(digest) => Ok(digest),
        Err(_) => genesis(Path::new(text)),
    }
}

fn genesis(path: &Path) -> Result<Hash32, Fail> {
    let bytes = read_bounded(path, MAX_GENESIS_BYTES)?;
    let genesis = Genesis::decode(&bytes).map_err(|_| {
        Fail::user(
            "genesis.malformed",
            "what is trusted is the digest of a genesis, or its file",
            "give the digest or the file of the genesis of the service's network",
        )
    })?;
    Ok(genesis.digest())
}

fn untrusted() -> Fail {
    Fail::user(
        "genesis.untrusted",
        "a receipt is checked against a genesis that is trusted",
        "give the genesis of the service's network, or its digest, with --trust",
    )
}
