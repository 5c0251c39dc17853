//! `portcullis run`: serve.

use std::path::Path;

use crate::cli::failure::Failure;

pub(super) fn run(config: &Path) -> Result<(), Failure> {
    run_and_say(config, || Ok(()))
}

/// Serves what `config` says, and calls `say` once when requests are answered.
pub(super) fn run_and_say(
    _config: &Path,
    _say: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    Err(Failure::Other(String::from("error: not built in yet")))
}
