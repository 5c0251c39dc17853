//! The demonstration: starts without a terminal, prints lines to paste, and they work.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::harness::gateway::portcullis;
use super::harness::process::Process;
use super::harness::{Client, ports};

async fn demo(folder: &Path) -> (Process, u16) {
    let port = ports::free();
    let mut command = portcullis();
    command
        .arg("demo")
        .arg("--port")
        .arg(port.to_string())
        .arg("--data")
        .arg(folder);
    let process = Process::start(&mut command);
    process.output().line("Ctrl-C").await;
    (process, port)
}

/// The lines of the instructions that are commands: those that are indented.
fn commands(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix("  "))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn the_printed_lines_work_when_they_are_pasted() {
    let folder = tempfile::tempdir().unwrap();
    let (process, _) = demo(&folder.path().join("data")).await;
    let commands = commands(&process.output().text());
    assert!(commands.len() >= 5, "{}", process.output().text());
    // One shell, as in a terminal: the token of one line is used in the next.
    let script = commands
        .iter()
        .fold(String::from("set -e -o pipefail\n"), |script, line| {
            script + line + " -s -S -w '\\n%{http_code}\\n' --max-time 120 2>&1\n"
        });
    let script = script.replace(") -s -S -w '\\n%{http_code}\\n' --max-time 120 2>&1", ")");
    let output = tokio::task::spawn_blocking(move || {
        Command::new("bash").args(["-c", &script]).output().unwrap()
    });
    let output = output.await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    let statuses: Vec<&str> = said
        .lines()
        .filter(|line| line.len() == 3 && line.parse::<u16>().is_ok())
        .collect();
    assert_eq!(statuses, ["201", "200", "401", "200"], "{said}");
    assert!(
        said.contains("x-user-id"),
        "the backend tells who called: {said}"
    );
}

#[tokio::test]
async fn the_demo_takes_existing_clients_and_protects_every_other_path() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (_process, port) = demo(&data).await;
    let client = Client::believing(port, &data.join("ca.pem"));
    let person = serde_json::json!({ "email": "ann@example.com", "password": "pass" });
    let registered = client
        .post("/api/v1/auth/register")
        .json(person)
        .send()
        .await
        .expect(201)
        .json();
    let token = registered["token"].as_str().unwrap();
    for path in ["/", "/hello", "/api/v1/workspaces/", "/deep/down"] {
        client.get(path).send().await.expect(401);
        let told: Value = client
            .get(path)
            .bearer(token)
            .send()
            .await
            .expect(200)
            .json();
        assert_eq!(
            (&told["method"], &told["target"]),
            (&"GET".into(), &path.into())
        );
        assert_eq!(told["headers"]["x-user-id"], registered["user"]["id"]);
    }
    client
        .clone()
        .h2()
        .get("/public/x")
        .send()
        .await
        .expect(200);
    let person =
        serde_json::json!({ "username": "bob", "password": "pass", "email": "bob@example.com" });
    client
        .post("/api/auth/register")
        .json(person.clone())
        .send()
        .await
        .expect(201);
    client
        .post("/api/auth/login")
        .json(person)
        .send()
        .await
        .expect(200);
}

#[tokio::test]
async fn the_demo_keeps_its_accounts_and_its_authority_when_it_is_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (process, port) = demo(&data).await;
    let person = serde_json::json!({ "email": "ann@example.com", "password": "pass" });
    let client = Client::believing(port, &data.join("ca.pem"));
    client
        .post("/auth/v1/register")
        .json(person.clone())
        .send()
        .await
        .expect(201);
    let authority = std::fs::read(data.join("ca.pem")).unwrap();
    process.signal("TERM");
    assert_eq!(
        process.exited().await.code(),
        Some(0),
        "{}",
        process.output().text()
    );
    let (_process, port) = demo(&data).await;
    assert_eq!(std::fs::read(data.join("ca.pem")).unwrap(), authority);
    Client::believing(port, &data.join("ca.pem"))
        .post("/auth/v1/login")
        .json(person)
        .send()
        .await
        .expect(200);
}
