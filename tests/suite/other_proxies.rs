//! A real nginx and a real Caddy that do as the gateway says, configured as `docs/other-proxies.md` has it.

use super::accounts::{PASSWORD, register};
use super::cookies::{cookie_of, submit};
use super::harness::proxy::{Proxy, documented};
use super::harness::{Gateway, Upstream, tokens};
use super::verification::{asked, asked_with};

/// What both proxies must do, whatever a client sends.
async fn guards(proxy: &Proxy, backend: &Upstream) {
    let client = proxy.client();
    let ann = tokens::token_with_roles("ann", &["member"]);
    client.get("/private").send().await.expect(401);
    client
        .get("/private")
        .bearer("garbage")
        .send()
        .await
        .expect(401);
    client.get("/admin/a").bearer(&ann).send().await.expect(403);
    assert!(backend.received().is_empty());
    let said = client
        .post("/private?x=1")
        .bearer(&ann)
        .bytes("a body")
        .send()
        .await
        .expect(200);
    assert_eq!(said.json()["body"], "a body");
    let received = backend.last();
    assert_eq!(
        (&*received.method, &*received.target),
        ("POST", "/private?x=1")
    );
    assert_eq!(received.header("x-user-id").as_deref(), Some("ann"));
    assert_eq!(received.header("x-user-roles").as_deref(), Some("member"));
    assert_eq!(received.header("authorization"), None);
    for path in ["/public/a", "/private"] {
        let mut call = client.get(path).bearer(&ann);
        for name in [
            "X-User-Roles",
            "x_user_roles",
            "X-User_Roles",
            "X_User-Roles",
            "X-User-Name",
        ] {
            call = call.header(name, "admin");
        }
        call.send().await.expect(200);
        let values = ["x-user-roles", "x-user-name"].map(|n| backend.last().spellings(n));
        for (name, value) in values.into_iter().flatten() {
            assert!(
                value != "admin" && !name.contains('_'),
                "{path} {name}: {value}"
            );
        }
    }
    client.get("/public/a").send().await.expect(200);
    for name in [
        "x-user-id",
        "x-user-email",
        "x-user-name",
        "x-user-roles",
        "cookie",
    ] {
        assert_eq!(backend.last().header(name), None, "{name}");
    }
    let passed = backend.received().len();
    // C06: the client states another request than the one that it makes.
    for (name, value) in [
        ("x-original-url", "http://localhost/public/a"),
        ("x-forwarded-uri", "/public/a"),
        ("x-original-method", "GET"),
        ("x-forwarded-method", "GET"),
        ("x-forwarded-host", "tenant.test"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-rewrite-url", "/public/a"),
    ] {
        let answer = client.get("/private").header(name, value).send().await;
        assert!(answer.status.as_u16() >= 400, "{name}: {}", answer.status);
    }
    let raw_paths = [
        "/public/../private",
        "/public/%2e%2e/private",
        "/public/..;/private",
    ];
    for target in raw_paths
        .into_iter()
        .chain(["//public/a", "/auth/v1/verify"])
    {
        let mut raw = client.raw().await;
        raw.write(format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Uri: /public/a\r\nConnection: close\r\n\r\n"
        ))
        .await;
        let status = raw.try_answer().await.map_or(400, |answer| answer.status);
        assert!(status >= 400, "{target}: {status}");
    }
    assert_eq!(backend.received().len(), passed);
}

