//! The only place that computes password hashes: on threads of its own, with memory and waiting
//! both bounded, so that a flood of log-ins is turned away rather than served from swap.

mod memory;
mod pool;
mod scheme;
mod stored;
#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use argon2::Params;
use tokio::sync::oneshot;

use super::password::{PasswordHash, PlainPassword};
use pool::{Crew, Job, Queue, Work};
use scheme::Scheme;
use stored::{Input, Stored};

/// When to come back after [`HashError::Busy`]: a full queue of the default size is worked off in
/// about a second.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// What one hash costs, and how many there may be.
#[derive(Clone, Debug)]
pub struct HashSettings {
    pub cost: Cost,
    /// Hashes computed at one time; each thread works in [`Cost::memory_kib`] of memory.
    pub threads: NonZeroUsize,
    /// Hashes that may wait for a thread.
    pub queue: NonZeroUsize,
}

impl Default for HashSettings {
    /// Half of the processors, so that a flood of log-ins leaves the other half for forwarding.
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            cost: Cost::default(),
            threads: NonZeroUsize::new(processors.div_ceil(2)).unwrap_or(NonZeroUsize::MIN),
            queue: NonZeroUsize::new(64).unwrap_or(NonZeroUsize::MIN),
        }
    }
}

/// The parameters of Argon2id (RFC 9106).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// The parameters are outside of what RFC 9106 §3.1 allows, or of what this program does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("these parameters of Argon2id cannot be used")]
pub struct NotACost;

impl Default for Cost {
    /// The OWASP password storage cheat sheet's: 19 MiB, two passes, one lane.
    fn default() -> Self {
        Self {
            memory_kib: 19 * 1024,
            passes: 2,
            lanes: 1,
        }
    }
}

impl Cost {
    /// Most memory that one hash may take.
    const MAX_MEMORY_KIB: u32 = 1024 * 1024;
    const MAX_PASSES: u32 = 64;
    const MAX_LANES: u32 = 16;

    /// Memory in KiB (8 per lane at least, 1 GiB at most), passes (64 at most), lanes (16).
    pub fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self, NotACost> {
        let cost = Self {
            memory_kib,
            passes,
            lanes,
        };
        let fits = memory_kib <= Self::MAX_MEMORY_KIB
            && passes <= Self::MAX_PASSES
            && lanes <= Self::MAX_LANES
            && cost.params().is_ok();
        fits.then_some(cost).ok_or(NotACost)
    }

    pub const fn memory_kib(self) -> u32 {
        self.memory_kib
    }

    pub const fn passes(self) -> u32 {
        self.passes
    }

    pub const fn lanes(self) -> u32 {
        self.lanes
    }

    fn params(self) -> Result<Params, NotACost> {
        Params::new(self.memory_kib, self.passes, self.lanes, None).map_err(|_| NotACost)
    }
}

/// Why there is no answer about a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// 503 with `Retry-After`.
    #[error("too many passwords are being hashed")]
    Busy { retry_after: Duration },
    #[error("the stored hash cannot be read")]
    Unreadable,
    #[error("the hashing threads are gone")]
    Gone,
}

/// The answer about a password.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    pub is_right: bool,
    /// How long a thread worked on it: the wait before that is the same for every scheme.
    pub took: Duration,
}

/// A text that is to be imported as a hash cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotImportable {
    #[error(
        "not a hash of argon2, bcrypt, scrypt or pbkdf2 (sha256, sha512), in PHC form or Django's"
    )]
    Unknown,
    #[error("a hash that costs too much to check: {0}")]
    TooDear(String),
}

impl PasswordHash {
    /// Takes over a hash that another program made.
    ///
    /// # Errors
    /// It is of no kind that can be checked, or checking it would take too long or too much memory.
    pub fn import(text: &str) -> Result<Self, NotImportable> {
        let text = text.trim();
        let stored = Stored::parse(text).map_err(|_| NotImportable::Unknown)?;
        if !stored.scheme.is_affordable() {
            return Err(NotImportable::TooDear(stored.scheme.to_string()));
        }
        Ok(Self::from_phc(text.to_owned()))
    }

