//! The end: what was acknowledged is there, nothing has grown, and no log tells of a mistake.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::backend::ENTITLED;
use super::dice::Dice;
use super::sessions::{Account, Session};
use super::strangers::stays_ended;
use super::weather::Organ;
use super::world::{DRAINED, World};

/// Ended sessions that are tried once more.
const GHOSTS: usize = 1000;

/// What a node keeps open at rest beside what it had at its start: connections to the database
/// (10) and to Redis (2), and one or two that are being opened.
const MORE_FILES: u64 = 16;

/// Connections that nobody uses are closed after `idle_timeout`, 60 s.
const AT_REST: Duration = Duration::from_secs(90);

/// How much more memory than in the middle third of the run the last third may take: a fifth, and what the
/// allocator keeps of a burst.
const MORE_MEMORY: u64 = 16 << 20;

/// A node as the system sees it.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub files: u64,
    pub threads: u64,
    pub memory: u64,
}

impl Size {
    /// Of the first node, which is never stopped.
    pub async fn of(world: &World) -> Self {
        let gateway = world.nodes[0].gateway.lock().await;
        let process = gateway.as_ref().unwrap().process().id();
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let field = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next());
            number.unwrap().parse().unwrap()
        };
        let files = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap();
        Self {
            files: files.count() as u64,
            threads: field("Threads:"),
            memory: field("VmRSS:") * 1024,
        }
    }
}

/// Everything that was acknowledged is so, on every node.
pub async fn what_was_acknowledged(
    world: &Arc<World>,
    accounts: Vec<(Account, Vec<Session>)>,
    mut dice: Dice,
) {
    let sessions: usize = accounts.iter().map(|(_, sessions)| sessions.len()).sum();
    let ended = world.ended.lock().unwrap().clone();
    world.findings.say(&format!(
        "{} accounts, {sessions} sessions, {} ended ones",
        accounts.len(),
        ended.len()
    ));
    let mut all = JoinSet::new();
    for (account, sessions) in accounts {
        if all.len() >= 16 {
            all.join_next().await.unwrap().unwrap();
        }
        let world = Arc::clone(world);
        all.spawn(async move { is_there(&world, &account, &sessions).await });
    }
    while let Some(done) = all.join_next().await {
        done.unwrap();
    }
    for _ in 0..GHOSTS.min(ended.len()) {
        let ended = dice.pick(&ended).clone();
        if ended.session.good_until > Instant::now() {
            stays_ended(world, &mut dice, &ended).await;
        }
    }
}

async fn is_there(world: &World, account: &Account, sessions: &[Session]) {
    for (node, part) in world.nodes.iter().enumerate() {
        let needs = [Organ::Node(node)];
        let client = part.https.clone().from(&account.from);
        let body = json!({ "email": account.email, "password": account.password });
        let call = client.post("/auth/v1/login").json(body);
        match world.ask(&needs, "the last log-in", call).await {
            Some(answer) if answer.status == 200 && answer.json()["user"]["id"] == account.id => {}
            answer => {
                let told = answer.map(|answer| answer.text());
                world.wrong(format!("{account:?} is lost at {node}: {told:?}"));
            }
        }
        for session in sessions {
            if session.good_until < Instant::now() {
                continue;
            }
            let call = client.get("/app/x").header(ENTITLED, &account.id);
            let call = session.credential.on(call);
            let answer = world.ask(&needs, "the last request", call).await;
            if answer.as_ref().is_none_or(|answer| answer.status != 200) {
                world.wrong(format!(
                    "a session of {account:?} is lost at {node}: {answer:?}"
                ));
            }
        }
    }
}

/// At rest the first node has what it had at its start, and took no more and more memory.
pub async fn what_has_grown(world: &World, before: Size, memory: &[u64]) {
    let since = Instant::now();
    let mut now = Size::of(world).await;
    while now.files > before.files + MORE_FILES && since.elapsed() < AT_REST {
        tokio::time::sleep_until((Instant::now() + Duration::from_millis(500)).into()).await;
        now = Size::of(world).await;
    }
    world
        .findings
        .say(&format!("at the start {before:?}, now {now:?}"));
    if now.files > before.files + MORE_FILES || now.threads > before.threads + 4 {
        world.wrong(format!("from {before:?} to {now:?}"));
    }
    let third = memory.len() / 3;
    let most = |part: &[u64]| part.iter().max().copied().unwrap_or_default();
    let (middle, last) = (most(&memory[third..2 * third]), most(&memory[2 * third..]));
    let told = format!("at most {middle} octets in the middle, {last} in the end");
    world.findings.say(&told);
    if last > middle + middle / 5 + MORE_MEMORY {
        world.wrong(told);
    }
    for node in 0..3 {
        let metrics = world.metrics(node).await;
        for line in metrics.lines().filter(|line| !line.starts_with('#')) {
            let at_rest = [
                "portcullis_panics_total",
                "portcullis_streams ",
                "portcullis_upstream_outstanding",
                "portcullis_degraded",
                "portcullis_log_lines_dropped_total",
            ];
            let is_one = at_rest.iter().any(|name| line.starts_with(name));
            if is_one && !line.ends_with(" 0") {
                world.wrong(format!("node {node} at rest: {line}"));
            }
        }
    }
}

/// All nodes end in time, and no log has an error but those of the faults.
pub async fn what_is_left(world: &World) {
    for (node, part) in world.nodes.iter().enumerate() {
        let gateway = part.gateway.lock().await.take().unwrap();
        let since = Instant::now();
        let stopped = gateway.stop().await;
        let took = since.elapsed();
        if took > DRAINED + world.weather.lateness(since) || !stopped.status.success() {
            world.wrong(format!(
                "node {node} ended after {took:?}: {}",
                stopped.status
            ));
        }
        world.logs.lock().unwrap().push_str(&stopped.log);
    }
    let logs = world.logs.lock().unwrap().clone();
    let mut lines = 0;
    for line in logs.lines() {
        lines += 1;
        let told: Value = serde_json::from_str(line).unwrap_or_default();
        let message = told["fields"]["message"]
            .as_str()
            .or(told["message"].as_str());
        let excused = message.is_some_and(|message| {
            // PostgreSQL hung, and a configuration that was wrong.
            message == "changes cannot be stored"
                || message.starts_with("the configuration was not changed")
        });
        let is_error = told["level"] == "ERROR" || line.contains("panicked");
        if is_error && !excused {
            world.wrong(format!("a node wrote: {line}"));
        }
    }
    world
        .findings
        .say(&format!("{lines} lines of the nodes' logs"));
    assert!(lines > 0, "the nodes wrote nothing");
}
