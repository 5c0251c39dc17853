//! Keys as one worker meets them, over a real database that comes and goes.

use tempfile::TempDir;

use super::*;
use crate::accounts::samples;
use crate::accounts::{
    Binding, DisplayName, Factors, IssuedKey, KeyOwner, NewApiKey, Origin, Role, ServiceAccount,
    ServiceName, SessionId, Status, WrittenBinding,
};
use crate::authn::AccessTokenClaims;

/// One worker, the accounts beside it, and their clock.
struct Bench {
    keys: ApiKeys,
    accounts: Accounts,
    clock: Clock,
    service: ServiceAccount,
    _folder: TempDir,
}

impl Bench {
    async fn new() -> Self {
        let clock = Clock::manual(Timestamp::from_seconds(1_800_000_000));
        let (accounts, folder) = samples::open(&clock).await;
        let name = ServiceName::parse("ci").unwrap();
        let roles = vec![Role::parse("bot").unwrap()];
        let service = accounts.add_service(name, roles, &Origin::gateway()).await;
        let keys = ApiKeys::new(CacheSize::default(), accounts.clone(), Handle::current());
        Self {
            keys,
            accounts,
            clock,
            service: service.unwrap().unwrap(),
            _folder: folder,
        }
    }

    async fn issue(&self, binding: WrittenBinding) -> IssuedKey {
        let new = NewApiKey {
            name: DisplayName::parse("n").unwrap(),
            binding: Binding::parse(&binding).unwrap(),
            lifetime: None,
        };
        let owner = KeyOwner::Service(self.service.id);
        let origin = Origin::gateway();
        let issued = self.accounts.create_api_key(owner, new, &origin).await;
        issued.unwrap()
    }

    async fn show(&self, text: &str) -> Result<Identity, AuthnError> {
        let at = Use {
            client: ClientIp::new("192.0.2.1".parse().unwrap()),
            route: "app",
            attributes: &[],
        };
        self.keys.identify(text, at, &self.clock).await
    }

    /// The roles that the key gives, or why it gives none.
    async fn roles(&self, key: &IssuedKey) -> Result<Vec<String>, String> {
        let shown = self.show(key.text.expose()).await;
        let identity = shown.map_err(|error| told(&error))?;
        let roles = identity.claims.roles().iter();
        Ok(roles.map(ToString::to_string).collect())
    }

    fn turn(&self, by: Duration) {
        self.clock.advance(by);
    }
}

/// An error and its cause, as the log has them.
fn told(error: &AuthnError) -> String {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    format!("{error}: {}", cause.unwrap_or_default())
}

fn bot() -> Result<Vec<String>, String> {
    Ok(vec![String::from("bot")])
}

#[tokio::test]
async fn what_this_gateway_did_not_make_is_not_looked_up() {
    let bench = Bench::new().await;
    let key = bench.issue(WrittenBinding::default()).await;
    let text = key.text.expose();
    let another = if text.ends_with('x') { 'y' } else { 'x' };
    // From now on every look-up fails.
    bench.accounts.close().await;
    for forged in [
        format!("{}{another}", &text[..58]),
        text[..58].to_owned(),
        format!("{text}{text}"),
        format!("{text}{}", "0".repeat(100_000)),
    ] {
        let refused = bench.show(&forged).await;
        assert!(
            matches!(refused, Err(AuthnError::ApiKey(KeyError::Foreign))),
            "{refused:?}"
        );
    }
    let unknown = bench.show(text).await;
    assert!(
        matches!(unknown, Err(AuthnError::Unavailable)),
        "{unknown:?}"
    );
}

#[tokio::test]
async fn a_remembered_key_goes_on_while_the_database_is_away_and_not_for_ever() {
    let bench = Bench::new().await;
    let (key, revoked) = (
        bench.issue(WrittenBinding::default()).await,
        bench.issue(WrittenBinding::default()).await,
    );
    assert_eq!(bench.roles(&key).await, bot());
    assert_eq!(bench.roles(&revoked).await, bot());
    let revocation = crate::accounts::Revocation::Session(revoked.key.id.as_session());
    bench.accounts.close().await;
    for _ in 0..10 {
        bench.turn(AGAIN);
        assert_eq!(bench.roles(&key).await, bot());
    }
    // What another node revoked is heard of in some other way.
    let later = bench.clock.now() + Duration::from_secs(7200);
    bench.accounts.revocations().add([(revocation, later)]);
    assert!(bench.roles(&revoked).await.unwrap_err().contains("revoked"));
    assert_eq!(bench.roles(&key).await, bot());
    bench.turn(OLDEST);
    assert!(bench.roles(&key).await.is_err());
}

