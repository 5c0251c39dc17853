//! The sections `[[upstream]]`: servers, deadlines, and how failing servers are left alone.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::reader::{FromToml, Table, Value, Wrong, WrongNames};
use super::units::OneOrMore;
use crate::causes::with_causes;
use crate::clock::Clock;
use crate::upstream::{ServerAddress, Settings, Upstream};

/// What the sections say.
#[derive(Default)]
pub struct Upstreams {
    pub good: Vec<Arc<Upstream>>,
    pub wrong: WrongNames,
}

/// Reads every `[[upstream]]`. Servers that `previous` has too keep their health and connections.
pub fn read(root: &mut Table<'_>, clock: &Clock, previous: &[Arc<Upstream>]) -> Upstreams {
    let mut upstreams = Upstreams::default();
    let sections = root.tables("upstream");
    if root.is_misread("upstream") {
        upstreams.wrong.add(None);
    }
    for mut section in sections {
        let name = section.required::<String>("name");
        // Every key is asked for, or it would be unknown.
        let settings = read_settings(&mut section, name.as_deref().unwrap_or_default());
        let made = name.as_ref().and_then(|name| {
            let same_name = |upstream: &&Arc<Upstream>| **upstream.name() == *name;
            if upstreams.good.iter().any(|upstream| same_name(&upstream)) {
                section.wrong("name", format!("there are two upstreams `{name}`"));
            }
            let known = previous.iter().find(same_name).map(Arc::as_ref);
            Upstream::new(settings?, clock.clone(), known)
                .map_err(|error| section.wrong("ca", with_causes(&error)))
                .ok()
        });
        match made {
            Some(upstream) => upstreams.good.push(Arc::new(upstream)),
            None => upstreams.wrong.add(name),
        }
        section.finish();
    }
    upstreams
}

fn read_settings(section: &mut Table<'_>, name: &str) -> Option<Settings> {
    let servers = section.required::<OneOrMore<ServerAddress>>("servers");
    let settings = Settings {
        ca: section.optional::<PathBuf>("ca"),
        connect: positive(section, "connect_timeout", Duration::from_secs(5)),
        first_byte: positive(section, "first_byte_timeout", Duration::from_secs(60)),
        idle: positive(section, "idle_timeout", Duration::from_secs(5 * 60)),
        keep: section.or("keep_alive", Duration::from_secs(4)),
        keep_connections: section.or("idle_connections", 32),
        max_outstanding: section.or("max_outstanding", 1024),
        retries: section.or("retries", 2),
        retry_budget: section.or("retry_budget", 20),
        failures: section.or("max_failures", 3),
        rest: positive(section, "backoff", Duration::from_secs(1)),
        max_rest: positive(section, "max_backoff", Duration::from_secs(30)),
        name: Arc::from(name),
        servers: servers?.0,
    };
    if settings.retry_budget > 100 {
        let problem = "more retries than requests: write at most 100 (percent)";
        section.wrong("retry_budget", problem);
    }
    if settings.max_outstanding == 0 {
        section.wrong("max_outstanding", "no request could ever be sent");
    }
    // What is wrong with a server was reported where it stands.
    (!settings.servers.is_empty()).then_some(settings)
}

fn positive(section: &mut Table<'_>, key: &'static str, default: Duration) -> Duration {
    let duration = section.or(key, default);
    if duration.is_zero() {
        section.wrong(key, "the duration must be longer than nothing");
    }
    duration
}

impl FromToml for ServerAddress {
    const EXPECTED: &'static str = "a URL such as \"http://127.0.0.1:8000\", \"https://agents.internal\" or \"h2c://127.0.0.1:50051\"";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        let text = value
            .as_str()
            .ok_or_else(|| Wrong::Expected(Self::EXPECTED.to_owned()))?;
        ServerAddress::parse(text).map_err(|error| Wrong::Refused(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::reader;
    use super::*;

    fn read_text(text: &str) -> Result<Upstreams, String> {
        let clock = Clock::system();
        let read = |mut root: Table<'_>| {
            let upstreams = read(&mut root, &clock, &[]);
            root.finish();
            Some(upstreams)
        };
        reader::read(Path::new("portcullis.toml"), text, read).map_err(|found| found.to_string())
    }

    #[test]
    fn an_upstream_needs_a_name_and_a_server() {
        let text = "[[upstream]]\nname = \"app\"\nservers = [\"http://127.0.0.1:8000\"]";
        let upstreams = read_text(text).unwrap();
        assert_eq!(&**upstreams.good[0].name(), "app");
        for (text, problem) in [
            (
                "[[upstream]]\nservers = [\"http://a\"]",
                "`name` is missing",
            ),
            ("[[upstream]]\nname = \"app\"", "`servers` is missing"),
            ("[[upstream]]\nname = \"app\"\nservers = []", "at least one"),
            (
                "[[upstream]]\nname = \"app\"\nservers = [\"http://a/x\"]",
                "no path",
            ),
            (
                "[[upstream]]\nname = \"app\"\nservers = [\"http://a\"]\nidle = \"1s\"",
                "idle",
            ),
            (
                "[[upstream]]\nname = \"app\"\nservers = [\"http://a\"]\nretry_budget = 200",
                "at most 100",
            ),
            (
                "[[upstream]]\nname = \"app\"\nservers = [\"https://a\"]\nca = \"/nowhere.pem\"",
                "/nowhere.pem",
            ),
            (
                "[[upstream]]\nname = \"a\"\nservers = [\"http://a\"]\n\
                 [[upstream]]\nname = \"a\"\nservers = [\"http://b\"]",
                "two upstreams",
            ),
        ] {
            let found = read_text(text).err().unwrap_or_default();
            assert!(found.contains(problem), "{text}\n{found}");
            assert!(found.ends_with(": 1 error"), "{text}\n{found}");
        }
    }
}
