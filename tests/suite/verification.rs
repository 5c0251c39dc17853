//! The gateway asked by another proxy what it would decide: what it answers, and whom.

use super::harness::client::Call;
use super::harness::proxy::documented;
use super::harness::{Client, Config, Gateway, Upstream, ports, tokens};

/// A gateway as `docs/other-proxies.md` has it, with some more routes; and the port that proxies ask.
pub(super) async fn asked() -> (Gateway, u16) {
    asked_with("").await
}

/// The same, with this piece of configuration too.
pub(super) async fn asked_with(more: &str) -> (Gateway, u16) {
    let port = ports::free();
    let route = |config: Config, path: &str, rest: &str| {
        config.route(path, &format!("verify_only = true\n{rest}"))
    };
    let toml = documented("toml").replace("127.0.0.1:8081", &format!("127.0.0.1:{port}"));
    let config = Config::new()
        .toml(&toml)
        .toml("[[limit]]\nname = \"few\"\nkey = \"client\"\nrate = \"1/h\"\nburst = 2");
    let config = route(config, "/public/**", "auth = \"none\"");
    let config = route(config, "/optional/**", "auth = \"optional\"");
    let config = route(config, "/few/**", "auth = \"none\"\nlimits = [\"few\"]");
    let config = route(
        config,
        "/admin/**",
        "roles = [\"admin\"]\nerrors = \"plai\"",
    );
    let config = route(config, "/readers", "methods = [\"GET\"]\nauth = \"none\"");
    let config = route(config, "/forward/**", "authorization = \"forward\"");
    let config = route(
        config,
        "/tenant/**",
        "host = \"tenant.test\"\nauth = \"none\"\nerrors = \"agentflow\"",
    );
    (config.toml(more).start().await, port)
}

/// Asks as nginx does.
fn original(client: &Client, method: &str, url: &str) -> Call {
    client
        .get("/auth/v1/verify")
        .header("x-original-url", url)
        .header("x-original-method", method)
        .header("x-forwarded-for", "203.0.113.7")
}

/// Asks as Traefik and Caddy do.
fn forwarded(client: &Client, method: &str, uri: &str) -> Call {
    client
        .get("/auth/v1/verify")
        .header("x-forwarded-uri", uri)
        .header("x-forwarded-method", method)
        .header("x-forwarded-host", "app.test")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-for", "203.0.113.7")
}

#[tokio::test]
async fn the_answer_is_what_the_gateway_would_decide() {
    let (_gateway, port) = asked().await;
    let client = Client::http(port);
    let ann = tokens::token_with_roles("ann", &["member"]);
    for (method, path, token, status) in [
        ("GET", "/private", None, 401),
        ("GET", "/private", Some("garbage"), 401),
        ("GET", "/private?a=b", Some(&*ann), 204),
        ("DELETE", "/private", Some(&ann), 204),
        ("GET", "/public/a", None, 204),
        ("GET", "/public/a", Some("garbage"), 204),
        ("GET", "/optional/a", None, 204),
        ("GET", "/optional/a", Some("garbage"), 401),
        ("GET", "/admin/a", None, 401),
        ("GET", "/admin/a", Some(&ann), 403),
        ("GET", "/readers", None, 204),
        ("HEAD", "/readers", None, 204),
        ("POST", "/readers", None, 405),
        ("GET", "/%61dmin/a", Some(&ann), 403),
        ("GET", "/auth/v1/verify", Some(&ann), 404),
    ] {
        let url = format!("https://app.test{path}");
        for mut call in [
            original(&client, method, &url),
            forwarded(&client, method, path),
        ] {
            if let Some(token) = token {
                call = call.bearer(token);
            }
            let answer = call.send().await;
            assert_eq!(answer.status, status, "{method} {path} {}", answer.text());
        }
    }
}

