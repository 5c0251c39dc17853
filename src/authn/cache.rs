//! Tokens that this worker has verified: a signature is checked once, everything else each time.

use std::cell::RefCell;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::Arc;

use aws_lc_rs::digest;
use http::HeaderValue;
use quick_cache::Weighter;
use quick_cache::unsync::{Cache, DefaultLifecycle};

use crate::clock::Timestamp;

use super::keys::Fingerprint;
use super::minter::MinterId;
use super::token::Claims;

/// What a caller takes of the memory, about: its claims and what is made of them.
const OF_A_CALLER: u64 = 2 * 1024;

/// How much a worker remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSize {
    /// Tokens expected; sizes the tables.
    pub entries: usize,
    /// Bytes, counting what an entry really holds.
    pub bytes: u64,
}

impl CacheSize {
    pub fn of_bytes(bytes: u64) -> Self {
        Self {
            entries: usize::try_from(bytes / OF_A_CALLER).unwrap_or(usize::MAX),
            bytes,
        }
    }
}

impl Default for CacheSize {
    /// 16 MiB a worker: some eight thousand callers at once.
    fn default() -> Self {
        Self::of_bytes(16 << 20)
    }
}

/// SHA-256 of a whole token: what a verified token is known by. Equal digests are equal tokens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenDigest([u8; 32]);

/// A table by digest is not hashed again. Who could find tokens whose digests lie close together
/// gains nothing: only tokens are remembered whose signature held.
pub(super) type ByDigest = BuildHasherDefault<FirstWord>;

/// Passes on the one word that it is given.
#[derive(Default)]
pub(super) struct FirstWord(u64);

/// One worker's memory of verified tokens, and of the tokens minted for their callers. Nothing
/// in it is shared between threads.
pub struct TokenCache {
    verified: RefCell<Cache<TokenDigest, Verified, VerifiedWeight, ByDigest>>,
    minted: RefCell<Cache<(MinterId, TokenDigest), Minted, MintedWeight>>,
}

/// A token whose signature held. Its dates, audience and session are judged at each request.
#[derive(Clone)]
pub(super) struct Verified {
    pub(super) claims: Arc<Claims>,
    pub(super) key: Fingerprint,
    /// The generation of the revocations in which its session was last found alive.
    pub(super) alive_in: Option<u64>,
}

/// A ready header value, and until when it may be sent.
#[derive(Clone)]
pub(super) struct Minted {
    pub(super) value: HeaderValue,
    pub(super) until: Timestamp,
}

#[derive(Clone)]
struct VerifiedWeight;

#[derive(Clone)]
struct MintedWeight;

impl Verified {
    pub(super) fn new(claims: Claims, key: Fingerprint) -> Self {
        Self {
            claims: Arc::new(claims),
            key,
            alive_in: None,
        }
    }

    /// The same, its session found alive in `generation`.
    pub(super) fn in_generation(&self, generation: u64) -> Self {
        Self {
            alive_in: Some(generation),
            ..self.clone()
        }
    }
}

impl TokenDigest {
    pub(crate) fn of(token: &str) -> Self {
        let mut bytes = [0; 32];
        let hash = digest::digest(&digest::SHA256, token.as_bytes());
        for (to, from) in bytes.iter_mut().zip(hash.as_ref()) {
            *to = *from;
        }
        Self(bytes)
    }
}

impl Hash for TokenDigest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        state.write_u64(u64::from_ne_bytes([a, b, c, d, e, f, g, h]));
    }
}

impl Hasher for FirstWord {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl std::fmt::Debug for TokenDigest {
    /// Not the digest itself: it would tell in a log who used which token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenDigest(…)")
    }
}

impl TokenCache {
    pub fn new(size: CacheSize) -> Self {
        let CacheSize { entries, bytes } = size;
        Self {
            verified: RefCell::new(Cache::with(
                entries,
                bytes,
                VerifiedWeight,
                ByDigest::default(),
                DefaultLifecycle::default(),
            )),
            minted: RefCell::new(Cache::with_weighter(entries, bytes / 4, MintedWeight)),
        }
    }

    /// How many verified tokens are remembered.
    pub fn len(&self) -> usize {
        self.verified.borrow().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn find(&self, digest: &TokenDigest) -> Option<Verified> {
        self.verified.borrow().get(digest).cloned()
    }

    pub(super) fn remember(&self, digest: TokenDigest, verified: Verified) {
        self.verified.borrow_mut().insert(digest, verified);
    }

    pub(super) fn forget(&self, digest: &TokenDigest) {
        self.verified.borrow_mut().remove(digest);
    }

    pub(super) fn minted(&self, by: MinterId, digest: TokenDigest) -> Option<Minted> {
        self.minted.borrow().get(&(by, digest)).cloned()
    }

    pub(super) fn keep_minted(&self, by: MinterId, digest: TokenDigest, minted: Minted) {
        self.minted.borrow_mut().insert((by, digest), minted);
    }
}

impl std::fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenCache({} tokens)", self.len())
    }
}

impl Weighter<TokenDigest, Verified> for VerifiedWeight {
    /// The JSON of a claims set about six times over: its tree of values, the copies beside, and
    /// the header values made of it.
    fn weight(&self, _key: &TokenDigest, verified: &Verified) -> u64 {
        768 + 6 * verified.claims.size() as u64
    }
}

impl Weighter<(MinterId, TokenDigest), Minted> for MintedWeight {
    fn weight(&self, _key: &(MinterId, TokenDigest), minted: &Minted) -> u64 {
        160 + minted.value.len() as u64
    }
}
