//! Claims path pointers (OpenID4VP 1.0 §7): where in a credential a claim stands.
//!
//! `["address", "region"]` names a member, `["nationalities", null]` every element of an array,
//! `["nationalities", 0]` one element.

use std::fmt;

use serde_json::Value;

/// The longest path that is read.
pub const MAX_PATH_LEN: usize = 8;
/// The longest member name in a path, in bytes.
pub const MAX_NAME_LEN: usize = 128;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PathElement {
    /// The member of this name.
    Name(String),
    /// The element at this index.
    Index(usize),
    /// Every element of an array; `null` in JSON.
    Every,
}

/// A non-empty, bounded path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClaimPath(Vec<PathElement>);

impl ClaimPath {
    /// A path of member names; `None` when it is empty or too long.
    pub fn of(names: &[&str]) -> Option<Self> {
        Self::new(
            names
                .iter()
                .map(|name| PathElement::Name((*name).to_owned()))
                .collect(),
        )
    }

    /// A path of these elements; `None` when it is empty or too long.
    pub fn new(elements: Vec<PathElement>) -> Option<Self> {
        let named = |e: &PathElement| !matches!(e, PathElement::Name(n) if n.len() > MAX_NAME_LEN);
        let sound = !elements.is_empty()
            && elements.len() <= MAX_PATH_LEN
            && matches!(elements[0], PathElement::Name(_))
            && elements.iter().all(named);
        sound.then_some(Self(elements))
    }

    /// Reads the JSON form: an array of strings, non-negative integers and nulls.
    pub fn parse(value: &Value) -> Option<Self> {
        let array = value.as_array().filter(|a| a.len() <= MAX_PATH_LEN)?;
        let element = |v: &Value| match v {
            Value::String(name) => Some(PathElement::Name(name.clone())),
            Value::Number(n) => Some(PathElement::Index(usize::try_from(n.as_u64()?).ok()?)),
            Value::Null => Some(PathElement::Every),
            _ => None,
        };
        Self::new(array.iter().map(element).collect::<Option<_>>()?)
    }

    /// The JSON form.
    pub fn to_value(&self) -> Value {
        let element = |e: &PathElement| match e {
            PathElement::Name(name) => Value::String(name.clone()),
            PathElement::Index(index) => Value::from(*index),
            PathElement::Every => Value::Null,
        };
        Value::Array(self.0.iter().map(element).collect())
    }

    /// The steps.
    pub fn elements(&self) -> &[PathElement] {
        &self.0
    }

    /// Everything in `claims` that the path selects, in order; empty when there is nothing
    /// (§7.1: a step of the wrong kind selects nothing).
    pub fn select<'a>(&self, claims: &'a serde_json::Map<String, Value>) -> Vec<&'a Value> {
        let mut rest = self.0.iter();
        let Some(PathElement::Name(first)) = rest.next() else {
            return Vec::new();
        };
        let mut selected: Vec<&Value> = claims.get(first).into_iter().collect();
        for element in rest {
            selected = selected
                .into_iter()
                .flat_map(|value| -> Vec<&Value> {
                    match element {
                        PathElement::Name(name) => value.get(name).into_iter().collect(),
                        PathElement::Index(index) => value.get(index).into_iter().collect(),
                        PathElement::Every => value.as_array().into_iter().flatten().collect(),
                    }
                })
                .collect();
        }
        selected
    }

    /// Whether one of the two leads to, or through, the place of the other.
    pub(crate) fn overlaps(&self, concrete: &[PathElement]) -> bool {
        self.0.iter().zip(concrete).all(|(a, b)| match (a, b) {
            (PathElement::Every, PathElement::Index(_)) => true,
            (a, b) => a == b,
        })
    }
}

/// The path as people write it: `address.region`, `nationalities[*]`.
impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, element) in self.0.iter().enumerate() {
            match element {
                PathElement::Name(name) if i == 0 => write!(f, "{name}")?,
                PathElement::Name(name) => write!(f, ".{name}")?,
                PathElement::Index(index) => write!(f, "[{index}]")?,
                PathElement::Every => f.write_str("[*]")?,
            }
        }
        Ok(())
    }
}
