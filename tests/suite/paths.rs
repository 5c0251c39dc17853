//! Which route a target takes, and that the string that was matched is the one that is forwarded.

use super::harness::{Config, Gateway, Upstream, tokens};

async fn app() -> (Upstream, Gateway) {
    let upstream = Upstream::echo().await;
    let gateway = Config::new().app(&upstream).start().await;
    (upstream, gateway)
}

/// Sends a target as it stands and returns the status.
async fn status(gateway: &Gateway, target: &str) -> u16 {
    let mut raw = gateway.https().raw().await;
    raw.write(format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    ))
    .await;
    raw.try_answer().await.map_or(400, |answer| answer.status)
}

#[tokio::test]
async fn no_spelling_of_a_protected_path_is_public() {
    let (upstream, gateway) = app().await;
    for target in [
        "/public/../admin",
        "/public/%2e%2e/admin",
        "/public/.%2e/admin",
        "/public/..;/admin",
        "/public/..%2fadmin",
        "/public/..%5cadmin",
        "/public/%2e%2e%2fadmin",
        "//admin",
        "/public//../admin",
        "/./admin",
        "/admin%2f..",
        "/public/..\\admin",
        "/public%2f..%2fadmin",
        "/public/%00/../admin",
        "/public/x;/../admin",
        "/public/%252e%252e/admin%00",
        "\\public\\..\\admin",
        "/public/..",
        "/public/.",
        "/public/%2e",
    ] {
        let status = status(&gateway, target).await;
        assert!(matches!(status, 400 | 401), "{target}: {status}");
    }
    assert!(upstream.received().is_empty(), "{:?}", upstream.received());
}

#[tokio::test]
async fn what_has_no_one_form_is_refused() {
    let (upstream, gateway) = app().await;
    for target in [
        "/public/a;x",
        "/public/a%00",
        "/public/a%5cb",
        "/public/a%0d%0ab",
        "/public/a%7f",
        "/public/%",
        "/public/%4",
        "/public/%zz",
        "/public//a",
        "/public/./a",
        "/public/a%2fb",
        "public/a",
        "*",
    ] {
        assert_eq!(status(&gateway, target).await, 400, "{target}");
    }
    assert!(upstream.received().is_empty(), "{:?}", upstream.received());
}

#[tokio::test]
async fn the_form_that_is_matched_is_the_form_that_is_forwarded() {
    let (upstream, gateway) = app().await;
    for (written, forwarded) in [
        ("/public/a", "/public/a"),
        ("/%70ublic/a", "/public/a"),
        ("/public/%7Euser", "/public/~user"),
        ("/public/a%20b?q=%20+", "/public/a%20b?q=%20+"),
        ("/public/caf%c3%a9", "/public/caf%C3%A9"),
        ("/public/a%3fb%23c", "/public/a%3Fb%23c"),
        ("/public/a%252e", "/public/a%252e"),
        ("/public/a?x=../../admin", "/public/a?x=../../admin"),
        ("/public/", "/public/"),
    ] {
        assert_eq!(status(&gateway, written).await, 200, "{written}");
        assert_eq!(upstream.last().target, forwarded, "{written}");
    }
}

