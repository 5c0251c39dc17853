//! Streams under a clock that the test turns, over a real database.

use std::cell::Cell;
use std::rc::Rc;

use http::Method;
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Handle;

use super::*;
use crate::accounts::audit::Origin;
use crate::accounts::samples;
use crate::accounts::{Account, Binding, Device, DisplayName, KeyOwner, NewApiKey, Opened, Proof};
use crate::authn::Identity;
use crate::clock::Clock;
use crate::inbound::{CleanPath, ClientIp, Host};
use crate::streams::{Asked, Streams};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

type Judge = Box<dyn Fn(&Admitted, Tenure) -> Option<Tenure>>;
type Told = oneshot::Receiver<Cause>;

/// The rounds of one worker.
struct World {
    clock: Clock,
    accounts: Accounts,
    rounds: Rounds<Judge>,
    /// What the configuration says of everybody, and how often it was asked.
    permits: Rc<Cell<bool>>,
    judged: Rc<Cell<usize>>,
    ann: Account,
    _folder: TempDir,
}

impl World {
    async fn new() -> Self {
        let clock = Clock::manual(NOW);
        let (accounts, folder) = samples::open(&clock).await;
        let ann = samples::ann(&accounts, &origin()).await;
        let (permits, judged) = (Rc::new(Cell::new(true)), Rc::new(Cell::new(0)));
        let (permit, count) = (permits.clone(), judged.clone());
        let judge: Judge = Box::new(move |_, tenure| {
            count.set(count.get() + 1);
            permit.get().then_some(tenure)
        });
        let watch = Watch {
            streams: Streams::new(100),
            accounts: accounts.clone(),
            clock: clock.clone(),
            control: Handle::current(),
            judge,
        };
        Self {
            clock,
            accounts,
            rounds: Rounds::new(watch),
            permits,
            judged,
            ann,
            _folder: folder,
        }
    }

    async fn session(&self) -> Opened {
        let device = Device::new(Some("test/1"), None);
        let proof = Proof::by_password(self.ann.clone());
        self.accounts.open_session(&proof, device).await.unwrap()
    }

    /// Something of a caller with a token for a minute, which a refresh gives another minute.
    fn begin(&mut self, session: &Opened, term: Term) -> Told {
        let mut identity = self.identity(&json!({ "sid": session.id.to_string() }));
        identity.tenure.by = MINUTE;
        self.watch(identity, term)
    }

    fn identity(&self, more: &serde_json::Value) -> Identity {
        let mut claims = json!({ "sub": self.ann.id.to_string(), "exp": (NOW + MINUTE).seconds() });
        let more = more.as_object().unwrap().clone();
        claims.as_object_mut().unwrap().extend(more);
        Identity::sample(&claims)
    }

    fn watch(&mut self, identity: Identity, term: Term) -> Told {
        let admitted = Arc::new(Admitted {
            identity: Arc::new(identity),
            asked: Asked {
                host: Host::parse(b"localhost").unwrap(),
                path: CleanPath::from_path("/ws", None).unwrap(),
                method: Method::GET,
                client: ClientIp::new("192.0.2.7".parse().unwrap()),
                route: "ws".into(),
            },
        });
        let (teller, told) = oneshot::channel();
        self.rounds.entries.push(Entry::new(admitted, term, teller));
        told
    }

    /// Lets so much time pass, and then one round with its question.
    async fn after(&mut self, time: Duration) {
        self.clock.advance(time);
        self.rounds.round();
        if let Some(asking) = self.rounds.asking.take() {
            let lives = asking.await.unwrap();
            self.rounds.heard(&lives);
        }
    }
}

fn origin() -> Origin {
    Origin::client(ClientIp::new("192.0.2.7".parse().unwrap()))
}

#[track_caller]
fn assert_lives(told: &mut Told) {
    assert_eq!(told.try_recv(), Err(oneshot::error::TryRecvError::Empty));
}

#[tokio::test]
async fn a_stream_lives_on_while_its_session_is_refreshed_and_ends_when_it_is_not() {
    let mut world = World::new().await;
    let session = world.session().await;
    let mut told = world.begin(&session, Term::Stream);
    world.after(50 * SECOND).await;
    let device = Device::new(None, None);
    let token = session.refresh.expose();
    world.accounts.refresh(token, &device).await.unwrap();
    for _ in 0..6 {
        world.after(10 * SECOND).await;
        assert_lives(&mut told);
    }
    world.after(SECOND).await;
    assert_eq!(
        told.try_recv(),
        Ok(Cause::Expired),
        "a second after its end"
    );
}

#[tokio::test]
async fn a_request_that_was_sent_outlives_its_token_and_not_its_session() {
    let mut world = World::new().await;
    let (session, other) = (world.session().await, world.session().await);
    let mut told = world.begin(&session, Term::Sent);
    let mut others = world.begin(&other, Term::Sent);
    world.after(60 * MINUTE).await;
    assert_lives(&mut told);
    let origin = origin();
    let ended = world
        .accounts
        .end_session(world.ann.id, session.id, &origin);
    ended.await.unwrap();
    world.after(SECOND).await;
    assert_eq!(told.try_recv(), Ok(Cause::Revoked));
    assert_lives(&mut others);
    // Nobody used the other one for as long as a session lives.
    let left = other.expires_at.since(world.clock.now());
    world.after(left).await;
    world.after(SECOND).await;
    assert!(others.try_recv().is_ok());
}

