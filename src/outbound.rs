//! A request on its way to an upstream: stripped of what the client may not say, stamped with what
//! the gateway knows. Making one needs a [`Permit`].

mod headers;
mod names;
mod origin;

use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::authn::keys::SignError;
use crate::authn::{Credential, Identity, Minter, TokenCache};
use crate::authz::Permit;
use crate::clock::Timestamp;
use crate::inbound::{CleanPath, Host, Inbound, PathError, Scheme, cookie};
use crate::route::{Forwarding, HostHeader, Rewrite, Route};
use crate::upstream::{self, RequestBody};
use crate::values::Values;

use headers::Statement;
use origin::Origin;

pub use headers::HeaderPlan;
pub use names::{DEFAULT_PATTERNS, Reserved};
pub use origin::Origins;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What becomes of the `Authorization` header.
#[derive(Clone, Debug)]
pub enum Authorization {
    /// The bearer goes on, but only one that we verified as a JWT.
    Forward,
    Strip,
    /// A short-lived JWT of ours takes its place.
    Mint(Arc<Minter>),
}

/// What a backend is told of its caller.
pub struct Introduction {
    pub authorization: Authorization,
    pub headers: HeaderPlan,
}

/// A permitted request, ready for an upstream.
pub struct Outbound<'r> {
    /// Boxed, since it is handed on.
    pub request: Box<upstream::Request>,
    pub stamps: Stamps<'r>,
    /// The subprotocol that carried the caller's token, to be echoed in the answer.
    pub echo: Option<HeaderValue>,
    /// The scheme and host that the client used, to which the answer is mapped back.
    pub public: (Scheme, Host),
}

/// What an upstream is told of a request beside what its client says.
pub struct Stamps<'r> {
    origin: Option<Arc<Origin>>,
    /// As our own log names the request.
    id: Option<HeaderValue>,
    statement: Statement<'r>,
}

/// Why a permitted request cannot be written for its upstream.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    #[error("rewriting makes a path that has no normal form")]
    Rewrite(#[source] PathError),
    #[error("no token could be made for the upstream")]
    Mint(#[from] SignError),
}

/// What stamping needs of the worker: its memory of minted tokens and of origins, the pages that
/// values are cut from, and the time.
#[derive(Clone, Copy)]
pub struct Stamp<'w> {
    pub cache: &'w TokenCache,
    pub origins: &'w Origins,
    pub values: &'w Values,
    pub now: Timestamp,
}

impl<'r> Outbound<'r> {
    /// Makes what goes upstream of `req`: the path that was matched, rewritten as `forwarding` says;
    /// the headers without what only the gateway may say; and the identity that `permit` proves.
    ///
    /// # Errors
    ///
    /// A rewrite that makes a path which could be read in two ways; a token that cannot be signed.
    pub fn new(
        req: &mut Inbound,
        permit: &Permit,
        (route, forwarding): (&Route, &'r Forwarding),
        stamp: Stamp<'_>,
    ) -> Result<Self, OutboundError> {
        let identity = permit.identity();
        let Introduction {
            authorization,
            headers: plan,
        } = &forwarding.introduction;
        plan.strip(&mut req.headers);
        authorization.settle(identity, stamp, &mut req.headers)?;
        let stamps = Stamps {
            origin: stamp.origins.of(req),
            id: stamp.values.make(|draft| {
                draft.text(req.id.digits().as_str());
            }),
            statement: plan.statement(identity, stamp)?,
        };
        let path = forwarding.rewrite.apply(&req.path);
        let mut body = std::mem::take(&mut req.body);
        if let Some(rate) = forwarding.min_body_rate {
            body = body.at_rate(rate);
        }
        let request = Box::new(upstream::Request {
            method: req.method.clone(),
            path_and_query: path.map_err(OutboundError::Rewrite)?,
            headers: std::mem::take(&mut req.headers),
            host: forwarding.host.value(stamps.origin.as_deref()),
            body: RequestBody::new(body, route.max_body).with_trailers(plan.trailers()),
            version: req.version,
            upgrade: req.upgrade.take(),
            tether: None,
            first_byte: forwarding.first_byte,
        });
        let echo = match identity.map(|identity| &identity.credential) {
            Some(Credential::Subprotocol(carrier)) => Some(HeaderValue::from_static(carrier)),
            Some(
                Credential::Bearer | Credential::Query | Credential::ApiKey(_) | Credential::Cookie,
            )
            | None => None,
        };
        Ok(Self {
            request,
            stamps,
            echo,
            public: (req.scheme, req.host.clone()),
        })
    }
}

impl Introduction {
    /// What another proxy is to tell its backend of the caller of `req`: the fields that an upstream of
    /// ours would get, and no others.
    ///
    /// # Errors
    ///
    /// A token that cannot be signed.
    pub fn of(
        &self,
        req: &mut Inbound,
        permit: &Permit,
        stamp: Stamp<'_>,
    ) -> Result<HeaderMap, OutboundError> {
        let identity = permit.identity();
        let mut headers = HeaderMap::new();
        if let Some(shown) = req.headers.remove(header::AUTHORIZATION) {
            headers.insert(header::AUTHORIZATION, shown);
        }
        self.authorization.settle(identity, stamp, &mut headers)?;
        self.headers.statement(identity, stamp)?.write(&mut headers);
        if let Some(cookies) = cookie::others(&req.headers) {
            headers.insert(header::COOKIE, cookies);
        }
        Ok(headers)
    }
}

impl Stamps<'_> {
    pub fn write(&self, headers: &mut HeaderMap) {
        if let Some(origin) = &self.origin {
            origin.stamp(headers);
        }
        if let Some(id) = &self.id {
            headers.insert(X_REQUEST_ID, id.clone());
        }
        self.statement.write(headers);
    }
}

