//! To be written.

/// 128 random bits that name a session: the claim `sid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(pub(crate) u128);
