//! A browser as far as cookies and redirects go, for several hosts of one gateway.

use std::collections::BTreeMap;

use super::{Answer, Client};

/// Somebody with a browser of their own.
#[derive(Clone)]
pub struct Visitor {
    client: Client,
    /// By the host or domain that each is kept for, and its name.
    cookies: BTreeMap<(String, String), String>,
}

impl Visitor {
    pub fn new(client: &Client) -> Self {
        Self {
            client: client.clone(),
            cookies: BTreeMap::new(),
        }
    }

    /// The URL of a path on a host of the gateway.
    pub fn url(&self, host: &str, path: &str) -> String {
        self.client.clone().host(host).url(path)
    }

    /// The value of a cookie that is kept for this very host or domain.
    pub fn cookie(&self, host: &str, name: &str) -> Option<&str> {
        let key = (host.to_owned(), name.to_owned());
        self.cookies.get(&key).map(String::as_str)
    }

    /// Loses a cookie.
    pub fn forget(&mut self, host: &str, name: &str) {
        self.cookies.remove(&(host.to_owned(), name.to_owned()));
    }

    /// Navigates to a URL, and follows nothing.
    pub async fn open(&mut self, url: &str) -> Answer {
        self.call(url, None).await
    }

    /// Navigates to a URL and on to wherever it leads; gives every URL on the way, and the last answer.
    pub async fn follow(&mut self, url: &str) -> (Vec<String>, Answer) {
        let answer = self.open(url).await;
        self.led_on(url, answer).await
    }

    /// Sends a form of the page at `url`, and goes on to wherever that leads.
    pub async fn submit(&mut self, url: &str, fields: &str) -> (Vec<String>, Answer) {
        let answer = self.call(url, Some(fields)).await;
        self.led_on(url, answer).await
    }

    async fn led_on(&mut self, url: &str, mut answer: Answer) -> (Vec<String>, Answer) {
        let mut way = vec![url.to_owned()];
        while let Some(location) = answer.header("location") {
            assert!(way.len() < 10, "in circles: {way:?}");
            let next = match location.strip_prefix('/') {
                Some(_) => format!("{}{location}", origin(&way[way.len() - 1])),
                None => location.to_owned(),
            };
            answer = self.open(&next).await;
            way.push(next);
        }
        (way, answer)
    }

    async fn call(&mut self, url: &str, form: Option<&str>) -> Answer {
        let origin = origin(url);
        let host = origin.trim_start_matches("https://");
        let host = host.split(':').next().unwrap();
        let client = self.client.clone().host(host);
        assert_eq!(client.url(""), origin, "another gateway's");
        let path = &url[origin.len()..];
        let call = match form {
            Some(fields) => client
                .post(path)
                .header("sec-fetch-site", "same-origin")
                .form(fields),
            None => client.get(path).header("sec-fetch-site", "cross-site"),
        };
        let call = call.header("sec-fetch-mode", "navigate");
        let kept = self.cookies.iter().filter(|((place, name), _)| {
            place == host || !name.starts_with("__Host-") && host.ends_with(&format!(".{place}"))
        });
        let pairs: Vec<String> = kept.map(|((_, name), v)| format!("{name}={v}")).collect();
        let call = match pairs.is_empty() {
            true => call,
            false => call.header("cookie", pairs.join("; ")),
        };
        let answer = call.send().await;
        for field in answer.headers.get_all("set-cookie") {
            self.keep(host, field.to_str().unwrap());
        }
        answer
    }

    fn keep(&mut self, host: &str, field: &str) {
        let mut parts = field.split("; ");
        let (name, value) = parts.next().unwrap().split_once('=').unwrap();
        let attributes: Vec<&str> = parts.collect();
        let domain = attributes.iter().find_map(|a| a.strip_prefix("Domain="));
        assert!(domain.is_none() || !name.starts_with("__Host-"), "{field}");
        let key = (domain.unwrap_or(host).to_owned(), name.to_owned());
        if attributes.contains(&"Max-Age=0") {
            self.cookies.remove(&key);
        } else {
            self.cookies.insert(key, value.to_owned());
        }
    }
}

/// `https://host:port` of a URL.
fn origin(url: &str) -> &str {
    let path = url["https://".len()..].find('/');
    path.map_or(url, |at| &url[.."https://".len() + at])
}
