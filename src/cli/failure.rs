//! How a command fails: one message on standard error and an exit code.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::causes::with_causes;
use crate::config::LoadError;
use crate::process::ProcessError;

/// The configuration is wrong (`EX_CONFIG` of sysexits.h).
const CONFIGURATION: u8 = 78;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(super) enum Failure {
    /// What is wrong stands in the configuration file.
    Configuration(String),
    Other(String),
}

impl Failure {
    /// `error` with its causes.
    pub(super) fn other(error: &dyn Error) -> Self {
        Failure::Other(format!("error: {}", with_causes(error)))
    }

    /// `error` with its causes, where changing the configuration mends it.
    pub(super) fn configuration(error: &dyn Error) -> Self {
        Failure::Configuration(format!("error: {}", with_causes(error)))
    }

    pub(super) fn report(self) -> ExitCode {
        let (message, code) = match self {
            Failure::Configuration(message) => (message, ExitCode::from(CONFIGURATION)),
            Failure::Other(message) => (message, ExitCode::FAILURE),
        };
        // Nothing is left to do when the terminal is gone.
        drop(writeln!(io::stderr(), "{message}"));
        code
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Wrong(wrong) => Failure::Configuration(wrong.to_string()),
            LoadError::Unreadable { .. } => Failure::configuration(&error),
        }
    }
}

impl From<ProcessError> for Failure {
    fn from(error: ProcessError) -> Self {
        match error {
            ProcessError::Config(error) => error.into(),
            // What changing the configuration mends, and what it does not.
            ProcessError::Redis(_) | ProcessError::Tls(_) | ProcessError::Managed(_) => {
                Failure::configuration(&error)
            }
            ProcessError::Runtime(_)
            | ProcessError::Log(_)
            | ProcessError::AccessLog(_)
            | ProcessError::Accounts(_)
            | ProcessError::Bind(_)
            | ProcessError::Admin { .. }
            | ProcessError::Socket(_)
            | ProcessError::Start(_) => Failure::other(&error),
        }
    }
}
