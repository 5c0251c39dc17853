//! The section `[passwords]`: which may be chosen, and what their hashes cost.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::reader::{FromToml, Table, Value, Wrong};
use super::units::ByteSize;
use crate::accounts::{BreachedPasswords, Cost, HashSettings, PasswordPolicy};

/// NIST SP 800-63B-4 §3.1.1.2: at least so many characters must be allowed.
const LEAST_MAX_LENGTH: usize = 64;
/// A password of so many characters always fits in what is looked at.
const MOST_MAX_LENGTH: usize = 1024;

/// What `[passwords]` says.
#[derive(Clone, Debug)]
pub struct PasswordsSection {
    pub policy: PasswordPolicy,
    /// Read when the process starts; a reload does not change it.
    pub hashing: HashSettings,
}

/// Reads `[passwords]` of the file's root; every key has a default, and so has the section.
pub fn read(root: &mut Table<'_>) -> PasswordsSection {
    let Some(mut section) = root.table("passwords") else {
        return PasswordsSection {
            policy: PasswordPolicy::preset_default(),
            hashing: HashSettings::default(),
        };
    };
    let read = PasswordsSection {
        policy: read_policy(&mut section),
        hashing: read_hashing(&mut section),
    };
    section.count_at_start(&["memory", "passes", "lanes", "threads", "queue"]);
    section.finish();
    read
}

fn read_policy(section: &mut Table<'_>) -> PasswordPolicy {
    let mut policy = match section.or("preset", Preset::Default) {
        Preset::Default => PasswordPolicy::preset_default(),
        Preset::Compat => PasswordPolicy::preset_compat(),
    };
    policy.min_length = section.or("min_length", policy.min_length);
    policy.max_length = section.or("max_length", policy.max_length);
    if policy.min_length == 0 {
        section.wrong("min_length", "a password has at least one character");
    }
    if !(LEAST_MAX_LENGTH..=MOST_MAX_LENGTH).contains(&policy.max_length) {
        section.wrong("max_length", "expected 64 to 1024 characters");
    }
    if policy.min_length > policy.max_length {
        section.wrong("min_length", "longer than `max_length`");
    }
    policy.context.extend(section.list::<String>("context"));
    if let Some(path) = section.optional::<PathBuf>("breached_list") {
        match BreachedPasswords::open(&path) {
            Ok(known) if known.is_empty() => {
                section.wrong("breached_list", format!("{} is empty", path.display()));
            }
            Ok(known) => policy.breached = known,
            Err(error) => {
                let problem = format!("{} cannot be read: {error}", path.display());
                section.wrong("breached_list", problem);
            }
        }
    }
    policy
}

fn read_hashing(section: &mut Table<'_>) -> HashSettings {
    let defaults = HashSettings::default();
    let memory = section.or(
        "memory",
        ByteSize(u64::from(defaults.cost.memory_kib()) * 1024),
    );
    let passes = section.or("passes", defaults.cost.passes());
    let lanes = section.or("lanes", defaults.cost.lanes());
    let memory_kib = u32::try_from(memory.0 / 1024).unwrap_or(u32::MAX);
    let cost = Cost::new(memory_kib, passes, lanes).unwrap_or_else(|_| {
        let problem = "expected memory up to 1GiB, 1 to 64 passes, 1 to 16 lanes of 8KiB or more";
        section.wrong("memory", problem);
        defaults.cost
    });
    HashSettings {
        cost,
        threads: read_count(section, "threads", defaults.threads),
        queue: read_count(section, "queue", defaults.queue),
    }
}

fn read_count(section: &mut Table<'_>, key: &'static str, default: NonZeroUsize) -> NonZeroUsize {
    let written = section.or(key, default.get());
    if !(1..=4096).contains(&written) {
        section.wrong(key, "expected a number from 1 to 4096");
    }
    NonZeroUsize::new(written).unwrap_or(default)
}

/// Rules by name, of which single ones may be changed.
enum Preset {
    Default,
    Compat,
}

impl FromToml for Preset {
    const EXPECTED: &'static str = r#""default" or "compat""#;

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        match value.as_str() {
            Some("default") => Ok(Self::Default),
            Some("compat") => Ok(Self::Compat),
            Some(_) | None => Err(Wrong::Expected(String::from(Self::EXPECTED))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::accounts::OwnNames;
    use crate::config::reader;

    fn section(text: &str) -> Result<PasswordsSection, String> {
        let outcome = reader::read(Path::new("/nonexistent/p.toml"), text, |mut root| {
            let section = read(&mut root);
            root.finish();
            Some(section)
        });
        outcome.map_err(|wrong| wrong.to_string())
    }

    #[test]
    fn the_defaults_are_those_of_owasp_and_nist() {
        let read = section("").unwrap();
        assert_eq!(read.policy.min_length, 8);
        assert_eq!(read.hashing.cost, Cost::new(19 * 1024, 2, 1).unwrap());
    }

    #[test]
    fn a_preset_is_where_single_rules_begin() {
        let read = section("[passwords]\npreset = \"compat\"\nmin_length = 4\n").unwrap();
        assert_eq!(read.policy.min_length, 4);
        assert_eq!(read.policy.own_names, OwnNames::Allowed);
        let text = "[passwords]\nmemory = \"64MiB\"\npasses = 3\nthreads = 2\ncontext = [\"acme\"]";
        let read = section(text).unwrap();
        assert_eq!(read.hashing.cost, Cost::new(64 * 1024, 3, 1).unwrap());
        assert_eq!(read.hashing.threads.get(), 2);
        assert!(read.policy.context.contains(&String::from("acme")));
    }

    #[test]
    fn a_list_of_breached_passwords_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("known.txt");
        std::fs::write(&list, "hunter2\n").unwrap();
        let text = format!("[passwords]\nbreached_list = {list:?}\n");
        assert_eq!(section(&text).unwrap().policy.breached.len(), 1);
    }

    #[test]
    fn mistakes_are_named() {
        for (line, said) in [
            ("preset = \"lax\"", "compat"),
            ("min_length = 0", "at least one"),
            ("min_length = 300", "longer than"),
            ("max_length = 20", "64 to 1024"),
            ("memory = \"2GiB\"", "up to 1GiB"),
            ("lanes = 0", "lanes"),
            ("threads = 0", "1 to 4096"),
            (
                "breached_list = \"missing.txt\"",
                "/nonexistent/missing.txt",
            ),
            ("min_lenght = 8", "did you mean `min_length`?"),
        ] {
            let said_so = section(&format!("[passwords]\n{line}\n")).unwrap_err();
            assert!(said_so.contains(said), "{line}: {said_so}");
        }
    }
}
