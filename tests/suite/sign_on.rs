//! Single sign-on: who logged in on the login host is let in on every host that routes name.

use super::accounts::{PASSWORD, login, register, text};
use super::cookies::COOKIE;
use super::harness::certs::authority;
use super::harness::postgres::TestServer;
use super::harness::visitor::Visitor;
use super::harness::{Answer, Config, Gateway, Upstream, within};

pub const LOGIN: &str = "login.localhost";
pub const APP: &str = "app.localhost";
pub const WIKI: &str = "wiki.localhost";
/// In a domain of its own.
pub const TEAM: &str = "one.team.localhost";
/// Its routes take no cookie.
const API: &str = "api.localhost";
/// No route names it; one for any host serves it.
const STRAY: &str = "stray.localhost";
const TICKET: &str = "__Host-portcullis-ticket";

const FORM: &str = "username=ann%40example.com&password=";

pub fn config(upstream: &Upstream) -> Config {
    let hosts = [LOGIN, APP, WIKI, TEAM, API, STRAY, "login.team.localhost"];
    let leaf = authority().leaf(&[&["localhost", "127.0.0.1"], &hosts[..]].concat());
    let config = Config::new();
    let public_url = format!("public_url = \"https://{LOGIN}:{}\"", config.https);
    let route = |host: &str, rest: &str| format!("upstream = \"app\"\nhost = [{host}]\n{rest}");
    config
        .toml(&format!("[server]\n{public_url}"))
        .toml("[accounts]\nprofiles = [\"native\", \"browser\"]")
        .file("site.pem", &leaf.cert_pem)
        .file("site.key", &leaf.key_pem)
        .upstream("app", upstream)
        .route("/**", &route(&format!("{APP:?}, {WIKI:?}"), ""))
        .route("/**", &route(&format!("{TEAM:?}"), ""))
        .route("/**", &route("\"*.wide.localhost\"", ""))
        .route(
            "/**",
            &route(&format!("{API:?}"), "credentials = [\"bearer\"]"),
        )
        .route("/**", "upstream = \"app\"")
}

/// A gateway for several hosts, and an account for Ann.
pub async fn hosts() -> (Upstream, Gateway) {
    let upstream = Upstream::echo().await;
    let gateway = config(&upstream).start().await;
    register(&gateway.https(), "ann@example.com").await;
    (upstream, gateway)
}

/// The fields of the login form that the page holds, filled in.
fn filled_in(page: &str) -> String {
    let mut fields = format!("{FORM}{}", PASSWORD.replace(' ', "+"));
    let form = page.split_once("id=\"login\"").expect(page).1;
    for input in form.split("<input type=\"hidden\" name=\"").skip(1) {
        let (name, rest) = input.split_once("\" value=\"").unwrap();
        let value = rest.split_once('"').unwrap().0.replace("&amp;", "&");
        let value = value.replace('%', "%25").replace('&', "%26");
        fields.push_str(&format!("&{name}={}", value.replace('+', "%2B")));
    }
    fields
}

/// Goes to a page of a further host and logs in on the way.
pub async fn log_in_for(visitor: &mut Visitor, url: &str) -> (Vec<String>, Answer) {
    let (way, page) = visitor.follow(url).await;
    let page = page.expect(200).text();
    let fields = filled_in(&page);
    visitor.submit(way.last().unwrap(), &fields).await
}

/// Ann, logged in on the login host.
async fn ann(gateway: &Gateway) -> Visitor {
    let mut ann = Visitor::new(&gateway.https());
    let page = ann.url(LOGIN, "/auth/login");
    let (_, landed) = log_in_for(&mut ann, &page).await;
    landed.expect(200);
    assert!(ann.cookie(LOGIN, COOKIE).is_some());
    ann
}

/// Sets out from a further host and gives the URL with the code, which nobody has opened.
async fn handed_out(visitor: &mut Visitor, host: &str) -> String {
    let page = visitor.url(host, "/auth/login?return_to=/page");
    let there = visitor.open(&page).await.expect(303);
    let back = visitor.open(there.header("location").unwrap()).await;
    back.expect(303).header("location").unwrap().to_owned()
}

fn code_of(url: &str) -> &str {
    let code = url.split_once("code=").expect(url).1;
    code.split('&').next().unwrap()
}

