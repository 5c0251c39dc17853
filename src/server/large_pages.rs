//! Pages of 2 MB for the memory in which a worker keeps its connections.

use std::ffi::c_void;
use std::{fs, ptr};

/// What the system's administrator wants: `always`, `madvise` or `never`.
const WANTED: &str = "/sys/kernel/mm/transparent_hugepage/enabled";

const PAGE: usize = 2 << 20;

/// For a worker: the state of some fifty connections and what every request touches.
const SHARE: usize = 4 << 20;

/// Asks for large pages for the memory that this thread allocates first. That memory is on more pages of 4 kB than the
/// processor's translation cache holds: large ones save 3 % of the time of a request and more (docs/performance.md, Memory
/// for time). Where the system has none to give, or is to give none, all stays as it is.
pub(super) fn for_this_thread() {
    // One of the two below would be followed all the same.
    if fs::read_to_string(WANTED).map_or(true, |wanted| wanted.contains("[never]")) {
        return;
    }
    // The allocator gives each thread memory of its own, upward from where this lies.
    let here = Box::new(0_u8);
    let start = (&raw const *here).addr() & !(PAGE - 1);
    advise(start, SHARE, libc::MADV_HUGEPAGE);
    // The first page is in use already, and would be replaced when the kernel comes by.
    advise(start, PAGE, libc::MADV_COLLAPSE);
}

#[expect(
    unsafe_code,
    reason = "std and rustix have no safe call for this advice"
)]
fn advise(start: usize, length: usize, advice: i32) {
    let start = ptr::without_provenance_mut::<c_void>(start);
    // SAFETY: both kinds of advice change by what size of page an address is backed, never what is there nor whether
    // it may be used. Of addresses that are nobody's the kernel answers ENOMEM, which is nothing to act upon.
    unsafe { libc::madvise(start, length, advice) };
}
