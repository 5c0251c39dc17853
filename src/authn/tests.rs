//! Who a request's credential names.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::algorithm::Algorithm;
use super::keys::tests::{key, material};
use super::keys::{KeyRing, KeyUse, Material};
use super::*;
use crate::accounts::{Factors, Revocation, SessionId};
use crate::inbound::CleanPath;
use crate::secret::Secret;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const BOTH: TokenPlaces = TokenPlaces {
    subprotocol: true,
    query: true,
};
const NEITHER: TokenPlaces = TokenPlaces {
    subprotocol: false,
    query: false,
};

/// One worker, its clock, and the rules that it judges by.
struct Bench {
    authenticator: Authenticator,
    revocations: Revocations,
    clock: Clock,
    tokens: Tokens,
}

/// What a request showed, and what is left of it.
struct Sent {
    headers: HeaderMap,
    path: CleanPath,
    websocket: bool,
}

fn rules(id: &str) -> Tokens {
    let signer = key(id, material(Algorithm::Hs256), KeyUse::Sign);
    Tokens::new(KeyRing::new(vec![signer]).unwrap())
}

impl Bench {
    fn new() -> Self {
        let clock = Clock::manual(NOW);
        let revocations = Revocations::new(clock.clone());
        let size = CacheSize::default();
        Self {
            authenticator: Authenticator::new(size, revocations.clone(), clock.clone()),
            revocations,
            clock,
            tokens: rules("a"),
        }
    }

    fn token(&self, session: SessionId) -> String {
        let claims = AccessTokenClaims {
            factors: Factors::One,
            subject: String::from("u1"),
            session,
            email: None,
            email_verified: false,
            name: None,
            username: None,
            roles: Vec::new(),
            attributes: serde_json::Map::new(),
        };
        let lifetime = Duration::from_secs(900);
        self.tokens
            .issue(&claims, lifetime, self.clock.now())
            .unwrap()
    }

    fn identify(
        &self,
        sent: &mut Sent,
        auth: Auth,
        places: TokenPlaces,
    ) -> Result<Caller, AuthnError> {
        let shown = Shown {
            headers: &mut sent.headers,
            path: &mut sent.path,
            websocket: sent.websocket,
        };
        self.authenticator
            .identify(
                shown,
                Asked {
                    auth,
                    kinds: CredentialKinds::default(),
                    places,
                },
                &self.tokens,
            )
            .map(|named| match named {
                Named::Caller(caller) => caller,
                Named::Key(key) => panic!("a key: {key}"),
            })
    }

    fn verdict(&self, token: &str) -> Result<Caller, AuthnError> {
        let mut sent = Sent::plain(&[("authorization", &format!("Bearer {token}"))]);
        self.identify(&mut sent, Auth::Required, NEITHER)
    }
}

impl Sent {
    fn new(headers: &[(&str, &str)], query: Option<&str>, websocket: bool) -> Self {
        let field = |(name, value): &(&str, &str)| {
            let name = HeaderName::try_from(*name).unwrap();
            (name, HeaderValue::from_bytes(value.as_bytes()).unwrap())
        };
        Self {
            headers: headers.iter().map(field).collect(),
            path: CleanPath::from_path("/x", query).unwrap(),
            websocket,
        }
    }

    fn plain(headers: &[(&str, &str)]) -> Self {
        Self::new(headers, None, false)
    }
}

/// A word for each outcome, so that tables compare.
fn word(outcome: &Result<Caller, AuthnError>) -> &'static str {
    match outcome {
        Ok(Caller::Anonymous) => "anonymous",
        Ok(Caller::Identified(identity)) => match identity.credential {
            Credential::Bearer => "bearer",
            Credential::Subprotocol(_) => "subprotocol",
            Credential::Query => "query",
            Credential::ApiKey(_) => "api-key",
            Credential::Cookie => "cookie",
        },
        Err(AuthnError::Missing) => "missing",
        Err(AuthnError::Scheme) => "scheme",
        Err(AuthnError::Token(_)) => "token",
        Err(AuthnError::Revoked) => "revoked",
        Err(AuthnError::ApiKey(_)) => "refused key",
        Err(AuthnError::Kind) => "kind",
        Err(AuthnError::OtherRoute) => "other route",
        Err(AuthnError::Ambiguous) => "ambiguous",
        Err(AuthnError::Cookie(_) | AuthnError::ForeignSite | AuthnError::Store(_)) => "cookie",
        Err(AuthnError::Unavailable) => "unavailable",
    }
}

