//! Buffers that the connections of a thread take turns with, so that none keeps one of its own.

use std::cell::RefCell;
use std::io::IoSlice;

/// What one record takes at most: its header, 2^14 bytes, and what TLS 1.2 may add (RFC 5246 §6.2.3).
/// No message is larger that a client may send us.
const RECORD: usize = 5 + (16 << 10) + (2 << 10);
/// What is encrypted at once, in bytes: an answer's head with the first of its body, or a frame of HTTP/2.
pub(super) const PIECE: usize = 32 << 10;
/// What encryption adds to a piece, with room for messages of TLS itself that go before it.
const OVERHEAD: usize = 1 << 10;

pub(super) struct Scratch {
    /// What came, decrypted where it lies.
    pub(super) inbound: Box<[u8]>,
    /// What is to be sent.
    pub(super) outbound: Outbound,
}

pub(super) struct Outbound {
    plain: Vec<u8>,
    pub(super) wire: Box<[u8]>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        inbound: vec![0; RECORD].into(),
        outbound: Outbound {
            plain: Vec::with_capacity(PIECE),
            wire: vec![0; PIECE + OVERHEAD].into(),
        },
    });
}

/// Lends the buffers of this thread. What is in them is another connection's: only what the borrower has
/// written there may be read.
pub(super) fn borrow<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    SCRATCH.with_borrow_mut(work)
}

impl Outbound {
    /// The first piece of `parts`, in one place, and where it may be encrypted to.
    pub(super) fn gather<'a>(&'a mut self, parts: &'a [IoSlice<'_>]) -> (&'a [u8], &'a mut [u8]) {
        let Self { plain, wire } = self;
        if let [only] = parts {
            return (first(only, PIECE), wire);
        }
        plain.clear();
        for part in parts {
            plain.extend_from_slice(first(part, PIECE - plain.len()));
        }
        (plain, wire)
    }
}

fn first(bytes: &[u8], most: usize) -> &[u8] {
    bytes.split_at(bytes.len().min(most)).0
}
