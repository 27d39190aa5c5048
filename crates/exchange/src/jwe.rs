//! Encrypted answers: a compact JWE (RFC 7516) by ECDH-ES on P-256 with A128GCM or A256GCM, the
//! one that HAIP 1.0 §5 asks for in `direct_post.jwt` and in encrypted credential responses.
//!
//! The sender takes an ephemeral key, and the content key is derived from both (RFC 7518 §4.6.2),
//! so nothing is wrapped. Any other algorithm, compression, or critical extension is refused.

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

mod agreement;

use agreement::{Point, Secret, Shared, is_point};

/// The longest JWE in bytes.
pub const MAX_JWE_BYTES: usize = 256 * 1024;
/// The longest header in bytes, in base64url.
const MAX_HEADER_BYTES: usize = 4 * 1024;

/// Why nothing was encrypted or decrypted. Says nothing of the content: one error for whatever
/// fails after the header was understood, so that no answer helps to guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JweError {
    #[error("an encrypted message is five base64url parts, the second empty, at most 256 kB")]
    Malformed,
    #[error("it is encrypted by ECDH-ES on P-256 with A128GCM or A256GCM, without zip and crit")]
    Algorithm,
    #[error("a key is a point of P-256 other than infinity")]
    Key,
    #[error("it is encrypted to this key and unchanged")]
    Open,
}

/// How the content is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enc {
    A128Gcm,
    A256Gcm,
}

impl Enc {
    /// The strongest first, as they are offered.
    pub const ALL: [Self; 2] = [Self::A256Gcm, Self::A128Gcm];

    pub fn name(self) -> &'static str {
        match self {
            Self::A128Gcm => "A128GCM",
            Self::A256Gcm => "A256GCM",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|enc| enc.name() == name)
    }

    fn key_bytes(self) -> usize {
        match self {
            Self::A128Gcm => 16,
            Self::A256Gcm => 32,
        }
    }

    fn seal(self, key: &[u8], iv: &[u8; 12], payload: Payload<'_, '_>) -> Option<Vec<u8>> {
        match self {
            Self::A128Gcm => Aes128Gcm::new_from_slice(key)
                .ok()?
                .encrypt(iv.into(), payload),
            Self::A256Gcm => Aes256Gcm::new_from_slice(key)
                .ok()?
                .encrypt(iv.into(), payload),
        }
        .ok()
    }

    fn open(self, key: &[u8], iv: &[u8; 12], payload: Payload<'_, '_>) -> Option<Vec<u8>> {
        match self {
            Self::A128Gcm => Aes128Gcm::new_from_slice(key)
                .ok()?
                .decrypt(iv.into(), payload),
            Self::A256Gcm => Aes256Gcm::new_from_slice(key)
                .ok()?
                .decrypt(iv.into(), payload),
        }
        .ok()
    }
}

/// A key that messages are encrypted to. Its secret is zeroised when it is dropped.
#[derive(Clone)]
pub struct DecryptionKey {
    secret: Secret,
    kid: String,
}

impl std::fmt::Debug for DecryptionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DecryptionKey({})", self.kid)
    }
}

impl DecryptionKey {
    /// From 32 random bytes, of which about one in 2^32 is no key.
    pub fn from_bytes(secret: &[u8; 32], kid: &str) -> Result<Self, JweError> {
        Ok(Self {
            secret: Secret::new(secret).map_err(|_| JweError::Key)?,
            kid: kid.to_owned(),
        })
    }

    /// The public half as a JSON Web Key.
    pub fn public_jwk(&self) -> Value {
        let mut jwk = point_jwk(self.secret.public());
        for (name, value) in [("use", "enc"), ("alg", "ECDH-ES"), ("kid", &self.kid)] {
            jwk.insert(name.to_owned(), value.into());
        }
        jwk.into()
    }

