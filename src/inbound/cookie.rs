//! The gateway's own cookies: their names, how they are set, and taking them out of a `Cookie` field.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};

/// Every cookie of ours begins so: none reaches an upstream, and none is taken from one. Browsers
/// take a cookie of such a name from this very host over https only (RFC 6265bis §4.1.3.2).
pub const PREFIX: &str = "__Host-portcullis";

/// Holds the token of a device that logged in before (its own allowance in the lockout).
pub const DEVICE: &str = "__Host-portcullis-device";

/// Names the session of a browser.
pub const SESSION: &str = "__Host-portcullis-session";

/// Whether a cookie of this name is ours.
pub fn is_ours(name: &[u8]) -> bool {
    name.get(..PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX.as_bytes()))
}

/// The value of the cookie `name` in a `Cookie` field.
pub fn find<'v>(field: &'v HeaderValue, name: &str) -> Option<&'v str> {
    let value = pairs(field.as_bytes()).find_map(|(key, value)| {
        let named = key == name.as_bytes();
        named.then_some(value)
    })?;
    std::str::from_utf8(value).ok()
}

/// The session cookie, whatever it is worth. What is there twice with two values, or is not text,
/// is the empty one: no session, but something to be cleared.
pub fn session(headers: &HeaderMap) -> Option<&str> {
    let fields = headers.get_all(header::COOKIE).iter();
    let mut shown = fields
        .flat_map(|field| pairs(field.as_bytes()))
        .filter(|(name, _)| *name == SESSION.as_bytes())
        .map(|(_, value)| value);
    let first = shown.next()?;
    if shown.all(|other| other == first) {
        Some(std::str::from_utf8(first).unwrap_or_default())
    } else {
        Some("")
    }
}

/// Sets the session cookie; without `max_age` the browser forgets it when it is closed.
pub fn set_session(value: &str, max_age: Option<Duration>) -> Option<HeaderValue> {
    let age = max_age.map_or_else(String::new, |age| format!("; Max-Age={}", age.as_secs()));
    let field = format!("{SESSION}={value}; Path=/{age}; Secure; HttpOnly; SameSite=Lax");
    let mut field = HeaderValue::try_from(field).ok()?;
    field.set_sensitive(true);
    Some(field)
}

/// Takes the session cookie from the browser.
pub fn clear_session() -> HeaderValue {
    HeaderValue::from_static(
        "__Host-portcullis-session=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax",
    )
}

/// Whether an answer sets or clears the session cookie already.
pub fn sets_session(headers: &HeaderMap) -> bool {
    let fields = headers.get_all(header::SET_COOKIE).iter();
    let mut names = fields.filter_map(|field| field.as_bytes().split(|b| *b == b'=').next());
    names.any(|name| name.trim_ascii() == SESSION.as_bytes())
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
            assert_eq!(session(&headers(fields)), shown, "{fields:?}");
        }
        let mut torn = HeaderMap::new();
        let bytes = b"caf\xc3\xa9=1; __Host-portcullis-session=x";
        torn.append(header::COOKIE, HeaderValue::from_bytes(bytes).unwrap());
        assert_eq!(session(&torn), Some("x"));
    }

    #[test]
    fn a_cookie_that_is_set_lives_on_this_host_and_no_script_reads_it() {
        let set = set_session("v", Some(Duration::from_secs(60))).unwrap();
        let expected =
            "__Host-portcullis-session=v; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Lax";
        assert_eq!(set.to_str().unwrap(), expected);
        assert!(
            !set_session("v", None)
                .unwrap()
                .to_str()
                .unwrap()
                .contains("Max-Age")
        );
        let answer = HeaderMap::from_iter([(header::SET_COOKIE, clear_session())]);
        assert!(sets_session(&answer));
    }

    #[test]
    fn our_cookies_are_taken_out_and_the_rest_stays() {
        for (field, left) in [
            ("a=1; b=2", Some("a=1; b=2")),
            ("__Host-portcullis-device=x; b=2", Some("b=2")),
            ("__host-PORTCULLIS-session=x", None),
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
