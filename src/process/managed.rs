//! Keeps the managed signing keys of the running gateway: makes what is due, and has every worker
//! use what the database says.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::accounts::Accounts;
use crate::authn::Tokens;
use crate::authn::managed::{ManagedError, ManagedSettings, Plan};
use crate::clock::Clock;
use crate::snapshot::Snapshot;
use crate::store::SealedKey;

/// How often the database is looked into: a new key is on every node so much later.
const LOOK: Duration = Duration::from_millis(500);

/// The managed keys as this process knows them. Clones share them.
#[derive(Clone)]
pub(super) struct ManagedKeys(Arc<Shared>);

struct Shared {
    accounts: Accounts,
    clock: Clock,
    /// `None`: the configuration has none.
    settings: ArcSwapOption<ManagedSettings>,
    /// As they were last read.
    keys: ArcSwap<Vec<SealedKey>>,
}

impl ManagedKeys {
    pub(super) fn new(accounts: Accounts, clock: Clock) -> Self {
        Self(Arc::new(Shared {
            accounts,
            clock,
            settings: ArcSwapOption::empty(),
            keys: ArcSwap::default(),
        }))
    }

    /// `tokens` with the managed keys, when the configuration has them. From now on these settings
    /// hold.
    pub(super) async fn adopt(
        &self,
        settings: Option<ManagedSettings>,
        tokens: Tokens,
    ) -> Result<Tokens, ManagedError> {
        let Some(settings) = settings else {
            self.0.settings.store(None);
            return Ok(tokens);
        };
        let known = self.0.keys.load_full();
        let keys = match self.tend(&settings, &tokens).await {
            // A reload does not need a database for what is known.
            Err(ManagedError::Store(_)) if !known.is_empty() => known,
            tended => tended?,
        };
        let tokens = settings.apply(&tokens, (&keys, self.0.clock.now()))?;
        self.0.settings.store(Some(Arc::new(settings)));
        Ok(tokens)
    }

    /// Looks after the keys for ever: to be spawned once on the control runtime.
    pub(super) async fn follow(self, current: Arc<ArcSwap<Snapshot>>) {
        let mut failing = false;
        loop {
            tokio::time::sleep(LOOK).await;
            failing = match (self.look(&current).await, failing) {
                (Ok(()), _) => false,
                (Err(_), true) => true,
                (Err(error), false) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::error!(%error, cause, "signing keys stay as they were");
                    true
                }
            };
        }
    }

    async fn look(&self, current: &ArcSwap<Snapshot>) -> Result<(), ManagedError> {
        let Some(settings) = self.0.settings.load_full() else {
            return Ok(());
        };
        let keys = self
            .tend(&settings, &current.load().tokens.load_full())
            .await?;
        // The snapshot of now: a reload may have come meanwhile.
        let snapshot = current.load_full();
        let (tokens, now) = (snapshot.tokens.load_full(), self.0.clock.now());
        if tokens.managed == Some(Plan::of(&keys, (now, tokens.longest_life()))) {
            return Ok(());
        }
        let renewed = settings.apply(&tokens, (&keys, now))?;
        snapshot.tokens.store(Arc::new(renewed));
        tracing::info!("the signing keys have changed");
        Ok(())
    }

    async fn tend(
        &self,
        settings: &ManagedSettings,
        tokens: &Tokens,
    ) -> Result<Arc<Vec<SealedKey>>, ManagedError> {
        let at = (self.0.clock.now(), tokens.longest_life());
        let keys = Arc::new(settings.tend(&self.0.accounts, at).await?);
        self.0.keys.store(Arc::clone(&keys));
        Ok(keys)
    }
}