#[track_caller]
fn refused(answer: Answer) {
    let cookies = answer.headers.get_all("set-cookie").iter();
    let mut cookies = cookies.map(|field| field.to_str().unwrap());
    assert!(
        !cookies.any(|field| field.starts_with(COOKIE)),
        "a session was given"
    );
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let page = answer.expect(401).text();
    assert!(page.contains("open the page again"), "{page}");
}

#[tokio::test]
async fn a_further_host_takes_no_password_for_a_second_factor_either() {
    let (_upstream, gateway) = hosts().await;
    let mut ann = ann(&gateway).await;
    let page = ann.url(APP, "/page");
    ann.follow(&page).await.1.expect(200);
    let [here, there] = [APP, LOGIN].map(|host| ann.url(host, "/auth/second-factor"));
    let (way, shown) = ann.follow(&here).await;
    assert_eq!(way, [&*here, &*there]);
    shown.expect(200);
    let fields = format!("password={}", PASSWORD.replace(' ', "+"));
    let (way, _) = ann.submit(&here, &fields).await;
    assert_eq!(way, [&*here, &*there]);
}

#[tokio::test]
pub async fn who_logged_in_once_is_let_in_on_every_host_that_routes_name() {
    let (upstream, gateway) = hosts().await;
    let mut ann = Visitor::new(&gateway.https());
    let page = ann.url(APP, "/page?a=1&b=%2F%2B");
    let (way, form) = ann.follow(&page).await;
    assert_eq!(way.len(), 3, "{way:?}");
    assert!(
        way[1].starts_with(&ann.url(APP, "/auth/login?return_to=")),
        "{way:?}"
    );
    assert!(way[2].starts_with(&ann.url(LOGIN, "/auth/login?host=app.localhost&ticket=")));
    // Browsers hold the redirects that answer a form against this.
    let policy = form.header("content-security-policy").unwrap();
    let expected = format!("form-action 'self' {}", ann.url(APP, ""));
    assert!(policy.ends_with(&expected), "{policy}");
    let form = form.expect(200).text();
    let ticket = ann.cookie(APP, TICKET).expect("a ticket").to_owned();
    assert!(!way.iter().any(|url| url.contains(&ticket)), "{way:?}");

    let (way, landed) = ann.submit(&way[2], &filled_in(&form)).await;
    landed.expect(200);
    assert_eq!(way.last(), Some(&page), "{way:?}");
    assert_eq!(upstream.last().target, "/page?a=1&b=%2F%2B");
    let seen = upstream.last();
    assert_eq!(
        seen.header("x-user-email").as_deref(),
        Some("ann@example.com")
    );
    assert_eq!(seen.header("cookie"), None);
    assert_eq!(ann.cookie(APP, TICKET), None);
    // One session, which each host has a cookie of its own for.
    let cookie = ann
        .cookie(LOGIN, COOKIE)
        .expect("on the login host")
        .to_owned();
    assert_eq!(ann.cookie(APP, COOKIE), Some(&*cookie));

    for host in [WIKI, TEAM] {
        let page = ann.url(host, "/start");
        let (way, landed) = ann.follow(&page).await;
        landed.expect(200);
        assert_eq!(way.len(), 5, "{way:?}");
        assert_eq!(way.last(), Some(&page), "{way:?}");
        assert_eq!(ann.cookie(host, COOKIE), Some(&*cookie));
        let (way, _) = ann.follow(&page).await;
        assert_eq!(way.len(), 1, "{way:?}");
    }
    let session = login(&gateway.https(), "ann@example.com").await;
    let call = gateway.https().get("/auth/v1/sessions");
    let list = call.bearer(text(&session, "access_token")).send().await;
    let list = list.expect(200).json();
    // registered, logged in here, and the browser's
    assert_eq!(list["sessions"].as_array().unwrap().len(), 3, "{list}");
}

