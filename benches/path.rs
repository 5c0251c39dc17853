//! What each step of a request's path costs in time and allocations: `cargo bench --bench path`.
//!
//! The gateway is configured as for the comparison with other proxies (`benches/peer`), and the request
//! is one that its clients send. `benches/budget` writes the figures into `docs/performance.md`.

#![allow(clippy::unwrap_used)]

#[path = "compare/tools/material.rs"]
mod material;
#[path = "path/stage.rs"]
mod stage;

use divan::{AllocProfiler, Bencher, black_box};
use http::HeaderMap;
use portcullis::access::AccessEntry;
use portcullis::authn::AuthnError;
use portcullis::inbound::Inbound;
use portcullis::limit::LimitKeys;
use portcullis::outbound::Outbound;
use portcullis::rejection::{Asked, Audience, Rejection, Shape};
use portcullis::route::Target;
use portcullis::telemetry::{AnsweredBy, RequestFigures};

use stage::{Stage, at_once, found_route};

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// The steps of a request with a bearer token that was seen before, in their order.
mod steps {
    use super::*;

    #[divan::bench]
    fn a_inbound(bencher: Bencher<'_, '_>) {
        let stage = Stage::new();
        let token = stage.bearer(7);
        bencher
            .with_inputs(|| (stage.ids.next(), stage.peer(), stage.request(&token)))
            .bench_local_values(|(id, peer, req)| Inbound::parse(id, peer, req, &stage.trusted));
    }

    #[divan::bench]
    fn b_route(bencher: Bencher<'_, '_>) {
        let stage = Stage::new();
        let req = stage.inbound(&stage.bearer(7));
        bencher.bench_local(|| {
            let req = black_box(&req);
            found_route(
                stage
                    .routes
                    .find(&req.host, req.path.segments(), &req.method),
            )
        });
    }

    #[divan::bench]
    fn c_limits_of_the_address(bencher: Bencher<'_, '_>) {
        let stage = Stage::new();
        let req = stage.inbound(&stage.bearer(7));
        let route = stage.route(&req);
        bencher.bench_local(|| {
            let keys = LimitKeys::Client {
                client: req.client.network(),
                route: &route.name,
            };
            at_once(
                stage
                    .limits
                    .admit(&stage.rules, &route.limits, black_box(&keys)),
            )
        });
    }

    #[divan::bench]
    fn d_authenticate(bencher: Bencher<'_, '_>) {
        authenticate_known(bencher, |stage| stage.bearer(7));
    }

    #[divan::bench]
    fn e_limits_of_the_caller(bencher: Bencher<'_, '_>) {
        let stage = Stage::new();
        let req = stage.inbound(&stage.bearer(7));
        let route = stage.route(&req);
        bencher.bench_local(|| {
            let keys = LimitKeys::Caller {
                client: req.client.network(),
                route: &route.name,
                identity: Some("user-000007"),
            };
            at_once(
                stage
                    .limits
                    .admit(&stage.rules, &route.limits, black_box(&keys)),
            )
        });
    }

    #[divan::bench]
    fn f_permit(bencher: Bencher<'_, '_>) {
        let stage = Stage::new();
        let mut req = stage.inbound(&stage.bearer(7));
        let route = stage.route(&req);
        let client = req.client;
        let caller = stage.caller(&mut req, route);
        bencher
            .with_inputs(|| caller.clone())
            .bench_local_values(|caller| route.policy.permit(caller, client));
    }

    #[divan::bench]
    fn g_outbound(bencher: Bencher<'_, '_>) {
        let stage = Stage::new();
        let token = stage.bearer(7);
        let route = stage.route(&stage.inbound(&token));
        let Target::Upstream(forwarding) = &route.target else {
            return;
        };
        let stamp = stage.stamp();
        bencher
            .with_inputs(|| {
                let mut req = stage.inbound(&token);
                let caller = stage.caller(&mut req, route);
                let permit = route.policy.permit(caller, req.client).unwrap();
                (req, permit)
            })
            .bench_local_values(|(mut req, permit)| {
                let made = Outbound::new(&mut req, &permit, (route, forwarding), stamp);
                let Outbound {
                    mut request,
                    stamps,
                    ..
                } = made.unwrap();
                stamps.write(&mut request.headers);
                request
            });
    }

    #[divan::bench]
    fn h_limits_in_the_answer(bencher: Bencher<'_, '_>) {
        let stage = Stage::new();
        let req = stage.inbound(&stage.bearer(7));
        let route = stage.route(&req);
        let keys = LimitKeys::Client {
            client: req.client.network(),
            route: &route.name,
        };
        let admitted = at_once(stage.limits.admit(&stage.rules, &route.limits, &keys)).unwrap();
        bencher
            .with_inputs(|| HeaderMap::with_capacity(8))
            .bench_local_values(|mut headers| {
                stage
                    .rules
                    .write_headers(admitted, &stage.values, &mut headers);
                headers
            });
    }

    /// The log line and the figures, from the head of the request to the end of the answer.
    #[divan::bench]
    fn i_account(bencher: Bencher<'_, '_>) {
        let stage = Stage::new();
        let token = stage.bearer(7);
        let mut read = stage.inbound(&token);
        let route = stage.route(&read);
        let caller = stage.caller(&mut read, route);
        let req = stage.request(&token);
        bencher.bench_local(|| {
            let mut entry = AccessEntry::begin(&stage.recorder, stage.ids.next(), &read.peer, &req);
            entry.parsed(&read);
            entry.routed(route);
            entry.identified(&caller);
            entry.permitted(route);
            let mut res = stage.answer();
            entry.answered(&mut res);
            res
        });
    }
}

