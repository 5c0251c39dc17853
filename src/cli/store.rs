//! `portcullis store`: the databases themselves.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use crate::cli::ConfigFile;
use crate::cli::failure::Failure;
use crate::cli::output;
use crate::config::OperatorConfig;
use crate::store::{self, Copied, Copying, Database, DatabaseName, NotADatabase};

#[derive(Args)]
pub(super) struct Store {
    #[command(flatten)]
    file: ConfigFile,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Copy accounts, sessions, keys and the audit log into an empty database
    ///
    /// A database is `sqlite:PATH`, `postgres://USER@HOST:PORT/DATABASE`, or a configuration file
    /// whose database is meant. Passwords and certificates for PostgreSQL are those of
    /// [accounts.postgres] in the configuration. Stop the gateways that write to FROM first.
    Copy {
        /// The database to copy from
        #[arg(value_parser = Place::parse)]
        from: Place,
        /// The database to copy to: empty, or not there yet
        #[arg(value_parser = Place::parse)]
        to: Place,
        /// Say what would be copied, and what is in the way; change nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// A database on the command line.
#[derive(Clone)]
enum Place {
    Name(DatabaseName),
    /// The database of this configuration.
    Configured(PathBuf),
}

impl Place {
    fn parse(text: &str) -> Result<Self, NotADatabase> {
        match DatabaseName::parse(text) {
            Ok(name) => Ok(Self::Name(name)),
            Err(NotADatabase::Kind) if text.ends_with(".toml") => {
                Ok(Self::Configured(PathBuf::from(text)))
            }
            Err(wrong) => Err(wrong),
        }
    }

    fn database(self, config: &Path) -> Result<Database, Failure> {
        Ok(match self {
            Self::Name(name) => OperatorConfig::database(config, name)?,
            Self::Configured(file) => OperatorConfig::load(&file)?.settings.database,
        })
    }
}

pub(super) fn run(store: Store) -> Result<(), Failure> {
    let Verb::Copy { from, to, dry_run } = store.verb;
    let from = from.database(&store.file.config)?;
    let to = to.database(&store.file.config)?;
    let (how, said) = match dry_run {
        true => (Copying::OnlyInWords, "would be copied"),
        false => (Copying::Really, "copied"),
    };
    let copied = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::other(&error))?
        .block_on(store::copy(&from, &to, how))
        .map_err(|error| Failure::other(&error))?;
    let rows: u64 = copied.iter().map(|copied| copied.rows).sum();
    let tables: String = copied.iter().map(line).collect();
    output::print(&format!("{tables}{rows}\trows {said}\n"))
}

/// One table on one line, its fields apart by tabs.
fn line(copied: &Copied) -> String {
    format!("{}\t{}\n", copied.rows, copied.table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_a_name_or_a_configuration_file() {
        assert!(matches!(Place::parse("sqlite:a.db"), Ok(Place::Name(_))));
        assert!(matches!(
            Place::parse("postgres://u@h/d"),
            Ok(Place::Name(_))
        ));
        assert!(matches!(
            Place::parse("/etc/p.toml"),
            Ok(Place::Configured(_))
        ));
        for text in ["a.db", "postgres://u:secret@h/d", "postgres://h.toml", ""] {
            assert!(Place::parse(text).is_err(), "{text}");
        }
    }
}
