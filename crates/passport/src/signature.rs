//! Which signatures are taken, and checking them.
//!
//! ICAO 9303-12 (4.1.6.2) has states write the parameters of a curve out in full. They are taken where
//! every one of them, the generator above all, is that of P-256 or P-384: a curve with another
//! generator would make anybody the owner of somebody's key.

use aws_lc_rs::digest;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
    UnparsedPublicKey, VerificationAlgorithm,
};
use der::asn1::{BitString, ObjectIdentifier, OctetString, Uint};
use der::{Any, Sequence};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

use crate::{Refused, oid};

/// The hashes that are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    pub fn of(algorithm: &AlgorithmIdentifierOwned) -> Result<Self, Refused> {
        let hashes = [
            (oid::SHA_256, Self::Sha256),
            (oid::SHA_384, Self::Sha384),
            (oid::SHA_512, Self::Sha512),
        ];
        let named = hashes.iter().find(|(oid, _)| *oid == algorithm.oid);
        named.map(|(_, hash)| *hash).ok_or(Refused::Algorithm)
    }

    pub fn digest(self, bytes: &[u8]) -> Vec<u8> {
        let by = match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(by, bytes).as_ref().to_vec()
    }

    fn len(self) -> u8 {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// How a message is signed, apart from the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Ecdsa,
    Pkcs1,
    Pss,
}

#[derive(Sequence)]
pub struct PssParameters {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    hash: Option<AlgorithmIdentifierOwned>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    mask: Option<AlgorithmIdentifierOwned>,
    #[asn1(context_specific = "2", tag_mode = "EXPLICIT", optional = "true")]
    salt: Option<u8>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    trailer: Option<u8>,
}

impl PssParameters {
    /// SHA-256 throughout, and a salt of 32 bytes.
    pub fn sha256() -> der::Result<Self> {
        let hash = AlgorithmIdentifierOwned {
            oid: oid::SHA_256,
            parameters: None,
        };
        Ok(Self {
            mask: Some(AlgorithmIdentifierOwned {
                oid: oid::MGF_1,
                parameters: Some(Any::encode_from(&hash)?),
            }),
            hash: Some(hash),
            salt: Some(Hash::Sha256.len()),
            trailer: None,
        })
    }
}

/// `SpecifiedECDomain` of a prime field (SEC 1, C.2).
#[derive(Sequence)]
struct Domain {
    version: u8,
    field: Field,
    curve: Coefficients,
    base: OctetString,
    order: Uint,
    cofactor: Option<u8>,
}

#[derive(Sequence)]
struct Field {
    id: ObjectIdentifier,
    prime: Uint,
}

#[derive(Sequence)]
struct Coefficients {
    a: OctetString,
    b: OctetString,
    seed: Option<BitString>,
}

const P256: Curve = Curve {
    prime: "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
    a: "ffffffff00000001000000000000000000000000fffffffffffffffffffffffc",
    b: "5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b",
    base: "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
           4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
    order: "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
};
const P384: Curve = Curve {
    prime: "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe\
            ffffffff0000000000000000ffffffff",
    a: "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe\
        ffffffff0000000000000000fffffffc",
    b: "b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875a\
        c656398d8a2ed19d2a85c8edd3ec2aef",
    base: "04aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a38\
           5502f25dbf55296c3a545e3872760ab7\
           3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c0\
           0a60b1ce1d7e819d7a431d7c90ea0e5f",
    order: "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf\
            581a0db248b0a77aecec196accc52973",
};

/// A curve over a prime field, every number in hex.
struct Curve {
    prime: &'static str,
    a: &'static str,
    b: &'static str,
    base: &'static str,
    order: &'static str,
}

impl Curve {
    fn is(&self, domain: &Domain) -> bool {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        (1..=3).contains(&domain.version)
            && domain.field.id == oid::PRIME_FIELD
            && hex(domain.field.prime.as_bytes()) == self.prime
            && hex(domain.curve.a.as_bytes()) == self.a
            && hex(domain.curve.b.as_bytes()) == self.b
            && hex(domain.base.as_bytes()) == self.base
            && hex(domain.order.as_bytes()) == self.order
            && domain.cofactor.is_none_or(|cofactor| cofactor == 1)
    }
}

enum Kind {
    P256,
    P384,
    Rsa,
    /// For PSS alone, by its certificate.
    RsaPss,
}

fn kind_of(key: &SubjectPublicKeyInfoOwned) -> Result<Kind, Refused> {
    let refused = Refused::Algorithm;
    let kind = key.algorithm.oid;
    if kind == oid::RSA {
        return Ok(Kind::Rsa);
    }
    if kind == oid::RSA_PSS {
        return Ok(Kind::RsaPss);
    }
    if kind != oid::EC_KEY {
        return Err(refused);
    }
    let parameters = key.algorithm.parameters.as_ref().ok_or(refused)?;
    let (named, domain) = match parameters.decode_as::<ObjectIdentifier>() {
        Ok(named) => (Some(named), None),
        Err(_) => (
            None,
            Some(parameters.decode_as::<Domain>().map_err(|_| refused)?),
        ),
    };
    let is = |name: ObjectIdentifier, curve: &Curve| {
        named == Some(name) || domain.as_ref().is_some_and(|domain| curve.is(domain))
    };
    match () {
        () if is(oid::P_256, &P256) => Ok(Kind::P256),
        () if is(oid::P_384, &P384) => Ok(Kind::P384),
        () => Err(refused),
    }
}

