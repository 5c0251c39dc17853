//! Those who have accounts: each remembers what was acknowledged, and expects it to be so.

pub mod visits;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::dice::Dice;
use super::sessions::{Account, Credential, Ended, Session};
use super::weather::Organ;
use super::world::World;
use crate::suite::harness::client::Call;
use crate::suite::harness::{Answer, Client};

/// A revoked session is refused by every node that hears of the database: docs/operations.md.
pub const REVOKED: Duration = Duration::from_secs(2);

/// A lost refresh is made again before this, and not after it: `refresh_grace` with a margin.
const GRACE: Duration = Duration::from_secs(8);

/// Between two things that a person does.
const PAUSE_MS: usize = 250;

/// So often a person changes a password, then makes a new account: more would use up what wrong
/// passwords are borne, since the old one is tried each time.
const PASSWORDS: usize = 6;

static NEXT: AtomicU64 = AtomicU64::new(0);

/// What became of a request to change something.
enum Fate {
    Done(Box<Answer>),
    /// Certainly nothing: too many requests.
    Refused,
    /// Perhaps, now or within a minute.
    Unknown,
}

/// One person after the other: whoever has lost track of an account makes a new one.
pub struct Person {
    world: Arc<World>,
    dice: Dice,
    account: Option<Account>,
    sessions: Vec<Session>,
    /// Accounts that were left as they are, with what was acknowledged.
    pub left: Vec<(Account, Vec<Session>)>,
}

impl Person {
    pub fn new(world: &Arc<World>, dice: Dice) -> Self {
        Self {
            world: Arc::clone(world),
            dice,
            account: None,
            sessions: Vec::new(),
            left: Vec::new(),
        }
    }

    /// Goes on until the world ends; gives all accounts.
    pub async fn live(mut self) -> Vec<(Account, Vec<Session>)> {
        while self.world.goes_on() {
            self.act().await;
            let pause = Duration::from_millis(self.dice.below(2 * PAUSE_MS) as u64);
            tokio::time::sleep_until((Instant::now() + pause).into()).await;
        }
        self.leave();
        self.left
    }

    async fn act(&mut self) {
        let now = Instant::now();
        self.sessions
            .retain(|session| session.good_until > now + Duration::from_secs(60));
        let Some(account) = self.account.clone() else {
            return self.register().await;
        };
        if self.sessions.is_empty() {
            return self.log_in(&account).await;
        }
        match self.dice.below(100) {
            0..60 => self.request(&account).await,
            60..68 => self.several(&account).await,
            68..76 => self.public().await,
            76..84 => self.refresh().await,
            84..88 => self.log_in(&account).await,
            88..93 => self.log_out().await,
            93..97 => self.stream(&account).await,
            _ if account.changes < PASSWORDS => self.change_password(account).await,
            _ => self.leave(),
        }
    }

    /// Leaves the account as it is.
    fn leave(&mut self) {
        if let Some(account) = self.account.take() {
            self.left
                .push((account, std::mem::take(&mut self.sessions)));
        }
    }

    /// What became of the account is not known: nothing more is expected of it.
    fn give_up(&mut self) {
        self.world.findings.count("accounts given up");
        self.account = None;
        self.sessions.clear();
    }

    fn node(&mut self) -> (usize, Client) {
        let node = self.dice.below(3);
        let client = self.world.nodes[node].https.clone();
        let client = match &self.account {
            Some(account) => client.from(&account.from),
            None => client,
        };
        match self.dice.percent(40) {
            true => (node, client.h2()),
            false => (node, client),
        }
    }

    /// A change at an endpoint of ours, which answers `done` where all is well.
    async fn change(&mut self, what: &'static str, done: u16, (node, call): (usize, Call)) -> Fate {
        let since = Instant::now();
        let needs = [Organ::Node(node), Organ::Postgres];
        let Some(answer) = self.world.ask(&needs[..1], what, call).await else {
            return Fate::Unknown;
        };
        match answer.status.as_u16() {
            status if status == done => {
                self.world.findings.count(what);
                Fate::Done(Box::new(answer))
            }
            429 => {
                self.world.findings.count("changes limited");
                Fate::Refused
            }
            503 if !self.world.weather.was_well(&needs, since) => Fate::Unknown,
            status => {
                let told = answer.text();
                self.world
                    .wrong(format!("{what} at {node}: {status} {told}"));
                Fate::Unknown
            }
        }
    }

    async fn register(&mut self) {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let (low, high) = (number % 250 + 1, number / 250 % 250);
        let from = format!("127.1.{high}.{low}");
        let email = format!("person-{number}@example.com");
        let password = format!("horse battery {number}");
        let node = self.dice.below(3);
        let call = self.world.nodes[node].https.clone().from(&from);
        let body = json!({ "email": email, "password": password });
        let call = call.post("/auth/v1/register").json(body);
        let Fate::Done(answer) = self.change("registered", 201, (node, call)).await else {
            return;
        };
        let answer = answer.json();
        self.account = Some(Account {
            id: answer["user"]["id"].as_str().unwrap_or_default().to_owned(),
            email,
            password,
            from,
            changes: 0,
        });
        self.sessions = vec![Session::opened(&answer)];
    }

