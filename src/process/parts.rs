//! The parts that live as long as the process, made from a configuration and changed by a reload.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::runtime::Handle;

use super::ProcessError;
use super::managed::ManagedKeys;
use crate::access::AccessLog;
use crate::accounts::Accounts;
use crate::admin::{Condition, Health};
use crate::authn::managed::ManagedError;
use crate::clock::Clock;
use crate::config::server::ServerSection;
use crate::config::tls::TlsSection;
use crate::config::{AtStart, Config};
use crate::inbound::TrustedProxies;
use crate::limit::Limits;
use crate::lockout::Lockout;
use crate::rejection::Shape;
use crate::server::{self, Tls, TlsError};
use crate::shared::{self, Redis};
use crate::snapshot::{Services, Snapshot};
use crate::store::OpenError;
use crate::streams::Streams;
use crate::telemetry::Metrics;

pub(super) struct Parts {
    pub(super) services: Arc<Services>,
    pub(super) current: Arc<ArcSwap<Snapshot>>,
    pub(super) access: Arc<AccessLog>,
    pub(super) health: Health,
    /// What the file said of that which no reload changes.
    pub(super) at_start: AtStart,
    managed: ManagedKeys,
}

impl Parts {
    /// Opens the log, the database and the way to Redis. The database must be there; Redis may be
    /// away.
    pub(super) async fn start(
        mut config: Config,
        tls: Option<Tls>,
        (clock, metrics): (&Clock, &Metrics),
    ) -> Result<Self, ProcessError> {
        let control = Handle::current();
        let at_start = std::mem::take(&mut config.at_start);
        let access = AccessLog::start(config.logs.access.clone(), clock, metrics)?;
        let redis = match config.redis.clone() {
            Some(settings) => Some(Redis::start(settings, clock.clone(), &control)?),
            None => None,
        };
        let accounts =
            Accounts::open(&config.accounts, config.rules.clone(), clock.clone()).await?;
        // How long a failed login takes must not tell accounts apart, so the first of them waits for
        // this. Nobody else does: three hashes are 60 ms.
        let measured = accounts.calibrate().await.map_err(OpenError::Store)?;
        tokio::spawn(measured);
        if let Some(redis) = &redis {
            redis.first_answer().await;
        }
        let services = Services {
            clock: clock.clone(),
            limits: Arc::new(Limits::new(clock.clone(), redis.clone())),
            lockout: Lockout::new(config.lockout, clock.clone(), redis.clone()),
            streams: Streams::new(config.server.streams_per_session),
            remembered: config.remembered,
            accounts,
            tls,
            control,
        };
        tokio::spawn(services.accounts.clone().follow());
        if let Some(redis) = &redis {
            push_news(redis, &services.accounts, &services.control);
        }
        let managed = ManagedKeys::new(services.accounts.clone(), clock.clone());
        config.tokens = managed.adopt(config.managed.take(), config.tokens).await?;
        let current = Arc::new(ArcSwap::from_pointee(snapshot(config, &services)));
        tokio::spawn(managed.clone().follow(Arc::clone(&current)));
        Ok(Self {
            health: watched(&services, redis),
            at_start,
            managed,
            current,
            services: Arc::new(services),
            access: Arc::new(access),
        })
    }

    /// Takes over everything in `config` that may change without a restart.
    ///
    /// # Errors
    ///
    /// When the managed keys cannot be had as it wants them: then nothing is changed.
    pub(super) async fn adopt(&self, mut config: Config) -> Result<(), ManagedError> {
        let managed = config.managed.take();
        config.tokens = self.managed.adopt(managed, config.tokens).await?;
        if let (Some(tls), Some(section)) = (&self.services.tls, config.tls.take()) {
            tls.replace(section.certificates);
        }
        self.services.accounts.use_rules(config.rules.clone());
        self.services.lockout.adopt(config.lockout);
        let streams = &self.services.streams;
        streams.set_bound(config.server.streams_per_session);
        let snapshot = snapshot(config, &self.services);
        self.current.store(Arc::new(snapshot));
        streams.judge_again();
        Ok(())
    }
}

/// What is revoked here is announced to the other nodes, and what they announce is read at once.
/// Redis carries no news itself: the database has them, and is read now and then anyhow.
pub fn push_news(redis: &Redis, accounts: &Accounts, control: &Handle) {
    let (announcing, runtime) = (redis.clone(), control.clone());
    accounts.announce_by(move || {
        let redis = announcing.clone();
        runtime.spawn(async move { redis.announce().await });
    });
    let (redis, accounts) = (redis.clone(), accounts.clone());
    control.spawn(async move {
        loop {
            redis.announced().await;
            accounts.wake();
        }
    });
}

/// TLS with the certificates of the configuration.
pub(super) fn tls(section: Option<TlsSection>, clock: &Clock) -> Result<Option<Tls>, TlsError> {
    let make = |section: TlsSection| Tls::new(section.certificates, section.oldest, clock.clone());
    section.map(make).transpose()
}

/// What the server needs of the configuration.
pub(super) fn settings(section: &ServerSection, tls: Option<Tls>) -> server::Settings {
    server::Settings {
        listeners: section.listeners.clone(),
        tls,
        public_url: section.public_url.clone(),
        bounds: section.bounds.clone(),
        proxies: section.trusted_proxies.clone(),
    }
}

fn snapshot(config: Config, services: &Services) -> Snapshot {
    Snapshot {
        limits: Arc::new(services.limits.rules(&config.limits)),
        routes: config.routes,
        tokens: ArcSwap::from_pointee(config.tokens),
        askers: config.askers,
        trusted_proxies: TrustedProxies::new(config.server.trusted_proxies),
        upstreams: config.upstreams,
        login_page: config.login_page,
        login_hosts: Arc::new(config.login_hosts),
        default_shape: Shape::default(),
    }
}

/// What `/readyz` looks at.
fn watched(services: &Services, redis: Option<Redis>) -> Health {
    let health = Health::default();
    let accounts = services.accounts.clone();
    health.watch("database", move || {
        let silent = accounts.revocations().staleness();
        match (silent.as_secs(), accounts.writes_fail()) {
            (0..5, None) => Condition::Good,
            (0..5, Some(why)) => Condition::Degraded(format!("changes cannot be stored: {why}")),
            (seconds, _) => Condition::Degraded(format!("no answer for {seconds} s")),
        }
    });
    if let Some(redis) = redis {
        health.watch("redis", move || match redis.health() {
            shared::Health::Local | shared::Health::Shared => Condition::Good,
            shared::Health::Away { why, .. } => Condition::Degraded(why),
        });
    }
    health
}
