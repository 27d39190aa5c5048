//! Selective disclosure itself (RFC 9901 §4 and §7.1): claims to digests, and back.
//!
//! Hiding writes JSON straight into text, since an authority does it for every claim of every
//! copy; revealing follows the steps of §7.1 in their order. Tests hold both against
//! `identity-kit`, an implementation that is not ours.
//!
//! Beyond §7.1 we refuse: more than 64 disclosures, nesting deeper than 16, a repeated JSON member
//! in a disclosure, and `_sd` or `...` left standing anywhere (§4.1 reserves both; §7.1 would let
//! a stray one pass as a claim).

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::jose;
use crate::json;
use crate::path::PathElement;
use crate::sd_jwt::SdJwtError;

/// The most disclosures that one credential may have.
pub(crate) const MAX_DISCLOSURES: usize = 64;

/// Claims in which digests stand for what is hidden.
#[derive(Default)]
pub(crate) struct Concealed {
    /// The JSON members of the payload, each preceded by a comma: what stays in sight, `_sd` and
    /// `_sd_alg`.
    pub members: String,
    /// The encoded disclosures, each preceded by `~`; what lies within a claim before the claim.
    pub disclosures: String,
}

/// Hides every claim that `in_sight` does not name, and within an object every member on its own
/// (recursive disclosures, §6.3). `salt` is called once for each.
pub(crate) fn conceal(
    claims: &Map<String, Value>,
    in_sight: &[&str],
    salt: &mut dyn FnMut() -> [u8; 16],
) -> Result<Concealed, SdJwtError> {
    if claims
        .values()
        .any(|value| json::deeper_than(value, json::MAX_DEPTH - 1))
    {
        return Err(SdJwtError::TooDeep);
    }
    let reserved = |name: &str| matches!(name, "_sd" | "..." | "_sd_alg");
    if claims.keys().any(|name| reserved(name)) || claims.values().any(has_reserved_name) {
        return Err(SdJwtError::ClaimReserved);
    }
    let mut out = Concealed::default();
    let mut hider = Hider {
        salt,
        disclosures: String::new(),
        count: 0,
    };
    let mut digests = Vec::with_capacity(claims.len());
    for (name, value) in claims {
        if in_sight.contains(&name.as_str()) {
            out.members.push(',');
            json::write_text(name, &mut out.members);
            out.members.push(':');
            json::write(value, &mut out.members);
        } else {
            digests.push(hider.member(name, value)?);
        }
    }
    if !digests.is_empty() {
        out.members.push(',');
        write_digests(&mut digests, &mut out.members);
        out.members.push_str(",\"_sd_alg\":\"sha-256\"");
    }
    out.disclosures = hider.disclosures;
    Ok(out)
}

struct Hider<'a> {
    salt: &'a mut dyn FnMut() -> [u8; 16],
    disclosures: String,
    count: usize,
}

impl Hider<'_> {
    /// Makes the disclosures of a member and what is within; answers its digest.
    fn member(&mut self, name: &str, value: &Value) -> Result<String, SdJwtError> {
        self.count += 1;
        if self.count > MAX_DISCLOSURES {
            return Err(SdJwtError::TooManyDisclosures);
        }
        let mut text = String::with_capacity(96);
        text.push_str("[\"");
        jose::encode_into(&(self.salt)(), &mut text);
        text.push_str("\",");
        json::write_text(name, &mut text);
        text.push(',');
        if let Value::Object(members) = value {
            let digests = members.iter().map(|(name, value)| self.member(name, value));
            let mut digests = digests.collect::<Result<Vec<_>, _>>()?;
            text.push('{');
            if !digests.is_empty() {
                write_digests(&mut digests, &mut text);
            }
            text.push('}');
        } else {
            json::write(value, &mut text);
        }
        text.push(']');
        self.disclosures.push('~');
        let start = self.disclosures.len();
        jose::encode_into(text.as_bytes(), &mut self.disclosures);
        Ok(digest(&self.disclosures[start..]))
    }
}

