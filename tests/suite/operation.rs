//! The process: signals, reloads, drains, power cuts, and what stands in its logs.

use serde_json::json;

use super::accounts::{PASSWORD, login, register, text};
use super::harness::certs::authority;
use super::harness::upstream::response;
use super::harness::{Config, Gateway, Upstream, body, tokens, within};

#[tokio::test]
async fn a_reload_takes_over_new_routes_and_keeps_what_is_under_way() {
    let (upstream, mut exchanges) = Upstream::by_hand().await;
    let mut gateway = Config::new().app(&upstream).start().await;
    let calling = tokio::spawn(gateway.https().get("/public/slow").send());
    let exchange = exchanges.next().await;
    let other = Upstream::echo().await;
    let mut config = Config::new()
        .upstream("app", &other)
        .route("/new/**", "upstream = \"app\"\nauth = \"none\"");
    (config.https, config.admin) = (gateway.config.https, gateway.config.admin);
    config = config.toml(&gateway.config.section("server"));
    gateway.reload(config).await;
    gateway.https().get("/new/a").send().await.expect(200);
    gateway.https().get("/public/a").send().await.expect(404);
    exchange.answer(response(200, "late but whole"));
    assert_eq!(calling.await.unwrap().expect(200).text(), "late but whole");
}

#[tokio::test]
async fn a_reload_with_a_bad_file_keeps_the_last_good_one_and_says_why() {
    let upstream = Upstream::echo().await;
    let gateway = Config::new().app(&upstream).start().await;
    for bad in [
        "[server]\nhttps = [",
        "[[route]]\npath = \"/x\"\nupstream = \"nowhere\"\n",
    ] {
        std::fs::write(gateway.path("portcullis.toml"), bad).unwrap();
        gateway.process().signal("HUP");
        gateway
            .notice("STATUS=serving; the last reload was refused")
            .await;
        gateway.process().output().line("portcullis.toml").await;
        gateway.https().get("/public/a").send().await.expect(200);
        gateway
            .https()
            .get("/private")
            .bearer(&tokens::token("u-1"))
            .send()
            .await
            .expect(200);
    }
}

#[tokio::test]
async fn a_reload_names_the_keys_that_wait_for_a_restart() {
    let upstream = Upstream::echo().await;
    let mut gateway = Config::new().app(&upstream).start().await;
    let changed = "[server]\nidle_timeout = \"77s\"\nmax_streams_per_session = 7\n\
                   [api_keys]\nprefix = \"other\"\n[tokens]\nleeway = \"7s\"";
    let config = gateway.config.clone().toml(changed);
    gateway.reload(config).await;
    let output = gateway.process().output();
    let line = output.line("wait for a restart").await;
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["keys"], "api_keys.prefix, server.idle_timeout");
}

#[tokio::test]
async fn a_reload_takes_over_new_certificates() {
    let upstream = Upstream::echo().await;
    let mut gateway = Config::new().app(&upstream).start().await;
    let serial = async |gateway: &Gateway| {
        let stream = gateway.https().handshake(&[b"http/1.1"]).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    };
    let before = serial(&gateway).await;
    authority()
        .leaf(&["localhost"])
        .write(gateway.folder(), "site");
    let config = gateway.config.clone();
    gateway.reload(config).await;
    assert_ne!(serial(&gateway).await, before);
}

