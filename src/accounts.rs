//! People: accounts, their passwords and sessions. The store is behind [`crate::store`].

mod api_key;
mod attributes;
pub mod audit;
mod breached;
mod browser;
mod email;
mod failing;
mod hasher;
mod import;
mod invitation;
mod lag;
mod login;
mod login_code;
mod name;
mod operations;
mod password;
mod refresh;
mod registration;
mod revocation;
mod ring;
mod rules;
#[cfg(test)]
pub(crate) mod samples;
mod second_factor;
mod service;
mod session;
mod sessions;
mod signing_keys;
mod sweep_time;
#[cfg(test)]
mod tests;
mod user;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, Notify};
use tokio::time::MissedTickBehavior;

pub use api_key::{
    ApiKey, ApiKeyError, ApiKeyId, Binding, BindingError, BoundName, DeadKey, Holder, IssuedKey,
    KeyForm, KeyHash, KeyLookup, KeyLookups, KeyOwner, KeyPrefix, KeyText, NewApiKey, NotAPrefix,
    OpenedKey, Scope, ShownKey, WrittenBinding,
};
pub use attributes::{AttributeError, Attributes};
pub use audit::{Actor, Audit, Event, Origin, Refusal};
pub use breached::BreachedPasswords;
pub use browser::{BrowserSession, Keep, OpenedInBrowser};
pub use email::{EmailAddress, EmailError};
pub use hasher::{Checked, Cost, HashError, HashSettings, Hasher, NotACost, NotImportable};
pub use import::{Arrival, ImportError, ImportMode, ImportedAccount};
pub use invitation::{
    Invitation, InvitationCode, InvitationDigest, NewInvitation, NotAnInvitation,
};
pub use lag::LagFigures;
pub use login::{Candidate, ChangePasswordError, CheckError, PasswordChange};
pub use login_code::{GoodFor, LoginCodeDigest, NotATicket, Ticket, TicketDigest};
pub use name::{DisplayName, LoginName, NameError, Username};
pub use operations::OperateError;
pub use password::{
    OwnNames, Owner, PasswordHash, PasswordPolicy, PasswordTooLong, PlainPassword, PolicyError,
};
pub use registration::{NewAccount, RegisterError, Registered};
pub use revocation::{Revocation, Revocations};
pub use ring::Ring;
pub use rules::{ApiKeyRules, Registration, Rules, SessionRules};
pub use second_factor::{
    FactorState, OfferedFactor, RecoveryCode, RecoveryDigest, SecondFactorError, SecondFactorRules,
    ShownCode,
};
pub use service::{NotAServiceName, ServiceAccount, ServiceName};
pub use session::{
    Device, Factors, NotASessionId, Opened, Proof, RefreshToken, Session, SessionId, SessionLife,
};
pub use sessions::{OpenSessionError, RefreshError};
pub use user::{Account, AccountId, NotARole, NotAnAccountId, Role, Status};

use failing::FailureTime;

use crate::clock::{Clock, Timestamp};
use crate::store::{Database, Ending, OpenError, Place, Revoked, Store, StoreError, Sweep};
use api_key::KeyUses;
use sweep_time::SweepTime;

/// How often the database is asked what other processes revoked: at most so much later a token
/// that was revoked beside us is refused here.
const FOLLOW: Duration = Duration::from_millis(500);
/// Between two readings: what many revoke at one time is read together.
const GATHER: Duration = Duration::from_millis(20);
/// How often the uses of keys are written that have gathered.
const WRITE_USES: Duration = Duration::from_secs(10);
/// How often what has expired is cleared away.
const SWEEP: Duration = Duration::from_secs(3600);
/// How long somebody may take to show a code of a second factor that was offered.
const OFFERED: Duration = Duration::from_secs(3600);
/// So long a revocation is remembered at least: longer than a worker believes what it once read of a
/// session or an API key.
const REMEMBERED: Duration = Duration::from_secs(2 * 3600);

/// What is fixed for the life of the process.
#[derive(Clone, Debug)]
pub struct Settings {
    pub database: Database,
    pub hashing: HashSettings,
    /// What the text of an API key begins with.
    pub key_prefix: KeyPrefix,
}

/// Whether what is read anew says how late it is heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    /// It was there before this process.
    Old,
    Measured,
}

/// The accounts. Clones share everything.
#[derive(Clone)]
pub struct Accounts(Arc<Shared>);

type Announce = Box<dyn Fn() + Send + Sync>;

