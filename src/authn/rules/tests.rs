//! Which tokens are good, and which are not.

mod before;

use super::super::algorithm::Algorithm;
use super::super::keys::tests::{key, material};
use super::super::keys::{KeyUse, Material};
use super::*;
use crate::accounts::{Factors, SessionId};
use crate::secret::Secret;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

fn tokens(keys: Vec<Key>) -> Tokens {
    Tokens::new(KeyRing::new(keys).unwrap())
}

fn hs256() -> Tokens {
    tokens(vec![key("a", material(Algorithm::Hs256), KeyUse::Sign)])
}

fn forged(header: &str, payload: &str) -> String {
    jws::forge(header, payload, &material(Algorithm::Hs256))
}

fn alice() -> AccessTokenClaims {
    AccessTokenClaims {
        factors: Factors::One,
        subject: String::from("0b9f5c1e-8f0f-4f57-9a51-3c2f3f0f8a11"),
        session: SessionId::random(),
        email: Some(String::from("alice@example.com")),
        email_verified: false,
        name: Some(String::from("Alice")),
        username: None,
        roles: vec![String::from("admin"), String::from("member")],
        attributes: serde_json::Map::new(),
    }
}

#[test]
fn tokens_of_every_algorithm_are_issued_and_verified() {
    for algorithm in Algorithm::ALL {
        let tokens = tokens(vec![key("a", material(algorithm), KeyUse::Sign)]);
        let token = tokens
            .issue(&alice(), Duration::from_secs(900), NOW)
            .unwrap();
        let claims = tokens.verify(&token, NOW).unwrap();
        assert_eq!(claims.subject(), alice().subject, "{algorithm}");
        assert_eq!(claims.expires(), NOW + Duration::from_secs(900));
    }
}

#[test]
fn an_access_token_satisfies_every_backend() {
    let tokens = hs256();
    let alice = alice();
    let token = tokens.issue(&alice, Duration::from_secs(900), NOW).unwrap();
    let claims = tokens.verify(&token, NOW).unwrap();
    for name in ["sub", "user_id", "uuid"] {
        assert_eq!(claims.text(name), Some(alice.subject.as_str()), "{name}");
    }
    assert_eq!(claims.text("email"), Some("alice@example.com"));
    assert_eq!(claims.text("role"), Some("admin"));
    assert_eq!(claims.roles(), [Box::from("admin"), Box::from("member")]);
    assert_eq!(claims.session(), Some(alice.session));
    assert_eq!(claims.issued_at(), Some(NOW));
    assert_eq!(claims.text("jti").map(str::len), Some(32));
    // PraisonAI and AgentFlow refuse an `aud`, AgentFlow enforces `scopes`.
    for absent in ["aud", "iss", "scopes", "username"] {
        assert_eq!(claims.value(absent), None, "{absent}");
    }
    let again = tokens.issue(&alice, Duration::from_secs(900), NOW).unwrap();
    assert_ne!(token, again, "each token has its own jti");
}

