//! Upstreams that are down, slow, broken or garbage: the refusal has the route's shape, the rest goes on.

use http::Response;

use super::harness::raw::Raw;
use super::harness::upstream::response;
use super::harness::{Config, Gateway, Upstream, body, ports, within};

/// One route for each error shape to the upstream `app`.
fn shapes(config: Config) -> Config {
    ["native", "praisonai", "rag-modulo", "plai", "agentflow"]
        .iter()
        .fold(config, |config, shape| {
            let rest = format!("upstream = \"app\"\nauth = \"none\"\nerrors = \"{shape}\"");
            config.route(&format!("/{shape}/**"), &rest)
        })
}

/// Asserts that `body` is an error of this shape.
fn assert_shape(shape: &str, body: &serde_json::Value) {
    let is_text = |value: &serde_json::Value| value.as_str().is_some_and(|text| !text.is_empty());
    let right = match shape {
        "native" => is_text(&body["title"]) && body["status"].is_number(),
        "praisonai" => is_text(&body["detail"]),
        "rag-modulo" => is_text(&body["detail"]) && body["detail"] == body["error"],
        "plai" => {
            is_text(&body["error"])
                && is_text(&body["message"])
                && body["code"].is_number()
                && is_text(&body["detail"])
        }
        "agentflow" => {
            is_text(&body["error"]["code"])
                && is_text(&body["error"]["message"])
                && body["metadata"].is_object()
        }
        other => panic!("no such shape: {other}"),
    };
    assert!(right, "{shape}: {body}");
}

async fn refusal(gateway: &Gateway, path: &str) -> u16 {
    gateway.https().get(path).send().await.status.as_u16()
}

