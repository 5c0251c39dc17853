//! The gateway's own cookies: their names, how they are set, and taking them out of a `Cookie` field.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};

use super::Host;

/// Every cookie of ours begins so: none reaches an upstream, and none is taken from one. Browsers
/// take a cookie of the first name from this very host over https only, one of the second from any
/// host of its domain over https (RFC 6265bis §4.1.3).
const PREFIXES: [&str; 2] = ["__Host-portcullis", "__Secure-portcullis"];

/// Holds the token of a device that logged in before (its own allowance in the lockout).
pub const DEVICE: &str = "__Host-portcullis-device";

/// Holds what a further host knows a browser by again that it sent to the login host.
pub const TICKET: &str = "__Host-portcullis-ticket";

/// Names the session of a browser, on one host or in a whole domain.
const SESSION: &str = "__Host-portcullis-session";
const DOMAIN_SESSION: &str = "__Secure-portcullis-session";

/// On which hosts the session cookie is a domain's: on none, unless an operator chose so.
#[derive(Clone, Debug, Default)]
pub struct CookieScope(Option<Arc<str>>);

/// The session cookie as one host has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionCookie {
    /// No other host sees it, and none can plant it.
    OfHost,
    /// Every host of this domain does, and can.
    OfDomain(Arc<str>),
}

/// The text is no domain that browsers would keep a cookie for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a domain such as example.com")]
pub struct NotACookieDomain;

impl CookieScope {
    /// One cookie for all hosts of `domain`, a name of two labels at least.
    pub fn domain(domain: &str) -> Result<Self, NotACookieDomain> {
        let host = Host::parse(domain.as_bytes()).map_err(|_| NotACookieDomain)?;
        let name = host.name();
        let is_domain =
            name.contains('.') && !name.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if host.port().is_some() || !is_domain {
            return Err(NotACookieDomain);
        }
        Ok(Self(Some(name.into())))
    }

    pub fn on(&self, host: &Host) -> SessionCookie {
        match &self.0 {
            Some(domain) if is_within(host.name(), domain) => {
                SessionCookie::OfDomain(Arc::clone(domain))
            }
            Some(_) | None => SessionCookie::OfHost,
        }
    }

    /// Whether it was chosen to have a domain's cookie, and `host` does not get it.
    pub fn leaves_out(&self, host: &Host) -> bool {
        self.0.is_some() && self.on(host) == SessionCookie::OfHost
    }
}

fn is_within(host: &str, domain: &str) -> bool {
    let below = host.strip_suffix(domain);
    below.is_some_and(|below| below.is_empty() || below.ends_with('.'))
}

impl SessionCookie {
    fn name(&self) -> &'static str {
        match self {
            Self::OfHost => SESSION,
            Self::OfDomain(_) => DOMAIN_SESSION,
        }
    }

    /// The cookie that a browser shows, whatever it is worth. What is there twice with two values,
    /// or is not text, is the empty one: no session, but something to be cleared.
    pub fn shown<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        let fields = headers.get_all(header::COOKIE).iter();
        let mut shown = fields
            .flat_map(|field| pairs(field.as_bytes()))
            .filter(|(name, _)| *name == self.name().as_bytes())
            .map(|(_, value)| value);
        let first = shown.next()?;
        if shown.all(|other| other == first) {
            Some(std::str::from_utf8(first).unwrap_or_default())
        } else {
            Some("")
        }
    }

    /// Sets it; without `max_age` the browser forgets it when it is closed.
    pub fn set(&self, value: &str, max_age: Option<Duration>) -> Option<HeaderValue> {
        field(self, value, max_age)
    }

    /// Takes it from the browser. `None` does not happen: a domain is a name.
    pub fn clear(&self) -> Option<HeaderValue> {
        field(self, "", Some(Duration::ZERO))
    }
}