    /// Opens a message to this key.
    pub fn decrypt(&self, compact: &str) -> Result<Vec<u8>, JweError> {
        if compact.len() > MAX_JWE_BYTES {
            return Err(JweError::Malformed);
        }
        let parts: Vec<&str> = compact.splitn(6, '.').collect();
        let [header_text, "", iv, ciphertext, tag] = parts[..] else {
            return Err(JweError::Malformed);
        };
        if header_text.len() > MAX_HEADER_BYTES {
            return Err(JweError::Malformed);
        }
        let header: Map<String, Value> =
            serde_json::from_slice(&decode(header_text)?).map_err(|_| JweError::Malformed)?;
        let text = |name: &str| header.get(name).and_then(Value::as_str);
        let enc = text("enc").and_then(Enc::parse);
        let (Some("ECDH-ES"), Some(enc), None, None) =
            (text("alg"), enc, header.get("zip"), header.get("crit"))
        else {
            return Err(JweError::Algorithm);
        };
        let ephemeral = header
            .get("epk")
            .ok_or(JweError::Key)
            .and_then(EncryptionKey::point)?;
        let party = |name: &str| text(name).map_or(Ok(Vec::new()), decode);
        let (apu, apv) = (party("apu")?, party("apv")?);
        let shared = self.secret.agree(&ephemeral).map_err(|_| JweError::Key)?;
        let key = derive(&shared, enc, &apu, &apv);
        let iv: [u8; 12] = decode(iv)?.try_into().map_err(|_| JweError::Malformed)?;
        let mut sealed = decode(ciphertext)?;
        let tag = decode(tag)?;
        if tag.len() != 16 {
            return Err(JweError::Malformed);
        }
        sealed.extend_from_slice(&tag);
        let payload = Payload {
            msg: &sealed,
            aad: header_text.as_bytes(),
        };
        enc.open(&key, &iv, payload).ok_or(JweError::Open)
    }
}

/// Somebody else's key, and how they want to be written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptionKey {
    point: Point,
    kid: Option<String>,
    enc: Enc,
}

impl EncryptionKey {
    /// The first usable key of a key set and the first content encryption that both sides know.
    /// Without a list the default of OpenID4VP 1.0 §8.3, A128GCM, is meant.
    pub fn choose(jwks: &Value, offered: Option<&Value>) -> Result<Self, JweError> {
        let enc = match offered {
            None => Enc::A128Gcm,
            Some(Value::Array(names)) => Enc::ALL
                .into_iter()
                .find(|enc| names.iter().any(|name| name == enc.name()))
                .ok_or(JweError::Algorithm)?,
            Some(_) => return Err(JweError::Malformed),
        };
        let keys = jwks.get("keys").and_then(Value::as_array);
        keys.into_iter()
            .flatten()
            .filter(|jwk| jwk.get("alg").and_then(Value::as_str) == Some("ECDH-ES"))
            .filter(|jwk| jwk.get("use").is_none_or(|of| of == "enc"))
            .find_map(|jwk| {
                let kid = jwk.get("kid").and_then(Value::as_str);
                Some(Self {
                    point: Self::point(jwk).ok().filter(is_point)?,
                    kid: kid.filter(|kid| kid.len() <= 128).map(str::to_owned),
                    enc,
                })
            })
            .ok_or(JweError::Key)
    }

    fn point(jwk: &Value) -> Result<Point, JweError> {
        let member = |name: &str| jwk.get(name).and_then(Value::as_str).ok_or(JweError::Key);
        if member("kty")? != "EC" || member("crv")? != "P-256" || jwk.get("d").is_some() {
            return Err(JweError::Key);
        }
        let mut point: Point = [4; 65];
        for (name, place) in ["x", "y"].iter().zip(point[1..].chunks_exact_mut(32)) {
            let coordinate = decode(member(name)?)?;
            if coordinate.len() != 32 {
                return Err(JweError::Key);
            }
            place.copy_from_slice(&coordinate);
        }
        Ok(point)
    }

