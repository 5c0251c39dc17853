//! What a key ring takes and refuses.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken as oracle;

use super::*;
use crate::secret::{Secret, WeakSecret};

/// One PKCS#8 document an algorithm: RSA keys are dear to make.
fn document(algorithm: Algorithm) -> &'static Secret {
    static RSA: OnceLock<Secret> = OnceLock::new();
    static OTHERS: [OnceLock<Secret>; 11] = [const { OnceLock::new() }; 11];
    let made = || Material::generate(algorithm).unwrap().1;
    match algorithm.family() {
        crate::authn::algorithm::Family::Rsa => RSA.get_or_init(made),
        _ => OTHERS[algorithm as usize].get_or_init(made),
    }
}

pub(in crate::authn) fn material(algorithm: Algorithm) -> Material {
    match algorithm.shortest_secret() {
        Some(_) => {
            let secret = Secret::new(b"0123456789abcdef".repeat(4));
            Material::from_secret(algorithm, &secret).unwrap()
        }
        None => Material::from_private_der(algorithm, document(algorithm).expose()).unwrap(),
    }
}

pub(in crate::authn) fn key(id: &str, material: Material, purpose: KeyUse) -> Key {
    Key {
        id: KeyId::parse(id).unwrap(),
        material,
        purpose,
        origin: Origin::Ours,
        not_after: None,
    }
}

fn pem(algorithm: Algorithm) -> String {
    let base64 = base64::engine::general_purpose::STANDARD.encode(document(algorithm).expose());
    format!("-----BEGIN PRIVATE KEY-----\n{base64}\n-----END PRIVATE KEY-----")
}

fn oracle_algorithm(algorithm: Algorithm) -> Option<oracle::Algorithm> {
    // ES512 is the one that the other implementation lacks.
    algorithm.name().parse().ok()
}

#[test]
fn every_algorithm_verifies_what_it_signs_and_nothing_else() {
    for algorithm in Algorithm::ALL {
        let key = material(algorithm);
        let signature = key.sign(b"message").unwrap();
        assert!(key.verifies(b"message", &signature), "{algorithm}");
        assert!(!key.verifies(b"messagf", &signature), "{algorithm}");
        assert!(!key.verifies(b"message", b""), "{algorithm}");
        let mut bent = signature.clone();
        *bent.last_mut().unwrap() ^= 1;
        assert!(!key.verifies(b"message", &bent), "{algorithm}");
        assert!(
            !key.verifies(b"message", &vec![0; signature.len()]),
            "{algorithm}"
        );
    }
}

#[test]
fn a_public_key_verifies_and_cannot_sign() {
    for algorithm in Algorithm::ALL {
        let private = material(algorithm);
        let Some(numbers) = private.public().cloned() else {
            continue;
        };
        let public = Material::from_numbers(algorithm, numbers).unwrap();
        let signature = private.sign(b"message").unwrap();
        assert!(public.verifies(b"message", &signature), "{algorithm}");
        assert!(!public.can_sign());
        assert!(public.sign(b"message").is_err());
    }
}

#[test]
fn another_implementation_reads_our_tokens_and_we_read_its() {
    let mut compared = 0;
    for algorithm in Algorithm::ALL {
        let Some(theirs) = oracle_algorithm(algorithm) else {
            assert_eq!(algorithm, Algorithm::Es512);
            continue;
        };
        let ours = material(algorithm);
        let pem = pem_or_secret(algorithm);
        let encoding = match theirs.family() {
            oracle::AlgorithmFamily::Hmac => oracle::EncodingKey::from_secret(&pem),
            oracle::AlgorithmFamily::Rsa => oracle::EncodingKey::from_rsa_pem(&pem).unwrap(),
            oracle::AlgorithmFamily::Ec => oracle::EncodingKey::from_ec_pem(&pem).unwrap(),
            oracle::AlgorithmFamily::Ed => oracle::EncodingKey::from_ed_pem(&pem).unwrap(),
        };
        let signature = oracle::crypto::sign(b"message", &encoding, theirs).unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert!(ours.verifies(b"message", &signature), "{algorithm}");

        let signature = URL_SAFE_NO_PAD.encode(ours.sign(b"message").unwrap());
        let decoding = oracle_decoding(&ours, &pem);
        let holds = oracle::crypto::verify(&signature, b"message", &decoding, theirs);
        assert!(holds.unwrap(), "{algorithm}");
        compared += 1;
    }
    assert_eq!(compared, 10);
}