#[tokio::test]
async fn a_real_nginx_does_as_the_gateway_says() {
    let (_gateway, port) = asked().await;
    let backend = Upstream::echo().await;
    let proxy = Proxy::nginx(documented("nginx"), port, &backend).await;
    guards(&proxy, &backend).await;
    // A host in the request line is the one that nginx serves, so it is the one that decides.
    let before = backend.received().len();
    for (line, host, status) in [
        ("http://app.test/tenant/a", "tenant.test", 401),
        ("http://tenant.test/tenant/a", "app.test", 200),
        // Caddy makes `%23` of it, for both; nginx cuts nothing off and adds nothing.
        ("/public/a#b", "localhost", 500),
    ] {
        let mut raw = proxy.client().raw().await;
        let request = format!("GET {line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        raw.write(request).await;
        let answer = raw.try_answer().await.unwrap();
        assert_eq!(answer.status, status, "{line} {host}");
    }
    assert_eq!(backend.received().len(), before + 1);
}

#[tokio::test]
async fn a_real_nginx_can_say_too_many_requests() {
    let (_gateway, port) = asked().await;
    let backend = Upstream::echo().await;
    let with_status = documented("nginx").replacen(
        "location / {",
        &format!(
            "{}location / {{\n{}",
            documented("nginx-refused"),
            documented("nginx-refusals")
        ),
        1,
    );
    let proxy = Proxy::nginx(&with_status, port, &backend).await;
    let client = proxy.client();
    for _ in 0..2 {
        client.get("/few/a").send().await.expect(200);
    }
    let refused = client.get("/few/a").send().await.expect(429);
    assert!(
        refused.header("retry-after").is_some(),
        "{:?}",
        refused.headers
    );
    client.get("/private").send().await.expect(401);
    client.post("/readers").send().await.expect(403);
}

#[tokio::test]
async fn a_real_caddy_does_as_the_gateway_says() {
    let (_gateway, port) = asked().await;
    let backend = Upstream::echo().await;
    let proxy = Proxy::caddy(documented("caddy"), port, &backend).await;
    guards(&proxy, &backend).await;
    let client = proxy.client();
    let refused = client.get("/admin/a").send().await.expect(401);
    assert_eq!(refused.json()["error"], "unauthorized");
    for _ in 0..2 {
        client.get("/few/a").send().await.expect(200);
    }
    let refused = client.get("/few/a").send().await.expect(429);
    assert!(refused.header("retry-after").is_some());
}

/// A gateway that is asked, with a login page, and an account for Ann.
async fn with_login() -> (Gateway, u16) {
    let more = "[accounts]\nprofiles = [\"native\", \"browser\"]\n\
                [server]\ntrusted_proxies = [\"127.0.0.1\"]";
    let (gateway, port) = asked_with(more).await;
    register(&gateway.https(), "ann@example.com").await;
    (gateway, port)
}

/// A person who logs in behind the proxy: sent to the page, and known by the cookie from then on.
async fn logs_in(proxy: &Proxy, backend: &Upstream) {
    let client = proxy.client();
    let navigate = || {
        client
            .get("/private?a=1&b=2")
            .header("sec-fetch-mode", "navigate")
    };
    let sent = navigate().send().await.expect(303);
    let page = sent.header("location").unwrap();
    let page = page.strip_prefix(&client.url("")).unwrap_or(page);
    assert_eq!(page, "/auth/login?return_to=/private%3Fa%3D1%26b%3D2");
    client.get("/private?a=1&b=2").send().await.expect(401);
    let form = client.get(page).send().await.expect(200).text();
    assert!(form.contains("value=\"/private?a=1&amp;b=2\""), "{form}");
    assert!(backend.received().is_empty());

    let password = PASSWORD.replace(' ', "+");
    let fields = format!("username=ann%40example.com&password={password}&return_to=/private");
    let answer = submit(&client, &fields, None).await.expect(303);
    let cookie = cookie_of(&answer);
    let cookies = format!("theme=dark; {cookie}; lang=en");
    navigate()
        .header("cookie", &cookies)
        .send()
        .await
        .expect(200);
    let seen = backend.last();
    assert_eq!(
        seen.header("x-user-email").as_deref(),
        Some("ann@example.com")
    );
    assert_eq!(seen.header("x-user-roles").as_deref(), Some("member"));
    assert_eq!(
        seen.header("cookie").as_deref(),
        Some("theme=dark; lang=en")
    );
    // With no other cookies, and where nobody is asked for: no backend sees the gateway's.
    for path in ["/private", "/optional/a", "/public/a"] {
        client
            .get(path)
            .header("cookie", &cookie)
            .send()
            .await
            .expect(200);
        assert_eq!(backend.last().header("cookie"), None, "{path}");
    }
    for (site, status) in [("same-origin", 200), ("cross-site", 403)] {
        let call = client.post("/private").header("cookie", &cookie);
        let answer = call.header("sec-fetch-site", site).send().await;
        answer.expect(status);
    }

    let logout = client.post("/auth/logout").header("cookie", &cookie);
    let logout = logout.header("sec-fetch-site", "same-origin").send().await;
    logout.expect(303);
    navigate()
        .header("cookie", &cookie)
        .send()
        .await
        .expect(303);
    client
        .get("/private")
        .header("cookie", &cookie)
        .send()
        .await
        .expect(401);
    // Who may not ask does not, through the proxy either.
    let call = client
        .get("/auth/v1/verify")
        .header("x-forwarded-uri", "/public/a");
    let answer = call.header("cookie", &cookie).send().await;
    assert!(answer.status.as_u16() >= 400, "{}", answer.status);
}

#[tokio::test]
async fn a_person_logs_in_behind_a_real_nginx() {
    let (_gateway, port) = with_login().await;
    let backend = Upstream::echo().await;
    let with_page = documented("nginx").replacen(
        "location / {",
        &format!(
            "{}location / {{\n{}",
            documented("nginx-login"),
            documented("nginx-to-login")
        ),
        1,
    );
    let proxy = Proxy::nginx(&with_page, port, &backend).await;
    logs_in(&proxy, &backend).await;
}

#[tokio::test]
async fn a_person_logs_in_behind_a_real_caddy() {
    let (_gateway, port) = with_login().await;
    let backend = Upstream::echo().await;
    let with_page = format!(":80 {{\n{}", documented("caddy-login"));
    let with_page = documented("caddy").replacen(":80 {", &with_page, 1);
    let proxy = Proxy::caddy(&with_page, port, &backend).await;
    logs_in(&proxy, &backend).await;
}