struct Shared {
    store: Store,
    hasher: Hasher,
    revocations: Revocations,
    /// Up to where the table of revocations was read.
    place: Mutex<Place>,
    lags: lag::Lags,
    /// Somebody says that there is something new to be read.
    woken: Notify,
    /// Tells other nodes that there is something new to be read.
    announce: OnceLock<Announce>,
    refresh_ring: Ring,
    device_ring: Ring,
    key_form: KeyForm,
    key_uses: KeyUses,
    key_lookups: KeyLookups,
    /// Seals session cookies.
    session_ring: Ring,
    /// Seals the codes of the login host.
    code_ring: Ring,
    /// Seals what stands for a password that was right.
    challenge_ring: Ring,
    /// Uses of sessions that wait to be written.
    uses: browser::Uses,
    rules: ArcSwap<Rules>,
    clock: Clock,
    failing: FailureTime,
}

impl Accounts {
    /// Opens the database (makes it when it is not there), brings its tables up to date, loads the
    /// revocations and starts the hashing threads. Must be called on the `control` runtime, which
    /// runs the writer.
    pub async fn open(settings: &Settings, rules: Rules, clock: Clock) -> Result<Self, OpenError> {
        let store = Store::open(&settings.database).await?;
        let now = clock.now();
        let accounts = Self(Arc::new(Shared {
            hasher: Hasher::start(&settings.hashing).map_err(OpenError::Threads)?,
            revocations: Revocations::new(clock.clone()),
            place: Mutex::default(),
            lags: lag::Lags::default(),
            woken: Notify::new(),
            announce: OnceLock::new(),
            refresh_ring: Ring::load(&store, "refresh", now).await?,
            device_ring: Ring::load(&store, "device", now).await?,
            key_form: KeyForm::new(
                settings.key_prefix.clone(),
                Ring::load(&store, "api-key", now).await?,
            ),
            key_uses: KeyUses::default(),
            key_lookups: KeyLookups::default(),
            session_ring: Ring::load(&store, "session", now).await?,
            code_ring: Ring::load(&store, "login-code", now).await?,
            challenge_ring: Ring::load(&store, "challenge", now).await?,
            uses: browser::Uses::default(),
            store,
            rules: ArcSwap::from_pointee(rules),
            clock,
            failing: FailureTime::default(),
        }));
        accounts.catch_up(News::Old).await?;
        Ok(accounts)
    }

    /// Follows what other processes change in the database and clears away what has expired, for
    /// ever: to be spawned once on the `control` runtime of a running gateway.
    pub async fn follow(self) {
        // Apart: news must not wait for a database that hangs as it writes.
        tokio::join!(self.read_news(), self.keep_house());
    }

