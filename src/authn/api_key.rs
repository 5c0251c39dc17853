//! API keys as this worker knows them: looked up once, then remembered until something changes.

mod claims;
mod known;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use tokio::runtime::Handle;

use crate::accounts::{Accounts, ApiKeyId, BoundName, DeadKey, KeyLookup, OpenedKey};
use crate::clock::{Clock, Timestamp};
use crate::inbound::ClientIp;

use super::cache::{CacheSize, TokenDigest};
use super::{AuthnError, Credential, Identity, Tenure};
use known::{Known, KnownKeys, Live};

/// Where a key stands, beside `Authorization`, unless configured.
pub const DEFAULT_KEY_HEADER: HeaderName = HeaderName::from_static("x-api-key");

/// A key that is remembered is looked at again after so long: for what no revocation tells, such
/// as a role that its owner was given.
const AGAIN: Duration = Duration::from_secs(60);
/// While the database is away, a remembered key is asked for so often.
const RETRY: Duration = Duration::from_secs(5);
/// No key is believed longer without having been looked at; revocations are remembered longer.
const OLDEST: Duration = Duration::from_secs(30 * 60);
/// A key that is no good is not looked up again for so long.
const REFUSED: Duration = Duration::from_secs(10);
/// A longer text is no key, and is not even hashed.
const LONGEST: usize = 128;
/// How long a request waits for the look-up of its key.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why a key is refused. Nothing of it is in it: it may go into a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("this gateway did not make it")]
    Foreign,
    #[error(transparent)]
    Dead(#[from] DeadKey),
    #[error("it may not be used from this network")]
    Network,
}

/// What a caller's key allows, beside what its claims say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyGrant {
    pub id: ApiKeyId,
    /// Limits under which it has a budget of its own.
    pub limits: Vec<BoundName>,
    /// How these limits count it: nobody's subject looks so.
    pub counted_as: Box<str>,
}

/// From where, and to which route, a key is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Use<'a> {
    pub(super) client: ClientIp,
    pub(super) route: &'a str,
    /// The attributes of its owner that tokens carry, by name.
    pub(super) attributes: &'a [Box<str>],
}

/// A key as it was shown, to be looked up.
#[derive(Clone, Copy)]
struct Shown<'a> {
    text: &'a str,
    digest: TokenDigest,
    attributes: &'a [Box<str>],
}

/// The keys of one worker.
pub(super) struct ApiKeys {
    known: KnownKeys,
    accounts: Accounts,
    /// Look-ups run there: no worker waits for a database.
    control: Handle,
}

impl ApiKeys {
    pub(super) fn new(size: CacheSize, accounts: Accounts, control: Handle) -> Self {
        Self {
            known: KnownKeys::new(size),
            accounts,
            control,
        }
    }

    /// Whether `text` says that it is a key of ours.
    pub(super) fn begins(&self, text: &str) -> bool {
        self.accounts.key_form().prefix().begins(text)
    }

    /// Who calls with the key `text`. What is known costs a SHA-256, a look-up in memory and an
    /// atomic load; what this gateway did not make, a tag; the rest one look-up in the database.
    pub(super) async fn identify(
        &self,
        text: &str,
        at: Use<'_>,
        clock: &Clock,
    ) -> Result<Identity, AuthnError> {
        if text.len() > LONGEST {
            self.count(KeyLookup::Unknown);
            return Err(AuthnError::ApiKey(KeyError::Foreign));
        }
        let digest = TokenDigest::of(text);
        let shown = Shown {
            text,
            digest,
            attributes: at.attributes,
        };
        let now = clock.now();
        let live = match self.known.find(&digest) {
            Some(Known::Dead { why, until }) if now < until => {
                self.count(KeyLookup::Remembered);
                return Err(refused(why));
            }
            Some(Known::Live(live)) => match self.standing(&live, now) {
                Standing::Current => {
                    self.count(KeyLookup::Remembered);
                    live
                }
                Standing::Old => self.look_again(shown, live, clock).await?,
                Standing::Changed => self.look_up(shown, clock).await?,
                Standing::Revoked => {
                    self.count(KeyLookup::Remembered);
                    return Err(self.bury(digest, DeadKey::Revoked, now));
                }
            },
            Some(Known::Dead { .. }) | None => self.look_up(shown, clock).await?,
        };
        self.judge(&live, at, now)
    }

    /// What may differ from request to request.
    fn judge(&self, live: &Live, at: Use<'_>, now: Timestamp) -> Result<Identity, AuthnError> {
        if live.expires.is_some_and(|expires| expires <= now) {
            return Err(refused(DeadKey::Expired));
        }
        if !live.binding.admits_client(at.client) {
            return Err(AuthnError::ApiKey(KeyError::Network));
        }
        if !live.binding.admits_route(at.route) {
            return Err(AuthnError::OtherRoute);
        }
        let last = live.last_used.get();
        if self.accounts.note_key_use(live.grant.id, last, now) {
            live.last_used.set(Some(now));
        }
        Ok(Identity {
            tenure: Tenure::of_key(live.grant.id, live.owner_until, live.expires),
            claims: Arc::clone(&live.claims),
            credential: Credential::ApiKey(Arc::clone(&live.grant)),
            token: live.token,
        })
    }

