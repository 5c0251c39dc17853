//! The schedule: which faults are thrown when, how each begins and ends, and that all is well after it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::backend::{ANYBODY, ENTITLED, Mood};
use super::dice::Dice;
use super::weather::Organ;
use super::world::{DRAINED, World};
use crate::suite::harness::gateway::Stopped;
use crate::suite::harness::postgres::Stop;
use crate::suite::harness::{Config, certs};

/// After a fault all is well again, without a restart.
const RECOVERED: Duration = Duration::from_secs(20);

/// What is thrown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    NodeKilled,
    NodeDrained,
    NodeReloaded,
    NodeMisconfigured,
    RedisKilled,
    RedisHung,
    PostgresCrashed,
    PostgresHung,
    BackendDead,
    BackendHung,
    BackendGarbage,
    BackendCut,
}

use Fault::*;

const ALL: [Fault; 12] = [
    NodeKilled,
    NodeDrained,
    NodeReloaded,
    NodeMisconfigured,
    RedisKilled,
    RedisHung,
    PostgresCrashed,
    PostgresHung,
    BackendDead,
    BackendHung,
    BackendGarbage,
    BackendCut,
];

/// A fault that has begun.
struct Thrown {
    fault: Fault,
    node: usize,
    stopped: Option<Stopped>,
}

impl Fault {
    /// What is not well meanwhile. A reload is to be noticed by nobody.
    fn strikes(self, node: usize) -> &'static [Organ] {
        const NODES: [&[Organ]; 3] = [&[Organ::Node(0)], &[Organ::Node(1)], &[Organ::Node(2)]];
        match self {
            NodeKilled | NodeDrained => NODES[node],
            NodeReloaded | NodeMisconfigured => &[],
            RedisKilled | RedisHung => &[Organ::Redis],
            PostgresCrashed | PostgresHung => &[Organ::Postgres, Organ::News],
            BackendDead | BackendHung | BackendGarbage | BackendCut => &[Organ::Frail],
        }
    }

    /// Whether both may be there at a time: not two of one thing, and a node starts only where its
    /// database is.
    fn goes_with(self, other: Self) -> bool {
        let kind = |fault: Self| match fault {
            NodeKilled | NodeDrained | NodeReloaded | NodeMisconfigured => 0,
            RedisKilled | RedisHung => 1,
            PostgresCrashed | PostgresHung => 2,
            BackendDead | BackendHung | BackendGarbage | BackendCut => 3,
        };
        let (one, two) = (kind(self).min(kind(other)), kind(self).max(kind(other)));
        one != two && (one, two) != (0, 2)
    }

    /// How long it is left as it is; PostgreSQL for longer than `max_staleness` at times.
    fn lasts(self, dice: &mut Dice) -> Duration {
        let seconds = match self {
            NodeReloaded | NodeMisconfigured => 0,
            PostgresCrashed | PostgresHung => 2 + dice.below(22),
            NodeKilled | NodeDrained | RedisKilled | RedisHung => 1 + dice.below(8),
            BackendDead | BackendHung | BackendGarbage | BackendCut => 2 + dice.below(8),
        };
        Duration::from_secs(seconds as u64)
    }
}