    async fn log_in(&mut self, account: &Account) {
        let (node, client) = self.node();
        if self.dice.percent(40) {
            let email = account.email.replace('@', "%40");
            let password = account.password.replace(' ', "+");
            let form = format!("username={email}&password={password}&remember=on");
            let call = client.post("/auth/login").form(&form);
            let call = call.header("sec-fetch-site", "same-origin");
            if let Fate::Done(answer) = self.change("logged in by form", 303, (node, call)).await {
                self.sessions.push(Session::by_cookie(&answer));
            }
            return;
        }
        let body = json!({ "email": account.email, "password": account.password });
        let call = client.post("/auth/v1/login").json(body);
        if let Fate::Done(answer) = self.change("logged in", 200, (node, call)).await {
            let answer = answer.json();
            if answer["user"]["id"] != account.id {
                let told = &answer["user"];
                self.world.wrong(format!("{account:?} logged in as {told}"));
            }
            self.sessions.push(Session::opened(&answer));
        }
    }

    /// A new pair of tokens: asked for again at once when the answer is lost.
    async fn refresh(&mut self) {
        let with = |session: &Session| session.refresh.is_some();
        let Some(at) = self.sessions.iter().position(with) else {
            return;
        };
        let mut session = self.sessions.swap_remove(at);
        let since = Instant::now();
        while since.elapsed() < GRACE {
            let (node, client) = self.node();
            let body = json!({ "refresh_token": session.refresh });
            let call = client.post("/auth/v1/refresh").json(body);
            let late = self.world.weather.lateness(since) + since.elapsed();
            if late > GRACE {
                break;
            }
            match self.change("refreshed", 200, (node, call)).await {
                Fate::Done(answer) => {
                    session = Session::opened(&answer.json());
                    return self.sessions.push(session);
                }
                Fate::Refused => return self.sessions.push(session),
                Fate::Unknown => self.world.findings.count("refreshes tried again"),
            }
        }
        self.world.findings.count("sessions given up");
    }

    async fn log_out(&mut self) {
        let at = self.dice.below(self.sessions.len());
        let session = self.sessions.swap_remove(at);
        self.end(session).await;
    }

    /// Ends a session; `true` when that was acknowledged.
    async fn end(&mut self, session: Session) -> bool {
        let (node, client) = self.node();
        let (path, done) = match session.credential {
            Credential::Bearer(_) => ("/auth/v1/logout", 204),
            Credential::Cookie(_) => ("/auth/logout", 303),
        };
        let call = session.credential.on(client.post(path));
        match self.change("logged out", done, (node, call)).await {
            Fate::Done(_) => {
                self.has_ended(session);
                true
            }
            Fate::Refused => {
                self.sessions.push(session);
                false
            }
            Fate::Unknown => false,
        }
    }

    fn has_ended(&self, session: Session) {
        let at = Instant::now();
        let ended = Ended { session, at };
        self.world.ended.lock().unwrap().push(ended);
    }

    /// A new password ends all sessions for a new one, and the old one opens nothing.
    async fn change_password(&mut self, mut account: Account) {
        let with = |session: &Session| session.refresh.is_some();
        let Some(at) = self.sessions.iter().position(with) else {
            return;
        };
        let (node, client) = self.node();
        let old = account.password.clone();
        let new = format!("{old} {}", self.dice.below(10));
        let body = json!({ "current_password": old, "new_password": new });
        let call = client.post("/auth/v1/password").json(body);
        let call = self.sessions[at].credential.on(call);
        match self.change("password changed", 200, (node, call)).await {
            Fate::Done(answer) => {
                let new = vec![Session::opened(&answer.json())];
                for ended in std::mem::replace(&mut self.sessions, new) {
                    self.has_ended(ended);
                }
            }
            Fate::Refused => return,
            Fate::Unknown => return self.give_up(),
        }
        account.password = new;
        account.changes += 1;
        self.account = Some(account.clone());
        // Who knows the old one, from elsewhere.
        let from = format!(
            "127.2.{}.{}",
            self.dice.below(250),
            self.dice.below(250) + 1
        );
        let node = self.dice.below(3);
        let client = self.world.nodes[node].https.clone().from(&from);
        let body = json!({ "email": account.email, "password": old });
        let call = client.post("/auth/v1/login").json(body);
        let needs = [Organ::Node(node)];
        let asked = self.world.ask(&needs, "the old password", call);
        if let Some(answer) = asked.await {
            let refused = matches!(answer.status.as_u16(), 401 | 429 | 503);
            self.world.findings.count("old passwords refused");
            if !refused {
                self.world
                    .wrong(format!("an old password: {}", answer.status));
            }
        }
    }
}
