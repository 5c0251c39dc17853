//! What a look-up of the request path costs as what the gateway knows grows.
//!
//! Every look-up is of another entry than the last one, far away from it: nothing stays in the
//! processor's caches that would not stay there under real callers. docs/scaling.md has the results.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use divan::{Bencher, black_box};
use http::Method;
use portcullis::accounts::{
    Accounts, Cost, EmailAddress, Factors, HashSettings, KeyPrefix, LoginName, NewAccount, Origin,
    PlainPassword, Revocation, Revocations, Rules, SessionId, Settings,
};
use portcullis::authn::algorithm::Algorithm;
use portcullis::authn::keys::{Key, KeyId, KeyRing, KeyUse, Material, Origin as KeyOrigin};
use portcullis::authn::{AccessTokenClaims, Authenticator, CacheSize, Tokens};
use portcullis::authz::{AddressRule, AllowList, Auth, FactorRule, Policy};
use portcullis::clock::{Clock, Timestamp};
use portcullis::endpoints::Endpoint;
use portcullis::inbound::{CleanPath, ClientIp, Host};
use portcullis::limit::{
    Allowance, Counts, KeyedOn, LimitKeys, Limits, Precision, Rate, RuleName, RuleSpec, Scope,
};
use portcullis::rejection::Shape;
use portcullis::route::{
    CredentialKinds, EncodedSlash, HostPattern, Methods, PathPattern, Place, Route, RouteTable,
    Target, TokenPlaces,
};
use portcullis::secret::Secret;
use portcullis::store::Database;
use sqlx::Connection as _;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn main() {
    divan::main();
}

/// Places of a set, each once before any comes again, in an order that no prefetcher follows.
struct Walk {
    at: usize,
    of: usize,
}

impl Walk {
    fn over(of: usize) -> Self {
        Self { at: 0, of }
    }

    fn step(&mut self) -> usize {
        // A prime that divides no size in this file.
        self.at = (self.at + 618_033_989) % self.of;
        self.at
    }
}

/// What never waits.
fn ready<T>(work: impl Future<Output = T>) -> T {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("it waits"),
    }
}

fn route(name: &str) -> Arc<Route> {
    Arc::new(Route {
        name: name.into(),
        target: Target::Endpoint(Endpoint::Jwks),
        policy: Policy {
            auth: Auth::Required,
            roles: Vec::new(),
            claims: Vec::new(),
            address: AddressRule::Any,
            factors: FactorRule::Any,
            allow: AllowList::default(),
        },
        limits: Vec::new(),
        errors: Shape::Native,
        credentials: CredentialKinds::USUAL,
        tokens: TokenPlaces::default(),
        max_body: 0,
        encoded_slash: EncodedSlash::Refuse,
    })
}

/// Look-ups in a table in which the routes differ in their hosts, or in their paths.
fn look_up(bencher: Bencher<'_, '_>, routes: usize, place: impl Fn(usize) -> (String, String)) {
    let mut table = RouteTable::default();
    let mut asked = Vec::new();
    for number in 0..routes {
        let (host, path) = place(number);
        let place = Place {
            host: HostPattern::parse(&host).unwrap(),
            path: PathPattern::parse(&format!("{path}/**")).unwrap(),
            methods: Methods::Any,
        };
        table.insert(&place, &route(&path)).unwrap();
        let path = CleanPath::from_path(&format!("{path}/items/17"), None).unwrap();
        let host = Host::parse(host.replace('*', "x").as_bytes()).unwrap();
        asked.push((host, path));
    }
    let mut walk = Walk::over(routes);
    bencher.bench_local(|| {
        let (host, path) = &asked[walk.step()];
        // Done with it before the table goes.
        let found = table.find(host, path.segments(), &Method::GET);
        assert!(matches!(found, portcullis::route::Found::Route(_)));
    });
}

#[divan::bench(args = [10, 1_000, 10_000])]
fn routes_by_path(bencher: Bencher<'_, '_>, routes: usize) {
    look_up(bencher, routes, |number| {
        let (area, service) = (number % 97, number);
        let host = String::from("api.example.com");
        (host, format!("/area-{area}/service-{service}"))
    });
}