#[tokio::test]
async fn a_rotation_of_keys_logs_nobody_out() {
    let upstream = Upstream::echo().await;
    let mut gateway = Config::new().app(&upstream).start().await;
    let ann = register(&gateway.https(), "ann@example.com").await;
    let old = text(&ann, "access_token").to_owned();
    let keys = "[[tokens.key]]\nid = \"next\"\nalgorithm = \"HS256\"\nuse = \"sign\"\nsecret = { file = \"next.secret\" }\n\
                [[tokens.key]]\nid = \"suite\"\nalgorithm = \"HS256\"\nuse = \"verify\"\nsecret = { file = \"jwt.secret\" }";
    std::fs::write(
        gateway.path("next.secret"),
        "the-next-secret-4Kd8Wq2Zx6Pn0Rt5Yb9Lm3",
    )
    .unwrap();
    let config = gateway.config.clone().without("tokens.key").toml(keys);
    gateway.reload(config).await;
    gateway
        .https()
        .get("/private")
        .bearer(&old)
        .send()
        .await
        .expect(200);
    let new = login(&gateway.https(), "ann@example.com").await;
    assert_eq!(tokens::header(text(&new, "access_token"))["kid"], "next");
    gateway
        .https()
        .get("/private")
        .bearer(text(&new, "access_token"))
        .send()
        .await
        .expect(200);
    let body = json!({ "refresh_token": text(&ann, "refresh_token") });
    gateway
        .https()
        .post("/auth/v1/refresh")
        .json(body)
        .send()
        .await
        .expect(200);
    // A key that is taken out takes its tokens with it, also those that were remembered.
    let config = gateway.config.clone().without("tokens.key");
    let only =
        "[[tokens.key]]\nid = \"next\"\nalgorithm = \"HS256\"\nsecret = { file = \"next.secret\" }";
    gateway.reload(config.toml(only)).await;
    gateway
        .https()
        .get("/private")
        .bearer(&old)
        .send()
        .await
        .expect(401);
}

#[tokio::test]
async fn a_verify_only_key_past_its_date_verifies_nothing() {
    let upstream = Upstream::echo().await;
    let sign = "[[tokens.key]]\nid = \"now\"\nalgorithm = \"HS256\"\nuse = \"sign\"\nsecret = { file = \"now.secret\" }\n";
    for (end, status) in [("2020-01-01", 401), ("2099-01-01", 200)] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("now.secret"),
            "the-present-secret-4Kd8Wq2Zx6Pn0Rt5Yb9",
        )
        .unwrap();
        let legacy = "[[tokens.key]]\nid = \"old\"\nalgorithm = \"HS256\"\nuse = \"verify\"\nsecret = { file = \"jwt.secret\" }\n";
        let keys = format!("{sign}{legacy}not_after = {end}");
        let config = Config::new()
            .app(&upstream)
            .without("tokens.key")
            .toml(&keys);
        let gateway = config.start_in(folder).await;
        gateway
            .https()
            .get("/private")
            .bearer(&tokens::token("u-1"))
            .send()
            .await
            .expect(status);
    }
}

