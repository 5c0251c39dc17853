//! What a worker makes of session cookies, over a real database.

use std::net::{IpAddr, Ipv4Addr};

use tempfile::TempDir;

use super::*;
use crate::accounts::samples;
use crate::accounts::{Account, Device, Origin, Proof};
use crate::authn::algorithm::Algorithm;
use crate::authn::keys::tests::{key, material};
use crate::authn::keys::{KeyRing, KeyUse};
use crate::inbound::cookie::SessionCookie;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// One worker over a database of its own, under a clock that the test turns.
struct World {
    clock: Clock,
    accounts: Accounts,
    sessions: Sessions,
    tokens: Tokens,
    ann: Account,
    _folder: TempDir,
}

impl World {
    async fn new() -> Self {
        let clock = Clock::manual(Timestamp::from_seconds(1_800_000_000));
        let (accounts, folder) = samples::open(&clock).await;
        let ann = samples::ann(&accounts, &origin()).await;
        let ring = KeyRing::new(vec![key("a", material(Algorithm::Hs256), KeyUse::Sign)]);
        Self {
            sessions: worker(&accounts, &clock),
            tokens: Tokens::new(ring.unwrap()),
            clock,
            accounts,
            ann,
            _folder: folder,
        }
    }

    async fn log_in(&self, keep: Keep) -> String {
        let device = Device::new(Some("test/1"), Some(client()));
        let proof = Proof::by_password(self.ann.clone());
        let opened = self.accounts.open_in_browser(&proof, device, keep);
        opened.await.unwrap().cookie
    }

    async fn judge(&self, cookie: &str) -> Result<Option<Named>, AuthnError> {
        let shown = (&SessionCookie::OfHost, cookie);
        self.sessions.judge(shown, client(), &self.tokens).await
    }

    async fn is_good(&self, cookie: &str) -> bool {
        self.judge(cookie).await.unwrap().is_some()
    }

    /// As a running gateway does: what other processes did is heard of.
    async fn turn(&self, by: Duration) {
        self.clock.advance(by);
        self.accounts.revocations().heard(self.clock.steady());
    }
}

fn worker(accounts: &Accounts, clock: &Clock) -> Sessions {
    let (size, control) = (CacheSize::default(), Handle::current());
    Sessions::new(size, accounts.clone(), control, clock.clone())
}

fn client() -> ClientIp {
    ClientIp::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)))
}

fn origin() -> Origin {
    Origin::client(client())
}

#[tokio::test]
async fn a_cookie_names_its_account_as_a_token_would() {
    let world = World::new().await;
    let cookie = world.log_in(Keep::UntilClosed).await;
    let named = world.judge(&cookie).await.unwrap().unwrap();
    assert_eq!(named.claims.subject(), world.ann.id.to_string());
    assert_eq!(named.claims.text("email"), Some("ann@example.com"));
    assert!(named.claims.session().is_some());
    assert!(named.renewal.is_none());
}

#[tokio::test]
async fn what_was_made_up_is_refused_without_the_database_and_kept_nowhere() {
    let world = World::new().await;
    let cookie = world.log_in(Keep::UntilClosed).await;
    world.accounts.close().await;
    let refresh_like = cookie.replacen('A', "B", 1);
    let long = "A".repeat(4000);
    for made_up in ["", "x", "AAAA", &refresh_like, &cookie[1..], &long] {
        assert!(!world.is_good(made_up).await, "{made_up}");
    }
    assert_eq!(world.sessions.known.borrow().len(), 0);
    // A real one needs it, and is neither refused nor believed.
    let error = world.judge(&cookie).await.unwrap_err();
    assert!(matches!(error, AuthnError::Store(_)), "{error}");
    assert!(matches!(
        error.cookie_fate(),
        super::super::CookieFate::Leave
    ));
}

#[tokio::test]
async fn a_known_session_goes_on_without_the_database_until_it_expires() {
    let world = World::new().await;
    let cookie = world.log_in(Keep::UntilClosed).await;
    assert!(world.is_good(&cookie).await);
    world.accounts.close().await;
    // The longer nobody hears of it, the longer nothing is forgotten either.
    let tokens = Tokens {
        max_staleness: DAY,
        ..world.tokens.clone()
    };
    for _ in 0..3 {
        world.clock.advance(HOUR / 2);
        let judged = world
            .sessions
            .judge((&SessionCookie::OfHost, &cookie), client(), &tokens)
            .await;
        assert!(judged.unwrap().is_some());
    }
    world.turn(DAY).await;
    assert!(matches!(
        world.judge(&cookie).await,
        Err(AuthnError::Store(_))
    ));
}

