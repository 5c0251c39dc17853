//! The section `[server]`: listeners, the public URL, trusted proxies, and a bound for everything.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::reader::{FromToml, Table, Value, Wrong};
use super::units::ByteSize;
use crate::inbound::MinimumRate;
use crate::server::{Address, Bounds, Listener, ListenerKind, PublicUrl};
use crate::streams;

/// What `[server]` says. Read when the process starts; of it, a reload changes `public_url` and
/// `trusted_proxies` where the request path uses them, and `max_streams_per_session`.
pub struct ServerSection {
    pub listeners: Vec<Listener>,
    pub public_url: Option<PublicUrl>,
    pub trusted_proxies: Vec<IpNet>,
    pub bounds: Bounds,
    /// Streams that are open at once in one session.
    pub streams_per_session: usize,
    /// One for each processor unless configured.
    pub workers: NonZeroUsize,
    /// `/healthz`, `/readyz` and `/metrics`, read-only.
    pub admin: Option<SocketAddr>,
    /// Where accounts are operated on.
    pub admin_socket: Option<PathBuf>,
    /// Who may, beside root and the gateway's own user.
    pub admin_uids: Vec<u32>,
}

impl ServerSection {
    /// Whether a listener cannot do without `[tls]`.
    pub fn needs_tls(&self) -> bool {
        let is_https = |listener: &Listener| matches!(listener.kind, ListenerKind::Https);
        self.listeners.iter().any(is_https)
    }
}

/// Reads `[server]`; its absence is reported.
pub fn read(root: &mut Table<'_>) -> Option<ServerSection> {
    let Some(mut section) = root.table("server") else {
        let help = "add [server] with https = [\"0.0.0.0:8443\"]";
        root.wrong_with_help("server", "there is no [server]: nothing to listen on", help);
        return None;
    };
    let section_read = ServerSection {
        listeners: read_listeners(&mut section),
        public_url: section.optional("public_url"),
        trusted_proxies: read_proxies(&mut section),
        bounds: read_bounds(&mut section),
        streams_per_session: at_least_one(
            &mut section,
            "max_streams_per_session",
            streams::DEFAULT_BOUND,
        ),
        workers: read_workers(&mut section),
        admin: section.optional("admin"),
        admin_socket: section.optional("admin_socket"),
        admin_uids: section.list("admin_uids"),
    };
    section.count_at_start_but(&["public_url", "trusted_proxies", "max_streams_per_session"]);
    section.finish();
    Some(section_read)
}

/// Whoever is in these networks is believed about who its clients are.
fn read_proxies(section: &mut Table<'_>) -> Vec<IpNet> {
    let proxies = section.list::<IpNet>("trusted_proxies");
    if proxies.iter().any(is_everybody) {
        section.wrong("trusted_proxies", EVERYBODY);
    }
    proxies
}

const EVERYBODY: &str =
    "every client could say that it is another one: list the proxies' own networks";

fn is_everybody(network: &IpNet) -> bool {
    network.prefix_len() == 0
}

/// One entry of `https`, `http` or `balancer`: where, and whose PROXY headers are expected.
struct Place {
    address: Address,
    proxy_from: Option<Vec<IpNet>>,
    from: Option<Vec<IpNet>>,
}

fn read_listeners(section: &mut Table<'_>) -> Vec<Listener> {
    let mut listeners = Vec::new();
    for (key, kind) in [
        ("https", ListenerKind::Https),
        ("http", ListenerKind::Redirect),
    ] {
        for place in section.list::<Place>(key) {
            if place.from.is_some() {
                section.wrong(
                    key,
                    "`from` is for `balancer`; a listener here takes anybody",
                );
            }
            listeners.push(Listener {
                address: place.address,
                kind: kind.clone(),
                proxy_from: place.proxy_from,
            });
        }
    }
    for place in section.list::<Place>("balancer") {
        let Some(from) = place.from.filter(|from| !from.is_empty()) else {
            let problem = "a plain listener for a balancer must say which networks may use it";
            let help = "write { address = \"10.0.0.5:8081\", from = [\"10.0.0.0/24\"] }";
            section.wrong_with_help("balancer", problem, help);
            continue;
        };
        listeners.push(Listener {
            address: place.address,
            kind: ListenerKind::Balancer { from },
            proxy_from: place.proxy_from,
        });
    }
    let named = ["https", "http", "balancer"];
    if listeners.is_empty() && !named.iter().any(|key| section.has(key)) {
        let help = "add https = [\"0.0.0.0:8443\"]";
        section.wrong_with_help("https", "no listener is configured", help);
    }
    listeners
}

