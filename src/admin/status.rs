//! The read-only listener: `/healthz`, `/readyz` and `/metrics`.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use hyper::body::Incoming;
use tokio::net::TcpListener;

use crate::admin::Health;
use crate::admin::connection::{self, Answer, Places, answer};
use crate::telemetry::Metrics;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers probes and scrapes on `listener`, for ever.
pub async fn serve_status(listener: TcpListener, health: Health, metrics: Metrics) {
    let places = Places::new();
    loop {
        let Some(place) = places.take().await else {
            return;
        };
        let (stream, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                connection::back_off(error).await;
                continue;
            }
        };
        let (health, metrics) = (health.clone(), metrics.clone());
        tokio::spawn(async move {
            let respond = async |req: Request<Incoming>| respond(&req, &health, &metrics);
            connection::serve(stream, respond).await;
            drop(place);
        });
    }
}

fn respond<B>(req: &Request<B>, health: &Health, metrics: &Metrics) -> Answer {
    if !matches!(*req.method(), Method::GET | Method::HEAD) {
        let mut res = answer(
            StatusCode::METHOD_NOT_ALLOWED,
            TEXT,
            "this listener is read-only\n",
        );
        res.headers_mut()
            .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return res;
    }
    match req.uri().path() {
        "/healthz" => answer(StatusCode::OK, TEXT, "ok\n"),
        "/readyz" => {
            let report = health.report();
            let status = if report.accepts() {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            };
            match serde_json::to_vec(&report) {
                Ok(body) => answer(status, JSON, body),
                Err(_) => answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, Bytes::new()),
            }
        }
        "/metrics" => answer(StatusCode::OK, PROMETHEUS, metrics.render()),
        _ => answer(
            StatusCode::NOT_FOUND,
            TEXT,
            "try /healthz, /readyz or /metrics\n",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{Condition, Phase};
    use crate::clock::{Clock, Timestamp};

    #[test]
    fn probes_and_scrapes_are_answered_and_nothing_else_is() {
        let health = Health::default();
        let metrics = Metrics::new(&Clock::manual(Timestamp::from_seconds(0)));
        let status = |method: Method, path: &str| {
            let req = Request::builder().method(method).uri(path).body(());
            respond(&req.unwrap(), &health, &metrics).status().as_u16()
        };
        assert_eq!(status(Method::GET, "/healthz"), 200);
        assert_eq!(status(Method::GET, "/readyz"), 503);
        health.enter(Phase::Serving);
        assert_eq!(status(Method::GET, "/readyz"), 200);
        health.watch("redis", || Condition::Degraded(String::from("away")));
        assert_eq!(status(Method::HEAD, "/readyz"), 200);
        assert_eq!(status(Method::GET, "/metrics"), 200);
        assert_eq!(status(Method::POST, "/metrics"), 405);
        assert_eq!(status(Method::GET, "/users"), 404);
    }
}