#[tokio::test]
async fn what_happens_to_a_key_or_its_owner_is_seen_by_the_next_request() {
    let bench = Bench::new().await;
    let key = bench.issue(WrittenBinding::default()).await;
    let (accounts, service, origin) = (&bench.accounts, bench.service.id, Origin::gateway());
    assert_eq!(bench.roles(&key).await, bot());
    let first = bench.show(key.text.expose()).await.unwrap().token;
    bench.turn(Duration::from_millis(1));
    let roles = vec![Role::parse("other").unwrap()];
    accounts
        .set_service_roles(service, roles, &origin)
        .await
        .unwrap();
    assert_eq!(bench.roles(&key).await, Ok(vec![String::from("other")]));
    let second = bench.show(key.text.expose()).await.unwrap().token;
    assert!(first != second, "what was minted before is not used again");

    bench.turn(Duration::from_millis(1));
    let set = |status| accounts.set_service_status(service, status, &origin);
    set(Status::Disabled).await.unwrap();
    assert!(bench.roles(&key).await.unwrap_err().contains("owner"));
    set(Status::Active).await.unwrap();
    bench.turn(REFUSED);
    assert!(bench.roles(&key).await.is_ok());
    let revoked = accounts.revoke_api_key(key.key.id, None, &origin).await;
    revoked.unwrap();
    assert!(bench.roles(&key).await.unwrap_err().contains("revoked"));
    bench.turn(Duration::from_secs(86_400));
    assert!(bench.roles(&key).await.unwrap_err().contains("revoked"));
}

#[tokio::test]
async fn a_key_that_is_no_good_is_looked_up_once_in_a_while() {
    let bench = Bench::new().await;
    let key = bench.issue(WrittenBinding::default()).await;
    let origin = Origin::gateway();
    let revoked = bench.accounts.revoke_api_key(key.key.id, None, &origin);
    revoked.await.unwrap();
    assert!(bench.roles(&key).await.unwrap_err().contains("revoked"));
    bench.accounts.close().await;
    assert!(bench.roles(&key).await.unwrap_err().contains("revoked"));
    bench.turn(REFUSED);
    let away = bench.show(key.text.expose()).await;
    assert!(matches!(away, Err(AuthnError::Unavailable)), "{away:?}");
}

#[tokio::test]
async fn a_key_is_held_to_its_networks_and_routes_at_each_request() {
    let bench = Bench::new().await;
    let elsewhere = bench.issue(WrittenBinding {
        networks: vec!["10.0.0.0/8".into()],
        ..WrittenBinding::default()
    });
    let other = bench.issue(WrittenBinding {
        routes: vec!["admin".into()],
        ..WrittenBinding::default()
    });
    let (elsewhere, other) = (elsewhere.await, other.await);
    for _ in 0..2 {
        let refused = bench.show(elsewhere.text.expose()).await;
        let network = told(&AuthnError::ApiKey(KeyError::Network));
        assert_eq!(told(&refused.unwrap_err()), network);
        let refused = bench.show(other.text.expose()).await;
        assert!(matches!(refused, Err(AuthnError::OtherRoute)));
    }
}

#[tokio::test]
async fn a_use_is_noted_once_an_hour() {
    let bench = Bench::new().await;
    let key = bench.issue(WrittenBinding::default()).await;
    let start = bench.clock.now();
    let minute = Duration::from_secs(60);
    let mut noted = Vec::new();
    for _ in 0..125 {
        assert_eq!(bench.roles(&key).await, bot());
        bench.accounts.write_key_uses().await;
        let found = bench.accounts.api_key(key.key.id).await.unwrap().unwrap();
        let last = found.last_used_at.unwrap();
        if noted.last() != Some(&last) {
            noted.push(last);
        }
        bench.turn(minute);
    }
    assert_eq!(noted, [start, start + 60 * minute, start + 120 * minute]);
}

#[tokio::test]
async fn a_users_key_says_of_its_owner_what_a_token_would() {
    let bench = Bench::new().await;
    let (accounts, origin) = (&bench.accounts, Origin::gateway());
    let ann = samples::ann(accounts, &origin).await;
    accounts.verify_email(&ann, &origin).await.unwrap();
    let new = NewApiKey {
        name: DisplayName::parse("n").unwrap(),
        binding: Binding::parse(&WrittenBinding::default()).unwrap(),
        lifetime: None,
    };
    let owner = KeyOwner::User(ann.id);
    let issued = accounts.create_api_key(owner, new, &origin).await.unwrap();
    let shown = bench.show(issued.text.expose()).await.unwrap();
    let session = SessionId::random();
    let ann = accounts.find(ann.id).await.unwrap().unwrap();
    let token = serde_json::to_value(
        AccessTokenClaims::of(&ann, (session, Factors::One), &[]).written(
            (bench.clock.now(), AGAIN),
            None,
            &[],
        ),
    );
    let of_a_token = ["exp", "iat", "jti", "sid"];
    for (name, value) in token.unwrap().as_object().unwrap() {
        if !of_a_token.contains(&name.as_str()) {
            assert_eq!(shown.claims.value(name), Some(value), "{name}");
        }
    }
    assert_eq!(shown.claims.value("email_verified"), Some(&true.into()));
}
