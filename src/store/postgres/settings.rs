//! Where a PostgreSQL database is, and how it is talked to.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::secret::Secret;

/// The name by which the server's own views show our connections.
const APPLICATION: &str = "portcullis";
/// How long a migration waits for a table that somebody reads, while others queue behind it.
const MIGRATION_LOCK: Duration = Duration::from_secs(3);
/// How much longer than the server takes we wait for its word that something took too long.
const ANSWER: Duration = Duration::from_secs(1);

/// Server, user and database: `postgres://portcullis@db.example.com:5432/portcullis`. The host may
/// be the folder of a Unix socket, written `%2Frun%2Fpostgresql`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresAddress {
    host: String,
    port: u16,
    user: String,
    database: String,
}

/// The text is not the address of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnAddress {
    #[error("expected `postgres://USER@HOST:PORT/DATABASE`")]
    Form,
    #[error("a password does not stand in an address, which others may see: see `password`")]
    Password,
    #[error("parameters after `?` are not read: there are keys for them")]
    Parameters,
}

impl PostgresAddress {
    /// Reads an address; the port is 5432 unless it is written.
    pub fn parse(text: &str) -> Result<Self, NotAnAddress> {
        let rest = ["postgres://", "postgresql://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme))
            .ok_or(NotAnAddress::Form)?;
        if rest.contains(['?', '#']) {
            return Err(NotAnAddress::Parameters);
        }
        let (user, place) = rest.rsplit_once('@').ok_or(NotAnAddress::Form)?;
        let (host, database) = place.split_once('/').ok_or(NotAnAddress::Form)?;
        if user.contains(':') {
            return Err(NotAnAddress::Password);
        }
        if user.is_empty() || host.is_empty() || host.starts_with(':') || database.is_empty() {
            return Err(NotAnAddress::Form);
        }
        let read = PgConnectOptions::from_str(text).map_err(|_| NotAnAddress::Form)?;
        let socket = read.get_socket().and_then(|folder| folder.to_str());
        Ok(Self {
            host: socket.unwrap_or(read.get_host()).to_owned(),
            port: match host.rsplit_once(':') {
                Some((_, port)) if !port.ends_with(']') => read_port(port)?,
                Some(_) | None => 5432,
            },
            user: read.get_username().to_owned(),
            database: read.get_database().ok_or(NotAnAddress::Form)?.to_owned(),
        })
    }

    /// Whether nothing between us and the server can be listened to: a socket, or this machine.
    pub fn is_local(&self) -> bool {
        let host = self.host.trim_matches(['[', ']']);
        host.starts_with('/')
            || host == "localhost"
            || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    }
}

fn read_port(text: &str) -> Result<u16, NotAnAddress> {
    text.parse().map_err(|_| NotAnAddress::Form)
}

impl fmt::Display for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host,
            port,
            user,
            database,
        } = self;
        write!(f, "postgres://{user}@{host}:{port}/{database}")
    }
}

/// How the connection is protected. There is no way to believe any certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// Not at all.
    Off,
    /// The server's certificate is signed by a known authority and names the host.
    Host(Authorities),
    /// It is signed by a known authority, whatever it names.
    Authority(Authorities),
}

/// Who may sign the server's certificate, in PEM: the operator's own authority, or those that the
/// system knows. The library adds the public ones that it knows itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorities(pub Vec<u8>);

/// A PostgreSQL database, and how it is talked to.
#[derive(Clone, Debug)]
pub struct PostgresSettings {
    pub address: PostgresAddress,
    pub password: Option<Secret>,
    pub encryption: Encryption,
    /// Most connections that are open at one time.
    pub connections: u32,
    /// How long anybody waits for a connection.
    pub connect_timeout: Duration,
    /// How long the server may take for a statement.
    pub statement_timeout: Duration,
}

impl PostgresSettings {
    /// How long we wait for an answer, on connections that the network may have forgotten.
    pub(super) fn answer_bound(&self) -> Duration {
        self.statement_timeout + ANSWER
    }

    pub(super) fn for_serving(&self) -> PgConnectOptions {
        let bound = self.statement_timeout.as_millis().to_string();
        self.options().options([
            ("statement_timeout", bound.as_str()),
            ("lock_timeout", bound.as_str()),
            ("idle_in_transaction_session_timeout", bound.as_str()),
        ])
    }

    pub(super) fn for_migrations(&self) -> PgConnectOptions {
        let lock = MIGRATION_LOCK.as_millis().to_string();
        self.options()
            .options([("statement_timeout", "0"), ("lock_timeout", lock.as_str())])
    }

    fn options(&self) -> PgConnectOptions {
        let address = &self.address;
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(&address.host)
            .port(address.port)
            .username(&address.user)
            .database(&address.database)
            .application_name(APPLICATION)
            .disable_statement_logging();
        if let Some(password) = &self.password {
            options = options.password(&String::from_utf8_lossy(password.expose()));
        }
        match &self.encryption {
            Encryption::Off => options.ssl_mode(PgSslMode::Disable),
            Encryption::Host(Authorities(pem)) => options
                .ssl_mode(PgSslMode::VerifyFull)
                .ssl_root_cert_from_pem(pem.clone()),
            Encryption::Authority(Authorities(pem)) => options
                .ssl_mode(PgSslMode::VerifyCa)
                .ssl_root_cert_from_pem(pem.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(String, u16, String, String, bool), NotAnAddress> {
        let address = PostgresAddress::parse(text)?;
        let local = address.is_local();
        Ok((
            address.host,
            address.port,
            address.user,
            address.database,
            local,
        ))
    }

    #[test]
    fn an_address_names_server_user_and_database() {
        for (text, host, port, local) in [
            (
                "postgres://ann@db.example.com/accounts",
                "db.example.com",
                5432,
                false,
            ),
            ("postgresql://ann@db:6543/accounts", "db", 6543, false),
            ("postgres://ann@localhost/accounts", "localhost", 5432, true),
            ("postgres://ann@127.0.0.1:1/accounts", "127.0.0.1", 1, true),
            ("postgres://ann@[::1]:7/accounts", "[::1]", 7, true),
            (
                "postgres://ann@[2001:db8::1]/accounts",
                "[2001:db8::1]",
                5432,
                false,
            ),
            (
                "postgres://ann@%2Frun%2Fpostgresql/accounts",
                "/run/postgresql",
                5432,
                true,
            ),
        ] {
            let (user, database) = (String::from("ann"), String::from("accounts"));
            let expected = (host.to_owned(), port, user, database, local);
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused_with_its_reason() {
        for (text, reason) in [
            ("mysql://ann@db/accounts", NotAnAddress::Form),
            ("postgres://db/accounts", NotAnAddress::Form),
            ("postgres://ann@/accounts", NotAnAddress::Form),
            ("postgres://ann@:5432/accounts", NotAnAddress::Form),
            ("postgres://ann@db", NotAnAddress::Form),
            ("postgres://ann@db/", NotAnAddress::Form),
            ("postgres://ann@db:x/accounts", NotAnAddress::Form),
            ("postgres://ann:secret@db/accounts", NotAnAddress::Password),
            (
                "postgres://ann@db/accounts?sslmode=disable",
                NotAnAddress::Parameters,
            ),
        ] {
            assert_eq!(parse(text), Err(reason), "{text}");
        }
    }
}
