//! What the comparison needs beside the usual load generators: keys and tokens, a backend, full TLS
//! handshakes, connections that are held open, and a measure of how fast the machine is just now.
//!
//!     bench-tools material FOLDER
//!     bench-tools upstream PORT
//!     bench-tools handshakes PORT ROOTS SECONDS CONNECTIONS [VALUE]
//!     bench-tools hold PORT ROOTS h1|h2 CONNECTIONS [VALUE]
//!     bench-tools calibrate
//!
//! VALUE is that of an Authorization field.

#![allow(clippy::print_stdout, clippy::print_stderr)]

#[path = "tools/calibrate.rs"]
mod calibrate;
#[path = "tools/client.rs"]
mod client;
#[path = "tools/handshakes.rs"]
mod handshakes;
#[path = "tools/hold.rs"]
mod hold;
#[path = "tools/material.rs"]
mod material;
#[path = "tools/upstream.rs"]
mod upstream;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use client::Client;

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-tools: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Outcome {
    match arguments {
        ["material", folder] => material::write(Path::new(folder)),
        ["calibrate"] => calibrate::print(),
        ["upstream", port] => on_one_thread(upstream::serve(port.parse()?)),
        ["handshakes", port, roots, seconds, connections, value @ ..] => {
            let client = Client::new(port.parse()?, Path::new(roots), value.first().copied())?;
            let within = Duration::from_secs_f64(seconds.parse()?);
            on_one_thread(handshakes::run(client, within, connections.parse()?))
        }
        ["hold", port, roots, protocol, connections, value @ ..] => {
            let client = Client::new(port.parse()?, Path::new(roots), value.first().copied())?;
            on_one_thread(hold::run(client, protocol.parse()?, connections.parse()?))
        }
        _other => Err("see the first lines of benches/compare/tools.rs".into()),
    }
}

fn on_one_thread(work: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    tokio::task::LocalSet::new().block_on(&runtime, work)
}