impl Authorization {
    /// Makes the field in `headers` the one that goes upstream. The authenticator left the caller's
    /// token in it, and an anonymous caller's is nobody's.
    fn settle(
        &self,
        identity: Option<&Identity>,
        stamp: Stamp<'_>,
        headers: &mut HeaderMap,
    ) -> Result<(), SignError> {
        let minted = match (self, identity) {
            (_, None) | (Authorization::Strip, Some(_)) => None,
            (Authorization::Forward, Some(identity)) => match identity.credential {
                Credential::Bearer | Credential::Subprotocol(_) | Credential::Query => {
                    return Ok(());
                }
                // A backend could call with it wherever its owner may.
                Credential::ApiKey(_) => None,
                // Whatever stands there beside a cookie was not verified.
                Credential::Cookie => None,
            },
            (Authorization::Mint(minter), Some(identity)) => {
                Some(minter.header(identity, stamp.cache, stamp.now)?)
            }
        };
        match minted {
            Some(value) => headers.insert(header::AUTHORIZATION, value),
            None => headers.remove(header::AUTHORIZATION),
        };
        Ok(())
    }
}

impl Rewrite {
    fn apply(&self, path: &CleanPath) -> Result<PathAndQuery, PathError> {
        let unchanged = || path.target().clone();
        match self {
            Rewrite::Keep => Ok(unchanged()),
            Rewrite::Prefix { from, to } => {
                let Some(rest) = path.as_str().strip_prefix(from.as_str()) else {
                    return Ok(unchanged());
                };
                // `/app` is taken off `/app/x` and `/app`, and left on `/apple`.
                if !(rest.is_empty() || rest.starts_with('/')) {
                    return Ok(unchanged());
                }
                let rest = if rest.is_empty() && to.is_empty() {
                    "/"
                } else {
                    rest
                };
                let rewritten = CleanPath::from_path(&format!("{to}{rest}"), path.query())?;
                Ok(rewritten.target().clone())
            }
        }
    }
}

impl HostHeader {
    /// `None`: the server's own name and port.
    fn value(&self, public: Option<&Origin>) -> Option<HeaderValue> {
        match self {
            HostHeader::Preserve => public.map(|origin| origin.host().clone()),
            HostHeader::Upstream => None,
            HostHeader::Set(value) => Some(value.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_rewritten_at_a_segment_only() {
        let strip = Rewrite::Prefix {
            from: "/app".into(),
            to: String::new(),
        };
        let swap = Rewrite::Prefix {
            from: "/app".into(),
            to: "/v2".into(),
        };
        for (rewrite, path, expected) in [
            (&strip, "/app/x?q=1", "/x?q=1"),
            (&strip, "/app", "/"),
            (&strip, "/app/", "/"),
            (&strip, "/apple", "/apple"),
            (&swap, "/app/x", "/v2/x"),
            (&swap, "/app", "/v2"),
            (&Rewrite::Keep, "/app/x", "/app/x"),
        ] {
            let clean = CleanPath::from_path(path, None).unwrap();
            assert_eq!(rewrite.apply(&clean).unwrap().as_str(), expected, "{path}");
        }
    }
}
