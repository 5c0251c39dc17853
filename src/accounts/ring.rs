//! Texts that only this gateway can have written: refresh tokens, device cookies. Whatever is not
//! one of them is refused before it costs a query.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::clock::Timestamp;
use crate::secret::{self, Secret};
use crate::store::{KeepRingKey, Store, StoreError};

/// Octets of an HMAC-SHA-256.
const TAG: usize = 32;
/// Octets of a mark.
const MARK: usize = 8;
/// Longest text that is looked at, in octets.
const MAX_TEXT: usize = 512;

/// Keys of which the last signs and all verify, kept in the database.
#[derive(Clone, Debug)]
pub struct Ring {
    keys: Vec<(u8, hmac::Key)>,
}

impl Ring {
    /// Loads a ring, after making its first key where there is none. Several processes may start
    /// at one time: all use the key that came first.
    pub(super) async fn load(
        store: &Store,
        ring: &'static str,
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let mut keys = store.ring_keys(ring).await?;
        if keys.is_empty() {
            let secret = Secret::new(secret::random::<32>().to_vec());
            store
                .commit(KeepRingKey {
                    ring,
                    id: 0,
                    secret,
                    at: now,
                })
                .await?;
            keys = store.ring_keys(ring).await?;
        }
        Ok(Self::of(&keys))
    }

    /// A ring of these keys.
    pub(super) fn of(keys: &[(u8, Secret)]) -> Self {
        let key = |secret: &Secret| hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
        Self {
            keys: keys.iter().map(|(id, secret)| (*id, key(secret))).collect(),
        }
    }

    /// Seals a payload, which stays readable, in the characters of base64url. `None`: the ring
    /// has no key.
    pub fn seal(&self, payload: &[u8]) -> Option<String> {
        let (id, key) = self.keys.last()?;
        let mut sealed = Vec::with_capacity(1 + payload.len() + TAG);
        sealed.push(*id);
        sealed.extend_from_slice(payload);
        let tag = hmac::sign(key, &sealed);
        sealed.extend_from_slice(tag.as_ref());
        Some(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// The first octets of the tag of `message`, for a text that must be short. `None`: the ring
    /// has no key.
    pub(super) fn mark(&self, message: &[u8]) -> Option<[u8; MARK]> {
        let (_, key) = self.keys.last()?;
        hmac::sign(key, message).as_ref().first_chunk().copied()
    }

    /// Whether one of the ring's keys made this mark.
    pub(super) fn has_marked(&self, message: &[u8], mark: [u8; MARK]) -> bool {
        self.keys.iter().any(|(_, key)| {
            let tag = hmac::sign(key, message);
            let first = tag.as_ref().first_chunk::<MARK>();
            first.is_some_and(|first| {
                aws_lc_rs::constant_time::verify_slices_are_equal(first, &mark).is_ok()
            })
        })
    }

    /// The payload, if this ring sealed it.
    pub fn open(&self, text: &str) -> Option<Vec<u8>> {
        if text.len() > MAX_TEXT {
            return None;
        }
        let mut sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (signed, tag) = sealed.split_last_chunk::<TAG>()?;
        let (id, _) = signed.split_first()?;
        let (_, key) = self.keys.iter().find(|(known, _)| known == id)?;
        hmac::verify(key, signed, tag).ok()?;
        sealed.truncate(signed.len());
        sealed.remove(0);
        Some(sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(ids: &[u8]) -> Ring {
        let keys: Vec<_> = ids
            .iter()
            .map(|id| (*id, Secret::new(vec![*id; 32])))
            .collect();
        Ring::of(&keys)
    }

    #[test]
    fn what_was_sealed_opens_also_after_a_rotation() {
        let sealed = ring(&[0]).seal(b"payload").unwrap();
        assert_eq!(ring(&[0]).open(&sealed).unwrap(), b"payload");
        assert_eq!(ring(&[0, 1]).open(&sealed).unwrap(), b"payload");
        assert_ne!(ring(&[0, 1]).seal(b"payload").unwrap(), sealed);
    }

    #[test]
    fn nothing_else_opens() {
        let ring_0 = ring(&[0]);
        let sealed = ring_0.seal(b"payload").unwrap();
        assert!(ring(&[1]).open(&sealed).is_none());
        for at in 0..sealed.len() {
            let mut forged = sealed.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            assert!(ring_0.open(&forged).is_none(), "{at}");
        }
        for text in [
            "",
            "A",
            "====",
            "\0",
            &"A".repeat(513),
            &format!("{sealed}="),
        ] {
            assert!(ring_0.open(text).is_none(), "{text:?}");
        }
    }
}
