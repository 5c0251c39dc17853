//! The only place that writes identity headers: delete always, set sometimes.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::Stamp;
use super::names::Reserved;
use crate::authn::keys::SignError;
use crate::authn::{Identity, Minter};
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

/// What a backend is told of one request's caller, made once, however often it is written.
pub(super) struct Statement<'r> {
    fields: Vec<(&'r HeaderName, HeaderValue)>,
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
        let mut fields = Vec::with_capacity(self.identity.len() + 2);
        if let Some((name, secret)) = &self.secret {
            fields.push((name, secret.clone()));
        }
        if let Some(identity) = identity {
            for (name, claim) in &self.identity {
                let text = identity.claims.field(claim);
                let value = text.and_then(|text| stamp.values.copy(text));
                fields.extend(value.map(|value| (name, value)));
            }
            if let Some((name, minter)) = &self.assertion {
                fields.push((name, minter.header(identity, stamp.cache, stamp.now)?));
            }
        }
        Ok(Statement { fields })
    }
}

impl Statement<'_> {
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.fields {
            headers.insert(*name, value.clone());
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

#[cfg(test)]
mod tests {
    use super::*;

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