/// Throws one fault after the other, and at times two at once, until the time is over or enough was
/// found. Every fault comes before any comes again.
pub async fn rage(world: &Arc<World>, mut dice: Dice, until: Instant) {
    let mut bag = Vec::new();
    let mut rounds = 0;
    while Instant::now() < until && !world.findings.is_enough() {
        if bag.is_empty() {
            bag = ALL.to_vec();
            dice.shuffle(&mut bag);
        }
        let first = bag.pop().unwrap();
        let mut faults = vec![first];
        if dice.percent(35)
            && let Some(at) = bag.iter().position(|other| first.goes_with(*other))
        {
            faults.push(bag.remove(at));
        }
        rounds += 1;
        // The first node lives from the beginning to the end: it is the one that must not grow.
        let node = 1 + dice.below(2);
        let lasts = faults.iter().map(|fault| fault.lasts(&mut dice)).max();
        let lasts = lasts.unwrap();
        let names: Vec<_> = faults.iter().map(|fault| format!("{fault:?}")).collect();
        let names = names.join(" and ");
        world
            .findings
            .say(&format!("{rounds}: {names}, node {node}, for {lasts:?}"));
        let mut thrown = Vec::new();
        for fault in faults {
            world.findings.count("faults");
            thrown.push(begin(world, fault, node, rounds).await);
        }
        pause(lasts).await;
        let mut struck = Vec::new();
        while let Some(fault) = thrown.pop() {
            struck.extend(fault.fault.strikes(fault.node));
            end(world, fault).await;
        }
        is_well_again(world, &struck).await;
        pause(Duration::from_secs(1 + dice.below(4) as u64)).await;
    }
}

async fn pause(length: Duration) {
    tokio::time::sleep_until((Instant::now() + length).into()).await;
}

async fn begin(world: &World, fault: Fault, node: usize, round: usize) -> Thrown {
    for organ in fault.strikes(node) {
        world.weather.begins(*organ);
    }
    let mut stopped = None;
    match fault {
        NodeKilled => {
            let gateway = world.nodes[node].gateway.lock().await.take().unwrap();
            stopped = Some(gateway.kill().await);
        }
        NodeDrained => {
            let gateway = world.nodes[node].gateway.lock().await.take().unwrap();
            let since = Instant::now();
            let ended = gateway.stop().await;
            let (took, late) = (since.elapsed(), world.weather.lateness(since));
            if took > DRAINED + late || !ended.status.success() {
                world.wrong(format!(
                    "node {node} ended after {took:?}: {}",
                    ended.status
                ));
            }
            stopped = Some(ended);
        }
        NodeReloaded => reload(world, node, round).await,
        NodeMisconfigured => misconfigure(world, node).await,
        RedisKilled => world.redis.kill().await,
        RedisHung => world.redis.freeze(),
        PostgresCrashed => {
            let postgres = Arc::clone(&world.postgres);
            let stopping = tokio::task::spawn_blocking(move || postgres.stop(Stop::Crash));
            stopping.await.unwrap();
        }
        PostgresHung => world.postgres.freeze(),
        BackendDead => world.frail.set(Mood::Dead),
        BackendHung => world.frail.set(Mood::Hung),
        BackendGarbage => world.frail.set(Mood::Garbage),
        BackendCut => world.frail.set(Mood::Cut),
    }
    Thrown {
        fault,
        node,
        stopped,
    }
}

async fn end(world: &World, thrown: Thrown) {
    match thrown.fault {
        NodeKilled | NodeDrained => {
            let stopped = thrown.stopped.unwrap();
            world.logs.lock().unwrap().push_str(&stopped.log);
            let gateway = stopped.start().await;
            *world.nodes[thrown.node].gateway.lock().await = Some(gateway);
        }
        NodeReloaded | NodeMisconfigured => {}
        RedisKilled => world.redis.restart().await,
        RedisHung => world.redis.thaw(),
        PostgresCrashed => {
            world.weather.is_over(Organ::News);
            let postgres = Arc::clone(&world.postgres);
            let starting = tokio::task::spawn_blocking(move || postgres.resume());
            starting.await.unwrap();
        }
        PostgresHung => {
            world.weather.is_over(Organ::News);
            world.postgres.thaw();
        }
        BackendDead | BackendHung | BackendGarbage | BackendCut => world.frail.set(Mood::Well),
    }
}

