//! Files that cannot be served: one message with the place, the exit code, and nothing started.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::harness::{Config, Upstream, ports};

/// A configuration with one route, to be spoilt.
fn sound() -> Config {
    Config::new()
        .upstream_at("app", &["http://127.0.0.1:9"])
        .route("/**", "upstream = \"app\"")
}

/// Asserts that check and run both refuse with 78 and name each of `parts`.
async fn assert_refused(config: Config, parts: &[&str]) {
    let checked = config.check();
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert_eq!(checked.status.code(), Some(78), "check: {said}\n{config}");
    let (status, ran) = config.refused().await;
    assert_eq!(status.code(), Some(78), "run: {ran}");
    for part in parts {
        assert!(said.contains(part), "check does not name {part}:\n{said}");
        assert!(ran.contains(part), "run does not name {part}:\n{ran}");
    }
}

#[tokio::test]
async fn a_sound_file_passes_the_check_and_starts_nothing() {
    let output = sound().check();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn a_misspelt_key_is_named_with_its_place_and_what_was_meant() {
    for (piece, wrong, meant) in [
        ("[server]\nhtttps = []", "htttps", "https"),
        (
            "[[route]]\npath = \"/a\"\nupstream = \"app\"\nrols = [\"a\"]",
            "rols",
            "roles",
        ),
        ("[lokout]\nx = 1", "lokout", "lockout"),
    ] {
        assert_refused(sound().toml(piece), &["portcullis.toml:", wrong, meant]).await;
    }
}

#[tokio::test]
async fn every_mistake_is_named_in_one_go() {
    let config = sound()
        .toml("[server]\nwhat = 1")
        .route("/b", "upstream = \"nowhere\"")
        .route("/c", "upstream = \"app\"\nauth = \"perhaps\"");
    assert_refused(config, &["what", "nowhere", "\"optional\""]).await;
}

#[tokio::test]
async fn one_mistake_is_one_message() {
    let foreign = "[[tokens.key]]\nid = \"far\"\nalgorithm = \"ES256\"\nkey = { file = \"site.key\" }\n\
                   origin = \"foreign\"\nissuer = \"https://far.example\"\naudience = \"x\"";
    let routes = |config: Config| {
        config
            .route("/b", "upstream = \"broken\"\nlimits = [\"few\"]")
            .route("/c", "upstream = \"broken\"\nlimits = [\"few\"]")
    };
    let limit = "[[limit]]\nname = \"few\"\nkey = \"client\"\nrate = ";
    let broken = "[[upstream]]\nname = \"broken\"\nservers = ";
    let sound_limit = format!("{limit}\"1/s\"");
    let sound_upstream = format!("{broken}[\"http://127.0.0.1:9\"]");
    for (config, said) in [
        (sound().toml(foreign), "audience = [\"…\"]"),
        (
            routes(
                sound()
                    .toml(&sound_limit)
                    .toml(&format!("{broken}[\"http://a/x\"]")),
            ),
            "no path",
        ),
        (
            routes(
                sound()
                    .toml(&sound_upstream)
                    .toml(&format!("{limit}\"often\"")),
            ),
            "\"60/min\"",
        ),
        (
            sound().route("/b", "upstream = \"app\"\ncredentials = \"bearer\""),
            "credentials = [\"…\"]",
        ),
        (
            sound().toml("[verify]\npeers = \"127.0.0.1\""),
            "peers = [\"…\"]",
        ),
    ] {
        let checked = config.check();
        let text = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(text.contains(said), "{said}: {text}");
        assert!(text.trim_end().ends_with(": 1 error"), "{text}");
    }
}

#[tokio::test]
async fn a_route_to_an_upstream_that_is_not_there_is_named() {
    assert_refused(
        sound().route("/b", "upstream = \"agents\""),
        &["agents", "app"],
    )
    .await;
}

#[tokio::test]
async fn two_routes_that_could_both_match_are_refused() {
    let config = sound()
        .route("/a/*", "upstream = \"app\"")
        .route("/a/*", "upstream = \"app\"");
    assert_refused(config, &["/a/*"]).await;
}

#[tokio::test]
async fn a_file_that_is_not_toml_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("portcullis.toml"),
        "[server]\nhttps = [\n\n[tls",
    )
    .unwrap();
    let output = sound().command_in(folder.path(), "check").output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("portcullis.toml:"),
        "{output:?}"
    );
}

#[tokio::test]
async fn a_missing_file_and_a_wrong_argument_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let missing = sound().command_in(folder.path(), "run").output().unwrap();
    assert_eq!(missing.status.code(), Some(78), "{missing:?}");
    assert!(String::from_utf8_lossy(&missing.stderr).contains("portcullis.toml"));
    for words in [&["rnu"][..], &["run", "--confg", "x"], &["user"], &[]] {
        let output = super::harness::gateway::portcullis()
            .args(words)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(64), "{words:?}: {output:?}");
    }
}

