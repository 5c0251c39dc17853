//! The little of a configuration that an operator's command needs: the way to the accounts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::accounts::{Rules, Settings};
use crate::config::database::PostgresSection;
use crate::config::{LoadError, Table, accounts, reader};
use crate::store::{Database, DatabaseName};

/// No access token lives longer: a command does not read the signing keys, which it may not be
/// allowed to, and so does not know how long a revocation must be kept.
const LONGEST_TOKEN: Duration = Duration::from_secs(401 * 24 * 60 * 60);

/// Where accounts can be operated on when no gateway runs: in the database.
pub struct OperatorConfig {
    pub settings: Settings,
    pub rules: Rules,
}

impl OperatorConfig {
    /// The socket of the gateway that runs by the file at `path`. Nothing else of it is read: what
    /// the gateway does needs no secret here.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or the key is wrong.
    pub fn socket(path: &Path) -> Result<Option<PathBuf>, LoadError> {
        let read = |mut root: Table<'_>| {
            let server = root.table("server");
            Some(server.and_then(|mut server| server.optional::<PathBuf>("admin_socket")))
        };
        Ok(reader::read(path, &text_of(path)?, read)?)
    }

    /// Reads `[accounts]` and `[passwords]` of the file at `path`, and nothing else: secrets that
    /// are credentials of the service are out of a command's reach.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with these sections, at once.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let read = |mut root: Table<'_>| {
            let section = accounts::read(&mut root, LONGEST_TOKEN);
            Some(Self {
                settings: section.settings,
                rules: section.rules,
            })
        };
        Ok(reader::read(path, &text_of(path)?, read)?)
    }

    /// The database of this name, talked to as `[accounts.postgres]` of the file at `path` says. A
    /// file of this machine needs no configuration.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with that section, at once.
    pub fn database(path: &Path, name: DatabaseName) -> Result<Database, LoadError> {
        if let DatabaseName::Sqlite(file) = name {
            return Ok(Database::Sqlite(file));
        }
        let read = |mut root: Table<'_>| {
            let accounts = root.table("accounts");
            let section = accounts.and_then(|mut accounts| accounts.table("postgres"));
            Some(PostgresSection::read(section))
        };
        Ok(reader::read(path, &text_of(path)?, read)?.database(name))
    }
}

fn text_of(path: &Path) -> Result<String, LoadError> {
    std::fs::read_to_string(path).map_err(|source| LoadError::Unreadable {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_reads_the_way_to_the_accounts_and_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("p.toml");
        let text = "[server]\nhttps = [\"0.0.0.0:1\"]\nadmin_socket = \"a.sock\"\n\
                    [accounts]\ndatabase = \"sqlite:a.db\"\n\
                    [[tokens.key]]\nid = \"k\"\nsecret = { credential = \"out-of-reach\" }\n";
        std::fs::write(&file, text).unwrap();
        let config = OperatorConfig::load(&file).unwrap();
        let socket = OperatorConfig::socket(&file).unwrap();
        assert_eq!(socket, Some(folder.path().join("a.sock")));
        let file = folder.path().join("a.db");
        let database = config.settings.database;
        assert!(matches!(database, Database::Sqlite(path) if path == file));
        std::fs::write(&file, "[accounts]\ndatabsae = \"sqlite:a.db\"\n").unwrap();
        let wrong = OperatorConfig::load(&file).err().unwrap().to_string();
        assert!(wrong.contains("did you mean `database`?"), "{wrong}");
    }
}