/// Scheme and hash of a signature. `digest` is the hash that stands beside it, where one does.
fn scheme_of(
    algorithm: &AlgorithmIdentifierOwned,
    digest: Option<Hash>,
) -> Result<(Scheme, Hash), Refused> {
    let refused = Refused::Algorithm;
    let known = [
        (oid::ECDSA_SHA_256, Scheme::Ecdsa, Some(Hash::Sha256)),
        (oid::ECDSA_SHA_384, Scheme::Ecdsa, Some(Hash::Sha384)),
        (oid::RSA_SHA_256, Scheme::Pkcs1, Some(Hash::Sha256)),
        (oid::RSA_SHA_384, Scheme::Pkcs1, Some(Hash::Sha384)),
        (oid::RSA_SHA_512, Scheme::Pkcs1, Some(Hash::Sha512)),
        // In CMS the hash may stand beside it alone (RFC 3370, 3.2).
        (oid::RSA, Scheme::Pkcs1, digest),
    ];
    let (scheme, hash) = if algorithm.oid == oid::RSA_PSS {
        (Scheme::Pss, pss_hash(algorithm.parameters.as_ref())?)
    } else {
        let named = known.iter().find(|(oid, ..)| *oid == algorithm.oid);
        let (_, scheme, hash) = named.ok_or(refused)?;
        (*scheme, hash.ok_or(refused)?)
    };
    match digest {
        Some(other) if other != hash => Err(refused),
        _ => Ok((scheme, hash)),
    }
}

/// The hash of PSS whose parameters are those that `aws-lc-rs` checks by: one hash throughout, and a
/// salt as long as it. What is left out means SHA-1 (RFC 4055, 3.1).
fn pss_hash(parameters: Option<&Any>) -> Result<Hash, Refused> {
    let refused = Refused::Algorithm;
    let parameters = parameters.ok_or(refused)?;
    let said: PssParameters = parameters.decode_as().map_err(|_| refused)?;
    let hash = Hash::of(said.hash.as_ref().ok_or(refused)?)?;
    let mask = said.mask.as_ref().ok_or(refused)?;
    let masks_with = mask.parameters.as_ref().ok_or(refused)?;
    let masks_with: AlgorithmIdentifierOwned = masks_with.decode_as().map_err(|_| refused)?;
    let holds = mask.oid == oid::MGF_1
        && Hash::of(&masks_with)? == hash
        && said.salt == Some(hash.len())
        && said.trailer.is_none_or(|trailer| trailer == 1);
    holds.then_some(hash).ok_or(refused)
}

/// Checks a signature. `Algorithm` where its kind is not taken, `Signature` where it is wrong.
pub fn check(
    key: &SubjectPublicKeyInfoOwned,
    algorithm: &AlgorithmIdentifierOwned,
    digest: Option<Hash>,
    message: &[u8],
    signature: &[u8],
) -> Result<(), Refused> {
    let (scheme, hash) = scheme_of(algorithm, digest)?;
    let by: &'static dyn VerificationAlgorithm = match (kind_of(key)?, scheme, hash) {
        (Kind::P256, Scheme::Ecdsa, Hash::Sha256) => &ECDSA_P256_SHA256_ASN1,
        (Kind::P256, Scheme::Ecdsa, Hash::Sha384) => &ECDSA_P256_SHA384_ASN1,
        (Kind::P384, Scheme::Ecdsa, Hash::Sha256) => &ECDSA_P384_SHA256_ASN1,
        (Kind::P384, Scheme::Ecdsa, Hash::Sha384) => &ECDSA_P384_SHA384_ASN1,
        (Kind::Rsa, Scheme::Pkcs1, Hash::Sha256) => &RSA_PKCS1_2048_8192_SHA256,
        (Kind::Rsa, Scheme::Pkcs1, Hash::Sha384) => &RSA_PKCS1_2048_8192_SHA384,
        (Kind::Rsa, Scheme::Pkcs1, Hash::Sha512) => &RSA_PKCS1_2048_8192_SHA512,
        (Kind::Rsa | Kind::RsaPss, Scheme::Pss, Hash::Sha256) => &RSA_PSS_2048_8192_SHA256,
        (Kind::Rsa | Kind::RsaPss, Scheme::Pss, Hash::Sha384) => &RSA_PSS_2048_8192_SHA384,
        (Kind::Rsa | Kind::RsaPss, Scheme::Pss, Hash::Sha512) => &RSA_PSS_2048_8192_SHA512,
        _ => return Err(Refused::Algorithm),
    };
    let bytes = key
        .subject_public_key
        .as_bytes()
        .ok_or(Refused::Algorithm)?;
    if matches!(scheme, Scheme::Pkcs1 | Scheme::Pss) && modulus_bits(bytes)? < 2048 {
        return Err(Refused::Algorithm);
    }
    UnparsedPublicKey::new(by, bytes)
        .verify(message, signature)
        .map_err(|_| Refused::Signature)
}

/// So that a short key is told from a wrong signature.
fn modulus_bits(key: &[u8]) -> Result<usize, Refused> {
    #[derive(Sequence)]
    struct RsaKey {
        modulus: Uint,
        _exponent: Uint,
    }
    let key: RsaKey = der::Decode::from_der(key).map_err(|_| Refused::Algorithm)?;
    let bytes = key.modulus.as_bytes();
    let zeros = bytes.first().map_or(0, |first| first.leading_zeros());
    Ok(bytes.len() * 8 - zeros as usize)
}