#[tokio::test]
async fn key_and_certificate_files_that_cannot_be_read_are_named() {
    let config =
        sound().toml("[tls]\ncertificates = [{ cert = \"no-such.pem\", key = \"site.key\" }]");
    assert_refused(config, &["no-such.pem"]).await;
    let config =
        sound().toml("[tls]\ncertificates = [{ cert = \"site.key\", key = \"site.pem\" }]");
    assert_refused(config, &["site."]).await;
    let config = sound().without("tokens.key");
    let config = config.toml(
        "[[tokens.key]]\nid = \"k\"\nalgorithm = \"HS256\"\nsecret = { file = \"gone.secret\" }",
    );
    assert_refused(config, &["gone.secret"]).await;
    let config = sound().without("tokens.key");
    let config = config.toml("[[tokens.key]]\nid = \"k\"\nalgorithm = \"HS256\"\nsecret = { env = \"NO_SUCH_VARIABLE\" }");
    assert_refused(config, &["NO_SUCH_VARIABLE"]).await;
}

/// What the standard library says of a variable that is not UTF-8 has the variable's value in it.
#[test]
fn a_secret_in_the_environment_may_be_any_bytes_and_is_not_repeated() {
    let secrets: [(&[u8], i32); 2] = [
        (b"hunter2-\xff", 78),
        (b"hunter2-\xff-and-what-makes-it-32-bytes-long", 0),
    ];
    for (secret, code) in secrets {
        let config = sound().without("tokens.key").toml(
            "[[tokens.key]]\nid = \"k\"\nalgorithm = \"HS256\"\nsecret = { env = \"OF_BYTES\" }",
        );
        let folder = tempfile::tempdir().unwrap();
        config.write(folder.path());
        let mut command = config.command_in(folder.path(), "check");
        command.env("OF_BYTES", OsStr::from_bytes(secret));
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[tokio::test]
async fn sample_short_and_missing_secrets_are_refused_and_not_repeated() {
    for secret in [
        "dev-secret-change-me",
        "your-secret-key",
        "your-secret-key-here",
        "your-generated-secret-here",
        "your-secure-secret",
        "your-secure-secret-from-secrets-manager",
        "changeme",
        "secret",
        "dev-secret-key-change-in-production-f8a7b2c1",
        "kV8fTqZ2Jm5nR9sQ3xW8vY1bN7pL4dF6",
        "kV8fTqZ2Jm5nR9sQ3xW8vY1bN7pL4dF6hT3jK9mP2rX5",
        "eW91ci1zZWN1cmUtc2VjcmV0LWJhc2U2NC1lbmNvZGVk",
        "your-secure-secret-base64-encoded",
        "only-31-bytes-xxxxxxxxxxxxxxxxx",
        "",
        "\n",
        "base64:eW91ci1zZWN1cmUtc2VjcmV0LWJhc2U2NC1lbmNvZGVk",
        "base64:not base64!",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let config = sound();
        config.write(folder.path());
        std::fs::write(folder.path().join("jwt.secret"), secret).unwrap();
        let output = config.command_in(folder.path(), "check").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(78),
            "{secret:?} was taken: {said}"
        );
        assert!(said.contains("jwt.secret"), "{said}");
        assert!(secret.len() < 8 || !said.contains(secret), "{said}");
    }
}

#[tokio::test]
async fn development_mode_takes_a_sample_secret_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let config = sound().toml("development = true");
    config.write(folder.path());
    std::fs::write(folder.path().join("jwt.secret"), "dev-secret-change-me").unwrap();
    let output = config.command_in(folder.path(), "check").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = [output.stderr, output.stdout].concat();
    assert!(
        String::from_utf8_lossy(&said)
            .to_lowercase()
            .contains("development")
    );
}

#[tokio::test]
async fn a_secret_written_into_the_file_is_refused() {
    let config = sound().without("tokens.key");
    let secret = "a-long-enough-secret-in-the-file-itself-1234";
    let config = config.toml(&format!(
        "[[tokens.key]]\nid = \"k\"\nalgorithm = \"HS256\"\nsecret = {secret:?}"
    ));
    let output = config.check();
    assert_eq!(output.status.code(), Some(78));
    assert!(!String::from_utf8_lossy(&output.stderr).contains(secret));
}

#[tokio::test]
async fn a_foreign_issuer_without_issuer_and_audience_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    std::fs::write(folder.path().join("foreign.pem"), key.public_key_pem()).unwrap();
    let config = sound().toml(
        "[[tokens.key]]\nid = \"foreign\"\nalgorithm = \"EdDSA\"\norigin = \"foreign\"\nkey = { file = \"foreign.pem\" }",
    );
    config.write(folder.path());
    let output = config.command_in(folder.path(), "check").output().unwrap();
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("issuer") && said.contains("audience"),
        "{said}"
    );
}

#[tokio::test]
async fn a_port_in_use_is_said_and_nothing_is_left_half_started() {
    let upstream = Upstream::echo().await;
    let gateway = Config::new().app(&upstream).start().await;
    let mut second = Config::new().app(&upstream);
    let taken = gateway.config.https;
    let free = ports::free();
    second = second.toml(&format!(
        "[server]\nhttps = [\"127.0.0.1:{free}\", \"127.0.0.1:{taken}\"]"
    ));
    let (status, said) = second.refused().await;
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains(&taken.to_string()), "{said}");
    gateway.https().get("/public/a").send().await.expect(200);
}

#[tokio::test]
async fn a_database_that_cannot_be_opened_is_named() {
    let config = sound().toml("[accounts]\ndatabase = \"sqlite:no/such/folder/accounts.db\"");
    let (status, said) = config.refused().await;
    assert!(matches!(status.code(), Some(1 | 78)), "{status}: {said}");
    assert!(said.contains("no/such/folder"), "{said}");
}
