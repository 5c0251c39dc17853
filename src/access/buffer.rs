//! Lines that wait for the writer: bounded, so that a stalled writer costs lines and never memory.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What one buffer holds before lines are dropped, in bytes: some three thousand requests.
const MOST: usize = 1024 * 1024;

/// From here the writer is woken rather than waited for, in bytes.
const ENOUGH: usize = 240 * 1024;

/// One worker's waiting lines. The lock is held to append a line and to swap the buffer out.
#[derive(Default)]
pub(super) struct Buffer(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    dropped: u64,
}

/// What appending a line came to.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Appended {
    Waiting,
    /// The buffer just grew past the mark at which the writer should be woken.
    Ripe,
    Dropped,
}

impl Buffer {
    /// Appends what `write` writes, or counts one dropped line when the buffer is full.
    pub(super) fn append(&self, write: impl FnOnce(&mut Vec<u8>)) -> Appended {
        let mut waiting = self.lock();
        let before = waiting.bytes.len();
        if before >= MOST {
            waiting.dropped += 1;
            return Appended::Dropped;
        }
        write(&mut waiting.bytes);
        if before < ENOUGH && waiting.bytes.len() >= ENOUGH {
            Appended::Ripe
        } else {
            Appended::Waiting
        }
    }

    /// Exchanges the waiting bytes for `spare`, which must be empty; gives the number of lines
    /// dropped since the last time.
    pub(super) fn take(&self, spare: &mut Vec<u8>) -> u64 {
        let mut waiting = self.lock();
        std::mem::swap(&mut waiting.bytes, spare);
        std::mem::take(&mut waiting.dropped)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_in_order_and_once() {
        let buffer = Buffer::default();
        assert_eq!(buffer.append(|b| b.extend(b"one\n")), Appended::Waiting);
        assert_eq!(buffer.append(|b| b.extend(b"two\n")), Appended::Waiting);
        let mut out = Vec::new();
        assert_eq!(buffer.take(&mut out), 0);
        assert_eq!(out, b"one\ntwo\n");
        out.clear();
        assert_eq!(buffer.take(&mut out), 0);
        assert!(out.is_empty());
    }

    #[test]
    fn a_buffer_that_nobody_empties_stays_bounded_and_says_what_it_dropped() {
        let buffer = Buffer::default();
        let line = [b'x'; 1024];
        let mut ripe = 0;
        let mut dropped = 0;
        for _ in 0..3000 {
            match buffer.append(|b| b.extend(line)) {
                Appended::Waiting => {}
                Appended::Ripe => ripe += 1,
                Appended::Dropped => dropped += 1,
            }
        }
        assert_eq!(ripe, 1);
        assert_eq!(dropped, 3000 - 1024);
        let mut out = Vec::new();
        assert_eq!(buffer.take(&mut out), dropped);
        assert_eq!(out.len(), MOST);
    }
}
