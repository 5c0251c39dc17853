//! Which database holds the accounts: `[accounts] database`, and `[accounts.postgres]`.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::reader::{FromToml, Table, Value, Wrong};
use super::units::ConfiguredSecret;
use crate::secret::Secret;
use crate::store::{
    Authorities, Database, DatabaseName, Encryption, NotADatabase, PostgresAddress,
    PostgresSettings,
};

/// Where the systemd unit keeps its state.
const DEFAULT: &str = "/var/lib/portcullis/accounts.db";
/// Connections: more would wait for the server's own cores.
const CONNECTIONS: u32 = 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);

/// How any PostgreSQL database is talked to, but for which one.
#[derive(Clone, Debug)]
pub struct PostgresSection {
    password: Option<Secret>,
    protection: Option<Protection>,
    authority: Option<Authorities>,
    connections: u32,
    connect_timeout: Duration,
    statement_timeout: Duration,
}

/// What `sslmode` says, in libpq's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protection {
    Disable,
    VerifyCa,
    VerifyFull,
}

/// Reads the keys of `[accounts]` that concern the database.
pub fn read(accounts: &mut Table<'_>) -> Database {
    let name = accounts.or("database", default());
    accounts.count_at_start(&["database"]);
    let section = PostgresSection::read(accounts.table("postgres"));
    section.database(name)
}

/// The database of a configuration that does not speak of it.
pub fn default() -> DatabaseName {
    DatabaseName::Sqlite(PathBuf::from(DEFAULT))
}

impl PostgresSection {
    /// Reads `[accounts.postgres]`; every key has a default.
    pub fn read(table: Option<Table<'_>>) -> Self {
        let mut section = Self::default();
        let Some(mut table) = table else {
            return section;
        };
        section.password = table
            .optional::<ConfiguredSecret>("password")
            .map(|configured| configured.secret);
        section.protection = table.optional("sslmode");
        section.authority = table
            .optional::<Authority>("ca")
            .map(|Authority(pem)| Authorities(pem));
        section.connections = table.or("connections", section.connections);
        section.connect_timeout = table.or("connect_timeout", section.connect_timeout);
        section.statement_timeout = table.or("statement_timeout", section.statement_timeout);
        if section.connections == 0 {
            table.wrong("connections", "at least one connection is needed");
        }
        for (key, bound) in [
            ("connect_timeout", section.connect_timeout),
            ("statement_timeout", section.statement_timeout),
        ] {
            if bound.is_zero() {
                table.wrong(key, "every wait has a bound, and it is longer than nothing");
            }
        }
        if section.protection == Some(Protection::Disable) && section.authority.is_some() {
            table.wrong("ca", "nothing is verified with `sslmode = \"disable\"`");
        }
        table.count_at_start_but(&[]);
        table.finish();
        section
    }

    /// The database of this name.
    pub fn database(self, name: DatabaseName) -> Database {
        match name {
            DatabaseName::Sqlite(path) => Database::Sqlite(path),
            DatabaseName::Postgres(address) => Database::Postgres(Box::new(self.settings(address))),
        }
    }

    fn settings(self, address: PostgresAddress) -> PostgresSettings {
        let local = match address.is_local() && self.authority.is_none() {
            true => Protection::Disable,
            false => Protection::VerifyFull,
        };
        let authority = || self.authority.clone().unwrap_or_else(system_authorities);
        PostgresSettings {
            encryption: match self.protection.unwrap_or(local) {
                Protection::Disable => Encryption::Off,
                Protection::VerifyCa => Encryption::Authority(authority()),
                Protection::VerifyFull => Encryption::Host(authority()),
            },
            address,
            password: self.password,
            connections: self.connections,
            connect_timeout: self.connect_timeout,
            statement_timeout: self.statement_timeout,
        }
    }
}

impl Default for PostgresSection {
    fn default() -> Self {
        Self {
            password: None,
            protection: None,
            authority: None,
            connections: CONNECTIONS,
            connect_timeout: CONNECT_TIMEOUT,
            statement_timeout: STATEMENT_TIMEOUT,
        }
    }
}

/// What the system trusts, as PEM. What it has that cannot be read is of no use.
fn system_authorities() -> Authorities {
    let mut pem = String::new();
    for certificate in rustls_native_certs::load_native_certs().certs {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        pem.push_str(&base64::engine::general_purpose::STANDARD.encode(&certificate));
        pem.push_str("\n-----END CERTIFICATE-----\n");
    }
    Authorities(pem.into_bytes())
}

/// Certificates of authorities, as they stand in a file that was seen to hold some.
struct Authority(Vec<u8>);

impl FromToml for Authority {
    const EXPECTED: &'static str = "the path of a file with certificates in PEM";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        let path: PathBuf = FromToml::from_toml(value)?;
        let shown = path.display();
        let pem = std::fs::read(&path)
            .map_err(|error| Wrong::Refused(format!("cannot read {shown}: {error}")))?;
        let mut found = CertificateDer::pem_slice_iter(&pem).peekable();
        if found.peek().is_none() || found.any(|certificate| certificate.is_err()) {
            return Err(Wrong::Refused(format!(
                "{shown} is not certificates in PEM"
            )));
        }
        Ok(Self(pem))
    }
}

