//! Codes of authenticator apps: TOTP with six digits, HMAC-SHA-1 and steps of 30 seconds (RFC 6238),
//! which is what every such app can do.

use std::fmt;

use aws_lc_rs::hmac;
use data_encoding::BASE32_NOPAD;

use crate::clock::Timestamp;
use crate::inbound::query_value;
use crate::secret::{self, Secret};

/// Octets of a secret, as long as the output of the hash (RFC 4226 §4, R6).
const LENGTH: usize = 20;
/// Seconds.
const STEP: i64 = 30;
/// So many steps a clock may be wrong, or somebody type slowly (RFC 6238 §5.2).
const LEEWAY: i64 = 1;
const DIGITS: usize = 6;

/// What an authenticator app and the gateway share.
#[derive(Clone, Debug)]
pub(super) struct TotpSecret(Secret);

/// A code of six digits, as it was shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct TotpCode(u32);

impl TotpCode {
    pub fn parse(text: &str) -> Option<Self> {
        let is_code = text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
        is_code.then(|| text.parse().ok().map(Self)).flatten()
    }
}

impl fmt::Debug for TotpCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpCode(…)")
    }
}

impl TotpSecret {
    pub fn random() -> Self {
        Self(Secret::new(secret::random::<LENGTH>().to_vec()))
    }

    pub fn from_secret(secret: Secret) -> Self {
        Self(secret)
    }

    pub fn as_secret(&self) -> &Secret {
        &self.0
    }

    /// As it is typed into an app (RFC 4648 §6).
    pub fn text(&self) -> String {
        BASE32_NOPAD.encode(self.0.expose())
    }

    /// The same for a QR code, in the form that apps agree on: `otpauth://totp/ISSUER:NAME?…`.
    pub fn uri(&self, issuer: &str, name: &str) -> String {
        let (issuer, name) = (encoded(issuer), encoded(name));
        format!(
            "otpauth://totp/{issuer}:{name}?secret={}&issuer={issuer}&algorithm=SHA1&digits=6&period=30",
            self.text()
        )
    }

    /// The step of `code`, if it is one of those around `now` and later than `last`: a code is good
    /// once (RFC 6238 §5.2).
    pub fn step_of(&self, code: TotpCode, now: Timestamp, last: i64) -> Option<i64> {
        let step = now.seconds().div_euclid(STEP);
        let mut near = (step - LEEWAY)..=(step + LEEWAY);
        near.find(|step| *step > last && self.code(*step) == Some(code))
    }

    /// RFC 4226 §5.3.
    fn code(&self, step: i64) -> Option<TotpCode> {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, self.0.expose());
        let tag = hmac::sign(&key, &u64::try_from(step).ok()?.to_be_bytes());
        let offset = usize::from(tag.as_ref().last()? & 0xf);
        let four = tag.as_ref().get(offset..)?.first_chunk::<4>()?;
        Some(TotpCode(
            (u32::from_be_bytes(*four) & 0x7fff_ffff) % 1_000_000,
        ))
    }
}

/// As a part of a URI's path, where a slash or a colon would say something.
fn encoded(text: &str) -> String {
    query_value(text).replace('/', "%2F")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret of RFC 6238's appendix B.
    fn sample() -> TotpSecret {
        TotpSecret(Secret::new(b"12345678901234567890".to_vec()))
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn codes_are_those_of_the_rfc() {
        // Its table has eight digits; these are the last six.
        for (seconds, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            let code = TotpCode::parse(code).unwrap();
            let step = sample().step_of(code, at(seconds), -1);
            assert_eq!(step, Some(seconds / 30), "{seconds}");
        }
    }

    #[test]
    fn a_code_is_good_for_a_step_around_its_own_and_once() {
        let code = TotpCode::parse("287082").unwrap();
        let step = |seconds, last| sample().step_of(code, at(seconds), last);
        for seconds in [30, 59, 60, 89] {
            assert_eq!(step(seconds, -1), Some(1), "{seconds}");
        }
        assert_eq!(step(0, -1), Some(1), "a clock that is a step ahead");
        assert_eq!(step(90, -1), None);
        assert_eq!(step(59, 0), Some(1));
        assert_eq!(step(59, 1), None);
        assert_eq!(step(59, 2), None);
    }

    #[test]
    fn nothing_but_six_digits_is_a_code() {
        for text in [
            "",
            "12345",
            "1234567",
            "12345a",
            "+12345",
            " 12345",
            "１２３４５６",
        ] {
            assert_eq!(TotpCode::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_app_computes_the_same_codes_from_what_it_is_told() {
        let secret = TotpSecret::random();
        let uri = secret.uri("Example a/b & c", "ann+x@example.com");
        assert!(
            uri.starts_with("otpauth://totp/Example%20a%2Fb%20%26%20c:ann%2Bx%40example.com?"),
            "{uri}"
        );
        let app = totp_rs::Totp::from_url_unchecked(&uri).unwrap();
        for seconds in [0, 59, 1_800_000_000] {
            let code = TotpCode::parse(&app.generate(seconds).to_string()).unwrap();
            let now = at(i64::try_from(seconds).unwrap());
            assert!(secret.step_of(code, now, -1).is_some(), "{seconds}");
        }
    }
}
