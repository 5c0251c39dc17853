//! Pages of 2 MB for the memory in which a worker keeps its connections.

use std::ffi::c_void;
use std::ptr;

const PAGE: usize = 2 << 20;

/// For a worker: with what lies before it, the state of some hundred connections.
const SHARE: usize = 4 << 20;

/// Asks for large pages for memory that this thread will allocate. The state of many connections is on more pages of 4 kB
/// than the processor's translation cache holds: large ones save 3 % of the time of a request (docs/performance.md,
/// Memory for time). Where the system has none to give, all stays as it is.
#[expect(
    unsafe_code,
    reason = "std has no call for this advice, and rustix none that is safe"
)]
pub(super) fn for_this_thread() {
    // The allocator gives each thread memory of its own, upward from where this lies. That first page is in small use
    // even when nothing is connected.
    let here = Box::new(0_u8);
    let start = ((&raw const *here).addr() & !(PAGE - 1)) + PAGE;
    let start = ptr::without_provenance_mut::<c_void>(start);
    // SAFETY: the advice changes by what size of page an address will be backed, never what is there nor whether it may
    // be used. Of addresses that are nobody's the kernel answers ENOMEM, which is nothing to act upon.
    unsafe { libc::madvise(start, SHARE, libc::MADV_HUGEPAGE) };
}