#[tokio::test]
async fn a_passed_request_has_the_headers_that_an_upstream_would_get() {
    let (_gateway, port) = asked().await;
    let client = Client::http(port);
    let ann = tokens::token_with_roles("ann", &["member", "editor"]);
    let call = forwarded(&client, "GET", "/private").bearer(&ann);
    let answer = call
        .header("x-user-roles", "admin")
        .send()
        .await
        .expect(204);
    assert_eq!(answer.header("x-user-id"), Some("ann"));
    assert_eq!(answer.header("x-user-email"), Some("ann@example.com"));
    assert_eq!(answer.header("x-user-roles"), Some("member,editor"));
    assert_eq!(answer.header("authorization"), None);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(answer.body.is_empty());
    let call = forwarded(&client, "GET", "/forward/a").bearer(&ann);
    let answer = call.send().await.expect(204);
    let bearer = format!("Bearer {ann}");
    assert_eq!(answer.header("authorization"), Some(&*bearer));
    let call = forwarded(&client, "GET", "/public/a").bearer(&ann);
    let answer = call.header("x-user-id", "root").send().await.expect(204);
    assert_eq!(answer.header("x-user-id"), None);
    assert_eq!(answer.header("authorization"), None);
}

#[tokio::test]
async fn a_refusal_has_the_shape_of_the_original_route() {
    let (_gateway, port) = asked().await;
    let client = Client::http(port);
    let refused = forwarded(&client, "GET", "/admin/a").send().await;
    assert_eq!(refused.expect(401).json()["error"], "unauthorized");
    let page = || {
        [
            original(&client, "GET", "https://app.test/private"),
            forwarded(&client, "GET", "/private"),
        ]
        .map(|call| call.header("sec-fetch-mode", "navigate"))
    };
    // nginx hands no body on; the others show the page to the person.
    for (call, kind) in page()
        .into_iter()
        .zip(["application/problem+json", "text/html; charset=utf-8"])
    {
        let answer = call.send().await.expect(401);
        assert_eq!(answer.header("content-type"), Some(kind));
    }
    let head = forwarded(&client, "HEAD", "/private").send().await;
    assert_eq!(head.expect(401).json()["status"], 401);
}

#[tokio::test]
async fn limits_count_the_original_client() {
    let (_gateway, port) = asked().await;
    let client = Client::http(port);
    let ask = |from: &str| {
        let call = client
            .get("/auth/v1/verify")
            .header("x-original-url", "https://app.test/few/a")
            .header("x-original-method", "GET");
        call.header("x-forwarded-for", from)
    };
    for _ in 0..2 {
        ask("203.0.113.7").send().await.expect(204);
    }
    let refused = ask("203.0.113.7").send().await.expect(429);
    assert!(refused.header("retry-after").is_some());
    ask("6.6.6.6, 203.0.113.7").send().await.expect(429);
    ask("203.0.113.8").send().await.expect(204);
    for unknown in ["", "unknown", "203.0.113.8, x"] {
        ask(unknown).send().await.expect(400);
    }
}

#[tokio::test]
async fn the_host_of_the_original_request_decides() {
    let (_gateway, port) = asked().await;
    let client = Client::http(port);
    for (host, status) in [
        ("tenant.test", 204),
        ("Tenant.test:8443", 204),
        ("app.test", 401),
    ] {
        let url = format!("https://{host}/tenant/a");
        original(&client, "GET", &url).send().await.expect(status);
    }
}

#[tokio::test]
async fn nobody_who_is_not_listed_is_listened_to() {
    let upstream = Upstream::echo().await;
    let gateway = Config::new()
        .app(&upstream)
        .toml("[verify]\npeers = [\"127.0.0.9\"]")
        .start()
        .await;
    let ann = tokens::token("ann");
    for from in ["127.0.0.8", "127.0.0.9"] {
        let client = gateway.https().from(from);
        let status = if from == "127.0.0.9" { 204 } else { 403 };
        let url = "https://localhost/private";
        let call = original(&client, "GET", url).bearer(&ann);
        let answer = call.send().await.expect(status);
        assert_eq!(answer.header("x-user-id").is_some(), status == 204);
        let answer = original(&client, "GET", "https://localhost/public/a");
        answer.send().await.expect(status);
    }
    // Without the section the path is like any other.
    let gateway = Config::new().app(&upstream).start().await;
    let call = original(&gateway.https(), "GET", "https://localhost/public/a");
    call.send().await.expect(401);
    assert!(upstream.received().is_empty());
}

