//! Portcullis: an authentication gateway in one binary.
//!
//! The way of a request is [`pipeline`]; everything else is a room that it passes through.

pub mod access;
pub mod accounts;
pub mod admin;
pub mod authn;
pub mod authz;
pub mod body;
pub mod causes;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod endpoints;
pub mod html;
pub mod inbound;
pub mod limit;
pub mod lockout;
pub mod outbound;
pub mod pipeline;
pub mod process;
pub mod rejection;
pub mod route;
pub mod secret;
pub mod server;
pub mod shared;
pub mod snapshot;
pub mod store;
pub mod streams;
pub mod tcp;
pub mod telemetry;
pub mod upstream;
pub mod values;

/// Those of the suite.
#[cfg(test)]
#[path = "../tests/suite/harness/ports.rs"]
mod test_ports;
