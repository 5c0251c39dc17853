//! A request on its last step: what goes to a server, written as HTTP/1.1 or HTTP/2 wants it.

use std::time::Duration;

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::{self, PathAndQuery};
use http::{HeaderMap, HeaderValue, Method, Uri, Version};
use http_body::Body;

use super::address::{Scheme, ServerAddress};
use super::upload::RequestBody;
use crate::inbound::Upgrade;
use crate::streams::Tether;

/// What is sent upstream. The headers are stripped of what a client may not say; framing, `Host`, `TE`
/// and the upgrade are written here, and what the gateway knows by [`Stamping`].
pub struct Request {
    pub method: Method,
    pub path_and_query: PathAndQuery,
    pub headers: HeaderMap,
    /// `None`: the chosen server's own name and port.
    pub host: Option<HeaderValue>,
    pub body: RequestBody,
    /// The client's version of HTTP: an upgrade is answered 101 in HTTP/1.1 and 200 in HTTP/2.
    pub version: Version,
    pub upgrade: Option<Upgrade>,
    /// Ties the request, and the answer or the tunnel that comes of it, to its caller's session.
    pub tether: Option<Tether>,
    /// `None`: the upstream's own deadline.
    pub first_byte: Option<Duration>,
}

/// Writes what the gateway tells a server beside what the client says. It is asked for each attempt, so
/// that one which needs no other copies none of it.
pub type Stamping<'a> = &'a (dyn Fn(&mut HeaderMap) + Sync);

/// A request without its upgrade, in the form that survives a failed attempt.
pub(super) struct Outgoing {
    pub method: Method,
    pub path_and_query: PathAndQuery,
    pub headers: HeaderMap,
    pub host: Option<HeaderValue>,
    pub body: RequestBody,
    pub asks: Asks,
}

/// What the client's fields ask of the next hop: those fields are of one hop, and written anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asks {
    /// Trailers may follow the answer (RFC 9110 §10.1.4).
    pub trailers: bool,
    /// The body comes when it is asked for (RFC 9110 §10.1.1).
    pub approval: bool,
}

/// What is known of an HTTP/1.1 connection's request before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Exchange,
    /// A switch to WebSocket is asked for.
    Switch,
}

impl Outgoing {
    /// Puts the headers into the form that every attempt shares.
    pub fn prepare(&mut self) {
        let empty = self.body.is_end_stream();
        let headers = &mut self.headers;
        let mut anew = Vec::new();
        let mut has_cookies = false;
        for name in headers.keys() {
            match name.as_str() {
                // Framing follows from the body that we hold, never from what was claimed of it.
                "transfer-encoding" | "content-length" => anew.push(name.clone()),
                "connection" | "upgrade" => anew.push(name.clone()),
                "te" => {
                    self.asks.trailers = takes_trailers(headers);
                    anew.push(name.clone());
                }
                "expect" if empty => anew.push(name.clone()),
                "expect" => self.asks.approval = true,
                "cookie" => has_cookies = true,
                _other => {}
            }
        }
        for name in anew {
            headers.remove(name);
        }
        // RFC 9110 §8.6: a method that anticipates content says that there is none.
        if empty && [Method::POST, Method::PUT, Method::PATCH].contains(&self.method) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        if has_cookies {
            join_cookies(headers);
        }
    }

    /// Whether the server may see this request twice: it asks for the same effect as once
    /// (RFC 9110 §9.2.2), and has no body that could be half read.
    pub fn repeatable(&self) -> Option<Outgoing> {
        if !self.method.is_idempotent() || !self.body.is_end_stream() {
            return None;
        }
        Some(Outgoing {
            method: self.method.clone(),
            path_and_query: self.path_and_query.clone(),
            headers: self.headers.clone(),
            host: self.host.clone(),
            body: RequestBody::empty(),
            asks: self.asks,
        })
    }

