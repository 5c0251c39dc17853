//! Guessing passwords: slowed down per account, network and pair, and never at the victim's cost.

use serde_json::json;

use super::accounts::{PASSWORD, register, text};
use super::harness::redis::Redis;
use super::harness::{Answer, Client, Config, Gateway};

/// Few wrong passwords are borne, and their counters stand still for the time of a test.
const STRICT: &str =
    "[lockout]\npair = \"3/d\"\naccount = \"6/d\"\nnetwork = \"8/d\"\ndevice = \"3/d\"";

async fn strict() -> Gateway {
    Config::new().toml(STRICT).start().await
}

async fn attempt(client: &Client, email: &str, password: &str) -> Answer {
    let body = json!({ "email": email, "password": password });
    client.post("/auth/v1/login").json(body).send().await
}

#[tokio::test]
async fn guessing_is_refused_with_a_time_and_the_right_password_does_not_help() {
    let gateway = strict().await;
    register(&gateway.https().from("127.0.0.9"), "ann@example.com").await;
    let attacker = gateway.https().from("127.0.0.66");
    for _ in 0..3 {
        attempt(&attacker, "ann@example.com", "wrong")
            .await
            .expect(401);
    }
    for password in ["wrong", PASSWORD] {
        let refused = attempt(&attacker, "ann@example.com", password)
            .await
            .expect(429);
        assert!(
            refused
                .header("retry-after")
                .unwrap()
                .parse::<u64>()
                .unwrap()
                >= 1
        );
    }
}

#[tokio::test]
async fn an_unknown_name_is_locked_like_a_known_one() {
    let gateway = strict().await;
    register(&gateway.https().from("127.0.0.9"), "ann@example.com").await;
    let mut courses = Vec::new();
    for (from, name) in [
        ("127.0.0.66", "ann@example.com"),
        ("127.0.0.67", "nobody@example.com"),
    ] {
        let mut course = Vec::new();
        for _ in 0..6 {
            let answer = attempt(&gateway.https().from(from), name, "wrong").await;
            course.push((answer.status.as_u16(), answer.json()["title"].clone()));
        }
        courses.push(course);
    }
    assert_eq!(courses[0], courses[1]);
}

/// Logs in as RAG Modulo's clients do: by the username or the e-mail address.
async fn enter(client: &Client, name: &str, password: &str) -> Answer {
    let body = json!({ "username": name, "password": password });
    client.post("/api/auth/login").json(body).send().await
}

#[tokio::test]
async fn guesses_under_both_names_of_an_account_are_added_up_and_nothing_tells_that_they_are_one() {
    let gateway = strict().await;
    let home = gateway.https().from("127.0.0.9");
    let ann = json!({ "username": "ann", "email": "ann@example.com", "password": PASSWORD });
    let registered = home.post("/api/auth/register").json(ann).send().await;
    registered.expect(201);
    enter(&home, "ann", PASSWORD).await.expect(200);

    let mut courses = Vec::new();
    for (from, names) in [
        ("127.0.0.66", ["ann", "ann@example.com"]),
        ("127.0.0.67", ["bob", "bob@example.com"]),
    ] {
        let client = gateway.https().from(from);
        let mut course = Vec::new();
        for name in names {
            for _ in 0..3 {
                let answer = enter(&client, name, "wrong").await.expect(401);
                course.push(answer.text());
            }
            let locked = enter(&client, name, "wrong").await.expect(429);
            course.push(locked.json()["detail"].to_string());
        }
        courses.push(course);
    }
    assert_eq!(courses[0], courses[1]);

    // Three guesses under one name, and the right password under the other does not help.
    let client = gateway.https().from("127.0.0.68");
    for _ in 0..3 {
        enter(&client, "ann", "wrong").await;
    }
    let vain = enter(&client, "ann@example.com", PASSWORD)
        .await
        .expect(401);
    assert_eq!(vain.text(), courses[0][0]);
    enter(&home, "ann@example.com", PASSWORD).await.expect(200);
}

#[tokio::test]
async fn one_network_cannot_guess_at_many_names() {
    let gateway = strict().await;
    let attacker = gateway.https().from("127.0.0.66");
    let mut courses = Vec::new();
    for n in 0..12 {
        let answer = attempt(&attacker, &format!("victim-{n}@example.com"), "wrong").await;
        courses.push(answer.status.as_u16());
    }
    assert_eq!(courses[..8], [401; 8]);
    assert_eq!(courses[8..], [429; 4]);
    attempt(
        &gateway.https().from("127.0.0.67"),
        "victim-1@example.com",
        "wrong",
    )
    .await
    .expect(401);
}

#[tokio::test]
async fn many_networks_cannot_guess_at_one_name() {
    let gateway = strict().await;
    register(&gateway.https().from("127.0.0.9"), "ann@example.com").await;
    let mut guesses = 0;
    for n in 20..60 {
        let client = gateway.https().from(&format!("127.0.1.{n}"));
        guesses += usize::from(attempt(&client, "ann@example.com", "wrong").await.status == 401);
    }
    assert_eq!(guesses, 6);
}