#[divan::bench(args = [10, 1_000, 10_000])]
fn routes_by_wildcard_host(bencher: Bencher<'_, '_>, routes: usize) {
    look_up(bencher, routes, |number| {
        let host = format!("*.tenant-{number}.example.com");
        (host, String::from("/v1"))
    });
}

fn tokens() -> Tokens {
    let secret = Secret::new(b"0123456789abcdef".repeat(4));
    let key = Key {
        id: KeyId::parse("bench").unwrap(),
        material: Material::from_secret(Algorithm::Hs256, &secret).unwrap(),
        purpose: KeyUse::Sign,
        origin: KeyOrigin::Ours,
        not_after: None,
    };
    Tokens::new(KeyRing::new(vec![key]).unwrap())
}

fn token(tokens: &Tokens, number: usize, session: SessionId) -> String {
    let claims = AccessTokenClaims {
        factors: Factors::One,
        subject: format!("00000000-0000-4000-8000-{number:012}"),
        session,
        email: Some(format!("user-{number}@example.com")),
        email_verified: true,
        name: Some(format!("User {number}")),
        username: None,
        roles: vec![String::from("member")],
        attributes: serde_json::Map::new(),
    };
    let lifetime = Duration::from_secs(900);
    tokens.issue(&claims, lifetime, NOW).unwrap()
}

/// Names callers whose tokens were all shown before, by a worker with this much memory for them.
fn name_callers(bencher: Bencher<'_, '_>, callers: usize, size: CacheSize) {
    let clock = Clock::manual(NOW);
    let rules = tokens();
    let authenticator = Authenticator::new(size, Revocations::new(clock.clone()), clock);
    let shown: Vec<String> = (0..callers)
        .map(|number| token(&rules, number, SessionId::random()))
        .collect();
    for token in &shown {
        authenticator.verify(token, &rules).unwrap();
    }
    let mut walk = Walk::over(callers);
    // A copy, as a token comes from the connection: it is what is known of it that lies far away.
    let coming = || shown[walk.step()].clone();
    bencher.with_inputs(coming).bench_local_refs(|token| {
        let (claims, ..) = authenticator.verify(black_box(token), &rules).unwrap();
        // What limits, the log and the upstream are told of the caller is as far away.
        black_box((
            claims.subject().len(),
            claims.field("email").map(<[u8]>::len),
        ))
    });
}

#[divan::bench(args = [1_000, 100_000, 1_000_000])]
fn tokens_that_are_remembered(bencher: Bencher<'_, '_>, callers: usize) {
    let size = CacheSize {
        entries: callers,
        bytes: 8 << 30,
    };
    name_callers(bencher, callers, size);
}

/// Those beyond what a worker remembers are verified again.
#[divan::bench(args = [1_000, 1_000_000])]
fn tokens_by_default(bencher: Bencher<'_, '_>, callers: usize) {
    name_callers(bencher, callers, CacheSize::default());
}

#[divan::bench(args = [1_000, 100_000, 1_000_000])]
fn limit_keys(bencher: Bencher<'_, '_>, clients: usize) {
    let limits = Limits::new(Clock::system(), None);
    let rules = limits.rules(&[RuleSpec {
        name: RuleName::parse("api").unwrap(),
        keyed_on: KeyedOn {
            client: true,
            ..KeyedOn::default()
        },
        counts: Counts::Requests,
        allowance: Allowance::of(Rate::parse("1000000/s").unwrap()),
        scope: Scope::Shared,
        precision: Precision::Leased,
        keys: clients,
        everywhere: true,
    }]);
    let charge = |number: usize| {
        let [_, a, b, c] = u32::try_from(number).unwrap().to_be_bytes();
        let client = ClientIp::new([10, a, b, c].into()).network();
        let keys = LimitKeys::Client { client, route: "r" };
        ready(limits.admit(&rules, &[], &keys))
    };
    for number in 0..clients {
        let _ = charge(number).unwrap();
    }
    let mut walk = Walk::over(clients);
    bencher.bench_local(|| charge(walk.step()));
}

