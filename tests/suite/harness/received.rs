//! A request as an upstream server got it.

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::body::{self, SendBody};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    pub method: String,
    pub target: String,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
}

impl Received {
    pub fn head(request: &Request<Incoming>) -> Self {
        Self {
            method: request.method().to_string(),
            target: request
                .uri()
                .path_and_query()
                .map_or_else(String::new, ToString::to_string),
            version: request.version(),
            headers: request.headers().clone(),
            body: Bytes::new(),
            trailers: None,
        }
    }

    pub async fn read(request: Request<Incoming>) -> Self {
        let mut received = Self::head(&request);
        if let Ok(body) = request.into_body().collect().await {
            received.trailers = body.trailers().cloned();
            received.body = body.to_bytes();
        }
        received
    }

    /// All values of a header, as text.
    pub fn values(&self, name: &str) -> Vec<String> {
        self.headers.get_all(name).iter().map(text).collect()
    }

    /// The one value of a header; fails the test when there are several.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<String> {
        let mut values = self.values(name);
        assert!(values.len() < 2, "{name}: {values:?}");
        values.pop()
    }

    /// Every header whose name is `name` when `_` and `-` and case are one.
    pub fn spellings(&self, name: &str) -> Vec<(String, String)> {
        let wanted = plain(name);
        let named = self
            .headers
            .iter()
            .filter(|(key, _)| plain(key.as_str()) == wanted);
        named
            .map(|(key, value)| (key.to_string(), text(value)))
            .collect()
    }

    pub fn echo(&self) -> Response<SendBody> {
        let pairs = |headers: &HeaderMap| -> Vec<Value> {
            headers
                .iter()
                .map(|(k, v)| json!([k.as_str(), text(v)]))
                .collect()
        };
        let answer = json!({
            "method": self.method,
            "target": self.target,
            "headers": pairs(&self.headers),
            "body": String::from_utf8_lossy(&self.body),
            "trailers": self.trailers.as_ref().map(pairs),
        });
        Response::builder()
            .header("content-type", "application/json")
            .body(body::full(answer.to_string()))
            .unwrap()
    }
}

fn text(value: &http::HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn plain(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}
