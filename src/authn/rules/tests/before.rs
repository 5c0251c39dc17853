//! Tokens of another issuer, of another kind, and of an earlier configuration.

use super::*;

#[test]
fn a_verify_only_key_ends_on_its_date_whatever_its_tokens_say() {
    let end = NOW + Duration::from_secs(3600);
    let mut legacy = key("legacy", material(Algorithm::Hs256), KeyUse::Verify);
    legacy.not_after = Some(end);
    legacy.origin = Origin::Foreign {
        issuer: None,
        audience: vec!["old-api".into()],
    };
    let mut ring = tokens(vec![
        key("new", material(Algorithm::EdDsa), KeyUse::Sign),
        legacy,
    ]);
    ring.issuer = Some("https://api.example.com".into());
    let payload = format!(
        r#"{{"user_id":"u","aud":"old-api","exp":{}}}"#,
        end.seconds() + 9_999
    );
    let token = forged(HEADER, &payload);
    for (now, expected) in [
        (NOW, Ok(())),
        (end - Duration::from_millis(1), Ok(())),
        (end, Err(TokenError::Retired)),
    ] {
        assert_eq!(ring.verify(&token, now).map(|_| ()), expected, "{now:?}");
    }
}

#[test]
fn an_assertion_is_no_access_token() {
    let ring = tokens(vec![
        key("a", material(Algorithm::Hs256), KeyUse::Sign),
        key("e", material(Algorithm::EdDsa), KeyUse::Assert),
    ]);
    let payload = format!(r#"{{"sub":"u","exp":{}}}"#, NOW.seconds() + 60);
    let assert_key = material(Algorithm::EdDsa);
    for head in [
        r#"{"alg":"EdDSA","kid":"e","typ":"assertion+jwt"}"#,
        r#"{"alg":"EdDSA","kid":"e"}"#,
        r#"{"alg":"EdDSA"}"#,
    ] {
        assert!(
            ring.verify(&jws::forge(head, &payload, &assert_key), NOW)
                .is_err(),
            "{head}"
        );
    }
}

#[test]
fn an_old_backends_token_names_its_caller_like_any_other() {
    let exp = NOW.seconds() + 60;
    let payload = format!(r#"{{"user_id":7,"role":"admin","exp":{exp}}}"#);
    let claims = hs256().verify(&forged(HEADER, &payload), NOW).unwrap();
    assert_eq!(claims.text("sub"), Some("7"));
    assert_eq!(claims.value("roles"), Some(&serde_json::json!(["admin"])));
}

#[test]
fn a_session_that_another_issuer_names_is_none_of_ours() {
    let payload = format!(
        r#"{{"sub":"u","sid":"{}","exp":{}}}"#,
        SessionId::random(),
        NOW.seconds() + 60
    );
    let mut foreign = key("f", material(Algorithm::Hs256), KeyUse::Verify);
    for (origin, names_one) in [
        (Origin::Ours, true),
        (
            Origin::Foreign {
                issuer: None,
                audience: Vec::new(),
            },
            false,
        ),
    ] {
        foreign.origin = origin;
        let signer = key("s", material(Algorithm::EdDsa), KeyUse::Sign);
        let id = foreign.id.clone();
        let ring = tokens(vec![signer, foreign]);
        let (claims, ..) = ring.open(&forged(HEADER, &payload)).unwrap();
        assert_eq!(claims.session().is_some(), names_one);
        foreign = key(id.as_str(), material(Algorithm::Hs256), KeyUse::Verify);
    }
}

#[test]
fn a_token_from_before_lifetimes_were_shortened_ends_with_them() {
    let mut ring = hs256();
    let month = ring.lifetimes.praisonai;
    let token = ring.issue(&alice(), month, NOW).unwrap();
    let hour = Duration::from_secs(3600);
    ring.lifetimes.praisonai = hour;
    let end = NOW + ring.longest_life();
    assert_eq!(
        end,
        NOW + hour + ring.leeway,
        "that of rag-modulo is an hour, too"
    );
    assert!(ring.verify(&token, end - Duration::from_millis(1)).is_ok());
    assert_eq!(ring.verify(&token, end).unwrap_err(), TokenError::Expired);
}

#[test]
fn a_token_without_a_session_lives_as_long_as_it_says() {
    let (long_ago, exp) = (NOW.seconds() - 90 * 86_400, NOW.seconds() + 60);
    let payload = format!(r#"{{"user_id":"u","iat":{long_ago},"exp":{exp}}}"#);
    assert!(hs256().verify(&forged(HEADER, &payload), NOW).is_ok());
}
