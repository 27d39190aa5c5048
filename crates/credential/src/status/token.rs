//! A status list under its issuer's signature: as JWT and as CWT (sections 5.1 and 5.2 of the
//! draft; spec/status.md, U6 to U9).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{MAX_URI_LEN, Status, StatusError, StatusList, Width, is_address};
use crate::cbor::{self, Key, Malformed, Read, Writer};
use crate::cose;
use crate::jose::{self, JwsError, SigningKey, VerifyingKey};
use crate::sd_jwt::IssuerKey;

/// The `typ` of a status list JWT.
pub const JWT_TYP: &str = "statuslist+jwt";
/// The `typ` of a status list CWT, and how a server calls it.
pub const CWT_TYP: &str = "application/statuslist+cwt";

const SUB: i64 = 2;
const EXP: i64 = 4;
const IAT: i64 = 6;
const TTL: i64 = 65534;
const STATUS_LIST: i64 = 65533;

/// What the issuer says about a version of a list.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// The list's address.
    pub uri: &'a str,
    /// Which of the issuer's keys signs.
    pub kid: &'a str,
    /// Made at, in seconds of Unix time.
    pub iat_s: u64,
    /// Valid until, in seconds of Unix time, exclusive.
    pub exp_s: u64,
    /// How long a reader may keep it before it looks for the next one, in seconds.
    pub ttl_s: u64,
    /// The certificate chain of the signing key, base64 DER, leaf first; empty for none.
    pub x5c: &'a [String],
}

impl Terms<'_> {
    fn check(&self) -> Result<(), StatusError> {
        if !is_address(self.uri) || self.ttl_s == 0 || self.exp_s <= self.iat_s {
            return Err(StatusError::Malformed);
        }
        Ok(())
    }
}

/// Signs a list as a JWT.
pub fn issue_jwt(
    list: &StatusList,
    terms: &Terms<'_>,
    key: &SigningKey,
) -> Result<String, StatusError> {
    terms.check()?;
    let mut header = json!({"alg": key.alg().name(), "typ": JWT_TYP, "kid": terms.kid});
    if !terms.x5c.is_empty() {
        header["x5c"] = terms.x5c.into();
    }
    let payload = json!({
        "sub": terms.uri,
        "iat": terms.iat_s,
        "exp": terms.exp_s,
        "ttl": terms.ttl_s,
        "status_list": {"bits": list.width().bits(), "lst": jose::encode(&list.deflate()?)},
    });
    let payload = payload.to_string();
    Ok(jose::sign_written_long(
        &header.to_string(),
        payload.as_bytes(),
        key,
    )?)
}

/// Signs a list as a CWT: a quarter smaller twice over, since nothing is in base64.
pub fn issue_cwt(
    list: &StatusList,
    terms: &Terms<'_>,
    key: &SigningKey,
) -> Result<Vec<u8>, StatusError> {
    terms.check()?;
    let payload = Writer::new()
        .map(5)
        .int(SUB)
        .text(terms.uri)
        .int(EXP)
        .uint(terms.exp_s)
        .int(IAT)
        .uint(terms.iat_s)
        .int(STATUS_LIST)
        .map(2)
        .text("lst")
        .bytes(&list.deflate()?)
        .text("bits")
        .uint(list.width().bits().into())
        .int(TTL)
        .uint(terms.ttl_s)
        .done();
    let chain = terms.x5c.iter().map(|certificate| {
        base64::engine::general_purpose::STANDARD
            .decode(certificate)
            .map_err(|_| StatusError::Malformed)
    });
    let chain = chain.collect::<Result<Vec<_>, _>>()?;
    let header = cose::Header {
        typ: Some(CWT_TYP),
        kid: Some(terms.kid.as_bytes()),
        x5chain: chain.iter().map(Vec::as_slice).collect(),
    };
    let mut signed = Writer::new().tag(18).done();
    signed.append(&mut cose::sign1(&header, &payload, false, key)?);
    Ok(signed)
}