#[tokio::test]
async fn an_upstream_that_is_down_is_a_502_in_the_routes_shape() {
    let config = Config::new().upstream_at("app", &[&Upstream::nobody()]);
    let gateway = shapes(config).start().await;
    for shape in ["native", "praisonai", "rag-modulo", "plai", "agentflow"] {
        let answer = gateway.https().get(&format!("/{shape}/a")).send().await;
        assert!(
            matches!(answer.status.as_u16(), 502 | 503),
            "{}",
            answer.status
        );
        assert_shape(shape, &answer.json());
        assert!(
            !answer.text().contains("127.0.0.1"),
            "no address of ours: {}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn an_upstream_that_answers_too_late_is_a_504() {
    let (upstream, mut exchanges) = Upstream::by_hand().await;
    let config = Config::new().toml(&format!(
        "[[upstream]]\nname = \"app\"\nservers = [{:?}]\nfirst_byte_timeout = \"200ms\"",
        upstream.url()
    ));
    let gateway = shapes(config).start().await;
    for shape in ["native", "agentflow"] {
        let calling = tokio::spawn(gateway.https().post(&format!("/{shape}/a")).send());
        let mut exchange = exchanges.next().await;
        let answer = calling.await.unwrap().expect(504);
        assert_shape(shape, &answer.json());
        exchange.abandoned().await;
    }
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_ended_and_one_that_goes_on_is_not() {
    let (upstream, mut exchanges) = Upstream::by_hand().await;
    let config = Config::new().toml(&format!(
        "[[upstream]]\nname = \"app\"\nservers = [{:?}]\nfirst_byte_timeout = \"10s\"\nidle_timeout = \"300ms\"",
        upstream.url()
    ));
    let gateway = shapes(config).start().await;
    let calling = tokio::spawn(gateway.https().get("/native/a").try_send());
    let (pieces, events) = body::pieces();
    exchanges.next().await.answer(Response::new(events));
    pieces.send("data: 1\n\n").await;
    assert!(
        calling.await.unwrap().is_err(),
        "a body without an end is broken off, not completed"
    );
    within("the upstream's stream is given up", pieces.abandoned()).await;
}

#[tokio::test]
async fn garbage_in_place_of_http_is_a_502() {
    for garbage in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 999999 What\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nBad Header: x\r\n\r\n",
        "\0\0\0\0\0\0\0\0\0\0\0",
        "",
    ] {
        let upstream = Upstream::raw(move |mut raw: Raw| async move {
            raw.read_head().await;
            raw.write(garbage).await;
        })
        .await;
        let gateway = shapes(Config::new().upstream("app", &upstream))
            .start()
            .await;
        let answer = gateway
            .https()
            .post("/agentflow/a")
            .send()
            .await
            .expect(502);
        assert_shape("agentflow", &answer.json());
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_seen_to_break_off() {
    let upstream = Upstream::raw(|mut raw: Raw| async move {
        raw.read_head().await;
        raw.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
            .await;
    })
    .await;
    let gateway = Config::new().app(&upstream).start().await;
    assert!(gateway.https().get("/public/a").try_send().await.is_err());
    assert!(gateway.h2().get("/public/a").try_send().await.is_err());
}

#[tokio::test]
async fn the_rest_goes_on_while_one_upstream_is_down() {
    let alive = Upstream::echo().await;
    let config = Config::new()
        .upstream("alive", &alive)
        .upstream_at("dead", &[&Upstream::nobody()])
        .route("/alive/**", "upstream = \"alive\"\nauth = \"none\"")
        .route("/dead/**", "upstream = \"dead\"\nauth = \"none\"");
    let gateway = config.start().await;
    for _ in 0..10 {
        assert!(matches!(refusal(&gateway, "/dead/a").await, 502 | 503));
        assert_eq!(refusal(&gateway, "/alive/a").await, 200);
    }
}

#[tokio::test]
async fn a_request_that_may_be_repeated_goes_to_the_server_that_is_up() {
    let alive = Upstream::echo().await;
    let config = Config::new().upstream_at("app", &[&Upstream::nobody(), &alive.url()]);
    let gateway = shapes(config).start().await;
    for _ in 0..20 {
        assert_eq!(refusal(&gateway, "/native/a").await, 200);
    }
    assert_eq!(alive.received().len(), 20);
}

#[tokio::test]
async fn a_request_that_was_begun_is_not_sent_twice_unless_it_is_idempotent() {
    let upstream = Upstream::raw(|mut raw: Raw| async move {
        raw.read_head().await;
    })
    .await;
    let gateway = shapes(Config::new().upstream("app", &upstream))
        .start()
        .await;
    let answer = gateway
        .https()
        .post("/native/pay")
        .bytes("once")
        .send()
        .await;
    assert_eq!(answer.status, 502);
    assert_eq!(
        upstream.connections(),
        1,
        "a POST whose connection broke is not repeated"
    );
}

#[tokio::test]
async fn an_upstream_that_comes_back_is_used_again() {
    // A port that nobody else is given while the upstream is away.
    let port = ports::free();
    let upstream = Upstream::answering_on(port).await;
    let config = Config::new().toml(&format!(
        "[[upstream]]\nname = \"app\"\nservers = [{:?}]\nbackoff = \"100ms\"",
        upstream.url()
    ));
    let gateway = shapes(config).start().await;
    assert_eq!(refusal(&gateway, "/native/a").await, 200);
    upstream.stop().await;
    assert!(matches!(refusal(&gateway, "/native/a").await, 502 | 503));
    let _upstream = Upstream::answering_on(port).await;
    within("the upstream is tried again", async {
        while refusal(&gateway, "/native/a").await != 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn requests_go_to_the_server_with_the_fewest_outstanding() {
    let (slow, mut held) = Upstream::by_hand().await;
    let fast = Upstream::echo().await;
    let config = Config::new().upstream_at("app", &[&slow.url(), &fast.url()]);
    let gateway = shapes(config).start().await;
    // One after the other, until the slow server has one.
    let (late, exchange) = loop {
        let mut call = tokio::spawn(gateway.https().get("/native/a").send());
        tokio::select! {
            exchange = held.next() => break (call, exchange),
            answer = &mut call => answer.unwrap().expect(200),
        };
    };
    for _ in 0..4 {
        gateway.https().get("/native/b").send().await.expect(200);
    }
    assert_eq!(slow.received().len(), 1);
    exchange.answer(response(200, "late"));
    late.await.unwrap().expect(200);
}

/// The sum of a metric of the upstream `app` over its servers.
fn sum(metrics: &str, name: &str) -> u64 {
    let begin = format!("{name}{{upstream=\"app\"");
    let lines = metrics.lines().filter(|line| line.starts_with(&begin));
    let values = lines.filter_map(|line| line.rsplit(' ').next());
    values.map(|value| value.parse::<u64>().unwrap()).sum()
}

#[tokio::test]
async fn retries_are_a_share_of_the_requests_and_not_a_multiple() {
    let dead = [ports::free(), ports::free()].map(|port| format!("\"http://127.0.0.1:{port}\""));
    let upstream = format!(
        "[[upstream]]\nname = \"app\"\nservers = [{}]\nmax_failures = 1000\nretry_budget = 10",
        dead.join(", ")
    );
    let config = Config::new().toml(&upstream);
    let gateway = config
        .route("/**", "upstream = \"app\"\nauth = \"none\"")
        .start()
        .await;
    let begun = std::time::Instant::now();
    for _ in 0..100 {
        gateway.https().get("/a").send().await.expect(502);
    }
    let metrics = gateway.admin().get("/metrics").send().await.text();
    let retries = sum(&metrics, "portcullis_upstream_retries_total");
    // Ten that were saved up, ten for the requests, one a second.
    let most = 10 + 10 + begun.elapsed().as_secs() + 1;
    assert!((10..=most).contains(&retries), "{retries} of {most}");
    let withheld = sum(&metrics, "portcullis_upstream_retries_withheld_total");
    assert_eq!(retries + withheld, 100, "{metrics}");
}
