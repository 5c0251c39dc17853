//! Whether a request comes from a page of the very origin that it goes to: the proof that a foreign
//! page did not send it with the browser's cookies.

use http::{HeaderMap, HeaderValue, Method, header};

use super::fields::Count;
use super::{Host, Scheme};

/// Whether a browser shows that a page of the same origin sent the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// A page of this origin, or its user by hand.
    Same,
    /// Another site's page, or nothing tells.
    Unproved,
}

/// Whether a request of this method must prove where it comes from when a cookie names its caller:
/// all that may change something (RFC 9110 §9.2.1).
pub fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

impl Site {
    /// Reads `Sec-Fetch-Site` and `Origin`, which no script of a page can set. Neither: unproved.
    ///
    /// A named origin must be this one in any case. `Origin: null` names none: browsers also send
    /// it under a strict referrer policy, so there `Sec-Fetch-Site` decides (Fetch §3.2).
    pub fn of(headers: &HeaderMap, scheme: Scheme, host: &Host) -> Self {
        let origin = match Count::of(headers, header::ORIGIN.as_str()) {
            Count::None => None,
            Count::One(value) if value.as_bytes() == b"null" => None,
            Count::One(value) if is_this(value, scheme, host) => Some(Site::Same),
            Count::One(_) | Count::Several => return Site::Unproved,
        };
        let fetched = match Count::of(headers, "sec-fetch-site") {
            Count::None => None,
            Count::One(value) if matches!(value.as_bytes(), b"same-origin" | b"none") => {
                Some(Site::Same)
            }
            Count::One(_) | Count::Several => return Site::Unproved,
        };
        fetched.or(origin).unwrap_or(Site::Unproved)
    }
}

/// Behind a balancer that does not say which scheme the client used, https is this origin too:
/// nobody who could serve it is foreign. Never the other way round.
fn is_this(origin: &HeaderValue, scheme: Scheme, host: &Host) -> bool {
    let text = origin.as_bytes();
    let named = text.strip_prefix(b"https://").or(match scheme {
        Scheme::Http => text.strip_prefix(b"http://"),
        Scheme::Https => None,
    });
    named.and_then(|named| Host::parse(named).ok()).as_ref() == Some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(origin: &[&str], fetched: &[&str], scheme: Scheme) -> Site {
        let mut headers = HeaderMap::new();
        for value in origin {
            headers.append("origin", value.parse().unwrap());
        }
        for value in fetched {
            headers.append("sec-fetch-site", value.parse().unwrap());
        }
        let host = Host::parse(b"app.example:8443").unwrap();
        Site::of(&headers, scheme, &host)
    }

    #[test]
    fn only_this_origin_proves_itself() {
        const HERE: &str = "https://app.example:8443";
        for (origin, fetched, expected) in [
            (&[][..], &[][..], Site::Unproved),
            (&[HERE], &[], Site::Same),
            (&["https://APP.example:8443"], &[], Site::Same),
            (&[], &["same-origin"], Site::Same),
            (&[], &["none"], Site::Same),
            (&[HERE], &["same-origin"], Site::Same),
            (&["null"], &["same-origin"], Site::Same),
            (&["null"], &[], Site::Unproved),
            (&[""], &["same-origin"], Site::Unproved),
            (&[HERE], &["cross-site"], Site::Unproved),
            (&[HERE], &["same-site"], Site::Unproved),
            (&[], &["same-site"], Site::Unproved),
            (&[], &["cross-site"], Site::Unproved),
            (&[], &["Same-Origin"], Site::Unproved),
            (&["https://evil.example"], &["same-origin"], Site::Unproved),
            (&["https://app.example"], &[], Site::Unproved),
            (&["https://app.example:8443.evil"], &[], Site::Unproved),
            (&["https://app.example:8443@evil"], &[], Site::Unproved),
            (&["http://app.example:8443"], &[], Site::Unproved),
            (&["https://app.example:8443/"], &[], Site::Unproved),
            (&[HERE, HERE], &[], Site::Unproved),
            (&[HERE], &["same-origin", "same-origin"], Site::Unproved),
        ] {
            let read = site(origin, fetched, Scheme::Https);
            assert_eq!(read, expected, "{origin:?} {fetched:?}");
        }
    }

    #[test]
    fn behind_a_balancer_that_says_no_scheme_both_are_this_origin() {
        for origin in ["https://app.example:8443", "http://app.example:8443"] {
            assert_eq!(site(&[origin], &[], Scheme::Http), Site::Same, "{origin}");
        }
    }

    #[test]
    fn what_may_change_something_is_not_safe() {
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            assert!(is_safe(&method));
        }
        for method in ["POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "get"] {
            assert!(!is_safe(&method.parse().unwrap()), "{method}");
        }
    }
}