/// A request whose token was seen since the last revocation: what nearly all are.
#[divan::bench(args = [0, 1_000_000])]
fn revocations_when_there_is_no_news(bencher: Bencher<'_, '_>, revoked: usize) {
    let clock = Clock::manual(NOW);
    let revocations = revocations(&clock, revoked);
    let rules = tokens();
    let authenticator = Authenticator::new(CacheSize::default(), revocations, clock);
    let shown = token(&rules, 1, SessionId::random());
    bencher.bench_local(|| authenticator.verify(black_box(&shown), &rules));
}

/// The first request of each token after a revocation of somebody.
#[divan::bench(args = [0, 1_000, 1_000_000])]
fn revocations_after_news(bencher: Bencher<'_, '_>, revoked: usize) {
    let revocations = revocations(&Clock::manual(NOW), revoked);
    bencher
        .with_inputs(SessionId::random)
        .bench_local_values(|session| revocations.is_revoked(Some(session), "", NOW));
}

/// One more revocation, as a node takes it up: on the control runtime, never on a worker.
#[divan::bench(args = [0, 1_000_000])]
fn revocations_taken_up(bencher: Bencher<'_, '_>, revoked: usize) {
    let revocations = revocations(&Clock::manual(NOW), revoked);
    let ends = NOW + Duration::from_secs(900);
    bencher
        .with_inputs(SessionId::random)
        .bench_local_values(|session| revocations.add([(Revocation::Session(session), ends)]));
}

fn revocations(clock: &Clock, revoked: usize) -> Revocations {
    let revocations = Revocations::new(clock.clone());
    let ends = clock.now() + Duration::from_secs(900);
    let sessions = (0..revoked).map(|_| Revocation::Session(SessionId::random()));
    revocations.add(sessions.map(|session| (session, ends)));
    revocations
}

/// Who has this login name, in a SQLite of so many accounts.
#[divan::bench(args = [1_000, 1_000_000])]
fn accounts(bencher: Bencher<'_, '_>, accounts: usize) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("accounts.db");
    let known = runtime.block_on(filled(&database, accounts));
    let mut walk = Walk::over(accounts);
    bencher.bench_local(|| {
        let name = format!("user-{}@example.com", walk.step());
        let name = LoginName::parse(&name).unwrap();
        let found = runtime.block_on(known.find_by_login(&name)).unwrap();
        assert!(found.is_some());
    });
}

/// A database with copies of one account, who differ in their names.
async fn filled(database: &std::path::Path, accounts: usize) -> Accounts {
    let settings = Settings {
        database: Database::Sqlite(database.to_owned()),
        hashing: HashSettings {
            cost: Cost::new(64, 1, 1).unwrap(),
            threads: NonZeroUsize::MIN,
            queue: NonZeroUsize::MIN,
        },
        key_prefix: KeyPrefix::default(),
    };
    let open = || Accounts::open(&settings, Rules::default(), Clock::system());
    let first = open().await.unwrap();
    let new = NewAccount {
        email: EmailAddress::parse("first@example.com").unwrap(),
        password: PlainPassword::parse("correct horse battery").unwrap(),
        username: None,
        name: None,
        invitation: None,
    };
    let origin = Origin::client(ClientIp::new([127, 0, 0, 1].into()));
    first.add(new, Vec::new(), &origin).await.unwrap();
    first.close().await;
    let url = format!("sqlite:{}", database.display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let copies = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n LIMIT $1)
        INSERT INTO accounts (id, status, email, name, password, roles, created_at, updated_at,
                              password_scheme, attributes)
        SELECT printf('%08x-0000-4000-8000-%012x', i, i), status, 'user-' || i || '@example.com', name,
               password, roles, created_at, updated_at, password_scheme, attributes
        FROM n, accounts WHERE email = 'first@example.com'";
    let names = "INSERT INTO login_names (name, account_id)
        SELECT email, id FROM accounts WHERE email LIKE 'user-%'";
    let many = i64::try_from(accounts).unwrap();
    sqlx::query(copies)
        .bind(many)
        .execute(&mut connection)
        .await
        .unwrap();
    sqlx::query(names).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    open().await.unwrap()
}
