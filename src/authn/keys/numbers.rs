//! Public keys as numbers: what a JWK holds (RFC 7518 §6, RFC 8037 §2), read from DER and back.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::ParsedPublicKey;

use crate::authn::algorithm::Algorithm;

/// A public key, big-endian numbers without leading zeros for RSA, of full length for EC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicNumbers {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    Ec {
        curve: Curve,
        x: Vec<u8>,
        y: Vec<u8>,
    },
    Ed25519 {
        x: [u8; 32],
    },
}

/// A NIST curve that an ECDSA algorithm is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    /// ES256 is P-256, ES384 P-384 and ES512 P-521, and nothing else (RFC 7518 §3.4).
    pub fn of(algorithm: Algorithm) -> Option<Self> {
        match algorithm {
            Algorithm::Es256 => Some(Curve::P256),
            Algorithm::Es384 => Some(Curve::P384),
            Algorithm::Es512 => Some(Curve::P521),
            Algorithm::Hs256
            | Algorithm::Hs384
            | Algorithm::Hs512
            | Algorithm::Rs256
            | Algorithm::Rs384
            | Algorithm::Rs512
            | Algorithm::Ps256
            | Algorithm::EdDsa => None,
        }
    }

    /// The JWK's `crv`.
    pub const fn name(self) -> &'static str {
        match self {
            Curve::P256 => "P-256",
            Curve::P384 => "P-384",
            Curve::P521 => "P-521",
        }
    }

    /// Length in bytes of one coordinate.
    pub const fn coordinate(self) -> usize {
        match self {
            Curve::P256 => 32,
            Curve::P384 => 48,
            Curve::P521 => 66,
        }
    }
}

impl PublicNumbers {
    /// From PKCS#1 `RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER }`.
    pub(in crate::authn) fn rsa(pkcs1: &[u8]) -> Option<Self> {
        let (body, rest) = der_element(0x30, pkcs1)?;
        let (n, after) = der_element(0x02, body)?;
        let (e, end) = der_element(0x02, after)?;
        (rest.is_empty() && end.is_empty()).then(|| PublicNumbers::Rsa {
            n: without_leading_zeros(n).to_vec(),
            e: without_leading_zeros(e).to_vec(),
        })
    }

    /// From an uncompressed point: 0x04 ‖ x ‖ y (SEC 1 §2.3.3).
    pub(in crate::authn) fn ec(curve: Curve, point: &[u8]) -> Option<Self> {
        let (0x04, coordinates) = point.split_first().map(|(tag, rest)| (*tag, rest))? else {
            return None;
        };
        let (x, y) = coordinates.split_at_checked(curve.coordinate())?;
        (y.len() == curve.coordinate()).then(|| PublicNumbers::Ec {
            curve,
            x: x.to_vec(),
            y: y.to_vec(),
        })
    }

    pub(in crate::authn) fn ed25519(bytes: &[u8]) -> Option<Self> {
        let x = bytes.try_into().ok()?;
        Some(PublicNumbers::Ed25519 { x })
    }

    /// The point stands at the end of the SubjectPublicKeyInfo that the library writes.
    pub(in crate::authn) fn ec_from_spki(curve: Curve, key: &ParsedPublicKey) -> Option<Self> {
        let spki: PublicKeyX509Der<'_> = key.as_der().ok()?;
        let spki = spki.as_ref();
        let point = spki.len().checked_sub(1 + 2 * curve.coordinate())?;
        Self::ec(curve, spki.get(point..)?)
    }

    pub(in crate::authn) fn ed25519_from_spki(key: &ParsedPublicKey) -> Option<Self> {
        let spki: PublicKeyX509Der<'_> = key.as_der().ok()?;
        Self::ed25519(spki.as_ref().last_chunk::<32>()?)
    }

    /// The form in which the library parses it: PKCS#1, the point, or the raw key.
    pub(in crate::authn) fn encoded(&self) -> Vec<u8> {
        match self {
            PublicNumbers::Rsa { n, e } => {
                let mut body = der_integer(n);
                body.extend(der_integer(e));
                der(0x30, &body)
            }
            PublicNumbers::Ec { x, y, .. } => {
                let mut point = vec![0x04];
                point.extend_from_slice(x);
                point.extend_from_slice(y);
                point
            }
            PublicNumbers::Ed25519 { x } => x.to_vec(),
        }
    }

    /// The size of an RSA modulus.
    pub(in crate::authn) fn rsa_bits(&self) -> Option<usize> {
        match self {
            PublicNumbers::Rsa { n, .. } => {
                let unused = n.first().map_or(0, |first| first.leading_zeros() as usize);
                Some(n.len() * 8 - unused)
            }
            PublicNumbers::Ec { .. } | PublicNumbers::Ed25519 { .. } => None,
        }
    }
}

pub(in crate::authn) fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let start = number.iter().take_while(|byte| **byte == 0).count();
    number.get(start..).unwrap_or_default()
}

/// Splits one DER element of type `tag` off the front: its contents, and what follows it.
fn der_element(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let number = digits
                .iter()
                .fold(0, |n, digit| n << 8 | usize::from(*digit));
            (number, rest)
        }
        0x80 | 0x84.. => return None,
    };
    (found == tag).then(|| rest.split_at_checked(length))?
}

fn der_integer(number: &[u8]) -> Vec<u8> {
    let number = without_leading_zeros(number);
    if number.first().is_none_or(|first| *first >= 0x80) {
        let mut positive = vec![0];
        positive.extend_from_slice(number);
        return der(0x02, &positive);
    }
    der(0x02, number)
}

fn der(tag: u8, contents: &[u8]) -> Vec<u8> {
    let mut element = vec![tag];
    let length = contents.len().to_be_bytes();
    let length = without_leading_zeros(&length);
    match length {
        [short @ 0..=0x7f] => element.push(*short),
        digits => {
            // Fewer than 128 digits: the length is a usize.
            element.push(0x80 | u8::try_from(digits.len()).unwrap_or(0));
            element.extend_from_slice(digits);
        }
    }
    element.extend_from_slice(contents);
    element
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rsa_numbers_survive_der_at_every_length_form() {
        for (n, e) in [
            (vec![0x7f; 10], vec![3]),
            (vec![0xff; 127], vec![1, 0, 1]),
            (vec![0x80; 256], vec![1, 0, 1]),
            (vec![0x01; 1024], vec![0xff]),
        ] {
            let numbers = PublicNumbers::Rsa { n, e };
            assert_eq!(PublicNumbers::rsa(&numbers.encoded()), Some(numbers));
        }
    }

    #[test]
    fn truncated_or_trailing_der_is_no_key() {
        let numbers = PublicNumbers::Rsa {
            n: vec![0x80; 256],
            e: vec![1, 0, 1],
        };
        let mut der = numbers.encoded();
        for cut in 0..der.len() {
            assert_eq!(PublicNumbers::rsa(&der[..cut]), None, "{cut}");
        }
        der.push(0);
        assert_eq!(PublicNumbers::rsa(&der), None);
    }
}
