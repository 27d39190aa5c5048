//! Reading JSON that a stranger wrote: no member twice, no deep nesting.
//!
//! RFC 7515 §4 and RFC 7519 §4 let a parser either refuse a repeated member or take the last one.
//! Two parsers that choose differently see two credentials in the same signed bytes, so we refuse.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The deepest nesting of objects and arrays that is read. A PID nests three deep.
pub const MAX_DEPTH: usize = 16;

/// Why bytes are no acceptable JSON object: which part was wrong is of use to an attacker only.
pub(crate) struct Malformed;

/// Parses one JSON object and nothing after it.
pub(crate) fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, Malformed> {
    match parse(bytes)? {
        Value::Object(object) => Ok(object),
        _ => Err(Malformed),
    }
}

/// Parses one JSON value and nothing after it.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, Malformed> {
    let mut de = serde_json::Deserializer::from_slice(bytes);
    let value = Strict {
        depth_left: MAX_DEPTH,
    }
    .deserialize(&mut de)
    .map_err(|_| Malformed)?;
    de.end().map_err(|_| Malformed)?;
    Ok(value)
}

/// Writes `value` as compact JSON.
pub(crate) fn write(value: &Value, out: &mut String) {
    match value {
        Value::String(text) => write_text(text, out),
        other => out.push_str(&other.to_string()),
    }
}

/// Writes `text` as a JSON string. Most texts need no escape and are copied as they are.
pub(crate) fn write_text(text: &str, out: &mut String) {
    if text.bytes().any(|b| b < 0x20 || b == b'"' || b == b'\\') {
        out.push_str(&Value::from(text).to_string());
    } else {
        out.push('"');
        out.push_str(text);
        out.push('"');
    }
}

/// Whether `value` nests deeper than `limit` containers; never recurses deeper than `limit`.
pub(crate) fn deeper_than(value: &Value, limit: usize) -> bool {
    match value {
        Value::Array(items) => limit == 0 || items.iter().any(|item| deeper_than(item, limit - 1)),
        Value::Object(members) => {
            limit == 0
                || members
                    .values()
                    .any(|member| deeper_than(member, limit - 1))
        }
        _ => false,
    }
}

struct Strict {
    depth_left: usize,
}

impl Strict {
    fn inside<E: Error>(&self) -> Result<Self, E> {
        match self.depth_left.checked_sub(1) {
            Some(depth_left) => Ok(Self { depth_left }),
            None => Err(E::custom("too deep")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E: Error>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_u64<E: Error>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_f64<E: Error>(self, v: f64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_str<E: Error>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }

    fn visit_string<E: Error>(self, v: String) -> Result<Value, E> {
        Ok(Value::String(v))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self.inside()?)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(self.inside()?)?;
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a member stands twice"));
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_members_and_deep_nesting_are_refused() {
        assert!(parse_object(br#"{"a":1,"b":[{"c":null}]}"#).is_ok());
        assert!(parse_object(br#"{"a":1,"a":2}"#).is_err());
        assert!(parse_object(br#"{"b":[{"a":1,"\u0061":2}]}"#).is_err());
        assert!(parse_object(br#"{"a":1} x"#).is_err());
        assert!(parse_object(b"[]").is_err());
        let nested = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n), "]".repeat(n));
        assert!(parse_object(nested(MAX_DEPTH - 1).as_bytes()).is_ok());
        assert!(parse_object(nested(MAX_DEPTH + 1).as_bytes()).is_err());
        assert!(parse_object(nested(100_000).as_bytes()).is_err());
    }
}