#[test]
fn the_authorization_header_is_judged_as_the_route_asks() {
    let bench = Bench::new();
    let good = format!("Bearer {}", bench.token(SessionId::random()));
    let lower = good.replace("Bearer", "bearer");
    let spaced = good.replace("Bearer ", "BEARER   ");
    let two = format!("{good} {good}");
    for (header, required, optional) in [
        (None, "missing", "anonymous"),
        (Some(good.as_str()), "bearer", "bearer"),
        (Some(lower.as_str()), "bearer", "bearer"),
        (Some(spaced.as_str()), "bearer", "bearer"),
        (Some("Bearer"), "scheme", "scheme"),
        (Some("Bearer "), "scheme", "scheme"),
        (Some(""), "scheme", "scheme"),
        (Some("Basic YTpi"), "scheme", "scheme"),
        (Some(good.trim_start_matches("Bearer ")), "scheme", "scheme"),
        (Some(two.as_str()), "scheme", "scheme"),
        (Some("Bearer gärbage"), "scheme", "scheme"),
        (Some("Bearer gar\tbage"), "token", "token"),
        (Some("Bearer garbage"), "token", "token"),
        (Some("Bearer dev-alice"), "token", "token"),
    ] {
        for (auth, expected) in [
            (Auth::Required, required),
            (Auth::Optional, optional),
            (Auth::None, "anonymous"),
        ] {
            let fields: Vec<_> = header
                .iter()
                .map(|value| ("authorization", *value))
                .collect();
            let outcome = bench.identify(&mut Sent::plain(&fields), auth, NEITHER);
            assert_eq!(word(&outcome), expected, "{header:?} {auth:?}");
        }
    }
}

#[test]
fn two_different_credentials_are_refused() {
    let bench = Bench::new();
    let (one, other) = (
        bench.token(SessionId::random()),
        bench.token(SessionId::random()),
    );
    let (first, second) = (format!("Bearer {one}"), format!("Bearer {other}"));
    let carried = format!("agentflow-bearer, {other}");
    let same = format!("agentflow-bearer, {one}");
    let query = format!("a=1&token={other}");
    let doubled = format!("token={one}&%74oken={other}");
    for (headers, query, expected) in [
        (
            vec![("authorization", &first), ("authorization", &second)],
            None,
            "ambiguous",
        ),
        (
            vec![
                ("authorization", &first),
                ("sec-websocket-protocol", &carried),
            ],
            None,
            "ambiguous",
        ),
        (
            vec![("authorization", &first), ("sec-websocket-protocol", &same)],
            None,
            "bearer",
        ),
        (
            vec![("authorization", &first)],
            Some(query.as_str()),
            "ambiguous",
        ),
        (
            vec![("sec-websocket-protocol", &same)],
            Some(query.as_str()),
            "ambiguous",
        ),
        (
            vec![("sec-websocket-protocol", &carried)],
            Some(query.as_str()),
            "subprotocol",
        ),
        (vec![], Some(doubled.as_str()), "ambiguous"),
        (vec![], Some(query.as_str()), "query"),
    ] {
        let headers: Vec<_> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let outcome = bench.identify(&mut Sent::new(&headers, query, true), Auth::Required, BOTH);
        assert_eq!(word(&outcome), expected, "{headers:?} {query:?}");
    }
}

