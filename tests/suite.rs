//! The gateway as its users meet it: the real binary over TLS, real upstream servers, a real Redis.
//!
//! Every test starts what it needs on ports of its own and ends only what it started.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod suite {
    mod accounts;
    mod admission;
    mod api_keys;
    mod bearers;
    mod bounds;
    mod browser;
    mod clients;
    mod codes;
    mod configuration;
    mod cookie_domain;
    mod cookies;
    mod curl;
    mod demo;
    mod failing_upstreams;
    mod foreign_secrets;
    mod forgeries;
    mod forwarding;
    mod framing;
    mod harness;
    mod http2_abuse;
    mod identity;
    mod keys;
    mod limits;
    mod listeners;
    mod lockouts;
    mod login_page;
    mod logs;
    mod machines;
    mod moving_in;
    mod nodes;
    mod odd_exchanges;
    mod operation;
    mod operators;
    mod origin;
    mod other_proxies;
    mod outages;
    mod pages;
    mod paths;
    mod postgres;
    mod praisonai;
    mod refreshing;
    mod second_factor;
    mod second_factor_pages;
    mod selftest;
    mod sessions;
    mod shared_limits;
    mod sign_on;
    mod storage;
    mod stream_outages;
    mod stream_owners;
    mod stream_reloads;
    mod streaming;
    mod streams;
    mod systemd;
    mod uploads;
    mod verification;
    mod websockets;
}
