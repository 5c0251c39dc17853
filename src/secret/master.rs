//! The master keys that seal what must be read again: one seals, all open.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, RandomizedNonceKey};
use aws_lc_rs::{digest, hkdf};

use super::{Secret, WeakSecret, refuse_weak};

/// Fewest octets of a master key.
const SHORTEST: usize = 32;

/// Master keys, the first of which seals.
#[derive(Clone, Debug)]
pub struct MasterRing(Vec<Master>);

#[derive(Clone)]
struct Master {
    /// Tells it from the others without telling it.
    id: String,
    key: Secret,
}

impl MasterRing {
    /// A ring of these secrets.
    ///
    /// # Errors
    ///
    /// When one of them keeps nothing. A ring of none seals and opens nothing.
    pub fn new(secrets: &[Secret]) -> Result<Self, WeakSecret> {
        let masters = secrets.iter().map(Master::new);
        masters.collect::<Result<_, _>>().map(Self)
    }

    /// The id of the one that seals; empty in a ring of none.
    pub fn first(&self) -> &str {
        self.0.first().map_or("", |master| &master.id)
    }

    pub fn is_first(&self, id: &str) -> bool {
        self.0.first().is_some_and(|master| master.id == id)
    }

    pub fn has(&self, id: &str) -> bool {
        self.find(id).is_some()
    }

    /// Seals `secret` under the first key; it opens only together with the same `bound_to`.
    pub fn seal(&self, bound_to: &[u8], secret: &Secret) -> Option<Vec<u8>> {
        let key = self.0.first()?.aead()?;
        let mut sealed = secret.expose().to_vec();
        let nonce = key
            .seal_in_place_append_tag(Aad::from(bound_to), &mut sealed)
            .ok()?;
        let mut whole = nonce.as_ref().to_vec();
        whole.append(&mut sealed);
        Some(whole)
    }

    /// What was sealed under the key of this id.
    pub fn open(&self, id: &str, bound_to: &[u8], sealed: &[u8]) -> Option<Secret> {
        let key = self.find(id)?.aead()?;
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut buffer = sealed.to_vec();
        let nonce = aws_lc_rs::aead::Nonce::assume_unique_for_key(*nonce);
        let length = key
            .open_in_place(nonce, Aad::from(bound_to), &mut buffer)
            .ok()?
            .len();
        buffer.truncate(length);
        Some(Secret::new(buffer))
    }

    fn find(&self, id: &str) -> Option<&Master> {
        self.0.iter().find(|master| master.id == id)
    }
}

impl Master {
    fn new(secret: &Secret) -> Result<Self, WeakSecret> {
        refuse_weak(secret, SHORTEST)?;
        // 32 octets can always be derived (RFC 5869 §2.3).
        let weak = WeakSecret::Short(SHORTEST);
        let key = derive(secret, b"portcullis seal").ok_or(weak)?;
        let mark = derive(secret, b"portcullis master id").ok_or(weak)?;
        let mark = digest::digest(&digest::SHA256, mark.expose());
        let id = mark.as_ref().iter().take(8);
        Ok(Self {
            id: id.map(|byte| format!("{byte:02x}")).collect(),
            key,
        })
    }

    fn aead(&self) -> Option<RandomizedNonceKey> {
        RandomizedNonceKey::new(&AES_256_GCM, self.key.expose()).ok()
    }
}

impl std::fmt::Debug for Master {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Master({})", self.id)
    }
}

/// 32 octets for one purpose (RFC 5869).
fn derive(secret: &Secret, purpose: &[u8]) -> Option<Secret> {
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"portcullis master key");
    let key = salt.extract(secret.expose());
    let purposes = [purpose];
    let made = key.expand(&purposes, hkdf::HKDF_SHA256).ok()?;
    let mut bytes = vec![0; 32];
    made.fill(&mut bytes).ok()?;
    Some(Secret::new(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(byte: u8) -> Secret {
        Secret::new(vec![byte; 32])
    }

    #[test]
    fn what_is_sealed_opens_under_its_key_for_what_it_is_bound_to() {
        let ring = MasterRing::new(&[secret(1)]).unwrap();
        let sealed = ring.seal(b"this", &secret(9)).unwrap();
        let again = ring.seal(b"this", &secret(9)).unwrap();
        assert_ne!(sealed, again, "each has a nonce of its own");
        let open = |ring: &MasterRing, id: &str, bound_to: &[u8], sealed: &[u8]| {
            ring.open(id, bound_to, sealed).map(|s| s.expose().to_vec())
        };
        let id = ring.first().to_owned();
        assert_eq!(open(&ring, &id, b"this", &sealed), Some(vec![9; 32]));
        assert_eq!(open(&ring, &id, b"that", &sealed), None);
        assert_eq!(open(&ring, "other", b"this", &sealed), None);
        for at in 0..sealed.len() {
            let mut forged = sealed.clone();
            forged[at] ^= 1;
            assert_eq!(open(&ring, &id, b"this", &forged), None, "{at}");
            assert_eq!(open(&ring, &id, b"this", &sealed[..at]), None, "{at}");
        }
        let rotated = MasterRing::new(&[secret(2), secret(1)]).unwrap();
        assert_eq!(open(&rotated, &id, b"this", &sealed), Some(vec![9; 32]));
        assert!(!rotated.is_first(&id) && rotated.has(&id));
        let other = MasterRing::new(&[secret(2)]).unwrap();
        assert!(!other.has(&id));
    }

    #[test]
    fn a_master_key_that_keeps_nothing_is_refused() {
        let short = MasterRing::new(&[Secret::new(vec![1; 31])]);
        assert_eq!(short.err(), Some(WeakSecret::Short(32)));
        let printed = b"dev-secret-key-change-in-production-f8a7b2c1".to_vec();
        let printed = MasterRing::new(&[secret(1), Secret::new(printed)]);
        assert_eq!(printed.err(), Some(WeakSecret::Sample));
    }
}
