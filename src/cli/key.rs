//! `portcullis key`: keys that sign tokens.

use std::fmt::Write;

use clap::{Args, Subcommand};

use crate::admin::signing_keys::{SigningKeyAnswer, SigningKeyCommand};
use crate::authn::algorithm::{Algorithm, UnknownAlgorithm};
use crate::authn::keys;
use crate::cli::ConfigFile;
use crate::cli::failure::Failure;
use crate::cli::{operate, output};

#[derive(Subcommand)]
pub(super) enum Key {
    /// Print a new random key: PEM, or a `base64:` line for a shared secret (HS256, HS384, HS512)
    Generate {
        /// HS256, HS384, HS512, RS256 … PS256, ES256, ES384, ES512 or EdDSA
        #[arg(long, value_parser = algorithm, default_value = "ES256")]
        algorithm: Algorithm,
    },
    /// List the managed keys: those that the gateways make for themselves
    List(Managed),
    /// Have the running gateways make the next managed key; nobody is logged out
    Rotate {
        #[command(flatten)]
        managed: Managed,
        /// Sign with it within seconds, before everybody who caches the key set has it
        #[arg(long)]
        now: bool,
    },
    /// Refuse every token under a managed key that somebody else may have; another one must sign
    Retire {
        #[command(flatten)]
        managed: Managed,
        /// Its id, as `list` shows it
        id: String,
    },
}

#[derive(Args)]
pub(super) struct Managed {
    #[command(flatten)]
    file: ConfigFile,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(key: &Key) -> Result<(), Failure> {
    match key {
        Key::Generate { algorithm } => {
            let key = keys::generate(*algorithm).map_err(|error| Failure::other(&error))?;
            output::print(&key)
        }
        Key::List(managed) => carry_out(managed, SigningKeyCommand::List),
        Key::Rotate {
            managed,
            now: false,
        } => carry_out(managed, SigningKeyCommand::Rotate),
        Key::Rotate { managed, now: true } => carry_out(managed, SigningKeyCommand::RotateNow),
        Key::Retire { managed, id } => {
            let id = id.clone();
            carry_out(managed, SigningKeyCommand::Retire { id })
        }
    }
}

fn carry_out(managed: &Managed, command: SigningKeyCommand) -> Result<(), Failure> {
    let answer = operate::operate(&managed.file.config, command)?;
    let text = if managed.json {
        let json = serde_json::to_string_pretty(&answer);
        json.map_err(|error| Failure::other(&error))? + "\n"
    } else {
        shown(&answer)
    };
    output::print(&text)
}

fn shown(answer: &SigningKeyAnswer) -> String {
    match answer {
        SigningKeyAnswer::Ordered(number) => {
            format!("a running gateway makes the successor of key {number} within a second\n")
        }
        SigningKeyAnswer::Retired(id) => {
            format!("{id} is gone: within a second its tokens are refused\n")
        }
        SigningKeyAnswer::Keys(keys) => {
            let mut text = String::new();
            for key in keys {
                // Writing to memory does not fail.
                let written = writeln!(
                    text,
                    "{}  {}  signs from {}  sealed under {}",
                    key.id, key.algorithm, key.signs_from, key.master
                );
                debug_assert!(written.is_ok());
            }
            text
        }
    }
}

fn algorithm(name: &str) -> Result<Algorithm, UnknownAlgorithm> {
    Algorithm::parse(name)
}