fn read_bounds(section: &mut Table<'_>) -> Bounds {
    let safe = Bounds::default();
    let bounds = Bounds {
        connections: at_least_one(section, "max_connections", safe.connections),
        connections_per_address: at_least_one(
            section,
            "max_connections_per_address",
            safe.connections_per_address,
        ),
        handshakes: at_least_one(section, "max_handshakes", safe.handshakes),
        handshake_time: positive(section, "handshake_timeout", safe.handshake_time),
        header_time: positive(section, "header_timeout", safe.header_time),
        idle_time: positive(section, "idle_timeout", safe.idle_time),
        write_time: positive(section, "write_timeout", safe.write_time),
        body_rate: MinimumRate {
            bytes_per_second: section.or("min_body_rate", safe.body_rate.bytes_per_second),
            grace: positive(section, "body_grace", safe.body_rate.grace),
        },
        header_bytes: size(section, "max_header_size", safe.header_bytes),
        header_fields: at_least_one(section, "max_header_fields", safe.header_fields),
        h2_header_bytes: size(section, "max_h2_header_size", safe.h2_header_bytes),
        streams: at_least_one(section, "max_streams", safe.streams),
        drain_time: section.or("drain", safe.drain_time),
        drain_grace: section.or("drain_grace", safe.drain_grace),
    };
    if bounds.header_fields > MOST_FIELDS {
        section.wrong(
            "max_header_fields",
            format!("at most {MOST_FIELDS} can be counted"),
        );
    }
    bounds
}

/// The `http` crate's header map holds no more than this many.
const MOST_FIELDS: usize = 24_576;

fn read_workers(section: &mut Table<'_>) -> NonZeroUsize {
    let processors = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let Some(count) = section.optional::<usize>("workers") else {
        return processors;
    };
    NonZeroUsize::new(count).unwrap_or_else(|| {
        section.wrong("workers", "there must be at least one worker");
        processors
    })
}

fn at_least_one<T: FromToml + PartialEq + Default>(
    section: &mut Table<'_>,
    key: &'static str,
    default: T,
) -> T {
    let number = section.or(key, default);
    if number == T::default() {
        section.wrong(key, "nothing would ever be served; write at least 1");
    }
    number
}

fn positive(section: &mut Table<'_>, key: &'static str, default: Duration) -> Duration {
    let duration = section.or(key, default);
    if duration.is_zero() {
        section.wrong(key, "the duration must be longer than nothing");
    }
    duration
}

/// A size from 1 KiB to 1 MiB: less refuses every browser, more is an invitation.
fn size<T: TryFrom<u64>>(section: &mut Table<'_>, key: &'static str, default: T) -> T {
    let Some(ByteSize(size)) = section.optional(key) else {
        return default;
    };
    let sound = (1 << 10..=1 << 20).contains(&size);
    match T::try_from(size) {
        Ok(size) if sound => size,
        Ok(_) | Err(_) => {
            section.wrong(key, "write a size from 1KiB to 1MiB");
            default
        }
    }
}

impl FromToml for Place {
    const EXPECTED: &'static str = "an address such as \"0.0.0.0:8443\", \"systemd:NAME\", or \
        { address = \"…\", proxy_from = [\"10.0.0.0/8\"] }";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        if value.as_str().is_some() {
            return Ok(Self {
                address: Address::from_toml(value)?,
                proxy_from: None,
                from: None,
            });
        }
        let expected = || Wrong::Expected(String::from(Self::EXPECTED));
        let mut table = value.as_table().ok_or_else(expected)?;
        let address = table.required::<Address>("address");
        let mut networks = |key| {
            let networks = table.list::<IpNet>(key);
            table.has(key).then_some(networks)
        };
        let (proxy_from, from) = (networks("proxy_from"), networks("from"));
        if proxy_from.as_ref().is_some_and(Vec::is_empty) {
            table.wrong("proxy_from", "no network could ever connect");
        }
        if proxy_from.iter().flatten().any(is_everybody) {
            table.wrong("proxy_from", EVERYBODY);
        }
        table.finish();
        Ok(Self {
            address: address.ok_or(Wrong::Reported)?,
            proxy_from,
            from,
        })
    }
}

