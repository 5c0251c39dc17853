//! The claims of the tokens that we issue: one set that every known backend can read.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use super::BY_TWO_FACTORS;
use crate::accounts::{Account, Factors, Role, SessionId};
use crate::clock::Timestamp;
use crate::secret;

/// How long an access token lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// The native endpoints, which have refresh tokens.
    pub standard: Duration,
    /// PraisonAI's clients know no refresh: 30 days unless configured.
    pub praisonai: Duration,
    /// RAG Modulo's clients: an hour unless configured.
    pub rag_modulo: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            standard: Duration::from_secs(15 * 60),
            praisonai: Duration::from_secs(30 * 24 * 60 * 60),
            rag_modulo: Duration::from_secs(60 * 60),
        }
    }
}

/// Whom an access token of ours is for. The same id stands under each name that a backend reads.
#[derive(Clone, Debug)]
pub struct AccessTokenClaims {
    /// The account's id: `sub`, `user_id` and `uuid`.
    pub subject: String,
    /// `sid`: the session that ends this token when it ends.
    pub session: SessionId,
    pub email: Option<String>,
    /// Said when it is so (OpenID Connect Core §5.1).
    pub email_verified: bool,
    pub name: Option<String>,
    pub username: Option<String>,
    /// `roles`; the first is `role` too.
    pub roles: Vec<String>,
    /// `amr` (RFC 8176), said when there were two.
    pub factors: Factors,
    /// `attributes`: those of the account that tokens carry; absent when there are none.
    pub attributes: Map<String, Value>,
}

/// The claims set as it is written.
#[derive(Serialize)]
pub(in crate::authn) struct Written<'a> {
    sub: &'a str,
    user_id: &'a str,
    uuid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_verified: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    roles: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    amr: &'static [&'static str],
    #[serde(skip_serializing_if = "Map::is_empty")]
    attributes: &'a Map<String, Value>,
    iat: i64,
    exp: i64,
    jti: String,
    sid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    aud: &'a [Box<str>],
}

impl AccessTokenClaims {
    /// What tokens of this session, which was opened by so many factors, say of its account, as the
    /// account is now, with the attributes of these names.
    pub fn of(
        account: &Account,
        (session, factors): (SessionId, Factors),
        attributes: &[Box<str>],
    ) -> Self {
        Self {
            factors,
            subject: account.id.to_string(),
            session,
            email: Some(account.email.to_string()),
            email_verified: account.email_verified,
            name: Some(account.name.to_string()),
            username: account.username.as_ref().map(ToString::to_string),
            roles: account.roles.iter().map(Role::to_string).collect(),
            attributes: account.attributes.only(attributes),
        }
    }

    /// The claims with their dates, a fresh `jti`, and `iss` and `aud` when those are configured.
    pub(in crate::authn) fn written<'a>(
        &'a self,
        (now, lifetime): (Timestamp, Duration),
        issuer: Option<&'a str>,
        audience: &'a [Box<str>],
    ) -> Written<'a> {
        Written {
            sub: &self.subject,
            user_id: &self.subject,
            uuid: &self.subject,
            email: self.email.as_deref(),
            email_verified: self.email_verified.then_some(true),
            name: self.name.as_deref(),
            username: self.username.as_deref(),
            role: self.roles.first().map(String::as_str),
            roles: &self.roles,
            amr: match self.factors {
                Factors::One => &[],
                Factors::Two => BY_TWO_FACTORS,
            },
            attributes: &self.attributes,
            iat: now.seconds(),
            exp: (now + lifetime).seconds(),
            jti: fresh_id(),
            sid: self.session.to_string(),
            iss: issuer,
            aud: audience,
        }
    }
}

/// 128 random bits in hexadecimal: a `jti`.
pub(in crate::authn) fn fresh_id() -> String {
    format!("{:032x}", u128::from_ne_bytes(secret::random()))
}
