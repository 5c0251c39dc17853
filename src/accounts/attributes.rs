//! Attributes: what an operator knows of an account beyond its names and roles.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

/// Most attributes of one account.
const MOST: usize = 32;
/// Longest name, in octets.
const MAX_NAME: usize = 64;
/// Longest text of one value, in octets.
const MAX_TEXT: usize = 1024;
/// Most elements of a list.
const MAX_LIST: usize = 32;
/// Longest JSON of all attributes of an account, in octets: they may travel in tokens and headers.
const MAX_JSON: usize = 4096;

/// A small map: text, numbers, true and false, and lists of these, by name. Shown as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes(BTreeMap<String, Value>);

/// Why something cannot be an attribute.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttributeError {
    #[error("the name of an attribute is 1 to 64 letters, digits and `-_`")]
    Name,
    #[error("the attribute `{0}` is not text, a number, true, false, or a list of these")]
    Kind(String),
    #[error("the attribute `{0}` has a control character, or in a list a comma")]
    Character(String),
    #[error("the attribute `{0}` is longer than 1024 octets or 32 elements")]
    TooLong(String),
    #[error("more than 32 attributes, or more than 4096 octets of them")]
    TooMany,
}

impl Attributes {
    /// Reads a JSON object; members that are `null` are none.
    pub fn parse(object: &Map<String, Value>) -> Result<Self, AttributeError> {
        let mut attributes = Self::default();
        for (name, value) in object {
            if !value.is_null() {
                attributes.insert(name, value.clone())?;
            }
        }
        attributes.check_size()?;
        Ok(attributes)
    }

    /// What was parsed before it was stored. `None`: not an object.
    pub(crate) fn stored(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().map(Self)
    }

    /// These, with one set or, when it is `None` or `null`, removed.
    pub fn with(&self, name: &str, value: Option<Value>) -> Result<Self, AttributeError> {
        let mut changed = self.clone();
        match value {
            Some(Value::Null) | None => drop(changed.0.remove(name)),
            Some(value) => changed.insert(name, value)?,
        }
        changed.check_size()?;
        Ok(changed)
    }

    pub fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Those of these names.
    #[must_use]
    pub fn only(&self, names: &[Box<str>]) -> Map<String, Value> {
        let wanted = |(name, _): &(&String, &Value)| names.iter().any(|one| **one == ***name);
        let found = self.0.iter().filter(wanted);
        found
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// Whether everything that `before` says still holds.
    pub(crate) fn contains_all(&self, before: &Self) -> bool {
        let holds = |(name, value): (&String, &Value)| self.0.get(name) == Some(value);
        before.0.iter().all(holds)
    }

    /// The names of those that differ from `before`.
    pub(crate) fn names_changed(&self, before: &Self) -> Vec<String> {
        let names = self.0.keys().chain(before.0.keys());
        let mut changed: Vec<String> = names
            .filter(|name| self.0.get(*name) != before.0.get(*name))
            .cloned()
            .collect();
        changed.sort();
        changed.dedup();
        changed
    }

    fn insert(&mut self, name: &str, value: Value) -> Result<(), AttributeError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(fits) {
            return Err(AttributeError::Name);
        }
        check(name, &value)?;
        self.0.insert(name.to_owned(), value);
        Ok(())
    }

    fn check_size(&self) -> Result<(), AttributeError> {
        if self.0.len() > MOST || self.to_string().len() > MAX_JSON {
            return Err(AttributeError::TooMany);
        }
        Ok(())
    }
}

/// The JSON object, its names in order: equal attributes are equal texts.
impl fmt::Display for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_string(&self.0).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

fn check(name: &str, value: &Value) -> Result<(), AttributeError> {
    match value {
        Value::Null | Value::Object(_) => Err(AttributeError::Kind(name.to_owned())),
        Value::Array(items) if items.len() > MAX_LIST => {
            Err(AttributeError::TooLong(name.to_owned()))
        }
        Value::Array(items) => items.iter().try_for_each(|item| check_item(name, item)),
        Value::Bool(_) | Value::Number(_) => Ok(()),
        Value::String(text) => check_text(name, text),
    }
}

/// In a header, a list has commas between its elements.
fn check_item(name: &str, item: &Value) -> Result<(), AttributeError> {
    match item {
        Value::String(text) if text.contains(',') => {
            Err(AttributeError::Character(name.to_owned()))
        }
        Value::Array(_) => Err(AttributeError::Kind(name.to_owned())),
        Value::Null | Value::Object(_) | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            check(name, item)
        }
    }
}

fn check_text(name: &str, text: &str) -> Result<(), AttributeError> {
    if text.len() > MAX_TEXT {
        return Err(AttributeError::TooLong(name.to_owned()));
    }
    if text.chars().any(char::is_control) {
        return Err(AttributeError::Character(name.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(value: Value) -> Result<Attributes, AttributeError> {
        Attributes::parse(value.as_object().unwrap())
    }

    #[test]
    fn attributes_are_scalars_and_lists_of_them() {
        let written = json!({ "z": 1, "a": ["x", 2, true], "team": "blue", "none": null });
        let attributes = parse(written).unwrap();
        let text = r#"{"a":["x",2,true],"team":"blue","z":1}"#;
        assert_eq!(attributes.to_string(), text);
        assert_eq!(Attributes::stored(text), Some(attributes));
        assert_eq!(Attributes::stored("[]"), None);
    }

    #[test]
    fn what_could_not_travel_is_refused() {
        let name = || String::from("a");
        let many: Map<_, _> = (0..33).map(|n| (format!("n{n}"), json!(n))).collect();
        let large: Map<_, _> = (0..5)
            .map(|n| (format!("n{n}"), json!("x".repeat(1000))))
            .collect();
        for (value, why) in [
            (json!({ "": 1 }), AttributeError::Name),
            (json!({ "a.b": 1 }), AttributeError::Name),
            (json!({ "a": {} }), AttributeError::Kind(name())),
            (json!({ "a": [[1]] }), AttributeError::Kind(name())),
            (json!({ "a": [null] }), AttributeError::Kind(name())),
            (json!({ "a": "x\ny" }), AttributeError::Character(name())),
            (json!({ "a": ["x,y"] }), AttributeError::Character(name())),
            (
                json!({ "a": "x".repeat(1025) }),
                AttributeError::TooLong(name()),
            ),
            (json!({ "a": vec![1; 33] }), AttributeError::TooLong(name())),
            (json!(many), AttributeError::TooMany),
            (json!(large), AttributeError::TooMany),
        ] {
            assert_eq!(parse(value.clone()), Err(why), "{value}");
        }
    }

    #[test]
    fn a_change_is_told_by_name() {
        let before = parse(json!({ "team": "blue", "plan": "free" })).unwrap();
        let more = before.with("seat", Some(json!(7))).unwrap();
        assert!(more.contains_all(&before));
        assert_eq!(more.names_changed(&before), ["seat"]);
        let less = before.with("plan", None).unwrap();
        assert_eq!(before.with("plan", Some(json!(null))).unwrap(), less);
        assert!(!less.contains_all(&before));
        let other = before.with("team", Some(json!("red"))).unwrap();
        assert!(!other.contains_all(&before));
        assert_eq!(other.names_changed(&less), ["plan", "team"]);
        assert_eq!(before.only(&["team".into()]).len(), 1);
    }
}
