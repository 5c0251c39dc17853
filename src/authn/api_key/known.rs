//! The keys that a worker remembers: good ones with all that a request needs, and for a moment
//! those that are no good.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::unsync::Cache;

use super::KeyGrant;
use crate::accounts::{Binding, DeadKey};
use crate::authn::cache::{CacheSize, TokenDigest};
use crate::authn::token::Claims;
use crate::clock::Timestamp;

/// What is known of a key.
#[derive(Clone)]
pub(super) enum Known {
    Live(Rc<Live>),
    Dead { why: DeadKey, until: Timestamp },
}

/// A key that was good when it was looked at.
pub(super) struct Live {
    pub(super) claims: Arc<Claims>,
    pub(super) grant: Arc<KeyGrant>,
    pub(super) binding: Binding,
    pub(super) expires: Option<Timestamp>,
    /// Of the claims, so that what is minted for the caller goes with them.
    pub(super) token: TokenDigest,
    pub(super) looked_at: Timestamp,
    /// What was known of the owner's revocations then: another answer, and the owner has changed.
    pub(super) owner_until: Option<Timestamp>,
    /// When to look at it again.
    pub(super) look_at: Cell<Timestamp>,
    /// The generation of the revocations in which it was last found alive.
    pub(super) alive_in: Cell<u64>,
    pub(super) last_used: Cell<Option<Timestamp>>,
}

/// One worker's memory of keys, by the SHA-256 of each.
pub(super) struct KnownKeys(RefCell<Cache<TokenDigest, Known, Weight>>);

#[derive(Clone)]
struct Weight;

impl KnownKeys {
    pub(super) fn new(size: CacheSize) -> Self {
        let CacheSize { entries, bytes } = size;
        Self(RefCell::new(Cache::with_weighter(entries, bytes, Weight)))
    }

    pub(super) fn find(&self, digest: &TokenDigest) -> Option<Known> {
        self.0.borrow().get(digest).cloned()
    }

    pub(super) fn remember(&self, digest: TokenDigest, known: Known) {
        self.0.borrow_mut().insert(digest, known);
    }
}

impl Weighter<TokenDigest, Known> for Weight {
    fn weight(&self, _key: &TokenDigest, known: &Known) -> u64 {
        match known {
            Known::Live(live) => 1024 + 6 * live.claims.size() as u64,
            Known::Dead { .. } => 128,
        }
    }
}
