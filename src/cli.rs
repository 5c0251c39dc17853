//! The command line: what can be asked of the program, and how it ends.

mod api_key;
mod cert;
mod check;
mod demo;
mod failure;
mod import;
mod invite;
mod key;
mod operate;
mod output;
mod password;
mod run;
mod service;
mod store;
mod user;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

/// The command line was wrong (`EX_USAGE` of sysexits.h).
const USAGE: u8 = 64;

/// An authentication gateway: TLS, accounts, tokens and limits in front of existing backends.
#[derive(Parser)]
#[command(name = "portcullis", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve, until SIGTERM; SIGHUP reads the configuration and the certificates again
    Run(ConfigFile),
    /// Serve a demonstration on localhost, with a certificate and a backend of its own
    Demo(demo::Demo),
    /// Read the configuration, say everything that is wrong with it, and stop
    Check(ConfigFile),
    /// Show and change accounts, through the running gateway or in its database
    User(user::User),
    /// Keys by which programs call, through the running gateway or in its database
    ApiKey(api_key::ApiKey),
    /// Service accounts: programs that call in their own name
    Service(service::Service),
    /// The databases themselves
    Store(store::Store),
    /// Codes by which somebody may register
    Invite(invite::Invite),
    /// Keys that sign tokens
    #[command(subcommand)]
    Key(key::Key),
    /// Certificates for development
    #[command(subcommand)]
    Cert(cert::Cert),
}

#[derive(Args)]
struct ConfigFile {
    /// The configuration file
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/portcullis/portcullis.toml",
        global = true
    )]
    config: PathBuf,
}

/// Reads the command line and does what it says. Exit codes: 0, 64 (the command line is wrong),
/// 78 (the configuration is wrong), 1 (anything else failed).
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse_usage(&error),
    };
    let done = match arguments.command {
        Command::Run(ConfigFile { config }) => run::run(&config),
        Command::Demo(demo) => demo::run(&demo),
        Command::Check(ConfigFile { config }) => check::run(&config),
        Command::User(user) => user::run(user),
        Command::ApiKey(key) => api_key::run(key),
        Command::Service(service) => service::run(service),
        Command::Store(store) => store::run(store),
        Command::Invite(invite) => invite::run(invite),
        Command::Key(key) => key::run(&key),
        Command::Cert(cert) => cert::run(&cert),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Help and the version are asked for and end well.
fn refuse_usage(error: &clap::Error) -> ExitCode {
    // Nothing is left to do when the terminal is gone.
    drop(error.print());
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::from(USAGE),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn an_attribute_may_be_a_negative_number() {
        let line = "portcullis user set-attribute a@example.com level -5 --json";
        let parsed = Arguments::try_parse_from(line.split(' '));
        assert!(parsed.is_ok(), "{:?}", parsed.err());
    }

    #[test]
    fn the_configuration_may_be_named_after_every_word() {
        for line in [
            "portcullis run --config f.toml",
            "portcullis user list --config f.toml",
            "portcullis user --config f.toml lock a@example.com",
            "portcullis user role a@example.com admin member --config f.toml",
            "portcullis store copy sqlite:a.db b.toml --dry-run --config f.toml",
        ] {
            let parsed = Arguments::try_parse_from(line.split(' '));
            assert!(parsed.is_ok(), "{line}: {:?}", parsed.err());
        }
    }
}
