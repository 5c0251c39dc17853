//! The way of a request: admitted, identified, permitted and forwarded, in the order in which the
//! steps bind.

mod account;
mod answer;

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::{Request, Response, header};

use self::account::Account;
use crate::access::Recorder;
use crate::authn::{Authenticated, Authenticator, Caller, Sessions};
use crate::authz::{Denied, Permit};
use crate::body::Body;
use crate::inbound::{Askers, ClientBody, Inbound, Malformed, PathError, Peer, RequestIds};
use crate::limit::{Admitted, LimitKeys};
use crate::outbound::Origins;
use crate::rejection::Rejection;
use crate::route::{EncodedSlash, Found, Route};
use crate::server::{Desk, Serve};
use crate::snapshot::{self, Services, Snapshot};
use crate::streams::{Keeper, Watch};
use crate::upstream::Pools;
use crate::values::Values;

/// The gateway as one worker has it.
pub struct Gateway {
    services: Arc<Services>,
    current: Arc<ArcSwap<Snapshot>>,
    authenticator: Authenticator,
    pools: Pools,
    keeper: Keeper,
    recorder: Arc<Recorder>,
    ids: RequestIds,
    origins: Origins,
    values: Values,
}

/// A request that may pass: where to, with the proofs.
struct Decision<'s> {
    route: &'s Route,
    permit: Permit,
    admitted: Admitted,
}

impl Serve for Gateway {
    /// Answers requests: whatever goes wrong inside becomes a response here.
    async fn serve(&self, desk: &Desk) {
        loop {
            let (peer, req) = desk.next().await;
            // One snapshot a request: a reload in between does not change its rules.
            let snapshot = self.current.load();
            let mut account = Account::begin(self, &snapshot, &peer, &req);
            let mut res = match self.handle(&snapshot, peer, req, &mut account).await {
                Ok(res) => res,
                Err(rejection) => account.rejected(rejection, self.services.clock.now()),
            };
            account.answered(&mut res);
            desk.answer(res);
        }
    }
}

impl Gateway {
    /// A gateway for one worker. Must be made on the worker's thread.
    pub fn new(
        services: Arc<Services>,
        current: Arc<ArcSwap<Snapshot>>,
        recorder: Arc<Recorder>,
    ) -> Self {
        let revocations = services.accounts.revocations().clone();
        let clock = services.clock.clone();
        let watch = Watch {
            streams: services.streams.clone(),
            accounts: services.accounts.clone(),
            clock: clock.clone(),
            control: services.control.clone(),
            judge: snapshot::judge(current.clone(), clock.clone()),
        };
        let (accounts, control) = (services.accounts.clone(), services.control.clone());
        let size = services.remembered;
        let sessions = Sessions::new(size, accounts.clone(), control.clone(), clock.clone());
        Self {
            keeper: Keeper::start(watch),
            authenticator: Authenticator::new(size, revocations, clock)
                .with_api_keys(size, accounts, control)
                .with_sessions(sessions),
            services,
            current,
            pools: Pools::default(),
            recorder,
            ids: RequestIds::new(),
            origins: Origins::default(),
            values: Values::default(),
        }
    }

    /// Admits, identifies, permits and forwards: each step hands the next the proof it needs.
    async fn handle(
        &self,
        snapshot: &Snapshot,
        peer: Peer,
        req: Box<Request<ClientBody>>,
        account: &mut Account,
    ) -> Result<Response<Body>, Rejection> {
        let mut req = Inbound::parse(account.id(), peer, *req, &snapshot.trusted_proxies)?;
        account.parsed(&req);
        self.check_certificate(&req)?;
        if let Some(askers) = snapshot.asked_by(&req) {
            return Box::pin(self.verify(snapshot, (askers, *req), account)).await;
        }
        let decision = self.decide(snapshot, &mut req, account).await?;
        let Decision { route, permit, .. } = decision;
        account.permitted(route);
        let mut res = self.answer(snapshot, req, route, permit).await?;
        snapshot
            .limits
            .write_headers(decision.admitted, &self.values, res.headers_mut());
        Ok(res)
    }

    /// Answers another proxy for a request of its own as that request would be answered here, but for
    /// the last step: it forwards, we do not.
    async fn verify(
        &self,
        snapshot: &Snapshot,
        (askers, asking): (&Askers, Inbound),
        account: &mut Account,
    ) -> Result<Response<Body>, Rejection> {
        let (mut req, hands_on) = askers.original(asking)?;
        account.verifies(&req, hands_on);
        let decision = self.decide(snapshot, &mut req, account).await?;
        self.vouch(req, decision.route, &decision.permit)
    }

