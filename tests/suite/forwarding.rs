//! Requests on their way to an upstream and answers on their way back: whole, prompt and unbuffered.

use http::Response;
use http_body_util::BodyExt;

use super::harness::certs::{Authority, authority};
use super::harness::raw::Raw;
use super::harness::{Config, Gateway, Upstream, body, tokens};

async fn public(upstream: &Upstream) -> Gateway {
    Config::new().app(upstream).start().await
}

#[tokio::test]
async fn method_target_body_and_headers_arrive_as_they_were_sent() {
    let upstream = Upstream::echo().await;
    let gateway = public(&upstream).await;
    for client in [gateway.https(), gateway.h2()] {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let call = client
                .call(method, "/public/a?b=c&d")
                .header("x-mine", "1")
                .header("accept", "*/*");
            let answer = call.bytes("body").send().await.expect(200).json();
            assert_eq!(
                (&answer["method"], &answer["target"]),
                (&method.into(), &"/public/a?b=c&d".into())
            );
            let received = upstream.last();
            assert_eq!(received.body, "body");
            assert_eq!(received.header("x-mine").as_deref(), Some("1"));
            assert_eq!(received.header("accept").as_deref(), Some("*/*"));
        }
    }
}

#[tokio::test]
async fn the_status_and_headers_of_the_answer_come_back() {
    let upstream = Upstream::answering(|_| {
        Response::builder()
            .status(418)
            .header("x-kind", "teapot")
            .header("set-cookie", "a=1; Path=/")
            .header("set-cookie", "b=2")
            .header("keep-alive", "timeout=5")
            .body(body::full("short and stout"))
            .unwrap()
    })
    .await;
    let gateway = public(&upstream).await;
    for client in [gateway.https(), gateway.h2()] {
        let answer = client.get("/public/a").send().await.expect(418);
        assert_eq!(answer.header("x-kind"), Some("teapot"));
        assert_eq!(answer.headers.get_all("set-cookie").iter().count(), 2);
        assert_eq!(answer.header("keep-alive"), None);
        assert_eq!(answer.text(), "short and stout");
    }
}

