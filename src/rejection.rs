//! Why a request is refused, and the only place that chooses the status and shape of a refusal.

mod agentflow;
mod audience;
mod fault;
mod native;
mod page;
mod plai;
mod praisonai;
mod rag_modulo;
mod refusal;
#[cfg(test)]
mod tests;

use std::time::Duration;

use http::{HeaderValue, Method, Response, StatusCode, header};
use serde_json::Value;

use crate::authn::{AuthnError, TokenError};
use crate::authz::Denied;
use crate::body::Body;
use crate::clock::Timestamp;
use crate::inbound::{Malformed, RequestId};
use crate::upstream::UpstreamError;

use refusal::{Reason, Refusal};

pub use audience::Audience;
pub use fault::{Fault, FieldFault, InvalidBody, Place};

/// How a refusal looks to the client that gets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
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
    #[error(transparent)]
    Malformed(#[from] Malformed),
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
    #[error(transparent)]
    InvalidBody(#[from] InvalidBody),
    #[error("the body is larger than the route admits")]
    BodyTooLarge,
    #[error("the body did not arrive in time")]
    BodyTooSlow,
    #[error("the body broke off")]
    BodyIncomplete,
    #[error("the headers are larger or more than the listener admits")]
    HeadersTooLarge,
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

impl Rejection {
    /// The status that the client gets, for the log and metrics.
    pub fn status(&self) -> StatusCode {
        self.refusal().reason.status()
    }

    /// The stable word that the client and the log get.
    pub fn code(&self) -> &'static str {
        self.refusal().reason.code()
    }

    /// The one answer to this refusal, in the shape that the route promises.
    pub fn into_response(self, asked: &Asked) -> Response<Body> {
        let refusal = self.refusal();
        let mut response = match asked.audience {
            Audience::Program => in_shape(&refusal, asked),
            Audience::Browser => as_page(&refusal, asked),
        };
        *response.status_mut() = refusal.reason.status();
        stamp(&refusal, asked.shape, &mut response);
        if self.ends_connection() {
            // HTTP/2 has no such field: hyper takes it out
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if asked.method == Method::HEAD {
            *response.body_mut() = Body::Empty;
        }
        response
    }

    /// Whether the bytes that follow on an HTTP/1 connection may not be what they seem, or are a
    /// body that nobody will read.
    fn ends_connection(&self) -> bool {
        match self {
            Rejection::Malformed(error) => error.framing_in_doubt(),
            Rejection::BodyTooLarge
            | Rejection::BodyTooSlow
            | Rejection::BodyIncomplete
            | Rejection::HeadersTooLarge
            | Rejection::Upstream(UpstreamError::BodyTooLarge | UpstreamError::BodyIncomplete) => {
                true
            }
            Rejection::NotFound
            | Rejection::MethodNotAllowed(_)
            | Rejection::Authn(_)
            | Rejection::Denied(_)
            | Rejection::Upstream(
                UpstreamError::Connect(..)
                | UpstreamError::Protocol(..)
                | UpstreamError::FirstByte(_)
                | UpstreamError::Full(_),
            )
            | Rejection::InvalidBody(_)
            | Rejection::Misdirected
            | Rejection::ForeignOrigin
            | Rejection::Internal(_) => false,
        }
    }

    /// The one place where a cause becomes what the client is told.
    fn refusal(&self) -> Refusal {
        match self {
            Rejection::Malformed(error) => Refusal {
                detail: Some(error.to_string()),
                ..Refusal::of(Reason::Malformed)
            },
            Rejection::NotFound => Refusal::of(Reason::NotFound),
            Rejection::MethodNotAllowed(allow) => Refusal {
                allow: allow.clone(),
                ..Refusal::of(Reason::MethodNotAllowed)
            },
            Rejection::Authn(error) => authn_refusal(error),
            Rejection::Denied(Denied::Anonymous(error)) => authn_refusal(error),
            Rejection::Denied(Denied::Role | Denied::Claim(_)) => Refusal::of(Reason::Forbidden),
            Rejection::Upstream(error) => upstream_refusal(error),
            Rejection::InvalidBody(invalid) => Refusal {
                invalid: Some(invalid.clone()),
                ..Refusal::of(Reason::InvalidBody)
            },
            Rejection::BodyTooLarge => Refusal::of(Reason::BodyTooLarge),
            Rejection::BodyTooSlow => Refusal::of(Reason::BodyTooSlow),
            Rejection::BodyIncomplete => Refusal::of(Reason::Malformed),
            Rejection::HeadersTooLarge => Refusal::of(Reason::HeadersTooLarge),
            Rejection::Misdirected => Refusal::of(Reason::Misdirected),
            Rejection::ForeignOrigin => Refusal::of(Reason::OriginForbidden),
            Rejection::Internal(_) => Refusal::of(Reason::Internal),
        }
    }
}

/// When a dependency that is away is worth asking for again.
const AWAY: Duration = Duration::from_secs(5);

fn authn_refusal(error: &AuthnError) -> Refusal {
    match error {
        AuthnError::Missing => Refusal::of(Reason::CredentialMissing),
        AuthnError::Scheme => Refusal::of(Reason::CredentialMalformed),
        AuthnError::Token(TokenError::Expired) => Refusal::of(Reason::TokenExpired),
        AuthnError::Token(_) => Refusal::of(Reason::TokenInvalid),
        AuthnError::Revoked => Refusal::of(Reason::SessionEnded),
        AuthnError::Ambiguous => Refusal::of(Reason::CredentialsAmbiguous),
        AuthnError::Unavailable => Refusal::of(Reason::Unavailable).after(AWAY),
    }
}

fn upstream_refusal(error: &UpstreamError) -> Refusal {
    match error {
        UpstreamError::Connect(..) | UpstreamError::Protocol(..) => Refusal::of(Reason::BadGateway),
        UpstreamError::FirstByte(_) => Refusal::of(Reason::GatewayTimeout),
        UpstreamError::Full(_) => Refusal::of(Reason::UpstreamFull).after(Duration::from_secs(1)),
        UpstreamError::BodyTooLarge => Refusal::of(Reason::BodyTooLarge),
        UpstreamError::BodyIncomplete => Refusal::of(Reason::Malformed),
    }
}

fn in_shape(refusal: &Refusal, asked: &Asked) -> Response<Body> {
    let (kind, body) = match asked.shape {
        Shape::Native => ("application/problem+json", native::body(refusal, asked)),
        Shape::Praisonai => ("application/json", praisonai::body(refusal)),
        Shape::RagModulo => ("application/json", rag_modulo::body(refusal)),
        Shape::Plai => ("application/json", plai::body(refusal)),
        Shape::Agentflow => ("application/json", agentflow::body(refusal, asked)),
    };
    answer(kind, Value::to_string(&body))
}

fn as_page(refusal: &Refusal, asked: &Asked) -> Response<Body> {
    let mut response = answer("text/html; charset=utf-8", page::page(refusal, asked));
    response.headers_mut().insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(page::POLICY),
    );
    response
}

fn answer(kind: &'static str, body: String) -> Response<Body> {
    let length = body.len();
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    // said here, so that it is also said to a HEAD (RFC 9110 §8.6)
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    response
}

/// What goes with every shape.
fn stamp(refusal: &Refusal, shape: Shape, response: &mut Response<Body>) {
    let headers = response.headers_mut();
    // a refusal is about this moment and this caller
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    if refusal.reason.status() == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, challenge(refusal.reason, shape));
    }
    if let Some(seconds) = refusal.retry_seconds() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if refusal.reason == Reason::MethodNotAllowed {
        headers.insert(header::ALLOW, allow(&refusal.allow));
    }
}

/// RFC 6750 §3: an error word only when a token was shown.
fn challenge(reason: Reason, shape: Shape) -> HeaderValue {
    let shown = reason.is_refused_token();
    HeaderValue::from_static(match shape {
        Shape::Agentflow => "Bearer realm=\"auth_required\"",
        Shape::Native | Shape::Praisonai | Shape::RagModulo | Shape::Plai if shown => {
            "Bearer error=\"invalid_token\""
        }
        Shape::Native | Shape::Praisonai | Shape::RagModulo | Shape::Plai => "Bearer",
    })
}

fn allow(methods: &[Method]) -> HeaderValue {
    let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    // method names are tokens (RFC 9110 §9.1): always a header value
    HeaderValue::from_str(&names.join(", ")).unwrap_or(HeaderValue::from_static(""))
}
