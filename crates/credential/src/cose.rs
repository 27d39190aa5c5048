//! Signed CBOR: COSE_Sign1 (RFC 9052 §4.2) with ES256 and EdDSA, for mdoc and status lists.
//!
//! As in [`jose`](crate::jose): a signature is checked against the algorithm of the *key*, the
//! protected header may only agree, and `crit` is refused, since no extension is known here.

use minicbor::Decoder;
use minicbor::data::Type;

use crate::cbor::{self, Key, Malformed, Read, Writer};
use crate::jose::{Alg, JwsError, SigningKey, VerifyingKey};

const ALG: i64 = 1;
const CRIT: i64 = 2;
const KID: i64 = 4;
const TYP: i64 = 16;
const X5CHAIN: i64 = 33;

/// COSE_Sign1 may be tagged with this.
const SIGN1: u64 = 18;
/// The most certificates that are read.
const MAX_CHAIN: u64 = 8;

/// Header members; each stands where RFC 9052 and the profile of its user have it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Header<'a> {
    pub typ: Option<&'a str>,
    pub kid: Option<&'a [u8]>,
    /// DER, leaf first.
    pub x5chain: Vec<&'a [u8]>,
}

/// None of SM2: COSE has no number for it, and this project makes none up, since nobody's mdoc software
/// would know it.
fn number(alg: Alg) -> Result<i64, JwsError> {
    match alg {
        Alg::Es256 => Ok(-7),
        Alg::EdDsa => Ok(-8),
        Alg::Sm2Sm3 => Err(JwsError::NoCose),
    }
}

/// What a signature covers (RFC 9052 §4.4).
fn signed(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    Writer::new()
        .array(4)
        .text("Signature1")
        .bytes(protected)
        .bytes(&[])
        .bytes(payload)
        .done()
}

/// Signs `payload`. Type and key name are protected, certificates are not (ISO/IEC 18013-5
/// §9.1.2.4). A `detached` payload is signed and left out.
pub(crate) fn sign1(
    header: &Header<'_>,
    payload: &[u8],
    detached: bool,
    key: &SigningKey,
) -> Result<Vec<u8>, JwsError> {
    let count = 1 + usize::from(header.typ.is_some()) + usize::from(header.kid.is_some());
    let mut protected = Writer::new().map(count).int(ALG).int(number(key.alg())?);
    if let Some(kid) = header.kid {
        protected = protected.int(KID).bytes(kid);
    }
    if let Some(typ) = header.typ {
        protected = protected.int(TYP).text(typ);
    }
    let protected = protected.done();
    let signature = key.sign(&signed(&protected, payload))?;
    let written = Writer::new().array(4).bytes(&protected);
    let written = match header.x5chain.as_slice() {
        [] => written.map(0),
        [leaf] => written.map(1).int(X5CHAIN).bytes(leaf),
        chain => {
            let written = written.map(1).int(X5CHAIN).array(chain.len());
            chain.iter().fold(written, |w, der| w.bytes(der))
        }
    };
    let written = if detached {
        written.null()
    } else {
        written.bytes(payload)
    };
    Ok(written.bytes(&signature).done())
}

/// A COSE_Sign1 that was taken apart; nothing in it is verified.
#[derive(Debug, Clone)]
pub(crate) struct Claimed<'b> {
    pub header: Header<'b>,
    /// Absent where it is detached.
    pub payload: Option<&'b [u8]>,
    alg: Alg,
    protected: &'b [u8],
    signature: &'b [u8],
}

impl<'b> Claimed<'b> {
    /// Reads one, tagged or not.
    pub(crate) fn read(decoder: &mut Decoder<'b>) -> Read<Self> {
        if decoder.datatype()? == Type::Tag {
            cbor::tag(decoder, SIGN1)?;
        }
        cbor::array_of(decoder, 4)?;
        let protected = decoder.bytes()?;
        let mut header = Header::default();
        let mut alg = None;
        cbor::whole(protected, |decoder| {
            cbor::map(decoder, |key, decoder| match key {
                Key::Int(ALG) => {
                    alg = Some(decoder.i64()?);
                    Ok(true)
                }
                Key::Int(CRIT) => Err(Malformed),
                key => member(&mut header, key, decoder),
            })
        })?;
        let protected_header = header.clone();
        cbor::map(decoder, |key, decoder| match key {
            // What decides how to verify is read under the signature only.
            Key::Int(ALG | CRIT | TYP) => Err(Malformed),
            key => member(&mut header, key, decoder),
        })?;
        // A member in both places would be two messages (RFC 9052 §3).
        let kept = protected_header;
        if (kept.kid.is_some() && header.kid != kept.kid)
            || (!kept.x5chain.is_empty() && header.x5chain != kept.x5chain)
        {
            return Err(Malformed);
        }
        let payload = match decoder.datatype()? {
            Type::Null => {
                decoder.null()?;
                None
            }
            _ => Some(decoder.bytes()?),
        };
        let alg = match alg {
            Some(-7) => Alg::Es256,
            Some(-8) => Alg::EdDsa,
            _ => return Err(Malformed),
        };
        Ok(Self {
            header,
            payload,
            alg,
            protected,
            signature: decoder.bytes()?,
        })
    }