/// `"_sd":[…]`, sorted: the order must not tell the order of the claims (§4.2.4.1).
fn write_digests(digests: &mut [String], out: &mut String) {
    digests.sort_unstable();
    out.push_str("\"_sd\":[");
    for (i, digest) in digests.iter().enumerate() {
        out.push_str(if i == 0 { "\"" } else { ",\"" });
        out.push_str(digest);
        out.push('"');
    }
    out.push(']');
}

/// §4.2.3: over the disclosure as encoded.
fn digest(disclosure: &str) -> String {
    jose::encode(&Sha256::digest(disclosure.as_bytes()))
}

/// What an SD-JWT says once its disclosures are put in place.
pub(crate) struct Revealed {
    pub claims: Map<String, Value>,
    /// The place of each disclosure, in the order in which they were given.
    pub places: Vec<Vec<PathElement>>,
}

/// Puts the disclosures of `sd_jwt` (ending in `~`, without key binding) in place within
/// `payload`, which is its JWT's. Checks no signature.
pub(crate) fn reveal(
    mut payload: Map<String, Value>,
    sd_jwt: &str,
) -> Result<Revealed, SdJwtError> {
    let ended = sd_jwt.strip_suffix('~').ok_or(SdJwtError::Malformed)?;
    let parts = || ended.split('~').skip(1);
    if parts().any(str::is_empty) {
        return Err(SdJwtError::Malformed);
    }
    if parts().count() > MAX_DISCLOSURES {
        return Err(SdJwtError::TooManyDisclosures);
    }
    // §7.1 step 3d, with the parsing of step 3b first.
    let mut disclosures = Vec::with_capacity(parts().count());
    for part in parts() {
        disclosures.push(Disclosure::read(part)?);
    }
    let repeated =
        |(i, a): (usize, &Disclosure)| disclosures[..i].iter().any(|b| a.digest == b.digest);
    if disclosures.iter().enumerate().any(repeated) {
        return Err(SdJwtError::DisclosureTwice);
    }
    payload.remove("_sd_alg");
    let mut revealing = Revealing {
        disclosures,
        digests: Vec::new(),
        place: Vec::new(),
    };
    revealing.object(&mut payload)?;
    // §7.1 step 4: those without a disclosure count too, decoys included.
    revealing.digests.sort_unstable();
    if revealing.digests.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(SdJwtError::DigestTwice);
    }
    // §7.1 step 5.
    let places = revealing.disclosures.into_iter().map(|d| d.place);
    let places: Option<Vec<_>> = places.collect();
    Ok(Revealed {
        claims: payload,
        places: places.ok_or(SdJwtError::DisclosureUnreferenced)?,
    })
}

struct Disclosure {
    digest: String,
    /// Absent in an element's.
    name: Option<String>,
    /// Taken when it is put in place.
    value: Value,
    place: Option<Vec<PathElement>>,
}

impl Disclosure {
    fn read(text: &str) -> Result<Self, SdJwtError> {
        let malformed = || SdJwtError::DisclosureMalformed;
        let bytes = jose::decode(text).map_err(|_| malformed())?;
        let Ok(Value::Array(mut parts)) = json::parse(&bytes) else {
            return Err(malformed());
        };
        let value = parts.pop().ok_or_else(malformed)?;
        let name = match parts.as_mut_slice() {
            [Value::String(_)] => None,
            [Value::String(_), Value::String(name)] => Some(std::mem::take(name)),
            _ => return Err(malformed()),
        };
        if name.as_deref().is_some_and(|n| n == "_sd" || n == "...") {
            return Err(SdJwtError::ClaimReserved);
        }
        Ok(Self {
            digest: digest(text),
            name,
            value,
            place: None,
        })
    }
}

