//! The text of an API key: prefix, id, secret, tag. The tag tells the keys of this gateway from
//! forged, truncated and foreign ones before a look-up is paid for them.

use aws_lc_rs::digest;

use super::super::ring::Ring;
use super::ApiKeyId;
use crate::secret::{self, Secret};

/// Digits, capitals, small letters: one double click takes a whole key.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 128 bits in base 62.
const NUMBER: usize = 22;
/// 64 bits in base 62: a forged key passes for ours once in 2^64 tries, and is then looked up.
const TAG: usize = 11;

/// What keys begin with, so that people and scanners for leaked secrets know them: `pck` gives
/// `pck_…`. One for each environment keeps a test key from being tried in production.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPrefix(String);

/// The text is not a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a prefix is 2 to 16 small letters, digits and `_`, beginning with a letter")]
pub struct NotAPrefix;

impl KeyPrefix {
    pub fn parse(text: &str) -> Result<Self, NotAPrefix> {
        let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
        let begins = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        if !(2..=16).contains(&text.len()) || !begins || !text.bytes().all(fits) {
            return Err(NotAPrefix);
        }
        Ok(Self(format!("{text}_")))
    }

    /// Whether `text` says that it is a key of this kind.
    #[must_use]
    pub fn begins(&self, text: &str) -> bool {
        text.starts_with(&self.0)
    }
}

impl Default for KeyPrefix {
    fn default() -> Self {
        Self(String::from("pck_"))
    }
}

/// SHA-256 of a whole key: what the database keeps. A secret of 128 random bits needs no slow hash.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    fn of(text: &str) -> Self {
        let mut bytes = [0; 32];
        let hash = digest::digest(&digest::SHA256, text.as_bytes());
        for (to, from) in bytes.iter_mut().zip(hash.as_ref()) {
            *to = *from;
        }
        Self(bytes)
    }

    pub(crate) const fn stored(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether both are of the same key, in constant time.
    #[must_use]
    pub fn is(&self, other: &KeyHash) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl std::fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyHash(…)")
    }
}

/// A whole key, to be shown once.
#[derive(Clone, Debug)]
pub struct KeyText(Secret);

impl KeyText {
    /// The text, for the one answer that carries it.
    pub fn expose(&self) -> &str {
        std::str::from_utf8(self.0.expose()).unwrap_or_default()
    }
}

/// A key as it was shown, its tag good: this gateway made it, whatever has become of it.
#[derive(Clone, Copy, Debug)]
pub struct ShownKey {
    pub id: ApiKeyId,
    pub(super) hash: KeyHash,
}

/// A key that was just made.
pub(super) struct Made {
    pub(super) shown: ShownKey,
    pub(super) text: KeyText,
}

/// How the keys of this gateway look.
#[derive(Clone, Debug)]
pub struct KeyForm {
    prefix: KeyPrefix,
    ring: Ring,
}

impl KeyForm {
    pub(in crate::accounts) fn new(prefix: KeyPrefix, ring: Ring) -> Self {
        Self { prefix, ring }
    }

    pub fn prefix(&self) -> &KeyPrefix {
        &self.prefix
    }

    /// A fresh key; `None`: the ring has no key.
    pub(super) fn make(&self) -> Option<Made> {
        let id = u128::from_be_bytes(secret::random());
        let mut text = self.prefix.0.clone();
        push(&mut text, id, NUMBER);
        push(&mut text, u128::from_be_bytes(secret::random()), NUMBER);
        let tag = u64::from_be_bytes(self.ring.mark(text.as_bytes())?);
        push(&mut text, u128::from(tag), TAG);
        let shown = ShownKey {
            id: ApiKeyId::from_number(id),
            hash: KeyHash::of(&text),
        };
        let text = KeyText(Secret::new(text.into_bytes()));
        Some(Made { shown, text })
    }

