//! The threads that hash, and the bounded queue before them.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash as Phc, Salt};
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::{constant_time, pbkdf2};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::memory::Shelf;
use super::scheme::{BCRYPT_SALT, Scheme};
use super::stored::Stored;
use super::{Checked, Cost, HashError, HashSettings, RETRY_AFTER};
use crate::accounts::password::{PasswordHash, PlainPassword};
use crate::clock;
use crate::secret;

/// Octets of salt (RFC 9106 §3.1 recommends 16).
const SALT: usize = 16;
/// Octets of the hash.
const OUTPUT: usize = Params::DEFAULT_OUTPUT_LEN;

/// So long without a password to hash, and the memory goes back to the system. A gateway at which
/// people log in now and then is smaller by 19 MiB a thread, and one at which they queue keeps them.
const IDLE: Duration = Duration::from_millis(250);

/// How much nicer hashing threads are than the others of the process: a request that comes in does not
/// wait for a hash's time slice. p99 beside log-ins at full speed was 1.1 times what it is without them,
/// 1.4 at equal priority; hashing still gets a quarter of a processor that workers fill.
const GIVE_WAY: i32 = 5;

type Answer<T> = oneshot::Sender<Result<T, HashError>>;

/// One thing to compute.
pub(super) enum Work {
    Hash {
        password: PlainPassword,
        cost: Cost,
        answer: Answer<PasswordHash>,
    },
    Verify {
        password: PlainPassword,
        hash: PasswordHash,
        answer: Answer<Checked>,
    },
    /// How long a hash of this scheme takes here.
    Measure {
        scheme: Scheme,
        answer: Answer<Duration>,
    },
}

pub(super) struct Job(Work);

impl Job {
    pub(super) fn new(work: Work) -> Self {
        Self(work)
    }
}

/// What the threads and the handle both see.
#[derive(Debug, Default)]
struct Gauges {
    hashes: AtomicU64,
    waiting: AtomicUsize,
    shelf: Shelf,
}

/// The handle's end of the queue.
#[derive(Debug)]
pub(super) struct Queue {
    jobs: SyncSender<Job>,
    gauges: Arc<Gauges>,
}

impl Queue {
    /// Hands in a job, or refuses at once: nobody waits for a place in the queue.
    pub(super) fn push(&self, job: Job) -> Result<(), HashError> {
        self.gauges.waiting.fetch_add(1, Ordering::Relaxed);
        self.jobs.try_send(job).map_err(|refused| {
            self.gauges.waiting.fetch_sub(1, Ordering::Relaxed);
            match refused {
                TrySendError::Full(_) => HashError::Busy {
                    retry_after: RETRY_AFTER,
                },
                TrySendError::Disconnected(_) => HashError::Gone,
            }
        })
    }

    pub(super) fn hashes(&self) -> u64 {
        self.gauges.hashes.load(Ordering::Relaxed)
    }