    /// As an HTTP/1.1 server wants it: target in origin form, `Host`, `Connection`.
    pub fn into_http1(
        mut self,
        server: &ServerAddress,
        purpose: Purpose,
    ) -> Result<http::Request<RequestBody>, http::Error> {
        let host = self.host.as_ref().unwrap_or(server.authority());
        self.headers.insert(HOST, host.clone());
        match purpose {
            Purpose::Switch => {
                self.headers
                    .insert(CONNECTION, HeaderValue::from_static("Upgrade"));
                self.headers
                    .insert(UPGRADE, HeaderValue::from_static("websocket"));
            }
            Purpose::Exchange if self.asks.trailers => {
                // RFC 9110 §10.1.4: TE is for the next hop, and says so.
                self.headers
                    .insert(TE, HeaderValue::from_static("trailers"));
                self.headers
                    .insert(CONNECTION, HeaderValue::from_static("TE"));
            }
            Purpose::Exchange => {}
        }
        if !self.body.is_end_stream() && self.body.size_hint().exact().is_none() {
            // Said outright: hyper takes a GET of unknown length to have no body.
            let chunked = HeaderValue::from_static("chunked");
            self.headers.insert(TRANSFER_ENCODING, chunked);
        }
        let mut parts = uri::Parts::default();
        parts.path_and_query = Some(self.path_and_query);
        let mut request = http::Request::new(self.body);
        *request.method_mut() = self.method;
        *request.uri_mut() = Uri::from_parts(parts)?;
        *request.headers_mut() = self.headers;
        Ok(request)
    }

    /// As an HTTP/2 server wants it: `:authority` instead of `Host` (RFC 9113 §8.3.1), no
    /// connection fields, `TE` only to take trailers.
    pub fn into_http2(
        mut self,
        server: &ServerAddress,
    ) -> Result<http::Request<RequestBody>, http::Error> {
        let host = self.host.as_ref().unwrap_or(server.authority());
        let mut parts = uri::Parts::default();
        parts.scheme = Some(match server.scheme() {
            Scheme::Https => uri::Scheme::HTTPS,
            Scheme::Http | Scheme::H2c => uri::Scheme::HTTP,
        });
        parts.authority = Some(uri::Authority::try_from(host.as_bytes())?);
        parts.path_and_query = Some(self.path_and_query);
        self.headers.remove(HOST);
        if self.asks.approval {
            self.headers.remove(EXPECT);
        }
        self.headers
            .insert(TE, HeaderValue::from_static("trailers"));
        let mut request = http::Request::new(self.body);
        *request.method_mut() = self.method;
        *request.uri_mut() = Uri::from_parts(parts)?;
        *request.headers_mut() = self.headers;
        *request.version_mut() = Version::HTTP_2;
        Ok(request)
    }

    /// A request that hyper gives back unsent, in the form of [`Outgoing`] again.
    pub fn given_back(request: http::Request<RequestBody>, host: Option<HeaderValue>) -> Self {
        let (parts, body) = request.into_parts();
        let target = parts.uri.into_parts().path_and_query;
        let mut outgoing = Self {
            method: parts.method,
            path_and_query: target.unwrap_or_else(|| PathAndQuery::from_static("/")),
            headers: parts.headers,
            host,
            body,
            asks: Asks::default(),
        };
        outgoing.prepare();
        outgoing
    }
}

/// HTTP/2 clients may send a cookie field in pieces; HTTP/1.1 knows one (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut fields = headers.get_all(COOKIE).iter();
    if fields.next().is_none() || fields.next().is_none() {
        return;
    }
    let mut joined = Vec::new();
    for field in headers.get_all(COOKIE) {
        if !joined.is_empty() {
            joined.extend_from_slice(b"; ");
        }
        joined.extend_from_slice(field.as_bytes());
    }
    match HeaderValue::from_bytes(&joined) {
        Ok(value) => headers.insert(COOKIE, value),
        Err(_) => headers.remove(COOKIE),
    };
}