fn field(cookie: &SessionCookie, value: &str, max_age: Option<Duration>) -> Option<HeaderValue> {
    let domain = match cookie {
        SessionCookie::OfHost => String::new(),
        SessionCookie::OfDomain(domain) => format!("; Domain={domain}"),
    };
    let age = max_age.map_or_else(String::new, |age| format!("; Max-Age={}", age.as_secs()));
    let name = cookie.name();
    let field = format!("{name}={value}; Path=/{domain}{age}; Secure; HttpOnly; SameSite=Lax");
    let mut field = HeaderValue::try_from(field).ok()?;
    field.set_sensitive(true);
    Some(field)
}

/// Whether an answer sets or clears the session cookie already.
pub fn sets_session(headers: &HeaderMap) -> bool {
    let fields = headers.get_all(header::SET_COOKIE).iter();
    let mut names = fields.filter_map(|field| field.as_bytes().split(|b| *b == b'=').next());
    names.any(|name| {
        [SESSION, DOMAIN_SESSION]
            .map(str::as_bytes)
            .contains(&name.trim_ascii())
    })
}

/// Sets a cookie of this host for so long, or clears it by no time at all.
pub fn set(name: &str, value: &str, max_age: Duration) -> Option<HeaderValue> {
    let age = max_age.as_secs();
    let field = format!("{name}={value}; Path=/; Max-Age={age}; Secure; HttpOnly; SameSite=Lax");
    let mut field = HeaderValue::try_from(field).ok()?;
    field.set_sensitive(true);
    Some(field)
}

/// Whether a cookie of this name is ours.
pub fn is_ours(name: &[u8]) -> bool {
    PREFIXES.iter().any(|prefix| {
        name.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
    })
}

/// The value of the cookie `name`; of several the first.
pub fn find<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let fields = headers.get_all(header::COOKIE).iter();
    let mut all = fields.flat_map(|field| pairs(field.as_bytes()));
    let (_, value) = all.find(|(key, _)| *key == name.as_bytes())?;
    std::str::from_utf8(value).ok()
}

/// All cookies but ours, in one field.
pub fn others(headers: &HeaderMap) -> Option<HeaderValue> {
    let fields = headers.get_all(header::COOKIE).iter();
    let kept: Vec<HeaderValue> = fields.filter_map(without_ours).collect();
    let kept: Vec<&[u8]> = kept.iter().map(HeaderValue::as_bytes).collect();
    let others = HeaderValue::from_bytes(&kept.join(&b"; "[..])).ok()?;
    (!others.is_empty()).then_some(others)
}

/// `field` without our cookies: `None` when nothing is left, the same field when none was ours.
pub fn without_ours(field: &HeaderValue) -> Option<HeaderValue> {
    let Ok(text) = field.to_str() else {
        // Bytes that are not ASCII cannot be read as pairs: nothing of it goes on.
        return None;
    };
    if !pairs(text.as_bytes()).any(|(name, _)| is_ours(name)) {
        return Some(field.clone());
    }
    let mut kept = String::with_capacity(text.len());
    for pair in text.split(';').map(str::trim) {
        let name = pair.split('=').next().unwrap_or(pair).trim();
        if pair.is_empty() || is_ours(name.as_bytes()) {
            continue;
        }
        if !kept.is_empty() {
            kept.push_str("; ");
        }
        kept.push_str(pair);
    }
    if kept.is_empty() {
        None
    } else {
        HeaderValue::try_from(kept).ok()
    }
}

