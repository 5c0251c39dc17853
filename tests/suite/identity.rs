//! Who the upstream is told the caller is: only what the gateway knows, whatever the client says.

use serde_json::json;

use super::harness::{Config, Gateway, Upstream, tokens};

async fn app() -> (Upstream, Gateway) {
    let upstream = Upstream::echo().await;
    let gateway = Config::new().app(&upstream).start().await;
    (upstream, gateway)
}

const SPELLINGS: [&str; 6] = [
    "X-User-Id",
    "x_user_id",
    "X-User_Id",
    "X-USER-ID",
    "x_user-id",
    "X_USER_ID",
];

#[tokio::test]
async fn the_upstream_is_told_who_calls() {
    let (upstream, gateway) = app().await;
    let token = tokens::token_with_roles("u-1", &["member", "admin"]);
    for client in [gateway.https(), gateway.h2()] {
        client.get("/hello").bearer(&token).send().await.expect(200);
        let received = upstream.last();
        assert_eq!(received.header("x-user-id").as_deref(), Some("u-1"));
        assert_eq!(
            received.header("x-user-email").as_deref(),
            Some("u-1@example.com")
        );
        assert_eq!(
            received.header("x-user-name").as_deref(),
            Some("Ann Example")
        );
        assert_eq!(
            received.header("x-user-roles").as_deref(),
            Some("member,admin")
        );
    }
}

#[tokio::test]
async fn a_spoofed_identity_header_never_reaches_the_upstream_in_any_spelling() {
    let (upstream, gateway) = app().await;
    for path in ["/hello", "/public/hello", "/optional/hello"] {
        for spelling in SPELLINGS {
            let mut call = gateway
                .https()
                .get(path)
                .header(spelling, "root")
                .header(spelling, "evil");
            if path == "/hello" {
                call = call.bearer(&tokens::token("u-1"));
            }
            call.send().await.expect(200);
            let told = upstream.last().spellings("x-user-id");
            let expected = match path {
                "/hello" => vec![("x-user-id".to_owned(), "u-1".to_owned())],
                _ => Vec::new(),
            };
            assert_eq!(told, expected, "{path} {spelling}");
        }
    }
}