#[tokio::test]
async fn on_sigterm_what_is_under_way_is_finished_and_nothing_new_is_taken() {
    let (upstream, mut exchanges) = Upstream::by_hand().await;
    let gateway = Config::new().app(&upstream).start().await;
    let calls: Vec<_> = [gateway.https(), gateway.h2()]
        .map(|client| tokio::spawn(client.get("/public/slow").send()))
        .into();
    let waiting = [exchanges.next().await, exchanges.next().await];
    gateway.process().signal("TERM");
    gateway.notice("STOPPING=1").await;
    gateway.admin().get("/readyz").send().await.expect(503);
    for exchange in waiting {
        exchange.answer(response(200, "whole"));
    }
    for call in calls {
        assert_eq!(call.await.unwrap().expect(200).text(), "whole");
    }
    let stopped = gateway.ended().await;
    assert_eq!(stopped.status.code(), Some(0), "{}", stopped.log);
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_end() {
    let upstream = Upstream::echo().await;
    let gateway = Config::new()
        .app(&upstream)
        .toml("[server]\ndrain = \"5s\"")
        .start()
        .await;
    let mut one = gateway.https().connect().await;
    let mut two = gateway.h2().connect().await;
    one.send(gateway.https().get("/public/a").build())
        .await
        .unwrap();
    two.send(gateway.h2().get("/public/a").build())
        .await
        .unwrap();
    let stopped = gateway.stop().await;
    assert_eq!(stopped.status.code(), Some(0), "{}", stopped.log);
}

#[tokio::test]
async fn a_stream_that_never_ends_does_not_outlast_the_drain() {
    let (upstream, mut exchanges) = Upstream::by_hand().await;
    let gateway = Config::new()
        .app(&upstream)
        .toml("[server]\ndrain = \"500ms\"")
        .start()
        .await;
    let calling = tokio::spawn(gateway.https().get("/public/events").open());
    let (pieces, events) = body::pieces();
    exchanges.next().await.answer(http::Response::new(events));
    let held = calling.await.unwrap();
    let stopped = within("the drain is bounded", gateway.stop()).await;
    assert!(
        stopped.status.code().is_some(),
        "it ended by itself: {}",
        stopped.status
    );
    drop((held, pieces));
}

#[tokio::test]
pub async fn an_account_that_was_answered_201_survives_kill_minus_9() {
    let mut gateway = Config::new().start().await;
    for round in 0..3 {
        let email = format!("user{round}@example.com");
        let registered = register(&gateway.https(), &email).await;
        // The answer has just arrived: the process gets no time to tidy up.
        gateway = gateway.kill().await.start().await;
        let client = gateway.https();
        let token = text(&registered, "access_token");
        client
            .get("/auth/v1/me")
            .bearer(token)
            .send()
            .await
            .expect(200);
        login(&client, &email).await;
        let body = json!({ "refresh_token": text(&registered, "refresh_token") });
        client
            .post("/auth/v1/refresh")
            .json(body)
            .send()
            .await
            .expect(200);
    }
}

#[tokio::test]
pub async fn what_was_revoked_stays_revoked_after_kill_minus_9() {
    let gateway = Config::new().start().await;
    let ann = register(&gateway.https(), "ann@example.com").await;
    let token = text(&ann, "access_token").to_owned();
    let answer = gateway
        .https()
        .post("/auth/v1/logout")
        .bearer(&token)
        .send()
        .await;
    assert!(answer.status.is_success());
    let gateway = gateway.kill().await.start().await;
    gateway
        .https()
        .get("/auth/v1/me")
        .bearer(&token)
        .send()
        .await
        .expect(401);
    let body = json!({ "refresh_token": text(&ann, "refresh_token") });
    gateway
        .https()
        .post("/auth/v1/refresh")
        .json(body)
        .send()
        .await
        .expect(401);
}

#[tokio::test]
pub async fn of_many_accounts_under_way_at_kill_minus_9_those_answered_201_are_there() {
    let gateway = Config::new().start().await;
    let tries: Vec<_> = (0..40)
        .map(|n| {
            let email = format!("user{n}@example.com");
            let body = json!({ "email": email, "password": PASSWORD });
            let client = gateway.https();
            tokio::spawn(async move {
                let answer = client.post("/auth/v1/register").json(body).try_send().await;
                answer
                    .is_ok_and(|answer| answer.status == 201)
                    .then_some(email)
            })
        })
        .collect();
    let mut answered = Vec::new();
    let mut tries = tries.into_iter();
    // Some have been answered, the others are under way.
    for attempt in tries.by_ref().take(5) {
        answered.extend(attempt.await.unwrap());
    }
    let stopped = gateway.kill().await;
    for attempt in tries {
        answered.extend(attempt.await.unwrap());
    }
    assert!(answered.len() >= 5, "{answered:?}");
    let gateway = stopped.start().await;
    for email in answered {
        login(&gateway.https(), &email).await;
    }
}

#[tokio::test]
async fn pages_of_2_mb_are_meant_for_the_memory_of_the_workers_and_no_other() {
    let upstream = Upstream::echo().await;
    let config = Config::new().app(&upstream);
    let gateway = config.toml("[server]\nworkers = 2").start().await;
    let pid = gateway.process().id();
    let mappings = std::fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let (mut size, mut meant) = (0, 0);
    for line in mappings.lines() {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["Size:", kb, "kB"] => size = kb.parse().unwrap(),
            ["VmFlags:", ref flags @ ..] if flags.contains(&"hg") => meant += size,
            _ => {}
        }
    }
    let wanted = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    let given = wanted.is_ok_and(|wanted| !wanted.contains("[never]"));
    assert_eq!(meant, if given { 2 * 4 * 1024_u32 } else { 0 });
}