#[tokio::test]
async fn without_the_database_what_runs_goes_on_and_what_has_expired_ends() {
    let mut world = World::new().await;
    let session = world.session().await;
    let mut told = world.begin(&session, Term::Stream);
    let mut identity = world.identity(&json!({ "sid": session.id.to_string() }));
    identity.tenure.max_staleness = 10 * SECOND;
    let mut wary = world.watch(identity, Term::Stream);
    world.after(SECOND).await;
    world.accounts.close().await;
    world.after(9 * SECOND).await;
    assert_lives(&mut wary);
    world.after(SECOND).await;
    assert_eq!(wary.try_recv(), Ok(Cause::Unknown), "no news for too long");
    world.after(50 * SECOND).await;
    assert_lives(&mut told);
    world.after(SECOND).await;
    assert_eq!(told.try_recv(), Ok(Cause::Unknown), "nobody can say");
}

#[tokio::test]
async fn another_configuration_judges_every_stream_once() {
    let mut world = World::new().await;
    let session = world.session().await;
    let mut told = world.begin(&session, Term::Stream);
    let token = world.identity(&json!({}));
    let mut nameless = world.watch(token, Term::Stream);
    world.after(SECOND).await;
    assert_eq!(world.judged.get(), 2, "it may have changed meanwhile");
    world.after(SECOND).await;
    assert_eq!(world.judged.get(), 2);
    world.rounds.watch.streams.judge_again();
    world.after(SECOND).await;
    assert_eq!(world.judged.get(), 4);
    assert_lives(&mut told);
    world.permits.set(false);
    world.rounds.watch.streams.judge_again();
    world.after(SECOND).await;
    assert_eq!(told.try_recv(), Ok(Cause::Denied));
    assert_eq!(nameless.try_recv(), Ok(Cause::Denied));
}

#[tokio::test]
async fn a_key_that_is_given_an_end_takes_its_streams_along() {
    let mut world = World::new().await;
    let new = NewApiKey {
        name: DisplayName::parse("ci").unwrap(),
        binding: Binding::default(),
        lifetime: None,
    };
    let (owner, origin) = (KeyOwner::User(world.ann.id), origin());
    let made = world.accounts.create_api_key(owner, new, &origin);
    let id = made.await.unwrap().key.id;
    let mut identity = world.identity(&json!({}));
    identity.tenure = Tenure {
        grounds: Grounds::Key {
            id,
            owner_until: None,
        },
        until: NEVER,
        ..identity.tenure
    };
    let mut told = world.watch(identity, Term::Stream);
    world.after(SECOND).await;
    let rotated = world.accounts.rotate_api_key(id, 5 * MINUTE, &origin).await;
    rotated.unwrap();
    for _ in 0..4 {
        world.after(MINUTE).await;
        assert_lives(&mut told);
    }
    world.after(MINUTE).await;
    assert_eq!(told.try_recv(), Ok(Cause::Expired));
}

#[tokio::test]
async fn a_clock_that_is_set_back_keeps_no_stream_alive() {
    let mut world = World::new().await;
    let session = world.session().await;
    let mut told = world.begin(&session, Term::Stream);
    let mut key = world.watch(world.identity(&json!({})), Term::Stream);
    world.after(SECOND).await;
    world.clock.jump(NOW - 60 * MINUTE);
    world.after(Duration::ZERO).await;
    world.after(MINUTE).await;
    assert_lives(&mut told);
    assert_lives(&mut key);
    world.after(MINUTE).await;
    assert_eq!(told.try_recv(), Ok(Cause::Expired));
    assert_eq!(key.try_recv(), Ok(Cause::Expired));
}

#[tokio::test]
async fn a_clock_that_jumps_forward_ends_what_has_expired_by_it() {
    let mut world = World::new().await;
    let session = world.session().await;
    let mut told = world.begin(&session, Term::Stream);
    world.after(SECOND).await;
    world.clock.jump(NOW + 2 * MINUTE);
    world.after(SECOND).await;
    assert_eq!(told.try_recv(), Ok(Cause::Expired));
}

#[tokio::test]
async fn a_session_that_nobody_uses_ends_streams_at_once_and_requests_with_their_token() {
    let mut world = World::new().await;
    let session = world.session().await;
    let left = session.expires_at.since(NOW);
    let mut identity = world.identity(&json!({ "sid": session.id.to_string() }));
    identity.tenure.until = session.expires_at + MINUTE;
    let mut stream = world.watch(identity.clone(), Term::Stream);
    let mut request = world.watch(identity.clone(), Term::Request);
    let mut sent = world.watch(identity, Term::Sent);
    world.after(left).await;
    world.after(SECOND).await;
    assert!(stream.try_recv().is_ok());
    assert_lives(&mut request);
    assert_lives(&mut sent);
    world.after(58 * SECOND).await;
    assert_lives(&mut request);
    assert_lives(&mut sent);
    world.after(2 * SECOND).await;
    assert!(request.try_recv().is_ok());
    assert!(sent.try_recv().is_ok());
}
