//! The `portcullis` command: arguments in, exit code out.

use std::process::ExitCode;

/// A request allocates some thirty times, in bursts that glibc's caches are too short for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    portcullis::cli::main()
}