fn takes_trailers(headers: &HeaderMap) -> bool {
    headers.get(TE).is_some_and(|te| {
        te.as_bytes()
            .split(|b| *b == b',')
            .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(method: Method) -> Outgoing {
        Outgoing {
            method,
            path_and_query: PathAndQuery::from_static("/a?b=c"),
            headers: HeaderMap::new(),
            host: None,
            body: RequestBody::empty(),
            asks: Asks::default(),
        }
    }

    fn server(url: &str) -> ServerAddress {
        ServerAddress::parse(url).unwrap()
    }

    #[test]
    fn http1_gets_origin_form_and_a_host() {
        let request = outgoing(Method::GET)
            .into_http1(&server("http://a:8000"), Purpose::Exchange)
            .unwrap();
        assert_eq!(request.uri(), "/a?b=c");
        assert_eq!(request.headers()[HOST], "a:8000");
    }

    #[test]
    fn http2_gets_an_authority_and_no_host() {
        let mut outgoing = outgoing(Method::GET);
        outgoing
            .headers
            .insert(HOST, HeaderValue::from_static("client.example"));
        outgoing.host = Some(HeaderValue::from_static("public.example"));
        outgoing.prepare();
        let request = outgoing.into_http2(&server("h2c://a:8000")).unwrap();
        assert_eq!(request.uri(), "http://public.example/a?b=c");
        assert!(!request.headers().contains_key(HOST));
        assert_eq!(request.headers()[TE], "trailers");
    }

    #[test]
    fn what_is_of_one_hop_is_written_anew() {
        let mut asked = outgoing(Method::GET);
        for (name, value) in [
            (CONNECTION, "close"),
            (UPGRADE, "h2c"),
            (TRANSFER_ENCODING, "chunked"),
            (CONTENT_LENGTH, "7"),
            (EXPECT, "100-continue"),
            (TE, "gzip, Trailers"),
            (HOST, "client.example"),
        ] {
            asked.headers.insert(name, HeaderValue::from_static(value));
        }
        asked.prepare();
        // Sent twice: the first time it was given back unsent.
        for _ in 0..2 {
            let sent = asked.into_http1(&server("http://a:8000"), Purpose::Exchange);
            let sent = sent.unwrap();
            let mut fields: Vec<_> = sent.headers().iter().collect();
            fields.sort_unstable_by_key(|(name, _)| name.as_str());
            let expected = [
                (&CONNECTION, &HeaderValue::from_static("TE")),
                (&HOST, &HeaderValue::from_static("a:8000")),
                (&TE, &HeaderValue::from_static("trailers")),
            ];
            assert_eq!(fields, expected);
            asked = Outgoing::given_back(sent, None);
        }
        let sent = asked.into_http1(&server("http://a:8000"), Purpose::Switch);
        assert!(!sent.unwrap().headers().contains_key(TE));
    }

    #[test]
    fn cookies_in_pieces_become_one() {
        let mut outgoing = outgoing(Method::GET);
        outgoing
            .headers
            .append(COOKIE, HeaderValue::from_static("a=1"));
        outgoing
            .headers
            .append(COOKIE, HeaderValue::from_static("b=2"));
        outgoing.prepare();
        let cookies: Vec<_> = outgoing.headers.get_all(COOKIE).iter().collect();
        assert_eq!(cookies, ["a=1; b=2"]);
    }

    #[test]
    fn only_idempotent_requests_without_a_body_are_repeatable() {
        for (method, repeatable) in [
            (Method::GET, true),
            (Method::HEAD, true),
            (Method::DELETE, true),
            (Method::PUT, true),
            (Method::POST, false),
            (Method::PATCH, false),
        ] {
            assert_eq!(
                outgoing(method.clone()).repeatable().is_some(),
                repeatable,
                "{method}"
            );
        }
    }

    #[test]
    fn a_post_without_a_body_says_so() {
        let mut outgoing = outgoing(Method::POST);
        outgoing
            .headers
            .insert(CONTENT_LENGTH, HeaderValue::from_static("7"));
        outgoing.prepare();
        assert_eq!(outgoing.headers[CONTENT_LENGTH], "0");
    }
}
