//! What is remembered of one request while it is on its way: for its log line, and for the shape of
//! a refusal.

use http::{Request, Response};

use super::Gateway;
use crate::access::AccessEntry;
use crate::authn::Caller;
use crate::body::Body;
use crate::inbound::{HandsOn, Inbound, Peer, RequestId};
use crate::rejection::{Asked, Audience, Rejection};
use crate::route::{Found, Route};
use crate::snapshot::Snapshot;

pub(super) struct Account {
    entry: AccessEntry,
    asked: Asked,
}

impl Account {
    pub(super) fn begin<B>(
        gateway: &Gateway,
        snapshot: &Snapshot,
        peer: &Peer,
        req: &Request<B>,
    ) -> Self {
        let id = gateway.ids.next();
        Self {
            entry: AccessEntry::begin(&gateway.recorder, id, peer, req),
            asked: Asked {
                shape: snapshot.default_shape,
                audience: Audience::of(req.method(), req.headers()),
                method: req.method().clone(),
                id,
                at: gateway.services.clock.now(),
            },
        }
    }

    /// Another proxy asks about `req`, and hands so much of the answer on to its client.
    pub(super) fn verifies(&mut self, req: &Inbound, hands_on: HandsOn) {
        self.entry.verifies(req);
        self.asked.audience = match hands_on {
            HandsOn::Answer => Audience::of(&req.method, &req.headers),
            // Nobody would ever see the page, or follow the redirect.
            HandsOn::Verdict => Audience::Program,
        };
    }

    pub(super) fn id(&self) -> RequestId {
        self.asked.id
    }

    pub(super) fn parsed(&mut self, req: &Inbound) {
        self.entry.parsed(req);
        self.asked.method = req.method.clone();
    }

    /// From here every refusal has the route's shape.
    pub(super) fn routed(&mut self, found: &Found<'_>) {
        match found {
            Found::Route(route) => {
                self.entry.routed(route);
                self.asked.shape = route.errors;
            }
            Found::OtherMethods { shape, .. } => self.asked.shape = *shape,
            Found::Nothing => {}
        }
    }

    pub(super) fn identified(&mut self, caller: &Caller) {
        self.entry.identified(caller);
    }

    pub(super) fn permitted(&mut self, route: &Route) {
        self.entry.permitted(route);
    }

    pub(super) fn rejected(&mut self, rejection: Rejection) -> Response<Body> {
        self.entry.rejected(rejection.code(), &rejection);
        rejection.into_response(&self.asked)
    }

    pub(super) fn answered(self, res: Response<Body>) -> Response<Body> {
        self.entry.answered(res)
    }
}