    pub(super) fn waiting(&self) -> usize {
        self.gauges.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn memory(&self) -> usize {
        self.gauges.shelf.held()
    }
}

/// The threads before they are started.
pub(super) struct Crew {
    jobs: Arc<Mutex<Receiver<Job>>>,
    gauges: Arc<Gauges>,
    threads: usize,
    cost: Cost,
}

pub(super) fn prepare(settings: &HashSettings) -> (Queue, Crew) {
    let (jobs, taken) = mpsc::sync_channel(settings.queue.get());
    let gauges = Arc::new(Gauges::default());
    let queue = Queue {
        jobs,
        gauges: Arc::clone(&gauges),
    };
    let crew = Crew {
        jobs: Arc::new(Mutex::new(taken)),
        gauges,
        threads: settings.threads.get(),
        cost: settings.cost,
    };
    (queue, crew)
}

impl Crew {
    /// Starts the threads; they end when the last handle is dropped.
    pub(super) fn start(self) -> std::io::Result<()> {
        for number in 0..self.threads {
            let bench = Bench {
                usual: blocks(self.cost),
                gauges: Arc::clone(&self.gauges),
            };
            let jobs = Arc::clone(&self.jobs);
            thread::Builder::new()
                .name(format!("hasher-{number}"))
                .spawn(move || {
                    // Refused: then they compete as equals.
                    let _ = rustix::process::nice(GIVE_WAY);
                    bench.work_off(&jobs);
                })?;
        }
        Ok(())
    }
}

/// A thread's place of work.
struct Bench {
    /// How many blocks of memory a hash of the configured cost takes.
    usual: usize,
    gauges: Arc<Gauges>,
}

impl Bench {
    /// One thread waits at the queue, the others behind it at the lock.
    fn work_off(&self, jobs: &Mutex<Receiver<Job>>) {
        loop {
            let next = jobs
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .recv_timeout(IDLE);
            match next {
                Ok(job) => self.work(job),
                Err(RecvTimeoutError::Timeout) => self.gauges.shelf.clear(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn work(&self, Job(work): Job) {
        self.gauges.waiting.fetch_sub(1, Ordering::Relaxed);
        match work {
            // Whoever asked has gone: no work for nobody.
            Work::Hash { answer, .. } if answer.is_closed() => {}
            Work::Verify { answer, .. } if answer.is_closed() => {}
            Work::Measure { answer, .. } if answer.is_closed() => {}
            Work::Hash {
                password,
                cost,
                answer,
            } => drop(answer.send(self.hash(&password, cost))),
            Work::Verify {
                password,
                hash,
                answer,
            } => drop(answer.send(self.verify(&password, &hash))),
            Work::Measure { scheme, answer } => drop(answer.send(self.measure(scheme))),
        }
    }

    fn hash(&self, password: &PlainPassword, cost: Cost) -> Result<PasswordHash, HashError> {
        let salt: [u8; SALT] = secret::random();
        let mut output = Zeroizing::new([0; OUTPUT]);
        self.gauges.hashes.fetch_add(1, Ordering::Relaxed);
        let scheme = Scheme::own(cost);
        self.derive(scheme, password.expose(), &salt, output.as_mut_slice())?;
        write(cost, &salt, output.as_slice())
    }

    fn verify(&self, password: &PlainPassword, hash: &PasswordHash) -> Result<Checked, HashError> {
        let stored = Stored::parse(hash.as_phc()).map_err(|_| HashError::Unreadable)?;
        let input = stored.input.of(password);
        let mut computed = Zeroizing::new(vec![0; stored.output.len()]);
        self.gauges.hashes.fetch_add(1, Ordering::Relaxed);
        let begun = clock::timer_now();
        self.derive(stored.scheme, &input, &stored.salt, &mut computed)?;
        let same = constant_time::verify_slices_are_equal(&computed, &stored.output);
        Ok(Checked {
            is_right: same.is_ok(),
            took: begun.elapsed(),
        })
    }

    /// The least of three times: what other work on this machine adds is not the scheme's.
    fn measure(&self, scheme: Scheme) -> Result<Duration, HashError> {
        let salt: [u8; SALT] = secret::random();
        let mut output = vec![0; scheme.usual_length()];
        let mut least = Duration::MAX;
        for _ in 0..3 {
            let begun = clock::timer_now();
            self.derive(scheme, b"a password", &salt, &mut output)?;
            least = least.min(begun.elapsed());
        }
        Ok(least)
    }

    fn derive(
        &self,
        scheme: Scheme,
        input: &[u8],
        salt: &[u8],
        output: &mut [u8],
    ) -> Result<(), HashError> {
        match scheme {
            Scheme::Argon2 {
                algorithm,
                version,
                cost,
            } => {
                let params = cost.params().map_err(|_| HashError::Unreadable)?;
                let mut memory = self.gauges.shelf.take(params.block_count());
                let derived = Argon2::new(algorithm, version, params)
                    .hash_password_into_with_memory(input, salt, output, &mut memory);
                self.gauges.shelf.put_back(memory, self.usual);
                derived.map_err(|_| HashError::Unreadable)
            }
            Scheme::Bcrypt { cost } => bcrypt(cost, input, salt, output),
            Scheme::Scrypt { log_n, r, p } => {
                let params = scrypt::Params::new(log_n, r, p).map_err(|_| HashError::Unreadable)?;
                scrypt::scrypt(input, salt, &params, output).map_err(|_| HashError::Unreadable)
            }
            Scheme::Pbkdf2 { digest, rounds, .. } => {
                pbkdf2::derive(digest.algorithm(), rounds, salt, input, output);
                Ok(())
            }
        }
    }
}

/// bcrypt of the octets and a final zero, as far as 72 octets go: what every implementation does.
fn bcrypt(cost: u32, input: &[u8], salt: &[u8], output: &mut [u8]) -> Result<(), HashError> {
    let salt: [u8; BCRYPT_SALT] = salt.try_into().map_err(|_| HashError::Unreadable)?;
    if !(4..=31).contains(&cost) {
        return Err(HashError::Unreadable);
    }
    let mut key: Zeroizing<Vec<u8>> = Zeroizing::new(input.iter().copied().take(72).collect());
    if key.len() < 72 {
        key.push(0);
    }
    let computed = Zeroizing::new(::bcrypt::bcrypt(cost, salt, &key));
    for (to, from) in output.iter_mut().zip(computed.iter()) {
        *to = *from;
    }
    Ok(())
}

/// How many blocks of 1 KiB a hash of this cost works in.
fn blocks(cost: Cost) -> usize {
    cost.params().map_or(0, |params| params.block_count())
}

/// A hash of this cost that no password is known to match: salt and output are random.
pub(super) fn unmatched(cost: Cost) -> PasswordHash {
    let salt: [u8; SALT] = secret::random();
    let output: [u8; OUTPUT] = secret::random();
    write(cost, &salt, &output).unwrap_or_else(|_| PasswordHash::from_phc(String::new()))
}

fn write(cost: Cost, salt: &[u8], output: &[u8]) -> Result<PasswordHash, HashError> {
    let params = cost.params().map_err(|_| HashError::Unreadable)?;
    let stored = Phc {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params).map_err(|_| HashError::Unreadable)?,
        salt: Some(Salt::new(salt).map_err(|_| HashError::Unreadable)?),
        hash: Some(Output::new(output).map_err(|_| HashError::Unreadable)?),
    };
    Ok(PasswordHash::from_phc(stored.to_string()))
}
