//! The section `[log]`: the access log and the program's own log.

use std::path::PathBuf;

use crate::access::{AccessSettings, Destination, QueryLogging};
use crate::config::{FromToml, Table, Value, Wrong};
use crate::telemetry::{LogFormat, LogLevel, LogSettings};

/// What `[log]` says. Read when the process starts; a reload does not change it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logs {
    pub program: LogSettings,
    pub access: AccessSettings,
}

impl Logs {
    /// Reads `[log]`; every key has a default, and so has the section.
    pub fn read(section: Option<Table<'_>>) -> Self {
        let Some(mut section) = section else {
            return Self::default();
        };
        let logs = Self {
            program: LogSettings {
                level: section.or("level", LogLevel::default()),
                format: section.or("format", LogFormat::default()),
            },
            access: AccessSettings {
                destination: section.or("access", Destination::default()),
                query: section.or("query", QueryLogging::default()),
            },
        };
        section.count_at_start_but(&[]);
        section.finish();
        logs
    }
}

impl FromToml for LogLevel {
    const EXPECTED: &'static str = r#""error", "warn", "info", "debug" or "trace""#;

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        match value.as_str() {
            Some("error") => Ok(LogLevel::Error),
            Some("warn") => Ok(LogLevel::Warn),
            Some("info") => Ok(LogLevel::Info),
            Some("debug") => Ok(LogLevel::Debug),
            Some("trace") => Ok(LogLevel::Trace),
            Some(_) | None => Err(Wrong::Expected(String::from(Self::EXPECTED))),
        }
    }
}

impl FromToml for LogFormat {
    const EXPECTED: &'static str = r#""json" or "text""#;

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        match value.as_str() {
            Some("json") => Ok(LogFormat::Json),
            Some("text") => Ok(LogFormat::Text),
            Some(_) | None => Err(Wrong::Expected(String::from(Self::EXPECTED))),
        }
    }
}

impl FromToml for Destination {
    const EXPECTED: &'static str = r#""stdout", "off", or { file = "…" }"#;

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        match value.as_str() {
            Some("stdout") => return Ok(Destination::Stdout),
            Some("off") => return Ok(Destination::Off),
            Some(_) | None => {}
        }
        let expected = || Wrong::Expected(String::from(Self::EXPECTED));
        let mut table = value.as_table().ok_or_else(expected)?;
        let file = table.required::<PathBuf>("file");
        table.finish();
        file.map(Destination::File).ok_or(Wrong::Reported)
    }
}

impl FromToml for QueryLogging {
    const EXPECTED: &'static str = r#""omit" or "names""#;

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        match value.as_str() {
            Some("omit") => Ok(QueryLogging::Omit),
            Some("names") => Ok(QueryLogging::Names),
            Some(_) | None => Err(Wrong::Expected(String::from(Self::EXPECTED))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::reader;

    fn read(text: &str) -> Result<Logs, String> {
        reader::read(Path::new("/etc/p.toml"), text, |mut root| {
            let logs = Logs::read(root.table("log"));
            root.finish();
            Some(logs)
        })
        .map_err(|wrong| wrong.to_string())
    }

    #[test]
    fn without_a_section_both_logs_are_on_and_queries_are_not_written() {
        let logs = read("").unwrap();
        assert_eq!(logs.program.level, LogLevel::Info);
        assert_eq!(logs.access.destination, Destination::Stdout);
        assert_eq!(logs.access.query, QueryLogging::Omit);
    }

    #[test]
    fn each_key_is_read() {
        let text = "[log]\nlevel = \"debug\"\nformat = \"text\"\nquery = \"names\"\n\
                    access = { file = \"access.log\" }\n";
        let logs = read(text).unwrap();
        assert_eq!(logs.program.level, LogLevel::Debug);
        assert_eq!(logs.program.format, LogFormat::Text);
        assert_eq!(logs.access.query, QueryLogging::Names);
        assert_eq!(
            logs.access.destination,
            Destination::File(PathBuf::from("/etc/access.log"))
        );
    }

    #[test]
    fn a_wrong_word_is_answered_with_the_right_ones() {
        let shown = read("[log]\nlevel = \"loud\"\nacces = \"off\"\n").unwrap_err();
        assert!(shown.contains("expected \"error\", \"warn\""), "{shown}");
        assert!(shown.contains("did you mean `access`?"), "{shown}");
    }
}