#[test]
fn a_route_that_does_not_read_the_other_places_takes_tokens_out_of_them() {
    let bench = Bench::new();
    let token = bench.token(SessionId::random());
    for (list, left) in [
        (format!("agentflow-bearer, {token}"), None),
        (format!("AgentFlow-Bearer,{token}, chat"), Some("chat")),
        (
            format!("chat, 10xgraph-bearer, {token}, v2"),
            Some("chat, v2"),
        ),
        (format!("{token}, agentflow-bearer"), None),
        (String::from("agentflow-bearer"), None),
        (String::from("graphql-ws, chat"), Some("graphql-ws, chat")),
    ] {
        for auth in [Auth::None, Auth::Optional] {
            let query = format!("tok%65n={token}&a=1&token");
            let mut sent = Sent::new(&[("sec-websocket-protocol", &list)], Some(&query), true);
            let outcome = bench.identify(&mut sent, auth, NEITHER);
            assert_eq!(word(&outcome), "anonymous", "{list}");
            let kept = sent.headers.get("sec-websocket-protocol");
            assert_eq!(kept.map(|v| v.to_str().unwrap()), left, "{list}");
            assert_eq!(sent.path.query(), Some("a=1"), "{list}");
        }
    }
}

#[test]
fn a_token_in_an_opted_in_place_becomes_the_bearer() {
    let bench = Bench::new();
    let token = bench.token(SessionId::random());
    let list = format!("10xgraph-bearer, {token}");
    let headers = [("sec-websocket-protocol", list.as_str())];
    // AgentFlow reads the subprotocol of plain requests, too.
    for websocket in [true, false] {
        let mut sent = Sent::new(&headers, None, websocket);
        let outcome = bench.identify(&mut sent, Auth::Required, BOTH).unwrap();
        let Caller::Identified(identity) = outcome else {
            panic!("not identified");
        };
        assert_eq!(
            identity.credential,
            Credential::Subprotocol("10xgraph-bearer")
        );
        assert_eq!(sent.headers["authorization"], format!("Bearer {token}"));
        assert!(sent.headers["authorization"].is_sensitive());
        assert!(!sent.headers.contains_key("sec-websocket-protocol"));
    }
}

#[test]
fn a_plain_requests_own_token_parameter_is_left_alone() {
    let bench = Bench::new();
    let mut sent = Sent::new(&[], Some("token=reset-123"), false);
    let outcome = bench.identify(&mut sent, Auth::Optional, BOTH);
    assert_eq!(word(&outcome), "anonymous");
    assert_eq!(sent.path.query(), Some("token=reset-123"));
}

#[test]
fn a_remembered_token_still_expires() {
    let bench = Bench::new();
    let token = bench.token(SessionId::random());
    assert_eq!(word(&bench.verdict(&token)), "bearer");
    assert_eq!(bench.authenticator.cache().len(), 1);
    bench.revocations.heard(bench.clock.steady());
    bench.clock.advance(Duration::from_secs(900 + 29));
    bench.revocations.heard(bench.clock.steady());
    assert_eq!(word(&bench.verdict(&token)), "bearer");
    bench.clock.advance(Duration::from_secs(1));
    let refused = bench.verdict(&token).unwrap_err();
    assert!(
        matches!(refused, AuthnError::Token(TokenError::Expired)),
        "{refused}"
    );
}

#[test]
fn a_remembered_token_dies_with_its_session_at_once() {
    let bench = Bench::new();
    let (mine, other) = (SessionId::random(), SessionId::random());
    let (token, kept) = (bench.token(mine), bench.token(other));
    assert_eq!(word(&bench.verdict(&token)), "bearer");
    assert_eq!(word(&bench.verdict(&kept)), "bearer");
    bench
        .revocations
        .add([(Revocation::Session(mine), NOW + Duration::from_secs(900))]);
    assert_eq!(word(&bench.verdict(&token)), "revoked");
    assert_eq!(
        word(&bench.verdict(&token)),
        "revoked",
        "not on the second try either"
    );
    assert_eq!(word(&bench.verdict(&kept)), "bearer");
}

