//! What a refused client gets, in each shape.

use std::sync::Arc;

use http::HeaderMap;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::*;
use crate::inbound::RequestIds;

fn asked(shape: Shape) -> Asked {
    Asked {
        login: None,
        shape,
        audience: Audience::Program,
        method: Method::GET,
        id: RequestIds::new().next(),
        at: Timestamp::from_seconds(0),
    }
}

fn sent(rejection: Rejection, asked: &Asked) -> (StatusCode, HeaderMap, String) {
    let (parts, body) = rejection.into_response(asked).into_parts();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let bytes = runtime.block_on(body.collect()).unwrap().to_bytes();
    (
        parts.status,
        parts.headers,
        String::from_utf8(bytes.to_vec()).unwrap(),
    )
}

fn json_of(rejection: Rejection, shape: Shape) -> Value {
    let (_, _, body) = sent(rejection, &asked(shape));
    serde_json::from_str(&body).unwrap()
}

fn bad_email() -> InvalidBody {
    let fault = Fault::NotAnEmail(String::from("There is no @-sign."));
    InvalidBody::from(FieldFault::new(Place::Field("email"), fault).with_input(json!("x")))
}

#[test]
fn praisonai_clients_read_a_detail() {
    let cases: Vec<(Rejection, u16, Value)> = vec![
        (
            AuthnError::Missing.into(),
            401,
            json!("Missing Authorization header"),
        ),
        (
            AuthnError::Scheme.into(),
            401,
            json!("Invalid Authorization header format. Use: Bearer <token>"),
        ),
        (
            AuthnError::Revoked.into(),
            401,
            json!("Invalid or expired token"),
        ),
        (
            Rejection::MethodNotAllowed(vec![Method::GET]),
            405,
            json!("Method Not Allowed"),
        ),
        (Rejection::NotFound, 404, json!("Not Found")),
        (
            bad_email().into(),
            422,
            json!([{
                "type": "value_error",
                "loc": ["body", "email"],
                "msg": "value is not a valid email address: There is no @-sign.",
                "input": "x",
                "ctx": { "reason": "There is no @-sign." },
            }]),
        ),
    ];
    for (rejection, status, detail) in cases {
        let (got, headers, body) = sent(rejection, &asked(Shape::Praisonai));
        assert_eq!(got, status, "{body}");
        assert_eq!(headers[header::CONTENT_TYPE], "application/json");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body, json!({ "detail": detail }));
    }
}

#[test]
fn rag_modulo_clients_read_detail_and_error() {
    let cases: Vec<(Rejection, &str)> = vec![
        (AuthnError::Missing.into(), "Not authenticated"),
        (
            AuthnError::Revoked.into(),
            "Invalid authentication credentials",
        ),
        (
            bad_email().into(),
            "email: value is not a valid email address: There is no @-sign.",
        ),
    ];
    for (rejection, text) in cases {
        assert_eq!(
            json_of(rejection, Shape::RagModulo),
            json!({ "detail": text, "error": text })
        );
    }
}

#[test]
fn plai_clients_read_four_fields() {
    assert_eq!(
        json_of(AuthnError::Revoked.into(), Shape::Plai),
        json!({
            "error": "unauthorized",
            "message": "Invalid or expired token",
            "code": 401,
            "detail": "Invalid or expired token",
        })
    );
}

#[test]
fn agentflow_clients_get_an_envelope_whatever_happens() {
    let causes: Vec<(Rejection, &str, &str)> = vec![
        (
            AuthnError::Missing.into(),
            "REVOKED_TOKEN",
            "Invalid token, please login again",
        ),
        (Denied::Role.into(), "FORBIDDEN", "You may not do this"),
        (Rejection::NotFound, "HTTPException", "Not Found"),
        (
            UpstreamError::FirstByte(Arc::from("agents")).into(),
            "HTTPException",
            "The upstream did not answer in time",
        ),
    ];
    for (rejection, code, message) in causes {
        let asked = asked(Shape::Agentflow);
        let (status, headers, body) = sent(rejection, &asked);
        let expected = json!({
            "error": { "code": code, "message": message, "details": [] },
            "metadata": {
                "request_id": asked.id.to_string(),
                "timestamp": "1970-01-01T00:00:00.000000Z",
                "message": message,
                "status": "error",
            },
        });
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected);
        if status == 401 {
            assert_eq!(
                headers[header::WWW_AUTHENTICATE],
                "Bearer realm=\"auth_required\""
            );
        }
    }
    let invalid = json_of(bad_email().into(), Shape::Agentflow);
    assert_eq!(
        invalid["error"]["details"][0]["loc"],
        json!(["body", "email"])
    );
}

