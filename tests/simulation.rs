//! A hundred nodes over one real Redis: what they admit together, what they ask for, how late they
//! hear of a revocation. The nodes are the program's own limits and accounts, without its listeners.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::print_stdout)]

#[path = "suite/harness/ports.rs"]
#[allow(dead_code)]
mod ports;
#[path = "suite/harness/process.rs"]
#[allow(dead_code)]
mod process;
#[path = "suite/harness/redis.rs"]
#[allow(dead_code)]
mod redis;

use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use portcullis::accounts::{
    Account, Accounts, Cost, Device, EmailAddress, HashSettings, KeyPrefix, NewAccount, Opened,
    Origin, PlainPassword, Proof, Rules, Settings,
};
use portcullis::clock::Clock;
use portcullis::inbound::{ClientIp, ClientNet};
use portcullis::limit::{
    Allowance, Counts, KeyedOn, LimitKeys, Limits, Precision, Rate, RuleName, RuleSet, RuleSpec,
    Scope,
};
use portcullis::process::push_news;
use portcullis::shared::{Health, Redis, RedisSettings};
use portcullis::store::Database;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

const NODES: u32 = 100;

/// What may come at once. One grows back in more than four seconds.
const BURST: u64 = 20_000;

/// What a node holds of it.
const LEASE: u64 = BURST / 10 / NODES as u64;

/// More than a node's part of the burst.
const TRIES: u64 = 3 * BURST / NODES as u64;

/// How late a node may hear of a revocation, as long as its machine keeps up.
const HEARD: Duration = Duration::from_secs(2);

const PATIENCE: Duration = Duration::from_secs(120);

/// Held by the simulation that runs: each has the machine to itself.
static ALONE: Mutex<()> = Mutex::new(());

fn alone(simulation: impl Future<Output = ()>) {
    let _turn = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.unwrap().block_on(simulation);
}

async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(PATIENCE, work).await;
    done.unwrap_or_else(|_| panic!("nothing happened within {PATIENCE:?}: {what}"))
}

fn dial(server: &redis::Redis, clock: &Clock) -> Redis {
    let settings = RedisSettings {
        url: server.url(),
        username: None,
        password: None,
        prefix: String::from("simulation"),
        nodes: NonZeroU32::new(NODES).unwrap(),
        // A hundred nodes on one machine: that it is slow must not look like an outage.
        response_timeout: Duration::from_secs(20),
        connect_timeout: Duration::from_secs(20),
    };
    Redis::start(settings, clock.clone(), &Handle::current()).unwrap()
}

async fn all_shared<'r>(nodes: impl Iterator<Item = &'r Redis>) {
    for redis in nodes {
        let shared = redis.health_becomes(|health| *health == Health::Shared);
        within("a node shares its counters", shared).await;
    }
}

/// A node, as far as limits go.
struct Node {
    redis: Redis,
    limits: Limits,
    rules: RuleSet,
}

impl Node {
    fn new(server: &redis::Redis, clock: &Clock) -> Self {
        let redis = dial(server, clock);
        let limits = Limits::new(clock.clone(), Some(redis.clone()));
        let rules = limits.rules(&[RuleSpec {
            name: RuleName::parse("api").unwrap(),
            keyed_on: KeyedOn {
                client: true,
                ..KeyedOn::default()
            },
            counts: Counts::Requests,
            allowance: Allowance::of(Rate::parse(&format!("{BURST}/d")).unwrap()),
            scope: Scope::Shared,
            precision: Precision::Leased,
            keys: 100,
            everywhere: true,
        }]);
        Self {
            redis,
            limits,
            rules,
        }
    }

    /// How many of `tries` requests it admits.
    async fn admitted(&self, client: ClientNet, tries: u64) -> u64 {
        let mut admitted = 0;
        for _ in 0..tries {
            let keys = LimitKeys::Client { client, route: "r" };
            let admission = self.limits.admit(&self.rules, &[], &keys).await;
            admitted += u64::from(admission.is_ok());
            // As other connections of a worker have their turn.
            tokio::task::yield_now().await;
        }
        admitted
    }
}

/// A client whose budget nobody has touched.
fn client(last: u8) -> ClientNet {
    ClientIp::new([192, 0, 2, last].into()).network()
}

/// How many requests of one client all nodes together admit, each asked `tries` times at once.
async fn admitted(nodes: &[Arc<Node>], client: ClientNet, tries: u64) -> u64 {
    let mut all = JoinSet::new();
    for node in nodes {
        let node = Arc::clone(node);
        all.spawn(async move { node.admitted(client, tries).await });
    }
    all.join_all().await.into_iter().sum()
}

/// How often a budget was asked for: each time its script reads one key.
async fn asked(server: &redis::Redis) -> u64 {
    let stats = server.command(&["INFO", "commandstats"]).await;
    let stats: String = ::redis::from_redis_value(stats).unwrap();
    let line = stats.lines().find(|line| line.starts_with("cmdstat_get:"));
    let calls = line.and_then(|line| line.split(['=', ',']).nth(1));
    calls.map_or(0, |calls| calls.parse().unwrap())
}

/// What may have grown back in this time, over all.
fn grown(since: Instant) -> u64 {
    since.elapsed().as_secs() / 4 + 1
}

#[test]
fn a_hundred_nodes_keep_to_one_budget_through_an_outage_of_redis() {
    alone(limits());
}

