//! `portcullis cert`: certificates for development.

use std::path::PathBuf;

use clap::Subcommand;

use crate::cli::failure::Failure;
use crate::cli::output;
use crate::clock::Clock;
use crate::server::dev_cert::DevCertificate;

#[derive(Subcommand)]
pub(super) enum Cert {
    /// Write a certificate authority (ca.pem) and a certificate of it for localhost
    Dev {
        /// The folder to write to
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

pub(super) fn run(cert: &Cert) -> Result<(), Failure> {
    match cert {
        Cert::Dev { out } => {
            let made = DevCertificate::make(out, &Clock::system())
                .map_err(|error| Failure::other(&error))?;
            output::print(&format!(
                "cert = {:?}, key = {:?}; clients trust {}\n",
                made.files.chain,
                made.files.key,
                made.ca.display()
            ))
        }
    }
}