    /// Reads a key that this gateway made; `None` for any other text.
    pub fn read(&self, text: &str) -> Option<ShownKey> {
        let rest = text.strip_prefix(&self.prefix.0)?;
        if rest.len() != 2 * NUMBER + TAG || !rest.is_ascii() {
            return None;
        }
        let (numbers, tag) = rest.split_at_checked(2 * NUMBER)?;
        let (id, _secret) = numbers.split_at_checked(NUMBER)?;
        let tag = u64::try_from(number(tag)?).ok()?;
        let (marked, _) = text.split_at_checked(text.len() - TAG)?;
        if !self.ring.has_marked(marked.as_bytes(), tag.to_be_bytes()) {
            return None;
        }
        Some(ShownKey {
            id: ApiKeyId::from_number(number(id)?),
            hash: KeyHash::of(text),
        })
    }
}

/// Adds `number` in base 62, as `width` digits.
fn push(text: &mut String, number: u128, width: usize) {
    let mut digits = Vec::with_capacity(width);
    let mut rest = number;
    for _ in 0..width {
        let digit = usize::try_from(rest % 62).unwrap_or_default();
        digits.push(DIGITS.get(digit).copied().unwrap_or(b'0'));
        rest /= 62;
    }
    text.extend(digits.iter().rev().map(|digit| char::from(*digit)));
}

/// The number in base 62; `None` for other characters and what is above 128 bits.
fn number(text: &str) -> Option<u128> {
    text.bytes().try_fold(0_u128, |number, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'A'..=b'Z' => byte - b'A' + 10,
            b'a'..=b'z' => byte - b'a' + 36,
            _other => return None,
        };
        number.checked_mul(62)?.checked_add(u128::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(prefix: &str, key: u8) -> KeyForm {
        let ring = Ring::of(&[(0, Secret::new(vec![key; 32]))]);
        KeyForm::new(KeyPrefix::parse(prefix).unwrap(), ring)
    }

    #[test]
    fn a_key_reads_back_and_names_itself() {
        let form = form("pck", 1);
        let made = form.make().unwrap();
        let text = made.text.expose();
        assert!(text.starts_with("pck_") && text.len() == 59, "{text}");
        let read = form.read(text).unwrap();
        assert_eq!(read.id, made.shown.id);
        assert!(read.hash.is(&made.shown.hash));
        assert!(!format!("{made:?}", made = made.text).contains(text));
    }

    #[test]
    fn forged_truncated_and_foreign_keys_are_known_without_a_look_up() {
        let ours = form("pck", 1);
        let made = ours.make().unwrap();
        let text = made.text.expose();
        for at in 0..text.len() {
            let mut forged = text.to_owned().into_bytes();
            forged[at] = if forged[at] == b'x' { b'y' } else { b'x' };
            let forged = String::from_utf8(forged).unwrap();
            assert!(ours.read(&forged).is_none(), "{at}");
            assert!(ours.read(&text[..at]).is_none(), "{at}");
        }
        for wrong in [
            format!("{text}0"),
            format!(" {text}"),
            text.to_uppercase(),
            format!("pck_{}", "z".repeat(55)),
            format!("pck_{}é", "0".repeat(53)),
            String::new(),
        ] {
            assert!(ours.read(&wrong).is_none(), "{wrong}");
        }
        assert!(form("pck", 2).read(text).is_none(), "another gateway's tag");
        assert!(form("pct", 1).read(text).is_none(), "another prefix");
        let renamed = text.replace("pck", "pct");
        assert!(form("pct", 1).read(&renamed).is_none(), "the tag covers it");
    }

    #[test]
    fn numbers_have_one_spelling() {
        for number in [0, 1, 61, 62, u128::from(u64::MAX), u128::MAX] {
            let mut text = String::new();
            push(&mut text, number, NUMBER);
            assert_eq!(super::number(&text), Some(number), "{text}");
        }
        assert_eq!(number(&"z".repeat(NUMBER)), None);
    }

    #[test]
    fn prefixes_are_short_and_plain() {
        for text in ["pck", "acme_live", "k2"] {
            assert!(KeyPrefix::parse(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "p",
            "Pck",
            "2ck",
            "_ck",
            "a-b",
            "a.b",
            "abcdefghijklmnopq",
        ] {
            assert_eq!(KeyPrefix::parse(text), Err(NotAPrefix), "{text}");
        }
    }
}