#[tokio::test]
pub async fn a_logout_on_one_host_ends_the_session_on_all_of_them() {
    let (_upstream, gateway) = hosts().await;
    let mut ann = ann(&gateway).await;
    for host in [APP, WIKI] {
        let page = ann.url(host, "/page");
        ann.follow(&page).await.1.expect(200);
    }
    let page = ann.url(APP, "/auth/login");
    let shown = ann.open(&page).await.expect(200);
    let policy = shown.header("content-security-policy").unwrap();
    assert!(policy.ends_with(&ann.url(LOGIN, "")), "{policy}");
    let shown = shown.text();
    assert!(shown.contains("signed in as ann@example.com"), "{shown}");
    assert!(!shown.contains("name=\"password\""), "{shown}");

    let logout = ann.url(APP, "/auth/logout");
    let (way, form) = ann.submit(&logout, "").await;
    assert!(form.expect(200).text().contains("name=\"password\""));
    assert!(
        way.last()
            .unwrap()
            .starts_with(&ann.url(LOGIN, "/auth/login?"))
    );
    for host in [APP, WIKI, LOGIN] {
        let page = ann.url(host, "/page");
        let (way, form) = ann.follow(&page).await;
        assert!(
            form.expect(200).text().contains("name=\"password\""),
            "{way:?}"
        );
        assert_eq!(ann.cookie(host, COOKIE), None);
    }
}

