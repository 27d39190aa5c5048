//! Finality certificates, verified without the consensus library.
//!
//! A certificate says that more than two thirds of a network's validators voted to finalise one
//! header. It is a commonware simplex *finalization* under BLS12-381 threshold signatures
//! (variant MinSig), read here from its own description so that a phone needs nothing but a
//! pairing:
//!
//! ```text
//! certificate = epoch varint | view varint | parent view varint | header digest (32)
//!             | signature (48, compressed G1)
//! signed      = varint(len(domain)) | domain | everything above before the signature
//! domain      = namespace | "_FINALIZE"
//! hash to G1  = RFC 9380 BLS12381G1_XMD:SHA-256_SSWU_RO_, DST below
//! key         = 96 bytes, compressed G2: that of the committee whose number the epoch is
//! ```
//!
//! Varints are unsigned LEB128 of at most 64 bits in their shortest form. Each certificate has
//! exactly one encoding, and trailing bytes are refused.

use blst::{BLST_ERROR, Pairing, blst_p1_affine, blst_p2_affine, min_sig};

/// Domain separation tag of votes: the BLS signature suite with proofs of possession.
const DST: &[u8] = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";
/// Keeps votes to finalise apart from votes to notarise or to skip a view.
const FINALIZE: &[u8] = b"_FINALIZE";

const DIGEST_BYTES: usize = 32;
const SIGNATURE_BYTES: usize = 48;
const KEY_BYTES: usize = 96;
const MAX_VARINT_BYTES: usize = 10;
/// Three varints, digest, signature.
const MAX_CERTIFICATE_BYTES: usize = 3 * MAX_VARINT_BYTES + DIGEST_BYTES + SIGNATURE_BYTES;
/// Longer namespaces are no network's.
const MAX_NAMESPACE_BYTES: usize = 256;

/// What a valid certificate says beside the header's finality.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FinalityFacts {
    /// The committee's number.
    pub epoch: u64,
    /// The round of voting within the epoch.
    pub view: u64,
}

/// Why a certificate proves nothing. Whoever presented it is at fault, except for the first two,
/// which are errors of the verifier's own network settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    #[error("the network key is not a valid BLS12-381 G2 key")]
    NetworkKey,
    #[error("the network namespace is too long")]
    Namespace,
    #[error("the certificate is malformed")]
    Malformed,
    #[error("the certificate is for another header")]
    OtherHeader,
    #[error("the certificate's signature is not the network's")]
    Signature,
}

/// Checks that `certificate` finalises the header with `header_digest` on the network that is
/// known by `network_key` (96 bytes) and `namespace`.
///
/// All four arguments may be hostile. About a millisecond: two pairings.
pub fn verify_finalization(
    network_key: &[u8],
    namespace: &[u8],
    certificate: &[u8],
    header_digest: &[u8; 32],
) -> Result<FinalityFacts, CertificateError> {
    if namespace.len() > MAX_NAMESPACE_BYTES {
        return Err(CertificateError::Namespace);
    }
    let proposal = Proposal::read(certificate)?;
    if proposal.digest != header_digest {
        return Err(CertificateError::OtherHeader);
    }
    let key = network_point(network_key)?;
    let signature = signature_point(proposal.signature)?;

    let mut message = Vec::with_capacity(namespace.len() + 128);
    write_varint(&mut message, (namespace.len() + FINALIZE.len()) as u64);
    message.extend_from_slice(namespace);
    message.extend_from_slice(FINALIZE);
    message.extend_from_slice(proposal.signed);

    // Both points were checked for their subgroup and infinity above.
    let mut pairing = Pairing::new(true, DST);
    if pairing.aggregate(&key, false, &signature, false, &message, &[]) != BLST_ERROR::BLST_SUCCESS
    {
        return Err(CertificateError::Signature);
    }
    pairing.commit();
    if !pairing.finalverify(None) {
        return Err(CertificateError::Signature);
    }
    Ok(FinalityFacts {
        epoch: proposal.epoch,
        view: proposal.view,
    })
}

/// The epoch that a certificate claims, which says by whose key to verify it. Nothing is verified.
pub fn claimed_epoch(certificate: &[u8]) -> Result<u64, CertificateError> {
    Ok(Proposal::read(certificate)?.epoch)
}

/// Whether these bytes are a key by which certificates can be verified.
pub fn is_network_key(bytes: &[u8]) -> bool {
    network_point(bytes).is_ok()
}

/// A certificate taken apart; nothing is verified.
struct Proposal<'a> {
    epoch: u64,
    view: u64,
    digest: &'a [u8],
    /// The bytes that validators signed.
    signed: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Proposal<'a> {
    fn read(certificate: &'a [u8]) -> Result<Self, CertificateError> {
        if certificate.len() > MAX_CERTIFICATE_BYTES {
            return Err(CertificateError::Malformed);
        }
        let (epoch, rest) = read_varint(certificate)?;
        let (view, rest) = read_varint(rest)?;
        let (_parent_view, rest) = read_varint(rest)?;
        let (digest, signature) = rest
            .split_at_checked(DIGEST_BYTES)
            .ok_or(CertificateError::Malformed)?;
        let (signed, _) = certificate
            .split_at_checked(certificate.len() - signature.len())
            .ok_or(CertificateError::Malformed)?;
        if signature.len() != SIGNATURE_BYTES {
            return Err(CertificateError::Malformed);
        }
        Ok(Self {
            epoch,
            view,
            digest,
            signed,
            signature,
        })
    }
}

fn network_point(bytes: &[u8]) -> Result<blst_p2_affine, CertificateError> {
    if bytes.len() != KEY_BYTES {
        return Err(CertificateError::NetworkKey);
    }
    let key = min_sig::PublicKey::uncompress(bytes).map_err(|_| CertificateError::NetworkKey)?;
    // Infinity and subgroup. The key at infinity would accept the signature at infinity.
    key.validate().map_err(|_| CertificateError::NetworkKey)?;
    Ok(key.into())
}

fn signature_point(bytes: &[u8]) -> Result<blst_p1_affine, CertificateError> {
    let signature =
        min_sig::Signature::uncompress(bytes).map_err(|_| CertificateError::Malformed)?;
    let refuse_infinity = true;
    signature
        .validate(refuse_infinity)
        .map_err(|_| CertificateError::Malformed)?;
    Ok(signature.into())
}

/// Reads a varint of at most 64 bits, shortest form only.
fn read_varint(bytes: &[u8]) -> Result<(u64, &[u8]), CertificateError> {
    let mut value = 0u64;
    for (index, byte) in bytes.iter().copied().enumerate().take(MAX_VARINT_BYTES) {
        let last_possible = index + 1 == MAX_VARINT_BYTES;
        // A zero byte after others adds nothing; the tenth byte holds bit 63 alone.
        if (byte == 0 && index > 0) || (last_possible && byte > 1) {
            return Err(CertificateError::Malformed);
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok((value, &bytes[index + 1..]));
        }
    }
    Err(CertificateError::Malformed)
}

fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests;
