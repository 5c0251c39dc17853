//! One connection to Redis, behind a circuit: when Redis is away nobody waits for it.

use std::convert::Infallible;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, FromRedisValue, IntoConnectionInfo as _,
    ProtocolVersion, PushInfo, PushKind, Script, ScriptInvocation,
};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use crate::clock::{Clock, Timestamp};
use crate::secret::Secret;

/// Between two looks at a Redis that nobody asks: `/readyz` is no older than this.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Between the first and the second attempt to connect; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Recovery is noticed within this and one time-out.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Writes, since a Redis that only reads is as good as away.
static PROBE: LazyLock<Script> =
    LazyLock::new(|| Script::new("redis.call('SET', KEYS[1], 1, 'PX', 10000) return 1"));

/// Where Redis is and how long it may take.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// `redis://host:port/db`, or `rediss://` for TLS; without credentials.
    pub url: String,
    pub username: Option<String>,
    pub password: Option<Secret>,
    /// Stands before every key, so that several installations can share a Redis.
    pub prefix: String,
    /// How many gateways share the limits: each takes this share when Redis is away.
    pub nodes: NonZeroU32,
    /// Longest wait for one answer; then the circuit opens.
    pub response_timeout: Duration,
    /// Longest wait for a connection, which nobody but the background probe waits for.
    pub connect_timeout: Duration,
}

/// Why the settings make no connection.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRedis {
    #[error("not a Redis URL: `redis://host:6379`, or `rediss://` for TLS")]
    Url(#[source] redis::RedisError),
    #[error("the certificate of Redis is always verified: `#insecure` is not taken")]
    Insecure,
    #[error("credentials do not stand in the URL: use `username` and `password`")]
    CredentialsInUrl,
    #[error("the password of Redis is not UTF-8 text")]
    Password,
}

/// The shared counters. Clones share one connection.
#[derive(Clone)]
pub struct Redis(Arc<Circuit>);

/// Where counters live at this moment; for `/readyz` and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// No Redis is configured: counters are in process.
    Local,
    /// Redis answers.
    Shared,
    /// Redis does not: each node counts for itself, with its share of every budget.
    Away { since: Timestamp, why: String },
}

/// Redis did not do what it was asked: decide locally.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("redis is away")]
pub(crate) struct Away;

struct Circuit {
    client: Client,
    settings: RedisSettings,
    clock: Clock,
    control: Handle,
    /// There while the circuit is closed.
    link: ArcSwapOption<MultiplexedConnection>,
    opened: Notify,
    seen: watch::Sender<Seen>,
    /// Another node has announced something, or may have while nobody listened.
    news: Arc<Notify>,
}

/// What is known of Redis.
#[derive(Clone, Debug)]
struct Seen {
    health: Health,
    /// Whether the first attempt to connect has ended.
    answered: bool,
}

impl RedisSettings {
    /// Checks that the settings make a connection, without making one.
    ///
    /// # Errors
    /// See [`InvalidRedis`].
    pub fn check(&self) -> Result<(), InvalidRedis> {
        self.client().map(|_| ())
    }

    fn client(&self) -> Result<Client, InvalidRedis> {
        let info = self.url.as_str().into_connection_info();
        let mut info = info.map_err(InvalidRedis::Url)?;
        if let ConnectionAddr::TcpTls { insecure: true, .. } = info.addr() {
            return Err(InvalidRedis::Insecure);
        }
        let mut server = info.redis_settings().clone();
        if server.username().is_some() || server.password().is_some() {
            return Err(InvalidRedis::CredentialsInUrl);
        }
        if let Some(username) = &self.username {
            server = server.set_username(username);
        }
        if let Some(password) = &self.password {
            let text = std::str::from_utf8(password.expose());
            server = server.set_password(text.map_err(|_| InvalidRedis::Password)?);
        }
        // RESP3 (Redis 6): what is published comes over the connection that is there anyhow.
        server = server.set_protocol(ProtocolVersion::RESP3);
        info = info.set_redis_settings(server.set_skip_set_lib_name());
        Client::open(info).map_err(InvalidRedis::Url)
    }
}

