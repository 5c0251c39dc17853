//! What the service manager asks of a service: a sound unit, notices, a watchdog, sockets that it opened.

use std::process::Command;

use super::harness::process::Process;
use super::harness::{Client, Config, Upstream, ports};

const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/systemd/portcullis.service");

#[test]
fn the_units_pass_systemd_analyze_without_a_word() {
    let sockets = ["portcullis.socket", "portcullis-http.socket"]
        .map(|name| format!("{}/systemd/{name}", env!("CARGO_MANIFEST_DIR")));
    let output = Command::new("systemd-analyze")
        .args(["verify", UNIT])
        .args(sockets)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The signal cannot say that what it asked for was refused.
#[test]
fn a_reload_fails_with_a_configuration_that_is_wrong() {
    let text = std::fs::read_to_string(UNIT).unwrap();
    let reloads: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("ExecReload="))
        .collect();
    // First the signal: a log that was rotated is opened anew whatever the configuration says.
    let ["/bin/kill -HUP $MAINPID", checks] = reloads[..] else {
        panic!("{reloads:?}");
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("portcullis.toml");
    std::fs::write(&file, "[server]\nhtps = []\n").unwrap();
    let command = checks
        .replace("/etc/portcullis/portcullis.toml", file.to_str().unwrap())
        .replace(
            " portcullis ",
            &format!(" {} ", env!("CARGO_BIN_EXE_portcullis")),
        );
    let words: Vec<_> = command.split(' ').collect();
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    assert_eq!(output.status.code(), Some(78), "{output:?}");
}

/// A filter of the unit takes calls away, a later one gives some back.
#[test]
fn the_unit_lets_threads_that_hash_give_way() {
    let text = std::fs::read_to_string(UNIT).unwrap();
    let filters: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("SystemCallFilter="))
        .collect();
    let taken = filters
        .iter()
        .rposition(|calls| calls.contains("@resources"));
    let given = filters.iter().rposition(|calls| *calls == "setpriority");
    assert!(given > taken, "{filters:?}");
}

#[tokio::test]
async fn a_start_a_reload_and_a_stop_are_announced() {
    let upstream = Upstream::echo().await;
    let mut gateway = Config::new().app(&upstream).start().await;
    let config = gateway.config.clone();
    gateway.process().signal("HUP");
    gateway.notice("RELOADING=1").await;
    gateway.notice("READY=1").await;
    gateway.reload(config).await;
    gateway.process().signal("TERM");
    gateway.notice("STOPPING=1").await;
    assert_eq!(gateway.ended().await.status.code(), Some(0));
}

#[tokio::test]
async fn the_watchdog_is_fed_while_the_workers_live() {
    let upstream = Upstream::echo().await;
    let config = Config::new().app(&upstream);
    let gateway = config
        .start_with(|command| {
            command.env("WATCHDOG_USEC", "400000");
        })
        .await;
    for _ in 0..3 {
        gateway.notice("WATCHDOG=1").await;
    }
}

#[tokio::test]
async fn a_socket_that_systemd_opened_is_served() {
    let upstream = Upstream::echo().await;
    let port = ports::free();
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::new()
        .app(&upstream)
        .toml("[server]\nhttps = [\"systemd:https\"]");
    config.https = port;
    config.write(folder.path());
    let mut command = Command::new("systemd-socket-activate");
    command
        .arg(format!("--listen=127.0.0.1:{port}"))
        .args(["--fdname=https", "--setenv=PATH"]);
    command
        .arg(env!("CARGO_BIN_EXE_portcullis"))
        .args(["run", "--config", "portcullis.toml"]);
    let process = Process::start(command.current_dir(folder.path()));
    process.output().line("Listening on").await;
    // The first connection waits in the socket while the gateway starts.
    Client::https(port)
        .get("/public/a")
        .send()
        .await
        .expect(200);
    process.signal("TERM");
    assert_eq!(
        process.exited().await.code(),
        Some(0),
        "{}",
        process.output().text()
    );
}

#[tokio::test]
async fn secrets_come_from_credentials_and_from_the_environment() {
    use super::harness::tokens;

    let upstream = Upstream::echo().await;
    for source in ["credential = \"jwt\"", "env = \"PLATFORM_JWT_SECRET\""] {
        let key =
            format!("[[tokens.key]]\nid = \"k\"\nalgorithm = \"HS256\"\nsecret = {{ {source} }}");
        let config = Config::new()
            .app(&upstream)
            .without("tokens.key")
            .toml(&key);
        let credentials = tempfile::tempdir().unwrap();
        std::fs::write(
            credentials.path().join("jwt"),
            format!("{}\n", tokens::SECRET),
        )
        .unwrap();
        let gateway = config
            .start_with(|command| {
                command.env("CREDENTIALS_DIRECTORY", credentials.path());
                command.env("PLATFORM_JWT_SECRET", tokens::SECRET);
            })
            .await;
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
async fn running_out_of_file_descriptors_is_survived() {
    let upstream = Upstream::echo().await;
    let gateway = Config::new().app(&upstream).start().await;
    let pid = gateway.process().id().to_string();
    let used = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .count();
    let limit = format!("--nofile={}", used + 20);
    assert!(
        Command::new("prlimit")
            .args(["--pid", &pid, &limit])
            .status()
            .unwrap()
            .success()
    );
    let mut held = Vec::new();
    for n in 0..60 {
        held.push(
            gateway
                .https()
                .from(&format!("127.0.4.{n}"))
                .tcp()
                .await
                .unwrap(),
        );
    }
    drop(held);
    gateway.https().get("/public/a").send().await.expect(200);
}
