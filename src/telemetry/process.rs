//! What the kernel knows about this process, read from `/proc` at each scrape.

use std::fs;

use crate::clock::Timestamp;
use crate::telemetry::exposition::{Exposition, Kind};

pub(super) fn expose(started: Timestamp, out: &mut Exposition) {
    out.family(
        "process_start_time_seconds",
        Kind::Gauge,
        "When the process started, in seconds since 1970.",
    );
    out.sample(&[], started.seconds());
    if let Some(kibibytes) = resident_kibibytes() {
        out.family(
            "process_resident_memory_bytes",
            Kind::Gauge,
            "Resident memory in bytes.",
        );
        out.sample(&[], kibibytes.saturating_mul(1024));
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        out.family("process_open_fds", Kind::Gauge, "Open file descriptors.");
        out.sample(&[], open.count());
    }
}

/// `VmRSS:     1234 kB` of proc(5).
fn resident_kibibytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}
