//! The gateway's own name for one request.

use std::cell::Cell;
use std::fmt;

use crate::secret;

/// Names one request in logs and towards upstreams; unique, and not a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId {
    worker: u64,
    count: u64,
}

/// Gives out one worker's request ids: 64 random bits drawn at its start, then a count.
#[derive(Debug)]
pub struct RequestIds {
    worker: u64,
    next: Cell<u64>,
}

/// A [`RequestId`] as text.
pub struct Digits([u8; 32]);

impl RequestIds {
    pub fn new() -> Self {
        Self {
            worker: u64::from_ne_bytes(secret::random()),
            next: Cell::new(0),
        }
    }

    pub fn next(&self) -> RequestId {
        let count = self.next.get();
        self.next.set(count.wrapping_add(1));
        RequestId {
            worker: self.worker,
            count,
        }
    }
}

impl Default for RequestIds {
    fn default() -> Self {
        Self::new()
    }
}

impl RequestId {
    /// As it is written everywhere: 32 hexadecimal digits.
    pub fn digits(self) -> Digits {
        let mut digits = [0; 32];
        let quarters = [self.worker >> 32, self.worker, self.count >> 32, self.count];
        for (eight, quarter) in digits.as_chunks_mut().0.iter_mut().zip(quarters) {
            *eight = hexadecimal(quarter & u64::from(u32::MAX));
        }
        Digits(digits)
    }
}

impl Digits {
    pub fn as_str(&self) -> &str {
        // Hexadecimal digits are ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Digits {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.digits().as_str())
    }
}

/// The eight digits of a 32-bit number, all made at once: a byte for each.
fn hexadecimal(number: u64) -> [u8; 8] {
    const fn all(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    let halves = (number | number << 16) & 0x0000_ffff_0000_ffff;
    let bytes = (halves | halves << 8) & 0x00ff_00ff_00ff_00ff;
    let nibbles = (bytes | bytes << 4) & all(15);
    // One where a letter is needed: from ten on, six more reach sixteen.
    let letters = (nibbles + all(6)) >> 4 & all(1);
    (nibbles + all(b'0') + letters * u64::from(b'a' - b'9' - 1)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_32_digits_and_never_given_twice() {
        let ids = RequestIds {
            worker: 0x0012_ab00_9a3f_c5ff,
            next: Cell::new(0x8067_d4e0_0000_00fe),
        };
        assert_eq!(ids.next().to_string(), "0012ab009a3fc5ff8067d4e0000000fe");
        assert_eq!(ids.next().to_string(), "0012ab009a3fc5ff8067d4e0000000ff");
    }
}
