//! Why a request is refused, and the only place that chooses the status and shape of a refusal.

mod agentflow;
mod audience;
mod cause;
mod fault;
mod native;
mod page;
mod plai;
mod praisonai;
mod rag_modulo;
mod refusal;
#[cfg(test)]
mod tests;

use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Response, StatusCode, header};
use serde::Serialize;

use crate::accounts::{
    ApiKeyError, ChangePasswordError, CheckError, OpenSessionError, RefreshError, RegisterError,
    SecondFactorError,
};
use crate::authn::AuthnError;
use crate::authz::Denied;
use crate::body::Body;
use crate::clock::Timestamp;
use crate::endpoints::EndpointError;
use crate::inbound::{Malformed, RequestId, query_value};
use crate::limit::Limited;
use crate::lockout::Locked;
use crate::outbound::OutboundError;
use crate::store::StoreError;
use crate::streams::{Cause, TooManyStreams};
use crate::upstream::UpstreamError;

use refusal::{Connection, Reason, Refusal};

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
    Outbound(#[from] OutboundError),
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error(transparent)]
    Limited(#[from] Limited),
    #[error(transparent)]
    Streams(#[from] TooManyStreams),
    #[error("the caller's right to be here ended while the request was read: {}", .0.name())]
    Over(Cause),
    #[error(transparent)]
    Locked(#[from] Locked),
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error(transparent)]
    Register(#[from] RegisterError),
    #[error(transparent)]
    Check(#[from] CheckError),
    #[error(transparent)]
    ChangePassword(#[from] ChangePasswordError),
    #[error(transparent)]
    OpenSession(#[from] OpenSessionError),
    #[error(transparent)]
    Refresh(#[from] RefreshError),
    #[error(transparent)]
    ApiKey(#[from] ApiKeyError),
    #[error(transparent)]
    SecondFactor(#[from] SecondFactorError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    InvalidBody(#[from] InvalidBody),
    #[error("the body is larger than the route admits")]
    BodyTooLarge,
    #[error("the body did not arrive in time")]
    BodyTooSlow,
    #[error("the body broke off")]
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
    /// Where a person who has to log in is sent, and comes back from.
    pub login: Option<LoginRedirect>,
    pub shape: Shape,
    pub audience: Audience,
    pub method: Method,
    pub id: RequestId,
    pub at: Timestamp,
}

/// The login page, and what a browser asked for when it was sent there.
#[derive(Clone, Debug)]
pub struct LoginRedirect {
    /// The path of the page.
    pub page: &'static str,
    /// Path and query, in their normal form.
    pub return_to: PathAndQuery,
}

/// What a person is told of a refusal, by a page of ours that goes on.
#[derive(Clone, Debug)]
pub struct Told {
    pub status: StatusCode,
    pub message: String,
    /// seconds
    pub retry_after: Option<u64>,
}

impl LoginRedirect {
    /// The path of the login page with what to come back to: nothing in it is markup.
    fn location(&self) -> String {
        let return_to = query_value(self.return_to.as_str());
        format!("{}?return_to={return_to}", self.page)
    }
}

impl Rejection {
    /// The same in words, for a page that a person goes on from.
    pub fn told(&self) -> Told {
        let refusal = self.refusal();
        Told {
            status: refusal.reason.status(),
            message: refusal.message(),
            retry_after: refusal.retry_seconds(),
        }
    }

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
        // A form that was sent would be lost on the way: its page has a link.
        let to_login = asked
            .login
            .as_ref()
            .filter(|_| asked.method.is_safe() && refusal.reason.asks_for_login());
        let to_login = to_login.and_then(|login| HeaderValue::try_from(login.location()).ok());
        let mut response = match (asked.audience, to_login) {
            (Audience::Browser, Some(location)) => return sent_to_login(location),
            (Audience::Browser, None) => as_page(&refusal, asked),
            (Audience::BehindProxy, Some(location)) => {
                let mut response = in_shape(&refusal, asked);
                response.headers_mut().insert(header::LOCATION, location);
                response
            }
            (Audience::Program, _) | (Audience::BehindProxy, None) => in_shape(&refusal, asked),
        };
        *response.status_mut() = refusal.reason.status();
        stamp(&refusal, asked, &mut response);
        if refusal.connection == Connection::Close {
            // HTTP/2 has no such field: hyper takes it out
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Rejection::Limited(limited) = &self {
            limited.write_headers(response.headers_mut());
        }
        if asked.method == Method::HEAD {
            *response.body_mut() = Body::Empty;
        }
        response
    }
}

/// 303: the page is fetched with GET whatever was asked for (RFC 9110 §15.4.4).
fn sent_to_login(location: HeaderValue) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, location);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn in_shape(refusal: &Refusal, asked: &Asked) -> Response<Body> {
    let (kind, body) = match asked.shape {
        Shape::Native => (
            "application/problem+json",
            written(&native::Problem::of(refusal, asked)),
        ),
        Shape::Praisonai => ("application/json", written(&praisonai::body(refusal))),
        Shape::RagModulo => ("application/json", written(&rag_modulo::body(refusal))),
        Shape::Plai => ("application/json", written(&plai::Error::of(refusal))),
        Shape::Agentflow => (
            "application/json",
            written(&agentflow::body(refusal, asked)),
        ),
    };
    answer(kind, body)
}

/// Texts and numbers under names: there is nothing in a refusal that JSON could not say.
fn written(body: &impl Serialize) -> String {
    serde_json::to_string(body).unwrap_or_default()
}

fn as_page(refusal: &Refusal, asked: &Asked) -> Response<Body> {
    let mut response = answer("text/html; charset=utf-8", page::page(refusal, asked));
    response.headers_mut().insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(page::POLICY),
    );
    // the URL that was refused, and what stands in it, is nobody else's business
    response.headers_mut().insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
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
fn stamp(refusal: &Refusal, asked: &Asked, response: &mut Response<Body>) {
    let headers = response.headers_mut();
    // a refusal is about this moment and this caller
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    if refusal.reason.status() == StatusCode::UNAUTHORIZED {
        headers.insert(
            header::WWW_AUTHENTICATE,
            challenge(refusal.reason, asked.shape),
        );
    }
    if let Some(seconds) = refusal.retry_seconds() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if asked.shape == Shape::Agentflow {
        agentflow::write_headers(refusal, asked.at, headers);
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