/// What some requests pay instead of, or beside, a step above.
mod others {
    use super::*;

    #[divan::bench]
    fn api_key_seen_before(bencher: Bencher<'_, '_>) {
        authenticate_known(bencher, Stage::api_key);
    }

    #[divan::bench]
    fn cookie_seen_before(bencher: Bencher<'_, '_>) {
        authenticate_known(bencher, Stage::cookie);
    }

    #[divan::bench]
    fn token_first_seen_hs256(bencher: Bencher<'_, '_>) {
        verify(bencher, |stage| stage.material("hs256.tokens"));
    }

    #[divan::bench]
    fn token_first_seen_rs256(bencher: Bencher<'_, '_>) {
        verify(bencher, |stage| stage.material("rs256.tokens"));
    }

    #[divan::bench]
    fn token_first_seen_es256(bencher: Bencher<'_, '_>) {
        verify(bencher, |stage| stage.material("es256.tokens"));
    }

    #[divan::bench]
    fn refusal_in_json(bencher: Bencher<'_, '_>) {
        let stage = Stage::new();
        let asked = Asked {
            login: None,
            shape: Shape::Native,
            audience: Audience::Program,
            method: http::Method::GET,
            id: stage.ids.next(),
            at: stage.clock.now(),
        };
        bencher
            .with_inputs(|| Rejection::Authn(AuthnError::Missing))
            .bench_local_values(|rejection| rejection.into_response(&asked));
    }

    /// The part of the account that is not the log line.
    #[divan::bench]
    fn figures_alone(bencher: Bencher<'_, '_>) {
        let stage = Stage::new();
        let req = stage.inbound(&stage.bearer(7));
        let route = stage.route(&req);
        let metrics = stage.metrics.worker();
        let by = AnsweredBy {
            route: Some(route.name.clone()),
            upstream: Some("backend".into()),
        };
        bencher.bench_local(|| {
            metrics.record(&RequestFigures {
                by: black_box(&by),
                status: 200,
                head: std::time::Duration::from_micros(250),
                sent: 200,
                rejection: None,
            });
        });
    }
}

/// What a step cannot do without, by itself.
mod floors {
    use std::hash::{BuildHasher, RandomState};
    use std::time::{Instant, SystemTime};

    use http::{HeaderValue, header};

    use super::*;

    #[divan::bench]
    fn sha256_of_the_token(bencher: Bencher<'_, '_>) {
        let (_, token) = Stage::new().bearer(7);
        bencher.bench_local(|| {
            aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, black_box(token.as_bytes()))
        });
    }

    /// A key in a map that nobody can aim at.
    #[divan::bench]
    fn keyed_hash_of_an_address_and_a_name(bencher: Bencher<'_, '_>) {
        let state = RandomState::new();
        let address = std::net::IpAddr::from([127, 0, 0, 1]);
        bencher.bench_local(|| state.hash_one(black_box((address, "backend"))));
    }

    #[divan::bench]
    fn both_clocks_once(bencher: Bencher<'_, '_>) {
        bencher.bench_local(|| (Instant::now(), SystemTime::now()));
    }

    /// Of the length of an access line.
    #[divan::bench]
    fn copy_of_400_bytes(bencher: Bencher<'_, '_>) {
        let (line, mut buffer) = ([b'x'; 400], Vec::with_capacity(4096));
        bencher.bench_local(|| {
            buffer.clear();
            buffer.extend_from_slice(black_box(&line));
            buffer.len()
        });
    }

    /// One taken out, four put in, into a map of the request's own size.
    #[divan::bench]
    fn five_header_fields(bencher: Bencher<'_, '_>) {
        let stage = Stage::new();
        let field = stage.bearer(7);
        let names = ["x-user-id", "x-user-email", "x-user-role", "x-request-id"];
        let names = names.map(http::HeaderName::from_static);
        let value = HeaderValue::from_static("user-000007");
        bencher
            .with_inputs(|| stage.request(&field).into_parts().0.headers)
            .bench_local_values(|mut headers| {
                headers.remove(header::AUTHORIZATION);
                for name in &names {
                    headers.insert(name.clone(), value.clone());
                }
                headers
            });
    }
}

fn authenticate_known(bencher: Bencher<'_, '_>, field: impl Fn(&Stage) -> stage::Field) {
    let stage = Stage::new();
    let field = field(&stage);
    let mut first = stage.inbound(&field);
    let route = stage.route(&first);
    // The first look-up of a key or a cookie waits for the database.
    stage.caller_after_waiting(&mut first, route);
    bencher
        .with_inputs(|| stage.inbound(&field))
        .bench_local_refs(|req| {
            at_once(stage.authenticator.authenticate(req, route, &stage.tokens))
        });
}

fn verify(bencher: Bencher<'_, '_>, tokens: impl Fn(&Stage) -> String) {
    let stage = Stage::new();
    let tokens = tokens(&stage);
    let mut tokens = tokens.lines().cycle();
    bencher
        .with_inputs(|| tokens.next().unwrap())
        .bench_local_values(|token| stage.tokens.verify(token, stage.clock.now()));
}