#[tokio::test]
pub async fn a_code_is_good_once_on_its_host_in_its_browser_and_while_its_session_lives() {
    let (_upstream, gateway) = hosts().await;
    let mut ann = ann(&gateway).await;
    let mut mallory = Visitor::new(&gateway.https());
    let page = mallory.url(APP, "/page");
    mallory.follow(&page).await.1.expect(200);
    let without = Visitor::new(&gateway.https());

    // A second time.
    let url = handed_out(&mut ann, APP).await;
    let mut before = ann.clone();
    let opened = ann.open(&url).await.expect(303);
    assert_eq!(opened.header("location"), Some("/page"));
    assert_eq!(opened.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(opened.header("cache-control"), Some("no-store"));
    refused(before.open(&url).await);
    refused(without.clone().open(&url).await);
    // Her own browser, which has the session, just goes on.
    ann.open(&url).await.expect(303);
    ann.forget(APP, COOKIE);

    // Somebody else's browser, with a ticket of its own and without: it is not logged in to Ann's
    // account, or to whosever the link is.
    for visitor in [&mut mallory, &mut without.clone()] {
        let url = handed_out(&mut ann, APP).await;
        refused(visitor.open(&url).await);
    }
    // Another host, in a browser that comes from there too.
    handed_out(&mut ann, WIKI).await;
    let url = handed_out(&mut ann, APP).await;
    for host in [WIKI, LOGIN, STRAY] {
        let elsewhere = url.replace(APP, host);
        let mut visitor = ann.clone();
        visitor.forget(LOGIN, COOKIE);
        refused(visitor.open(&elsewhere).await);
    }
    // It was shown in the wrong place: nobody has it any more.
    refused(ann.open(&url).await);

    // What was made up, torn or left out.
    let url = handed_out(&mut ann, APP).await;
    let code = code_of(&url).to_owned();
    let flipped = match code.strip_prefix('A') {
        Some(rest) => format!("B{rest}"),
        None => format!("A{}", &code[1..]),
    };
    let long = "A".repeat(4096);
    for made_up in [
        "",
        "x",
        &flipped,
        &code[1..],
        &format!("{code}A"),
        &long,
        "%00",
        "%zz",
    ] {
        refused(ann.open(&url.replace(&code, made_up)).await);
    }
    let none = ann.url(APP, "/auth/login/code");
    refused(ann.open(&none).await);
    // None of that used up the real one; where it leads to is a path of this host.
    let elsewhere = url.replace("return_to=/page", "return_to=//evil.example/");
    let opened = ann.open(&elsewhere).await.expect(303);
    assert_eq!(opened.header("location"), Some("/"));
    ann.forget(APP, COOKIE);

    // The session has ended.
    let url = handed_out(&mut ann, APP).await;
    let session = login(&gateway.https(), "ann@example.com").await;
    let call = gateway.https().call("DELETE", "/auth/v1/sessions");
    let call = call.bearer(text(&session, "access_token"));
    call.send().await.expect(200);
    refused(ann.open(&url).await);
}

#[tokio::test]
async fn nobody_is_sent_to_a_host_that_no_route_with_sessions_names() {
    let (_upstream, gateway) = hosts().await;
    let mut ann = ann(&gateway).await;
    let ticket = "A".repeat(43);
    let mut guest = Visitor::new(&gateway.https());
    for host in [
        "evil.example",
        STRAY,
        API,
        LOGIN,
        "team.localhost",
        "any.wide.localhost",
        "app.localhost:1",
        "app.localhost.evil.example",
        "app.localhost@evil.example",
        "evil.example/.team.localhost",
        "evil.example%5C.team.localhost",
        "%20app.localhost",
        "",
    ] {
        let path = format!("/auth/login?host={host}&ticket={ticket}&return_to=/page");
        let url = ann.url(LOGIN, &path);
        let page = ann.open(&url).await.expect(200);
        let policy = page.header("content-security-policy").unwrap().to_owned();
        assert!(policy.ends_with("form-action 'self'"), "{host}: {policy}");
        assert!(!page.text().contains("evil"), "{host}");
        let form = guest.open(&url).await.expect(200).text();
        assert!(!form.contains("name=\"ticket\""), "{host}: {form}");
        assert!(
            form.contains("name=\"return_to\" value=\"/\""),
            "{host}: {form}"
        );
    }
    // Nor does the form send there, whoever wrote the page that it stands on.
    let fields = format!("{FORM}{}", PASSWORD.replace(' ', "+"));
    let fields = format!("{fields}&host=evil.example&ticket={ticket}&return_to=/page");
    let (way, _) = guest
        .submit(&guest.url(LOGIN, "/auth/login"), &fields)
        .await;
    assert_eq!(way[1], guest.url(LOGIN, "/"));
    // And a ticket that is none gets nobody a code.
    for torn in ["", "x", &ticket[1..]] {
        let url = ann.url(LOGIN, &format!("/auth/login?host={APP}&ticket={torn}"));
        ann.open(&url).await.expect(200);
    }
    // Where no route names the host, people log in on the spot.
    let page = guest.url(STRAY, "/page");
    let (way, _) = log_in_for(&mut guest, &page).await;
    assert_eq!(way.last(), Some(&page));
}

#[tokio::test]
async fn a_further_host_takes_no_password_and_two_tabs_may_set_out_at_once() {
    let (_upstream, gateway) = hosts().await;
    let mut ann = ann(&gateway).await;
    let mut guest = Visitor::new(&gateway.https());
    let url = guest.url(APP, "/auth/login");
    let fields = format!("{FORM}{}&return_to=/page", PASSWORD.replace(' ', "+"));
    let (way, form) = guest.submit(&url, &fields).await;
    assert!(way[1].starts_with(&guest.url(LOGIN, "/auth/login?host=app.localhost")));
    assert!(way[1].ends_with("&return_to=/page"), "{way:?}");
    assert!(form.expect(200).text().contains("value=\"/page\""));
    assert_eq!(guest.cookie(APP, COOKIE), None);

    let (one, other) = (
        handed_out(&mut ann, APP).await,
        handed_out(&mut ann, APP).await,
    );
    for url in [&other, &one] {
        let opened = ann.open(url).await.expect(303);
        assert_eq!(opened.header("location"), Some("/page"));
    }
    // The access log has the path of each, and no code.
    let lines = || {
        let log = gateway.log();
        log.matches("/auth/login/code").count()
    };
    within("the log says so", async {
        while lines() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for url in [&one, &other] {
        assert!(!gateway.log().contains(code_of(url)));
    }
}

#[tokio::test]
async fn of_two_nodes_that_are_shown_a_code_at_once_one_takes_it() {
    let upstream = Upstream::echo().await;
    let one = config(&upstream)
        .postgres(&TestServer::shared())
        .start()
        .await;
    let two = config(&upstream).sharing(&one).start().await;
    register(&one.https(), "ann@example.com").await;
    let mut ann = ann(&one).await;
    for _ in 0..4 {
        let url = handed_out(&mut ann, APP).await;
        let ticket = ann.cookie(APP, TICKET).expect("a ticket").to_owned();
        let mut attempts = tokio::task::JoinSet::new();
        for node in [&one, &two].into_iter().cycle().take(6) {
            let client = node.https().host(APP);
            let path = format!("/auth/login/code?code={}", code_of(&url));
            let cookie = format!("{TICKET}={ticket}");
            attempts.spawn(async move {
                let answer = client.get(&path).header("cookie", cookie).send().await;
                assert!(matches!(answer.status.as_u16(), 303 | 401), "{answer:?}");
                answer.status.as_u16() == 303
            });
        }
        let outcomes = attempts.join_all().await;
        assert_eq!(outcomes.iter().filter(|taken| **taken).count(), 1);
    }
}
