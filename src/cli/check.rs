//! `portcullis check`: says everything that is wrong with a configuration.

use std::path::Path;

use crate::cli::failure::Failure;

pub(super) fn run(_config: &Path) -> Result<(), Failure> {
    Err(Failure::Other(String::from("error: not built in yet")))
}
