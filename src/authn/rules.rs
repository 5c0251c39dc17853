//! What makes a token good, and how ours are made: the part of a snapshot that is about tokens.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use crate::clock::Timestamp;
use crate::inbound::cookie::CookieScope;

use super::api_key::DEFAULT_KEY_HEADER;
use super::jws::{self, Kind, Parts};
use super::keys::{Fingerprint, Key, KeyRing, Origin, SignError};
use super::managed::Plan;
use super::minter::{self, Minter};
use super::token::{AccessTokenClaims, Claims, Lifetimes, TokenError};

/// How far clocks may be apart unless configured.
pub const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);

/// How long a database that is away keeps nobody out who has a token.
pub const DEFAULT_STALENESS: Duration = Duration::from_secs(10 * 60);

/// The rules of one configuration snapshot for tokens.
#[derive(Clone, Debug)]
pub struct Tokens {
    pub ring: KeyRing,
    /// What the managed keys of the ring do; `None`: it has none.
    pub managed: Option<Plan>,
    /// `iss` of our tokens: written and demanded when there is one.
    pub issuer: Option<Box<str>>,
    /// `aud` of our tokens: written, and one of them demanded. Empty: a token with an `aud` is
    /// refused, as existing backends do (RFC 7519 §4.1.3).
    pub audience: Vec<Box<str>>,
    /// How far clocks may be apart.
    pub leeway: Duration,
    pub lifetimes: Lifetimes,
    /// The attributes of an account that its tokens carry, by name.
    pub attributes: Vec<Box<str>>,
    /// How long tokens are believed while no news of revocations comes.
    pub max_staleness: Duration,
    /// Where an API key stands, beside `Authorization`, on routes that take keys.
    pub key_header: HeaderName,
    /// On which hosts the session cookie is a domain's.
    pub cookies: CookieScope,
}

impl Tokens {
    /// Rules with defaults around `ring`.
    pub fn new(ring: KeyRing) -> Self {
        Self {
            ring,
            managed: None,
            issuer: None,
            audience: Vec::new(),
            leeway: DEFAULT_LEEWAY,
            lifetimes: Lifetimes::default(),
            attributes: Vec::new(),
            max_staleness: DEFAULT_STALENESS,
            key_header: DEFAULT_KEY_HEADER,
            cookies: CookieScope::default(),
        }
    }

    /// How long a token of ours may be believed after it was issued, leeway included.
    pub fn longest_life(&self) -> Duration {
        let Lifetimes {
            standard,
            praisonai,
            rag_modulo,
        } = self.lifetimes;
        standard.max(praisonai).max(rag_modulo) + self.leeway
    }

    /// An access token for `claims`, valid from `now` for `lifetime`.
    pub fn issue(
        &self,
        claims: &AccessTokenClaims,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<String, SignError> {
        let written = claims.written((now, lifetime), self.issuer.as_deref(), &self.audience);
        let key = self.ring.signing().ok_or(SignError)?;
        jws::sign(Kind::Access, &written, key)
    }

    /// The claims of a session that shows no token: those that a token of it would have.
    pub(super) fn claims(
        &self,
        claims: &AccessTokenClaims,
        now: Timestamp,
        expires: Timestamp,
    ) -> Result<Claims, TokenError> {
        let dates = (now, expires.since(now));
        let written = claims.written(dates, self.issuer.as_deref(), &self.audience);
        let text = serde_json::to_vec(&written).map_err(|_| TokenError::Payload)?;
        Claims::parse(&text)
    }

    /// What makes assertions for `audience` under the ring's key for them; `issuer` is the
    /// gateway's public URL. `None`: the ring has secrets only, which no upstream may verify by.
    pub fn assertion(
        &self,
        issuer: Option<Box<str>>,
        audience: Option<Box<str>>,
    ) -> Option<Minter> {
        let key = Arc::clone(self.ring.asserting()?);
        Some(Minter::assertion(
            key,
            issuer,
            audience,
            minter::DEFAULT_LIFETIME,
        ))
    }

    /// The claims of an access token whose signature holds and which is good at `now`.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, TokenError> {
        let (claims, key, _) = self.open(token)?;
        self.judge_under(key, &claims, now)?;
        Ok(claims)
    }

    /// The claims of a token whose signature holds, and the key that it holds with; nothing else has
    /// been judged.
    pub(super) fn open(&self, token: &str) -> Result<(Claims, &Key, Fingerprint), TokenError> {
        let parts = Parts::of(token)?;
        let mut refusal = TokenError::NoKey;
        for (print, key) in self.ring.candidates(parts.algorithm, parts.kid.as_deref()) {
            if key.material.verifies(parts.message, &parts.signature) {
                let claims = Claims::parse(&parts.claims()?)?;
                return Ok(match &key.origin {
                    Origin::Ours => (claims, key, print),
                    Origin::Foreign { .. } => (claims.foreign(), key, print),
                });
            }
            refusal = TokenError::Signature;
        }
        Err(refusal)
    }

    /// Judges what changes without the token: the time, and what the configuration demands now.
    /// `print` is the key that its signature was verified with, perhaps under an older snapshot.
    /// Gives that key as it is configured now.
    pub(super) fn judge(
        &self,
        claims: &Claims,
        print: Fingerprint,
        now: Timestamp,
    ) -> Result<&Key, TokenError> {
        let key = self.ring.by_fingerprint(print).ok_or(TokenError::NoKey)?;
        self.judge_under(key, claims, now)?;
        Ok(key)
    }

    /// The same for a token whose key is known.
    pub(super) fn judge_under(
        &self,
        key: &Key,
        claims: &Claims,
        now: Timestamp,
    ) -> Result<(), TokenError> {
        if key.retired(now) {
            return Err(TokenError::Retired);
        }
        if now >= claims.expires() + self.leeway || self.has_outlived(claims, key, now) {
            return Err(TokenError::Expired);
        }
        let horizon = now + self.leeway;
        let from = [claims.not_before(), claims.issued_at()];
        if from.into_iter().flatten().any(|start| start > horizon) {
            return Err(TokenError::Early);
        }
        let (issuer, audience) = self.demanded(key);
        if issuer.is_some_and(|issuer| claims.issuer() != Some(issuer.as_bytes())) {
            return Err(TokenError::Issuer);
        }
        let ours = |meant: &[u8]| audience.iter().any(|ours| ours.as_bytes() == meant);
        let mut meant = claims.audience().peekable();
        let is_for_anybody = meant.peek().is_none();
        if is_for_anybody && audience.is_empty() || meant.any(ours) {
            Ok(())
        } else {
            Err(TokenError::Audience)
        }
    }

    /// Whether a token of a session of ours is older than tokens may be by now. One from before the
    /// configuration shortened their lives would come back to life when its revocation is forgotten.
    fn has_outlived(&self, claims: &Claims, key: &Key, now: Timestamp) -> bool {
        let ours = key.origin == Origin::Ours && claims.session().is_some();
        let issued_at = claims.issued_at().unwrap_or(Timestamp::from_seconds(0));
        ours && now >= issued_at + self.longest_life()
    }

    fn demanded<'a>(&'a self, key: &'a Key) -> (Option<&'a str>, &'a [Box<str>]) {
        match &key.origin {
            Origin::Ours => (self.issuer.as_deref(), &self.audience),
            Origin::Foreign { issuer, audience } => (issuer.as_deref(), audience),
        }
    }
}

#[cfg(test)]
mod tests;
