//! How a password is hashed, and what that costs: our own scheme, and those of the backends that
//! accounts come from.

use std::fmt;
use std::num::NonZeroU32;

use argon2::{Algorithm, Version};
use aws_lc_rs::pbkdf2;

use super::Cost;

/// Most memory in KiB that an imported hash may take: each hashing thread may need so much at once.
const MOST_MEMORY_KIB: u64 = 256 * 1024;
/// Most memory-hard work of one imported hash in KiB: about a second of Argon2 or scrypt.
const MOST_FILLED_KIB: u64 = 2 * 1024 * 1024;
/// bcrypt's cost is a power of two: 14 takes about a second.
const BCRYPT_COSTS: std::ops::RangeInclusive<u32> = 4..=14;
/// About a second of SHA-256.
const MOST_ROUNDS: u32 = 5_000_000;

/// How a password is hashed. Shown and read as the beginning of a PHC string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// RFC 9106; version 16 is the one before the RFC.
    Argon2 {
        algorithm: Algorithm,
        version: Version,
        cost: Cost,
    },
    Bcrypt {
        cost: u32,
    },
    /// RFC 7914.
    Scrypt {
        log_n: u8,
        r: u32,
        p: u32,
    },
    /// RFC 8018 §5.2. The length of the output in octets decides how often the rounds are run.
    Pbkdf2 {
        digest: Digest,
        rounds: NonZeroU32,
        length: usize,
    },
}

/// The hash function below PBKDF2's HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Digest {
    Sha256,
    Sha512,
}

/// The text is not the beginning of a hash that can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotAScheme;

impl Scheme {
    /// The scheme of our own hashes.
    pub(super) const fn own(cost: Cost) -> Self {
        Self::Argon2 {
            algorithm: Algorithm::Argon2id,
            version: Version::V0x13,
            cost,
        }
    }

    /// Reads everything before the salt: `$argon2id$v=19$m=19456,t=2,p=1`, `$2b$12`,
    /// `$scrypt$ln=14,r=8,p=1`, `$pbkdf2-sha256$i=600000`, or `$pbkdf2-sha256$600000` as passlib
    /// writes it. `length` is that of the output in octets.
    pub(super) fn parse(text: &str, length: usize) -> Result<Self, NotAScheme> {
        let text = text.strip_prefix('$').ok_or(NotAScheme)?;
        let (name, parameters) = text.split_once('$').ok_or(NotAScheme)?;
        match name {
            "2a" | "2b" | "2y" => Ok(Self::Bcrypt {
                cost: number(parameters)?,
            }),
            "scrypt" => {
                let [log_n, r, p] = named(parameters, ["ln", "r", "p"])?;
                let log_n = u8::try_from(log_n).map_err(|_| NotAScheme)?;
                Ok(Self::Scrypt { log_n, r, p })
            }
            "pbkdf2-sha256" => Self::pbkdf2(Digest::Sha256, parameters, length),
            "pbkdf2-sha512" => Self::pbkdf2(Digest::Sha512, parameters, length),
            _ => Self::argon2(name, parameters),
        }
    }

    fn argon2(name: &str, parameters: &str) -> Result<Self, NotAScheme> {
        let algorithm = Algorithm::try_from(name).map_err(|_| NotAScheme)?;
        let (version, parameters) = match parameters.split_once('$') {
            Some(("v=19", parameters)) => (Version::V0x13, parameters),
            Some(("v=16", parameters)) => (Version::V0x10, parameters),
            Some(_) => return Err(NotAScheme),
            None => (Version::V0x10, parameters),
        };
        let [memory, passes, lanes] = named(parameters, ["m", "t", "p"])?;
        let cost = Cost::new(memory, passes, lanes).map_err(|_| NotAScheme)?;
        Ok(Self::Argon2 {
            algorithm,
            version,
            cost,
        })
    }

    fn pbkdf2(digest: Digest, parameters: &str, length: usize) -> Result<Self, NotAScheme> {
        let (rounds, said) = match parameters.strip_prefix("i=") {
            Some(written) => match written.split_once(",l=") {
                Some((rounds, said)) => (rounds, number(said)?),
                None => (written, 0),
            },
            None => (parameters, 0),
        };
        if said != 0 && usize::try_from(said) != Ok(length) {
            return Err(NotAScheme);
        }
        Ok(Self::Pbkdf2 {
            digest,
            rounds: NonZeroU32::new(number(rounds)?).ok_or(NotAScheme)?,
            length,
        })
    }

    /// Whether computing it stays within what one log-in may cost. Our own cost is the operator's
    /// to choose and has bounds of its own.
    pub(super) fn is_affordable(self) -> bool {
        match self {
            Self::Argon2 { cost, .. } => {
                let memory = u64::from(cost.memory_kib());
                memory <= MOST_MEMORY_KIB && memory * u64::from(cost.passes()) <= MOST_FILLED_KIB
            }
            Self::Bcrypt { cost } => BCRYPT_COSTS.contains(&cost),
            Self::Scrypt { log_n, r, p } => {
                // RFC 7914 §2: N is larger than 1; 128 r octets a block, N of them, p times.
                let memory = 1u64
                    .checked_shl(u32::from(log_n))
                    .and_then(|n| n.checked_mul(u64::from(r)))
                    .map_or(u64::MAX, |blocks| blocks / 8);
                (1..=24).contains(&log_n)
                    && (1..=64).contains(&r)
                    && (1..=64).contains(&p)
                    && memory <= MOST_MEMORY_KIB
                    // It reads what it wrote: twice the work.
                    && memory * u64::from(p) <= MOST_FILLED_KIB / 2
            }
            Self::Pbkdf2 {
                digest,
                rounds,
                length,
            } => {
                let blocks = u32::try_from(length.div_ceil(digest.length())).unwrap_or(u32::MAX);
                rounds.get().saturating_mul(blocks) <= MOST_ROUNDS
            }
        }
    }

