//! Where a request came from, as its backend is told: made once for a client and a host, whose
//! requests come in rows.

use std::cell::RefCell;
use std::hash::Hash;
use std::sync::Arc;

use http::header::{FORWARDED, HeaderName};
use http::{HeaderMap, HeaderValue};
use quick_cache::Equivalent;
use quick_cache::unsync::Cache;

use crate::inbound::{ClientIp, Inbound, Scheme};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Origins that a worker remembers; half a kilobyte each.
const REMEMBERED: usize = 1024;

/// The origins of one worker's requests.
pub struct Origins(RefCell<Cache<Key, Arc<Origin>>>);

/// One client's way to one host.
pub(super) struct Origin {
    client: HeaderValue,
    scheme: HeaderValue,
    host: HeaderValue,
    /// RFC 7239
    forwarded: HeaderValue,
}

#[derive(PartialEq, Eq, Hash)]
struct Key(ClientIp, Scheme, Box<str>);

#[derive(Hash)]
struct Asked<'a>(ClientIp, Scheme, &'a str);

impl Equivalent<Key> for Asked<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        (self.0, self.1, self.2) == (key.0, key.1, &*key.2)
    }
}

impl Origins {
    /// The origin of `req`; `None` when its host is no header value, which parsing it ruled out.
    pub(super) fn of(&self, req: &Inbound) -> Option<Arc<Origin>> {
        let (client, scheme, host) = (req.client, req.scheme, req.host.as_str());
        if let Some(known) = self.0.borrow().get(&Asked(client, scheme, host)) {
            return Some(known.clone());
        }
        let made = Arc::new(Origin::new(client, scheme, host)?);
        let key = Key(client, scheme, host.into());
        self.0.borrow_mut().insert(key, made.clone());
        Some(made)
    }
}

impl Default for Origins {
    fn default() -> Self {
        Self(RefCell::new(Cache::new(REMEMBERED)))
    }
}

impl Origin {
    fn new(client: ClientIp, scheme: Scheme, host: &str) -> Option<Self> {
        let (client, scheme) = (client.to_string(), scheme.as_str());
        let node = match client.contains(':') {
            true => format!("\"[{client}]\""),
            false => client.clone(),
        };
        let forwarded = format!("for={node};host=\"{host}\";proto={scheme}");
        Some(Self {
            client: HeaderValue::try_from(client).ok()?,
            scheme: HeaderValue::from_static(scheme),
            host: HeaderValue::from_str(host).ok()?,
            forwarded: HeaderValue::try_from(forwarded).ok()?,
        })
    }

    /// The host that the client asked for, as a `Host` field.
    pub(super) fn host(&self) -> &HeaderValue {
        &self.host
    }

    pub(super) fn stamp(&self, headers: &mut HeaderMap) {
        for (name, value) in [
            (X_FORWARDED_FOR, &self.client),
            (X_REAL_IP, &self.client),
            (X_FORWARDED_PROTO, &self.scheme),
            (X_FORWARDED_HOST, &self.host),
            (FORWARDED, &self.forwarded),
        ] {
            headers.insert(name, value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_with_colons_stands_in_brackets_and_quotes() {
        for (client, node) in [
            ("192.0.2.7", "192.0.2.7"),
            ("2001:db8::7", "\"[2001:db8::7]\""),
        ] {
            let client = ClientIp::new(client.parse().unwrap());
            let origin = Origin::new(client, Scheme::Https, "api.example.com:8443").unwrap();
            let expected = format!("for={node};host=\"api.example.com:8443\";proto=https");
            assert_eq!(origin.forwarded.to_str().unwrap(), expected);
        }
    }
}
