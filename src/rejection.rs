//! Why a request is refused, and the only place that chooses the status and shape of a refusal.

use http::{HeaderMap, Method, Response, StatusCode};

use crate::authn::AuthnError;
use crate::authz::Denied;
use crate::body::Body;
use crate::clock::Timestamp;
use crate::inbound::RequestId;
use crate::upstream::UpstreamError;

/// How a refusal looks to the client that gets it (`contracts.md` shapes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// RFC 9457 `application/problem+json`
    #[default]
    Native,
    Praisonai,
    RagModulo,
    Plai,
    Agentflow,
}

/// Every reason for which a request is not answered as it wished. Causes are for the log; the
/// client gets a status, a stable word and what the protocol asks for.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    #[error("no route matches")]
    NotFound,
    /// The path is there, the method is not; these are.
    #[error("the route does not take this method")]
    MethodNotAllowed(Vec<Method>),
    #[error(transparent)]
    Authn(#[from] AuthnError),
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error("the body is larger than the route admits")]
    BodyTooLarge,
    #[error("the body did not arrive in time, or broke off")]
    BodyIncomplete,
    /// The certificate that the Host is served under differs from the one of the TLS name.
    #[error("the host is not served on this connection")]
    Misdirected,
    /// A browser on a foreign origin.
    #[error("the origin is not admitted")]
    ForeignOrigin,
    /// Ours to mend: a task that panicked, a response that cannot be built.
    #[error("{0}")]
    Internal(&'static str),
}

/// What a refusal needs to know of the request that it answers.
#[derive(Clone, Debug)]
pub struct Asked {
    pub shape: Shape,
    pub audience: Audience,
    pub method: Method,
    pub id: RequestId,
    pub at: Timestamp,
}

/// Who reads the refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Gets the body of the route's shape.
    Program,
    /// A person whose browser navigated here: gets a page.
    Browser,
}

impl Audience {
    /// A browser says that it navigates (`Sec-Fetch-Mode`), an old one asks for HTML first.
    pub fn of(_method: &Method, _headers: &HeaderMap) -> Self {
        Audience::Program
    }
}

impl Rejection {
    /// The status that the client gets, for the log and metrics.
    pub fn status(&self) -> StatusCode {
        StatusCode::INTERNAL_SERVER_ERROR
    }

    /// The stable word that the client and the log get.
    pub fn code(&self) -> &'static str {
        "internal"
    }

    /// The one answer to this refusal, in the shape that the route promises.
    pub fn into_response(self, _asked: &Asked) -> Response<Body> {
        let mut response = Response::new(Body::Empty);
        *response.status_mut() = self.status();
        response
    }
}