#[test]
fn dates_are_whole_seconds_or_the_token_is_refused() {
    let soon = NOW.seconds() + 60;
    let claim = |name| Err(TokenError::Claim(name));
    for (payload, expected) in [
        (format!(r#"{{"sub":"u","exp":{soon}}}"#), Ok(())),
        (
            String::from(r#"{"sub":"u"}"#),
            Err(TokenError::Missing("exp")),
        ),
        (format!(r#"{{"sub":"u","exp":"{soon}"}}"#), claim("exp")),
        (format!(r#"{{"sub":"u","exp":{soon}.5}}"#), claim("exp")),
        (format!(r#"{{"sub":"u","exp":{soon}.0}}"#), claim("exp")),
        (String::from(r#"{"sub":"u","exp":18e8}"#), claim("exp")),
        (String::from(r#"{"sub":"u","exp":-1}"#), claim("exp")),
        (String::from(r#"{"sub":"u","exp":null}"#), claim("exp")),
        (String::from(r#"{"sub":"u","exp":true}"#), claim("exp")),
        (
            String::from(r#"{"sub":"u","exp":[1900000000]}"#),
            claim("exp"),
        ),
        // 2^53 - 1, 2^53, and more than 64 bits.
        (
            String::from(r#"{"sub":"u","exp":9007199254740991}"#),
            Ok(()),
        ),
        (
            String::from(r#"{"sub":"u","exp":9007199254740992}"#),
            claim("exp"),
        ),
        (
            String::from(r#"{"sub":"u","exp":99999999999999999999}"#),
            claim("exp"),
        ),
        (
            format!(r#"{{"sub":"u","exp":{soon},"nbf":"1"}}"#),
            claim("nbf"),
        ),
        (
            format!(r#"{{"sub":"u","exp":{soon},"nbf":1.5}}"#),
            claim("nbf"),
        ),
        (
            format!(r#"{{"sub":"u","exp":{soon},"nbf":null}}"#),
            claim("nbf"),
        ),
        (
            format!(r#"{{"sub":"u","exp":{soon},"iat":"1"}}"#),
            claim("iat"),
        ),
        (
            format!(r#"{{"sub":"u","exp":{soon},"iat":-5}}"#),
            claim("iat"),
        ),
        (
            format!(r#"{{"sub":"u","exp":{soon},"iat":9007199254740993}}"#),
            claim("iat"),
        ),
    ] {
        let verdict = hs256().verify(&forged(HEADER, &payload), NOW).map(|_| ());
        assert_eq!(verdict, expected, "{payload}");
    }
}

#[test]
fn a_token_is_good_from_nbf_to_exp_give_or_take_the_leeway() {
    let at = |offset: i64| NOW.seconds() + offset;
    for (name, offset, expected) in [
        ("exp", 1, Ok(())),
        ("exp", -29, Ok(())),
        ("exp", -30, Err(TokenError::Expired)),
        ("exp", -1_000_000, Err(TokenError::Expired)),
        ("nbf", -1, Ok(())),
        ("nbf", 30, Ok(())),
        ("nbf", 31, Err(TokenError::Early)),
        ("iat", 30, Ok(())),
        ("iat", 31, Err(TokenError::Early)),
    ] {
        let exp = if name == "exp" { at(offset) } else { at(900) };
        let payload = match name {
            "exp" => format!(r#"{{"sub":"u","exp":{exp}}}"#),
            name => format!(r#"{{"sub":"u","exp":{exp},"{name}":{}}}"#, at(offset)),
        };
        let verdict = hs256().verify(&forged(HEADER, &payload), NOW).map(|_| ());
        assert_eq!(verdict, expected, "{name} {offset:+}");
    }
}

#[test]
fn headers_that_would_change_what_verification_means_are_refused() {
    let payload = format!(r#"{{"sub":"u","exp":{}}}"#, NOW.seconds() + 60);
    let header = |name| Err(TokenError::Header(name));
    for (head, expected) in [
        (r#"{"alg":"HS256"}"#, Ok(())),
        (r#"{"alg":"HS256","typ":"jwt"}"#, Ok(())),
        (r#"{"alg":"HS256","typ":"application/at+jwt"}"#, Ok(())),
        (
            r#"{"alg":"HS256","kid":"a","x5t":"ignored","cty":"x"}"#,
            Ok(()),
        ),
        (r#"{"alg":"none"}"#, Err(TokenError::NoKey)),
        (r#"{"alg":"None"}"#, Err(TokenError::NoKey)),
        (r#"{"alg":"hs256"}"#, Err(TokenError::NoKey)),
        (r#"{"alg":"HS384"}"#, Err(TokenError::NoKey)),
        (r#"{"alg":"RS256"}"#, Err(TokenError::NoKey)),
        (r#"{"alg":"HS256","kid":"b"}"#, Err(TokenError::NoKey)),
        (r#"{"alg":"HS256","kid":""}"#, Err(TokenError::NoKey)),
        (
            r#"{"alg":"HS256","kid":"../../dev/null"}"#,
            Err(TokenError::NoKey),
        ),
        (r#"{"alg":"HS256","kid":7}"#, Err(TokenError::Malformed)),
        (r#"{"alg":"HS256","crit":["exp"]}"#, header("crit")),
        (r#"{"alg":"HS256","crit":[]}"#, header("crit")),
        (r#"{"alg":"HS256","crit":null}"#, header("crit")),
        (r#"{"alg":"HS256","b64":false}"#, header("b64")),
        (r#"{"alg":"HS256","b64":true}"#, header("b64")),
        (r#"{"alg":"HS256","jwk":{"kty":"oct"}}"#, header("jwk")),
        (r#"{"alg":"HS256","jku":"https://evil"}"#, header("jku")),
        (r#"{"alg":"HS256","x5u":"https://evil"}"#, header("x5u")),
        (r#"{"alg":"HS256","x5c":[]}"#, header("x5c")),
        (r#"{"alg":"HS256","zip":"DEF"}"#, header("zip")),
        (r#"{"alg":"HS256","enc":"A256GCM"}"#, header("enc")),
        (
            r#"{"alg":"HS256","typ":"assertion+jwt"}"#,
            Err(TokenError::Type),
        ),
        (r#"{"alg":"HS256","typ":"dpop+jwt"}"#, Err(TokenError::Type)),
        (r#"{"alg":"HS256","typ":"JOSE"}"#, Err(TokenError::Type)),
        (r#"{"alg":"HS256","typ":""}"#, Err(TokenError::Type)),
        (
            r#"{"alg":"HS256","alg":"none"}"#,
            Err(TokenError::Malformed),
        ),
        (r#"{"typ":"JWT"}"#, Err(TokenError::Malformed)),
        (r#"{"alg":["HS256"]}"#, Err(TokenError::Malformed)),
        (r#"["HS256"]"#, Err(TokenError::Malformed)),
        ("", Err(TokenError::Malformed)),
    ] {
        let verdict = hs256().verify(&forged(head, &payload), NOW).map(|_| ());
        assert_eq!(verdict, expected, "{head}");
    }
}

#[test]
fn what_is_not_a_compact_jws_is_refused() {
    let good = forged(
        HEADER,
        &format!(r#"{{"sub":"u","exp":{}}}"#, NOW.seconds() + 60),
    );
    let (message, signature) = good.rsplit_once('.').unwrap();
    let unsigned = format!("{message}.");
    let two = message.to_owned();
    let four = format!("{good}.x");
    let padded = format!("{good}=");
    let spaced = format!("{message} .{signature}");
    let standard = good.replace('-', "+").replace('_', "/") + "+";
    for (token, expected) in [
        ("", TokenError::Malformed),
        (".", TokenError::Malformed),
        ("..", TokenError::Malformed),
        ("dev-alice", TokenError::Malformed),
        ("mock_token_1", TokenError::Malformed),
        (unsigned.as_str(), TokenError::Signature),
        (two.as_str(), TokenError::Malformed),
        (four.as_str(), TokenError::Signature),
        (padded.as_str(), TokenError::Malformed),
        (spaced.as_str(), TokenError::Signature),
        (standard.as_str(), TokenError::Malformed),
    ] {
        let refused = hs256().verify(token, NOW).unwrap_err();
        assert!(
            refused == expected || refused == TokenError::Malformed,
            "{token}: {refused}"
        );
    }
    let long = format!("{message}.{}", "A".repeat(jws::MAX_TOKEN));
    assert_eq!(hs256().verify(&long, NOW).unwrap_err(), TokenError::TooLong);
}

#[test]
fn claims_are_one_object_with_unique_names_and_a_subject() {
    let exp = NOW.seconds() + 60;
    for (payload, expected) in [
        (String::from("[]"), Err(TokenError::Payload)),
        (String::from("null"), Err(TokenError::Payload)),
        (String::from("{"), Err(TokenError::Payload)),
        (
            format!(r#"{{"sub":"u","exp":{exp}}} x"#),
            Err(TokenError::Payload),
        ),
        (
            format!(r#"{{"sub":"u","sub":"admin","exp":{exp}}}"#),
            Err(TokenError::Payload),
        ),
        (
            format!(r#"{{"sub":"u","exp":1,"exp":{exp}}}"#),
            Err(TokenError::Payload),
        ),
        (
            format!(r#"{{"exp":{exp}}}"#),
            Err(TokenError::Missing("sub")),
        ),
        (
            format!(r#"{{"sub":"","exp":{exp}}}"#),
            Err(TokenError::Claim("sub")),
        ),
        (
            format!(r#"{{"sub":7,"exp":{exp}}}"#),
            Err(TokenError::Claim("sub")),
        ),
        (format!(r#"{{"user_id":"u7","exp":{exp}}}"#), Ok("u7")),
        (format!(r#"{{"user_id":7,"exp":{exp}}}"#), Ok("7")),
        (format!(r#"{{"uuid":"u8","exp":{exp}}}"#), Ok("u8")),
        (
            format!(r#"{{"sub":"u","iss":7,"exp":{exp}}}"#),
            Err(TokenError::Claim("iss")),
        ),
        (
            format!(r#"{{"sub":"u","aud":7,"exp":{exp}}}"#),
            Err(TokenError::Claim("aud")),
        ),
        (
            format!(r#"{{"sub":"u","aud":[],"exp":{exp}}}"#),
            Err(TokenError::Claim("aud")),
        ),
        (
            format!(r#"{{"sub":"u","aud":"x","exp":{exp}}}"#),
            Err(TokenError::Audience),
        ),
    ] {
        let verdict = hs256().verify(&forged(HEADER, &payload), NOW);
        let verdict = verdict.map(|claims| claims.subject().to_owned());
        assert_eq!(verdict, expected.map(str::to_owned), "{payload}");
    }
}

#[test]
fn a_configured_issuer_and_audience_are_written_and_demanded() {
    let mut ours = hs256();
    ours.issuer = Some("https://api.example.com".into());
    ours.audience = vec!["backend".into()];
    let token = ours.issue(&alice(), Duration::from_secs(60), NOW).unwrap();
    assert!(ours.verify(&token, NOW).is_ok());
    assert_eq!(
        hs256().verify(&token, NOW).unwrap_err(),
        TokenError::Audience
    );
    let exp = NOW.seconds() + 60;
    for (claims, expected) in [
        (
            r#""iss":"https://evil","aud":"backend""#,
            TokenError::Issuer,
        ),
        (r#""aud":"backend""#, TokenError::Issuer),
        (r#""iss":"https://api.example.com""#, TokenError::Audience),
        (
            r#""iss":"https://api.example.com","aud":["x","y"]"#,
            TokenError::Audience,
        ),
    ] {
        let payload = format!(r#"{{"sub":"u","exp":{exp},{claims}}}"#);
        let refused = ours.verify(&forged(HEADER, &payload), NOW).unwrap_err();
        assert_eq!(refused, expected, "{claims}");
    }
}

/// C27: the public key of an RS256 key, taken as the secret of an HS256 token.
#[test]
fn a_public_key_is_never_a_shared_secret() {
    let rsa = material(Algorithm::Rs256);
    let public = rsa.public().unwrap().clone();
    let ring = tokens(vec![key("a", rsa, KeyUse::Sign)]);
    let payload = format!(r#"{{"sub":"admin","exp":{}}}"#, NOW.seconds() + 60);
    let secrets = [
        Secret::new(Material::fingerprint_input(&material(Algorithm::Rs256))),
        Secret::new(public_bytes(&public)),
    ];
    for secret in secrets {
        let attacker = Material::from_any_secret(Algorithm::Hs256, &secret).unwrap();
        for head in [
            HEADER,
            r#"{"alg":"HS256","kid":"a"}"#,
            r#"{"alg":"RS256","kid":"a"}"#,
        ] {
            let refused = ring
                .verify(&jws::forge(head, &payload, &attacker), NOW)
                .unwrap_err();
            assert!(
                matches!(refused, TokenError::NoKey | TokenError::Signature),
                "{head}: {refused}"
            );
        }
    }
}

fn public_bytes(numbers: &super::super::keys::PublicNumbers) -> Vec<u8> {
    numbers.encoded()
}

#[test]
fn a_rotation_logs_nobody_out() {
    let old = material(Algorithm::Hs256);
    let secret = Secret::new(b"fedcba9876543210".repeat(4));
    let new = || Material::from_secret(Algorithm::Hs256, &secret).unwrap();
    let before = tokens(vec![key("2026-08", old, KeyUse::Sign)]);
    let during = tokens(vec![
        key("2026-08", material(Algorithm::Hs256), KeyUse::Verify),
        key("2026-11", new(), KeyUse::Sign),
    ]);
    let after = tokens(vec![key("2026-11", new(), KeyUse::Sign)]);
    let first = before
        .issue(&alice(), Duration::from_secs(900), NOW)
        .unwrap();
    assert!(during.verify(&first, NOW).is_ok());
    let second = during
        .issue(&alice(), Duration::from_secs(900), NOW)
        .unwrap();
    assert!(after.verify(&second, NOW).is_ok());
    assert_eq!(after.verify(&first, NOW).unwrap_err(), TokenError::NoKey);
    assert_eq!(before.verify(&second, NOW).unwrap_err(), TokenError::NoKey);
}

#[test]
fn without_a_kid_every_key_of_the_algorithm_is_tried() {
    let secret = Secret::new(b"fedcba9876543210".repeat(4));
    let second = || Material::from_secret(Algorithm::Hs256, &secret).unwrap();
    let ring = tokens(vec![
        key("a", material(Algorithm::Hs256), KeyUse::Sign),
        key("b", second(), KeyUse::Verify),
    ]);
    let payload = format!(r#"{{"sub":"u","exp":{}}}"#, NOW.seconds() + 60);
    for (head, expected) in [
        (r#"{"alg":"HS256"}"#, Ok(())),
        (r#"{"alg":"HS256","kid":"b"}"#, Ok(())),
        (r#"{"alg":"HS256","kid":"a"}"#, Err(TokenError::Signature)),
    ] {
        let verdict = ring.verify(&jws::forge(head, &payload, &second()), NOW);
        assert_eq!(verdict.map(|_| ()), expected, "{head}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_is_believed_or_breaks_the_reader(
        header in "\\PC{0,60}",
        payload in "\\PC{0,60}",
        tail in "[A-Za-z0-9_.-]{0,80}",
    ) {
        let tokens = hs256();
        proptest::prop_assert!(tokens.verify(&tail, NOW).is_err());
        proptest::prop_assert!(tokens.verify(&forged(&header, &payload), NOW).is_err());
        proptest::prop_assert!(tokens.verify(&forged(HEADER, &payload), NOW).is_err());
    }
}
