//! The signature algorithms of our tokens (RFC 7518 §3.1, RFC 8037 §3.1), and what each asks of a key.

use std::fmt;

/// A JWS algorithm that a key may have. `none` is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Es256,
    Es384,
    Es512,
    Ps256,
    EdDsa,
}

/// A name that is none of [`Algorithm::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected one of HS256, HS384, HS512, RS256, RS384, RS512, ES256, ES384, ES512, PS256, EdDSA"
)]
pub struct UnknownAlgorithm;

/// What a key of an algorithm is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// A secret that signer and verifier share.
    Hmac,
    Rsa,
    Ec,
    Ed25519,
}

impl Algorithm {
    pub const ALL: [Algorithm; 11] = [
        Algorithm::Hs256,
        Algorithm::Hs384,
        Algorithm::Hs512,
        Algorithm::Rs256,
        Algorithm::Rs384,
        Algorithm::Rs512,
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::Es512,
        Algorithm::Ps256,
        Algorithm::EdDsa,
    ];

    /// Reads the `alg` of a header, a JWK or the configuration: case counts (RFC 7515 §4.1.1).
    pub fn parse(name: &str) -> Result<Self, UnknownAlgorithm> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
            .ok_or(UnknownAlgorithm)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::Hs256 => "HS256",
            Algorithm::Hs384 => "HS384",
            Algorithm::Hs512 => "HS512",
            Algorithm::Rs256 => "RS256",
            Algorithm::Rs384 => "RS384",
            Algorithm::Rs512 => "RS512",
            Algorithm::Es256 => "ES256",
            Algorithm::Es384 => "ES384",
            Algorithm::Es512 => "ES512",
            Algorithm::Ps256 => "PS256",
            Algorithm::EdDsa => "EdDSA",
        }
    }

    pub const fn family(self) -> Family {
        match self {
            Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => Family::Hmac,
            Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512 | Algorithm::Ps256 => {
                Family::Rsa
            }
            Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512 => Family::Ec,
            Algorithm::EdDsa => Family::Ed25519,
        }
    }

    /// The shortest secret in bytes: the hash's output (RFC 7518 §3.2). `None`: not a shared secret.
    pub const fn shortest_secret(self) -> Option<usize> {
        match self {
            Algorithm::Hs256 => Some(32),
            Algorithm::Hs384 => Some(48),
            Algorithm::Hs512 => Some(64),
            Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Es256
            | Algorithm::Es384
            | Algorithm::Es512
            | Algorithm::Ps256
            | Algorithm::EdDsa => None,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_and_nothing_else_does() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::parse(algorithm.name()), Ok(algorithm));
        }
        for name in [
            "none", "None", "NONE", "hs256", "", "HS256 ", "ES256K", "PS384",
        ] {
            assert_eq!(Algorithm::parse(name), Err(UnknownAlgorithm), "{name:?}");
        }
    }
}
