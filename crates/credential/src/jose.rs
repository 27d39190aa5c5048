//! Keys and compact signatures: JWK (RFC 7517, 7518, 8037), JWK thumbprints (RFC 7638) and JWS in
//! compact form (RFC 7515) with exactly three algorithms: ES256, EdDSA over Ed25519, and SM2 with SM3.
//!
//! No registry has names for the third (spec/encoding.md, E10): its `alg` and `crv` are private, and who
//! reads a key that somebody else chose says whether it may be of it ([`Alg::is_registered`]).
//!
//! A key is of one algorithm and a signature is checked against the algorithm of the *key*; the
//! header's `alg` may only agree. So `none`, HMAC under a public key and every other confusion are
//! refused before any arithmetic. `crit` and `b64` change what is signed; nothing here implements
//! an extension, hence both are refused. Other unknown header members are ignored, as the RFC asks.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek as ed25519;
use ed25519_dalek::Signer as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::es256;
use crate::json;
use crate::refusal::refusals;
use crate::sm2sm3;
use crate::x509::MAX_CHAIN;

/// The longest compact serialisation that is read, in bytes.
pub const MAX_COMPACT_LEN: usize = 64 * 1024;
/// The `crv` of a key of SM2: private, as the algorithm's name is (spec/encoding.md, E10).
const SM2_CURVE: &str = "SM2";
/// The longest encoded header that is read, in bytes: room for a certificate chain.
pub const MAX_HEADER_LEN: usize = 16 * 1024;

refusals! {
    /// Why a key or a signed message was refused.
    JwsError
    Oversize Holder "jws.oversize" "a signed message is at most 64 kB" "send less",
    Malformed Holder "jws.malformed" "a signed message is three base64url parts, the first a JSON object without repeated members" "send a compact JWS",
    AlgRefused Holder "jws.alg_refused" "the algorithm is ES256, EdDSA or, in a network that admits SM2, SM2SM3" "sign with one of these",
    AlgMismatch Holder "jws.alg_mismatch" "the header names the algorithm of the key" "name the algorithm that the key is of",
    CritRefused Holder "jws.crit_refused" "the header asks for no extension" "leave out crit and b64",
    TypMismatch Holder "jws.typ_mismatch" "the header names the type that is expected here" "send the kind of token that this place takes",
    Signature Holder "jws.signature" "the signature verifies under the expected key" "sign with the key that was announced",
    PayloadMalformed Holder "jws.payload_malformed" "the payload is a JSON object without repeated members" "send a JSON object",
    KeyMalformed Holder "jwk.malformed" "a key is an EC P-256, EC SM2 or OKP Ed25519 public key" "send one of these, all coordinates 32 bytes",
    KeyInvalid Holder "jwk.invalid" "the key is a point of full order on its curve" "make a new key",
    KeyPrivate Holder "jwk.private" "a key that is shown carries no private part" "leave out d, and replace this key: it is known now",
    NoCose Caller "jws.no_cose" "COSE has ES256 and EdDSA: no mdoc and no CWT is signed by SM2, or bound to it" "use a P-256 key, or an SD-JWT VC",
    SecretInvalid Caller "jwk.secret_invalid" "a secret is 32 bytes within the order of its curve" "draw another secret",
}

/// A signature algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Alg {
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
    /// SM2 with SM3. The name is this project's: only who follows a network that admits SM2 knows it.
    Sm2Sm3,
}

impl Alg {
    /// The `alg` of a header.
    pub fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Sm2Sm3 => "SM2SM3",
        }
    }

    /// Whether a registry has it (RFC 7518, 8037), so that anybody's software may know it.
    pub fn is_registered(self) -> bool {
        self != Self::Sm2Sm3
    }

    fn parse(name: &str) -> Result<Self, JwsError> {
        match name {
            "ES256" => Ok(Self::Es256),
            "EdDSA" => Ok(Self::EdDsa),
            "SM2SM3" => Ok(Self::Sm2Sm3),
            _ => Err(JwsError::AlgRefused),
        }
    }
}

