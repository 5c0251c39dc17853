//! The gateway's parts as one worker has them, and requests for them.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, header};
use portcullis::access::{AccessLog, AccessSettings, Destination, QueryLogging, Recorder};
use portcullis::accounts::{
    Accounts, Binding, Cost, Device, DisplayName, EmailAddress, Keep, KeyOwner, NewAccount,
    NewApiKey, Origin, PlainPassword, Proof,
};
use portcullis::authn::{Authenticator, CacheSize, Caller, Sessions, Tokens};
use portcullis::body::Body;
use portcullis::clock::Clock;
use portcullis::config::Config;
use portcullis::inbound::{ClientBody, Inbound, Peer, RequestIds, Scheme, TrustedProxies};
use portcullis::limit::{Limits, RuleSet};
use portcullis::outbound::{Origins, Stamp};
use portcullis::route::{Found, Route, RouteTable};
use portcullis::telemetry::Metrics;
use portcullis::values::Values;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::material;

const TEMPLATE: &str = include_str!("../peer/gateway.toml");
const AUTH: &str = include_str!("../peer/auth.jwt.inc");
const VARIABLES: &str = include_str!("../peer/peer.toml");

/// A field of a request that names the caller.
pub type Field = (HeaderName, HeaderValue);

pub struct Stage {
    folder: TempDir,
    runtime: Runtime,
    pub clock: Clock,
    pub ids: RequestIds,
    pub trusted: TrustedProxies,
    pub routes: RouteTable,
    pub limits: Limits,
    pub rules: RuleSet,
    pub tokens: Tokens,
    pub authenticator: Authenticator,
    pub recorder: Arc<Recorder>,
    pub metrics: Metrics,
    pub values: Values,
    origins: Origins,
    accounts: Accounts,
    _log: AccessLog,
}

impl Stage {
    pub fn new() -> Self {
        let folder = TempDir::new().unwrap();
        material::write(folder.path()).unwrap();
        let file = folder.path().join("gateway.toml");
        std::fs::write(&file, configuration(folder.path())).unwrap();
        let clock = Clock::system();
        let mut config = Config::load(&file, &clock, &[]).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        // Nothing here measures passwords.
        config.accounts.hashing.cost = Cost::new(64, 1, 1).unwrap();
        let opening = Accounts::open(&config.accounts, config.rules.clone(), clock.clone());
        let accounts = runtime.block_on(opening).unwrap();
        let size = CacheSize::default();
        let control = runtime.handle();
        let sessions = Sessions::new(size, accounts.clone(), control.clone(), clock.clone());
        let authenticator = Authenticator::new(size, accounts.revocations().clone(), clock.clone())
            .with_api_keys(size, accounts.clone(), control.clone())
            .with_sessions(sessions);
        let metrics = Metrics::new(&clock);
        let settings = AccessSettings {
            destination: Destination::File("/dev/null".into()),
            query: QueryLogging::Omit,
        };
        let log = AccessLog::start(settings, &clock, &metrics).unwrap();
        let limits = Limits::new(clock.clone(), None);
        Self {
            rules: limits.rules(&config.limits),
            limits,
            recorder: Recorder::new(&log, &metrics, &clock),
            _log: log,
            metrics,
            values: Values::default(),
            origins: Origins::default(),
            authenticator,
            accounts,
            runtime,
            folder,
            ids: RequestIds::new(),
            trusted: TrustedProxies::new(config.server.trusted_proxies),
            routes: config.routes,
            tokens: config.tokens,
            clock,
        }
    }

