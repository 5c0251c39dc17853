//! The plain listener's only answer: 308 to the same place over https.

use http::header::{self, HeaderValue};
use http::{Request, Response, StatusCode};

use super::{PublicUrl, Tls};
use crate::body::Body;
use crate::inbound::Host;

/// Where plain requests are sent.
pub(super) struct Redirect {
    public: Option<PublicUrl>,
    tls: Option<Tls>,
    /// Of the first https listener.
    https_port: Option<u16>,
}

impl Redirect {
    pub(super) fn new(
        public: Option<PublicUrl>,
        tls: Option<Tls>,
        https_port: Option<u16>,
    ) -> Self {
        Self {
            public,
            tls,
            https_port,
        }
    }

    /// 308 to the https URL of what was asked for, or 400 when that has no single reading.
    pub(super) fn answer<B>(&self, request: &Request<B>) -> Response<Body> {
        let mut response = Response::new(Body::Empty);
        match self.location(request) {
            Some(location) => {
                *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
                response.headers_mut().insert(header::LOCATION, location);
            }
            None => {
                *response.status_mut() = StatusCode::BAD_REQUEST;
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
        }
        response
    }

    /// The requested host when one of our certificates names it, else the public URL's.
    fn location<B>(&self, request: &Request<B>) -> Option<HeaderValue> {
        let uri = request.uri();
        let target = uri.path_and_query()?.as_str();
        if uri.authority().is_some() || !target.starts_with('/') {
            return None;
        }
        let mut hosts = request.headers().get_all(header::HOST).into_iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return None;
        };
        let host = Host::parse(host.as_bytes()).ok()?;
        let known = self.tls.as_ref().is_some_and(|tls| tls.covers(host.name()));
        let location = match &self.public {
            Some(public) if !known => format!("{}{target}", public.as_str()),
            Some(_) | None => match self.port() {
                443 => format!("https://{}{target}", host.name()),
                port => format!("https://{}:{port}{target}", host.name()),
            },
        };
        HeaderValue::try_from(location).ok()
    }

    /// The port at which clients reach us over https.
    fn port(&self) -> u16 {
        match &self.public {
            Some(public) => public.host().port().unwrap_or(443),
            None => self.https_port.unwrap_or(443),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(public: Option<&str>, target: &str, hosts: &[&str]) -> Option<String> {
        let public = public.map(|url| PublicUrl::parse(url).unwrap());
        let mut request = Request::builder().uri(target);
        for host in hosts {
            request = request.header(header::HOST, *host);
        }
        let response = Redirect::new(public, None, Some(8443)).answer(&request.body(()).unwrap());
        let location = response.headers().get(header::LOCATION)?;
        assert_eq!(response.status(), StatusCode::PERMANENT_REDIRECT);
        Some(location.to_str().unwrap().to_owned())
    }

    #[test]
    fn plain_requests_are_sent_to_the_public_url() {
        let public = Some("https://api.example.com");
        for (target, hosts, expected) in [
            (
                "/a?b=c",
                &["x.test"][..],
                Some("https://api.example.com/a?b=c"),
            ),
            (
                "//evil.test/",
                &["x.test"],
                Some("https://api.example.com//evil.test/"),
            ),
            ("http://evil.test/", &["x.test"], None),
            ("*", &["x.test"], None),
            ("/", &["a.test", "b.test"], None),
            ("/", &[], None),
            ("/", &["evil.test@x.test"], None),
        ] {
            assert_eq!(
                location(public, target, hosts).as_deref(),
                expected,
                "{target}"
            );
        }
    }

    #[test]
    fn without_a_public_url_the_host_stays() {
        let at = location(None, "/a", &["Site.Test:8080"]);
        assert_eq!(at.as_deref(), Some("https://site.test:8443/a"));
    }
}
