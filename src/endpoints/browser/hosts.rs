//! The host on which people log in, and the further hosts that they go on to from there.

use crate::authz::Auth;
use crate::inbound::Host;
use crate::route::{HostPattern, Route, RouteTable, Target};

/// Where people log in. Without a public URL there is no such place: each host has its own login.
#[derive(Clone, Debug, Default)]
pub struct LoginHosts(Option<Known>);

#[derive(Clone, Debug)]
struct Known {
    login: Host,
    /// That have routes which take the cookie.
    further: Vec<HostPattern>,
}

/// What a host has to do with logging in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// No route names it: whoever logs in here stays here.
    Alone,
    /// People log in here, and go on to further hosts.
    Login,
    /// People are sent from here to the login host, at this origin.
    Further { here: FurtherHost, login: String },
}

impl Part {
    /// The origin where people log in, when they do not log in here.
    pub fn login_elsewhere(&self) -> Option<&str> {
        match self {
            Self::Alone | Self::Login => None,
            Self::Further { login, .. } => Some(login),
        }
    }
}

/// A host that a session may be handed on to, because routes of the configuration name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FurtherHost {
    host: Host,
    origin: String,
}

impl LoginHosts {
    /// People log in on `login`, and go on to the hosts that routes with sessions name.
    pub fn new(login: Host, routes: &RouteTable) -> Self {
        let further = routes.hosts_with(takes_sessions);
        Self(Some(Known { login, further }))
    }

    pub(super) fn part_of(&self, host: &Host) -> Part {
        let Some(known) = &self.0 else {
            return Part::Alone;
        };
        if host.name() == known.login.name() {
            return Part::Login;
        }
        known
            .further(host)
            .map_or(Part::Alone, |here| Part::Further {
                here,
                login: format!("https://{}", known.login),
            })
    }

    /// The host of this name, if it is one that a session may be handed on to.
    pub(super) fn further(&self, name: &str) -> Option<FurtherHost> {
        let host = Host::parse(name.as_bytes()).ok()?;
        let known = self.0.as_ref()?;
        (host.port().is_none() && host.name() != known.login.name())
            .then(|| known.further(&host))?
    }
}

impl Known {
    /// Browsers reach it at the port at which they reach the login host.
    fn further(&self, host: &Host) -> Option<FurtherHost> {
        let name = host.name();
        let is_named = self.further.iter().any(|pattern| match pattern {
            HostPattern::Name(further) => further == name,
            // Whoever answers for one of the names below, a page hosted elsewhere or a forgotten
            // DNS record, would be handed the session of whoever follows a link there.
            HostPattern::Any | HostPattern::Below(_) => false,
        });
        let origin = match self.login.port() {
            Some(port) => format!("https://{name}:{port}"),
            None => format!("https://{name}"),
        };
        is_named.then(|| FurtherHost {
            host: host.clone(),
            origin,
        })
    }
}

impl FurtherHost {
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// `https://app.example.com`, without a slash at the end.
    pub fn origin(&self) -> &str {
        &self.origin
    }
}

/// Our own endpoints stand under every host: they make none a further one.
fn takes_sessions(route: &Route) -> bool {
    let is_configured = match route.target {
        Target::Endpoint(_) => false,
        Target::Upstream(_) | Target::Elsewhere(_) => true,
    };
    is_configured && route.credentials.cookie && route.policy.auth != Auth::None
}

#[cfg(test)]
impl LoginHosts {
    pub(super) fn sample(login: &str, further: &[&str]) -> Self {
        let further = further.iter().map(|host| HostPattern::parse(host).unwrap());
        Self(Some(Known {
            login: Host::parse(login.as_bytes()).unwrap(),
            further: further.collect(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(hosts: &LoginHosts, host: &str) -> String {
        match hosts.part_of(&Host::parse(host.as_bytes()).unwrap()) {
            Part::Alone => String::from("alone"),
            Part::Login => String::from("login"),
            Part::Further { here, login } => format!("{} from {login}", here.origin()),
        }
    }

    #[test]
    fn only_hosts_that_routes_name_are_further_ones() {
        let hosts = LoginHosts::sample(
            "login.example.com:8443",
            &["app.example.com", "*.wiki.example.com", "login.example.com"],
        );
        let login = "from https://login.example.com:8443";
        for (host, expected) in [
            ("login.example.com:8443", "login".to_owned()),
            ("LOGIN.example.com", "login".to_owned()),
            (
                "app.example.com:8443",
                format!("https://app.example.com:8443 {login}"),
            ),
            (
                "app.example.com",
                format!("https://app.example.com:8443 {login}"),
            ),
            ("a.wiki.example.com", "alone".to_owned()),
            ("wiki.example.com", "alone".to_owned()),
            ("evil.example", "alone".to_owned()),
            ("127.0.0.1:8443", "alone".to_owned()),
        ] {
            assert_eq!(part(&hosts, host), expected, "{host}");
        }
        for name in [
            "",
            "evil.example",
            "login.example.com",
            "app.example.com:8443",
            "app.example.com@evil.example",
            "app.example.com/",
            "app.example.com\\@evil.example",
            "evilapp.example.com",
            "wiki.example.com",
            "a.wiki.example.com",
            "evil.example/.wiki.example.com",
        ] {
            assert_eq!(hosts.further(name), None, "{name}");
        }
        assert!(hosts.further("App.example.com").is_some());
    }

    #[test]
    fn without_a_public_url_each_host_has_its_own_login() {
        let hosts = LoginHosts::default();
        assert_eq!(part(&hosts, "app.example.com"), "alone");
        assert_eq!(hosts.further("app.example.com"), None);
    }
}
