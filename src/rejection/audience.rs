//! Who reads an answer: a program, or a person whose browser navigated here or sent a form.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const HTML: &[u8] = b"text/html";

/// Who reads the refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Gets the body of the route's shape.
    Program,
    /// A person whose browser navigated here, or sent a form: gets a page.
    Browser,
    /// Another proxy, of such a person, that hands on the status alone: `Location` tells it where
    /// they are to log in.
    BehindProxy,
}

impl Audience {
    /// The same, where no more than the status is handed on to whoever reads it.
    #[must_use]
    pub fn behind_proxy(self) -> Self {
        match self {
            Audience::Program => Audience::Program,
            Audience::Browser | Audience::BehindProxy => Audience::BehindProxy,
        }
    }

    /// Whether a person can be sent to the login page.
    pub fn is_a_person(self) -> bool {
        match self {
            Audience::Program => false,
            Audience::Browser | Audience::BehindProxy => true,
        }
    }

    /// A browser says that it navigates (`Sec-Fetch-Mode`); one that is too old to say so asks for
    /// HTML before anything else. Links and forms have no other methods than these.
    pub fn of(method: &Method, headers: &HeaderMap) -> Self {
        if !matches!(*method, Method::GET | Method::HEAD | Method::POST) {
            return Audience::Program;
        }
        let (mut mode, mut accept) = (None, None);
        // Two look-ups cost more than a look at each field.
        for (name, value) in headers {
            if *name == header::ACCEPT {
                accept.get_or_insert(value);
            } else if *name == SEC_FETCH_MODE {
                mode.get_or_insert(value);
            }
        }
        let navigates = match mode {
            Some(mode) => mode == "navigate",
            None => accept.is_some_and(is_html_first),
        };
        if navigates {
            Audience::Browser
        } else {
            Audience::Program
        }
    }
}

fn is_html_first(accept: &HeaderValue) -> bool {
    let start = accept.as_bytes().trim_ascii_start().get(..HTML.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(HTML))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_navigation_gets_a_page() {
        let cases = [
            (Method::GET, Some("navigate"), "*/*", Audience::Browser),
            (
                Method::HEAD,
                Some("navigate"),
                "text/html",
                Audience::Browser,
            ),
            (Method::GET, Some("cors"), "text/html", Audience::Program),
            (
                Method::GET,
                Some("websocket"),
                "text/html",
                Audience::Program,
            ),
            (
                Method::POST,
                Some("navigate"),
                "text/html",
                Audience::Browser,
            ),
            (Method::POST, Some("cors"), "text/html", Audience::Program),
            (
                Method::POST,
                None,
                "text/html,application/xhtml+xml,*/*;q=0.8",
                Audience::Browser,
            ),
            (Method::POST, None, "*/*", Audience::Program),
            (
                Method::PUT,
                Some("navigate"),
                "text/html",
                Audience::Program,
            ),
            (
                Method::GET,
                None,
                "text/html,application/xhtml+xml,*/*;q=0.8",
                Audience::Browser,
            ),
            (Method::GET, None, "*/*", Audience::Program),
            (
                Method::GET,
                None,
                "application/json, text/html",
                Audience::Program,
            ),
        ];
        for (method, mode, accept, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            if let Some(mode) = mode {
                headers.insert("sec-fetch-mode", mode.parse().unwrap());
            }
            assert_eq!(
                Audience::of(&method, &headers),
                expected,
                "{method} {mode:?} {accept}"
            );
        }
    }
}
