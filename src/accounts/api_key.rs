//! API keys: long-lived credentials for programs, each somebody's, bound to what it is for.

mod lookups;
mod operations;
mod text;
mod uses;

use std::fmt;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::name::DisplayName;
use super::service::ServiceAccount;
use super::session::{NotASessionId, SessionId};
use super::user::{Account, AccountId, Role};
use crate::clock::Timestamp;
use crate::inbound::ClientIp;

pub use lookups::{KeyLookup, KeyLookups};
pub use operations::{ApiKeyError, IssuedKey, NewApiKey};
pub use text::{KeyForm, KeyHash, KeyPrefix, KeyText, NotAPrefix, ShownKey};
pub(super) use uses::KeyUses;

/// Most scopes, routes, networks or limits of one key.
const MOST: usize = 32;

/// 128 random bits that name a key in lists and logs, not a secret. Drawn from the same space as
/// the ids of sessions, so that one kind of revocation ends either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiKeyId(SessionId);

impl ApiKeyId {
    pub fn parse(text: &str) -> Result<Self, NotASessionId> {
        SessionId::parse(text).map(Self)
    }

    pub(super) const fn from_number(number: u128) -> Self {
        Self(SessionId::from_bytes(number.to_be_bytes()))
    }

    /// What revokes it.
    pub fn as_session(self) -> SessionId {
        self.0
    }
}

impl fmt::Display for ApiKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whose key it is: the `sub` of who calls with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyOwner {
    User(AccountId),
    Service(AccountId),
}

impl KeyOwner {
    pub fn id(self) -> AccountId {
        match self {
            KeyOwner::User(id) | KeyOwner::Service(id) => id,
        }
    }
}

/// An API key as its owner and operators see it: never with its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    pub id: ApiKeyId,
    pub owner: KeyOwner,
    /// What it is for, in its owner's words.
    pub name: DisplayName,
    pub binding: Binding,
    pub created_at: Timestamp,
    /// How long it was made for, also when a rotation has given it an end. `None`: until it is revoked.
    pub lifetime: Option<Duration>,
    /// `None`: until it is revoked.
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    /// To the hour, give or take.
    pub last_used_at: Option<Timestamp>,
}

/// What a key is good for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Binding {
    /// The claim `scopes`.
    pub scopes: Vec<Scope>,
    /// Names of the routes that take it; empty: every route that takes API keys.
    pub routes: Vec<BoundName>,
    /// Networks from which it may be used; empty: every one.
    pub networks: Vec<IpNet>,
    /// Names of limits under which the key has a budget of its own.
    pub limits: Vec<BoundName>,
}

/// A word that a key carries for routes and backends to look at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope(String);

/// The name of a route or a limit of the configuration, which may not know it (any more).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BoundName(String);

/// Why something cannot bind a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindingError {
    #[error("a scope is 1 to 64 letters, digits and `-_.:/`")]
    Scope,
    #[error("expected the name of a route or limit: 1 to 200 printable characters")]
    Name,
    #[error("expected a network such as 10.0.0.0/8, or one address")]
    Network,
    #[error("a key is bound to at most {MOST} of a kind")]
    TooMany,
}

impl BindingError {
    /// The field of a request that is wrong.
    pub const fn field(self) -> &'static str {
        match self {
            BindingError::Scope => "scopes",
            BindingError::Name => "routes",
            BindingError::Network => "networks",
            BindingError::TooMany => "name",
        }
    }
}

/// A binding as it is written in the database and in commands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WrittenBinding {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<String>,
}

/// A key that is good, with its owner as they are now.
#[derive(Clone, Debug)]
pub struct OpenedKey {
    pub key: ApiKey,
    pub holder: Holder,
}

/// Who calls with a key.
#[derive(Clone, Debug)]
pub enum Holder {
    User(Box<Account>),
    Service(ServiceAccount),
}

impl Holder {
    /// The roles that the owner has now: no key has more.
    pub fn roles(&self) -> &[Role] {
        match self {
            Holder::User(account) => &account.roles,
            Holder::Service(service) => &service.roles,
        }
    }
}

/// Why a key that this gateway made is no good. The client gets one answer for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeadKey {
    #[error("no such key is known")]
    Unknown,
    #[error("it was revoked")]
    Revoked,
    #[error("it has expired")]
    Expired,
    #[error("its owner may not call")]
    Owner,
}

impl ApiKey {
    /// Whether it is good at `now`, as far as it says itself.
    pub fn state(&self, now: Timestamp) -> Result<(), DeadKey> {
        if self.revoked_at.is_some() {
            return Err(DeadKey::Revoked);
        }
        match self.expires_at {
            Some(expires) if expires <= now => Err(DeadKey::Expired),
            Some(_) | None => Ok(()),
        }
    }
}