#[tokio::test]
async fn connections_to_an_upstream_are_used_again() {
    let upstream = Upstream::echo().await;
    let gateway = public(&upstream).await;
    let mut connection = gateway.https().connect().await;
    for _ in 0..10 {
        let call = gateway.https().get("/public/a");
        let answer = connection.send(call.build()).await.unwrap();
        answer.into_body().collect().await.unwrap();
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let upstream = Upstream::answering(|_| {
        Response::builder()
            .header("content-length", "5")
            .header("x-a", "1")
            .body(body::empty())
            .unwrap()
    })
    .await;
    let gateway = public(&upstream).await;
    let mut raw = gateway.https().raw().await;
    raw.write("HEAD /public/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await;
    let head = raw.read_head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(
        head.to_ascii_lowercase().contains("content-length: 5"),
        "{head}"
    );
    assert!(raw.read_to_close().await.is_empty());
    let answer = gateway
        .h2()
        .call("HEAD", "/public/a")
        .send()
        .await
        .expect(200);
    assert_eq!(answer.header("x-a"), Some("1"));
    assert!(answer.body.is_empty());
}

#[tokio::test]
async fn location_and_cookie_paths_come_back_in_the_public_form() {
    let (upstream, mut exchanges) = Upstream::by_hand().await;
    let config = Config::new().upstream("app", &upstream).route(
        "/app/**",
        "upstream = \"app\"\nauth = \"none\"\nstrip_prefix = \"/app\"",
    );
    let gateway = config.start().await;
    let backend = upstream.url();
    let public = gateway.https().url("");
    for (location, mapped) in [
        (
            "/login".to_owned(),
            vec!["/app/login".to_owned(), format!("{public}/app/login")],
        ),
        (
            format!("{backend}/x?y=z"),
            vec!["/app/x?y=z".to_owned(), format!("{public}/app/x?y=z")],
        ),
        (
            format!("{}/x", public.replacen("https", "http", 1)),
            vec!["/app/x".to_owned(), format!("{public}/app/x")],
        ),
        (
            "https://elsewhere.test/x".to_owned(),
            vec!["https://elsewhere.test/x".to_owned()],
        ),
        ("relative".to_owned(), vec!["relative".to_owned()]),
    ] {
        let calling = tokio::spawn(gateway.https().get("/app/a").send());
        let answer = Response::builder()
            .status(302)
            .header("location", &location);
        let answer = answer.header("set-cookie", "s=1; Path=/; HttpOnly");
        exchanges
            .next()
            .await
            .answer(answer.body(body::empty()).unwrap());
        let answer = calling.await.unwrap().expect(302);
        let seen = answer.header("location").unwrap().to_owned();
        assert!(mapped.contains(&seen), "{location} became {seen}");
        let cookie = answer.header("set-cookie").unwrap();
        assert!(
            cookie.contains("Path=/app") && cookie.contains("HttpOnly"),
            "{cookie}"
        );
    }
}

#[tokio::test]
async fn an_upstream_cannot_set_the_gateways_cookies() {
    let upstream = Upstream::answering(|_| {
        Response::builder()
            .header(
                "set-cookie",
                "__Host-portcullis-device=evil; Path=/; Secure",
            )
            .header("set-cookie", "mine=1")
            .body(body::empty())
            .unwrap()
    })
    .await;
    let gateway = public(&upstream).await;
    let answer = gateway.https().get("/public/a").send().await.expect(200);
    let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    assert!(cookies[0].to_str().unwrap().starts_with("mine=1"));
}

#[tokio::test]
async fn the_host_is_preserved_or_replaced_as_the_route_says() {
    let upstream = Upstream::echo().await;
    let config = Config::new()
        .upstream("app", &upstream)
        .route(
            "/keep/**",
            "upstream = \"app\"\nauth = \"none\"\nupstream_host = \"preserve\"",
        )
        .route(
            "/own/**",
            "upstream = \"app\"\nauth = \"none\"\nupstream_host = \"upstream\"",
        )
        .route(
            "/set/**",
            "upstream = \"app\"\nauth = \"none\"\nupstream_host = \"inner.test\"",
        );
    let gateway = config.start().await;
    let client = gateway.https();
    for (path, expected) in [
        ("/keep/a", client.authority()),
        ("/own/a", format!("127.0.0.1:{}", upstream.port())),
        ("/set/a", "inner.test".to_owned()),
    ] {
        for client in [gateway.https(), gateway.h2()] {
            client.get(path).send().await.expect(200);
            assert_eq!(
                upstream.last().header("host").as_ref(),
                Some(&expected),
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn upstreams_speak_h2c_and_https_with_an_authority_of_their_own() {
    let h2c = Upstream::echo_h2c().await;
    let ours = Upstream::echo_https(&authority().leaf(&["localhost"])).await;
    let theirs = Upstream::echo_https(&Authority::new().leaf(&["localhost"])).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), authority().pem()).unwrap();
    let config = Config::new()
        .upstream("h2c", &h2c)
        .toml(&format!(
            "[[upstream]]\nname = \"ours\"\nservers = [{:?}]\nca = \"ca.pem\"",
            ours.url()
        ))
        .toml(&format!(
            "[[upstream]]\nname = \"theirs\"\nservers = [{:?}]\nca = \"ca.pem\"",
            theirs.url()
        ))
        .route("/h2c/**", "upstream = \"h2c\"\nauth = \"none\"")
        .route("/ours/**", "upstream = \"ours\"\nauth = \"none\"")
        .route("/theirs/**", "upstream = \"theirs\"\nauth = \"none\"");
    let gateway = config.start_in(folder).await;
    gateway
        .https()
        .post("/h2c/a")
        .bytes("x")
        .send()
        .await
        .expect(200);
    assert_eq!(h2c.last().version, http::Version::HTTP_2);
    assert_eq!(h2c.last().body, "x");
    gateway
        .https()
        .post("/ours/a")
        .bytes("x")
        .send()
        .await
        .expect(200);
    assert_eq!(ours.last().body, "x");
    gateway.https().get("/theirs/a").send().await.expect(502);
    assert!(theirs.received().is_empty());
}

#[tokio::test]
async fn authorities_that_the_system_gets_or_loses_count_after_a_reload() {
    let ours = Upstream::echo_https(&authority().leaf(&["localhost"])).await;
    let folder = tempfile::tempdir().unwrap();
    let system = folder.path().join("system.pem");
    std::fs::write(&system, Authority::new().pem()).unwrap();
    let mut gateway = Config::new()
        .app(&ours)
        .start_with(|command| {
            command.env("SSL_CERT_FILE", &system);
        })
        .await;
    for (pem, status) in [
        (None, 502),
        (Some(authority().pem()), 200),
        (Some(Authority::new().pem()), 502),
    ] {
        if let Some(pem) = pem {
            std::fs::write(&system, pem).unwrap();
            gateway.reload(gateway.config.clone()).await;
        }
        let call = gateway.https().get("/public/a");
        call.send().await.expect(status);
    }
}

#[tokio::test]
async fn a_verified_token_serves_many_requests_of_one_connection() {
    let upstream = Upstream::echo().await;
    let gateway = public(&upstream).await;
    let mut connection = gateway.h2().connect().await;
    for subject in ["u-1", "u-2", "u-1"] {
        let call = gateway.h2().get("/private").bearer(&tokens::token(subject));
        connection
            .send(call.build())
            .await
            .unwrap()
            .into_body()
            .collect()
            .await
            .unwrap();
        assert_eq!(
            upstream.last().header("x-user-id").as_deref(),
            Some(subject)
        );
    }
}

#[tokio::test]
async fn an_answer_without_a_length_ends_with_its_connection() {
    let upstream = Upstream::raw(|mut raw: Raw| async move {
        raw.read_head().await;
        raw.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end")
            .await;
    })
    .await;
    let gateway = public(&upstream).await;
    assert_eq!(
        gateway
            .https()
            .get("/public/a")
            .send()
            .await
            .expect(200)
            .text(),
        "until the end"
    );
}
