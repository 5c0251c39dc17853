//! Those who have nothing to show: forgers, whoever kept what has ended, guessers, and the greedy.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use super::backend::{ANYBODY, ENTITLED, NOBODY};
use super::dice::Dice;
use super::people::REVOKED;
use super::people::visits::forged_identity;
use super::sessions::Ended;
use super::weather::Organ;
use super::world::{ACCOUNT, FEW, LEASE, PAIR, World};
use crate::suite::harness::client::Call;
use crate::suite::harness::{Client, tokens};

/// Between two tries of one stranger.
const PAUSE: Duration = Duration::from_millis(60);

/// How long before and after a change of Redis nodes may still count as they did before it.
const NOTICED: Duration = Duration::from_secs(10);

/// An address of which nobody has heard.
fn somewhere(dice: &mut Dice, net: u8) -> String {
    format!("127.{net}.{}.{}", dice.below(250), dice.below(250) + 1)
}

fn client(world: &World, dice: &mut Dice, net: u8) -> (usize, Client) {
    let node = dice.below(3);
    let client = world.nodes[node].https.clone();
    (node, client.from(&somewhere(dice, net)))
}

async fn pause() {
    tokio::time::sleep_until((Instant::now() + PAUSE).into()).await;
}

/// Shows what is no credential, on protected routes of all backends.
pub async fn forge(world: Arc<World>, mut dice: Dice) {
    while world.goes_on() {
        let (node, client) = client(&world, &mut dice, 3);
        let path = *dice.pick(&["/app/x", "/frail/x", "/pair/x"]);
        let call = client.get(path).header(ENTITLED, NOBODY);
        let kind = dice.below(7);
        let call = match kind {
            0 => call,
            1 => call.bearer("rubbish"),
            2 => call.bearer(&tokens::hs256(
                &json!({ "alg": "HS256", "typ": "JWT" }),
                &tokens::claims("forged").to_string(),
                b"another secret of more than thirty-two bytes",
            )),
            3 => call.bearer(&tokens::signed(&tokens::with(
                tokens::claims("forged"),
                json!({ "exp": tokens::now() - 60 }),
            ))),
            4 => {
                let head = json!({ "alg": "none", "typ": "JWT" });
                let claims = tokens::claims("forged").to_string();
                call.bearer(&format!("{}.", tokens::signing_input(&head, &claims)))
            }
            5 => call.header("cookie", "__Host-portcullis-session=Zm9yZ2VkIGFuZCBsb25n"),
            _ => forged_identity(call),
        };
        is_refused(&world, (node, path), call).await;
        world.findings.count("forgeries");
        pause().await;
    }
}

/// A request that is nobody's is refused: 401, or told that something is away.
pub async fn is_refused(world: &World, (node, path): (usize, &str), call: Call) {
    let since = Instant::now();
    let needs = [Organ::Node(node)];
    let Some(answer) = world.ask(&needs, path, call).await else {
        return;
    };
    let away = !world.weather.was_well(&[Organ::Postgres], since);
    match answer.status.as_u16() {
        401 => {}
        503 if away => {}
        status => world.wrong(format!("{path} at {node}: {status} for nobody")),
    }
}

/// Shows what is left of sessions that have ended: tokens, cookies and refresh tokens.
pub async fn haunt(world: Arc<World>, mut dice: Dice) {
    while world.goes_on() {
        pause().await;
        let ended = {
            let mut all = world.ended.lock().unwrap();
            let now = Instant::now();
            all.retain(|ended| ended.session.good_until > now);
            match all.len() {
                0 => continue,
                // The newest are those that somebody might not have heard of.
                n if dice.percent(50) => all[n - 1 - dice.below(n.min(20))].clone(),
                n => all[dice.below(n)].clone(),
            }
        };
        stays_ended(&world, &mut dice, &ended).await;
    }
}

/// A session that was ended is refused by any node, from the bound on and for ever.
pub async fn stays_ended(world: &World, dice: &mut Dice, ended: &Ended) {
    let (node, client) = client(world, dice, 4);
    if let Some(token) = &ended.session.refresh
        && dice.percent(20)
    {
        let since = Instant::now();
        let body = json!({ "refresh_token": token });
        let call = client.post("/auth/v1/refresh").json(body);
        let needs = [Organ::Node(node), Organ::Postgres];
        if let Some(answer) = world.ask(&needs[..1], "refresh", call).await {
            match answer.status.as_u16() {
                401 => world.findings.count("ended refreshes refused"),
                503 if !world.weather.was_well(&needs, since) => {}
                status => world.wrong(format!("refresh at {node}: {status}, ended {:?}", ended.at)),
            }
        }
        return;
    }
    if !world.weather.had_rest(Organ::Postgres, ended.at, REVOKED) {
        return;
    }
    let path = *dice.pick(&["/app/x", "/frail/x", "/pair/x"]);
    let call = client.get(path).header(ENTITLED, NOBODY);
    let call = ended.session.credential.on(call);
    is_refused(world, (node, path), call).await;
    world.findings.count("ended sessions refused");
}

