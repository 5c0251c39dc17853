//! The memory that Argon2 works in: kept from one hash to the next, and given back when nobody logs in.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use allocator_api2::alloc::System;
use allocator_api2::vec::Vec;
use argon2::Block;

/// Asked of the system rather than of the program's allocator, which would keep it: an allocation of
/// more than 32 MiB is always a mapping of its own in glibc (mallopt(3), `M_MMAP_THRESHOLD`), which
/// the system has back as soon as it is freed. What lies beyond the blocks is never touched, so it
/// costs addresses, not memory.
const OWN_MAPPING: usize = 33 * 1024 * 1024 / Block::SIZE;

/// The memory of one hash.
pub(super) type Piece = Vec<Block, System>;

/// Memory for hashes that nobody is using. Whoever hashes takes a piece and puts it back.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    free: Mutex<std::vec::Vec<Piece>>,
    /// Blocks on the shelf and in use.
    blocks: AtomicUsize,
}

impl Shelf {
    /// A piece of at least so many blocks. One that was used before has its pages: 16.6 ms a hash
    /// rather than 21.4.
    pub(super) fn take(&self, blocks: usize) -> Piece {
        let free = self
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut piece =
            free.unwrap_or_else(|| Piece::with_capacity_in(blocks.max(OWN_MAPPING), System));
        if piece.len() < blocks {
            let more = blocks - piece.len();
            self.blocks.fetch_add(more, Ordering::Relaxed);
            piece.resize(blocks, Block::new());
        }
        piece
    }

    /// Keeps a piece for the next hash, unless it is larger than usual.
    pub(super) fn put_back(&self, piece: Piece, usual: usize) {
        if piece.len() > usual {
            self.blocks.fetch_sub(piece.len(), Ordering::Relaxed);
            return;
        }
        self.free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(piece);
    }

    /// Gives back whatever is not in use.
    pub(super) fn clear(&self) {
        let free = std::mem::take(&mut *self.free.lock().unwrap_or_else(PoisonError::into_inner));
        let blocks = free.iter().map(Vec::len).sum();
        self.blocks.fetch_sub(blocks, Ordering::Relaxed);
    }

    /// Octets of memory, in use or kept.
    pub(super) fn held(&self) -> usize {
        self.blocks.load(Ordering::Relaxed) * Block::SIZE
    }
}