    pub fn material(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// One of the tokens that the comparison sends.
    pub fn bearer(&self, number: usize) -> Field {
        let tokens = self.material("hs256.tokens");
        field(
            header::AUTHORIZATION,
            &format!("Bearer {}", tokens.lines().nth(number).unwrap()),
        )
    }

    pub fn api_key(&self) -> Field {
        let key = self.runtime.block_on(async {
            let account = self.account().await;
            let new = NewApiKey {
                name: DisplayName::parse("bench").unwrap(),
                lifetime: None,
                binding: Binding::default(),
            };
            let origin = Origin::operator("bench");
            let made = self
                .accounts
                .create_api_key(KeyOwner::User(account.id), new, &origin);
            made.await.unwrap()
        });
        let text = format!("Bearer {}", key.text.expose());
        field(header::AUTHORIZATION, &text)
    }

    pub fn cookie(&self) -> Field {
        let opened = self.runtime.block_on(async {
            let account = self.account().await;
            let device = Device::new(Some("bench"), None);
            let proof = Proof::by_password(account);
            let opening = self
                .accounts
                .open_in_browser(&proof, device, Keep::Remembered);
            opening.await.unwrap()
        });
        field(
            header::COOKIE,
            &format!("__Host-portcullis-session={}", opened.cookie),
        )
    }

    async fn account(&self) -> portcullis::accounts::Account {
        let email = EmailAddress::parse("ann@example.test").unwrap();
        let new = NewAccount {
            username: None,
            name: None,
            email,
            password: PlainPassword::parse("a long enough password").unwrap(),
            invitation: None,
        };
        let origin = Origin::operator("bench");
        let added = self.accounts.add(new, Vec::new(), &origin).await;
        added.unwrap()
    }

    pub fn stamp(&self) -> Stamp<'_> {
        Stamp {
            cache: self.authenticator.cache(),
            origins: &self.origins,
            values: &self.values,
            now: self.clock.now(),
        }
    }

    pub fn peer(&self) -> Peer {
        Peer {
            address: ([127, 0, 0, 1], 40_000).into(),
            scheme: Scheme::Https,
            server_name: None,
        }
    }

    pub fn request(&self, (name, value): &Field) -> Request<ClientBody> {
        Request::get("/v1/agents/17?page=2")
            .header(header::HOST, "api.example.test:8443")
            .header(header::USER_AGENT, "bench/1.0")
            .header(header::ACCEPT, "*/*")
            .header(name, value)
            .body(ClientBody::default())
            .unwrap()
    }

    pub fn inbound(&self, field: &Field) -> Box<Inbound> {
        let req = self.request(field);
        Inbound::parse(self.ids.next(), self.peer(), req, &self.trusted).unwrap()
    }

    pub fn route(&self, req: &Inbound) -> &Route {
        let found = self
            .routes
            .find(&req.host, req.path.segments(), &req.method);
        found_route(found).unwrap()
    }

    pub fn caller(&self, req: &mut Inbound, route: &Route) -> Caller {
        let named = self.authenticator.authenticate(req, route, &self.tokens);
        at_once(named).unwrap().caller
    }

    pub fn caller_after_waiting(&self, req: &mut Inbound, route: &Route) {
        let named = self.authenticator.authenticate(req, route, &self.tokens);
        self.runtime.block_on(named).unwrap();
    }

    /// An answer that is ready, so that its account is closed at once.
    pub fn answer(&self) -> Response<Body> {
        Response::new(Body::from(Bytes::from_static(&[b'x'; 200])))
    }
}

pub fn found_route<'t>(found: Found<'t>) -> Option<&'t Route> {
    match found {
        Found::Route(route) => Some(route),
        Found::OtherMethods { .. } | Found::Nothing => None,
    }
}

/// The answer of something that has nothing to wait for.
pub fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("a step on the path waited"),
    }
}

fn field(name: HeaderName, value: &str) -> Field {
    (name, HeaderValue::from_str(value).unwrap())
}

/// What the comparison's harness makes of `benches/peer`.
fn configuration(folder: &Path) -> String {
    let folder = folder.to_str().unwrap();
    let variables: toml::Table = VARIABLES.parse().unwrap();
    let mut text = TEMPLATE.replace("@AUTH@", AUTH);
    for (name, value) in variables.get("vars").unwrap().as_table().unwrap() {
        text = text.replace(&format!("@{name}@"), value.as_str().unwrap());
    }
    for (name, value) in [
        ("@PORT@", "21160"),
        ("@UPSTREAM_PORT@", "21001"),
        ("@PKI@", folder),
        ("@RUN@", folder),
        ("@ISS@", material::ISSUER),
        ("@AUD@", material::AUDIENCE),
    ] {
        text = text.replace(name, value);
    }
    text
}