/// Waits until every node serves all that it should, which has a bound; then it is expected to.
async fn is_well_again(world: &World, struck: &[Organ]) {
    let since = Instant::now();
    for node in 0..3 {
        while !serves(world, node).await {
            assert!(
                since.elapsed() < 6 * RECOVERED,
                "node {node} does not recover: {}",
                world.metrics(node).await
            );
            pause(Duration::from_millis(50)).await;
        }
    }
    let (took, late) = (since.elapsed(), world.weather.lateness(since));
    if took > RECOVERED + late {
        world.wrong(format!("all is well only after {took:?}"));
    }
    world
        .findings
        .say(&format!("   all is well after {took:.1?}"));
    for organ in struck {
        world.weather.is_over(*organ);
    }
}

/// Whether a node misses nothing, and forwards to all backends.
async fn serves(world: &World, node: usize) -> bool {
    if !world.is_ready(node).await {
        return false;
    }
    let client = world.nodes[node].https.clone().from("127.9.9.9");
    // Both servers of the pair, on each worker.
    for path in ["/public/x", "/public/frail", "/public/pair"].repeat(6) {
        let call = client.get(path).header(ENTITLED, ANYBODY);
        let needs = [Organ::Node(node), Organ::Frail];
        let answer = world.ask(&needs, path, call).await;
        if answer.is_none_or(|answer| answer.status != StatusCode::OK) {
            return false;
        }
    }
    true
}

/// Other routes, other limits and another certificate, under all traffic.
async fn reload(world: &World, node: usize, round: usize) {
    let mut held = world.nodes[node].gateway.lock().await;
    let gateway = held.as_mut().unwrap();
    let leaf = certs::authority().leaf(&["localhost", "127.0.0.1"]);
    leaf.write(gateway.folder(), "site");
    let has_extra = round.is_multiple_of(2);
    gateway
        .reload(changed(&world.nodes[node].config, round, has_extra))
        .await;

    // One that resumes no session, which would have the certificate of then.
    let client = gateway.https();
    let stream = client.handshake(&[b"http/1.1"]).await.unwrap();
    let shown = stream.get_ref().1.peer_certificates().unwrap();
    let new = CertificateDer::from_pem_slice(leaf.cert_pem.as_bytes()).unwrap();
    if shown[0] != new {
        world.wrong(format!(
            "node {node} shows its old certificate after a reload"
        ));
    }
    let call = client.get("/extra/x").header(ENTITLED, ANYBODY);
    let answer = world.ask(&[Organ::Node(node)], "/extra/x", call).await;
    let expected = if has_extra { 200 } else { 401 };
    if answer
        .as_ref()
        .is_none_or(|answer| answer.status != expected)
    {
        world.wrong(format!("/extra/x at {node}: {answer:?}, not {expected}"));
    }
}

fn changed(config: &Config, round: usize, has_extra: bool) -> Config {
    let wide = format!(
        "[[limit]]\nname = \"wide\"\nkey = \"client\"\nrate = \"{}/s\"\neverywhere = true",
        100_000 + round
    );
    let config = config.clone().toml(&wide);
    match has_extra {
        true => config.route("/extra/**", "upstream = \"app\"\nauth = \"none\""),
        false => config,
    }
}

/// A configuration that is wrong: the node goes on with the last good one.
async fn misconfigure(world: &World, node: usize) {
    let mut held = world.nodes[node].gateway.lock().await;
    let gateway = held.as_mut().unwrap();
    let failed = "portcullis_reloads_total{outcome=\"failed\"} ";
    let count = async || -> u64 {
        let metrics = world.metrics(node).await;
        let line = metrics.lines().find_map(|line| line.strip_prefix(failed));
        line.map_or(0, |count| count.parse().unwrap())
    };
    let before = count().await;
    let file = gateway.path("portcullis.toml");
    std::fs::write(&file, "[server]\nhttps = 7\nno_such_key = true\n").unwrap();
    gateway.process().signal("HUP");
    gateway.notice("RELOADING=1").await;
    gateway.notice("READY=1").await;
    if count().await != before + 1 {
        world.wrong(format!("node {node} took a configuration that is wrong"));
    }
    gateway.config.write(gateway.folder());
}
