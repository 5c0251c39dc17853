//! Keys of every algorithm: tokens of ours under each, and what the key set publishes.

use std::path::Path;

use serde_json::Value;

use super::accounts::{login, register, text};
use super::harness::gateway::portcullis;
use super::harness::{Config, Gateway, Upstream, tokens};

const ALGORITHMS: [&str; 11] = [
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256",
    "EdDSA",
];

/// Makes a key with the program itself.
fn generate(folder: &Path, algorithm: &str, file: &str) {
    let output = portcullis()
        .args(["key", "generate", "--algorithm", algorithm])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{algorithm}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    std::fs::write(folder.join(file), output.stdout).unwrap();
}

async fn signing_with(upstream: &Upstream, algorithm: &str) -> Gateway {
    let folder = tempfile::tempdir().unwrap();
    generate(folder.path(), algorithm, "signing.key");
    let place = if algorithm.starts_with("HS") {
        "secret"
    } else {
        "key"
    };
    let key = format!(
        "[[tokens.key]]\nid = \"one\"\nalgorithm = {algorithm:?}\n{place} = {{ file = \"signing.key\" }}"
    );
    Config::new()
        .app(upstream)
        .without("tokens.key")
        .toml(&key)
        .start_in(folder)
        .await
}

#[tokio::test]
async fn tokens_of_ours_work_under_every_algorithm() {
    let upstream = Upstream::echo().await;
    for algorithm in ALGORITHMS {
        let gateway = signing_with(&upstream, algorithm).await;
        let ann = register(&gateway.https(), "ann@example.com").await;
        let token = text(&ann, "access_token");
        assert_eq!(tokens::header(token)["alg"], algorithm);
        gateway
            .https()
            .get("/private")
            .bearer(token)
            .send()
            .await
            .expect(200);
        let set = gateway
            .https()
            .get("/.well-known/jwks.json")
            .send()
            .await
            .expect(200)
            .json();
        let keys = set["keys"].as_array().unwrap();
        assert_eq!(
            keys.len(),
            usize::from(!algorithm.starts_with("HS")),
            "{algorithm}: {set}"
        );
        for key in keys {
            for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
                assert!(
                    key.get(private).is_none(),
                    "{algorithm}: {private} is published"
                );
            }
        }
        if let Some(key) = keys.first() {
            assert_verified(token, key);
        }
    }
}

/// Verifies by another implementation, as a backend would, from the published key.
fn assert_verified(token: &str, key: &Value) {
    let algorithm = key["alg"].as_str().unwrap();
    if algorithm == "ES512" {
        return; // the jsonwebtoken crate lacks it
    }
    let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(key.clone()).unwrap();
    let mut validation = jsonwebtoken::Validation::new(algorithm.parse().unwrap());
    validation.validate_aud = false;
    let decoding = jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap();
    jsonwebtoken::decode::<Value>(token, &decoding, &validation).unwrap();
}

#[tokio::test]
async fn a_public_key_is_no_shared_secret() {
    let upstream = Upstream::echo().await;
    let gateway = signing_with(&upstream, "RS256").await;
    let ann = register(&gateway.https(), "ann@example.com").await;
    let set = gateway
        .https()
        .get("/.well-known/jwks.json")
        .send()
        .await
        .expect(200);
    let jwk = set.json()["keys"][0].to_string();
    let private = std::fs::read(gateway.path("signing.key")).unwrap();
    let claims = tokens::read(text(&ann, "access_token")).to_string();
    for secret in [jwk.as_bytes(), set.body.as_ref(), private.as_slice()] {
        for kid in ["one", "two"] {
            let header = serde_json::json!({ "alg": "HS256", "typ": "JWT", "kid": kid });
            let forged = tokens::hs256(&header, &claims, secret);
            gateway
                .https()
                .get("/private")
                .bearer(&forged)
                .send()
                .await
                .expect(401);
        }
    }
    assert!(upstream.received().is_empty());
}

#[tokio::test]
async fn a_signed_assertion_is_verified_against_our_key_set() {
    let upstream = Upstream::echo().await;
    let folder = tempfile::tempdir().unwrap();
    generate(folder.path(), "ES256", "assert.key");
    let key = "[[tokens.key]]\nid = \"suite\"\nalgorithm = \"HS256\"\nuse = \"sign\"\nsecret = { file = \"jwt.secret\" }\n\
               [[tokens.key]]\nid = \"assertions\"\nalgorithm = \"ES256\"\nuse = \"assert\"\nkey = { file = \"assert.key\" }\n\
               [headers.assertion]\nname = \"X-Assertion\"";
    let config = Config::new().app(&upstream).without("tokens.key").toml(key);
    let gateway = config.start_in(folder).await;
    let call = gateway
        .https()
        .get("/private")
        .bearer(&tokens::token("u-1"))
        .header("x-assertion", "forged");
    call.send().await.expect(200);
    let assertion = upstream.last().header("x-assertion").expect("an assertion");
    assert_eq!(tokens::read(&assertion)["sub"], "u-1");
    let set = gateway
        .https()
        .get("/.well-known/jwks.json")
        .send()
        .await
        .expect(200)
        .json();
    let kid = &tokens::header(&assertion)["kid"];
    let key = set["keys"]
        .as_array()
        .unwrap()
        .iter()
        .find(|key| &key["kid"] == kid)
        .expect("its key is published");
    assert_verified(&assertion, key);
    // An assertion speaks to backends: it is no access token here.
    gateway
        .https()
        .get("/private")
        .bearer(&assertion)
        .send()
        .await
        .expect(401);
    gateway
        .https()
        .get("/public/a")
        .header("x_assertion", "forged")
        .send()
        .await
        .expect(200);
    assert_eq!(upstream.last().spellings("x-assertion"), Vec::new());
}