fn pem_or_secret(algorithm: Algorithm) -> Vec<u8> {
    match algorithm.shortest_secret() {
        Some(_) => b"0123456789abcdef".repeat(4),
        None => pem(algorithm).into_bytes(),
    }
}

/// From the JWK that we publish: the JWKS is checked on the way.
fn oracle_decoding(ours: &Material, secret: &[u8]) -> oracle::DecodingKey {
    if ours.public().is_none() {
        return oracle::DecodingKey::from_secret(secret);
    }
    let public = Material::from_numbers(ours.algorithm(), ours.public().unwrap().clone()).unwrap();
    let signer = key("hs", material(Algorithm::Hs256), KeyUse::Sign);
    let ring = KeyRing::new(vec![signer, key("pk", public, KeyUse::Verify)]).unwrap();
    let set: oracle::jwk::JwkSet = serde_json::from_slice(ring.jwks()).unwrap();
    assert_eq!(set.keys.len(), 1, "the shared secret is not published");
    oracle::DecodingKey::from_jwk(set.find("pk").unwrap()).unwrap()
}

#[test]
fn key_files_are_read_as_pem_and_as_jwk() {
    for algorithm in [
        Algorithm::Rs256,
        Algorithm::Ps256,
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::Es512,
        Algorithm::EdDsa,
    ] {
        let own = material(algorithm);
        let read = KeyFile::parse(Some(algorithm), pem(algorithm).as_bytes()).unwrap();
        let signature = read.material.sign(b"message").unwrap();
        assert!(own.verifies(b"message", &signature), "{algorithm}");

        let ring = KeyRing::new(vec![key("k1", own, KeyUse::Sign)]).unwrap();
        let set: serde_json::Value = serde_json::from_slice(ring.jwks()).unwrap();
        let jwk = set["keys"][0].to_string();
        let read = KeyFile::parse(None, jwk.as_bytes()).unwrap();
        assert!(
            read.material.verifies(b"message", &signature),
            "{algorithm}"
        );
        assert_eq!(read.kid.as_deref(), Some("k1"));
        let other = if algorithm == Algorithm::Es256 {
            Algorithm::Es384
        } else {
            Algorithm::Es256
        };
        let refused = KeyFile::parse(Some(other), jwk.as_bytes()).unwrap_err();
        assert_eq!(refused, KeyError::JwkAlgorithm(other));
    }
}

#[test]
fn spki_pem_public_keys_of_every_kind_are_read() {
    for (algorithm, rcgen) in [
        (Algorithm::Es256, &rcgen::PKCS_ECDSA_P256_SHA256),
        (Algorithm::Es384, &rcgen::PKCS_ECDSA_P384_SHA384),
        (Algorithm::Es512, &rcgen::PKCS_ECDSA_P521_SHA512),
        (Algorithm::EdDsa, &rcgen::PKCS_ED25519),
    ] {
        let pair = rcgen::KeyPair::generate_for(rcgen).unwrap();
        let private = KeyFile::parse(Some(algorithm), pair.serialize_pem().as_bytes()).unwrap();
        let public = KeyFile::parse(Some(algorithm), pair.public_key_pem().as_bytes()).unwrap();
        let signature = private.material.sign(b"message").unwrap();
        assert!(
            public.material.verifies(b"message", &signature),
            "{algorithm}"
        );
        assert_eq!(public.material.public(), private.material.public());
    }
}

#[test]
fn private_jwks_sign_and_their_parts_must_agree() {
    // RFC 8037 appendix A.1, and RFC 7517 appendix A.2's P-256 key.
    let ed = r#"{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","kid":"e",
        "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
        "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let ec = r#"{"kty":"EC","crv":"P-256","alg":"ES256",
        "x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
        "d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"}"#;
    for jwk in [ed, ec] {
        let key = KeyFile::parse(None, jwk.as_bytes()).unwrap().material;
        let signature = key.sign(b"message").unwrap();
        assert!(key.verifies(b"message", &signature));
        let bent = jwk
            .replace("\"x\":\"1", "\"x\":\"2")
            .replace("\"x\":\"M", "\"x\":\"N");
        assert!(KeyFile::parse(None, bent.as_bytes()).is_err());
    }
}

