//! Compact JSON Web Signatures (RFC 7515 §3.1), with the strictest header that real tokens pass.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Deserializer, IgnoredAny};
use serde::{Deserialize, Serialize};

use super::algorithm::Algorithm;
use super::keys::{Key, SignError};
use super::token::TokenError;

/// Longest token in bytes: what fits the header limits of common servers, with room.
pub(super) const MAX_TOKEN: usize = 8 * 1024;

/// What a token is for: its `typ`. A token of one kind is never taken for one of another
/// (RFC 8725 §3.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `JWT`, as existing backends and clients expect it.
    Access,
    /// `assertion+jwt`, for upstreams.
    Assertion,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Kind::Access => "JWT",
            Kind::Assertion => "assertion+jwt",
        }
    }
}

/// A token taken apart; its signature has not been looked at.
pub(super) struct Parts<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    /// `header.payload`, the text that was signed.
    pub(super) message: &'a [u8],
    pub(super) payload: &'a str,
    pub(super) signature: Vec<u8>,
}

/// The header parameters that matter. Serde refuses one that comes twice; those that would
/// change what verification means, or bring their own key, are refused by being there.
#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(borrow, default)]
    typ: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    kid: Option<Cow<'a, str>>,
    #[serde(default)]
    crit: Present,
    #[serde(default)]
    b64: Present,
    #[serde(default)]
    jwk: Present,
    #[serde(default)]
    jku: Present,
    #[serde(default)]
    x5u: Present,
    #[serde(default)]
    x5c: Present,
    #[serde(default)]
    zip: Present,
    #[serde(default)]
    enc: Present,
}

/// Whether a member is there, even as `null`.
#[derive(Default)]
struct Present(bool);

#[derive(Serialize)]
struct WrittenHeader<'a> {
    alg: &'static str,
    typ: &'static str,
    kid: &'a str,
}

impl<'a> Parts<'a> {
    /// Takes an access token apart.
    pub(super) fn of(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > MAX_TOKEN {
            return Err(TokenError::TooLong);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(TokenError::Malformed)?;
        let header = decode(header)?;
        // A derived reader takes a list of the values, too.
        if !header.trim_ascii_start().starts_with(b"{") {
            return Err(TokenError::Malformed);
        }
        let header: Header<'_> =
            serde_json::from_slice(&header).map_err(|_| TokenError::Malformed)?;
        header.refuse_extensions()?;
        let admitted = header.typ.as_deref().is_none_or(is_access_type);
        if !admitted {
            return Err(TokenError::Type);
        }
        Ok(Self {
            algorithm: Algorithm::parse(&header.alg).map_err(|_| TokenError::NoKey)?,
            kid: header.kid.map(Cow::into_owned),
            message: message.as_bytes(),
            payload,
            signature: decode(signature)?,
        })
    }

    /// The claims set, as bytes. To be asked for once the signature holds.
    pub(super) fn claims(&self) -> Result<Vec<u8>, TokenError> {
        decode(self.payload)
    }
}

impl Header<'_> {
    /// We understand no `crit` (RFC 7515 §4.1.11) and no unencoded payload (RFC 7797), and no
    /// token brings its own key.
    fn refuse_extensions(&self) -> Result<(), TokenError> {
        let refused = [
            ("crit", &self.crit),
            ("b64", &self.b64),
            ("jwk", &self.jwk),
            ("jku", &self.jku),
            ("x5u", &self.x5u),
            ("x5c", &self.x5c),
            ("zip", &self.zip),
            ("enc", &self.enc),
        ];
        match refused.into_iter().find(|(_, present)| present.0) {
            Some((name, _)) => Err(TokenError::Header(name)),
            None => Ok(()),
        }
    }
}

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Present(true))
    }
}

/// A token of `kind` over `claims`, signed by `key`.
pub(super) fn sign(kind: Kind, claims: &impl Serialize, key: &Key) -> Result<String, SignError> {
    let header = WrittenHeader {
        alg: key.algorithm().name(),
        typ: kind.name(),
        kid: key.id.as_str(),
    };
    let header = serde_json::to_vec(&header).map_err(|_| SignError)?;
    let claims = serde_json::to_vec(claims).map_err(|_| SignError)?;
    let mut token = String::with_capacity((header.len() + claims.len()) * 4 / 3 + 700);
    URL_SAFE_NO_PAD.encode_string(header, &mut token);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut token);
    let signature = key.material.sign(token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(token)
}

/// `typ` compares without case, and `application/` may be left out (RFC 7515 §4.1.9). A token
/// without one is an access token: every other kind of ours says what it is.
fn is_access_type(typ: &str) -> bool {
    let prefix = "application/";
    let typ = match typ.get(..prefix.len()) {
        Some(start) if start.eq_ignore_ascii_case(prefix) => {
            typ.get(prefix.len()..).unwrap_or_default()
        }
        Some(_) | None => typ,
    };
    typ.eq_ignore_ascii_case("JWT") || typ.eq_ignore_ascii_case("at+jwt")
}

fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| TokenError::Malformed)
}

/// A token with whatever header and payload, for tests that play the attacker.
#[cfg(test)]
pub(super) fn forge(header: &str, payload: &str, key: &super::keys::Material) -> String {
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(payload)
    );
    let signature = key.sign(message.as_bytes()).unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}
