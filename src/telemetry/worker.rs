//! One worker's plain counters, merged with the others' when they are asked for.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::telemetry::exposition::{Exposition, Kind};
use crate::telemetry::histogram::Histogram;

/// Most pairs of a route and an upstream. Names come from the configuration, but each reload may
/// bring new ones.
const MOST_PAIRS: usize = 4096;
/// Stands for every name beyond the bound.
const OTHER: &str = "other";
/// The route of a request that no route matched, or that was refused before one was looked up.
const NO_ROUTE: &str = "none";

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What answered a request, by its names in the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AnsweredBy {
    pub route: Option<Arc<str>>,
    pub upstream: Option<Arc<str>>,
}

/// What one request adds to the numbers.
pub struct RequestFigures<'a> {
    pub by: &'a AnsweredBy,
    pub status: u16,
    /// From the request's head to the answer's.
    pub head: Duration,
    /// Bytes of the answer's body.
    pub sent: u64,
    pub rejection: Option<&'static str>,
}

/// One worker's counters. Its lock is contended only by a scrape.
pub struct WorkerMetrics(Arc<Shard>);

#[derive(Default)]
pub(super) struct Shard(Mutex<Counters>);

#[derive(Clone, Default)]
struct Counters {
    served: HashMap<AnsweredBy, Served, RandomState>,
    rejections: HashMap<&'static str, u64>,
}

#[derive(Clone, Default)]
struct Served {
    classes: [u64; CLASSES.len()],
    head: Histogram,
    sent: u64,
}

impl WorkerMetrics {
    pub(super) fn new(shard: Arc<Shard>) -> Self {
        Self(shard)
    }

    pub fn record(&self, request: &RequestFigures<'_>) {
        let mut counters = self.0.lock();
        match counters.served.get_mut(request.by) {
            Some(served) => served.record(request),
            None => counters.newly_served(request.by).record(request),
        }
        if let Some(word) = request.rejection {
            *counters.rejections.entry(word).or_default() += 1;
        }
    }
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, Counters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counters {
    fn newly_served(&mut self, by: &AnsweredBy) -> &mut Served {
        let other = |name: &Arc<str>| match self.served.len() {
            ..MOST_PAIRS => name.clone(),
            MOST_PAIRS.. => Arc::from(OTHER),
        };
        let by = AnsweredBy {
            route: by.route.as_ref().map(other),
            upstream: by.upstream.as_ref().map(other),
        };
        self.served.entry(by).or_default()
    }
}

impl Served {
    fn record(&mut self, request: &RequestFigures<'_>) {
        let class = usize::from(request.status / 100).saturating_sub(1);
        if let Some(count) = self.classes.get_mut(class) {
            *count += 1;
        }
        self.head.record(request.head);
        self.sent += request.sent;
    }

    fn add(&mut self, other: &Served) {
        for (mine, theirs) in self.classes.iter_mut().zip(other.classes) {
            *mine += theirs;
        }
        self.head.add(&other.head);
        self.sent += other.sent;
    }
}

/// Writes the sum of all workers' counters.
pub(super) fn expose(shards: &[Arc<Shard>], out: &mut Exposition) {
    let no_route = Arc::<str>::from(NO_ROUTE);
    let mut routes = BTreeMap::<Arc<str>, Served>::new();
    let mut upstreams = BTreeMap::<Arc<str>, Served>::new();
    let mut rejections = BTreeMap::<&'static str, u64>::new();
    for shard in shards {
        // A copy, so that the worker waits for the copying and not for the adding.
        let counters = shard.lock().clone();
        for (by, served) in &counters.served {
            let route = by.route.clone().unwrap_or_else(|| no_route.clone());
            routes.entry(route).or_default().add(served);
            if let Some(upstream) = &by.upstream {
                upstreams.entry(upstream.clone()).or_default().add(served);
            }
        }
        for (word, count) in counters.rejections {
            *rejections.entry(word).or_default() += count;
        }
    }
    expose_routes(&routes, out);
    expose_upstreams(&upstreams, out);
    out.family(
        "portcullis_rejections_total",
        Kind::Counter,
        "Requests refused by the gateway, by reason.",
    );
    for (word, count) in rejections {
        out.sample(&[("reason", word)], count);
    }
}

fn expose_routes(routes: &BTreeMap<Arc<str>, Served>, out: &mut Exposition) {
    out.family(
        "portcullis_requests_total",
        Kind::Counter,
        "Requests by route and class of status.",
    );
    for (name, served) in routes {
        for (class, count) in CLASSES.iter().zip(served.classes) {
            out.sample(&[("route", name), ("class", class)], count);
        }
    }
    out.family(
        "portcullis_request_seconds",
        Kind::Histogram,
        "From a request's head to its answer's, by route.",
    );
    for (name, served) in routes {
        served.head.expose(("route", name), out);
    }
    out.family(
        "portcullis_response_bytes_total",
        Kind::Counter,
        "Bytes of answers' bodies by route.",
    );
    for (name, served) in routes {
        out.sample(&[("route", name)], served.sent);
    }
}

fn expose_upstreams(upstreams: &BTreeMap<Arc<str>, Served>, out: &mut Exposition) {
    out.family(
        "portcullis_upstream_requests_total",
        Kind::Counter,
        "Requests on routes to an upstream, by upstream and class of status.",
    );
    for (name, served) in upstreams {
        for (class, count) in CLASSES.iter().zip(served.classes) {
            out.sample(&[("upstream", name), ("class", class)], count);
        }
    }
}
