//! What is tortured: three nodes over one Redis and one PostgreSQL, two backends, and what clients send.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::timeout;

use super::backend::{Backend, TAG, content};
use super::findings::Findings;
use super::sessions::Ended;
use super::weather::{Organ, Weather};
use crate::suite::harness::client::Call;
use crate::suite::harness::postgres::TestServer;
use crate::suite::harness::redis::Redis;
use crate::suite::harness::{Answer, Client, Config, Gateway};

/// Longer than any answer may take: the sum of the bounds that a request can meet.
const ANSWERED: Duration = Duration::from_secs(30);

/// After SIGTERM a node has ended: what is configured as `drain`, and the wait for its database.
pub const DRAINED: Duration = Duration::from_secs(8 + 5);

/// Without news of revocations for so long nobody is believed: `max_staleness`.
pub const STALE: Duration = Duration::from_secs(15);

/// The burst of the rule `few`, and what grows back in a minute.
pub const FEW: u32 = 60;

/// What a node holds of it in advance: a tenth of the burst over all nodes.
pub const LEASE: u32 = FEW / 10 / 3;

/// Wrong passwords for one name from one network: what comes at once, by default.
pub const PAIR: u32 = 5;

/// The same for one account from everywhere that it does not know.
pub const ACCOUNT: u32 = 50;

const SETTINGS: &str = r#"
    [server]
    drain = "8s"
    [accounts]
    profiles = ["native", "browser"]
    [accounts.postgres]
    connect_timeout = "5s"
    statement_timeout = "5s"
    [tokens]
    lifetime = "10m"
    max_staleness = "15s"
    remembered = "1MiB"
    [log]
    access = { file = "access.log" }
    [[limit]]
    name = "few"
    key = "client"
    rate = "60/min"
    burst = 60
"#;

const ROUTES: &str = r#"
    [[route]]
    path = "/public/**"
    upstream = "app"
    auth = "none"
    [[route]]
    path = "/public/frail"
    upstream = "frail"
    auth = "none"
    [[route]]
    path = "/public/pair"
    upstream = "pair"
    auth = "none"
    [[route]]
    path = "/limited/**"
    upstream = "app"
    auth = "none"
    limits = ["few"]
    [[route]]
    path = "/frail/**"
    upstream = "frail"
    [[route]]
    path = "/pair/**"
    upstream = "pair"
    [[route]]
    path = "/**"
    upstream = "app"
"#;

pub struct Node {
    pub https: Client,
    pub admin: Client,
    pub config: Config,
    /// Nobody but the faults touches the process.
    pub gateway: AsyncMutex<Option<Gateway>>,
}

pub struct World {
    pub findings: Arc<Findings>,
    pub weather: Weather,
    pub nodes: [Node; 3],
    pub redis: Redis,
    pub postgres: Arc<TestServer>,
    pub frail: Backend,
    /// Sessions whose end was acknowledged.
    pub ended: Mutex<Vec<Ended>>,
    /// What the nodes wrote that have ended.
    pub logs: Mutex<String>,
    pub is_over: AtomicBool,
    _steady: Backend,
    tags: AtomicU64,
}

impl World {
    pub async fn start() -> Self {
        let findings = Arc::new(Findings::new());
        let redis = Redis::start().await;
        let postgres = Arc::new(TestServer::start(&[]));
        let (steady, frail) = (Backend::start(&findings), Backend::start(&findings));
        let config = || {
            let shared = format!(
                "[redis]\nurl = {:?}\nnodes = 3\nresponse_timeout = \"1s\"",
                redis.url()
            );
            let base = Config::new().toml(&shared).toml(ROUTES);
            let base = base.toml(&upstream("app", &[&steady]));
            let base = base.toml(&upstream("frail", &[&frail]));
            base.toml(&upstream("pair", &[&steady, &frail]))
        };
        let first = config().postgres(&postgres).toml(SETTINGS).start().await;
        let second = config().toml(SETTINGS).sharing(&first).start().await;
        let third = config().toml(SETTINGS).sharing(&first).start().await;
        let nodes = [first, second, third].map(|gateway| Node {
            https: gateway.https(),
            admin: gateway.admin(),
            config: gateway.config.clone(),
            gateway: AsyncMutex::new(Some(gateway)),
        });
        Self {
            findings,
            weather: Weather::default(),
            nodes,
            redis,
            postgres,
            frail,
            ended: Mutex::default(),
            logs: Mutex::default(),
            is_over: AtomicBool::new(false),
            _steady: steady,
            tags: AtomicU64::new(0),
        }
    }

