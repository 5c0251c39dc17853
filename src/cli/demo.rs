//! `portcullis demo`: the gateway with a backend and a certificate of its own.

use std::path::PathBuf;

use clap::Args;

use crate::cli::failure::Failure;
use crate::cli::{output, run};
use crate::clock::Clock;
use crate::demo::{self, Folder, Ports};

#[derive(Args)]
pub(super) struct Demo {
    /// The port to listen on, at 127.0.0.1
    #[arg(long, default_value_t = 8443)]
    port: u16,
    /// The folder for state and certificates; the certificate authority becomes DIR/ca.pem
    #[arg(long, value_name = "DIR", default_value = "demo-data")]
    data: PathBuf,
}

pub(super) fn run(demo: &Demo) -> Result<(), Failure> {
    let echo = demo::start_echo().map_err(|error| {
        Failure::Other(format!("error: the echo backend cannot start: {error}"))
    })?;
    let ports = Ports {
        https: demo.port,
        echo,
    };
    let folder = Folder::prepare(&demo.data, ports, &Clock::system())
        .map_err(|error| Failure::other(&error))?;
    let text = demo::instructions(&folder, demo.port);
    run::run_and_say(&folder.configuration(), |_serving| {
        // A closed standard output does not keep the demo from serving.
        drop(output::print(&text));
    })
}