/// A private key. The libraries overwrite it when it is dropped; `Debug` shows the kind only.
#[derive(Clone)]
pub struct SigningKey(Secret);

#[derive(Clone)]
enum Secret {
    P256(es256::Secret),
    Ed25519(ed25519::SigningKey),
    Sm2(Box<sm2sm3::Secret>),
}

impl SigningKey {
    /// A P-256 key from its 32-byte big-endian scalar.
    pub fn p256(secret: &[u8; 32]) -> Result<Self, JwsError> {
        es256::Secret::new(secret)
            .map(|secret| Self(Secret::P256(secret)))
            .map_err(|_| JwsError::SecretInvalid)
    }

    /// An Ed25519 key from its 32-byte seed.
    pub fn ed25519(seed: &[u8; 32]) -> Self {
        Self(Secret::Ed25519(ed25519::SigningKey::from_bytes(seed)))
    }

    /// An SM2 key from its 32-byte big-endian scalar.
    pub fn sm2(secret: &[u8; 32]) -> Result<Self, JwsError> {
        sm2sm3::Secret::new(secret)
            .map(|secret| Self(Secret::Sm2(Box::new(secret))))
            .map_err(|_| JwsError::SecretInvalid)
    }

    /// The algorithm this key signs with.
    pub fn alg(&self) -> Alg {
        match &self.0 {
            Secret::P256(_) => Alg::Es256,
            Secret::Ed25519(_) => Alg::EdDsa,
            Secret::Sm2(_) => Alg::Sm2Sm3,
        }
    }

    /// The public key.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey(match &self.0 {
            Secret::P256(key) => Public::P256(key.public().clone()),
            Secret::Ed25519(key) => Public::Ed25519(key.verifying_key()),
            Secret::Sm2(key) => Public::Sm2(key.public().clone()),
        })
    }

    /// The 64-byte signature of `message`. Two ES256 signatures of one message may differ.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<[u8; 64], JwsError> {
        match &self.0 {
            Secret::P256(key) => key.sign(message).map_err(|_| JwsError::SecretInvalid),
            Secret::Ed25519(key) => Ok(key.sign(message).to_bytes()),
            Secret::Sm2(key) => key.sign(message).map_err(|_| JwsError::SecretInvalid),
        }
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({}, …)", self.alg().name())
    }
}

/// A public key: a point that was checked when it was read.
#[derive(Clone)]
pub struct VerifyingKey(Public);

#[derive(Clone)]
enum Public {
    P256(es256::VerifyingKey),
    Ed25519(ed25519::VerifyingKey),
    Sm2(sm2sm3::VerifyingKey),
}

impl VerifyingKey {
    /// A P-256 key from SEC1 bytes, compressed (33) or not (65).
    pub fn p256(sec1: &[u8]) -> Result<Self, JwsError> {
        es256::VerifyingKey::new(sec1)
            .map(|key| Self(Public::P256(key)))
            .map_err(|_| JwsError::KeyInvalid)
    }

    /// An Ed25519 key from its 32 bytes. Keys of small order verify almost anything: refused.
    pub fn ed25519(bytes: &[u8; 32]) -> Result<Self, JwsError> {
        let key = ed25519::VerifyingKey::from_bytes(bytes).map_err(|_| JwsError::KeyInvalid)?;
        if key.is_weak() {
            return Err(JwsError::KeyInvalid);
        }
        Ok(Self(Public::Ed25519(key)))
    }

    /// An SM2 key from SEC1 bytes, compressed (33) or not (65).
    pub fn sm2(sec1: &[u8]) -> Result<Self, JwsError> {
        sm2sm3::VerifyingKey::new(sec1)
            .map(|key| Self(Public::Sm2(key)))
            .map_err(|_| JwsError::KeyInvalid)
    }

    /// The algorithm this key verifies.
    pub fn alg(&self) -> Alg {
        match &self.0 {
            Public::P256(_) => Alg::Es256,
            Public::Ed25519(_) => Alg::EdDsa,
            Public::Sm2(_) => Alg::Sm2Sm3,
        }
    }

