//! The login by a real browser: sent to the form, back to where it was going, and out again.

use serde_json::json;

use super::accounts::{PASSWORD, register};
use super::cookies::{COOKIE, app};
use super::harness::browser::Browser;
use super::harness::within;
use super::second_factor::{self, App};
use super::sign_on::{APP, LOGIN, WIKI, hosts};

#[tokio::test]
async fn a_person_logs_in_by_the_form_and_out_again_in_a_real_browser() {
    let (upstream, gateway) = app().await;
    let browser = Browser::start(&gateway.path("site.pem")).await;
    let site = gateway.https().url("");

    browser.open(&format!("{site}/app/start?page=2")).await;
    let at = browser.url().await;
    assert!(
        at.starts_with(&format!("{site}/auth/login?return_to=")),
        "{at}"
    );
    browser
        .type_into("[name=username]", "ann@example.com")
        .await;
    browser.type_into("[name=password]", "wrong").await;
    browser.click("#login button").await;
    // A click returns before the page that it leads to is there.
    within("the refusal is shown", async {
        while !browser
            .source()
            .await
            .contains("Invalid login name or password")
        {}
    })
    .await;
    assert_eq!(browser.cookie(COOKIE).await, None);

    // The name stands there still, and so does where to go on to.
    browser.type_into("[name=password]", PASSWORD).await;
    browser.click("[name=remember]").await;
    browser.click("#login button").await;
    within("the page that was asked for is shown", async {
        while browser.url().await != format!("{site}/app/start?page=2") {}
    })
    .await;
    let email = upstream.last().header("x-user-email");
    assert_eq!(email.as_deref(), Some("ann@example.com"));
    assert!(
        !upstream
            .last()
            .values("cookie")
            .join(";")
            .contains("portcullis")
    );
    let cookie = browser.cookie(COOKIE).await.expect("a session cookie");
    assert_eq!(cookie["httpOnly"], true);
    assert_eq!(cookie["secure"], true);
    assert_eq!(cookie["sameSite"], "Lax");
    assert!(cookie["expiry"].is_number(), "{cookie}");

    // No script of the site's own pages reads it, and its requests carry it.
    let read = browser.script("return document.cookie").await;
    assert!(!read.to_string().contains("portcullis"), "{read}");
    let post = "const r = new XMLHttpRequest(); r.open('POST', '/app/change', false); \
                r.send('x'); return r.status";
    assert_eq!(browser.script(post).await, 200);

    browser.open(&format!("{site}/auth/login")).await;
    assert!(
        browser
            .source()
            .await
            .contains("signed in as ann@example.com")
    );
    browser.click("form[action='/auth/logout'] button").await;
    within("the session's cookie is gone", async {
        while browser.cookie(COOKIE).await.is_some() {}
    })
    .await;
    browser.open(&format!("{site}/app/start")).await;
    assert!(browser.url().await.contains("/auth/login?"));
}

#[tokio::test]
async fn a_person_logs_in_once_for_several_hosts_in_a_real_browser() {
    let (upstream, gateway) = hosts().await;
    let browser = Browser::start(&gateway.path("site.pem")).await;
    let url = |host: &str, path: &str| gateway.https().host(host).url(path);
    let arrives = async |at: String| {
        within("the page that was asked for is shown", async {
            while browser.url().await != at {}
        })
        .await;
    };
    let asked = async |to: &str| {
        browser.open(&url(to, "/page?a=1")).await;
        let at = browser.url().await;
        assert!(at.starts_with(&url(LOGIN, "/auth/login?host=")), "{at}");
    };

    asked(APP).await;
    browser
        .type_into("[name=username]", "ann@example.com")
        .await;
    browser.type_into("[name=password]", PASSWORD).await;
    browser.click("#login button").await;
    arrives(url(APP, "/page?a=1")).await;
    let email = upstream.last().header("x-user-email");
    assert_eq!(email.as_deref(), Some("ann@example.com"));
    let cookie = browser.cookie(COOKIE).await.expect("a cookie of this host");
    assert_eq!(cookie["domain"], APP);
    assert_eq!(browser.cookie("__Host-portcullis-ticket").await, None);

    // The second host, without a password.
    browser.open(&url(WIKI, "/start")).await;
    arrives(url(WIKI, "/start")).await;
    assert_eq!(browser.cookie(COOKIE).await.unwrap()["domain"], WIKI);

    // Out on one: both ask again.
    browser.open(&url(WIKI, "/auth/login")).await;
    browser.click("form[action='/auth/logout'] button").await;
    within("the login page is shown", async {
        while !browser.source().await.contains("name=\"password\"") {}
    })
    .await;
    for host in [APP, WIKI] {
        asked(host).await;
    }
}

