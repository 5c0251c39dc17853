//! The published client library of PraisonAI, unchanged, against the gateway over TLS.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::harness::certs::authority;
use super::harness::{Config, Upstream};

const PACKAGES: [&str; 3] = ["praisonai-platform==0.1.9", "greenlet", "bcrypt<5"];

#[tokio::test]
async fn the_published_praisonai_client_works_unchanged() {
    let upstream = Upstream::echo().await;
    let config = Config::new().upstream("app", &upstream).route(
        "/api/v1/**",
        "upstream = \"app\"\nauth = \"required\"\nerrors = \"praisonai\"\nauthorization = \"forward\"",
    );
    let gateway = config.start().await;
    let ca = gateway.path("ca.pem");
    std::fs::write(&ca, authority().pem()).unwrap();
    let url = gateway.https().url("");
    let output = tokio::task::spawn_blocking(move || run_script(&url, &ca))
        .await
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let last = upstream.last();
    assert!(
        last.header("authorization")
            .is_some_and(|value| value.starts_with("Bearer "))
    );
}

fn run_script(url: &str, ca: &Path) -> Output {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/praisonai.py");
    let mut command = Command::new(environment().join("bin/python"));
    command
        .arg(script)
        .arg(url)
        .env("SSL_CERT_FILE", ca)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command.output().unwrap()
}

/// A virtual environment with the client in it: made once, kept beside the build.
fn environment() -> PathBuf {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("praisonai-platform-0.1.9");
    if kept.join("complete").exists() {
        return kept;
    }
    let _ = std::fs::remove_dir_all(&kept);
    succeed(Command::new("python3").args(["-m", "venv"]).arg(&kept));
    let mut install = Command::new(kept.join("bin/python"));
    install.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]);
    succeed(install.args(PACKAGES));
    std::fs::write(kept.join("complete"), "").unwrap();
    kept
}

fn succeed(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