    /// The key as raw bytes: compressed SEC1 (33 bytes) or Ed25519 (32 bytes).
    pub fn to_bytes(&self) -> Vec<u8> {
        match &self.0 {
            Public::P256(key) => key.compressed().to_vec(),
            Public::Ed25519(key) => key.to_bytes().to_vec(),
            Public::Sm2(key) => key.compressed().to_vec(),
        }
    }

    /// Both coordinates of a point as uncompressed SEC1, where the key is one.
    pub(crate) fn uncompressed(&self) -> Option<&[u8; 65]> {
        match &self.0 {
            Public::P256(key) => Some(key.sec1()),
            Public::Sm2(key) => Some(key.sec1()),
            Public::Ed25519(_) => None,
        }
    }

    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), JwsError> {
        let verified = match &self.0 {
            Public::P256(key) => key.verifies(message, signature),
            Public::Ed25519(key) => ed25519::Signature::from_slice(signature)
                .and_then(|signature| key.verify_strict(message, &signature))
                .is_ok(),
            Public::Sm2(key) => key.verifies(message, signature),
        };
        verified.then_some(()).ok_or(JwsError::Signature)
    }
}

impl PartialEq for VerifyingKey {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Public::P256(a), Public::P256(b)) => a.sec1() == b.sec1(),
            (Public::Ed25519(a), Public::Ed25519(b)) => a == b,
            (Public::Sm2(a), Public::Sm2(b)) => a.sec1() == b.sec1(),
            _ => false,
        }
    }
}

impl Eq for VerifyingKey {}

impl std::fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "VerifyingKey({} {:02x?})",
            self.alg().name(),
            self.to_bytes()
        )
    }
}

/// A public key in its JSON form. Members other than the key itself (`kid`, `use`, `alg`) are
/// ignored when read and never written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jwk(pub VerifyingKey);

impl Jwk {
    /// Reads a JSON Web Key.
    pub fn parse(value: &Value) -> Result<Self, JwsError> {
        let member = |name: &str| value.get(name).and_then(Value::as_str);
        if value.get("d").is_some() {
            return Err(JwsError::KeyPrivate);
        }
        match (member("kty"), member("crv")) {
            (Some("EC"), Some(curve @ ("P-256" | SM2_CURVE))) => {
                let mut sec1 = [4u8; 65];
                sec1[1..33].copy_from_slice(&coordinate(member("x"))?);
                sec1[33..].copy_from_slice(&coordinate(member("y"))?);
                let key = match curve {
                    SM2_CURVE => VerifyingKey::sm2(&sec1),
                    _ => VerifyingKey::p256(&sec1),
                };
                key.map(Self)
            }
            (Some("OKP"), Some("Ed25519")) => {
                VerifyingKey::ed25519(&coordinate(member("x"))?).map(Self)
            }
            _ => Err(JwsError::KeyMalformed),
        }
    }

    /// The JSON form: the required members only, in the order that RFC 7638 sorts them.
    pub fn to_value(&self) -> Value {
        match &self.0.0 {
            Public::P256(key) => point_value("P-256", key.sec1()),
            Public::Sm2(key) => point_value(SM2_CURVE, key.sec1()),
            Public::Ed25519(key) => {
                json!({"crv": "Ed25519", "kty": "OKP", "x": encode(key.as_bytes())})
            }
        }
    }

    /// The JSON form as text, without spaces: what a thumbprint is taken over. Written out rather
    /// than serialised, so that a digest does not hang on how a JSON library orders members.
    pub(crate) fn to_json(&self) -> String {
        match &self.0.0 {
            Public::P256(key) => point_json("P-256", key.sec1()),
            Public::Sm2(key) => point_json(SM2_CURVE, key.sec1()),
            Public::Ed25519(key) => {
                let x = encode(key.as_bytes());
                format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)
            }
        }
    }

    /// The SHA-256 thumbprint (RFC 7638 §3), 32 bytes.
    pub fn thumbprint(&self) -> [u8; 32] {
        Sha256::digest(self.to_json().as_bytes()).into()
    }

    /// The thumbprint in base64url, as it stands in `kid` and `jkt`.
    pub fn thumbprint_base64url(&self) -> String {
        encode(&self.thumbprint())
    }
}

