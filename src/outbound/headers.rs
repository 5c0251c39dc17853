//! The only place that writes identity headers: delete always, set sometimes.

use std::fmt::Write as _;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::Value;

use super::Stamp;
use super::names::Reserved;
use crate::authn::keys::SignError;
use crate::authn::{Claims, Identity, Minter};
use crate::inbound::cookie;
use crate::upstream::TrailerRule;

/// Which headers a route strips and which it sets.
#[derive(Clone)]
pub struct HeaderPlan {
    reserved: Arc<Reserved>,
    /// The same names for trailer fields, made once.
    trailers: TrailerRule,
    /// Set from claims of the caller; absent when the claim is.
    pub identity: Vec<(HeaderName, String)>,
    /// A header by which a backend knows that a request came through the gateway.
    pub secret: Option<(HeaderName, HeaderValue)>,
    /// A short-lived signed statement of who is calling.
    pub assertion: Option<(HeaderName, Arc<Minter>)>,
}

/// What a backend is told of one request's caller.
pub(super) struct Statement<'r> {
    plan: &'r HeaderPlan,
    /// `None` for anonymous callers.
    claims: Option<Arc<Claims>>,
    /// Signed once, however often it is written.
    assertion: Option<(&'r HeaderName, HeaderValue)>,
}

impl HeaderPlan {
    /// A plan that strips `reserved` and sets nothing yet.
    pub fn stripping(reserved: Reserved) -> Self {
        let reserved = Arc::new(reserved);
        Self {
            trailers: trailer_rule(&reserved),
            reserved,
            identity: Vec::new(),
            secret: None,
            assertion: None,
        }
    }

    /// Reserves `owned` too: the names that the gateway sets on some route.
    pub fn reserve(&mut self, owned: impl Iterator<Item = HeaderName>) {
        self.reserved = Arc::new(self.reserved.and(owned));
        self.trailers = trailer_rule(&self.reserved);
    }

    /// Which trailer fields of a request may pass.
    pub(super) fn trailers(&self) -> &TrailerRule {
        &self.trailers
    }

    /// The names that this plan sets on some request.
    pub fn owned(&self) -> impl Iterator<Item = HeaderName> {
        let identity = self.identity.iter().map(|(name, _)| name);
        let secret = self.secret.iter().map(|(name, _)| name);
        let assertion = self.assertion.iter().map(|(name, _)| name);
        identity.chain(secret).chain(assertion).cloned()
    }

    /// Takes off what a client may not say: reserved names in any spelling, hop-by-hop fields and
    /// those that `Connection` nominates, and our cookies.
    pub(super) fn strip(&self, headers: &mut HeaderMap) {
        let mut doomed = Vec::new();
        let mut has_cookies = false;
        for name in headers.keys() {
            has_cookies |= *name == header::COOKIE;
            if self.reserved.holds(name) {
                doomed.push(name.clone());
            }
        }
        // `Connection` and `TE` are reserved names: where none is, neither is there.
        if !doomed.is_empty() {
            doomed.extend(nominated(headers));
            let takes_trailers = takes_trailers(headers);
            for name in doomed {
                headers.remove(name);
            }
            if takes_trailers {
                headers.insert(header::TE, HeaderValue::from_static("trailers"));
            }
        }
        if has_cookies {
            strip_cookies(headers);
        }
    }

    /// What this route tells its backend of the caller.
    ///
    /// # Errors
    ///
    /// An assertion that cannot be signed.
    pub(super) fn statement(
        &self,
        identity: Option<&Identity>,
        stamp: Stamp<'_>,
    ) -> Result<Statement<'_>, SignError> {
        let assertion = match (identity, &self.assertion) {
            (Some(identity), Some((name, minter))) => {
                Some((name, minter.header(identity, stamp.cache, stamp.now)?))
            }
            (Some(_) | None, _) => None,
        };
        Ok(Statement {
            plan: self,
            claims: identity.map(|identity| Arc::clone(&identity.claims)),
            assertion,
        })
    }
}

impl Statement<'_> {
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        if let Some((name, secret)) = &self.plan.secret {
            headers.insert(name, secret.clone());
        }
        let Some(claims) = &self.claims else {
            return;
        };
        for (name, claim) in &self.plan.identity {
            if let Some(value) = claims.field(claim, field_value) {
                headers.insert(name, value);
            }
        }
        if let Some((name, assertion)) = &self.assertion {
            headers.insert(*name, assertion.clone());
        }
    }
}

