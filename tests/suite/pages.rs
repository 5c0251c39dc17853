//! Refusals as a person sees them in a browser, and as a program does.

use super::harness::{Config, Upstream};

#[tokio::test]
async fn a_browser_that_navigates_gets_a_page_that_repeats_nothing() {
    let upstream = Upstream::echo().await;
    let config = Config::new().upstream("app", &upstream).route(
        "/app/**",
        "upstream = \"app\"\nauth = \"required\"\nerrors = \"plai\"",
    );
    let gateway = config.start().await;
    for path in ["/app/a", "/nowhere/%3Cscript%3Ealert(1)%3C/script%3E"] {
        let call = gateway
            .https()
            .get(path)
            .header("sec-fetch-mode", "navigate");
        let call = call
            .header("accept", "text/html,application/xhtml+xml")
            .header("referer", "javascript:alert(1)");
        let answer = call
            .header("user-agent", "<script>alert(2)</script>")
            .send()
            .await;
        assert!(
            answer
                .header("content-type")
                .unwrap()
                .starts_with("text/html"),
            "{path}: {:?}",
            answer.headers
        );
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'"), "{policy}");
        let text = answer.text();
        for reflected in ["<script", "alert(", "javascript:"] {
            assert!(!text.contains(reflected), "{path}: {text}");
        }
    }
}

#[tokio::test]
async fn a_program_gets_json_whatever_it_accepts() {
    let upstream = Upstream::echo().await;
    let gateway = Config::new().app(&upstream).start().await;
    for accept in ["*/*", "application/json", "text/plain"] {
        let answer = gateway
            .https()
            .get("/private")
            .header("accept", accept)
            .send()
            .await
            .expect(401);
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json"),
            "{accept}"
        );
    }
}

#[tokio::test]
async fn every_shape_says_what_its_clients_read() {
    let upstream = Upstream::echo().await;
    let shapes = ["native", "praisonai", "rag-modulo", "plai", "agentflow"];
    let config = shapes
        .iter()
        .fold(Config::new().upstream("app", &upstream), |config, shape| {
            let rest = format!("upstream = \"app\"\nauth = \"required\"\nerrors = \"{shape}\"");
            config.route(&format!("/{shape}/**"), &rest)
        });
    let gateway = config.start().await;
    let refusal = async |shape: &str, token: Option<&str>| {
        let mut call = gateway.https().get(&format!("/{shape}/a"));
        if let Some(token) = token {
            call = call.bearer(token);
        }
        call.send().await.expect(401).json()
    };
    assert_eq!(
        refusal("praisonai", None).await["detail"],
        "Missing Authorization header"
    );
    assert_eq!(
        refusal("praisonai", Some("x")).await["detail"],
        "Invalid or expired token"
    );
    assert_eq!(
        refusal("rag-modulo", None).await["error"],
        "Not authenticated"
    );
    assert_eq!(refusal("plai", Some("x")).await["error"], "unauthorized");
    let agentflow = refusal("agentflow", None).await;
    assert_eq!(agentflow["error"]["code"], "REVOKED_TOKEN");
    assert!(
        agentflow["metadata"]["request_id"].is_string(),
        "{agentflow}"
    );
    let expired = super::harness::tokens::with(
        super::harness::tokens::claims("u-1"),
        serde_json::json!({ "exp": super::harness::tokens::now() - 3600 }),
    );
    let expired = super::harness::tokens::signed(&expired);
    assert_eq!(
        refusal("agentflow", Some(&expired)).await["error"]["code"],
        "EXPIRED_TOKEN"
    );
    assert_eq!(
        refusal("agentflow", Some("x")).await["error"]["code"],
        "INVALID_TOKEN"
    );
    assert_eq!(
        refusal("rag-modulo", Some(&expired)).await["detail"],
        "Token has expired"
    );
}
