//! The one normal form of a path: what is matched is what is forwarded.

/// An absolute path in its normal form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CleanPath(String);

/// Why a path has no normal form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path has no normal form")]
pub struct PathError;