#[tokio::test]
async fn names_with_trailing_blanks_over_http1_are_refused() {
    let (upstream, gateway) = app().await;
    for name in ["X-User-Id ", "X-User-Id\t", " X-User-Id"] {
        let mut raw = gateway.https().raw().await;
        raw.write(format!(
            "GET /public/a HTTP/1.1\r\nHost: localhost\r\n{name}: root\r\n\r\n"
        ))
        .await;
        if let Some(answer) = raw.try_answer().await {
            assert_eq!(answer.status, 400, "{name:?}");
        }
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn a_claim_that_is_absent_leaves_no_room_for_the_clients_header() {
    let (upstream, gateway) = app().await;
    let claims = tokens::with(
        tokens::claims("u-1"),
        json!({ "email": null, "name": null }),
    );
    let call = gateway
        .https()
        .get("/hello")
        .bearer(&tokens::signed(&claims));
    let call = call
        .header("x-user-roles", "admin")
        .header("x-user-role", "admin");
    call.header("x-user-email", "root@example.com")
        .header("x-user-name", "root")
        .send()
        .await
        .expect(200);
    let received = upstream.last();
    for name in ["x-user-roles", "x-user-role", "x-user-email", "x-user-name"] {
        assert_eq!(received.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn other_systems_identity_headers_are_stripped_by_default() {
    let (upstream, gateway) = app().await;
    let names = [
        "x-user-uuid",
        "x-auth-request-user",
        "x-authenticated-user",
        "x-api-key",
        "x-spiffe-jwt",
        "x-user-anything",
    ];
    for path in ["/hello", "/public/hello"] {
        let token = tokens::token("u-1");
        let client = gateway.https();
        let mut call = client.get(path);
        if path == "/hello" {
            call = call.bearer(&token);
        }
        for name in names {
            call = call.header(name, "evil");
        }
        call.send().await.expect(200);
        for name in names {
            assert_eq!(upstream.last().spellings(name), Vec::new(), "{path} {name}");
        }
    }
}

#[tokio::test]
async fn unrelated_headers_with_underscores_pass() {
    let (upstream, gateway) = app().await;
    gateway
        .https()
        .get("/public/a")
        .header("trace_parent_x", "1")
        .send()
        .await
        .expect(200);
    assert_eq!(
        upstream.last().header("trace_parent_x").as_deref(),
        Some("1")
    );
}

#[tokio::test]
async fn a_header_nominated_by_connection_cannot_remove_what_the_gateway_sets() {
    let (upstream, gateway) = app().await;
    for nominated in [
        "close, X-User-Id",
        "x-user-id, x-forwarded-for",
        "keep-alive, X-Forwarded-Proto",
    ] {
        let call = gateway.https();
        let call = call
            .get("/hello")
            .bearer(&tokens::token("u-1"))
            .header("connection", nominated);
        call.send().await.expect(200);
        let received = upstream.last();
        assert_eq!(
            received.header("x-user-id").as_deref(),
            Some("u-1"),
            "{nominated}"
        );
        assert_eq!(
            received.header("x-forwarded-for").as_deref(),
            Some("127.0.0.1"),
            "{nominated}"
        );
        assert_eq!(
            received.header("x-forwarded-proto").as_deref(),
            Some("https"),
            "{nominated}"
        );
    }
}

#[tokio::test]
async fn hop_by_hop_headers_and_those_that_connection_names_stay_here() {
    let (upstream, gateway) = app().await;
    let call = gateway.https();
    let call = call
        .get("/public/a")
        .header("connection", "x-mine, keep-alive")
        .header("x-mine", "1");
    let call = call
        .header("keep-alive", "timeout=5")
        .header("proxy-connection", "keep-alive");
    call.header("te", "gzip")
        .header("proxy-authorization", "Basic eA==")
        .send()
        .await
        .expect(200);
    for name in [
        "x-mine",
        "keep-alive",
        "proxy-connection",
        "te",
        "proxy-authorization",
    ] {
        assert_eq!(upstream.last().header(name), None, "{name}");
    }
}

#[tokio::test]
async fn what_is_not_ascii_is_percent_encoded_for_the_upstream() {
    let (upstream, gateway) = app().await;
    for (name, expected) in [
        ("Zoë", "Zo%C3%AB"),
        ("小明", "%E5%B0%8F%E6%98%8E"),
        ("a\r\nX-User-Id: root", "a%0D%0AX-User-Id: root"),
    ] {
        let token = tokens::signed(&tokens::with(
            tokens::claims("u-1"),
            json!({ "name": name }),
        ));
        gateway
            .https()
            .get("/hello")
            .bearer(&token)
            .send()
            .await
            .expect(200);
        let told = upstream.last().header("x-user-name");
        assert!(
            told.is_none() || told.as_deref() == Some(expected),
            "{name:?}: {told:?}"
        );
        assert_eq!(upstream.last().header("x-user-id").as_deref(), Some("u-1"));
    }
}

#[tokio::test]
async fn smuggled_trailers_carry_no_identity() {
    let (upstream, gateway) = app().await;
    let mut raw = gateway.https().raw().await;
    raw.write(
        "POST /public/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTrailer: X-User-Id, X-Sum\r\n\r\n\
         2\r\nhi\r\n0\r\nX-User-Id: root\r\nX_User_Id: root\r\nX-Sum: 1\r\n\r\n",
    )
    .await;
    assert_eq!(raw.answer().await.status, 200);
    let received = upstream.last();
    assert_eq!(received.body, "hi");
    let trailers = received.trailers.unwrap_or_default();
    assert!(
        trailers.get("x-user-id").is_none() && trailers.get("x_user_id").is_none(),
        "{trailers:?}"
    );
}

#[tokio::test]
async fn the_authorization_header_is_stripped_unless_a_route_forwards_it() {
    let upstream = Upstream::echo().await;
    let config = Config::new()
        .upstream("app", &upstream)
        .route(
            "/forward/**",
            "upstream = \"app\"\nauth = \"required\"\nauthorization = \"forward\"",
        )
        .route(
            "/loose/**",
            "upstream = \"app\"\nauth = \"none\"\nauthorization = \"forward\"",
        )
        .route("/strip/**", "upstream = \"app\"\nauth = \"required\"");
    let gateway = config.start().await;
    let token = tokens::token("u-1");
    let client = gateway.https();
    client
        .get("/strip/a")
        .bearer(&token)
        .send()
        .await
        .expect(200);
    assert_eq!(upstream.last().header("authorization"), None);
    client
        .get("/forward/a")
        .bearer(&token)
        .send()
        .await
        .expect(200);
    assert_eq!(
        upstream.last().header("authorization"),
        Some(format!("Bearer {token}"))
    );
    for unverified in ["Bearer dev-0000", "Bearer mock_token_x", "Basic eDp5"] {
        client
            .get("/loose/a")
            .header("authorization", unverified)
            .send()
            .await
            .expect(200);
        assert_eq!(
            upstream.last().header("authorization"),
            None,
            "{unverified}"
        );
    }
}

#[tokio::test]
async fn the_gateways_own_cookies_stay_with_the_gateway() {
    let (upstream, gateway) = app().await;
    let cookies = "a=1; __Host-portcullis-device=x; b=2; __Host-portcullis=y";
    gateway
        .https()
        .get("/public/a")
        .header("cookie", cookies)
        .send()
        .await
        .expect(200);
    assert_eq!(
        upstream.last().header("cookie").as_deref(),
        Some("a=1; b=2")
    );
}
