//! The configuration file, from text to the program's own types.

pub mod accounts;
pub mod api_keys;
pub mod at_start;
pub mod database;
pub mod diagnostic;
pub mod headers;
pub mod limits;
pub mod lockout;
pub mod log;
mod masters;
pub mod operator;
pub mod passwords;
pub mod reader;
pub mod redis;
pub mod routes;
pub mod second_factor;
pub mod server;
pub mod tls;
pub mod tokens;
pub mod units;
pub mod upstream;
pub mod verify;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::accounts::{Rules, Settings};
use crate::authn::managed::ManagedSettings;
use crate::authn::{CacheSize, Tokens};
use crate::clock::Clock;
use crate::endpoints::{LOGIN_PAGE, LoginHosts, Profile};
use crate::inbound::Askers;
use crate::limit::RuleSpec;
use crate::lockout::LockoutSettings;
use crate::route::RouteTable;
use crate::shared::RedisSettings;
use crate::upstream::Upstream;

pub use at_start::AtStart;
pub use diagnostic::{Diagnostic, Diagnostics};
pub use operator::OperatorConfig;
pub use reader::{FromToml, Table, Value, Wrong, WrongNames};

/// A configuration that can be believed: every name in it is a thing, every file in it was read.
pub struct Config {
    /// Sample, short and missing secrets are let through. Said loudly at start.
    pub development: bool,
    pub server: server::ServerSection,
    pub tls: Option<tls::TlsSection>,
    pub logs: log::Logs,
    pub accounts: Settings,
    pub rules: Rules,
    /// The login page, when the profile is on that has one.
    pub login_page: Option<&'static str>,
    pub login_hosts: LoginHosts,
    pub tokens: Tokens,
    /// Keys that are to be had from the database.
    pub managed: Option<ManagedSettings>,
    /// How much each worker remembers of the callers that it has seen.
    pub remembered: CacheSize,
    pub redis: Option<RedisSettings>,
    pub limits: Vec<RuleSpec>,
    pub lockout: LockoutSettings,
    pub upstreams: Vec<Arc<Upstream>>,
    pub routes: RouteTable,
    /// Other proxies that may ask what we would decide.
    pub askers: Option<Askers>,
    /// What a reload of this file does not take over.
    pub at_start: AtStart,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Wrong(#[from] Diagnostics),
}

impl Config {
    /// Reads the file at `path`. Upstreams that `previous` has too keep their health and
    /// connections.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the file, at once.
    pub fn load(path: &Path, clock: &Clock, previous: &[Arc<Upstream>]) -> Result<Self, LoadError> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|source| LoadError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let config = reader::read(path, &text, |root| Self::read(root, clock, previous))?;
        Ok(config)
    }

    fn read(mut root: Table<'_>, clock: &Clock, previous: &[Arc<Upstream>]) -> Option<Self> {
        let development = root.or("development", false);
        let server = server::read(&mut root);
        let tls = tls::read(&mut root);
        if !root.has("tls")
            && server
                .as_ref()
                .is_some_and(server::ServerSection::needs_tls)
        {
            let help = "add [tls] with certificates = [{ cert = \"…\", key = \"…\" }]";
            root.wrong_with_help("server", "an https listener needs a certificate", help);
        }
        let logs = log::Logs::read(root.table("log"));
        let (mut tokens, managed, remembered) = match tokens::read(&mut root) {
            Some(section) => (Some(section.tokens), section.managed, section.remembered),
            None => (None, None, CacheSize::default()),
        };
        let longest_token = tokens.as_ref().map_or(Duration::ZERO, Tokens::longest_life);
        let mut accounts = accounts::read(&mut root, longest_token);
        let public_url = server.as_ref().and_then(|s| s.public_url.as_ref());
        let login_host = public_url.map(|url| url.host().name());
        accounts.rules.second_factor = second_factor::read(&mut root, login_host);
        if let Some(tokens) = &mut tokens {
            tokens.key_header = accounts.key_header.clone();
            tokens.cookies = accounts.cookies.clone();
        }
        let redis = redis::read(&mut root);
        let (limits, wrong_limits) = limits::read(&mut root);
        let lockout = lockout::read(&mut root);
        let upstreams = upstream::read(&mut root, clock, previous);
        let trusted = server.as_ref().map_or(&[][..], |s| &s.trusted_proxies);
        let askers = verify::read(&mut root, trusted);
        let headers = headers::Headers::read(root.table("headers"), tokens.as_ref());
        let named = routes::Named {
            upstreams: &upstreams,
            limits: &limits,
            wrong_limits: &wrong_limits,
            headers: &headers,
            askers: askers.as_ref(),
        };
        let routes = routes::read(&mut root, &accounts.profiles, &named);
        let has_page = accounts.profiles.contains(&Profile::Browser);
        if public_url.is_some_and(|url| accounts.cookies.leaves_out(url.host())) {
            let problem = "the host of `public_url` is not within `cookie_domain`";
            root.wrong("accounts", problem);
        }
        let login_hosts = match public_url.filter(|_| has_page) {
            Some(url) => LoginHosts::new(url.host().clone(), &routes),
            None => LoginHosts::default(),
        };
        let at_start = root.at_start();
        root.finish();
        Some(Self {
            development,
            server: server?,
            tls,
            logs,
            accounts: accounts.settings,
            rules: accounts.rules,
            login_page: has_page.then_some(LOGIN_PAGE),
            login_hosts,
            tokens: tokens?,
            managed,
            remembered,
            redis,
            limits,
            lockout,
            upstreams: upstreams.good,
            routes,
            askers,
            at_start,
        })
    }
}

#[cfg(test)]
mod tests;
