//! One session cookie for all hosts of a domain, where an operator chose so.

use super::accounts::register;
use super::cookies::COOKIE;
use super::harness::Upstream;
use super::harness::visitor::Visitor;
use super::sign_on::{APP, TEAM, config, log_in_for};

#[tokio::test]
async fn a_domain_that_shares_one_cookie_needs_no_code_and_other_hosts_still_do() {
    const SHARED: &str = "__Secure-portcullis-session";
    const LOGIN: &str = "login.team.localhost";
    let upstream = Upstream::echo().await;
    let config = config(&upstream).toml("[accounts]\ncookie_domain = \"team.localhost\"");
    let refused = config.check();
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("not within `cookie_domain`"), "{said}");
    let public_url = format!("public_url = \"https://{LOGIN}:{}\"", config.https);
    let gateway = config
        .toml(&format!("[server]\n{public_url}"))
        .start()
        .await;
    register(&gateway.https(), "ann@example.com").await;

    let mut ann = Visitor::new(&gateway.https());
    let page = ann.url(TEAM, "/page");
    let (way, landed) = log_in_for(&mut ann, &page).await;
    landed.expect(200);
    assert_eq!(way, [way[0].clone(), page]);
    let cookie = ann
        .cookie("team.localhost", SHARED)
        .expect("one cookie")
        .to_owned();
    assert_eq!(upstream.last().header("cookie"), None);
    assert_eq!(ann.cookie(LOGIN, COOKIE), None);

    // Who comes with it to the login page is asked, and not sent in circles.
    let url = format!(
        "/auth/login?host={TEAM}&ticket={}&return_to=/page",
        "A".repeat(43)
    );
    let url = ann.url(LOGIN, &url);
    let shown = ann.open(&url).await.expect(200).text();
    assert!(
        shown.contains(&format!("href=\"{}\"", ann.url(TEAM, "/page"))),
        "{shown}"
    );

    let page = ann.url(APP, "/page");
    ann.follow(&page).await.1.expect(200);
    assert_eq!(ann.cookie(APP, COOKIE), Some(&*cookie));
    // A host outside has no use for the domain's cookie, and one inside none for another.
    let client = gateway.https();
    for (host, name) in [(APP, SHARED), (TEAM, COOKIE)] {
        let call = client.clone().host(host).get("/page");
        let call = call.header("cookie", format!("{name}={cookie}"));
        call.send().await.expect(401);
    }
    let logout = ann.url(TEAM, "/auth/logout");
    ann.submit(&logout, "").await.1.expect(200);
    assert_eq!(ann.cookie("team.localhost", SHARED), None);
    let (_, form) = ann.follow(&page).await;
    assert!(form.expect(200).text().contains("name=\"password\""));
}
