//! What all workers share: the services that live as long as the process, and the immutable
//! snapshot of the configuration that a reload replaces.

use std::sync::Arc;

use tokio::runtime::Handle;

use crate::accounts::Accounts;
use crate::authn::Tokens;
use crate::clock::Clock;
use crate::endpoints::EndpointContext;
use crate::inbound::TrustedProxies;
use crate::limit::{Limits, RuleSet};
use crate::lockout::Lockout;
use crate::rejection::Shape;
use crate::route::RouteTable;
use crate::server::Tls;
use crate::upstream::Upstream;

/// Lives as long as the process.
pub struct Services {
    pub clock: Clock,
    pub accounts: Accounts,
    pub limits: Arc<Limits>,
    pub lockout: Lockout,
    /// Which certificate serves which host; `None` without an https listener.
    pub tls: Option<Tls>,
    /// The runtime for what waits: databases, Redis, the hasher, our own endpoints.
    pub control: Handle,
}

/// One configuration, resolved. Never changed, only replaced.
pub struct Snapshot {
    pub routes: RouteTable,
    pub tokens: Arc<Tokens>,
    pub limits: Arc<RuleSet>,
    pub trusted_proxies: TrustedProxies,
    /// A later snapshot takes over the health and connections of those that it also has.
    pub upstreams: Vec<Arc<Upstream>>,
    /// How refusals look where no route matched.
    pub default_shape: Shape,
}

impl Services {
    /// What an endpoint of ours may use.
    pub fn endpoint_context(&self, snapshot: &Snapshot) -> EndpointContext {
        EndpointContext {
            accounts: self.accounts.clone(),
            lockout: self.lockout.clone(),
            limits: self.limits.clone(),
            clock: self.clock.clone(),
            rules: snapshot.limits.clone(),
            tokens: snapshot.tokens.clone(),
        }
    }
}