impl Redis {
    /// Starts connecting in the background, on `control`, for as long as that runs.
    ///
    /// # Errors
    /// When the settings make no connection. That Redis does not answer is no error.
    pub fn start(
        settings: RedisSettings,
        clock: Clock,
        control: &Handle,
    ) -> Result<Self, InvalidRedis> {
        let health = Health::Away {
            since: clock.now(),
            why: String::from("not connected yet"),
        };
        let seen = Seen {
            health,
            answered: false,
        };
        let circuit = Arc::new(Circuit {
            client: settings.client()?,
            settings,
            clock,
            control: control.clone(),
            link: ArcSwapOption::empty(),
            opened: Notify::new(),
            seen: watch::Sender::new(seen),
            news: Arc::default(),
        });
        control.spawn(tend(Arc::clone(&circuit)));
        Ok(Self(circuit))
    }

    /// Waits until the first attempt to connect has ended, well or badly: at most the connect
    /// time-out.
    pub async fn first_answer(&self) {
        let mut seen = self.0.seen.subscribe();
        // It ends in an error only when the sender is gone, which `self` holds.
        let _ = seen.wait_for(|seen| seen.answered).await;
    }

    pub fn health(&self) -> Health {
        self.0.seen.borrow().health.clone()
    }

    /// Waits until Redis is seen to answer, or to be away.
    pub async fn health_becomes(&self, wanted: impl Fn(&Health) -> bool) {
        let mut seen = self.0.seen.subscribe();
        // It ends in an error only when the sender is gone, which `self` holds.
        let _ = seen.wait_for(|seen| wanted(&seen.health)).await;
    }

    /// Whether the circuit is closed.
    pub(crate) fn answers(&self) -> bool {
        self.0.link.load().is_some()
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.0.settings.prefix
    }

    pub(crate) fn nodes(&self) -> NonZeroU32 {
        self.0.settings.nodes
    }

    /// The longest wait for an answer.
    pub(crate) fn response_timeout(&self) -> Duration {
        self.0.settings.response_timeout
    }

    /// Where to ask what nobody waits for.
    pub(crate) fn control(&self) -> &Handle {
        &self.0.control
    }

    /// Tells the other nodes that there is something new in the database. A message that is lost
    /// costs nothing but time: they look now and then.
    pub async fn announce(&self) {
        let Some(link) = self.0.link.load_full() else {
            return;
        };
        let mut connection = MultiplexedConnection::clone(&link);
        let mut command = redis::cmd("PUBLISH");
        command.arg(self.0.channel()).arg("");
        let published = command.query_async::<()>(&mut connection);
        match timeout(self.0.settings.response_timeout, published).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "redis tells other nodes nothing"),
            Err(_elapsed) => tracing::debug!("redis was too slow to tell other nodes"),
        }
    }

    /// Waits until another node has announced something, or may have while Redis was away.
    pub async fn announced(&self) {
        self.0.news.notified().await;
    }

    /// Runs a script. While the circuit is open this answers at once; else within the response
    /// time-out. What does not succeed opens the circuit. May be called on any runtime.
    pub(crate) async fn invoke<T: FromRedisValue>(
        &self,
        call: &ScriptInvocation<'_>,
    ) -> Result<T, Away> {
        self.0.invoke(call).await
    }
}

