//! `portcullis run`: serve.

use std::path::Path;

use crate::cli::failure::Failure;
use crate::process::{self, Serving};

pub(super) fn run(config: &Path) -> Result<(), Failure> {
    run_and_say(config, |_| {})
}

/// Serves what `config` says, and calls `say` once when requests are answered.
pub(super) fn run_and_say(config: &Path, say: impl FnOnce(&Serving)) -> Result<(), Failure> {
    process::run(config, say).map_err(Failure::from)
}
