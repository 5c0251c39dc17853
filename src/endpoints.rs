//! The paths that the gateway answers itself: one module a profile.

mod form;
mod jwks;
mod native;
mod praisonai;
mod profile;
mod rag_modulo;
mod reply;

use bytes::Bytes;
use http::{HeaderMap, Method, Response};

use crate::authn::Caller;
use crate::authz::Auth;
use crate::body::Body;
use crate::inbound::{ClientIp, RequestId};
use crate::rejection::{Rejection, Shape};

pub use native::NativeEndpoint;
pub use praisonai::PraisonaiEndpoint;
pub use profile::{Cost, Profile};
pub use rag_modulo::RagModuloEndpoint;

/// Largest body, in bytes, that an endpoint of ours reads: the longest admitted password many times over.
pub const MAX_BODY: u64 = 16 * 1024;

/// One of our own endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/.well-known/jwks.json`, whatever the profiles.
    Jwks,
    Native(NativeEndpoint),
    Praisonai(PraisonaiEndpoint),
    RagModulo(RagModuloEndpoint),
}

impl Endpoint {
    /// For logs and metrics, and the route's name: `native.login`.
    pub const fn name(self) -> &'static str {
        match self {
            Endpoint::Jwks => "jwks",
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

    pub const fn cost(self) -> Cost {
        self.line().cost
    }

    pub const fn shape(self) -> Shape {
        match self {
            Endpoint::Jwks => Shape::Native,
            Endpoint::Native(_) => Profile::Native.shape(),
            Endpoint::Praisonai(_) => Profile::Praisonai.shape(),
            Endpoint::RagModulo(_) => Profile::RagModulo.shape(),
        }
    }

    const fn line(self) -> profile::Line {
        match self {
            Endpoint::Jwks => jwks::LINE,
            Endpoint::Native(e) => e.line(),
            Endpoint::Praisonai(e) => e.line(),
            Endpoint::RagModulo(e) => e.line(),
        }
    }
}

/// A request to one of our own endpoints, its body read whole.
#[derive(Debug)]
pub struct EndpointRequest {
    pub endpoint: Endpoint,
    pub method: Method,
    pub headers: HeaderMap,
    /// Anonymous where the endpoint asks for nobody.
    pub caller: Caller,
    pub client: ClientIp,
    pub id: RequestId,
    /// At most [`MAX_BODY`] bytes.
    pub body: Bytes,
}

/// What an endpoint may use: built from the process's services and one snapshot. Clones share.
#[derive(Clone, Debug)]
pub struct EndpointContext {}

/// Answers a request to one of our own endpoints. Runs on the control runtime.
pub async fn answer(
    _context: EndpointContext,
    _request: EndpointRequest,
) -> Result<Response<Body>, Rejection> {
    Err(Rejection::NotFound)
}