#[test]
fn a_token_without_a_session_is_revoked_by_its_subject() {
    let bench = Bench::new();
    let forged = |claims: &str| {
        let payload = format!(r#"{{"sub":"u1","exp":{}{claims}}}"#, NOW.seconds() + 60);
        jws::forge(r#"{"alg":"HS256"}"#, &payload, &material(Algorithm::Hs256))
    };
    let old = forged(&format!(r#","iat":{}"#, NOW.seconds() - 10));
    let dateless = forged("");
    let new = forged(&format!(r#","iat":{}"#, NOW.seconds() + 5));
    let revocation = Revocation::Subject {
        subject: String::from("u1"),
        until: NOW,
    };
    bench
        .revocations
        .add([(revocation, NOW + Duration::from_secs(900))]);
    assert_eq!(word(&bench.verdict(&old)), "revoked");
    assert_eq!(word(&bench.verdict(&dateless)), "revoked");
    assert_eq!(word(&bench.verdict(&new)), "bearer");
}

/// C30: an entry is good for the rules of the request, not for those it was made under.
#[test]
fn remembered_tokens_are_judged_by_the_rules_of_now() {
    let mut bench = Bench::new();
    let token = bench.token(SessionId::random());
    assert_eq!(word(&bench.verdict(&token)), "bearer");

    bench.tokens = rules("a");
    assert_eq!(word(&bench.verdict(&token)), "bearer", "a reload keeps it");

    bench.tokens.issuer = Some("https://api.example.com".into());
    let refused = bench.verdict(&token).unwrap_err();
    assert!(
        matches!(refused, AuthnError::Token(TokenError::Issuer)),
        "{refused}"
    );

    bench.tokens = rules("renamed");
    assert_eq!(word(&bench.verdict(&token)), "token", "its key is gone");

    let other = Secret::new(b"fedcba9876543210".repeat(4));
    let other = Material::from_secret(Algorithm::Hs256, &other).unwrap();
    let ring = KeyRing::new(vec![key("a", other, KeyUse::Sign)]).unwrap();
    bench.tokens = Tokens::new(ring);
    assert_eq!(
        word(&bench.verdict(&token)),
        "token",
        "another key has its name"
    );
}

#[test]
fn a_key_that_was_renamed_verifies_remembered_tokens_without_a_kid_anew() {
    let mut bench = Bench::new();
    let payload = format!(r#"{{"sub":"u1","exp":{}}}"#, NOW.seconds() + 60);
    let token = jws::forge(r#"{"alg":"HS256"}"#, &payload, &material(Algorithm::Hs256));
    assert_eq!(word(&bench.verdict(&token)), "bearer");
    bench.tokens = rules("renamed");
    assert_eq!(word(&bench.verdict(&token)), "bearer");
}

#[test]
fn nobody_is_believed_when_no_news_of_revocations_has_come_for_too_long() {
    let bench = Bench::new();
    let token = bench.token(SessionId::random());
    bench.clock.advance(Duration::from_secs(600));
    assert_eq!(word(&bench.verdict(&token)), "bearer");
    bench.clock.advance(Duration::from_millis(1));
    assert_eq!(word(&bench.verdict(&token)), "unavailable");
    bench.revocations.heard(bench.clock.steady());
    assert_eq!(word(&bench.verdict(&token)), "bearer");
}

#[test]
fn the_cache_is_bounded_in_bytes() {
    let clock = Clock::manual(NOW);
    let revocations = Revocations::new(clock.clone());
    let size = CacheSize {
        entries: 16,
        bytes: 64 * 1024,
    };
    let bench = Bench {
        authenticator: Authenticator::new(size, revocations.clone(), clock.clone()),
        revocations,
        clock,
        tokens: rules("a"),
    };
    for _ in 0..500 {
        let token = bench.token(SessionId::random());
        assert_eq!(word(&bench.verdict(&token)), "bearer");
    }
    assert!(bench.authenticator.cache().len() < 60);
}

#[test]
fn refused_tokens_are_not_remembered() {
    let bench = Bench::new();
    for n in 0..50 {
        let garbage = format!("{}.{n}.x", bench.token(SessionId::random()));
        assert_eq!(word(&bench.verdict(&garbage)), "token");
    }
    assert!(bench.authenticator.cache().is_empty());
}
