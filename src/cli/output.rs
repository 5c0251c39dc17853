//! What a command prints.

use std::io::{self, Write};

use serde::Serialize;

use crate::cli::failure::Failure;

/// For whom a command prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// A person.
    Text,
    /// A program.
    Json,
}

/// `answer` for a program to read.
pub(super) fn json(answer: &impl Serialize) -> Result<String, Failure> {
    let json = serde_json::to_string_pretty(answer);
    Ok(json.map_err(|error| Failure::other(&error))? + "\n")
}

/// Prints `text` to standard output.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        // `portcullis user list | head`
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::Other(format!(
            "error: standard output cannot be written: {error}"
        ))),
    }
}
