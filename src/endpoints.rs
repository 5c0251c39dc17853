//! The paths that the gateway answers itself: one module a profile.

mod browser;
mod device;
mod error;
mod fields;
mod form;
mod grant;
mod jwks;
mod login;
mod native;
mod praisonai;
mod profile;
mod rag_modulo;
mod reply;
mod request;
mod second_factor;
#[cfg(test)]
mod tests;
mod verify;

use std::sync::Arc;

use http::{Method, Response};

use crate::accounts::Accounts;
use crate::authn::Tokens;
use crate::authz::Auth;
use crate::body::Body;
use crate::clock::Clock;
use crate::limit::{Limits, RuleSet};
use crate::lockout::Lockout;
use crate::rejection::{Rejection, Shape};
use crate::route::CredentialKinds;

pub use browser::{BrowserEndpoint, LOGIN as LOGIN_PAGE, LoginHosts};
pub use error::EndpointError;
pub use native::NativeEndpoint;
pub use praisonai::PraisonaiEndpoint;
pub use profile::{Cost, Profile};
pub use rag_modulo::RagModuloEndpoint;
pub use request::EndpointRequest;
pub use verify::PATH as VERIFY;

/// Largest body, in bytes, that an endpoint of ours reads: the longest admitted password many times over.
pub const MAX_BODY: u64 = 16 * 1024;

/// One of our own endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/.well-known/jwks.json`, whatever the profiles.
    Jwks,
    /// Where other proxies ask what we would decide, when some may.
    Verify,
    Browser(BrowserEndpoint),
    Native(NativeEndpoint),
    Praisonai(PraisonaiEndpoint),
    RagModulo(RagModuloEndpoint),
}

impl Endpoint {
    /// For logs and metrics, and the route's name: `native.login`.
    pub const fn name(self) -> &'static str {
        match self {
            Endpoint::Jwks => "jwks",
            Endpoint::Verify => "verify",
            Endpoint::Browser(e) => e.name(),
            Endpoint::Native(e) => e.name(),
            Endpoint::Praisonai(e) => e.name(),
            Endpoint::RagModulo(e) => e.name(),
        }
    }

    /// Every path that leads here; the first is the documented one.
    pub const fn paths(self) -> &'static [&'static str] {
        self.line().paths
    }

    pub const fn methods(self) -> &'static [Method] {
        self.line().methods
    }

    pub const fn auth(self) -> Auth {
        self.line().auth
    }

    /// What callers may show: the profiles of clients that have no browser take no cookie.
    pub const fn credentials(self) -> CredentialKinds {
        match self {
            Endpoint::Jwks | Endpoint::Native(_) | Endpoint::Browser(_) => CredentialKinds::USUAL,
            Endpoint::Verify | Endpoint::Praisonai(_) | Endpoint::RagModulo(_) => {
                CredentialKinds::BEARER
            }
        }
    }

    pub const fn cost(self) -> Cost {
        self.line().cost
    }

    pub const fn shape(self) -> Shape {
        match self {
            Endpoint::Jwks | Endpoint::Verify => Shape::Native,
            Endpoint::Browser(_) => Profile::Browser.shape(),
            Endpoint::Native(_) => Profile::Native.shape(),
            Endpoint::Praisonai(_) => Profile::Praisonai.shape(),
            Endpoint::RagModulo(_) => Profile::RagModulo.shape(),
        }
    }

    const fn line(self) -> profile::Line {
        match self {
            Endpoint::Jwks => jwks::LINE,
            Endpoint::Verify => verify::LINE,
            Endpoint::Browser(e) => e.line(),
            Endpoint::Native(e) => e.line(),
            Endpoint::Praisonai(e) => e.line(),
            Endpoint::RagModulo(e) => e.line(),
        }
    }
}

/// What an endpoint may use: the process's services, and the rules of one snapshot. Clones share.
#[derive(Clone)]
pub struct EndpointContext {
    pub accounts: Accounts,
    pub lockout: Lockout,
    pub limits: Arc<Limits>,
    pub clock: Clock,
    /// The snapshot's.
    pub rules: Arc<RuleSet>,
    /// The snapshot's.
    pub tokens: Arc<Tokens>,
    /// The snapshot's.
    pub login_hosts: Arc<LoginHosts>,
}

/// Answers a request to one of our own endpoints. To be run on the control runtime: it waits for
/// the database and the hasher.
pub async fn answer(
    context: EndpointContext,
    request: EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    let answered = match request.endpoint {
        Endpoint::Jwks => Ok(jwks::answer(&context)),
        Endpoint::Verify => Err(verify::answer().into()),
        Endpoint::Browser(endpoint) => browser::answer(endpoint, &context, &request).await,
        Endpoint::Native(endpoint) => native::answer(endpoint, &context, &request).await,
        Endpoint::Praisonai(endpoint) => praisonai::answer(endpoint, &context, &request).await,
        Endpoint::RagModulo(endpoint) => rag_modulo::answer(endpoint, &context, &request).await,
    };
    answered.map(|response| reply::to(&request.method, response))
}
