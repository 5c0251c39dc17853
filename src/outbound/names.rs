//! Which header names a client may not send on: one normal form decides for every spelling.

use std::cmp::Ordering;

use http::HeaderName;

/// Names and prefixes that never pass from a client to an upstream.
///
/// A name is compared in its normal form: lower case (as `http` keeps it) with `_` read as `-`,
/// since backends that follow CGI cannot tell the two apart (RFC 3875 §4.1.18).
#[derive(Clone, Debug)]
pub struct Reserved {
    names: Vec<String>,
    prefixes: Vec<String>,
    outline: Outline,
}

/// First letters and lengths of what is reserved: nearly every name that may pass is told by them.
///
/// A row for each first letter, in it a bit for each length; the last bit is for all from 63 on.
#[derive(Clone, Debug)]
struct Outline([u64; 32]);

/// What says where a request came from. Rebuilt by us, or told to nobody; whatever a peer sends is
/// taken off. And `Proxy`, which CGI reads as the place to send the backend's own requests
/// (CVE-2016-5385).
const FORWARDING: [&str; 8] = [
    "forwarded",
    "proxy",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-real-ip",
    "x-request-id",
    "x-envoy-original-path",
];
const FORWARDING_PREFIXES: [&str; 3] = ["x-forwarded-", "x-original-", "x-rewrite-"];

/// What makes another method of the one that was judged.
const METHODS: [&str; 3] = [
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
];

/// Valid for one connection only (RFC 9110 §7.6.1), and credentials for a proxy.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// Identity names of backends that believe them, reserved unless a route names its own.
pub const DEFAULT_PATTERNS: [&str; 5] = [
    "x-user-*",
    "x-auth-*",
    "x-authenticated-user",
    "x-api-key",
    "x-spiffe-jwt",
];

impl Reserved {
    /// Reserves `patterns` (a name, or a beginning and `*`) beside what is always reserved.
    pub fn new(patterns: &[String]) -> Self {
        let mut reserved = Self {
            names: Vec::new(),
            prefixes: Vec::new(),
            outline: Outline([0; 32]),
        };
        for pattern in patterns {
            match pattern.strip_suffix('*') {
                Some(prefix) => reserved.prefixes.push(normal(prefix)),
                None => reserved.names.push(normal(pattern)),
            }
        }
        reserved
            .prefixes
            .extend(FORWARDING_PREFIXES.map(str::to_owned));
        reserved.names.extend(FORWARDING.map(str::to_owned));
        reserved.names.extend(METHODS.map(str::to_owned));
        reserved.names.extend(HOP_BY_HOP.map(str::to_owned));
        reserved.and(std::iter::empty())
    }

    /// Reserves `owned` too: the names that the gateway sets on some route.
    #[must_use]
    pub fn and(&self, owned: impl Iterator<Item = HeaderName>) -> Self {
        let mut names = self.names.clone();
        names.extend(owned.map(|name| normal(name.as_str())));
        names.sort_unstable_by(|one, two| by_length(one, two));
        names.dedup();
        let prefixes = self.prefixes.clone();
        Self {
            outline: Outline::of(&names, &prefixes),
            names,
            prefixes,
        }
    }

    /// Whether a field of this name is taken off.
    pub fn holds(&self, name: &HeaderName) -> bool {
        let name = name.as_str();
        if !self.outline.resembles(name) {
            return false;
        }
        if name.contains('_') {
            return self.holds_normal(&normal(name));
        }
        self.holds_normal(name)
    }

    fn holds_normal(&self, name: &str) -> bool {
        self.names
            .binary_search_by(|known| by_length(known, name))
            .is_ok()
            || self
                .prefixes
                .iter()
                .any(|prefix| name.starts_with(prefix.as_str()))
    }
}

impl Outline {
    fn of(names: &[String], prefixes: &[String]) -> Self {
        let names = names.iter().map(|name| (name, 1 << Self::bit(name)));
        let prefixes = prefixes
            .iter()
            .map(|prefix| (prefix, u64::MAX << Self::bit(prefix)));
        let mut rows = [0; 32];
        for (text, lengths) in names.chain(prefixes) {
            match Self::row(text).and_then(|at| rows.get_mut(at)) {
                Some(row) => *row |= lengths,
                // Every name begins with nothing.
                None => rows = [u64::MAX; 32],
            }
        }
        Self(rows)
    }

    /// Whether a reserved name begins like this one and is as long.
    fn resembles(&self, name: &str) -> bool {
        let row = Self::row(name).and_then(|at| self.0.get(at));
        row.is_some_and(|lengths| lengths >> Self::bit(name) & 1 == 1)
    }

    fn row(name: &str) -> Option<usize> {
        let first = match name.as_bytes().first()? {
            // The normal form.
            b'_' => b'-',
            byte => *byte,
        };
        Some(usize::from(first % 32))
    }

    fn bit(name: &str) -> usize {
        name.len().min(63)
    }
}

/// Shorter names first: most comparisons are of two numbers.
fn by_length(one: &str, two: &str) -> Ordering {
    one.len().cmp(&two.len()).then_with(|| one.cmp(two))
}

fn normal(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_begins_with_nothing_is_held() {
        let reserved = Reserved::new(&[String::from("*")]);
        assert!(reserved.holds(&HeaderName::from_static("accept")));
    }

    #[test]
    fn every_spelling_of_a_reserved_name_is_held() {
        let patterns = DEFAULT_PATTERNS.map(str::to_owned);
        let owned = [
            "x-tenant",
            "-te",
            "a-name-of-exactly-sixty-three-letters-which-is-the-last-with-it",
        ]
        .map(HeaderName::from_static);
        let reserved = Reserved::new(&patterns).and(owned.into_iter());
        for name in [
            "X-User-Id",
            "x_user_id",
            "X-User_Id",
            "X-USER-ID",
            "x-user-anything",
            "X_Tenant",
            "x-tenant",
            "X-Api-Key",
            "X-Forwarded-Prefix",
            "X_Forwarded_For",
            "Forwarded",
            "X-Original-URL",
            "X-Rewrite-Url",
            "X-Envoy-Original-Path",
            "Connection",
            "Upgrade",
            "HTTP2-Settings",
            "X-Real-IP",
            "True-Client-IP",
            "X_Client_IP",
            "X-HTTP-Method-Override",
            "X-Authenticated_User",
            "Proxy",
            "_te",
            "-TE",
            "x-user-whose-name-is-longer-than-sixty-three-letters-so-that-it-is-among-the-rest",
            "a-name-of-exactly-sixty-three-letters-which-is-the-last-with-it",
        ] {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            assert!(reserved.holds(&name), "{name}");
        }
        for name in [
            "x-users",
            "my_header",
            "authorization",
            "x-api-key-2",
            "accept",
            "x-tenants",
            "a-name-of-more-than-sixty-three-letters-which-is-like-the-one-before-it",
        ] {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            assert!(!reserved.holds(&name), "{name}");
        }
    }
}
