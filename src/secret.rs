//! Values that must never be printed, compared byte by byte, or left in memory.

mod master;
mod weak;

use std::fmt;

use zeroize::Zeroizing;

pub use master::MasterRing;
pub use weak::{WeakSecret, not_a_key_file, refuse_weak};

/// Bytes that are secret: wiped when dropped, shown by name only.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for the one call that needs them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether `other` is the same secret, in time that depends on the lengths only.
    #[must_use]
    pub fn equals(&self, other: &[u8]) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.0, other).is_ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// `N` bytes of the operating system's randomness.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0u8; N];
    // aws-lc aborts the process itself when the system has no randomness: there is no error to handle.
    let filled = aws_lc_rs::rand::fill(&mut bytes);
    assert!(filled.is_ok(), "the operating system gave no randomness");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        let secret = Secret::new(b"hunter2".to_vec());
        assert!(!format!("{secret:?}").contains("hunter2"));
    }

    #[test]
    fn secrets_compare_by_content() {
        let secret = Secret::new(b"abc".to_vec());
        assert!(secret.equals(b"abc"));
        assert!(!secret.equals(b"abd"));
        assert!(!secret.equals(b"ab"));
    }
}
