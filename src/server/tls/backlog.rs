//! Bytes that wait for whoever takes them, and take no memory when none do.

use tokio::io::ReadBuf;

#[derive(Default)]
pub(super) struct Backlog {
    bytes: Vec<u8>,
    taken: usize,
}

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// What has not been taken.
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.split_at(self.taken).1
    }

    pub(super) fn push(&mut self, more: &[u8]) {
        self.bytes.extend_from_slice(more);
    }

    /// Where more is to be put.
    pub(super) fn end(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub(super) fn drop_first(&mut self, count: usize) {
        self.taken += count;
        if self.is_empty() {
            *self = Self::default();
        }
    }

    /// Moves as much into `buf` as it has room for.
    pub(super) fn give(&mut self, buf: &mut ReadBuf<'_>) {
        let count = self.rest().len().min(buf.remaining());
        buf.put_slice(self.rest().split_at(count).0);
        self.drop_first(count);
    }
}
