//! What a scrape gets.

use std::time::Duration;

use super::*;

fn route(name: &str) -> AnsweredBy {
    AnsweredBy {
        route: Some(name.into()),
        upstream: None,
    }
}

fn figures(by: &AnsweredBy, status: u16) -> RequestFigures<'_> {
    RequestFigures {
        by,
        status,
        head: Duration::from_millis(3),
        sent: 10,
        rejection: (status >= 400).then_some("token_expired"),
    }
}

fn metrics() -> Metrics {
    Metrics::new(&Clock::manual(Timestamp::from_seconds(1_000)))
}

#[test]
fn workers_add_up() {
    let metrics = metrics();
    let (one, two) = (metrics.worker(), metrics.worker());
    let route = route("agents");
    one.record(&figures(&route, 200));
    two.record(&figures(&route, 204));
    two.record(&figures(&route, 401));
    let text = metrics.render();
    for line in [
        "portcullis_requests_total{route=\"agents\",class=\"2xx\"} 2",
        "portcullis_requests_total{route=\"agents\",class=\"4xx\"} 1",
        "portcullis_request_seconds_bucket{route=\"agents\",le=\"0.0025\"} 0",
        "portcullis_request_seconds_bucket{route=\"agents\",le=\"0.005\"} 3",
        "portcullis_request_seconds_count{route=\"agents\"} 3",
        "portcullis_response_bytes_total{route=\"agents\"} 30",
        "portcullis_rejections_total{reason=\"token_expired\"} 1",
        "process_start_time_seconds 1000",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
}

#[test]
fn a_request_counts_for_its_route_and_for_its_upstream() {
    let metrics = metrics();
    let worker = metrics.worker();
    for (route, upstream) in [
        (Some("agents"), Some("one")),
        (Some("agents"), None),
        (Some("files"), Some("one")),
        (None, None),
    ] {
        let by = AnsweredBy {
            route: route.map(Arc::from),
            upstream: upstream.map(Arc::from),
        };
        worker.record(&figures(&by, 200));
    }
    let text = metrics.render();
    for line in [
        "portcullis_requests_total{route=\"agents\",class=\"2xx\"} 2",
        "portcullis_requests_total{route=\"files\",class=\"2xx\"} 1",
        "portcullis_requests_total{route=\"none\",class=\"2xx\"} 1",
        "portcullis_upstream_requests_total{upstream=\"one\",class=\"2xx\"} 2",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
}

#[test]
fn names_beyond_the_bound_share_one() {
    let metrics = metrics();
    let worker = metrics.worker();
    for n in 0..5_000 {
        worker.record(&figures(&route(&format!("r{n}")), 200));
    }
    let text = metrics.render();
    let names = text
        .lines()
        .filter(|l| l.starts_with("portcullis_response_bytes_total"))
        .count();
    assert_eq!(names, 4097);
    assert!(text.contains("portcullis_requests_total{route=\"other\",class=\"2xx\"} 904"));
}

#[test]
fn events_are_counted_and_every_family_is_named_once() {
    let metrics = metrics();
    metrics.count(Event::ReloadFailed);
    metrics.count_many(Event::AccessLineDropped, 7);
    metrics.collect(|out| {
        out.family("portcullis_degraded", Kind::Gauge, "Help.");
        out.sample(&[("part", "redis")], 1);
    });
    let text = metrics.render();
    assert!(text.contains("portcullis_reloads_total{outcome=\"failed\"} 1\n"));
    assert!(text.contains("portcullis_log_lines_dropped_total{log=\"access\"} 7\n"));
    assert!(text.contains("portcullis_degraded{part=\"redis\"} 1\n"));
    let mut types: Vec<_> = text.lines().filter(|l| l.starts_with("# TYPE")).collect();
    let all = types.len();
    types.sort_unstable();
    types.dedup();
    assert_eq!(types.len(), all);
}
