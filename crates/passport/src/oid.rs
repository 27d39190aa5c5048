//! The object identifiers that are known here.

use der::asn1::ObjectIdentifier;

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

pub const SHA_1: ObjectIdentifier = oid("1.3.14.3.2.26");
pub const SHA_256: ObjectIdentifier = oid("2.16.840.1.101.3.4.2.1");
pub const SHA_384: ObjectIdentifier = oid("2.16.840.1.101.3.4.2.2");
pub const SHA_512: ObjectIdentifier = oid("2.16.840.1.101.3.4.2.3");

pub const EC_KEY: ObjectIdentifier = oid("1.2.840.10045.2.1");
pub const PRIME_FIELD: ObjectIdentifier = oid("1.2.840.10045.1.1");
pub const P_256: ObjectIdentifier = oid("1.2.840.10045.3.1.7");
pub const P_384: ObjectIdentifier = oid("1.3.132.0.34");
pub const ECDSA_SHA_256: ObjectIdentifier = oid("1.2.840.10045.4.3.2");
pub const ECDSA_SHA_384: ObjectIdentifier = oid("1.2.840.10045.4.3.3");

pub const RSA: ObjectIdentifier = oid("1.2.840.113549.1.1.1");
pub const MGF_1: ObjectIdentifier = oid("1.2.840.113549.1.1.8");
pub const RSA_PSS: ObjectIdentifier = oid("1.2.840.113549.1.1.10");
pub const RSA_SHA_256: ObjectIdentifier = oid("1.2.840.113549.1.1.11");
pub const RSA_SHA_384: ObjectIdentifier = oid("1.2.840.113549.1.1.12");
pub const RSA_SHA_512: ObjectIdentifier = oid("1.2.840.113549.1.1.13");

pub const SIGNED_DATA: ObjectIdentifier = oid("1.2.840.113549.1.7.2");
pub const CONTENT_TYPE: ObjectIdentifier = oid("1.2.840.113549.1.9.3");
pub const MESSAGE_DIGEST: ObjectIdentifier = oid("1.2.840.113549.1.9.4");
pub const SIGNING_TIME: ObjectIdentifier = oid("1.2.840.113549.1.9.5");
/// `id-icao-mrtd-security-ldsSecurityObject`.
pub const LDS_OBJECT: ObjectIdentifier = oid("2.23.136.1.1.1");
/// `documentTypeList` of ICAO 9303-12, 7.1.1.
pub const DOCUMENT_TYPES: ObjectIdentifier = oid("2.23.136.1.1.6.2");
/// This and `nameChange`, of the same place.
pub const ICAO_EXTENSIONS: [ObjectIdentifier; 2] = [DOCUMENT_TYPES, oid("2.23.136.1.1.6.1")];

pub const COUNTRY: ObjectIdentifier = oid("2.5.4.6");
pub const CRL_NUMBER: ObjectIdentifier = oid("2.5.29.20");
pub const DELTA_CRL: ObjectIdentifier = oid("2.5.29.27");