#[test]
fn what_is_not_a_key_for_the_algorithm_is_refused() {
    let ec = pem(Algorithm::Es256);
    let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (algorithm, file, expected) in [
        (
            Algorithm::Rs256,
            ec.as_str(),
            KeyError::Unfit(Algorithm::Rs256),
        ),
        (
            Algorithm::Es384,
            ec.as_str(),
            KeyError::Unfit(Algorithm::Es384),
        ),
        (
            Algorithm::EdDsa,
            ec.as_str(),
            KeyError::Unfit(Algorithm::EdDsa),
        ),
        (
            Algorithm::Hs256,
            ec.as_str(),
            KeyError::NeedsSecret(Algorithm::Hs256),
        ),
        (Algorithm::Es256, "", KeyError::NotPem),
        (Algorithm::Es256, "rubbish", KeyError::NotPem),
        (Algorithm::Es256, "{}", KeyError::NotJwk),
        (Algorithm::Es256, certificate, KeyError::Certificate),
        (
            Algorithm::Hs256,
            r#"{"kty":"oct","k":"c2VjcmV0"}"#,
            KeyError::Weak(WeakSecret::Sample),
        ),
    ] {
        let refused = KeyFile::parse(Some(algorithm), file.as_bytes()).unwrap_err();
        assert_eq!(refused, expected, "{algorithm} {file:.40}");
    }
}

#[test]
fn small_rsa_keys_are_refused() {
    let numbers = PublicNumbers::Rsa {
        n: vec![0xc5; 128],
        e: vec![1, 0, 1],
    };
    let refused = Material::from_numbers(Algorithm::Rs256, numbers).unwrap_err();
    assert_eq!(refused, KeyError::RsaSize);
}

#[test]
fn generated_key_files_read_back() {
    for algorithm in [Algorithm::Hs512, Algorithm::Es512, Algorithm::EdDsa] {
        let file = generate(algorithm).unwrap();
        if let Some(encoded) = file.strip_prefix("base64:") {
            let secret = base64::engine::general_purpose::STANDARD
                .decode(encoded.trim_end())
                .unwrap();
            Material::from_secret(algorithm, &Secret::new(secret)).unwrap();
        } else {
            assert!(KeyFile::parse(Some(algorithm), file.as_bytes()).is_ok());
        }
    }
}

#[test]
fn a_ring_has_one_signer_and_distinct_names() {
    let hs = || material(Algorithm::Hs256);
    let public = || {
        let numbers = material(Algorithm::EdDsa).public().cloned().unwrap();
        Material::from_numbers(Algorithm::EdDsa, numbers).unwrap()
    };
    let mut ended = key("a", hs(), KeyUse::Sign);
    ended.not_after = Some(Timestamp::from_seconds(1));
    let text = String::from;
    for (keys, expected) in [
        (vec![], RingError::NoSigner),
        (vec![key("a", hs(), KeyUse::Verify)], RingError::NoSigner),
        (
            vec![key("a", hs(), KeyUse::Sign), key("b", hs(), KeyUse::Sign)],
            RingError::TwoSigners(text("a"), text("b")),
        ),
        (
            vec![key("a", hs(), KeyUse::Sign), key("a", hs(), KeyUse::Verify)],
            RingError::SameId(text("a")),
        ),
        (
            vec![key("a", public(), KeyUse::Sign)],
            RingError::PublicOnly(text("a")),
        ),
        (vec![ended], RingError::SignerEnds(text("a"))),
        (
            vec![key("a", hs(), KeyUse::Assert)],
            RingError::SecretAsserter(text("a"), Algorithm::Hs256),
        ),
    ] {
        assert_eq!(KeyRing::new(keys).unwrap_err(), expected);
    }
}

#[test]
fn a_shared_secret_is_never_published_nor_printed() {
    let secret = "0123456789abcdef".repeat(4);
    let ring = KeyRing::new(vec![key("a", material(Algorithm::Hs256), KeyUse::Sign)]).unwrap();
    assert_eq!(&ring.jwks()[..], br#"{"keys":[]}"#);
    let shown = format!("{ring:?}");
    assert!(
        !shown.contains(&secret) && !shown.contains("0123"),
        "{shown}"
    );
}