    /// How many octets of output a hash of this scheme has where nothing else says it.
    pub(super) const fn usual_length(self) -> usize {
        match self {
            Self::Argon2 { .. } | Self::Scrypt { .. } => 32,
            Self::Bcrypt { .. } => BCRYPT_OUTPUT,
            Self::Pbkdf2 { length, .. } => length,
        }
    }
}

/// Octets of bcrypt's salt, always.
pub(super) const BCRYPT_SALT: usize = 16;
/// What is kept of bcrypt's 24 octets.
pub(super) const BCRYPT_OUTPUT: usize = 23;

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argon2 {
                algorithm,
                version,
                cost,
            } => write!(
                f,
                "${}$v={}$m={},t={},p={}",
                algorithm.as_str(),
                u32::from(*version),
                cost.memory_kib(),
                cost.passes(),
                cost.lanes()
            ),
            Self::Bcrypt { cost } => write!(f, "$2b${cost:02}"),
            Self::Scrypt { log_n, r, p } => write!(f, "$scrypt$ln={log_n},r={r},p={p}"),
            Self::Pbkdf2 {
                digest,
                rounds,
                length,
            } => write!(f, "$pbkdf2-{}$i={rounds},l={length}", digest.word()),
        }
    }
}

impl Digest {
    pub(super) const fn algorithm(self) -> pbkdf2::Algorithm {
        match self {
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    const fn length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// A number without sign.
fn number(text: &str) -> Result<u32, NotAScheme> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NotAScheme);
    }
    text.parse().map_err(|_| NotAScheme)
}

/// `m=1,t=2,p=3`: these names in this order and no others.
fn named<const N: usize>(text: &str, names: [&str; N]) -> Result<[u32; N], NotAScheme> {
    let mut written = text.split(',');
    let mut values = [0; N];
    for (value, name) in values.iter_mut().zip(names) {
        let part = written.next().ok_or(NotAScheme)?;
        let (said, text) = part.split_once('=').ok_or(NotAScheme)?;
        if said != name {
            return Err(NotAScheme);
        }
        *value = number(text)?;
    }
    match written.next() {
        None => Ok(values),
        Some(_) => Err(NotAScheme),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_reads_back_as_it_is_shown() {
        for text in [
            "$argon2id$v=19$m=19456,t=2,p=1",
            "$argon2i$v=16$m=64,t=1,p=1",
            "$2b$12",
            "$scrypt$ln=14,r=8,p=5",
            "$pbkdf2-sha256$i=600000,l=32",
            "$pbkdf2-sha512$i=1,l=32",
        ] {
            let scheme = Scheme::parse(text, 32).unwrap();
            assert_eq!(scheme.to_string(), text);
            assert!(scheme.is_affordable(), "{text}");
        }
    }

    #[test]
    fn what_is_no_scheme_is_not_guessed() {
        for text in [
            "",
            "$",
            "$2x$12",
            "$2b$+2",
            "$argon2id$v=18$m=64,t=1,p=1",
            "$argon2id$v=19$m=64,t=1",
            "$argon2id$v=19$t=1,m=64,p=1",
            "$argon2id$v=19$m=64,t=1,p=1,keyid=AA",
            "$scrypt$ln=300,r=8,p=1",
            "$pbkdf2-sha256$i=0",
            "$pbkdf2-sha256$i=10,l=16",
            "$pbkdf2-sha1$i=10",
            "$md5$10",
        ] {
            assert_eq!(Scheme::parse(text, 32), Err(NotAScheme), "{text}");
        }
    }

    #[test]
    fn what_would_hold_a_thread_for_long_is_not_affordable() {
        for text in [
            "$argon2id$v=19$m=262145,t=1,p=1",
            "$argon2id$v=19$m=65536,t=33,p=1",
            "$2b$03",
            "$2b$15",
            "$2b$31",
            "$scrypt$ln=19,r=8,p=1",
            "$scrypt$ln=14,r=8,p=65",
            "$scrypt$ln=0,r=8,p=1",
            "$scrypt$ln=63,r=1,p=1",
            "$scrypt$ln=200,r=4294967295,p=1",
            "$scrypt$ln=10,r=0,p=1",
            "$pbkdf2-sha256$i=5000001,l=32",
        ] {
            let scheme = Scheme::parse(text, 32).unwrap();
            assert!(!scheme.is_affordable(), "{text}");
        }
        let long = Scheme::parse("$pbkdf2-sha256$i=3000000", 64).unwrap();
        assert!(!long.is_affordable(), "two blocks are twice the rounds");
    }
}
