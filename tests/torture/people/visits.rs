//! What people ask the backends for, and what they expect of the answers.

use std::time::{Duration, Instant};

use http::StatusCode;
use tokio::time::timeout;

use super::{Person, REVOKED};
use crate::suite::harness::Answer;
use crate::suite::harness::client::Call;
use crate::torture::backend::{ANYBODY, ENTITLED, TAG, content};
use crate::torture::sessions::Account;
use crate::torture::weather::Organ;
use crate::torture::world::STALE;

/// A stream ends after its session.
const STREAM_ENDED: Duration = Duration::from_secs(5);

impl Person {
    /// One request on a protected route: what is known of an answer without knowing the gateway.
    pub(super) async fn request(&mut self, account: &Account) {
        let session = self.dice.pick(&self.sessions).clone();
        let (node, client) = self.node();
        let (path, backend) = *self.dice.pick(&[
            ("/app/x", &[][..]),
            ("/app/y", &[]),
            ("/frail/x", &[Organ::Frail]),
            ("/pair/x", &[Organ::Frail]),
        ]);
        let tag = self.world.tag();
        let call = match self.dice.percent(30) {
            true => client.post(path).bytes(content(&tag)),
            false => client.get(path),
        };
        let call = session.credential.on(call).header(ENTITLED, &account.id);
        let needs: Vec<_> = [Organ::Node(node)].iter().chain(backend).copied().collect();
        let since = Instant::now();
        let asked = self.world.ask_tagged(&needs, path, (call, &tag)).await;
        if let Some(answer) = asked {
            self.is_served(&needs, since, (path, &answer));
        }
    }

    /// A live session is served, or told that something is away; it is never refused.
    fn is_served(&self, needs: &[Organ], since: Instant, (path, answer): (&str, &Answer)) {
        let well = |organs: &[Organ]| self.world.weather.was_well(organs, since);
        let status = answer.status;
        if status == StatusCode::OK && answer.header(TAG).is_some() {
            self.world.findings.count("served");
            let stale = since.checked_sub(STALE + REVOKED).unwrap_or(since);
            let away = self.world.weather.was_ill_throughout(Organ::News, stale);
            if away {
                self.world
                    .wrong(format!("{path}: served without news for {STALE:?}"));
            }
            return;
        }
        let store = [Organ::Postgres];
        let excused = match status.as_u16() {
            503 => !well(&store) || !well(needs),
            502 | 504 => !well(needs),
            _ => false,
        };
        if !excused {
            let told = answer.text();
            let told = told.get(..200).unwrap_or(&told);
            self.world.wrong(format!(
                "{path} at {needs:?}: {status} {told:?} for a live session"
            ));
        }
        self.world.findings.count("excused");
    }

    /// Several requests on one connection: their answers lie beside each other on it.
    pub(super) async fn several(&mut self, account: &Account) {
        let session = self.dice.pick(&self.sessions).clone();
        let node = self.dice.below(3);
        let client = self.world.nodes[node]
            .https
            .clone()
            .h2()
            .from(&account.from);
        let (since, needs) = (Instant::now(), [Organ::Node(node)]);
        let exchange = async {
            let mut connection = client.try_connect().await.map_err(|e| format!("{e:?}"))?;
            let mut heads = Vec::new();
            for _ in 0..4 {
                let tag = self.world.tag();
                let call = session.credential.on(client.get("/app/several"));
                let call = call.header(ENTITLED, &account.id).header(TAG, &tag);
                let head = connection.send(call.build()).await;
                heads.push((tag, head.map_err(|e| format!("{e:?}"))?));
            }
            // From behind: the last one's body is waited for while the others come.
            while let Some((tag, head)) = heads.pop() {
                let answer = Answer::read(head).await.map_err(|e| format!("{e:?}"))?;
                self.world.is_well_formed(&tag, "/app/several", &answer);
                self.is_served(&needs, since, ("/app/several", &answer));
            }
            Ok::<_, String>(())
        };
        let done = timeout(Duration::from_secs(30), exchange).await;
        let done = done.unwrap_or_else(|_| Err(String::from("no end")));
        if let Err(why) = done
            && self.world.weather.was_well(&needs, since)
        {
            self.world.wrong(format!("several at {node}: {why}"));
        }
    }

    /// A public page, with headers that would make the backend believe somebody.
    pub(super) async fn public(&mut self) {
        let (node, client) = self.node();
        let (since, needs) = (Instant::now(), [Organ::Node(node)]);
        let call = client.get("/public/x").header(ENTITLED, ANYBODY);
        let call = forged_identity(call).bearer("stale or made up");
        let Some(answer) = self.world.ask(&needs, "/public/x", call).await else {
            return;
        };
        self.world.findings.count("public");
        if answer.status != StatusCode::OK && self.world.weather.was_well(&needs, since) {
            self.world
                .wrong(format!("/public/x at {node}: {}", answer.status));
        }
    }

    /// An event stream that is open when its session is ended on any node.
    pub(super) async fn stream(&mut self, account: &Account) {
        if self.sessions.len() < 2 {
            return;
        }
        let session = self.sessions.swap_remove(0);
        let (node, client) = self.node();
        let call = session.credential.on(client.get("/app/events"));
        let call = call.header(ENTITLED, &account.id);
        let opening = async {
            let mut connection = client.try_connect().await.ok()?;
            let answer = connection.send(call.build()).await.ok()?;
            Some((connection, answer))
        };
        let opened = timeout(Duration::from_secs(30), opening).await;
        let Ok(Some((_connection, answer))) = opened else {
            return self.sessions.push(session);
        };
        if answer.status() != StatusCode::OK {
            return self.sessions.push(session);
        }
        if !self.end(session).await {
            return;
        }
        let since = Instant::now();
        let needs = [Organ::Node(node), Organ::Postgres];
        let ended = timeout(3 * STREAM_ENDED, Answer::read(answer)).await;
        let bound = STREAM_ENDED + self.world.weather.lateness(since);
        if (ended.is_err() || since.elapsed() > bound) && self.world.weather.was_well(&needs, since)
        {
            let took = since.elapsed();
            self.world.wrong(format!(
                "a stream at {node} outlived its session by {took:?}"
            ));
        }
        self.world.findings.count("streams ended");
    }
}

/// Headers by which a client says that it is somebody.
pub fn forged_identity(call: Call) -> Call {
    call.header("x-user-id", "forged")
        .header("X_User_Id", "forged")
        .header("x-user-email", "forged@example.com")
        .header("x-user_roles", "forged")
        .header("x-auth-user", "forged")
}