/// The walk of §7.1 step 3c. It goes no deeper than [`json::MAX_DEPTH`], however disclosures are
/// nested in one another.
struct Revealing {
    disclosures: Vec<Disclosure>,
    /// All digests met.
    digests: Vec<String>,
    place: Vec<PathElement>,
}

impl Revealing {
    fn value(&mut self, value: &mut Value, at: PathElement) -> Result<(), SdJwtError> {
        if !matches!(value, Value::Object(_) | Value::Array(_)) {
            return Ok(());
        }
        self.place.push(at);
        if self.place.len() >= json::MAX_DEPTH {
            return Err(SdJwtError::TooDeep);
        }
        match value {
            Value::Object(members) => self.object(members)?,
            Value::Array(items) => self.array(items)?,
            _ => {}
        }
        self.place.pop();
        Ok(())
    }

    fn object(&mut self, members: &mut Map<String, Value>) -> Result<(), SdJwtError> {
        let digests = match members.remove("_sd") {
            None => Vec::new(),
            Some(Value::Array(digests)) => digests,
            Some(_) => return Err(SdJwtError::DigestMalformed),
        };
        if members.contains_key("...") {
            return Err(SdJwtError::DigestMalformed);
        }
        for (name, value) in members.iter_mut() {
            if matches!(value, Value::Object(_) | Value::Array(_)) {
                self.value(value, PathElement::Name(name.clone()))?;
            }
        }
        for digest in digests {
            let Value::String(digest) = digest else {
                return Err(SdJwtError::DigestMalformed);
            };
            let Some((index, mut value)) = self.disclosed(digest)? else {
                continue;
            };
            let name = self.disclosures[index].name.clone();
            let name = name.ok_or(SdJwtError::DisclosureKind)?;
            if members.contains_key(&name) {
                return Err(SdJwtError::ClaimTwice);
            }
            self.put(index, PathElement::Name(name.clone()));
            self.value(&mut value, PathElement::Name(name.clone()))?;
            members.insert(name, value);
        }
        Ok(())
    }

    fn array(&mut self, items: &mut Vec<Value>) -> Result<(), SdJwtError> {
        let mut kept = Vec::with_capacity(items.len());
        for mut item in items.drain(..) {
            // An index counts the elements that are in sight, as a reader of the claims does.
            let at = PathElement::Index(kept.len());
            if let Value::Object(members) = &mut item
                && let Some(digest) = members.remove("...")
            {
                let (Value::String(digest), true) = (digest, members.is_empty()) else {
                    return Err(SdJwtError::DigestMalformed);
                };
                let Some((index, value)) = self.disclosed(digest)? else {
                    continue;
                };
                if self.disclosures[index].name.is_some() {
                    return Err(SdJwtError::DisclosureKind);
                }
                self.put(index, at.clone());
                item = value;
            }
            self.value(&mut item, at)?;
            kept.push(item);
        }
        *items = kept;
        Ok(())
    }

    /// The disclosure of this digest with its value, which is given away once.
    fn disclosed(&mut self, digest: String) -> Result<Option<(usize, Value)>, SdJwtError> {
        let of_digest = |d: &Disclosure| d.digest == digest;
        let found = self.disclosures.iter().position(of_digest);
        self.digests.push(digest);
        let Some(index) = found else { return Ok(None) };
        if self.disclosures[index].place.is_some() {
            return Err(SdJwtError::DigestTwice);
        }
        Ok(Some((index, self.disclosures[index].value.take())))
    }

    fn put(&mut self, index: usize, at: PathElement) {
        let mut place = self.place.clone();
        place.push(at);
        self.disclosures[index].place = Some(place);
    }
}

/// Whether `_sd` or `...` stands as a member anywhere. Recursion is bounded: callers check depth.
fn has_reserved_name(value: &Value) -> bool {
    match value {
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| name == "_sd" || name == "..." || has_reserved_name(value)),
        Value::Array(items) => items.iter().any(has_reserved_name),
        _ => false,
    }
}

#[cfg(test)]
#[path = "mechanics_tests.rs"]
mod tests;
