//! The configuration of one test's gateway, as an operator would write it.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use toml::{Table, Value};

use super::certs::authority;
use super::postgres::{self, TestServer};
use super::redis::Redis;
use super::{Gateway, Upstream, ports, tokens};

/// The variable by which the whole suite is run on PostgreSQL: `PORTCULLIS_SUITE_DATABASE=postgres`.
const DATABASE: &str = "PORTCULLIS_SUITE_DATABASE";

thread_local! {
    static ON_POSTGRES: Cell<bool> = const { Cell::new(false) };
}

/// Runs tests of the suite, which must be on this thread, with their accounts in PostgreSQL.
pub fn on_postgres(tests: &[(&str, fn())]) {
    // The server is shared, and lasts as long as somebody has it.
    let _server = TestServer::shared();
    ON_POSTGRES.set(true);
    for (name, test) in tests {
        println!("--- on PostgreSQL: {name}");
        test();
    }
    ON_POSTGRES.set(false);
}

/// A configuration file in the making. Everything that a test does not say has a fast, safe value.
#[derive(Clone)]
pub struct Config {
    table: Table,
    pub https: u16,
    pub admin: u16,
    /// Kept while a gateway may need it.
    server: Option<Arc<TestServer>>,
    /// Beside the configuration, by name.
    files: Vec<(String, String)>,
}

impl Config {
    pub fn new() -> Self {
        let (https, admin) = (ports::free(), ports::free());
        let base = format!(
            r#"
            [server]
            https = ["127.0.0.1:{https}"]
            admin = "127.0.0.1:{admin}"
            public_url = "https://localhost:{https}"

            [tls]
            certificates = [{{ cert = "site.pem", key = "site.key" }}]

            [accounts]
            database = "sqlite:accounts.db"
            registration = "open"
            profiles = ["native", "praisonai", "rag-modulo"]

            [passwords]
            preset = "compat"
            memory = "64KiB"
            passes = 1

            [[tokens.key]]
            id = "suite"
            algorithm = "HS256"
            secret = {{ file = "jwt.secret" }}
            "#
        );
        let config = Self {
            table: base.parse().unwrap(),
            https,
            admin,
            server: None,
            files: Vec::new(),
        };
        let asked = std::env::var(DATABASE).is_ok_and(|database| database == "postgres");
        match asked || ON_POSTGRES.get() {
            true => config.postgres(&TestServer::shared()),
            false => config,
        }
    }

    /// Keeps the accounts in a new database of this server, waited for longer than any test machine
    /// makes it take.
    pub fn postgres(mut self, server: &Arc<TestServer>) -> Self {
        self.server = Some(Arc::clone(server));
        let address = server.address(&server.database());
        self.toml(&format!(
            "[accounts]\ndatabase = {address:?}\n\
             [accounts.postgres]\npassword = {{ file = \"postgres.password\" }}\n\
             connect_timeout = \"60s\"\nstatement_timeout = \"60s\""
        ))
    }

    /// Adds what stands in this piece of TOML: tables are merged, lists of tables grow, other
    /// values are replaced.
    pub fn toml(mut self, piece: &str) -> Self {
        let piece: Table = piece
            .parse()
            .unwrap_or_else(|error| panic!("{error}\n{piece}"));
        merge(&mut self.table, piece);
        self
    }

    /// The name of the database in PostgreSQL.
    pub fn database(&self) -> String {
        let address = self.table["accounts"]["database"].as_str().unwrap();
        address.rsplit('/').next().unwrap().to_owned()
    }

    /// Puts a file beside the configuration.
    pub fn file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }

    /// Keeps the accounts where another gateway keeps them.
    pub fn sharing(mut self, other: &Gateway) -> Self {
        let accounts = other.config.section("accounts");
        let file = other.path("accounts.db").display().to_string();
        self.server = other.config.server.clone();
        self.toml(&accounts.replace("sqlite:accounts.db", &format!("sqlite:{file}")))
    }

    /// One section as TOML, for another configuration to take over.
    pub fn section(&self, name: &str) -> String {
        let section = Table::from_iter([(name.to_owned(), self.table[name].clone())]);
        toml::to_string(&section).unwrap()
    }

    /// Takes a key away: `"tokens.key"`.
    pub fn without(mut self, path: &str) -> Self {
        let (parents, key) = path
            .rsplit_once('.')
            .map_or((None, path), |(p, k)| (Some(p), k));
        let mut table = &mut self.table;
        for parent in parents.into_iter().flat_map(|p| p.split('.')) {
            table = table
                .get_mut(parent)
                .and_then(Value::as_table_mut)
                .expect(path);
        }
        table.remove(key).expect(path);
        self
    }

    pub fn upstream(self, name: &str, server: &Upstream) -> Self {
        self.upstream_at(name, &[&server.url()])
    }

    pub fn upstream_at(self, name: &str, servers: &[&str]) -> Self {
        self.toml(&format!(
            "[[upstream]]\nname = {name:?}\nservers = {servers:?}"
        ))
    }

    /// Counters in this Redis, waited for longer than any test machine makes it take: counts are exact.
    pub fn redis(self, redis: &Redis) -> Self {
        self.toml(&format!(
            "[redis]\nurl = {:?}\nresponse_timeout = \"20s\"\nconnect_timeout = \"20s\"",
            redis.url()
        ))
    }

    /// A route; `rest` are its other keys, on lines or as they stand.
    pub fn route(self, path: &str, rest: &str) -> Self {
        self.toml(&format!("[[route]]\npath = {path:?}\n{rest}"))
    }

    /// One upstream called `app`, with `/public/**` for everybody and the rest for token holders.
    pub fn app(self, server: &Upstream) -> Self {
        self.upstream("app", server)
            .route("/public/**", "upstream = \"app\"\nauth = \"none\"")
            .route("/optional/**", "upstream = \"app\"\nauth = \"optional\"")
            .route("/**", "upstream = \"app\"\nauth = \"required\"")
    }

    /// Writes the file, and the certificates and secrets that it names, into a folder.
    pub fn write(&self, folder: &Path) {
        std::fs::write(folder.join("portcullis.toml"), self.to_string()).unwrap();
        if !folder.join("site.pem").exists() {
            authority()
                .leaf(&["localhost", "127.0.0.1"])
                .write(folder, "site");
        }
        for (name, text) in &self.files {
            std::fs::write(folder.join(name), text).unwrap();
        }
        let password = format!("{}\n", postgres::PASSWORD);
        std::fs::write(folder.join("postgres.password"), password).unwrap();
        std::fs::write(folder.join("jwt.secret"), format!("{}\n", tokens::SECRET)).unwrap();
    }
}

impl std::fmt::Display for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&toml::to_string(&self.table).unwrap())
    }
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new),
            (Some(Value::Array(old)), Value::Array(new))
                if new.iter().all(Value::is_table) && !new.is_empty() && key != "certificates" =>
            {
                old.extend(new);
            }
            (_, value) => drop(into.insert(key, value)),
        }
    }
}