    /// Reads what was revoked, twice a second and when somebody says that there is something.
    async fn read_news(&self) {
        let mut ticks = tokio::time::interval(FOLLOW);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_away = false;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.0.woken.notified() => {}
            }
            is_away = match (self.catch_up(News::Measured).await, is_away) {
                (Ok(()), true) => {
                    tracing::info!("revocations can be read again");
                    false
                }
                (Ok(()), false) => false,
                (Err(_), true) => true,
                (Err(error), false) => {
                    tracing::warn!(%error, "revocations cannot be read");
                    true
                }
            };
            tokio::time::sleep(GATHER).await;
        }
    }

    /// Writes what has gathered, and clears away what has expired.
    async fn keep_house(&self) {
        let mut ticks = tokio::time::interval(FOLLOW);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let clock = &self.0.clock;
        let mut sweep_time = SweepTime::begin(clock);
        let (mut sweep_at, mut write_at) = (clock.steady() + SWEEP, Duration::ZERO);
        let mut is_away = false;
        loop {
            ticks.tick().await;
            is_away = match (self.write_uses().await, is_away) {
                (Ok(_), _) => false,
                (Err(_), true) => true,
                (Err(error), false) => {
                    tracing::warn!(%error, "the last use of sessions cannot be written");
                    true
                }
            };
            if clock.steady() >= write_at {
                write_at = clock.steady() + WRITE_USES;
                self.write_key_uses().await;
            }
            // A database that is away is told of by `read_news`.
            if let Ok(measured) = self.calibrate().await {
                measured.await;
            }
            if clock.steady() >= sweep_at {
                sweep_at = clock.steady() + SWEEP;
                self.sweep(sweep_time.next(clock)).await;
            }
        }
    }

    /// Makes the changes that are under way and closes the database.
    pub async fn close(&self) {
        self.write_key_uses().await;
        if let Err(error) = self.write_uses().await {
            tracing::warn!(%error, "the last use of sessions was not written");
        }
        self.0.store.close().await;
    }

    /// From now on these rules hold.
    pub fn use_rules(&self, rules: Rules) {
        self.0.rules.store(Arc::new(rules));
    }

    pub fn revocations(&self) -> &Revocations {
        &self.0.revocations
    }

    pub fn hasher(&self) -> &Hasher {
        &self.0.hasher
    }

    pub fn audit(&self) -> Audit {
        Audit
    }

    /// Seals the cookie by which a device that logged in before is known again.
    pub fn device_ring(&self) -> &Ring {
        &self.0.device_ring
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.0.store.ping().await
    }

    /// Why the last change could not be stored, until one can: a database may go on being read when
    /// its disk is full.
    pub fn writes_fail(&self) -> Option<String> {
        self.0.store.writes_fail()
    }

    /// Has the database read now rather than at the next turn.
    pub fn wake(&self) {
        self.0.woken.notify_one();
    }

    /// From now on `announce` is called, on the control runtime, whenever something was revoked
    /// here; only the first call counts.
    pub fn announce_by(&self, announce: impl Fn() + Send + Sync + 'static) {
        // An error: somebody did before.
        drop(self.0.announce.set(Box::new(announce)));
    }

    /// How late this node heard of what others revoked.
    /// What became of the API keys that were shown.
    pub fn key_lookups(&self) -> &KeyLookups {
        &self.0.key_lookups
    }

    pub fn revocation_lags(&self) -> LagFigures {
        self.0.lags.figures()
    }

    /// Reads what was revoked since the last time.
    async fn catch_up(&self, measure: News) -> Result<(), StoreError> {
        let mut place = self.0.place.lock().await;
        // The news are as old as the question, however long the answer takes.
        let asked_at = self.0.clock.steady();
        let news = self.0.store.revocations(&place).await?;
        if measure == News::Measured {
            for ((revocation, _), age) in news.revocations.iter().zip(&news.ages) {
                if let Some(age) = age
                    && !self.0.revocations.knows(revocation)
                {
                    self.0.lags.record(*age);
                }
            }
        }
        let now = self.now();
        let in_force = news
            .revocations
            .into_iter()
            .filter(|(_, forget_at)| *forget_at > now);
        self.0.revocations.add(in_force);
        self.0.revocations.heard(asked_at);
        *place = news.place;
        Ok(())
    }

    async fn sweep(&self, now: Timestamp) {
        let sweep = Sweep {
            now,
            // Until then a token may live that names the session, and be revoked with it.
            sessions_before: now - self.rules().sessions.longest_token,
            offers_before: now - OFFERED,
        };
        match self.0.store.commit(sweep).await {
            Ok(0) => {}
            Ok(rows) => tracing::debug!(rows, "what had expired was cleared away"),
            Err(error) => tracing::warn!(%error, "what has expired could not be cleared away"),
        }
    }

    fn store(&self) -> &Store {
        &self.0.store
    }

    fn rules(&self) -> Arc<Rules> {
        self.0.rules.load_full()
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    fn refresh_ring(&self) -> &Ring {
        &self.0.refresh_ring
    }

    /// An end that begins now.
    fn ending(&self, origin: &Origin) -> Ending {
        let at = self.now();
        Ending {
            at,
            forget_at: at + self.rules().sessions.longest_token.max(REMEMBERED),
            origin: origin.clone(),
        }
    }

    /// Lets every worker know what a change revoked. Answers how many sessions.
    fn revoked(&self, revoked: Revoked) -> u64 {
        let is_session = |(revocation, _): &&(Revocation, Timestamp)| match revocation {
            Revocation::Session(_) => true,
            Revocation::Subject { .. } => false,
        };
        let sessions = revoked.iter().filter(is_session).count();
        let is_news = !revoked.is_empty();
        self.0.revocations.add(revoked);
        if let Some(announce) = self.0.announce.get().filter(|_| is_news) {
            announce();
        }
        u64::try_from(sessions).unwrap_or(u64::MAX)
    }

    /// Logs what was stored.
    fn note(&self, event: Event, account: AccountId, origin: &Origin) {
        self.audit().stored(&audit::Entry {
            event,
            account: Some(account),
            session: None,
            origin: origin.clone(),
        });
    }
}