/// What a token is held against.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The issuer that is asked for.
    pub iss: &'a str,
    /// Keys of accepted issuers.
    pub issuer_keys: &'a [IssuerKey],
    /// The address that the credential names.
    pub uri: &'a str,
    /// Now, in seconds of Unix time.
    pub now_s: u64,
    /// How far clocks may be apart, in seconds.
    pub clock_skew_s: u64,
    /// The longest list that is inflated, in bytes.
    pub max_bytes: usize,
    /// The digest that the ledger has for this list, where it has one (U9).
    pub ledger: Option<[u8; 32]>,
}

/// A list whose token passed [`verify_jwt`] or [`verify_cwt`].
#[derive(Debug, Clone)]
pub struct VerifiedList {
    list: StatusList,
    uri: String,
    iat_s: u64,
    exp_s: Option<u64>,
    ttl_s: Option<u64>,
    received_s: u64,
}

impl VerifiedList {
    /// The list.
    pub fn list(&self) -> &StatusList {
        &self.list
    }

    /// Its address.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// When this version was made, in seconds of Unix time.
    pub fn iat_s(&self) -> u64 {
        self.iat_s
    }

    /// Until when it may be used: its end, or its cache lifetime after it was received (U7). One
    /// that says neither is used once, at the moment when it came.
    pub fn good_until_s(&self) -> u64 {
        let kept = self.ttl_s.map(|ttl| self.received_s.saturating_add(ttl));
        match (kept, self.exp_s) {
            (Some(kept), Some(exp)) => kept.min(exp),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => self.received_s.saturating_add(1),
        }
    }

    /// The status at an index, if the list may still be used.
    pub fn status(&self, idx: u64, now_s: u64) -> Result<Status, StatusError> {
        if now_s >= self.good_until_s() {
            return Err(StatusError::Expired);
        }
        self.list.at(idx)
    }

    /// The next version, by a delta that came with the next token's times. The ledger's digest
    /// stands for the signature: without one there is no delta.
    pub fn advance(
        &self,
        delta: &[u8],
        ledger: &[u8; 32],
        max_bytes: usize,
    ) -> Result<StatusList, StatusError> {
        super::delta::apply(&self.list, delta, &self.uri, ledger, max_bytes)
    }
}

/// The longest token that can hold a list of `max_bytes`: deflate grows what it cannot shrink by
/// less than a thousandth, and base64 twice makes nine of four.
fn longest_token(max_bytes: usize) -> usize {
    max_bytes.saturating_add(max_bytes / 500).saturating_mul(16) / 9 + 64 * 1024
}

/// Claims of a token as they were read.
struct Claims<'a> {
    sub: &'a str,
    iat_s: u64,
    exp_s: Option<u64>,
    ttl_s: Option<u64>,
    bits: u64,
    stream: &'a [u8],
}

/// Verifies a status list JWT.
pub fn verify_jwt(token: &str, evidence: &Evidence<'_>) -> Result<VerifiedList, StatusError> {
    let jws = jose::decode_unverified_within(token, longest_token(evidence.max_bytes))?;
    jws.expect_typ(JWT_TYP)
        .map_err(|_| StatusError::Malformed)?;
    let key = key_of(jws.header_str("kid"), evidence)?;
    jws.verify(key).map_err(signature)?;
    let claims = jws.claims().map_err(|_| StatusError::Malformed)?;
    let list = claims
        .get("status_list")
        .and_then(Value::as_object)
        .ok_or(StatusError::Malformed)?;
    let sub = claims.get("sub").and_then(Value::as_str);
    let seconds = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or(StatusError::Malformed),
    };
    let lst = list.get("lst").and_then(Value::as_str);
    let stream = URL_SAFE_NO_PAD
        .decode(lst.ok_or(StatusError::Malformed)?)
        .map_err(|_| StatusError::Compression)?;
    judge(
        &Claims {
            sub: sub.ok_or(StatusError::Malformed)?,
            iat_s: seconds("iat")?.ok_or(StatusError::Malformed)?,
            exp_s: seconds("exp")?,
            ttl_s: seconds("ttl")?,
            bits: list
                .get("bits")
                .and_then(Value::as_u64)
                .ok_or(StatusError::Malformed)?,
            stream: &stream,
        },
        evidence,
    )
}