    /// Encrypts to this key. `ephemeral` and `iv` are fresh random bytes, used for this message
    /// alone; `apu` and `apv` bind it to what its parties agreed on, as in mdoc hand-overs.
    pub fn encrypt(
        &self,
        payload: &[u8],
        ephemeral: &[u8; 32],
        iv: &[u8; 12],
        parties: Option<(&[u8], &[u8])>,
    ) -> Result<String, JweError> {
        let secret = Secret::new(ephemeral).map_err(|_| JweError::Key)?;
        let shared = secret.agree(&self.point).map_err(|_| JweError::Key)?;
        let mut header = json!({
            "alg": "ECDH-ES",
            "enc": self.enc.name(),
            "epk": point_jwk(secret.public()),
        });
        if let Some(kid) = &self.kid {
            header["kid"] = kid.clone().into();
        }
        let (apu, apv) = parties.unwrap_or_default();
        if parties.is_some() {
            header["apu"] = URL_SAFE_NO_PAD.encode(apu).into();
            header["apv"] = URL_SAFE_NO_PAD.encode(apv).into();
        }
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        let key = derive(&shared, self.enc, apu, apv);
        let payload = Payload {
            msg: payload,
            aad: header.as_bytes(),
        };
        let sealed = self
            .enc
            .seal(&key, iv, payload)
            .ok_or(JweError::Malformed)?;
        let (ciphertext, tag) = sealed.split_at(sealed.len().saturating_sub(16));
        let [iv, ciphertext, tag] = [&iv[..], ciphertext, tag].map(|b| URL_SAFE_NO_PAD.encode(b));
        let compact = format!("{header}..{iv}.{ciphertext}.{tag}");
        if compact.len() > MAX_JWE_BYTES {
            return Err(JweError::Malformed);
        }
        Ok(compact)
    }
}

/// The content key: Concat KDF of the shared point (RFC 7518 §4.6.2). One round of SHA-256 is
/// enough for both lengths.
fn derive(shared: &Shared, enc: Enc, apu: &[u8], apv: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut hash = Sha256::new();
    hash.update(1u32.to_be_bytes());
    hash.update(shared.as_slice());
    for part in [enc.name().as_bytes(), apu, apv] {
        hash.update((part.len() as u32).to_be_bytes());
        hash.update(part);
    }
    hash.update((enc.key_bytes() as u32 * 8).to_be_bytes());
    let mut key = Zeroizing::new(hash.finalize().to_vec());
    key.truncate(enc.key_bytes());
    key
}

fn point_jwk(point: &Point) -> Map<String, Value> {
    let (x, y) = point[1..].split_at(32);
    let mut jwk = Map::new();
    jwk.insert("kty".to_owned(), "EC".into());
    jwk.insert("crv".to_owned(), "P-256".into());
    jwk.insert("x".to_owned(), URL_SAFE_NO_PAD.encode(x).into());
    jwk.insert("y".to_owned(), URL_SAFE_NO_PAD.encode(y).into());
    jwk
}

