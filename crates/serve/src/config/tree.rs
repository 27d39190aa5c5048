//! A configuration as a tree whose leaves remember where they came from, and the deserializer over
//! it. Errors carry the path of keys and never a value.

use std::collections::BTreeMap;
use std::fmt::Display;

use serde::de::value::{MapDeserializer, SeqDeserializer, StrDeserializer};
use serde::de::{
    self, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess, Unexpected, Visitor,
};

pub(super) enum Node {
    Table(BTreeMap<String, Node>),
    File(toml::Value),
    Environment { variable: String, text: String },
}

impl Node {
    pub(super) fn of_table(table: toml::Table) -> Self {
        let entries = table.into_iter().map(|(key, value)| {
            let node = match value {
                toml::Value::Table(table) => Self::of_table(table),
                leaf => Self::File(leaf),
            };
            (key, node)
        });
        Self::Table(entries.collect())
    }

    /// Puts a variable's text at the path `keys`, in place of what stood there.
    pub(super) fn set(&mut self, keys: &[String], variable: &str, text: String) {
        let Some((first, rest)) = keys.split_first() else {
            *self = Self::Environment {
                variable: variable.to_owned(),
                text,
            };
            return;
        };
        if !matches!(self, Self::Table(_)) {
            *self = Self::Table(BTreeMap::new());
        }
        if let Self::Table(entries) = self {
            entries
                .entry(first.clone())
                .or_insert_with(|| Self::Table(BTreeMap::new()))
                .set(rest, variable, text);
        }
    }

    /// The variable that set the key at this path, or something below it.
    pub(super) fn variable_at(&self, keys: &[String]) -> Option<&str> {
        match (self, keys.split_first()) {
            (Self::Environment { variable, .. }, _) => Some(variable),
            (Self::Table(entries), Some((first, rest))) => entries.get(first)?.variable_at(rest),
            (Self::Table(entries), None) => {
                let mut nodes = entries.values();
                match (nodes.next(), nodes.next()) {
                    (Some(only), None) => only.variable_at(&[]),
                    _ => None,
                }
            }
            (Self::File(_), _) => None,
        }
    }
}

/// What is wrong, and the path of keys to it.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) keys: Vec<String>,
    pub(super) wrong: Wrong,
}

#[derive(Debug)]
pub(super) enum Wrong {
    Unknown { allowed: &'static [&'static str] },
    Missing,
    Value { what: String },
}

impl Refusal {
    fn value(what: impl Display) -> Self {
        Self {
            keys: Vec::new(),
            wrong: Wrong::Value {
                what: what.to_string(),
            },
        }
    }

    fn under(mut self, key: &str) -> Self {
        self.keys.insert(0, key.to_owned());
        self
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is wrong", self.keys.join("."))
    }
}

impl std::error::Error for Refusal {}

impl de::Error for Refusal {
    /// The one message that is not ours: it comes from a field type's own check.
    fn custom<T: Display>(message: T) -> Self {
        Self::value(message)
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::value(format!("expected {expected}, found {}", kind(unexpected)))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::value(format!("expected {expected}"))
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::value(format!("expected {expected}, found {length} items"))
    }

    fn unknown_variant(_: &str, allowed: &'static [&'static str]) -> Self {
        Self::value(format!("expected one of {}", allowed.join(", ")))
    }

    fn unknown_field(field: &str, allowed: &'static [&'static str]) -> Self {
        Self {
            keys: vec![field.to_owned()],
            wrong: Wrong::Unknown { allowed },
        }
    }

    fn missing_field(field: &'static str) -> Self {
        Self {
            keys: vec![field.to_owned()],
            wrong: Wrong::Missing,
        }
    }
}

