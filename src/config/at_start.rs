//! Keys that count when the process starts and that no reload takes over: which of them a file has
//! changed.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use toml::de::DeValue;

/// The keys of one file that count at a start, each with a hash of its value: values may be secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AtStart(BTreeMap<String, u64>);

impl AtStart {
    pub(super) fn note(&mut self, key: String, value: &DeValue<'_>) {
        let mut hasher = DefaultHasher::new();
        add(value, &mut hasher);
        self.0.insert(key, hasher.finish());
    }

    /// The keys that this file has otherwise than the one that the process started with.
    pub fn changed_since(&self, started: &Self) -> Vec<String> {
        let keys = self.0.keys().chain(started.0.keys());
        let mut changed: Vec<String> = keys
            .filter(|key| self.0.get(*key) != started.0.get(*key))
            .cloned()
            .collect();
        changed.sort_unstable();
        changed.dedup();
        changed
    }
}

/// The same for a value however it is written.
fn add(value: &DeValue<'_>, hasher: &mut DefaultHasher) {
    std::mem::discriminant(value).hash(hasher);
    match value {
        DeValue::String(text) => text.hash(hasher),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix())
                .ok()
                .hash(hasher);
        }
        DeValue::Float(number) => number.as_str().hash(hasher),
        DeValue::Boolean(flag) => flag.hash(hasher),
        DeValue::Datetime(at) => at.to_string().hash(hasher),
        DeValue::Array(list) => {
            list.len().hash(hasher);
            list.iter()
                .for_each(|element| add(element.get_ref(), hasher));
        }
        DeValue::Table(table) => {
            table.len().hash(hasher);
            for (key, value) in table {
                key.get_ref().hash(hasher);
                add(value.get_ref(), hasher);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::reader::read;
    use super::*;

    fn noted(text: &str) -> AtStart {
        let outcome = read(Path::new("p.toml"), text, |mut root| {
            if let Some(mut section) = root.table("server") {
                section.list::<String>("https");
                section.optional::<String>("url");
                section.optional::<u16>("workers");
                section.count_at_start_but(&["url"]);
                section.finish();
            }
            let noted = root.at_start();
            root.finish();
            Some(noted)
        });
        outcome.unwrap_or_default()
    }

    #[test]
    fn what_a_file_changes_is_named_and_how_it_is_written_is_no_change() {
        let started = noted("[server]\nhttps = [\"a\", \"b\"]\nurl = \"x\"\nworkers = 16\n");
        for (text, changed) in [
            (
                "[server]\nurl = \"y\"\nworkers = 0x10\nhttps = ['a', # first\n 'b']",
                &[][..],
            ),
            (
                "server = { https = [\"a\"], workers = 16 }",
                &["server.https"],
            ),
            (
                "[server]\nhttps = [\"ab\"]",
                &["server.https", "server.workers"],
            ),
            ("", &["server.https", "server.workers"]),
        ] {
            assert_eq!(noted(text).changed_since(&started), changed, "{text}");
            assert_eq!(started.changed_since(&noted(text)), changed, "{text}");
        }
    }
}