#[tokio::test]
async fn a_person_sets_a_second_factor_up_and_logs_in_with_it_in_a_real_browser() {
    let (_upstream, gateway) = second_factor::app().await;
    register(&gateway.https(), "ann@example.com").await;
    let browser = Browser::start(&gateway.path("site.pem")).await;
    let site = gateway.https().url("");
    let shows = async |what: &str| {
        within(what, async {
            while !browser.source().await.contains(what) {}
        })
        .await;
        browser.source().await
    };
    let log_in = async || {
        let name = "[name=username]";
        browser.type_into(name, "ann@example.com").await;
        browser.type_into("[name=password]", PASSWORD).await;
        browser.click("#login button").await;
    };

    // Whoever is not logged in is sent to the login, and comes back.
    browser.open(&format!("{site}/auth/second-factor")).await;
    log_in().await;
    shows("your password alone lets nobody in").await;
    browser.type_into("[name=password]", PASSWORD).await;
    browser.click("form button").await;
    shows("Scan this with your authenticator app").await;
    let picture = "const box = document.querySelector('svg').getBoundingClientRect(); \
                   return [box.width, box.height]";
    assert_eq!(browser.script(picture).await, json!([264, 264]));
    let key = "return document.querySelector('code').textContent.replaceAll(' ', '')";
    let key = browser.script(key).await;
    let key = key.as_str().unwrap();
    let mut phone = App::scan(&format!(
        "otpauth://totp/Example:ann?secret={key}&issuer=Example"
    ));

    browser.type_into("[name=code]", "000000").await;
    browser.click("form button").await;
    shows("The code is wrong").await;
    browser.type_into("[name=code]", &phone.code()).await;
    browser.click("form button").await;
    shows("They are not shown again").await;
    let codes = "return [...document.querySelectorAll('li code')].map(c => c.textContent)";
    let codes = browser.script(codes).await;
    assert_eq!(codes.as_array().unwrap().len(), 10);

    // The session goes on as another one, and the next login asks for a code.
    browser.open(&format!("{site}/vault/x")).await;
    browser.open(&format!("{site}/auth/login")).await;
    shows("signed in as ann@example.com").await;
    browser.click("form[action='/auth/logout'] button").await;
    within("the session's cookie is gone", async {
        while browser.cookie(COOKIE).await.is_some() {}
    })
    .await;
    browser.open(&format!("{site}/vault/x")).await;
    log_in().await;
    shows("Code of your authenticator app").await;
    assert_eq!(browser.cookie(COOKIE).await, None);
    browser.type_into("[name=code]", "000000").await;
    browser.click("#login button").await;
    shows("The code is wrong").await;
    browser.type_into("[name=code]", &phone.code()).await;
    browser.click("#login button").await;
    within("the page that was asked for is shown", async {
        while browser.url().await != format!("{site}/vault/x") {}
    })
    .await;

    // Removed with a recovery code.
    browser.open(&format!("{site}/auth/second-factor")).await;
    shows("Recovery codes that are left: 10").await;
    let code = codes[0].as_str().unwrap();
    let form = "form[action='/auth/second-factor/remove']";
    browser
        .type_into(&format!("{form} [name=code]"), code)
        .await;
    browser.click(&format!("{form} button")).await;
    shows("The second factor is removed").await;
    browser.open(&format!("{site}/auth/second-factor")).await;
    shows("your password alone lets nobody in").await;
}