impl FromToml for Protection {
    const EXPECTED: &'static str = r#""verify-full", "verify-ca" or "disable""#;

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        match value.as_str() {
            Some("disable") => Ok(Self::Disable),
            Some("verify-ca") => Ok(Self::VerifyCa),
            Some("verify-full") => Ok(Self::VerifyFull),
            Some("allow" | "prefer" | "require") => Err(Wrong::Refused(format!(
                "that mode does not verify who answers: write {} (and `ca` for an authority of \
                 your own)",
                Self::EXPECTED
            ))),
            Some(_) | None => Err(Wrong::Expected(String::from(Self::EXPECTED))),
        }
    }
}

impl FromToml for DatabaseName {
    const EXPECTED: &'static str =
        r#""sqlite:" and the path of a file, or "postgres://USER@HOST:PORT/DATABASE""#;

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        let expected = || Wrong::Expected(String::from(Self::EXPECTED));
        match Self::parse(value.as_str().ok_or_else(expected)?) {
            Ok(Self::Sqlite(path)) => {
                let path = path.to_str().ok_or_else(expected)?;
                Ok(Self::Sqlite(value.resolve(path)))
            }
            Ok(Self::Postgres(address)) => Ok(Self::Postgres(address)),
            Err(NotADatabase::Kind) => Err(expected()),
            Err(NotADatabase::Address(problem)) => Err(Wrong::Refused(problem.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::clock::Clock;
    use crate::config::reader;
    use crate::server::dev_cert::DevCertificate;

    fn database(folder: &Path, text: &str) -> Result<Database, String> {
        let read = reader::read(&folder.join("p.toml"), text, |mut root| {
            let mut accounts = root.table("accounts")?;
            let database = read(&mut accounts);
            accounts.finish();
            root.finish();
            Some(database)
        });
        read.map_err(|wrong| wrong.to_string())
    }

    fn postgres(folder: &Path, text: &str) -> PostgresSettings {
        match database(folder, text).unwrap() {
            Database::Postgres(settings) => *settings,
            Database::Sqlite(path) => panic!("{}", path.display()),
        }
    }

    #[test]
    fn a_name_alone_is_enough_on_this_machine() {
        let here = Path::new("/etc/portcullis");
        let read = postgres(here, "[accounts]\ndatabase = \"postgres://p@localhost/p\"");
        assert_eq!(read.encryption, Encryption::Off);
        assert_eq!((read.connections, read.password.is_none()), (10, true));
        assert_eq!(read.connect_timeout, Duration::from_secs(5));
        assert_eq!(read.statement_timeout, Duration::from_secs(5));
    }

    #[test]
    fn a_server_elsewhere_must_say_who_it_is() {
        let here = Path::new("/etc/portcullis");
        let read = postgres(here, "[accounts]\ndatabase = \"postgres://p@db/p\"");
        assert!(matches!(read.encryption, Encryption::Host(_)));
    }

    #[test]
    fn every_key_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let made = DevCertificate::make(folder.path(), &Clock::system()).unwrap();
        let authority = std::fs::read(&made.ca).unwrap();
        std::fs::write(folder.path().join("authority.pem"), &authority).unwrap();
        std::fs::write(folder.path().join("password"), "s3cret\n").unwrap();
        let text = r#"
            [accounts]
            database = "postgres://p@db:6432/accounts"
            [accounts.postgres]
            password = { file = "password" }
            sslmode = "verify-ca"
            ca = "authority.pem"
            connections = 3
            connect_timeout = "1s"
            statement_timeout = "2s"
        "#;
        let read = postgres(folder.path(), text);
        let address = PostgresAddress::parse("postgres://p@db:6432/accounts").unwrap();
        assert_eq!(read.address, address);
        assert!(read.password.unwrap().equals(b"s3cret"));
        let authorities = Authorities(authority);
        assert_eq!(read.encryption, Encryption::Authority(authorities));
        assert_eq!(read.connections, 3);
        assert_eq!(read.connect_timeout, Duration::from_secs(1));
        assert_eq!(read.statement_timeout, Duration::from_secs(2));
    }

    #[test]
    fn mistakes_are_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("not.pem"), "hello").unwrap();
        for (line, said) in [
            ("sslmode = \"require\"", "does not verify who answers"),
            ("sslmode = \"off\"", "verify-full"),
            ("ca = \"missing.pem\"", "cannot read"),
            ("ca = \"not.pem\"", "is not certificates"),
            (
                "password = \"s3cret\"",
                "a secret does not stand in the file",
            ),
            ("connections = 0", "at least one"),
            ("connect_timeout = \"0s\"", "every wait"),
            ("conections = 3", "did you mean `connections`?"),
        ] {
            let text = format!("[accounts]\n[accounts.postgres]\n{line}\n");
            let said_so = database(folder.path(), &text).unwrap_err();
            assert!(said_so.contains(said), "{line}: {said_so}");
        }
        for (name, said) in [
            ("mysql://x", "sqlite:"),
            ("postgres://p:s3cret@db/p", "a password does not stand"),
            ("postgres://p@db/p?sslmode=disable", "parameters"),
            ("postgres://db", "postgres://USER@HOST"),
        ] {
            let text = format!("[accounts]\ndatabase = \"{name}\"\n");
            let said_so = database(folder.path(), &text).unwrap_err();
            assert!(said_so.contains(said), "{name}: {said_so}");
            assert!(!said_so.contains("s3cret"), "{said_so}");
        }
    }
}