    /// How it was hashed, without the password's part: `$2b$12`. Equal texts cost equal time.
    /// `None`: the hash cannot be read.
    pub fn scheme(&self) -> Option<String> {
        let stored = Stored::parse(self.as_phc()).ok()?;
        Some(stored.scheme.to_string())
    }
}

/// Computes and checks password hashes. Clones share the threads.
#[derive(Clone, Debug)]
pub struct Hasher {
    queue: Arc<Queue>,
    cost: Cost,
    /// A hash that nothing matches, of the configured cost: for names that nobody has.
    nobody: PasswordHash,
}

impl Hasher {
    /// Starts the threads. The error is the system's, when it gives no thread.
    pub fn start(settings: &HashSettings) -> std::io::Result<Self> {
        let (hasher, crew) = Self::prepare(settings);
        crew.start()?;
        Ok(hasher)
    }

    fn prepare(settings: &HashSettings) -> (Self, Crew) {
        let (queue, crew) = pool::prepare(settings);
        let hasher = Self {
            queue: Arc::new(queue),
            cost: settings.cost,
            nobody: pool::unmatched(settings.cost),
        };
        (hasher, crew)
    }

    /// Hashes a password that was chosen.
    pub async fn hash(&self, password: &PlainPassword) -> Result<PasswordHash, HashError> {
        self.ask(|answer| Work::Hash {
            password: password.clone(),
            cost: self.cost,
            answer,
        })
        .await
    }

    /// Whether this is the password; costs one hash.
    pub async fn verify(
        &self,
        password: &PlainPassword,
        hash: &PasswordHash,
    ) -> Result<Checked, HashError> {
        self.ask(|answer| Work::Verify {
            password: password.clone(),
            hash: hash.clone(),
            answer,
        })
        .await
    }

    /// Does the work of [`verify`](Self::verify) for a name that nobody has, through the same
    /// code; the answer is no.
    pub async fn verify_nobody(&self, password: &PlainPassword) -> Result<Checked, HashError> {
        self.verify(password, &self.nobody).await
    }

    /// Whether a hash was made otherwise than ours are made today.
    pub fn is_outdated(&self, hash: &PasswordHash) -> bool {
        Stored::parse(hash.as_phc()).is_ok_and(|stored| {
            stored.scheme != Scheme::own(self.cost) || stored.input != Input::AsTyped
        })
    }

    /// A hash that no password matches, for an account that has none.
    pub fn unmatched(&self) -> PasswordHash {
        pool::unmatched(self.cost)
    }

    /// The scheme of the hashes that are made today, as [`PasswordHash::scheme`] writes it.
    pub fn own_scheme(&self) -> String {
        Scheme::own(self.cost).to_string()
    }

    /// How long a hash of this scheme takes here. Its place in the queue is taken at once, and
    /// whoever logs in from now on is behind it.
    pub fn measure(
        &self,
        scheme: &str,
    ) -> impl Future<Output = Result<Duration, HashError>> + use<> {
        // A scheme's text says the length of the output where it matters.
        let length = scheme.rsplit_once("l=").and_then(|(_, l)| l.parse().ok());
        let scheme = Scheme::parse(scheme, length.unwrap_or_default());
        let asked = scheme
            .map_err(|_| HashError::Unreadable)
            .and_then(|scheme| self.hand_in(|answer| Work::Measure { scheme, answer }));
        async { asked?.await.map_err(|_| HashError::Gone)? }
    }

    /// How many hashes were computed since the start.
    pub fn hashes(&self) -> u64 {
        self.queue.hashes()
    }

    /// How many passwords wait for a thread.
    pub fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    /// Octets of memory that are in use for hashing or kept for the next hash.
    pub fn memory(&self) -> usize {
        self.queue.memory()
    }

    async fn ask<T>(
        &self,
        work: impl FnOnce(oneshot::Sender<Result<T, HashError>>) -> Work,
    ) -> Result<T, HashError> {
        self.hand_in(work)?.await.map_err(|_| HashError::Gone)?
    }

    fn hand_in<T>(
        &self,
        work: impl FnOnce(oneshot::Sender<Result<T, HashError>>) -> Work,
    ) -> Result<oneshot::Receiver<Result<T, HashError>>, HashError> {
        let (answer, answered) = oneshot::channel();
        self.queue.push(Job::new(work(answer)))?;
        Ok(answered)
    }
}
