//! What a command prints.

use std::io::{self, Write};

use crate::cli::failure::Failure;

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