async fn limits() {
    let (server, clock) = (redis::Redis::start().await, Clock::system());
    let nodes: Vec<_> = (0..NODES)
        .map(|_| Arc::new(Node::new(&server, &clock)))
        .collect();
    all_shared(nodes.iter().map(|node| &node.redis)).await;
    let leases = u64::from(NODES) * LEASE;

    // All hold leases of a budget that is full again, as after a day: the worst case of the bound.
    let first = client(1);
    assert_eq!(admitted(&nodes, first, 1).await, u64::from(NODES));
    server.command(&["FLUSHDB"]).await;
    let (since, before) = (Instant::now(), asked(&server).await);
    let total = admitted(&nodes, first, TRIES).await;
    let commands = asked(&server).await - before;
    println!("{total} of {BURST} admitted, {leases} on lease; {commands} commands");
    assert!(total <= BURST + leases + grown(since), "{total}");
    assert!(total >= BURST - leases, "{total}");
    assert!(commands < total / 4, "{commands} commands for {total}");

    // Nobody shares anything: each has its part.
    server.kill().await;
    let since = Instant::now();
    let total = admitted(&nodes, client(2), TRIES).await;
    println!("{total} admitted without redis");
    assert!((BURST..=BURST + grown(since)).contains(&total), "{total}");

    // It comes back empty, and counting together goes on by itself.
    server.restart().await;
    all_shared(nodes.iter().map(|node| &node.redis)).await;
    let since = Instant::now();
    let total = admitted(&nodes, client(3), TRIES).await;
    println!("{total} admitted after it");
    let most = BURST + grown(since);
    assert!((BURST - leases..=most).contains(&total), "{total}");
}

/// The accounts of a node, on a database that all share.
async fn accounts(folder: &std::path::Path, redis: &Redis, clock: &Clock) -> Accounts {
    let settings = Settings {
        database: Database::Sqlite(folder.join("accounts.db")),
        hashing: HashSettings {
            cost: Cost::new(64, 1, 1).unwrap(),
            threads: NonZeroUsize::MIN,
            queue: NonZeroUsize::MIN,
        },
        key_prefix: KeyPrefix::default(),
    };
    let accounts = Accounts::open(&settings, Rules::default(), clock.clone());
    let accounts = accounts.await.unwrap();
    push_news(redis, &accounts, &Handle::current());
    tokio::spawn(accounts.clone().follow());
    accounts
}

fn is_revoked(node: &Accounts, session: &Opened) -> bool {
    let subject = session.account.id.to_string();
    let issued_at = session.account.created_at;
    let revocations = node.revocations();
    revocations.is_revoked(Some(session.id), &subject, issued_at)
}

/// Ends a session on one node and waits for all others.
async fn ends_everywhere(nodes: &[Accounts], account: &Account, at: usize) -> Duration {
    let origin = Origin::client(ClientIp::new([127, 0, 0, 1].into()));
    let proof = Proof::by_password(account.clone());
    let session = nodes[0].open_session(&proof, Device::new(None, None)).await;
    let session = session.unwrap();
    let ended = nodes[at].end_session(account.id, session.id, &origin).await;
    assert_eq!(ended.unwrap(), 1);
    let since = Instant::now();
    within("all nodes hear of it", async {
        for node in nodes {
            while !is_revoked(node, &session) {
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
    since.elapsed()
}

/// The bound on this machine as it is: a hundred nodes look at one disk twice a second here, and are
/// given what ten such looks of all of them take now.
async fn bound(nodes: &[Accounts]) -> Duration {
    let since = Instant::now();
    for node in nodes {
        node.ping().await.unwrap();
    }
    HEARD + 10 * since.elapsed()
}

/// A revocation on one node is heard of by all in time.
async fn is_heard_in_time(nodes: &[Accounts], account: &Account, at: usize) {
    let took = ends_everywhere(nodes, account, at).await;
    let bound = bound(nodes).await;
    println!("heard everywhere within {took:?}, and at most {bound:?}");
    assert!(took < bound, "{took:?}, not {bound:?}");
}

#[test]
fn a_hundred_nodes_hear_of_a_revocation_within_two_seconds_with_redis_and_without() {
    alone(revocations());
}

async fn revocations() {
    let (server, clock) = (redis::Redis::start().await, Clock::system());
    let folder = tempfile::tempdir().unwrap();
    let (mut links, mut nodes) = (Vec::new(), Vec::new());
    for _ in 0..NODES {
        let redis = dial(&server, &clock);
        nodes.push(accounts(folder.path(), &redis, &clock).await);
        links.push(redis);
    }
    all_shared(links.iter()).await;
    let new = NewAccount {
        email: EmailAddress::parse("ann@example.com").unwrap(),
        password: PlainPassword::parse("correct horse battery").unwrap(),
        username: None,
        name: None,
        invitation: None,
    };
    let origin = Origin::client(ClientIp::new([127, 0, 0, 1].into()));
    let ann = nodes[0].register(new, &origin).await.unwrap();

    for at in [7, 42, 99] {
        is_heard_in_time(&nodes, &ann, at).await;
    }
    server.kill().await;
    is_heard_in_time(&nodes, &ann, 23).await;
    server.restart().await;
    all_shared(links.iter()).await;
    is_heard_in_time(&nodes, &ann, 64).await;
}
