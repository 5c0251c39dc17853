//! A request to one of our own endpoints, and who made it.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, header};

use super::{Endpoint, EndpointError};
use crate::accounts::{AccountId, Device, Origin, SessionId};
use crate::authn::{Caller, Credential};
use crate::body::Body;
use crate::inbound::cookie::SessionCookie;
use crate::inbound::{CleanPath, ClientIp, Host, Site};
use crate::limit::RuleId;

/// A request to one of our own endpoints, its body read whole.
#[derive(Debug)]
pub struct EndpointRequest {
    pub endpoint: Endpoint,
    /// The name of the route, as limits count it.
    pub route: Arc<str>,
    /// The rules of the route: those on login names are met here.
    pub limits: Vec<RuleId>,
    pub method: Method,
    pub host: Host,
    pub headers: HeaderMap,
    /// What was matched: the parameters of the endpoint's path, and the query.
    pub path: CleanPath,
    /// Whether a page of this origin sent it.
    pub site: Site,
    /// Anonymous where the endpoint asks for nobody.
    pub caller: Caller,
    /// As this host has it.
    pub session_cookie: SessionCookie,
    pub client: ClientIp,
    /// At most [`MAX_BODY`](super::MAX_BODY) bytes.
    pub body: Bytes,
}

/// Whose token came with a request: only the token says so, never the body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bearer {
    pub account: AccountId,
    /// `None`: the token of a legacy key.
    pub session: Option<SessionId>,
}

impl EndpointRequest {
    /// Whose token came with the request.
    ///
    /// # Errors
    ///
    /// When nobody is identified, or the token is of an issuer whose subjects are not accounts of
    /// ours.
    pub(super) fn bearer(&self) -> Result<Bearer, EndpointError> {
        let Caller::Identified(identity) = &self.caller else {
            return Err(EndpointError::NoAccount);
        };
        Ok(Bearer {
            account: identity.claims.account().ok_or(EndpointError::NoAccount)?,
            session: identity.claims.session(),
        })
    }

    /// Whether a browser's session cookie names the caller.
    pub(super) fn by_cookie(&self) -> bool {
        match &self.caller {
            Caller::Anonymous => false,
            Caller::Identified(identity) => identity.credential == Credential::Cookie,
        }
    }

    /// The answer to a request that ended its own session: a browser loses the cookie.
    pub(super) fn logged_out(&self, mut response: Response<Body>) -> Response<Body> {
        if self.by_cookie()
            && let Some(cleared) = self.session_cookie.clear()
        {
            response.headers_mut().append(header::SET_COOKIE, cleared);
        }
        response
    }

    /// Where the request came from, for the audit log.
    pub(super) fn origin(&self) -> Origin {
        Origin::client(self.client)
    }

    /// What a session opened by this request is used from.
    pub(super) fn device(&self) -> Device {
        let agent = self.headers.get(header::USER_AGENT);
        let agent = agent.map(|value| String::from_utf8_lossy(value.as_bytes()));
        Device::new(agent.as_deref(), Some(self.client))
    }
}
