//! A stored hash taken apart: PHC strings, the forms of bcrypt, and those of Django.

use aws_lc_rs::digest;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::*;
use zeroize::Zeroizing;

use super::scheme::{BCRYPT_OUTPUT, BCRYPT_SALT, Scheme};
use crate::accounts::password::PlainPassword;

/// Longest text of a hash.
const MAX_TEXT: usize = 512;
/// Octets of output: fewer could be guessed, and no scheme has more.
const OUTPUTS: std::ops::RangeInclusive<usize> = 16..=64;

/// A hash that a password can be checked against.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) scheme: Scheme,
    pub(super) input: Input,
    pub(super) salt: Vec<u8>,
    pub(super) output: Vec<u8>,
}

/// What of a password is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    AsTyped,
    /// The hexadecimal SHA-256 of what was typed: Django's way around bcrypt's 72 octets.
    Sha256,
}

/// The text is no hash that can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotAHash;

impl Stored {
    /// Reads `$argon2id$…`, `$2b$…`, `$scrypt$…`, `$pbkdf2-sha256$…`, and what Django writes before
    /// them or instead: `argon2$…`, `bcrypt$…`, `bcrypt_sha256$…`, `scrypt$…`, `pbkdf2_sha256$…`.
    pub(super) fn parse(text: &str) -> Result<Self, NotAHash> {
        if text.len() > MAX_TEXT {
            return Err(NotAHash);
        }
        if text.starts_with("$2") {
            return Self::bcrypt(text, Input::AsTyped);
        }
        if text.starts_with('$') {
            return Self::phc(text);
        }
        let (name, rest) = text.split_once('$').ok_or(NotAHash)?;
        match name {
            "argon2" => Self::phc(text.strip_prefix(name).ok_or(NotAHash)?),
            "bcrypt" => Self::bcrypt(rest, Input::AsTyped),
            "bcrypt_sha256" => Self::bcrypt(rest, Input::Sha256),
            "scrypt" => Self::django_scrypt(rest),
            "pbkdf2_sha256" => Self::django_pbkdf2("sha256", rest),
            "pbkdf2_sha512" => Self::django_pbkdf2("sha512", rest),
            _ => Err(NotAHash),
        }
    }

    /// `$name$parameters$salt$output`, salt and output in base64.
    fn phc(text: &str) -> Result<Self, NotAHash> {
        let (rest, output) = text.rsplit_once('$').ok_or(NotAHash)?;
        let (parameters, salt) = rest.rsplit_once('$').ok_or(NotAHash)?;
        Self::new(parameters, decode(salt)?, decode(output)?)
    }

    /// `$2b$12$`, 22 characters of salt and 31 of output, in an alphabet of their own.
    fn bcrypt(text: &str, input: Input) -> Result<Self, NotAHash> {
        let (parameters, rest) = text.rsplit_once('$').ok_or(NotAHash)?;
        let (salt, output) = rest.split_at_checked(22).ok_or(NotAHash)?;
        let engine = GeneralPurpose::new(
            &alphabet::BCRYPT,
            // Some libraries leave bits in the last character of the salt.
            GeneralPurposeConfig::new()
                .with_decode_allow_trailing_bits(true)
                .with_decode_padding_mode(DecodePaddingMode::RequireNone),
        );
        let decode = |part| engine.decode(part).map_err(|_| NotAHash);
        let (salt, output) = (decode(salt)?, decode(output)?);
        if output.len() != BCRYPT_OUTPUT {
            return Err(NotAHash);
        }
        let stored = Self::new(parameters, salt, output)?;
        match stored.scheme {
            Scheme::Bcrypt { .. } => Ok(Self { input, ..stored }),
            Scheme::Argon2 { .. } | Scheme::Scrypt { .. } | Scheme::Pbkdf2 { .. } => Err(NotAHash),
        }
    }

    /// `N$salt$r$p$output`: the salt is text, as it stands.
    fn django_scrypt(rest: &str) -> Result<Self, NotAHash> {
        let parts: Vec<&str> = rest.split('$').collect();
        let [n, salt, r, p, output] = parts.as_slice() else {
            return Err(NotAHash);
        };
        let n: u64 = n.parse().map_err(|_| NotAHash)?;
        if !n.is_power_of_two() {
            return Err(NotAHash);
        }
        let parameters = format!("$scrypt$ln={},r={r},p={p}", n.trailing_zeros());
        Self::new(&parameters, salt.as_bytes().to_vec(), decode(output)?)
    }

    /// `rounds$salt$output`: the salt is text, as it stands.
    fn django_pbkdf2(digest: &str, rest: &str) -> Result<Self, NotAHash> {
        let parts: Vec<&str> = rest.split('$').collect();
        let [rounds, salt, output] = parts.as_slice() else {
            return Err(NotAHash);
        };
        let parameters = format!("$pbkdf2-{digest}$i={rounds}");
        Self::new(&parameters, salt.as_bytes().to_vec(), decode(output)?)
    }

    fn new(parameters: &str, salt: Vec<u8>, output: Vec<u8>) -> Result<Self, NotAHash> {
        let scheme = Scheme::parse(parameters, output.len()).map_err(|_| NotAHash)?;
        let least = match scheme {
            Scheme::Argon2 { .. } => argon2::MIN_SALT_LEN,
            Scheme::Bcrypt { .. } => BCRYPT_SALT,
            Scheme::Scrypt { .. } | Scheme::Pbkdf2 { .. } => 1,
        };
        if salt.len() < least || !OUTPUTS.contains(&output.len()) {
            return Err(NotAHash);
        }
        Ok(Self {
            scheme,
            input: Input::AsTyped,
            salt,
            output,
        })
    }
}

impl Input {
    /// What is hashed of this password.
    pub(super) fn of(self, password: &PlainPassword) -> Zeroizing<Vec<u8>> {
        let typed = password.expose();
        match self {
            Self::AsTyped => Zeroizing::new(typed.to_vec()),
            Self::Sha256 => {
                let digest = digest::digest(&digest::SHA256, typed);
                let mut text = Zeroizing::new(Vec::with_capacity(64));
                for byte in digest.as_ref() {
                    text.extend(format!("{byte:02x}").into_bytes());
                }
                text
            }
        }
    }
}

/// Base64 with or without padding; passlib writes `.` for `+`.
fn decode(text: &str) -> Result<Vec<u8>, NotAHash> {
    let plain = text.trim_end_matches('=').replace('.', "+");
    BASE64_STANDARD_NO_PAD.decode(plain).map_err(|_| NotAHash)
}
