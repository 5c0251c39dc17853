//! What the parts of the process have counted themselves, as metrics.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::parts::Parts;
use crate::admin::Health;
use crate::server::Counters;
use crate::snapshot::{Services, Snapshot};
use crate::streams::Streams;
use crate::telemetry::{Exposition, Kind, Metrics};
use crate::upstream::ServerStatus;

/// Has every scrape ask the parts for their figures.
pub(super) fn collect(metrics: &Metrics, parts: &Parts, connections: Arc<Counters>) {
    metrics.collect(move |out| expose_connections(&connections, out));
    let health = parts.health.clone();
    metrics.collect(move |out| expose_health(&health, out));
    let services = parts.services.clone();
    metrics.collect(move |out| expose_accounts(&services, out));
    let streams = parts.services.streams.clone();
    metrics.collect(move |out| expose_streams(&streams, out));
    let current = parts.current.clone();
    metrics.collect(move |out| expose_upstreams(&current, out));
}

fn expose_connections(counters: &Counters, out: &mut Exposition) {
    let help = "Connections by what became of them.";
    out.family("portcullis_connections_total", Kind::Counter, help);
    for (what, count) in counters.named() {
        out.sample(&[("event", what)], count);
    }
}

fn expose_health(health: &Health, out: &mut Exposition) {
    let help = "Parts of the gateway that are not well, as /readyz says.";
    out.family("portcullis_degraded", Kind::Gauge, help);
    for part in health.report().parts {
        out.sample(&[("part", part.part)], 1);
    }
}

fn expose_accounts(services: &Services, out: &mut Exposition) {
    let hasher = services.accounts.hasher();
    let revocations = services.accounts.revocations();
    let help = "Passwords that were hashed.";
    out.family("portcullis_password_hashes_total", Kind::Counter, help);
    out.sample(&[], hasher.hashes());
    let help = "Passwords that wait to be hashed.";
    out.family("portcullis_password_hashes_waiting", Kind::Gauge, help);
    out.sample(&[], hasher.waiting());
    let help = "Sessions and accounts whose tokens are refused before they expire.";
    out.family("portcullis_revocations", Kind::Gauge, help);
    out.sample(&[], revocations.len());
    let help = "Since when the database has not been heard of, in seconds.";
    out.family("portcullis_revocation_news_age_seconds", Kind::Gauge, help);
    out.sample(&[], revocations.staleness().as_secs_f64());
    let help = "API keys that were shown, by what became of them.";
    out.family("portcullis_api_key_lookups_total", Kind::Counter, help);
    for (outcome, count) in services.accounts.key_lookups().named() {
        out.sample(&[("outcome", outcome)], count);
    }
    let lags = services.accounts.revocation_lags();
    let help = "From a revocation on another node until this one refused what it concerns.";
    out.family("portcullis_revocation_lag_seconds", Kind::Histogram, help);
    for (bound, count) in lags.buckets {
        out.suffixed("_bucket", &[("le", bound)], count);
    }
    out.suffixed("_sum", &[], lags.sum_seconds);
    out.suffixed("_count", &[], lags.count);
}

fn expose_streams(streams: &Streams, out: &mut Exposition) {
    let figures = streams.figures();
    let help = "Streams of callers with a session: WebSockets, event streams, answers that last.";
    out.family("portcullis_streams", Kind::Gauge, help);
    out.sample(&[], figures.open);
    let help = "Streams of the session that has most of them.";
    out.family("portcullis_streams_of_one_session", Kind::Gauge, help);
    out.sample(&[], figures.most);
    let help = "Streams that were ended because of their session, by cause.";
    out.family("portcullis_streams_ended_total", Kind::Counter, help);
    for (cause, count) in figures.ended {
        out.sample(&[("cause", cause)], count);
    }
    let help = "Streams that were refused because their session had as many as it may.";
    out.family("portcullis_streams_refused_total", Kind::Counter, help);
    out.sample(&[], figures.refused);
}

/// A figure of one upstream server: its metric's name, kind, help, and where it is read.
type ServerFigure = (&'static str, Kind, &'static str, fn(&ServerStatus) -> u64);

const SERVER_FIGURES: [ServerFigure; 6] = [
    (
        "portcullis_upstream_resting",
        Kind::Gauge,
        "Whether a server is left alone because it failed.",
        |server| u64::from(server.resting),
    ),
    (
        "portcullis_upstream_outstanding",
        Kind::Gauge,
        "Requests and tunnels that a server has not finished.",
        |server| u64::from(server.outstanding),
    ),
    (
        "portcullis_upstream_connects_total",
        Kind::Counter,
        "Connections opened to a server.",
        |server| server.connects,
    ),
    (
        "portcullis_upstream_reuses_total",
        Kind::Counter,
        "Requests on a connection that was open already.",
        |server| server.reuses,
    ),
    (
        "portcullis_upstream_retries_total",
        Kind::Counter,
        "Requests tried again after this server.",
        |server| server.retries,
    ),
    (
        "portcullis_upstream_failures_total",
        Kind::Counter,
        "Failures that count against a server.",
        |server| server.failures,
    ),
];

fn expose_upstreams(current: &ArcSwap<Snapshot>, out: &mut Exposition) {
    let snapshot = current.load();
    let help = "Requests that were not tried again because too many were.";
    out.family(
        "portcullis_upstream_retries_withheld_total",
        Kind::Counter,
        help,
    );
    for upstream in &snapshot.upstreams {
        out.sample(
            &[("upstream", upstream.name())],
            upstream.retries_withheld(),
        );
    }
    for (name, kind, help, read) in SERVER_FIGURES {
        out.family(name, kind, help);
        for upstream in &snapshot.upstreams {
            for server in upstream.servers() {
                let labels = [
                    ("upstream", &**upstream.name()),
                    ("server", &server.address),
                ];
                out.sample(&labels, read(&server));
            }
        }
    }
}
