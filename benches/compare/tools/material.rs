//! Makes what all targets share: a certificate, a key for each algorithm, and tokens.
//!
//! | file | |
//! |---|---|
//! | `tls.crt`, `tls.key`, `tls.pem` | ECDSA P-256, for 127.0.0.1; the last is both |
//! | `hs256.secret`, `rs256.pub`, `es256.pub` | what verifies |
//! | `hs256.jwks`, `rs256.jwks`, `es256.jwks` | the same as a key set |
//! | `hs256.tokens`, … | 1,000 tokens that are good, one a line |
//! | `hs256.bad`, … | wrong signature, expired, another issuer, another audience |

use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{CertificateParams, KeyPair, PublicKeyData, RsaKeySize};
use serde_json::{Value, json};

use super::Outcome;

pub const ISSUER: &str = "https://issuer.test/";
pub const AUDIENCE: &str = "bench-api";
const TOKENS: usize = 1000;
const HOUR: u64 = 3600;

/// One algorithm's key: signs here, verified by the targets.
pub struct Signer {
    algorithm: Algorithm,
    key: EncodingKey,
    /// A key of the same kind that nobody trusts.
    other: EncodingKey,
    /// File name and content of what verifies.
    public: (&'static str, String),
    jwk: Value,
}

/// Writes everything into `folder`.
pub fn write(folder: &Path) -> Outcome {
    // An error only says that this was done before.
    let _done_before = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    fs::create_dir_all(folder)?;
    let put = |name: &str, text: &str| fs::write(folder.join(name), text);
    let key = KeyPair::generate()?;
    let names = vec![String::from("localhost"), String::from("127.0.0.1")];
    let certificate = CertificateParams::new(names)?.self_signed(&key)?.pem();
    put("tls.crt", &certificate)?;
    put("tls.key", &key.serialize_pem())?;
    put("tls.pem", &(certificate + &key.serialize_pem()))?;
    for signer in [hs256()?, rs256()?, es256()?] {
        let name = format!("{:?}", signer.algorithm).to_lowercase();
        put(signer.public.0, &signer.public.1)?;
        put(
            &format!("{name}.jwks"),
            &json!({ "keys": [signer.jwk] }).to_string(),
        )?;
        let mut good = String::new();
        for number in 0..TOKENS {
            writeln!(good, "{}", signer.token(number, &json!({}))?)?;
        }
        put(&format!("{name}.tokens"), &good)?;
        put(&format!("{name}.bad"), &signer.bad()?)?;
    }
    Ok(())
}

impl Signer {
    /// A token of caller `number`, with other claims where `over` has some.
    pub fn token(&self, number: usize, over: &Value) -> Result<String, Box<dyn Error>> {
        self.signed_by(&self.key, number, over)
    }

    fn bad(&self) -> Result<String, Box<dyn Error>> {
        let mut lines = self.signed_by(&self.other, 1, &json!({}))?;
        for over in [
            json!({ "exp": now()? - HOUR }),
            json!({ "iss": "https://elsewhere.test/" }),
            json!({ "aud": "another-api" }),
        ] {
            write!(lines, "\n{}", self.token(1, &over)?)?;
        }
        Ok(lines + "\n")
    }

    fn signed_by(
        &self,
        key: &EncodingKey,
        number: usize,
        over: &Value,
    ) -> Result<String, Box<dyn Error>> {
        let now = now()?;
        let mut claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": format!("user-{number:06}"),
            "email": format!("user{number:06}@example.test"), "role": "editor",
            "iat": now, "exp": now + 7 * 24 * HOUR, "jti": format!("{number:032x}"),
        });
        if let (Some(claims), Some(over)) = (claims.as_object_mut(), over.as_object()) {
            claims.extend(over.clone());
        }
        let mut header = Header::new(self.algorithm);
        header.kid = Some(format!("{:?}-1", self.algorithm).to_lowercase());
        Ok(jsonwebtoken::encode(&header, &claims, key)?)
    }
}

fn now() -> Result<u64, Box<dyn Error>> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

pub fn hs256() -> Result<Signer, Box<dyn Error>> {
    let [secret, other] = [random_hex()?, random_hex()?];
    let k = URL_SAFE_NO_PAD.encode(&secret);
    Ok(Signer {
        algorithm: Algorithm::HS256,
        key: EncodingKey::from_secret(secret.as_bytes()),
        other: EncodingKey::from_secret(other.as_bytes()),
        jwk: json!({ "kty": "oct", "use": "sig", "alg": "HS256", "kid": "hs256-1", "k": k }),
        public: ("hs256.secret", secret),
    })
}

pub fn rs256() -> Result<Signer, Box<dyn Error>> {
    let make = || KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048);
    let (key, other) = (make()?, make()?);
    // RSAPublicKey (RFC 8017 §A.1.1) of 2048 bits: nine octets of heads, the modulus, the exponent.
    let modulus = key
        .der_bytes()
        .get(9..9 + 256)
        .ok_or("not an RSA key of 2048 bits")?;
    let n = URL_SAFE_NO_PAD.encode(modulus);
    Ok(Signer {
        algorithm: Algorithm::RS256,
        jwk: json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": "rs256-1", "n": n, "e": "AQAB" }),
        public: ("rs256.pub", key.public_key_pem()),
        key: EncodingKey::from_rsa_pem(key.serialize_pem().as_bytes())?,
        other: EncodingKey::from_rsa_pem(other.serialize_pem().as_bytes())?,
    })
}

pub fn es256() -> Result<Signer, Box<dyn Error>> {
    let make = || KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256);
    let (key, other) = (make()?, make()?);
    // An uncompressed point (SEC 1 §2.3.3): 4, x, y.
    let (x, y) = key
        .der_bytes()
        .get(1..65)
        .ok_or("not a point of P-256")?
        .split_at(32);
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    Ok(Signer {
        algorithm: Algorithm::ES256,
        jwk: json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "es256-1", "x": x, "y": y }),
        public: ("es256.pub", key.public_key_pem()),
        key: EncodingKey::from_ec_pem(key.serialize_pem().as_bytes())?,
        other: EncodingKey::from_ec_pem(other.serialize_pem().as_bytes())?,
    })
}

/// 256 random bits as text.
fn random_hex() -> Result<String, Box<dyn Error>> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes)?;
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}")?;
    }
    Ok(text)
}