impl Circuit {
    async fn invoke<T: FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Result<T, Away> {
        let Some(link) = self.link.load_full() else {
            return Err(Away);
        };
        let mut connection = MultiplexedConnection::clone(&link);
        let answer = call.invoke_async(&mut connection);
        match timeout(self.settings.response_timeout, answer).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                self.open(link, error.to_string());
                Err(Away)
            }
            Err(_elapsed) => {
                self.open(link, String::from("no answer in time"));
                Err(Away)
            }
        }
    }

    /// Opens the circuit unless `link` has been replaced already.
    fn open(&self, link: Arc<MultiplexedConnection>, why: String) {
        let failed = Some(link);
        let found = self.link.compare_and_swap(&failed, None);
        let is_failed = |found: &Arc<_>| failed.as_ref().is_some_and(|f| Arc::ptr_eq(f, found));
        if found.as_ref().is_some_and(is_failed) {
            self.away(why);
            self.opened.notify_one();
        }
    }

    fn close(&self, link: MultiplexedConnection) {
        self.link.store(Some(Arc::new(link)));
        tracing::info!("redis answers: limits are shared again");
        self.news.notify_one();
        self.seen.send_replace(Seen {
            health: Health::Shared,
            answered: true,
        });
    }

    /// Notes that Redis is away, and logs it when that is news.
    fn away(&self, why: String) {
        let now = self.clock.now();
        self.seen.send_modify(|seen| {
            let since = match &seen.health {
                Health::Away { since, .. } if seen.answered => *since,
                Health::Away { .. } | Health::Shared | Health::Local => {
                    tracing::warn!(why, "redis is away: each node counts its share");
                    now
                }
            };
            seen.health = Health::Away { since, why };
            seen.answered = true;
        });
    }

    /// Connects and writes once.
    async fn connect(&self) -> Result<MultiplexedConnection, String> {
        // The wait for an answer is bounded in `invoke`, for all commands of a script together.
        let news = Arc::clone(&self.news);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_push_sender(move |push: PushInfo| {
                if push.kind == PushKind::Message {
                    news.notify_one();
                }
                Ok::<(), Infallible>(())
            });
        let attempt = async {
            let connecting = self
                .client
                .get_multiplexed_async_connection_with_config(&config);
            let mut link = connecting.await?;
            self.probe().invoke_async::<u32>(&mut link).await?;
            // A user who may not: the counters are shared all the same.
            if let Err(error) = link.subscribe(self.channel()).await {
                tracing::warn!(%error, "redis does not tell what other nodes announce");
            }
            Ok(link)
        };
        match timeout(self.settings.connect_timeout, attempt).await {
            Ok(Ok(link)) => Ok(link),
            Ok(Err(error)) => Err(redis::RedisError::to_string(&error)),
            Err(_elapsed) => Err(String::from("no connection in time")),
        }
    }

    fn channel(&self) -> String {
        format!("{}:news", self.settings.prefix)
    }

    fn probe(&self) -> ScriptInvocation<'static> {
        PROBE.key(format!("{}:probe", self.settings.prefix))
    }
}

/// Keeps the circuit: connects while it is open, looks now and then while it is closed.
async fn tend(circuit: Arc<Circuit>) {
    let mut pause = FIRST_PAUSE;
    loop {
        match circuit.connect().await {
            Ok(link) => {
                circuit.close(link);
                pause = FIRST_PAUSE;
                while circuit.link.load().is_some() {
                    // Either end is a reason to look: a failure opens the circuit in `invoke`.
                    let _ = timeout(HEARTBEAT, circuit.opened.notified()).await;
                    let _: Result<u32, Away> = circuit.invoke(&circuit.probe()).await;
                }
            }
            Err(why) => {
                circuit.away(why);
                sleep(pause).await;
                pause = LONGEST_PAUSE.min(pause.saturating_mul(2));
            }
        }
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Redis").field(&self.health()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::test_redis::{TestRedis, becomes_shared};

    /// What a loaded machine needs at most.
    const BOUND: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn what_one_node_announces_reaches_the_others_also_after_an_outage() {
        let mut server = TestRedis::start().await;
        let (one, two) = (server.connect().await, server.connect().await);
        // A node that has just connected may have missed something.
        timeout(BOUND, two.announced()).await.unwrap();
        for _ in 0..2 {
            one.announce().await;
            timeout(BOUND, two.announced()).await.unwrap();
            server.kill();
            two.health_becomes(|health| matches!(health, Health::Away { .. }))
                .await;
            one.health_becomes(|health| matches!(health, Health::Away { .. }))
                .await;
            one.announce().await;
            server.restart();
            becomes_shared(&one).await;
            becomes_shared(&two).await;
            timeout(BOUND, two.announced()).await.unwrap();
        }
    }
}