#[tokio::test]
async fn the_victim_still_gets_in_from_a_network_and_a_device_that_are_known() {
    let gateway = strict().await;
    let home = gateway.https().from("127.0.0.9");
    register(&home, "ann@example.com").await;
    let logged_in = attempt(&home, "ann@example.com", PASSWORD)
        .await
        .expect(200);
    let cookie = logged_in
        .header("set-cookie")
        .map(|c| c.split(';').next().unwrap().to_owned());
    for n in 20..60 {
        attempt(
            &gateway.https().from(&format!("127.0.1.{n}")),
            "ann@example.com",
            "wrong",
        )
        .await;
    }
    attempt(
        &gateway.https().from("127.0.0.77"),
        "ann@example.com",
        PASSWORD,
    )
    .await
    .expect(429);
    attempt(&home, "ann@example.com", PASSWORD)
        .await
        .expect(200);
    // The laptop that was logged in at home, now elsewhere.
    let body = json!({ "email": "ann@example.com", "password": PASSWORD });
    let call = gateway
        .https()
        .from("127.0.0.78")
        .post("/auth/v1/login")
        .json(body);
    call.header("cookie", cookie.expect("a device cookie"))
        .send()
        .await
        .expect(200);
}

#[tokio::test]
async fn a_device_cookie_that_was_made_up_knows_nothing() {
    let gateway = strict().await;
    register(&gateway.https().from("127.0.0.9"), "ann@example.com").await;
    for n in 20..60 {
        attempt(
            &gateway.https().from(&format!("127.0.1.{n}")),
            "ann@example.com",
            "wrong",
        )
        .await;
    }
    for cookie in [
        "__Host-portcullis-device=",
        "__Host-portcullis-device=AAAA",
        "__Host-portcullis-device=a.b.c",
    ] {
        let body = json!({ "email": "ann@example.com", "password": PASSWORD });
        let call = gateway
            .https()
            .from("127.0.0.78")
            .post("/auth/v1/login")
            .json(body);
        call.header("cookie", cookie).send().await.expect(429);
    }
}

#[tokio::test]
async fn a_login_that_succeeds_uses_nothing_up() {
    let gateway = strict().await;
    let client = gateway.https();
    register(&client, "ann@example.com").await;
    for _ in 0..12 {
        attempt(&client, "ann@example.com", PASSWORD)
            .await
            .expect(200);
    }
}

#[tokio::test]
async fn parallel_guesses_do_not_slip_through() {
    let redis = Redis::start().await;
    for config in [Config::new(), Config::new().redis(&redis)] {
        let gateway = config.toml(STRICT).start().await;
        let client = gateway.https();
        let body = json!({ "email": "ann@example.com", "password": "wrong" });
        let calls: Vec<_> = (0..20)
            .map(|_| tokio::spawn(client.post("/auth/v1/login").json(body.clone()).send()))
            .collect();
        let mut judged = 0;
        for call in calls {
            judged += usize::from(call.await.unwrap().status == 401);
        }
        assert_eq!(judged, 3);
    }
}

#[tokio::test]
async fn two_nodes_count_the_same_guesses() {
    let redis = Redis::start().await;
    let config = || Config::new().toml(STRICT).redis(&redis);
    let (one, two) = (config().start().await, config().start().await);
    let mut judged = 0;
    for _ in 0..4 {
        for node in [&one, &two] {
            judged += usize::from(
                attempt(&node.https(), "ann@example.com", "wrong")
                    .await
                    .status
                    == 401,
            );
        }
    }
    assert_eq!(judged, 3);
}

#[tokio::test]
async fn somebody_locked_out_keeps_the_sessions_that_are_open() {
    let gateway = strict().await;
    let ann = register(&gateway.https().from("127.0.0.9"), "ann@example.com").await;
    for n in 20..40 {
        attempt(
            &gateway.https().from(&format!("127.0.1.{n}")),
            "ann@example.com",
            "wrong",
        )
        .await;
    }
    let client = gateway.https().from("127.0.0.80");
    client
        .get("/auth/v1/me")
        .bearer(text(&ann, "access_token"))
        .send()
        .await
        .expect(200);
    let body = json!({ "refresh_token": text(&ann, "refresh_token") });
    client
        .post("/auth/v1/refresh")
        .json(body)
        .send()
        .await
        .expect(200);
}

#[tokio::test]
async fn a_flood_of_logins_is_turned_away_and_not_queued_without_end() {
    let slow = "[passwords]\nmemory = \"32MiB\"\npasses = 2\nthreads = 1\nqueue = 2";
    let lax = "[lockout]\nnetwork = \"1000/s\"\naccount = \"1000/s\"\npair = \"1000/s\"";
    let gateway = Config::new().toml(slow).toml(lax).start().await;
    let calls: Vec<_> = (0..40)
        .map(|n| {
            let body = json!({ "email": format!("u{n}@example.com"), "password": "wrong" });
            let client = gateway.https().from(&format!("127.0.2.{n}"));
            tokio::spawn(async move { client.post("/auth/v1/login").json(body).send().await })
        })
        .collect();
    let mut turned_away = 0;
    for call in calls {
        let answer = call.await.unwrap();
        if answer.status == 503 {
            assert!(answer.header("retry-after").is_some());
            turned_away += 1;
        } else {
            assert_eq!(answer.status, 401);
        }
    }
    assert!(turned_away > 0);
    gateway
        .https()
        .get("/.well-known/jwks.json")
        .send()
        .await
        .expect(200);
}
