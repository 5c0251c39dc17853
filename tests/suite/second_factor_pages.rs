//! Second factors on the pages of the browser: at the login, and one's own.

use super::accounts::{PASSWORD, register, text};
use super::cookies::{COOKIE, cookie_of, submit};
use super::second_factor::{app, enrol};

#[tokio::test]
async fn a_login_by_form_asks_for_the_code_on_a_second_page() {
    let (_upstream, gateway) = app().await;
    let client = gateway.https();
    let ann = register(&client, "ann@example.com").await;
    let (_, mut phone) = enrol(&client, text(&ann, "access_token")).await;
    let typed = format!(
        "username=ann%40example.com&password={}&remember=1&return_to=/app/start",
        PASSWORD.replace(' ', "+")
    );
    let page = submit(&client, &typed, None).await.expect(200);
    assert!(
        page.headers.get_all("set-cookie").iter().next().is_none(),
        "{:?}",
        page.headers
    );
    let html = page.text();
    assert!(
        html.contains("action=\"/auth/login/second-factor\""),
        "{html}"
    );
    let challenge = html.split("name=\"challenge\" value=\"").nth(1).unwrap();
    let challenge = challenge.split('"').next().unwrap();

    let send = |code: String, challenge: &str, site: &'static str| {
        let fields = format!("challenge={challenge}&code={code}&remember=1&return_to=/app/start");
        let call = gateway.https().post("/auth/login/second-factor");
        let call = call.header("sec-fetch-site", site).form(&fields);
        async move { call.send().await }
    };
    let wrong = send(String::from("000000"), challenge, "same-origin")
        .await
        .expect(403);
    assert!(
        wrong.text().contains("The code is wrong"),
        "{}",
        wrong.text()
    );
    assert!(wrong.text().contains(challenge), "it can be tried again");
    let over = send(String::from("000000"), "made-up", "same-origin")
        .await
        .expect(401);
    assert!(over.text().contains("begin again"), "{}", over.text());
    assert!(over.text().contains("name=\"password\""));
    let code = phone.code();
    send(code.clone(), challenge, "cross-site")
        .await
        .expect(403);

    let arrived = send(code, challenge, "same-origin").await.expect(303);
    assert_eq!(arrived.header("location"), Some("/app/start"));
    let cookie = cookie_of(&arrived);
    assert!(cookie.starts_with(COOKIE));
    let vault = client.get("/vault/x").header("cookie", &cookie);
    vault.send().await.expect(200);
    let page = client.get("/auth/second-factor").header("cookie", &cookie);
    let page = page.send().await.expect(200);
    assert!(
        page.text().contains("Recovery codes that are left: 10"),
        "{}",
        page.text()
    );
}

#[tokio::test]
async fn a_code_that_was_mistyped_does_not_cost_the_secret_that_was_scanned() {
    let (_upstream, gateway) = app().await;
    let client = gateway.https();
    register(&client, "ann@example.com").await;
    let password = PASSWORD.replace(' ', "+");
    let typed = format!("username=ann%40example.com&password={password}");
    let cookie = cookie_of(&submit(&client, &typed, None).await);
    let send = async |path: &str, fields: &str| {
        let call = client.post(&format!("/auth/second-factor{path}"));
        let call = call.header("sec-fetch-site", "same-origin");
        call.header("cookie", &cookie).form(fields).send().await
    };
    let password = format!("password={password}");
    send("", &password).await.expect(200);
    let wrong = ["000000"; 5].map(|code| (code, 403));
    for (code, status) in [("12345", 422)]
        .into_iter()
        .chain(wrong)
        .chain([("000000", 429)])
    {
        let page = send("/confirm", &format!("code={code}")).await;
        let html = page.expect(status).text();
        assert!(
            html.contains("action=\"/auth/second-factor/confirm\""),
            "{html}"
        );
    }
}

#[tokio::test]
async fn a_page_is_there_again_where_its_form_was_sent() {
    let (_upstream, gateway) = app().await;
    let client = gateway.https();
    register(&client, "ann@example.com").await;
    let page = client.get("/auth/login/second-factor").send().await;
    assert!(page.expect(200).text().contains("name=\"password\""));
    let typed = format!(
        "username=ann%40example.com&password={}",
        PASSWORD.replace(' ', "+")
    );
    let cookie = cookie_of(&submit(&client, &typed, None).await);
    for path in ["", "/confirm", "/recovery-codes", "/remove"] {
        let path = format!("/auth/second-factor{path}");
        let page = client.get(&path).header("cookie", &cookie).send().await;
        assert!(page.expect(200).text().contains("Set up"), "{path}");
    }
}
