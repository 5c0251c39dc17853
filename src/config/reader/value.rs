//! One value of the file: what it is, what it becomes, and how it is reported when it cannot.

use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::DeValue;

use super::super::diagnostic::Diagnostic;
use super::{Source, Table};

/// One value of the file, with its key and place.
pub struct Value<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) key: String,
    pub(super) value: &'a Spanned<DeValue<'a>>,
}

/// Why a value is not what its key needs.
#[derive(Debug, PartialEq, Eq)]
pub enum Wrong {
    /// What was expected, completing the sentence "expected …".
    Expected(String),
    /// The value has the right form, but cannot be used; a whole sentence.
    Refused(String),
    /// Reported already, further inside.
    Reported,
}

/// A type that a value of the file can become.
pub trait FromToml: Sized {
    /// What a reader of the message should write, completing "expected …".
    const EXPECTED: &'static str;

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong>;
}

impl<'a> Value<'a> {
    pub fn as_str(&self) -> Option<&'a str> {
        self.value.get_ref().as_str()
    }

    pub fn as_bool(&self) -> Option<bool> {
        self.value.get_ref().as_bool()
    }

    pub fn as_integer(&self) -> Option<i64> {
        let integer = self.value.get_ref().as_integer()?;
        i64::from_str_radix(integer.as_str(), integer.radix()).ok()
    }

    /// A TOML date or date-time, as RFC 3339 writes it.
    pub fn as_datetime(&self) -> Option<String> {
        match self.value.get_ref() {
            DeValue::Datetime(at) => Some(at.to_string()),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => None,
        }
    }

    pub fn as_table(&self) -> Option<Table<'a>> {
        let values = self.value.get_ref().as_table()?;
        Some(Table {
            source: self.source,
            key: self.key.clone(),
            place: self.value.span(),
            values,
            asked: Vec::new(),
        })
    }

    /// The elements of a list.
    pub fn elements(&self) -> Option<Vec<Value<'a>>> {
        let list = self.value.get_ref().as_array()?;
        let element = |(at, value)| {
            let key = format!("{}[{at}]", self.key);
            Value {
                source: self.source,
                key,
                value,
            }
        };
        Some(list.iter().enumerate().map(element).collect())
    }

    /// This value as JSON, for rules on claims.
    pub fn to_json(&self) -> Option<serde_json::Value> {
        match self.value.get_ref() {
            DeValue::String(text) => Some(text.as_ref().into()),
            DeValue::Integer(_) => self.as_integer().map(Into::into),
            DeValue::Boolean(flag) => Some((*flag).into()),
            DeValue::Array(_) => self.elements()?.iter().map(Value::to_json).collect(),
            DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Table(_) => None,
        }
    }

    pub fn development(&self) -> bool {
        self.source.development
    }

    /// `path`, taken from the folder of the configuration file when it is relative.
    pub fn resolve(&self, path: &str) -> PathBuf {
        self.source
            .file
            .parent()
            .unwrap_or(Path::new(""))
            .join(path)
    }

    /// This value as a `T`, or `None` when it was reported as wrong.
    pub fn read<T: FromToml>(&self) -> Option<T> {
        T::from_toml(self).map_err(|wrong| self.report(wrong)).ok()
    }

    /// Reports this value as wrong.
    pub fn report(&self, wrong: Wrong) {
        let problem = match wrong {
            Wrong::Expected(expected) => format!("expected {expected}"),
            Wrong::Refused(problem) => problem,
            Wrong::Reported => return,
        };
        self.report_found(Diagnostic::new(self.key.clone(), problem));
    }

    pub(super) fn report_found(&self, found: Diagnostic) {
        self.source.misread.borrow_mut().push(self.key.clone());
        self.source.report(found, self.value.span());
    }
}