    /// Checks the signature over `payload` under `key`.
    pub(crate) fn verify(&self, payload: &[u8], key: &VerifyingKey) -> Result<(), JwsError> {
        if key.alg() != self.alg {
            return Err(JwsError::AlgMismatch);
        }
        key.verify(&signed(self.protected, payload), self.signature)
    }
}

fn member<'b>(header: &mut Header<'b>, key: Key<'b>, decoder: &mut Decoder<'b>) -> Read<bool> {
    match key {
        Key::Int(KID) => header.kid = Some(decoder.bytes()?),
        Key::Int(TYP) => header.typ = Some(decoder.str()?),
        Key::Int(X5CHAIN) => {
            header.x5chain = match decoder.datatype()? {
                Type::Bytes => vec![decoder.bytes()?],
                _ => {
                    let count = cbor::array(decoder)?;
                    if !(2..=MAX_CHAIN).contains(&count) {
                        return Err(Malformed);
                    }
                    (0..count)
                        .map(|_| Ok(decoder.bytes()?))
                        .collect::<Read<_>>()?
                }
            };
        }
        _ => return Ok(false),
    }
    Ok(true)
}

// ---- keys -----------------------------------------------------------------------------------

const KTY: i64 = 1;
const CRV: i64 = -1;
const X: i64 = -2;
const Y: i64 = -3;
const OKP: i64 = 1;
const EC2: i64 = 2;
const P256: i64 = 1;
const ED25519: i64 = 6;

/// A COSE_Key (RFC 9053 §7): EC2 on P-256 with both coordinates, or OKP with Ed25519.
pub(crate) fn read_key(decoder: &mut Decoder<'_>) -> Read<VerifyingKey> {
    let (mut kty, mut crv, mut x, mut y) = (None, None, None, None);
    cbor::map(decoder, |key, decoder| {
        match key {
            Key::Int(KTY) => kty = Some(decoder.i64()?),
            Key::Int(CRV) => crv = Some(decoder.i64()?),
            Key::Int(X) => x = Some(decoder.bytes()?),
            Key::Int(Y) => y = Some(decoder.bytes()?),
            // A private part where a public key belongs.
            Key::Int(-4) => return Err(Malformed),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let coordinate =
        |bytes: Option<&[u8]>| <[u8; 32]>::try_from(bytes.ok_or(Malformed)?).map_err(|_| Malformed);
    let key = match (kty, crv) {
        (Some(EC2), Some(P256)) => {
            let mut sec1 = [4; 65];
            sec1[1..33].copy_from_slice(&coordinate(x)?);
            sec1[33..].copy_from_slice(&coordinate(y)?);
            VerifyingKey::p256(&sec1)
        }
        (Some(OKP), Some(ED25519)) => VerifyingKey::ed25519(&coordinate(x)?),
        _ => return Err(Malformed),
    };
    key.map_err(|_| Malformed)
}

/// The same, written.
pub(crate) fn write_key(key: &VerifyingKey) -> Result<Vec<u8>, JwsError> {
    let written = match key.alg() {
        Alg::Es256 => Writer::new().map(4).int(KTY).int(EC2).int(CRV).int(P256),
        Alg::EdDsa => Writer::new().map(3).int(KTY).int(OKP).int(CRV).int(ED25519),
        Alg::Sm2Sm3 => return Err(JwsError::NoCose),
    };
    let written = match key.uncompressed() {
        Some(point) => {
            let (x, y) = point[1..].split_at(32);
            written.int(X).bytes(x).int(Y).bytes(y)
        }
        None => written.int(X).bytes(&key.to_bytes()),
    };
    Ok(written.done())
}