    pub fn wrong(&self, what: impl Into<String>) {
        self.findings.wrong(what);
    }

    pub fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }

    pub fn tag(&self) -> String {
        format!("t{:09}", self.tags.fetch_add(1, Ordering::Relaxed))
    }

    /// Sends a request and waits for its whole answer. `None`: the connection visibly broke, which it
    /// may only where one of `needs` was not well.
    pub async fn ask(&self, needs: &[Organ], what: &str, call: Call) -> Option<Answer> {
        let tag = self.tag();
        self.ask_tagged(needs, what, (call, &tag)).await
    }

    pub async fn ask_tagged(
        &self,
        needs: &[Organ],
        what: &str,
        (call, tag): (Call, &str),
    ) -> Option<Answer> {
        let since = Instant::now();
        let answer = timeout(ANSWERED, call.header(TAG, tag).try_send()).await;
        let Ok(answer) = answer else {
            if self.weather.lateness(since) < Duration::from_secs(2) {
                self.wrong(format!("{tag} {what}: no answer within {ANSWERED:?}"));
            }
            return None;
        };
        match answer {
            Ok(answer) => {
                self.is_well_formed(tag, what, &answer);
                Some(answer)
            }
            Err(error) => {
                self.findings.count("broken connections");
                if self.weather.was_well(needs, since) {
                    self.wrong(format!("{tag} {what}: {needs:?} were well, and {error:?}"));
                }
                None
            }
        }
    }

    /// A complete answer is the backend's to this very request, or one of the gateway's own.
    pub fn is_well_formed(&self, tag: &str, what: &str, answer: &Answer) {
        let status = answer.status.as_u16();
        if let Some(theirs) = answer.header(TAG) {
            if theirs != tag || answer.body != content(tag) {
                let length = answer.body.len();
                self.wrong(format!(
                    "{tag} {what}: the answer to {theirs}, {length} octets, as complete"
                ));
            }
        } else if status >= 400 {
            let is_json = answer
                .header("content-type")
                .is_some_and(|kind| kind.ends_with("json"));
            let told: Option<Value> = serde_json::from_slice(&answer.body).ok();
            if is_json && told.is_none_or(|told| told["status"] != status) {
                self.wrong(format!("{tag} {what}: {status} with {}", answer.text()));
            }
        }
    }

    /// Whether a node says that it is well and misses nothing.
    pub async fn is_ready(&self, node: usize) -> bool {
        let asked = self.nodes[node].admin.get("/readyz").try_send();
        let answer = timeout(Duration::from_secs(5), asked).await;
        let Ok(Ok(answer)) = answer else { return false };
        answer.status == 200 && !answer.text().contains("degraded")
    }

    /// All that a node has counted, as Prometheus reads it.
    pub async fn metrics(&self, node: usize) -> String {
        self.nodes[node].admin.get("/metrics").send().await.text()
    }
}

/// An upstream with bounds that a run of minutes meets often.
fn upstream(name: &str, servers: &[&Backend]) -> String {
    let servers: Vec<_> = servers.iter().map(|server| server.url()).collect();
    format!(
        "[[upstream]]\nname = {name:?}\nservers = {servers:?}\n\
         connect_timeout = \"2s\"\nfirst_byte_timeout = \"3s\"\nmax_backoff = \"1s\""
    )
}
