//! Which route a request takes: by host, path and method; the most specific wins.

mod pattern;
mod table;

use std::sync::Arc;
use std::time::Duration;

use crate::authz::Policy;
use crate::endpoints::Endpoint;
use crate::limit::RuleId;
use crate::outbound::Introduction;
use crate::rejection::Shape;
use crate::upstream::Upstream;

pub use pattern::{HostPattern, Methods, PathPattern, PatternError};
pub use table::{Ambiguous, Found, Place, RouteTable};

/// One route of the configuration, resolved: every name in it is a thing.
pub struct Route {
    /// For logs and metrics: the configured name, or host and pattern.
    pub name: Arc<str>,
    pub target: Target,
    pub policy: Policy,
    /// Rules of `[[limit]]`, in the order in which they are named.
    pub limits: Vec<RuleId>,
    /// How this route's refusals look.
    pub errors: Shape,
    /// The kinds of credentials that this route takes.
    pub credentials: CredentialKinds,
    /// Where, beside `Authorization`, this route takes a token from.
    pub tokens: TokenPlaces,
    /// Largest request body in bytes.
    pub max_body: u64,
    /// Whether a path with an encoded slash is taken.
    pub encoded_slash: EncodedSlash,
}

/// What answers a request.
pub enum Target {
    Endpoint(Endpoint),
    Upstream(Box<Forwarding>),
    /// Another proxy, which asks us first whether the request may pass.
    Elsewhere(Box<Introduction>),
}

/// How a request goes to its upstream.
pub struct Forwarding {
    pub upstream: Arc<Upstream>,
    pub introduction: Introduction,
    pub rewrite: Rewrite,
    pub host: HostHeader,
    /// `None`: the upstream's own deadline.
    pub first_byte: Option<Duration>,
    /// Bytes a second at which a request's body must come; `None`: as on every route.
    pub min_body_rate: Option<u32>,
}

/// What happens to the path on its way to the upstream, and back in `Location` and cookies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rewrite {
    Keep,
    /// `from` is taken off the front and `to` put there: `/app/x` with (`/app`, ``) is `/x`.
    Prefix {
        from: String,
        to: String,
    },
}

/// The Host that the upstream sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostHeader {
    Preserve,
    /// The upstream server's own name and port.
    Upstream,
    Set(http::HeaderValue),
}

/// Which kinds of credentials a route takes: API keys only where it says so, so that no endpoint of
/// ours and no route from before can be reached with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CredentialKinds {
    /// An access token.
    pub bearer: bool,
    /// An API key: as Bearer, in Basic, or in the configured header.
    pub api_key: bool,
    /// The cookie of a browser's session. Where it is not taken it is not looked at: a browser
    /// sends it everywhere.
    pub cookie: bool,
}

impl CredentialKinds {
    /// Tokens and cookies.
    pub const USUAL: Self = Self {
        bearer: true,
        api_key: false,
        cookie: true,
    };
    pub const BEARER: Self = Self {
        bearer: true,
        api_key: false,
        cookie: false,
    };
}

impl Default for CredentialKinds {
    fn default() -> Self {
        Self::USUAL
    }
}

/// The places that AgentFlow's clients use for a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenPlaces {
    /// `Sec-WebSocket-Protocol: agentflow-bearer, <jwt>`
    pub subprotocol: bool,
    /// `?token=<jwt>` of a WebSocket
    pub query: bool,
}

/// What a route does with `%2F` in a path: some backends read it as a slash, some as data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EncodedSlash {
    /// 400
    #[default]
    Refuse,
    /// Matched and forwarded as data.
    Keep,
}

#[cfg(test)]
impl Route {
    /// A public endpoint of this name, for look-ups in tests.
    pub(crate) fn named(name: &str) -> Self {
        Self {
            name: name.into(),
            target: Target::Endpoint(Endpoint::Jwks),
            policy: Policy::open(crate::authz::Auth::None),
            limits: Vec::new(),
            errors: Shape::Native,
            credentials: CredentialKinds::default(),
            tokens: TokenPlaces::default(),
            max_body: 0,
            encoded_slash: EncodedSlash::Refuse,
        }
    }
}
