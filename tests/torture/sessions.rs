//! Accounts and sessions as their owners know them.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::suite::harness::Answer;
use crate::suite::harness::client::Call;

#[derive(Clone, Debug)]
pub struct Account {
    pub id: String,
    pub email: String,
    /// The one that was acknowledged last.
    pub password: String,
    /// The person's own address.
    pub from: String,
    /// How often the password was changed.
    pub changes: usize,
}

#[derive(Clone, Debug)]
pub enum Credential {
    Bearer(String),
    Cookie(String),
}

#[derive(Clone, Debug)]
pub struct Session {
    pub credential: Credential,
    pub refresh: Option<String>,
    pub good_until: Instant,
}

/// A session whose end was acknowledged.
#[derive(Clone, Debug)]
pub struct Ended {
    pub session: Session,
    pub at: Instant,
}

impl Credential {
    pub fn on(&self, call: Call) -> Call {
        match self {
            Self::Bearer(token) => call.bearer(token),
            Self::Cookie(pair) => call
                .header("cookie", pair)
                .header("sec-fetch-site", "same-origin"),
        }
    }
}

impl Session {
    /// What a log-in, a registration or a refresh answers.
    pub fn opened(answer: &Value) -> Self {
        let text = |field: &str| answer[field].as_str().unwrap_or_default().to_owned();
        let good_for = answer["expires_in"].as_u64().unwrap_or_default();
        Self {
            credential: Credential::Bearer(text("access_token")),
            refresh: Some(text("refresh_token")),
            good_until: Instant::now() + Duration::from_secs(good_for),
        }
    }

    /// The session of a browser that has just logged in.
    pub fn by_cookie(answer: &Answer) -> Self {
        let fields = answer.headers.get_all("set-cookie").iter();
        let mut fields = fields.filter_map(|field| field.to_str().ok());
        let session = fields.find(|field| field.starts_with("__Host-portcullis-session="));
        let pair = session.and_then(|field| field.split(';').next());
        Self {
            credential: Credential::Cookie(pair.unwrap_or_default().to_owned()),
            refresh: None,
            good_until: Instant::now() + Duration::from_secs(3600),
        }
    }
}