fn point_value(curve: &str, sec1: &[u8; 65]) -> Value {
    let (x, y) = sec1[1..].split_at(32);
    json!({"crv": curve, "kty": "EC", "x": encode(x), "y": encode(y)})
}

fn point_json(curve: &str, sec1: &[u8; 65]) -> String {
    let (x, y) = sec1[1..].split_at(32);
    let (x, y) = (encode(x), encode(y));
    format!(r#"{{"crv":"{curve}","kty":"EC","x":"{x}","y":"{y}"}}"#)
}

impl Serialize for Jwk {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Jwk {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A compact JWS that was taken apart. Nothing in it is verified: it is what someone claims.
#[derive(Clone)]
pub struct ClaimedJws<'a> {
    /// The protected header.
    pub header: Map<String, Value>,
    /// The algorithm that the header names.
    pub alg: Alg,
    /// The payload.
    pub payload: Vec<u8>,
    signing_input: &'a str,
    signature: Vec<u8>,
}

impl ClaimedJws<'_> {
    /// A string member of the header.
    pub fn header_str(&self, name: &str) -> Option<&str> {
        self.header.get(name).and_then(Value::as_str)
    }

    /// The certificates in the header (RFC 7515 §4.1.6), DER, leaf first: no more than a chain may
    /// have, and none of them verified.
    pub fn x5c(&self) -> Option<Vec<Vec<u8>>> {
        let x5c = self.header.get("x5c")?.as_array()?;
        if x5c.len() > MAX_CHAIN {
            return None;
        }
        let der = |text: &Value| STANDARD.decode(text.as_str()?).ok();
        x5c.iter().map(der).collect()
    }

    /// The payload as claims.
    pub fn claims(&self) -> Result<Map<String, Value>, JwsError> {
        json::parse_object(&self.payload).map_err(|_| JwsError::PayloadMalformed)
    }

    /// Whether the header's `typ` is exactly `typ`.
    pub fn expect_typ(&self, typ: &str) -> Result<(), JwsError> {
        (self.header_str("typ") == Some(typ))
            .then_some(())
            .ok_or(JwsError::TypMismatch)
    }

    /// Its signature alone, which needs the rest no more.
    pub fn into_signature(self) -> ClaimedSignature {
        ClaimedSignature {
            alg: self.alg,
            bytes: self.signature,
            covers: self.signing_input.len(),
        }
    }

    /// Checks the signature under `key`, whose algorithm must be the one that the header names.
    pub fn verify(&self, key: &VerifyingKey) -> Result<(), JwsError> {
        if key.alg() != self.alg {
            return Err(JwsError::AlgMismatch);
        }
        key.verify(self.signing_input.as_bytes(), &self.signature)
    }
}

/// The signature of a compact JWS that was taken apart, to be checked when the key is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedSignature {
    alg: Alg,
    bytes: Vec<u8>,
    /// How much of the JWS it covers, in bytes.
    covers: usize,
}

impl ClaimedSignature {
    /// Checks it under `key`, whose algorithm must be the one that the header names. `compact` is the JWS
    /// that it was taken from.
    pub fn verify(&self, compact: &str, key: &VerifyingKey) -> Result<(), JwsError> {
        if key.alg() != self.alg {
            return Err(JwsError::AlgMismatch);
        }
        let covered = compact.get(..self.covers).ok_or(JwsError::Malformed)?;
        key.verify(covered.as_bytes(), &self.bytes)
    }
}

/// A header and payload whose signature was checked.
#[derive(Clone)]
pub struct VerifiedJws {
    /// The protected header.
    pub header: Map<String, Value>,
    /// The payload.
    pub payload: Vec<u8>,
}

