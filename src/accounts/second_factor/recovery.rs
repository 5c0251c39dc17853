//! Recovery codes: for somebody whose authenticator is lost. Each is good once.

use aws_lc_rs::digest;
use data_encoding::BASE32_NOPAD;

use crate::secret::{self, Secret};

/// How many there are at a time.
const CODES: usize = 10;
/// Octets: what can be guessed offline would have to be hashed like a password otherwise (NIST SP
/// 800-63B-4 §3.1.2.2, 112 bits).
const LENGTH: usize = 15;

/// A recovery code: 24 letters and digits.
#[derive(Clone, Debug)]
pub struct RecoveryCode(Secret);

/// SHA-256 of a recovery code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryDigest([u8; 32]);

impl RecoveryCode {
    /// A new set of them.
    pub(super) fn set() -> Vec<Self> {
        let random = || Self(Secret::new(secret::random::<LENGTH>().to_vec()));
        std::iter::repeat_with(random).take(CODES).collect()
    }

    /// A code without what is written between its letters, in either case.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let octets = BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes());
        let octets = octets.ok().filter(|octets| octets.len() == LENGTH)?;
        Some(Self(Secret::new(octets)))
    }

    pub(super) fn digest(&self) -> RecoveryDigest {
        let hash = digest::digest(&digest::SHA256, self.0.expose());
        RecoveryDigest(hash.as_ref().first_chunk().copied().unwrap_or_default())
    }

    /// The text, for the one answer that carries it: in groups of four.
    pub fn expose(&self) -> String {
        let text = BASE32_NOPAD.encode(self.0.expose());
        let groups = text.as_bytes().chunks(4);
        let groups: Vec<_> = groups.map(String::from_utf8_lossy).collect();
        groups.join("-")
    }
}

impl RecoveryDigest {
    pub const fn new(octets: [u8; 32]) -> Self {
        Self(octets)
    }

    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_reads_back_as_people_write_it() {
        let set = RecoveryCode::set();
        assert_eq!(set.len(), 10);
        for code in &set {
            let text = code.expose();
            assert_eq!(text.len(), 29, "{text}");
            let typed = text.replace('-', "").to_lowercase();
            assert_eq!(RecoveryCode::parse(&typed).unwrap().digest(), code.digest());
            assert!(!format!("{code:?}").contains(&text));
        }
        assert_ne!(set[0].digest(), set[1].digest());
    }

    #[test]
    fn nothing_else_is_a_code() {
        let good = "A".repeat(24);
        assert!(RecoveryCode::parse(&good).is_some());
        for text in [
            "",
            "A",
            &good[1..],
            &format!("{good}A"),
            &"1".repeat(24),
            &"é".repeat(12),
        ] {
            assert!(RecoveryCode::parse(text).is_none(), "{text}");
        }
    }
}
