//! One worker's connections to all servers of all upstreams.

/// One worker's idle connections to all upstreams. Clones share them.
#[derive(Clone, Default)]
pub struct Pools {}

impl Pools {
    pub fn new() -> Self {
        Self::default()
    }
}