/// How often a budget may have been had, beside the first time, since then: once more when Redis goes,
/// and once more when it comes back; a node that starts in between has its share anew.
fn budgets(world: &World, since: Instant) -> u32 {
    let around = since.checked_sub(NOTICED).unwrap_or(since);
    let redis = world.weather.changes(Organ::Redis, around);
    let nodes: u32 = (0..3)
        .map(|node| world.weather.changes(Organ::Node(node), around))
        .sum();
    match redis {
        0 => 1,
        // Each node that starts anew has a third: all that happens to nodes is taken for that.
        changes => 1 + changes + nodes,
    }
}

/// What has grown back at so many an hour.
fn grown(since: Instant, an_hour: u32) -> u32 {
    let grown = since.elapsed().as_secs_f64() * f64::from(an_hour) / 3600.0;
    grown.ceil() as u32
}

/// Guesses at the password of an account, through all nodes at once: from one address, or each from another.
pub async fn guess(world: Arc<World>, mut dice: Dice) {
    let mut number = 0;
    while world.goes_on() {
        number += 1;
        let email = format!("victim-{number}@example.com");
        let from = somewhere(&mut dice, 5);
        let home = somewhere(&mut dice, 6);
        let right = json!({ "email": email, "password": "quite the right one" });
        let (node, at) = (dice.below(3), |node: usize| world.nodes[node].https.clone());
        let since = Instant::now();
        let call = at(node)
            .from(&home)
            .post("/auth/v1/register")
            .json(right.clone());
        let needs = [Organ::Node(node)];
        let registered = world.ask(&needs, "a victim registers", call).await;
        if registered.is_none_or(|answer| answer.status != 201) {
            pause().await;
            continue;
        }
        // From then on its network is known to the account.
        log_in(&world, node, at(node).from(&home), &right).await;

        let spread = dice.percent(25);
        let (tries, allowed) = if spread { (80, ACCOUNT) } else { (25, PAIR) };
        let mut guesses = JoinSet::new();
        for _ in 0..tries {
            let node = dice.below(3);
            let from = match spread {
                true => somewhere(&mut dice, 5),
                false => from.clone(),
            };
            let world = Arc::clone(&world);
            let wrong = json!({ "email": email, "password": "not the right one" });
            let client = at(node).from(&from);
            guesses.spawn(async move { log_in(&world, node, client, &wrong).await });
        }
        let answers = guesses.join_all().await;
        let evaluated = answers.iter().filter(|status| **status == 401).count() as u32;
        // Both grow back: five in a quarter of an hour, fifty in an hour.
        let bound = allowed * budgets(&world, since) + grown(since, ACCOUNT);
        if evaluated > bound || answers.contains(&200) {
            world.wrong(format!("{evaluated} guesses, not {bound}: {answers:?}"));
        }
        world.findings.count("guessers");
        // Never turned on the victim.
        let status = log_in(&world, node, at(node).from(&home), &right).await;
        let needs = [Organ::Node(node), Organ::Postgres, Organ::Redis];
        if status != 200 && world.weather.was_well(&needs, since) {
            world.wrong(format!("a victim at {node}: {status}"));
        }
        pause().await;
    }
}

/// The status of a log-in; 0 when the connection broke.
async fn log_in(world: &World, node: usize, client: Client, body: &serde_json::Value) -> u16 {
    let call = client.post("/auth/v1/login").json(body.clone());
    let answer = world.ask(&[Organ::Node(node)], "a log-in", call).await;
    answer.map_or(0, |answer| answer.status.as_u16())
}

/// Takes all of a limit, through all nodes at once.
pub async fn grab(world: Arc<World>) {
    for number in 0.. {
        if !world.goes_on() {
            return;
        }
        // Nobody's budget so far.
        let from = format!("127.7.{}.{}", number / 250 % 250, number % 250 + 1);
        let since = Instant::now();
        let mut grabbing = JoinSet::new();
        for hand in 0..6 {
            let (world, from) = (Arc::clone(&world), from.clone());
            grabbing.spawn(async move {
                let (node, mut admitted, mut asked) = (hand % 3, 0, 0);
                let client = world.nodes[node].https.clone().from(&from);
                for _ in 0..2 * FEW / 6 {
                    let call = client.get("/limited/x").header(ENTITLED, ANYBODY);
                    let answer = world.ask(&[Organ::Node(node)], "/limited/x", call).await;
                    let Some(answer) = answer else { continue };
                    asked += 1;
                    match answer.status.as_u16() {
                        200 => admitted += 1,
                        429 if answer.header("retry-after").is_some() => {}
                        status => world.wrong(format!("/limited/x at {node}: {status}")),
                    }
                }
                (admitted, asked)
            });
        }
        let all = grabbing.join_all().await;
        let admitted: u32 = all.iter().map(|(admitted, _)| admitted).sum();
        let asked: u32 = all.iter().map(|(_, asked)| asked).sum();
        let (budgets, grown) = (budgets(&world, since), grown(since, FEW * 60));
        let most = (FEW + 3 * LEASE) * budgets + grown;
        if admitted > most {
            world.wrong(format!("{admitted} of {asked} admitted, not {most}"));
        }
        let mut all = vec![Organ::Redis];
        all.extend((0..3).map(Organ::Node));
        if world.weather.was_well(&all, since) {
            // Nor fewer than were asked for, when nobody forgot what it held.
            let least = asked.min(FEW - 3 * LEASE);
            if admitted < least {
                world.wrong(format!("{admitted} of {asked} admitted, not {least}"));
            }
            world.findings.count("grabs with all well");
        }
        world.findings.count("grabs");
        pause().await;
    }
}
