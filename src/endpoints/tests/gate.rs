//! The endpoints over a database of their own, and what they answer.

use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::Value;
use tempfile::TempDir;

use crate::accounts::{self, Accounts, Cost, HashSettings, Rules};
use crate::authn::algorithm::Algorithm;
use crate::authn::keys::{Key, KeyId, KeyRing, KeyUse, Material, Origin};
use crate::authn::{Caller, Credential, Identity, Tenure, TokenDigest, Tokens};
use crate::clock::{Clock, Timestamp};
use crate::endpoints::{Endpoint, EndpointContext, EndpointRequest, answer};
use crate::inbound::cookie::SessionCookie;
use crate::inbound::{CleanPath, ClientIp, Host, RequestIds, Site};
use crate::limit::{Allowance, Limits, Rate};
use crate::lockout::{Lockout, LockoutSettings};
use crate::rejection::{Asked, Audience};
use crate::secret::Secret;
use crate::store::Database;

/// The endpoints over a database of their own.
pub struct Gate {
    pub context: EndpointContext,
    _folder: TempDir,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Gate {
    pub async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Timestamp::from_seconds(1_800_000_000));
        let hashing = HashSettings {
            cost: Cost::new(64, 1, 1).unwrap(),
            threads: NonZeroUsize::MIN,
            queue: NonZeroUsize::new(64).unwrap(),
        };
        let database = Database::Sqlite(folder.path().join("accounts.db"));
        let settings = accounts::Settings {
            database,
            hashing,
            key_prefix: accounts::KeyPrefix::default(),
        };
        let rules = Rules::default();
        let opened = Accounts::open(&settings, rules, clock.clone()).await;
        let accounts = opened.unwrap();
        accounts.calibrate().await.unwrap().await;
        let limits = Limits::new(clock.clone(), None);
        let context = EndpointContext {
            accounts,
            lockout: Lockout::new(lockout(), clock.clone(), None),
            rules: Arc::new(limits.rules(&[])),
            limits: Arc::new(limits),
            tokens: Arc::new(Tokens::new(ring())),
            login_hosts: Arc::default(),
            clock,
        };
        Self {
            context,
            _folder: folder,
        }
    }

    pub async fn post(&self, endpoint: Endpoint, body: Value) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
        self.send(endpoint, Caller::Anonymous, headers, body.to_string())
            .await
    }

    pub async fn as_bearer(&self, endpoint: Endpoint, token: &str, body: Value) -> Answer {
        let claims = self
            .context
            .tokens
            .verify(token, self.context.clock.now())
            .unwrap();
        let caller = Caller::from(Identity {
            tenure: Tenure::sample(&claims),
            claims: Arc::new(claims),
            credential: Credential::Bearer,
            token: TokenDigest::of(token),
        });
        self.send(endpoint, caller, HeaderMap::new(), body.to_string())
            .await
    }

    pub async fn send(
        &self,
        endpoint: Endpoint,
        caller: Caller,
        headers: HeaderMap,
        body: String,
    ) -> Answer {
        let request = EndpointRequest {
            headers,
            caller,
            body: Bytes::from(body),
            ..self.request(endpoint)
        };
        let asked = Asked {
            login: None,
            shape: endpoint.shape(),
            audience: Audience::Program,
            method: request.method.clone(),
            id: RequestIds::new().next(),
            at: self.context.clock.now(),
        };
        let answered = answer(self.context.clone(), request).await;
        let response = answered.unwrap_or_else(|rejection| rejection.into_response(&asked));
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        }
    }

    /// An anonymous request without headers and body.
    pub fn request(&self, endpoint: Endpoint) -> EndpointRequest {
        EndpointRequest {
            endpoint,
            route: Arc::from(endpoint.name()),
            limits: Vec::new(),
            method: endpoint.methods()[0].clone(),
            host: Host::parse(b"app.example").unwrap(),
            session_cookie: SessionCookie::OfHost,
            headers: HeaderMap::new(),
            path: CleanPath::from_path(endpoint.paths()[0], None).unwrap(),
            site: Site::Same,
            caller: Caller::Anonymous,
            client: ClientIp::new(IpAddr::from([192, 0, 2, 1])),
            body: Bytes::new(),
        }
    }

    pub fn believes(&self, token: &str) -> bool {
        let claims = self
            .context
            .tokens
            .verify(token, self.context.clock.now())
            .unwrap();
        let revocations = self.context.accounts.revocations();
        let issued_at = claims.issued_at().unwrap();
        !revocations.is_revoked(claims.session(), claims.subject(), issued_at)
    }
}

impl Answer {
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    pub fn text(&self, field: &str) -> String {
        let text = self.body[field].as_str();
        String::from(text.unwrap_or_else(|| panic!("no text `{field}`: {}", self.body)))
    }
}

fn ring() -> KeyRing {
    let secret = Secret::new(b"a secret that only this test and no sample knows".to_vec());
    KeyRing::new(vec![Key {
        id: KeyId::parse("test").unwrap(),
        material: Material::from_secret(Algorithm::Hs256, &secret).unwrap(),
        purpose: KeyUse::Sign,
        origin: Origin::Ours,
        not_after: None,
    }])
    .unwrap()
}

fn lockout() -> LockoutSettings {
    let rate = Rate::new(NonZeroU32::MIN, Duration::from_secs(60)).unwrap();
    let five = Allowance {
        rate,
        burst: NonZeroU32::new(5).unwrap(),
    };
    LockoutSettings {
        pair: five,
        device: five,
        account: five,
        network: Allowance {
            burst: NonZeroU32::new(100).unwrap(),
            ..five
        },
        code: five,
        remember_network: Duration::from_secs(3600),
        keys: 1000,
    }
}