fn trailer_rule(reserved: &Arc<Reserved>) -> TrailerRule {
    let reserved = reserved.clone();
    Arc::new(move |name| !reserved.holds(name))
}

/// The fields that `Connection` nominates for this hop (RFC 9110 §7.6.1). They are taken off before
/// anything of ours is set, so they can never remove a header of ours.
fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .filter(|name| !is_end_to_end(name))
        .collect()
}

/// Whether the client takes trailers: the one transfer parameter that is true of every hop of ours,
/// and that gRPC servers insist on (RFC 9110 §10.1.4).
fn takes_trailers(headers: &HeaderMap) -> bool {
    let fields = headers
        .get_all(header::TE)
        .iter()
        .filter_map(|field| field.to_str().ok());
    fields
        .flat_map(|text| text.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case("trailers"))
}

/// Fields that a client cannot take off by nominating them: without them the request would be
/// another one.
fn is_end_to_end(name: &HeaderName) -> bool {
    [
        header::AUTHORIZATION,
        header::COOKIE,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
    ]
    .contains(name)
}

fn strip_cookies(headers: &mut HeaderMap) {
    let fields = || headers.get_all(header::COOKIE).iter();
    if fields().all(|field| cookie::without_ours(field).as_ref() == Some(field)) {
        return;
    }
    let kept: Vec<HeaderValue> = fields().filter_map(cookie::without_ours).collect();
    headers.remove(header::COOKIE);
    for field in kept {
        headers.append(header::COOKIE, field);
    }
}

/// A claim as a header value: text and numbers as they are, lists joined by commas, everything that
/// is not printable ASCII as percent-encoded UTF-8. `None` for objects and `null`.
fn field_value(claim: &Value) -> Option<HeaderValue> {
    let mut text = String::new();
    match claim {
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                push_scalar(&mut text, item, is_plain_item)?;
            }
        }
        value => push_scalar(&mut text, value, is_plain)?,
    }
    HeaderValue::from_str(&text).ok()
}

fn push_scalar(text: &mut String, value: &Value, plain: fn(u8) -> bool) -> Option<()> {
    match value {
        Value::String(value) => push_encoded(text, value, plain),
        Value::Number(value) => write!(text, "{value}").ok()?,
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    }
    Some(())
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

/// Within a list a comma would begin another item: `["a,admin"]` is one role, not two.
fn is_plain_item(byte: u8) -> bool {
    is_plain(byte) && byte != b','
}

/// Plain text stands as it is, a `%` in it too; where something is encoded, so is `%`.
fn push_encoded(text: &mut String, value: &str, plain: fn(u8) -> bool) {
    if value.bytes().all(plain) {
        text.push_str(value.trim());
        return;
    }
    for byte in value.bytes() {
        if plain(byte) && byte != b'%' {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::Claims;

    fn claims(json: &str) -> Claims {
        Claims::parse(json.as_bytes()).unwrap()
    }

    #[test]
    fn claims_become_printable_values() {
        let claims = claims(
            r#"{"sub":"1","exp":1,"name":"Zoë %","roles":["a","b"],"n":7,"o":{},"plain":"50%",
                "groups":["a,admin","b"],"title":"O'Neil, Jr."}"#,
        );
        for (claim, value) in [
            ("name", Some("Zo%C3%AB %25")),
            ("roles", Some("a,b")),
            ("n", Some("7")),
            ("plain", Some("50%")),
            ("groups", Some("a%2Cadmin,b")),
            ("title", Some("O'Neil, Jr.")),
            ("o", None),
            ("absent", None),
        ] {
            let found = claims.field(claim, field_value);
            assert_eq!(
                found.as_ref().map(|v| v.to_str().unwrap()),
                value,
                "{claim}"
            );
        }
    }

    #[test]
    fn connection_cannot_nominate_what_makes_the_request() {
        let mut headers = HeaderMap::new();
        headers.insert(
            "connection",
            "close, X-Drop, authorization".parse().unwrap(),
        );
        assert_eq!(nominated(&headers), ["close", "x-drop"]);
    }
}
