//! What all workers share: the services that live as long as the process, and the immutable
//! snapshot of the configuration that a reload replaces.

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::Method;
use tokio::runtime::Handle;

use crate::accounts::Accounts;
use crate::authn::{CacheSize, Caller, Credential, Tenure, Tokens};
use crate::authz::Auth;
use crate::clock::{Clock, Timestamp};
use crate::endpoints::{self, EndpointContext, LoginHosts};
use crate::inbound::{Askers, Inbound, TrustedProxies};
use crate::limit::{Limits, RuleSet};
use crate::lockout::Lockout;
use crate::rejection::Shape;
use crate::route::{Found, RouteTable, Target};
use crate::server::Tls;
use crate::streams::{Admitted, Streams};
use crate::upstream::Upstream;

/// Lives as long as the process.
pub struct Services {
    pub clock: Clock,
    pub accounts: Accounts,
    pub limits: Arc<Limits>,
    pub lockout: Lockout,
    pub streams: Streams,
    /// How much each worker remembers of the callers that it has seen.
    pub remembered: CacheSize,
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

    /// Judges what another snapshot may have let in as if it were asked for now: by the route that
    /// is found for it, and by the rules for tokens. Gives its tenure under these, or `None`: it
    /// would be refused. Limits are on requests, and are not charged again.
    fn judge(&self, admitted: &Admitted, tenure: Tenure, now: Timestamp) -> Option<Tenure> {
        let Admitted { identity, asked } = admitted;
        let found = self
            .routes
            .find(&asked.host, asked.path.segments(), &asked.method);
        let Found::Route(route) = found else {
            return None;
        };
        match route.target {
            Target::Endpoint(_) | Target::Upstream(_) => {}
            // Another proxy serves it from now on.
            Target::Elsewhere(_) => return None,
        }
        let taken = route.policy.auth == Auth::None
            || match &identity.credential {
                Credential::Bearer | Credential::Subprotocol(_) | Credential::Query => {
                    route.credentials.bearer
                }
                // It may be bound to the route by its name.
                Credential::ApiKey(_) => route.credentials.api_key && route.name == asked.route,
                Credential::Cookie => route.credentials.cookie,
            };
        let caller = Caller::Identified(Arc::clone(identity));
        let permitted = taken && route.policy.permit(caller, asked.client).is_ok();
        let tenure = || tenure.under(&identity.claims, &self.tokens.load(), now);
        permitted.then(tenure).flatten()
    }
}

/// Judges what was let in by the snapshot of the moment.
pub fn judge(
    current: Arc<ArcSwap<Snapshot>>,
    clock: Clock,
) -> impl Fn(&Admitted, Tenure) -> Option<Tenure> {
    move |admitted, tenure| current.load().judge(admitted, tenure, clock.now())
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