    /// Whether `req` may pass: charges every limit on the way.
    async fn decide<'s>(
        &self,
        snapshot: &'s Snapshot,
        req: &mut Inbound,
        account: &mut Account,
    ) -> Result<Decision<'s>, Rejection> {
        let found = snapshot
            .routes
            .find(&req.host, req.path.segments(), &req.method);
        account.routed(&found);

        let by_client = self.admit_client(snapshot, req, &found).await?;
        let route = accept(found, req)?;

        let Authenticated { caller, cookie } = self.authenticate(snapshot, req, route).await?;
        account.identified(&caller, cookie);
        let by_caller = self.admit_caller(snapshot, req, route, &caller).await?;

        let permit = route.policy.permit(caller, req.client)?;
        Ok(Decision {
            route,
            permit,
            admitted: by_client.and(by_caller),
        })
    }

    /// A connection that was opened for one certificate does not serve a host of another
    /// (RFC 9110 §15.5.20). A client that named nobody in TLS is let pass.
    fn check_certificate(&self, req: &Inbound) -> Result<(), Rejection> {
        let Some(tls) = self.services.tls.as_ref() else {
            return Ok(());
        };
        match &req.peer.server_name {
            Some(name) if !tls.same_certificate(Some(name), req.host.name()) => {
                Err(Rejection::Misdirected)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Charges the limits on the client's address, before anything dear is done for it.
    async fn admit_client(
        &self,
        snapshot: &Snapshot,
        req: &Inbound,
        found: &Found<'_>,
    ) -> Result<Admitted, Rejection> {
        let (limits, route) = match found {
            Found::Route(route) => (route.limits.as_slice(), &*route.name),
            Found::OtherMethods { .. } | Found::Nothing => (&[][..], ""),
        };
        let keys = LimitKeys::Client {
            client: req.client.network(),
            route,
        };
        Ok(self
            .services
            .limits
            .admit(&snapshot.limits, limits, &keys)
            .await?)
    }

    /// Names the caller. A credential that is refused is charged to the address that showed it.
    async fn authenticate(
        &self,
        snapshot: &Snapshot,
        req: &mut Inbound,
        route: &Route,
    ) -> Result<Authenticated, Rejection> {
        let outcome = self
            .authenticator
            .authenticate(req, route, &snapshot.tokens.load())
            .await;
        if outcome
            .as_ref()
            .is_err_and(|error| error.is_refused_credential())
        {
            let keys = LimitKeys::Client {
                client: req.client.network(),
                route: &route.name,
            };
            let limits = &self.services.limits;
            limits
                .charge_failure(&snapshot.limits, &route.limits, &keys)
                .await;
        }
        Ok(outcome?)
    }

    /// Charges the limits on the caller, known or anonymous.
    async fn admit_caller(
        &self,
        snapshot: &Snapshot,
        req: &Inbound,
        route: &Route,
        caller: &Caller,
    ) -> Result<Admitted, Rejection> {
        let (identity, grant) = match caller {
            Caller::Anonymous => (None, None),
            Caller::Identified(identity) => {
                (Some(identity.claims.subject()), identity.credential.grant())
            }
        };
        let client = req.client.network();
        let keys = LimitKeys::Caller {
            client,
            route: &route.name,
            identity,
        };
        let limits = &self.services.limits;
        let mut admitted = limits.admit(&snapshot.limits, &route.limits, &keys).await?;
        for name in grant.into_iter().flat_map(|grant| &grant.limits) {
            let keys = LimitKeys::Caller {
                client,
                route: &route.name,
                identity: grant.map(|grant| &*grant.counted_as),
            };
            let bound = limits.admit_bound(&snapshot.limits, name.as_str(), &keys);
            let Some(standing) = bound.await? else {
                return Err(Denied::Limit(name.as_str().to_owned()).into());
            };
            admitted = admitted.and(standing);
        }
        Ok(admitted)
    }
}

/// The route, when it takes this request: no route is a refusal, and there is no default one.
fn accept<'t>(found: Found<'t>, req: &Inbound) -> Result<&'t Route, Rejection> {
    let route = match found {
        Found::Route(route) => route,
        Found::OtherMethods { allowed, .. } => return Err(Rejection::MethodNotAllowed(allowed)),
        Found::Nothing => return Err(Rejection::NotFound),
    };
    if req.path.has_encoded_slash() && route.encoded_slash == EncodedSlash::Refuse {
        return Err(Malformed::Path(PathError::EncodedSlash).into());
    }
    // A body that says that it is too long is refused before a byte of it is read.
    let length = req.headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > route.max_body) {
        return Err(Rejection::BodyTooLarge);
    }
    Ok(route)
}
