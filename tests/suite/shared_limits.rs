//! Budgets over three nodes: what they admit together, what they ask Redis for, what dies with one.

use serde_json::json;

use super::harness::redis::Redis;
use super::harness::{Answer, Client, Config, Gateway, Upstream};

/// What may come at once; nothing to speak of grows back during a test.
const BURST: usize = 300;

/// What a node of three holds of it.
const LEASE: usize = BURST / 10 / 3;

/// More than any node's part, so that together they use up the budget and ask for more.
const TRIES: usize = 200;

struct Nodes {
    nodes: [Gateway; 3],
    redis: Redis,
    _upstream: Upstream,
}

async fn nodes() -> Nodes {
    let (upstream, redis) = (Upstream::echo().await, Redis::start().await);
    let rule = format!("[[limit]]\nname = \"api\"\nkey = \"client\"\nrate = \"{BURST}/d\"");
    let config = || {
        let route = "upstream = \"app\"\nauth = \"none\"\nlimits = [\"api\"]";
        let config = Config::new().upstream("app", &upstream).toml(&rule);
        let config = config.route("/limited/**", route).redis(&redis);
        config.toml("[redis]\nnodes = 3").start()
    };
    let (one, two, three) = tokio::join!(config(), config(), config());
    Nodes {
        nodes: [one, two, three],
        redis,
        _upstream: upstream,
    }
}

/// How many of `tries` requests a node admits, one after the other.
async fn admitted(node: &Gateway, tries: usize) -> usize {
    let client = node.https();
    let mut connection = client.connect().await;
    let mut admitted = 0;
    for _ in 0..tries {
        let answer = connection.send(client.get("/limited/a").build()).await;
        let answer = Answer::read(answer.unwrap()).await.unwrap();
        admitted += usize::from(answer.status == 200);
    }
    admitted
}

/// How many the nodes admit that are asked more than the budget holds, all at once.
async fn admitted_together(nodes: &[Gateway; 3]) -> usize {
    let [one, two, three] = nodes;
    let admitted = tokio::join!(
        admitted(one, TRIES),
        admitted(two, TRIES),
        admitted(three, TRIES)
    );
    admitted.0 + admitted.1 + admitted.2
}

/// How often a budget was asked for: each time its script reads one key.
async fn asked(redis: &Redis) -> usize {
    let stats = redis.command(&["INFO", "commandstats"]).await;
    let stats: String = redis::from_redis_value(stats).unwrap();
    let line = stats.lines().find(|line| line.starts_with("cmdstat_get:"));
    let calls = line.and_then(|line| line.split(['=', ',']).nth(1));
    calls.map_or(0, |calls| calls.parse().unwrap())
}

#[tokio::test]
async fn three_nodes_share_a_budget_and_ask_redis_for_a_fraction_of_their_requests() {
    let Nodes {
        nodes,
        redis,
        _upstream,
    } = nodes().await;
    let admitted = admitted_together(&nodes).await;
    assert!(
        (BURST - 3 * LEASE..=BURST + 1).contains(&admitted),
        "{admitted}"
    );
    let asked = asked(&redis).await;
    assert!(asked < admitted / 2, "{asked} for {admitted}");
}

#[tokio::test]
async fn a_budget_that_is_full_again_is_exceeded_by_the_leases_and_no_more() {
    let Nodes {
        nodes,
        redis,
        _upstream,
    } = nodes().await;
    for node in &nodes {
        assert_eq!(admitted(node, 1).await, 1);
    }
    // As if a day had passed.
    redis.command(&["FLUSHDB"]).await;
    let admitted = admitted_together(&nodes).await;
    assert!(
        (BURST..=BURST + 3 * LEASE).contains(&admitted),
        "{admitted}"
    );
}

#[tokio::test]
async fn a_node_that_dies_takes_no_more_than_its_lease_with_it() {
    let Nodes {
        nodes: [one, two, three],
        redis: _redis,
        _upstream,
    } = nodes().await;
    let before = admitted(&three, 7).await;
    assert_eq!(before, 7);
    three.kill().await;
    let (first, second) = tokio::join!(admitted(&one, TRIES), admitted(&two, TRIES));
    let all = before + first + second;
    assert!((BURST - LEASE..=BURST + 1).contains(&all), "{all}");
}

/// The statuses of so many logins with a wrong password, all at once.
async fn guesses(client: Client, count: usize) -> Vec<u16> {
    let guess = || {
        let body = json!({ "email": "ann@example.com", "password": "wrong-password" });
        tokio::spawn(client.post("/auth/v1/login").json(body).send())
    };
    let calls: Vec<_> = (0..count).map(|_| guess()).collect();
    let mut statuses = Vec::new();
    for call in calls {
        statuses.push(call.await.unwrap().status.as_u16());
    }
    statuses
}

/// How many guesses three nodes look at, of many that come at once.
async fn guesses_looked_at(rules: &str) -> usize {
    let redis = Redis::start().await;
    let config = || {
        let wide = "[[limit]]\nname = \"credential\"\nkey = \"client\"\nrate = \"100000/d\"";
        Config::new().redis(&redis).toml(wide).toml(rules).start()
    };
    let (one, two, three) = tokio::join!(config(), config(), config());
    let statuses = tokio::join!(
        guesses(one.https(), 30),
        guesses(two.https(), 30),
        guesses(three.https(), 30)
    );
    let statuses = [statuses.0, statuses.1, statuses.2].concat();
    let seen = |status: u16| statuses.iter().filter(|s| **s == status).count();
    assert_eq!(seen(401) + seen(429), 90, "{statuses:?}");
    seen(401)
}

#[tokio::test]
async fn guesses_through_three_nodes_at_once_are_counted_exactly() {
    let lockout = "[lockout]\npair = \"5/d\"\naccount = \"1000/d\"\nnetwork = \"1000/d\"";
    assert_eq!(guesses_looked_at(lockout).await, 5);
    let wide = "[lockout]\npair = \"1000/d\"\naccount = \"1000/d\"\nnetwork = \"1000/d\"\n";
    // Large enough to be leased, were it not a login's.
    let rule = "[[limit]]\nname = \"names\"\nkey = \"login\"\nrate = \"60/d\"";
    assert_eq!(guesses_looked_at(&format!("{wide}{rule}")).await, 60);
}
