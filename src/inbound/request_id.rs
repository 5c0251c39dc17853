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
        let halves = self
            .worker
            .to_be_bytes()
            .into_iter()
            .chain(self.count.to_be_bytes());
        for (pair, byte) in digits.chunks_exact_mut(2).zip(halves) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
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

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.digits().as_str())
    }
}

fn digit(value: u8) -> u8 {
    match value {
        0..=9 => b'0' + value,
        10..=u8::MAX => b'a' + (value - 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_32_digits_and_never_given_twice() {
        let ids = RequestIds {
            worker: 0x0012_ab00_0000_00ff,
            next: Cell::new(0xfe),
        };
        assert_eq!(ids.next().to_string(), "0012ab00000000ff00000000000000fe");
        assert_eq!(ids.next().to_string(), "0012ab00000000ff00000000000000ff");
    }
}
