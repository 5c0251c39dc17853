//! Where somebody goes after the login: a path of this very origin, whatever was asked for.

use http::HeaderValue;

use super::{CODE, LOGIN, LOGOUT};
use crate::inbound::CleanPath;

/// Longest target that is remembered, in bytes.
const LONGEST: usize = 2048;

/// A path with its query, in the one form that a request may have: it begins with one slash, and
/// no browser reads a host into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReturnTo(String);

impl ReturnTo {
    /// Reads a target. What is not a clean path of this origin, or leads back to the login, is the
    /// front page.
    pub fn parse(text: &str) -> Self {
        Self(clean(text).unwrap_or_else(|| String::from("/")))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn location(&self) -> HeaderValue {
        HeaderValue::try_from(self.as_str()).unwrap_or(HeaderValue::from_static("/"))
    }
}

fn clean(text: &str) -> Option<String> {
    // Browsers read `\` as `/` and drop tabs and line ends (URL §4.4): none may stand anywhere.
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#');
    if text.len() > LONGEST || !text.bytes().all(plain) {
        return None;
    }
    let (path, query) = match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    };
    // No empty segment, so no `//host`; no dot segment; no encoded control character.
    let path = CleanPath::from_path(path, query).ok()?;
    if [LOGIN, LOGOUT, CODE].contains(&path.as_str()) {
        return None;
    }
    Some(path.target().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_a_path_of_this_origin_is_returned_to() {
        for target in [
            "/",
            "/a",
            "/a/b/?q=1&r=%2F%2Fevil.example",
            "/a?next=https://evil.example",
            "/@evil.example",
            "/https:evil.example",
            "/a%20b",
        ] {
            assert_eq!(ReturnTo::parse(target).as_str(), target);
            assert_eq!(ReturnTo::parse(target).location(), target);
        }
        for target in [
            "",
            "a",
            "evil.example",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/%09/evil.example",
            "/%0d%0aSet-Cookie:x",
            "/\r\nSet-Cookie: x",
            "/ /evil.example",
            " //evil.example",
            "/%5cevil.example",
            "/%5Cevil.example",
            "/./%2f/evil.example",
            "/.//evil.example",
            "/..//evil.example",
            "/a//evil.example",
            "/%2e%2e//evil.example",
            "https:evil.example",
            "https:/evil.example",
            "https://evil.example",
            "https://app.example.evil.example",
            "https://app.example@evil.example/",
            "HTTPS:\\\\evil.example",
            "javascript:alert(1)",
            "data:text/html,x",
            "/a#b",
            "/é",
            "/\u{2028}",
            "/auth/login",
            "/auth/login?return_to=/auth/login",
            "/auth/logout",
            "/auth/login/code?code=x",
        ] {
            assert_eq!(ReturnTo::parse(target).as_str(), "/", "{target:?}");
        }
        let long = format!("/{}", "a".repeat(LONGEST));
        assert_eq!(ReturnTo::parse(&long).as_str(), "/");
    }
}
