//! What all workers share: the services that live as long as the process, and the immutable
//! snapshot of the configuration that a reload replaces.

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::Method;
use tokio::runtime::Handle;

use crate::accounts::Accounts;
use crate::authn::Tokens;
use crate::clock::Clock;
use crate::endpoints::{self, EndpointContext, LoginHosts};
use crate::inbound::{Askers, Inbound, TrustedProxies};
use crate::limit::{Limits, RuleSet};
use crate::lockout::Lockout;
use crate::rejection::Shape;
use crate::route::RouteTable;
use crate::server::Tls;
use crate::streams::Streams;
use crate::upstream::Upstream;

/// Lives as long as the process.
pub struct Services {
    pub clock: Clock,
    pub accounts: Accounts,
    pub limits: Arc<Limits>,
    pub lockout: Lockout,
    pub streams: Streams,
    /// Which certificate serves which host; `None` without an https listener.
    pub tls: Option<Tls>,
    /// The runtime for what waits: databases, Redis, the hasher, our own endpoints.
    pub control: Handle,
}

/// One configuration, resolved. Never changed, only replaced.
pub struct Snapshot {
    pub routes: RouteTable,
    /// Replaced by itself when a managed key comes or goes.
    pub tokens: ArcSwap<Tokens>,
    pub limits: Arc<RuleSet>,
    pub trusted_proxies: TrustedProxies,
    /// Other proxies that may ask what we would decide; `None`: there is no such endpoint.
    pub askers: Option<Askers>,
    /// A later snapshot takes over the health and connections of those that it also has.
    pub upstreams: Vec<Arc<Upstream>>,
    /// Where browsers are sent that have to log in, when there is such a page.
    pub login_page: Option<&'static str>,
    /// Where people log in, and where they go on to from there.
    pub login_hosts: Arc<LoginHosts>,
    /// How refusals look where no route matched.
    pub default_shape: Shape,
}

impl Snapshot {
    /// Those who may ask, when `req` is one of them asking what we would decide.
    pub fn asked_by(&self, req: &Inbound) -> Option<&Askers> {
        let asks = req.path.as_str() == endpoints::VERIFY
            && matches!(req.method, Method::GET | Method::HEAD);
        let askers = self.askers.as_ref().filter(|_| asks)?;
        askers.contains(req.peer.address.ip()).then_some(askers)
    }
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
            tokens: snapshot.tokens.load_full(),
            login_hosts: snapshot.login_hosts.clone(),
        }
    }
}
