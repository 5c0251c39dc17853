//! Reads a TOML file key by key, so that every mistake in it is found in one go.
//!
//! A section asks its [`Table`] for the keys it knows; what nobody asked for is unknown.

mod value;

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::at_start::AtStart;
use super::diagnostic::{Diagnostic, Diagnostics};

pub use value::{FromToml, Value, Wrong};

/// A file being read, and what was found wrong with it so far.
pub struct Source<'a> {
    file: &'a Path,
    text: &'a str,
    development: bool,
    found: RefCell<Vec<Diagnostic>>,
    /// Keys of values that are not what they should be: one mistake is one message.
    misread: RefCell<Vec<String>>,
    at_start: RefCell<AtStart>,
}

/// The names of things that were reported as wrong: that nothing usable has such a name is no news.
#[derive(Debug, Default)]
pub struct WrongNames(Vec<Option<String>>);

/// One table being read. [`Table::finish`] reports the keys that nobody asked for.
#[must_use = "call finish, so that unknown keys are reported"]
pub struct Table<'a> {
    source: &'a Source<'a>,
    key: String,
    place: Range<usize>,
    values: &'a DeTable<'a>,
    asked: Vec<&'static str>,
}

/// Reads `text` by `read`, which sees the root table; gives its result when nothing was wrong.
pub fn read<T>(
    file: &Path,
    text: &str,
    read: impl FnOnce(Table<'_>) -> Option<T>,
) -> Result<T, Diagnostics> {
    let (root, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let found = errors.iter().map(|error| {
            let problem = format!("this is not TOML: {}", error.message());
            Diagnostic::new("", problem).at(text, error.span().unwrap_or(0..0))
        });
        return Err(Diagnostics::new(file, found.collect()));
    }
    let development = root
        .get_ref()
        .get("development")
        .and_then(|v| v.get_ref().as_bool());
    let source = Source {
        file,
        text,
        development: development.unwrap_or(false),
        found: RefCell::default(),
        misread: RefCell::default(),
        at_start: RefCell::default(),
    };
    let table = Table {
        source: &source,
        key: String::new(),
        place: 0..0,
        values: root.get_ref(),
        asked: Vec::new(),
    };
    let result = read(table);
    let found = source.found.take();
    match result {
        Some(result) if found.is_empty() => Ok(result),
        Some(_) | None => Err(Diagnostics::new(file, found)),
    }
}

impl<'a> Table<'a> {
    /// The value of `key`, or `None` when it is absent or wrong (then it is reported).
    pub fn optional<T: FromToml>(&mut self, key: &'static str) -> Option<T> {
        self.value(key)?.read()
    }

    /// The value of `key`, or `default` when it is absent or wrong (then it is reported).
    pub fn or<T: FromToml>(&mut self, key: &'static str, default: T) -> T {
        self.optional(key).unwrap_or(default)
    }

    /// The value of `key`; its absence is reported.
    pub fn required<T: FromToml>(&mut self, key: &'static str) -> Option<T> {
        if self.value(key).is_none() {
            let problem = format!("the key `{key}` is missing in {}", self.name());
            let found = Diagnostic::new(self.path_of(key), problem)
                .help(format!("add `{key} = …`: {}", T::EXPECTED));
            self.source.report(found, self.place.clone());
            return None;
        }
        self.optional(key)
    }

    /// The list at `key`; empty when absent. Wrong elements are reported and left out.
    pub fn list<T: FromToml>(&mut self, key: &'static str) -> Vec<T> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let Some(elements) = value.elements() else {
            let problem = format!("expected a list, each {}", T::EXPECTED);
            let one = value.as_str().map_or("…", |_| "\"…\"");
            let help = format!("one is a list, too: {key} = [{one}]");
            value.report_found(Diagnostic::new(value.key.clone(), problem).help(help));
            return Vec::new();
        };
        elements.iter().filter_map(Value::read).collect()
    }

    /// The table at `key`: `[key]`, or `key = { … }`.
    pub fn table(&mut self, key: &'static str) -> Option<Table<'a>> {
        let value = self.value(key)?;
        let table = value.as_table();
        if table.is_none() {
            value.report(Wrong::Expected(format!("a table: [{}]", self.path_of(key))));
        }
        table
    }

    /// The tables at `key`: `[[key]]`; empty when absent.
    pub fn tables(&mut self, key: &'static str) -> Vec<Table<'a>> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let tables = value.elements().and_then(|elements| {
            elements
                .iter()
                .map(Value::as_table)
                .collect::<Option<Vec<_>>>()
        });
        tables.unwrap_or_else(|| {
            value.report(Wrong::Expected(format!(
                "tables: [[{}]]",
                self.path_of(key)
            )));
            Vec::new()
        })
    }

    /// The keys and values of a table whose keys the operator chooses, such as headers.
    pub fn entries(self) -> Vec<(String, Value<'a>)> {
        let entry = |(key, value): (&'a Spanned<_>, &'a Spanned<DeValue<'a>>)| {
            let name: &std::borrow::Cow<'a, str> = key.get_ref();
            let name = name.as_ref().to_owned();
            let key = self.path_of(&name);
            (
                name,
                Value {
                    source: self.source,
                    key,
                    value,
                },
            )
        };
        self.values.iter().map(entry).collect()
    }

    /// Whether `key` is written in the file. Does not count as asking for it.
    pub fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// Whether the value of `key`, or something in it, is not what it should be. Then it has been
    /// reported, and what is missing because of it is no news.
    pub fn is_misread(&self, key: &str) -> bool {
        let path = self.path_of(key);
        let misread = self.source.misread.borrow();
        misread.iter().any(|at| {
            let rest = at.strip_prefix(&path);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    /// Whether the file says `development = true`.
    pub fn development(&self) -> bool {
        self.source.development
    }

    /// Reports that the value of `key` cannot be used: `problem` is a whole sentence. Nothing is said
    /// of a value that could not be read.
    pub fn wrong(&self, key: &str, problem: impl Display) {
        self.report(key, Diagnostic::new(self.path_of(key), problem.to_string()));
    }

    /// Like [`Table::wrong`], with advice.
    pub fn wrong_with_help(&self, key: &str, problem: impl Display, help: impl Into<String>) {
        let found = Diagnostic::new(self.path_of(key), problem.to_string());
        self.report(key, found.help(help));
    }

    /// Notes that a reload takes over none of the keys of this table but `exceptions`.
    pub fn count_at_start_but(&self, exceptions: &[&str]) {
        let keys = self.values.keys().map(|key| key.get_ref().as_ref());
        let keys: Vec<&str> = keys.filter(|key| !exceptions.contains(key)).collect();
        self.count_at_start(&keys);
    }

    /// Notes that no reload takes over these keys.
    pub fn count_at_start(&self, keys: &[&str]) {
        for key in keys {
            if let Some(value) = self.values.get(*key) {
                let mut noted = self.source.at_start.borrow_mut();
                noted.note(self.path_of(key), value.get_ref());
            }
        }
    }

    /// What has been noted in the whole file so far.
    pub fn at_start(&self) -> AtStart {
        self.source.at_start.borrow().clone()
    }

    /// Reports every key that nobody asked for.
    pub fn finish(self) {
        for (key, _) in self.values {
            let name = key.get_ref().as_ref();
            if self.asked.contains(&name) {
                continue;
            }
            let problem = format!("unknown key `{name}` in {}", self.name());
            let found = Diagnostic::new(self.path_of(name), problem);
            let help = match nearest(name, &self.asked) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known keys: {}", self.asked.join(", ")),
            };
            self.source.report(found.help(help), key.span());
        }
    }

    fn report(&self, key: &str, found: Diagnostic) {
        if self.is_misread(key) {
            return;
        }
        let value = self.values.get(key);
        let span = value.map_or(self.place.clone(), Spanned::span);
        self.source.report(found, span);
    }

    fn value(&mut self, key: &'static str) -> Option<Value<'a>> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        let value = self.values.get(key)?;
        Some(Value {
            source: self.source,
            key: self.path_of(key),
            value,
        })
    }

    fn path_of(&self, key: &str) -> String {
        if self.key.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.key)
        }
    }

    fn name(&self) -> String {
        if self.key.is_empty() {
            String::from("the file")
        } else {
            format!("[{}]", self.key)
        }
    }
}

impl WrongNames {
    /// Adds what `name` stands in; `None` when that cannot be read either.
    pub fn add(&mut self, name: Option<String>) {
        self.0.push(name);
    }

    /// Whether `name` may be one of them.
    pub fn may_contain(&self, name: &str) -> bool {
        let mut wrong = self.0.iter();
        wrong.any(|wrong| wrong.as_deref().is_none_or(|wrong| wrong == name))
    }
}

impl Source<'_> {
    fn report(&self, found: Diagnostic, span: Range<usize>) {
        self.found.borrow_mut().push(found.at(self.text, span));
    }
}

/// The candidate that a slip of the fingers would turn into `name`.
fn nearest<'c>(name: &str, candidates: &[&'c str]) -> Option<&'c str> {
    candidates
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests;