/// Verifies a status list CWT.
pub fn verify_cwt(token: &[u8], evidence: &Evidence<'_>) -> Result<VerifiedList, StatusError> {
    if token.len() > longest_token(evidence.max_bytes) {
        return Err(StatusError::TooLong);
    }
    let malformed = |Malformed| StatusError::Malformed;
    let cwt = cbor::whole(token, cose::Claimed::read).map_err(malformed)?;
    if cwt.header.typ != Some(CWT_TYP) {
        return Err(StatusError::Malformed);
    }
    let kid = cwt.header.kid.map(std::str::from_utf8).transpose();
    let key = key_of(kid.map_err(|_| StatusError::KeyUnknown)?, evidence)?;
    let payload = cwt.payload.ok_or(StatusError::Malformed)?;
    cwt.verify(payload, key).map_err(signature)?;
    let claims = cbor::whole(payload, cwt_claims).map_err(malformed)?;
    judge(&claims, evidence)
}

fn cwt_claims<'b>(decoder: &mut minicbor::Decoder<'b>) -> Read<Claims<'b>> {
    let (mut sub, mut iat, mut exp, mut ttl, mut bits, mut lst) =
        (None, None, None, None, None, None);
    cbor::map(decoder, |key, decoder| {
        match key {
            Key::Int(SUB) => sub = Some(decoder.str()?),
            Key::Int(IAT) => iat = Some(decoder.u64()?),
            Key::Int(EXP) => exp = Some(decoder.u64()?),
            Key::Int(TTL) => ttl = Some(decoder.u64()?),
            Key::Int(STATUS_LIST) => cbor::map(decoder, |key, decoder| {
                match key {
                    Key::Text("bits") => bits = Some(decoder.u64()?),
                    Key::Text("lst") => lst = Some(decoder.bytes()?),
                    _ => return Ok(false),
                }
                Ok(true)
            })?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(Claims {
        sub: sub.ok_or(Malformed)?,
        iat_s: iat.ok_or(Malformed)?,
        exp_s: exp,
        ttl_s: ttl,
        bits: bits.ok_or(Malformed)?,
        stream: lst.ok_or(Malformed)?,
    })
}

fn signature(error: JwsError) -> StatusError {
    match error {
        JwsError::Signature => StatusError::Signature,
        other => StatusError::Jws(other),
    }
}

fn key_of<'a>(kid: Option<&str>, evidence: &Evidence<'a>) -> Result<&'a VerifyingKey, StatusError> {
    let issuers = evidence.issuer_keys.iter();
    issuers
        .filter(|key| key.iss == evidence.iss)
        .find(|key| kid == Some(&key.kid))
        .map(|key| &key.key)
        .ok_or(StatusError::KeyUnknown)
}

/// Section 8.3 of the draft, after the signature. Nothing is inflated before all else holds.
fn judge(claims: &Claims<'_>, evidence: &Evidence<'_>) -> Result<VerifiedList, StatusError> {
    if claims.sub != evidence.uri || claims.sub.len() > MAX_URI_LEN {
        return Err(StatusError::Subject);
    }
    if claims.iat_s > evidence.now_s.saturating_add(evidence.clock_skew_s) {
        return Err(StatusError::NotYetValid);
    }
    let ended = |exp: u64| exp.saturating_add(evidence.clock_skew_s) <= evidence.now_s;
    if claims.exp_s.is_some_and(ended) {
        return Err(StatusError::Expired);
    }
    if claims.ttl_s == Some(0) {
        return Err(StatusError::Malformed);
    }
    let width = Width::of(claims.bits)?;
    let list = StatusList::inflate(width, claims.stream, evidence.max_bytes)?;
    let differs = |digest: [u8; 32]| digest != list.digest(claims.sub);
    if evidence.ledger.is_some_and(differs) {
        return Err(StatusError::Digest);
    }
    Ok(VerifiedList {
        list,
        uri: claims.sub.to_owned(),
        iat_s: claims.iat_s,
        exp_s: claims.exp_s,
        ttl_s: claims.ttl_s,
        received_s: evidence.now_s,
    })
}