    fn standing(&self, live: &Live, now: Timestamp) -> Standing {
        let revocations = self.accounts.revocations();
        // Read before the revocations are asked: one that arrives in between is seen next time.
        let generation = revocations.generation();
        if live.alive_in.get() != generation {
            let (key, subject) = (live.grant.id.as_session(), live.claims.subject());
            if revocations.is_revoked(Some(key), subject, live.looked_at) {
                return Standing::Revoked;
            }
            if revocations.subject_until(subject) != live.owner_until {
                return Standing::Changed;
            }
            live.alive_in.set(generation);
        }
        match now < live.look_at.get() {
            true => Standing::Current,
            false => Standing::Old,
        }
    }

    /// Looks at a remembered key again. While the database is away the key goes on.
    async fn look_again(
        &self,
        shown: Shown<'_>,
        live: Rc<Live>,
        clock: &Clock,
    ) -> Result<Rc<Live>, AuthnError> {
        let now = clock.now();
        // Others that come with this key meanwhile go on with what is remembered.
        live.look_at.set(now + RETRY);
        match self.look_up(shown, clock).await {
            Err(AuthnError::Unavailable) if now.since(live.looked_at) < OLDEST => Ok(live),
            looked => looked,
        }
    }

    fn count(&self, lookup: KeyLookup) {
        self.accounts.key_lookups().count(lookup);
    }

    async fn look_up(&self, shown: Shown<'_>, clock: &Clock) -> Result<Rc<Live>, AuthnError> {
        let looked = self.ask(shown, clock).await;
        self.count(match &looked {
            Ok(_) => KeyLookup::Found,
            Err(AuthnError::ApiKey(KeyError::Foreign | KeyError::Dead(DeadKey::Unknown))) => {
                KeyLookup::Unknown
            }
            Err(AuthnError::ApiKey(_)) => KeyLookup::Refused,
            Err(_) => KeyLookup::Unavailable,
        });
        looked
    }

    async fn ask(
        &self,
        Shown {
            text,
            digest,
            attributes,
        }: Shown<'_>,
        clock: &Clock,
    ) -> Result<Rc<Live>, AuthnError> {
        let shown = self.accounts.key_form().read(text);
        let shown = shown.ok_or(AuthnError::ApiKey(KeyError::Foreign))?;
        let (generation, looked_at) = (self.accounts.revocations().generation(), clock.now());
        let accounts = self.accounts.clone();
        let asked = self
            .control
            .spawn(async move { accounts.open_api_key(&shown).await });
        let opened = match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(Ok(opened))) => opened,
            Ok(Ok(Err(error))) => {
                tracing::warn!(%error, "an API key could not be looked up");
                return Err(AuthnError::Unavailable);
            }
            // The look-up panicked, or the database hangs.
            Ok(Err(_)) | Err(_) => return Err(AuthnError::Unavailable),
        };
        let opened = opened.map_err(|why| self.bury(digest, why, clock.now()))?;
        let json = claims::written(&opened, attributes).ok_or(AuthnError::Unavailable)?;
        let live = self.live((opened, &json), (generation, looked_at));
        let live = Rc::new(live.ok_or(AuthnError::Unavailable)?);
        self.known.remember(digest, Known::Live(Rc::clone(&live)));
        Ok(live)
    }

    /// A key that was looked up, `generation` and `looked_at` read before.
    fn live(
        &self,
        (opened, json): (OpenedKey, &str),
        (generation, looked_at): (u64, Timestamp),
    ) -> Option<Live> {
        let claims = claims::read(json)?;
        let OpenedKey { key, .. } = opened;
        let revocations = self.accounts.revocations();
        let owner_until = revocations.subject_until(claims.subject());
        // The owner may have changed between the look-up and this: then the next request looks
        // again.
        let just_changed = owner_until.is_some_and(|until| until + AGAIN > looked_at)
            && revocations.generation() != generation;
        let look_at = match just_changed {
            true => looked_at,
            false => looked_at + AGAIN,
        };
        Some(Live {
            claims: Arc::new(claims),
            grant: Arc::new(KeyGrant {
                id: key.id,
                limits: key.binding.limits.clone(),
                counted_as: format!("api-key:{}", key.id).into(),
            }),
            binding: key.binding,
            expires: key.expires_at,
            token: TokenDigest::of(json),
            looked_at,
            owner_until,
            look_at: Cell::new(look_at),
            alive_in: Cell::new(generation),
            last_used: Cell::new(key.last_used_at),
        })
    }

    /// Remembers for a moment that a key is no good.
    fn bury(&self, digest: TokenDigest, why: DeadKey, now: Timestamp) -> AuthnError {
        let until = now + REFUSED;
        self.known.remember(digest, Known::Dead { why, until });
        refused(why)
    }
}

/// What a remembered key is worth now.
enum Standing {
    Current,
    /// Nothing is known against it, but it was looked at long ago.
    Old,
    /// Its owner is not what they were.
    Changed,
    Revoked,
}

fn refused(why: DeadKey) -> AuthnError {
    AuthnError::ApiKey(KeyError::Dead(why))
}
