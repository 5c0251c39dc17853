//! The login page: where a browser is sent, what it shows, and where it goes back to.

use super::accounts::PASSWORD;
use super::cookies::{COOKIE, app, config, cookie_of, log_in, submit};
use super::harness::{Answer, Gateway, Upstream};

async fn navigate(gateway: &Gateway, path: &str) -> Answer {
    let call = gateway
        .https()
        .get(path)
        .header("sec-fetch-mode", "navigate");
    call.header("accept", "text/html").send().await
}

#[tokio::test]
async fn a_browser_without_a_session_is_sent_to_the_login_and_a_program_is_not() {
    let (_upstream, gateway) = app().await;
    let answer = navigate(&gateway, "/app/list?page=2&q=a%20b")
        .await
        .expect(303);
    let to = "/auth/login?return_to=/app/list%3Fpage%3D2%26q%3Da%2520b";
    assert_eq!(answer.header("location"), Some(to));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let page = gateway.https().get(to).send().await.expect(200).text();
    assert!(
        page.contains("value=\"/app/list?page=2&amp;q=a%20b\""),
        "{page}"
    );

    let cookie = format!("{COOKIE}=x");
    let call = gateway.https().get("/app/a").header("cookie", cookie);
    let answer = call
        .header("sec-fetch-mode", "navigate")
        .send()
        .await
        .expect(303);
    assert!(answer.header("set-cookie").unwrap().contains("Max-Age=0"));

    for method in ["GET", "POST"] {
        let call = gateway.https().call(method, "/app/a");
        let answer = call
            .header("sec-fetch-mode", "cors")
            .send()
            .await
            .expect(401);
        assert_eq!(answer.json()["code"], "credential_missing");
    }
}

#[tokio::test]
async fn a_form_that_is_refused_before_it_is_read_gets_a_page() {
    let upstream = Upstream::echo().await;
    let gateway = config(&upstream)
        .toml("[[limit]]\nname = \"credential\"\nkey = \"client\"\nrate = \"1/h\"")
        .start()
        .await;
    let send = async |path: &str| {
        let call = gateway.https().post(path);
        let call = call
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-site", "same-origin");
        call.form("username=ann%40example.com&password=wrong")
            .send()
            .await
    };
    send("/auth/login").await.expect(401);
    let refused = send("/auth/login").await.expect(429);
    assert!(refused.header("retry-after").is_some());
    let session_over = send("/app/edit").await.expect(401);
    let link = "href=\"/auth/login?return_to=/app/edit\"";
    assert!(
        session_over.text().contains(link),
        "{}",
        session_over.text()
    );
    for answer in [refused, session_over] {
        let kind = answer.header("content-type");
        assert_eq!(kind, Some("text/html; charset=utf-8"));
        assert!(answer.text().contains("<h1>"), "{}", answer.text());
    }
}

#[tokio::test]
async fn the_login_page_runs_nothing_and_shows_what_was_typed_as_text() {
    let (_upstream, gateway) = app().await;
    let page = navigate(&gateway, "/auth/login").await.expect(200);
    let policy = page.header("content-security-policy").unwrap();
    for part in [
        "default-src 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert!(!page.text().contains("<script"));
    let typed = "username=%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E&password=wrong";
    let answer = submit(&gateway.https(), typed, None).await;
    assert!(
        matches!(answer.status.as_u16(), 401 | 422),
        "{}",
        answer.status
    );
    assert!(!answer.text().contains("<script"), "{}", answer.text());
}

#[tokio::test]
async fn a_wrong_password_is_said_on_the_page_and_opens_nothing() {
    let (_upstream, gateway) = app().await;
    let fields = "username=ann%40example.com&password=wrong&return_to=/app/a";
    let answer = submit(&gateway.https(), fields, None).await.expect(401);
    assert!(!answer.headers.contains_key("set-cookie"));
    let page = answer.text();
    assert!(page.contains("Invalid login name or password"), "{page}");
    assert!(page.contains("value=\"/app/a\"") && page.contains("value=\"ann@example.com\""));
    assert!(
        !page.contains("wrong"),
        "a password is never repeated: {page}"
    );
    let unknown = fields.replace("ann%40", "eve%40");
    let other = submit(&gateway.https(), &unknown, None).await.expect(401);
    assert_eq!(other.text().replace("eve@", "ann@"), page);
}

#[tokio::test]
async fn nobody_is_sent_to_another_site_after_the_login() {
    let (_upstream, gateway) = app().await;
    for target in [
        "//evil.example",
        "/%5Cevil.example",
        "%2F%5Cevil.example",
        "/%09/evil.example",
        "/%2509/evil.example",
        "https:evil.example",
        "https%3A%2F%2Fevil.example",
        "https%3A%2F%2Flocalhost.evil.example%2F",
        "https%3A%2F%2Flocalhost%40evil.example",
        "%20//evil.example",
        "javascript:alert(1)",
        "/a%0d%0aLocation:%20https://evil.example",
        "/auth/login",
    ] {
        let password = PASSWORD.replace(' ', "+");
        let fields = format!("username=ann%40example.com&password={password}&return_to={target}");
        let answer = submit(&gateway.https(), &fields, None).await.expect(303);
        assert_eq!(answer.header("location"), Some("/"), "{target}");
        let page = navigate(&gateway, &format!("/auth/login?return_to={target}")).await;
        let page = page.expect(200).text();
        assert!(
            page.contains("name=\"return_to\" value=\"/\""),
            "{target}: {page}"
        );
    }
}

#[tokio::test]
async fn a_foreign_page_cannot_log_somebody_in_or_out() {
    let (_upstream, gateway) = app().await;
    let password = PASSWORD.replace(' ', "+");
    let fields = format!("username=ann%40example.com&password={password}");
    for (name, value) in [
        ("x-nothing", "1"),
        ("sec-fetch-site", "cross-site"),
        ("origin", "https://evil.example"),
    ] {
        let call = gateway.https().post("/auth/login").header(name, value);
        let answer = call.form(&fields).send().await.expect(403);
        assert!(!answer.headers.contains_key("set-cookie"), "{name}");
        let cookie = log_in(&gateway, "").await;
        let call = gateway.https().post("/auth/logout").header(name, value);
        call.header("cookie", &cookie).send().await.expect(403);
        let call = gateway.https().get("/private").header("cookie", &cookie);
        call.send().await.expect(200);
    }
}

#[tokio::test]
async fn a_sign_out_ends_the_session_and_takes_the_cookie() {
    let (_upstream, gateway) = app().await;
    let cookie = log_in(&gateway, "").await;
    let call = gateway.https().get("/auth/login").header("cookie", &cookie);
    let page = call.send().await.expect(200).text();
    assert!(page.contains("signed in as ann@example.com"), "{page}");
    let call = gateway
        .https()
        .post("/auth/logout")
        .header("cookie", &cookie);
    let answer = call
        .header("sec-fetch-site", "same-origin")
        .send()
        .await
        .expect(303);
    assert_eq!(answer.header("location"), Some("/auth/login"));
    assert!(answer.header("set-cookie").unwrap().contains("Max-Age=0"));
    let call = gateway.https().get("/private").header("cookie", &cookie);
    call.send().await.expect(401);
    // Without a session there is nothing to end, and nothing to complain of.
    gateway
        .https()
        .post("/auth/logout")
        .send()
        .await
        .expect(303);
    let again = format!(
        "username=ann%40example.com&password={}",
        PASSWORD.replace(' ', "+")
    );
    let answer = submit(&gateway.https(), &again, Some(&cookie))
        .await
        .expect(303);
    assert_ne!(cookie_of(&answer), cookie);
}