impl FromToml for Address {
    const EXPECTED: &'static str =
        "an address and port such as \"0.0.0.0:8443\", or \"systemd:NAME\"";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        let name = value.as_str().and_then(|t| t.strip_prefix("systemd:"));
        match name {
            Some(name) if !name.is_empty() => Ok(Address::Inherited(name.to_owned())),
            Some(_) => Err(Wrong::Expected(String::from(Self::EXPECTED))),
            None => SocketAddr::from_toml(value)
                .map(Address::Tcp)
                .map_err(|_| Wrong::Expected(String::from(Self::EXPECTED))),
        }
    }
}

impl FromToml for PublicUrl {
    const EXPECTED: &'static str = "a URL such as \"https://api.example.com\", without a path";

    fn from_toml(value: &Value<'_>) -> Result<Self, Wrong> {
        let url = value.as_str().and_then(|text| PublicUrl::parse(text).ok());
        url.ok_or_else(|| Wrong::Expected(String::from(Self::EXPECTED)))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Diagnostics;

    fn section(text: &str) -> Result<ServerSection, Diagnostics> {
        crate::config::reader::read(Path::new("p.toml"), text, |mut root| {
            let section = read(&mut root);
            root.finish();
            section
        })
    }

    fn problems(text: &str) -> String {
        section(text).err().map_or(String::new(), |p| p.to_string())
    }

    #[test]
    fn listeners_are_read_with_who_may_use_them() {
        let text = r#"
            [server]
            https = ["0.0.0.0:8443", { address = "[::1]:1", proxy_from = ["10.0.0.0/8"] }]
            http = ["systemd:plain"]
            balancer = [{ address = "127.0.0.1:2", from = ["127.0.0.1"] }]
            max_header_size = "16KiB"
            drain = "5s"
        "#;
        let section = section(text).unwrap();
        let shown: Vec<_> = section.listeners.iter().map(|l| &l.address).collect();
        assert_eq!(
            shown,
            [
                &Address::Tcp("0.0.0.0:8443".parse().unwrap()),
                &Address::Tcp("[::1]:1".parse().unwrap()),
                &Address::Inherited(String::from("plain")),
                &Address::Tcp("127.0.0.1:2".parse().unwrap()),
            ]
        );
        assert!(section.listeners[0].proxy_from.is_none());
        assert_eq!(section.listeners[1].proxy_from.as_ref().unwrap().len(), 1);
        assert_eq!(section.bounds.header_bytes, 16 * 1024);
        assert_eq!(section.bounds.drain_time, Duration::from_secs(5));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (text, expected) in [
            ("", "there is no [server]"),
            ("[server]\n", "no listener is configured"),
            ("[server]\nhttps = [\"8443\"]", "systemd:NAME"),
            (
                "[server]\nbalancer = [\"127.0.0.1:1\"]",
                "which networks may use it",
            ),
            (
                "[server]\nhttps = [\"127.0.0.1:1\"]\ntrusted_proxies = [\"::/0\"]",
                "could say that it is another",
            ),
            (
                "[server]\nhttps = [{ address = \"127.0.0.1:1\", proxy_from = [\"0.0.0.0/0\"] }]",
                "could say that it is another",
            ),
            (
                "[server]\nhttps = [{ address = \"127.0.0.1:1\", from = [\"10.0.0.1\"] }]",
                "`from` is for `balancer`",
            ),
            (
                "[server]\nhttps = [{ address = \"127.0.0.1:1\", proxi_from = [] }]",
                "did you mean `proxy_from`?",
            ),
            (
                "[server]\nhttp = [\"127.0.0.1:1\"]\nmax_connections = 0",
                "at least 1",
            ),
            (
                "[server]\nhttp = [\"127.0.0.1:1\"]\nidle_timeout = \"0s\"",
                "longer than nothing",
            ),
            (
                "[server]\nhttp = [\"127.0.0.1:1\"]\nmax_header_size = \"9MiB\"",
                "1KiB to 1MiB",
            ),
            (
                "[server]\nhttp = [\"127.0.0.1:1\"]\npublic_url = \"http://a\"",
                "https://api.example.com",
            ),
            (
                "[server]\nhttp = [\"127.0.0.1:1\"]\nheader_timeuot = \"1s\"",
                "did you mean `header_timeout`?",
            ),
        ] {
            let shown = problems(text);
            assert!(shown.contains(expected), "{text}: {shown}");
        }
    }
}