fn kind(unexpected: Unexpected<'_>) -> &'static str {
    match unexpected {
        Unexpected::Bool(_) => "a boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "an integer",
        Unexpected::Float(_) => "a number",
        Unexpected::Char(_) | Unexpected::Str(_) => "a text",
        Unexpected::Seq => "a list",
        Unexpected::Map => "a table",
        _ => "something else",
    }
}

impl<'de> IntoDeserializer<'de, Refusal> for &'de Node {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// A text from the environment becomes the number or truth value that the field asks for.
macro_rules! parse_from_environment {
    ($($method:ident $visit:ident $kind:ty),* $(,)?) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
            match self {
                Node::Environment { text, .. } => match text.trim().parse::<$kind>() {
                    Ok(value) => visitor.$visit(value),
                    Err(_) => Err(Refusal::value(concat!("expected ", stringify!($kind)))),
                },
                _ => self.deserialize_any(visitor),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Refusal;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self {
            Node::Table(entries) => visitor.visit_map(Entries {
                rest: entries.iter(),
                current: None,
            }),
            Node::File(value) => visit_value(value, visitor),
            Node::Environment { text, .. } => visitor.visit_str(text),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        match self {
            Node::Environment { text, .. } => visitor.visit_enum(StrDeserializer::new(text)),
            Node::File(toml::Value::String(text)) => visitor.visit_enum(StrDeserializer::new(text)),
            Node::File(_) => Err(Refusal::value("expected a text or a table")),
            Node::Table(entries) => {
                visitor.visit_enum(de::value::MapAccessDeserializer::new(Entries {
                    rest: entries.iter(),
                    current: None,
                }))
            }
        }
    }

    /// A list in the environment is either TOML (`["a", "b"]`) or texts between commas.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let Node::Environment { text, variable } = self else {
            return self.deserialize_any(visitor);
        };
        if text.trim_start().starts_with('[') {
            let table: toml::Table = toml::from_str(&format!("list = {text}"))
                .map_err(|_| Refusal::value("expected a list"))?;
            return match table.get("list") {
                Some(list) => visit_value(list, visitor),
                None => Err(Refusal::value("expected a list")),
            };
        }
        let items: Vec<Node> = text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(|item| Node::Environment {
                variable: variable.clone(),
                text: item.to_owned(),
            })
            .collect();
        visitor.visit_seq(Items {
            rest: items.into_iter(),
        })
    }

    parse_from_environment!(
        deserialize_bool visit_bool bool,
        deserialize_i8 visit_i8 i8,
        deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64,
        deserialize_u8 visit_u8 u8,
        deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64,
        deserialize_f32 visit_f32 f32,
        deserialize_f64 visit_f64 f64,
    );

    serde::forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct tuple tuple_struct map struct
        identifier ignored_any
    }
}

fn visit_value<'de, V: Visitor<'de>>(value: &toml::Value, visitor: V) -> Result<V::Value, Refusal> {
    match value {
        toml::Value::String(text) => visitor.visit_str(text),
        toml::Value::Integer(number) => visitor.visit_i64(*number),
        toml::Value::Float(number) => visitor.visit_f64(*number),
        toml::Value::Boolean(truth) => visitor.visit_bool(*truth),
        toml::Value::Datetime(time) => visitor.visit_str(&time.to_string()),
        toml::Value::Array(items) => {
            visitor.visit_seq(SeqDeserializer::new(items.iter().map(Owned)))
        }
        toml::Value::Table(table) => visitor.visit_map(MapDeserializer::new(
            table
                .iter()
                .map(|(key, value)| (key.as_str(), Owned(value))),
        )),
    }
}

/// A value inside a list, where the path of keys ends.
struct Owned<'a>(&'a toml::Value);

impl<'de> IntoDeserializer<'de, Refusal> for Owned<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Owned<'_> {
    type Error = Refusal;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visit_value(self.0, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        match self.0 {
            toml::Value::String(text) => visitor.visit_enum(StrDeserializer::new(text)),
            _ => Err(Refusal::value("expected a text")),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

struct Entries<'a> {
    rest: std::collections::btree_map::Iter<'a, String, Node>,
    current: Option<(&'a str, &'a Node)>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Refusal;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Refusal> {
        let Some((key, node)) = self.rest.next() else {
            return Ok(None);
        };
        self.current = Some((key, node));
        seed.deserialize(StrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refusal> {
        let Some((key, node)) = self.current.take() else {
            return Err(Refusal::value("expected a value"));
        };
        seed.deserialize(node).map_err(|refusal| refusal.under(key))
    }
}

/// Items cut from one variable's text. They are owned here, so each is handed on as a text that
/// still parses into what the list's type asks for.
struct Items {
    rest: std::vec::IntoIter<Node>,
}

impl<'de> de::SeqAccess<'de> for Items {
    type Error = Refusal;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Refusal> {
        match self.rest.next() {
            Some(Node::Environment { text, .. }) => seed.deserialize(Owned(&guess(text))).map(Some),
            _ => Ok(None),
        }
    }
}

/// Without quotes around it, an item is a number or a truth value when it reads as one.
fn guess(text: String) -> toml::Value {
    if let Ok(number) = text.parse::<i64>() {
        return toml::Value::Integer(number);
    }
    if let Ok(truth) = text.parse::<bool>() {
        return toml::Value::Boolean(truth);
    }
    toml::Value::String(text)
}