fn pairs(field: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    field
        .split(|byte| *byte == b';')
        .map(<[u8]>::trim_ascii)
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let at = pair.iter().position(|byte| *byte == b'=');
            let (name, value) = pair
                .split_at_checked(at.unwrap_or(pair.len()))
                .unwrap_or((pair, b""));
            let value = value.strip_prefix(b"=").unwrap_or(value);
            (name.trim_ascii(), value.trim_ascii())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[&'static str]) -> HeaderMap {
        let fields = fields.iter().map(|field| HeaderValue::from_static(field));
        fields.map(|field| (header::COOKIE, field)).collect()
    }

    #[test]
    fn the_session_cookie_is_the_one_of_its_exact_name() {
        for (fields, shown) in [
            (&[][..], None),
            (&["a=1; b=2"][..], None),
            (&["a=1; __Host-portcullis-session=x; b=2"], Some("x")),
            (&["a=1", "__Host-portcullis-session=x"], Some("x")),
            (&["__host-portcullis-session=x"], None),
            (&["__Host-portcullis-session"], Some("")),
            (
                &["__Host-portcullis-session=x;__Host-portcullis-session=x"],
                Some("x"),
            ),
            (
                &["__Host-portcullis-session=x", "__Host-portcullis-session=y"],
                Some(""),
            ),
            (&["a=__Host-portcullis-session=x"], None),
        ] {
            let cookie = SessionCookie::OfHost;
            assert_eq!(cookie.shown(&headers(fields)), shown, "{fields:?}");
        }
        let mut torn = HeaderMap::new();
        let bytes = b"caf\xc3\xa9=1; __Host-portcullis-session=x";
        torn.append(header::COOKIE, HeaderValue::from_bytes(bytes).unwrap());
        assert_eq!(SessionCookie::OfHost.shown(&torn), Some("x"));
    }

    #[test]
    fn a_cookie_that_is_set_lives_on_this_host_and_no_script_reads_it() {
        let cookie = SessionCookie::OfHost;
        let set = cookie.set("v", Some(Duration::from_secs(60))).unwrap();
        let expected =
            "__Host-portcullis-session=v; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Lax";
        assert_eq!(set.to_str().unwrap(), expected);
        assert!(
            !cookie
                .set("v", None)
                .unwrap()
                .to_str()
                .unwrap()
                .contains("Max-Age")
        );
        let answer = HeaderMap::from_iter([(header::SET_COOKIE, cookie.clear().unwrap())]);
        assert!(sets_session(&answer));
    }

    #[test]
    fn a_domains_cookie_is_another_one_and_of_the_hosts_of_the_domain_alone() {
        let scope = CookieScope::domain("Example.com").unwrap();
        let on = |host: &str| scope.on(&Host::parse(host.as_bytes()).unwrap());
        for host in ["example.com", "app.example.com:8443", "a.b.example.com"] {
            assert_eq!(
                on(host),
                SessionCookie::OfDomain("example.com".into()),
                "{host}"
            );
        }
        for host in ["badexample.com", "example.com.evil", "com", "example.org"] {
            assert_eq!(on(host), SessionCookie::OfHost, "{host}");
        }
        let cookie = on("app.example.com");
        assert_eq!(
            cookie.clear().unwrap(),
            "__Secure-portcullis-session=; Path=/; Domain=example.com; Max-Age=0; Secure; HttpOnly; SameSite=Lax"
        );
        let both = headers(&["__Host-portcullis-session=x; __Secure-portcullis-session=y"]);
        assert_eq!(cookie.shown(&both), Some("y"));
        assert_eq!(SessionCookie::OfHost.shown(&both), Some("x"));
        let answer = HeaderMap::from_iter([(header::SET_COOKIE, cookie.set("v", None).unwrap())]);
        assert!(sets_session(&answer));
        for text in [
            "",
            "com",
            "example.com:1",
            "10.0.0.1",
            "[::1]",
            "a b.c",
            ".example.com",
        ] {
            assert!(CookieScope::domain(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_others_stand_in_one_field() {
        for (fields, expected) in [
            (&[][..], None),
            (&["__Host-portcullis-session=x"], None),
            (
                &["a=1; __Host-portcullis-session=x; b=2", "c=3"],
                Some("a=1; b=2; c=3"),
            ),
        ] {
            let expected = expected.map(HeaderValue::from_static);
            assert_eq!(others(&headers(fields)), expected, "{fields:?}");
        }
    }

    #[test]
    fn our_cookies_are_taken_out_and_the_rest_stays() {
        for (field, left) in [
            ("a=1; b=2", Some("a=1; b=2")),
            ("__Host-portcullis-device=x; b=2", Some("b=2")),
            ("__host-PORTCULLIS-session=x", None),
            ("__secure-Portcullis-session=x; c", Some("c")),
            ("a=1;__Host-portcullis=x;;b", Some("a=1; b")),
        ] {
            let left = left.map(HeaderValue::from_static);
            assert_eq!(
                without_ours(&HeaderValue::from_static(field)),
                left,
                "{field}"
            );
        }
    }
}
