//! `portcullis check`: says everything that is wrong with a configuration.

use std::path::Path;

use crate::cli::failure::Failure;
use crate::cli::output;
use crate::clock::Clock;
use crate::config::Config;

pub(super) fn run(path: &Path) -> Result<(), Failure> {
    let config = Config::load(path, &Clock::system(), &[])?;
    let mode = if config.development {
        ", in DEVELOPMENT MODE"
    } else {
        ""
    };
    output::print(&format!("{}: good{mode}\n", path.display()))
}