/// Its end might have been heard of in between, and forgotten again.
#[tokio::test]
async fn a_session_that_was_not_looked_at_for_long_is_not_believed_without_the_database() {
    let world = World::new().await;
    let cookie = world.log_in(Keep::Remembered).await;
    assert!(world.is_good(&cookie).await);
    world.turn(OLDEST).await;
    world.accounts.close().await;
    let error = world.judge(&cookie).await.unwrap_err();
    assert!(matches!(error, AuthnError::Store(_)), "{error}");
}

#[tokio::test]
async fn nobody_is_believed_when_no_news_of_revocations_came_for_long() {
    let world = World::new().await;
    let cookie = world.log_in(Keep::UntilClosed).await;
    assert!(world.is_good(&cookie).await);
    world
        .clock
        .advance(world.tokens.max_staleness + Duration::from_secs(1));
    let error = world.judge(&cookie).await.unwrap_err();
    assert!(matches!(error, AuthnError::Unavailable), "{error}");
}

#[tokio::test]
async fn a_session_that_ends_is_over_at_once_for_every_worker() {
    let world = World::new().await;
    let other = worker(&world.accounts, &world.clock);
    let cookie = world.log_in(Keep::Remembered).await;
    assert!(world.is_good(&cookie).await);
    let judged = other
        .judge((&SessionCookie::OfHost, &cookie), client(), &world.tokens)
        .await;
    assert!(judged.unwrap().is_some());
    let from = origin();
    let ending = world.accounts.end_session_of_cookie(&cookie, &from);
    ending.await.unwrap();
    assert!(!world.is_good(&cookie).await);
    let judged = other
        .judge((&SessionCookie::OfHost, &cookie), client(), &world.tokens)
        .await;
    assert!(judged.unwrap().is_none());
}

#[tokio::test]
async fn a_session_without_use_ends_and_one_in_use_lives_to_its_absolute_end() {
    let world = World::new().await;
    for (keep, idle) in [(Keep::UntilClosed, DAY), (Keep::Remembered, 30 * DAY)] {
        let unused = world.log_in(keep).await;
        world.turn(idle).await;
        assert!(!world.is_good(&unused).await);
    }
    let used = world.log_in(Keep::Remembered).await;
    for days in (29..365).step_by(29) {
        world.turn(29 * DAY).await;
        let named = world.judge(&used).await.unwrap().unwrap();
        let renewal = named.renewal.expect("a renewed cookie");
        let age = (365 - days).min(30) * 86_400;
        let age = format!("Max-Age={age};");
        assert!(
            renewal.to_str().unwrap().contains(&age),
            "{renewal:?} {age}"
        );
        world.accounts.write_uses().await.unwrap();
    }
    world.turn(29 * DAY).await;
    assert!(!world.is_good(&used).await);
}

#[tokio::test]
async fn a_use_at_the_last_moment_holds_for_every_worker_before_it_is_written() {
    let world = World::new().await;
    let other = worker(&world.accounts, &world.clock);
    let cookie = world.log_in(Keep::UntilClosed).await;
    world.turn(DAY - Duration::from_secs(1)).await;
    assert!(world.is_good(&cookie).await);
    world.turn(Duration::from_secs(1)).await;
    let judged = other
        .judge((&SessionCookie::OfHost, &cookie), client(), &world.tokens)
        .await;
    assert!(judged.unwrap().is_some());
}

#[tokio::test]
async fn the_use_of_a_session_is_recorded_once_an_hour() {
    let world = World::new().await;
    let cookie = world.log_in(Keep::UntilClosed).await;
    let opened_at = world.clock.now();
    let last_used = async || {
        world.accounts.write_uses().await.unwrap();
        let sessions = world.accounts.sessions(world.ann.id).await.unwrap();
        sessions[0].last_used_at
    };
    for _ in 0..59 {
        world.turn(Duration::from_secs(60)).await;
        assert!(world.is_good(&cookie).await);
        assert_eq!(last_used().await, opened_at);
    }
    world.turn(Duration::from_secs(60)).await;
    assert!(world.is_good(&cookie).await);
    assert_eq!(last_used().await, opened_at + HOUR);
}
