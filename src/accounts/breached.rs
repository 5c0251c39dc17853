//! Passwords known from breaches, from a list that lies beside the gateway: nothing is asked of
//! anybody else.

use std::io::{self, BufRead};
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest;

use super::password::PlainPassword;

/// The known passwords, each as the first 64 bits of its SHA-1: 8 octets an entry, and one wrong
/// refusal in 10^12 with ten million entries.
#[derive(Clone, Debug)]
pub struct BreachedPasswords(Arc<[u64]>);

impl BreachedPasswords {
    pub fn none() -> Self {
        Self(Arc::new([]))
    }

    /// Reads a list with one entry a line: a password, or its SHA-1 in hexadecimal with an
    /// optional `:count`, as the "Pwned Passwords" lists have it.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::from_lines(io::BufReader::new(std::fs::File::open(path)?))
    }

    pub(super) fn from_lines(mut lines: impl BufRead) -> io::Result<Self> {
        let mut known = Vec::new();
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line)? > 0 {
            let entry = line.trim_ascii_end();
            if !entry.is_empty() {
                known.push(written_hash(entry).unwrap_or_else(|| short_hash(entry)));
            }
            line.clear();
        }
        known.sort_unstable();
        known.dedup();
        Ok(Self(known.into()))
    }

    /// How many entries the list has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contains(&self, password: &PlainPassword) -> bool {
        !self.is_empty() && self.0.binary_search(&short_hash(password.expose())).is_ok()
    }
}

/// SHA-1 because the published lists are made so: here it only finds an entry in a list.
fn short_hash(password: &[u8]) -> u64 {
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, password);
    hash.as_ref()
        .first_chunk()
        .map_or(0, |head| u64::from_be_bytes(*head))
}

/// The first 64 bits of a hash that is written out as 40 hexadecimal digits.
fn written_hash(entry: &[u8]) -> Option<u64> {
    let digits = entry.split(|&byte| byte == b':').next()?;
    if digits.len() != 40 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let head = std::str::from_utf8(digits.get(..16)?).ok()?;
    u64::from_str_radix(head, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_list_are_read() {
        // SHA-1 of "password", as the published lists write it.
        let list = "5BAA61E4C9B93F3F0682250B6CF8331B7EE68FD8:9659365\r\nhunter2\n\n";
        let known = BreachedPasswords::from_lines(list.as_bytes()).unwrap();
        assert_eq!(known.len(), 2);
        for (password, is_known) in [("password", true), ("hunter2", true), ("other", false)] {
            let password = PlainPassword::parse(password).unwrap();
            assert_eq!(known.contains(&password), is_known);
        }
    }
}
