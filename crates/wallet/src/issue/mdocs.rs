//! What comes as mdocs (spec/mdoc.md, M3 and M13): checked as SD-JWT VCs are, under the key of the
//! leaf, which must be one of the issuer's.

use super::{CLOCK_SKEW_S, Trust, check_unmarked_mdocs, names, of_authority};
use crate::content::Batch;
use crate::error::CliError;
use crate::ledger::now_s;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use realdid_core::genesis::Parameters;
use realdid_credential::jose::SigningKey;
use realdid_credential::mdoc::{self, IssuerEvidence, IssuerKey, Mdoc, MdocError};
use realdid_credential::x509::{self, Certificate};

/// Checks each; answers it with its expiry.
pub(super) fn received(
    texts: &[String],
    signing: &[SigningKey],
    batch: &Batch,
    trust: &Trust,
    published: &[Vec<Vec<u8>>],
    parameters: Option<&Parameters>,
) -> Result<Vec<(String, u64)>, CliError> {
    let now_s = now_s();
    let copies = texts
        .iter()
        .zip(signing)
        .map(|(text, key)| receive(text, key, batch, trust, now_s))
        .collect::<Result<Vec<_>, _>>()?;
    if batch.vct == mdoc::pid::DOC_TYPE {
        let parameters = of_authority(parameters, trust)?;
        check_unmarked_mdocs(&copies, published, parameters, now_s)?;
    }
    let texts = texts.iter().cloned();
    Ok(texts.zip(copies.iter().map(Mdoc::until_s)).collect())
}

fn receive(
    text: &str,
    key: &SigningKey,
    batch: &Batch,
    trust: &Trust,
    now_s: u64,
) -> Result<Mdoc, MdocError> {
    let bytes = URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| MdocError::Malformed)?;
    let chain = mdoc::claimed_chain(&bytes)?;
    let unknown = MdocError::IssuerUnknown;
    let certificate = chain.first().cloned().ok_or(unknown)?;
    let leaf = if trust.roots.is_empty() {
        Certificate::parse(&certificate)
    } else {
        x509::verify_chain(&chain, &trust.roots, now_s)
    };
    let leaf = leaf.map_err(|_| unknown)?;
    let known = match trust.roots.is_empty() {
        true => trust.keys.iter().any(|known| known.key == leaf.key),
        false => names(&leaf, &batch.issuer),
    };
    if !known {
        return Err(unknown);
    }
    let evidence = IssuerEvidence {
        issuer_keys: &[IssuerKey {
            issuer: batch.issuer.clone(),
            certificate,
            key: leaf.key,
        }],
        accepted_doc_types: &[&batch.vct],
        now_s,
        clock_skew_s: CLOCK_SKEW_S,
    };
    mdoc::receive(&bytes, &evidence, &key.verifying_key())
}
