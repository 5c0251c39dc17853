//! The last step: one of our own endpoints, or an upstream.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::BodyExt as _;

use super::Gateway;
use crate::authn::Caller;
use crate::authz::Permit;
use crate::body::Body;
use crate::endpoints::{self, Endpoint, EndpointRequest};
use crate::inbound::{ClientBody, ClientBodyError, Inbound, Site, cookie};
use crate::outbound::{Outbound, Stamp};
use crate::rejection::Rejection;
use crate::route::{Forwarding, Route, Target};
use crate::snapshot::Snapshot;
use crate::streams::{Admitted, Asked, Tether, TooManyStreams, during};
use crate::upstream::Mapping;

impl Gateway {
    pub(super) async fn answer(
        &self,
        snapshot: &Snapshot,
        req: Box<Inbound>,
        route: &Route,
        permit: Permit,
    ) -> Result<Response<Body>, Rejection> {
        match &route.target {
            Target::Endpoint(endpoint) => {
                let caller = permit.into_caller();
                Box::pin(self.serve_own(snapshot, req, (route, *endpoint), caller)).await
            }
            Target::Upstream(forwarding) => self.forward(req, (route, forwarding), permit).await,
            // It is served by another proxy, and not by us.
            Target::Elsewhere(_) => Err(Rejection::NotFound),
        }
    }

    /// Tells another proxy that its request may pass, and what its backend is to be told of the caller.
    pub(super) fn vouch(
        &self,
        mut req: Inbound,
        route: &Route,
        permit: &Permit,
    ) -> Result<Response<Body>, Rejection> {
        let introduction = match &route.target {
            Target::Upstream(forwarding) => Some(&forwarding.introduction),
            Target::Elsewhere(introduction) => Some(&**introduction),
            // What a client asks about through its proxy would be what we tell proxies only.
            Target::Endpoint(Endpoint::Verify) => return Err(Rejection::NotFound),
            Target::Endpoint(_) => None,
        };
        let mut res = Response::new(Body::Empty);
        *res.status_mut() = StatusCode::NO_CONTENT;
        if let Some(introduction) = introduction {
            *res.headers_mut() = introduction.of(&mut req, permit, self.stamp())?;
        }
        let no_store = HeaderValue::from_static("no-store");
        res.headers_mut().insert(header::CACHE_CONTROL, no_store);
        Ok(res)
    }

    fn stamp(&self) -> Stamp<'_> {
        Stamp {
            cache: self.authenticator.cache(),
            origins: &self.origins,
            values: &self.values,
            now: self.services.clock.now(),
        }
    }

    /// Answers by one of our own endpoints, on the control runtime: it may hash, and wait for the
    /// database, which no worker does.
    async fn serve_own(
        &self,
        snapshot: &Snapshot,
        req: Box<Inbound>,
        (route, endpoint): (&Route, Endpoint),
        caller: Caller,
    ) -> Result<Response<Body>, Rejection> {
        let mut tether = self.tether(caller.clone(), || Asked::of(&req, &route.name));
        let body = during(tether.as_mut(), collect(req.body)).await;
        let body = body.map_err(Rejection::Over)??;
        let request = EndpointRequest {
            endpoint,
            site: Site::of(&req.headers, req.scheme, &req.host),
            session_cookie: snapshot.tokens.load().cookies.on(&req.host),
            host: req.host,
            path: req.path,
            method: req.method,
            headers: req.headers,
            caller,
            client: req.client,
            route: route.name.clone(),
            limits: route.limits.clone(),
            body,
        };
        let context = self.services.endpoint_context(snapshot);
        let answered = self
            .services
            .control
            .spawn(endpoints::answer(context, request))
            .await;
        answered.unwrap_or(Err(Rejection::Internal("the endpoint panicked")))
    }

    /// What ties a request, and whatever becomes of it, to the session of its caller.
    fn tether(&self, caller: Caller, asked: impl FnOnce() -> Asked) -> Option<Tether> {
        let Caller::Identified(identity) = caller else {
            return None;
        };
        let asked = asked();
        Some(self.keeper.tether(Admitted { identity, asked }))
    }

    async fn forward(
        &self,
        mut req: Box<Inbound>,
        (route, forwarding): (&Route, &Forwarding),
        permit: Permit,
    ) -> Result<Response<Body>, Rejection> {
        let becomes = Becomes::of(&req);
        let mut outbound = Outbound::new(&mut req, &permit, (route, forwarding), self.stamp())?;
        let asked = || Asked::of(&req, &route.name);
        let mut tether = self.tether(permit.into_caller(), asked);
        if let Some(tether) = &mut tether {
            becomes.check(tether)?;
        }
        outbound.request.tether = tether;
        let (scheme, host) = &outbound.public;
        let mapping = Mapping {
            scheme: *scheme,
            host,
            rewrite: &forwarding.rewrite,
            own_cookies: cookie::is_ours,
        };
        let stamps = |headers: &mut HeaderMap| outbound.stamps.write(headers);
        let upstream = &forwarding.upstream;
        let mut res = upstream
            .forward(&self.pools, (outbound.request, &stamps), &mapping)
            .await?;
        if let Some(carrier) = outbound.echo
            && becomes == Becomes::Tunnel
            && matches!(
                res.status(),
                StatusCode::SWITCHING_PROTOCOLS | StatusCode::OK
            )
        {
            // A browser drops a WebSocket whose subprotocol the server did not choose; a backend
            // never saw the one that carried the token (RFC 6455 §4.2.2).
            res.headers_mut()
                .entry(header::SEC_WEBSOCKET_PROTOCOL)
                .or_insert(carrier);
        }
        Ok(res)
    }
}

/// What the client says that its request will turn into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Becomes {
    Tunnel,
    EventStream,
    Answer,
}

impl Becomes {
    fn of(req: &Inbound) -> Self {
        if req.upgrade.is_some() {
            return Becomes::Tunnel;
        }
        let accepted = req.headers.get(header::ACCEPT).map(HeaderValue::as_bytes);
        match accepted {
            Some(kinds) if kinds.starts_with(b"text/event-stream") => Becomes::EventStream,
            Some(_) | None => Becomes::Answer,
        }
    }

    /// Refuses what is going to be one stream too many of its session, before an upstream hears of it.
    fn check(self, tether: &mut Tether) -> Result<(), TooManyStreams> {
        match self {
            Becomes::Tunnel => tether.claim(),
            Becomes::EventStream => tether.check_room(),
            Becomes::Answer => Ok(()),
        }
    }
}

/// The whole body of a request to an endpoint of ours: small, or refused.
async fn collect(mut body: ClientBody) -> Result<Bytes, Rejection> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| match error {
            ClientBodyError::TooSlow => Rejection::BodyTooSlow,
            ClientBodyError::Broken(_) => Rejection::BodyIncomplete,
        })?;
        if let Ok(data) = frame.into_data() {
            if (whole.len() + data.len()) as u64 > endpoints::MAX_BODY {
                return Err(Rejection::BodyTooLarge);
            }
            whole.extend_from_slice(&data);
        }
    }
    Ok(whole.freeze())
}
