//! `portcullis key`: keys that sign tokens.

use clap::Subcommand;

use crate::authn::algorithm::{Algorithm, UnknownAlgorithm};
use crate::authn::keys;
use crate::cli::failure::Failure;
use crate::cli::output;

#[derive(Subcommand)]
pub(super) enum Key {
    /// Print a new random key: PEM, or a `base64:` line for a shared secret (HS256, HS384, HS512)
    Generate {
        /// HS256, HS384, HS512, RS256 … PS256, ES256, ES384, ES512 or EdDSA
        #[arg(long, value_parser = algorithm, default_value = "ES256")]
        algorithm: Algorithm,
    },
}

pub(super) fn run(key: &Key) -> Result<(), Failure> {
    match key {
        Key::Generate { algorithm } => {
            let key = keys::generate(*algorithm).map_err(|error| Failure::other(&error))?;
            output::print(&key)
        }
    }
}

fn algorithm(name: &str) -> Result<Algorithm, UnknownAlgorithm> {
    Algorithm::parse(name)
}