impl VerifiedJws {
    /// The payload as claims.
    pub fn claims(&self) -> Result<Map<String, Value>, JwsError> {
        json::parse_object(&self.payload).map_err(|_| JwsError::PayloadMalformed)
    }
}

/// Signs `payload` under `header`; `alg` is set here to the key's.
pub fn sign_compact(
    header: &Map<String, Value>,
    payload: &[u8],
    key: &SigningKey,
) -> Result<String, JwsError> {
    let mut full = Map::new();
    full.insert("alg".to_owned(), key.alg().name().into());
    full.extend(
        header
            .iter()
            .filter(|(name, _)| *name != "alg")
            .map(|(n, v)| (n.clone(), v.clone())),
    );
    sign_written(&Value::Object(full).to_string(), payload, key)
}

/// Signs `payload` under a header that is written already, its `alg` the key's.
pub(crate) fn sign_written(
    header: &str,
    payload: &[u8],
    key: &SigningKey,
) -> Result<String, JwsError> {
    let compact = sign_written_long(header, payload, key)?;
    if compact.len() > MAX_COMPACT_LEN {
        return Err(JwsError::Oversize);
    }
    Ok(compact)
}

/// The same without a bound, for what only some readers take.
pub(crate) fn sign_written_long(
    header: &str,
    payload: &[u8],
    key: &SigningKey,
) -> Result<String, JwsError> {
    let mut compact = String::with_capacity((header.len() + payload.len()) * 4 / 3 + 96);
    encode_into(header.as_bytes(), &mut compact);
    compact.push('.');
    URL_SAFE_NO_PAD.encode_string(payload, &mut compact);
    let signature = key.sign(compact.as_bytes())?;
    compact.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut compact);
    Ok(compact)
}

/// Takes a compact JWS apart without believing it: to find out which key to verify it with.
pub fn decode_unverified(compact: &str) -> Result<ClaimedJws<'_>, JwsError> {
    decode_unverified_within(compact, MAX_COMPACT_LEN)
}

/// The same for a message that may be longer.
pub(crate) fn decode_unverified_within(
    compact: &str,
    max_len: usize,
) -> Result<ClaimedJws<'_>, JwsError> {
    if compact.len() > max_len {
        return Err(JwsError::Oversize);
    }
    let malformed = || JwsError::Malformed;
    let (signing_input, signature) = compact.rsplit_once('.').ok_or_else(malformed)?;
    let (header, payload) = signing_input.split_once('.').ok_or_else(malformed)?;
    if header.len() > MAX_HEADER_LEN {
        return Err(JwsError::Oversize);
    }
    let header = json::parse_object(&decode(header)?).map_err(|_| malformed())?;
    let payload = decode(payload)?;
    let alg = match header.get("alg") {
        Some(Value::String(name)) => Alg::parse(name)?,
        _ => return Err(JwsError::AlgRefused),
    };
    if header.contains_key("crit") || header.contains_key("b64") {
        return Err(JwsError::CritRefused);
    }
    let signature = decode(signature)?;
    Ok(ClaimedJws {
        header,
        alg,
        payload,
        signing_input,
        signature,
    })
}

/// Takes a compact JWS apart, holds its `typ` against `expected_typ` and checks its signature.
pub fn verify_compact(
    compact: &str,
    key: &VerifyingKey,
    expected_typ: &str,
) -> Result<VerifiedJws, JwsError> {
    let claimed = decode_unverified(compact)?;
    claimed.expect_typ(expected_typ)?;
    claimed.verify(key)?;
    Ok(VerifiedJws {
        header: claimed.header,
        payload: claimed.payload,
    })
}

pub(crate) fn encode_into(bytes: &[u8], out: &mut String) {
    URL_SAFE_NO_PAD.encode_string(bytes, out);
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The engine refuses padding, other alphabets and loose trailing bits: one text for each value.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, JwsError> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| JwsError::Malformed)
}

fn coordinate(text: Option<&str>) -> Result<[u8; 32], JwsError> {
    text.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(JwsError::KeyMalformed)
}

#[cfg(test)]
#[path = "jose_tests.rs"]
mod tests;