#[tokio::test]
async fn a_minted_token_is_the_upstreams_own() {
    let upstream = Upstream::echo().await;
    let folder = tempfile::tempdir().unwrap();
    let secret = "the-backends-own-secret-4Kd8Wq2Zx6Pn0Rt5Yb9";
    std::fs::write(folder.path().join("mint.secret"), secret).unwrap();
    let route = "upstream = \"app\"\nauth = \"required\"\nauthorization = \"mint\"\n\
                 mint = { algorithm = \"HS256\", secret = { file = \"mint.secret\" }, audience = \"backend\" }";
    let config = Config::new().upstream("app", &upstream).route("/**", route);
    let gateway = config.start_in(folder).await;
    let original = tokens::token("u-1");
    gateway
        .https()
        .get("/private")
        .bearer(&original)
        .send()
        .await
        .expect(200);
    let sent = upstream.last().header("authorization").unwrap();
    let minted = sent.strip_prefix("Bearer ").unwrap();
    assert_ne!(minted, original);
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
    validation.set_audience(&["backend"]);
    let key = jsonwebtoken::DecodingKey::from_secret(secret.as_bytes());
    let claims = jsonwebtoken::decode::<Value>(minted, &key, &validation)
        .unwrap()
        .claims;
    assert_eq!(claims["sub"], "u-1");
    gateway
        .https()
        .get("/private")
        .bearer(minted)
        .send()
        .await
        .expect(401);
}

#[tokio::test]
async fn a_gateway_secret_tells_the_backend_who_sends() {
    let upstream = Upstream::echo().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("gateway.secret"),
        "only-the-gateway-knows-this",
    )
    .unwrap();
    let secret =
        "[headers.secret]\nname = \"X-Gateway-Secret\"\nvalue = { file = \"gateway.secret\" }";
    let gateway = Config::new()
        .app(&upstream)
        .toml(secret)
        .start_in(folder)
        .await;
    for spelling in ["x-gateway-secret", "X_Gateway_Secret"] {
        gateway
            .https()
            .get("/public/a")
            .header(spelling, "guess")
            .send()
            .await
            .expect(200);
        let told = upstream.last().spellings("x-gateway-secret");
        assert_eq!(
            told,
            [(
                "x-gateway-secret".to_owned(),
                "only-the-gateway-knows-this".to_owned()
            )]
        );
    }
}

#[tokio::test]
async fn any_claim_goes_to_any_header_and_is_stripped_from_clients_everywhere() {
    let upstream = Upstream::echo().await;
    let config = Config::new()
        .upstream("app", &upstream)
        .route("/tenant/**", "upstream = \"app\"\nauth = \"required\"\n[route.headers.identity]\nX-Tenant = \"tenant\"\nX-Who = \"sub\"")
        .route("/public/**", "upstream = \"app\"\nauth = \"none\"");
    let gateway = config.start().await;
    let claims = tokens::with(tokens::claims("u-1"), serde_json::json!({ "tenant": 7 }));
    gateway
        .https()
        .get("/tenant/a")
        .bearer(&tokens::signed(&claims))
        .send()
        .await
        .expect(200);
    assert_eq!(upstream.last().header("x-tenant").as_deref(), Some("7"));
    assert_eq!(upstream.last().header("x-who").as_deref(), Some("u-1"));
    gateway
        .https()
        .get("/public/a")
        .header("X_Tenant", "8")
        .header("x-who", "root")
        .send()
        .await
        .expect(200);
    assert_eq!(upstream.last().spellings("x-tenant"), Vec::new());
    assert_eq!(upstream.last().spellings("x-who"), Vec::new());
}

#[tokio::test]
async fn lifetimes_are_those_of_the_profile() {
    let gateway = Config::new().start().await;
    register(&gateway.https(), "ann@example.com").await;
    let native = login(&gateway.https(), "ann@example.com").await;
    let body =
        serde_json::json!({ "email": "ann@example.com", "password": super::accounts::PASSWORD });
    let praisonai = gateway
        .https()
        .post("/api/v1/auth/login")
        .json(body)
        .send()
        .await
        .expect(200)
        .json();
    for (token, lifetime) in [
        (text(&native, "access_token"), 900),
        (text(&praisonai, "token"), 2_592_000),
    ] {
        let claims = tokens::read(token);
        assert_eq!(
            claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
            lifetime
        );
    }
}

#[tokio::test]
async fn a_lifetime_may_come_from_the_environment_as_the_documents_have_it() {
    let config = Config::new().toml(
        "[tokens.lifetimes]\npraisonai = { env = \"PLATFORM_JWT_TTL\" }\nrag-modulo = \"2h\"",
    );
    let gateway = config
        .start_with(|command| {
            command.env("PLATFORM_JWT_TTL", "7200");
        })
        .await;
    let person = serde_json::json!({ "email": "ann@example.com", "password": "pass" });
    let answer = gateway
        .https()
        .post("/api/v1/auth/register")
        .json(person)
        .send()
        .await
        .expect(201);
    let claims = tokens::read(text(&answer.json(), "token"));
    assert_eq!(
        claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
        7200
    );
}