impl Binding {
    pub fn parse(written: &WrittenBinding) -> Result<Self, BindingError> {
        let WrittenBinding {
            scopes,
            routes,
            networks,
            limits,
        } = written;
        if [scopes, routes, networks, limits]
            .iter()
            .any(|list| list.len() > MOST)
        {
            return Err(BindingError::TooMany);
        }
        Ok(Self {
            scopes: parsed(scopes, Scope::parse)?,
            routes: parsed(routes, BoundName::parse)?,
            networks: parsed(networks, network)?,
            limits: parsed(limits, BoundName::parse)?,
        })
    }

    pub fn written(&self) -> WrittenBinding {
        WrittenBinding {
            scopes: self.scopes.iter().map(|s| s.0.clone()).collect(),
            routes: self.routes.iter().map(|r| r.0.clone()).collect(),
            networks: self.networks.iter().map(IpNet::to_string).collect(),
            limits: self.limits.iter().map(|l| l.0.clone()).collect(),
        }
    }

    /// Whether it may be used from this address.
    #[must_use]
    pub fn admits_client(&self, client: ClientIp) -> bool {
        let address = client.address();
        self.networks.is_empty() || self.networks.iter().any(|net| net.contains(&address))
    }

    /// Whether the route of this name takes it.
    #[must_use]
    pub fn admits_route(&self, route: &str) -> bool {
        self.routes.is_empty() || self.routes.iter().any(|name| name.0 == route)
    }
}

impl Scope {
    pub fn parse(text: &str) -> Result<Self, BindingError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
        if text.is_empty() || text.len() > 64 || !text.chars().all(fits) {
            return Err(BindingError::Scope);
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl BoundName {
    pub fn parse(text: &str) -> Result<Self, BindingError> {
        if text.is_empty() || text.len() > 200 || text.chars().any(char::is_control) {
            return Err(BindingError::Name);
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn parsed<T>(
    texts: &[String],
    parse: impl Fn(&str) -> Result<T, BindingError>,
) -> Result<Vec<T>, BindingError> {
    texts.iter().map(|text| parse(text)).collect()
}

/// An IPv4-mapped network is the IPv4 network: clients' addresses are compared in that form.
fn network(text: &str) -> Result<IpNet, BindingError> {
    let address = || text.parse::<std::net::IpAddr>().map(IpNet::from);
    let net = text.parse::<IpNet>().or_else(|_| address());
    let net = net.map_err(|_| BindingError::Network)?.trunc();
    let mapped = |net: &IpNet| match net {
        IpNet::V6(v6) => {
            let v4 = v6.addr().to_ipv4_mapped()?;
            let length = v6.prefix_len().checked_sub(96)?;
            ipnet::Ipv4Net::new(v4, length).ok()
        }
        IpNet::V4(_) => None,
    };
    Ok(mapped(&net).map_or(net, IpNet::V4))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> ClientIp {
        ClientIp::new(text.parse().unwrap())
    }

    fn written(networks: &[&str]) -> WrittenBinding {
        WrittenBinding {
            networks: networks.iter().map(|n| (*n).to_owned()).collect(),
            ..WrittenBinding::default()
        }
    }

    #[test]
    fn a_key_is_used_from_its_networks_only() {
        let bound =
            Binding::parse(&written(&["10.1.2.3/8", "2001:db8::/32", "192.0.2.7"])).unwrap();
        for (address, admitted) in [
            ("10.9.9.9", true),
            ("::ffff:10.9.9.9", true),
            ("11.0.0.1", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("2001:db8:1::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(bound.admits_client(client(address)), admitted, "{address}");
        }
        let mapped = Binding::parse(&written(&["::ffff:10.0.0.0/104"])).unwrap();
        assert!(mapped.admits_client(client("10.1.1.1")));
        assert!(!mapped.admits_client(client("11.1.1.1")));
        assert!(Binding::default().admits_client(client("192.0.2.1")));
    }

    #[test]
    fn what_cannot_bind_a_key_is_refused() {
        let refused = |written: WrittenBinding| Binding::parse(&written).unwrap_err();
        assert_eq!(refused(written(&["10.0.0.0/33"])), BindingError::Network);
        assert_eq!(refused(written(&["example.com"])), BindingError::Network);
        assert_eq!(refused(written(&["10.0.0.1"; 33])), BindingError::TooMany);
        for scope in ["", "a b", "a,b", "é", "a\n"] {
            assert_eq!(Scope::parse(scope), Err(BindingError::Scope), "{scope:?}");
        }
        assert_eq!(BoundName::parse("a\nb"), Err(BindingError::Name));
    }

    #[test]
    fn a_binding_reads_back_as_it_was_written() {
        let written = WrittenBinding {
            scopes: vec!["agents:read".into()],
            routes: vec!["api.example.com/v1/**".into()],
            networks: vec!["10.0.0.0/8".into()],
            limits: vec!["slow".into()],
        };
        assert_eq!(Binding::parse(&written).unwrap().written(), written);
    }
}
