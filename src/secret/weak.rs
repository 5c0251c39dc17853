//! Secrets that everybody knows: those printed in documents, and those too short to be unknown.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Secret;

/// Why a secret keeps nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeakSecret {
    #[error("the secret is empty")]
    Empty,
    #[error("the secret is a sample that documents print")]
    Sample,
    #[error("the secret has fewer than {0} bytes")]
    Short(usize),
    /// A public key taken for a shared secret lets everybody who has it sign.
    #[error("the secret is a PEM or JWK key file, not a shared secret")]
    KeyFile,
}

/// Printed by the documents of the systems that stand behind gateways.
const SAMPLES: [&str; 11] = [
    "dev-secret-change-me",
    "your-secret-key",
    "your-secret-key-here",
    "your-generated-secret-here",
    "your-secure-secret",
    "your-secure-secret-from-secrets-manager",
    "dev-secret-key-change-in-production-f8a7b2c1",
    "eW91ci1zZWN1cmUtc2VjcmV0LWJhc2U2NC1lbmNvZGVk",
    "your-secure-secret-base64-encoded",
    "changeme",
    "secret",
];

/// Longer samples begin so, too.
const SAMPLE_START: &[u8] = b"kV8fTqZ2Jm5nR9sQ3xW8vY1bN7pL4dF6";

/// Refuses what keeps nothing: what is no secret, what documents print, and what has fewer bytes than
/// `shortest`.
///
/// # Errors
///
/// See [`WeakSecret`].
pub fn refuse_weak(secret: &Secret, shortest: usize) -> Result<(), WeakSecret> {
    not_a_key_file(secret)?;
    let bytes = secret.expose();
    if is_sample(bytes) || STANDARD.decode(bytes).is_ok_and(|text| is_sample(&text)) {
        return Err(WeakSecret::Sample);
    }
    match bytes.len() < shortest {
        true => Err(WeakSecret::Short(shortest)),
        false => Ok(()),
    }
}

/// Refuses what cannot be meant as a shared secret, even in development.
pub fn not_a_key_file(secret: &Secret) -> Result<(), WeakSecret> {
    let bytes = secret.expose().trim_ascii();
    if bytes.is_empty() {
        return Err(WeakSecret::Empty);
    }
    let pem = bytes.starts_with(b"-----BEGIN ");
    let jwk = bytes.starts_with(b"{") && bytes.windows(5).any(|part| part == b"\"kty\"");
    if pem || jwk {
        return Err(WeakSecret::KeyFile);
    }
    Ok(())
}

fn is_sample(bytes: &[u8]) -> bool {
    let bytes = bytes.trim_ascii();
    bytes.starts_with(SAMPLE_START)
        || SAMPLES
            .iter()
            .any(|sample| bytes.eq_ignore_ascii_case(sample.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str, shortest: usize) -> Result<(), WeakSecret> {
        refuse_weak(&Secret::new(text.as_bytes().to_vec()), shortest)
    }

    #[test]
    fn printed_samples_are_refused_however_they_are_dressed() {
        for sample in [
            "dev-secret-change-me",
            "your-secret-key",
            "your-secret-key-here",
            "your-generated-secret-here",
            "your-secure-secret",
            "your-secure-secret-from-secrets-manager",
            "YOUR-SECURE-SECRET-FROM-SECRETS-MANAGER",
            " dev-secret-key-change-in-production-f8a7b2c1\n",
            "dev-secret-key-change-in-production-f8a7b2c1",
            "kV8fTqZ2Jm5nR9sQ3xW8vY1bN7pL4dF6",
            "kV8fTqZ2Jm5nR9sQ3xW8vY1bN7pL4dF6hG2jK5mN8pQ3",
            "eW91ci1zZWN1cmUtc2VjcmV0LWJhc2U2NC1lbmNvZGVk",
            "your-secure-secret-base64-encoded",
            "changeme",
            "secret",
            // base64 of "dev-secret-key-change-in-production-f8a7b2c1"
            "ZGV2LXNlY3JldC1rZXktY2hhbmdlLWluLXByb2R1Y3Rpb24tZjhhN2IyYzE=",
        ] {
            let verdict = verdict(sample, 0);
            assert_eq!(verdict, Err(WeakSecret::Sample), "{sample:?}");
        }
    }

    #[test]
    fn secrets_that_are_too_short_for_their_use_are_refused() {
        let enough = "0Aq".repeat(22);
        for shortest in [32, 48, 64] {
            let short = &enough[..shortest - 1];
            assert_eq!(verdict(short, shortest), Err(WeakSecret::Short(shortest)));
            assert_eq!(verdict(&enough[..shortest], shortest), Ok(()));
        }
    }

    #[test]
    fn what_is_no_secret_at_all_is_refused_even_in_development() {
        for (text, expected) in [
            ("", WeakSecret::Empty),
            (" \n", WeakSecret::Empty),
            ("-----BEGIN PUBLIC KEY-----\nMII", WeakSecret::KeyFile),
            ("{\"kty\":\"RSA\"}", WeakSecret::KeyFile),
        ] {
            let secret = Secret::new(text.as_bytes().to_vec());
            assert_eq!(not_a_key_file(&secret), Err(expected), "{text:?}");
        }
    }
}