#[tokio::test]
async fn a_query_string_makes_no_path_public() {
    let (upstream, gateway) = app().await;
    for target in [
        "/admin?path=/public/a",
        "/admin?/public/",
        "/admin?x=%2fpublic%2f",
        "/?/public/a",
    ] {
        assert_eq!(status(&gateway, target).await, 401, "{target}");
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn what_stands_behind_a_number_sign_widens_nothing() {
    let (upstream, gateway) = app().await;
    for target in ["/admin#/public/a", "/admin/#/../public/a", "/#/public/"] {
        let status = status(&gateway, target).await;
        assert!(matches!(status, 400 | 401), "{target}: {status}");
    }
    assert!(upstream.received().is_empty());
    status(&gateway, "/public/a#/../admin").await;
    assert!(
        upstream.received().iter().all(|r| r.target == "/public/a"),
        "{:?}",
        upstream.received()
    );
}

#[tokio::test]
async fn a_target_with_a_host_is_for_that_host_or_refused() {
    let (upstream, gateway) = app().await;
    for request in [
        "GET https://other/public/a HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET http://user@localhost/public/a HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET http:/public/a HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ] {
        let mut raw = gateway.https().raw().await;
        raw.write(request).await;
        let status = raw.try_answer().await.map_or(400, |answer| answer.status);
        assert!(matches!(status, 400 | 405), "{request}: {status}");
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn what_no_route_matches_is_denied() {
    let upstream = Upstream::echo().await;
    let config = Config::new()
        .upstream("app", &upstream)
        .route("/app/**", "upstream = \"app\"\nauth = \"none\"");
    let gateway = config.start().await;
    for path in ["/", "/other", "/ap", "/apps", "/application/x"] {
        let answer = gateway
            .https()
            .get(path)
            .bearer(&tokens::token("u-1"))
            .send()
            .await;
        assert_eq!(answer.status, 404, "{path}");
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn the_most_specific_route_wins_in_whatever_order_they_stand() {
    let mut routes = vec![
        ("/**", "rest"),
        ("/a/**", "deep"),
        ("/a/*", "one"),
        ("/a/b", "exact"),
        ("/a/*/c", "middle"),
    ];
    for _ in 0..2 {
        let upstream = Upstream::echo().await;
        let mut config = Config::new().upstream("app", &upstream);
        for (path, name) in &routes {
            let rest = format!("upstream = \"app\"\nauth = \"none\"\nadd_prefix = \"/{name}\"");
            config = config.route(path, &rest);
        }
        let gateway = config.start().await;
        for (path, expected) in [
            ("/x", "rest"),
            ("/a/b", "exact"),
            ("/a/x", "one"),
            ("/a/x/c", "middle"),
            ("/a/x/d", "deep"),
            ("/a/b/c", "middle"),
        ] {
            gateway.https().get(path).send().await.expect(200);
            assert_eq!(
                upstream.last().target,
                format!("/{expected}{path}"),
                "{path}"
            );
        }
        routes.reverse();
    }
}

#[tokio::test]
async fn routes_are_told_apart_by_host_and_method() {
    let upstream = Upstream::echo().await;
    let config = Config::new()
        .upstream("app", &upstream)
        .route(
            "/**",
            "upstream = \"app\"\nauth = \"none\"\nhost = \"api.example.test\"",
        )
        .route(
            "/things",
            "upstream = \"app\"\nauth = \"none\"\nmethods = [\"GET\"]",
        );
    let gateway = config.start().await;
    let client = gateway.https();
    client.get("/things").send().await.expect(200);
    client.get("/x").send().await.expect(404);
    client
        .get("/x")
        .replace("host", "api.example.test")
        .send()
        .await
        .expect(200);
    client
        .get("/x")
        .replace("host", "API.Example.Test:8443")
        .send()
        .await
        .expect(200);
    let refused = client.call("DELETE", "/things").send().await.expect(405);
    assert!(refused.header("allow").unwrap().contains("GET"));
    client.call("HEAD", "/things").send().await.expect(200);
}

#[tokio::test]
async fn a_missing_doubled_or_broken_host_is_refused() {
    let (upstream, gateway) = app().await;
    for hosts in [
        "",
        "Host: a\r\nHost: a\r\n",
        "Host: user@a\r\n",
        "Host: a, b\r\n",
        "Host: a b\r\n",
        "Host: a/b\r\n",
        "Host:\r\n",
    ] {
        let mut raw = gateway.https().raw().await;
        raw.write(format!("GET /public/a HTTP/1.1\r\n{hosts}\r\n"))
            .await;
        let status = raw.try_answer().await.map_or(400, |answer| answer.status);
        assert_eq!(status, 400, "{hosts:?}");
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn a_prefix_is_stripped_or_replaced_and_what_comes_of_it_is_checked_again() {
    let upstream = Upstream::echo().await;
    let config = Config::new()
        .upstream("app", &upstream)
        .route(
            "/strip/**",
            "upstream = \"app\"\nauth = \"none\"\nstrip_prefix = \"/strip\"",
        )
        .route(
            "/move/**",
            "upstream = \"app\"\nauth = \"none\"\nstrip_prefix = \"/move\"\nadd_prefix = \"/v2\"",
        );
    let gateway = config.start().await;
    for (path, forwarded) in [
        ("/strip/a/b?c=d", "/a/b?c=d"),
        ("/strip/", "/"),
        ("/move/a", "/v2/a"),
        ("/strip/strip/a", "/strip/a"),
    ] {
        assert_eq!(status(&gateway, path).await, 200, "{path}");
        assert_eq!(upstream.last().target, forwarded, "{path}");
    }
    let before = upstream.received().len();
    for path in [
        "/strip/../admin",
        "/strip//admin",
        "/strip/%2e%2e/admin",
        "/strip..//admin",
    ] {
        let status = status(&gateway, path).await;
        assert!(matches!(status, 400 | 404), "{path}: {status}");
    }
    assert_eq!(upstream.received().len(), before);
}

#[tokio::test]
async fn no_method_override_and_no_plain_options_skips_authentication() {
    let (upstream, gateway) = app().await;
    let client = gateway.https();
    client.call("OPTIONS", "/admin").send().await.expect(401);
    client
        .call("OPTIONS", "/admin")
        .header("origin", "https://evil.test")
        .send()
        .await
        .expect(401);
    for name in [
        "x-http-method-override",
        "x-method-override",
        "x-http-method",
    ] {
        client
            .post("/admin")
            .header(name, "OPTIONS")
            .send()
            .await
            .expect(401);
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn http2_targets_are_held_to_the_same_form() {
    let (upstream, gateway) = app().await;
    for path in [
        "/public/../admin",
        "/public/%2e%2e/admin",
        "/public//a",
        "/public/a%2fb",
        "/public/a;b",
    ] {
        let answer = gateway.h2().get(path).send().await;
        assert_eq!(answer.status, 400, "{path}");
    }
    gateway.h2().get("/%70ublic/a").send().await.expect(200);
    assert_eq!(upstream.last().target, "/public/a");
}

#[tokio::test]
async fn over_http2_a_host_that_differs_from_the_authority_is_refused() {
    let (upstream, gateway) = app().await;
    gateway
        .h2()
        .get("/public/a")
        .header("host", "other.test")
        .send()
        .await
        .expect(400);
    let same = gateway.h2().authority();
    gateway
        .h2()
        .get("/public/a")
        .header("host", same)
        .send()
        .await
        .expect(200);
    assert_eq!(upstream.received().len(), 1);
}