#[test]
fn native_clients_get_a_problem() {
    let asked = asked(Shape::Native);
    let (status, headers, body) = sent(bad_email().into(), &asked);
    assert_eq!(status, 422);
    assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json");
    assert_eq!(headers[header::CACHE_CONTROL], "no-store");
    assert_eq!(
        serde_json::from_str::<Value>(&body).unwrap(),
        json!({
            "type": "about:blank",
            "title": "Unprocessable Entity",
            "status": 422,
            "detail": "email: value is not a valid email address: There is no @-sign.",
            "code": "invalid_body",
            "request_id": asked.id.to_string(),
            "errors": [{
                "pointer": "#/email",
                "code": "value_error",
                "detail": "value is not a valid email address: There is no @-sign.",
            }],
        })
    );
}

#[test]
fn each_refusal_says_what_its_protocol_asks_for() {
    let native = asked(Shape::Native);
    let (_, headers, _) = sent(AuthnError::Missing.into(), &native);
    assert_eq!(headers[header::WWW_AUTHENTICATE], "Bearer");
    let (_, headers, _) = sent(AuthnError::Revoked.into(), &native);
    assert_eq!(
        headers[header::WWW_AUTHENTICATE],
        "Bearer error=\"invalid_token\""
    );
    let (_, headers, _) = sent(
        Rejection::MethodNotAllowed(vec![Method::GET, Method::HEAD]),
        &native,
    );
    assert_eq!(headers[header::ALLOW], "GET, HEAD");
    let (status, headers, _) = sent(AuthnError::Unavailable.into(), &native);
    assert_eq!(
        (status.as_u16(), &headers[header::RETRY_AFTER]),
        (503, &HeaderValue::from(5))
    );
    let (status, headers, _) = sent(Malformed::TransferCoding.into(), &native);
    assert_eq!(
        (status.as_u16(), &headers[header::CONNECTION]),
        (400, &HeaderValue::from_static("close"))
    );
    let (status, headers, _) = sent(Malformed::Target.into(), &native);
    assert_eq!(
        (status.as_u16(), headers.get(header::CONNECTION)),
        (400, None)
    );
}

#[test]
fn a_head_request_gets_the_length_and_no_body() {
    let get = asked(Shape::Native);
    let head = Asked {
        method: Method::HEAD,
        ..get.clone()
    };
    let (_, headers, body) = sent(Rejection::NotFound, &get);
    let (_, head_headers, head_body) = sent(Rejection::NotFound, &head);
    assert_eq!(
        headers[header::CONTENT_LENGTH],
        body.len().to_string().as_str()
    );
    assert_eq!(head_headers, headers);
    assert_eq!(head_body, "");
}

#[test]
fn a_person_gets_a_page_that_can_run_nothing() {
    for shape in [Shape::Native, Shape::Praisonai, Shape::Agentflow] {
        let asked = Asked {
            audience: Audience::Browser,
            ..asked(shape)
        };
        let (status, headers, body) = sent(AuthnError::Missing.into(), &asked);
        assert_eq!(status, 401);
        assert_eq!(headers[header::CONTENT_TYPE], "text/html; charset=utf-8");
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'"));
        assert!(body.contains("401 Unauthorized") && body.contains(&asked.id.to_string()));
    }
}

#[test]
fn a_person_without_a_session_is_sent_to_log_in_and_a_form_is_not_thrown_away() {
    let login = LoginRedirect {
        page: "/auth/login",
        return_to: PathAndQuery::from_static("/app/edit?a=1&b=2"),
    };
    let place = "/auth/login?return_to=/app/edit%3Fa%3D1%26b%3D2";
    for (method, sent_on) in [(Method::GET, true), (Method::POST, false)] {
        let asked = Asked {
            audience: Audience::Browser,
            login: Some(login.clone()),
            method,
            ..asked(Shape::Native)
        };
        let (status, headers, body) = sent(AuthnError::Missing.into(), &asked);
        if sent_on {
            assert_eq!(
                (status.as_u16(), &headers[header::LOCATION]),
                (303, &HeaderValue::from_static(place))
            );
        } else {
            assert_eq!(status, 401);
            assert!(body.contains(&format!("<a href=\"{place}\">")), "{body}");
        }
        let (_, _, body) = sent(Rejection::NotFound, &asked);
        assert!(!body.contains("<a "), "{body}");
    }
}