fn decode(text: &str) -> Result<Vec<u8>, JweError> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| JweError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> DecryptionKey {
        DecryptionKey::from_bytes(&[n; 32], "k").unwrap()
    }

    fn to(key: &DecryptionKey, enc: &[&str]) -> Result<EncryptionKey, JweError> {
        EncryptionKey::choose(&json!({"keys": [key.public_jwk()]}), Some(&json!(enc)))
    }

    #[test]
    fn the_content_key_is_that_of_rfc_7518_appendix_c() {
        let alice = decode("0_NxaRPUMQoAJt50Gz8YiTr8gRTwyEaCumd-MToTmIo").unwrap();
        let alice = Secret::new(&alice.try_into().unwrap()).unwrap();
        let bob = EncryptionKey::point(&json!({
            "kty": "EC", "crv": "P-256",
            "x": "weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ",
            "y": "e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck",
        }));
        let shared = alice.agree(&bob.unwrap()).unwrap();
        let derived = derive(&shared, Enc::A128Gcm, b"Alice", b"Bob");
        assert_eq!(URL_SAFE_NO_PAD.encode(&*derived), "VqqN6vgjbSBcIijNcacQGg");
    }

    #[test]
    fn only_the_key_opens_it_and_any_change_is_seen() {
        for enc in ["A128GCM", "A256GCM"] {
            let sealed = to(&key(3), &[enc])
                .unwrap()
                .encrypt(b"who I am", &[5; 32], &[6; 12], Some((b"a", b"b")))
                .unwrap();
            assert_eq!(key(3).decrypt(&sealed).unwrap(), b"who I am");
            assert_eq!(key(4).decrypt(&sealed), Err(JweError::Open));
            for (at, byte) in sealed.bytes().enumerate() {
                let other = if byte == b'A' { b'B' } else { b'A' };
                let mut changed = sealed.clone().into_bytes();
                changed[at] = other;
                let changed = String::from_utf8(changed).unwrap();
                let opened = key(3).decrypt(&changed);
                assert!(opened.is_err(), "byte {at}");
            }
        }
    }

    #[test]
    fn the_strongest_common_encryption_is_taken_and_others_are_refused() {
        let chosen = |enc: &[&str]| to(&key(3), enc).map(|key| key.enc);
        assert_eq!(chosen(&["A128GCM", "A256GCM"]), Ok(Enc::A256Gcm));
        assert_eq!(chosen(&["A128CBC-HS256"]), Err(JweError::Algorithm));
        let jwks = |change: &dyn Fn(&mut Value)| {
            let mut jwk = key(3).public_jwk();
            change(&mut jwk);
            EncryptionKey::choose(&json!({ "keys": [jwk] }), None).map(|key| key.enc)
        };
        assert_eq!(jwks(&|_| {}), Ok(Enc::A128Gcm));
        for change in [
            |jwk: &mut Value| jwk["alg"] = "ECDH-ES+A128KW".into(),
            |jwk: &mut Value| jwk["use"] = "sig".into(),
            |jwk: &mut Value| jwk["crv"] = "P-384".into(),
            |jwk: &mut Value| jwk["y"] = jwk["x"].clone(),
            |jwk: &mut Value| jwk["d"] = "AA".into(),
            |jwk: &mut Value| jwk["x"] = "AA".into(),
        ] {
            assert_eq!(jwks(&change), Err(JweError::Key));
        }
    }

    #[test]
    fn what_is_no_such_message_is_refused() {
        let good = to(&key(3), &["A256GCM"]).unwrap();
        let good = good.encrypt(b"x", &[5; 32], &[6; 12], None).unwrap();
        let parts: Vec<&str> = good.split('.').collect();
        let with_header = |change: &dyn Fn(&mut Value)| {
            let mut header = serde_json::from_slice(&decode(parts[0]).unwrap()).unwrap();
            change(&mut header);
            let header = URL_SAFE_NO_PAD.encode(header.to_string());
            key(3).decrypt(&format!("{header}..{}.{}.{}", parts[2], parts[3], parts[4]))
        };
        for change in [
            |header: &mut Value| header["alg"] = "none".into(),
            |header: &mut Value| header["alg"] = "dir".into(),
            |header: &mut Value| header["enc"] = "A128CBC-HS256".into(),
            |header: &mut Value| header["zip"] = "DEF".into(),
            |header: &mut Value| header["crit"] = json!(["x"]),
        ] {
            assert_eq!(with_header(&change), Err(JweError::Algorithm));
        }
        assert_eq!(with_header(&|h| h["epk"] = json!({})), Err(JweError::Key));
        assert_eq!(with_header(&|h| h["added"] = 1.into()), Err(JweError::Open));
        for text in ["", "a.b.c", "....", "a.b.c.d.e", &format!("{good}.x")] {
            assert!(key(3).decrypt(text).is_err());
        }
        let wrapped = good.replacen("..", ".AA.", 1);
        assert_eq!(key(3).decrypt(&wrapped), Err(JweError::Malformed));
        let long = "A".repeat(MAX_JWE_BYTES + 1);
        assert_eq!(key(3).decrypt(&long), Err(JweError::Malformed));
    }
}
