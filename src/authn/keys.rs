//! To be written.

#[derive(Debug)]
pub struct Minter {}