/// C06: what is decided about is what the proxy states, and never what its client does.
#[tokio::test]
async fn a_request_that_is_stated_twice_or_oddly_is_refused() {
    let (_gateway, port) = asked().await;
    let client = Client::http(port);
    let ask = || {
        client
            .get("/auth/v1/verify")
            .header("x-forwarded-for", "203.0.113.7")
    };
    let public = "https://app.test/public/a";
    let twice = [
        ask(),
        original(&client, "GET", public).header("x-original-url", public),
        original(&client, "GET", public).header("x-original-method", "GET"),
        original(&client, "GET", public).header("x-forwarded-uri", "/private"),
        forwarded(&client, "GET", "/public/a").header("x-original-url", public),
        forwarded(&client, "GET", "/public/a").header("x-forwarded-uri", "/public/a"),
        forwarded(&client, "GET", "/public/a").header("x-forwarded-host", "app.test"),
        forwarded(&client, "GET", "/public/a").header("x-forwarded-proto", "http"),
        ask().header("x-original-url", public),
        ask().header("x-forwarded-uri", "/public/a"),
        ask().header("x-original-uri", "/public/a"),
    ];
    for call in twice {
        call.send().await.expect(400);
    }
    for path in [
        "/public/../private",
        "/public/%2e%2e/private",
        "/public/..;/private",
        "//public/a",
        "/public/a#b",
        "/public%2fa",
        "/public/a%00",
        "public/a",
        "http://app.test/public/a",
        "",
    ] {
        forwarded(&client, "GET", path).send().await.expect(400);
        let url = format!("https://app.test{path}");
        // Without its slash, the path would be part of the host.
        let status = match path {
            "public/a" => continue,
            _ => 400,
        };
        original(&client, "GET", &url).send().await.expect(status);
    }
    for url in [
        "/public/a",
        "app.test/public/a",
        "https://u@app.test/public/a",
        "evil://app.test/public/a",
        "https:///public/a",
    ] {
        original(&client, "GET", url).send().await.expect(400);
    }
    for method in ["", "CONNECT", "GET, POST", "G T"] {
        original(&client, method, public).send().await.expect(400);
    }
}

#[tokio::test]
async fn a_route_for_other_proxies_serves_nobody_here() {
    let (gateway, _) = asked().await;
    gateway.https().get("/public/a").send().await.expect(404);
    let ann = tokens::token("ann");
    let call = gateway.https().get("/private").bearer(&ann);
    call.send().await.expect(404);
}

#[tokio::test]
async fn the_log_has_the_original_request_and_who_asked() {
    let (gateway, port) = asked().await;
    let client = Client::http(port);
    let call = original(&client, "DELETE", "https://app.test/private/thing");
    call.send().await.expect(401);
    let line = gateway.process().output().line("/private/thing").await;
    let entry: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(entry["method"], "DELETE");
    assert_eq!(entry["host"], "app.test");
    assert_eq!(entry["client"], "203.0.113.7");
    assert_eq!(entry["asked_by"], "127.0.0.1");
}

#[tokio::test]
async fn mistakes_in_the_configuration_are_named() {
    let upstream = Upstream::echo().await;
    for (piece, said) in [
        (
            "[[route]]\npath = \"/a\"\nverify_only = true",
            "nobody may ask about this route",
        ),
        (
            "[verify]\npeers = [\"127.0.0.1\"]\n[[route]]\npath = \"/a\"\nverify_only = true\nupstream = \"app\"",
            "it has no `upstream`",
        ),
        ("[verify]\npeers = [\"0.0.0.0/0\"]", "every client"),
    ] {
        let (_, shown) = Config::new().app(&upstream).toml(piece).refused().await;
        assert!(shown.contains(said), "{piece}: {shown}");
    }
}
