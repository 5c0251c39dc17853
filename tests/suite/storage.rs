//! The database taken away while requests flow: what needs it waits for nothing, the rest goes on.

use std::process::Command;
use std::time::Instant;

use serde_json::json;

use super::accounts::{PASSWORD, app, login, register, text};
use super::harness::process::Process;
use super::harness::{Config, Gateway, PATIENCE, Upstream, within};

/// Holds the database's only write lock, as a backup tool gone wrong does, until it is killed.
async fn hold_lock(gateway: &Gateway) -> Process {
    let script = "import sqlite3, sys, time\n\
                  db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)\n\
                  db.execute('BEGIN IMMEDIATE')\n\
                  print('locked', flush=True)\n\
                  time.sleep(600)\n";
    let mut command = Command::new("python3");
    let process = Process::start(
        command
            .args(["-c", script])
            .arg(gateway.path("accounts.db")),
    );
    process.output().line("locked").await;
    process
}

#[tokio::test]
async fn while_the_database_takes_no_writes_tokens_work_and_logins_are_told_to_come_back() {
    let upstream = Upstream::echo().await;
    let config = Config::new().app(&upstream);
    let config = config.toml("[accounts]\ndatabase = \"sqlite:accounts.db\"");
    let gateway = config.start().await;
    let ann = register(&gateway.https(), "ann@example.com").await;
    let lock = hold_lock(&gateway).await;
    let began = Instant::now();
    let person = json!({ "email": "bob@example.com", "password": PASSWORD });
    let refused = gateway
        .https()
        .post("/auth/v1/register")
        .json(person)
        .send()
        .await
        .expect(503);
    assert!(
        refused.header("retry-after").is_some(),
        "{:?}",
        refused.headers
    );
    let body = json!({ "refresh_token": text(&ann, "refresh_token") });
    gateway
        .https()
        .post("/auth/v1/refresh")
        .json(body.clone())
        .send()
        .await
        .expect(503);
    assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
    for _ in 0..5 {
        gateway
            .https()
            .get("/private")
            .bearer(text(&ann, "access_token"))
            .send()
            .await
            .expect(200);
    }
    lock.kill().await;
    within("logins work again", async {
        while gateway
            .https()
            .post("/auth/v1/refresh")
            .json(body.clone())
            .send()
            .await
            .status
            != 200
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    login(&gateway.https(), "ann@example.com").await;
}

#[tokio::test]
pub async fn a_second_gateway_on_the_same_database_hears_of_a_logout() {
    let (_upstream, one) = app().await;
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::echo().await;
    let config = Config::new().app(&upstream).sharing(&one);
    let two = config.start_in(folder).await;
    let ann = register(&one.https(), "ann@example.com").await;
    let token = text(&ann, "access_token");
    two.https()
        .get("/private")
        .bearer(token)
        .send()
        .await
        .expect(200);
    assert!(
        one.https()
            .post("/auth/v1/logout")
            .bearer(token)
            .send()
            .await
            .status
            .is_success()
    );
    let began = Instant::now();
    within("the other gateway hears of it", async {
        while two
            .https()
            .get("/private")
            .bearer(token)
            .send()
            .await
            .status
            != 401
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(began.elapsed() < PATIENCE / 4, "{:?}", began.elapsed());
}
